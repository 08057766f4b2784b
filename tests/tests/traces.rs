//! Who was where, over two gates, a box that was changed and a box that has purged: the same as the log of what was
//! played. With the authority, the broker, the consumer, the database and the daemons that ship.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_core::event::Class;
use kakou_core::time::rfc3339;
use kakou_gateway::store::{journal, outbox};
use kakou_tests::brokers::{installed, skip_without};
use kakou_tests::central::Ingest;
use kakou_tests::enrolled::{EmptyBox, Office};
use kakou_tests::postgres::{self, Postgres};
use kakou_tests::{passes, profiles, wait};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const LIMIT: Duration = Duration::from_secs(60);
const PEOPLE: [&str; 2] = ["R-0001", "R-0002"];

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// What the test has played: when, at which gate, who, and what the gate said.
#[derive(Default)]
struct Log(Vec<(i64, &'static str, &'static str, String)>);

impl Log {
    fn visit(&mut self, gate: &mut EmptyBox, name: &'static str, person: &'static str) {
        // Where events are purged, those that are there cannot be counted.
        let head = || outbox::head(&journal::reader(&gate.data()).unwrap(), Class::Verdict).unwrap();
        let before = head();
        gate.show(person);
        let outcome = wait::until("a verdict", LIMIT, || {
            let all = gate.events("transaction");
            let new = all.iter().find(|e| e["streamseq"].as_u64().is_some_and(|seq| seq > before))?;
            new["data"]["outcome"].as_str().map(str::to_owned)
        });
        self.0.push((now_ms(), name, person, outcome));
    }

    /// Gate and outcome of the visits that fit, the latest first.
    fn of(&self, fits: impl Fn(i64, &str, &str) -> bool) -> Vec<(String, String)> {
        let mine = self.0.iter().rev().filter(|(at, gate, person, _)| fits(*at, gate, person));
        mine.map(|(_, gate, _, outcome)| ((*gate).to_owned(), outcome.clone())).collect()
    }
}

struct Fleet {
    office: Office,
    database: Postgres,
    runtime: tokio::runtime::Runtime,
    _ingest: Ingest,
    _folder: tempfile::TempDir,
}

fn fleet() -> Option<Fleet> {
    let there = installed().is_some() && postgres::installed().is_some();
    if skip_without("mosquitto and postgresql", there) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::lane("gate", &["opaque"], &["status"], "", false);
    let office = Office::open(folder.path(), &[("truck-1", "gw-1"), ("truck-1", "gw-2")], &profile);
    office.feeds(&[("status", json!({ PEOPLE[0]: passes::healthy(), PEOPLE[1]: {} }))]);
    office.kakou(&["ca", "server", "--dir", "ca", "--name", "central"]).unwrap();
    let database = Postgres::start().unwrap();
    let url = format!("mqtts://127.0.0.1:{}", office.broker.port);
    let at = |file: &str| office.folder.join("ca").join(file).display().to_string();
    let (root, cert, key) = (at("root.pem"), at("issued/central.pem"), at("issued/central.key"));
    let broker = ["--broker", &url, "--ca", &root, "--cert", &cert, "--key", &key];
    let mut ingest = Ingest::of(&broker, &database.url(), "ingest", &[]);
    ingest.start().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    Some(Fleet { office, database, runtime, _ingest: ingest, _folder: folder })
}

impl Fleet {
    fn gateway(&self, place: &str, gateway: &str, more: &str) -> EmptyBox {
        let template = self.office.folder.join("ca/templates/gate.toml");
        let text = fs::read_to_string(&template).unwrap();
        fs::write(&template, format!("{text}{more}")).unwrap();
        let mut one = EmptyBox::unpack(&self.office, place);
        let code = self.office.code(("truck-1", gateway), &one);
        one.enrol(&code);
        fs::write(&template, text).unwrap();
        one.await_events("list", 1);
        one
    }

    /// Waits until so many visits are in the database.
    fn await_stored(&self, count: i64) {
        self.runtime.block_on(async {
            let client = self.database.look().await.unwrap();
            let end = tokio::time::Instant::now() + LIMIT;
            let sql = "SELECT count(*) FROM event WHERE kind = 'kakou.transaction.v1'";
            loop {
                // The tables are made by the consumer.
                let there = client.query_one(sql, &[]).await.map_or(0, |r| r.get::<_, i64>(0));
                if there == count {
                    return;
                }
                assert!(tokio::time::Instant::now() < end, "{there} of {count} visits are stored");
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        });
    }

    /// What `kakou fleet trace` prints, and whether it says that this is all.
    fn trace(&self, what: &[&str], window: (i64, i64), database: bool) -> (Value, bool) {
        let (begin, end) = (rfc3339(window.0), rfc3339(window.1));
        let who =
            ["--sign-key", "ops.pk8", "--site", "truck-1", "--by", "test", "--purpose", "test", "--json"];
        let when = ["--from", &begin, "--to", &end, "--wait", "20000"];
        let url = self.database.url();
        let database = if database { vec!["--database", &url] } else { Vec::new() };
        let arguments = [&who[..], &when, &database, what].concat();
        let out = self.office.output("trace", &arguments);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let told: Value = serde_json::from_str(text.lines().last().unwrap_or_default())
            .unwrap_or_else(|e| panic!("{e}: {text} {}", String::from_utf8_lossy(&out.stderr)));
        assert_eq!(told["complete"], out.status.success(), "{told}");
        (told, out.status.success())
    }
}

/// Gate and outcome of the visits of an answer, the latest first.
fn visits(told: &Value) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    told["rows"].as_array().unwrap().iter().map(|r| (text(&r["gateway"]), text(&r["outcome"]))).collect()
}

