//! The last verdicts of a gateway, and the last visits of which there are pictures.
//!
//! Of what an event says, little is kept and none of it is long: one gateway cannot fill the memory of the page.

use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Verdicts that are remembered of each gateway.
const VERDICTS: usize = 20;
/// Visits with pictures that are.
const VISITS: usize = 6;
/// Pictures, seals or officers of one visit.
const OF_ONE: usize = 12;
/// Characters of a word that are kept.
const WORD: usize = 120;

/// The place of an event among those of its gateway: its epoch and its number.
type EventPosition = (u64, u64);

fn place(event: &Value) -> Option<EventPosition> {
    let mut parts = event["id"].as_str()?.splitn(3, '/').skip(1);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn word(value: &Value) -> Value {
    value.as_str().map_or(Value::Null, |text| text.chars().take(WORD).collect::<String>().into())
}

/// The first of these that is there.
fn first<'a>(values: impl IntoIterator<Item = &'a Value>) -> Value {
    values.into_iter().map(word).find(|v| !v.is_null()).unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten().take(OF_ONE)
}

/// A visit of which there are pictures or seals.
#[derive(Debug)]
struct Visit {
    place: EventPosition,
    /// Lane and number of the visit; of a picture that was asked for, the command.
    key: String,
    told: Value,
}

/// What is remembered of the visits at one gateway.
#[derive(Debug, Default)]
pub(super) struct Visits {
    verdicts: BTreeMap<EventPosition, Value>,
    pictured: Vec<Visit>,
}

impl Visits {
    /// Takes an event, in any order, once or more often.
    pub(super) fn take(&mut self, event: &Value, late: bool) {
        let Some(place) = place(event) else { return };
        match event["type"].as_str() {
            Some("kakou.transaction.v1") => {
                self.verdict(place, event, late);
                self.picture(place, event);
            }
            Some("kakou.seal_applied.v1" | "kakou.snapshot.v1") => self.picture(place, event),
            Some(_) | None => {}
        }
    }

    fn verdict(&mut self, place: EventPosition, event: &Value, late: bool) {
        let data = &event["data"];
        let codes: Vec<Value> = list(&data["codes"]).map(word).collect();
        let told = json!({ "at": word(&event["time"]), "lane": lane(event), "outcome": word(&data["outcome"]),
            "codes": codes, "late": late });
        self.verdicts.insert(place, told);
        while self.verdicts.len() > VERDICTS {
            self.verdicts.pop_first();
        }
    }

    fn picture(&mut self, place: EventPosition, event: &Value) {
        let data = &event["data"];
        let shown = |p: &Value| json!({ "role": word(&p["role"]), "sha256": word(&p["sha256"]), "at": word(&p["taken_at"]) });
        let photos: Vec<Value> = list(&data["photos"]).map(shown).collect();
        let seal = |s: &Value| {
            json!({ "number": word(&s["number"]), "kind": word(&s["kind"]), "door": word(&s["door"]),
                "officer": word(&s["officer"]) })
        };
        let seals: Vec<Value> = list(&data["seals"]).map(seal).collect();
        if photos.is_empty() && seals.is_empty() {
            return;
        }
        let approved = [&data["checks"], &data["approvals"]].into_iter().filter_map(Value::as_object);
        let mut officers: Vec<Value> = seals.iter().map(|s| s["officer"].clone()).collect();
        officers.extend(approved.flat_map(|a| a.values()).take(OF_ONE).map(word));
        officers.retain(|o| !o.is_null());
        officers.sort_by_key(Value::to_string);
        officers.dedup();
        let key = first([&event["subject"], &data["command"]]).as_str().unwrap_or_default().to_owned();
        let told = json!({ "at": word(&event["time"]), "lane": lane(event), "outcome": word(&data["outcome"]),
            "plate": first([&data["plate"], &data["answers"]["plate"]]), "category": word(&data["category"]),
            "from": word(&data["from"]), "to": word(&data["to"]), "seals": seals, "officers": officers,
            "by": word(&data["by"]), "photos": photos });
        self.keep(place, key, told);
    }

    /// The picture that a command has asked for, as its answer names it.
    pub(super) fn snapshot(&mut self, job: &Value) {
        if job["what"] != "snapshot" || job["state"] != "SUCCEEDED" || job["detail"]["sha256"].is_null() {
            return;
        }
        let photo =
            json!({ "role": "snapshot", "sha256": word(&job["detail"]["sha256"]), "at": word(&job["at"]) });
        let told = json!({ "at": word(&job["at"]), "lane": word(&job["detail"]["lane"]), "photos": [photo] });
        // It is of now, until its event says which it is.
        let (epoch, seq) = self.newest();
        self.keep(
            (epoch, seq.saturating_add(1)),
            word(&job["id"]).as_str().unwrap_or_default().to_owned(),
            told,
        );
    }

