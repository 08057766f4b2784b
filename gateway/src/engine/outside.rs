//! What comes from outside the lanes: events of others in the gateway, acknowledgements and receipts,
//! what other gateways tell.

use super::{BatchError, Effects, Engine, Job, Onward, ReplyTo};
use crate::store::catch_up::{self, Respondent};
use crate::store::journal::slots;
use crate::upstream::peers;
use kakou_core::event::{Class, NewEvent};
use kakou_core::time::Now;

/// Up to where the central side has a stream, after it had more of it.
#[derive(Debug)]
pub(super) struct GoingBack {
    class: Class,
    through: u64,
    /// Whether the open transaction has it.
    pub taken: bool,
}

impl Engine {
    /// Takes it into the open transaction. While nothing can be recorded it is dropped: whoever sent it gets no answer,
    /// and sends it again. What nobody says again waits until it can be recorded.
    pub(super) fn outside(&mut self, job: Job, now: &Now, pending: &mut Effects) -> rusqlite::Result<()> {
        match job {
            Job::Acked(class, through) => {
                if self.positions.acknowledge(class, through) {
                    self.mark(class, now);
                }
                Ok(())
            }
            Job::Receipted(class, epoch, through) => {
                let head = self.journal.streams()[usize::from(class.number())];
                if epoch != self.journal.epoch() || through > head {
                    pending.count("receipt_refused_total");
                } else if self.positions.receipt(class, through) {
                    self.mark(class, now);
                }
                Ok(())
            }
            // Photographs come by the thousand behind a backlog: their receipts ride along.
            Job::PhotoReceipted(sha256) => {
                self.photo_marks.push(sha256);
                self.marked_ms.get_or_insert(now.mono_ms);
                Ok(())
            }
            Job::WentBack(class, epoch, through) => self.went_back(class, epoch, through, pending),
            job @ (Job::Append(..)
            | Job::Peer(..)
            | Job::PeerPage(..)
            | Job::ReleaseUses(..)
            | Job::PeerTold(_)
            | Job::PeerSlot(..)
            | Job::SlotTold(_)
            | Job::PeerHello(_))
                if self.closed.is_none() =>
            {
                self.outside_now(job, now, pending)
            }
            Job::Append(..)
            | Job::Peer(..)
            | Job::PeerPage(..)
            | Job::ReleaseUses(..)
            | Job::PeerTold(_)
            | Job::PeerSlot(..)
            | Job::SlotTold(_)
            | Job::PeerHello(_)
            | Job::Input(..)
            | Job::Report(..)
            | Job::Trust(_)
            | Job::Subjects(_)
            | Job::Upstream(_)
            | Job::Stop => Ok(()),
        }
    }

    /// How far a stream is rides along with a transaction, or has one of its own after a while.
    fn mark(&mut self, class: Class, now: &Now) {
        self.marked[usize::from(class.number())] = true;
        self.marked_ms.get_or_insert(now.mono_ms);
    }

    fn outside_now(&mut self, job: Job, now: &Now, pending: &mut Effects) -> rusqlite::Result<()> {
        self.journal.begin()?;
        match job {
            Job::Append(events, reply) => self.append_all(&events, reply, now, pending),
            Job::Peer(from, used, reply) => {
                self.heard_uses = self.heard_uses.saturating_add(1);
                if self.journal.peer(&from, &used, now)? {
                    // The event says which; whoever tells many conflicts must not fill the log.
                    pending.count("peer_conflict_total");
                    pending.debug(format!("pass {} was used here and at {from}", used.pass));
                }
                pending.stored.push((reply, self.journal.head().0));
                Ok(())
            }
            Job::PeerPage(from, page, reply) => {
                let uses = u32::try_from(page.uses.len()).unwrap_or(u32::MAX);
                self.heard_uses = self.heard_uses.saturating_add(uses);
                let taken = self.journal.peer_page(&from, &page, now)?;
                let next = match taken {
                    Some((conflicts, next)) => {
                        pending.add("peer_conflict_total", conflicts);
                        self.look_who_waits(pending)?;
                        Some(Onward(next))
                    }
                    None => None,
                };
                pending.pages.push((reply, next));
                Ok(())
            }
            Job::ReleaseUses(event, reply) => {
                catch_up::release(self.journal.connection())?;
                self.look_who_waits(pending)?;
                self.append_all(&[event], Some(reply), now, pending)
            }
            Job::PeerTold(pass) => peers::told(self.journal.connection(), &pass),
            Job::PeerSlot(from, slot, reply) => {
                self.heard_uses = self.heard_uses.saturating_add(1);
                if self.journal.peer_slot(&from, &slot, now)? {
                    pending.count("peer_conflict_total");
                }
                pending.stored.push((reply, self.journal.head().0));
                Ok(())
            }
            Job::SlotTold(slot) => slots::told(self.journal.connection(), &slot),
            Job::PeerHello(reply) => {
                peers::hello(self.journal.connection(), now.wall_ms.unwrap_or(0))?;
                slots::hello(self.journal.connection(), self.journal.gateway())?;
                pending.stored.push((reply, self.journal.head().0));
                Ok(())
            }
            Job::Input(..)
            | Job::Report(..)
            | Job::Acked(..)
            | Job::Receipted(..)
            | Job::WentBack(..)
            | Job::PhotoReceipted(_)
            | Job::Trust(_)
            | Job::Subjects(_)
            | Job::Upstream(_)
            | Job::Stop => Ok(()),
        }
    }

