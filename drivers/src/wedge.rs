//! Readers that type like a keyboard: they are taken away from the console and read as what they are.
//!
//! The device is grabbed, so that no code reaches a login prompt. Keys become characters by the layout of a US
//! keyboard, which readers are set to; what is not on it they type with Alt and a number, and control characters with
//! Ctrl. Enter ends a code, or a pause as for other [lines](crate::line_scanner). When the kernel says that it
//! dropped events, or a number is no character, the code is dropped as well. Source: `linux/input-event-codes.h`.

use crate::DeviceCommand;
use crate::blocking::{Blocking, DeviceError, DeviceLink};
use crate::codec::{Codec, Ms, Out};
use crate::line_scanner::{LineScanner, Lines};
use encoding_rs::GB18030;
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

/// The number pad, which readers use as if Num Lock were on.
const PAD: [(KeyCode, u8); 17] = [
    (KeyCode::KEY_KP0, b'0'),
    (KeyCode::KEY_KP1, b'1'),
    (KeyCode::KEY_KP2, b'2'),
    (KeyCode::KEY_KP3, b'3'),
    (KeyCode::KEY_KP4, b'4'),
    (KeyCode::KEY_KP5, b'5'),
    (KeyCode::KEY_KP6, b'6'),
    (KeyCode::KEY_KP7, b'7'),
    (KeyCode::KEY_KP8, b'8'),
    (KeyCode::KEY_KP9, b'9'),
    (KeyCode::KEY_KPMINUS, b'-'),
    (KeyCode::KEY_KPPLUS, b'+'),
    (KeyCode::KEY_KPDOT, b'.'),
    (KeyCode::KEY_KPCOMMA, b','),
    (KeyCode::KEY_KPASTERISK, b'*'),
    (KeyCode::KEY_KPSLASH, b'/'),
    (KeyCode::KEY_KPEQUAL, b'='),
];
/// A number behind Alt has so many digits at most.
const MAX_DIGITS: usize = 6;
/// Chinese characters of Unicode, as a reader numbers them.
const HAN: std::ops::RangeInclusive<u32> = 0x4e00..=0x9fff;

/// What came of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stroke {
    /// Text, in UTF-8.
    Text(Vec<u8>),
    /// A character that nobody knows: the code it belongs to is none.
    Unknown,
}

/// What keys become.
#[derive(Debug, Default)]
pub struct Typed {
    shift: bool,
    ctrl: bool,
    caps: bool,
    /// The digits that were typed since Alt went down; other keys spoil them.
    alt: Option<String>,
}

/// The character of a number that was typed with Alt: Unicode, as readers for Chinese text are set to, or GBK.
fn numbered(digits: &str) -> Option<String> {
    let number: u32 = digits.parse().ok()?;
    // From 128 to 255 it depends on the country of the computer.
    let plain = (0x20..0x7f).contains(&number) || HAN.contains(&number);
    if plain {
        return char::from_u32(number).map(String::from);
    }
    let pair = u16::try_from(number).ok()?.to_be_bytes();
    let text = GB18030.decode_without_bom_handling_and_without_replacement(&pair)?;
    let mut chars = text.chars();
    let han = chars.next().is_some_and(|c| HAN.contains(&u32::from(c)));
    (han && chars.next().is_none()).then(|| text.into_owned())
}

impl Typed {
    /// A key that went down (1), up (0) or repeats (2).
    pub fn key(&mut self, code: KeyCode, value: i32) -> Option<Stroke> {
        match code {
            KeyCode::KEY_LEFTSHIFT | KeyCode::KEY_RIGHTSHIFT => {
                self.shift = value != 0;
                return None;
            }
            KeyCode::KEY_LEFTCTRL | KeyCode::KEY_RIGHTCTRL => {
                self.ctrl = value != 0;
                return None;
            }
            KeyCode::KEY_LEFTALT | KeyCode::KEY_RIGHTALT => return self.alt(value),
            KeyCode::KEY_CAPSLOCK => {
                self.caps ^= value == 1;
                return None;
            }
            _ if value != 1 => return None,
            _ => {}
        }
        let byte = self.character(code)?;
        if let Some(digits) = &mut self.alt {
            if byte.is_ascii_digit() && digits.len() < MAX_DIGITS {
                digits.push(char::from(byte));
                return None;
            }
            self.alt = Some(String::from("?"));
            return None;
        }
        Some(Stroke::Text(vec![byte]))
    }

