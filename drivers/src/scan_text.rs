//! The text of a code, whatever the reader made of it.
//!
//! Readers put things around a code: NULs while a line wakes, STX and ETX, an AIM identifier (`]Q1`), letters for the
//! kind of code, escapes for its encodings (`\000026`), words for "nothing read". What cannot be part of a code is
//! always taken off; what can be is taken off where the port is set to it.

use encoding_rs::{BIG5, EUC_KR, Encoding, GB18030, SHIFT_JIS, WINDOWS_1252};
use kakou_core::pass::plate;

/// Text begins here, for readers that are set so.
pub const STX: u8 = 0x02;
/// And ends here.
pub const ETX: u8 = 0x03;
/// What readers send when they were triggered and read nothing.
const NO_READ: [&str; 5] = ["NR", "NOREAD", "NO READ", "NO_READ", "ERROR"];
/// What codes of known kinds begin with: passes, enrolment codes, entries of lists, command codes, addresses.
const KNOWN: [&[u8]; 7] = [b"KP1:", b"HC1:", b"KQ1|", b"KE1:", b"KC1:", b"http", b"HTTP"];
/// So many characters the identifier of a reader has at most: Zebra says `P01` for a QR code, Datalogic `QR` or `$Q`.
pub const MAX_BEFORE: usize = 3;
/// Digits of an escape for an encoding, behind its backslash.
const ESCAPE_DIGITS: usize = 6;

/// What a reader puts around each code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framing {
    /// An AIM identifier: `]`, a letter, a digit or letter.
    pub aim: bool,
    /// A letter for the kind of code.
    pub code_id: bool,
    /// Other texts for it, such as `P01`.
    pub before: Vec<String>,
    /// Words for "nothing read".
    pub no_read: Vec<String>,
}

impl Default for Framing {
    fn default() -> Self {
        Self { aim: false, code_id: false, before: Vec::new(), no_read: NO_READ.map(str::to_owned).to_vec() }
    }
}

/// What a reader said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanResult {
    /// A code.
    Code(Vec<u8>),
    /// That it read nothing.
    NoRead,
    /// Nothing.
    Nothing,
}

impl Framing {
    /// Takes off what is around a code, and makes UTF-8 of it where that can be.
    pub fn take_off(&self, bytes: &[u8]) -> ScanResult {
        let mut code = bare(bytes);
        if self.aim && is_aim(code) {
            code = &code[3..];
        }
        if self.code_id && code.first().is_some_and(u8::is_ascii_alphabetic) {
            code = &code[1..];
        }
        let longest =
            self.before.iter().filter(|text| code.starts_with(text.as_bytes())).max_by_key(|t| t.len());
        if let Some(text) = longest {
            code = &code[text.len()..];
        }
        let text = unescaped(code);
        if text.is_empty() {
            return ScanResult::Nothing;
        }
        let word = std::str::from_utf8(&text).unwrap_or_default().trim();
        if self.no_read.iter().any(|no| no.eq_ignore_ascii_case(word)) {
            return ScanResult::NoRead;
        }
        ScanResult::Code(text)
    }
}

/// Without control characters at the ends that no code begins or ends with. A blank may belong to a code: what text
/// means is not for a driver.
fn bare(bytes: &[u8]) -> &[u8] {
    let around = |b: &u8| matches!(*b, 0 | STX | ETX | b'\t' | b'\r' | b'\n');
    let begin = bytes.iter().take_while(|b| around(b)).count();
    let end = bytes.iter().rev().take_while(|b| around(b)).count();
    bytes.get(begin..bytes.len() - end).unwrap_or_default()
}

/// What a camera read: there is nothing around it but what a printed code may have at its ends.
pub fn of_camera(bytes: &[u8]) -> Vec<u8> {
    to_utf8(bare(bytes).to_vec())
}

fn is_aim(code: &[u8]) -> bool {
    matches!(code, [b']', kind, how, ..] if kind.is_ascii_alphabetic() && how.is_ascii_alphanumeric())
}

/// What a reader puts before its codes, where a code proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// An AIM identifier.
    Aim,
    /// One letter for the kind of code.
    Letter(char),
    /// Something else for it.
    Text(String),
}

