//! Keeping the journal within its limits.

use super::{BatchError, Effects, Engine, Moment};
use crate::store::journal::{self, Journal, slots};
use crate::store::{catch_up, outbox, quarantine, retention, time};
use crate::upstream::peers;
use kakou_core::core::Core;
use kakou_core::event::{Class, NewEvent};
use kakou_core::time::Now;
use rusqlite::Connection;
use serde_json::json;
use std::time::{Duration, SystemTime};

/// Between two looks at which visits nobody can take up any more.
const CLOSE_EVERY_MS: u64 = 600_000;
/// Between two looks at which uses of passes can be forgotten.
const FORGET_EVERY_MS: u64 = 3_600_000;
/// Sooner, where others have told so many: what one of them may tell is limited.
const FORGET_AFTER: u32 = 10_000;
/// What was done to a sum so long ago is folded.
const FOLD_AFTER_MS: i64 = 7 * 86_400_000;
/// A picture that nothing names stays for so long.
pub(super) const UNNAMED: Duration = Duration::from_secs(3600);

impl Engine {
    /// Folds the log back when nobody waits, or when it has become long.
    pub(super) fn wal_checkpoint(&mut self) {
        let frames = self.journal.log_frames();
        let due = frames > journal::WAL_FRAMES_MAX || (self.quiet && frames > journal::WAL_FRAMES);
        if due && let Err(e) = self.journal.wal_checkpoint() {
            self.out.warn(format!("the WAL of the journal was not checkpointed: {e}"));
        }
    }

    /// Removes delivered events, and signs what is left in the same transaction. What the central side has no more is
    /// not delivered, also while that cannot be recorded yet.
    pub(super) fn purge(&mut self, before_ms: i64) -> rusqlite::Result<u64> {
        if !self.going_back.is_empty() {
            return Ok(0);
        }
        let delivered = self.parts.retention.delivered;
        self.journal.begin()?;
        let purge = |engine: &mut Self| -> rusqlite::Result<u64> {
            engine.journal.catch_up()?;
            let purged = retention::purge(engine.journal.connection(), delivered, before_ms)?;
            if purged > 0 {
                engine.sign()?;
            }
            engine.journal.commit()?;
            Ok(purged)
        };
        let done = purge(self);
        if done.is_err() {
            self.journal.roll_back()?;
            self.sign_anew();
        }
        done
    }

    /// One transaction of upkeep.
    pub(super) fn round(
        &mut self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<u64>,
    ) -> rusqlite::Result<u64> {
        self.journal.begin()?;
        let done = work(self.journal.connection());
        match done.and_then(|n| self.journal.commit().map(|()| n)) {
            Ok(n) => Ok(n),
            Err(e) => {
                self.journal.roll_back()?;
                Err(e)
            }
        }
    }

    /// Removes the oldest photographs of a state. One that was not delivered leaves an event behind.
    pub(super) fn take_photos(&mut self, state: i64, before_ms: i64, now: &Now) -> rusqlite::Result<u64> {
        self.journal.begin()?;
        let taken = |journal: &mut Journal| -> rusqlite::Result<Vec<String>> {
            let chosen = retention::photos(journal.connection(), state, before_ms)?;
            if state == retention::WAITING && !chosen.is_empty() {
                let event = NewEvent {
                    kind: "photos_shed".into(),
                    class: Class::Verdict,
                    lane: None,
                    visit: None,
                    audience: vec!["ops".into()],
                    data: json!({ "sha256": chosen }),
                };
                journal.append(&event, now)?;
            }
            journal.commit()?;
            Ok(chosen)
        };
        let chosen = match taken(&mut self.journal) {
            Ok(chosen) => chosen,
            Err(e) => {
                self.journal.roll_back()?;
                return Err(e);
            }
        };
        for sha256 in &chosen {
            if let Err(e) = self.parts.photos.remove(sha256) {
                self.out.warn(format!("photograph {sha256} cannot be removed: {e}"));
            }
        }
        let name = if state == retention::WAITING { "photo_shed_total" } else { "photo_removed_total" };
        self.out.add(name, chosen.len() as u64);
        Ok(chosen.len() as u64)
    }

