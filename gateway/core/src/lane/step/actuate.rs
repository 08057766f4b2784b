//! Opens the barrier, prints the slip: the record is durable before the request leaves the core's
//! owner, and the board keeps the time itself.

use super::super::event::Weight;
use super::super::visit::Actuation;
use super::{Cx, Flow, Stimulus};
use crate::lane::action::Rejection;
use crate::reading::{Command, Report};
use crate::time::rfc3339;
use serde_json::json;

/// Asks the board for a pulse.
pub fn pulse(cx: &mut Cx<'_>, pulse_ms: u32) -> Flow {
    // A visit that is taken up after a restart may have opened already: it is not opened twice.
    if cx.visit.actuation == Actuation::Asked {
        return fail(cx);
    }
    cx.visit.ticket = cx.request(Command::Pulse { ms: pulse_ms });
    if cx.visit.ticket.is_none() {
        return Flow::Next;
    }
    cx.visit.actuation = Actuation::Asked;
    cx.allow(cx.step.timeout_ms);
    Flow::Wait
}

/// Prints the slip.
pub fn print(cx: &mut Cx<'_>, lines: &[String]) -> Flow {
    let fill = |line: &String| {
        let outcome = cx.visit.outcome().map_or("", crate::codes::Outcome::word);
        let instruction = cx.visit.outcome().map(|o| cx.setup.profile.instruction(o).zh).unwrap_or_default();
        line.replace("{name}", cx.visit.name.as_deref().unwrap_or(""))
            .replace("{outcome}", &format!("{instruction} {outcome}"))
            .replace("{visit}", &cx.visit.id.to_string())
            .replace("{time}", &cx.now.wall_ms.map(rfc3339).unwrap_or_default())
    };
    let lines = lines.iter().map(fill).collect();
    cx.visit.ticket = cx.request(Command::Print { lines });
    if cx.visit.ticket.is_none() {
        return Flow::Next;
    }
    cx.allow(cx.step.timeout_ms);
    Flow::Wait
}

/// Waits for the device to confirm.
pub fn on(cx: &mut Cx<'_>, what: &Stimulus<'_>) -> Flow {
    match what {
        Stimulus::Report(Report::Done { ticket }) if Some(*ticket) == cx.visit.ticket => {
            if cx.visit.actuation == Actuation::Asked {
                cx.visit.actuation = Actuation::Done;
            }
            Flow::Next
        }
        Stimulus::Report(Report::NoData { ticket, .. }) if Some(*ticket) == cx.visit.ticket => fail(cx),
        Stimulus::Deadline => fail(cx),
        Stimulus::Report(_) => Flow::Wait,
        Stimulus::Action(..) => Flow::Reject(Rejection::not_now()),
    }
}

fn fail(cx: &mut Cx<'_>) -> Flow {
    if cx.visit.actuation == Actuation::Asked {
        cx.visit.actuation = Actuation::Failed;
    }
    let data = json!({ "step": cx.step.id, "device": cx.step.device, "code": "X_DEVICE" });
    cx.out.event("device", Weight::Health, cx.setup, Some(cx.visit.id), data);
    cx.out.count("device_request_failed_total");
    Flow::Next
}
