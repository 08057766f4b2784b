//! A day of eight hours at three lanes in ten minutes: the real daemon, a broker that is lost again and again, a consumer
//! and a gateway that are stopped and killed. Memory, open files, disk, the journal's log and the time to the barrier
//! stay where they are, and in the end the central side has everything.

use clap::Parser;
use kakou_drivers::sim::Seeded;
use kakou_tests::brokers::{Mosquitto, installed};
use kakou_tests::central::{self, Ingest};
use kakou_tests::daemon::{Gateway, Plan};
use kakou_tests::figures::{Missing, finish, machine, percentiles, round, say};
use kakou_tests::limit::open_files;
use kakou_tests::plot::{Curve, Panel, Plot, draw};
use kakou_tests::postgres::Postgres;
use kakou_tests::visitors::{GATE, LANES, Pace, Site, Visit};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Plays a working day faster than it is.
#[derive(Parser)]
struct Arguments {
    /// How long it takes.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// How long it stands for.
    #[arg(long, default_value_t = 8)]
    hours: u64,
    /// People at each lane in each of these hours.
    #[arg(long, default_value_t = 400)]
    visits: u64,
    /// Faults and their moments follow from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Draws what was measured.
    #[arg(long, value_name = "PNG")]
    plot: Option<PathBuf>,
    /// Writes the page of the documentation; the picture lies beside it.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

/// Before that nothing is judged: caches fill, the journal reaches its size.
const WARM_UP: f64 = 0.15;
/// Between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// Between two faults, seconds; the last ones end in peace.
const FAULT_EVERY: u64 = 30;
const PEACE: Duration = Duration::from_secs(45);
/// So many points of the time to the barrier.
const WINDOWS: u32 = 48;
/// The most that each may grow by from the warm-up to the end, by the straight line through it.
const GROWTH: [(&str, f64); 4] = [("rss_mb", 4.0), ("files", 4.0), ("disk_mb", 12.0), ("wal_mb", 6.0)];
/// The journal's log is folded back at the latest at this size (`WAL_FRAMES_MAX`), MiB; a commit may lie above it.
const WAL_MOST: f64 = 34.0;
/// The 99th percentile of the second half, against the first.
const SLOWER: f64 = 1.5;

fn main() -> ExitCode {
    finish(run(&Arguments::parse()))
}

/// One look.
#[derive(Debug, Clone, Copy)]
struct Look {
    at_s: f64,
    rss_mb: f64,
    files: f64,
    disk_mb: f64,
    wal_mb: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    BrokerLost,
    GatewayStopped,
    GatewayKilled,
    ConsumerKilled,
}

const FAULTS: [Fault; 5] = [
    Fault::BrokerLost,
    Fault::GatewayStopped,
    Fault::BrokerLost,
    Fault::ConsumerKilled,
    Fault::GatewayKilled,
];

/// What was seen, and when something was out of order.
#[derive(Default)]
struct Seen {
    looks: Vec<Look>,
    away: Vec<(f64, f64)>,
    restarts: Vec<f64>,
    faults: BTreeMap<String, u64>,
}

/// All files in a folder, and below: how many, and their bytes.
fn files(folder: &Path) -> (u64, u64) {
    let all = std::fs::read_dir(folder).into_iter().flatten().flatten();
    all.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => files(&entry.path()),
        Ok(about) => (1, about.len()),
        Err(_) => (0, 0),
    })
    .fold((0, 0), |(count, bytes), (more, of)| (count + more, bytes + of))
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn look(gateway: &Gateway, begun: Instant) -> Look {
    let data = gateway.data();
    let wal = std::fs::metadata(data.join("journal.db-wal")).map_or(0, |about| about.len());
    Look {
        at_s: begun.elapsed().as_secs_f64(),
        rss_mb: gateway.rss_mb(),
        files: open_files(gateway.pid()).len() as f64,
        disk_mb: mb(files(&data).1),
        wal_mb: mb(wal),
    }
}

/// The straight line through what was seen: how much it grows from the warm-up to the end.
fn growth(points: &[(f64, f64)], end_s: f64) -> f64 {
    let kept: Vec<_> = points.iter().filter(|(at, _)| *at >= end_s * WARM_UP).collect();
    let n = kept.len().max(1) as f64;
    let (x, y) = kept.iter().fold((0.0, 0.0), |(x, y), (at, value)| (x + at / n, y + value / n));
    let (above, below) = kept.iter().fold((0.0, 0.0), |(above, below), (at, value)| {
        (above + (at - x) * (value - y), below + (at - x) * (at - x))
    });
    if below > 0.0 { above / below * end_s * (1.0 - WARM_UP) } else { 0.0 }
}

