//! The same gateway and the same consumer at a cluster of three NATS nodes, in MQTT 3.1.1: a node is
//! killed while a backlog drains, and nothing is lost.

use clap::Parser;
use kakou_central::fleet::watch::now_ms;
use kakou_core::event::{Author, Class, NewEvent};
use kakou_core::ids::{GatewayId, SiteId};
use kakou_core::time::{Now, Quality};
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_gateway::store::journal::Journal;
use kakou_tests::central::{self, Ingest};
use kakou_tests::daemon::{Gateway, Plan};
use kakou_tests::figures::{Missing, drive, round, say};
use kakou_tests::postgres::Postgres;
use kakou_tests::{nats, profiles, wait};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Drains a backlog through a NATS cluster that loses a node.
#[derive(Parser)]
struct Arguments {
    /// Events of the backlog.
    #[arg(long, default_value_t = 20_000)]
    events: u64,
    /// Which node is killed follows from it: 0 is the gateway's, others are not.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Another broker instead, that listens on this port of this machine: the same is drained, and
    /// nobody is killed.
    #[arg(long, value_name = "PORT")]
    broker: Option<u16>,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let a = Arguments::parse();
    drive(run(&a))
}

fn fill(data: &Path, events: u64) -> Result<(), Missing> {
    std::fs::create_dir_all(data)?;
    let author = Author { site: SiteId::new("test")?, gateway: GatewayId::new("gw-1")?, boot: "past".into() };
    let (mut journal, ..) = Journal::open(data, author)?;
    journal.begin()?;
    for n in 0..events {
        let data = json!({ "filling": "x".repeat(110), "n": n });
        let event = NewEvent {
            kind: "arrival".into(),
            class: Class::Scan,
            lane: None,
            visit: None,
            audience: vec![],
            data,
        };
        let wall_ms = Some(now_ms() - 3_600_000);
        journal.append(&event, &Now { mono_ms: n, wall_ms, quality: Quality::Synced })?;
    }
    journal.commit()?;
    Ok(())
}

async fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let folder = tempfile::tempdir()?;
    let mut nodes = Vec::new();
    if a.broker.is_none() {
        nodes = nats::cluster(folder.path());
        for node in &mut nodes {
            node.start()?;
        }
        wait::try_until(Duration::from_secs(30), || nodes[0].ready().then_some(()))
            .ok_or_else(|| Missing("the cluster found no leader".into()))?;
        say(begun, "three nodes have a leader");
    }
    let port = |n: usize| a.broker.or(nodes.get(n).map(|n| n.mqtt)).unwrap_or_default();
    let (ours, theirs) = (port(0), port(1));
    let database = Postgres::start()?;
    // The consumer is at another node than the gateway.
    let mut consumer = Ingest::new(theirs, &database, "central", &["--mqtt", "3.1.1", "--site", "test"]);
    consumer.start()?;
    let tables =
        format!("[upstream]\nbroker = \"mqtt://127.0.0.1:{}\"\nversion = \"3.1.1\"\nbatch = 20\n", ours);
    std::fs::write(folder.path().join("count.toml"), profiles::lane("count", &["opaque"], &[], "", false))?;
    let plan = Plan { tables, ..Plan::default() }.lane("lane-1", "count.toml", &["scanner"]);
    let mut gateway = Gateway::prepare(folder.path(), plan);
    fill(&gateway.data(), a.events)?;
    let mut scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1)?;
    gateway.start();
    let client = database.look().await?;
    let arrived = async |least: i64, limit: Duration| -> Result<i64, Missing> {
        let from = Instant::now();
        loop {
            let n: i64 = client.query_one("SELECT count(*) FROM event", &[]).await?.get(0);
            if n >= least {
                return Ok(n);
            }
            if from.elapsed() > limit {
                return Err(Missing(format!("{n} of {least} events arrived; gateway:\n{}", gateway.log())));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let from = Instant::now();
    let at_kill = arrived(i64::try_from(a.events / 4)?, Duration::from_secs(120)).await?;
    say(begun, &format!("{at_kill} events arrived; a node dies"));
    let victim = usize::try_from(a.seed % 3)?;
    if let Some(node) = nodes.get_mut(victim) {
        node.kill();
    }
    for n in 0..200 {
        scanner.scan(&format!("ID-{n}"))?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    if let Some(node) = nodes.get_mut(victim) {
        node.start()?;
        say(begun, "the node is back");
    }
    central::settle(&database, &gateway.journal(), Duration::from_secs(240)).await?;
    let took = from.elapsed().as_secs_f64();
    let history = central::compare(&database, &gateway.journal(), "gw-1").await?;
    let mut figures = Map::new();
    figures.insert("seed".into(), json!(a.seed));
    figures.insert("events".into(), json!(history.head));
    figures.insert("at_kill".into(), json!(at_kill));
    figures.insert("seconds".into(), json!(round(took)));
    figures.insert("events_per_s".into(), json!(round(history.head as f64 / took)));
    figures.insert("history".into(), json!(history));
    Ok((figures, history.faults()))
}
