//! A slip printer that speaks ESC/POS: online, with paper, and as fast as it is asked.

use super::{Pty, listen};
use crate::escpos::{ASK_ONLINE, ASK_PAPER};
use std::io::{self, Write};
use std::path::Path;

/// Online and with paper: bits 1 and 4 are always set.
const GOOD: u8 = 0b0001_0010;

/// The printer.
pub struct PrinterSim {
    pty: Pty,
}

impl PrinterSim {
    /// On a line of its own. What is printed nobody reads.
    pub fn new(link: &Path) -> io::Result<Self> {
        let pty = Pty::new(link)?;
        let mut out = pty.handle()?;
        let mut last = [0; 2];
        listen(&pty, move |bytes| {
            for &byte in bytes {
                let asked = [last[0], last[1], byte];
                if asked == ASK_ONLINE || asked == ASK_PAPER {
                    drop(out.write_all(&[GOOD]));
                }
                last = [last[1], byte];
            }
        })?;
        Ok(Self { pty })
    }
    /// The path that the daemon opens.
    pub fn path(&self) -> &Path {
        self.pty.path()
    }
}
