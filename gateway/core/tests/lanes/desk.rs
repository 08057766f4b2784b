//! What the desk offers and shows while a visit goes on, and what it refuses.

use crate::gate::*;
use crate::trucks::{seal, truck};
use kakou_core::codes::Outcome;
use kakou_core::core::{Input, Step};
use kakou_core::lane::action::{Action, Role};
use kakou_core::reading::{Command, NoData, Report};
use serde_json::{Value, json};

fn state(g: &Gate, id: &str) -> Value {
    let steps = g.desk()["steps"].as_array().unwrap().clone();
    steps.into_iter().find(|s| s["id"] == id).unwrap()["state"].clone()
}

fn photo(g: &Gate, role: &str) -> Value {
    let photos = g.desk()["visit"]["photos"].as_array().unwrap().clone();
    photos.into_iter().find(|p| p["role"] == role).unwrap()
}

fn capture(step: &Step) -> kakou_core::reading::Ticket {
    let asked = step.requests.iter().find(|r| matches!(r.command, Command::Capture { .. }));
    asked.expect("the camera was asked").ticket
}

fn refused(step: &Step) -> &'static str {
    let why = step.reply.clone().unwrap().unwrap_err();
    assert!(step.events.is_empty() && step.requests.is_empty(), "{step:?}");
    why.code
}

/// One question for whoever is cold, asked before the verdict.
const COLD: &str = r#"
id = "cold"
title = { zh = "冷", en = "Cold" }
direction = "in"
fail_mode = "HOLD"
[[step]]
kind = "scan"
accepts = ["opaque"]
[[step]]
kind = "temperature"
tries = 1
[[step]]
kind = "question"
id = "fever"
input = "text"
when = 'temp.state == "high"'
[[step]]
kind = "verify"
lists = ["status"]
[[step]]
kind = "decide"
"#;

#[test]
fn a_step_left_out_before_a_recheck_is_shown_as_it_goes() {
    let mut g = gate_of("cold.toml", COLD, &["scanner", "thermometer"]);
    let step = g.scan("green");
    let step = g.warm(&step, 33_800);
    assert_eq!(verdict(&step).1[0], "T_LOW");
    assert_eq!(state(&g, "fever"), "skipped");
    let step = g.act(Action::Recheck);
    g.warm(&step, 38_200);
    assert_eq!(state(&g, "fever"), "current");
    g.answer("fever", "since yesterday");
    assert_eq!(state(&g, "fever"), "done");
}

#[test]
fn what_a_refused_code_left_out_is_to_be_done_once_staff_accept_it() {
    let mut g = gate("pre-triage");
    g.scan("HC1:NOT A PASS");
    assert_eq!((state(&g, "temperature"), state(&g, "mask")), (json!("skipped"), json!("skipped")));
    g.act_as("chen", Role::Nurse, g.override_to(Outcome::Admit, None));
    assert_eq!((state(&g, "temperature"), state(&g, "mask")), (json!("current"), json!("todo")));
}

#[test]
fn each_verdict_of_a_visit_has_its_number() {
    let mut g = gate_of("cold.toml", COLD, &["scanner", "thermometer"]);
    let step = g.scan("green");
    let mut step = g.warm(&step, 33_800);
    for number in 1..=3 {
        let event = step.events.iter().find(|e| e.kind == "transaction").unwrap();
        assert_eq!(event.data["verdict_no"], number);
        step = g.act(Action::Recheck);
        step = g.warm(&step, 33_800);
    }
}

#[test]
fn an_extra_event_says_of_whom_and_why() {
    let mut g = gate("school-gate");
    let mut step = g.scan("green");
    for _ in 0..3 {
        step = g.warm(&step, 38_100);
        g.wait(5_000);
        step = if kinds(&step).contains(&"fever") { step } else { g.input(Input::Tick) };
    }
    let fever = &step.events.iter().find(|e| e.kind == "fever").unwrap().data;
    assert_eq!((&fever["outcome"], &fever["codes"]), (&json!("REFER"), &json!(["T_HIGH"])));
    assert_eq!(fever["readings"].as_array().unwrap().len(), 3);
    let of = &step.events.iter().find(|e| e.kind == "transaction").unwrap().data["subject"];
    assert_eq!(&fever["subject"], of);
}

#[test]
fn what_does_not_run_cannot_be_cancelled() {
    let mut g = gate("school-gate");
    let cancel = || Action::Cancel { reason: "left".into(), visit: None };
    assert_eq!(refused(&g.act(cancel())), "not_now");
    let step = g.scan("late");
    g.warm(&step, 36_600);
    assert_eq!(refused(&g.act(cancel())), "not_now");
    let step = g.act_as("li", Role::Guard, g.override_to(Outcome::Admit, None));
    assert!(opened(&step), "the verdict is still there to be overridden");
}

