//! EU Digital COVID Certificates ("HCERT"): `HC1:`, base45, zlib, COSE_Sign1, CWT claim −260.
//!
//! Source: "Technical Specifications for EU Digital COVID Certificates", volumes 1 and 3.

use super::cbor::{self, CborError, Value};
use super::cwt::{BadClaim, Cwt};
use super::trust::Usage;
use crate::text::trimmed;
use crate::time::parse_instant;
use flate2::{Decompress, FlushDecompress, Status};
use serde_json::{Map, json};

/// The context identifier before the base45 text.
pub const PREFIX: &[u8] = b"HC1:";
/// The most that one code may inflate to.
pub const MAX_INFLATED: usize = 16 << 10;
/// Real ones need less than this.
const USUAL: usize = 2 << 10;
/// The CWT claim that holds health certificates.
const CLAIM_HCERT: i64 = -260;
/// Code of a negative test ("not detected", SNOMED CT 260415000).
const NOT_DETECTED: &str = "260415000";
/// Code of a positive test ("detected", SNOMED CT 260373001).
const DETECTED: &str = "260373001";

/// Why a text is not an HCERT.
#[derive(Debug, thiserror::Error)]
pub enum HcertError {
    /// The stream is broken, does not end, or bytes follow it.
    #[error("the zlib stream is broken or incomplete")]
    Zlib,
    /// Larger than [`MAX_INFLATED`].
    #[error("inflates to more than {MAX_INFLATED} bytes")]
    TooLarge,
    /// The payload is not strict CBOR.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// A shared claim has the wrong type.
    #[error(transparent)]
    Claim(#[from] BadClaim),
    /// The certificate is not of the published form.
    #[error("not a health certificate: {0}")]
    Shape(&'static str),
}

/// Whether bytes begin with a zlib header (RFC 1950): some issuers leave compression out.
pub fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [a, b, ..] if a & 0x0f == 8 && (u16::from(*a) << 8 | u16::from(*b)) % 31 == 0)
}

/// Inflates, bounded; all input must belong to the stream.
pub fn inflate(bytes: &[u8]) -> Result<Vec<u8>, HcertError> {
    let mut out = Vec::with_capacity(USUAL);
    let mut stream = Decompress::new(true);
    loop {
        let used = usize::try_from(stream.total_in()).map_err(|_| HcertError::Zlib)?;
        let before = out.len();
        let status = stream
            .decompress_vec(&bytes[used..], &mut out, FlushDecompress::None)
            .map_err(|_| HcertError::Zlib)?;
        let used = usize::try_from(stream.total_in()).map_err(|_| HcertError::Zlib)?;
        if out.len() > MAX_INFLATED {
            return Err(HcertError::TooLarge);
        }
        match status {
            Status::StreamEnd if used == bytes.len() => return Ok(out),
            Status::StreamEnd => return Err(HcertError::Zlib),
            Status::Ok | Status::BufError if out.len() == out.capacity() => out.reserve(out.capacity()),
            Status::Ok | Status::BufError if out.len() == before => return Err(HcertError::Zlib),
            Status::Ok | Status::BufError => {}
        }
    }
}

/// What the certificate says.
#[derive(Debug, Clone, PartialEq)]
pub struct Hcert {
    /// Validity.
    pub cwt: Cwt,
    /// Which kind it is, so which key usage it needs.
    pub usage: Usage,
    /// The unique certificate identifier.
    pub uvci: String,
    /// Name of the holder.
    pub name: Option<String>,
    /// What rules may ask.
    pub facts: Map<String, serde_json::Value>,
}

impl Hcert {
    /// The kind as profiles write it.
    pub fn kind(&self) -> &'static str {
        if self.usage == Usage::HcertTest {
            "hcert-test"
        } else if self.usage == Usage::HcertVaccination {
            "hcert-vaccination"
        } else {
            "hcert-recovery"
        }
    }
}

/// A text of a certificate: issuers leave blanks around it, and put dates under the tags for them
/// (0, RFC 8949; 1004, RFC 8943).
fn text<'a>(from: &Value<'a>, key: &str) -> &'a str {
    let value = match from.get(key) {
        Some(Value::Tag(0 | 1004, inner)) => Some(&**inner),
        other => other,
    };
    value.and_then(Value::text).map(trimmed).unwrap_or_default()
}

/// The one entry of a certificate. A second one would let the holder choose which of them is looked at.
fn only_entry<'v, 'a>(dgc: &'v Value<'a>) -> Result<(Usage, &'v Value<'a>), HcertError> {
    let mut found = None;
    for (key, usage) in [("t", Usage::HcertTest), ("v", Usage::HcertVaccination), ("r", Usage::HcertRecovery)]
    {
        let all = match dgc.get(key) {
            None | Some(Value::Null) => continue,
            Some(value) => value.array().ok_or(HcertError::Shape("its entries are not in a list"))?,
        };
        for entry in all {
            if found.replace((usage, entry)).is_some() {
                return Err(HcertError::Shape(
                    "more than one test, vaccination or recovery in one certificate",
                ));
            }
        }
    }
    found.ok_or(HcertError::Shape("neither test, vaccination nor recovery"))
}

