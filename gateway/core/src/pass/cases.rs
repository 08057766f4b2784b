//! Passes as other people's software makes them, and what is typed and scanned for an id.

use super::cose::{self, Alg};
use super::traps::{Issuer, NOW, code, draft, issuer, list};
use super::trust::{KeyEntry, TrustList, Usage};
use super::*;
use base64::engine::general_purpose::STANDARD;
use minicbor::Encoder;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;

type Out = Encoder<Vec<u8>>;
type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

/// A certificate whose token is written by `claims` (all but claim -260) and `body`.
fn certificate(
    i: &Issuer,
    claims: impl Fn(&mut Out) -> Written,
    body: impl Fn(&mut Out) -> Written,
) -> String {
    let payload = cose::write(|e| {
        e.begin_map()?;
        claims(e)?;
        e.i64(-260)?.map(1)?.u8(1)?;
        body(e)?;
        e.end()?;
        Ok(())
    });
    i.raw(&payload).replacen("KP1:", "HC1:", 1)
}

fn in_time(e: &mut Out) -> Written {
    e.u8(4)?.i64(NOW + 10)?.u8(6)?.i64(NOW - 10)?;
    Ok(())
}

/// The texts of one entry.
type Entry<'a> = &'a [(&'a str, &'a str)];
/// Entries by their kind.
type Kinds<'a> = &'a [(&'a str, &'a [Entry<'a>])];

fn texts(e: &mut Out, pairs: Entry<'_>) -> Written {
    e.map(pairs.len() as u64)?;
    for (key, value) in pairs {
        e.str(key)?.str(value)?;
    }
    Ok(())
}

fn entries(e: &mut Out, of: Kinds<'_>) -> Written {
    e.map(of.len() as u64)?;
    for (kind, all) in of {
        e.str(kind)?.array(all.len() as u64)?;
        for one in *all {
            texts(e, one)?;
        }
    }
    Ok(())
}

const HEALTH: [Usage; 3] = [Usage::HcertTest, Usage::HcertVaccination, Usage::HcertRecovery];
const NEGATIVE: &[(&str, &str)] = &[("tr", "260415000"), ("ci", "URN:UVCI:01:XX:N")];
const POSITIVE: &[(&str, &str)] = &[("tr", "260373001"), ("ci", "URN:UVCI:01:XX:P")];
const JAB: &[(&str, &str)] = &[("dt", "2023-11-01"), ("ci", "URN:UVCI:01:XX:V")];

fn get(text: &str, trust: &TrustList) -> Result<Pass, Refused> {
    check(text.as_bytes(), Check { trust, now_s: Some(NOW), region: "" })
}

#[test]
fn blanks_around_a_text_of_a_certificate_do_not_count() {
    let i = issuer(b"k");
    let trust = list(vec![i.entry(&HEALTH)]);
    let text = certificate(&i, in_time, |e| {
        entries(
            e,
            &[(
                "t",
                &[&[
                    ("tr", "260373001 "),
                    ("ci", " URN:UVCI:01:XX:P\u{a0}"),
                    ("co", "XX\n"),
                    ("sc", "2023-11-14T12:13:20Z "),
                ]],
            )],
        )
    });
    let pass = get(&text, &trust).unwrap();
    assert_eq!(pass.facts["test_result"], json!("positive"));
    assert_eq!((pass.id.as_str(), pass.facts["country"].as_str()), ("URN:UVCI:01:XX:P", Some("XX")));
    assert_eq!(pass.facts["sampled_at_ms"], json!((NOW - 36_000) * 1000));
}

#[test]
fn a_certificate_with_more_than_one_entry_is_refused_with_its_reason() {
    let i = issuer(b"k");
    let trust = list(vec![i.entry(&HEALTH)]);
    let of = |of: Kinds<'_>| get(&certificate(&i, in_time, |e| entries(e, of)), &trust);
    for several in [
        of(&[("t", &[NEGATIVE, POSITIVE])]),
        of(&[("v", &[JAB, JAB])]),
        of(&[("v", &[JAB]), ("r", &[JAB])]),
        of(&[("t", &[NEGATIVE]), ("v", &[JAB])]),
    ] {
        let refused = several.unwrap_err();
        assert_eq!(refused.code, Code::C_UNREADABLE);
        assert!(refused.why.contains("more than one"), "{}", refused.why);
    }
    assert!(of(&[("t", &[NEGATIVE]), ("v", &[]), ("r", &[])]).is_ok(), "an empty list is no entry");
}

#[test]
fn a_certificate_is_of_one_kind_and_its_test_says_yes_no_or_nothing() {
    let i = issuer(b"k");
    let trust = list(vec![i.entry(&HEALTH)]);
    let of = |kind: &str, entry: Entry<'_>| {
        get(&certificate(&i, in_time, |e| entries(e, &[(kind, &[entry])])), &trust).unwrap()
    };
    let result = |code: &str| of("t", &[("tr", code), ("ci", "X")]).facts["test_result"].clone();
    assert_eq!([result("260415000"), result("260373001"), result("")], ["negative", "positive", "unknown"]);
    for (kind, word) in [("t", "test"), ("v", "vaccination"), ("r", "recovery")] {
        let pass = of(kind, JAB);
        assert_eq!((pass.kind, &pass.facts["certificate"]), (format!("hcert-{word}"), &json!(word)));
    }
}

#[test]
fn text_under_a_date_tag_is_text() {
    let i = issuer(b"k");
    let trust = list(vec![i.entry(&HEALTH)]);
    let with = |key: &str, value: &str, kind: &str, tag: u64| {
        let text = certificate(&i, in_time, |e| {
            e.map(1)?.str(kind)?.array(1)?.map(3)?.str("ci")?.str("X")?.str("tr")?.str("260415000")?;
            e.str(key)?.tag(minicbor::data::Tag::new(tag))?.str(value)?;
            Ok(())
        });
        get(&text, &trust).unwrap().facts
    };
    assert_eq!(with("sc", "2023-11-14T12:13:20Z", "t", 0)["sampled_at_ms"], json!((NOW - 36_000) * 1000));
    assert_eq!(with("dt", "2023-11-14", "v", 1004)["vaccinated_at_ms"], json!(1_699_920_000_000_i64));
}

#[test]
fn floating_point_numbers_count_where_their_value_fits() {
    let i = issuer(b"k");
    let trust = list(vec![i.entry(&HEALTH)]);
    let dose = |dn: f64, sd: f64| {
        let text = certificate(&i, in_time, |e| {
            e.map(1)?.str("v")?.array(1)?.map(3)?.str("ci")?.str("X")?;
            e.str("dn")?.f64(dn)?.str("sd")?.f64(sd)?;
            Ok(())
        });
        get(&text, &trust).map(|p| (p.facts["dose"].clone(), p.facts["doses"].clone())).map_err(|r| r.code)
    };
    assert_eq!(dose(2.0, 2.0), Ok((json!(2), json!(2))));
    assert_eq!(dose(1.5, 1e30), Ok((json!(null), json!(null))), "what is no number of doses is absent");
    assert_eq!(dose(f64::NAN, 2.0), Err(Code::C_UNREADABLE));
    assert_eq!(dose(1.0, f64::INFINITY), Err(Code::C_UNREADABLE));
    let dates = |exp: f64, iat: f64| {
        let text = certificate(
            &i,
            |e| {
                e.u8(4)?.f64(exp)?.u8(6)?.f64(iat)?;
                Ok(())
            },
            |e| entries(e, &[("t", &[NEGATIVE])]),
        );
        get(&text, &trust).map(|p| p.exp).map_err(|r| r.code)
    };
    let now = NOW as f64;
    assert_eq!(dates(now + 9.9, now - 0.1), Ok(Some(NOW + 9)), "rounded down");
    assert_eq!(dates(now - 0.5, now - 10.0), Err(Code::C_EXPIRED));
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300] {
        assert_eq!(dates(bad, now), Err(Code::C_UNREADABLE), "{bad}");
        assert_eq!(dates(now, bad), Err(Code::C_UNREADABLE), "{bad}");
    }
}

#[test]
fn the_transliterated_name_stands_in_for_one_that_is_missing() {
    let i = issuer(b"k");
    let trust = list(vec![i.entry(&HEALTH)]);
    let name = |nam: &[(&str, &str)]| {
        let text = certificate(&i, in_time, |e| {
            e.map(2)?.str("nam")?;
            texts(e, nam)?;
            e.str("t")?.array(1)?;
            texts(e, NEGATIVE)
        });
        get(&text, &trust).unwrap().name
    };
    assert_eq!(name(&[("fnt", "MUSTER<FRAU")]).as_deref(), Some("MUSTER FRAU"));
    assert_eq!(name(&[("fn", " "), ("fnt", "LI"), ("gn", "Wei ")]).as_deref(), Some("Wei LI"));
    assert_eq!(name(&[("gnt", "WEI"), ("fn", "李")]).as_deref(), Some("WEI 李"));
    assert_eq!(name(&[("fn", "")]), None, "no name is no name, not an empty one");
}

/// A certificate of an RSA key of 2048 bits, and an HCERT that it signed. Made for this test.
pub(super) const RSA_CERTIFICATE: &str = concat!(
    "MIIC/jCCAeagAwIBAgITEOqiWcp5mjVGjhVinONnW0vj9jANBgkqhkiG9w0BAQsFADAOMQwwCgYDVQQDDANEU0MwIBcNMjYxMT",
    "MwMDIwMjIxWhgPMjEyNjExMDYwMjAyMjFaMA4xDDAKBgNVBAMMA0RTQzCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEB",
    "AKO0FpNLoUXdMCV+RqA/3e2b2QphT5eEhwTWStU+cRCStj8Yr/Y0WoE9MauRLWjokW/TyQ9lyDO0SBh9NO2HtA/qN6rz7EnQMD",
    "bFCNk6Up5fIg/59Igodd0g3XyVtO+gWODpJSE/JGA7lrK5/tx2YP81Oi1YeZgPb7RYLtwRwLqiThN4NJq6CrVcRGOolEN9HuO8",
    "k7kZn3+KnnJ41l5VXZ10nQqjx+H/cG6IzMfRhcZLVGNYfLWZb0/CUe6uy+JbPI1bPnTaxTDMZwSHomL7sIdeozOekqWNzkax5Q",
    "F7/HaeNKEoSa2uDvKjE75JtAt+IXVWeJR73pik8vjxvi3vVC8CAwEAAaNTMFEwHQYDVR0OBBYEFOyt6rvcfSTMNOFSNWjqA1IV",
    "NbXTMB8GA1UdIwQYMBaAFOyt6rvcfSTMNOFSNWjqA1IVNbXTMA8GA1UdEwEB/wQFMAMBAf8wDQYJKoZIhvcNAQELBQADggEBAE",
    "dryPCwnaiPN6xYqZxW2JPeuJW51aVRUmie0hZKICXrv9cd3fLq6XXKWfJ4OxyCbMPLWto8yNKOjnrjlTCI2IGGfLi4npYLrwU5",
    "08MahGHM9pKizHCW/eAIfOpwuB0fU3hqYETEwJrFDsP9ZotcMB4b0U3tUI++kB3lrRJzU/zKGePtQE1EMnVck/g3y0hyPDWSZp",
    "oYjGevVbUTlj71MSiyhYEczeOpzMDrGyUhbGNerpYXWT3tlHLy+ELiWMEpICRsMFpuuiNn9jbiqWq4t+2L5MvoUUXdyR/DN2Xg",
    "6Un7mZm5gk0s7MSgAwmeAyH+dNbCSetk3c9+YNCLKNM8PYQ=",
);
const RSA_CODE: &str = concat!(
    "HC1:PWGSLKH47BO04LEHFCX6BHRK7F3ORA1C17F3NRAX5VY50.FK3IKZWEZNKKWEKDDC%6-Q6QW6646WJCVEDHZA1+9LZAZM8-",
    "G7FBBO30YPUH30952L:0-R1J$FJX7DQ0%UUZ:I0X8-*V+GMRMT ZAGS086KY3IP+Q8A3-WU$57P7FV68NKKV5MQM6OGDO%7S8H",
    "B4S5F3Z$E/Z3NRUKXME00UT3JO7K*6PDA378TKAGOJEQ2HS0TF9296LUUK B*2ERH0- 33JAGS1+FGJON5P1%U98*N0+1H L3A",
    "4ES5L7UK60A.3/KG*YDF+C CD5F70FA/%GE7ET/LUZ2EBMC%KW7TZ/G0LCP$7JGBDJMIM0 643I2QXDJAECPLN%ACJ83FFTF7P",
    ":TXA3/R9GHUF*D3031 AFA1FVHPWU0H3I3DX$5Z4FOXEVDT-6L.JF3M8YXO+KQF44L59W/BUBNVRQ*WUF.C$NV3RM+WC2F0Q4",
);

/// The DER of a public key on P-256 (RFC 5480) around its point.
fn p256_spki(point: &[u8]) -> Vec<u8> {
    [
        &[0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1][..],
        &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7, 3, 0x42, 0][..],
        point,
    ]
    .concat()
}

