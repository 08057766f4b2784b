//! A scanner is the only input: a badge signs on, the codes of the printed sheet do what buttons do, and nothing else.

use super::gate::*;
use base64::{Engine, engine::general_purpose::STANDARD};
use kakou_core::core::{Input, Step};
use kakou_core::ids::OfficerId;
use kakou_core::lane::action::{Action, Officer, Role};
use kakou_core::lane::sheet::badges::Badges;
use kakou_core::pass::cose::Alg;
use kakou_core::pass::kp1::{self, Draft};
use kakou_core::pass::trust::{KeyEntry, TrustFile, TrustList, Usage};
use kakou_core::profile::shipped;
use kakou_core::reading::Report;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const NOW_S: i64 = WALL / 1000;
const DEVICES: [&str; 4] = ["scanner", "thermometer", "camera", "barrier"];

/// Who makes badges.
struct Office(EcdsaKeyPair);

impl Office {
    fn new() -> Self {
        let rng = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        Self(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref(), &rng).unwrap())
    }

    fn trusted(&self, gate: &mut Gate) {
        let key = KeyEntry {
            kid: STANDARD.encode(b"k1"),
            alg: Alg::ES256.into(),
            key: STANDARD.encode(self.0.public_key()),
            usages: vec![Usage::StaffBadge.into(), Usage::ResidentCard.into()],
            issuer: String::new(),
            region: None,
            nbf: None,
            exp: None,
        };
        let file = TrustFile { name: "trust".into(), version: 1, issued: NOW_S, keys: vec![key] };
        gate.core.set_trust(&Arc::new(TrustList::from_file(&file, "trust").unwrap()));
    }

    fn badge(&self, id: &str, number: u8) -> String {
        let facts = json!({ "id": id, "name": "李明", "role": "guard" });
        let draft = Draft {
            kind: Usage::StaffBadge,
            cti: vec![number; 8],
            nbf: NOW_S - 60,
            exp: NOW_S + 36_000,
            facts: facts.as_object().unwrap().clone(),
        };
        let sign = |bytes: &[u8]| Ok(self.0.sign(&SystemRandom::new(), bytes).unwrap().as_ref().to_vec());
        kp1::issue(&draft, Alg::ES256, b"k1", sign).unwrap()
    }
}

fn badges() -> Badges {
    let all =
        [("W-1", "li", Role::Nurse), ("W-2", "chen", Role::Collector), ("W-3", "zhao", Role::Supervisor)];
    let officer = |(badge, id, role): (&str, &str, Role)| {
        (badge.to_owned(), Officer { id: OfficerId::new(id).unwrap(), role })
    };
    Badges::new(all.map(officer), [Role::Nurse, Role::Collector], 600_000)
}

fn lane(profile: &str) -> (Gate, Office) {
    let mut gate = gate_signed_on_by(shipped::find(profile).unwrap(), &DEVICES, badges());
    for list in ["roster", "seals", "bags"] {
        gate.memory.issued.insert(list.into(), WALL - HOUR);
    }
    let office = Office::new();
    office.trusted(&mut gate);
    (gate, office)
}

/// Codes of the sheet, one after another; a second apart, as a hand does it.
fn codes(g: &mut Gate, all: &[&str]) -> Vec<Step> {
    let scan = |code: &&str| {
        g.wait(1_000);
        let code = if code.starts_with("KP1:") { (*code).to_owned() } else { format!("KC1:{code}") };
        g.scan(&code)
    };
    all.iter().map(scan).collect()
}

fn said(g: &Gate) -> (String, bool) {
    let said = &g.desk()["sheet"]["said"];
    (said["text"]["en"].as_str().unwrap_or_default().to_owned(), said["taken"] == true)
}

fn counted(steps: &[Step], name: &str) -> usize {
    steps.iter().flat_map(|step| &step.counters).filter(|counter| **counter == name).count()
}

fn all_kinds(steps: &[Step]) -> Vec<&str> {
    steps.iter().flat_map(kinds).collect()
}

/// A customer stands before the form of the pharmacy.
fn at_the_form(profile: &str) -> (Gate, Office) {
    let (mut g, office) = lane(profile);
    let step = g.scan("green");
    g.warm(&step, 36_600);
    assert_eq!(g.desk()["ask"]["kind"], "form");
    (g, office)
}

