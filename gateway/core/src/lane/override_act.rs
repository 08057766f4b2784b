//! An officer decides otherwise.
//!
//! A verdict is never erased: an override stands beside it, by name and with its reason. It falls on the
//! visit that is named: on the one at the front when its steps rest, on an earlier one also while another
//! runs, as long as it needs nothing that belongs to whoever is in front.

use super::action::{OVERRIDE_REASONS, Officer, Rejection, Role, is_long, too_long};
use super::open::Answer;
use super::step::{self, Flow};
use super::visit::{Overridden, Stage, Visit};
use super::{Lane, Outbound};
use crate::codes::{Code, Outcome};
use crate::event::Class;
use crate::ids::VisitId;
use crate::profile::{Profile, Step, StepKind};
use crate::records::{Records, RecordsFault, Write};
use crate::time::Now;
use serde_json::json;
use std::sync::Arc;

/// What an officer decides.
pub(super) struct Decision<'a> {
    pub visit: VisitId,
    pub outcome: Outcome,
    pub reason: &'a str,
    pub note: &'a str,
    pub second: Option<&'a Officer>,
}

fn reject(code: &'static str, zh: &str, en: &str) -> Rejection {
    Rejection::new(code, zh, en)
}

impl Lane {
    pub(super) fn decide_otherwise(
        &mut self,
        now: &Now,
        officer: &Officer,
        what: &Decision<'_>,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        if let Err(why) = self.may_override(officer, what) {
            return Ok(Err(why));
        }
        let place = self.state.recent.iter().position(|v| v.id == what.visit);
        if let (true, Some(place)) = (self.is_running(), place) {
            if what.outcome == Outcome::Admit && self.has_steps_left(&self.state.recent[place]) {
                return self.take_up_behind(now, officer, what, place, records, out);
            }
            return self.decide_behind(now, officer, what, place, records, out);
        }
        if let Some(place) = place {
            self.archive_around(place, out);
        }
        self.decide_in_front(now, officer, what, records, out)
    }

    /// A visit with steps left is taken up while another one runs: it goes on as an open one.
    fn take_up_behind(
        &mut self,
        now: &Now,
        officer: &Officer,
        what: &Decision<'_>,
        place: usize,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        let Some(chosen) = self.state.recent.remove(place) else { return Ok(Err(Rejection::not_now())) };
        self.state.open.push(Arc::unwrap_or_clone(chosen));
        let at = self.state.open.len() - 1;
        self.apart(at, out, |lane, out| lane.decide_in_front(now, officer, what, records, out))
    }

    fn decide_in_front(
        &mut self,
        now: &Now,
        officer: &Officer,
        what: &Decision<'_>,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        if let Some(why) = self.used_meanwhile(now, what, records, out)? {
            return Ok(Err(why));
        }
        self.record_override(officer, what, out);
        let until = now.mono_ms + self.profile().show_verdict_ms;
        let visit = self.state.visit.as_mut().expect("the visit was brought to the front");
        visit.repeated = false;
        visit.shown_until = Some(until);
        let resume = match visit.stage {
            Stage::Parked { resume } if what.outcome == Outcome::Admit => Some(resume),
            Stage::Parked { .. } | Stage::Running | Stage::Done | Stage::Abandoned => None,
        };
        let profile = self.profile().clone();
        let from = resume.unwrap_or(profile.steps.len());
        // An admission that is still to be judged again is neither shown nor told of yet.
        let judged_again = left(&profile, from).iter().any(|s| matches!(s.kind, StepKind::Decide(_)));
        self.with_visit(now, records, out, |cx| {
            if !judged_again {
                step::decide::extra_events(cx, what.outcome);
                if resume.is_none() {
                    step::print::print_slips(cx, 0);
                }
                step::actuate::announce(cx, what.outcome, from);
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

    /// Whether an admission leaves steps that are more than what follows a verdict.
    fn has_steps_left(&self, visit: &Visit) -> bool {
        let Stage::Parked { resume } = visit.stage else { return false };
        !left(self.profile_of(visit), resume)
            .iter()
            .all(|s| s.kind.about().after_verdict && !s.kind.goes_on_later())
    }

    fn may_override(&self, officer: &Officer, what: &Decision<'_>) -> Result<(), Rejection> {
        let Some(reason) = OVERRIDE_REASONS.iter().find(|r| r.0 == what.reason) else {
            return Err(reject("reason", "请选择理由", "Choose a reason"));
        };
        if reason.3 && what.note.trim().is_empty() {
            return Err(reject("note", "此理由请填写说明", "This reason needs a note"));
        }
        if is_long(what.note) {
            return Err(too_long());
        }
        let Some(visit) = self.state.visits().find(|v| v.id == what.visit) else {
            return Err(reject("no_visit", "找不到该记录", "This visit is no longer at hand"));
        };
        match visit.stage {
            Stage::Abandoned => {
                return Err(reject(
                    "not_now",
                    "该记录已取消，请重新扫码",
                    "This visit was cancelled: scan again",
                ));
            }
            Stage::Running => {
                return Err(reject(
                    "not_now",
                    "请先完成当前流程",
                    "This visit is under way: finish it first",
                ));
            }
            Stage::Parked { .. } | Stage::Done => {}
        }
        let Some(verdict) = &visit.verdict else {
            return Err(reject("not_now", "该记录尚无判定", "This visit has no verdict"));
        };
        if visit.outcome() == Some(what.outcome) {
            return Err(reject("not_now", "该记录已是此结论", "This visit stands at this outcome already"));
        }
        let alone = self.profile_of(visit).one_signature.iter().any(|reason| reason == what.reason);
        let needs_second = !alone && verdict.codes.iter().any(|c| c.needs_second_sign());
        if needs_second && what.second.is_some_and(|s| s.id == officer.id) {
            return Err(reject("same_person", "第二签名须由他人签署", "Somebody else must sign as well"));
        }
        if needs_second && what.second.is_none_or(|s| s.role != Role::Supervisor) {
            return Err(reject("second_sign_needed", "需要主管第二签名", "A supervisor must sign as well"));
        }
        if what.outcome == Outcome::Admit && self.is_running() {
            return self.may_admit_behind(visit);
        }
        Ok(())
    }

    /// Behind the one in front the barrier opens for one at a time; a visit with steps left goes on as an open one.
    fn may_admit_behind(&self, visit: &Visit) -> Result<(), Rejection> {
        let resume = if let Stage::Parked { resume } = visit.stage { resume } else { usize::MAX };
        if self.has_steps_left(visit) {
            return Ok(());
        }
        if step::actuate::opens(&self.setup_of(visit), resume) && self.is_opening() {
            return Err(reject(
                "busy",
                "道闸正为另一人开启，请稍后再改判",
                "The barrier opens for another visit: override again in a moment",
            ));
        }
        Ok(())
    }

    fn used_meanwhile(
        &mut self,
        now: &Now,
        what: &Decision<'_>,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<Option<Rejection>, RecordsFault> {
        let parked = self.state.visit.as_ref().is_some_and(|v| matches!(v.stage, Stage::Parked { .. }));
        let mut used = false;
        if what.outcome == Outcome::Admit && parked {
            self.with_visit(now, records, out, |cx| {
                used = step::decide::used_meanwhile(cx)?;
                Ok(Flow::Wait)
            })?;
        }
        Ok(used.then(|| {
            reject(
                "used_meanwhile",
                "通行证或封条已在别处使用",
                "The pass or the seal was used elsewhere meanwhile",
            )
        }))
    }

    /// Puts an override beside the verdict of the visit at the front, and on record.
    fn record_override(&mut self, officer: &Officer, what: &Decision<'_>, out: &mut Outbound) {
        let visit = self.state.visit.as_mut().expect("an override is of a visit");
        let second = what.second.filter(|s| s.role == Role::Supervisor && s.id != officer.id);
        let data = json!({
            "from": visit.outcome(), "to": what.outcome, "codes": visit.verdict.as_ref().map(|v| &v.codes),
            "officer": officer.id, "role": officer.role, "second": second.map(|s| &s.id),
            "reason": what.reason, "note": what.note, "subject": visit.subject,
            "subject_key": visit.subject_key,
        });
        if visit.overridden.is_some() {
            visit.keep_earlier();
        }
        visit.overridden = Some(Overridden {
            outcome: what.outcome,
            officer: officer.id.clone(),
            reason: what.reason.to_owned(),
            second: second.map(|s| s.id.clone()),
        });
        let id = visit.id;
        out.event("override", Class::Verdict, &self.setup, Some(id), data);
    }

    /// Decides about an earlier visit while another one runs, which keeps the screens, the lamps and its place.
    fn decide_behind(
        &mut self,
        now: &Now,
        officer: &Officer,
        what: &Decision<'_>,
        place: usize,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        let Some(chosen) = self.state.recent.remove(place) else { return Ok(Err(Rejection::not_now())) };
        let front = self.state.visit.replace(Arc::unwrap_or_clone(chosen));
        let refused = self.used_meanwhile(now, what, records, out)?;
        let mut opens = false;
        if refused.is_none() {
            self.record_override(officer, what, out);
            opens = self.admit_behind(now, what, records, out)?;
            self.state.tally();
        }
        let chosen = Arc::new(std::mem::replace(&mut self.state.visit, front).expect("it was put there"));
        let (lane, visit) = (self.setup.lane.clone(), chosen.clone());
        out.writes.push(Write::Archive { lane, visit });
        self.state.recent.insert(place, chosen);
        if opens {
            self.open_for(now, what.visit, out);
        }
        Ok(refused.map_or(Ok(()), Err))
    }

    /// What follows from it. Says whether the barrier is to be opened.
    fn admit_behind(
        &mut self,
        now: &Now,
        what: &Decision<'_>,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<bool, RecordsFault> {
        let steps = self.profile().steps.len();
        let mut opens = false;
        self.with_visit(now, records, out, |cx| {
            step::decide::extra_events(cx, what.outcome);
            if what.outcome != Outcome::Admit {
                step::print::print_slips(cx, 0);
            }
            let Stage::Parked { resume } = cx.visit.stage else { return Ok(Flow::Wait) };
            if what.outcome == Outcome::Admit {
                opens = step::actuate::opens(cx.setup, resume);
                go_on(cx.visit, resume);
                step::decide::admit(cx);
                step::print::print_slips(cx, resume);
                cx.visit.stage = Stage::Done;
                cx.visit.step = steps;
            }
            Ok(Flow::Wait)
        })?;
        Ok(opens)
    }
}

/// The steps of a profile from one on.
fn left(profile: &Profile, from: usize) -> &[Step] {
    profile.steps.get(from..).unwrap_or_default()
}

/// Goes on behind what an officer has overridden. A step that nobody finished says nothing of what else
/// was found: that is judged when its time comes.
fn go_on(visit: &mut Visit, at: usize) {
    let timed_out = visit.verdict.as_ref().is_some_and(|v| v.codes.contains(&Code::X_TIMEOUT));
    let overridden = visit.findings.iter().map(|f| f.code).filter(|c| !timed_out || *c == Code::X_TIMEOUT);
    visit.overridden_codes.extend(overridden);
    if visit.left_out_from.take().is_some() || timed_out {
        // What was passed over or broken off is done for the first time, and is told of as a whole.
        visit.emitted.clear();
    } else {
        // What has come does not come again with the verdict that follows.
        let latest = visit.verdicts;
        visit.prints.iter_mut().filter(|slip| slip.verdict == latest).for_each(|slip| slip.verdict += 1);
    }
    visit.skipped.retain(|step| *step < at);
    visit.stage = Stage::Running;
    visit.step = at;
}
