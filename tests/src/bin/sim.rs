//! A gateway in a simulated world, from seeds: people, devices, a broker that fails, power that goes at any write. The same
//! seed gives the same run on every machine.

use clap::Parser;
use kakou_tests::figures::{Missing, finish, round, say};
use kakou_tests::sim::planted::Planted;
use kakou_tests::sim::{Failure, Figures, Plan, run};
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use std::time::Instant;

/// Runs seeds; says which of them are not as they must be.
#[derive(Parser)]
struct Arguments {
    /// How many seeds, from the first.
    #[arg(long, default_value_t = 20)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// This seed alone.
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// For how many simulated hours people come, in each run.
    #[arg(long, default_value_t = 1.0)]
    hours: f64,
    /// The power goes at one write after another, and not at random ones.
    #[arg(long)]
    sweep: bool,
    /// Plants a bug, which must be found.
    #[arg(long)]
    planted: Option<Planted>,
    /// Prints what happens.
    #[arg(long)]
    trace: bool,
    /// Ends at this step.
    #[arg(long)]
    until: Option<u64>,
    /// One JSON object as the last line; it is always printed.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    finish(all(&Arguments::parse()))
}

fn all(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let plan = Plan { hours: a.hours, until: a.until, print: a.trace, sweep: a.sweep, planted: a.planted };
    let seeds = a.seed.map_or(a.first..a.first + a.seeds, |seed| seed..seed + 1);
    let (mut good, mut failed) = (Vec::new(), Vec::new());
    for seed in seeds {
        match run(seed, &plan) {
            Ok(figures) => good.push(figures),
            // Nothing has happened yet: it could not be run.
            Err(Failure { step: 0, why, .. }) => return Err(Missing(why)),
            Err(failure) => {
                say(begun, &failure.to_string());
                say(begun, &format!("again: --seed {seed} --hours {} --trace", a.hours));
                failed.push(failure);
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let sum = |of: fn(&Figures) -> u64| good.iter().map(of).sum::<u64>();
    let hours = sum(|f| f.simulated_ms) as f64 / 3_600_000.0;
    let hashes: String = good.iter().map(|f| f.hash.as_str()).collect();
    let hash = match good.as_slice() {
        [one] => one.hash.clone(),
        _ => kakou_core::evidence::Hash::of(hashes.as_bytes()).hex(),
    };
    let mut figures = match good.as_slice() {
        [one] => one.json(),
        _ => Map::new(),
    };
    let all = json!({ "seeds": good.len() + failed.len(), "simulated_hours": round(hours), "hours_per_s":
        round(hours / seconds), "commits": sum(|f| f.disk.commits), "cuts": sum(|f| f.disk.cuts),
        "cuts_in_between": sum(|f| f.disk.cuts_in_between), "steps": sum(|f| f.steps), "admitted":
        sum(|f| f.admitted), "events": sum(|f| f.events), "failed_seeds":
        failed.iter().map(|f| f.seed).collect::<Vec<_>>(), "hash": hash });
    figures.extend(all.as_object().cloned().unwrap_or_default());
    let short = failed.iter().map(|f| format!("seed {}: {}", f.seed, f.why)).collect();
    Ok((figures, short))
}
