//! What the core asks of the store, answered from the journal and the lists.

use crate::store::journal::{Journal, slots};
use crate::store::lists::{ListFault, Lists};
use kakou_core::records::{Records, RecordsFault, Redemption};
use kakou_core::register::{Asks, Seen, Slot};
use kakou_core::time::WallMs;
use serde_json::{Map, Value};

/// The store, for the length of one input.
pub(super) struct StoreRecords<'a> {
    pub journal: &'a Journal,
    pub lists: &'a Lists,
    /// Whether the other gateways of the site have told what they know.
    pub uses_known: bool,
}

fn fault(e: rusqlite::Error) -> RecordsFault {
    RecordsFault::Store(e.to_string())
}

fn of_list(ListFault { list, why }: ListFault) -> RecordsFault {
    RecordsFault::List { list, why }
}

impl Records for StoreRecords<'_> {
    fn entry(&self, list: &str, id: &str) -> Result<Option<Map<String, Value>>, RecordsFault> {
        self.lists.entry(list, id).map_err(of_list)
    }
    fn listed(&self, list: &str, id: &str) -> Result<bool, RecordsFault> {
        self.lists.listed(list, id).map_err(of_list)
    }
    fn issued_ms(&self, list: &str) -> Result<Option<i64>, RecordsFault> {
        Ok(self.lists.issued_ms(list))
    }
    fn revoked(&self, kid: &str, id: &str) -> Result<bool, RecordsFault> {
        self.listed("revocation", &format!("{kid}:{id}"))
    }
    fn redeemed(&self, pass_id: &str) -> Result<Option<Redemption>, RecordsFault> {
        self.journal.redeemed(pass_id).map_err(fault)
    }
    fn uses_known(&self) -> Result<bool, RecordsFault> {
        Ok(self.uses_known)
    }
    fn seal_used(&self, number: &str) -> Result<bool, RecordsFault> {
        self.journal.seal_used(number).map_err(fault)
    }
    fn slots(&self, register: &str, keys: &[String]) -> Result<Vec<Slot>, RecordsFault> {
        slots::of_keys(self.journal.connection(), register, keys).map_err(fault)
    }
    fn slots_of(&self, register: &str, holders: &[String]) -> Result<Vec<Slot>, RecordsFault> {
        slots::of_holders(self.journal.connection(), register, holders).map_err(fault)
    }
    fn seen(
        &self,
        register: &str,
        keys: &[String],
        holders: &[String],
        asks: Asks,
        now_ms: Option<WallMs>,
    ) -> Result<Seen, RecordsFault> {
        slots::seen(self.journal.connection(), register, (keys, holders), asks, now_ms).map_err(fault)
    }
    fn alarms(&self, until_ms: WallMs, most: usize) -> Result<Vec<Slot>, RecordsFault> {
        slots::alarms(self.journal.connection(), self.journal.gateway(), until_ms, most).map_err(fault)
    }
    fn next_alarm(&self, after_ms: WallMs) -> Result<Option<WallMs>, RecordsFault> {
        slots::next_alarm(self.journal.connection(), self.journal.gateway(), after_ms).map_err(fault)
    }
}
