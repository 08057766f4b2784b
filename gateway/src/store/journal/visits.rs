//! Visits that have ended: kept for the desk, closed when nobody can take them up, and forgotten.

use super::Journal;
use crate::store::at_rest::RowOf;
use crate::store::{StoreError, at, bound};
use kakou_core::ids::LaneId;
use kakou_core::lane::visit::{OPEN_MS, Visit};
use kakou_core::lane::{LaneState, RECENT};
use rusqlite::params;
use std::collections::VecDeque;
use std::sync::Arc;

/// Every ended visit is kept for so long at most.
pub const VISIT_MS: i64 = 14 * 24 * 3_600_000;
/// Ended visits that are closed at once.
const CLOSED_AT_ONCE: i64 = 64;

/// What is kept of a visit that nobody can take up any more: it names nobody.
pub(super) fn closed(visit: &Visit) -> Vec<u8> {
    serde_json::to_vec(&visit.closed()).expect("a visit has only string keys")
}

impl Journal {
    /// The latest ended visits of a lane. One that an override took up again is where it goes on, and nowhere else.
    pub(super) fn recent(
        &self,
        lane: &LaneId,
        state: &LaneState,
    ) -> Result<VecDeque<Arc<Visit>>, StoreError> {
        let sql = "SELECT visit FROM recent WHERE lane = ?1 ORDER BY id DESC LIMIT ?2";
        let limit = bound(RECENT);
        let rows = || -> rusqlite::Result<Vec<Vec<u8>>> {
            self.connection.prepare(sql)?.query_map(params![lane.as_str(), limit], |r| r.get(0))?.collect()
        };
        let visits = rows().map_err(at(&self.path))?;
        let all = visits.iter().filter_map(|row| self.row_key.read::<Visit>(RowOf::Visit, row).ok());
        Ok(all.filter(|v| !state.goes_on(v.id)).map(Arc::new).collect())
    }

    /// Forgets visits that are old, and who it was in those that nobody can take up any more. Reads all that are
    /// kept. Runs inside the caller's transaction.
    pub fn close_visits(&mut self, now_ms: i64) -> rusqlite::Result<u64> {
        let sql = "DELETE FROM recent WHERE at_ms < ?1";
        let gone = self.connection.prepare_cached(sql)?.execute([now_ms - VISIT_MS])?;
        Ok(gone as u64 + self.close_where("at_ms < ?1", Some(now_ms - OPEN_MS))?)
    }

    /// Closes some of the visits that are open.
    fn close_where(&self, which: &str, at_ms: Option<i64>) -> rusqlite::Result<u64> {
        let sql = format!("SELECT id, visit FROM recent WHERE open = 1 AND {which} LIMIT ?2");
        let old: Vec<(i64, Vec<u8>)> = self
            .connection
            .prepare_cached(&sql)?
            .query_map(params![at_ms, CLOSED_AT_ONCE], |r| Ok((r.get(0)?, r.get(1)?)))?
            .collect::<rusqlite::Result<_>>()?;
        for (id, visit) in &old {
            match self.row_key.read::<Visit>(RowOf::Visit, visit) {
                Ok(visit) => {
                    let state = closed(&visit);
                    let sql =
                        "UPDATE recent SET visit = ?2, open = 0, at_ms = coalesce(at_ms, ?3) WHERE id = ?1";
                    let at_ms = visit.started_ms.unwrap_or(0);
                    self.connection.prepare_cached(sql)?.execute(params![id, state, at_ms])?;
                }
                // Nobody can read it: it is nothing but a risk.
                Err(_) => {
                    let sql = "DELETE FROM recent WHERE id = ?1";
                    self.connection.prepare_cached(sql)?.execute([id])?;
                }
            }
        }
        Ok(old.len() as u64)
    }

    /// Visits that an earlier version has kept do not say when, and hold full names: they are closed at once.
    pub(super) fn close_visits_of_before(&mut self) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN")?;
        while self.close_where("at_ms IS ?1", None)? > 0 {}
        self.connection.execute_batch("COMMIT")
    }
}
