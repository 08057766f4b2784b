//! A box that is broken, and another that takes its place under the same name: enrolled by the book, with the
//! authority, the broker and the daemons that ship.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_tests::brokers::{installed, skip_without};
use kakou_tests::desk::{Desk, PIN};
use kakou_tests::enrolled::{EmptyBox, Office, nobody};
use kakou_tests::{passes, profiles, wait};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// A truck that stands on the list `pass`, for one journey.
const PLATE: &str = "辽P54321";

struct Site {
    folder: tempfile::TempDir,
    office: Office,
    issuer: kakou_provisioning::issuer::Issuer,
}

/// A fleet with a site of three gates, whose lanes take vehicle passes and cards.
fn site() -> Option<Site> {
    if skip_without("mosquitto", installed().is_some()) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let lists = ["status", "pass", "hold", "revocation"];
    let profile = profiles::lane("gate", &["vehicle-pass", "opaque"], &lists, "", false);
    let gates = [("truck-1", "gw-1"), ("truck-1", "gw-2"), ("truck-1", "gw-3")];
    let office = Office::open(folder.path(), &gates, &profile);
    let issuer = passes::issuer();
    passes::trust(&folder.path().join("ca"), vec![passes::entry(&issuer)]);
    let people =
        json!({ "R-0001": passes::healthy(), "R-0002": passes::healthy(), "R-0003": passes::healthy() });
    let truck =
        |plate: &str| json!({ "plate": plate, "category": "emergency-supplies", "uses": 1, "crew": 2 });
    let plates = json!({ PLATE: truck(PLATE) });
    office.feeds(&[("status", people), ("pass", plates), ("hold", nobody()), ("revocation", nobody())]);
    Some(Site { folder, office, issuer })
}

impl Site {
    /// A pass for one journey.
    fn pass(&self) -> String {
        let facts = json!({ "plate": "辽P12345", "category": "emergency-supplies", "from": "211400", "to": "210100",
            "uses": 1, "crew": 2 });
        passes::pass(&self.issuer, "vehicle-pass", facts)
    }

    /// Unpacks a box and makes it a gateway that has its lists.
    fn gateway(&self, place: &str, gateway: &str) -> EmptyBox {
        let mut one = EmptyBox::unpack(&self.office, place);
        let code = self.office.code(("truck-1", gateway), &one);
        one.enrol(&code);
        one.await_events("list", 4);
        one
    }

    /// What is done with the box before: revoked, and never switched on again.
    fn take_away(&self, mut broken: EmptyBox, gateway: &str) {
        broken.power_off();
        self.office.kakou(&["ca", "revoke", "--dir", "ca", &format!("truck-1.{gateway}")]).unwrap();
    }
}

fn waits_for(one: &EmptyBox) -> Vec<Value> {
    let status = wait::until("the status", LIMIT, || one.get("/api/v1/status"));
    status["uses"]["waits_for"].as_array().cloned().unwrap_or_default()
}

/// Waits until so many entries from codes count.
fn await_entries(one: &EmptyBox, count: usize) {
    let taken = || one.events("list").iter().filter(|e| e["data"]["supplement"] == true).count();
    let all = wait::try_until(LIMIT, || (taken() == count).then_some(()));
    assert!(all.is_some(), "{} of {count} entries came: {}", taken(), one.log());
}

fn said(outcome: &str, code: &str) -> (String, Vec<String>) {
    (outcome.to_owned(), vec![code.to_owned()])
}

#[test]
fn a_box_in_the_place_of_another_takes_no_used_pass_and_forgets_no_hold() {
    let Some(s) = site() else { return };
    let (mut one, mut two) = (s.gateway("one", "gw-1"), s.gateway("two", "gw-2"));
    let (used, unused) = (s.pass(), s.pass());
    assert_eq!(one.verdict(&used), said("ADMIT", "OK"));
    // One hold is read here and one there, and both count at both.
    one.show(&s.office.hold("R-0001"));
    two.show(&s.office.hold("R-0002"));
    for gate in [&one, &two] {
        await_entries(gate, 2);
    }
    assert_eq!(one.verdict(PLATE), said("ADMIT", "OK"));
    wait::until("the uses", LIMIT, || (two.count("SELECT count(*) FROM redemption") == 2).then_some(()));
    assert_eq!(two.verdict(&used), said("DENY", "D_USED"));
    assert_eq!(two.verdict(PLATE), said("DENY", "D_USED"));
    assert_eq!(one.verdict("R-0002"), said("HOLD", "L_HOLD"));
    // The gate beside is out of reach while the box is changed.
    two.power_off();
    s.take_away(one, "gw-1");
    let mut one = s.gateway("one-again", "gw-1");
    assert_eq!(one.verdict(&used), said("HOLD", "X_USES"));
    assert_eq!(one.verdict(PLATE), said("HOLD", "X_USES"));
    for person in ["R-0001", "R-0003"] {
        assert_eq!(one.verdict(person), said("HOLD", "X_USES"), "nobody knows yet who is held: {person}");
    }
    assert_eq!(waits_for(&one), ["gw-2"]);
    // Switched off and on, it goes on waiting.
    one.power_off();
    one.power_on();
    assert_eq!(one.verdict(&unused), said("HOLD", "X_USES"));
    two.power_on();
    wait::until("the answer", LIMIT, || waits_for(&one).is_empty().then_some(()));
    // From the first moment on: who is held, what was used, and who may go in.
    for held in ["R-0002", "R-0001"] {
        assert_eq!(one.verdict(held), said("HOLD", "L_HOLD"), "{held}\n{}", one.log());
    }
    assert_eq!(one.verdict(&used), said("DENY", "D_USED"));
    assert_eq!(one.verdict(PLATE), said("DENY", "D_USED"));
    assert_eq!(one.verdict(&unused), said("ADMIT", "OK"));
    assert_eq!(one.verdict("R-0003"), said("ADMIT", "OK"));
    await_entries(&one, 2);
    for held in ["R-0001", "R-0002"] {
        assert_eq!(one.verdict(held), said("HOLD", "L_HOLD"), "{held}\n{}", one.log());
    }
    drop(s.folder);
}

