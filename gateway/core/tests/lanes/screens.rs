//! What the screens show while a visit goes on: to the public, to staff, and on the status page.

use crate::gate::*;
use crate::trucks::{seal, truck};
use kakou_core::codes::{Code, Outcome};
use kakou_core::core::Input;
use kakou_core::lane::action::{Action, Role};
use kakou_core::lane::view;
use kakou_core::reading::{Command, NoData, Report};
use kakou_core::records::Write;
use serde_json::{Value, json};

fn prompt(g: &Gate) -> String {
    g.screen()["prompt"]["zh"].as_str().unwrap().to_owned()
}

fn state_of(g: &Gate, id: &str) -> Value {
    let steps = g.desk()["steps"].as_array().unwrap().clone();
    steps.into_iter().find(|s| s["id"] == id).unwrap()["state"].clone()
}

#[test]
fn the_public_is_told_at_each_step_what_to_do_and_never_what_staff_are_asked() {
    let mut g = gate("truck-supplies");
    assert_eq!(prompt(&g), "请出示车辆通行证");
    let step = g.scan("辽P99999");
    assert_eq!(prompt(&g), "请稍候，正在拍照");
    g.photo(&step, 200, 90);
    g.act(Action::Accept("plate".into()));
    assert_eq!(
        (prompt(&g), &g.desk()["ask"]["prompt"]["zh"]),
        ("请稍候".into(), &json!("输入照片上的车牌号"))
    );
    g.answer("plate", "辽P99999");
    let step = g.answer("crew", "2");
    assert_eq!(prompt(&g), "请靠近测温仪");
    g.warm(&step, 38_100);
    assert_eq!(prompt(&g), "请稍候，马上再测一次");
    assert_eq!(g.desk()["ask"]["wait_s"], 5);
    g.wait(4_001);
    assert_eq!(g.desk()["ask"]["wait_s"], 1);
    for _ in 0..2 {
        g.wait(5_000);
        let step = g.input(Input::Tick);
        assert_eq!((prompt(&g), &g.desk()["ask"]["wait_s"]), ("请靠近测温仪".into(), &json!(0)));
        g.warm(&step, 36_500);
    }
    assert_eq!((prompt(&g), &g.desk()["ask"]["kind"]), ("请稍候".into(), &json!("approve")));
    g.act(Action::Approve { approve: true, note: String::new(), desk: None });
    assert_eq!(prompt(&g), "请稍候，正在贴封条");
    // A device that is lost meanwhile changes nothing for whoever is served already.
    g.device("barrier", Report::Link { ready: false });
    assert_eq!((prompt(&g), &g.screen()["ready"]), ("请稍候，正在贴封条".into(), &json!(false)));
}

#[test]
fn a_verdict_is_shown_for_its_time_and_not_a_millisecond_longer() {
    for (card, outcome) in [("green", "ADMIT"), ("late", "HOLD")] {
        let mut g = gate("school-gate");
        let step = g.scan(card);
        let step = g.warm(&step, 36_600);
        if outcome == "ADMIT" {
            g.confirm(&step);
        }
        let shown = g.screen()["verdict"].clone();
        assert_eq!((&shown["outcome"], &shown["shown_for_ms"]), (&json!(outcome), &json!(8_000)));
        g.wait(7_999);
        assert_eq!((&g.screen()["mode"], &g.screen()["person"]), (&json!("verdict"), &Value::Null));
        g.wait(1);
        assert_eq!((&g.screen()["mode"], &g.screen()["verdict"]), (&json!("idle"), &Value::Null));
        // Shown again it is shown anew.
        g.scan(card);
        let mode = if outcome == "ADMIT" { "repeat" } else { "verdict" };
        g.wait(7_999);
        assert_eq!(g.screen()["mode"], mode);
        g.wait(1);
        assert_eq!((&g.screen()["mode"], &g.screen()["repeat"]), (&json!("idle"), &Value::Null));
    }
}

