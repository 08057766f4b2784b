//! The local lists: residents' status, opaque passes, revocations, holds and what else a feed brings.
//!
//! Each list is a file of its own, made by [`super::edition`]; a small file beside them says which
//! edition of each is in use. A new edition is built aside and put in its place by renaming that
//! file, so that a list of a million entries changes between two inputs.

use super::edition::KEYED;
use super::search::Typed;
use super::{StoreError, at, io_at};
use kakou_core::pass::id::key;
use kakou_core::records::LISTS;
use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A list in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// Its name.
    pub name: String,
    /// Its edition.
    pub version: u64,
    /// When the issuer made it.
    pub issued_ms: i64,
    /// How many entries.
    pub entries: u64,
    /// Who signed it; empty for a file that nobody signed.
    pub signer: String,
}

/// Which file holds the edition of each list that is in use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pointer(pub BTreeMap<String, String>);

/// The folder of editions.
pub fn folder(data: &Path) -> PathBuf {
    data.join("editions")
}

impl Pointer {
    fn path(data: &Path) -> PathBuf {
        folder(data).join("current.json")
    }
    /// As it stands; empty before the first list.
    pub fn read(data: &Path) -> Result<Self, StoreError> {
        let path = Self::path(data);
        match std::fs::read(&path) {
            // The next edition of each list puts it right; until then there are no lists.
            Ok(json) => Ok(serde_json::from_slice(&json).unwrap_or_else(|e| {
                log::error!("{}: {e}; no list is in use", path.display());
                Self::default()
            })),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(io_at(&path)(e)),
        }
    }
    /// Puts it in place, durably.
    pub fn write(&self, data: &Path) -> Result<(), StoreError> {
        let path = Self::path(data);
        let json = serde_json::to_vec(self).expect("a pointer is strings");
        super::durable::write(&path, &json).map_err(io_at(&path))
    }
}

/// The text of a profile in an edition of the list `policy`, which is attached under a name.
pub fn profile(connection: &Connection, schema: &str, id: &str) -> rusqlite::Result<Option<String>> {
    let sql = format!("SELECT facts FROM {schema}.entry WHERE id = ?1");
    let facts: Option<Vec<u8>> = connection.query_row(&sql, [id], |r| r.get(0)).optional()?;
    let facts = facts.and_then(|f| serde_json::from_slice::<Map<String, Value>>(&f).ok());
    Ok(facts.and_then(|f| Some(f.get("toml")?.as_str()?.to_owned())))
}

/// The text of a profile in the policy in use.
pub fn policy(data: &Path, id: &str) -> Option<String> {
    let file = Pointer::read(data).ok()?.0.get("policy")?.clone();
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(folder(data).join(file), flags).ok()?;
    profile(&connection, "main", id).ok().flatten()
}

/// Which pointer was read: its inode changes with each that is put in place.
type Stamp = Option<(u64, i64)>;

/// The lists.
pub struct Lists {
    data: PathBuf,
    connection: Connection,
    seen: RefCell<(Stamp, BTreeMap<String, InUse>)>,
}