    /// What the central side has no more is not delivered, and no photograph that came after it.
    fn went_back(
        &mut self,
        class: Class,
        epoch: u64,
        through: u64,
        pending: &mut Effects,
    ) -> rusqlite::Result<()> {
        if epoch != self.journal.epoch() {
            pending.count("receipt_refused_total");
            return Ok(());
        }
        self.positions.go_back(class, through);
        if class == Class::Verdict {
            // Their receipts are older than the word; where one is not, its photograph is offered once more.
            self.photo_marks.clear();
        }
        self.going_back.push(GoingBack { class, through, taken: false });
        if self.closed.is_some() { Ok(()) } else { self.go_back() }
    }

    /// Takes into the open transaction what nobody says again.
    pub(super) fn go_back(&mut self) -> rusqlite::Result<()> {
        if self.going_back.iter().all(|back| back.taken) {
            return Ok(());
        }
        self.journal.begin()?;
        for back in self.going_back.iter_mut().filter(|back| !back.taken) {
            self.journal.go_back(back.class, back.through)?;
            back.taken = true;
        }
        Ok(())
    }

    /// The first question to the other gateways of the site, where enrolment has named them, and to the central side,
    /// where this box has taken the place of another and can reach it.
    pub(super) fn ask_others(&mut self) -> Result<(), BatchError> {
        let ask = |engine: &mut Self| -> rusqlite::Result<()> {
            if let Some(others) = &engine.parts.others {
                let journal = engine.journal.connection();
                let central = others.replaces && engine.parts.upstream != "off";
                let gateways = others.gateways.iter().cloned().map(Respondent::Gateway);
                let all: Vec<Respondent> = gateways.chain(central.then_some(Respondent::Central)).collect();
                catch_up::begin(journal, others.enrolled, &all, others.replaces)?;
            }
            engine.waits_for = catch_up::waits_for(engine.journal.connection())?;
            Ok(())
        };
        ask(self).map_err(BatchError::Sqlite)?;
        if !self.waits_for.is_empty() {
            let names: Vec<&str> = self.waits_for.iter().map(|g| g.as_str()).collect();
            let names = names.join(", ");
            self.out.warn(format!(
                "single-use passes are held until it is known which were used; this is still to be told by: {names}"
            ));
        }
        Ok(())
    }

    fn look_who_waits(&mut self, pending: &mut Effects) -> rusqlite::Result<()> {
        let now = catch_up::waits_for(self.journal.connection())?;
        if now.is_empty() && !self.waits_for.is_empty() {
            pending.info("single-use passes are no longer held for other gateways".into());
        }
        self.waits_for = now;
        pending.screens.extend(self.rows.keys().cloned());
        Ok(())
    }

    fn append_all(
        &mut self,
        events: &[NewEvent],
        reply: Option<ReplyTo>,
        now: &Now,
        pending: &mut Effects,
    ) -> rusqlite::Result<()> {
        for event in events {
            self.store(event, now)?;
        }
        if let Some(reply) = reply {
            pending.stored.push((reply, self.journal.head().0));
        }
        Ok(())
    }
}
