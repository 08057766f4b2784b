//! What visits and staff do to registers. A visit keeps what it is going to do ([`Intent`]) until it is admitted.

use super::{
    Alarm, AlarmWhen, Asks, Change, Ended, Place, Put, Register, SEALS, Scope, Seen, SlotWrite, Stamp, facts,
    fill, hashed, look, meant,
};
use crate::codes::Outcome;
use crate::ids::{OfficerId, VisitId};
use crate::lane::Setup;
use crate::lane::step::Cx;
use crate::lane::visit::Visit;
use crate::records::{Records, RecordsFault, Redemption, Write};
use crate::time::{Now, WallMs};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What is done to a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// The holder holds the key.
    Put,
    /// The holder gives it back; without a key, everything.
    Take,
    /// Nothing.
    Look,
    /// What others hold under the key is given back, then the holder holds it.
    Swap,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Put, Self::Take, Self::Look, Self::Swap];
    /// The word in profiles and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Take => "take",
            Self::Look => "look",
            Self::Swap => "swap",
        }
    }
    /// The one of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.as_str() == word)
    }
}

/// What a visit does to a register when its time comes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// The step.
    pub step: usize,
    /// The register.
    pub register: String,
    /// What is done.
    pub act: Act,
    /// The hashes of each key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Vec<String>>,
    /// The hashes of the holder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holder: Vec<String>,
    /// How many slots a key has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// Until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<WallMs>,
    /// How much.
    #[serde(default)]
    pub amount: i64,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    /// Whether it is done: a reservation before the admission.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub written: bool,
    /// Slots that it has put, each by its key and its holder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub put: Vec<(String, String)>,
}

impl Intent {
    fn place(&self) -> Place {
        Place { keys: self.keys.clone(), holder: self.holder.clone(), limit: self.limit }
    }
}

/// Whether a key is full of others.
pub(crate) fn is_full(seen: &Seen, limit: Option<i64>, now_ms: Option<WallMs>) -> bool {
    let mine = seen.mine.as_ref().is_some_and(|slot| slot.is_held(now_ms));
    !mine && limit.is_some_and(|most| seen.held >= most)
}

/// Does what the visit has not done yet, of one step or of all; its facts of these registers stay what they were before.
pub(crate) fn write(cx: &mut Cx<'_>, step: Option<usize>) -> Result<(), RecordsFault> {
    let setup = cx.setup;
    let now_ms = cx.now.wall_ms;
    for at in 0..cx.visit.acts.len() {
        let intent = cx.visit.acts[at].clone();
        if intent.written || step.is_some_and(|step| intent.step != step) {
            continue;
        }
        cx.visit.acts[at].written = true;
        let by = Redemption { lane: setup.lane.clone(), visit: cx.visit.id, at_ms: now_ms };
        let Some(register) = setup.profile.register(&intent.register) else {
            let ends = intent.keys.iter().filter_map(|key| key.first());
            // A seal that was removed: whose it was does not matter.
            let removed = |key: &String| SlotWrite {
                register: intent.register.clone(),
                key: key.clone(),
                holder: key.clone(),
                part: String::new(),
                keep_ms: FOR_EVER_MS,
                shared: true,
                by: by.clone(),
                change: Change::End(Ended::GivenBack, None),
            };
            cx.out.writes.extend(ends.map(|key| Write::Slot(Box::new(removed(key)))));
            continue;
        };
        let place = intent.place();
        freeze(cx, register, &place)?;
        let doing = Doing { setup, records: cx.records, register, by: &by };
        let flag = register.over.is_some_and(|code| {
            cx.visit.findings.iter().any(|f| f.code == code && f.outcome == Outcome::Admit)
        });
        let (writes, put) = doing.all(&intent, &place, flag)?;
        cx.out.writes.extend(writes);
        cx.visit.acts[at].put = put;
    }
    Ok(())
}

/// How long what is never forgotten is kept.
const FOR_EVER_MS: i64 = i64::MAX / 2;

/// What the visit is told of a register from now on does not count its own acts.
fn freeze(cx: &mut Cx<'_>, register: &Register, place: &Place) -> Result<(), RecordsFault> {
    let others = cx.visit.acts.iter().filter(|act| act.register == register.name && act.written);
    if others.count() > 1 {
        return Ok(());
    }
    let facts = facts(cx.records, register, place, Asks::ALL, cx.now.wall_ms)?;
    fill(&mut cx.visit.facts, &register.name, Some(facts), std::iter::empty());
    Ok(())
}

/// Changes, and the slots that were put among them.
type Done = (Vec<Write>, Vec<(String, String)>);

