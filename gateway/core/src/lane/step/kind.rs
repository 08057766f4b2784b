//! What a kind of step is, and the list of them.

use super::{Cx, Flow, StepInput};
use super::{
    actuate, confirm, decide, form, later, party, photo, print, question, register, scan, seal, tally,
    temperature, verify, weigh,
};
use crate::lane::action::Rejection;
use crate::lane::view::ask::Ask;
use crate::lane::visit::Visit;
use crate::profile::facts::{Fact, Type};
use crate::profile::source::StepContext;
use crate::profile::{DeviceKind, ProfileError, Step};
use crate::records::RecordsFault;
use crate::text::Text;
use crate::time::Now;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

/// What holds for every step of a kind.
#[derive(Debug)]
pub struct About {
    /// The name in profiles and on screens.
    pub name: &'static str,
    /// What the step is called where its profile does not say, in Chinese and in English.
    pub title: (&'static str, &'static str),
    /// What the lane asks for where its profile does not say.
    pub prompt: (&'static str, &'static str),
    /// The kind of device that it needs.
    pub device: Option<DeviceKind>,
    /// Whether staff do it, at the desk: what they have finished stays finished when the visit is measured again.
    pub by_staff: bool,
    /// Whether it follows the verdict and needs nobody there; all others come before.
    pub after_verdict: bool,
    /// Whether it may come before the verdict, too.
    pub before_verdict: bool,
    /// Whether codes that are read while it waits are for it, not for a new visit; a form may have a field for one.
    pub takes_codes: bool,
    /// Whether it measures somebody, who must still stand there when the box has been off.
    pub measures: bool,
    /// How long it may take where its profile does not say.
    pub timeout_s: Option<u64>,
    /// It never gives up before its device has answered.
    pub least_ms: u64,
    /// The facts that it makes.
    pub facts: &'static [Fact],
}

impl About {
    /// A kind that needs nothing, makes nothing and takes no time.
    pub const fn new(
        name: &'static str,
        title: (&'static str, &'static str),
        prompt: (&'static str, &'static str),
    ) -> Self {
        Self {
            name,
            title,
            prompt,
            device: None,
            by_staff: false,
            after_verdict: false,
            before_verdict: false,
            takes_codes: false,
            measures: false,
            timeout_s: None,
            least_ms: 0,
            facts: &[],
        }
    }
    /// The title.
    pub fn title(&self) -> Text {
        Text::new(self.title.0, self.title.1)
    }
    /// The prompt.
    pub fn prompt(&self) -> Text {
        Text::new(self.prompt.0, self.prompt.1)
    }
}

/// How a step of the visit at the front looks to a screen.
#[derive(Clone, Copy)]
pub struct Look<'a> {
    /// The moment.
    pub now: &'a Now,
    /// The step.
    pub step: &'a Step,
    /// Its place in the profile.
    pub place: usize,
    /// The visit.
    pub visit: &'a Visit,
}

/// How far a step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// Still to be done.
    Todo,
    /// It waits.
    Current,
    /// Done.
    Done,
    /// Its device did not do it.
    Failed,
    /// Left out.
    Skipped,
}

/// A kind of step; the value is one step's settings.
pub trait Kind: Sized {
    /// What holds for all of its steps.
    const ABOUT: About;
    /// Its fields in a profile, beside those of every step. Errors take their names from here.
    type Form: DeserializeOwned;
    /// What it keeps while it waits. It is dropped when the visit goes on, so that nothing of one step is left over
    /// in the next.
    type Waits;

