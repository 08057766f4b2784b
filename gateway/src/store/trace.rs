//! Who was where: the verdicts about a subject, or of a lane, from the journal with its backlog.

use super::journal::indexes;
use super::{bound, number, outbox, time};
use kakou_core::event::Class;
use kakou_core::time::rfc3339;
use kakou_wire::trace::Row;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

/// Rows of an answer at most.
pub const MOST: usize = 500;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// The visits of a subject, under any of its keys.
    Subjects(&'a [String]),
    /// The visits of a lane.
    Lane(&'a str),
}

/// The verdicts in a time window, the latest first, and whether there are more.
pub fn find(
    connection: &Connection,
    of: Of<'_>,
    from_ms: i64,
    to_ms: i64,
) -> rusqlite::Result<(Vec<Row>, bool)> {
    let (table, column, keys) = match of {
        Of::Subjects(keys) => ("subject", "key", keys.iter().map(String::as_str).collect()),
        Of::Lane(lane) => ("place", "lane", vec![lane]),
    };
    let sql = format!(
        "SELECT e.seq, e.body, e.stream_seq > coalesce((SELECT acked FROM stream WHERE class = e.class), 0), t.at_ms
         FROM {table} t JOIN event e ON e.seq = t.seq
         WHERE t.{column} = ?1 AND t.at_ms BETWEEN ?2 AND ?3 AND e.shed = 0 ORDER BY t.at_ms DESC, t.seq DESC LIMIT ?4"
    );
    let limit = bound(MOST + 1);
    // Before the indexes: what they take over meanwhile is found twice, and not missed.
    let behind = indexes::behind(connection)?;
    let mut rows = Vec::new();
    let mut select = connection.prepare_cached(&sql)?;
    for key in keys {
        let mut found = select.query(params![key, from_ms, to_ms, limit])?;
        while let Some(r) = found.next()? {
            let body: Vec<u8> = r.get(1)?;
            let event: Value = serde_json::from_slice(&body).unwrap_or_default();
            let corrected = corrected(connection, &event)?;
            rows.push((
                r.get::<_, i64>(3)?,
                Row { corrected, unsent: r.get(2)?, ..Row::of(r.get(0)?, &event) },
            ));
        }
    }
    for (verdict, at_ms, event) in behind {
        let meant = match of {
            Of::Subjects(keys) => verdict.subject.is_some_and(|key| keys.contains(&key)),
            Of::Lane(lane) => verdict.lane == lane,
        };
        let found = rows.iter().any(|(_, row)| row.seq == verdict.seq);
        if meant && !found && (from_ms..=to_ms).contains(&at_ms) {
            let corrected = corrected(connection, &event)?;
            let sql = "SELECT stream_seq > coalesce((SELECT acked FROM stream WHERE class = e.class), 0)
                       FROM event e WHERE seq = ?1";
            let unsent = connection.prepare_cached(sql)?.query_row([verdict.seq], |r| r.get(0)).optional()?;
            let row = Row { corrected, unsent: unsent.unwrap_or(false), ..Row::of(verdict.seq, &event) };
            rows.push((at_ms, row));
        }
    }
    rows.sort_by_key(|(at_ms, row)| std::cmp::Reverse((*at_ms, row.seq)));
    let mut rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    let more = rows.len() > MOST;
    rows.truncate(MOST);
    Ok((rows, more))
}

/// How far back the verdicts of a journal reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Its epoch: another box, or another journal, has another one.
    pub epoch: u64,
    /// The last verdict that is gone from it; 0 if it has all that it ever had.
    pub floor: u64,
    /// The time of the first event that is left.
    pub since_ms: Option<i64>,
}

/// How far back an answer can reach: what was delivered goes when its time is over.
pub fn reach(connection: &Connection) -> rusqlite::Result<Reach> {
    let head = outbox::head(connection, Class::Verdict)?;
    Ok(Reach {
        epoch: number(connection, "epoch")?.unwrap_or(0).cast_unsigned(),
        floor: outbox::floor(connection, Class::Verdict, head)?,
        since_ms: oldest_ms(connection)?,
    })
}

