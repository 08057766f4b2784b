//! Passes of a scenario file: signed with keys that are made for it, always the same ones, so that a play has no chance in it.

use super::file::{PassOf, Sign};
use super::form::PassForm;
use super::words::HCERT_TEST;
use crate::evidence::{GatewayKey, Hash};
use crate::pass::cose::{self, Alg};
use crate::pass::kp1::{self, Draft};
use crate::pass::trust::{KeyEntry, TrustFile, TrustList, Usage};
use crate::pass::{base45, hex};
use crate::time::{WallMs, rfc3339};
use base64::{Engine, engine::general_purpose::STANDARD};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// What a pass may be signed for.
const USAGES: [Usage; 6] = [
    Usage::ResidentCard,
    Usage::VehiclePass,
    Usage::StaffBadge,
    Usage::CompanionCard,
    Usage::ReleaseSlip,
    Usage::HcertTest,
];

/// A pass, signed.
#[derive(Debug, Clone)]
pub(super) struct Made {
    /// The text of its code.
    pub text: String,
    /// The key id that it names, hexadecimal.
    pub kid: String,
    /// Its id.
    pub id: String,
}

/// A key of the file.
struct Key {
    kid: &'static [u8],
    pair: Ed25519KeyPair,
}

impl Key {
    fn new(kid: &'static [u8]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&Hash::of(kid).0);
        Self { kid, pair: pair.expect("a hash has the length of a seed") }
    }

    fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }

    fn entry(&self, usages: &[Usage], region: Option<&str>) -> KeyEntry {
        KeyEntry {
            kid: STANDARD.encode(self.kid),
            alg: Alg::EdDSA.into(),
            key: STANDARD.encode(self.pair.public_key()),
            usages: usages.iter().copied().map(Into::into).collect(),
            issuer: "scenario".into(),
            region: region.map(str::to_owned),
            nbf: None,
            exp: None,
        }
    }
}

fn key_for(sign: Sign) -> Key {
    Key::new(match sign {
        Sign::Good | Sign::Wrong => b"good",
        Sign::Unknown => b"unknown",
        Sign::OtherUsage => b"usage",
        Sign::OtherRegion => b"region",
    })
}

/// The keys that the lanes of a file trust, as a list.
pub(super) fn trust_file(issued_ms: WallMs, region: &str) -> TrustFile {
    let elsewhere = format!("not-{region}");
    let keys = vec![
        key_for(Sign::Good).entry(&USAGES, None),
        key_for(Sign::OtherUsage).entry(&[Usage::Feed], None),
        key_for(Sign::OtherRegion).entry(&USAGES, Some(&elsewhere)),
    ];
    TrustFile { name: "trust".into(), version: 1, issued: issued_ms.div_euclid(1_000), keys }
}

/// The same, ready for use.
pub(super) fn trust(issued_ms: WallMs, region: &str) -> TrustList {
    let file = trust_file(issued_ms, region);
    TrustList::from_file(&file, "trust").expect("a list of keys that were made for it is good")
}

/// The key with which the gateway of a play signs evidence.
pub(super) fn gateway_key() -> GatewayKey {
    // PKCS#8 of an Ed25519 key is this and the seed (RFC 8410).
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend(Hash::of(b"gateway").0);
    GatewayKey::from_pkcs8(&der).expect("a seed of the right length is a key")
}

