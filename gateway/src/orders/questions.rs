//! Answers to who was where, from the local store, what was not sent yet included.
//!
//! Who is asked for comes as a subject key, or as the id of a person in an envelope for this gateway. Of an id the
//! gateway makes the subject key under every secret that it keeps, and it stands nowhere after that: not in a record,
//! not in the log.

use super::OrderSettings;
use crate::store::{journal, trace};
use crate::{keys, subjects};
use kakou_core::pass::id;
use kakou_core::pass::trust::Usage;
use kakou_core::signed;
use kakou_core::time::rfc3339;
use kakou_provisioning::subjects::Keys;
use kakou_wire::order::{PERSON, Question, TRACE};
use kakou_wire::trace::Row;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

const DAY_MS: i64 = 86_400_000;

/// What is looked for.
#[derive(Debug, PartialEq, Eq)]
struct Sought {
    /// The subject keys, those of a person with the one in use first.
    subjects: Vec<String>,
    /// The numbers of the secrets that a person's were made with, each in its place.
    numbers: Vec<u32>,
}

/// What was found, and how far back it reaches.
struct TraceFound {
    sought: Option<Sought>,
    rows: Vec<Row>,
    truncated: bool,
    reach: trace::Reach,
}

impl TraceFound {
    /// The subject keys of a person with their numbers: under these the central side finds what is gone from here.
    fn keys(&self) -> Vec<Value> {
        let all = self.sought.iter().flat_map(|s| s.numbers.iter().zip(&s.subjects));
        all.map(|(number, key)| json!({ "number": number, "key": key })).collect()
    }
}

/// Whom a question is about, as this gateway records them; nobody where it is about a lane.
fn sought(data: &Path, q: &Question, gateway: &kakou_core::ids::GatewayId) -> Result<Option<Sought>, String> {
    match (&q.subject, q.person.is_empty(), &q.lane) {
        (Some(key), true, None) => Ok(Some(Sought { subjects: vec![key.clone()], numbers: Vec::new() })),
        (None, false, None) => {
            let sealed = q.person.get(gateway).ok_or(
                "it holds no envelope for this gateway: ask with its file in `readers` of the authority, which a \
                 box of an earlier version gives with its next renewal",
            )?;
            let reader = keys::reader_key(data).map_err(|e| e.to_string())?;
            let opened =
                reader.open(sealed, PERSON, q.context(gateway).as_bytes()).map_err(|e| e.to_string())?;
            let person =
                std::str::from_utf8(&opened).map_err(|_| "the id of the person is no text".to_owned())?;
            let kept = subjects::load(data).map_err(|e| e.to_string())?;
            let before = kept.before().iter().rev().map(|k| k.number);
            let numbers = std::iter::once(kept.in_use().number).chain(before).collect();
            let subjects = subjects::for_lanes(&kept).all(&id::normal(person));
            Ok(Some(Sought { subjects, numbers }))
        }
        (None, true, Some(_)) => Ok(None),
        _ => {
            Err("it must ask for one: a subject key, a lane, or a person in an envelope for this gateway"
                .into())
        }
    }
}

/// Forgets keys that were replaced so long ago, and before everything that the journal still has: what was not
/// delivered is kept longer.
fn forget(data: &Path, now_ms: i64, keep_ms: i64) -> Result<Option<Keys>, String> {
    let reader = journal::reader(data).map_err(|e| e.to_string())?;
    let oldest = trace::oldest_ms(&reader).map_err(|e| e.to_string())?.unwrap_or(now_ms);
    let before = oldest.min(now_ms.saturating_sub(keep_ms));
    subjects::forget(data, before).map_err(|e| e.to_string())
}

