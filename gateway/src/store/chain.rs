//! Verifying a journal: every hash, every signed head, every photograph that an event names.

use super::photos::{self, Photos};
use kakou_core::evidence::{Checkpoint, Hash};
use rusqlite::{Connection, OptionalExtension};
use serde_json::Value;

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verified {
    /// Events whose hash fits.
    pub events: u64,
    /// Bodies that were shed; their hashes fit.
    pub shed: u64,
    /// Signed heads that verify.
    pub checkpoints: u64,
    /// Photographs named by events, present, with the right hash.
    pub photos: u64,
    /// Photographs that retention has removed.
    pub photos_removed: u64,
    /// What does not fit.
    pub problems: Vec<String>,
}

/// Checks everything.
pub fn verify(connection: &Connection, folder: &Photos, public_key: &[u8]) -> rusqlite::Result<Verified> {
    let mut out = Verified::default();
    let purged: Option<(i64, [u8; 32])> = connection
        .query_row("SELECT seq, hash FROM purged", [], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    let (mut seq, mut head) = purged.map_or((0, Hash::default()), |(seq, hash)| (seq, Hash(hash)));
    let mut named = std::collections::BTreeSet::new();
    {
        let mut select = connection.prepare("SELECT seq, hash, body, shed FROM event ORDER BY seq")?;
        let mut rows = select.query([])?;
        while let Some(r) = rows.next()? {
            let this: i64 = r.get(0)?;
            if this != seq + 1 {
                out.problems.push(format!("events {} to {} are missing", seq + 1, this - 1));
            }
            seq = this;
            let body: Vec<u8> = r.get(2)?;
            let shed: bool = r.get(3)?;
            let body_hash = match <[u8; 32]>::try_from(body.as_slice()) {
                Ok(kept) if shed => Hash(kept),
                Ok(_) | Err(_) => Hash::of(&body),
            };
            head = head.link(seq.cast_unsigned(), &body_hash);
            if head.0 == r.get::<_, [u8; 32]>(1)? {
                out.events += u64::from(!shed);
                out.shed += u64::from(shed);
            } else {
                out.problems.push(format!("event {seq} was changed"));
                head = Hash(r.get(1)?);
            }
            if !shed && let Ok(event) = serde_json::from_slice::<Value>(&body) {
                named.extend(photos::named(&event["data"]).into_iter().map(str::to_owned));
            }
        }
    }
    let mut select = connection.prepare(
        "SELECT c.body, e.hash FROM checkpoint c LEFT JOIN event e ON e.seq = c.seq ORDER BY c.seq",
    )?;
    let mut rows = select.query([])?;
    while let Some(r) = rows.next()? {
        let checkpoint: Option<Checkpoint> = serde_json::from_slice(&r.get::<_, Vec<u8>>(0)?).ok();
        let hash: Option<[u8; 32]> = r.get(1)?;
        match checkpoint {
            Some(c) if c.verifies(public_key) && hash.is_none_or(|h| Hash(h).hex() == c.hash) => {
                out.checkpoints += 1
            }
            Some(c) => out.problems.push(format!("the signed head at {} does not verify", c.seq)),
            None => out.problems.push("a signed head is not readable".into()),
        }
    }
    for sha256 in named {
        match folder.read(&sha256) {
            Some(bytes) if Hash::of(&bytes).hex() == sha256 => out.photos += 1,
            Some(_) => out.problems.push(format!("photograph {sha256} was changed")),
            None if removed(connection, &sha256)? => out.photos_removed += 1,
            None => out.problems.push(format!("photograph {sha256} is missing")),
        }
    }
    Ok(out)
}

/// Whether retention took a photograph.
fn removed(connection: &Connection, sha256: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT state FROM photo WHERE sha256 = ?1";
    let state: Option<i64> = connection.prepare_cached(sql)?.query_row([sha256], |r| r.get(0)).optional()?;
    Ok(state.is_some_and(|state| state >= super::retention::REMOVED))
}
