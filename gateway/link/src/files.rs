//! Text files made by people with editors and spreadsheets: a byte order mark is accepted, and another encoding than
//! UTF-8 gets an error that says how to save the file.

use kakou_core::text::{json_fault, line_at, without_mark};
use serde::de::DeserializeOwned;
use std::io::{Error, ErrorKind};
use std::path::Path;

/// The text of a file.
pub fn read_text(path: &Path) -> std::io::Result<String> {
    text(&std::fs::read(path)?)
}

/// The text in the bytes of a file.
pub fn text(bytes: &[u8]) -> std::io::Result<String> {
    let wrong = |why: String| Error::new(ErrorKind::InvalidData, why);
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(wrong("it is saved as UTF-16 (\"Unicode\"): save it as UTF-8".into()));
    }
    let bytes = without_mark(bytes);
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|e| {
        let line = line_at(bytes, e.valid_up_to());
        wrong(format!("line {line} is not UTF-8: save it as UTF-8"))
    })
}

/// What a JSON file says; an error names the file.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    json(&bytes).map_err(|e| format!("{}: {e}", path.display()))
}

/// What the bytes of a JSON file say.
pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let bytes = without_mark(bytes);
    serde_json::from_slice(bytes).map_err(|e| json_fault(bytes, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_file_and_other_encodings_are_named() {
        assert_eq!(text("\u{feff}a = 1".as_bytes()).unwrap(), "a = 1");
        assert_eq!(json::<Vec<u8>>("\u{feff}[1]".as_bytes()).unwrap(), [1]);
        assert!(text(b"\xff\xfea\0").unwrap_err().to_string().contains("UTF-16"));
        // GBK.
        let wrong = text(b"a = 1\nb = \"\xd5\xc5\"").unwrap_err().to_string();
        assert_eq!(wrong, "line 2 is not UTF-8: save it as UTF-8");
    }
}
