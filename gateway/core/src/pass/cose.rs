//! COSE_Sign1 (RFC 9052), read strictly, and written for passes of our own.
//!
//! The algorithm must stand in the protected header: one that stands in the unprotected header
//! alone, or in both with different values, is refused. The key decides in the end which
//! algorithm is used; see [`super::trust`].

use super::cbor::{self, CborError, Value};
use minicbor::Encoder;

/// Header label of the algorithm.
const ALG: i64 = 1;
/// Header label of critical headers.
const CRIT: i64 = 2;
/// Header label of the key id.
const KID: i64 = 4;
/// Bytes that most passes fit into.
const USUAL: usize = 512;
/// CBOR tag of COSE_Sign1.
const TAG_SIGN1: u64 = 18;
/// CBOR tag of a CBOR Web Token (RFC 8392).
const TAG_CWT: u64 = 61;

/// Signature algorithms in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Alg {
    /// ECDSA on P-256 with SHA-256 (COSE −7).
    ES256,
    /// RSASSA-PSS with SHA-256 (COSE −37).
    PS256,
    /// Ed25519 (COSE −8, EdDSA).
    EdDSA,
}

impl Alg {
    /// The number in the COSE registry.
    pub const fn cose(self) -> i64 {
        match self {
            Self::ES256 => -7,
            Self::PS256 => -37,
            Self::EdDSA => -8,
        }
    }
    fn from_cose(number: i64) -> Option<Self> {
        [Self::ES256, Self::PS256, Self::EdDSA].into_iter().find(|a| a.cose() == number)
    }
}

/// Why a message is refused.
#[derive(Debug, thiserror::Error)]
pub enum CoseError {
    /// Not CBOR, or not of the strict kind.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// Not an array of protected, unprotected, payload, signature.
    #[error("not a COSE_Sign1 message: {0}")]
    Shape(&'static str),
    /// The protected header has no algorithm.
    #[error("no algorithm in the protected header")]
    AlgUnprotected,
    /// The two headers name different algorithms.
    #[error("the two headers disagree about the algorithm")]
    Conflict,
    /// An algorithm that is not in use.
    #[error("algorithm {0} is not accepted")]
    Alg(i64),
    /// A header that must be understood and is not.
    #[error("a critical header is not understood")]
    Critical,
}

/// A message whose signature is not yet verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Sign1<'a> {
    /// The protected header as received.
    protected: &'a [u8],
    /// Key id, empty if there is none.
    pub kid: Vec<u8>,
    /// Whether the key id stands under the signature.
    pub kid_protected: bool,
    /// Algorithm of the protected header.
    pub alg: Alg,
    /// The payload as received.
    pub payload: &'a [u8],
    /// The signature as received.
    pub signature: &'a [u8],
}

impl<'a> Sign1<'a> {
    /// Reads one message, with or without its tags.
    pub fn read(bytes: &'a [u8]) -> Result<Self, CoseError> {
        let mut value = cbor::read(bytes)?;
        for tag in [TAG_CWT, TAG_SIGN1] {
            if matches!(&value, Value::Tag(t, _) if *t == tag)
                && let Value::Tag(_, inner) = value
            {
                value = *inner;
            }
        }
        let Some([protected, unprotected, payload, signature]) = value.array() else {
            return Err(CoseError::Shape("expected an array of four"));
        };
        let protected = protected.bytes().ok_or(CoseError::Shape("protected header"))?;
        if unprotected.pairs().is_none() {
            return Err(CoseError::Shape("unprotected header"));
        }
        let payload = payload.bytes().ok_or(CoseError::Shape("payload"))?;
        let signature = signature.bytes().ok_or(CoseError::Shape("signature"))?;
        let header = if protected.is_empty() { Value::Map(Vec::new()) } else { cbor::read(protected)? };
        if header.pairs().is_none() {
            return Err(CoseError::Shape("protected header is not a map"));
        }
        if header.at(CRIT).is_some() || unprotected.at(CRIT).is_some() {
            return Err(CoseError::Critical);
        }
        if let (Some(a), Some(b)) = (header.at(ALG), unprotected.at(ALG))
            && a != b
        {
            return Err(CoseError::Conflict);
        }
        let number = header.at(ALG).and_then(Value::int).ok_or(CoseError::AlgUnprotected)?;
        let alg = Alg::from_cose(number).ok_or(CoseError::Alg(number))?;
        // The protected key id counts; it is a hint where to look, never a proof.
        let kid = match header.at(KID).or_else(|| unprotected.at(KID)) {
            None => Vec::new(),
            Some(kid) => kid.bytes().ok_or(CoseError::Shape("key id"))?.to_vec(),
        };
        let kid_protected = header.at(KID).is_some();
        Ok(Self { protected, kid, kid_protected, alg, payload, signature })
    }

