//! What the core asks of the store while it handles an input.
//!
//! Lookups see everything that was written before, committed or in the same transaction. A fault
//! is not "not found". One of the store ends the step, and the core is reloaded from the store; one of a
//! list concerns whoever must be looked up in it, and nobody else.

use crate::ids::{LaneId, VisitId};
use crate::lane::visit::Visit;
use crate::lists;
use crate::register::{Asks, Seen, Slot, SlotWrite, see};
use crate::time::WallMs;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What could not answer.
#[derive(Debug, thiserror::Error)]
pub enum RecordsFault {
    /// The store: nothing can be decided.
    #[error("the store could not answer: {0}")]
    Store(String),
    /// A list that is damaged, or an entry of it that cannot be read.
    #[error("list {list}: {why}")]
    List {
        /// Which.
        list: String,
        /// What is wrong; no person's data.
        why: String,
    },
}

/// The names of the local lists.
pub const LISTS: [&str; lists::LISTS.len()] = {
    let mut names = [""; lists::LISTS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = lists::LISTS[at].name;
        at += 1;
    }
    names
};

/// What stands before the number of a seal that was used: no signer has such a name.
pub const SEAL: &str = "~seal:";

/// What the use of a seal goes by, here and at the other gateways of the site.
pub fn seal_use(number: &str) -> String {
    format!("{SEAL}{number}")
}

/// How a pass, or a seal, was used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redemption {
    /// Where.
    pub lane: LaneId,
    /// In which visit.
    pub visit: VisitId,
    /// When.
    pub at_ms: Option<WallMs>,
}

/// Where a use stands in the order of all uses of one pass or seal, the earliest first: by its time, then by its
/// gateway. One whose time nobody knew counts as later than any that has one. Stores hold the visit as a signed number.
pub fn use_order(at_ms: Option<WallMs>, gateway: &str, visit: u64) -> (WallMs, &str, i64) {
    (at_ms.unwrap_or(WallMs::MAX), gateway, visit.cast_signed())
}

/// Read access to the store.
pub trait Records {
    /// The entry of a list: `status` by resident id, `pass` by plate or ticket.
    fn entry(&self, list: &str, id: &str) -> Result<Option<Map<String, Value>>, RecordsFault>;
    /// Whether a list has an entry, whatever its facts are: enough for lists that stop those who are on them.
    fn listed(&self, list: &str, id: &str) -> Result<bool, RecordsFault> {
        Ok(self.entry(list, id)?.is_some())
    }
    /// When the issuer made the current edition of a list; `None` if there is none.
    fn issued_ms(&self, list: &str) -> Result<Option<WallMs>, RecordsFault>;
    /// Whether a pass is on the revocation list.
    fn revoked(&self, kid: &str, id: &str) -> Result<bool, RecordsFault>;
    /// The first use of a single-use pass.
    fn redeemed(&self, pass_id: &str) -> Result<Option<Redemption>, RecordsFault>;
    /// Whether this gateway knows which passes and seals were used at its site, and who is held by an entry from a
    /// code: one that has taken the place of another does not, before the others have told it.
    fn uses_known(&self) -> Result<bool, RecordsFault>;
    /// Whether a seal number was applied before.
    fn seal_used(&self, number: &str) -> Result<bool, RecordsFault>;
    /// All slots of a register under any of these keys, in the order in which they were put; what is over as long as it
    /// is kept.
    fn slots(&self, register: &str, keys: &[String]) -> Result<Vec<Slot>, RecordsFault>;
    /// All slots of a register that any of these holders holds, in the order in which they were put.
    fn slots_of(&self, register: &str, holders: &[String]) -> Result<Vec<Slot>, RecordsFault>;
    /// What stands under a key, and what of it is a holder's; `keys` and `holders` are the names of one each.
    fn seen(
        &self,
        register: &str,
        keys: &[String],
        holders: &[String],
        asks: Asks,
        now_ms: Option<WallMs>,
    ) -> Result<Seen, RecordsFault> {
        let Asks { latest: _, was_held: _, whole: _ } = asks;
        Ok(see(self.slots(register, keys)?, holders, now_ms))
    }
    /// Slots that this gateway has put and must tell of, due until a moment, the earliest first.
    fn alarms(&self, until_ms: WallMs, most: usize) -> Result<Vec<Slot>, RecordsFault>;
    /// When the next one is due that is due behind a moment.
    fn next_alarm(&self, after_ms: WallMs) -> Result<Option<WallMs>, RecordsFault>;
}

/// Changes to the state that commit together with the events of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// A single-use pass is used.
    Redeem {
        /// Its id.
        pass_id: String,
        /// What the other gateways of the site know it by, where that is something else.
        shared: Option<String>,
        /// By whom.
        by: Redemption,
        /// When the pass ends, UTC milliseconds: behind it nobody can use it again.
        ends_ms: Option<WallMs>,
    },
    /// A slot of a register changes.
    Slot(Box<SlotWrite>),
    /// A visit has ended: kept for the desk, apart from the state of its lane.
    Archive {
        /// The lane.
        lane: LaneId,
        /// The visit.
        visit: Arc<Visit>,
    },
    /// A seal number is used.
    Seal {
        /// The number.
        number: String,
        /// By whom.
        by: Redemption,
    },
}