fn with_key(entry: KeyEntry, der: &[u8]) -> KeyEntry {
    KeyEntry { key: STANDARD.encode(der), ..entry }
}

#[test]
fn a_key_is_taken_in_each_of_its_usual_forms() {
    let i = issuer(b"k1");
    let spki = with_key(i.entry(&[Usage::ResidentCard]), &p256_spki(i.key.public_key().as_ref()));
    assert!(code(&i.card(), &list(vec![spki])).is_ok());
    let doc = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let ed = Ed25519KeyPair::from_pkcs8(doc.as_ref()).unwrap();
    let text = kp1::issue(&draft(), Alg::EdDSA, b"k1", |b| Ok(ed.sign(b).as_ref().to_vec())).unwrap();
    let der =
        [&[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0][..], ed.public_key().as_ref()].concat();
    let entry = with_key(KeyEntry { alg: Alg::EdDSA.into(), ..i.entry(&[Usage::ResidentCard]) }, &der);
    assert!(code(&text, &list(vec![entry])).is_ok());
    // RSA: the whole certificate, the public key in it, and the bare modulus and exponent in that.
    let whole = STANDARD.decode(RSA_CERTIFICATE).unwrap();
    let at = whole.windows(4).position(|w| w == [0x30, 0x82, 0x01, 0x22]).unwrap();
    let spki = &whole[at..at + 4 + 0x122];
    for der in [&whole[..], spki, &spki[24..]] {
        let entry = KeyEntry { alg: Alg::PS256.into(), ..issuer(b"rsa").entry(&[Usage::HcertTest]) };
        assert!(code(RSA_CODE, &list(vec![with_key(entry, der)])).is_ok(), "{} bytes", der.len());
    }
}

