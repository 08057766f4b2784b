//! Modbus-RTU relay boards, 9600 8N1: the board itself keeps the time of a pulse, so that a crash here cannot
//! leave a barrier open. A board that cannot is not for a barrier and has no dialect here.
//!
//! Waveshare style: function 05 to coil 0x0200 + channel, value n × 100 ms; the board echoes the frame. DAM
//! style: function 16 to register 3 + 5 × channel, values 4 (close for a time) and n × 100 ms.
//! Presence: read coils every [`POLL_MS`]. Source: Modbus over Serial Line 1.02, maker's manual.
//!
//! A pulse goes out once: without its confirmation nobody knows whether the board has acted, and twice would open
//! twice. Only a board that answers that it was busy has not. Some RS-485 adapters send back what they get, which is
//! the very confirmation of a Waveshare board: the looks, whose answer differs from the question, tell which do.

use crate::HELD_MS;
use crate::codec::{Codec, Ms, Out};
use kakou_core::profile::PULSE_STEP_MS;
use kakou_core::reading::{Command, NoData, PULSE_MS, Report, Ticket};

/// A board answers a look within this time.
pub const ANSWER_MS: Ms = 300;
/// It confirms a pulse within this time, or the pulse is not confirmed.
pub const CONFIRM_MS: Ms = 600;
/// A pulse waits for the line this long at most, so that all is over within [`PULSE_MS`].
pub const LINE_MS: Ms = 1_500;
/// A board that was busy is asked again after this time.
const BUSY_MS: Ms = 100;
/// Between two looks whether the board is there.
pub const POLL_MS: Ms = 2_000;
/// So many unanswered looks, and the board is gone.
const POLLS_LOST: u32 = 2;
/// A board that was busy is asked this often in all.
const TRIES: u64 = 3;
const _: () = assert!(LINE_MS + TRIES * (CONFIRM_MS + BUSY_MS) <= PULSE_MS);
const _: () = assert!(HELD_MS + LINE_MS + TRIES * (CONFIRM_MS + BUSY_MS) < PULSE_STEP_MS);
/// The exception of a board that was busy (Modbus application protocol 1.1b3, 7).
const BUSY: u8 = 6;
/// Those of a board that does not know what it was asked for.
const UNKNOWN: std::ops::RangeInclusive<u8> = 1..=3;
/// What is said of an adapter that sends back what it gets.
pub const ECHO: &str = "the adapter sends back what it gets: that is dropped";
/// The longest frame of a board.
const MAX_FRAME: usize = 256;

/// CRC-16/MODBUS, low byte first on the wire.
pub fn crc16(bytes: &[u8]) -> [u8; 2] {
    let crc = bytes.iter().fold(0xffff_u16, |crc, &b| {
        (0..8).fold(crc ^ u16::from(b), |c, _| if c & 1 == 1 { (c >> 1) ^ 0xa001 } else { c >> 1 })
    });
    crc.to_le_bytes()
}

/// A frame with its checksum.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let mut out = body.to_vec();
    out.extend(crc16(body));
    out
}

/// How a board is asked for a pulse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Function 05, coil 0x0200 + channel.
    Waveshare,
    /// Function 16, register 3 + 5 × channel.
    Dam,
}

impl Dialect {
    /// Their names in configuration.
    pub const NAMES: [(&str, Self); 2] = [("waveshare", Self::Waveshare), ("dam", Self::Dam)];

    /// The question and the answer that confirms it.
    fn pulse(self, address: u8, channel: u8, tenths: u16) -> (Vec<u8>, Vec<u8>) {
        let [hi, lo] = tenths.to_be_bytes();
        match self {
            Self::Waveshare => {
                let request = framed(&[address, 0x05, 0x02, channel, hi, lo]);
                (request.clone(), request)
            }
            Self::Dam => {
                let [r_hi, r_lo] = (3 + 5 * u16::from(channel)).to_be_bytes();
                let request = framed(&[address, 0x10, r_hi, r_lo, 0, 2, 4, 0, 4, hi, lo]);
                (request, framed(&[address, 0x10, r_hi, r_lo, 0, 2]))
            }
        }
    }
}

/// A pulse on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pulse {
    ticket: Ticket,
    request: Vec<u8>,
    confirms: Vec<u8>,
    tries: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Waiting {
    Pulse(Pulse),
    /// The board was busy: it is asked again.
    Busy(Pulse),
    Poll,
}

/// What the buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// What was waited for.
    Good,
    /// The exception that says why not.
    Refused(u8),
}

/// Where these bytes lie.
fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

