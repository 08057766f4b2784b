//! Opens the barrier, prints the slip: the record is durable before the request leaves the core's
//! owner, and the board keeps the time itself.

use super::super::event::Weight;
use super::super::visit::{Actuation, Visit};
use super::super::{Outbound, Setup};
use super::{Cx, Flow, Stimulus};
use crate::codes::Outcome;
use crate::lane::action::Rejection;
use crate::profile::StepKind;
use crate::reading::{Command, Report, Request, Ticket};
use crate::time::{Now, local};
use serde_json::json;

/// The role of a lane's lamps.
pub const SIGNAL: &str = "signal";

/// How long a visit that the barrier did not open for stays at the front, in milliseconds, if nobody says what became
/// of it: it holds the number of a card, and nobody stands there any more.
pub const UNOPENED_MS: u64 = 3_600_000;

/// Asks the board for a pulse.
pub fn pulse(cx: &mut Cx<'_>, pulse_ms: u32) -> Flow {
    // Nothing opens without a recorded admission.
    if !cx.visit.admitted || cx.visit.outcome() != Some(Outcome::Admit) {
        cx.out.count("pulse_without_admission_total");
        return Flow::Next;
    }
    // A visit that is taken up after a restart may have opened already: it is not opened twice.
    if cx.visit.actuation == Actuation::Asked {
        return fail(cx);
    }
    cx.visit.ticket = cx.request(Command::Pulse { ms: pulse_ms });
    if cx.visit.ticket.is_none() {
        return Flow::Next;
    }
    cx.visit.actuation = Actuation::Asked;
    cx.visit.pulses += 1;
    cx.allow(cx.step.timeout_ms);
    Flow::Wait
}

/// Whether a step from `from` on has a barrier to open.
pub fn opens(setup: &Setup, from: usize) -> bool {
    let steps = setup.profile.steps.get(from..).unwrap_or_default();
    let barrier = steps.iter().filter(|s| matches!(s.kind, StepKind::Actuate { .. }));
    barrier.filter_map(|s| s.device.as_ref()).any(|role| setup.devices.contains_key(role))
}

/// Shows a verdict by the lamps. The green one comes with the opening itself, where there is one.
pub fn announce(cx: &mut Cx<'_>, outcome: Outcome, from: usize) {
    if outcome != Outcome::Admit || !opens(cx.setup, from) {
        signal(cx, outcome);
    }
}

/// Shows the verdict by the lamps of the lane, if it has some. Nobody waits for them.
pub fn signal(cx: &mut Cx<'_>, outcome: Outcome) {
    let Some(device) = cx.setup.devices.get(SIGNAL) else { return };
    let command = Command::Signal { outcome, ms: cx.setup.profile.show_verdict_ms };
    cx.out.requests.push(Request { device: device.clone(), ticket: Ticket::NOBODY, command });
}

/// Prints the slip and waits for it.
pub fn print(cx: &mut Cx<'_>, lines: &[String]) -> Flow {
    let lines = filled(cx, lines);
    cx.visit.ticket = cx.request(Command::Print { lines });
    if cx.visit.ticket.is_none() {
        return Flow::Next;
    }
    cx.visit.slip = Actuation::Asked;
    cx.visit.slip_ticket = cx.visit.ticket;
    cx.allow(cx.step.timeout_ms);
    Flow::Wait
}

/// Prints the slips of the steps from one on, and waits for none: behind a verdict that ends the visit,
/// whoever is referred needs one most.
pub fn print_slip(cx: &mut Cx<'_>, from: usize) {
    let setup = cx.setup;
    for step in setup.profile.steps.get(from..).unwrap_or_default() {
        let device = step.device.as_ref().and_then(|role| setup.devices.get(role));
        if let (StepKind::Print { lines }, Some(device)) = (&step.kind, device) {
            let command = Command::Print { lines: filled(cx, lines) };
            let ticket = Ticket(*cx.next_ticket);
            *cx.next_ticket += 1;
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
    let printer = setup.profile.steps.iter().find(|s| s.kind.word() == "print");
    let data = json!({ "step": printer.map(|s| &s.id), "device": printer.and_then(|s| s.device.as_ref()), "code": "X_DEVICE" });
    out.event("device", Weight::Health, setup, Some(visit.id), data);
    out.count("device_request_failed_total");
}

/// Waits for the device to confirm.
pub fn on(cx: &mut Cx<'_>, what: &Stimulus<'_>) -> Flow {
    match what {
        Stimulus::Report(Report::Done { ticket }) if Some(*ticket) == cx.visit.ticket => {
            *asked(cx) = Actuation::Done;
            if matches!(cx.step.kind, StepKind::Actuate { .. }) {
                cx.visit.shown_until = Some(cx.now.mono_ms + cx.setup.profile.show_verdict_ms);
                signal(cx, Outcome::Admit);
            }
            Flow::Next
        }
        Stimulus::Report(Report::NoData { ticket, .. }) if Some(*ticket) == cx.visit.ticket => fail(cx),
        Stimulus::Deadline => fail(cx),
        Stimulus::Report(_) => Flow::Wait,
        Stimulus::Action(..) => Flow::Reject(Rejection::not_now()),
    }
}

/// What this step asked for.
fn asked<'a>(cx: &'a mut Cx<'_>) -> &'a mut Actuation {
    if matches!(cx.step.kind, StepKind::Print { .. }) {
        cx.visit.slip_ticket = None;
        &mut cx.visit.slip
    } else {
        &mut cx.visit.actuation
    }
}

fn fail(cx: &mut Cx<'_>) -> Flow {
    *asked(cx) = Actuation::Failed;
    if matches!(cx.step.kind, StepKind::Actuate { .. }) {
        // It stays on the screens until somebody says what became of it, or the next one comes.
        cx.visit.shown_until = Some(cx.now.mono_ms + UNOPENED_MS);
        signal(cx, Outcome::Hold);
    }
    let data = json!({ "step": cx.step.id, "device": cx.step.device, "code": "X_DEVICE" });
    cx.out.event("device", Weight::Health, cx.setup, Some(cx.visit.id), data);
    cx.out.count("device_request_failed_total");
    Flow::Next
}
