//! What a running gateway says, held against the documents that it hands out; and what gateways of before have said.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_central::ingest::ledger::{Gone, Ledger, Sink};
use kakou_central::ingest::postgres::Database;
use kakou_central::ingest::{self, About, From, ReceivedEvent, StateMessage, Store};
use kakou_core::core::{Core, Step};
use kakou_core::hl7::word::{Standing, Word};
use kakou_core::ids::GatewayId;
use kakou_core::lane::view;
use kakou_core::records::{Records, RecordsFault, Redemption, Write};
use kakou_core::register::Slot;
use kakou_core::scenario::{
    self,
    store::{Entries, Memory, PeerUse, RestartState, Store as Keeps},
};
use kakou_core::time::Now;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::brokers::{Mosquitto, installed, skip_without};
use kakou_tests::contract::Contract;
use kakou_tests::daemon::{Gateway, Plan, free_port, programs};
use kakou_tests::desk::{self, DeskClient};
use kakou_tests::mqtt::{Recorded, Recorder};
use kakou_tests::postgres::{self, Postgres};
use kakou_tests::{profiles, wait};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const EVENT: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

fn json_of(message: &Recorded) -> Value {
    serde_json::from_slice(&message.payload).unwrap()
}

fn is_event(message: &Recorded) -> bool {
    message.topic.contains("/evt/") || message.topic.contains("/late/")
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_a_gateway_says_over_mqtt_is_what_the_contract_says_and_its_content_type_as_well() {
    if skip_without("mosquitto", installed().is_some()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::plain(folder.path(), "plain");
    let profile = profiles::lane("gate", &["opaque"], &[], "", false);
    std::fs::write(folder.path().join("gate.toml"), profile).unwrap();
    let tables = format!(
        "[upstream]\nbroker = \"mqtt://127.0.0.1:{}\"\nhome_assistant = true\nbatch = 20\n",
        broker.port
    );
    let plan = Plan { tables, ..Plan::default() }.lane("lane-1", "gate.toml", &["scanner"]);
    let mut gateway = Gateway::prepare(folder.path(), plan);
    let mut scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    // What it puts on record before there is a broker leaves in a batch.
    tokio::task::block_in_place(|| {
        gateway.start();
        scanner.scan("ID-1").unwrap();
        gateway.await_events("transaction", 1);
        gateway.stop();
        broker.start();
    });
    let mut recorder = Recorder::subscribe(broker.port).await.unwrap();
    tokio::task::block_in_place(|| {
        gateway.start();
        scanner.scan("ID-2").unwrap();
        gateway.await_events("transaction", 2);
    });
    let all = recorder
        .until(LIMIT, |all| {
            let has = |topic: &str| all.iter().any(|m| m.topic == topic);
            let of = |kind: &str| {
                all.iter()
                    .any(|m| is_event(m) && m.content_type.as_deref() == Some(kind) && !m.payload.is_empty())
            };
            has("kakou/v1/test/gw-1/state")
                && has("kakou/v1/test/gw-1/health")
                && has("homeassistant/device/kakou-test-gw-1/config")
                && of(BATCH)
                && of(EVENT)
        })
        .await
        .unwrap();
    let contract = Contract::mqtt();
    for message in &all {
        match message.topic.as_str() {
            _ if is_event(message) => {
                let body = json_of(message);
                let content = message.content_type.as_deref();
                assert_eq!(content, Some(if body.is_array() { BATCH } else { EVENT }), "{}", message.topic);
                for event in body.as_array().unwrap_or(&vec![body.clone()]) {
                    assert_eq!(contract.event_faults(event), [""; 0], "{event:#}");
                    assert!(message.topic.ends_with(event["stream"].as_str().unwrap()));
                }
            }
            "kakou/v1/test/gw-1/state" => contract.hold("State", &json_of(message)),
            "kakou/v1/test/gw-1/health" => contract.hold("Health", &json_of(message)),
            "homeassistant/device/kakou-test-gw-1/config" => {
                assert!(json_of(message)["components"]["outbox"].is_object());
            }
            other => panic!("nobody knows the topic {other}"),
        }
    }
    gateway.stop();
    let offline = |m: &Recorded| m.topic.ends_with("/state") && json_of(m)["online"] == false;
    let all = recorder.until(LIMIT, |all| all.iter().any(offline)).await.unwrap();
    contract.hold("State", &json_of(all.iter().find(|m| offline(m)).unwrap()));
}

/// Samples of an exposition by name.
fn families(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines.map(|l| l.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

/// The figures that the alarms which ship ask for.
fn asked_for(group: &str) -> BTreeSet<String> {
    let rules = include_str!("../../gateway/central/prometheus.rules.yml");
    let (_, rest) = rules.split_once(&format!("- name: {group}")).unwrap();
    let group = rest.split("- name:").next().unwrap();
    let expressions = group.lines().filter_map(|l| l.trim().strip_prefix("expr: "));
    let words = expressions.flat_map(|e| e.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'));
    words.filter(|w| w.starts_with("kakou_")).map(str::to_owned).collect()
}

#[test]
fn answers_of_the_api_are_what_its_document_says_and_every_alarm_that_ships_has_its_figure() {
    let folder = tempfile::tempdir().unwrap();
    let profile = profiles::lane("gate", &["opaque"], &[], "", false);
    std::fs::write(folder.path().join("gate.toml"), profile).unwrap();
    let plan = Plan { http: true, tables: desk::officers(), ..Plan::default() };
    let mut gateway = Gateway::prepare(folder.path(), plan.lane("lane-1", "gate.toml", &["scanner"]));
    let mut scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    gateway.start();
    scanner.scan("ID-1").unwrap();
    gateway.await_events("transaction", 1);
    let contract = Contract::api();
    let mut desk = DeskClient::new(&gateway.url(""));
    let got = |desk: &DeskClient, path: &str| {
        let (status, text) = desk.get(path).unwrap();
        (status, serde_json::from_str::<Value>(&text).unwrap_or_else(|e| panic!("{path}: {e}: {text}")))
    };
    for (path, form) in
        [("lanes", "Lanes"), ("status", "Status"), ("officers", "Officers"), ("codes", "CodeTable")]
    {
        let (status, body) = got(&desk, &format!("/api/v1/{path}"));
        assert_eq!(status, 200, "{path}");
        contract.hold(form, &body);
    }
    // Whatever asks for a session answers without one in the form of a refusal.
    let (_, document) = got(&desk, "/api/v1/openapi.json");
    let mut guarded = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if !operation["security"].is_array() {
                continue;
            }
            let path = path.replace("{lane}", "lane-1").replace("{sha256}", &"0".repeat(64));
            let path = if path.ends_with("/search") { format!("{path}?name=x") } else { path };
            let (status, body) = match method.as_str() {
                "post" => desk.post(&path, "{\"action\":\"recheck\"}", "application/json").unwrap(),
                _ => got(&desk, &path),
            };
            assert_eq!(status, 401, "{method} {path}: {body}");
            contract.hold("Error", &body);
            guarded += 1;
        }
    }
    assert!(guarded > 5, "{guarded}");
    let (status, refused) = desk.sign_in("li", "0000").unwrap();
    assert_eq!(status, 401);
    contract.hold("Error", &refused);
    contract.hold("SignedIn", &desk.sign_in("li", desk::PIN).unwrap().1);
    contract.hold("SignedIn", &got(&desk, "/api/v1/session").1);
    let today = got(&desk, "/api/v1/lanes/lane-1/today").1;
    contract.hold("Today", &today);
    assert_eq!(today["rows"].as_array().map(Vec::len), Some(1), "{today}");
    contract.hold("FoundNames", &got(&desk, "/api/v1/lanes/lane-1/search?name=x").1);
    let (status, done) = desk.act("lane-1", &json!({ "action": "enter", "text": "ID-2" })).unwrap();
    assert_eq!(status, 200, "{done}");
    contract.hold("Done", &done);

    let (_, text) = desk.get("/metrics").unwrap();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        assert!(line.contains("site=\"test\",gateway=\"gw-1\""), "{line}");
    }
    assert!(text.contains("lane=\"lane-1\""), "{text}");
    let shown = families(&text);
    // A box without a link has no certificate, and this machine perhaps no sensor.
    let absent = ["kakou_certificate_days", "kakou_box_temperature_celsius"];
    for name in asked_for("kakou-gateway") {
        assert!(shown.contains(&name) || absent.contains(&name.as_str()), "no figure {name} in {text}");
    }
}

/// A store in memory. What it keeps, screens show: each time that is held against the document.
struct Shown {
    memory: Memory,
    views: usize,
}

impl Records for Shown {
    fn entry(&self, list: &str, id: &str) -> Result<Option<Map<String, Value>>, RecordsFault> {
        self.memory.entry(list, id)
    }
    fn issued_ms(&self, list: &str) -> Result<Option<i64>, RecordsFault> {
        self.memory.issued_ms(list)
    }
    fn revoked(&self, kid: &str, id: &str) -> Result<bool, RecordsFault> {
        self.memory.revoked(kid, id)
    }
    fn redeemed(&self, pass_id: &str) -> Result<Option<Redemption>, RecordsFault> {
        self.memory.redeemed(pass_id)
    }
    fn uses_known(&self) -> Result<bool, RecordsFault> {
        self.memory.uses_known()
    }
    fn seal_used(&self, number: &str) -> Result<bool, RecordsFault> {
        self.memory.seal_used(number)
    }
    fn slots(&self, register: &str, keys: &[String]) -> Result<Vec<Slot>, RecordsFault> {
        self.memory.slots(register, keys)
    }
    fn slots_of(&self, register: &str, holders: &[String]) -> Result<Vec<Slot>, RecordsFault> {
        self.memory.slots_of(register, holders)
    }
    fn alarms(&self, until_ms: i64, most: usize) -> Result<Vec<Slot>, RecordsFault> {
        self.memory.alarms(until_ms, most)
    }
    fn next_alarm(&self, after_ms: i64) -> Result<Option<i64>, RecordsFault> {
        self.memory.next_alarm(after_ms)
    }
}

impl Keeps for Shown {
    fn keep(&mut self, step: &Step, core: &Core, now: &Now) -> Result<(), RecordsFault> {
        self.memory.keep(step, core, now)?;
        let contract = Contract::api();
        for lane in step.lanes.iter().filter_map(|id| core.lane(id)) {
            let around = view::Around {
                closed: None,
                upstream: "off",
                waits: false,
                links: core.links(),
                issued: &|list| self.memory.issued_ms(list).ok().flatten(),
            };
            contract.hold("Screen", &json!(view::screen(lane, now, &around, 1)));
            let mut desk = json!(view::desk(lane, now, &around));
            desk["last_visits"] = view::last_visits(lane).map(|v| json!(view::last_visit(lane, v))).collect();
            desk["uses_wait_for"] = json!([]);
            contract.hold("Desk", &desk);
            self.views += 1;
        }
        Ok(())
    }
    fn write(&mut self, writes: &[Write], now: &Now) -> Result<(), RecordsFault> {
        self.memory.write(writes, now)
    }
    fn restart(&mut self) -> Result<RestartState, RecordsFault> {
        self.memory.restart()
    }
    fn edition(&mut self, list: &str, issued_ms: i64, entries: &Entries) -> Result<(), RecordsFault> {
        self.memory.edition(list, issued_ms, entries)
    }
    fn standing(&self, list: &str, id: &str) -> Result<Option<Standing>, RecordsFault> {
        self.memory.standing(list, id)
    }
    fn tell(&mut self, list: &str, id: &str, word: &Word) -> Result<(), RecordsFault> {
        self.memory.tell(list, id, word)
    }
    fn peer_slot(&mut self, from: &GatewayId, slot: &Slot, now: &Now) -> Result<bool, RecordsFault> {
        self.memory.peer_slot(from, slot, now)
    }
    fn peer(&mut self, told: &PeerUse, now: &Now) -> Result<bool, RecordsFault> {
        self.memory.peer(told, now)
    }
}

#[test]
fn whatever_screens_show_in_any_scenario_is_what_the_document_of_the_api_says() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/core/scenarios");
    let mut views = 0;
    for folder in std::fs::read_dir(all).unwrap().map(|f| f.unwrap().path()).filter(|f| f.is_dir()) {
        for file in std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()) {
            let name = file.display().to_string();
            let scenario = scenario::read(&name, &std::fs::read_to_string(&file).unwrap()).unwrap();
            let mut keeps = Shown { memory: Memory::new(scenario::gateway()), views: 0 };
            let find = |named: &str| {
                let beside = || {
                    std::fs::read_to_string(file.with_file_name(named)).map_err(|e| format!("{named}: {e}"))
                };
                scenario::shipped(named).or_else(|_| Ok((named.to_owned(), beside()?)))
            };
            let played = scenario::play(&scenario, &find, &mut keeps, &mut |_| {});
            assert_eq!(played, Ok(None), "{name}");
            views += keeps.views;
        }
    }
    assert!(views > 500, "{views}");
}

