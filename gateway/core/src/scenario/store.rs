//! The store that a scenario is played on, as far as lanes see it: what they look up, what an input brings that
//! must be kept, what a restart finds, and what comes from outside.

use crate::core::{Core, Step};
use crate::hl7::word::{Standing, Word, plain};
use crate::ids::{GatewayId, LaneId, VisitId};
use crate::lane::visit::Visit;
use crate::lane::{LaneState, RECENT};
use crate::pass::id::key;
use crate::records::{Records, RecordsFault, Redemption, Write, seal_use, use_order};
use crate::register::{Slot, SlotName, SlotWrite, conflicts, heard_conflicts};
use crate::time::{Now, WallMs};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a restart finds: the state of each lane, and up to which number visits were given to visits that nobody
/// remembers.
pub type RestartState = (BTreeMap<LaneId, LaneState>, u64);

/// The entries of a list by their ids.
pub type Entries = BTreeMap<String, Map<String, Value>>;

/// The use of a pass or of a seal at another gateway of the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerUse {
    /// Which gateway.
    pub gateway: GatewayId,
    /// What was used, by the name that all gateways of the site know it by.
    pub name: String,
    /// By which visit there.
    pub by: Redemption,
}

/// A store.
pub trait Store: Records {
    /// Keeps what an input has brought: events, writes and the lanes that changed, all or nothing.
    fn keep(&mut self, step: &Step, core: &Core, now: &Now) -> Result<(), RecordsFault>;
    /// Keeps changes that no input has brought.
    fn write(&mut self, writes: &[Write], now: &Now) -> Result<(), RecordsFault>;
    /// The box has been off: everything is read anew.
    fn restart(&mut self) -> Result<RestartState, RecordsFault>;
    /// A list has a new edition.
    fn edition(&mut self, list: &str, issued_ms: WallMs, entries: &Entries) -> Result<(), RecordsFault>;
    /// What a list has of an entry that a hospital's system tells of; none where there is no list.
    fn standing(&self, list: &str, id: &str) -> Result<Option<Standing>, RecordsFault>;
    /// A hospital's system tells of an entry: it stands above the edition until a newer one.
    fn tell(&mut self, list: &str, id: &str, word: &Word) -> Result<(), RecordsFault>;
    /// Another gateway tells of a use; whether that is a conflict which was not known yet.
    fn peer(&mut self, told: &PeerUse, now: &Now) -> Result<bool, RecordsFault>;
    /// Another gateway tells of a slot; whether that brings a conflict which was not known yet.
    fn peer_slot(&mut self, from: &GatewayId, slot: &Slot, now: &Now) -> Result<bool, RecordsFault>;
}

/// A list as it stands.
#[derive(Debug)]
struct List {
    issued_ms: WallMs,
    entries: Entries,
}

/// A use that is known: where, and at which gateway if not at this one.
#[derive(Debug)]
struct Use {
    by: Redemption,
    gateway: Option<GatewayId>,
}

/// A store in memory, for a play. What it keeps of lanes and visits goes through the same texts as on a disk.
#[derive(Debug)]
pub struct Memory {
    gateway: GatewayId,
    lists: BTreeMap<String, List>,
    /// What was told of entries, by list and key.
    words: BTreeMap<(String, String), Word>,
    uses: BTreeMap<String, Use>,
    conflicts: BTreeSet<(String, GatewayId)>,
    slots: BTreeMap<SlotName, Slot>,
    lanes: BTreeMap<LaneId, Vec<u8>>,
    visits: BTreeMap<(LaneId, VisitId), Vec<u8>>,
}

impl Memory {
    /// An empty one, of a gateway.
    pub const fn new(gateway: GatewayId) -> Self {
        Self {
            gateway,
            lists: BTreeMap::new(),
            words: BTreeMap::new(),
            uses: BTreeMap::new(),
            conflicts: BTreeSet::new(),
            slots: BTreeMap::new(),
            lanes: BTreeMap::new(),
            visits: BTreeMap::new(),
        }
    }

    fn redeem(&mut self, name: &str, by: &Redemption) {
        self.uses.entry(name.to_owned()).or_insert_with(|| Use { by: by.clone(), gateway: None });
    }

