//! How far we agree with test data that somebody else published.
//!
//! `conformance hcert DIR [--through-lane] [--json]`: every case below DIR, each field that it has.

use clap::{Parser, ValueEnum};
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::daemon::{Gateway, Plan};
use kakou_tests::figures::{Missing, finish, say};
use kakou_tests::hcert_case::{Case, load};
use kakou_tests::profiles;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Agreement with published test data.
#[derive(Parser)]
struct Arguments {
    /// The kind of data.
    kind: Kind,
    /// The folder with the cases, at any depth.
    folder: PathBuf,
    /// Sends each code over a simulated scanner into a lane of a real daemon as well.
    #[arg(long)]
    through_lane: bool,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// EU Digital COVID Certificates.
    Hcert,
}

#[derive(Default)]
struct Tally {
    agree: u64,
    disagree: u64,
    excused: u64,
}

fn main() -> ExitCode {
    let a = Arguments::parse();
    finish(run(&a))
}

fn run(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let Kind::Hcert = a.kind;
    let begun = Instant::now();
    let cases = load(&a.folder).map_err(|e| Missing(format!("{}: {e}", a.folder.display())))?;
    if cases.is_empty() {
        return Err(Missing(format!("{}: no case with EXPECTEDRESULTS", a.folder.display())));
    }
    let mut fields: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut disagreements = Vec::new();
    for case in &cases {
        for j in case.judge() {
            let tally = fields.entry(j.field).or_default();
            match (j.expected == j.found, j.excuse) {
                (true, _) => tally.agree += 1,
                (false, Some(_)) => tally.excused += 1,
                (false, None) => tally.disagree += 1,
            }
            if j.expected != j.found {
                disagreements.push(json!({ "case": case.name, "field": j.field, "expected": j.expected,
                    "found": j.found, "excuse": j.excuse }));
            }
        }
    }
    let verify = fields.get("VERIFY").map_or(0, |t| t.disagree);
    let mut short = Vec::new();
    if verify > 0 {
        short.push(format!("VERIFY disagrees in {verify} cases without a written reason"));
    }
    let mut figures = Map::new();
    figures.insert("cases".into(), json!(cases.len()));
    let table: Map<String, Value> = fields
        .iter()
        .map(|(f, t)| {
            ((*f).to_owned(), json!({ "agree": t.agree, "disagree": t.disagree, "excused": t.excused }))
        })
        .collect();
    figures.insert("fields".into(), Value::Object(table));
    figures.insert("disagreements".into(), Value::Array(disagreements));
    if a.through_lane {
        let differing = through_lane(&cases, begun)?;
        if !differing.is_empty() {
            short.push(format!("{} cases end differently in a lane", differing.len()));
        }
        figures.insert(
            "through_lane".into(),
            json!({ "cases": cases.iter().filter(|c| c.code().is_some()).count(),
            "differing": differing }),
        );
    }
    figures.insert("seconds".into(), json!(begun.elapsed().as_secs()));
    Ok((figures, short))
}

/// Each code through a real daemon with the case's key and clock.
fn through_lane(cases: &[Case], begun: Instant) -> Result<Vec<Value>, Missing> {
    let mut differing = Vec::new();
    for (n, case) in cases.iter().enumerate() {
        let (Some(code), Some(verdict)) = (case.code(), case.verdict()) else { continue };
        let Some(clock) = case.clock_ms() else {
            // Without a clock a lane cannot be set to the case's time; the library says X_CLOCK.
            continue;
        };
        let expected = match &verdict {
            Ok(_) => "OK",
            Err(r) => r.code.as_str(),
        };
        let folder = tempfile::tempdir()?;
        let accepts = ["hcert-test", "hcert-vaccination", "hcert-recovery"];
        let profile = profiles::lane("conformance", &accepts, &[], "", false);
        std::fs::write(folder.path().join("profile.toml"), profile)?;
        let at = kakou_core::time::rfc3339(clock);
        let plan =
            Plan { clock: format!("[clock]\nsource = \"fixed\"\nfixed_at = \"{at}\""), ..Plan::default() };
        let mut gateway = Gateway::prepare(folder.path(), plan.lane("lane-1", "profile.toml", &["scanner"]));
        std::fs::write(gateway.lists().join("trust.json"), serde_json::to_vec(&case.trust_file())?)?;
        let mut scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1)?;
        gateway.start();
        scanner.scan(&code)?;
        let events = gateway.await_events("transaction", 1);
        let found = events[0]["data"]["codes"][0].as_str().unwrap_or_default().to_owned();
        if found != expected {
            differing.push(json!({ "case": case.name, "library": expected, "lane": found }));
        }
        if n % 20 == 0 {
            say(begun, &format!("through a lane: {n} of {}", cases.len()));
        }
    }
    Ok(differing)
}
