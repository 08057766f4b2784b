//! Orders that must not be carried out, and orders that must not be told as done: with the real daemon over a real
//! Mosquitto with the access list that ships.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_authority::issuer::Issuer;
use kakou_drivers::sim::relay::RelaySim;
use kakou_tests::brokers::{Mosquitto, installed, skip_without};
use kakou_tests::daemon::{Gateway, Plan};
use kakou_tests::fleet::{self, Central};
use kakou_tests::passes::now_s;
use kakou_tests::{profiles, wait};
use kakou_wire::order::{COMMAND, Command, What};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

struct Gate {
    folder: tempfile::TempDir,
    _broker: Mosquitto,
    central: Central,
    gateway: Gateway,
    pulses: Arc<AtomicU64>,
    _relay: Option<RelaySim>,
}

const HOUR_MS: i64 = 3_600_000;

/// A gate with a barrier, or a port without one.
fn gate(barrier: bool, clock: &str) -> Option<Gate> {
    gate_at(barrier, clock, -36 * HOUR_MS)
}

/// The same, with a clock that is off, where its table names the file `shift`.
fn gate_at(barrier: bool, clock: &str, shift_ms: i64) -> Option<Gate> {
    if skip_without("mosquitto", installed().is_some()) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let (broker, central) = fleet::open(folder.path(), &["gw-1"], &["operate", "maintain", "configure"]);
    let profile = profiles::lane("gate", &["opaque"], &[], "", true);
    let (place, plan) = central.plan("gw-1", &[("gate", profile)]);
    let plan = Plan { clock: clock.into(), ..plan };
    let mut gateway = Gateway::prepare(&place, plan.lane("lane-1", "gate.toml", &["scanner", "barrier"]));
    std::fs::write(place.join("shift"), shift_ms.to_string()).unwrap();
    let pulses = Arc::new(AtomicU64::new(0));
    let counted = pulses.clone();
    let relay = barrier.then(|| {
        let count = move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        RelaySim::new(&gateway.device("lane-1", "barrier"), count).unwrap()
    });
    gateway.start();
    Some(Gate { folder, _broker: broker, central, gateway, pulses, _relay: relay })
}