#[test]
fn a_sale_is_made_by_scanner_alone() {
    let (mut g, office) = at_the_form("pharmacy");
    let badge = office.badge("W-1", 1);
    let steps = codes(&mut g, &[&badge, "SET:buyer:self", "SET:symptoms:none", "SET:drug:cough", "KEY:2"]);
    assert_eq!(all_kinds(&steps), ["audit"]);
    assert_eq!(g.desk()["sheet"]["officer"], "li");
    assert_eq!(g.desk()["sheet"]["typed"], "2");
    let drug =
        g.desk()["ask"]["fields"].as_array().unwrap().iter().find(|f| f["id"] == "drug").unwrap()["value"]
            .clone();
    assert_eq!(drug, "cough", "the form on the desk shows what was scanned");
    codes(&mut g, &["CONFIRM"]);
    assert!(said(&g).0.contains("scan Confirm to send"), "{:?}", said(&g));
    codes(&mut g, &["CONFIRM"]);
    assert_eq!(g.desk()["ask"]["kind"], "confirm");
    codes(&mut g, &["CONFIRM"]);
    assert!(!said(&g).1, "nothing is ticked by Confirm alone");
    let steps = codes(&mut g, &["SET:sale:identity", "KEY:2", "CONFIRM"]);
    let sold = steps.last().unwrap();
    assert_eq!(verdict(sold).0, "ADMIT");
    let event = sold.events.iter().find(|e| e.kind == "drug_purchase").unwrap();
    assert_eq!((event.data["drug"].as_str(), event.data["qty"].as_i64()), (Some("cough"), Some(2)));
    let text = serde_json::to_string(&sold.events.iter().map(|e| &e.data).collect::<Vec<_>>()).unwrap();
    assert!(!text.contains("KC1"), "{text}");
}

#[test]
fn nobody_acts_by_a_code_who_has_not_signed_on() {
    let (mut g, office) = at_the_form("pharmacy");
    let before = serde_json::to_value(&g.core.lane(&g.lane).unwrap().state).unwrap();
    let steps = codes(&mut g, &["SET:buyer:self", "CONFIRM", "CANCEL", "CANCEL", "START", "NO-SUCH-WORD"]);
    assert_eq!(counted(&steps, "command_refused_total"), 6);
    assert!(steps.iter().all(|step| step.events.is_empty() && step.writes.is_empty()));
    assert_eq!(serde_json::to_value(&g.core.lane(&g.lane).unwrap().state).unwrap(), before);
    assert_eq!(said(&g), ("Staff: scan your badge first".into(), false));
    assert_eq!(g.screen()["other"]["text"]["en"], "Staff: scan your badge first");
    // A badge of somebody whom this gateway does not know, and one that was signed by nobody, sign nobody on.
    let stranger = Office::new().badge("W-1", 9);
    for badge in [office.badge("W-9", 9), stranger] {
        codes(&mut g, &[&badge, "CANCEL"]);
        assert_eq!(g.desk()["sheet"]["officer"], Value::Null);
    }
}

#[test]
fn a_badge_alone_gives_no_more_than_the_configuration_says() {
    let (mut g, office) = at_the_form("pharmacy");
    let steps = codes(&mut g, &[&office.badge("W-3", 3), "CANCEL"]);
    assert_eq!(counted(&steps, "badge_refused_total"), 1);
    assert_eq!(g.desk()["sheet"]["officer"], Value::Null, "a supervisor signs in with the PIN");
    put(&mut g.memory, "hold", "W-1", json!({ "code": "lost" }));
    let steps = codes(&mut g, &[&office.badge("W-1", 1)]);
    assert_eq!((counted(&steps, "badge_refused_total"), said(&g).1), (1, false));
    put(&mut g.memory, "revocation", &format!("{}:{}", "6b31", "AgICAgICAgI"), json!({}));
    codes(&mut g, &[&office.badge("W-2", 2)]);
    assert_eq!(g.desk()["sheet"]["officer"], Value::Null, "a badge that was taken back");
    // A list that cannot be read lets nobody in.
    g.memory.faulty.insert("hold");
    codes(&mut g, &[&office.badge("W-2", 7)]);
    assert_eq!(g.desk()["sheet"]["officer"], Value::Null);
    g.memory.faulty.clear();
    codes(&mut g, &[&office.badge("W-2", 7)]);
    assert_eq!(g.desk()["sheet"]["officer"], "chen");
}