/// A program of the central side that shows its figures.
struct Shows(std::process::Child, u16);

impl Shows {
    fn start(folder: &std::path::Path, arguments: &[&str]) -> Self {
        let port = free_port();
        let mut command = Command::new(programs().join("kakou"));
        command.current_dir(folder).args(arguments).args(["--metrics", &format!("127.0.0.1:{port}")]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Self(child, port)
    }

    fn text(&self) -> String {
        let desk = DeskClient::new(&format!("http://127.0.0.1:{}", self.1));
        wait::until("figures", LIMIT, || desk.get("/metrics").ok().filter(|(status, _)| *status == 200)).1
    }
}

impl Drop for Shows {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn every_service_of_the_central_side_shows_its_figures_on_this_machine_alone() {
    if skip_without("mosquitto", installed().is_some())
        || skip_without("postgresql", postgres::installed().is_some())
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::plain(folder.path(), "plain");
    broker.start();
    let database = Postgres::start().unwrap();
    let kakou = |arguments: &[&str]| {
        let out = Command::new(programs().join("kakou")).current_dir(folder.path()).args(arguments).output();
        let out = out.unwrap();
        (out.status.success(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let (made, why) = kakou(&["ca", "init", "--dir", "ca", "--broker", &url]);
    assert!(made, "{why}");
    let (made, why) = kakou(&["ca", "server", "--dir", "ca", "--name", "bulk", "127.0.0.1"]);
    assert!(made, "{why}");
    std::fs::write(folder.path().join("secret"), [7; 32]).unwrap();
    let [page, office, bulk] = [(); 3].map(|()| free_port());
    let at = |port: u16| format!("127.0.0.1:{port}");
    let ingest =
        Shows::start(folder.path(), &["central", "ingest", "--broker", &url, "--database", &database.url()]);
    let fleet = Shows::start(folder.path(), &["fleet", "serve", "--broker", &url, "--listen", &at(page)]);
    let ca = Shows::start(
        folder.path(),
        &["ca", "serve", "--dir", "ca", "--url", &format!("https://{}", at(office)), "--listen", &at(office)],
    );
    let (base, certificates) =
        (format!("https://{}", at(bulk)), ["ca/issued/bulk.pem", "ca/issued/bulk.key"]);
    let bulk = Shows::start(
        folder.path(),
        &[
            "central",
            "bulk",
            "--listen",
            &at(bulk),
            "--cert",
            certificates[0],
            "--key",
            certificates[1],
            "--photos",
            "photos",
            "--bulk-url",
            &base,
            "--bulk-secret",
            "secret",
        ],
    );
    let subscribed = || ingest.text().contains("kakou_ingest_subscribed 1").then_some(());
    wait::until("the subscriptions of the ingest", LIMIT, subscribed);
    // A gateway that goes without a word.
    let said = Command::new("mosquitto_pub")
        .args(["-p", &broker.port.to_string(), "-r", "-t", "kakou/v1/s/g1/state", "-m", "{\"online\":false}"])
        .status();
    assert!(said.unwrap().success());
    let shown = wait::until("the alarm", LIMIT, || {
        Some(fleet.text())
            .filter(|t| t.contains("kakou_fleet_alarm{site=\"s\",gateway=\"g1\",alarm=\"OFFLINE\"} 1"))
    });
    let central: BTreeSet<String> = families(&shown).into_iter().chain(families(&ingest.text())).collect();
    for name in asked_for("kakou-central") {
        assert!(central.contains(&name), "no figure {name} in {central:?}");
    }
    // Requests are counted by route.
    drop(DeskClient::new(&format!("http://{}", at(page))).get("/api/v1/fleet").unwrap());
    let asked = "kakou_requests_total{route=\"/api/v1/fleet\",status=\"200\"} 1";
    assert!(fleet.text().contains(asked), "{}", fleet.text());
    for service in [&ca, &bulk] {
        assert!(service.text().ends_with("# EOF\n"));
    }
    let (served, why) = kakou(&[
        "fleet",
        "serve",
        "--broker",
        &url,
        "--listen",
        &at(free_port()),
        "--metrics",
        "0.0.0.0:9999",
    ]);
    assert!(!served && why.contains("this machine alone"), "{why}");
}

/// What gateways of version 0.1.0 said, as it came: topic and body.
fn of_before() -> Vec<(String, String)> {
    let lines = include_str!("contract/samples-0.1.0.jsonl").lines();
    let one = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["topic"].as_str().unwrap().to_owned(), line["body"].as_str().unwrap().to_owned())
    };
    lines.map(one).collect()
}

struct Nowhere;

impl Sink for Nowhere {
    fn store(&mut self, _events: &[ReceivedEvent]) -> std::io::Result<()> {
        Ok(())
    }
    fn quarantine(&mut self, events: &[ReceivedEvent]) -> std::io::Result<()> {
        panic!("kept aside: {events:?}")
    }
    fn gone(&mut self, _gone: &Gone) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_gateways_of_version_0_1_0_say_is_taken_by_ingest_and_listen_and_is_what_the_contract_says() {
    let (mut events, mut words, mut kinds) = (Vec::<ReceivedEvent>::new(), Vec::new(), BTreeSet::new());
    for (topic, body) in of_before() {
        let (from, rest) = From::of_topic(&topic).unwrap();
        let value: Value = serde_json::from_str(&body).unwrap();
        if rest.starts_with("evt/") {
            assert_eq!(Contract::mqtt().event_faults(&value), [""; 0], "{value:#}");
            kinds.insert(value["type"].as_str().unwrap().to_owned());
            let found = ingest::read(&from, false, body.as_bytes()).unwrap();
            assert!(found.faults.is_empty(), "{body}");
            events.extend(found.events);
        } else {
            let form = if rest == "state" { "State" } else { "Health" };
            Contract::mqtt().hold(form, &value);
            words.push((from, rest.to_owned(), body));
        }
    }
    assert!(kinds.len() > 12 && words.len() == 3, "{kinds:?}");
    assert!(events.iter().all(|e| e.refused.is_none()), "{events:?}");
    let taken = Ledger::new(Nowhere).keep(events.clone()).unwrap();
    assert_eq!((taken.new, taken.refused.len()), (events.len() as u64, 0));
    if skip_without("postgresql", postgres::installed().is_some()) {
        return;
    }
    let server = Postgres::start().unwrap();
    let mut store = Database::open(&server.url()).await.unwrap();
    for (from, what, body) in words {
        if what == "state" {
            let word: StateMessage = serde_json::from_str(&body).unwrap();
            store.keep_state(&from, &word).await.unwrap();
            store.about(&from, About::State(body)).await.unwrap();
        } else {
            store.about(&from, About::Health(body)).await.unwrap();
        }
    }
    let taken = store.take(events.clone()).await.unwrap();
    assert_eq!((taken.new, taken.refused.len()), (events.len() as u64, 0));
}
