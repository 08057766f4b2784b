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

/// How far the clock of an issuer may be ahead of ours: a phone shows a pass that was made this second.
const LEEWAY_S: i64 = 60;
/// Beyond this a floating-point number is no date.
const DATES: f64 = 9_007_199_254_740_992.0;

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

/// A claim of the wrong type: a date that is not a number, say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("claim {0} has the wrong type")]
pub struct BadClaim(pub i64);

impl Cwt {
    /// Reads the shared claims. A date may have a fraction (RFC 8392, NumericDate), which is rounded down.
    #[expect(clippy::cast_possible_truncation, reason = "the floor of what fits the range")]
    pub fn read(claims: &Value<'_>) -> Result<Self, BadClaim> {
        let date = |key| match claims.at(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Float(f)) if f.is_finite() && f.abs() < DATES => Ok(Some(f.floor() as i64)),
            Some(value) => value.int().map(Some).ok_or(BadClaim(key)),
        };
        let cti = match claims.at(CTI) {
            None => Vec::new(),
            Some(value) => value.bytes().ok_or(BadClaim(CTI))?.to_vec(),
        };
        Ok(Self { exp: date(EXP)?, nbf: date(NBF)?, iat: date(IAT)?, cti })
    }

    /// Why it does not count at `now_s`: expired, not begun, or issued in the future. A token without expiry never
    /// counts.
    pub fn fault_at(&self, now_s: i64) -> Option<&'static str> {
        let soon = now_s.saturating_add(LEEWAY_S);
        match self.exp {
            None => Some("it names no end of its validity"),
            Some(exp) if now_s > exp => Some("expired"),
            Some(_) if self.nbf.is_some_and(|nbf| soon < nbf) => Some("not yet valid"),
            Some(_) if self.iat.is_some_and(|iat| soon < iat) => Some("not yet valid: issued later than now"),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_taken_as_long_as_it_is_exact() {
        let exp = |f| Cwt::read(&Value::Map(vec![(Value::Int(4), Value::Float(f))])).map(|cwt| cwt.exp);
        assert_eq!(exp(DATES - 1.0), Ok(Some((1 << 53) - 1)));
        assert_eq!(exp(-1.5), Ok(Some(-2)));
        for bad in [DATES, -DATES, f64::NAN, f64::INFINITY] {
            assert_eq!(exp(bad), Err(BadClaim(EXP)), "{bad}");
        }
        assert_eq!(Cwt::read(&Value::Map(vec![(Value::Int(4), Value::Null)])), Ok(Cwt::default()));
    }

    #[test]
    fn a_token_counts_from_a_minute_before_its_beginning_to_the_second_of_its_end() {
        let token = |exp, nbf, iat| Cwt { exp, nbf, iat, cti: Vec::new() };
        let fault = |cwt: Cwt| cwt.fault_at(1_000).unwrap_or_default();
        assert_eq!(fault(token(Some(1_000), None, None)), "");
        assert_eq!(fault(token(Some(999), None, None)), "expired");
        assert_eq!(fault(token(None, None, None)), "it names no end of its validity");
        assert_eq!(fault(token(Some(2_000), Some(1_060), Some(1_060))), "");
        assert_eq!(fault(token(Some(2_000), Some(1_061), None)), "not yet valid");
        assert_eq!(fault(token(Some(2_000), None, Some(1_061))), "not yet valid: issued later than now");
    }
}
