//! Simulated devices: the true bytes, spoken from the other side of a pty.
//!
//! Used by the demo and by whole-product tests. Faults are drawn from a seed.

pub mod engine;
pub mod printer;
pub mod relay;
pub mod scale;
pub mod scanner;
pub mod thermometer;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How soon a device that was taken away is gone.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// One end of a serial line whose other end is a path.
pub struct Pty {
    master: File,
    /// Kept open so that the line exists while nobody listens.
    _slave: OwnedFd,
    link: PathBuf,
    /// Taken away, it tells whoever listens to let go of the line, which hangs up only then.
    plugged: Arc<AtomicBool>,
}

impl Pty {
    /// Makes a line and a symbolic link to its device, replacing an earlier link.
    pub fn new(link: &Path) -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let slave = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        let mut settings = tcgetattr(&slave)?;
        settings.make_raw();
        tcsetattr(&slave, OptionalActions::Now, &settings)?;
        let target = PathBuf::from(name.to_string_lossy().into_owned());
        let fresh = link.with_extension("new");
        std::os::unix::fs::symlink(&target, &fresh)?;
        std::fs::rename(&fresh, link)?;
        Ok(Self {
            master: File::from(master),
            _slave: slave,
            link: link.to_path_buf(),
            plugged: Arc::new(AtomicBool::new(true)),
        })
    }
    /// The path that the daemon opens.
    pub fn path(&self) -> &Path {
        &self.link
    }
    /// A handle to write or read from another thread.
    pub fn handle(&self) -> io::Result<File> {
        self.master.try_clone()
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        self.plugged.store(false, Ordering::Release);
        // The link may already lead to a newer line.
        drop(std::fs::remove_file(&self.link));
    }
}

/// Feeds what the daemon writes, and the speed that it gave the line, to `on` until the line is torn down.
fn listen_at(pty: &Pty, mut on: impl FnMut(u32, &[u8]) + Send + 'static) -> io::Result<()> {
    let (mut master, plugged) = (pty.handle()?, pty.plugged.clone());
    std::thread::spawn(move || {
        let mut chunk = [0; 256];
        while plugged.load(Ordering::Acquire) {
            let mut ready = [PollFd::new(&master, PollFlags::IN)];
            if poll(&mut ready, Some(&LOOK)).is_ok_and(|n| n == 0) {
                continue;
            }
            let Ok(n @ 1..) = master.read(&mut chunk) else { return };
            // The settings of both ends are those of the other one.
            let speed = tcgetattr(&master).map_or(0, |settings| settings.output_speed());
            on(speed, &chunk[..n]);
        }
    });
    Ok(())
}

/// The same for a device that hears at every speed.
fn listen(pty: &Pty, mut on: impl FnMut(&[u8]) + Send + 'static) -> io::Result<()> {
    listen_at(pty, move |_, bytes| on(bytes))
}

/// A small generator of repeatable random numbers (SplitMix64, Steele et al. 2014).
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    /// From a seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.draw() % n }
    }
    /// True once in `n` times.
    pub fn once_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }
}
