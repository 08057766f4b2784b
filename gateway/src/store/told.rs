//! What a hospital's system tells of patients: words that stand above the editions of `patients` and `roster`, in the
//! files of these editions, so that they are kept, found and given up as lists are ([`kakou_core::hl7::word`]).
//!
//! A word is one row of `supplement`. Its facts are the whole entry as lanes read it, and in it the word by itself: when
//! the edition changes below it, the entry is made anew. Two do not write at once: whoever tells, and whoever puts an
//! edition in the place of another, holds the folder of the lists.

use super::floors::{self, folder};
use super::lists::{Pointer, facts, is_damage, meta, open_edition};
use super::{StoreError, at, io_at};
use kakou_core::hl7::Message;
use kakou_core::hl7::word::{self, LISTS, Standing, Told, Word};
use kakou_core::pass::id::key;
use kakou_link::durable;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// A delta of a list that is being taken holds its file for so long at most before somebody is told to send again.
const BUSY: Duration = Duration::from_secs(4);

/// The folder of the lists, held by whoever changes which edition is in use, or what stands above it.
pub(super) struct Held {
    #[expect(dead_code, reason = "it is held as long as this lives")]
    folder: File,
}

impl Held {
    /// Waits until nobody else holds it.
    pub(super) fn new(data: &Path) -> Result<Self, StoreError> {
        let path = folder(data);
        let open = || {
            durable::make_folder(&path)?;
            let folder = File::open(&path)?;
            folder.lock()?;
            Ok(folder)
        };
        open().map(|folder| Self { folder }).map_err(io_at(&path))
    }
}

/// Entries of a list that other gateways may tell of; beyond it, what they say of further ones is not kept.
const HEARD: i64 = 50_000;

