//! Building an edition of a list: from a snapshot, or from the one in use and what has changed.
//!
//! A snapshot goes into a file aside, in bites, with a rest after each: lanes wait for nothing. A
//! change goes into the file in use as one transaction. In both cases nothing counts before the hash
//! of all that was read fits and the canaries say what they should.
//!
//! The source is text: one JSON object a line, `{"id": …, "facts": {…}}`, in ascending order of
//! ids. In a change, a line without facts removes the entry.

use super::floors::{self, folder};
use super::lists::{InUse, KEYED, Pointer, facts, is_damage, meta, open_edition};
use super::told::{self, Held};
use super::{StoreError, at, io_at};
use kakou_core::pass::hex;
use kakou_core::pass::id::key;
use kakou_core::text::{json_fault, without_mark};
use kakou_link::durable;
use kakou_wire::feed::Canary;
use ring::digest::{Context, SHA256};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

/// Lines in one bite.
const BITE: u64 = 1_000;
/// A line that is longer is no entry.
const LINE: usize = 64 << 10;

const SCHEMA: &str = "
CREATE TABLE meta (version INTEGER NOT NULL, issued_ms INTEGER NOT NULL, entries INTEGER NOT NULL, signer TEXT NOT NULL);
CREATE TABLE entry (id TEXT PRIMARY KEY, facts BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE supplement (id TEXT PRIMARY KEY, issued_ms INTEGER NOT NULL, facts BLOB) WITHOUT ROWID;
";
/// Names are searched for in one list only.
const NAMES: &str = "CREATE INDEX entry_name ON entry (json_extract(CAST(facts AS TEXT), '$.name'))";

/// What is to be built.
#[derive(Clone)]
pub struct Order<'a> {
    /// The data folder.
    pub data: &'a Path,
    /// The list.
    pub name: &'a str,
    /// The new edition.
    pub version: u64,
    /// When it was issued, UTC milliseconds.
    pub issued_ms: i64,
    /// The edition that changes; nothing for a snapshot.
    pub base: Option<u64>,
    /// The hash of the source, if it was signed.
    pub sha256: Option<&'a str>,
    /// Who signed it.
    pub signer: &'a str,
    /// What must come out.
    pub canary: &'a [Canary],
    /// What the list must be good for, beside that.
    pub check: Option<Check<'a>>,
}

/// Looks at a finished edition, before it is in use.
pub type Check<'a> = &'a dyn Fn(&Connection) -> Result<(), String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    facts: Option<&'a RawValue>,
}

/// One line of a source.
pub struct Line<'a> {
    /// The id.
    pub id: Cow<'a, str>,
    /// The facts as they are written, and as every reader understands them.
    pub facts: Option<(&'a str, Map<String, Value>)>,
}

impl<'a> Line<'a> {
    /// Reads a line. What could not be read when somebody is looked up is refused here.
    pub fn read(line: &'a [u8]) -> Result<Self, String> {
        if line.len() > LINE {
            return Err(format!("longer than {LINE} bytes"));
        }
        let said = |json: &[u8], e: &serde_json::Error| {
            let fault = json_fault(json, e);
            fault.strip_prefix("line 1, ").map_or(fault.clone(), str::to_owned)
        };
        let raw: Raw<'a> = serde_json::from_slice(line).map_err(|e| said(line, &e))?;
        let text = raw.facts.map(RawValue::get);
        if text.is_some_and(|f| !f.starts_with('{')) {
            return Err("facts are an object".into());
        }
        let read = |text: &'a str| facts(text.as_bytes()).map(|facts| (text, facts));
        let facts = text.map(read).transpose();
        let facts = facts.map_err(|e| {
            format!("its facts cannot be read: {}", said(text.unwrap_or_default().as_bytes(), &e))
        })?;
        Ok(Self { id: raw.id, facts })
    }
}

/// Hears how far it is, in lines; says whether to go on.
pub type Progress<'a> = &'a mut dyn FnMut(u64) -> bool;

