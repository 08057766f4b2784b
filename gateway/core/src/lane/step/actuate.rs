//! Opens the barrier: the record is durable before the request leaves the core's owner, and the board keeps the
//! time itself.

use super::super::Setup;
use super::super::visit::Actuation;
use super::kind::{About, Kind, Look, Progress};
use super::{Cx, Flow, StepInput, StepKind};
use crate::codes::Outcome;
use crate::lane::action::Rejection;
use crate::profile::source::StepContext;
use crate::profile::{DeviceKind, PULSE_STEP_MS, ProfileError};
use crate::reading::{Command, Report, Request, Ticket};
use crate::records::RecordsFault;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The role of a lane's lamps.
pub const SIGNAL: &str = "signal";

/// How long a visit that the barrier did not open for stays at the front, in milliseconds, if nobody says what became
/// of it: it holds the number of a card, and nobody stands there any more.
pub const UNOPENED_MS: u64 = 3_600_000;

/// How long a barrier waits for the input that locks it, in milliseconds.
const INTERLOCK_MS: u64 = 10_000;

/// Opens the barrier.
#[derive(Debug)]
pub struct Actuate {
    /// How long the board keeps the relay closed.
    pub pulse_ms: u32,
    /// The role of an input: while it is active, nothing opens.
    pub interlock: Option<String>,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    #[serde(default = "pulse_ms")]
    pulse_ms: u32,
    interlock: Option<String>,
}

const fn pulse_ms() -> u32 {
    700
}

impl Kind for Actuate {
    const ABOUT: About = About {
        device: Some(DeviceKind::Relay),
        after_verdict: true,
        timeout_s: Some(PULSE_STEP_MS / 1_000),
        least_ms: PULSE_STEP_MS,
        ..About::new("actuate", ("放行", "Open"), ("请通行", "Please go ahead"))
    };
    type Form = Form;
    /// The pulse that was asked for.
    type Waits = Ticket;

    fn read(Form { pulse_ms, interlock }: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        place.between("pulse_ms", pulse_ms, 100, 25_000)?;
        if interlock.as_deref().is_some_and(str::is_empty) {
            return Err(place.error("`interlock` is the role of an input, as in `inner-door`"));
        }
        Ok(Self { pulse_ms, interlock })
    }

    /// Asks the board for a pulse, as soon as nothing locks it.
    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        // Nothing opens without a recorded admission.
        if !cx.visit.admitted || cx.visit.outcome() != Some(Outcome::Admit) {
            cx.out.count("pulse_without_admission_total");
            return Ok(Flow::Next);
        }
        // A visit that is taken up after a restart may have opened already: it is not opened twice.
        if cx.visit.actuation == Actuation::Asked {
            return Ok(fail(cx));
        }
        if is_locked(cx.inputs, self.interlock.as_deref()) && !lacks_device(cx) {
            cx.allow(Some(INTERLOCK_MS));
            return Ok(Flow::Wait);
        }
        Ok(self.pulse(cx))
    }

    /// Waits for the board to confirm.
    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        let asked = cx.visit.waits.actuate;
        Ok(match what {
            StepInput::Report(Report::Input { .. }) if asked.is_none() => {
                if is_locked(cx.inputs, self.interlock.as_deref()) { Flow::Wait } else { self.pulse(cx) }
            }
            StepInput::Report(Report::Done { ticket }) if Some(*ticket) == asked => {
                cx.visit.actuation = Actuation::Done;
                cx.visit.shown_until = Some(cx.now.mono_ms + cx.setup.profile.show_verdict_ms);
                signal(cx, Outcome::Admit);
                Flow::Next
            }
            StepInput::Report(Report::NoData { ticket, .. }) if Some(*ticket) == asked => fail(cx),
            StepInput::Deadline => fail(cx),
            StepInput::Report(_) => Flow::Wait,
            StepInput::Action(..) => Flow::Reject(Rejection::not_now()),
        })
    }

    fn progress(&self, look: Look<'_>) -> Option<Progress> {
        let failed = look.visit.unopened() && !look.visit.skipped.contains(&look.place);
        failed.then_some(Progress::Failed)
    }
}

impl Actuate {
    fn pulse(&self, cx: &mut Cx<'_>) -> Flow {
        let ticket = cx.request(Command::Pulse { ms: self.pulse_ms });
        cx.visit.waits.actuate = ticket;
        if ticket.is_none() {
            return Flow::Next;
        }
        cx.visit.actuation = Actuation::Asked;
        cx.visit.pulses += 1;
        cx.allow(cx.step.timeout_ms);
        Flow::Wait
    }
}

/// Whether an input that is active keeps a barrier from opening.
pub fn is_locked(inputs: &BTreeMap<String, bool>, interlock: Option<&str>) -> bool {
    interlock.is_some_and(|role| inputs.get(role) == Some(&true))
}

fn lacks_device(cx: &Cx<'_>) -> bool {
    cx.step.device.as_ref().is_none_or(|role| !cx.setup.devices.contains_key(role))
}

fn fail(cx: &mut Cx<'_>) -> Flow {
    cx.visit.actuation = Actuation::Failed;
    // It stays on the screens until somebody says what became of it, or the next one comes.
    cx.visit.shown_until = Some(cx.now.mono_ms + UNOPENED_MS);
    signal(cx, Outcome::Hold);
    cx.device_failed();
    Flow::Next
}

/// Whether a step from `from` on has a barrier to open.
pub fn opens(setup: &Setup, from: usize) -> bool {
    let steps = setup.profile.steps.get(from..).unwrap_or_default();
    let barrier = steps.iter().filter(|s| matches!(s.kind, StepKind::Actuate(_)));
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
