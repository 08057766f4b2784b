//! What single steps take, refuse and wait for.

use crate::evidence_steps::DOORS;
use crate::gate::*;
use crate::restarted;
use crate::trucks::{seal, truck};
use kakou_core::codes::Outcome;
use kakou_core::core::{Input, Step};
use kakou_core::lane::LaneState;
use kakou_core::lane::action::{Action, Role};
use kakou_core::profile::{DeviceKind, StepKind, read};
use kakou_core::reading::{Command, NoData, Report, Temperature, Ticket};
use kakou_core::time::Quality;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const HEAD: &str = r#"
id = "own"
title = { zh = "甲", en = "own" }
direction = "in"
fail_mode = "HOLD"
[[step]]
kind = "scan"
accepts = ["opaque"]
"#;

/// A lane with these steps behind its scan.
fn lane(steps: &str, roles: &[&str]) -> Gate {
    gate_of("own.toml", &format!("{HEAD}{steps}"), roles)
}

fn refused(step: &Step) -> &'static str {
    let why = step.reply.clone().unwrap().unwrap_err();
    assert!(step.events.is_empty() && step.requests.is_empty(), "{step:?}");
    why.code
}

/// A ticket that nobody has asked for.
const STRAY: Ticket = Ticket(1_000_000);

fn strays() -> [Report; 2] {
    [Report::Done { ticket: STRAY }, Report::NoData { ticket: STRAY, why: NoData::Fault }]
}

fn state_of(g: &Gate, kind: &str) -> Value {
    let steps = g.desk()["steps"].as_array().unwrap().clone();
    steps.into_iter().find(|s| s["kind"] == kind).unwrap()["state"].clone()
}

#[test]
fn an_answer_to_another_request_ends_no_step() {
    let mut g = gate("school-gate");
    let step = g.scan("green");
    let stray = Report::NoData { ticket: STRAY, why: NoData::NotPresent };
    assert!(g.device("thermometer", stray).events.is_empty(), "it still measures");
    let asked = g.warm(&step, 36_600);
    for stray in strays() {
        assert!(g.device("barrier", stray).events.is_empty());
        assert_eq!((&g.screen()["mode"], state_of(&g, "actuate")), (&json!("working"), json!("current")));
    }
    g.confirm(&asked);
    assert_eq!(g.screen()["mode"], "verdict");

    let mut g = gate_with("pre-triage", &["scanner", "thermometer", "printer"]);
    let step = g.scan("green");
    g.warm(&step, 36_600);
    for question in ["mask", "travel", "symptoms"] {
        g.answer(question, if question == "mask" { "yes" } else { "no" });
    }
    for stray in strays() {
        assert!(g.device("printer", stray).events.is_empty());
        assert_eq!((state_of(&g, "print"), &g.desk()["visit"]["slip"]), (json!("current"), &json!("asked")));
    }
}

#[test]
fn a_thermometer_that_comes_back_in_a_pause_measures_when_the_pause_is_over() {
    let mut g = gate("school-gate");
    let step = g.scan("green");
    g.warm(&step, 38_100);
    let step = g.device("thermometer", Report::Link { ready: true });
    assert!(ticket(&step, &Command::Measure).is_none());
    g.wait(5_000);
    assert!(ticket(&g.input(Input::Tick), &Command::Measure).is_some());
}

/// Five frames, each like this one.
fn frames(g: &mut Gate, asked: &Step, frame: &Temperature) -> Step {
    let ticket = ticket(asked, &Command::Measure).unwrap();
    let mut steps: Vec<Step> = Vec::new();
    for _ in 0..5 {
        steps.push(g.device("thermometer", Report::Temperature { ticket, frame: frame.clone() }));
    }
    steps.pop().unwrap()
}

const FRAME: Temperature =
    Temperature { object_mdeg: 36_600, ambient_mdeg: Some(21_000), reference_mdeg: None, body_grade: true };

