//! A gateway in a simulated world, from seeds: people, staff, devices, a broker that fails, power that goes at any write. The
//! same seed gives the same run on every machine.

use clap::{Parser, ValueEnum};
use kakou_tests::figures::{Missing, finish, round, say};
use kakou_tests::sim::patches::{self, Found, Garden, Patch};
use kakou_tests::sim::planted::Planted;
use kakou_tests::sim::{self, Failure, wide};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

/// Runs seeds; says which of them are not as they must be.
///
/// Without `--one-lane` each run is a gateway with lanes of any profiles that ship; with it, a gateway of one lane that is
/// known to the letter.
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
    /// How many lanes the gateway has.
    #[arg(long, default_value_t = 3, conflicts_with = "one_lane")]
    lanes: usize,
    /// All lanes have this profile; without it the seed draws them.
    #[arg(long, conflicts_with = "one_lane")]
    profile: Option<String>,
    /// Visits in an hour, at each lane.
    #[arg(long, default_value_t = 400, conflicts_with = "one_lane")]
    visits: u64,
    /// What does not go wrong.
    #[arg(long, value_delimiter = ',', conflicts_with = "one_lane")]
    without: Vec<wide::Fault>,
    /// One lane without staff, of which every verdict is foretold.
    #[arg(long)]
    one_lane: bool,
    /// The power goes at one write after another, and not at random ones.
    #[arg(long, requires = "one_lane")]
    sweep: bool,
    /// Breaks a part of the world, which must be found.
    #[arg(long, requires = "one_lane")]
    broken: Option<Planted>,
    /// Plants the bugs of `tests/planted` into a copy of the sources, one after another, or the one of this name; each must
    /// be found.
    #[arg(long, num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["one_lane", "seed", "trace"])]
    planted: Option<String>,
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

/// What all runs were.
#[derive(Default)]
struct Sum {
    good: u64,
    failed: Vec<Failure>,
    simulated_ms: u64,
    steps: u64,
    counts: BTreeMap<&'static str, u64>,
    hashes: String,
    last: Map<String, Value>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    finish(match &arguments.planted {
        Some(name) => planted(&arguments, name),
        None => all(&arguments),
    })
}

/// Plants bugs; the table of what was found.
fn planted(a: &Arguments, name: &str) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let mut patches = Patch::all().map_err(Missing)?;
    patches.retain(|patch| name.is_empty() || patch.name == name);
    if patches.is_empty() {
        return Err(Missing(format!("no patch is called {name}: see tests/planted")));
    }
    let below = patches::sources().join("target/planted");
    say(begun, &format!("{} bugs, in a copy of the sources at {}", patches.len(), below.display()));
    let garden = Garden::new(&below).map_err(|e| Missing(format!("{}: {e}", below.display())))?;
    let (mut table, mut short) = (Vec::new(), Vec::new());
    for patch in &patches {
        let sim = garden.build(patch).map_err(Missing)?;
        let found = patches::hunt(&sim, a.seeds, a.hours).map_err(Missing)?;
        let (by, said) = (&patch.found_by, &patch.breaks);
        match found {
            Some(Found { world, seed, step, why }) => {
                say(begun, &format!("{}: {world}, seed {seed}, step {step}: {why}", patch.name));
                table.push(json!({ "bug": patch.name, "breaks": said, "invariants": by, "found": true,
                    "world": world, "seed": seed, "step": step, "why": why }));
            }
            None => {
                say(begun, &format!("{}: found by none of {} seeds", patch.name, a.seeds));
                table.push(json!({ "bug": patch.name, "breaks": said, "invariants": by, "found": false }));
                short.push(format!("{}: {said}: found by none of {} seeds", patch.name, a.seeds));
            }
        }
    }
    let figures = json!({ "planted": patches.len(), "found": patches.len() - short.len(), "hours_per_seed": a.hours,
        "table": table });
    Ok((figures.as_object().cloned().unwrap_or_default(), short))
}

