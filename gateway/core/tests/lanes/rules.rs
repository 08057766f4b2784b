//! Rules over what was left out: no visit is held for a rule that could not be evaluated.

use super::gate::{WALL, gate_of, put, verdict};
use kakou_core::lane::action::Action;
use serde_json::json;

const HEAD: &str = r#"
id = "own"
title = { zh = "甲", en = "own" }
direction = "in"
fail_mode = "REFER"
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

#[test]
fn who_came_when_and_how_can_be_asked_from_the_start() {
    // Behind `scan`, and no step has checked anything yet.
    let steps = |when: &str| {
        format!("[[step]]\nkind = \"decide\"\nrules = [{{ code = \"H_SYMPTOM\", when = '{when}' }}]\n")
    };
    let found = |when: &str, typed: bool| {
        let mut g = gate_of("own.toml", &format!("{HEAD}{}", steps(when)), &["scanner"]);
        let step = if typed { g.act(Action::Enter { text: "P-1".into(), on: None }) } else { g.scan("p-1") };
        let (_, codes) = verdict(&step);
        assert!(!codes.contains(&"X_RULE".into()), "{when}");
        codes.contains(&"H_SYMPTOM".into())
    };
    for (when, of_scan, of_typed) in [
        (r#"pass.format == "opaque" && pass.kind == "opaque""#.to_owned(), true, true),
        (r#"pass.subject == "P-1" && pass.id == "P-1""#.to_owned(), true, true),
        (r#"visit.direction == "in""#.to_owned(), true, true),
        (r#"visit.day == "2022-05-24""#.to_owned(), true, true),
        (format!("visit.now_ms == {WALL}"), true, true),
        (r#"visit.origin == "scan""#.to_owned(), true, false),
        (r#"visit.origin == "typed""#.to_owned(), false, true),
    ] {
        assert_eq!((found(&when, false), found(&when, true)), (of_scan, of_typed), "{when}");
    }
}

#[test]
fn the_day_of_a_visit_is_that_of_the_site_when_it_began_and_the_moment_is_now() {
    let steps = r#"
[[step]]
kind = "question"
id = "from"
input = "text"
[[step]]
kind = "decide"
rules = [
  { code = "H_SYMPTOM", when = 'visit.day == "2022-05-24"' },
  { code = "H_RED", when = "visit.now_ms == LATER" },
]
"#;
    // 23:59:59 at the site.
    let begun = WALL - (WALL + 8 * 3_600_000) % 86_400_000 + 86_400_000 - 1_000;
    let steps = steps.replace("LATER", &(begun + 2_000).to_string());
    let mut g = gate_of("own.toml", &format!("{HEAD}{steps}"), &["scanner"]);
    g.now.wall_ms = Some(begun);
    g.scan("p-1");
    g.wait(2_000);
    let (_, codes) = verdict(&g.answer("from", "x"));
    assert!(codes.contains(&"H_SYMPTOM".into()) && codes.contains(&"H_RED".into()), "{codes:?}");
}

#[test]
fn a_code_that_is_no_pass_gives_its_format_alone() {
    for (code, format) in [("HC1:NOT A PASS", "HCERT"), ("KP1:NOT A PASS", "KP1")] {
        let when =
            format!(r#"pass.format == "{format}" && pass.kind == "" && pass.id == "" && pass.subject == """#);
        let ask =
            format!("[[step]]\nkind = \"question\"\nid = \"from\"\ninput = \"text\"\nwhen = '{when}'\n");
        let mut g = gate_of("own.toml", &format!("{HEAD}{ask}[[step]]\nkind = \"decide\"\n"), &["scanner"]);
        let step = g.scan(code);
        assert_eq!(verdict(&step), ("HOLD".into(), vec!["C_UNREADABLE".into()]), "straight to the verdict");
        g.act(g.override_to(kakou_core::codes::Outcome::Admit, None));
        assert_eq!(g.desk()["ask"]["kind"], "question", "{code}");
    }
}

#[test]
fn an_extra_event_says_what_its_profile_asks_for_and_names_persons_by_key() {
    let emit = r#"
[[emit]]
kind = "own"
data = { role = "pass.role", crew = "pass.crew + 1", gates = "pass.gates", who = { key = "pass.subject" }, whose = { key = "pass.approvals" } }
"#;
    let steps = "[[step]]\nkind = \"verify\"\nlists = [\"pass\"]\n[[step]]\nkind = \"decide\"\n";
    let head = HEAD.replacen("[[step]]", &format!("{emit}[[step]]"), 1);
    let mut g = gate_of("own.toml", &format!("{head}{steps}"), &["scanner"]);
    put(
        &mut g.memory,
        "pass",
        "T-1",
        json!({ "role": "driver", "crew": 2, "gates": ["a", "b"], "approvals": ["P-7", ""] }),
    );
    let step = g.scan("T-1");
    let data = &step.events.iter().find(|e| e.kind == "own").expect("it comes with every verdict").data;
    assert_eq!(
        (&data["role"], &data["crew"], &data["gates"]),
        (&json!("driver"), &json!(3), &json!(["a", "b"]))
    );
    assert_eq!(data["who"], data["subject"], "the key of whose it is");
    assert_eq!(data["outcome"], "ADMIT");
    let whose: Vec<&str> = data["whose"].as_array().unwrap().iter().filter_map(|v| v.as_str()).collect();
    assert!(
        whose.len() == 2 && whose[0].len() == data["subject"].as_str().unwrap().len() && whose[1].is_empty()
    );
    assert!(!data.to_string().contains("P-7") && !data.to_string().contains("T-1"), "{data}");
}