#[test]
fn a_sensor_that_is_not_made_for_the_body_refers_and_never_admits() {
    for (body_grade, wanted) in [(true, "OK"), (false, "T_ENV")] {
        let mut g = gate("school-gate");
        let step = g.scan("green");
        let step = frames(&mut g, &step, &Temperature { body_grade, ..FRAME });
        assert_eq!(verdict(&step).1, [wanted]);
        assert_eq!(opened(&step), body_grade);
    }
}

#[test]
fn what_a_drifting_sensor_reads_counts_nowhere_and_is_not_measured_again() {
    let steps = "[[step]]\nkind = \"temperature\"\nblack_body = { mdeg = 37000, max_drift_mdeg = 300 }\n[[step]]\nkind = \"decide\"\n";
    for (reference_mdeg, drift) in [(Some(37_301), json!(301)), (None, Value::Null)] {
        let mut g = lane(steps, &["scanner", "thermometer"]);
        let step = g.scan("green");
        let step = frames(&mut g, &step, &Temperature { reference_mdeg, ..FRAME });
        assert_eq!(verdict(&step), ("REFER".into(), vec!["T_FAULT".into()]));
        let device = &step.events.iter().find(|e| e.kind == "device").unwrap().data;
        assert_eq!((&device["code"], &device["drift_mdeg"]), (&json!("X_DEVICE"), &drift));
        assert!(step.counters.contains(&"thermometer_drift_total"));
        let reading = &g.desk()["visit"]["readings"][0];
        assert_eq!((&reading["mdeg"], &reading["state"]), (&Value::Null, &json!("fault")));
    }
    let mut g = lane(steps, &["scanner", "thermometer"]);
    let step = g.scan("green");
    let step = frames(&mut g, &step, &Temperature { reference_mdeg: Some(36_700), ..FRAME });
    assert_eq!(verdict(&step).1, ["OK"]);
}

#[test]
fn a_thermometer_that_says_that_it_saw_nobody_ends_its_step_at_once() {
    for (why, wanted) in
        [(NoData::Timeout, "T_NONE"), (NoData::Fault, "T_FAULT"), (NoData::Garbled, "T_FAULT")]
    {
        let mut g = gate("school-gate");
        let step = g.scan("green");
        let ticket = ticket(&step, &Command::Measure).unwrap();
        let step = g.device("thermometer", Report::NoData { ticket, why });
        assert_eq!(verdict(&step), ("REFER".into(), vec![wanted.into()]));
    }
}

