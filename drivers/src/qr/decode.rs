//! From black and white to a payload, by rxing's port of the ZXing-C++ reader, and by rqrr.

use super::Grey;
use crate::scan_text::to_utf8;
use rxing::common::{BitMatrix, DetectorRXingResult, HybridBinarizer};
use rxing::qrcode::cpp_port::decoder::Decode;
use rxing::qrcode::cpp_port::detector::{FindFinderPatterns, GenerateFinderPatternSets, SampleQR};
use rxing::{Binarizer, Luma8Source};
use std::cmp::Reverse;

/// So many finder patterns are looked at: a sheet full of them would take seconds.
const MAX_FINDERS: usize = 24;
/// So many triples of them.
const MAX_TRIPLES: usize = 12;

/// What a code says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The bytes, as they stand in the code.
    pub bytes: Vec<u8>,
    /// The text: by the encoding that the code names, else UTF-8, else GB18030; none if it is neither.
    pub text: Option<String>,
}

impl Payload {
    fn of(bytes: Vec<u8>, named: Option<String>) -> Self {
        let text = named.or_else(|| String::from_utf8(to_utf8(bytes.clone())).ok());
        Self { bytes, text }
    }
}

/// With a threshold for each block of the picture.
pub fn from_grey(picture: &Grey) -> Option<Payload> {
    let (w, h) = (u32::try_from(picture.width).ok()?, u32::try_from(picture.height).ok()?);
    let source = Luma8Source::new_with_slice(&picture.pixels, w, h).ok()?;
    let binarizer = HybridBinarizer::new(source);
    from_bits(binarizer.get_black_matrix().ok()?)
}

/// From bits: black is set.
pub fn from_bits(bits: &BitMatrix) -> Option<Payload> {
    let mut finders = FindFinderPatterns(bits, true, 0);
    finders.sort_by_key(|f| Reverse(f.size));
    finders.truncate(MAX_FINDERS);
    GenerateFinderPatternSets(&mut finders).iter().take(MAX_TRIPLES).find_map(|triple| {
        let sampled = SampleQR(bits, triple).ok()?;
        let decoded = Decode(sampled.getBits()).ok().filter(|d| d.isValid())?;
        let content = decoded.content();
        let named = content.has_eci.then(|| content.to_string());
        Some(Payload::of(content.bytes().to_vec(), named))
    })
}

/// By rqrr, which finds some that the other does not. It names no encoding.
pub fn by_rqrr(picture: &Grey) -> Option<Payload> {
    let at = |x: usize, y: usize| picture.pixels[y * picture.width + x];
    let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(picture.width, picture.height, at);
    prepared.detect_grids().iter().take(MAX_TRIPLES).find_map(|grid| {
        let mut bytes = Vec::new();
        grid.decode_to(&mut bytes).ok()?;
        Some(Payload::of(bytes, None))
    })
}
