//! Slots of registers: what each holds, who of the site has told of it, what must be told.
//!
//! A slot is kept as one text. Beside it stand the columns that it is looked for by; they follow from the text
//! ([`keep`]). How many slots of a key are held is a count over an index that has those alone.

use super::Journal;
use crate::store::salvage::Fact;
use crate::store::{bound, catch_up, has_column};
use kakou_core::event::{Class, NewEvent};
use kakou_core::ids::GatewayId;
use kakou_core::register::{
    Asks, Seen, Slot, SlotName, SlotWrite, conflicts, fold, heard_conflicts, see, summed,
};
use kakou_core::time::Now;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use serde_json::{Value, json};

/// What format 3 adds. Short: where the tables stand is to fit the first page of the file, so that damage to any other
/// leaves the rest to be read.
pub const SCHEMA: &str = "
CREATE TABLE slot (register, key, holder, part, put_ms, held, past, counts, gateway, alarm_ms, gone_ms, told, body, teller, PRIMARY KEY (register, key, holder, part)) WITHOUT ROWID;
CREATE INDEX slot_key ON slot (register, key, held, put_ms);
CREATE INDEX slot_holder ON slot (register, holder) WHERE held = 1;
CREATE INDEX slot_alarm ON slot (alarm_ms) WHERE alarm_ms NOTNULL;
CREATE INDEX slot_gone ON slot (gone_ms, teller);
CREATE INDEX slot_told ON slot (told) WHERE told = 0;
";

/// Makes room for who has told of a slot, in a journal of this format that does not know of it.
pub fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    if has_column(connection, "slot", "teller")? {
        return Ok(());
    }
    connection.execute_batch(
        "BEGIN; ALTER TABLE slot ADD COLUMN teller;
         DROP INDEX slot_gone; CREATE INDEX slot_gone ON slot (gone_ms, teller); COMMIT;",
    )
}

/// Slots that one other gateway has told and that are kept; beyond it those go that were given back first, and what is
/// held last.
pub const MOST: i64 = 100_000;

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
pub fn keep(connection: &Connection, slot: &Slot, told: bool) -> rusqlite::Result<()> {
    // Whose word it is stays what it was.
    let sql = "INSERT INTO slot (register, key, holder, part, put_ms, held, past, counts, gateway, alarm_ms, gone_ms,
                 told, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
               ON CONFLICT (register, key, holder, part) DO UPDATE SET put_ms = ?5, held = ?6, past = ?7, counts = ?8,
                 gateway = ?9, alarm_ms = ?10, gone_ms = ?11, told = ?12, body = ?13";
    let body = serde_json::to_vec(slot).expect("a slot has only string keys");
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
            slot.gateway(),
            slot.alarm_ms(),
            slot.gone_ms(),
            told || !slot.shared,
            body
        ])
        .map(drop)
}

/// Slots of a register by keys, in the order in which they were put.
pub fn of_keys(connection: &Connection, register: &str, keys: &[String]) -> rusqlite::Result<Vec<Slot>> {
    let which = format!("WHERE register = ?1 AND key IN ({}) ORDER BY put_ms", places(2, keys.len()));
    some(connection, &which, &names(register, keys))
}

/// Slots of a register that some holders hold, in the order in which they were put.
pub fn of_holders(
    connection: &Connection,
    register: &str,
    holders: &[String],
) -> rusqlite::Result<Vec<Slot>> {
    let which = format!(
        "WHERE register = ?1 AND held = 1 AND holder IN ({}) ORDER BY put_ms",
        places(2, holders.len())
    );
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
    if asks.whole {
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
        let one = |which: &str| first(connection, &format!("{of_key} AND {which} ORDER BY put_ms DESC"), &of);
        let latest = [one("held = 1")?, one("held = 0 AND counts = 1")?];
        latest.into_iter().flatten().max_by(|a, b| a.put_at().cmp(&b.put_at()))
    } else {
        None
    };
    let past = format!("SELECT 1 FROM slot {of_key} AND past = 1");
    let was_held = asks.was_held && connection.prepare_cached(&past)?.exists(params_from_iter(&of))?;
    Ok(Seen { held, mine, oldest, latest, was_held })
}

