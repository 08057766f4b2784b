//! `kakou central`

use super::broker::Broker;
use super::fail;
use crate::central::ledger::{Ledger, Sink};
use crate::central::listen::{self, Listen, Part, Tally};
use crate::central::photos::Desk;
use crate::central::postgres::Database;
use crate::central::{Arrived, From, read};
use kakou_core::ids::{GatewayId, SiteId};
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// What the central side can do.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Takes events of a fleet into a file: removes duplicates, and receipts what is stored.
    Listen {
        #[command(flatten)]
        broker: Broker,
        /// The file that events are appended to, one JSON a line. What is in it counts as received.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// A folder for photographs.
        #[arg(long, value_name = "FOLDER")]
        photos: Option<PathBuf>,
        /// One site, or + for all.
        #[arg(long, default_value = "+")]
        site: String,
        /// The name of this consumer at the broker; keep it, the broker keeps its session.
        #[arg(long, default_value = "kakou-central")]
        client_id: String,
    },
    /// Takes events of a fleet into PostgreSQL: several may run at once; receipts what is committed.
    Ingest {
        #[command(flatten)]
        broker: Broker,
        /// The database, as libpq writes it: postgres://USER:PASSWORD@HOST/NAME, or
        /// "host=/run/postgresql dbname=kakou". The tables are made if they are not there. Without TLS:
        /// use a socket of this machine or a tunnel.
        #[arg(long, value_name = "URL", env = "KAKOU_DATABASE", hide_env_values = true)]
        database: String,
        /// A folder for photographs; give it to one consumer alone.
        #[arg(long, value_name = "FOLDER")]
        photos: Option<PathBuf>,
        /// One site, or + for all.
        #[arg(long, default_value = "+")]
        site: String,
        /// The name of this consumer at the broker; each one that runs has its own.
        #[arg(long, default_value = "kakou-ingest")]
        client_id: String,
        /// Consumers of one group share the work ($share; not at a NATS broker).
        #[arg(long, value_name = "NAME")]
        group: Option<String>,
    },
}

/// Events in a file, synced before they are receipted.
struct Log(File);

impl Sink for Log {
    fn store(&mut self, events: &[Arrived]) -> io::Result<()> {
        let mut lines = Vec::new();
        for event in events {
            lines.extend_from_slice(event.json.as_bytes());
            lines.push(b'\n');
        }
        self.0.write_all(&lines)?;
        self.0.sync_data()
    }
}

/// Whose event a stored line is: `source` says `/kakou/SITE/GATEWAY`.
fn author(line: &[u8]) -> Option<From> {
    let event: Value = serde_json::from_slice(line).ok()?;
    let mut parts = event["source"].as_str()?.strip_prefix("/kakou/")?.splitn(2, '/');
    let (site, gateway) = (parts.next()?, parts.next()?);
    Some(From { site: SiteId::new(site).ok()?, gateway: GatewayId::new(gateway).ok()? })
}

/// Takes up where an earlier run ended; a line that was cut by a crash is removed.
fn resume(path: &Path) -> io::Result<(Ledger<Log>, u64)> {
    let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let (mut ledger, mut known, mut good) = (Ledger::new(Log(file)), 0, 0_u64);
    let mut lines = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let Some(events) = author(&line).and_then(|from| read(&from, false, &line).ok()) else { break };
        ledger.known(&events);
        known += events.len() as u64;
        good += line.len() as u64;
        line.clear();
    }
    ledger.sink.0.set_len(good)?;
    Ok((ledger, known))
}

/// Runs it until Ctrl-C.
pub fn run(command: Command) -> ExitCode {
    let runtime = match super::runtime() {
        Ok(runtime) => runtime,
        Err(e) => return fail(e),
    };
    let done = match command {
        Command::Listen { broker, out, photos, site, client_id } => {
            runtime.block_on(listen_to_file(&broker, &out, photos.as_deref(), site, client_id))
        }
        Command::Ingest { broker, database, photos, site, client_id, group } => {
            let wishes = Ingest { database, site, client_id, group };
            runtime.block_on(ingest(&broker, wishes, photos.as_deref()))
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(e),
    }
}

fn desk(folder: Option<&Path>) -> Result<Option<Desk>, String> {
    folder.map(Desk::open).transpose().map_err(|e| e.to_string())
}

async fn listen_to_file(
    broker: &Broker,
    out: &Path,
    photos: Option<&Path>,
    site: String,
    client_id: String,
) -> Result<(), String> {
    let (ledger, known) = resume(out).map_err(|e| format!("{}: {e}", out.display()))?;
    eprintln!("{}: {known} events known; listening on {}, Ctrl-C ends", out.display(), broker.url());
    let listen = Listen { broker: broker.settings()?, client_id, site, group: None, part: Part::All };
    let (tally, tallied) = watch::channel(Tally::default());
    let (cancel, desk) = (CancellationToken::new(), desk(photos)?);
    let mut tasks = JoinSet::new();
    tasks.spawn(listen::run(listen, ledger, desk, tally, cancel.clone()));
    until_told(cancel, tasks).await;
    print(&[tallied]);
    Ok(())
}

struct Ingest {
    database: String,
    site: String,
    client_id: String,
    group: Option<String>,
}

async fn ingest(broker: &Broker, wishes: Ingest, photos: Option<&Path>) -> Result<(), String> {
    let settings = broker.settings()?;
    let cancel = CancellationToken::new();
    let (mut tasks, mut tallies) = (JoinSet::new(), Vec::new());
    let mut desk = desk(photos)?;
    for (part, suffix) in [(Part::Live, "live"), (Part::Late, "late")] {
        let store = Database::open(&wishes.database).await.map_err(|e| e.to_string())?;
        let listen = Listen {
            broker: settings.clone(),
            client_id: format!("{}-{suffix}", wishes.client_id),
            site: wishes.site.clone(),
            group: wishes.group.clone(),
            part,
        };
        let (tally, tallied) = watch::channel(Tally::default());
        tallies.push(tallied);
        // Photographs come with the backlog, where they hold up nothing.
        let photos = if part == Part::Late { desk.take() } else { None };
        tasks.spawn(listen::run(listen, store, photos, tally, cancel.clone()));
    }
    eprintln!("the database is there; listening on {}, Ctrl-C ends", broker.url());
    until_told(cancel, tasks).await;
    print(&tallies);
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM, then for the tasks.
async fn until_told(cancel: CancellationToken, mut tasks: JoinSet<()>) {
    let term = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    if let Ok(mut term) = term {
        tokio::select! { _ = tokio::signal::ctrl_c() => {}, _ = term.recv() => {}, _ = tasks.join_next() => {} }
    }
    cancel.cancel();
    while tasks.join_next().await.is_some() {}
}

fn print(tallies: &[watch::Receiver<Tally>]) {
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(|t| of(&t.borrow())).sum::<u64>();
    println!(
        "{}",
        json!({ "events": sum(|t| t.events), "duplicates": sum(|t| t.duplicates), "refused": sum(|t| t.refused),
            "gaps": sum(|t| t.gaps), "receipts": sum(|t| t.receipts), "photos": sum(|t| t.photos) })
    );
}
