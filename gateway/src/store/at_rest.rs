//! The states of lanes, and the visits that can still go on, on the disk: they name whoever stands there, so they lie
//! there sealed with a key of the box. A row of an earlier version is plain JSON, and is read as it is.
//!
//! Whoever has the whole data folder has the key as well. It keeps names and codes out of the database, its log and
//! every copy of them alone.

use super::StoreError;
use crate::keys;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// What a sealed row begins with, before its nonce; JSON begins with a brace.
const SEALED: u8 = 1;
/// What stands before the ciphertext.
const HEAD: usize = 1 + NONCE_LEN;

/// What a row is: one is not taken for another.
#[derive(Debug, Clone, Copy)]
pub enum RowOf {
    /// The state of a lane.
    Lane,
    /// A visit that has ended and can still go on.
    Visit,
}

impl RowOf {
    const fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Lane => b"kakou row lane 1",
            Self::Visit => b"kakou row visit 1",
        }
    }
}

/// Why a row cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// Another key has sealed it, or it is damaged.
    #[error("it does not open with keys/rows.key")]
    Key,
    /// It is not what it should be.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Seals and opens rows.
pub struct RowKey {
    key: LessSafeKey,
    random: SystemRandom,
}

impl RowKey {
    /// The key of the box, made at its first start.
    pub fn of(data: &Path) -> Result<Self, StoreError> {
        let io = |e: keys::KeyError| StoreError::Io {
            path: data.join("keys"),
            source: std::io::Error::other(e.to_string()),
        };
        let key = UnboundKey::new(&CHACHA20_POLY1305, &keys::row_key(data).map_err(io)?);
        let key = key.expect("the key has the length of one");
        Ok(Self { key: LessSafeKey::new(key), random: SystemRandom::new() })
    }

    /// A row as it lies on the disk: the JSON of a value.
    pub fn seal(&self, what: RowOf, value: &impl Serialize) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).expect("the system gives random numbers once it has given a key");
        let mut row = vec![SEALED];
        row.extend(nonce);
        serde_json::to_writer(&mut row, value).expect("what a lane remembers has only string keys");
        let (nonce, aad) = (Nonce::assume_unique_for_key(nonce), Aad::from(what.as_bytes()));
        let tag = self.key.seal_in_place_separate_tag(nonce, aad, &mut row[HEAD..]);
        row.extend(tag.expect("a row is shorter than what may be sealed at once").as_ref());
        row
    }

    /// What a row holds.
    pub fn read<T: DeserializeOwned>(&self, what: RowOf, row: &[u8]) -> Result<T, RowError> {
        let Some(sealed) = row.strip_prefix(&[SEALED]) else { return Ok(serde_json::from_slice(row)?) };
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(RowError::Key)?;
        let mut text = sealed.to_vec();
        let (nonce, aad) = (Nonce::assume_unique_for_key(*nonce), Aad::from(what.as_bytes()));
        let text = self.key.open_in_place(nonce, aad, &mut text).map_err(|_| RowError::Key)?;
        Ok(serde_json::from_slice(text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::fs;

    fn row_of(key: &RowKey) -> Vec<u8> {
        key.seal(RowOf::Lane, &json!({ "id": "P-0001" }))
    }

    fn opens(key: &RowKey, what: RowOf, row: &[u8]) -> bool {
        key.read::<Value>(what, row).is_ok_and(|value| value == json!({ "id": "P-0001" }))
    }

    #[test]
    fn a_row_is_read_with_the_key_of_its_box_alone_and_one_of_an_earlier_version_as_it_is() {
        let [one, other] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let key = RowKey::of(one.path()).unwrap();
        let row = row_of(&key);
        assert!(row != row_of(&key) && !row.windows(6).any(|w| w == b"P-0001"));
        let again = RowKey::of(one.path()).unwrap();
        assert!(opens(&again, RowOf::Lane, &row));
        assert!(!opens(&again, RowOf::Visit, &row));
        assert!(!opens(&RowKey::of(other.path()).unwrap(), RowOf::Lane, &row));
        for at in 0..row.len() {
            let mut bad = row.clone();
            bad[at] ^= 4;
            assert!(!opens(&again, RowOf::Lane, &bad) && !opens(&again, RowOf::Lane, &row[..at]), "{at}");
        }
        assert!(opens(&again, RowOf::Visit, br#"{"id":"P-0001"}"#));
    }

    #[test]
    fn a_key_that_is_lost_or_damaged_is_made_anew_and_what_it_sealed_opens_no_more() {
        let data = tempfile::tempdir().unwrap();
        let row = row_of(&RowKey::of(data.path()).unwrap());
        let path = data.path().join("keys/rows.key");
        for damaged in [Some(&b""[..]), Some(&b"short"[..]), Some(&[7; 4_096][..]), None] {
            match damaged {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let key = RowKey::of(data.path()).unwrap();
            assert!(!opens(&key, RowOf::Lane, &row) && opens(&key, RowOf::Lane, &row_of(&key)));
        }
        assert_eq!(fs::read(path.with_extension("key.unreadable")).unwrap(), [7; 4_096]);
    }
}
