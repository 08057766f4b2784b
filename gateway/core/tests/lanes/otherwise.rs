//! What an override falls on, what it leaves behind, and what it does not do twice.

use crate::gate::*;
use crate::trucks::{seal, truck};
use kakou_core::codes::Outcome;
use kakou_core::core::Input;
use kakou_core::ids::VisitId;
use kakou_core::lane::action::{Action, Role};
use kakou_core::reading::Report;
use serde_json::json;

fn held(g: &mut Gate, card: &str) -> VisitId {
    let step = g.scan(card);
    let step = g.warm(&step, 36_600);
    assert_ne!(verdict(&step).0, "ADMIT");
    g.visit_id()
}

fn row(g: &Gate, visit: VisitId) -> serde_json::Value {
    let rows = g.desk()["last_visits"].as_array().unwrap().clone();
    rows.into_iter().find(|r| r["id"] == json!(visit)).expect("a row of the visit")
}

#[test]
fn an_earlier_visit_is_overridden_while_another_one_is_measured() {
    let mut g = gate("school-gate");
    let late = held(&mut g, "late");
    g.wait(5_000);
    let next = g.scan("green");
    assert!(g.desk()["actions"].as_array().unwrap().contains(&json!("override")));
    let step = g.override_of(late, Outcome::Deny);
    assert_eq!((step.reply.clone(), kinds(&step)), (Some(Ok(())), vec!["override"]));
    assert_eq!(lamps(&step), [], "the lamps belong to whoever is in front");
    assert_eq!(row(&g, late)["final"], "DENY");
    assert_eq!(g.desk()["visit"]["id"], json!(late.0 + 1), "the one in front goes on");
    assert_eq!(verdict(&g.warm(&next, 36_600)).0, "ADMIT");
    assert_eq!(g.counters(), [1, 0, 0, 1]);
}

#[test]
fn an_earlier_visit_is_admitted_while_another_one_is_measured_when_only_the_barrier_is_left() {
    let mut g = gate("school-gate");
    let late = held(&mut g, "late");
    g.wait(5_000);
    let next = g.scan("green");
    let step = g.override_of(late, Outcome::Admit);
    assert_eq!((step.reply.clone(), kinds(&step)), (Some(Ok(())), vec!["override", "arrival"]));
    assert!(opened(&step));
    assert_eq!(g.screen()["mode"], "working", "no green for whoever is measured");
    g.confirm(&step);
    assert_eq!(row(&g, late)["final"], "ADMIT");
    let step = g.warm(&next, 36_600);
    assert_eq!(verdict(&step).0, "ADMIT");
    assert!(opened(&step), "and the one in front opens for itself");
    assert_eq!(g.counters(), [2, 0, 0, 0]);
}

#[test]
fn while_the_barrier_opens_for_one_it_is_not_asked_for_another() {
    let mut g = gate("school-gate");
    let late = held(&mut g, "late");
    g.wait(5_000);
    let step = g.scan("green");
    let front = g.warm(&step, 36_600);
    let step = g.override_of(late, Outcome::Admit);
    assert_eq!(step.reply.unwrap().unwrap_err().code, "busy");
    g.confirm(&front);
    assert!(opened(&g.override_of(late, Outcome::Admit)));
}

#[test]
fn a_visit_with_steps_left_goes_on_at_the_desk_while_another_one_runs() {
    let mut g = gate("truck-supplies");
    truck(&mut g, "辽P12345");
    g.wait(900_000);
    g.input(Input::Tick);
    let first = g.visit_id();
    g.scan("辽P99999");
    let front = g.visit_id();
    assert_eq!(g.override_of(first, Outcome::Admit).reply, Some(Ok(())));
    assert_eq!(g.visit_id(), front, "the one in front stays there");
    let desk = g.desk();
    assert_eq!((&desk["open"][0]["id"], &desk["open"][0]["ask"]["kind"]), (&json!(first), &json!("seal")));
    let step = g.override_of(first, Outcome::Admit);
    assert_eq!(step.reply.unwrap().unwrap_err().code, "not_now", "it is under way again");
}

#[test]
fn a_visit_that_stands_at_an_outcome_is_not_overridden_to_it_and_no_event_comes_twice() {
    let mut g = gate("school-gate");
    let first = g.admit("green");
    let step = g.override_of(first, Outcome::Admit);
    assert_eq!(step.reply.unwrap().unwrap_err().code, "not_now");
    assert!(step.events.is_empty() && step.requests.is_empty());

    let mut g = gate("school-gate");
    let mut step = g.scan("green");
    for round in 0..3 {
        step = g.warm(&step, 38_200);
        if round < 2 {
            g.wait(5_000);
            step = g.input(Input::Tick);
        }
    }
    assert!(kinds(&step).contains(&"fever"));
    let visit = g.visit_id();
    let step = g.override_of(visit, Outcome::Admit);
    assert_eq!(kinds(&step), ["override", "arrival"], "the fever was told of");
    let step = g.override_of(visit, Outcome::Admit);
    assert!(step.reply.unwrap().is_err() && step.events.is_empty(), "a retry does nothing");
}

