//! The fleet as central ops see it: the last word of each gateway, what is wrong with it, and the
//! answers to questions that were put to all of them.
//!
//! Nothing here is durable: it comes again from what the broker keeps and from the next health, and from the database,
//! if there is one. What is not known is told as unknown, and since when anybody has listened is told as well.

pub mod access;
pub mod alarms;
pub mod archive;
pub mod figures;
mod files;
pub mod memory;
pub mod page;
pub mod send;
mod trace_query;
mod visits;
pub mod watch;

use crate::ingest::From;
use alarms::Line;
use kakou_core::time::{WallMs, rfc3339};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use trace_query::TraceQuery;
use visits::Visits;

/// Commands that are remembered of each gateway.
const COMMANDS: usize = 20;
/// Questions that are remembered.
const QUESTIONS: usize = 32;
/// A connection that is not there for so long is said; it comes back within a second, mostly.
const LOST_MS: WallMs = 5_000;

/// What is known of one gateway.
#[derive(Debug, Default)]
struct GatewayStatus {
    state: Value,
    /// When its state was heard last, by whoever heard it.
    seen: Option<WallMs>,
    health: Value,
    health_at: Option<WallMs>,
    /// When anything was heard of it first.
    first: Option<WallMs>,
    /// Since when it is online or offline, and whether that is known: what the broker had kept was so before.
    since: Option<(WallMs, bool)>,
    visits: Visits,
    commands: VecDeque<Value>,
    /// When two events, or two uses of one pass, contradicted each other.
    conflict: Option<WallMs>,
    /// When events were found lost.
    gap: Option<WallMs>,
    /// Events of it that the central side has put aside.
    aside: Option<Aside>,
}

/// Events of a gateway that could not be taken for what they say, within a day.
#[derive(Debug)]
struct Aside {
    /// When the last one came.
    at: WallMs,
    count: i64,
    /// Why that one could not.
    why: String,
}

/// Who has listened, and since when.
#[derive(Debug, Default, Clone)]
struct Listening {
    /// Since when this program has.
    begun: Option<WallMs>,
    /// Since when its connection is there, while it is.
    connected: Option<WallMs>,
    /// Since when it is not there, while it is not.
    lost: Option<WallMs>,
    /// When a gateway was heard last. What the broker had kept is no word of now.
    heard: Option<WallMs>,
    /// What the broker does not let it hear.
    refused: BTreeSet<String>,
    /// Whether a database remembers for it.
    remembers: bool,
    /// Whether that was read.
    recalled: bool,
    /// The last time at which whoever writes the database heard any gateway.
    recorded: Option<WallMs>,
    /// Why the database cannot be asked.
    forgets: Option<String>,
    /// Why the list of expected boxes cannot be read.
    unlisted: Option<String>,
}

/// The fleet.
#[derive(Debug, Default)]
pub struct Fleet {
    gateways: BTreeMap<From, GatewayStatus>,
    asked: VecDeque<(String, TraceQuery)>,
    listening: Listening,
    /// Boxes that should be there.
    expected: BTreeSet<From>,
    /// Messages that could not be read.
    pub unreadable: u64,
}

/// What the page and `kakou fleet watch` read: a line for each gateway, and since when it has been listened to.
#[derive(Debug, Serialize)]
pub struct Lines<'a> {
    at: String,
    gateways: Vec<Line<'a>>,
    listening: Value,
    /// Who looks, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub you: Option<Value>,
}

impl Fleet {
    /// Takes a message of a gateway, as it says it.
    pub fn take(&mut self, topic: &str, payload: &[u8], now: WallMs) {
        if From::of_topic(topic).is_some() {
            self.listening.heard = Some(now);
        }
        self.message(topic, payload, false, now);
    }

    /// Takes a message that the broker had kept: it was so at some time before.
    pub fn take_kept(&mut self, topic: &str, payload: &[u8], now: WallMs) {
        self.message(topic, payload, true, now);
    }

