//! The envelope: a message encrypted for one recipient, a box or the central side.
//!
//! It is HPKE (RFC 9180) in base mode with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305, one
//! message for each. `info` is `kakou envelope 1 ` and the purpose, so that an envelope for one purpose cannot be opened
//! for another; the associated data are the context, such as the name of the gateway. The sender is not authenticated:
//! where that matters, the envelope travels inside a signed message or TLS.
//!
//! As JSON: `kid` (the first eight bytes of the SHA-256 of the reader's public key, hexadecimal), `enc` (the
//! encapsulated key) and `ct` (the ciphertext), both base64url. A public key is written as base64url as well.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// The largest content, in bytes: a form, a few keys, an id.
pub const MAX: usize = 64 << 10;
/// What a public or private key takes, in bytes.
pub const KEY: usize = 32;

/// How `info` begins.
const INFO: &str = "kakou envelope 1 ";

/// Why there is no envelope, or no content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The content is too large.
    #[error("{0} bytes are too many for an envelope: {MAX} at most")]
    Large(usize),
    /// The key is none.
    #[error("this is no X25519 key: 32 bytes in base64url")]
    Key,
    /// It is for another key.
    #[error("the envelope is for the key {0}, which is not this one's")]
    Reader(String),
    /// It was changed, or is for another use or context.
    #[error("the envelope does not open: it was changed, or is for something else")]
    Opens,
}

/// The public key of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reader([u8; KEY]);

/// The private key of a reader.
pub struct ReaderKey {
    private: <X25519HkdfSha256 as Kem>::PrivateKey,
    reader: Reader,
}

/// A closed envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// For which key.
    pub kid: String,
    /// The encapsulated key.
    pub enc: String,
    /// The ciphertext.
    pub ct: String,
}

impl Reader {
    /// The short name of the key.
    pub fn kid(&self) -> String {
        kakou_core::pass::hex(&digest(&SHA256, &self.0).as_ref()[..8])
    }
}

impl TryFrom<String> for Reader {
    type Error = EnvelopeError;
    fn try_from(text: String) -> Result<Self, EnvelopeError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|b| b.try_into().ok());
        bytes.map(Self).ok_or(EnvelopeError::Key)
    }
}

impl From<Reader> for String {
    fn from(reader: Reader) -> Self {
        URL_SAFE_NO_PAD.encode(reader.0)
    }
}

impl ReaderKey {
    /// From 32 random bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        let private =
            <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(bytes).map_err(|_| EnvelopeError::Key)?;
        let public = X25519HkdfSha256::sk_to_pk(&private).to_bytes();
        let reader = Reader(public.as_slice().try_into().map_err(|_| EnvelopeError::Key)?);
        Ok(Self { private, reader })
    }

    /// The public half.
    pub fn reader(&self) -> Reader {
        self.reader
    }

    /// Opens an envelope that was sealed for this key, this use and this context.
    pub fn open(&self, sealed: &Sealed, purpose: &str, context: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        if sealed.kid != self.reader.kid() {
            return Err(EnvelopeError::Reader(sealed.kid.chars().take(32).collect()));
        }
        if sealed.ct.len() > MAX * 2 {
            return Err(EnvelopeError::Large(sealed.ct.len()));
        }
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| EnvelopeError::Opens);
        let info = format!("{INFO}{purpose}");
        open_with(&self.private, &decode(&sealed.enc)?, info.as_bytes(), &decode(&sealed.ct)?, context)
    }
}

fn open_with(
    private: &<X25519HkdfSha256 as Kem>::PrivateKey,
    enc: &[u8],
    info: &[u8],
    ct: &[u8],
    context: &[u8],
) -> Result<Vec<u8>, EnvelopeError> {
    let enc = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(enc).map_err(|_| EnvelopeError::Opens)?;
    hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        private,
        &enc,
        info,
        ct,
        context,
    )
    .map_err(|_| EnvelopeError::Opens)
}