impl OrderSettings {
    /// Answers one that this gateway may answer.
    pub(super) async fn question(&self, word: &[u8]) {
        let opened = signed::open(word, TRACE, &self.keys, Usage::Trace, self.now_s());
        let question = opened.map_err(|e| e.to_string()).and_then(|o| {
            let q: Question = serde_json::from_slice(&o.payload).map_err(|e| e.to_string())?;
            let late = self.clock.now().wall_s().is_some_and(|now| now > q.expires);
            match (q.site == self.site, late) {
                (false, _) => Err(format!("it is for site {}", q.site)),
                (_, true) => Err("its time is over".into()),
                (true, false) => Ok((q, o.issuer)),
            }
        });
        let (q, issuer) = match question {
            Ok(question) => question,
            Err(why) => {
                return self.refuse("question_refused_total", json!({ "question": true, "why": why }));
            }
        };
        let began = Instant::now();
        let (data, gateway, asked) = (self.data.clone(), self.gateway.clone(), q.clone());
        let found = tokio::task::spawn_blocking(move || {
            let sought = sought(&data, &asked, &gateway)?;
            let reader = journal::reader(&data).map_err(|e| e.to_string())?;
            let of = match (&sought, &asked.lane) {
                (Some(who), _) => trace::Of::Subjects(&who.subjects),
                (None, Some(lane)) => trace::Of::Lane(lane.as_str()),
                (None, None) => return Err("it asks for nobody".to_owned()),
            };
            let (rows, truncated) =
                trace::find(&reader, of, asked.from_ms, asked.to_ms).map_err(|e| e.to_string())?;
            // Looked at last: what was purged meanwhile is told as gone.
            let reach = trace::reach(&reader).map_err(|e| e.to_string())?;
            Ok(TraceFound { sought, rows, truncated, reach })
        });
        let found = found.await.unwrap_or_else(|e| Err(e.to_string()));
        let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let body = match &found {
            Ok(found) => {
                let TraceFound { rows, truncated, reach, .. } = found;
                json!({ "id": q.id, "rows": rows, "truncated": truncated, "took_us": took_us, "epoch": reach.epoch,
                    "floor": reach.floor, "since": reach.since_ms.map(rfc3339), "keys": found.keys() })
            }
            Err(why) => {
                self.metrics.count("question_refused_total");
                json!({ "id": q.id, "rows": [], "truncated": false, "refused": why })
            }
        };
        // Who asked for what is on record before anything is told.
        let mut asked = json!({ "trace": q.id, "by": q.by, "issuer": issuer, "purpose": q.purpose, "subject": q.subject,
            "lane": q.lane, "from_ms": q.from_ms, "to_ms": q.to_ms,
            "rows": found.as_ref().map_or(0, |found| found.rows.len()) });
        match &found {
            Ok(found) => {
                if let Some(first) = found.keys().first() {
                    (asked["subject"], asked["subject_key"]) =
                        (first["key"].clone(), first["number"].clone());
                }
            }
            Err(why) => asked["refused"] = json!(why),
        }
        if !self.record("trace_query", asked).await {
            self.metrics.count("question_refused_total");
            return log::error!("a question cannot be recorded, so it is not answered");
        }
        self.answer(&format!("trace/{}", q.id), body.to_string().into_bytes(), false).await;
    }

