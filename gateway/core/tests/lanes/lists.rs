//! What lists say of somebody, and lists that cannot answer.

use crate::gate::*;
use kakou_core::codes::Outcome;
use kakou_core::core::Input;
use kakou_core::ids::VisitId;
use kakou_core::records::{Redemption, Write};
use serde_json::{Value, json};

#[test]
fn a_status_list_that_cannot_answer_holds_its_people_and_closes_no_lane() {
    for profile in ["school-gate", "pre-triage"] {
        let mut g = gate(profile);
        g.memory.faulty.insert("status");
        let step = g.scan("green");
        let mut step = g.warm(&step, 36_600);
        if profile == "pre-triage" {
            g.answer("mask", "yes");
            g.answer("travel", "no");
            step = g.answer("symptoms", "no");
        }
        let (outcome, codes) = verdict(&step);
        assert_eq!(outcome, "HOLD", "{profile}");
        assert!(codes.contains(&"X_STALE".into()), "{profile}: {codes:?}");
        assert!(!opened(&step));
        g.wait(60_000);
        g.input(Input::Tick);
        g.memory.faulty.clear();
        let step = g.scan("other");
        assert!(!step.requests.is_empty(), "{profile}: the lane goes on with the next");
    }
}

/// A lane that looks ids up in lists, and gives its verdict at once.
fn desk(lists: &str, rules: &str) -> Gate {
    let text = format!(
        r#"
id = "listed"
title = {{ zh = "甲", en = "listed" }}
direction = "in"
fail_mode = "ADMIT"
same_read_s = 0
same_result_s = 0
[[step]]
kind = "scan"
accepts = ["opaque"]
[[step]]
kind = "verify"
lists = [{lists}]
[[step]]
kind = "decide"
rules = [{rules}]
[[step]]
kind = "actuate"
device = "barrier"
"#
    );
    gate_of("listed.toml", &text, &["scanner", "barrier"])
}

fn outcome(g: &mut Gate, id: &str) -> (String, String) {
    g.wait(10);
    let step = g.scan(id);
    let (outcome, codes) = verdict(&step);
    assert_eq!(opened(&step), outcome == "ADMIT");
    if outcome == "ADMIT" {
        g.confirm(&step);
    }
    (outcome, codes[0].clone())
}

fn said(outcome: &str, code: &str) -> (String, String) {
    (outcome.into(), code.into())
}

#[test]
fn a_pass_whose_end_or_use_cannot_be_read_is_not_admitted() {
    for facts in [
        json!({ "exp_ms": "2023-07-22" }),
        json!({ "exp_ms": WALL as f64 + 0.5 }),
        json!({ "exp_ms": 1e300 }),
        json!({ "exp_ms": [] }),
        json!({ "nbf_ms": "1653350400000" }),
        json!({ "nbf_ms": true }),
        json!({ "uses": "1" }),
        json!({ "uses": true }),
        json!({ "uses": 0.5 }),
        // Once or any number of times: nobody counts to two.
        json!({ "uses": 2 }),
        json!({ "uses": -1 }),
    ] {
        let mut g = desk("\"pass\"", "");
        put(&mut g.memory, "pass", "T-1", facts.clone());
        put(&mut g.memory, "pass", "T-2", json!({ "uses": 0 }));
        assert_eq!(outcome(&mut g, "T-1"), said("HOLD", "X_STALE"), "{facts}");
        assert_eq!(outcome(&mut g, "T-2").0, "ADMIT", "one entry concerns nobody else");
    }
}

#[test]
fn a_whole_number_counts_however_it_is_written_and_null_says_nothing() {
    let mut g = desk("\"pass\"", "");
    put(&mut g.memory, "pass", "OVER", json!({ "exp_ms": (WALL - HOUR) as f64 }));
    put(&mut g.memory, "pass", "ONCE", json!({ "exp_ms": (WALL + HOUR) as f64, "uses": 1.0 }));
    put(&mut g.memory, "pass", "FREE", json!({ "exp_ms": null, "nbf_ms": null, "uses": null }));
    assert_eq!(outcome(&mut g, "OVER"), said("DENY", "C_EXPIRED"));
    assert_eq!(outcome(&mut g, "ONCE").0, "ADMIT");
    assert_eq!(outcome(&mut g, "ONCE"), said("DENY", "D_USED"));
    for _ in 0..2 {
        assert_eq!(outcome(&mut g, "FREE").0, "ADMIT");
    }
}

