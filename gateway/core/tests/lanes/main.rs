//! The three shipped lanes, driven through the core alone.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod again;
mod barrier;
mod call;
mod contract;
mod counts;
mod desk;
mod evidence_steps;
mod forgets;
mod gate;
mod goes_on;
mod interlock;
mod kinds;
mod lists;
mod open;
mod otherwise;
mod policy;
mod private;
mod remote;
mod rules;
mod screens;
mod sheet;
mod signed;
mod steps;
mod training;
mod trucks;
mod weighs;
mod words;

use gate::*;
use kakou_core::codes::{Code, Outcome};
use kakou_core::core::{Core, Input, Step};
use kakou_core::ids::{LaneId, OfficerId, VisitId};
use kakou_core::lane::action::{Action, Officer, Role};
use kakou_core::lane::view::shapes::Mode;
use kakou_core::lane::{Setup, view, visit::Stage};
use kakou_core::profile::{read, shipped};
use kakou_core::reading::{Command, Report};
use kakou_core::records::Redemption;
use kakou_core::time::Quality;
use serde_json::json;
use std::collections::BTreeMap;
use trucks::{seal, truck};

#[test]
fn a_pupil_with_all_in_order_goes_in() {
    let mut g = gate("school-gate");
    let step = g.scan("green");
    let step = g.warm(&step, 36_600);
    assert_eq!(verdict(&step), ("ADMIT".into(), vec!["OK".into()]));
    assert!(opened(&step));
    assert_eq!(kinds(&step), ["temperature", "transaction", "arrival"]);
    let text = serde_json::to_string(&step.events.iter().map(|e| &e.data).collect::<Vec<_>>()).unwrap();
    assert!(!text.contains("green") && !text.contains("张"), "no id and no name leaves: {text}");
}

#[test]
fn the_school_rules_give_their_verdicts() {
    for (card, mdeg, outcome, first) in [
        ("late", 36_600, "HOLD", "H_TEST_EXPIRED"),
        ("red", 36_600, "DENY", "H_RED"),
        ("held", 36_600, "HOLD", "L_HOLD"),
        ("future", 36_600, "HOLD", "H_TEST_EXPIRED"),
        ("nobody", 36_600, "HOLD", "C_UNKNOWN"),
    ] {
        let mut g = gate("school-gate");
        let step = g.scan(card);
        let step = g.warm(&step, mdeg);
        let (got, codes) = verdict(&step);
        assert_eq!((got.as_str(), codes[0].as_str()), (outcome, first), "{card}");
        assert!(!opened(&step), "{card}");
    }
}

#[test]
fn a_bad_code_is_judged_without_measuring_anybody() {
    let mut g = gate("school-gate");
    let step = g.scan("HC1:NOT A PASS");
    assert_eq!(verdict(&step), ("HOLD".into(), vec!["C_UNREADABLE".into()]));
    assert!(ticket(&step, &Command::Measure).is_none() && !opened(&step));
}

#[test]
fn a_high_temperature_is_measured_three_times_five_seconds_apart() {
    let mut g = gate("school-gate");
    let mut step = g.scan("green");
    for round in 1..=3 {
        step = g.warm(&step, 38_100);
        if round < 3 {
            assert!(!kinds(&step).contains(&"transaction"));
            g.wait(4_999);
            assert!(ticket(&g.input(Input::Tick), &Command::Measure).is_none());
            g.wait(1);
            step = g.input(Input::Tick);
        }
    }
    assert_eq!(verdict(&step), ("REFER".into(), vec!["T_HIGH".into()]));
    assert!(kinds(&step).contains(&"fever"));
    assert!(!opened(&step));
}

#[test]
fn two_normal_rechecks_clear_one_high_reading() {
    let mut g = gate("school-gate");
    let mut step = g.scan("green");
    for mdeg in [37_900, 36_700, 36_600] {
        step = g.warm(&step, mdeg);
        if mdeg != 36_600 {
            g.wait(5_000);
            step = g.input(Input::Tick);
        }
    }
    assert_eq!(verdict(&step).0, "ADMIT");
}

