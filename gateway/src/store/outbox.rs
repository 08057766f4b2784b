//! Reading the outbox: events after a point of their stream.
//!
//! There is no outbox table: the journal is the outbox, and two numbers a stream say how far it
//! was acknowledged by the broker and receipted by the central side.

use super::bound;
use kakou_core::delivery::{Outbox, Position, Positions, Row, Unreadable};
use kakou_core::event::Class;
use rusqlite::{Connection, OptionalExtension, params};

/// A connection of its own, for delivery.
#[derive(Debug)]
pub struct Reader(pub Connection);

impl Outbox for Reader {
    fn after(
        &self,
        class: Class,
        behind: u64,
        last: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Row>, Unreadable> {
        after(&self.0, class, behind, last, limit, bytes).map_err(unreadable)
    }

    fn stored_before(&self, class: Class, after: u64, head: u64, before_ms: i64) -> Result<u64, Unreadable> {
        stored_before(&self.0, class, after, head, before_ms).map_err(unreadable)
    }

    fn floor(&self, class: Class, head: u64) -> Result<u64, Unreadable> {
        floor(&self.0, class, head).map_err(unreadable)
    }
}

fn unreadable(why: rusqlite::Error) -> Unreadable {
    Unreadable(why.to_string())
}

/// Events of a stream after `after` and up to `last`, at most `limit` and at most `bytes` (but at
/// least one).
pub fn after(
    connection: &Connection,
    class: Class,
    after: u64,
    last: u64,
    limit: usize,
    bytes: usize,
) -> rusqlite::Result<Vec<Row>> {
    let sql = "SELECT seq, stream_seq, at_ms, body FROM event
               WHERE class = ?1 AND stream_seq > ?2 AND stream_seq <= ?3 AND shed = 0
               ORDER BY stream_seq LIMIT ?4";
    let mut select = connection.prepare_cached(sql)?;
    let limit = bound(limit);
    let mut rows = select.query(params![class.number(), after.cast_signed(), last.cast_signed(), limit])?;
    let (mut out, mut size) = (Vec::new(), 0);
    while let Some(r) = rows.next()? {
        let row = Row {
            seq: r.get::<_, i64>(0)?.cast_unsigned(),
            stream_seq: r.get::<_, i64>(1)?.cast_unsigned(),
            at_ms: r.get(2)?,
            body: r.get(3)?,
        };
        size += row.body.len();
        if size > bytes && !out.is_empty() {
            break;
        }
        out.push(row);
    }
    Ok(out)
}

/// Photographs that the central side has not receipted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PhotosWaiting {
    /// How many.
    pub count: u64,
    /// When the oldest was named by an event.
    pub oldest_ms: Option<i64>,
}

/// How many photographs wait.
pub fn photos_waiting(connection: &Connection) -> rusqlite::Result<PhotosWaiting> {
    let sql = "SELECT count(*), min(at_ms) FROM photo WHERE state = 0";
    connection.prepare_cached(sql)?.query_row([], |r| {
        Ok(PhotosWaiting { count: r.get::<_, i64>(0)?.cast_unsigned(), oldest_ms: r.get(1)? })
    })
}

/// Photographs, and the bytes of those that are kept.
pub fn photos_kept(connection: &Connection) -> rusqlite::Result<(u64, u64)> {
    let sql = "SELECT count(*), coalesce(sum(bytes), 0) FROM photo WHERE state < 2";
    connection
        .prepare_cached(sql)?
        .query_row([], |r| Ok((r.get::<_, i64>(0)?.cast_unsigned(), r.get::<_, i64>(1)?.cast_unsigned())))
}

