//! Retention: what is delivered goes first, what matters least goes next, verdicts never go.
//!
//! Order at the limit: what the central side has anyway (photographs, then events from the
//! beginning of the journal); then the bodies of health events, then of temperature samples; last
//! the oldest photographs that it does not have. A shed event leaves the hash of its body behind, so
//! that the chain still verifies; a shed photograph leaves an event that names it. When nothing is
//! left to shed, the lanes close: `X_STORAGE`.

use super::outbox;
use kakou_core::event::Class;
use kakou_core::evidence::Hash;
use rusqlite::{Connection, params};
use serde_json::Value;

/// Rows per round, so that lanes never wait for a purge.
const ROUND: i64 = 2_000;

/// Photographs per round.
const PHOTOS: i64 = 64;

/// A photograph that waits to be delivered.
pub const WAITING: i64 = 0;
/// The central side has it.
pub const RECEIPTED: i64 = 1;
/// Delivered, and removed here. States from here on have no file.
pub const REMOVED: i64 = 2;
/// Removed without having been delivered.
pub const SHED: i64 = 3;

/// Up to where events of a class count as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// A receipt of the central side.
    Receipted,
    /// The broker's acknowledgement.
    Acked,
}

/// Bytes of the journal file: in use, and in free pages, which are written to again.
pub fn bytes(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let get = |name: &str| connection.pragma_query_value(None, name, |r| r.get::<_, i64>(0));
    let (pages, free, size) = (get("page_count")?, get("freelist_count")?, get("page_size")?);
    Ok((((pages - free) * size).cast_unsigned(), (free * size).cast_unsigned()))
}

/// Removes delivered events that are older than `before_ms`, from the beginning of the journal.
/// Runs inside the caller's transaction.
pub fn purge(connection: &Connection, delivered: Delivered, before_ms: i64) -> rusqlite::Result<u64> {
    let mut through = [0_u64; 4];
    for class in Class::ALL {
        let (acked, receipted) = outbox::progress(connection, class)?;
        through[usize::from(class.number())] = match delivered {
            Delivered::Receipted => receipted,
            Delivered::Acked => acked,
        };
    }
    let mut last = None;
    {
        let sql = "SELECT seq, class, stream_seq, at_ms, shed, hash FROM event ORDER BY seq LIMIT ?1";
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query([ROUND])?;
        while let Some(r) = rows.next()? {
            let class: u8 = r.get(1)?;
            let known = through.get(usize::from(class)).copied().unwrap_or(0);
            let done = r.get::<_, i64>(2)?.cast_unsigned() <= known || r.get::<_, bool>(4)?;
            if !done || r.get::<_, i64>(3)? >= before_ms {
                break;
            }
            last = Some((r.get::<_, i64>(0)?, r.get::<_, [u8; 32]>(5)?));
        }
    }
    let Some((seq, hash)) = last else { return Ok(0) };
    connection
        .execute("INSERT OR REPLACE INTO purged (id, seq, hash) VALUES (1, ?1, ?2)", params![seq, hash])?;
    connection.execute("DELETE FROM checkpoint WHERE seq < ?1", [seq])?;
    forget(connection, seq)?;
    Ok(connection.execute("DELETE FROM event WHERE seq <= ?1", [seq])? as u64)
}

/// Takes events that are about to be purged out of the indexes.
fn forget(connection: &Connection, through: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM photo WHERE seq <= ?1 AND state >= ?2", params![through, REMOVED])?;
    let mut gone = Vec::new();
    {
        let sql = "SELECT seq, at_ms, body FROM event WHERE seq <= ?1 AND class = ?2 AND shed = 0";
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query(params![through, Class::Verdict.number()])?;
        while let Some(r) = rows.next()? {
            gone.push((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?, r.get::<_, Vec<u8>>(2)?));
        }
    }
    for (seq, at_ms, body) in gone {
        let Ok(event) = serde_json::from_slice::<Value>(&body) else { continue };
        if let Some(key) = event["data"]["subject"].as_str() {
            let sql = "DELETE FROM subject WHERE key = ?1 AND at_ms = ?2 AND seq = ?3";
            connection.prepare_cached(sql)?.execute(params![key, at_ms, seq])?;
        }
        if let Some(lane) = event["subject"].as_str().and_then(|s| s.split('/').next()) {
            let sql = "DELETE FROM place WHERE lane = ?1 AND at_ms = ?2 AND seq = ?3";
            connection.prepare_cached(sql)?.execute(params![lane, at_ms, seq])?;
        }
    }
    Ok(())
}

/// Chooses the oldest photographs of a state, named before a moment, and marks them as gone; their
/// files are removed when this is durable.
pub fn photos(connection: &Connection, state: i64, before_ms: i64) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT sha256 FROM photo WHERE state = ?1 AND at_ms < ?2 ORDER BY seq LIMIT ?3";
    let chosen: Vec<String> = connection
        .prepare_cached(sql)?
        .query_map(params![state, before_ms, PHOTOS], |r| r.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let gone = if state == WAITING { SHED } else { REMOVED };
    let mut update = connection.prepare_cached("UPDATE photo SET state = ?1 WHERE sha256 = ?2")?;
    for sha256 in &chosen {
        update.execute(params![gone, sha256])?;
    }
    Ok(chosen)
}

/// Whether an event names a photograph that is to be kept.
pub fn names(connection: &Connection, sha256: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM photo WHERE sha256 = ?1 AND state < ?2";
    connection.prepare_cached(sql)?.exists(params![sha256, REMOVED])
}

/// Sheds the oldest bodies of the least important class that still has any.
pub fn shed(connection: &Connection) -> rusqlite::Result<u64> {
    for class in [Class::Health, Class::Sample] {
        let sql = "SELECT seq, body FROM event WHERE class = ?1 AND shed = 0 ORDER BY stream_seq LIMIT ?2";
        let rows: Vec<(i64, Vec<u8>)> = connection
            .prepare_cached(sql)?
            .query_map(params![class.number(), ROUND], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        if rows.is_empty() {
            continue;
        }
        let mut update = connection.prepare_cached("UPDATE event SET shed = 1, body = ?2 WHERE seq = ?1")?;
        for (seq, body) in &rows {
            update.execute(params![seq, Hash::of(body).0])?;
        }
        return Ok(rows.len() as u64);
    }
    Ok(0)
}