#[test]
fn a_list_with_a_key_that_could_never_verify_is_refused_with_line_and_reason() {
    let i = issuer(b"k1");
    let good = i.entry(&[Usage::ResidentCard]);
    let point = i.key.public_key().as_ref().to_vec();
    let mut off_the_curve = point.clone();
    off_the_curve[40] ^= 1;
    let p384 = [
        &[
            0x30, 0x76, 0x30, 0x10, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 0x22,
            3, 0x62, 0, 4,
        ][..],
        &[7; 96],
    ]
    .concat();
    // 1024 bits.
    let short = [&[0x30, 0x81, 0x89, 2, 0x81, 0x81, 0][..], &[0xc1; 128], &[2, 3, 1, 0, 1]].concat();
    let ps256 = KeyEntry { alg: Alg::PS256.into(), ..good.clone() };
    for (entry, why) in [
        (with_key(good.clone(), &STANDARD.decode(RSA_CERTIFICATE).unwrap()), "RSA"),
        (with_key(good.clone(), &p384), "P-256"),
        (with_key(good.clone(), &off_the_curve), "P-256"),
        (with_key(good.clone(), &point[..64]), "ES256"),
        (with_key(ps256.clone(), &short), "2048"),
        (with_key(ps256.clone(), &p256_spki(&point)), "PS256"),
        (with_key(ps256.clone(), &vec![0x30; 300]), "PS256"),
        (KeyEntry { key: "?".into(), ..good.clone() }, "base64"),
    ] {
        let file = json!({ "name": "trust", "version": 1, "issued": 0, "keys": [issuer(b"k2").entry(&HEALTH), entry] });
        let text = serde_json::to_string_pretty(&file).unwrap();
        let line = text.lines().enumerate().filter(|(_, l)| l.trim() == "{").nth(2).unwrap().0 + 1;
        let refused = TrustList::from_json(text.as_bytes()).unwrap_err().to_string();
        assert!(
            refused.contains(why) && refused.contains(&format!("line {line}")),
            "{line} {why}: {refused}"
        );
    }
}

