//! The office.

use super::*;
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
    let wanted = Wanted {
        site: SiteId::new("truck-1").unwrap(),
        gateway: GatewayId::new(gateway).unwrap(),
        template: "t".into(),
        values: Values::new(),
        minutes: 5,
        ask: false,
        replaces,
    };
    office.code("https://enrol.example", wanted).unwrap()
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
        box_of(&code, 2).unwrap().unwrap().others.unwrap()
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
    assert!(!box_of(&first, 2).unwrap().unwrap().others.unwrap().replaces);
    assert!(box_of(&second, 2).unwrap().unwrap().others.unwrap().replaces);
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
        given.unwrap().unwrap().site_key.unwrap()
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
        let bundle = office.enrol(&code.token, &csr, ("/dev/ttyUSB0", 9_600), (2, None)).unwrap().unwrap();
        assert_eq!(bundle.others, Some(Others::default()));
    }
}

#[test]
fn a_box_of_an_earlier_version_takes_nobodys_place_and_hears_nothing_that_it_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let office = office(folder.path());
    let old = |code: &Code| office.enrol(&code.token, &csr(), ("/dev/ttyUSB0", 9_600), (1, None));
    let bundle = old(&code(&office, "gw-1", false)).unwrap().unwrap();
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
    let given =
        office.enrol(&old.token, &csr_of(&request.csr_pem), ("/dev/ttyUSB0", 9_600), (2, None)).unwrap();
    let site = SiteId::new("truck-1").unwrap();
    let next = csr();
    let renewal = Renewal {
        certificate: given.unwrap().certificate,
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
    assert_eq!(office.cancel(&id).unwrap().standing, Standing::Cancelled);
    let enrol = |code: &Code| office.enrol(&code.token, &csr(), ("/dev/ttyUSB0", 9_600), (2, None));
    assert!(matches!(enrol(&first), Err(Refusal::Refused)));
    assert!(enrol(&second).unwrap().is_some());
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
