//! Registers of a play. A file names keys and holders as they are scanned; the store knows them as hashes.

use super::file::SlotOf;
use super::verb::PeerTold;
use super::world::{Stopped, World};
use crate::ids::{GatewayId, LaneId, VisitId};
use crate::lane::Setup;
use crate::records::{Redemption, Write};
use crate::register::{
    Alarm, AlarmWhen, Change, Ended, Limit, Put, Register, SEAL, Scope, Slot, SlotWrite, Stamp, hashed,
};
use crate::time::WallMs;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The registers that every gateway has and a file may name; a holder of one is a visit.
pub(super) const OF_VISITS: [&str; 2] = ["pass-used", "seal"];

/// The first number of holders whose name has none.
const NAMED_FROM: u64 = 1_000_000_000;

/// A register, and the lane whose profile says what it is.
struct Known<'a> {
    setup: &'a Setup,
    register: &'a Register,
}

impl Known<'_> {
    fn key(&self, text: &str) -> Vec<String> {
        let lane = (self.register.scope == Scope::Lane).then_some(&self.setup.lane);
        hashed(&self.setup.subjects, &self.register.name, lane, text)
    }

    fn holder(&self, text: &str) -> Vec<String> {
        hashed(&self.setup.subjects, &self.register.name, None, text)
    }

    fn alarm(&self, since_ms: WallMs, until_ms: Option<WallMs>) -> Option<Alarm> {
        let (when, event) = self.register.alarm.as_ref()?;
        let at_ms = match when {
            AlarmWhen::After(ms) => since_ms.saturating_add(*ms),
            AlarmWhen::Until => until_ms?,
        };
        Some(Alarm { at_ms, event: event.clone(), done: false })
    }

    fn put(&self, since_ms: WallMs, until_ms: Option<WallMs>, amount: i64, data: Map<String, Value>) -> Put {
        Put {
            at: Stamp::default(),
            lane: self.setup.lane.clone(),
            since_ms: Some(since_ms),
            until_ms,
            expires: self.register.expires,
            amount,
            counted: false,
            from: None,
            data,
            alone: matches!(self.register.limit, Some(Limit::Number(1))),
            alarm: self.alarm(since_ms, until_ms),
        }
    }
}

/// A visit as a holder, in both ways in which a profile may write it.
fn spellings(holder: &str) -> Vec<String> {
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty();
    match holder.strip_prefix("visit:") {
        Some(visit) if number(visit) => vec![holder.to_owned(), visit.to_owned()],
        Some(_) | None if number(holder) => vec![holder.to_owned(), format!("visit:{holder}")],
        Some(_) | None => vec![holder.to_owned()],
    }
}

