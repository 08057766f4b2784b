//! Staff answer one question: a form of one, whose answer is called as its step.

use super::form::{self, PLATE, insert_answer};
use super::input::{Bound, Input, InputForm, Limits};
use super::kind::{About, Answers, Kind, Look};
use super::{Cx, Flow, StepInput, scan, somebody};
use crate::lane::action::{Action, Rejection};
use crate::lane::view::ask::Ask;
use crate::profile::source::StepContext;
use crate::profile::{Choice, ProfileError};
use crate::reading::Report;
use crate::records::RecordsFault;
use serde::Deserialize;
use serde_json::{Value, json};

/// Asks staff one question.
#[derive(Debug)]
pub struct Question {
    /// The form of the answer.
    pub input: Input,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    #[serde(default)]
    input: InputForm,
    #[serde(default)]
    options: Vec<Choice>,
    min: Option<Bound>,
    max: Option<Bound>,
    #[serde(default)]
    decimals: u8,
}

impl Kind for Question {
    const ABOUT: About = About {
        by_staff: true,
        timeout_s: Some(180),
        ..About::new("question", ("询问", "Question"), ("请回答工作人员", "Please answer staff"))
    };
    type Form = Form;
    type Waits = ();

    fn read(form: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        let Form { input, options, min, max, decimals } = form;
        let limits = Limits { options, later: false, min, max, decimals };
        Ok(Self { input: Input::read(input, limits, place)? })
    }

    /// The plate that a camera has read to begin the visit is not asked again.
    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        let plate = cx.visit.plate.clone().filter(|_| cx.step.id == PLATE && self.input == Input::Plate);
        if let Some(plate) = plate
            && let Ok(fact) = self.input.take(&json!(plate))
        {
            return Ok(answered(cx, fact));
        }
        cx.allow(cx.step.timeout_ms);
        Ok(Flow::Wait)
    }

    /// Takes the answer.
    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        let given = match what {
            StepInput::Deadline => return Ok(cx.time_out()),
            StepInput::Report(Report::Scan { bytes }) if !scan::is_own_code(cx, bytes) => {
                let read = std::str::from_utf8(bytes).ok().map(|text| self.input.take(&json!(text)));
                let Some(Ok(fact)) = read else { return Ok(Flow::Wait) };
                let refused = self.is_refused(cx, &fact)?;
                return Ok(if refused { somebody::not_taken(cx) } else { answered(cx, fact) });
            }
            StepInput::Report(_) => return Ok(Flow::Wait),
            StepInput::Action(_, Action::Answer { question, value }) if *question == cx.step.id => {
                &json!(value)
            }
            StepInput::Action(_, Action::Form(given))
                if given.len() == 1 && given.contains_key(&cx.step.id) =>
            {
                &given[&cx.step.id]
            }
            StepInput::Action(..) => return Ok(Flow::Reject(Rejection::not_now())),
        };
        Ok(match self.input.take(given) {
            Ok(fact) if self.is_refused(cx, &fact)? => {
                Flow::Reject(Rejection::of("bad_answer", somebody::why()))
            }
            Ok(fact) => answered(cx, fact),
            Err(why) => Flow::Reject(Rejection::new("bad_answer", &why.zh, &why.en)),
        })
    }

    fn ask(&self, look: Look<'_>) -> Ask {
        let answer = self.input.answer(look.visit);
        Ask::Question { id: look.step.id.clone(), prompt: look.step.prompt.clone(), answer }
    }

    fn answers(&self, id: &str) -> Answers {
        vec![(id.to_owned(), self.input.fact())]
    }

    fn takes_codes(&self) -> bool {
        self.input == Input::Scan
    }
}

impl Question {
    /// Whether an answer is somebody's card, where the code of a thing is asked for.
    fn is_refused(&self, cx: &mut Cx<'_>, fact: &Value) -> Result<bool, RecordsFault> {
        let waits = self.input == Input::Scan && !cx.setup.profile.names_somebody(&cx.step.id);
        let Some(code) = fact.as_str().filter(|_| waits) else { return Ok(false) };
        somebody::is_somebodys(cx, code)
    }
}

fn answered(cx: &mut Cx<'_>, fact: Value) -> Flow {
    let id = cx.step.id.clone();
    cx.visit.answers.insert(id.clone(), form::recorded(cx.setup, &id, &fact));
    insert_answer(cx.visit, &id, fact);
    form::finish(cx)
}
