//! What must outlive a damaged journal: which passes and seals were used up, the time that has passed for
//! certain, the numbers that visits were given.
//!
//! It stands in the journal, and a second time in a file beside it: a line for each, with a checksum, added and
//! synced when the transaction is durable and before anybody acts upon it. When a journal is set aside, the new
//! one begins with what this file says, and with what can still be read of the damaged one. A line that is
//! damaged costs that line alone.

use super::{StoreError, durable, io_at};
use crate::upstream::peers;
use kakou_core::evidence::Hash;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The key of the visit numbers in `meta`.
pub const VISITS: &str = "visits";
/// Characters of a checksum.
const SUM: usize = 16;
/// Lines beside those that count, at which the file is written anew at a start.
const SLACK: usize = 4_096;
/// Facts that wait for a disk that takes nothing; what is beyond it comes with the next start.
const WAITING: usize = 4_096;

/// The use of a pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The pass.
    pub pass: String,
    /// The lane.
    pub lane: String,
    /// The visit.
    pub visit: i64,
    /// When, UTC milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<i64>,
    /// The other gateway that has told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Until when it is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fact {
    /// A pass is used up.
    Pass(Use),
    /// A seal number is used, in a visit.
    Seal(String, i64),
    /// A confirmed time, UTC milliseconds.
    Time(i64),
    /// Numbers of visits up to here may have been given.
    Visits(u64),
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Uses by pass.
    pub passes: BTreeMap<String, Use>,
    /// Visits by seal number.
    pub seals: BTreeMap<String, i64>,
    /// The last confirmed time that was kept.
    pub time_ms: Option<i64>,
    /// Numbers of visits that may have been given.
    pub visits: u64,
}

impl State {
    /// Takes one of it.
    pub fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Pass(used) => drop(self.passes.insert(used.pass.clone(), used)),
            Fact::Seal(number, visit) => drop(self.seals.insert(number, visit)),
            // The last one: one that was too high is taken back.
            Fact::Time(at_ms) => self.time_ms = Some(at_ms),
            Fact::Visits(visits) => self.visits = self.visits.max(visits),
        }
    }

    /// Lets go of uses that were kept for long enough, by the last confirmed time.
    pub fn forget(&mut self) {
        let Some(now_ms) = self.time_ms else { return };
        self.passes.retain(|_, used| used.until_ms.is_none_or(|until_ms| until_ms >= now_ms));
    }

    /// Each of it.
    pub fn facts(&self) -> impl Iterator<Item = Fact> {
        let passes = self.passes.values().cloned().map(Fact::Pass);
        let seals = self.seals.iter().map(|(number, visit)| Fact::Seal(number.clone(), *visit));
        let visits = (self.visits > 0).then_some(Fact::Visits(self.visits));
        passes.chain(seals).chain(self.time_ms.map(Fact::Time)).chain(visits)
    }

    /// Takes what can be read of a journal: from each table row by row, from both ends, since a damaged page
    /// ends the reading from one side.
    pub fn read(&mut self, journal: &Connection) {
        let (mut passes, mut seals) = (Vec::new(), Vec::new());
        let knows = "SELECT 1 FROM pragma_table_info('redemption') WHERE name = 'until_ms'";
        let knows = journal.prepare(knows).and_then(|mut s| s.exists([])).unwrap_or(false);
        let until = if knows { "until_ms" } else { "NULL" };
        let uses = format!("SELECT pass_id, lane, visit, at_ms, gateway, {until} FROM redemption");
        rows(journal, &uses, "pass_id", |r| {
            passes.push(used(r)?);
            Ok(())
        });
        rows(journal, "SELECT number, visit FROM seal", "number", |r| {
            seals.push(Fact::Seal(r.get(0)?, r.get(1)?));
            Ok(())
        });
        passes.into_iter().map(Fact::Pass).chain(seals).for_each(|fact| self.take(fact));
        let number = |key: &str| -> rusqlite::Result<Option<i64>> {
            journal.query_row("SELECT value FROM meta WHERE key = ?1", [key], |r| r.get(0)).optional()
        };
        if let Ok(Some(at_ms)) = number(super::time::FLOOR) {
            self.take(Fact::Time(at_ms));
        }
        if let Ok(Some(visits)) = number(VISITS) {
            self.take(Fact::Visits(visits.cast_unsigned()));
        }
    }

    /// Writes it into a new journal. The other gateways of the site hear of own uses again.
    pub fn write(&self, journal: &Connection) -> rusqlite::Result<()> {
        let sql = "INSERT OR IGNORE INTO redemption (pass_id, lane, visit, at_ms, gateway, told, until_ms)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?5 IS NOT NULL, ?6)";
        let mut put = journal.prepare(sql)?;
        for u in self.passes.values() {
            let until_ms = u.until_ms.or_else(|| peers::own_until(None, u.at_ms));
            put.execute(params![u.pass, u.lane, u.visit, u.at_ms, u.gateway, until_ms])?;
        }
        let mut put = journal.prepare("INSERT OR IGNORE INTO seal (number, visit) VALUES (?1, ?2)")?;
        for (number, visit) in &self.seals {
            put.execute(params![number, visit])?;
        }
        if let Some(at_ms) = self.time_ms {
            super::time::keep_floor(journal, at_ms)?;
        }
        keep_visits(journal, self.visits)
    }
}

/// Keeps how many numbers of visits may have been given.
pub fn keep_visits(journal: &Connection, visits: u64) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = max(value, ?2)";
    journal.prepare_cached(sql)?.execute(params![VISITS, visits.cast_signed()]).map(drop)
}

