//! `kakou central`

use super::broker::Broker;
use super::fail;
use crate::ingest::bulk::{self, Rights};
use crate::ingest::known::{self, PeerStore};
use crate::ingest::ledger::{Gone, Ledger, Sink};
use crate::ingest::listen::{self, Listen, Part, Tally};
use crate::ingest::photos::{PhotoIntake, QUOTA};
use crate::ingest::postgres::Database;
use crate::ingest::{From, ReceivedEvent, compact, read};
use crate::metrics::At;
use kakou_core::event::Class;
use kakou_core::ids::{GatewayId, SiteId};
use kakou_gateway::http::connections;
use kakou_gateway::http::seats::ConnectionLimits;
use kakou_gateway::metrics::Figures;
use kakou_gateway::{eprintln, println};
use kakou_link::https::Endpoint;
use kakou_link::{durable, tls};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::net::TcpListener;
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
        /// The file that events are appended to, one a line: {"site":…,"gateway":…,"event":…}, where site and gateway are
        /// those of the topic. What is in it counts as received. What cannot be taken lies in FILE.refused, and what was
        /// gone before it came stands in FILE.lost.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// A folder for photographs.
        #[arg(long, value_name = "FOLDER")]
        photos: Option<PathBuf>,
        /// What each gateway may bring of them a day; the rest waits at the gateway.
        #[arg(long, value_name = "MIB", default_value_t = QUOTA >> 20)]
        photo_quota_mb: u64,
        #[command(flatten)]
        bulk: Address,
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
        /// What each gateway may bring of them a day; the rest waits at the gateway.
        #[arg(long, value_name = "MIB", default_value_t = QUOTA >> 20)]
        photo_quota_mb: u64,
        /// One site, or + for all.
        #[arg(long, default_value = "+")]
        site: String,
        /// The name of this consumer at the broker; each one that runs has its own.
        #[arg(long, default_value = "kakou-ingest")]
        client_id: String,
        #[command(flatten)]
        bulk: Address,
        /// Consumers of one group share the work ($share; not at a NATS broker).
        #[arg(long, value_name = "NAME")]
        group: Option<String>,
        #[command(flatten)]
        figures: At,
    },
    /// Takes photographs and gives feeds by HTTPS, so that neither burdens the broker.
    #[command(
        after_help = "Give the same --bulk-url and --bulk-secret to `kakou central ingest` or `listen`: it tells gateways\nwhere to put photographs, for an hour each. Feeds: `kakou feed make --url URL/feed`."
    )]
    Bulk {
        /// Where it listens.
        #[arg(long, default_value = "0.0.0.0:8443")]
        listen: SocketAddr,
        /// Its certificate, signed by the roots of the fleet, PEM.
        #[arg(long, value_name = "FILE")]
        cert: PathBuf,
        /// Its key, PEM.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The folder of photographs, the same as that of the consumer.
        #[arg(long, value_name = "FOLDER")]
        photos: PathBuf,
        /// The folder `parts` that `kakou feed make` fills.
        #[arg(long, value_name = "FOLDER")]
        feeds: Option<PathBuf>,
        #[command(flatten)]
        bulk: Address,
        #[command(flatten)]
        figures: At,
    },
    #[command(subcommand)]
    Answers(super::answers::Command),
}

/// Where photographs may be put by HTTPS.
#[derive(clap::Args, Clone)]
pub struct Address {
    /// The address of `kakou central bulk`, as gateways reach it.
    #[arg(long, value_name = "URL", requires = "bulk_secret")]
    bulk_url: Option<String>,
    /// A file with the secret that its addresses are made with; at least 32 random bytes.
    #[arg(long, value_name = "FILE", requires = "bulk_url")]
    bulk_secret: Option<PathBuf>,
}

impl Address {
    fn rights(&self) -> Result<Option<Rights>, String> {
        let (Some(url), Some(file)) = (&self.bulk_url, &self.bulk_secret) else { return Ok(None) };
        Endpoint::read(url).map_err(|e| e.to_string())?;
        let secret = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
        if secret.len() < SECRET {
            return Err(format!("{}: write at least {SECRET} random bytes into it", file.display()));
        }
        Ok(Some(Rights::new(&secret, url)))
    }
}

/// Bytes of a secret at least.
const SECRET: usize = 32;

/// Events in a file, synced before they are receipted; beside it those that are quarantined, and what was lost.
struct Log {
    events: File,
    aside: File,
    gone: File,
}

/// A line of the file of events: whose it is says the topic, and nobody else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    site: SiteId,
    gateway: GatewayId,
    #[serde(borrow)]
    event: &'a RawValue,
}

