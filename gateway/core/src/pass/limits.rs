//! What stands just at a limit of a pass or of a list of keys, and just beyond it.

use super::cases::RSA_CERTIFICATE;
use super::cose::{self, Alg};
use super::traps::{Issuer, NOW, code, draft, issuer, list};
use super::trust::{KeyEntry, TrustFile, TrustList, Usage};
use super::*;
use base64::engine::general_purpose::STANDARD;
use kp1::{Draft, Kp1Error};
use serde_json::json;

fn issue(i: &Issuer, kind: Usage, facts: &Json) -> Result<String, Kp1Error> {
    let draft = Draft { kind, facts: facts.as_object().unwrap().clone(), ..draft() };
    kp1::issue(&draft, Alg::ES256, &i.kid, |b| i.sign(b))
}

/// The facts of a pass as a gate reads them.
fn read(kind: Usage, facts: &Json) -> Map<String, Json> {
    let i = issuer(b"k1");
    code(&issue(&i, kind, facts).unwrap(), &list(vec![i.entry(&[kind])])).unwrap().facts
}

fn permit() -> Json {
    json!({ "plate": "辽P12345", "category": "transit", "from": "a", "to": "b", "uses": 1 })
}

#[test]
fn a_field_is_taken_up_to_its_length_and_in_its_form_alone() {
    let i = issuer(b"k1");
    let bytes = |n: usize| json!(URL_SAFE_NO_PAD.encode(vec![7; n]));
    let texts = |n: usize, long: usize| json!(vec!["x".repeat(long); n]);
    for (name, fact, good) in [
        ("from", json!("x".repeat(24)), true),
        ("from", json!("x".repeat(25)), false),
        ("from", json!(""), false),
        ("from", json!(5), false),
        ("crew", json!(0), true),
        ("crew", json!(-1), false),
        ("crew", json!(1.5), false),
        ("crew", json!("2"), false),
        ("driver", bytes(16), true),
        ("driver", bytes(17), false),
        ("driver", json!("?"), false),
        ("approvals", texts(8, 24), true),
        ("approvals", texts(9, 1), false),
        ("approvals", texts(1, 25), false),
        ("approvals", json!("GX"), false),
        ("category", json!("hearse"), false),
        ("category", json!(1), false),
        ("colour", json!("red"), false),
    ] {
        let mut facts = permit();
        facts[name] = fact.clone();
        assert_eq!(issue(&i, Usage::VehiclePass, &facts).is_ok(), good, "{name} {fact}");
    }
}

#[test]
fn every_field_comes_back_as_it_was_issued() {
    let mut facts = permit();
    facts["driver"] = json!("AAECAwQFBgc");
    facts["approvals"] = json!(["GX", "JT"]);
    facts["crew"] = json!(2);
    for category in ["emergency-supplies", "emergency-bulk", "resident-car", "transit"] {
        facts["category"] = json!(category);
        assert_eq!(Json::Object(read(Usage::VehiclePass, &facts)), facts);
    }
}

#[test]
fn a_pass_without_a_field_that_its_kind_needs_is_neither_issued_nor_read() {
    let i = issuer(b"k1");
    for name in ["plate", "category", "from", "to", "uses"] {
        let mut facts = permit();
        facts.as_object_mut().unwrap().remove(name);
        let refused = issue(&i, Usage::VehiclePass, &facts).unwrap_err().to_string();
        assert!(refused.contains(&format!("field {name} is missing")), "{refused}");
    }
    // Of another issuer's program.
    let card = |fields: &[(i64, &str)]| {
        let payload = cose::write(|e| {
            e.map(4)?.u8(4)?.i64(NOW + 9)?.u8(5)?.i64(NOW - 9)?.u8(7)?.bytes(&[1; 8])?;
            e.i64(kp1::CLAIM_PASS)?.map(fields.len() as u64 + 1)?.u8(0)?.u8(1)?;
            for (label, text) in fields {
                e.i64(*label)?.str(text)?;
            }
            Ok(())
        });
        code(&i.raw(&payload), &list(vec![i.entry(&[Usage::ResidentCard])])).map(|p| p.subject)
    };
    assert_eq!(card(&[(1, "R-1"), (2, "x")]), Ok("R-1".into()));
    assert_eq!(card(&[(2, "x")]), Err(Code::C_UNREADABLE));
    assert_eq!(card(&[(1, "")]), Err(Code::C_UNREADABLE));
    assert_eq!(card(&[(1, "\u{feff}")]), Err(Code::C_UNREADABLE), "nothing that anybody sees");
}

