//! The journal: opening it whatever state it is in, and writing to it.
//!
//! A file that cannot be read is set aside with its sidecar files, counted and reported, never
//! deleted; a fresh journal begins a new epoch. Every write happens inside a transaction that the
//! engine begins and commits: events, outbox and lane states together.

use super::photos::Photos;
use super::{StoreError, at, durable, io_at, set_aside};
use crate::upstream::peers::{self, Used};
use kakou_core::event::{Author, Class, NewEvent, Place, body};
use kakou_core::evidence::{Checkpoint, Hash};
use kakou_core::ids::{GatewayId, LaneId, VisitId};
use kakou_core::lane::visit::Visit;
use kakou_core::lane::{LaneState, RECENT};
use kakou_core::records::{Redemption, Write};
use kakou_core::time::Now;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The format of the file.
const FORMAT: i64 = 2;

const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE event (seq INTEGER PRIMARY KEY, class INTEGER NOT NULL, stream_seq INTEGER NOT NULL,
  at_ms INTEGER NOT NULL, shed INTEGER NOT NULL DEFAULT 0, hash BLOB NOT NULL, body BLOB NOT NULL);
CREATE UNIQUE INDEX event_stream ON event (class, stream_seq);
CREATE TABLE stream (class INTEGER PRIMARY KEY, acked INTEGER NOT NULL, receipted INTEGER NOT NULL);
CREATE TABLE checkpoint (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE purged (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL, hash BLOB NOT NULL);
CREATE TABLE lane (id TEXT PRIMARY KEY, state BLOB NOT NULL);
CREATE TABLE recent (id INTEGER PRIMARY KEY, lane TEXT NOT NULL, visit BLOB NOT NULL);
CREATE TABLE redemption (pass_id TEXT PRIMARY KEY, lane TEXT NOT NULL, visit INTEGER NOT NULL, at_ms INTEGER) WITHOUT ROWID;
CREATE TABLE seal (number TEXT PRIMARY KEY, visit INTEGER NOT NULL) WITHOUT ROWID;
";

/// What format 2 adds: photographs on their way, who was where, and what other gateways have told.
const SCHEMA_2: &str = "
CREATE TABLE photo (sha256 TEXT PRIMARY KEY, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL, bytes INTEGER NOT NULL,
  state INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX photo_state ON photo (state, seq);
CREATE TABLE subject (key TEXT NOT NULL, at_ms INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (key, at_ms, seq)) WITHOUT ROWID;
ALTER TABLE redemption ADD COLUMN gateway TEXT;
ALTER TABLE redemption ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
CREATE INDEX redemption_untold ON redemption (told) WHERE told = 0;
CREATE TABLE conflict (pass_id TEXT NOT NULL, gateway TEXT NOT NULL, PRIMARY KEY (pass_id, gateway)) WITHOUT ROWID;
CREATE TABLE place (lane TEXT NOT NULL, at_ms INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (lane, at_ms, seq)) WITHOUT ROWID;
";

/// The kind of event that a verdict makes, with or without what surrounds it in a CloudEvent.
const TRANSACTION: &str = "transaction";

/// Frames of the WAL before the engine folds it back in a quiet moment: 4 MiB.
pub const WAL_FRAMES: u64 = 1_000;
/// Frames at which it is folded back whether the moment is quiet or not: 32 MiB.
pub const WAL_FRAMES_MAX: u64 = 8_000;
/// The log gets this size at once: a commit that only overwrites needs no change of the inode, and
/// its fdatasync costs a fraction.
const WAL_BYTES: i64 = 6 << 20;

/// The journal file in a data folder.
pub fn path(data: &Path) -> PathBuf {
    data.join("journal.db")
}

/// How a journal was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// In order.
    Good,
    /// There was none.
    Fresh,
    /// Unreadable: now under this name.
    SetAside(PathBuf),
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
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    connection.pragma_update(None, "cache_size", -2048)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.busy_timeout(std::time::Duration::from_secs(2))?;
    connection.set_prepared_statement_cache_capacity(40);
    Ok(())
}

/// A connection that only reads.
pub fn reader(data: &Path) -> Result<Connection, StoreError> {
    let path = path(data);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(at(&path))?;
    connection.busy_timeout(std::time::Duration::from_secs(2)).map_err(at(&path))?;
    connection.pragma_update(None, "cache_size", -512).map_err(at(&path))?;
    Ok(connection)
}

fn try_open(path: &Path) -> Result<Connection, StoreError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(at(path))?;
    configure(&connection).map_err(at(path))?;
    let format: i64 = connection.pragma_query_value(None, "user_version", |r| r.get(0)).map_err(at(path))?;
    if format > FORMAT {
        return Err(StoreError::Newer(path.to_path_buf(), format, FORMAT));
    }
    if format == 0 {
        connection
            .execute_batch(&format!("BEGIN; {SCHEMA} {SCHEMA_2} PRAGMA user_version = {FORMAT}; COMMIT;"))
            .map_err(at(path))?;
    }
    if format == 1 {
        upgrade(&connection, path).map_err(at(path))?;
    }
    peers::prepare(&connection).map_err(at(path))?;
    check_tail(&connection).map_err(at(path))?;
    Ok(connection)
}

