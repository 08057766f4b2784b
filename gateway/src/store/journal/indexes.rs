//! The indexes of verdicts, by lane and by subject: written behind the barrier.
//!
//! Each verdict would change a page of either, where nothing of it waits for them: what they say stands in the event
//! as well. So they are brought up to date when nobody has come for a moment, for all verdicts since then together.
//! The journal says how far they reach; whoever looks for somebody reads the few events behind that themselves
//! ([`crate::store::trace`]), and a start indexes what a power cut has left.

use super::Journal;
use crate::store::{TRANSACTION, number};
use rusqlite::{Connection, params};
use serde_json::Value;

/// What `meta` calls the last event that the indexes know of.
const INDEXED: &str = "indexed";
/// Events that the indexes may be behind.
pub const MOST: u64 = 1_000;

/// A verdict: its lane, and whom it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Its event.
    pub seq: i64,
    /// The lane.
    pub lane: String,
    /// The subject's key.
    pub subject: Option<String>,
}

impl Verdict {
    /// Of an event with a kind, a lane and data, where it is a verdict.
    pub fn of(seq: i64, kind: &str, lane: Option<&str>, data: &Value) -> Option<Self> {
        let lane = lane.filter(|_| kind.contains(TRANSACTION))?.to_owned();
        let subject = data["subject"].as_str().filter(|key| !key.is_empty()).map(str::to_owned);
        Some(Self { seq, lane, subject })
    }
    /// Of an event as it is stored.
    pub fn stored(seq: i64, event: &Value) -> Option<Self> {
        let lane = event["subject"].as_str().and_then(|s| s.split('/').next());
        Self::of(seq, event["type"].as_str().unwrap_or_default(), lane, &event["data"])
    }

    pub(super) fn index(&self, connection: &Connection) -> rusqlite::Result<()> {
        // By the time that the event has now: it may have been dated meanwhile.
        let sql =
            "INSERT OR IGNORE INTO place (lane, at_ms, seq) SELECT ?1, at_ms, seq FROM event WHERE seq = ?2";
        connection.prepare_cached(sql)?.execute(params![self.lane, self.seq])?;
        if let Some(key) = &self.subject {
            let sql = "INSERT OR IGNORE INTO subject (key, at_ms, seq) SELECT ?1, at_ms, seq FROM event WHERE seq = ?2";
            connection.prepare_cached(sql)?.execute(params![key, self.seq])?;
        }
        Ok(())
    }
}

/// A verdict behind what the indexes know of, its time and its event.
pub type Behind = (Verdict, i64, Value);

/// Verdicts behind what the indexes know of.
pub fn behind(connection: &Connection) -> rusqlite::Result<Vec<Behind>> {
    // A journal that does not say how far they reach has indexed all.
    let Some(indexed) = number(connection, INDEXED)? else { return Ok(Vec::new()) };
    let sql = "SELECT seq, at_ms, body FROM event WHERE seq > ?1 AND shed = 0 ORDER BY seq";
    let mut select = connection.prepare_cached(sql)?;
    let mut rows = select.query([indexed])?;
    let mut behind = Vec::new();
    while let Some(r) = rows.next()? {
        let event: Value = serde_json::from_slice(&r.get::<_, Vec<u8>>(2)?).unwrap_or_default();
        if let Some(verdict) = Verdict::stored(r.get(0)?, &event) {
            behind.push((verdict, r.get(1)?, event));
        }
    }
    Ok(behind)
}

fn reach(connection: &Connection, seq: u64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = ?2";
    connection.prepare_cached(sql)?.execute(params![INDEXED, seq.cast_signed()]).map(drop)
}

impl Journal {
    /// Indexes what a power cut has left, if anything; a journal of an earlier version has indexed all.
    pub(super) fn open_indexes(&mut self) -> rusqlite::Result<()> {
        if number(&self.connection, INDEXED)? != Some(self.seq.cast_signed()) {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            for (verdict, ..) in behind(&self.connection)? {
                verdict.index(&self.connection)?;
            }
            reach(&self.connection, self.seq)?;
            self.connection.execute_batch("COMMIT")?;
        }
        self.indexed = self.seq;
        Ok(())
    }

    /// What a transaction that did not happen has indexed is not, and what it has added is gone.
    pub(super) fn reload_indexes(&mut self) -> rusqlite::Result<()> {
        self.unindexed = behind(&self.connection)?.into_iter().map(|(verdict, ..)| verdict).collect();
        self.indexed = number(&self.connection, INDEXED)?.map_or(self.seq, i64::cast_unsigned);
        Ok(())
    }

    /// Whether verdicts wait for their indexes.
    pub fn indexes_are_behind(&self) -> bool {
        !self.unindexed.is_empty()
    }

    /// Whether as many events wait as may.
    pub(super) fn indexes_are_far_behind(&self) -> bool {
        self.seq - self.indexed >= MOST
    }

    /// Brings the indexes up to date, in the open transaction.
    pub fn catch_up(&mut self) -> rusqlite::Result<()> {
        if self.indexed == self.seq {
            return Ok(());
        }
        for verdict in &self.unindexed {
            verdict.index(&self.connection)?;
        }
        reach(&self.connection, self.seq)?;
        self.indexed = self.seq;
        self.unindexed.clear();
        Ok(())
    }
}
