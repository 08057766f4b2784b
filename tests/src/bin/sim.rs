//! A gateway in a simulated world, from seeds: people, staff, devices, a broker that fails, power that goes at any write. The
//! same seed gives the same run on every machine.

use clap::{Parser, ValueEnum};
use kakou_tests::figures::{Missing, finish, round, say};
use kakou_tests::sim::patches::switch::can_be_switched;
use kakou_tests::sim::patches::{self, Found, Garden, Patch};
use kakou_tests::sim::planted::Planted;
use kakou_tests::sim::{self, Failure, wide};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Between two words of a long run.
const TELL: Duration = Duration::from_secs(30);

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
    /// So many runs beside each other; the figures are the same, but for the time that they take.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// No more seeds begin after so many seconds; with seeds without end until then.
    #[arg(long, conflicts_with_all = ["seed", "seeds", "planted"])]
    seconds: Option<u64>,
    /// For how many simulated hours people come, in each run.
    #[arg(long, default_value_t = 1.0)]
    hours: f64,
    /// How many lanes the gateway has.
    #[arg(long, default_value_t = 3, conflicts_with = "one_lane")]
    lanes: usize,
    /// A second gateway stands at the site: they share lists and registers, and the same people come to both.
    #[arg(long, conflicts_with = "one_lane")]
    pair: bool,
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
    /// Plants the bugs of `tests/planted` into a copy of the sources, or the one of this name; each must be found.
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

/// What a run was.
struct Run {
    simulated_ms: u64,
    steps: u64,
    hash: String,
    counts: Vec<(&'static str, u64)>,
    figures: Map<String, Value>,
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
    let (switched, alone): (Vec<&Patch>, Vec<&Patch>) = patches.iter().partition(|p| can_be_switched(p));
    let sim = garden.build("all", &switched, true).map_err(Missing)?;
    say(begun, &format!("built: {} bugs behind switches", switched.len()));
    let mut own = BTreeMap::new();
    for patch in alone {
        own.insert(patch.name.as_str(), garden.build(&patch.name, &[patch], false).map_err(Missing)?);
        say(begun, &format!("built: {} alone", patch.name));
    }
    // What a world finds in which none of them counts says nothing of a bug.
    if let Some(found) = patches::hunt(&sim, None, a.seeds, a.hours).map_err(Missing)? {
        return Err(Missing(format!("without a bug: {}", told(Some(&found), a.seeds))));
    }
    say(begun, &format!("without a bug: {}", told(None, a.seeds)));
    let next = AtomicUsize::new(0);
    let hunts = std::thread::scope(|scope| {
        let hunt = || {
            let mut done = Vec::new();
            while let Some((n, patch)) = patches.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed))
            {
                let sim = own.get(patch.name.as_str()).unwrap_or(&sim);
                let found = patches::hunt(sim, Some(&patch.name), a.seeds, a.hours);
                if let Ok(found) = &found {
                    say(begun, &format!("{}: {}", patch.name, told(found.as_ref(), a.seeds)));
                }
                done.push((n, found));
            }
            done
        };
        let all: Vec<_> = (0..a.jobs.max(1)).map(|_| scope.spawn(hunt)).collect();
        let done = all.into_iter().map(|hunter| hunter.join().map_err(|_| "a hunt fell over".to_owned()));
        done.collect::<Result<Vec<_>, String>>()
    });
    let mut hunts: Vec<_> = hunts.map_err(Missing)?.into_iter().flatten().collect();
    hunts.sort_by_key(|(n, _)| *n);
    let found: Result<Vec<Option<Found>>, String> = hunts.into_iter().map(|(_, found)| found).collect();
    let found = found.map_err(Missing)?;
    let (mut table, mut short) = (Vec::new(), Vec::new());
    for (patch, found) in patches.iter().zip(found) {
        let mut row = json!({ "bug": patch.name, "breaks": patch.breaks, "invariants": patch.found_by,
            "found": found.is_some() });
        match found {
            Some(Found { world, seed, step, why }) => {
                row["world"] = json!(world);
                row["seed"] = json!(seed);
                row["step"] = json!(step);
                row["why"] = json!(why);
            }
            None => short.push(format!("{}: {}: {}", patch.name, patch.breaks, told(None, a.seeds))),
        }
        table.push(row);
    }
    let figures = json!({ "planted": patches.len(), "found": patches.len() - short.len(), "hours_per_seed": a.hours,
        "minutes": round(begun.elapsed().as_secs_f64() / 60.0), "table": table });
    Ok((figures.as_object().cloned().unwrap_or_default(), short))
}

fn told(found: Option<&Found>, seeds: u64) -> String {
    match found {
        Some(Found { world, seed, step, why }) => format!("{world}, seed {seed}, step {step}: {why}"),
        None => format!("found by none of {seeds} seeds"),
    }
}

impl Sum {
    fn adds(&mut self, run: Run) {
        self.good += 1;
        self.simulated_ms += run.simulated_ms;
        self.steps += run.steps;
        self.hashes.push_str(&run.hash);
        for (name, n) in run.counts {
            *self.counts.entry(name).or_default() += n;
        }
        self.last = run.figures;
    }

    fn hours(&self) -> f64 {
        self.simulated_ms as f64 / 3_600_000.0
    }
}