#[test]
fn an_override_does_not_use_a_seal_that_was_used_meanwhile() {
    for seen in [false, true] {
        let mut g = gate("truck-supplies");
        truck(&mut g, "辽P12345");
        seal(&mut g, "LN0045678", "LN0045678");
        g.wait(900_000);
        let step = g.input(Input::Tick);
        assert_eq!(verdict(&step).1, ["X_TIMEOUT"]);
        let step = g.act(g.override_to(Outcome::Admit, None));
        assert_eq!(step.reply, Some(Ok(())));
        if !seen {
            g.wait(900_000);
            g.input(Input::Tick);
            g.memory.seals.borrow_mut().insert("LN0045678".into());
            assert_eq!(refused(&g.act(g.override_to(Outcome::Admit, None))), "used_meanwhile");
            continue;
        }
        // Of one that the verdict names the officers know: two of them may decide all the same.
        g.memory.seals.borrow_mut().insert("LN0045678".into());
        let all = ["view", "verify", "tug", "twist"].map(str::to_owned).to_vec();
        let step = g.act(Action::Confirm(all));
        assert_eq!(verdict(&step), ("HOLD".into(), vec!["S_NUMBER".into(), "S_PHOTO".into()]));
        let second = kakou_core::lane::action::Officer {
            id: kakou_core::ids::OfficerId::new("wang").unwrap(),
            role: Role::Supervisor,
        };
        let step = g.act(g.override_to(Outcome::Admit, Some(second)));
        assert_eq!(step.reply, Some(Ok(())));
    }
}

#[test]
fn a_picture_counts_at_the_very_limits_and_not_beyond() {
    for (sharpness, luma, reason) in [
        (60, 35, None),
        (60, 225, None),
        (59, 90, Some("模糊")),
        (60, 34, Some("太暗")),
        (60, 226, Some("过曝")),
    ] {
        let mut g = gate("truck-supplies");
        let step = g.scan("辽P12345");
        assert_eq!(photo(&g, "plate")["state"], "taking");
        assert_eq!(refused(&g.act(Action::Capture("plate".into()))), "not_now");
        g.photo(&step, sharpness, luma);
        let shown = photo(&g, "plate");
        assert_eq!(shown["state"], if reason.is_some() { "retake" } else { "review" });
        let said = shown["reason"]["zh"].as_str();
        assert_eq!(said.is_some(), reason.is_some());
        assert!(said.unwrap_or_default().contains(reason.unwrap_or_default()), "{said:?}");
        let taken = g.act(Action::Accept("plate".into())).reply.unwrap().is_ok();
        assert_eq!(taken, reason.is_none());
    }
}

#[test]
fn a_camera_that_is_lost_while_it_takes_a_picture_lets_staff_take_it_again() {
    let mut g = gate("truck-supplies");
    let step = g.scan("辽P12345");
    g.device("barrier", Report::Link { ready: false });
    assert_eq!(photo(&g, "plate")["state"], "taking", "another device tells nothing of the camera");
    g.device("camera", Report::Link { ready: false });
    assert_eq!(photo(&g, "plate")["state"], "retake");
    g.photo(&step, 200, 90);
    assert_eq!(photo(&g, "plate")["state"], "retake", "too late");
    let step = g.act(Action::Retake("plate".into()));
    assert_eq!(photo(&g, "plate")["state"], "taking");
    g.device("camera", Report::NoData { ticket: capture(&step), why: NoData::Timeout });
    let shown = photo(&g, "plate");
    assert_eq!(shown["state"], "retake");
    assert!(shown["reason"]["zh"].as_str().unwrap().contains("相机无响应"), "{shown}");
}

#[test]
fn a_picture_that_was_asked_for_before_a_restart_is_asked_for_again() {
    let mut g = gate("truck-supplies");
    g.scan("辽P12345");
    let json = serde_json::to_string(&g.core.lane(&g.lane).unwrap().state).unwrap();
    let states = [(g.lane.clone(), serde_json::from_str(&json).unwrap())].into();
    g.core = crate::restarted("truck-supplies", states);
    let step = g.core.resume(&g.now, &g.memory).unwrap();
    g.photo(&step, 200, 90);
    assert_eq!(photo(&g, "plate")["state"], "review");
}

#[test]
fn a_thermometer_that_says_nothing_ends_in_a_verdict_and_in_no_endless_wait() {
    let mut g = gate("school-gate");
    g.scan("green");
    let mut step = Step::default();
    for _ in 0..3 {
        g.wait(15_000);
        step = g.input(Input::Tick);
        assert_eq!(kinds(&step)[0], "temperature");
        assert_eq!(step.events[0].data["state"], "none");
        g.wait(5_000);
        if !kinds(&step).contains(&"transaction") {
            assert!(ticket(&g.input(Input::Tick), &Command::Measure).is_some());
        }
    }
    assert_eq!(verdict(&step), ("REFER".into(), vec!["T_NONE".into()]));
}

