//! Honeywell scanners and engines: UART or USB-CDC, 115200 or 9600 8N1.
//!
//! A menu command is `16 4D 0D`, the tag and its value, and `!` for until the power goes: the memory behind
//! `.` takes few writes. The answer repeats the command with 06 (done), 05 (no such tag) or 15 (bad value)
//! before the `!`. Source: maker's manual; the answers from memory, to be confirmed on a device.

use crate::engine_scanner::{Engine, Front};

/// The longest answer.
const MAX_ANSWER: usize = 64;
/// A code cannot change the reader; CR behind a code; the reader looks by itself.
const SETTINGS: [&str; 3] = ["MNUENA0", "VSUFCR", "PAPPM3"];

/// A menu command that holds until the power goes.
pub fn command(tag: &str) -> Vec<u8> {
    [&[0x16, 0x4d, 0x0d], tag.as_bytes(), b"!"].concat()
}

/// The answer of a reader, for simulators.
pub fn answer(tag: &str, verdict: u8) -> Vec<u8> {
    [tag.as_bytes(), &[verdict, b'!']].concat()
}

/// The engine.
#[derive(Debug, Default)]
pub struct Honeywell;

impl Engine for Honeywell {
    fn command(&mut self, step: usize) -> Option<Vec<u8>> {
        SETTINGS.get(step).map(|tag| command(tag))
    }

    fn read(&self, _: bool) -> Option<Vec<u8>> {
        None
    }

    fn front(&mut self, step: usize, bytes: &[u8]) -> Front {
        let Some(tag) = SETTINGS.get(step).map(|t| t.as_bytes()) else { return Front::Text };
        let known = bytes.len().min(tag.len());
        if !bytes[..known].eq_ignore_ascii_case(&tag[..known]) {
            return Front::Text;
        }
        let Some(rest) = bytes.get(tag.len()..tag.len() + 2) else {
            return if bytes.len() < MAX_ANSWER { Front::Short } else { Front::Text };
        };
        match rest {
            [verdict @ (0x06 | 0x05 | 0x15), b'!'] => {
                Front::Answer { length: tag.len() + 2, good: *verdict == 0x06 }
            }
            _ => Front::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_not_written_to_flash() {
        let mut h = Honeywell;
        for step in 0..SETTINGS.len() {
            assert_eq!(h.command(step).and_then(|c| c.last().copied()), Some(b'!'));
        }
        assert_eq!(h.command(SETTINGS.len()), None);
    }

    #[test]
    fn a_code_that_begins_like_an_answer_is_text() {
        assert_eq!(Honeywell.front(0, b"MNUENA0K"), Front::Short);
        assert_eq!(Honeywell.front(0, b"MNUENA0KP"), Front::Text);
        assert_eq!(Honeywell.front(0, &answer("MNUENA0", 6)), Front::Answer { length: 9, good: true });
        assert_eq!(Honeywell.front(0, &answer("MNUENA0", 5)), Front::Answer { length: 9, good: false });
    }
}
