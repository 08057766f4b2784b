//! One picture as a camera gave it.

use super::still::{self, StillError};
use crate::jpeg::with_tables;
use crate::qr::Grey;
use jpeg_encoder::{ColorType, Encoder};

/// The quality of a photograph that the camera did not encode itself.
const QUALITY: u8 = 92;

/// How the pixels are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pixels {
    /// A JPEG, perhaps without its Huffman tables.
    Jpeg,
    /// Luma and chroma in turn, two pixels in four bytes.
    Yuyv,
    /// One byte of luma a pixel.
    Grey,
    /// A plane of luma, then chroma at half size.
    Nv12,
    /// Two bytes a pixel, little-endian.
    Y16,
    /// Two bytes a pixel, big-endian.
    Y16Be,
}

/// A frame.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// As many bytes as the camera said it used.
    pub bytes: &'a [u8],
    /// Their form.
    pub pixels: Pixels,
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl Frame<'_> {
    /// A row of pixels of so many bytes each.
    fn row(&self, y: usize, each: usize) -> Option<&[u8]> {
        self.bytes.get(y * self.stride..)?.get(..self.width * each)
    }

    fn rows<T>(&self, each: usize, of: impl Fn(&[u8]) -> T) -> Option<Vec<T>> {
        let mut out = Vec::with_capacity(self.width * self.height);
        for y in 0..self.height {
            out.extend(self.row(y, each)?.chunks_exact(each).map(&of));
        }
        Some(out)
    }

    /// The 16-bit values, as thermal cameras send temperatures.
    pub fn words(&self) -> Option<Vec<u16>> {
        match self.pixels {
            Pixels::Y16 => self.rows(2, |b| u16::from_le_bytes([b[0], b[1]])),
            Pixels::Y16Be => self.rows(2, |b| u16::from_be_bytes([b[0], b[1]])),
            Pixels::Jpeg | Pixels::Yuyv | Pixels::Grey | Pixels::Nv12 => None,
        }
    }

    /// Its luma. A short frame gives none.
    pub fn luma(&self) -> Option<Grey> {
        let pixels = match self.pixels {
            Pixels::Jpeg => return still::luma(&with_tables(self.bytes), false).ok(),
            Pixels::Grey | Pixels::Nv12 => self.rows(1, |b| b[0])?,
            Pixels::Yuyv => self.rows(2, |b| b[0])?,
            Pixels::Y16 | Pixels::Y16Be => stretched(&self.words()?),
        };
        Grey::new(pixels, self.width, self.height)
    }

    /// A JPEG: the camera's own bytes where it sent one.
    pub fn jpeg(&self) -> Result<Vec<u8>, StillError> {
        let short = || StillError::Jpeg("the frame is shorter than its size".into());
        if self.pixels == Pixels::Jpeg {
            return Ok(with_tables(self.bytes).into_owned());
        }
        let (data, colour) = match self.chroma() {
            Some(chroma) => {
                let luma = self.luma().ok_or_else(short)?;
                let mixed = luma.pixels.iter().zip(chroma).flat_map(|(y, [u, v])| [*y, u, v]).collect();
                (mixed, ColorType::Ycbcr)
            }
            None => (self.luma().ok_or_else(short)?.pixels, ColorType::Luma),
        };
        let side = |v: usize| u16::try_from(v).map_err(|_| StillError::TooLarge);
        let mut out = Vec::new();
        Encoder::new(&mut out, QUALITY)
            .encode(&data, side(self.width)?, side(self.height)?, colour)
            .map_err(|e| StillError::Jpeg(e.to_string()))?;
        Ok(out)
    }

    /// Blue and red difference of each pixel, where there is any.
    fn chroma(&self) -> Option<Vec<[u8; 2]>> {
        match self.pixels {
            Pixels::Yuyv => {
                let pairs = self.width / 2;
                let mut out = Vec::with_capacity(self.width * self.height);
                for y in 0..self.height {
                    let row = self.row(y, 2)?;
                    out.extend((0..pairs).flat_map(|n| [[row[4 * n + 1], row[4 * n + 3]]; 2]));
                    out.extend((2 * pairs..self.width).map(|_| [128, 128]));
                }
                Some(out)
            }
            Pixels::Nv12 => {
                let plane = self.bytes.get(self.stride * self.height..)?;
                let one = |n: usize| {
                    let (x, y) = (n % self.width / 2, n / self.width / 2);
                    let at = y * self.stride + 2 * x;
                    plane.get(at..at + 2).map(|b| [b[0], b[1]])
                };
                (0..self.width * self.height).map(one).collect()
            }
            Pixels::Jpeg | Pixels::Grey | Pixels::Y16 | Pixels::Y16Be => None,
        }
    }
}

/// From the least to the greatest value.
fn stretched(words: &[u16]) -> Vec<u8> {
    let (low, high) = words.iter().fold((u16::MAX, 0), |(l, h), w| (l.min(*w), h.max(*w)));
    let range = u32::from(high.saturating_sub(low)).max(1);
    words.iter().map(|w| u8::try_from(u32::from(w - low) * 255 / range).unwrap_or(u8::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(pixels: Pixels, bytes: &[u8], stride: usize) -> Frame<'_> {
        Frame { bytes, pixels, width: 4, height: 2, stride }
    }

    #[test]
    fn every_form_gives_its_luma_and_rows_may_be_padded() {
        let expected = [1, 2, 3, 4, 5, 6, 7, 8];
        let grey = [1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 0, 0];
        assert_eq!(frame(Pixels::Grey, &grey, 6).luma().unwrap().pixels, expected);
        let yuyv = [1, 9, 2, 9, 3, 9, 4, 9, 5, 9, 6, 9, 7, 9, 8, 9];
        assert_eq!(frame(Pixels::Yuyv, &yuyv, 8).luma().unwrap().pixels, expected);
        let nv12 = [1, 2, 3, 4, 5, 6, 7, 8, 100, 101, 102, 103];
        assert_eq!(frame(Pixels::Nv12, &nv12, 4).luma().unwrap().pixels, expected);
        let y16: Vec<u8> = [0_u16, 1, 2, 3, 4, 5, 6, 255].iter().flat_map(|v| v.to_be_bytes()).collect();
        assert_eq!(frame(Pixels::Y16Be, &y16, 8).luma().unwrap().pixels, [0, 1, 2, 3, 4, 5, 6, 255]);
    }

    #[test]
    fn a_short_frame_gives_nothing_and_a_whole_one_a_picture() {
        for pixels in [Pixels::Grey, Pixels::Yuyv, Pixels::Nv12, Pixels::Y16, Pixels::Jpeg] {
            let short = frame(pixels, &[1, 2, 3], 4);
            assert!(short.luma().is_none(), "{pixels:?}");
        }
        let bytes: Vec<u8> = (0..64 * 48 * 3 / 2).map(|n| u8::try_from(n % 64 * 4).unwrap()).collect();
        for (pixels, stride) in [(Pixels::Grey, 64), (Pixels::Nv12, 64)] {
            let whole = Frame { bytes: &bytes, pixels, width: 64, height: 48, stride };
            let look = still::measure(&whole.jpeg().unwrap()).unwrap();
            assert_eq!((look.width, look.height), (64, 48));
        }
    }
}
