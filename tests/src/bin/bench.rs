//! The figures of the gateway, each as a ratio to a baseline of the same run.

use clap::Parser;
use kakou_core::event::{Author, Class, NewEvent};
use kakou_core::evidence::{GatewayKey, SubjectKeys};
use kakou_core::ids::{GatewayId, SiteId};
use kakou_core::pass::trust::{TrustFile, TrustList};
use kakou_core::pass::{Check, check};
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_drivers::sim::thermometer::ThermometerSim;
use kakou_gateway::engine::shell::{Shell, Wiring};
use kakou_gateway::engine::{EngineViews, Parts, QUEUE, Work, WorkSender};
use kakou_gateway::metrics::Metrics;
use kakou_gateway::pack::told::Packs;
use kakou_gateway::store::photos::Photos;
use kakou_gateway::store::retention::{Delivered, Retention};
use kakou_gateway::upstream::{self, Link, LinkState};
use kakou_link::broker::{MqttVersion, Upstream};
use kakou_link::clock::Clock;
use kakou_link::outage::Outage;
use kakou_tests::brokers::{Mosquitto, installed};
use kakou_tests::daemon::{Gateway, Plan};
use kakou_tests::figures::{Missing, finish, percentiles, pulse_quantile, round, say};
use kakou_tests::{hcert_make, mqtt, passes, profiles, wait};
use ring::signature::{ECDSA_P256_SHA256_FIXED, Ed25519KeyPair, UnparsedPublicKey};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Measures verification, verdicts, the journal, delivery and memory.
#[derive(Parser)]
struct Arguments {
    /// Events of the drained backlog.
    #[arg(long, default_value_t = 50_000)]
    backlog: u64,
    /// Events of the backlog under which memory is looked at.
    #[arg(long, default_value_t = 500_000)]
    memory_backlog: u64,
    /// Only these parts; a part that is left out sets no bar.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// HCERT and KP1 against the bare signature.
    Verification,
    /// The last byte of a code until the relay's frame.
    Verdicts,
    /// Durable events a second.
    Accepting,
    /// A backlog to a broker.
    Draining,
    /// Resident memory.
    Memory,
}

impl Arguments {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}

fn main() -> ExitCode {
    let a = Arguments::parse();
    kakou_link::logging::start(log::LevelFilter::Warn);
    finish(run(&a))
}

struct Bars {
    figures: Map<String, Value>,
    short: Vec<String>,
}

impl Bars {
    fn put(&mut self, key: &str, value: f64) {
        self.figures.insert(key.into(), json!(round(value)));
    }
    fn most(&mut self, key: &str, value: f64, bar: f64) {
        self.put(key, value);
        if value > bar {
            self.short.push(format!("{key} is {value:.2}, at most {bar}"));
        }
    }
    fn least(&mut self, key: &str, value: f64, bar: f64) {
        self.put(key, value);
        if value < bar {
            self.short.push(format!("{key} is {value:.2}, at least {bar}"));
        }
    }
}

fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    if installed().is_none() {
        return Err(Missing("mosquitto is not installed: apt-get install mosquitto".into()));
    }
    let begun = Instant::now();
    let mut bars = Bars { figures: Map::new(), short: Vec::new() };
    bars.figures.insert("seed".into(), json!(1));
    if a.wants(Part::Verification) {
        verification(&mut bars)?;
        say(begun, "verification measured");
    }
    if a.wants(Part::Verdicts) {
        verdicts(&mut bars)?;
        say(begun, "verdicts measured");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if a.wants(Part::Accepting) {
        runtime.block_on(accepting(&mut bars))?;
        say(begun, &format!("the journal measured: {}", Value::Object(bars.figures.clone())));
    }
    if a.wants(Part::Draining) {
        runtime.block_on(draining(&mut bars, a.backlog, begun))?;
        say(begun, "delivery measured");
    }
    if a.wants(Part::Memory) {
        memory(&mut bars, a.memory_backlog, begun)?;
    }
    bars.figures.insert("seconds".into(), json!(begun.elapsed().as_secs()));
    Ok((bars.figures, bars.short))
}

fn timed(out: &mut Vec<Duration>, act: impl FnOnce() -> bool) -> Result<(), Missing> {
    let from = Instant::now();
    let good = act();
    out.push(from.elapsed());
    if good { Ok(()) } else { Err(Missing("a pass that must verify does not".into())) }
}