fn write_event(lines: &mut Vec<u8>, from: &From, json: &str) {
    let (site, gateway) = (json!(from.site), json!(from.gateway));
    let line = format!("{{\"site\":{site},\"gateway\":{gateway},\"event\":{}}}\n", compact(json));
    lines.extend(line.into_bytes());
}

impl Sink for Log {
    fn store(&mut self, events: &[ReceivedEvent]) -> io::Result<()> {
        let mut lines = Vec::new();
        events.iter().for_each(|e| write_event(&mut lines, &e.from, &e.json));
        self.events.write_all(&lines)?;
        self.events.sync_data()
    }
    fn quarantine(&mut self, events: &[ReceivedEvent]) -> io::Result<()> {
        let mut lines = Vec::new();
        for e in events {
            let aside = Aside {
                site: e.from.site.clone(),
                gateway: e.from.gateway.clone(),
                epoch: e.epoch,
                seq: e.seq,
                stream: e.stream,
                stream_seq: e.stream_seq,
                why: e.refused.clone().unwrap_or_default(),
                event: e.json.clone(),
            };
            lines.extend(format!("{}\n", json!(aside)).into_bytes());
        }
        self.aside.write_all(&lines)?;
        self.aside.sync_data()
    }
    fn gone(&mut self, gone: &Gone) -> io::Result<()> {
        self.gone.write_all(format!("{}\n", json!(gone)).as_bytes())?;
        self.gone.sync_data()
    }
}

/// A line of the file of what is quarantined.
#[derive(Serialize, Deserialize)]
struct Aside {
    site: SiteId,
    gateway: GatewayId,
    epoch: u64,
    seq: u64,
    stream: Class,
    stream_seq: u64,
    why: String,
    /// As it came.
    event: String,
}

impl Aside {
    fn arrived(self) -> ReceivedEvent {
        ReceivedEvent {
            from: From { site: self.site, gateway: self.gateway },
            epoch: self.epoch,
            seq: self.seq,
            stream: self.stream,
            stream_seq: self.stream_seq,
            kind: String::new(),
            time: None,
            lane: None,
            outcome: None,
            subject_key: None,
            subject: None,
            late: false,
            json: self.event,
            refused: Some(self.why),
        }
    }
}

/// Whose event a line of an earlier version is, which has no name before it: `source` says `/kakou/SITE/GATEWAY`.
fn author(line: &[u8]) -> Option<From> {
    let event: Value = serde_json::from_slice(line).ok()?;
    let mut parts = event["source"].as_str()?.strip_prefix("/kakou/")?.splitn(2, '/');
    let (site, gateway) = (parts.next()?, parts.next()?);
    Some(From { site: SiteId::new(site).ok()?, gateway: GatewayId::new(gateway).ok()? })
}

fn stored(line: &[u8]) -> Option<Vec<ReceivedEvent>> {
    let found = match serde_json::from_slice::<Line<'_>>(line) {
        Ok(Line { site, gateway, event }) => read(&From { site, gateway }, false, event.get().as_bytes()),
        Err(_) => read(&author(line)?, false, line),
    };
    found.ok().filter(|found| found.faults.is_empty()).map(|found| found.events)
}

fn kept_aside(line: &[u8]) -> Option<Vec<ReceivedEvent>> {
    Some(vec![serde_json::from_slice::<Aside>(line).ok()?.arrived()])
}

/// Reads the lines of a file and says how many events it has. Only a last line without an end, which a crash has cut, is
/// removed; one that cannot be read stays where it is, and is said.
fn lines_of<T>(
    path: &Path,
    read: fn(&[u8]) -> Option<Vec<T>>,
    mut known: impl FnMut(&[T]),
) -> io::Result<u64> {
    let (mut count, mut good, mut number) = (0, 0_u64, 0_u64);
    let (mut unreadable, mut first) = (0_u64, 0);
    let mut lines = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        if line.last() != Some(&b'\n') {
            break;
        }
        number += 1;
        if let Some(events) = read(&line) {
            known(&events);
            count += events.len() as u64;
        } else {
            first = if unreadable == 0 { number } else { first };
            unreadable += 1;
        }
        good += line.len() as u64;
        line.clear();
    }
    OpenOptions::new().write(true).open(path)?.set_len(good)?;
    if unreadable > 0 {
        log::error!(
            "{}: {unreadable} lines are no events of ours, the first of them line {first}; they stay, and do not count",
            path.display()
        );
    }
    Ok(count)
}

fn appended(path: &Path) -> io::Result<File> {
    durable::own_file(path)?;
    OpenOptions::new().append(true).open(path)
}

