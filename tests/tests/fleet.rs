//! Central ops and one gateway over a real Mosquitto with mutual TLS and the access list that ships:
//! feeds, commands, configuration, questions, photographs, and what a gateway may not do.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_authority::issuer::Issuer;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::brokers::{Mosquitto, installed, skip_without};
use kakou_tests::daemon::{Gateway, Plan, programs};
use kakou_tests::desk::{self, DeskClient};
use kakou_tests::fleet::{self, Central};
use kakou_tests::{passes, profiles, wait};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// One gateway with a photo lane, a central side, and keys for both.
struct Site {
    _folder: tempfile::TempDir,
    _broker: Mosquitto,
    central: Central,
    gateway: Gateway,
    scanner: ScannerSim,
    scanned: u32,
}

fn site() -> Option<Site> {
    if skip_without("mosquitto", installed().is_some()) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let usages = ["operate", "maintain", "feed", "configure", "trace"];
    let (broker, central) = fleet::open(folder.path(), &["gw-1", "gw-2"], &usages);
    let gate = profiles::lane("gate", &["opaque"], &["status"], "", true);
    let photo = profiles::lane("photo", &["opaque"], &["status"], profiles::PHOTO_STEP, false);
    let (place, plan) = central.plan("gw-1", &[("gate", gate), ("photo", photo)]);
    let plan = Plan { http: true, ..plan };
    let plan = plan.lane("lane-1", "gate.toml", &["scanner", "barrier"]);
    let plan = plan.lane("lane-2", "photo.toml", &["scanner", "camera"]);
    let mut gateway = Gateway::prepare(&place, plan);
    let picture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/demo/photos/closeup.jpg");
    std::fs::create_dir_all(gateway.device("lane-2", "camera")).unwrap();
    for name in ["closeup.jpg", "scene.jpg"] {
        std::fs::copy(&picture, gateway.device("lane-2", "camera").join(name)).unwrap();
    }
    let scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    let relay = kakou_drivers::sim::relay::RelaySim::new(&gateway.device("lane-1", "barrier"), |_| {});
    std::mem::forget(relay.unwrap());
    gateway.start();
    wait::until("the link", Duration::from_secs(20), || {
        central.json(&["watch", "--once", "1", "--json"])["gateways"][0]["online"].as_bool().filter(|o| *o)
    });
    Some(Site { _folder: folder, _broker: broker, central, gateway, scanner, scanned: 0 })
}

