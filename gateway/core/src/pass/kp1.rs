//! KP1, Kakou's own profile of existing standards: a CWT (RFC 8392) in COSE_Sign1 (RFC 9052) in
//! base45 (RFC 9285) after `KP1:`, without compression, so that a QR code needs its alphanumeric
//! mode alone.
//!
//! One private claim, [`CLAIM_PASS`], holds an integer-keyed map. Entry 0 is the kind; the table
//! [`FIELDS`] names the rest. A field that the table does not know is refused: an issuer that is
//! newer than the gateway must not be half understood.

use super::base45;
use super::cbor::{self, CborError, Value};
use super::cose::{self, Alg};
use super::cwt::{BadClaim, Cwt};
use super::trust::Usage;
use super::{id, plate};
use crate::text::Text as Words;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value as Json, json};

/// What stands before the base45 text.
pub const PREFIX: &[u8] = b"KP1:";
/// The private claim that holds the pass.
pub const CLAIM_PASS: i64 = -70_001;

/// The type of a field on the wire, and of its fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    /// Text of at most so many bytes.
    Text(usize),
    /// A non-negative integer.
    Number,
    /// Bytes; as a fact, base64url.
    Bytes(usize),
    /// An array of short texts.
    Texts,
    /// One of these words, as its index.
    Word(&'static [&'static str]),
}

struct Field {
    kind: Usage,
    label: i64,
    name: &'static str,
    is: Type,
    required: bool,
}

const fn field(kind: Usage, label: i64, name: &'static str, is: Type, required: bool) -> Field {
    Field { kind, label, name, is, required }
}

use Type::{Bytes, Number, Text, Texts, Word};
use Usage::{
    CompanionCard, ProvisioningCode, ReleaseSlip, ResidentCard, RosterEntry, StaffBadge, TrustUpdate,
    VehiclePass,
};

/// Kinds in the order of their number; the first is 1.
const KINDS: [(Usage, &str); 8] = [
    (ResidentCard, "resident-card"),
    (VehiclePass, "vehicle-pass"),
    (StaffBadge, "staff-badge"),
    (CompanionCard, "companion-card"),
    (ReleaseSlip, "release-slip"),
    (RosterEntry, "roster-entry"),
    (TrustUpdate, "trust-update"),
    (ProvisioningCode, "provisioning-code"),
];

const CATEGORIES: &[&str] = &["emergency-supplies", "emergency-bulk", "resident-car", "transit"];

/// A category of vehicles as staff read it.
pub fn category_text(word: &str) -> Option<Words> {
    match word {
        "emergency-supplies" => Some(Words::new("紧急物资车辆", "Emergency supplies")),
        "emergency-bulk" => Some(Words::new("紧急物资散货车辆", "Emergency bulk goods")),
        "resident-car" => Some(Words::new("居民车辆", "Resident car")),
        "transit" => Some(Words::new("过境车辆", "Transit")),
        _ => None,
    }
}

/// Every field of every kind.
const FIELDS: &[Field] = &[
    field(ResidentCard, 1, "id", Text(40), true),
    field(ResidentCard, 2, "name", Text(40), false),
    field(ResidentCard, 3, "photo", Bytes(32), false),
    field(VehiclePass, 1, "plate", Text(16), true),
    field(VehiclePass, 2, "driver", Bytes(16), false),
    field(VehiclePass, 3, "category", Word(CATEGORIES), true),
    field(VehiclePass, 4, "from", Text(24), true),
    field(VehiclePass, 5, "to", Text(24), true),
    field(VehiclePass, 6, "uses", Number, true),
    field(VehiclePass, 7, "approvals", Texts, false),
    field(VehiclePass, 8, "crew", Number, false),
    field(StaffBadge, 1, "id", Text(40), true),
    field(StaffBadge, 2, "name", Text(40), false),
    field(StaffBadge, 3, "role", Text(16), true),
    field(CompanionCard, 1, "id", Text(40), true),
    field(CompanionCard, 2, "name", Text(40), false),
    field(CompanionCard, 3, "patient", Text(40), true),
    field(CompanionCard, 4, "ward", Text(24), false),
    field(ReleaseSlip, 1, "id", Text(40), true),
    field(ReleaseSlip, 2, "plate", Text(16), false),
    field(ReleaseSlip, 3, "seals", Texts, false),
    field(RosterEntry, 1, "id", Text(40), true),
    field(RosterEntry, 2, "roster", Text(24), true),
    field(TrustUpdate, 1, "id", Text(40), true),
    field(TrustUpdate, 2, "key", Bytes(96), true),
    field(ProvisioningCode, 1, "id", Text(64), true),
    field(ProvisioningCode, 2, "url", Text(128), true),
];

/// What every pass that is issued has, and a gate can do without: rules see that nothing is said, and a pass says it.
const CAN_BE_ABSENT: [(Usage, &str); 2] = [(VehiclePass, "plate"), (VehiclePass, "category")];

