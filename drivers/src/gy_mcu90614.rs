//! GY-MCU90614: an MLX90614 behind a small controller on a UART, 9600 8N1.
//!
//! Frame: `5A 5A 45 04`, object temperature, ambient temperature (both signed big-endian in 1/100 °C),
//! sum of all bytes before. `A5 45 EA` starts the stream, `A5 15 BA` asks for one frame and ends the
//! stream. Source: maker's manual.

use crate::codec::{Codec, Ms, Out};
use kakou_core::reading::{Command, NoData, Report, Temperature, Ticket};

const STREAM: [u8; 3] = [0xa5, 0x45, 0xea];
const QUERY: [u8; 3] = [0xa5, 0x15, 0xba];
const HEAD: [u8; 4] = [0x5a, 0x5a, 0x45, 0x04];
const FRAME: usize = 9;
/// Without a valid frame for this long the request fails.
const SILENCE_MS: Ms = 1_000;

/// The codec.
#[derive(Debug)]
pub struct GyMcu90614 {
    body_grade: bool,
    buffer: Vec<u8>,
    measuring: Option<(Ticket, Ms)>,
}

impl GyMcu90614 {
    /// `body_grade`: whether this module is specified and calibrated for the body.
    pub fn new(body_grade: bool) -> Self {
        Self { body_grade, buffer: Vec::new(), measuring: None }
    }
}

/// The bytes of a frame.
pub fn frame(object_mdeg: i32, ambient_mdeg: i32) -> Vec<u8> {
    let mut out = HEAD.to_vec();
    for mdeg in [object_mdeg, ambient_mdeg] {
        let centi = i16::try_from(mdeg / 10).unwrap_or(i16::MAX);
        out.extend(centi.to_be_bytes());
    }
    out.push(sum(&out));
    out
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |a, b| a.wrapping_add(*b))
}

impl Codec for GyMcu90614 {
    fn opened(&mut self, _: Ms, out: &mut Vec<Out>) {
        self.buffer.clear();
        self.measuring = None;
        out.push(Out::Flush);
        out.push(Out::Write(QUERY.to_vec()));
        out.push(Out::Report(Report::Link { ready: true }));
    }

    fn bytes(&mut self, now: Ms, bytes: &[u8], out: &mut Vec<Out>) {
        self.buffer.extend_from_slice(bytes);
        let mut at = 0;
        while self.buffer.len() - at >= FRAME {
            let f = &self.buffer[at..at + FRAME];
            if f[..4] == HEAD && sum(&f[..8]) == f[8] {
                out.push(Out::Seen);
                if let Some((ticket, until)) = &mut self.measuring {
                    *until = now + SILENCE_MS;
                    let centi = |hi: usize| i32::from(i16::from_be_bytes([f[hi], f[hi + 1]]));
                    let frame = Temperature {
                        object_mdeg: centi(4) * 10,
                        ambient_mdeg: Some(centi(6) * 10),
                        body_grade: self.body_grade,
                    };
                    out.push(Out::Report(Report::Temperature { ticket: *ticket, frame }));
                }
                at += FRAME;
            } else {
                if f[..4] == HEAD {
                    out.push(Out::Error("bad checksum"));
                }
                at += 1;
            }
        }
        self.buffer.drain(..at);
    }

    fn command(&mut self, now: Ms, ticket: Ticket, command: &Command, out: &mut Vec<Out>) {
        match command {
            Command::Measure => {
                // What was sent before the request is not this person's.
                self.buffer.clear();
                self.measuring = Some((ticket, now + SILENCE_MS));
                out.push(Out::Flush);
                out.push(Out::Write(STREAM.to_vec()));
            }
            Command::Stop => {
                self.measuring = None;
                out.push(Out::Write(QUERY.to_vec()));
            }
            Command::Pulse { .. } | Command::Capture { .. } | Command::Print { .. } => {
                out.push(Out::Report(Report::NoData { ticket, why: NoData::Fault }));
            }
        }
    }

    fn deadline(&self) -> Option<Ms> {
        self.measuring.map(|(_, until)| until)
    }

    fn wake(&mut self, now: Ms, out: &mut Vec<Out>) {
        if let Some((ticket, until)) = self.measuring
            && until <= now
        {
            self.measuring = None;
            out.push(Out::Error("no answer"));
            out.push(Out::Report(Report::NoData { ticket, why: NoData::Timeout }));
        }
    }

    fn lost(&mut self) -> Option<Ticket> {
        self.buffer.clear();
        self.measuring.take().map(|(ticket, _)| ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn readings(out: &[Out]) -> Vec<i32> {
        out.iter()
            .filter_map(|o| {
                if let Out::Report(Report::Temperature { frame, .. }) = o {
                    Some(frame.object_mdeg)
                } else {
                    None
                }
            })
            .collect()
    }

    fn measuring() -> GyMcu90614 {
        let mut g = GyMcu90614::new(true);
        g.command(0, Ticket(1), &Command::Measure, &mut Vec::new());
        g
    }

    #[test]
    fn the_published_commands_carry_their_checksum() {
        for c in [STREAM, QUERY] {
            assert_eq!(sum(&c[..2]), c[2]);
        }
    }

    #[test]
    fn a_frame_before_the_request_is_not_taken() {
        let (mut g, mut out) = (GyMcu90614::new(true), Vec::new());
        g.bytes(0, &frame(36_500, 20_000)[..5], &mut out);
        g.command(0, Ticket(1), &Command::Measure, &mut out);
        g.bytes(0, &frame(36_500, 20_000)[5..], &mut out);
        assert!(readings(&out).is_empty());
    }

    #[test]
    fn silence_is_a_timeout_not_a_value() {
        let (mut g, mut out) = (measuring(), Vec::new());
        g.wake(SILENCE_MS, &mut out);
        assert!(out.contains(&Out::Report(Report::NoData { ticket: Ticket(1), why: NoData::Timeout })));
    }

    proptest! {
        #[test]
        fn it_finds_the_next_frame_after_any_noise(noise in prop::collection::vec(any::<u8>(), 0..40), mdeg in 2_000..4_500_i32) {
            let (mut g, mut out) = (measuring(), Vec::new());
            let mut stream = noise;
            // A cut frame may swallow the one behind it, never two.
            stream.extend(frame(mdeg * 10, 20_000));
            stream.extend(frame(mdeg * 10, 20_000));
            for byte in stream { g.bytes(0, &[byte], &mut out); }
            prop_assert!(readings(&out).contains(&(mdeg * 10)));
        }
        #[test]
        fn a_flipped_bit_is_never_a_reading(bit in 0_usize..72) {
            let (mut g, mut out) = (measuring(), Vec::new());
            let mut f = frame(36_600, 21_000);
            f[bit / 8] ^= 1 << (bit % 8);
            g.bytes(0, &f, &mut out);
            prop_assert!(readings(&out).is_empty());
        }
    }
}
