//! Who comes, what is true of them, what they show, and what the lists say of them.
//!
//! Each lane has people of its own, as its profile asks for them: residents, vehicles, staff, companions, bags. Names, ids
//! and telephone numbers are such that they are found wherever they lie.

use super::places::Place;
use crate::sim::draw::Draw;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kakou_core::evidence::Hash;
use kakou_core::pass::cose::Alg;
use kakou_core::pass::hex;
use kakou_core::pass::kp1::{self, Draft};
use kakou_core::pass::trust::Usage;
use ring::signature::Ed25519KeyPair;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The moment at which a run begins: 24 May 2022, seven in the morning in Huludao.
pub const BEGINS_MS: i64 = 1_653_346_800_000;
/// An hour in milliseconds.
pub const HOUR_MS: i64 = 3_600_000;
/// The region of the site.
pub const REGION: &str = "211400";
/// The name of the key that is trusted.
pub const KID: &[u8] = b"good";
/// How many people a lane knows.
const PEOPLE: u32 = 150;

/// What somebody shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    /// A signed code.
    Signed,
    /// The id alone.
    Bare,
    /// A code that somebody else has signed.
    Forged,
    /// A code that is no pass.
    Unreadable,
    /// A code whose time is over.
    Expired,
    /// A code that was taken back.
    Revoked,
}

/// Somebody, or something that has a code.
#[derive(Debug, Clone)]
pub struct Guest {
    /// Theirs alone in the whole site.
    pub number: u32,
    /// What stands for them in lists.
    pub subject: String,
    /// Whether that is a person.
    pub is_person: bool,
    /// Their name.
    pub name: String,
    /// The number of their identity card.
    pub id_number: String,
    /// Their telephone number.
    pub phone: String,
    /// The plate of what they drive.
    pub plate: String,
    /// What they show.
    pub card: Card,
    /// The kind of their code.
    pub kind: &'static str,
    /// The id of their signed code.
    pub cti: Vec<u8>,
    /// What is read from it.
    pub code: Vec<u8>,
    /// Whether it admits once.
    pub once: bool,
    /// What the lists say of them.
    pub entries: BTreeMap<&'static str, Value>,
}

/// A key of the site.
pub fn key(name: &[u8]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&Hash::of(name).0).expect("a hash has the length of a seed")
}

/// Draws the people of a lane; `of` are the profiles of the lane and of those who come along.
pub fn people(draw: &mut Draw, first: u32, place: &Place, member: bool) -> Result<Vec<Guest>, String> {
    (first..first + PEOPLE).map(|number| guest(draw, number, place, member)).collect()
}

fn guest(draw: &mut Draw, number: u32, place: &Place, member: bool) -> Result<Guest, String> {
    let accepts = if member { &place.member_accepts } else { &place.accepts };
    let vehicle = accepts.iter().any(|a| a == "vehicle-pass")
        && (place.profile != "chemical-park" || draw.per_mille(600));
    let things =
        !vehicle && accepts.len() == 1 && accepts[0] == "opaque" && place.profile != "isolation-point";
    let plate = format!("辽P{:05}", number);
    let subject = match (vehicle, things) {
        (true, _) => plate.clone(),
        (_, true) => format!("BAG-{number:06}"),
        (false, false) => format!("HLDX{number:07}"),
    };
    let kinds: Vec<&'static str> = ["resident-card", "staff-badge", "companion-card", "vehicle-pass"]
        .into_iter()
        .filter(|kind| accepts.iter().any(|a| a == kind) && (*kind == "vehicle-pass") == vehicle)
        .collect();
    let bare = accepts.iter().any(|a| a == "opaque");
    let kind = if kinds.is_empty() { "opaque" } else { *draw.one_of(&kinds) };
    let card = match draw.below(100) {
        _ if kinds.is_empty() => Card::Bare,
        0..3 => Card::Forged,
        3..5 => Card::Unreadable,
        5..8 => Card::Expired,
        8..11 => Card::Revoked,
        11..45 if bare => Card::Bare,
        _ => Card::Signed,
    };
    let mut guest = Guest {
        number,
        subject,
        is_person: !vehicle && !things,
        name: name(number),
        id_number: id_number(number),
        phone: format!("139{:08}", 40_000_000 + number * 37),
        plate,
        card,
        kind: if card == Card::Bare { "opaque" } else { kind },
        cti: Hash::of(&number.to_be_bytes()).0[..12].to_vec(),
        code: Vec::new(),
        once: vehicle && draw.per_mille(500),
        entries: BTreeMap::new(),
    };
    for list in &place.lists {
        if let Some(entry) = entry(draw, list, &guest, place) {
            guest.entries.insert(list, entry);
        }
    }
    guest.code = code(&guest, place)?;
    Ok(guest)
}

