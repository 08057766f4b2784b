//! The local lists: residents' status, opaque passes, revocations, holds and what else a feed brings.
//!
//! Each list is a file of its own, made by [`super::edition`]; a small file beside them says which
//! edition of each is in use. A new edition is built aside and put in its place by renaming that
//! file, so that a list of a million entries changes between two inputs.
//!
//! A list that is damaged is a fault of that list: who is looked up in it gets no answer, which is not the
//! same as not to be in it, until it was built anew. What fails for a passing reason is tried again.

use super::floors::{self, folder};
use super::journal::is_corrupt;
use super::search::Typed;
use super::{StoreError, at, io_at};
use kakou_core::hl7::word::plain;
use kakou_core::pass::id::key;
use kakou_core::records::LISTS;
use kakou_core::time::MonoMs;
use kakou_link::durable;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What `user_version` says of an edition whose ids are the keys of [`key`].
pub(super) const KEYED: i64 = 1;
/// Between two looks at a list that could not be taken over: each costs the lanes a little.
const AGAIN_MS: MonoMs = 1_000;

/// Lists that are attached to one connection: SQLite takes ten.
const ATTACHED: usize = 10;

/// Lists that name people: residents, those who belong to a place, and patients.
const NAMING: [&str; 3] = ["status", "roster", "patients"];

/// A list in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// Its name.
    pub name: String,
    /// Its edition.
    pub version: u64,
    /// When the issuer made it.
    pub issued_ms: i64,
    /// How many entries count, with those that came by themselves.
    pub entries: u64,
    /// How many came by themselves since the edition was made, to add an entry or to take one away.
    pub single: u64,
    /// Who signed it; empty for a file that nobody signed.
    pub signer: String,
}

impl InUse {
    /// Whether it has nothing that could be found, neither of its edition nor by itself.
    fn is_empty(&self) -> bool {
        self.entries == 0 && self.single == 0
    }
}

/// An entry: its id and its facts.
pub type Entry = (String, Map<String, Value>);
/// Facts by id.
pub type Entries = BTreeMap<String, Map<String, Value>>;

/// Why a list does not answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("list {list}: {why}")]
pub struct ListFault {
    /// Which.
    pub list: String,
    /// What is wrong; nothing of its entries.
    pub why: String,
}

/// Which file holds the edition of each list that is in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pointer(pub BTreeMap<String, String>);

/// The facts of an entry. What this cannot read is refused when an edition is built, and is no entry without
/// facts when it is met later.
pub fn facts(json: &[u8]) -> serde_json::Result<Map<String, Value>> {
    serde_json::from_slice(json)
}

