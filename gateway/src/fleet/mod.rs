//! The fleet as central ops see it: the last word of each gateway, what is wrong with it, and the
//! answers to questions that were put to all of them.
//!
//! Nothing here is durable: it comes again from what the broker keeps and from the next health. What
//! is not known is told as unknown.

pub mod page;
pub mod send;
pub mod watch;

use crate::central::From;
use kakou_core::time::{WallMs, rfc3339};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Verdicts that are remembered of each gateway.
const VERDICTS: usize = 20;
/// Commands that are remembered of each gateway.
const COMMANDS: usize = 20;
/// Questions that are remembered.
const QUESTIONS: usize = 32;
/// Health that is older is not the present state; it comes once a minute.
const HEALTH_OLD_MS: WallMs = 150_000;
/// Events that wait longer are worth an alarm.
const OUTBOX_OLD_S: i64 = 600;
/// A certificate that ends sooner is worth an alarm.
const CERT_DAYS: i64 = 14;

/// What is known of one gateway.
#[derive(Debug, Default)]
struct Known {
    state: Value,
    state_at: WallMs,
    health: Value,
    health_at: Option<WallMs>,
    since: WallMs,
    verdicts: VecDeque<Value>,
    seal_photo: Option<Value>,
    commands: VecDeque<Value>,
    conflict: bool,
}

/// A question and what came back.
#[derive(Debug)]
struct Asked {
    at: WallMs,
    sites: BTreeSet<String>,
    expected: BTreeSet<From>,
    answered: BTreeSet<From>,
    refused: Vec<Value>,
    rows: Vec<Value>,
    truncated: bool,
    last: WallMs,
}

/// The fleet.
#[derive(Debug, Default)]
pub struct Fleet {
    gateways: BTreeMap<From, Known>,
    asked: VecDeque<(String, Asked)>,
    /// Messages that could not be read.
    pub unreadable: u64,
}

impl Fleet {
    /// Takes a message of a gateway.
    pub fn take(&mut self, topic: &str, payload: &[u8], now: WallMs) {
        let Some((from, rest)) = From::of_topic(topic) else { return };
        let parts: Vec<&str> = rest.split('/').collect();
        let Ok(body) = serde_json::from_slice::<Value>(payload) else {
            self.unreadable += u64::from(!payload.is_empty());
            return;
        };
        match parts.as_slice() {
            ["state"] => self.state(from, body, now),
            ["health"] => {
                let known = self.gateways.entry(from).or_default();
                (known.health, known.health_at) = (body, Some(now));
            }
            ["evt" | "late", "verdict"] => self.events(from, &body, parts[0] == "late"),
            ["cmdres", _] => self.result(from, body),
            ["trace", id] => self.answer(&from, id, &body, now),
            _ => {}
        }
    }

    fn state(&mut self, from: From, body: Value, now: WallMs) {
        let known = self.gateways.entry(from).or_default();
        if known.state["online"] != body["online"] {
            known.since = now;
        }
        known.state_at = now;
        // The will says only that it is gone: what it was is still worth showing.
        match (body["online"].as_bool(), known.state.as_object_mut()) {
            (Some(false), Some(state)) => {
                state.insert("online".into(), json!(false));
            }
            _ => known.state = body,
        }
    }

    fn events(&mut self, from: From, body: &Value, late: bool) {
        let known = self.gateways.entry(from).or_default();
        let all = body.as_array().map_or_else(|| std::slice::from_ref(body), Vec::as_slice);
        for event in all {
            let lane = event["subject"].as_str().and_then(|s| s.split('/').next());
            let data = &event["data"];
            match event["type"].as_str() {
                Some("kakou.transaction.v1") => {
                    known
                        .verdicts
                        .push_front(json!({ "at": event["time"], "lane": lane, "outcome": data["outcome"],
                        "codes": data["codes"], "late": late }));
                    known.verdicts.truncate(VERDICTS);
                }
                Some("kakou.seal_applied.v1") => {
                    let photos = data["photos"].as_array();
                    let closeup =
                        photos.and_then(|p| p.iter().find(|p| p["role"] == "closeup").or(p.first()));
                    if let Some(photo) = closeup {
                        known.seal_photo =
                            Some(json!({ "sha256": photo["sha256"], "at": event["time"], "lane": lane }));
                    }
                }
                Some("kakou.peer_conflict.v1") => known.conflict = true,
                Some(_) | None => {}
            }
        }
    }

