//! Rules over what was left out: no visit is held for a rule that could not be evaluated.

use super::gate::{WALL, gate_of, put, verdict};
use serde_json::json;

const HEAD: &str = r#"
id = "own"
title = { zh = "甲", en = "own" }
direction = "in"
on_doubt = "REFER"
[[step]]
kind = "scan"
accepts = ["opaque"]
"#;

fn decided(steps: &str) -> (String, Vec<String>) {
    let mut g = gate_of("own.toml", &format!("{HEAD}{steps}"), &["scanner"]);
    put(&mut g.memory, "status", "p-1", json!({ "colour": "green" }));
    verdict(&g.scan("p-1"))
}

#[test]
fn the_answer_of_a_question_that_was_left_out_is_empty_and_no_error() {
    let steps = r#"
[[step]]
kind = "verify"
[[step]]
kind = "question"
id = "from"
input = "text"
when = 'health.colour == "red"'
[[step]]
kind = "question"
id = "days"
input = "number"
when = "health.risk_area"
[[step]]
kind = "decide"
rules = [{ code = "H_SYMPTOM", when = 'answers.from != "" || answers.days > 3' }]
"#;
    let (_, codes) = decided(steps);
    assert!(!codes.contains(&"X_RULE".into()) && !codes.contains(&"H_SYMPTOM".into()), "{codes:?}");
}

#[test]
fn what_a_verify_that_was_left_out_would_have_made_is_empty_and_no_error() {
    let steps = r#"
[[step]]
kind = "verify"
lists = ["status"]
when = 'lane.region == "elsewhere"'
[[step]]
kind = "decide"
rules = [
  { code = "H_RED", when = 'health.colour == "red"' },
  { code = "H_TEST_EXPIRED", when = "health.test_age_h < 48.0" },
  { code = "V_CREW", when = "pass.crew > 0 || pass.doses > pass.dose" },
]
"#;
    assert_eq!(decided(steps), ("ADMIT".into(), vec!["OK".into()]));
}

#[test]
fn a_rule_can_ask_on_which_day_of_the_site_a_sample_was_taken() {
    let steps = r#"
[[step]]
kind = "verify"
lists = ["status"]
[[step]]
kind = "decide"
rules = [
  { code = "H_TEST_EXPIRED", when = 'health.sampled_day != "DAY"' },
]
"#;
    let midnight = WALL - (WALL + 8 * 3_600_000) % 86_400_000;
    for (sampled_ms, day, in_order) in [
        (Some(midnight), true, true),
        (Some(midnight - 1), true, false),
        (None, true, false),
        (None, false, true),
    ] {
        let today = kakou_core::time::local_day(WALL, 8 * 3_600_000).unwrap();
        let steps = steps.replace("DAY", if day { &today } else { "" });
        let mut g = gate_of("own.toml", &format!("{HEAD}{steps}"), &["scanner"]);
        put(&mut g.memory, "status", "p-1", json!({ "colour": "green", "sampled_at_ms": sampled_ms }));
        let (_, codes) = verdict(&g.scan("p-1"));
        let expired = codes.contains(&"H_TEST_EXPIRED".into());
        assert_eq!(!expired, in_order, "{sampled_ms:?} {codes:?}");
    }
}