impl Pointer {
    fn path(data: &Path) -> PathBuf {
        folder(data).join("current.json")
    }
    /// As it stands; empty before the first list.
    pub fn read(data: &Path) -> Result<Self, StoreError> {
        let path = Self::path(data);
        match std::fs::read(&path) {
            Ok(json) => match serde_json::from_slice(&json) {
                Ok(pointer) => Ok(pointer),
                Err(e) => {
                    log::error!("{}: {e}; its second copy is taken", path.display());
                    Ok(Self(floors::files(data)?))
                }
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(io_at(&path)(e)),
        }
    }
    /// Puts it in place, durably.
    pub fn write(&self, data: &Path) -> Result<(), StoreError> {
        let path = Self::path(data);
        let json = serde_json::to_vec(self).expect("a pointer is strings");
        durable::write(&path, &json).map_err(io_at(&path))
    }
}

/// Opens the file of an edition that must be there: SQLite would make an empty one.
pub(super) fn open_edition(file: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

/// Whether the file of a list that is in use was found damaged. A mark of another file is of the past.
pub fn is_damaged(data: &Path, name: &str) -> bool {
    let Some(marked) = floors::marked(data, name) else { return false };
    Pointer::read(data).is_ok_and(|pointer| pointer.0.get(name) == Some(&marked))
}

/// Which pointer was read: its inode changes with each that is put in place.
type Stamp = Option<(u64, i64)>;

/// Which file is attached: its path and its inode.
type Attached = (PathBuf, u64);

/// What was seen of the lists.
#[derive(Default)]
struct ListWatch {
    stamp: Stamp,
    /// Something failed that may pass: it is looked at again, after a while.
    again: bool,
    /// When they were looked at.
    looked_ms: MonoMs,
    files: BTreeMap<&'static str, Attached>,
    in_use: BTreeMap<&'static str, InUse>,
    /// What is there and does not answer, and why.
    faulty: BTreeMap<&'static str, String>,
}

/// The lists.
pub struct Lists {
    data: PathBuf,
    /// Lists by tens, as they stand in [`LISTS`]: SQLite attaches no more to one connection.
    connections: Vec<Connection>,
    seen: RefCell<ListWatch>,
}

impl Lists {
    /// In a data folder.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let path = folder(data);
        durable::make_folder(&path).map_err(io_at(&path))?;
        let open = || {
            let connection = Connection::open_in_memory()?;
            connection.busy_timeout(std::time::Duration::from_secs(2))?;
            Ok(connection)
        };
        let connections = LISTS.chunks(ATTACHED).map(|_| open());
        let connections = connections.collect::<rusqlite::Result<_>>().map_err(at(&path))?;
        let lists = Self { data: data.to_path_buf(), connections, seen: RefCell::default() };
        lists.refresh(None);
        Ok(lists)
    }

    /// Takes over what the pointer says, if it has changed. A list that cannot be taken over answers nobody until it
    /// can; it keeps no other one away. Without a time what failed is tried again at once.
    fn refresh(&self, now_ms: Option<MonoMs>) {
        let stamp = std::fs::metadata(Pointer::path(&self.data)).ok().map(|m| (m.ino(), m.mtime_nsec()));
        {
            let seen = self.seen.borrow();
            let due = seen.again && now_ms.is_none_or(|now| now.saturating_sub(seen.looked_ms) >= AGAIN_MS);
            if stamp == seen.stamp && !due {
                return;
            }
        }
        let pointer = match Pointer::read(&self.data) {
            Ok(pointer) => pointer,
            Err(e) => {
                // What is attached goes on.
                if !std::mem::replace(&mut self.seen.borrow_mut().again, true) {
                    log::error!("{e}; the lists stay as they are until it can be read");
                }
                return;
            }
        };
        self.connections.iter().for_each(Connection::flush_prepared_statement_cache);
        let mut seen = ListWatch { stamp, looked_ms: now_ms.unwrap_or(0), ..ListWatch::default() };
        let before = self.seen.take();
        for name in LISTS {
            let file = pointer.0.get(name);
            if let Err(e) = self.take_over(name, file, &before, &mut seen) {
                seen.again = true;
                if before.faulty.get(name).is_none_or(|why| *why != e.to_string()) {
                    log::error!("list {name}: {e}; it is tried again");
                }
                seen.faulty.insert(name, e.to_string());
            }
        }
        *self.seen.borrow_mut() = seen;
    }

    /// Takes over one list.
    fn take_over(
        &self,
        name: &'static str,
        file: Option<&String>,
        before: &ListWatch,
        seen: &mut ListWatch,
    ) -> rusqlite::Result<()> {
        let path = file.map(|file| folder(&self.data).join(file));
        let inode = |path: &PathBuf| std::fs::metadata(path).map(|m| m.ino());
        let wanted = path.clone().and_then(|path| Some((inode(&path).ok()?, path)));
        let kept =
            before.files.get(name).filter(|(path, ino)| wanted.as_ref() == Some(&(*ino, path.clone())));
        if kept.is_none() {
            self.detach(name)?;
        }
        let (Some(file), Some(path)) = (file, path) else { return Ok(()) };
        if floors::is_marked(&self.data, name, file) {
            seen.faulty.insert(name, "it is damaged and waits to be built anew".into());
            return Ok(());
        }
        let there = match kept {
            Some(kept) => Ok(kept.clone()),
            None => self.attach(name, &path).and_then(|()| {
                let ino = inode(&path).map_err(|_| rusqlite::Error::InvalidPath(path.clone()))?;
                Ok((path.clone(), ino))
            }),
        };
        match there.and_then(|there| Ok((there, meta(self.of(name), name)?))) {
            Ok((there, list)) => {
                seen.files.insert(name, there);
                seen.in_use.insert(name, list);
            }
            Err(e) => {
                let was = before.faulty.get(name).is_some_and(|why| *why == e.to_string());
                if is_damage(&e) {
                    log::error!("list {name}: {}: {e}; it must be built anew", path.display());
                    floors::mark(&self.data, name, file);
                } else {
                    seen.again = true;
                    if !was {
                        log::error!("list {name}: {}: {e}; it is tried again", path.display());
                    }
                }
                seen.faulty.insert(name, e.to_string());
                self.detach(name)?;
            }
        }
        Ok(())
    }

    fn attach(&self, name: &str, path: &Path) -> rusqlite::Result<()> {
        match path.try_exists() {
            Ok(true) => {}
            // SQLite would make an empty one.
            Ok(false) => return Err(rusqlite::Error::InvalidPath(path.to_path_buf())),
            Err(e) => return Err(rusqlite::Error::ToSqlConversionFailure(e.into())),
        }
        let connection = self.of(name);
        connection.execute(&format!("ATTACH ?1 AS {name}"), [path.to_string_lossy()])?;
        connection.execute_batch(&format!("PRAGMA {name}.cache_size = -256"))?;
        let keyed: i64 = connection.pragma_query_value(Some(name), "user_version", |r| r.get(0))?;
        if keyed != KEYED {
            // A hold in it would hold nobody. The feeds give it its keys.
            let why = "its ids are not in the form in which they are asked for";
            return Err(rusqlite::Error::InvalidParameterName(why.into()));
        }
        Ok(())
    }

    /// The connection that a list is attached to.
    fn of(&self, name: &str) -> &Connection {
        let place = LISTS.iter().position(|list| *list == name).unwrap_or(0);
        &self.connections[place / ATTACHED]
    }

    /// Whether no view is under way.
    fn is_outside(&self) -> bool {
        self.connections.iter().all(Connection::is_autocommit)
    }

    fn detach(&self, name: &str) -> rusqlite::Result<()> {
        let connection = self.of(name);
        let attached =
            connection.prepare("SELECT 1 FROM pragma_database_list WHERE name = ?1")?.exists([name])?;
        if attached { connection.execute_batch(&format!("DETACH {name}")) } else { Ok(()) }
    }

    /// The edition in use.
    pub fn in_use(&self, name: &str) -> Option<InUse> {
        if self.is_outside() {
            self.refresh(None);
        }
        self.seen.borrow().in_use.get(name).cloned()
    }

    /// Whether a list was found damaged and has not been built anew yet.
    pub fn damaged(&self, name: &str) -> bool {
        is_damaged(&self.data, name)
    }

    /// When the issuer made the edition in use, UTC milliseconds.
    pub fn issued_ms(&self, name: &str) -> Option<i64> {
        self.seen.borrow().in_use.get(name).map(|l| l.issued_ms)
    }

    /// Begins a view that stays the same until [`Lists::leave`], with what is in use at this moment. Where that fails, each look sees what is in use
    /// then.
    pub fn enter(&self, now_ms: MonoMs) -> rusqlite::Result<()> {
        self.refresh(Some(now_ms));
        self.connections.iter().try_for_each(|c| c.prepare_cached("BEGIN")?.execute([]).map(drop))
    }
    /// Ends the view, so that a newer edition is seen.
    pub fn leave(&self) -> rusqlite::Result<()> {
        let end = |connection: &Connection| {
            if connection.is_autocommit() {
                return Ok(());
            }
            let ended = connection.prepare_cached("COMMIT")?.execute([]).map(drop);
            // A view of a damaged list ends as well.
            ended.or_else(|e| {
                if connection.is_autocommit() { Err(e) } else { connection.execute_batch("ROLLBACK") }
            })
        };
        // All of them end, whatever becomes of one.
        self.connections.iter().map(end).fold(Ok(()), Result::and)
    }

    /// One entry: of a supplement that is newer than the edition, else of the edition.
    pub fn entry(&self, list: &str, id: &str) -> Result<Option<Map<String, Value>>, ListFault> {
        let row = self.row(list, id)?;
        let read = row.map(|json| facts(&json)).transpose();
        // What is wrong with it may quote it.
        read.map(|found| found.map(plain)).map_err(|e| ListFault {
            list: list.to_owned(),
            why: format!("facts of an entry cannot be read: {:?} error", e.classify()),
        })
    }

    /// Whether a list has an entry, whatever its facts are.
    pub fn listed(&self, list: &str, id: &str) -> Result<bool, ListFault> {
        Ok(self.row(list, id)?.is_some())
    }

    fn row(&self, list: &str, id: &str) -> Result<Option<Vec<u8>>, ListFault> {
        let Some(list) = LISTS.into_iter().find(|name| *name == list) else { return Ok(None) };
        let fault = |why: String| ListFault { list: list.to_owned(), why };
        {
            let seen = self.seen.borrow();
            if let Some(why) = seen.faulty.get(list) {
                return Err(fault(why.clone()));
            }
            // Whatever changes a list puts the pointer in place anew behind it: one that was empty then is empty still.
            if seen.in_use.get(list).is_none_or(InUse::is_empty) {
                return Ok(None);
            }
        }
        let sql = format!(
            "SELECT facts, 0 FROM {list}.supplement WHERE id = ?1
             UNION ALL SELECT facts, 1 FROM {list}.entry WHERE id = ?1 ORDER BY 2 LIMIT 1"
        );
        let look = || -> rusqlite::Result<Option<Option<Vec<u8>>>> {
            self.of(list).prepare_cached(&sql)?.query_row([key(list, id)], |r| r.get(0)).optional()
        };
        look().map(Option::flatten).map_err(|e| {
            if is_corrupt(&e) {
                self.condemn(list, &e);
            }
            fault(e.to_string())
        })
    }

    /// A list whose file is damaged answers nobody until it was built anew.
    fn condemn(&self, list: &'static str, why: &rusqlite::Error) {
        let mut seen = self.seen.borrow_mut();
        seen.in_use.remove(list);
        seen.faulty.insert(list, why.to_string());
        if let Some((path, _)) = seen.files.get(list) {
            log::error!("list {list}: {}: {why}; it must be built anew", path.display());
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            floors::mark(&self.data, list, &file);
        }
    }

    /// Shows the entries of a list one after another, until enough was seen.
    pub fn each(
        &self,
        list: &str,
        mut enough: impl FnMut(&str, &Map<String, Value>) -> bool,
    ) -> rusqlite::Result<()> {
        let Some(list) = LISTS.into_iter().find(|name| *name == list) else { return Ok(()) };
        if self.seen.borrow().in_use.get(list).is_none_or(InUse::is_empty) {
            return Ok(());
        }
        // What a supplement says of an entry counts; one without facts was taken away.
        let sql = format!(
            "SELECT id, facts FROM {list}.entry WHERE id NOT IN (SELECT id FROM {list}.supplement)
             UNION ALL SELECT id, facts FROM {list}.supplement WHERE facts IS NOT NULL"
        );
        let mut statement = self.of(list).prepare_cached(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, json) = (row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?);
            if facts(&json).is_ok_and(|facts| enough(&id, &plain(facts))) {
                break;
            }
        }
        Ok(())
    }

