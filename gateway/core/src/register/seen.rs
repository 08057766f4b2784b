//! What may be asked of a register: the facts `register.NAME.*`.

use super::fold::leave_out_covered;
use super::{Limit, Register, Scope, Slot, hashed};
use crate::lane::Setup;
use crate::records::{Records, RecordsFault};
use crate::time::WallMs;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Milliseconds in an hour.
const HOUR_MS: f64 = 3_600_000.0;

/// Where somebody stands in a register: the keys, the holder and the limit that the facts give.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Place {
    /// The hashes of each key; none, where the facts give no key.
    pub keys: Vec<Vec<String>>,
    /// The hashes of the holder; none, where the facts give no holder.
    pub holder: Vec<String>,
    /// How many slots a key has; none, where there is no limit.
    pub limit: Option<i64>,
}

impl Place {
    /// Whether there is a slot that could be asked for.
    pub fn is_there(&self) -> bool {
        !self.keys.is_empty() && !self.holder.is_empty()
    }
}

/// What is asked of a key beside what it holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asks {
    /// Whose the latest slot was.
    pub latest: bool,
    /// Whether one was given back.
    pub was_held: bool,
    /// Whether all slots must be read: they end by themselves, or sum up.
    pub whole: bool,
}

impl Asks {
    /// All of it.
    pub const ALL: Self = Self { latest: true, was_held: true, whole: false };
}

/// What is known of one key, and of one holder.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// How many slots are held.
    pub held: i64,
    /// The holder's own slot, held or not.
    pub mine: Option<Slot>,
    /// The slot that is held for the longest time.
    pub oldest: Option<Slot>,
    /// The latest slot.
    pub latest: Option<Slot>,
    /// Whether a slot was given back.
    pub was_held: bool,
}

/// The acts of a register that sums up as one slot for each holder under each key; slots of other registers as they are.
/// The latest count, and what was added since.
pub fn summed(slots: Vec<Slot>) -> Vec<Slot> {
    let (parts, mut all): (Vec<Slot>, Vec<Slot>) = slots.into_iter().partition(|slot| !slot.part.is_empty());
    let mut sums: BTreeMap<(String, String), Vec<Slot>> = BTreeMap::new();
    for part in parts {
        sums.entry((part.key.clone(), part.holder.clone())).or_default().push(part);
    }
    for (_, mut acts) in sums {
        leave_out_covered(&mut acts);
        acts.retain(Slot::is_open);
        acts.sort_by(|a, b| a.place().cmp(&b.place()));
        let from = acts.iter().rposition(|act| act.put.as_ref().is_some_and(|put| put.counted)).unwrap_or(0);
        let amount =
            acts[from.min(acts.len())..].iter().filter_map(|act| Some(act.put.as_ref()?.amount)).sum();
        if let Some(mut last) = acts.pop() {
            last.part.clear();
            if let Some(put) = &mut last.put {
                put.amount = amount;
            }
            all.push(last);
        }
    }
    all
}

fn order(slot: &Slot) -> Option<&super::Stamp> {
    slot.put_at()
}

/// What some slots of one key say.
pub fn see(slots: Vec<Slot>, holders: &[String], now_ms: Option<WallMs>) -> Seen {
    let slots = summed(slots);
    let held = || slots.iter().filter(|slot| slot.is_held(now_ms));
    let mine = slots.iter().filter(|slot| holders.contains(&slot.holder));
    Seen {
        held: i64::try_from(held().count()).unwrap_or(i64::MAX),
        mine: mine.max_by_key(|slot| (slot.is_held(now_ms), order(slot))).cloned(),
        oldest: held().min_by_key(|slot| order(slot)).cloned(),
        latest: slots.iter().filter(|slot| slot.counts()).max_by_key(|slot| order(slot)).cloned(),
        was_held: slots.iter().any(|slot| slot.was_held(now_ms)),
    }
}

/// The place of whoever the facts are of, in a register. What the facts do not give, or cannot, is not there.
pub(crate) fn place(setup: &Setup, facts: &Map<String, Value>, register: &Register) -> Result<Place, String> {
    let lane = (register.scope == Scope::Lane).then_some(&setup.lane);
    let hash = |lane, text: &str| hashed(&setup.subjects, &register.name, lane, text);
    let keys = texts(register.key.value(facts)?).iter().map(|text| hash(lane, text)).collect();
    let holder = texts(register.holder.value(facts)?);
    let limit = match &register.limit {
        None => None,
        Some(Limit::Number(most)) => Some(*most),
        Some(Limit::Of(most)) => Some(most.number(facts)?).filter(|most| *most > 0),
    };
    Ok(Place { keys, holder: holder.first().map(|text| hash(None, text)).unwrap_or_default(), limit })
}

