//! A damaged journal is quarantined, with its sidecar files, and never deleted. Its folder is marked until a start has
//! gone well with what could still be read of it: one that fails half-way is not the end of it.

use super::{StoreError, io_at};
use kakou_link::durable;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The name of the mark of a corrupt journal.
const CONDEMNED: &str = "journal.corrupt";
/// The name of the mark in a folder whose journal nobody has taken over yet.
const WAITS: &str = "waits";

/// Marks a journal that was found corrupt while in use: the next start quarantines it.
pub fn condemn(data: &Path) {
    if let Err(e) = File::create(data.join(CONDEMNED)).and_then(|f| f.sync_all()) {
        log::error!("the corrupt journal could not be marked: {e}");
    }
}

/// Quarantines a journal that was marked so.
pub(super) fn condemned(data: &Path, path: &Path) -> Result<(), StoreError> {
    let condemned = data.join(CONDEMNED);
    if condemned.exists() {
        quarantine(data, path)?;
        std::fs::remove_file(&condemned).map_err(io_at(&condemned))?;
    }
    Ok(())
}

/// The folders whose journals no start has taken over yet.
pub(super) fn waiting(data: &Path) -> Vec<PathBuf> {
    let folders = (1..).map(|n| folder_of(data, n)).take_while(|folder| folder.exists());
    folders.filter(|folder| folder.join(WAITS).exists()).collect()
}

/// A start went well: what was quarantined is history.
pub fn taken_over(data: &Path) {
    for folder in waiting(data) {
        if let Err(e) =
            std::fs::remove_file(folder.join(WAITS)).and_then(|()| File::open(&folder)?.sync_all())
        {
            log::warn!(
                "{}: {e}; the next start takes it for a journal that was set aside just now",
                folder.display()
            );
        }
    }
}

fn folder_of(data: &Path, n: u32) -> PathBuf {
    data.join(format!("set-aside-{n}"))
}

/// When a journal was quarantined last.
pub fn last_quarantined(data: &Path) -> Option<SystemTime> {
    (1..).map_while(|n| std::fs::metadata(folder_of(data, n)).ok()?.modified().ok()).max()
}

/// Quarantines a journal.
pub(super) fn quarantine(data: &Path, path: &Path) -> Result<(), StoreError> {
    let mut n = 1;
    while folder_of(data, n).exists() {
        n += 1;
    }
    let folder = folder_of(data, n);
    durable::make_folder(&folder).map_err(io_at(&folder))?;
    File::create(folder.join(WAITS)).and_then(|f| f.sync_all()).map_err(io_at(&folder))?;
    durable::sync_folder(&folder).map_err(io_at(&folder))?;
    for suffix in ["", "-wal", "-shm"] {
        let from = PathBuf::from(format!("{}{suffix}", path.display()));
        if from.exists() {
            let to = folder.join(format!("journal.db{suffix}"));
            std::fs::rename(&from, &to).map_err(io_at(&from))?;
        }
    }
    durable::sync_folder(data).map_err(io_at(data))
}
