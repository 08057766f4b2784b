//! Scanners in line mode: USB-CDC, RS-232, UART. Text and a terminator, or text and a pause.
//!
//! One `read()` is never taken for one scan. A code longer than [`MAX_CODE`] is dropped whole, up to
//! its end, so that the rest of a flood cannot pass for a code of its own.
//!
//! Half a code is a code of its own to everybody behind this driver, so that the terminator ends a code and the clock
//! does not: text whose terminator does not come is dropped and counted. With `auto` the clock ends codes only as long
//! as no terminator was ever seen at the port: a reader that has sent one sends it behind each code.

use crate::codec::{Codec, Ms, Out};
use crate::scan_text::{ETX, Framing, STX, ScanResult};
use kakou_core::pass::MAX_TEXT;
use kakou_core::reading::{Command, NoData, Report, Ticket};
use serde::Deserialize;

/// The longest code.
pub const MAX_CODE: usize = MAX_TEXT;
/// The longest pause inside a code that has a terminator: packets of radio readers come 80 ms apart, keys 60 ms.
pub const PAUSE_MS: Ms = 500;
/// The pause behind a code that nothing else ends.
pub const PAUSE_ALONE_MS: Ms = 200;
/// What was dropped, and what to do if that is how the reader sends its codes.
const NO_END: &str = "code without its end; a reader that sends none needs `terminator = \"none\"`";

/// How the reader ends a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Terminator {
    /// CR, LF, CRLF, ETX behind STX, or TAB and a pause; a pause alone at a port where no terminator was ever seen.
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

/// How the codes of a reader come.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    /// What ends them.
    pub terminator: Terminator,
    /// The longest pause inside of one; [`PAUSE_MS`] or [`PAUSE_ALONE_MS`] if it is not said.
    pub pause_ms: Option<Ms>,
    /// What is around them.
    pub framing: Framing,
}

impl From<Terminator> for Lines {
    fn from(terminator: Terminator) -> Self {
        Self { terminator, ..Self::default() }
    }
}

/// The codec.
#[derive(Debug, Default)]
pub struct LineScanner {
    lines: Lines,
    buffer: Vec<u8>,
    /// Why what comes until the next end is no code.
    spoiled: Option<&'static str>,
    gap_at: Option<Ms>,
    /// With `auto`: the latest terminator that was seen.
    ended_by: Option<u8>,
}

impl LineScanner {
    /// For a reader whose codes come so.
    pub fn new(lines: impl Into<Lines>) -> Self {
        Self { lines: lines.into(), ..Self::default() }
    }

    fn ends(&self, byte: u8) -> bool {
        match self.lines.terminator {
            Terminator::Auto => match byte {
                b'\r' | b'\n' => true,
                b'\t' => self.ended_by == Some(b'\t'),
                ETX => self.buffer.iter().find(|b| **b != 0) == Some(&STX),
                _ => false,
            },
            Terminator::Cr => byte == b'\r',
            Terminator::Lf => byte == b'\n',
            Terminator::Tab => byte == b'\t',
            Terminator::None => false,
        }
    }

    /// What comes until the next end is no code, for this reason.
    pub fn spoil(&mut self, now: Ms, why: &'static str) {
        self.spoiled = Some(why);
        self.gap_at = Some(now + self.pause());
    }

    fn pause(&self) -> Ms {
        self.lines.pause_ms.unwrap_or(match self.lines.terminator {
            Terminator::None => PAUSE_ALONE_MS,
            Terminator::Auto | Terminator::Cr | Terminator::Lf | Terminator::Tab => PAUSE_MS,
        })
    }

    fn finish(&mut self, out: &mut Vec<Out>) {
        self.gap_at = None;
        let code = std::mem::take(&mut self.buffer);
        if let Some(why) = self.spoiled.take() {
            out.push(Out::Error(why));
            return;
        }
        match self.lines.framing.take_off(&code) {
            ScanResult::Code(bytes) => out.extend([Out::Seen, Out::Report(Report::Scan { bytes })]),
            ScanResult::NoRead => out.extend([Out::Seen, Out::Error("the reader says that it read nothing")]),
            ScanResult::Nothing => {}
        }
    }
}

impl Codec for LineScanner {
    fn opened(&mut self, _: Ms, out: &mut Vec<Out>) {
        self.buffer.clear();
        self.spoiled = None;
        self.gap_at = None;
        out.push(Out::Flush);
        out.push(Out::Report(Report::Link { ready: true }));
    }

    fn bytes(&mut self, now: Ms, bytes: &[u8], out: &mut Vec<Out>) {
        for &byte in bytes {
            if self.ends(byte) {
                if !self.buffer.is_empty() {
                    self.ended_by = Some(byte);
                }
                self.finish(out);
            } else if self.buffer.len() >= MAX_CODE {
                self.spoiled = Some("code too long");
            } else {
                self.buffer.push(byte);
            }
        }
        let more = !self.buffer.is_empty() || self.spoiled.is_some();
        self.gap_at = more.then(|| now + self.pause());
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
        if self.gap_at.is_none_or(|at| at > now) {
            return;
        }
        let by_clock = match self.lines.terminator {
            Terminator::None => true,
            Terminator::Auto => {
                let tab = self.buffer.last() == Some(&b'\t');
                self.ended_by = if tab { Some(b'\t') } else { self.ended_by };
                tab || self.ended_by.is_none()
            }
            Terminator::Cr | Terminator::Lf | Terminator::Tab => false,
        };
        if !by_clock && self.spoiled.is_none() {
            // The cable was cut in the middle of a code, or the reader ends its codes otherwise.
            self.spoiled = Some(NO_END);
        }
        self.finish(out);
    }

