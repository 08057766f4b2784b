//! QR codes as pictures, each with words below that say what it is: two codes look alike to everybody but a scanner.

use kakou_core::time::rfc3339;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};
use qrcodegen::{QrCode, QrCodeEcc};
use std::fmt::Write as _;
use std::path::Path;

/// Light modules around a code, as ISO/IEC 18004 wants them.
const QUIET: i32 = 4;
/// Millimetres of a module on paper: a 640x480 reader takes it at a hand's breadth.
const MODULE_MM: f64 = 1.0;
/// Pixels of a module, at least.
const MODULE_PIXELS: usize = 8;
const HEIGHT: RasterHeight = RasterHeight::Size32;
const WEIGHT: FontWeight = FontWeight::Regular;
/// Pixels of a line of words.
const LINE: usize = 40;

fn code(text: &str) -> Result<QrCode, String> {
    QrCode::encode_text(text, QrCodeEcc::Medium).map_err(|_| "the text is too long for a QR code".into())
}

/// As SVG, with its size on paper.
pub fn svg(text: &str, words: &[String]) -> Result<String, String> {
    let qr = code(text)?;
    let mut path = String::new();
    for y in 0..qr.size() {
        for x in (0..qr.size()).filter(|x| qr.get_module(*x, y)) {
            path.push_str(&format!("M{},{}h1v1h-1z", x + QUIET, y + QUIET));
        }
    }
    let side = qr.size() + 2 * QUIET;
    // A line holds some 40 letters: the ids of sites and gateways are no longer.
    let line = f64::from(side) / 20.0;
    let (mut below, mut y) = (String::new(), f64::from(side));
    for text in words {
        y += line * 1.25;
        let text: String = text.chars().flat_map(escaped).collect();
        write!(
            below,
            "<text x=\"{}\" y=\"{y:.2}\" font-family=\"sans-serif\" font-size=\"{line:.2}\" text-anchor=\"middle\">{text}</text>",
            f64::from(side) / 2.0
        )
        .map_err(|e| e.to_string())?;
    }
    let high = if words.is_empty() { y } else { y + line };
    let (wide_mm, high_mm) = (f64::from(side) * MODULE_MM, high * MODULE_MM);
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{wide_mm:.1}mm\" height=\"{high_mm:.1}mm\" viewBox=\"0 0 {side} {high:.2}\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/><path d=\"{path}\" fill=\"#000\" shape-rendering=\"crispEdges\"/>{below}</svg>"
    ))
}

/// A character as XML has it.
fn escaped(c: char) -> Vec<char> {
    let text = match c {
        '<' => "&lt;",
        '>' => "&gt;",
        '&' => "&amp;",
        c if c.is_control() => return vec![' '],
        c => return vec![c],
    };
    text.chars().collect()
}

/// As PNG. Of the words it shows ASCII.
pub fn png(text: &str, words: &[String]) -> Result<Vec<u8>, String> {
    let qr = code(text)?;
    let letter = get_raster_width(WEIGHT, HEIGHT);
    let modules = usize::try_from(qr.size() + 2 * QUIET).map_err(|e| e.to_string())?;
    let longest = words.iter().map(|w| (w.chars().count() + 2) * letter).max().unwrap_or(0);
    let scale = MODULE_PIXELS.max(longest.div_ceil(modules));
    let (wide, side) = (modules * scale, modules * scale);
    let high = side + words.len() * LINE + if words.is_empty() { 0 } else { LINE / 2 };
    let mut pixels = vec![u8::MAX; wide * high];
    let dark = |at: usize| i32::try_from(at / scale).unwrap_or(i32::MAX) - QUIET;
    for (y, row) in pixels.chunks_mut(wide).take(side).enumerate() {
        for (x, pixel) in row.iter_mut().enumerate() {
            if qr.get_module(dark(x), dark(y)) {
                *pixel = 0;
            }
        }
    }
    for (n, text) in words.iter().enumerate() {
        let left = wide.saturating_sub(text.chars().count() * letter) / 2;
        let glyphs =
            text.chars().map(|c| get_raster(c, WEIGHT, HEIGHT).or_else(|| get_raster('?', WEIGHT, HEIGHT)));
        for (at, glyph) in glyphs.enumerate() {
            let Some(glyph) = glyph else { continue };
            for (y, row) in glyph.rows().enumerate() {
                for (x, ink) in row.iter().enumerate() {
                    let place = (side + n * LINE + y) * wide + left + at * letter + x;
                    pixels[place] = u8::MAX - ink;
                }
            }
        }
    }
    encoded(&pixels, wide, high).map_err(|e| e.to_string())
}

fn encoded(pixels: &[u8], wide: usize, high: usize) -> Result<Vec<u8>, png::EncodingError> {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, small(wide), small(high));
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(out)
}

/// Writes a picture: PNG where the file is called so, else SVG.
pub fn write(file: &Path, text: &str, words: &[String]) -> Result<(), String> {
    if file.extension().is_some_and(|e| e.eq_ignore_ascii_case("png")) {
        return write_png(file, text, words);
    }
    save(file, svg(text, words)?.as_bytes())
}

/// Writes a PNG, whatever the file is called.
pub fn write_png(file: &Path, text: &str, words: &[String]) -> Result<(), String> {
    save(file, &png(text, words)?)
}

fn save(file: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(file, bytes).map_err(|e| format!("{}: {e}", file.display()))
}

/// A moment in UTC seconds as people read it below a code.
pub fn until(at_s: i64) -> String {
    let told = rfc3339(at_s.saturating_mul(1000));
    format!("until {} {} UTC", &told[..10], &told[11..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_drivers::qr::{Effort, Grey, Reader};
    use std::time::Duration;

    #[test]
    fn a_picture_of_a_code_is_read_by_a_reader_and_says_below_what_it_is() {
        let (text, words) =
            ("KQ1|https://enrol.example.org:8443|t", ["school-3 / gw-1".to_owned(), "x".repeat(81)]);
        let bytes = png(text, &words).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        let (wide, high) = (info.width as usize, info.height as usize);
        let picture = Grey::new(pixels.clone(), wide, high).unwrap();
        let read = Reader::default().read(&picture, Effort::Still, Duration::from_secs(60));
        assert_eq!(read.payload.and_then(|p| p.text).as_deref(), Some(text));
        // Ink below the code, none of it cut off at a side.
        let below = &pixels[wide * wide..];
        assert!(below.contains(&0) && high > wide, "{wide} x {high}");
        assert!(below.chunks(wide).all(|row| row[0] == u8::MAX && row.last() == Some(&u8::MAX)));
        let drawn = svg(text, &["a<b & c".to_owned()]).unwrap();
        assert!(drawn.contains("mm\"") && drawn.contains(">a&lt;b &amp; c</text>"), "{drawn}");
        assert!(svg(&"x".repeat(5_000), &[]).is_err());
    }
}
