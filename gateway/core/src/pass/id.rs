//! The one form of what is scanned, typed or looked up.
//!
//! The same id comes from a camera with a line end, from a keyboard in full-width letters, from a list in
//! small ones: all of them meet here, and the keys of the lists with them.

use super::plate;
use crate::text;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// Beginnings of addresses that have no `//` behind them.
const SCHEMES: [&str; 8] = ["HTTP:", "HTTPS:", "WWW.", "MAILTO:", "TEL:", "SMS:", "SMSTO:", "GEO:"];

/// The normal form of an id: nothing around it, letters and digits of full width as ordinary ones (NFKC), ASCII
/// letters upper case; plates in their own one form.
pub fn normal(id: &str) -> String {
    let folded: String = text::trimmed(id).nfkc().map(|c| c.to_ascii_uppercase()).collect();
    let folded = text::trimmed(&folded);
    match plate::normal(folded) {
        // Letters and digits alone: `KA-12345` is some id, whose hyphen is its own, rather than a plate.
        Some(plate) if !(plate.is_ascii() && folded.contains('-')) => plate,
        Some(_) | None => folded.to_owned(),
    }
}

/// The form under which an entry of a list is kept and asked for.
pub fn key<'a>(list: &str, id: &'a str) -> Cow<'a, str> {
    let key = match list {
        // Names of files and keys, not of people or vehicles.
        "trust" | "policy" => return Cow::Borrowed(id),
        "revocation" => revocation(id),
        _ => normal(id),
    };
    if key == id { Cow::Borrowed(id) } else { Cow::Owned(key) }
}

/// `kid:pass id`. The ids of our own passes are base64, where case counts; those of health certificates (UVCI) are
/// written in either.
fn revocation(id: &str) -> String {
    let id = text::trimmed(id);
    let Some((kid, pass)) = id.split_once(':') else { return id.to_owned() };
    let ours = URL_SAFE_NO_PAD.decode(pass).is_ok_and(|bytes| (8..=16).contains(&bytes.len()));
    let pass = if ours { Cow::Borrowed(pass) } else { Cow::Owned(pass.to_ascii_uppercase()) };
    format!("{}:{pass}", kid.to_ascii_lowercase())
}

/// Whether a text in its normal form is an address, of a page or otherwise, and so no id.
pub(super) fn is_address(normal: &str) -> bool {
    normal.contains("://") || SCHEMES.iter().any(|s| normal.starts_with(s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_and_a_gate_meet_in_one_key() {
        for (list, one, other) in [
            ("hold", "京A·1234应急", "京A1234应急"),
            ("status", "32012319900101123x", "32012319900101123X"),
            ("pass", "Ｐ－０００９", "p-0009 "),
            ("revocation", "0A1B:urn:uvci:01:de:x#3", "0a1b:URN:UVCI:01:DE:X#3"),
        ] {
            assert_eq!(key(list, one), key(list, other), "{list}");
        }
        let (one, other) = ("0a1b:AAAAAAAAAAA", "0a1b:aAAAAAAAAAA");
        assert_ne!(key("revocation", one), key("revocation", other), "base64: two ids of our own passes");
        assert_eq!(key("policy", "School-Gate"), "School-Gate");
    }

    #[test]
    fn the_normal_form_is_its_own_normal_form() {
        for text in ["辽P·12345", "ka-12345", "Ａ １", "\u{feff}x\n", "ﬁ", "使-014578", ""] {
            assert_eq!(normal(&normal(text)), normal(text), "{text}");
        }
    }
}
