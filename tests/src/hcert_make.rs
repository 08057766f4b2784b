//! A health certificate of our own making, of the size of a real one, for the bench.

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::ZlibEncoder};
use kakou_core::pass::base45;
use kakou_core::pass::cose::{self, Alg};
use kakou_core::pass::trust::{KeyEntry, Usage};
use minicbor::Encoder;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use std::io::Write;

fn key() -> EcdsaKeyPair {
    let rng = SystemRandom::new();
    let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).expect("a key");
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &rng).expect("a fresh key")
}

type Written = Result<Vec<u8>, minicbor::encode::Error<std::convert::Infallible>>;

fn payload(now_s: i64) -> Written {
    let mut e = Encoder::new(Vec::new());
    e.map(4)?.u8(1)?.str("AT")?.u8(4)?.i64(now_s + 86_400)?.u8(6)?.i64(now_s - 3600)?;
    e.i64(-260)?.map(1)?.u8(1)?.map(4)?;
    e.str("ver")?.str("1.3.0")?.str("dob")?.str("1998-02-26")?;
    e.str("nam")?.map(4)?;
    for (k, v) in [
        ("fn", "Musterfrau-Gößinger"),
        ("fnt", "MUSTERFRAU<GOESSINGER"),
        ("gn", "Gabriele"),
        ("gnt", "GABRIELE"),
    ] {
        e.str(k)?.str(v)?;
    }
    let test = [
        ("tg", "840539006"),
        ("tt", "LP6464-4"),
        ("nm", "Roche LightCycler qPCR"),
        ("sc", "2021-02-20T12:34:56Z"),
        ("tr", "260415000"),
        ("tc", "Testing center Vienna 1"),
        ("co", "AT"),
        ("is", "Ministry of Health, Austria"),
        ("ci", "URN:UVCI:01:AT:71EE2559DE38C6BF7304FB65A1A451EC#3"),
    ];
    e.str("t")?.array(1)?.map(test.len() as u64)?;
    for (k, v) in test {
        e.str(k)?.str(v)?;
    }
    Ok(e.into_writer())
}

/// A test certificate and the key that it is signed with.
pub fn test_certificate(now_s: i64) -> (String, KeyEntry) {
    let key = key();
    let kid = [9, 8, 7, 6, 5, 4, 3, 2];
    let payload = payload(now_s).expect("writing to memory does not fail");
    let message = cose::sign(Alg::ES256, &kid, &payload, |bytes| {
        key.sign(&SystemRandom::new(), bytes).map(|s| s.as_ref().to_vec())
    })
    .expect("a fresh key signs");
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::best());
    zlib.write_all(&message).expect("memory");
    let entry = KeyEntry {
        kid: STANDARD.encode(kid),
        alg: Alg::ES256.into(),
        key: STANDARD.encode(key.public_key()),
        usages: vec![Usage::HcertTest.into()],
        issuer: "bench".into(),
        region: None,
        nbf: None,
        exp: None,
    };
    (format!("HC1:{}", base45::encode(&zlib.finish().expect("memory"))), entry)
}

/// A bare ES256 signature over as many bytes as a certificate has: public key, message, signature.
pub fn bare_signature() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let key = key();
    let message = vec![0x5a; 350];
    let signature = key.sign(&SystemRandom::new(), &message).expect("a fresh key signs").as_ref().to_vec();
    (key.public_key().as_ref().to_vec(), message, signature)
}
