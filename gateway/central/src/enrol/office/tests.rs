//! The office.

use super::*;
use crate::enrol::expected;
use kakou_provisioning::envelope::ReaderKey;

const TEMPLATE: &str = r#"
[gateway]
site = "{site}"
id = "{gateway}"
data = ".."
[clock]
source = "system"
[[device]]
id = "scanner"
driver = "line-scanner"
port = { path = "{scanner}", baud = {baud} }
[[device]]
id = "thermometer"
driver = "gy-mcu90614"
port = { path = "/dev/ttyUSB1", body_grade = true }
[[lane]]
id = "lane-1"
profile = "pre-triage"
devices = { scanner = "scanner", thermometer = "thermometer" }
"#;

fn office(folder: &Path) -> Office {
    let authority = Authority::make(folder, "Fleet").unwrap();
    std::fs::create_dir(folder.join("templates")).unwrap();
    std::fs::write(folder.join("templates/t.toml"), TEMPLATE).unwrap();
    Office::new(authority)
}

fn code(office: &Office, gateway: &str, replaces: bool) -> Code {
    code_with(office, gateway, replaces, false)
}

fn code_with(office: &Office, gateway: &str, replaces: bool, ask: bool) -> Code {
    let wanted = Wanted {
        site: SiteId::new("truck-1").unwrap(),
        gateway: GatewayId::new(gateway).unwrap(),
        template: "t".into(),
        values: Values::new(),
        minutes: 5,
        ask,
        replaces,
    };
    office.code("https://enrol.example", wanted).unwrap()
}

const PORT: (&str, u32) = ("/dev/ttyUSB0", 9_600);

fn bundle(answer: Result<Answer, Refusal>) -> Bundle {
    match answer {
        Ok(Answer::Bundle(bundle)) => *bundle,
        other => panic!("{other:?}"),
    }
}

fn wait(answer: Result<Answer, Refusal>) -> Nonce {
    match answer {
        Ok(Answer::Wait(wait)) => wait.nonce,
        other => panic!("{other:?}"),
    }
}

fn csr() -> Vec<u8> {
    pem_der(&identity::request("new").unwrap().csr_pem).unwrap()
}

#[test]
fn a_code_for_a_name_that_had_a_box_makes_its_place_taker_ask_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let office = office(folder.path());
    let box_of =
        |code: &Code, form: u32| office.enrol(&code.token, &csr(), ("/dev/ttyUSB0", 9_600), (form, None));
    let others = |gateway: &str, replaces: bool| {
        let code = code(&office, gateway, replaces);
        bundle(box_of(&code, 2)).others.unwrap()
    };
    let names = |all: &[&str]| all.iter().map(|n| GatewayId::new(*n).unwrap()).collect::<Vec<_>>();
    assert_eq!(others("gw-1", false), Others::default(), "the first of its site");
    assert_eq!(others("gw-2", false), Others { replaces: false, gateways: names(&["gw-1"]) });
    // Nobody has to remember it: revoked or not, the name had a box.
    office.authority().revoke("truck-1.gw-1").unwrap();
    let again = Others { replaces: true, gateways: names(&["gw-2"]) };
    assert_eq!(others("gw-1", false), again);
    assert_eq!(others("gw-1", false), again);
    // Two codes of a name, made before either was used: whoever comes second takes the place of the first.
    let (first, second) = (code(&office, "gw-4", false), code(&office, "gw-4", false));
    assert!(!bundle(box_of(&first, 2)).others.unwrap().replaces);
    assert!(bundle(box_of(&second, 2)).others.unwrap().replaces);
    assert!(others("gw-3", true).replaces, "a box that this authority did not enrol");
}

#[test]
fn the_boxes_of_a_site_get_one_subject_key_each_in_an_envelope_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let office = office(folder.path());
    let key = |n: u8| ReaderKey::from_bytes(&[n; envelope::KEY]).unwrap();
    let site_key = |gateway: &str, n: u8| {
        let (code, reader) = (code(&office, gateway, false), key(n).reader());
        let given = office.enrol(&code.token, &csr(), ("/dev/ttyUSB0", 9_600), (2, Some(reader)));
        bundle(given).site_key.unwrap()
    };
    let (first, second, again) = (site_key("gw-1", 1), site_key("gw-2", 2), site_key("gw-1", 3));
    let opened = key(1).open(&first, SITE_KEY, b"truck-1.gw-1").unwrap();
    assert_eq!(opened.len(), 32);
    assert_eq!(key(2).open(&second, SITE_KEY, b"truck-1.gw-2"), Ok(opened.clone()));
    assert_eq!(key(3).open(&again, SITE_KEY, b"truck-1.gw-1"), Ok(opened), "a box in its place as well");
    assert!(key(1).open(&second, SITE_KEY, b"truck-1.gw-2").is_err(), "not for its neighbour");
    let (other, number) =
        office.site_key(&SiteId::new("clinic").unwrap(), "clinic.gw-1", key(1).reader()).unwrap();
    let other = key(1).open(&other, SITE_KEY, b"clinic.gw-1").unwrap();
    assert_eq!(number, 1);
    assert_ne!(Ok(other), key(1).open(&first, SITE_KEY, b"truck-1.gw-1"), "another site, another key");
}