#[test]
fn a_sign_on_ends_by_time_by_another_badge_by_the_code_and_with_the_power() {
    let (mut g, office) = at_the_form("pharmacy");
    let (li, chen) = (office.badge("W-1", 1), office.badge("W-2", 2));
    codes(&mut g, &[&li, "SET:buyer:self"]);
    let steps = codes(&mut g, &[&chen]);
    let acts: Vec<_> = steps[0]
        .events
        .iter()
        .map(|e| (e.data["act"].as_str().unwrap(), e.data["officer"].as_str().unwrap()))
        .collect();
    assert_eq!(acts, [("sign_out", "li"), ("sign_in", "chen")]);
    assert_eq!(g.desk()["sheet"]["gathered"], json!([]), "what li has gathered is not sent by chen");
    let steps = codes(&mut g, &["SIGN-OFF", "CANCEL"]);
    assert_eq!(steps[0].events[0].data["with"], "code");
    assert!(!said(&g).1);
    // Nobody stands there: what ends is the sign-on alone.
    let (mut g, office) = lane("pharmacy");
    let li = office.badge("W-1", 1);
    codes(&mut g, &[&li, "SET:buyer:proxy"]);
    g.wait(599_999);
    assert!(g.input(Input::Tick).events.is_empty());
    g.wait(2);
    let step = g.input(Input::Tick);
    assert_eq!((kinds(&step), step.events[0].data["with"].as_str()), (vec!["audit"], Some("time")));
    assert_eq!(g.desk()["sheet"]["officer"], Value::Null);
    codes(&mut g, &[&li]);
    let text = serde_json::to_string(&g.core.lane(&g.lane).unwrap().state).unwrap();
    assert!(
        !text.contains("\"li\"") && !text.contains("sheet"),
        "the disk knows nobody who is signed on: {text}"
    );
}

#[test]
fn what_cannot_be_undone_is_scanned_twice_and_a_code_held_before_the_reader_is_one() {
    let (mut g, office) = at_the_form("pharmacy");
    codes(&mut g, &[&office.badge("W-1", 1)]);
    g.wait(1_000);
    for _ in 0..20 {
        g.wait(200);
        let step = g.scan("KC1:CANCEL");
        assert!(step.events.is_empty(), "a code that stays before the reader is one");
    }
    let steps = codes(&mut g, &["BACK", "CANCEL", "CANCEL"]);
    assert_eq!(all_kinds(&steps), ["visit_abandoned"]);
    assert_eq!(steps[2].events[0].data["officer"], "li");
}

#[test]
fn a_command_code_is_never_a_pass_and_never_an_answer() {
    for profile in ["school-gate", "pharmacy", "supplies-desk", "specimen-reception"] {
        let (mut g, _) = lane(profile);
        for text in ["KC1:CONFIRM", " kc1:confirm", "KC1:", "KC1:SET:item:X", "ＫＣ1:CANCEL"] {
            g.wait(1_000);
            let step = g.scan(text);
            assert!(step.events.is_empty() && step.writes.is_empty(), "{profile} {text}");
            assert!(g.core.lane(&g.lane).unwrap().state.visit.is_none(), "{profile} {text}");
            let typed = g.act_as("li", Role::Nurse, Action::Enter { text: text.into(), on: None });
            assert_eq!(typed.reply.unwrap().unwrap_err().code, "command", "{profile} {text}");
        }
    }
    let (mut g, _) = at_the_form("pharmacy");
    let answers = [
        ("buyer", "proxy"),
        ("patient", "KC1:CONFIRM"),
        ("symptoms", "none"),
        ("drug", "cough"),
        ("qty", "1"),
    ];
    let form = BTreeMap::from(answers.map(|(field, answer)| (field.to_owned(), json!(answer))));
    assert_eq!(g.act(Action::Form(form)).reply.unwrap().unwrap_err().code, "command");
    assert_eq!(g.desk()["ask"]["kind"], "form");
    // Nor does a plate camera push one.
    let (mut g, _) = lane("seal-check");
    g.device("camera", Report::Plate { text: "KC1:CONFIRM".into() });
    let text = serde_json::to_string(&g.core.lane(&g.lane).unwrap().state).unwrap();
    assert!(!text.contains("\"subject\":\"KC1"), "{text}");
}

#[test]
fn a_code_of_another_step_does_nothing_and_what_was_gathered_belongs_to_its_step() {
    let (mut g, office) = at_the_form("pharmacy");
    codes(&mut g, &[&office.badge("W-1", 1)]);
    for other in
        ["SET:mask:yes", "SET:buyer:nobody", "SET:sale:identity", "APPROVE", "RETAKE", "SET:door:rear"]
    {
        let steps = codes(&mut g, &[other]);
        assert_eq!(counted(&steps, "command_refused_total"), 1, "{other}");
        assert!(steps[0].events.is_empty() && !said(&g).1, "{other}");
    }
    assert_eq!(g.desk()["ask"]["kind"], "form");
    codes(&mut g, &["SET:buyer:proxy", "SET:symptoms:none", "SET:drug:fever"]);
    let steps = codes(&mut g, &["SKIP"]);
    assert_eq!(counted(&steps, "command_refused_total"), 1, "whom it is for must be said");
    codes(&mut g, &["CONFIRM"]);
    assert!(said(&g).0.contains("Patient"), "the lane says what is missing: {:?}", said(&g));
    codes(
        &mut g,
        &["BACK", "SET:drug:cough", "SET:patient:张三", "KEY:3", "BACK", "KEY:1", "CONFIRM", "CONFIRM"],
    );
    assert_eq!(g.desk()["ask"]["kind"], "confirm");
    assert_eq!(g.desk()["sheet"]["gathered"], json!([]));
}

