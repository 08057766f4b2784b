//! A code that is shown again, and one that is shown while another visit runs.

use crate::gate::*;
use crate::trucks::truck;
use kakou_core::codes::Outcome;
use kakou_core::core::{Input, Step};
use kakou_core::evidence::SubjectKeys;
use kakou_core::lane::action::{Action, Role};
use serde_json::{Value, json};
use std::sync::Arc;

#[test]
fn a_code_shown_again_is_never_green_and_both_screens_say_when_it_was_first_shown() {
    let mut g = gate("school-gate");
    let first = g.admit("green");
    assert_eq!(g.screen()["mode"], "verdict");
    g.wait(4_000);
    let step = g.scan("green");
    assert_eq!(kinds(&step), ["repeat"]);
    assert_eq!(step.events[0].data["code"], "D_REPEAT");
    assert!(!opened(&step));
    assert_eq!(lamps(&step), [Outcome::Hold], "the green lamp of the first visit goes out");
    let screen = g.screen();
    assert_eq!((&screen["mode"], &screen["verdict"]), (&json!("repeat"), &Value::Null));
    assert_eq!(screen["repeat"]["visit"], json!(first));
    assert_eq!(screen["repeat"]["first"], "2022-05-24T00:00:00.000Z");
    let desk = g.desk();
    assert_eq!(desk["visit"]["repeated"]["first"], "2022-05-24T00:00:00.000Z");
    assert_eq!(desk["visit"]["repeated"]["measured"], true, "this profile measures, so it was left out now");
    g.wait(8_000);
    g.input(Input::Tick);
    assert_eq!(g.screen()["mode"], "idle");
    assert_eq!(g.counters(), [1, 0, 0, 0], "a repetition is no visit");
}

#[test]
fn a_repetition_counts_from_the_first_reading_up_to_and_including_a_minute() {
    for (ms, again) in [(2_999, ""), (3_000, "repeat"), (60_000, "repeat"), (60_001, "visit")] {
        let mut g = gate("school-gate");
        let step = g.scan("green");
        // A verdict that comes late does not make the minute longer.
        g.wait(2_000.min(ms));
        let step = g.warm(&step, 36_600);
        g.confirm(&step);
        g.wait(ms - 2_000.min(ms));
        let step = g.scan("green");
        let got = match kinds(&step).as_slice() {
            [] if ticket(&step, &kakou_core::reading::Command::Measure).is_some() => "visit",
            [] => "",
            ["repeat"] => "repeat",
            other => panic!("{other:?}"),
        };
        assert_eq!(got, again, "{ms} ms after the first reading");
    }
}

#[test]
fn a_person_is_known_again_after_a_rotation_and_each_event_names_the_key_that_it_was_made_with() {
    let rotate = |g: &mut Gate| {
        let before = [&b"site secret"[..]].into_iter();
        g.core.set_subjects(&Arc::new(SubjectKeys::new(2, b"the next one").with_before(before)));
    };
    let told = |step: &Step, kind: &str| {
        let event = step.events.iter().find(|e| e.kind == kind).expect(kind);
        (event.data["subject"].as_str().unwrap().to_owned(), event.data["subject_key"].clone())
    };
    let mut g = gate("school-gate");
    let step = g.scan("green");
    rotate(&mut g);
    // Shown again while it is under way: one reading, nobody else.
    g.scan("green");
    assert_eq!(g.desk()["other"], Value::Null);
    let step = g.warm(&step, 36_600);
    let (first, number) = told(&step, "transaction");
    assert_eq!(number, 1, "a visit keeps the key under which it began");
    g.confirm(&step);
    g.wait(4_000);
    let step = g.scan("green");
    assert_eq!((kinds(&step), told(&step, "repeat")), (vec!["repeat"], (first.clone(), json!(1))));
    g.wait(60_001);
    let step = g.scan("green");
    let (next, number) = told(&g.warm(&step, 36_600), "transaction");
    assert_eq!(number, 2);
    assert_ne!(next, first);
    // A lane that starts anew with the keys of then takes up what it has read.
    let mut g = gate("school-gate");
    g.admit("green");
    let state = g.core.lane(&g.lane).unwrap().state.clone();
    g.core = crate::restarted("school-gate", [(g.lane.clone(), state)].into());
    rotate(&mut g);
    g.core.resume(&g.now, &g.memory).unwrap();
    g.wait(4_000);
    assert_eq!(kinds(&g.scan("green")), ["repeat"]);
}

