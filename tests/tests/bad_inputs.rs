//! Bad input of every kind gives a clear error and a counter, and the lanes go on.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_drivers::sim::Seeded;
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::daemon::{Gateway, Plan, programs};
use kakou_tests::desk::{DeskClient, PIN, officers};
use kakou_tests::{passes, profiles, wait};
use serde_json::{Map, Value, json};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

struct Gate {
    gateway: Gateway,
    scanner: ScannerSim,
    issuer: kakou_authority::issuer::Issuer,
    _relay: RelaySim,
    _folder: tempfile::TempDir,
    admitted: usize,
}

fn gate() -> Gate {
    let folder = tempfile::tempdir().unwrap();
    gate_in(folder.path().to_path_buf().as_path(), folder)
}

fn gate_in(place: &Path, folder: tempfile::TempDir) -> Gate {
    let place = place.join("gw");
    std::fs::create_dir_all(&place).unwrap();
    let profile = profiles::lane("fast", &["resident-card"], &["status"], "", true);
    std::fs::write(place.join("fast.toml"), profile).unwrap();
    let tables = officers() + "[retention]\nreserve_mb = 1\n";
    let plan =
        Plan { http: true, tables, ..Plan::default() }.lane("lane-1", "fast.toml", &["scanner", "barrier"]);
    let mut gateway = Gateway::prepare(&place, plan);
    let issuer = passes::issuer();
    passes::trust(&gateway.lists(), vec![passes::entry(&issuer)]);
    passes::list(&gateway.lists(), "status", Map::new());
    let relay = RelaySim::new(&gateway.device("lane-1", "barrier"), |_| ()).unwrap();
    let scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    gateway.start();
    gateway.await_events("device", 2);
    Gate { gateway, scanner, issuer, _relay: relay, _folder: folder, admitted: 0 }
}

impl Gate {
    fn status(&self) -> Value {
        let (code, body) = DeskClient::new(&self.gateway.url("")).get("/api/v1/status").unwrap();
        assert_eq!(code, 200);
        serde_json::from_str(&body).unwrap()
    }
    fn counter(&self, name: &str) -> u64 {
        self.status()["counters"][name].as_u64().unwrap_or(0)
    }
    fn card(&self, id: &str) -> String {
        passes::pass(&self.issuer, "resident-card", json!({ "id": id }))
    }
    /// The next person in order goes in.
    fn goes_on(&mut self, after: &str) {
        self.admitted += 1;
        let card = self.card(&format!("good-{}", self.admitted));
        self.scanner.scan(&card).unwrap();
        let admitted = wait::try_until(Duration::from_secs(40), || {
            let admits =
                self.gateway.events("transaction").iter().filter(|e| e["data"]["outcome"] == "ADMIT").count();
            (admits >= self.admitted).then_some(())
        });
        assert!(admitted.is_some(), "after {after} the lane does not go on; log:\n{}", self.gateway.log());
    }
}