    /// The settings, proved to make sense.
    fn read(form: Self::Form, place: &StepContext<'_>) -> Result<Self, ProfileError>;

    /// The visit comes to it, or comes back after a restart.
    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault>;

    /// Something happens while it waits.
    fn on(&self, _cx: &mut Cx<'_>, _what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        Ok(Flow::Reject(Rejection::not_now()))
    }

    /// What it asks of the desk.
    fn ask(&self, look: Look<'_>) -> Ask {
        Ask::Wait { prompt: look.step.prompt.clone() }
    }

    /// What it says to whoever stands there: what staff are asked is not for the public.
    fn public(&self, _look: Look<'_>) -> Text {
        Text::new("请稍候", "Please wait")
    }

    /// How far it has come, where its device says so.
    fn progress(&self, _look: Look<'_>) -> Option<Progress> {
        None
    }

    /// The answers that it makes.
    fn answers(&self, _id: &str) -> Answers {
        Answers::new()
    }

    /// Whether codes that are read while it waits are for it.
    fn takes_codes(&self) -> bool {
        Self::ABOUT.takes_codes
    }
}

/// Answers by their paths below `answers`, each with its type.
pub type Answers = Vec<(String, Type)>;

/// Fields and all: what a profile says of a step of one kind.
fn read<K: Kind>(own: Spanned<DeValue<'_>>, place: &StepContext<'_>) -> Result<K, ProfileError> {
    let form = K::Form::deserialize(ValueDeserializer::from(own)).map_err(|e| {
        let what = format!("in a step of kind `{}`: {}", K::ABOUT.name, e.message());
        place.source.error(e.span().map_or(place.at, |span| span.start), what)
    })?;
    K::read(form, place)
}

/// How a step of a kind is read.
type Read = fn(Spanned<DeValue<'_>>, &StepContext<'_>) -> Result<StepKind, ProfileError>;

macro_rules! kinds {
    ($($(#[$doc:meta])+ $name:ident in $file:ident,)+) => {
        /// A step of one of the kinds.
        #[derive(Debug)]
        pub enum StepKind {
            $($(#[$doc])+ $name($file::$name),)+
        }

        /// Every kind of step.
        pub const KINDS: &[&About] = &[$(&<$file::$name as Kind>::ABOUT,)+];

        /// How each is read, in the same order.
        const READ: &[Read] = &[$(|own, place| Ok(StepKind::$name(read(own, place)?)),)+];

        /// What the step of a visit keeps while it waits, each kind for itself.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Waits {
            $(
                $(#[$doc])+
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $file: Option<<$file::$name as Kind>::Waits>,
            )+
        }

        impl StepKind {
            /// What holds for every step of its kind.
            pub const fn about(&self) -> &'static About {
                match self { $(Self::$name(_) => &<$file::$name as Kind>::ABOUT,)+ }
            }
            pub(super) fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
                match self { $(Self::$name(kind) => kind.enter(cx),)+ }
            }
            pub(super) fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
                match self { $(Self::$name(kind) => kind.on(cx, what),)+ }
            }
            pub(in crate::lane) fn ask(&self, look: Look<'_>) -> Ask {
                match self { $(Self::$name(kind) => kind.ask(look),)+ }
            }
            pub(in crate::lane) fn public(&self, look: Look<'_>) -> Text {
                match self { $(Self::$name(kind) => kind.public(look),)+ }
            }
            pub(in crate::lane) fn progress(&self, look: Look<'_>) -> Option<Progress> {
                match self { $(Self::$name(kind) => kind.progress(look),)+ }
            }
            pub(crate) fn answers(&self, id: &str) -> Answers {
                match self { $(Self::$name(kind) => kind.answers(id),)+ }
            }
            pub(in crate::lane) fn takes_codes(&self) -> bool {
                match self { $(Self::$name(kind) => kind.takes_codes(),)+ }
            }
        }
    };
}

// A new kind is a file beside this one, its `mod` line, and a line here.
kinds! {
    /// Waits for a code.
    Scan in scan,
    /// Measures skin temperature.
    Temperature in temperature,
    /// Checks the pass against trust, lists and holds.
    Verify in verify,
    /// Weighs everything that was found.
    Decide in decide,
    /// Opens the barrier.
    Actuate in actuate,
    /// Asks staff one question.
    Question in question,
    /// Staff fill in a form.
    Form in form,
    /// Applies a seal, or checks those that are there.
    Seal in seal,
    /// Takes photographs.
    Photo in photo,
    /// Staff confirm checks, or approve.
    Confirm in confirm,
    /// Prints a slip.
    Print in print,
    /// Weighs what is handed over.
    Weigh in weigh,
    /// Looks into a register, and does something to it.
    Register in register,
    /// Counts codes.
    Tally in tally,
    /// Waits for everybody who comes along.
    Party in party,
    /// Lets the visit go: what follows is done when there is time.
    Later in later,
}

impl StepKind {
    /// Whether it stands behind the verdict.
    pub(crate) fn after_verdict(&self) -> bool {
        if let Self::Party(party) = self {
            return party.ask == party::AskFor::Later;
        }
        self.about().after_verdict
    }

    /// Whether what follows it is done later, at the desk.
    pub(crate) const fn goes_on_later(&self) -> bool {
        matches!(self, Self::Later(_))
    }

    /// The name in profiles and on screens.
    pub const fn as_str(&self) -> &'static str {
        self.about().name
    }

    /// What a profile says of a step of the kind with this name, if there is one.
    pub(crate) fn read(
        name: &str,
        own: Spanned<DeValue<'_>>,
        place: &StepContext<'_>,
    ) -> Result<Self, ProfileError> {
        match KINDS.iter().zip(READ).find(|(about, _)| about.name == name) {
            Some((_, read)) => read(own, place),
            None => {
                let words: Vec<&str> = KINDS.iter().map(|about| about.name).collect();
                Err(place.error(format!("`{name}` is not a kind of step; allowed: {}", words.join(", "))))
            }
        }
    }
}
