//! Heimann arrays behind a controller on a UART, 115200 8N1: they answer each question with one frame.
//!
//! YS-HAIMAN: `A5 55 01 FB` asks; 7 bytes come back: A5 55, the warmest temperature in 1/100 °C little-endian, its
//! column and row, the 8-bit sum of the six. "M23" with 32 × 32 pixels: `EE E1 01 55 FF FC FD FF`
//! asks; 2055 bytes come back: E1, 1024 pixels and the surroundings in 1/10 K big-endian, and the end of the
//! question again. It has no checksum: a frame counts if it ends so and if every one of its values is a
//! temperature that the array can measure. Source: public drivers; that the end is the question's follows from
//! its length and was not seen on a device.

use crate::codec::Ms;
use crate::gy_mcu90640::{Field, Place};
use crate::thermometer::{Front, Module, framed};
use kakou_core::reading::Temperature;

const ASK_PEAK: [u8; 4] = [0xa5, 0x55, 0x01, 0xfb];
const PEAK: usize = 7;
const ASK_ARRAY: [u8; 8] = [0xee, 0xe1, 0x01, 0x55, 0xff, 0xfc, 0xfd, 0xff];
const ARRAY: usize = 2055;
const SIDE: usize = 32;
/// 0 °C in 1/10 K, as the module counts.
const ZERO_DECIKELVIN: i32 = 2_731;
/// What the array can measure, in 1/10 °C.
const RANGE: std::ops::RangeInclusive<i32> = -400..=3_000;
/// Eight frames a second.
const ASK_EVERY_MS: Ms = 125;

/// The module that tells the warmest temperature.
#[derive(Debug)]
pub struct HaimanPeak {
    /// Whether it is specified for the body.
    pub body_grade: bool,
}

/// The module that tells all pixels.
#[derive(Debug)]
pub struct Haiman32 {
    /// Where in its view a black body is.
    pub black_body: Option<Place>,
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, b| sum.wrapping_add(*b))
}

/// An answer of the first, for simulators; 1/100 °C.
pub fn peak(hundredths: i16) -> Vec<u8> {
    let [lo, hi] = hundredths.to_le_bytes();
    let mut out = vec![0xa5, 0x55, lo, hi, 0, 0];
    out.push(sum(&out));
    out
}

/// An answer of the second, for simulators; 1/10 °C everywhere.
pub fn array(tenths: i16, ambient: i16) -> Vec<u8> {
    let word = |t: i16| u16::try_from(i32::from(t) + ZERO_DECIKELVIN).unwrap_or(0).to_be_bytes();
    let mut out = vec![0xe1];
    (0..SIDE * SIDE).for_each(|_| out.extend(word(tenths)));
    out.extend(word(ambient));
    out.extend(&ASK_ARRAY[4..]);
    out
}

impl Module for HaimanPeak {
    fn start(&self) -> &[u8] {
        &ASK_PEAK
    }
    fn stop(&self) -> &[u8] {
        &[]
    }
    fn ask_every(&self) -> Option<Ms> {
        Some(ASK_EVERY_MS)
    }
    fn weak(&self) -> bool {
        true
    }
    fn front(&self, bytes: &[u8]) -> Front {
        let frame = match framed(bytes, &ASK_PEAK[..2], PEAK) {
            Ok(frame) => frame,
            Err(front) => return front,
        };
        let object = i32::from(i16::from_le_bytes([frame[2], frame[3]])) * 10;
        // An 8-bit sum alone is right by chance too often.
        let possible = RANGE.contains(&(object / 100)) && frame[4..6].iter().all(|p| usize::from(*p) < SIDE);
        if sum(&frame[..PEAK - 1]) != frame[PEAK - 1] || !possible {
            return Front::Broken;
        }
        let reading = Temperature {
            object_mdeg: object,
            ambient_mdeg: None,
            reference_mdeg: None,
            body_grade: self.body_grade,
        };
        Front::Frame { length: PEAK, reading }
    }
}

impl Module for Haiman32 {
    fn start(&self) -> &[u8] {
        &ASK_ARRAY
    }
    fn stop(&self) -> &[u8] {
        &[]
    }
    fn ask_every(&self) -> Option<Ms> {
        Some(ASK_EVERY_MS)
    }
    fn front(&self, bytes: &[u8]) -> Front {
        let frame = match framed(bytes, &[0xe1], ARRAY) {
            Ok(frame) => frame,
            Err(front) => return front,
        };
        let tenths = |w: &[u8]| i32::from(u16::from_be_bytes([w[0], w[1]])) - ZERO_DECIKELVIN;
        let values: Vec<i32> = frame[1..ARRAY - 4].chunks_exact(2).map(tenths).collect();
        if !frame.ends_with(&ASK_ARRAY[4..]) || !values.iter().all(|v| RANGE.contains(v)) {
            return Front::Broken;
        }
        let pixels: Vec<i16> =
            values[..SIDE * SIDE].iter().map(|v| i16::try_from(*v).unwrap_or(i16::MAX)).collect();
        let field = Field { pixels: &pixels, columns: SIDE, rows: SIDE };
        let reading = Temperature {
            object_mdeg: field.warmest(self.black_body) * 100,
            ambient_mdeg: Some(values[SIDE * SIDE] * 100),
            reference_mdeg: self.black_body.and_then(|at| field.around(at)).map(|t| t * 100),
            body_grade: false,
        };
        Front::Frame { length: ARRAY, reading }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, Out};
    use crate::thermometer::{PAUSE_MS, SILENCE_MS, Thermometer};
    use kakou_core::reading::{Command, NoData, Report, Ticket};

    #[test]
    fn both_answers_are_read() {
        let read =
            |front| if let Front::Frame { reading, .. } = front { Some(reading.object_mdeg) } else { None };
        assert_eq!(read(HaimanPeak { body_grade: true }.front(&peak(3_656))), Some(36_560));
        assert_eq!(read(Haiman32 { black_body: None }.front(&array(365, 220))), Some(36_500));
    }

    #[test]
    fn an_answer_that_is_lost_is_asked_for_again_and_ends_no_measurement() {
        let mut codec = Thermometer::new(HaimanPeak { body_grade: true });
        let mut out = Vec::new();
        codec.command(0, Ticket(1), &Command::Measure, &mut out);
        let mut broken = peak(3_656);
        broken[2] ^= 1;
        codec.bytes(40, &broken, &mut out);
        let again = codec.deadline().unwrap();
        assert!(again < SILENCE_MS);
        out.clear();
        codec.wake(again, &mut out);
        assert!(out.contains(&Out::Write(ASK_PEAK.to_vec())), "{out:?}");
        codec.bytes(again + 40, &peak(3_656), &mut out);
        codec.wake(again + 40 + PAUSE_MS, &mut out);
        assert!(matches!(out.last(), Some(Out::Report(Report::Temperature { ticket: Ticket(1), .. }))));
        // One that is dead is given up all the same.
        let mut now = codec.deadline().unwrap();
        while let Some(at) = codec.deadline() {
            now = at;
            codec.wake(now, &mut out);
        }
        assert!(now <= again + 40 + PAUSE_MS + ASK_EVERY_MS + SILENCE_MS);
        assert!(matches!(out.last(), Some(Out::Report(Report::NoData { why: NoData::Timeout, .. }))));
    }

    #[test]
    fn a_picture_that_slipped_by_a_byte_is_refused() {
        let frame = array(365, 220);
        for cut in [1, 2, 700, 701] {
            let slipped = [&frame[..cut], &frame[..]].concat();
            assert_eq!(Haiman32 { black_body: None }.front(&slipped), Front::Broken, "{cut}");
        }
    }
}
