//! Keeping the journal within its limits, and coming back from a disk that took no more.

use super::{Engine, Parts, Pending, Trouble};
use crate::store::journal::{self, Journal};
use crate::store::{asked, outbox, retention, set_aside, time};
use crate::upstream::peers;
use kakou_core::codes::Code;
use kakou_core::core::Core;
use kakou_core::event::{Class, NewEvent};
use kakou_core::lane::action::Rejection;
use kakou_core::time::Now;
use rusqlite::Connection;
use serde_json::json;
use std::time::{Duration, Instant};

/// A file that is given up when the disk is full, so that the journal can still say so.
const RESERVE: &str = "reserve";
/// Between two looks at which visits nobody can take up any more.
const CLOSE_EVERY: Duration = Duration::from_secs(600);
/// Between two looks at which uses of passes can be forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// Sooner, where others have told so many: what one of them may tell is limited.
const FORGET_AFTER: u32 = 10_000;
/// Folders of photographs that are looked through at once while the disk is full.
const SHELVES: usize = 8;
/// A picture that nothing names stays for so long.
const UNNAMED: Duration = Duration::from_secs(3600);

impl Engine {
    /// Folds the log back when nobody waits, or when it has become long.
    pub(super) fn fold(&mut self, quiet: bool) {
        let frames = self.journal.log_frames();
        let due = frames > journal::WAL_FRAMES_MAX || (quiet && frames > journal::WAL_FRAMES);
        if due && let Err(e) = self.journal.fold() {
            log::warn!("the log of the journal was not folded back: {e}");
        }
    }

    /// The store failed: nothing of the batch happened. The core is made anew from what is durable.
    pub(super) fn fail(&mut self, trouble: &Trouble, pending: Pending) {
        log::error!("nothing can be recorded, the lanes are closed: {trouble}");
        self.parts.metrics.count("store_failed_total");
        if let Trouble::Sqlite(e) = trouble
            && journal::is_corrupt(e)
        {
            self.end(true);
        }
        for (sender, _) in pending.replies {
            let text = Code::X_STORAGE.text();
            drop(sender.send(Err(Rejection { code: "storage", text })));
        }
        let rolled_back = self.journal.roll_back();
        self.give_up(rolled_back);
        self.sign_anew();
        self.closed = Some(Code::X_STORAGE);
        match self.journal.lanes() {
            Ok(states) => {
                let trust = self.parts.trust.borrow_and_update().clone();
                let mut core = Core::new((self.parts.setups)(&trust), states);
                let forgotten = self.journal.forgotten_visits().ok().flatten();
                core.given(forgotten.unwrap_or(0));
                core.keep_links(&self.core);
                self.core = core;
            }
            Err(e) => {
                log::error!("the lanes cannot be loaded, the daemon ends: {e}");
                self.end(journal::unreadable(&e));
            }
        }
        // The screens first: who sees that the store is closed finds the lanes closed as well.
        self.show_all(&self.parts.clock.now());
        self.closed_view.send_replace(self.closed);
    }

    /// A journal that cannot even go back to its last commit is begun anew by a new process.
    fn give_up(&self, rolled_back: rusqlite::Result<()>) {
        if let Err(e) = rolled_back {
            log::error!("the journal cannot go back to its last commit, the daemon ends: {e}");
            self.end(journal::is_corrupt(&e));
        }
    }

    /// A new process begins anew; with a new journal, where this one is damaged.
    fn end(&self, damaged: bool) -> ! {
        if damaged {
            set_aside::condemn(&self.parts.data);
            log::error!("the journal is damaged; it is set aside by the next start");
        }
        std::process::exit(if damaged { 70 } else { 74 })
    }

