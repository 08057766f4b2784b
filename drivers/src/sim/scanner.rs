//! A scanner in line mode.

use super::{Pty, Seeded};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// What goes wrong on the line, each once in so many codes; 0 means never.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// The code arrives byte by byte.
    pub split: u64,
    /// Noise comes before it.
    pub noise: u64,
    /// It breaks off in the middle.
    pub cut: u64,
    /// It comes twice.
    pub twice: u64,
}

/// The scanner.
pub struct ScannerSim {
    pty: Pty,
    out: File,
    faults: Faults,
    random: Seeded,
}

impl ScannerSim {
    /// On a line of its own.
    pub fn new(link: &Path, faults: Faults, seed: u64) -> io::Result<Self> {
        let pty = Pty::new(link)?;
        let out = pty.handle()?;
        Ok(Self { pty, out, faults, random: Seeded::new(seed) })
    }
    /// The path that the daemon opens.
    pub fn path(&self) -> &Path {
        self.pty.path()
    }
    /// Reads a code.
    pub fn scan(&mut self, text: &str) -> io::Result<()> {
        let line = format!("{text}\r");
        let bytes = line.as_bytes();
        if self.random.once_in(self.faults.noise) {
            let noise: Vec<u8> =
                (0..self.random.below(30)).map(|_| (self.random.draw() & 0xff) as u8).collect();
            self.out.write_all(&noise)?;
            self.out.write_all(b"\r")?;
        }
        if self.random.once_in(self.faults.cut) {
            let end = usize::try_from(self.random.below(bytes.len() as u64)).unwrap_or(0);
            return self.out.write_all(&bytes[..end]);
        }
        for _ in 0..if self.random.once_in(self.faults.twice) { 2 } else { 1 } {
            if self.random.once_in(self.faults.split) {
                for byte in bytes {
                    self.out.write_all(&[*byte])?;
                }
            } else {
                self.out.write_all(bytes)?;
            }
        }
        Ok(())
    }
    /// Sends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }
}
