//! What a step keeps while it waits is its own: nothing of it is left over in the next one, and a visit that an
//! earlier version kept goes on at its step.

use crate::gate::*;
use crate::restarted;
use crate::trucks::{seal, truck};
use kakou_core::lane::LaneState;
use kakou_core::lane::action::Action;
use kakou_core::lane::step::KINDS;
use kakou_core::reading::{Command, Report};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn state(g: &Gate) -> Value {
    serde_json::to_value(&g.core.lane(&g.lane).unwrap().state).unwrap()
}

/// The kinds of steps that the visit at the front keeps something for.
fn waits(g: &Gate) -> Vec<String> {
    let waits = &state(g)["visit"]["waits"];
    waits.as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn nothing_of_one_step_is_left_over_in_the_next() {
    let mut g = gate("truck-supplies");
    let step = g.scan("辽P12345");
    g.photo(&step, 200, 90);
    g.act(Action::Accept("plate".into()));
    g.answer("plate", "辽P12345");
    assert_eq!(waits(&g), [""; 0]);
    let step = g.answer("crew", "2");
    assert_eq!(waits(&g), ["temperature"], "while it is measured");
    g.warm(&step, 36_500);
    assert_eq!(waits(&g), [""; 0]);
    g.device("scanner", Report::Scan { bytes: b"LN0045678".to_vec() });
    assert_eq!(waits(&g), ["seal"], "what was scanned is still to be typed");
    let step = seal(&mut g, "LN0045678", "LN0045678");
    assert_eq!(waits(&g), [""; 0]);
    g.photo(&step, 200, 90);
    let step = g.act(Action::Accept("closeup".into()));
    g.photo(&step, 200, 90);
    g.act(Action::Accept("overall".into()));
    let all = ["view", "verify", "tug", "twist"].map(str::to_owned).to_vec();
    let step = g.act(Action::Confirm(all));
    assert_eq!(waits(&g), ["actuate"]);
    let ticket = ticket(&step, &Command::Pulse { ms: 1000 }).unwrap();
    g.device("barrier", Report::Done { ticket });
    assert_eq!(waits(&g), [""; 0]);
}

#[test]
fn nothing_is_kept_for_a_visit_that_was_cancelled_at_its_step() {
    let mut g = gate("school-gate");
    g.scan("green");
    assert_eq!(waits(&g), ["temperature"]);
    g.act(Action::Cancel { reason: "left".into(), visit: None });
    let lane = g.core.lane(&g.lane).unwrap();
    let kept = serde_json::to_value(lane.state.recent[0].as_ref()).unwrap();
    assert_eq!(kept.get("waits"), None);
}

/// A restart of a gateway whose earlier version has kept `old` under `key` for the visit at the front.
fn updated(g: &mut Gate, profile: &str, key: &str, old: &Value) {
    let mut state = state(g);
    let visit = state["visit"].as_object_mut().unwrap();
    visit.remove("waits");
    visit.insert(key.to_owned(), old.clone());
    let state: LaneState = serde_json::from_value(state).unwrap();
    g.core = restarted(profile, BTreeMap::from([(g.lane.clone(), state)]));
    g.wait(2_000);
    g.now.mono_ms = 5;
    g.core.resume(&g.now, &g.memory).unwrap();
    assert_eq!(self::state(g)["visit"].get(key), None, "it is kept in one place");
}

#[test]
fn a_visit_that_an_earlier_version_was_measuring_goes_on_after_an_update() {
    let mut g = gate("school-gate");
    let step = g.scan("green");
    g.warm(&step, 38_100);
    assert_eq!(g.desk()["ask"]["try"], 2);
    let old = json!({ "frames": [{ "object_mdeg": 38_100, "ambient_mdeg": null, "body_grade": true }],
        "ticket": null, "round": 1, "recheck": true, "asked_ms": WALL });
    updated(&mut g, "school-gate", "measuring", &old);
    let desk = g.desk();
    assert_eq!((&desk["ask"]["kind"], &desk["ask"]["try"]), (&json!("temperature"), &json!(2)));
    assert_eq!(state(&g)["visit"]["waits"]["temperature"]["recheck"], true);
}

#[test]
fn a_seal_that_was_scanned_under_an_earlier_version_is_still_to_be_typed_after_an_update() {
    let mut g = gate("truck-supplies");
    truck(&mut g, "辽P12345");
    updated(&mut g, "truck-supplies", "seal_scanned", &json!("LN0045678"));
    assert_eq!(g.desk()["ask"]["scanned"], "LN0045678");
    assert_eq!(seal(&mut g, "LN0045679", "LN0045679").reply.unwrap().unwrap_err().code, "seal_differs");
}

#[test]
fn every_kind_of_step_has_words_in_both_languages_and_a_time_that_its_device_can_keep() {
    for about in KINDS {
        for words in [about.title(), about.prompt()] {
            assert!(!words.zh.is_empty() && !words.en.is_empty(), "{}", about.name);
        }
        assert!(about.timeout_s.is_none_or(|s| s * 1_000 >= about.least_ms), "{}", about.name);
        assert!(
            !(about.by_staff && about.after_verdict),
            "{}: nobody of the staff is there then",
            about.name
        );
    }
}
