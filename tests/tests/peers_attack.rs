//! A gateway of the site whose certificate is in bad hands says to the others what it likes, over a real
//! Mosquitto with the access list that ships: no lane stops, no start is prevented, no pass is spoilt that
//! it has not seen.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::brokers::{Mosquitto, installed, skip_without};
use kakou_tests::daemon::{Gateway, Plan};
use kakou_tests::desk::DeskClient;
use kakou_tests::fleet::{self, Central};
use kakou_tests::{profiles, wait};
use serde_json::{Value, json};
use std::time::Duration;

/// Where the other gateway speaks.
const USES: &str = "kakou/v1/test/peer/gw-2/redemption";
const ENTRIES: &str = "kakou/v1/test/peer/gw-2/entry";
/// The limit that the unit sets, with room for what the test machine counts differently.
const MEMORY_MB: f64 = 128.0;

struct Gate {
    _folder: tempfile::TempDir,
    _broker: Mosquitto,
    central: Central,
    gateway: Gateway,
    scanner: ScannerSim,
    scanned: usize,
}

fn gate() -> Option<Gate> {
    if skip_without("mosquitto", installed().is_some()) {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let usages = ["feed", "operate", "maintain"];
    let (broker, central) = fleet::open(folder.path(), &["gw-1", "gw-2"], &usages);
    let profile = profiles::lane("gate", &["opaque"], &[], "", false);
    let (place, plan) = central.plan("gw-1", &[("gate", profile)]);
    let plan = Plan { http: true, ..plan };
    let mut gateway = Gateway::prepare(&place, plan.lane("lane-1", "gate.toml", &["scanner"]));
    let scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    gateway.start();
    let gate = Gate { _folder: folder, _broker: broker, central, gateway, scanner, scanned: 0 };
    gate.hears("k1:before");
    Some(gate)
}

fn used(pass: &str) -> Vec<u8> {
    json!({ "pass": pass, "lane": "lane-9", "visit": 1, "at_ms": 1_793_100_000_000_i64 })
        .to_string()
        .into_bytes()
}

impl Gate {
    /// A use that the other gateway tells is known here.
    fn hears(&self, pass: &str) {
        let known = || -> bool {
            let sql = "SELECT count(*) FROM redemption WHERE pass_id = ?1";
            self.gateway.journal().query_row(sql, [pass], |r| r.get::<_, i64>(0)).unwrap() == 1
        };
        let heard = wait::try_until(Duration::from_secs(60), || {
            known().then_some(()).or_else(|| {
                // The gateway may not have subscribed yet.
                self.central.publish("test.gw-2", USES, &used(pass)).unwrap();
                let soon = Duration::from_secs(2);
                wait::try_until(soon, || known().then_some(()))
            })
        });
        assert!(heard.is_some(), "{pass} is not heard:\n{}", self.gateway.log());
    }

    fn scan(&mut self) {
        self.scanned += 1;
        let (scanner, id) = (&mut self.scanner, format!("ID-{}", self.scanned));
        self.gateway.await_verdict(self.scanned, || scanner.scan(&id).unwrap());
    }

    fn known(&self) -> i64 {
        self.gateway.journal().query_row("SELECT count(*) FROM redemption", [], |r| r.get(0)).unwrap()
    }

    fn counter(&self, name: &str) -> u64 {
        let (_, body) = DeskClient::new(&self.gateway.url("")).get("/api/v1/status").unwrap();
        serde_json::from_str::<Value>(&body).unwrap()["counters"][name].as_u64().unwrap_or(0)
    }

    fn await_counter(&self, name: &str, count: u64) {
        let limit = Duration::from_secs(120);
        let reached = wait::try_until(limit, || (self.counter(name) >= count).then_some(()));
        assert!(reached.is_some(), "{name} is {}:\n{}", self.counter(name), self.gateway.log());
    }

    /// The most memory that the process ever had, in MiB.
    fn peak_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gateway.pid())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
    }

    fn journal_mb(&self) -> u64 {
        let size = |name: &str| std::fs::metadata(self.gateway.data().join(name)).map_or(0, |m| m.len());
        (size("journal.db") + size("journal.db-wal")) >> 20
    }
}

