//! From the memory of an MLX90640 to temperatures: the whole calibration, without a bus.
//!
//! The sensor has 32 × 24 pixels and a calibration of its own in 832 words of EEPROM. A picture comes as
//! two sub-pages with half of the pixels each. Formulas and names of the terms: MLX90640 datasheet,
//! chapter 11. It is specified to ± 1 °C at best: never body-grade.

use std::ops::Range;

/// Pixels.
pub const PIXELS: usize = 768;
/// Words of the EEPROM from 0x2400, and of the RAM from 0x0400.
pub const WORDS: usize = 832;
/// The sensor itself is so much warmer than the room, in kelvin: the datasheet's value in open air.
pub const SELF_HEATING: f64 = 8.0;
/// More broken pixels than this is a broken sensor (datasheet, chapter 9).
const MAX_BROKEN: usize = 4;
const KELVIN: f64 = 273.15;
/// Places in the RAM.
const VBE: usize = 768;
const COMPENSATION: [usize; 2] = [776, 808];
const GAIN: usize = 778;
const PTAT: usize = 800;
const VDD: usize = 810;

/// Why a calibration cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CalibrationError {
    /// Not 832 words.
    #[error("{0} words, not {WORDS}")]
    Length(usize),
    /// A memory that was never written, or a bus that reads the same everywhere.
    #[error("the calibration memory is empty")]
    Empty,
    /// A divisor of the formulas is zero.
    #[error("the calibration has a zero where none can be: {0}")]
    Zero(&'static str),
    /// Too many pixels without calibration.
    #[error("{0} pixels are broken, at most {MAX_BROKEN} may be")]
    Broken(usize),
}

/// One sub-page as it was read.
#[derive(Debug, Clone)]
pub struct SubPage {
    /// The RAM.
    pub ram: Vec<u16>,
    /// The control register 0x800D.
    pub control: u16,
    /// Which half: 0 or 1.
    pub half: usize,
}

/// What the object sends besides its own warmth.
#[derive(Debug, Clone, Copy)]
pub struct Scene {
    /// Emissivity of the object: 0.98 for skin.
    pub emissivity: f64,
    /// Temperature that it reflects, °C; without it the sensor's less [`SELF_HEATING`].
    pub reflected: Option<f64>,
}

struct Pixel {
    alpha: f64,
    offset: f64,
    kta: f64,
    kv: f64,
}

/// The calibration of one sensor.
pub struct Calibration {
    k_vdd: f64,
    vdd25: f64,
    kv_ptat: f64,
    kt_ptat: f64,
    v_ptat25: f64,
    alpha_ptat: f64,
    gain: f64,
    tgc: f64,
    resolution: u16,
    ks_ta: f64,
    ks_to: [f64; 4],
    corner: [f64; 4],
    range_alpha: [f64; 4],
    compensation_alpha: [f64; 2],
    compensation_offset: [f64; 2],
    compensation_kta: f64,
    compensation_kv: f64,
    chess: bool,
    interleave: [f64; 3],
    pixels: Vec<Pixel>,
    broken: Vec<usize>,
}

/// Bits of a word as a signed number.
fn signed(word: u16, bits: Range<u32>) -> i32 {
    let width = bits.end - bits.start;
    let value = i32::from(word >> bits.start) & ((1 << width) - 1);
    if value >= 1 << (width - 1) { value - (1 << width) } else { value }
}

fn unsigned(word: u16, bits: Range<u32>) -> i32 {
    i32::from(word >> bits.start) & ((1 << (bits.end - bits.start)) - 1)
}

fn word(ram: &[u16], at: usize) -> f64 {
    f64::from(ram[at].cast_signed())
}

/// Four-bit signed numbers, four to a word, the lowest first.
fn nibbles(words: &[u16]) -> Vec<i32> {
    words.iter().flat_map(|w| (0..4).map(|n| signed(*w, 4 * n..4 * n + 4))).collect()
}