#[test]
fn a_slip_under_way_holds_no_green_back_but_a_barrier_to_come_does() {
    let mut g = gate_with("pre-triage", &["scanner", "thermometer", "printer"]);
    let step = g.scan("green");
    g.warm(&step, 36_600);
    g.answer("mask", "yes");
    g.answer("travel", "no");
    g.answer("symptoms", "no");
    assert_eq!((state_of(&g, "slip"), &g.screen()["mode"]), (json!("current"), &json!("verdict")));
    let profile = r#"
id = "own"
title = { zh = "甲", en = "own" }
direction = "in"
fail_mode = "HOLD"
[[step]]
kind = "scan"
accepts = ["opaque"]
[[step]]
kind = "decide"
[[step]]
kind = "print"
lines = ["{visit}"]
[[step]]
kind = "actuate"
device = "barrier"
"#;
    let mut g = gate_of("own.toml", profile, &["scanner", "printer", "barrier"]);
    let step = g.scan("green");
    assert_eq!((state_of(&g, "print"), &g.screen()["mode"]), (json!("current"), &json!("working")));
    let step = g.device("printer", Report::Done { ticket: step.requests[0].ticket });
    assert_eq!(g.screen()["mode"], "working");
    g.confirm(&step);
    assert_eq!(g.screen()["mode"], "verdict");
}

#[test]
fn a_repetition_says_whether_anybody_was_measured_the_first_time() {
    let mut g = gate("school-gate");
    g.admit("green");
    g.wait(4_000);
    g.scan("green");
    assert_eq!(g.desk()["visit"]["repeated"]["measured"], true);
    let profile = "id = \"own\"\ntitle = { zh = \"a\", en = \"a\" }\ndirection = \"in\"\nfail_mode = \"HOLD\"\n\
        [[step]]\nkind = \"scan\"\naccepts = [\"opaque\"]\n[[step]]\nkind = \"decide\"\n";
    let mut g = gate_of("own.toml", profile, &["scanner"]);
    g.scan("green");
    assert_eq!(g.desk()["visit"]["repeated"], Value::Null);
    g.wait(4_000);
    g.scan("green");
    assert_eq!(g.desk()["visit"]["repeated"]["measured"], false);
}

#[test]
fn the_steps_of_a_visit_that_rests_are_shown_as_far_as_they_came() {
    let mut g = gate("school-gate");
    let states = |g: &Gate| ["scan", "temperature", "verify", "decide", "barrier"].map(|id| state_of(g, id));
    assert_eq!(states(&g), ["todo"; 5]);
    let step = g.scan("late");
    assert_eq!(states(&g), ["done", "current", "todo", "todo", "todo"]);
    g.warm(&step, 36_600);
    assert_eq!(states(&g), ["done", "done", "done", "done", "todo"]);
    let step = g.act_as("li", Role::Guard, g.override_to(Outcome::Admit, None));
    assert_eq!(states(&g), ["done", "done", "done", "done", "current"]);
    g.confirm(&step);
    assert_eq!(states(&g), ["done"; 5]);
    // Nothing was measured for a bad code; the code itself was read.
    g.wait(9_000);
    g.scan("HC1:NOT A PASS");
    assert_eq!(states(&g), ["done", "skipped", "done", "done", "todo"]);
}

#[test]
fn a_gate_that_waits_for_the_others_of_its_site_says_so_to_whoever_comes() {
    let mut g = gate("school-gate");
    g.memory.uses_unknown = true;
    assert!(prompt(&g).contains("核对"), "{}", prompt(&g));
    assert_eq!(g.screen()["ready"], false);
    g.scan("green");
    assert!(!prompt(&g).contains("核对"), "whoever is there is served");
    g.memory.uses_unknown = false;
    assert_eq!(g.screen()["ready"], true);
}

#[test]
fn a_closed_lane_shows_why_and_no_verdict_of_before() {
    let mut g = gate("school-gate");
    g.admit("green");
    let closed = |g: &Gate| {
        let lane = g.core.lane(&g.lane).unwrap();
        let around = view::Around {
            closed: Some(Code::X_STORAGE),
            upstream: "off",
            waits: false,
            links: g.core.links(),
            issued: &|_| Some(WALL),
        };
        (json!(view::screen(lane, &g.now, &around, 1)), json!(view::desk(lane, &g.now, &around)))
    };
    let status = |g: &Gate| json!(view::status(g.core.lane(&g.lane).unwrap(), &g.now, None));
    let (screen, desk) = closed(&g);
    assert_eq!(
        (&screen["mode"], &screen["verdict"], &screen["ready"]),
        (&json!("closed"), &Value::Null, &json!(false))
    );
    assert!(screen["prompt"]["zh"].as_str().unwrap().starts_with("通道暂停：存储已满"), "{screen}");
    assert_eq!((&desk["visit"], &desk["ask"]["kind"]), (&Value::Null, &json!("wait")));
    let line = status(&g);
    assert_eq!(
        (&line["id"], &line["profile"], &line["mode"]),
        (&json!("lane-1"), &json!("school-gate"), &json!("verdict"))
    );
    assert_eq!((&line["step"], &line["counters"]["ADMIT"]), (&Value::Null, &json!(1)));
    g.wait(9_000);
    g.scan("other");
    assert_eq!(status(&g)["step"], "temperature");
    assert_eq!(closed(&g).1["visit"]["name"], "张*", "whoever is measured is");
}

