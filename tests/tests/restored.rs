//! The store of the central side is replaced by an older or an empty one, while gateways work: with the daemons, the
//! consumer, the broker's access list and the database that ship.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_core::event::Class;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_gateway::store::outbox;
use kakou_tests::brokers::{Mosquitto, installed, skip_without};
use kakou_tests::central::Ingest;
use kakou_tests::daemon::Gateway;
use kakou_tests::fleet::{self, Central};
use kakou_tests::postgres::{self, Postgres};
use kakou_tests::{profiles, wait};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the central side promises after its store was replaced; the machine of a test may be slow on top.
const PROMISE: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(60);
const GATEWAYS: [&str; 3] = ["gw-1", "gw-2", "gw-3"];

struct Gate {
    name: &'static str,
    gateway: Gateway,
    scanner: ScannerSim,
    played: u32,
    /// Each event that its journal ever had: class and number in its stream, and its bytes.
    written: BTreeMap<(i16, i64), Vec<u8>>,
}

impl Gate {
    fn new(central: &Central, name: &'static str, more: &str) -> Self {
        let gate = profiles::lane("gate", &["opaque"], &["status"], "", false);
        let (place, mut plan) = central.plan(name, &[("gate", gate)]);
        plan.tables = plan.tables.replace("\"puback\"", "\"receipt\"") + more;
        plan.http = true;
        let plan = plan.lane("lane-1", "gate.toml", &["scanner"]);
        let mut gateway = Gateway::prepare(&place, plan);
        let scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
        gateway.start();
        Self { name, gateway, scanner, played: 0, written: BTreeMap::new() }
    }

    /// What the journal has at this moment.
    fn note(&mut self) -> BTreeSet<(i16, i64)> {
        let journal = self.gateway.journal();
        let mut select = journal.prepare("SELECT class, stream_seq, body FROM event WHERE shed = 0").unwrap();
        let rows = select.query_map([], |r| Ok(((r.get(0)?, r.get(1)?), r.get::<_, Vec<u8>>(2)?))).unwrap();
        let now: Vec<_> = rows.map(Result::unwrap).collect();
        let there = now.iter().map(|(key, _)| *key).collect();
        self.written.extend(now);
        there
    }

    /// So many people show a code.
    fn visits(&mut self, count: u32) {
        for _ in 0..count {
            self.note();
            self.played += 1;
            let before = outbox::head(&self.gateway.journal(), Class::Verdict).unwrap();
            self.scanner.scan(&format!("ID-{}", self.played)).unwrap();
            wait::until("a verdict", LIMIT, || {
                (outbox::head(&self.gateway.journal(), Class::Verdict).unwrap() > before).then_some(())
            });
        }
        self.note();
    }

    /// Whether all of it is receipted.
    fn is_receipted(&self) -> bool {
        let journal = self.gateway.journal();
        Class::ALL.iter().all(|class| {
            let (_, receipted) = outbox::progress(&journal, *class).unwrap();
            receipted >= outbox::head(&journal, *class).unwrap()
        })
    }

    fn counter(&self, name: &str) -> u64 {
        let status = wait::until("the status", LIMIT, || {
            let text = ureq::get(self.gateway.url("/api/v1/status"))
                .call()
                .ok()?
                .body_mut()
                .read_to_string()
                .ok()?;
            serde_json::from_str::<Value>(&text).ok()
        });
        status["counters"][name].as_u64().unwrap_or(0)
    }
}

/// What a central side has: the events of each gateway by class and number, what is on record as lost, and how far
/// streams are complete.
#[derive(Default)]
struct Stored {
    events: BTreeMap<(i16, i64), Vec<u8>>,
    gone: BTreeSet<(i16, i64)>,
}

impl Stored {
    /// Each event that a gateway still has is here, byte for byte; each that neither has is on record as lost; and
    /// nothing else is. Gives how many are lost.
    fn compare(&self, gate: &mut Gate) -> usize {
        let still = gate.note();
        for (key, body) in &gate.written {
            match self.events.get(key) {
                Some(there) => {
                    assert!(there == body, "{} {key:?} is another event", gate.name);
                    assert!(!self.gone.contains(key), "{} {key:?} is there and on record as lost", gate.name);
                }
                None => {
                    assert!(!still.contains(key), "{} has {key:?}\n{}", gate.name, gate.gateway.log());
                    assert!(self.gone.contains(key), "{} {key:?} is missing without a word", gate.name);
                }
            }
        }
        let never = self.gone.iter().find(|key| !gate.written.contains_key(key));
        assert!(never.is_none(), "{}: {never:?} is on record as lost and never was", gate.name);
        self.gone.len()
    }

