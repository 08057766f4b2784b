//! The secrets with which the gateways of a site turn ids of persons into subject keys: the same at every gate, so
//! that one person has one key at a site. They have numbers, which events carry.
//!
//! The newest one is in use. Older ones are kept, so that records made with them are still found; a gateway deletes one
//! when no record made with it is left. They are sent one by one, each in an envelope for one box.

use crate::envelope::{EnvelopeError, Reader, ReaderKey, Sealed, seal};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// What a secret takes at least, in bytes.
pub const LEAST: usize = 32;
/// Secrets that are kept; beyond it the oldest goes.
pub const MOST: usize = 64;
/// What the envelope of a secret is for.
const PURPOSE: &str = "subject-key";

/// Why there is no secret, or why it is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectsError {
    /// The file holds something else.
    #[error("these are no subject keys: {0}; restore them from a backup")]
    Form(String),
    /// The envelope.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// It is shorter than one may be.
    #[error("a subject key has {LEAST} bytes at least, this one has {0}")]
    Short(usize),
    /// A later one is in use, or another of this number.
    #[error("key {0} is not newer than key {1}, which is in use")]
    Old(u32, u32),
}

/// The bytes of a secret, which nobody prints by mistake.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Secret(Vec<u8>);

impl TryFrom<String> for Secret {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|e| e.to_string())?;
        if bytes.len() < LEAST { Err(format!("{} bytes", bytes.len())) } else { Ok(Self(bytes)) }
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        URL_SAFE_NO_PAD.encode(secret.0)
    }
}

/// One secret with its number.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Its number, from 1.
    pub number: u32,
    secret: Secret,
    /// Since when another one is in use, UTC milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replaced_ms: Option<i64>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "key {}", self.number)
    }
}

/// Number and box are under the seal: an envelope of one number opens as no other, at no other box.
fn context(name: &str, number: u32) -> String {
    format!("{name} {number}")
}

impl Key {
    /// Of a secret.
    pub fn new(number: u32, secret: Vec<u8>) -> Result<Self, SubjectsError> {
        if secret.len() < LEAST {
            return Err(SubjectsError::Short(secret.len()));
        }
        Ok(Self { number, secret: Secret(secret), replaced_ms: None })
    }

    /// Its bytes.
    pub fn secret(&self) -> &[u8] {
        &self.secret.0
    }

    /// For one box, by the name in its certificate.
    pub fn seal(&self, reader: &Reader, name: &str) -> Result<Sealed, SubjectsError> {
        Ok(seal(reader, PURPOSE, context(name, self.number).as_bytes(), self.secret())?)
    }

    /// At that box.
    pub fn open(key: &ReaderKey, name: &str, number: u32, sealed: &Sealed) -> Result<Self, SubjectsError> {
        Self::new(number, key.open(sealed, PURPOSE, context(name, number).as_bytes())?)
    }
}

/// The secrets of a site, the one in use last. There is always one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    keys: Vec<Key>,
}

impl Keys {
    /// With a first one.
    pub fn new(first: Key) -> Self {
        Self { keys: vec![first] }
    }

    /// As a file holds them.
    pub fn read(json: &[u8]) -> Result<Self, SubjectsError> {
        let keys: Self = serde_json::from_slice(json).map_err(|e| SubjectsError::Form(e.to_string()))?;
        if keys.keys.is_empty() { Err(SubjectsError::Form("there is none".into())) } else { Ok(keys) }
    }

