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
use rusqlite::{Connection, OptionalExtension, params};
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

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Bytes of the journal at most.
    pub max_bytes: u64,
    /// Days that delivered events are kept.
    pub keep_days: i64,
    /// What counts as delivered.
    pub delivered: Delivered,
    /// Bytes of photographs at most.
    pub photo_bytes: u64,
    /// Days that delivered photographs are kept.
    pub photo_days: i64,
    /// Size of the reserve file.
    pub reserve_bytes: u64,
}

/// Bytes of the journal file: in use, and in free pages, which are written to again.
pub fn bytes(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let get = |name: &str| connection.pragma_query_value(None, name, |r| r.get::<_, i64>(0));
    let (pages, free, size) = (get("page_count")?, get("freelist_count")?, get("page_size")?);
    Ok((((pages - free) * size).cast_unsigned(), (free * size).cast_unsigned()))
}

/// Removes delivered events that are older than `before_ms`, from the beginning of the journal.
/// Runs inside the caller's transaction, which must sign what is left as well.
///
/// Order is the sequence, never the wall time: what lies before an event of a confirmed clock is older than that
/// event, whatever a clock that ran ahead has said of it. An event of an unconfirmed clock speaks for itself
/// alone.
pub fn purge(connection: &Connection, delivered: Delivered, before_ms: i64) -> rusqlite::Result<u64> {
    let mut through = [0_u64; 4];
    for class in Class::ALL {
        let (acked, receipted) = outbox::progress(connection, class)?;
        through[usize::from(class.number())] = match delivered {
            Delivered::Receipted => receipted,
            Delivered::Acked => acked,
        };
    }
    let (mut last, mut seen, mut ahead) = (None, None, false);
    {
        let sql = "SELECT seq, class, stream_seq, at_ms, shed, hash, body FROM event ORDER BY seq LIMIT ?1";
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query([ROUND])?;
        while let Some(r) = rows.next()? {
            let class: u8 = r.get(1)?;
            let known = through.get(usize::from(class)).copied().unwrap_or(0);
            let done = r.get::<_, i64>(2)?.cast_unsigned() <= known || r.get::<_, bool>(4)?;
            if !done {
                break;
            }
            let this = (r.get::<_, i64>(0)?, r.get::<_, [u8; 32]>(5)?);
            if r.get::<_, i64>(3)? >= before_ms {
                ahead = true;
            } else if !ahead || is_confirmed(&r.get::<_, Vec<u8>>(6)?) {
                (last, ahead) = (Some(this), false);
            }
            seen = Some(this);
        }
    }
    if let Some((seq, _)) = seen.filter(|_| ahead)
        && older_behind(connection, seq, before_ms)?
    {
        last = seen;
    }
    let Some((seq, hash)) = last else { return Ok(0) };
    keep_heads(connection)?;
    connection
        .execute("INSERT OR REPLACE INTO purged (id, seq, hash) VALUES (1, ?1, ?2)", params![seq, hash])?;
    connection.execute("DELETE FROM checkpoint WHERE seq < ?1", [seq])?;
    forget(connection, seq)?;
    Ok(connection.execute("DELETE FROM event WHERE seq <= ?1", [seq])? as u64)
}

/// Whether an event says that a time source had confirmed its clock. A body that was shed says nothing.
fn is_confirmed(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|event| event["clocksynced"] == true)
}

/// Whether a later event of a confirmed clock is older than a moment: looked for at growing distances, since
/// there may be millions.
fn older_behind(connection: &Connection, seq: i64, before_ms: i64) -> rusqlite::Result<bool> {
    let sql = "SELECT seq, at_ms, body FROM event WHERE seq > ?1 ORDER BY seq LIMIT 1";
    let mut select = connection.prepare_cached(sql)?;
    for distance in (0..40).map(|n| (1_i64 << n) - 1) {
        let row = select.query_row([seq.saturating_add(distance)], |r| {
            Ok((r.get::<_, i64>(1)?, r.get::<_, Vec<u8>>(2)?))
        });
        match row.optional()? {
            Some((at_ms, body)) if at_ms < before_ms && is_confirmed(&body) => return Ok(true),
            Some(_) => {}
            None => return Ok(false),
        }
    }
    Ok(false)
}