#[test]
fn an_unknown_usage_costs_a_key_that_usage_alone() {
    let i = issuer(b"k1");
    let mut file =
        json!({ "name": "trust", "version": 1, "issued": 0, "keys": [i.entry(&[Usage::ResidentCard])] });
    file["keys"][0]["usages"] = json!(["moon-pass", "resident-card"]);
    let trust = TrustList::from_json(file.to_string().as_bytes()).unwrap();
    assert!(code(&i.card(), &trust).is_ok());
    file["keys"][0]["usages"] = json!(["moon-pass"]);
    let trust = TrustList::from_json(file.to_string().as_bytes()).unwrap();
    assert_eq!(code(&i.card(), &trust), Err(Code::C_WRONG_SITE), "known, but not for this");
    let read: trust::TrustFile = serde_json::from_value(file.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), file, "who edits a list keeps words of newer programs");
}

#[test]
fn an_unknown_algorithm_costs_its_key_alone() {
    let (i, newer) = (issuer(b"k1"), issuer(b"k2"));
    let keys = json!([newer.entry(&[Usage::ResidentCard]), i.entry(&[Usage::ResidentCard])]);
    let mut file = json!({ "name": "trust", "version": 1, "issued": 0, "keys": keys });
    file["keys"][0]["alg"] = json!("ES384");
    file["keys"][0]["key"] = json!("of a form that nobody knows yet");
    let trust = TrustList::from_json(file.to_string().as_bytes()).unwrap();
    assert_eq!((trust.len(), trust.left_out()), (1, 1));
    assert!(code(&i.card(), &trust).is_ok());
    assert_eq!(code(&newer.card(), &trust), Err(Code::C_UNKNOWN), "not known here, and not called invalid");
    let read: trust::TrustFile = serde_json::from_value(file.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), file, "who edits a list keeps keys of newer programs");
}