/// From format 1: what it holds is indexed.
fn upgrade(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    let photos = path.parent().and_then(|data| Photos::open(data).ok());
    connection.execute_batch(&format!("BEGIN; {SCHEMA_2}"))?;
    {
        let mut select = connection.prepare("SELECT seq, at_ms, body FROM event WHERE shed = 0")?;
        let mut rows = select.query([])?;
        while let Some(r) = rows.next()? {
            let (seq, at_ms): (i64, i64) = (r.get(0)?, r.get(1)?);
            let body: Vec<u8> = r.get(2)?;
            let Ok(event) = serde_json::from_slice::<Value>(&body) else { continue };
            let lane = event["subject"].as_str().and_then(|s| s.split('/').next()).map(str::to_owned);
            let kind = event["type"].as_str().unwrap_or_default();
            index(connection, photos.as_ref(), kind, lane.as_deref(), &event["data"], seq, at_ms)?;
        }
    }
    connection.execute_batch(&format!("PRAGMA user_version = {FORMAT}; COMMIT;"))
}

/// Notes the photographs that an event names, and whom and which lane a verdict is about.
fn index(
    connection: &Connection,
    photos: Option<&Photos>,
    kind: &str,
    lane: Option<&str>,
    data: &Value,
    seq: i64,
    at_ms: i64,
) -> rusqlite::Result<()> {
    for sha256 in super::photos::named(data) {
        let bytes = photos.and_then(|p| p.size(sha256)).unwrap_or(0);
        let sql = "INSERT INTO photo (sha256, seq, at_ms, bytes, state) VALUES (?1, ?2, ?3, ?4, 0)
                   ON CONFLICT (sha256) DO NOTHING";
        connection.prepare_cached(sql)?.execute(params![sha256, seq, at_ms, bytes.cast_signed()])?;
    }
    if kind.contains(TRANSACTION)
        && let Some(lane) = lane
    {
        let sql = "INSERT OR IGNORE INTO place (lane, at_ms, seq) VALUES (?1, ?2, ?3)";
        connection.prepare_cached(sql)?.execute(params![lane, at_ms, seq])?;
        if let Some(key) = data["subject"].as_str().filter(|k| !k.is_empty()) {
            let sql = "INSERT OR IGNORE INTO subject (key, at_ms, seq) VALUES (?1, ?2, ?3)";
            connection.prepare_cached(sql)?.execute(params![key, at_ms, seq])?;
        }
    }
    Ok(())
}