/// What stands before a code that is known: one of a known kind, or `card`, the text of a card that somebody holds
/// before the reader. Of an unknown code nobody can say whether its first letter is its own.
pub fn before(code: &[u8], card: Option<&[u8]>) -> Option<Before> {
    if is_aim(code) && card != Some(code) {
        return Some(Before::Aim);
    }
    let known = |text: &[u8]| match card {
        Some(card) => text == card,
        None => KNOWN.iter().any(|known| text.starts_with(known)) || is_plate(text),
    };
    if known(code) {
        return None;
    }
    let at = (1..=MAX_BEFORE).find(|at| code.get(*at..).is_some_and(known))?;
    match code.get(..at)? {
        [letter] if letter.is_ascii_alphabetic() => Some(Before::Letter(char::from(*letter))),
        text if text.iter().all(u8::is_ascii_graphic) => {
            Some(Before::Text(String::from_utf8_lossy(text).into_owned()))
        }
        _ => None,
    }
}

/// Whether it is a plate beyond doubt: no identifier has a Chinese character.
fn is_plate(text: &[u8]) -> bool {
    let text = std::str::from_utf8(text).unwrap_or_default();
    text.starts_with(|c: char| !c.is_ascii()) && plate::normal(text).is_some()
}

impl Before {
    /// The setting of the port that takes it off.
    pub fn setting(&self) -> String {
        match self {
            Self::Aim => "aim = true".into(),
            Self::Letter(_) => "code_id = true".into(),
            Self::Text(text) => format!("before = [{text:?}]"),
        }
    }
}

