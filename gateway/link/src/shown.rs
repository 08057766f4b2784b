//! Makes untrusted text safe for terminals and logs: what a gateway, a pass or a broker sends cannot move the cursor, set
//! colours, start a line of its own or reverse the direction of other text.

use serde_json::Value;

/// Whether a character controls the terminal or changes the direction of the text behind it.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// For use within a line: line breaks and tabs are replaced, too.
pub fn line(text: &str) -> String {
    text.replace(acts, "\u{fffd}")
}

/// With line breaks and tabs as they are: for messages of several lines, such as an error in a file.
pub fn lines(text: &str) -> String {
    text.replace(|c| acts(c) && c != '\n' && c != '\t', "\u{fffd}")
}

/// As one line of JSON that means the same.
pub fn json(value: &Value) -> String {
    escaped(&value.to_string())
}

/// The same for people, in lines.
pub fn pretty(value: &Value) -> String {
    escaped(&format!("{value:#}"))
}

/// Such characters stand inside the texts of a JSON document alone.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if acts(c) && c != '\n' {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Sets a colour, erases the screen, renames the window, goes back in the line, turns the text round.
    const BAD: &str = "a\u{1b}[31m\u{9b}2J\u{1b}]0;x\u{7}\r\u{8}\u{7f}\u{202e}b\n2026 ERROR";

    #[test]
    fn what_a_stranger_says_is_a_part_of_its_line() {
        assert_eq!(line("京A1234 é 😀"), "京A1234 é 😀");
        assert!(!line(BAD).contains(acts));
        assert_eq!(lines("one\n\ttwo"), "one\n\ttwo");
        assert!(!lines(BAD).contains(|c| acts(c) && c != '\n'));
        let value = json!({ "x": BAD, "y": [1, "\u{2028}"] });
        for text in [super::json(&value), pretty(&value)] {
            assert!(!text.contains(|c| acts(c) && c != '\n'), "{text:?}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value, "it means the same");
        }
        assert!(!super::json(&value).contains('\n'));
    }
}