    /// Whether all is here or on record, up to the head of each stream.
    fn is_whole(&self, gate: &Gate) -> bool {
        let journal = gate.gateway.journal();
        Class::ALL.iter().all(|class| {
            let head = outbox::head(&journal, *class).unwrap().cast_signed();
            let number = i16::from(class.number());
            (1..=head)
                .all(|seq| self.events.contains_key(&(number, seq)) || self.gone.contains(&(number, seq)))
        })
    }
}

fn start() -> (tempfile::TempDir, Mosquitto, Central, Vec<Gate>) {
    let folder = tempfile::tempdir().unwrap();
    let (broker, central) = fleet::open(folder.path(), &GATEWAYS, &["feed"]);
    // The last of three keeps nothing that is receipted.
    let more = ["", "", "[retention]\nkeep_days = 0\n"];
    let gates = GATEWAYS.iter().zip(more).map(|(name, more)| Gate::new(&central, name, more)).collect();
    (folder, broker, central, gates)
}

/// Waits until it is all there and receipted; gives how many are lost of each.
fn await_whole(gates: &mut [Gate], limit: Duration, stored: impl Fn(&str) -> Stored) -> Vec<usize> {
    let whole = |gate: &Gate| stored(gate.name).is_whole(gate) && gate.is_receipted();
    let end = Instant::now() + limit;
    for gate in &mut *gates {
        let left = end.saturating_duration_since(Instant::now());
        let done = wait::try_until(left, || whole(gate).then_some(()));
        assert!(done.is_some(), "{}: not all is there\n{}", gate.name, gate.gateway.log());
    }
    gates.iter_mut().map(|gate| stored(gate.name).compare(gate)).collect()
}

/// Waits until the last gateway has purged most of its visits.
fn await_purge(gate: &mut Gate) {
    wait::until("the purge", LIMIT, || {
        let there = gate.note();
        let verdicts = gate.written.keys().filter(|(class, _)| *class == 0);
        (verdicts.filter(|key| !there.contains(key)).count() > 5).then_some(())
    });
}

/// How often each gateway was told that the central side has less than before.
fn told(gates: &[Gate]) -> Vec<u64> {
    gates.iter().map(|gate| gate.counter("central_went_back_total")).collect()
}

struct Base {
    runtime: tokio::runtime::Runtime,
    server: Postgres,
}

impl Base {
    /// A command to the server. Whoever was there a moment ago may still be on the way out.
    fn sql(&self, sql: &str) {
        wait::until(sql, LIMIT, || {
            self.runtime.block_on(async {
                let client = self.server.look().await.ok()?;
                client.batch_execute(sql).await.ok()
            })
        });
    }

    /// What is stored; nothing, while there are no tables.
    fn stored(&self, gateway: &str) -> Stored {
        self.runtime.block_on(async {
            let Ok(client) = self.server.look_at("fleet").await else { return Stored::default() };
            let sql = "SELECT stream, stream_seq, body::text FROM event WHERE gateway = $1";
            let Ok(rows) = client.query(sql, &[&gateway]).await else { return Stored::default() };
            let text = |r: &tokio_postgres::Row| r.get::<_, String>(2).into_bytes();
            let events = rows.iter().map(|r| ((r.get(0), r.get(1)), text(r))).collect();
            let sql = "SELECT stream, from_seq, to_seq FROM gap WHERE gateway = $1";
            let rows = client.query(sql, &[&gateway]).await.unwrap();
            let gap = |r: &tokio_postgres::Row| {
                let stream: i16 = r.get(0);
                (r.get::<_, i64>(1)..=r.get::<_, i64>(2)).map(move |seq| (stream, seq))
            };
            Stored { events, gone: rows.iter().flat_map(gap).collect() }
        })
    }
}

