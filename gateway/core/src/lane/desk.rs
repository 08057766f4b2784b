//! What officers do at a desk: typing a code, cancelling, measuring again, printing again. An override has
//! a file of its own.

use super::action::{Action, Officer, Rejection, Role, is_long, too_long};
use super::correct::Correction;
use super::open::Answer;
use super::override_act::Decision;
use super::scan::Scanned;
use super::step;
use super::visit::{Origin, PrintState};
use super::{Lane, Outbound, sheet};
use crate::event::Class;
use crate::ids::VisitId;
use crate::reading::{Command, Request, Ticket};
use crate::records::Records;
use crate::time::Now;
use serde_json::json;

impl Lane {
    /// An officer acts.
    pub fn act(
        &mut self,
        now: &Now,
        officer: &Officer,
        (of, action): (Option<VisitId>, &Action),
        next_visit: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        if officer.role == Role::Admin {
            return Ok(Err(Rejection::new(
                "role",
                "管理员不参与放行",
                "An administrator decides nothing in a lane",
            )));
        }
        let done = self.act_now(now, officer, (of, action), next_visit, records, out)?;
        self.next_in_front(now, records, out)?;
        self.watch_door(now, out);
        Ok(done)
    }

    pub(super) fn act_now(
        &mut self,
        now: &Now,
        officer: &Officer,
        (of, action): (Option<VisitId>, &Action),
        next_visit: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        if sheet::holds_command(action) {
            out.count("command_refused_total");
            return Ok(Err(sheet::is_no_answer()));
        }
        match action {
            Action::Code(text) => self.code_at_desk(now, officer, text, next_visit, records, out),
            Action::Enter { text, on } => {
                let data = json!({ "officer": officer.id, "act": "enter" });
                let (before, other) = ((out.events.len(), out.counters.len()), self.state.other.clone());
                let (bytes, origin) = (text.trim().as_bytes(), Origin::Typed);
                let read = Scanned { bytes, origin, on: on.as_deref() };
                let done = self.scan(now, read, next_visit, records, out)?;
                if done.is_ok() {
                    out.event("audit", Class::Scan, &self.setup, None, data);
                    // Who typed it stands before what followed.
                    out.events[before.0..].rotate_right(1);
                } else {
                    // Whoever types sees the answer: the screens say nothing of another code.
                    out.counters.truncate(before.1);
                    self.state.other = other;
                }
                Ok(done)
            }
            Action::Start { on } => self.start_at_desk(now, officer, on.as_deref(), next_visit, records, out),
            Action::Cancel { reason: note, .. } | Action::Approve { note, .. } if is_long(note) => {
                Ok(Err(too_long()))
            }
            Action::Cancel { reason, visit } => self.cancel(officer, of.or(*visit), reason, out),
            Action::Aside => self.aside(now, officer, of, out),
            Action::Call => Ok(self.call(now, officer, out)),
            Action::Recheck => self.recheck(now, officer, of, records, out),
            Action::Party(count) => self.party(now, officer, (of, *count), records, out),
            Action::Complete(visit) => Ok(self.take_record(*visit)),
            Action::Override { visit, outcome, reason, note, second } => {
                let what =
                    Decision { visit: *visit, outcome: *outcome, reason, note, second: second.as_ref() };
                self.decide_otherwise(now, officer, &what, records, out)
            }
            Action::Correct { register, key, holder, act, reason } => {
                let what = Correction { register, key, holder, act, reason };
                self.correct(now, officer, &what, records, out)
            }
            Action::Reprint { reason, .. } if is_long(reason) => Ok(Err(too_long())),
            Action::Reprint { visit, step, reason } => {
                Ok(self.reprint(officer, *visit, step.as_deref(), reason, out))
            }
            Action::OpenAgain(visit) => Ok(self.open_again(now, officer, *visit, out)),
            Action::OpenedByHand(visit) => Ok(self.opened_by_hand(officer, *visit, out)),
            Action::Answer { .. }
            | Action::Form(_)
            | Action::SealCheck(_)
            | Action::Tally(_)
            | Action::TallyDone
            | Action::Approve { .. }
            | Action::Seal { .. }
            | Action::Capture(_)
            | Action::Retake(_)
            | Action::Accept(_)
            | Action::Confirm(_) => self.act_at_step(now, officer, (of, action), records, out),
        }
    }

    /// Prints a slip again as it was, under the name of who asks for it and with the reason.
    fn reprint(
        &mut self,
        officer: &Officer,
        id: VisitId,
        step: Option<&str>,
        reason: &str,
        out: &mut Outbound,
    ) -> Result<(), Rejection> {
        if reason.trim().is_empty() {
            return Err(Rejection::new("reason", "请填写补打原因", "Say why it is printed again"));
        }
        let visit = self.state.visits().find(|v| v.id == id);
        let slip = visit.and_then(|v| step::print::kept(v, &self.setup, step)).cloned();
        let (Some(visit), Some(slip)) = (visit, slip) else { return Err(Rejection::not_now()) };
        let Some(step) = self.setup.profile.steps.get(slip.step) else { return Err(Rejection::not_now()) };
        let device = step.device.as_ref().and_then(|role| self.setup.devices.get(role)).cloned();
        let Some(device) = device else { return Err(Rejection::not_now()) };
        let data = json!({ "officer": officer.id, "role": officer.role, "step": step.id, "reason": reason.trim(),
            "subject": visit.subject, "subject_key": visit.subject_key });
        out.event("reprint", Class::Scan, &self.setup, Some(id), data);
        let ticket = Ticket(self.state.next_ticket);
        self.state.next_ticket += 1;
        self.amend(id, out, |visit| {
            if let Some(kept) = visit.prints.iter_mut().find(|kept| kept.step == slip.step) {
                kept.state = PrintState::Asked;
                kept.tickets.push(ticket);
            }
        });
        out.requests.push(Request {
            device,
            ticket,
            command: Command::Print { lines: slip.text().to_vec() },
        });
        Ok(())
    }
}