/// Notes the last number of each stream, before the events that show it go.
fn keep_heads(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "INSERT INTO stream_head (class, head) VALUES (?1, ?2)
               ON CONFLICT (class) DO UPDATE SET head = max(head, ?2)";
    for class in Class::ALL {
        let head = outbox::head(connection, class)?;
        if head > 0 {
            connection.prepare_cached(sql)?.execute(params![class.number(), head.cast_signed()])?;
        }
    }
    Ok(())
}

/// Takes events that are about to be purged out of the indexes.
fn forget(connection: &Connection, through: i64) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM photo WHERE seq <= ?1 AND state >= ?2", params![through, REMOVED])?;
    connection.execute("DELETE FROM undated WHERE seq <= ?1", [through])?;
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

#[cfg(test)]
mod tests {
    use super::super::journal::Journal;
    use super::super::journal::tests::author;
    use super::*;
    use kakou_core::event::NewEvent;
    use kakou_core::time::{Now, Quality};

    const FUTURE: i64 = 4_000_000_000_000;

    /// A journal with delivered events of these times; an unconfirmed clock is negative.
    fn journal(folder: &std::path::Path, times: &[i64]) -> Journal {
        let (mut journal, ..) = Journal::open(folder, author()).unwrap();
        journal.begin().unwrap();
        for at_ms in times {
            let quality = if *at_ms < 0 { Quality::Unsynced } else { Quality::Synced };
            let event = NewEvent {
                kind: "audit".into(),
                class: Class::Scan,
                lane: None,
                visit: None,
                audience: Vec::new(),
                data: Value::Null,
            };
            let now = Now { mono_ms: 1, wall_ms: Some(at_ms.abs()), quality };
            journal.append(&event, &now).unwrap();
        }
        journal.advance(Class::Scan, None, Some(times.len() as u64)).unwrap();
        journal
    }

    fn purged(times: &[i64], before_ms: i64) -> u64 {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path(), times);
        let mut all = 0;
        loop {
            match purge(journal.connection(), Delivered::Receipted, before_ms).unwrap() {
                0 => return all,
                n => all += n,
            }
        }
    }

    #[test]
    fn events_of_a_clock_that_ran_ahead_do_not_stop_the_purge() {
        assert_eq!(purged(&[1_000, FUTURE, 2_000, 3_000, 9_000], 5_000), 4);
        assert_eq!(purged(&[1_000, 2_000, 9_000, 9_500], 5_000), 2, "what is young stays");
        assert_eq!(
            purged(&[1_000, 9_000, -2_000, -2_500], 5_000),
            1,
            "a clock that nobody confirmed proves nothing"
        );
        assert_eq!(purged(&[-1_000, -2_000, -9_000], 5_000), 2, "but its events have their time");
        let mut many = vec![FUTURE; 2 * usize::try_from(ROUND).unwrap()];
        many.extend(vec![2_000; 9_000]);
        assert_eq!(purged(&many, 5_000), many.len() as u64, "more of them than one round looks at");
    }

    #[test]
    fn what_was_stored_before_a_moment_is_found_whatever_the_clock_did() {
        let folder = tempfile::tempdir().unwrap();
        let before = |times: &[i64]| {
            let folder = tempfile::tempdir().unwrap();
            let journal = journal(folder.path(), times);
            outbox::stored_before(journal.connection(), Class::Scan, 0, times.len() as u64, 5_000).unwrap()
        };
        drop(folder);
        assert_eq!(before(&[1_000, 2_000, 6_000, 7_000]), 2);
        assert_eq!(before(&[1_000, FUTURE, FUTURE, FUTURE, 3_000, 6_000]), 5);
        assert_eq!(before(&[FUTURE, FUTURE, FUTURE]), 0);
        assert_eq!(before(&[]), 0);
    }
}
