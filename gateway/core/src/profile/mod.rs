//! Lane profiles: what a lane asks for, in which order, and what follows.
//!
//! A profile is one TOML file. Reading it proves what can be proved before a person stands at the
//! gate: names and values are known, each expression reads only facts that an earlier step made,
//! the lane can reach a verdict. An error says the line and the allowed values.

mod emit;
pub mod facts;
mod file;
mod form;
mod personal;
#[cfg(test)]
mod refusals;
pub mod shipped;
pub(crate) mod source;
pub mod start;

use crate::codes::{Code, Outcome};
use crate::event::Class;
use crate::ids::ProfileId;
use crate::lane::step::input::Input;
use crate::lists;
use crate::register::{self, Register};
use crate::rules::Expression;
use crate::text::Text;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub use crate::lane::step::StepKind;
pub use file::read;

/// The least time, in milliseconds, that a step waits for its slip: the printer answers before.
pub const SLIP_STEP_MS: u64 = crate::reading::SLIP_MS + 2_000;

/// The least time, in milliseconds, that a step waits for the barrier.
pub const PULSE_STEP_MS: u64 = crate::reading::PULSE_MS + 1_000;

/// Why a profile is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{file}:{line}: {what}")]
pub struct ProfileError {
    /// The file as it was named.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what is allowed.
    pub what: String,
}

/// Kinds of devices that a step can need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// Reads codes.
    Scanner,
    /// Measures skin temperature.
    Thermometer,
    /// Opens a barrier or a door.
    Relay,
    /// Takes photographs.
    Camera,
    /// Prints slips.
    Printer,
    /// A contact: vehicle loop, door, fire release.
    Input,
    /// Lamps and a buzzer.
    Signal,
    /// Weighs.
    Scale,
}

impl DeviceKind {
    /// The word in errors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scanner => "scanner",
            Self::Thermometer => "thermometer",
            Self::Relay => "relay",
            Self::Camera => "camera",
            Self::Printer => "printer",
            Self::Input => "input",
            Self::Signal => "signal",
            Self::Scale => "scale",
        }
    }
    /// Whether any lane may have one beside what its profile asks for.
    pub const fn beside(self) -> bool {
        match self {
            Self::Input | Self::Signal | Self::Scale => true,
            Self::Scanner | Self::Thermometer | Self::Relay | Self::Camera | Self::Printer => false,
        }
    }
}

/// A lane profile, ready for use.
#[derive(Debug)]
pub struct Profile {
    /// Its name.
    pub id: ProfileId,
    /// For people.
    pub title: Text,
    /// `in`, `out`, `through` or `both`.
    pub direction: String,
    /// What gives a visit its direction where there are both.
    pub by: Option<start::By>,
    /// Whether it is no lane but the duty console: it has acts, and no steps.
    pub console: bool,
    /// How visits begin.
    pub start: start::Start,
    /// The file as it was named, and the whole of its text.
    pub file: (String, String),
    /// Who upstream should see its events.
    pub audience: Vec<String>,
    /// The verdict when lists are too old or the clock is not trusted (the fail mode).
    pub fail_mode: Outcome,
    /// Other fail modes, each for visits of which something holds: the first one counts.
    pub fail_when: Vec<FailWhen>,
    /// Reasons with which one officer overrides what needs a second signature otherwise.
    pub one_signature: Vec<String>,
    /// Whether an admission uses up a pass for one use. It does on the way in, where a lane has both.
    pub uses_pass: bool,
    /// Lists of the day are too old after so many hours; each list says how long it counts.
    pub stale_after_h: i64,
    /// The same code within this time is one read.
    pub same_read_ms: u64,
    /// The same code within this time shows the earlier result.
    pub same_result_ms: u64,
    /// How long a verdict stays on the public screen.
    pub show_verdict_ms: u64,
    /// Verdicts of this profile where they differ from the table of codes.
    pub verdicts: BTreeMap<Code, Outcome>,
    /// Those of visits whose direction is out, where they differ again.
    pub verdicts_out: BTreeMap<Code, Outcome>,
    /// What the public screen says, where it differs.
    pub instructions: BTreeMap<Outcome, Text>,
    /// What can happen after a verdict, as extra events.
    pub emits: Vec<Emit>,
    /// What it knows of the world beyond one visit.
    pub registers: Vec<Register>,
    /// The steps in order.
    pub steps: Vec<Step>,
    /// What whoever maintains it should change.
    pub warnings: Vec<String>,
    /// The answers that name somebody, each by its id.
    personal: BTreeSet<String>,
    /// As [`Profile::unmade_facts`]: it follows from the steps, and every visit begins with it.
    unmade: Map<String, Value>,
}