    /// Removes pictures of one shard that no event names and no visit has in hand: taken again, or of a
    /// visit that was given up. What is young is left alone, since its visit may not know of it yet.
    pub(super) fn take_unnamed(&mut self, shard: u8, files_at: SystemTime) -> rusqlite::Result<u64> {
        let aside = quarantine::last_quarantined(&self.parts.data);
        // Of those behind it as well: an override can take them up again.
        let in_hand = |core: &Core| -> String {
            let visits = core.lanes().flat_map(|lane| lane.state.visits());
            visits.map(|visit| json!(visit).to_string()).collect()
        };
        let mut lanes = None;
        let mut taken = 0;
        for (sha256, written) in self.parts.photos.shard(shard) {
            let young = files_at.duration_since(written).is_ok_and(|age| age < UNNAMED) || files_at < written;
            // Those of a journal that was quarantined are named there.
            if young || aside.is_some_and(|aside| written <= aside) {
                continue;
            }
            if retention::names(self.journal.connection(), &sha256)?
                || lanes.get_or_insert_with(|| in_hand(&self.core)).contains(&sha256)
            {
                continue;
            }
            match self.parts.photos.remove(&sha256) {
                Ok(()) => taken += 1,
                Err(e) => self.out.warn(format!("photograph {sha256} cannot be removed: {e}")),
            }
        }
        self.out.add("photo_unnamed_removed_total", taken);
        Ok(taken)
    }

    /// Keeps the store within its limits, one round at a time.
    pub(super) fn tend(&mut self, at: &Moment) {
        if let Ok(waits_for) = catch_up::waits_for(self.journal.connection()) {
            self.waits_for = waits_for;
        }
        self.show_all();
        if self.closed.is_none()
            && let Err(e) = self.keep_limits(at)
        {
            self.fail(&BatchError::Sqlite(e), Effects::default());
        }
    }

    fn keep_limits(&mut self, at: &Moment) -> rusqlite::Result<()> {
        let (r, now) = (self.parts.retention, &at.now);
        // A time that nobody has confirmed makes nothing old: what it took would not come back.
        let confirmed_ms = now.wall_ms.filter(|_| now.synced());
        let before = |days: i64| confirmed_ms.map_or(0, |ms| ms - days * 86_400_000);
        let over = retention::bytes(self.journal.connection())?.0 > r.max_bytes;
        let until = if over { i64::MAX } else { before(r.keep_days) };
        let purged = self.purge(until)?;
        self.out.add("journal_purged_total", purged);
        self.round(time::date)?;
        let due = self.closed_visits_ms.is_none_or(|done| now.mono_ms.saturating_sub(done) >= CLOSE_EVERY_MS);
        if let Some(now_ms) = confirmed_ms.filter(|_| due) {
            self.journal.begin()?;
            self.core.forget_before(now_ms - journal::VISIT_MS);
            let closed = self.journal.close_visits(now_ms).and_then(|n| self.journal.commit().map(|()| n));
            match closed {
                // Until nothing is left to close, some each time.
                Ok(0) => self.closed_visits_ms = Some(now.mono_ms),
                Ok(_) => {}
                Err(e) => {
                    self.journal.roll_back()?;
                    return Err(e);
                }
            }
        }
        if over && purged == 0 {
            let shed = self.round(retention::shed)?;
            self.out.add("journal_shed_total", shed);
        }
        self.forget_uses(now)?;
        let faults = self.journal.tend_kept()?;
        self.out.add("kept_log_fault_total", faults);
        self.shard = self.shard.wrapping_add(1);
        self.take_unnamed(self.shard, at.files_at)?;
        self.take_photos(retention::RECEIPTED, before(r.photo_days), now)?;
        let (_, bytes) = outbox::photos_kept(self.journal.connection())?;
        if bytes > r.photo_bytes && self.take_photos(retention::RECEIPTED, i64::MAX, now)? == 0 {
            self.take_photos(retention::WAITING, i64::MAX, now)?;
        }
        Ok(())
    }

    /// Folds what was done to sums before a moment, a round of it.
    fn fold_sums(&mut self, before_ms: i64) -> rusqlite::Result<u64> {
        self.journal.begin()?;
        let done = self.journal.fold_sums(before_ms);
        match done.and_then(|n| self.journal.commit().map(|()| n)) {
            Ok(n) => Ok(n),
            Err(e) => {
                self.journal.roll_back()?;
                Err(e)
            }
        }
    }

    /// Forgets the uses of passes that have ended, and slots of registers that were over for long enough: not by a time that nobody has confirmed.
    fn forget_uses(&mut self, now: &Now) -> rusqlite::Result<()> {
        let due = self.forgotten_ms.is_none_or(|done| now.mono_ms.saturating_sub(done) >= FORGET_EVERY_MS);
        let Some(now_ms) = now.wall_ms.filter(|_| now.synced() && (due || self.heard_uses >= FORGET_AFTER))
        else {
            return Ok(());
        };
        let forgotten = self.round(|c| Ok(peers::forget(c, now_ms)? + slots::forget(c, now_ms)?))?;
        self.out.add("use_forgotten_total", forgotten);
        let folded = self.fold_sums(now_ms - FOLD_AFTER_MS)?;
        // Until nothing is left to forget, a round each time.
        if forgotten + folded == 0 {
            (self.heard_uses, self.forgotten_ms) = (0, Some(now.mono_ms));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
