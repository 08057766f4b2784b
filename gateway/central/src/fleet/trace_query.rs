//! A question to the gateways of some sites: what they answer, what the database adds, and what neither can tell.
//!
//! The same visit found in both is one row that names both. The whole is complete only where nothing of the window is
//! left in the dark: each gateway has answered, or the database has all that it had sent until then; what a gateway
//! has no more is in the database, without a loss; no box was changed in between, since nobody knows what the old one
//! had not sent; and no visit was recorded under a key of persons that is forgotten. What is in the dark is named.

use super::archive::{ArchiveAnswer, Journal};
use crate::ingest::From;
use kakou_core::time::{WallMs, parse_instant, rfc3339};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Rows of a question that are kept; more than that nobody reads.
const MOST: usize = 20_000;

/// What one gateway has told.
#[derive(Debug, Default)]
struct TraceAnswer {
    refused: Option<String>,
    truncated: bool,
    epoch: Option<u64>,
    floor: Option<u64>,
    since_ms: Option<WallMs>,
}

/// A question and what came back.
#[derive(Debug)]
pub(super) struct TraceQuery {
    at: WallMs,
    window: (WallMs, WallMs),
    pub(super) sites: BTreeSet<String>,
    /// Who should answer, and the epoch of its journal as far as that is known.
    expected: BTreeMap<From, Option<u64>>,
    told: BTreeMap<From, TraceAnswer>,
    /// The subject keys of the person by their numbers, as gateways make them.
    keys: BTreeMap<(String, u32), String>,
    rows: BTreeMap<(From, u64, i64), Value>,
    /// Whether there were more rows than are kept.
    full: bool,
    /// Of the database, if it is asked: nothing yet, what it has, or why it has not answered.
    database: Option<Option<Result<ArchiveAnswer, String>>>,
    last: WallMs,
}

/// What is not known, for a row of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Dark {
    /// Of whom.
    gateway: String,
    /// Why.
    why: &'static str,
    /// More about it.
    more: Map<String, Value>,
}

fn name(from: &From) -> String {
    format!("{}/{}", from.site, from.gateway)
}

fn dark(from: &From, why: &'static str, more: Value) -> Dark {
    Dark { gateway: name(from), why, more: more.as_object().cloned().unwrap_or_default() }
}

impl TraceQuery {
    /// It goes out now. `database` says whether one will be asked as well.
    pub(super) fn new(
        sites: BTreeSet<String>,
        expected: BTreeMap<From, Option<u64>>,
        window: (WallMs, WallMs),
        database: bool,
        now: WallMs,
    ) -> Self {
        Self {
            at: now,
            window,
            sites,
            expected,
            told: BTreeMap::new(),
            keys: BTreeMap::new(),
            rows: BTreeMap::new(),
            full: false,
            database: database.then_some(None),
            last: now,
        }
    }

    /// A gateway answers; the first answer counts.
    pub(super) fn answer(&mut self, from: &From, body: &Value, now: WallMs) {
        if self.told.contains_key(from) {
            return;
        }
        self.last = now;
        let epoch = body["epoch"].as_u64();
        let told = TraceAnswer {
            refused: body["refused"].as_str().map(str::to_owned),
            truncated: body["truncated"] == true,
            epoch,
            floor: body["floor"].as_u64(),
            since_ms: body["since"].as_str().and_then(parse_instant),
        };
        self.told.insert(from.clone(), told);
        for key in body["keys"].as_array().into_iter().flatten() {
            let number = key["number"].as_u64().and_then(|n| u32::try_from(n).ok());
            if let (Some(number), Some(key)) = (number, key["key"].as_str()) {
                self.keys.insert((from.site.to_string(), number), key.to_owned());
            }
        }
        let epoch = epoch.or_else(|| self.expected.get(from).copied().flatten()).unwrap_or(0);
        for row in body["rows"].as_array().into_iter().flatten() {
            self.row(from, epoch, row.clone(), "gateway");
        }
    }

