//! What officers do at a desk: typing a code, cancelling, measuring again, deciding otherwise.
//!
//! A verdict is never erased: an override stands beside it, by name and with its reason.

use super::action::{Action, OVERRIDE_REASONS, Officer, Rejection, Role};
use super::event::Weight;
use super::step::{self, Flow, Stimulus};
use super::visit::{Actuation, Measuring, Overridden, Stage, Visit};
use super::{Lane, Outbound};
use crate::codes::{Code, Outcome};
use crate::ids::VisitId;
use crate::reading::{Command, Request, Ticket};
use crate::records::{Records, RecordsFault};
use crate::time::Now;
use serde_json::json;

/// The longest note of an override or an approval, the longest reason of a cancellation.
const MAX_NOTE: usize = 500;

impl Lane {
    /// An officer acts.
    pub fn act(
        &mut self,
        now: &Now,
        officer: &Officer,
        action: &Action,
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
        let running = self.state.visit.as_ref().is_some_and(|v| v.stage == Stage::Running);
        match action {
            Action::Enter(text) => {
                if running {
                    return Ok(Err(Rejection::new(
                        "busy",
                        "请先完成当前流程",
                        "Finish the current visit first",
                    )));
                }
                let data = json!({ "officer": officer.id, "act": "enter" });
                out.event("audit", Weight::Scan, &self.setup, None, data);
                self.scan(now, text.trim().as_bytes(), next_visit, records, out)?;
                Ok(Ok(()))
            }
            Action::Cancel { reason: note, .. } | Action::Approve { note, .. } if note.len() > MAX_NOTE => {
                Ok(Err(Rejection::new("note", "说明过长", "The reason is too long")))
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
            Action::Reprint(visit) => self.reprint(now, officer, *visit, out),
            Action::Answer { .. }
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
                let done = self.stimulate(now, &Stimulus::Action(officer, action), records, out)?;
                if let (Ok(()), Some(visit)) = (&done, &mut self.state.visit) {
                    visit.by = Some(officer.id.clone());
                }
                Ok(done)
            }
        }
    }

