//! Journal events: what happened, as it is stored, chained and sent.
//!
//! A body is a CloudEvents 1.0 JSON object. It is written once, when its place in the journal is
//! known, and is never rewritten: later knowledge is a new event.

use crate::ids::{GatewayId, LaneId, SiteId, VisitId};
use crate::time::{Now, rfc3339};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Streams of the outbox, in order of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Verdicts, overrides, seals, evidence: never shed.
    Verdict,
    /// Scans, arrivals, forms, audit.
    Scan,
    /// Temperature samples.
    Sample,
    /// Device and health events: shed first.
    Health,
}

impl Class {
    /// All, in order of delivery.
    pub const ALL: [Self; 4] = [Self::Verdict, Self::Scan, Self::Sample, Self::Health];
    /// The word in topics and receipts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verdict => "verdict",
            Self::Scan => "scan",
            Self::Sample => "sample",
            Self::Health => "health",
        }
    }
    /// The number in the journal.
    pub const fn number(self) -> u8 {
        self as u8
    }
    /// The class of a number.
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// An event before it has a place in the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// What happened: `transaction`, `override`, `seal_applied` …
    pub kind: String,
    /// Its stream.
    pub class: Class,
    /// The lane, if any.
    pub lane: Option<LaneId>,
    /// The visit, if any.
    pub visit: Option<VisitId>,
    /// Who upstream should see it.
    pub audience: Vec<String>,
    /// What happened, exactly.
    pub data: Value,
}

/// The longest name in an event, in bytes.
pub const LONGEST_NAME: usize = 60;

/// Whether a text is a name that an event may have as its type, its lane, its outcome: gateways make no other, and
/// the central side takes no other into its tables.
pub fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= LONGEST_NAME
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:+".contains(&b))
}

/// The type of a CloudEvent of this kind.
pub fn type_of(kind: &str) -> String {
    format!("kakou.{kind}.v1")
}

/// Whether events may be of this kind.
pub fn is_kind(kind: &str) -> bool {
    !kind.is_empty() && is_name(&type_of(kind))
}

/// The kinds that gateways themselves make: a profile gives none of its extra events such a name, or whoever reads them
/// takes one for what it is not.
pub const OWN: [&str; 38] = [
    "approval",
    "audit",
    "barrier_again",
    "barrier_by_hand",
    "clock",
    "command",
    "command_done",
    "command_rejected",
    "configuration",
    "device",
    "door_forced",
    "door_held",
    "events_refused",
    "evidence",
    "handover",
    "input",
    "list",
    "override",
    "pass_used",
    "peer_conflict",
    "photos_shed",
    "record_completed",
    "record_overdue",
    "register_corrected",
    "remote_message",
    "remote_open",
    "repeat",
    "reprint",
    "seal_applied",
    "snapshot",
    "started",
    "storage",
    "temperature",
    "trace_query",
    "training",
    "transaction",
    "visit_abandoned",
    "weight",
];

/// The place of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Grows with every fresh journal.
    pub epoch: u64,
    /// Order in the journal, from 1.
    pub seq: u64,
    /// Order in its stream, from 1 without gaps.
    pub stream_seq: u64,
}

/// Who writes: constant for a run of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The site.
    pub site: SiteId,
    /// The gateway.
    pub gateway: GatewayId,
    /// The boot of the machine.
    pub boot: String,
}

#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    audience: String,
    stream: &'static str,
    streamseq: u64,
    boot: &'a str,
    /// A text: as a number it would leave the 32 bits that CloudEvents gives an Integer after 24.8 days. `streamseq` is
    /// one, and stays within them for 68 years at an event a second.
    monoms: String,
    clocksynced: bool,
    clockquality: &'static str,
    data: &'a Value,
}