    /// What Alt and a number make, once Alt goes up.
    fn alt(&mut self, value: i32) -> Option<Stroke> {
        if value != 0 {
            self.alt.get_or_insert_default();
            return None;
        }
        let digits = self.alt.take().filter(|digits| !digits.is_empty())?;
        Some(numbered(&digits).map_or(Stroke::Unknown, |text| Stroke::Text(text.into_bytes())))
    }

    fn character(&self, code: KeyCode) -> Option<u8> {
        if matches!(code, KeyCode::KEY_ENTER | KeyCode::KEY_KPENTER) {
            return Some(b'\r');
        }
        if code == KeyCode::KEY_TAB {
            return Some(b'\t');
        }
        if let Some((_, byte)) = PAD.iter().find(|(key, _)| *key == code) {
            return Some(*byte);
        }
        let key = |shift: bool| {
            ROWS.iter().find_map(|(first, plain, shifted)| {
                let row = if shift { shifted } else { plain };
                row.as_bytes().get(usize::from(code.0.checked_sub(*first)?)).copied()
            })
        };
        if self.ctrl {
            // Ctrl and @ to _ give the 32 control characters; ^ and _ are where 6 and - are.
            return match key(false)? {
                b'6' => Some(0x1e),
                b'-' => Some(0x1f),
                byte @ (b'a'..=b'z' | b'[' | b'\\' | b']') => Some(byte & 0x1f),
                _ => None,
            };
        }
        let letter = key(false)?.is_ascii_alphabetic();
        key(self.shift != (self.caps && letter))
    }
}

/// The reader.
pub struct Wedge {
    path: PathBuf,
    device: Option<RawDevice>,
    typed: Typed,
    text: LineScanner,
    begun: Instant,
}

impl Wedge {
    /// At `/dev/input/eventN` or a link to it.
    pub fn new(path: &Path, lines: impl Into<Lines>) -> Self {
        Self {
            path: path.to_path_buf(),
            device: None,
            typed: Typed::default(),
            text: LineScanner::new(lines),
            begun: Instant::now(),
        }
    }

    fn now(&self) -> Ms {
        Ms::try_from(self.begun.elapsed().as_millis()).unwrap_or(Ms::MAX)
    }
}

impl Blocking for Wedge {
    fn open(&mut self) -> Result<String, DeviceError> {
        let shown = self.path.display();
        let mut device =
            RawDevice::open(&self.path).map_err(|e| DeviceError::Absent(format!("{shown}: {e}")))?;
        device.grab().map_err(|e| DeviceError::Fault(format!("{shown}: another program reads it: {e}")))?;
        rustix::io::ioctl_fionbio(&device, true).map_err(|e| DeviceError::Fault(format!("{shown}: {e}")))?;
        let name = device.name().unwrap_or_default().to_owned();
        self.device = Some(device);
        self.typed = Typed::default();
        self.text.opened(self.now(), &mut Vec::new());
        Ok(name)
    }

    fn pace(&self) -> Duration {
        LOOK
    }

