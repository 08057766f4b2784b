//! GY-MCU90640: an MLX90640 with 32 × 24 pixels behind a small controller on a UART, 115200 8N1; eight
//! pictures a second need 460800.
//!
//! Picture of 1544 bytes: `5A 5A 02 06`, 768 pixels and the temperature of the surroundings in 1/100 °C,
//! and the 16-bit sum of the 771 words before it, all little-endian. `A5 35 02 DC` starts the pictures,
//! `A5 35 01 DB` asks for one and ends them. The maker states ± 2 °C: never body-grade. The hottest
//! pixel alone would be one noisy pixel: what is reported is the mean of the nine around it. Source:
//! maker's manual.

use crate::thermometer::{Front, Module, framed};
use kakou_core::reading::Temperature;

const STREAM: [u8; 4] = [0xa5, 0x35, 0x02, 0xdc];
const QUERY: [u8; 4] = [0xa5, 0x35, 0x01, 0xdb];
const HEAD: [u8; 4] = [0x5a, 0x5a, 0x02, 0x06];
/// A black body is left out of the search for the warmest place by so many pixels to each side.
const BODY_RADIUS: usize = 3;
/// Pixels across.
pub const COLUMNS: usize = 32;
/// Pixels down.
pub const ROWS: usize = 24;
const FRAME: usize = 4 + 2 * COLUMNS * ROWS + 2 + 2;

/// The module.
#[derive(Debug, Default)]
pub struct GyMcu90640 {
    /// Where in its view a black body is.
    pub black_body: Option<Place>,
}

/// The sum over the words of a picture.
fn sum(bytes: &[u8]) -> u16 {
    bytes.chunks_exact(2).fold(0, |sum, w| sum.wrapping_add(u16::from_le_bytes([w[0], w[1]])))
}

/// The bytes of a picture, for simulators; pixels in 1/100 °C.
pub fn frame(pixels: &[i16], ambient: i16) -> Vec<u8> {
    let mut out = HEAD.to_vec();
    out.extend(pixels.iter().flat_map(|p| p.to_le_bytes()));
    out.extend(ambient.to_le_bytes());
    out.extend(sum(&out).to_le_bytes());
    out
}

/// A pixel: column and row.
pub type Place = [usize; 2];

/// A picture of temperatures.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// Row by row.
    pub pixels: &'a [i16],
    /// Pixels across.
    pub columns: usize,
    /// Pixels down.
    pub rows: usize,
}

impl Field<'_> {
    /// The mean of the nine pixels around one; none at the border.
    pub fn around(&self, [x, y]: Place) -> Option<i32> {
        let inside =
            (1..self.columns.checked_sub(1)?).contains(&x) && (1..self.rows.checked_sub(1)?).contains(&y);
        let at = |dx: usize, dy: usize| self.pixels.get((y + dy - 1) * self.columns + x + dx - 1).copied();
        let nine = (0..9).map(|n| at(n % 3, n / 3).map(i32::from));
        if inside { nine.sum::<Option<i32>>().map(|sum| sum / 9) } else { None }
    }

    /// The warmest place: the greatest mean of nine, not near a black body.
    pub fn warmest(&self, black_body: Option<Place>) -> i32 {
        let far = |[x, y]: &Place| {
            black_body.is_none_or(|[bx, by]| x.abs_diff(bx) > BODY_RADIUS || y.abs_diff(by) > BODY_RADIUS)
        };
        let places = (0..self.rows).flat_map(|y| (0..self.columns).map(move |x| [x, y]));
        places.filter(far).filter_map(|p| self.around(p)).max().unwrap_or(i32::MIN / 1_000)
    }
}

impl Module for GyMcu90640 {
    fn start(&self) -> &[u8] {
        &STREAM
    }
    fn stop(&self) -> &[u8] {
        &QUERY
    }
    fn front(&self, bytes: &[u8]) -> Front {
        let frame = match framed(bytes, &HEAD, FRAME) {
            Ok(frame) => frame,
            Err(front) => return front,
        };
        let word = |at: usize| i16::from_le_bytes([frame[at], frame[at + 1]]);
        if sum(&frame[..FRAME - 2]) != word(FRAME - 2).cast_unsigned() {
            return Front::Broken;
        }
        let pixels: Vec<i16> = (0..COLUMNS * ROWS).map(|n| word(4 + 2 * n)).collect();
        let field = Field { pixels: &pixels, columns: COLUMNS, rows: ROWS };
        let reading = Temperature {
            object_mdeg: field.warmest(self.black_body) * 10,
            ambient_mdeg: Some(i32::from(word(FRAME - 4)) * 10),
            reference_mdeg: self.black_body.and_then(|at| field.around(at)).map(|t| t * 10),
            body_grade: false,
        };
        Front::Frame { length: FRAME, reading }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_picture_has_our_sum() {
        // The published picture has 36.94 °C everywhere and the sum B8E9: its surroundings are at 37.25 °C.
        let picture = frame(&[3694; COLUMNS * ROWS], 3725);
        assert_eq!(picture.len(), 1544);
        assert_eq!(picture[1542..], 0xb8e9_u16.to_le_bytes());
    }

    #[test]
    fn a_warm_face_is_found_and_one_hot_pixel_is_not_a_face() {
        let mut pixels = [2_000_i16; COLUMNS * ROWS];
        for (x, y) in (10..15).flat_map(|x| (8..13).map(move |y| (x, y))) {
            pixels[y * COLUMNS + x] = 3_640;
        }
        pixels[5] = 8_000;
        let field = Field { pixels: &pixels, columns: COLUMNS, rows: ROWS };
        assert_eq!(field.warmest(None), 3_640);
    }
}