/// Why a payload is not a KP1 pass, or facts do not make one.
#[derive(Debug, thiserror::Error)]
pub enum Kp1Error {
    /// Not strict CBOR.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// A shared claim has the wrong type.
    #[error(transparent)]
    Claim(#[from] BadClaim),
    /// The map is not of the profile.
    #[error("not a KP1 pass: {0}")]
    Shape(String),
    /// A gate would not read it.
    #[error(
        "plate: `{0}` is not a plate of a known kind, such as 辽P12345, 辽PD12345, 辽P1234挂, 京A1234应急, WJ辽1234X"
    )]
    Plate(String),
    /// The signer failed.
    #[error("signing failed: {0}")]
    Sign(String),
}

fn shape(why: impl Into<String>) -> Kp1Error {
    Kp1Error::Shape(why.into())
}

/// A pass of ours, as signed.
#[derive(Debug, Clone, PartialEq)]
pub struct Kp1 {
    /// Validity and id.
    pub cwt: Cwt,
    /// The kind, which is also the key usage it needs.
    pub kind: Usage,
    /// The fields by name.
    pub facts: Map<String, Json>,
}

/// The word for a kind, as `kakou pass issue --kind` and profiles write it.
pub fn kind_word(kind: Usage) -> Option<&'static str> {
    KINDS.iter().find(|(k, _)| *k == kind).map(|(_, w)| *w)
}

/// The kind for a word.
pub fn kind_of(word: &str) -> Option<Usage> {
    KINDS.iter().find(|(_, w)| *w == word).map(|(k, _)| *k)
}

/// The words for all kinds.
pub fn kind_words() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(_, w)| *w)
}

/// The fields of a kind as `name (required)`, for help and errors.
pub fn field_help(kind: Usage) -> String {
    let names = FIELDS.iter().filter(|f| f.kind == kind);
    names.map(|f| format!("{}{}", f.name, if f.required { "" } else { "?" })).collect::<Vec<_>>().join(", ")
}

/// Reads the claims of a payload.
pub fn claims(payload: &[u8]) -> Result<Kp1, Kp1Error> {
    let value = cbor::read(payload)?;
    let cwt = Cwt::read(&value)?;
    if cwt.exp.is_none() || cwt.nbf.is_none() || !(8..=16).contains(&cwt.cti.len()) {
        return Err(shape("exp, nbf and an id of 8 to 16 bytes are required"));
    }
    let pass = value.at(CLAIM_PASS).and_then(Value::pairs).ok_or_else(|| shape("no pass claim"))?;
    let number = pass.iter().find(|(k, _)| k.int() == Some(0)).and_then(|(_, v)| v.int());
    let (kind, _) = number
        .and_then(|n| usize::try_from(n).ok()?.checked_sub(1))
        .and_then(|i| KINDS.get(i).copied())
        .ok_or_else(|| shape("unknown kind"))?;
    let mut facts = Map::new();
    for (label, value) in pass {
        let label = label.int().ok_or_else(|| shape("a label is not an integer"))?;
        if label == 0 {
            continue;
        }
        let field = FIELDS
            .iter()
            .find(|f| f.kind == kind && f.label == label)
            .ok_or_else(|| shape(format!("unknown field {label}")))?;
        let fact = read_field(field.is, value).ok_or_else(|| shape(format!("field {}", field.name)))?;
        facts.insert(field.name.to_owned(), fact);
    }
    complete(kind, &facts, &CAN_BE_ABSENT)?;
    if facts.get("uses").and_then(Json::as_u64).is_some_and(|n| n > 1) {
        return Err(shape("field uses is 0 (any number) or 1 (once)"));
    }
    Ok(Kp1 { cwt, kind, facts })
}

fn complete(kind: Usage, facts: &Map<String, Json>, but: &[(Usage, &str)]) -> Result<(), Kp1Error> {
    let needed = |f: &&Field| f.kind == kind && f.required && !but.contains(&(kind, f.name));
    match FIELDS.iter().filter(needed).find(|f| !facts.contains_key(f.name)) {
        Some(missing) => Err(shape(format!("field {} is missing", missing.name))),
        None => Ok(()),
    }
}

fn read_field(is: Type, value: &Value<'_>) -> Option<Json> {
    match is {
        Text(max) => value.text().filter(|t| !t.is_empty() && t.len() <= max).map(|t| json!(t)),
        Number => value.int().filter(|n| *n >= 0).map(|n| json!(n)),
        Bytes(max) => value.bytes().filter(|b| b.len() <= max).map(|b| json!(URL_SAFE_NO_PAD.encode(b))),
        Texts => {
            let texts: Option<Vec<&str>> = value.array()?.iter().map(Value::text).collect();
            texts.filter(|t| t.len() <= 8 && t.iter().all(|t| t.len() <= 24)).map(|t| json!(t))
        }
        Word(words) => words.get(usize::try_from(value.int()?).ok()?).map(|w| json!(w)),
    }
}

/// What an issuer decides about one pass.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The kind.
    pub kind: Usage,
    /// The id, 8 to 16 random bytes.
    pub cti: Vec<u8>,
    /// Not before, UTC seconds.
    pub nbf: i64,
    /// Expiry, UTC seconds.
    pub exp: i64,
    /// The fields by name.
    pub facts: Map<String, Json>,
}