    fn row(&mut self, from: &From, epoch: u64, mut row: Value, source: &str) {
        let key = (from.clone(), epoch, row["seq"].as_i64().unwrap_or(0));
        if let Some(known) = self.rows.get_mut(&key) {
            if let Some(sources) = known["sources"].as_array_mut().filter(|s| !s.contains(&json!(source))) {
                sources.push(json!(source));
            }
            // The box knows what its clock was; the database what has come.
            return;
        }
        if self.rows.len() >= MOST {
            self.full = true;
            return;
        }
        row["site"] = json!(from.site);
        row["gateway"] = json!(from.gateway);
        row["sources"] = json!([source]);
        self.rows.insert(key, row);
    }

    /// The subject keys under which a person's visits are found in the database.
    pub(super) fn keys(&self) -> Vec<String> {
        self.keys.values().cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The database answers.
    pub(super) fn found(&mut self, found: Result<ArchiveAnswer, String>, now: WallMs) {
        self.last = now;
        if let Ok(found) = &found {
            for (from, epoch, row) in found.rows.clone() {
                self.row(&from, epoch, row, "database");
            }
        }
        self.database = Some(Some(found));
    }

    /// Whether every gateway that can has answered: then the database is asked.
    pub(super) fn answered(&self, online: impl Fn(&From) -> bool) -> bool {
        self.expected.keys().all(|from| self.told.contains_key(from) || !online(from))
    }

    /// How far it is.
    pub(super) fn progress(&self, online: impl Fn(&From) -> bool, now: WallMs) -> Value {
        let done = self.answered(online) && !matches!(self.database, Some(None));
        let missing: Vec<String> =
            self.expected.keys().filter(|from| !self.told.contains_key(from)).map(name).collect();
        let refusals = self.told.iter().filter_map(|(from, told)| Some((from, told.refused.as_ref()?)));
        let refused: Vec<Value> =
            refusals.map(|(from, why)| json!({ "gateway": name(from), "why": why })).collect();
        let mut rows: Vec<&Value> = self.rows.values().collect();
        rows.sort_by(|a, b| b["at"].as_str().cmp(&a["at"].as_str()));
        let found = self.database.as_ref().and_then(Option::as_ref);
        let more = found.is_some_and(|f| f.as_ref().is_ok_and(|f| f.truncated));
        let truncated = self.full || more || self.told.values().any(|told| told.truncated);
        let dark = if done { self.dark() } else { Vec::new() };
        let asked = self.expected.keys().chain(self.told.keys()).collect::<BTreeSet<_>>().len();
        let until = if done { self.last } else { now };
        let database = match (&self.database, found) {
            (None, _) => json!({ "asked": false }),
            (Some(_), None) => json!({ "asked": true }),
            (Some(_), Some(Ok(found))) => json!({ "asked": true, "rows": found.rows.len() }),
            (Some(_), Some(Err(why))) => json!({ "asked": true, "why": why }),
        };
        let dark_rows: Vec<Value> = dark
            .iter()
            .map(|d| {
                let mut row = d.more.clone();
                row.insert("gateway".into(), json!(d.gateway));
                row.insert("why".into(), json!(d.why));
                Value::Object(row)
            })
            .collect();
        json!({ "done": done, "complete": done && dark.is_empty() && !truncated, "asked": asked,
            "answered": self.told.len(), "missing": missing, "refused": refused,
            "elapsed_ms": (until - self.at).max(0), "rows": rows, "sites": self.sites, "truncated": truncated,
            "database": database, "unknown": dark_rows })
    }

    /// What of the window nobody has told.
    fn dark(&self) -> Vec<Dark> {
        let mut all = Vec::new();
        let none = ArchiveAnswer::default();
        let found = match &self.database {
            Some(Some(Ok(found))) => Some(found),
            Some(Some(Err(_)) | None) | None => None,
        };
        let mut gateways: BTreeSet<&From> = self.expected.keys().chain(self.told.keys()).collect();
        gateways.extend(found.unwrap_or(&none).journals.iter().map(|j| &j.from));
        for from in gateways {
            let told = self.told.get(from).filter(|told| told.refused.is_none());
            match found {
                None => all.extend(self.dark_alone(from, told)),
                Some(found) => all.extend(self.dark_with(from, told, found)),
            }
        }
        all
    }

    /// What one gateway leaves in the dark where no database is asked.
    fn dark_alone(&self, from: &From, told: Option<&TraceAnswer>) -> Option<Dark> {
        let Some(told) = told else { return Some(dark(from, "no-answer", json!({}))) };
        let Some(floor) = told.floor else { return Some(dark(from, "version", json!({}))) };
        // A journal with nothing in it reaches back to no time.
        let since = told.since_ms.unwrap_or(self.window.1);
        // Whether another box was there before, nobody knows who asks boxes alone.
        let why = if floor > 0 { "purged" } else { "begins" };
        (since > self.window.0).then(|| dark(from, why, json!({ "until": rfc3339(since) })))
    }

    /// The same where a database has what was sent.
    fn dark_with(&self, from: &From, told: Option<&TraceAnswer>, found: &ArchiveAnswer) -> Vec<Dark> {
        let (begin, end) = self.window;
        let mut all = Vec::new();
        // The journals that were there under this name, one after the other.
        let journals: Vec<&Journal> = found.journals.iter().filter(|j| j.from == *from).collect();
        let known = || self.expected.get(from).copied().flatten();
        let own = told.and_then(|t| t.epoch).or_else(known);
        let mut current = own.and_then(|epoch| journals.iter().find(|j| j.epoch == epoch).copied());
        if told.is_none() && own.is_none() {
            current = journals.last().copied();
        }
        let before: Vec<&Journal> =
            journals.iter().copied().filter(|j| current.is_none_or(|c| c.epoch != j.epoch)).collect();
        match told {
            // Of a box that does not answer the database has what it had sent until then.
            None => match current.map(|c| c.last_ms) {
                Some(last) if last >= end => {}
                last => {
                    let since = last.map(|ms| rfc3339(ms.max(begin)));
                    all.push(dark(from, "no-answer", json!({ "from": since })));
                }
            },
            Some(TraceAnswer { floor: None, .. }) => all.push(dark(from, "version", json!({}))),
            Some(TraceAnswer { floor: Some(0), .. }) => {}
            Some(TraceAnswer { floor: Some(floor), since_ms, .. }) => {
                let since = since_ms.unwrap_or(end);
                let has = current.is_some_and(|c| c.through >= *floor);
                if since > begin && !has {
                    all.push(dark(from, "purged", json!({ "until": rfc3339(since) })));
                }
            }
        }
        let whole = matches!(told, Some(TraceAnswer { floor: Some(0), .. }));
        let stored = before.iter().copied().chain(current.filter(|_| !whole));
        // What is missing from a journal was before its last event; when, nobody knows.
        for journal in stored.filter(|j| j.last_ms >= begin) {
            if journal.lost > 0 {
                all.push(dark(from, "lost", json!({ "events": journal.lost })));
            }
            // Of a box that answers it is still on its way; of another one it does not come any more.
            if journal.open && (told.is_none() || current.is_none_or(|c| c.epoch != journal.epoch)) {
                all.push(dark(from, "behind", json!({})));
            }
            if journal.first_seq > 1 && journal.first_ms > begin {
                all.push(dark(from, "deleted", json!({ "until": rfc3339(journal.first_ms) })));
            }
        }
        // Between the last word of one box and the first of the next.
        let first_of_own = match told {
            Some(TraceAnswer { floor: Some(0), since_ms: Some(since), .. }) => Some(*since),
            Some(_) | None => current.map(|c| c.first_ms),
        };
        let next = before.iter().skip(1).map(|j| Some(j.first_ms)).chain([first_of_own]);
        for (old, next) in before.iter().zip(next) {
            let next = next.unwrap_or(end);
            if old.last_ms < end && next > begin {
                let more = json!({ "from": rfc3339(old.last_ms), "until": rfc3339(next) });
                all.push(dark(from, "swapped", more));
            }
        }
        if !self.keys.is_empty() || found.of_person {
            let numbers = found.numbers.get(from).into_iter().flatten();
            let site = from.site.as_str();
            let known = |n: &Option<u32>| n.is_some_and(|n| self.keys.contains_key(&(site.to_owned(), n)));
            let unknown: Vec<Option<u32>> = numbers.filter(|n| !known(n)).copied().collect();
            if !unknown.is_empty() {
                all.push(dark(from, "keys", json!({ "numbers": unknown })));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_core::ids::{GatewayId, SiteId};

    fn from(gateway: &str) -> From {
        From { site: SiteId::new("s").unwrap(), gateway: GatewayId::new(gateway).unwrap() }
    }

    /// One gateway is asked, from 1,000 to 2,000.
    fn asked(database: bool) -> TraceQuery {
        let expected = [(from("g1"), Some(7))].into();
        TraceQuery::new(["s".to_owned()].into(), expected, (1_000, 2_000), database, 0)
    }

    fn journal(epoch: u64, first_ms: i64, last_ms: i64, through: u64) -> Journal {
        Journal { from: from("g1"), epoch, through, first_seq: 1, first_ms, last_ms, open: false, lost: 0 }
    }

    fn answer(floor: u64, since_ms: i64) -> Value {
        json!({ "rows": [{ "seq": 9, "at": rfc3339(1_500), "lane": "l" }], "truncated": false, "epoch": 7,
            "floor": floor, "since": rfc3339(since_ms) })
    }

    fn whys(asked: &TraceQuery) -> Vec<String> {
        let progress = asked.progress(|_| true, 10);
        let all = progress["unknown"].as_array().unwrap();
        assert_eq!(progress["complete"], progress["done"] == true && all.is_empty());
        all.iter().map(|d| d["why"].as_str().unwrap().to_owned()).collect()
    }

    fn with(answer: Option<Value>, journals: Vec<Journal>) -> TraceQuery {
        let mut asked = asked(true);
        if let Some(answer) = answer {
            asked.answer(&from("g1"), &answer, 1);
        }
        asked.found(Ok(ArchiveAnswer { journals, ..ArchiveAnswer::default() }), 2);
        asked
    }

    #[test]
    fn boxes_alone_are_complete_only_where_their_journals_reach_back_to_the_beginning() {
        let alone = |body: Value| {
            let mut asked = asked(false);
            asked.answer(&from("g1"), &body, 1);
            whys(&asked)
        };
        assert!(alone(answer(5, 900)).is_empty());
        assert_eq!(alone(answer(5, 1_200)), ["purged"]);
        assert_eq!(alone(answer(0, 1_200)), ["begins"], "was another box there before?");
        assert_eq!(alone(json!({ "rows": [] })), ["version"]);
        assert_eq!(alone(json!({ "rows": [], "refused": "no" })), ["no-answer"]);
    }

    #[test]
    fn what_is_gone_from_a_box_is_known_where_the_database_has_it_without_a_loss() {
        let gone = || Some(answer(5, 1_200));
        assert!(whys(&with(gone(), vec![journal(7, 500, 1_900, 30)])).is_empty());
        assert_eq!(whys(&with(gone(), vec![journal(7, 500, 1_100, 4)])), ["purged"], "restored, not healed");
        assert_eq!(whys(&with(gone(), vec![])), ["purged"]);
        let earlier = Some(json!({ "rows": [] }));
        assert_eq!(whys(&with(earlier, vec![journal(7, 500, 1_900, 30)])), ["version"]);
        assert_eq!(whys(&with(gone(), vec![Journal { lost: 2, ..journal(7, 500, 1_900, 30) }])), ["lost"]);
        let deleted = Journal { first_seq: 3, ..journal(7, 1_100, 1_900, 30) };
        assert_eq!(whys(&with(gone(), vec![deleted])), ["deleted"]);
        // A box that has all of its journal needs no database for it.
        assert!(whys(&with(Some(answer(0, 1_200)), vec![])).is_empty());
        assert!(
            whys(&with(Some(answer(0, 900)), vec![Journal { lost: 2, ..journal(7, 900, 1_900, 3) }]))
                .is_empty()
        );
    }

    #[test]
    fn a_box_that_was_changed_is_named_where_the_change_is_in_the_window() {
        let old = |last_ms| journal(3, 100, last_ms, 50);
        assert_eq!(whys(&with(Some(answer(0, 1_700)), vec![old(1_500)])), ["swapped"]);
        assert!(whys(&with(Some(answer(0, 900)), vec![old(800)])).is_empty(), "before it");
        assert!(whys(&with(Some(answer(0, 2_300)), vec![old(2_200)])).is_empty(), "behind it");
        let open = Journal { open: true, ..old(2_200) };
        assert_eq!(whys(&with(Some(answer(0, 2_300)), vec![open])), ["behind"]);
        let rows = with(Some(answer(0, 1_700)), vec![old(1_500)]).progress(|_| true, 9);
        let named = &rows["unknown"][0];
        assert_eq!(
            (named["from"].clone(), named["until"].clone()),
            (json!(rfc3339(1_500)), json!(rfc3339(1_700)))
        );
    }

    #[test]
    fn a_box_that_does_not_answer_is_known_up_to_its_last_word_in_the_database() {
        let silent = |journals| {
            let asked = with(None, journals);
            let progress = asked.progress(|_| false, 9);
            progress["unknown"].as_array().unwrap().iter().map(|d| d["why"].to_string()).collect::<Vec<_>>()
        };
        assert_eq!(silent(vec![journal(7, 500, 1_900, 30)]), ["\"no-answer\""]);
        assert!(silent(vec![journal(7, 500, 2_100, 30)]).is_empty());
        assert_eq!(silent(vec![]), ["\"no-answer\""]);
    }

    #[test]
    fn one_visit_of_two_sources_is_one_row_and_a_key_that_is_forgotten_is_named() {
        let mut asked = asked(true);
        let mut body = answer(0, 900);
        body["keys"] = json!([{ "number": 2, "key": "k2" }]);
        asked.answer(&from("g1"), &body, 1);
        assert!(asked.answered(|_| true) && asked.progress(|_| true, 1)["done"] == false);
        assert_eq!(asked.keys(), ["k2"]);
        let same = json!({ "seq": 9, "at": rfc3339(1_500), "lane": "l" });
        let other = json!({ "seq": 9, "at": rfc3339(1_100), "lane": "l" });
        let rows = vec![(from("g1"), 7, same), (from("g1"), 3, other)];
        let numbers = [(from("g1"), [Some(1), Some(2)].into())].into();
        let journals = vec![journal(7, 900, 1_900, 30)];
        asked.found(Ok(ArchiveAnswer { rows, journals, numbers, of_person: true, truncated: false }), 2);
        let progress = asked.progress(|_| true, 9);
        let sources: Vec<_> =
            progress["rows"].as_array().unwrap().iter().map(|r| r["sources"].clone()).collect();
        assert_eq!(sources, [json!(["gateway", "database"]), json!(["database"])]);
        assert_eq!(whys(&asked), ["keys"]);
        assert_eq!(progress["unknown"][0]["numbers"], json!([1]));
        let mut none = self::asked(true);
        none.answer(&from("g1"), &answer(0, 900), 1);
        none.found(Err("it is away".into()), 2);
        let progress = none.progress(|_| true, 9);
        assert_eq!(
            (progress["done"].clone(), progress["database"]["why"].clone()),
            (json!(true), json!("it is away"))
        );
        assert_eq!(progress["complete"], true, "its journal reaches back to before the window");
    }
}
