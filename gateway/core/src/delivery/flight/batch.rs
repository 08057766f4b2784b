//! One message of events, while it is put together and after.

use crate::event::{Class, type_of};
use crate::evidence::Hash;
use serde_json::{Map, Value, json};

/// Events of one stream in one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The stream.
    pub class: Class,
    /// The first event, or the first of those that were shed before it.
    pub first: u64,
    /// The last event.
    pub last: u64,
    /// How many: events that were shed leave gaps.
    pub count: u64,
    /// The message.
    pub body: Vec<u8>,
    /// One event as it is, or an array of them.
    pub single: bool,
    /// Whether it tells what was, not what is.
    pub late: bool,
    /// It stands for an event that is larger than the broker takes.
    pub too_large: Option<TooLarge>,
    /// Whether the backlog's cursor gave it.
    pub(in crate::delivery) backlog: bool,
}

/// An event that no message can carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLarge {
    /// Its id.
    pub id: String,
    /// Its size.
    pub bytes: usize,
}

/// The kind of the event that goes out in its place.
const STANDS_FOR: &str = "event_too_large";

/// What goes out in the place of an event that is too large: the same event, with the hash of what was in it. The
/// stream goes on, the central side knows that something was there, and the journal still has it.
pub(super) fn stand_in(body: &[u8], max: usize) -> (Vec<u8>, TooLarge) {
    let mut event: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let was = event.insert("type".into(), json!(type_of(STANDS_FOR)));
    let data = json!({ "type": was, "bytes": body.len(), "most": max, "sha256": Hash::of(body).hex() });
    event.insert("data".into(), data);
    let id = event.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    (Value::Object(event).to_string().into_bytes(), TooLarge { id, bytes: body.len() })
}

/// A batch while it is put together.
pub(super) struct PendingBatch {
    pub(super) class: Class,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) body: Vec<u8>,
    pub(super) count: usize,
    pub(super) oldest_ms: i64,
    pub(super) late: bool,
    pub(super) too_large: Option<TooLarge>,
    pub(super) backlog: bool,
}

impl PendingBatch {
    /// The message.
    pub(super) fn message(self) -> Batch {
        let Self { class, first, last, mut body, count, late, too_large, backlog, .. } = self;
        let single = count == 1;
        if single {
            body.remove(0);
        } else {
            body.push(b']');
        }
        Batch { class, first, last, count: count as u64, body, single, late, too_large, backlog }
    }
}
