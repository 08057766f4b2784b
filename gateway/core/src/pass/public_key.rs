//! Public keys of a trust list: taken in every form in which people publish them, kept in the one form that a
//! signature is verified with.
//!
//! A key that could never verify is refused here, with the reason: taken, it would call every genuine pass forged.

use super::cose::Alg;
use ring::agreement::{self, EphemeralPrivateKey, agree_ephemeral};
use ring::rand::SystemRandom;
use x509_cert::Certificate;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Encode, Error, Header, Reader, SliceReader};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Bytes of the shortest and of the longest modulus of RSA that signatures are verified with.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// The first element of DER: some publishers leave bytes behind a certificate.
pub fn first_element(der: &[u8]) -> Result<&[u8], Error> {
    let mut reader = SliceReader::new(der)?;
    let header = Header::decode(&mut reader)?;
    let whole = u32::from((header.encoded_len()? + header.length)?);
    Ok(usize::try_from(whole).ok().and_then(|whole| der.get(..whole)).unwrap_or(der))
}

/// The algorithm that the key of a certificate signs passes with.
pub fn alg(spki: &SubjectPublicKeyInfoOwned) -> Result<Alg, String> {
    let curve = || spki.algorithm.parameters.as_ref().and_then(|p| p.decode_as::<ObjectIdentifier>().ok());
    match spki.algorithm.oid {
        EC_PUBLIC_KEY if curve() == Some(P256) => Ok(Alg::ES256),
        EC_PUBLIC_KEY => Err("the key is on another curve than P-256".into()),
        RSA_ENCRYPTION | RSA_PSS => Ok(Alg::PS256),
        ED25519 => Ok(Alg::EdDSA),
        other => Err(format!("the key is of an algorithm that no pass is signed with ({other})")),
    }
}

/// The bare key of a list's entry: the point, the 32 bytes, or the DER `RSAPublicKey`.
pub(super) fn read(entry: Alg, key: &[u8]) -> Result<Vec<u8>, String> {
    let der = first_element(key).unwrap_or(key);
    let around = Certificate::from_der(der).map(|c| c.tbs_certificate.subject_public_key_info);
    let bare = match around.or_else(|_| SubjectPublicKeyInfoOwned::from_der(der)) {
        Ok(spki) => {
            let found = alg(&spki)?;
            if found != entry {
                let kind = if found == Alg::PS256 { " (RSA)" } else { "" };
                return Err(format!("the key is one for {found:?}{kind}, the entry says {entry:?}"));
            }
            spki.subject_public_key.raw_bytes().to_vec()
        }
        Err(_) => key.to_vec(),
    };
    match entry {
        Alg::ES256 => on_p256(&bare)?,
        Alg::PS256 => of_rsa(&bare)?,
        Alg::EdDSA if bare.len() == 32 => {}
        Alg::EdDSA => return Err(expected(entry, "the 32 bytes of an Ed25519 key")),
    }
    Ok(bare)
}

fn expected(alg: Alg, bare: &str) -> String {
    format!("a key for {alg:?} is {bare}, a SubjectPublicKeyInfo or a certificate, in base64 of its DER")
}

fn on_p256(point: &[u8]) -> Result<(), String> {
    if point.len() != 65 || point.first() != Some(&4) {
        return Err(expected(Alg::ES256, "an uncompressed point (65 bytes that begin with 04)"));
    }
    // Only an agreement looks at the point without a signature at hand.
    let own = EphemeralPrivateKey::generate(&agreement::ECDH_P256, &SystemRandom::new());
    let peer = agreement::UnparsedPublicKey::new(&agreement::ECDH_P256, point);
    own.and_then(|own| agree_ephemeral(own, &peer, |_| ()))
        .map_err(|_| "the key is no point of P-256".to_owned())
}

fn of_rsa(der: &[u8]) -> Result<(), String> {
    let parts = || -> Result<(usize, bool), Error> {
        let mut reader = SliceReader::new(der)?;
        let found = reader.sequence(|r| {
            let (modulus, exponent) = (UintRef::decode(r)?, UintRef::decode(r)?);
            let odd = exponent.as_bytes().last().is_some_and(|b| b & 1 == 1);
            Ok((modulus.as_bytes().len(), odd && exponent.as_bytes() != [1]))
        })?;
        reader.finish(found)
    };
    match parts() {
        Ok((bytes, true)) if MODULUS.contains(&bytes) => Ok(()),
        Ok((bytes, true)) => Err(format!("an RSA key has 2048 to 8192 bits, this one has {}", bytes * 8)),
        Ok((_, false)) | Err(_) => Err(expected(Alg::PS256, "an RSAPublicKey (PKCS#1)")),
    }
}
