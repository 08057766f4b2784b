//! What a step asks of the desk.

use super::shapes::Member;
use crate::ids::OfficerId;
use crate::profile::Choice;
use crate::text::Text;
use serde::Serialize;
use serde_json::{Number, Value};

/// The form that the desk shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Ask {
    /// A code, or something typed in its place.
    Scan {
        /// What the lane asks for.
        prompt: Text,
    },
    /// Nothing: somebody is measured.
    Temperature {
        /// What the lane asks for.
        prompt: Text,
        /// Which measurement this is, from 1.
        r#try: usize,
        /// How many there can be.
        tries: usize,
        /// Until the next one begins, in seconds.
        wait_s: u64,
    },
    /// An answer.
    Question {
        /// The step.
        id: String,
        /// The question.
        prompt: Text,
        /// Its form.
        #[serde(flatten)]
        answer: Answer,
    },
    /// Answers to all fields at once.
    Form {
        /// The step.
        id: String,
        /// What it is about.
        prompt: Text,
        /// Its fields, in order.
        fields: Vec<FieldAsk>,
    },
    /// Codes, one after another, until all are counted.
    Tally {
        /// What is counted.
        prompt: Text,
        /// How many were counted.
        count: usize,
        /// How many came once more.
        again: u64,
        /// No more than so many.
        most: usize,
        /// How many there should be, where that is known.
        expected: Option<usize>,
        /// What should be there and was not read yet.
        missing: Vec<String>,
        /// What was read and should not be there.
        unknown: Vec<String>,
        /// The latest code and what became of it.
        last: Option<(String, TallyRead)>,
    },
    /// How each seal of a load is found.
    SealCheck {
        /// What the lane asks for.
        prompt: Text,
        /// The numbers that should be there.
        expected: Vec<String>,
        /// Where they can sit.
        doors: Vec<Opt>,
        /// How they can be found.
        conditions: Vec<Opt>,
        /// The number that was scanned last.
        scanned: Option<String>,
    },
    /// The number of a seal, twice.
    Seal {
        /// What the lane asks for.
        prompt: Text,
        /// Where it can sit.
        doors: Vec<Opt>,
        /// What it can be.
        kinds: Vec<Opt>,
        /// The number that was scanned.
        scanned: Option<String>,
    },
    /// Nothing: something is put on the scale.
    Weigh {
        /// What the lane asks for.
        prompt: Text,
    },
    /// A photograph.
    Photo {
        /// Of what.
        role: Option<String>,
        /// In words.
        prompt: Option<Text>,
    },
    /// Yes or no.
    Approve {
        /// What is approved.
        prompt: Text,
        /// Who may; any role if empty.
        roles: Vec<String>,
    },
    /// Every check ticked.
    Confirm {
        /// What is confirmed.
        prompt: Text,
        /// The checks.
        checks: Vec<Check>,
        /// Who signs, one after another.
        signatures: Vec<SignatureAsk>,
    },
    /// How many people there are; then everybody's code.
    Party {
        /// What the lane asks for.
        prompt: Text,
        /// At least.
        min: u32,
        /// At most.
        max: u32,
        /// How many there are, as far as staff have said it.
        count: Option<u32>,
        /// Those who have come.
        members: Vec<Member>,
    },
    /// Nothing.
    Wait {
        /// What is waited for.
        prompt: Text,
    },
}

/// The form of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "input", rename_all = "kebab-case")]
pub enum Answer {
    /// One of these.
    Choice {
        /// They.
        options: Vec<Opt>,
    },
    /// Some of these.
    Choices {
        /// They.
        options: Vec<Opt>,
    },
    /// A number.
    Number {
        /// At least.
        min: Number,
        /// At most.
        max: Number,
        /// Places behind the point; none for a whole number.
        decimals: u8,
    },
    /// A day, as in 2022-05-24.
    Date,
    /// A telephone number of eleven digits.
    Phone,
    /// The number of an identity card.
    Id,
    /// The number of a container.
    Container,
    /// A code, read or typed.
    Scan,
    /// A number plate.
    Plate {
        /// The photograph that it is read from.
        photo: Option<Pictured>,
    },
    /// A line of text.
    Text {
        /// At most so many characters.
        max: usize,
    },
}

/// A field of a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldAsk {
    /// Its name.
    pub id: String,
    /// For people.
    pub text: Text,
    /// Whether it must be answered when it is asked.
    pub required: bool,
    /// It is asked only with some answer to another field.
    pub depends_on: Option<DependsOn>,
    /// Whether the answer stays in memory, and is read by the central side alone.
    pub private: bool,
    /// Whether the answer is taken for the code of the visit.
    pub subject: bool,
    /// What is filled in already.
    pub value: Option<Value>,
    /// The form of its answer.
    #[serde(flatten)]
    pub answer: Answer,
}

/// The field on which another one depends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DependsOn {
    /// Its name.
    pub field: String,
    /// The answer with which the other is asked.
    pub value: Option<String>,
    /// The answer with which it is not; without either, the lane finds out.
    pub unless: Option<String>,
}

/// What became of a code that was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TallyRead {
    /// It counts.
    Counted,
    /// It had been counted.
    Again,
    /// It counts, and should not be there.
    Unknown,
    /// There are too many.
    Full,
}

/// A signature of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignatureAsk {
    /// Who may give it; any role if empty.
    pub roles: Vec<String>,
    /// Who has.
    pub by: Option<OfficerId>,
}

/// Something to choose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Opt {
    /// What is sent.
    pub value: String,
    /// What is read.
    pub text: Text,
}

/// Something to tick.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is sent.
    pub id: String,
    /// What is read.
    pub text: Text,
}

/// A photograph of the visit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pictured {
    /// Of what.
    pub role: String,
    /// Its file.
    pub sha256: Option<String>,
}

/// Choices of a profile, for the desk.
pub fn options(choices: &[Choice]) -> Vec<Opt> {
    choices.iter().map(|c| Opt { value: c.value.clone(), text: c.text() }).collect()
}