    fn lost(&mut self) -> Option<Ticket> {
        self.buffer.clear();
        self.spoiled = None;
        self.gap_at = None;
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
        s.wake(PAUSE_ALONE_MS - 1, &mut out);
        assert!(out.is_empty());
        s.wake(PAUSE_ALONE_MS, &mut out);
        assert_eq!(scans(&out), [b"line 1\r\nline 2".to_vec()]);
    }

    #[test]
    fn a_cut_code_is_dropped_where_an_end_was_agreed() {
        let (mut s, mut out) = (LineScanner::new(Terminator::Cr), Vec::new());
        s.bytes(0, b"KP1:AB", &mut out);
        s.wake(PAUSE_MS, &mut out);
        s.bytes(PAUSE_MS + 100, b"KP1:C\r", &mut out);
        assert_eq!(scans(&out), [b"KP1:C".to_vec()]);
        assert!(out.contains(&Out::Error(NO_END)));
    }

    #[test]
    fn what_readers_send_becomes_the_text_of_the_code() {
        let sent: [(&[u8], &str); 7] = [
            (b"\\000026P-0009\r", "P-0009"),
            (b"\\000026\xe8\xbe\xbdP12345\r", "辽P12345"),
            (b"\xef\xbb\xbf\xe8\xbe\xbdP12345\r", "辽P12345"),
            (b"]Q1P-0009\r", "]Q1P-0009"),
            (b"\x02P-0009\x03", "P-0009"),
            (b"P-0009\t", "P-0009"),
            (b"HTTPS://EXAMPLE.ORG/A\r", "HTTPS://EXAMPLE.ORG/A"),
        ];
        for (bytes, code) in sent {
            let (mut s, mut out) = (LineScanner::default(), Vec::new());
            s.bytes(0, bytes, &mut out);
            s.wake(PAUSE_MS, &mut out);
            assert_eq!(scans(&out), [code.as_bytes().to_vec()], "{bytes:02x?}");
        }
        let framing = Framing { aim: true, ..Framing::default() };
        let (mut s, mut out) = (LineScanner::new(Lines { framing, ..Lines::default() }), Vec::new());
        s.bytes(0, b"]Q1P-0009\r", &mut out);
        assert_eq!(scans(&out), [b"P-0009".to_vec()]);
    }

    #[test]
    fn a_pause_inside_a_code_leaves_it_one_code() {
        for terminator in [Terminator::Auto, Terminator::Cr] {
            let (mut s, mut out, mut now) = (LineScanner::new(terminator), Vec::new(), 0);
            // Slow keys, packets of a radio reader, and a long breath.
            for (pieces, pause) in
                [(&b"P-00 0912\r"[..], 60), (b"HC1:6BF+70790T9WJWG.FKY*4GO0.\r", 80), (b"P-1\r", 400)]
            {
                for piece in pieces.chunks(4) {
                    while let Some(at) = s.deadline().filter(|at| *at <= now) {
                        s.wake(at, &mut out);
                    }
                    s.bytes(now, piece, &mut out);
                    now += pause;
                }
            }
            assert_eq!(scans(&out).len(), 3, "{terminator:?}");
        }
    }

    #[test]
    fn half_a_code_is_no_code_once_the_reader_has_shown_how_it_ends_them() {
        let (mut s, mut out) = (LineScanner::default(), Vec::new());
        // Nothing was seen of this reader: a pause may be all that it has.
        s.bytes(0, b"P-0009", &mut out);
        s.wake(PAUSE_MS, &mut out);
        assert_eq!(scans(&out), [b"P-0009".to_vec()]);
        s.bytes(1_000, b"P-0010\r", &mut out);
        out.clear();
        s.bytes(2_000, b"P-00", &mut out);
        s.wake(2_000 + PAUSE_MS, &mut out);
        assert_eq!(out, [Out::Error(NO_END)]);
        // One whose codes end in TAB, which may stand inside of one as well.
        let (mut s, mut out) = (LineScanner::default(), Vec::new());
        s.bytes(0, b"A\tB\r", &mut out);
        assert_eq!(scans(&out), [b"A\tB".to_vec()]);
        s.bytes(0, b"P-0009\t", &mut out);
        s.wake(PAUSE_MS, &mut out);
        s.bytes(1_000, b"P-0010\t", &mut out);
        assert_eq!(scans(&out).last(), Some(&b"P-0010".to_vec()), "at once");
    }

    #[test]
    fn nothing_read_is_counted_and_is_no_code() {
        let (mut s, mut out) = (LineScanner::default(), Vec::new());
        s.bytes(0, b"NOREAD\rNR\r", &mut out);
        assert!(scans(&out).is_empty());
        assert_eq!(out.iter().filter(|o| matches!(o, Out::Error(_))).count(), 2);
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
            // A code may be one of the words for "nothing read": this reader has none.
            let framing = Framing { no_read: Vec::new(), ..Framing::default() };
            let mut s = LineScanner::new(Lines { framing, ..Lines::default() });
            let (mut out, mut rest) = (Vec::new(), stream.as_bytes());
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
