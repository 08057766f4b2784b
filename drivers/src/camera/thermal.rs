//! Temperatures from thermal cameras that the kernel shows as video.
//!
//! FLIR Lepton 3.x behind a PureThermal board: 16-bit values in 1/100 K while TLinear is on; 160 × 120 pixels,
//! below them two rows of telemetry that are left out. AMG88xx (`video-i2c`): 8 × 8 values of 12 bits, 0.25 °C.
//! Neither is specified for the body.

use super::frame::Frame;
use crate::gy_mcu90640::{Field, Place};
use kakou_core::reading::Temperature;

/// 0 °C in 1/100 K.
const ZERO_CENTIKELVIN: i32 = 27_315;
/// Rows of a Lepton's picture.
const LEPTON_ROWS: usize = 120;
/// Colder than this in 1/100 °C, and the values are not temperatures.
const IMPOSSIBLE: i32 = -6_000;

/// A Lepton's frame.
pub fn lepton(frame: &Frame<'_>, black_body: Option<Place>) -> Option<Temperature> {
    let rows = frame.height.min(LEPTON_ROWS);
    let words = frame.words()?;
    let celsius = |w: &u16| i16::try_from(i32::from(*w) - ZERO_CENTIKELVIN).unwrap_or(i16::MAX);
    let pixels: Vec<i16> = words.get(..frame.width * rows)?.iter().map(celsius).collect();
    reading(Field { pixels: &pixels, columns: frame.width, rows }, black_body, 10)
}

/// An AMG88xx's frame: two's complement in 12 bits.
pub fn amg88xx(frame: &Frame<'_>, black_body: Option<Place>) -> Option<Temperature> {
    let quarters = |w: &u16| (w << 4).cast_signed() >> 4;
    let pixels: Vec<i16> = frame.words()?.iter().map(quarters).collect();
    reading(Field { pixels: &pixels, columns: frame.width, rows: frame.height }, black_body, 250)
}

fn reading(field: Field<'_>, black_body: Option<Place>, unit_mdeg: i32) -> Option<Temperature> {
    if field.columns < 3 || field.rows < 3 || field.pixels.len() < field.columns * field.rows {
        return None;
    }
    let object_mdeg = field.warmest(black_body) * unit_mdeg;
    let reference_mdeg = black_body.and_then(|at| field.around(at)).map(|t| t * unit_mdeg);
    (object_mdeg > IMPOSSIBLE * 10).then_some(Temperature {
        object_mdeg,
        ambient_mdeg: None,
        reference_mdeg,
        body_grade: false,
    })
}

#[cfg(test)]
mod tests {
    use super::super::frame::Pixels;
    use super::*;

    fn frame(bytes: &[u8], width: usize, height: usize) -> Frame<'_> {
        Frame { bytes, pixels: Pixels::Y16, width, height, stride: width * 2 }
    }

    #[test]
    fn a_lepton_gives_hundredths_of_a_kelvin_and_its_telemetry_is_no_fever() {
        let mut words = vec![27_315 + 2_100_u16; 160 * 120];
        for (x, y) in (50..60).flat_map(|x| (40..50).map(move |y| (x, y))) {
            words[y * 160 + x] = 27_315 + 3_712;
        }
        words.extend([60_000; 320]);
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        assert_eq!(lepton(&frame(&bytes, 160, 122), None).unwrap().object_mdeg, 37_120);
        // Without TLinear the values are counts of the detector.
        let counts: Vec<u8> = [8_000_u16; 160 * 120].iter().flat_map(|w| w.to_le_bytes()).collect();
        assert_eq!(lepton(&frame(&counts, 160, 120), None), None);
    }

    #[test]
    fn a_black_body_is_read_and_is_nobodys_forehead() {
        let mut words = vec![27_315 + 2_100_u16; 160 * 120];
        let mut warm = |x0: usize, y0: usize, hundredths: u16| {
            for (x, y) in (x0 - 2..=x0 + 2).flat_map(|x| (y0 - 2..=y0 + 2).map(move |y| (x, y))) {
                words[y * 160 + x] = 27_315 + hundredths;
            }
        };
        warm(10, 10, 3_790);
        warm(80, 60, 3_650);
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let seen = lepton(&frame(&bytes, 160, 120), Some([10, 10])).unwrap();
        assert_eq!((seen.object_mdeg, seen.reference_mdeg), (36_500, Some(37_900)));
        assert_eq!(
            lepton(&frame(&bytes, 160, 120), Some([0, 0])).unwrap().reference_mdeg,
            None,
            "at the border"
        );
    }

    #[test]
    fn an_amg88xx_gives_quarters_of_a_degree() {
        let bytes: Vec<u8> = [0x094_u16; 64].iter().flat_map(|w| w.to_le_bytes()).collect();
        assert_eq!(amg88xx(&frame(&bytes, 8, 8), None).unwrap().object_mdeg, 37_000);
        let frost: Vec<u8> = [0xffc_u16; 64].iter().flat_map(|w| w.to_le_bytes()).collect();
        assert_eq!(amg88xx(&frame(&frost, 8, 8), None).unwrap().object_mdeg, -1_000);
    }
}