/// Of whom what is not known.
fn unknown(told: &Value) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    told["unknown"].as_array().unwrap().iter().map(|r| (text(&r["gateway"]), text(&r["why"]))).collect()
}

fn named(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn a_trace_over_two_gates_a_purge_and_a_changed_box_is_the_log_of_what_was_played_and_says_what_nobody_knows()
{
    let Some(f) = fleet() else { return };
    let begin = now_ms();
    let mut log = Log::default();
    // The first gate keeps nothing that was delivered.
    let mut one = f.gateway("one", "gw-1", "[retention]\nkeep_days = 0\n");
    let mut two = f.gateway("two", "gw-2", "");
    let settled = now_ms();
    for person in PEOPLE {
        log.visit(&mut one, "gw-1", person);
        log.visit(&mut two, "gw-2", person);
    }
    // A visit may follow within the millisecond.
    let known = now_ms() - 1;
    log.visit(&mut two, "gw-2", PEOPLE[0]);
    f.await_stored(5);
    wait::until("the purge", LIMIT, || one.events("transaction").is_empty().then_some(()));
    log.visit(&mut one, "gw-1", PEOPLE[0]);
    f.await_stored(6);

    // The second box is broken, and another one takes its place.
    two.power_off();
    f.office.kakou(&["ca", "revoke", "--dir", "ca", "truck-1.gw-2"]).unwrap();
    let mut two = f.gateway("two-again", "gw-2", "");
    log.visit(&mut two, "gw-2", PEOPLE[0]);
    log.visit(&mut two, "gw-2", PEOPLE[1]);
    f.await_stored(8);
    let person = ["--person", PEOPLE[0], "--readers", "ca/readers"];
    let played = |from: i64, to: i64| log.of(|at, _, who| who == PEOPLE[0] && (from..=to).contains(&at));
    let end = now_ms();

    // All of it, with the change of the box named: nobody knows what the old one had not sent.
    let (told, complete) = f.trace(&person, (begin, end), true);
    assert_eq!(visits(&told), played(begin, end), "{told}");
    assert!(!complete);
    assert_eq!(unknown(&told), named(&[("truck-1/gw-2", "swapped")]), "{told}");
    let sources = |told: &Value| {
        let rows = told["rows"].as_array().unwrap();
        rows.iter().map(|r| r["sources"].as_array().unwrap().len()).collect::<Vec<_>>()
    };
    let rows = told["rows"].as_array().unwrap();
    let alone = rows.iter().filter(|r| r["sources"] == json!(["database"])).count();
    assert!(alone >= 3 && sources(&told).contains(&2), "{told}");
    // A time before the last word of the old one is known whole, though both gates have nothing of it any more.
    let (told, complete) = f.trace(&person, (settled, known), true);
    assert_eq!(visits(&told), played(settled, known), "{told}");
    assert!(complete && visits(&told).len() == 2, "{told}");
    let last = log.0.iter().rev().find(|(_, gate, ..)| *gate == "gw-1").unwrap().0;
    let (told, _) = f.trace(&["--lane", "lane-1"], (begin, end), true);
    assert_eq!(visits(&told), log.of(|_, _, _| true), "a lane of both gates: {told}");

    // Boxes alone do not know it, and say so.
    let (told, complete) = f.trace(&person, (begin, end), false);
    assert!(!complete && visits(&told).len() < played(begin, end).len(), "{told}");
    let dark = unknown(&told);
    assert_eq!(dark, named(&[("truck-1/gw-1", "purged"), ("truck-1/gw-2", "begins")]), "{told}");

    // The page gives the same answer.
    let (page, _page) =
        f.office.page(&["--sign-key", "ops.pk8", "--readers", "ca/readers", "--database", &f.database.url()]);
    let get = |address: String| -> Option<Value> {
        serde_json::from_str(&ureq::get(address).call().ok()?.body_mut().read_to_string().ok()?).ok()
    };
    let both = |v: &Value| {
        v["gateways"].as_array().is_some_and(|all| all.iter().filter(|g| g["online"] == true).count() == 2)
    };
    wait::until("the gateways", LIMIT, || get(format!("{page}/api/v1/fleet")).filter(both));
    let body = json!({ "person": PEOPLE[0], "from": rfc3339(begin), "to": rfc3339(end), "purpose": "contact",
        "by": "test" });
    let sent = ureq::post(format!("{page}/api/v1/trace")).header("content-type", "application/json");
    let asked: Value =
        serde_json::from_str(&sent.send(body.to_string()).unwrap().body_mut().read_to_string().unwrap())
            .unwrap();
    let answers = format!("{page}/api/v1/trace/{}", asked["id"].as_str().unwrap());
    let told = wait::until("the answers", LIMIT, || get(answers.clone()).filter(|a| a["done"] == true));
    assert_eq!(visits(&told), played(begin, end), "{told}");
    assert_eq!(unknown(&told), named(&[("truck-1/gw-2", "swapped")]), "{told}");

    // A box that is away is known until its last word.
    one.power_off();
    let away = |told: &Value| told["answered"] == 1;
    let told = wait::until("its end", LIMIT, || {
        let (told, _) = f.trace(&person, (settled, last), true);
        away(&told).then_some(told)
    });
    assert_eq!(visits(&told), played(settled, last), "{told}");
    assert_eq!(told["missing"], json!(["truck-1/gw-1"]));
    let (told, complete) = f.trace(&person, (settled, end), true);
    assert!(!complete && unknown(&told).contains(&("truck-1/gw-1".into(), "no-answer".into())), "{told}");
}