#[test]
fn a_low_reading_never_admits_by_itself() {
    let mut g = gate("school-gate");
    let mut step = g.scan("green");
    for round in 0..3 {
        step = g.warm(&step, 33_800);
        if round < 2 {
            g.wait(5_000);
            step = g.input(Input::Tick);
        }
    }
    assert_eq!(verdict(&step), ("REFER".into(), vec!["T_LOW".into()]));
}

#[test]
fn a_late_frame_of_an_old_request_is_not_taken() {
    let mut g = gate("school-gate");
    let old = g.scan("green");
    g.act(Action::Cancel { reason: "left".into(), visit: None });
    g.wait(4_000);
    let new = g.scan("other");
    let step = g.warm(&old, 36_600);
    assert!(!kinds(&step).contains(&"transaction"), "the reading of the one before is not this one's");
    let step = g.warm(&new, 36_600);
    assert_eq!(verdict(&step).0, "ADMIT");
}

#[test]
fn the_same_code_is_one_read_then_the_same_result_then_a_new_visit() {
    let mut g = gate("school-gate");
    let step = g.scan("green");
    let step = g.warm(&step, 36_600);
    let done = ticket(&step, &Command::Pulse { ms: 700 }).unwrap();
    g.device("barrier", Report::Done { ticket: done });
    g.wait(1_000);
    assert!(g.scan("green").events.is_empty(), "one read");
    g.wait(9_000);
    g.input(Input::Tick);
    let step = g.scan("green");
    assert_eq!(kinds(&step), ["repeat"]);
    assert!(!opened(&step), "shown again, not opened again");
    g.wait(60_000);
    g.input(Input::Tick);
    assert!(ticket(&g.scan("green"), &Command::Measure).is_some(), "a new visit");
}

#[test]
fn a_barrier_that_never_confirmed_does_not_open_for_whoever_shows_the_code_again() {
    let mut g = gate("school-gate");
    let step = g.scan("green");
    let step = g.warm(&step, 36_600);
    assert!(opened(&step));
    g.wait(5_000);
    assert!(kinds(&g.input(Input::Tick)).contains(&"device"));
    g.wait(4_000);
    let step = g.scan("green");
    assert_eq!(kinds(&step), ["repeat"]);
    assert!(!opened(&step), "an officer asks the barrier again, no scan does");
}

#[test]
fn stale_lists_and_a_doubtful_clock_follow_the_fail_mode() {
    let mut g = gate("school-gate");
    g.memory.issued.insert("status".into(), WALL - 25 * HOUR);
    let step = g.scan("green");
    assert_eq!(verdict(&g.warm(&step, 36_600)), ("REFER".into(), vec!["X_STALE".into()]));
    let mut g = gate("school-gate");
    g.now.quality = Quality::Unsynced;
    let step = g.scan("green");
    assert_eq!(verdict(&g.warm(&step, 36_600)), ("REFER".into(), vec!["X_CLOCK".into()]));
}

#[test]
fn an_override_keeps_the_verdict_and_opens() {
    let mut g = gate("school-gate");
    let step = g.scan("late");
    g.warm(&step, 36_600);
    let step = g.act_as("li", Role::Guard, g.override_to(Outcome::Admit, None));
    assert_eq!(step.reply, Some(Ok(())));
    assert!(opened(&step));
    assert_eq!(kinds(&step), ["override", "arrival"]);
    assert_eq!(step.events[0].data["from"], json!("HOLD"));
    let visit = g.core.lane(&g.lane).unwrap().state.visit.clone().unwrap();
    assert_eq!(visit.verdict.as_ref().map(|v| v.outcome), Some(Outcome::Hold), "never rewritten");
    assert_eq!(visit.outcome(), Some(Outcome::Admit));
}

