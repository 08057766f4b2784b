//! A barrier that did not open: staff ask it once more, or say that they opened it by hand. A pulse here
//! has a ticket of its own, so that it belongs to its visit even while another one is in front.

use super::action::{Officer, Rejection};
use super::step::actuate::{SIGNAL, UNOPENED_MS, is_locked};
use super::visit::{Actuation, Visit};
use super::{Lane, Outbound};
use crate::codes::Outcome;
use crate::event::Class;
use crate::ids::{DeviceId, VisitId};
use crate::profile::StepKind;
use crate::reading::{Command, Report, Request, Ticket};
use crate::records::Write;
use crate::time::{MonoMs, Now};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How long a barrier may take to confirm, where its step has no limit.
const CONFIRM_MS: u64 = 5_000;

/// A pulse under way, beside the step of the visit in front.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// For whom.
    pub visit: VisitId,
    ticket: Ticket,
    /// When it counts as failed.
    pub until: MonoMs,
}

/// The other door of an airlock is open, say.
pub(super) fn locked() -> Rejection {
    Rejection::new("interlock", "联锁未解除，不能开启", "An interlock keeps it closed")
}

impl Lane {
    /// The barrier of this lane, for how long it is pulsed and how long it may take to confirm.
    fn barrier(&self) -> Option<(DeviceId, u32, u64)> {
        // Of the visit that is acted on; a member of a party may have none.
        let steps = self.profile().steps.iter().chain(&self.setup.profile.steps);
        steps.into_iter().find_map(|step| {
            let StepKind::Actuate(actuate) = &step.kind else { return None };
            let device = self.setup.devices.get(step.device.as_ref()?)?.clone();
            Some((device, actuate.pulse_ms, step.timeout_ms.unwrap_or(CONFIRM_MS)))
        })
    }

    /// Whether the barrier is being asked now, by a step or beside it.
    pub(super) fn is_opening(&self) -> bool {
        let at_step =
            self.is_running() && self.current_step().is_some_and(|s| matches!(s.kind, StepKind::Actuate(_)));
        at_step || !self.state.opening.is_empty()
    }

    /// Whether an input that is active keeps the barrier from opening.
    pub(super) fn is_locked(&self) -> bool {
        let steps = &self.profile().steps;
        steps.iter().any(|step| matches!(&step.kind, StepKind::Actuate(a) if is_locked(&self.state.inputs, a.interlock.as_deref())))
    }

    /// An officer asks the barrier once more for a visit that it did not open for.
    pub(super) fn open_again(
        &mut self,
        now: &Now,
        officer: &Officer,
        id: VisitId,
        out: &mut Outbound,
    ) -> Result<(), Rejection> {
        let data = self.unopened(id, officer)?;
        if self.is_opening() {
            return Err(Rejection::new(
                "busy",
                "道闸正在动作，请稍后再试",
                "The barrier is moving: try again in a moment",
            ));
        }
        if self.is_locked() {
            return Err(locked());
        }
        out.event("barrier_again", Class::Verdict, &self.setup, Some(id), data);
        self.open_for(now, id, out);
        Ok(())
    }

    /// An officer says that the barrier was opened by hand.
    pub(super) fn opened_by_hand(
        &mut self,
        officer: &Officer,
        id: VisitId,
        out: &mut Outbound,
    ) -> Result<(), Rejection> {
        let data = self.unopened(id, officer)?;
        out.event("barrier_by_hand", Class::Verdict, &self.setup, Some(id), data);
        self.amend(id, out, |visit| visit.actuation = Actuation::ByHand);
        if !self.is_running() && self.state.visit.as_ref().is_some_and(|v| v.id == id) {
            self.archive(out);
        }
        Ok(())
    }

    /// Who does something for a visit that the barrier did not open for, and whose visit it is.
    fn unopened(&self, id: VisitId, officer: &Officer) -> Result<Value, Rejection> {
        let visit = self.state.visits().find(|v| v.id == id).filter(|v| v.unopened() && v.admitted);
        let data = |v: &Visit| json!({ "officer": officer.id, "role": officer.role, "subject": v.subject, "subject_key": v.subject_key });
        visit.map(data).ok_or_else(|| {
            Rejection::new(
                "not_unopened",
                "该记录的道闸无需再处理",
                "Nothing is left to do about the barrier for this visit",
            )
        })
    }

