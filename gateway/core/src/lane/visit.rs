//! A visit: everything that is known of one pass of one subject through one lane.

mod private;
mod seals;
mod slips;
mod taken;

use super::record::Record;
use super::step::Waits;
use super::step::somebody::NotTaken;
use super::step::temperature::Measuring;
use super::step::verify::Found;
use crate::codes::{Code, Finding, Outcome};
use crate::evidence::SubjectKeys;
use crate::ids::{OfficerId, VisitId};
use crate::pass::{Format, Pass, Refused};
use crate::profile::facts::{ANSWERS, ENTRY};
use crate::reading::Ticket;
use crate::register::Intent;
use crate::text::masked;
use crate::time::{MonoMs, WallMs};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

pub use private::Private;
pub use seals::{CheckedSeal, Seal, SealCheck, SealCondition};
pub use slips::{PrintState, Slip, slips};
pub use taken::{Actuation, Measurement, PhotoSlot, PhotoState, Weighed};

/// An ended visit that an override could take up again is kept whole for so long, in milliseconds.
pub const OPEN_MS: i64 = 24 * 3_600_000;

/// Where a visit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "stage")]
pub enum Stage {
    /// At a step.
    Running,
    /// A verdict other than ADMIT was given; an override goes on at `resume`.
    Parked {
        /// The step after the one that gave the verdict.
        resume: usize,
    },
    /// All steps are done.
    Done,
    /// It ended without a verdict.
    Abandoned,
}

/// How a visit has begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// A reader has read a code.
    #[default]
    Scan,
    /// Staff have typed one, or found it by a name.
    Typed,
    /// A camera has read a plate.
    Plate,
    /// Staff have begun it without any code.
    Desk,
    /// Somebody has pressed the button of the lane.
    Button,
    /// A contact of the lane has become active.
    Input,
}

impl Origin {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Scan, Self::Typed, Self::Plate, Self::Desk, Self::Button, Self::Input];
    /// The word in profiles, facts and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Typed => "typed",
            Self::Plate => "plate",
            Self::Desk => "desk",
            Self::Button => "button",
            Self::Input => "input",
        }
    }
    /// The one of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == word)
    }
}

/// A verdict as staff saw it. It is never rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The outcome.
    pub outcome: Outcome,
    /// The reasons, the deciding one first.
    pub codes: Vec<Code>,
}

/// A named officer's decision beside the verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overridden {
    /// What was decided.
    pub outcome: Outcome,
    /// By whom.
    pub officer: OfficerId,
    /// Why, from the list.
    pub reason: String,
    /// The second signature.
    pub second: Option<OfficerId>,
}

/// A verdict that another followed, and what an officer decided beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    /// The verdict.
    pub verdict: Verdict,
    /// The override.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<Overridden>,
}

/// As what a visit counts: once, by the outcome that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The civil day, counted from 1970.
    pub day: i64,
    /// The outcome.
    pub outcome: Outcome,
}

