//! Files of a disk: what was synced, what was written since, and what of that a cut leaves.

use super::locks::Locks;
use super::{Counts, Full};
use crate::sim::draw::Draw;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
/// The log in front of a database.
const LOG: &str = "-wal";

/// Names a file whatever it is called.
pub(super) type Key = u64;

/// What was done and not synced.
#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Size(u64),
}

/// A file.
struct Data {
    path: PathBuf,
    /// What is synced.
    real: File,
    /// What the program sees.
    seen: Vec<u8>,
    /// What was done since the last sync, until the power went.
    since: Vec<Change>,
    /// Connections that have it open.
    open: u64,
    locks: Locks,
    shared: Vec<Box<[u64]>>,
}

impl Data {
    fn is_log(&self) -> bool {
        self.path.to_string_lossy().ends_with(LOG)
    }
}

/// What is left of the moment in which the power went.
struct Dead {
    /// The files that the product wrote by itself.
    beside: BTreeMap<PathBuf, Vec<u8>>,
    /// Files that were there.
    files: Vec<Key>,
}

/// A disk.
pub(super) struct State {
    folder: PathBuf,
    files: BTreeMap<Key, Data>,
    draw: Draw,
    pub(super) counts: Counts,
    pub(super) cut_before: Option<u64>,
    dead: Option<io::Result<Dead>>,
    opened: u64,
    pub(super) lies: bool,
    pub(super) full: Full,
}

