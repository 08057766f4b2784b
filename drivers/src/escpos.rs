//! Receipt and label printers that speak ESC/POS: slips in Chinese with a QR code, on a serial port.
//!
//! Text is GB18030 between `1C 26` (Chinese on) and `1C 2E` (off). A line `qr:TEXT` becomes a QR code:
//! `1D 28 6B` with functions 65 (model), 67 (size), 69 (error correction), 80 (data), 81 (print). `10 04 n`
//! asks for the state, between the bytes of a job as well; a slip counts as printed when the printer answers
//! behind it that it is online and has paper. Source: maker's command reference.

use crate::codec::{Codec, Ms, Out};
use encoding_rs::GB18030;
use kakou_core::reading::{Command, NoData, Report, SLIP_MS, Ticket};

/// Asks whether the printer is online.
pub const ASK_ONLINE: [u8; 3] = [0x10, 0x04, 1];
/// Asks for the paper.
pub const ASK_PAPER: [u8; 3] = [0x10, 0x04, 4];
/// Forgets the line that is not printed yet.
pub const RESET: [u8; 2] = [0x1b, 0x40];
/// Between two looks whether it is there.
const POLL_MS: Ms = 5_000;
/// An answer comes within this time; behind a slip, within [`PRINT_MS`].
const ANSWER_MS: Ms = 500;
/// A slip is printed within this time, all questions about it included; whoever waits for it waits longer.
const PRINT_MS: Ms = SLIP_MS;
/// The longest text of a QR code.
const MAX_QR: usize = 1_000;
/// Feed and cut.
const END: [u8; 7] = [0x1b, 0x64, 4, 0x1d, 0x56, 0x42, 0];

/// The bytes of a slip.
pub fn slip(lines: &[String]) -> Vec<u8> {
    // Reset, Chinese on.
    let mut out = vec![0x1b, 0x40, 0x1c, 0x26];
    for line in lines {
        match line.strip_prefix("qr:") {
            Some(text) => out.extend(qr(text)),
            None => {
                // A control character of the data must not become a command.
                let shown: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                out.extend_from_slice(&GB18030.encode(&shown).0);
                out.push(b'\n');
            }
        }
    }
    out.extend([0x1c, 0x2e]);
    out.extend(END);
    out
}

fn qr(text: &str) -> Vec<u8> {
    let mut end = text.len().min(MAX_QR);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let data = &text.as_bytes()[..end];
    let function = |body: &[u8]| -> Vec<u8> {
        let [lo, hi] = u16::try_from(body.len()).unwrap_or(u16::MAX).to_le_bytes();
        [&[0x1d, 0x28, 0x6b, lo, hi], body].concat()
    };
    [
        function(&[0x31, 65, 50, 0]),
        function(&[0x31, 67, 6]),
        function(&[0x31, 69, 49]),
        function(&[&[0x31, 80, 0x30], data].concat()),
        function(&[0x31, 81, 0x30]),
        vec![b'\n'],
    ]
    .concat()
}

/// A byte of state has bits 1 and 4 set, and bits 0 and 7 clear.
fn is_state(byte: u8) -> bool {
    byte & 0b1001_0011 == 0b0001_0010
}