/// An extra event of a profile.
#[derive(Debug)]
pub struct Emit {
    /// Its name.
    pub kind: String,
    /// Its stream.
    pub class: Class,
    /// With which verdicts.
    pub outcomes: Vec<Outcome>,
    /// With which codes; any if empty.
    pub codes: Vec<Code>,
    /// When this holds.
    pub when: Option<Expression>,
    /// What it says beside what every extra event says, each by its name.
    pub data: Vec<(String, EmitData)>,
}

/// Something that an extra event says.
#[derive(Debug)]
pub struct EmitData {
    /// What.
    pub value: Expression,
    /// As a subject key: it stands for a person.
    pub key: bool,
}

/// A fail mode for some visits.
#[derive(Debug)]
pub struct FailWhen {
    /// For those of which this holds.
    pub when: Expression,
    /// The fail mode.
    pub outcome: Outcome,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Its name, unique in the profile.
    pub id: String,
    /// For people.
    pub title: Text,
    /// What the lane asks for.
    pub prompt: Text,
    /// It is left out when this is false.
    pub when: Option<Expression>,
    /// How long it may take; without a limit if absent.
    pub timeout_ms: Option<u64>,
    /// Whether its absence stops nothing.
    pub optional: bool,
    /// The role of its device.
    pub device: Option<String>,
    /// What it does.
    pub kind: StepKind,
}

/// What a profile asks staff: a question, or a field of a form.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The place of the step.
    pub place: usize,
    /// Its name.
    pub id: &'a str,
    /// For people.
    pub text: &'a Text,
    /// The form of the answer.
    pub input: &'a Input,
    /// Whether the answer stays in memory.
    pub private: bool,
}

/// A word and what people read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// In events and rules.
    pub value: String,
    /// Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl Choice {
    /// For people.
    pub fn text(&self) -> Text {
        Text::new(&self.zh, &self.en)
    }
}

