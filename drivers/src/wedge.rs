//! Readers that type like a keyboard: they are taken away from the console and read as what they are.
//!
//! The device is grabbed, so that no code reaches a login prompt. Keys become characters by the layout of a US
//! keyboard, which readers are set to; Enter or a pause ends a code. When the kernel says that it dropped
//! events, the code is dropped as well. Source: `linux/input-event-codes.h`.

use crate::Errand;
use crate::blocking::{Blocking, Hands, Trouble};
use crate::codec::{Codec, Ms, Out};
use crate::line_scanner::{IDLE_GAP_MS, LineScanner, Terminator};
use evdev::raw_stream::RawDevice;
use evdev::{EventSummary, KeyCode, SynchronizationCode};
use kakou_core::reading::{Report, Ticket};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the reader is looked at: the kernel keeps 64 events, six characters of a fast reader.
const LOOK: Duration = Duration::from_millis(2);
/// Batches of events in one look, at most.
const MAX_BATCHES: usize = 64;

/// Characters of the rows of a US keyboard, without and with shift, from the key code of the first.
const ROWS: [(u16, &str, &str); 5] = [
    (KeyCode::KEY_1.0, "1234567890-=", "!@#$%^&*()_+"),
    (KeyCode::KEY_Q.0, "qwertyuiop[]", "QWERTYUIOP{}"),
    (KeyCode::KEY_A.0, "asdfghjkl;'`", "ASDFGHJKL:\"~"),
    (KeyCode::KEY_BACKSLASH.0, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    (KeyCode::KEY_SPACE.0, " ", " "),
];

/// What keys become.
#[derive(Debug, Default)]
pub struct Typed {
    shift: bool,
}

impl Typed {
    /// A key that went down (1), up (0) or repeats (2).
    pub fn key(&mut self, code: KeyCode, value: i32) -> Option<u8> {
        if matches!(code, KeyCode::KEY_LEFTSHIFT | KeyCode::KEY_RIGHTSHIFT) {
            self.shift = value != 0;
            return None;
        }
        if value != 1 {
            return None;
        }
        if matches!(code, KeyCode::KEY_ENTER | KeyCode::KEY_KPENTER) {
            return Some(b'\r');
        }
        if code == KeyCode::KEY_TAB {
            return Some(b'\t');
        }
        ROWS.iter().find_map(|(first, plain, shifted)| {
            let row = if self.shift { shifted } else { plain };
            row.as_bytes().get(usize::from(code.0.checked_sub(*first)?)).copied()
        })
    }
}

/// The reader.
pub struct Wedge {
    path: PathBuf,
    device: Option<RawDevice>,
    typed: Typed,
    text: LineScanner,
    begun: Instant,
    dropped: bool,
    /// When the latest key came.
    key_at: Ms,
}

impl Wedge {
    /// At `/dev/input/eventN` or a link to it.
    pub fn new(path: &Path, terminator: Terminator) -> Self {
        Self {
            path: path.to_path_buf(),
            device: None,
            typed: Typed::default(),
            text: LineScanner::new(terminator),
            begun: Instant::now(),
            dropped: false,
            key_at: 0,
        }
    }

    fn now(&self) -> Ms {
        Ms::try_from(self.begun.elapsed().as_millis()).unwrap_or(Ms::MAX)
    }
}

impl Blocking for Wedge {
    fn open(&mut self) -> Result<String, Trouble> {
        let shown = self.path.display();
        let mut device = RawDevice::open(&self.path).map_err(|e| Trouble::Absent(format!("{shown}: {e}")))?;
        device.grab().map_err(|e| Trouble::Fault(format!("{shown}: another program reads it: {e}")))?;
        rustix::io::ioctl_fionbio(&device, true).map_err(|e| Trouble::Fault(format!("{shown}: {e}")))?;
        let name = device.name().unwrap_or_default().to_owned();
        self.device = Some(device);
        (self.typed, self.dropped) = (Typed::default(), false);
        self.text.opened(self.now(), &mut Vec::new());
        Ok(name)
    }

    fn pace(&self) -> Duration {
        LOOK
    }

    fn turn(&mut self, _: Option<Errand>, hands: &Hands) -> Result<(), Trouble> {
        let now = self.now();
        let Some(device) = &mut self.device else { return Err(Trouble::Absent("not open".into())) };
        let mut out = Vec::new();
        if self.dropped && now >= self.key_at + IDLE_GAP_MS {
            // A pause ends what was lost.
            self.dropped = false;
        }
        for _ in 0..MAX_BATCHES {
            let events = match device.fetch_events() {
                Ok(events) => events,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(Trouble::Absent(e.to_string())),
            };
            for event in events {
                let what = event.destructure();
                if let EventSummary::Synchronization(_, SynchronizationCode::SYN_DROPPED, _) = what {
                    hands.monitor.error("keys were lost: the code is dropped");
                    (self.dropped, self.key_at) = (true, now);
                    self.typed = Typed::default();
                }
                let EventSummary::Key(_, code, value) = what else { continue };
                self.key_at = now;
                let Some(byte) = self.typed.key(code, value) else { continue };
                if self.dropped {
                    // Up to its end, what is left of a code is no code.
                    self.dropped = !matches!(byte, b'\r' | b'\t');
                    self.text.lost();
                } else {
                    self.text.bytes(now, &[byte], &mut out);
                }
            }
        }
        self.text.wake(now, &mut out);
        for what in out {
            match what {
                Out::Report(Report::Scan { bytes }) => hands.report(Report::Scan { bytes }),
                Out::Seen => hands.monitor.seen(),
                Out::Error(what) => hands.monitor.error(what),
                Out::Report(_) | Out::Write(_) | Out::Flush | Out::Firmware(_) => {}
            }
        }
        Ok(())
    }

    fn close(&mut self) -> Vec<Ticket> {
        self.device = None;
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_the_characters_of_a_us_keyboard() {
        let mut typed = Typed::default();
        let mut text = Vec::new();
        let keys = [
            (KeyCode::KEY_LEFTSHIFT, 1),
            (KeyCode::KEY_K, 1),
            (KeyCode::KEY_K, 0),
            (KeyCode::KEY_P, 1),
            (KeyCode::KEY_LEFTSHIFT, 0),
            (KeyCode::KEY_1, 1),
            (KeyCode::KEY_LEFTSHIFT, 1),
            (KeyCode::KEY_SEMICOLON, 1),
            (KeyCode::KEY_LEFTSHIFT, 0),
            (KeyCode::KEY_A, 1),
            (KeyCode::KEY_A, 2),
            (KeyCode::KEY_SLASH, 1),
            (KeyCode::KEY_0, 1),
            (KeyCode::KEY_F1, 1),
            (KeyCode::KEY_ENTER, 1),
        ];
        for (code, value) in keys {
            text.extend(typed.key(code, value));
        }
        assert_eq!(text, b"KP1:a/0\r");
    }
}
