//! What the desk and the slips say in words: times of the site, both languages, what was printed, who did what.

use crate::gate::*;
use crate::goes_on::stored;
use kakou_core::codes::Code;
use kakou_core::core::{Core, Input, Step};
use kakou_core::lane::action::{Action, Role};
use kakou_core::reading::{Command, NoData, Report, Ticket};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn printed(step: &Step) -> (Ticket, Vec<String>) {
    let lines = step.requests.iter().find_map(|r| match &r.command {
        Command::Print { lines } => Some((r.ticket, lines.clone())),
        Command::Measure
        | Command::Stop
        | Command::Pulse { .. }
        | Command::Signal { .. }
        | Command::Capture { .. }
        | Command::Read { .. } => None,
    });
    lines.expect("the printer was asked")
}

fn clinic(with_printer: bool) -> Gate {
    let roles: &[&str] =
        if with_printer { &["scanner", "thermometer", "printer"] } else { &["scanner", "thermometer"] };
    gate_with("pre-triage", roles)
}

/// Through the questions to the verdict.
fn patient(g: &mut Gate, travel: &str) -> Step {
    let step = g.scan("green");
    g.warm(&step, 36_600);
    g.answer("mask", "yes");
    g.answer("travel", travel);
    g.answer("symptoms", "no")
}

fn step_state(desk: &Value, id: &str) -> String {
    let steps = desk["steps"].as_array().unwrap();
    let step = steps.iter().find(|s| s["id"] == id).unwrap();
    step["state"].as_str().unwrap().to_owned()
}

#[test]
fn a_slip_tells_the_time_of_the_site_and_the_outcome_in_chinese_and_english() {
    // 2022-05-24 00:00:00 UTC is eight in the morning at the site.
    let mut g = clinic(true);
    let (_, lines) = printed(&patient(&mut g, "yes"));
    assert_eq!(lines[1], "2022-05-24 08:00:00 UTC+8");
    assert_eq!(lines[3], "转介 Refer · 请到发热门诊");
    let visit = g.visit_id();
    let (_, again) = printed(&g.act_as("chen", Role::Nurse, reprint(visit)));
    assert_eq!(again, lines, "as it was");
}

#[test]
fn a_slip_without_a_printer_is_never_shown_as_printed() {
    let mut g = clinic(false);
    patient(&mut g, "no");
    assert_eq!(step_state(&g.desk(), "slip"), "skipped");
    assert_eq!(g.desk()["last_visits"].as_array().unwrap().len(), 0);
    assert_eq!(g.desk()["visit"]["slip"], Value::Null);
}

#[test]
fn a_slip_behind_a_referral_is_told_as_it_went() {
    for (answer, state, word) in [(true, "done", "done"), (false, "failed", "failed")] {
        let mut g = clinic(true);
        let (ticket, _) = printed(&patient(&mut g, "yes"));
        assert_eq!(g.desk()["visit"]["slip"], "asked", "sent, and nobody knows yet");
        let report =
            if answer { Report::Done { ticket } } else { Report::NoData { ticket, why: NoData::Timeout } };
        let step = g.device("printer", report);
        assert_eq!(step_state(&g.desk(), "slip"), state);
        assert_eq!(g.desk()["visit"]["slip"], word);
        assert_eq!(kinds(&step).contains(&"device"), !answer, "what was not printed is on record");
    }
}

#[test]
fn a_slip_that_a_silent_printer_never_confirmed_is_not_told_as_printed() {
    let mut g = clinic(true);
    let step = patient(&mut g, "no");
    printed(&step);
    assert_eq!(step_state(&g.desk(), "slip"), "current");
    g.wait(60_000);
    let step = g.input(Input::Tick);
    assert!(kinds(&step).contains(&"device"));
    assert_eq!(step_state(&g.desk(), "slip"), "failed");
}

/// The state of a lane as an earlier version has kept it, with what it kept of the slip.
fn of_before(g: &Gate, slip: &Value) -> kakou_core::lane::LaneState {
    let mut state = serde_json::to_value(stored(g)).unwrap();
    let visit = state["visit"].as_object_mut().unwrap();
    visit.remove("prints").expect("it has printed");
    visit.extend(slip.as_object().unwrap().clone());
    serde_json::from_value(state).unwrap()
}

#[test]
fn a_slip_of_an_earlier_version_comes_again_if_it_was_under_way_and_not_if_it_came() {
    let mut g = clinic(true);
    let (first, _) = printed(&patient(&mut g, "no"));
    let at = g.core.lane(&g.lane).unwrap().state.visit.as_ref().unwrap().step;
    let setup = (*g.core.lane(&g.lane).unwrap().setup).clone();
    let before =
        json!({ "printed": [at], "slip": "asked", "slip_ticket": first, "waits": { "print": first } });
    g.core = Core::new(vec![setup.clone()], BTreeMap::from([(g.lane.clone(), of_before(&g, &before))]));
    let (again, _) = printed(&g.core.resume(&g.now, &g.memory).unwrap());
    assert_ne!(again, first);
    let before = json!({ "printed": [at], "slip": "done" });
    g.core = Core::new(vec![setup], BTreeMap::from([(g.lane.clone(), of_before(&g, &before))]));
    let step = g.core.resume(&g.now, &g.memory).unwrap();
    assert!(step.requests.is_empty(), "{:?}", step.requests);
}

