//! Steps that staff do: once each, and with what they must see.

use crate::gate::*;
use crate::trucks::seal;
use kakou_core::core::Input;
use kakou_core::lane::action::{Action, Role};
use kakou_core::reading::Report;
use serde_json::{Value, json};

pub const DOORS: &str = r#"
id = "doors"
title = { zh = "两个门", en = "Two doors" }
direction = "out"
fail_mode = "HOLD"

[[step]]
kind = "scan"
device = "scanner"
accepts = ["vehicle-pass", "opaque"]

[[step]]
kind = "seal"
id = "rear"
doors = [{ value = "rear", zh = "后门", en = "Rear" }]
kinds = [{ value = "bolt", zh = "螺栓", en = "Bolt" }]

[[step]]
kind = "photo"
id = "first"
device = "camera"
photos = [{ value = "overall", zh = "整车", en = "Truck" }]

[[step]]
kind = "seal"
id = "side"
doors = [{ value = "rear", zh = "侧门", en = "Side" }]
kinds = [{ value = "bolt", zh = "螺栓", en = "Bolt" }]

[[step]]
kind = "verify"
lists = ["pass"]

[[step]]
kind = "decide"
rules = []
"#;

#[test]
fn a_second_seal_step_takes_another_number_than_the_first_one_scanned() {
    let mut g = gate_of("doors", DOORS, &["scanner", "camera"]);
    g.scan("辽P12345");
    g.device("scanner", Report::Scan { bytes: b"LN0000001".to_vec() });
    let step = seal(&mut g, "LN0000001", "LN0000001");
    assert_eq!(step.reply, Some(Ok(())));
    g.photo(&step, 200, 90);
    g.act(Action::Accept("overall".into()));
    assert_eq!(g.desk()["ask"]["scanned"], Value::Null);
    assert_eq!(seal(&mut g, "LN0000002", "LN0000002").reply, Some(Ok(())));
}

/// Everything that staff do lies between the measurement and the verdict.
const LATE: &str = r#"
id = "late"
title = { zh = "先测温", en = "Measured first" }
direction = "out"
fail_mode = "HOLD"

[[step]]
kind = "scan"
device = "scanner"
accepts = ["vehicle-pass", "opaque"]

[[step]]
kind = "temperature"
device = "thermometer"
tries = 1

[[step]]
kind = "photo"
device = "camera"
photos = [{ value = "overall", zh = "整车", en = "Truck" }]

[[step]]
kind = "seal"
doors = [{ value = "rear", zh = "后门", en = "Rear" }]
kinds = [{ value = "bolt", zh = "螺栓", en = "Bolt" }]

[[step]]
kind = "confirm"
id = "look"
checks = [{ value = "tug", zh = "拉拽", en = "Tug" }]

[[step]]
kind = "verify"
lists = ["pass"]

[[step]]
kind = "decide"
rules = []
"#;

#[test]
fn a_recheck_takes_no_photograph_no_seal_and_no_signature_again() {
    let mut g = gate_of("late", LATE, &["scanner", "thermometer", "camera"]);
    let step = g.scan("辽P12345");
    let step = g.warm(&step, 38_200);
    g.photo(&step, 200, 90);
    g.act(Action::Accept("overall".into()));
    assert_eq!(seal(&mut g, "LN0000001", "LN0000001").reply, Some(Ok(())));
    let step = g.act(Action::Confirm(vec!["tug".into()]));
    assert_eq!(verdict(&step), ("REFER".into(), vec!["T_HIGH".into()]));
    let step = g.act(Action::Recheck);
    // One try a round here: a single normal reading after a fever is not enough, but it is a verdict.
    let step = g.warm(&step, 36_600);
    assert!(kinds(&step).contains(&"transaction"), "nothing is asked again: {:?}", g.desk()["ask"]);
    let visit = g.desk()["visit"].clone();
    assert_eq!(
        (visit["seals"].as_array().unwrap().len(), &visit["photos"][0]["state"]),
        (1, &json!("accepted"))
    );
}

#[test]
fn a_recheck_asks_no_question_again() {
    let mut g = gate("pre-triage");
    let mut step = g.scan("green");
    for round in 0..3 {
        step = g.warm(&step, 38_400);
        if round < 2 {
            g.wait(5_000);
            step = g.input(Input::Tick);
        }
    }
    g.answer("mask", "yes");
    g.answer("travel", "no");
    let step = g.answer("symptoms", "no");
    assert_eq!(verdict(&step).0, "REFER");
    let mut step = g.act_as("chen", Role::Nurse, Action::Recheck);
    for round in 0..2 {
        step = g.warm(&step, 36_600);
        if round < 1 {
            g.wait(5_000);
            step = g.input(Input::Tick);
        }
    }
    assert_eq!(verdict(&step).0, "ADMIT", "the answers of before count");
    assert!(kinds(&step).contains(&"triage"), "a new verdict is told of");
}

#[test]
fn what_the_pass_says_is_hidden_until_staff_have_read_it_themselves() {
    let mut g = gate("truck-supplies");
    let step = g.scan("辽P12345");
    g.photo(&step, 200, 90);
    g.act(Action::Accept("plate".into()));
    let facts = |g: &Gate| {
        let facts = g.desk()["visit"]["pass"]["facts"].as_array().unwrap().clone();
        facts.iter().map(|f| f["label"]["en"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    // Without verify the facts of a number are not known; with it they must not be seen.
    let text = g.desk().to_string();
    assert!(!text.contains("辽P12345") && facts(&g).is_empty(), "the plate of the pass: {text}");
    assert_eq!(
        g.desk()["ask"]["photo"]["sha256"]
            .as_str()
            .map(|s| s.starts_with(sha256("plate-").trim_end_matches('0'))),
        Some(true)
    );
    g.answer("plate", "辽P54321");
    let step = g.answer("crew", "4");
    assert_eq!(verdict(&g.warm(&step, 36_500)).1, ["V_PLATE", "V_CREW"]);
    assert_eq!(facts(&g), ["Plate", "Category", "From", "To", "Crew"]);
    let compared = g.desk()["visit"]["compared"].clone();
    assert_eq!(compared[0]["pass"], "辽P12345");
    assert_eq!(compared[0]["lane"], "辽P54321");
    assert_eq!(compared[0]["same"], false);
    assert_eq!(compared[0]["label"], json!({ "zh": "车牌", "en": "Plate" }));
    assert_eq!(compared[1]["lane"], "4");
}
