//! From black and white to a payload, by rxing's port of the ZXing-C++ reader, and by rqrr.

use super::grey::Grey;
use super::types::{Payload, Read, Triple, at};
use rxing::common::{BitMatrix, DetectorRXingResult, HybridBinarizer};
use rxing::qrcode::cpp_port::decoder::Decode;
use rxing::qrcode::cpp_port::detector::{
    FindFinderPatterns, FinderPatternSet, FinderPatternSets, GenerateFinderPatternSets, SampleQR,
};
use rxing::{Binarizer, Luma8Source};
use std::cmp::Reverse;

/// So many finder patterns are looked at: a sheet full of them would take seconds.
const MAX_FINDERS: usize = 24;
/// So many triples of them.
const MAX_TRIPLES: usize = 12;

/// Black and white with a threshold for each block of the picture.
pub fn hybrid(picture: &Grey) -> Option<BitMatrix> {
    let (w, h) = (u32::try_from(picture.width).ok()?, u32::try_from(picture.height).ok()?);
    let source = Luma8Source::new_with_slice(&picture.pixels, w, h).ok()?;
    HybridBinarizer::new(source).get_black_matrix().ok().cloned()
}

fn sets(bits: &BitMatrix) -> FinderPatternSets {
    let mut finders = FindFinderPatterns(bits, true, 0);
    finders.sort_by_key(|f| Reverse(f.size));
    finders.truncate(MAX_FINDERS);
    GenerateFinderPatternSets(&mut finders)
}

/// Whether there are more finder patterns than are looked at.
pub fn crowded(bits: &BitMatrix) -> bool {
    FindFinderPatterns(bits, true, 0).len() > MAX_FINDERS
}

/// Where codes may be, for the grey stage.
pub fn triples(bits: &BitMatrix) -> Vec<Triple> {
    let triple = |set: &FinderPatternSet| {
        let found = [&set.tl, &set.tr, &set.bl];
        let module = found.iter().map(|f| f.size as f32).sum::<f32>() / 21.0;
        let middles = found.map(|f| at(f.p.x, f.p.y));
        let arm = f32::midpoint((middles[1] - middles[0]).length(), (middles[2] - middles[0]).length());
        let sampled = SampleQR(bits, set).ok();
        let hint = sampled.and_then(|s| {
            let modules = s.getBits().width() as usize;
            let corners = s.getPoints().iter().map(|p| at(p.x, p.y)).collect::<Vec<_>>().try_into().ok()?;
            (modules % 4 == 1 && (21..=177).contains(&modules)).then_some((modules, corners))
        });
        Triple { middles, module: module.max(1.0), modules: arm / module + 7.0, hint }
    };
    sets(bits).iter().take(MAX_TRIPLES).map(triple).collect()
}

/// From bits: black is set.
pub fn from_bits(bits: &BitMatrix) -> Option<Read> {
    sets(bits).iter().take(MAX_TRIPLES).find_map(|triple| {
        let sampled = SampleQR(bits, triple).ok()?;
        let decoded = Decode(sampled.getBits()).ok().filter(|d| d.isValid())?;
        Some(Read::of(&decoded))
    })
}

/// By rqrr, which finds some that the other does not. It names no encoding, and reads no part of a code.
pub fn by_rqrr(picture: &Grey) -> Option<Read> {
    let at = |x: usize, y: usize| picture.pixels[y * picture.width + x];
    let mut prepared = rqrr::PreparedImage::prepare_from_greyscale(picture.width, picture.height, at);
    prepared.detect_grids().iter().take(MAX_TRIPLES).find_map(|grid| {
        let mut bytes = Vec::new();
        grid.decode_to(&mut bytes).ok()?;
        Some(Read::Whole(Payload::of(bytes, None)))
    })
}
