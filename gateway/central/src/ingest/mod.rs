//! The central side: takes events of a fleet, removes duplicates by (gateway, epoch, sequence), and
//! says up to where each stream is complete.
//!
//! The receipt goes out when the events are stored ([`Store::take`] has returned), and the broker is
//! acknowledged only after it: a crash in between brings the events again.
//!
//! An event that cannot be taken for what it says holds up nobody: it is quarantined as it came, its place in its
//! stream counts as filled, and the gateway is told why.

pub mod bulk;
pub mod known;
pub mod ledger;
pub mod listen;
pub mod photos;
pub mod postgres;
mod receipt_tracker;
pub mod refusal_log;
mod requests;
pub mod words;

use kakou_core::event::{self, Class};
use kakou_core::ids::{GatewayId, SiteId};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::io;

/// The first moment that a database knows as a date, in UTC milliseconds.
const YEAR_1: i64 = -62_135_596_800_000;
/// Later than any time that is meant, and far from the last one that a database can add to, in UTC milliseconds.
const FAR_MS: i64 = 1_000_000_000_000_000;
/// An event of a gateway is less deep, and a database takes far more.
pub(crate) const DEPTH: usize = 64;

/// Tells of a visit.
pub(crate) const VISIT: &str = "kakou.transaction.v1";

/// Tells what the difference between wall and monotonic time was.
const CLOCK: &str = "kakou.clock.v1";

/// A gateway of a site.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct From {
    /// The site.
    pub site: SiteId,
    /// The gateway.
    pub gateway: GatewayId,
}

impl From {
    /// From the names in a topic `kakou/v1/SITE/GATEWAY/…`, and what follows them.
    pub fn of_topic(topic: &str) -> Option<(Self, &str)> {
        let mut parts = topic.strip_prefix("kakou/v1/")?.splitn(3, '/');
        let (site, gateway) = (parts.next()?, parts.next()?);
        Some((Self { site: SiteId::new(site).ok()?, gateway: GatewayId::new(gateway).ok()? }, parts.next()?))
    }
    /// A topic of this gateway.
    pub fn topic(&self, rest: &str) -> String {
        kakou_wire::topic::topic(&self.site, &self.gateway, rest)
    }
}

/// One event as it arrived.
#[derive(Debug, Clone)]
pub struct ReceivedEvent {
    /// Whose.
    pub from: From,
    /// Its epoch.
    pub epoch: u64,
    /// Order in the journal.
    pub seq: u64,
    /// Its stream.
    pub stream: Class,
    /// Order in the stream.
    pub stream_seq: u64,
    /// What happened, e.g. `kakou.transaction.v1`.
    pub kind: String,
    /// When, as the gateway says.
    pub time: Option<String>,
    /// The lane, if any.
    pub lane: Option<String>,
    /// Of a verdict: its outcome.
    pub outcome: Option<String>,
    /// The number of the secret that made its subject key, if it has one.
    pub subject_key: Option<i32>,
    /// Of a visit: the subject key, "" if it has none.
    pub subject: Option<String>,
    /// Whether it tells what was, not what is.
    pub late: bool,
    /// The whole event.
    pub json: String,
    /// Why it is quarantined, if it is.
    pub refused: Option<String>,
}

/// What an event must say to have a place.
#[derive(Deserialize)]
struct Place {
    id: String,
    stream: Class,
    streamseq: u64,
}

#[derive(Deserialize, Default)]
struct Head {
    source: String,
    r#type: String,
    time: Option<String>,
    subject: Option<String>,
    /// How the time of it is to be taken: the view of times looks into these for every event.
    boot: Option<String>,
    monoms: Option<Milliseconds>,
    #[serde(rename = "clocksynced")]
    _synced: Option<bool>,
    clockquality: Option<String>,
    #[serde(default)]
    data: Data,
}

/// A text of digits; gateways of before wrote a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Milliseconds {
    Number(i64),
    Text(String),
}

impl Milliseconds {
    fn get(&self) -> Option<i64> {
        match self {
            Self::Number(ms) => Some(*ms),
            Self::Text(text) if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok(),
            Self::Text(_) => None,
        }
    }
}

/// Of an event of the clock.
#[derive(Deserialize)]
struct Clock {
    data: Offset,
}

