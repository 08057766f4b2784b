//! A million residents and a million revocations, applied while lanes run: how long it takes, what
//! memory it costs, what a look-up costs afterwards, and what the lanes notice.

use clap::Parser;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_gateway::store::lists::Lists;
use kakou_tests::daemon::{Gateway, Plan, programs};
use kakou_tests::desk::DeskClient;
use kakou_tests::figures::{Missing, finish, percentiles, pulse_quantile_between, round, say};
use kakou_tests::profiles;
use serde_json::{Map, Value, json};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Applies large feeds under load.
#[derive(Parser)]
struct Arguments {
    /// Entries of each list.
    #[arg(long, default_value_t = 1_000_000)]
    entries: u64,
    /// Entries that the change touches.
    #[arg(long, default_value_t = 10_000)]
    changed: u64,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

/// The lanes' 99th percentile while a feed is applied, against the same lanes before.
const RATIO: f64 = 1.5;
/// How long the lanes are measured without a feed.
const CALM: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let a = Arguments::parse();
    finish(run(&a))
}

fn kakou(folder: &Path, arguments: &[&str]) -> Result<String, Missing> {
    let out = Command::new(programs().join("kakou")).current_dir(folder).args(arguments).output()?;
    if !out.status.success() {
        return Err(Missing(String::from_utf8_lossy(&out.stderr).into_owned()));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn id(n: u64) -> String {
    format!("R{n:012}")
}

fn residents(path: &Path, entries: u64, changed: u64) -> Result<(), Missing> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    for n in 0..entries {
        let colour = if n < changed { "yellow" } else { "green" };
        writeln!(
            file,
            r#"{{"id":"{}","facts":{{"name":"张{n}","group":"三年二班","colour":"{colour}","test_result":"negative","sampled_at_ms":1653350400000}}}}"#,
            id(n)
        )?;
    }
    file.flush()?;
    Ok(())
}

fn revocations(path: &Path, entries: u64) -> Result<(), Missing> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    for n in 0..entries {
        writeln!(file, r#"{{"id":"a1b2c3d4:{n:022}","facts":{{}}}}"#)?;
    }
    file.flush()?;
    Ok(())
}

/// Brings a feed as a USB drive does: the bodies first, the head last.
fn copy_feed(from: &Path, to: &Path, name: &str) -> Result<(), Missing> {
    std::fs::create_dir_all(to.join("parts"))?;
    for part in std::fs::read_dir(from.join("parts"))? {
        let part = part?;
        let place = to.join("parts").join(part.file_name());
        if !place.exists() {
            std::fs::hard_link(part.path(), place)?;
        }
    }
    let head = format!("{name}.feed");
    std::fs::copy(from.join(&head), to.join(&head))?;
    Ok(())
}

fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let folder = tempfile::tempdir()?;
    let f = folder.path();
    kakou(f, &["fleet", "key", "--out", "feed.pk8", "--keys", "fleet.json", "--usage", "feed"])?;
    // All editions are made before anything is measured, and are on the disk.
    revocations(&f.join("revocation.jsonl"), a.entries)?;
    for (version, changed) in [("1", 0), ("2", a.changed), ("3", a.changed / 2)] {
        let from = format!("status-{version}.jsonl");
        residents(&f.join(&from), a.entries, changed)?;
        let out = format!("made-{version}");
        if version == "3" {
            // Only beside the edition before is a change made.
            copy_feed(&f.join("made-2"), &f.join("made-3"), "status")?;
        }
        let make = ["feed", "make", "--key", "feed.pk8", "--out", &out];
        kakou(f, &[&make[..], &["--name", "status", "--from", &from, "--version", version]].concat())?;
        if version == "1" {
            kakou(f, &[&make[..], &["--name", "revocation", "--from", "revocation.jsonl"]].concat())?;
        }
    }
    Command::new("sync").status()?;
    say(begun, "the feeds are signed");

    let profile = profiles::lane("gate", &["opaque"], &["status"], "", true);
    std::fs::write(f.join("gate.toml"), profile)?;
    let mut plan = Plan { http: true, ..Plan::default() };
    plan.gateway = format!("fleet_keys = \"{}\"", f.join("fleet.json").display());
    for lane in ["lane-1", "lane-2"] {
        plan = plan.lane(lane, "gate.toml", &["scanner", "barrier"]);
    }
    let mut gateway = Gateway::prepare(f, plan);
    let stop = Arc::new(AtomicBool::new(false));
    let mut relays = Vec::new();
    let mut scanners = Vec::new();
    for lane in ["lane-1", "lane-2"] {
        relays.push(kakou_drivers::sim::relay::RelaySim::new(&gateway.device(lane, "barrier"), |_| {})?);
        scanners.push(ScannerSim::new(&gateway.device(lane, "scanner"), Faults::default(), 1)?);
    }
    gateway.start();
    let desk = DeskClient::new(&gateway.url(""));
    let metrics = || desk.get("/metrics").map(|(_, text)| text).map_err(|e| Missing(e.to_string()));
    let list = |name: &str| -> u64 {
        let (_, status) = desk.get("/api/v1/status").unwrap_or_default();
        let status: Value = serde_json::from_str(&status).unwrap_or_default();
        let all = status["lists"].as_array().cloned().unwrap_or_default();
        all.iter().find(|l| l["name"] == name).and_then(|l| l["version"].as_u64()).unwrap_or(0)
    };
    let lists = gateway.lists();
    let (flag, entries) = (stop.clone(), a.entries);
    let load = std::thread::spawn(move || {
        let mut n = 0_u64;
        while !flag.load(Ordering::Relaxed) {
            for scanner in &mut scanners {
                n += 1;
                drop(scanner.scan(&id(n.wrapping_mul(7919) % entries)));
            }
            std::thread::sleep(Duration::from_millis(40));
        }
    });
    let copy = |version: u64, name: &str| copy_feed(&f.join(format!("made-{version}")), &lists, name);
    let wait = |name: &str, version: u64| -> Result<Duration, Missing> {
        let from = Instant::now();
        while list(name) < version {
            if from.elapsed() > Duration::from_secs(300) {
                return Err(Missing(format!(
                    "{name} edition {version} was not applied; log:\n{}",
                    gateway.log()
                )));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(from.elapsed())
    };
    let mut figures = Map::new();
    let mut short = Vec::new();
    let mut worst = 0.0_f64;
    let mut rss_most = gateway.rss_mb();
    figures.insert("rss_mb_before".into(), json!(round(rss_most)));
    // Verdicts need a list to look into: the first edition is applied before the calm.
    copy(1, "status")?;
    let first = wait("status", 1)?;
    figures.insert("first_apply_s".into(), json!(round(first.as_secs_f64())));
    say(begun, &format!("the first {} residents are in use after {:.1} s", a.entries, first.as_secs_f64()));
    let before = metrics()?;
    std::thread::sleep(CALM);
    let calm = metrics()?;
    let baseline = pulse_quantile_between(&before, &calm, 0.99)?;
    say(begun, &format!("calm: p99 {:.0} us", baseline * 1e6));

    for (what, name, edition, version) in
        [("revocations", "revocation", 1, 1), ("snapshot", "status", 2, 2), ("change", "status", 3, 3)]
    {
        let from = metrics()?;
        copy(edition, name)?;
        let took = wait(name, version)?;
        rss_most = rss_most.max(gateway.rss_mb());
        // A change is applied faster than the lanes can be measured: they are, for a moment more.
        std::thread::sleep(Duration::from_secs(8).saturating_sub(took));
        let p99 = pulse_quantile_between(&from, &metrics()?, 0.99)?;
        worst = worst.max(p99 / baseline);
        say(begun, &format!("{what}: {:.1} s, p99 {:.0} us", took.as_secs_f64(), p99 * 1e6));
        figures.insert(format!("{what}_apply_s"), json!(round(took.as_secs_f64())));
        figures.insert(format!("{what}_p99_ratio"), json!(round(p99 / baseline)));
    }
    stop.store(true, Ordering::Relaxed);
    drop(load.join());

    let reader = Lists::open(&gateway.data())?;
    for (name, key) in [("status", "lookup_status"), ("revocation", "lookup_revocation")] {
        let mut times = Vec::new();
        for n in 0..20_000_u64 {
            let at = n.wrapping_mul(104_729) % a.entries;
            let wanted = if name == "status" { id(at) } else { format!("a1b2c3d4:{at:022}") };
            let from = Instant::now();
            reader.enter(n)?;
            let found = reader.entry(name, &wanted)?.is_some();
            reader.leave()?;
            times.push(from.elapsed());
            if !found {
                return Err(Missing(format!("`{wanted}` is not in {name}")));
            }
        }
        let (p50, p99) = percentiles(times);
        figures.insert(format!("{key}_p50_us"), json!(round(p50)));
        figures.insert(format!("{key}_p99_us"), json!(round(p99)));
    }
    let size: u64 = std::fs::read_dir(gateway.data().join("editions"))?
        .flatten()
        .filter_map(|e| e.metadata().ok())
        .map(|m| m.len())
        .sum();
    figures.insert("entries".into(), json!(a.entries));
    figures.insert("calm_p99_us".into(), json!(round(baseline * 1e6)));
    figures.insert("worst_p99_ratio".into(), json!(round(worst)));
    figures.insert("rss_mb_most".into(), json!(round(rss_most)));
    figures.insert("rss_mb_after".into(), json!(round(gateway.rss_mb())));
    figures.insert("disk_mb".into(), json!(size >> 20));
    figures.insert("seed".into(), json!(0));
    if worst > RATIO {
        short.push(format!("the lanes' p99 is {worst:.2} times that of calm, at most {RATIO}"));
    }
    drop(relays);
    Ok((figures, short))
}