#[test]
fn an_override_and_who_signed_it_stay_visible_behind_a_later_verdict() {
    let mut g = gate("truck-supplies");
    let step = g.scan("辽P12345");
    g.photo(&step, 200, 90);
    g.act(Action::Accept("plate".into()));
    g.answer("plate", "辽P54321");
    let step = g.answer("crew", "2");
    assert_eq!(verdict(&g.warm(&step, 36_500)).1, ["V_PLATE"]);
    let act = g.override_to(Outcome::Admit, Some(crate::boss()));
    assert_eq!(g.act(act).reply, Some(Ok(())));
    let verdict = g.desk()["visit"]["verdict"].clone();
    assert_eq!(
        (&verdict["outcome"], &verdict["final"]),
        (&json!("HOLD"), &json!("HOLD")),
        "until it is sealed"
    );
    assert_eq!(verdict["overridden"]["outcome"], "ADMIT", "what it was changed to");
    assert_eq!(verdict["overridden"]["second"], "wang");
    let step = seal(&mut g, "LN0045678", "LN0045678");
    g.photo(&step, 200, 90);
    let step = g.act(Action::Accept("closeup".into()));
    g.photo(&step, 200, 90);
    g.act(Action::Accept("overall".into()));
    let all = ["view", "verify", "tug", "twist"].map(str::to_owned).to_vec();
    let step = g.act(Action::Confirm(all));
    g.confirm(&step);
    let visit = g.desk()["visit"].clone();
    assert_eq!(visit["verdict"]["outcome"], "ADMIT");
    for shown in [visit["history"].clone(), {
        g.wait(20_000);
        g.input(Input::Tick);
        row(&g, VisitId(1))["history"].clone()
    }] {
        assert_eq!(shown[0]["outcome"], "HOLD");
        assert_eq!(shown[0]["codes"][0]["code"], "V_PLATE");
        assert_eq!(shown[0]["overridden"]["outcome"], "ADMIT");
        assert_eq!(
            (&shown[0]["overridden"]["officer"], &shown[0]["overridden"]["second"]),
            (&json!("li"), &json!("wang"))
        );
    }
}

#[test]
fn a_recheck_keeps_the_verdict_before_it_on_the_desk() {
    let mut g = gate("school-gate");
    let mut step = g.scan("green");
    for round in 0..3 {
        step = g.warm(&step, 38_200);
        if round < 2 {
            g.wait(5_000);
            step = g.input(Input::Tick);
        }
    }
    let mut step = g.act_as("li", Role::Guard, Action::Recheck);
    for round in 0..2 {
        step = g.warm(&step, 36_600);
        if round < 1 {
            g.wait(5_000);
            step = g.input(Input::Tick);
        }
    }
    assert_eq!(g.desk()["visit"]["history"][0]["outcome"], "REFER");
    assert_eq!(g.desk()["visit"]["history"][0]["codes"][0]["code"], "T_HIGH");
    let ticket = pulse(&step).unwrap();
    g.device("barrier", Report::Done { ticket });
}

#[test]
fn a_second_override_keeps_the_first() {
    let mut g = gate("school-gate");
    let late = held(&mut g, "late");
    g.override_of(late, Outcome::Deny);
    g.act_as("boss", Role::Supervisor, g.override_to(Outcome::Refer, None));
    let visit = g.desk()["visit"].clone();
    assert_eq!(visit["history"][0]["overridden"]["officer"], "li");
    assert_eq!(visit["verdict"]["overridden"]["officer"], "boss");
}

#[test]
fn a_note_is_counted_in_characters_and_the_desk_knows_the_limit() {
    let mut g = gate("school-gate");
    let visit = held(&mut g, "late");
    let limit = usize::try_from(g.desk()["note_max"].as_u64().unwrap()).unwrap();
    assert!(limit >= 300);
    let mut with = |n: usize| {
        let note = "字".repeat(n);
        let act =
            Action::Override { visit, outcome: Outcome::Deny, reason: "other".into(), note, second: None };
        g.act(act).reply.unwrap()
    };
    assert_eq!(with(limit + 1).unwrap_err().code, "note");
    assert_eq!(with(0).unwrap_err().code, "note");
    assert_eq!(with(limit), Ok(()));
}
