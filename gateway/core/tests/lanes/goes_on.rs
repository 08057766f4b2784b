//! What an override or a restart must not skip, forgive or forget.

use crate::gate::*;
use crate::restarted;
use crate::trucks::{seal, truck};
use kakou_core::codes::{Code, Outcome};
use kakou_core::core::{Input, KEEP_WITHIN_MS, Step};
use kakou_core::ids::VisitId;
use kakou_core::lane::LaneState;
use kakou_core::lane::action::{Action, Role};
use kakou_core::lane::visit::Stage;
use kakou_core::pass::cose::Alg;
use kakou_core::pass::trust::{TrustList, Usage};
use kakou_core::pass::{Check, Pass, check, kp1};
use kakou_core::reading::{Command, Report};
use kakou_core::records::Redemption;
use kakou_core::time::Quality;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The state as the store gives it back, the ended visits with it.
pub(crate) fn stored(g: &Gate) -> LaneState {
    let state = &g.core.lane(&g.lane).unwrap().state;
    let mut back: LaneState = serde_json::from_str(&serde_json::to_string(state).unwrap()).unwrap();
    back.recent = state.recent.clone();
    back
}

fn restart(g: &mut Gate, profile: &str, after_ms: u64) -> Step {
    let state = stored(g);
    g.core = restarted(profile, BTreeMap::from([(g.lane.clone(), state)]));
    g.wait(after_ms);
    g.now.mono_ms = 5;
    g.core.resume(&g.now, &g.memory).unwrap()
}

fn opaque(id: &str) -> Pass {
    let with = Check { trust: &TrustList::default(), now_s: None, region: "" };
    check(id.as_bytes(), with).unwrap()
}

/// A resident's card of a signer that is not on the trust list.
fn foreign() -> String {
    let facts = json!({ "id": "210000199001011234" }).as_object().unwrap().clone();
    let at = WALL / 1000;
    let draft = kp1::Draft { kind: Usage::ResidentCard, cti: vec![7; 12], nbf: at - 9, exp: at + 99, facts };
    kp1::issue(&draft, Alg::ES256, b"far away", |_| Ok(vec![0; 64])).unwrap()
}

#[test]
fn a_refused_code_that_an_officer_accepts_is_still_measured() {
    let mut g = gate("school-gate");
    let step = g.scan("HC1:NOT A PASS");
    assert_eq!(verdict(&step), ("HOLD".into(), vec!["C_UNREADABLE".into()]));
    let step = g.act_as("li", Role::Guard, g.override_to(Outcome::Admit, None));
    assert_eq!(step.reply, Some(Ok(())));
    assert!(!opened(&step), "what was left out for the bad code comes now");
    assert_eq!(kinds(&step), ["override"], "nobody has arrived yet");
    let step = g.warm(&step, 36_600);
    assert_eq!(verdict(&step).0, "ADMIT");
    assert!(opened(&step));

    let mut g = gate("school-gate");
    g.scan("HC1:NOT A PASS");
    let mut step = g.act_as("li", Role::Guard, g.override_to(Outcome::Admit, None));
    for round in 0..3 {
        step = g.warm(&step, 38_200);
        if round < 2 {
            g.wait(5_000);
            step = g.input(Input::Tick);
        }
    }
    assert_eq!(verdict(&step), ("REFER".into(), vec!["T_HIGH".into()]));
    let step = g.act_as("li", Role::Guard, g.override_to(Outcome::Admit, None));
    assert!(opened(&step), "the fever is overridden in its turn");
}

#[test]
fn an_override_of_a_time_out_forgives_no_fever() {
    let mut g = gate("pre-triage");
    let mut step = g.scan("green");
    for round in 0..3 {
        g.warm(&step, 38_400);
        if round < 2 {
            g.wait(5_000);
            step = g.input(Input::Tick);
        }
    }
    g.answer("mask", "yes");
    g.wait(180_000);
    let step = g.input(Input::Tick);
    assert!(verdict(&step).1.contains(&"X_TIMEOUT".into()));
    let step = g.act_as("chen", Role::Nurse, g.override_to(Outcome::Admit, None));
    assert_eq!(step.reply, Some(Ok(())));
    assert_eq!(kinds(&step), ["override"], "no triage is told of before it is over");
    g.answer("travel", "no");
    let step = g.answer("symptoms", "no");
    assert_eq!(verdict(&step), ("REFER".into(), vec!["T_HIGH".into()]));
}

