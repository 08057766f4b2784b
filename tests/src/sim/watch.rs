//! Looks at the journal after every step, through a connection of its own: what is on record, in order and without a gap,
//! and whether anything was purged that the central side does not have.

use super::central::Central;
use super::model::Recorded;
use kakou_core::event::Class;
use kakou_core::evidence::Hash;
use kakou_gateway::store::{chain, journal, photos::Photos};
use rusqlite::{Connection, OptionalExtension};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// An event on record.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its order in the journal.
    pub seq: u64,
    /// Its stream.
    pub class: Class,
    /// Its order in the stream.
    pub stream_seq: u64,
    /// What it says.
    pub recorded: Recorded,
    /// The hash of its body.
    pub hash: Hash,
}

/// What is known of the journal.
#[derive(Default)]
pub struct Watch {
    reader: Option<Connection>,
    last: u64,
    streams: [u64; 4],
    /// Every event that was ever on record, by stream and number.
    pub events: BTreeMap<(Class, u64), (u64, Hash)>,
    purged: u64,
    /// Events that were purged.
    pub purged_events: u64,
}

impl Watch {
    /// The box is on.
    pub fn open(&mut self, data: &Path) -> Result<(), String> {
        self.reader = Some(journal::reader(data).map_err(|e| e.to_string())?);
        Ok(())
    }

    /// The box is off.
    pub fn close(&mut self) {
        self.reader = None;
    }

    /// What has come on record.
    pub fn look(&mut self, epoch: u64) -> Result<Vec<Event>, String> {
        let Some(reader) = &self.reader else { return Ok(Vec::new()) };
        let events = read(reader, self.last).map_err(|e| format!("the journal cannot be read: {e}"))?;
        let mut out = Vec::new();
        for (seq, class, stream_seq, body) in events {
            if seq != self.last + 1 {
                return Err(format!("event {seq} follows event {}", self.last));
            }
            self.last = seq;
            let class = Class::of(class).ok_or("an event of no class")?;
            let stream = &mut self.streams[usize::from(class.number())];
            if stream_seq != *stream + 1 {
                return Err(format!("{} {stream_seq} follows {stream}", class.as_str()));
            }
            *stream = stream_seq;
            let event: Value = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
            let id = format!("/{epoch}/{seq}");
            if !event["id"].as_str().is_some_and(|said| said.ends_with(&id)) {
                return Err(format!("event {seq} calls itself {}", event["id"]));
            }
            let hash = Hash::of(&body);
            self.events.insert((class, stream_seq), (seq, hash));
            let kind = event["type"].as_str().unwrap_or_default();
            let kind = kind.trim_start_matches("kakou.").trim_end_matches(".v1").to_owned();
            let subject = event["subject"].as_str();
            let visit = subject.and_then(|s| s.split_once('/')?.1.parse().ok());
            let lane = subject.map(|s| s.split_once('/').map_or(s, |(lane, _)| lane).to_owned());
            let recorded = Recorded { kind, lane, visit, data: event["data"].clone() };
            out.push(Event { seq, class, stream_seq, recorded, hash });
        }
        Ok(out)
    }

    /// Nothing is purged that the central side does not have.
    pub fn purges(&mut self, central: &Central) -> Result<(), String> {
        let Some(reader) = &self.reader else { return Ok(()) };
        let sql = "SELECT seq FROM purged";
        let purged: Option<i64> =
            reader.query_row(sql, [], |r| r.get(0)).optional().map_err(|e| e.to_string())?;
        let purged = purged.unwrap_or(0).cast_unsigned();
        if purged <= self.purged {
            return Ok(());
        }
        for ((class, stream_seq), (seq, _)) in &self.events {
            if *seq <= purged && *seq > self.purged && !central.has(*class, *stream_seq) {
                let class = class.as_str();
                return Err(format!(
                    "event {seq} ({class} {stream_seq}) is purged, and the central side has it not"
                ));
            }
        }
        self.purged_events += purged - self.purged;
        self.purged = purged;
        Ok(())
    }

    /// The chain is whole.
    pub fn verify(&self, data: &Path, public_key: &[u8]) -> Result<(), String> {
        let Some(reader) = &self.reader else { return Ok(()) };
        let photos = Photos::open(data).map_err(|e| e.to_string())?;
        let verified = chain::verify(reader, &photos, public_key).map_err(|e| e.to_string())?;
        if verified.problems.is_empty() { Ok(()) } else { Err(verified.problems.join("; ")) }
    }
}

type Row = (u64, u8, u64, Vec<u8>);

fn read(reader: &Connection, after: u64) -> rusqlite::Result<Vec<Row>> {
    let sql = "SELECT seq, class, stream_seq, body FROM event WHERE seq > ?1 ORDER BY seq";
    let mut select = reader.prepare_cached(sql)?;
    let rows = select.query_map([after.cast_signed()], |r| {
        let (seq, stream_seq): (i64, i64) = (r.get(0)?, r.get(2)?);
        Ok((seq.cast_unsigned(), r.get(1)?, stream_seq.cast_unsigned(), r.get(3)?))
    })?;
    rows.collect()
}