/// A name that is nobody else's, of four characters.
fn name(number: u32) -> String {
    const FIRST: &[char] = &['欧', '司', '诸', '上'];
    const THEN: &[char] = &['阳', '马', '葛', '官'];
    let n = usize::try_from(number).unwrap_or(0);
    let far = |n: usize| char::from_u32(0x8c00 + u32::try_from(n % 200).unwrap_or(0)).unwrap_or('山');
    [FIRST[n % 4], THEN[n % 4], far(n / 200 + 7), far(n)].iter().collect()
}

/// A number of an identity card with its check digit (GB 11643).
fn id_number(number: u32) -> String {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let digits = format!(
        "21140219{:02}0{:01}{:02}{:03}",
        50 + number / 20_000 % 50,
        1 + number % 9,
        10 + number / 9 % 18,
        number % 1_000
    );
    let sum: u32 = digits.bytes().zip(WEIGHTS).map(|(d, w)| u32::from(d - b'0') * w).sum();
    let check =
        ["1", "0", "X", "9", "8", "7", "6", "5", "4", "3", "2"][usize::try_from(sum % 11).unwrap_or(0)];
    format!("{digits}{check}")
}

fn category(profile: &str) -> &'static str {
    match profile {
        "truck-supplies" => "emergency-supplies",
        "truck-bulk" => "emergency-bulk",
        "resident-car" => "resident-car",
        _ => "transit",
    }
}

fn approvals(profile: &str, number: u32) -> Value {
    match profile {
        "chemical-park" => json!(["company", "park"]),
        _ if number.is_multiple_of(2) => json!(["transport"]),
        _ => json!([]),
    }
}

/// The patient of a companion or a visitor.
fn patient(number: u32) -> String {
    format!("B-{:04}", number / 2)
}

fn code(guest: &Guest, place: &Place) -> Result<Vec<u8>, String> {
    match guest.card {
        Card::Bare => return Ok(guest.subject.clone().into_bytes()),
        Card::Unreadable => return Ok(format!("https://example.org/menu/{}", guest.number).into_bytes()),
        Card::Signed | Card::Forged | Card::Expired | Card::Revoked => {}
    }
    let facts = match guest.kind {
        "vehicle-pass" => {
            let mut facts = json!({ "plate": guest.plate, "category": category(&place.profile), "from": REGION, "to": "-",
                "uses": u32::from(guest.once), "crew": 4 });
            let approvals = approvals(&place.profile, guest.number);
            if approvals.as_array().is_some_and(|a| !a.is_empty()) {
                facts["approvals"] = approvals;
            }
            facts
        }
        "staff-badge" => json!({ "id": guest.subject, "role": "staff" }),
        "companion-card" => json!({ "id": guest.subject, "patient": patient(guest.number), "ward": "W3" }),
        _ => json!({ "id": guest.subject }),
    };
    let exp = if guest.card == Card::Expired { BEGINS_MS - HOUR_MS } else { BEGINS_MS + 1_000 * HOUR_MS };
    let draft = Draft {
        kind: kp1::kind_of(guest.kind).unwrap_or(Usage::ResidentCard),
        cti: guest.cti.clone(),
        nbf: (BEGINS_MS - 1_000 * HOUR_MS) / 1_000,
        exp: exp / 1_000,
        facts: facts.as_object().cloned().unwrap_or_default(),
    };
    let signer = if guest.card == Card::Forged { key(b"forger") } else { key(KID) };
    let text = kp1::issue(&draft, Alg::EdDSA, KID, |bytes| Ok(signer.sign(bytes).as_ref().to_vec()));
    text.map(String::into_bytes).map_err(|e| e.to_string())
}

/// The key of somebody in a list.
pub fn entry_key(list: &str, guest: &Guest) -> String {
    match list {
        "revocation" => format!("{}:{}", hex(KID), URL_SAFE_NO_PAD.encode(&guest.cti)),
        "patients" => patient(guest.number),
        "stages" | "seals" => guest.plate.clone(),
        _ => guest.subject.clone(),
    }
}

