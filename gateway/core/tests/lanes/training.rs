//! A lane that is practised on opens nothing, uses nothing up and counts nowhere; what is practised never becomes real.

use super::gate::*;
use super::trucks::{seal, truck};
use kakou_core::codes::Outcome;
use kakou_core::core::{Core, Step};
use kakou_core::lane::view;
use kakou_core::lane::{LaneState, Setup};
use kakou_core::reading::Command;
use serde_json::Value;
use std::collections::BTreeMap;

const ROLES: [&str; 5] = ["scanner", "thermometer", "barrier", "camera", "signal"];

/// The kinds that the events of a step would have at a real lane.
fn practised(step: &Step) -> Vec<&str> {
    assert!(step.events.iter().all(|event| event.kind == "training"), "{:?}", kinds(step));
    step.events.iter().map(|event| event.data["kind"].as_str().unwrap()).collect()
}

/// A lane that has begun to be practised on.
fn begun(profile: &str) -> Gate {
    let mut g = training(profile, &ROLES);
    g.core.resume(&g.now, &g.memory).unwrap();
    g
}

fn does_nothing(step: &Step) {
    let acts = |command: &Command| {
        matches!(command, Command::Pulse { .. } | Command::Signal { .. } | Command::Print { .. })
    };
    assert!(!step.requests.iter().any(|request| acts(&request.command)), "{:?}", step.requests);
    let archive =
        |write: &kakou_core::records::Write| matches!(write, kakou_core::records::Write::Archive { .. });
    assert!(step.writes.iter().all(archive), "{:?}", step.writes);
    assert!(step.outcomes.is_empty());
}

#[test]
fn a_pupil_is_measured_and_judged_and_nothing_opens_and_nothing_counts() {
    let mut g = begun("school-gate");
    let step = g.scan("green");
    does_nothing(&step);
    let step = g.warm(&step, 36_600);
    does_nothing(&step);
    assert_eq!(practised(&step), ["temperature", "transaction", "arrival"]);
    let verdict = &step.events.iter().find(|e| e.data["kind"] == "transaction").unwrap().data["data"];
    assert_eq!(verdict["outcome"], "ADMIT", "the rules are those of any lane");
    assert_eq!(g.screen()["verdict"]["outcome"], "ADMIT");
    assert_eq!(
        (g.screen()["training"].clone(), g.desk()["training"].clone()),
        (Value::Bool(true), Value::Bool(true))
    );
    let lane = g.core.lane(&g.lane).unwrap();
    assert!(view::status(lane, &g.now, None).training);
}

#[test]
fn a_single_use_pass_and_a_seal_are_as_new_when_somebody_has_practised_with_them() {
    let mut g = begun("truck-supplies");
    truck(&mut g, "辽P12345");
    let step = seal(&mut g, "LN0045678", "LN0045678");
    assert_eq!(step.reply, Some(Ok(())));
    does_nothing(&step);
    assert!(g.memory.seals.borrow().is_empty() && g.memory.redeemed.borrow().is_empty());
}

/// The lane behind a restart, in the other mode.
fn changed(g: &mut Gate, training: bool) -> Step {
    let lane = g.core.lane(&g.lane).unwrap();
    let devices = ROLES.map(|role| (role.to_owned(), kakou_core::ids::DeviceId::new(role).unwrap()));
    let setup = Setup { training, devices: devices.into(), ..(*lane.setup).clone() };
    let mut state: LaneState = serde_json::from_str(&serde_json::to_string(&lane.state).unwrap()).unwrap();
    // The visits before are kept apart by the store.
    state.recent = lane.state.recent.clone();
    g.core = Core::new(vec![setup], BTreeMap::from([(g.lane.clone(), state)]));
    g.core.resume(&g.now, &g.memory).unwrap()
}

#[test]
fn what_was_practised_is_not_taken_up_by_a_lane_that_works_and_the_other_way_round() {
    let mut g = begun("truck-supplies");
    truck(&mut g, "辽P12345");
    let visit = g.visit_id();
    let step = changed(&mut g, false);
    assert_eq!(practised(&step), ["visit_abandoned"], "said as it was: practised");
    let refused = g.override_of(visit, Outcome::Admit);
    assert!(refused.reply.unwrap().is_err());
    assert!(refused.requests.is_empty());
    // A real visit is ended on record, under its own kind, before anybody practises.
    truck(&mut g, "辽P12345");
    let step = changed(&mut g, true);
    assert_eq!(kinds(&step), ["visit_abandoned"]);
    assert_eq!(step.events[0].data["reason"], "training");
    let state = &g.core.lane(&g.lane).unwrap().state;
    assert!(state.visits().next().is_none() && state.training);
    // A restart in the same mode changes nothing.
    assert!(changed(&mut g, true).events.is_empty());
}
