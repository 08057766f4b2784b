//! Fault injection: a gateway with busy lanes, a broker, two consumers and PostgreSQL run while the broker
//! is killed, loses its sessions, lowers its receive maximum and packet size, refuses messages and stops
//! reading; the link is slow and drops data; consumers and the gateway are killed; the gateway's clock is
//! stepped and its certificate replaced while a backlog is sent. At the end the journal and the central
//! table must hold the same events.

use clap::Parser;
use kakou_drivers::sim::Seeded;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::brokers::Mosquitto;
use kakou_tests::central::{self, Ingest};
use kakou_tests::certs::Authority;
use kakou_tests::daemon::{Gateway, Plan, free_port, programs};
use kakou_tests::figures::{Missing, drive, round, say};
use kakou_tests::postgres::Postgres;
use kakou_tests::profiles;
use kakou_tests::proxy::{Proxy, Weather};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Twenty minutes of faults, compressed.
#[derive(Parser)]
struct Arguments {
    /// How long faults come.
    #[arg(long, default_value_t = 240)]
    seconds: u64,
    /// Faults and their moments follow from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Codes a second at all lanes.
    #[arg(long, default_value_t = 90)]
    rate: u64,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

const LANES: [&str; 3] = ["lane-1", "lane-2", "lane-3"];
const COMMON: &str = "allow_anonymous true\npersistence false\nmax_queued_messages 0\nmax_queued_bytes 0\n";

/// What can go wrong, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    BrokerKilled,
    SmallWindow,
    SmallPackets,
    Refusal,
    Deaf,
    Slow,
    Cut,
    GatewayKilled,
    ConsumerKilled,
    BothConsumersKilled,
    ClockStepped,
    CertificateChanged,
}

const FAULTS: [Fault; 12] = [
    Fault::BrokerKilled,
    Fault::SmallWindow,
    Fault::SmallPackets,
    Fault::Refusal,
    Fault::Deaf,
    Fault::Slow,
    Fault::Cut,
    Fault::GatewayKilled,
    Fault::ConsumerKilled,
    Fault::BothConsumersKilled,
    Fault::ClockStepped,
    Fault::CertificateChanged,
];

fn main() -> ExitCode {
    let a = Arguments::parse();
    drive(run(&a))
}

struct World {
    folder: PathBuf,
    broker: Mosquitto,
    // The listener with mutual TLS, for the gateway.
    tls: String,
    changed: u64,
    unchanged: Vec<String>,
    proxy: Proxy,
    consumers: [Ingest; 2],
    gateway: Gateway,
}

impl World {
    fn broker(&mut self, lines: &str) {
        self.broker.kill();
        self.broker.configure(&format!("{COMMON}{lines}{}", self.tls));
        self.broker.start();
    }

    /// A command of central ops to the gateway; what it answered.
    fn command(&self, what: &[&str]) -> Result<String, String> {
        let url = format!("mqtt://127.0.0.1:{}", self.broker.port);
        let head = ["command", "test/gw-1", "--broker", &url, "--sign-key", "ops.pk8", "--by", "chaos"];
        let kakou = kakou(&self.folder, &[&head[..], &["--reason", "drill", "--wait", "30"], what].concat());
        kakou.map_err(|e| e.to_string())?
    }

    /// The gateway makes a key, and gets a certificate for it.
    fn change_certificate(&self) -> Result<(), String> {
        let csr = self.command(&["certificate-request"])?;
        Authority::again(&self.folder).sign(&csr, &self.folder.join("renewed.pem"));
        self.command(&["certificate", "--from", "renewed.pem"]).map(drop)
    }

