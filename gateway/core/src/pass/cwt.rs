//! The claims of a CBOR Web Token (RFC 8392) that every pass shares.

use super::cbor::Value;

/// Expiry.
const EXP: i64 = 4;
/// Not before.
const NBF: i64 = 5;
/// Issued at.
const IAT: i64 = 6;
/// Token id.
const CTI: i64 = 7;

/// Validity and id of a token. Times are UTC seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cwt {
    /// Expiry.
    pub exp: Option<i64>,
    /// Not before.
    pub nbf: Option<i64>,
    /// Issued at.
    pub iat: Option<i64>,
    /// Token id.
    pub cti: Vec<u8>,
}

/// A claim of the wrong type: a floating-point date, say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("claim {0} has the wrong type")]
pub struct BadClaim(pub i64);

impl Cwt {
    /// Reads the shared claims.
    pub fn read(claims: &Value<'_>) -> Result<Self, BadClaim> {
        let date = |key| match claims.at(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.int().map(Some).ok_or(BadClaim(key)),
        };
        let cti = match claims.at(CTI) {
            None => Vec::new(),
            Some(value) => value.bytes().ok_or(BadClaim(CTI))?.to_vec(),
        };
        Ok(Self { exp: date(EXP)?, nbf: date(NBF)?, iat: date(IAT)?, cti })
    }

    /// Whether the token counts at `now_s`: not expired, begun, and not issued in the future.
    /// A token without expiry never counts.
    pub fn valid_at(&self, now_s: i64) -> bool {
        self.exp.is_some_and(|exp| now_s <= exp)
            && self.nbf.is_none_or(|nbf| now_s >= nbf)
            && self.iat.is_none_or(|iat| now_s >= iat)
    }
}
