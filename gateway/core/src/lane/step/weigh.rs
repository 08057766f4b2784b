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
use crate::time::MonoMs;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A weight may differ by so much from what it should be, in grams.
const GAP_GRAMS: u64 = 100;
/// And by one part in so many.
const GAP_PART: u64 = 20;
/// A scale that is there and gives no weight is asked again after so long, in milliseconds.
const AGAIN_MS: u64 = 2_000;

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

/// A weight that is waited for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weighing {
    /// The request; none while the scale is given a moment.
    pub ticket: Option<Ticket>,
    /// When the step has had its time.
    pub until: Option<MonoMs>,
    /// Whether the scale was already told of as failing.
    #[serde(default)]
    pub failed: bool,
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
    type Waits = Weighing;

    fn read(Form { reference }: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        Ok(Self { reference: reference.map(|text| place.number(&text)).transpose()? })
    }

    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        cx.allow(cx.step.timeout_ms);
        cx.visit.waits.weigh = Some(Weighing { until: cx.visit.deadline, ..Weighing::default() });
        ask(cx);
        // A lane that can go without a scale may have none.
        Ok(if asked(cx).is_some() { Flow::Wait } else { Flow::Next })
    }

    /// Takes the weight that was asked for. A scale that gives none is asked again, one that goes when it is back.
    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        let asked = asked(cx);
        let until = cx.visit.waits.weigh.as_ref().and_then(|w| w.until);
        Ok(match what {
            StepInput::Report(Report::Weight { ticket, grams }) if ticket.is_some() && *ticket == asked => {
                self.take(cx, *grams);
                Flow::Next
            }
            StepInput::Report(Report::NoData { ticket, .. }) if Some(*ticket) == asked => {
                // Said once: it is asked again and again.
                if !cx.visit.waits.weigh.as_ref().is_some_and(|w| w.failed) {
                    cx.device_failed();
                }
                if cx.step.optional {
                    return Ok(Flow::Next);
                }
                cx.visit.waits.weigh = Some(Weighing { ticket: None, until, failed: true });
                let again = cx.now.mono_ms + AGAIN_MS;
                cx.visit.deadline = Some(until.map_or(again, |until| until.min(again)));
                Flow::Wait
            }
            StepInput::Report(Report::Link { ready: true }) => {
                ask(cx);
                Flow::Wait
            }
            StepInput::Deadline if until.is_none_or(|until| cx.now.mono_ms < until) => {
                ask(cx);
                Flow::Wait
            }
            StepInput::Deadline => {
                cx.request(Command::Stop);
                if cx.step.optional { Flow::Next } else { cx.time_out() }
            }
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

/// The request that is under way.
fn asked(cx: &Cx<'_>) -> Option<Ticket> {
    cx.visit.waits.weigh.as_ref().and_then(|w| w.ticket)
}

fn ask(cx: &mut Cx<'_>) {
    let ticket = cx.request(Command::Measure);
    let weighing = cx.visit.waits.weigh.get_or_insert_default();
    weighing.ticket = ticket;
    cx.visit.deadline = weighing.until;
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
