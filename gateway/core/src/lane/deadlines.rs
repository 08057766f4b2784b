//! When a lane must be woken, and what it does then.

use super::step::StepInput;
use super::visit::Stage;
use super::{Lane, Outbound};
use crate::core::Keep;
use crate::ids::VisitId;
use crate::records::{Records, RecordsFault};
use crate::time::{MonoMs, Now};

/// What a lane is woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// The step has had its time.
    Step,
    /// That of an open visit has.
    Open(VisitId),
    /// A record is still open.
    Record(VisitId),
    /// Nobody else is added to a visit that is over.
    Guests,
    /// The door stands open.
    Door,
    /// The verdict has been shown for long enough.
    Screen,
    /// So has the message of central ops.
    Notice,
    /// So has the word that another code was shown.
    Other,
    /// So has the call of whoever is next.
    Call,
    /// A sign-on by badge ends, or what was said of a command code.
    Sheet,
    /// So has the word that its step has not taken somebody's card.
    NotTaken,
    /// The barrier has not confirmed.
    Opening,
    /// The civil day may be over.
    Day,
    /// What has changed is not kept yet.
    Keep,
    /// A slot of a register has been held for too long.
    Register,
}

impl Lane {
    /// When the lane must be woken.
    pub fn deadline(&self) -> Option<(MonoMs, Due)> {
        self.deadlines().min()
    }

    pub(super) fn deadlines(&self) -> impl Iterator<Item = (MonoMs, Due)> {
        let state = &self.state;
        let visit = state.visit.as_ref().and_then(|visit| match visit.stage {
            // A visit whose record is written later leaves the front when its verdict has been shown.
            Stage::Running if visit.record.is_some() => visit.shown_until.map(|at| (at, Due::Screen)),
            Stage::Running => visit.deadline.map(|at| (at, Due::Step)),
            Stage::Parked { .. } | Stage::Done | Stage::Abandoned => {
                visit.shown_until.map(|at| (at, Due::Screen))
            }
        });
        let notice = state.notice.as_ref().map(|n| (n.until, Due::Notice));
        let other = state.other.as_ref().map(|o| (o.until, Due::Other));
        let call = state.call.as_ref().map(|c| (c.until, Due::Call));
        let not_taken = state.visit.as_ref().and_then(|v| v.not_taken).map(|n| (n.until, Due::NotTaken));
        let opening = state.opening.iter().map(|o| (o.until, Due::Opening)).min();
        let open = state.open.iter().filter_map(|v| Some((v.deadline?, Due::Open(v.id))));
        let records = self.records_due().map(|(at, id)| (at, Due::Record(id)));
        let guests = state.guests.as_ref().map(|g| (g.until, Due::Guests));
        let day = state.day_look.map(|at| (at, Due::Day));
        let keep = state.keep_at.map(|at| (at, Due::Keep));
        let sheet = self.sheet_due().map(|at| (at, Due::Sheet));
        let one = [call, sheet, visit, notice, other, not_taken, opening, day, keep, guests, self.door_due()];
        one.into_iter().flatten().chain(open).chain(records)
    }

    /// Does what is due, each thing once.
    pub fn wake(&mut self, now: &Now, records: &dyn Records, out: &mut Outbound) -> Result<(), RecordsFault> {
        let mut due: Vec<_> = self.deadlines().filter(|(at, _)| *at <= now.mono_ms).collect();
        due.sort_unstable();
        for (_, what) in due {
            match what {
                Due::Step => self.stimulate(now, &StepInput::Deadline, records, out).map(drop)?,
                Due::Screen => self.clear_front(out),
                Due::Open(id) => self.open_overdue(now, id, records, out)?,
                Due::Record(id) => self.record_overdue(id, out),
                Due::Guests => self.state.guests = None,
                Due::Door => self.door_held(out),
                Due::Notice => self.state.notice = None,
                Due::Other => self.state.other = None,
                Due::Call => self.state.call = None,
                Due::Sheet => self.sheet_overdue(now, out),
                Due::NotTaken => {
                    if let Some(visit) = &mut self.state.visit {
                        visit.not_taken = None;
                    }
                }
                Due::Opening => self.openings_ended(now, now.mono_ms, out),
                Due::Day => self.start_day(now),
                Due::Keep => out.keep = Keep::Now,
                Due::Register => {}
            }
        }
        self.next_in_front(now, records, out)?;
        self.watch_door(now, out);
        Ok(())
    }

    /// The step of an open visit has had its time.
    pub(super) fn open_overdue(
        &mut self,
        now: &Now,
        id: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<(), RecordsFault> {
        let Some(at) = self.open_place(id) else { return Ok(()) };
        self.apart(at, out, |lane, out| {
            if lane.state.visit.as_ref().is_some_and(|v| v.aside) {
                return lane.stayed_away(now, records, out);
            }
            lane.stimulate(now, &StepInput::Deadline, records, out).map(drop)
        })
    }
}
