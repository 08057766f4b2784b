//! Staff answer one question.

use super::kind::{About, Kind, Look};
use super::{Cx, Flow, StepInput};
use crate::lane::action::{Action, Rejection};
use crate::lane::view::ask::{Answer, Ask, options};
use crate::pass::plate;
use crate::profile::facts::{ANSWERS, Type};
use crate::profile::source::StepContext;
use crate::profile::{Choice, ProfileError};
use crate::records::RecordsFault;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// The longest answer in words, in characters; the desk is told of it.
pub const MAX_TEXT: usize = 200;

/// Asks staff one question.
#[derive(Debug)]
pub struct Question {
    /// The form of the answer.
    pub input: Input,
}

/// The form of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// One of these.
    Choice(Vec<Choice>),
    /// A number.
    Number {
        /// At least.
        min: i64,
        /// At most.
        max: i64,
    },
    /// A number plate.
    Plate,
    /// A line of text.
    Text,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    #[serde(default)]
    input: InputForm,
    #[serde(default)]
    options: Vec<Choice>,
    #[serde(default)]
    min: i64,
    #[serde(default = "max")]
    max: i64,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum InputForm {
    #[default]
    Choice,
    Number,
    Plate,
    Text,
}

const fn max() -> i64 {
    999
}

impl Kind for Question {
    const ABOUT: About = About {
        by_staff: true,
        timeout_s: Some(180),
        ..About::new("question", ("询问", "Question"), ("请回答工作人员", "Please answer staff"))
    };
    type Form = Form;
    type Waits = ();

    fn read(Form { input, options, min, max }: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        let input = match input {
            InputForm::Choice => {
                place.choices("options", &options, 2, 9)?;
                Input::Choice(options)
            }
            InputForm::Number if min > max => {
                let what = format!("no number is at least {min} (`min`) and at most {max} (`max`)");
                return Err(place.error(what));
            }
            InputForm::Number => Input::Number { min, max },
            InputForm::Plate => Input::Plate,
            InputForm::Text => Input::Text,
        };
        Ok(Self { input })
    }

    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        cx.allow(cx.step.timeout_ms);
        Ok(Flow::Wait)
    }

    /// Takes the answer.
    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        Ok(match what {
            StepInput::Deadline => cx.time_out(),
            StepInput::Report(_) => Flow::Wait,
            StepInput::Action(_, Action::Answer { question, value }) if *question == cx.step.id => {
                match read(value, &self.input) {
                    Err(why) => Flow::Reject(why),
                    Ok((word, fact)) => {
                        cx.visit.answers.insert(question.clone(), word);
                        let all = cx.visit.facts.entry(ANSWERS).or_insert_with(|| Value::Object(Map::new()));
                        if let Some(all) = all.as_object_mut() {
                            all.insert(question.clone(), fact);
                        }
                        Flow::Next
                    }
                }
            }
            StepInput::Action(..) => Flow::Reject(Rejection::not_now()),
        })
    }

    fn ask(&self, look: Look<'_>) -> Ask {
        let answer = match &self.input {
            Input::Choice(choices) => Answer::Choice { options: options(choices) },
            Input::Number { min, max } => Answer::Number { min: *min, max: *max },
            Input::Plate => Answer::Plate { photo: super::photo::of_the_plate(look.visit) },
            Input::Text => Answer::Text { max: MAX_TEXT },
        };
        Ask::Question { id: look.step.id.clone(), prompt: look.step.prompt.clone(), answer }
    }

    fn answer(&self) -> Option<Type> {
        Some(match self.input {
            Input::Number { .. } => Type::Number,
            Input::Choice(_) | Input::Plate | Input::Text => Type::Text,
        })
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
