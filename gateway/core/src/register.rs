//! Registers: what lanes know of the world beyond one visit, as named tables of slots. Who is inside, whose bag lies in
//! the store, which tube is full.
//!
//! A slot is one holder under one key. Both are keyed hashes: no name, id or code of a person stands in it. What was
//! done to it last is kept in two halves, the latest put and the latest end, each with its place in the order of all
//! acts. Of two accounts of one slot the later half counts ([`Slot::merge`]), so that gateways come to the same
//! state in whatever order and however often they hear of each other's acts.
//!
//! In a register that sums up, each act is a slot of its own ([`Slot::part`]): the amount is the latest count and what
//! was added since. Acts that are old are folded ([`fold`]): each gateway makes one slot of its own ones, and whoever
//! hears of it counts none of those up to its place in the order any more, however late they are told.

mod act;
mod definition;
mod fold;
mod seen;

use crate::event::is_kind;
use crate::evidence::{SubjectKey, SubjectKeys};
use crate::ids::{GatewayId, LaneId, OfficerId};
use crate::pass::id;
use crate::records::Redemption;
use crate::time::WallMs;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use act::{Act, Intent};
pub(crate) use act::{correct, is_full, keep_seals, withdraw, write};
pub use definition::{AlarmWhen, BUILT_IN, Limit, Register, SEAL, SEALS, Scope};
pub(crate) use definition::{RegisterFile, names, read};
pub use fold::fold;
pub use seen::{Asks, Place, Seen, see, summed};
pub(crate) use seen::{facts, fill, look, place, unmade};

/// The most data of a slot, as JSON, in bytes.
pub const DATA_MOST: usize = 2 << 10;

/// What stands behind the gateway in the name of its earlier acts on a sum, which are one.
const FOLD: &str = "fold";

/// The longest name of an act of a sum, in bytes.
const PART_MOST: usize = 80;

/// The place of an act in the order of all acts on a slot. At one gateway a later act has a later one, whatever its
/// clock does meanwhile.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// UTC milliseconds, or one more than those of the act before.
    pub ms: i64,
    /// The gateway.
    pub gateway: String,
    /// The visit there; 0 for staff.
    pub visit: u64,
}

/// When a slot that is still held is told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// UTC milliseconds.
    pub at_ms: WallMs,
    /// The kind of the event.
    pub event: String,
    /// Whether it was told of.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

/// The latest put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// Its place in the order.
    pub at: Stamp,
    /// Where.
    pub lane: LaneId,
    /// When, by the clock; absent if nobody knew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<WallMs>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<WallMs>,
    /// Whether the slot is given back then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expires: bool,
    /// How much.
    #[serde(default)]
    pub amount: i64,
    /// In a register that sums up: whether this is a count, which what was before does not change.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub counted: bool,
    /// Of folded acts with a count among them: the place of that count, from which on others add to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Stamp>,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    /// Whether the key has room for one alone, and had it: an overlapping one of another gateway is a conflict.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
    /// When it is told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<Alarm>,
}

/// How a slot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// It was given back.
    GivenBack,
    /// A correction by staff took it: it counts for nothing that is asked of the past.
    Corrected,
    /// It was reserved by a visit that was abandoned.
    Withdrawn,
    /// Another gateway had given the key away before.
    Conflict,
}

/// The latest end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Its place in the order.
    pub at: Stamp,
    /// Where.
    pub lane: LaneId,
    /// When, by the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<WallMs>,
    /// How.
    pub how: Ended,
    /// By whom, if staff did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub officer: Option<OfficerId>,
}

/// One holder under one key of a register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The register.
    pub register: String,
    /// What is held, as a keyed hash.
    pub key: String,
    /// By whom, as a keyed hash.
    pub holder: String,
    /// Which act, in a register that sums up; else empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub part: String,
    /// How long a slot that ended is kept, in milliseconds.
    pub keep_ms: i64,
    /// Whether the other gateways of the site are told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// The latest put; none where only an end is known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put: Option<Put>,
    /// The latest end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// When it was given back last, by whoever held it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub was: Option<Stamp>,
    /// When staff said last that this does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amnesty: Option<Stamp>,
}