/// Slots that this gateway must tell of, due until a moment.
pub fn alarms(
    connection: &Connection,
    own: &GatewayId,
    until_ms: i64,
    most: usize,
) -> rusqlite::Result<Vec<Slot>> {
    let which = "WHERE alarm_ms <= ?1 AND gateway = ?2 ORDER BY alarm_ms LIMIT ?3";
    let of = [Sql::Integer(until_ms), Sql::Text(own.to_string()), Sql::Integer(bound(most))];
    some(connection, which, &of)
}

/// When the next one is due.
pub fn next_alarm(connection: &Connection, own: &GatewayId, after_ms: i64) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT min(alarm_ms) FROM slot WHERE alarm_ms > ?1 AND gateway = ?2";
    connection.prepare_cached(sql)?.query_row(params![after_ms, own.as_str()], |r| r.get(0))
}

/// Forgets slots that were over for long enough, where what is held stays, and what one other gateway has told beyond
/// [`MOST`]: a round of it. Runs inside the caller's transaction; says how many.
pub fn forget(connection: &Connection, now_ms: i64) -> rusqlite::Result<u64> {
    let sql = "DELETE FROM slot WHERE (register, key, holder, part) IN
                 (SELECT register, key, holder, part FROM slot WHERE gone_ms < ?1 LIMIT ?2)";
    let mut forgotten = connection.prepare_cached(sql)?.execute(params![now_ms, ROUND])? as u64;
    let sql = "SELECT teller, count(*) FROM slot WHERE teller NOTNULL GROUP BY teller HAVING count(*) > ?1";
    let mut select = connection.prepare_cached(sql)?;
    let beyond: Vec<(String, i64)> =
        select.query_map([MOST], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    for (teller, count) in beyond {
        let sql = "DELETE FROM slot WHERE (register, key, holder, part) IN (SELECT register, key, holder, part FROM slot
                     WHERE teller = ?1 ORDER BY gone_ms IS NULL, gone_ms LIMIT ?2)";
        let gone = params![teller, (count - MOST).min(ROUND)];
        forgotten += connection.prepare_cached(sql)?.execute(gone)? as u64;
    }
    Ok(forgotten)
}

/// A slot that lost, and the one that it stands behind.
pub type Lost = (Slot, Slot);

/// Takes another account of a slot; gives what is new, and each slot that lost by it with the one that it stands behind,
/// also where the other gateway has found so before. A slot stays the word of whoever has told of it first, or this gateway's own: nobody can make it go by telling more.
pub fn take(
    connection: &Connection,
    (own, teller): (&GatewayId, &GatewayId),
    told: &Slot,
) -> rusqlite::Result<(Option<Slot>, Vec<Lost>)> {
    let known = find(connection, told)?;
    let Some(merged) = merge(connection, told, true)? else { return Ok((None, Vec::new())) };
    if known.is_none() {
        let sql =
            "UPDATE slot SET teller = ?5 WHERE register = ?1 AND key = ?2 AND holder = ?3 AND part = ?4";
        let of = params![told.register, told.key, told.holder, told.part, teller.as_str()];
        connection.prepare_cached(sql)?.execute(of)?;
    }
    let slots = of_keys(connection, &merged.register, std::slice::from_ref(&merged.key))?;
    let mut lost = conflicts(&slots);
    for (slot, _) in &lost {
        keep(connection, slot, false)?;
    }
    if merged.put.as_ref().is_some_and(|put| put.alone) {
        let others = slots.iter().filter(|slot| slot.name() != merged.name()).cloned();
        let before: Vec<Slot> = others.chain(known).collect();
        lost.extend(heard_conflicts(&before, &slots, own.as_str()));
    }
    Ok((Some(merged), lost))
}