/// (a) HCERT and KP1 against the bare signature, taken in turn.
fn verification(bars: &mut Bars) -> Result<(), Missing> {
    let issuer = passes::issuer();
    let kp1 = passes::pass(&issuer, "resident-card", json!({ "id": "R-0001234" }));
    let (hcert, entry) = hcert_make::test_certificate(passes::now_s());
    let file =
        TrustFile { name: "trust".into(), version: 1, issued: 0, keys: vec![passes::entry(&issuer), entry] };
    let trust = TrustList::from_file(&file, "trust")?;
    let with = Check { trust: &trust, now_s: Some(passes::now_s()), region: "" };
    let (public, message, signature) = hcert_make::bare_signature();
    let bare = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
    let (mut b, mut h, mut k) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3_000 {
        timed(&mut b, || black_box(&bare).verify(&message, &signature).is_ok())?;
        timed(&mut h, || check(black_box(hcert.as_bytes()), with).is_ok())?;
        timed(&mut k, || check(black_box(kp1.as_bytes()), with).is_ok())?;
    }
    let (b, h, k) = (percentiles(b).0, percentiles(h).0, percentiles(k).0);
    bars.put("verify_bare_us", b);
    bars.most("verify_hcert_ratio", h / b, 1.5);
    bars.most("verify_kp1_ratio", k / b, 1.3);
    Ok(())
}

/// The least that a verdict costs: a bare signature verify and a bare fdatasync of a page, of a file
/// that has its size already.
struct Bare {
    file: File,
    public: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
    round: u64,
    verifies: Vec<Duration>,
    syncs: Vec<Duration>,
}

impl Bare {
    fn new(folder: &Path) -> Result<Self, Missing> {
        let file = File::create(folder.join("page"))?;
        file.write_all_at(&vec![0; 4096 * 64], 0)?;
        file.sync_all()?;
        let (public, message, signature) = hcert_make::bare_signature();
        let (verifies, syncs) = (Vec::new(), Vec::new());
        Ok(Self { file, public, message, signature, round: 0, verifies, syncs })
    }
    fn once(&mut self) -> Result<(), Missing> {
        let bare = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.public);
        timed(&mut self.verifies, || bare.verify(&self.message, &self.signature).is_ok())?;
        self.round += 1;
        self.file.write_all_at(&[7; 4096], (self.round % 64) * 4096)?;
        let from = Instant::now();
        self.file.sync_data()?;
        self.syncs.push(from.elapsed());
        Ok(())
    }
}