/// The codec.
#[derive(Debug)]
pub struct ModbusRelay {
    dialect: Dialect,
    address: u8,
    channel: u8,
    buffer: Vec<u8>,
    waiting: Option<(Waiting, Ms)>,
    /// A pulse that waits for the line, and until when it may.
    queue: Option<(Ticket, u32, Ms)>,
    poll_at: Ms,
    unanswered: u32,
    ready: Option<bool>,
    /// Whether the adapter sends back what it gets.
    echoes: bool,
}

impl ModbusRelay {
    /// For a board at `address`, relay `channel` counted from 0.
    pub fn new(dialect: Dialect, address: u8, channel: u8) -> Self {
        Self {
            dialect,
            address,
            channel,
            buffer: Vec::new(),
            waiting: None,
            queue: None,
            poll_at: 0,
            unanswered: 0,
            ready: None,
            echoes: false,
        }
    }

    /// The question whether the board is there.
    fn look(&self) -> Vec<u8> {
        framed(&[self.address, 0x01, 0, 0, 0, 8])
    }

    fn send(&mut self, now: Ms, what: Waiting, out: &mut Vec<Out>) {
        let (request, limit) = match &what {
            Waiting::Pulse(pulse) | Waiting::Busy(pulse) => (pulse.request.clone(), CONFIRM_MS),
            Waiting::Poll => (self.look(), ANSWER_MS),
        };
        // A late answer to an earlier request must not answer this one.
        self.buffer.clear();
        out.push(Out::Flush);
        out.push(Out::Write(request));
        self.waiting = Some((what, now + limit));
    }

    fn pulse(&mut self, now: Ms, ticket: Ticket, ms: u32, out: &mut Vec<Out>) {
        let tenths = u16::try_from(ms.div_ceil(100)).unwrap_or(u16::MAX);
        let (request, confirms) = self.dialect.pulse(self.address, self.channel, tenths);
        self.send(now, Waiting::Pulse(Pulse { ticket, request, confirms, tries: 1 }), out);
    }

    fn link(&mut self, ready: bool, out: &mut Vec<Out>) {
        if self.ready.replace(ready) != Some(ready) {
            out.push(Out::Report(Report::Link { ready }));
        }
    }

    /// The board said something that it says only when it is there.
    fn lives(&mut self, now: Ms, out: &mut Vec<Out>) {
        self.unanswered = 0;
        self.poll_at = now + POLL_MS;
        out.push(Out::Seen);
        self.link(true, out);
    }

    /// The line is free: whoever waits has it.
    fn next(&mut self, now: Ms, out: &mut Vec<Out>) {
        match self.queue.take() {
            Some((ticket, ms, until)) if now <= until => self.pulse(now, ticket, ms, out),
            Some((ticket, ..)) => out.push(Out::Report(Report::NoData { ticket, why: NoData::Timeout })),
            None => {}
        }
    }

    fn answered(&mut self, now: Ms, answer: Answer, out: &mut Vec<Out>) {
        self.lives(now, out);
        match (self.waiting.take(), answer) {
            (Some((Waiting::Pulse(pulse), _)), Answer::Good) => {
                out.push(Out::Report(Report::Done { ticket: pulse.ticket }));
            }
            (Some((Waiting::Pulse(pulse), _)), Answer::Refused(BUSY)) if pulse.tries < TRIES => {
                out.push(Out::Error("the board was busy, asked again"));
                self.waiting = Some((Waiting::Busy(pulse), now + BUSY_MS));
                return;
            }
            (Some((Waiting::Pulse(pulse), _)), Answer::Refused(_)) => {
                out.push(Out::Error("the board refused the pulse: see its `dialect` and `channel`"));
                out.push(Out::Report(Report::NoData { ticket: pulse.ticket, why: NoData::Fault }));
            }
            (Some((Waiting::Busy(_) | Waiting::Poll, _)) | None, Answer::Good | Answer::Refused(_)) => {}
        }
        self.next(now, out);
    }

    /// Looks for the answer in what arrived, behind whatever else did.
    fn find_answer(&self) -> Option<Answer> {
        let exception = |bytes: &[u8], function: u8| {
            let known = |w: &&[u8]| w[..2] == [self.address, function | 0x80] && w[3..] == crc16(&w[..3]);
            bytes.windows(5).find(known).map(|w| w[2])
        };
        match &self.waiting.as_ref()?.0 {
            Waiting::Pulse(pulse) => {
                let own =
                    if self.echoes { find(&self.buffer, &pulse.request)? + pulse.request.len() } else { 0 };
                let rest = &self.buffer[own..];
                if find(rest, &pulse.confirms).is_some() {
                    return Some(Answer::Good);
                }
                // What else a board says of a pulse leaves open whether it acts: the time-out decides.
                let why = exception(rest, pulse.request[1])?;
                (why == BUSY || UNKNOWN.contains(&why)).then_some(Answer::Refused(why))
            }
            Waiting::Busy(_) => None,
            Waiting::Poll => {
                let head = [self.address, 0x01, 0x01];
                let state = |w: &[u8]| w[..3] == head && w[4..] == crc16(&w[..4]);
                // A board without coils to read is there as well.
                let there = self.buffer.windows(6).any(state) || exception(&self.buffer, 0x01).is_some();
                there.then_some(Answer::Good)
            }
        }
    }

