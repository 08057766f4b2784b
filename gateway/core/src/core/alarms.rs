//! Slots of registers that are still held when their time is over: each is told of once, by the gateway that put it.
//!
//! When the next one is due the store says, at the start and behind each alarm; what a step puts is noted as it comes.
//! The clock of the site may be set meanwhile, so it is looked at again after a while.

use super::{Core, Step};
use crate::event::{Class, NewEvent};
use crate::ids::VisitId;
use crate::records::{Records, RecordsFault, Redemption, Write};
use crate::register::{Change, Slot, SlotWrite};
use crate::time::{MonoMs, Now, WallMs, rfc3339};
use serde_json::json;

/// It is looked again after this time at the latest, in milliseconds.
const LOOK_MS: u64 = 600_000;
/// Slots that are told of in one step.
const AT_ONCE: usize = 50;

impl Core {
    /// When the core is woken for something that is due then.
    fn alarm_at(now: &Now, due_ms: WallMs) -> MonoMs {
        let left =
            now.wall_ms.map_or(LOOK_MS, |wall| u64::try_from(due_ms.saturating_sub(wall)).unwrap_or(0));
        now.mono_ms + left.min(LOOK_MS)
    }

    /// What is due and was not told of when the box was on last, or comes next.
    pub fn set_alarm(&mut self, now: &Now, records: &dyn Records) -> Result<(), RecordsFault> {
        let next = records.next_alarm(WallMs::MIN)?;
        self.alarm_at = next.map(|due| Self::alarm_at(now, due));
        Ok(())
    }

    /// What a step puts may be due before anything else.
    pub(super) fn note_alarms(&mut self, now: &Now, step: &Step) {
        for write in &step.writes {
            let Write::Slot(write) = write else { continue };
            let Change::Put(put) = &write.change else { continue };
            if let Some(alarm) = &put.alarm {
                let at = Self::alarm_at(now, alarm.at_ms);
                self.alarm_at = Some(self.alarm_at.map_or(at, |known| known.min(at)));
            }
        }
    }

    /// Tells of what is due.
    pub(super) fn tell_alarms(
        &mut self,
        now: &Now,
        records: &dyn Records,
        step: &mut Step,
    ) -> Result<(), RecordsFault> {
        let Some(wall_ms) = now.wall_ms else {
            self.alarm_at = Some(now.mono_ms + LOOK_MS);
            return Ok(());
        };
        let due = records.alarms(wall_ms, AT_ONCE)?;
        let more = due.len() == AT_ONCE;
        for slot in &due {
            self.tell(now, slot, step);
        }
        let next = records.next_alarm(wall_ms)?.map(|due| Self::alarm_at(now, due));
        self.alarm_at = if more { Some(now.mono_ms) } else { next };
        Ok(())
    }

    fn tell(&self, now: &Now, slot: &Slot, step: &mut Step) {
        let Some(put) = &slot.put else { return };
        let Some(alarm) = &put.alarm else { return };
        let lane = self.lanes.get(&put.lane);
        let data = json!({ "register": slot.register, "key": slot.key, "holder": slot.holder, "lane": put.lane,
            "visit": put.at.visit, "since": put.since_ms.map(rfc3339), "until": put.until_ms.map(rfc3339),
            "amount": put.amount, "data": put.data });
        step.events.push(NewEvent {
            kind: alarm.event.clone(),
            class: Class::Verdict,
            lane: None,
            visit: None,
            audience: lane.map(|lane| lane.setup.profile.audience.clone()).unwrap_or_default(),
            data,
        });
        step.writes.push(Write::Slot(Box::new(SlotWrite {
            register: slot.register.clone(),
            key: slot.key.clone(),
            holder: slot.holder.clone(),
            part: slot.part.clone(),
            keep_ms: slot.keep_ms,
            shared: false,
            by: Redemption { lane: put.lane.clone(), visit: VisitId(0), at_ms: now.wall_ms },
            change: Change::Told,
        })));
    }
}
