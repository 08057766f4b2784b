//! What the engine does about time: steps and changes of quality go on record, the floor is kept,
//! and once the clock is confirmed the events before can be dated.

use super::Engine;
use crate::notify;
use crate::store::time;
use kakou_core::event::{Class, NewEvent};
use kakou_core::time::{Now, Quality};
use kakou_link::clock::{STEP_MS, Source};
use serde_json::json;
use std::time::{Duration, Instant};

/// Between two times that are kept as floor: a box that lost its clock is wrong by this much less.
const KEEP_EVERY: Duration = Duration::from_secs(600);
/// Between two words to the watchdog.
const ALIVE: Duration = Duration::from_secs(3);
/// A time that was stepped to counts as floor when it has stood for so long.
const PROVED: Duration = Duration::from_secs(600);

/// What was seen of the clock.
#[derive(Default)]
pub(super) struct Watch {
    seen: Option<(i64, Quality)>,
    stepped: Option<Instant>,
    /// Since when the time service has stood for a time that lies before the floor.
    contradicted: Option<Instant>,
    kept: Option<Instant>,
    alive: Option<Instant>,
}

impl Engine {
    /// The watchdog of systemd is fed by this loop alone: when lanes hang, the daemon is started anew.
    pub(super) fn alive(&mut self) {
        if self.watch.alive.is_none_or(|at| at.elapsed() >= ALIVE) {
            self.watch.alive = Some(Instant::now());
            notify::tell(&[notify::WATCHDOG]);
        }
    }

    /// What the journal has kept as floor.
    pub(super) fn recall_time(&self) {
        if self.parts.clock.source() == Source::Fixed {
            return;
        }
        match time::floor(self.journal.connection()) {
            Ok(Some(floor)) => self.parts.clock.not_before(floor),
            Ok(None) => {}
            Err(e) => log::warn!("the floor of the time cannot be read: {e}"),
        }
    }

    /// Looks whether the clock was stepped, or is worth more or less than before.
    pub(super) fn watch_clock(&mut self) {
        let now = self.parts.clock.now();
        let Some(wall_ms) = now.wall_ms.filter(|_| self.parts.clock.source() != Source::Fixed) else {
            return;
        };
        let offset_ms = wall_ms - now.mono_ms.cast_signed();
        let told = match self.watch.seen {
            Some((before, quality)) => (offset_ms - before).abs() >= STEP_MS || quality != now.quality,
            // A clock that is believed as it is has nothing to be told of at the start.
            None => self.parts.clock.source() == Source::Ntp && self.news_of_boot(offset_ms, &now),
        };
        if told && self.closed.is_none() {
            self.tell_time(offset_ms, &now);
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
        let data = json!({ "offset_ms": offset_ms, "stepped_ms": stepped_ms, "quality": now.quality.word(),
            "was": was.map(Quality::word) });
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
        match stored.map_err(super::Trouble::Sqlite).and_then(|()| self.commit()) {
            Ok(()) => {
                self.watch.seen = Some((offset_ms, now.quality));
                if let Some(ms) = stepped_ms {
                    self.watch.stepped = Some(Instant::now());
                    self.parts.metrics.count("clock_step_total");
                    log::warn!("the clock was stepped by {} s", ms / 1000);
                }
                log::info!("the time is {}", now.quality.word());
                self.streams.send_replace(self.journal.streams());
                self.show_all(now);
            }
            Err(trouble) => self.fail(&trouble, super::Pending::default()),
        }
    }

    /// Keeps a confirmed time as floor: not one that was stepped to a moment ago, which may be wrong.
    pub(super) fn keep_time(&mut self) {
        let now = self.parts.clock.now();
        let claimed = self.parts.clock.claimed().filter(|_| now.quality == Quality::Floor);
        // A floor can be too high from the start: of a boot whose clock was wrong. A clock that nobody confirms
        // says nothing against it by standing there.
        let contradicts = claimed.is_some() && self.parts.clock.source() == Source::Ntp;
        let since = self.watch.contradicted.take().filter(|_| contradicts);
        self.watch.contradicted = since.or_else(|| contradicts.then(Instant::now));
        let stood = |at: Option<Instant>| at.is_some_and(|at| at.elapsed() >= PROVED);
        if let Some(wall_ms) = claimed.filter(|_| stood(self.watch.stepped) || stood(self.watch.contradicted))
        {
            log::warn!("the time source has stood for an earlier time: it is believed");
            self.watch.kept = None;
            return self.parts.clock.believe(wall_ms);
        }
        let proved = self.watch.stepped.is_none_or(|at| at.elapsed() >= PROVED);
        let due = self.watch.kept.is_none_or(|at| at.elapsed() >= KEEP_EVERY);
        let fixed = self.parts.clock.source() == Source::Fixed;
        let Some(wall_ms) = now.wall_ms.filter(|_| now.synced() && proved && due && !fixed) else { return };
        if self.closed.is_some() {
            return;
        }
        let kept = self.journal.begin().and_then(|()| self.journal.keep_floor(wall_ms));
        match kept.map_err(super::Trouble::Sqlite).and_then(|()| self.commit()) {
            Ok(()) => {
                self.watch.kept = Some(Instant::now());
                self.parts.clock.not_before(wall_ms);
            }
            Err(trouble) => self.fail(&trouble, super::Pending::default()),
        }
    }
}
