//! Who was near whom: the verdicts of a lane shortly before and after those about somebody.
//!
//! Whoever stands at the same lane within some minutes was near; more than that a gateway does not know. Subjects are
//! subject keys, never ids. Nothing is stored for it: the indexes of who was where lead to the events.
//!
//! An interface in three calls, each on a connection that only reads ([`super::journal::reader`]), not for an async
//! thread: where was this card and who was here are [`super::trace::find`], by subject and by lane; who was near is
//! [`find`]. How far back an answer reaches is said by [`super::trace::reach`]. Whoever lets a person ask sees to the
//! role and the purpose, and has both recorded (`trace_query`) before anything is told.

use super::bound;
use super::journal::indexes;
use kakou_core::time::rfc3339;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Contacts of an answer at most; those nearest in time come first.
pub const MOST: usize = 500;
/// Verdicts about the subject that are looked at, at most: the latest.
pub const OWN_MOST: usize = 500;
/// Verdicts near those that are looked at, at most.
pub const READ_MOST: usize = 20_000;
/// Time before and after a verdict that may be asked for, at most, in milliseconds.
pub const NEAR_MOST_MS: i64 = 4 * 3_600_000;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Sought<'a> {
    /// Whose contacts: any of the keys of one subject.
    pub keys: &'a [String],
    /// The window in which the subject was seen, wall time in UTC milliseconds, both ends included.
    pub from_ms: i64,
    /// Its end.
    pub to_ms: i64,
    /// How long before and after counts as near, milliseconds; [`NEAR_MOST_MS`] at most.
    pub near_ms: i64,
}

/// Somebody who was near.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contact {
    /// The subject's key.
    pub subject: String,
    /// The number of the secret that made it; an event of an earlier version does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_key: Option<u32>,
    /// Visits of theirs that were near.
    pub visits: usize,
    /// The shortest time between a verdict of theirs and one of the subject's, milliseconds.
    pub closest_ms: i64,
    /// The first of their verdicts that was near, RFC 3339.
    pub first: String,
    /// The last one.
    pub last: String,
    /// Where.
    pub lanes: BTreeSet<String>,
}

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Contacts {
    /// Verdicts about the subject in the window.
    pub own: usize,
    /// Who was near: the nearest in time first.
    pub contacts: Vec<Contact>,
    /// Visits that were near, and of which nobody knows whose they were.
    pub unknown: usize,
    /// Whether a limit was met: there may be more.
    pub truncated: bool,
}

/// What is read of the body of a verdict.
#[derive(Deserialize)]
pub(super) struct Body<'a> {
    /// Lane and visit.
    #[serde(borrow, default)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) data: Data<'a>,
}

/// What is read of its data.
#[derive(Deserialize)]
pub(super) struct Data<'a> {
    #[serde(borrow, default)]
    subject: Option<Cow<'a, str>>,
    #[serde(default)]
    subject_key: Option<u32>,
    #[serde(borrow, default)]
    pub(super) outcome: Option<Cow<'a, str>>,
}

/// A verdict as it counts here.
struct Seen {
    seq: i64,
    at_ms: i64,
    lane: String,
    visit: String,
    subject: Option<(String, Option<u32>)>,
}

impl Seen {
    fn of(seq: i64, at_ms: i64, body: &[u8]) -> Option<Self> {
        let body: Body = serde_json::from_slice(body).ok()?;
        let place = body.subject?;
        let (lane, visit) = place.split_once('/').unwrap_or((&place, ""));
        // A verdict without a visit is one of its own.
        let visit = if visit.is_empty() { format!("e{seq}") } else { visit.to_owned() };
        let subject = body.data.subject.filter(|key| !key.is_empty());
        let subject = subject.map(|key| (key.into_owned(), body.data.subject_key));
        Some(Self { seq, at_ms, lane: lane.to_owned(), visit, subject })
    }
}

/// The times of the subject's verdicts at each lane, and how many there are.
type Own = BTreeMap<String, Vec<i64>>;

