//! Seals of a visit: those that were applied, and those that were compared with the record.

use crate::ids::OfficerId;
use crate::text::Text;
use serde::{Deserialize, Serialize};

/// One seal that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Its number, upper case.
    pub number: String,
    /// Its kind.
    pub kind: String,
    /// Where it sits.
    pub door: String,
    /// `typed-twice` or `scanned-and-typed`.
    pub read_method: String,
    /// Who applied it.
    pub officer: OfficerId,
    /// The number of the seal in whose place it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

/// How a seal is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SealCondition {
    /// Whole.
    Intact,
    /// Broken or cut.
    Broken,
    /// It sits loose, or was pulled.
    Loose,
    /// It is not there.
    Missing,
}

impl SealCondition {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Intact, Self::Broken, Self::Loose, Self::Missing];
    /// The word in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::Broken => "broken",
            Self::Loose => "loose",
            Self::Missing => "missing",
        }
    }
    /// The one of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|condition| condition.as_str() == word)
    }
    /// For staff.
    pub fn text(self) -> Text {
        match self {
            Self::Intact => Text::new("完好", "Intact"),
            Self::Broken => Text::new("破损", "Broken"),
            Self::Loose => Text::new("松动", "Loose"),
            Self::Missing => Text::new("缺失", "Missing"),
        }
    }
}

/// A seal as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedSeal {
    /// Its number, upper case.
    pub number: String,
    /// Where it sits.
    pub door: String,
    /// How it is found.
    pub condition: SealCondition,
    /// Who looked at it.
    pub officer: OfficerId,
}

/// The seals of a load beside those that it should have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealCheck {
    /// The numbers that should be there.
    pub expected: Vec<String>,
    /// What was read.
    #[serde(default)]
    pub read: Vec<CheckedSeal>,
}
