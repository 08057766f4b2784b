//! How many verdicts each lane gave in each hour.
//!
//! Counted from the journal, and kept in memory alone: a verdict costs no page more for it, there is nothing that an
//! older version must know, nor that could be damaged. An hour is counted anew when the index of the lane shows other
//! events in it than before: one came, one was dated by a clock that was confirmed later, or they were purged.

use super::bound;
use super::contacts::Body;
use super::journal::indexes;
use kakou_core::time::rfc3339;
use kakou_wire::trace::Row;
use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// An hour, milliseconds.
pub const HOUR_MS: i64 = 3_600_000;
/// A day, milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// Verdicts of a list at most.
pub const MOST: usize = 500;
/// Outcomes in the order of the counts.
pub const OUTCOMES: [&str; 4] = ["ADMIT", "REFER", "HOLD", "DENY"];
/// Hours that are shown.
pub const SHOWN: usize = 24;

/// Verdicts of an hour by outcome, in the order of [`OUTCOMES`].
pub type Counts = [u32; 4];

/// What the index says of an hour: how many events, and the sum of their numbers.
type Mark = (i64, i64);

/// What was counted of the hours that were asked for last.
#[derive(Debug, Default)]
pub struct Hours(BTreeMap<(String, i64), (Mark, Counts)>);

/// The beginning of the hour of a moment where clocks are ahead of UTC by so many minutes.
pub fn hour_of(at_ms: i64, offset_minutes: i64) -> i64 {
    let offset_ms = offset_minutes * 60_000;
    (at_ms + offset_ms).div_euclid(HOUR_MS) * HOUR_MS - offset_ms
}

impl Hours {
    /// The hours of a lane from one on, in order. One look at the journal.
    ///
    /// # Errors
    /// Those of the database; a connection in a transaction of its own is refused.
    pub fn of(
        &mut self,
        connection: &Connection,
        lane: &str,
        from_ms: i64,
        hours: usize,
    ) -> rusqlite::Result<Vec<Counts>> {
        let look = connection.unchecked_transaction()?;
        let hour = |n: usize| from_ms.saturating_add(i64::try_from(n).unwrap_or(0) * HOUR_MS);
        let mut all = Vec::with_capacity(hours);
        for n in 0..hours {
            let counted = self.0.get(&(lane.to_owned(), hour(n))).copied();
            let (mark, counts) = count(&look, (lane, hour(n), hour(n + 1)), counted)?;
            self.0.insert((lane.to_owned(), hour(n)), (mark, counts));
            all.push(counts);
        }
        // What the index does not know of yet is few, and counted each time.
        for (verdict, at_ms, event) in indexes::behind(&look)? {
            let at = usize::try_from((at_ms - from_ms).div_euclid(HOUR_MS)).ok();
            if verdict.lane == lane
                && let Some(counts) = at.and_then(|n| all.get_mut(n))
            {
                add(counts, event["data"]["outcome"].as_str());
            }
        }
        Ok(all)
    }

    /// The last hours of each lane up to now, as the status shows them; other hours are forgotten.
    ///
    /// # Errors
    /// As for [`Hours::of`].
    pub fn shown<'a>(
        &mut self,
        connection: &Connection,
        lanes: impl Iterator<Item = &'a str>,
        now_ms: i64,
        offset_minutes: i64,
    ) -> rusqlite::Result<Value> {
        let from_ms = hour_of(now_ms, offset_minutes) - i64::try_from(SHOWN - 1).unwrap_or(0) * HOUR_MS;
        self.0.retain(|(_, hour), _| *hour >= from_ms);
        let mut all = Vec::new();
        for lane in lanes {
            all.push(json!({ "lane": lane, "counts": self.of(connection, lane, from_ms, SHOWN)? }));
        }
        Ok(json!({ "from": rfc3339(from_ms), "outcomes": OUTCOMES, "lanes": all }))
    }
}

/// A verdict as a list of the day shows it: nobody is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// When, RFC 3339, by the clock as it is known now.
    pub at: String,
    /// The visit.
    pub visit: Option<u64>,
    /// The outcome.
    pub outcome: String,
    /// The codes.
    pub codes: Vec<String>,
}