/// Seals something for one reader, one use and one context.
pub fn seal(reader: &Reader, purpose: &str, context: &[u8], content: &[u8]) -> Result<Sealed, EnvelopeError> {
    if content.len() > MAX {
        return Err(EnvelopeError::Large(content.len()));
    }
    let public =
        <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&reader.0).map_err(|_| EnvelopeError::Key)?;
    let info = format!("{INFO}{purpose}");
    let (enc, ct) = hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public,
        info.as_bytes(),
        content,
        context,
    )
    .map_err(|_| EnvelopeError::Key)?;
    Ok(Sealed {
        kid: reader.kid(),
        enc: URL_SAFE_NO_PAD.encode(enc.to_bytes()),
        ct: URL_SAFE_NO_PAD.encode(ct),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
    }

    fn key(n: u8) -> ReaderKey {
        ReaderKey::from_bytes(&[n; KEY]).unwrap()
    }

    #[test]
    fn the_test_vector_of_the_rfc_opens() {
        // RFC 9180, A.2.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, base mode, sequence number 0.
        let private = unhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb");
        let public = unhex("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
        let enc = unhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a");
        let info = unhex("4f6465206f6e2061204772656369616e2055726e");
        let ct = unhex(
            "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
        );
        let key = ReaderKey::from_bytes(&private).unwrap();
        assert_eq!(key.reader().0.as_slice(), public);
        let opened = open_with(&key.private, &enc, &info, &ct, b"Count-0").unwrap();
        assert_eq!(opened, b"Beauty is truth, truth beauty");
    }

    #[test]
    fn an_envelope_opens_for_its_reader_its_use_and_its_context_alone() {
        let (ours, theirs) = (key(7), key(9));
        let sealed = seal(&ours.reader(), "subject-keys", b"school.gw-1", b"secret").unwrap();
        let text = serde_json::to_string(&sealed).unwrap();
        assert!(!text.contains("secret"));
        let sealed: Sealed = serde_json::from_str(&text).unwrap();
        assert_eq!(ours.open(&sealed, "subject-keys", b"school.gw-1").as_deref(), Ok(&b"secret"[..]));
        let why =
            |key: &ReaderKey, purpose: &str, context: &[u8]| key.open(&sealed, purpose, context).unwrap_err();
        assert!(matches!(why(&theirs, "subject-keys", b"school.gw-1"), EnvelopeError::Reader(_)));
        assert_eq!(why(&ours, "person", b"school.gw-1"), EnvelopeError::Opens);
        assert_eq!(why(&ours, "subject-keys", b"school.gw-2"), EnvelopeError::Opens);
        let again = seal(&ours.reader(), "subject-keys", b"school.gw-1", b"secret").unwrap();
        assert_ne!((&again.enc, &again.ct), (&sealed.enc, &sealed.ct), "no two are the same");
    }

    #[test]
    fn no_changed_byte_opens_and_nothing_panics() {
        let key = key(7);
        let sealed = seal(&key.reader(), "x", b"", b"content").unwrap();
        for part in 0..2 {
            let length = if part == 0 { sealed.enc.len() } else { sealed.ct.len() };
            for at in 0..length {
                let mut changed = sealed.clone();
                let text = if part == 0 { &mut changed.enc } else { &mut changed.ct };
                let byte = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
                text.replace_range(at..=at, byte);
                assert!(key.open(&changed, "x", b"").is_err(), "{part} {at}");
            }
        }
        for bad in ["", "A", "?", &"A".repeat(43), &"A".repeat(1_000)] {
            for changed in
                [Sealed { enc: bad.into(), ..sealed.clone() }, Sealed { ct: bad.into(), ..sealed.clone() }]
            {
                assert!(key.open(&changed, "x", b"").is_err(), "{bad}");
            }
        }
        assert!(Reader::try_from("AA".to_owned()).is_err() && ReaderKey::from_bytes(b"short").is_err());
    }

    #[test]
    fn an_envelope_has_bounds() {
        let key = key(7);
        assert_eq!(seal(&key.reader(), "x", b"", &vec![0; MAX + 1]), Err(EnvelopeError::Large(MAX + 1)));
        let largest = seal(&key.reader(), "x", b"", &vec![0; MAX]).unwrap();
        assert_eq!(key.open(&largest, "x", b"").unwrap().len(), MAX);
        let huge = Sealed { ct: "A".repeat(2 * MAX + 1), ..largest };
        assert!(matches!(key.open(&huge, "x", b""), Err(EnvelopeError::Large(_))));
    }
}
