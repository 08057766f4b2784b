//! What the first version sent, read by the central side of this one.

use super::{From, StateMessage, read};
use serde_json::Value;

#[test]
fn events_and_states_of_version_one_are_still_read() {
    let samples: Value = serde_json::from_str(include_str!("../../samples-v1.json")).unwrap();
    let text = |name: &str| samples[name].to_string();
    serde_json::from_str::<StateMessage>(&text("state")).unwrap();
    let (from, _) = From::of_topic("kakou/v1/demo/gw-1/evt/verdict").unwrap();
    let events = read(&from, false, text("event").as_bytes()).unwrap().events;
    assert!(events[0].refused.is_none());
    assert_eq!((events[0].seq, events[0].outcome.as_deref()), (5, Some("ADMIT")));
    assert_eq!(read(&from, true, text("batch").as_bytes()).unwrap().events.len(), 2);
}