#[derive(Deserialize)]
struct Offset {
    offset_ms: Option<i64>,
}

#[derive(Deserialize, Default)]
struct Data {
    outcome: Option<String>,
    subject_key: Option<i32>,
    #[serde(default)]
    subject: serde_json::Value,
}

/// Why a message is not taken.
#[derive(Debug, thiserror::Error)]
pub enum BadMessage {
    /// Not JSON of events.
    #[error("not a CloudEvent or a batch of them: {0}")]
    Json(#[from] serde_json::Error),
    /// An event without our id.
    #[error("`{0}` is not gateway/epoch/sequence")]
    Id(String),
    /// An event of another gateway than its topic says.
    #[error("an event of `{0}` on the topic of `{1}`")]
    Foreign(String, String),
}

/// What a message holds.
#[derive(Debug, Default)]
pub struct DecodedMessage {
    /// Events with a place, those that are quarantined among them.
    pub events: Vec<ReceivedEvent>,
    /// Why others have none.
    pub faults: Vec<BadMessage>,
}

/// Reads a message of a gateway: one event, or a batch. None of them spoils the others.
pub fn read(from: &From, late: bool, payload: &[u8]) -> Result<DecodedMessage, BadMessage> {
    let batch: Vec<&RawValue> = match payload.first() {
        Some(b'[') => serde_json::from_slice(payload)?,
        Some(_) | None => vec![serde_json::from_slice(payload)?],
    };
    let mut found = DecodedMessage::default();
    for raw in batch {
        match one(from, late, raw) {
            Ok(event) => found.events.push(event),
            Err(fault) => found.faults.push(fault),
        }
    }
    Ok(found)
}

/// How deep arrays and objects of a JSON text stand in each other.
pub(crate) fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut text, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if text => escaped = true,
            b'"' => text = !text,
            b'[' | b'{' if !text => depth += 1,
            b']' | b'}' if !text => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The same JSON without the blanks and line breaks between its texts; nothing else of it changes.
pub fn compact(json: &str) -> String {
    let (mut text, mut escaped) = (false, false);
    let stays = |c: &char| {
        match c {
            _ if escaped => escaped = false,
            '\\' if text => escaped = true,
            '"' => text = !text,
            ' ' | '\t' | '\n' | '\r' => return text,
            _ => {}
        }
        true
    };
    json.chars().filter(stays).collect()
}

fn one(from: &From, late: bool, raw: &RawValue) -> Result<ReceivedEvent, BadMessage> {
    let place: Place = serde_json::from_str(raw.get())?;
    let bad = || BadMessage::Id(place.id.chars().take(event::LONGEST_NAME).collect());
    let mut parts = place.id.split('/');
    let (Some(whose), Some(epoch), Some(seq), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad());
    };
    if whose != from.gateway.as_str() {
        let whose = whose.chars().take(event::LONGEST_NAME).collect();
        return Err(BadMessage::Foreign(whose, from.gateway.to_string()));
    }
    // Sequences that no database counts, and none at all, are refused as well.
    let number = |text: &str| text.parse().ok().filter(|n| (1..=i64::MAX.cast_unsigned()).contains(n));
    let (epoch, seq) = (number(epoch).ok_or_else(bad)?, number(seq).ok_or_else(bad)?);
    if !(1..=i64::MAX.cast_unsigned()).contains(&place.streamseq) {
        return Err(bad());
    }
    let (head, refused) = match head(from, raw.get()) {
        Ok(head) => (head, None),
        Err(why) => (Head::default(), Some(refusal_log::brief(why))),
    };
    Ok(ReceivedEvent {
        from: from.clone(),
        epoch,
        seq,
        stream: place.stream,
        stream_seq: place.streamseq,
        lane: head.lane(),
        subject: head.visitor(),
        kind: head.r#type,
        // As this side writes times: not every offset that can be read can be stored.
        time: head
            .time
            .and_then(|t| kakou_core::time::parse_instant(&t))
            .filter(|ms| *ms >= YEAR_1)
            .map(kakou_core::time::rfc3339),
        outcome: head.data.outcome,
        subject_key: head.data.subject_key,
        late,
        json: raw.get().to_owned(),
        refused,
    })
}