    fn message(&mut self, topic: &str, payload: &[u8], kept: bool, now: WallMs) {
        let Some((from, rest)) = From::of_topic(topic) else { return };
        let parts: Vec<&str> = rest.split('/').collect();
        let Ok(body) = serde_json::from_slice::<Value>(payload) else {
            self.unreadable += u64::from(!payload.is_empty());
            return;
        };
        match parts.as_slice() {
            ["state"] => self.state(from, body, kept, now),
            // Health that was kept is no report of now, and of no time that anybody knows.
            ["health"] if kept => {}
            ["health"] => {
                let known = self.gateways.entry(from).or_default();
                known.first.get_or_insert(now);
                (known.health, known.health_at) = (body, Some(now));
            }
            ["evt" | "late", "verdict"] => self.events(from, &body, parts[0] == "late", now),
            ["cmdres", _] => self.result(from, body),
            ["trace", id] => self.answer(&from, id, &body, now),
            _ => {}
        }
    }

    fn state(&mut self, from: From, body: Value, kept: bool, now: WallMs) {
        let known = self.gateways.entry(from).or_default();
        if known.state["online"] != body["online"] {
            known.since = Some((now, !kept));
        }
        known.first.get_or_insert(now);
        // What was kept does not say when it was said.
        if !kept {
            known.seen = Some(now);
        }
        // The will says only that it is gone: what it was is still worth showing.
        match (body["online"].as_bool(), known.state.as_object_mut()) {
            (Some(false), Some(state)) => {
                state.insert("online".into(), json!(false));
            }
            _ => known.state = body,
        }
    }

    fn events(&mut self, from: From, body: &Value, late: bool, now: WallMs) {
        let known = self.gateways.entry(from).or_default();
        let all = body.as_array().map_or_else(|| std::slice::from_ref(body), Vec::as_slice);
        for event in all {
            known.visits.take(event, late);
            if event["type"] == "kakou.peer_conflict.v1" {
                known.conflict = Some(now);
            }
        }
    }

    fn result(&mut self, from: From, body: Value) {
        let known = self.gateways.entry(from).or_default();
        known.visits.snapshot(&body);
        known.commands.retain(|c| c["id"] != body["id"]);
        known.commands.push_front(body);
        known.commands.truncate(COMMANDS);
    }

    /// Somebody begins to listen.
    pub fn begins(&mut self, now: WallMs) {
        self.listening.begun = Some(now);
        self.listening.lost = Some(now);
    }

    /// The connection to the broker is there.
    pub fn connected(&mut self, now: WallMs) {
        (self.listening.connected, self.listening.lost) = (Some(now), None);
        self.listening.refused.clear();
    }

    /// The connection is not there any more.
    pub fn lost(&mut self, now: WallMs) {
        self.listening.connected = None;
        self.listening.lost.get_or_insert(now);
    }

    /// The broker does not let us hear something.
    pub fn refused(&mut self, why: String) {
        self.listening.refused.insert(why);
    }

    /// The boxes that should be there, or why nobody knows.
    pub fn expect(&mut self, boxes: Result<BTreeSet<From>, String>) {
        match boxes {
            Ok(boxes) => (self.expected, self.listening.unlisted) = (boxes, None),
            Err(why) => self.listening.unlisted = Some(why),
        }
    }

    fn answer(&mut self, from: &From, id: &str, body: &Value, now: WallMs) {
        if let Some((_, asked)) = self.asked.iter_mut().find(|(i, _)| i == id) {
            asked.answer(from, body, now);
        }
    }

    /// The sites that there are.
    pub fn sites(&self) -> BTreeSet<String> {
        self.gateways.keys().map(|f| f.site.to_string()).collect()
    }

    /// A question about a time goes out to these sites: every gateway of them that is known should answer, and a
    /// database if one will be asked.
    pub fn ask(
        &mut self,
        id: &str,
        sites: BTreeSet<String>,
        window: (WallMs, WallMs),
        database: bool,
        now: WallMs,
    ) {
        let here = self.gateways.iter().filter(|(f, _)| sites.contains(f.site.as_str()));
        let expected = here.map(|(f, known)| (f.clone(), known.state["epoch"].as_u64())).collect();
        self.asked.push_front((id.to_owned(), TraceQuery::new(sites, expected, window, database, now)));
        self.asked.truncate(QUESTIONS);
    }

