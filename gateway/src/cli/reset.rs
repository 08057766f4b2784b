//! `kakou reset`

use super::fail;
use crate::enrol;
use kakou_link::durable;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Makes a box empty again: destroys its keys, its journal and its photographs. It then waits for an
/// enrolment code.
#[derive(clap::Args)]
#[command(
    after_help = "Stop the daemon first: systemctl stop kakoud. What was not delivered is lost: look at\n`kakou status` before. Revoke the certificate as well: `kakou ca revoke SITE.GATEWAY`."
)]
pub struct Arguments {
    /// The data folder.
    #[arg(long, value_name = "FOLDER", default_value = "/var/lib/kakou")]
    data: PathBuf,
    /// Really.
    #[arg(long)]
    yes: bool,
}

/// Runs it.
pub fn run(a: &Arguments) -> ExitCode {
    if !a.yes {
        return fail(format!(
            "everything in {} will be destroyed; add --yes if you mean it",
            a.data.display()
        ));
    }
    match empty(&a.data) {
        Ok(()) => {
            println!("{} is empty: the box waits for an enrolment code at its next start", a.data.display());
            ExitCode::SUCCESS
        }
        Err(why) => fail(why),
    }
}

fn empty(data: &Path) -> Result<(), String> {
    let at = |path: &Path| {
        let path = path.display().to_string();
        move |e: std::io::Error| format!("{path}: {e}")
    };
    // A folder of something else is not ours to destroy.
    let ours = ["journal.db", "enrolled", "keys", "epoch"].iter().any(|name| data.join(name).exists());
    if !ours {
        return Err(format!("{} is not the data folder of a gateway, or empty already", data.display()));
    }
    let waits = enrol::folder(data).exists() && enrol::hold(data).is_err();
    if waits || in_use(&data.join("journal.db")) {
        return Err("the daemon is running: systemctl stop kakoud".into());
    }
    // Without its configuration the box waits for a code, also if the power goes before the rest is done.
    let enrolled = enrol::folder(data);
    match fs::remove_file(enrol::configuration(data)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(at(&enrolled)(e)),
        Ok(()) => durable::sync_folder(&enrolled).map_err(at(&enrolled))?,
        Err(_) => {}
    }
    // Keys are overwritten before they are removed: a flash disk may keep the old block, but the file system does not.
    for folder in [data.join("keys"), data.join("enrolled")] {
        for file in fs::read_dir(&folder).into_iter().flatten().flatten().map(|f| f.path()) {
            overwrite(&file).map_err(at(&file))?;
        }
    }
    for entry in fs::read_dir(data).map_err(at(data))?.flatten().map(|f| f.path()) {
        let gone = if entry.is_dir() { fs::remove_dir_all(&entry) } else { fs::remove_file(&entry) };
        gone.map_err(at(&entry))?;
    }
    durable::sync_folder(data).map_err(at(data))
}

fn overwrite(file: &Path) -> std::io::Result<()> {
    let size = fs::metadata(file)?.len();
    let mut out = OpenOptions::new().write(true).open(file)?;
    out.write_all(&vec![0; usize::try_from(size).unwrap_or(0)])?;
    out.sync_all()
}

/// Whether another process holds the journal open for writing: its lock says so.
fn in_use(journal: &Path) -> bool {
    if !journal.exists() {
        return false;
    }
    let Ok(connection) = rusqlite::Connection::open(journal) else { return false };
    // Exclusive access is granted only when nobody else has it open in WAL mode.
    let alone = connection
        .execute_batch("PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT");
    alone.is_err()
}