/// Why it fails, without the file.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("it cannot be read: {0}")]
    Read(#[from] std::io::Error),
    #[error("line {0}: {1}")]
    Line(u64, String),
    #[error("its hash is {0}, not what was signed")]
    Hash(String),
    #[error("it changes edition {0}, in use is {1}")]
    Base(u64, u64),
    #[error("edition {0} is older than edition {1}, which is in use")]
    Older(u64, u64),
    #[error("the canary `{0}` does not come out as it must")]
    Canary(String),
    #[error("{0}")]
    Check(String),
    #[error("it was not finished")]
    Ended,
}

/// Builds, and puts the result in use.
pub fn build(order: &Order<'_>, source: impl BufRead, progress: Progress<'_>) -> Result<InUse, StoreError> {
    let pointer = Pointer::read(order.data)?;
    let path = folder(order.data);
    durable::make_folder(&path).map_err(io_at(&path))?;
    let refuse =
        |why: Failed| StoreError::List { path: Path::new(order.name).to_path_buf(), why: why.to_string() };
    let signed = order.sha256.map(|_| order.version);
    let damaged = floors::marked(order.data, order.name);
    match (order.base, pointer.0.get(order.name)) {
        (Some(_), Some(file)) if damaged.as_ref() != Some(file) => {
            let changed = open_edition(&path.join(file), OpenFlags::SQLITE_OPEN_READ_WRITE)
                .map_err(Failed::from)
                .and_then(|mut connection| change(&mut connection, order, source, progress));
            let done = changed.map_err(|why| {
                if matches!(&why, Failed::Sqlite(e) if is_damage(e)) {
                    floors::mark(order.data, order.name, file);
                }
                refuse(why)
            })?;
            // The lanes look at it anew, whatever becomes of the rest.
            pointer.write(order.data)?;
            floors::keep(order.data, order.name, signed, file)?;
            Ok(done)
        }
        (Some(base), _) => Err(refuse(Failed::Base(base, 0))),
        (None, before) => {
            // The one in use may be of the same edition, and damaged: what came by itself is taken out of it.
            let mut file = format!("{}-{}.db", order.name, order.version);
            if before == Some(&file) {
                file = format!("{}-{}-again.db", order.name, order.version);
            }
            let fresh = path.join(&file);
            remove(&fresh);
            let before = before.cloned();
            let old = before.as_ref().map(|old| path.join(old));
            // A newer one may have come by another way since this one was begun, or have been lost. An unsigned
            // file is somebody's own.
            if let Some(signed) = signed {
                let known = [old.as_deref().and_then(version), floors::version(order.data, order.name)?];
                if let Some(known) = known.into_iter().flatten().find(|known| *known > signed) {
                    return Err(refuse(Failed::Older(signed, known)));
                }
            }
            let mut held = None;
            let built = snapshot(&fresh, old.as_deref(), order, source, progress, &mut held);
            let done = match built {
                Ok(done) => done,
                Err(why) => {
                    remove(&fresh);
                    return Err(refuse(why));
                }
            };
            floors::keep(order.data, order.name, signed, &file)?;
            floors::unmark(order.data, order.name)?;
            let mut pointer = pointer;
            pointer.0.insert(order.name.to_owned(), file);
            pointer.write(order.data)?;
            // Readers that still have the old file open keep it until they look again.
            if let Some(old) = old {
                remove(&old);
            }
            Ok(done)
        }
    }
}

/// The edition in a file, if it can be read.
fn version(file: &Path) -> Option<u64> {
    let connection = open_edition(file, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
    meta(&connection, "main").ok().map(|edition| edition.version)
}

fn remove(file: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        // What is not there need not go.
        drop(std::fs::remove_file(format!("{}{suffix}", file.display())));
    }
}

/// Reads lines, hashes them, and checks that they ascend.
struct Lines<'a, R> {
    source: R,
    hash: Context,
    line: Vec<u8>,
    last: String,
    count: u64,
    progress: Progress<'a>,
}

impl<'a, R: BufRead> Lines<'a, R> {
    fn new(source: R, progress: Progress<'a>) -> Self {
        Self {
            source,
            hash: Context::new(&SHA256),
            line: Vec::new(),
            last: String::new(),
            count: 0,
            progress,
        }
    }