fn text(out: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

impl Gate {
    fn command(&self, key: &str, what: &[&str]) -> Output {
        let head =
            ["command", "test/gw-1", "--sign-key", key, "--by", "Wang", "--reason", "drill", "--wait", "30"];
        self.central.output("fleet", &[&head, what].concat())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn an_opening_is_told_as_done_when_the_barrier_has_confirmed_and_not_before() {
    let Some(g) = gate(true, "") else { return };
    g.gateway.await_events("device", 1);
    let done = g.command("ops.pk8", &["open", "lane-1"]);
    assert!(done.status.success(), "{}", text(&done));
    assert_eq!(g.pulses.load(Ordering::SeqCst), 1);

    let Some(g) = gate(false, "") else { return };
    let not = g.command("ops.pk8", &["open", "lane-1"]);
    let said = text(&not);
    assert!(!not.status.success() && said.contains("FAILED") && said.contains("barrier"), "{said}");
    assert_eq!(g.gateway.await_events("command_done", 1)[0]["data"]["state"], "FAILED");
}

#[test]
fn a_command_of_yesterday_opens_nothing_while_nobody_has_confirmed_the_time() {
    let Some(g) = gate(true, "[clock]\nsource = \"ntp\"\nshift_file = \"shift\"") else { return };
    g.gateway.await_events("device", 1);
    // The box believes that it is the day before yesterday; the broker has kept the command since yesterday.
    let issued = now_s() - 86_400;
    let command = Command {
        id: "c-1".into(),
        site: "test".parse().unwrap(),
        gateway: "gw-1".parse().unwrap(),
        what: What::Open { lane: "lane-1".parse().unwrap() },
        by: "Wang".into(),
        reason: "yesterday".into(),
        issued,
        expires: issued + 600,
    };
    let issuer = Issuer::from_pkcs8(&std::fs::read(g.file("ops.pk8")).unwrap()).unwrap();
    let word = issuer.sign_message(&serde_json::to_vec(&command).unwrap(), COMMAND).unwrap();
    let ask = |word: &[u8]| -> Value {
        let said = g.central.answer("ops", "kakou/v1/test/gw-1/cmdres/+", "kakou/v1/test/gw-1/cmd/c-1", word);
        serde_json::from_slice(&said.unwrap_or_else(|| panic!("no answer:\n{}", g.gateway.log()))).unwrap()
    };
    let said = ask(&word);
    assert_eq!(said["id"], "c-1");
    assert!(["QUEUED", "REJECTED"].contains(&said["state"].as_str().unwrap()), "{said}");
    assert!(said["detail"].as_str().unwrap().contains("clock"), "{said}");
    assert_eq!((g.pulses.load(Ordering::SeqCst), g.gateway.events("remote_open").len()), (0, 0));
    // One that would count for ever is refused, whatever the time is.
    let for_ever = Command { expires: i64::MAX, ..command };
    let said = ask(&issuer.sign_message(&serde_json::to_vec(&for_ever).unwrap(), COMMAND).unwrap());
    assert_eq!(said["state"], "REJECTED");
    assert_eq!(g.pulses.load(Ordering::SeqCst), 0);
}

#[test]
fn a_command_that_waited_is_carried_out_or_timed_out_when_the_clock_is_confirmed() {
    // A box whose clock stands before the program was made: it knows that this is not the time.
    let clock = "[clock]\nsource = \"system\"\nshift_file = \"shift\"";
    let Some(g) = gate_at(true, clock, -365 * 24 * HOUR_MS) else { return };
    g.gateway.await_events("device", 1);
    let issuer = Issuer::from_pkcs8(&std::fs::read(g.file("ops.pk8")).unwrap()).unwrap();
    let word = |id: &str, issued: i64| {
        let command = Command {
            id: id.into(),
            site: "test".parse().unwrap(),
            gateway: "gw-1".parse().unwrap(),
            what: What::Open { lane: "lane-1".parse().unwrap() },
            by: "Wang".into(),
            reason: "drill".into(),
            issued,
            expires: issued + 600,
        };
        issuer.sign_message(&serde_json::to_vec(&command).unwrap(), COMMAND).unwrap()
    };
    let (today, yesterday) = (word("c-1", now_s()), word("c-2", now_s() - 86_400));
    let ask = |id: &str, word: &[u8]| -> Value {
        let topic = format!("kakou/v1/test/gw-1/cmd/{id}");
        let said = g.central.answer("ops", &format!("kakou/v1/test/gw-1/cmdres/{id}"), &topic, word);
        serde_json::from_slice(&said.unwrap_or_else(|| panic!("no answer:\n{}", g.gateway.log()))).unwrap()
    };
    for (id, word) in [("c-1", &today), ("c-2", &yesterday)] {
        let said = ask(id, word);
        assert_eq!(said["state"], "QUEUED", "{said}");
    }
    assert_eq!(g.pulses.load(Ordering::SeqCst), 0);
    // The clock is set right.
    std::fs::write(g.file("gw-1").join("shift"), "0").unwrap();
    let done = g.gateway.await_events("command_done", 1);
    assert_eq!(
        (&done[0]["data"]["command"], &done[0]["data"]["state"]),
        (&"c-1".into(), &"SUCCEEDED".into())
    );
    assert_eq!(g.pulses.load(Ordering::SeqCst), 1);
    wait::until("the end of the command of yesterday", Duration::from_secs(20), || {
        (ask("c-2", &yesterday)["state"] == "TIMED_OUT").then_some(())
    });
    assert_eq!(ask("c-1", &today)["state"], "SUCCEEDED", "carried out once");
    assert_eq!((g.pulses.load(Ordering::SeqCst), g.gateway.events("remote_open").len()), (1, 1));
}

#[test]
fn words_that_nobody_signed_are_one_record_a_minute_with_a_count() {
    let Some(g) = gate(true, "") else { return };
    let words = (0..1_000).map(|n| format!("{{\"word\":{n}}}").into_bytes());
    // The broker is asked again and again, as who has its place would do it.
    g.central.flood("ops", "kakou/v1/test/gw-1/cmd/x", words).unwrap();
    // One that comes while they still wait may find no room; whoever gives it is told so, and gives it again.
    wait::until("a command behind them", Duration::from_secs(120), || {
        g.command("ops.pk8", &["diagnostics"]).status.success().then_some(())
    });
    let first = g.gateway.await_events("command_rejected", 1);
    assert_eq!(first[0]["data"]["count"], 1, "the first at once");
    // The others are one record when the minute is over.
    wait::until("the second record", Duration::from_secs(120), || {
        (g.gateway.events("command_rejected").len() > 1).then_some(())
    });
    let records = g.gateway.events("command_rejected");
    assert_eq!(records.len(), 2);
    assert!(records[1]["data"]["count"].as_u64().unwrap() > 1, "{}", records[1]);
    assert!(g.gateway.log().matches("refused").count() <= 4, "{}", g.gateway.log());
}

#[test]
fn a_key_for_configurations_alone_never_becomes_every_key() {
    let Some(g) = gate(true, "") else { return };
    g.gateway.await_events("device", 1);
    // Somebody has a key that may configure, and a list of keys of their own on a USB drive.
    let key = ["key", "--out", "conf.pk8", "--keys", "fleet.json", "--usage", "configure"];
    g.central.run("fleet", &key);
    let mut g = g;
    g.gateway.stop();
    g.gateway.start();
    std::fs::create_dir_all(g.file("stick")).unwrap();
    let own = ["key", "--out", "evil.pk8", "--keys", "stick/evil.json", "--usage", "operate"];
    g.central.run("fleet", &own);
    let config = std::fs::read_to_string(g.gateway.config()).unwrap();
    let configure = |version: &str, text: &str| {
        std::fs::write(g.file("new.toml"), text).unwrap();
        let what = ["--from", "new.toml", "--version", version, "--wait", "60"];
        let head = ["configure", "test/gw-1", "--sign-key", "conf.pk8"];
        g.central.output("fleet", &[&head[..], &what].concat())
    };
    let fleet = g.file("fleet.json").display().to_string();
    let evil = g.file("stick/evil.json").display().to_string();
    let ca = g.file("ca.pem").display().to_string();
    let other = g.file("other.pem").display().to_string();
    std::fs::copy(&ca, &other).unwrap();
    let data = "data = \"data\"\n";
    for (version, text, name) in [
        ("1", config.replace(&fleet, &evil), "fleet_keys"),
        ("2", config.replace(data, &format!("{data}lists = \"/tmp\"\n")), "lists"),
        ("3", config.replace(data, &format!("{data}stick = \"/tmp\"\n")), "stick"),
        (
            "4",
            config.replace("source = \"system\"", "source = \"fixed\"\nfixed_at = \"2026-11-30T00:00:00Z\""),
            "[clock]",
        ),
        ("5", config.replace(&ca, &other), "ca"),
        ("6", config.replace("lane-1-scanner\" }", "lane-1-scanner\", record = \"fleet.json\" }"), "record"),
    ] {
        assert_ne!(text, config, "{name}");
        let said = configure(version, &text);
        assert!(!said.status.success(), "{name}: {}", self::text(&said));
        let words = self::text(&said);
        assert!(words.contains(name) && words.contains("cannot be changed from afar"), "{name}: {words}");
    }
    let opened = g.command("evil.pk8", &["open", "lane-1"]);
    assert!(!opened.status.success(), "{}", text(&opened));
    assert_eq!(g.pulses.load(Ordering::SeqCst), 0);
    // What a configuration is for still goes.
    let good = configure("7", &format!("{config}\n[retention]\nkeep_days = 7\n"));
    assert!(good.status.success(), "{}\n{}", text(&good), g.gateway.log());
}

#[test]
fn a_box_without_a_link_takes_its_configuration_from_a_stick() {
    let folder = tempfile::tempdir().unwrap();
    let central = Central::new(folder.path(), 1);
    central.run("fleet", &["key", "--out", "ops.pk8", "--keys", "fleet.json", "--usage", "configure"]);
    let place = folder.path().join("gw-1");
    std::fs::create_dir_all(place.join("stick")).unwrap();
    std::fs::write(place.join("gate.toml"), profiles::lane("gate", &["opaque"], &[], "", false)).unwrap();
    let keys = folder.path().join("fleet.json").display().to_string();
    let gateway = format!("fleet_keys = \"{keys}\"\nstick = \"stick\"");
    let plan = Plan { gateway, ..Plan::default() }.lane("lane-1", "gate.toml", &["scanner"]);
    let mut gateway = Gateway::prepare(&place, plan);
    gateway.start();
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let sign = |version: &str, text: &str| {
        std::fs::write(folder.path().join("new.toml"), text).unwrap();
        let made = [
            "configuration",
            "--key",
            "ops.pk8",
            "--from",
            "new.toml",
            "--version",
            version,
            "--out",
            "signed",
        ];
        central.run("feed", &made);
        // Put in at once, as a USB drive is.
        let name = "test.gw-1.config";
        std::fs::rename(folder.path().join("signed").join(name), place.join("stick").join(name)).unwrap();
    };
    let says = |words: &str| {
        let said = wait::try_until(Duration::from_secs(30), || gateway.log().contains(words).then_some(()));
        assert!(said.is_some(), "`{words}` is not said:\n{}", gateway.log());
    };
    sign("5", &format!("{config}\n[retention]\nkeep_days = 7\n"));
    says("configuration version 5 works and is kept");
    sign("6", &config.replace(&keys, "/tmp/other.json"));
    let report = || std::fs::read_to_string(gateway.data().join("config/report.json")).unwrap_or_default();
    wait::until("the report", Duration::from_secs(30), || report().contains("\"desired\":6").then_some(()));
    assert!(report().contains("\"version\":5"), "{}", report());
}