struct World {
    broker: Mosquitto,
    consumer: Ingest,
    random: Seeded,
    begun: Instant,
    seen: Seen,
}

impl World {
    /// Looks for so long.
    fn watch(&mut self, gateway: &Gateway, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.seen.looks.push(look(gateway, self.begun));
            std::thread::park_timeout(LOOK.min(end.saturating_duration_since(Instant::now())));
        }
    }

    fn fault(&mut self, gateway: &mut Gateway, fault: Fault) -> Result<(), Missing> {
        *self.seen.faults.entry(format!("{fault:?}")).or_default() += 1;
        let from = self.begun.elapsed().as_secs_f64();
        let time = Duration::from_millis(3_000 + self.random.below(9_000));
        match fault {
            Fault::BrokerLost => {
                self.broker.kill();
                self.watch(gateway, time);
                self.broker.start();
                self.seen.away.push((from, self.begun.elapsed().as_secs_f64()));
            }
            Fault::ConsumerKilled => {
                self.consumer.kill();
                self.watch(gateway, time);
                self.consumer.start()?;
                self.seen.away.push((from, self.begun.elapsed().as_secs_f64()));
            }
            Fault::GatewayStopped | Fault::GatewayKilled => {
                if fault == Fault::GatewayKilled {
                    gateway.kill();
                } else if gateway.stop() != Some(0) {
                    return Err(Missing("the gateway did not end in order".into()));
                }
                gateway.start();
                self.seen.restarts.push(from);
            }
        }
        Ok(())
    }

    /// The day, with its faults.
    fn day(&mut self, gateway: &mut Gateway, time: Duration) -> Result<(), Missing> {
        let end = self.begun + time;
        let mut faults = FAULTS.into_iter().cycle();
        loop {
            let calm = Duration::from_secs(FAULT_EVERY / 2 + self.random.below(FAULT_EVERY));
            let left = end.saturating_duration_since(Instant::now());
            if left <= calm + PEACE {
                self.watch(gateway, left);
                return Ok(());
            }
            self.watch(gateway, calm);
            let fault = faults.next().unwrap_or(Fault::BrokerLost);
            say(self.begun, &format!("{fault:?}; {:.1} MB resident", gateway.rss_mb()));
            self.fault(gateway, fault)?;
        }
    }
}