#[test]
fn a_pass_of_ours_has_a_beginning_an_end_and_an_id() {
    let i = issuer(b"k1");
    let card = |claims: &[i64], id: usize| {
        let payload = cose::write(|e| {
            e.map(claims.len() as u64 + 2)?;
            for claim in claims {
                e.i64(*claim)?.i64(NOW)?;
            }
            e.u8(7)?.bytes(&vec![1; id])?;
            e.i64(kp1::CLAIM_PASS)?.map(2)?.u8(0)?.u8(1)?.u8(1)?.str("R-1")?;
            Ok(())
        });
        code(&i.raw(&payload), &list(vec![i.entry(&[Usage::ResidentCard])])).is_ok()
    };
    assert!(card(&[4, 5], 8) && card(&[4, 5, 6], 16));
    for (claims, id) in [(&[4][..], 8), (&[5], 8), (&[], 8), (&[4, 5], 7), (&[4, 5], 17), (&[4, 5], 0)] {
        assert!(!card(claims, id), "{claims:?} {id}");
    }
}

#[test]
fn numbers_beyond_their_tables_are_not_read() {
    let i = issuer(b"k1");
    // Kind, category, uses, crew.
    let truck = |kind: i64, category: i64, uses: i64, crew: i64| {
        let payload = cose::write(|e| {
            e.map(4)?.u8(4)?.i64(NOW + 9)?.u8(5)?.i64(NOW - 9)?.u8(7)?.bytes(&[1; 8])?;
            e.i64(kp1::CLAIM_PASS)?.map(7)?.u8(0)?.i64(kind)?.u8(1)?.str("辽P12345")?;
            e.u8(3)?.i64(category)?.u8(4)?.str("a")?.u8(5)?.str("b")?;
            e.u8(6)?.i64(uses)?.u8(8)?.i64(crew)?;
            Ok(())
        });
        code(&i.raw(&payload), &list(vec![i.entry(&[Usage::VehiclePass])])).is_ok()
    };
    assert!(truck(2, 0, 0, 0) && truck(2, 3, 1, 9));
    for (kind, category, uses, crew) in
        [(0, 0, 1, 1), (9, 0, 1, 1), (-1, 0, 1, 1), (2, 4, 1, 1), (2, -1, 1, 1), (2, 0, 2, 1), (2, 0, 1, -1)]
    {
        assert!(!truck(kind, category, uses, crew), "{kind} {category} {uses} {crew}");
    }
}

#[test]
fn ids_of_people_are_issued_in_their_one_form_and_names_of_boxes_as_they_are() {
    let card = read(Usage::ResidentCard, &json!({ "id": " r-0001x" }));
    assert_eq!(card["id"], "R-0001X");
    let companion = read(Usage::CompanionCard, &json!({ "id": "c-1", "patient": "p-1", "ward": "w-1" }));
    assert_eq!(
        (&companion["id"], &companion["patient"], &companion["ward"]),
        (&json!("C-1"), &json!("P-1"), &json!("w-1"))
    );
    let mut truck = permit();
    truck["plate"] = json!("辽p·12345");
    assert_eq!(read(Usage::VehiclePass, &truck)["plate"], "辽P12345");
    let box_of = json!({ "id": "gate-1", "url": "https://a/b" });
    assert_eq!(Json::Object(read(Usage::ProvisioningCode, &box_of)), box_of);
}