/// (b) The last byte of a code until the relay's frame has been written, as the gateway sees it at
/// its ports; and from outside, with the kernel's hand-over of two ptys and a thread to wake. The
/// baseline has the rhythm of the gate as well: a disk and a processor that rested before.
fn verdicts(bars: &mut Bars) -> Result<(), Missing> {
    let folder = tempfile::tempdir()?;
    let fast = profiles::lane("fast", &["resident-card"], &["status", "revocation", "hold"], "", true);
    std::fs::write(folder.path().join("fast.toml"), fast)?;
    let plan = Plan { http: true, ..Plan::default() }.lane("lane-1", "fast.toml", &["scanner", "barrier"]);
    let mut gateway = Gateway::prepare(folder.path(), plan);
    let issuer = passes::issuer();
    passes::trust(&gateway.lists(), vec![passes::entry(&issuer)]);
    let residents = (0..1_000).map(|n| (format!("R-{n}"), passes::healthy())).collect();
    passes::list(&gateway.lists(), "status", residents);
    passes::list(&gateway.lists(), "revocation", Map::new());
    passes::list(&gateway.lists(), "hold", Map::new());
    let (tx, pulses) = mpsc::channel();
    let _relay = RelaySim::new(&gateway.device("lane-1", "barrier"), move |p| {
        assert!(tx.send(p.at).is_ok() || p.ms > 0)
    })?;
    let mut scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1)?;
    gateway.start();
    gateway.await_events("device", 2);
    let (mut times, mut bare) = (Vec::new(), Bare::new(folder.path())?);
    let rest = || std::thread::park_timeout(Duration::from_millis(3));
    for n in 0..600 {
        let card = passes::pass(&issuer, "resident-card", json!({ "id": format!("R-{n}") }));
        let bytes = format!("{card}\r");
        let (body, last) = bytes.split_at(bytes.len() - 1);
        scanner.raw(body.as_bytes())?;
        rest();
        let from = Instant::now();
        scanner.raw(last.as_bytes())?;
        let at = pulses
            .recv_timeout(Duration::from_secs(5))
            .map_err(|_| Missing("the barrier did not open".into()))?;
        if n >= 50 {
            times.push(at - from);
        }
        rest();
        bare.once()?;
    }
    let (outside50, outside99) = percentiles(times);
    let body = ureq::get(gateway.url("/metrics")).call()?.body_mut().read_to_string()?;
    let (p50, p99) = (pulse_quantile(&body, 0.5)? * 1e6, pulse_quantile(&body, 0.99)? * 1e6);
    if p50 > outside50 {
        return Err(Missing(format!("the gateway says {p50:.0} us, the devices saw {outside50:.0} us")));
    }
    let (s50, s99) = percentiles(bare.syncs);
    let (v50, v99) = percentiles(bare.verifies);
    bars.put("bare_sync_p50_us", s50);
    bars.put("bare_sync_p99_us", s99);
    bars.put("bare_verify_p50_us", v50);
    bars.put("verdict_outside_p50_us", outside50);
    bars.put("verdict_outside_p99_us", outside99);
    bars.put("verdict_outside_p50_ratio", outside50 / (v50 + s50));
    bars.put("verdict_p50_us", p50);
    bars.put("verdict_p99_us", p99);
    bars.most("verdict_p50_ratio", p50 / (v50 + s50), 2.0);
    bars.put("verdict_p99_ratio", p99 / (v99 + s99));
    Ok(())
}

fn engine(data: &Path) -> Result<(WorkSender, EngineViews, std::thread::JoinHandle<()>), Missing> {
    let der = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new())
        .map_err(|_| Missing("no key".into()))?;
    let key = GatewayKey::from_pkcs8(der.as_ref())?;
    std::fs::create_dir_all(data)?;
    let author =
        Author { site: SiteId::new("test")?, gateway: GatewayId::new("gw-1")?, boot: "bench".into() };
    let wiring = Wiring {
        trust: watch::channel(Arc::default()).1,
        subjects: watch::channel(Arc::new(SubjectKeys::new(1, b"bench"))).1,
        upstream: watch::channel("off").1,
        packs: watch::channel(Packs::default()).1,
        clock: Clock::system(),
        devices: BTreeMap::new(),
        metrics: Arc::new(Metrics::default()),
    };
    let parts = Parts {
        data: data.to_path_buf(),
        author,
        setups: Box::new(|_, _| Vec::new()),
        trust: wiring.trust.borrow().clone(),
        subjects: wiring.subjects.borrow().clone(),
        upstream: *wiring.upstream.borrow(),
        source: wiring.clock.source(),
        key: Arc::new(key),
        photos: Photos::open(data)?,
        retention: Retention {
            max_bytes: 8 << 30,
            keep_days: 14,
            delivered: Delivered::Receipted,
            reserve_bytes: 0,
            photo_bytes: 8 << 30,
            photo_days: 30,
        },
        others: None,
    };
    let (inlet, work) = tokio::sync::mpsc::channel(QUEUE);
    let (shell, views) = Shell::open(parts, wiring)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::spawn(move || runtime.block_on(shell.run(work)));
    Ok((inlet, views, thread))
}

/// An event whose body is 400 bytes long.
fn event_of_400() -> NewEvent {
    NewEvent {
        kind: "transaction".into(),
        class: Class::Verdict,
        lane: None,
        visit: None,
        audience: vec![],
        data: json!({ "filling": "x".repeat(110) }),
    }
}