#[test]
fn the_desk_compares_what_staff_have_read_with_what_the_pass_says() {
    for (plate, crew, same) in
        [("辽P12345", "2", [true, true]), ("辽P12345", "1", [true, true]), ("辽P54321", "3", [false, false])]
    {
        let mut g = gate("truck-supplies");
        let step = g.scan("辽P12345");
        g.photo(&step, 200, 90);
        g.act(Action::Accept("plate".into()));
        g.answer("plate", plate);
        let step = g.answer("crew", crew);
        g.warm(&step, 36_500);
        let compared = g.desk()["visit"]["compared"].clone();
        assert_eq!(
            [&compared[0]["same"], &compared[1]["same"]],
            [&json!(same[0]), &json!(same[1])],
            "{plate} {crew}"
        );
    }
}

#[test]
fn a_seal_a_picture_and_an_answer_are_shown_in_the_words_of_the_profile() {
    let mut g = gate("truck-supplies");
    truck(&mut g, "辽P12345");
    let step = seal(&mut g, "LN0045678", "LN0045678");
    let visit = g.desk()["visit"].clone();
    let shown = &visit["seals"][0];
    assert_eq!((&shown["door_text"]["zh"], &shown["kind_text"]["en"]), (&json!("后门"), &json!("Bolt")));
    assert_eq!(
        (&shown["number"], &shown["read_method"], &shown["officer"]),
        (&json!("LN0045678"), &json!("typed-twice"), &json!("li"))
    );
    assert_eq!(
        visit["answers"][0],
        json!({ "question": "crew", "label": { "zh": "人数", "en": "Crew" }, "value": "2", "text": null,
            "private": false })
    );
    g.photo(&step, 3, 90);
    let photos = g.desk()["visit"]["photos"].as_array().unwrap().clone();
    let [closeup, overall, plate] = photos.as_slice() else { panic!("{photos:?}") };
    assert_eq!(
        (&closeup["label"]["en"], &closeup["state"], &closeup["exposure"]),
        (&json!("Seal close-up"), &json!("retake"), &json!("ok"))
    );
    assert_eq!(
        (&closeup["reason"]["en"], &overall["state"]),
        (&json!("Blurred: hold still and take it again"), &json!("missing"))
    );
    assert_eq!(
        (&overall["exposure"], &plate["exposure"], &plate["reason"]),
        (&Value::Null, &json!("ok"), &Value::Null)
    );
    let step = g.act(Action::Retake("closeup".into()));
    g.photo(&step, 200, 10);
    assert_eq!(g.desk()["visit"]["photos"][0]["exposure"], "dark");

    let mut g = gate("pre-triage");
    let step = g.scan("green");
    g.warm(&step, 36_600);
    g.answer("mask", "given");
    let answer = g.desk()["visit"]["answers"][0].clone();
    assert_eq!((&answer["label"]["zh"], &answer["text"]["zh"]), (&json!("口罩"), &json!("已发放")));
}

#[test]
fn the_desk_tells_each_reading_and_those_that_measured_nobody_as_failed() {
    let mut g = gate("school-gate");
    let step = g.scan("green");
    g.warm(&step, 38_100);
    g.wait(5_000);
    let step = g.input(Input::Tick);
    g.warm(&step, 33_000);
    g.wait(5_000);
    let step = g.input(Input::Tick);
    let ticket = ticket(&step, &Command::Measure).unwrap();
    g.device("thermometer", Report::NoData { ticket, why: NoData::Timeout });
    let readings = g.desk()["visit"]["readings"].clone();
    let told: Vec<_> =
        readings.as_array().unwrap().iter().map(|r| (&r["try"], &r["mdeg"], &r["state"])).collect();
    assert_eq!(
        told,
        [
            (&json!(1), &json!(38_100), &json!("high")),
            (&json!(2), &json!(33_000), &json!("low")),
            (&json!(3), &Value::Null, &json!("fault")),
        ]
    );
}

