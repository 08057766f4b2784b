//! Slots of registers: what each holds, who of the site has told of it, what must be told.
//!
//! A slot is kept as one text. Beside it stand the columns that it is looked for by; they follow from the text
//! ([`keep`]). How many slots of a key are held is a count over an index that has those alone.

use super::Journal;
use crate::store::bound;
use kakou_core::event::{Class, NewEvent};
use kakou_core::ids::GatewayId;
use kakou_core::register::{Asks, Seen, Slot, SlotWrite, conflicts, see, summed};
use kakou_core::time::Now;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde_json::{Value, json};

/// What format 3 adds.
pub const SCHEMA: &str = "
CREATE TABLE slot (register TEXT NOT NULL, key TEXT NOT NULL, holder TEXT NOT NULL, part TEXT NOT NULL,
  put_ms INTEGER, held INTEGER NOT NULL, past INTEGER NOT NULL, counts INTEGER NOT NULL, own INTEGER NOT NULL,
  alarm_ms INTEGER, gone_ms INTEGER, told INTEGER NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (register, key, holder, part)) WITHOUT ROWID;
CREATE INDEX slot_held ON slot (register, key, put_ms) WHERE held = 1;
CREATE INDEX slot_latest ON slot (register, key, put_ms) WHERE counts = 1;
CREATE INDEX slot_holder ON slot (register, holder);
CREATE INDEX slot_alarm ON slot (alarm_ms) WHERE alarm_ms IS NOT NULL;
CREATE INDEX slot_gone ON slot (gone_ms) WHERE gone_ms IS NOT NULL;
CREATE INDEX slot_untold ON slot (told) WHERE told = 0;
";

/// Slots that are forgotten in one transaction.
const ROUND: i64 = 2_000;

fn read(body: &[u8]) -> rusqlite::Result<Slot> {
    serde_json::from_slice(body)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(e)))
}

fn row(r: &Row<'_>) -> rusqlite::Result<Slot> {
    read(&r.get::<_, Vec<u8>>(0)?)
}

/// Some slots, by what follows `SELECT body FROM slot`.
fn some(connection: &Connection, which: &str, of: &[Sql]) -> rusqlite::Result<Vec<Slot>> {
    let sql = format!("SELECT body FROM slot {which}");
    connection.prepare_cached(&sql)?.query_map(params_from_iter(of), row)?.collect()
}

fn first(connection: &Connection, which: &str, of: &[Sql]) -> rusqlite::Result<Option<Slot>> {
    let sql = format!("SELECT body FROM slot {which} LIMIT 1");
    connection.prepare_cached(&sql)?.query_row(params_from_iter(of), row).optional()
}

/// `?2, ?3 …` for so many names, from a place on.
fn places(from: usize, count: usize) -> String {
    let all: Vec<String> = (from..from + count).map(|n| format!("?{n}")).collect();
    all.join(", ")
}

fn names(register: &str, names: &[String]) -> Vec<Sql> {
    std::iter::once(register)
        .chain(names.iter().map(String::as_str))
        .map(|t| Sql::Text(t.to_owned()))
        .collect()
}

/// A slot as it stands.
pub fn find(connection: &Connection, slot: &Slot) -> rusqlite::Result<Option<Slot>> {
    by_name(connection, [&slot.register, &slot.key, &slot.holder, &slot.part])
}

fn by_name(connection: &Connection, name: [&String; 4]) -> rusqlite::Result<Option<Slot>> {
    let sql = "SELECT body FROM slot WHERE register = ?1 AND key = ?2 AND holder = ?3 AND part = ?4";
    connection.prepare_cached(sql)?.query_row(name, row).optional()
}

/// Keeps a slot; `told` says that the other gateways need not hear of it.
pub fn keep(connection: &Connection, own: &GatewayId, slot: &Slot, told: bool) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO slot (register, key, holder, part, put_ms, held, past, counts, own, alarm_ms, gone_ms,
                 told, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let body = serde_json::to_vec(slot).expect("a slot has only string keys");
    let is_own = slot.gateway() == Some(own.as_str());
    connection
        .prepare_cached(sql)?
        .execute(params![
            slot.register,
            slot.key,
            slot.holder,
            slot.part,
            slot.put.as_ref().map(|put| put.at.ms),
            slot.is_open(),
            slot.is_past(),
            slot.counts(),
            is_own,
            slot.alarm_ms().filter(|_| is_own),
            slot.gone_ms(),
            told,
            body
        ])
        .map(drop)
}

/// Slots of a register by keys, in the order in which they were put.
pub fn of_keys(connection: &Connection, register: &str, keys: &[String]) -> rusqlite::Result<Vec<Slot>> {
    let which = format!("WHERE register = ?1 AND key IN ({}) ORDER BY put_ms", places(2, keys.len()));
    some(connection, &which, &names(register, keys))
}

/// Slots of a register by holders, in the order in which they were put.
pub fn of_holders(
    connection: &Connection,
    register: &str,
    holders: &[String],
) -> rusqlite::Result<Vec<Slot>> {
    let which = format!("WHERE register = ?1 AND holder IN ({}) ORDER BY put_ms", places(2, holders.len()));
    some(connection, &which, &names(register, holders))
}

/// Slots of a register that are held, whoever has them; the latest first, no more than so many.
pub fn held(connection: &Connection, register: &str, most: u32) -> rusqlite::Result<Vec<Slot>> {
    let of = [Sql::Text(register.to_owned()), Sql::Integer(most.into())];
    let slots = some(connection, "WHERE register = ?1 AND held = 1 ORDER BY put_ms DESC LIMIT ?2", &of)?;
    Ok(summed(slots))
}

