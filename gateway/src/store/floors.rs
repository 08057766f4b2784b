//! What is known of each list beside the list itself: the newest signed edition that was in use, so that
//! a lost pointer or a damaged list lets no older one in, and which files were found damaged.
//!
//! A mark of damage is a file of its own, made by whoever meets the damage; the thread of the feeds takes
//! it away when it has built the list anew.

use super::{StoreError, io_at};
use kakou_link::durable;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Of one list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Floor {
    /// The newest signed edition that was in use; 0 if nobody signed it.
    #[serde(default)]
    version: u64,
    /// The file in use, as the pointer says: a second copy of it.
    #[serde(default)]
    file: String,
}

type Floors = BTreeMap<String, Floor>;

/// The folder of editions.
pub fn folder(data: &Path) -> PathBuf {
    data.join("editions")
}

fn path(data: &Path) -> PathBuf {
    folder(data).join("floors.json")
}

fn read(data: &Path) -> Result<Floors, StoreError> {
    let path = path(data);
    match std::fs::read(&path) {
        Ok(json) => Ok(serde_json::from_slice(&json).unwrap_or_else(|e| {
            log::error!("{}: {e}; it is made anew from the lists", path.display());
            Floors::default()
        })),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Floors::default()),
        Err(e) => Err(io_at(&path)(e)),
    }
}

/// The newest signed edition of a list that was in use.
pub fn version(data: &Path, list: &str) -> Result<Option<u64>, StoreError> {
    Ok(read(data)?.get(list).map(|floor| floor.version).filter(|version| *version > 0))
}

/// The files in use, where the pointer cannot be read.
pub(super) fn files(data: &Path) -> Result<BTreeMap<String, String>, StoreError> {
    let known = read(data)?.into_iter().map(|(list, floor)| (list, floor.file));
    Ok(known.filter(|(_, file)| !file.is_empty()).collect())
}

/// Keeps what is in use now; `signed` is its edition, if somebody signed it.
pub fn keep(data: &Path, list: &str, signed: Option<u64>, file: &str) -> Result<(), StoreError> {
    let mut floors = read(data)?;
    let floor = floors.entry(list.to_owned()).or_default();
    let before = floor.clone();
    floor.version = floor.version.max(signed.unwrap_or(0));
    file.clone_into(&mut floor.file);
    if *floor == before {
        return Ok(());
    }
    let path = path(data);
    let json = serde_json::to_vec(&floors).expect("strings and numbers");
    durable::make_folder(&folder(data)).and_then(|()| durable::write(&path, &json)).map_err(io_at(&path))
}

fn mark_of(data: &Path, list: &str) -> PathBuf {
    folder(data).join(format!("{list}.damaged"))
}

/// Marks the file of a list as damaged.
pub(super) fn mark(data: &Path, list: &str, file: &str) {
    let path = mark_of(data, list);
    if let Err(e) = durable::write(&path, file.as_bytes()) {
        log::error!("{}: {e}", path.display());
    }
}

/// The file of a list that was found damaged.
pub fn marked(data: &Path, list: &str) -> Option<String> {
    std::fs::read_to_string(mark_of(data, list)).ok()
}

/// Whether it is this one.
pub(super) fn is_marked(data: &Path, list: &str, file: &str) -> bool {
    marked(data, list).is_some_and(|marked| marked == file)
}

/// Takes the mark away, before another file takes the place of the damaged one.
pub(super) fn unmark(data: &Path, list: &str) -> Result<(), StoreError> {
    let path = mark_of(data, list);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(io_at(&path)(e)),
        Ok(()) | Err(_) => Ok(()),
    }
}
