//! Modbus-RTU relay boards, 9600 8N1: the board itself keeps the time of a pulse, so that a crash here cannot
//! leave a barrier open. A board that cannot is not for a barrier and has no dialect here.
//!
//! Waveshare style: function 05 to coil 0x0200 + channel, value n × 100 ms; the board echoes the frame. DAM
//! style: function 16 to register 3 + 5 × channel, values 4 (close for a time) and n × 100 ms.
//! Presence: read coils every [`POLL_MS`]. Source: Modbus over Serial Line 1.02, maker's manual.

use crate::codec::{Codec, Ms, Out};
use kakou_core::reading::{Command, NoData, Report, Ticket};

/// A board answers within this time.
pub const ANSWER_MS: Ms = 300;
/// Between two looks whether the board is there.
pub const POLL_MS: Ms = 2_000;
/// So many unanswered looks, and the board is gone.
const POLLS_LOST: u32 = 2;
/// A pulse is asked this often before it counts as failed.
const TRIES: u32 = 2;
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

#[derive(Debug, Clone, PartialEq, Eq)]
enum Waiting {
    Pulse { ticket: Ticket, request: Vec<u8>, confirms: Vec<u8>, tries: u32 },
    Poll,
}

/// The codec.
#[derive(Debug)]
pub struct ModbusRelay {
    dialect: Dialect,
    address: u8,
    channel: u8,
    buffer: Vec<u8>,
    waiting: Option<(Waiting, Ms)>,
    queue: Option<(Ticket, u32)>,
    poll_at: Ms,
    unanswered: u32,
    ready: Option<bool>,
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
        }
    }

    fn send(&mut self, now: Ms, what: Waiting, out: &mut Vec<Out>) {
        let request = match &what {
            Waiting::Pulse { request, .. } => request.clone(),
            Waiting::Poll => framed(&[self.address, 0x01, 0, 0, 0, 8]),
        };
        // A late answer to an earlier request must not answer this one.
        self.buffer.clear();
        out.push(Out::Flush);
        out.push(Out::Write(request));
        self.waiting = Some((what, now + ANSWER_MS));
    }

    fn pulse(&mut self, now: Ms, ticket: Ticket, ms: u32, out: &mut Vec<Out>) {
        let tenths = u16::try_from(ms.div_ceil(100)).unwrap_or(u16::MAX);
        let (request, confirms) = self.dialect.pulse(self.address, self.channel, tenths);
        self.send(now, Waiting::Pulse { ticket, request, confirms, tries: 1 }, out);
    }

    fn link(&mut self, ready: bool, out: &mut Vec<Out>) {
        if self.ready.replace(ready) != Some(ready) {
            out.push(Out::Report(Report::Link { ready }));
        }
    }

    fn answered(&mut self, now: Ms, out: &mut Vec<Out>) {
        self.unanswered = 0;
        self.poll_at = now + POLL_MS;
        out.push(Out::Seen);
        self.link(true, out);
        if let Some((Waiting::Pulse { ticket, .. }, _)) = self.waiting.take() {
            out.push(Out::Report(Report::Done { ticket }));
        }
        if let Some((ticket, ms)) = self.queue.take() {
            self.pulse(now, ticket, ms, out);
        }
    }

    /// Whether the buffer holds the whole answer; `None` if it can still become one.
    fn matches(&self) -> Option<bool> {
        let (waiting, _) = self.waiting.as_ref()?;
        match waiting {
            Waiting::Pulse { confirms, .. } => {
                (self.buffer.len() >= confirms.len()).then(|| self.buffer.starts_with(confirms))
            }
            Waiting::Poll => (self.buffer.len() >= 6).then(|| {
                let (body, crc) = self.buffer[..6].split_at(4);
                body[..3] == [self.address, 0x01, 0x01] && crc == crc16(body)
            }),
        }
    }
}

impl Codec for ModbusRelay {
    fn opened(&mut self, now: Ms, out: &mut Vec<Out>) {
        self.waiting = None;
        self.queue = None;
        self.unanswered = 0;
        self.ready = None;
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
        match self.matches() {
            Some(true) => self.answered(now, out),
            // Not the answer: the time-out decides, since no frame begins at a known place.
            Some(false) => out.push(Out::Error("garbled answer")),
            None => {}
        }
    }

    fn command(&mut self, now: Ms, ticket: Ticket, command: &Command, out: &mut Vec<Out>) {
        match command {
            Command::Pulse { ms } if self.waiting.is_some() => {
                // One request at a time on the line: the board may be answering now, and its answer would
                // garble the next. The newer request waits its turn.
                if let Some((old, _)) = self.queue.replace((ticket, *ms)) {
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
            Some((Waiting::Pulse { ticket, request, confirms, tries }, _)) if tries < TRIES => {
                out.push(Out::Error("no answer, asked again"));
                self.send(now, Waiting::Pulse { ticket, request, confirms, tries: tries + 1 }, out);
            }
            Some((Waiting::Pulse { ticket, .. }, _)) => {
                out.push(Out::Error("no answer"));
                out.push(Out::Report(Report::NoData { ticket, why: NoData::Timeout }));
                self.link(false, out);
                self.poll_at = now + ANSWER_MS;
                if let Some((ticket, ms)) = self.queue.take() {
                    self.pulse(now, ticket, ms, out);
                }
            }
            Some((Waiting::Poll, _)) => {
                self.unanswered += 1;
                out.push(Out::Error("no answer"));
                self.poll_at = now + POLL_MS;
                if self.unanswered >= POLLS_LOST {
                    self.link(false, out);
                }
                if let Some((ticket, ms)) = self.queue.take() {
                    self.pulse(now, ticket, ms, out);
                }
            }
            None if self.poll_at <= now => self.send(now, Waiting::Poll, out),
            None => {}
        }
    }

    fn lost(&mut self) -> Option<Ticket> {
        self.ready = None;
        self.buffer.clear();
        let queued = self.queue.take().map(|(t, _)| t);
        match self.waiting.take() {
            Some((Waiting::Pulse { ticket, .. }, _)) => Some(ticket),
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
            r.wake(300, &mut out);
            r.wake(600, &mut out);
            assert!(!out.contains(&Out::Report(Report::Done { ticket: Ticket(9) })));
            assert!(out.contains(&Out::Report(Report::NoData { ticket: Ticket(9), why: NoData::Timeout })));
        }
    }

    #[test]
    fn a_pulse_waits_for_the_answer_that_is_on_the_line() {
        let (mut r, mut out) = (ModbusRelay::new(Dialect::Waveshare, 1, 0), Vec::new());
        r.opened(0, &mut out);
        r.command(1, Ticket(9), &Command::Pulse { ms: 700 }, &mut out);
        let writes = |out: &[Out]| out.iter().filter(|o| matches!(o, Out::Write(_))).count();
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

    #[test]
    fn a_late_answer_never_answers_a_new_request() {
        let (mut r, mut out) = pulse();
        r.wake(300, &mut out);
        r.wake(600, &mut out);
        out.clear();
        r.bytes(601, &framed(&[1, 5, 2, 0, 0, 7]), &mut out);
        assert_eq!(out, [Out::Error("late or unasked answer")]);
    }
}
