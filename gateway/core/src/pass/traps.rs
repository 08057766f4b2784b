//! The traps that real verifiers fell into, one named test each. See also the tests of
//! [`super::base45`], [`super::cbor`], [`super::cose`], [`super::hcert`] and [`super::plate`].

use super::cose::{self, Alg, Sign1};
use super::trust::{KeyEntry, TrustFile, TrustList, Usage};
use super::*;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::json;

pub(super) const NOW: i64 = 1_700_000_000;

pub(super) struct Issuer {
    pub key: EcdsaKeyPair,
    pub kid: Vec<u8>,
}

pub(super) fn issuer(kid: &[u8]) -> Issuer {
    let rng = SystemRandom::new();
    let doc = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, doc.as_ref(), &rng).unwrap();
    Issuer { key, kid: kid.to_vec() }
}

impl Issuer {
    pub(super) fn entry(&self, usages: &[Usage]) -> KeyEntry {
        KeyEntry {
            kid: STANDARD.encode(&self.kid),
            alg: Alg::ES256.into(),
            key: STANDARD.encode(self.key.public_key()),
            usages: usages.iter().copied().map(Into::into).collect(),
            issuer: String::new(),
            region: None,
            nbf: None,
            exp: None,
        }
    }
    pub(super) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, String> {
        Ok(self.key.sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec())
    }
    pub(super) fn card(&self) -> String {
        kp1::issue(&draft(), Alg::ES256, &self.kid, |b| self.sign(b)).unwrap()
    }
    pub(super) fn raw(&self, payload: &[u8]) -> String {
        let message = cose::sign(Alg::ES256, &self.kid, payload, |b| self.sign(b)).unwrap();
        format!("KP1:{}", base45::encode(&message))
    }
}

pub(super) fn draft() -> kp1::Draft {
    kp1::Draft {
        kind: Usage::ResidentCard,
        cti: vec![7; 8],
        nbf: NOW - 10,
        exp: NOW + 10,
        facts: json!({ "id": "R-1", "name": "张小明" }).as_object().unwrap().clone(),
    }
}

pub(super) fn list(entries: Vec<KeyEntry>) -> TrustList {
    TrustList::from_file(&TrustFile { name: "trust".into(), version: 1, issued: NOW, keys: entries }, "trust")
        .unwrap()
}

pub(super) fn code(text: &str, trust: &TrustList) -> Result<Pass, Code> {
    check(text.as_bytes(), Check { trust, now_s: Some(NOW), region: "辽宁" }).map_err(|r| r.code)
}

#[test]
fn a_good_card_verifies_with_its_facts() {
    let i = issuer(b"k1");
    let pass = code(&i.card(), &list(vec![i.entry(&[Usage::ResidentCard])])).unwrap();
    assert_eq!((pass.kind.as_str(), pass.subject.as_str()), ("resident-card", "R-1"));
}

#[test]
fn every_key_with_the_same_kid_is_tried() {
    let (a, b) = (issuer(b"same"), issuer(b"same"));
    let both = list(vec![a.entry(&[Usage::ResidentCard]), b.entry(&[Usage::ResidentCard])]);
    assert!(code(&a.card(), &both).is_ok());
    assert!(code(&b.card(), &both).is_ok());
}

#[test]
fn a_kid_that_matches_proves_nothing() {
    let (good, forger) = (issuer(b"same"), issuer(b"same"));
    assert_eq!(code(&forger.card(), &list(vec![good.entry(&[Usage::ResidentCard])])), Err(Code::C_BADSIG));
}

#[test]
fn an_unknown_key_is_unknown_not_invalid() {
    let i = issuer(b"k1");
    assert_eq!(code(&i.card(), &list(vec![])), Err(Code::C_UNKNOWN));
}

#[test]
fn an_id_card_key_never_signs_a_vehicle_permit() {
    let i = issuer(b"k1");
    assert_eq!(code(&i.card(), &list(vec![i.entry(&[Usage::VehiclePass])])), Err(Code::C_WRONG_SITE));
}

