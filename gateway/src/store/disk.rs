//! The disk that holds the store: what is free on it, and a reserve for when it is full.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// A file that is given up when the disk is full, so that the journal can still say so.
pub const RESERVE: &str = "reserve";

/// Free bytes of the disk that holds a folder.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

/// Makes room of the reserve; false where there is none.
pub fn give_up_reserve(data: &Path) -> bool {
    fs::remove_file(data.join(RESERVE)).is_ok()
}

/// Sets a reserve aside, where there is room for it and none was set aside before.
pub fn make_reserve(data: &Path, bytes: u64) -> io::Result<()> {
    let path = data.join(RESERVE);
    let room = free_bytes(data).is_some_and(|free| free > 2 * bytes);
    if path.exists() || !room || bytes == 0 {
        return Ok(());
    }
    let file = File::create(&path)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
    file.sync_all()
}
