//! A whole gateway in a simulated world: lanes of any profiles that ship, with everybody who comes, staff at their desks,
//! devices, central ops, and power that goes.
//!
//! The other run of [`super`] knows one lane to the letter; this one knows what must hold whatever the profile is
//! ([`truth`], [`foretold`], [`registers`], [`secrets`]). People are of no profile: they read what the desk asks and answer as such a
//! question is answered ([`staff`]).

mod changes;
pub mod folk;
mod foretold;
mod looks;
mod pair;
pub mod places;
mod registers;
mod secrets;
mod staff;
mod steps;
mod truth;
mod visitors;
mod world;

use super::{Failure, course};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Fault {
    /// The power goes, the daemon ends, and the clock is not confirmed at once.
    Power,
    /// Devices are late, silent, broken or lost.
    Devices,
    /// Central ops do something.
    Ops,
    /// Connections break, and the broker forgets.
    Link,
    /// The clock is stepped.
    Clock,
    /// The disk takes no more for a while.
    Disk,
    /// What lists say of somebody changes.
    Lists,
    /// Profiles are others after a start.
    Policies,
    /// The journal is damaged while the box is off.
    Journal,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Power,
        Self::Devices,
        Self::Ops,
        Self::Link,
        Self::Clock,
        Self::Disk,
        Self::Lists,
        Self::Policies,
        Self::Journal,
    ];
}

/// What a run does.
#[derive(Debug, Clone)]
pub struct Plan {
    /// For how many simulated hours people come.
    pub hours: f64,
    /// How many lanes a gateway has.
    pub lanes: usize,
    /// Whether a second gateway stands at the site, to which the same people come.
    pub pair: bool,
    /// All of them of this profile; drawn by the seed without one.
    pub profile: Option<String>,
    /// Visits in an hour, at each lane.
    pub visits_per_hour: u64,
    /// What does not go wrong.
    pub without: BTreeSet<Fault>,
    /// Ends at this step.
    pub until: Option<u64>,
    /// Prints the trace.
    pub print: bool,
}

impl Plan {
    /// Three busy lanes for so many hours.
    pub const fn hours(hours: f64) -> Self {
        Self {
            hours,
            lanes: 3,
            pair: false,
            profile: None,
            visits_per_hour: 400,
            without: BTreeSet::new(),
            until: None,
            print: false,
        }
    }
}

/// What a run was.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Its seed.
    pub seed: u64,
    /// The profiles of its lanes.
    pub profiles: Vec<String>,
    /// How long it was.
    pub simulated_ms: u64,
    /// Its steps.
    pub steps: u64,
    /// Visits that began.
    pub visits: u64,
    /// Verdicts by profile and outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Events by kind.
    pub kinds: BTreeMap<String, u64>,
    /// Openings.
    pub opened: u64,
    /// How often the box was switched on.
    pub lives: u64,
    /// Bytes in which no secret was found.
    pub searched: u64,
    /// Acts of staff that were taken, and those that were refused, by the word.
    pub acts: BTreeMap<String, u64>,
    /// The hash of its trace.
    pub hash: String,
}

impl Figures {
    /// As JSON.
    pub fn json(&self) -> Value {
        json!({ "seed": self.seed, "profiles": self.profiles, "simulated_s": self.simulated_ms / 1_000,
            "steps": self.steps, "visits": self.visits, "outcomes": self.outcomes, "kinds": self.kinds,
            "opened": self.opened, "lives": self.lives, "searched_bytes": self.searched, "acts": self.acts,
            "hash": self.hash })
    }
}

/// Runs a seed.
pub fn run(seed: u64, plan: &Plan) -> Result<Figures, Failure> {
    super::in_folder(seed, |folder| {
        let before = |why| Failure::before(seed, why);
        if plan.pair {
            return pair::Pair::new(seed, plan, folder).map_err(before)?.run(plan.until);
        }
        let world = world::World::new(seed, plan, folder, pair::GATEWAYS[0]).map_err(before)?;
        Ok(course::run(world, plan.until)?.figures())
    })
}

/// What makes a plan simpler.
type Cut = Box<dyn Fn(&mut Plan)>;

/// A smaller plan by which the same seed fails in the same way: with less that goes wrong, and with fewer lanes.
pub fn shrink(seed: u64, plan: &Plan, failure: &Failure) -> (Plan, Failure) {
    let kind =
        |failure: &Failure| failure.why.chars().filter(|c| !c.is_ascii_digit()).take(60).collect::<String>();
    let (mut least, mut found) = (Plan { print: false, until: None, ..plan.clone() }, failure.clone());
    let mut tries: Vec<Cut> = Vec::new();
    for fault in Fault::ALL {
        tries.push(Box::new(move |plan| {
            plan.without.insert(fault);
        }));
    }
    if plan.pair {
        tries.push(Box::new(|plan| plan.pair = false));
    }
    for lanes in (1..plan.lanes).rev() {
        tries.push(Box::new(move |plan| plan.lanes = lanes));
    }
    tries.push(Box::new(|plan| plan.visits_per_hour /= 4));
    for less in tries {
        let mut plan = least.clone();
        less(&mut plan);
        if let Err(failure) = run(seed, &plan)
            && kind(&failure) == kind(&found)
        {
            (least, found) = (plan, failure);
        }
    }
    (least, found)
}
