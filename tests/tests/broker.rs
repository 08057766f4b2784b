//! A real Mosquitto with mutual TLS that is killed 20 times: the central side ends with every event,
//! once each.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_central::ingest::ReceivedEvent;
use kakou_central::ingest::ledger::{Gone, Ledger, Sink};
use kakou_central::ingest::listen::{self, Listen, Part, Tally};
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_link::broker::{MqttVersion, Upstream};
use kakou_tests::brokers::{Mosquitto, installed, skip_without};
use kakou_tests::certs::Authority;
use kakou_tests::daemon::{Gateway, Plan};
use kakou_tests::{profiles, wait};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<(u64, u64), u32>>>);

impl Sink for Seen {
    fn quarantine(&mut self, events: &[ReceivedEvent]) -> std::io::Result<()> {
        panic!("{events:?} are kept aside")
    }
    fn gone(&mut self, gone: &Gone) -> std::io::Result<()> {
        panic!("{gone:?}")
    }
    fn store(&mut self, events: &[ReceivedEvent]) -> std::io::Result<()> {
        let mut seen = self.0.lock().unwrap();
        for e in events {
            *seen.entry((e.epoch, e.seq)).or_default() += 1;
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_survive_twenty_kills_of_the_broker() {
    if skip_without("mosquitto", installed().is_some()) {
        return;
    }
    const EVENTS: u64 = 10_000;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let (server_cert, server_key) = authority.issue("broker", true);
    let (cert, key) = authority.issue("gw-1", false);
    let (central_cert, central_key) = authority.issue("central", false);
    let lines = format!(
        "cafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true\nuse_identity_as_username true\nallow_anonymous false\n\
         user root\npersistence false\nmax_inflight_messages 0\nmax_queued_messages 0\nmax_queued_bytes 0",
        authority.ca.display(),
        server_cert.display(),
        server_key.display()
    );
    let mut broker = Mosquitto::new(folder.path(), "mtls", &lines);
    broker.start();

    let url = format!("mqtts://127.0.0.1:{}", broker.port);
    let identity = Some((central_cert, central_key));
    let settings = Upstream::tool(&url, Some(authority.ca.clone()), identity, MqttVersion::V5).unwrap();
    let (tally, mut tallied) = watch::channel(Tally::default());
    let (seen, cancel) = (Seen::default(), CancellationToken::new());
    let listen = Listen {
        broker: settings,
        client_id: "central".into(),
        site: "test".into(),
        group: None,
        part: Part::All,
    };
    let ledger = Ledger::new(seen.clone());
    let central = tokio::spawn(listen::run(listen, ledger, None, tally, cancel.clone()));
    tokio::time::timeout(Duration::from_secs(10), tallied.wait_for(|t| t.subscribed)).await.unwrap().unwrap();

    // Every code gives an event: a verdict on an id that nobody knows.
    let profile = profiles::lane("count", &["opaque"], &[], "", false);
    std::fs::write(folder.path().join("count.toml"), profile).unwrap();
    let tables = format!(
        "[upstream]\nbroker = \"mqtts://127.0.0.1:{}\"\nca = \"{}\"\ncert = \"{}\"\nkey = \"{}\"\nbatch = 20\n",
        broker.port,
        authority.ca.display(),
        cert.display(),
        key.display()
    );
    let plan = Plan { tables, ..Plan::default() }.lane("lane-1", "count.toml", &["scanner"]);
    let mut gateway = Gateway::prepare(folder.path(), plan);
    let mut scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    tokio::task::block_in_place(|| {
        gateway.start();
        let stored = || -> u64 {
            let sql = "SELECT coalesce(max(seq), 0) FROM event";
            gateway.journal().query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap().cast_unsigned()
        };
        let mut sent = 0_u64;
        for kill in 0..20 {
            for _ in 0..EVENTS / 20 {
                scanner.scan(&format!("ID-{sent}")).unwrap();
                sent += 1;
            }
            let wanted = sent - sent / 50;
            kakou_tests::wait::until("the codes of this round", Duration::from_secs(60), || {
                (stored() >= wanted).then_some(())
            });
            if kill % 2 == 0 {
                // A quiet broker is not enough: it dies with messages on their way.
                scanner.scan(&format!("KILL-{kill}")).unwrap();
            }
            broker.kill();
            broker.start();
        }
    });
    // What is stored must arrive: every event of the journal, once each.
    let complete = async {
        loop {
            let stored = tokio::task::block_in_place(|| {
                gateway
                    .journal()
                    .query_row("SELECT max(seq) FROM event", [], |r| r.get::<_, i64>(0))
                    .unwrap()
                    .cast_unsigned()
            });
            let arrived = seen.0.lock().unwrap().len() as u64;
            if stored >= EVENTS && arrived >= stored {
                return (stored, arrived);
            }
            tallied.changed().await.unwrap();
        }
    };
    let (stored, arrived) =
        tokio::time::timeout(Duration::from_secs(300), complete).await.unwrap_or_else(|_| {
            panic!(
                "{} events arrived; {:?}; log:\n{}",
                seen.0.lock().unwrap().len(),
                tallied.borrow(),
                gateway.log()
            )
        });
    assert_eq!(stored, arrived);
    let all = seen.0.lock().unwrap();
    assert!(all.values().all(|n| *n == 1), "an event was stored twice");
    assert_eq!(all.keys().map(|k| k.1).max(), Some(arrived), "the sequence has no gap");
    cancel.cancel();
    central.abort();
}

#[test]
fn what_the_broker_has_is_known_from_the_start_of_the_daemon_on() {
    if skip_without("mosquitto", installed().is_some()) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Mosquitto::plain(folder.path(), "plain");
    broker.start();
    let profile = profiles::lane("count", &["opaque"], &[], "", false);
    std::fs::write(folder.path().join("count.toml"), profile).unwrap();
    let tables = format!("[upstream]\nbroker = \"mqtt://127.0.0.1:{}\"\npurge = \"puback\"\n", broker.port);
    let plan = Plan { tables, http: true, ..Plan::default() }.lane("lane-1", "count.toml", &["scanner"]);
    let mut gateway = Gateway::prepare(folder.path(), plan);
    let mut scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    gateway.start();
    for n in 0..50 {
        scanner.scan(&format!("ID-{n}")).unwrap();
    }
    gateway.await_events("transaction", 50);
    let sum =
        |gateway: &Gateway, sql: &str| gateway.journal().query_row(sql, [], |r| r.get::<_, i64>(0)).unwrap();
    wait::until("the broker's acknowledgements", Duration::from_secs(60), || {
        let kept = sum(&gateway, "SELECT coalesce(sum(acked), 0) FROM stream");
        (kept >= sum(&gateway, "SELECT max(seq) FROM event")).then_some(())
    });
    // The broker is away when the daemon starts again.
    broker.kill();
    gateway.stop();
    gateway.start();
    let metrics = ureq::get(gateway.url("/metrics")).call().unwrap().body_mut().read_to_string().unwrap();
    let waiting = metrics.lines().find_map(|l| l.strip_prefix("kakou_outbox_unpublished{")?.split_once("} "));
    let waiting: f64 = waiting.unwrap().1.parse().unwrap();
    assert!(waiting < 50.0, "{waiting} events are said to wait");
}
