//! What the gateway keeps: the journal (events, lane states, uses of passes) and the lists, both
//! SQLite in WAL mode with `synchronous=FULL`, and photographs as files.
//!
//! One connection writes the journal: the engine's. Everyone else reads.

pub mod at_rest;
pub mod catch_up;
pub mod chain;
pub mod contacts;
pub mod disk;
pub mod edition;
pub mod floors;
pub mod hours;
pub mod journal;
pub mod kept;
mod kept_log;
pub mod lists;
pub mod outbox;
pub mod photos;
pub mod policy;
pub mod quarantine;
pub mod report;
pub mod retention;
pub mod revoke;
pub mod salvage;
mod search;
pub mod seen;
pub mod shift;
pub mod time;
pub mod told;
pub mod trace;

use rusqlite::{Connection, OptionalExtension};
use std::path::PathBuf;

/// Why the store does not work.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says so.
    #[error("{path}: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rusqlite::Error,
    },
    /// The file system says so.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A list file is not what it should be.
    #[error("{path}: {why}")]
    List {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The journal was written by a newer version.
    #[error(
        "{0}: this journal has format {1}, this version knows up to {2}: install the newer version again"
    )]
    Newer(PathBuf, i64, i64),
}

/// The kind of event that a verdict makes, with or without what surrounds it in a CloudEvent.
const TRANSACTION: &str = "transaction";

/// Whether a database has a table.
pub(crate) fn has_table(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    connection.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?.exists([table])
}

/// Whether a table has a column.
pub(crate) fn has_column(connection: &Connection, table: &str, column: &str) -> rusqlite::Result<bool> {
    connection.prepare("SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2")?.exists([table, column])
}

/// A number that the journal keeps under a name.
fn number(journal: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT value FROM meta WHERE key = ?1";
    journal.prepare_cached(sql)?.query_row([name], |r| r.get(0)).optional()
}

/// How many rows a statement gives at the most, as SQLite takes it.
pub(crate) fn bound(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// Names the file of an error of SQLite.
pub(crate) fn at(path: &std::path::Path) -> impl Fn(rusqlite::Error) -> StoreError + '_ {
    move |source| StoreError::Sqlite { path: path.to_path_buf(), source }
}

/// Names the file of an error of the file system.
pub fn io_at(path: &std::path::Path) -> impl Fn(std::io::Error) -> StoreError + '_ {
    move |source| StoreError::Io { path: path.to_path_buf(), source }
}