#[test]
fn a_status_whose_facts_cannot_be_read_admits_nobody() {
    let rules = r#"{ code = "H_RED", when = 'health.colour == "red"' },
        { code = "H_RISK_AREA", when = "health.risk_area" }, { code = "H_OUT_OF_CITY", when = "health.out_of_city" }"#;
    for (facts, wanted) in [
        (json!({ "risk_area": 1 }), "X_STALE"),
        (json!({ "risk_area": "true" }), "X_STALE"),
        (json!({ "out_of_city": "yes" }), "X_STALE"),
        (json!({ "colour": ["red"] }), "X_STALE"),
        (json!({ "test_result": 1 }), "X_STALE"),
        (json!({ "sampled_at_ms": "2022-05-24" }), "X_STALE"),
        (json!({ "reported_at_ms": {} }), "X_STALE"),
        (json!({ "risk_area": true }), "H_RISK_AREA"),
        (json!({ "out_of_city": true }), "H_OUT_OF_CITY"),
        (json!({ "colour": "red" }), "H_RED"),
    ] {
        let mut g = desk("\"status\"", rules);
        put(&mut g.memory, "status", "P-1", facts.clone());
        put(&mut g.memory, "status", "P-2", json!({ "school": 3, "risk_area": null }));
        let (got, code) = outcome(&mut g, "P-1");
        assert_ne!(got, "ADMIT", "{facts}");
        assert_eq!(code, wanted, "{facts}");
        assert_eq!(outcome(&mut g, "P-2").0, "ADMIT", "facts of a site's own stop nobody");
    }
}

#[test]
fn an_opaque_pass_counts_in_its_window_alone() {
    for (nbf_ms, exp_ms, wanted) in [
        (Some(0), None, "ADMIT"),
        (Some(10), None, "ADMIT"),
        (Some(11), None, "C_EXPIRED"),
        (None, Some(10), "ADMIT"),
        (None, Some(9), "C_EXPIRED"),
        (Some(0), Some(20), "ADMIT"),
        (Some(-20), Some(-10), "C_EXPIRED"),
    ] {
        let mut g = desk("\"pass\"", "");
        // The code is read ten milliseconds later.
        let facts = json!({ "nbf_ms": nbf_ms.map(|ms| WALL + ms), "exp_ms": exp_ms.map(|ms| WALL + ms) });
        put(&mut g.memory, "pass", "T-1", facts.clone());
        let (got, code) = outcome(&mut g, "T-1");
        assert_eq!(if got == "ADMIT" { &got } else { &code }, wanted, "{facts}");
    }
}

#[test]
fn a_hold_ends_at_its_moment_and_not_before() {
    for (until_ms, held) in [
        (json!(WALL + 9), false),
        (json!(WALL + 10), true),
        (json!(WALL + 11), true),
        (json!((WALL + 9) as f64), false),
        (json!((WALL + 11) as f64), true),
        // What cannot be read names no end.
        (json!("yesterday"), true),
        (Value::Null, true),
    ] {
        let mut g = desk("\"pass\", \"hold\"", "");
        put(&mut g.memory, "pass", "T-1", json!({}));
        put(&mut g.memory, "hold", "T-1", json!({ "until_ms": until_ms }));
        let (got, code) = outcome(&mut g, "T-1");
        assert_eq!((got == "HOLD", code == "L_HOLD"), (held, held), "{until_ms}");
    }
}

#[test]
fn a_sample_may_be_ten_minutes_ahead_of_the_clock_and_no_more() {
    for (ahead_ms, wanted) in [(600_010, "ADMIT"), (600_011, "HOLD")] {
        let rules = r#"{ code = "H_TEST_EXPIRED", when = "health.test_age_h > 48.0" }"#;
        let mut g = desk("\"status\"", rules);
        let facts = json!({ "test_result": "negative", "sampled_at_ms": WALL + ahead_ms });
        put(&mut g.memory, "status", "P-1", facts);
        assert_eq!(outcome(&mut g, "P-1").0, wanted, "{ahead_ms}");
    }
}