/// A message whose key id stands in the unprotected header.
fn unprotected(i: &Issuer, kid: &[u8], payload: &[u8]) -> Vec<u8> {
    let protected = [0xa1, 1, 0x26];
    let signed = cose::write(|e| {
        e.array(4)?.str("Signature1")?.bytes(&protected)?.bytes(&[])?.bytes(payload)?;
        Ok(())
    });
    let signature = i.sign(&signed).unwrap();
    cose::write(|e| {
        e.array(4)?.bytes(&protected)?.map(1)?.u8(4)?.bytes(kid)?.bytes(payload)?.bytes(&signature)?;
        Ok(())
    })
}

#[test]
fn a_kp1_pass_names_its_key_under_the_signature_or_not_at_all() {
    let i = issuer(b"k1");
    let trust = list(vec![i.entry(&[Usage::ResidentCard])]);
    let card = base45::decode(&i.card().as_bytes()[4..]).unwrap();
    let payload = cose::Sign1::read(&card).unwrap().payload;
    let text = format!("KP1:{}", base45::encode(&unprotected(&i, b"k1", payload)));
    let refused = get(&text, &trust).unwrap_err();
    assert_eq!(refused.code, Code::C_UNREADABLE);
    assert!(refused.why.contains("protected"), "{}", refused.why);
}