/// Takes up where an earlier run ended.
fn resume(path: &Path) -> io::Result<(Ledger<Log>, u64)> {
    let beside = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let (refused, lost) = (beside(".refused"), beside(".lost"));
    let log = Log { events: appended(path)?, aside: appended(&refused)?, gone: appended(&lost)? };
    let mut ledger = Ledger::new(log);
    let count = lines_of(path, stored, |events| ledger.known(events))?;
    lines_of(&refused, kept_aside, |events| ledger.known(events))?;
    let gone = |line: &[u8]| serde_json::from_slice::<Gone>(line).ok().map(|one| vec![one]);
    lines_of(&lost, gone, |gone| ledger.known_gone(gone))?;
    Ok((ledger, count))
}

/// Runs it until Ctrl-C.
pub fn run(command: Command) -> ExitCode {
    if let Command::Answers(command) = &command {
        return super::answers::run(command).map_or_else(fail, |()| ExitCode::SUCCESS);
    }
    let runtime = match super::runtime() {
        Ok(runtime) => runtime,
        Err(e) => return fail(e),
    };
    let done = match command {
        Command::Listen { broker, out, photos, photo_quota_mb, bulk, site, client_id } => {
            let desk = desk(photos.as_deref(), &bulk, photo_quota_mb);
            runtime.block_on(async { listen_to_file(&broker, &out, desk?, site, client_id).await })
        }
        Command::Ingest {
            broker,
            database,
            photos,
            photo_quota_mb,
            bulk,
            site,
            client_id,
            group,
            figures,
        } => {
            let wishes = Ingest { database, site, client_id, group, figures };
            let desk = desk(photos.as_deref(), &bulk, photo_quota_mb);
            runtime.block_on(async { ingest(&broker, wishes, desk?).await })
        }
        // Answered above: it needs no runtime.
        Command::Answers(_) => Ok(()),
        Command::Bulk { listen, cert, key, photos, feeds, bulk, figures } => {
            let serving = async {
                let rights = bulk.rights()?.ok_or("--bulk-url and --bulk-secret are needed")?;
                let router = bulk::router(rights, &photos, feeds.as_deref()).map_err(|e| e.to_string())?;
                let tls = tls::server(&cert, &key).map_err(|e| e.to_string())?;
                let listener = TcpListener::bind(listen).await.map_err(|e| format!("{listen}: {e}"))?;
                eprintln!("photographs and feeds at https://{listen}; Ctrl-C ends");
                let cancel = CancellationToken::new();
                let mut tasks = JoinSet::new();
                let end = cancel.clone();
                let (router, happened) = figures.around(router, |_| {}, end.clone()).await?;
                let rules = (ConnectionLimits::FLEET, bulk::BODY);
                tasks.spawn(connections::serve(listener, Some(tls), router, rules, happened, end));
                until_told(cancel, tasks).await;
                Ok(())
            };
            runtime.block_on(serving)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => fail(e),
    }
}

fn desk(folder: Option<&Path>, bulk: &Address, quota_mb: u64) -> Result<Option<PhotoIntake>, String> {
    let rights = bulk.rights()?;
    let mut desk = folder.map(PhotoIntake::open).transpose().map_err(|e| e.to_string())?;
    if let Some(desk) = &mut desk {
        desk.rights = rights;
        desk.quota = quota_mb.saturating_mul(1 << 20);
    }
    Ok(desk)
}

async fn listen_to_file(
    broker: &Broker,
    out: &Path,
    desk: Option<PhotoIntake>,
    site: String,
    client_id: String,
) -> Result<(), String> {
    let (ledger, known) = resume(out).map_err(|e| format!("{}: {e}", out.display()))?;
    eprintln!("{}: {known} events known; listening on {}, Ctrl-C ends", out.display(), broker.url());
    let listen = Listen { broker: broker.settings()?, client_id, site, group: None, part: Part::All };
    let (tally, tallied) = watch::channel(Tally::default());
    let cancel = CancellationToken::new();
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
    figures: At,
}

async fn ingest(broker: &Broker, wishes: Ingest, mut desk: Option<PhotoIntake>) -> Result<(), String> {
    let settings = broker.settings()?;
    let cancel = CancellationToken::new();
    let (mut tasks, mut tallies) = (JoinSet::new(), Vec::new());
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
    // What gateways tell each other is heard by a task of its own: no event waits for it.
    let (tally, tallied) = watch::channel(Tally::default());
    tallies.push(tallied);
    let store = PeerStore::new(Database::open(&wishes.database).await.map_err(|e| e.to_string())?);
    let listen = Listen {
        broker: settings,
        client_id: format!("{}-known", wishes.client_id),
        site: wishes.site.clone(),
        group: wishes.group.clone(),
        part: Part::Live,
    };
    tasks.spawn(known::run(listen, store, tally, cancel.clone()));
    let shown = tallies.clone();
    wishes.figures.serve(move |f| show(&shown, f), cancel.clone()).await?;
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

/// The figures of an ingest.
fn show(tallies: &[watch::Receiver<Tally>], f: &mut Figures) {
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(|t| of(&t.borrow())).sum::<u64>();
    let counted = [
        ("ingest_events", "Events taken, each counted once", sum(|t| t.events)),
        ("ingest_duplicates", "Events that came again", sum(|t| t.duplicates)),
        ("ingest_conflicts", "Events that came under the number of another", sum(|t| t.conflicts)),
        ("ingest_refused", "Messages that were no events, and events kept aside", sum(|t| t.refused)),
        ("ingest_receipts", "Receipts sent", sum(|t| t.receipts)),
        ("ingest_photographs", "Photographs that are complete", sum(|t| t.photos)),
    ];
    for (name, help, value) in counted {
        f.counter((name, help), &[], value);
    }
    let gaps = u32::try_from(sum(|t| t.gaps)).unwrap_or(u32::MAX);
    f.gauge(("ingest_gaps", "Events held beyond a gap"), &[], Some(gaps));
    let subscribed = u8::from(tallies.iter().all(|t| t.borrow().subscribed));
    f.gauge(("ingest_subscribed", "1 while the broker has taken every subscription"), &[], Some(subscribed));
}

fn print(tallies: &[watch::Receiver<Tally>]) {
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(|t| of(&t.borrow())).sum::<u64>();
    println!(
        "{}",
        json!({ "events": sum(|t| t.events), "duplicates": sum(|t| t.duplicates),
            "conflicts": sum(|t| t.conflicts), "refused": sum(|t| t.refused), "gaps": sum(|t| t.gaps), "receipts": sum(|t| t.receipts), "photos": sum(|t| t.photos) })
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from() -> From {
        From { site: SiteId::new("school").unwrap(), gateway: GatewayId::new("gw-1").unwrap() }
    }

    fn event(seq: u64, source: &str) -> String {
        format!(
            "{{\"specversion\":\"1.0\",\"id\":\"gw-1/1/{seq}\",\n\"source\":\"{source}\",\"type\":\"kakou.t.v1\",\r\n\"stream\":\"verdict\",\"streamseq\":{seq},\"data\":{{}}}}"
        )
    }

    fn taken(path: &Path, events: &[String]) -> crate::ingest::Ingested {
        let (mut ledger, _) = resume(path).unwrap();
        let found = events.iter().flat_map(|e| read(&from(), false, e.as_bytes()).unwrap().events);
        ledger.keep(found.collect()).unwrap()
    }

    #[test]
    fn no_event_makes_the_next_start_forget_or_falsify_what_was_receipted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let own = "/kakou/school/gw-1";
        let all = [event(1, own), event(2, "/kakou/hospital/gw-1"), event(3, "x"), event(4, own)];
        let first = taken(&path, &all);
        assert_eq!((first.new, first.refused.len(), first.complete[0].through), (2, 2, 4));
        let again = taken(&path, &all);
        assert_eq!((again.new, again.duplicates, again.refused.len()), (0, 4, 0), "all of it is known");
        let text = std::fs::read_to_string(&path).unwrap();
        let start =
            "{\"site\":\"school\",\"gateway\":\"gw-1\",\"event\":{\"specversion\":\"1.0\",\"id\":\"gw-1/1/";
        assert!(text.lines().count() == 2 && text.lines().all(|line| line.starts_with(start)), "{text}");
        // What a crash has cut is removed, and nothing else.
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{}\n{\"id\":\"gw").unwrap();
        let (ledger, known) = resume(&path).unwrap();
        drop(ledger);
        assert_eq!(known, 2);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.ends_with("{}\n") && text.lines().count() == 3, "{text}");
        assert_eq!(taken(&path, &[event(5, own)]).complete[0].through, 5);
    }

    #[test]
    fn a_file_of_an_earlier_version_is_taken_up_and_the_name_before_a_line_is_believed_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let before = crate::ingest::compact(&event(1, "/kakou/school/gw-1"));
        // One line that says that it is of another site than the name before it.
        let after = compact(&event(1, "/kakou/school/gw-1"));
        let other = format!("{{\"site\":\"hospital\",\"gateway\":\"gw-1\",\"event\":{after}}}");
        std::fs::write(&path, format!("{before}\nno event\n{other}\n")).unwrap();
        let (ledger, known) = resume(&path).unwrap();
        assert_eq!(known, 2);
        drop(ledger);
        let taken = taken(&path, &[event(1, "/kakou/school/gw-1"), event(2, "/kakou/school/gw-1")]);
        assert_eq!((taken.new, taken.duplicates, taken.complete[0].through), (1, 1, 2));
        assert!(std::fs::read_to_string(&path).unwrap().starts_with(&before), "it stays as it was");
    }
}