    /// Asks the barrier for a visit whose admission is on record, at the front or behind it.
    pub(super) fn open_for(&mut self, now: &Now, id: VisitId, out: &mut Outbound) {
        let Some((device, ms, limit_ms)) = self.barrier() else { return };
        let ticket = Ticket(self.state.next_ticket);
        self.state.next_ticket += 1;
        self.amend(id, out, |visit| {
            visit.actuation = Actuation::Asked;
            visit.pulses += 1;
        });
        // What is locked is not asked at all: it counts as not confirmed.
        if self.is_locked() {
            return self.opening_ended(now, id, false, out);
        }
        self.state.opening.push(Opening { visit: id, ticket, until: now.mono_ms + limit_ms });
        out.requests.push(Request { device, ticket, command: Command::Pulse { ms } });
    }

    /// Whether a report answers a pulse beside the step; it is taken then.
    pub(super) fn opening_heard(&mut self, now: &Now, report: &Report, out: &mut Outbound) -> bool {
        let ours = |t: &Ticket| self.state.opening.iter().any(|o| o.ticket == *t);
        let (ticket, done) = match report {
            Report::Done { ticket } if ours(ticket) => (*ticket, true),
            Report::NoData { ticket, .. } if ours(ticket) => (*ticket, false),
            Report::Done { .. }
            | Report::NoData { .. }
            | Report::Scan { .. }
            | Report::Plate { .. }
            | Report::Temperature { .. }
            | Report::Photo { .. }
            | Report::Input { .. }
            | Report::Weight { .. }
            | Report::Link { .. } => return false,
        };
        let place = self.state.opening.iter().position(|o| o.ticket == ticket);
        if let Some(place) = place {
            let opening = self.state.opening.remove(place);
            self.opening_ended(now, opening.visit, done, out);
        }
        true
    }

    /// The barrier has not confirmed what was asked until then.
    pub(super) fn openings_ended(&mut self, now: &Now, until: MonoMs, out: &mut Outbound) {
        while let Some(place) = self.state.opening.iter().position(|o| o.until <= until) {
            let opening = self.state.opening.remove(place);
            self.opening_ended(now, opening.visit, false, out);
        }
    }

    /// The barrier has confirmed, or its time is over.
    fn opening_ended(&mut self, now: &Now, id: VisitId, done: bool, out: &mut Outbound) {
        self.amend(id, out, |visit| {
            visit.actuation = if done { Actuation::Done } else { Actuation::Failed };
            visit.repeated &= !done;
        });
        if !done {
            let data = json!({ "device": self.barrier().map(|(device, ..)| device), "code": "X_DEVICE" });
            out.event("device", Class::Health, &self.setup, Some(id), data);
            out.count("device_request_failed_total");
        }
        // Whoever is in front now has the screens and the lamps.
        if self.is_running() {
            return;
        }
        if done && let Some(place) = self.state.recent.iter().position(|v| v.id == id) {
            self.archive_around(place, out);
        }
        let show_ms = self.setup.profile.show_verdict_ms;
        if let Some(visit) = self.state.visit.as_mut().filter(|v| v.id == id) {
            visit.shown_until = Some(now.mono_ms + if done { show_ms } else { UNOPENED_MS });
            let outcome = if done { Outcome::Admit } else { Outcome::Hold };
            if let Some(device) = self.setup.devices.get(SIGNAL) {
                let command = Command::Signal { outcome, ms: show_ms };
                out.requests.push(Request { device: device.clone(), ticket: Ticket::NOBODY, command });
            }
        }
    }

    /// Changes a visit at hand; one behind the front is kept anew with what is different.
    pub(super) fn amend(&mut self, id: VisitId, out: &mut Outbound, with: impl FnOnce(&mut Visit)) {
        self.state.change(id, with);
        if let Some(visit) = self.state.recent.iter().find(|v| v.id == id) {
            let (lane, visit) = (self.setup.lane.clone(), visit.clone());
            out.writes.push(Write::Archive { lane, visit });
        }
    }
}