    /// A visit that rests for its temperature is measured again; its first verdict stays on record.
    fn recheck(
        &mut self,
        now: &Now,
        officer: &Officer,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<Result<(), Rejection>, RecordsFault> {
        let at = self.setup.profile.steps.iter().position(|s| s.kind.word() == "temperature");
        let parked = self.state.visit.as_mut().filter(|v| matches!(v.stage, Stage::Parked { .. }));
        let (Some(at), Some(visit)) = (at, parked) else { return Ok(Err(Rejection::not_now())) };
        let hot = |c: Code| c.rank() == crate::codes::Rank::Temperature;
        let decided = visit.verdict.as_ref().and_then(|v| v.codes.first()).is_some_and(|c| hot(*c));
        if !decided || visit.overridden.is_some() {
            return Ok(Err(Rejection::not_now()));
        }
        visit.findings.retain(|f| !hot(f.code));
        visit.forgiven.retain(|c| !hot(*c));
        visit.measuring = Measuring { recheck: true, ..Measuring::default() };
        visit.stage = Stage::Running;
        visit.step = at;
        visit.shown_until = None;
        let (id, data) = (visit.id, json!({ "officer": officer.id, "act": "recheck" }));
        out.event("audit", Weight::Scan, &self.setup, Some(id), data);
        self.advance(now, records, out)?;
        Ok(Ok(()))
    }

    fn decide_otherwise(
        &mut self,
        now: &Now,
        officer: &Officer,
        what: &Decision<'_>,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<Result<(), Rejection>, RecordsFault> {
        let reject = |code, zh: &str, en: &str| Ok(Err(Rejection::new(code, zh, en)));
        let Some(reason) = OVERRIDE_REASONS.iter().find(|r| r.0 == what.reason) else {
            return reject("reason", "请选择理由", "Choose a reason");
        };
        if reason.3 && what.note.trim().is_empty() || what.note.len() > MAX_NOTE {
            return reject("note", "请填写说明（500字节以内）", "Write a note, at most 500 bytes");
        }
        let busy = self.state.visit.as_ref().is_some_and(|v| v.stage == Stage::Running);
        let here = |v: &&Visit| v.id == what.visit;
        let Some(visit) = self.state.visits().find(here) else {
            return reject("no_visit", "找不到该记录", "This visit is no longer at hand");
        };
        if visit.stage == Stage::Abandoned {
            return reject("cancelled", "该记录已取消，请重新扫码", "This visit was cancelled: scan again");
        }
        if busy {
            return reject("busy", "请先完成当前流程", "Finish the current visit first");
        }
        let Some(verdict) = visit.verdict.clone() else {
            return reject("no_verdict", "该记录尚无判定", "This visit has no verdict");
        };
        let second_needed = verdict.codes.iter().any(|c| c.needs_second_sign());
        let second = what.second.filter(|s| s.role == Role::Supervisor && s.id != officer.id);
        if second_needed && second.is_none() {
            return reject("second_sign_needed", "需要主管第二签名", "A supervisor must sign as well");
        }
        if let Some(place) = self.state.recent.iter().position(|v| v.id == what.visit) {
            self.archive_around(place, out);
        }
        let parked = self.state.visit.as_ref().is_some_and(|v| matches!(v.stage, Stage::Parked { .. }));
        if what.outcome == Outcome::Admit && parked {
            let mut used = false;
            self.with_visit(now, records, out, |cx| {
                used = step::decide::used_meanwhile(cx)?;
                Ok(Flow::Wait)
            })?;
            if used {
                return reject(
                    "used_meanwhile",
                    "通行证或封条已在别处使用",
                    "The pass or the seal was used elsewhere meanwhile",
                );
            }
        }
        let visit = self.state.visit.as_mut().expect("the visit was brought to the front");
        let data = json!({
            "from": visit.outcome(), "to": what.outcome, "codes": verdict.codes, "officer": officer.id,
            "role": officer.role, "second": second.map(|s| &s.id), "reason": what.reason, "note": what.note,
            "subject": visit.subject,
        });
        visit.overridden = Some(Overridden {
            outcome: what.outcome,
            officer: officer.id.clone(),
            reason: what.reason.to_owned(),
            second: second.map(|s| s.id.clone()),
        });
        visit.repeated = false;
        visit.shown_until = Some(now.mono_ms + self.setup.profile.show_verdict_ms);
        let id = visit.id;
        out.event("override", Weight::Verdict, &self.setup, Some(id), data);
        let resume = match visit.stage {
            Stage::Parked { resume } if what.outcome == Outcome::Admit => Some(resume),
            Stage::Parked { .. } | Stage::Running | Stage::Done | Stage::Abandoned => None,
        };
        let left = resume.and_then(|at| self.setup.profile.steps.get(at..)).unwrap_or_default();
        // An admission that is still to be judged again is neither shown nor told of yet.
        let judged_again = left.iter().any(|s| s.kind.word() == "decide");
        self.with_visit(now, records, out, |cx| {
            if !judged_again {
                step::decide::extra_events(cx, what.outcome);
                step::actuate::signal(cx, what.outcome);
            }
            if let Some(at) = resume {
                go_on(cx.visit, at);
                if !judged_again {
                    step::decide::admit(cx);
                }
            }
            Ok(Flow::Wait)
        })?;
        if resume.is_some() {
            self.advance(now, records, out)?;
        }
        Ok(Ok(()))
    }

    fn reprint(
        &mut self,
        now: &Now,
        officer: &Officer,
        id: VisitId,
        out: &mut Outbound,
    ) -> Result<Result<(), Rejection>, RecordsFault> {
        let printer = self.setup.profile.steps.iter().find(|s| s.kind.word() == "print");
        let device = printer.and_then(|s| self.setup.devices.get(s.device.as_ref()?)).cloned();
        let known = self.state.visits().find(|v| v.id == id);
        let (Some(device), Some(visit)) = (device, known) else { return Ok(Err(Rejection::not_now())) };
        let outcome = step::actuate::outcome_words(visit);
        let time = step::actuate::time_words(now, &self.setup);
        let lines = vec![time, format!("No. {id}  {outcome}"), "补打 Reprint".into()];
        let ticket = Ticket(self.state.next_ticket);
        self.state.next_ticket += 1;
        self.state.change(id, |visit| {
            visit.slip = Actuation::Asked;
            visit.slip_ticket = Some(ticket);
        });
        out.requests.push(Request { device, ticket, command: Command::Print { lines } });
        let data = json!({ "officer": officer.id, "act": "reprint" });
        out.event("audit", Weight::Scan, &self.setup, Some(id), data);
        Ok(Ok(()))
    }
}

/// Goes on behind what an officer has overridden. A step that nobody finished says nothing of what else
/// was found: that is judged when its time comes.
fn go_on(visit: &mut Visit, at: usize) {
    let timed_out = visit.verdict.as_ref().is_some_and(|v| v.codes.contains(&Code::X_TIMEOUT));
    let overridden = visit.findings.iter().map(|f| f.code).filter(|c| !timed_out || *c == Code::X_TIMEOUT);
    visit.forgiven.extend(overridden);
    visit.left_out_from = None;
    visit.skipped.retain(|step| *step < at);
    visit.stage = Stage::Running;
    visit.step = at;
}

struct Decision<'a> {
    visit: VisitId,
    outcome: Outcome,
    reason: &'a str,
    note: &'a str,
    second: Option<&'a Officer>,
}