struct Doing<'a> {
    setup: &'a Setup,
    records: &'a dyn Records,
    register: &'a Register,
    by: &'a Redemption,
}

impl Doing<'_> {
    fn change(&self, (key, holder): (&String, &String), part: String, change: Change) -> Write {
        Write::Slot(Box::new(SlotWrite {
            register: self.register.name.clone(),
            key: key.clone(),
            holder: holder.clone(),
            part,
            keep_ms: self.register.keep_ms,
            shared: self.register.scope == Scope::Site,
            by: self.by.clone(),
            change,
        }))
    }

    fn end(&self, slot: &super::Slot, how: Ended, officer: Option<&OfficerId>) -> Write {
        self.change((&slot.key, &slot.holder), slot.part.clone(), Change::End(how, officer.cloned()))
    }

    fn all(&self, intent: &Intent, place: &Place, flag: bool) -> Result<Done, RecordsFault> {
        let mut done = Done::default();
        let Some(holder) = intent.holder.first().filter(|_| intent.act != Act::Look) else { return Ok(done) };
        if intent.act == Act::Take && intent.keys.is_empty() {
            let own = self.records.slots_of(&self.register.name, &intent.holder)?;
            let held = own.iter().filter(|slot| slot.is_open());
            done.0.extend(held.map(|slot| self.end(slot, Ended::GivenBack, None)));
            return Ok(done);
        }
        let asks = Asks::default();
        let seen = look(self.records, self.register, place, asks, self.by.at_ms)?;
        for (keys, seen) in intent.keys.iter().zip(&seen) {
            let Some(key) = keys.first() else { continue };
            if self.register.sum {
                done.0.push(self.summand(intent, (key, holder)));
                continue;
            }
            let mine = seen.mine.as_ref().filter(|slot| slot.is_open());
            let name = mine.map_or((key, holder), |slot| (&slot.key, &slot.holder));
            match intent.act {
                Act::Look => {}
                Act::Take => match mine {
                    Some(slot) => done.0.push(self.end(slot, Ended::GivenBack, None)),
                    // Another gateway may have put it, and not told of it yet.
                    None if self.register.scope == Scope::Site => {
                        let end = Change::End(Ended::GivenBack, None);
                        done.0.push(self.change((key, holder), String::new(), end));
                    }
                    None => {}
                },
                Act::Put | Act::Swap => {
                    let full = is_full(seen, intent.limit, self.by.at_ms);
                    let swap = intent.act == Act::Swap;
                    if full && flag && !swap {
                        continue;
                    }
                    if swap {
                        let slots = self.records.slots(&self.register.name, keys)?;
                        let others =
                            slots.iter().filter(|s| s.is_open() && !intent.holder.contains(&s.holder));
                        done.0.extend(others.map(|slot| self.end(slot, Ended::GivenBack, None)));
                    }
                    let alone = intent.limit == Some(1) && (swap || !full);
                    done.0.push(self.change(name, String::new(), self.put(intent, alone)));
                    done.1.push((name.0.clone(), name.1.clone()));
                }
            }
        }
        Ok(done)
    }

    fn put(&self, intent: &Intent, alone: bool) -> Change {
        let alarm = self.register.alarm.as_ref().and_then(|(when, event)| {
            let at_ms = match when {
                AlarmWhen::After(ms) => self.by.at_ms.map(|now| now.saturating_add(*ms)),
                AlarmWhen::Until => intent.until_ms,
            };
            Some(Alarm { at_ms: at_ms?, event: event.clone(), done: false })
        });
        Change::Put(Box::new(Put {
            at: Stamp::default(),
            lane: self.setup.lane.clone(),
            since_ms: None,
            until_ms: intent.until_ms,
            expires: self.register.expires,
            amount: intent.amount,
            counted: false,
            from: None,
            data: intent.data.clone(),
            alone,
            alarm,
        }))
    }

    /// An act of a register that sums up is a slot of its own. A box that has taken the place of another counts its
    /// visits from one again: the time tells its acts from those before.
    fn summand(&self, intent: &Intent, name: (&String, &String)) -> Write {
        let at_ms = self.by.at_ms.unwrap_or(0);
        let part = format!("{}/{}/{}/{at_ms}", self.setup.gateway, self.by.visit, intent.step);
        let Change::Put(mut put) = self.put(intent, false) else { unreachable!("a put is a put") };
        match intent.act {
            Act::Take => put.amount = put.amount.saturating_neg(),
            Act::Swap => put.counted = true,
            Act::Put | Act::Look => {}
        }
        self.change(name, part, Change::Put(put))
    }
}

