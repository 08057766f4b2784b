//! The text of a code, whatever the reader made of it.
//!
//! Readers put things around a code: NULs while a line wakes, STX and ETX, an AIM identifier (`]Q1`), a letter for the
//! kind of code, escapes for its encodings (`\000026`), words for "nothing read". What cannot be part of a code is
//! always taken off; what can be is taken off where the port is set to it.

use encoding_rs::{BIG5, EUC_KR, Encoding, GB18030, SHIFT_JIS, WINDOWS_1252};

/// Text begins here, for readers that are set so.
pub const STX: u8 = 0x02;
/// And ends here.
pub const ETX: u8 = 0x03;
/// What readers send when they were triggered and read nothing.
const NO_READ: [&str; 5] = ["NR", "NOREAD", "NO READ", "NO_READ", "ERROR"];
/// What passes begin with: behind one more letter, that letter is the reader's.
const KNOWN: [&[u8]; 4] = [b"KP1:", b"HC1:", b"http", b"HTTP"];
/// Digits of an escape for an encoding, behind its backslash.
const ESCAPE_DIGITS: usize = 6;

/// What a reader puts around each code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dress {
    /// An AIM identifier: `]`, a letter, a digit or letter.
    pub aim: bool,
    /// A letter for the kind of code.
    pub code_id: bool,
    /// Words for "nothing read".
    pub no_read: Vec<String>,
}

impl Default for Dress {
    fn default() -> Self {
        Self { aim: false, code_id: false, no_read: NO_READ.map(str::to_owned).to_vec() }
    }
}

/// What a reader said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A code.
    Code(Vec<u8>),
    /// That it read nothing.
    NoRead,
    /// Nothing.
    Nothing,
}

impl Dress {
    /// Takes off what is around a code, and makes UTF-8 of it where that can be.
    pub fn take_off(&self, bytes: &[u8]) -> Said {
        let mut code = bare(bytes);
        if self.aim && is_aim(code) {
            code = &code[3..];
        }
        if self.code_id && code.first().is_some_and(u8::is_ascii_alphabetic) {
            code = &code[1..];
        }
        let text = unescaped(code);
        if text.is_empty() {
            return Said::Nothing;
        }
        let word = std::str::from_utf8(&text).unwrap_or_default().trim();
        if self.no_read.iter().any(|no| no.eq_ignore_ascii_case(word)) {
            return Said::NoRead;
        }
        Said::Code(text)
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

/// What somebody at the screen should set for such a code, if it is dressed.
pub fn hint(code: &[u8]) -> Option<&'static str> {
    let letter = matches!(code, [first, rest @ ..] if first.is_ascii_alphabetic()
        && KNOWN.iter().any(|known| rest.starts_with(known)));
    if is_aim(code) {
        Some("it begins with an AIM identifier: set `aim = true` in the port of this reader")
    } else if letter {
        Some(
            "a letter for the kind of code stands before it: set `code_id = true` in the port of this reader",
        )
    } else {
        None
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

    fn code(dress: &Dress, bytes: &[u8]) -> String {
        match dress.take_off(bytes) {
            Said::Code(code) => String::from_utf8(code).unwrap(),
            other @ (Said::NoRead | Said::Nothing) => format!("{other:?}"),
        }
    }

    #[test]
    fn framing_and_marks_are_taken_off_and_nothing_else() {
        let plain = Dress::default();
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
            assert_eq!(plain.take_off(bytes), Said::Nothing);
        }
    }

    #[test]
    fn identifiers_are_taken_off_where_the_port_is_set_to_it() {
        let aim = Dress { aim: true, ..Dress::default() };
        assert_eq!(code(&aim, b"]Q1P-0009"), "P-0009");
        assert_eq!(code(&aim, b"\x02]C0P-0009\x03"), "P-0009");
        assert_eq!(code(&aim, b"P-0009"), "P-0009", "a code without one");
        let letter = Dress { code_id: true, ..Dress::default() };
        assert_eq!(code(&letter, b"QP-0009"), "P-0009");
        assert_eq!(code(&letter, b"9P-0009"), "9P-0009", "that is no letter");
        assert!(hint(b"]Q1P-0009").unwrap().contains("aim = true") && hint(b"P-0009").is_none());
        assert!(hint(b"QKP1:AB").unwrap().contains("code_id = true") && hint(b"KP1:AB").is_none());
    }

    #[test]
    fn escapes_for_encodings_are_taken_off_and_heard() {
        let plain = Dress::default();
        assert_eq!(code(&plain, br"\000026P-0009"), "P-0009");
        assert_eq!(code(&plain, r"\000026辽P12345".as_bytes()), "辽P12345");
        assert_eq!(code(&plain, b"\\000029\xc1\xc9P12345"), "辽P12345");
        assert_eq!(code(&plain, b"\\000003M\xfcller-1"), "Müller-1");
        assert_eq!(code(&plain, br"\000003P\\1\0000260009"), r"P\10009");
        assert_eq!(plain.take_off(br"\000026"), Said::Nothing);
    }

    #[test]
    fn words_for_nothing_read_are_no_code() {
        let plain = Dress::default();
        for word in ["NR", "NOREAD", "NoRead", "NO READ", "ERROR", " error "] {
            assert_eq!(plain.take_off(word.as_bytes()), Said::NoRead, "{word}");
        }
        assert_eq!(code(&plain, b"NR-1"), "NR-1");
        let own = Dress { no_read: vec!["?".into()], ..Dress::default() };
        assert_eq!(own.take_off(b"?"), Said::NoRead);
        assert_eq!(code(&own, b"ERROR"), "ERROR");
    }
}