    /// The subject keys that gateways have told for a question, once each that is online has answered.
    pub fn keys(&self, id: &str) -> Option<Vec<String>> {
        let (_, asked) = self.asked.iter().find(|(i, _)| i == id)?;
        asked.answered(|f| self.online(f)).then(|| asked.keys())
    }

    /// The same, whoever has answered.
    pub fn keys_so_far(&self, id: &str) -> Vec<String> {
        self.asked.iter().find(|(i, _)| i == id).map_or(Vec::new(), |(_, asked)| asked.keys())
    }

    /// The database has answered a question.
    pub fn found(&mut self, id: &str, found: Result<archive::ArchiveAnswer, String>, now: WallMs) {
        if let Some((_, asked)) = self.asked.iter_mut().find(|(i, _)| i == id) {
            asked.found(found, now);
        }
    }

    /// How far a question is. Done when every gateway that is online has answered, and the database, if it is asked.
    pub fn answers(&self, id: &str, now: WallMs) -> Option<Value> {
        let (_, asked) = self.asked.iter().find(|(i, _)| i == id)?;
        Some(asked.progress(|f| self.online(f), now))
    }

    fn online(&self, from: &From) -> bool {
        self.gateways.get(from).is_some_and(|k| k.state["online"] == true)
    }

    /// What is wrong with whoever listens: all that is shown is then not the present state.
    fn deaf(&self, now: WallMs) -> Option<&'static str> {
        let l = &self.listening;
        let long = |then: Option<WallMs>, ms| then.is_some_and(|then| now - then > ms);
        if long(l.lost, LOST_MS) {
            Some("LOST")
        } else if !l.refused.is_empty() {
            Some("REFUSED")
        } else if long(l.connected, alarms::SILENT_MS)
            && l.heard.is_none_or(|at| now - at > alarms::SILENT_MS)
        {
            Some("DEAF")
        } else {
            None
        }
    }

    /// A line for each gateway.
    pub fn lines(&self, now: WallMs) -> Lines<'_> {
        let l = &self.listening;
        let known = self.gateways.iter().map(|(from, known)| Line::Known(Box::new(known.row(from, l, now))));
        let never = self.expected.iter().filter(|from| !self.gateways.contains_key(from));
        let never = never.map(|from| Line::Never(alarms::never(from, l, now)));
        let ago = |then: Option<WallMs>| then.map(|then| alarms::since(then, now));
        let listening = json!({ "since": l.begun.map(rfc3339), "connected_s": ago(l.connected),
            "lost_s": ago(l.lost), "heard_s": ago(l.heard), "refused": l.refused, "alarm": self.deaf(now),
            "database": l.remembers, "forgets": l.forgets, "unlisted": l.unlisted });
        Lines { at: rfc3339(now), gateways: known.chain(never).collect(), listening, you: None }
    }

    /// The same as JSON.
    pub fn rows(&self, now: WallMs) -> Value {
        json!(self.lines(now))
    }

    /// Everything about one gateway.
    pub fn detail(&self, site: &str, gateway: &str, now: WallMs) -> Option<Value> {
        let named = |f: &From| f.site.as_str() == site && f.gateway.as_str() == gateway;
        let l = &self.listening;
        let memory = json!({ "since": l.begun.map(rfc3339), "database": l.recalled });
        let Some((from, known)) = self.gateways.iter().find(|(f, _)| named(f)) else {
            let from = self.expected.iter().find(|f| named(f))?;
            return Some(
                json!({ "summary": alarms::never(from, l, now), "state": null, "health": null, "seen_s": null,
                "verdicts": [], "pictures": [], "commands": [], "listening": memory }),
            );
        };
        let health = if known.health.is_null() { None } else { Some(&known.health) };
        Some(json!({ "summary": known.row(from, l, now), "state": known.state, "health": health,
            "seen_s": known.seen().map(|at| alarms::since(at, now)), "verdicts": known.visits.verdicts(),
            "pictures": known.visits.pictured(), "commands": known.commands, "listening": memory,
            "aside": known.aside.as_ref().map(|a| json!({ "at": rfc3339(a.at), "count": a.count, "why": a.why })) }))
    }

    /// State and health of one gateway, as they were told: for the database.
    pub fn words(&self, from: &From) -> Option<(bool, &Value, &Value)> {
        let known = self.gateways.get(from)?;
        Some((known.state["online"] == true, &known.state, &known.health))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_shown_as_good() {
        let mut fleet = Fleet::default();
        fleet.take("kakou/v1/s/g1/state", br#"{"online":true,"version":"1","lanes":[{}]}"#, 1_000);
        let rows = fleet.rows(2_000);
        let row = &rows["gateways"][0];
        assert_eq!((row["outbox"].clone(), row["clock"].clone()), (Value::Null, json!("unknown")));
        assert_eq!(row["lanes"], 1);
        fleet.take("kakou/v1/s/g1/state", br#"{"online":false}"#, 3_000);
        fleet.take("kakou/v1/s/g1/health", b"{", 3_000);
        let rows = fleet.rows(4_000);
        assert_eq!(rows["gateways"][0]["alarms"], json!(["OFFLINE"]));
        assert_eq!(rows["gateways"][0]["version"], "1", "the will takes nothing away");
        assert_eq!(fleet.unreadable, 1);
    }

    /// A gateway that says that it is online, and health of it.
    fn online(gateway: &str, fleet: &mut Fleet, now: WallMs) {
        fleet.take_kept(&format!("kakou/v1/s/{gateway}/state"), br#"{"online":true,"lanes":[{}]}"#, now);
    }

    fn alarms_of(fleet: &Fleet, gateway: &str, now: WallMs) -> Value {
        let rows = fleet.rows(now);
        let row = rows["gateways"].as_array().unwrap().iter().find(|r| r["gateway"] == gateway).cloned();
        row.unwrap()["alarms"].clone()
    }

    const MINUTE: WallMs = 60_000;

    #[test]
    fn a_gateway_whose_health_stays_away_is_an_alarm_whatever_its_state_says() {
        let mut fleet = Fleet::default();
        fleet.begins(0);
        fleet.connected(0);
        online("g1", &mut fleet, 0);
        online("g2", &mut fleet, 0);
        let row = |fleet: &Fleet, now| fleet.rows(now)["gateways"][0].clone();
        assert_eq!(
            (row(&fleet, MINUTE)["waiting"].clone(), row(&fleet, MINUTE)["silent"].clone()),
            (json!(true), json!(false))
        );
        fleet.take("kakou/v1/s/g1/health", br#"{"devices":[]}"#, MINUTE);
        assert_eq!(row(&fleet, 2 * MINUTE)["waiting"], false);
        assert_eq!(alarms_of(&fleet, "g1", 4 * MINUTE), json!([]));
        assert_eq!(alarms_of(&fleet, "g2", 4 * MINUTE), json!(["SILENT"]), "it never said a word");
        assert_eq!(alarms_of(&fleet, "g1", 5 * MINUTE), json!(["SILENT"]));
        // Other words of it are not its health.
        fleet.take(
            "kakou/v1/s/g1/evt/verdict",
            br#"{"id":"g1/1/1","type":"kakou.transaction.v1","data":{}}"#,
            5 * MINUTE,
        );
        fleet.take("kakou/v1/s/g1/state", br#"{"online":true}"#, 5 * MINUTE);
        assert_eq!(alarms_of(&fleet, "g1", 5 * MINUTE), json!(["SILENT"]));
        fleet.take("kakou/v1/s/g1/health", br#"{"devices":[]}"#, 6 * MINUTE);
        assert_eq!(alarms_of(&fleet, "g1", 6 * MINUTE), json!([]));
        // One that has gone away need not say more.
        fleet.take("kakou/v1/s/g1/state", br#"{"online":false}"#, 7 * MINUTE);
        assert_eq!(alarms_of(&fleet, "g1", 60 * MINUTE), json!(["OFFLINE"]));
        // One that comes back is waited for.
        fleet.take("kakou/v1/s/g1/state", br#"{"online":true}"#, 61 * MINUTE);
        assert_eq!(
            (alarms_of(&fleet, "g1", 62 * MINUTE), row(&fleet, 62 * MINUTE)["waiting"].clone()),
            (json!([]), json!(true))
        );
        assert_eq!(alarms_of(&fleet, "g1", 65 * MINUTE), json!(["SILENT"]));
    }

    #[test]
    fn whoever_hears_nothing_at_all_says_so() {
        let mut fleet = Fleet::default();
        let alarm = |fleet: &Fleet, now| fleet.rows(now)["listening"]["alarm"].clone();
        fleet.begins(0);
        assert_eq!((alarm(&fleet, 1_000), alarm(&fleet, MINUTE)), (Value::Null, json!("LOST")));
        fleet.connected(MINUTE);
        online("g1", &mut fleet, MINUTE);
        assert_eq!(alarm(&fleet, 2 * MINUTE), Value::Null);
        assert_eq!(alarm(&fleet, 5 * MINUTE), json!("DEAF"), "what was kept is no word of now");
        fleet.take("kakou/v1/s/g1/health", b"{}", 6 * MINUTE);
        assert_eq!(alarm(&fleet, 7 * MINUTE), Value::Null);
        assert_eq!(alarm(&fleet, 10 * MINUTE), json!("DEAF"));
        fleet.refused("health: not authorised".into());
        assert_eq!(alarm(&fleet, 7 * MINUTE), json!("REFUSED"));
        fleet.lost(10 * MINUTE);
        assert_eq!(alarm(&fleet, 11 * MINUTE), json!("LOST"));
        // While nobody listens, nobody knows who is silent.
        assert_eq!(alarms_of(&fleet, "g1", 11 * MINUTE), json!([]));
    }

    #[test]
    fn since_when_is_not_said_to_be_known_when_it_is_not() {
        let mut fleet = Fleet::default();
        fleet.begins(0);
        fleet.connected(0);
        online("g1", &mut fleet, 0);
        let since = |fleet: &Fleet, now| {
            let row = fleet.rows(now)["gateways"][0].clone();
            (row["since_s"].clone(), row["since_exact"].clone())
        };
        assert_eq!(since(&fleet, 7_000), (json!(7), json!(false)));
        fleet.take("kakou/v1/s/g1/state", br#"{"online":false}"#, 8_000);
        assert_eq!(since(&fleet, 10_000), (json!(2), json!(true)));
        assert_eq!(fleet.rows(0)["listening"]["since"], "1970-01-01T00:00:00.000Z");
        let detail = fleet.detail("s", "g1", 10_000).unwrap();
        assert_eq!((&detail["listening"]["database"], &detail["verdicts"]), (&json!(false), &json!([])));
    }

    #[test]
    fn a_box_that_is_expected_and_never_came_is_shown() {
        let mut fleet = Fleet::default();
        let name = |g: &str| From { site: "s".parse().unwrap(), gateway: g.parse().unwrap() };
        fleet.expect(Ok([name("g1"), name("g9")].into()));
        fleet.begins(0);
        fleet.connected(0);
        online("g1", &mut fleet, 0);
        assert_eq!(fleet.rows(MINUTE)["gateways"][1]["waiting"], true, "it may still come");
        assert_eq!(alarms_of(&fleet, "g9", 5 * MINUTE), json!(["NEVER"]));
        assert!(fleet.detail("s", "g9", 0).is_some() && fleet.detail("s", "g8", 0).is_none());
        // Nobody waits for its answer.
        fleet.ask("q", fleet.sites(), (0, 1), false, 0);
        assert_eq!(fleet.answers("q", 0).unwrap()["asked"], 1);
        fleet.expect(Err("line 2".into()));
        assert_eq!(alarms_of(&fleet, "g9", 5 * MINUTE), json!(["NEVER"]), "the last good list counts");
        assert_eq!(fleet.rows(0)["listening"]["unlisted"], "line 2");
        online("g9", &mut fleet, 6 * MINUTE);
        assert_eq!(fleet.rows(6 * MINUTE)["gateways"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn every_kind_of_trouble_is_an_alarm_and_the_worst_is_first() {
        let mut fleet = Fleet::default();
        fleet.connected(0);
        online("g1", &mut fleet, 0);
        let health = json!({
            "outbox": [{ "unpublished": 1, "unreceipted": 20_000, "oldest_age_s": 3_600 }],
            "photos": { "waiting": 1, "oldest_age_s": 100_000 },
            "lists": [{ "name": "status", "version": 3, "age_s": 5, "stale": true, "signed": false, "damaged": true },
                { "name": "trust", "version": 1, "signed": false, "stale": false }],
            "certificate": { "days": 3 }, "clock": { "quality": "unsynced" },
            "devices": [{ "id": "a", "state": "ready" }, { "id": "b", "state": "fault" }],
            "store": { "state": "full" }, "counters": { "journal_shed_total": 1 }, "box": { "temp_c": 84.5 },
            "uses": { "waits_for": ["gw-2"] },
        });
        fleet.take("kakou/v1/s/g1/health", health.to_string().as_bytes(), 0);
        fleet.take("kakou/v1/s/g1/evt/verdict", br#"{"id":"g1/1/1","type":"kakou.peer_conflict.v1"}"#, 0);
        let all: Vec<Value> = alarms::ALARMS
            .into_iter()
            .filter(|a| !["REFUSED", "SILENT", "OFFLINE", "NEVER"].contains(a))
            .map(Value::from)
            .collect();
        assert_eq!(alarms_of(&fleet, "g1", 0), json!(all));
        let rows = fleet.rows(0);
        assert_eq!(
            (&rows["gateways"][0]["devices"], &rows["gateways"][0]["devices_down"]),
            (&json!(2), &json!(1))
        );
        assert_eq!(rows["gateways"][0]["uses_wait_for"], json!(["gw-2"]));
        let one = |alarms: &[&str]| json!({ "alarms": alarms });
        let order = [
            one(&["CONFLICT"]),
            one(&["SILENT", "CLOCK"]),
            one(&["SILENT"]),
            one(&["OFFLINE"]),
            one(&["STALE_LISTS"]),
            one(&["NEVER"]),
            one(&["WHATEVER"]),
            one(&[]),
        ];
        let ranks: Vec<_> = order.iter().map(alarms::rank).collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
    }

    #[test]
    fn a_question_names_who_has_not_answered() {
        let mut fleet = Fleet::default();
        for g in ["g1", "g2", "g3"] {
            let online = g != "g3";
            let body = json!({ "online": online }).to_string();
            fleet.take(&format!("kakou/v1/s/{g}/state"), body.as_bytes(), 0);
        }
        fleet.ask("q", fleet.sites(), (0, 1), false, 0);
        let row = br#"{"rows":[{"at":"2022-01-01T00:00:00.000Z","lane":"l"}],"truncated":false}"#;
        fleet.take("kakou/v1/s/g1/trace/q", row, 10);
        fleet.take("kakou/v1/s/g1/trace/q", row, 11);
        assert_eq!(fleet.answers("q", 20).unwrap()["done"], false);
        fleet.take("kakou/v1/s/g2/trace/q", br#"{"rows":[],"refused":"no"}"#, 30);
        let answers = fleet.answers("q", 99).unwrap();
        assert_eq!((answers["done"].clone(), answers["elapsed_ms"].clone()), (json!(true), json!(30)));
        assert_eq!(answers["missing"], json!(["s/g3"]));
        assert_eq!((answers["rows"].as_array().unwrap().len(), answers["asked"].clone()), (1, json!(3)));
        assert_eq!(answers["refused"][0]["gateway"], "s/g2");
    }

    #[test]
    fn figures_of_a_gateway_never_wrap() {
        let mut fleet = Fleet::default();
        let most = i64::MAX;
        let class = json!({ "unpublished": most, "unreceipted": most, "oldest_age_s": most });
        let outcomes = json!({ "outcomes": { "ADMIT": most, "REFER": most, "HOLD": most, "DENY": most } });
        let health = json!({ "outbox": [class, class], "lanes": [outcomes, outcomes] });
        fleet.take("kakou/v1/s/g1/health", health.to_string().as_bytes(), 0);
        let rows = fleet.rows(1_000);
        let row = &rows["gateways"][0];
        for figure in ["outbox", "unreceipted", "admit", "refer", "hold", "deny"] {
            assert_eq!(row[figure], most, "{figure}");
        }
    }
}
