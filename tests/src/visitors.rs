//! People at three lanes of a gateway, one after another, for bars that look at what becomes of them: a gate, one that
//! measures temperature as well, and one at which an officer accepts a photograph.

use crate::daemon::{Gateway, Plan};
use crate::desk::{DeskClient, PIN, officers};
use crate::figures::Missing;
use crate::{passes, profiles, wait};
use kakou_authority::issuer::Issuer;
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_drivers::sim::thermometer::ThermometerSim;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A code, the lists, the barrier.
pub const GATE: &str = "gate";
/// The temperature as well.
pub const WARM: &str = "warm";
/// An officer accepts a photograph.
pub const PHOTO: &str = "photo";
/// All of them.
pub const LANES: [&str; 3] = [GATE, WARM, PHOTO];

const TEMPERATURE: &str = "[[step]]\nkind = \"temperature\"\ndevice = \"thermometer\"\nhigh_mdeg = 37300\n\
    low_mdeg = 35000\nframes = 3\nspread_mdeg = 300\ntries = 2\nwait_s = 1\ntimeout_s = 4\n";
/// People on the lists; they come again and again, each time with another pass.
const RESIDENTS: u64 = 5_000;
const LISTS: [&str; 3] = ["status", "revocation", "hold"];

/// One person.
#[derive(Debug, Clone, Copy)]
pub struct Visit {
    /// Where.
    pub lane: &'static str,
    /// When the last byte of the code left the scanner.
    pub at: Instant,
    /// How long until the barrier was asked; none if that did not come in time.
    pub took: Option<Duration>,
}

/// How fast people come, and how long each waits.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two people at one lane.
    pub every: Duration,
    /// Who is not let in by then makes room for the next one.
    pub patience: Duration,
}

struct Lane {
    name: &'static str,
    scanner: ScannerSim,
    _relay: RelaySim,
    pulses: Receiver<Instant>,
    moved: Arc<AtomicU64>,
    desk: Option<DeskClient>,
}

/// A gateway with its lanes and people.
pub struct Site {
    /// The gateway.
    pub gateway: Gateway,
    lanes: Vec<Lane>,
    _thermometer: ThermometerSim,
    people: People,
}

struct People {
    issuer: Issuer,
    url: String,
    camera: PathBuf,
    picture: Vec<u8>,
    count: AtomicU64,
    accepted: AtomicU64,
}

/// Ends the play also where the one who plays fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Site {
    /// In a folder; the plan says what the gateway has beside its lanes. Nothing runs yet.
    pub fn prepare(folder: &Path, plan: Plan, seed: u64) -> Result<Self, Missing> {
        let tables = format!("{}{}", officers(), plan.tables);
        let mut plan = Plan { http: true, tables, ..plan };
        let kinds = [(GATE, "", &["scanner", "barrier"][..])];
        let kinds = kinds.into_iter().chain([
            (WARM, TEMPERATURE, &["scanner", "barrier", "thermometer"][..]),
            (PHOTO, profiles::PHOTO_STEP, &["scanner", "barrier", "camera"][..]),
        ]);
        for (name, steps, roles) in kinds {
            let profile = profiles::lane(name, &["resident-card"], &LISTS, steps, true);
            std::fs::write(folder.join(format!("{name}.toml")), profile)?;
            plan = plan.lane(name, &format!("{name}.toml"), roles);
        }
        let gateway = Gateway::prepare(folder, plan);
        let issuer = passes::issuer();
        passes::trust(&gateway.lists(), vec![passes::entry(&issuer)]);
        passes::list(&gateway.lists(), "status", residents(RESIDENTS));
        passes::list(&gateway.lists(), "revocation", Map::new());
        passes::list(&gateway.lists(), "hold", Map::new());
        let warm = gateway.device(WARM, "thermometer");
        let thermometer = ThermometerSim::new(&warm, 36_500, Duration::from_millis(20))?;
        let camera = gateway.device(PHOTO, "camera");
        std::fs::create_dir_all(&camera)?;
        let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gateway/demo/photos");
        let picture = std::fs::read(pictures.join("closeup.jpg"))?;
        let mut lanes = Vec::new();
        for (n, name) in (0..).zip(LANES) {
            let (tell, pulses) = channel();
            let moved = Arc::new(AtomicU64::new(0));
            let count = moved.clone();
            let relay = RelaySim::new(&gateway.device(name, "barrier"), move |pulse| {
                count.fetch_add(1, Ordering::AcqRel);
                // Nobody listens at the end.
                tell.send(pulse.at).unwrap_or_default();
            })?;
            let scanner = ScannerSim::new(&gateway.device(name, "scanner"), Faults::default(), seed + n)?;
            lanes.push(Lane { name, scanner, _relay: relay, pulses, moved, desk: None });
        }
        let url = gateway.url("");
        let (count, accepted) = (AtomicU64::new(0), AtomicU64::new(0));
        let people = People { issuer, url, camera, picture, count, accepted };
        Ok(Self { gateway, lanes, _thermometer: thermometer, people })
    }

    /// People come for as long as something else is done.
    pub fn play<T>(&mut self, pace: Pace, during: impl FnOnce(&mut Gateway) -> T) -> (Vec<Visit>, T) {
        let (stop, people) = (AtomicBool::new(false), &self.people);
        let (gateway, lanes) = (&mut self.gateway, &mut self.lanes);
        std::thread::scope(|threads| {
            let stop = &stop;
            let at_end = StopAtEnd(stop);
            let playing: Vec<_> =
                lanes.iter_mut().map(|lane| threads.spawn(move || lane.play(people, pace, stop))).collect();
            let done = during(gateway);
            drop(at_end);
            (playing.into_iter().flat_map(|lane| lane.join().unwrap_or_default()).collect(), done)
        })
    }

    /// A second edition of the largest list comes, of so many people.
    pub fn more_residents(&self, count: u64) {
        passes::edition(&self.gateway.lists(), "status", 2, residents(count));
    }

    /// How often the barrier of each lane was asked.
    pub fn moved(&self) -> Vec<(&'static str, u64)> {
        self.lanes.iter().map(|lane| (lane.name, lane.moved.load(Ordering::Acquire))).collect()
    }

    /// The same of one lane, to look at while people come.
    pub fn counter(&self, lane: &str) -> Arc<AtomicU64> {
        let found = self.lanes.iter().find(|one| one.name == lane);
        found.map(|lane| lane.moved.clone()).unwrap_or_default()
    }

    /// Photographs whose acceptance was answered.
    pub fn accepted(&self) -> u64 {
        self.people.accepted.load(Ordering::Acquire)
    }
}

