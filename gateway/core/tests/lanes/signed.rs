//! Signed passes in a lane: single use and revocation go by the key that signed, whatever a copy names.

use super::gate::*;
use base64::{Engine, engine::general_purpose::STANDARD};
use kakou_core::ids::VisitId;
use kakou_core::pass::base45;
use kakou_core::pass::cose::{Alg, Sign1};
use kakou_core::pass::kp1::{self, Draft};
use kakou_core::pass::trust::{KeyEntry, TrustFile, TrustList, Usage};
use kakou_core::records::{Redemption, Write};
use minicbor::Encoder;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;
use std::sync::Arc;

const PROFILE: &str = r#"
id = "signed"
title = { zh = "试", en = "Test" }
direction = "in"
fail_mode = "HOLD"
same_read_s = 0
same_result_s = 0
[[step]]
kind = "scan"
accepts = ["hcert-test", "vehicle-pass"]
[[step]]
kind = "verify"
lists = ["revocation"]
[[step]]
kind = "decide"
"#;
const NOW_S: i64 = WALL / 1000;

fn key() -> EcdsaKeyPair {
    let rng = SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &rng).unwrap()
}

fn sign(key: &EcdsaKeyPair, bytes: &[u8]) -> Vec<u8> {
    key.sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec()
}

/// A lane that trusts two keys under the ids `k1` and `k2`; one key under both, if they are the same.
fn lane(keys: [&EcdsaKeyPair; 2]) -> Gate {
    lane_with(PROFILE, keys)
}

fn lane_with(profile: &str, keys: [&EcdsaKeyPair; 2]) -> Gate {
    let mut gate = gate_of("signed", profile, &["scanner"]);
    trust(&mut gate, &[(b"k1", keys[0]), (b"k2", keys[1])]);
    gate
}

fn trust(gate: &mut Gate, keys: &[(&[u8], &EcdsaKeyPair)]) {
    let entry = |(kid, key): &(&[u8], &EcdsaKeyPair)| KeyEntry {
        kid: STANDARD.encode(kid),
        alg: Alg::ES256.into(),
        key: STANDARD.encode(key.public_key()),
        usages: vec![Usage::HcertTest.into(), Usage::VehiclePass.into()],
        issuer: String::new(),
        region: None,
        nbf: None,
        exp: None,
    };
    let keys = keys.iter().map(entry).collect();
    let file = TrustFile { name: "trust".into(), version: 1, issued: NOW_S, keys };
    gate.core.set_trust(&Arc::new(TrustList::from_file(&file, "trust").unwrap()));
}

/// A pass for one passage, under the key id that it names.
fn permit(key: &EcdsaKeyPair, kid: &[u8]) -> String {
    let facts = json!({ "plate": "辽P12345", "category": "transit", "from": "a", "to": "b", "uses": 1 });
    let draft = Draft {
        kind: Usage::VehiclePass,
        cti: vec![7; 8],
        nbf: NOW_S,
        exp: NOW_S + 3600,
        facts: facts.as_object().unwrap().clone(),
    };
    kp1::issue(&draft, Alg::ES256, kid, |b| Ok(sign(key, b))).unwrap()
}