/// What a run of a gateway with lanes of any profiles does.
fn site(a: &Arguments) -> wide::Plan {
    wide::Plan {
        hours: a.hours,
        lanes: a.lanes,
        pair: a.pair,
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
        let which = match (a.one_lane, a.pair) {
            (true, _) => " --one-lane",
            (false, true) => " --pair",
            (false, false) => "",
        };
        return format!("again: --seed {seed} --hours {}{which} --trace", a.hours);
    }
    if a.seed.is_none() || a.json {
        let pair = if a.pair { " --pair" } else { "" };
        return format!("again, with as little as fails so: --seed {seed} --hours {}{pair}", a.hours);
    }
    let (plan, found) = wide::shrink(seed, &site(a), failure);
    let without: Vec<String> =
        plan.without.iter().filter_map(|f| Some(f.to_possible_value()?.get_name().to_owned())).collect();
    let without =
        if without.is_empty() { String::new() } else { format!(" --without {}", without.join(",")) };
    let wide::Plan { hours, lanes, visits_per_hour, .. } = plan;
    let pair = if plan.pair { " --pair" } else { "" };
    let profile = plan.profile.map(|p| format!(" --profile {p}")).unwrap_or_default();
    let Failure { step, at_ms, why, .. } = found;
    format!(
        "the shortest that fails so, at step {step}, {at_ms} ms: {why}\nagain: --seed {seed} --hours {hours} --lanes {lanes} \
         --visits {visits_per_hour}{profile}{without}{pair} --trace"
    )
}

fn one(a: &Arguments, seed: u64) -> Result<Run, Failure> {
    if a.one_lane {
        let plan =
            sim::Plan { hours: a.hours, until: a.until, print: a.trace, sweep: a.sweep, planted: a.broken };
        let f = sim::run(seed, &plan)?;
        let counts = vec![
            ("commits", f.disk.commits),
            ("cuts", f.disk.cuts),
            ("cuts_in_between", f.disk.cuts_in_between),
            ("admitted", f.admitted),
            ("events", f.events),
        ];
        let (simulated_ms, steps, figures) = (f.simulated_ms, f.steps, f.json());
        return Ok(Run { simulated_ms, steps, hash: f.hash, counts, figures });
    }
    let f = wide::run(seed, &site(a))?;
    let counts = vec![
        ("visits", f.visits),
        ("opened", f.opened),
        ("events", f.kinds.values().sum()),
        ("lives", f.lives),
        ("searched_bytes", f.searched),
    ];
    let figures = f.json().as_object().cloned().unwrap_or_default();
    Ok(Run { simulated_ms: f.simulated_ms, steps: f.steps, hash: f.hash, counts, figures })
}

/// Runs all seeds, some beside each other; what they were comes in the order of the seeds, whoever ends first.
fn each(
    a: &Arguments,
    begun: Instant,
    take: &mut dyn FnMut(Result<Run, Failure>) -> Result<(), Missing>,
) -> Result<(), Missing> {
    let first = a.seed.unwrap_or(a.first);
    let end = if a.seed.is_some() { first + 1 } else { first + a.seconds.map_or(a.seeds, |_| u64::MAX / 2) };
    let over = || a.seconds.is_some_and(|most| begun.elapsed().as_secs() >= most);
    let (next, stop) = (AtomicU64::new(first), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (done, runs) = mpsc::channel();
        for _ in 0..a.jobs.max(1) {
            let (done, next, stop) = (done.clone(), &next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) && !over() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || done.send((seed, one(a, seed))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        let (mut waits, mut due) = (BTreeMap::new(), first);
        for (seed, run) in runs {
            waits.insert(seed, run);
            while let Some(run) = waits.remove(&due) {
                due += 1;
                take(run).inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
            }
        }
        Ok(())
    })
}

fn all(a: &Arguments) -> Result<(Map<String, Value>, Vec<String>), Missing> {
    let begun = Instant::now();
    let (mut sum, mut told) = (Sum::default(), Instant::now());
    each(a, begun, &mut |run| {
        match run {
            Ok(run) => sum.adds(run),
            // Nothing has happened yet: it could not be run.
            Err(Failure { step: 0, why, .. }) => return Err(Missing(why)),
            Err(failure) => {
                say(begun, &failure.to_string());
                say(begun, &again(a, &failure));
                sum.failed.push(failure);
            }
        }
        if told.elapsed() > TELL {
            told = Instant::now();
            let (seeds, hours) = (sum.good + sum.failed.len() as u64, sum.hours());
            say(begun, &format!("{seeds} seeds, {hours:.1} simulated hours, {} failed", sum.failed.len()));
        }
        Ok(())
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let hours = sum.hours();
    let mut figures = if sum.good == 1 && sum.failed.is_empty() { sum.last } else { Map::new() };
    let hash = kakou_core::evidence::Hash::of(sum.hashes.as_bytes()).hex();
    let hash = figures.get("hash").and_then(Value::as_str).map_or(hash, str::to_owned);
    let failed: Vec<u64> = sum.failed.iter().map(|f| f.seed).collect();
    let failures =
        sum.failed.iter().map(|f| json!({ "seed": f.seed, "step": f.step, "at_ms": f.at_ms, "why": f.why }));
    let failures: Vec<Value> = failures.collect();
    let seeds = sum.good + failed.len() as u64;
    let all = json!({ "failures": failures, "first_seed": a.seed.unwrap_or(a.first), "seeds": seeds,
        "simulated_hours": round(hours), "hours_per_s": round(hours / seconds), "jobs": a.jobs, "steps": sum.steps,
        "failed_seeds": failed, "hash": hash });
    figures.extend(all.as_object().cloned().unwrap_or_default());
    figures.extend(sum.counts.into_iter().map(|(name, n)| (name.to_owned(), json!(n))));
    let short = sum.failed.iter().map(|f| format!("seed {}: {}", f.seed, f.why)).collect();
    Ok((figures, short))
}
