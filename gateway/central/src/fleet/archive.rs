//! Who was where, as the database of the central side knows it: what boxes have no more, and what boxes had sent that are
//! not there any more.

use crate::ingest::postgres::{connect, other, whose};
use crate::ingest::{From, VISIT};
use kakou_core::ids::LaneId;
use kakou_core::time::{WallMs, rfc3339};
use kakou_wire::trace::Row;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use tokio_postgres::Client;

/// Visits of an answer at most.
const MOST: usize = 5_000;

/// Visits under some subject keys. Events of an earlier version of the ingest have no column for it: they are looked
/// into, where PostgreSQL can read them.
const SUBJECTS: &str = "
SELECT site, gateway, epoch, seq, body::text, at FROM event
WHERE stream = 0 AND subject = ANY($4) AND subject <> '' AND kind = $5 AND site = ANY($1)
  AND at BETWEEN $2::text::timestamptz AND $3::text::timestamptz
UNION ALL
SELECT site, gateway, epoch, seq, body::text, at FROM event
WHERE stream = 0 AND subject IS NULL AND kind = $5 AND site = ANY($1)
  AND at BETWEEN $2::text::timestamptz AND $3::text::timestamptz
  AND CASE WHEN body::text !~* '\\\\u(0000|d[89a-f][0-9a-f]{2})' THEN body->'data'->>'subject' END = ANY($4)
ORDER BY at DESC LIMIT $6";
/// Visits of a lane.
const LANE: &str = "
SELECT site, gateway, epoch, seq, body::text, at FROM event
WHERE stream = 0 AND lane = $4 AND kind = $5 AND site = ANY($1)
  AND at BETWEEN $2::text::timestamptz AND $3::text::timestamptz
ORDER BY at DESC LIMIT $6";
/// Under which keys of persons visits were recorded.
const NUMBERS: &str = "
SELECT DISTINCT site, gateway, subject_key FROM event
WHERE stream = 0 AND kind = $4 AND site = ANY($1)
  AND at BETWEEN $2::text::timestamptz AND $3::text::timestamptz
  AND CASE WHEN subject IS NOT NULL THEN subject <> ''
    WHEN body::text !~* '\\\\u(0000|d[89a-f][0-9a-f]{2})' THEN coalesce(body->'data'->>'subject', '') <> '' END";
/// The journals that have ever been: each begins and ends somewhere, and something may be missing.
const JOURNALS: &str = "
SELECT s.site, s.gateway, s.epoch, s.through, f.stream_seq, f.ms, l.stream_seq, l.ms, coalesce(g.lost, 0), coalesce(g.head, false)
FROM stream s
CROSS JOIN LATERAL (SELECT stream_seq, (extract(epoch FROM coalesce(at, received)) * 1000)::int8 AS ms FROM event
  WHERE site = s.site AND gateway = s.gateway AND epoch = s.epoch AND stream = 0 ORDER BY stream_seq LIMIT 1) f
CROSS JOIN LATERAL (SELECT stream_seq, (extract(epoch FROM coalesce(at, received)) * 1000)::int8 AS ms FROM event
  WHERE site = s.site AND gateway = s.gateway AND epoch = s.epoch AND stream = 0 ORDER BY stream_seq DESC LIMIT 1) l
LEFT JOIN LATERAL (SELECT sum(to_seq - from_seq + 1)::int8 AS lost, bool_or(from_seq = 1) AS head FROM gap
  WHERE site = s.site AND gateway = s.gateway AND epoch = s.epoch AND stream = 0) g ON true
WHERE s.stream = 0 AND s.site = ANY($1) ORDER BY s.site, s.gateway, f.ms";

/// What is looked for.
#[derive(Debug, Clone)]
pub enum Of {
    /// The visits of a subject key.
    Subject(String),
    /// The visits of a person, under the keys that gateways have told.
    Person(Vec<String>),
    /// The visits of a lane.
    Lane(LaneId),
}

/// A journal of a gateway: a box that takes the place of another has another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// Whose.
    pub from: From,
    /// Which.
    pub epoch: u64,
    /// Its verdicts are complete up to here.
    pub through: u64,
    /// The first of them that is stored: more than 1 where the first ones were deleted.
    pub first_seq: u64,
    /// Its time.
    pub first_ms: WallMs,
    /// The time of the last one.
    pub last_ms: WallMs,
    /// Whether some before the last have not come.
    pub open: bool,
    /// How many are on record as lost.
    pub lost: u64,
}

/// What the database has.
#[derive(Debug, Clone, Default)]
pub struct ArchiveAnswer {
    /// Visits: of which gateway, of which of its journals.
    pub rows: Vec<(From, u64, Value)>,
    /// Whether there are more.
    pub truncated: bool,
    /// The journals of the sites, the oldest of each gateway first.
    pub journals: Vec<Journal>,
    /// With which keys of persons visits in the time were recorded; none where an event does not say.
    pub numbers: BTreeMap<From, BTreeSet<Option<u32>>>,
    /// Whether a person was asked for.
    pub of_person: bool,
}

/// Asks it once.
pub async fn find(
    url: &str,
    sites: &BTreeSet<String>,
    of: &Of,
    window: (WallMs, WallMs),
) -> Result<ArchiveAnswer, String> {
    let asked = async {
        let client = connect(url).await?;
        look(&client, sites, of, window).await.map_err(other)
    };
    asked.await.map_err(|e: io::Error| e.to_string())
}

async fn look(
    client: &Client,
    sites: &BTreeSet<String>,
    of: &Of,
    (from_ms, to_ms): (WallMs, WallMs),
) -> Result<ArchiveAnswer, tokio_postgres::Error> {
    let sites: Vec<&str> = sites.iter().map(String::as_str).collect();
    let (begin, end) = (rfc3339(from_ms), rfc3339(to_ms));
    let most = i64::try_from(MOST + 1).unwrap_or(i64::MAX);
    let mut found = ArchiveAnswer::default();
    let rows = match of {
        Of::Subject(key) => {
            let keys = [key.as_str()];
            client.query(SUBJECTS, &[&sites, &begin, &end, &&keys[..], &VISIT, &most]).await?
        }
        Of::Person(keys) => {
            found.of_person = true;
            client.query(SUBJECTS, &[&sites, &begin, &end, keys, &VISIT, &most]).await?
        }
        Of::Lane(lane) => client.query(LANE, &[&sites, &begin, &end, &lane.as_str(), &VISIT, &most]).await?,
    };
    found.truncated = rows.len() > MOST;
    for row in rows.iter().take(MOST) {
        let event: Value = serde_json::from_str(row.get(4)).unwrap_or_default();
        let visit = json!(Row::of(row.get(3), &event));
        found.rows.extend(whose(row).map(|from| (from, row.get::<_, i64>(2).cast_unsigned(), visit)));
    }
    if found.of_person {
        for row in client.query(NUMBERS, &[&sites, &begin, &end, &VISIT]).await? {
            let number: Option<i32> = row.get(2);
            if let Some(from) = whose(&row) {
                found.numbers.entry(from).or_default().insert(number.map(i32::cast_unsigned));
            }
        }
    }
    for row in client.query(JOURNALS, &[&sites]).await? {
        let number = |n: usize| row.get::<_, i64>(n).cast_unsigned();
        let head_is_lost: bool = row.get(9);
        found.journals.extend(whose(&row).map(|from| Journal {
            from,
            epoch: number(2),
            through: number(3),
            first_seq: if head_is_lost { 1 } else { number(4) },
            first_ms: row.get(5),
            last_ms: row.get(7),
            open: number(6) > number(3),
            lost: number(8),
        }));
    }
    Ok(found)
}