#[test]
fn a_red_status_needs_a_supervisor_as_well() {
    let mut g = gate("school-gate");
    let step = g.scan("red");
    g.warm(&step, 36_600);
    let step = g.act_as("li", Role::Guard, g.override_to(Outcome::Admit, None));
    assert_eq!(step.reply.unwrap().unwrap_err().code, "second_sign_needed");
    let own = Officer { id: OfficerId::new("li").unwrap(), role: Role::Supervisor };
    let step = g.act_as("li", Role::Supervisor, g.override_to(Outcome::Admit, Some(own)));
    assert_eq!(step.reply.unwrap().unwrap_err().code, "same_person", "nobody signs twice");
    let step = g.act_as("li", Role::Guard, g.override_to(Outcome::Admit, Some(boss())));
    assert_eq!(step.reply, Some(Ok(())));
    assert!(opened(&step));
    let step = g.act_as("root", Role::Admin, g.override_to(Outcome::Deny, None));
    assert!(step.reply.unwrap().is_err(), "an administrator decides nothing");
}

fn boss() -> Officer {
    Officer { id: OfficerId::new("wang").unwrap(), role: Role::Supervisor }
}

#[test]
fn a_step_that_timed_out_is_asked_again_after_an_override_and_skips_no_evidence() {
    let mut g = gate("truck-supplies");
    truck(&mut g, "辽P12345");
    for _ in 0..2 {
        g.wait(900_000);
        let step = g.input(Input::Tick);
        assert_eq!(verdict(&step), ("HOLD".into(), vec!["X_TIMEOUT".into()]), "each time anew");
        let step = g.act(g.override_to(Outcome::Admit, None));
        assert_eq!(step.reply, Some(Ok(())));
        assert!(!opened(&step) && step.writes.is_empty());
    }
    assert_eq!(seal(&mut g, "LN0045678", "LN0045678").reply, Some(Ok(())), "the seal is still asked for");
}

#[test]
fn an_old_override_does_not_outrank_a_newer_verdict() {
    let mut g = gate("pre-triage");
    let step = g.scan("green");
    g.warm(&step, 36_600);
    g.answer("mask", "yes");
    g.wait(180_000);
    g.input(Input::Tick);
    let step = g.act_as("chen", Role::Nurse, g.override_to(Outcome::Admit, None));
    assert_eq!(step.reply, Some(Ok(())));
    g.answer("travel", "yes");
    let step = g.answer("symptoms", "no");
    assert_eq!(verdict(&step).0, "REFER");
    let visit = g.core.lane(&g.lane).unwrap().state.visit.clone().unwrap();
    assert_eq!(visit.outcome(), Some(Outcome::Refer));
}

#[test]
fn stale_lists_hide_no_red_status_from_the_second_signature() {
    let mut g = gate("school-gate");
    g.memory.issued.insert("status".into(), WALL - 25 * HOUR);
    let step = g.scan("red");
    let (_, codes) = verdict(&g.warm(&step, 36_600));
    assert!(codes.contains(&"X_STALE".into()) && codes.contains(&"H_RED".into()), "{codes:?}");
    let step = g.act_as("li", Role::Guard, g.override_to(Outcome::Admit, None));
    assert_eq!(step.reply.unwrap().unwrap_err().code, "second_sign_needed");
}

#[test]
fn an_override_does_not_spend_a_pass_that_was_used_meanwhile() {
    let mut g = gate("truck-supplies");
    truck(&mut g, "辽P12345");
    g.wait(900_000);
    g.input(Input::Tick);
    let by = Redemption { lane: LaneId::new("lane-2").unwrap(), visit: VisitId(1), at_ms: Some(WALL) };
    g.memory.redeemed.borrow_mut().insert(":辽P12345".into(), by);
    let step = g.act(g.override_to(Outcome::Admit, None));
    assert_eq!(step.reply.unwrap().unwrap_err().code, "used_meanwhile");
}

#[test]
fn a_fever_is_not_lost_to_a_failing_sensor_nor_to_one_good_recheck() {
    let mut g = gate("school-gate");
    let step = g.scan("green");
    g.warm(&step, 38_400);
    g.wait(5_000);
    let step = g.input(Input::Tick);
    let ticket = ticket(&step, &Command::Measure).unwrap();
    let step =
        g.device("thermometer", Report::NoData { ticket, why: kakou_core::reading::NoData::NotPresent });
    assert_eq!(verdict(&step), ("REFER".into(), vec!["T_HIGH".into()]));
    let step = g.act_as("li", Role::Guard, Action::Recheck);
    assert_eq!(step.reply, Some(Ok(())));
    let step = g.warm(&step, 36_600);
    assert!(!kinds(&step).contains(&"transaction"), "one normal reading after a fever is not enough");
    g.wait(5_000);
    let step = g.input(Input::Tick);
    assert_eq!(verdict(&g.warm(&step, 36_600)).0, "ADMIT");
}