    fn change(&mut self, write: &SlotWrite) {
        let SlotWrite { register, key, holder, part, .. } = write;
        let name = (register.clone(), key.clone(), holder.clone(), part.clone());
        let before = self.slots.remove(&name);
        self.slots.insert(name, Slot::after(before, write, self.gateway.as_str()));
    }

    /// Some slots of a register, in the order in which they were put.
    fn some(&self, register: &str, which: impl Fn(&Slot) -> bool) -> Vec<Slot> {
        let mut some: Vec<Slot> =
            self.slots.values().filter(|slot| slot.register == register && which(slot)).cloned().collect();
        some.sort_by(|a, b| a.put.as_ref().map(|put| &put.at).cmp(&b.put.as_ref().map(|put| &put.at)));
        some
    }

    fn take(&mut self, write: &Write, now: &Now) -> Result<(), RecordsFault> {
        match write {
            Write::Redeem { pass_id, shared, by, ends_ms: _ } => {
                for name in [pass_id].into_iter().chain(shared) {
                    self.redeem(name, by);
                }
            }
            Write::Seal { number, by } => self.redeem(&seal_use(number), by),
            Write::Slot(write) => self.change(write),
            Write::Archive { lane, visit } => {
                let open = visit.is_open(now.wall_ms.unwrap_or(0));
                let state = if open { written(&**visit) } else { written(&visit.closed()) }?;
                self.visits.insert((lane.clone(), visit.id), state);
            }
        }
        Ok(())
    }
}

fn written(value: &impl serde::Serialize) -> Result<Vec<u8>, RecordsFault> {
    serde_json::to_vec(value).map_err(|e| RecordsFault::Store(e.to_string()))
}

impl Records for Memory {
    fn entry(&self, list: &str, id: &str) -> Result<Option<Map<String, Value>>, RecordsFault> {
        let key = key(list, id).into_owned();
        let entry = self.lists.get(list).and_then(|l| l.entries.get(&key));
        let word = self.words.get(&(list.to_owned(), key));
        Ok(word.map_or_else(|| entry.cloned(), |word| Some(plain(word.above(entry)))))
    }
    fn issued_ms(&self, list: &str) -> Result<Option<WallMs>, RecordsFault> {
        Ok(self.lists.get(list).map(|l| l.issued_ms))
    }
    fn revoked(&self, kid: &str, id: &str) -> Result<bool, RecordsFault> {
        self.listed("revocation", &format!("{kid}:{id}"))
    }
    fn redeemed(&self, pass_id: &str) -> Result<Option<Redemption>, RecordsFault> {
        Ok(self.uses.get(pass_id).map(|used| used.by.clone()))
    }
    fn uses_known(&self) -> Result<bool, RecordsFault> {
        Ok(true)
    }
    fn seal_used(&self, number: &str) -> Result<bool, RecordsFault> {
        Ok(self.uses.contains_key(&seal_use(number)))
    }
    fn slots(&self, register: &str, keys: &[String]) -> Result<Vec<Slot>, RecordsFault> {
        Ok(self.some(register, |slot| keys.contains(&slot.key)))
    }
    fn slots_of(&self, register: &str, holders: &[String]) -> Result<Vec<Slot>, RecordsFault> {
        Ok(self.some(register, |slot| slot.is_open() && holders.contains(&slot.holder)))
    }
    fn alarms(&self, until_ms: WallMs, most: usize) -> Result<Vec<Slot>, RecordsFault> {
        let own = self.slots.values().filter(|slot| slot.gateway() == Some(self.gateway.as_str()));
        let mut due: Vec<Slot> =
            own.filter(|slot| slot.alarm_ms().is_some_and(|at| at <= until_ms)).cloned().collect();
        due.sort_by_key(Slot::alarm_ms);
        due.truncate(most);
        Ok(due)
    }
    fn next_alarm(&self, after_ms: WallMs) -> Result<Option<WallMs>, RecordsFault> {
        let own = self.slots.values().filter(|slot| slot.gateway() == Some(self.gateway.as_str()));
        Ok(own.filter_map(Slot::alarm_ms).filter(|at| *at > after_ms).min())
    }
}

