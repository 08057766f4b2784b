//! Text for people, always in both languages; and text from people, as their editors save it.

use serde::{Deserialize, Serialize};

/// One sentence in Chinese and in English.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// Simplified Chinese.
    pub zh: String,
    /// English.
    pub en: String,
}

impl Text {
    /// Both languages at once.
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }
}

/// A name as a public screen may show it: the first character, then one star.
pub fn masked(name: &str) -> String {
    trimmed(name).chars().next().map(|c| format!("{c}*")).unwrap_or_default()
}

/// A text without what stands around it: blanks, line ends, byte order marks and other characters that nobody sees.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| {
        c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
    })
}

/// The same for bytes that may be anything.
pub fn trimmed_bytes(bytes: &[u8]) -> &[u8] {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.trim_ascii(), |text| trimmed(text).as_bytes())
}

/// A file without the byte order mark that some editors put before UTF-8.
pub fn without_mark(file: &[u8]) -> &[u8] {
    file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file)
}

/// The line, from 1, of a byte; behind the end of the text it is the last line.
pub fn line_at(text: &[u8], offset: usize) -> usize {
    1 + text[..offset.min(text.len())].iter().filter(|b| **b == b'\n').count()
}

/// What is wrong with a JSON file, in words for who made it. Of the file itself it shows one character.
pub fn json_fault(file: &[u8], error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    if file.starts_with(&[0xff, 0xfe]) || file.starts_with(&[0xfe, 0xff]) {
        return "it is saved as UTF-16 (\"Unicode\"): save it as UTF-8".into();
    }
    if file.trim_ascii().is_empty() {
        return "it is empty".into();
    }
    let (line, column) = (error.line(), error.column());
    let what = error.to_string();
    let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
    let found = || {
        let text =
            String::from_utf8_lossy(file.split(|b| *b == b'\n').nth(line.saturating_sub(1))?).into_owned();
        // The column counts bytes; replaced ones are rare, and then the column alone must do.
        let at = (0..column).rev().find(|at| text.is_char_boundary(*at))?;
        text[at..].chars().next().map(|c| format!("found {c:?}, "))
    };
    match error.classify() {
        Category::Eof => {
            format!("line {line}: it ends in the middle; a quote, bracket or brace is not closed")
        }
        Category::Syntax => {
            let found = found().unwrap_or_default();
            let what = if what == "expected value" {
                "expected a JSON value: {…}, […], \"text\" or a number"
            } else {
                what
            };
            format!("line {line}, column {column}: {found}{what}")
        }
        Category::Data if line > 0 => format!("line {line}: {what}"),
        Category::Data | Category::Io => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_name_shows_one_character() {
        assert_eq!(masked("张小明"), "张*");
        assert_eq!(masked("Li"), "L*");
        assert_eq!(masked("\u{feff}Li"), "L*");
        assert_eq!(masked(" "), "");
    }

    #[test]
    fn the_line_of_a_byte_counts_the_line_ends_before_it() {
        let lines = [0, 1, 2, 3, 4, 99].map(|offset| line_at(b"a\n\nb", offset));
        assert_eq!(lines, [1, 1, 2, 3, 3, 3]);
        assert_eq!(line_at(b"", 7), 1);
    }

    #[test]
    fn a_fault_of_a_json_file_is_told_in_words() {
        for (file, words) in [
            (&b"<!DOCTYPE html>"[..], "line 1, column 1: found '<', expected a JSON value"),
            (b" \n", "it is empty"),
            (b"\xff\xfe{\0}\0", "UTF-16"),
            (b"{\n\"name\": \"x\"", "line 2: it ends in the middle"),
            ("{\"name\": \"x\"，}".as_bytes(), "line 1, column 13: found '，', expected `,` or `}`"),
            (b"{\"a\":1,\n}", "line 2, column 1: found '}', trailing comma"),
            (b"{}{}", "line 1, column 3: found '{', trailing characters"),
        ] {
            let error = serde_json::from_slice::<serde_json::Value>(file).unwrap_err();
            let said = json_fault(file, &error);
            assert!(said.contains(words), "{said}");
        }
        let error = serde_json::from_slice::<u8>(b"\n\"x\"").unwrap_err();
        assert!(json_fault(b"\n\"x\"", &error).starts_with("line 2: invalid type"));
        // What was read already has no lines.
        let error = serde_json::from_value::<u8>(serde_json::json!("x")).unwrap_err();
        assert!(json_fault(b"\"x\"", &error).starts_with("invalid type"));
    }

    #[test]
    fn what_nobody_sees_around_a_text_or_before_a_file_does_not_count() {
        for around in ["x", " x\n", "\u{feff}x\u{200b}", "\u{3000}x"] {
            assert_eq!((trimmed(around), trimmed_bytes(around.as_bytes())), ("x", &b"x"[..]), "{around:?}");
        }
        assert_eq!(trimmed_bytes(b" \xff\n"), b"\xff");
        assert_eq!((without_mark(b"\xef\xbb\xbf{}"), without_mark(b"{}")), (&b"{}"[..], &b"{}"[..]));
    }
}