/// The number of an escape at the front.
fn escape(code: &[u8]) -> Option<u32> {
    let (&first, rest) = code.split_first()?;
    let digits = std::str::from_utf8(rest.get(..ESCAPE_DIGITS)?).ok()?;
    (first == b'\\' && digits.bytes().all(|d| d.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// How an escape says that the text behind it is written (AIM ECI part 3).
fn encoding(number: u32) -> Option<&'static Encoding> {
    match number {
        1 | 3 => Some(WINDOWS_1252),
        20 => Some(SHIFT_JIS),
        28 => Some(BIG5),
        29 | 32 => Some(GB18030),
        30 => Some(EUC_KR),
        _ => None,
    }
}

/// In UTF-8, without escapes. A reader that escapes encodings says the first one before the text, and doubles a
/// backslash of the text.
fn unescaped(code: &[u8]) -> Vec<u8> {
    if escape(code).is_none() {
        return to_utf8(code.to_vec());
    }
    let (mut out, mut rest) = (Vec::new(), code);
    while !rest.is_empty() {
        let mut named = None;
        while let Some(number) = escape(rest) {
            named = encoding(number);
            rest = &rest[1 + ESCAPE_DIGITS..];
        }
        let (mut part, mut at) = (Vec::new(), 0);
        while let Some(&byte) = rest.get(at) {
            if byte == b'\\' && escape(&rest[at..]).is_some() {
                break;
            }
            at += if rest[at..].starts_with(br"\\") { 2 } else { 1 };
            part.push(byte);
        }
        rest = &rest[at..];
        let decoded = match named {
            // Many readers make UTF-8 of it and leave the escape.
            Some(encoding) if std::str::from_utf8(&part).is_err() => encoding
                .decode_without_bom_handling_and_without_replacement(&part)
                .map(|text| text.into_owned().into_bytes()),
            Some(_) | None => None,
        };
        out.extend(decoded.unwrap_or_else(|| to_utf8(part)));
    }
    out
}

/// Strict UTF-8 as it is; else strict GB18030, since Chinese codes often carry it unmarked; else the
/// bytes as they came. Without the mark of byte order that some programs write before text.
pub fn to_utf8(code: Vec<u8>) -> Vec<u8> {
    let text = match std::str::from_utf8(&code) {
        Ok(text) => text.to_owned(),
        Err(_) => match GB18030.decode_without_bom_handling_and_without_replacement(&code) {
            Some(text) => text.into_owned(),
            None => return code,
        },
    };
    text.trim_start_matches('\u{feff}').to_owned().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(framing: &Framing, bytes: &[u8]) -> String {
        match framing.take_off(bytes) {
            ScanResult::Code(code) => String::from_utf8(code).unwrap(),
            other @ (ScanResult::NoRead | ScanResult::Nothing) => format!("{other:?}"),
        }
    }

    #[test]
    fn framing_and_marks_are_taken_off_and_nothing_else() {
        let plain = Framing::default();
        for bytes in [&b"\0\0P-0009"[..], b"\x02P-0009\x03", b"\tP-0009", b"P-0009\t", b"\xef\xbb\xbfP-0009"]
        {
            assert_eq!(code(&plain, bytes), "P-0009", "{bytes:02x?}");
        }
        assert_eq!(code(&plain, "\u{feff}辽P12345".as_bytes()), "辽P12345");
        // A blank is part of Base45; GS parts a GS1 code; what is off by default stays.
        for text in ["HC1:6BF ", "01\u{1d}21", "]Q1P-0009", "QP-0009", "A\tB", r"A\000026"] {
            assert_eq!(code(&plain, text.as_bytes()), text);
        }
        for bytes in [&b""[..], b"\0\0", b"\x02\x03", b"\xef\xbb\xbf"] {
            assert_eq!(plain.take_off(bytes), ScanResult::Nothing);
        }
    }

    #[test]
    fn identifiers_are_taken_off_where_the_port_is_set_to_it() {
        let aim = Framing { aim: true, ..Framing::default() };
        assert_eq!(code(&aim, b"]Q1P-0009"), "P-0009");
        assert_eq!(code(&aim, b"\x02]C0P-0009\x03"), "P-0009");
        assert_eq!(code(&aim, b"P-0009"), "P-0009", "a code without one");
        let letter = Framing { code_id: true, ..Framing::default() };
        assert_eq!(code(&letter, b"QP-0009"), "P-0009");
        assert_eq!(code(&letter, b"9P-0009"), "9P-0009", "that is no letter");
        let text = Framing { before: vec!["P0".into(), "P01".into(), "$Q".into()], ..Framing::default() };
        assert_eq!(code(&text, b"P01P-0009"), "P-0009", "the longest that is there");
        assert_eq!(code(&text, b"\x02$QP-0009\x03"), "P-0009");
        assert_eq!(code(&text, b"P-0009"), "P-0009");
    }

    #[test]
    fn what_a_reader_puts_before_codes_is_recognised_by_codes_that_are_known_and_by_no_others() {
        let letter = |c| Some(Before::Letter(c));
        let text = |t: &str| Some(Before::Text(t.into()));
        for (code, is) in [
            ("]Q1P-0009", Some(Before::Aim)),
            ("QKP1:AB", letter('Q')),
            ("sHC1:6BF", letter('s')),
            ("QKQ1|https://a.example|t", letter('Q')),
            ("QRKE1:AB", text("QR")),
            ("P01KP1:AB", text("P01")),
            ("$QKP1:AB", text("$Q")),
            ("Q辽P12345", letter('Q')),
            ("KP1:AB", None),
            ("辽P12345", None),
            ("WJ京12345", None),
            ("QP-0009", None),
            ("QRP-0009", None),
            ("PASSKP1:AB", None),
            ("P-0009", None),
        ] {
            assert_eq!(before(code.as_bytes(), None), is, "{code}");
        }
        for (code, is) in [
            ("]Q1P-0009", Some(Before::Aim)),
            ("QP-0009", letter('Q')),
            ("P01P-0009", text("P01")),
            ("9P-0009", text("9")),
            ("P-0009", None),
            ("QP-0008", None),
            ("QKP1:AB", None),
        ] {
            assert_eq!(before(code.as_bytes(), Some(b"P-0009")), is, "{code}");
        }
        let settings = [Before::Aim, Before::Letter('Q'), Before::Text("P01".into())].map(|b| b.setting());
        assert_eq!(settings, ["aim = true", "code_id = true", "before = [\"P01\"]"]);
    }

    #[test]
    fn escapes_for_encodings_are_taken_off_and_heard() {
        let plain = Framing::default();
        assert_eq!(code(&plain, br"\000026P-0009"), "P-0009");
        assert_eq!(code(&plain, r"\000026辽P12345".as_bytes()), "辽P12345");
        assert_eq!(code(&plain, b"\\000029\xc1\xc9P12345"), "辽P12345");
        assert_eq!(code(&plain, b"\\000003M\xfcller-1"), "Müller-1");
        assert_eq!(code(&plain, br"\000003P\\1\0000260009"), r"P\10009");
        assert_eq!(plain.take_off(br"\000026"), ScanResult::Nothing);
    }

    #[test]
    fn words_for_nothing_read_are_no_code() {
        let plain = Framing::default();
        for word in ["NR", "NOREAD", "NoRead", "NO READ", "ERROR", " error "] {
            assert_eq!(plain.take_off(word.as_bytes()), ScanResult::NoRead, "{word}");
        }
        assert_eq!(code(&plain, b"NR-1"), "NR-1");
        let own = Framing { no_read: vec!["?".into()], ..Framing::default() };
        assert_eq!(own.take_off(b"?"), ScanResult::NoRead);
        assert_eq!(code(&own, b"ERROR"), "ERROR");
    }
}
