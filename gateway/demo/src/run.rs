//! Puts the demo together: folder, broker, consumer, gateway; plays or waits; reports.

use crate::lanes::{FIRST_PACK, PLAYED, first_of};
use crate::world::{OFFICERS, World};
use crate::{page, script};
use kakou_central::ingest::ReceivedEvent;
use kakou_central::ingest::ledger::{Gone, Ledger, Sink};
use kakou_central::ingest::listen::{self, Listen, Part, Tally};
use kakou_central::ingest::photos::PhotoIntake;
use kakou_gateway::daemon::{self, Extras};
use kakou_gateway::{config, eprintln, println};
use kakou_link::broker::{MqttVersion, Upstream};
use mqtt5::broker::{BrokerConfig, MqttBroker};
use serde_json::json;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the demo is asked for.
#[derive(Debug, Clone)]
pub struct Wishes {
    /// Plays visits by itself instead of waiting for clicks.
    pub headless: bool,
    /// For how long, when headless.
    pub seconds: u64,
    /// Prints one JSON object at the end.
    pub json: bool,
    /// Port of the screens.
    pub port: u16,
}

/// Keeps nothing: the demo's consumer counts.
struct Count;

impl Sink for Count {
    fn quarantine(&mut self, events: &[ReceivedEvent]) -> io::Result<()> {
        self.store(events)
    }

    fn store(&mut self, _: &[ReceivedEvent]) -> io::Result<()> {
        Ok(())
    }

    fn gone(&mut self, _: &Gone) -> io::Result<()> {
        Ok(())
    }
}

/// Why the demo does not run.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The file system.
    #[error("the demo needs a temporary folder and pseudo-terminals: {0}")]
    Io(#[from] io::Error),
    /// Issuing the sample cards.
    #[error("the sample cards cannot be made: {0}")]
    Cards(String),
    /// The configuration it wrote.
    #[error(transparent)]
    Config(#[from] config::ConfigError),
    /// The daemon.
    #[error(transparent)]
    Start(#[from] daemon::StartError),
    /// The broker.
    #[error("the demo's broker cannot be started: {0}")]
    Broker(String),
}

async fn broker(cancel: &CancellationToken) -> Result<u16, DemoError> {
    let wrong = |e: String| DemoError::Broker(e);
    let mut settings = BrokerConfig::default()
        .with_bind_address(([127, 0, 0, 1], 0))
        .with_max_packet_size(1 << 20)
        .with_server_receive_maximum(512)
        .with_sys_topics_enabled(false);
    settings.auth_config.allow_anonymous = true;
    settings.storage_config.enable_persistence = false;
    let mut broker = MqttBroker::with_config(settings).await.map_err(|e| wrong(e.to_string()))?;
    let port = broker.local_addr().ok_or_else(|| wrong("no address".into()))?.port();
    let (stop, end) = (broker.shutdown_handle(), cancel.clone());
    let mut ready = broker.ready_receiver();
    tokio::spawn(async move {
        if let Err(e) = broker.run().await {
            log::error!("the demo's broker has ended: {e}");
        }
    });
    tokio::spawn(async move {
        end.cancelled().await;
        stop.shutdown();
    });
    ready.wait_for(|r| *r).await.map_err(|e| wrong(e.to_string()))?;
    Ok(port)
}

/// Runs until the time is over or Ctrl-C.
pub async fn run(wishes: Wishes) -> Result<bool, DemoError> {
    let folder = tempfile::Builder::new().prefix("kakou-demo-").tempdir()?;
    let cancel = CancellationToken::new();
    let broker_port = broker(&cancel).await?;
    let (plug, plugged) = watch::channel(true);
    let lanes = if wishes.headless { PLAYED.to_vec() } else { first_of(FIRST_PACK).unwrap_or_default() };
    let world = Arc::new(World::make(folder.path(), broker_port, lanes, plug)?);
    let extras = Extras { pages: page::routes(world.clone()), plug: Some(plugged), restart: None };
    let (tally, mut tallied) = watch::channel(Tally::default());
    let url = format!("mqtt://127.0.0.1:{broker_port}");
    let listen = Listen {
        broker: Upstream::tool(&url, None, None, MqttVersion::V5)
            .ok_or_else(|| DemoError::Broker("no address".into()))?,
        client_id: "demo-central".into(),
        site: "demo".into(),
        group: None,
        part: Part::All,
    };
    let photos =
        PhotoIntake::open(&folder.path().join("central")).map_err(|e| DemoError::Broker(e.to_string()))?;
    tokio::spawn(listen::run(listen, Ledger::new(Count), Some(photos), tally, cancel.clone()));
    drop(tokio::time::timeout(Duration::from_secs(5), tallied.wait_for(|t| t.subscribed)).await);
    let running = if wishes.headless {
        let running = begin(&world, wishes.port, &extras).await?;
        script::play(&world, &running, Duration::from_secs(wishes.seconds)).await;
        running
    } else {
        until_told(&world, &wishes, &extras).await?
    };
    settle(&running, &tallied).await;
    let report = report(&running, &tallied, folder.path());
    let good = report["lost"] == json!(0);
    running.stop().await;
    cancel.cancel();
    if wishes.json {
        println!("{report}");
    } else if wishes.headless {
        println!("{report:#}");
    }
    Ok(good)
}

/// Starts the gateway with the lanes that are switched on.
async fn begin(world: &World, port: u16, extras: &Extras) -> Result<daemon::Running, DemoError> {
    let settings = config::load(&world.configure(port)?)?;
    let mut running = daemon::start(settings, extras.clone()).await?;
    // Whoever plays at once finds the lists in use.
    drop(running.lists_looked_at.wait_for(|looked| *looked).await);
    Ok(running)
}

/// Runs until somebody ends it; starts the gateway anew, at the same address, when other lanes are switched on.
async fn until_told(world: &World, wishes: &Wishes, extras: &Extras) -> Result<daemon::Running, DemoError> {
    let mut term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let mut wanted = world.wanted();
    let mut running = begin(world, wishes.port, extras).await?;
    let port = running.address.map_or(wishes.port, |address| address.port());
    greet(wishes, port);
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(running),
            _ = term.recv() => return Ok(running),
            Ok(()) = wanted.changed() => {}
        }
        running.stop().await;
        running = begin(world, port, extras).await?;
    }
}