impl Lists {
    /// In a data folder.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let path = folder(data);
        std::fs::create_dir_all(&path).map_err(io_at(&path))?;
        let connection = Connection::open_in_memory().map_err(at(&path))?;
        connection.busy_timeout(std::time::Duration::from_secs(2)).map_err(at(&path))?;
        let lists = Self { data: data.to_path_buf(), connection, seen: RefCell::default() };
        lists.refresh().map_err(at(&path))?;
        Ok(lists)
    }

    /// Takes over what the pointer says, if it has changed.
    fn refresh(&self) -> rusqlite::Result<()> {
        let stamp = std::fs::metadata(Pointer::path(&self.data)).ok().map(|m| (m.ino(), m.mtime_nsec()));
        if stamp == self.seen.borrow().0 {
            return Ok(());
        }
        let pointer =
            Pointer::read(&self.data).map_err(|e| rusqlite::Error::InvalidParameterName(e.to_string()))?;
        self.connection.flush_prepared_statement_cache();
        self.seen.take();
        for name in LISTS {
            self.detach(name)?;
        }
        let mut in_use = BTreeMap::new();
        for (name, file) in &pointer.0 {
            // Names stand in SQL below: only those of our own list of names do.
            let Some(name) = LISTS.iter().find(|n| *n == name) else { continue };
            let path = folder(&self.data).join(file);
            match self.attach(name, &path) {
                Ok(list) => drop(in_use.insert((*name).to_owned(), list)),
                Err(e) => {
                    // As if it had never come: what needs it says so, until the next edition.
                    log::error!("list {name}: {}: {e}; it is not in use", path.display());
                    self.detach(name)?;
                }
            }
        }
        *self.seen.borrow_mut() = (stamp, in_use);
        Ok(())
    }

    fn attach(&self, name: &str, path: &Path) -> rusqlite::Result<InUse> {
        if !path.exists() {
            // SQLite would make an empty one.
            return Err(rusqlite::Error::InvalidPath(path.to_path_buf()));
        }
        self.connection.execute(&format!("ATTACH ?1 AS {name}"), [path.to_string_lossy()])?;
        self.connection.execute_batch(&format!("PRAGMA {name}.cache_size = -1024"))?;
        let keyed: i64 = self.connection.pragma_query_value(Some(name), "user_version", |r| r.get(0))?;
        if keyed != KEYED {
            // Its ids are not in the form in which they are asked for: a hold in it would hold nobody.
            return Err(rusqlite::Error::InvalidPath(path.to_path_buf()));
        }
        meta(&self.connection, name)
    }

    fn detach(&self, name: &str) -> rusqlite::Result<()> {
        let attached =
            self.connection.prepare("SELECT 1 FROM pragma_database_list WHERE name = ?1")?.exists([name])?;
        if attached { self.connection.execute_batch(&format!("DETACH {name}")) } else { Ok(()) }
    }

    /// The edition in use.
    pub fn in_use(&self, name: &str) -> Result<Option<InUse>, StoreError> {
        if self.connection.is_autocommit() {
            self.refresh().map_err(at(&self.data))?;
        }
        Ok(self.seen.borrow().1.get(name).cloned())
    }

    /// When the issuer made the edition in use, UTC milliseconds.
    pub fn issued_ms(&self, name: &str) -> Option<i64> {
        self.seen.borrow().1.get(name).map(|l| l.issued_ms)
    }

    /// Begins a view that stays the same until [`Lists::leave`].
    pub fn enter(&self) -> rusqlite::Result<()> {
        self.refresh()?;
        self.connection.prepare_cached("BEGIN")?.execute([]).map(drop)
    }
    /// Ends the view, so that a newer edition is seen.
    pub fn leave(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    /// One entry: of a supplement that is newer than the edition, else of the edition.
    pub fn entry(&self, list: &str, id: &str) -> rusqlite::Result<Option<Map<String, Value>>> {
        let Some(list) = LISTS.iter().find(|n| **n == list).and_then(|n| self.attached(n)) else {
            return Ok(None);
        };
        let sql = format!(
            "SELECT facts, 0 FROM {list}.supplement WHERE id = ?1
             UNION ALL SELECT facts, 1 FROM {list}.entry WHERE id = ?1 ORDER BY 2 LIMIT 1"
        );
        let row: Option<Option<Vec<u8>>> =
            self.connection.prepare_cached(&sql)?.query_row([key(list, id)], |r| r.get(0)).optional()?;
        Ok(row.flatten().and_then(|facts| serde_json::from_slice(&facts).ok()))
    }

    fn attached(&self, name: &'static str) -> Option<&'static str> {
        self.seen.borrow().1.contains_key(name).then_some(name)
    }

    /// People in `status` whose name is meant by what was typed, those first whose name begins just so.
    pub fn search(&self, typed: &str, limit: usize) -> rusqlite::Result<Vec<(String, Map<String, Value>)>> {
        let Some(meant) = Typed::new(typed).filter(|_| self.attached("status").is_some()) else {
            return Ok(Vec::new());
        };
        let mut ids = Vec::new();
        let begins = "AND json_extract(CAST(facts AS TEXT), '$.name') >= ?1
                      AND json_extract(CAST(facts AS TEXT), '$.name') < ?1 || char(1114111)";
        for (among, only) in [(begins, false), ("AND ?1 IS NOT NULL", true)] {
            // What a supplement says of somebody counts; an entry without facts was taken away.
            let sql = format!(
                "SELECT id, json_extract(CAST(facts AS TEXT), '$.name') FROM status.entry
                 WHERE id NOT IN (SELECT id FROM status.supplement) {among}
                 UNION ALL SELECT id, json_extract(CAST(facts AS TEXT), '$.name') FROM status.supplement
                 WHERE facts IS NOT NULL {among}"
            );
            let mut statement = self.connection.prepare_cached(&sql)?;
            let mut rows = statement.query([typed])?;
            while let Some(row) = rows.next()?.filter(|_| ids.len() < limit) {
                let (id, name) = (row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?);
                let is_meant = !only || name.is_some_and(|name| meant.means(&name));
                if is_meant && !ids.contains(&id) {
                    ids.push(id);
                }
            }
        }
        let facts = |id: String| Ok(self.entry("status", &id)?.map(|facts| (id, facts)));
        ids.into_iter().map(facts).filter_map(Result::transpose).collect()
    }
}

/// What an edition says of itself. `schema` is its name in the connection.
pub(super) fn meta(connection: &Connection, schema: &str) -> rusqlite::Result<InUse> {
    let sql = format!("SELECT version, issued_ms, entries, signer FROM {schema}.meta");
    let name = schema.to_owned();
    connection.query_row(&sql, [], |r| {
        Ok(InUse {
            name,
            version: r.get::<_, i64>(0)?.cast_unsigned(),
            issued_ms: r.get(1)?,
            entries: r.get::<_, i64>(2)?.cast_unsigned(),
            signer: r.get(3)?,
        })
    })
}
