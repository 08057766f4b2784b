//! Staff answer one question.

use super::{Cx, Flow, Stimulus};
use crate::lane::action::{Action, Rejection};
use crate::pass::plate;
use crate::profile::Input;
use serde_json::{Map, Value, json};

/// The longest answer in words, in characters; the desk is told of it.
pub const MAX_TEXT: usize = 200;

/// Waits for the answer.
pub fn enter(cx: &mut Cx<'_>) -> Flow {
    cx.allow(cx.step.timeout_ms);
    Flow::Wait
}

/// Takes the answer.
pub fn on(cx: &mut Cx<'_>, what: &Stimulus<'_>, input: &Input) -> Flow {
    match what {
        Stimulus::Deadline => cx.time_out(),
        Stimulus::Report(_) => Flow::Wait,
        Stimulus::Action(_, Action::Answer { question, value }) if *question == cx.step.id => {
            match read(value, input) {
                Err(why) => Flow::Reject(why),
                Ok((word, fact)) => {
                    cx.visit.answers.insert(question.clone(), word);
                    let all = cx.visit.facts.entry("answers").or_insert_with(|| Value::Object(Map::new()));
                    if let Some(all) = all.as_object_mut() {
                        all.insert(question.clone(), fact);
                    }
                    Flow::Next
                }
            }
        }
        Stimulus::Action(..) => Flow::Reject(Rejection::not_now()),
    }
}

fn read(value: &str, input: &Input) -> Result<(String, Value), Rejection> {
    let bad = |zh: &str, en: &str| Err(Rejection::new("bad_answer", zh, en));
    match input {
        Input::Choice(options) => match options.iter().find(|o| o.value == value) {
            Some(o) => Ok((o.value.clone(), json!(o.value))),
            None => bad("请选择一项", "Choose one of the answers"),
        },
        Input::Number { min, max } => match value.trim().parse::<i64>() {
            Ok(n) if (*min..=*max).contains(&n) => Ok((n.to_string(), json!(n))),
            Ok(_) | Err(_) => {
                bad(&format!("请输入{min}到{max}"), &format!("Enter a number from {min} to {max}"))
            }
        },
        Input::Plate => match plate::normal(value) {
            Some(plate) => Ok((plate.clone(), json!(plate))),
            None => bad("车牌格式不对，例如 辽P12345", "Not a plate; for example 辽P12345"),
        },
        Input::Text => match value.trim() {
            "" => bad("请填写", "Write something"),
            text if text.chars().count() > MAX_TEXT => {
                bad(&format!("最多{MAX_TEXT}字"), &format!("At most {MAX_TEXT} characters"))
            }
            text => Ok((text.to_owned(), json!(text))),
        },
    }
}
