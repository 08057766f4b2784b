//! The report of a day: what each lane did, hour by hour and kind by kind. It names nobody.
//!
//! Made from the journal of this gateway when it is asked for; what was purged meanwhile is not in it, and the report says
//! from when on the journal reaches back.

use super::bound;
use super::hours::{Counts, DAY_MS, Hours, OUTCOMES};
use super::trace;
use kakou_core::event::Class;
use kakou_core::time::rfc3339;
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Hours of a day.
const HOURS: usize = 24;
/// Events of a stream that are counted at most.
const MOST: usize = 200_000;

/// What a lane did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LaneDay {
    /// The lane.
    pub lane: String,
    /// Verdicts of each hour by outcome, in the order of [`OUTCOMES`].
    pub hours: Vec<Counts>,
    /// Verdicts of the day.
    pub sum: Counts,
    /// How often what else happened, by kind of event.
    pub kinds: BTreeMap<String, u64>,
}

/// The report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// When the day begins at the site, RFC 3339.
    pub from: String,
    /// When it ends.
    pub to: String,
    /// The outcomes in the order of the counts.
    pub outcomes: [&'static str; 4],
    /// Each lane.
    pub lanes: Vec<LaneDay>,
    /// The whole site, as far as it is this gateway.
    pub sum: Counts,
    /// From when on the journal reaches back, where that is later than the beginning of the day.
    pub since: Option<String>,
    /// Whether there were more events than were counted.
    pub truncated: bool,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    subject: Option<Cow<'a, str>>,
}

/// Makes the report of the day that begins at a moment.
///
/// # Errors
/// Those of the database; a connection in a transaction of its own is refused.
pub fn of<'a>(
    connection: &Connection,
    lanes: impl Iterator<Item = &'a str>,
    from_ms: i64,
) -> rusqlite::Result<Report> {
    let to_ms = from_ms.saturating_add(DAY_MS);
    let mut hours = Hours::default();
    let mut all = Vec::new();
    for lane in lanes {
        let hours = hours.of(connection, lane, from_ms, HOURS)?;
        let sum = hours.iter().fold(Counts::default(), add);
        all.push(LaneDay { lane: lane.to_owned(), hours, sum, kinds: BTreeMap::new() });
    }
    let mut truncated = false;
    for class in [Class::Verdict, Class::Scan] {
        truncated |= count_kinds(connection, class, (from_ms, to_ms), &mut all)?;
    }
    let reach = trace::reach(connection)?.since_ms.filter(|since| *since > from_ms);
    let sum = all.iter().map(|lane| lane.sum).fold(Counts::default(), |sum, lane| add(sum, &lane));
    let (from, to) = (rfc3339(from_ms), rfc3339(to_ms));
    Ok(Report { from, to, outcomes: OUTCOMES, lanes: all, sum, since: reach.map(rfc3339), truncated })
}

fn add(mut sum: Counts, more: &Counts) -> Counts {
    sum.iter_mut().zip(more).for_each(|(sum, n)| *sum += n);
    sum
}

/// Counts the events of a stream by lane and kind; whether there were more than are counted.
fn count_kinds(
    connection: &Connection,
    class: Class,
    (from_ms, to_ms): (i64, i64),
    lanes: &mut [LaneDay],
) -> rusqlite::Result<bool> {
    let sql = "SELECT body FROM event WHERE class = ?1 AND shed = 0 AND at_ms >= ?2 AND at_ms < ?3
               ORDER BY stream_seq DESC LIMIT ?4";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query(params![class.number(), from_ms, to_ms, bound(MOST + 1)])?;
    let mut counted = 0;
    while let Some(r) = rows.next()? {
        if counted == MOST {
            return Ok(true);
        }
        counted += 1;
        let Ok(head) = serde_json::from_slice::<Head<'_>>(r.get_ref(0)?.as_blob()?) else { continue };
        let lane = head.subject.as_deref().and_then(|subject| subject.split('/').next());
        let Some(lane) = lanes.iter_mut().find(|one| Some(one.lane.as_str()) == lane) else { continue };
        // `kakou.KIND.vN`; verdicts are counted by hour already.
        let kind = head.kind.split('.').nth(1).unwrap_or_default();
        if kind != "transaction" {
            *lane.kinds.entry(kind.to_owned()).or_default() += 1;
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::super::hours::HOUR_MS;
    use super::super::hours::tests::{Played, play};
    use super::super::journal;
    use super::*;
    use kakou_core::event::NewEvent;
    use kakou_core::ids::{LaneId, VisitId};
    use kakou_core::time::{Now, Quality};
    use serde_json::json;

    #[test]
    fn a_day_is_what_its_lanes_did_and_no_other_day_and_names_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let day = 100 * DAY_MS;
        let verdicts: [Played; 5] = [
            (day - 1, "lane-1", 1, "a", "DENY"),
            (day, "lane-1", 2, "b", "ADMIT"),
            (day + 7 * HOUR_MS, "lane-1", 3, "c", "ADMIT"),
            (day + 7 * HOUR_MS, "lane-2", 4, "d", "HOLD"),
            (day + DAY_MS, "lane-2", 5, "e", "REFER"),
        ];
        let mut journal = play(folder.path(), &verdicts);
        journal.begin().unwrap();
        for (at_ms, kind, class) in [
            (day + 5, "arrival", Class::Scan),
            (day + 6, "override", Class::Verdict),
            (day - 5, "arrival", Class::Scan),
        ] {
            let event = NewEvent {
                kind: kind.into(),
                class,
                lane: Some(LaneId::new("lane-1").unwrap()),
                visit: Some(VisitId(2)),
                audience: Vec::new(),
                data: json!({ "subject": "b" }),
            };
            journal
                .append(&event, &Now { mono_ms: 1, wall_ms: Some(at_ms), quality: Quality::Synced })
                .unwrap();
        }
        journal.commit().unwrap();
        let reader = journal::reader(folder.path()).unwrap();
        let report = of(&reader, ["lane-1", "lane-2"].into_iter(), day).unwrap();
        assert_eq!(report.sum, [2, 0, 1, 0]);
        let [one, two] = report.lanes.as_slice() else { panic!("{report:?}") };
        assert_eq!((one.sum, one.hours[0], one.hours[7]), ([2, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]));
        assert_eq!(one.kinds, BTreeMap::from([("arrival".into(), 1), ("override".into(), 1)]));
        assert_eq!((two.sum, two.hours[7]), ([0, 0, 1, 0], [0, 0, 1, 0]));
        assert!(!report.truncated);
        assert!(!json!(report).to_string().contains("subject"));
    }
}
