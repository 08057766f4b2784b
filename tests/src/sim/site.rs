//! The site of a run: people as the seed draws them, what they show, and the lists and keys that the gateway is given.

use super::draw::{Draw, Stream};
use super::people::{Card, Colour, Gate, Person, Status, Test};
use crate::passes;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use kakou_core::evidence::{GatewayKey, Hash, SubjectKeys};
use kakou_core::pass::cose::Alg;
use kakou_core::pass::hex;
use kakou_core::pass::kp1::{self, Draft};
use kakou_core::pass::trust::{KeyEntry, TrustFile, TrustList, Usage};
use kakou_core::profile::shipped;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::sync::{Arc, LazyLock};

/// 24 May 2022, seven in the morning in Huludao.
pub const BEGINS_MS: i64 = 1_653_346_800_000;
/// The offset of the site's day from UTC.
pub const OFFSET_MS: i64 = 8 * HOUR_MS;
const HOUR_MS: i64 = 3_600_000;
/// How many people there are.
const PEOPLE: u32 = 24;
/// The name of the key that is trusted.
const KID: &[u8] = b"good";

/// The gate of a school; nobody steps aside by themselves, since the model has one visit at a time.
static SCHOOL: LazyLock<(&str, String)> = LazyLock::new(|| {
    let (file, text) = shipped::find("school-gate").expect("the school gate ships");
    (file, text.replace("aside = \"auto\"", "aside = \"officer\""))
});

/// An entrance for vehicles: as the gate of a school without a status.
const GOODS: &str = r#"
id = "goods-entrance"
title = { zh = "货运入口", en = "Goods entrance" }
direction = "in"
audience = ["ops"]
fail_mode = "HOLD"
stale_after_h = 24
same_read_s = 3
same_result_s = 60
show_verdict_s = 8

[[step]]
kind = "scan"
device = "scanner"
accepts = ["vehicle-pass"]

[[step]]
kind = "temperature"
device = "thermometer"
high_mdeg = 37300
low_mdeg = 35000
frames = 5
spread_mdeg = 300
tries = 3
wait_s = 5
timeout_s = 15

[[step]]
kind = "verify"
lists = ["revocation", "hold"]

[[step]]
kind = "decide"

[[step]]
kind = "actuate"
device = "barrier"
pulse_ms = 700
"#;

/// The site.
pub struct Site {
    /// At which gate the lane stands.
    pub gate: Gate,
    /// Who comes.
    pub people: Vec<Person>,
    /// When each list that the lane looks into was issued.
    pub lists: Vec<(&'static str, i64)>,
    /// The keys of passes.
    pub trust: Arc<TrustList>,
    /// Makes subject keys.
    pub subjects: Arc<SubjectKeys>,
}

fn key(name: &[u8]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&Hash::of(name).0).expect("a hash has the length of a seed")
}

/// The key with which the gateway signs.
pub fn gateway_key() -> Arc<GatewayKey> {
    // PKCS#8 of an Ed25519 key is this and the seed (RFC 8410).
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend(Hash::of(b"gateway").0);
    Arc::new(GatewayKey::from_pkcs8(&der).expect("a seed of the right length is a key"))
}

impl Site {
    /// Draws a site.
    pub fn new(seed: u64) -> Self {
        let mut draw = Draw::new(seed, Stream::People);
        let gate = if draw.per_mille(600) { Gate::School } else { Gate::Goods };
        let people = (1..=PEOPLE).map(|number| person(&mut draw, gate, number)).collect();
        let names: &[&str] = match gate {
            Gate::School => &["status", "revocation", "hold"],
            Gate::Goods => &["revocation", "hold"],
        };
        // Seldom one is too old, or becomes so while people come.
        let mut issued = |_| BEGINS_MS - HOUR_MS * draw.between(0, 24).cast_signed();
        let lists = names.iter().map(|name| (*name, issued(name))).collect();
        let usages = [Usage::ResidentCard, Usage::VehiclePass];
        let entry = KeyEntry {
            kid: STANDARD.encode(KID),
            alg: Alg::EdDSA.into(),
            key: STANDARD.encode(key(KID).public_key()),
            usages: usages.into_iter().map(Into::into).collect(),
            issuer: "simulation".into(),
            region: None,
            nbf: None,
            exp: None,
        };
        let file =
            TrustFile { name: "trust".into(), version: 1, issued: BEGINS_MS / 1_000, keys: vec![entry] };
        let trust = TrustList::from_file(&file, "trust").expect("a list of keys that were made for it");
        let subjects = Arc::new(SubjectKeys::new(1, b"simulation"));
        Self { gate, people, lists, trust: Arc::new(trust), subjects }
    }

    /// The name of the profile and its text.
    pub fn profile(&self) -> (&'static str, &'static str) {
        match self.gate {
            Gate::School => (SCHOOL.0, SCHOOL.1.as_str()),
            Gate::Goods => ("goods-entrance.toml", GOODS),
        }
    }

    /// Puts the lists in their place in a data folder.
    pub fn write_lists(&self, data: &Path) -> Result<(), String> {
        for (name, issued_ms) in &self.lists {
            let mut entries: Vec<(String, Value)> =
                self.people.iter().filter_map(|p| self.entry(name, p)).collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            write_list(data, name, (1, *issued_ms), entries)?;
        }
        Ok(())
    }

