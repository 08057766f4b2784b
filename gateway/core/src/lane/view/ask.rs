//! What a step asks of the desk.

use crate::profile::Choice;
use crate::text::Text;
use serde::Serialize;

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
    /// A whole number.
    Number {
        /// At least.
        min: i64,
        /// At most.
        max: i64,
    },
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
