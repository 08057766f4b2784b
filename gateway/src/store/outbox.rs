//! Reading the outbox: events after a point of their stream.
//!
//! There is no outbox table: the journal is the outbox, and two numbers a stream say how far it
//! was acknowledged by the broker and receipted by the central side.

use kakou_core::event::Class;
use rusqlite::{Connection, OptionalExtension, params};

/// One event to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its order in the journal.
    pub seq: u64,
    /// Its order in its stream.
    pub stream_seq: u64,
    /// The CloudEvents JSON.
    pub body: Vec<u8>,
}

/// Events of a stream after `after`, at most `limit` and at most `bytes` (but at least one).
pub fn after(
    connection: &Connection,
    class: Class,
    after: u64,
    limit: usize,
    bytes: usize,
) -> rusqlite::Result<Vec<Row>> {
    let sql = "SELECT seq, stream_seq, body FROM event
               WHERE class = ?1 AND stream_seq > ?2 AND shed = 0 ORDER BY stream_seq LIMIT ?3";
    let mut select = connection.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = select.query(params![class.number(), after.cast_signed(), limit])?;
    let (mut out, mut size) = (Vec::new(), 0);
    while let Some(r) = rows.next()? {
        let row = Row {
            seq: r.get::<_, i64>(0)?.cast_unsigned(),
            stream_seq: r.get::<_, i64>(1)?.cast_unsigned(),
            body: r.get(2)?,
        };
        size += row.body.len();
        if size > bytes && !out.is_empty() {
            break;
        }
        out.push(row);
    }
    Ok(out)
}

/// How far a stream has come: acknowledged, receipted.
pub fn progress(connection: &Connection, class: Class) -> rusqlite::Result<(u64, u64)> {
    let sql = "SELECT acked, receipted FROM stream WHERE class = ?1";
    let row = connection
        .prepare_cached(sql)?
        .query_row([class.number()], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?)))
        .optional()?;
    Ok(row.map_or((0, 0), |(a, r)| (a.cast_unsigned(), r.cast_unsigned())))
}

/// When the oldest event after a point was stored.
pub fn oldest_ms(connection: &Connection, class: Class, after: u64) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT at_ms FROM event WHERE class = ?1 AND stream_seq > ?2 ORDER BY stream_seq LIMIT 1";
    connection
        .prepare_cached(sql)?
        .query_row(params![class.number(), after.cast_signed()], |r| r.get(0))
        .optional()
}