    /// People of the lists that name them whose name is meant by what was typed, those first whose name begins just so.
    pub fn search(&self, typed: &str, limit: usize) -> Result<Vec<Entry>, ListFault> {
        let Some(meant) = Typed::new(typed) else { return Ok(Vec::new()) };
        let mut found: Vec<Entry> = Vec::new();
        for list in NAMING {
            let fault = |why: String| ListFault { list: list.to_owned(), why };
            {
                let seen = self.seen.borrow();
                // Where nobody can be found at all, that is said; those of a list beside it are missed.
                if let Some(why) = seen.faulty.get(list).filter(|_| list == NAMING[0]) {
                    return Err(fault(why.clone()));
                }
                if !seen.in_use.contains_key(list) || seen.faulty.contains_key(list) {
                    continue;
                }
            }
            let ids = self.named(list, typed, &meant, limit).map_err(|e| {
                if is_corrupt(&e) {
                    self.condemn(list, &e);
                }
                fault(e.to_string())
            })?;
            for id in ids {
                let known = found.iter().any(|(known, _)| *known == id);
                if let Some(facts) = self.entry(list, &id)?.filter(|_| !known && found.len() < limit) {
                    found.push((id, facts));
                }
            }
        }
        Ok(found)
    }

    /// The ids of whom a name means.
    fn named(&self, list: &str, typed: &str, meant: &Typed, limit: usize) -> rusqlite::Result<Vec<String>> {
        let mut ids = Vec::new();
        let begins = "AND json_extract(CAST(facts AS TEXT), '$.name') >= ?1
                      AND json_extract(CAST(facts AS TEXT), '$.name') < ?1 || char(1114111)";
        for (among, only) in [(begins, false), ("AND ?1 IS NOT NULL", true)] {
            // The second one reads all names.
            if ids.len() >= limit {
                break;
            }
            // What a supplement says of somebody counts; an entry without facts was taken away.
            let sql = format!(
                "SELECT id, json_extract(CAST(facts AS TEXT), '$.name') FROM {list}.entry
                 WHERE id NOT IN (SELECT id FROM {list}.supplement) {among}
                 UNION ALL SELECT id, json_extract(CAST(facts AS TEXT), '$.name') FROM {list}.supplement
                 WHERE facts IS NOT NULL {among}"
            );
            let mut statement = self.of(list).prepare_cached(&sql)?;
            let mut rows = statement.query([typed])?;
            while let Some(row) = rows.next()?.filter(|_| ids.len() < limit) {
                let (id, name) = (row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?);
                let is_meant = !only || name.is_some_and(|name| meant.means(&name));
                if is_meant && !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
        Ok(ids)
    }
}

/// Whether an error at the opening says that a list must be built anew: its file is damaged, not what it
/// should be, or gone.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    let gone = matches!(error, rusqlite::Error::InvalidPath(_) | rusqlite::Error::QueryReturnedNoRows);
    // A table that is not there.
    gone || is_corrupt(error) || error.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown)
}

