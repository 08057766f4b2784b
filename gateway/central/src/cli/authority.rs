//! The folder of an authority, as every command that needs it opens it.

use crate::enrol::office::Office;
use kakou_authority::authority::Authority;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The authority of a folder, for whoever may write there.
pub fn office(dir: &Path) -> Result<Office, String> {
    own(dir)?;
    looked_at(dir)
}

/// The same for whoever only looks.
pub fn looked_at(dir: &Path) -> Result<Office, String> {
    Authority::open(dir).map(Office::new).map_err(|e| format!("{e}; `kakou ca init` makes an authority"))
}

/// Its files are for its owner alone: what root writes there the enrolment server could not read.
fn own(dir: &Path) -> Result<(), String> {
    let (me, owner) = (rustix::process::geteuid().as_raw(), std::fs::metadata(dir).map_or(0, |m| m.uid()));
    if me == 0 && owner != 0 {
        return Err(format!(
            "{}: it belongs to the user with the number {owner}, whose server could not read what root writes there: \
             run this as that user, e.g. `runuser -u kakou-ca -- kakou ca …`",
            dir.display()
        ));
    }
    Ok(())
}
