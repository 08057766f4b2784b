//! A barrier that does not open, and a lane that cannot work.

use crate::gate::*;
use crate::restarted;
use kakou_core::codes::Outcome;
use kakou_core::core::{Input, Step};
use kakou_core::ids::VisitId;
use kakou_core::lane::action::{Action, Role};
use kakou_core::reading::Report;
use kakou_core::records::Write;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn admitted(g: &mut Gate, card: &str) -> (VisitId, Step) {
    let step = g.scan(card);
    let step = g.warm(&step, 36_600);
    assert_eq!(verdict(&step).0, "ADMIT");
    (g.visit_id(), step)
}

fn again(g: &mut Gate, visit: VisitId) -> Step {
    g.act_as("li", Role::Guard, Action::OpenAgain(visit))
}

fn actuate(g: &Gate) -> Value {
    let steps = g.desk()["steps"].as_array().unwrap().clone();
    steps.into_iter().find(|s| s["kind"] == "actuate").unwrap()["state"].clone()
}

#[test]
fn nothing_is_green_before_the_barrier_has_opened() {
    let mut g = gate("school-gate");
    let (_, step) = admitted(&mut g, "green");
    assert_eq!((&g.screen()["mode"], &g.screen()["verdict"]), (&json!("working"), &Value::Null));
    assert_eq!(lamps(&step), []);
    let step = g.confirm(&step);
    assert_eq!(lamps(&step), [Outcome::Admit]);
    assert_eq!(g.screen()["verdict"]["outcome"], "ADMIT");
    assert_eq!(g.screen()["verdict"]["shown_for_ms"], 8_000);
    assert_eq!((g.desk()["barrier"].clone(), actuate(&g)), (Value::Null, json!("done")));
}

#[test]
fn a_barrier_that_did_not_open_is_said_at_once_and_stays_until_staff_say_what_became_of_it() {
    let mut g = gate("school-gate");
    let (visit, step) = admitted(&mut g, "green");
    let step = g.stuck(&step);
    assert_eq!(kinds(&step), ["device"]);
    assert_eq!(lamps(&step), [Outcome::Hold]);
    assert_eq!((&g.screen()["mode"], &g.screen()["verdict"]), (&json!("working"), &Value::Null));
    assert_eq!(g.screen()["prompt"]["zh"], "请稍候");
    let desk = g.desk();
    assert_eq!(desk["barrier"]["visit"], json!(visit));
    assert_eq!((&desk["barrier"]["state"], &desk["barrier"]["who"]), (&json!("failed"), &json!("张*")));
    assert_eq!(actuate(&g), "failed");
    g.wait(60_000);
    g.input(Input::Tick);
    assert_eq!(g.screen()["mode"], "working", "whoever stands there still waits");
    // The next one comes; the word about the first stays.
    let next = g.scan("other");
    assert_eq!(g.desk()["barrier"]["visit"], json!(visit));
    let step = g.warm(&next, 36_600);
    g.confirm(&step);
    assert_eq!(g.screen()["mode"], "verdict");
    assert_eq!(g.desk()["barrier"]["visit"], json!(visit));
    let step = g.act_as("li", Role::Guard, Action::OpenedByHand(visit));
    assert_eq!((step.reply.clone(), kinds(&step)), (Some(Ok(())), vec!["barrier_by_hand"]));
    assert_eq!(step.events[0].data["officer"], "li");
    assert_eq!(step.events[0].visit, Some(visit));
    assert!(!opened(&step));
    assert_eq!(g.desk()["barrier"], Value::Null);
    let rows = g.desk()["last_visits"].clone();
    assert_eq!(rows[0]["notice"]["zh"], "已手动打开道闸");
    let step = g.act_as("li", Role::Guard, Action::OpenedByHand(visit));
    assert_eq!(step.reply.unwrap().unwrap_err().code, "not_unopened");
    assert!(step.events.is_empty());
}

