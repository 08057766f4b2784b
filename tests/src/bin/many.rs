//! Sixteen scanners, eight thermometers and two cameras on one box, beside one lane on the same box: what they
//! cost, and whether a verdict takes longer.

use clap::Parser;
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_drivers::sim::thermometer::ThermometerSim;
use kakou_tests::daemon::{Gateway, Plan};
use kakou_tests::figures::{Missing, finish, pulse_quantile, round, say};
use kakou_tests::qr_scene::{Harm, scene};
use kakou_tests::{load, passes, profiles};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Runs one lane, then many, and compares.
#[derive(Parser)]
struct Arguments {
    /// Scanners, each with a lane and a barrier.
    #[arg(long, default_value_t = 16)]
    scanners: usize,
    /// So many of the lanes measure temperature as well.
    #[arg(long, default_value_t = 8)]
    thermometers: usize,
    /// Cameras that look for codes at ten frames a second.
    #[arg(long, default_value_t = 2)]
    cameras: usize,
    /// How long each of the two runs takes, seconds.
    #[arg(long, default_value_t = 40)]
    seconds: u64,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

/// Visits a second at one lane.
const RATE: u64 = 2;
/// The lane that is alone has as many visits a second as all together, so that both runs have as many to count.
const P99_BAR: f64 = 1.5;
const TEMPERATURE: &str = "[[step]]\nkind = \"temperature\"\ndevice = \"thermometer\"\nhigh_mdeg = 37300\n\
    low_mdeg = 35000\nframes = 5\nspread_mdeg = 300\ntries = 2\nwait_s = 1\ntimeout_s = 4\n";

fn main() -> ExitCode {
    finish(run(&Arguments::parse()))
}

/// What one run showed.
struct Shown {
    p50_us: f64,
    p99_us: f64,
    pulses: u64,
    camera_codes: usize,
    cpu_percent: f64,
    rss_mb: f64,
}

/// How many of each are in a run.
#[derive(Clone, Copy)]
struct Many {
    scanners: usize,
    thermometers: usize,
    cameras: usize,
    /// Visits a second at each lane.
    rate: u64,
}

fn pause(ms: u64) {
    std::thread::park_timeout(Duration::from_millis(ms));
}

/// So many pictures take turns before a camera.
const PICTURES: u64 = 8;

/// A code on paper, made before: making pictures is not what is measured.
fn camera_picture(file: &Path, seed: u64) -> Result<(), Missing> {
    let scene = scene(seed, Harm::Motion, 3);
    let size = |v: usize| u32::try_from(v).unwrap_or(0);
    let picture = image::GrayImage::from_raw(
        size(scene.picture.width),
        size(scene.picture.height),
        scene.picture.pixels,
    )
    .ok_or_else(|| Missing("a picture has another size".into()))?;
    picture.save(file)?;
    Ok(())
}

fn one(many: Many, time: Duration) -> Result<Shown, Missing> {
    let folder = tempfile::tempdir()?;
    // Pictures before a camera are no files on the gateway's disk: in memory they do not delay its journal.
    let scenes = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?;
    let look_at = |n: usize| scenes.path().join(format!("look-{n}"));
    let fast = profiles::lane("fast", &["resident-card"], &[], "", true);
    std::fs::write(folder.path().join("fast.toml"), fast)?;
    let warm = profiles::lane("warm", &["resident-card"], &[], TEMPERATURE, true);
    std::fs::write(folder.path().join("warm.toml"), warm)?;
    let look = profiles::lane("look", &["resident-card"], &[], "", false).replacen(
        "kind = \"scan\"\n",
        "kind = \"scan\"\ndevice = \"scanner\"\n",
        1,
    );
    std::fs::write(folder.path().join("look.toml"), look)?;
    let mut plan = Plan { http: true, ..Plan::default() };
    for n in 0..many.scanners {
        let roles: &[&str] = if n < many.thermometers {
            &["scanner", "barrier", "thermometer"]
        } else {
            &["scanner", "barrier"]
        };
        let profile = if n < many.thermometers { "warm.toml" } else { "fast.toml" };
        plan = plan.lane(&format!("lane-{n}"), profile, roles);
    }
    for n in 0..many.cameras {
        let port = format!("{{ path = {:?}, read_codes = true }}", look_at(n).display().to_string());
        let device = ("scanner".to_owned(), "still-camera".to_owned(), port);
        plan.lanes.push((format!("look-{n}"), "look.toml".into(), vec![device]));
    }
    let mut gateway = Gateway::prepare(folder.path(), plan);
    let issuer = passes::issuer();
    passes::trust(&gateway.lists(), vec![passes::entry(&issuer)]);
    let pulses = Arc::new(AtomicU64::new(0));
    let (mut relays, mut thermometers, mut scanners) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..many.scanners {
        let lane = format!("lane-{n}");
        let counted = pulses.clone();
        relays.push(RelaySim::new(&gateway.device(&lane, "barrier"), move |_| {
            counted.fetch_add(1, Ordering::AcqRel);
        })?);
        if n < many.thermometers {
            let path = gateway.device(&lane, "thermometer");
            thermometers.push(ThermometerSim::new(&path, 36_500, Duration::from_millis(50))?);
        }
        scanners.push(ScannerSim::new(&gateway.device(&lane, "scanner"), Faults::default(), n as u64)?);
    }
    for n in 0..many.cameras {
        std::fs::create_dir_all(look_at(n))?;
        for picture in 0..PICTURES {
            camera_picture(&scenes.path().join(format!("{n}-{picture}.jpg")), picture * 2 + n as u64)?;
        }
    }
    // The cards are made before: signing is not what is measured.
    let visits = time.as_secs() * many.rate;
    let cards: Vec<Vec<String>> = (0..many.scanners)
        .map(|lane| {
            let card =
                |n: u64| passes::pass(&issuer, "resident-card", json!({ "id": format!("M-{lane}-{n}") }));
            (0..visits).map(card).collect()
        })
        .collect();
    gateway.start();
    pause(1_500);
    let begun = Instant::now();
    let cpu = load::cpu_percent(gateway.pid(), || {
        std::thread::scope(|threads| {
            for (n, (scanner, cards)) in scanners.iter_mut().zip(&cards).enumerate() {
                threads.spawn(move || {
                    for (at, card) in cards.iter().enumerate() {
                        // Lanes are not in step.
                        let due = (at as f64 + n as f64 / 17.0 % 1.0) / many.rate as f64;
                        pause_until(begun, due);
                        if scanner.scan(card).is_err() {
                            return;
                        }
                    }
                });
            }
            for n in 0..many.cameras {
                let (made, look) = (scenes.path(), look_at(n));
                threads.spawn(move || {
                    let fresh = made.join(format!("fresh-{n}.jpg"));
                    let scene = look.join("scene.jpg");
                    for second in 0..time.as_secs() {
                        pause_until(begun, second as f64 + n as f64 / 2.0);
                        let picture = made.join(format!("{n}-{}.jpg", second % PICTURES));
                        drop(std::fs::copy(picture, &fresh).and_then(|_| std::fs::rename(&fresh, &scene)));
                    }
                });
            }
        });
    });
    pause(2_000);
    let metrics = ureq::get(gateway.url("/metrics")).call()?.body_mut().read_to_string()?;
    let looks = gateway.events("transaction");
    let camera_codes =
        looks.iter().filter(|e| e["subject"].as_str().is_some_and(|s| s.starts_with("look-"))).count();
    let shown = Shown {
        p50_us: pulse_quantile(&metrics, 0.5)? * 1e6,
        p99_us: pulse_quantile(&metrics, 0.99)? * 1e6,
        pulses: pulses.load(Ordering::Acquire),
        camera_codes,
        cpu_percent: cpu,
        rss_mb: gateway.rss_mb(),
    };
    gateway.stop();
    Ok(shown)
}

fn pause_until(begun: Instant, seconds: f64) {
    let due = Duration::from_secs_f64(seconds.max(0.0));
    while begun.elapsed() < due {
        std::thread::park_timeout(due.saturating_sub(begun.elapsed()));
    }
}

fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let time = Duration::from_secs(a.seconds);
    say(begun, "one lane");
    let rate = RATE * a.scanners as u64;
    let alone = one(Many { scanners: 1, thermometers: 0, cameras: 0, rate }, time)?;
    say(begun, "all lanes");
    let many = Many { scanners: a.scanners, thermometers: a.thermometers, cameras: a.cameras, rate: RATE };
    let all = one(many, time)?;
    let mut figures = Map::new();
    let mut short = Vec::new();
    figures.insert("seed".into(), json!(0));
    figures.insert(
        "devices".into(),
        json!({ "scanners": a.scanners, "thermometers": a.thermometers, "cameras": a.cameras }),
    );
    for (name, shown) in [("one_lane", &alone), ("all_lanes", &all)] {
        let value = json!({ "p50_us": round(shown.p50_us), "p99_us": round(shown.p99_us), "barriers": shown.pulses,
            "camera_codes": shown.camera_codes, "cpu_percent": round(shown.cpu_percent), "rss_mb": round(shown.rss_mb) });
        figures.insert(name.into(), value);
    }
    let ratio = all.p99_us / alone.p99_us;
    figures.insert("p99_ratio".into(), json!(round(ratio)));
    if ratio > P99_BAR {
        short.push(format!("p99 of all lanes is {ratio:.2} times that of one, at most {P99_BAR}"));
    }
    let expected = a.seconds * RATE * a.scanners as u64;
    if all.pulses < expected * 9 / 10 {
        short.push(format!("{} barriers opened, {expected} cards were shown", all.pulses));
    }
    if a.cameras > 0 && all.camera_codes == 0 {
        short.push("the cameras read no code".into());
    }
    figures.insert("seconds".into(), json!(begun.elapsed().as_secs()));
    Ok((figures, short))
}