impl Store for Memory {
    fn keep(&mut self, step: &Step, core: &Core, now: &Now) -> Result<(), RecordsFault> {
        self.write(&step.writes, now)?;
        for id in &step.lanes {
            if let Some(lane) = core.lane(id) {
                self.lanes.insert(id.clone(), written(&lane.state)?);
            }
        }
        Ok(())
    }

    fn write(&mut self, writes: &[Write], now: &Now) -> Result<(), RecordsFault> {
        writes.iter().try_for_each(|write| self.take(write, now))
    }

    fn restart(&mut self) -> Result<RestartState, RecordsFault> {
        let fault = |e: serde_json::Error| RecordsFault::Store(e.to_string());
        let mut lanes = BTreeMap::new();
        for (id, text) in &self.lanes {
            let mut state: LaneState = serde_json::from_slice(text).map_err(fault)?;
            let of_lane = self.visits.iter().rev().filter(|((lane, _), _)| lane == id).take(RECENT);
            for (_, text) in of_lane {
                let visit: Visit = serde_json::from_slice(text).map_err(fault)?;
                if !state.goes_on(visit.id) {
                    state.recent.push_back(Arc::new(visit));
                }
            }
            lanes.insert(id.clone(), state);
        }
        Ok((lanes, 0))
    }

    fn edition(&mut self, list: &str, issued_ms: WallMs, entries: &Entries) -> Result<(), RecordsFault> {
        let entries = entries.iter().map(|(id, facts)| (key(list, id).into_owned(), facts.clone())).collect();
        self.lists.insert(list.to_owned(), List { issued_ms, entries });
        self.words.retain(|(of, _), word| of != list || word.span.end_ms > issued_ms);
        Ok(())
    }

    fn standing(&self, list: &str, id: &str) -> Result<Option<Standing>, RecordsFault> {
        let key = key(list, id).into_owned();
        let word = self.words.get(&(list.to_owned(), key.clone())).cloned();
        let of = |list: &List| Standing::new(list.issued_ms, list.entries.get(&key), word.clone());
        Ok(self.lists.get(list).map(of))
    }

    fn tell(&mut self, list: &str, id: &str, word: &Word) -> Result<(), RecordsFault> {
        self.words.insert((list.to_owned(), key(list, id).into_owned()), word.clone());
        Ok(())
    }

    fn peer(&mut self, told: &PeerUse, _: &Now) -> Result<bool, RecordsFault> {
        let theirs = || Use { by: told.by.clone(), gateway: Some(told.gateway.clone()) };
        let Some(known) = self.uses.get(&told.name) else {
            self.uses.insert(told.name.clone(), theirs());
            return Ok(false);
        };
        let holder = known.gateway.clone().unwrap_or_else(|| self.gateway.clone());
        let ours = known.by.clone();
        // A use that is known is told again.
        if holder == told.gateway && ours == told.by {
            return Ok(false);
        }
        let order = |by: &Redemption, gateway| use_order(by.at_ms, gateway, by.visit.0);
        let earlier = order(&told.by, told.gateway.as_str()) < order(&ours, holder.as_str());
        if earlier {
            self.uses.insert(told.name.clone(), theirs());
        }
        Ok(self.conflicts.insert((told.name.clone(), told.gateway.clone())))
    }

    fn peer_slot(&mut self, _: &GatewayId, slot: &Slot, _: &Now) -> Result<bool, RecordsFault> {
        let merged = match self.slots.get(&slot.name()) {
            Some(known) => known.clone().merge(slot.clone()),
            None => slot.clone(),
        };
        let of_key = |store: &Self| store.some(&slot.register, |one| one.key == slot.key);
        let before = of_key(self);
        self.slots.insert(merged.name(), merged);
        let slots = of_key(self);
        let mut lost = conflicts(&slots);
        lost.extend(heard_conflicts(&before, &slots, self.gateway.as_str()));
        for (slot, _) in &lost {
            self.slots.insert(slot.name(), slot.clone());
        }
        Ok(!lost.is_empty())
    }
}
