//! Zebra SSI, also spoken by GM67 and Nadamoo: 9600 8N1, in packets.
//!
//! A packet is its length without the checksum, opcode, source (04 host, 00 decoder), status, data, and
//! the two's complement of the 16-bit sum, big-endian. Each packet of the decoder is acknowledged; one
//! whose acknowledgement was lost comes again with status bit 0 and counts once. Long codes come as
//! decode data with status bit 1 (more follows), as 0x73 segments, or (GM67) as one long packet: FF F4, its length
//! in two bytes, F4 again, source, status, data, sum. Sources: Simple Serial Interface programmer's guide, public drivers and captures.

use crate::codec::{Codec, Ms, Out};
use crate::line_scanner::MAX_CODE;
use crate::scan_text::{Framing, ScanResult};
use kakou_core::codes::Outcome;
use kakou_core::reading::{Command, NoData, Report, Ticket};

const ACK: u8 = 0xd0;
const NAK: u8 = 0xd1;
const DECODE: u8 = 0xf3;
const SEGMENT: u8 = 0x73;
const LONG: u8 = 0xf4;
/// What stands before the data of a long packet.
const LONG_HEAD: usize = 7;
const PARAMETER: u8 = 0xc6;
const SCAN_ENABLE: u8 = 0xe9;
const START: u8 = 0xe4;
const STOP: u8 = 0xe5;
const BEEP: u8 = 0xe6;
/// One short high beep.
const ONE_HIGH: u8 = 0x00;
/// Three short low beeps.
const THREE_LOW: u8 = 0x07;
/// Parameter: codes come in packets, not as text.
const IN_PACKETS: u8 = 0xee;
/// Parameter: codes that change the reader.
const SETUP_CODES: u8 = 0xec;
const HOST: u8 = 0x04;
const RESENT: u8 = 0x01;
const MORE: u8 = 0x02;
/// An answer comes within this time.
const ANSWER_MS: Ms = 500;
/// A packet is over when nothing follows for this long.
const GAP_MS: Ms = 100;
/// A sleeping reader needs this long after the byte that wakes it.
const WAKE_MS: Ms = 50;
/// Between two set-ups of a reader that does not answer.
const AGAIN_MS: Ms = 5_000;
const TRIES: u32 = 3;
/// The next part of a code comes within this time, also when it must be sent twice more; later it is another's.
const PART_MS: Ms = 3_000;
/// A packet of the host.
pub fn packet(opcode: u8, data: &[u8]) -> Vec<u8> {
    framed(opcode, HOST, 0, data)
}

/// A packet with its checksum.
pub fn framed(opcode: u8, source: u8, status: u8, data: &[u8]) -> Vec<u8> {
    let length = u8::try_from(data.len() + 4).unwrap_or(u8::MAX);
    let mut out = vec![length, opcode, source, status];
    out.extend_from_slice(data);
    out.extend(checksum(&out));
    out
}

/// Two's complement of the 16-bit sum.
pub fn checksum(bytes: &[u8]) -> [u8; 2] {
    bytes.iter().fold(0_u16, |sum, b| sum.wrapping_add(u16::from(*b))).wrapping_neg().to_be_bytes()
}

/// What a reader is set to: packets, and no code changes it.
fn setting(step: usize) -> Option<Vec<u8>> {
    Some(match step {
        0 => packet(PARAMETER, &[0xff, IN_PACKETS, 1]),
        1 => packet(PARAMETER, &[0xff, SETUP_CODES, 0]),
        2 => packet(SCAN_ENABLE, &[0xff]),
        _ => return None,
    })
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Waking { until: Ms },
    Asked { step: usize, tries: u32, until: Ms },
    Reading,
    Resting { until: Ms },
}

/// A code that comes in parts.
#[derive(Debug, Default)]
struct Parts {
    text: Vec<u8>,
    /// The next 0x73 segment and the length of the whole.
    segments: Option<(u8, usize)>,
    /// When the next one must be here.
    until: Option<Ms>,
}

