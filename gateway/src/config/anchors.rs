//! What a configuration rests on: whose words count, what time it is, where lists and sticks are. Whoever may change
//! these is everybody who may say anything to this gateway, so that no edition changes them: a key for `configure`
//! is worth lanes, devices and officers, and nothing else.

use super::File;
use crate::clock::Source;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The settings that no edition changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchors {
    fleet_keys: Option<PathBuf>,
    lists: Option<PathBuf>,
    stick: Option<PathBuf>,
    clock: (Source, Option<String>, Option<PathBuf>),
    /// Roots, certificate, key, password: none, where there is no link.
    upstream: Option<[Option<PathBuf>; 4]>,
    /// What recordings of devices are written to.
    records: BTreeSet<PathBuf>,
    /// The folder of the file.
    folder: PathBuf,
}

impl Anchors {
    pub(super) fn of(file: &File, folder: &Path) -> Self {
        let full = |p: &Option<PathBuf>| p.as_ref().map(|p| folder.join(p));
        let keys = file.gateway.fleet_keys.as_ref().map(|k| k.get_ref().clone());
        Self {
            fleet_keys: full(&keys),
            lists: full(&file.gateway.lists),
            stick: full(&file.gateway.stick),
            clock: (
                file.clock.source,
                file.clock.fixed_at.as_ref().map(|at| at.get_ref().clone()),
                full(&file.clock.shift_file),
            ),
            upstream: file.upstream.as_ref().map(|u| u.get_ref().trust().map(|p| full(&p))),
            records: file.device.iter().filter_map(|d| full(&d.get_ref().port.record)).collect(),
            folder: folder.to_path_buf(),
        }
    }

    /// Which of these an edition would change, as people know them.
    pub fn changed_by(&self, edition: &Self) -> Vec<&'static str> {
        let mut changed = Vec::new();
        for (name, same) in [
            ("fleet_keys", self.fleet_keys == edition.fleet_keys),
            ("lists", self.lists == edition.lists),
            ("stick", self.stick == edition.stick),
            ("[clock]", self.clock == edition.clock),
            ("`ca`, `cert`, `key` and `password_file` of [upstream]", self.same_upstream(edition)),
            ("`record` of a device", edition.records.is_subset(&self.records)),
        ] {
            if !same {
                changed.push(name);
            }
        }
        changed
    }

    /// A link may be added, with files that lie beside the local file: somebody has put them there.
    fn same_upstream(&self, edition: &Self) -> bool {
        let beside = |path: &PathBuf| {
            let inside = path.strip_prefix(&self.folder).ok();
            inside.is_some_and(|rest| rest.components().all(|c| matches!(c, std::path::Component::Normal(_))))
        };
        match (&self.upstream, &edition.upstream) {
            (_, None) => true,
            (Some(own), Some(theirs)) => own == theirs,
            (None, Some(theirs)) => theirs.iter().flatten().all(beside),
        }
    }
}