#[test]
fn each_kind_of_pass_has_one_word_and_its_own_fields() {
    let words: Vec<&str> = kp1::kind_words().collect();
    let kinds: Vec<Usage> = words.iter().filter_map(|word| kp1::kind_of(word)).collect();
    let back: Vec<&str> = kinds.iter().filter_map(|kind| kp1::kind_word(*kind)).collect();
    assert_eq!((words.len(), &words), (8, &back));
    assert_eq!((kp1::kind_of("hcert-test"), kp1::kind_word(Usage::Feed)), (None, None));
    let fields = "plate, driver?, category, from, to, uses, approvals?, crew?";
    assert_eq!(kp1::field_help(Usage::VehiclePass), fields);
}

#[test]
fn a_text_is_looked_at_up_to_its_length() {
    let why = |length: usize| {
        let text = format!("KP1:{}", "0".repeat(length - 4));
        let none = TrustList::default();
        check(text.as_bytes(), Check { trust: &none, now_s: Some(NOW), region: "" }).unwrap_err().why
    };
    assert!(!why(MAX_TEXT).contains("longer"), "{}", why(MAX_TEXT));
    for longer in [MAX_TEXT + 1, MAX_TEXT + 2] {
        assert!(why(longer).contains("longer than 4296"), "{}", why(longer));
    }
    let none = TrustList::default();
    assert!(code(&"x".repeat(MAX_OPAQUE), &none).is_ok());
    assert_eq!(code(&"x".repeat(MAX_OPAQUE + 1), &none), Err(Code::C_UNREADABLE));
}

#[test]
fn a_pass_that_is_out_of_its_time_still_says_whose_it_is() {
    let i = issuer(b"k1");
    let trust = list(vec![i.entry(&[Usage::ResidentCard])]);
    let at = |now_s| check(i.card().as_bytes(), Check { trust: &trust, now_s, region: "" }).unwrap_err();
    for (now_s, wanted) in [(Some(NOW + 11), Code::C_EXPIRED), (None, Code::X_CLOCK)] {
        let refused = at(now_s);
        assert_eq!((refused.code, refused.kid.as_str(), refused.format), (wanted, "6b31", Format::Kp1));
        assert_eq!(refused.pass.map(|pass| pass.subject).as_deref(), Some("R-1"));
    }
}

#[test]
fn a_pass_is_revoked_under_the_key_id_that_it_names_and_an_id_under_none() {
    let i = issuer(b"k1");
    let trust = list(vec![i.entry(&[Usage::ResidentCard])]);
    let card = code(&i.card(), &trust).unwrap();
    // The list of now does not have the key any more.
    let none = TrustList::default();
    assert_eq!(card.kids(&none).into_iter().collect::<Vec<_>>(), ["6b31"]);
    let id = code("P-0009", &none).unwrap();
    assert!(id.kids(&trust).is_empty());
    // A visit of an earlier version did not say who has signed.
    assert_eq!(Pass { signer: String::new(), ..card.clone() }.identity(), format!("6b31:{}", card.id));
    assert_eq!(card.identity(), format!("{}:{}", card.signer, card.id));
    assert_eq!(card.used_as([Some(1), Some(2)]), card.identity(), "a signed pass has an id of its own");
    assert_eq!(
        (id.used_as([None, None]), id.used_as([None, Some(2)])),
        (":P-0009".into(), ":P-0009@-2".into())
    );
}

fn with_key(alg: Alg, der: &[u8]) -> Result<TrustList, String> {
    let entry =
        KeyEntry { alg: alg.into(), key: STANDARD.encode(der), ..issuer(b"k").entry(&[Usage::HcertTest]) };
    let file = TrustFile { name: "trust".into(), version: 1, issued: 0, keys: vec![entry] };
    TrustList::from_file(&file, "trust").map_err(|e| e.to_string())
}