fn residents(count: u64) -> Map<String, Value> {
    (0..count).map(|n| (format!("R-{n}"), passes::healthy())).collect()
}

impl People {
    fn card(&self) -> String {
        let n = self.count.fetch_add(1, Ordering::AcqRel);
        passes::pass(&self.issuer, "resident-card", json!({ "id": format!("R-{}", n % RESIDENTS) }))
    }

    /// Each photograph is another one.
    fn new_picture(&self) -> std::io::Result<()> {
        let mut bytes = self.picture.clone();
        bytes.extend_from_slice(format!("picture {}", self.count.load(Ordering::Acquire)).as_bytes());
        let fresh = self.camera.join("fresh");
        std::fs::write(&fresh, bytes)?;
        std::fs::rename(fresh, self.camera.join("closeup.jpg"))
    }
}

impl Lane {
    fn play(&mut self, people: &People, pace: Pace, stop: &AtomicBool) -> Vec<Visit> {
        let mut visits = Vec::new();
        while !stop.load(Ordering::Acquire) {
            let card = people.card();
            if self.name == PHOTO && people.new_picture().is_err() {
                break;
            }
            // Who came too late has gone.
            while self.pulses.try_recv().is_ok() {}
            let begun = Instant::now();
            let shown = self.scanner.scan(&card).is_ok();
            let at = Instant::now();
            if shown && self.name == PHOTO {
                self.accept(people, pace.patience, stop);
            }
            let left = pace.patience.saturating_sub(begun.elapsed());
            let took = if shown { self.pulses.recv_timeout(left).ok() } else { None };
            let took = took.map(|moved| moved.saturating_duration_since(at));
            visits.push(Visit { lane: self.name, at, took });
            let due = begun + pace.every;
            while Instant::now() < due && !stop.load(Ordering::Acquire) {
                let rest = due.saturating_duration_since(Instant::now());
                std::thread::park_timeout(rest.min(Duration::from_millis(50)));
            }
        }
        visits
    }

    /// The officer accepts the photograph as soon as it is there.
    fn accept(&mut self, people: &People, patience: Duration, stop: &AtomicBool) {
        let desk = self.desk.get_or_insert_with(|| DeskClient::new(&people.url));
        let accept = json!({ "action": "accept", "role": "closeup" });
        let done = wait::try_until(patience, || {
            if stop.load(Ordering::Acquire) {
                return Some(false);
            }
            match desk.act(PHOTO, &accept) {
                Ok((200, _)) => Some(true),
                Ok((401, _)) => {
                    drop(desk.sign_in("li", PIN));
                    None
                }
                // A picture that was cut off is taken again.
                Ok((409, why)) if why["error"]["code"] == "photo_not_good" => {
                    drop(desk.act(PHOTO, &json!({ "action": "retake", "role": "closeup" })));
                    None
                }
                Ok(_) | Err(_) => None,
            }
        });
        people.accepted.fetch_add(u64::from(done == Some(true)), Ordering::AcqRel);
    }
}
