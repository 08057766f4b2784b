//! The daemon where something is short: memory, room on the disk, the right to write, files, a quick disk, a processor.
//! People come to three lanes before, under and after each limit. What the lanes did, what the screen said, how soon they
//! were back; nothing that was acted upon or answered may be missing from the journal.

mod page;

use clap::{Parser, ValueEnum};
use kakou_tests::daemon::{Gateway, Plan, free_port};
use kakou_tests::desk::DeskClient;
use kakou_tests::figures::{Missing, finish, percentiles, round, say};
use kakou_tests::limit::{Filler, Group, SmallDisk, files, no_more_files};
use kakou_tests::recorded::{admissions, verify};
use kakou_tests::screen::Watcher;
use kakou_tests::visitors::{GATE, LANES, PHOTO, Pace, Site, Visit};
use kakou_tests::wait;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Puts the daemon under limits, one after another.
#[derive(Parser)]
struct Arguments {
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Limit>,
    /// How long each limit lasts, seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// The noise of the devices follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the page of the documentation as well.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

/// What is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Limit {
    /// 64 MiB of memory, what it reads and writes counted.
    Memory,
    /// Not a byte is left on the disk.
    FullDisk,
    /// The kernel has found a fault on the disk.
    ReadOnly,
    /// No file and no connection more.
    Files,
    /// Ten writes a second.
    SlowDisk,
    /// A tenth of a core.
    Core,
}

const ALL: [Limit; 6] =
    [Limit::Memory, Limit::FullDisk, Limit::ReadOnly, Limit::Files, Limit::SlowDisk, Limit::Core];

const MEMORY: u64 = 64 << 20;
/// Screens that are open while memory is short.
const SCREENS: usize = 24;
/// People on the list that comes then.
const MANY: u64 = 50_000;
/// Mebibytes of the small disk.
const DISK: u64 = 96;
/// Before and behind a limit people come for so long, seconds; shorter where the limit is.
const CALM: u64 = 8;
/// The lanes are back at the latest so long after a limit is gone.
const BACK: Duration = Duration::from_secs(60);
const PACE: Pace = Pace { every: Duration::from_millis(400), patience: Duration::from_secs(4) };

fn main() -> ExitCode {
    finish(run(&Arguments::parse()))
}

/// What became of people in one phase.
#[derive(Debug, Default)]
struct Phase {
    shown: usize,
    opened: usize,
    gate_p50_ms: f64,
    gate_p99_ms: f64,
    /// Verdicts that stop somebody, with their codes, and how often.
    stopped: BTreeMap<String, u64>,
}

/// One limit.
#[derive(Debug)]
struct Shown {
    limit: Limit,
    held_by: String,
    before: Phase,
    under: Phase,
    after: Phase,
    back_s: f64,
    /// What stood on the public screen of the gate, and how often.
    said: BTreeMap<String, usize>,
    /// The store as the status page had it in the middle; none if there was no answer.
    store: Option<String>,
    /// Counters that grew under the limit.
    counters: BTreeMap<String, u64>,
    measured: Map<String, Value>,
    lost: Vec<String>,
}

/// What holds a limit while it lasts.
#[derive(Default)]
struct Held {
    group: Option<Group>,
    filler: Option<Filler>,
    /// Screens that are open beside the one that is looked at.
    screens: Vec<Watcher>,
}

struct World {
    site: Site,
    disk: Option<SmallDisk>,
    folder: tempfile::TempDir,
}

impl World {
    fn begin(limit: Limit, seed: u64) -> Result<Self, Missing> {
        let folder = tempfile::tempdir()?;
        let small = [Limit::FullDisk, Limit::ReadOnly, Limit::SlowDisk].contains(&limit);
        let data = folder.path().join("data");
        let disk = if small { Some(SmallDisk::new(&data, DISK)?) } else { None };
        // The broker is away: everything is kept, and the link is tried again and again.
        let tables = format!("[upstream]\nbroker = \"mqtt://127.0.0.1:{}\"\n", free_port());
        let site = Site::prepare(folder.path(), Plan { tables, ..Plan::default() }, seed)?;
        Ok(Self { site, disk, folder })
    }

    fn disk(&self) -> Result<&SmallDisk, Missing> {
        self.disk.as_ref().ok_or_else(|| Missing("this limit needs a small disk".into()))
    }

