//! Cards on paper: a PDF of A4 pages with a QR code, a name and a line on each card, to print and cut.
//!
//! Chinese names need no font file: the PDF names Adobe's predefined `STSong-Light` with the encoding
//! `UniGB-UTF16-H` (ISO 32000-1, 9.7.5.2), which every reader substitutes with a font of its own. Lines of
//! ASCII alone are in Helvetica, one of the standard fonts (9.6.2.2): a substitute's Latin letters differ in
//! width from what a file can say.

use pdf_writer::types::{CidFontType, FontFlags, SystemInfo};
use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str};
use qrcodegen::{QrCode, QrCodeEcc};

/// A card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The text of its code.
    pub code: String,
    /// In large letters.
    pub title: String,
    /// Below, in small ones.
    pub note: String,
}

/// Why there is no sheet.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    /// A code holds too much.
    #[error("card {0} ({1}): its text is too long for a QR code")]
    TooLong(usize, String),
}

// Points of 1/72 inch. A card has the size of a bank card: ISO/IEC 7810 ID-1, 85.60 mm x 53.98 mm.
const PAGE: (f32, f32) = (595.0, 842.0);
const CARD: (f32, f32) = (242.6, 153.0);
const COLUMNS: usize = 2;
const ROWS: usize = 5;
/// Points of the smallest letters.
const SMALLEST: f32 = 6.5;
const CHINESE: Name<'static> = Name(b"F");
const LATIN: Name<'static> = Name(b"L");
const SONG: Name<'static> = Name(b"STSong-Light");

/// Makes the PDF.
pub fn pdf(cards: &[Card]) -> Result<Vec<u8>, SheetError> {
    let mut pdf = Pdf::new();
    let [catalog, pages, font, cid, descriptor, latin] = [1, 2, 3, 4, 5, 6].map(Ref::new);
    let count = i32::try_from(cards.len().div_ceil(COLUMNS * ROWS)).unwrap_or(i32::MAX);
    let page_of = |n: i32| (Ref::new(7 + 2 * n), Ref::new(8 + 2 * n));
    pdf.catalog(catalog).pages(pages);
    pdf.pages(pages).kids((0..count).map(|n| page_of(n).0)).count(count);
    for (n, some) in (0..).zip(cards.chunks(COLUMNS * ROWS)) {
        let (page, stream) = page_of(n);
        let mut one = pdf.page(page);
        one.media_box(Rect::new(0.0, 0.0, PAGE.0, PAGE.1)).parent(pages).contents(stream);
        one.resources().fonts().pair(CHINESE, font).pair(LATIN, latin);
        one.finish();
        let first = usize::try_from(n).unwrap_or(0) * COLUMNS * ROWS;
        pdf.stream(stream, &content(some, first)?);
    }
    pdf.type1_font(latin).base_font(Name(b"Helvetica"));
    pdf.type0_font(font).base_font(SONG).encoding_predefined(Name(b"UniGB-UTF16-H")).descendant_font(cid);
    let gb = SystemInfo { registry: Str(b"Adobe"), ordering: Str(b"GB1"), supplement: 4 };
    let mut face = pdf.cid_font(cid);
    face.subtype(CidFontType::Type0)
        .base_font(SONG)
        .system_info(gb)
        .font_descriptor(descriptor)
        .default_width(1000.0);
    // Half-width letters and digits.
    face.widths().same(1, 95, 500.0).same(814, 939, 500.0);
    face.finish();
    pdf.font_descriptor(descriptor)
        .name(SONG)
        .flags(FontFlags::SYMBOLIC | FontFlags::SERIF)
        .bbox(Rect::new(-25.0, -254.0, 1000.0, 880.0))
        .italic_angle(0.0)
        .ascent(880.0)
        .descent(-120.0)
        .cap_height(880.0)
        .stem_v(93.0);
    Ok(pdf.finish())
}

