//! Locks of a file and of its shared memory, between the connections of one process.

use std::collections::{BTreeMap, BTreeSet};

/// Locks in the shared memory of a log.
pub(super) const SHARED_LOCKS: usize = 8;

/// How far a connection has locked a file, as SQLite numbers it.
pub(super) type Level = i32;
const SHARED: Level = 1;
const RESERVED: Level = 2;
const EXCLUSIVE: Level = 4;

/// A lock in shared memory.
#[derive(Default)]
struct Slot {
    readers: BTreeSet<u64>,
    writer: Option<u64>,
}

/// Who has locked a file.
#[derive(Default)]
pub(super) struct Locks {
    levels: BTreeMap<u64, Level>,
    slots: [Slot; SHARED_LOCKS],
}

impl Locks {
    /// Whether a connection gets a file so far.
    pub(super) fn lock(&mut self, who: u64, level: Level) -> bool {
        let others = self.levels.iter().filter(|(other, _)| **other != who).map(|(_, level)| *level);
        let most = others.max().unwrap_or_default();
        let free = match level {
            SHARED => most < EXCLUSIVE,
            RESERVED => most < RESERVED,
            _ => most < SHARED,
        };
        if free {
            let own = self.levels.entry(who).or_default();
            *own = level.max(*own);
        }
        free
    }

    pub(super) fn unlock(&mut self, who: u64, level: Level) {
        self.levels.insert(who, level);
    }

    pub(super) fn is_reserved(&self) -> bool {
        self.levels.values().any(|level| *level >= RESERVED)
    }

    /// Whether a connection gets some locks of the shared memory.
    pub(super) fn lock_shared(&mut self, who: u64, slots: std::ops::Range<usize>, alone: bool) -> bool {
        let Some(slots) = self.slots.get_mut(slots) else { return false };
        let free = |slot: &Slot| {
            slot.writer.is_none_or(|w| w == who)
                && (!alone || slot.readers.iter().all(|reader| *reader == who))
        };
        if !slots.iter().all(free) {
            return false;
        }
        for slot in slots {
            if alone {
                slot.writer = Some(who);
            } else {
                slot.readers.insert(who);
            }
        }
        true
    }

    pub(super) fn unlock_shared(&mut self, who: u64, slots: std::ops::Range<usize>, alone: bool) {
        for slot in self.slots.get_mut(slots).into_iter().flatten() {
            if alone && slot.writer == Some(who) {
                slot.writer = None;
            } else if !alone {
                slot.readers.remove(&who);
            }
        }
    }

    /// A connection is gone.
    pub(super) fn forget(&mut self, who: u64) {
        self.levels.remove(&who);
        self.unlock_shared(who, 0..SHARED_LOCKS, true);
        self.unlock_shared(who, 0..SHARED_LOCKS, false);
    }
}