/// A text or a list of texts; the empty ones are none, and each is one.
fn texts(value: Value) -> Vec<String> {
    let all = match value {
        Value::String(text) => vec![text],
        Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    let mut texts: Vec<String> = Vec::new();
    for text in all {
        if !text.trim().is_empty() && !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

/// The facts of a register while there is no key or no holder.
pub(crate) fn unmade() -> Map<String, Value> {
    let all = json!({ "held": 0, "limit": 0, "free": 1, "mine": false, "was_held": false, "was_mine": false,
        "last_other": false, "since_h": 0.0, "until_h": 0.0, "amount": 0, "last_lane": "", "data": {} });
    all.as_object().cloned().unwrap_or_default()
}

/// What stands under each key of a place.
pub(crate) fn look(
    records: &dyn Records,
    register: &Register,
    place: &Place,
    asks: Asks,
    now_ms: Option<WallMs>,
) -> Result<Vec<Seen>, RecordsFault> {
    let asks = Asks { whole: register.sum || register.expires, ..asks };
    let one = |keys: &Vec<String>| records.seen(&register.name, keys, &place.holder, asks, now_ms);
    place.keys.iter().map(one).collect()
}

/// The facts of a register at a place.
pub(crate) fn facts(
    records: &dyn Records,
    register: &Register,
    place: &Place,
    asks: Asks,
    now_ms: Option<WallMs>,
) -> Result<Map<String, Value>, RecordsFault> {
    let mut facts = unmade();
    if !place.is_there() {
        return Ok(facts);
    }
    let seen = look(records, register, place, asks, now_ms)?;
    let mine = seen.iter().filter_map(|key| key.mine.as_ref()).find(|slot| slot.is_held(now_ms));
    let was_mine = |key: &Seen| key.mine.as_ref().is_some_and(|slot| slot.was_held(now_ms));
    let others = |key: &Seen| key.latest.as_ref().is_some_and(|slot| !place.holder.contains(&slot.holder));
    let free = |key: &Seen| place.limit.map_or(1, |most| (most - key.held).max(0));
    let mut put = |name: &str, value: Value| facts.insert(name.to_owned(), value);
    put("held", json!(seen.iter().map(|key| key.held).sum::<i64>()));
    put("limit", json!(place.limit.unwrap_or(0)));
    put("free", json!(seen.iter().map(free).min().unwrap_or(1)));
    put("mine", json!(mine.is_some()));
    put("was_held", json!(seen.iter().any(|key| key.was_held)));
    put("was_mine", json!(seen.iter().any(was_mine)));
    put("last_other", json!(seen.iter().any(others)));
    // The amount of a sum is that of the holder alone.
    let oldest = seen.iter().filter_map(|key| key.oldest.as_ref()).find(|_| !register.sum);
    if let Some(slot) = mine.or(oldest).and_then(|slot| slot.put.as_ref()) {
        let hours = |ms: i64| ms as f64 / HOUR_MS;
        let since = slot.since_ms.zip(now_ms).map_or(0.0, |(since, now)| hours(now - since));
        let until = slot.until_ms.zip(now_ms).map_or(0.0, |(until, now)| hours(until - now));
        put("since_h", json!(since));
        put("until_h", json!(until));
        put("amount", json!(slot.amount));
        put("last_lane", json!(slot.lane));
        put("data", Value::Object(slot.data.clone()));
    }
    Ok(facts)
}

/// Puts the facts of a register among those of a visit. What no slot says of its data is an empty text.
pub(crate) fn fill<'a>(
    all: &mut Map<String, Value>,
    register: &str,
    facts: Option<Map<String, Value>>,
    data: impl Iterator<Item = &'a str>,
) {
    let group = all.entry("register").or_insert_with(|| json!({}));
    let Some(group) = group.as_object_mut() else { return };
    if let Some(facts) = facts {
        group.insert(register.to_owned(), Value::Object(facts));
    }
    let slot = group.entry(register.to_owned()).or_insert_with(|| Value::Object(unmade()));
    let Some(said) = slot.get_mut("data").and_then(Value::as_object_mut) else { return };
    for name in data {
        said.entry(name.to_owned()).or_insert_with(|| json!(""));
    }
}