/// The name of a slot in its register and beyond.
pub type SlotName = (String, String, String, String);

impl Slot {
    /// Its name.
    pub fn name(&self) -> SlotName {
        (self.register.clone(), self.key.clone(), self.holder.clone(), self.part.clone())
    }

    /// Whether it is held by what was done to it.
    pub fn is_open(&self) -> bool {
        let Some(put) = &self.put else { return false };
        self.end.as_ref().is_none_or(|end| put.at > end.at)
    }

    /// Whether it is held at a moment.
    pub fn is_held(&self, now_ms: Option<WallMs>) -> bool {
        self.is_open() && !self.has_expired(now_ms)
    }

    fn has_expired(&self, now_ms: Option<WallMs>) -> bool {
        let until = self.put.as_ref().filter(|put| put.expires).and_then(|put| put.until_ms);
        until.zip(now_ms).is_some_and(|(until, now)| until <= now)
    }

    /// Whether it was given back once.
    pub fn was_held(&self, now_ms: Option<WallMs>) -> bool {
        self.is_past() || self.is_open() && self.has_expired(now_ms)
    }

    /// Whether it was given back once, by what was done to it.
    pub fn is_past(&self) -> bool {
        self.was > self.amnesty
    }

    /// Whether it counts as one that was there: corrections, conflicts and reservations take that away.
    pub fn counts(&self) -> bool {
        self.put.is_some()
            && (self.is_open() || self.end.as_ref().is_some_and(|end| end.how == Ended::GivenBack))
    }

    /// Whether another gateway had given the key away before it was put.
    pub fn has_lost(&self) -> bool {
        let end = self.end.as_ref().filter(|end| end.how == Ended::Conflict);
        end.is_some_and(|end| self.put_at() == Some(&end.at))
    }

    /// From when on it may be forgotten, UTC milliseconds.
    pub fn gone_ms(&self) -> Option<WallMs> {
        let at_ms = match (&self.put, &self.end) {
            (Some(put), _) if self.is_open() => put.until_ms.filter(|_| put.expires)?,
            (_, Some(end)) => end.at_ms.unwrap_or(end.at.ms),
            (_, None) => return None,
        };
        Some(at_ms.saturating_add(self.keep_ms))
    }

    /// Whether it is one that gateways tell each other: names and data within their bounds, and nothing of a person.
    pub fn is_good(&self) -> bool {
        let name = self.register == SEAL || self.register == SEALS || definition::is_name(&self.register);
        let hashes = SubjectKey::is_one(&self.key) && SubjectKey::is_one(&self.holder);
        let part = self.part.len() <= PART_MOST && self.part.bytes().all(|b| b.is_ascii_graphic());
        let stamps = [self.put.as_ref().map(|put| &put.at), self.end.as_ref().map(|end| &end.at)];
        let from = self.put.as_ref().and_then(|put| put.from.as_ref());
        let stamps = stamps.into_iter().chain([self.was.as_ref(), self.amnesty.as_ref(), from]);
        let gateways = stamps.flatten().all(|at| GatewayId::new(at.gateway.clone()).is_ok());
        let data =
            self.put.as_ref().map(|put| serde_json::to_string(&put.data).map_or(usize::MAX, |t| t.len()));
        let alarm = self.put.as_ref().and_then(|put| put.alarm.as_ref());
        let kind = alarm.is_none_or(|alarm| is_kind(&alarm.event));
        let known = self.put.is_some() || self.end.is_some();
        self.shared
            && name
            && hashes
            && part
            && gateways
            && kind
            && known
            && data.is_none_or(|most| most <= DATA_MOST)
    }

    /// When it is to be told of, if that is still to come.
    pub fn alarm_ms(&self) -> Option<WallMs> {
        let alarm = self.put.as_ref().filter(|_| self.is_open())?.alarm.as_ref()?;
        (!alarm.done).then_some(alarm.at_ms)
    }

    /// The place of its put in the order.
    pub fn put_at(&self) -> Option<&Stamp> {
        self.put.as_ref().map(|put| &put.at)
    }

    /// Its place among the acts of a sum.
    pub fn place(&self) -> Option<&Stamp> {
        self.put.as_ref().map(|put| put.from.as_ref().unwrap_or(&put.at))
    }

