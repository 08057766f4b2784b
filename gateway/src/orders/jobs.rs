//! Commands that came, and what became of them: kept, so that each is carried out once, whatever
//! comes twice and whenever the daemon ends.

use kakou_core::time::WallMs;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Finished commands that are remembered.
const KEEP: i64 = 1_000;

/// How far a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Stored, not begun.
    Queued,
    /// Begun.
    InProgress,
    /// Done.
    Succeeded,
    /// Begun and not done.
    Failed,
    /// Never begun: not signed for this, not for this gateway, not a command.
    Rejected,
    /// Its time was over before it began.
    TimedOut,
}

impl State {
    /// Whether nothing more will come of it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Rejected | Self::TimedOut)
    }
    fn word(self) -> String {
        json!(self).as_str().unwrap_or_default().to_owned()
    }
}

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
        Ok(Self(Mutex::new(connection)))
    }

    /// One command.
    pub fn find(&self, id: &str) -> rusqlite::Result<Option<Job>> {
        let sql = "SELECT id, what, state, detail, at_ms, boot FROM job WHERE id = ?1";
        self.book().query_row(sql, [id], job).optional()
    }

    /// Keeps a command as it is now.
    pub fn keep(&self, job: &Job) -> rusqlite::Result<()> {
        let sql = "INSERT INTO job (id, what, state, detail, at_ms, boot) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT (id) DO UPDATE SET state = ?3, detail = ?4, at_ms = ?5";
        let detail = job.detail.to_string();
        let book = self.book();
        book.execute(sql, params![job.id, job.what, job.state.word(), detail, job.at_ms, job.boot])?;
        book.execute("DELETE FROM job WHERE n < (SELECT max(n) FROM job) - ?1", [KEEP])?;
        Ok(())
    }

    /// Commands that an earlier run has begun.
    pub fn begun(&self) -> rusqlite::Result<Vec<Job>> {
        let sql =
            "SELECT id, what, state, detail, at_ms, boot FROM job WHERE state IN ('QUEUED', 'IN_PROGRESS')";
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
    })
}
