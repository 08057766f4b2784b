//! A million residents and a million revocations, applied while lanes run: how long it takes, what
//! memory it costs, what a look-up costs afterwards, and what the lanes notice.

use clap::Parser;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_gateway::store::lists::Lists;
use kakou_tests::daemon::{Gateway, Plan, programs};
use kakou_tests::desk::Desk;
use kakou_tests::figures::{Missing, finish, percentiles, pulse_quantile_between, round, say};
use kakou_tests::profiles;
use serde_json::{Map, Value, json};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
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

fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let folder = tempfile::tempdir()?;
    let f = folder.path();
    kakou(f, &["fleet", "key", "--out", "feed.pk8", "--keys", "fleet.json", "--usage", "feed"])?;
    residents(&f.join("status.jsonl"), a.entries, 0)?;
    revocations(&f.join("revocation.jsonl"), a.entries)?;
    for name in ["status", "revocation"] {
        let from = format!("{name}.jsonl");
        kakou(f, &["feed", "make", "--key", "feed.pk8", "--name", name, "--from", &from, "--out", "made"])?;
    }
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
    let desk = Desk::new(&gateway.url(""));
    let metrics = || desk.get("/metrics").map(|(_, text)| text).map_err(|e| Missing(e.to_string()));
    let list = |name: &str| -> u64 {
        let (_, status) = desk.get("/api/v1/status").unwrap_or_default();
        let status: Value = serde_json::from_str(&status).unwrap_or_default();
        let all = status["lists"].as_array().cloned().unwrap_or_default();
        all.iter().find(|l| l["name"] == name).and_then(|l| l["version"].as_u64()).unwrap_or(0)
    };
    // A small first edition, so that the lanes have verdicts before the large one.
    let lists = gateway.lists();
    std::fs::create_dir_all(lists.join("parts"))?;
    std::fs::write(f.join("few.json"), json!({ "R1": { "name": "a" } }).to_string())?;
    kakou(
        f,
        &["feed", "make", "--key", "feed.pk8", "--name", "pass", "--from", "few.json", "--out", "made"],
    )?;

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
    let copy = |name: &str| -> Result<(), Missing> {
        // The bodies first, the head last: as a stick or `kakou fleet push` brings them.
        for part in std::fs::read_dir(f.join("made/parts"))? {
            let part = part?;
            let to = lists.join("parts").join(part.file_name());
            if !to.exists() {
                std::fs::hard_link(part.path(), to)?;
            }
        }
        std::fs::copy(f.join(format!("made/{name}.feed")), lists.join(format!("{name}.feed")))?;
        Ok(())
    };
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
    copy("status")?;
    let first = wait("status", 1)?;
    figures.insert("first_apply_s".into(), json!(round(first.as_secs_f64())));
    say(begun, &format!("the first {} residents are in use after {:.1} s", a.entries, first.as_secs_f64()));
    let before = metrics()?;
    std::thread::sleep(CALM);
    let calm = metrics()?;
    let baseline = pulse_quantile_between(&before, &calm, 0.99)?;
    say(begun, &format!("calm: p99 {:.0} us", baseline * 1e6));

    residents(&f.join("status.jsonl"), a.entries, a.changed)?;
    let remake = |name: &str, version: &str, fresh: bool| -> Result<String, Missing> {
        if fresh {
            // Without the edition before, only a snapshot leads to the new one.
            std::fs::remove_file(f.join(format!("made/{name}.feed")))?;
        }
        let from = format!("{name}.jsonl");
        kakou(
            f,
            &[
                "feed",
                "make",
                "--key",
                "feed.pk8",
                "--name",
                name,
                "--from",
                &from,
                "--out",
                "made",
                "--version",
                version,
            ],
        )
    };
    for (what, name, version, fresh) in [
        ("revocations", "revocation", 1, false),
        ("snapshot", "status", 2, true),
        ("change", "status", 3, false),
    ] {
        if version == 3 {
            residents(&f.join("status.jsonl"), a.entries, a.changed / 2)?;
        }
        if version > 1 {
            remake(name, &version.to_string(), fresh)?;
        }
        let from = metrics()?;
        copy(name)?;
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
            reader.enter()?;
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
    drop(Stdio::null());
    Ok((figures, short))
}