/// A DER element.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = match length {
        [0, n] if n < 0x80 => vec![n],
        [0, n] => vec![0x81, n],
        [a, b] => vec![0x82, a, b],
    };
    [&[tag][..], &length, content].concat()
}

#[test]
fn an_rsa_key_has_a_modulus_and_an_exponent_that_signatures_can_be_verified_with() {
    let key = |modulus: usize, exponent: &[u8]| {
        let modulus = [vec![0], vec![0xc1; modulus]].concat();
        with_key(Alg::PS256, &der(0x30, &[der(2, &modulus), der(2, exponent)].concat())).map(drop)
    };
    for exponent in [&[3][..], &[1, 0, 1]] {
        assert_eq!((key(256, exponent), key(1024, exponent)), (Ok(()), Ok(())), "{exponent:?}");
    }
    for (bytes, bits) in [(255, "this one has 2040"), (1025, "this one has 8200"), (128, "this one has 1024")]
    {
        let refused = key(bytes, &[3]).unwrap_err();
        assert!(refused.contains(bits), "{refused}");
    }
    for exponent in [&[1][..], &[2], &[1, 0, 0]] {
        assert!(key(256, exponent).unwrap_err().contains("RSAPublicKey"), "{exponent:?}");
    }
}

#[test]
fn a_key_is_taken_at_its_length_and_with_what_a_publisher_leaves_behind_a_certificate() {
    assert!(with_key(Alg::EdDSA, &[7; 32]).is_ok());
    for bytes in [31, 33] {
        assert!(with_key(Alg::EdDSA, &vec![7; bytes]).unwrap_err().contains("32 bytes"), "{bytes}");
    }
    let mut certificate = STANDARD.decode(RSA_CERTIFICATE).unwrap();
    certificate.extend([0, 0, 0]);
    assert!(with_key(Alg::PS256, &certificate).is_ok());
}

#[test]
fn a_list_says_which_edition_it_is_and_how_much_of_it_counts() {
    let mut keys = json!([]);
    for kid in [b"k1", b"k2", b"k3", b"k4"] {
        keys.as_array_mut().unwrap().push(json!(issuer(kid).entry(&[Usage::Feed])));
    }
    for newer in [0, 1] {
        keys[newer]["alg"] = json!("ES384");
    }
    let file = json!({ "name": "fleet", "version": 7, "issued": NOW, "keys": keys }).to_string();
    let list = TrustList::fleet(file.as_bytes()).unwrap();
    assert_eq!((list.version, list.issued), (7, NOW));
    assert_eq!((list.len(), list.left_out(), list.is_empty()), (2, 2, false));
    assert!(TrustList::default().is_empty());
    let refused = TrustList::from_json(file.as_bytes()).unwrap_err().to_string();
    assert!(refused.contains("`fleet`, not `trust`"), "{refused}");
    assert!(TrustList::fleet(b"{").is_err());
}

#[test]
fn a_key_says_whose_it_is_and_from_when_until_when_it_is_valid() {
    let i = issuer(b"k1");
    let entry = KeyEntry {
        issuer: "health office".into(),
        nbf: Some(NOW - 5),
        exp: Some(NOW + 5),
        ..i.entry(&[Usage::ResidentCard])
    };
    let trust = list(vec![entry]);
    let at = |now_s| {
        let with = Check { trust: &trust, now_s: Some(now_s), region: "" };
        check(i.card().as_bytes(), with).map_err(|refused| (refused.code, refused.why))
    };
    let pass = at(NOW - 5).unwrap();
    assert!(at(NOW + 5).is_ok());
    for now_s in [NOW - 6, NOW + 6] {
        assert_eq!(at(now_s).unwrap_err(), (Code::C_EXPIRED, "the key is not valid now".into()));
    }
    let entries = trust.entries(&pass.signer);
    assert_eq!(entries.iter().map(Vec::len).collect::<Vec<_>>(), [1]);
    assert_eq!((entries[0][0].issuer(), entries[0][0].id()), ("health office", pass.signer.as_str()));
}