/// Facts of a pass that a visit keeps when it is over: of the vehicle and the journey, none of a person.
const CLOSED_FACTS: [&str; 12] =
    ["plate", "category", "from", "to", "crew", "role", "ward", "kind", "format", "uses", "nbf_ms", "exp_ms"];

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One visit. What is empty is not stored: a visit is written with every step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Visit {
    /// Its number.
    pub id: VisitId,
    /// When the code was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<WallMs>,
    /// When the code was read, monotonic.
    #[serde(default, skip_serializing_if = "is_default")]
    pub started_mono: MonoMs,
    /// How it has begun.
    #[serde(default, skip_serializing_if = "is_default")]
    pub origin: Origin,
    /// `in`, `out` or `through`; a visit of an earlier version does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub direction: String,
    /// The role of the input that began it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub input: String,
    /// The visit of the party that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<VisitId>,
    /// The number that the lane has given to what has no code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// The plate that a camera has read to begin it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plate: Option<String>,
    /// What tells its profile from others; a visit of an earlier version does not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// What makes two codes the same: a keyed hash of key id and pass id, or of a code that is no pass.
    pub key: String,
    /// Where it stands.
    #[serde(flatten)]
    pub stage: Stage,
    /// The index of the step.
    pub step: usize,
    /// When the step must be over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<MonoMs>,
    /// What the step keeps while it waits.
    #[serde(default, skip_serializing_if = "is_default")]
    pub waits: Waits,
    /// The pass. The number from a form is not stored.
    #[serde(default, skip_serializing_if = "private::is_not_stored")]
    pub pass: Option<Pass>,
    /// Why there is no pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// The subject's key, not its id.
    pub subject: String,
    /// The number of the secret that made it; a visit of an earlier version does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_key: Option<u32>,
    /// Masked name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it does to registers with its admission.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acts: Vec<Intent>,
    /// What was found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// Codes that an officer has overridden.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[serde(rename = "forgiven")]
    pub overridden_codes: Vec<Code>,
    /// What rules may ask.
    #[serde(serialize_with = "private::stored_facts")]
    pub facts: Map<String, Value>,
    /// What lists have said, for a further `verify`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub found: Found,
    /// Measurements.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readings: Vec<Measurement>,
    /// Answers by question.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, String>,
    /// Private answers, in memory alone.
    #[serde(skip)]
    pub private: Private,
    /// Who approved what.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub approvals: BTreeMap<String, OfficerId>,
    /// Seals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seals: Vec<Seal>,
    /// Seals that were compared with the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal_check: Option<SealCheck>,
    /// The weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weighed: Option<Weighed>,
    /// Photographs by role.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub photos: BTreeMap<String, PhotoSlot>,
    /// The verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The override.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<Overridden>,
    /// The verdicts before this one and the overrides beside them, the first first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Earlier>,
    /// Kinds of extra events that were told of with the latest verdict, and before an override that the visit went on by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emitted: Vec<String>,
    /// Slips, one for each step that has printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prints: Vec<Slip>,
    /// As what it is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
    /// How many verdicts this visit has had.
    #[serde(default, skip_serializing_if = "is_default")]
    pub verdicts: u32,
    /// Whether its admission was recorded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub admitted: bool,
    /// The barrier.
    #[serde(default, skip_serializing_if = "is_default")]
    pub actuation: Actuation,
    /// Who acted last in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<OfficerId>,
    /// How often the barrier was asked.
    #[serde(default, skip_serializing_if = "is_default")]
    pub pulses: u32,
    /// Steps that staff have finished: after a recheck they are not asked again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finished: Vec<usize>,
    /// The first of the steps that a refused pass left out: an override goes on there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out_from: Option<usize>,
    /// Where a visit goes on whose form was asked again after a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back_to: Option<usize>,
    /// Steps that were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<usize>,
    /// When the screen goes back to idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown_until: Option<MonoMs>,
    /// Whether this is an earlier result shown again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub repeated: bool,
    /// It has stepped aside, and waits at the desk to be measured again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub aside: bool,
    /// It has come to a device, and waits until the front is free.
    #[serde(default, skip_serializing_if = "is_default")]
    pub queued: bool,
    /// The record that is to be written later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Record>,
    /// Until then people can be added to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guests_until: Option<MonoMs>,
    /// Somebody's card, which its step has not taken as the answer.
    #[serde(skip)]
    pub not_taken: Option<NotTaken>,
    /// What an earlier version kept of a temperature step in progress.
    #[serde(default, skip_serializing)]
    measuring: Option<Measuring>,
    /// What it kept of a seal step.
    #[serde(default, skip_serializing)]
    seal_scanned: Option<String>,
    /// What it kept of slips: the steps that had printed since the latest verdict, and what became of the latest slip.
    #[serde(default, skip_serializing)]
    printed: Vec<usize>,
    #[serde(default, skip_serializing)]
    slip: Actuation,
}

impl Visit {
    /// A visit that begins now.
    pub fn begin(id: VisitId, key: String, now: &crate::time::Now) -> Self {
        Self {
            id,
            started_ms: now.wall_ms,
            started_mono: now.mono_ms,
            origin: Origin::Scan,
            direction: String::new(),
            input: String::new(),
            parent: None,
            number: None,
            plate: None,
            profile: String::new(),
            key,
            stage: Stage::Running,
            step: 0,
            deadline: None,
            waits: Waits::default(),
            pass: None,
            refused: None,
            subject: String::new(),
            subject_key: None,
            name: None,
            acts: Vec::new(),
            findings: Vec::new(),
            overridden_codes: Vec::new(),
            facts: Map::new(),
            found: Found::new(),
            readings: Vec::new(),
            answers: BTreeMap::new(),
            private: Private::default(),
            approvals: BTreeMap::new(),
            seals: Vec::new(),
            seal_check: None,
            weighed: None,
            photos: BTreeMap::new(),
            verdict: None,
            overridden: None,
            history: Vec::new(),
            emitted: Vec::new(),
            prints: Vec::new(),
            counted: None,
            verdicts: 0,
            admitted: false,
            actuation: Actuation::None,
            by: None,
            pulses: 0,
            finished: Vec::new(),
            left_out_from: None,
            back_to: None,
            skipped: Vec::new(),
            shown_until: None,
            repeated: false,
            aside: false,
            queued: false,
            record: None,
            guests_until: None,
            not_taken: None,
            measuring: None,
            seal_scanned: None,
            printed: Vec::new(),
            slip: Actuation::None,
        }
    }

    /// Takes the pass, under the subject key of its holder. Of a full name the masked one is all that is needed, and all that is kept.
    pub fn take(&mut self, mut pass: Pass, subjects: &SubjectKeys) {
        self.name = pass.name.take().map(|name| masked(&name)).filter(|name| !name.is_empty());
        pass.facts.remove("name");
        self.subject = subjects.of(&pass.subject);
        self.subject_key = Some(subjects.number());
        self.pass = Some(pass);
    }