    fn begin(&mut self, fault: Fault, random: &mut Seeded) -> Result<Duration, Missing> {
        let mut time = Duration::from_millis(1_000 + random.below(4_000));
        match fault {
            Fault::BrokerKilled => self.broker(""),
            Fault::SmallWindow => self.broker("max_inflight_messages 2\n"),
            Fault::SmallPackets => self.broker("max_packet_size 3000\n"),
            Fault::Refusal => {
                // Not in the folder of the gateway, which nobody else may read: the broker runs as a user of its own.
                let list = self.folder.join("refuse");
                std::fs::write(&list, "topic read #\ntopic write kakou/v1/+/+/rcpt\n")?;
                self.broker(&format!("acl_file {}\n", list.display()));
            }
            Fault::Deaf => {
                // Longer than the gateway's patience with a peer that acknowledges nothing.
                time = Duration::from_secs(24);
                self.proxy.set(Weather { deaf: true, ..Weather::default() });
            }
            Fault::Slow => {
                time *= 3;
                self.proxy.set(Weather { delay: Duration::from_millis(150), loss: 20, ..Weather::default() });
            }
            Fault::Cut => self.proxy.set(Weather { cut: true, ..Weather::default() }),
            Fault::GatewayKilled => self.gateway.kill(),
            Fault::ConsumerKilled => self.consumers[0].kill(),
            Fault::BothConsumersKilled => self.consumers.iter_mut().for_each(Ingest::kill),
            Fault::ClockStepped => {
                let ms = 10_000 + random.below(7_200_000);
                let sign = if random.below(2) == 0 { "-" } else { "" };
                std::fs::write(self.folder.join("shift"), format!("{sign}{ms}"))?;
            }
            // What could not leave meanwhile leaves while the certificate changes.
            Fault::CertificateChanged => self.proxy.set(Weather { cut: true, ..Weather::default() }),
        }
        Ok(time)
    }

    fn end(&mut self, fault: Fault) -> Result<(), Missing> {
        match fault {
            Fault::BrokerKilled => {}
            Fault::SmallWindow | Fault::SmallPackets | Fault::Refusal => self.broker(""),
            Fault::Deaf | Fault::Slow | Fault::Cut => self.proxy.set(Weather::default()),
            Fault::GatewayKilled => self.gateway.start(),
            Fault::ConsumerKilled => self.consumers[0].start()?,
            Fault::BothConsumersKilled => self.consumers.iter_mut().try_for_each(Ingest::start)?,
            Fault::ClockStepped => std::fs::write(self.folder.join("shift"), "0")?,
            Fault::CertificateChanged => {
                self.proxy.set(Weather::default());
                match self.change_certificate() {
                    Ok(()) => self.changed += 1,
                    Err(why) => self.unchanged.push(why),
                }
            }
        }
        Ok(())
    }
}

/// `kakou fleet`, in the folder of central ops.
fn kakou(folder: &Path, arguments: &[&str]) -> std::io::Result<Result<String, String>> {
    let out =
        Command::new(programs().join("kakou")).current_dir(folder).arg("fleet").args(arguments).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(if out.status.success() { Ok(text(&out.stdout)) } else { Err(text(&out.stderr)) })
}

/// A listener that takes certificates of the fleet alone.
fn listener(authority: &Authority, port: u16) -> String {
    let (cert, key) = authority.issue("broker", true);
    let (ca, cert, key) = (authority.ca.display(), cert.display(), key.display());
    format!(
        "listener {port} 127.0.0.1\ncafile {ca}\ncertfile {cert}\nkeyfile {key}\nrequire_certificate true\ntls_version tlsv1.3\n"
    )
}

async fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    kakou_tests::brokers::installed().ok_or_else(|| Missing("mosquitto is not installed".into()))?;
    let begun = Instant::now();
    let database = Postgres::start()?;
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path());
    authority.keep();
    let (cert, key) = authority.issue("test.gw-1", false);
    let port = free_port();
    let tls = listener(&authority, port);
    let mut broker = Mosquitto::new(folder.path(), "chaos", &format!("{COMMON}{tls}"));
    broker.start();
    let proxy = Proxy::start(port).await?;
    let made = kakou(
        folder.path(),
        &[
            "key",
            "--out",
            "ops.pk8",
            "--keys",
            "fleet.json",
            "--usage",
            "maintain",
            "--holder",
            "central ops",
        ],
    )?;
    made.map_err(Missing)?;
    let more = ["--group", "ingest", "--site", "test"];
    let mut consumers = ["first", "second"].map(|name| Ingest::new(broker.port, &database, name, &more));
    for consumer in &mut consumers {
        consumer.start()?;
    }
    let tables = format!(
        "[upstream]\nbroker = \"mqtts://127.0.0.1:{}\"\nca = \"{}\"\ncert = \"{}\"\nkey = \"{}\"\nbatch = 50\n\
         [retention]\nkeep_days = 0\n",
        proxy.port,
        authority.ca.display(),
        cert.display(),
        key.display()
    );
    let mut plan = Plan { tables, ..Plan::default() };
    plan.gateway = format!("fleet_keys = \"{}\"", folder.path().join("fleet.json").display());
    std::fs::write(folder.path().join("shift"), "0")?;
    plan.clock = "[clock]\nsource = \"system\"\nshift_file = \"shift\"".into();
    std::fs::write(folder.path().join("count.toml"), profiles::lane("count", &["opaque"], &[], "", false))?;
    for lane in LANES {
        plan = plan.lane(lane, "count.toml", &["scanner"]);
    }
    let mut gateway = Gateway::prepare(folder.path(), plan);
    let (stop, scans) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut threads = Vec::new();
    for (n, lane) in (0_u64..).zip(LANES) {
        let mut scanner = ScannerSim::new(&gateway.device(lane, "scanner"), Faults::default(), a.seed + n)?;
        let (stop, scans) = (stop.clone(), scans.clone());
        let pause = Duration::from_micros(1_000_000 * LANES.len() as u64 / a.rate.max(1));
        threads.push(std::thread::spawn(move || {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                count += 1;
                // A gateway that is away does not read: the line is full, and the code is not counted.
                if scanner.scan(&format!("ID-{n}-{count}")).is_ok() {
                    scans.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(pause);
            }
        }));
    }
    gateway.start();
    let at = folder.path().to_path_buf();
    let mut world =
        World { folder: at, broker, tls, changed: 0, unchanged: vec![], proxy, consumers, gateway };
    let mut random = Seeded::new(a.seed);
    let mut faults: BTreeMap<String, u64> = BTreeMap::new();
    let end = begun + Duration::from_secs(a.seconds);
    // Each kind comes, then they come as the seed says.
    let mut first = FAULTS.to_vec();
    while Instant::now() < end || !first.is_empty() {
        let fault = match first.pop() {
            Some(fault) => fault,
            None => FAULTS[usize::try_from(random.below(FAULTS.len() as u64)).unwrap_or(0)],
        };
        *faults.entry(format!("{fault:?}")).or_default() += 1;
        say(begun, &format!("{fault:?}, {} codes so far", scans.load(Ordering::Relaxed)));
        let time = world.begin(fault, &mut random)?;
        tokio::time::sleep(time).await;
        world.end(fault)?;
        tokio::time::sleep(Duration::from_millis(random.below(3_000))).await;
    }
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        drop(thread.join());
    }
    say(begun, "the faults are over; everything that was stored must arrive");
    let journal = world.gateway.journal();
    let settled = central::settle(&database, &journal, Duration::from_secs(150)).await?;
    let history = central::compare(&database, &journal, "gw-1").await?;
    let client = database.look().await?;
    // keep_days = 0 purges at the gateway what was receipted: the central side has them all.
    let told = "SELECT count(*) FROM event WHERE kind = 'kakou.clock.v1'";
    let steps: i64 = client.query_one(told, &[]).await?.get(0);
    let late: i64 = client.query_one("SELECT count(*) FROM event WHERE late", &[]).await?.get(0);
    let rss = world.gateway.rss_mb();
    let mut figures = Map::new();
    let mut put = |name: &str, value: Value| figures.insert(name.to_owned(), value);
    put("seed", json!(a.seed));
    put("seconds", json!(begun.elapsed().as_secs()));
    put("faults", json!(faults));
    put("codes", json!(scans.load(Ordering::Relaxed)));
    put("history", json!(history));
    put("late", json!(late));
    put("clock_steps_told", json!(steps));
    put("certificates_changed", json!(world.changed));
    put("settled_s", json!(round(settled.as_secs_f64())));
    put("rss_mb", json!(round(rss)));
    let mut short = history.faults();
    if history.central < history.head {
        short.push(format!("{} of {} events are at the central side", history.central, history.head));
    }
    if world.changed == 0 {
        short.push(format!("no certificate was changed: {:?}", world.unchanged));
    }
    if steps == 0 {
        short.push("no step of the clock was told".into());
    }
    Ok((figures, short))
}
