//! GY-MCU90614: an MLX90614 behind a small controller on a UART, 9600 8N1.
//!
//! Frame: `5A 5A 45 04`, object temperature, ambient temperature (both signed big-endian in 1/100 °C),
//! sum of all bytes before. `A5 45 EA` starts the stream, `A5 15 BA` asks for one frame and ends the
//! stream. Source: maker's manual.

use crate::thermometer::{Front, Module, framed};
use kakou_core::reading::Temperature;

const STREAM: [u8; 3] = [0xa5, 0x45, 0xea];
const QUERY: [u8; 3] = [0xa5, 0x15, 0xba];
const HEAD: [u8; 4] = [0x5a, 0x5a, 0x45, 0x04];
const FRAME: usize = 9;

/// The module.
#[derive(Debug)]
pub struct GyMcu90614 {
    /// Whether it is specified and calibrated for the body.
    pub body_grade: bool,
}

/// The bytes of a frame, for simulators.
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

impl Module for GyMcu90614 {
    fn start(&self) -> &[u8] {
        &STREAM
    }
    fn stop(&self) -> &[u8] {
        &QUERY
    }
    fn weak(&self) -> bool {
        true
    }
    fn front(&self, bytes: &[u8]) -> Front {
        let f = match framed(bytes, &HEAD, FRAME) {
            Ok(frame) => frame,
            Err(front) => return front,
        };
        // The sum is weak: a frame cut behind its fifth byte and followed by another passes for 36.74 °C.
        // No skin and no room gives the bytes of a head.
        let swallowed = f[4..].windows(2).any(|w| w == [0x5a, 0x5a]);
        if swallowed || sum(&f[..8]) != f[8] {
            return Front::Broken;
        }
        let mdeg = |hi: usize| i32::from(i16::from_be_bytes([f[hi], f[hi + 1]])) * 10;
        let reading = Temperature {
            object_mdeg: mdeg(4),
            ambient_mdeg: Some(mdeg(6)),
            reference_mdeg: None,
            body_grade: self.body_grade,
        };
        Front::Frame { length: FRAME, reading }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, Out};
    use crate::thermometer::{PAUSE_MS, SILENCE_MS, Thermometer};
    use kakou_core::reading::{Command, NoData, Report, Ticket};
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

    fn module() -> Thermometer<GyMcu90614> {
        Thermometer::new(GyMcu90614 { body_grade: true })
    }

    fn measuring() -> Thermometer<GyMcu90614> {
        let mut g = module();
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
        let (mut g, mut out) = (module(), Vec::new());
        g.bytes(0, &frame(36_500, 20_000)[..5], &mut out);
        g.command(0, Ticket(1), &Command::Measure, &mut out);
        g.bytes(0, &frame(36_500, 20_000)[5..], &mut out);
        assert!(readings(&out).is_empty());
    }

    #[test]
    fn a_cut_frame_never_passes_for_a_temperature_with_the_next() {
        let whole = frame(35_840, 20_000);
        for cut in 1..8 {
            let (mut g, mut out) = (measuring(), Vec::new());
            g.bytes(0, &[&whole[..cut], &whole, &whole].concat(), &mut out);
            g.wake(PAUSE_MS, &mut out);
            assert!(readings(&out).iter().all(|r| *r == 35_840), "cut behind {cut}: {:?}", readings(&out));
        }
    }

    #[test]
    fn a_frame_counts_once_the_next_or_a_pause_follows() {
        let (mut g, mut out) = (measuring(), Vec::new());
        g.bytes(0, &frame(36_500, 20_000), &mut out);
        assert!(readings(&out).is_empty());
        assert_eq!(g.deadline(), Some(PAUSE_MS));
        g.wake(PAUSE_MS, &mut out);
        assert_eq!(readings(&out), [36_500]);
        g.bytes(50, &[frame(36_600, 20_000), frame(36_700, 20_000)[..2].to_vec()].concat(), &mut out);
        assert_eq!(readings(&out), [36_500, 36_600]);
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
            g.wake(PAUSE_MS, &mut out);
            prop_assert!(readings(&out).contains(&(mdeg * 10)));
        }
        #[test]
        fn a_flipped_bit_is_never_a_reading(bit in 0_usize..72) {
            let (mut g, mut out) = (measuring(), Vec::new());
            let mut f = frame(36_600, 21_000);
            f[bit / 8] ^= 1 << (bit % 8);
            g.bytes(0, &f, &mut out);
            g.wake(PAUSE_MS, &mut out);
            prop_assert!(readings(&out).is_empty());
        }
    }
}