/// The codec.
#[derive(Debug)]
pub struct Ssi {
    stage: Stage,
    buffer: Vec<u8>,
    gap_at: Option<Ms>,
    parts: Parts,
    last: Vec<u8>,
    ready: Option<bool>,
    framing: Framing,
}

impl Default for Ssi {
    fn default() -> Self {
        Self::new(Framing::default())
    }
}

impl Ssi {
    /// For a reader that puts this around its codes.
    pub fn new(framing: Framing) -> Self {
        Self {
            stage: Stage::Reading,
            buffer: Vec::new(),
            gap_at: None,
            parts: Parts::default(),
            last: Vec::new(),
            ready: None,
            framing,
        }
    }
}

/// What lies at the front of the buffer.
enum Front {
    Short,
    /// Not a packet: one byte is dropped.
    Noise,
    /// A packet whose checksum is wrong.
    Broken,
    Packet {
        whole: usize,
        opcode: u8,
        status: u8,
        data: std::ops::Range<usize>,
    },
}

/// The packet at the front.
fn front(b: &[u8]) -> Front {
    if b.first() == Some(&0xff) && b.get(1).is_none_or(|opcode| *opcode == LONG) {
        return long(b);
    }
    let (Some(&length), Some(&opcode)) = (b.first(), b.get(1)) else { return Front::Short };
    if length < 4 || b.get(2).is_some_and(|source| *source != 0 && *source != 2) {
        return Front::Noise;
    }
    if !matches!(opcode, ACK | NAK | DECODE | SEGMENT | PARAMETER | 0xf6 | 0xa4 | 0x80) {
        return Front::Noise;
    }
    checked(b, opcode, 4, usize::from(length))
}

/// A packet whose data lie between the end of its head, which is its status, and its checksum.
fn checked(b: &[u8], opcode: u8, head: usize, body: usize) -> Front {
    let whole = body + 2;
    if b.len() < whole {
        return Front::Short;
    }
    if b[body..whole] != checksum(&b[..body]) {
        return Front::Broken;
    }
    Front::Packet { whole, opcode, status: b[head - 1], data: head..body }
}

/// A long packet at the front.
fn long(b: &[u8]) -> Front {
    let Some(&[_, _, hi, lo, inner, source, _]) = b.first_chunk::<LONG_HEAD>() else {
        return Front::Short;
    };
    let body = usize::from(u16::from_be_bytes([hi, lo]));
    // One byte of its data is the kind of code.
    let possible = (LONG_HEAD + 1..=LONG_HEAD + 1 + MAX_CODE).contains(&body);
    if inner != LONG || !possible || (source != 0 && source != 2) {
        return Front::Noise;
    }
    checked(b, DECODE, LONG_HEAD, body)
}

/// Whether this begins with a packet of a reader.
pub fn is_packet(bytes: &[u8]) -> bool {
    matches!(front(bytes), Front::Packet { .. })
}

impl Ssi {
    fn ask(&mut self, now: Ms, step: usize, tries: u32, out: &mut Vec<Out>) {
        match setting(step) {
            Some(command) => {
                out.push(Out::Write(command));
                self.stage = Stage::Asked { step, tries, until: now + ANSWER_MS };
            }
            None => {
                self.stage = Stage::Reading;
                self.link(true, out);
            }
        }
    }

    fn wake_reader(&mut self, now: Ms, out: &mut Vec<Out>) {
        out.push(Out::Write(vec![0]));
        self.stage = Stage::Waking { until: now + WAKE_MS };
    }

    fn link(&mut self, ready: bool, out: &mut Vec<Out>) {
        if self.ready.replace(ready) != Some(ready) {
            out.push(Out::Report(Report::Link { ready }));
        }
    }

    fn answered(&mut self, now: Ms, good: bool, out: &mut Vec<Out>) {
        if let Stage::Asked { step, .. } = self.stage {
            if !good {
                out.push(Out::Error("the reader refused a setting"));
            }
            self.ask(now, step + 1, 1, out);
        }
    }