#[test]
fn the_same_box_that_asks_again_is_not_taken_for_its_own_successor() {
    let folder = tempfile::tempdir().unwrap();
    let office = office(folder.path());
    let (code, csr) = (code(&office, "gw-1", false), csr());
    for _ in 0..2 {
        let bundle = bundle(office.enrol(&code.token, &csr, ("/dev/ttyUSB0", 9_600), (2, None)));
        assert_eq!(bundle.others, Some(Others::default()));
    }
}

#[test]
fn a_box_of_an_earlier_version_takes_nobodys_place_and_hears_nothing_that_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let office = office(folder.path());
    let old = |code: &Code| office.enrol(&code.token, &csr(), ("/dev/ttyUSB0", 9_600), (1, None));
    let bundle = bundle(old(&code(&office, "gw-1", false)));
    assert!(!serde_json::to_string(&bundle).unwrap().contains("others"));
    let again = code(&office, "gw-1", false);
    assert_eq!(old(&again), Err(Refusal::Malformed));
    assert!(
        office.enrol(&again.token, &csr(), ("/dev/ttyUSB0", 9_600), (2, None)).is_ok(),
        "its code is not used up"
    );
}

#[test]
fn a_box_that_an_earlier_version_enrolled_gets_the_next_key_after_it_has_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let office = office(folder.path());
    let (request, key) =
        (identity::request("new").unwrap(), ReaderKey::from_bytes(&[4; envelope::KEY]).unwrap());
    let old = code(&office, "gw-1", false);
    let csr_of = |pem: &str| pem_der(pem).unwrap();
    let given = bundle(office.enrol(&old.token, &csr_of(&request.csr_pem), PORT, (2, None)));
    let site = SiteId::new("truck-1").unwrap();
    let next = csr();
    let renewal = Renewal {
        certificate: given.certificate,
        proof: STANDARD.encode(identity::prove(&request.key_pem, &next).unwrap()),
        csr: STANDARD.encode(&next),
    };
    office.renew(&renewal, Some(key.reader())).unwrap();
    let all = office.subjects().rotate(&site, 1).unwrap();
    let number = 2;
    assert_eq!((all.boxes.len(), all.boxes[0].number), (1, number), "it calls its own key number 1");
    assert!(
        kakou_provisioning::subjects::Key::open(&key, "truck-1.gw-1", number, &all.boxes[0].sealed).is_ok()
    );
    // A reader that is known stays: whoever has taken a certificate along moves no key.
    let other = ReaderKey::from_bytes(&[5; envelope::KEY]).unwrap();
    office.renew(&renewal, Some(other.reader())).unwrap();
    assert_eq!(office.subjects().sealed(&site).unwrap().boxes[0].sealed.kid, key.reader().kid());
}

#[test]
fn a_code_that_was_cancelled_makes_no_gateway_and_another_of_the_same_box_still_does() {
    let folder = tempfile::tempdir().unwrap();
    let office = office(folder.path());
    let (first, second) = (code(&office, "gw-1", false), code(&office, "gw-1", false));
    let id = id_of(&office.path(&first.token));
    assert_ne!(id, id_of(&office.path(&second.token)));
    assert_eq!(office.cancel(&id).unwrap().standing, CodeStatus::Cancelled);
    let enrol = |code: &Code| office.enrol(&code.token, &csr(), ("/dev/ttyUSB0", 9_600), (2, None));
    assert!(matches!(enrol(&first), Err(Refusal::Refused)));
    bundle(enrol(&second));
    let done = office.cancel(&id_of(&office.path(&second.token))).unwrap_err().to_string();
    assert!(done.contains("kakou ca revoke truck-1.gw-1"), "{done}");
    assert!(office.cancel("00000000").unwrap_err().to_string().contains("kakou ca list"));
}