    /// The next line, handed to `with`; false at the end.
    fn next(&mut self, with: impl FnOnce(&str, Option<&str>) -> Result<(), Failed>) -> Result<bool, Failed> {
        self.line.clear();
        let mut limited = std::io::Read::take(&mut self.source, LINE as u64 + 1);
        if limited.read_until(b'\n', &mut self.line)? == 0 {
            return Ok(false);
        }
        self.count += 1;
        let bad = |why: String| Failed::Line(self.count, why);
        self.hash.update(&self.line);
        // A spreadsheet or an editor may have put a mark before the first line.
        let text = if self.count == 1 { without_mark(&self.line) } else { &self.line };
        let line = Line::read(text).map_err(bad)?;
        if line.id.is_empty() || *line.id <= *self.last {
            return Err(bad(format!("`{}` is not behind `{}`: ids ascend", line.id, self.last)));
        }
        with(&line.id, line.facts.map(|(text, _)| text))?;
        self.last.clear();
        self.last.push_str(&line.id);
        if self.count.is_multiple_of(BITE) && !(self.progress)(self.count) {
            return Err(Failed::Ended);
        }
        Ok(true)
    }

    fn finish(self, wanted: Option<&str>) -> Result<(), Failed> {
        let found = hex(self.hash.finish().as_ref());
        if !(self.progress)(self.count) {
            return Err(Failed::Ended);
        }
        if wanted.is_some_and(|wanted| wanted != found) { Err(Failed::Hash(found)) } else { Ok(()) }
    }
}

/// Rests twice as long as it has worked, and makes durable what it has written: the disk is the lanes'.
struct Pause {
    file: std::fs::File,
    worked: Instant,
}

impl Pause {
    fn rest(&mut self) -> std::io::Result<()> {
        self.file.sync_data()?;
        std::thread::sleep((2 * self.worked.elapsed()).min(Duration::from_millis(200)));
        self.worked = Instant::now();
        Ok(())
    }
}

/// Single entries count until an edition is issued after them: those that are newer come along. Out of a
/// damaged file, those that can be read, from both ends.
fn carry(connection: &Connection, old: &Path, issued_ms: i64) -> rusqlite::Result<()> {
    connection.execute("ATTACH ?1 AS old", [old.to_string_lossy()])?;
    let copy = |order: &str| -> rusqlite::Result<()> {
        let sql = format!(
            "SELECT id, issued_ms, facts FROM old.supplement WHERE issued_ms > ?1 ORDER BY id {order}"
        );
        let (mut select, mut insert) = (
            connection.prepare(&sql)?,
            connection
                .prepare("INSERT OR IGNORE INTO supplement (id, issued_ms, facts) VALUES (?1, ?2, ?3)")?,
        );
        let mut rows = select.query([issued_ms])?;
        while let Some(r) = rows.next()? {
            let (id, at): (String, i64) = (r.get(0)?, r.get(1)?);
            insert.execute(params![id, at, r.get::<_, Option<Vec<u8>>>(2)?])?;
        }
        Ok(())
    };
    let carried = copy("ASC").or_else(|e| copy("DESC").and(Err(e)));
    connection.execute_batch("DETACH old")?;
    carried
}