    /// Whether it stands for acts of one gateway that were folded.
    pub fn is_fold(&self) -> bool {
        let gateway = self.gateway().and_then(|gateway| self.part.strip_prefix(gateway));
        gateway.and_then(|rest| rest.strip_prefix('/')) == Some(FOLD)
    }

    /// The gateway that put it.
    pub fn gateway(&self) -> Option<&str> {
        self.put.as_ref().map(|put| put.at.gateway.as_str())
    }

    fn last_ms(&self) -> i64 {
        let halves = [self.put.as_ref().map(|put| put.at.ms), self.end.as_ref().map(|end| end.at.ms)];
        halves.into_iter().flatten().max().unwrap_or(i64::MIN)
    }

    /// The slot of both accounts: of each half the later one.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let gives_back = |put: &Put, end: &End| end.how == Ended::GivenBack && put.at < end.at;
        let puts = || [&self.put, &other.put].into_iter().flatten();
        let ends = || [&self.end, &other.end].into_iter().flatten();
        let past = ends().filter(|end| puts().any(|put| gives_back(put, end))).map(|end| end.at.clone());
        let was = past.max().max(self.was.clone()).max(other.was.clone());
        let amnesty = self.amnesty.clone().max(other.amnesty.clone());
        let end = match (self.end, other.end) {
            (Some(a), Some(b)) => Some(if (&a.at, a.how) >= (&b.at, b.how) { a } else { b }),
            (a, b) => a.or(b),
        };
        let put = match (self.put, other.put) {
            (Some(mut a), Some(b)) if a.at == b.at => {
                // That it was told of is known to the one that told.
                if let (Some(alarm), Some(told)) = (&mut a.alarm, &b.alarm) {
                    alarm.done |= told.done;
                }
                Some(a)
            }
            (Some(a), Some(b)) => Some(if a.at > b.at { a } else { b }),
            (a, b) => a.or(b),
        };
        Self { put, end, was, amnesty, keep_ms: self.keep_ms.max(other.keep_ms), ..self }
    }

    /// The slot after a change.
    pub fn after(before: Option<Self>, write: &SlotWrite, gateway: &str) -> Self {
        let mut slot = before.unwrap_or_else(|| Self {
            register: write.register.clone(),
            key: write.key.clone(),
            holder: write.holder.clone(),
            part: write.part.clone(),
            keep_ms: write.keep_ms,
            shared: write.shared,
            put: None,
            end: None,
            was: None,
            amnesty: None,
        });
        let last = slot.last_ms();
        let at = Stamp {
            ms: write.by.at_ms.unwrap_or(last).max(last.saturating_add(1)),
            gateway: gateway.to_owned(),
            visit: write.by.visit.0,
        };
        match &write.change {
            Change::Put(what) => {
                let again = slot.put.as_ref().is_some_and(|put| {
                    at.visit != 0 && (put.at.gateway.as_str(), put.at.visit) == (gateway, at.visit)
                });
                if again && slot.is_open() {
                    return slot;
                }
                let put =
                    Put { at, lane: write.by.lane.clone(), since_ms: write.by.at_ms, ..(**what).clone() };
                slot.put = Some(put);
                slot.keep_ms = write.keep_ms;
            }
            Change::End(how, officer) => {
                match (how, slot.is_open()) {
                    (Ended::GivenBack, true) => slot.was = Some(at.clone()),
                    (Ended::Corrected, false) => slot.amnesty = Some(at.clone()),
                    (Ended::GivenBack | Ended::Corrected | Ended::Withdrawn | Ended::Conflict, _) => {}
                }
                slot.end = Some(End {
                    at,
                    lane: write.by.lane.clone(),
                    at_ms: write.by.at_ms,
                    how: *how,
                    officer: officer.clone(),
                });
                slot.keep_ms = write.keep_ms;
            }
            Change::Told => {
                if let Some(alarm) = slot.put.as_mut().and_then(|put| put.alarm.as_mut()) {
                    alarm.done = true;
                }
            }
        }
        slot
    }
}