fn entry(draw: &mut Draw, list: &str, guest: &Guest, place: &Place) -> Option<Value> {
    let n = guest.number;
    let known = draw.per_mille(930);
    let test = |draw: &mut Draw| match draw.below(20) {
        0 => json!({ "test_result": "positive", "sampled_at_ms": BEGINS_MS - HOUR_MS }),
        1 => json!({ "test_result": "pending", "sampled_at_ms": BEGINS_MS - HOUR_MS }),
        n => json!({ "test_result": "negative", "sampled_at_ms": BEGINS_MS - HOUR_MS * n.cast_signed() }),
    };
    match list {
        "revocation" => (guest.card == Card::Revoked).then(|| json!({})),
        "hold" => draw.per_mille(40).then(|| json!({})),
        _ if !known => None,
        "status" => {
            let mut entry = test(draw);
            let colour = *draw
                .one_of(&["green", "green", "green", "green", "green", "green", "green", "yellow", "red"]);
            entry["name"] = json!(guest.name);
            entry["colour"] = json!(colour);
            entry["risk_area"] = json!(draw.per_mille(40));
            entry["out_of_city"] = json!(draw.per_mille(100));
            Some(entry)
        }
        "results" => draw.per_mille(500).then(|| test(draw)),
        "pass" => Some(
            json!({ "plate": guest.plate, "category": category(&place.profile), "from": REGION, "to": "-",
            "crew": 4, "uses": u32::from(guest.once), "approvals": approvals(&place.profile, n) }),
        ),
        "roster" => {
            let role = match place.profile.as_str() {
                "ward-door" => *draw.one_of(&["companion", "companion", "inpatient", "staff"]),
                "isolation-point" => *draw.one_of(&["resident", "resident", "staff"]),
                "consulting-room" | "fit-for-duty" | "supplies-desk" => "staff",
                "community-return" => "resident",
                _ => "worker",
            };
            let mut entry = json!({ "name": guest.name, "role": role, "company": "works", "ward": "W3" });
            match role {
                "companion" => entry["patient"] = json!(patient(n)),
                "resident" => {
                    entry["room"] = json!(format!("{}", 100 + n / 3));
                    entry["beds"] = json!(2);
                }
                _ => {}
            }
            Some(entry)
        }
        "patients" => Some(json!({ "name": guest.name, "ward": "W3", "state": "admitted", "limit": 2 })),
        "bookings" => Some(
            json!({ "from_ms": BEGINS_MS - HOUR_MS, "to_ms": BEGINS_MS + 100 * HOUR_MS, "plate": guest.plate,
            "container_in": "CSQU3054383", "container_out": "CSQU3054383" }),
        ),
        "release" => draw.per_mille(500).then(|| json!({ "from_ms": BEGINS_MS, "to": "community" })),
        "reports" => {
            Some(json!({ "from": "Jinzhou", "unit": "3-2", "risk": *draw.one_of(&["low", "low", "high"]) }))
        }
        "seals" => Some(json!({ "seals": [format!("LN{:07}", n)], "category": "transit" })),
        "stages" => Some(json!({ "stage": 4 + i64::from(draw.per_mille(800)), "fuel": "diesel" })),
        "children" => Some(
            json!({ "children": [format!("C-{n}-1"), format!("C-{n}-2")], "names": ["a", "b"], "note": if draw.per_mille(60) { "ask" } else { "" } }),
        ),
        "certificates" => {
            Some(json!({ "kind": "health", "exp_ms": BEGINS_MS + 900 * HOUR_MS, "plate": guest.plate,
            "washed_at_ms": BEGINS_MS - HOUR_MS }))
        }
        "bags" => Some(json!({ "source": "ward", "type": "sharps", "grams": 1_000 + n })),
        "deliveries" => Some(
            json!({ "tubes": [format!("T-{n}-1"), format!("T-{n}-2"), format!("T-{n}-3")], "site": "S" }),
        ),
        _ => None,
    }
}

/// Entries that are nobody's.
pub fn common(list: &str) -> BTreeMap<String, Value> {
    match list {
        "items" => (1..6)
            .map(|n| (format!("ITEM-{n}"), json!({ "name": "mask", "unit": "box", "min": 10 })))
            .collect(),
        _ => BTreeMap::new(),
    }
}

/// What must lie nowhere but in the lists.
pub fn secrets<'a>(guests: impl Iterator<Item = &'a Guest>) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = Vec::new();
    for guest in guests {
        all.push(("an id", guest.id_number.clone().into_bytes()));
        all.push(("a telephone number", guest.phone.clone().into_bytes()));
        all.push(("a name", guest.name.clone().into_bytes()));
        if guest.is_person {
            all.push(("the code of a person", guest.subject.clone().into_bytes()));
        }
        if guest.code.starts_with(kp1::PREFIX) {
            all.push(("a signed code", guest.code.clone()));
        }
    }
    all
}
