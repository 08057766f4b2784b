//! Prints the slip. Nobody in the lane is held up by a printer.

use super::super::visit::{Actuation, Visit};
use super::super::{Outbound, Setup};
use super::kind::{About, Kind, Look, Progress};
use super::{Cx, Flow, StepInput, StepKind};
use crate::codes::Outcome;
use crate::event::Class;
use crate::lane::action::Rejection;
use crate::profile::source::StepContext;
use crate::profile::{DeviceKind, ProfileError, SLIP_STEP_MS};
use crate::reading::{Command, Report, Request, Ticket};
use crate::records::RecordsFault;
use crate::time::{Now, local};
use serde::Deserialize;
use serde_json::json;

/// What is filled in on a slip.
const PLACEHOLDERS: [&str; 4] = ["name", "outcome", "visit", "time"];

/// Prints a slip.
#[derive(Debug)]
pub struct Print {
    /// The lines; `{name}`, `{outcome}`, `{visit}` and `{time}` are filled in.
    pub lines: Vec<String>,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    #[serde(default)]
    lines: Vec<String>,
}

impl Kind for Print {
    const ABOUT: About = About {
        device: Some(DeviceKind::Printer),
        after_verdict: true,
        timeout_s: Some(SLIP_STEP_MS / 1_000),
        least_ms: SLIP_STEP_MS,
        ..About::new("print", ("打印", "Print"), ("请取单", "Please take your slip"))
    };
    type Form = Form;
    /// The slip that was asked for.
    type Waits = Ticket;

    fn read(Form { lines }: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        for line in &lines {
            check_placeholders(line, place)?;
        }
        Ok(Self { lines })
    }

    /// Prints the slip and waits for it. One that has come with the verdict does not come again with an override; one
    /// that was under way when the power went does, since nobody heard of it.
    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        let under_way = cx.visit.waits.print.is_some();
        if cx.visit.printed.contains(&cx.visit.step) && !under_way {
            return Ok(Flow::Next);
        }
        let lines = filled(cx, &self.lines);
        let ticket = cx.request(Command::Print { lines });
        cx.visit.waits.print = ticket;
        if ticket.is_none() {
            return Ok(Flow::Next);
        }
        if !under_way {
            cx.visit.printed.push(cx.visit.step);
        }
        cx.visit.slip = Actuation::Asked;
        cx.visit.slip_ticket = ticket;
        cx.allow(cx.step.timeout_ms);
        Ok(Flow::Wait)
    }

    /// Waits for the printer to answer.
    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        let asked = cx.visit.waits.print;
        let done = match what {
            StepInput::Report(Report::Done { ticket }) if Some(*ticket) == asked => true,
            StepInput::Report(Report::NoData { ticket, .. }) if Some(*ticket) == asked => false,
            StepInput::Deadline => false,
            StepInput::Report(_) => return Ok(Flow::Wait),
            StepInput::Action(..) => return Ok(Flow::Reject(Rejection::not_now())),
        };
        cx.visit.slip_ticket = None;
        cx.visit.slip = if done { Actuation::Done } else { Actuation::Failed };
        if !done {
            cx.visit.printed.clear();
            cx.device_failed();
        }
        Ok(Flow::Next)
    }

    fn progress(&self, look: Look<'_>) -> Option<Progress> {
        match look.visit.slip {
            Actuation::None => None,
            Actuation::Asked => Some(Progress::Current),
            Actuation::Done => Some(Progress::Done),
            Actuation::Failed | Actuation::ByHand => Some(Progress::Failed),
        }
    }
}

/// What stands in braces in a line of a slip is filled in.
fn check_placeholders(line: &str, place: &StepContext<'_>) -> Result<(), ProfileError> {
    let mut rest = line;
    while let Some((_, after)) = rest.split_once('{') {
        let name = after.split_once('}').map(|(name, _)| name);
        if !name.is_some_and(|n| PLACEHOLDERS.contains(&n)) {
            let allowed: Vec<String> = PLACEHOLDERS.iter().map(|p| format!("{{{p}}}")).collect();
            return Err(place.error(format!(
                "`{{{}` in `{line}` is filled in by nothing; allowed: {}",
                name.map_or(after.to_owned(), |n| format!("{n}}}")),
                allowed.join(", ")
            )));
        }
        rest = after;
    }
    Ok(())
}

/// Prints the slips of the steps from one on, and waits for none: behind a verdict that ends the visit,
/// whoever is referred needs one most.
pub fn print_slip(cx: &mut Cx<'_>, from: usize) {
    let setup = cx.setup;
    for (at, step) in setup.profile.steps.iter().enumerate().skip(from) {
        if cx.visit.printed.contains(&at) {
            continue;
        }
        let device = step.device.as_ref().and_then(|role| setup.devices.get(role));
        if let (StepKind::Print(print), Some(device)) = (&step.kind, device) {
            let command = Command::Print { lines: filled(cx, &print.lines) };
            let ticket = Ticket(*cx.next_ticket);
            *cx.next_ticket += 1;
            cx.visit.printed.push(at);
            cx.visit.slip = Actuation::Asked;
            cx.visit.slip_ticket = Some(ticket);
            cx.out.requests.push(Request { device: device.clone(), ticket, command });
        }
    }
}

fn filled(cx: &Cx<'_>, lines: &[String]) -> Vec<String> {
    let fill = |line: &String| {
        let instruction = cx.visit.outcome().map(|o| cx.setup.profile.instruction(o).zh).unwrap_or_default();
        line.replace("{name}", cx.visit.name.as_deref().unwrap_or(""))
            .replace("{outcome}", &format!("{} · {instruction}", outcome_words(cx.visit)))
            .replace("{visit}", &cx.visit.id.to_string())
            .replace("{time}", &time_words(&cx.now, cx.setup))
    };
    lines.iter().map(fill).collect()
}

/// The outcome that counts, in both languages.
pub fn outcome_words(visit: &Visit) -> String {
    visit.outcome().map(Outcome::text).map(|t| format!("{} {}", t.zh, t.en)).unwrap_or_default()
}

/// The time as the clocks of the site show it.
pub fn time_words(now: &Now, setup: &Setup) -> String {
    now.wall_ms.map(|ms| local(ms, setup.utc_offset_ms)).unwrap_or_default()
}

/// The printer answers for a slip that nobody waits for, or that was printed again.
pub fn slip_answer(visit: &mut Visit, report: &Report, setup: &Setup, out: &mut Outbound) {
    visit.slip_ticket = None;
    if matches!(report, Report::Done { .. }) {
        visit.slip = Actuation::Done;
        return;
    }
    visit.slip = Actuation::Failed;
    visit.printed.clear();
    let printer = setup.profile.steps.iter().find(|s| matches!(s.kind, StepKind::Print(_)));
    let data = json!({ "step": printer.map(|s| &s.id), "device": printer.and_then(|s| s.device.as_ref()), "code": "X_DEVICE" });
    out.event("device", Class::Health, setup, Some(visit.id), data);
    out.count("device_request_failed_total");
}
