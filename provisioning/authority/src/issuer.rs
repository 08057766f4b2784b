//! An issuer of KP1 passes and of signed messages to gateways: an ES256 key and its id.

use base64::{Engine, engine::general_purpose::STANDARD};
use kakou_core::evidence::Hash;
use kakou_core::pass::cose::Alg;
use kakou_core::pass::kp1::{self, Draft, Kp1Error};
use kakou_core::pass::trust::{KeyEntry, Usage};
use kakou_core::signed;
use kakou_provisioning::certificate::pem_der;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

/// Why there is no issuer.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The file is not an ES256 key.
    #[error("not an ES256 (P-256) key in PKCS#8: {0}")]
    Key(String),
    /// Nobody types a passphrase here.
    #[error(
        "the key is encrypted with a passphrase; write it out without: openssl pkey -in FILE -outform DER"
    )]
    Encrypted,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// The key of an issuer.
pub struct Issuer {
    key: EcdsaKeyPair,
    kid: [u8; 4],
}

impl Issuer {
    /// A new key as PKCS#8.
    pub fn generate() -> Result<Vec<u8>, IssuerError> {
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
            .map(|der| der.as_ref().to_vec())
            .map_err(|_| IssuerError::Random)
    }

    /// Takes a key, as DER or PEM; its id is the first four bytes of the SHA-256 of the public point, so that two
    /// lists agree on it and a pass stays small.
    pub fn from_pkcs8(file: &[u8]) -> Result<Self, IssuerError> {
        let pem = std::str::from_utf8(file).ok().filter(|text| text.contains("-----BEGIN "));
        if pem.is_some_and(|text| text.contains("ENCRYPTED")) {
            return Err(IssuerError::Encrypted);
        }
        let unpacked = pem.and_then(pem_der);
        let der = unpacked.as_deref().unwrap_or(file);
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &SystemRandom::new())
            .map_err(|e| IssuerError::Key(e.to_string()))?;
        let hash = Hash::of(key.public_key().as_ref());
        let kid = [hash.0[0], hash.0[1], hash.0[2], hash.0[3]];
        Ok(Self { key, kid })
    }

    /// The line of a trust list.
    pub fn entry(&self, name: &str, usages: &[Usage]) -> KeyEntry {
        KeyEntry {
            kid: STANDARD.encode(self.kid),
            alg: Alg::ES256.into(),
            key: STANDARD.encode(self.key.public_key().as_ref()),
            usages: usages.iter().copied().map(Into::into).collect(),
            issuer: name.to_owned(),
            region: None,
            nbf: None,
            exp: None,
        }
    }

    /// Signs a message for gateways: a feed's head, a command, a configuration, a question.
    pub fn sign_message(&self, payload: &[u8], typ: &str) -> Result<Vec<u8>, IssuerError> {
        signed::seal(payload, typ, Alg::ES256, &self.kid, |bytes| {
            let signature = self.key.sign(&SystemRandom::new(), bytes).map_err(|_| IssuerError::Random)?;
            Ok(signature.as_ref().to_vec())
        })
    }

    /// A fresh pass id.
    pub fn pass_id() -> Result<Vec<u8>, IssuerError> {
        let mut id = vec![0; 8];
        SystemRandom::new().fill(&mut id).map_err(|_| IssuerError::Random)?;
        Ok(id)
    }

    /// Signs a pass; the result is the text of its QR code.
    pub fn issue(&self, draft: &Draft) -> Result<String, Kp1Error> {
        kp1::issue(draft, Alg::ES256, &self.kid, |bytes| {
            self.key
                .sign(&SystemRandom::new(), bytes)
                .map(|s| s.as_ref().to_vec())
                .map_err(|_| "the key did not sign".to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_taken_as_pem_too_and_one_that_is_locked_is_named() {
        let der = Issuer::generate().unwrap();
        let pem = |label: &str| {
            format!("\u{feff}-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(&der))
        };
        let read = |file: &[u8]| Issuer::from_pkcs8(file).map(|i| i.kid).map_err(|e| e.to_string());
        assert_eq!(read(pem("PRIVATE KEY").as_bytes()), read(&der));
        assert!(read(&der).is_ok());
        assert!(read(pem("ENCRYPTED PRIVATE KEY").as_bytes()).unwrap_err().contains("passphrase"));
        let other = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        assert!(read(other).unwrap_err().contains("PKCS#8"));
    }
}