impl Head {
    /// Who it is about, if it tells of a visit. What is no subject key is nobody's.
    fn visitor(&self) -> Option<String> {
        let is_key = |key: &&str| key.len() <= LONGEST_KEY && key.bytes().all(|b| b.is_ascii_alphanumeric());
        let key = || self.data.subject.as_str().filter(is_key).unwrap_or_default().to_owned();
        (self.r#type == VISIT).then(key)
    }
    fn lane(&self) -> Option<String> {
        self.subject.as_ref().and_then(|s| s.split('/').next()).map(str::to_owned)
    }
}

/// A subject key is hexadecimal, and shorter.
const LONGEST_KEY: usize = 64;

/// What the tables look into, or why they cannot.
fn head(from: &From, json: &str) -> Result<Head, String> {
    if depth(json) > DEPTH {
        return Err(format!("arrays and objects in it are deeper than {DEPTH}"));
    }
    let head: Head = serde_json::from_str(json).map_err(|e| e.to_string())?;
    if head.r#type == CLOCK {
        clock(json)?;
    }
    if head.monoms.as_ref().is_some_and(|ms| ms.get().is_none_or(|ms| !(0..=FAR_MS).contains(&ms))) {
        return Err("its `monoms` is no time since a start".into());
    }
    // Whoever reads the event later has no topic beside it.
    if head.source != format!("/kakou/{}/{}", from.site, from.gateway) {
        let said: String = head.source.chars().take(event::LONGEST_NAME).collect();
        return Err(format!("it says that its source is `{said}`"));
    }
    let lane = head.lane();
    let names = [
        Some(&head.r#type),
        head.time.as_ref(),
        lane.as_ref(),
        head.data.outcome.as_ref(),
        head.boot.as_ref(),
        head.clockquality.as_ref(),
    ];
    for name in names {
        if let Some(name) = name.filter(|name| !event::is_name(name)) {
            let shown: String = name.chars().take(event::LONGEST_NAME).collect();
            return Err(format!("`{shown}` is not a name that an event may have"));
        }
    }
    Ok(head)
}

/// The index and the view of times look into every event of a clock.
fn clock(json: &str) -> Result<(), String> {
    // PostgreSQL reads no text with NUL or with half a surrogate pair.
    if json.contains("\\u0000") || serde_json::from_str::<serde_json::Value>(json).is_err() {
        return Err("an event of the clock with NUL, half a surrogate pair, or a number too large".into());
    }
    let Clock { data: Offset { offset_ms } } = serde_json::from_str(json).map_err(|e| e.to_string())?;
    if offset_ms.is_some_and(|ms| !(YEAR_1..=FAR_MS).contains(&ms)) {
        return Err("its `offset_ms` is no time".into());
    }
    Ok(())
}

/// What a gateway says of itself when it comes and when it goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct StateMessage {
    /// Whether it is there.
    pub online: bool,
    /// Its journal's epoch.
    #[serde(default)]
    pub epoch: u64,
    /// Up to where each stream is gone from it: purged or shed. Nothing of it will come any more.
    #[serde(default)]
    pub floor: BTreeMap<Class, u64>,
}

/// The last words of a gateway about itself, as it sent them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// Its state, JSON.
    State(String),
    /// Its health, JSON.
    Health(String),
}

/// A stream is complete up to here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complete {
    /// Whose.
    pub from: From,
    /// Its epoch.
    pub epoch: u64,
    /// The stream.
    pub stream: Class,
    /// The last event without a gap before it.
    pub through: u64,
}

/// That an event was quarantined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its epoch.
    pub epoch: u64,
    /// Its stream.
    pub stream: Class,
    /// Which of the stream.
    pub stream_seq: u64,
    /// Why.
    pub why: String,
}

impl ReceivedEvent {
    /// What its gateway is told, if it is quarantined.
    pub fn refusal(&self) -> Option<(From, Refusal)> {
        let (stream, stream_seq) = (self.stream, self.stream_seq);
        let why = self.refused.clone()?;
        Some((self.from.clone(), Refusal { epoch: self.epoch, stream, stream_seq, why }))
    }
}

