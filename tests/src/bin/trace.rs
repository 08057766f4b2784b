//! How long a gateway takes to say who was where, from a journal of millions of events.

use clap::Parser;
use kakou_core::event::{Author, Class, NewEvent};
use kakou_core::ids::{GatewayId, LaneId, SiteId};
use kakou_core::time::{Now, Quality};
use kakou_gateway::store::journal::{self, Journal};
use kakou_gateway::store::trace::{self, Of};
use kakou_tests::figures::{Missing, finish, percentiles, round, say};
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use std::time::Instant;

/// Asks a large journal.
#[derive(Parser)]
struct Arguments {
    /// Events in the journal.
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    /// Which subjects are asked for follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

/// A local answer takes at most this.
const ANSWER_MS: f64 = 50.0;
const SUBJECTS: u64 = 100_000;
const LANES: u64 = 8;
const START_MS: i64 = 1_650_000_000_000;

fn main() -> ExitCode {
    finish(run(&Arguments::parse()))
}

fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let folder = tempfile::tempdir()?;
    let author = Author { site: SiteId::new("test")?, gateway: GatewayId::new("gw-1")?, boot: "b".into() };
    let (mut journal, ..) = Journal::open(folder.path(), author)?;
    // The disk's patience is not what is measured here.
    journal.connection().pragma_update(None, "synchronous", "OFF")?;
    journal.connection().pragma_update(None, "cache_size", -262_144)?;
    journal.begin()?;
    for n in 0..a.rows {
        // Subjects and lanes are spread over the whole journal, as people are over weeks.
        let subject = n.wrapping_mul(0x9e37_79b9) % SUBJECTS;
        let data = json!({ "outcome": "ADMIT", "codes": ["OK"], "subject": format!("{subject:032x}") });
        let lane = Some(LaneId::new(format!("lane-{}", n % LANES))?);
        let event = NewEvent {
            kind: "transaction".into(),
            class: Class::Verdict,
            lane,
            visit: None,
            audience: vec![],
            data,
        };
        let wall_ms = Some(START_MS + i64::try_from(n)? * 100);
        journal.append(&event, &Now { mono_ms: n, wall_ms, quality: Quality::Synced })?;
        if n % 50_000 == 49_999 {
            journal.commit()?;
            journal.wal_checkpoint()?;
            journal.begin()?;
            if n % 1_000_000 == 999_999 {
                say(begun, &format!("{} events", n + 1));
            }
        }
    }
    journal.commit()?;
    journal.wal_checkpoint()?;
    drop(journal);
    let end_ms = START_MS + i64::try_from(a.rows)? * 100;
    let mut figures = Map::new();
    let mut short = Vec::new();
    let file = std::fs::metadata(journal::path(folder.path()))?.len();
    figures.insert("seed".into(), json!(a.seed));
    figures.insert("rows".into(), json!(a.rows));
    figures.insert("journal_mb".into(), json!(file >> 20));
    for (name, of_lane) in [("subject", false), ("lane", true)] {
        let (mut times, mut rows) = (Vec::new(), 0);
        for n in 0..200_u64 {
            let draw = (n + a.seed).wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
            let (subject, lane) = (format!("{:032x}", draw % SUBJECTS), format!("lane-{}", draw % LANES));
            let from = START_MS + i64::try_from(draw)? % (end_ms - START_MS);
            let from_clock = Instant::now();
            // As the gateway answers: a reader of its own, opened for the question.
            let reader = journal::reader(folder.path())?;
            let found = if of_lane {
                trace::find(&reader, Of::Lane(&lane), from, from + 3_600_000)?
            } else {
                trace::find(&reader, Of::Subjects(&[subject]), START_MS, end_ms)?
            };
            times.push(from_clock.elapsed());
            rows += found.0.len();
        }
        let slowest = times.iter().max().copied().unwrap_or_default().as_secs_f64() * 1e3;
        let (p50, p99) = percentiles(times);
        say(begun, &format!("{name}: p50 {p50:.0} us, slowest {slowest:.1} ms, {rows} rows"));
        figures.insert(format!("{name}_p50_ms"), json!(round(p50 / 1e3)));
        figures.insert(format!("{name}_p99_ms"), json!(round(p99 / 1e3)));
        figures.insert(format!("{name}_slowest_ms"), json!(round(slowest)));
        figures.insert(format!("{name}_rows"), json!(rows));
        if slowest > ANSWER_MS {
            short.push(format!("an answer about a {name} takes {slowest:.1} ms, at most {ANSWER_MS}"));
        }
    }
    // What any question costs that looks at nothing: the open reader and one row.
    let mut bare = Vec::new();
    for _ in 0..50 {
        let from = Instant::now();
        let reader = journal::reader(folder.path())?;
        reader.query_row("SELECT body FROM event WHERE seq = 1", [], |r| r.get::<_, Vec<u8>>(0))?;
        bare.push(from.elapsed());
    }
    figures.insert("bare_reader_p50_ms".into(), json!(round(percentiles(bare).0 / 1e3)));
    Ok((figures, short))
}