impl Sum {
    fn adds(&mut self, run: (u64, u64, String), counts: &[(&'static str, u64)], figures: Value) {
        let (simulated_ms, steps, hash) = run;
        self.good += 1;
        self.simulated_ms += simulated_ms;
        self.steps += steps;
        self.hashes.push_str(&hash);
        for (name, n) in counts {
            *self.counts.entry(name).or_default() += n;
        }
        self.last = figures.as_object().cloned().unwrap_or_default();
    }
}

/// What a run of a gateway with lanes of any profiles does.
fn site(a: &Arguments) -> wide::Plan {
    wide::Plan {
        hours: a.hours,
        lanes: a.lanes,
        profile: a.profile.clone(),
        visits_per_hour: a.visits,
        without: a.without.iter().copied().collect(),
        until: a.until,
        print: a.trace,
    }
}

/// How to see a failing seed again. Where somebody looks at that seed alone, with as little as fails as well.
fn again(a: &Arguments, failure: &Failure) -> String {
    let seed = failure.seed;
    if a.one_lane || a.until.is_some() || a.trace {
        let which = if a.one_lane { " --one-lane" } else { "" };
        return format!("again: --seed {seed} --hours {}{which} --trace", a.hours);
    }
    if a.seed.is_none() || a.json {
        return format!("again, with as little as fails so: --seed {seed} --hours {}", a.hours);
    }
    let (plan, found) = wide::shrink(seed, &site(a), failure);
    let without: Vec<String> =
        plan.without.iter().filter_map(|f| Some(f.to_possible_value()?.get_name().to_owned())).collect();
    let without =
        if without.is_empty() { String::new() } else { format!(" --without {}", without.join(",")) };
    let wide::Plan { hours, lanes, visits_per_hour, .. } = plan;
    let profile = plan.profile.map(|p| format!(" --profile {p}")).unwrap_or_default();
    let Failure { step, at_ms, why, .. } = found;
    format!(
        "the shortest that fails so, at step {step}, {at_ms} ms: {why}\nagain: --seed {seed} --hours {hours} --lanes {lanes} \
         --visits {visits_per_hour}{profile}{without} --trace"
    )
}

fn one(a: &Arguments, seed: u64, sum: &mut Sum) -> Result<(), Failure> {
    if a.one_lane {
        let plan =
            sim::Plan { hours: a.hours, until: a.until, print: a.trace, sweep: a.sweep, planted: a.broken };
        let f = sim::run(seed, &plan)?;
        let counts = [
            ("commits", f.disk.commits),
            ("cuts", f.disk.cuts),
            ("cuts_in_between", f.disk.cuts_in_between),
            ("admitted", f.admitted),
            ("events", f.events),
        ];
        sum.adds((f.simulated_ms, f.steps, f.hash.clone()), &counts, Value::Object(f.json()));
        return Ok(());
    }
    let f = wide::run(seed, &site(a))?;
    let counts = [
        ("visits", f.visits),
        ("opened", f.opened),
        ("events", f.kinds.values().sum()),
        ("lives", f.lives),
        ("searched_bytes", f.searched),
    ];
    sum.adds((f.simulated_ms, f.steps, f.hash.clone()), &counts, f.json());
    Ok(())
}

fn all(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let seeds = a.seed.map_or(a.first..a.first + a.seeds, |seed| seed..seed + 1);
    let mut sum = Sum::default();
    for seed in seeds {
        match one(a, seed, &mut sum) {
            Ok(()) => {}
            // Nothing has happened yet: it could not be run.
            Err(Failure { step: 0, why, .. }) => return Err(Missing(why)),
            Err(failure) => {
                say(begun, &failure.to_string());
                say(begun, &again(a, &failure));
                sum.failed.push(failure);
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let hours = sum.simulated_ms as f64 / 3_600_000.0;
    let mut figures = if sum.good == 1 && sum.failed.is_empty() { sum.last } else { Map::new() };
    let hash = kakou_core::evidence::Hash::of(sum.hashes.as_bytes()).hex();
    let hash = figures.get("hash").and_then(Value::as_str).map_or(hash, str::to_owned);
    let failed: Vec<u64> = sum.failed.iter().map(|f| f.seed).collect();
    let failures =
        sum.failed.iter().map(|f| json!({ "seed": f.seed, "step": f.step, "at_ms": f.at_ms, "why": f.why }));
    let failures: Vec<Value> = failures.collect();
    let all = json!({ "failures": failures, "seeds": sum.good + failed.len() as u64, "simulated_hours": round(hours),
        "hours_per_s": round(hours / seconds), "steps": sum.steps, "failed_seeds": failed, "hash": hash });
    figures.extend(all.as_object().cloned().unwrap_or_default());
    figures.extend(sum.counts.into_iter().map(|(name, n)| (name.to_owned(), json!(n))));
    let short = sum.failed.iter().map(|f| format!("seed {}: {}", f.seed, f.why)).collect();
    Ok((figures, short))
}