/// The oldest photographs that wait.
pub fn photos_oldest(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<String>> {
    let sql = "SELECT sha256 FROM photo WHERE state = 0 ORDER BY seq LIMIT ?1";
    let limit = bound(limit);
    connection.prepare_cached(sql)?.query_map([limit], |r| r.get(0))?.collect()
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

/// How far all streams are, as the journal has it. What was sent and not acknowledged is sent again.
pub fn positions(connection: &Connection) -> rusqlite::Result<Positions> {
    let read = |class| {
        let (acknowledged, receipted) = progress(connection, class)?;
        let stored = head(connection, class)?.max(acknowledged).max(receipted);
        Ok(Position { stored, sent: acknowledged, acknowledged, receipted })
    };
    Positions::read(read)
}

/// Events at the end of a stream that are looked at one by one.
const TAIL: i64 = 10_000;

/// The last event of a stream, between `after` and `head`, that was stored before a moment. What lies before
/// such an event is older than the moment too, whatever a clock that ran ahead has said of it: so it is looked
/// for from the end, where what is young is little. Behind a long tail of young events the range is halved, as
/// if time had only gone forward: a backlog of millions costs twenty looks.
pub fn stored_before(
    connection: &Connection,
    class: Class,
    after: u64,
    head: u64,
    before_ms: i64,
) -> rusqlite::Result<u64> {
    let (number, mut low, mut high) = (class.number(), after, head.max(after));
    {
        let sql =
            "SELECT stream_seq, at_ms FROM event WHERE class = ?1 AND stream_seq > ?2 AND stream_seq <= ?3
                   ORDER BY stream_seq DESC LIMIT ?4";
        let mut select = connection.prepare_cached(sql)?;
        let mut rows = select.query(params![number, low.cast_signed(), high.cast_signed(), TAIL])?;
        let mut seen = 0;
        while let Some(r) = rows.next()? {
            let seq = r.get::<_, i64>(0)?.cast_unsigned();
            if r.get::<_, i64>(1)? < before_ms {
                return Ok(seq);
            }
            (high, seen) = (seq - 1, seen + 1);
        }
        if seen < TAIL {
            return Ok(low);
        }
    }
    let sql = "SELECT at_ms FROM event WHERE class = ?1 AND stream_seq >= ?2 ORDER BY stream_seq LIMIT 1";
    let mut select = connection.prepare_cached(sql)?;
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        let at: Option<i64> =
            select.query_row(params![number, middle.cast_signed()], |r| r.get(0)).optional()?;
        if at.is_some_and(|at| at < before_ms) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(low)
}

/// The last number that a stream has given: to an event that is there, that was purged, or that somebody has.
pub fn head(connection: &Connection, class: Class) -> rusqlite::Result<u64> {
    let sql = "SELECT max(coalesce((SELECT max(stream_seq) FROM event WHERE class = ?1), 0),
                          coalesce((SELECT head FROM stream_head WHERE class = ?1), 0))";
    let head: i64 = connection.prepare_cached(sql)?.query_row([class.number()], |r| r.get(0))?;
    Ok(head.cast_unsigned())
}

/// Up to where a stream is gone: purged, or its oldest bodies shed. What is behind it can still be
/// sent.
pub fn floor(connection: &Connection, class: Class, head: u64) -> rusqlite::Result<u64> {
    let sql = "SELECT min(stream_seq) FROM event WHERE class = ?1 AND shed = 0";
    let first: Option<i64> = connection.prepare_cached(sql)?.query_row([class.number()], |r| r.get(0))?;
    Ok(first.map_or(head, |first| first.cast_unsigned() - 1))
}

/// When the oldest event after a point was stored.
pub fn oldest_ms(connection: &Connection, class: Class, after: u64) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT at_ms FROM event WHERE class = ?1 AND stream_seq > ?2 ORDER BY stream_seq LIMIT 1";
    connection
        .prepare_cached(sql)?
        .query_row(params![class.number(), after.cast_signed()], |r| r.get(0))
        .optional()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_core::delivery::Rows;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What tests of delivery read is what delivery reads: the outbox in memory answers as the journal does.
        #[test]
        fn the_outbox_in_memory_and_the_journal_say_the_same(
            events in prop::collection::vec((0_u8..4, 0_i64..100, any::<bool>(), 1_usize..30), 0..60),
            purged in 0_u64..10,
            looks in prop::collection::vec((0_u8..4, 0_u64..20, 0_u64..20, 1_usize..10, 1_usize..200, 0_i64..100), 20),
        ) {
            let rows = Rows::default();
            let journal = Connection::open_in_memory().unwrap();
            let table = "CREATE TABLE event (seq INTEGER PRIMARY KEY, class INTEGER, stream_seq INTEGER, at_ms INTEGER,
                           shed INTEGER, hash BLOB, body BLOB);";
            journal.execute_batch(table).unwrap();
            for (seq, (class, at_ms, shed, size)) in (1_i64..).zip(&events) {
                let of = Class::of(*class).unwrap();
                let n = rows.push(of, *at_ms, |_| vec![b'x'; *size]);
                if *shed {
                    rows.shed(of, n);
                }
                let row = params![seq, class, n.cast_signed(), at_ms, shed, vec![b'x'; *size]];
                journal.execute("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, x'', ?6)", row).unwrap();
            }
            for class in Class::ALL {
                rows.purge(class, purged);
            }
            journal.execute("DELETE FROM event WHERE stream_seq <= ?1", [purged.cast_signed()]).unwrap();
            let (journal, heads) = (Reader(journal), rows.heads());
            for (class, behind, last, limit, bytes, before_ms) in looks {
                let of = Class::of(class).unwrap();
                let look = |it: &dyn Outbox| {
                    (it.after(of, behind, last, limit, bytes), it.stored_before(of, behind, last, before_ms),
                     it.floor(of, heads[usize::from(class)]))
                };
                prop_assert_eq!(look(&rows), look(&journal));
            }
        }
    }
}
