//! A lane takes up the state of an earlier run.

use super::visit::{Actuation, Slip, Stage};
use super::{Lane, Outbound, aside, scan};
use crate::ids::VisitId;
use crate::records::{Records, RecordsFault};
use crate::time::{MonoMs, Now};
use std::sync::Arc;

impl Lane {
    /// Takes up the state of an earlier run: a visit that was under way asks its devices again.
    pub fn resume(&mut self, now: &Now, records: &dyn Records) -> Result<Outbound, RecordsFault> {
        let mut out = Outbound::default();
        self.change_mode(&mut out)?;
        self.start_day(now);
        self.leave_behind(&mut out)?;
        self.resume_records(now);
        self.state.guests = None;
        // Whether the barrier has moved since it was asked, nobody knows: staff look.
        self.openings_ended(now, MonoMs::MAX, &mut out);
        // The monotonic clock may have begun anew. How old a result is, the other one tells; one that is
        // too old, or of unknown age, is not shown as that of whoever scans now.
        let counts = i64::try_from(self.setup.profile.same_result_ms).unwrap_or(i64::MAX - 1);
        let running = self.state.visit.iter().chain(&self.state.open).filter(|v| v.stage == Stage::Running);
        let running: Vec<VisitId> = running.map(|v| v.id).collect();
        self.state.reads.retain_mut(|read| {
            let age =
                now.wall_ms.zip(read.at_ms).map(|(now, at)| now - at).filter(|a| (0..=counts).contains(a));
            // A visit under way knows its code however long that is.
            let Some(age) = age.or_else(|| running.contains(&read.visit).then_some(counts + 1)) else {
                return false;
            };
            // When it was seen last, nobody knows any more: it counts as seen when its visit began.
            let begun = scan::moment(now).saturating_sub(age);
            (read.seen, read.result) = (begun, begun);
            true
        });
        self.state.notice = None;
        // Nor is a verdict of before that of whoever stands here: who comes back shows the code again.
        if let Some(visit) = &mut self.state.visit {
            visit.shown_until = None;
            visit.guests_until = None;
            // Whether a slip has come that was under way, nobody knows either: its step or an override prints it.
            visit.prints.iter_mut().for_each(Slip::give_up);
        }
        self.state.open.iter_mut().for_each(|visit| visit.prints.iter_mut().for_each(Slip::give_up));
        for visit in self.state.recent.iter_mut().filter(|v| v.slip() == Actuation::Asked) {
            Arc::make_mut(visit).prints.iter_mut().for_each(Slip::give_up);
        }
        if self.is_running() {
            if self.gone(now, counts) {
                self.abandon(None, "restart", &mut out);
            } else {
                self.advance(now, records, &mut out)?;
            }
        }
        let front = self.state.visit.as_ref().filter(|v| v.stage != Stage::Running);
        if front.is_some_and(|v| v.shown_until.is_none() || v.unopened()) {
            self.archive(&mut out);
        }
        let open: Vec<VisitId> = self.state.open.iter().map(|v| v.id).collect();
        for id in open {
            let Some(at) = self.open_place(id) else { continue };
            if self.state.open[at].aside {
                self.state.open[at].deadline = Some(now.mono_ms + aside::ASIDE_MS);
            } else if !self.state.open[at].queued {
                self.advance_apart(at, now, records, &mut out)?;
            }
        }
        self.next_in_front(now, records, &mut out)?;
        Ok(out)
    }

    /// Whether the one who was to be measured may have left while the box was off: nobody else is measured in
    /// their place. Other steps have staff, who see whose visit it is.
    pub(super) fn gone(&self, now: &Now, counts_ms: i64) -> bool {
        let measures = self.current_step().is_some_and(|s| s.kind.about().measures);
        let visit = self.state.visit.as_ref().filter(|_| measures);
        let since = visit.map(|v| v.waits.temperature.as_ref().and_then(|m| m.asked_ms));
        since.is_some_and(|at| {
            // A clock that nobody has confirmed may stand where it stood when the power went.
            let wall = now.wall_ms.filter(|_| now.synced());
            let away = wall.zip(at).map(|(now, at)| now - at);
            !away.is_some_and(|ms| (0..counts_ms).contains(&ms))
        })
    }

    /// Visits whose profile is gone are kept as they stand: nobody can go on with them, or act on them any more.
    pub(super) fn leave_behind(&mut self, out: &mut Outbound) -> Result<(), RecordsFault> {
        if self.state.visit.as_ref().is_some_and(|v| !self.is_known(v)) {
            if self.is_running() {
                self.abandon_at(None, None, "profile", out);
            } else {
                self.archive(out);
                self.state.recent.retain(|v| v.id.0 > self.state.before);
            }
        }
        let gone = self.state.open.iter().filter(|v| !self.is_known(v)).map(|v| v.id);
        for id in gone.collect::<Vec<_>>() {
            let Some(at) = self.open_place(id) else { continue };
            self.apart(at, out, |lane, out| {
                lane.abandon_at(None, None, "profile", out);
                Ok(())
            })?;
        }
        Ok(())
    }
}