/// (c) Sixteen writers, each waiting until its step of events is durable.
async fn accepting(bars: &mut Bars) -> Result<(), Missing> {
    for (key, events) in [("accept_single_per_s", 1_usize), ("accept_per_s", 8)] {
        let folder = tempfile::tempdir()?;
        let (inlet, views, thread) = engine(&folder.path().join("data"))?;
        let end = Instant::now() + Duration::from_secs(4);
        let from = Instant::now();
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let inlet = inlet.clone();
            writers.spawn(async move {
                let mut stored = 0_u64;
                while Instant::now() < end {
                    let (tx, rx) = oneshot::channel();
                    let step = vec![event_of_400(); events];
                    if inlet.try_send(Work::Append(step, Some(tx))).is_err() || rx.await.is_err() {
                        break;
                    }
                    stored += events as u64;
                }
                stored
            });
        }
        let stored: u64 = writers.join_all().await.into_iter().sum();
        let per_s = stored as f64 / from.elapsed().as_secs_f64();
        let size: i64 = kakou_gateway::store::journal::reader(&folder.path().join("data"))?.query_row(
            "SELECT length(body) FROM event ORDER BY seq DESC LIMIT 1",
            [],
            |r| r.get(0),
        )?;
        bars.put("accept_body_bytes", size as f64);
        if key == "accept_per_s" {
            bars.least(key, per_s, 100_000.0);
            let mosquitto = mqtt::accept_rate(folder.path()).await?;
            bars.put("mosquitto_accept_per_s", mosquitto);
            bars.put("accept_vs_mosquitto", per_s / mosquitto);
        } else {
            bars.put(key, per_s);
        }
        bars.figures.insert(format!("{key}_events_a_step"), json!(events));
        drop(inlet.send(Work::Stop).await);
        drop(views);
        thread.join().map_err(|_| Missing("the engine failed".into()))?;
    }
    Ok(())
}

/// Fills a journal with a backlog.
async fn fill(inlet: &WorkSender, events: u64) -> Result<(), Missing> {
    let mut left = events;
    while left > 0 {
        let step = left.min(500);
        let (tx, rx) = oneshot::channel();
        inlet
            .try_send(Work::Append(vec![event_of_400(); usize::try_from(step).unwrap_or(500)], Some(tx)))
            .map_err(|_| Missing("the engine is busy".into()))?;
        rx.await.map_err(|_| Missing("the engine did not store".into()))?;
        left -= step;
    }
    Ok(())
}

/// (d) A backlog to a real Mosquitto, against a Mosquitto bridge with the same backlog.
async fn draining(bars: &mut Bars, backlog: u64, begun: Instant) -> Result<(), Missing> {
    let bridge = mqtt::bridge_drain(backlog).await?;
    bars.put("bridge_drain_per_s", bridge);
    say(begun, &format!("the bridge drains {bridge:.0} events/s"));
    for (key, batch, bar) in [("drain_batched_vs_bridge", 100_usize, 1.5), ("drain_single_vs_bridge", 1, 0.8)]
    {
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        let (inlet, views, thread) = engine(&data)?;
        fill(&inlet, backlog).await?;
        let mut broker = Mosquitto::plain(folder.path(), "upstream");
        broker.start();
        let counter = mqtt::Counter::subscribe(broker.port, batch > 1).await?;
        let url = format!("mqtt://127.0.0.1:{}", broker.port);
        let settings = Upstream::tool(&url, None, None, MqttVersion::V5)
            .ok_or_else(|| Missing("the broker has no address".into()))?;
        let settings = Upstream { batch, ..settings };
        let (state, seen) = watch::channel(LinkState::default());
        let link = Link {
            outage: Outage::new("events", &settings.address()),
            settings,
            site: SiteId::new("test")?,
            gateway: GatewayId::new("gw-1")?,
            epoch: views.epoch,
            data: data.clone(),
            engine: inlet.clone(),
            stored: views.positions.subscribe(),
            metrics: Arc::new(Metrics::default()),
            positions: views.positions.clone(),
            state,
            word: watch::channel("offline").0,
            health: watch::channel(Arc::from("")).1,
            lanes: Vec::new(),
            clock: Clock::system(),
            busy: watch::channel(false).0,
            photo_receipts: tokio::sync::mpsc::channel(1).0,
            plug: watch::channel(true).1,
            renewed: watch::channel(0).1,
        };
        let cancel = CancellationToken::new();
        let from = Instant::now();
        let task = tokio::spawn(upstream::run(link, cancel.clone()));
        counter.reach(backlog, Duration::from_secs(60)).await?;
        let acked = wait_acked(&seen, backlog).await;
        let per_s = backlog as f64 / from.elapsed().as_secs_f64();
        if !acked {
            return Err(Missing("the broker did not acknowledge the backlog".into()));
        }
        bars.put(&key.replace("_vs_bridge", "_per_s"), per_s);
        bars.least(key, per_s / bridge, bar);
        cancel.cancel();
        drop(task.await);
        drop(inlet.send(Work::Stop).await);
        thread.join().map_err(|_| Missing("the engine failed".into()))?;
    }
    Ok(())
}