#[test]
fn where_a_badge_is_a_pass_it_signs_on_behind_the_code_for_it_alone() {
    let (mut g, office) = lane("supplies-desk");
    let badge = office.badge("W-1", 1);
    g.scan(&badge);
    assert_eq!(g.desk()["ask"]["kind"], "form", "whoever takes something shows the badge");
    assert_eq!(g.desk()["sheet"], Value::Null);
    codes(&mut g, &["SIGN-ON", &badge]);
    assert_eq!(g.desk()["sheet"]["officer"], "li");
    assert_eq!(g.desk()["open"], json!([]), "no second visit has begun");
}

#[test]
fn seals_are_checked_by_scanner_alone() {
    let (mut g, office) = lane("seal-check");
    let entry =
        json!({ "seals": ["LN0045678", "LN0045679"], "category": "transit", "sealed_at_ms": WALL - HOUR });
    put(&mut g.memory, "seals", "辽P12345", entry);
    codes(&mut g, &[&office.badge("W-1", 1)]);
    g.scan("辽P12345");
    codes(&mut g, &["KEY:辽", "KEY:P", "KEY:1", "KEY:2", "KEY:3", "KEY:4", "KEY:5", "CONFIRM"]);
    assert_eq!(g.desk()["ask"]["kind"], "seal-check", "{:?}", g.desk()["sheet"]);
    g.wait(1_000);
    g.scan("LN0045678");
    codes(&mut g, &["SET:door:rear"]);
    codes(&mut g, &["CONFIRM"]);
    assert!(said(&g).0.contains("LN0045678: door or condition is missing"), "{:?}", said(&g));
    codes(&mut g, &["SET:condition:intact"]);
    codes(&mut g, &["CONFIRM"]);
    assert!(said(&g).0.contains("Not found: LN0045679"), "{:?}", said(&g));
    g.wait(1_000);
    g.scan("LN0045679");
    codes(&mut g, &["SET:condition:intact", "SET:door:side"]);
    let steps = codes(&mut g, &["CONFIRM"]);
    assert_eq!(g.desk()["ask"]["kind"], "photo", "{:?}", said(&g));
    let dark = g.photo(&steps[0], 5, 5);
    assert!(dark.events.is_empty());
    let again = codes(&mut g, &["CONFIRM"]);
    g.photo(&again[0], 900, 120);
    let again = codes(&mut g, &["RETAKE"]);
    g.photo(&again[0], 900, 120);
    let next = codes(&mut g, &["CONFIRM"]);
    g.photo(&next[0], 900, 120);
    codes(&mut g, &["CONFIRM", "SET:purpose:onward"]);
    let steps = codes(&mut g, &["CONFIRM"]);
    assert_eq!(verdict(&steps[0]).0, "ADMIT", "{:?}", said(&g));
    let seals = steps[0].events.iter().find(|e| e.kind == "seal_verified").unwrap();
    assert_eq!(seals.data["seals"], json!(["LN0045678", "LN0045679"]));
}

#[test]
fn at_a_desk_whoever_is_signed_in_there_acts() {
    let (mut g, _) = at_the_form("pharmacy");
    let code = |g: &mut Gate, text: &str| {
        g.wait(1_000);
        g.act_as("sun", Role::Nurse, Action::Code(format!("KC1:{text}"))).reply.unwrap()
    };
    for text in ["SET:buyer:self", "SET:symptoms:fever", "SET:drug:fever", "SET:qty:1"] {
        assert_eq!(code(&mut g, text), Ok(()), "{text}");
    }
    assert_eq!(g.desk()["sheet"]["by"], "sun");
    // Somebody else at another desk sends nothing of it.
    let other = g.act_as("li", Role::Nurse, Action::Code("KC1:CONFIRM".into()));
    assert_eq!(other.reply.unwrap().unwrap_err().code, "bad_answer");
    assert!(code(&mut g, "SIGN-ON").is_err() && code(&mut g, "NOTHING").is_err());
    let admin = g.act_as("root", Role::Admin, Action::Code("KC1:CONFIRM".into()));
    assert_eq!(admin.reply.unwrap().unwrap_err().code, "role");
}
