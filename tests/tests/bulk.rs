//! What goes beside the broker, or shows beside the evidence: photographs and feeds by HTTPS, policies
//! that lanes follow, entries that a site shares, the Sparkplug view. Real Mosquitto, real TLS.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_link::https::{self, Endpoint};
use kakou_tests::brokers::{Mosquitto, installed, skip_without};
use kakou_tests::certs::{self, Authority};
use kakou_tests::daemon::{Gateway, Plan, free_port, programs};
use kakou_tests::desk::{DeskClient, PIN, officers};
use kakou_tests::fleet::{self, Central};
use kakou_tests::{passes, profiles, wait};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// A program that ends with the test.
struct ChildGuard(Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

struct Site {
    folder: tempfile::TempDir,
    broker: Mosquitto,
    central: Central,
    bulk: u16,
    beside: Vec<ChildGuard>,
}

/// A broker, keys, `kakou central listen` with photographs, and `kakou central bulk`.
fn site() -> Option<Site> {
    if skip_without("mosquitto", installed().is_some()) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let (broker, central) = fleet::open(folder.path(), &["gw-1", "gw-2"], &["operate", "feed"]);
    Authority::again(folder.path()).issue("bulk", true);
    std::fs::write(folder.path().join("secret"), [7; 32]).unwrap();
    let bulk = free_port();
    let mut site = Site { folder, broker, central, bulk, beside: Vec::new() };
    let (url, broker) =
        (format!("https://127.0.0.1:{bulk}"), format!("mqtts://127.0.0.1:{}", site.broker.port));
    let address = ["--bulk-url", &url, "--bulk-secret", "secret", "--photos", "central"];
    let listen = [
        "listen",
        "--broker",
        &broker,
        "--ca",
        "ca.pem",
        "--cert",
        "central.pem",
        "--key",
        "central.key",
        "--out",
        "events",
    ];
    site.spawn(&[&listen[..], &address].concat());
    site.serve_bulk();
    let at = format!("127.0.0.1:{bulk}");
    wait::until("the bulk service", LIMIT, || std::net::TcpStream::connect(&at).ok());
    Some(site)
}

impl Site {
    fn serve_bulk(&mut self) {
        let (at, url) = (format!("127.0.0.1:{}", self.bulk), format!("https://127.0.0.1:{}", self.bulk));
        let files =
            ["bulk", "--listen", &at, "--cert", "bulk.pem", "--key", "bulk.key", "--feeds", "feeds/parts"];
        let address = ["--bulk-url", &url, "--bulk-secret", "secret", "--photos", "central"];
        self.spawn(&[&files[..], &address].concat());
    }

    fn spawn(&mut self, arguments: &[&str]) {
        let child = Command::new(programs().join("kakou"))
            .current_dir(self.folder.path())
            .arg("central")
            .args(arguments)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.beside.push(ChildGuard(child));
    }

    fn gateway(&self, name: &str, profile: &str, upstream: &str) -> (Gateway, ScannerSim) {
        let place = self.folder.path().join(name);
        std::fs::create_dir_all(&place).unwrap();
        let gate = profiles::lane("gate", &["opaque"], &["status"], "", false);
        std::fs::write(place.join("gate.toml"), gate).unwrap();
        let photo = profiles::lane("photo", &["opaque"], &["status"], profiles::PHOTO_STEP, false);
        std::fs::write(place.join("photo.toml"), photo).unwrap();
        let tables = format!("{}{upstream}\n", self.central.upstream(&format!("test.{name}")));
        let mut plan = Plan { tables, id: name.to_owned(), http: true, ..Plan::default() };
        plan.gateway = format!("fleet_keys = \"{}\"", self.folder.path().join("fleet.json").display());
        let roles: &[&str] = if profile == "photo.toml" { &["scanner", "camera"] } else { &["scanner"] };
        let mut gateway = Gateway::prepare(&place, plan.lane("lane-1", profile, roles));
        if roles.len() > 1 {
            let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/demo/photos/closeup.jpg");
            std::fs::create_dir_all(gateway.device("lane-1", "camera")).unwrap();
            for name in ["closeup.jpg", "scene.jpg"] {
                std::fs::copy(&picture, gateway.device("lane-1", "camera").join(name)).unwrap();
            }
        }
        let scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
        gateway.start();
        (gateway, scanner)
    }

    /// Makes a feed and sends its head.
    fn feed(&self, name: &str, entries: &Value, more: &[&str]) {
        let file = format!("{name}.json");
        std::fs::write(self.folder.path().join(&file), entries.to_string()).unwrap();
        let make = ["make", "--key", "ops.pk8", "--name", name, "--from", &file, "--out", "feeds"];
        self.central.run("feed", &[&make[..], more].concat());
    }
}

fn status(gateway: &Gateway) -> Option<Value> {
    let text = ureq::get(gateway.url("/api/v1/status")).call().ok()?.body_mut().read_to_string().ok()?;
    serde_json::from_str(&text).ok()
}

fn counter(gateway: &Gateway, name: &str) -> u64 {
    status(gateway).unwrap()["counters"][name].as_u64().unwrap_or(0)
}

/// What comes before a scanner is open is not for it.
fn ready(gateway: &Gateway) {
    wait::until("the scanner", LIMIT, || {
        let status = status(gateway)?;
        let scanner = status["devices"].as_array()?.iter().find(|d| d["id"] == "lane-1-scanner")?;
        (scanner["state"] == "ready").then_some(())
    });
}

fn codes(gateway: &Gateway, scanner: &mut ScannerSim, code: &str, count: usize) -> Value {
    gateway.await_verdict(count, || scanner.scan(code).unwrap())
}

#[test]
fn photographs_and_feeds_go_by_https_and_by_the_broker_where_that_does_not_work() {
    let Some(mut s) = site() else { return };
    let (gateway, _scanner) = s.gateway("gw-1", "photo.toml", "");
    // A feed by HTTPS: the broker has its head alone.
    let url = format!("https://127.0.0.1:{}/feed", s.bulk);
    s.feed("status", &json!({ "ID-1": passes::healthy() }), &["--url", &url]);
    let head = s.folder.path().join("only-head");
    std::fs::create_dir_all(head.join("parts")).unwrap();
    for file in std::fs::read_dir(s.folder.path().join("feeds/parts")).unwrap().flatten() {
        std::fs::write(head.join("parts").join(file.file_name()), std::fs::read(file.path()).unwrap())
            .unwrap();
    }
    std::fs::copy(s.folder.path().join("feeds/status.feed"), head.join("status.feed")).unwrap();
    s.central.run("fleet", &["push", "only-head"]);
    gateway.await_events("list", 1);
    assert_eq!(counter(&gateway, "feed_unfetched_total"), 0, "{}", gateway.log());
    // A photograph by HTTPS.
    let snapshot = [
        "command",
        "test/gw-1",
        "--sign-key",
        "ops.pk8",
        "--by",
        "Wang",
        "--reason",
        "drill",
        "snapshot",
        "lane-1",
    ];
    s.central.run("fleet", &snapshot);
    let stored = |name: &str| {
        let files = std::fs::read_dir(s.folder.path().join("central/photos")).into_iter().flatten().flatten();
        files.filter(|f| f.path().is_dir() && !name.is_empty()).count()
    };
    wait::until("the photograph", LIMIT, || {
        (stored("photos") == 1 && counter(&gateway, "photo_delivered_total") == 1).then_some(())
    });
    assert_eq!((counter(&gateway, "photo_put_total"), counter(&gateway, "photo_put_failed_total")), (1, 0));
    // The service is gone: the next ones come by the broker.
    s.beside.pop();
    s.feed("status", &json!({ "ID-1": passes::healthy(), "ID-2": passes::healthy() }), &["--url", &url]);
    s.central.run("fleet", &["push", "feeds"]);
    gateway.await_events("list", 2);
    assert_eq!(counter(&gateway, "feed_unfetched_total"), 1, "{}", gateway.log());
}

#[test]
fn three_hundred_gateways_fetch_a_list_at_once_and_none_by_the_broker() {
    let Some(s) = site() else { return };
    s.feed("status", &json!({ "ID-1": passes::healthy() }), &[]);
    let part = std::fs::read_dir(s.folder.path().join("feeds/parts")).unwrap().next().unwrap().unwrap();
    let bytes = part.metadata().unwrap().len();
    let name = part.file_name().into_string().unwrap();
    let client = certs::client(&s.folder.path().join("ca.pem"));
    let place = Endpoint::read(&format!("https://127.0.0.1:{}/feed/{name}", s.bulk)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // All behind one address, and each stays until all have been answered.
    let lengths = runtime.block_on(async {
        let mut asks = tokio::task::JoinSet::new();
        for _ in 0..300 {
            let (client, place) = (client.clone(), place.clone());
            asks.spawn(async move {
                https::ask(&client, &place, hyper::Method::GET, &[], hyper::body::Bytes::new()).await
            });
        }
        let mut answers = Vec::new();
        while let Some(answer) = asks.join_next().await {
            answers.push(answer.unwrap());
        }
        let mut lengths = Vec::new();
        for answer in answers {
            lengths.push(https::whole(&place, answer.unwrap(), 1 << 20).await.unwrap().len() as u64);
        }
        lengths
    });
    assert_eq!(lengths, vec![bytes; 300]);
}

#[test]
fn a_list_is_asked_for_again_by_https_where_the_service_has_no_room_just_then() {
    let Some(mut s) = site() else { return };
    let (gateway, _scanner) = s.gateway("gw-1", "gate.toml", "");
    let url = format!("https://127.0.0.1:{}/feed", s.bulk);
    s.feed("status", &json!({ "ID-1": passes::healthy() }), &["--url", &url]);
    // Whoever is sent away at the door sees what one sees where nobody is.
    s.beside.pop();
    s.central.run("fleet", &["push", "feeds"]);
    wait::until("the next attempt", LIMIT, || gateway.log().contains("asked for again").then_some(()));
    let at = format!("127.0.0.1:{}", s.bulk);
    s.serve_bulk();
    wait::until("the bulk service", LIMIT, || std::net::TcpStream::connect(&at).ok());
    gateway.await_events("list", 1);
    assert_eq!(counter(&gateway, "feed_unfetched_total"), 0, "{}", gateway.log());
}

#[test]
fn a_policy_comes_by_the_feed_and_one_that_the_gateway_cannot_follow_is_refused() {
    let Some(s) = site() else { return };
    let toml = |fail_mode: &str| {
        let text = profiles::lane("gate", &["opaque"], &["status"], "", false);
        text.replace("fail_mode = \"HOLD\"", &format!("fail_mode = \"{fail_mode}\""))
    };
    // A gateway waits for its first policy with what is shipped; this one has none to begin with.
    let (mut gateway, mut scanner) = s.gateway("gw-1", "gate.toml", "");
    assert_eq!(codes(&gateway, &mut scanner, "ID-1", 1)["outcome"], "HOLD");
    s.feed("policy", &json!({ "gate": { "toml": toml("REFER") } }), &[]);
    s.central.run("fleet", &["push", "feeds"]);
    gateway.await_events("list", 1);
    gateway.stop();
    gateway.replan(|plan| plan.lanes[0].1 = "policy:gate".into());
    gateway.start();
    assert_eq!(codes(&gateway, &mut scanner, "ID-2", 2)["outcome"], "REFER");
    // A new one is taken up without a hand; a bad one is refused and the last good one kept.
    s.feed("policy", &json!({ "gate": { "toml": toml("DENY") } }), &[]);
    s.central.run("fleet", &["push", "feeds"]);
    gateway.await_events("started", 3);
    ready(&gateway);
    assert_eq!(codes(&gateway, &mut scanner, "ID-3", 3)["outcome"], "DENY");
    s.feed("policy", &json!({ "gate": { "toml": "id = 7" } }), &[]);
    s.central.run("fleet", &["push", "feeds"]);
    wait::until("the refusal", LIMIT, || (counter(&gateway, "list_refused_total") > 0).then_some(()));
    assert_eq!(codes(&gateway, &mut scanner, "ID-4", 4)["outcome"], "DENY");
}

#[test]
fn a_policy_that_comes_in_the_middle_of_a_visit_waits_until_it_is_over() {
    let Some(s) = site() else { return };
    let asks = "[[step]]\nkind = \"question\"\nid = \"mask\"\n\
                options = [{ value = \"yes\", zh = \"有\", en = \"Yes\" }, { value = \"no\", zh = \"无\", en = \"No\" }]";
    let toml = |fail_mode: &str| {
        let text = profiles::lane("gate", &["opaque"], &["status"], asks, false);
        text.replace("fail_mode = \"HOLD\"", &format!("fail_mode = \"{fail_mode}\""))
    };
    let (mut gateway, mut scanner) = s.gateway("gw-1", "gate.toml", "");
    s.feed("policy", &json!({ "gate": { "toml": toml("REFER") } }), &[]);
    s.central.run("fleet", &["push", "feeds"]);
    gateway.await_events("list", 1);
    gateway.stop();
    gateway.replan(|plan| {
        plan.lanes[0].1 = "policy:gate".into();
        plan.tables.push_str(&officers());
    });
    gateway.start();
    ready(&gateway);
    let mode = |gateway: &Gateway| status(gateway).map(|s| s["lanes"][0]["mode"].clone());
    scanner.scan("ID-1").unwrap();
    wait::until("the question", LIMIT, || (mode(&gateway)? == "working").then_some(()));
    s.feed("policy", &json!({ "gate": { "toml": toml("DENY") } }), &[]);
    s.central.run("fleet", &["push", "feeds"]);
    gateway.await_events("list", 2);
    wait::until("the word that it waits", LIMIT, || {
        gateway.log().contains("no visit is under way").then_some(())
    });
    let mut desk = DeskClient::new(&gateway.url(""));
    desk.sign_in("li", PIN).unwrap();
    let answer = json!({ "action": "answer", "question": "mask", "value": "yes" });
    assert_eq!(desk.act("lane-1", &answer).unwrap().0, 200, "{}", gateway.log());
    // By the policy under which it began; then the lane takes up the new one.
    assert_eq!(gateway.await_events("transaction", 1)[0]["data"]["outcome"], "REFER");
    gateway.await_events("started", 3);
    assert_eq!(gateway.events("visit_abandoned").len(), 0);
}

#[test]
fn an_entry_that_is_read_at_one_gate_counts_at_all_gates_of_the_site() {
    let Some(s) = site() else { return };
    let (one, mut at_one) = s.gateway("gw-1", "gate.toml", "");
    let (two, mut at_two) = s.gateway("gw-2", "gate.toml", "sparkplug = true");
    s.feed("status", &json!({ "ID-1": passes::healthy() }), &[]);
    s.central.run("fleet", &["push", "feeds"]);
    for gateway in [&one, &two] {
        gateway.await_events("list", 1);
    }
    assert_eq!(codes(&two, &mut at_two, "ID-9", 1)["codes"][0], "C_UNKNOWN");
    let facts = passes::healthy().to_string();
    let entry = ["entry", "--key", "ops.pk8", "--name", "status", "--id", "ID-9", "--facts", &facts];
    let code = s.central.run("feed", &entry);
    at_one.scan(code.trim()).unwrap();
    two.await_events("list", 2);
    assert_eq!(codes(&two, &mut at_two, "ID-9", 2)["outcome"], "ADMIT", "{}", two.log());
    wait::until("the acknowledgement", LIMIT, || {
        std::fs::read_dir(one.data().join("share")).is_ok_and(|mut f| f.next().is_none()).then_some(())
    });
}

#[test]
fn a_stick_brings_lists_and_a_configuration_to_a_gateway_that_nobody_reaches() {
    let Some(mut s) = site() else { return };
    s.broker.kill();
    let at = |name: &str| s.folder.path().join(name);
    let configure = ["--usage", "configure", "--usage", "feed"];
    s.central
        .run("fleet", &[&["key", "--out", "office.pk8", "--keys", "fleet.json"][..], &configure].concat());
    let usb_drive = at("gw-1/stick");
    let (mut gateway, mut scanner) = s.gateway("gw-1", "gate.toml", "");
    gateway.stop();
    gateway.replan(|plan| plan.gateway += &format!("\nstick = \"{}\"", usb_drive.display()));
    gateway.start();
    assert_eq!(codes(&gateway, &mut scanner, "ID-1", 1)["outcome"], "HOLD");
    // What central ops write at their desk: a list, and a configuration whose profile wants one more.
    let doubt = profiles::lane("gate", &["opaque"], &["status", "revocation"], "", false);
    std::fs::write(at("gw-1/doubt.toml"), doubt.replace("fail_mode = \"HOLD\"", "fail_mode = \"REFER\""))
        .unwrap();
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    std::fs::write(at("next.toml"), config.replace("\"gate.toml\"", "\"doubt.toml\"")).unwrap();
    let sign = |key: &str, version: &str| {
        let word =
            ["configuration", "--key", key, "--from", "next.toml", "--version", version, "--out", "desk"];
        s.central.run("feed", &word);
    };
    std::fs::write(at("status.json"), json!({ "ID-2": passes::healthy() }).to_string()).unwrap();
    let make = ["make", "--key", "office.pk8", "--name", "status", "--from", "status.json", "--out", "desk"];
    s.central.run("feed", &make);
    // A key that may not configure; and what nobody has signed.
    sign("ops.pk8", "1");
    std::fs::write(
        at("desk/hold.json"),
        json!({ "name": "hold", "version": 1, "issued": 1, "entries": {} }).to_string(),
    )
    .unwrap();
    std::fs::rename(at("desk"), &usb_drive).unwrap();
    gateway.await_events("list", 1);
    wait::until("the refusal", LIMIT, || {
        (counter(&gateway, "configuration_refused_total") == 1).then_some(())
    });
    assert_eq!(codes(&gateway, &mut scanner, "ID-2", 2)["outcome"], "ADMIT");
    assert_eq!(gateway.events("list").len(), 1, "an unsigned list of a stick was taken");
    // The USB drive is taken away and comes back with the right one.
    std::fs::rename(&usb_drive, at("desk")).unwrap();
    sign("office.pk8", "1");
    std::fs::rename(at("desk"), &usb_drive).unwrap();
    assert_eq!(gateway.await_events("configuration", 1)[0]["data"]["errors"], json!([]));
    gateway.await_events("started", 3);
    ready(&gateway);
    assert_eq!(codes(&gateway, &mut scanner, "ID-2", 3)["outcome"], "REFER");
    // It is kept though there is no link, and over a restart without the USB drive.
    let kept = gateway.data().join("config/good.json");
    wait::until("the edition", LIMIT, || kept.exists().then_some(()));
    std::fs::remove_dir_all(&usb_drive).unwrap();
    gateway.stop();
    gateway.start();
    assert_eq!(codes(&gateway, &mut scanner, "ID-2", 4)["outcome"], "REFER");
}

/// The metrics' names of a Sparkplug payload, as far as this test needs them: fields of length 2.
fn seen(payload: &[u8], name: &str) -> bool {
    payload.windows(name.len()).any(|w| w == name.as_bytes())
}

/// The number of a birth or a death, as far as this test needs to read it: of data type UInt64, and below 128.
fn bd_seq(payload: &[u8]) -> Option<u8> {
    let name = payload.windows(5).position(|w| w == b"bdSeq")?;
    let rest = &payload[name..];
    let value = rest.windows(3).position(|w| w == [0x20, 8, 0x58])?;
    rest.get(value + 3).copied()
}

#[test]
fn a_gateway_shows_itself_as_a_sparkplug_node_and_is_born_with_a_new_number_after_each_death() {
    if skip_without("mosquitto", installed().is_some()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::plain(folder.path(), "plain");
    broker.start();
    let watcher = Command::new("mosquitto_sub")
        .args(["-p", &broker.port.to_string(), "-t", "spBv1.0/#", "-F", "%t %x"])
        .stdout(std::fs::File::create(folder.path().join("seen")).unwrap())
        .spawn();
    let Ok(watcher) = watcher else {
        skip_without("mosquitto_sub", false);
        return;
    };
    let _watcher = ChildGuard(watcher);
    let gate = profiles::lane("gate", &["opaque"], &[], "", false);
    std::fs::write(folder.path().join("gate.toml"), gate).unwrap();
    let tables = format!("[upstream]\nbroker = \"mqtt://127.0.0.1:{}\"\nsparkplug = true\n", broker.port);
    let plan = Plan { tables, ..Plan::default() };
    let mut gateway = Gateway::prepare(folder.path(), plan.lane("lane-1", "gate.toml", &["scanner"]));
    let mut scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    gateway.start();
    let bodies = |kind: &str| {
        let text = std::fs::read_to_string(folder.path().join("seen")).unwrap_or_default();
        let topic = format!("spBv1.0/test/{kind}/gw-1 ");
        let bytes = |hex: &str| {
            (0..hex.len() / 2)
                .filter_map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok())
                .collect::<Vec<u8>>()
        };
        text.lines().filter_map(|l| l.strip_prefix(&topic)).map(bytes).collect::<Vec<_>>()
    };
    let told = |kind: &str, name: &str| bodies(kind).iter().any(|b| seen(b, name)).then_some(());
    wait::until("the birth", LIMIT, || told("NBIRTH", "Node Control/Rebirth"));
    scanner.scan("ID-1").unwrap();
    wait::until("the verdict", LIMIT, || told("NDATA", "lanes/lane-1/HOLD"));
    gateway.kill();
    wait::until("the death", LIMIT, || told("NDEATH", "bdSeq"));
    // Whatever comes late of the one that was killed, nobody takes it for the death of the next one.
    gateway.start();
    let of = |kind: &str, number: u8| bodies(kind).iter().any(|b| bd_seq(b) == Some(number)).then_some(());
    wait::until("the second birth, with a number of its own", LIMIT, || of("NBIRTH", 1));
    gateway.kill();
    wait::until("the second death, with the number of its birth", LIMIT, || of("NDEATH", 1));
    assert_eq!(bodies("NDEATH").iter().map(|b| bd_seq(b).unwrap()).collect::<Vec<_>>(), [0, 1]);
}
