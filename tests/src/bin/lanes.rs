//! Every lane that ships: each scenario file on the core; the table of what profiles do and which scenario shows it; one
//! scenario for each outcome at the real daemon with simulated devices, and how long its decisions took; and that code
//! names no profile.

use clap::Parser;
use kakou_tests::figures::{Missing, finish, round, say};
use kakou_tests::lanes::real::Real;
use kakou_tests::lanes::{files, house, real, table, targets};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

/// Every rule, outcome, act of staff, stale mode, event and way without a phone of every shipped profile, each with a
/// scenario that shows it; every outcome also at the real daemon with simulated devices.
#[derive(Parser)]
struct Arguments {
    /// Plays on the core alone: no daemon is started, and no decision is timed.
    #[arg(long)]
    core: bool,
    /// Writes the table to gateway/docs/lanes-table.md.
    #[arg(long)]
    page: bool,
    /// Only this profile.
    #[arg(long)]
    profile: Option<String>,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

/// The 95th percentile of times.
fn p95(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times.get((times.len() * 95).div_ceil(100).saturating_sub(1)).copied().unwrap_or(0.0)
}

fn run(arguments: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let (played, wrong) = files::play_all()?;
    say(begun, &format!("{} scenario files hold, {} do not", played.len(), wrong.len()));
    let mut rows = table::rows(&played, arguments.profile.as_deref())?;
    let open = table::short(&rows);
    say(begun, &format!("{} cells, {} of them without a scenario", rows.len(), open.len()));
    let named = house::named(&files::profiles())?;
    let real = if arguments.core { Real::default() } else { real::run(begun, &rows, &played)? };
    let measured: BTreeMap<String, f64> =
        real.took_ms.iter().map(|(id, times)| (id.clone(), p95(times))).collect();
    table::at_the_daemon(&mut rows, &real.by);
    if arguments.page {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace is above");
        std::fs::write(root.join("gateway/docs/lanes-table.md"), table::page(&rows, &measured))?;
    }
    let mut short: Vec<String> = wrong.iter().map(|why| format!("scenario: {why}")).collect();
    short.extend(open.iter().map(|cell| format!("no scenario: {cell}")));
    short.extend(named.iter().map(|place| format!("named in code: {place}")));
    short.extend(real.open.iter().map(|cell| format!("not shown by the daemon: {cell}")));
    let mut decisions = Map::new();
    for (id, ms) in &measured {
        let target = targets::of(id).map_or(0, |target| target.as_millis());
        let count = real.took_ms.get(id).map_or(0, Vec::len);
        decisions
            .insert(id.clone(), json!({ "p95_ms": round(*ms), "target_ms": target, "decisions": count }));
        if *ms > target as f64 {
            short.push(format!("{id} decides within {ms:.0} ms, at most {target}"));
        }
    }
    let figures = json!({
        "profiles": files::profiles().len(), "scenarios": played.len(), "scenarios_wrong": wrong.len(),
        "cells": rows.len(), "cells_open": open.len(),
        "by_facts": rows.iter().filter(|row| row.by.as_deref() == Some(table::BY_FACTS)).count(), "columns": table::counts(&rows), "named_in_code": named.len(),
        "daemons": real.daemons, "at_the_daemon": real.by.len(), "daemon_open": real.open.len(),
        "verdicts_at_the_daemon": real.verdicts, "decisions": decisions,
        "seconds": begun.elapsed().as_secs(), "seed": 0, "baseline": "each cell has a scenario; targets of the lanes' rows",
    });
    Ok((figures.as_object().cloned().unwrap_or_default(), short))
}

fn main() -> ExitCode {
    finish(run(&Arguments::parse()))
}
