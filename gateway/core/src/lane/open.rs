//! Visits that are under way beside the one in front.
//!
//! One visit is in front: it has the screens, and it alone may stand at a device. Others are open: at a step of staff
//! while somebody else is in front, set aside, waiting for their party, or with a record to be written. To act on an
//! open one it takes the place of the one in front for the moment of the act. One that comes to a device waits until the
//! front is free, and then goes there by itself, the oldest first.

use super::action::{Action, Officer, Rejection};
use super::step::{self, Flow, StepInput, StepKind};
use super::visit::{Stage, Visit};
use super::{Lane, Outbound, RECENT, Setup};
use crate::ids::VisitId;
use crate::profile::Step;
use crate::reading::Command;
use crate::records::{Records, RecordsFault, Write};
use crate::time::Now;
use std::sync::Arc;

/// Open visits of a lane beyond which a code does not put the one in front behind: they are written with every step.
pub const OPEN_MOST: usize = 32;

/// What becomes of an act.
pub(super) type Answer = Result<Result<(), Rejection>, RecordsFault>;

/// Whether only the visit in front may stand at a step: its device is there.
pub(super) fn needs_front(setup: &Setup, step: &Step) -> bool {
    let of_device = step.kind.about().device.is_some() && !matches!(step.kind, StepKind::Scan(_));
    of_device && step.device.as_ref().is_some_and(|role| setup.devices.contains_key(role))
}

fn over() -> Rejection {
    Rejection::new("not_now", "该记录已结束", "That visit is over")
}

fn at_device() -> Rejection {
    Rejection::new("busy", "请先完成当前流程", "Finish the current visit first")
}

impl Lane {
    /// Whether a visit is under way in front.
    pub fn is_running(&self) -> bool {
        self.state.visit.as_ref().is_some_and(|v| v.stage == Stage::Running)
    }

    /// Whether the visit in front stands at a device.
    pub(super) fn is_at_device(&self) -> bool {
        self.is_running() && self.current_step().is_some_and(|step| needs_front(&self.setup, step))
    }

    /// Whether another visit may take the front: nobody is there, or only at a step of staff.
    pub(super) fn may_take_front(&self) -> bool {
        !self.is_running() || (!self.is_at_device() && self.state.open.len() < OPEN_MOST)
    }

    /// The visit in front goes behind, if it is under way; else it leaves the screen.
    pub(super) fn clear_front(&mut self, out: &mut Outbound) {
        if !self.is_running() {
            return self.archive(out);
        }
        if let Some(mut visit) = self.state.visit.take() {
            visit.shown_until = None;
            out.keep_soon();
            self.state.open.push(visit);
        }
    }

    /// The place of an open visit.
    pub(super) fn open_place(&self, id: VisitId) -> Option<usize> {
        self.state.open.iter().position(|v| v.id == id)
    }

    /// An open visit comes to the front.
    pub(super) fn bring_front(&mut self, at: usize, out: &mut Outbound) {
        let mut visit = self.state.open.remove(at);
        visit.queued = false;
        self.clear_front(out);
        self.state.visit = Some(visit);
    }

    /// Acts on an open visit as if it were in front: it takes its place for so long.
    pub(super) fn apart<T>(
        &mut self,
        at: usize,
        out: &mut Outbound,
        act: impl FnOnce(&mut Self, &mut Outbound) -> Result<T, RecordsFault>,
    ) -> Result<T, RecordsFault> {
        let chosen = self.state.open.remove(at);
        let front = self.state.visit.replace(chosen);
        let outer = std::mem::replace(&mut self.state.apart, true);
        let asked = out.requests.len();
        let done = act(self, out);
        self.state.apart = outer;
        self.state.tally();
        // The lamps are those of the one in front.
        let mut own = out.requests.split_off(asked);
        own.retain(|request| !matches!(request.command, Command::Signal { .. }));
        out.requests.append(&mut own);
        match std::mem::replace(&mut self.state.visit, front) {
            Some(visit) if visit.stage == Stage::Running => {
                self.state.open.insert(at.min(self.state.open.len()), visit);
            }
            Some(visit) => self.put_away(visit, out),
            None => {}
        }
        done
    }

