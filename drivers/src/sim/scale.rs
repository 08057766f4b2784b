//! A scale that sends a line for each weighing: unsteady once when something is put on it, then steady.

use super::Pty;
use crate::scale::line;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

/// The scale.
pub struct ScaleSim {
    pty: Pty,
    grams: Arc<AtomicI64>,
    alive: Arc<AtomicBool>,
}

impl ScaleSim {
    /// On a line of its own; a weighing comes every `period`.
    pub fn new(link: &Path, grams: i64, period: Duration) -> io::Result<Self> {
        let pty = Pty::new(link)?;
        let (grams, alive) = (Arc::new(AtomicI64::new(grams)), Arc::new(AtomicBool::new(true)));
        let (mut out, load, go) = (pty.handle()?, grams.clone(), alive.clone());
        std::thread::spawn(move || {
            let mut before = None;
            while go.load(Ordering::Acquire) {
                let now = load.load(Ordering::Acquire);
                let steady = before.replace(now) == Some(now);
                if out.write_all(&line(steady, now)).is_err() {
                    return;
                }
                std::thread::sleep(period);
            }
        });
        Ok(Self { pty, grams, alive })
    }
    /// The path that the daemon opens.
    pub fn path(&self) -> &Path {
        self.pty.path()
    }
    /// What lies on it.
    pub fn set(&self, grams: i64) {
        self.grams.store(grams, Ordering::Release);
    }
}

impl Drop for ScaleSim {
    fn drop(&mut self) {
        self.alive.store(false, Ordering::Release);
    }
}