/// A health certificate whose key id stands in the unprotected header.
fn relabelled(i: &Issuer, kid: &[u8], entry: (&str, Entry<'_>)) -> String {
    let payload = cose::write(|e| {
        e.map(3)?;
        in_time(e)?;
        e.i64(-260)?.map(1)?.u8(1)?;
        entries(e, &[(entry.0, &[entry.1])])
    });
    format!("HC1:{}", base45::encode(&unprotected(i, kid, &payload)))
}

/// The entry of a renewed certificate: the same key under another id.
fn renewed(entry: &KeyEntry, kid: &[u8]) -> KeyEntry {
    KeyEntry { kid: STANDARD.encode(kid), ..entry.clone() }
}

#[test]
fn a_list_that_names_one_key_under_two_ids_is_taken_and_both_are_one_signer() {
    let (i, other) = (issuer(b"k1"), issuer(b"k3"));
    let a = i.entry(&HEALTH);
    let again = renewed(&a, b"k2");
    for b in [again.clone(), with_key(again, &p256_spki(i.key.public_key().as_ref()))] {
        let file =
            json!({ "name": "trust", "version": 1, "issued": 0, "keys": [a, b, other.entry(&HEALTH)] });
        let trust = TrustList::from_json(file.to_string().as_bytes()).unwrap();
        let signer =
            |i: &Issuer, kid: &[u8]| get(&relabelled(i, kid, ("t", NEGATIVE)), &trust).map(|p| p.signer);
        let one = signer(&i, b"k1").unwrap();
        assert_eq!(signer(&i, b"k2").unwrap(), one);
        assert_ne!(signer(&other, b"k3").unwrap(), one);
        assert_eq!(signer(&other, b"k2").unwrap_err().code, Code::C_BADSIG);
        assert_eq!(trust.kids(&one).collect::<Vec<_>>(), [hex(b"k1"), hex(b"k2")]);
    }
    let alone = list(vec![renewed(&a, b"k9")]);
    let named = get(&relabelled(&i, b"k9", ("t", NEGATIVE)), &alone).unwrap();
    let both = list(vec![a.clone(), renewed(&a, b"k9")]);
    assert_eq!(named.signer, get(&relabelled(&i, b"k1", ("t", NEGATIVE)), &both).unwrap().signer);
    let twice = list(vec![a.clone(), KeyEntry { region: Some("辽宁".into()), ..a }]);
    assert_eq!(twice.len(), 2, "one key for two regions");
}

#[test]
fn a_key_id_outside_the_signature_chooses_no_right() {
    let i = issuer(b"k1");
    let all = i.entry(&HEALTH);
    let narrow = [
        (i.entry(&[Usage::HcertTest]), ("v", JAB), Code::C_WRONG_SITE),
        (KeyEntry { region: Some("far".into()), ..all.clone() }, ("t", NEGATIVE), Code::C_WRONG_SITE),
    ];
    for (narrow, entry, why) in narrow {
        let trust = list(vec![narrow, renewed(&all, b"k2")]);
        for kid in [&b"k1"[..], b"k2"] {
            let refused = get(&relabelled(&i, kid, entry), &trust).unwrap_err();
            assert_eq!(refused.code, why, "whoever carries it may write any of the ids of its key");
        }
    }
    // What both give counts, and a key is valid as long as one of its certificates is.
    let over = KeyEntry { exp: Some(NOW - 1), usages: vec![Usage::HcertTest.into()], ..all.clone() };
    let trust = list(vec![over.clone(), renewed(&all, b"k2")]);
    for kid in [&b"k1"[..], b"k2"] {
        assert!(get(&relabelled(&i, kid, ("t", NEGATIVE)), &trust).is_ok());
    }
    let trust = list(vec![over.clone(), renewed(&over, b"k2")]);
    assert_eq!(get(&relabelled(&i, b"k1", ("t", NEGATIVE)), &trust).unwrap_err().code, Code::C_EXPIRED);
}

#[test]
fn a_key_id_under_the_signature_gives_what_its_entry_gives() {
    let i = issuer(b"k1");
    let cards = i.entry(&[Usage::ResidentCard]);
    let pass = |kid: &[u8], trust: &TrustList| {
        code(&kp1::issue(&draft(), Alg::ES256, kid, |b| i.sign(b)).unwrap(), trust).map(drop)
    };
    let trust = list(vec![cards.clone(), renewed(&i.entry(&[Usage::VehiclePass]), b"k2")]);
    assert_eq!((pass(b"k1", &trust), pass(b"k2", &trust)), (Ok(()), Err(Code::C_WRONG_SITE)));
    let over = KeyEntry { exp: Some(NOW - 1), ..cards.clone() };
    let trust = list(vec![over, renewed(&cards, b"k2")]);
    assert_eq!((pass(b"k1", &trust), pass(b"k2", &trust)), (Err(Code::C_EXPIRED), Ok(())));
}

#[test]
fn an_exchanged_key_id_never_makes_another_pass() {
    let (i, other) = (issuer(b"k1"), issuer(b"k2"));
    let trust = list(vec![i.entry(&HEALTH), other.entry(&HEALTH)]);
    let payload = cose::write(|e| {
        e.map(3)?;
        in_time(e)?;
        e.i64(-260)?.map(1)?.u8(1)?;
        entries(e, &[("t", &[NEGATIVE])])
    });
    let with = |kid: &[u8]| {
        get(&format!("HC1:{}", base45::encode(&unprotected(&i, kid, &payload))), &trust)
            .map(|p| (p.kid, p.id))
    };
    assert_eq!(with(b"k1"), Ok((hex(b"k1"), "URN:UVCI:01:XX:N".to_owned())));
    assert_eq!(with(b"k2").unwrap_err().code, Code::C_BADSIG);
    assert_eq!(with(b"k3").unwrap_err().code, Code::C_UNKNOWN);
}

#[test]
fn a_pass_that_was_printed_just_now_counts_and_the_reason_says_which_end_it_misses() {
    let i = issuer(b"k1");
    let trust = list(vec![i.entry(&[Usage::ResidentCard, Usage::HcertTest])]);
    let ahead = |s: i64| {
        let text = certificate(
            &i,
            |e| {
                e.u8(4)?.i64(NOW + 1000)?.u8(6)?.i64(NOW + s)?;
                Ok(())
            },
            |e| entries(e, &[("t", &[NEGATIVE])]),
        );
        let kp1 =
            kp1::issue(&kp1::Draft { nbf: NOW + s, exp: NOW + 1000, ..draft() }, Alg::ES256, b"k1", |b| {
                i.sign(b)
            });
        [get(&text, &trust), get(&kp1.unwrap(), &trust)]
    };
    assert!(ahead(60).iter().all(Result::is_ok), "clocks of phones and gates differ by seconds");
    for late in ahead(61) {
        let refused = late.unwrap_err();
        assert_eq!(refused.code, Code::C_EXPIRED);
        assert!(refused.why.contains("not yet") && !refused.why.contains("expired"), "{}", refused.why);
    }
    let over = kp1::issue(&kp1::Draft { exp: NOW - 1, ..draft() }, Alg::ES256, b"k1", |b| i.sign(b)).unwrap();
    let refused = get(&over, &trust).unwrap_err();
    assert_eq!(refused.code, Code::C_EXPIRED, "the end has no leeway");
    assert!(refused.why.contains("expired") && !refused.why.contains("not yet"), "{}", refused.why);
}

#[test]
fn an_id_has_one_form_however_it_is_written() {
    let none = TrustList::default();
    for (written, id) in [
        ("P-0009", "P-0009"),
        ("\u{feff}P-0009", "P-0009"),
        ("P-0009\n", "P-0009"),
        ("P-0009 ", "P-0009"),
        ("\tP-0009\r\n", "P-0009"),
        ("\u{3000}P-0009", "P-0009"),
        ("Ｐ－０００９", "P-0009"),
        ("Ｐ０００９", "P0009"),
        ("p-0009", "P-0009"),
        ("32012319900101123x", "32012319900101123X"),
        ("辽P 12345", "辽P12345"),
        ("辽P•12345", "辽P12345"),
        ("辽P・12345", "辽P12345"),
        ("\u{feff}辽p·12345\n", "辽P12345"),
        ("KA-12345", "KA-12345"),
        ("KA·12345", "KA12345"),
        ("京A·1234应急", "京A1234应急"),
    ] {
        let pass = get(written, &none).unwrap();
        assert_eq!((pass.id.as_str(), pass.subject.as_str()), (id, id), "{written:?}");
    }
}

#[test]
fn marks_and_line_ends_around_a_pass_do_not_count() {
    let i = issuer(b"k1");
    let trust = list(vec![i.entry(&[Usage::ResidentCard])]);
    for around in ["\u{feff}@", "@\r\n", " @ ", "\u{feff}@\n"] {
        assert!(get(&around.replace('@', &i.card()), &trust).is_ok(), "{around:?}");
    }
}

#[test]
fn a_card_and_a_list_mean_the_same_subject_in_either_case() {
    let i = issuer(b"k1");
    let facts = json!({ "id": " r-0001x" }).as_object().unwrap().clone();
    let card = kp1::issue(&kp1::Draft { facts, ..draft() }, Alg::ES256, b"k1", |b| i.sign(b)).unwrap();
    assert_eq!(get(&card, &list(vec![i.entry(&[Usage::ResidentCard])])).unwrap().subject, "R-0001X");
}

#[test]
fn a_url_is_no_id_in_any_letter_case() {
    let none = TrustList::default();
    for text in [
        "https://example.org/a",
        "HTTPS://EXAMPLE.ORG/A",
        "Https://example.org/a",
        "ｈｔｔｐｓ：／／example.org",
        " http:/example.org",
        "WWW.EXAMPLE.ORG/A",
        "weixin://dl/a",
        "MAILTO:a.b",
        "tel:110",
    ] {
        assert_eq!(get(text, &none).map(|p| p.id).map_err(|r| r.code), Err(Code::C_UNREADABLE), "{text}");
    }
    assert!(get("HTTP-0001", &none).is_ok(), "letters alone do not make an address");
}

#[test]
fn what_is_issued_for_a_vehicle_a_gate_reads() {
    let i = issuer(b"k1");
    let trust = list(vec![i.entry(&[Usage::VehiclePass])]);
    let issue = |plate: &str| {
        let facts = json!({ "plate": plate, "category": "transit", "from": "a", "to": "b", "uses": 1 });
        let draft =
            kp1::Draft { kind: Usage::VehiclePass, facts: facts.as_object().unwrap().clone(), ..draft() };
        kp1::issue(&draft, Alg::ES256, b"k1", |b| i.sign(b))
    };
    for (plate, normal) in [
        ("使014578", "使014578"),
        ("224578使", "224578使"),
        ("WJ辽1234X", "WJ辽1234X"),
        ("军V12345", "军V12345"),
        ("va-12345", "VA12345"),
        ("辽P1234临", "辽P1234临"),
        ("辽P12345临", "辽P12345临"),
        ("辽P0001试", "辽P0001试"),
        ("辽P1234超", "辽P1234超"),
        ("京A·1234应急", "京A1234应急"),
        ("民航A1234", "民航A1234"),
        ("辽P 12345", "辽P12345"),
        ("辽P‧12345", "辽P12345"),
        ("辽Ｐ－１２３４５", "辽P12345"),
    ] {
        let text = issue(plate).unwrap_or_else(|e| panic!("{plate}: {e}"));
        assert_eq!(code(&text, &trust).map(|p| p.subject), Ok(normal.to_owned()), "{plate}");
    }
    for plate in ["港AB1234", "辽Р12345", "12345", "辽P123", " "] {
        let refused = issue(plate).unwrap_err().to_string();
        assert!(refused.contains("plate"), "{plate}: {refused}");
    }
}