#[test]
fn a_database_of_a_day_before_and_an_empty_one_get_all_that_gateways_still_have_and_name_the_rest() {
    let there = installed().is_some() && postgres::installed().is_some();
    if skip_without("mosquitto and postgresql", there) {
        return;
    }
    let (_folder, _broker, central, mut gates) = start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let base = Base { runtime, server: Postgres::start().unwrap() };
    base.sql("CREATE DATABASE fleet");
    let at = central.arguments("central");
    let at: Vec<&str> = at.iter().map(String::as_str).collect();
    let mut ingest = Ingest::of(&at, &base.server.url_of("kakou", "fleet"), "ingest", &[]);
    ingest.start().unwrap();
    gates.iter_mut().for_each(|gate| gate.visits(4));
    assert_eq!(await_whole(&mut gates, LIMIT, |name| base.stored(name)), [0, 0, 0]);
    ingest.kill();
    base.sql("CREATE DATABASE before TEMPLATE fleet");
    ingest.start().unwrap();
    gates.iter_mut().for_each(|gate| gate.visits(4));
    assert_eq!(await_whole(&mut gates, LIMIT, |name| base.stored(name)), [0, 0, 0]);
    await_purge(&mut gates[2]);
    assert_eq!(told(&gates), [0, 0, 0], "nothing was replaced yet");

    // It is replaced by that of a day before, while all three work.
    ingest.kill();
    base.sql("DROP DATABASE fleet");
    base.sql("CREATE DATABASE fleet TEMPLATE before");
    gates.iter_mut().for_each(|gate| gate.visits(1));
    ingest.start().unwrap();
    gates.iter_mut().for_each(|gate| gate.visits(1));
    let lost = await_whole(&mut gates, PROMISE, |name| base.stored(name));
    assert!(lost[..2] == [0, 0] && lost[2] > 0, "{lost:?}");

    // And under the consumer by an empty one; at one of the gates nobody comes by.
    base.sql("DROP DATABASE fleet WITH (FORCE)");
    gates[0].visits(1);
    base.sql("CREATE DATABASE fleet");
    gates[2].visits(2);
    let lost = await_whole(&mut gates, PROMISE, |name| base.stored(name));
    assert!(lost[..2] == [0, 0] && lost[2] > 5, "{lost:?}");
    // Each stream was sent again once each time, and no more.
    let most = 2 * u64::try_from(Class::ALL.len()).unwrap();
    let told = told(&gates);
    assert!(told.iter().all(|n| (2..=most).contains(n)), "{told:?}");
    let conflicts = base.runtime.block_on(async {
        let client = base.server.look_at("fleet").await.unwrap();
        client.query_one("SELECT count(*) FROM conflict", &[]).await.unwrap().get::<_, i64>(0)
    });
    assert_eq!(conflicts, 0);
}

/// What a file has.
fn in_file(out: &Path, gateway: &str) -> Stored {
    let mut stored = Stored::default();
    let class = |word: &Value| {
        let class = Class::ALL.iter().find(|c| c.as_str() == word).unwrap();
        i16::from(class.number())
    };
    let lines = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    for line in lines(out.to_path_buf()).lines() {
        let told: Value = serde_json::from_str(line).unwrap();
        if told["gateway"] == gateway {
            let (_, event) = line.split_once("\"event\":").unwrap();
            let seq = told["event"]["streamseq"].as_i64().unwrap();
            let bytes = event.strip_suffix('}').unwrap().as_bytes().to_vec();
            stored.events.insert((class(&told["event"]["stream"]), seq), bytes);
        }
    }
    for line in lines(out.with_extension("lost")).lines() {
        let gone: Value = serde_json::from_str(line).unwrap();
        if gone["gateway"] == gateway {
            let (first, last) = (gone["from_seq"].as_i64().unwrap(), gone["to_seq"].as_i64().unwrap());
            stored.gone.extend((first..=last).map(|seq| (class(&gone["stream"]), seq)));
        }
    }
    stored
}

#[test]
fn a_file_that_was_lost_gets_all_that_gateways_still_have_and_names_the_rest() {
    if skip_without("mosquitto", installed().is_some()) {
        return;
    }
    let (folder, _broker, central, mut gates) = start();
    let at = central.arguments("central");
    let at: Vec<&str> = at.iter().map(String::as_str).collect();
    let out = folder.path().join("events");
    let mut listen = Ingest::to_file(&at, &out);
    listen.start().unwrap();
    gates.iter_mut().for_each(|gate| gate.visits(8));
    assert_eq!(await_whole(&mut gates, LIMIT, |name| in_file(&out, name)), [0, 0, 0]);
    await_purge(&mut gates[2]);
    listen.kill();
    std::fs::remove_file(&out).unwrap();
    listen.start().unwrap();
    gates[0].visits(1);
    let lost = await_whole(&mut gates, PROMISE, |name| in_file(&out, name));
    assert!(lost[..2] == [0, 0] && lost[2] > 5, "{lost:?}");
    // What is on record stays so.
    listen.kill();
    listen.start().unwrap();
    gates[2].visits(1);
    assert_eq!(await_whole(&mut gates, LIMIT, |name| in_file(&out, name)), lost);
}