/// What an edition says of itself. `schema` is its name in the connection.
pub(super) fn meta(connection: &Connection, schema: &str) -> rusqlite::Result<InUse> {
    let sql = format!(
        "SELECT version, issued_ms, entries + coalesce(more, 0), single, signer FROM {schema}.meta,
         (SELECT count(*) AS single,
            sum(CASE WHEN s.facts IS NULL THEN -(e.id IS NOT NULL) ELSE e.id IS NULL END) AS more
          FROM {schema}.supplement s LEFT JOIN {schema}.entry e ON e.id = s.id)"
    );
    let name = schema.to_owned();
    connection.query_row(&sql, [], |r| {
        Ok(InUse {
            name,
            version: r.get::<_, i64>(0)?.cast_unsigned(),
            issued_ms: r.get(1)?,
            entries: u64::try_from(r.get::<_, i64>(2)?).unwrap_or(0),
            single: r.get::<_, i64>(3)?.cast_unsigned(),
            signer: r.get(4)?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::edition::{self, Order};

    fn take(data: &Path, name: &str, version: u64) {
        let (issued_ms, base, sha256) = (version.cast_signed() * 1_000, None, None);
        let order =
            Order { data, name, version, issued_ms, base, sha256, signer: "", canary: &[], check: None };
        edition::build(&order, "{\"id\":\"a\",\"facts\":{}}\n".as_bytes(), &mut |_| true).unwrap();
    }

    #[test]
    fn a_list_that_cannot_be_taken_over_answers_nobody_and_keeps_no_other_away() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        let [first, .., last] = LISTS;
        take(data, first, 1);
        take(data, last, 1);
        let lists = Lists::open(data).unwrap();
        // A look that has not ended keeps the first list from being taken off.
        let mut look = lists.of(first).prepare(&format!("SELECT id FROM {first}.entry")).unwrap();
        let mut rows = look.query([]).unwrap();
        assert!(rows.next().unwrap().is_some());
        take(data, first, 2);
        take(data, last, 2);
        lists.refresh(None);
        assert!(lists.listed(first, "a").is_err(), "not the same as not to be listed");
        assert!(lists.listed(last, "a").unwrap());
    }

    #[test]
    fn every_list_that_there_can_be_answers_at_once_and_in_one_view() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        LISTS.into_iter().for_each(|name| take(data, name, 1));
        let lists = Lists::open(data).unwrap();
        lists.enter(0).unwrap();
        for name in LISTS {
            assert!(lists.listed(name, "a").unwrap() && !lists.listed(name, "b").unwrap(), "{name}");
        }
        lists.leave().unwrap();
        assert!(lists.is_outside());
    }
}
