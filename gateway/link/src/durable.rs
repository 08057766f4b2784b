//! Small files, replaced atomically and durably (a power cut leaves the old or the new one), readable by the owner alone.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Replaces a file; when this returns, a power cut no longer loses it. Others may read it, where its folder
/// lets them.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, 0o644)
}

/// The same for a secret: nobody else may read it.
pub fn write_secret(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, 0o600)
}

/// Makes a folder that is the program's own, whatever the umask says, and those above it that are missing.
pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The same; one that is there already is closed to others.
pub fn own_folder(path: &Path) -> io::Result<()> {
    make_folder(path)?;
    only_ours(path, 0o700)
}

/// Closes a file or a folder to others; one that belongs to somebody else is left as it is.
fn only_ours(path: &Path, mode: u32) -> io::Result<()> {
    if std::fs::metadata(path)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    match std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)) {
        Err(e) if e.kind() != io::ErrorKind::PermissionDenied => Err(e),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Makes an empty file with mode 0600 for code that will fill it without setting a mode; an existing file gets that
/// mode.
pub fn own_file(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    only_ours(path, 0o600)
}

/// Reads a file that somebody else has made, if it is not larger than it may be.
pub fn read_small(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Where the previous version of a file is kept: in the same folder, with a suffix behind its whole name.
pub fn old(path: &Path) -> PathBuf {
    with(path, ".old")
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Written to a temporary name first; a file that a power cut left there is removed, so that its mode is not kept.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let fresh = with(path, ".new");
    match std::fs::remove_file(&fresh) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_secret_never_takes_the_mode_of_what_was_left_at_its_side() {
        let folder = tempfile::tempdir().unwrap();
        let (key, pem) = (folder.path().join("next.key"), folder.path().join("next.pem"));
        for left in ["next.new", "next.key.new"] {
            let left = folder.path().join(left);
            std::fs::write(&left, "left by a power cut").unwrap();
            std::fs::set_permissions(&left, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        write_secret(&key, b"secret").unwrap();
        assert_eq!((mode(&key), std::fs::read(&key).unwrap()), (0o600, b"secret".to_vec()));
        write(&pem, b"public").unwrap();
        assert_eq!(std::fs::read(&key).unwrap(), b"secret", "each has a temporary name of its own");
        assert!(folder.path().join("next.new").exists(), "what is not ours is left alone");
    }

    #[test]
    fn what_is_ours_is_closed_to_others_whatever_the_umask_says() {
        let folder = tempfile::tempdir().unwrap();
        let (data, file) = (folder.path().join("a/b"), folder.path().join("file"));
        own_folder(&data).unwrap();
        assert_eq!((mode(&data), mode(&folder.path().join("a"))), (0o700, 0o700));
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
        own_folder(&data).unwrap();
        own_file(&file).unwrap();
        assert_eq!((mode(&data), mode(&file)), (0o700, 0o600));
        std::fs::write(&file, "kept").unwrap();
        own_file(&file).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"kept");
    }
}
