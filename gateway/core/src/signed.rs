//! Signed messages of the central side: feeds, commands, configuration, trace requests.
//!
//! The form is JWS in flattened JSON (RFC 7515, section 7.2.2): `protected`, `payload` and
//! `signature`, each base64url. The protected header names algorithm, key and type, and nothing
//! else; what kind of message it is stands under the signature, so that a feed is never a command. Keys
//! come from the gateway's own list of fleet keys alone, each with what it may sign.

use crate::pass::cose::Alg;
use crate::pass::trust::{Signer, TrustList, Usage};
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// The largest signed message: heads of feeds, commands, a configuration.
pub const MAX: usize = 512 << 10;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    protected: String,
    payload: String,
    signature: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: Alg,
    /// Key id, base64 as in the list of keys.
    kid: String,
    typ: String,
}

/// Why a message is refused.
#[derive(Debug, thiserror::Error)]
pub enum SignedError {
    /// Not of the form.
    #[error("not a signed word: {0}")]
    Form(String),
    /// Another kind of message.
    #[error("this is a `{found}`, not a `{wanted}`")]
    Type {
        /// What it is.
        found: String,
        /// What was expected.
        wanted: &'static str,
    },
    /// Nobody on the list has this key id: unknown, which is not the same as forged.
    #[error("the key `{0}` is not on this gateway's list of fleet keys")]
    UnknownKey(String),
    /// The signature is not that of the key.
    #[error("the signature does not fit")]
    Signature,
    /// The key may not sign this.
    #[error("the key `{0}` may not sign this")]
    Usage(String),
    /// The key is not valid at this time.
    #[error("the key `{0}` is not valid now")]
    Validity(String),
}

/// A word whose signature was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What was signed.
    pub payload: Vec<u8>,
    /// Who holds the key, as the list of keys says.
    pub issuer: String,
}

fn form(e: impl std::fmt::Display) -> SignedError {
    SignedError::Form(e.to_string())
}

/// Opens a word. Without a known time the validity of the key is not judged.
pub fn open(
    word: &[u8],
    typ: &'static str,
    keys: &TrustList,
    usage: Usage,
    now_s: Option<i64>,
) -> Result<Opened, SignedError> {
    if word.len() > MAX {
        return Err(SignedError::Form(format!("{} bytes, allowed are {MAX}", word.len())));
    }
    let envelope: Envelope = serde_json::from_slice(word).map_err(form)?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(form);
    let header: Header = serde_json::from_slice(&decode(&envelope.protected)?).map_err(form)?;
    if header.typ != typ {
        return Err(SignedError::Type { found: header.typ, wanted: typ });
    }
    let kid = STANDARD.decode(&header.kid).map_err(form)?;
    let signed = format!("{}.{}", envelope.protected, envelope.payload);
    let signature = decode(&envelope.signature)?;
    let found = match keys.signer_of(&kid, header.alg, signed.as_bytes(), &signature) {
        Signer::UnknownKey => return Err(SignedError::UnknownKey(header.kid)),
        Signer::Mismatch => return Err(SignedError::Signature),
        Signer::Found(found) => found,
    };
    let Some(key) = found.iter().find(|k| k.may(usage)) else {
        return Err(SignedError::Usage(header.kid));
    };
    if now_s.is_some_and(|now| !key.valid_at(now)) {
        return Err(SignedError::Validity(header.kid));
    }
    Ok(Opened { payload: decode(&envelope.payload)?, issuer: key.issuer().to_owned() })
}

/// Writes a word; `sign` signs bytes with the key.
pub fn seal<E>(
    payload: &[u8],
    typ: &str,
    alg: Alg,
    kid: &[u8],
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let header = Header { alg, kid: STANDARD.encode(kid), typ: typ.to_owned() };
    let header = serde_json::to_vec(&header).expect("a header is strings");
    let (protected, payload) = (URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(sign(format!("{protected}.{payload}").as_bytes())?);
    Ok(serde_json::to_vec(&Envelope { protected, payload, signature }).expect("an envelope is strings"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::trust::{KeyEntry, TrustFile};
    use ring::signature::{Ed25519KeyPair, KeyPair};

    fn key() -> Ed25519KeyPair {
        let der = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
        Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap()
    }

    fn list(key: &Ed25519KeyPair, usages: &[Usage], exp: Option<i64>) -> TrustList {
        let entry = KeyEntry {
            kid: STANDARD.encode(b"ops"),
            alg: Alg::EdDSA.into(),
            key: STANDARD.encode(key.public_key().as_ref()),
            usages: usages.iter().copied().map(Into::into).collect(),
            issuer: "central ops".into(),
            region: None,
            nbf: None,
            exp,
        };
        let file = TrustFile { name: "fleet".into(), version: 1, issued: 0, keys: vec![entry] };
        TrustList::from_file(&file, "fleet").unwrap()
    }

    fn sealed(key: &Ed25519KeyPair, typ: &str, kid: &[u8]) -> Vec<u8> {
        let sign = |bytes: &[u8]| Ok::<_, ()>(key.sign(bytes).as_ref().to_vec());
        seal(br#"{"a":1}"#, typ, Alg::EdDSA, kid, sign).unwrap()
    }

    #[test]
    fn a_word_opens_with_its_key_its_type_and_its_usage_only() {
        let (ours, theirs) = (key(), key());
        let keys = list(&ours, &[Usage::Feed], Some(1_000));
        let word = sealed(&ours, "kakou-feed", b"ops");
        let opened = open(&word, "kakou-feed", &keys, Usage::Feed, Some(1_000)).unwrap();
        assert_eq!((opened.payload.as_slice(), opened.issuer.as_str()), (&br#"{"a":1}"#[..], "central ops"));
        let why = |word: &[u8], typ, usage, now| open(word, typ, &keys, usage, now).unwrap_err().to_string();
        assert!(why(&word, "kakou-command", Usage::Operate, None).contains("kakou-feed"));
        assert!(why(&word, "kakou-feed", Usage::Operate, None).contains("may not sign"));
        assert!(why(&word, "kakou-feed", Usage::Feed, Some(1_001)).contains("not valid now"));
        assert!(why(&sealed(&theirs, "kakou-feed", b"ops"), "kakou-feed", Usage::Feed, None).contains("fit"));
        assert!(
            why(&sealed(&ours, "kakou-feed", b"x"), "kakou-feed", Usage::Feed, None).contains("not on this")
        );
    }

    #[test]
    fn no_changed_byte_opens() {
        let key = key();
        let keys = list(&key, &[Usage::Feed], None);
        let word = sealed(&key, "kakou-feed", b"ops");
        let good = open(&word, "kakou-feed", &keys, Usage::Feed, None).unwrap();
        for at in 0..word.len() {
            let mut changed = word.clone();
            changed[at] ^= 1;
            // A change in the JSON around the three texts that leaves them as they are may still open.
            if let Ok(opened) = open(&changed, "kakou-feed", &keys, Usage::Feed, None) {
                assert_eq!(opened, good, "byte {at}");
            }
        }
        for bad in [&b""[..], b"{}", b"[]", br#"{"protected":"","payload":"","signature":""}"#] {
            assert!(open(bad, "kakou-feed", &keys, Usage::Feed, None).is_err());
        }
    }
}