#[test]
fn a_thermometer_that_comes_after_it_was_asked_is_asked_again_in_the_time_that_is_left() {
    let mut g = gate("school-gate");
    let first = g.scan("green");
    g.wait(10_000);
    g.input(Input::Tick);
    let step = g.device("thermometer", Report::Link { ready: true });
    assert_ne!(ticket(&step, &Command::Measure), ticket(&first, &Command::Measure));
    assert_eq!(g.core.next_deadline().map(|(at, _)| at), Some(g.now.mono_ms + 5_000));
    assert_eq!(verdict(&g.warm(&step, 36_600)).0, "ADMIT");
}

#[test]
fn an_answer_in_words_is_counted_in_characters() {
    let mut g = gate_of("cold.toml", COLD, &["scanner", "thermometer"]);
    let step = g.scan("green");
    g.warm(&step, 38_200);
    assert_eq!(g.desk()["ask"]["max"], 200);
    let answer = |n: usize| Action::Answer { question: "fever".into(), value: "热".repeat(n) };
    assert_eq!(refused(&g.act(answer(201))), "bad_answer");
    let other = Action::Answer { question: "mask".into(), value: "热".into() };
    assert_eq!(refused(&g.act(other)), "not_now", "another question was meant");
    assert_eq!(g.act(answer(200)).reply, Some(Ok(())));
}

#[test]
fn a_vehicle_on_the_loop_wakes_the_scanner_and_its_leaving_lets_it_rest() {
    let mut g = gate_with("truck-supplies", &["scanner", "thermometer", "barrier", "camera", "loop", "door"]);
    for active in [true, false] {
        let step = g.device("loop", Report::Input { active });
        let woken: Vec<_> = step.requests.iter().map(|r| (r.device.as_str(), &r.command)).collect();
        assert_eq!(woken, [("scanner", &Command::Read { on: active })]);
        assert_eq!(step.events[0].data, json!({ "role": "loop", "device": "loop", "active": active }));
        let step = g.device("door", Report::Input { active });
        assert!(step.requests.is_empty(), "a door wakes nothing");
        // Nothing has opened it.
        let told = if active { vec!["input", "door_forced"] } else { vec!["input"] };
        assert_eq!((kinds(&step), &step.events[0].data["role"]), (told, &json!("door")));
    }
}

fn actions(g: &Gate) -> Value {
    g.desk()["actions"].clone()
}

#[test]
fn the_desk_offers_what_can_be_done_now_and_nothing_else() {
    let mut g = gate("school-gate");
    assert_eq!(actions(&g), json!(["enter", "search"]));
    assert_eq!(g.desk()["ask"]["kind"], "scan");
    let mut step = g.scan("green");
    assert_eq!(actions(&g), json!(["recheck", "cancel"]));
    for _ in 0..3 {
        g.warm(&step, 38_100);
        g.wait(5_000);
        step = g.input(Input::Tick);
    }
    assert_eq!(actions(&g), json!(["recheck", "override", "enter", "search"]));
    g.act_as("li", Role::Guard, g.override_to(Outcome::Deny, None));
    assert_eq!(
        actions(&g),
        json!(["override", "enter", "search"]),
        "what an officer decided is not measured away"
    );
    let mut g = gate_with("pre-triage", &["scanner", "thermometer", "printer"]);
    let step = g.scan("green");
    g.warm(&step, 36_600);
    assert_eq!(actions(&g), json!(["cancel", "enter", "search", "start", "reprint"]));
    let ask = &g.desk()["ask"];
    assert_eq!(
        (&ask["kind"], &ask["id"], &ask["input"]),
        (&json!("question"), &json!("mask"), &json!("choice"))
    );
    let offered = json!([
        { "value": "yes", "text": { "zh": "已佩戴", "en": "Yes" } },
        { "value": "given", "text": { "zh": "已发放", "en": "Given one" } },
    ]);
    assert_eq!(ask["options"], offered);
}

#[test]
fn the_desk_names_the_category_of_a_truck_in_both_languages() {
    let mut g = gate("truck-supplies");
    truck(&mut g, "辽P12345");
    let facts = g.desk()["visit"]["pass"]["facts"].as_array().unwrap().clone();
    let category = facts.iter().find(|f| f["label"]["en"] == "Category").unwrap();
    assert_eq!(category["text"]["zh"], "紧急物资车辆");
    let plate = facts.iter().find(|f| f["label"]["en"] == "Plate").unwrap();
    assert_eq!((&plate["value"], &plate["text"]), (&json!("辽P12345"), &Value::Null));
}
