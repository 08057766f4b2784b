//! Everything that goes over a port, in a file that people can read: for a device that behaves strangely, and to
//! play it to a driver again.
//!
//! A line is the milliseconds since the port was opened, `<` for what the device sent or `>` for what it was sent,
//! and the bytes in hexadecimal. What is recorded can hold people's codes: recording is off unless it is asked
//! for, the file is for its owner alone, and it ends at [`MAX_BYTES`].

use crate::codec::Ms;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A recording ends here.
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Which way bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the device.
    In,
    /// To it.
    Out,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Since the port was opened.
    pub at: Ms,
    /// Which way.
    pub way: Direction,
    /// What.
    pub bytes: Vec<u8>,
}

/// Writes a recording.
#[derive(Debug)]
pub struct Recorder {
    file: File,
    room: u64,
}

impl Recorder {
    /// Appends to a file.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        let room = MAX_BYTES.saturating_sub(file.metadata()?.len());
        Ok(Self { file, room })
    }
    /// Writes a line, while there is room.
    pub fn keep(&mut self, at: Ms, way: Direction, bytes: &[u8]) {
        let mut line = format!("{at} {} ", if way == Direction::In { '<' } else { '>' });
        for b in bytes {
            write!(line, "{b:02x}").expect("a string takes everything");
        }
        line.push('\n');
        if self.room >= line.len() as u64 && self.file.write_all(line.as_bytes()).is_ok() {
            self.room -= line.len() as u64;
        } else {
            self.room = 0;
        }
    }
}

/// Reads a recording; an error names the line.
pub fn read(text: &str) -> Result<Vec<Entry>, String> {
    let entry = |line: &str| -> Option<Entry> {
        let mut words = line.split_whitespace();
        let at = words.next()?.parse().ok()?;
        let way = match words.next()? {
            "<" => Direction::In,
            ">" => Direction::Out,
            _ => return None,
        };
        let hex = words.next()?;
        let bytes: Option<Vec<u8>> =
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(hex.get(i..i + 2)?, 16).ok()).collect();
        words.next().is_none().then_some(())?;
        Some(Entry { at, way, bytes: bytes? })
    };
    let lines = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
    lines.map(|(n, l)| entry(l).ok_or_else(|| format!("line {}: not a recording: {l}", n + 1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_read_as_it_was_written() {
        let path = std::env::temp_dir().join(format!("kakou-record-{}", std::process::id()));
        drop(std::fs::remove_file(&path));
        let mut r = Recorder::open(&path).unwrap();
        r.keep(5, Direction::Out, &[0x7e, 0]);
        r.keep(17, Direction::In, b"KP1");
        let entries = read(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let expected = [
            Entry { at: 5, way: Direction::Out, bytes: vec![0x7e, 0] },
            Entry { at: 17, way: Direction::In, bytes: b"KP1".to_vec() },
        ];
        assert_eq!(entries, expected);
        for bad in ["x < 00", "1 ? 00", "1 < 0g", "1 < 0", "1 < 00 11"] {
            assert!(read(bad).unwrap_err().starts_with("line 1"), "{bad}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
