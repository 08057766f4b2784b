//! The subject keys of this gateway: `keys/subjects.json`, with the secret in use and those before it.
//!
//! The authority gives them, so that one person has one key at every gate of a site: the first with the
//! certificate, the next ones as commands. A box without an authority makes one itself. An earlier version had one
//! without a number, `keys/site.key`: it is number 1.

use crate::keys::{self, KeyError, random};
use kakou_core::evidence::SubjectKeys;
use kakou_link::durable;
use kakou_provisioning::envelope::Sealed;
use kakou_provisioning::subjects::{Key, Keys, LEAST, SubjectsError};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Why a key is not taken.
#[derive(Debug, thiserror::Error)]
pub enum KeyRejected {
    /// The keys of this box.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The envelope, or what is in it.
    #[error(transparent)]
    Subjects(#[from] SubjectsError),
}

/// What the number of the first key is.
pub const FIRST: u32 = 1;

fn path(data: &Path) -> PathBuf {
    data.join("keys/subjects.json")
}

fn before_numbers(data: &Path) -> PathBuf {
    data.join("keys/site.key")
}

/// The bytes of a file, if it is there.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, KeyError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(KeyError::Io(path.to_path_buf(), e)),
    }
}

/// The keys in a file; in its place the one without a number in `single`, which goes when it is there under its
/// number.
pub fn read_keys(path: &Path, single: &Path) -> Result<Option<Keys>, KeyError> {
    let bad = |path: &Path, e: &dyn std::fmt::Display| KeyError::Bad(path.to_path_buf(), e.to_string());
    let (json, secret) = (read(path)?, read(single)?);
    let kept = json.map(|json| Keys::read(&json).map_err(|e| bad(path, &e))).transpose()?;
    let Some(secret) = secret else { return Ok(kept) };
    let first = Key::new(FIRST, secret).map_err(|e| bad(single, &e))?;
    let keys = match kept {
        None => {
            let keys = Keys::new(first);
            write(path, &keys)?;
            keys
        }
        Some(keys) if keys.before().iter().chain([keys.in_use()]).any(|k| k.secret() == first.secret()) => {
            keys
        }
        Some(keys) => {
            log::warn!("{} is not used: the subject keys are in {}", single.display(), path.display());
            return Ok(Some(keys));
        }
    };
    fs::remove_file(single).map_err(|e| KeyError::Io(single.to_path_buf(), e))?;
    Ok(Some(keys))
}

/// Replaces a file of keys; it is durable when this returns.
pub fn write(path: &Path, keys: &Keys) -> Result<(), KeyError> {
    let done = path.parent().map_or(Ok(()), durable::make_folder);
    done.and_then(|()| durable::write_secret(path, &keys.json()))
        .map_err(|e| KeyError::Io(path.to_path_buf(), e))
}

/// A key that nobody else has.
pub fn make(number: u32) -> Result<Key, KeyError> {
    Ok(Key::new(number, random(LEAST)?).expect("it is long enough"))
}

/// Those of this box; it makes one if it was given none.
pub fn load(data: &Path) -> Result<Keys, KeyError> {
    match read_keys(&path(data), &before_numbers(data))? {
        Some(keys) => Ok(keys),
        None => {
            let keys = Keys::new(make(FIRST)?);
            write(&path(data), &keys)?;
            Ok(keys)
        }
    }
}

/// What enrolment gives. Keys that were there before are kept: what was recorded with them is still found.
pub fn enrolled(data: &Path, given: Key, now_ms: i64) -> Result<(), KeyError> {
    match read_keys(&path(data), &before_numbers(data))? {
        None => write(&path(data), &Keys::new(given)),
        Some(keys) if *keys.in_use() == given => Ok(()),
        Some(mut keys) => {
            keys.put(given, now_ms);
            write(&path(data), &keys)
        }
    }
}

/// Takes the next key out of its envelope; it is durable when this returns. False where it is in use already.
pub fn take(
    data: &Path,
    name: &str,
    (number, sealed): (u32, &Sealed),
    now_ms: i64,
) -> Result<(Keys, bool), KeyRejected> {
    let key = Key::open(&keys::reader_key(data)?, name, number, sealed)?;
    let mut keys = load(data)?;
    let new = keys.rotate(key, now_ms)?;
    if new {
        write(&path(data), &keys)?;
    }
    Ok((keys, new))
}

