//! Serial devices are unplugged and plugged in at random moments while lanes run: no visit gets stuck, no reading
//! reaches another lane, and an absent device uses almost no CPU time.

use clap::Parser;
use kakou_authority::issuer::Issuer;
use kakou_drivers::sim::Seeded;
use kakou_drivers::sim::engine::AnswerSim;
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::thermometer::ThermometerSim;
use kakou_tests::daemon::{Gateway, Plan};
use kakou_tests::figures::{Missing, finish, round, say};
use kakou_tests::{load, passes, profiles, wait};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Tears devices out and puts them back.
#[derive(Parser)]
struct Arguments {
    /// How often.
    #[arg(long, default_value_t = 200)]
    rounds: u64,
    /// Devices and moments follow from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

const LANES: [&str; 2] = ["east", "west"];
const ROLES: [&str; 3] = ["scanner", "thermometer", "barrier"];
/// What stands before the thermometer of each lane: readings tell whose they are.
const WARMTH: [i32; 2] = [36_100, 36_800];
/// The simulated readings go up by this at most.
const WAVE: i32 = 50;
/// A visit at rest again within this time after everything is plugged in.
const SETTLE: Duration = Duration::from_secs(40);
/// CPU while a device is away, percent of one core.
const CPU_BAR: f64 = 5.0;
const TEMPERATURE: &str = "[[step]]\nkind = \"temperature\"\ndevice = \"thermometer\"\nhigh_mdeg = 37300\n\
    low_mdeg = 35000\nframes = 3\nspread_mdeg = 300\ntries = 2\nwait_s = 1\ntimeout_s = 4\n";

fn main() -> ExitCode {
    finish(run(&Arguments::parse()))
}

/// A device on its pty.
enum Sim {
    Scanner(AnswerSim),
    Thermometer(#[expect(dead_code, reason = "it answers as long as it is kept")] ThermometerSim),
    Relay(#[expect(dead_code, reason = "it answers as long as it is kept")] RelaySim),
}

struct Place {
    lane: usize,
    role: &'static str,
    path: PathBuf,
    sim: Option<Sim>,
}

impl Place {
    fn plug(&mut self, pulses: &Arc<AtomicU64>) -> Result<(), Missing> {
        self.sim = Some(match self.role {
            "scanner" => Sim::Scanner(AnswerSim::gm65(&self.path, 9_600)?),
            "thermometer" => Sim::Thermometer(ThermometerSim::new(
                &self.path,
                WARMTH[self.lane],
                Duration::from_millis(20),
            )?),
            _ => {
                let pulses = pulses.clone();
                Sim::Relay(RelaySim::new(&self.path, move |_| {
                    pulses.fetch_add(1, Ordering::AcqRel);
                })?)
            }
        });
        Ok(())
    }

    fn scan(&mut self, card: &str) {
        // A scanner that is away reads nothing, and one that is going may fail.
        if let Some(Sim::Scanner(scanner)) = &mut self.sim {
            drop(scanner.say(format!("{card}\r").as_bytes()));
        }
    }
}

fn pause(ms: u64) {
    std::thread::park_timeout(Duration::from_millis(ms));
}

/// Frames in measurements of a lane that its own thermometer cannot have sent.
fn strangers(events: &[Value], lane: usize) -> usize {
    let own = WARMTH[lane]..=WARMTH[lane] + WAVE;
    let subject = format!("{}/", LANES[lane]);
    events
        .iter()
        .filter(|e| e["subject"].as_str().is_some_and(|s| s.starts_with(&subject)))
        .flat_map(|e| e["data"]["raw_mdeg"].as_array().cloned().unwrap_or_default())
        .filter_map(|mdeg| mdeg.as_i64())
        .filter(|mdeg| i32::try_from(*mdeg).map_or(true, |m| !own.contains(&m)))
        .count()
}

/// The last lines.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let folder = tempfile::tempdir()?;
    let profile = profiles::lane("gate", &["resident-card"], &[], TEMPERATURE, true).replacen(
        "kind = \"scan\"\n",
        "kind = \"scan\"\ndevice = \"scanner\"\n",
        1,
    );
    std::fs::write(folder.path().join("gate.toml"), profile)?;
    let mut plan = Plan { http: true, ..Plan::default() };
    for lane in LANES {
        let device = |role: &str, driver: &str, more: &str| {
            (role.to_owned(), driver.to_owned(), format!("{{ path = \"ports/{lane}-{role}\"{more} }}"))
        };
        plan.lanes.push((
            lane.to_owned(),
            "gate.toml".to_owned(),
            vec![
                device("scanner", "gm65", ""),
                device("thermometer", "gy-mcu90614", ", body_grade = true"),
                device("barrier", "modbus-relay", ""),
            ],
        ));
    }
    let mut gateway = Gateway::prepare(folder.path(), plan);
    let issuer = passes::issuer();
    passes::trust(&gateway.lists(), vec![passes::entry(&issuer)]);
    let pulses = Arc::new(AtomicU64::new(0));
    let mut places = Vec::new();
    for (lane, name) in LANES.iter().enumerate() {
        for role in ROLES {
            let mut place = Place { lane, role, path: gateway.device(name, role), sim: None };
            place.plug(&pulses)?;
            places.push(place);
        }
    }
    gateway.start();
    let mut random = Seeded::new(a.seed);
    let (mut unplugged, mut scanned) = (Map::new(), 0_u64);
    let card =
        |issuer: &Issuer, n: u64| passes::pass(issuer, "resident-card", json!({ "id": format!("U-{n}") }));
    for round in 0..a.rounds {
        let which = usize::try_from(random.below(places.len() as u64)).unwrap_or(0);
        for place in places.iter_mut().filter(|p| p.role == "scanner") {
            scanned += 1;
            place.scan(&card(&issuer, scanned));
        }
        pause(random.below(120));
        places[which].sim = None;
        let name = format!("{}-{}", LANES[places[which].lane], places[which].role);
        let count = unplugged.get(&name).and_then(Value::as_u64).unwrap_or(0);
        unplugged.insert(name, json!(count + 1));
        pause(random.below(300));
        places[which].plug(&pulses)?;
        pause(random.below(150));
        if round % 50 == 49 {
            say(begun, &format!("{} of {} devices torn out", round + 1, a.rounds));
        }
        if !gateway.runs() {
            return Err(Missing(format!("the gateway ended: {}", gateway.log())));
        }
    }
    let mut short = Vec::new();
    // Everything is there: each lane must admit somebody again.
    let mut admitted = 0;
    for (lane, name) in LANES.iter().enumerate() {
        let before = pulses.load(Ordering::Acquire);
        let open = wait::try_until(SETTLE, || {
            scanned += 1;
            let card = card(&issuer, scanned);
            for place in places.iter_mut().filter(|p| p.lane == lane) {
                place.scan(&card);
            }
            pause(500);
            (pulses.load(Ordering::Acquire) > before).then_some(())
        });
        match open {
            Some(()) => admitted += 1,
            None => short.push(format!("lane {name} is stuck")),
        }
    }
    let events = gateway.events("transaction");
    let measurements = gateway.events("temperature");
    let wrong: usize = (0..LANES.len()).map(|lane| strangers(&measurements, lane)).sum();
    let measured = measurements.iter().filter(|e| e["data"]["median_mdeg"].is_i64()).count();
    if wrong > 0 {
        short.push(format!("{wrong} readings of another lane's thermometer"));
    }
    if measured == 0 {
        short.push("no temperature was measured at all".into());
    }
    let (absent, idle) = absences(&mut gateway, &mut places, &pulses)?;
    for (name, percent) in &absent {
        if percent.as_f64().is_none_or(|p| p >= CPU_BAR) {
            short.push(format!("{name} away costs {percent} % of a core, below {CPU_BAR}"));
        }
    }
    let panics = gateway.log().matches("panicked").count();
    if panics > 0 {
        short.push(format!("{panics} panics in the log"));
    }
    if !short.is_empty() {
        let status = ureq::get(gateway.url("/api/v1/status")).call()?.body_mut().read_to_string()?;
        eprintln!("the log ends:\n{}\nstatus: {status}", tail(&gateway.log()));
    }
    let mut figures = Map::new();
    figures.insert("seed".into(), json!(a.seed));
    figures.insert("rounds".into(), json!(a.rounds));
    figures.insert("unplugged".into(), Value::Object(unplugged));
    figures.insert("scanned".into(), json!(scanned));
    figures.insert("verdicts".into(), json!(events.len()));
    figures.insert("measured".into(), json!(measured));
    figures.insert("readings_of_another".into(), json!(wrong));
    figures.insert("lanes_open_at_the_end".into(), json!(admitted));
    figures.insert("cpu_percent_absent".into(), Value::Object(absent));
    figures.insert("cpu_percent_all_present".into(), json!(round(idle)));
    figures.insert("rss_mb".into(), json!(round(gateway.rss_mb())));
    figures.insert("seconds".into(), json!(begun.elapsed().as_secs()));
    Ok((figures, short))
}

/// What each kind of device costs while it is away, and what nothing costs.
fn absences(
    gateway: &mut Gateway,
    places: &mut [Place],
    pulses: &Arc<AtomicU64>,
) -> Result<(Map<String, Value>, f64), Missing> {
    // The last visit's verdict leaves the screen.
    pause(6_000);
    let pid = gateway.pid();
    let idle = load::cpu_percent(pid, || pause(3_000));
    let mut out = Map::new();
    for place in places.iter_mut().filter(|p| p.lane == 0) {
        place.sim = None;
        pause(500);
        let percent = load::cpu_percent(pid, || pause(3_000));
        out.insert(place.role.into(), json!(round(percent)));
        place.plug(pulses)?;
    }
    Ok((out, idle))
}
