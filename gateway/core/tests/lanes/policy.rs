//! Another version of the profile while a visit runs.

use crate::gate::*;
use crate::restarted;
use crate::trucks::{seal, truck};
use kakou_core::core::Step;
use kakou_core::lane::LaneState;
use kakou_core::lane::visit::Stage;
use kakou_core::records::Write;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn another_edition(g: &mut Gate, profile: &str) -> Step {
    let mut json: Value = serde_json::to_value(&g.core.lane(&g.lane).unwrap().state).unwrap();
    json["profile_hash"] = "another version".into();
    let state: LaneState = serde_json::from_value(json).unwrap();
    g.core = restarted(profile, BTreeMap::from([(g.lane.clone(), state)]));
    g.core.resume(&g.now, &g.memory).unwrap()
}

#[test]
fn a_visit_that_a_new_policy_cannot_go_on_with_ends_with_an_event_and_keeps_its_seals() {
    let mut g = gate("truck-supplies");
    truck(&mut g, "辽P12345");
    let step = seal(&mut g, "LN0045678", "LN0045678");
    let ticket = step.requests[0].ticket;
    let visit = g.visit_id();
    g.photo(&step, 200, 90);
    let step = another_edition(&mut g, "truck-supplies");
    assert_eq!(kinds(&step), ["visit_abandoned"]);
    let event = &step.events[0];
    assert_eq!((event.visit, &event.data["reason"]), (Some(visit), &json!("profile")));
    assert_eq!(event.data["seals"][0]["number"], "LN0045678");
    assert!(event.data["photos"]["plate"].is_string(), "{ticket:?}: its pictures are named");
    let [Write::Archive { visit: kept, .. }] = step.writes.as_slice() else { panic!("{:?}", step.writes) };
    assert_eq!((kept.id, kept.stage, kept.seals.len()), (visit, Stage::Abandoned, 1));
    assert_eq!(g.desk()["visit"], Value::Null);
    g.wait(5_000);
    assert!(!g.scan("辽P12345").requests.is_empty(), "and the lane takes the truck anew");
}

#[test]
fn a_visit_that_is_over_is_kept_without_a_word_when_the_policy_changes() {
    let mut g = gate("school-gate");
    let visit = g.admit("green");
    let step = another_edition(&mut g, "school-gate");
    assert!(step.events.is_empty(), "{:?}", kinds(&step));
    let [Write::Archive { visit: kept, .. }] = step.writes.as_slice() else { panic!("{:?}", step.writes) };
    assert_eq!(kept.id, visit);
    assert_eq!(g.desk()["last_visits"], json!([]), "nobody acts on it by another profile");
}
