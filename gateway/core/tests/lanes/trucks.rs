//! Trucks with a permit: seal, photographs, release; a pass that is used once, and whom a hold stops.

use crate::boss;
use crate::gate::*;
use kakou_core::codes::Outcome;
use kakou_core::core::{Input, Step};
use kakou_core::evidence::{self, SubjectKey};
use kakou_core::ids::{LaneId, VisitId};
use kakou_core::lane::action::{Action, Role};
use kakou_core::records::{Redemption, Write};
use serde_json::json;

pub fn truck(g: &mut Gate, plate: &str) -> Step {
    let step = g.scan(plate);
    g.photo(&step, 200, 90);
    g.act(Action::Accept("plate".into()));
    g.answer("plate", plate);
    let step = g.answer("crew", "2");
    g.warm(&step, 36_500)
}

pub fn seal(g: &mut Gate, first: &str, second: &str) -> Step {
    let (first, second) = (first.to_owned(), second.to_owned());
    g.act(Action::Seal { first, second, kind: "bolt".into(), door: "rear".into() })
}

#[test]
fn a_truck_is_sealed_photographed_and_released_once() {
    let mut g = gate("truck-supplies");
    truck(&mut g, "辽P12345");
    assert_eq!(seal(&mut g, "LN0045678", "LN0045679").reply.unwrap().unwrap_err().code, "seal_differs");
    assert_eq!(seal(&mut g, "XX0045678", "XX0045678").reply.unwrap().unwrap_err().code, "seal_stock");
    let step = seal(&mut g, "LN0045678", "ln0045678");
    g.photo(&step, 3, 90);
    assert!(g.act(Action::Accept("closeup".into())).reply.unwrap().is_err(), "blurred");
    let step = g.act(Action::Retake("closeup".into()));
    g.photo(&step, 200, 10);
    assert!(g.act(Action::Accept("closeup".into())).reply.unwrap().is_err(), "dark");
    let step = g.act(Action::Retake("closeup".into()));
    g.photo(&step, 200, 90);
    let step = g.act(Action::Accept("closeup".into()));
    g.photo(&step, 200, 90);
    g.act(Action::Accept("overall".into()));
    assert!(g.act(Action::Confirm(vec!["view".into()])).reply.unwrap().is_err(), "every check");
    let all = ["view", "verify", "tug", "twist"].map(str::to_owned).to_vec();
    let step = g.act(Action::Confirm(all));
    assert_eq!(verdict(&step).0, "ADMIT");
    assert_eq!(kinds(&step), ["transaction", "pass_used", "seal_applied", "evidence"]);
    assert!(opened(&step));
    let state = step.writes.iter().filter(|w| matches!(w, Write::Redeem { .. } | Write::Seal { .. }));
    assert_eq!(state.count(), 2);
    let evidence = &step.events[3].data;
    let manifest = evidence["manifest"].as_str().unwrap();
    assert!(evidence::verify(g.key.public(), manifest.as_bytes(), evidence["signature"].as_str().unwrap()));
    assert!(manifest.contains("LN0045678") && manifest.contains(sha256("closeup-").trim_end_matches('0')));

    g.wait(100_000);
    g.input(Input::Tick);
    g.memory.redeemed.borrow_mut().clear();
    truck(&mut g, "辽P12345");
    assert_eq!(seal(&mut g, "LN0045678", "LN0045678").reply.unwrap().unwrap_err().code, "seal_used");
    assert_eq!(seal(&mut g, "LN0045680", "LN0045680").reply, Some(Ok(())));
}