/// What happens to a slot.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// It is held from now on; when, where and its place in the order are those of the write.
    Put(Box<Put>),
    /// It is held no longer.
    End(Ended, Option<OfficerId>),
    /// Its alarm was told.
    Told,
}

/// A change of one slot. How the slot is now decides the place in the order: the store knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct SlotWrite {
    /// The register.
    pub register: String,
    /// What is held, as a keyed hash.
    pub key: String,
    /// By whom, as a keyed hash.
    pub holder: String,
    /// Which act, in a register that sums up; else empty.
    pub part: String,
    /// How long a slot that ended is kept, in milliseconds.
    pub keep_ms: i64,
    /// Whether the other gateways of the site are told.
    pub shared: bool,
    /// Where, in which visit, when.
    pub by: Redemption,
    /// What happens.
    pub change: Change,
}

/// Whether the key has room for one alone, and had it when this was put.
fn is_alone(slot: &&Slot) -> bool {
    slot.put.as_ref().is_some_and(|put| put.alone)
}

/// The slot that another gateway had given away before this one was put.
fn behind<'a>(late: &Slot, slots: &'a [Slot]) -> Option<&'a Slot> {
    let put = late.put.as_ref()?;
    slots.iter().filter(is_alone).find(|first| {
        let Some(before) = &first.put else { return false };
        first.holder != late.holder
            && before.at.gateway != put.at.gateway
            && before.at < put.at
            && (first.is_open() || first.end.as_ref().is_some_and(|end| end.at > put.at))
    })
}

/// Of slots of one key those that another gateway had given away before: each is ended, and the one that counts is named
/// beside it.
pub fn conflicts(slots: &[Slot]) -> Vec<(Slot, Slot)> {
    let mut found = Vec::new();
    for late in slots.iter().filter(is_alone).filter(|slot| slot.is_open()) {
        let Some((put, first)) = late.put.as_ref().zip(behind(late, slots)) else { continue };
        let end = End {
            at: put.at.clone(),
            lane: put.lane.clone(),
            at_ms: put.since_ms,
            how: Ended::Conflict,
            officer: None,
        };
        found.push((Slot { end: Some(end), ..late.clone() }, first.clone()));
    }
    found
}

/// Of slots of one key those that another gateway has ended as conflicts, and of which a gateway that has put one of the
/// two hears now: it would not know of them, had it not heard of both while they were open. `before` is what it knew.
pub fn heard_conflicts(before: &[Slot], slots: &[Slot], own: &str) -> Vec<(Slot, Slot)> {
    let known = |late: &Slot| {
        let one = |slot: &&Slot| slot.name() == late.name() && slot.put_at() == late.put_at();
        before.iter().find(one).is_some_and(|slot| slot.has_lost() && behind(slot, before).is_some())
    };
    let lost = slots.iter().filter(is_alone).filter(|slot| slot.has_lost());
    let pairs = lost.filter_map(|late| behind(late, slots).map(|first| (late, first)));
    pairs
        .filter(|(late, first)| [late.gateway(), first.gateway()].contains(&Some(own)) && !known(late))
        .map(|(late, first)| (late.clone(), first.clone()))
        .collect()
}

/// The text of which a key or a holder of a register is made: every spelling of an id is one.
fn text_of(register: &str, lane: Option<&LaneId>, text: &str) -> String {
    let text = id::normal(text);
    match lane {
        Some(lane) => format!("{register}:{lane}/{text}"),
        None => format!("{register}:{text}"),
    }
}

/// What stands for a text in a register: its hash under the key in use, and under those before. Of a register of one
/// lane the keys are that lane's.
pub fn hashed(subjects: &SubjectKeys, register: &str, lane: Option<&LaneId>, text: &str) -> Vec<String> {
    subjects.all(&text_of(register, lane, text))
}

/// The same for what staff name: as it is scanned, or, where no list names it, `#` and the hash that they are shown.
pub fn meant(subjects: &SubjectKeys, register: &str, lane: Option<&LaneId>, text: &str) -> Vec<String> {
    match text.strip_prefix('#').filter(|hash| SubjectKey::is_one(hash)) {
        Some(hash) => vec![hash.to_owned()],
        None => hashed(subjects, register, lane, text),
    }
}

#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
