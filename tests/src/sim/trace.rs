//! What happened, a line for each step, and the hash of it all.

use kakou_core::evidence::Hash;
use std::collections::VecDeque;

/// Lines that a failure shows.
const LAST: usize = 60;

/// The trace of a run.
pub struct Trace {
    hash: Hash,
    lines: u64,
    last: VecDeque<String>,
    print: bool,
}

impl Trace {
    /// An empty one; each line is printed as well, if it is to be read.
    pub fn new(print: bool) -> Self {
        Self { hash: Hash::default(), lines: 0, last: VecDeque::new(), print }
    }

    /// Adds a line at a moment, milliseconds since the run began.
    pub fn line(&mut self, at: u64, text: &str) {
        let (seconds, ms) = (at / 1_000, at % 1_000);
        let line = format!("{:4}:{:02}.{ms:03} {text}", seconds / 60, seconds % 60);
        self.lines += 1;
        self.hash = self.hash.link(self.lines, &Hash::of(line.as_bytes()));
        if self.print {
            println!("{line}");
        }
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// The hash of all lines.
    pub fn hash(&self) -> String {
        self.hash.hex()
    }

    /// How many lines there are.
    pub const fn lines(&self) -> u64 {
        self.lines
    }

    /// The last of them.
    pub fn last(&self) -> String {
        self.last.iter().map(|line| format!("{line}\n")).collect()
    }
}
