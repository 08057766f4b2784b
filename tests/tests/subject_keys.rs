//! One key for a person at a site: given with the certificate, rotated by signed messages for each box alone, and
//! asked for without any key at the asker. With the authority, the broker and the daemons that ship.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_tests::brokers::{installed, skip_without};
use kakou_tests::enrolled::{EmptyBox, Office, nobody};
use kakou_tests::{passes, profiles, wait};
use serde_json::{Value, json};
use std::cell::Cell;
use std::fs;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const PERSON: &str = "R-0001";

struct Fleet {
    _folder: tempfile::TempDir,
    office: Office,
    /// Since when all boxes have been there.
    ready_ms: Cell<i64>,
}

/// Two sites whose lanes take cards.
fn fleet() -> Option<Fleet> {
    if skip_without("mosquitto", installed().is_some()) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::lane("gate", &["opaque"], &["status"], "", false);
    let gates = [("truck-1", "gw-1"), ("truck-1", "gw-2"), ("truck-2", "gw-1")];
    let office = Office::open(folder.path(), &gates, &profile);
    office.feeds(&[("status", json!({ PERSON: passes::healthy() })), ("hold", nobody())]);
    Some(Fleet { _folder: folder, office, ready_ms: Cell::new(0) })
}

impl Fleet {
    fn gateway(&self, site: &str, gateway: &str) -> EmptyBox {
        let mut one = EmptyBox::unpack(&self.office, &format!("{site}-{gateway}"));
        let code = self.office.code((site, gateway), &one);
        one.enrol(&code);
        one.await_events("list", 1);
        self.ready_ms.set(kakou_central::fleet::watch::now_ms());
        one
    }

    /// `kakou ca subjects … --out keys.json`, and what it wrote.
    fn keys(&self, what: &[&str]) -> Value {
        let all =
            [&["ca", "subjects", what[0], "--dir", "ca"][..], &what[1..], &["--out", "keys.json"]].concat();
        self.office.kakou(&all).unwrap();
        serde_json::from_slice(&fs::read(self.office.folder.join("keys.json")).unwrap()).unwrap()
    }

    fn send(&self, keys: &Value, wait_s: &str) -> Result<String, String> {
        fs::write(self.office.folder.join("send.json"), keys.to_string()).unwrap();
        let who = ["--sign-key", "ops.pk8", "--by", "test", "--reason", "test", "--wait", wait_s];
        self.office.fleet("subject-keys", &[&["--from", "send.json"][..], &who].concat())
    }

    /// Gateway and number of the key of each visit that is found.
    fn trace(&self, more: &[&str]) -> Result<Vec<(String, u64)>, String> {
        let who =
            ["--sign-key", "ops.pk8", "--site", "truck-1", "--by", "test", "--purpose", "test", "--json"];
        // What was before its journal no box knows.
        let begin = kakou_core::time::rfc3339(self.ready_ms.get());
        let when = ["--from", &begin, "--wait", "20000"];
        let told = self.office.fleet("trace", &[&who[..], &when, more].concat())?;
        let told: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
        let row = |row: &Value| {
            (row["gateway"].as_str().unwrap().to_owned(), row["subject_key"].as_u64().unwrap_or(0))
        };
        let mut rows: Vec<_> = told["rows"].as_array().unwrap().iter().map(row).collect();
        rows.sort();
        Ok(rows)
    }
}

/// Subject key and number of the last visit.
fn subject(one: &EmptyBox) -> (String, u64) {
    let data = one.events("transaction").last().unwrap()["data"].clone();
    (data["subject"].as_str().unwrap().to_owned(), data["subject_key"].as_u64().unwrap())
}

/// The same keys for some boxes alone.
fn only(keys: &Value, gateway: &str) -> Value {
    let all = keys["boxes"].as_array().unwrap().iter();
    json!({ "boxes": all.filter(|b| b["gateway"] == gateway).collect::<Vec<_>>() })
}