/// Who was near. One look at the journal: what is written meanwhile is not seen.
///
/// # Errors
/// Those of the database; a connection in a transaction of its own is refused.
pub fn find(connection: &Connection, of: Sought<'_>) -> rusqlite::Result<Contacts> {
    let look = connection.unchecked_transaction()?;
    let behind: Vec<Seen> = behind(&look)?;
    let near_ms = of.near_ms.clamp(0, NEAR_MOST_MS);
    let mut found = Contacts::default();
    let own = own(&look, of, &behind, &mut found)?;
    let mut people: BTreeMap<String, (Contact, BTreeSet<String>, i64, i64)> = BTreeMap::new();
    let mut unknown = BTreeSet::new();
    let mut near = |seen: Seen| {
        let Some(times) = own.get(&seen.lane) else { return };
        let after = times.partition_point(|at| *at < seen.at_ms);
        let beside = [after.checked_sub(1), Some(after)].into_iter().flatten();
        let closest = beside.filter_map(|i| times.get(i)).map(|at| (at - seen.at_ms).abs()).min();
        let Some(closest_ms) = closest.filter(|ms| *ms <= near_ms) else { return };
        let Some((subject, subject_key)) = seen.subject else {
            unknown.insert((seen.lane, seen.visit));
            return;
        };
        if of.keys.contains(&subject) {
            return;
        }
        let (contact, visits, first, last) = people.entry(subject.clone()).or_insert_with(|| {
            let contact = Contact {
                subject,
                subject_key,
                visits: 0,
                closest_ms,
                first: String::new(),
                last: String::new(),
                lanes: BTreeSet::new(),
            };
            (contact, BTreeSet::new(), seen.at_ms, seen.at_ms)
        });
        contact.closest_ms = contact.closest_ms.min(closest_ms);
        (*first, *last) = ((*first).min(seen.at_ms), (*last).max(seen.at_ms));
        visits.insert(format!("{}/{}", seen.lane, seen.visit));
        contact.lanes.insert(seen.lane);
    };
    let mut left = READ_MOST;
    let sql = "SELECT t.seq, t.at_ms, e.body FROM place t JOIN event e ON e.seq = t.seq
               WHERE t.lane = ?1 AND t.at_ms BETWEEN ?2 AND ?3 AND e.shed = 0 LIMIT ?4";
    let mut select = look.prepare_cached(sql)?;
    for (lane, times) in &own {
        for (from, to) in spans(times, near_ms) {
            let mut rows = select.query(params![lane, from, to, bound(left + 1)])?;
            while let Some(r) = rows.next()? {
                if left == 0 {
                    found.truncated = true;
                    break;
                }
                left -= 1;
                if let Some(seen) = Seen::of(r.get(0)?, r.get(1)?, r.get_ref(2)?.as_blob()?) {
                    near(seen);
                }
            }
        }
    }
    behind.into_iter().for_each(near);
    let mut contacts: Vec<Contact> = people
        .into_values()
        .map(|(contact, visits, first, last)| Contact {
            visits: visits.len(),
            first: rfc3339(first),
            last: rfc3339(last),
            ..contact
        })
        .collect();
    contacts.sort_by(|a, b| (a.closest_ms, &a.subject).cmp(&(b.closest_ms, &b.subject)));
    found.truncated |= contacts.len() > MOST;
    contacts.truncate(MOST);
    Ok(Contacts { contacts, unknown: unknown.len(), ..found })
}

/// Verdicts that the indexes do not know of yet.
fn behind(connection: &Connection) -> rusqlite::Result<Vec<Seen>> {
    let all = indexes::behind(connection)?.into_iter();
    let seen = all.filter_map(|(verdict, at_ms, event)| {
        let body = serde_json::to_vec(&event).ok()?;
        Seen::of(verdict.seq, at_ms, &body)
    });
    Ok(seen.collect())
}

