//! What is handed over is weighed: the weight that was asked for, beside what it should be.

use crate::gate::*;
use kakou_core::codes::Outcome;
use kakou_core::core::{Input, Step};
use kakou_core::profile;
use kakou_core::reading::{Command, NoData, Report, Ticket};
use kakou_core::scenario::{gateway, play, read, store};
use serde_json::json;

/// A lane that takes bags; `crew` of the list stands for what a bag should weigh.
fn bags(weigh: &str) -> String {
    format!(
        r#"
id = "bags"
title = {{ zh = "医废", en = "Bags" }}
direction = "in"
fail_mode = "HOLD"
[[step]]
kind = "scan"
accepts = ["opaque"]
[[step]]
kind = "verify"
lists = ["pass"]
[[step]]
kind = "weigh"
device = "scale"
{weigh}
[[step]]
kind = "decide"
rules = [{{ code = "S_MISSING", when = "weight.grams <= 0" }}, {{ code = "S_TAMPER", when = "weight.gap" }}]
"#
    )
}

const REFERENCE: &str = "reference = \"pass.crew\"";

fn lane(weigh: &str, roles: &[&str], grams: i64) -> (Gate, Step) {
    let mut g = gate_of("bags.toml", &bags(weigh), roles);
    put(&mut g.memory, "pass", "B-1", json!({ "crew": grams }));
    let step = g.scan("B-1");
    (g, step)
}

fn weighed(g: &mut Gate, ticket: Ticket, grams: i64) -> Step {
    g.device("scale", Report::Weight { ticket: Some(ticket), grams })
}

#[test]
fn a_weight_differs_by_more_than_a_hundred_grams_and_a_twentieth_or_it_does_not_differ() {
    for (reference, grams, gap) in [
        (1_000, 1_100, false),
        (1_000, 1_101, true),
        (1_000, 899, true),
        (4_000, 4_200, false),
        (4_000, 4_201, true),
        (4_000, 3_799, true),
        (0, 9_000, false),
    ] {
        let (mut g, step) = lane(REFERENCE, &["scanner", "scale"], reference);
        let asked = ticket(&step, &Command::Measure).expect("the scale is asked");
        let step = weighed(&mut g, asked, grams);
        assert_eq!(kinds(&step), ["weight", "transaction"]);
        let code = if gap { "S_TAMPER" } else { "OK" };
        assert_eq!(verdict(&step).1, [code], "{grams} beside {reference}");
        let compared = &g.desk()["visit"]["compared"];
        let shown = json!([{ "id": "weigh", "label": { "zh": "称重", "en": "Weigh" },
            "pass": format!("{reference} g"), "lane": format!("{grams} g"), "same": !gap }]);
        assert_eq!(*compared, if reference > 0 { shown } else { json!([]) });
    }
}

#[test]
fn only_the_weight_that_was_asked_for_counts_and_a_scale_that_is_back_is_asked_again() {
    let (mut g, step) = lane("", &["scanner", "scale"], 0);
    let first = ticket(&step, &Command::Measure).unwrap();
    let step = g.device("scale", Report::Weight { ticket: None, grams: 700 });
    assert_eq!(kinds(&step), ["weight"], "on record, and nobody's");
    let step = g.device("scale", Report::NoData { ticket: first, why: NoData::NotPresent });
    assert_eq!(kinds(&step), ["device"]);
    assert!(weighed(&mut g, first, 800).requests.is_empty());
    assert_eq!(g.desk()["ask"]["kind"], "weigh");
    let step = g.device("scale", Report::Link { ready: true });
    let again = ticket(&step, &Command::Measure).unwrap();
    assert_ne!(first, again);
    assert_eq!(verdict(&weighed(&mut g, again, 900)).1, ["OK"]);
}

#[test]
fn a_bag_that_nobody_weighs_in_fifteen_minutes_waits_for_staff_and_is_weighed_then() {
    let (mut g, _) = lane("", &["scanner", "scale"], 0);
    g.wait(899_999);
    assert!(g.input(Input::Tick).events.is_empty());
    g.wait(1);
    assert_eq!(verdict(&g.input(Input::Tick)).1, ["X_TIMEOUT"]);
    let step = g.act(g.override_to(Outcome::Admit, None));
    let asked = ticket(&step, &Command::Measure).expect("the scale is asked again");
    assert_eq!(verdict(&weighed(&mut g, asked, 900)).1, ["OK"]);
}

#[test]
fn a_lane_that_can_go_without_a_scale_goes_on_without_a_weight() {
    let (_, step) = lane("optional = true", &["scanner"], 0);
    assert_eq!(verdict(&step).1, ["S_MISSING"], "no scale is there");
    let (mut g, step) = lane("optional = true", &["scanner", "scale"], 0);
    let asked = ticket(&step, &Command::Measure).unwrap();
    let step = g.device("scale", Report::NoData { ticket: asked, why: NoData::NotPresent });
    assert_eq!(verdict(&step).1, ["S_MISSING"], "it does not answer");
}

