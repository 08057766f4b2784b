//! Where a gateway speaks, and what its bodies are.

use kakou_core::ids::{GatewayId, SiteId};

/// The content types of an event and of a batch of them, by the binding of CloudEvents to MQTT 5: without one, a reader
/// that goes by it takes the whole message for the data of an event that has no id.
pub const EVENT: &str = "application/cloudevents+json";
/// The same of a batch.
pub const BATCH: &str = "application/cloudevents-batch+json";

/// The prefix of a gateway's topics.
pub fn topic(site: &SiteId, gateway: &GatewayId, rest: &str) -> String {
    format!("kakou/v1/{site}/{gateway}/{rest}")
}