impl Profile {
    /// Whether a code says that lists or the clock cannot be trusted.
    pub const fn is_doubt(code: Code) -> bool {
        matches!(code, Code::X_STALE | Code::X_CLOCK)
    }
    /// The verdict that a code leads to here, as a rule.
    pub fn outcome(&self, code: Code) -> Outcome {
        self.outcome_for(code, self.direction == "out", self.fail_mode)
    }
    /// The verdict that a code leads to here, for a visit with this direction and this fail mode.
    pub fn outcome_for(&self, code: Code, out: bool, fail_mode: Outcome) -> Outcome {
        let of_way = self.verdicts_out.get(&code).filter(|_| out);
        let said = of_way.or_else(|| self.verdicts.get(&code)).copied();
        said.or(Self::is_doubt(code).then_some(fail_mode)).unwrap_or_else(|| code.outcome())
    }
    /// The roles of the contacts that it knows; a lane may have them or not.
    pub fn contacts(&self) -> std::collections::BTreeSet<&str> {
        use crate::lane::visit::Origin;
        let mut all: std::collections::BTreeSet<&str> =
            self.start.inputs.iter().map(String::as_str).collect();
        if self.start.on.contains(&Origin::Button) {
            all.insert(Origin::Button.as_str());
        }
        all.insert(crate::lane::door::DOOR);
        all
    }
    /// The profiles of those who come along, by the names that its steps give them.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(|step| {
            let StepKind::Party(party) = &step.kind else { return None };
            Some(party.profile.as_str())
        })
    }
    /// The lists that steps look into.
    pub fn lists(&self) -> impl Iterator<Item = &'static str> {
        let lists = self.steps.iter().filter_map(|step| {
            let StepKind::Verify(verify) = &step.kind else { return None };
            Some(&verify.lists)
        });
        lists.flatten().map(|look| look.list.name)
    }
    /// Hours after which a list is too old here.
    pub fn stale_after(&self, list: &str) -> i64 {
        lists::find(list).map_or(self.stale_after_h, |list| list.stale_after(self.stale_after_h))
    }
    /// Whether a step looks into a list.
    pub fn looks_into(&self, list: &str) -> bool {
        self.lists().any(|name| name == list)
    }
    /// One of its registers.
    pub fn register(&self, name: &str) -> Option<&Register> {
        self.registers.iter().find(|register| register.name == name)
    }
    /// Whether an answer names somebody: records have its subject key, and the central side alone its text.
    pub fn names_somebody(&self, answer: &str) -> bool {
        self.personal.contains(answer)
    }
    /// Whether an expression is such an answer, and nothing else.
    pub fn is_personal(&self, of: &Expression) -> bool {
        let answer = of.path();
        matches!(answer.as_deref(), Some([facts::ANSWERS, id]) if self.names_somebody(id))
    }
    /// The answers that do, each by its id.
    pub fn personal(&self) -> impl Iterator<Item = &str> {
        self.personal.iter().map(String::as_str)
    }
    /// What the facts are while nothing has made them: a rule then reads them without an error.
    pub fn unmade_facts(&self) -> &Map<String, Value> {
        &self.unmade
    }
    /// What staff are asked, in order.
    pub fn inputs(&self) -> impl Iterator<Item = Asked<'_>> {
        self.steps.iter().enumerate().flat_map(|(place, step)| {
            let question = if let StepKind::Question(question) = &step.kind { Some(question) } else { None };
            let fields = if let StepKind::Form(form) = &step.kind { form.fields.as_slice() } else { &[] };
            let (id, text) = (&step.id, &step.title);
            let question = question.into_iter().map(move |question| {
                let input = &question.input;
                Asked { place, id, text, input, private: false }
            });
            question.chain(fields.iter().map(move |field| {
                let (id, text, input) = (&field.id, &field.text, &field.input);
                Asked { place, id, text, input, private: field.private }
            }))
        })
    }
    /// What the public screen says.
    pub fn instruction(&self, outcome: Outcome) -> Text {
        self.instructions.get(&outcome).cloned().unwrap_or_else(|| crate::codes::instruction(outcome))
    }
    /// The devices that it needs: role, kind and whether it can go without.
    pub fn devices(&self) -> impl Iterator<Item = (&str, DeviceKind, bool)> {
        self.steps.iter().flat_map(roles)
    }
}

/// The devices of a step: role, kind and whether it can go without.
fn roles(step: &Step) -> Vec<(&str, DeviceKind, bool)> {
    let mut of_step: Vec<&str> = step.device.as_deref().into_iter().collect();
    if let StepKind::Scan(scan) = &step.kind
        && !scan.devices.is_empty()
    {
        of_step = scan.devices.iter().map(String::as_str).collect();
    }
    let kind = step.kind.about().device;
    let mut all: Vec<_> = of_step.into_iter().filter_map(|role| Some((role, kind?, step.optional))).collect();
    // A lane that has no such input is never locked by it.
    if let StepKind::Actuate(actuate) = &step.kind {
        all.extend(actuate.interlock.as_deref().map(|role| (role, DeviceKind::Input, true)));
    }
    all
}

/// The facts that some steps make, as long as they have not; of the entries of lists those that are asked.
fn unmade(steps: &[Step], registers: &[Register], asked: &BTreeSet<Vec<String>>) -> Map<String, Value> {
    let mut all = facts::all_unmade();
    let entries = facts::unmade_entries(asked);
    if !entries.is_empty() {
        all.insert(facts::ENTRY.to_owned(), Value::Object(entries));
    }
    let mut answers = Map::new();
    for (path, of) in steps.iter().flat_map(|s| s.kind.answers(&s.id)) {
        match path.split_once('.') {
            // Of a private answer there is only that it was given.
            Some((id, part)) => answers.insert(id.to_owned(), json!({ part: of.empty() })),
            None => answers.insert(path, of.empty()),
        };
    }
    all.insert(facts::ANSWERS.to_owned(), Value::Object(answers));
    let confirm = steps.iter().filter(|s| matches!(s.kind, StepKind::Confirm(_)));
    let signers = confirm.map(|s| (s.id.clone(), facts::Type::Texts.empty()));
    all.insert(facts::SIGNERS.to_owned(), Value::Object(signers.collect()));
    for register in registers {
        register::fill(&mut all, &register.name, None, std::iter::empty());
    }
    all
}