#[test]
fn a_failed_barrier_keeps_nobody_s_id_over_night() {
    let mut g = gate("school-gate");
    let (visit, step) = admitted(&mut g, "green");
    g.stuck(&step);
    g.wait(3_599_999);
    assert!(g.input(Input::Tick).writes.is_empty());
    assert_eq!(g.screen()["mode"], "working");
    g.wait(1);
    // The visit leaves the state of the lane, and is kept where visits have an end.
    let step = g.input(Input::Tick);
    assert!(matches!(step.writes.as_slice(), [Write::Archive { visit: kept, .. }] if kept.id == visit));
    assert!(g.core.lane(&g.lane).unwrap().state.visit.is_none());
    assert_eq!(g.screen()["mode"], "idle", "nobody stands there any more");
    assert_eq!(g.desk()["barrier"]["visit"], json!(visit), "staff still say what became of it");
    // Asked again without success, it ends in time as well.
    let step = again(&mut g, visit);
    g.stuck(&step);
    assert_eq!(g.desk()["barrier"]["state"], "failed");
}

#[test]
fn the_barrier_is_asked_again_for_the_same_visit_with_a_ticket_of_its_own() {
    let mut g = gate("school-gate");
    let (visit, first) = admitted(&mut g, "green");
    assert_eq!(
        again(&mut g, visit).reply.unwrap().unwrap_err().code,
        "not_unopened",
        "it has not failed yet"
    );
    g.stuck(&first);
    let step = again(&mut g, visit);
    assert_eq!((step.reply.clone(), kinds(&step)), (Some(Ok(())), vec!["barrier_again"]));
    assert_ne!(pulse(&step), pulse(&first));
    assert_eq!(g.desk()["barrier"]["state"], "asked");
    assert_eq!(again(&mut g, visit).reply.unwrap().unwrap_err().code, "not_unopened");
    // A late answer to the first request opens nothing on the screen.
    g.device("barrier", Report::Done { ticket: pulse(&first).unwrap() });
    assert_eq!(g.screen()["verdict"], Value::Null);
    g.stuck(&step);
    assert_eq!((&g.desk()["barrier"]["state"], &g.desk()["barrier"]["tries"]), (&json!("failed"), &json!(2)));
    let step = again(&mut g, visit);
    // No answer at all is a failure as well.
    g.wait(5_000);
    let step2 = g.input(Input::Tick);
    assert_eq!(kinds(&step2), ["device"]);
    assert_eq!(g.desk()["barrier"]["state"], "failed");
    g.confirm(&step);
    assert_eq!(g.desk()["barrier"]["state"], "failed", "too late");
    let step = again(&mut g, visit);
    let step = g.confirm(&step);
    assert_eq!(lamps(&step), [Outcome::Admit]);
    let shown = g.screen()["verdict"].clone();
    assert_eq!((&shown["visit"], &shown["shown_for_ms"]), (&json!(visit), &json!(8_000)));
    assert_eq!(g.desk()["barrier"], Value::Null);
    assert_eq!(g.counters(), [1, 0, 0, 0]);
}

#[test]
fn the_barrier_is_asked_again_while_another_visit_runs_and_shows_no_green_for_it() {
    let mut g = gate("school-gate");
    let (visit, step) = admitted(&mut g, "green");
    g.stuck(&step);
    g.wait(5_000);
    let next = g.scan("other");
    let step = again(&mut g, visit);
    assert!(opened(&step));
    let step = g.confirm(&step);
    assert_eq!(lamps(&step), []);
    assert_eq!(g.screen()["mode"], "working");
    assert_eq!(g.desk()["barrier"], Value::Null);
    assert_eq!(verdict(&g.warm(&next, 36_600)).0, "ADMIT");
}

#[test]
fn an_overridden_admission_is_not_opened_again() {
    let mut g = gate("school-gate");
    let (visit, step) = admitted(&mut g, "green");
    g.stuck(&step);
    assert_eq!(g.override_of(visit, Outcome::Deny).reply, Some(Ok(())));
    assert_eq!(g.desk()["barrier"], Value::Null);
    assert!(again(&mut g, visit).reply.unwrap().is_err());
}