fn snapshot(
    file: &Path,
    old: Option<&Path>,
    order: &Order<'_>,
    source: impl BufRead,
    progress: Progress<'_>,
    held: &mut Option<Held>,
) -> Result<InUse, Failed> {
    durable::own_file(file)?;
    let connection = Connection::open(file)?;
    connection.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "cache_size", -4096)?;
    connection.execute_batch(SCHEMA)?;
    connection.pragma_update(None, "user_version", KEYED)?;
    if order.name == "status" {
        // Before the entries: it grows with them, bite by bite, where making it at the end is one long piece.
        connection.execute_batch(NAMES)?;
    }
    let mut pause = Pause { file: std::fs::File::open(file)?, worked: Instant::now() };
    let mut lines = Lines::new(source, progress);
    connection.execute_batch("BEGIN")?;
    {
        let mut insert = connection.prepare("INSERT INTO entry (id, facts) VALUES (?1, ?2)")?;
        loop {
            let number = lines.count + 1;
            let more = lines.next(|id, facts| {
                let facts = facts.ok_or_else(|| Failed::Line(number, "an entry needs facts".into()))?;
                let key = key(order.name, id);
                match insert.execute(params![key, facts.as_bytes()]) {
                    Err(e) if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                        Err(Failed::Line(number, format!("`{key}` is there twice")))
                    }
                    done => Ok(done.map(drop)?),
                }
            })?;
            if !more {
                break;
            }
            if lines.count.is_multiple_of(BITE) {
                connection.execute_batch("COMMIT; BEGIN")?;
                pause.rest()?;
            }
        }
    }
    let entries = lines.count.cast_signed();
    lines.finish(order.sha256)?;
    let sql = "INSERT INTO meta (version, issued_ms, entries, signer) VALUES (?1, ?2, ?3, ?4)";
    connection.execute(sql, params![order.version.cast_signed(), order.issued_ms, entries, order.signer])?;
    connection.execute_batch("COMMIT")?;
    check(&connection, order)?;
    // What is told from here on goes into the new one.
    *held = Some(Held::new(order.data).map_err(|e| Failed::Check(e.to_string()))?);
    if let Some(old) = old.filter(|old| old.exists())
        && let Err(e) = carry(&connection, old, order.issued_ms)
    {
        // A damaged edition must not keep its successor out.
        log::error!("list {}: newer single entries of {} are lost: {e}", order.name, old.display());
    }
    told::rebase(&connection, order.name)?;
    let done = InUse { name: order.name.to_owned(), ..meta(&connection, "main")? };
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    drop(connection);
    pause.file.sync_all()?;
    Ok(done)
}

fn change(
    connection: &mut Connection,
    order: &Order<'_>,
    source: impl BufRead,
    progress: Progress<'_>,
) -> Result<InUse, Failed> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    let in_use = meta(connection, "main")?;
    if order.base != Some(in_use.version) {
        return Err(Failed::Base(order.base.unwrap_or(0), in_use.version));
    }
    let tx = connection.transaction()?;
    let mut lines = Lines::new(source, progress);
    // Two spellings of one id: the one that goes does not take the one that comes along.
    let mut respelt = HashSet::new();
    let seed = RandomState::new();
    let hash = |key: &str| seed.hash_one(key);
    {
        let mut put = tx.prepare(
            "INSERT INTO entry (id, facts) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET facts = ?2",
        )?;
        let mut take = tx.prepare("DELETE FROM entry WHERE id = ?1")?;
        while lines.next(|id, facts| {
            let key = key(order.name, id);
            match facts {
                Some(facts) => {
                    put.execute(params![key, facts.as_bytes()])?;
                    respelt.insert(hash(&key));
                }
                None if respelt.contains(&hash(&key)) => {}
                None => drop(take.execute([key])?),
            }
            Ok(())
        })? {}
    }
    lines.finish(order.sha256)?;
    tx.execute("DELETE FROM supplement WHERE issued_ms <= ?1", [order.issued_ms])?;
    let sql =
        "UPDATE meta SET version = ?1, issued_ms = ?2, signer = ?3, entries = (SELECT count(*) FROM entry)";
    tx.execute(sql, params![order.version.cast_signed(), order.issued_ms, order.signer])?;
    told::rebase(&tx, order.name)?;
    check(&tx, order)?;
    let done = InUse { name: order.name.to_owned(), ..meta(&tx, "main")? };
    tx.commit()?;
    Ok(done)
}