    /// What several events say of one visit is one.
    fn keep(&mut self, place: EventPosition, key: String, told: Value) {
        match self.pictured.iter_mut().find(|v| v.key == key && !key.is_empty()) {
            Some(visit) => {
                let (Some(old), Some(new)) = (visit.told.as_object_mut(), told.as_object()) else { return };
                let is_empty = |v: &Value| v.is_null() || v.as_array().is_some_and(Vec::is_empty);
                for (name, value) in new {
                    let before = old.entry(name.clone()).or_insert(Value::Null);
                    // The record of a seal knows more than the verdict on its visit, and comes after it.
                    if is_empty(before) || (place >= visit.place && !is_empty(value)) {
                        *before = value.clone();
                    }
                }
                visit.place = visit.place.max(place);
            }
            None => self.pictured.push(Visit { place, key, told }),
        }
        self.pictured.sort_by_key(|v| Reverse(v.place));
        self.pictured.truncate(VISITS);
    }

    /// Verdicts, the latest first.
    pub(super) fn verdicts(&self) -> Vec<&Value> {
        self.verdicts.values().rev().collect()
    }

    /// Visits with pictures, the latest first.
    pub(super) fn pictured(&self) -> Vec<&Value> {
        self.pictured.iter().map(|v| &v.told).collect()
    }

    /// The newest of them.
    fn newest(&self) -> EventPosition {
        let verdict = self.verdicts.last_key_value().map(|(place, _)| *place);
        verdict.max(self.pictured.first().map(|v| v.place)).unwrap_or_default()
    }
}

fn lane(event: &Value) -> Value {
    let named = event["subject"].as_str().and_then(|s| s.split('/').next());
    named.map_or_else(|| word(&event["data"]["lane"]), |lane| word(&json!(lane)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, kind: &str, subject: &str, data: &Value) -> Value {
        json!({ "id": format!("gw-1/5/{seq}"), "type": format!("kakou.{kind}.v1"), "subject": subject,
            "time": format!("2026-11-30T08:00:{seq:02}.000Z"), "data": data })
    }

    #[test]
    fn pictures_are_shown_with_plate_seals_officers_and_all_of_the_visit() {
        let photos = json!([{ "role": "closeup", "sha256": "c", "taken_at": "2026-11-30T07:59:00.000Z" },
            { "role": "overall", "sha256": "o" }]);
        let mut visits = Visits::default();
        let seals = json!([{ "number": "LN0045678", "kind": "bolt", "door": "rear", "officer": "wang" }]);
        let seal =
            json!({ "plate": "辽P12345", "seals": seals, "photos": photos, "checks": { "check": "li" } });
        // The record of the seal may be heard before the verdict, as from the database.
        visits.take(&event(3, "seal_applied", "lane-1/7", &seal), false);
        visits.take(
            &event(2, "transaction", "lane-1/7", &json!({ "outcome": "ADMIT", "photos": photos })),
            false,
        );
        let [visit] = visits.pictured()[..] else { panic!("one visit is one: {:?}", visits.pictured()) };
        assert_eq!((&visit["plate"], &visit["outcome"]), (&json!("辽P12345"), &json!("ADMIT")));
        assert_eq!(visit["seals"][0]["number"], "LN0045678");
        assert_eq!(visit["officers"], json!(["li", "wang"]));
        assert_eq!(visit["at"], "2026-11-30T08:00:03.000Z");
        assert_eq!(visit["photos"].as_array().unwrap().len(), 2);
        assert_eq!(visit["photos"][0]["at"], "2026-11-30T07:59:00.000Z");
    }

    #[test]
    fn a_picture_that_was_asked_for_is_among_the_pictures_of_its_gateway() {
        let mut visits = Visits::default();
        let job = json!({ "id": "c0ffee", "what": "snapshot", "state": "SUCCEEDED", "at": "2026-11-30T08:00:00.000Z",
            "detail": { "sha256": "s", "lane": "lane-2", "bytes": 5 } });
        visits.snapshot(&job);
        visits.snapshot(&json!({ "id": "d", "what": "snapshot", "state": "FAILED", "detail": "no camera" }));
        assert_eq!((visits.pictured().len(), &visits.pictured()[0]["photos"][0]["sha256"]), (1, &json!("s")));
        // Its event says who asked.
        let data = json!({ "command": "c0ffee", "by": "Wang", "lane": "lane-2", "photos": [{ "role": "snapshot", "sha256": "s" }] });
        let mut recorded = event(9, "snapshot", "", &data);
        recorded["subject"] = Value::Null;
        visits.take(&recorded, false);
        assert_eq!((visits.pictured().len(), &visits.pictured()[0]["by"]), (1, &json!("Wang")));
    }

    #[test]
    fn verdicts_are_shown_once_in_their_order_and_are_few() {
        let mut visits = Visits::default();
        for seq in [5, 3, 5, 4].into_iter().chain(6..60) {
            let long = "X".repeat(5_000);
            visits.take(
                &event(seq, "transaction", "l/1", &json!({ "outcome": "DENY", "codes": [long] })),
                false,
            );
        }
        let all = visits.verdicts();
        assert_eq!((all.len(), &all[0]["at"]), (VERDICTS, &json!("2026-11-30T08:00:59.000Z")));
        assert!(all.iter().all(|v| v["codes"][0].as_str().unwrap().len() <= WORD));
    }
}
