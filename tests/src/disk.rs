//! The disk of a virtual machine, with a cache that forgets: what the machine wrote and did not flush is
//! in doubt when its power goes, each sector for itself and in no order, as with a real disk. QEMU reaches
//! it by NBD: the newstyle handshake and simple replies of the NBD project's `doc/proto.md`, of which only
//! what QEMU needs is answered. One machine at a time. Absent: of a sector that was written twice without a
//! flush, the first of the two is never what is left.

use crate::figures::Missing;
use kakou_drivers::sim::Seeded;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;
/// A longer request ends the connection: QEMU's have at most 32 MiB.
const LONGEST: usize = 64 << 20;

/// Of the handshake: fixed newstyle, no padding.
const HANDSHAKE: u16 = 0b11;
/// Of the export: it has flags, it takes flushes, and writes that go to the medium at once.
const EXPORT: u16 = 0b1101;
const REPLY: u64 = 0x0003_e889_0455_65a9;
const REQUEST: u32 = 0x2560_9513;
const ANSWER: u32 = 0x6744_6698;
const INVALID: u32 = 22;

/// A disk of its own for one run: what is written to it does not count for the next one.
pub struct Disk {
    /// The medium: what lies here has survived.
    pub medium: PathBuf,
    socket: PathBuf,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// A write was counted, or the disk is let go.
    turned: Condvar,
}

struct State {
    medium: File,
    size: u64,
    cache: BTreeMap<u64, [u8; SECTOR]>,
    machines: usize,
    writes: u64,
    /// After so many writes the disk stands still until it is let go.
    hold_at: Option<u64>,
    /// The power is gone: what was asked before and not done yet is not done.
    off: bool,
}

impl Disk {
    /// A copy of an image's disk, in a folder.
    pub fn copy(image: &Path, folder: &Path) -> Result<Self, Missing> {
        let medium = folder.join("disk.img");
        duplicate(&image.join("disk.img"), &medium)?;
        Self::of(medium, folder.join("disk.sock"))
    }

    fn of(medium: PathBuf, socket: PathBuf) -> Result<Self, Missing> {
        let file = File::options().read(true).write(true).open(&medium)?;
        let size = file.metadata()?.len();
        let state = State {
            medium: file,
            size,
            cache: BTreeMap::new(),
            machines: 0,
            writes: 0,
            hold_at: None,
            off: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), turned: Condvar::new() });
        let disk = Self { medium, socket, shared };
        let (listener, shared) = (UnixListener::bind(&disk.socket)?, disk.shared.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                shared.lock().machines += 1;
                // An end in the middle is a machine that was switched off.
                drop(serve(&stream, &shared));
                shared.lock().machines -= 1;
            }
        });
        Ok(disk)
    }

    /// The words for QEMU's `-drive`.
    pub fn drive(&self) -> String {
        format!(
            "file.driver=nbd,file.server.type=unix,file.server.path={},if=virtio,format=raw,cache=none",
            self.socket.display()
        )
    }

    /// Waits for so many writes and holds the disk right behind the last of them, or when the time is over:
    /// between two writes one moment is like the other.
    pub fn hold(&self, writes: u64, limit: Duration) {
        let mut state = self.shared.lock();
        let at = state.writes + writes;
        state.hold_at = Some(at);
        let wait = self.shared.turned.wait_timeout_while(state, limit, |state| state.writes < at);
        wait.unwrap_or_else(PoisonError::into_inner).0.hold_at = Some(0);
    }

    /// Lets it go on.
    pub fn release(&self) {
        self.shared.lock().hold_at = None;
        self.shared.turned.notify_all();
    }

    /// The machine was switched off: of what was not flushed each sector is kept or lost. Gives how many
    /// were kept and lost.
    pub fn cut(&self, random: &mut Seeded) -> Result<(u64, u64), Missing> {
        self.shared.lock().off = true;
        self.release();
        let gone = || (self.shared.lock().machines == 0).then_some(());
        crate::wait::try_until(Duration::from_secs(10), gone)
            .ok_or_else(|| Missing("the disk is still held by a machine".into()))?;
        let mut state = self.shared.lock();
        state.off = false;
        let cache = std::mem::take(&mut state.cache);
        Ok(settle(&cache, &state.medium, random)?)
    }

    /// What would be left if the power went now, as a file of its own. The machine runs on; its disk stands
    /// still for as long as the copy takes.
    pub fn moment(&self, to: &Path, random: &mut Seeded) -> Result<(u64, u64), Missing> {
        let state = self.shared.lock();
        duplicate(&self.medium, to)?;
        Ok(settle(&state.cache, &File::options().write(true).open(to)?, random)?)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a write; stands still where the disk is held.
    fn wrote<'a>(&self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        state.writes += 1;
        self.turned.notify_all();
        let held = |state: &mut State| state.hold_at.is_some_and(|at| state.writes >= at);
        self.turned.wait_while(state, held).unwrap_or_else(PoisonError::into_inner)
    }
}