#[test]
fn the_key_fixes_the_algorithm() {
    // A message that claims EdDSA for a P-256 key: the claim is not followed.
    let i = issuer(b"k1");
    let message = cose::sign(Alg::EdDSA, b"k1", b"x", |b| i.sign(b)).unwrap();
    let text = format!("KP1:{}", base45::encode(&message));
    assert_eq!(code(&text, &list(vec![i.entry(&[Usage::ResidentCard])])), Err(Code::C_BADSIG));
}

#[test]
fn ed25519_passes_are_accepted() {
    let doc = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(doc.as_ref()).unwrap();
    let text = kp1::issue(&draft(), Alg::EdDSA, b"e", |b| Ok(key.sign(b).as_ref().to_vec())).unwrap();
    let mut entry = issuer(b"e").entry(&[Usage::ResidentCard]);
    (entry.alg, entry.key) = (Alg::EdDSA.into(), STANDARD.encode(key.public_key()));
    assert!(code(&text, &list(vec![entry])).is_ok());
}

#[test]
fn a_malleable_signature_gives_the_same_pass_id() {
    // (r, n − s) verifies as well: the text differs, the pass is the same.
    const N: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
        0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let i = issuer(b"k1");
    let trust = list(vec![i.entry(&[Usage::ResidentCard])]);
    let text = i.card();
    let mut bytes = base45::decode(&text.as_bytes()[4..]).unwrap();
    let s = bytes.len() - 32;
    let mut borrow = 0_i16;
    for k in (0..32).rev() {
        let d = i16::from(N[k]) - i16::from(bytes[s + k]) - borrow;
        borrow = i16::from(d < 0);
        bytes[s + k] = u8::try_from(d.rem_euclid(256)).unwrap();
    }
    let other = format!("KP1:{}", base45::encode(&bytes));
    assert_ne!(text, other);
    assert_eq!(code(&text, &trust).unwrap().id, code(&other, &trust).unwrap().id);
}

#[test]
fn one_flipped_bit_never_verifies() {
    let i = issuer(b"k1");
    let trust = list(vec![i.entry(&[Usage::ResidentCard])]);
    let bytes = base45::decode(&i.card().as_bytes()[4..]).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(code(&format!("KP1:{}", base45::encode(&bad)), &trust).is_err(), "bit {bit}");
    }
}

#[test]
fn validity_is_inclusive_and_needs_a_clock() {
    let i = issuer(b"k1");
    let trust = list(vec![i.entry(&[Usage::ResidentCard])]);
    let at =
        |now_s| check(i.card().as_bytes(), Check { trust: &trust, now_s, region: "" }).map_err(|r| r.code);
    assert!(at(Some(NOW + 10)).is_ok());
    assert_eq!(at(Some(NOW + 11)), Err(Code::C_EXPIRED));
    assert!(at(Some(NOW - 70)).is_ok(), "a minute early for clocks that differ");
    assert_eq!(at(Some(NOW - 71)), Err(Code::C_EXPIRED));
    assert_eq!(at(None), Err(Code::X_CLOCK), "without a clock nothing is called valid or expired");
}

#[test]
fn a_key_out_of_its_time_or_region_does_not_count() {
    let i = issuer(b"k1");
    let mut old = i.entry(&[Usage::ResidentCard]);
    old.exp = Some(NOW - 1);
    assert_eq!(code(&i.card(), &list(vec![old])), Err(Code::C_EXPIRED));
    let mut far = i.entry(&[Usage::ResidentCard]);
    far.region = Some("吉林".into());
    assert_eq!(code(&i.card(), &list(vec![far])), Err(Code::C_WRONG_SITE));
}