#[test]
fn the_desk_knows_whose_signature_an_override_needs_and_which_visits_have_none() {
    for (card, second) in [("red", true), ("late", false)] {
        let mut g = gate("school-gate");
        let step = g.scan(card);
        let before = g.desk()["visit"].clone();
        assert_eq!(
            (&before["overridable"], &before["second_sign"]),
            (&json!(false), &json!(false)),
            "it runs"
        );
        g.warm(&step, 36_600);
        let visit = g.desk()["visit"].clone();
        assert_eq!((&visit["overridable"], &visit["second_sign"]), (&json!(true), &json!(second)), "{card}");
    }
    let mut g = gate("school-gate");
    g.scan("green");
    g.act(Action::Cancel { reason: "left".into(), visit: None });
    let row = g.desk()["last_visits"][0].clone();
    assert_eq!(
        (&row["overridable"], &row["outcome"], &row["final"]),
        (&json!(false), &Value::Null, &Value::Null)
    );
}

#[test]
fn a_barrier_that_did_not_open_for_a_truck_names_its_plate() {
    let profile = include_str!("../../../profiles/2022/truck-supplies.toml");
    // The same lane without what staff do.
    let (head, rest) = profile.split_once("[[step]]\nkind = \"photo\"\nid = \"plate-photo\"").unwrap();
    let (_, verify) = rest.split_once("[[step]]\nkind = \"verify\"").unwrap();
    let lists = verify.split_once("[[step]]").unwrap().0;
    let own = format!(
        "{head}[[step]]\nkind = \"verify\"{lists}[[step]]\nkind = \"decide\"\n[[step]]\nkind = \"actuate\"\ndevice = \"barrier\"\n"
    );
    let mut g = gate_of("own.toml", &own, &["scanner", "barrier", "loop", "signal", "door"]);
    let step = g.scan("辽P12345");
    g.stuck(&step);
    assert_eq!((&g.desk()["barrier"]["who"], &g.desk()["visit"]["name"]), (&json!("辽P12345"), &Value::Null));
    g.wait(3_600_000);
    g.input(Input::Tick);
    let row = g.desk()["last_visits"][0].clone();
    assert_eq!((&row["who"], &row["notice"]["zh"]), (&json!("辽P12345"), &json!("道闸未确认开启")));
    let lamps = g.desk()["lamps"].as_array().unwrap().clone();
    let title = |id: &str| lamps.iter().find(|l| l["id"] == id).unwrap()["title"]["zh"].clone();
    assert_eq!(
        ["scanner", "barrier", "loop", "signal", "door"].map(title),
        ["扫码器", "道闸", "地感", "信号灯", "door"]
    );
}

#[test]
fn a_device_that_says_the_same_again_is_no_news() {
    let mut g = gate("school-gate");
    assert!(g.device("barrier", Report::Link { ready: true }).events.is_empty());
    let step = g.device("barrier", Report::Link { ready: false });
    assert_eq!(step.events[0].data, json!({ "device": "barrier", "ready": false }));
    assert!(g.device("barrier", Report::Link { ready: false }).events.is_empty());
    assert_eq!(kinds(&g.device("barrier", Report::Link { ready: true })), ["device"]);
    let step = g.device("nobody-s", Report::Input { active: true });
    assert_eq!(step.counters, ["report_without_lane_total"]);
}

#[test]
fn what_only_asks_for_a_measurement_need_not_be_kept() {
    let mut g = gate("school-gate");
    let step = g.scan("green");
    assert!(!step.must_be_kept(false) && step.must_be_kept(true));
    let step = g.warm(&step, 36_600);
    assert!(step.must_be_kept(false));
    let step = g.confirm(&step);
    assert!(step.events.is_empty() && step.must_be_kept(false), "the lamps are asked for");
    g.wait(8_000);
    let step = g.input(Input::Tick);
    assert!(matches!(step.writes.as_slice(), [Write::Archive { .. }]) && step.must_be_kept(false));
    assert!(!g.input(Input::Tick).must_be_kept(false), "nothing is due");
}

#[test]
fn numbers_that_were_given_before_are_not_given_again() {
    let mut g = gate("school-gate");
    g.core.given(41);
    g.scan("green");
    assert_eq!(g.visit_id().0, 42);
    g.core.given(7);
    g.act(Action::Cancel { reason: "left".into(), visit: None });
    g.wait(5_000);
    g.scan("other");
    assert_eq!(g.visit_id().0, 43);
}