    /// Forgets keys under which nothing can be asked for any more: their time is over, and with it what was recorded
    /// with them.
    pub(super) async fn forget_subjects(&self) {
        let Some(now_ms) = self.clock.now().wall_ms else { return };
        let (data, keep_ms) = (self.data.clone(), self.keep_days.saturating_mul(DAY_MS));
        let forgotten = tokio::task::spawn_blocking(move || forget(&data, now_ms, keep_ms));
        match forgotten.await.map_err(|e| e.to_string()).flatten() {
            Ok(None) => {}
            Ok(Some(keys)) => {
                self.subjects.send_replace(std::sync::Arc::new(subjects::for_lanes(&keys)));
                log::info!("a subject key whose time is over is forgotten");
            }
            Err(why) => log::warn!("whether a subject key can be forgotten is not known: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_core::ids::{GatewayId, LaneId, SiteId};
    use kakou_provisioning::envelope::{Reader, seal};
    use kakou_provisioning::subjects::Key;
    use std::collections::BTreeMap;

    fn question(person: BTreeMap<GatewayId, kakou_provisioning::envelope::Sealed>) -> Question {
        Question {
            id: "q".into(),
            site: SiteId::new("school").unwrap(),
            by: "Li".into(),
            purpose: "contact".into(),
            subject: None,
            person,
            lane: None,
            from_ms: 0,
            to_ms: 1,
            expires: 1,
        }
    }

    #[test]
    fn a_person_is_looked_for_under_every_key_that_the_gateway_keeps() {
        let folder = tempfile::tempdir().unwrap();
        let gateway = GatewayId::new("gw-1").unwrap();
        let reader = keys::reader_key(folder.path()).unwrap().reader();
        let for_one = |reader: &Reader, context: &str| {
            let sealed = seal(reader, PERSON, context.as_bytes(), " r-0001".as_bytes()).unwrap();
            question([(gateway.clone(), sealed)].into())
        };
        let first = subjects::load(folder.path()).unwrap();
        let next = Key::new(2, vec![2; 32]).unwrap();
        let sealed = next.seal(&reader, "school.gw-1").unwrap();
        let (keys, _) = subjects::take(folder.path(), "school.gw-1", (2, &sealed), 5).unwrap();
        let under = |key: &Key| kakou_core::evidence::SubjectKey::new(key.secret()).of("R-0001");
        let who = sought(folder.path(), &for_one(&reader, "q school.gw-1"), &gateway).unwrap().unwrap();
        assert_eq!(who.subjects, [under(keys.in_use()), under(first.in_use())]);
        assert_eq!(who.numbers, [2, 1]);
        // An envelope of another question, for another gateway, and none at all: refused, and not "was not here".
        for bad in ["q2 school.gw-1", "q school.gw-2"] {
            assert!(sought(folder.path(), &for_one(&reader, bad), &gateway).is_err(), "{bad}");
        }
        let other = GatewayId::new("gw-2").unwrap();
        let why = sought(folder.path(), &for_one(&reader, "q school.gw-1"), &other).unwrap_err();
        assert!(why.contains("no envelope for this gateway"), "{why}");
    }

    #[test]
    fn a_key_is_kept_for_as_long_as_the_journal_has_anything_that_was_recorded_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let author = kakou_core::event::Author {
            site: SiteId::new("school").unwrap(),
            gateway: GatewayId::new("gw-1").unwrap(),
            boot: "boot".into(),
        };
        let (mut journal, ..) = journal::Journal::open(data, author).unwrap();
        let mut event = |at_ms: i64| {
            let event = kakou_core::event::NewEvent {
                kind: "audit".into(),
                class: kakou_core::event::Class::Scan,
                lane: None,
                visit: None,
                audience: Vec::new(),
                data: json!({}),
            };
            let quality = kakou_core::time::Quality::Synced;
            let now = kakou_core::time::Now { mono_ms: 1, wall_ms: Some(at_ms), quality };
            journal.begin().unwrap();
            journal.append(&event, &now).unwrap();
            journal.commit().unwrap();
        };
        let reader = keys::reader_key(data).unwrap().reader();
        let sealed = Key::new(2, vec![2; 32]).unwrap().seal(&reader, "school.gw-1").unwrap();
        let day = |n: i64| n * DAY_MS;
        event(day(100));
        subjects::take(data, "school.gw-1", (2, &sealed), day(110)).unwrap();
        event(day(120));
        let left = |now_ms: i64| {
            forget(data, now_ms, day(14)).unwrap();
            subjects::load(data).unwrap().before().len()
        };
        assert_eq!(left(day(200)), 1, "an event of before was never delivered");
        let file = rusqlite::Connection::open(journal::path(data)).unwrap();
        file.execute("DELETE FROM event WHERE seq = 1", []).unwrap();
        assert_eq!(left(day(123)), 1, "its days are not over");
        assert_eq!(left(day(125)), 0);
    }

    #[test]
    fn a_question_asks_for_one_thing() {
        let folder = tempfile::tempdir().unwrap();
        let gateway = GatewayId::new("gw-1").unwrap();
        let mut q = question(BTreeMap::new());
        assert!(sought(folder.path(), &q, &gateway).is_err());
        q.lane = Some(LaneId::new("lane-1").unwrap());
        assert_eq!(sought(folder.path(), &q, &gateway), Ok(None));
        q.subject = Some("0123456789abcdef0123456789abcdef".into());
        assert!(sought(folder.path(), &q, &gateway).is_err());
    }
}