    /// People come for so long; in the middle somebody looks at the status page.
    fn play(&mut self, time: Duration) -> (Phase, Value) {
        let from_ms = now_ms();
        let (visits, status) = self.site.play(PACE, |gateway| {
            std::thread::park_timeout(time / 2);
            let seen = status(gateway);
            std::thread::park_timeout(time / 2);
            seen
        });
        (phase(&self.site.gateway, &visits, from_ms), status)
    }

    fn impose(&mut self, limit: Limit) -> Result<(Held, String), Missing> {
        let mut held = Held::default();
        let pid = self.site.gateway.pid();
        let by = match limit {
            Limit::Memory => {
                let group = Group::new("memory")?;
                group.set("memory.limit_in_bytes", &MEMORY.to_string())?;
                self.site.gateway.stop();
                self.site.gateway.replan(|plan| plan.group = Some(group.procs()));
                self.site.gateway.start();
                held.group = Some(group);
                let url = self.site.gateway.url("");
                held.screens = (0..SCREENS).map(|n| Watcher::begin(&url, LANES[n % LANES.len()])).collect();
                self.site.more_residents(MANY);
                format!(
                    "control group, {} MiB from the start on; pages of files count. Meanwhile {SCREENS} screens are open, and \
                     a list of {MANY} people comes",
                    MEMORY >> 20
                )
            }
            Limit::FullDisk => {
                held.filler = Some(self.disk()?.fill()?);
                format!(
                    "ext4 of {DISK} MiB, filled to the last block; whatever room is made is filled as well"
                )
            }
            Limit::ReadOnly => {
                self.disk()?.fail()?;
                "ext4 that finds a fault: nobody may write until the box starts again".to_owned()
            }
            Limit::Files => {
                let open = no_more_files(pid)?;
                format!("no file beyond the {open} that are open")
            }
            Limit::SlowDisk => {
                let group = Group::new("blkio")?;
                let device = self.disk()?.device()?;
                group.set("blkio.throttle.write_iops_device", &format!("{device} 10"))?;
                let each = bare_write_ms(&group, &self.site.gateway.data())?;
                group.take(pid)?;
                held.group = Some(group);
                format!("10 writes a second; a bare write of 4 KiB that is durable takes {each:.0} ms")
            }
            Limit::Core => {
                let group = Group::new("cpu")?;
                group.set("cpu.cfs_period_us", "100000")?;
                group.set("cpu.cfs_quota_us", "10000")?;
                group.take(pid)?;
                held.group = Some(group);
                "10 ms of a core in each 100 ms".to_owned()
            }
        };
        Ok((held, by))
    }

    /// Takes the limit away; what it has counted.
    fn lift(&mut self, limit: Limit, held: Held) -> Result<Map<String, Value>, Missing> {
        let mut measured = Map::new();
        match limit {
            Limit::Memory => {
                let number = |file: &str, word| held.group.as_ref().and_then(|g| g.number(file, word));
                let mb = |bytes: Option<u64>| bytes.map(|b| round(b as f64 / f64::from(1 << 20)));
                measured.insert("most_mb".into(), json!(mb(number("memory.max_usage_in_bytes", None))));
                measured.insert("rss_mb".into(), json!(mb(number("memory.stat", Some("rss ")))));
                measured.insert("at_the_limit".into(), json!(number("memory.failcnt", None)));
                let killed = number("memory.oom_control", Some("oom_kill "));
                measured.insert("killed".into(), json!(killed));
                self.site.gateway.stop();
                self.site.gateway.replan(|plan| plan.group = None);
                drop(held);
                self.site.gateway.start();
            }
            Limit::FullDisk => drop(held),
            Limit::ReadOnly => {
                let ended = self.site.gateway.stop();
                measured.insert("exit".into(), json!(ended));
                self.disk()?.start_again()?;
                self.site.gateway.start();
            }
            Limit::Files => files(self.site.gateway.pid(), None)?,
            Limit::SlowDisk => drop(held),
            Limit::Core => {
                let stopped = held.group.as_ref().and_then(|g| g.number("cpu.stat", Some("nr_throttled ")));
                measured.insert("held_back".into(), json!(stopped));
                drop(held);
            }
        }
        Ok(measured)
    }

    /// How long until the gate opens again.
    fn back(&mut self) -> Option<Duration> {
        let moved = self.site.counter(GATE);
        let (before, from) = (moved.load(Ordering::Acquire), Instant::now());
        let opened = || (moved.load(Ordering::Acquire) > before).then(|| from.elapsed());
        self.site.play(PACE, |_| wait::try_until(BACK, opened)).1
    }

