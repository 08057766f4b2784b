//! Passes that are taken back, and people and plates that are held, at the duty console of a gateway: words above the
//! editions of `revocation` and `hold`, like those of a hospital ([`super::told`]). They count until the next edition of
//! the list, and are told to the other gateways of the site as those are.

use super::StoreError;
use super::lists::Pointer;
use super::told::{self, Held};
use kakou_core::hl7::Span;
use kakou_core::hl7::word::Word;
use serde_json::Map;
use std::path::Path;

/// The lists that can have such an entry.
pub const LISTS: [&str; 2] = ["revocation", "hold"];

/// Whether there is a list that an entry could stand above.
pub fn is_there(data: &Path, list: &str) -> Result<bool, StoreError> {
    told::standing(data, list, "").map(|standing| standing.is_some())
}

/// Puts an entry above a list; it is durable when this returns. Gives the word, for the others of the site; none where
/// there is no such list.
pub fn put(data: &Path, list: &str, id: &str, now_ms: i64) -> Result<Option<Word>, StoreError> {
    let _held = Held::new(data)?;
    let Some(standing) = told::standing(data, list, id)? else { return Ok(None) };
    // An edition that was issued a moment ahead of this clock is the one that the entry stands above.
    let at_ms = now_ms.max(standing.issued_ms.saturating_add(1));
    let word = Word { span: Span { at_ms, end_ms: at_ms }, tie: 0, said: Map::new() };
    told::put(data, list, id, &word)?;
    // The lanes look at the lists anew.
    Pointer::read(data)?.write(data)?;
    Ok(Some(word))
}