#[test]
fn what_was_not_admitted_is_shown_again_as_it_was() {
    let mut g = gate("school-gate");
    let step = g.scan("late");
    g.warm(&step, 36_600);
    g.wait(5_000);
    let step = g.scan("late");
    assert_eq!(kinds(&step), ["repeat"]);
    let screen = g.screen();
    assert_eq!((&screen["mode"], &screen["verdict"]["outcome"]), (&json!("verdict"), &json!("HOLD")));
    assert_eq!(g.desk()["visit"]["repeated"]["outcome"], "HOLD");
}

#[test]
fn a_typed_and_a_scanned_code_are_the_same_and_a_cancelled_visit_has_no_result() {
    let mut g = gate("school-gate");
    g.admit("green");
    g.wait(9_000);
    g.input(Input::Tick);
    let step = g.act_as("li", Role::Guard, Action::Enter { text: " green ".into(), on: None });
    assert_eq!(kinds(&step), ["audit", "repeat"]);

    let mut g = gate("school-gate");
    g.scan("green");
    g.act(Action::Cancel { reason: "left".into(), visit: None });
    assert!(ticket(&g.scan("green"), &kakou_core::reading::Command::Measure).is_some(), "at once");
    g.act(Action::Cancel { reason: "left".into(), visit: None });
    g.wait(5_000);
    assert!(ticket(&g.scan("green"), &kakou_core::reading::Command::Measure).is_some());
}

#[test]
fn both_screens_say_whose_visit_is_measured() {
    let mut g = gate("school-gate");
    g.scan("green");
    assert_eq!(g.screen()["person"], "张*");
    assert_eq!(g.desk()["visit"]["name"], "张*");
    let text = g.screen().to_string();
    assert!(!text.contains("小明") && !text.contains("green"), "{text}");
}

#[test]
fn a_card_shown_while_another_visit_runs_is_said_on_both_screens() {
    let mut g = gate("school-gate");
    let first = g.scan("green");
    g.wait(4_000);
    assert_eq!(g.screen()["other"], Value::Null);
    let step = g.scan("other");
    assert!(step.events.is_empty() && step.counters.contains(&"scan_while_busy_total"));
    let text = g.screen()["other"]["text"].clone();
    assert_eq!(text["zh"], "请稍候，正在为 张* 测温");
    assert_eq!(g.desk()["other"]["since"], g.screen()["other"]["since"]);
    // Held before the reader it is one card, and one tone.
    let since = g.screen()["other"]["since"].clone();
    g.wait(1_000);
    g.scan("other");
    assert_eq!(g.screen()["other"]["since"], since);
    g.wait(5_000);
    let (at, _) = g.core.next_deadline().unwrap();
    assert!(at <= g.now.mono_ms, "the word goes away by itself");
    g.input(Input::Tick);
    assert_eq!(g.screen()["other"], Value::Null);
    g.scan("other");
    assert_ne!(g.screen()["other"]["since"], since, "shown anew, it is said anew");
    // Whoever was in front is still the one who is measured.
    let step = g.warm(&first, 36_600);
    assert_eq!(verdict(&step).0, "ADMIT");
    g.confirm(&step);
    assert_eq!(g.screen()["other"], Value::Null, "it is the next one's turn");
}

#[test]
fn a_truck_that_has_a_verdict_of_a_minute_ago_is_a_new_visit() {
    let mut g = gate("truck-supplies");
    truck(&mut g, "辽P12345");
    g.wait(30_000);
    assert!(g.scan("辽P12345").events.is_empty(), "its own visit still runs");
    g.wait(870_000);
    g.input(Input::Tick);
    let before = g.visit_id();
    g.wait(4_000);
    g.scan("辽P12345");
    assert_ne!(g.visit_id(), before);
}