/// Puts another account of a slot beside what is known of it; gives what is new. What was heard from the others need not
/// be told to them again. An act of a sum that was folded is not taken once more, and goes when its fold comes.
pub fn merge(connection: &Connection, told: &Slot, heard: bool) -> rusqlite::Result<Option<Slot>> {
    if fold_of(connection, told)?.is_some_and(|fold| told.is_covered_by(&fold)) {
        return Ok(None);
    }
    let known = find(connection, told)?;
    let merged = match known.clone() {
        Some(known) => known.merge(told.clone()),
        None => told.clone(),
    };
    if known.as_ref() == Some(&merged) {
        return Ok(None);
    }
    // What we have done and they do not know is told again.
    keep(connection, &merged, heard && merged == *told)?;
    drop_covered(connection, &merged)?;
    Ok(Some(merged))
}

/// The fold of which an act of a sum may be.
fn fold_of(connection: &Connection, act: &Slot) -> rusqlite::Result<Option<Slot>> {
    let Some(part) = act.folded_as() else { return Ok(None) };
    by_name(connection, [&act.register, &act.key, &act.holder, &part])
}

/// Drops the acts that a fold stands for; says how many.
fn drop_covered(connection: &Connection, fold: &Slot) -> rusqlite::Result<u64> {
    if !fold.is_fold() {
        return Ok(0);
    }
    let mut dropped = 0;
    for act in of_sum(connection, [&fold.register, &fold.key, &fold.holder])? {
        if act.is_covered_by(fold) {
            let sql = "DELETE FROM slot WHERE register = ?1 AND key = ?2 AND holder = ?3 AND part = ?4";
            let name = [&act.register, &act.key, &act.holder, &act.part];
            dropped += connection.prepare_cached(sql)?.execute(name)? as u64;
        }
    }
    Ok(dropped)
}

/// The slots of one holder under one key.
fn of_sum(connection: &Connection, name: [&String; 3]) -> rusqlite::Result<Vec<Slot>> {
    let of = name.map(|text| Sql::Text(text.clone()));
    some(connection, "WHERE register = ?1 AND key = ?2 AND holder = ?3", &of)
}

/// Sums whose acts are folded in one transaction.
const SUMS: usize = 100;

/// Folds the acts of a gateway on sums that were done before a moment: the folds, and how many acts they stand for.
fn fold_sums(connection: &Connection, own: &GatewayId, before_ms: i64) -> rusqlite::Result<(Vec<Slot>, u64)> {
    // All columns stand in the index; the part of an act begins with its gateway.
    let sql = "SELECT register, key, holder FROM slot INDEXED BY slot_key
               WHERE put_ms < ?1 AND substr(part, 1, length(?2) + 1) = ?2 || '/'
               GROUP BY register, key, holder HAVING count(*) > 1 LIMIT ?3";
    let mut select = connection.prepare_cached(sql)?;
    let sums: Vec<[String; 3]> = select
        .query_map(params![before_ms, own.as_str(), bound(SUMS)], |r| Ok([r.get(0)?, r.get(1)?, r.get(2)?]))?
        .collect::<rusqlite::Result<_>>()?;
    let (mut folds, mut folded) = (Vec::new(), 0);
    for sum in &sums {
        let slots = of_sum(connection, sum.each_ref())?;
        if let Some(fold) = fold(slots, own.as_str(), before_ms) {
            keep(connection, &fold, false)?;
            folded += drop_covered(connection, &fold)?;
            folds.push(fold);
        }
    }
    Ok((folds, folded))
}

/// Where the slots stand.
pub const SLOTS: &str = "SELECT body FROM slot";

/// A row of [`SLOTS`].
pub fn slot_in(r: &Row<'_>) -> rusqlite::Result<Slot> {
    row(r)
}

/// So many slots behind one, in the order of their names.
pub fn behind(connection: &Connection, name: &SlotName, most: usize) -> rusqlite::Result<Vec<Slot>> {
    let sql = format!(
        "{SLOTS} WHERE (register, key, holder, part) > (?1, ?2, ?3, ?4)
         ORDER BY register, key, holder, part LIMIT ?5"
    );
    let (register, key, holder, part) = name;
    let of = params![register, key, holder, part, bound(most)];
    connection.prepare_cached(&sql)?.query_map(of, row)?.collect()
}

