//! What central ops do in a lane.

use crate::gate::*;
use kakou_core::core::{Input, Step};
use kakou_core::lane::remote::{MESSAGE_MAX, Remote, Sender};
use kakou_core::reading::{NoData, Report};
use serde_json::{Value, json};

fn command(g: &mut Gate, what: Remote) -> Step {
    let sender =
        Sender { command: "c-1".into(), by: "wu".into(), issuer: "central".into(), reason: "drill".into() };
    g.input(Input::Remote { lane: g.lane.clone(), sender, what })
}

fn message(g: &mut Gate, text: &str) -> Step {
    command(g, Remote::Message { text: text.into(), for_ms: 60_000 })
}

#[test]
fn a_message_is_shown_for_its_time() {
    let mut g = gate("school-gate");
    let step = message(&mut g, "请稍候");
    assert_eq!((step.reply.clone(), kinds(&step)), (Some(Ok(())), vec!["remote_message"]));
    assert_eq!((&step.events[0].data["by"], &step.events[0].data["text"]), (&json!("wu"), &json!("请稍候")));
    for ms in [0, 59_999] {
        g.wait(ms);
        g.input(Input::Tick);
        assert_eq!(g.screen()["notice"], "请稍候");
        assert_eq!(g.desk()["notice"], json!({ "text": "请稍候", "by": "wu" }));
    }
    g.wait(1);
    assert_eq!(g.screen()["notice"], Value::Null, "also before the lane was woken");
    g.input(Input::Tick);
    assert_eq!(g.desk()["notice"], Value::Null);
    assert!(g.core.next_deadline().is_none_or(|(at, _)| at > g.now.mono_ms), "it is woken once");
}

#[test]
fn an_empty_message_takes_the_one_before_away() {
    let mut g = gate("school-gate");
    message(&mut g, "请稍候");
    assert_eq!(message(&mut g, "").reply, Some(Ok(())));
    assert_eq!(g.screen()["notice"], Value::Null);
}

#[test]
fn a_message_is_counted_in_characters_and_a_longer_one_is_refused() {
    let mut g = gate("school-gate");
    let longest = "车".repeat(MESSAGE_MAX);
    let step = message(&mut g, &format!("{longest}车"));
    assert_eq!(step.reply.unwrap().unwrap_err().code, "too_long");
    assert!(step.events.is_empty());
    assert_eq!(g.screen()["notice"], Value::Null);
    assert_eq!(message(&mut g, &longest).reply, Some(Ok(())));
    assert_eq!(g.screen()["notice"], json!(longest));
}

#[test]
fn what_the_barrier_says_to_a_command_is_told_to_whoever_sent_it() {
    for done in [Ok(()), Err(NoData::Timeout)] {
        let mut g = gate("school-gate");
        let step = command(&mut g, Remote::Open);
        assert_eq!(kinds(&step), ["remote_open"]);
        let ticket = pulse(&step).unwrap();
        let report = match done {
            Ok(()) => Report::Done { ticket },
            Err(why) => Report::NoData { ticket, why },
        };
        let step = g.device("barrier", report.clone());
        assert_eq!(
            step.opened.iter().map(|o| (o.command.as_str(), o.done)).collect::<Vec<_>>(),
            [("c-1", done)]
        );
        assert!(g.device("barrier", report).opened.is_empty(), "it is said once");
    }
    let mut g = gate_with("school-gate", &["scanner", "thermometer"]);
    assert_eq!(command(&mut g, Remote::Open).reply.unwrap().unwrap_err().code, "no_barrier");
}
