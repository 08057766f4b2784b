//! Seven days without a network, then the network: a million events and twenty thousand photographs
//! go out while lanes run. Live events must not wait behind the backlog.

use clap::Parser;
use kakou_central::fleet::watch::now_ms;
use kakou_core::event::{Author, Class, NewEvent};
use kakou_core::ids::{GatewayId, LaneId, SiteId};
use kakou_core::time::{Now, Quality};
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_gateway::store::journal::Journal;
use kakou_gateway::store::photos::Photos;
use kakou_tests::brokers::Mosquitto;
use kakou_tests::central::{self, Ingest};
use kakou_tests::daemon::{Gateway, Plan};
use kakou_tests::desk::DeskClient;
use kakou_tests::figures::{Missing, drive, pulse_quantile_between, round, say};
use kakou_tests::postgres::Postgres;
use kakou_tests::{passes, profiles};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Drains a backlog beside busy lanes.
#[derive(Parser)]
struct Arguments {
    /// Events of the backlog.
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Photographs of the backlog.
    #[arg(long, default_value_t = 20_000)]
    photos: u64,
    /// Bytes of each photograph.
    #[arg(long, default_value_t = 20_000)]
    photo_bytes: usize,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

const WEEK_MS: i64 = 7 * 86_400_000;
const CALM: Duration = Duration::from_secs(30);
/// Live verdicts beside a backlog against live verdicts alone, 99th percentile.
const LIVE_RATIO: f64 = 2.0;
/// The lanes' own latency, median.
const LANE_RATIO: f64 = 1.1;
/// Memory beside a backlog, MiB more than without.
const MEMORY_MB: f64 = 12.0;
const LANES: [&str; 2] = ["lane-1", "lane-2"];

fn main() -> ExitCode {
    let a = Arguments::parse();
    drive(run(&a))
}

/// Writes a journal as seven days without a network leave it.
fn fill(data: &Path, a: &Arguments) -> Result<(), Missing> {
    std::fs::create_dir_all(data)?;
    let author = Author { site: SiteId::new("test")?, gateway: GatewayId::new("gw-1")?, boot: "past".into() };
    let (mut journal, ..) = Journal::open(data, author)?;
    let photos = Photos::open(data)?;
    let lane = LaneId::new("lane-1")?;
    let begin = now_ms() - WEEK_MS;
    let every = (a.events / a.photos.max(1)).max(1);
    let mut picture = vec![0_u8; a.photo_bytes];
    journal.begin()?;
    for n in 0..a.events {
        let wall_ms = begin + i64::try_from(n)? * (WEEK_MS - 3_600_000) / i64::try_from(a.events)?;
        let mut data =
            json!({ "outcome": "ADMIT", "codes": ["OK"], "subject": format!("{:032x}", n % 50_000) });
        if n % every == 0 && n / every < a.photos {
            picture[..8].copy_from_slice(&n.to_le_bytes());
            data["photos"] = json!({ "closeup": photos.save_unsynced(&picture)? });
        }
        let class = if n % 3 == 0 { Class::Verdict } else { Class::Scan };
        let kind = if class == Class::Verdict { "transaction" } else { "arrival" };
        let event = NewEvent {
            kind: kind.into(),
            class,
            lane: Some(lane.clone()),
            visit: None,
            audience: vec![],
            data,
        };
        journal.append(&event, &Now { mono_ms: n, wall_ms: Some(wall_ms), quality: Quality::Synced })?;
        if n % 20_000 == 19_999 {
            journal.commit()?;
            journal.wal_checkpoint()?;
            journal.begin()?;
        }
    }
    journal.commit()?;
    Ok(())
}

struct Phase {
    live_p50_ms: f64,
    live_p99_ms: f64,
    live: i64,
    lane_p50_us: f64,
    lane_p99_us: f64,
    rss_mb: f64,
    drained_s: Option<f64>,
    photos: i64,
    false_alarms: i64,
    late: i64,
}

async fn phase(folder: &Path, backlog: Option<&Arguments>, begun: Instant) -> Result<Phase, Missing> {
    // The central side is on another machine, so its files are not on the gateway's disk.
    let elsewhere = tempfile::tempdir_in("/dev/shm")?;
    let database = Postgres::start_in(Path::new("/dev/shm"))?;
    let mut broker = Mosquitto::plain(folder, "upstream");
    broker.start();
    let photos = elsewhere.path().join("central");
    let shown = photos.display().to_string();
    let mut consumer = Ingest::new(broker.port, &database, "central", &["--photos", &shown]);
    consumer.start()?;
    let tables = format!("[upstream]\nbroker = \"mqtt://127.0.0.1:{}\"\n", broker.port);
    let mut plan = Plan { tables, http: true, ..Plan::default() };
    std::fs::write(folder.join("fast.toml"), profiles::lane("fast", &["resident-card"], &[], "", true))?;
    for lane in LANES {
        plan = plan.lane(lane, "fast.toml", &["scanner", "barrier"]);
    }
    let mut gateway = Gateway::prepare(folder, plan);
    let issuer = passes::issuer();
    passes::trust(&gateway.lists(), vec![passes::entry(&issuer)]);
    if let Some(a) = backlog {
        fill(&gateway.data(), a)?;
        say(begun, "seven days are stored");
    }
    let (mut relays, mut scanners) = (Vec::new(), Vec::new());
    for lane in LANES {
        relays.push(RelaySim::new(&gateway.device(lane, "barrier"), |_| {})?);
        scanners.push(ScannerSim::new(&gateway.device(lane, "scanner"), Faults::default(), 1)?);
    }
    let cards: Vec<String> = (0..4_000)
        .map(|n| passes::pass(&issuer, "resident-card", json!({ "id": format!("R{n}") })))
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    gateway.start();
    let load = std::thread::spawn(move || {
        for pair in cards.chunks(LANES.len()).cycle() {
            if flag.load(Ordering::Relaxed) {
                return;
            }
            for (scanner, card) in scanners.iter_mut().zip(pair) {
                drop(scanner.scan(card));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let desk = DeskClient::new(&gateway.url(""));
    let metrics = || desk.get("/metrics").map(|(_, text)| text).map_err(|e| Missing(e.to_string()));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let since = now_ms();
    let before = metrics()?;
    let client = database.look().await?;
    let waiting = |gateway: &Gateway| -> Result<i64, Missing> {
        Ok(gateway.journal().query_row("SELECT count(*) FROM photo WHERE state = 0", [], |r| r.get(0))?)
    };
    let (mut rss, from) = (gateway.rss_mb(), Instant::now());
    let mut drained = None;
    let wanted = backlog.map_or(0, |a| a.events);
    let mut told = Instant::now();
    while from.elapsed() < CALM || (backlog.is_some() && drained.is_none()) {
        tokio::time::sleep(Duration::from_millis(500)).await;
        rss = rss.max(gateway.rss_mb());
        if backlog.is_some() && drained.is_none() {
            let late: i64 = client.query_one("SELECT count(*) FROM event WHERE late", &[]).await?.get(0);
            let left = waiting(&gateway)?;
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                say(begun, &format!("{late} of {wanted} late events, {left} photographs left"));
            }
            if late.cast_unsigned() >= wanted && left == 0 {
                drained = Some(from.elapsed().as_secs_f64());
            }
            if from.elapsed() > Duration::from_secs(900) {
                return Err(Missing(format!("{late} events after 15 minutes, {left} photographs left")));
            }
        }
    }
    let after = metrics()?;
    let until = now_ms();
    stop.store(true, Ordering::Relaxed);
    drop(load.join());
    let sql = "SELECT count(*), coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY ms), 0),
                 coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY ms), 0)
               FROM (SELECT extract(epoch FROM received - at)::float8 * 1000 AS ms FROM event
                     WHERE NOT late AND stream = 0 AND extract(epoch FROM at) * 1000 BETWEEN $1::float8 AND $2::float8) AS l";
    let row = client.query_one(sql, &[&(since as f64), &(until as f64)]).await?;
    let sql = "SELECT count(*) FROM event WHERE NOT late AND received - at > interval '61 seconds'";
    let false_alarms: i64 = client.query_one(sql, &[]).await?.get(0);
    let late: i64 = client.query_one("SELECT count(*) FROM event WHERE late", &[]).await?.get(0);
    let history = central::compare(&database, &gateway.journal(), "gw-1").await?;
    if history.purged_unseen + history.changed + history.disordered > 0 {
        return Err(Missing(format!("the history differs: {history:?}")));
    }
    let kept: i64 =
        gateway.journal().query_row("SELECT count(*) FROM photo WHERE state = 1", [], |r| r.get(0))?;
    drop(relays);
    Ok(Phase {
        live: row.get(0),
        live_p50_ms: row.get(1),
        live_p99_ms: row.get(2),
        lane_p50_us: pulse_quantile_between(&before, &after, 0.5)? * 1e6,
        lane_p99_us: pulse_quantile_between(&before, &after, 0.99)? * 1e6,
        rss_mb: rss,
        drained_s: drained,
        photos: kept,
        false_alarms,
        late,
    })
}

async fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    kakou_tests::brokers::installed().ok_or_else(|| Missing("mosquitto is not installed".into()))?;
    let begun = Instant::now();
    let folders = (tempfile::tempdir()?, tempfile::tempdir()?);
    let calm = phase(folders.0.path(), None, begun).await?;
    say(
        begun,
        &format!("alone: live verdicts p99 {:.1} ms, lanes p50 {:.0} us", calm.live_p99_ms, calm.lane_p50_us),
    );
    let busy = phase(folders.1.path(), Some(a), begun).await?;
    say(
        begun,
        &format!("beside a backlog: p99 {:.1} ms, lanes p50 {:.0} us", busy.live_p99_ms, busy.lane_p50_us),
    );
    let drained = busy.drained_s.unwrap_or(f64::INFINITY);
    let mut figures = Map::new();
    let mut short = Vec::new();
    let mut put = |name: &str, value: Value| figures.insert(name.to_owned(), value);
    put("seed", json!(0));
    put("events", json!(a.events));
    put("photos", json!(busy.photos));
    put("drained_s", json!(round(drained)));
    put("drained_per_s", json!(round(a.events as f64 / drained)));
    put("late", json!(busy.late));
    for (name, p) in [("alone", &calm), ("beside_backlog", &busy)] {
        put(
            name,
            json!({ "live": p.live, "live_p50_ms": round(p.live_p50_ms), "live_p99_ms": round(p.live_p99_ms),
            "lane_p50_us": round(p.lane_p50_us), "lane_p99_us": round(p.lane_p99_us), "rss_mb": round(p.rss_mb) }),
        );
    }
    let live = busy.live_p99_ms / calm.live_p99_ms;
    let lane = busy.lane_p50_us / calm.lane_p50_us;
    put("live_p99_ratio", json!(round(live)));
    put("lane_p50_ratio", json!(round(lane)));
    put("late_as_live", json!(busy.false_alarms));
    if live > LIVE_RATIO {
        short.push(format!("live verdicts take {live:.2} times as long, at most {LIVE_RATIO}"));
    }
    if lane > LANE_RATIO {
        short.push(format!("the lanes take {lane:.2} times as long, at most {LANE_RATIO}"));
    }
    if busy.false_alarms > 0 {
        short.push(format!("{} late events went out as live", busy.false_alarms));
    }
    if busy.rss_mb > calm.rss_mb + MEMORY_MB {
        short.push(format!("memory grew from {:.1} to {:.1} MiB", calm.rss_mb, busy.rss_mb));
    }
    if busy.photos.cast_unsigned() < a.photos {
        short.push(format!("{} of {} photographs were receipted", busy.photos, a.photos));
    }
    Ok((figures, short))
}
