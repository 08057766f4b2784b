//! The simulation on fixed seeds. One that fails prints its seed and the end of its trace; `cargo run -p kakou-tests --bin
//! sim -- --seed N --trace` repeats it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_tests::sim::patches::{Patch, sources};
use kakou_tests::sim::planted::Planted;
use kakou_tests::sim::{Figures, Plan, run, wide};
use std::collections::BTreeSet;

/// Runs seeds beside each other.
fn runs(seeds: std::ops::Range<u64>, plan: &Plan) -> Vec<Figures> {
    std::thread::scope(|scope| {
        let run = |seed| scope.spawn(move || run(seed, plan).unwrap_or_else(|failure| panic!("{failure}")));
        let all: Vec<_> = seeds.map(run).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

/// Runs plans beside each other.
fn gateways(plans: &[(u64, wide::Plan)]) -> Vec<wide::Figures> {
    let next = std::sync::Mutex::new(plans.iter());
    std::thread::scope(|scope| {
        let work = || {
            let mut all = Vec::new();
            while let Some((seed, plan)) = { next.lock().unwrap().next() } {
                all.push(wide::run(*seed, plan).unwrap_or_else(|failure| panic!("{failure}")));
            }
            all
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

fn sum(of: &[Figures], what: fn(&Figures) -> u64) -> u64 {
    of.iter().map(what).sum()
}

#[test]
fn a_lane_keeps_its_promises_whatever_its_power_its_broker_and_people_do() {
    let all = runs(1..7, &Plan::hours(0.5));
    // It is worth nothing if nothing has happened.
    assert!(sum(&all, |f| f.opened) > 100 && sum(&all, |f| f.disk.cuts) > 40, "{all:#?}");
    assert!(sum(&all, |f| f.net.connections) > 60 && sum(&all, |f| f.duplicates) > 20, "{all:#?}");
    assert!(sum(&all, |f| f.purged) > 500 && sum(&all, |f| f.net.receipts_lost) > 0, "{all:#?}");
}

#[test]
fn the_power_may_go_at_each_write_of_a_visit() {
    let all = runs(101..103, &Plan { sweep: true, ..Plan::hours(1.5) });
    assert!(sum(&all, |f| f.disk.cuts_in_between) > 30, "{all:#?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let plan = Plan::hours(0.25);
    let (one, two) = (run(1, &plan).unwrap(), run(1, &plan).unwrap());
    assert_eq!(one, two);
    assert_ne!(one.hash, run(2, &plan).unwrap().hash);
}

#[test]
fn each_bug_that_is_planted_is_found() {
    let found = |planted| {
        let plan = Plan { planted: Some(planted), ..Plan::hours(0.5) };
        (1..12).find_map(|seed| run(seed, &plan).err())
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = Planted::ALL.iter().map(|bug| (bug, scope.spawn(|| found(*bug)))).collect();
        for (bug, found) in all {
            let found = found.join().unwrap();
            let failure = found.unwrap_or_else(|| panic!("{bug:?} is found by none of the seeds"));
            eprintln!("{bug:?}: seed {}, step {}: {}", failure.seed, failure.step, failure.why);
        }
    });
}

#[test]
fn a_gateway_with_lanes_of_any_profiles_keeps_its_promises() {
    let plans: Vec<_> = (1..7).map(|seed| (seed, wide::Plan::hours(0.12))).collect();
    let all = gateways(&plans);
    let count = |of: fn(&wide::Figures) -> u64| all.iter().map(of).sum::<u64>();
    // It is worth nothing if nothing has happened.
    assert!(count(|f| f.visits) > 350 && count(|f| f.opened) > 60 && count(|f| f.lives) > 8, "{all:#?}");
    let taken: BTreeSet<&str> = all.iter().flat_map(|f| f.acts.keys().map(String::as_str)).collect();
    for act in ["Form", "Override", "Confirm", "Recheck", "Aside", "Cancel", "Accept", "Start", "Enter"] {
        assert!(taken.contains(format!("{act}: taken").as_str()), "nobody did {act}: {taken:#?}");
    }
}

#[test]
fn two_gateways_of_a_site_know_in_the_end_what_each_of_them_has_done() {
    let pair = |profile: Option<&str>, hours| wide::Plan {
        lanes: 1,
        pair: true,
        profile: profile.map(str::to_owned),
        ..wide::Plan::hours(hours)
    };
    let trucks = pair(Some("transit-truck"), 0.2);
    let plans = [(2, trucks.clone()), (8, trucks), (2, pair(Some("ward-door"), 0.1)), (3, pair(None, 0.1))];
    let all = gateways(&plans);
    let told: u64 = all.iter().filter_map(|f| f.kinds.get("peer_conflict")).sum();
    assert!(told > 0, "nothing was used at both: {all:#?}");
}

#[test]
fn each_profile_that_ships_keeps_its_promises() {
    let alone =
        |profile: &str| wide::Plan { lanes: 1, profile: Some(profile.to_owned()), ..wide::Plan::hours(0.03) };
    let plans: Vec<_> = wide::places::profiles().into_iter().map(|profile| (7, alone(profile))).collect();
    for run in gateways(&plans) {
        assert!(run.visits > 3 && !run.outcomes.is_empty(), "{run:#?}");
    }
}

#[test]
fn the_figures_do_not_depend_on_how_many_runs_go_on_at_once() {
    let of = |jobs: &str| {
        let mut sim = std::process::Command::new(env!("CARGO_BIN_EXE_sim"));
        let out = sim.args(["--seeds", "4", "--hours", "0.02", "--jobs", jobs, "--json"]).output().unwrap();
        let mut figures: serde_json::Value =
            serde_json::from_slice(out.stdout.trim_ascii_end().split(|b| *b == b'\n').next_back().unwrap())
                .unwrap();
        for time in ["hours_per_s", "jobs"] {
            figures[time] = serde_json::Value::Null;
        }
        assert!(out.status.success() && figures["visits"].as_u64().unwrap() > 20, "{figures:#}");
        figures
    };
    assert_eq!(of("1"), of("3"));
}

#[test]
fn the_same_seed_is_the_same_gateway() {
    let plan = wide::Plan::hours(0.1);
    // At the second one a damaged journal is set aside.
    for seed in [5, 20] {
        assert_eq!(wide::run(seed, &plan).unwrap(), wide::run(seed, &plan).unwrap());
    }
}

#[test]
fn each_bug_that_is_planted_as_a_patch_can_still_be_planted() {
    let patches = Patch::all().unwrap();
    assert!(patches.len() >= 20, "{} patches", patches.len());
    let stale: Vec<String> = patches.iter().filter_map(|patch| patch.applies(&sources()).err()).collect();
    assert!(stale.is_empty(), "`/tests/planted` has patches for code that has changed: {stale:#?}");
}