/// A number of doses; what is no such number is absent.
fn doses(entry: &Value<'_>, key: &str) -> Result<Option<i64>, HcertError> {
    match entry.get(key) {
        Some(Value::Float(f)) if !f.is_finite() => Err(HcertError::Shape("a number of doses is no number")),
        value => Ok(value.and_then(Value::whole)),
    }
}

/// The holder's name; where a part is missing, as the machine-readable zone of a passport has it (`fnt`, `gnt`).
fn name(nam: &Value<'_>) -> Option<String> {
    let part = |plain: &str, zone: &str| match text(nam, plain) {
        "" => text(nam, zone).replace('<', " "),
        plain => plain.to_owned(),
    };
    let (given, family) = (part("gn", "gnt"), part("fn", "fnt"));
    let name = format!("{} {}", given.trim(), family.trim()).trim().to_owned();
    (!name.is_empty()).then_some(name)
}

/// Reads the claims of a payload.
pub fn claims(payload: &[u8]) -> Result<Hcert, HcertError> {
    let value = cbor::read(payload)?;
    let cwt = Cwt::read(&value)?;
    let dgc = value
        .at(CLAIM_HCERT)
        .and_then(|h| h.at(1))
        .ok_or(HcertError::Shape("claim -260 does not hold a certificate"))?;
    let (usage, entry) = only_entry(dgc)?;
    let mut facts = Map::new();
    facts.insert("country".into(), json!(text(entry, "co")));
    match usage {
        Usage::HcertTest => {
            facts.insert("certificate".into(), json!("test"));
            let result = match text(entry, "tr") {
                NOT_DETECTED => "negative",
                DETECTED => "positive",
                _ => "unknown",
            };
            facts.insert("test_result".into(), json!(result));
            facts.insert("sampled_at_ms".into(), json!(parse_instant(text(entry, "sc"))));
        }
        Usage::HcertVaccination => {
            facts.insert("certificate".into(), json!("vaccination"));
            facts.insert("dose".into(), json!(doses(entry, "dn")?));
            facts.insert("doses".into(), json!(doses(entry, "sd")?));
            facts.insert("vaccinated_at_ms".into(), json!(parse_instant(text(entry, "dt"))));
        }
        Usage::HcertRecovery => {
            facts.insert("certificate".into(), json!("recovery"));
            facts.insert("from_ms".into(), json!(parse_instant(text(entry, "df"))));
            facts.insert("until_ms".into(), json!(parse_instant(text(entry, "du"))));
        }
        Usage::ResidentCard
        | Usage::VehiclePass
        | Usage::StaffBadge
        | Usage::CompanionCard
        | Usage::ReleaseSlip
        | Usage::RosterEntry
        | Usage::TrustUpdate
        | Usage::ProvisioningCode
        | Usage::Feed
        | Usage::Operate
        | Usage::Maintain
        | Usage::Configure
        | Usage::Trace => return Err(HcertError::Shape("not a health certificate")),
    }
    let uvci = text(entry, "ci").to_owned();
    if uvci.is_empty() {
        return Err(HcertError::Shape("no certificate identifier"));
    }
    let name = dgc.get("nam").and_then(name);
    Ok(Hcert { cwt, usage, uvci, name, facts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write;

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut e = ZlibEncoder::new(Vec::new(), Compression::best());
        e.write_all(bytes).unwrap();
        e.finish().unwrap()
    }

    #[test]
    fn a_zip_bomb_stops_at_the_limit() {
        assert!(matches!(inflate(&deflate(&vec![0; 3_000_000])), Err(HcertError::TooLarge)));
        for bytes in [1, USUAL, USUAL + 1, MAX_INFLATED] {
            assert_eq!(inflate(&deflate(&vec![7; bytes])).unwrap().len(), bytes);
        }
        assert!(matches!(inflate(&deflate(&vec![7; MAX_INFLATED + 1])), Err(HcertError::TooLarge)));
    }

    #[test]
    fn trailing_and_missing_bytes_are_refused() {
        let mut z = deflate(b"hello hello hello");
        assert_eq!(inflate(&z).unwrap(), b"hello hello hello");
        z.push(0);
        assert!(inflate(&z).is_err());
        z.truncate(z.len() - 4);
        assert!(inflate(&z).is_err());
        assert!(inflate(&[]).is_err());
    }

    #[test]
    fn a_stream_is_known_by_its_first_two_bytes() {
        assert!(is_zlib(&deflate(b"hello")) && is_zlib(&[0x78, 0x01]));
        for other in [&[0x78][..], &[], &[0xd2, 0x84], &[0x78, 0x02], &[0x79, 0x01]] {
            assert!(!is_zlib(other), "{other:02x?}");
        }
    }

    #[test]
    fn a_date_as_a_float_is_refused() {
        assert!(matches!(claims(&[0xa1, 4, 0xf9, 0x7e, 0x00]), Err(HcertError::Claim(BadClaim(4)))), "NaN");
    }
}