#[test]
fn a_box_that_replaces_nobody_waits_for_nobody_and_hears_what_counts_at_the_site() {
    let Some(s) = site() else { return };
    let mut one = s.gateway("one", "gw-1");
    let used = s.pass();
    assert_eq!(one.verdict(&used), said("ADMIT", "OK"));
    one.show(&s.office.hold("R-0001"));
    await_entries(&one, 1);
    one.power_off();
    let mut two = s.gateway("two", "gw-2");
    assert!(waits_for(&two).is_empty());
    assert_eq!(two.verdict(&s.pass()), said("ADMIT", "OK"));
    one.power_on();
    await_entries(&two, 1);
    assert_eq!(two.verdict("R-0001"), said("HOLD", "L_HOLD"));
    assert_eq!(two.verdict(&used), said("DENY", "D_USED"));
    drop(s.folder);
}

#[test]
fn a_supervisor_releases_a_box_whose_neighbours_do_not_answer() {
    let Some(s) = site() else { return };
    let (one, mut two) = (s.gateway("one", "gw-1"), s.gateway("two", "gw-2"));
    two.power_off();
    s.take_away(one, "gw-1");
    let mut one = s.gateway("one-again", "gw-1");
    assert_eq!(one.verdict(&s.pass()), said("HOLD", "X_USES"));
    let release = |officer: &str, reason: &str| {
        let mut desk = Desk::new(&one.url());
        assert_eq!(desk.sign_in(officer, PIN).unwrap().0, 200);
        let body = json!({ "reason": reason, "pin": PIN }).to_string();
        desk.post("/api/v1/uses/release", &body, "application/json").unwrap().0
    };
    assert_eq!(release("li", "gw-2 is broken"), 403, "a guard may not");
    assert_eq!(release("wang", " "), 400, "not without a reason");
    assert_eq!(waits_for(&one), ["gw-2"]);
    let status = || s.office.kakou(&["status", "--url", &one.url()]).unwrap();
    assert!(status().contains("HELD until gw-2 has told"), "{}", status());
    assert_eq!(release("wang", "gw-2 is broken"), 200);
    assert!(waits_for(&one).is_empty() && !status().contains("HELD"));
    let audit =
        one.events("audit").into_iter().map(|e| e["data"].clone()).find(|d| d["act"] == "release_uses");
    let audit = audit.expect("it is on record");
    assert_eq!((&audit["officer"], &audit["waits_for"]), (&json!("wang"), &json!(["gw-2"])));
    assert_eq!(release("wang", "once more"), 409);
    assert_eq!(one.verdict(&s.pass()), said("ADMIT", "OK"));
    drop(s.folder);
}

#[test]
fn a_person_has_one_key_at_every_gate_of_a_site_and_after_a_swap() {
    let Some(s) = site() else { return };
    let (mut one, mut two) = (s.gateway("one", "gw-1"), s.gateway("two", "gw-2"));
    let subject = |one: &EmptyBox| one.events("transaction").last().unwrap()["data"]["subject"].clone();
    for gate in [&mut one, &mut two] {
        assert_eq!(gate.verdict("R-0001"), said("ADMIT", "OK"));
    }
    let first = subject(&one);
    assert_eq!(first, subject(&two));
    s.take_away(one, "gw-1");
    let mut one = s.gateway("one-again", "gw-1");
    one.verdict("R-0001");
    assert_eq!(first, subject(&one));
    let who = ["--sign-key", "ops.pk8", "--site", "truck-1", "--by", "test", "--purpose", "test", "--json"];
    let of = ["--person", "R-0001", "--readers", "ca/readers", "--from", "2020-01-01T00:00:00Z"];
    let told = s.office.output("trace", &[&who[..], &of].concat());
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    // What the box before had recorded is not there, and nobody calls that complete.
    assert_eq!(told["complete"], false);
    let mut gates: Vec<&str> =
        told["rows"].as_array().unwrap().iter().filter_map(|row| row["gateway"].as_str()).collect();
    gates.sort_unstable();
    assert_eq!(gates, ["gw-1", "gw-2"], "{told}");
    drop(s.folder);
}
