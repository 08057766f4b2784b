//! What one officer did in a shift: of the journal, and of nobody else.
//!
//! A shift goes back to the hand-over that the officer made last, at most [`LONGEST_MS`]. A visit counts once, by the
//! verdict that it had last in which the officer was the one who acted last.

use super::bound;
use kakou_core::event::Class;
use kakou_core::ids::OfficerId;
use kakou_core::time::rfc3339;
use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// A shift is no longer.
pub const LONGEST_MS: i64 = 12 * 3_600_000;
/// Events that are looked at of each stream, the latest.
const MOST: usize = 100_000;

/// What an officer did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Shift {
    /// Since when, RFC 3339.
    pub since: String,
    /// Visits in which the officer acted, by the outcome of the last verdict.
    pub verdicts: BTreeMap<String, u64>,
    /// Overrides, by what was decided instead.
    pub overrides: BTreeMap<String, u64>,
    /// Overrides of others that the officer has signed as the second.
    pub second: u64,
    /// Approvals.
    pub approved: u64,
    /// Refusals.
    pub refused: u64,
    /// Whether there were more events than were looked at.
    pub truncated: bool,
}

/// Looks at the journal: on a connection that only reads, not for an async thread.
///
/// # Errors
/// Those of the database; a connection in a transaction of its own is refused.
pub fn of(connection: &Connection, officer: &OfficerId, now_ms: i64) -> rusqlite::Result<Shift> {
    let look = connection.unchecked_transaction()?;
    let mut shift = Shift::default();
    let longest = now_ms.saturating_sub(LONGEST_MS);
    let mut since = longest;
    let (seen, handovers) = events(&look, Class::Scan, officer, longest)?;
    for (at_ms, event) in &handovers {
        if event["type"] == "kakou.handover.v1" && event["data"]["by"] == officer.as_str() {
            since = since.max(*at_ms);
        }
    }
    let (looked, verdicts) = events(&look, Class::Verdict, officer, since)?;
    let mut latest = BTreeMap::new();
    // The latest comes first.
    for (_, event) in verdicts.iter().rev() {
        let data = &event["data"];
        let own = data["officer"] == officer.as_str();
        let word = |field: &str| data[field].as_str().unwrap_or_default().to_owned();
        match event["type"].as_str() {
            Some("kakou.transaction.v1") if own => {
                latest.insert(event["subject"].as_str().unwrap_or_default().to_owned(), word("outcome"));
            }
            Some("kakou.override.v1") if own => *shift.overrides.entry(word("to")).or_default() += 1,
            Some("kakou.override.v1") if data["second"] == officer.as_str() => shift.second += 1,
            Some("kakou.approval.v1") if own && data["approved"] == true => shift.approved += 1,
            Some("kakou.approval.v1") if own => shift.refused += 1,
            Some(_) | None => {}
        }
    }
    for outcome in latest.into_values() {
        *shift.verdicts.entry(outcome).or_default() += 1;
    }
    shift.since = rfc3339(since);
    shift.truncated = seen >= MOST || looked >= MOST;
    Ok(shift)
}

/// How many events of a stream were looked at; and those since a moment that name an officer, the latest first.
fn events(
    connection: &Connection,
    class: Class,
    officer: &OfficerId,
    since_ms: i64,
) -> rusqlite::Result<(usize, Vec<(i64, Value)>)> {
    // A name stands in quotes: what is found is looked at once more.
    let needle = format!("\"{officer}\"").into_bytes();
    let sql = "SELECT at_ms, instr(body, ?3) > 0, body FROM event
               WHERE class = ?1 AND shed = 0 ORDER BY stream_seq DESC LIMIT ?2";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(params![class.number(), bound(MOST), needle])?;
    let (mut looked, mut found) = (0, Vec::new());
    while let Some(r) = rows.next()? {
        let at_ms: i64 = r.get(0)?;
        looked += 1;
        // A clock that is set later dates events anew: a few that are older do not end it.
        if at_ms < since_ms.saturating_sub(LONGEST_MS) {
            break;
        }
        if at_ms >= since_ms && r.get::<_, bool>(1)? {
            found.push((at_ms, serde_json::from_slice(r.get_ref(2)?.as_blob()?).unwrap_or_default()));
        }
    }
    Ok((looked, found))
}

#[cfg(test)]
mod tests {
    use super::super::journal::tests::author;
    use super::super::journal::{self, Journal};
    use super::*;
    use kakou_core::event::NewEvent;
    use kakou_core::ids::{LaneId, VisitId};
    use kakou_core::time::{Now, Quality};
    use serde_json::json;

    const NOON: i64 = 1_653_364_800_000;
    const HOUR: i64 = 3_600_000;

    fn put(journal: &mut Journal, at_ms: i64, kind: &str, visit: u64, data: Value) {
        let event = NewEvent {
            kind: kind.into(),
            class: if kind == "handover" { Class::Scan } else { Class::Verdict },
            lane: Some(LaneId::new("lane-1").unwrap()),
            visit: Some(VisitId(visit)),
            audience: Vec::new(),
            data,
        };
        let now = Now { mono_ms: 1, wall_ms: Some(at_ms), quality: Quality::Synced };
        journal.append(&event, &now).unwrap();
    }

    #[test]
    fn an_officer_sees_the_own_shift_and_nothing_of_anybody_else() {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, ..) = Journal::open(folder.path(), author()).unwrap();
        journal.begin().unwrap();
        let verdict =
            |outcome: &str, officer: &str| json!({ "outcome": outcome, "codes": [], "officer": officer });
        put(&mut journal, NOON - 13 * HOUR, "transaction", 1, verdict("DENY", "li"));
        put(&mut journal, NOON - 5 * HOUR, "transaction", 2, verdict("ADMIT", "li"));
        put(&mut journal, NOON - 4 * HOUR, "transaction", 3, verdict("HOLD", "li"));
        put(
            &mut journal,
            NOON - 4 * HOUR,
            "override",
            3,
            json!({ "to": "ADMIT", "officer": "li", "second": "wang" }),
        );
        put(&mut journal, NOON - 3 * HOUR, "transaction", 3, verdict("ADMIT", "li"));
        put(&mut journal, NOON - 3 * HOUR, "transaction", 4, verdict("REFER", "lin"));
        put(&mut journal, NOON - 2 * HOUR, "approval", 5, json!({ "approved": false, "officer": "li" }));
        put(
            &mut journal,
            NOON - 2 * HOUR,
            "transaction",
            6,
            json!({ "outcome": "ADMIT", "answers": { "to": "li" } }),
        );
        journal.commit().unwrap();
        let reader = journal::reader(folder.path()).unwrap();
        let of = |id: &str| super::of(&reader, &OfficerId::new(id).unwrap(), NOON).unwrap();
        let one = |word: &str, n: u64| BTreeMap::from([(word.to_owned(), n)]);
        let li = of("li");
        assert_eq!((li.verdicts, li.overrides, li.refused), (one("ADMIT", 2), one("ADMIT", 1), 1));
        assert_eq!((of("lin").verdicts, of("wang").second), (one("REFER", 1), 1));
        assert_eq!(of("wang").verdicts, BTreeMap::new());
        // The shift begins anew with the hand-over.
        journal.begin().unwrap();
        put(&mut journal, NOON - HOUR, "handover", 0, json!({ "by": "li", "to": "", "note": "" }));
        journal.commit().unwrap();
        let li = of("li");
        assert_eq!((li.verdicts, li.since), (BTreeMap::new(), rfc3339(NOON - HOUR)));
    }
}
