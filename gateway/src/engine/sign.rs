//! When heads of the chain are signed: evidence is covered in the transaction after its own, off the way to the
//! barrier.

use super::Engine;
use kakou_core::event::NewEvent;
use kakou_core::time::Now;

impl Engine {
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
