//! `kakou central answers`: the key of the central side, and what gateways have sealed for it.

use kakou_gateway::answers::PURPOSE;
use kakou_gateway::println;
use kakou_link::{durable, shown};
use kakou_provisioning::envelope::{KEY, ReaderKey, Sealed};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// The longest line of events that is read, in bytes.
const LONGEST: usize = 16 << 20;

/// Private answers: names, id numbers and phones that somebody gave at a desk. A gateway seals them for the key of the
/// central side and cannot read them itself.
#[derive(clap::Subcommand)]
#[command(
    after_help = "  kakou central answers key --out central.key\nprints the line `central_key = \"…\"` for the configuration of every gateway. The file stays at the central side, on one\nmachine and in one safe: whoever has it reads every answer, without it nobody does. It is never sent to a box.\n  kakou central answers open --key central.key events.jsonl\nreads what `kakou central listen` stored, or from a database:\n  psql -At -c \"SELECT body FROM event\" | kakou central answers open --key central.key -\nMore: docs/evidence.md"
)]
pub enum Command {
    /// Makes the key, and prints the public half for the configuration of gateways.
    Key {
        /// Where the private half goes; a file that is there stays as it is.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Prints the public half of a key.
    Public {
        /// The private half.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Opens the answers in events, one JSON a line; prints one JSON a line.
    Open {
        /// The private half; several, where it was changed.
        #[arg(long, value_name = "FILE", required = true)]
        key: Vec<PathBuf>,
        /// The events; `-` reads them from standard input.
        events: PathBuf,
    },
}

fn key_of(path: &Path) -> Result<ReaderKey, String> {
    let wrong = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let bytes = std::fs::read(path).map_err(|e| wrong(&e))?;
    ReaderKey::from_bytes(&bytes)
        .map_err(|_| wrong(&"not a key of `kakou central answers key`: that has 32 bytes"))
}

fn line(key: &ReaderKey) -> String {
    format!("central_key = \"{}\"", String::from(key.reader()))
}

/// Does it; gives what went wrong.
pub fn run(command: &Command) -> Result<(), String> {
    match command {
        Command::Key { out } => {
            if out.exists() {
                return Err(format!(
                    "{}: there is a key already; without it nobody reads what was sealed for it. Choose another name",
                    out.display()
                ));
            }
            let bytes = kakou_gateway::keys::random(KEY).map_err(|e| e.to_string())?;
            let key = ReaderKey::from_bytes(&bytes).map_err(|e| e.to_string())?;
            durable::write_secret(out, &bytes).map_err(|e| format!("{}: {e}", out.display()))?;
            println!("# {}: the private half. Keep a copy in a safe; no gateway gets it.", out.display());
            println!("# Under [gateway] in the configuration of every gateway:\n{}", line(&key));
            Ok(())
        }
        Command::Public { key } => {
            println!("{}", line(&key_of(key)?));
            Ok(())
        }
        Command::Open { key, events } => {
            let keys = key.iter().map(|path| key_of(path)).collect::<Result<Vec<_>, _>>()?;
            match events.as_os_str() == "-" {
                true => open(&keys, std::io::stdin().lock()),
                false => {
                    let file = File::open(events).map_err(|e| format!("{}: {e}", events.display()))?;
                    open(&keys, BufReader::new(file))
                }
            }
        }
    }
}

/// Opens each line; what does not open is said in its place, and the whole fails then.
fn open(keys: &[ReaderKey], mut lines: impl BufRead) -> Result<(), String> {
    let (mut closed, mut line) = (0_u64, Vec::new());
    loop {
        line.clear();
        let read = std::io::Read::take(&mut lines, LONGEST as u64).read_until(b'\n', &mut line);
        if read.map_err(|e| e.to_string())? == 0 {
            break;
        }
        let Ok(value) = serde_json::from_slice::<Value>(&line) else {
            closed += 1;
            println!("{}", json!({ "why": "a line that is no JSON" }));
            continue;
        };
        // As `kakou central listen` stores it, or the event alone.
        let event = if value["event"].is_object() { &value["event"] } else { &value };
        if event["data"]["private"].is_null() {
            continue;
        }
        let opened = answers(keys, event);
        closed += u64::from(opened.is_err());
        let said = match opened {
            Ok(answers) => {
                json!({ "id": event["id"], "subject": event["subject"], "time": event["time"], "answers": answers })
            }
            Err(why) => json!({ "id": event["id"], "why": why }),
        };
        println!("{}", shown::json(&said));
    }
    if closed == 0 { Ok(()) } else { Err(format!("{closed} lines were not opened")) }
}

/// The answers in an event. They are sealed for its gateway, lane and visit.
pub fn answers(keys: &[ReaderKey], event: &Value) -> Result<Value, String> {
    let sealed: Sealed =
        serde_json::from_value(event["data"]["private"].clone()).map_err(|e| e.to_string())?;
    let gateway = event["id"].as_str().and_then(|id| id.split('/').next()).unwrap_or_default();
    let context = format!("{gateway}/{}", event["subject"].as_str().unwrap_or_default());
    let own = keys.iter().find(|key| key.reader().kid() == sealed.kid);
    let own = own.ok_or_else(|| {
        format!("it is sealed for the key {}, which was not given", shown::line(&sealed.kid))
    })?;
    let bytes = own.open(&sealed, PURPOSE, context.as_bytes()).map_err(|e| e.to_string())?;
    serde_json::from_slice(&bytes).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_core::lane::event::AnswerSealer;
    use kakou_gateway::answers::ForCentral;

    #[test]
    fn the_key_that_was_made_opens_what_a_gateway_sealed_for_it_and_for_that_visit_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("central.key");
        run(&Command::Key { out: path.clone() }).unwrap();
        let again = run(&Command::Key { out: path.clone() }).unwrap_err();
        assert!(again.contains("there is a key already"), "{again}");
        let key = key_of(&path).unwrap();
        let said = json!({ "name": "张三", "phone": "13800000000" });
        let private = ForCentral::new(key.reader(), "gw-1".into()).seal(&said, "lane-1/7");
        let event = json!({ "id": "gw-1/1/5", "subject": "lane-1/7", "data": { "outcome": "ADMIT", "private": private } });
        assert_eq!(answers(&[key], &event), Ok(said));
        let key = key_of(&path).unwrap();
        let moved = json!({ "id": "gw-1/1/5", "subject": "lane-1/8", "data": { "private": private } });
        assert!(answers(&[key], &moved).is_err(), "not of another visit");
        let other = ReaderKey::from_bytes(&[9; KEY]).unwrap();
        let why = answers(&[other], &event).unwrap_err();
        assert!(why.contains("was not given"), "{why}");
        let events = folder.path().join("events.jsonl");
        std::fs::write(&events, format!("{}\n", json!({ "site": "s", "gateway": "gw-1", "event": event })))
            .unwrap();
        run(&Command::Open { key: vec![path.clone()], events: events.clone() }).unwrap();
        std::fs::write(&events, format!("{moved}\nno JSON\n")).unwrap();
        assert_eq!(run(&Command::Open { key: vec![path], events }).unwrap_err(), "2 lines were not opened");
    }
}
