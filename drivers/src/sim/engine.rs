//! Devices that answer each question by itself: whatever does is told what to answer. A reader and a printer answer at
//! their own speed alone.

use super::{Pty, listen_at};
use crate::{escpos, gm65};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A device that answers.
pub struct AnswerSim {
    pty: Pty,
    out: File,
}

impl AnswerSim {
    /// On a line of its own, at whatever speed. `answer` gets all that was heard and gives how much of it was
    /// understood, and what it answers; nothing understood means that more must come.
    pub fn new(
        link: &Path,
        answer: impl FnMut(&[u8]) -> Option<(usize, Vec<u8>)> + Send + 'static,
    ) -> io::Result<Self> {
        Self::at(link, None, answer)
    }

    /// The same, deaf at every other speed than that of its cell; at every speed without one.
    pub fn at(
        link: &Path,
        speed: Option<Arc<AtomicU32>>,
        mut answer: impl FnMut(&[u8]) -> Option<(usize, Vec<u8>)> + Send + 'static,
    ) -> io::Result<Self> {
        let pty = Pty::new(link)?;
        let (mut back, out) = (pty.handle()?, pty.handle()?);
        let mut heard: Vec<u8> = Vec::new();
        listen_at(&pty, move |at, bytes| {
            if speed.as_ref().is_some_and(|own| own.load(Ordering::Acquire) != at) {
                heard.clear();
                return;
            }
            heard.extend_from_slice(bytes);
            while let Some((used, said)) = answer(&heard) {
                heard.drain(..used);
                drop(back.write_all(&said));
            }
        })?;
        Ok(Self { pty, out })
    }

    /// A GM65 with factory settings, but for its speed.
    pub fn gm65(link: &Path, baud: u32) -> io::Result<Self> {
        let mut zones = std::collections::BTreeMap::from([([0, 0], 0xd4_u8), ([0, 3], 0x03)]);
        let speed = Arc::new(AtomicU32::new(baud));
        let own = speed.clone();
        Self::at(link, Some(speed), move |heard| {
            let start = heard.windows(2).position(|w| w == [0x7e, 0x00])?;
            let whole = 8 + usize::from(*heard.get(start + 3)?);
            let command = heard.get(start..start + whole)?;
            let (kind, zone, data) = (command[2], [command[4], command[5]], command[6]);
            if let Some(baud) =
                gm65::SPEEDS.into_iter().find(|b| gm65::set_speed(*b).as_deref() == Some(command))
            {
                own.store(baud, Ordering::Release);
            }
            let value = match kind {
                0x07 => zones.get(&zone).copied().unwrap_or(0),
                _ => {
                    zones.insert(zone, data);
                    0
                }
            };
            Some((start + whole, gm65::answer(value)))
        })
    }

    /// A receipt printer with paper; `on_bytes` sees what is printed.
    pub fn printer(
        link: &Path,
        baud: u32,
        mut on_bytes: impl FnMut(&[u8]) + Send + 'static,
    ) -> io::Result<Self> {
        Self::at(link, Some(Arc::new(AtomicU32::new(baud))), move |heard| {
            if heard.is_empty() {
                return None;
            }
            match heard.windows(2).position(|w| *w == escpos::ASK_ONLINE[..2]) {
                Some(at) if heard.len() > at + 2 => {
                    on_bytes(&heard[..at]);
                    Some((at + 3, vec![0x12]))
                }
                Some(0) => None,
                Some(at) => {
                    on_bytes(&heard[..at]);
                    Some((at, Vec::new()))
                }
                None if heard.len() > 64 * 1024 => Some((heard.len(), Vec::new())),
                None => None,
            }
        })
    }

    /// The path that the daemon opens.
    pub fn path(&self) -> &Path {
        self.pty.path()
    }
    /// Sends bytes by itself, as a scanner sends a code.
    pub fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }
}