    fn result(&mut self, from: From, body: Value) {
        let known = self.gateways.entry(from).or_default();
        known.commands.retain(|c| c["id"] != body["id"]);
        known.commands.push_front(body);
        known.commands.truncate(COMMANDS);
    }

    fn answer(&mut self, from: &From, id: &str, body: &Value, now: WallMs) {
        let Some((_, asked)) = self.asked.iter_mut().find(|(i, _)| i == id) else { return };
        if !asked.answered.insert(from.clone()) {
            return;
        }
        asked.last = now;
        if let Some(why) = body["refused"].as_str() {
            asked.refused.push(json!({ "gateway": format!("{}/{}", from.site, from.gateway), "why": why }));
        }
        asked.truncated |= body["truncated"] == true;
        for row in body["rows"].as_array().into_iter().flatten() {
            let mut row = row.clone();
            row["site"] = json!(from.site);
            row["gateway"] = json!(from.gateway);
            asked.rows.push(row);
        }
    }

    /// The sites that there are.
    pub fn sites(&self) -> BTreeSet<String> {
        self.gateways.keys().map(|f| f.site.to_string()).collect()
    }

    /// A question goes out to these sites: every gateway of them that is known should answer.
    pub fn ask(&mut self, id: &str, sites: BTreeSet<String>, now: WallMs) {
        let expected = self.gateways.keys().filter(|f| sites.contains(f.site.as_str())).cloned().collect();
        let asked = Asked {
            at: now,
            sites,
            expected,
            answered: BTreeSet::new(),
            refused: Vec::new(),
            rows: Vec::new(),
            truncated: false,
            last: now,
        };
        self.asked.push_front((id.to_owned(), asked));
        self.asked.truncate(QUESTIONS);
    }

    /// How far a question is. Done when every gateway that is online has answered.
    pub fn answers(&self, id: &str, now: WallMs) -> Option<Value> {
        let (_, asked) = self.asked.iter().find(|(i, _)| i == id)?;
        let missing: Vec<&From> = asked.expected.difference(&asked.answered).collect();
        let done = missing.iter().all(|f| !self.online(f));
        let mut rows: Vec<&Value> = asked.rows.iter().collect();
        rows.sort_by(|a, b| b["at"].as_str().cmp(&a["at"].as_str()));
        let names: Vec<String> = missing.iter().map(|f| format!("{}/{}", f.site, f.gateway)).collect();
        let asked_of = asked.expected.union(&asked.answered).count();
        let until = if done { asked.last } else { now };
        Some(json!({ "done": done, "asked": asked_of, "answered": asked.answered.len(), "missing": names,
            "refused": asked.refused, "elapsed_ms": (until - asked.at).max(0), "rows": rows,
            "sites": asked.sites, "truncated": asked.truncated }))
    }

    fn online(&self, from: &From) -> bool {
        self.gateways.get(from).is_some_and(|k| k.state["online"] == true)
    }

    /// A line for each gateway.
    pub fn rows(&self, now: WallMs) -> Value {
        let rows: Vec<Value> = self.gateways.iter().map(|(from, known)| row(from, known, now)).collect();
        json!({ "at": rfc3339(now), "gateways": rows })
    }

    /// Everything about one gateway.
    pub fn detail(&self, site: &str, gateway: &str, now: WallMs) -> Option<Value> {
        let (_, known) =
            self.gateways.iter().find(|(f, _)| f.site.as_str() == site && f.gateway.as_str() == gateway)?;
        let health = if known.health.is_null() { None } else { Some(&known.health) };
        Some(
            json!({ "state": known.state, "health": health, "seen_s": seen(known, now), "verdicts": known.verdicts,
            "seal_photo": known.seal_photo, "commands": known.commands }),
        )
    }

