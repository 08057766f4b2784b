//! What the journal knows of time: the floor, and for each boot what the wall time was in truth.
//!
//! An event keeps the time that the clock said when it was stored. Once a time source has confirmed
//! the clock, the difference between wall and monotonic time of that boot is kept beside it, so that
//! an event of an unconfirmed clock can be dated afterwards: its monotonic time plus the difference.

use super::{TRANSACTION, number};
use rusqlite::{Connection, params};
use serde_json::Value;

pub(super) const FLOOR: &str = "time_floor";
const OFFSET: &str = "time_offset:";
/// Boots whose difference is kept.
const BOOTS: i64 = 64;

/// The last confirmed time that was kept, UTC milliseconds.
pub fn floor(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    number(connection, FLOOR)
}

/// Keeps a confirmed time.
pub fn keep_floor(connection: &Connection, wall_ms: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
    connection.prepare_cached(sql)?.execute(params![FLOOR, wall_ms]).map(drop)
}

/// Wall less monotonic time of a boot, confirmed.
pub fn offset(connection: &Connection, boot: &str) -> rusqlite::Result<Option<i64>> {
    number(connection, &format!("{OFFSET}{boot}"))
}

/// Events of an unconfirmed clock that are dated at once.
const DATED_AT_ONCE: i64 = 500;
/// Where a journal of before is looked through for them: events from here on were.
const LOOKED_BACK: &str = "looked_back";
/// Events that are looked through at once.
const LOOKED_AT_ONCE: i64 = 2_000;

/// What stands in the journal now does not say which of its verdicts are undated: they are looked for, from the
/// youngest back.
pub fn look_back(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO meta (key, value) SELECT ?1, max(seq) + 1 FROM event HAVING max(seq) IS NOT NULL";
    connection.execute(sql, [LOOKED_BACK]).map(drop)
}

/// Milliseconds since the machine started, as an event says them: in a text, and before that in a number.
pub fn mono_ms(event: &Value) -> Option<i64> {
    let said = &event["monoms"];
    said.as_i64().or_else(|| said.as_str()?.parse().ok())
}

/// Notes undated verdicts of a journal of before: a round.
fn look(connection: &Connection) -> rusqlite::Result<()> {
    let Some(before) = number(connection, LOOKED_BACK)? else { return Ok(()) };
    let sql = "SELECT seq, body FROM event WHERE seq < ?1 AND seq >= ?1 - ?2 AND shed = 0
               AND instr(body, CAST('\"clocksynced\":false' AS BLOB)) > 0";
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([before, LOOKED_AT_ONCE])?;
    while let Some(r) = rows.next()? {
        let event: Value = serde_json::from_slice(&r.get::<_, Vec<u8>>(1)?).unwrap_or_default();
        let verdict = event["type"].as_str().is_some_and(|kind| kind.contains(TRANSACTION));
        let boot = event["boot"].as_str().filter(|_| verdict && event["clocksynced"] == false);
        if let (Some(boot), Some(mono_ms)) = (boot, mono_ms(&event)) {
            let sql = "INSERT OR REPLACE INTO undated (seq, boot, mono_ms) VALUES (?1, ?2, ?3)";
            connection.prepare_cached(sql)?.execute(params![r.get::<_, i64>(0)?, boot, mono_ms])?;
        }
    }
    let (sql, next) = ("SELECT 1 FROM event WHERE seq < ?1", before - LOOKED_AT_ONCE);
    if connection.prepare_cached(sql)?.exists([next])? {
        connection
            .prepare_cached("UPDATE meta SET value = ?2 WHERE key = ?1")?
            .execute(params![LOOKED_BACK, next])?;
    } else {
        connection.execute("DELETE FROM meta WHERE key = ?1", [LOOKED_BACK])?;
    }
    Ok(())
}

/// Dates verdicts of an unconfirmed clock whose boot's time is known by now: in the indexes, and beside the body,
/// which stays as it was written. Gives how many.
pub fn date(connection: &Connection) -> rusqlite::Result<u64> {
    look(connection)?;
    // From the few boots whose time is known.
    let sql = "SELECT u.seq, m.value + u.mono_ms, e.at_ms, e.body FROM meta m
               CROSS JOIN undated u ON u.boot = substr(m.key, 13) CROSS JOIN event e ON e.seq = u.seq
               WHERE m.key LIKE 'time_offset:%' LIMIT ?1";
    type Undated = (i64, i64, i64, Vec<u8>);
    let undated: Vec<Undated> = connection
        .prepare_cached(sql)?
        .query_map([DATED_AT_ONCE], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (seq, at_ms, was_ms, body) in &undated {
        let event: Value = serde_json::from_slice(body).unwrap_or_default();
        let lane = event["subject"].as_str().and_then(|s| s.split('/').next()).unwrap_or_default();
        let subject = event["data"]["subject"].as_str().unwrap_or_default();
        for (table, column, key) in [("place", "lane", lane), ("subject", "key", subject)] {
            let sql = format!(
                "UPDATE OR REPLACE {table} SET at_ms = ?1 WHERE {column} = ?2 AND at_ms = ?3 AND seq = ?4"
            );
            connection.prepare_cached(&sql)?.execute(params![at_ms, key, was_ms, seq])?;
        }
        connection
            .prepare_cached("UPDATE event SET at_ms = ?1 WHERE seq = ?2")?
            .execute(params![at_ms, seq])?;
        connection.prepare_cached("DELETE FROM undated WHERE seq = ?1")?.execute([seq])?;
    }
    Ok(undated.len() as u64)
}

/// Keeps it; only the last boots matter, by their time.
pub fn keep_offset(connection: &Connection, boot: &str, offset_ms: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
    connection.prepare_cached(sql)?.execute(params![format!("{OFFSET}{boot}"), offset_ms])?;
    let sql = "DELETE FROM meta WHERE key IN (SELECT key FROM meta WHERE key LIKE 'time_offset:%'
               ORDER BY value DESC LIMIT -1 OFFSET ?1)";
    connection.prepare_cached(sql)?.execute([BOOTS]).map(drop)
}
