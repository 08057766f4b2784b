//! What the list `policy` holds: the profiles of lanes, and the other files of a pack.

use super::StoreError;
use super::floors::folder;
use super::lists::{Entries, Pointer, facts, open_edition};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::path::{Path, PathBuf};

/// The file of the edition in use; none before the first.
fn in_use(data: &Path) -> Result<Option<PathBuf>, StoreError> {
    Ok(Pointer::read(data)?.0.get("policy").map(|file| folder(data).join(file)))
}

fn open(file: &Path) -> rusqlite::Result<Connection> {
    open_edition(file, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// The text that an entry has in a field. An entry that cannot be read is an error, and not the same as none.
fn text(connection: &Connection, schema: &str, id: &str, field: &str) -> rusqlite::Result<Option<String>> {
    let sql = format!("SELECT facts FROM {schema}.entry WHERE id = ?1");
    let json: Option<Vec<u8>> = connection.query_row(&sql, [id], |r| r.get(0)).optional()?;
    let Some(json) = json else { return Ok(None) };
    let text = facts(&json).ok().and_then(|f| Some(f.get(field)?.as_str()?.to_owned()));
    let unreadable = || format!("the entry `{id}` has no text as `{field}` that can be read");
    text.map(Some).ok_or_else(|| rusqlite::Error::ToSqlConversionFailure(unreadable().into()))
}

/// The text of a profile in an edition, which is attached under a name.
pub fn profile_in(connection: &Connection, schema: &str, id: &str) -> rusqlite::Result<Option<String>> {
    text(connection, schema, id, "toml")
}

/// The text of a profile in the policy in use.
pub fn profile(data: &Path, id: &str) -> Option<String> {
    let file = in_use(data).ok()??;
    let found = open(&file).and_then(|connection| profile_in(&connection, "main", id));
    let told = |e: &rusqlite::Error| {
        log::error!(
            "list policy: {}: {e}; a shipped profile of this name counts until it was built anew",
            file.display()
        );
    };
    found.inspect_err(told).ok().flatten()
}

/// A file of the policy in use that is no profile, by its path in the pack.
pub fn file(data: &Path, name: &str) -> Option<String> {
    let connection = open(&in_use(data).ok()??).ok()?;
    text(&connection, "main", name, "file").ok()?
}

/// Every entry of the policy in use, by id; none before the first.
pub fn entries(data: &Path) -> Result<Option<Entries>, StoreError> {
    let Some(file) = in_use(data)? else { return Ok(None) };
    let read = || -> rusqlite::Result<Entries> {
        let connection = open(&file)?;
        let mut all = connection.prepare("SELECT id, facts FROM entry")?;
        let rows = all.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (id, json) = row?;
            let facts = facts(&json);
            Ok((id, facts.map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?))
        })
        .collect()
    };
    read().map(Some).map_err(|source| StoreError::Sqlite { path: file.clone(), source })
}