/// The verdicts of a lane in a window, the latest first, and whether there are more than [`MOST`]. One look at the
/// journal.
///
/// # Errors
/// As for [`Hours::of`].
pub fn verdicts(
    connection: &Connection,
    lane: &str,
    from_ms: i64,
    to_ms: i64,
) -> rusqlite::Result<(Vec<Line>, bool)> {
    let look = connection.unchecked_transaction()?;
    let behind = indexes::behind(&look)?.into_iter();
    let here = behind.filter(|(verdict, at, _)| verdict.lane == lane && (from_ms..=to_ms).contains(at));
    let mut rows: Vec<(i64, i64, Value)> =
        here.map(|(verdict, at, event)| (at, verdict.seq, event)).collect();
    let sql = "SELECT t.at_ms, t.seq, e.body FROM place t JOIN event e ON e.seq = t.seq
               WHERE t.lane = ?1 AND t.at_ms BETWEEN ?2 AND ?3 AND e.shed = 0 ORDER BY t.at_ms DESC, t.seq DESC LIMIT ?4";
    let mut select = look.prepare_cached(sql)?;
    let mut found = select.query(params![lane, from_ms, to_ms, bound(MOST + 1)])?;
    while let Some(r) = found.next()? {
        let event = serde_json::from_slice(r.get_ref(2)?.as_blob()?).unwrap_or_default();
        rows.push((r.get(0)?, r.get(1)?, event));
    }
    rows.sort_by_key(|(at_ms, seq, _)| std::cmp::Reverse((*at_ms, *seq)));
    let more = rows.len() > MOST;
    rows.truncate(MOST);
    let line = |(at_ms, seq, event): (i64, i64, Value)| {
        let visit = event["subject"].as_str().and_then(|s| s.split_once('/')?.1.parse().ok());
        let row = Row::of(seq, &event);
        Line { at: rfc3339(at_ms), visit, outcome: row.outcome, codes: row.codes }
    };
    Ok((rows.into_iter().map(line).collect(), more))
}

fn add(counts: &mut Counts, outcome: Option<&str>) {
    if let Some(at) = OUTCOMES.iter().position(|one| Some(*one) == outcome) {
        counts[at] += 1;
    }
}

/// Counts an hour of a lane, unless the index shows what it showed before.
fn count(
    connection: &Connection,
    (lane, from_ms, to_ms): (&str, i64, i64),
    before: Option<(Mark, Counts)>,
) -> rusqlite::Result<(Mark, Counts)> {
    let sql =
        "SELECT count(*), coalesce(sum(seq), 0) FROM place WHERE lane = ?1 AND at_ms >= ?2 AND at_ms < ?3";
    let mark: Mark = connection
        .prepare_cached(sql)?
        .query_row(params![lane, from_ms, to_ms], |r| Ok((r.get(0)?, r.get(1)?)))?;
    if let Some(known) = before.filter(|(known, _)| *known == mark) {
        return Ok(known);
    }
    let mut counts = Counts::default();
    let sql = "SELECT e.body FROM place t JOIN event e ON e.seq = t.seq
               WHERE t.lane = ?1 AND t.at_ms >= ?2 AND t.at_ms < ?3 AND e.shed = 0";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(params![lane, from_ms, to_ms])?;
    while let Some(r) = rows.next()? {
        let body: Option<Body> = serde_json::from_slice(r.get_ref(0)?.as_blob()?).ok();
        add(&mut counts, body.as_ref().and_then(|body| body.data.outcome.as_deref()));
    }
    Ok((mark, counts))
}

