//! The evidence chain: each event's hash covers its body and the hash before it; the gateway's
//! key signs heads of the chain and manifests of seal evidence.
//!
//! A signed head also names the signed head before it, and up to where events were purged: neither a head nor
//! the beginning of the chain can be taken away without a trace.
//!
//! A signature proves that a record is unchanged since it was made, not that it is truthful.
//! `hash(n) = SHA-256(hash(n−1) ‖ seq as 8 bytes big-endian ‖ SHA-256(body))`, so that a body that
//! was shed leaves its own hash behind and the chain still verifies.

use crate::hex::hex;
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

/// One link of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Hash of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 32];
        out.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(out)
    }
    /// The next link, from the hash of a body.
    pub fn link(&self, seq: u64, body: &Self) -> Self {
        let mut all = [0; 72];
        all[..32].copy_from_slice(&self.0);
        all[32..40].copy_from_slice(&seq.to_be_bytes());
        all[40..].copy_from_slice(&body.0);
        Self::of(&all)
    }
    /// Hexadecimal.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

/// A file that does not hold an Ed25519 key in PKCS#8.
#[derive(Debug, thiserror::Error)]
#[error("not an Ed25519 key in PKCS#8: {0}")]
pub struct BadKey(String);

/// The key of the gateway.
pub struct GatewayKey(Ed25519KeyPair);

/// A signed head of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Epoch of the journal.
    pub epoch: u64,
    /// The last event that it covers.
    pub seq: u64,
    /// The hash of that event, hexadecimal.
    pub hash: String,
    /// What lies before it; a head of an earlier version does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<Behind>,
    /// Ed25519, base64, over `kakou-checkpoint-v2 epoch seq hash before purged purged_hash`; without what lies
    /// before it over `kakou-checkpoint-v1 epoch seq hash`.
    pub signature: String,
}

/// What lies before a signed head.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// The signed head before it; 0 for the first.
    pub before: u64,
    /// The last event that was purged; 0 if none was.
    pub purged: u64,
    /// The hash of that event, hexadecimal; zeros if there is none.
    pub purged_hash: String,
}

impl Behind {
    /// The head before, and the last event that was purged.
    pub fn new(before: u64, purged: u64, hash: &Hash) -> Self {
        Self { before, purged, purged_hash: hash.hex() }
    }
}

fn checkpoint_text(epoch: u64, seq: u64, hash: &str, behind: Option<&Behind>) -> String {
    match behind {
        None => format!("kakou-checkpoint-v1 {epoch} {seq} {hash}"),
        Some(Behind { before, purged, purged_hash }) => {
            format!("kakou-checkpoint-v2 {epoch} {seq} {hash} {before} {purged} {purged_hash}")
        }
    }
}

impl GatewayKey {
    /// Takes a key file.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, BadKey> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Self).map_err(|e| BadKey(e.to_string()))
    }
    /// The public half, 32 bytes.
    pub fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }
    /// Signs, base64.
    pub fn sign(&self, bytes: &[u8]) -> String {
        STANDARD.encode(self.0.sign(bytes))
    }
    /// Signs a head of the chain.
    pub fn checkpoint(&self, epoch: u64, seq: u64, hash: &Hash, behind: Behind) -> Checkpoint {
        let (hash, behind) = (hash.hex(), Some(behind));
        let signature = self.sign(checkpoint_text(epoch, seq, &hash, behind.as_ref()).as_bytes());
        Checkpoint { epoch, seq, hash, behind, signature }
    }
}

/// Verifies a base64 signature of a gateway.
pub fn verify(public: &[u8], bytes: &[u8], signature: &str) -> bool {
    STANDARD
        .decode(signature)
        .is_ok_and(|raw| UnparsedPublicKey::new(&ED25519, public).verify(bytes, &raw).is_ok())
}

impl Checkpoint {
    /// Whether the gateway with this public key signed it.
    pub fn verifies(&self, public: &[u8]) -> bool {
        let text = checkpoint_text(self.epoch, self.seq, &self.hash, self.behind.as_ref());
        verify(public, text.as_bytes(), &self.signature)
    }
}

/// Turns an id of a person into a key that says who is the same without saying who it is:
/// HMAC-SHA-256 with the site's key, the first 16 bytes in hexadecimal.
pub struct SubjectKey(hmac::Key);

impl SubjectKey {
    /// Takes the site's secret.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }
    /// The key of an id.
    pub fn of(&self, id: &str) -> String {
        hex(&hmac::sign(&self.0, id.as_bytes()).as_ref()[..16])
    }
    /// Whether a text has the form of one.
    pub fn is_one(text: &str) -> bool {
        text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    }
}

/// The secrets of a site by their numbers: one is in use, and under those before it somebody is still known again.
pub struct SubjectKeys {
    number: u32,
    in_use: SubjectKey,
    before: Vec<SubjectKey>,
}

