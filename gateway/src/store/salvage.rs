//! What must outlive a damaged journal: which passes and seals were used up, what stands in registers, the time that
//! has passed for certain, the numbers that visits were given.
//!
//! It stands in the journal, and a second time in a file beside it ([`super::kept_log`]). A new journal begins
//! with what that file says, and with what can still be read of one that was quarantined. All of it comes row by
//! row, however much it is, and in any order: of two uses of a pass the earlier one counts.

use super::journal::slots;
use super::{has_column, has_table, number};
use crate::upstream::peers;
use kakou_core::pass::id;
use kakou_core::register::Slot;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::Path;

/// The key of the visit numbers in `meta`.
pub const VISITS: &str = "visits";

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
    /// The gateway that has told of it, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teller: Option<String>,
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
    /// A slot of a register, as it was then.
    Slot(Box<Slot>),
}

/// Where the uses of passes stand in a journal, of whatever version.
pub fn uses(journal: &Connection) -> String {
    let column = |name: &'static str| {
        if has_column(journal, "redemption", name).unwrap_or(false) { name } else { "NULL" }
    };
    let (until, teller) = (column("until_ms"), column("teller"));
    format!("SELECT pass_id, lane, visit, at_ms, gateway, {until}, {teller} FROM redemption")
}

/// Where the seals stand.
pub const SEALS: &str = "SELECT number, visit FROM seal";

/// A row of [`slots::SLOTS`].
pub fn slot_in(r: &Row<'_>) -> rusqlite::Result<Fact> {
    slots::slot_in(r).map(|slot| Fact::Slot(Box::new(slot)))
}

/// A row of [`uses`].
pub fn use_in(r: &Row<'_>) -> rusqlite::Result<Fact> {
    used(r).map(Fact::Pass)
}

/// A row of [`SEALS`].
pub fn seal_in(r: &Row<'_>) -> rusqlite::Result<Fact> {
    Ok(Fact::Seal(r.get(0)?, r.get(1)?))
}

/// Puts one of it into a journal, where that does not have it or has a later one; whether it did. The other
/// gateways of the site hear of own uses again.
pub fn put(journal: &Connection, fact: &Fact) -> rusqlite::Result<bool> {
    match fact {
        Fact::Pass(u) => {
            let pass = normal(&u.pass);
            let sql = "INSERT INTO redemption (pass_id, lane, visit, at_ms, gateway, told, until_ms, teller)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?5 IS NOT NULL, ?6, coalesce(?8, ?5))
                       ON CONFLICT (pass_id) DO UPDATE SET lane = ?2, visit = ?3, at_ms = ?4, gateway = ?5,
                         told = ?5 IS NOT NULL, until_ms = max(until_ms, ?6)
                         WHERE ?4 < coalesce(at_ms, ?7)";
            let until_ms = u.until_ms.or_else(|| peers::own_until(None, u.at_ms));
            let row = params![pass, u.lane, u.visit, u.at_ms, u.gateway, until_ms, i64::MAX, u.teller];
            Ok(journal.prepare_cached(sql)?.execute(row)? > 0)
        }
        Fact::Seal(number, visit) => {
            let sql = "INSERT OR IGNORE INTO seal (number, visit) VALUES (?1, ?2)";
            Ok(journal.prepare_cached(sql)?.execute(params![number, visit])? > 0)
        }
        // The journal's own counts: it may have been taken back.
        Fact::Time(at_ms) => match super::time::floor(journal)? {
            None => super::time::keep_floor(journal, *at_ms).map(|()| true),
            Some(_) => Ok(false),
        },
        Fact::Visits(visits) => {
            let more = self::visits(journal)?.is_none_or(|known| known < *visits);
            if more {
                keep_visits(journal, *visits)?;
            }
            Ok(more)
        }
        Fact::Slot(slot) => Ok(slots::merge(journal, slot, false)?.is_some()),
    }
}