    /// For a file.
    pub fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and strings")
    }

    /// The one in use.
    pub fn in_use(&self) -> &Key {
        self.keys.last().expect("there is always one")
    }

    /// Those before it, the oldest first.
    pub fn before(&self) -> &[Key] {
        &self.keys[..self.keys.len() - 1]
    }

    /// Takes one into use. The same once more changes nothing and says so.
    pub fn rotate(&mut self, next: Key, now_ms: i64) -> Result<bool, SubjectsError> {
        let now = self.in_use();
        if now.number == next.number && now.secret == next.secret {
            return Ok(false);
        }
        if next.number <= now.number {
            return Err(SubjectsError::Old(next.number, now.number));
        }
        self.put(next, now_ms);
        Ok(true)
    }

    /// The same, whatever its number is: of an enrolment, which begins anew.
    pub fn put(&mut self, next: Key, now_ms: i64) {
        if let Some(last) = self.keys.last_mut() {
            last.replaced_ms = Some(now_ms);
        }
        self.keys.retain(|k| k.secret != next.secret);
        self.keys.push(Key { replaced_ms: None, ..next });
        let many = self.keys.len().saturating_sub(MOST);
        self.keys.drain(..many);
    }

    /// Forgets those that were replaced before a moment; says how many.
    pub fn forget(&mut self, before_ms: i64) -> usize {
        let all = self.keys.len();
        self.keys.retain(|k| k.replaced_ms.is_none_or(|at| at >= before_ms));
        all - self.keys.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32, byte: u8) -> Key {
        Key::new(number, vec![byte; LEAST]).unwrap()
    }

    fn numbers(keys: &Keys) -> Vec<u32> {
        keys.before().iter().chain([keys.in_use()]).map(|k| k.number).collect()
    }

    #[test]
    fn a_rotation_keeps_the_key_before_and_no_older_number_takes_its_place() {
        let mut keys = Keys::new(key(1, 1));
        assert_eq!(keys.rotate(key(1, 1), 5), Ok(false), "the same once more");
        assert_eq!(keys.rotate(key(1, 2), 5), Err(SubjectsError::Old(1, 1)));
        assert_eq!(keys.rotate(key(4, 4), 10), Ok(true), "some may have been missed");
        for (number, byte) in [(1, 1), (3, 3), (4, 5)] {
            assert_eq!(keys.rotate(key(number, byte), 20), Err(SubjectsError::Old(number, 4)));
        }
        assert_eq!((numbers(&keys), keys.in_use().secret()), (vec![1, 4], &[4; LEAST][..]));
        assert!(Keys::read(&keys.json()).unwrap() == keys);
    }

    #[test]
    fn a_key_is_forgotten_when_its_time_is_over_and_the_one_in_use_never() {
        let mut keys = Keys::new(key(1, 1));
        keys.rotate(key(2, 2), 100).unwrap();
        keys.rotate(key(3, 3), 200).unwrap();
        assert_eq!((keys.forget(100), numbers(&keys)), (0, vec![1, 2, 3]));
        assert_eq!((keys.forget(101), numbers(&keys)), (1, vec![2, 3]));
        assert_eq!((keys.forget(i64::MAX), numbers(&keys)), (1, vec![3]));
        for n in 4..=200_u32 {
            keys.rotate(Key::new(n, n.to_be_bytes().repeat(LEAST)).unwrap(), 300).unwrap();
        }
        assert_eq!(numbers(&keys).len(), MOST, "however often somebody rotates");
    }

    #[test]
    fn a_key_opens_at_its_box_under_its_number_alone() {
        let (ours, theirs) =
            (ReaderKey::from_bytes(&[7; 32]).unwrap(), ReaderKey::from_bytes(&[9; 32]).unwrap());
        let sealed = key(2, 2).seal(&ours.reader(), "school.gw-1").unwrap();
        assert!(Key::open(&ours, "school.gw-1", 2, &sealed).unwrap() == key(2, 2));
        assert_eq!(Key::open(&ours, "school.gw-1", 3, &sealed), Err(EnvelopeError::Opens.into()));
        assert_eq!(Key::open(&ours, "school.gw-2", 2, &sealed), Err(EnvelopeError::Opens.into()));
        assert!(Key::open(&theirs, "school.gw-1", 2, &sealed).is_err());
        let short = seal(&ours.reader(), PURPOSE, b"school.gw-1 2", b"short").unwrap();
        assert_eq!(Key::open(&ours, "school.gw-1", 2, &short), Err(SubjectsError::Short(5)));
    }

    #[test]
    fn a_file_of_something_else_is_no_key() {
        for bad in ["", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"number":1,"secret":"AAAA"}]}"#] {
            assert!(matches!(Keys::read(bad.as_bytes()), Err(SubjectsError::Form(_))), "{bad}");
        }
        assert_eq!(format!("{:?}", key(1, 1)), "key 1", "nobody prints a secret");
    }
}
