//! The local lists: residents' status, opaque passes, revocations, holds.
//!
//! A list comes as a JSON file in the folder of lists and is taken over when it is newer than the
//! one in use. An older version is refused: a list cannot be rolled back by copying a file.

use super::{StoreError, at};
use kakou_core::records::LISTS;
use rusqlite::{Connection, OptionalExtension, params};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS list (name TEXT PRIMARY KEY, version INTEGER NOT NULL, issued_ms INTEGER NOT NULL, entries INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entry (list TEXT NOT NULL, id TEXT NOT NULL, facts BLOB NOT NULL, PRIMARY KEY (list, id)) WITHOUT ROWID;
";

/// One edition of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListFile {
    name: String,
    version: u64,
    /// UTC seconds.
    issued: i64,
    /// By id. A revocation has the id `kid:pass id`.
    entries: BTreeMap<String, Map<String, Value>>,
}

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
}

/// The lists.
pub struct Lists {
    connection: Connection,
    path: PathBuf,
    issued: RefCell<Issued>,
}

/// When the lists in use were made, as long as nobody has written to the file.
#[derive(Default)]
struct Issued {
    /// Whether it was compared with the file in this view.
    compared: bool,
    /// SQLite's count of changes by others.
    edition: Option<i64>,
    lists: BTreeMap<String, i64>,
}

impl Lists {
    /// In a data folder.
    pub fn open(data: &Path) -> Result<Self, StoreError> {
        let path = data.join("lists.db");
        let connection = Connection::open(&path).map_err(at(&path))?;
        let set = || -> rusqlite::Result<()> {
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "cache_size", -1024)?;
            connection.busy_timeout(std::time::Duration::from_secs(2))?;
            connection.execute_batch(SCHEMA)
        };
        set().map_err(at(&path))?;
        Ok(Self { connection, path, issued: RefCell::default() })
    }

    /// Takes over a file if it is newer than what is in use; `None` if it is not.
    pub fn take(&mut self, file: &Path) -> Result<Option<InUse>, StoreError> {
        let refuse = |why: String| StoreError::List { path: file.to_path_buf(), why };
        let bytes = std::fs::read(file).map_err(super::io_at(file))?;
        let list: ListFile = serde_json::from_slice(&bytes).map_err(|e| refuse(e.to_string()))?;
        let good = LISTS.contains(&list.name.as_str()) && list.name != "trust";
        if !good {
            return Err(refuse(format!(
                "`{}` is not a list; allowed: status, pass, revocation, hold",
                list.name
            )));
        }
        let now = self.in_use(&list.name)?;
        if let Some(now) = now {
            if now.version > list.version {
                return Err(refuse(format!(
                    "version {} is older than version {} in use",
                    list.version, now.version
                )));
            }
            if now.version == list.version {
                return Ok(None);
            }
        }
        self.replace(&list).map_err(at(&self.path))?;
        *self.issued.get_mut() = Issued::default();
        self.in_use(&list.name)
    }

    fn replace(&mut self, list: &ListFile) -> rusqlite::Result<()> {
        let tx = self.connection.transaction()?;
        tx.execute("DELETE FROM entry WHERE list = ?1", [&list.name])?;
        {
            let mut insert = tx.prepare("INSERT INTO entry (list, id, facts) VALUES (?1, ?2, ?3)")?;
            for (id, facts) in &list.entries {
                let facts = serde_json::to_vec(facts).expect("JSON stays JSON");
                insert.execute(params![list.name, id, facts])?;
            }
        }
        let sql = "INSERT OR REPLACE INTO list (name, version, issued_ms, entries) VALUES (?1, ?2, ?3, ?4)";
        let entries = i64::try_from(list.entries.len()).unwrap_or(i64::MAX);
        tx.execute(sql, params![list.name, list.version.cast_signed(), list.issued * 1000, entries])?;
        tx.commit()
    }

    /// The edition in use.
    pub fn in_use(&self, name: &str) -> Result<Option<InUse>, StoreError> {
        let sql = "SELECT version, issued_ms, entries FROM list WHERE name = ?1";
        let get = || {
            self.connection.prepare_cached(sql)?.query_row([name], |r| {
                Ok(InUse {
                    name: name.to_owned(),
                    version: r.get::<_, i64>(0)?.cast_unsigned(),
                    issued_ms: r.get(1)?,
                    entries: r.get::<_, i64>(2)?.cast_unsigned(),
                })
            })
        };
        get().optional().map_err(at(&self.path))
    }

    /// When the issuer made the edition in use, UTC milliseconds.
    pub fn issued_ms(&self, name: &str) -> rusqlite::Result<Option<i64>> {
        let mut issued = self.issued.borrow_mut();
        if !issued.compared {
            let sql = "PRAGMA data_version";
            let edition = self.connection.prepare_cached(sql)?.query_row([], |r| r.get::<_, i64>(0))?;
            if issued.edition != Some(edition) {
                let mut select = self.connection.prepare_cached("SELECT name, issued_ms FROM list")?;
                issued.lists =
                    select.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<Result<_, _>>()?;
                issued.edition = Some(edition);
            }
            issued.compared = true;
        }
        Ok(issued.lists.get(name).copied())
    }

    /// Begins a view that stays the same until [`Lists::leave`]: all lookups of a batch share its locks.
    pub fn enter(&self) -> rusqlite::Result<()> {
        self.issued.borrow_mut().compared = false;
        self.connection.prepare_cached("BEGIN")?.execute([]).map(drop)
    }
    /// Ends the view, so that a newer edition is seen.
    pub fn leave(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.prepare_cached("COMMIT")?.execute([]).map(drop)
    }

    /// One entry.
    pub fn entry(&self, list: &str, id: &str) -> rusqlite::Result<Option<Map<String, Value>>> {
        let sql = "SELECT facts FROM entry WHERE list = ?1 AND id = ?2";
        let row: Option<Vec<u8>> =
            self.connection.prepare_cached(sql)?.query_row([list, id], |r| r.get(0)).optional()?;
        Ok(row.and_then(|facts| serde_json::from_slice(&facts).ok()))
    }

    /// Entries of `status` whose name begins so: for a person without a card.
    pub fn search(&self, name: &str, limit: usize) -> rusqlite::Result<Vec<(String, Map<String, Value>)>> {
        let sql = "SELECT id, facts FROM entry WHERE list = 'status'
                   AND substr(json_extract(CAST(facts AS TEXT), '$.name'), 1, length(?1)) = ?1 LIMIT ?2";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.connection
            .prepare_cached(sql)?
            .query_map(params![name, limit], |r| Ok((r.get::<_, String>(0)?, r.get::<_, Vec<u8>>(1)?)))?
            .map(|row| row.map(|(id, facts)| (id, serde_json::from_slice(&facts).unwrap_or_default())))
            .collect()
    }
}