    /// A whole packet with a good checksum.
    fn packet(&mut self, now: Ms, opcode: u8, status: u8, data: &[u8], out: &mut Vec<Out>) {
        out.push(Out::Seen);
        if opcode == ACK || opcode == NAK {
            self.answered(now, opcode == ACK, out);
            return;
        }
        out.push(Out::Write(packet(ACK, &[0xff])));
        // Sent again because our acknowledgement was lost: once is enough.
        if status & RESENT != 0 && self.last == data {
            return;
        }
        data.clone_into(&mut self.last);
        match opcode {
            DECODE => self.decode(status, data, out),
            SEGMENT => self.segment(data, out),
            _ => return,
        }
        self.parts.until = (!self.parts.text.is_empty()).then_some(now + PART_MS);
    }

    fn decode(&mut self, status: u8, data: &[u8], out: &mut Vec<Out>) {
        // The first byte is the kind of code. A continuation repeats it.
        let Some((_, text)) = data.split_first() else { return };
        // Nothing was read: with a kind of code or without.
        if data == b"NR" || text == b"NR" {
            self.parts = Parts::default();
            return;
        }
        if self.parts.segments.is_some() {
            self.parts = Parts::default();
            out.push(Out::Error("a segment is missing"));
        }
        if !self.room(text.len(), out) {
            return;
        }
        self.parts.text.extend_from_slice(text);
        if status & MORE == 0 {
            self.finish(out);
        }
    }

    /// A segment is its number, then in the first one the wrapped packet: opcode, source, status,
    /// 16-bit length, kind of code, 01, 16-bit length of the text.
    fn segment(&mut self, data: &[u8], out: &mut Vec<Out>) {
        let Some((&number, rest)) = data.split_first() else { return };
        let text = if number == 0 {
            self.parts = Parts::default();
            let &[DECODE, _, _, _, _, _, _, hi, lo, ref text @ ..] = rest else {
                out.push(Out::Error("an unknown kind of segment"));
                return;
            };
            self.parts.segments = Some((0, usize::from(u16::from_be_bytes([hi, lo]))));
            text
        } else {
            rest
        };
        let Some((next, length)) = self.parts.segments else {
            out.push(Out::Error("a segment without its beginning"));
            return;
        };
        if next != number || !self.room(text.len(), out) {
            self.parts = Parts::default();
            out.push(Out::Error("a segment is missing"));
            return;
        }
        self.parts.text.extend_from_slice(text);
        self.parts.segments = Some((number.wrapping_add(1), length));
        if self.parts.text.len() == length {
            self.finish(out);
        } else if self.parts.text.len() > length {
            self.parts = Parts::default();
            out.push(Out::Error("a code longer than announced"));
        }
    }

    fn room(&mut self, more: usize, out: &mut Vec<Out>) -> bool {
        let fits = self.parts.text.len() + more <= MAX_CODE;
        if !fits {
            self.parts = Parts::default();
            out.push(Out::Error("code too long"));
        }
        fits
    }

    /// Takes every whole packet out of the buffer.
    fn sort(&mut self, now: Ms, out: &mut Vec<Out>) {
        loop {
            match front(&self.buffer) {
                Front::Short => break,
                Front::Noise => drop(self.buffer.drain(..1)),
                Front::Broken => {
                    // Nobody knows where the next packet begins: it is looked for byte by byte.
                    self.buffer.drain(..1);
                    out.push(Out::Error("bad checksum"));
                    out.push(Out::Write(packet(NAK, &[0xff, 0x01])));
                }
                Front::Packet { whole, opcode, status, data } => {
                    let data = self.buffer[data].to_vec();
                    self.buffer.drain(..whole);
                    self.packet(now, opcode, status, &data, out);
                }
            }
        }
    }

    fn finish(&mut self, out: &mut Vec<Out>) {
        let bytes = std::mem::take(&mut self.parts).text;
        match self.framing.take_off(&bytes) {
            ScanResult::Code(bytes) => out.push(Out::Report(Report::Scan { bytes })),
            ScanResult::NoRead => out.push(Out::Error("the reader says that it read nothing")),
            ScanResult::Nothing => {}
        }
    }
}