fn greet(wishes: &Wishes, port: u16) {
    say(wishes, &format!("\n  Kakou demo: open  http://127.0.0.1:{port}/demo  in a browser\n"));
    let with = |pin: &str| {
        let all = OFFICERS.iter().filter(|(.., own)| *own == pin);
        all.map(|(id, _, role, _)| format!("{id} ({role})")).collect::<Vec<_>>().join(", ")
    };
    let [most, supervisor] = ["2468", "1357"];
    say(wishes, &format!("  Officers: {}: PIN {most}; {}: PIN {supervisor}", with(most), with(supervisor)));
    say(wishes, "  Everything is simulated and on this machine alone. Ctrl-C ends it.\n");
}

fn say(wishes: &Wishes, text: &str) {
    if wishes.json {
        eprintln!("{text}");
    } else {
        println!("{text}");
    }
}

/// Waits until the central side has everything, or shows no progress for five seconds.
async fn settle(running: &daemon::Running, tally: &watch::Receiver<Tally>) {
    let (mut before, mut patience) = (0, 50);
    while patience > 0 {
        let stored: u64 = running.views.positions.borrow().stored().iter().sum();
        let receipted: u64 = running.views.positions.borrow().receipted().iter().sum();
        let arrived = tally.borrow().events;
        if arrived >= stored && receipted >= stored {
            return;
        }
        patience = if arrived + receipted == before { patience - 1 } else { 50 };
        before = arrived + receipted;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Resident memory of this process in MiB.
pub fn rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kb = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .and_then(|v| v.split_whitespace().next()?.parse().ok());
    kb.unwrap_or(0.0_f64) / 1024.0
}

fn report(running: &daemon::Running, tally: &watch::Receiver<Tally>, folder: &Path) -> serde_json::Value {
    let stored: u64 = running.views.positions.borrow().stored().iter().sum();
    let link = running.link.borrow().clone();
    let arrived = tally.borrow().clone();
    let figures = script::figures(&folder.join("data"));
    json!({
        "visits": figures.visits, "admit": figures.outcomes[0], "refer": figures.outcomes[1],
        "hold": figures.outcomes[2], "deny": figures.outcomes[3], "overrides": figures.overrides,
        "seals": figures.seals, "photos": figures.photos, "events": stored, "published": link.published,
        "receipted": running.views.positions.borrow().receipted().iter().sum::<u64>(), "received": arrived.events,
        "duplicates": arrived.duplicates, "lost": stored.saturating_sub(arrived.events),
        "rss_mb": (rss_mb() * 10.0).round() / 10.0,
    })
}