async fn wait_acked(seen: &watch::Receiver<LinkState>, backlog: u64) -> bool {
    for _ in 0..2_000 {
        if seen.borrow().published >= backlog {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    false
}

/// (e) Memory of the real daemon with three busy lanes, without and with a backlog.
fn memory(bars: &mut Bars, backlog: u64, begun: Instant) -> Result<(), Missing> {
    let folder = tempfile::tempdir()?;
    // Nobody listens there: every event stays in the outbox.
    let nobody = kakou_tests::daemon::free_port();
    let tables = format!("[upstream]\nbroker = \"mqtt://127.0.0.1:{nobody}\"\n");
    let plan = Plan { http: true, tables, gateway: "region = \"211400\"".into(), ..Plan::default() }
        .lane("school-1", "school-gate", &["scanner", "thermometer", "barrier"])
        .lane("school-2", "school-gate", &["scanner", "thermometer", "barrier"])
        .lane("triage-1", "pre-triage", &["scanner", "thermometer"]);
    let mut gateway = Gateway::prepare(folder.path(), plan);
    let issuer = passes::issuer();
    passes::trust(&gateway.lists(), vec![passes::entry(&issuer)]);
    let residents = (0..2_000).map(|n| (format!("R-{n}"), passes::healthy())).collect();
    passes::list(&gateway.lists(), "status", residents);
    passes::list(&gateway.lists(), "revocation", Map::new());
    passes::list(&gateway.lists(), "hold", Map::new());
    gateway.start();
    let busy = busy(&gateway, &issuer, 0)?;
    bars.most("rss_mb", busy, 30.0);
    gateway.stop();
    say(begun, "memory without a backlog measured");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (inlet, views, thread) = engine(&gateway.data())?;
        fill(&inlet, backlog).await?;
        drop(inlet.send(Work::Stop).await);
        drop(views);
        thread.join().map_err(|_| Missing("the engine failed".into()))
    })?;
    say(begun, "the backlog is stored");
    let from = Instant::now();
    gateway.start();
    bars.put("start_ms_backlog", from.elapsed().as_secs_f64() * 1e3);
    let with = self::busy(&gateway, &issuer, 1)?;
    bars.most("rss_mb_backlog", with, 30.0_f64.max(busy * 1.15));
    gateway.stop();
    Ok(())
}

/// Some seconds of visits in three lanes; the greatest memory seen.
fn busy(gateway: &Gateway, issuer: &kakou_authority::issuer::Issuer, run: usize) -> Result<f64, Missing> {
    let mut scanners = Vec::new();
    let mut kept = Vec::new();
    for lane in ["school-1", "school-2", "triage-1"] {
        scanners.push(ScannerSim::new(&gateway.device(lane, "scanner"), Faults::default(), 1)?);
        kept.push(ThermometerSim::new(
            &gateway.device(lane, "thermometer"),
            36_600,
            Duration::from_millis(20),
        )?);
    }
    let _barriers = [
        RelaySim::new(&gateway.device("school-1", "barrier"), drop)?,
        RelaySim::new(&gateway.device("school-2", "barrier"), drop)?,
    ];
    let before = gateway.events("transaction").len();
    let mut most: f64 = 0.0;
    for n in 0..60 {
        for (lane, scanner) in scanners.iter_mut().enumerate() {
            let id = (run * 60 + n) * 3 + lane;
            scanner.scan(&passes::pass(issuer, "resident-card", json!({ "id": format!("R-{id}") })))?;
        }
        std::thread::park_timeout(Duration::from_millis(150));
        most = most.max(gateway.rss_mb());
    }
    let visits = wait::try_until(Duration::from_secs(10), || {
        Some(gateway.events("transaction").len() - before).filter(|v| *v >= 40)
    });
    visits.ok_or_else(|| Missing(format!("the lanes were not busy; log: {}", gateway.log())))?;
    Ok(most)
}
