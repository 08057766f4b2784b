//! `kakou central`

use super::fail;
use crate::central::listen::{self, Listen, Tally};
use crate::central::{Arrived, Consumer, Sink, read};
use crate::config::Upstream;
use crate::upstream::tls;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the central side can do.
#[derive(clap::Subcommand)]
pub enum Command {
    /// Takes events of a fleet from a broker, removes duplicates, and receipts what is stored.
    Listen {
        /// mqtts://HOST:PORT, or mqtt://127.0.0.1:PORT.
        #[arg(long, value_name = "URL")]
        broker: String,
        /// The file that events are appended to, one JSON a line. What is in it counts as received.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// One site, or + for all.
        #[arg(long, default_value = "+")]
        site: String,
        /// The name of this consumer at the broker; keep it, the broker keeps its session.
        #[arg(long, default_value = "kakou-central")]
        client_id: String,
        /// Root certificates, PEM.
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// Client certificate, PEM.
        #[arg(long, value_name = "FILE", requires = "key")]
        cert: Option<PathBuf>,
        /// Its key, PEM.
        #[arg(long, value_name = "FILE", requires = "cert")]
        key: Option<PathBuf>,
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

/// Takes up where an earlier run ended; a line that was cut by a crash is removed.
fn resume(path: &Path) -> io::Result<(Log, Consumer, u64)> {
    struct Forget;
    impl Sink for Forget {
        fn store(&mut self, _: &[Arrived]) -> io::Result<()> {
            Ok(())
        }
    }
    let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let (mut consumer, mut known, mut good) = (Consumer::default(), 0, 0_u64);
    let mut lines = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let gateway = serde_json::from_slice::<serde_json::Value>(&line).ok().and_then(|v| {
            let id = v["id"].as_str()?.split('/').next()?.to_owned();
            Some(id)
        });
        let Some(events) = gateway.and_then(|g| read(&g, &line).ok()) else { break };
        known += consumer.take(events, &mut Forget)?.new;
        good += line.len() as u64;
        line.clear();
    }
    file.set_len(good)?;
    Ok((Log(file), consumer, known))
}

/// Runs it until Ctrl-C.
pub fn run(command: Command) -> ExitCode {
    let Command::Listen { broker, out, site, client_id, ca, cert, key } = command;
    let (tls_on, rest) = match broker.split_once("://") {
        Some(("mqtts", rest)) => (true, rest),
        Some(("mqtt", rest)) => (false, rest),
        Some(_) | None => {
            return fail(format!("`{broker}`: write mqtts://HOST:8883 or mqtt://127.0.0.1:1883"));
        }
    };
    let Some((host, Ok(port))) = rest.rsplit_once(':').map(|(h, p)| (h.to_owned(), p.parse::<u16>())) else {
        return fail(format!("`{broker}` has no port"));
    };
    let settings = Upstream {
        host: host.clone(),
        port,
        tls: tls_on,
        ca,
        identity: cert.zip(key),
        username: None,
        password_file: None,
        batch: 1,
        inflight: 1,
        receipts: false,
    };
    let tls = match tls::client(&settings) {
        Ok(tls) => tls,
        Err(e) => return fail(e),
    };
    let (log, consumer, known) = match resume(&out) {
        Ok(parts) => parts,
        Err(e) => return fail(format!("{}: {e}", out.display())),
    };
    eprintln!("{}: {known} events known; listening on {broker}, Ctrl-C ends", out.display());
    let runtime = match super::runtime() {
        Ok(runtime) => runtime,
        Err(e) => return fail(e),
    };
    let (tally, tallied) = watch::channel(Tally::default());
    let listen = Listen { host, port, tls, client_id, site };
    runtime.block_on(async {
        let cancel = CancellationToken::new();
        let work = tokio::spawn(listen::run(listen, consumer, Box::new(log), tally, cancel.clone()));
        let mut term = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(term) => term,
            Err(_) => return,
        };
        tokio::select! { _ = tokio::signal::ctrl_c() => {}, _ = term.recv() => {} }
        cancel.cancel();
        drop(work.await);
    });
    let t = tallied.borrow().clone();
    println!(
        "{}",
        json!({ "events": t.events, "duplicates": t.duplicates, "refused": t.refused, "gaps": t.gaps, "receipts": t.receipts })
    );
    ExitCode::SUCCESS
}