    /// Tries to write again. On a full disk the reserve is given up, so that the journal itself can
    /// say what happened and shed what it may; the lanes open when there is real room.
    pub(super) fn probe(&mut self) {
        let now = self.parts.clock.now();
        let free = free_bytes(&self.parts.data).unwrap_or(0);
        // Where the journal itself has filled the disk, what it sheds becomes room inside of it.
        let inside = retention::bytes(self.journal.connection()).map_or(0, |(_, free)| free);
        let data = json!({ "code": Code::X_STORAGE, "free_bytes": free });
        let event = NewEvent {
            kind: "storage".into(),
            class: Class::Verdict,
            lane: None,
            visit: None,
            audience: vec!["ops".into()],
            data,
        };
        let mut pending = Pending::default();
        let least = 2 * self.parts.retention.reserve_bytes;
        let full = free.saturating_add(inside) < least;
        if free < least {
            if give_up_reserve(&self.parts.data) {
                log::error!("the disk is full: the reserve was given up; make room or shorten retention");
                // Where the lanes open now, that says it.
                if full
                    && self.append(std::slice::from_ref(&event), &now).and_then(|()| self.commit()).is_err()
                {
                    let rolled_back = self.journal.roll_back();
                    self.give_up(rolled_back);
                    self.sign_anew();
                }
            }
            match self.relieve(full) {
                Ok(shed) => self.parts.metrics.add("journal_shed_total", shed),
                Err(e) => log::warn!("nothing could be shed: {e}"),
            }
        }
        if full {
            return;
        }
        self.closed = None;
        let done = self.append(&[event], &now).and_then(|()| self.resume(&now, &mut pending));
        match done.and_then(|()| self.commit()) {
            Ok(()) => {
                log::warn!("recording works again, the lanes are open");
                self.close(None);
                make_reserve(&self.parts);
                self.act(pending, &now);
                self.show_all(&now);
            }
            Err(trouble) => self.fail(&trouble, pending),
        }
    }

    /// Makes room on a full disk: one round of each, the least harmful first; of what was not delivered, or lies
    /// in the journal, only where that is full as well.
    fn relieve(&mut self, full: bool) -> rusqlite::Result<u64> {
        let mut freed = 0;
        for _ in 0..SHELVES {
            self.shelf = self.shelf.wrapping_add(1);
            freed += self.take_unnamed(self.shelf)?;
        }
        freed += self.take_photos(retention::RECEIPTED, i64::MAX)?;
        if !full {
            return Ok(freed);
        }
        freed += self.purge(i64::MAX)? + self.round(retention::shed)?;
        if freed == 0 {
            freed = self.take_photos(retention::WAITING, i64::MAX)?;
        }
        Ok(freed)
    }

    /// Removes delivered events, and signs what is left in the same transaction.
    fn purge(&mut self, before_ms: i64) -> rusqlite::Result<u64> {
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
    fn round(&mut self, work: impl FnOnce(&Connection) -> rusqlite::Result<u64>) -> rusqlite::Result<u64> {
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
    fn take_photos(&mut self, state: i64, before_ms: i64) -> rusqlite::Result<u64> {
        let now = self.parts.clock.now();
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
                journal.append(&event, &now)?;
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
                log::warn!("photograph {sha256} cannot be removed: {e}");
            }
        }
        let name = if state == retention::WAITING { "photo_shed_total" } else { "photo_removed_total" };
        self.parts.metrics.add(name, chosen.len() as u64);
        Ok(chosen.len() as u64)
    }

    /// Removes pictures of one shelf that no event names and no visit has in hand: taken again, or of a
    /// visit that was given up. What is young is left alone, since its visit may not know of it yet.
    fn take_unnamed(&mut self, shelf: u8) -> rusqlite::Result<u64> {
        let aside = set_aside::last_set_aside(&self.parts.data);
        // Of those behind it as well: an override can take them up again.
        let visits = || self.core.lanes().flat_map(|lane| lane.state.visits());
        let in_hand = || visits().map(|visit| json!(visit).to_string()).collect::<String>();
        let mut lanes = None;
        let mut taken = 0;
        for (sha256, written) in self.parts.photos.shelf(shelf) {
            let young = written.elapsed().is_ok_and(|age| age < UNNAMED) || written.elapsed().is_err();
            // Those of a journal that was set aside are named there.
            if young || aside.is_some_and(|aside| written <= aside) {
                continue;
            }
            if retention::names(self.journal.connection(), &sha256)?
                || lanes.get_or_insert_with(in_hand).contains(&sha256)
            {
                continue;
            }
            match self.parts.photos.remove(&sha256) {
                Ok(()) => taken += 1,
                Err(e) => log::warn!("photograph {sha256} cannot be removed: {e}"),
            }
        }
        self.parts.metrics.add("photo_unnamed_removed_total", taken);
        Ok(taken)
    }

