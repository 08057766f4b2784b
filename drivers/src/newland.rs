//! Newland scanners with the unified command set: UART or USB-CDC, 9600 8N1.
//!
//! A command is `7E 01`, `0000`, `#` (until the power goes) or `@` (kept), the command, `;`, 03. The answer
//! begins with `02 01` and repeats it with 06 (done), 15 (refused) or 05 (not here) before the `;`.
//! Source: public drivers.

use crate::engine_scanner::{Engine, Front};

/// What every answer begins with.
const HEAD: [u8; 6] = *b"\x02\x010000";
/// The longest answer.
const MAX_ANSWER: usize = 64;
/// A code cannot change the reader; reading goes on without a trigger.
const SETTINGS: [&str; 2] = ["SETUPE0", "SCNMOD2"];
/// The same for a reader that waits to be told.
const TOLD_SETTINGS: [&str; 2] = ["SETUPE0", "SCNMOD0"];

/// A command that holds until the power goes.
pub fn command(text: &str) -> Vec<u8> {
    [&[0x7e, 0x01], b"0000#".as_slice(), text.as_bytes(), &[b';', 0x03]].concat()
}

/// The answer of a reader, for simulators.
pub fn answer(text: &str, verdict: u8) -> Vec<u8> {
    [&[0x02, 0x01], b"0000#".as_slice(), text.as_bytes(), &[verdict, b';', 0x03]].concat()
}

/// The engine.
#[derive(Debug, Default)]
pub struct Newland {
    /// Whether it waits to be told to read.
    pub told: bool,
}

impl Newland {
    fn setting(&self, step: usize) -> Option<&'static str> {
        let settings = if self.told { &TOLD_SETTINGS } else { &SETTINGS };
        settings.get(step).copied()
    }
}

impl Engine for Newland {
    fn command(&mut self, step: usize) -> Option<Vec<u8>> {
        self.setting(step).map(command)
    }

    fn read(&self, on: bool) -> Option<Vec<u8>> {
        self.told.then(|| command(if on { "SCNTRG1" } else { "SCNTRG0" }))
    }

    fn front(&mut self, step: usize, bytes: &[u8]) -> Front {
        let known = bytes.iter().zip(&HEAD).take_while(|(is, should)| is == should).count();
        if known < bytes.len().min(HEAD.len()) {
            // Two control characters are no text.
            return if known < 2 { Front::Text } else { Front::Broken(known) };
        }
        let line = bytes.iter().take(MAX_ANSWER).position(|b| matches!(b, b'\r' | b'\n'));
        match bytes.windows(2).take(MAX_ANSWER).position(|w| w == [b';', 0x03]) {
            Some(end) if line.is_none_or(|line| line > end) => {
                let good = match (self.setting(step), bytes.get(end.wrapping_sub(1))) {
                    (Some(text), _) => bytes[..end + 2] == answer(text, 0x06),
                    (None, verdict) => verdict == Some(&0x06),
                };
                Front::Answer { length: end + 2, good }
            }
            // A line ends in the middle of it: it broke off, and a code came behind it.
            Some(_) | None if line.is_some() => Front::Broken(line.unwrap_or(known)),
            Some(_) | None if bytes.len() > MAX_ANSWER => Front::Broken(known),
            Some(_) | None => Front::Short,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, Out};
    use crate::engine_scanner::EngineScanner;
    use crate::line_scanner::Terminator;
    use kakou_core::reading::{Command, Report, Ticket};

    #[test]
    fn the_published_frames_are_ours() {
        let hex = "7e 01 30 30 30 30 23 53 43 4e 54 52 47 31 3b 03";
        let bytes: Vec<u8> = hex.split(' ').filter_map(|b| u8::from_str_radix(b, 16).ok()).collect();
        assert_eq!(command("SCNTRG1"), bytes);
    }

    #[test]
    fn answers_that_come_late_are_no_codes() {
        let mut scanner = EngineScanner::new(Newland { told: true }, Terminator::default());
        let mut out = Vec::new();
        scanner.opened(0, &mut out);
        for (at, text) in [(10, "SETUPE0"), (110, "SCNMOD0")] {
            scanner.bytes(at, &answer(text, 0x06), &mut out);
            scanner.wake(at + 50, &mut out);
        }
        out.clear();
        // A vehicle that comes and goes: two commands, and their answers behind each other.
        scanner.command(200, Ticket(1), &Command::Read { on: true }, &mut out);
        scanner.command(210, Ticket(2), &Command::Read { on: false }, &mut out);
        let late = [answer("SCNTRG1", 0x06), answer("SCNTRG0", 0x06)].concat();
        for (n, byte) in late.iter().enumerate() {
            scanner.bytes(800 + n as u64, &[*byte], &mut out);
        }
        scanner.wake(1_500, &mut out);
        scanner.bytes(1_600, b"GREEN-1\r", &mut out);
        let scans: Vec<_> = out.iter().filter(|o| matches!(o, Out::Report(Report::Scan { .. }))).collect();
        assert_eq!(scans, [&Out::Report(Report::Scan { bytes: b"GREEN-1".to_vec() })]);
    }

    #[test]
    fn only_the_answer_to_this_setting_that_says_yes_is_good() {
        let front = |bytes: &[u8]| Newland::default().front(0, bytes);
        let yes = answer("SETUPE0", 0x06);
        assert_eq!(front(&yes), Front::Answer { length: yes.len(), good: true });
        for no in [answer("SETUPE0", 0x15), answer("SCNMOD2", 0x06)] {
            assert_eq!(front(&no), Front::Answer { length: no.len(), good: false });
        }
        assert_eq!(front(&yes[..5]), Front::Short);
        assert_eq!(front(b"KP1:"), Front::Text);
        assert_eq!(front(&[2, 1].repeat(60)), Front::Broken(2), "no answer");
        assert_eq!(front(&[&b"\x02\x010000#"[..], &[b'A'; 80]].concat()), Front::Broken(6), "without an end");
        assert_eq!(
            front(b"\x02\x010000#SETUPGREEN-1\r"),
            Front::Broken(19),
            "a code behind one that broke off"
        );
    }
}