#[test]
fn a_pulse_that_a_restart_cut_off_is_asked_by_staff_alone() {
    let mut g = gate("school-gate");
    let (visit, step) = admitted(&mut g, "green");
    g.stuck(&step);
    again(&mut g, visit);
    let state = &g.core.lane(&g.lane).unwrap().state;
    let mut back: kakou_core::lane::LaneState =
        serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap();
    back.recent = state.recent.clone();
    g.core = restarted("school-gate", BTreeMap::from([(g.lane.clone(), back)]));
    let step = g.core.resume(&g.now, &g.memory).unwrap();
    assert!(!opened(&step), "it may have opened already");
    assert_eq!(
        (&g.desk()["barrier"]["visit"], &g.desk()["barrier"]["state"]),
        (&json!(visit), &json!("failed"))
    );
    assert!(opened(&again(&mut g, visit)));
}

fn lamp(g: &Gate, id: &str) -> Value {
    let lamps = g.desk()["lamps"].as_array().unwrap().clone();
    lamps.into_iter().find(|l| l["id"] == id).unwrap_or_else(|| panic!("no lamp {id}"))
}

#[test]
fn an_idle_lane_says_which_device_is_dead_and_invites_nobody() {
    let mut g = gate("school-gate");
    assert_eq!((&g.screen()["ready"], &g.desk()["ready"]), (&json!(true), &json!(true)));
    assert_eq!(g.screen()["prompt"]["zh"], "请出示学生卡或健康码");
    g.device("thermometer", Report::Link { ready: false });
    assert_eq!(lamp(&g, "thermometer")["state"], "bad");
    assert_eq!(lamp(&g, "scanner")["state"], "ok");
    assert_eq!((&g.screen()["ready"], &g.desk()["ready"]), (&json!(false), &json!(false)));
    assert_eq!(g.screen()["prompt"]["zh"], "请稍候，请找工作人员");
    g.device("thermometer", Report::Link { ready: true });
    assert_eq!(g.screen()["prompt"]["zh"], "请出示学生卡或健康码");
    // What the lane can do without is said, and stops nobody.
    g.device("signal", Report::Link { ready: false });
    assert_eq!((&lamp(&g, "signal")["state"], &g.screen()["ready"]), (&json!("warn"), &json!(true)));
}

#[test]
fn a_device_that_has_never_answered_is_not_ready_and_a_new_core_knows_what_was_said() {
    let mut g = gate("school-gate");
    let before = std::mem::replace(&mut g.core, restarted("school-gate", BTreeMap::new()));
    assert_eq!((&g.desk()["ready"], &lamp(&g, "barrier")["state"]), (&json!(false), &json!("bad")));
    g.core.keep_links(&before);
    assert_eq!(g.desk()["ready"], true);
}

#[test]
fn an_idle_desk_shows_the_age_of_its_lists_and_a_clock_that_is_not_trusted() {
    let mut g = gate("school-gate");
    assert_eq!((&lamp(&g, "lists")["age_s"], &lamp(&g, "clock")["state"]), (&json!(3_600), &json!("ok")));
    g.memory.issued.insert("hold".into(), WALL - 24 * HOUR);
    assert_eq!(lamp(&g, "lists")["stale"], json!([]), "24 hours are still good");
    g.memory.issued.insert("hold".into(), WALL - 24 * HOUR - 1);
    assert_eq!(
        (&lamp(&g, "lists")["state"], &lamp(&g, "lists")["stale"]),
        (&json!("warn"), &json!(["hold"]))
    );
    g.memory.issued.remove("status");
    assert!(lamp(&g, "lists")["missing"].as_array().unwrap().contains(&json!("status")));
    g.now.quality = kakou_core::time::Quality::Unsynced;
    assert_eq!(lamp(&g, "clock")["state"], "warn");
}