impl Codec for Ssi {
    fn opened(&mut self, now: Ms, out: &mut Vec<Out>) {
        *self = Self::new(std::mem::take(&mut self.framing));
        out.push(Out::Flush);
        self.wake_reader(now, out);
    }

    fn bytes(&mut self, now: Ms, bytes: &[u8], out: &mut Vec<Out>) {
        self.buffer.extend_from_slice(bytes);
        self.sort(now, out);
        self.gap_at = (!self.buffer.is_empty()).then_some(now + GAP_MS);
    }

    fn command(&mut self, _: Ms, ticket: Ticket, command: &Command, out: &mut Vec<Out>) {
        match command {
            Command::Read { on } => out.push(Out::Write(packet(if *on { START } else { STOP }, &[]))),
            Command::Signal { outcome, .. } => {
                out.push(Out::Write(packet(
                    BEEP,
                    &[if *outcome == Outcome::Admit { ONE_HIGH } else { THREE_LOW }],
                )));
            }
            Command::Stop => {}
            Command::Measure | Command::Pulse { .. } | Command::Capture { .. } | Command::Print { .. } => {
                out.push(Out::Report(Report::NoData { ticket, why: NoData::Fault }));
            }
        }
    }

    fn deadline(&self) -> Option<Ms> {
        let own = match self.stage {
            Stage::Reading => None,
            Stage::Waking { until } | Stage::Asked { until, .. } | Stage::Resting { until } => Some(until),
        };
        [own, self.gap_at, self.parts.until].into_iter().flatten().min()
    }

    fn wake(&mut self, now: Ms, out: &mut Vec<Out>) {
        if self.gap_at.is_some_and(|at| at <= now) {
            // A packet that was cut, or noise that looked like one: whole packets may lie behind it.
            out.push(Out::Error("a packet without its end"));
            while !self.buffer.is_empty() {
                self.buffer.drain(..1);
                self.sort(now, out);
            }
            self.gap_at = None;
        }
        if self.parts.until.is_some_and(|at| at <= now) {
            self.parts = Parts::default();
            out.push(Out::Error("a code without its end"));
        }
        match self.stage {
            Stage::Waking { until } if until <= now => self.ask(now, 0, 1, out),
            Stage::Asked { step, tries, until } if until <= now && tries < TRIES => {
                self.ask(now, step, tries + 1, out);
            }
            Stage::Asked { until, .. } if until <= now => {
                out.push(Out::Error("no answer to a setting"));
                self.link(false, out);
                self.stage = Stage::Resting { until: now + AGAIN_MS };
            }
            Stage::Resting { until } if until <= now => self.wake_reader(now, out),
            Stage::Waking { .. } | Stage::Asked { .. } | Stage::Resting { .. } | Stage::Reading => {}
        }
    }

