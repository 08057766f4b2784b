//! What a transaction holds beside what its inputs write: acknowledgements that ride along, and signed heads.
//! Evidence is covered in the transaction after its own, off the way to the barrier.

use super::{BatchError, Engine};
use kakou_core::delivery::Position;
use kakou_core::event::{Class, NewEvent};
use kakou_core::time::Now;

/// A head of the chain is signed at least this often.
const SIGN_EVERY: u64 = 256;

impl Engine {
    pub(super) fn append(&mut self, events: &[NewEvent], now: &Now) -> Result<(), BatchError> {
        self.journal.begin().map_err(BatchError::Sqlite)?;
        for event in events {
            self.store(event, now).map_err(BatchError::Sqlite)?;
        }
        Ok(())
    }

    pub(super) fn commit(&mut self) -> Result<(), BatchError> {
        if !self.journal.is_open() {
            return Ok(());
        }
        for class in Class::ALL.into_iter().filter(|class| self.marked[usize::from(class.number())]) {
            let Position { acknowledged, receipted, .. } = self.positions.stream(class);
            self.journal.advance(class, Some(acknowledged), Some(receipted)).map_err(BatchError::Sqlite)?;
        }
        for sha256 in &self.photo_marks {
            self.journal.photo_receipted(sha256).map_err(BatchError::Sqlite)?;
        }
        // A head is signed in the transaction after its event, off the way to the barrier.
        let (seq, _) = self.journal.durable_head();
        let due = self.sign_from.is_some_and(|from| seq >= from) || seq - self.signed_seq >= SIGN_EVERY;
        if seq > self.signed_seq && due {
            self.sign().map_err(BatchError::Sqlite)?;
        }
        self.journal.commit().map_err(BatchError::Sqlite)?;
        self.going_back.retain(|back| !back.taken);
        (self.marked, self.marked_ms) = ([false; 4], None);
        self.photo_marks.clear();
        Ok(())
    }

    /// Adds an event to the open transaction.
    pub(super) fn store(&mut self, event: &NewEvent, now: &Now) -> rusqlite::Result<()> {
        let place = self.journal.append(event, now)?;
        if event.kind == "evidence" {
            self.sign_from.get_or_insert(place.seq);
            self.sign_through = place.seq;
        }
        Ok(())
    }

    /// Signs the last durable event in the open transaction. Evidence of this transaction is behind it: that is
    /// for the next.
    pub(super) fn sign(&mut self) -> rusqlite::Result<()> {
        let seq = self.journal.sign(&self.parts.key)?;
        self.signed_seq = seq;
        self.sign_from = (self.sign_through > seq).then_some(seq + 1);
        Ok(())
    }

    /// A head that was signed in a transaction that did not happen is gone; evidence of before may wait for it.
    pub(super) fn sign_anew(&mut self) {
        (self.signed_seq, self.sign_through) = (0, 0);
        self.sign_from = Some(self.journal.durable_head().0);
    }
}
