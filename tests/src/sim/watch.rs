//! Looks at the journal after every step, through a connection of its own: what is on record, in order and without a gap,
//! and whether anything was purged that the central side does not have.

use super::central::Central;
use super::disk::Disk;
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
    epoch: u64,
    last: u64,
    streams: [u64; 4],
    /// What was written to the disk when it was looked at last: where nothing was since, nothing has come or gone.
    looked: Option<u64>,
    looked_for_gone: Option<u64>,
    /// Every event that was ever on record, by epoch, stream and number.
    pub events: BTreeMap<(u64, Class, u64), (u64, Hash)>,
    /// Those of this epoch.
    by_seq: BTreeMap<u64, (Class, u64)>,
    purged: u64,
    /// Events that were purged.
    pub purged_events: u64,
}

impl Watch {
    /// The box is on, with a journal of this epoch; a new one where the old one was harmed, and not otherwise.
    pub fn open(&mut self, data: &Path, epoch: u64, harmed: bool) -> Result<(), String> {
        self.reader = Some(journal::reader(data).map_err(|e| e.to_string())?);
        let anew = self.epoch != epoch;
        if self.last > 0 && anew != harmed {
            return Err(format!("the journal begins anew: {anew}, it was harmed: {harmed}"));
        }
        if anew {
            (self.epoch, self.last, self.streams, self.purged) = (epoch, 0, [0; 4], 0);
            self.by_seq.clear();
        }
        Ok(())
    }

    /// The box is off.
    pub fn close(&mut self) {
        self.reader = None;
        (self.looked, self.looked_for_gone) = (None, None);
    }

    /// What has come on record.
    pub fn look(&mut self, disk: &Disk) -> Result<Vec<Event>, String> {
        let Some(reader) = &self.reader else { return Ok(Vec::new()) };
        let written = Some(disk.counts().writes);
        if std::mem::replace(&mut self.looked, written) == written {
            return Ok(Vec::new());
        }
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
            let id = format!("/{}/{seq}", self.epoch);
            if !event["id"].as_str().is_some_and(|said| said.ends_with(&id)) {
                return Err(format!("event {seq} calls itself {}", event["id"]));
            }
            let hash = Hash::of(&body);
            self.events.insert((self.epoch, class, stream_seq), (seq, hash));
            self.by_seq.insert(seq, (class, stream_seq));
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
    pub fn purges(&mut self, disk: &Disk, central: &Central) -> Result<(), String> {
        let Some(reader) = &self.reader else { return Ok(()) };
        let written = Some(disk.counts().writes);
        if std::mem::replace(&mut self.looked_for_gone, written) == written {
            return Ok(());
        }
        let purged = purged(reader).map_err(|e| format!("the journal cannot be read: {e}"))?;
        if purged <= self.purged {
            return Ok(());
        }
        for (seq, (class, stream_seq)) in self.by_seq.range(self.purged + 1..=purged) {
            if !central.has(self.epoch, *class, *stream_seq) {
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

    /// At the end, of a journal whose events are delivered: the central side has each of them as it was on record. Of a
    /// journal that was lost before it has what it had; the number of those that it never had.
    pub fn same_as(&self, central: &Central) -> Result<u64, String> {
        for (which @ (epoch, class, stream_seq), hash) in central.events() {
            if self.events.get(which).map(|(_, known)| known) != Some(hash) {
                let class = class.as_str();
                return Err(format!(
                    "the central side has another {class} {stream_seq} of epoch {epoch} than was on record"
                ));
            }
        }
        let mut lost = 0;
        for (epoch, class, stream_seq) in self.events.keys().filter(|(e, c, s)| !central.has(*e, *c, *s)) {
            if *epoch == self.epoch {
                let class = class.as_str();
                return Err(format!("{class} {stream_seq} was on record, the central side has it not"));
            }
            lost += 1;
        }
        Ok(lost)
    }

    /// The chain is whole.
    pub fn verify(&self, data: &Path, public_key: &[u8]) -> Result<(), String> {
        let Some(reader) = &self.reader else { return Ok(()) };
        let photos = Photos::open(data).map_err(|e| e.to_string())?;
        let verified = chain::verify(reader, &photos, public_key).map_err(|e| e.to_string())?;
        if verified.problems.is_empty() { Ok(()) } else { Err(verified.problems.join("; ")) }
    }
}

fn purged(reader: &Connection) -> rusqlite::Result<u64> {
    let through: Option<i64> =
        reader.prepare_cached("SELECT seq FROM purged")?.query_row([], |r| r.get(0)).optional()?;
    Ok(through.unwrap_or(0).cast_unsigned())
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