/// Forgets those that were replaced before a moment. Gives what is left, if any was forgotten.
pub fn forget(data: &Path, before_ms: i64) -> Result<Option<Keys>, KeyError> {
    let mut keys = load(data)?;
    if keys.forget(before_ms) == 0 {
        return Ok(None);
    }
    write(&path(data), &keys)?;
    Ok(Some(keys))
}

/// As the lanes use them.
pub fn for_lanes(keys: &Keys) -> SubjectKeys {
    let now = keys.in_use();
    let before = keys.before().iter().rev().map(Key::secret);
    SubjectKeys::new(now.number, now.secret()).with_before(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_provisioning::envelope::ReaderKey;

    #[test]
    fn the_one_key_of_an_earlier_version_is_number_one_and_lies_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        durable::make_folder(&data.join("keys")).unwrap();
        let single = data.join("keys/site.key");
        fs::write(&single, [7; 40]).unwrap();
        let keys = load(data).unwrap();
        assert_eq!((keys.in_use().number, keys.in_use().secret()), (1, &[7; 40][..]));
        assert!(!single.exists());
        // A power cut between the two steps.
        fs::write(&single, [7; 40]).unwrap();
        assert!(load(data).unwrap() == keys && !single.exists());
        // Somebody's backup of another box is not taken for the key in use, and not destroyed.
        fs::write(&single, [8; 32]).unwrap();
        assert!(load(data).unwrap() == keys && single.exists());
        fs::write(&single, "short").unwrap();
        assert!(matches!(load(data), Err(KeyError::Bad(..))));
    }

    #[test]
    fn a_box_without_an_authority_makes_a_key_once_and_enrolment_keeps_it_for_what_it_has_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let made = load(folder.path()).unwrap();
        assert!(load(folder.path()).unwrap() == made);
        let given = Key::new(3, vec![3; 32]).unwrap();
        for _ in 0..2 {
            enrolled(folder.path(), given.clone(), 5).unwrap();
            let keys = load(folder.path()).unwrap();
            assert!(*keys.in_use() == given && keys.before().len() == 1);
            let lanes = for_lanes(&keys);
            let alone = SubjectKeys::new(1, made.in_use().secret());
            assert_eq!((lanes.number(), &lanes.all("R-1")[1]), (3, &alone.of("R-1")));
        }
    }

    #[test]
    fn a_message_for_another_box_of_another_number_or_that_was_changed_leaves_the_key_in_use() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let data = folder.path();
        let (ours, theirs) = (keys::reader_key(data).unwrap(), keys::reader_key(other.path()).unwrap());
        let before = load(data).unwrap();
        let next = Key::new(2, vec![2; 32]).unwrap();
        let seal = |reader: &ReaderKey, name: &str| next.seal(&reader.reader(), name).unwrap();
        let name = "school.gw-1";
        let mut changed = seal(&ours, name);
        let byte = if changed.ct.starts_with('A') { "B" } else { "A" };
        changed.ct.replace_range(..1, byte);
        for (number, sealed) in
            [(2, seal(&theirs, name)), (2, seal(&ours, "school.gw-2")), (3, seal(&ours, name)), (2, changed)]
        {
            assert!(matches!(take(data, name, (number, &sealed), 9), Err(KeyRejected::Subjects(_))));
        }
        assert!(load(data).unwrap() == before);
        let sealed = seal(&ours, name);
        assert!(take(data, name, (2, &sealed), 9).unwrap().1);
        assert!(!take(data, name, (2, &sealed), 10).unwrap().1, "the same once more");
        let older = Key::new(1, vec![9; 32]).unwrap().seal(&ours.reader(), name).unwrap();
        assert!(take(data, name, (1, &older), 11).is_err());
        let keys = load(data).unwrap();
        assert!(*keys.in_use() == next && keys.before().len() == 1);
        assert!(forget(data, 9).unwrap().is_none(), "it is kept for the time of traces");
        assert!(forget(data, 10).unwrap().unwrap().before().is_empty());
        assert!(load(data).unwrap().before().is_empty(), "and gone from the disk");
    }
}