/// The midnight before a moment, by the clocks of a site that are so far from UTC; as those clocks show it.
pub const fn local_midnight(at_ms: i64, offset_ms: i64) -> i64 {
    (at_ms + offset_ms).div_euclid(DAY_MS) * DAY_MS
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::journal::tests::author;
    use super::super::journal::{self, Journal};
    use super::*;
    use kakou_core::event::{Class, NewEvent};
    use kakou_core::ids::{LaneId, VisitId};
    use kakou_core::time::{Now, Quality};

    /// When, at which lane, which visit, whose, and with which outcome.
    pub type Played<'a> = (i64, &'a str, u64, &'a str, &'a str);

    /// A journal with these verdicts, committed and not indexed.
    pub fn play(folder: &std::path::Path, verdicts: &[Played<'_>]) -> Journal {
        let (mut journal, ..) = Journal::open(folder, author()).unwrap();
        journal.begin().unwrap();
        for (at_ms, lane, visit, subject, outcome) in verdicts {
            let event = NewEvent {
                kind: "transaction".into(),
                class: Class::Verdict,
                lane: Some(LaneId::new(*lane).unwrap()),
                visit: Some(VisitId(*visit)),
                audience: Vec::new(),
                data: json!({ "outcome": outcome, "codes": ["OK"], "subject": subject }),
            };
            let now = Now { mono_ms: 1, wall_ms: Some(*at_ms), quality: Quality::Synced };
            journal.append(&event, &now).unwrap();
        }
        journal.commit().unwrap();
        journal
    }

    #[test]
    fn hours_count_what_the_journal_holds_indexed_or_not_dated_anew_and_purged() {
        let folder = tempfile::tempdir().unwrap();
        let verdicts: [Played; 5] = [
            (HOUR_MS, "lane-1", 1, "a", "ADMIT"),
            (2 * HOUR_MS - 1, "lane-1", 2, "b", "DENY"),
            (2 * HOUR_MS, "lane-1", 3, "c", "ADMIT"),
            (2 * HOUR_MS, "lane-2", 4, "d", "HOLD"),
            (9 * HOUR_MS, "lane-1", 5, "e", "REFER"),
        ];
        let mut journal = play(folder.path(), &verdicts);
        let reader = journal::reader(folder.path()).unwrap();
        let mut hours = Hours::default();
        let expected = [[0; 4], [1, 0, 0, 1], [1, 0, 0, 0]];
        assert_eq!(hours.of(&reader, "lane-1", 0, 3).unwrap(), expected);
        journal.begin().unwrap();
        journal.catch_up().unwrap();
        journal.commit().unwrap();
        for look in 0..2 {
            assert_eq!(hours.of(&reader, "lane-1", 0, 3).unwrap(), expected, "look {look}");
        }
        assert_eq!(hours.of(&reader, "lane-2", 0, 3).unwrap(), [[0; 4], [0; 4], [0, 0, 1, 0]]);
        // One is dated anew: it leaves an hour, and comes to another.
        journal.begin().unwrap();
        let moved = "UPDATE place SET at_ms = 7200001 WHERE lane = 'lane-1' AND seq = 1";
        journal.connection().execute(moved, []).unwrap();
        journal.commit().unwrap();
        assert_eq!(hours.of(&reader, "lane-1", 0, 3).unwrap(), [[0; 4], [0, 0, 0, 1], [2, 0, 0, 0]]);
    }

    #[test]
    fn the_verdicts_of_a_lane_are_listed_the_latest_first_and_name_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let verdicts: [Played; 4] = [
            (HOUR_MS - 1, "lane-1", 1, "a", "ADMIT"),
            (HOUR_MS, "lane-1", 2, "b", "DENY"),
            (HOUR_MS, "lane-2", 3, "c", "ADMIT"),
            (HOUR_MS + 5, "lane-1", 4, "d", "HOLD"),
        ];
        let mut journal = play(folder.path(), &verdicts);
        let reader = journal::reader(folder.path()).unwrap();
        for indexed in [false, true] {
            let (rows, more) = super::verdicts(&reader, "lane-1", HOUR_MS, 2 * HOUR_MS).unwrap();
            let told: Vec<_> = rows.iter().map(|row| (row.visit, &*row.outcome)).collect();
            assert_eq!(
                (told, more),
                (vec![(Some(4), "HOLD"), (Some(2), "DENY")], false),
                "indexed: {indexed}"
            );
            assert!(!json!(rows).to_string().contains("subject"));
            journal.begin().unwrap();
            journal.catch_up().unwrap();
            journal.commit().unwrap();
        }
    }

    #[test]
    fn hours_begin_where_the_clocks_of_the_site_show_them() {
        assert_eq!(hour_of(HOUR_MS + 1, 0), HOUR_MS);
        assert_eq!(hour_of(HOUR_MS + 1, 480), HOUR_MS);
        // Half an hour off.
        assert_eq!(hour_of(HOUR_MS, 330), HOUR_MS / 2);
        assert_eq!(hour_of(-1, 0), -HOUR_MS);
    }
}
