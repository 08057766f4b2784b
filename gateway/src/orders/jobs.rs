//! Commands that came, and what became of them: kept, so that each is carried out once, whatever
//! comes twice and whenever the daemon ends. One that still counts is never forgotten.

use crate::store::has_column;
use kakou_core::time::WallMs;
use kakou_wire::order::{COUNTS_S, State};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Finished commands that are remembered for those who look; beyond it those go that no longer count.
const KEEP: i64 = 1_000;
/// Commands that the book takes: more than anybody gives within a day, for which one counts at most.
pub const MOST: i64 = 20_000;

/// One command.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// What it asks for.
    pub what: String,
    /// How far it is.
    pub state: State,
    /// What came of it.
    pub detail: Value,
    /// When the state was reached.
    pub at_ms: Option<WallMs>,
    /// The boot in which it began.
    pub boot: String,
    /// Until when it counts, UTC seconds.
    pub expires_s: i64,
}

/// The book of commands.
pub struct Jobs(Mutex<Connection>);

impl Jobs {
    fn book(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Jobs {
    /// In a data folder.
    pub fn open(data: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(data.join("orders.db"))?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS job (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, what TEXT NOT NULL,
               state TEXT NOT NULL, detail TEXT NOT NULL, at_ms INTEGER, boot TEXT NOT NULL);",
        )?;
        // A book of an earlier version: its commands count for as long as one may.
        if !has_column(&connection, "job", "expires_s")? {
            connection.execute_batch(&format!(
                "BEGIN; ALTER TABLE job ADD COLUMN expires_s INTEGER NOT NULL DEFAULT {};
                 UPDATE job SET expires_s = at_ms / 1000 + {} WHERE at_ms IS NOT NULL; COMMIT;",
                i64::MAX,
                COUNTS_S
            ))?;
        }
        Ok(Self(Mutex::new(connection)))
    }

    /// One command.
    pub fn find(&self, id: &str) -> rusqlite::Result<Option<Job>> {
        let sql = "SELECT id, what, state, detail, at_ms, boot, expires_s FROM job WHERE id = ?1";
        self.book().query_row(sql, [id], job).optional()
    }

    /// Keeps a command as it is now.
    pub fn keep(&self, job: &Job) -> rusqlite::Result<()> {
        let sql = "INSERT INTO job (id, what, state, detail, at_ms, boot, expires_s) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
                   ON CONFLICT (id) DO UPDATE SET state = ?3, detail = ?4, at_ms = ?5";
        let detail = job.detail.to_string();
        let row = params![job.id, job.what, job.state.as_str(), detail, job.at_ms, job.boot, job.expires_s];
        self.book().execute(sql, row)?;
        Ok(())
    }

    /// Whether there is room for one more, at a time that is confirmed: what no longer counts makes room.
    pub fn room(&self, now_s: i64) -> rusqlite::Result<bool> {
        let book = self.book();
        let sql = "DELETE FROM job WHERE expires_s < ?1 AND n < (SELECT max(n) FROM job) - ?2";
        book.execute(sql, [now_s, KEEP])?;
        Ok(book.query_row("SELECT count(*) FROM job", [], |r| r.get::<_, i64>(0))? < MOST)
    }

    /// Commands that an earlier run has begun.
    pub fn begun(&self) -> rusqlite::Result<Vec<Job>> {
        let sql = "SELECT id, what, state, detail, at_ms, boot, expires_s FROM job WHERE state IN ('QUEUED', 'IN_PROGRESS')";
        self.book().prepare(sql)?.query_map([], job)?.collect()
    }
}

fn job(r: &rusqlite::Row<'_>) -> rusqlite::Result<Job> {
    let state: String = r.get(2)?;
    let detail: String = r.get(3)?;
    Ok(Job {
        id: r.get(0)?,
        what: r.get(1)?,
        state: serde_json::from_value(json!(state)).unwrap_or(State::Failed),
        detail: serde_json::from_str(&detail).unwrap_or_default(),
        at_ms: r.get(4)?,
        boot: r.get(5)?,
        expires_s: r.get(6)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(n: i64, expires_s: i64) -> Job {
        let (id, what) = (format!("c-{n}"), "open".to_owned());
        Job {
            id,
            what,
            state: State::Succeeded,
            detail: Value::Null,
            at_ms: Some(n),
            boot: "b".into(),
            expires_s,
        }
    }

    #[test]
    fn a_command_that_still_counts_is_never_forgotten_however_many_come_and_whenever_the_daemon_ends() {
        let data = tempfile::tempdir().unwrap();
        let jobs = Jobs::open(data.path()).unwrap();
        jobs.0.lock().unwrap().pragma_update(None, "synchronous", "OFF").unwrap();
        jobs.keep(&done(0, 5_000)).unwrap();
        for n in 1..=3 * KEEP {
            jobs.keep(&done(n, 1_000)).unwrap();
        }
        assert!(jobs.room(4_999).unwrap());
        drop(jobs);
        let jobs = Jobs::open(data.path()).unwrap();
        assert!(jobs.find("c-0").unwrap().is_some(), "it would be carried out again");
        assert!(jobs.find("c-1").unwrap().is_none(), "what no longer counts makes room");
        assert!(jobs.room(5_001).unwrap());
        assert!(jobs.find("c-0").unwrap().is_none());
    }

    #[test]
    fn a_book_of_an_earlier_version_is_taken_over() {
        let data = tempfile::tempdir().unwrap();
        let old = Connection::open(data.path().join("orders.db")).unwrap();
        old.execute_batch(
            "CREATE TABLE job (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, what TEXT NOT NULL,
               state TEXT NOT NULL, detail TEXT NOT NULL, at_ms INTEGER, boot TEXT NOT NULL);
             INSERT INTO job VALUES (1, 'c-1', 'open', 'SUCCEEDED', 'null', 1000, 'b');",
        )
        .unwrap();
        drop(old);
        let jobs = Jobs::open(data.path()).unwrap();
        let found = jobs.find("c-1").unwrap().unwrap();
        assert_eq!((found.state, found.expires_s), (State::Succeeded, 1 + COUNTS_S));
    }
}