fn check(connection: &Connection, order: &Order<'_>) -> Result<(), Failed> {
    if let Some(check) = order.check {
        check(connection).map_err(Failed::Check)?;
    }
    for canary in order.canary {
        let sql = "SELECT facts FROM entry WHERE id = ?1";
        let found: Option<Vec<u8>> =
            connection.query_row(sql, [key(order.name, &canary.id)], |r| r.get(0)).optional()?;
        let found = found.map(|json| facts(&json).unwrap_or_default());
        let good = match (&canary.facts, &found) {
            (None, None) => true,
            (Some(wanted), Some(found)) => wanted.iter().all(|(k, v)| found.get(k) == Some(v)),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !good {
            return Err(Failed::Canary(canary.id.clone()));
        }
    }
    Ok(())
}

/// Editions of earlier programs have their ids as the feed wrote them: they get their keys, once. One that cannot be
/// changed is not used until it can; see [`super::lists::Lists`]. Says what is wrong with those.
pub fn give_keys(data: &Path) -> Result<Vec<String>, StoreError> {
    let mut unkeyed = Vec::new();
    for (name, file) in &Pointer::read(data)?.0 {
        // It waits to be built anew.
        if floors::is_marked(data, name, file) {
            continue;
        }
        let path = folder(data).join(file);
        if let Err(e) = give_keys_to(name, &path) {
            if is_damage(&e) {
                floors::mark(data, name, file);
            }
            unkeyed.push(format!(
                "list {name}: {}: its ids cannot be brought to their normal form: {e}",
                path.display()
            ));
        }
    }
    Ok(unkeyed)
}

fn give_keys_to(name: &str, path: &Path) -> rusqlite::Result<()> {
    let mut connection = open_edition(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if connection.pragma_query_value(None, "user_version", |r| r.get::<_, i64>(0))? == KEYED {
        return Ok(());
    }
    let tx = connection.transaction()?;
    for table in ["entry", "supplement"] {
        let mut others = Vec::new();
        {
            let mut ids = tx.prepare(&format!("SELECT id FROM {table}"))?;
            let mut rows = ids.query([])?;
            while let Some(row) = rows.next()? {
                let id: String = row.get(0)?;
                if key(name, &id) != id {
                    others.push(id);
                }
            }
        }
        let mut update = tx.prepare(&format!("UPDATE OR IGNORE {table} SET id = ?1 WHERE id = ?2"))?;
        let mut rest = tx.prepare(&format!("DELETE FROM {table} WHERE id = ?1"))?;
        for id in others {
            if table == "supplement" {
                // Of two spellings the newer counts.
                let sql = "DELETE FROM supplement WHERE id = ?1
                           AND issued_ms < (SELECT issued_ms FROM supplement WHERE id = ?2)";
                tx.prepare_cached(sql)?.execute(params![key(name, &id), id])?;
            }
            if update.execute(params![key(name, &id), id])? == 0 {
                rest.execute([&id])?;
            }
        }
    }
    tx.pragma_update(None, "user_version", KEYED)?;
    tx.commit()
}

/// One entry that came by itself: it counts until an edition is issued after it.
pub fn supplement(
    data: &Path,
    name: &str,
    id: &str,
    issued_ms: i64,
    facts: Option<&Map<String, Value>>,
) -> Result<bool, StoreError> {
    let pointer = Pointer::read(data)?;
    let refuse = |why: &str| StoreError::List { path: Path::new(name).to_path_buf(), why: why.to_owned() };
    let file =
        pointer.0.get(name).ok_or_else(|| refuse("there is no list that the entry could supplement"))?;
    let path = folder(data).join(file);
    let put = || -> rusqlite::Result<Option<bool>> {
        let connection = open_edition(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(Duration::from_secs(2))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        if meta(&connection, "main")?.issued_ms >= issued_ms {
            return Ok(None);
        }
        let facts = facts.map(|f| serde_json::to_vec(f).expect("JSON stays JSON"));
        let sql = "INSERT INTO supplement (id, issued_ms, facts) VALUES (?1, ?2, ?3)
                   ON CONFLICT (id) DO UPDATE SET issued_ms = ?2, facts = ?3 WHERE issued_ms < ?2";
        Ok(Some(connection.execute(sql, params![key(name, id), issued_ms, facts])? > 0))
    };
    let taken = put().inspect_err(|e| {
        if is_damage(e) {
            floors::mark(data, name, file);
        }
    });
    let Some(taken) = taken.map_err(at(&path))? else { return Ok(false) };
    // Where it was there already the lanes may not know of it: they look anew when the pointer is another.
    pointer.write(data)?;
    Ok(taken)
}

#[cfg(test)]
mod tests;
