//! A box that is broken, and another that takes its place under the same name: enrolled by the book, with the
//! authority, the broker and the daemons that ship.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_tests::brokers::{installed, skip_without};
use kakou_tests::central::Ingest;
use kakou_tests::desk::{DeskClient, PIN};
use kakou_tests::enrolled::{EmptyBox, Office, nobody};
use kakou_tests::fleet::Central;
use kakou_tests::postgres::{self, Postgres};
use kakou_tests::{passes, profiles, wait};
use serde_json::{Value, json};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// A truck that stands on the list `pass`, for one journey.
const PLATE: &str = "辽P54321";

struct Site {
    folder: tempfile::TempDir,
    office: Office,
    issuer: kakou_authority::issuer::Issuer,
}

/// A fleet with a site of three gates, whose lanes take vehicle passes and cards.
fn site() -> Option<Site> {
    site_of(&[("truck-1", "gw-1"), ("truck-1", "gw-2"), ("truck-1", "gw-3")], "")
}

/// The same with these gates, whose lanes have further steps.
fn site_of(gates: &[(&str, &str)], steps: &str) -> Option<Site> {
    site_with(gates, |lists| profiles::lane("gate", &["vehicle-pass", "opaque"], lists, steps, false))
}

/// The same with a profile that is made for these lists.
fn site_with(gates: &[(&str, &str)], profile: impl FnOnce(&[&str]) -> String) -> Option<Site> {
    if skip_without("mosquitto", installed().is_some()) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let profile = profile(&["status", "pass", "hold", "revocation"]);
    let office = Office::open(folder.path(), gates, &profile);
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
        let mut desk = DeskClient::new(&one.url());
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

/// A step that seals the truck in front.
const SEAL: &str = "[[step]]\nkind = \"seal\"\ndoors = [{ value = \"rear\", zh = \"后门\", en = \"Rear\" }]\n\
                    kinds = [{ value = \"bolt\", zh = \"螺栓\", en = \"Bolt\" }]\n";

/// The central side: the ingest with its certificate, and a database that can be set back under it.
struct Centre {
    runtime: tokio::runtime::Runtime,
    server: Postgres,
    ingest: Ingest,
}

impl Centre {
    fn new(s: &Site) -> Option<Self> {
        if skip_without("postgresql", postgres::installed().is_some()) {
            return None;
        }
        s.office.kakou(&["ca", "server", "--dir", "ca", "--name", "central"]).unwrap();
        let at = |file: &str| s.office.folder.join("ca").join(file).display().to_string();
        let url = format!("mqtts://127.0.0.1:{}", s.office.broker.port);
        let (ca, cert, key) = (at("root.pem"), at("issued/central.pem"), at("issued/central.key"));
        let who = ["--broker", &url, "--ca", &ca, "--cert", &cert, "--key", &key];
        let server = Postgres::start().unwrap();
        let ingest = Ingest::of(&who, &server.url_of("kakou", "fleet"), "ingest", &[]);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let centre = Self { runtime, server, ingest };
        centre.sql("CREATE DATABASE fleet");
        Some(centre)
    }

    /// A command to the server. Whoever was there a moment ago may still be on the way out.
    fn sql(&self, sql: &str) {
        wait::until(sql, LIMIT, || {
            self.runtime.block_on(async { self.server.look().await.ok()?.batch_execute(sql).await.ok() })
        });
    }

    /// Waits until a question about what is known has this answer.
    fn await_count(&self, what: &str, count: i64) {
        let sql = format!("SELECT count(*) FROM known.{what}");
        let found = || -> Option<i64> {
            self.runtime.block_on(async {
                let client = self.server.look_at("fleet").await.ok()?;
                client.query_one(&sql, &[]).await.ok().map(|r| r.get(0))
            })
        };
        let there = wait::try_until(LIMIT, || (found() == Some(count)).then_some(()));
        assert!(there.is_some(), "{sql}: {:?}, and not {count}", found());
    }
}

/// Reads a code and seals the truck with a number; outcome and codes of its verdict.
fn sealed(one: &mut EmptyBox, code: &str, number: &str) -> (String, Vec<String>) {
    let count = one.events("transaction").len();
    one.show(code);
    assert_eq!(seal(one, number), 200, "{number}");
    let data = one.await_events("transaction", count + 1)[count]["data"].clone();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    (text(&data["outcome"]), data["codes"].as_array().into_iter().flatten().map(text).collect())
}

/// The status of the act that seals the truck in front; a seal that was used is a conflict.
fn seal(one: &EmptyBox, number: &str) -> u16 {
    let mut desk = DeskClient::new(&one.url());
    assert_eq!(desk.sign_in("zhao", PIN).unwrap().0, 200);
    let act = json!({ "action": "seal", "first": number, "second": number, "kind": "bolt", "door": "rear" });
    let answer = || {
        let (status, body) = desk.act("lane-1", &act).unwrap();
        (status == 200 || body["error"]["code"] == "seal_used").then_some(status)
    };
    wait::until("the step", LIMIT, answer)
}

fn release(one: &EmptyBox) -> u16 {
    let mut desk = DeskClient::new(&one.url());
    assert_eq!(desk.sign_in("wang", PIN).unwrap().0, 200);
    let body = json!({ "reason": "nobody can tell", "pin": PIN }).to_string();
    desk.post("/api/v1/uses/release", &body, "application/json").unwrap().0
}

#[test]
fn a_box_that_is_alone_at_its_site_is_replaced_and_the_central_side_tells_what_was_used_and_who_is_held() {
    let Some(s) = site_of(&[("truck-1", "gw-1"), ("hospital", "gw-1")], SEAL) else { return };
    let Some(mut centre) = Centre::new(&s) else { return };
    centre.ingest.start().unwrap();
    let mut one = s.gateway("one", "gw-1");
    let (used, unused) = (s.pass(), s.pass());
    assert_eq!(sealed(&mut one, &used, "LN0000001"), said("ADMIT", "OK"));
    assert_eq!(sealed(&mut one, PLATE, "LN0000002"), said("ADMIT", "OK"));
    one.show(&s.office.hold("R-0001"));
    await_entries(&one, 1);
    centre.await_count("used WHERE site = 'truck-1'", 4);
    centre.await_count("entry WHERE site = 'truck-1'", 1);
    centre.await_count("gateway WHERE site = 'truck-1' AND whole", 1);

    // A gateway of another site whose certificate is in bad hands says that seals were used here.
    s.office.kakou(&["ca", "server", "--dir", "ca", "--name", "hospital.gw-1"]).unwrap();
    let issued = s.office.folder.join("ca/issued");
    std::fs::copy(s.office.folder.join("ca/root.pem"), issued.join("ca.pem")).unwrap();
    let attacker = Central::new(&issued, s.office.broker.port);
    let claim = json!({ "pass": "~seal:LN0000003", "lane": "lane-1", "visit": 1, "at_ms": 1 }).to_string();
    let known =
        json!({ "pass": "~seal:LN0000003", "gateway": "gw-1", "lane": "lane-1", "visit": 1, "at_ms": 1 });
    let page = |asker: &str| json!({ "for": asker, "after": "", "uses": [known] }).to_string();
    for (topic, body) in [
        ("kakou/v1/truck-1/peer/gw-1/redemption", &claim),
        ("kakou/v1/truck-1/gw-1/tell", &page("central")),
        ("kakou/v1/truck-1/gw-1/told", &page("gw-1")),
        ("kakou/v1/hospital/gw-1/told", &page("gw-1")),
        ("kakou/central/x", &claim),
    ] {
        assert!(attacker.publish("hospital.gw-1", topic, body.as_bytes()).is_err(), "{topic}");
    }
    attacker.publish("hospital.gw-1", "kakou/v1/hospital/peer/gw-1/redemption", claim.as_bytes()).unwrap();
    attacker.publish("hospital.gw-1", "kakou/v1/hospital/gw-1/tell", page("central").as_bytes()).unwrap();
    centre.await_count("used WHERE site = 'hospital'", 1);

    // The central side is away while the box is changed.
    centre.ingest.kill();
    s.take_away(one, "gw-1");
    let mut one = s.gateway("one-again", "gw-1");
    assert_eq!(waits_for(&one), ["central"]);
    let status = || s.office.kakou(&["status", "--url", &one.url()]).unwrap();
    assert!(status().contains("HELD until the central side has told"), "{}", status());
    for (code, number) in
        [(used.as_str(), "LN0000011"), (unused.as_str(), "LN0000012"), ("R-0001", "LN0000013")]
    {
        assert_eq!(sealed(&mut one, code, number), said("HOLD", "X_USES"), "{code}");
    }
    // It comes back, and no supervisor is needed.
    centre.ingest.start().unwrap();
    wait::until("the answer", LIMIT, || waits_for(&one).is_empty().then_some(()));
    assert_eq!(sealed(&mut one, "R-0001", "LN0000014"), said("HOLD", "L_HOLD"), "{}", one.log());
    assert_eq!(sealed(&mut one, &used, "LN0000015"), said("DENY", "D_USED"));
    assert_eq!(sealed(&mut one, PLATE, "LN0000016"), said("DENY", "D_USED"));
    one.show(&unused);
    assert_eq!(seal(&one, "LN0000001"), 409, "the box before has used it");
    assert_eq!(seal(&one, "LN0000003"), 200, "the other site has not");
    let last = || one.events("transaction").last().unwrap()["data"]["outcome"].clone();
    wait::until("the fresh pass is admitted", LIMIT, || (last() == "ADMIT").then_some(()));
    drop(s.folder);
}

#[test]
fn a_database_that_was_set_back_or_is_empty_does_not_say_that_it_knows_all_and_the_box_waits_for_a_supervisor()
 {
    let Some(s) = site_of(&[("truck-1", "gw-1")], "") else { return };
    let Some(mut centre) = Centre::new(&s) else { return };
    centre.ingest.start().unwrap();
    let mut one = s.gateway("one", "gw-1");
    assert_eq!(one.verdict(&s.pass()), said("ADMIT", "OK"));
    centre.await_count("used", 1);
    centre.await_count("gateway WHERE whole", 1);
    centre.ingest.kill();
    centre.sql("CREATE DATABASE before TEMPLATE fleet");
    centre.ingest.start().unwrap();
    let used = s.pass();
    assert_eq!(one.verdict(&used), said("ADMIT", "OK"));
    centre.await_count("used", 2);
    // The box breaks, and the database is set back to before its last use.
    s.take_away(one, "gw-1");
    centre.ingest.kill();
    centre.sql("DROP DATABASE fleet");
    centre.sql("CREATE DATABASE fleet TEMPLATE before");
    centre.ingest.start().unwrap();
    let mut one = s.gateway("one-again", "gw-1");
    let lacks = |one: &EmptyBox| {
        let status = wait::until("the status", LIMIT, || one.get("/api/v1/status"));
        status["uses"].get("central").map(|central| central["since"].clone())
    };
    let since = wait::until("the answer", LIMIT, || lacks(&one));
    assert!(since.is_string(), "from when on it has heard this gateway: {since}");
    assert_eq!(one.verdict(&used), said("HOLD", "X_USES"), "it is not known that it was used");
    assert_eq!(waits_for(&one), ["central"]);
    assert_eq!(release(&one), 200);
    assert!(waits_for(&one).is_empty());
    assert_eq!(one.verdict(&s.pass()), said("ADMIT", "OK"));
    // Now nobody knows more than this box does.
    wait::until("it has told everything", 2 * LIMIT, || {
        centre.runtime.block_on(async {
            let client = centre.server.look_at("fleet").await.ok()?;
            let whole: bool = client.query_one("SELECT whole FROM known.gateway", &[]).await.ok()?.get(0);
            whole.then_some(())
        })
    });
    // Once more, with an empty database.
    centre.ingest.kill();
    centre.sql("DROP DATABASE fleet");
    centre.sql("CREATE DATABASE fleet");
    s.take_away(one, "gw-1");
    centre.ingest.start().unwrap();
    let mut one = s.gateway("one-more", "gw-1");
    wait::until("the answer", LIMIT, || lacks(&one));
    assert_eq!(one.verdict(&used), said("HOLD", "X_USES"));
    let status = s.office.kakou(&["status", "--url", &one.url()]).unwrap();
    assert!(status.contains("the central side"), "{status}");
    drop(s.folder);
}

#[test]
fn gates_of_a_site_that_are_all_swapped_at_once_go_on_by_what_the_central_side_knows() {
    let Some(s) = site() else { return };
    let Some(mut centre) = Centre::new(&s) else { return };
    centre.ingest.start().unwrap();
    let names = ["gw-1", "gw-2", "gw-3"];
    let mut gates: Vec<EmptyBox> = names.iter().map(|name| s.gateway(name, name)).collect();
    let used = s.pass();
    assert_eq!(gates[0].verdict(&used), said("ADMIT", "OK"));
    centre.await_count("used", 1);
    centre.await_count("gateway WHERE whole", 3);
    centre.ingest.kill();
    // All are broken, and each new box is told of the other two.
    gates.clear();
    let again = |name: &&str| {
        s.office.kakou(&["ca", "revoke", "--dir", "ca", &format!("truck-1.{name}")]).unwrap();
        s.gateway(&format!("{name}-again"), name)
    };
    let mut gates: Vec<EmptyBox> = names.iter().map(again).collect();
    // They have heard each other, and none of them knows what the boxes before have used.
    for gate in &gates {
        wait::until("it waits for nobody of them", LIMIT, || (waits_for(gate) == ["central"]).then_some(()));
    }
    assert_eq!(gates[1].verdict(&used), said("HOLD", "X_USES"));
    centre.ingest.start().unwrap();
    for gate in &gates {
        wait::until("the answer", LIMIT, || waits_for(gate).is_empty().then_some(()));
    }
    for gate in &mut gates {
        assert_eq!(gate.verdict(&used), said("DENY", "D_USED"));
    }
    drop(s.folder);
}

/// A register of the site, and the step that takes a place in it: one person under each group.
const REGISTER: &str = "[[register]]\nname = \"companion\"\nkey = \"entry.status.group\"\nholder = \"pass.subject\"\nlimit = 1\n\
                        over = \"Q_COMPANION\"\nkeep = \"30d\"\n";
const TAKES: &str = "[[step]]\nkind = \"register\"\nregister = \"companion\"\nact = \"put\"\n";

#[test]
fn a_box_that_is_alone_at_its_site_is_replaced_and_the_central_side_tells_who_is_inside() {
    let Some(s) = site_with(&[("truck-1", "gw-1")], |lists| {
        let lane = profiles::lane("gate", &["vehicle-pass", "opaque"], lists, "", false);
        lane.replace("[[step]]\nkind = \"decide\"", &format!("{REGISTER}{TAKES}[[step]]\nkind = \"decide\""))
    }) else {
        return;
    };
    let Some(mut centre) = Centre::new(&s) else { return };
    centre.ingest.start().unwrap();
    let mut one = s.gateway("one", "gw-1");
    assert_eq!(one.verdict("R-0001"), said("ADMIT", "OK"));
    assert_eq!(one.verdict("R-0002"), said("HOLD", "Q_COMPANION"));
    centre.await_count("slot WHERE site = 'truck-1' AND register = 'companion' AND held", 1);
    centre.await_count("gateway WHERE site = 'truck-1' AND whole", 1);
    s.take_away(one, "gw-1");
    let mut one = s.gateway("one-again", "gw-1");
    wait::until("the answer", LIMIT, || waits_for(&one).is_empty().then_some(()));
    assert_eq!(one.count("SELECT count(*) FROM slot WHERE register = 'companion' AND held = 1"), 1);
    assert_eq!(
        one.verdict("R-0002"),
        said("HOLD", "Q_COMPANION"),
        "the box before has let in another\n{}",
        one.log()
    );
    assert_eq!(one.verdict("R-0001"), said("ADMIT", "OK"), "who is inside has a place");
    drop(s.folder);
}
