//! Two gateways of a site, to which the same people come: each has a box, a disk, staff, a link and a clock of its own. They
//! tell each other what was used and what stands in their registers, over a broker of the site that is away for a while,
//! loses what it was to pass on, and passes it on twice.

use super::steps::Cause;
use super::world::{What, World};
use super::{Figures, Plan};
use crate::sim::Failure;
use crate::sim::course::{self, World as _};
use crate::sim::draw::{Draw, Stream};
use kakou_core::evidence::Hash;
use kakou_core::ids::GatewayId;
use kakou_core::register::Slot;
use kakou_gateway::engine::{Job, ReplyTo};
use kakou_gateway::store::journal::slots;
use kakou_gateway::upstream::peers;
use kakou_wire::peers::Used;
use std::collections::BTreeMap;
use std::path::Path;

/// The gateways.
pub(super) const GATEWAYS: [&str; 2] = ["gw-1", "gw-2"];
/// After the end each knows what the other knows within this.
const SETTLES_MS: u64 = 30 * 60_000;
/// So many slots are told at once.
const SLOTS_AT_ONCE: usize = 100;
/// After the end it is looked so seldom whether all has come to rest.
const LOOKS: u64 = 400;

/// What one gateway tells the other.
#[derive(Debug, Clone)]
pub(super) enum Told {
    /// The use of a pass.
    Use(Used),
    /// A slot of a register.
    Slot(Box<Slot>),
    /// It has heard of the use of a pass.
    HeardUse(String),
    /// It has heard of a slot.
    HeardSlot(Box<Slot>),
}

/// The broker of the site.
struct Mesh {
    draw: Draw,
    /// Nothing is passed on before this moment.
    away_until: u64,
    /// When it goes away next.
    away_at: u64,
}

impl Mesh {
    fn new(seed: u64) -> Self {
        let mut draw = Draw::new(seed, Stream::Mesh);
        let away_at = draw.between(60_000, 900_000);
        Self { draw, away_until: 0, away_at }
    }

    /// What somebody says at a moment: when the other one hears it, each time.
    fn passes(&mut self, at: u64, faults: bool) -> Vec<u64> {
        if faults && at >= self.away_at {
            self.away_until = at + self.draw.between(10_000, 600_000);
            self.away_at = self.away_until + self.draw.between(60_000, 900_000);
        }
        if faults && (at < self.away_until || self.draw.per_mille(30)) {
            return Vec::new();
        }
        let times = if faults && self.draw.per_mille(50) { 2 } else { 1 };
        (0..times).map(|_| at + self.draw.between(5, 800)).collect()
    }
}

impl World {
    /// What the other gateway does not know yet is told, and in a while again.
    pub(super) fn tells(&mut self) -> Result<(), String> {
        let again = self.changes.peers.between(2_000, 20_000);
        self.course.later(again, What::Tell);
        let Some(engine) = &self.engine else { return Ok(()) };
        let (uses, slots) = {
            let journal = engine.journal().connection();
            (peers::untold(journal).map_err(|e| e.to_string())?, slots::untold(journal, SLOTS_AT_ONCE))
        };
        self.told.extend(uses.into_iter().map(Told::Use));
        let slots = slots.map_err(|e| e.to_string())?;
        self.told.extend(slots.into_iter().map(|slot| Told::Slot(Box::new(slot))));
        Ok(())
    }

    /// The other gateway tells something.
    pub(super) fn hears(&mut self, told: Told) -> Result<(), String> {
        // The broker of the site keeps it while the box is off.
        if self.engine.is_none() {
            self.course.later(3_000, What::Told(told));
            return Ok(());
        }
        let from = GATEWAYS.iter().find(|name| **name != self.gateway).ok_or("a gateway beside this one")?;
        let from = GatewayId::new(*from).map_err(|e| e.to_string())?;
        let (job, heard) = match told {
            Told::Use(used) => {
                let heard = Told::HeardUse(used.pass.clone());
                self.course.says(&format!("{from} has used {}", used.pass));
                (Job::Peer(from, used, ReplyTo(0)), Some(heard))
            }
            Told::Slot(slot) => (Job::PeerSlot(from, slot.clone(), ReplyTo(0)), Some(Told::HeardSlot(slot))),
            Told::HeardUse(pass) => (Job::PeerTold(pass), None),
            Told::HeardSlot(slot) => (Job::SlotTold(slot), None),
        };
        self.answer = heard;
        self.step(Cause::Time, vec![job])
    }