    /// Hears whether the adapter sends back what it gets, from then on until the port is opened anew: a look is
    /// answered otherwise than it is asked.
    fn hear_echo(&mut self, out: &mut Vec<Out>) {
        if !self.echoes && find(&self.buffer, &self.look()).is_some() {
            self.echoes = true;
            out.push(Out::Error(ECHO));
        }
    }
}

impl Codec for ModbusRelay {
    fn opened(&mut self, now: Ms, out: &mut Vec<Out>) {
        self.waiting = None;
        self.queue = None;
        self.unanswered = 0;
        self.ready = None;
        self.echoes = false;
        self.poll_at = now + POLL_MS;
        self.send(now, Waiting::Poll, out);
    }

    fn bytes(&mut self, now: Ms, bytes: &[u8], out: &mut Vec<Out>) {
        if self.waiting.is_none() {
            out.push(Out::Error("late or unasked answer"));
            return;
        }
        let room = MAX_FRAME - self.buffer.len();
        self.buffer.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let answer = self.find_answer();
        if matches!(self.waiting, Some((Waiting::Poll, _))) {
            self.hear_echo(out);
        }
        if let Some(answer) = answer {
            self.answered(now, answer, out);
        }
    }

    fn command(&mut self, now: Ms, ticket: Ticket, command: &Command, out: &mut Vec<Out>) {
        match command {
            Command::Pulse { ms } if self.waiting.is_some() => {
                // One request at a time on the line: the board may be answering now, and its answer would
                // garble the next. The newer request waits its turn.
                if let Some((old, ..)) = self.queue.replace((ticket, *ms, now + LINE_MS)) {
                    out.push(Out::Report(Report::NoData { ticket: old, why: NoData::Timeout }));
                }
            }
            Command::Pulse { ms } => self.pulse(now, ticket, *ms, out),
            Command::Stop => {}
            Command::Measure
            | Command::Capture { .. }
            | Command::Print { .. }
            | Command::Read { .. }
            | Command::Signal { .. } => {
                out.push(Out::Report(Report::NoData { ticket, why: NoData::Fault }));
            }
        }
    }

    fn awaits_answer(&self) -> bool {
        self.waiting.is_some()
    }

    fn deadline(&self) -> Option<Ms> {
        Some(self.waiting.as_ref().map_or(self.poll_at, |(_, until)| *until))
    }

    fn wake(&mut self, now: Ms, out: &mut Vec<Out>) {
        match self.waiting.take() {
            Some((waiting, until)) if until > now => self.waiting = Some((waiting, until)),
            Some((Waiting::Busy(pulse), _)) => {
                self.send(now, Waiting::Pulse(Pulse { tries: pulse.tries + 1, ..pulse }), out);
            }
            Some((Waiting::Pulse(pulse), _)) => {
                out.push(Out::Error(if self.buffer.is_empty() { "no answer" } else { "garbled answer" }));
                out.push(Out::Error("a pulse was not confirmed: it is not sent again"));
                out.push(Out::Report(Report::NoData { ticket: pulse.ticket, why: NoData::Timeout }));
                self.link(false, out);
                self.poll_at = now + ANSWER_MS;
                self.next(now, out);
            }
            Some((Waiting::Poll, _)) => {
                self.unanswered += 1;
                out.push(Out::Error(if self.buffer.is_empty() { "no answer" } else { "garbled answer" }));
                self.poll_at = now + POLL_MS;
                if self.unanswered >= POLLS_LOST {
                    self.link(false, out);
                }
                self.next(now, out);
            }
            None if self.poll_at <= now => self.send(now, Waiting::Poll, out),
            None => {}
        }
    }