    /// State and health of one gateway, as they were told: for the database.
    pub fn words(&self, from: &From) -> Option<(bool, &Value, &Value)> {
        let known = self.gateways.get(from)?;
        Some((known.state["online"] == true, &known.state, &known.health))
    }
}

fn seen(known: &Known, now: WallMs) -> i64 {
    (now - known.state_at.max(known.health_at.unwrap_or(0))) / 1000
}

/// A sum of what a gateway says; it may say anything, and the sum ends at the largest number.
pub fn sum<'a>(figures: impl Iterator<Item = &'a Value>) -> i64 {
    figures.filter_map(Value::as_i64).fold(0, i64::saturating_add)
}

fn row(from: &From, known: &Known, now: WallMs) -> Value {
    let health = &known.health;
    let all = |list: &'static str| health[list].as_array();
    let outbox = all("outbox").map(|o| sum(o.iter().map(|c| &c["unpublished"])));
    let unreceipted = all("outbox").map(|o| sum(o.iter().map(|c| &c["unreceipted"])));
    let oldest = all("outbox").and_then(|o| o.iter().filter_map(|c| c["oldest_age_s"].as_i64()).max());
    let lists_age = all("lists").and_then(|l| l.iter().filter_map(|l| l["age_s"].as_i64()).max());
    let stale = all("lists").map(|l| l.iter().filter(|l| l["stale"] == true).count());
    let devices = all("devices").map(Vec::len);
    let down = all("devices").map(|d| d.iter().filter(|d| d["state"] != "ready").count());
    let outcome = |word: &str| all("lanes").map(|l| sum(l.iter().map(|l| &l["outcomes"][word])));
    let online = known.state["online"].as_bool();
    let cert_days = health["certificate"]["days"].as_i64();
    let quality = health["clock"]["quality"].as_str().unwrap_or("unknown");
    let mut alarms = Vec::new();
    let mut alarm = |name: &'static str, on: bool| {
        if on {
            alarms.push(name);
        }
    };
    alarm("OFFLINE", online == Some(false));
    alarm("OUTBOX", oldest.is_some_and(|s| s > OUTBOX_OLD_S));
    alarm("STALE_LISTS", stale.is_some_and(|n| n > 0));
    alarm("CERT", cert_days.is_some_and(|d| d < CERT_DAYS));
    alarm("CLOCK", quality == "unsynced" || quality == "floor");
    alarm("DEVICES", down.is_some_and(|n| n > 0));
    alarm("STORE", health["store"]["state"].as_str().is_some_and(|s| s != "ok"));
    alarm("GAP", health["counters"]["journal_shed_total"].as_i64().is_some_and(|n| n > 0));
    alarm("CONFLICT", known.conflict);
    let silent = online == Some(true) && known.health_at.is_none_or(|at| now - at > HEALTH_OLD_MS);
    json!({ "site": from.site, "gateway": from.gateway, "online": online, "silent": silent,
        "since_s": (now - known.since) / 1000, "seen_s": seen(known, now), "version": known.state["version"],
        "outbox": outbox, "oldest_s": oldest, "unreceipted": unreceipted, "photos": health["photos"]["waiting"],
        "lists_age_s": lists_age, "stale": stale, "cert_days": cert_days, "clock": quality,
        "devices": devices, "devices_down": down,
        "lanes": known.state["lanes"].as_array().map(Vec::len), "admit": outcome("ADMIT"), "refer": outcome("REFER"),
        "hold": outcome("HOLD"), "deny": outcome("DENY"), "alarms": alarms })
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

    #[test]
    fn a_question_names_who_has_not_answered() {
        let mut fleet = Fleet::default();
        for g in ["g1", "g2", "g3"] {
            let online = g != "g3";
            let body = json!({ "online": online }).to_string();
            fleet.take(&format!("kakou/v1/s/{g}/state"), body.as_bytes(), 0);
        }
        fleet.ask("q", fleet.sites(), 0);
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