impl Calibration {
    /// Reads the EEPROM.
    pub fn read(ee: &[u16]) -> Result<Self, CalibrationError> {
        if ee.len() != WORDS {
            return Err(CalibrationError::Length(ee.len()));
        }
        if ee.iter().all(|w| *w == ee[0]) {
            return Err(CalibrationError::Empty);
        }
        let two = |n: i32| 2_f64.powi(n);
        let scale = ee[63] & 0x000f;
        let step = unsigned(ee[63], 12..14) * 10;
        let corner2 = unsigned(ee[63], 4..8) * step;
        let corner = [-40.0, 0.0, f64::from(corner2), f64::from(corner2 + unsigned(ee[63], 8..12) * step)];
        let ks_to =
            [(61, 0..8), (61, 8..16), (62, 0..8), (62, 8..16)].map(|(at, bits): (usize, Range<u32>)| {
                f64::from(signed(ee[at], bits)) / two(i32::from(scale) + 8)
            });
        let range2 = 1.0 + ks_to[1] * corner[2];
        let range_alpha =
            [1.0 / (1.0 + ks_to[0] * 40.0), 1.0, range2, range2 * (1.0 + ks_to[2] * (corner[3] - corner[2]))];
        let kv_scale = unsigned(ee[56], 8..12);
        let kta_scale = unsigned(ee[56], 4..8) + 8;
        let compensation_scale = unsigned(ee[32], 12..16) + 27;
        let alpha0 = f64::from(signed(ee[57], 0..10)) / two(compensation_scale);
        let offset0 = f64::from(signed(ee[58], 0..10));
        let made = Self {
            k_vdd: f64::from(signed(ee[51], 8..16) * 32),
            vdd25: f64::from((unsigned(ee[51], 0..8) - 256) * 32 - 8192),
            kv_ptat: f64::from(signed(ee[50], 10..16)) / 4096.0,
            kt_ptat: f64::from(signed(ee[50], 0..10)) / 8.0,
            v_ptat25: f64::from(ee[49].cast_signed()),
            alpha_ptat: f64::from(unsigned(ee[16], 12..16)) / 4.0 + 8.0,
            gain: f64::from(ee[48].cast_signed()),
            tgc: f64::from(signed(ee[60], 0..8)) / 32.0,
            resolution: (ee[56] >> 12) & 3,
            ks_ta: f64::from(signed(ee[60], 8..16)) / 8192.0,
            ks_to,
            corner,
            range_alpha,
            compensation_alpha: [alpha0, alpha0 * (1.0 + f64::from(signed(ee[57], 10..16)) / 128.0)],
            compensation_offset: [offset0, offset0 + f64::from(signed(ee[58], 10..16))],
            compensation_kta: f64::from(signed(ee[59], 0..8)) / two(kta_scale),
            compensation_kv: f64::from(signed(ee[59], 8..16)) / two(kv_scale),
            chess: ee[10] & 0x0800 == 0,
            interleave: [
                f64::from(signed(ee[53], 0..6)) / 16.0,
                f64::from(signed(ee[53], 6..11)) / 2.0,
                f64::from(signed(ee[53], 11..16)) / 8.0,
            ],
            pixels: pixels(ee, kta_scale, kv_scale),
            broken: (0..PIXELS).filter(|p| ee[64 + p] == 0 || ee[64 + p] & 1 == 1).collect(),
        };
        for (value, name) in [(made.k_vdd, "supply"), (made.kt_ptat, "ambient"), (made.gain, "gain")] {
            if value == 0.0 {
                return Err(CalibrationError::Zero(name));
            }
        }
        if made.broken.len() > MAX_BROKEN {
            return Err(CalibrationError::Broken(made.broken.len()));
        }
        Ok(made)
    }

    /// Pixels that the maker marked: what they say is not a temperature.
    pub fn broken(&self) -> &[usize] {
        &self.broken
    }

    fn supply(&self, page: &SubPage) -> f64 {
        let resolution = 2_f64.powi(i32::from(self.resolution) - i32::from((page.control >> 10) & 3));
        (resolution * word(&page.ram, VDD) - self.vdd25) / self.k_vdd + 3.3
    }

    /// The sensor's own temperature, °C.
    pub fn ambient(&self, page: &SubPage) -> f64 {
        let ptat = word(&page.ram, PTAT);
        let art = ptat / (ptat * self.alpha_ptat + word(&page.ram, VBE)) * 2_f64.powi(18);
        (art / (1.0 + self.kv_ptat * (self.supply(page) - 3.3)) - self.v_ptat25) / self.kt_ptat + 25.0
    }