fn used(r: &Row<'_>) -> rusqlite::Result<Use> {
    Ok(Use {
        pass: r.get(0)?,
        lane: r.get(1)?,
        visit: r.get(2)?,
        at_ms: r.get(3)?,
        gateway: r.get(4)?,
        until_ms: r.get(5)?,
    })
}

/// The use of a pass as it stands in a journal.
pub fn use_of(journal: &Connection, pass: &str) -> rusqlite::Result<Option<Use>> {
    let sql = "SELECT pass_id, lane, visit, at_ms, gateway, until_ms FROM redemption WHERE pass_id = ?1";
    journal.prepare_cached(sql)?.query_row([pass], used).optional()
}

fn rows(journal: &Connection, sql: &str, key: &str, mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>) {
    for order in ["ASC", "DESC"] {
        let mut read = || -> rusqlite::Result<()> {
            let mut select = journal.prepare(&format!("{sql} ORDER BY {key} {order}"))?;
            let mut rows = select.query([])?;
            while let Some(r) = rows.next()? {
                take(r)?;
            }
            Ok(())
        };
        match read() {
            Ok(()) => return,
            Err(e) => log::warn!("of the damaged journal not all of `{sql}` can be read: {e}"),
        }
    }
}

/// What can be read of a journal that was set aside.
pub fn salvage(file: &Path, state: &mut State) {
    match Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY) {
        Ok(damaged) => state.read(&damaged),
        Err(e) => log::warn!("{}: {e}", file.display()),
    }
}

/// The file.
pub struct Kept {
    path: PathBuf,
    waiting: Vec<Fact>,
}

fn line(fact: &Fact) -> String {
    let json = serde_json::to_string(fact).expect("strings and numbers");
    format!("{} {json}\n", &Hash::of(json.as_bytes()).hex()[..SUM])
}

fn parse(line: &[u8]) -> Option<Fact> {
    let (sum, json) = (line.get(..SUM)?, line.get(SUM + 1..)?);
    (Hash::of(json).hex().as_bytes().get(..SUM)? == sum).then(|| serde_json::from_slice(json).ok()).flatten()
}

impl Kept {
    /// Reads the file of a data folder; says as well whether it is as it should be.
    pub fn open(data: &Path) -> Result<(Self, State, bool), StoreError> {
        let path = data.join("kept.log");
        let (mut state, mut lines, mut good) = (State::default(), 0, true);
        match std::fs::read(&path) {
            Ok(bytes) => {
                for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                    lines += 1;
                    match parse(line) {
                        Some(fact) => state.take(fact),
                        None => good = false,
                    }
                }
                good &= bytes.is_empty() || bytes.ends_with(b"\n");
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(io_at(&path)(e)),
        }
        good &= lines <= state.facts().count() + SLACK;
        Ok((Self { path, waiting: Vec::new() }, state, good))
    }

    /// Writes the file anew.
    pub fn rewrite(&self, state: &State) -> Result<(), StoreError> {
        let text: String = state.facts().map(|fact| line(&fact)).collect();
        durable::write_secret(&self.path, text.as_bytes()).map_err(io_at(&self.path))
    }

    /// Something is written in the transaction that is open.
    pub fn note(&mut self, fact: Fact) {
        if self.waiting.len() < WAITING {
            self.waiting.push(fact);
        }
    }

    /// The transaction is durable. What cannot be written here stays in the journal, and comes with the next
    /// transaction.
    pub fn commit(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        match self.append() {
            Ok(()) => self.waiting.clear(),
            Err(e) => log::warn!("{}: {e}; it is tried again", self.path.display()),
        }
    }

    fn append(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        let before = file.metadata()?.len();
        let text: String = self.waiting.iter().map(line).collect();
        file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).inspect_err(|_| cut(&file, before))
    }

    /// The transaction did not happen.
    pub fn roll_back(&mut self, kept: usize) {
        self.waiting.truncate(kept);
    }

    /// How much waits.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

/// Half a line would spoil the next.
fn cut(file: &File, size: u64) {
    if let Err(e) = file.set_len(size) {
        log::warn!("half a line stays: {e}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_line_costs_that_line_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (mut kept, ..) = Kept::open(folder.path()).unwrap();
        for n in 0..50 {
            kept.note(Fact::Seal(format!("LN{n}"), n));
            kept.commit();
        }
        let path = folder.path().join("kept.log");
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(5).position(|w| w == b"LN20\"").unwrap();
        bytes[at] = b'X';
        bytes.truncate(bytes.len() - 3);
        std::fs::write(&path, &bytes).unwrap();
        let (kept, state, good) = Kept::open(folder.path()).unwrap();
        assert!(!good);
        assert_eq!(state.seals.len(), 48, "the one that was changed and the one that was cut");
        kept.rewrite(&state).unwrap();
        let (_, again, good) = Kept::open(folder.path()).unwrap();
        assert_eq!((again, good), (state, true));
    }

    #[test]
    fn what_was_rolled_back_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (mut kept, ..) = Kept::open(folder.path()).unwrap();
        kept.note(Fact::Time(5));
        let before = kept.waiting();
        kept.note(Fact::Seal("LN1".into(), 1));
        kept.roll_back(before);
        kept.commit();
        let (_, state, _) = Kept::open(folder.path()).unwrap();
        assert_eq!((state.time_ms, state.seals.len()), (Some(5), 0));
    }
}
