//! What officers do at a desk: typing a code, cancelling, measuring again, printing again. An override has
//! a file of its own.

use super::action::{Action, Officer, Rejection, Role, is_long, too_long};
use super::correct::Correction;
use super::override_act::Decision;
use super::step::temperature::Measuring;
use super::step::{self, StepInput, StepKind};
use super::visit::{Origin, PrintState, Stage};
use super::{Lane, Outbound};
use crate::codes::Code;
use crate::event::Class;
use crate::ids::VisitId;
use crate::reading::{Command, Request, Ticket};
use crate::records::{Records, RecordsFault};
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
    ) -> Result<Result<(), Rejection>, RecordsFault> {
        if officer.role == Role::Admin {
            return Ok(Err(Rejection::new(
                "role",
                "管理员不参与放行",
                "An administrator decides nothing in a lane",
            )));
        }
        let running = self.is_running();
        match action {
            Action::Enter { text, on: _ } => {
                if running {
                    return Ok(Err(Rejection::new(
                        "busy",
                        "请先完成当前流程",
                        "Finish the current visit first",
                    )));
                }
                let data = json!({ "officer": officer.id, "act": "enter" });
                out.event("audit", Class::Scan, &self.setup, None, data);
                self.scan(now, (text.trim().as_bytes(), Origin::Typed), next_visit, records, out)?;
                Ok(Ok(()))
            }
            Action::Cancel { reason: note, .. } | Action::Approve { note, .. } if is_long(note) => {
                Ok(Err(too_long()))
            }
            Action::Start { .. } | Action::Aside | Action::Party(_) | Action::Complete(_) => {
                Ok(Err(Rejection::not_now()))
            }
            _ if of.is_some_and(|id| self.state.visit.as_ref().is_none_or(|v| v.id != id)) => {
                Ok(Err(Rejection::not_now()))
            }
            Action::Cancel { visit: Some(id), .. }
                if self.state.visit.as_ref().is_some_and(|v| running && v.id != *id) =>
            {
                Ok(Err(Rejection::new("not_now", "该记录已结束", "That visit is over; another one runs now")))
            }
            Action::Cancel { reason, .. } if running => {
                self.abandon(Some(&officer.id), reason, out);
                Ok(Ok(()))
            }
            Action::Recheck if !running => self.recheck(now, officer, records, out),
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
            | Action::Confirm(_)
            | Action::Cancel { .. }
            | Action::Recheck => {
                if !running {
                    return Ok(Err(Rejection::not_now()));
                }
                let done = self.stimulate(now, &StepInput::Action(officer, action), records, out)?;
                if let (Ok(()), Some(visit)) = (&done, &mut self.state.visit) {
                    visit.by = Some(officer.id.clone());
                }
                Ok(done)
            }
        }
    }

    /// A visit that rests, for its temperature among other reasons, is measured again; its first verdict stays on record.
    fn recheck(
        &mut self,
        now: &Now,
        officer: &Officer,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<Result<(), Rejection>, RecordsFault> {
        let at = self.setup.profile.steps.iter().position(|s| matches!(s.kind, StepKind::Temperature(_)));
        let parked = self.state.visit.as_mut().filter(|v| matches!(v.stage, Stage::Parked { .. }));
        let (Some(at), Some(visit)) = (at, parked) else { return Ok(Err(Rejection::not_now())) };
        let hot = |c: Code| c.rank() == crate::codes::Rank::Temperature;
        let decided = visit.verdict.as_ref().is_some_and(|v| v.codes.iter().any(|c| hot(*c)));
        if !decided || visit.overridden.is_some() {
            return Ok(Err(Rejection::not_now()));
        }
        visit.findings.retain(|f| !hot(f.code));
        visit.overridden_codes.retain(|c| !hot(*c));
        visit.waits.temperature = Some(Measuring { recheck: true, ..Measuring::default() });
        visit.stage = Stage::Running;
        visit.step = at;
        visit.shown_until = None;
        let (id, data) = (visit.id, json!({ "officer": officer.id, "act": "recheck" }));
        out.event("audit", Class::Scan, &self.setup, Some(id), data);
        self.advance(now, records, out)?;
        Ok(Ok(()))
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