#[test]
fn noise_floods_and_broken_codes_at_the_port() {
    let mut g = gate();
    let mut random = Seeded::new(7);
    let noise: Vec<u8> =
        (0..20_000).map(|_| (random.draw() & 0xff) as u8).filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    let good = g.card("x");
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("noise", [noise.as_slice(), b"\r"].concat(), "code too long"),
        ("a flood without an end", vec![b'A'; 300_000], "code too long"),
        ("an empty code", b"\r\r\r".to_vec(), ""),
        ("a truncated pass", format!("{}\r", &good[..good.len() / 2]).into_bytes(), "scan_unreadable_total"),
        ("an HCERT that is none", b"HC1:ABC DEF\r".to_vec(), "scan_unreadable_total"),
        ("no text at all", vec![0xff, 0xfe, 0x00, b'\r'], "scan_unreadable_total"),
        (
            "a pass of a stranger",
            format!("{}\r", passes::pass(&passes::issuer(), "resident-card", json!({ "id": "s" })))
                .into_bytes(),
            "pass_refused_total",
        ),
        ("a URL to a key", b"http://example.com/key\r".to_vec(), "scan_unreadable_total"),
    ];
    for (what, bytes, counter) in cases {
        let errors = |g: &Gate| g.status()["devices"][0]["errors"].as_u64().unwrap();
        let before = (g.counter(counter), errors(&g));
        let mut busy = g.counter("scan_while_busy_total");
        g.scanner.raw(&bytes).unwrap();
        if counter.ends_with("_total") {
            // A code that comes while the barrier still opens for the one before is not taken: it is shown again.
            wait::until(what, Duration::from_secs(40), || {
                let now = g.counter("scan_while_busy_total");
                if std::mem::replace(&mut busy, now) < now {
                    g.scanner.raw(&bytes).unwrap();
                }
                (g.counter(counter) > before.0).then_some(())
            });
        } else if !counter.is_empty() {
            g.scanner.raw(b"\r").unwrap();
            wait::until(what, Duration::from_secs(40), || (errors(&g) > before.1).then_some(()));
        }
        g.goes_on(what);
    }
    let log = g.gateway.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn bad_requests_on_every_route() {
    let mut g = gate();
    let mut desk = DeskClient::new(&g.gateway.url(""));
    let routes = ["/api/v1/session", "/api/v1/lanes/lane-1/actions"];
    let bodies = [
        "",
        "{",
        "[]",
        "null",
        "{\"action\":\"open\"}",
        "{\"officer\":\"li\"}",
        "{\"officer\":\"LI!\",\"pin\":\"1\"}",
        "{\"action\":\"enter\",\"text\":1}",
    ];
    for signed_in in [false, true] {
        if signed_in {
            assert_eq!(desk.sign_in("li", PIN).unwrap().0, 200);
        }
        for route in routes {
            for body in bodies {
                let (status, answer) = desk.post(route, body, "application/json").unwrap();
                let wanted = if route.ends_with("actions") && !signed_in { 401 } else { 400 };
                assert_eq!(status, wanted, "{route} {body}: {answer}");
                assert!(answer["error"]["zh"].is_string() && answer["error"]["en"].is_string(), "{answer}");
            }
        }
        let huge = format!("{{\"action\":\"enter\",\"text\":\"{}\"}}", "x".repeat(100_000));
        match desk.post(routes[1], &huge, "application/json") {
            Ok((status, _)) => assert!((400..500).contains(&status), "{status}"),
            // The answer comes before the whole body went out, and then nobody listens.
            Err(ureq::Error::Io(e)) => {
                let ended = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof];
                assert!(ended.contains(&e.kind()), "{e}");
            }
            Err(e) => panic!("a body that is too long: {e}"),
        }
        assert!((400..500).contains(&desk.post(routes[1], "action=enter", "text/plain").unwrap().0));
    }
    for (path, wanted) in [
        ("/api/v1/nothing", 404),
        ("/api/v1/lanes/other/screen", 404),
        ("/api/v1/lanes/lane-1/search", 400),
        ("/api/v1/photos/../../etc/passwd", 404),
        ("/api/v1/photos/zz", 404),
        ("/api/v1/demo", 404),
        ("/assets/index.html", 404),
    ] {
        assert_eq!(desk.get(path).unwrap().0, wanted, "{path}");
    }
    let act = |a: Value| desk.act("lane-1", &a).unwrap();
    assert_eq!(act(json!({ "action": "confirm", "checks": [] })).0, 409);
    assert_eq!(act(json!({ "action": "override", "visit": 99, "outcome": "ADMIT", "reason": "other", "note": "n", "pin": PIN })).0, 404);
    assert!(g.counter("http_refused_total") > 30);
    g.goes_on("bad requests");
}

#[test]
fn wrong_pins_cost_time_and_are_on_record() {
    let mut g = gate();
    let mut desk = DeskClient::new(&g.gateway.url(""));
    for _ in 0..5 {
        let (status, answer) = desk.sign_in("li", "0000").unwrap();
        assert_eq!((status, answer["error"]["code"].as_str()), (401, Some("wrong_pin")));
    }
    let (status, answer) = desk.sign_in("li", PIN).unwrap();
    assert_eq!(
        (status, answer["error"]["code"].as_str()),
        (429, Some("too_many_tries")),
        "even with the right one"
    );
    assert_eq!(desk.sign_in("nobody", PIN).unwrap().0, 401);
    assert_eq!(desk.sign_in("zhao", PIN).unwrap().0, 200, "others are not locked out");
    assert!(g.counter("pin_wrong_total") >= 6);
    assert!(g.gateway.events("audit").iter().any(|e| e["data"]["act"] == "wrong_pin"));
    g.goes_on("wrong PINs");
}

