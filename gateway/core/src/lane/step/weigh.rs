//! Weighs what is handed over: the next steady weight, beside what it should be.

use super::kind::{About, Kind, Look};
use super::{Cx, Flow, StepInput};
use crate::codes::Code;
use crate::lane::action::Rejection;
use crate::lane::view::ask::Ask;
use crate::lane::visit::Weighed;
use crate::profile::facts::{Fact, Type};
use crate::profile::source::StepContext;
use crate::profile::{DeviceKind, ProfileError};
use crate::reading::{Command, Report, Ticket};
use crate::records::RecordsFault;
use crate::rules::Expression;
use crate::text::Text;
use serde::Deserialize;
use serde_json::json;

/// A weight may differ by so much from what it should be, in grams.
const GAP_GRAMS: u64 = 100;
/// And by one part in so many.
const GAP_PART: u64 = 20;

/// Weighs what is handed over.
#[derive(Debug)]
pub struct Weigh {
    /// What it should weigh, in grams.
    pub reference: Option<Expression>,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    reference: Option<String>,
}

impl Kind for Weigh {
    const ABOUT: About = About {
        device: Some(DeviceKind::Scale),
        by_staff: true,
        timeout_s: Some(900),
        facts: &[Fact::new("weight.grams", Type::Number), Fact::new("weight.gap", Type::Bool)],
        ..About::new("weigh", ("称重", "Weigh"), ("请放到秤上", "Please put it on the scale"))
    };
    type Form = Form;
    /// The weight that was asked for.
    type Waits = Ticket;

    fn read(Form { reference }: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        Ok(Self { reference: reference.map(|text| place.number(&text)).transpose()? })
    }

    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        ask(cx);
        // A lane that can go without a scale may have none.
        if cx.visit.waits.weigh.is_none() {
            return Ok(Flow::Next);
        }
        cx.allow(cx.step.timeout_ms);
        Ok(Flow::Wait)
    }

    /// Takes the weight that was asked for. A scale that goes is asked again when it is back.
    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        let asked = cx.visit.waits.weigh;
        Ok(match what {
            StepInput::Report(Report::Weight { ticket, grams }) if ticket.is_some() && *ticket == asked => {
                self.take(cx, *grams);
                Flow::Next
            }
            StepInput::Report(Report::NoData { ticket, .. }) if Some(*ticket) == asked => {
                cx.visit.waits.weigh = None;
                cx.device_failed();
                if cx.step.optional { Flow::Next } else { Flow::Wait }
            }
            StepInput::Report(Report::Link { ready: true }) => {
                ask(cx);
                Flow::Wait
            }
            StepInput::Deadline if cx.step.optional => Flow::Next,
            StepInput::Deadline => cx.time_out(),
            StepInput::Report(_) => Flow::Wait,
            StepInput::Action(..) => Flow::Reject(Rejection::not_now()),
        })
    }

    fn ask(&self, look: Look<'_>) -> Ask {
        Ask::Weigh { prompt: look.step.prompt.clone() }
    }

    fn public(&self, look: Look<'_>) -> Text {
        look.step.prompt.clone()
    }
}

fn ask(cx: &mut Cx<'_>) {
    cx.visit.waits.weigh = cx.request(Command::Measure);
}

impl Weigh {
    fn take(&self, cx: &mut Cx<'_>, grams: i64) {
        let reference = match &self.reference {
            None => 0,
            Some(reference) => cx.number(reference).unwrap_or_else(|_| {
                cx.out.count("rule_failed_total");
                cx.out.notes.push(format!("reference `{}` could not be evaluated", reference.source()));
                cx.find(Code::X_RULE);
                0
            }),
        };
        let off = grams.abs_diff(reference);
        let gap = reference > 0 && off > GAP_GRAMS && off.saturating_mul(GAP_PART) > reference.unsigned_abs();
        cx.visit.weighed = Some(Weighed { grams, reference, gap });
        cx.make("weight", json!({ "grams": grams, "gap": gap }));
        // Measured again after a verdict, nobody is asked to lay it there once more.
        cx.visit.finished.push(cx.visit.step);
    }
}
