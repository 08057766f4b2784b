//! Scanners in line mode: USB-CDC, RS-232, UART. Text and a terminator, or text and a pause.
//!
//! One `read()` is never taken for one scan. A code longer than [`MAX_CODE`] is dropped whole, up to
//! its end, so that the rest of a flood cannot pass for a code of its own.

use crate::codec::{Codec, Ms, Out};
use crate::scan_text::to_utf8;
use kakou_core::pass::MAX_TEXT;
use kakou_core::reading::{Command, NoData, Report, Ticket};
use serde::Deserialize;

/// The longest code.
pub const MAX_CODE: usize = MAX_TEXT;
/// A pause that ends a code. At 9600 baud a character takes 1 ms.
pub const IDLE_GAP_MS: Ms = 50;

/// How the reader ends a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Terminator {
    /// CR, LF or CRLF, or a pause.
    #[default]
    Auto,
    /// CR only; the code may contain LF.
    Cr,
    /// LF only; the code may contain CR.
    Lf,
    /// TAB.
    Tab,
    /// A pause only; the code may contain anything.
    None,
}

/// The codec.
#[derive(Debug, Default)]
pub struct LineScanner {
    terminator: Terminator,
    buffer: Vec<u8>,
    overflowed: bool,
    gap_at: Option<Ms>,
}

impl LineScanner {
    /// For a reader with this terminator.
    pub fn new(terminator: Terminator) -> Self {
        Self { terminator, ..Self::default() }
    }

    fn ends(&self, byte: u8) -> bool {
        match self.terminator {
            Terminator::Auto => matches!(byte, b'\r' | b'\n'),
            Terminator::Cr => byte == b'\r',
            Terminator::Lf => byte == b'\n',
            Terminator::Tab => byte == b'\t',
            Terminator::None => false,
        }
    }

    fn finish(&mut self, out: &mut Vec<Out>) {
        self.gap_at = None;
        let code = std::mem::take(&mut self.buffer);
        if std::mem::take(&mut self.overflowed) {
            out.push(Out::Error("code too long"));
        } else if !code.is_empty() {
            out.push(Out::Seen);
            out.push(Out::Report(Report::Scan { bytes: to_utf8(code) }));
        }
    }
}

impl Codec for LineScanner {
    fn opened(&mut self, _: Ms, out: &mut Vec<Out>) {
        self.buffer.clear();
        self.overflowed = false;
        self.gap_at = None;
        out.push(Out::Flush);
        out.push(Out::Report(Report::Link { ready: true }));
    }

    fn bytes(&mut self, now: Ms, bytes: &[u8], out: &mut Vec<Out>) {
        for &byte in bytes {
            if self.ends(byte) {
                self.finish(out);
            } else if self.buffer.len() >= MAX_CODE {
                self.overflowed = true;
            } else {
                self.buffer.push(byte);
            }
        }
        self.gap_at = (!self.buffer.is_empty()).then_some(now + IDLE_GAP_MS);
    }

    fn command(&mut self, _: Ms, ticket: Ticket, command: &Command, out: &mut Vec<Out>) {
        // It reads without being told.
        if matches!(command, Command::Read { .. } | Command::Stop) {
            return;
        }
        out.push(Out::Report(Report::NoData { ticket, why: NoData::Fault }));
    }

    fn deadline(&self) -> Option<Ms> {
        self.gap_at
    }

    fn wake(&mut self, now: Ms, out: &mut Vec<Out>) {
        if self.gap_at.is_some_and(|at| at <= now) {
            match self.terminator {
                Terminator::Auto | Terminator::None => self.finish(out),
                // The terminator is missing: the cable was cut in the middle of a code.
                Terminator::Cr | Terminator::Lf | Terminator::Tab => {
                    self.buffer.clear();
                    self.overflowed = false;
                    self.gap_at = None;
                    out.push(Out::Error("code without its end"));
                }
            }
        }
    }

    fn lost(&mut self) -> Option<Ticket> {
        self.buffer.clear();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scans(out: &[Out]) -> Vec<Vec<u8>> {
        out.iter()
            .filter_map(
                |o| if let Out::Report(Report::Scan { bytes }) = o { Some(bytes.clone()) } else { None },
            )
            .collect()
    }

    #[test]
    fn any_of_the_usual_ends_ends_a_code_once() {
        for end in ["\r", "\n", "\r\n"] {
            let mut out = Vec::new();
            LineScanner::default().bytes(0, format!("KP1:A{end}KP1:B{end}").as_bytes(), &mut out);
            assert_eq!(scans(&out), [b"KP1:A".to_vec(), b"KP1:B".to_vec()], "{end:?}");
        }
    }

    #[test]
    fn a_pause_ends_a_code_without_end() {
        let (mut s, mut out) = (LineScanner::new(Terminator::None), Vec::new());
        s.bytes(0, b"line 1\r\nline 2", &mut out);
        s.wake(49, &mut out);
        assert!(out.is_empty());
        s.wake(50, &mut out);
        assert_eq!(scans(&out), [b"line 1\r\nline 2".to_vec()]);
    }

    #[test]
    fn a_cut_code_is_dropped_where_an_end_was_agreed() {
        let (mut s, mut out) = (LineScanner::new(Terminator::Cr), Vec::new());
        s.bytes(0, b"KP1:AB", &mut out);
        s.wake(60, &mut out);
        s.bytes(100, b"KP1:C\r", &mut out);
        assert_eq!(scans(&out), [b"KP1:C".to_vec()]);
        assert!(out.contains(&Out::Error("code without its end")));
    }

    #[test]
    fn a_flood_is_dropped_whole_with_its_tail() {
        let (mut s, mut out) = (LineScanner::default(), Vec::new());
        s.bytes(0, &vec![b'A'; 1_000_000], &mut out);
        s.bytes(1, b"TAIL\rKP1:OK\r", &mut out);
        assert_eq!(scans(&out), [b"KP1:OK".to_vec()]);
        assert!(out.contains(&Out::Error("code too long")));
    }

    #[test]
    fn gb18030_becomes_utf8_and_noise_stays_noise() {
        let (mut s, mut out) = (LineScanner::default(), Vec::new());
        s.bytes(0, b"\xc1\xc9P12345\r\xff\xff\r", &mut out);
        assert_eq!(scans(&out), ["辽P12345".as_bytes().to_vec(), vec![0xff, 0xff]]);
    }

    proptest! {
        #[test]
        fn splitting_and_coalescing_change_nothing(
            codes in prop::collection::vec("[A-Z0-9:/ ]{1,60}", 1..8),
            cuts in prop::collection::vec(1_usize..20, 0..60),
        ) {
            let stream = codes.join("\r") + "\r";
            let (mut s, mut out, mut rest) = (LineScanner::default(), Vec::new(), stream.as_bytes());
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                s.bytes(0, now, &mut out);
                rest = later;
            }
            s.bytes(0, rest, &mut out);
            let expected: Vec<Vec<u8>> = codes.iter().map(|c| c.as_bytes().to_vec()).collect();
            prop_assert_eq!(scans(&out), expected);
        }
    }
}