    fn turn(&mut self, _: Option<DeviceCommand>, hands: &DeviceLink) -> Result<(), DeviceError> {
        let now = self.now();
        let Some(device) = &mut self.device else { return Err(DeviceError::Absent("not open".into())) };
        let mut out = Vec::new();
        for _ in 0..MAX_BATCHES {
            let events = match device.fetch_events() {
                Ok(events) => events,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => return Err(DeviceError::Absent(e.to_string())),
            };
            for event in events {
                let what = event.destructure();
                if let EventSummary::Synchronization(_, SynchronizationCode::SYN_DROPPED, _) = what {
                    self.text.spoil(now, "keys were lost: the code is dropped");
                    self.typed = Typed::default();
                }
                let EventSummary::Key(_, code, value) = what else { continue };
                match self.typed.key(code, value) {
                    Some(Stroke::Text(text)) => self.text.bytes(now, &text, &mut out),
                    Some(Stroke::Unknown) => {
                        self.text.spoil(now, "a character that is not known: set the reader to Unicode");
                    }
                    None => {}
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

    /// Presses and lets go; a key below a list is held for all of it.
    fn tap(code: KeyCode) -> [(KeyCode, i32); 2] {
        [(code, 1), (code, 0)]
    }

    fn held(code: KeyCode, keys: &[KeyCode]) -> Vec<(KeyCode, i32)> {
        let inside = keys.iter().flat_map(|k| tap(*k));
        std::iter::once((code, 1)).chain(inside).chain([(code, 0)]).collect()
    }

    fn text(keys: &[(KeyCode, i32)]) -> String {
        let mut typed = Typed::default();
        let strokes = keys.iter().filter_map(|(code, value)| typed.key(*code, *value));
        let text = strokes.flat_map(|s| match s {
            Stroke::Text(text) => text,
            Stroke::Unknown => b"<unknown>".to_vec(),
        });
        String::from_utf8(text.collect()).unwrap()
    }

    #[test]
    fn keys_become_the_characters_of_a_us_keyboard() {
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
        assert_eq!(text(&keys), "KP1:a/0\r");
    }

    #[test]
    fn the_number_pad_is_typed_as_what_stands_on_its_keys() {
        use KeyCode as K;
        let pad =
            [K::KEY_KPMINUS, K::KEY_KP0, K::KEY_KP0, K::KEY_KP0, K::KEY_KP9, K::KEY_KPDOT, K::KEY_KPENTER];
        let keys = [held(K::KEY_LEFTSHIFT, &[K::KEY_P]), pad.iter().flat_map(|k| tap(*k)).collect()].concat();
        assert_eq!(text(&keys), "P-0009.\r");
    }

    #[test]
    fn control_characters_and_caps_lock_are_typed_as_on_a_keyboard() {
        use KeyCode as K;
        let keys = [
            tap(K::KEY_CAPSLOCK).to_vec(),
            tap(K::KEY_P).to_vec(),
            tap(K::KEY_1).to_vec(),
            held(K::KEY_LEFTSHIFT, &[K::KEY_Q, K::KEY_1]),
            tap(K::KEY_CAPSLOCK).to_vec(),
            tap(K::KEY_P).to_vec(),
            held(K::KEY_LEFTCTRL, &[K::KEY_RIGHTBRACE, K::KEY_6, K::KEY_F1]),
            held(K::KEY_RIGHTCTRL, &[K::KEY_M, K::KEY_J]),
        ]
        .concat();
        assert_eq!(text(&keys), "P1q!p\u{1d}\u{1e}\r\n");
    }

    #[test]
    fn a_number_with_alt_is_a_character_or_spoils_the_code() {
        use KeyCode as K;
        let row = [K::KEY_3, K::KEY_6, K::KEY_7, K::KEY_9, K::KEY_7];
        let pad = [K::KEY_KP3, K::KEY_KP6, K::KEY_KP7, K::KEY_KP9, K::KEY_KP7];
        for digits in [row, pad] {
            let keys = [held(K::KEY_LEFTALT, &digits), held(K::KEY_LEFTSHIFT, &[K::KEY_P])].concat();
            assert_eq!(text(&keys), "辽P");
        }
        assert_eq!(numbered("49609").as_deref(), Some("辽"), "its number in GBK");
        assert_eq!(numbered("065").as_deref(), Some("A"));
        for no in ["200", "0", "13", "999999", "65535", "?", ""] {
            assert_eq!(numbered(no), None, "{no}");
        }
        assert_eq!(text(&held(K::KEY_LEFTALT, &[K::KEY_2, K::KEY_0, K::KEY_0])), "<unknown>");
        assert_eq!(text(&held(K::KEY_LEFTALT, &[K::KEY_6, K::KEY_X])), "<unknown>");
        assert_eq!(text(&held(K::KEY_LEFTALT, &[])), "");
    }
}
