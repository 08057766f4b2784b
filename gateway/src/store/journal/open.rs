//! Opening the file of a journal: its tables, its log, and whether it can be read.

use super::indexes::Verdict;
use super::path as path_of;
use super::slots;
use crate::store::photos::Photos;
use crate::store::{StoreError, at, catch_up, has_column, has_table, io_at, photos, salvage, time};
use crate::upstream::peers;
use kakou_core::evidence::Hash;
use kakou_link::durable;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, params};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The format of the file.
const FORMAT: i64 = 3;

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

/// Tables that came later, without a format of their own: an earlier version leaves them alone. What it has purged of a
/// stream, somebody has.
const STREAM_HEADS: &str = "
CREATE TABLE stream_head (class INTEGER PRIMARY KEY, head INTEGER NOT NULL);
INSERT INTO stream_head (class, head) SELECT class, max(acked, receipted) FROM stream;
";
const UNDATED: &str = "
CREATE TABLE undated (seq INTEGER PRIMARY KEY, boot TEXT NOT NULL, mono_ms INTEGER NOT NULL);
CREATE INDEX undated_boot ON undated (boot);
";

/// When a visit was kept, and whether it can still go on.
const RECENT_COLUMNS: &str = "
ALTER TABLE recent ADD COLUMN at_ms INTEGER;
ALTER TABLE recent ADD COLUMN open INTEGER NOT NULL DEFAULT 1;
";

/// The log gets this size at once: a commit that only overwrites needs no change of the inode, and
/// its fdatasync costs a fraction.
const WAL_BYTES: i64 = 6 << 20;

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    // What is deleted or written anew is gone from the file as well: lane states name persons.
    connection.pragma_update_and_check(None, "secure_delete", "ON", |_| Ok(()))?;
    connection.pragma_update(None, "cache_size", -1024)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.busy_timeout(std::time::Duration::from_secs(2))?;
    connection.set_prepared_statement_cache_capacity(40);
    keep_plans(connection)
}

/// A statement is made once, whatever is bound to it. Without this SQLite makes each that has a bound `LIMIT`, or looks
/// for a bound 0 or 1, anew whenever it is asked: to make it costs more than to run it.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// A connection that only reads.
pub fn reader(data: &Path) -> Result<Connection, StoreError> {
    let path = path_of(data);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(at(&path))?;
    connection.busy_timeout(std::time::Duration::from_secs(2)).map_err(at(&path))?;
    connection.pragma_update(None, "cache_size", -128).map_err(at(&path))?;
    keep_plans(&connection).map_err(at(&path))?;
    Ok(connection)
}

pub(super) fn try_open(path: &Path) -> Result<Connection, StoreError> {
    durable::own_file(path).map_err(io_at(path))?;
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
            .execute_batch(&format!(
                "BEGIN; {SCHEMA} {SCHEMA_2} {} PRAGMA user_version = {FORMAT}; COMMIT;",
                slots::SCHEMA
            ))
            .map_err(at(path))?;
    }
    if format == 1 {
        upgrade(&connection, path).map_err(at(path))?;
    }
    if format == 1 || format == 2 {
        let registers = format!("BEGIN; {} PRAGMA user_version = {FORMAT}; COMMIT;", slots::SCHEMA);
        connection.execute_batch(&registers).map_err(at(path))?;
    }
    slots::prepare(&connection).map_err(at(path))?;
    catch_up::prepare(&connection).map_err(at(path))?;
    later(&connection).map_err(at(path))?;
    peers::prepare(&connection).map_err(at(path))?;
    check_tail(&connection).map_err(at(path))?;
    Ok(connection)
}

fn later(connection: &Connection) -> rusqlite::Result<()> {
    if !has_table(connection, "stream_head")? {
        connection.execute_batch(&format!("BEGIN; {STREAM_HEADS} COMMIT;"))?;
    }
    if !has_table(connection, "undated")? {
        connection.execute_batch(&format!("BEGIN; {UNDATED}"))?;
        time::look_back(connection)?;
        connection.execute_batch("COMMIT")?;
    }
    salvage::normalise(connection)?;
    if !has_column(connection, "recent", "at_ms")? {
        connection.execute_batch(&format!("BEGIN; {RECENT_COLUMNS} COMMIT;"))?;
    }
    // Some journals have it: it costs each visit a page, and two thousand rows are read without it as well.
    connection.execute_batch("DROP INDEX IF EXISTS recent_at")
}

/// From format 1 to 2: what it holds is indexed.
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
            name_photos(connection, photos.as_ref(), &event["data"], seq, at_ms)?;
            if let Some(verdict) = Verdict::stored(seq, &event) {
                verdict.index(connection)?;
            }
        }
    }
    connection.execute_batch("PRAGMA user_version = 2; COMMIT;")
}

/// Notes the photographs that an event names.
pub(super) fn name_photos(
    connection: &Connection,
    folder: Option<&Photos>,
    data: &Value,
    seq: i64,
    at_ms: i64,
) -> rusqlite::Result<()> {
    for sha256 in photos::named(data) {
        let bytes = folder.and_then(|p| p.size(sha256)).unwrap_or(0);
        let sql = "INSERT INTO photo (sha256, seq, at_ms, bytes, state) VALUES (?1, ?2, ?3, ?4, 0)
                   ON CONFLICT (sha256) DO NOTHING";
        connection.prepare_cached(sql)?.execute(params![sha256, seq, at_ms, bytes.cast_signed()])?;
    }
    Ok(())
}

/// Grows the log to its working size, unless an earlier run has left it so.
pub(super) fn prepare_log(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    let log = PathBuf::from(format!("{}-wal", path.display()));
    let checkpoint = || connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(()));
    checkpoint()?;
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
    checkpoint()
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