/// What the use of a pass without a signer goes by: its id, and its window where it has one. An earlier version kept
/// ids as they were typed.
fn normal(pass: &str) -> Cow<'_, str> {
    let Some(typed) = pass.strip_prefix(':') else { return Cow::Borrowed(pass) };
    let (typed, window) = typed.split_at(typed.rfind('@').unwrap_or(typed.len()));
    Cow::Owned(format!(":{}{window}", id::normal(typed)))
}

/// Brings what passes go by into its one form, where an earlier version has kept it otherwise.
pub fn normalise(journal: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT pass_id FROM redemption WHERE pass_id >= ':' AND pass_id < ';'";
    let all: Vec<String> =
        journal.prepare(sql)?.query_map([], |r| r.get(0))?.collect::<rusqlite::Result<_>>()?;
    for (pass, normal) in all.iter().map(|pass| (pass, normal(pass))).filter(|(pass, normal)| *pass != normal)
    {
        // Where both are there, the one is used as well as the other.
        let sql = "UPDATE OR IGNORE redemption SET pass_id = ?2 WHERE pass_id = ?1";
        journal.prepare_cached(sql)?.execute([pass.as_str(), &normal])?;
    }
    Ok(())
}

/// How many numbers of visits may have been given.
pub fn visits(journal: &Connection) -> rusqlite::Result<Option<u64>> {
    Ok(number(journal, VISITS)?.map(i64::cast_unsigned))
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
        teller: r.get(6)?,
    })
}

/// The use of a pass as it stands in a journal.
pub fn use_of(journal: &Connection, pass: &str) -> rusqlite::Result<Option<Use>> {
    let sql =
        "SELECT pass_id, lane, visit, at_ms, gateway, until_ms, teller FROM redemption WHERE pass_id = ?1";
    journal.prepare_cached(sql)?.query_row([pass], used).optional()
}

/// What can be read of a journal that was quarantined is put into a new one: from each table row by row, from both
/// ends, since a damaged page ends the reading from one side. Gives how much that was.
pub fn salvage(file: &Path, journal: &Connection) -> rusqlite::Result<u64> {
    let damaged = match Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY) {
        Ok(damaged) => damaged,
        Err(e) => {
            log::warn!("{}: {e}", file.display());
            return Ok(0);
        }
    };
    let mut saved = 0;
    let mut save = |fact: &Fact| put(journal, fact).map(|new| saved += u64::from(new));
    rows(&damaged, &uses(&damaged), &["pass_id"], use_in, &mut save)?;
    rows(&damaged, SEALS, &["number"], seal_in, &mut save)?;
    if has_table(&damaged, "slot").unwrap_or(true) {
        rows(&damaged, slots::SLOTS, &["register", "key", "holder", "part"], slot_in, &mut save)?;
    }
    if let Ok(Some(at_ms)) = super::time::floor(&damaged) {
        save(&Fact::Time(at_ms))?;
    }
    if let Ok(Some(visits)) = visits(&damaged) {
        save(&Fact::Visits(visits))?;
    }
    Ok(saved)
}

/// What is wrong with the damaged journal ends one reading; what is wrong with the new one ends it all.
fn rows(
    damaged: &Connection,
    sql: &str,
    key: &[&str],
    read: fn(&Row<'_>) -> rusqlite::Result<Fact>,
    save: &mut dyn FnMut(&Fact) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    for order in ["ASC", "DESC"] {
        let by: Vec<String> = key.iter().map(|column| format!("{column} {order}")).collect();
        let mut select = match damaged.prepare(&format!("{sql} ORDER BY {}", by.join(", "))) {
            Ok(select) => select,
            Err(e) => {
                log::warn!("of the damaged journal `{sql}` cannot be read: {e}");
                return Ok(());
            }
        };
        let mut facts = match select.query_map([], read) {
            Ok(facts) => facts,
            Err(e) => {
                log::warn!("of the damaged journal `{sql}` cannot be read: {e}");
                continue;
            }
        };
        let ended = loop {
            match facts.next() {
                Some(Ok(fact)) => save(&fact)?,
                Some(Err(e)) => break Some(e),
                None => break None,
            }
        };
        match ended {
            None => return Ok(()),
            Some(e) => log::warn!("of the damaged journal not all of `{sql}` can be read: {e}"),
        }
    }
    Ok(())
}