/// A health certificate `URN:UVCI:01:XX:A` whose key id whoever carries it may exchange.
struct Certificate {
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl Certificate {
    const PROTECTED: [u8; 3] = [0xa1, 1, 0x26];

    fn of(key: &EcdsaKeyPair) -> Self {
        let mut e = Encoder::new(Vec::new());
        e.map(2).unwrap().u8(4).unwrap().i64(NOW_S + 3600).unwrap().i64(-260).unwrap();
        e.map(1).unwrap().u8(1).unwrap();
        e.map(1).unwrap().str("t").unwrap().array(1).unwrap().map(2).unwrap();
        e.str("tr").unwrap().str("260415000").unwrap().str("ci").unwrap().str("urn:uvci:01:xx:a ").unwrap();
        let payload = e.into_writer();
        let mut e = Encoder::new(Vec::new());
        e.array(4).unwrap().str("Signature1").unwrap().bytes(&Self::PROTECTED).unwrap().bytes(&[]).unwrap();
        e.bytes(&payload).unwrap();
        let signature = sign(key, &e.into_writer());
        Self { payload, signature }
    }

    fn under(&self, kid: &[u8]) -> String {
        let copy = message(&Self::PROTECTED, Some(kid), &self.payload, &self.signature);
        format!("HC1:{}", base45::encode(&copy))
    }
}

fn scan(g: &mut Gate, text: &str) -> (String, String) {
    g.wait(1000);
    let (outcome, codes) = verdict(&g.scan(text));
    (outcome, codes[0].clone())
}

fn said(outcome: &str, code: &str) -> (String, String) {
    (outcome.into(), code.into())
}

/// A message with one of its headers for whoever wants to change it.
fn message(protected: &[u8], kid: Option<&[u8]>, payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut e = Encoder::new(Vec::new());
    e.array(4).unwrap().bytes(protected).unwrap();
    match kid {
        Some(kid) => e.map(1).unwrap().u8(4).unwrap().bytes(kid).unwrap(),
        None => e.map(0).unwrap(),
    };
    e.bytes(payload).unwrap().bytes(signature).unwrap();
    e.into_writer()
}

#[test]
fn a_single_use_pass_is_admitted_once_whatever_key_id_its_copies_name() {
    let (ours, other) = (key(), key());
    let mut g = lane([&ours, &other]);
    let text = permit(&ours, b"k1");
    assert_eq!(scan(&mut g, &text).0, "ADMIT");
    let bytes = base45::decode(&text.as_bytes()[4..]).unwrap();
    let signed = Sign1::read(&bytes).unwrap();
    // alg and kid, as every pass of ours has them.
    let protected = [0xa2, 1, 0x26, 4, 0x42, b'k', b'1'];
    let copy = message(&protected, Some(b"k2"), signed.payload, signed.signature);
    let copy = format!("KP1:{}", base45::encode(&copy));
    assert_eq!(scan(&mut g, &copy), said("DENY", "D_USED"));
}

#[test]
fn a_single_use_pass_is_admitted_once_though_its_key_stands_in_the_list_under_two_ids() {
    let ours = key();
    for (first, second) in [(b"k1", b"k2"), (b"k2", b"k1")] {
        let mut g = lane([&ours, &ours]);
        assert_eq!(scan(&mut g, &permit(&ours, first)).0, "ADMIT");
        assert_eq!(scan(&mut g, &permit(&ours, second)), said("DENY", "D_USED"));
        // The next edition of the list names the key under another id alone.
        trust(&mut g, &[(b"k3", &ours)]);
        assert_eq!(scan(&mut g, &permit(&ours, b"k3")), said("DENY", "D_USED"));
    }
}

#[test]
fn a_use_that_was_recorded_under_any_key_id_of_the_signer_counts() {
    let ours = key();
    let mut g = lane([&ours, &ours]);
    let used = Redemption { lane: g.lane.clone(), visit: VisitId(1), at_ms: None };
    // As gateways of an earlier version record and tell it: key id and pass id.
    g.memory.redeemed.borrow_mut().insert("6b31:BwcHBwcHBwc".into(), used);
    assert_eq!(scan(&mut g, &permit(&ours, b"k2")), said("DENY", "D_USED"));
}

#[test]
fn a_copy_under_another_id_of_the_same_key_is_the_same_code() {
    let ours = key();
    let mut g = lane_with(&PROFILE.replace("same_read_s = 0", "same_read_s = 9"), [&ours, &ours]);
    let certificate = Certificate::of(&ours);
    assert_eq!(scan(&mut g, &certificate.under(b"k1")).0, "ADMIT");
    g.wait(1000);
    let step = g.scan(&certificate.under(b"k2"));
    assert!(step.events.is_empty(), "one code, read again: {:?}", step.events);
}

#[test]
fn a_revoked_certificate_is_refused_under_every_key_id_and_in_either_case() {
    let (ours, other) = (key(), key());
    let mut g = lane([&ours, &other]);
    let certificate = Certificate::of(&ours);
    assert_eq!(scan(&mut g, &certificate.under(b"k1")).0, "ADMIT");
    put(&mut g.memory, "revocation", "6B31:URN:UVCI:01:XX:A", json!({}));
    assert_eq!(scan(&mut g, &certificate.under(b"k1")), said("DENY", "C_REVOKED"));
    assert_eq!(scan(&mut g, &certificate.under(b"k2")), said("DENY", "C_BADSIG"));
    assert_eq!(scan(&mut g, &certificate.under(b"k3")), said("HOLD", "C_UNKNOWN"));
}

#[test]
fn a_revocation_under_one_id_of_a_key_stops_the_pass_under_each() {
    let ours = key();
    for named in ["6b31:URN:UVCI:01:XX:A", "6b32:URN:UVCI:01:XX:A"] {
        let mut g = lane([&ours, &ours]);
        let certificate = Certificate::of(&ours);
        assert_eq!(scan(&mut g, &certificate.under(b"k1")).0, "ADMIT");
        put(&mut g.memory, "revocation", named, json!({}));
        for kid in [b"k1", b"k2"] {
            assert_eq!(scan(&mut g, &certificate.under(kid)), said("DENY", "C_REVOKED"), "{named}");
        }
    }
}

/// Staff do something between the check of the pass and the verdict.
const SLOW: &str = r#"
id = "slow"
title = { zh = "慢", en = "Slow" }
direction = "out"
fail_mode = "HOLD"
[[step]]
kind = "scan"
accepts = ["vehicle-pass"]
[[step]]
kind = "verify"
lists = ["revocation"]
[[step]]
kind = "question"
id = "sealed"
input = "text"
timeout_s = 86400
[[step]]
kind = "decide"
"#;

#[test]
fn a_pass_that_ends_while_the_truck_is_sealed_is_not_admitted() {
    let ours = key();
    for (seconds, wanted) in [(3_600, said("ADMIT", "OK")), (3_601, said("DENY", "C_EXPIRED"))] {
        let mut g = lane_with(SLOW, [&ours, &ours]);
        assert!(g.scan(&permit(&ours, b"k1")).events.is_empty());
        g.wait(seconds * 1_000);
        let (outcome, codes) = verdict(&g.answer("sealed", "yes"));
        assert_eq!((outcome, codes[0].clone()), wanted);
    }
}

#[test]
fn a_pass_that_is_revoked_while_the_truck_is_sealed_is_not_admitted() {
    let ours = key();
    let mut g = lane_with(SLOW, [&ours, &ours]);
    g.scan(&permit(&ours, b"k1"));
    put(&mut g.memory, "revocation", "6b31:BwcHBwcHBwc", json!({}));
    assert_eq!(verdict(&g.answer("sealed", "yes")).1[0], "C_REVOKED");
}

#[test]
fn the_use_of_a_signed_pass_is_kept_until_its_end() {
    let ours = key();
    let mut g = lane([&ours, &ours]);
    let step = g.scan(&permit(&ours, b"k1"));
    let used = |w: &Write| matches!(w, Write::Redeem { ends_ms: Some(ms), shared: None, .. } if *ms == WALL + 3_600_000);
    assert!(step.writes.iter().any(used), "{:?}", step.writes);
}

#[test]
fn a_revoked_pass_is_denied_where_the_lane_looks_into_revocation_and_its_rules_are_asked_all_the_same() {
    let ours = key();
    let rule = r#"rules = [{ code = "V_CATEGORY", when = 'pass.category == "transit"' }]"#;
    for (lists, wanted, codes) in [
        ("lists = [\"revocation\"]", "DENY", &["C_REVOKED", "V_CATEGORY"][..]),
        ("", "HOLD", &["V_CATEGORY"]),
    ] {
        let profile = PROFILE.replace("lists = [\"revocation\"]", lists) + rule;
        let mut g = lane_with(&profile, [&ours, &ours]);
        put(&mut g.memory, "revocation", "6b31:BwcHBwcHBwc", json!({}));
        let (outcome, found) = verdict(&g.scan(&permit(&ours, b"k1")));
        assert_eq!((outcome.as_str(), found), (wanted, codes.iter().map(|c| (*c).to_owned()).collect()));
    }
}

#[test]
fn without_a_clock_a_pass_is_in_doubt_and_nothing_else() {
    let ours = key();
    let mut g = lane_with(&PROFILE.replace("lists = [\"revocation\"]", ""), [&ours, &ours]);
    put(&mut g.memory, "revocation", "6b31:BwcHBwcHBwc", json!({}));
    g.now.wall_ms = None;
    assert_eq!(verdict(&g.scan(&permit(&ours, b"k1"))), ("HOLD".into(), vec!["X_CLOCK".into()]));
}

#[test]
fn a_lane_that_takes_signed_passes_misses_a_trust_list_and_one_that_takes_ids_does_not() {
    let lists = |g: &Gate| {
        let lamps = g.desk()["lamps"].as_array().unwrap().clone();
        let lamp = lamps.into_iter().find(|l| l["id"] == "lists").unwrap();
        (lamp["state"].clone(), lamp["missing"].clone())
    };
    let fresh = |profile: &str| gate_of("signed", profile, &["scanner"]);
    assert_eq!(lists(&fresh(PROFILE)), (json!("warn"), json!(["trust"])));
    let ours = key();
    assert_eq!(lists(&lane([&ours, &ours])), (json!("ok"), json!([])));
    let ids = PROFILE.replace("accepts = [\"hcert-test\", \"vehicle-pass\"]", "accepts = [\"opaque\"]");
    let mut g = fresh(&ids);
    assert_eq!(lists(&g), (json!("ok"), json!([])));
    g.memory.issued.insert("revocation".into(), WALL - 25 * HOUR);
    assert_eq!(lists(&g), (json!("warn"), json!([])), "too old, and there");
}

#[test]
fn a_lane_without_lists_goes_on_when_revocation_is_damaged() {
    let ours = key();
    for (lists, wanted) in [("", "ADMIT"), ("lists = [\"revocation\"]", "HOLD")] {
        let mut g = lane_with(&PROFILE.replace("lists = [\"revocation\"]", lists), [&ours, &ours]);
        g.memory.faulty.insert("revocation");
        assert_eq!(scan(&mut g, &permit(&ours, b"k1")).0, wanted, "{lists}");
    }
}

#[test]
fn the_id_of_a_pass_and_whom_it_is_about_are_known_before_anything_is_checked() {
    let key = key();
    let asked = |when: &str| {
        let ask =
            format!("[[step]]\nkind = \"question\"\nid = \"from\"\ninput = \"text\"\nwhen = '{when}'\n");
        let verify = "[[step]]\nkind = \"verify\"";
        let mut g = lane_with(&PROFILE.replacen(verify, &format!("{ask}{verify}"), 1), [&key, &key]);
        g.scan(&permit(&key, b"k1"));
        g.desk()["ask"]["kind"] == "question"
    };
    assert!(asked(r#"pass.id == "BwcHBwcHBwc" && pass.subject == "辽P12345""#));
    assert!(asked(r#"pass.kind == "vehicle-pass" && pass.format == "KP1""#));
    assert!(!asked(r#"pass.subject == pass.id"#));
}
