//! One gateway at a real broker, for programs of others to read: each check is started with the broker's port, the
//! address of the gateway's screens and the AsyncAPI document, says `ready` when it listens, and ends by itself.

use clap::Parser;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::brokers::Mosquitto;
use kakou_tests::daemon::{Gateway, Plan, programs};
use kakou_tests::figures::Missing;
use kakou_tests::{profiles, wait};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Lets programs of others read what a gateway says.
#[derive(Parser)]
struct Arguments {
    /// A program with its arguments, separated by blanks; three more are put behind them.
    #[arg(long = "check", required = true)]
    checks: Vec<String>,
}

/// A check says that it listens within this time; what it has to read first may be large.
const READY: Duration = Duration::from_secs(30);
/// And ends within this time.
const END: Duration = Duration::from_secs(60);

/// A check that runs; it ends with this program.
struct Check {
    child: Child,
    name: String,
}

impl Drop for Check {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn begin(check: &str, arguments: &[&str]) -> Result<Check, Missing> {
    let mut words = check.split_whitespace();
    let program = words.next().ok_or_else(|| Missing("a check has no program".into()))?;
    let mut command = Command::new(program);
    let child = command.args(words).args(arguments).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|e| Missing(format!("{program}: {e}")))?;
    let (tx, ready) = mpsc::channel();
    if let Some(out) = child.stdout.take() {
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if line != "ready" {
                    println!("{line}");
                } else if tx.send(()).is_err() {
                    return;
                }
            }
        });
    }
    let check = Check { child, name: check.to_owned() };
    ready.recv_timeout(READY).map_err(|e| Missing(format!("{}: it is not ready: {e}", check.name)))?;
    Ok(check)
}

fn run(checks: &[String]) -> Result<Vec<String>, Missing> {
    let folder = tempfile::tempdir()?;
    let document = folder.path().join("asyncapi.json");
    let printed = Command::new(programs().join("kakou")).arg("asyncapi").output()?;
    std::fs::write(&document, printed.stdout)?;
    let mut broker = Mosquitto::plain(folder.path(), "thirdparty");
    let profile = profiles::lane("gate", &["opaque"], &[], "", false);
    std::fs::write(folder.path().join("gate.toml"), profile)?;
    let tables = format!(
        "[upstream]\nbroker = \"mqtt://127.0.0.1:{}\"\nsparkplug = true\nhome_assistant = true\nbatch = 20\n",
        broker.port
    );
    let plan = Plan { tables, http: true, ..Plan::default() }.lane("lane-1", "gate.toml", &["scanner"]);
    let mut gateway = Gateway::prepare(folder.path(), plan);
    let (port, url) = (broker.port.to_string(), gateway.url(""));
    // What it puts on record before there is a broker leaves in batches.
    let mut scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1)?;
    gateway.start();
    scanner.scan("ID-1")?;
    gateway.await_events("transaction", 1);
    gateway.stop();
    broker.start();
    let mut running = Vec::new();
    for check in checks {
        running.push(begin(check, &[&port, &url, &document.display().to_string()])?);
    }
    gateway.start();
    let link = wait::try_until(Duration::from_secs(30), || sent(&gateway, 1).then_some(()));
    link.ok_or_else(|| Missing(format!("the link does not come up: {}", gateway.log())))?;
    scanner.scan("ID-2")?;
    gateway.await_events("transaction", 2);
    let mut failed = Vec::new();
    for mut check in running {
        let end = wait::try_until(END, || check.child.try_wait().ok().flatten());
        if !end.is_some_and(|status| status.success()) {
            failed.push(check.name.clone());
        }
    }
    Ok(failed)
}

/// Whether the broker has acknowledged everything up to so many verdicts.
fn sent(gateway: &Gateway, verdicts: i64) -> bool {
    let sql = "SELECT acked >= ?1 FROM stream WHERE class = 0";
    gateway.journal().query_row(sql, [verdicts], |r| r.get(0)).unwrap_or(false)
}

fn main() -> ExitCode {
    match run(&Arguments::parse().checks) {
        Err(Missing(why)) => {
            println!("could not run: {why}");
            ExitCode::from(2)
        }
        Ok(failed) if failed.is_empty() => ExitCode::SUCCESS,
        Ok(failed) => {
            failed.iter().for_each(|name| println!("failed: {name}"));
            ExitCode::FAILURE
        }
    }
}
