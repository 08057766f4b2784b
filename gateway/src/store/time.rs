//! What the journal knows of time: the floor, and for each boot what the wall time was in truth.
//!
//! An event keeps the time that the clock said when it was stored. Once a time source has confirmed
//! the clock, the difference between wall and monotonic time of that boot is kept beside it, so that
//! an event of an unconfirmed clock can be dated afterwards: its monotonic time plus the difference.

use rusqlite::{Connection, OptionalExtension, params};

const FLOOR: &str = "time_floor";
const OFFSET: &str = "time_offset:";
/// Boots whose difference is kept.
const BOOTS: i64 = 64;

/// The last confirmed time that was kept, UTC milliseconds.
pub fn floor(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    connection.prepare_cached(sql)?.query_row([FLOOR], |r| r.get(0)).optional()
}

/// Keeps a confirmed time.
pub fn keep_floor(connection: &Connection, wall_ms: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
    connection.prepare_cached(sql)?.execute(params![FLOOR, wall_ms]).map(drop)
}

/// Wall less monotonic time of a boot, confirmed.
pub fn offset(connection: &Connection, boot: &str) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    connection.prepare_cached(sql)?.query_row([format!("{OFFSET}{boot}")], |r| r.get(0)).optional()
}

/// Keeps it; only the last boots matter, by their time.
pub fn keep_offset(connection: &Connection, boot: &str, offset_ms: i64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
    connection.prepare_cached(sql)?.execute(params![format!("{OFFSET}{boot}"), offset_ms])?;
    let sql = "DELETE FROM meta WHERE key IN (SELECT key FROM meta WHERE key LIKE 'time_offset:%'
               ORDER BY value DESC LIMIT -1 OFFSET ?1)";
    connection.prepare_cached(sql)?.execute([BOOTS]).map(drop)
}