fn content(cards: &[Card], first: usize) -> Result<Vec<u8>, SheetError> {
    let mut out = Content::new();
    let left = (PAGE.0 - CARD.0 * COLUMNS as f32) / 2.0;
    let top = PAGE.1 - (PAGE.1 - CARD.1 * ROWS as f32) / 2.0;
    for (n, card) in cards.iter().enumerate() {
        let x = left + (n % COLUMNS) as f32 * CARD.0;
        let y = top - (n / COLUMNS + 1) as f32 * CARD.1;
        out.set_stroke_gray(0.7).set_line_width(0.5).rect(x, y, CARD.0, CARD.1).stroke();
        let qr = QrCode::encode_text(&card.code, QrCodeEcc::Medium)
            .map_err(|_| SheetError::TooLong(first + n + 1, card.title.clone()))?;
        // With the quiet zone of four modules, as ISO/IEC 18004 wants it.
        let module = (CARD.1 - 8.0) / (qr.size() + 8) as f32;
        let (qx, qy) = (x + 4.0, y + 4.0);
        out.set_fill_gray(0.0);
        for row in 0..qr.size() {
            let mut column = 0;
            while column < qr.size() {
                let run = (column..qr.size()).take_while(|c| qr.get_module(*c, row)).count();
                if run > 0 {
                    let at = |v: i32| (v + 4) as f32 * module;
                    let bottom = qy + (qr.size() + 8) as f32 * module - at(row) - module;
                    out.rect(qx + at(column), bottom, run as f32 * module, module);
                }
                column += i32::try_from(run.max(1)).unwrap_or(1);
            }
        }
        out.fill_nonzero();
        let text_x = x + CARD.1 + 4.0;
        let room = x + CARD.0 - 4.0 - text_x;
        for (text, size, y) in [(&card.title, 16.0, y + CARD.1 - 40.0), (&card.note, 10.0, y + CARD.1 - 60.0)]
        {
            let (line, size) = fitted(text, size, room);
            let (font, bytes) =
                if line.is_ascii() { (LATIN, line.into_bytes()) } else { (CHINESE, utf16(&line)) };
            out.begin_text().set_font(font, size).next_line(text_x, y).show(Str(&bytes)).end_text();
        }
    }
    Ok(out.finish().to_vec())
}

/// The width of a letter for a size of 1, for most of ASCII rather more than it takes.
fn width(c: char) -> f32 {
    if c.is_ascii() { 0.58 } else { 1.0 }
}

/// A line as large as it fits beside the code, down to what can be read; beyond that it is cut, and seen
/// to be cut.
fn fitted(text: &str, size: f32, room: f32) -> (String, f32) {
    let wide: f32 = text.chars().map(width).sum();
    let fits = size.min(room / wide.max(1.0));
    if fits >= SMALLEST {
        return (text.to_owned(), fits);
    }
    let mut left = room / SMALLEST - width('…');
    let kept = text.chars().take_while(|c| {
        left -= width(*c);
        left >= 0.0
    });
    (kept.chain(['…']).collect(), SMALLEST)
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_gets_smaller_before_it_is_cut() {
        assert_eq!(fitted("张小明", 16.0, 81.6), ("张小明".into(), 16.0));
        let (line, size) = fitted("gw-north-entrance", 16.0, 81.6);
        assert!(line == "gw-north-entrance" && (8.0..9.0).contains(&size));
        let (line, size) = fitted(&"浙".repeat(40), 10.0, 81.6);
        assert_eq!((line.chars().count(), size), (12, SMALLEST));
        assert!(line.ends_with('…'));
    }

    #[test]
    fn every_card_has_its_place() {
        let card = |n: usize| Card {
            code: format!("KP1:{n}"),
            title: "张小明".into(),
            note: format!("三年二班 {n}"),
        };
        let cards: Vec<Card> = (0..21).map(card).collect();
        let bytes = pdf(&cards).unwrap();
        assert!(bytes.starts_with(b"%PDF-1.7"));
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("/Count 3") && text.contains("UniGB-UTF16-H"));
        assert_eq!(text.matches("/MediaBox").count(), 3);
        let long = Card { code: "x".repeat(5_000), ..card(1) };
        assert!(matches!(pdf(&[card(0), long]), Err(SheetError::TooLong(2, _))));
        assert!(pdf(&[]).is_ok());
    }
}