/// What came of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It counts: these words stand above the lists.
    Words(Vec<(&'static str, Word)>),
    /// A newer message, or a newer edition, has spoken.
    Late,
    /// There is no list of patients yet.
    NoList,
}

/// Takes a message; what follows from it is durable when this returns.
pub fn take(data: &Path, message: &Message, received_ms: i64) -> Result<Taken, StoreError> {
    let _held = Held::new(data)?;
    let [patients, roster] = LISTS.map(|list| standing(data, list, &message.patient));
    match word::changes(message, received_ms, patients?.as_ref(), roster?.as_ref()) {
        Told::Words(words) => {
            // Whoever is admitted has an entry in the roster then.
            for (list, word) in words.iter().rev() {
                put(data, list, &message.patient, word)?;
            }
            // The lanes look at the lists anew.
            Pointer::read(data)?.write(data)?;
            Ok(Taken::Words(words))
        }
        Told::Late => Ok(Taken::Late),
        Told::NoList => Ok(Taken::NoList),
    }
}

/// Takes a word that another gateway of the site has; whether it is news.
pub fn hear(data: &Path, list: &str, id: &str, word: &Word) -> Result<bool, StoreError> {
    let _held = Held::new(data)?;
    let Some(known) = standing(data, list, id)? else { return Ok(false) };
    let older = known.word.as_ref().is_some_and(|known| known.order() >= word.order());
    if older || word.span.end_ms < known.issued_ms {
        return Ok(false);
    }
    let count = |connection: &Connection| {
        connection.query_row("SELECT count(*) FROM supplement", [], |r| r.get::<_, i64>(0))
    };
    let full = in_file(data, list, OpenFlags::SQLITE_OPEN_READ_WRITE, count)?.is_some_and(|n| n >= HEARD);
    if known.word.is_none() && full {
        log::error!(
            "list {list}: other gateways tell of more than {HEARD} entries: further ones are not kept"
        );
        return Ok(false);
    }
    put(data, list, id, word)?;
    Pointer::read(data)?.write(data)?;
    Ok(true)
}

/// What a list has of an entry; none where there is no list.
pub fn standing(data: &Path, list: &str, id: &str) -> Result<Option<Standing>, StoreError> {
    in_file(data, list, OpenFlags::SQLITE_OPEN_READ_WRITE, |connection| {
        let id = key(list, id);
        let of = |table: &str| -> rusqlite::Result<Option<Vec<u8>>> {
            let sql = format!("SELECT facts FROM {table} WHERE id = ?1");
            Ok(connection.query_row(&sql, [&id], |r| r.get(0)).optional()?.flatten())
        };
        let read = |json: Option<Vec<u8>>| json.and_then(|json| facts(&json).ok());
        let (entry, above) = (read(of("entry")?), read(of("supplement")?));
        let word = above.as_ref().and_then(Word::of);
        Ok(Standing::new(meta(connection, "main")?.issued_ms, entry.as_ref(), word))
    })
}

/// Puts a word above a list. The caller lets the lanes know.
pub fn put(data: &Path, list: &str, id: &str, word: &Word) -> Result<(), StoreError> {
    let put = in_file(data, list, OpenFlags::SQLITE_OPEN_READ_WRITE, |connection| {
        let id = key(list, id);
        let sql = "INSERT INTO supplement (id, issued_ms, facts) VALUES (?1, ?2, ?3)
                   ON CONFLICT (id) DO UPDATE SET issued_ms = ?2, facts = ?3";
        let entry = above(connection, &id, word)?;
        connection.execute(sql, params![id, word.span.end_ms, entry]).map(drop)
    });
    put.map(drop)
}

/// All words of a list, each with the key of its entry.
pub fn all(data: &Path, list: &str) -> Result<Vec<(String, Word)>, StoreError> {
    let all = in_file(data, list, OpenFlags::SQLITE_OPEN_READ_WRITE, words)?;
    Ok(all.unwrap_or_default())
}

/// The edition has changed below the words of a list: their entries are made anew. Runs in the caller's transaction, if
/// there is one.
pub(super) fn rebase(connection: &Connection, list: &str) -> rusqlite::Result<()> {
    if !LISTS.contains(&list) {
        return Ok(());
    }
    for (id, word) in words(connection)? {
        let entry = above(connection, &id, &word)?;
        connection.execute("UPDATE supplement SET facts = ?2 WHERE id = ?1", params![id, entry])?;
    }
    Ok(())
}

fn words(connection: &Connection) -> rusqlite::Result<Vec<(String, Word)>> {
    let mut select =
        connection.prepare("SELECT id, facts FROM supplement WHERE facts IS NOT NULL ORDER BY issued_ms")?;
    let rows = select.query_map([], |r| Ok((r.get::<_, String>(0)?, r.get::<_, Vec<u8>>(1)?)))?;
    let mut words = Vec::new();
    for row in rows {
        let (id, json) = row?;
        words.extend(facts(&json).ok().as_ref().and_then(Word::of).map(|word| (id, word)));
    }
    Ok(words)
}

/// The entry as lanes read it, as it is written.
fn above(connection: &Connection, id: &str, word: &Word) -> rusqlite::Result<Vec<u8>> {
    let sql = "SELECT facts FROM entry WHERE id = ?1";
    let entry: Option<Vec<u8>> = connection.query_row(sql, [id], |r| r.get(0)).optional()?;
    let entry = entry.and_then(|json| facts(&json).ok());
    Ok(serde_json::to_vec(&word.above(entry.as_ref())).expect("JSON stays JSON"))
}

/// Works in the file of the edition in use; none where there is no list.
fn in_file<T>(
    data: &Path,
    list: &str,
    flags: OpenFlags,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> Result<Option<T>, StoreError> {
    let pointer = Pointer::read(data)?;
    let Some(file) = pointer.0.get(list) else { return Ok(None) };
    let path = folder(data).join(file);
    let done = open_edition(&path, flags).and_then(|connection| {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        work(&connection)
    });
    done.map(Some).map_err(|e| {
        if is_damage(&e) {
            floors::mark(data, list, file);
        }
        at(&path)(e)
    })
}

#[cfg(test)]
mod tests;