/// Encodes and signs a pass; the result is the text of its QR code.
pub fn issue(
    draft: &Draft,
    alg: Alg,
    kid: &[u8],
    signer: impl FnOnce(&[u8]) -> Result<Vec<u8>, String>,
) -> Result<String, Kp1Error> {
    complete(draft.kind, &draft.facts, &[])?;
    issue_as_it_is(draft, alg, kid, signer)
}

/// The same for a pass that lacks what no pass that is issued may lack, to see what a gate does with it.
pub(crate) fn issue_as_it_is(
    draft: &Draft,
    alg: Alg,
    kid: &[u8],
    signer: impl FnOnce(&[u8]) -> Result<Vec<u8>, String>,
) -> Result<String, Kp1Error> {
    let draft = Draft { facts: tidied(draft)?, ..draft.clone() };
    let payload = encode(&draft)?;
    claims(&payload)?;
    let message = cose::sign(alg, kid, &payload, signer).map_err(Kp1Error::Sign)?;
    Ok(format!("KP1:{}", base45::encode(&message)))
}

/// The fields as a gate will compare them: what is issued is read, or refused here.
fn tidied(draft: &Draft) -> Result<Map<String, Json>, Kp1Error> {
    // The ids of boxes are names of theirs, with letters in small.
    let of_people = !matches!(draft.kind, TrustUpdate | ProvisioningCode);
    let mut facts = draft.facts.clone();
    for (name, fact) in &mut facts {
        let Json::String(text) = fact else { continue };
        match name.as_str() {
            "plate" => {
                *text = plate::normal(text).ok_or_else(|| Kp1Error::Plate(text.clone()))?;
            }
            "id" | "patient" if of_people => *text = id::normal(text),
            _ => {}
        }
    }
    Ok(facts)
}

fn encode(draft: &Draft) -> Result<Vec<u8>, Kp1Error> {
    let number = KINDS.iter().position(|(k, _)| *k == draft.kind).ok_or_else(|| shape("not a KP1 kind"))? + 1;
    let mut fields = Vec::new();
    for (name, fact) in &draft.facts {
        let field = FIELDS
            .iter()
            .find(|f| f.kind == draft.kind && f.name == name)
            .ok_or_else(|| shape(format!("no field `{name}`; this kind has: {}", field_help(draft.kind))))?;
        fields.push((field, fact));
    }
    fields.sort_by_key(|(f, _)| f.label);
    let mut wrong = None;
    let payload = cose::write(|e| {
        e.map(4)?.u8(4)?.i64(draft.exp)?.u8(5)?.i64(draft.nbf)?.u8(7)?.bytes(&draft.cti)?;
        e.i64(CLAIM_PASS)?.map(fields.len() as u64 + 1)?.u8(0)?.u64(number as u64)?;
        for (field, fact) in &fields {
            let e = &mut *e;
            e.i64(field.label)?;
            match (field.is, fact) {
                (Text(_), Json::String(t)) => e.str(t)?,
                (Number, Json::Number(n)) if n.is_u64() => e.u64(n.as_u64().unwrap_or_default())?,
                (Bytes(_), Json::String(t)) => match URL_SAFE_NO_PAD.decode(t) {
                    Ok(bytes) => e.bytes(&bytes)?,
                    Err(_) => {
                        wrong = Some(field.name);
                        e.null()?
                    }
                },
                (Texts, Json::Array(items)) => {
                    e.array(items.len() as u64)?;
                    for item in items {
                        e.str(item.as_str().unwrap_or_default())?;
                    }
                    e
                }
                (Word(words), Json::String(t)) if words.contains(&t.as_str()) => {
                    e.u64(words.iter().position(|w| w == t).unwrap_or_default() as u64)?
                }
                (Text(_) | Number | Bytes(_) | Texts | Word(_), _) => {
                    wrong = Some(field.name);
                    e.null()?
                }
            };
        }
        Ok(())
    });
    match wrong {
        Some(name) => Err(shape(format!("field {name} has the wrong type or an unknown word"))),
        None => Ok(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_vehicle_pass_is_for_once_or_for_any_number_of_times() {
        for (uses, good) in [(0, true), (1, true), (2, false), (9, false)] {
            let facts =
                json!({ "plate": "辽P12345", "category": "transit", "from": "a", "to": "b", "uses": uses });
            let facts = facts.as_object().unwrap().clone();
            let draft = Draft { kind: VehiclePass, cti: vec![7; 8], nbf: 0, exp: 9, facts };
            assert_eq!(encode(&draft).and_then(|p| claims(&p)).is_ok(), good, "{uses}");
        }
    }

    #[test]
    fn every_category_of_vehicles_has_words_of_its_own_in_both_languages() {
        let words: Vec<Words> = CATEGORIES.iter().filter_map(|c| category_text(c)).collect();
        assert_eq!(words.len(), CATEGORIES.len());
        let (zh, en): (BTreeSet<_>, BTreeSet<_>) = words.iter().map(|w| (&w.zh, &w.en)).unzip();
        assert_eq!((zh.len(), en.len()), (CATEGORIES.len(), CATEGORIES.len()));
        assert!(category_text("hearse").is_none());
    }
}
