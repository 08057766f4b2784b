//! Somebody whose measurement is not normal steps aside and waits at the desk, and is measured again later: by the own
//! code or by staff. Whoever was stopped for the temperature can be measured again after the verdict as well.

use super::action::{Officer, Rejection};
use super::open::Answer;
use super::step::StepKind;
use super::step::temperature::Measuring;
use super::visit::{Stage, Visit};
use super::{Lane, Outbound};
use crate::codes::{Code, Rank};
use crate::event::Class;
use crate::ids::{OfficerId, VisitId};
use crate::profile::Profile;
use crate::records::{Records, RecordsFault};
use crate::time::Now;
use serde_json::json;

/// Whoever has stepped aside is waited for so long, in milliseconds.
pub const ASIDE_MS: u64 = 900_000;

/// The step at which a profile measures.
fn thermometer(profile: &Profile) -> Option<usize> {
    profile.steps.iter().position(|s| matches!(s.kind, StepKind::Temperature(_)))
}

/// Whether a code is about the temperature.
fn is_hot(code: Code) -> bool {
    code.rank() == Rank::Temperature
}

/// Whether a visit that has its verdict may be measured again: it was stopped, for its temperature among other reasons,
/// or because it did not come back from the side.
pub fn can_be_measured_again(profile: &Profile, visit: &Visit) -> bool {
    let (Stage::Parked { resume }, Some(verdict)) = (visit.stage, &visit.verdict) else { return false };
    let late = verdict.codes.contains(&Code::X_TIMEOUT) && thermometer(profile) == Some(resume);
    visit.overridden.is_none()
        && thermometer(profile).is_some()
        && (late || verdict.codes.iter().any(|c| is_hot(*c)))
}

impl Lane {
    fn busy() -> Rejection {
        Rejection::new("busy", "请先完成当前流程", "Finish the current visit first")
    }

    /// Whether the one in front is being measured.
    pub(super) fn is_measuring(&self) -> bool {
        self.is_running() && self.current_step().is_some_and(|s| matches!(s.kind, StepKind::Temperature(_)))
    }

    /// Whether the one in front steps aside by itself for whoever shows a code: in the pause before it is measured again.
    pub(super) fn steps_aside(&self) -> bool {
        let by_itself = self
            .current_step()
            .is_some_and(|s| matches!(&s.kind, StepKind::Temperature(t) if t.aside_by_itself));
        let pause =
            |v: &Visit| v.waits.temperature.as_ref().is_some_and(|m| m.round > 0 && m.ticket.is_none());
        self.is_measuring() && by_itself && self.state.visit.as_ref().is_some_and(pause)
    }

    /// The one in front steps aside.
    pub(super) fn put_aside(&mut self, now: &Now, officer: Option<&OfficerId>, out: &mut Outbound) {
        self.stop_devices(out);
        let Some(mut visit) = self.state.visit.take() else { return };
        visit.aside = true;
        visit.deadline = Some(now.mono_ms + ASIDE_MS);
        if let Some(measuring) = &mut visit.waits.temperature {
            measuring.ticket = None;
            measuring.frames.clear();
        }
        let data = json!({ "officer": officer, "act": "aside" });
        out.event("audit", Class::Scan, &self.setup, Some(visit.id), data);
        out.keep_soon();
        self.state.open.push(visit);
    }

    /// An officer lets the one in front wait at the desk.
    pub(super) fn aside(
        &mut self,
        now: &Now,
        officer: &Officer,
        of: Option<VisitId>,
        out: &mut Outbound,
    ) -> Answer {
        let front = self.state.visit.as_ref().map(|v| v.id);
        if !self.is_measuring() || of.is_some_and(|id| Some(id) != front) {
            return Ok(Err(Rejection::not_now()));
        }
        self.put_aside(now, Some(&officer.id), out);
        Ok(Ok(()))
    }

    /// Whoever has stepped aside comes back and is measured anew.
    pub(super) fn comes_back(
        &mut self,
        now: &Now,
        at: usize,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        if !self.may_take_front() {
            return Ok(Err(Self::busy()));
        }
        let again = !self.state.open[at].readings.is_empty();
        self.bring_front(at, out);
        if let Some(visit) = &mut self.state.visit {
            visit.aside = false;
            visit.waits.temperature = Some(Measuring { recheck: again, ..Measuring::default() });
        }
        out.keep_soon();
        self.advance(now, records, out)?;
        Ok(Ok(()))
    }

    /// Nobody came back from the side in time.
    pub(super) fn stayed_away(
        &mut self,
        now: &Now,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<(), RecordsFault> {
        if let Some(visit) = &mut self.state.visit {
            visit.aside = false;
        }
        let flow = self.with_step(now, records, out, |cx| Ok(cx.time_out()))?;
        self.apply(flow);
        Ok(())
    }

    /// An officer has somebody measured again: the one in front, whoever has stepped aside, or a visit that was stopped
    /// for its temperature, whose verdict stays on record.
    pub(super) fn recheck(
        &mut self,
        now: &Now,
        officer: &Officer,
        of: Option<VisitId>,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        let front = self.state.visit.as_ref().filter(|v| of.is_none_or(|id| v.id == id));
        if self.is_measuring() && front.is_some() {
            let front = front.map(|v| v.id);
            let action = super::action::Action::Recheck;
            return self.act_at_step(now, officer, (front, &action), records, out);
        }
        let stopped = |v: &&Visit| can_be_measured_again(self.profile_of(v), v);
        let aside = self.state.open.iter().filter(|v| v.aside);
        let all = aside.chain(self.state.visit.iter().filter(stopped));
        let all = all.chain(self.state.recent.iter().map(|v| &**v).filter(stopped));
        let found = all.map(|v| v.id).filter(|id| of.is_none_or(|of| of == *id)).max();
        // Whoever has just been stopped stands before the screen that says so.
        let shown = self.state.visit.as_ref().filter(stopped).map(|v| v.id);
        let Some(id) = of.or(shown).or(found).filter(|_| found.is_some()) else {
            return Ok(Err(Rejection::not_now()));
        };
        if !self.may_take_front() {
            return Ok(Err(Self::busy()));
        }
        let data = json!({ "officer": officer.id, "act": "recheck" });
        out.event("audit", Class::Scan, &self.setup, Some(id), data);
        if let Some(at) = self.open_place(id) {
            return self.comes_back(now, at, records, out);
        }
        self.take_back(id, out);
        let Some(at) = self.state.visit.as_ref().and_then(|v| thermometer(self.profile_of(v))) else {
            return Ok(Err(Rejection::not_now()));
        };
        if let Some(visit) = &mut self.state.visit {
            let late = visit.stage == Stage::Parked { resume: at };
            let dropped = |code: Code| is_hot(code) || late && code == Code::X_TIMEOUT;
            visit.findings.retain(|f| !dropped(f.code));
            visit.overridden_codes.retain(|c| !dropped(*c));
            visit.waits.temperature = Some(Measuring { recheck: true, ..Measuring::default() });
            visit.stage = Stage::Running;
            visit.step = at;
            visit.shown_until = None;
        }
        self.advance(now, records, out)?;
        Ok(Ok(()))
    }

    /// A visit that is over comes back to the front.
    fn take_back(&mut self, id: VisitId, out: &mut Outbound) {
        if self.state.visit.as_ref().is_some_and(|v| v.id == id) {
            return;
        }
        self.clear_front(out);
        let place = self.state.recent.iter().position(|v| v.id == id);
        let back = place.and_then(|place| self.state.recent.remove(place));
        self.state.visit = back.map(std::sync::Arc::unwrap_or_clone);
    }
}
