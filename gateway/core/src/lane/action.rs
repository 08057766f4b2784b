//! What staff can do at a desk.

use crate::codes::Outcome;
use crate::ids::{OfficerId, VisitId};
use crate::text::Text;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an officer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Gate staff.
    Guard,
    /// Triage and ward staff.
    Nurse,
    /// Traffic officer.
    Transport,
    /// Signs overrides that need a second name.
    Supervisor,
    /// Collects what is handed over: waste, specimens.
    Collector,
    /// Disease control: asks who was where.
    Cdc,
    /// Looks after the box; decides nothing in a lane.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Guard,
        Self::Nurse,
        Self::Transport,
        Self::Supervisor,
        Self::Collector,
        Self::Cdc,
        Self::Admin,
    ];
    /// The word in configuration and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Nurse => "nurse",
            Self::Transport => "transport",
            Self::Supervisor => "supervisor",
            Self::Collector => "collector",
            Self::Cdc => "cdc",
            Self::Admin => "admin",
        }
    }
    /// The one of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

/// A signed-in officer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Officer {
    /// Who.
    pub id: OfficerId,
    /// As what.
    pub role: Role,
}

/// One act at the desk. Passwords never come this far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Types a code, an id or a plate in place of a scan.
    Enter {
        /// What is typed.
        text: String,
        /// At which reader, where the lane has several: the role.
        on: Option<String>,
    },
    /// Begins a visit without any code.
    Start {
        /// At which reader, where the lane has several: the role.
        on: Option<String>,
    },
    /// Measures the temperature again.
    Recheck,
    /// Lets the visit whose measurement is not normal yet wait at the desk, so that the next one can begin.
    Aside,
    /// Calls in the first of those who were told to wait for a place.
    Call,
    /// Says how many people there are, or adds so many to a visit that is over.
    Party(u32),
    /// Takes an open record to the desk.
    Complete(VisitId),
    /// Answers a question.
    Answer {
        /// The question's step id.
        question: String,
        /// The answer.
        value: String,
    },
    /// Fills in a form: the answers by field, all of them or none.
    Form(BTreeMap<String, serde_json::Value>),
    /// Says how the seals of a load were found, all of them.
    SealCheck(Vec<SealRead>),
    /// Counts a code that was typed.
    Tally(String),
    /// Says that everything was counted.
    TallyDone,
    /// Approves or refuses.
    Approve {
        /// Which.
        approve: bool,
        /// In the officer's words.
        note: String,
        /// Who is signed in at the desk, if that is somebody else.
        desk: Option<OfficerId>,
    },
    /// Records a seal.
    Seal {
        /// The number.
        first: String,
        /// The number once more.
        second: String,
        /// Its kind.
        kind: String,
        /// Where.
        door: String,
    },
    /// Takes a photograph.
    Capture(String),
    /// Takes it again.
    Retake(String),
    /// Accepts it as evidence.
    Accept(String),
    /// Confirms all checks of a step.
    Confirm(Vec<String>),
    /// Ends the visit without a verdict.
    Cancel {
        /// Why.
        reason: String,
        /// Which one; without it, the one that runs.
        visit: Option<VisitId>,
    },
    /// Decides otherwise, by name.
    Override {
        /// Which visit.
        visit: VisitId,
        /// What instead.
        outcome: Outcome,
        /// Why, from [`OVERRIDE_REASONS`].
        reason: String,
        /// In words.
        note: String,
        /// The second signature.
        second: Option<Officer>,
    },
    /// Corrects a register.
    Correct {
        /// Which.
        register: String,
        /// What is held, as it is scanned or typed.
        key: String,
        /// By whom, likewise; `*` is all of the key.
        holder: String,
        /// `put`, `take` or `swap`.
        act: String,
        /// Why, in words.
        reason: String,
    },
    /// Prints a slip again, as it was.
    Reprint {
        /// Of which visit.
        visit: VisitId,
        /// The step that printed it; without one, the latest slip.
        step: Option<String>,
        /// Why.
        reason: String,
    },
    /// A command code that was read at the desk.
    Code(String),
    /// Asks the barrier once more, for an admitted visit that it did not open for.
    OpenAgain(VisitId),
    /// Says that the barrier, which did not open, was opened by hand.
    OpenedByHand(VisitId),
}

/// A seal as staff have read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealRead {
    /// The number on it.
    pub number: String,
    /// Where it sits.
    #[serde(default)]
    pub door: String,
    /// `intact`, `broken`, `loose` or `missing`.
    pub condition: String,
}

/// The longest note or reason, in characters; screens are told of it.
pub const NOTE_MAX: usize = 300;

/// Why an officer may decide otherwise: word, Chinese, English, whether a note is needed.
pub const OVERRIDE_REASONS: [(&str, &str, &str, bool); 7] = [
    ("paper_seen", "已查验纸质证明", "Paper proof was seen", false),
    ("clinical_thermometer", "临床体温计复测正常", "Clinical thermometer reads normal", false),
    ("known_person", "工作人员认识本人", "Staff know the person", false),
    ("medical_need", "就医需要", "Medical need", false),
    ("device_fault", "设备故障，人工核验", "Device fault, checked by hand", false),
    ("end_of_life", "临终探视", "End of life", false),
    ("other", "其他（请说明）", "Other (say what)", true),
];

/// Why an act was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// For programs.
    pub code: &'static str,
    /// For staff.
    pub text: Text,
    /// What is wrong with each field of a form.
    pub fields: BTreeMap<String, Text>,
}

impl Rejection {
    /// With both texts.
    pub fn new(code: &'static str, zh: &str, en: &str) -> Self {
        Self::of(code, Text::new(zh, en))
    }
    /// With words that are there already.
    pub fn of(code: &'static str, text: Text) -> Self {
        Self { code, text, fields: BTreeMap::new() }
    }
    /// The act does not fit the moment.
    pub fn not_now() -> Self {
        Self::new("not_now", "当前步骤不能这样操作", "This does not fit the current step")
    }
}

/// Whether a note is longer than a desk lets anybody write.
pub(super) fn is_long(note: &str) -> bool {
    note.chars().count() > NOTE_MAX
}

/// What is said of it.
pub(super) fn too_long() -> Rejection {
    Rejection::new("note", &format!("说明最多{NOTE_MAX}字"), &format!("At most {NOTE_MAX} characters"))
}
