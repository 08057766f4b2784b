//! Still photographs as evidence: the original JPEG bytes are kept, measured and made durable
//! before anything names them. Only the Huffman tables are added where a camera leaves them out.

use crate::SavePhoto;
use crate::qr::Grey;
use kakou_core::reading::Photo;
use std::path::PathBuf;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// The largest picture file.
pub const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// The largest side of a picture.
const MAX_SIDE: usize = 8192;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
pub enum StillError {
    /// The file cannot be read.
    #[error("{0}: {1}")]
    Read(PathBuf, std::io::Error),
    /// The file is too large.
    #[error("larger than {MAX_BYTES} bytes")]
    TooLarge,
    /// It is not a whole JPEG.
    #[error("not a whole JPEG: {0}")]
    Jpeg(String),
    /// It could not be made durable.
    #[error("the picture could not be stored: {0}")]
    Store(std::io::Error),
}

/// What a picture looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Variance of the Laplacian of the luma at half size.
    pub sharpness: u32,
    /// Mean luma.
    pub luma: u8,
}

/// The luma of a JPEG; `whole` refuses one that breaks off.
pub fn luma(jpeg: &[u8], whole: bool) -> Result<Grey, StillError> {
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::Luma)
        .set_max_width(MAX_SIDE)
        .set_max_height(MAX_SIDE)
        .set_strict_mode(whole);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    let mut luma = decoder.decode().map_err(|e| StillError::Jpeg(format!("{e:?}")))?;
    let (width, height) = decoder.dimensions().ok_or_else(|| StillError::Jpeg("no size".into()))?;
    luma.truncate(width * height);
    Grey::new(luma, width, height).ok_or_else(|| StillError::Jpeg("fewer pixels than its size".into()))
}

/// Measures a whole JPEG.
pub fn measure(jpeg: &[u8]) -> Result<Look, StillError> {
    let Grey { pixels, width, height } = luma(jpeg, true)?;
    if width < 4 || height < 4 {
        return Err(StillError::Jpeg("too small".into()));
    }
    let half = halve(&pixels, width, height);
    let mean = pixels.iter().map(|&p| u64::from(p)).sum::<u64>() / pixels.len() as u64;
    Ok(Look {
        width: u32::try_from(width).unwrap_or(u32::MAX),
        height: u32::try_from(height).unwrap_or(u32::MAX),
        sharpness: laplacian_variance(&half, width / 2, height / 2),
        luma: u8::try_from(mean).unwrap_or(u8::MAX),
    })
}

fn halve(luma: &[u8], width: usize, height: usize) -> Vec<i32> {
    let mut out = Vec::with_capacity(width * height / 4);
    for y in 0..height / 2 {
        let (a, b) = (&luma[2 * y * width..], &luma[(2 * y + 1) * width..]);
        for x in 0..width / 2 {
            let four = [a[2 * x], a[2 * x + 1], b[2 * x], b[2 * x + 1]];
            out.push(four.iter().map(|&p| i32::from(p)).sum::<i32>() / 4);
        }
    }
    out
}

fn laplacian_variance(luma: &[i32], width: usize, height: usize) -> u32 {
    let (mut sum, mut squares, mut n) = (0_i64, 0_i64, 0_i64);
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            let at = y * width + x;
            let v =
                i64::from(luma[at - 1] + luma[at + 1] + luma[at - width] + luma[at + width] - 4 * luma[at]);
            sum += v;
            squares += v * v;
            n += 1;
        }
    }
    if n == 0 {
        return 0;
    }
    u32::try_from(squares / n - (sum / n).pow(2)).unwrap_or(0)
}

/// Measures a picture and makes it durable.
pub fn keep(jpeg: &[u8], save: &SavePhoto) -> Result<Photo, StillError> {
    let look = measure(jpeg)?;
    let sha256 = save(jpeg).map_err(StillError::Store)?;
    Ok(Photo {
        sha256,
        bytes: jpeg.len() as u64,
        width: look.width,
        height: look.height,
        sharpness: look.sharpness,
        luma: look.luma,
    })
}
