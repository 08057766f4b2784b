//! What a hospital tells one gateway, and what an officer takes back at its duty console, for the others of the site: sealed with the key that they share, so that the broker
//! and the disk hold nobody's name, and kept in a folder until the broker has it.
//!
//! Each word is told whole, and the newest counts wherever it comes, so the order in which they travel does not matter.

use crate::feeds::words_in;
use crate::keys::{KeyError, random};
use crate::store::StoreError;
use crate::store::{revoke, told};
use crate::subjects;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kakou_core::evidence::Hash;
use kakou_core::hl7::AHEAD_MS;
use kakou_core::hl7::word::{LISTS, TOLD, Word};
use kakou_link::durable;
use kakou_provisioning::subjects::Key;
use kakou_wire::peers::ToldPatient;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What the key of the site is used for here.
const PURPOSE: &[u8] = b"kakou peer patient 1";
/// An id is no longer: bytes.
const LONGEST_ID: usize = 256;
/// A message is of no more lists.
const MOST_LISTS: usize = LISTS.len();

/// The lists of which something is told.
fn told_lists() -> impl Iterator<Item = &'static str> {
    LISTS.into_iter().chain(revoke::LISTS)
}

/// Why something is not told, or not heard.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The keys of this box.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The lists.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder.
    #[error("{0}: {1}")]
    Io(PathBuf, std::io::Error),
    /// It does not open with any key of this site, or says what no message says.
    #[error("what another gateway tells of an entry of a list cannot be read")]
    Unreadable,
}

/// A word and its list.
pub type Told = (&'static str, Word);

/// Whose words they are: the site and a gateway.
#[derive(Debug, Clone, Copy)]
pub struct Teller<'a> {
    /// The site.
    pub site: &'a str,
    /// The gateway.
    pub gateway: &'a str,
}

impl Teller<'_> {
    fn context(&self) -> Vec<u8> {
        format!("{}/{}", self.site, self.gateway).into_bytes()
    }
}

/// Where words wait that the broker does not have yet.
pub fn folder(data: &Path) -> PathBuf {
    data.join("share-patients")
}

/// Keeps words of a patient for the others; they are durable when this returns.
pub fn keep(data: &Path, teller: Teller<'_>, id: &str, words: &[Told]) -> Result<(), ShareError> {
    let keys = subjects::load(data)?;
    write(data, keys.in_use(), teller, id, words)
}

/// Somebody is new at the site, or has missed something: all that stands above the lists is told again.
pub fn keep_all(data: &Path, teller: Teller<'_>) -> Result<(), ShareError> {
    let keys = subjects::load(data)?;
    // What waits is part of it.
    let before = words_in(&folder(data));
    let mut all: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    for list in told_lists() {
        for (id, word) in told::all(data, list)? {
            all.entry(id).or_default().push((list, word));
        }
    }
    for (id, words) in &all {
        write(data, keys.in_use(), teller, id, words)?;
    }
    for (file, _) in before {
        if let Err(e) = std::fs::remove_file(&file) {
            log::debug!("{}: {e}", file.display());
        }
    }
    Ok(())
}

fn write(data: &Path, key: &Key, teller: Teller<'_>, id: &str, words: &[Told]) -> Result<(), ShareError> {
    let text = seal(key, teller, id, words)?;
    let folder = folder(data);
    let kept = durable::make_folder(&folder)
        .and_then(|()| durable::write(&folder.join(Hash::of(&text).hex()), &text));
    kept.map_err(|e| ShareError::Io(folder, e))
}

/// Both lists in one message: whoever hears it never has one without the other.
fn seal(key: &Key, teller: Teller<'_>, id: &str, words: &[Told]) -> Result<Vec<u8>, ShareError> {
    let told: Map<String, Value> = words
        .iter()
        .filter_map(|(list, word)| Some(((*list).to_owned(), word.above(None).remove(TOLD)?)))
        .collect();
    let mut bytes = json!({ "id": id, "told": told }).to_string().into_bytes();
    let nonce: [u8; NONCE_LEN] = random(NONCE_LEN)?.try_into().expect("so many were asked for");
    aead(key)
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(teller.context()),
            &mut bytes,
        )
        .expect("a word is short");
    let told = ToldPatient {
        key: key.number,
        nonce: URL_SAFE_NO_PAD.encode(nonce),
        sealed: URL_SAFE_NO_PAD.encode(bytes),
    };
    Ok(serde_json::to_vec(&told).expect("it is texts and a number"))
}

/// Takes what another gateway tells; whether it was news.
pub fn hear(
    data: &Path,
    teller: Teller<'_>,
    told: &ToldPatient,
    now_ms: Option<i64>,
) -> Result<bool, ShareError> {
    let keys = subjects::load(data)?;
    let mut all = keys.before().iter().chain([keys.in_use()]);
    let key = all.find(|key| key.number == told.key).ok_or(ShareError::Unreadable)?;
    let (id, words) = unseal(key, teller, told).ok_or(ShareError::Unreadable)?;
    // It would stand above all that comes after it.
    let ahead = |word: &Word| now_ms.is_some_and(|now| word.span.at_ms > now.saturating_add(AHEAD_MS));
    if words.iter().any(|(_, word)| ahead(word)) {
        return Err(ShareError::Unreadable);
    }
    let mut news = false;
    // Whoever is admitted has an entry in the roster then.
    for (list, word) in words.iter().rev() {
        news |= told::hear(data, list, &id, word)?;
    }
    Ok(news)
}