#[test]
fn a_reference_is_a_number_of_what_earlier_steps_have_made() {
    for (reference, why) in [
        ("pass.plate", "the expression gives a text, not a whole number"),
        ("pass.crewe", "there is no fact `pass.crewe`"),
        ("weight.grams", "no earlier step makes it"),
    ] {
        let text = bags(&format!("reference = \"{reference}\""));
        let refused = profile::read("bags.toml", &text).unwrap_err();
        let line = 1 + text.lines().take_while(|l| !l.contains("\"weigh\"")).count();
        assert!(refused.what.contains(why) && line.abs_diff(refused.line) <= 1, "{refused}");
    }
    let unknown = profile::read("bags.toml", &bags("referenz = \"1\"")).unwrap_err();
    assert!(unknown.what.contains("reference"), "{unknown}");
}

/// Plays a file whose profile is the lane of bags.
fn played(weigh: &str, acts: &str) -> Result<(), String> {
    let text = format!(
        "profile = \"bags\"\nclock = \"2022-05-24T07:00:00+08:00\"\n[lists.pass.\"B-1\"]\ncrew = 2300\n{acts}"
    );
    let scenario = read("a.toml", &text).map_err(|e| e.to_string())?;
    let profiles = |_: &str| Ok(("bags.toml".to_owned(), bags(weigh)));
    let failure = play(&scenario, &profiles, &mut store::Memory::new(gateway()), &mut |_| {});
    failure.map_err(|e| e.to_string())?.map_or(Ok(()), |f| Err(format!("{}: {}", f.line, f.why)))
}

#[test]
fn a_scenario_puts_a_weight_on_the_scale_and_waits_there_until_it_does() {
    let waits = "[[do]]\nscan = \"B-1\"\n[[do]]\nexpect = { at = \"weigh\", outcome = \"none\" }\n";
    let weigh = |grams: i64, code: &str| {
        format!(
            "[[do]]\nweigh = {grams}\n[[do]]\nexpect = {{ codes = [\"{code}\"], events = [\"weight\", \"transaction\"] }}\n"
        )
    };
    assert_eq!(played(REFERENCE, &format!("{waits}{}", weigh(2_350, "OK"))), Ok(()));
    assert_eq!(played(REFERENCE, &format!("{waits}{}", weigh(2_500, "S_TAMPER"))), Ok(()));
    // One that a lane can go without gives nothing by itself, and a weight where the file says so.
    let scan = "[[do]]\nscan = \"B-1\"\n";
    let optional = "optional = true\nreference = \"pass.crew\"";
    let nothing = "[[do]]\nexpect = { codes = [\"S_MISSING\"], no_events = [\"weight\"] }\n";
    assert_eq!(played(optional, &format!("{scan}{nothing}")), Ok(()));
    assert_eq!(played(optional, &format!("{scan}{}", weigh(2_350, "OK"))), Ok(()));
    // A box that was off asks its scale anew.
    let off = "[[do]]\nenter = \"B-1\"\n[[do]]\nrestart = \"10m\"\n[[do]]\nexpect = { at = \"weigh\" }\n";
    assert_eq!(played(REFERENCE, &format!("{off}{}", weigh(2_350, "OK"))), Ok(()));
    let lost = "[[do]]\ndevice_lost = \"scale\"\n[[do]]\nexpect = { at = \"weigh\", events = [\"device\"] }\n\
        [[do]]\ndevice_back = \"scale\"\n";
    assert_eq!(played(REFERENCE, &format!("{scan}{lost}{}", weigh(2_350, "OK"))), Ok(()));
}

#[test]
fn a_value_that_is_no_weight_is_a_mistake() {
    let text = "[[do]]\nweigh = \"heavy\"\n";
    assert!(played("", text).unwrap_err().contains("invalid type"), "{:?}", played("", text));
}

#[test]
fn a_scale_that_is_there_and_gives_no_weight_is_asked_again_until_the_step_has_had_its_time() {
    let (mut g, step) = lane("timeout_s = 60", &["scanner", "scale"], 0);
    let first = ticket(&step, &Command::Measure).unwrap();
    let step = g.device("scale", Report::NoData { ticket: first, why: NoData::Timeout });
    assert_eq!(kinds(&step), ["device"]);
    g.wait(2_000);
    let second = ticket(&g.input(Input::Tick), &Command::Measure).expect("it is asked again");
    let step = g.device("scale", Report::NoData { ticket: second, why: NoData::Timeout });
    assert!(kinds(&step).is_empty(), "it is told of once");
    g.wait(2_000);
    let third = ticket(&g.input(Input::Tick), &Command::Measure).unwrap();
    assert_eq!(verdict(&weighed(&mut g, third, 900)).0, "ADMIT");

    let (mut g, _) = lane("timeout_s = 60", &["scanner", "scale"], 0);
    g.wait(60_000);
    let step = g.input(Input::Tick);
    assert_eq!(verdict(&step).1, ["X_TIMEOUT"]);
    assert!(ticket(&step, &Command::Stop).is_some(), "nobody waits for a weight any more");
}

#[test]
fn a_visit_that_is_cancelled_at_the_scale_stops_it() {
    let (mut g, _) = lane("", &["scanner", "scale"], 0);
    let step = g.act(kakou_core::lane::action::Action::Cancel { reason: "left".into(), visit: None });
    assert!(ticket(&step, &Command::Stop).is_some());
}