fn duplicate(from: &Path, to: &Path) -> Result<(), Missing> {
    let copied = Command::new("cp").arg("--sparse=always").arg(from).arg(to).status()?;
    if copied.success() { Ok(()) } else { Err(Missing(format!("{} cannot be copied", from.display()))) }
}

/// Of what was in the cache each sector reaches the medium or not; how many did, and did not.
fn settle(cache: &BTreeMap<u64, [u8; SECTOR]>, medium: &File, random: &mut Seeded) -> io::Result<(u64, u64)> {
    // Sometimes all was written, sometimes nothing.
    let of_8 = random.below(9);
    let mut kept = 0;
    for (sector, data) in cache {
        if random.below(8) < of_8 {
            medium.write_all_at(data, sector * SECTOR as u64)?;
            kept += 1;
        }
    }
    Ok((kept, cache.len() as u64 - kept))
}

impl State {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.medium.read_exact_at(out, offset)?;
        let end = offset + out.len() as u64;
        for (sector, data) in self.cache.range(offset / SECTOR as u64..end.div_ceil(SECTOR as u64)) {
            let at = sector * SECTOR as u64;
            let (from, to) = (at.max(offset), (at + SECTOR as u64).min(end));
            let (there, here) = (index(from - offset)..index(to - offset), index(from - at)..index(to - at));
            out[there].copy_from_slice(&data[here]);
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        for (sector, data) in (offset / SECTOR as u64..).zip(data.as_chunks().0) {
            self.cache.insert(sector, *data);
        }
    }

    /// Everything that was written so far reaches the medium.
    fn flush(&mut self) -> io::Result<()> {
        for (sector, data) in std::mem::take(&mut self.cache) {
            self.medium.write_all_at(&data, sector * SECTOR as u64)?;
        }
        Ok(())
    }
}

fn index(n: u64) -> usize {
    usize::try_from(n).expect("a request has at most LONGEST bytes")
}

/// Numbers as NBD sends them.
trait Numbers: Read {
    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read_exact(&mut bytes)?;
        Ok(bytes)
    }
    fn u16(&mut self) -> io::Result<u16> {
        self.bytes().map(u16::from_be_bytes)
    }
    fn u32(&mut self) -> io::Result<u32> {
        self.bytes().map(u32::from_be_bytes)
    }
    fn u64(&mut self) -> io::Result<u64> {
        self.bytes().map(u64::from_be_bytes)
    }
    fn data(&mut self) -> io::Result<(usize, Vec<u8>)> {
        let length = self.length()?;
        let mut data = vec![0; length];
        self.read_exact(&mut data)?;
        Ok((length, data))
    }
    fn length(&mut self) -> io::Result<usize> {
        let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
        if length > LONGEST { Err(io::ErrorKind::InvalidData.into()) } else { Ok(length) }
    }
}

impl<R: Read> Numbers for R {}

