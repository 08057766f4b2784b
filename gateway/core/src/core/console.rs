//! What the duty console does to the core: an approval in a lane, and what is on record.

use super::{Core, Step, no_lane};
use crate::console::{self, Asked};
use crate::ids::VisitId;
use crate::lane::Outbound;
use crate::lane::action::{Action, Officer};
use crate::records::{Records, RecordsFault};
use crate::time::Now;

impl Core {
    pub(super) fn console(
        &mut self,
        now: &Now,
        (officer, purpose, asked): (&Officer, &str, &Asked),
        records: &dyn Records,
        step: &mut Step,
    ) -> Result<(), RecordsFault> {
        if let Err(why) = console::may(officer, asked.act(), purpose).and_then(|()| asked.check()) {
            step.counters.push("action_rejected_total");
            step.notes.push(format!("{} refused: {}", officer.id, why.code));
            step.reply = Some(Err(why));
            return Ok(());
        }
        if let Asked::Review { lane: id, visit, approve, note } = asked {
            let next = VisitId(self.last_visit + 1);
            let Some(lane) = self.lanes.get_mut(id) else {
                step.reply = Some(Err(no_lane()));
                return Ok(());
            };
            let mut out = Outbound::default();
            let action = Action::Approve { approve: *approve, note: note.clone(), desk: None };
            let reply = lane.act(now, officer, (*visit, &action), next, records, &mut out)?;
            lane.count(now);
            let done = reply.is_ok();
            if !done {
                out.counters.push("action_rejected_total");
            }
            step.reply = Some(reply);
            step.take(id, lane.setup.training, out);
            if !done {
                return Ok(());
            }
        } else {
            step.reply = Some(Ok(()));
        }
        step.events.extend(console::events(officer, purpose, asked));
        Ok(())
    }
}