    /// Keeps a visit that is over.
    pub(super) fn put_away(&mut self, mut visit: Visit, out: &mut Outbound) {
        visit.shown_until = None;
        let visit = Arc::new(visit);
        out.writes.push(Write::Archive { lane: self.setup.lane.clone(), visit: visit.clone() });
        self.state.recent.push_front(visit);
        self.state.recent.truncate(RECENT);
    }

    /// Goes on with an open visit behind the one in front, as far as nobody need stand there.
    pub(super) fn advance_apart(
        &mut self,
        at: usize,
        now: &Now,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<(), RecordsFault> {
        self.apart(at, out, |lane, out| lane.advance(now, records, out))
    }

    /// A visit that is not in front has come to a step that needs the front. Says whether it waits there.
    pub(super) fn stops_apart(
        &mut self,
        now: &Now,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<bool, RecordsFault> {
        let here = self.current_step().is_some_and(|step| needs_front(&self.setup, step));
        if !here {
            return Ok(false);
        }
        let mut goes_on = None;
        self.with_step(now, records, out, |cx| {
            goes_on = step::left_out(cx)?;
            // Nobody stands before a printer: the slip comes whoever is in front.
            if let (None, StepKind::Print(print)) = (&goes_on, &cx.step.kind) {
                print.asked(cx);
                goes_on = Some(Flow::Next);
            }
            Ok(Flow::Wait)
        })?;
        if let Some(flow) = goes_on {
            self.apply(flow);
            return Ok(false);
        }
        let Some(visit) = &self.state.visit else { return Ok(false) };
        let opens = matches!(self.current_step().map(|s| &s.kind), Some(StepKind::Actuate(_)));
        // What a contact asks for opens at once, whoever is in front.
        if opens && visit.is_urgent() {
            let (id, admitted) = (visit.id, visit.admitted);
            if admitted {
                self.open_for(now, id, out);
            }
            self.apply(Flow::Next);
            return Ok(false);
        }
        if let Some(visit) = &mut self.state.visit {
            visit.queued = true;
            visit.deadline = None;
        }
        Ok(true)
    }

    /// Whoever waits for a device goes to the front as soon as it is free, the oldest first.
    pub(super) fn next_in_front(
        &mut self,
        now: &Now,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<(), RecordsFault> {
        self.gather(now, records, out)?;
        // A record is written when there is time: it keeps nobody from the front.
        while !self.is_running() || self.state.visit.as_ref().is_some_and(|v| v.record.is_some()) {
            let queued = self.state.open.iter().enumerate().filter(|(_, v)| v.queued);
            let Some((at, _)) = queued.min_by_key(|(_, v)| v.id) else { break };
            self.bring_front(at, out);
            self.advance(now, records, out)?;
            self.gather(now, records, out)?;
        }
        Ok(())
    }

    /// An act for the step of a visit: of the one that is named, else of the one whose step takes it.
    pub(super) fn act_at_step(
        &mut self,
        now: &Now,
        officer: &Officer,
        (of, action): (Option<VisitId>, &Action),
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        let id = match of {
            Some(id) => id,
            None => match self.whose(now, officer, action, records)? {
                Some(id) => id,
                None => return Ok(Err(Rejection::not_now())),
            },
        };
        if self.state.visit.as_ref().is_some_and(|v| v.id == id) {
            if !self.is_running() {
                return Ok(Err(over()));
            }
            return self.stimulate_by(now, officer, action, records, out);
        }
        let Some(at) = self.open_place(id) else { return Ok(Err(over())) };
        let visit = &self.state.open[at];
        if visit.aside || visit.queued {
            return Ok(Err(if self.is_at_device() { at_device() } else { Rejection::not_now() }));
        }
        if !self.is_running() && visit.record.is_none() {
            self.bring_front(at, out);
            return self.stimulate_by(now, officer, action, records, out);
        }
        let done = self.apart(at, out, |lane, out| lane.stimulate_by(now, officer, action, records, out))?;
        // Whoever acts on it has it before them: at its device it takes the place of one that waits for staff.
        if let Some(at) = self.open_place(id).filter(|at| self.state.open[*at].queued)
            && self.may_take_front()
        {
            self.bring_front(at, out);
            self.advance(now, records, out)?;
        }
        Ok(done)
    }

    fn stimulate_by(
        &mut self,
        now: &Now,
        officer: &Officer,
        action: &Action,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        let id = self.state.visit.as_ref().map(|v| v.id);
        // A verdict that follows at once says who acted.
        let before = self.state.visit.as_mut().and_then(|visit| visit.by.replace(officer.id.clone()));
        let done = self.stimulate(now, &StepInput::Action(officer, action), records, out)?;
        if let (Err(_), Some(visit)) = (&done, self.state.visit.as_mut().filter(|v| Some(v.id) == id)) {
            visit.by = before;
        }
        Ok(done)
    }

    /// Open visits at which staff may act: the record that was taken to the desk, then the newest first.
    pub(super) fn at_desk(&self) -> Vec<VisitId> {
        let mut open: Vec<&Visit> = self.state.open.iter().filter(|v| !v.aside && !v.queued).collect();
        open.sort_by_key(|v| std::cmp::Reverse((Some(v.id) == self.state.desk, v.id)));
        open.into_iter().map(|v| v.id).collect()
    }

    /// Of which visit an act is that names none.
    fn whose(
        &mut self,
        now: &Now,
        officer: &Officer,
        action: &Action,
        records: &dyn Records,
    ) -> Result<Option<VisitId>, RecordsFault> {
        let front = self.state.visit.as_ref().filter(|v| v.stage == Stage::Running).map(|v| v.id);
        let mut all = self.at_desk();
        // What was taken to the desk is what the desk shows.
        let first = all.first().is_some_and(|id| Some(*id) == self.state.desk);
        if let Some(front) = front {
            all.insert(usize::from(first), front);
        }
        if all.len() < 2 {
            return Ok(all.first().copied());
        }
        for id in &all {
            if self.takes(now, *id, officer, action, records)? {
                return Ok(Some(*id));
            }
        }
        Ok(front.or(all.first().copied()))
    }

    /// Whether the step of a visit takes an act: it is tried on a copy.
    fn takes(
        &self,
        now: &Now,
        id: VisitId,
        officer: &Officer,
        action: &Action,
        records: &dyn Records,
    ) -> Result<bool, RecordsFault> {
        let Some(visit) = self.state.visit.iter().chain(&self.state.open).find(|v| v.id == id) else {
            return Ok(false);
        };
        let mut trial = self.clone();
        trial.state.visit = Some(visit.clone());
        let what = StepInput::Action(officer, action);
        let flow = trial.with_step(now, records, &mut Outbound::default(), |cx| step::on(cx, &what))?;
        Ok(!matches!(flow, Flow::Reject(why) if why.code == "not_now"))
    }

    /// Ends the visit that is named, else the one in front, else the newest open one but a record.
    pub(super) fn cancel(
        &mut self,
        officer: &Officer,
        of: Option<VisitId>,
        reason: &str,
        out: &mut Outbound,
    ) -> Answer {
        let front = self.state.visit.as_ref().filter(|v| v.stage == Stage::Running).map(|v| v.id);
        let newest = || self.state.open.iter().filter(|v| v.record.is_none()).map(|v| v.id).max();
        let Some(id) = of.or(front).or_else(newest) else { return Ok(Err(Rejection::not_now())) };
        if front == Some(id) {
            self.abandon(Some(&officer.id), reason, out);
            return Ok(Ok(()));
        }
        if self.end_guests(id) {
            return Ok(Ok(()));
        }
        let Some(at) = self.open_place(id) else {
            return Ok(Err(Rejection::new(
                "not_now",
                "该记录已结束",
                "That visit is over; another one runs now",
            )));
        };
        self.apart(at, out, |lane, out| {
            lane.abandon(Some(&officer.id), reason, out);
            Ok(())
        })?;
        Ok(Ok(()))
    }
}
