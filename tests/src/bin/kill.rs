//! kill -9 of a real daemon under load, again and again.
//!
//! Simulated scanners give the lanes more than 200 codes a second; an officer accepts photographs
//! over HTTP. After each restart: every barrier that moved has its committed admission, every act
//! that was answered is in the journal, the chain verifies and every photograph is there.

use clap::Parser;
use kakou_authority::issuer::Issuer;
use kakou_drivers::sim::Seeded;
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::daemon::{Gateway, Plan};
use kakou_tests::desk::{DeskClient, PIN, officers};
use kakou_tests::figures::{Missing, finish, round, say};
use kakou_tests::recorded::{admissions, verify};
use kakou_tests::{passes, profiles, wait};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Kills the daemon at random moments under load and looks what is missing.
#[derive(Parser)]
struct Arguments {
    /// How often.
    #[arg(long, default_value_t = 100)]
    rounds: u64,
    /// The moments and the cards follow from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

const FAST: [&str; 3] = ["fast-1", "fast-2", "fast-3"];
const PHOTO: &str = "photo-1";

fn main() -> ExitCode {
    let a = Arguments::parse();
    finish(run(&a))
}

struct Load {
    stop: Arc<AtomicBool>,
    scans: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

fn cards(issuer: &Issuer, prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|n| passes::pass(issuer, "resident-card", json!({ "id": format!("{prefix}-{n}") })))
        .collect()
}

/// Scanners and an officer, each on a thread, until stopped.
fn load(
    gateway: &Gateway,
    scanners: Scanners,
    sets: Vec<Vec<String>>,
    accepted: &Arc<AtomicU64>,
) -> (Load, ScannersBack) {
    let stop = Arc::new(AtomicBool::new(false));
    let scans = Arc::new(AtomicU64::new(0));
    let mut threads = Vec::new();
    let (back_tx, back) = std::sync::mpsc::channel();
    for ((lane, mut scanner), cards) in scanners.into_iter().zip(sets) {
        let (stop, scans, accepted, back) = (stop.clone(), scans.clone(), accepted.clone(), back_tx.clone());
        let url = gateway.url("");
        threads.push(std::thread::spawn(move || {
            let mut desk = DeskClient::new(&url);
            if lane == PHOTO && !matches!(desk.sign_in("li", PIN), Ok((200, _))) {
                stop.store(true, Ordering::Release);
            }
            for card in cards {
                if stop.load(Ordering::Acquire) || scanner.scan(&card).is_err() {
                    break;
                }
                scans.fetch_add(1, Ordering::AcqRel);
                if lane == PHOTO {
                    // The picture needs a moment; an answer that does not come is a kill.
                    let accept = json!({ "action": "accept", "role": "closeup" });
                    let done = wait::try_until(Duration::from_millis(200), || {
                        if stop.load(Ordering::Acquire) {
                            return Some(false);
                        }
                        match desk.act(PHOTO, &accept) {
                            Ok((200, _)) => Some(true),
                            // A picture that a kill has cut off is taken again.
                            Ok((409, why)) if why["error"]["code"] == "photo_not_good" => {
                                let again = json!({ "action": "retake", "role": "closeup" });
                                drop(desk.act(PHOTO, &again));
                                None
                            }
                            Ok(_) | Err(_) => None,
                        }
                    });
                    accepted.fetch_add(u64::from(done == Some(true)), Ordering::AcqRel);
                } else {
                    std::thread::park_timeout(Duration::from_millis(9));
                }
            }
            drop(back.send((lane, scanner)));
        }));
    }
    (Load { stop, scans, threads }, back)
}

type Scanners = Vec<(&'static str, ScannerSim)>;
type ScannersBack = std::sync::mpsc::Receiver<(&'static str, ScannerSim)>;

fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let folder = tempfile::tempdir()?;
    let fast = profiles::lane("fast", &["resident-card"], &[], "", true);
    std::fs::write(folder.path().join("fast.toml"), fast)?;
    let photo = profiles::lane("photo", &["resident-card"], &[], profiles::PHOTO_STEP, true);
    std::fs::write(folder.path().join("photo.toml"), photo)?;
    let mut plan = Plan { http: true, tables: officers(), ..Plan::default() };
    for lane in FAST {
        plan = plan.lane(lane, "fast.toml", &["scanner", "barrier"]);
    }
    plan = plan.lane(PHOTO, "photo.toml", &["scanner", "barrier", "camera"]);
    let mut gateway = Gateway::prepare(folder.path(), plan);
    let issuer = passes::issuer();
    passes::trust(&gateway.lists(), vec![passes::entry(&issuer)]);
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/demo/photos");
    let camera = gateway.device(PHOTO, "camera");
    std::fs::create_dir_all(&camera)?;

    let pulses: BTreeMap<&str, Arc<AtomicU64>> =
        FAST.into_iter().chain([PHOTO]).map(|l| (l, Arc::new(AtomicU64::new(0)))).collect();
    let mut relays = Vec::new();
    let mut scanners: Scanners = Vec::new();
    for (n, lane) in FAST.into_iter().chain([PHOTO]).enumerate() {
        let count = pulses[lane].clone();
        let pulse = move |_| {
            count.fetch_add(1, Ordering::AcqRel);
        };
        relays.push(RelaySim::new(&gateway.device(lane, "barrier"), pulse)?);
        scanners.push((
            lane,
            ScannerSim::new(&gateway.device(lane, "scanner"), Faults::default(), a.seed + n as u64)?,
        ));
    }
    let accepted = Arc::new(AtomicU64::new(0));
    let mut random = Seeded::new(a.seed);
    let (mut scans, mut loaded) = (0, Duration::ZERO);
    let mut short: Vec<String> = Vec::new();
    for n in 0..a.rounds {
        // Each round photographs something new, so that every round stores a file.
        let mut picture = std::fs::read(pictures.join("closeup.jpg"))?;
        picture.extend_from_slice(format!("round {n}").as_bytes());
        std::fs::write(camera.join("closeup.jpg"), picture)?;
        let sets: Vec<Vec<String>> =
            scanners.iter().map(|(lane, _)| cards(&issuer, &format!("{n}-{lane}"), 60)).collect();
        gateway.start();
        let from = Instant::now();
        let (load, back) = load(&gateway, std::mem::take(&mut scanners), sets, &accepted);
        let life = Duration::from_millis(40 + random.below(360));
        std::thread::park_timeout(life);
        gateway.kill();
        loaded += from.elapsed();
        load.stop.store(true, Ordering::Release);
        for thread in load.threads {
            thread.join().map_err(|_| Missing("a simulator failed".into()))?;
        }
        scanners = back.try_iter().collect();
        scans += load.scans.load(Ordering::Acquire);
        let admitted = admissions(&gateway);
        for (lane, count) in &pulses {
            let (moved, recorded) =
                (count.load(Ordering::Acquire), admitted.get(*lane).copied().unwrap_or(0));
            if moved > recorded {
                short.push(format!(
                    "round {n}: {lane} opened {moved} times with {recorded} admissions on record"
                ));
            }
        }
        let (told, recorded) = (accepted.load(Ordering::Acquire), admitted.get(PHOTO).copied().unwrap_or(0));
        if told > recorded {
            short.push(format!("round {n}: {told} acts were answered, {recorded} are on record"));
        }
        if n % 10 == 9 {
            say(begun, &format!("round {} of {}: {scans} codes, {:?} admissions", n + 1, a.rounds, admitted));
        }
        if !short.is_empty() {
            break;
        }
    }
    // It starts again by itself, and everything verifies.
    gateway.start();
    if gateway.stop() != Some(0) {
        short.push("the last start did not end in order".into());
    }
    let verified = verify(&gateway)?;
    short.extend(verified.problems.iter().take(5).cloned());
    let per_second = scans as f64 / loaded.as_secs_f64();
    if per_second < 200.0 {
        short.push(format!("only {per_second:.0} codes a second"));
    }
    let moved: u64 = pulses.values().map(|c| c.load(Ordering::Acquire)).sum();
    if moved == 0 || verified.photos == 0 {
        short.push("nothing was acted upon: the run proves nothing".into());
    }
    let mut figures = Map::new();
    figures.insert("seed".into(), json!(a.seed));
    figures.insert("rounds".into(), json!(a.rounds));
    figures.insert("scans".into(), json!(scans));
    figures.insert("scans_per_s".into(), json!(round(per_second)));
    figures.insert("opened".into(), json!(moved));
    figures.insert("acts_answered".into(), json!(accepted.load(Ordering::Acquire)));
    figures.insert("events".into(), json!(verified.events));
    figures.insert("checkpoints".into(), json!(verified.checkpoints));
    figures.insert("photos".into(), json!(verified.photos));
    figures.insert("missing".into(), json!(short.len()));
    figures.insert("seconds".into(), json!(begun.elapsed().as_secs()));
    Ok((figures, short))
}