/// When the subject was where, in order of time.
fn own(
    connection: &Connection,
    of: Sought<'_>,
    behind: &[Seen],
    found: &mut Contacts,
) -> rusqlite::Result<Own> {
    let sql = "SELECT seq, at_ms FROM subject WHERE key = ?1 AND at_ms BETWEEN ?2 AND ?3
               ORDER BY at_ms DESC, seq DESC LIMIT ?4";
    let mut select = connection.prepare_cached(sql)?;
    let mut all: Vec<(i64, i64, Option<String>)> = Vec::new();
    for key in of.keys {
        let rows = select.query_map(params![key, of.from_ms, of.to_ms, bound(OWN_MOST + 1)], |r| {
            Ok((r.get(1)?, r.get(0)?, None))
        })?;
        for row in rows {
            all.push(row?);
        }
    }
    let meant = |seen: &&Seen| {
        (of.from_ms..=of.to_ms).contains(&seen.at_ms)
            && seen.subject.as_ref().is_some_and(|(key, _)| of.keys.contains(key))
    };
    all.extend(behind.iter().filter(meant).map(|seen| (seen.at_ms, seen.seq, Some(seen.lane.clone()))));
    all.sort_unstable();
    // The same key may be asked for twice.
    all.dedup_by_key(|(_, seq, _)| *seq);
    if all.len() > OWN_MOST {
        found.truncated = true;
        all.drain(..all.len() - OWN_MOST);
    }
    let sql = "SELECT body FROM event WHERE seq = ?1 AND shed = 0";
    let mut select = connection.prepare_cached(sql)?;
    let mut own = Own::new();
    for (at_ms, seq, lane) in all {
        let lane = match lane {
            Some(lane) => Some(lane),
            None => {
                let body: Option<Vec<u8>> = select.query_row([seq], |r| r.get(0)).optional()?;
                body.and_then(|body| Seen::of(seq, at_ms, &body)).map(|seen| seen.lane)
            }
        };
        if let Some(lane) = lane {
            found.own += 1;
            own.entry(lane).or_default().push(at_ms);
        }
    }
    Ok(own)
}

/// What lies near some times in order, each moment once.
fn spans(times: &[i64], near_ms: i64) -> Vec<(i64, i64)> {
    let mut spans: Vec<(i64, i64)> = Vec::new();
    for at in times {
        let (from, to) = (at.saturating_sub(near_ms), at.saturating_add(near_ms));
        match spans.last_mut() {
            // Not also at its end: a verdict there would be read twice.
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            Some(_) | None => spans.push((from, to)),
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::super::hours::tests::{Played, play};
    use super::super::journal;
    use super::*;

    const MIN: i64 = 60_000;

    fn near(folder: &std::path::Path, key: &str, near_ms: i64) -> Contacts {
        let keys = [key.to_owned(), key.to_owned()];
        let reader = journal::reader(folder).unwrap();
        find(&reader, Sought { keys: &keys, from_ms: 0, to_ms: 1_000 * MIN, near_ms }).unwrap()
    }

    #[test]
    fn who_was_near_is_found_before_and_after_at_the_same_lane_whether_indexed_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let verdicts: [Played; 8] = [
            (100 * MIN, "lane-1", 1, "a", "ADMIT"),
            (110 * MIN, "lane-1", 2, "who", "ADMIT"),
            (112 * MIN, "lane-1", 3, "b", "HOLD"),
            // A second verdict of one visit.
            (113 * MIN, "lane-1", 3, "b", "ADMIT"),
            (113 * MIN, "lane-2", 4, "c", "ADMIT"),
            (114 * MIN, "lane-1", 5, "", "ADMIT"),
            (131 * MIN, "lane-1", 6, "d", "ADMIT"),
            (300 * MIN, "lane-2", 7, "who", "ADMIT"),
        ];
        let mut journal = play(folder.path(), &verdicts);
        for indexed in [false, true] {
            if indexed {
                journal.begin().unwrap();
                journal.catch_up().unwrap();
                journal.commit().unwrap();
            }
            let found = near(folder.path(), "who", 10 * MIN);
            let told: Vec<_> = found.contacts.iter().map(|c| (&*c.subject, c.visits, c.closest_ms)).collect();
            assert_eq!(told, [("b", 1, 2 * MIN), ("a", 1, 10 * MIN)], "indexed: {indexed}");
            assert_eq!((found.own, found.unknown, found.truncated), (2, 1, false));
            let wide = near(folder.path(), "who", 200 * MIN);
            assert_eq!(wide.contacts.len(), 4, "{wide:?}");
            assert_eq!(near(folder.path(), "nobody", 10 * MIN), Contacts::default());
        }
    }

    #[test]
    fn moments_near_several_visits_are_looked_at_once() {
        assert_eq!(spans(&[10, 14, 30], 2), [(8, 16), (28, 32)]);
        assert_eq!(spans(&[], 2), []);
    }
}
