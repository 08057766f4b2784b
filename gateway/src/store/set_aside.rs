//! A damaged journal is set aside, with its sidecar files, and never deleted.

use super::journal::sync_folder;
use super::{StoreError, durable, io_at};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The name of the mark of a corrupt journal.
const CONDEMNED: &str = "journal.corrupt";

/// Marks a journal that was found corrupt while in use: the next start sets it aside.
pub fn condemn(data: &Path) {
    if let Err(e) = File::create(data.join(CONDEMNED)).and_then(|f| f.sync_all()) {
        log::error!("the corrupt journal could not be marked: {e}");
    }
}

/// Sets a journal aside that was marked so.
pub(super) fn condemned(data: &Path, path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let condemned = data.join(CONDEMNED);
    if !condemned.exists() {
        return Ok(None);
    }
    let aside = set_aside(data, path)?;
    std::fs::remove_file(&condemned).map_err(io_at(&condemned))?;
    Ok(Some(aside))
}

fn aside(data: &Path, n: u32) -> PathBuf {
    data.join(format!("set-aside-{n}"))
}

/// When a journal was set aside last.
pub fn last_set_aside(data: &Path) -> Option<SystemTime> {
    (1..).map_while(|n| std::fs::metadata(aside(data, n)).ok()?.modified().ok()).max()
}

pub(super) fn set_aside(data: &Path, path: &Path) -> Result<PathBuf, StoreError> {
    let folder = (1..).map(|n| aside(data, n)).find(|p| !p.exists()).expect("the natural numbers do not end");
    durable::make_folder(&folder).map_err(io_at(&folder))?;
    for suffix in ["", "-wal", "-shm"] {
        let from = PathBuf::from(format!("{}{suffix}", path.display()));
        if from.exists() {
            let to = folder.join(format!("journal.db{suffix}"));
            std::fs::rename(&from, &to).map_err(io_at(&from))?;
        }
    }
    sync_folder(data)?;
    Ok(folder)
}