#[test]
fn a_person_is_found_at_all_gates_whatever_key_each_has_and_no_key_is_at_the_asker() {
    let Some(f) = fleet() else { return };
    let (mut one, mut two) = (f.gateway("truck-1", "gw-1"), f.gateway("truck-1", "gw-2"));
    for gate in [&mut one, &mut two] {
        gate.verdict(PERSON);
    }
    let first = subject(&one);
    assert_eq!((&first, first.1), (&subject(&two), 1));
    // One of them gets the next key; the other one has missed it.
    let keys = f.keys(&["rotate", "truck-1"]);
    let told = f.send(&only(&keys, "gw-1"), "60").unwrap();
    assert!(told.contains("truck-1/gw-1: SUCCEEDED"), "{told}");
    for gate in [&mut one, &mut two] {
        gate.verdict(PERSON);
    }
    let next = subject(&one);
    assert!(next.1 == 2 && next.0 != first.0, "{next:?}");
    assert_eq!(subject(&two), first);
    // Nothing of the authority but the public keys of the boxes.
    let folder = &f.office.folder;
    fs::create_dir(folder.join("readers")).unwrap();
    for name in ["truck-1.gw-1", "truck-1.gw-2"] {
        fs::copy(folder.join("ca/readers").join(name), folder.join("readers").join(name)).unwrap();
    }
    let found = |all: &[(&str, u64)]| all.iter().map(|(g, n)| ((*g).to_owned(), *n)).collect::<Vec<_>>();
    let person = ["--person", " r-0001 ", "--readers", "readers"];
    let all = found(&[("gw-1", 1), ("gw-1", 2), ("gw-2", 1), ("gw-2", 1)]);
    assert_eq!(f.trace(&person).unwrap(), all);
    // A subject key is of one number alone.
    assert_eq!(f.trace(&["--subject", &next.0]).unwrap(), found(&[("gw-1", 2)]));
    // It is away while the keys are sent again, and takes its own when it comes back.
    two.power_off();
    assert!(f.send(&keys, "3").is_err(), "one of them has not answered");
    two.power_on();
    let took = || two.events("command_done").iter().any(|e| e["data"]["state"] == "SUCCEEDED").then_some(());
    wait::until("the key", LIMIT, took);
    two.verdict(PERSON);
    assert_eq!(subject(&two), next, "one person, one key");
    // And after a restart as well.
    one.power_off();
    one.power_on();
    one.verdict(PERSON);
    assert_eq!(subject(&one), next);
    let all = found(&[("gw-1", 1), ("gw-1", 2), ("gw-1", 2), ("gw-2", 1), ("gw-2", 1), ("gw-2", 2)]);
    assert_eq!(f.trace(&person).unwrap(), all);
    // Who was asked for is on record as a key, and nowhere as an id.
    let asked = one.events("trace_query").last().unwrap()["data"].clone();
    assert_eq!((asked["subject"].as_str(), asked["subject_key"].as_u64()), (Some(next.0.as_str()), Some(2)));
    assert_eq!((asked["purpose"].as_str(), asked["rows"].as_u64()), (Some("test"), Some(3)));
    assert!(!format!("{asked}{}", one.log()).contains("0001"), "{asked}");
    // A gateway that cannot be asked is said, and is no "was not there".
    fs::remove_file(folder.join("readers/truck-1.gw-2")).unwrap();
    let why = f.trace(&person).unwrap_err();
    assert!(why.contains("not complete"), "{why}");
}

#[test]
fn a_key_for_another_box_or_that_was_changed_is_refused_and_the_one_before_stays_in_use() {
    let Some(f) = fleet() else { return };
    let (mut one, _two) = (f.gateway("truck-1", "gw-1"), f.gateway("truck-1", "gw-2"));
    one.verdict(PERSON);
    let before = subject(&one);
    let keys = f.keys(&["rotate", "truck-1"]);
    let ours = only(&keys, "gw-1");
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut keys = ours.clone();
        change(&mut keys["boxes"][0]);
        keys
    };
    let theirs = only(&keys, "gw-2")["boxes"][0]["sealed"].clone();
    let turned = |text: &Value| {
        let text = text.as_str().unwrap();
        format!("{}{}", if text.starts_with('A') { 'B' } else { 'A' }, &text[1..])
    };
    for (bad, why) in [
        (changed(&|b| b["sealed"] = theirs.clone()), "is for the key"),
        (changed(&|b| b["sealed"]["ct"] = json!(turned(&b["sealed"]["ct"]))), "does not open"),
        (changed(&|b| b["number"] = json!(3)), "does not open"),
    ] {
        let told = f.send(&bad, "60").unwrap_err();
        assert!(told.contains("1 of 1 boxes do not have it"), "{told}");
        let jobs = rusqlite::Connection::open(one.data().join("orders.db")).unwrap();
        let last = "SELECT state || detail FROM job ORDER BY n DESC LIMIT 1";
        let last: String = jobs.query_row(last, [], |r| r.get(0)).unwrap();
        assert!(last.contains("FAILED") && last.contains(why), "{last}");
    }
    one.verdict(PERSON);
    assert_eq!(subject(&one), before);
    let status = one.get("/api/v1/status").unwrap();
    assert_eq!(status["counters"]["subject_key_refused_total"], 3, "{status}");
    // The right one, and then the one before it is no way back.
    f.send(&ours, "60").unwrap();
    one.verdict(PERSON);
    assert_eq!(subject(&one).1, 2);
    let newer = f.keys(&["rotate", "truck-1"]);
    f.send(&only(&newer, "gw-1"), "60").unwrap();
    assert!(f.send(&ours, "60").is_err());
    one.verdict(PERSON);
    assert_eq!(subject(&one).1, 3);
}