    fn entry(&self, list: &str, person: &Person) -> Option<(String, Value)> {
        match list {
            "hold" => person.held.then(|| (subject(self.gate, person), json!({}))),
            "revocation" => (person.card == Card::Revoked)
                .then(|| (format!("{}:{}", hex(KID), URL_SAFE_NO_PAD.encode(cti(person))), json!({}))),
            _ => person.status.as_ref().map(|status| (subject(self.gate, person), facts(person, status))),
        }
    }

    /// What somebody shows.
    pub fn code(&self, person: &Person) -> Result<Vec<u8>, String> {
        let other = match self.gate {
            Gate::School => Gate::Goods,
            Gate::Goods => Gate::School,
        };
        Ok(match person.card {
            Card::Number => subject(self.gate, person).into_bytes(),
            Card::Unreadable => format!("https://example.org/menu/{}", person.number).into_bytes(),
            Card::OtherKind => issue(other, person)?,
            Card::Signed | Card::Forged | Card::Expired | Card::Revoked => issue(self.gate, person)?,
        })
    }
}

/// What stands for somebody in lists: the number of a person, the plate of a vehicle.
fn subject(gate: Gate, person: &Person) -> String {
    match gate {
        Gate::School => format!("P-{:04}", person.number),
        Gate::Goods => format!("辽P{:05}", 10_000 + person.number),
    }
}

fn cti(person: &Person) -> Vec<u8> {
    Hash::of(&person.number.to_be_bytes()).0[..12].to_vec()
}

fn issue(gate: Gate, person: &Person) -> Result<Vec<u8>, String> {
    let (kind, facts) = match gate {
        Gate::School => (Usage::ResidentCard, json!({ "id": subject(gate, person) })),
        Gate::Goods => (
            Usage::VehiclePass,
            json!({ "plate": subject(gate, person), "category": "transit", "from": "-", "to": "-",
                "uses": u32::from(person.once) }),
        ),
    };
    let exp = if person.card == Card::Expired { BEGINS_MS - HOUR_MS } else { BEGINS_MS + 1_000 * HOUR_MS };
    let draft = Draft {
        kind,
        cti: cti(person),
        nbf: (BEGINS_MS - 1_000 * HOUR_MS) / 1_000,
        exp: exp / 1_000,
        facts: facts.as_object().cloned().unwrap_or_default(),
    };
    let signer = if person.card == Card::Forged { key(b"forger") } else { key(KID) };
    let text = kp1::issue(&draft, Alg::EdDSA, KID, |bytes| Ok(signer.sign(bytes).as_ref().to_vec()));
    text.map(String::into_bytes).map_err(|e| e.to_string())
}

fn facts(person: &Person, status: &Status) -> Value {
    let mut facts = Map::new();
    facts.insert("name".into(), json!(format!("张{}", person.number)));
    if let Some(colour) = status.colour {
        let word = match colour {
            Colour::Green => "green",
            Colour::Yellow => "yellow",
            Colour::Red => "red",
        };
        facts.insert("colour".into(), json!(word));
    }
    match status.test {
        None => {}
        Some(Test::Positive) => drop(facts.insert("test_result".into(), json!("positive"))),
        Some(Test::Negative(sampled_ms)) => {
            facts.insert("test_result".into(), json!("negative"));
            facts.insert("sampled_at_ms".into(), json!(sampled_ms));
        }
    }
    facts.insert("risk_area".into(), json!(status.risk_area));
    Value::Object(facts)
}

fn person(draw: &mut Draw, gate: Gate, number: u32) -> Person {
    let card = match draw.below(100) {
        0..3 => Card::Forged,
        3..6 => Card::Unreadable,
        6..10 => Card::Expired,
        10..14 => Card::Revoked,
        14..17 => Card::OtherKind,
        17..50 if gate == Gate::School => Card::Number,
        _ => Card::Signed,
    };
    let colour = match draw.below(20) {
        0 => None,
        1 => Some(Colour::Yellow),
        2 => Some(Colour::Red),
        _ => Some(Colour::Green),
    };
    let test = match draw.below(20) {
        0 => None,
        1 => Some(Test::Positive),
        2 => Some(Test::Negative(BEGINS_MS - 48 * HOUR_MS + draw.below(7_200_000).cast_signed())),
        n => Some(Test::Negative(BEGINS_MS - HOUR_MS * n.cast_signed())),
    };
    let status = Status { colour, test, risk_area: draw.per_mille(40) };
    let listed = gate == Gate::School && !draw.per_mille(60);
    Person {
        number,
        card,
        status: listed.then_some(status),
        held: draw.per_mille(60),
        once: gate == Gate::Goods && draw.per_mille(700),
    }
}

/// Puts an edition of a list in its place in a data folder: entries by id, in the order of their ids.
pub fn write_list(
    data: &Path,
    name: &str,
    (version, issued_ms): (u64, i64),
    entries: impl IntoIterator<Item = (String, Value)>,
) -> Result<(), String> {
    let line = |(id, facts)| format!("{}\n", json!({ "id": id, "facts": facts }));
    let lines: String = entries.into_iter().map(line).collect();
    passes::put_into_use(data, name, (version, issued_ms), &lines).map(drop)
}