/// Whether this is a printer's answer and nothing else.
pub fn is_answer(bytes: &[u8]) -> bool {
    matches!(bytes, [byte] if is_state(*byte))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StatusQuery {
    Online,
    Paper,
}

/// The codec.
#[derive(Debug, Default)]
pub struct EscPos {
    asked: Option<(StatusQuery, Ms)>,
    /// A slip that is being printed, and until when it must be.
    printing: Option<(Ticket, Ms)>,
    /// A slip that goes out once the printer has answered: an answer to a question of before says nothing of it.
    waiting: Option<(Ticket, Vec<u8>, Ms)>,
    poll_at: Ms,
    ready: Option<bool>,
}

impl EscPos {
    fn link(&mut self, ready: bool, out: &mut Vec<Out>) {
        if self.ready.replace(ready) != Some(ready) {
            out.push(Out::Report(Report::Link { ready }));
        }
    }

    fn ask(&mut self, now: Ms, what: StatusQuery, out: &mut Vec<Out>) {
        let until = self.printing.map_or(now + ANSWER_MS, |(_, until)| until);
        out.push(Out::Write(if what == StatusQuery::Online { ASK_ONLINE } else { ASK_PAPER }.to_vec()));
        self.asked = Some((what, until));
        self.poll_at = now + POLL_MS;
    }

    fn fail(&mut self, why: NoData, text: &'static str, out: &mut Vec<Out>) {
        out.push(Out::Error(text));
        self.link(false, out);
        if let Some(ticket) = self.open() {
            out.push(Out::Report(Report::NoData { ticket, why }));
        }
    }

    /// The request under way, if there is one; it is over.
    fn open(&mut self) -> Option<Ticket> {
        let printing = self.printing.take().map(|(ticket, _)| ticket);
        printing.or(self.waiting.take().map(|(ticket, ..)| ticket))
    }

    fn print(&mut self, now: Ms, (ticket, slip, until): (Ticket, Vec<u8>, Ms), out: &mut Vec<Out>) {
        self.printing = Some((ticket, until));
        out.push(Out::Write(slip));
        self.ask(now, StatusQuery::Online, out);
    }
}

impl Codec for EscPos {
    fn opened(&mut self, now: Ms, out: &mut Vec<Out>) {
        *self = Self::default();
        out.push(Out::Flush);
        self.ask(now, StatusQuery::Online, out);
    }

    fn bytes(&mut self, now: Ms, bytes: &[u8], out: &mut Vec<Out>) {
        for &byte in bytes {
            let Some((what, _)) = self.asked.filter(|_| is_state(byte)) else {
                out.push(Out::Error("bytes that are no answer"));
                continue;
            };
            out.push(Out::Seen);
            self.asked = None;
            match what {
                StatusQuery::Online if byte & 0x08 != 0 => {
                    self.fail(NoData::Fault, "offline: cover open or error", out)
                }
                StatusQuery::Online => match self.waiting.take() {
                    Some(slip) => self.print(now, slip, out),
                    None => self.ask(now, StatusQuery::Paper, out),
                },
                StatusQuery::Paper if byte & 0x60 != 0 => self.fail(NoData::Fault, "out of paper", out),
                StatusQuery::Paper => {
                    self.link(true, out);
                    if let Some((ticket, _)) = self.printing.take() {
                        out.push(Out::Report(Report::Done { ticket }));
                    }
                    if let Some(slip) = self.waiting.take() {
                        self.print(now, slip, out);
                    }
                }
            }
        }
    }

    fn command(&mut self, now: Ms, ticket: Ticket, command: &Command, out: &mut Vec<Out>) {
        match command {
            Command::Print { lines } if self.printing.is_none() && self.waiting.is_none() => {
                let slip = (ticket, slip(lines), now + PRINT_MS);
                match self.asked {
                    Some(_) => self.waiting = Some(slip),
                    None => self.print(now, slip, out),
                }
            }
            Command::Print { .. } => out.push(Out::Report(Report::NoData { ticket, why: NoData::Timeout })),
            Command::Stop => {}
            Command::Measure
            | Command::Pulse { .. }
            | Command::Capture { .. }
            | Command::Read { .. }
            | Command::Signal { .. } => out.push(Out::Report(Report::NoData { ticket, why: NoData::Fault })),
        }
    }

    fn deadline(&self) -> Option<Ms> {
        Some(self.asked.map_or(self.poll_at, |(_, until)| until))
    }

    fn wake(&mut self, now: Ms, out: &mut Vec<Out>) {
        match self.asked {
            Some((_, until)) if until <= now => {
                self.asked = None;
                self.poll_at = now + POLL_MS;
                self.fail(NoData::Timeout, "no answer", out);
            }
            None if self.poll_at <= now => self.ask(now, StatusQuery::Online, out),
            Some(_) | None => {}
        }
    }

    fn lost(&mut self) -> Option<Ticket> {
        self.asked = None;
        self.ready = None;
        self.open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printing() -> (EscPos, Vec<Out>) {
        let (mut p, mut out) = (EscPos::default(), Vec::new());
        p.command(0, Ticket(3), &Command::Print { lines: vec!["请进校".into(), "qr:V17".into()] }, &mut out);
        (p, out)
    }

    #[test]
    fn a_slip_is_gb18030_and_its_code_has_the_length_of_its_text() {
        let bytes = slip(&["辽P\u{1b}@1".into(), "qr:ABC".into()]);
        assert!(bytes.windows(6).any(|w| w == b"\xc1\xc9P @1"), "no command hides in a name");
        assert!(bytes.windows(11).any(|w| w == [0x1d, 0x28, 0x6b, 6, 0, 0x31, 80, 0x30, b'A', b'B', b'C']));
    }

    #[test]
    fn an_answer_of_before_the_slip_says_nothing_of_it() {
        let done = Out::Report(Report::Done { ticket: Ticket(3) });
        for answered in [0, 1] {
            let (mut p, mut out) = (EscPos::default(), Vec::new());
            p.wake(POLL_MS, &mut out);
            for _ in 0..answered {
                p.bytes(POLL_MS + 9, &[0x12], &mut out);
            }
            out.clear();
            p.command(POLL_MS + 10, Ticket(3), &Command::Print { lines: vec!["请进校".into()] }, &mut out);
            assert!(out.is_empty(), "the answer of the look is still to come");
            p.bytes(POLL_MS + 20, &[0x12], &mut out);
            assert!(matches!(&out[..], [Out::Seen, .., Out::Write(slip), Out::Write(_)] if slip[0] == 0x1b));
            p.bytes(POLL_MS + 900, &[0x12], &mut out);
            assert!(!out.contains(&done));
            p.bytes(POLL_MS + 950, &[0x12], &mut out);
            assert!(out.contains(&done));
        }
    }

    #[test]
    fn a_slip_is_answered_for_before_its_step_gives_up_however_slow_the_printer_is() {
        let answered = |o: &Out| matches!(o, Out::Report(Report::Done { .. } | Report::NoData { .. }));
        // The look before it, then each of the two questions, answered at the last moment.
        for delays in [[0, PRINT_MS - 1, 1], [ANSWER_MS - 1, PRINT_MS / 2, PRINT_MS], [0, 1, PRINT_MS]] {
            let (mut p, mut out, mut now, mut ended) = (EscPos::default(), Vec::new(), 0, None);
            if delays[0] > 0 {
                p.opened(0, &mut out);
            }
            p.command(0, Ticket(3), &Command::Print { lines: vec!["请进校".into()] }, &mut out);
            for delay in delays {
                now += delay;
                while let Some(at) = p.deadline().filter(|at| *at <= now && ended.is_none()) {
                    p.wake(at, &mut out);
                    ended = out.iter().any(answered).then_some(at);
                }
                if ended.is_none() {
                    p.bytes(now, &[0x12], &mut out);
                    ended = out.iter().any(answered).then_some(now);
                }
            }
            assert!(ended.is_some_and(|at| at <= SLIP_MS), "{delays:?}: {ended:?}");
        }
        const { assert!(kakou_core::profile::SLIP_STEP_MS > crate::HELD_MS + SLIP_MS + ANSWER_MS) };
    }

    #[test]
    fn only_an_online_printer_with_paper_has_printed() {
        let done = Out::Report(Report::Done { ticket: Ticket(3) });
        let (mut p, mut out) = printing();
        p.bytes(900, &[0x12], &mut out);
        assert!(!out.contains(&done));
        p.bytes(950, &[0x12], &mut out);
        assert!(out.contains(&done));
        for answers in [&[0x1a][..], &[0x12, 0x72], &[0xff]] {
            let (mut p, mut out) = printing();
            p.bytes(900, answers, &mut out);
            p.wake(PRINT_MS, &mut out);
            p.wake(2 * PRINT_MS, &mut out);
            assert!(!out.contains(&done), "{answers:?}");
            assert!(out.iter().any(|o| matches!(o, Out::Report(Report::NoData { .. }))));
        }
    }
}