/// The fields of a pass as the wire names them. What its kind must have and the file leaves out is empty where the wire
/// can say so.
pub(super) fn fields(name: &str, form: &PassForm) -> Result<Map<String, Json>, String> {
    let given = [
        ("subject", form.subject.as_ref().map(|v| json!(v))),
        ("plate", form.plate.as_ref().map(|v| json!(v))),
        ("category", form.category.as_ref().map(|v| json!(v))),
        ("from", form.from.as_ref().map(|v| json!(v))),
        ("to", form.to.as_ref().map(|v| json!(v))),
        ("crew", form.crew.map(|v| json!(v))),
        ("uses", form.uses.map(|v| json!(v))),
        ("approvals", form.approvals.as_ref().map(|v| json!(v))),
        ("seals", form.seals.as_ref().map(|v| json!(v))),
        ("patient", form.patient.as_ref().map(|v| json!(v))),
        ("ward", form.ward.as_ref().map(|v| json!(v))),
        ("role", form.role.as_ref().map(|v| json!(v))),
        ("result", form.result.as_ref().map(|v| json!(v))),
        ("sampled", form.sampled.as_ref().map(|_| Json::Null)),
    ];
    let takes: &[&str] = match form.kind.as_str() {
        "vehicle-pass" => &["plate", "category", "from", "to", "crew", "uses", "approvals"],
        "resident-card" => &["subject"],
        "staff-badge" => &["subject", "role"],
        "companion-card" => &["subject", "patient", "ward"],
        "release-slip" => &["subject", "plate", "seals"],
        _ => &["subject", "result", "sampled"],
    };
    let mut fields = Map::new();
    for (field, value) in given {
        // What is said to be empty is as if it were left out.
        let Some(value) = value.filter(|value| *value != json!("")) else { continue };
        // That a companion card is one of a companion goes without saying.
        if (field, form.kind.as_str()) == ("role", "companion-card") && value == json!("companion") {
            continue;
        }
        if !takes.contains(&field) {
            let (kind, takes) = (&form.kind, takes.join(", "));
            return Err(format!("a {kind} has no `{field}`; it has: {takes}"));
        }
        if form.kind != HCERT_TEST {
            fields.insert(if field == "subject" { "id" } else { field }.to_owned(), value);
        }
    }
    let mut absent = |field: &str, value: Json| {
        fields.entry(field.to_owned()).or_insert(value);
    };
    // The wire has no empty text: a dash stands for it, which is no region, role or patient.
    match form.kind.as_str() {
        "vehicle-pass" => {
            absent("from", json!("-"));
            absent("to", json!("-"));
            absent("uses", json!(0));
        }
        HCERT_TEST => {}
        _ => absent("id", json!(name)),
    }
    match form.kind.as_str() {
        "staff-badge" => absent("role", json!("-")),
        "companion-card" => absent("patient", json!("-")),
        _ => {}
    }
    Ok(fields)
}

/// Signs all passes of a file; an error names the pass.
pub(super) fn sign(passes: &BTreeMap<String, PassOf>) -> Result<BTreeMap<String, Made>, (usize, String)> {
    let one = |(name, pass): (&String, &PassOf)| {
        let made = if pass.kind == HCERT_TEST { Ok(certificate(pass)) } else { ours(pass) };
        made.map(|made| (name.clone(), made)).map_err(|e| (pass.line, format!("[passes.{name}]: {e}")))
    };
    passes.iter().map(one).collect()
}

/// Signs by the key of the pass, or by another one under its name.
fn by(pass: &PassOf, bytes: &[u8]) -> Vec<u8> {
    if pass.sign == Sign::Wrong { Key::new(b"forger").sign(bytes) } else { key_for(pass.sign).sign(bytes) }
}

fn ours(pass: &PassOf) -> Result<Made, String> {
    let kind = kp1::kind_of(&pass.kind).ok_or("no kind of pass")?;
    let cti = Hash::of(pass.id.as_bytes()).0[..12].to_vec();
    let kid = key_for(pass.sign).kid;
    let draft = Draft {
        kind,
        cti: cti.clone(),
        nbf: pass.nbf_ms.div_euclid(1_000),
        exp: pass.exp_ms.div_euclid(1_000),
        facts: pass.fields.clone(),
    };
    let text = kp1::issue_as_it_is(&draft, Alg::EdDSA, kid, |bytes| Ok(by(pass, bytes)))
        .map_err(|e| e.to_string())?;
    let id = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(cti);
    Ok(Made { text, kid: hex(kid), id })
}

/// A health certificate about a test.
fn certificate(pass: &PassOf) -> Made {
    let id = format!("URN:UVCI:01:XX:{}", pass.id.to_ascii_uppercase());
    let result = match pass.result.as_str() {
        "negative" => "260415000",
        "positive" => "260373001",
        // Neither detected nor not detected.
        _ => "0",
    };
    let sampled = rfc3339(pass.sampled_ms);
    let fields = [("tr", result), ("sc", &sampled), ("co", "XX"), ("ci", &id)];
    let payload = cose::write(|e| {
        e.map(4)?.u8(4)?.i64(pass.exp_ms.div_euclid(1_000))?.u8(5)?.i64(pass.nbf_ms.div_euclid(1_000))?;
        e.u8(6)?.i64(pass.nbf_ms.div_euclid(1_000))?;
        e.i64(-260)?.map(1)?.u8(1)?.map(1)?.str("t")?.array(1)?.map(fields.len() as u64)?;
        for (name, value) in fields {
            e.str(name)?.str(value)?;
        }
        Ok(())
    });
    let kid = key_for(pass.sign).kid;
    let signed =
        cose::sign(Alg::EdDSA, kid, &payload, |bytes| Ok::<_, std::convert::Infallible>(by(pass, bytes)));
    let message = match signed {
        Ok(message) => message,
        Err(never) => match never {},
    };
    Made { text: format!("HC1:{}", base45::encode(&message)), kid: hex(kid), id }
}