#[test]
fn a_signed_payload_must_still_be_strict() {
    let i = issuer(b"k1");
    let trust = list(vec![i.entry(&[Usage::ResidentCard])]);
    let nan_exp = [0xa1, 4, 0xf9, 0x7e, 0];
    let twice = [0xa2, 4, 1, 4, 2];
    let trailing = [0xa0, 0];
    let nested = [[0x81_u8; 100].as_slice(), &[0]].concat();
    for payload in [nan_exp.as_slice(), &twice, &trailing, &nested, b""] {
        assert_eq!(code(&i.raw(payload), &trust), Err(Code::C_UNREADABLE), "{payload:02x?}");
    }
}

#[test]
fn an_unknown_field_of_a_newer_issuer_is_refused() {
    let i = issuer(b"k1");
    let payload = cose::write(|e| {
        e.map(4)?.u8(4)?.i64(NOW + 9)?.u8(5)?.i64(NOW - 9)?.u8(7)?.bytes(&[1; 8])?;
        e.i64(kp1::CLAIM_PASS)?.map(3)?.u8(0)?.u8(1)?.u8(1)?.str("R-1")?.u8(99)?.str("new")?;
        Ok(())
    });
    assert_eq!(code(&i.raw(&payload), &list(vec![i.entry(&[Usage::ResidentCard])])), Err(Code::C_UNREADABLE));
}

#[test]
fn a_vehicle_pass_fits_its_qr_code() {
    let i = issuer(b"kid-0001");
    let facts = json!({ "plate": "辽P12345", "driver": "AAECAwQFBgc", "category": "emergency-supplies",
        "from": "211400", "to": "210100", "uses": 1, "approvals": ["GX", "JT"], "crew": 2 });
    let permit =
        kp1::Draft { kind: Usage::VehiclePass, facts: facts.as_object().unwrap().clone(), ..draft() };
    let text = kp1::issue(&permit, Alg::ES256, &i.kid, |b| i.sign(b)).unwrap();
    assert!(text.len() <= 259, "V11-Q holds 259 alphanumeric characters, the pass has {}", text.len());
    let pass = code(&text, &list(vec![i.entry(&[Usage::VehiclePass])])).unwrap();
    assert_eq!(pass.subject, "辽P12345");
    // A printed card carries the id alone; the name comes from the status list.
    let facts = json!({ "id": "R-0001234" }).as_object().unwrap().clone();
    let small = kp1::Draft { facts, ..self::draft() };
    let card = kp1::issue(&small, Alg::ES256, b"kid1", |b| i.sign(b)).unwrap();
    assert!(card.len() <= 189, "V9-Q holds 189 alphanumeric characters, the card has {}", card.len());
}

#[test]
fn noise_is_unreadable_and_ids_are_looked_up() {
    let none = TrustList::default();
    let get = |text: &[u8]| check(text, Check { trust: &none, now_s: Some(NOW), region: "" });
    for text in [
        b"".as_slice(),
        b"\xff\xfe",
        b"a b",
        "x".repeat(65).as_bytes(),
        "KP1".repeat(2000).as_bytes(),
        b"KP1:",
        b"HC1:",
        b"HC1:abc",
        b"http://evil/key",
    ] {
        assert_eq!(get(text).unwrap_err().code, Code::C_UNREADABLE, "{text:?}");
    }
    assert_eq!(get("辽Ｐ·12345".as_bytes()).unwrap().subject, "辽P12345");
    assert_eq!(get(b"R-000123").unwrap().format, Format::Opaque);
}

#[test]
fn a_crash_cannot_read_as_verified() {
    // A dose number beyond any integer of the schema crashed one national checker.
    let message = [0xd2, 0x84, 0x43, 0xa1, 1, 0x26, 0xa0, 0x41, 0, 0x41, 0];
    assert!(Sign1::read(&message).is_ok());
    let huge = [
        0xa1, 0x39, 0x01, 0x03, 0xa1, 1, 0xa1, 0x61, b'v', 0x81, 0xa2, 0x62, b'd', b'n', 0x1b, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x62, b'c', b'i', 0x61, b'x',
    ];
    let h = hcert::claims(&huge).unwrap();
    assert_eq!(h.facts["dose"], json!(null), "out of range is absent, never wrapped");
}