#[test]
fn what_a_profile_leaves_out_has_its_usual_value() {
    let choice = "[{ value = \"a\", zh = \"a\", en = \"a\" }]";
    let steps = format!(
        "[[step]]\nkind = \"temperature\"\n[[step]]\nkind = \"question\"\nid = \"n\"\ninput = \"number\"\n\
         [[step]]\nkind = \"photo\"\nphotos = {choice}\n[[step]]\nkind = \"seal\"\ndoors = {choice}\nkinds = {choice}\n\
         [[step]]\nkind = \"confirm\"\nchecks = {choice}\n[[step]]\nkind = \"decide\"\n\
         [[step]]\nkind = \"actuate\"\n[[step]]\nkind = \"print\"\n\
         [[step]]\nkind = \"actuate\"\nid = \"a\"\ntimeout_s = 1\n[[step]]\nkind = \"print\"\nid = \"p\"\ntimeout_s = 1\n"
    );
    let profile = read("own.toml", &format!("{HEAD}{steps}")).unwrap();
    let times =
        (profile.same_read_ms, profile.same_result_ms, profile.show_verdict_ms, profile.stale_after_h);
    assert_eq!(times, (3_000, 60_000, 8_000, 24));
    let limits: Vec<_> =
        profile.steps.iter().map(|s| (s.kind.as_str(), s.timeout_ms, s.device.as_deref())).collect();
    assert_eq!(
        limits,
        [
            ("scan", None, Some("scanner")),
            ("temperature", Some(15_000), Some("thermometer")),
            ("question", Some(180_000), None),
            ("photo", Some(900_000), Some("camera")),
            ("seal", Some(900_000), None),
            ("confirm", Some(900_000), None),
            ("decide", None, None),
            ("actuate", Some(5_000), Some("relay")),
            ("print", Some(10_000), Some("printer")),
            // Barrier and printer have their time to answer, whatever the profile says.
            ("actuate", Some(5_000), Some("relay")),
            ("print", Some(10_000), Some("printer")),
        ]
    );
    for step in &profile.steps {
        match &step.kind {
            StepKind::Temperature(t) => {
                let s = &t.screening;
                assert_eq!((s.high_mdeg, s.low_mdeg, s.frames, s.spread_mdeg), (37_300, 35_000, 5, 300));
                assert_eq!((t.tries, t.wait_ms), (3, 5_000));
                assert!(s.correction.is_none() && s.black_body.is_none());
            }
            StepKind::Photo(photo) => {
                assert_eq!((photo.min_sharpness, photo.min_luma, photo.max_luma), (60, 35, 225));
            }
            StepKind::Actuate(actuate) => assert_eq!(actuate.pulse_ms, 700),
            StepKind::Decide(decide) => assert!(decide.last && decide.rules.is_empty()),
            StepKind::Question(_)
            | StepKind::Form(_)
            | StepKind::Tally(_)
            | StepKind::Scan(_)
            | StepKind::Verify(_)
            | StepKind::Seal(_)
            | StepKind::Confirm(_)
            | StepKind::Weigh(_)
            | StepKind::Register(_)
            | StepKind::Party(_)
            | StepKind::Later(_)
            | StepKind::Print(_) => {}
        }
    }
    let mut g = lane(
        "[[step]]\nkind = \"question\"\ninput = \"number\"\n[[step]]\nkind = \"decide\"\n",
        &["scanner"],
    );
    g.scan("green");
    let ask = g.desk()["ask"].clone();
    assert_eq!((&ask["min"], &ask["max"]), (&json!(0), &json!(999)));
}

#[test]
fn contacts_lamps_and_scales_may_stand_in_any_lane_and_nothing_else() {
    let kinds = [
        (DeviceKind::Scanner, "scanner", false),
        (DeviceKind::Thermometer, "thermometer", false),
        (DeviceKind::Relay, "relay", false),
        (DeviceKind::Camera, "camera", false),
        (DeviceKind::Printer, "printer", false),
        (DeviceKind::Input, "input", true),
        (DeviceKind::Signal, "signal", true),
        (DeviceKind::Scale, "scale", true),
    ];
    for (kind, word, beside) in kinds {
        assert_eq!((kind.as_str(), kind.beside()), (word, beside));
    }
}

#[test]
fn limits_may_leave_one_value_between_them() {
    let choice = "[{ value = \"a\", zh = \"a\", en = \"a\" }]";
    for step in [
        "kind = \"question\"\ninput = \"number\"\nmin = 2\nmax = 2\n".to_owned(),
        format!("kind = \"photo\"\nphotos = {choice}\nmin_luma = 90\nmax_luma = 90\n"),
    ] {
        let profile = format!("{HEAD}[[step]]\n{step}[[step]]\nkind = \"decide\"\n");
        assert!(read("own.toml", &profile).is_ok(), "{step}");
    }
}

#[test]
fn a_number_is_taken_within_its_limits_alone() {
    for (crew, good) in [("0", false), ("1", true), (" 9 ", true), ("10", false), ("two", false), ("", false)]
    {
        let mut g = gate("truck-supplies");
        let step = g.scan("辽P12345");
        g.photo(&step, 200, 90);
        g.act(Action::Accept("plate".into()));
        g.answer("plate", "辽P12345");
        let step = g.act(Action::Answer { question: "crew".into(), value: crew.into() });
        if good {
            assert_eq!(step.reply, Some(Ok(())), "{crew}");
        } else {
            assert_eq!(refused(&step), "bad_answer", "{crew}");
        }
    }
}