fn unseal(key: &Key, teller: Teller<'_>, told: &ToldPatient) -> Option<(String, Vec<Told>)> {
    let nonce: [u8; NONCE_LEN] = URL_SAFE_NO_PAD.decode(&told.nonce).ok()?.try_into().ok()?;
    let mut bytes = URL_SAFE_NO_PAD.decode(&told.sealed).ok()?;
    let nonce = Nonce::assume_unique_for_key(nonce);
    let said = aead(key).open_in_place(nonce, Aad::from(teller.context()), &mut bytes).ok()?;
    let said: Map<String, Value> = serde_json::from_slice(said).ok()?;
    let id = said.get("id").and_then(Value::as_str);
    let id = id.filter(|id| !id.is_empty() && id.len() <= LONGEST_ID)?.to_owned();
    let told = said.get("told")?.as_object().filter(|told| told.len() <= MOST_LISTS)?;
    let word = |(list, word): (&String, &Value)| {
        let list = told_lists().find(|known| known == list)?;
        let entry = Map::from_iter([(TOLD.to_owned(), word.clone())]);
        Some((list, Word::of(&entry).filter(|word| word.is_good(list))?))
    };
    // In the order of their names: patients before roster.
    Some((id, told.iter().map(word).collect::<Option<Vec<_>>>()?))
}

fn aead(key: &Key) -> LessSafeKey {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.secret()), PURPOSE);
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, derived.as_ref()).expect("a hash is 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::edition::{Order, build};
    use crate::store::lists::Lists;
    use kakou_core::hl7::Span;

    const NOON: i64 = 1_653_364_800_000;
    const OURS: Teller<'static> = Teller { site: "hospital", gateway: "gw-1" };

    /// A gateway with an empty list of patients, and the key of the site.
    fn gateway() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let (data, name) = (folder.path(), "patients");
        let order = Order {
            data,
            name,
            version: 1,
            issued_ms: NOON,
            base: None,
            sha256: None,
            signer: "",
            canary: &[],
            check: None,
        };
        build(&order, &b""[..], &mut |_| true).unwrap();
        subjects::enrolled(data, Key::new(3, vec![3; 32]).unwrap(), 1).unwrap();
        folder
    }

    fn word(said: Value, at: i64) -> Word {
        let at_ms = NOON + at;
        Word { span: Span { at_ms, end_ms: at_ms }, tie: 0, said: said.as_object().unwrap().clone() }
    }

    fn waiting(data: &Path) -> Vec<ToldPatient> {
        let texts = words_in(&folder(data));
        texts.iter().map(|(_, text)| serde_json::from_slice(text).unwrap()).collect()
    }

    #[test]
    fn another_gateway_of_the_site_hears_it_and_nobody_else_reads_it() {
        let (one, two) = (gateway(), gateway());
        let said = word(json!({ "name": "李四", "state": "discharged" }), 5);
        keep(one.path(), OURS, "B-12", &[("patients", said)]).unwrap();
        let texts = words_in(&folder(one.path()));
        let text = String::from_utf8_lossy(&texts[0].1).into_owned();
        assert!(!text.contains("B-12") && !text.contains("李四"), "{text}");
        let told = waiting(one.path()).remove(0);
        assert!(told.is_good());
        assert!(hear(two.path(), OURS, &told, Some(NOON)).unwrap());
        assert!(!hear(two.path(), OURS, &told, Some(NOON)).unwrap(), "told again");
        let lists = Lists::open(two.path()).unwrap();
        lists.enter(0).unwrap();
        assert_eq!(lists.entry("patients", "B-12").unwrap().unwrap()["state"], "discharged");
        lists.leave().unwrap();
        // Whoever comes later hears it from either.
        let three = gateway();
        keep_all(two.path(), Teller { gateway: "gw-2", ..OURS }).unwrap();
        let told = waiting(two.path()).remove(0);
        assert!(hear(three.path(), Teller { gateway: "gw-2", ..OURS }, &told, None).unwrap());
    }

    #[test]
    fn what_was_changed_or_comes_from_elsewhere_or_says_too_much_is_not_taken() {
        let (one, two) = (gateway(), gateway());
        keep(one.path(), OURS, "B-12", &[("patients", word(json!({ "state": "admitted" }), 5))]).unwrap();
        let told = waiting(one.path()).remove(0);
        let refused = |teller, told: &ToldPatient, now| {
            matches!(hear(two.path(), teller, told, now), Err(ShareError::Unreadable))
        };
        assert!(refused(Teller { gateway: "gw-9", ..OURS }, &told, None), "of another gateway");
        assert!(refused(Teller { site: "other", ..OURS }, &told, None), "of another site");
        assert!(refused(OURS, &ToldPatient { key: 2, ..told.clone() }, None), "an unknown key");
        let first = if told.sealed.starts_with('A') { "B" } else { "A" };
        let mut changed = told.clone();
        changed.sealed.replace_range(..1, first);
        assert!(refused(OURS, &changed, None));
        assert!(refused(OURS, &told, Some(NOON - AHEAD_MS)), "from the future");
        let key = Key::new(3, vec![3; 32]).unwrap();
        for (list, id, said) in [
            ("status", "B-12", json!({})),
            ("patients", "", json!({})),
            ("patients", "B-12", json!({ "restriction": "none" })),
            ("roster", "B-12", json!({ "role": "staff" })),
        ] {
            let text = seal(&key, OURS, id, &[(list, word(said, 5))]).unwrap();
            assert!(refused(OURS, &serde_json::from_slice(&text).unwrap(), None), "{list} {id}");
        }
        assert!(told::all(two.path(), "patients").unwrap().is_empty());
    }
}
