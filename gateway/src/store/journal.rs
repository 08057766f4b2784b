//! The journal: opening it whatever state it is in, and writing to it.
//!
//! A file that cannot be read is quarantined with its sidecar files, counted and reported, never
//! deleted; a fresh journal begins a new epoch, with what must not be forgotten ([`super::salvage`]). Every write
//! happens inside a transaction that the engine begins and commits: events, outbox and lane states together.

pub mod indexes;
mod open;
pub mod slots;
mod uses;
mod visits;

use super::at_rest::{RowKey, RowOf};
use super::kept_log::KeptLog;
use super::photos::Photos;
use super::salvage::{self, Fact};
use super::{StoreError, at, io_at, outbox, quarantine, time};
use indexes::Verdict;
use kakou_core::event::{Author, Class, NewEvent, Position, body};
use kakou_core::evidence::{Behind, GatewayKey, Hash};
use kakou_core::ids::{GatewayId, LaneId};
use kakou_core::lane::LaneState;
use kakou_core::records::Write;
use kakou_core::time::Now;
use kakou_link::durable;
pub use open::reader;
use open::{name_photos, prepare_log, try_open};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
pub use visits::VISIT_MS;
use visits::closed;

/// Frames of the WAL before the engine folds it back in a quiet moment: 4 MiB.
pub const WAL_FRAMES: u64 = 1_000;
/// Frames at which it is checkpointed whether the moment is quiet or not: 32 MiB.
pub const WAL_FRAMES_MAX: u64 = 8_000;
/// Frames of a commit beside those of its rows.
const COMMIT_FRAMES: u64 = 4;
/// Numbers of visits that are reserved at once: one write for so many.
const VISITS_AT_ONCE: u64 = 256;
/// The journal file in a data folder.
pub fn path(data: &Path) -> PathBuf {
    data.join("journal.db")
}

/// How a journal was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalFound {
    /// In order.
    Good,
    /// There was none.
    Fresh,
    /// Unreadable: now in this folder, and not taken over by a start before.
    Quarantined(PathBuf),
}

impl JournalFound {
    /// The word in events.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Good => "Good",
            Self::Fresh => "Fresh",
            Self::Quarantined(_) => "SetAside",
        }
    }
}

/// The states of lanes, by name.
pub type Lanes = BTreeMap<LaneId, LaneState>;

/// The writing end of the journal.
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    author: Author,
    photos: Photos,
    epoch: u64,
    seq: u64,
    head: Hash,
    streams: [u64; 4],
    open: bool,
    durable: (u64, Hash),
    frames: u64,
    /// Rows that the connection had written when a transaction was durable last.
    rows: u64,
    kept: KeptLog,
    row_key: RowKey,
    /// What of `kept` waited before the transaction.
    kept_before: usize,
    /// Numbers up to this one may have been given to visits.
    visits: u64,
    /// Set when visits may have been forgotten.
    skip_visits: bool,
    /// Up to which event the indexes of verdicts reach, and the verdicts behind it.
    indexed: u64,
    unindexed: Vec<Verdict>,
}

/// Whether an error says that the file itself is damaged.
pub fn is_corrupt(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

/// Whether an error of the store says so.
pub fn unreadable(error: &StoreError) -> bool {
    matches!(error, StoreError::Sqlite { source, .. } if is_corrupt(source))
}

/// The next epoch: one more than any journal of this box has had. In a folder that knows of none, the
/// seconds of the clock: another journal of the same gateway may have been here before, and its events
/// must not be taken for those that come now.
fn next_epoch(data: &Path) -> Result<u64, StoreError> {
    let path = data.join("epoch");
    let before: Option<u64> = std::fs::read_to_string(&path).ok().and_then(|t| t.trim().parse().ok());
    let first = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |d| d.as_secs());
    let epoch = before.map_or_else(first, |before| before + 1);
    durable::write(&path, format!("{epoch}\n").as_bytes()).map_err(io_at(&path))?;
    Ok(epoch)
}