    /// Takes the full names out of a visit that an earlier version has stored.
    pub fn forget_names(&mut self) {
        if let Some(pass) = &mut self.pass {
            if let Some(full) = pass.name.take() {
                self.name.get_or_insert(masked(&full));
            }
            pass.facts.remove("name");
        }
        if let Some(Value::Object(pass)) = self.facts.get_mut("pass") {
            pass.remove("name");
        }
    }

    /// Takes over what an earlier version kept for the step that waits, and of slips.
    pub fn take_over(&mut self) {
        let Self { waits, measuring, seal_scanned, .. } = self;
        waits.temperature = measuring.take().or(waits.temperature.take());
        waits.seal = seal_scanned.take().or(waits.seal.take());
        // Whether a slip came that it had asked for, nobody will say any more.
        let state = if waits.print.take().is_some() || self.slip != Actuation::Done {
            PrintState::Failed
        } else {
            PrintState::Done
        };
        for step in std::mem::take(&mut self.printed) {
            let (tickets, lines, unkept) = (Vec::new(), Vec::new(), Vec::new());
            self.prints.push(Slip { step, state, tickets, verdict: self.verdicts, lines, unkept });
        }
    }

    /// The state of its slips in one word.
    pub fn slip(&self) -> Actuation {
        if self.prints.is_empty() { self.slip } else { slips(&self.prints) }
    }

    /// Whether the printer still owes an answer to a request of it.
    pub fn awaits_slip(&self, ticket: Ticket) -> bool {
        self.prints.iter().any(|slip| slip.tickets.contains(&ticket))
    }

    /// The visit as it is kept when nothing of it can go on any more: what screens and later events show of it,
    /// without the numbers that stand for a person.
    pub fn closed(&self) -> Self {
        let mut kept = self.clone();
        if matches!(kept.stage, Stage::Running | Stage::Parked { .. }) {
            kept.stage = Stage::Done;
        }
        kept.forget_names();
        kept.found.clear();
        kept.facts.remove(ENTRY);
        kept.facts.remove(ANSWERS);
        kept.private = Private::default();
        let shown = |name: &str| CLOSED_FACTS.contains(&name);
        if let Some(pass) = &mut kept.pass {
            pass.subject.clear();
            if pass.format != Format::Kp1 {
                pass.id.clear();
            }
            pass.facts.retain(|name, _| shown(name));
        }
        if let Some(Value::Object(pass)) = kept.facts.get_mut("pass") {
            pass.retain(|name, _| shown(name));
        }
        kept
    }

    /// Whether an override could take it up again at a moment, in UTC milliseconds.
    pub fn is_open(&self, at_ms: WallMs) -> bool {
        let waits = matches!(self.stage, Stage::Running | Stage::Parked { .. });
        waits && at_ms - self.started_ms.unwrap_or(0) < OPEN_MS
    }

    /// Whether a contact has begun it: what it opens waits for nobody.
    pub const fn is_urgent(&self) -> bool {
        matches!(self.origin, Origin::Input | Origin::Button)
    }

    /// The outcome that counts: the override's, else the verdict's.
    pub fn outcome(&self) -> Option<Outcome> {
        self.overridden.as_ref().map(|o| o.outcome).or(self.verdict.as_ref().map(|v| v.outcome))
    }

    /// What staff are shown: an admission by override counts when the lane has gone on to it, a truck's
    /// when it is sealed.
    pub fn stands(&self) -> Option<Outcome> {
        let outcome = self.outcome().filter(|o| *o != Outcome::Admit || self.admitted);
        outcome.or(self.verdict.as_ref().map(|v| v.outcome))
    }

    /// Keeps the verdict and the override that another one takes the place of.
    pub fn keep_earlier(&mut self) {
        if let Some(verdict) = self.verdict.clone() {
            self.history.push(Earlier { verdict, overridden: self.overridden.take() });
        }
    }

    /// Whether the barrier was to open for it and did not, and nobody has said yet what became of it.
    pub fn unopened(&self) -> bool {
        self.actuation == Actuation::Failed && self.outcome() == Some(Outcome::Admit)
    }

    /// Adds a finding once.
    pub fn find(&mut self, code: Code, outcome: Outcome) {
        if !self.findings.iter().any(|f| f.code == code) {
            self.findings.push(Finding { code, outcome });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{Now, Quality};

    #[test]
    fn a_visit_is_open_for_a_day_as_long_as_an_override_could_take_it_up() {
        let now = Now { mono_ms: 0, wall_ms: Some(1_000), quality: Quality::Synced };
        let mut visit = Visit::begin(VisitId(1), "k".into(), &now);
        assert!(visit.is_open(1_000) && visit.is_open(1_000 + OPEN_MS - 1));
        assert!(!visit.is_open(1_000 + OPEN_MS) && !visit.is_open(1_000 + 2 * OPEN_MS));
        for (stage, open) in
            [(Stage::Parked { resume: 2 }, true), (Stage::Done, false), (Stage::Abandoned, false)]
        {
            visit.stage = stage;
            assert_eq!(visit.is_open(1_001), open, "{stage:?}");
            assert_eq!(visit.closed().stage, if open { Stage::Done } else { stage });
        }
    }
}