#[test]
fn a_foreign_page_reaches_nothing() {
    let g = gate();
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let agent: ureq::Agent = config.into();
    let url = g.gateway.url("/api/v1/session");
    let body = json!({ "officer": "li", "pin": PIN });
    for (name, value) in
        [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site"), ("host", "evil.example")]
    {
        let status = agent.post(&url).header(name, value).send_json(&body).unwrap().status();
        assert_eq!(status, 403, "{name}: {value}");
    }
    assert!(g.counter("http_foreign_total") >= 3);
}

#[test]
fn bad_lists_are_refused_and_the_good_ones_stay() {
    let mut g = gate();
    let lists = g.gateway.lists();
    let cases = [
        ("trust.json", "not JSON".to_owned()),
        ("trust.json", json!({ "name": "trust", "version": 0, "issued": 0, "keys": [] }).to_string()),
        ("trust.json", json!({ "name": "trust", "version": 9, "issued": 0, "keys": [{ "kid": "AA==", "alg": "ES256", "key": "AA==", "usages": ["resident-card"] }] }).to_string()),
        ("status.json", "{\"name\":\"status\"}".to_owned()),
        ("status.json", json!({ "name": "status", "version": 0, "issued": 0, "entries": {} }).to_string()),
        ("hold.json", json!({ "name": "gossip", "version": 1, "issued": 0, "entries": {} }).to_string()),
    ];
    for (n, (file, text)) in cases.iter().enumerate() {
        std::fs::write(lists.join(file), text).unwrap();
        wait::until(text, Duration::from_secs(40), || {
            (g.counter("list_refused_total") > n as u64).then_some(())
        });
        g.goes_on(text);
    }
}

#[test]
fn a_bad_configuration_says_file_line_and_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let good = "[gateway]\nsite = \"s\"\nid = \"g\"\ndata = \"data\"\n[[device]]\nid = \"scan\"\ndriver = \"line-scanner\"\nport = { path = \"p\" }\n[[device]]\nid = \"th\"\ndriver = \"gy-mcu90614\"\nport = { path = \"t\" }\n[[device]]\nid = \"re\"\ndriver = \"modbus-relay\"\nport = { path = \"r\" }\n[[lane]]\nid = \"l\"\nprofile = \"school-gate\"\ndevices = { scanner = \"scan\", thermometer = \"th\", barrier = \"re\" }\n";
    let check = |text: &str| {
        let file = folder.path().join("k.toml");
        std::fs::write(&file, text).unwrap();
        let out = Command::new(programs().join("kakoud"))
            .arg("--check")
            .arg("--config")
            .arg(&file)
            .output()
            .unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    assert_eq!(check(good).0, Some(0), "{}", check(good).1);
    for (from, to, wanted) in [
        ("id = \"g\"", "id = \"G G\"", "k.toml:3: "),
        ("driver = \"gy-mcu90614\"", "driver = \"gy\"", "allowed: line-scanner"),
        ("barrier = \"re\"", "barrier = \"th\"", "must be a relay"),
        (", barrier = \"re\"", "", "needs a relay"),
        ("profile = \"school-gate\"", "profile = \"shcool\"", "neither shipped"),
        ("[[lane]]", "[upstream]\nbroker = \"mqtt://10.0.0.1:1883\"\n[[lane]]", "use mqtts://"),
        ("[[lane]]", "[http]\nlisten = \"0.0.0.0:80\"\n[[lane]]", "not loopback"),
        (
            "[[lane]]",
            "[[officer]]\nid = \"a\"\nname = \"a\"\nrole = \"guard\"\npin = \"1234\"\n[[lane]]",
            "kakou officer pin",
        ),
        (
            "port = { path = \"p\" }",
            "port = { path = \"p\", speed = 9 }",
            "`speed` is no setting of a line-scanner; allowed: path, baud",
        ),
        ("[[lane]]", "[[lane", "k.toml:"),
    ] {
        let (code, text) = check(&good.replacen(from, to, 1));
        assert_eq!(code, Some(78), "{to}");
        assert!(text.contains(wanted), "{to}: {text}");
    }
}

#[test]
fn an_unreadable_key_or_a_foreign_journal_is_said_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::default().lane("lane-1", "school-gate", &["scanner", "thermometer", "barrier"]);
    let gateway = Gateway::prepare(folder.path(), plan);
    let start = || {
        let mut child = Command::new(programs().join("kakoud"))
            .arg("--config")
            .arg(folder.path().join("kakou.toml"))
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let code = wait::until("the end", Duration::from_secs(40), || child.try_wait().ok().flatten()).code();
        (code, std::io::read_to_string(child.stderr.take().unwrap()).unwrap())
    };
    std::fs::create_dir_all(gateway.data().join("keys")).unwrap();
    std::fs::write(gateway.data().join("keys/gateway.pk8"), b"not a key").unwrap();
    let (code, text) = start();
    assert_eq!(code, Some(74));
    assert!(text.contains("gateway.pk8") && text.contains("backup"), "{text}");
}

