//! Several people who come together: staff say how many, and each begins a visit of its own.

use super::kind::{About, Kind, Look};
use super::{Cx, Flow, StepInput};
use crate::codes::Outcome;
use crate::lane::action::{Action, Rejection};
use crate::lane::party::{GUESTS_MS, Members};
use crate::lane::view::ask::Ask;
use crate::profile::ProfileError;
use crate::profile::facts::{Fact, Type};
use crate::profile::source::StepContext;
use crate::records::RecordsFault;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// People in one party at most.
const MOST: u32 = 50;

/// Waits for everybody who comes along.
#[derive(Debug)]
pub struct Party {
    /// The profile of each.
    pub profile: String,
    /// When staff say how many there are.
    pub ask: AskFor,
    /// At least.
    pub min: u32,
    /// At most.
    pub max: u32,
}

/// When staff say how many people there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AskFor {
    /// At the step, which waits for all of them.
    #[default]
    Count,
    /// When it is over: nobody is waited for.
    Later,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    profile: String,
    #[serde(default)]
    ask: AskFor,
    #[serde(default = "one")]
    min: u32,
    #[serde(default = "nine")]
    max: u32,
}

const fn one() -> u32 {
    1
}
const fn nine() -> u32 {
    9
}

/// A party that is waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counting {
    /// How many there are; none before staff have said it.
    pub count: Option<u32>,
    /// Those who have begun.
    pub members: Members,
}

const FACTS: &[Fact] = &[
    Fact::new("party.count", Type::Number),
    Fact::new("party.admitted", Type::Number),
    Fact::new("party.refer", Type::Number),
    Fact::new("party.hold", Type::Number),
    Fact::new("party.deny", Type::Number),
];

impl Party {
    /// Whether there can be so many.
    pub fn takes(&self, count: u32) -> bool {
        (self.min..=self.max).contains(&count)
    }
    /// What is said of another number.
    pub fn not_so_many(&self) -> Rejection {
        let (min, max) = (self.min, self.max);
        Rejection::new(
            "bad_answer",
            &format!("请填写 {min} 至 {max} 人"),
            &format!("Say {min} to {max} people"),
        )
    }
}

impl Kind for Party {
    const ABOUT: About = About {
        by_staff: true,
        timeout_s: Some(900),
        facts: FACTS,
        ..About::new(
            "party",
            ("同行人员", "Party"),
            ("请依次出示二维码", "Please show your codes one after another"),
        )
    };
    type Form = Form;
    type Waits = Counting;

    fn read(Form { profile, ask, min, max }: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        if profile.is_empty() {
            return Err(place.error("`profile` is missing: that of each person who comes along"));
        }
        place.between("max", max, 1, i64::from(MOST))?;
        place.between("min", min, 1, i64::from(max))?;
        Ok(Self { profile, ask, min, max })
    }

    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        if self.ask == AskFor::Later {
            cx.visit.guests_until = Some(cx.now.mono_ms + GUESTS_MS);
            return Ok(Flow::Next);
        }
        // Those who have begun before a restart are those of this party.
        cx.visit.waits.party.get_or_insert_default();
        cx.allow(cx.step.timeout_ms);
        Ok(Flow::Wait)
    }

    /// Takes the number of people; the lane itself goes on when all of them have a verdict.
    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        Ok(match what {
            StepInput::Deadline => cx.time_out(),
            StepInput::Action(_, Action::Party(count)) => {
                let counting = cx.visit.waits.party.get_or_insert_default();
                if !self.takes(*count) || counting.members.len() > *count as usize {
                    return Ok(Flow::Reject(self.not_so_many()));
                }
                counting.count = Some(*count);
                cx.allow(cx.step.timeout_ms);
                Flow::Wait
            }
            StepInput::Action(..) => Flow::Reject(Rejection::not_now()),
            StepInput::Report(_) => Flow::Wait,
        })
    }

    fn ask(&self, look: Look<'_>) -> Ask {
        let counting = look.visit.waits.party.as_ref();
        Ask::Party {
            prompt: look.step.prompt.clone(),
            min: self.min,
            max: self.max,
            count: counting.and_then(|c| c.count),
            // The lane knows them.
            members: Vec::new(),
        }
    }
}

/// What is known of a party when its last member has a verdict.
pub fn all_there(cx: &mut Cx<'_>) {
    let Some(Counting { count, members }) = cx.visit.waits.party.take() else { return };
    let of = |outcome: Outcome| members.values().filter(|o| **o == Some(outcome)).count();
    let facts = json!({ "count": count.unwrap_or(0), "admitted": of(Outcome::Admit), "refer": of(Outcome::Refer),
        "hold": of(Outcome::Hold), "deny": of(Outcome::Deny) });
    cx.make("party", facts);
    cx.visit.finished.push(cx.visit.step);
}