    fn lost(&mut self) -> Option<Ticket> {
        self.buffer.clear();
        self.parts = Parts::default();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(packets: &[Vec<u8>]) -> Vec<Out> {
        let (mut s, mut out) = (Ssi::default(), Vec::new());
        for byte in packets.concat() {
            s.bytes(0, &[byte], &mut out);
        }
        out
    }

    fn scans(out: &[Out]) -> Vec<String> {
        out.iter()
            .filter_map(|o| {
                let Out::Report(Report::Scan { bytes }) = o else { return None };
                Some(String::from_utf8_lossy(bytes).into_owned())
            })
            .collect()
    }

    fn decode(status: u8, text: &str) -> Vec<u8> {
        framed(DECODE, 0, status, &[&[0x1c], text.as_bytes()].concat())
    }

    #[test]
    fn a_packet_is_acknowledged_and_one_sent_again_counts_once() {
        let out = feed(&[decode(0, "KP1:AB"), decode(RESENT, "KP1:AB"), decode(0, "KP1:AB")]);
        assert_eq!(scans(&out), ["KP1:AB", "KP1:AB"]);
        let acks = out.iter().filter(|o| **o == Out::Write(packet(ACK, &[0xff]))).count();
        assert_eq!(acks, 3);
    }

    #[test]
    fn parts_become_one_code() {
        assert_eq!(scans(&feed(&[decode(MORE, "KP1:"), decode(MORE, "AB"), decode(0, "CD")])), ["KP1:ABCD"]);
    }

    #[test]
    fn what_is_left_of_one_code_is_no_part_of_the_next() {
        let (mut s, mut out) = (Ssi::default(), Vec::new());
        s.bytes(0, &decode(MORE, "KP1:"), &mut out);
        assert_eq!(s.deadline(), Some(PART_MS));
        s.wake(PART_MS, &mut out);
        assert!(out.contains(&Out::Error("a code without its end")));
        s.bytes(PART_MS + 1, &decode(0, "GREEN-1"), &mut out);
        assert_eq!(scans(&out), ["GREEN-1"]);
        let first = framed(SEGMENT, 2, 0, &[0, DECODE, 0, 0, 0, 8, 0x1c, 1, 0, 6, b'A', b'B']);
        assert_eq!(scans(&feed(&[first, decode(0, "GREEN-2")])), ["GREEN-2"]);
    }

    #[test]
    fn nothing_read_is_no_code() {
        let none = framed(DECODE, 0, 0, &[0x01, b'N', b'R']);
        assert_eq!(none[..7], [0x07, 0xf3, 0x00, 0x00, 0x01, 0x4e, 0x52]);
        assert!(scans(&feed(std::slice::from_ref(&none))).is_empty());
        assert_eq!(scans(&feed(&[decode(MORE, "KP1:"), none, decode(0, "GREEN-1")])), ["GREEN-1"]);
    }

    #[test]
    fn a_long_packet_is_one_code() {
        let text = "A".repeat(400);
        let mut long = vec![0xff, LONG, 0, 0, LONG, 0, 0, 0x1c];
        long.extend_from_slice(text.as_bytes());
        let length = u16::try_from(long.len()).unwrap().to_be_bytes();
        long[2..4].copy_from_slice(&length);
        long.extend(checksum(&long));
        assert_eq!(scans(&feed(&[long.clone(), decode(0, "B")])), [text.clone(), "B".into()]);
        long[50] ^= 1;
        assert_eq!(scans(&feed(&[long, decode(0, "B")])), ["B"], "broken");
        assert_eq!(scans(&feed(&[vec![0xff, LONG, 0xff, 0xff, 1], decode(0, "B")])), ["B"], "noise");
    }

    #[test]
    fn a_lost_segment_gives_no_code() {
        let first = framed(SEGMENT, 2, 0, &[0, DECODE, 0, 0, 0, 8, 0x1c, 1, 0, 6, b'A', b'B']);
        let second = framed(SEGMENT, 0, 0, &[1, b'C', b'D']);
        let third = framed(SEGMENT, 0, 0, &[2, b'E', b'F']);
        assert_eq!(scans(&feed(&[first.clone(), second, third.clone()])), ["ABCDEF"]);
        assert!(scans(&feed(&[first, third])).is_empty());
    }

    #[test]
    fn a_broken_packet_is_asked_for_again_and_the_next_is_read() {
        let mut broken = decode(0, "KP1:AB");
        broken[6] ^= 1;
        let out = feed(&[broken, decode(0, "KP1:CD")]);
        assert_eq!(scans(&out), ["KP1:CD"]);
        assert!(out.contains(&Out::Write(packet(NAK, &[0xff, 0x01]))));
    }

    #[test]
    fn set_up_ends_with_a_reader_that_is_ready() {
        let (mut s, mut out) = (Ssi::default(), Vec::new());
        s.opened(0, &mut out);
        s.wake(50, &mut out);
        for _ in 0..3 {
            s.bytes(60, &framed(ACK, 0, 0, &[0xff]), &mut out);
        }
        assert!(out.contains(&Out::Write(vec![0x07, 0xc6, 0x04, 0x00, 0xff, 0xee, 0x01, 0xfd, 0x41])));
        assert!(out.contains(&Out::Report(Report::Link { ready: true })));
    }
}
