//! A gateway in a simulated world: one thread, one seed, one trace.
//!
//! Programs that kill real processes are true, slow, and cannot be repeated exactly; this is the other half. Real are the
//! engine of the product with its core, journal and lists, its delivery, and the ledger of the central side; the journal
//! lies on a disk that can lose its power at any write ([`disk`]). People, devices, link, broker and time are simulated
//! ([`people`], [`broker`]). A model ([`model`]), written from what people are told that a lane does, says of
//! every step whether it may be; [`watch`] looks at what is on record. A seed gives the same trace on every machine.
//!
//! Checked after every step: nothing opens without a durable record, and for each admission once; a pass that counts once
//! admits once; what is on record has no gap, reaches the central side, once each and as it was, in the end all of it;
//! nothing is purged before the central side has it; no visit that is on record disappears; the chain verifies; verdict,
//! codes and readings are those that the model says.

pub mod broker;
pub mod central;
pub mod clock;
mod course;
pub mod disk;
pub mod draw;
pub mod gateway;
pub mod model;
pub mod patches;
pub mod people;
pub mod planted;
pub mod site;
pub mod trace;
pub mod uplink;
pub mod watch;
pub mod wide;
mod world;

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What a run does.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// For how many simulated hours people come.
    pub hours: f64,
    /// Ends at this step.
    pub until: Option<u64>,
    /// Prints the trace.
    pub print: bool,
    /// The power goes at one write or sync after another, and not at random ones.
    pub sweep: bool,
    /// A bug.
    pub planted: Option<planted::Planted>,
}

impl Plan {
    /// So many hours, with the power going at random.
    pub const fn hours(hours: f64) -> Self {
        Self { hours, until: None, print: false, sweep: false, planted: None }
    }

    fn lasts_ms(&self) -> u64 {
        let lasts = std::time::Duration::try_from_secs_f64(self.hours * 3_600.0).unwrap_or_default();
        u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX)
    }
}

/// What a run was.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Its seed.
    pub seed: u64,
    /// How long it was.
    pub simulated_ms: u64,
    /// Its steps.
    pub steps: u64,
    /// What was done to the disk.
    pub disk: disk::Counts,
    /// What the link went through.
    pub net: broker::Counts,
    /// Verdicts by outcome.
    pub verdicts: BTreeMap<String, u64>,
    /// Admissions on record.
    pub admitted: u64,
    /// Openings.
    pub opened: u64,
    /// Events on record.
    pub events: u64,
    /// Events that came to the central side once more.
    pub duplicates: u64,
    /// Events that were purged.
    pub purged: u64,
    /// How often the box was switched on.
    pub lives: u64,
    /// The hash of its trace.
    pub hash: String,
}

impl Figures {
    /// As JSON.
    pub fn json(&self) -> Map<String, Value> {
        let value = json!({ "seed": self.seed, "simulated_s": self.simulated_ms / 1_000, "steps": self.steps,
            "commits": self.disk.commits, "cuts": self.disk.cuts, "cuts_in_between": self.disk.cuts_in_between,
            "lives": self.lives, "verdicts": self.verdicts, "admitted": self.admitted, "opened": self.opened,
            "events": self.events, "purged": self.purged, "duplicates": self.duplicates,
            "connections": self.net.connections, "forgotten": self.net.forgotten,
            "receipts_lost": self.net.receipts_lost, "hash": self.hash });
        value.as_object().cloned().unwrap_or_default()
    }
}

/// Why a run is not as it must be.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Its seed.
    pub seed: u64,
    /// The step.
    pub step: u64,
    /// Its moment.
    pub at_ms: u64,
    /// What is wrong.
    pub why: String,
    /// The hash of the trace up to there.
    pub hash: String,
    /// The last lines of it.
    pub last: String,
}

impl Failure {
    /// The world cannot even begin.
    fn before(seed: u64, why: String) -> Self {
        Self { seed, step: 0, at_ms: 0, why, hash: String::new(), last: String::new() }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, step, at_ms, why, last, .. } = self;
        write!(f, "{last}seed {seed}, step {step}, {at_ms} ms: {why}")
    }
}

/// Runs a seed.
pub fn run(seed: u64, plan: &Plan) -> Result<Figures, Failure> {
    in_folder(seed, |folder| {
        let world = world::World::new(seed, plan, folder).map_err(|why| Failure::before(seed, why))?;
        Ok(course::run(world, plan.until)?.figures())
    })
}

/// Runs a seed in a data folder of its own.
fn in_folder<T>(seed: u64, run: impl FnOnce(&Path) -> Result<T, Failure>) -> Result<T, Failure> {
    // What the product syncs beside the journal needs no disk.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let folder = folder.map_err(|e| Failure::before(seed, e.to_string()))?;
    run(folder.path())
}