/// What is kept beside a journal, brought together with what the journal says, or can still say where it was set
/// aside; both have it all afterwards.
fn recall(data: &Path, journal: &Connection) -> rusqlite::Result<KeptLog> {
    journal.execute_batch("BEGIN IMMEDIATE")?;
    for folder in quarantine::waiting(data) {
        let saved = salvage::salvage(&folder.join("journal.db"), journal)?;
        log::warn!("{saved} uses of passes, seals and numbers come from {}", folder.display());
    }
    let kept = KeptLog::open(data, journal)?;
    journal.execute_batch("COMMIT")?;
    Ok(kept)
}

impl Journal {
    /// Opens the journal of a data folder, with the lane states of the last run.
    pub fn open(data: &Path, author: Author) -> Result<(Self, JournalFound, Lanes), StoreError> {
        let path = path(data);
        let there = path.exists();
        quarantine::condemned(data, &path)?;
        let mut opened = Self::read_all(data, author.clone());
        if let Err(e) = &opened
            && unreadable(e)
        {
            log::error!("{e}");
            quarantine::quarantine(data, &path)?;
            opened = Self::read_all(data, author);
        }
        let (journal, lanes, epoch_is_new) = opened?;
        let found = match quarantine::waiting(data).pop() {
            Some(folder) => JournalFound::Quarantined(folder),
            None if there && !epoch_is_new => JournalFound::Good,
            None => JournalFound::Fresh,
        };
        Ok((journal, found, lanes))
    }

    /// Opens it and reads everything that a start needs, so that damage shows here; whether its epoch is new.
    fn read_all(data: &Path, author: Author) -> Result<(Self, Lanes, bool), StoreError> {
        let path = path(data);
        let connection = try_open(&path)?;
        prepare_log(&connection, &path).map_err(at(&path))?;
        let kept = recall(data, &connection).map_err(at(&path))?;
        let sql = "SELECT value FROM meta WHERE key = 'epoch'";
        let known: Option<i64> = connection.query_row(sql, [], |r| r.get(0)).optional().map_err(at(&path))?;
        let epoch = match known {
            Some(epoch) => u64::try_from(epoch).unwrap_or(1),
            None => {
                let epoch = next_epoch(data)?;
                let sql = "INSERT INTO meta (key, value) VALUES ('epoch', ?1)";
                connection.execute(sql, [epoch.cast_signed()]).map_err(at(&path))?;
                epoch
            }
        };
        let mut journal = Self {
            connection,
            path: path.clone(),
            author,
            photos: Photos::open(data)?,
            epoch,
            seq: 0,
            head: Hash::default(),
            streams: [0; 4],
            open: false,
            durable: (0, Hash::default()),
            frames: 0,
            rows: 0,
            kept,
            row_key: RowKey::of(data)?,
            kept_before: 0,
            visits: 0,
            skip_visits: false,
            indexed: 0,
            unindexed: Vec::new(),
        };
        journal.load_heads().map_err(at(&path))?;
        journal.open_indexes().map_err(at(&path))?;
        journal.skip_visits = known.is_none() && journal.visits > 0;
        journal.close_visits_of_before().map_err(at(&path))?;
        let lanes = journal.lanes()?;
        Ok((journal, lanes, known.is_none()))
    }