    /// Writes the temperatures of this sub-page's pixels, °C. What cannot be computed is not a number.
    pub fn temperatures(&self, page: &SubPage, scene: Scene, out: &mut [f64]) {
        let (supply, ambient) = (self.supply(page) - 3.3, self.ambient(page));
        let fourth = |celsius: f64| (celsius + KELVIN).powi(4);
        let reflected = fourth(scene.reflected.unwrap_or(ambient - SELF_HEATING));
        let around = reflected - (reflected - fourth(ambient)) / scene.emissivity;
        let gain = self.gain / word(&page.ram, GAIN);
        let warm = ambient - 25.0;
        let chess = page.control & 0x1000 != 0;
        let own_mode = chess == self.chess;
        let shift = if own_mode || page.half == 0 { 0.0 } else { self.interleave[0] };
        let compensation = word(&page.ram, COMPENSATION[page.half]) * gain
            - (self.compensation_offset[page.half] + shift)
                * (1.0 + self.compensation_kta * warm)
                * (1.0 + self.compensation_kv * supply);
        for (at, pixel) in self.pixels.iter().enumerate() {
            let line = (at / 32) % 2;
            let half = if chess { line ^ (at % 2) } else { line };
            if half != page.half {
                continue;
            }
            let mut signal = word(&page.ram, at) * gain
                - pixel.offset * (1.0 + pixel.kta * warm) * (1.0 + pixel.kv * supply);
            if !own_mode {
                let side = if line == 1 { 1.0 } else { -1.0 };
                signal += self.interleave[2] * side - self.interleave[1] * conversion(at) * -side;
            }
            let signal = (signal - self.tgc * compensation) / scene.emissivity;
            let alpha =
                (pixel.alpha - self.tgc * self.compensation_alpha[page.half]) * (1.0 + self.ks_ta * warm);
            out[at] = self.object(signal, alpha, around);
        }
    }

    /// The temperature of an object from its signal, first roughly, then with its own range.
    fn object(&self, signal: f64, alpha: f64, around: f64) -> f64 {
        let bend = (alpha.powi(3) * (signal + alpha * around)).sqrt().sqrt() * self.ks_to[1];
        let rough =
            (signal / (alpha * (1.0 - self.ks_to[1] * KELVIN) + bend) + around).sqrt().sqrt() - KELVIN;
        let range = (1..4).rev().find(|r| rough >= self.corner[*r]).unwrap_or(0);
        let gain = self.range_alpha[range] * (1.0 + self.ks_to[range] * (rough - self.corner[range]));
        (signal / (alpha * gain) + around).sqrt().sqrt() - KELVIN
    }
}

/// The conversion pattern of the interleaved mode, before its sign by line.
fn conversion(at: usize) -> f64 {
    let quarter = |n: usize| i32::try_from((at + n) / 4).unwrap_or(0);
    f64::from(quarter(2) - quarter(3) + quarter(1) - quarter(0))
}

fn pixels(ee: &[u16], kta_scale: i32, kv_scale: i32) -> Vec<Pixel> {
    let two = |n: i32| 2_f64.powi(n);
    let (alpha_rows, alpha_columns) = (nibbles(&ee[34..40]), nibbles(&ee[40..48]));
    let (offset_rows, offset_columns) = (nibbles(&ee[18..24]), nibbles(&ee[24..32]));
    let alpha_scale = unsigned(ee[32], 12..16) + 30;
    // By odd or even line, then odd or even column.
    let kta = [signed(ee[54], 8..16), signed(ee[55], 8..16), signed(ee[54], 0..8), signed(ee[55], 0..8)];
    let kv = [signed(ee[52], 12..16), signed(ee[52], 4..8), signed(ee[52], 8..12), signed(ee[52], 0..4)];
    (0..PIXELS)
        .map(|p| {
            let (row, column, own) = (p / 32, p % 32, ee[64 + p]);
            let split = 2 * (row % 2) + p % 2;
            let alpha = i32::from(ee[33])
                + (alpha_rows[row] << unsigned(ee[32], 8..12))
                + (alpha_columns[column] << unsigned(ee[32], 4..8))
                + (signed(own, 4..10) << unsigned(ee[32], 0..4));
            let offset = i32::from(ee[17].cast_signed())
                + (offset_rows[row] << unsigned(ee[16], 8..12))
                + (offset_columns[column] << unsigned(ee[16], 4..8))
                + (signed(own, 10..16) << unsigned(ee[16], 0..4));
            Pixel {
                alpha: f64::from(alpha) / two(alpha_scale),
                offset: f64::from(offset),
                kta: f64::from(kta[split] + (signed(own, 1..4) << unsigned(ee[56], 0..4))) / two(kta_scale),
                kv: f64::from(kv[split]) / two(kv_scale),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_bits_are_read_with_their_sign() {
        assert_eq!(signed(0xffff, 0..4), -1);
        assert_eq!(signed(0x7000, 12..16), 7);
        assert_eq!(signed(0xfc00, 10..16), -1);
        assert_eq!(nibbles(&[0x8f10]), [0, 1, -1, -8]);
    }

    #[test]
    fn a_memory_that_is_none_is_refused() {
        assert_eq!(Calibration::read(&[0; 10]).err(), Some(CalibrationError::Length(10)));
        assert_eq!(Calibration::read(&[0xffff; WORDS]).err(), Some(CalibrationError::Empty));
        let mut few = [0_u16; WORDS];
        few[3] = 1;
        assert!(Calibration::read(&few).is_err());
    }
}
