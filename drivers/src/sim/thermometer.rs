//! A GY-MCU90614: streams frames while it is asked to.

use super::{Pty, listen};
use crate::gy_mcu90614::frame;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

/// The module.
pub struct ThermometerSim {
    pty: Pty,
    mdeg: Arc<AtomicI32>,
    alive: Arc<AtomicBool>,
}

impl ThermometerSim {
    /// On a line of its own; frames come every `period` while streaming.
    pub fn new(link: &Path, mdeg: i32, period: Duration) -> io::Result<Self> {
        let pty = Pty::new(link)?;
        let mdeg = Arc::new(AtomicI32::new(mdeg));
        let streaming = Arc::new(AtomicBool::new(false));
        let alive = Arc::new(AtomicBool::new(true));
        let mut answer = pty.handle()?;
        let (now, switch) = (mdeg.clone(), streaming.clone());
        let mut tail: Vec<u8> = Vec::new();
        listen(&pty, move |bytes| {
            tail.extend_from_slice(bytes);
            while tail.len() >= 3 {
                match tail[..3] {
                    [0xa5, 0x45, 0xea] => switch.store(true, Ordering::Release),
                    [0xa5, 0x15, 0xba] => {
                        switch.store(false, Ordering::Release);
                        drop(answer.write_all(&frame(now.load(Ordering::Acquire), 21_500)));
                    }
                    _ => {
                        tail.remove(0);
                        continue;
                    }
                }
                tail.drain(..3);
            }
        })?;
        let (mut out, now, on, go) = (pty.handle()?, mdeg.clone(), streaming, alive.clone());
        std::thread::spawn(move || {
            let mut wave = 0;
            while go.load(Ordering::Acquire) {
                if on.load(Ordering::Acquire) {
                    wave = (wave + 1) % 5;
                    if out.write_all(&frame(now.load(Ordering::Acquire) + wave * 10, 21_500)).is_err() {
                        return;
                    }
                }
                std::thread::sleep(period);
            }
        });
        Ok(Self { pty, mdeg, alive })
    }
    /// The path that the daemon opens.
    pub fn path(&self) -> &Path {
        self.pty.path()
    }
    /// What stands in front of it.
    pub fn set(&self, mdeg: i32) {
        self.mdeg.store(mdeg, Ordering::Release);
    }
}

impl Drop for ThermometerSim {
    fn drop(&mut self) {
        self.alive.store(false, Ordering::Release);
    }
}