impl SubjectKeys {
    /// With the one in use.
    pub fn new(number: u32, secret: &[u8]) -> Self {
        Self { number, in_use: SubjectKey::new(secret), before: Vec::new() }
    }
    /// With those before it.
    #[must_use]
    pub fn with_before<'a>(mut self, secrets: impl Iterator<Item = &'a [u8]>) -> Self {
        self.before.extend(secrets.map(SubjectKey::new));
        self
    }
    /// The number of the one in use.
    pub const fn number(&self) -> u32 {
        self.number
    }
    /// The key of an id, as events carry it from now on.
    pub fn of(&self, id: &str) -> String {
        self.in_use.of(id)
    }
    /// The keys under which an id may have been recorded; that of [`Self::of`] first.
    pub fn all(&self, id: &str) -> Vec<String> {
        [&self.in_use].into_iter().chain(&self.before).map(|key| key.of(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_key_is_half_an_hmac_and_nothing_else_has_its_form() {
        // RFC 4231, test case 2.
        let key = SubjectKey::new(b"Jefe").of("what do ya want for nothing?");
        assert_eq!(key, "5bdcc146bf60754e6a042426089575c7");
        assert!(SubjectKey::is_one(&key));
        let others =
            ["", "green", &key[1..], &format!("{key}0"), &key.to_uppercase(), &key.replace('5', "g")];
        for other in others {
            assert!(!SubjectKey::is_one(other), "{other}");
        }
    }

    #[test]
    fn the_key_in_use_comes_first_and_those_before_it_follow() {
        let keys = SubjectKeys::new(3, b"now").with_before([&b"then"[..], b"once"].into_iter());
        let each = [&b"now"[..], b"then", b"once"].map(|secret| SubjectKey::new(secret).of("P-1"));
        assert_eq!((keys.number(), keys.of("P-1")), (3, each[0].clone()));
        assert_eq!(keys.all("P-1"), each);
    }

    #[test]
    fn a_hash_is_that_of_the_standard_and_is_written_in_small_hexadecimal() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Hash::of(b"abc").hex(), abc);
        // hash(1) = SHA-256(32 zeros, 1 as 8 bytes, SHA-256 of the body).
        let link = [&[0; 32][..], &1_u64.to_be_bytes(), &Hash::of(b"abc").0].concat();
        assert_eq!(Hash::default().link(1, &Hash::of(b"abc")), Hash::of(&link));
    }

    #[test]
    fn what_is_no_key_and_no_signature_is_refused() {
        assert!(GatewayKey::from_pkcs8(b"no key").is_err());
        let der = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
        let key = GatewayKey::from_pkcs8(der.as_ref()).unwrap();
        let good = key.sign(b"a record");
        assert!(verify(key.public(), b"a record", &good));
        for (bytes, signature) in [(&b"another"[..], &*good), (b"a record", "?"), (b"a record", "")] {
            assert!(!verify(key.public(), bytes, signature), "{signature}");
        }
    }

    #[test]
    fn a_checkpoint_verifies_until_one_bit_changes() {
        let der = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
        let key = GatewayKey::from_pkcs8(der.as_ref()).unwrap();
        let head = Hash::default().link(1, &Hash::of(b"body"));
        let good = key.checkpoint(1, 1, &head, Behind::new(0, 0, &Hash::default()));
        assert!(good.verifies(key.public()));
        for change in [
            |c: &mut Checkpoint| c.seq = 2,
            |c: &mut Checkpoint| c.behind = None,
            |c: &mut Checkpoint| c.behind = Some(Behind::new(1, 0, &Hash::default())),
            |c: &mut Checkpoint| c.behind = Some(Behind::new(0, 1, &Hash::default())),
            |c: &mut Checkpoint| c.behind = Some(Behind::new(0, 0, &Hash::of(b"other"))),
        ] {
            let mut bad = good.clone();
            change(&mut bad);
            assert!(!bad.verifies(key.public()), "{bad:?}");
        }
        assert_ne!(head, Hash::default().link(1, &Hash::of(b"other")));
        assert_ne!(head, Hash::default().link(2, &Hash::of(b"body")));
    }

    #[test]
    fn a_checkpoint_of_an_earlier_version_verifies() {
        let der = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
        let key = GatewayKey::from_pkcs8(der.as_ref()).unwrap();
        let signature = key.sign(b"kakou-checkpoint-v1 1 7 00ff");
        let json = format!(r#"{{"epoch":1,"seq":7,"hash":"00ff","signature":"{signature}"}}"#);
        let checkpoint: Checkpoint = serde_json::from_str(&json).unwrap();
        assert!(checkpoint.verifies(key.public()));
        assert_eq!(serde_json::to_string(&checkpoint).unwrap(), json, "and is written as it was");
    }
}
