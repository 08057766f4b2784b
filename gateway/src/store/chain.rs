//! Verifying a journal: every hash, every signed head, every photograph that an event names, and that nothing
//! was cut off.

use super::photos::{self, Photos};
use super::{has_table, outbox};
use kakou_core::event::Class;
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
    /// Events behind the last signed head.
    pub unsigned: u64,
    /// Photographs named by events, present, with the right hash.
    pub photos: u64,
    /// Photographs that retention has removed.
    pub photos_removed: u64,
    /// What does not fit.
    pub problems: Vec<String>,
}

/// A head is signed at least every 256 events, and in the transaction after the one that it covers: so many
/// events behind the last one are more than two transactions hold.
const UNSIGNED_MOST: u64 = 4_096;

/// Checks everything. What was cut off is found by what the signed heads say: the last event, the head before,
/// and up to where events were purged. A tail that goes together with the heads which cover it shows at the
/// central side alone.
pub fn verify(connection: &Connection, folder: &Photos, public_key: &[u8]) -> rusqlite::Result<Verified> {
    let mut out = Verified::default();
    // One view of it all, also of a journal that is written to meanwhile.
    let view = connection.unchecked_transaction()?;
    let purged = purged(connection)?;
    let heads = heads(connection, public_key, &mut out)?;
    check_purged(&heads, purged, &mut out);
    let (mut seq, mut head) = purged;
    let mut named = std::collections::BTreeSet::new();
    {
        let mut select = connection.prepare("SELECT seq, hash, body, shed FROM event ORDER BY seq")?;
        let mut rows = select.query([])?;
        while let Some(r) = rows.next()? {
            let this = r.get::<_, i64>(0)?.cast_unsigned();
            if this != seq + 1 {
                out.problems.push(format!("events {} to {} are missing", seq + 1, this.saturating_sub(1)));
            }
            seq = this;
            let body: Vec<u8> = r.get(2)?;
            let shed: bool = r.get(3)?;
            let body_hash = match <[u8; 32]>::try_from(body.as_slice()) {
                Ok(kept) if shed => Hash(kept),
                Ok(_) | Err(_) => Hash::of(&body),
            };
            head = head.link(seq, &body_hash);
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
    check_heads(connection, &heads, purged, seq, &mut out)?;
    check_streams(connection, &mut out)?;
    drop(view);
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

/// The last event that was purged, and its hash.
fn purged(connection: &Connection) -> rusqlite::Result<(u64, Hash)> {
    let sql = "SELECT seq, hash FROM purged";
    let row = connection.query_row(sql, [], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, [u8; 32]>(1)?)));
    Ok(row.optional()?.map_or((0, Hash::default()), |(seq, hash)| (seq.cast_unsigned(), Hash(hash))))
}

/// The signed heads whose signature is good, in order.
fn heads(connection: &Connection, public: &[u8], out: &mut Verified) -> rusqlite::Result<Vec<Checkpoint>> {
    let sql = "SELECT value FROM meta WHERE key = 'epoch'";
    let epoch: Option<i64> = connection.query_row(sql, [], |r| r.get(0)).optional()?;
    let mut heads = Vec::new();
    let mut select = connection.prepare("SELECT seq, body FROM checkpoint ORDER BY seq")?;
    let mut rows = select.query([])?;
    while let Some(r) = rows.next()? {
        let seq = r.get::<_, i64>(0)?.cast_unsigned();
        match serde_json::from_slice::<Checkpoint>(&r.get::<_, Vec<u8>>(1)?) {
            Ok(c) if c.seq != seq || !c.verifies(public) => {
                out.problems.push(format!("the signed head at {seq} does not verify"));
            }
            Ok(c) if epoch.is_some_and(|epoch| epoch.cast_unsigned() != c.epoch) => {
                out.problems.push(format!("the signed head at {seq} is of another journal"));
            }
            Ok(c) => heads.push(c),
            Err(_) => out.problems.push(format!("the signed head at {seq} is not readable")),
        }
    }
    Ok(heads)
}

/// Nothing is missing at the beginning but what the last signed head says was purged.
fn check_purged(heads: &[Checkpoint], (seq, hash): (u64, Hash), out: &mut Verified) {
    let Some(signed) = heads.last().and_then(|c| c.behind.as_ref()) else { return };
    if seq > signed.purged {
        out.problems.push(format!(
            "events {} to {seq} were cut off: by the last signed head they were not purged",
            signed.purged + 1
        ));
    } else if seq < signed.purged || hash.hex() != signed.purged_hash {
        out.problems.push(format!("events up to {} were purged, the journal says {seq}", signed.purged));
    }
}

/// Each head is that of its event, the one before it is there, and none is behind the last event.
fn check_heads(
    connection: &Connection,
    heads: &[Checkpoint],
    (purged, purged_hash): (u64, Hash),
    last: u64,
    out: &mut Verified,
) -> rusqlite::Result<()> {
    let mut before = 0;
    for c in heads {
        let sql = "SELECT hash FROM event WHERE seq = ?1";
        let event: Option<[u8; 32]> =
            connection.prepare_cached(sql)?.query_row([c.seq.cast_signed()], |r| r.get(0)).optional()?;
        let known = event.map(Hash).or((c.seq == purged).then_some(purged_hash));
        match known {
            Some(hash) if hash.hex() != c.hash => {
                out.problems.push(format!("the signed head at {} is not that of its event", c.seq));
            }
            Some(_) | None => out.checkpoints += 1,
        }
        let named = c.behind.as_ref().map(|behind| behind.before);
        if let Some(missing) = named.filter(|named| *named != before && *named >= purged.max(1)) {
            out.problems.push(format!("the signed head at {missing} is missing"));
        }
        before = c.seq;
    }
    if before > last {
        out.problems.push(format!("events {} to {before} are missing: a signed head names them", last + 1));
    }
    out.unsigned = last.saturating_sub(before);
    if out.unsigned > UNSIGNED_MOST {
        out.problems.push(format!("no signed head covers the last {} events", out.unsigned));
    }
    Ok(())
}

/// The central side has no more of a stream than there was.
fn check_streams(connection: &Connection, out: &mut Verified) -> rusqlite::Result<()> {
    // A journal that only an earlier version has opened.
    if !has_table(connection, "stream_head")? {
        return Ok(());
    }
    for class in Class::ALL {
        let (_, receipted) = outbox::progress(connection, class)?;
        let head = outbox::head(connection, class)?;
        if receipted > head {
            out.problems.push(format!(
                "events {} to {receipted} of the stream {} are missing: the central side has receipted them",
                head + 1,
                class.as_str()
            ));
        }
    }
    Ok(())
}

/// Whether retention took a photograph.
fn removed(connection: &Connection, sha256: &str) -> rusqlite::Result<bool> {
    let sql = "SELECT state FROM photo WHERE sha256 = ?1";
    let state: Option<i64> = connection.prepare_cached(sql)?.query_row([sha256], |r| r.get(0)).optional()?;
    Ok(state.is_some_and(|state| state >= super::retention::REMOVED))
}

#[cfg(test)]
mod tests {
    use super::super::journal::tests::author;
    use super::super::journal::{self, Journal};
    use super::super::retention::{self, Delivered};
    use super::*;
    use kakou_core::event::NewEvent;
    use kakou_core::evidence::GatewayKey;
    use kakou_core::time::{Now, Quality};
    use std::path::Path;

    struct Store {
        folder: tempfile::TempDir,
        journal: Option<Journal>,
        key: GatewayKey,
    }

    fn store() -> Store {
        let folder = tempfile::tempdir().unwrap();
        let der = ring::signature::Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
        let key = GatewayKey::from_pkcs8(der.as_ref()).unwrap();
        let (journal, ..) = Journal::open(folder.path(), author()).unwrap();
        Store { folder, journal: Some(journal), key }
    }

    impl Store {
        fn data(&self) -> &Path {
            self.folder.path()
        }

        /// Events, and then a head that covers them.
        fn write(&mut self, events: usize) {
            let journal = self.journal.as_mut().unwrap();
            let now = Now { mono_ms: 1, wall_ms: Some(1_000), quality: Quality::Synced };
            journal.begin().unwrap();
            for n in 0..events {
                let event = NewEvent {
                    kind: "audit".into(),
                    class: Class::Scan,
                    lane: None,
                    visit: None,
                    audience: Vec::new(),
                    data: serde_json::json!({ "n": n }),
                };
                journal.append(&event, &now).unwrap();
            }
            journal.commit().unwrap();
            journal.begin().unwrap();
            journal.sign(&self.key).unwrap();
            journal.commit().unwrap();
        }

        fn purge(&mut self, through: i64) {
            let journal = self.journal.as_mut().unwrap();
            journal.begin().unwrap();
            journal.advance(Class::Scan, None, Some(through.cast_unsigned())).unwrap();
            let connection = journal.connection();
            assert!(retention::purge(connection, Delivered::Receipted, i64::MAX).unwrap() > 0);
            journal.sign(&self.key).unwrap();
            journal.commit().unwrap();
        }

        /// What somebody with the file, but without the key, can do; and what is found then.
        fn after(&mut self, sql: &str) -> Vec<String> {
            self.journal = None;
            let file = Connection::open(journal::path(self.data())).unwrap();
            file.execute_batch(sql).unwrap();
            drop(file);
            self.problems()
        }

        fn problems(&self) -> Vec<String> {
            let reader = journal::reader(self.data()).unwrap();
            let photos = Photos::open(self.data()).unwrap();
            verify(&reader, &photos, self.key.public()).unwrap().problems
        }
    }

    #[test]
    fn a_journal_as_it_was_written_verifies_before_and_after_a_purge() {
        let mut s = store();
        s.write(5);
        s.write(5);
        assert_eq!(s.problems(), Vec::<String>::new());
        s.purge(4);
        assert_eq!(s.problems(), Vec::<String>::new());
        s.write(3);
        s.purge(13);
        assert_eq!(s.problems(), Vec::<String>::new(), "all is delivered and gone");
        s.write(2);
        assert_eq!(s.problems(), Vec::<String>::new());
    }

    #[test]
    fn an_event_that_was_edited_is_found() {
        let mut s = store();
        s.write(5);
        let found = s.after("UPDATE event SET body = CAST(replace(CAST(body AS TEXT), '\"n\":2', '\"n\":7') AS BLOB) WHERE seq = 3");
        assert_eq!(found, ["event 3 was changed"]);
    }

    #[test]
    fn two_events_that_were_swapped_are_found() {
        let mut s = store();
        s.write(5);
        let found = s.after(
            "UPDATE event SET seq = 100, stream_seq = 100 WHERE seq = 2; UPDATE event SET seq = 2, stream_seq = 2 WHERE seq = 3;
             UPDATE event SET seq = 3, stream_seq = 3 WHERE seq = 100;",
        );
        assert!(found.iter().any(|p| p == "event 2 was changed"), "{found:?}");
    }

    #[test]
    fn a_tail_that_was_cut_off_is_found() {
        let mut s = store();
        s.write(5);
        s.write(5);
        let found = s.after("DELETE FROM event WHERE seq > 7");
        assert!(found.iter().any(|p| p.contains("events 8 to 10")), "{found:?}");
        let mut s = store();
        s.write(5);
        let found = s.after("DELETE FROM event");
        assert!(found.iter().any(|p| p.contains("events 1 to 5")), "{found:?}");
    }

    #[test]
    fn a_beginning_that_was_cut_off_is_found() {
        let mut s = store();
        s.write(5);
        s.write(5);
        let cut = "INSERT OR REPLACE INTO purged SELECT 1, seq, hash FROM event WHERE seq = 7; DELETE FROM event WHERE seq <= 7;
                   DELETE FROM checkpoint WHERE seq < 7";
        let found = s.after(cut);
        assert!(found.iter().any(|p| p.contains("events 1 to 7")), "{found:?}");
        let mut s = store();
        s.write(10);
        s.purge(4);
        let found = s.after(cut);
        assert!(found.iter().any(|p| p.contains("events 5 to 7")), "what was purged by right: {found:?}");
    }

    #[test]
    fn a_signed_head_that_was_removed_is_found() {
        let mut s = store();
        (0..3).for_each(|_| s.write(5));
        let found = s.after("DELETE FROM checkpoint WHERE seq = 10");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("10"), "{found:?}");
    }

    #[test]
    fn a_journal_that_an_earlier_version_has_purged_verifies() {
        let mut s = store();
        s.write(5);
        s.purge(5);
        // Which knew nothing of the heads of streams.
        s.after("DROP TABLE stream_head");
        drop(Journal::open(s.data(), author()).unwrap());
        assert_eq!(s.problems(), Vec::<String>::new());
    }
}
