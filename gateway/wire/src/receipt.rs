//! What the central side has stored, in its own words.

use kakou_core::event::Class;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A receipt of the central side: everything of a stream up to `through_seq` is durable there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The stream.
    #[schema(value_type = String)]
    pub stream: Class,
    /// The journal's epoch.
    pub epoch: u64,
    /// The last event of the stream.
    pub through_seq: u64,
    /// Events of the stream that were not taken for what they say, and are kept aside: they count as received.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(inline)]
    pub refused: Vec<RefusedEvent>,
    /// The central side has the stream without a gap up to `through_seq` and no further, whatever it has receipted
    /// before: its store is another or an older one. What the gateway still has from there on is sent again. Without
    /// this word a receipt that says less than one before it says nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}

/// An event that the central side keeps aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusedEvent {
    /// Which of the stream.
    pub seq: u64,
    /// Why.
    pub why: String,
}

/// A receipt for a photograph: so many chunks of it are durable at the central side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PhotoReceipt {
    /// Which.
    pub photo: String,
    /// Chunks that are there, from the first without a gap.
    pub have: u32,
    /// Of how many.
    pub of: u32,
    /// Where the whole file may be put by HTTPS instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put: Option<String>,
}