#[test]
fn a_slip_under_way_when_the_power_goes_is_asked_for_again() {
    let mut g = clinic(true);
    let (first, lines) = printed(&patient(&mut g, "no"));
    let setup = (*g.core.lane(&g.lane).unwrap().setup).clone();
    g.core = Core::new(vec![setup], BTreeMap::from([(g.lane.clone(), stored(&g))]));
    let (second, again) = printed(&g.core.resume(&g.now, &g.memory).unwrap());
    assert_eq!((second != first, again), (true, lines), "nobody knows whether it came");
    g.device("printer", Report::Done { ticket: second });
    assert_eq!(g.desk()["visit"]["slip"], "done");
}

#[test]
fn a_reprint_is_told_as_it_went_also_when_the_visit_has_left_the_screen() {
    let mut g = clinic(true);
    let (ticket, _) = printed(&patient(&mut g, "yes"));
    g.device("printer", Report::Done { ticket });
    let visit = g.visit_id();
    g.wait(60_000);
    g.input(Input::Tick);
    assert_eq!(g.desk()["last_visits"][0]["slip"], "done");
    let (ticket, _) = printed(&g.act_as("chen", Role::Nurse, reprint(visit)));
    assert_eq!(g.desk()["last_visits"][0]["slip"], "asked");
    g.device("printer", Report::NoData { ticket, why: NoData::Timeout });
    assert_eq!(g.desk()["last_visits"][0]["slip"], "failed");
    let (ticket, _) = printed(&g.act_as("chen", Role::Nurse, reprint(visit)));
    g.device("printer", Report::Done { ticket });
    assert_eq!(g.desk()["last_visits"][0]["slip"], "done");
}

#[test]
fn a_reprint_is_told_as_it_went_also_while_another_visit_runs() {
    let mut g = clinic(true);
    let (ticket, _) = printed(&patient(&mut g, "yes"));
    g.device("printer", Report::Done { ticket });
    let visit = g.visit_id();
    g.wait(60_000);
    let next = g.scan("other");
    for (report, word) in [(false, "failed"), (true, "done")] {
        let (ticket, _) = printed(&g.act_as("chen", Role::Nurse, reprint(visit)));
        let no = Report::NoData { ticket, why: NoData::Timeout };
        g.device("printer", if report { Report::Done { ticket } } else { no });
        let rows = g.desk()["last_visits"].as_array().unwrap().clone();
        let row = rows.iter().find(|r| r["id"] == json!(visit)).unwrap();
        assert_eq!((&row["slip"], &g.desk()["visit"]["slip"]), (&json!(word), &Value::Null));
    }
    g.warm(&next, 36_600);
    assert_eq!(g.desk()["ask"]["id"], "mask", "and the next one goes on");
}

#[test]
fn the_desk_names_who_answered_last() {
    let mut g = clinic(false);
    let step = g.scan("green");
    g.warm(&step, 36_600);
    assert_eq!(g.desk()["visit"]["by"], Value::Null);
    g.answer("mask", "yes");
    assert_eq!(g.desk()["visit"]["by"], "li");
    let refused = Action::Answer { question: "mask".into(), value: "yes".into() };
    assert!(g.act_as("chen", Role::Nurse, refused).reply.unwrap().is_err());
    assert_eq!(g.desk()["visit"]["by"], "li", "who was refused has answered nothing");
}

#[test]
fn an_approval_at_the_desk_of_another_tells_both_and_the_desk_knows_who_may() {
    let mut g = gate("truck-supplies");
    let step = g.scan("辽P99999");
    g.photo(&step, 200, 90);
    g.act(Action::Accept("plate".into()));
    g.answer("plate", "辽P99999");
    let step = g.answer("crew", "2");
    g.warm(&step, 36_500);
    assert_eq!(g.desk()["ask"]["roles"], json!(["transport", "supervisor"]));
    let desk_of = Some(kakou_core::ids::OfficerId::new("li").unwrap());
    let step = g.act_as(
        "zhao",
        Role::Transport,
        Action::Approve { approve: true, note: String::new(), desk: desk_of },
    );
    assert_eq!(step.reply, Some(Ok(())));
    let approval = &step.events.iter().find(|e| e.kind == "approval").unwrap().data;
    assert_eq!((&approval["officer"], &approval["desk"]), (&json!("zhao"), &json!("li")));
}

#[test]
fn the_desk_says_for_each_reason_what_to_do() {
    let mut g = gate("school-gate");
    let step = g.scan("late");
    g.warm(&step, 36_600);
    let code = &g.desk()["visit"]["verdict"]["codes"][0];
    assert_eq!(code["code"], "H_TEST_EXPIRED");
    assert!(code["advice"]["zh"].as_str().unwrap().contains("纸质证明"), "{code}");
    for &code in Code::ALL {
        let advice = code.advice();
        assert_eq!(advice.zh.is_empty(), code == Code::OK, "{}", code.as_str());
        assert_eq!(advice.en.is_empty(), code == Code::OK, "{}", code.as_str());
    }
}