#[test]
fn symptoms_count_for_a_card_of_an_unknown_key_after_an_override() {
    let mut g = gate("pre-triage");
    let step = g.scan(&foreign());
    let lane = g.core.lane(&g.lane).unwrap();
    let visit = lane.state.visit.as_ref().unwrap();
    assert_eq!((visit.refused.as_ref().unwrap().code, visit.pass.is_none()), (Code::C_UNKNOWN, true));
    // In triage a number that no list has admits; a card that nobody has signed is a nurse's to look at.
    assert_eq!(verdict(&step), ("HOLD".into(), vec!["C_UNKNOWN".into()]));
    let step = g.act_as("chen", Role::Nurse, g.override_to(Outcome::Admit, None));
    g.warm(&step, 36_600);
    g.answer("mask", "yes");
    g.answer("travel", "no");
    let step = g.answer("symptoms", "yes");
    assert_eq!(verdict(&step).0, "REFER");
}

#[test]
fn answers_count_for_a_code_that_could_not_be_read() {
    let mut g = gate("pre-triage");
    let step = g.scan("HC1:NOT A PASS");
    assert_eq!(verdict(&step), ("HOLD".into(), vec!["C_UNREADABLE".into()]));
    let step = g.act_as("chen", Role::Nurse, g.override_to(Outcome::Admit, None));
    g.warm(&step, 36_600);
    g.answer("mask", "yes");
    g.answer("travel", "no");
    let step = g.answer("symptoms", "yes");
    assert_eq!(verdict(&step), ("REFER".into(), vec!["H_SYMPTOM".into()]));
}

#[test]
fn a_high_reading_is_not_forgotten_by_a_restart() {
    let mut g = gate("school-gate");
    let step = g.scan("green");
    g.warm(&step, 38_300);
    let step = restart(&mut g, "school-gate", 8_000);
    let step = g.warm(&step, 36_600);
    assert!(!kinds(&step).contains(&"transaction"), "one normal reading after a high one is not enough");
    g.wait(5_000);
    let step = g.input(Input::Tick);
    assert_eq!(verdict(&g.warm(&step, 36_600)).0, "ADMIT");
}

#[test]
fn nobody_is_measured_in_the_place_of_one_who_was_there_before_a_long_power_cut() {
    for (after_ms, back_ms, quality) in [
        (600_000, 0, Quality::Synced),
        (8_000, 86_400_000, Quality::Floor),
        // The time of the last save, as it seems shortly after.
        (8_000, 0, Quality::Unsynced),
    ] {
        let mut g = gate("school-gate");
        g.scan("green");
        g.now.wall_ms = g.now.wall_ms.map(|ms| ms - back_ms);
        g.now.quality = quality;
        let step = restart(&mut g, "school-gate", after_ms);
        assert_eq!(kinds(&step), ["visit_abandoned"]);
        assert_eq!(step.events[0].data["reason"], "restart");
        assert!(ticket(&step, &Command::Measure).is_none());
        let state = &g.core.lane(&g.lane).unwrap().state;
        assert_eq!((state.visit.is_none(), state.recent[0].stage), (true, Stage::Abandoned));
        assert!(ticket(&g.scan("green"), &Command::Measure).is_some(), "who is still there scans again");
    }
}

#[test]
fn visits_of_an_old_profile_never_come_back() {
    let mut g = gate("school-gate");
    let step = g.scan("late");
    g.warm(&step, 36_600);
    let visit = g.visit_id();
    let act = g.override_to(Outcome::Admit, None);
    g.wait(100_000);
    g.input(Input::Tick);
    let mut state = stored(&g);
    // As the store has it: the ended visits lie apart, and stay when the profile changes.
    let kept = state.recent.clone();
    assert_eq!(kept[0].id, visit);
    for _ in 0..2 {
        let mut json: Value = serde_json::to_value(&state).unwrap();
        if json["before"] == 0 {
            json["profile_hash"] = "another version".into();
        }
        state = serde_json::from_value(json).unwrap();
        state.recent = kept.clone();
        g.core = restarted("school-gate", BTreeMap::from([(g.lane.clone(), state)]));
        g.core.resume(&g.now, &g.memory).unwrap();
        let step = g.act_as("li", Role::Guard, act.clone());
        assert_eq!(step.reply.unwrap().unwrap_err().code, "no_visit");
        state = stored(&g);
    }
}

#[test]
fn a_hold_on_a_plate_holds_the_ticket_too() {
    let mut g = gate("truck-supplies");
    let ticketed = g.memory.lists[&("pass".into(), "辽P12345".into())].clone();
    put(&mut g.memory, "pass", "T-0042", Value::Object(ticketed));
    put(&mut g.memory, "hold", "辽P12345", json!({ "code": "x" }));
    let step = g.scan("T-0042");
    g.photo(&step, 200, 90);
    g.act(Action::Accept("plate".into()));
    g.answer("plate", "辽P12345");
    let step = g.answer("crew", "2");
    let step = g.warm(&step, 36_500);
    assert!(verdict(&step).1.contains(&"L_HOLD".into()));
}