/// Writes the body of an event.
pub fn body(event: &NewEvent, place: Position, now: &Now, author: &Author) -> Vec<u8> {
    let subject = event.lane.as_ref().map(|lane| match event.visit {
        Some(visit) => format!("{lane}/{visit}"),
        None => lane.to_string(),
    });
    let envelope = Envelope {
        specversion: "1.0",
        id: format!("{}/{}/{}", author.gateway, place.epoch, place.seq),
        source: format!("/kakou/{}/{}", author.site, author.gateway),
        r#type: type_of(&event.kind),
        time: now.wall_ms.map(rfc3339),
        subject,
        datacontenttype: "application/json",
        audience: event.audience.join(","),
        stream: event.class.as_str(),
        streamseq: place.stream_seq,
        boot: &author.boot,
        monoms: now.mono_ms.to_string(),
        clocksynced: now.synced(),
        clockquality: now.quality.as_str(),
        data: &event.data,
    };
    serde_json::to_vec(&envelope).expect("an envelope of strings and numbers is always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Quality;

    #[test]
    fn a_kind_is_what_the_central_side_takes_as_a_name() {
        assert!(is_kind("arrival") && is_kind("a.b-c_d") && is_kind(&"x".repeat(LONGEST_NAME - 9)));
        let long = "x".repeat(LONGEST_NAME - 8);
        for bad in ["", "到访", "two words", "a/b", "a\0", long.as_str()] {
            assert!(!is_kind(bad), "{bad}");
        }
    }

    #[test]
    fn each_class_has_a_number_and_a_word_of_its_own() {
        let numbers = Class::ALL.map(Class::number);
        assert_eq!(numbers, [0, 1, 2, 3]);
        assert_eq!(numbers.map(Class::of), Class::ALL.map(Some));
        assert_eq!(Class::of(4), None);
        assert_eq!(Class::ALL.map(Class::as_str), ["verdict", "scan", "sample", "health"]);
    }

    #[test]
    fn an_event_is_a_cloud_event() {
        let event = NewEvent {
            kind: "transaction".into(),
            class: Class::Verdict,
            lane: Some(LaneId::new("school-1").unwrap()),
            visit: Some(VisitId(7)),
            audience: vec!["community".into(), "cdc".into()],
            data: serde_json::json!({"outcome": "ADMIT"}),
        };
        let author = Author {
            site: SiteId::new("demo").unwrap(),
            gateway: GatewayId::new("gw-1").unwrap(),
            boot: "b".into(),
        };
        let now = Now { mono_ms: 12, wall_ms: Some(1_621_514_096_000), quality: Quality::Synced };
        let body = body(&event, Position { epoch: 2, seq: 5, stream_seq: 3 }, &now, &author);
        insta::assert_snapshot!(String::from_utf8(body).unwrap(), @r#"{"specversion":"1.0","id":"gw-1/2/5","source":"/kakou/demo/gw-1","type":"kakou.transaction.v1","time":"2021-05-20T12:34:56.000Z","subject":"school-1/7","datacontenttype":"application/json","audience":"community,cdc","stream":"verdict","streamseq":3,"boot":"b","monoms":"12","clocksynced":true,"clockquality":"synced","data":{"outcome":"ADMIT"}}"#);
    }

    #[test]
    fn every_attribute_stays_within_the_types_of_cloud_events_however_long_a_box_is_up() {
        let event = NewEvent {
            kind: "transaction".into(),
            class: Class::Verdict,
            lane: Some(LaneId::new("school-1").unwrap()),
            visit: Some(VisitId(7)),
            audience: vec!["community".into()],
            data: Value::Null,
        };
        let author = Author {
            site: SiteId::new("demo").unwrap(),
            gateway: GatewayId::new("gw-1").unwrap(),
            boot: "b".into(),
        };
        let place = Position { epoch: u64::MAX, seq: u64::MAX, stream_seq: 1 };
        for mono_ms in [0, 30 * 86_400_000, 10 * 365 * 86_400_000] {
            let now = Now { mono_ms, wall_ms: Some(1_621_514_096_000), quality: Quality::Synced };
            let event: serde_json::Map<String, Value> =
                serde_json::from_slice(&body(&event, place, &now, &author)).unwrap();
            assert_eq!(event["monoms"], mono_ms.to_string());
            for (name, value) in event.iter().filter(|(name, _)| *name != "data") {
                assert!(
                    name.len() <= 20 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
                );
                let good = match value {
                    Value::Bool(_) | Value::String(_) => true,
                    Value::Number(n) => n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
                    Value::Null | Value::Array(_) | Value::Object(_) => false,
                };
                assert!(good, "{name}: {value}");
            }
        }
    }
}
