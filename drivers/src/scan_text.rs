//! The text of a code, whatever the reader made of it.

use encoding_rs::GB18030;

/// Strict UTF-8 as it is; else strict GB18030, since Chinese codes often carry it unmarked; else the
/// bytes as they came.
pub fn to_utf8(code: Vec<u8>) -> Vec<u8> {
    if std::str::from_utf8(&code).is_ok() {
        return code;
    }
    match GB18030.decode_without_bom_handling_and_without_replacement(&code) {
        Some(text) => text.into_owned().into_bytes(),
        None => code,
    }
}