#[test]
fn the_gates_of_a_group_of_sites_have_one_key_and_a_box_that_comes_later_has_it_as_well() {
    let Some(f) = fleet() else { return };
    let (mut one, mut far) = (f.gateway("truck-1", "gw-1"), f.gateway("truck-2", "gw-1"));
    for gate in [&mut one, &mut far] {
        gate.verdict(PERSON);
    }
    assert_ne!(subject(&one).0, subject(&far).0, "each site has its own");
    let keys = f.keys(&["group", "north", "truck-1", "truck-2"]);
    f.send(&keys, "60").unwrap();
    let mut two = f.gateway("truck-1", "gw-2");
    for gate in [&mut one, &mut two, &mut far] {
        gate.verdict(PERSON);
    }
    let key = subject(&one);
    assert_eq!(key.1, 2);
    assert_eq!((&subject(&two), &subject(&far)), (&key, &key));
    let list = f.office.kakou(&["ca", "subjects", "list", "--dir", "ca"]).unwrap();
    assert_eq!(list.trim(), "group north: key 2; truck-1, truck-2");
}

#[test]
fn the_fleet_page_asks_for_a_person_with_the_public_keys_of_the_boxes_alone() {
    let Some(f) = fleet() else { return };
    let (mut one, mut far) = (f.gateway("truck-1", "gw-1"), f.gateway("truck-2", "gw-1"));
    for gate in [&mut one, &mut far] {
        gate.verdict(PERSON);
    }
    let body = json!({ "person": PERSON, "subject": null, "lane": null, "from": "2020-01-01T00:00:00Z",
        "to": "2100-01-01T00:00:00Z", "purpose": "contact", "by": "test" });
    let ask = |page: &str| {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let sent = agent.post(format!("{page}/api/v1/trace")).header("content-type", "application/json");
        let mut answer = sent.send(body.to_string()).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str::<Value>(&text).unwrap())
    };
    let get = |address: String| -> Option<Value> {
        serde_json::from_str(&ureq::get(address).call().ok()?.body_mut().read_to_string().ok()?).ok()
    };
    let (page, _without) = f.office.page(&["--sign-key", "ops.pk8"]);
    let (status, told) = ask(&page);
    assert!(status == 400 && told["en"].as_str().unwrap().contains("--readers"), "{told}");
    let (page, _with) = f.office.page(&["--sign-key", "ops.pk8", "--readers", "ca/readers"]);
    let both = |v: &Value| {
        v["gateways"].as_array().is_some_and(|all| all.iter().filter(|g| g["online"] == true).count() == 2)
    };
    wait::until("the gateways", LIMIT, || get(format!("{page}/api/v1/fleet")).filter(both));
    let (status, asked) = ask(&page);
    assert_eq!(status, 200, "{asked}");
    let answers = format!("{page}/api/v1/trace/{}", asked["id"].as_str().unwrap());
    let found = wait::until("the answers", LIMIT, || get(answers.clone()).filter(|a| a["answered"] == 2));
    let mut rows: Vec<String> =
        found["rows"].as_array().unwrap().iter().map(|r| r["site"].to_string()).collect();
    rows.sort();
    assert_eq!(rows, ["\"truck-1\"", "\"truck-2\""], "{found}");
    assert_eq!(found["refused"], json!([]));
}
