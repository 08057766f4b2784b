//! The counters of the site's civil day: each visit once, by the outcome that stands.

use super::visit::Counted;
use super::{Lane, LaneState};
use crate::time::Now;

const DAY_MS: i64 = 86_400_000;
/// The wall clock can be set at any time, so the day is looked at again after this time at the latest.
const LOOK_MS: u64 = 600_000;

impl Lane {
    /// A new day begins with empty counters, and the lane is woken for the next one.
    pub(super) fn start_day(&mut self, now: &Now) {
        let Some(wall_ms) = now.wall_ms else { return };
        let local = wall_ms + self.setup.utc_offset_ms;
        let day = local.div_euclid(DAY_MS);
        if day != self.state.day {
            self.state.day = day;
            self.state.counters.clear();
        }
        let left = u64::try_from(DAY_MS - local.rem_euclid(DAY_MS)).unwrap_or(LOOK_MS);
        self.state.day_look = Some(now.mono_ms + left.min(LOOK_MS));
    }
}

impl LaneState {
    /// Counts the visit at the front by the outcome that stands now. One of another day is not of this one.
    pub(super) fn tally(&mut self) {
        let Some(visit) = &mut self.visit else { return };
        let Some(outcome) = visit.stands() else { return };
        match visit.counted {
            Some(counted) if counted.outcome == outcome || counted.day != self.day => return,
            Some(counted) => {
                let before = self.counters.entry(counted.outcome).or_default();
                *before = before.saturating_sub(1);
            }
            None => {}
        }
        visit.counted = Some(Counted { day: self.day, outcome });
        *self.counters.entry(outcome).or_default() += 1;
    }
}
