//! Watches the folder of lists and takes over what is new.
//!
//! A file that is wrong or older is refused with an error and a counter, and what was in use stays
//! in use.

use crate::engine::{Inlet, Work};
use crate::metrics::Metrics;
use crate::store::lists::Lists;
use kakou_core::pass::trust::TrustList;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// The lists that come as files beside `trust`.
const FILES: [&str; 4] = ["status", "pass", "revocation", "hold"];

/// The watcher.
pub struct Watch {
    folder: PathBuf,
    data: PathBuf,
    metrics: Arc<Metrics>,
    seen: BTreeMap<PathBuf, SystemTime>,
    version: u64,
}

impl Watch {
    /// For a folder.
    pub fn new(folder: PathBuf, data: PathBuf, metrics: Arc<Metrics>) -> Self {
        let version = std::fs::read_to_string(data.join("trust.version")).ok();
        let version = version.and_then(|v| v.trim().parse().ok()).unwrap_or(0);
        Self { folder, data, metrics, seen: BTreeMap::new(), version }
    }

    fn changed(&mut self, path: &Path) -> bool {
        let Ok(when) = std::fs::metadata(path).and_then(|m| m.modified()) else { return false };
        self.seen.insert(path.to_path_buf(), when) != Some(when)
    }

    /// The trust list if its file is new and good.
    pub fn trust(&mut self) -> Option<TrustList> {
        let path = self.folder.join("trust.json");
        if !self.changed(&path) {
            return None;
        }
        let read = std::fs::read(&path).map_err(|e| e.to_string());
        let list = read.and_then(|json| TrustList::from_json(&json).map_err(|e| e.to_string()));
        match list {
            Ok(list) if list.version >= self.version => {
                self.version = list.version;
                if let Err(e) = std::fs::write(self.data.join("trust.version"), list.version.to_string()) {
                    log::error!("the version of the trust list cannot be kept: {e}");
                }
                log::info!("trust list version {} with {} keys is in use", list.version, list.len());
                Some(list)
            }
            Ok(list) => {
                self.refuse(
                    &path,
                    &format!("version {} is older than version {}", list.version, self.version),
                );
                None
            }
            Err(why) => {
                self.refuse(&path, &why);
                None
            }
        }
    }

    /// Takes over every other list whose file is new.
    pub fn lists(&mut self) {
        let mut new = FILES.map(|name| self.folder.join(format!("{name}.json"))).to_vec();
        new.retain(|path| self.changed(path));
        if new.is_empty() {
            return;
        }
        let mut lists = match Lists::open(&self.data) {
            Ok(lists) => lists,
            Err(e) => {
                self.refuse(&self.data, &e.to_string());
                return;
            }
        };
        for path in new {
            match lists.take(&path) {
                Ok(Some(list)) => log::info!(
                    "list {} version {} with {} entries is in use",
                    list.name,
                    list.version,
                    list.entries
                ),
                Ok(None) => {}
                Err(e) => self.refuse(&path, &e.to_string()),
            }
        }
    }

    fn refuse(&self, path: &Path, why: &str) {
        self.metrics.count("list_refused_total");
        log::error!("{}: the list is refused, the one in use stays: {why}", path.display());
    }
}

/// Looks until cancelled.
pub async fn run(
    mut watch: Watch,
    engine: Inlet,
    trust: watch::Sender<Arc<TrustList>>,
    cancel: CancellationToken,
) {
    loop {
        tokio::select! { () = cancel.cancelled() => return, () = tokio::time::sleep(LOOK) => {} }
        let looked = tokio::task::spawn_blocking(move || {
            let keys = watch.trust();
            watch.lists();
            (watch, keys)
        });
        let Ok((back, keys)) = looked.await else { return };
        watch = back;
        if let Some(keys) = keys {
            let keys = Arc::new(keys);
            trust.send_replace(keys.clone());
            drop(engine.try_send(Work::Trust(keys)));
        }
    }
}
