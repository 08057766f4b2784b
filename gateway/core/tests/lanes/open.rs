//! Visits under way beside the one in front.

use crate::gate::*;
use crate::trucks::truck;
use kakou_core::core::Core;
use kakou_core::lane::LaneState;
use kakou_core::lane::action::Action;
use kakou_core::lane::visit::Stage;
use kakou_core::profile::{read, shipped};
use kakou_core::reading::{Command, Report};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ASIDE: &str = "id = \"own\"\ntitle = { zh = \"a\", en = \"a\" }\ndirection = \"in\"\nfail_mode = \"HOLD\"\n\
    [start]\non = [\"scan\", \"input\"]\ninputs = [\"fire\"]\n\
    [[step]]\nkind = \"scan\"\naccepts = [\"opaque\"]\n\
    [[step]]\nkind = \"temperature\"\naside = \"auto\"\nwhen = 'visit.origin == \"scan\"'\n\
    [[step]]\nkind = \"decide\"\n[[step]]\nkind = \"actuate\"\ndevice = \"barrier\"\n";

fn aside() -> Gate {
    gate_of("own.toml", ASIDE, &["scanner", "thermometer", "barrier", "fire"])
}

fn state(g: &Gate) -> &LaneState {
    &g.core.lane(&g.lane).unwrap().state
}

#[test]
fn a_code_in_the_pause_between_two_measurements_lets_whoever_is_hot_step_aside() {
    let mut g = aside();
    let step = g.scan("A");
    let hot = g.visit_id();
    g.wait(500);
    assert!(g.scan("B").counters.contains(&"scan_while_busy_total"), "a measurement is not interrupted");
    g.warm(&step, 38_100);
    g.wait(1_000);
    let step = g.scan("B");
    assert_eq!(kinds(&step), ["audit"]);
    assert_eq!((&step.events[0].data["act"], step.events[0].visit), (&json!("aside"), Some(hot)));
    assert!(ticket(&step, &Command::Measure).is_some(), "the next one is measured at once");
    assert!(state(&g).open[0].aside && state(&g).open[0].id == hot);
    let desk = g.desk();
    assert_eq!((&desk["open"][0]["why"], &desk["open"][0]["id"]), (&json!("aside"), &json!(hot)));
    let step = g.warm(&step, 36_600);
    g.confirm(&step);
    g.wait(5_000);
    let step = g.scan("A");
    assert_eq!(g.visit_id(), hot, "the own code goes on with it");
    let step = g.warm(&step, 36_600);
    assert!(step.events.iter().all(|e| e.kind != "transaction"), "one normal reading does not clear a fever");
}

#[test]
fn the_second_reading_of_somebody_in_the_pause_is_no_other_code() {
    let mut g = aside();
    let step = g.scan("A");
    g.warm(&step, 38_100);
    g.wait(4_000);
    let step = g.scan("A");
    assert!(step.counters.contains(&"scan_same_read_total") && state(&g).open.is_empty());
}

#[test]
fn a_contact_opens_beside_whoever_is_measured() {
    let mut g = aside();
    let measured = g.scan("A");
    let step = g.device("fire", Report::Input { active: true });
    assert!(opened(&step));
    assert_eq!(verdict(&step).0, "ADMIT");
    assert!(lamps(&step).is_empty(), "the lamps are those of the one in front");
    assert_eq!(g.visit_id().0, 1, "who is measured stays in front");
    let again = g.device("fire", Report::Input { active: true });
    assert!(opened(&again), "each time, also before the barrier has confirmed");
    g.confirm(&step);
    g.confirm(&again);
    assert_eq!(g.counters(), [2, 0, 0, 0]);
    assert_eq!(verdict(&g.warm(&measured, 36_600)).0, "ADMIT");
}

/// The same lane with another profile, behind a restart.
fn with_profile(g: &mut Gate, name: &str) {
    let (file, text) = shipped::find(name).unwrap();
    g.core.close(g.now.mono_ms);
    let lane = g.core.lane(&g.lane).unwrap();
    let mut setup = (*lane.setup).clone();
    setup.profile = read(file, text).unwrap().into();
    setup.profile_hash = name.into();
    let kept = serde_json::to_string(&lane.state).unwrap();
    let state: LaneState = serde_json::from_str(&kept).unwrap();
    g.core = Core::new(vec![setup], BTreeMap::from([(g.lane.clone(), state)]));
}

#[test]
fn a_new_policy_drops_no_visit_that_is_under_way() {
    let mut g = gate("truck-supplies");
    truck(&mut g, "辽P12345");
    let visit = g.visit_id();
    let at = g.desk()["ask"].clone();
    with_profile(&mut g, "school-gate");
    let step = g.core.resume(&g.now, &g.memory).unwrap();
    assert!(step.events.is_empty(), "{:?}", kinds(&step));
    let lane = g.core.lane(&g.lane).unwrap();
    let front = lane.state.visit.as_ref().unwrap();
    assert_eq!((front.id, front.stage), (visit, Stage::Running));
    assert_eq!(lane.profile_of(front).id.as_str(), "truck-supplies");
    assert_eq!(g.desk()["ask"], at, "it is asked what its own profile asks");
    let reason = "left".to_owned();
    g.act(Action::Cancel { reason, visit: None });
    g.wait(5_000);
    g.scan("green");
    let lane = g.core.lane(&g.lane).unwrap();
    assert_eq!(lane.profile().id.as_str(), "school-gate", "and the next one goes by the new profile");
    let kept: Value = serde_json::to_value(&lane.state).unwrap();
    assert!(kept.get("texts").is_none(), "the old one is not kept any longer");
}