    /// What was acted upon or answered, and is not on record; what does not verify.
    fn lost(&mut self) -> Result<Vec<String>, Missing> {
        let mut lost = Vec::new();
        let ended = self.site.gateway.stop();
        if ended != Some(0) {
            lost.push(format!("the daemon ended with {ended:?}"));
        }
        let on_record = admissions(&self.site.gateway);
        let of = |lane: &str| on_record.get(lane).copied().unwrap_or(0);
        for (lane, moved) in self.site.moved() {
            if moved > of(lane) {
                lost.push(format!("{lane} opened {moved} times, {} admissions are on record", of(lane)));
            }
        }
        if self.site.accepted() > of(PHOTO) {
            lost.push(format!("{} acts were answered, {} are on record", self.site.accepted(), of(PHOTO)));
        }
        lost.extend(verify(&self.site.gateway)?.problems.into_iter().take(5));
        Ok(lost)
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

/// As the status page has it; null if there is no answer.
fn status(gateway: &Gateway) -> Value {
    let asked = DeskClient::new(&gateway.url("")).get("/api/v1/status");
    asked.ok().and_then(|(_, text)| serde_json::from_str(&text).ok()).unwrap_or_default()
}

fn phase(gateway: &Gateway, visits: &[Visit], from_ms: i64) -> Phase {
    let at_gate = visits.iter().filter(|v| v.lane == GATE);
    let (p50, p99) = percentiles(at_gate.filter_map(|v| v.took).collect());
    Phase {
        shown: visits.len(),
        opened: visits.iter().filter(|v| v.took.is_some()).count(),
        gate_p50_ms: p50 / 1e3,
        gate_p99_ms: p99 / 1e3,
        stopped: stopped(gateway, from_ms).unwrap_or_default(),
    }
}

/// Verdicts since a moment that stopped somebody.
fn stopped(gateway: &Gateway, from_ms: i64) -> Option<BTreeMap<String, u64>> {
    let journal = kakou_gateway::store::journal::reader(&gateway.data()).ok()?;
    let sql = "SELECT body FROM event WHERE shed = 0 AND at_ms >= ?1";
    let mut select = journal.prepare(sql).ok()?;
    let bodies = select.query_map([from_ms], |r| r.get::<_, Vec<u8>>(0)).ok()?;
    let mut all = BTreeMap::new();
    for event in bodies.flatten().filter_map(|body| serde_json::from_slice::<Value>(&body).ok()) {
        let outcome = event["data"]["outcome"].as_str().unwrap_or_default();
        if event["type"] != "kakou.transaction.v1" || outcome == "ADMIT" {
            continue;
        }
        let codes = event["data"]["codes"].as_array().into_iter().flatten().filter_map(Value::as_str);
        *all.entry(format!("{outcome} {}", codes.collect::<Vec<_>>().join(" "))).or_default() += 1;
    }
    Some(all)
}

/// What a durable write of a page takes in a group.
fn bare_write_ms(group: &Group, data: &Path) -> Result<f64, Missing> {
    const WRITES: u32 = 20;
    let probe = data.join("probe");
    let write = |count: u32| {
        let out = format!("of={}", probe.display());
        let enter =
            "echo $$ >\"$0\" && exec dd if=/dev/zero \"$1\" bs=4k \"count=$2\" conv=notrunc oflag=dsync";
        let mut command = Command::new("sh");
        command.args(["-c", enter]).arg(group.procs()).args([&out, &count.to_string()]);
        command.stderr(std::process::Stdio::null()).status()
    };
    // A file that has its size already.
    write(WRITES)?;
    let from = Instant::now();
    write(WRITES)?;
    let each = from.elapsed().as_secs_f64() * 1e3 / f64::from(WRITES);
    std::fs::remove_file(probe)?;
    Ok(each)
}

fn counters(status: &Value) -> BTreeMap<String, u64> {
    let all = status["counters"].as_object().into_iter().flatten();
    all.filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect()
}

fn one(limit: Limit, a: &Arguments, begun: Instant) -> Result<Shown, Missing> {
    let calm = Duration::from_secs(a.seconds.min(CALM));
    let mut world = World::begin(limit, a.seed)?;
    world.site.gateway.start();
    let watcher = Watcher::begin(&world.site.gateway.url(""), GATE);
    let (before, _) = world.play(calm);
    say(begun, &format!("{limit:?}: {} of {} people went in; the limit comes", before.opened, before.shown));
    let (held, held_by) = world.impose(limit)?;
    let counted = counters(&status(&world.site.gateway));
    let from = Instant::now();
    let (under, seen) = world.play(Duration::from_secs(a.seconds));
    let said = watcher.between(from, Instant::now());
    say(begun, &format!("{limit:?}: {} of {} went in; it goes", under.opened, under.shown));
    let lifted = Instant::now();
    let measured = world.lift(limit, held)?;
    let restart = lifted.elapsed();
    let back = world.back();
    let (after, later) = world.play(calm);
    drop(watcher);
    let store = seen["store"]["state"].as_str().map(str::to_owned);
    let seen = if seen.is_null() { later } else { seen };
    let grew = |(name, n): (String, u64)| {
        let before = counted.get(&name).copied().unwrap_or(0);
        (n > before).then(|| (name, n - before))
    };
    let counters = counters(&seen).into_iter().filter_map(grew).collect();
    let mut lost = world.lost()?;
    let back_s = back.map_or(f64::INFINITY, |back| (restart + back).as_secs_f64());
    if back.is_none() {
        lost.push(format!("the lanes are not back after {BACK:?}"));
    }
    say(begun, &format!("{limit:?}: back after {back_s:.1} s, {} of {} went in", after.opened, after.shown));
    if !lost.is_empty() {
        let log = world.site.gateway.log();
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        eprintln!("{}", world.folder.path().display());
    }
    Ok(Shown { limit, held_by, before, under, after, back_s, said, store, counters, measured, lost })
}

impl Phase {
    fn json(&self) -> Value {
        json!({ "shown": self.shown, "opened": self.opened, "gate_p50_ms": round(self.gate_p50_ms),
            "gate_p99_ms": round(self.gate_p99_ms), "stopped": self.stopped })
    }
}

impl Shown {
    /// Where it falls short.
    fn short(&self) -> Vec<String> {
        let name = format!("{:?}", self.limit);
        let mut short: Vec<String> = self.lost.iter().map(|why| format!("{name}: {why}")).collect();
        let mut share = |which: &str, phase: &Phase, least: f64| {
            let opened = phase.opened as f64 / phase.shown.max(1) as f64;
            if opened < least || phase.shown == 0 {
                let Phase { shown, opened, .. } = phase;
                short.push(format!("{name}: {which} {opened} of {shown} people went in"));
            }
        };
        share("before it", &self.before, 0.9);
        share("behind it", &self.after, 0.9);
        match self.limit {
            Limit::Memory | Limit::Files => share("under it", &self.under, 0.9),
            Limit::Core | Limit::SlowDisk => share("under it", &self.under, 0.5),
            // What cannot be recorded does not happen.
            Limit::FullDisk | Limit::ReadOnly => {
                let closed = self.said.keys().any(|words| words.contains("通道暂停"));
                if !closed {
                    short.push(format!(
                        "{name}: the screen did not say that the lane is closed: {:?}",
                        self.said
                    ));
                }
            }
        }
        if self.measured.get("killed").and_then(Value::as_u64).unwrap_or(0) > 0 {
            short.push(format!("{name}: the daemon was killed for want of memory"));
        }
        short
    }

    fn json(&self) -> Value {
        json!({ "held_by": self.held_by, "before": self.before.json(), "under": self.under.json(),
            "after": self.after.json(), "back_s": round(self.back_s), "said": self.said, "store": self.store,
            "counters": self.counters, "measured": self.measured })
    }
}

fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let mut all = Vec::new();
    for limit in ALL.into_iter().filter(|limit| a.only.is_empty() || a.only.contains(limit)) {
        all.push(one(limit, a, begun)?);
    }
    if let Some(file) = &a.page {
        std::fs::write(file, page::text(&all, a.seconds))?;
    }
    let mut figures = Map::new();
    figures.insert("seed".into(), json!(a.seed));
    figures.insert("baseline".into(), json!("the same lanes before each limit"));
    for shown in &all {
        let name = shown.limit.to_possible_value().map(|v| v.get_name().replace('-', "_"));
        figures.insert(name.unwrap_or_default(), shown.json());
    }
    figures.insert("seconds".into(), json!(begun.elapsed().as_secs()));
    Ok((figures, all.iter().flat_map(Shown::short).collect()))
}
