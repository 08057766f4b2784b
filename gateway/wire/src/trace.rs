//! Who was where: what a gateway and the database answer alike.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// One verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Row {
    /// Its event.
    pub seq: i64,
    /// When, RFC 3339.
    pub at: Option<String>,
    /// When in truth, where the clock was confirmed only later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected: Option<String>,
    /// The lane.
    pub lane: String,
    /// The outcome.
    pub outcome: String,
    /// The codes.
    pub codes: Vec<String>,
    /// The subject's key.
    pub subject: String,
    /// The number of the secret that made it; an event of an earlier version does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_key: Option<u32>,
    /// Whether the broker has not acknowledged it yet.
    pub unsent: bool,
}

impl Row {
    /// What an event says of a visit.
    pub fn of(seq: i64, event: &Value) -> Self {
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let data = &event["data"];
        Self {
            seq,
            at: event["time"].as_str().map(str::to_owned),
            corrected: None,
            lane: text(&event["subject"]).split('/').next().unwrap_or_default().to_owned(),
            outcome: text(&data["outcome"]),
            codes: data["codes"].as_array().into_iter().flatten().map(text).collect(),
            subject: text(&data["subject"]),
            subject_key: data["subject_key"].as_u64().and_then(|n| u32::try_from(n).ok()),
            unsent: false,
        }
    }
}