/// What a visit that ends without a verdict has reserved is free again.
pub(crate) fn withdraw(setup: &Setup, visit: &Visit) -> Vec<Write> {
    let by = Redemption { lane: setup.lane.clone(), visit: visit.id, at_ms: None };
    let reserved = visit.acts.iter().filter(|_| !visit.admitted);
    let ends = reserved.flat_map(|intent| intent.put.iter().map(move |name| (intent, name)));
    let end = |(intent, (key, holder)): (&Intent, &(String, String))| {
        let register = setup.profile.register(&intent.register)?;
        Some(Write::Slot(Box::new(SlotWrite {
            register: register.name.clone(),
            key: key.clone(),
            holder: holder.clone(),
            part: String::new(),
            keep_ms: register.keep_ms,
            shared: register.scope == Scope::Site,
            by: by.clone(),
            change: Change::End(Ended::Withdrawn, None),
        })))
    };
    ends.filter_map(end).collect()
}

/// The seals of a plate, for whoever checks them at another lane of the site; the newest of a plate is kept. `record`
/// is as an entry of the list `seals`.
pub(crate) fn keep_seals(cx: &mut Cx<'_>, plate: &str, record: Map<String, Value>) {
    let key = hashed(&cx.setup.subjects, SEALS, None, plate).swap_remove(0);
    let by = Redemption { lane: cx.setup.lane.clone(), visit: cx.visit.id, at_ms: cx.now.wall_ms };
    let put = Put {
        at: Stamp::default(),
        lane: cx.setup.lane.clone(),
        since_ms: None,
        until_ms: None,
        expires: false,
        amount: 0,
        counted: false,
        from: None,
        data: record,
        alone: false,
        alarm: None,
    };
    cx.out.writes.push(Write::Slot(Box::new(SlotWrite {
        register: SEALS.into(),
        holder: key.clone(),
        key,
        part: String::new(),
        keep_ms: FOR_EVER_MS,
        shared: true,
        by,
        change: Change::Put(Box::new(put)),
    })));
}

/// What staff do to a register by name and reason; `holder` is nobody for all of the key.
pub(crate) fn correct(
    (setup, records, now): (&Setup, &dyn Records, &Now),
    register: &Register,
    (key, holder): (&str, Option<&str>),
    act: Act,
    officer: &OfficerId,
) -> Result<Vec<Write>, RecordsFault> {
    let by = Redemption { lane: setup.lane.clone(), visit: VisitId(0), at_ms: now.wall_ms };
    let doing = Doing { setup, records, register, by: &by };
    let lane = (register.scope == Scope::Lane).then_some(&setup.lane);
    let keys = meant(&setup.subjects, &register.name, lane, key);
    let holders = holder.map(|text| meant(&setup.subjects, &register.name, None, text));
    let slots = records.slots(&register.name, &keys)?;
    let is_meant = |slot: &&super::Slot| holders.as_ref().is_none_or(|all| all.contains(&slot.holder));
    let mut writes = Vec::new();
    match act {
        Act::Look => {}
        Act::Take => {
            let meant: Vec<_> = slots.iter().filter(is_meant).collect();
            // Of what is over already it takes away that it was there.
            let any = meant.iter().any(|slot| slot.is_open());
            let ended: BTreeSet<_> =
                meant.into_iter().filter(|slot| !any || slot.is_open()).map(|s| s.name()).collect();
            let ended = slots.iter().filter(|slot| ended.contains(&slot.name()));
            writes.extend(ended.map(|slot| doing.end(slot, Ended::Corrected, Some(officer))));
        }
        Act::Put | Act::Swap => {
            if act == Act::Swap {
                let others = slots.iter().filter(|slot| slot.is_open() && !is_meant(slot));
                writes.extend(others.map(|slot| doing.end(slot, Ended::Corrected, Some(officer))));
            }
            let mine = slots.iter().filter(is_meant).find(|slot| slot.is_open());
            let fresh = keys.first().zip(holders.as_ref().and_then(|all| all.first()));
            if let Some(name) = mine.map(|slot| (&slot.key, &slot.holder)).or(fresh) {
                let intent = Intent {
                    step: 0,
                    register: register.name.clone(),
                    act,
                    keys: Vec::new(),
                    holder: Vec::new(),
                    limit: None,
                    until_ms: None,
                    amount: 0,
                    data: Map::new(),
                    written: true,
                    put: Vec::new(),
                };
                writes.push(doing.change(name, String::new(), doing.put(&intent, false)));
            }
        }
    }
    Ok(writes)
}