/// What stands under a key, without reading what is not asked for.
pub fn seen(
    connection: &Connection,
    register: &str,
    (keys, holders): (&[String], &[String]),
    asks: Asks,
    now_ms: Option<i64>,
) -> rusqlite::Result<Seen> {
    let of_key = format!("WHERE register = ?1 AND key IN ({})", places(2, keys.len()));
    let of = names(register, keys);
    // Slots that end by themselves, and acts of a sum, are few under a key: they are read.
    let plain = "SELECT 1 FROM slot WHERE register = ?1 AND (part <> '' OR held = 1 AND gone_ms IS NOT NULL) AND key IN";
    let plain = format!("{plain} ({}) LIMIT 1", places(2, keys.len()));
    if connection.prepare_cached(&plain)?.exists(params_from_iter(&of))? {
        return Ok(see(of_keys(connection, register, keys)?, holders, now_ms));
    }
    let count = format!("SELECT count(*) FROM slot {of_key} AND held = 1");
    let held = connection.prepare_cached(&count)?.query_row(params_from_iter(&of), |r| r.get(0))?;
    let both: Vec<String> = keys.iter().chain(holders).cloned().collect();
    let of_mine = format!("{of_key} AND holder IN ({})", places(2 + keys.len(), holders.len()));
    let mine = some(connection, &of_mine, &names(register, &both))?;
    let mine = see(mine, holders, now_ms).mine;
    let oldest = first(connection, &format!("{of_key} AND held = 1 ORDER BY put_ms"), &of)?;
    let latest = if asks.latest {
        first(connection, &format!("{of_key} AND counts = 1 ORDER BY put_ms DESC"), &of)?
    } else {
        None
    };
    let past = format!("SELECT 1 FROM slot {of_key} AND past = 1");
    let was_held = asks.was_held && connection.prepare_cached(&past)?.exists(params_from_iter(&of))?;
    Ok(Seen { held, mine, oldest, latest, was_held })
}

/// Slots that this gateway must tell of, due until a moment.
pub fn alarms(connection: &Connection, until_ms: i64, most: usize) -> rusqlite::Result<Vec<Slot>> {
    let which = "WHERE alarm_ms <= ?1 ORDER BY alarm_ms LIMIT ?2";
    some(connection, which, &[Sql::Integer(until_ms), Sql::Integer(bound(most))])
}

/// When the next one is due.
pub fn next_alarm(connection: &Connection, after_ms: i64) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT min(alarm_ms) FROM slot WHERE alarm_ms > ?1";
    connection.prepare_cached(sql)?.query_row([after_ms], |r| r.get(0))
}

/// Forgets slots that were over for long enough, a round of them: what is held stays. Runs inside the caller's
/// transaction; says how many.
pub fn forget(connection: &Connection, now_ms: i64) -> rusqlite::Result<u64> {
    let sql = "DELETE FROM slot WHERE (register, key, holder, part) IN
                 (SELECT register, key, holder, part FROM slot WHERE gone_ms < ?1 LIMIT ?2)";
    Ok(connection.prepare_cached(sql)?.execute(params![now_ms, ROUND])? as u64)
}

/// Takes another account of a slot; gives what is new, each with the slot that it stands behind where it lost.
pub fn take(
    connection: &Connection,
    own: &GatewayId,
    told: &Slot,
) -> rusqlite::Result<(Option<Slot>, Vec<(Slot, Slot)>)> {
    let known = find(connection, told)?;
    let merged = match known.clone() {
        Some(known) => known.merge(told.clone()),
        None => told.clone(),
    };
    let new = (known.as_ref() != Some(&merged)).then_some(merged);
    let Some(merged) = &new else { return Ok((None, Vec::new())) };
    // What we have done and they do not know is told again.
    keep(connection, own, merged, merged == told)?;
    let lost = conflicts(&of_keys(connection, &merged.register, std::slice::from_ref(&merged.key))?);
    for (slot, _) in &lost {
        keep(connection, own, slot, false)?;
    }
    Ok((new, lost))
}

impl Journal {
    /// A slot changes.
    pub(super) fn change(&mut self, write: &SlotWrite) -> rusqlite::Result<()> {
        let name = [&write.register, &write.key, &write.holder, &write.part];
        let before = by_name(&self.connection, name)?;
        let slot = Slot::after(before, write, self.author.gateway.as_str());
        keep(&self.connection, &self.author.gateway, &slot, !write.shared)
    }

    /// Takes what another gateway tells of a slot; whether that brings a conflict, which goes on record.
    pub fn peer_slot(&mut self, _from: &GatewayId, told: &Slot, now: &Now) -> rusqlite::Result<bool> {
        let (_, lost) = take(&self.connection, &self.author.gateway, told)?;
        for (late, first) in &lost {
            let event = NewEvent {
                kind: "peer_conflict".into(),
                class: Class::Verdict,
                lane: None,
                visit: None,
                audience: vec!["ops".into(), "transport".into()],
                data: conflict(late, first),
            };
            self.append(&event, now)?;
        }
        Ok(!lost.is_empty())
    }
}

/// The data of a conflict: the slot that counts, and the one that does not.
fn conflict(late: &Slot, first: &Slot) -> Value {
    let one = |slot: &Slot| {
        let put = slot.put.as_ref();
        json!({ "gateway": slot.gateway(), "lane": put.map(|put| &put.lane),
            "visit": put.map(|put| put.at.visit), "at_ms": put.and_then(|put| put.since_ms) })
    };
    json!({ "first": first.gateway(), "register": late.register, "key": late.key,
        "uses": [one(first), one(late)] })
}
