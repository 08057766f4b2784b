//! The evidence chain: each event's hash covers its body and the hash before it; the gateway's
//! key signs heads of the chain and manifests of seal evidence.
//!
//! A signature proves that a record is unchanged since it was made, not that it is truthful.
//! `hash(n) = SHA-256(hash(n−1) ‖ seq as 8 bytes big-endian ‖ SHA-256(body))`, so that a body that
//! was shed leaves its own hash behind and the chain still verifies.

use crate::pass::hex;
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
    /// Ed25519 over `kakou-checkpoint-v1 epoch seq hash`, base64.
    pub signature: String,
}

fn checkpoint_text(epoch: u64, seq: u64, hash: &str) -> String {
    format!("kakou-checkpoint-v1 {epoch} {seq} {hash}")
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
    pub fn checkpoint(&self, epoch: u64, seq: u64, hash: &Hash) -> Checkpoint {
        let hash = hash.hex();
        let signature = self.sign(checkpoint_text(epoch, seq, &hash).as_bytes());
        Checkpoint { epoch, seq, hash, signature }
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
        verify(public, checkpoint_text(self.epoch, self.seq, &self.hash).as_bytes(), &self.signature)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_verifies_until_one_bit_changes() {
        let der = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
        let key = GatewayKey::from_pkcs8(der.as_ref()).unwrap();
        let head = Hash::default().link(1, &Hash::of(b"body"));
        let mut c = key.checkpoint(1, 1, &head);
        assert!(c.verifies(key.public()));
        c.seq = 2;
        assert!(!c.verifies(key.public()));
        assert_ne!(head, Hash::default().link(1, &Hash::of(b"other")));
        assert_ne!(head, Hash::default().link(2, &Hash::of(b"body")));
    }
}