#[test]
fn a_single_use_pass_is_held_while_the_uses_of_the_site_are_not_known() {
    let mut g = gate("truck-supplies");
    g.memory.uses_unknown = true;
    let step = truck(&mut g, "辽P12345");
    assert_eq!(verdict(&step), ("HOLD".into(), vec!["X_USES".into()]));
    let step = g.act(g.override_to(Outcome::Admit, None));
    assert_eq!(step.reply.unwrap().unwrap_err().code, "second_sign_needed");
    // What is known of it counts: a pass that was used is refused, not held.
    let mut g = gate("truck-supplies");
    g.memory.uses_unknown = true;
    let by = Redemption { lane: LaneId::new("lane-2").unwrap(), visit: VisitId(900), at_ms: Some(WALL) };
    g.memory.redeemed.borrow_mut().insert(":辽P12345".into(), by);
    assert_eq!(verdict(&truck(&mut g, "辽P12345")), ("DENY".into(), vec!["D_USED".into()]));
}

#[test]
fn whoever_a_hold_may_stop_waits_while_the_holds_of_the_site_are_not_known_and_is_judged_anew_then() {
    let mut g = gate("school-gate");
    g.memory.uses_unknown = true;
    let step = g.scan("green");
    let step = g.warm(&step, 36_600);
    assert_eq!(verdict(&step), ("HOLD".into(), vec!["X_USES".into()]));
    assert!(!opened(&step));
    let step = g.act_as("li", Role::Guard, g.override_to(Outcome::Admit, None));
    assert_eq!(step.reply.unwrap().unwrap_err().code, "second_sign_needed");
    // What is known is said: nobody who would not go in waits for the others.
    let step = g.scan("red");
    assert_eq!(verdict(&g.warm(&step, 36_600)).1, ["H_RED"]);
    let step = g.scan("late");
    assert_eq!(verdict(&g.warm(&step, 36_600)).1, ["H_TEST_EXPIRED"]);
    // The others have answered: the same card, at once, is no repetition.
    g.memory.uses_unknown = false;
    g.wait(5_000);
    let step = g.scan("green");
    assert_eq!(verdict(&g.warm(&step, 36_600)), ("ADMIT".into(), vec!["OK".into()]));
}

/// What follows the seal, up to the verdict.
fn photographed_and_confirmed(g: &mut Gate, sealed: &Step) -> Step {
    g.photo(sealed, 200, 90);
    let step = g.act(Action::Accept("closeup".into()));
    g.photo(&step, 200, 90);
    g.act(Action::Accept("overall".into()));
    g.act(Action::Confirm(["view", "verify", "tug", "twist"].map(str::to_owned).to_vec()))
}

#[test]
fn a_hold_that_comes_while_a_truck_is_sealed_stops_it() {
    let mut g = gate("truck-supplies");
    truck(&mut g, "辽P12345");
    let step = seal(&mut g, "LN0045678", "LN0045678");
    put(&mut g.memory, "hold", "辽P12345", json!({ "code": "x" }));
    let step = photographed_and_confirmed(&mut g, &step);
    assert_eq!(verdict(&step), ("HOLD".into(), vec!["L_HOLD".into()]));
    assert!(!opened(&step));
}

#[test]
fn a_listed_window_that_ends_while_a_truck_is_sealed_stops_it() {
    for (window, expired) in [
        (json!({ "exp_ms": WALL + 600_000 }), false),
        (json!({ "exp_ms": WALL + 599_999 }), true),
        (json!({ "nbf_ms": WALL }), false),
    ] {
        let mut g = gate("truck-supplies");
        let listed = g.memory.lists.get_mut(&("pass".into(), "辽P12345".into())).unwrap();
        listed.extend(window.as_object().unwrap().clone());
        truck(&mut g, "辽P12345");
        let step = seal(&mut g, "LN0045678", "LN0045678");
        g.wait(600_000);
        let step = photographed_and_confirmed(&mut g, &step);
        let (outcome, code) = if expired { ("DENY", "C_EXPIRED") } else { ("ADMIT", "OK") };
        assert_eq!(verdict(&step), (outcome.into(), vec![code.into()]), "{window}");
        assert_eq!(opened(&step), !expired);
    }
}