#[test]
fn a_card_left_on_the_reader_is_one_read() {
    let mut g = gate("school-gate");
    let step = g.scan("green");
    g.warm(&step, 36_600);
    for _ in 0..40 {
        g.wait(1_000);
        g.input(Input::Tick);
        assert!(g.scan("green").events.is_empty());
    }
}

fn triage(g: &mut Gate, card: &str, mdeg: i32, travel: &str, symptoms: &str) -> Step {
    let mut step = g.scan(card);
    for round in 0..3 {
        g.warm(&step, mdeg);
        if (35_000..37_300).contains(&mdeg) || round == 2 {
            break;
        }
        g.wait(5_000);
        step = g.input(Input::Tick);
    }
    g.answer("mask", "yes");
    g.answer("travel", travel);
    g.answer("symptoms", symptoms)
}

#[test]
fn triage_refers_fever_travel_and_symptoms_and_denies_nobody() {
    for (card, mdeg, travel, symptoms, outcome, first) in [
        ("green", 36_600, "no", "no", "ADMIT", "OK"),
        ("green", 38_200, "no", "no", "REFER", "T_HIGH"),
        ("green", 36_600, "yes", "no", "REFER", "H_OUT_OF_CITY"),
        ("green", 36_600, "no", "yes", "REFER", "H_SYMPTOM"),
        ("red", 36_600, "no", "no", "REFER", "H_RED"),
        ("late", 36_600, "no", "no", "ADMIT", "OK"),
        ("stranger", 36_600, "no", "no", "ADMIT", "OK"),
    ] {
        let mut g = gate("pre-triage");
        let step = triage(&mut g, card, mdeg, travel, symptoms);
        let (got, codes) = verdict(&step);
        assert_eq!((got.as_str(), codes[0].as_str()), (outcome, first), "{card} {mdeg} {travel} {symptoms}");
        assert_eq!(kinds(&step).contains(&"fever_referral"), outcome == "REFER");
        assert!(kinds(&step).contains(&"triage"));
    }
}

#[test]
fn no_code_can_deny_care() {
    let (name, text) = shipped::find("pre-triage").unwrap();
    let profile = read(name, text).unwrap();
    for &code in Code::ALL {
        assert_ne!(profile.outcome(code), Outcome::Deny, "{}", code.as_str());
    }
}

#[test]
fn a_lane_goes_on_where_it_was_after_a_restart() {
    let mut g = gate("truck-supplies");
    truck(&mut g, "辽P12345");
    let state = g.core.lane(&g.lane).unwrap().state.clone();
    let json = serde_json::to_string(&state).unwrap();
    let states = BTreeMap::from([(g.lane.clone(), serde_json::from_str(&json).unwrap())]);
    g.core = restarted("truck-supplies", states);
    g.now.mono_ms = 5;
    g.core.resume(&g.now, &g.memory).unwrap();
    assert_eq!(seal(&mut g, "LN0045678", "LN0045678").reply, Some(Ok(())));
}

pub(crate) fn restarted(profile: &str, states: BTreeMap<LaneId, kakou_core::lane::LaneState>) -> Core {
    let donor = gate(profile);
    let lane = donor.core.lane(&donor.lane).unwrap();
    let (name, text) = shipped::find(profile).unwrap();
    let setup = Setup {
        lane: donor.lane.clone(),
        profile: read(name, text).unwrap().into(),
        devices: lane.setup.devices.clone(),
        region: lane.setup.region.clone(),
        place: lane.setup.place.clone(),
        gateway: "gw-1".into(),
        members: BTreeMap::new(),
        profile_hash: String::new(),
        utc_offset_ms: 8 * HOUR,
        trust: lane.setup.trust.clone(),
        subjects: lane.setup.subjects.clone(),
        key: lane.setup.key.clone(),
        training: false,
        badges: std::sync::Arc::default(),
        private: None,
    };
    Core::new(vec![setup], states)
}