impl World<'_> {
    /// A register of a lane, else of another one of the play.
    fn known(&self, lane: &LaneId, name: &str) -> Option<Known<'_>> {
        let of = |setup: &'_ std::sync::Arc<Setup>| setup.profile.register(name).is_some();
        let first = self.core.lane(lane).filter(|lane| of(&lane.setup));
        let found = first.or_else(|| self.core.lanes().find(|lane| of(&lane.setup)))?;
        Some(Known { setup: &found.setup, register: found.setup.profile.register(name)? })
    }

    /// Whether a file may name a register.
    pub fn register_is_known(&self, lane: &LaneId, name: &str) -> Result<(), String> {
        if OF_VISITS.contains(&name) || self.known(lane, name).is_some() {
            return Ok(());
        }
        let own =
            self.core.lanes().flat_map(|lane| lane.setup.profile.registers.iter().map(|r| r.name.as_str()));
        let all: BTreeSet<&str> = own.chain(OF_VISITS).collect();
        let all: Vec<&str> = all.into_iter().collect();
        Err(format!("there is no register `{name}`; there are: {}", all.join(", ")))
    }

    /// What a file names by the pass that it is on: `@NAME` is its holder or its plate.
    pub(super) fn named(&self, text: &str) -> String {
        self.scanned(text)
    }

    fn scanned(&self, text: &str) -> String {
        let named = text.starts_with('@').then(|| self.checked(text).ok()).flatten();
        named.map_or_else(|| text.to_owned(), |pass| pass.subject)
    }

    /// The visit that a file names as the holder of a pass or a seal. A visit of another gateway or day has a name of
    /// its own: by that it is found again.
    pub fn holder_before(&mut self, holder: &str) -> VisitId {
        let free = NAMED_FROM + u64::try_from(self.before.len()).unwrap_or(0);
        let visit = VisitId(super::expect::number(holder).unwrap_or(free));
        self.before.insert(visit, holder.to_owned());
        visit
    }

    /// A slot that was there before the file begins.
    pub fn slot_before(&mut self, number: usize, slot: &SlotOf, lane: &LaneId) -> Result<(), Stopped> {
        let (key, holder) = (self.scanned(&slot.key), self.scanned(&slot.holder));
        let Some(known) = self.known(lane, &slot.register) else {
            return Err(Stopped::Failed(format!("there is no register `{}`", slot.register)));
        };
        let mut put = known.put(slot.since_ms, slot.until_ms, slot.amount, slot.data.clone());
        put.lane = lane.clone();
        // What was due before the file begins was told of then.
        let begun = self.now.wall_ms;
        if let Some(alarm) = put.alarm.as_mut().filter(|alarm| begun.is_some_and(|now| alarm.at_ms < now)) {
            alarm.done = true;
        }
        let sum = known.register.sum;
        let write = |at_ms, change| {
            Write::Slot(Box::new(SlotWrite {
                register: slot.register.clone(),
                key: known.key(&key).swap_remove(0),
                holder: known.holder(&holder).swap_remove(0),
                part: if sum { format!("before/{number}") } else { String::new() },
                keep_ms: known.register.keep_ms,
                shared: false,
                by: Redemption { lane: lane.clone(), visit: VisitId(0), at_ms: Some(at_ms) },
                change,
            }))
        };
        let mut writes = vec![write(slot.since_ms, Change::Put(Box::new(put)))];
        let end = |at_ms| write(at_ms, Change::End(Ended::GivenBack, None));
        writes.extend(slot.given_back_ms.map(end));
        let now = self.now;
        Ok(self.store.write(&writes, &now)?)
    }

    /// Another gateway tells of a slot; whether that is a conflict.
    pub fn slot_told(
        &mut self,
        lane: &LaneId,
        told: &PeerTold,
        at_ms: WallMs,
        from: &GatewayId,
    ) -> Result<bool, Stopped> {
        let (key, holder) = (self.scanned(&told.key), self.scanned(&told.holder));
        let Some(known) = self.known(lane, &told.register) else {
            return Err(Stopped::Failed(format!("there is no register `{}`", told.register)));
        };
        let at = Stamp { ms: at_ms, gateway: from.to_string(), visit: 1 };
        let put = Put { at, ..known.put(at_ms, None, 0, Map::new()) };
        let slot = Slot {
            register: told.register.clone(),
            key: known.key(&key).swap_remove(0),
            holder: known.holder(&holder).swap_remove(0),
            part: if known.register.sum { format!("{from}/{at_ms}") } else { String::new() },
            keep_ms: known.register.keep_ms,
            shared: true,
            put: Some(put),
            end: None,
            was: None,
            amnesty: None,
        };
        let now = self.now;
        Ok(self.store.peer_slot(from, &slot, &now)?)
    }

    /// Who holds a key of a register, by the names that the file uses: first by those that are expected.
    pub fn holders_of(
        &self,
        lane: &LaneId,
        register: &str,
        key: &str,
        wanted: &[String],
    ) -> Result<Vec<String>, Stopped> {
        let Some(known) = self.known(lane, register) else {
            return Err(Stopped::Failed(format!("there is no register `{register}`")));
        };
        let slots = self.store.slots(register, &known.key(&self.scanned(key)))?;
        let is_held = |slot: &&Slot| slot.is_held(self.now.wall_ms);
        let hashes: BTreeSet<&String> = slots.iter().filter(is_held).map(|slot| &slot.holder).collect();
        let is = |name: &str, hash: &String| {
            spellings(&self.scanned(name)).iter().any(|text| known.holder(text).contains(hash))
        };
        let visits = (1..=self.visits.len()).map(|n| format!("visit:{n}"));
        let texts: Vec<String> = self.texts.iter().cloned().chain(visits).collect();
        let name = |hash: &String| {
            let named = wanted.iter().chain(&texts).find(|name| is(name, hash));
            named.cloned().unwrap_or_else(|| format!("somebody whom the file does not name ({hash})"))
        };
        Ok(hashes.into_iter().map(name).collect())
    }

    /// A holder whom staff name, as the register has it.
    pub fn holder_named(
        &self,
        lane: &LaneId,
        register: &str,
        key: &str,
        holder: &str,
    ) -> Result<String, Stopped> {
        let scanned = self.scanned(holder);
        let Some(known) = self.known(lane, register) else { return Ok(scanned) };
        let slots = self.store.slots(register, &known.key(&self.scanned(key)))?;
        let there = |text: &String| {
            let hashes = known.holder(text);
            slots.iter().any(|slot| hashes.contains(&slot.holder))
        };
        Ok(spellings(&scanned).into_iter().find(there).unwrap_or(scanned))
    }

    /// Whether a seal was taken off.
    pub fn seal_removed(&self, number: &str) -> Result<bool, Stopped> {
        let slots = self.store.slots(SEAL, &hashed(&self.subjects, SEAL, None, number))?;
        Ok(slots.iter().any(|slot| slot.end.is_some()))
    }

    /// A key as it is scanned.
    pub fn key_named(&self, key: &str) -> String {
        self.scanned(key)
    }
}