    /// The slots of registers that both know, by their names.
    fn shared(&self) -> Result<BTreeMap<[String; 4], Slot>, String> {
        let Some(engine) = &self.engine else { return Err("the box is not on".into()) };
        let text = |e: rusqlite::Error| e.to_string();
        let mut select = engine.journal().connection().prepare(slots::SLOTS).map_err(text)?;
        let rows = select.query_map([], slots::slot_in).map_err(text)?;
        let mut all = BTreeMap::new();
        for slot in rows {
            let mut slot = slot.map_err(text)?;
            // Whoever has put it there sees to its alarm.
            if let Some(alarm) = slot.put.as_mut().and_then(|put| put.alarm.as_mut()) {
                alarm.done = false;
            }
            let Slot { register, key, holder, part, .. } = &slot;
            let name = [register, key, holder, part].map(Clone::clone);
            if slot.shared {
                all.insert(name, slot);
            }
        }
        Ok(all)
    }
}

/// Two worlds.
pub(super) struct Pair {
    sides: [World; 2],
    mesh: Mesh,
}

impl Pair {
    pub(super) fn new(seed: u64, plan: &Plan, folder: &Path) -> Result<Self, String> {
        let side = |gateway: &'static str| {
            let folder = folder.join(gateway);
            std::fs::create_dir(&folder).map_err(|e| e.to_string())?;
            World::new(seed, plan, &folder, gateway)
        };
        let mut sides = [side(GATEWAYS[0])?, side(GATEWAYS[1])?];
        for (world, gateway) in sides.iter_mut().zip(GATEWAYS) {
            world.course.is_of(gateway);
            world.course.later(5_000, What::Tell);
        }
        Ok(Self { sides, mesh: Mesh::new(seed) })
    }

    /// Runs to the end, or until one of them is at a step.
    pub(super) fn run(mut self, until: Option<u64>) -> Result<Figures, Failure> {
        let mut rounds = 0_u64;
        loop {
            rounds += 1;
            let over = self.sides.iter().all(|world| world.course.ended_at().is_some());
            if over && rounds.is_multiple_of(LOOKS) && self.is_at_rest()? {
                break;
            }
            let [one, other] = &mut self.sides;
            let first =
                usize::from(course::due(other).unwrap_or(u64::MAX) < course::due(one).unwrap_or(u64::MAX));
            if until.is_some_and(|step| self.sides[first].course.steps() >= step) {
                break;
            }
            course::step(&mut self.sides[first])?;
            self.passes_on(first);
        }
        Ok(self.figures())
    }

    fn passes_on(&mut self, from: usize) {
        let (at, faults) = {
            let course = &self.sides[from].course;
            (course.at(), course.ended_at().is_none())
        };
        for told in std::mem::take(&mut self.sides[from].told) {
            for at in self.mesh.passes(at, faults) {
                self.sides[1 - from].course.at_moment(at, What::Told(told.clone()));
            }
        }
    }

    /// Both are at rest, each knows what the other knows, and what was used twice is on record.
    fn is_at_rest(&mut self) -> Result<bool, Failure> {
        for world in &mut self.sides {
            if !world.is_at_rest().map_err(|why| world.course.fails(why))? {
                return Ok(false);
            }
        }
        let overdue = self.sides.iter().any(|world| world.course.is_overdue(SETTLES_MS));
        match self.same() {
            Ok(()) => Ok(true),
            Err(why) if overdue => Err(self.sides[0].course.fails(why)),
            Err(_) => Ok(false),
        }
    }

    fn same(&self) -> Result<(), String> {
        let [one, other] = &self.sides;
        let (here, there) = (one.shared()?, other.shared()?);
        for (name, slot) in &here {
            match there.get(name) {
                None => return Err(format!("the other gateway knows nothing of a slot of {}", name[0])),
                Some(known) if known != slot => {
                    return Err(format!(
                        "a slot of {} is {slot:?} at one gateway, {known:?} at the other",
                        name[0]
                    ));
                }
                Some(_) => {}
            }
        }
        if let Some(name) = there.keys().find(|name| !here.contains_key(*name)) {
            return Err(format!("the first gateway knows nothing of a slot of {}", name[0]));
        }
        for pass in one.truth.admitted_passes().filter(|pass| other.truth.has_admitted(pass)) {
            if !one.truth.knows_conflict(pass) || !other.truth.knows_conflict(pass) {
                return Err(format!(
                    "pass {pass} has admitted at both gateways, and that is not on record at both"
                ));
            }
        }
        Ok(())
    }

    fn figures(self) -> Figures {
        let [one, other] = self.sides.map(World::figures);
        let hash = Hash::of(format!("{} {}", one.hash, other.hash).as_bytes()).hex();
        let mut both = one;
        both.steps += other.steps;
        both.visits += other.visits;
        both.opened += other.opened;
        both.lives += other.lives;
        both.searched += other.searched;
        for (into, from) in [
            (&mut both.outcomes, other.outcomes),
            (&mut both.kinds, other.kinds),
            (&mut both.acts, other.acts),
        ] {
            for (name, n) in from {
                *into.entry(name).or_default() += n;
            }
        }
        both.hash = hash;
        both
    }
}