fn text(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// What the public screen of the lane is told first.
fn first_view(base: &str) -> String {
    let address = base.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = format!("GET /api/v1/lanes/lane-1/screen HTTP/1.1\r\nhost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut seen = Vec::new();
    let mut bytes = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains("\"seq\"") {
        let n = stream.read(&mut bytes).unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&bytes[..n]);
    }
    String::from_utf8_lossy(&seen).into_owned()
}

impl Site {
    fn scan(&mut self, code: &str) -> Value {
        self.scanned += 1;
        let scanner = &mut self.scanner;
        self.gateway.await_verdict(self.scanned as usize, || scanner.scan(code).unwrap())
    }
}

#[test]
fn central_ops_command_feed_configure_and_ask_a_gateway() {
    let Some(mut s) = site() else { return };
    let to = |s: &Site, what: &[&str]| {
        let head = [
            "command",
            "test/gw-1",
            "--sign-key",
            "ops.pk8",
            "--by",
            "Wang",
            "--reason",
            "drill",
            "--wait",
            "20",
        ];
        s.central.output("fleet", &[&head, what].concat())
    };

    // A feed: nobody is known before it, and everybody of it after it.
    assert_eq!(s.scan("ID-1")["codes"][0], "X_STALE");
    std::fs::write(
        s.central.folder.join("status.json"),
        json!({ "ID-1": passes::healthy(), "ID-2": {} }).to_string(),
    )
    .unwrap();
    s.central.run(
        "feed",
        &[
            "make",
            "--key",
            "ops.pk8",
            "--name",
            "status",
            "--from",
            "status.json",
            "--out",
            "feeds",
            "--canary",
            "ID-1",
        ],
    );
    s.central.run("fleet", &["push", "feeds"]);
    s.gateway.await_events("list", 1);
    assert_eq!(s.scan("ID-1")["outcome"], "ADMIT");
    let residents = json!({ "ID-2": passes::healthy() });
    std::fs::write(s.central.folder.join("status.json"), residents.to_string()).unwrap();
    let made = s.central.run(
        "feed",
        &["make", "--key", "ops.pk8", "--name", "status", "--from", "status.json", "--out", "feeds"],
    );
    assert!(made.contains("change of edition 1"), "{made}");
    s.central.run("fleet", &["push", "feeds"]);
    s.gateway.await_events("list", 2);
    assert_eq!(s.scan("ID-1")["codes"][0], "C_UNKNOWN");
    // One entry by a code at the scanner.
    let facts = passes::healthy().to_string();
    let code = s
        .central
        .run("feed", &["entry", "--key", "ops.pk8", "--name", "status", "--id", "ID-3", "--facts", &facts]);
    s.scanner.scan(code.trim()).unwrap();
    s.gateway.await_events("list", 3);
    assert_eq!(s.scan("ID-3")["outcome"], "ADMIT");

    // Commands, each on record before it happens.
    assert!(to(&s, &["open", "lane-1"]).status.success());
    let opened = &s.gateway.await_events("remote_open", 1)[0]["data"];
    assert_eq!((opened["by"].as_str(), opened["issuer"].as_str()), (Some("Wang"), Some("central ops")));
    assert!(to(&s, &["message", "lane-1", "请走二号门"]).status.success());
    assert!(first_view(&s.gateway.url("")).contains("请走二号门"));
    let snapshot = text(&to(&s, &["snapshot", "lane-2"]));
    assert!(snapshot.contains("sha256") && snapshot.contains("To see it: the fleet page"), "{snapshot}");
    assert!(text(&to(&s, &["diagnostics"])).contains("uptime_s"));
    let refused = to(&s, &["open", "lane-9"]);
    assert!(!refused.status.success() && text(&refused).contains("no_lane"), "{}", text(&refused));
    s.central.run("fleet", &["key", "--out", "stranger.pk8", "--keys", "others.json", "--usage", "operate"]);
    let stranger = s.central.output(
        "fleet",
        &[
            "command",
            "test/gw-1",
            "--sign-key",
            "stranger.pk8",
            "--by",
            "X",
            "--reason",
            "x",
            "open",
            "lane-1",
        ],
    );
    assert!(
        text(&stranger).contains("REJECTED") && text(&stranger).contains("fleet keys"),
        "{}",
        text(&stranger)
    );
    assert_eq!(s.gateway.events("remote_open").len(), 1);

    // A question, answered from the local store.
    let subject = s.gateway.events("transaction")[1]["data"]["subject"].as_str().unwrap().to_owned();
    let ask = |s: &Site, what: &[&str]| {
        let head = [
            "trace",
            "--sign-key",
            "ops.pk8",
            "--site",
            "test",
            "--by",
            "Li",
            "--purpose",
            "contact",
            "--from",
            "2020-01-01T00:00:00Z",
            "--json",
        ];
        s.central.json(&[&head, what].concat())
    };
    let answers = ask(&s, &["--subject", &subject]);
    assert_eq!(
        (answers["rows"].as_array().unwrap().len(), answers["answered"].as_u64()),
        (3, Some(1)),
        "{answers}"
    );
    assert_eq!(ask(&s, &["--lane", "lane-1"])["rows"].as_array().unwrap().len(), 4);
    assert_eq!(s.gateway.await_events("trace_query", 2)[0]["data"]["purpose"], "contact");

    // A file that somebody has spoilt starts nothing: the lanes go on with what they have.
    let config = std::fs::read_to_string(s.gateway.config()).unwrap();
    let spoilt = config.replace("driver = \"line-scanner\"", "driver = \"line\"");
    std::fs::write(s.gateway.config(), &spoilt).unwrap();
    let not_now = to(&s, &["reload"]);
    assert!(!not_now.status.success() && text(&not_now).contains("is not a driver"), "{}", text(&not_now));
    assert!(to(&s, &["diagnostics"]).status.success());

    // A configuration with a fault is refused with its line, a good one is tried and kept.
    let configure = |s: &Site, version: &str, text: &str| {
        std::fs::write(s.central.folder.join("new.toml"), text).unwrap();
        s.central.output(
            "fleet",
            &[
                "configure",
                "test/gw-1",
                "--sign-key",
                "ops.pk8",
                "--from",
                "new.toml",
                "--version",
                version,
                "--wait",
                "60",
            ],
        )
    };
    let bad = configure(&s, "1", &config.replace("driver = \"line-scanner\"", "driver = \"line\""));
    assert!(text(&bad).contains("line ") && text(&bad).contains("is not a driver"), "{}", text(&bad));
    let moved = configure(&s, "2", &config.replace("id = \"gw-1\"", "id = \"gw-9\""));
    assert!(text(&moved).contains("cannot be changed"), "{}", text(&moved));
    let good = configure(&s, "3", &format!("{config}\n[retention]\nkeep_days = 7\n"));
    assert!(good.status.success(), "{}\n{}", text(&good), s.gateway.log());
    assert!(s.gateway.log().contains("configuration version 3 works"));
    // The spoilt file is no longer needed.
    assert!(to(&s, &["reload"]).status.success());
    std::fs::write(s.gateway.config(), &config).unwrap();
    // What cannot start falls back to what worked.
    let taken = config.lines().find(|l| l.starts_with("listen = ")).unwrap();
    let broker = format!("listen = \"127.0.0.1:{}\"", s._broker.port);
    let away = configure(&s, "4", &config.replace(taken, &broker));
    assert!(
        text(&away).contains("did not come up") && text(&away).contains("edition 3 is in use"),
        "{}",
        text(&away)
    );
    wait::until("the lanes", Duration::from_secs(30), || {
        to(&s, &["diagnostics"]).status.success().then_some(())
    });

    // The certificate is renewed without a restart.
    let csr = to(&s, &["certificate-request"]);
    assert!(csr.status.success(), "{}", text(&csr));
    s.central.sign(&String::from_utf8(csr.stdout).unwrap(), "renewed.pem");
    assert!(to(&s, &["certificate", "--from", "renewed.pem"]).status.success());
    assert!(to(&s, &["diagnostics"]).status.success(), "{}", s.gateway.log());
    let wrong = to(&s, &["certificate", "--from", "ca.pem"]);
    assert!(!wrong.status.success(), "a certificate of another key is refused");
}

/// A gate of a site that takes single-use passes.
fn gate(central: &Central, name: &str, issuer: &Issuer) -> (Gateway, ScannerSim) {
    let profile = profiles::lane("trucks", &["vehicle-pass"], &[], "", false);
    let (place, plan) = central.plan(name, &[("trucks", profile)]);
    let gateway = Gateway::prepare(&place, plan.lane("lane-1", "trucks.toml", &["scanner"]));
    passes::trust(&gateway.lists(), vec![passes::entry(issuer)]);
    let scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    (gateway, scanner)
}

#[test]
fn the_gateways_of_a_site_share_the_uses_of_passes_and_find_conflicts() {
    if skip_without("mosquitto", installed().is_some()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let usages = ["trust-update", "operate"];
    let (mut broker, central) = fleet::open(folder.path(), &["gw-1", "gw-2"], &usages);
    let issuer = passes::issuer();
    let pass = || {
        let facts = json!({ "plate": "辽P12345", "category": "emergency-supplies", "from": "211400", "to": "210100",
            "uses": 1, "crew": 2 });
        passes::pass(&issuer, "vehicle-pass", facts)
    };
    let (mut one, mut at_one) = gate(&central, "gw-1", &issuer);
    let (mut two, mut at_two) = gate(&central, "gw-2", &issuer);
    for gateway in [&one, &two] {
        // Keys come signed in a fleet that has keys.
        let list = gateway.lists();
        let (from, out) = (list.join("trust.json").display().to_string(), list.display().to_string());
        central.run("feed", &["make", "--key", "ops.pk8", "--name", "trust", "--from", &from, "--out", &out]);
        std::fs::remove_file(list.join("trust.json")).unwrap();
    }
    one.start();
    two.start();
    let verdict = |gateway: &Gateway, scanner: &mut ScannerSim, pass: &str, count: usize| {
        gateway.await_verdict(count, || scanner.scan(pass).unwrap())
    };
    let first = pass();
    assert_eq!(verdict(&one, &mut at_one, &first, 1)["outcome"], "ADMIT");
    let known = |gateway: &Gateway| -> i64 {
        let sql = "SELECT count(*) FROM redemption WHERE gateway IS NOT NULL";
        gateway.journal().query_row(sql, [], |r| r.get(0)).unwrap()
    };
    let heard = wait::try_until(Duration::from_secs(20), || (known(&two) == 1).then_some(()));
    let kept: String = one
        .journal()
        .query_row("SELECT coalesce(group_concat(pass_id || ' ' || told || ' ' || coalesce(gateway, '-')), '') FROM redemption", [], |r| r.get(0))
        .unwrap();
    assert!(heard.is_some(), "the other gate hears nothing of {kept}:\n{}\n{}", one.log(), two.log());
    assert_eq!(verdict(&two, &mut at_two, &first, 1)["codes"][0], "D_USED");
    // The broker is away: each gate goes on alone, and both admit.
    broker.kill();
    let second = pass();
    assert_eq!(verdict(&one, &mut at_one, &second, 2)["outcome"], "ADMIT");
    assert_eq!(verdict(&two, &mut at_two, &second, 2)["outcome"], "ADMIT");
    broker.start();
    for gateway in [&one, &two] {
        let conflict = &gateway.await_events("peer_conflict", 1)[0]["data"];
        assert_eq!(conflict["first"], "gw-1");
        assert_eq!(conflict["uses"].as_array().unwrap().len(), 2);
    }
}

/// A gate that seals trucks whose plates stand on a list.
struct Sealing {
    gateway: Gateway,
    scanner: ScannerSim,
    desk: DeskClient,
    visits: usize,
}

impl Sealing {
    fn new(central: &Central, name: &str) -> Self {
        let seal = "[[step]]\nkind = \"seal\"\ndoors = [{ value = \"rear\", zh = \"后门\", en = \"Rear\" }]\n\
                    kinds = [{ value = \"bolt\", zh = \"螺栓\", en = \"Bolt\" }]\n";
        let profile = profiles::lane("trucks", &["opaque"], &["pass"], seal, false);
        let (place, plan) = central.plan(name, &[("trucks", profile)]);
        let tables = plan.tables.clone() + &desk::officers();
        let plan = Plan { tables, http: true, ..plan };
        let mut gateway = Gateway::prepare(&place, plan.lane("lane-1", "trucks.toml", &["scanner"]));
        // The authority gives the boxes of a site one key; these were set up by hand.
        std::fs::create_dir_all(gateway.data().join("keys")).unwrap();
        std::fs::write(gateway.data().join("keys/site.key"), [7; 32]).unwrap();
        let lists = gateway.lists().display().to_string();
        central.run(
            "feed",
            &["make", "--key", "ops.pk8", "--name", "pass", "--from", "plates.json", "--out", &lists],
        );
        let scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
        gateway.start();
        let mut desk = DeskClient::new(&gateway.url(""));
        assert_eq!(desk.sign_in("zhao", desk::PIN).unwrap().0, 200);
        Self { gateway, scanner, desk, visits: 0 }
    }

    /// The status of the act that seals the truck in front; a seal that was used is a conflict.
    fn seal(&self, number: &str) -> u16 {
        let act =
            json!({ "action": "seal", "first": number, "second": number, "kind": "bolt", "door": "rear" });
        // The step begins when the plate was read.
        let answer = || {
            let (status, body) = self.desk.act("lane-1", &act).unwrap();
            (status == 200 || body["error"]["code"] == "seal_used").then_some(status)
        };
        wait::until("the step", Duration::from_secs(20), answer)
    }

    fn verdict(&mut self, plate: &str, number: &str) -> Value {
        self.scanner.scan(plate).unwrap();
        assert_eq!(self.seal(number), 200, "{plate} {number}");
        self.visits += 1;
        self.gateway.await_events("transaction", self.visits).last().unwrap()["data"]["codes"][0].clone()
    }

    fn await_told(&self, count: i64) {
        let told = || -> i64 {
            let sql = "SELECT count(*) FROM redemption WHERE gateway IS NOT NULL";
            self.gateway.journal().query_row(sql, [], |r| r.get(0)).unwrap()
        };
        let heard = wait::try_until(Duration::from_secs(20), || (told() == count).then_some(()));
        assert!(heard.is_some(), "{} of {count} uses were told:\n{}", told(), self.gateway.log());
    }
}

#[test]
fn a_plate_and_a_seal_that_were_used_at_one_gate_are_used_at_the_other_and_apart_they_are_conflicts() {
    if skip_without("mosquitto", installed().is_some()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut broker, central) = fleet::open(folder.path(), &["gw-1", "gw-2"], &["feed", "operate"]);
    let truck =
        |plate: &str| json!({ "plate": plate, "category": "emergency-supplies", "uses": 1, "crew": 2 });
    let plates: Vec<String> = (1..=3).map(|n| format!("辽P1234{n}")).collect();
    let list: serde_json::Map<_, _> = plates.iter().map(|p| (p.clone(), truck(p))).collect();
    std::fs::write(folder.path().join("plates.json"), Value::Object(list).to_string()).unwrap();
    let (mut one, mut two) = (Sealing::new(&central, "gw-1"), Sealing::new(&central, "gw-2"));
    assert_eq!(one.verdict(&plates[0], "LN0000001"), "OK");
    two.await_told(2);
    let names: Vec<String> = {
        let journal = two.gateway.journal();
        let mut select = journal.prepare("SELECT pass_id FROM redemption").unwrap();
        select.query_map([], |r| r.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    assert!(names.iter().all(|n| n.is_ascii()), "no plate goes over the wire: {names:?}");
    two.scanner.scan(&plates[1]).unwrap();
    assert_eq!(two.seal("LN0000001"), 409, "a seal that was used at the other gate");
    assert_eq!(two.seal("LN0000002"), 200);
    two.visits += 1;
    two.gateway.await_events("transaction", 1);
    assert_eq!(two.verdict(&plates[0], "LN0000003"), "D_USED");
    // The broker is away: each gate goes on alone, and both admit the same plate and take the same seal.
    broker.kill();
    for gate in [&mut one, &mut two] {
        assert_eq!(gate.verdict(&plates[2], "LN0000004"), "OK");
    }
    broker.start();
    for gate in [&one, &two] {
        let conflicts = gate.gateway.await_events("peer_conflict", 2);
        let kinds: Vec<bool> = conflicts.iter().map(|c| c["data"]["seal"] == "LN0000004").collect();
        assert_eq!(kinds.iter().filter(|seal| **seal).count(), 1, "{conflicts:?}");
        assert!(
            conflicts.iter().any(|c| c["data"]["pass"].as_str().is_some_and(|p| p.starts_with("~list:")))
        );
    }
    // Told once more, they are no other conflicts: the next use of either comes behind all of that.
    one.gateway.kill();
    one.gateway.start();
    two.scanner.scan(&plates[2]).unwrap();
    assert_eq!(two.seal("LN0000005"), 200);
    for gate in [&one, &two] {
        assert_eq!(gate.gateway.events("peer_conflict").len(), 2);
    }
}

#[test]
fn a_gateway_reaches_its_own_topics_alone() {
    let Some(s) = site() else { return };
    // gw-2 tries what belongs to gw-1 and to central ops; each word would be seen by the watcher below.
    let publish = |who: &str, topic: &str| s.central.publish(who, topic, b"{\"online\":false}");
    let hears = |who: &str, filter: &str, topic: &str| s.central.hears(who, filter, topic);
    for topic in [
        "test/gw-1/state",
        "test/gw-1/evt/verdict",
        "test/gw-1/rcpt",
        "test/gw-1/cmd/x",
        "test/gw-1/cfg/desired",
        "feed/status/head",
        "test/trace/req",
        "test/gw-1/photo/x/0",
        "test/peer/gw-1/redemption",
    ] {
        assert!(publish("test.gw-2", &format!("kakou/v1/{topic}")).is_err(), "gw-2 may publish {topic}");
    }
    for (filter, topic) in [
        ("kakou/v1/#", "kakou/v1/test/gw-1/evt/verdict"),
        ("kakou/v1/test/gw-1/#", "kakou/v1/test/gw-1/cmd/x"),
        ("kakou/v1/+/+/rcpt", "kakou/v1/test/gw-1/rcpt"),
    ] {
        assert!(!hears("test.gw-2", filter, topic), "gw-2 hears {topic}");
    }
    // The same tools see what is allowed: the test is no empty one.
    assert!(publish("test.gw-2", "kakou/v1/test/gw-2/state").is_ok());
    assert!(hears("test.gw-2", "kakou/v1/test/gw-2/rcpt", "kakou/v1/test/gw-2/rcpt"));
    assert!(hears("test.gw-2", "kakou/v1/feed/+/head", "kakou/v1/feed/status/head"));
    let out = Command::new(programs().join("kakou")).arg("--version").output().unwrap();
    assert!(out.status.success());
}

#[test]
fn a_list_that_is_damaged_on_the_disk_comes_again_from_the_broker_with_its_single_entries() {
    let Some(mut s) = site() else { return };
    let status = json!({ "ID-1": passes::healthy() });
    std::fs::write(s.central.folder.join("status.json"), status.to_string()).unwrap();
    let make = ["make", "--key", "ops.pk8", "--name", "status", "--from", "status.json", "--out", "feeds"];
    s.central.run("feed", &make);
    s.central.run("fleet", &["push", "feeds"]);
    s.gateway.await_events("list", 1);
    let facts = passes::healthy().to_string();
    let entry = ["entry", "--key", "ops.pk8", "--name", "status", "--id", "ID-3", "--facts", &facts];
    let code = s.central.run("feed", &entry);
    s.scanner.scan(code.trim()).unwrap();
    s.gateway.await_events("list", 2);
    s.gateway.stop();
    let file = s.gateway.data().join("editions/status-1.db");
    let (page, size) = {
        let connection = rusqlite::Connection::open(&file).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'entry'";
        let page: u32 = connection.query_row(root, [], |r| r.get(0)).unwrap();
        let size: u32 = connection.pragma_query_value(None, "page_size", |r| r.get(0)).unwrap();
        (page, size)
    };
    let damaged = std::fs::File::options().write(true).open(&file).unwrap();
    let at = u64::from((page - 1) * size);
    std::os::unix::fs::FileExt::write_all_at(&damaged, &vec![0x55; size as usize], at).unwrap();
    s.gateway.start();
    s.gateway.await_events("list", 3);
    assert!(s.gateway.log().contains("it must be built anew"), "{}", s.gateway.log());
    assert_eq!(s.scan("ID-1")["outcome"], "ADMIT", "{}", s.gateway.log());
    assert_eq!(s.scan("ID-3")["outcome"], "ADMIT", "{}", s.gateway.log());
}