#[test]
fn no_code_is_made_for_a_template_with_a_place_that_nobody_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    let office = office(folder.path());
    code(&office, "gw-1", false);
    let token = code(&office, "gw-2", false).token;
    office.enrol(&token, &csr(), ("/dev/ttyUSB0", 9_600), (2, None)).unwrap();
    let file = folder.path().join("templates/t.toml");
    std::fs::write(&file, TEMPLATE.replace("/dev/ttyUSB1", "/dev/serial/by-path/WHERE-IT-IS-PLUGGED-IN"))
        .unwrap();
    let (from, to) = (SiteId::new("truck-1").unwrap(), SiteId::new("truck-2").unwrap());
    let wanted = Wanted {
        site: from.clone(),
        gateway: GatewayId::new("gw-3").unwrap(),
        template: "t".into(),
        values: Values::new(),
        minutes: 5,
        ask: false,
        replaces: false,
    };
    let before = office.codes().len();
    let made = office.code("https://enrol.example", wanted).map(drop);
    let cloned =
        office.clone_site("https://enrol.example", (&from, &to), &Values::new(), (5, false)).map(drop);
    for refused in [made, cloned] {
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("t.toml:15") && why.contains("WHERE-IT-IS-PLUGGED-IN"), "{why}");
    }
    assert_eq!(office.codes().len(), before);
}

#[test]
fn digits_are_of_the_answer_to_that_request_and_the_same_ones_cannot_be_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let office = office(folder.path());
    let codes: Vec<Code> = (0..3).map(|_| code_with(&office, "gw-1", false, true)).collect();
    let csr = csr();
    let ask = |code: &Code| office.enrol(&code.token, &csr, PORT, (FORM_NONCE, None));
    let nonces: Vec<Nonce> = codes.iter().map(|code| wait(ask(code))).collect();
    assert!(nonces[0] != nonces[1] && nonces[1] != nonces[2], "one request, three answers");
    assert_eq!(wait(ask(&codes[0])), nonces[0], "a box that asks again shows the same digits");
    let root = fingerprint(&office.authority().root_der);
    let shown = digits(&root, &csr, &nonces[0]);
    let kept = office.decide(&shown, true).unwrap();
    assert_eq!(kept.digits, Some(shown), "both screens show the same");
    assert!(bundle(ask(&codes[0])).certificate.contains("BEGIN CERTIFICATE"));
    assert_eq!(wait(ask(&codes[1])), nonces[1], "the others wait on");
}

#[test]
fn a_request_that_is_none_uses_no_code_up() {
    let folder = tempfile::tempdir().unwrap();
    let office = office(folder.path());
    for ask in [false, true] {
        let code = code_with(&office, "gw-1", false, ask);
        let good = csr();
        for bad in [b"no request".to_vec(), Vec::new(), [&good[..], b"0123"].concat()] {
            let answer = office.enrol(&code.token, &bad, PORT, (FORM_NONCE, None));
            assert_eq!(answer, Err(Refusal::Malformed));
        }
        assert!(office.enrol(&code.token, &good, PORT, (FORM_NONCE, None)).is_ok());
    }
}

#[test]
fn a_box_of_an_earlier_version_is_not_accepted_by_digits_that_others_could_know() {
    let folder = tempfile::tempdir().unwrap();
    let office = office(folder.path());
    let (asked, plain) = (code_with(&office, "gw-1", false, true), code_with(&office, "gw-2", false, false));
    let (csr, other) = (csr(), csr());
    let ask = |code: &Code, form: u32| office.enrol(&code.token, &csr, PORT, (form, None));
    assert_eq!(ask(&asked, 2), Err(Refusal::Malformed), "its screen says that its software must be updated");
    assert!(matches!(ask(&plain, 2), Ok(Answer::Bundle(_))), "where nobody compares anything");
    // The version before has put it down as waiting, or as accepted, with digits of its own making.
    for standing in [CodeStatus::Waiting, CodeStatus::Accepted] {
        let (path, mut kept) = office.codes().into_iter().find(|(_, k)| k.ask).unwrap();
        (kept.standing, kept.nonce) = (standing, None);
        (kept.request, kept.digits) = (Some(hex(&fingerprint(&csr))), Some("000 000".into()));
        office.keep(&path, &kept).unwrap();
        assert_eq!(ask(&asked, 2), Err(Refusal::Malformed), "{standing:?}");
        let nonce = wait(ask(&asked, 3));
        let shown = digits(&fingerprint(&office.authority().root_der), &csr, &nonce);
        let (_, now) = office.codes().into_iter().find(|(_, k)| k.ask).unwrap();
        assert_eq!((now.standing, now.digits), (CodeStatus::Waiting, Some(shown)), "compared anew");
        let stranger = office.enrol(&asked.token, &other, PORT, (3, None));
        assert_eq!(stranger, Err(Refusal::Used), "it belongs to the first request all the same");
    }
}