    fn lost(&mut self) -> Option<Ticket> {
        self.ready = None;
        self.buffer.clear();
        let queued = self.queue.take().map(|(t, ..)| t);
        match self.waiting.take() {
            Some((Waiting::Pulse(pulse) | Waiting::Busy(pulse), _)) => Some(pulse.ticket),
            Some((Waiting::Poll, _)) | None => queued,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse() -> (ModbusRelay, Vec<Out>) {
        let (mut r, mut out) = (ModbusRelay::new(Dialect::Waveshare, 1, 0), Vec::new());
        r.command(0, Ticket(9), &Command::Pulse { ms: 700 }, &mut out);
        (r, out)
    }

    #[test]
    fn the_published_frames_are_written() {
        let (_, out) = pulse();
        assert_eq!(out[1], Out::Write(vec![0x01, 0x05, 0x02, 0x00, 0x00, 0x07, 0x8d, 0xb0]));
        let (mut r, mut out) = (ModbusRelay::new(Dialect::Waveshare, 1, 0), Vec::new());
        r.opened(0, &mut out);
        assert_eq!(out[1], Out::Write(vec![0x01, 0x01, 0, 0, 0, 8, 0x3d, 0xcc]));
    }

    #[test]
    fn a_dam_board_is_asked_in_its_own_way() {
        let (mut r, mut out) = (ModbusRelay::new(Dialect::Dam, 0xfe, 0), Vec::new());
        r.command(0, Ticket(9), &Command::Pulse { ms: 1_000 }, &mut out);
        let published = [0xfe, 0x10, 0x00, 0x03, 0x00, 0x02, 0x04, 0x00, 0x04, 0x00, 0x0a, 0x41, 0x6b];
        assert_eq!(out[1], Out::Write(published.to_vec()));
        r.bytes(5, &framed(&[0xfe, 0x10, 0, 3, 0, 2]), &mut out);
        assert!(out.contains(&Out::Report(Report::Done { ticket: Ticket(9) })));
    }

    #[test]
    fn only_the_echo_confirms_a_pulse_however_it_is_split() {
        let (mut r, mut out) = pulse();
        for byte in framed(&[1, 5, 2, 0, 0, 7]) {
            assert!(!out.contains(&Out::Report(Report::Done { ticket: Ticket(9) })));
            r.bytes(1, &[byte], &mut out);
        }
        assert!(out.contains(&Out::Report(Report::Done { ticket: Ticket(9) })));
    }

    #[test]
    fn an_exception_or_another_board_confirms_nothing() {
        for answer in [framed(&[1, 0x85, 2]), framed(&[2, 5, 2, 0, 0, 7]), framed(&[1, 1, 1, 0])] {
            let (mut r, mut out) = pulse();
            r.bytes(1, &answer, &mut out);
            r.wake(CONFIRM_MS, &mut out);
            assert!(!out.contains(&Out::Report(Report::Done { ticket: Ticket(9) })));
            let no = |o: &Out| matches!(o, Out::Report(Report::NoData { ticket: Ticket(9), .. }));
            assert!(out.iter().any(no));
        }
    }

    #[test]
    fn a_pulse_waits_for_the_answer_that_is_on_the_line() {
        let (mut r, mut out) = (ModbusRelay::new(Dialect::Waveshare, 1, 0), Vec::new());
        r.opened(0, &mut out);
        r.command(1, Ticket(9), &Command::Pulse { ms: 700 }, &mut out);
        assert_eq!(writes(&out), 1, "only the look whether the board is there");
        r.bytes(2, &framed(&[1, 1, 1, 0]), &mut out);
        assert_eq!(writes(&out), 2);
        r.bytes(3, &framed(&[1, 5, 2, 0, 0, 7]), &mut out);
        assert!(out.contains(&Out::Report(Report::Done { ticket: Ticket(9) })));
        // A board that is silent delays it by one time-out.
        let (mut r, mut out) = (ModbusRelay::new(Dialect::Waveshare, 1, 0), Vec::new());
        r.opened(0, &mut out);
        r.command(1, Ticket(9), &Command::Pulse { ms: 700 }, &mut out);
        r.wake(ANSWER_MS, &mut out);
        assert_eq!(writes(&out), 2);
    }

    fn writes(out: &[Out]) -> usize {
        out.iter().filter(|o| matches!(o, Out::Write(_))).count()
    }

    /// A board behind an adapter that sends back what it gets; the first look has been, and was answered or not.
    fn echoing(on: bool) -> (ModbusRelay, Vec<Out>) {
        let (mut r, mut out) = (ModbusRelay::new(Dialect::Waveshare, 1, 0), Vec::new());
        r.opened(0, &mut out);
        r.bytes(5, &framed(&[1, 1, 0, 0, 0, 8]), &mut out);
        if on {
            r.bytes(9, &framed(&[1, 1, 1, 0]), &mut out);
        } else {
            r.wake(ANSWER_MS, &mut out);
        }
        (r, out)
    }

    #[test]
    fn what_the_adapter_sends_back_is_never_taken_for_the_boards_confirmation() {
        let done = Out::Report(Report::Done { ticket: Ticket(9) });
        let request = framed(&[1, 5, 2, 0, 0, 7]);
        for (on, answers) in [(false, 0), (true, 1)] {
            let (mut r, mut out) = echoing(on);
            assert!(out.contains(&Out::Error(ECHO)), "it is said");
            assert_eq!(
                out.contains(&Out::Report(Report::Link { ready: true })),
                on,
                "a board that is on is ready"
            );
            r.command(400, Ticket(9), &Command::Pulse { ms: 700 }, &mut out);
            for byte in &request {
                r.bytes(405, &[*byte], &mut out);
            }
            assert!(!out.contains(&done), "that was only our own");
            for _ in 0..answers {
                r.bytes(410, &request, &mut out);
            }
            assert_eq!(out.contains(&done), on);
            out.clear();
            r.wake(400 + CONFIRM_MS, &mut out);
            let not_confirmed = Out::Report(Report::NoData { ticket: Ticket(9), why: NoData::Timeout });
            assert_eq!(out.contains(&not_confirmed), !on);
        }
    }

    #[test]
    fn an_answer_is_found_behind_stray_bytes_and_before_some() {
        for stray in [0xff, 0x00, 0x01] {
            let (mut r, mut out) = (ModbusRelay::new(Dialect::Waveshare, 1, 0), Vec::new());
            r.opened(0, &mut out);
            r.bytes(5, &[&[stray][..], &framed(&[1, 1, 1, 0]), &[stray]].concat(), &mut out);
            assert!(out.contains(&Out::Report(Report::Link { ready: true })), "{stray:02x}");
            r.command(100, Ticket(9), &Command::Pulse { ms: 700 }, &mut out);
            for byte in [&[stray][..], &framed(&[1, 5, 2, 0, 0, 7]), &[stray]].concat() {
                r.bytes(105, &[byte], &mut out);
            }
            assert!(out.contains(&Out::Report(Report::Done { ticket: Ticket(9) })), "{stray:02x}");
        }
    }

    #[test]
    fn a_pulse_is_asked_for_again_only_of_a_board_that_says_it_was_busy() {
        for (answer, asked) in [
            (vec![], 1),
            (vec![0x55; 20], 1),
            (framed(&[1, 0x85, 4]), 1),
            (framed(&[1, 0x85, 5]), 1),
            (framed(&[1, 0x85, 2]), 1),
            (framed(&[1, 0x85, 6]), 3),
        ] {
            let (mut r, mut out) = pulse();
            let mut now = 0;
            while now < 5_000 && !out.iter().any(|o| matches!(o, Out::Report(Report::NoData { .. }))) {
                r.bytes(now + 5, &answer, &mut out);
                now = r.deadline().unwrap().max(now + 5);
                r.wake(now, &mut out);
            }
            let pulses = out.iter().filter(|o| **o == Out::Write(framed(&[1, 5, 2, 0, 0, 7]))).count();
            assert_eq!(pulses, asked, "{answer:02x?}");
            assert!(!out.contains(&Out::Report(Report::Done { ticket: Ticket(9) })));
        }
    }

    #[test]
    fn a_pulse_is_answered_for_before_its_step_gives_up_however_busy_line_and_board_are() {
        let busy = framed(&[1, 0x85, BUSY]);
        let (mut r, mut out) = pulse();
        r.command(0, Ticket(10), &Command::Pulse { ms: 700 }, &mut out);
        let ended = |out: &[Out], ticket| {
            let is = |t: &Ticket| *t == Ticket(ticket);
            out.iter().any(|o| matches!(o, Out::Report(Report::NoData { ticket, .. }) if is(ticket)))
        };
        let mut now = 0;
        while !ended(&out, 10) {
            // Busy at the last moment, each time.
            r.bytes(now + CONFIRM_MS - 1, &busy, &mut out);
            now = r.deadline().unwrap().max(now + CONFIRM_MS - 1);
            r.wake(now, &mut out);
            assert!(now <= PULSE_MS, "{now}");
        }
        assert!(ended(&out, 9));
        const { assert!(kakou_core::profile::PULSE_STEP_MS > PULSE_MS) };
    }

    #[test]
    fn a_late_answer_never_answers_a_new_request() {
        let (mut r, mut out) = pulse();
        r.wake(CONFIRM_MS, &mut out);
        out.clear();
        r.bytes(601, &framed(&[1, 5, 2, 0, 0, 7]), &mut out);
        assert_eq!(out, [Out::Error("late or unasked answer")]);
    }
}
