//! What the engine does when the store fails, and coming back from a disk that took no more.

use super::{BatchError, Effects, Engine, Exit, Moment};
use crate::store::{catch_up, disk, journal, quarantine, retention};
use kakou_core::codes::Code;
use kakou_core::core::Core;
use kakou_core::event::{Class, NewEvent};
use kakou_core::lane::action::Rejection;
use serde_json::json;

/// Folders of photographs that are looked through at once while the disk is full.
const SHELVES: usize = 8;

impl Engine {
    /// The store failed: nothing of the batch happened, and of what would have followed from it the acts are refused.
    /// The core is made anew from what is durable.
    pub(super) fn fail(&mut self, trouble: &BatchError, lost: Effects) {
        self.out.error(format!("nothing can be recorded, the lanes are closed: {trouble}"));
        self.out.count("store_failed_total");
        let refusal = || Rejection::of("storage", Code::X_STORAGE.text());
        self.out.answers.extend(lost.answers.into_iter().map(|(reply, _)| (reply, Err(refusal()))));
        self.close(Some(Code::X_STORAGE));
        self.show_all();
        if let BatchError::Sqlite(e) = trouble
            && journal::is_corrupt(e)
        {
            return self.end(Exit::Damaged);
        }
        if !self.roll_back() {
            return;
        }
        match self.journal.lanes() {
            Ok(states) => {
                let mut core =
                    Core::new((self.parts.setups)(&self.parts.trust, &self.parts.subjects), states);
                let forgotten = self.journal.forgotten_visits().ok().flatten();
                core.given(forgotten.unwrap_or(0));
                core.keep_links(&self.core);
                self.core = core;
                if let Ok(waits_for) = catch_up::waits_for(self.journal.connection()) {
                    self.waits_for = waits_for;
                }
            }
            Err(e) => {
                self.out.error(format!("the lanes cannot be loaded, the daemon ends: {e}"));
                self.end(if journal::unreadable(&e) { Exit::Damaged } else { Exit::Unreadable });
            }
        }
    }

    /// Goes back to the last commit. A journal that cannot even do that is begun anew by a new process.
    fn roll_back(&mut self) -> bool {
        let rolled_back = self.journal.roll_back();
        self.going_back.iter_mut().for_each(|back| back.taken = false);
        if let Err(e) = &rolled_back {
            self.out.error(format!("the journal cannot go back to its last commit, the daemon ends: {e}"));
            self.end(if journal::is_corrupt(e) { Exit::Damaged } else { Exit::Unreadable });
        }
        self.sign_anew();
        rolled_back.is_ok()
    }

    /// A new process begins anew; with a new journal, where this one is damaged.
    fn end(&mut self, why: Exit) {
        if why == Exit::Damaged {
            quarantine::condemn(&self.parts.data);
            self.out.error("the journal is damaged; it is set aside by the next start".into());
        }
        self.exit = Some(why);
    }

    /// Tries to write again. On a full disk the reserve is given up, so that the journal itself can
    /// say what happened and shed what it may; the lanes open when there is real room.
    pub(super) fn probe(&mut self, at: &Moment) {
        let now = at.now;
        let free = disk::free_bytes(&self.parts.data).unwrap_or(0);
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
        let least = 2 * self.parts.retention.reserve_bytes;
        let full = free.saturating_add(inside) < least;
        if free < least {
            if disk::give_up_reserve(&self.parts.data) {
                self.out.error(
                    "the disk is full: the reserve was given up; make room or shorten retention".into(),
                );
                // Where the lanes open now, that says it.
                let tell = |engine: &mut Self| {
                    engine.append(std::slice::from_ref(&event), &now).and_then(|()| engine.commit())
                };
                if full && tell(self).is_err() && !self.roll_back() {
                    return;
                }
            }
            match self.relieve(full, at) {
                Ok(shed) => self.out.add("journal_shed_total", shed),
                Err(e) => self.out.warn(format!("nothing could be shed: {e}")),
            }
        }
        if full {
            return;
        }
        self.closed = None;
        let mut pending = Effects::default();
        let back = |engine: &mut Self| engine.go_back().map_err(BatchError::Sqlite);
        let done = self.append(&[event], &now).and_then(|()| back(self));
        let done = done.and_then(|()| self.resume(&now, &mut pending));
        match done.and_then(|()| self.commit()) {
            Ok(()) => {
                self.out.warn("recording works again, the lanes are open".into());
                self.close(None);
                self.make_reserve();
                self.out.join(pending);
                self.show_all();
            }
            Err(trouble) => self.fail(&trouble, pending),
        }
    }

    /// Makes room on a full disk: one round of each, the least harmful first; of what was not delivered, or lies
    /// in the journal, only where that is full as well.
    fn relieve(&mut self, full: bool, at: &Moment) -> rusqlite::Result<u64> {
        let mut freed = 0;
        for _ in 0..SHELVES {
            self.shard = self.shard.wrapping_add(1);
            freed += self.take_unnamed(self.shard, at.files_at)?;
        }
        freed += self.take_photos(retention::RECEIPTED, i64::MAX, &at.now)?;
        if !full {
            return Ok(freed);
        }
        freed += self.purge(i64::MAX)? + self.round(retention::shed)?;
        if freed == 0 {
            freed = self.take_photos(retention::WAITING, i64::MAX, &at.now)?;
        }
        Ok(freed)
    }

    /// Sets the reserve aside, where there is room for it.
    pub(super) fn make_reserve(&mut self) {
        if let Err(e) = disk::make_reserve(&self.parts.data, self.parts.retention.reserve_bytes) {
            self.out.warn(format!("no reserve could be made for a full disk: {e}"));
        }
    }
}

#[cfg(test)]
mod tests;