#[test]
fn a_gateway_whose_certificate_has_run_out_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let office = office(folder.path());
    for gateway in ["gw-1", "gw-2", "gw-3"] {
        let code = code(&office, gateway, false);
        office.enrol(&code.token, &csr(), PORT, (FORM_OTHERS, None)).unwrap();
    }
    // gw-3 was taken down in spring, and nobody has revoked it.
    let register = folder.path().join("register.jsonl");
    let text = std::fs::read_to_string(&register).unwrap();
    let spring = |line: &str| {
        let mut issued: serde_json::Value = serde_json::from_str(line).unwrap();
        if issued["name"] == "truck-1.gw-3" {
            issued["ends"] = (now_s() - 1).into();
        }
        format!("{issued}\n")
    };
    std::fs::write(&register, text.lines().map(spring).collect::<String>()).unwrap();
    let swapped = code(&office, "gw-1", false);
    let others = bundle(office.enrol(&swapped.token, &csr(), PORT, (FORM_OTHERS, None))).others.unwrap();
    assert_eq!(others, Others { replaces: true, gateways: vec![GatewayId::new("gw-2").unwrap()] });
}

#[test]
fn every_box_that_may_come_is_expected_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let office = office(folder.path());
    let expected = || {
        let all = office.expected().unwrap();
        all.into_iter().map(|(_, gateway)| gateway.to_string()).collect::<Vec<_>>()
    };
    let comes = |code: &Code| {
        bundle(office.enrol(&code.token, &csr(), PORT, (2, None)));
    };
    let run_out = |gateway: &str| {
        let made = code(&office, gateway, false);
        let (path, mut kept) =
            office.codes().into_iter().find(|(p, _)| *p == office.path(&made.token)).unwrap();
        kept.expires = now_s() - 1;
        office.keep(&path, &kept).unwrap();
        made
    };
    office.authority().server("broker", &["mqtt.example".to_owned()]).unwrap();
    comes(&code(&office, "gw-1", false));
    code(&office, "gw-2", false);
    run_out("gw-3");
    let cancelled = code(&office, "gw-4", false);
    office.cancel(&id_of(&office.path(&cancelled.token))).unwrap();
    assert_eq!(expected(), ["gw-1", "gw-2", "gw-3"], "one that never came is expected still");
    // A name whose box was given up, and an old code of it.
    run_out("gw-1");
    office.authority().revoke("truck-1.gw-1").unwrap();
    assert_eq!(expected(), ["gw-2", "gw-3"]);
    code(&office, "gw-1", false);
    assert_eq!(expected(), ["gw-1", "gw-2", "gw-3"], "another takes its place");
    std::fs::write(folder.path().join(expected::BY_HAND), "truck-1/gw-9").unwrap();
    assert_eq!(expected(), ["gw-1", "gw-2", "gw-3", "gw-9"], "one that was configured by hand");
}

#[test]
fn boxes_that_were_configured_by_hand_are_named_where_a_key_is_rotated() {
    let folder = tempfile::tempdir().unwrap();
    let office = office(folder.path());
    let reader = ReaderKey::from_bytes(&[1; envelope::KEY]).unwrap().reader();
    let enrolled = code(&office, "gw-1", false);
    bundle(office.enrol(&enrolled.token, &csr(), PORT, (2, Some(reader))));
    // Of an earlier version: it came with a code, and without a key for envelopes.
    let earlier = code(&office, "gw-2", false);
    bundle(office.enrol(&earlier.token, &csr(), PORT, (2, None)));
    // With a certificate of this authority, and with one of nobody knows whom.
    office.authority().server("truck-1.gw-3", &[]).unwrap();
    std::fs::write(folder.path().join(expected::BY_HAND), "truck-1/gw-4\nelsewhere/gw-1\n").unwrap();
    let made = office.subjects().rotate(&SiteId::new("truck-1").unwrap(), 0).unwrap();
    assert_eq!(made.boxes.len(), 1);
    assert_eq!(made.without, ["truck-1/gw-2", "truck-1/gw-3", "truck-1/gw-4"]);
    assert_eq!(made.by_hand, ["truck-1/gw-3", "truck-1/gw-4"]);
}