    /// The bytes that the signature covers (RFC 9052, section 4.4).
    pub fn to_be_signed(&self) -> Vec<u8> {
        sig_structure(self.protected, self.payload)
    }
}

fn sig_structure(protected: &[u8], payload: &[u8]) -> Vec<u8> {
    write(|e| {
        e.array(4)?.str("Signature1")?.bytes(protected)?.bytes(&[])?.bytes(payload)?;
        Ok(())
    })
}

/// Writes CBOR into memory.
pub(crate) fn write(
    fill: impl FnOnce(&mut Encoder<Vec<u8>>) -> Result<(), minicbor::encode::Error<std::convert::Infallible>>,
) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::with_capacity(USUAL));
    fill(&mut encoder).expect("writing CBOR to memory does not fail");
    encoder.into_writer()
}

/// Signs a payload: untagged COSE_Sign1 with alg and kid in the protected header.
pub fn sign<E>(
    alg: Alg,
    kid: &[u8],
    payload: &[u8],
    signer: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let protected = write(|e| {
        e.map(2)?.i64(ALG)?.i64(alg.cose())?.i64(KID)?.bytes(kid)?;
        Ok(())
    });
    let signature = signer(&sig_structure(&protected, payload))?;
    Ok(write(|e| {
        e.array(4)?.bytes(&protected)?.map(0)?.bytes(payload)?.bytes(&signature)?;
        Ok(())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(protected: &[u8], unprotected: &[u8]) -> Vec<u8> {
        let mut m = vec![0x84, 0x40 + u8::try_from(protected.len()).unwrap()];
        m.extend(protected);
        m.extend(unprotected);
        m.extend([0x41, 0x00, 0x41, 0x00]);
        m
    }

    #[test]
    fn alg_only_in_the_unprotected_header_is_refused() {
        let m = message(&[0xa0], &[0xa1, 1, 0x26]);
        assert!(matches!(Sign1::read(&m), Err(CoseError::AlgUnprotected)));
    }

    #[test]
    fn conflicting_alg_in_both_headers_is_refused() {
        let m = message(&[0xa1, 1, 0x26], &[0xa1, 1, 0x27]);
        assert!(matches!(Sign1::read(&m), Err(CoseError::Conflict)));
    }

    #[test]
    fn none_and_unknown_algorithms_are_refused() {
        assert!(matches!(Sign1::read(&message(&[0xa1, 1, 0x00], &[0xa0])), Err(CoseError::Alg(0))));
        assert!(matches!(Sign1::read(&message(&[0xa1, 2, 0x81, 1], &[0xa0])), Err(CoseError::Critical)));
    }

    #[test]
    fn kid_may_stand_in_either_header() {
        assert_eq!(Sign1::read(&message(&[0xa2, 1, 0x26, 4, 0x41, 7], &[0xa0])).unwrap().kid, [7]);
        assert_eq!(Sign1::read(&message(&[0xa1, 1, 0x26], &[0xa1, 4, 0x41, 7])).unwrap().kid, [7]);
    }
}