#[test]
fn large_uses_of_a_peer_cost_no_memory_stop_no_lane_and_prevent_no_start() {
    let Some(mut g) = gate() else { return };
    const LARGE: u64 = 150;
    let large = |n: u64| used(&format!("k{n}:{}", "x".repeat(900_000)));
    // While the gateway runs …
    g.central.flood("test.gw-2", USES, (0..LARGE).map(large)).unwrap();
    g.scan();
    g.await_counter("peer_large_total", LARGE);
    let peak = g.peak_mb();
    assert!(peak < MEMORY_MB, "{peak} MiB");
    // … and while it is away: the broker keeps it all, and hands it out at the start.
    g.gateway.kill();
    g.central.flood("test.gw-2", USES, (LARGE..2 * LARGE).map(large)).unwrap();
    g.gateway.start();
    g.scan();
    g.await_counter("peer_large_total", LARGE);
    let peak = g.peak_mb();
    assert!(peak < MEMORY_MB, "{peak} MiB");
    assert!(g.gateway.runs());
    assert!(g.journal_mb() < 20, "{} MiB", g.journal_mb());
    g.hears("k1:behind");
    assert_eq!(g.known(), 2);
}

#[test]
fn uses_beyond_the_budget_of_a_peer_are_counted_and_the_lanes_and_orders_go_on() {
    let Some(mut g) = gate() else { return };
    let many = kakou_gateway::upstream::budget::USES * 2;
    let uses = (0..many).map(|n| used(&format!("k2:{n}")));
    g.central.flood("test.gw-2", USES, uses).unwrap();
    g.scan();
    // At most two minutes' budgets: a minute may end in the flood.
    g.await_counter("peer_over_budget_total", 1);
    let seen = || g.known().unsigned_abs() + g.counter("peer_over_budget_total");
    wait::until("the end of the flood", Duration::from_secs(120), || {
        (seen() > u64::from(many)).then_some(())
    });
    assert!(g.known() <= i64::from(2 * kakou_gateway::upstream::budget::USES) + 1, "{}", g.known());
    let to = ["command", "test/gw-1", "--sign-key", "ops.pk8", "--by", "Wang", "--reason", "drill"];
    let out = g.central.output("fleet", &[&to[..], &["--wait", "20", "diagnostics"]].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(g.gateway.log().matches("beyond its budget").count() <= 3, "{}", g.gateway.log());
}

#[test]
fn a_peer_spoils_no_pass_that_it_names_by_a_plate_and_none_of_another_form() {
    let Some(g) = gate() else { return };
    let long = format!("k3:{}", "x".repeat(200));
    let bad = [":辽P12345@1793000000000-1893000000000", ":P-0009", "", "P-0009", "k3:", "k3:a\nb", &long];
    for pass in bad {
        g.central.publish("test.gw-2", USES, &used(pass)).unwrap();
    }
    g.hears("k3:good");
    assert_eq!(g.known(), 2);
    assert_eq!(g.counter("peer_unreadable_total"), bad.len() as u64);
}

#[test]
fn junk_entries_of_a_peer_delay_no_command_and_do_not_wash_the_log_away() {
    let Some(mut g) = gate() else { return };
    let junk = |n: u32| format!("KE1:e30.{n}.e30").into_bytes();
    g.central.flood("test.gw-2", ENTRIES, (0..3_000).map(junk)).unwrap();
    let to = ["command", "test/gw-1", "--sign-key", "ops.pk8", "--by", "Wang", "--reason", "drill"];
    let out = g.central.output("fleet", &[&to[..], &["--wait", "20", "diagnostics"]].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    g.scan();
    // Those beyond the budget are not even looked at.
    let seen = || g.counter("peer_unreadable_total") + g.counter("peer_over_budget_total");
    wait::until("the end of the junk", Duration::from_secs(60), || (seen() == 3_000).then_some(()));
    let lines = g.gateway.log().lines().filter(|l| l.contains("entry") || l.contains("gw-2")).count();
    assert!(lines <= 5, "{lines} lines:\n{}", g.gateway.log());
    // In the next minute an entry that is signed comes through.
    let told = || g.gateway.log().contains("beyond its budget").then_some(());
    wait::until("the line of the minute", Duration::from_secs(90), told);
    let make = ["entry", "--key", "ops.pk8", "--name", "hold", "--id", "P-0001", "--facts", "{}"];
    let text = g.central.run("feed", &make);
    let text = text.lines().find(|l| l.starts_with("KE1:")).unwrap_or_else(|| panic!("{text}"));
    g.central.publish("test.gw-2", ENTRIES, text.as_bytes()).unwrap();
    // It has no list to supplement here yet: the feeds say so, since they have looked at it.
    let looked =
        || g.gateway.log().contains("an entry of list hold from a code waits for the list").then_some(());
    wait::until("the feeds to look at the entry", Duration::from_secs(30), looked);
}