    fn load_heads(&mut self) -> rusqlite::Result<()> {
        let last = "SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1";
        let purged = "SELECT seq, hash FROM purged";
        for sql in [purged, last] {
            if let Some((seq, hash)) = self
                .connection
                .query_row(sql, [], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, [u8; 32]>(1)?)))
                .optional()?
            {
                self.seq = seq.cast_unsigned();
                self.head = Hash(hash);
            }
        }
        for class in Class::ALL {
            let (acked, receipted) = outbox::progress(&self.connection, class)?;
            let head = outbox::head(&self.connection, class)?;
            self.streams[usize::from(class.number())] = head.max(acked).max(receipted);
        }
        self.visits = salvage::visits(&self.connection)?.unwrap_or(0);
        self.durable = self.head();
        Ok(())
    }

    /// The lane states of the last run.
    pub fn lanes(&mut self) -> Result<Lanes, StoreError> {
        let mut select = self.connection.prepare("SELECT id, state FROM lane").map_err(at(&self.path))?;
        let rows = select
            .query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, Vec<u8>>(1)?)))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .map_err(at(&self.path))?;
        let mut out = BTreeMap::new();
        for (id, state) in rows {
            match (LaneId::new(id.clone()), self.row_key.read(RowOf::Lane, &state)) {
                (Ok(id), Ok::<LaneState, _>(mut state)) => {
                    state.recent = self.recent(&id, &state)?;
                    out.insert(id, state);
                }
                (_, Err(e)) => {
                    self.skip_visits = true;
                    log::error!(lane = id.as_str(); "the stored lane state is not readable, it begins anew: {e}")
                }
                (Err(_), Ok(_)) => log::error!("a stored lane has no valid id: {id}"),
            }
        }
        Ok(out)
    }

    /// Numbers up to this one may have been given to visits that nobody remembers.
    pub fn forgotten_visits(&self) -> rusqlite::Result<Option<u64>> {
        if !self.skip_visits {
            return Ok(None);
        }
        let last: Option<i64> = self.connection.query_row("SELECT max(id) FROM recent", [], |r| r.get(0))?;
        Ok(Some(self.visits.max(last.unwrap_or(0).cast_unsigned())))
    }

    /// The connection, for lookups inside the transaction.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
    /// The gateway that writes it.
    pub fn gateway(&self) -> &GatewayId {
        &self.author.gateway
    }
    /// The epoch of this journal.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
    /// The last event.
    pub fn head(&self) -> (u64, Hash) {
        (self.seq, self.head)
    }
    /// The last event that is durable.
    pub fn durable_head(&self) -> (u64, Hash) {
        self.durable
    }
    /// Whether a transaction is open.
    pub fn is_open(&self) -> bool {
        self.open
    }
    /// The last event of each stream.
    pub fn streams(&self) -> [u64; 4] {
        self.streams
    }

    /// Begins a transaction, unless one is open.
    pub fn begin(&mut self) -> rusqlite::Result<()> {
        if !self.open {
            self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            self.open = true;
            self.kept_before = self.kept.waiting();
        }
        Ok(())
    }
    /// Makes everything since [`Journal::begin`] durable.
    pub fn commit(&mut self) -> rusqlite::Result<()> {
        if self.open {
            if self.indexes_are_far_behind() {
                self.catch_up()?;
            }
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            self.open = false;
            // A row may cost a page of its own, and each commit some of those above them.
            let rows = self.connection.total_changes();
            self.frames += COMMIT_FRAMES + (rows - self.rows);
            self.rows = rows;
            self.durable = self.head();
            self.kept.commit();
        }
        Ok(())
    }
    /// Commits and rows since the log was checkpointed: what its frames are at most, but for large bodies.
    pub fn log_frames(&self) -> u64 {
        self.frames
    }
    /// Folds the log back into the file. Readers are not disturbed.
    pub fn wal_checkpoint(&mut self) -> rusqlite::Result<()> {
        self.kept.sync();
        self.frames = 0;
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }
    /// Folds the log back and empties it, where nobody reads in it: what was written over is gone then.
    pub fn empty_log(&mut self) -> rusqlite::Result<()> {
        self.kept.sync();
        self.frames = 0;
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }
    /// Keeps the file beside the journal durable, and as short as it may be. Gives how often something was wrong with
    /// it.
    pub fn tend_kept(&mut self) -> rusqlite::Result<u64> {
        if self.open { Ok(0) } else { self.kept.tend(&self.connection) }
    }
    /// Forgets everything since [`Journal::begin`].
    pub fn roll_back(&mut self) -> rusqlite::Result<()> {
        if std::mem::take(&mut self.open) {
            self.kept.roll_back(self.kept_before);
            if !self.connection.is_autocommit() {
                self.connection.execute_batch("ROLLBACK")?;
            }
        }
        self.load_heads()?;
        self.reload_indexes()
    }

    /// Adds an event at the end of the journal and of its stream.
    pub fn append(&mut self, event: &NewEvent, now: &Now) -> rusqlite::Result<Position> {
        let stream = &mut self.streams[usize::from(event.class.number())];
        *stream += 1;
        self.seq += 1;
        let place = Position { epoch: self.epoch, seq: self.seq, stream_seq: *stream };
        let body = body(event, place, now, &self.author);
        self.head = self.head.link(self.seq, &Hash::of(&body));
        let sql =
            "INSERT INTO event (seq, class, stream_seq, at_ms, hash, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.connection.prepare_cached(sql)?.execute(params![
            place.seq.cast_signed(),
            event.class.number(),
            place.stream_seq.cast_signed(),
            now.wall_ms.unwrap_or(0),
            self.head.0,
            body
        ])?;
        let (lane, seq) = (event.lane.as_ref().map(LaneId::as_str), place.seq.cast_signed());
        let at_ms = now.wall_ms.unwrap_or(0);
        name_photos(&self.connection, Some(&self.photos), &event.data, seq, at_ms)?;
        if let Some(verdict) = Verdict::of(seq, &event.kind, lane, &event.data) {
            self.unindexed.push(verdict);
            if !now.synced() {
                let sql = "INSERT OR REPLACE INTO undated (seq, boot, mono_ms) VALUES (?1, ?2, ?3)";
                let mono_ms = now.mono_ms.cast_signed();
                self.connection.prepare_cached(sql)?.execute(params![seq, self.author.boot, mono_ms])?;
            }
        }
        Ok(place)
    }

    /// Carries out a change of the state.
    pub fn write(&mut self, write: &Write, now: &Now) -> rusqlite::Result<()> {
        match write {
            Write::Redeem { pass_id, shared, by, ends_ms } => {
                for name in [pass_id].into_iter().chain(shared) {
                    self.redeem(name, by, *ends_ms)?;
                }
            }
            Write::Slot(write) => self.change(write)?,
            Write::Archive { lane, visit } => {
                let id = visit.id.0.cast_signed();
                let at_ms = now.wall_ms.unwrap_or(0);
                let open = visit.is_open(at_ms);
                let state = if open { self.row_key.seal(RowOf::Visit, &**visit) } else { closed(visit) };
                let sql = "INSERT OR REPLACE INTO recent (lane, id, visit, at_ms, open) VALUES (?1, ?2, ?3, ?4, ?5)";
                self.connection.prepare_cached(sql)?.execute(params![
                    lane.as_str(),
                    id,
                    state,
                    at_ms,
                    open
                ])?;
                // Visit ids grow over all lanes; now and then the old ones go.
                if id % 128 == 0 {
                    let sql = "DELETE FROM recent WHERE id < ?1";
                    self.connection.prepare_cached(sql)?.execute([id - 2_000])?;
                }
            }
            Write::Seal { number, by } => {
                let sql = "INSERT INTO seal (number, visit) VALUES (?1, ?2) ON CONFLICT (number) DO NOTHING";
                let visit = by.visit.0.cast_signed();
                self.connection.prepare_cached(sql)?.execute(params![number, visit])?;
                self.kept.note(Fact::Seal(number.clone(), visit));
                // The other gateways of the site hear of it as of a pass.
                self.redeem(&kakou_wire::peers::seal(number), by, None)?;
            }
        }
        Ok(())
    }

    /// Keeps a confirmed time.
    pub fn keep_floor(&mut self, wall_ms: i64) -> rusqlite::Result<()> {
        time::keep_floor(&self.connection, wall_ms)?;
        self.kept.note(Fact::Time(wall_ms));
        Ok(())
    }

    /// Keeps the state of a lane.
    pub fn keep_lane(&mut self, id: &LaneId, state: &LaneState) -> rusqlite::Result<()> {
        if state.last_visit > self.visits {
            self.visits = (state.last_visit / VISITS_AT_ONCE + 1) * VISITS_AT_ONCE;
            salvage::keep_visits(&self.connection, self.visits)?;
            self.kept.note(Fact::Visits(self.visits));
        }
        let state = self.row_key.seal(RowOf::Lane, state);
        let sql = "INSERT INTO lane (id, state) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET state = ?2";
        self.connection.prepare_cached(sql)?.execute(params![id.as_str(), state])?;
        Ok(())
    }

    /// Signs the last durable event as head of the chain, with what lies before it. Gives its number.
    pub fn sign(&mut self, key: &GatewayKey) -> rusqlite::Result<u64> {
        let (seq, hash) = self.durable;
        let before = "SELECT coalesce(max(seq), 0) FROM checkpoint WHERE seq < ?1";
        let before: i64 =
            self.connection.prepare_cached(before)?.query_row([seq.cast_signed()], |r| r.get(0))?;
        let purged = self
            .connection
            .prepare_cached("SELECT seq, hash FROM purged")?
            .query_row([], |r| Ok((r.get::<_, i64>(0)?.cast_unsigned(), Hash(r.get(1)?))));
        let (purged, purged_hash) = purged.optional()?.unwrap_or_default();
        let behind = Behind::new(before.cast_unsigned(), purged, &purged_hash);
        let checkpoint = key.checkpoint(self.epoch, seq, &hash, behind);
        let body = serde_json::to_vec(&checkpoint).expect("a checkpoint is strings and numbers");
        let sql = "INSERT OR REPLACE INTO checkpoint (seq, body) VALUES (?1, ?2)";
        self.connection.prepare_cached(sql)?.execute(params![seq.cast_signed(), body])?;
        Ok(seq)
    }

    /// Notes how far a stream was acknowledged by the broker, or receipted by the central side.
    pub fn advance(
        &mut self,
        class: Class,
        acked: Option<u64>,
        receipted: Option<u64>,
    ) -> rusqlite::Result<()> {
        let sql = "INSERT INTO stream (class, acked, receipted) VALUES (?1, ?2, ?3)
                   ON CONFLICT (class) DO UPDATE SET acked = max(acked, ?2), receipted = max(receipted, ?3)";
        let number = |n: Option<u64>| n.unwrap_or(0).cast_signed();
        self.connection.prepare_cached(sql)?.execute(params![
            class.number(),
            number(acked),
            number(receipted)
        ])?;
        Ok(())
    }

    /// The central side has a stream up to here alone: what follows is not delivered, nor are photographs that
    /// verdicts behind it name.
    pub fn go_back(&mut self, class: Class, through: u64) -> rusqlite::Result<()> {
        let sql = "UPDATE stream SET acked = min(acked, ?2), receipted = min(receipted, ?2) WHERE class = ?1";
        let place = params![class.number(), through.cast_signed()];
        self.connection.prepare_cached(sql)?.execute(place)?;
        if class == Class::Verdict {
            let sql = "UPDATE photo SET state = 0 WHERE state = 1 AND seq >
                         coalesce((SELECT seq FROM event WHERE class = ?1 AND stream_seq <= ?2
                                   ORDER BY stream_seq DESC LIMIT 1), 0)";
            self.connection.prepare_cached(sql)?.execute(place)?;
        }
        Ok(())
    }

    /// A photograph is durable at the central side.
    pub fn photo_receipted(&mut self, sha256: &str) -> rusqlite::Result<()> {
        let sql = "UPDATE photo SET state = 1 WHERE sha256 = ?1 AND state = 0";
        self.connection.prepare_cached(sql)?.execute([sha256])?;
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests;