#[test]
fn a_damaged_journal_is_set_aside_and_a_new_epoch_begins() {
    let mut g = gate();
    g.goes_on("the start");
    let epoch = g.status()["epoch"].as_u64().unwrap();
    g.gateway.kill();
    let journal = g.gateway.data().join("journal.db");
    std::fs::remove_file(g.gateway.data().join("journal.db-wal")).unwrap();
    std::fs::write(&journal, vec![0x55; 100_000]).unwrap();
    g.gateway.start();
    assert!(g.gateway.data().join("set-aside-1/journal.db").exists(), "never deleted");
    assert!(g.counter("journal_set_aside_total") == 1);
    assert_eq!(g.status()["epoch"], epoch + 1);
    g.admitted = 0;
    g.gateway.await_events("device", 2);
    g.goes_on("a damaged journal");
}

#[test]
fn damage_that_only_the_lanes_meet_is_found_at_the_start() {
    let mut g = gate();
    g.goes_on("the start");
    g.gateway.stop();
    let journal = g.gateway.data().join("journal.db");
    let (page, size) = {
        let connection = rusqlite::Connection::open(&journal).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'lane'";
        let page: u32 = connection.query_row(root, [], |r| r.get(0)).unwrap();
        let size: u32 = connection.pragma_query_value(None, "page_size", |r| r.get(0)).unwrap();
        (page, size)
    };
    let file = std::fs::File::options().write(true).open(&journal).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &vec![0x55; size as usize], u64::from((page - 1) * size))
        .unwrap();
    g.gateway.start();
    assert!(g.gateway.data().join("set-aside-1/journal.db").exists(), "never deleted");
    g.admitted = 0;
    g.gateway.await_events("device", 2);
    g.goes_on("a damaged page");
}

#[test]
fn a_full_disk_holds_the_lanes_loudly_and_room_opens_them_again() {
    let place = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| Command::new("mount").args(arguments).arg(place.path()).status();
    if !mount(&["-t", "tmpfs", "-o", "size=40m", "kakou-test"]).is_ok_and(|s| s.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI runs as root and can mount a small disk");
        return eprintln!("NOT RUN: a small disk needs the right to mount");
    }
    let outcome = std::panic::catch_unwind(|| {
        let mut g = gate_in(place.path(), tempfile::tempdir().unwrap());
        g.goes_on("the start");
        let filling = place.path().join("filling");
        let mut file = std::fs::File::create(&filling).unwrap();
        let mut fill = || while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {};
        fill();
        // A box that starts with a full disk comes up, and says what is wrong.
        g.gateway.kill();
        g.gateway.start();
        fill();
        let mut n = 0;
        wait::until("closed lanes", Duration::from_secs(40), || {
            n += 1;
            let card = g.card(&format!("full-{n}"));
            g.scanner.scan(&card).unwrap();
            (g.status()["store"]["state"] == "full").then_some(())
        });
        let (_, screens) = DeskClient::new(&g.gateway.url("")).get("/metrics").unwrap();
        assert!(screens.lines().any(|l| l.starts_with("kakou_store_closed{") && l.contains("} 1")));
        assert_eq!(g.status()["lanes"][0]["mode"], "closed");
        assert!(g.gateway.log().contains("the lanes are closed"));
        drop(file);
        wait::until("the end of the reserve", Duration::from_secs(20), || {
            g.gateway.log().contains("the reserve was given up").then_some(())
        });
        std::fs::remove_file(&filling).unwrap();
        let open =
            wait::try_until(Duration::from_secs(40), || (g.status()["store"]["state"] == "ok").then_some(()));
        assert!(open.is_some(), "the lanes stay closed; log:\n{}", g.gateway.log());
        g.admitted =
            g.gateway.events("transaction").iter().filter(|e| e["data"]["outcome"] == "ADMIT").count();
        g.goes_on("a full disk");
        assert_eq!(g.gateway.stop(), Some(0));
    });
    let unmounted = Command::new("umount").arg("-l").arg(place.path()).status().unwrap();
    assert!(unmounted.success());
    if let Err(why) = outcome {
        std::panic::resume_unwind(why);
    }
}
