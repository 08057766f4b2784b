//! Records that are written later: the visit has its verdict and has left the front; what staff have still to say of it
//! is asked at the desk when there is time, and told of when that takes too long.

use super::action::Rejection;
use super::event::with_private;
use super::visit::{Stage, Visit};
use super::{Lane, Outbound, Setup};
use crate::event::Class;
use crate::ids::VisitId;
use crate::time::{MonoMs, Now, WallMs, rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A record that is to be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it counts as overdue, monotonic.
    pub due: MonoMs,
    /// The same in UTC milliseconds, for a run that begins with another clock.
    pub due_ms: Option<WallMs>,
    /// Whether it was told that it is.
    pub told: bool,
}

fn body(visit: &Visit, setup: &Setup) -> Value {
    let data = json!({ "outcome": visit.outcome(), "subject": visit.subject, "subject_key": visit.subject_key,
        "origin": visit.origin, "answers": visit.answers, "started": visit.started_ms.map(rfc3339),
        "officer": visit.by });
    with_private(data, visit, setup)
}

impl Lane {
    /// When the next record is overdue, and whose it is.
    pub(super) fn records_due(&self) -> impl Iterator<Item = (MonoMs, VisitId)> {
        let open = self.state.open.iter().chain(&self.state.visit).filter(|v| v.stage == Stage::Running);
        open.filter_map(|v| v.record.as_ref().filter(|r| !r.told).map(|r| (r.due, v.id)))
    }

    /// A record is still open when it should be there.
    pub(super) fn record_overdue(&mut self, id: VisitId, out: &mut Outbound) {
        let setup = self.setup.clone();
        let of = self.state.open.iter_mut().chain(&mut self.state.visit).find(|v| v.id == id);
        let Some(visit) = of else { return };
        if let Some(record) = &mut visit.record {
            record.told = true;
        }
        let data = body(visit, &setup);
        out.event("record_overdue", Class::Verdict, &setup, Some(id), data);
    }

    /// The last step of a record is done.
    pub(super) fn record_done(&mut self, out: &mut Outbound) {
        let setup = self.front_setup();
        let Some(visit) = &mut self.state.visit else { return };
        if visit.record.take().is_none() {
            return;
        }
        let (id, data) = (visit.id, body(visit, &setup));
        if self.state.desk == Some(id) {
            self.state.desk = None;
        }
        out.event("record_completed", Class::Verdict, &self.setup, Some(id), data);
    }

    /// Staff take an open record to the desk: what they say next is for it.
    pub(super) fn take_record(&mut self, id: VisitId) -> Result<(), Rejection> {
        let open = self.state.open.iter().chain(&self.state.visit);
        let mut records = open.filter(|v| v.stage == Stage::Running && v.record.is_some());
        if !records.any(|v| v.id == id) {
            return Err(Rejection::not_now());
        }
        self.state.desk = Some(id);
        Ok(())
    }

    /// The clocks of records begin anew with the run.
    pub(super) fn resume_records(&mut self, now: &Now) {
        for record in
            self.state.open.iter_mut().chain(&mut self.state.visit).filter_map(|v| v.record.as_mut())
        {
            let left = record.due_ms.zip(now.wall_ms).map(|(due, now)| u64::try_from(due - now).unwrap_or(0));
            // What nobody can say is not told of before its time.
            record.due = now.mono_ms + left.unwrap_or(record.due.min(86_400_000));
        }
    }
}