/// Whether a file is one of the journal.
pub(super) fn is_ours(path: &Path) -> bool {
    path.file_name().and_then(|n| n.to_str()).is_some_and(|name| name.starts_with("journal.db"))
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

fn write_into(bytes: &mut Vec<u8>, offset: u64, piece: &[u8]) {
    let (from, to) = (at(offset), at(offset) + piece.len());
    if bytes.len() < to {
        bytes.resize(to, 0);
    }
    bytes[from..to].copy_from_slice(piece);
}

impl State {
    pub(super) fn new(folder: PathBuf, draw: Draw) -> Self {
        Self {
            folder,
            files: BTreeMap::new(),
            draw,
            counts: Counts::default(),
            cut_before: None,
            dead: None,
            opened: 0,
            lies: false,
            full: Full::No,
        }
    }

    /// Opens a file; gives its key, and the number of who has opened it.
    pub(super) fn open(&mut self, path: &Path, create: bool) -> io::Result<(Key, u64)> {
        let real = OpenOptions::new().read(true).write(true).create(create).mode(0o600).open(path)?;
        let key = real.metadata()?.ino();
        if let Entry::Vacant(free) = self.files.entry(key) {
            let mut seen = vec![0; at(real.metadata()?.len())];
            real.read_exact_at(&mut seen, 0)?;
            let (since, locks, shared) = (Vec::new(), Locks::default(), Vec::new());
            let data = Data { path: path.to_path_buf(), real, seen, since, open: 0, locks, shared };
            free.insert(data);
        }
        self.opened += 1;
        if let Some(data) = self.files.get_mut(&key) {
            data.open += 1;
            data.path = path.to_path_buf();
        }
        Ok((key, self.opened))
    }

    pub(super) fn close(&mut self, key: Key, who: u64) {
        let Some(data) = self.files.get_mut(&key) else { return };
        data.locks.forget(who);
        data.open -= 1;
        if data.open == 0 {
            data.shared.clear();
            if data.since.is_empty() && self.dead.is_none() {
                self.files.remove(&key);
            }
        }
    }

    /// Removes a file; who is dead removes none.
    pub(super) fn delete(&mut self, path: &Path) -> io::Result<()> {
        if self.dead.is_some() {
            return Ok(());
        }
        let key = fs::metadata(path)?.ino();
        self.files.remove(&key);
        fs::remove_file(path)
    }

    /// Its size, as the program sees it.
    pub(super) fn size_of(&self, path: &Path) -> Option<u64> {
        let found = fs::metadata(path).ok()?;
        Some(self.files.get(&found.ino()).map_or(found.len(), |data| data.seen.len() as u64))
    }

    pub(super) fn size(&self, key: Key) -> u64 {
        self.files.get(&key).map_or(0, |data| data.seen.len() as u64)
    }

    /// Reads what there is; how many bytes that were.
    pub(super) fn read(&self, key: Key, offset: u64, into: &mut [u8]) -> usize {
        let Some(data) = self.files.get(&key) else { return 0 };
        let there = data.seen.get(at(offset)..).unwrap_or_default();
        let n = there.len().min(into.len());
        into[..n].copy_from_slice(&there[..n]);
        n
    }

    /// Writes; whether there is room for it. Who is dead is told nothing.
    pub(super) fn write(&mut self, key: Key, offset: u64, piece: &[u8]) -> bool {
        let grows = offset + piece.len() as u64 > self.size(key);
        let room = match self.full {
            Full::No | Full::Syncs => true,
            Full::Grows => !grows,
            Full::Writes => false,
        };
        if !room && self.dead.is_none() {
            return false;
        }
        self.counts.writes += u64::from(self.dead.is_none());
        self.change(key, Change::Write(offset, piece.to_vec()));
        true
    }

    pub(super) fn truncate(&mut self, key: Key, size: u64) {
        self.change(key, Change::Size(size));
    }

    /// What is written when the power goes may be there in part.
    fn change(&mut self, key: Key, change: Change) {
        let dead = self.dead.is_some();
        if let Some(data) = self.files.get_mut(&key) {
            match &change {
                Change::Write(offset, piece) => write_into(&mut data.seen, *offset, piece),
                Change::Size(size) => data.seen.resize(at(*size), 0),
            }
            if !dead {
                data.since.push(change);
            }
        }
        self.operation();
    }

    /// Everything that was done to a file is durable.
    pub(super) fn sync(&mut self, key: Key) -> io::Result<()> {
        self.operation();
        if self.dead.is_some() {
            return Ok(());
        }
        if self.full == Full::Syncs {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let Some(data) = self.files.get_mut(&key) else { return Ok(()) };
        let is_log = data.is_log();
        if self.lies && is_log {
            return Ok(());
        }
        for change in std::mem::take(&mut data.since) {
            apply(&data.real, &change)?;
        }
        self.counts.syncs += 1;
        self.counts.commits += u64::from(is_log);
        Ok(())
    }

    fn operation(&mut self) {
        if let Some(left) = &mut self.cut_before {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.cut();
            }
        }
    }

    pub(super) fn cut(&mut self) {
        self.cut_before = None;
        if self.dead.is_some() {
            return;
        }
        self.counts.cuts += 1;
        self.counts.cuts_in_between += u64::from(self.is_unsynced());
        let mut beside = BTreeMap::new();
        let files = self.files.keys().copied().collect();
        self.dead = Some(read_beside(&self.folder, &mut beside).map(|()| Dead { beside, files }));
    }

    pub(super) fn is_unsynced(&self) -> bool {
        self.files.values().any(|data| !data.since.is_empty())
    }

    pub(super) fn log_is_unsynced(&self) -> bool {
        self.files.values().any(|data| data.is_log() && !data.since.is_empty())
    }

    pub(super) fn is_cut(&self) -> io::Result<bool> {
        match &self.dead {
            None => Ok(false),
            Some(Ok(_)) => Ok(true),
            Some(Err(e)) => Err(io::Error::new(e.kind(), format!("the files beside the journal: {e}"))),
        }
    }

    pub(super) fn power_on(&mut self) -> io::Result<()> {
        let Some(dead) = self.dead.take() else { return Ok(()) };
        let dead = dead?;
        if let Some(data) = self.files.values().find(|data| data.open > 0) {
            return Err(io::Error::other(format!("{} is still open", data.path.display())));
        }
        // By name: the keys are others in each run.
        let mut files: Vec<(Key, Data)> = std::mem::take(&mut self.files).into_iter().collect();
        files.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
        let how = self.draw.below(5);
        for (key, data) in files {
            if !dead.files.contains(&key) {
                fs::remove_file(&data.path)?;
                continue;
            }
            for change in what_is_left(&mut self.draw, how, data.since) {
                apply(&data.real, &change)?;
            }
        }
        put_back(&self.folder, &dead.beside)
    }

    pub(super) fn locks(&mut self, key: Key) -> Option<&mut Locks> {
        self.files.get_mut(&key).map(|data| &mut data.locks)
    }

    /// A piece of the memory that all connections to a file share. It stays where it is until the last one closes.
    pub(super) fn shared(&mut self, key: Key, piece: usize, bytes: usize, make: bool) -> Option<*mut u64> {
        let shared = &mut self.files.get_mut(&key)?.shared;
        while make && shared.len() <= piece {
            shared.push(vec![0; bytes.div_ceil(8)].into_boxed_slice());
        }
        shared.get_mut(piece).map(|piece| piece.as_mut_ptr())
    }
}

/// Writes into the journal of a folder, so that it cannot be read; whether there is one.
pub(super) fn harm(folder: &Path, draw: &mut Draw) -> io::Result<bool> {
    let path = folder.join("journal.db");
    let Ok(real) = OpenOptions::new().write(true).open(&path) else { return Ok(false) };
    let mut bytes = [0; SECTOR];
    draw.fill(&mut bytes);
    real.write_all_at(&bytes, 0)?;
    // What the log holds would mend it.
    let removed = fs::remove_file(folder.join(format!("journal.db{LOG}")));
    if removed.as_ref().is_err_and(|e| e.kind() != io::ErrorKind::NotFound) {
        removed?;
    }
    Ok(true)
}

fn apply(real: &File, change: &Change) -> io::Result<()> {
    match change {
        Change::Write(offset, piece) => real.write_all_at(piece, *offset),
        Change::Size(size) => real.set_len(*size),
    }
}

/// What a cut leaves of what was not synced.
fn what_is_left(draw: &mut Draw, how: u64, since: Vec<Change>) -> Vec<Change> {
    match how {
        0 => Vec::new(),
        1 => since,
        2 => {
            let first = draw.below(since.len() as u64 + 1);
            since.into_iter().take(at(first)).collect()
        }
        3 => since.into_iter().filter(|_| draw.per_mille(500)).collect(),
        _ => since.into_iter().flat_map(|change| torn(draw, change)).collect(),
    }
}

fn torn(draw: &mut Draw, change: Change) -> Vec<Change> {
    match change {
        Change::Size(_) => {
            if draw.per_mille(500) {
                vec![change]
            } else {
                Vec::new()
            }
        }
        Change::Write(offset, piece) => {
            let mut left = Vec::new();
            let mut from = 0;
            while from < piece.len() {
                let here = offset + from as u64;
                let to = piece.len().min(from + SECTOR - at(here % SECTOR as u64));
                if draw.per_mille(500) {
                    left.push(Change::Write(here, piece[from..to].to_vec()));
                }
                from = to;
            }
            left
        }
    }
}

fn each_beside(folder: &Path, take: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            each_beside(&path, take)?;
        } else if !is_ours(&path) {
            take(&path)?;
        }
    }
    Ok(())
}

fn read_beside(folder: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    each_beside(folder, &mut |path| {
        into.insert(path.to_path_buf(), fs::read(path)?);
        Ok(())
    })
}

fn put_back(folder: &Path, was: &BTreeMap<PathBuf, Vec<u8>>) -> io::Result<()> {
    each_beside(folder, &mut |path| if was.contains_key(path) { Ok(()) } else { fs::remove_file(path) })?;
    for (path, bytes) in was {
        if !fs::read(path).is_ok_and(|now| now == *bytes) {
            fs::write(path, bytes)?;
        }
    }
    Ok(())
}