#[test]
fn the_use_of_a_pass_of_a_list_is_told_by_the_key_of_the_site_and_known_under_the_keys_before() {
    let mut g = gate("truck-supplies");
    truck(&mut g, "辽P12345");
    let step = seal(&mut g, "LN0045678", "LN0045678");
    let step = photographed_and_confirmed(&mut g, &step);
    let writes = &step.writes;
    let key = SubjectKey::new(b"site secret").of("used::辽P12345");
    let used = writes.iter().find_map(|w| match w {
        Write::Redeem { shared, .. } => shared.clone(),
        Write::Seal { .. } | Write::Slot(_) | Write::Archive { .. } => None,
    });
    assert_eq!(used, Some(format!("~list:{key}")));
    let sealed = |w: &Write| matches!(w, Write::Seal { number, by } if number == "LN0045678" && by.at_ms == g.now.wall_ms);
    assert!(writes.iter().any(sealed));
    // The same use, told by another gate of the site, counts here.
    let by = Redemption { lane: LaneId::new("lane-2").unwrap(), visit: VisitId(900), at_ms: Some(WALL) };
    for secret in [&b"site secret"[..], BEFORE] {
        let mut two = gate("truck-supplies");
        let key = SubjectKey::new(secret).of("used::辽P12345");
        two.memory.redeemed.borrow_mut().insert(format!("~list:{key}"), by.clone());
        assert_eq!(verdict(&truck(&mut two, "辽P12345")), ("DENY".into(), vec!["D_USED".into()]));
    }
}

#[test]
fn a_used_pass_is_denied_whoever_holds_it() {
    let mut g = gate("truck-supplies");
    let by = Redemption { lane: LaneId::new("lane-2").unwrap(), visit: VisitId(900), at_ms: Some(WALL) };
    g.memory.redeemed.borrow_mut().insert(":辽P12345".into(), by);
    let step = truck(&mut g, "辽P12345");
    assert_eq!(verdict(&step), ("DENY".into(), vec!["D_USED".into()]));
    assert!(!opened(&step));
}

#[test]
fn another_plate_another_crew_or_no_approval_hold_the_truck() {
    let mut g = gate("truck-supplies");
    let step = g.scan("辽P12345");
    g.photo(&step, 200, 90);
    g.act(Action::Accept("plate".into()));
    assert!(
        g.act(Action::Answer { question: "plate".into(), value: "MP12345".into() }).reply.unwrap().is_err()
    );
    g.answer("plate", "辽P54321");
    let step = g.answer("crew", "4");
    let step = g.warm(&step, 36_500);
    assert_eq!(verdict(&step), ("HOLD".into(), vec!["V_PLATE".into(), "V_CREW".into()]));

    let mut g = gate("truck-supplies");
    truck(&mut g, "辽P99999");
    let step =
        g.act_as("zhao", Role::Guard, Action::Approve { approve: true, note: String::new(), desk: None });
    assert_eq!(step.reply.unwrap().unwrap_err().code, "role");
    let step =
        g.act(Action::Approve { approve: false, note: "no permit from the bureau".into(), desk: None });
    let codes = ["V_APPROVAL", "S_MISSING", "S_PHOTO"].map(str::to_owned).to_vec();
    assert_eq!(verdict(&step), ("HOLD".into(), codes), "the last `decide` judges what is there");
    let approval = &step.events.iter().find(|e| e.kind == "approval").unwrap().data;
    assert_eq!(
        (&approval["approved"], &approval["note"]),
        (&json!(false), &json!("no permit from the bureau"))
    );
    let step = g.act(g.override_to(Outcome::Admit, None));
    assert_eq!(
        step.reply.unwrap().unwrap_err().code,
        "second_sign_needed",
        "who may not approve may not override"
    );
    let step = g.act(g.override_to(Outcome::Admit, Some(boss())));
    assert_eq!(step.reply, Some(Ok(())));
    assert!(!opened(&step), "an override of a check goes on to the seal, it opens nothing");
    assert_eq!(seal(&mut g, "LN0045678", "LN0045678").reply, Some(Ok(())));
}