#[test]
fn a_picture_of_another_step_is_neither_taken_nor_accepted() {
    let mut g = gate("truck-supplies");
    let step = g.scan("辽P12345");
    g.photo(&step, 200, 90);
    for role in ["closeup", "driver"] {
        for action in [Action::Capture(role.into()), Action::Retake(role.into()), Action::Accept(role.into())]
        {
            assert_eq!(refused(&g.act(action)), "not_now", "{role}");
        }
    }
    assert_eq!(g.act(Action::Accept("plate".into())).reply, Some(Ok(())));
}

fn photo(g: &Gate, role: &str) -> Value {
    let photos = g.desk()["visit"]["photos"].as_array().unwrap().clone();
    photos.into_iter().find(|p| p["role"] == role).unwrap()
}

#[test]
fn a_picture_that_no_camera_takes_is_said_so() {
    let mut g = gate_with("truck-supplies", &["scanner", "thermometer", "barrier"]);
    g.scan("辽P12345");
    let without = photo(&g, "plate");
    let mut g = gate("truck-supplies");
    g.scan("辽P12345");
    g.device("camera", Report::Link { ready: false });
    for shown in [without, photo(&g, "plate")] {
        assert_eq!(shown["state"], "retake");
        assert!(shown["reason"]["zh"].as_str().unwrap().contains("相机无响应"), "{shown}");
        assert_eq!((&shown["sha256"], &shown["label"]["zh"]), (&Value::Null, &json!("车牌")));
    }
}

#[test]
fn a_plate_is_read_from_its_own_picture_where_there_is_one() {
    for (first, shown) in [("cab", "plate"), ("back", "back")] {
        let second = if first == "cab" { "plate" } else { "side" };
        let photos = [first, second].map(|r| format!("{{ value = \"{r}\", zh = \"{r}\", en = \"{r}\" }}"));
        let steps = format!(
            "[[step]]\nkind = \"photo\"\nphotos = [{}]\n[[step]]\nkind = \"question\"\nid = \"p\"\ninput = \"plate\"\n\
             [[step]]\nkind = \"decide\"\n",
            photos.join(", ")
        );
        let mut g = lane(&steps, &["scanner", "camera"]);
        let step = g.scan("green");
        g.photo(&step, 200, 90);
        let step = g.act(Action::Accept(first.into()));
        g.photo(&step, 200, 90);
        g.act(Action::Accept(second.into()));
        let photo = g.desk()["ask"]["photo"].clone();
        assert_eq!(photo["role"], shown);
        assert!(
            photo["sha256"].as_str().unwrap().starts_with(sha256(&format!("{shown}-")).trim_end_matches('0'))
        );
    }
}

#[test]
fn a_seal_has_a_number_of_its_form_a_kind_and_a_place() {
    let at_seal = || {
        let mut g = gate("truck-supplies");
        truck(&mut g, "辽P12345");
        g
    };
    for (number, why) in [
        ("LN1", "seal_form"),
        ("LN1_3", "seal_form"),
        ("LN1234567890123456789", "seal_form"),
        ("XX12", "seal_stock"),
        ("LN12", "seal_stock"),
        ("LN-12", "seal_stock"),
        ("LN123456789012345678", "seal_stock"),
    ] {
        assert_eq!(refused(&seal(&mut at_seal(), number, number)), why, "{number}");
    }
    assert_eq!(seal(&mut at_seal(), "LN0012345", "LN0012345").reply, Some(Ok(())));
    for (kind, door, good) in [("bolt", "rear", true), ("glue", "rear", false), ("bolt", "roof", false)] {
        let (first, second) = ("LN0012345".into(), "LN0012345".into());
        let step = at_seal().act(Action::Seal { first, second, kind: kind.into(), door: door.into() });
        if good { assert_eq!(step.reply, Some(Ok(()))) } else { assert_eq!(refused(&step), "seal_place") }
    }
}

#[test]
fn a_number_seals_one_door_alone() {
    let mut g = gate_of("doors", DOORS, &["scanner", "camera"]);
    g.scan("辽P12345");
    let step = seal(&mut g, "LN0001", "LN0001");
    g.photo(&step, 200, 90);
    g.act(Action::Accept("overall".into()));
    assert_eq!(refused(&seal(&mut g, "LN0001", "LN0001")), "seal_used");
    assert_eq!(seal(&mut g, "LN0002", "LN0002").reply, Some(Ok(())));
}

