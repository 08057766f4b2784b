//! Signed passes in a lane: single use and revocation go by the key that signed, whatever a copy names.

use super::gate::*;
use base64::{Engine, engine::general_purpose::STANDARD};
use kakou_core::pass::base45;
use kakou_core::pass::cose::{Alg, Sign1};
use kakou_core::pass::kp1::{self, Draft};
use kakou_core::pass::trust::{KeyEntry, TrustFile, TrustList, Usage};
use minicbor::Encoder;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;
use std::sync::Arc;

const PROFILE: &str = r#"
id = "signed"
title = { zh = "试", en = "Test" }
direction = "in"
on_doubt = "HOLD"
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

/// A lane that trusts two keys under the ids `k1` and `k2`.
fn lane(keys: [&EcdsaKeyPair; 2]) -> Gate {
    let entry = |kid: &[u8], key: &EcdsaKeyPair| KeyEntry {
        kid: STANDARD.encode(kid),
        alg: Alg::ES256,
        key: STANDARD.encode(key.public_key()),
        usages: vec![Usage::HcertTest.into(), Usage::VehiclePass.into()],
        issuer: String::new(),
        region: None,
        nbf: None,
        exp: None,
    };
    let keys = vec![entry(b"k1", keys[0]), entry(b"k2", keys[1])];
    let file = TrustFile { name: "trust".into(), version: 1, issued: NOW_S, keys };
    let mut gate = gate_of("signed", PROFILE, &["scanner"]);
    gate.core.set_trust(&Arc::new(TrustList::from_file(&file, "trust").unwrap()));
    gate
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
    let facts = json!({ "plate": "辽P12345", "category": "transit", "from": "a", "to": "b", "uses": 1 });
    let draft = Draft {
        kind: Usage::VehiclePass,
        cti: vec![7; 8],
        nbf: NOW_S,
        exp: NOW_S + 3600,
        facts: facts.as_object().unwrap().clone(),
    };
    let text = kp1::issue(&draft, Alg::ES256, b"k1", |b| Ok(sign(&ours, b))).unwrap();
    assert_eq!(verdict(&g.scan(&text)).0, "ADMIT");
    g.wait(1000);
    let bytes = base45::decode(&text.as_bytes()[4..]).unwrap();
    let signed = Sign1::read(&bytes).unwrap();
    // alg and kid, as every pass of ours has them.
    let protected = [0xa2, 1, 0x26, 4, 0x42, b'k', b'1'];
    let copy = message(&protected, Some(b"k2"), signed.payload, signed.signature);
    let (outcome, codes) = verdict(&g.scan(&format!("KP1:{}", base45::encode(&copy))));
    assert_eq!((outcome.as_str(), codes[0].as_str()), ("DENY", "D_USED"));
}

#[test]
fn a_revoked_certificate_is_refused_under_every_key_id_and_in_either_case() {
    let (ours, other) = (key(), key());
    let mut g = lane([&ours, &other]);
    let mut e = Encoder::new(Vec::new());
    e.map(2)
        .unwrap()
        .u8(4)
        .unwrap()
        .i64(NOW_S + 3600)
        .unwrap()
        .i64(-260)
        .unwrap()
        .map(1)
        .unwrap()
        .u8(1)
        .unwrap();
    e.map(1).unwrap().str("t").unwrap().array(1).unwrap().map(2).unwrap();
    e.str("tr").unwrap().str("260415000").unwrap().str("ci").unwrap().str("urn:uvci:01:xx:a ").unwrap();
    let (protected, payload) = ([0xa1, 1, 0x26], e.into_writer());
    let mut e = Encoder::new(Vec::new());
    e.array(4).unwrap().str("Signature1").unwrap().bytes(&protected).unwrap().bytes(&[]).unwrap();
    e.bytes(&payload).unwrap();
    let signature = sign(&ours, &e.into_writer());
    let scan = |g: &mut Gate, kid: &[u8]| {
        g.wait(1000);
        let copy = message(&protected, Some(kid), &payload, &signature);
        let (outcome, codes) = verdict(&g.scan(&format!("HC1:{}", base45::encode(&copy))));
        (outcome, codes[0].clone())
    };
    assert_eq!(scan(&mut g, b"k1").0, "ADMIT");
    put(&mut g.memory, "revocation", "6B31:URN:UVCI:01:XX:A", json!({}));
    assert_eq!(scan(&mut g, b"k1"), ("DENY".into(), "C_REVOKED".into()));
    assert_eq!(scan(&mut g, b"k2"), ("DENY".into(), "C_BADSIG".into()));
    assert_eq!(scan(&mut g, b"k3"), ("HOLD".into(), "C_UNKNOWN".into()));
}
