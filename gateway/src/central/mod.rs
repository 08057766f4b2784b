//! The receipting consumer: takes events of a fleet, removes duplicates by (gateway, epoch,
//! sequence), and says up to where each stream is complete.
//!
//! The receipt goes out when the events are stored ([`Sink::store`] has returned), and the broker is
//! acknowledged only after it: a crash in between brings the events again.

pub mod listen;

use kakou_core::event::Class;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// One event as it arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// The gateway.
    pub gateway: String,
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
    /// The whole event.
    pub json: String,
}

#[derive(Deserialize)]
struct Head<'a> {
    id: &'a str,
    r#type: &'a str,
    stream: Class,
    streamseq: u64,
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

/// Reads a message of a gateway: one event, or a batch.
pub fn read(gateway: &str, payload: &[u8]) -> Result<Vec<Arrived>, BadMessage> {
    let batch: Vec<&RawValue> = match payload.first() {
        Some(b'[') => serde_json::from_slice(payload)?,
        Some(_) | None => vec![serde_json::from_slice(payload)?],
    };
    batch.into_iter().map(|raw| one(gateway, raw)).collect()
}

fn one(gateway: &str, raw: &RawValue) -> Result<Arrived, BadMessage> {
    let head: Head<'_> = serde_json::from_str(raw.get())?;
    let bad = || BadMessage::Id(head.id.to_owned());
    let mut parts = head.id.split('/');
    let (Some(from), Some(epoch), Some(seq), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad());
    };
    if from != gateway {
        return Err(BadMessage::Foreign(from.to_owned(), gateway.to_owned()));
    }
    Ok(Arrived {
        gateway: from.to_owned(),
        epoch: epoch.parse().map_err(|_| bad())?,
        seq: seq.parse().map_err(|_| bad())?,
        stream: head.stream,
        stream_seq: head.streamseq,
        kind: head.r#type.to_owned(),
        json: raw.get().to_owned(),
    })
}

/// Where events are kept.
pub trait Sink {
    /// Makes new events durable.
    fn store(&mut self, events: &[Arrived]) -> std::io::Result<()>;
}

/// How far a stream is complete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Progress {
    through: u64,
    beyond: BTreeSet<u64>,
}

impl Progress {
    /// Whether this one is new.
    fn take(&mut self, seq: u64) -> bool {
        if seq <= self.through || !self.beyond.insert(seq) {
            return false;
        }
        while self.beyond.remove(&(self.through + 1)) {
            self.through += 1;
        }
        true
    }
}

/// What one message brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Events not seen before.
    pub new: u64,
    /// Events seen before.
    pub duplicates: u64,
    /// Streams that are now complete up to a number: gateway, epoch, stream, through.
    pub receipts: Vec<(String, u64, Class, u64)>,
}

/// The state of the consumer.
#[derive(Debug, Default)]
pub struct Consumer {
    streams: BTreeMap<(String, u64, Class), Progress>,
}

impl Consumer {
    /// Takes the events of one message.
    pub fn take(&mut self, events: Vec<Arrived>, sink: &mut dyn Sink) -> std::io::Result<Taken> {
        let mut out = Taken::default();
        let mut fresh = Vec::new();
        let mut touched = BTreeSet::new();
        let before = events.len() as u64;
        for event in events {
            let key = (event.gateway.clone(), event.epoch, event.stream);
            let known = self.streams.get(&key);
            let seen =
                known.is_some_and(|p| event.stream_seq <= p.through || p.beyond.contains(&event.stream_seq));
            touched.insert(key);
            if !seen && !fresh.iter().any(|f: &Arrived| f.epoch == event.epoch && f.seq == event.seq) {
                fresh.push(event);
            }
        }
        if !fresh.is_empty() {
            sink.store(&fresh)?;
        }
        for event in &fresh {
            let key = (event.gateway.clone(), event.epoch, event.stream);
            self.streams.entry(key).or_default().take(event.stream_seq);
        }
        out.new = fresh.len() as u64;
        out.duplicates = before - out.new;
        for key in touched {
            if let Some(p) = self.streams.get(&key).filter(|p| p.through > 0) {
                out.receipts.push((key.0, key.1, key.2, p.through));
            }
        }
        Ok(out)
    }

    /// A stream begins behind what the gateway has delivered to an earlier consumer.
    pub fn begin(&mut self, gateway: &str, epoch: u64, stream: Class, through: u64) {
        let p = self.streams.entry((gateway.to_owned(), epoch, stream)).or_default();
        p.through = p.through.max(through);
    }

    /// Streams with missing events: how many are held beyond a gap.
    pub fn gaps(&self) -> u64 {
        self.streams.values().map(|p| p.beyond.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Memory(Vec<Arrived>);
    impl Sink for Memory {
        fn store(&mut self, events: &[Arrived]) -> std::io::Result<()> {
            self.0.extend_from_slice(events);
            Ok(())
        }
    }

    fn event(seq: u64, stream_seq: u64) -> String {
        format!(
            r#"{{"specversion":"1.0","id":"gw-1/1/{seq}","source":"/x","type":"kakou.t.v1","stream":"verdict","streamseq":{stream_seq},"data":{{}}}}"#
        )
    }

    #[test]
    fn duplicates_are_removed_and_receipts_stop_at_a_gap() {
        let (mut c, mut sink) = (Consumer::default(), Memory(Vec::new()));
        let batch = format!("[{},{},{}]", event(5, 1), event(9, 3), event(5, 1));
        let taken = c.take(read("gw-1", batch.as_bytes()).unwrap(), &mut sink).unwrap();
        assert_eq!((taken.new, taken.duplicates), (2, 1));
        assert_eq!(taken.receipts, [("gw-1".to_owned(), 1, Class::Verdict, 1)]);
        let taken = c.take(read("gw-1", event(7, 2).as_bytes()).unwrap(), &mut sink).unwrap();
        assert_eq!(taken.receipts[0].3, 3);
        assert_eq!((sink.0.len(), c.gaps()), (3, 0));
    }

    #[test]
    fn messages_of_a_stranger_are_refused() {
        assert!(matches!(read("gw-2", event(1, 1).as_bytes()), Err(BadMessage::Foreign(..))));
        for bad in [
            "",
            "[",
            "{}",
            "[1]",
            "{\"id\":\"gw-1/1\",\"type\":\"t\",\"stream\":\"verdict\",\"streamseq\":1}",
        ] {
            assert!(read("gw-1", bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
