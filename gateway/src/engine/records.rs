//! What the core asks of the store, answered from the journal and the lists.

use crate::store::journal::Journal;
use crate::store::lists::{ListFault, Lists};
use kakou_core::records::{Records, RecordsFault, Redemption};
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
}