#[test]
fn checks_are_ticked_and_approvals_given_each_in_its_own_step() {
    let steps = r#"
[[step]]
kind = "confirm"
id = "look"
checks = [{ value = "a", zh = "a", en = "a" }]
[[step]]
kind = "confirm"
id = "agree"
approve = true
[[step]]
kind = "decide"
"#;
    let yes = || Action::Approve { approve: true, note: String::new(), desk: None };
    let ticked = || Action::Confirm(vec!["a".into()]);
    let mut g = lane(steps, &["scanner"]);
    g.scan("green");
    let ask = g.desk()["ask"].clone();
    assert_eq!((&ask["kind"], &ask["checks"][0]["id"]), (&json!("confirm"), &json!("a")));
    assert_eq!(refused(&g.act(yes())), "not_now");
    assert_eq!(refused(&g.act(Action::Recheck)), "not_now");
    assert_eq!(g.act(ticked()).reply, Some(Ok(())));
    assert_eq!(g.desk()["ask"]["kind"], "approve");
    assert_eq!(refused(&g.act(ticked())), "not_now");
    let step = g.act(yes());
    let data = &step.events.iter().find(|e| e.kind == "transaction").unwrap().data;
    assert_eq!(data["approvals"], json!({ "look": "li", "agree": "li" }));
}

#[test]
fn a_rule_that_cannot_be_computed_holds_and_an_override_goes_on_behind_it() {
    let overflow = "answers.n * answers.n > 0";
    let question =
        "[[step]]\nkind = \"question\"\nid = \"n\"\ninput = \"number\"\nmax = 9000000000000000000\n";
    let big = |g: &mut Gate| g.answer("n", "9000000000000000000");
    let decide = format!(
        "{question}[[step]]\nkind = \"decide\"\nrules = [{{ code = \"V_CREW\", when = \"{overflow}\" }}]\n"
    );
    let mut g = lane(&decide, &["scanner"]);
    g.scan("green");
    let step = big(&mut g);
    assert_eq!(verdict(&step), ("HOLD".into(), vec!["X_RULE".into()]));
    assert!(step.counters.contains(&"rule_failed_total"));
    assert!(step.notes.iter().all(|note| !note.contains("9000")), "no answer is logged: {:?}", step.notes);

    let left_out = format!(
        "{question}[[step]]\nkind = \"question\"\nid = \"m\"\ninput = \"text\"\nwhen = \"{overflow}\"\n\
         [[step]]\nkind = \"question\"\nid = \"o\"\ninput = \"text\"\n[[step]]\nkind = \"decide\"\n"
    );
    let mut g = lane(&left_out, &["scanner"]);
    g.scan("green");
    let step = big(&mut g);
    assert_eq!(verdict(&step), ("HOLD".into(), vec!["X_RULE".into()]));
    assert!(step.counters.contains(&"rule_failed_total"));
    assert_eq!(g.act(g.override_to(Outcome::Admit, None)).reply, Some(Ok(())));
    assert_eq!(g.desk()["ask"]["id"], "o", "the step whose condition nobody knows is passed over");
    assert_eq!(verdict(&g.answer("o", "x")).0, "ADMIT");
}

#[test]
fn the_lamps_show_a_verdict_at_once_but_green_with_the_opening_alone() {
    let mut g = gate("school-gate");
    let step = g.scan("late");
    assert_eq!(lamps(&g.warm(&step, 36_600)), [Outcome::Hold]);
    let step = g.act_as("li", Role::Guard, g.override_to(Outcome::Refer, None));
    assert_eq!(lamps(&step), [Outcome::Refer]);
    let step = g.act_as("li", Role::Guard, g.override_to(Outcome::Admit, None));
    assert_eq!(lamps(&step), []);
    assert_eq!(lamps(&g.confirm(&step)), [Outcome::Admit]);
    // A lane without a barrier has nothing to wait for.
    let mut g = gate("pre-triage");
    let step = g.scan("green");
    g.warm(&step, 36_600);
    g.answer("mask", "yes");
    g.answer("travel", "no");
    assert_eq!(lamps(&g.answer("symptoms", "no")), [Outcome::Admit]);
}