    /// Keeps the store within its limits, one round at a time.
    pub(super) fn tend(&mut self) {
        let now = self.parts.clock.now();
        if let Ok(waits_for) = asked::waits_for(self.journal.connection()) {
            self.waits_for = waits_for;
        }
        self.show_all(&now);
        if self.closed.is_none()
            && let Err(e) = self.keep_limits(&now)
        {
            self.fail(&Trouble::Sqlite(e), Pending::default());
        }
    }

    fn keep_limits(&mut self, now: &Now) -> rusqlite::Result<()> {
        let r = self.parts.retention;
        // A time that nobody has confirmed makes nothing old: what it took would not come back.
        let confirmed_ms = now.wall_ms.filter(|_| now.synced());
        let before = |days: i64| confirmed_ms.map_or(0, |ms| ms - days * 86_400_000);
        let over = retention::bytes(self.journal.connection())?.0 > r.max_bytes;
        let until = if over { i64::MAX } else { before(r.keep_days) };
        let purged = self.purge(until)?;
        self.parts.metrics.add("journal_purged_total", purged);
        self.round(time::date)?;
        let due = self.closed_visits_at.is_none_or(|at| at.elapsed() >= CLOSE_EVERY);
        if let Some(now_ms) = confirmed_ms.filter(|_| due) {
            self.journal.begin()?;
            self.core.forget_before(now_ms - journal::VISIT_MS);
            let closed = self.journal.close_visits(now_ms).and_then(|n| self.journal.commit().map(|()| n));
            match closed {
                // Until nothing is left to close, some each time.
                Ok(0) => self.closed_visits_at = Some(Instant::now()),
                Ok(_) => {}
                Err(e) => {
                    self.journal.roll_back()?;
                    return Err(e);
                }
            }
        }
        if over && purged == 0 {
            let shed = self.round(retention::shed)?;
            self.parts.metrics.add("journal_shed_total", shed);
        }
        self.forget_uses(now)?;
        let faults = self.journal.tend_kept()?;
        self.parts.metrics.add("kept_log_fault_total", faults);
        self.shelf = self.shelf.wrapping_add(1);
        self.take_unnamed(self.shelf)?;
        self.take_photos(retention::RECEIPTED, before(r.photo_days))?;
        let (_, bytes) = outbox::photos_kept(self.journal.connection())?;
        if bytes > r.photo_bytes && self.take_photos(retention::RECEIPTED, i64::MAX)? == 0 {
            self.take_photos(retention::WAITING, i64::MAX)?;
        }
        Ok(())
    }

    /// Forgets the uses of passes that have ended: not by a time that nobody has confirmed.
    fn forget_uses(&mut self, now: &Now) -> rusqlite::Result<()> {
        let due = self.forgotten_at.is_none_or(|at| at.elapsed() >= FORGET_EVERY);
        let Some(now_ms) = now.wall_ms.filter(|_| now.synced() && (due || self.heard_uses >= FORGET_AFTER))
        else {
            return Ok(());
        };
        let forgotten = self.round(|c| peers::forget(c, now_ms))?;
        self.parts.metrics.add("use_forgotten_total", forgotten);
        // Until nothing is left to forget, a round each time.
        if forgotten == 0 {
            (self.heard_uses, self.forgotten_at) = (0, Some(Instant::now()));
        }
        Ok(())
    }
}

/// Makes room of the reserve; false where there is none.
pub(super) fn give_up_reserve(data: &std::path::Path) -> bool {
    std::fs::remove_file(data.join(RESERVE)).is_ok()
}

/// Sets the reserve aside, where there is room for it.
pub(super) fn make_reserve(parts: &Parts) {
    let path = parts.data.join(RESERVE);
    let bytes = parts.retention.reserve_bytes;
    let room = free_bytes(&parts.data).is_some_and(|free| free > 2 * bytes);
    if path.exists() || !room || bytes == 0 {
        return;
    }
    let made = std::fs::File::create(&path).and_then(|file| {
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
        file.sync_all()
    });
    if let Err(e) = made {
        log::warn!("no reserve could be made for a full disk: {e}");
    }
}

/// Free bytes of the disk that holds a folder.
pub fn free_bytes(folder: &std::path::Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

#[cfg(test)]
mod tests;
