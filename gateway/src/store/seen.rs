//! Files of a folder that somebody else fills: each is news once for each time that it was written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What was seen, and when it was written.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<PathBuf, SystemTime>);

impl Seen {
    /// Whether a file is there and was written anew. One that went away and comes back is news again.
    pub fn changed(&mut self, path: &Path) -> bool {
        let Ok(when) = std::fs::metadata(path).and_then(|m| m.modified()) else {
            self.0.remove(path);
            return false;
        };
        self.0.insert(path.to_path_buf(), when) != Some(when)
    }

    /// A file that is there is news once more.
    pub fn forget(&mut self, path: &Path) {
        self.0.remove(path);
    }
}