#[test]
fn what_the_pass_says_is_judged_beside_that_nobody_knows_its_id_and_an_override_admits_both() {
    let mut g = desk("\"pass\"", r#"{ code = "V_CATEGORY", when = 'pass.category != "transit"' }"#);
    let step = g.scan("T-1");
    assert_eq!(verdict(&step), ("HOLD".into(), vec!["C_UNKNOWN".into(), "V_CATEGORY".into()]));
    let step = g.act(g.override_to(Outcome::Admit, None));
    assert_eq!(step.reply, Some(Ok(())));
    assert!(!step.events.iter().any(|e| e.kind == "transaction"), "what it saw is not judged again");
}

#[test]
fn a_lane_that_does_not_ask_who_is_held_holds_nobody_and_waits_for_no_other_gateway() {
    let mut g = desk("\"pass\"", "");
    g.memory.uses_unknown = true;
    put(&mut g.memory, "pass", "T-1", json!({}));
    put(&mut g.memory, "hold", "T-1", json!({ "code": "x" }));
    assert_eq!(outcome(&mut g, "T-1").0, "ADMIT");
    // A pass for one use waits for the others also here.
    put(&mut g.memory, "pass", "T-2", json!({ "uses": 1 }));
    assert_eq!(outcome(&mut g, "T-2"), said("HOLD", "X_USES"));
}

#[test]
fn a_pass_for_any_number_of_times_is_not_used_up_by_an_earlier_use() {
    let mut g = desk("\"pass\"", r#"{ code = "V_CATEGORY", when = 'pass.category != "transit"' }"#);
    put(&mut g.memory, "pass", "T-1", json!({ "uses": 0 }));
    // As long as the list said so, it was for one use.
    let by = Redemption { lane: g.lane.clone(), visit: VisitId(1), at_ms: Some(WALL) };
    g.memory.redeemed.borrow_mut().insert(":T-1".into(), by);
    let step = g.scan("T-1");
    assert_eq!(verdict(&step), ("HOLD".into(), vec!["V_CATEGORY".into()]));
    let step = g.act(g.override_to(Outcome::Admit, None));
    assert_eq!(step.reply, Some(Ok(())));
    assert!(opened(&step) && !kinds(&step).contains(&"pass_used"));
}

#[test]
fn the_use_of_a_pass_is_kept_until_the_list_says_that_it_ends() {
    for (facts, ends_ms) in
        [(json!({ "uses": 1, "exp_ms": WALL + HOUR }), Some(WALL + HOUR)), (json!({ "uses": 1 }), None)]
    {
        let mut g = desk("\"pass\"", "");
        put(&mut g.memory, "pass", "T-1", facts);
        let step = g.scan("T-1");
        let kept = step.writes.iter().find_map(|w| match w {
            Write::Redeem { ends_ms, .. } => Some(*ends_ms),
            Write::Seal { .. } | Write::Slot(_) | Write::Archive { .. } => None,
        });
        assert_eq!(kept, Some(ends_ms));
    }
}

#[test]
fn an_empty_or_absent_fact_of_a_list_is_not_shown_as_one() {
    let mut g = desk("\"pass\"", "");
    let facts = json!({ "category": "transit", "from": "", "to": "沈阳", "crew": 0, "ward": null });
    put(&mut g.memory, "pass", "辽P12345", facts);
    g.scan("辽P12345");
    let shown = g.desk()["visit"]["pass"]["facts"].clone();
    let labels: Vec<&str> =
        shown.as_array().unwrap().iter().map(|f| f["label"]["en"].as_str().unwrap()).collect();
    assert_eq!(labels, ["Category", "To"]);
    assert_eq!((&shown[0]["text"]["en"], &shown[1]["text"]), (&json!("Transit"), &Value::Null));
}