#[test]
fn every_request_has_a_ticket_of_its_own() {
    let mut g = gate_with("pre-triage", &["scanner", "thermometer", "printer"]);
    let mut tickets = Vec::new();
    for card in ["green", "other"] {
        let step = g.scan(card);
        tickets.extend(step.requests.iter().map(|r| r.ticket));
        g.warm(&step, 36_600);
        g.answer("mask", "yes");
        g.answer("travel", "yes");
        let step = g.answer("symptoms", "no");
        assert_eq!(verdict(&step).0, "REFER");
        tickets.extend(step.requests.iter().filter(|r| r.device.as_str() == "printer").map(|r| r.ticket));
        let step = g.reprint();
        tickets.extend(step.requests.iter().map(|r| r.ticket));
        g.wait(20_000);
        g.input(Input::Tick);
    }
    assert_eq!(tickets.len(), 6);
    assert!(tickets.windows(2).all(|pair| pair[0].0 < pair[1].0), "{tickets:?}");
}

#[test]
fn nothing_opens_without_a_recorded_admission_whatever_a_state_says() {
    let deny = json!({ "outcome": "DENY", "officer": "li", "reason": "other", "second": null });
    for (admitted, overridden) in [(false, Value::Null), (true, deny)] {
        let mut g = gate("school-gate");
        let step = g.scan("green");
        assert!(opened(&g.warm(&step, 36_600)));
        let mut state = serde_json::to_value(&g.core.lane(&g.lane).unwrap().state).unwrap();
        state["visit"]["actuation"] = json!("none");
        state["visit"]["admitted"] = json!(admitted);
        state["visit"]["overridden"] = overridden;
        let state: LaneState = serde_json::from_value(state).unwrap();
        g.core = restarted("school-gate", BTreeMap::from([(g.lane.clone(), state)]));
        let step = g.core.resume(&g.now, &g.memory).unwrap();
        assert!(!opened(&step) && step.counters.contains(&"pulse_without_admission_total"), "{step:?}");
    }
}

#[test]
fn a_list_that_cannot_answer_hides_nothing_else_that_was_found() {
    let mut g = gate("school-gate");
    g.now.quality = Quality::Unsynced;
    g.memory.faulty.insert("status");
    let step = g.scan("green");
    let (outcome, codes) = verdict(&g.warm(&step, 36_600));
    assert_eq!(outcome, "REFER");
    assert!(codes.contains(&"X_CLOCK".into()) && codes.contains(&"X_STALE".into()), "{codes:?}");
}

#[test]
fn whoever_has_no_pass_waits_for_no_other_gateway() {
    let mut g = gate("school-gate");
    g.memory.uses_unknown = true;
    g.scan("HC1:NOT A PASS");
    let step = g.act_as("li", Role::Guard, g.override_to(Outcome::Admit, None));
    assert_eq!(verdict(&g.warm(&step, 36_600)), ("ADMIT".into(), vec!["OK".into()]));
}

#[test]
fn nothing_is_left_out_for_a_bad_code_where_nothing_lies_before_its_verdict() {
    let mut g = lane("[[step]]\nkind = \"verify\"\n[[step]]\nkind = \"decide\"\n", &["scanner"]);
    g.scan("HC1:NOT A PASS");
    let visit = g.core.lane(&g.lane).unwrap().state.visit.clone().unwrap();
    assert_eq!((visit.left_out_from, visit.skipped.as_slice()), (None, &[][..]));
    let mut g = gate("school-gate");
    g.scan("HC1:NOT A PASS");
    let visit = g.core.lane(&g.lane).unwrap().state.visit.clone().unwrap();
    assert_eq!(
        (visit.left_out_from, visit.skipped.as_slice()),
        (Some(1), &[1][..]),
        "the code itself was read"
    );
}