/// Admissions at the central side, by lane.
async fn arrived(database: &Postgres) -> Result<BTreeMap<String, i64>, Missing> {
    let client = database.look().await?;
    let sql = "SELECT coalesce(lane, ''), count(*) FROM event WHERE kind = 'kakou.transaction.v1'
               AND body::jsonb -> 'data' ->> 'outcome' = 'ADMIT' GROUP BY 1";
    Ok(client.query(sql, &[]).await?.into_iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The 99th percentile at the gate in each window: its middle, milliseconds.
fn p99(visits: &[Visit], begun: Instant, time: Duration) -> Vec<(f64, f64)> {
    let each = time / WINDOWS;
    let window = |n: u32| {
        let (from, to) = (begun + each * n, begun + each * (n + 1));
        let at_gate = visits.iter().filter(|v| v.lane == GATE && (from..to).contains(&v.at));
        let times: Vec<Duration> = at_gate.filter_map(|v| v.took).collect();
        let middle = (each * n + each / 2).as_secs_f64();
        (!times.is_empty()).then(|| (middle, percentiles(times).1 / 1e3))
    };
    (0..WINDOWS).filter_map(window).collect()
}

fn half(visits: &[Visit], keep: impl Fn(&Visit) -> bool) -> (f64, f64) {
    let at_gate = visits.iter().filter(|v| v.lane == GATE && keep(v));
    let (p50, p99) = percentiles(at_gate.filter_map(|v| v.took).collect());
    (round(p50 / 1e3), round(p99 / 1e3))
}

fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    installed().ok_or_else(|| Missing("mosquitto is not installed: apt-get install mosquitto".into()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    // The central side is another machine: its files are not on the gateway's disk.
    let elsewhere = tempfile::tempdir_in("/dev/shm")?;
    let database = Postgres::start_in(Path::new("/dev/shm"))?;
    let folder = tempfile::tempdir()?;
    let mut broker = Mosquitto::plain(folder.path(), "upstream");
    broker.start();
    let photos = elsewhere.path().join("photos");
    let shown = photos.display().to_string();
    let mut consumer = Ingest::new(broker.port, &database, "central", &["--photos", &shown]);
    consumer.start()?;
    let tables = format!(
        "[upstream]\nbroker = \"mqtt://127.0.0.1:{}\"\n[retention]\nkeep_days = 0\nphoto_days = 0\n",
        broker.port
    );
    let mut site = Site::prepare(folder.path(), Plan { tables, ..Plan::default() }, a.seed)?;
    site.gateway.start();
    let time = Duration::from_secs(a.seconds);
    let each = u32::try_from(a.hours * a.visits).unwrap_or(u32::MAX).max(1);
    let pace = Pace { every: time / each, patience: Duration::from_secs(4) };
    let begun = Instant::now();
    let random = Seeded::new(a.seed);
    let mut world = World { broker, consumer, random, begun, seen: Seen::default() };
    let (visits, done) = site.play(pace, |gateway| world.day(gateway, time));
    done?;
    say(begun, "the day is over; what was stored must arrive");
    let journal = site.gateway.journal();
    let settled = runtime.block_on(central::settle(&database, &journal, Duration::from_secs(150)))?;
    let history = runtime.block_on(central::compare(&database, &journal, "gw-1"))?;
    let admitted = runtime.block_on(arrived(&database))?;
    let mut short = history.faults();
    for (lane, moved) in site.moved() {
        let on_record = admitted.get(lane).copied().unwrap_or(0).cast_unsigned();
        if moved > on_record {
            short
                .push(format!("{lane} opened {moved} times, {on_record} admissions are at the central side"));
        }
    }
    if site.gateway.stop() != Some(0) {
        short.push("the gateway did not end in order".into());
    }
    let opened = visits.iter().filter(|v| v.took.is_some()).count();
    let seen = world.seen;
    let end_s = time.as_secs_f64();
    let of = |what: fn(&Look) -> f64| seen.looks.iter().map(|l| (l.at_s, what(l))).collect::<Vec<_>>();
    let all: [Vec<(f64, f64)>; 4] = [of(|l| l.rss_mb), of(|l| l.files), of(|l| l.disk_mb), of(|l| l.wal_mb)];
    let (mut grew, mut most) = (Map::new(), Map::new());
    for ((name, bound), points) in GROWTH.into_iter().zip(&all) {
        let (by, peak) = (growth(points, end_s), points.iter().map(|(_, v)| *v).fold(0.0, f64::max));
        grew.insert(name.into(), json!(round(by)));
        most.insert(name.into(), json!(round(peak)));
        if by > bound {
            short.push(format!("{name} grew by {by:.1} behind the warm-up, at most {bound}"));
        }
    }
    let peak = all[3].iter().map(|(_, v)| *v).fold(0.0, f64::max);
    if peak > WAL_MOST {
        short.push(format!("the log of the journal had {peak:.1} MB, at most {WAL_MOST}"));
    }
    let middle = begun + time / 2;
    let (first, second) = (half(&visits, |v| v.at < middle), half(&visits, |v| v.at >= middle));
    if second.1 > first.1 * SLOWER {
        short.push(format!("p99 is {} ms in the second half and {} in the first", second.1, first.1));
    }
    let came = u64::from(each) * LANES.len() as u64;
    if (visits.len() as u64) < came * 8 / 10 || opened * 10 < visits.len() * 8 {
        short.push(format!("{} of {came} people came, {opened} went in", visits.len()));
    }
    let mut figures = Map::new();
    let mut put = |name: &str, value: Value| figures.insert(name.to_owned(), value);
    put("seed", json!(a.seed));
    put("baseline", json!("the first half of the same run"));
    put("hours", json!(a.hours));
    put("shown", json!(visits.len()));
    put("opened", json!(opened));
    put("faults", json!(seen.faults));
    put("grew", Value::Object(grew));
    put("grows_at_most", GROWTH.iter().map(|(name, most)| ((*name).to_owned(), json!(most))).collect());
    put("most", Value::Object(most));
    put("gate_first_half_ms", json!({ "p50": first.0, "p99": first.1 }));
    put("gate_second_half_ms", json!({ "p50": second.0, "p99": second.1 }));
    put("settled_s", json!(round(settled.as_secs_f64())));
    put("history", json!(history));
    put("photographs_there", json!(files(&photos).0));
    put("seconds", json!(begun.elapsed().as_secs()));
    let times = p99(&visits, begun, time);
    if let Some(file) = &a.plot {
        draw(&picture(a, &seen, &all, times)).save(file)?;
    }
    if let Some(file) = &a.page {
        std::fs::write(file, page(a, &figures, &short))?;
    }
    Ok((figures, short))
}

fn picture(a: &Arguments, seen: &Seen, all: &[Vec<(f64, f64)>; 4], times: Vec<(f64, f64)>) -> Plot {
    let hours = |seconds: f64| seconds * a.hours as f64 / a.seconds as f64;
    let in_hours = |points: &[(f64, f64)]| points.iter().map(|(at, v)| (hours(*at), *v)).collect::<Vec<_>>();
    let panel = |title: &str, points: Vec<(f64, f64)>, colour: [u8; 3], limit: Option<f64>| Panel {
        title: title.to_owned(),
        curves: vec![Curve { name: String::new(), colour, points }],
        limit,
    };
    let blue = [31, 94, 168];
    Plot {
        title: format!("{} hours, 3 lanes, {} visits an hour each, in {} s", a.hours, a.visits, a.seconds),
        time: "hours of work".to_owned(),
        end: a.hours as f64,
        bands: seen.away.iter().map(|(from, to)| (hours(*from), hours(*to))).collect(),
        marks: seen.restarts.iter().map(|at| hours(*at)).collect(),
        legend: "bands: broker or consumer away   lines: gateway restarted".to_owned(),
        panels: vec![
            panel("Resident memory, MB", in_hours(&all[0]), blue, None),
            panel("Open files", in_hours(&all[1]), blue, None),
            panel("Data folder, MB", in_hours(&all[2]), blue, None),
            panel("Log of the journal (WAL), MB", in_hours(&all[3]), blue, Some(32.0)),
            panel("Code to barrier at the gate, p99, ms", in_hours(&times), [160, 70, 20], None),
        ],
    }
}

/// The page, from the figures.
fn page(a: &Arguments, figures: &Map<String, Value>, short: &[String]) -> String {
    let machine = machine();
    let figure = |of: &str, name: &str| figures[of][name].to_string();
    let rows = [
        ("resident memory, MB", "rss_mb"),
        ("open files", "files"),
        ("data folder, MB", "disk_mb"),
        ("log of the journal, MB", "wal_mb"),
    ];
    let row = |(title, name): (&str, &str)| {
        let (most, grew, may) = (figure("most", name), figure("grew", name), figure("grows_at_most", name));
        format!("| {title} | {most} | {grew} | {may} |\n")
    };
    let faults = figures["faults"].as_object().into_iter().flatten();
    let faults: Vec<String> = faults.map(|(name, n)| format!("{name} {n}")).collect();
    let missing = if short.is_empty() { "nothing".to_owned() } else { short.join("; ") };
    format!(
        "# A working day at once (连续运行)\n\n\
         {hours} hours of work at three lanes, {visits} visits an hour at each, played in {seconds} s on {cores} cores ({cpu}): \
         the real daemon, a real broker, a real PostgreSQL. This page and its picture are written by the program that measures; \
         `cargo run --release -p kakou-tests --bin soak -- --page gateway/docs/soak.md --plot gateway/docs/soak.png` writes them \
         anew. What is delivered is purged at once here (`keep_days = 0`), so that what grows would show.\n\n\
         ![Memory, files, disk, log and time over the day](soak.png)\n\n\
         {shown} people came and {opened} went in; the others came while the gateway started again. Out of order: {faults}. \
         Behind the day everything was at the central side after {settled} s: {central} events, missing {lost}, changed {changed}, \
         out of order {disordered}.\n\n\
         | | most | grew from the warm-up to the end, by the straight line through it | may grow by |\n| --- | --- | --- | --- |\n{rows}\n\
         The data folder goes up with photographs that wait, and down by 64 of those that are delivered every 10 s, as on a box; \
         here they come as many times as fast as the day is shorter.\n\n\
         Code to barrier at the gate, 50th and 99th percentile: {p50a} and {p99a} ms in the first half, {p50b} and {p99b} ms in the \
         second. What falls short: {missing}.\n",
        hours = a.hours,
        visits = a.visits,
        seconds = a.seconds,
        cores = machine["cores"],
        cpu = machine["cpu"].as_str().unwrap_or_default(),
        shown = figures["shown"],
        opened = figures["opened"],
        faults = faults.join(", "),
        settled = figures["settled_s"],
        central = figure("history", "central"),
        lost = figure("history", "missing"),
        changed = figure("history", "changed"),
        disordered = figure("history", "disordered"),
        rows = rows.map(row).concat(),
        p50a = figure("gate_first_half_ms", "p50"),
        p99a = figure("gate_first_half_ms", "p99"),
        p50b = figure("gate_second_half_ms", "p50"),
        p99b = figure("gate_second_half_ms", "p99"),
    )
}
