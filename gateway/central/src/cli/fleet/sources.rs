//! What is known of the fleet beside what it says itself: the database, and the list of boxes that should be there.

use crate::fleet::memory;
use crate::fleet::watch::Watched;
use crate::ingest::From;
use kakou_link::files;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two looks into the list of expected boxes.
const EXPECTED_EVERY: Duration = Duration::from_secs(60);

/// Where else to look.
#[derive(clap::Args, Clone)]
pub struct Sources {
    /// The database of `kakou central ingest`: what was before this program began to listen. It is read alone.
    #[arg(long, value_name = "URL", env = "KAKOU_DATABASE", hide_env_values = true)]
    pub(super) database: Option<String>,
    /// The boxes that should be there, SITE/GATEWAY a line: those that never came are shown. It is read again each
    /// minute.
    #[arg(long, value_name = "FILE")]
    expected: Option<PathBuf>,
}

impl Sources {
    /// Brings into a fleet what they know, and goes on until cancelled. A list that cannot be read at the start is told
    /// at once.
    pub(super) fn follow(
        &self,
        site: &str,
        fleet: &Watched,
        cancel: &CancellationToken,
    ) -> Result<(), String> {
        if let Some(url) = self.database.clone() {
            tokio::spawn(memory::run(url, site.to_owned(), fleet.clone(), cancel.clone()));
        }
        let Some(file) = self.expected.clone() else { return Ok(()) };
        fleet.lock().expect(Ok(expected(&file, site)?));
        let (fleet, cancel, site) = (fleet.clone(), cancel.clone(), site.to_owned());
        tokio::spawn(async move {
            loop {
                tokio::select! { () = cancel.cancelled() => return, () = tokio::time::sleep(EXPECTED_EVERY) => {} }
                let boxes = expected(&file, &site);
                if let Err(why) = &boxes {
                    log::error!("fleet: {why}; the boxes of the list before are expected");
                }
                fleet.lock().expect(boxes);
            }
        });
        Ok(())
    }
}

/// The boxes of a list, of one site or of all.
fn expected(file: &Path, of: &str) -> Result<BTreeSet<From>, String> {
    let text = files::read_text(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let boxes = crate::enrol::expected::read(&text).map_err(|e| format!("{}, {e}", file.display()))?;
    let here = boxes.into_iter().filter(|(site, _)| of == "+" || site.as_str() == of);
    Ok(here.map(|(site, gateway)| From { site, gateway }).collect())
}
