//! Photographs: files named by the SHA-256 of their bytes, durable before anything names them.

use super::StoreError;
use kakou_core::evidence::Hash;
use kakou_link::durable;
use ring::digest::{Context, SHA256};
use serde_json::Value;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The folder of photographs.
#[derive(Debug, Clone)]
pub struct Photos {
    folder: PathBuf,
}

impl Photos {
    /// In a data folder; made if it is not there.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let folder = data.join("photos");
        durable::make_folder(&folder).map_err(super::io_at(&folder))?;
        Ok(Self { folder })
    }

    /// Removes the unfinished files of an earlier run: for the one who writes, before it does.
    pub fn tidy(&self) -> Result<(), StoreError> {
        for entry in fs::read_dir(&self.folder).map_err(super::io_at(&self.folder))?.flatten() {
            if entry.path().extension().is_some_and(|e| e == "part") {
                fs::remove_file(entry.path()).map_err(super::io_at(&self.folder))?;
            }
        }
        Ok(())
    }

    /// The file of a hash, if the text is a hash.
    pub fn path(&self, sha256: &str) -> Option<PathBuf> {
        let good =
            sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        good.then(|| self.folder.join(&sha256[..2]).join(format!("{sha256}.jpg")))
    }

    /// Stores a picture; when this returns, a power cut no longer loses it.
    pub fn save(&self, bytes: &[u8]) -> io::Result<String> {
        let sha256 = Hash::of(bytes).hex();
        let path = self.path(&sha256).ok_or_else(|| io::Error::other("not a hash"))?;
        if path.exists() {
            return Ok(sha256);
        }
        let part = self.folder.join(format!("{sha256}.part"));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(e) = written.and_then(|()| self.put(&part, &path)) {
            drop(fs::remove_file(&part));
            return Err(e);
        }
        Ok(sha256)
    }

    /// Stores a picture without waiting for the disk: for whoever makes a store anew.
    pub fn save_unsynced(&self, bytes: &[u8]) -> io::Result<String> {
        let sha256 = Hash::of(bytes).hex();
        let path = self.path(&sha256).ok_or_else(|| io::Error::other("not a hash"))?;
        fs::create_dir_all(path.parent().ok_or_else(|| io::Error::other("no folder"))?)?;
        fs::write(path, bytes)?;
        Ok(sha256)
    }

    /// Takes a file on the same disk that is said to have a hash, without reading all of it into memory; false, and the
    /// file stays, if it has another.
    pub fn adopt(&self, sha256: &str, file: &Path) -> io::Result<bool> {
        let path = self.path(sha256).ok_or_else(|| io::Error::other("not a hash"))?;
        let mut bytes = File::open(file)?;
        if hash_of(&mut bytes)? != sha256 {
            return Ok(false);
        }
        bytes.set_permissions(Permissions::from_mode(0o600))?;
        bytes.sync_all()?;
        self.put(file, &path)?;
        Ok(true)
    }

    /// Puts a file that is durable where it belongs.
    fn put(&self, file: &Path, path: &Path) -> io::Result<()> {
        let folder = path.parent().ok_or_else(|| io::Error::other("no folder"))?;
        if !folder.exists() {
            durable::make_folder(folder)?;
            File::open(&self.folder)?.sync_all()?;
        }
        fs::rename(file, path)?;
        durable::sync_folder(folder).map_err(|e| io::Error::other(super::io_at(folder)(e)))
    }

    /// The bytes of a picture, if it is there.
    pub fn size(&self, sha256: &str) -> Option<u64> {
        fs::metadata(self.path(sha256)?).ok().map(|m| m.len())
    }

    /// The pictures whose hash begins with a byte, and when each was written.
    pub fn shard(&self, first: u8) -> Vec<(String, SystemTime)> {
        let files = fs::read_dir(self.folder.join(format!("{first:02x}")));
        let written = |file: fs::DirEntry| {
            let sha256 = file.path().file_stem()?.to_str()?.to_owned();
            Some((sha256, file.metadata().ok()?.modified().ok()?))
        };
        files.into_iter().flatten().flatten().filter_map(written).collect()
    }

    /// Removes a picture; one that is gone already is no error.
    pub fn remove(&self, sha256: &str) -> io::Result<()> {
        match self.path(sha256).map(fs::remove_file) {
            Some(Err(e)) if e.kind() != io::ErrorKind::NotFound => Err(e),
            Some(_) | None => Ok(()),
        }
    }

    /// Reads a picture.
    pub fn read(&self, sha256: &str) -> Option<Vec<u8>> {
        fs::read(self.path(sha256)?).ok()
    }
}

/// The SHA-256 of what a file holds, hexadecimal.
fn hash_of(file: &mut File) -> io::Result<String> {
    let (mut context, mut piece) = (Context::new(&SHA256), vec![0; 64 << 10]);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(kakou_core::pass::hex(context.finish().as_ref()));
        }
        context.update(&piece[..read]);
    }
}

/// The photographs that a transaction (by role) or a seal record (as a list) names.
pub fn named(data: &Value) -> Vec<&str> {
    match &data["photos"] {
        Value::Object(by_role) => by_role.values().filter_map(Value::as_str).collect(),
        Value::Array(list) => list.iter().filter_map(|p| p["sha256"].as_str()).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}
