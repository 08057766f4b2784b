//! Names of things: one newtype each, validated once where they enter.
//!
//! An id is 1 to 40 characters of `a-z`, `0-9` and `-`, so that it can stand in a topic, a file
//! name, a URL and a metric label without escaping.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is not an id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an id: use 1 to 40 of a-z, 0-9 and -")]
pub struct BadId(pub String);

macro_rules! id {
    ($(#[$doc:meta] $name:ident),* $(,)?) => {$(
        #[$doc]
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes a text that keeps the rule of ids.
            pub fn new(text: impl Into<String>) -> Result<Self, BadId> {
                let text = text.into();
                let fits = (1..=40).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
                if fits { Ok(Self(text)) } else { Err(BadId(text)) }
            }
            /// The id as text.
            pub fn as_str(&self) -> &str { &self.0 }
        }
        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> { Self::new(text) }
        }
        impl std::str::FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> { Self::new(text) }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String { id.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
    )*};
}

id! {
    /// A place with one or more gateways: a school, a highway exit, a hospital.
    SiteId,
    /// One box.
    GatewayId,
    /// One stream of people or vehicles through the gate.
    LaneId,
    /// One attached device.
    DeviceId,
    /// A named member of staff who can sign in.
    OfficerId,
    /// A lane profile.
    ProfileId,
}

/// One pass of one subject through one lane. Grows by one within an epoch of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VisitId(pub u64);

impl fmt::Display for VisitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_refuse_what_a_topic_or_a_file_name_could_not_hold() {
        for bad in ["", "A", "a/b", "a+b", "#", "ä", &"x".repeat(41)] {
            assert!(LaneId::new(bad).is_err(), "{bad}");
        }
        assert_eq!(LaneId::new("school-1").map(|i| i.to_string()), Ok("school-1".into()));
    }
}