#[test]
fn a_used_up_pass_of_a_plate_is_followed_by_the_next() {
    let window = |g: &mut Gate, from: i64| {
        let mut entry = g.memory.lists[&("pass".into(), "辽P12345".into())].clone();
        entry.extend([("nbf_ms".into(), json!(from)), ("exp_ms".into(), json!(from + 48 * HOUR))]);
        put(&mut g.memory, "pass", "辽P12345", Value::Object(entry));
    };
    let mut g = gate("truck-supplies");
    window(&mut g, WALL - HOUR);
    let by = Redemption { lane: g.lane.clone(), visit: VisitId(1), at_ms: Some(WALL) };
    let id = format!(":辽P12345@{}-{}", WALL - HOUR, WALL + 47 * HOUR);
    g.memory.redeemed.borrow_mut().insert(id, by);
    assert_eq!(verdict(&truck(&mut g, "辽P12345")), ("DENY".into(), vec!["D_USED".into()]));
    let mut next = gate("truck-supplies");
    next.memory.redeemed = g.memory.redeemed.clone();
    window(&mut next, WALL - HOUR / 2);
    truck(&mut next, "辽P12345");
    assert_eq!(seal(&mut next, "LN0045678", "LN0045678").reply, Some(Ok(())));
}

#[test]
fn a_recheck_does_not_forget_whose_card_it_is() {
    let mut g = gate("school-gate");
    g.memory.lists.get_mut(&("status".into(), "GREEN".into())).unwrap().remove("name");
    let signed = Pass { name: Some("张小明".into()), ..opaque("green") };
    g.scan("green");
    let state = stored(&g);
    let mut json: Value = serde_json::to_value(&state).unwrap();
    json["visit"]["pass"] = serde_json::to_value(signed).unwrap();
    let state = serde_json::from_value(json).unwrap();
    g.core = restarted("school-gate", BTreeMap::from([(g.lane.clone(), state)]));
    let mut step = g.core.resume(&g.now, &g.memory).unwrap();
    for round in 0..3 {
        step = g.warm(&step, 38_200);
        if round < 2 {
            g.wait(5_000);
            step = g.input(Input::Tick);
        }
    }
    let name = |g: &Gate| g.core.lane(&g.lane).unwrap().state.visit.as_ref().unwrap().name.clone();
    let masked = name(&g);
    assert!(masked.as_ref().is_some_and(|n| n.contains('张')));
    let mut step = g.act_as("li", Role::Guard, Action::Recheck);
    for round in 0..2 {
        step = g.warm(&step, 36_600);
        if round < 1 {
            g.wait(5_000);
            step = g.input(Input::Tick);
        }
    }
    assert_eq!(verdict(&step).0, "ADMIT");
    assert_eq!(name(&g), masked);
}

#[test]
fn who_is_measured_is_kept_within_a_fifth_of_a_second_and_nothing_waits_for_that() {
    let mut g = gate("school-gate");
    let step = g.scan("green");
    assert!(ticket(&step, &Command::Measure).is_some() && !step.must_be_kept(false));
    g.wait(KEEP_WITHIN_MS - 1);
    assert!(!g.input(Input::Tick).must_be_kept(false));
    assert_eq!(g.core.next_deadline().unwrap().0, g.now.mono_ms + 1);
    g.wait(1);
    let kept = g.input(Input::Tick);
    assert!(kept.must_be_kept(false) && kept.lanes.contains(&g.lane));
    assert!(kept.events.is_empty() && kept.requests.is_empty());
    g.wait(1);
    assert!(!g.input(Input::Tick).must_be_kept(false), "once");
    // What a verdict has kept is not kept again.
    let mut g = gate("school-gate");
    let step = g.scan("green");
    assert!(g.warm(&step, 36_600).must_be_kept(false));
    g.wait(KEEP_WITHIN_MS);
    assert!(!g.input(Input::Tick).must_be_kept(false));
}

#[test]
fn a_seal_that_was_scanned_is_kept_within_a_fifth_of_a_second() {
    let mut g = gate("truck-supplies");
    truck(&mut g, "辽P12345");
    let scan =
        |g: &mut Gate, code: &str| g.device("scanner", Report::Scan { bytes: code.as_bytes().to_vec() });
    assert!(!scan(&mut g, "NO-SEAL").must_be_kept(false));
    g.wait(KEEP_WITHIN_MS);
    assert!(!g.input(Input::Tick).must_be_kept(false), "nothing has changed");
    assert!(!scan(&mut g, "LN0045678").must_be_kept(false));
    g.wait(KEEP_WITHIN_MS);
    assert!(g.input(Input::Tick).must_be_kept(false));
}
