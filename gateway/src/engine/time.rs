//! What the engine does about time: steps and changes of quality go on record, the floor is kept,
//! and once the clock is confirmed the events before can be dated.

use super::{ClockChange, Effects, Engine, Moment};
use crate::store::time;
use kakou_core::event::{Class, NewEvent};
use kakou_core::time::{MonoMs, Now, Quality};
use kakou_link::clock::{STEP_MS, TimeSource};
use serde_json::json;

/// Between two times that are kept as floor: a box that lost its clock is wrong by this much less.
const KEEP_EVERY_MS: u64 = 600_000;
/// A time that was stepped to counts as floor when it has stood for so long.
const PROVED_MS: u64 = 600_000;

/// What was seen of the clock.
#[derive(Default)]
pub(super) struct ClockWatch {
    seen: Option<(i64, Quality)>,
    stepped_ms: Option<MonoMs>,
    /// Since when the time service has stood for a time that lies before the floor.
    contradicted_ms: Option<MonoMs>,
    kept_ms: Option<MonoMs>,
}

impl Engine {
    /// Looks whether the clock was stepped, or is worth more or less than before.
    pub(super) fn watch_clock(&mut self, now: &Now) {
        let Some(wall_ms) = now.wall_ms.filter(|_| self.parts.source != TimeSource::Fixed) else {
            return;
        };
        let offset_ms = wall_ms - now.mono_ms.cast_signed();
        let told = match self.watch.seen {
            Some((before, quality)) => (offset_ms - before).abs() >= STEP_MS || quality != now.quality,
            // A clock that is believed as it is has nothing to be told of at the start.
            None => self.parts.source == TimeSource::Ntp && self.news_of_boot(offset_ms, now),
        };
        if told && self.closed.is_none() {
            self.tell_time(offset_ms, now);
        } else if !told && self.watch.seen.is_none() {
            self.watch.seen = Some((offset_ms, now.quality));
        }
    }

    /// Whether this boot's time is confirmed, and the journal does not know it.
    fn news_of_boot(&self, offset_ms: i64, now: &Now) -> bool {
        let known = time::offset(self.journal.connection(), &self.parts.author.boot).ok().flatten();
        now.synced() && known.is_none_or(|known| (known - offset_ms).abs() >= STEP_MS)
    }

    fn tell_time(&mut self, offset_ms: i64, now: &Now) {
        let (before, was) = self.watch.seen.unzip();
        let stepped_ms = before.map(|b| offset_ms - b).filter(|ms| ms.abs() >= STEP_MS);
        let data = json!({ "offset_ms": offset_ms, "stepped_ms": stepped_ms, "quality": now.quality.as_str(),
            "was": was.map(Quality::as_str) });
        let event = NewEvent {
            kind: "clock".into(),
            class: Class::Verdict,
            lane: None,
            visit: None,
            audience: vec!["ops".into()],
            data,
        };
        let boot = self.parts.author.boot.clone();
        let stored = self.journal.begin().and_then(|()| {
            self.journal.append(&event, now)?;
            if now.synced() {
                time::keep_offset(self.journal.connection(), &boot, offset_ms)?;
            }
            Ok(())
        });
        match stored.map_err(super::BatchError::Sqlite).and_then(|()| self.commit()) {
            Ok(()) => {
                self.watch.seen = Some((offset_ms, now.quality));
                if let Some(ms) = stepped_ms {
                    self.watch.stepped_ms = Some(now.mono_ms);
                    self.out.count("clock_step_total");
                    self.out.warn(format!("the clock was stepped by {} s", ms / 1000));
                }
                self.out.info(format!("the time is {}", now.quality.as_str()));
                self.show_all();
            }
            Err(trouble) => self.fail(&trouble, Effects::default()),
        }
    }

    /// Keeps a confirmed time as floor: not one that was stepped to a moment ago, which may be wrong.
    pub(super) fn keep_time(&mut self, at: &Moment) {
        let now = at.now;
        let claimed = at.claimed_ms.filter(|_| now.quality == Quality::Floor);
        // A floor can be too high from the start: of a boot whose clock was wrong. A clock that nobody confirms
        // says nothing against it by standing there.
        let contradicts = claimed.is_some() && self.parts.source == TimeSource::Ntp;
        let since = self.watch.contradicted_ms.take().filter(|_| contradicts);
        self.watch.contradicted_ms = since.or_else(|| contradicts.then_some(now.mono_ms));
        let stood_ms = |since: MonoMs| now.mono_ms.saturating_sub(since);
        let stood = |since: Option<MonoMs>| since.is_some_and(|since| stood_ms(since) >= PROVED_MS);
        let believed = stood(self.watch.stepped_ms) || stood(self.watch.contradicted_ms);
        if let Some(wall_ms) = claimed.filter(|_| believed) {
            self.out.warn("the time source has stood for an earlier time: it is believed".into());
            self.watch.kept_ms = None;
            self.out.clock = Some(ClockChange::Believe(wall_ms));
            return;
        }
        let proved = self.watch.stepped_ms.is_none_or(|since| stood_ms(since) >= PROVED_MS);
        let due = self.watch.kept_ms.is_none_or(|since| stood_ms(since) >= KEEP_EVERY_MS);
        let fixed = self.parts.source == TimeSource::Fixed;
        let Some(wall_ms) = now.wall_ms.filter(|_| now.synced() && proved && due && !fixed) else { return };
        if self.closed.is_some() {
            return;
        }
        let kept = self.journal.begin().and_then(|()| self.journal.keep_floor(wall_ms));
        match kept.map_err(super::BatchError::Sqlite).and_then(|()| self.commit()) {
            Ok(()) => {
                self.watch.kept_ms = Some(now.mono_ms);
                self.out.clock = Some(ClockChange::NotBefore(wall_ms));
            }
            Err(trouble) => self.fail(&trouble, Effects::default()),
        }
    }
}