#[test]
fn an_asked_barrier_is_not_asked_again_after_a_restart() {
    let mut g = gate("school-gate");
    let step = g.scan("green");
    assert!(opened(&g.warm(&step, 36_600)));
    let state = g.core.lane(&g.lane).unwrap().state.clone();
    g.core = restarted("school-gate", BTreeMap::from([(g.lane.clone(), state)]));
    let step = g.core.resume(&g.now, &g.memory).unwrap();
    assert!(!opened(&step));
    let lane = g.core.lane(&g.lane).unwrap();
    assert_eq!(lane.state.visits().next().unwrap().stage, Stage::Done);
    assert_eq!(view::mode(lane, &g.now, None), Mode::Idle, "whoever stands there now was not admitted");
}

#[test]
fn a_result_of_before_a_restart_counts_for_as_long_as_any_other() {
    for (later, kinds_then) in
        [(10_000, &["repeat"][..]), (3_600_000, &["temperature", "transaction", "arrival"])]
    {
        let mut g = gate("school-gate");
        let step = g.scan("green");
        let step = g.warm(&step, 36_600);
        let done = ticket(&step, &Command::Pulse { ms: 700 }).unwrap();
        g.device("barrier", Report::Done { ticket: done });
        let state = g.core.lane(&g.lane).unwrap().state.clone();
        let json = serde_json::to_string(&state).unwrap();
        // The visits before are kept apart by the store.
        let mut state: kakou_core::lane::LaneState = serde_json::from_str(&json).unwrap();
        state.recent = g.core.lane(&g.lane).unwrap().state.recent.clone();
        g.core = restarted("school-gate", BTreeMap::from([(g.lane.clone(), state)]));
        g.now.mono_ms = 5_000;
        g.now.wall_ms = g.now.wall_ms.map(|ms| ms + later);
        g.memory.issued.values_mut().for_each(|ms| *ms += later);
        g.core.resume(&g.now, &g.memory).unwrap();
        assert_eq!(view::mode(g.core.lane(&g.lane).unwrap(), &g.now, None), Mode::Idle);
        g.wait(4_000);
        let step = g.scan("green");
        let step = if kinds_then.len() > 1 { g.warm(&step, 36_600) } else { step };
        assert_eq!(kinds(&step), kinds_then);
    }
}

#[test]
fn what_was_cancelled_cannot_become_an_admission() {
    let mut g = gate("school-gate");
    let mut step = g.scan("green");
    for _ in 0..3 {
        step = g.warm(&step, 38_100);
        g.wait(5_000);
        step = if kinds(&step).contains(&"transaction") { step } else { g.input(Input::Tick) };
    }
    assert_eq!(g.act(Action::Recheck).reply, Some(Ok(())));
    let visit = g.visit_id();
    let other = VisitId(visit.0 + 1);
    let step = g.act(Action::Cancel { reason: "left".into(), visit: Some(other) });
    assert_eq!(step.reply.unwrap().unwrap_err().code, "not_now", "another visit was meant");
    assert_eq!(g.act(Action::Cancel { reason: "left".into(), visit: Some(visit) }).reply, Some(Ok(())));
    let over = Action::Override {
        visit,
        outcome: Outcome::Admit,
        reason: "paper_seen".into(),
        note: String::new(),
        second: None,
    };
    let step = g.act_as("li", Role::Guard, over);
    assert_eq!(step.reply.unwrap().unwrap_err().code, "not_now");
    assert!(step.events.is_empty());
}

#[test]
fn the_public_screen_never_says_why_or_who() {
    let mut g = gate("school-gate");
    let step = g.scan("red");
    g.warm(&step, 38_500);
    let text = g.screen().to_string();
    for secret in ["red", "H_RED", "38", "小明", "negative"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