/// Answers one machine until it is gone.
fn serve(stream: &UnixStream, shared: &Shared) -> io::Result<()> {
    let (mut input, mut out) = (BufReader::new(stream), stream);
    let size = shared.lock().size;
    out.write_all(&[&b"NBDMAGICIHAVEOPT"[..], &HANDSHAKE.to_be_bytes()].concat())?;
    input.u32()?;
    loop {
        input.u64()?;
        let option = input.u32()?;
        input.data()?;
        let mut reply = |kind: u32, data: &[u8]| {
            let length = u32::try_from(data.len()).unwrap_or(0);
            let head =
                [&REPLY.to_be_bytes()[..], &option.to_be_bytes(), &kind.to_be_bytes(), &length.to_be_bytes()];
            out.write_all(&[&head.concat(), data].concat())
        };
        match option {
            // Abort.
            2 => return reply(1, &[]),
            // Go: the export's size and what it can.
            7 => {
                reply(3, &[&0_u16.to_be_bytes()[..], &size.to_be_bytes(), &EXPORT.to_be_bytes()].concat())?;
                reply(1, &[])?;
                break;
            }
            _ => reply(0x8000_0001, &[])?,
        }
    }
    loop {
        if input.u32()? != REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (flags, kind, handle, offset) = (input.u16()?, input.u16()?, input.u64()?, input.u64()?);
        let (length, data) = if kind == 1 { input.data()? } else { (input.length()?, Vec::new()) };
        let mut answer = |error: u32, data: &[u8]| {
            let head = [&ANSWER.to_be_bytes()[..], &error.to_be_bytes(), &handle.to_be_bytes()];
            out.write_all(&[&head.concat(), data].concat())
        };
        let mut state = shared.lock();
        if state.off {
            return Ok(());
        }
        let inside = offset.checked_add(length as u64).is_some_and(|end| end <= state.size);
        let whole = offset.is_multiple_of(SECTOR as u64) && length.is_multiple_of(SECTOR);
        match kind {
            0 if inside => {
                let mut data = vec![0; length];
                state.read(offset, &mut data)?;
                drop(state);
                answer(0, &data)?;
            }
            1 if inside && whole => {
                state.write(offset, &data);
                state = shared.wrote(state);
                if flags & 1 == 1 && !state.off {
                    state.flush()?;
                }
                drop(state);
                answer(0, &[])?;
            }
            2 => return Ok(()),
            3 => {
                state.flush()?;
                drop(state);
                answer(0, &[])?;
            }
            _ => answer(INVALID, &[])?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(folder: &Path) -> State {
        let path = folder.join("medium");
        std::fs::write(&path, [0; 8 * SECTOR]).unwrap();
        let medium = File::options().read(true).write(true).open(path).unwrap();
        State {
            medium,
            size: 8 * SECTOR as u64,
            cache: BTreeMap::new(),
            machines: 0,
            writes: 0,
            hold_at: None,
            off: false,
        }
    }

    #[test]
    fn what_was_written_is_read_and_only_a_flush_brings_it_to_the_medium() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = state(folder.path());
        state.write(SECTOR as u64, &[7; 2 * SECTOR]);
        let mut seen = [1; 2 * SECTOR];
        state.read(SECTOR as u64 / 2, &mut seen).unwrap();
        assert_eq!((seen[SECTOR / 2 - 1], seen[SECTOR / 2], seen[2 * SECTOR - 1]), (0, 7, 7));
        let on_medium =
            || std::fs::read(folder.path().join("medium")).unwrap().iter().filter(|b| **b == 7).count();
        assert_eq!(on_medium(), 0);
        state.flush().unwrap();
        assert_eq!((on_medium(), state.cache.len()), (2 * SECTOR, 0));
    }

    #[test]
    fn a_cut_keeps_what_was_flushed_and_decides_the_rest_sector_by_sector() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("medium"), [0; 8 * SECTOR]).unwrap();
        let disk = Disk::of(folder.path().join("medium"), folder.path().join("socket")).unwrap();
        let (mut kept, mut lost, mut random) = (0, 0, Seeded::new(1));
        for _ in 0..50 {
            disk.shared.lock().write(0, &[1; SECTOR]);
            disk.shared.lock().flush().unwrap();
            disk.shared.lock().write(SECTOR as u64, &[2; 7 * SECTOR]);
            let (k, l) = disk.cut(&mut random).unwrap();
            (kept, lost) = (kept + k, lost + l);
            assert_eq!(k + l, 7);
            assert_eq!(std::fs::read(&disk.medium).unwrap()[..SECTOR], [1; SECTOR]);
        }
        assert!(kept > 50 && lost > 50, "{kept} kept, {lost} lost");
    }
}
