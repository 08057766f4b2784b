//! A hospital's system tells one of two gateways of a site who is admitted and discharged, by HL7 over MLLP and a real
//! Mosquitto between them: what was acknowledged counts at the doors of both, also where the gateway that has
//! acknowledged it is killed at once, and where the broker is away. Messages go out through a sender of others, if one is
//! given: it takes one message a line, as JSON text, and prints what was answered in the same way.

use clap::Parser;
use kakou_core::hl7::{Sample, sample};
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_gateway::store::lists::Lists;
use kakou_tests::brokers::installed;
use kakou_tests::daemon::{Gateway, free_port};
use kakou_tests::figures::Missing;
use kakou_tests::fleet::{self, Central};
use kakou_tests::wait;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What was acknowledged counts at every door within this time.
const BAR: Duration = Duration::from_secs(5);
/// Longer waits are for a start, and end the program.
const START: Duration = Duration::from_secs(90);

/// A hospital's messages at the doors of two gateways.
#[derive(Parser)]
struct Arguments {
    /// Patients: each is admitted, every second one discharged again.
    #[arg(long, default_value_t = 24)]
    patients: usize,
    /// A sender of others, with its arguments separated by blanks; host and port are put behind them.
    #[arg(long)]
    sender: Option<String>,
}

/// Who carries messages.
enum Sender {
    Others(Child, ChildStdin, BufReader<ChildStdout>),
    Own(u16),
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Self::Others(child, ..) = self {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

impl Sender {
    fn begin(program: Option<&str>, port: u16) -> Result<Self, Missing> {
        let Some(program) = program else { return Ok(Self::Own(port)) };
        let mut words = program.split_whitespace();
        let name = words.next().ok_or_else(|| Missing("the sender has no program".into()))?;
        let mut child = Command::new(name)
            .args(words)
            .args(["127.0.0.1", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| Missing(format!("{name}: {e}")))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (Some(stdin), Some(stdout)) = (stdin, stdout) else {
            return Err(Missing(format!("{name}: it has no ends")));
        };
        Ok(Self::Others(child, stdin, BufReader::new(stdout)))
    }

    /// Sends a message; gives the answer.
    fn send(&mut self, message: &str) -> Result<String, Missing> {
        match self {
            Self::Others(_, stdin, stdout) => {
                writeln!(stdin, "{}", json!(message))?;
                stdin.flush()?;
                let mut line = String::new();
                stdout.read_line(&mut line)?;
                let answer: Value = serde_json::from_str(&line)
                    .map_err(|e| Missing(format!("the sender says `{line}`: {e}")))?;
                Ok(answer.as_str().unwrap_or_default().to_owned())
            }
            Self::Own(port) => {
                let mut stream = TcpStream::connect(("127.0.0.1", *port))?;
                stream.set_read_timeout(Some(START))?;
                stream.write_all(&[b"\x0b", message.as_bytes(), b"\x1c\r"].concat())?;
                let mut answer = Vec::new();
                let mut byte = [0];
                while !answer.ends_with(b"\x1c\r") && stream.read(&mut byte)? == 1 {
                    answer.push(byte[0]);
                }
                Ok(String::from_utf8_lossy(&answer).into_owned())
            }
        }
    }
}

/// A gateway with a ward's door.
struct Ward {
    gateway: Gateway,
    way_out: ScannerSim,
    name: String,
    /// The port for HL7.
    port: u16,
    seen: usize,
    _door: RelaySim,
}

impl Ward {
    fn new(central: &Central, name: &str) -> Result<Self, Missing> {
        let (place, mut plan) = central.plan(name, &[]);
        let port = free_port();
        plan.tables += &format!("[hl7]\nlisten = \"127.0.0.1:{port}\"\nhosts = [\"127.0.0.1\"]\n");
        let device = |role: &str, driver: &str| {
            (role.to_owned(), driver.to_owned(), format!("{{ path = \"ports/lane-1-{role}\" }}"))
        };
        let devices = vec![
            device("reader-in", "line-scanner"),
            device("reader-out", "line-scanner"),
            device("door", "modbus-relay"),
        ];
        plan.lanes.push(("lane-1".to_owned(), "ward-door".to_owned(), devices));
        plan.http = true;
        let mut gateway = Gateway::prepare(&place, plan);
        // The authority gives the boxes of a site one key; these were set up by hand.
        std::fs::create_dir_all(gateway.data().join("keys"))?;
        std::fs::write(gateway.data().join("keys/site.key"), [7; 32])?;
        let lists = gateway.lists().display().to_string();
        std::fs::write(central.folder.join("nobody.json"), json!({ "NOBODY": {} }).to_string())?;
        for list in ["patients", "roster", "revocation", "hold", "status", "results"] {
            let from = if list == "revocation" { "none.json" } else { "nobody.json" };
            std::fs::write(central.folder.join("none.json"), json!({ "k:none": {} }).to_string())?;
            central
                .run("feed", &["make", "--key", "ops.pk8", "--name", list, "--from", from, "--out", &lists]);
        }
        let way_out = ScannerSim::new(&gateway.device("lane-1", "reader-out"), Faults::default(), 1)?;
        let _door = RelaySim::new(&gateway.device("lane-1", "door"), |_| {})?;
        gateway.start();
        Ok(Self { gateway, way_out, name: name.to_owned(), port, seen: 0, _door })
    }

    /// The state of a patient, as lanes here look it up; waits for it.
    fn knows(&self, patient: &str, state: &str, within: Duration) -> Option<Duration> {
        let begun = Instant::now();
        let lists = Lists::open(&self.gateway.data()).ok()?;
        wait::try_until(within, || {
            lists.enter(0).ok()?;
            let entry = lists.entry("patients", patient).ok().flatten();
            lists.leave().ok()?;
            (entry?.get("state")?.as_str()? == state).then(|| begun.elapsed())
        })
    }

    /// The patient goes out: outcome and first code.
    fn out(&mut self, patient: &str) -> (String, String) {
        self.seen += 1;
        let (scanner, id) = (&mut self.way_out, patient.to_owned());
        let data = self.gateway.await_verdict(self.seen, || drop(scanner.scan(&id)));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&data["outcome"]), text(&data["codes"][0]))
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(0)
}

fn told(sender: &mut Sender, event: &str, patient: &str, control: &str) -> Result<(), Missing> {
    let (name, ward, at_ms) = (Some("李四"), Some("W3"), now_ms());
    let message = sample(Sample { event, patient, name, ward, room: Some("12"), at_ms, control });
    let answer = sender.send(&message)?;
    if answer.contains(&format!("MSA|AA|{control}")) {
        Ok(())
    } else {
        Err(Missing(format!("answered: {answer}")))
    }
}

fn ms(of: Option<Duration>) -> u64 {
    of.map_or(u64::MAX, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

fn run(arguments: &Arguments) -> Result<Value, Missing> {
    if installed().is_none() {
        return Err(Missing("mosquitto is not installed".into()));
    }
    let folder = tempfile::tempdir()?;
    let (mut broker, central) = fleet::open(folder.path(), &["gw-1", "gw-2"], &["feed", "operate"]);
    let (mut one, mut two) = (Ward::new(&central, "gw-1")?, Ward::new(&central, "gw-2")?);
    let mut sender = Sender::begin(arguments.sender.as_deref(), one.port)?;
    let (mut wrong, mut acks, mut here, mut there) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // The two have met.
    told(&mut sender, "A01", "P-FIRST", "first")?;
    let met = two.knows("P-FIRST", "admitted", START);
    let met = met.ok_or_else(|| Missing(format!("the gateways do not meet: {}", two.gateway.log())))?;
    for n in 0..arguments.patients {
        let patient = format!("P-{n:04}");
        let (state, expected) = match n % 2 {
            0 => ("discharged", ("ADMIT", "OK")),
            _ => ("admitted", ("HOLD", "Q_RESTRICTED")),
        };
        let killed = n == arguments.patients / 3;
        let away = n == 2 * arguments.patients / 3;
        if away {
            broker.kill();
        }
        let begun = Instant::now();
        told(&mut sender, "A01", &patient, &format!("{n}-a"))?;
        if state == "discharged" {
            told(&mut sender, "A03", &patient, &format!("{n}-d"))?;
        }
        acks.push(ms(Some(begun.elapsed())));
        if killed {
            // What was acknowledged is there, and comes to the other gateway when this one is back.
            one.gateway.kill();
            one.gateway.start();
            sender = Sender::begin(arguments.sender.as_deref(), one.port)?;
        }
        if away {
            broker.start();
        }
        let limit = if killed || away { START } else { BAR };
        for (ward, took) in [(&mut one, &mut here), (&mut two, &mut there)] {
            let known = ward.knows(&patient, state, limit);
            if !killed && !away {
                took.push(ms(known));
            }
            let (outcome, code) = ward.out(&patient);
            if (outcome.as_str(), code.as_str()) != expected {
                wrong.push(json!({ "patient": n, "gateway": ward.name, "state": state, "outcome": outcome, "code": code,
                    "killed": killed, "broker_away": away }));
            }
        }
    }
    // No name and no number lies in clear outside of the lists.
    let mut clear = Vec::new();
    for ward in [&one, &two] {
        let log = ward.gateway.log();
        clear.extend(["李四", "P-0001"].into_iter().filter(|word| log.contains(word)).map(str::to_owned));
        for name in ["journal.db", "journal.db-wal"] {
            let bytes = std::fs::read(ward.gateway.data().join(name)).unwrap_or_default();
            let found = |word: &str| bytes.windows(word.len()).any(|part| part == word.as_bytes());
            clear.extend(["李四"].into_iter().filter(|word| found(word)).map(str::to_owned));
        }
    }
    let most = |all: &[u64]| all.iter().copied().max().unwrap_or(0);
    let bar = ms(Some(BAR));
    let ok = wrong.is_empty() && clear.is_empty() && most(&here) <= bar && most(&there) <= bar;
    Ok(json!({ "ok": ok, "patients": arguments.patients, "sender": arguments.sender, "met_ms": ms(Some(met)),
        "acknowledged_ms_most": most(&acks), "door_ms_most": most(&here), "other_door_ms_most": most(&there),
        "baseline_ms": bar, "wrong": wrong, "in_clear": clear, "seed": 0 }))
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Err(Missing(why)) => {
            println!("{}", json!({ "ok": false, "could_not_run": why }));
            ExitCode::from(2)
        }
        Ok(figures) => {
            println!("{figures}");
            if figures["ok"] == true { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}
