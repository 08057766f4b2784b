//! The disk of the box, as far as the journal is written to it: SQLite's files through a VFS ([`vfs`]) that keeps what was
//! written and not synced apart.
//!
//! What was synced is in the real files of a folder; everything since is in memory. When the power goes, the seed says
//! what of it is there afterwards: nothing, all of it, the first part, some of the writes, or some sectors of them. The
//! program that was running does not notice: it goes on until the call returns, as on a machine whose last moment nobody
//! sees, and nothing of what it then does counts. Files that the product writes itself (the log of uses, epoch, keys)
//! are durable at once; when the power goes they are put back to that moment as well.
//!
//! Made and removed files are so at once: what a file system does to names that nobody synced is not simulated.

mod locks;
mod state;
mod vfs;

use super::draw::Draw;
use state::State;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What was done to the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pieces written.
    pub writes: u64,
    /// Syncs of all files.
    pub syncs: u64,
    /// Those of the log in front of the journal: each commit is one.
    pub commits: u64,
    /// How often the power went.
    pub cuts: u64,
    /// Cuts at which something was written and not synced.
    pub cuts_in_between: u64,
}

/// What a disk does not take any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Full {
    /// It takes everything.
    #[default]
    No,
    /// Files do not grow.
    Grows,
    /// Nothing is written.
    Writes,
    /// What is written cannot be synced.
    Syncs,
}

/// A disk.
pub struct Disk {
    folder: PathBuf,
    state: Arc<Mutex<State>>,
}

impl Disk {
    /// The disk below a folder, which must be there; what is lost at a cut is drawn.
    pub fn new(folder: &Path, draw: Draw) -> io::Result<Self> {
        let folder = folder.canonicalize()?;
        let state = Arc::new(Mutex::new(State::new(folder.clone(), draw)));
        vfs::mount(&folder, &state)?;
        Ok(Self { folder, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Where it is mounted.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The power goes before the so many-th write, sync or change of size from now, counted from 1; none calls it off.
    pub fn cut_before(&self, operation: Option<u64>) {
        self.state().cut_before = operation;
    }

    /// From now on a sync of the log says that it is done, and does nothing.
    pub fn lies(&self) {
        self.state().lies = true;
    }

    /// From now on it does not take this.
    pub fn is_full(&self, full: Full) {
        self.state().full = full;
    }

    /// While the box has no power: the journal is there, and cannot be read any more. Whether there was one.
    pub fn harm(&self, draw: &mut Draw) -> io::Result<bool> {
        if self.state().is_unsynced() { Ok(false) } else { state::harm(&self.folder, draw) }
    }

    /// The power goes.
    pub fn cut(&self) -> io::Result<()> {
        self.state().cut();
        self.is_cut().map(drop)
    }

    /// Whether the power has gone. What could not be put aside for then is an error of the simulation.
    pub fn is_cut(&self) -> io::Result<bool> {
        self.state().is_cut()
    }

    /// Whether something of a commit was written and not synced: what a cut now could take. What was folded back from the
    /// log is not: the log has it.
    pub fn is_unsynced(&self) -> bool {
        self.state().log_is_unsynced()
    }

    /// The power is back: what is left of the disk. Whoever had files open has died.
    pub fn power_on(&self) -> io::Result<()> {
        self.state().power_on()
    }

    /// What was done to it.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        vfs::unmount(&self.folder);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