/// So many slots of registers that the site shares behind one, in the order of their names.
pub fn shared_behind(connection: &Connection, name: &SlotName, most: usize) -> rusqlite::Result<Vec<Slot>> {
    let (mut name, mut all) = (name.clone(), Vec::new());
    while all.len() < most {
        let some = behind(connection, &name, most)?;
        let Some(last) = some.last() else { break };
        name = last.name();
        let room = most - all.len();
        all.extend(some.into_iter().filter(|slot| slot.shared).take(room));
    }
    Ok(all)
}

/// Slots that the others have not been told of.
pub fn untold(connection: &Connection, most: usize) -> rusqlite::Result<Vec<Slot>> {
    some(connection, "WHERE told = 0 LIMIT ?1", &[Sql::Integer(bound(most))])
}

/// The others know of a slot as it was then.
pub fn told(connection: &Connection, slot: &Slot) -> rusqlite::Result<()> {
    if find(connection, slot)?.as_ref() == Some(slot) {
        keep(connection, slot, true)?;
    }
    Ok(())
}

/// A gateway is new, or the broker has forgotten it: what this one has put or ended is told again.
pub fn hello(connection: &Connection, own: &GatewayId) -> rusqlite::Result<()> {
    for slot in some(connection, "WHERE told = 1", &[])? {
        let ours = |at: &str| at == own.as_str();
        let ended = slot.end.as_ref().is_some_and(|end| ours(&end.at.gateway));
        if slot.shared && (ended || slot.gateway().is_some_and(ours)) {
            keep(connection, &slot, false)?;
        }
    }
    Ok(())
}

/// Changes a slot; gives it as it is then.
fn change(connection: &Connection, own: &GatewayId, write: &SlotWrite) -> rusqlite::Result<Slot> {
    let name = [&write.register, &write.key, &write.holder, &write.part];
    let mut slot = Slot::after(by_name(connection, name)?, write, own.as_str());
    // At one gateway a later act stands behind those that were folded, whatever its clock does meanwhile.
    if let Some(fold) = fold_of(connection, &slot)?.filter(|fold| slot.is_covered_by(fold))
        && let (Some(put), Some(until)) = (&mut slot.put, fold.put_at())
    {
        put.at.ms = until.ms.saturating_add(1);
    }
    keep(connection, &slot, !write.shared)?;
    Ok(slot)
}

impl Journal {
    /// A slot changes.
    pub(super) fn change(&mut self, write: &SlotWrite) -> rusqlite::Result<()> {
        let slot = change(&self.connection, &self.author.gateway, write)?;
        self.kept.note(Fact::Slot(Box::new(slot)));
        Ok(())
    }

    /// Folds what this gateway has done to sums before a moment: says for how many acts the folds stand. Not as long as
    /// the others have yet to tell what the box before it has done.
    pub fn fold_sums(&mut self, before_ms: i64) -> rusqlite::Result<u64> {
        if !catch_up::waits_for(&self.connection)?.is_empty() {
            return Ok(0);
        }
        let (folds, folded) = fold_sums(&self.connection, &self.author.gateway, before_ms)?;
        folds.into_iter().for_each(|fold| self.kept.note(Fact::Slot(Box::new(fold))));
        Ok(folded)
    }

    /// Takes what another gateway tells of a slot; whether that brings a conflict, which goes on record.
    pub fn peer_slot(&mut self, teller: &GatewayId, told: &Slot, now: &Now) -> rusqlite::Result<bool> {
        let (new, lost) = take(&self.connection, (&self.author.gateway, teller), told)?;
        let changed = new.iter().chain(lost.iter().map(|(late, _)| late));
        changed.for_each(|slot| self.kept.note(Fact::Slot(Box::new(slot.clone()))));
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

#[cfg(test)]
mod tests;
