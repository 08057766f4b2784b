//! A thousand gateways at one Mosquitto: they all connect, the broker dies and comes back, central
//! ops looks at the page and asks all of them who was where.

use clap::Parser;
use kakou_core::ids::{GatewayId, SiteId};
use kakou_core::pass::trust::TrustList;
use kakou_link::broker::{MqttVersion, Upstream};
use kakou_tests::brokers::{Mosquitto, installed};
use kakou_tests::daemon::{free_port, programs};
use kakou_tests::figures::{Missing, drive, percentiles, round, say};
use kakou_tests::load;
use kakou_tests::sim_gateway::{Counters, SimGateway};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Stands for many gateways with real connections.
#[derive(Parser)]
struct Arguments {
    /// How many.
    #[arg(long, default_value_t = 1000)]
    gateways: usize,
    /// Seconds between two events of one of them.
    #[arg(long, default_value_t = 10)]
    every: u64,
    /// Names follow from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

/// A page that takes longer is no page.
const PAGE_MS: f64 = 1_000.0;
/// A question is answered within this.
const TRACE_MS: f64 = 3_000.0;
/// After a restart of the broker all are back within this: the longest pause, and the same again.
const BACK_S: f64 = 60.0;

fn main() -> ExitCode {
    let a = Arguments::parse();
    drive(run(&a))
}

struct Page(Child);

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn kakou(folder: &Path) -> Command {
    let mut command = Command::new(programs().join("kakou"));
    command.current_dir(folder).env("KAKOU_LOG", "error").stderr(Stdio::null());
    command
}

async fn all_online(counters: &Counters, wanted: u64, limit: Duration) -> Option<f64> {
    let begun = Instant::now();
    while counters.online.load(Ordering::Relaxed) < wanted {
        if begun.elapsed() > limit {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Some(begun.elapsed().as_secs_f64())
}

async fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    installed().ok_or_else(|| Missing("mosquitto is not installed".into()))?;
    let begun = Instant::now();
    let folder = tempfile::tempdir()?;
    let made = kakou(folder.path())
        .args(["fleet", "key", "--out", "ops.pk8", "--keys", "fleet.json", "--usage", "trace"])
        .stdout(Stdio::null())
        .status()?;
    if !made.success() {
        return Err(Missing("no key".into()));
    }
    let keys = Arc::new(TrustList::fleet(&std::fs::read(folder.path().join("fleet.json"))?)?);
    let mut broker = Mosquitto::plain(folder.path(), "fleet");
    broker.start();
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let upstream = Upstream::tool(&url, None, None, MqttVersion::V5)
        .ok_or_else(|| Missing("the broker has no address".into()))?;
    let (counters, cancel) = (Arc::new(Counters::default()), CancellationToken::new());
    let wanted = a.gateways as u64;
    for n in 0..a.gateways {
        let gateway = SimGateway {
            site: SiteId::new(format!("site-{}", n % 20))?,
            gateway: GatewayId::new(format!("gw-{}-{n}", a.seed))?,
            broker: upstream.clone(),
            keys: keys.clone(),
            every: Duration::from_secs(a.every),
            counters: counters.clone(),
        };
        tokio::spawn(gateway.run(cancel.clone()));
    }
    let connect = all_online(&counters, wanted, Duration::from_secs(60)).await;
    let connect = connect.ok_or_else(|| Missing("not all gateways came up".into()))?;
    say(begun, &format!("{wanted} gateways are online after {connect:.1} s"));

    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let page = kakou(folder.path())
        .args(["fleet", "serve", "--broker", &url, "--listen", &listen, "--sign-key", "ops.pk8"])
        .stdout(Stdio::null())
        .spawn()?;
    let page = Page(page);
    let known = look(port, wanted, Duration::from_secs(30)).await?;
    say(begun, &format!("the page knows {known} gateways"));

    let broker_pid = broker.pid();
    let lost_before = counters.lost.load(Ordering::Relaxed);
    broker.kill();
    // Everybody notices before it comes back.
    tokio::time::sleep(Duration::from_secs(2)).await;
    broker.start();
    let restarted = Instant::now();
    let back = all_online(&counters, wanted, Duration::from_secs(120)).await;
    let attempts = counters.lost.load(Ordering::Relaxed) - lost_before;
    say(begun, &format!("back after {back:?} s, {attempts} attempts; broker was {broker_pid}"));
    look(port, wanted, Duration::from_secs(90)).await?;
    let page_back = restarted.elapsed().as_secs_f64();

    let mut times = Vec::new();
    for _ in 0..30 {
        let from = Instant::now();
        fetch(port).await?;
        times.push(from.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let slowest = times.iter().max().copied().unwrap_or_default().as_secs_f64() * 1e3;
    let (page_p50, page_p99) = percentiles(times);
    let (broker_pid, page_pid) = (broker.pid(), page.0.id());
    let cpu = tokio::task::spawn_blocking(move || {
        let mut of_page = 0.0;
        let of_broker = load::cpu_percent(broker_pid, || {
            of_page = load::cpu_percent(page_pid, || std::thread::sleep(Duration::from_secs(5)));
        });
        (of_broker, of_page)
    })
    .await?;

    // Twenty sites are twenty questions; one is asked here as `kakou fleet trace` asks it.
    let body = json!({ "subject": "0123456789abcdef0123456789abcdef", "lane": null, "from": "2020-01-01T00:00:00Z",
        "to": "2030-01-01T00:00:00Z", "purpose": "drill", "by": "fleetsim" });
    let trace = ask(port, &body).await?;
    let (answered, elapsed) =
        (trace["answered"].as_u64().unwrap_or(0), trace["elapsed_ms"].as_f64().unwrap_or(0.0));
    say(begun, &format!("{answered} gateways answered in {elapsed} ms"));
    let rows = trace["rows"].as_array().map_or(0, Vec::len);
    cancel.cancel();

    let mut figures = Map::new();
    let mut put = |name: &str, value: Value| figures.insert(name.to_owned(), value);
    put("seed", json!(a.seed));
    put("gateways", json!(wanted));
    put("connect_s", json!(round(connect)));
    put("back_after_restart_s", json!(back.map(round)));
    put("attempts_after_restart", json!(attempts));
    put("page_complete_after_restart_s", json!(round(page_back)));
    put("page_p50_ms", json!(round(page_p50 / 1e3)));
    put("page_p99_ms", json!(round(page_p99 / 1e3)));
    put("trace_answered", json!(answered));
    put("trace_ms", json!(elapsed));
    put("trace_rows", json!(rows));
    put("broker_cpu_percent", json!(round(cpu.0)));
    put("page_cpu_percent", json!(round(cpu.1)));
    put("events_sent", json!(counters.sent.load(Ordering::Relaxed)));
    let mut short = Vec::new();
    match back {
        Some(s) if s <= BACK_S => {}
        Some(s) => short.push(format!("all are back after {s:.0} s, at most {BACK_S}")),
        None => short.push("not all came back".to_owned()),
    }
    if slowest > PAGE_MS {
        short.push(format!("the page takes {slowest:.0} ms, at most {PAGE_MS}"));
    }
    if answered < wanted || elapsed > TRACE_MS {
        short.push(format!("{answered} of {wanted} answered in {elapsed} ms, at most {TRACE_MS}"));
    }
    Ok((figures, short))
}

async fn fetch(port: u16) -> Result<Value, Missing> {
    let get = move || {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build().into();
        let text =
            agent.get(format!("http://127.0.0.1:{port}/api/v1/fleet")).call()?.body_mut().read_to_string()?;
        Ok::<_, ureq::Error>(text)
    };
    Ok(serde_json::from_str(&tokio::task::spawn_blocking(get).await??)?)
}

/// Waits until the page shows so many gateways as online.
async fn look(port: u16, wanted: u64, limit: Duration) -> Result<u64, Missing> {
    let begun = Instant::now();
    loop {
        let fleet = fetch(port).await.unwrap_or_default();
        let online =
            fleet["gateways"].as_array().into_iter().flatten().filter(|g| g["online"] == true).count();
        if online as u64 >= wanted {
            return Ok(online as u64);
        }
        if begun.elapsed() > limit {
            return Err(Missing(format!("the page shows {online} of {wanted} gateways online")));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn ask(port: u16, body: &Value) -> Result<Value, Missing> {
    let (text, base) = (body.to_string(), format!("http://127.0.0.1:{port}/api/v1/trace"));
    let ask = move || {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build().into();
        let mut asked = agent.post(&base).header("content-type", "application/json").send(text)?;
        let asked: Value = serde_json::from_str(&asked.body_mut().read_to_string()?).unwrap_or_default();
        let id = asked["id"].as_str().unwrap_or_default().to_owned();
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let mut answers = agent.get(format!("{base}/{id}")).call()?;
            let answers: Value =
                serde_json::from_str(&answers.body_mut().read_to_string()?).unwrap_or_default();
            if answers["done"] == true || Instant::now() > until {
                return Ok::<_, ureq::Error>(answers);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    Ok(tokio::task::spawn_blocking(ask).await??)
}