/// The time of the first event that is left.
pub fn oldest_ms(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    connection.query_row("SELECT at_ms FROM event ORDER BY seq LIMIT 1", [], |r| r.get(0)).optional()
}

/// The time of an event whose clock nobody had confirmed, as it is known now.
fn corrected(connection: &Connection, event: &Value) -> rusqlite::Result<Option<String>> {
    let (Some(boot), Some(mono_ms), Some(false)) =
        (event["boot"].as_str(), time::mono_ms(event), event["clocksynced"].as_bool())
    else {
        return Ok(None);
    };
    Ok(time::offset(connection, boot)?.map(|offset_ms| rfc3339(offset_ms + mono_ms)))
}

#[cfg(test)]
mod tests {
    use super::super::journal::Journal;
    use super::super::journal::tests::author;
    use super::*;
    use kakou_core::event::{Class, NewEvent};
    use kakou_core::ids::{LaneId, VisitId};
    use kakou_core::time::{Now, Quality};

    #[test]
    fn a_visit_of_an_unconfirmed_clock_is_found_by_its_true_time() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, ..) = Journal::open(folder.path(), author()).unwrap();
        let lane = LaneId::new("lane-1").unwrap();
        let event = NewEvent {
            kind: "transaction".into(),
            class: Class::Verdict,
            lane: Some(lane.clone()),
            visit: Some(VisitId(1)),
            audience: Vec::new(),
            data: serde_json::json!({ "outcome": "ADMIT", "codes": ["OK"], "subject": "who" }),
        };
        let (true_ms, mono_ms) = (1_795_000_000_000, 60_000);
        let now = Now { mono_ms, wall_ms: Some(1_000_000), quality: Quality::Unsynced };
        journal.begin().unwrap();
        journal.append(&event, &now).unwrap();
        let who = ["who".to_owned(), "as of another key".to_owned()];
        let of = [Of::Lane("lane-1"), Of::Subjects(&who)];
        let found = |journal: &Journal, at: i64| {
            of.map(|of| find(journal.connection(), of, at - 1_000, at + 1_000).unwrap().0.len())
        };
        assert_eq!(time::date(journal.connection()).unwrap(), 0, "nobody knows the time yet");
        assert_eq!((found(&journal, 1_000_000), found(&journal, true_ms)), ([1, 1], [0, 0]));
        time::keep_offset(journal.connection(), "boot", true_ms - mono_ms.cast_signed()).unwrap();
        assert_eq!(time::date(journal.connection()).unwrap(), 1);
        assert_eq!((found(&journal, 1_000_000), found(&journal, true_ms)), ([0, 0], [1, 1]));
        assert_eq!(time::date(journal.connection()).unwrap(), 0);
        // And it goes with its event.
        journal.advance(Class::Verdict, None, Some(1)).unwrap();
        let delivered = super::super::retention::Delivered::Receipted;
        super::super::retention::purge(journal.connection(), delivered, i64::MAX).unwrap();
        assert_eq!(found(&journal, true_ms), [0, 0]);
        let left = "SELECT (SELECT count(*) FROM place) + (SELECT count(*) FROM subject)";
        assert_eq!(journal.connection().query_row(left, [], |r| r.get::<_, i64>(0)).unwrap(), 0);
    }

    #[test]
    fn the_time_of_an_event_is_corrected_whether_its_monotonic_time_is_a_text_or_the_number_of_before() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, ..) = Journal::open(folder.path(), author()).unwrap();
        time::keep_offset(journal.connection(), "boot", 1_000).unwrap();
        for mono in [serde_json::json!("5"), serde_json::json!(5)] {
            let event = serde_json::json!({ "boot": "boot", "monoms": mono, "clocksynced": false });
            assert_eq!(corrected(journal.connection(), &event).unwrap(), Some(rfc3339(1_005)), "{mono}");
        }
    }
}