/// What some messages brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ingested {
    /// Events not seen before.
    pub new: u64,
    /// Events seen before.
    pub duplicates: u64,
    /// Events that were quarantined, and why: not told before.
    pub refused: Vec<(From, Refusal)>,
    /// Of the duplicates, events whose content is not what was seen before, if the store compares.
    pub conflicts: u64,
    /// How far the streams are complete that were touched.
    pub complete: Vec<Complete>,
    /// Of these, the streams of which later events have come, and not those that follow.
    pub behind: Vec<Complete>,
    /// Events held beyond a gap, if the store counts them.
    pub gaps: u64,
}

impl Ingested {
    /// What some more messages brought.
    pub fn add(&mut self, more: Self) {
        self.new += more.new;
        self.duplicates += more.duplicates;
        self.refused.extend(more.refused);
        self.conflicts += more.conflicts;
        self.complete.extend(more.complete);
        self.behind.extend(more.behind);
        self.gaps = more.gaps;
    }
}

/// Where events are kept.
pub trait Store: Send + 'static {
    /// Makes new events durable.
    fn take(&mut self, events: Vec<ReceivedEvent>) -> impl Future<Output = io::Result<Ingested>> + Send;
    /// A gateway has spoken of itself: what is gone is no gap any more, it is a loss on record.
    fn keep_state(
        &mut self,
        from: &From,
        message: &StateMessage,
    ) -> impl Future<Output = io::Result<Ingested>> + Send;
    /// How far streams are complete, each in its place: none of it is 0.
    fn through(
        &mut self,
        streams: &[(From, u64, Class)],
    ) -> impl Future<Output = io::Result<Vec<u64>>> + Send;
    /// Keeps the last words of a gateway about itself, for whoever looks at the fleet.
    fn about(&mut self, from: &From, about: About) -> impl Future<Output = io::Result<()>> + Send;
}

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests {
    use super::*;

    fn from(gateway: &str) -> From {
        From { site: SiteId::new("s").unwrap(), gateway: GatewayId::new(gateway).unwrap() }
    }

    fn event(seq: u64, stream_seq: u64) -> String {
        format!(
            r#"{{"specversion":"1.0","id":"gw-1/1/{seq}","source":"/kakou/s/gw-1","type":"kakou.t.v1","stream":"verdict","streamseq":{stream_seq},"data":{{}}}}"#
        )
    }

    #[test]
    fn messages_of_a_stranger_are_refused() {
        let foreign = read(&from("gw-2"), false, event(1, 1).as_bytes()).unwrap();
        assert!(foreign.events.is_empty() && matches!(foreign.faults[0], BadMessage::Foreign(..)));
        for bad in ["", "["] {
            assert!(read(&from("gw-1"), false, bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in [
            "{}",
            "[1]",
            "{\"id\":\"gw-1/1/0\",\"type\":\"t\",\"stream\":\"verdict\",\"streamseq\":1}",
            "{\"id\":\"gw-1/1/1\",\"type\":\"t\",\"stream\":\"verdict\",\"streamseq\":0}",
            "{\"id\":\"gw-1/1\",\"type\":\"t\",\"stream\":\"verdict\",\"streamseq\":1}",
        ] {
            let found = read(&from("gw-1"), false, bad.as_bytes()).unwrap();
            assert!(found.events.is_empty() && found.faults.len() == 1, "{bad}");
        }
    }

    #[test]
    fn compact_json_means_the_same_and_is_one_line() {
        let json = "{ \"a\" : \"x \\\" {\\t y\" ,\r\n\t\"b\":[ 1.50 , 1.50, \"\\\\\" ] , \"b\" : { } }";
        assert_eq!(compact(json), "{\"a\":\"x \\\" {\\t y\",\"b\":[1.50,1.50,\"\\\\\"],\"b\":{}}");
    }

    #[test]
    fn an_event_that_cannot_be_taken_is_kept_aside_and_spoils_no_other() {
        let bad = event(2, 2).replace("kakou.t.v1", "kakou.到访.v1");
        let batch = format!("[{},{bad},{{}},{}]", event(1, 1), event(3, 3));
        let found = read(&from("gw-1"), false, batch.as_bytes()).unwrap();
        assert_eq!(found.events.iter().map(|e| e.stream_seq).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(found.faults.len(), 1);
        let aside: Vec<_> = found.events.iter().filter_map(ReceivedEvent::refusal).collect();
        assert!(
            aside.len() == 1 && aside[0].1.stream_seq == 2 && aside[0].1.why.contains("到访"),
            "{aside:?}"
        );
        assert_eq!(found.events[1].json, bad, "as it came");
        assert!(!kakou_core::event::is_kind("到访"), "no profile makes such an event");
        let foreign = event(1, 1).replace("/kakou/s/gw-1", "/kakou/s/gw-2");
        assert!(read(&from("gw-1"), false, foreign.as_bytes()).unwrap().events[0].refused.is_some());
        let long =
            event(1, 1).replace("{}}", &format!("{{\"outcome\":[\"\\u001b[2J{}\"]}}}}", "z".repeat(99_999)));
        let texts = event(1, 1)
            .replace("\"stream\"", &format!("\"monoms\":\"{}\",\"stream\"", "\\u001bz".repeat(999)));
        for text in [long, texts] {
            let why = read(&from("gw-1"), false, text.as_bytes()).unwrap().events.remove(0).refused.unwrap();
            assert!(why.chars().count() <= refusal_log::LONGEST_WHY + 1 && !why.contains('\u{1b}'), "{why}");
        }
        let numbers = event(1, 1).replace("{}}", "{\"outcome\":7}}");
        assert!(read(&from("gw-1"), false, numbers.as_bytes()).unwrap().events[0].refused.is_some());
    }

    #[test]
    fn what_no_database_takes_does_not_reach_one() {
        let with = |data: &str| event(1, 1).replace("{}}", &format!("{data}}}"));
        let deep = |n: usize| with(&format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n)));
        let read = |text: String| read(&from("gw-1"), false, text.as_bytes());
        let refused =
            |text: String| read(text).map_or(true, |found| found.events.iter().all(|e| e.refused.is_some()));
        assert!(!refused(deep(40)));
        assert!(refused(deep(100)) && refused(deep(100_000)));
        assert!(!refused(with(&format!("{{\"a\":\"{}\\\"[\"}}", "[".repeat(100)))), "a text is not deep");
        // What the views and panels read as numbers and as yes or no.
        let says = |kind: &str, more: &str, data: &str| {
            let text = event(1, 1).replace("kakou.t.v1", kind).replace("{}}", &format!("{data}}}"));
            text.replace("\"stream\"", &format!("{more}\"stream\""))
        };
        let fine = "\"boot\":\"b\",\"monoms\":5,\"clocksynced\":true,\"clockquality\":\"synced\",";
        assert!(!refused(says("kakou.t.v1", fine, "{}")));
        assert!(!refused(says("kakou.t.v1", &fine.replace("5,", "\"5\","), "{}")), "as a text as well");
        assert!(!refused(says(CLOCK, fine, "{\"offset_ms\":-5}")));
        for odd in [
            "\"clocksynced\":\"zonk\",",
            "\"clocksynced\":1,",
            "\"monoms\":\"x\",",
            "\"monoms\":\"\",",
            "\"monoms\":\"-1\",",
            "\"monoms\":\"+1\",",
            "\"monoms\":\"9223372036854775807\",",
            "\"monoms\":1.5,",
            "\"monoms\":99999999999999999999,",
            "\"monoms\":-1,",
            "\"monoms\":9223372036854775807,",
            "\"monoms\":{},",
            "\"boot\":7,",
            "\"clockquality\":[],",
        ] {
            assert!(refused(says("kakou.t.v1", odd, "{}")), "{odd}");
        }
        for odd in ["\"zonk\"", "1.5", "9223372036854775807", "{}", "true"] {
            let data = format!("{{\"offset_ms\":{odd}}}");
            assert!(refused(says(CLOCK, fine, &data)), "{odd}");
            assert!(!refused(says("kakou.t.v1", fine, &data)), "of an event that no view asks: {odd}");
        }
        let at = |time: &str| {
            let text = event(1, 1).replace("\"source\"", &format!("\"time\":\"{time}\",\"source\""));
            read(text).unwrap().events[0].time.clone()
        };
        assert_eq!(at("2026-11-28T07:00:00Z").as_deref(), Some("2026-11-28T07:00:00.000Z"));
        let far = at("2026-11-28T07:00:00+20:00");
        assert_eq!(
            far.as_deref(),
            Some("2026-11-27T11:00:00.000Z"),
            "an offset that PostgreSQL does not know"
        );
        assert_eq!(at("0000-01-01T00:00:00Z"), None);
    }
}