/// Grows the log to its working size, unless an earlier run has left it so.
fn prepare_log(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    let log = PathBuf::from(format!("{}-wal", path.display()));
    let fold = || connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
    fold()?;
    if std::fs::metadata(&log).is_ok_and(|m| m.len() >= WAL_BYTES.unsigned_abs()) {
        return Ok(());
    }
    // Many commits of one page, so that the database itself gets no free pages from it. Nothing of
    // it matters: durability begins again with the line behind the loop.
    connection.pragma_update(None, "synchronous", "OFF")?;
    let mut write = connection.prepare("INSERT OR REPLACE INTO meta (key, value) VALUES ('filling', ?1)")?;
    for n in 0..WAL_BYTES / 4096 {
        write.execute([n])?;
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    fold()
}

/// Recomputes the last links of the chain: a torn or foreign file shows here and not in the middle
/// of a visit. The whole chain is for `kakou journal verify`; a start must stay short.
fn check_tail(connection: &Connection) -> rusqlite::Result<()> {
    let sql =
        "SELECT seq, hash, body, shed FROM (SELECT * FROM event ORDER BY seq DESC LIMIT 64) ORDER BY seq";
    let mut select = connection.prepare(sql)?;
    let mut rows = select.query([])?;
    let mut before: Option<(i64, Hash)> = None;
    while let Some(r) = rows.next()? {
        let (seq, hash): (i64, [u8; 32]) = (r.get(0)?, r.get(1)?);
        let body: Vec<u8> = r.get(2)?;
        let shed: bool = r.get(3)?;
        if let Some((last, head)) = before
            && last + 1 == seq
            && !shed
            && head.link(seq.cast_unsigned(), &Hash::of(&body)) != Hash(hash)
        {
            let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
            return Err(rusqlite::Error::SqliteFailure(
                corrupt,
                Some(format!("the chain breaks at event {seq}")),
            ));
        }
        before = Some((seq, Hash(hash)));
    }
    Ok(())
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

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(io_at(folder))
}

impl Journal {
    /// Opens the journal of a data folder, with the lane states of the last run.
    pub fn open(data: &Path, author: Author) -> Result<(Self, Found, Lanes), StoreError> {
        let path = path(data);
        let there = path.exists();
        let mut aside = set_aside::condemned(data, &path)?;
        let mut opened = Self::read_all(data, author.clone());
        if let Err(e) = &opened
            && unreadable(e)
        {
            log::error!("{e}");
            aside = Some(set_aside::set_aside(data, &path)?);
            opened = Self::read_all(data, author);
        }
        let (journal, lanes, epoch_is_new) = opened?;
        let found = match aside {
            Some(folder) => Found::SetAside(folder),
            None if there && !epoch_is_new => Found::Good,
            None => Found::Fresh,
        };
        Ok((journal, found, lanes))
    }

    /// Opens it and reads everything that a start needs, so that damage shows here; whether its epoch is new.
    fn read_all(data: &Path, author: Author) -> Result<(Self, Lanes, bool), StoreError> {
        let path = path(data);
        let connection = try_open(&path)?;
        prepare_log(&connection, &path).map_err(at(&path))?;
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
        };
        journal.load_heads().map_err(at(&path))?;
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
            let sql = "SELECT max(stream_seq) FROM event WHERE class = ?1";
            let last: Option<i64> = self.connection.query_row(sql, [class.number()], |r| r.get(0))?;
            let sql = "SELECT max(acked, receipted) FROM stream WHERE class = ?1";
            let known: Option<i64> =
                self.connection.query_row(sql, [class.number()], |r| r.get(0)).optional()?;
            let head = last.unwrap_or(0).max(known.unwrap_or(0));
            self.streams[usize::from(class.number())] = head.cast_unsigned();
        }
        self.durable = self.head();
        Ok(())
    }

    /// The lane states of the last run.
    pub fn lanes(&self) -> Result<Lanes, StoreError> {
        let mut select = self.connection.prepare("SELECT id, state FROM lane").map_err(at(&self.path))?;
        let rows = select
            .query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, Vec<u8>>(1)?)))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .map_err(at(&self.path))?;
        let mut out = BTreeMap::new();
        for (id, state) in rows {
            match (LaneId::new(id.clone()), serde_json::from_slice(&state)) {
                (Ok(id), Ok::<LaneState, _>(mut state)) => {
                    state.recent = self.recent(&id, &state)?;
                    out.insert(id, state);
                }
                (_, Err(e)) => {
                    log::error!(lane = id.as_str(); "the stored lane state is not readable, it begins anew: {e}")
                }
                (Err(_), Ok(_)) => log::error!("a stored lane has no valid id: {id}"),
            }
        }
        Ok(out)
    }

    /// The latest ended visits of a lane.
    fn recent(&self, lane: &LaneId, state: &LaneState) -> Result<VecDeque<Arc<Visit>>, StoreError> {
        let sql = "SELECT visit FROM recent WHERE lane = ?1 ORDER BY id DESC LIMIT ?2";
        let limit = i64::try_from(RECENT).unwrap_or(i64::MAX);
        let rows = || -> rusqlite::Result<Vec<Vec<u8>>> {
            self.connection.prepare(sql)?.query_map(params![lane.as_str(), limit], |r| r.get(0))?.collect()
        };
        let visits = rows().map_err(at(&self.path))?;
        let front = state.visit.as_ref().map(|v| v.id);
        let all = visits.iter().filter_map(|v| serde_json::from_slice::<Visit>(v).ok());
        Ok(all.filter(|v| Some(v.id) != front).map(Arc::new).collect())
    }

    /// The connection, for lookups inside the transaction.
    pub fn connection(&self) -> &Connection {
        &self.connection
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
        }
        Ok(())
    }
    /// Makes everything since [`Journal::begin`] durable.
    pub fn commit(&mut self) -> rusqlite::Result<()> {
        if self.open {
            self.connection.prepare_cached("COMMIT")?.execute([])?;
            self.open = false;
            // A commit writes the last pages of some tables, and a page for every few events.
            self.frames += 6 + (self.seq - self.durable.0) / 4;
            self.durable = self.head();
        }
        Ok(())
    }
    /// Commits and rows since the log was folded back: an upper estimate of its frames.
    pub fn log_frames(&self) -> u64 {
        self.frames
    }
    /// Folds the log back into the file. Readers are not disturbed.
    pub fn fold(&mut self) -> rusqlite::Result<()> {
        self.frames = 0;
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
    }
    /// Forgets everything since [`Journal::begin`].
    pub fn roll_back(&mut self) -> rusqlite::Result<()> {
        if std::mem::take(&mut self.open) && !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        self.load_heads()
    }

    /// Adds an event at the end of the journal and of its stream.
    pub fn append(&mut self, event: &NewEvent, now: &Now) -> rusqlite::Result<Place> {
        let stream = &mut self.streams[usize::from(event.class.number())];
        *stream += 1;
        self.seq += 1;
        let place = Place { epoch: self.epoch, seq: self.seq, stream_seq: *stream };
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
        index(&self.connection, Some(&self.photos), &event.kind, lane, &event.data, seq, at_ms)?;
        Ok(place)
    }

    /// Carries out a change of the state.
    pub fn write(&mut self, write: &Write) -> rusqlite::Result<()> {
        match write {
            Write::Redeem { pass_id, by, ends_ms } => {
                let sql = "INSERT INTO redemption (pass_id, lane, visit, at_ms, until_ms)
                           VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (pass_id) DO NOTHING";
                let visit = by.visit.0.cast_signed();
                self.connection.prepare_cached(sql)?.execute(params![
                    pass_id,
                    by.lane.as_str(),
                    visit,
                    by.at_ms,
                    peers::own_until(*ends_ms, by.at_ms)
                ])?;
            }
            Write::Archive { lane, visit } => {
                let state = serde_json::to_vec(&**visit).expect("a visit has only string keys");
                let id = visit.id.0.cast_signed();
                let sql = "INSERT OR REPLACE INTO recent (lane, id, visit) VALUES (?1, ?2, ?3)";
                self.connection.prepare_cached(sql)?.execute(params![lane.as_str(), id, state])?;
                // Visit ids grow over all lanes; now and then the old ones go.
                if id % 128 == 0 {
                    let sql = "DELETE FROM recent WHERE id < ?1";
                    self.connection.prepare_cached(sql)?.execute([id - 2_000])?;
                }
            }
            Write::Seal { number, visit } => {
                let sql = "INSERT INTO seal (number, visit) VALUES (?1, ?2) ON CONFLICT (number) DO NOTHING";
                self.connection.prepare_cached(sql)?.execute(params![number, visit.0.cast_signed()])?;
            }
        }
        Ok(())
    }

    /// Keeps the state of a lane.
    pub fn keep_lane(&mut self, id: &LaneId, state: &LaneState) -> rusqlite::Result<()> {
        let state = serde_json::to_vec(state).expect("a lane state has only string keys");
        let sql = "INSERT INTO lane (id, state) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET state = ?2";
        self.connection.prepare_cached(sql)?.execute(params![id.as_str(), state])?;
        Ok(())
    }

    /// Keeps a signed head of the chain.
    pub fn keep_checkpoint(&mut self, checkpoint: &Checkpoint) -> rusqlite::Result<()> {
        let body = serde_json::to_vec(checkpoint).expect("a checkpoint is strings and numbers");
        let sql = "INSERT OR REPLACE INTO checkpoint (seq, body) VALUES (?1, ?2)";
        self.connection.prepare_cached(sql)?.execute(params![checkpoint.seq.cast_signed(), body])?;
        Ok(())
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

    /// Takes what another gateway tells; a conflict goes on record.
    pub fn peer(&mut self, from: &GatewayId, used: &Used, now: &Now) -> rusqlite::Result<bool> {
        let conflict =
            peers::take(&self.connection, &self.author.gateway, from, used, now.wall_ms.unwrap_or(0))?;
        let Some(data) = conflict else { return Ok(false) };
        let event = NewEvent {
            kind: "peer_conflict".into(),
            class: Class::Verdict,
            lane: None,
            visit: None,
            audience: vec!["ops".into(), "transport".into()],
            data,
        };
        self.append(&event, now)?;
        Ok(true)
    }

    /// A photograph is durable at the central side.
    pub fn photo_receipted(&mut self, sha256: &str) -> rusqlite::Result<()> {
        let sql = "UPDATE photo SET state = 1 WHERE sha256 = ?1 AND state = 0";
        self.connection.prepare_cached(sql)?.execute([sha256])?;
        Ok(())
    }

    /// The first use of a pass.
    pub fn redeemed(&self, pass_id: &str) -> rusqlite::Result<Option<Redemption>> {
        let sql = "SELECT lane, visit, at_ms FROM redemption WHERE pass_id = ?1";
        let row = self.connection.prepare_cached(sql)?.query_row([pass_id], |r| {
            Ok((r.get::<_, String>(0)?, r.get::<_, i64>(1)?, r.get::<_, Option<i64>>(2)?))
        });
        Ok(row.optional()?.and_then(|(lane, visit, at_ms)| {
            Some(Redemption { lane: LaneId::new(lane).ok()?, visit: VisitId(visit.cast_unsigned()), at_ms })
        }))
    }

    /// Whether a seal number was used.
    pub fn seal_used(&self, number: &str) -> rusqlite::Result<bool> {
        self.connection.prepare_cached("SELECT 1 FROM seal WHERE number = ?1")?.exists([number])
    }
}
