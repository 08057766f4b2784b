//! What comes from outside the lanes: events of others in the gateway, acknowledgements and receipts,
//! what other gateways tell.

use super::{Engine, Onward, Pending, Trouble, Work};
use crate::store::asked::{self, Asked};
use crate::upstream::peers;
use kakou_core::event::{Class, NewEvent};
use kakou_core::time::Now;
use std::time::Instant;
use tokio::sync::oneshot;

impl Engine {
    /// Takes it into the open transaction. While nothing can be recorded it is dropped: whoever sent
    /// it gets no answer, and sends it again.
    pub(super) fn outside(&mut self, work: Work, now: &Now, pending: &mut Pending) -> rusqlite::Result<()> {
        match work {
            Work::Acked(class, through) => {
                let mark = &mut self.marks[usize::from(class.number())];
                mark.0 = mark.0.max(through);
                self.marked_at.get_or_insert_with(Instant::now);
                Ok(())
            }
            Work::Receipted(class, epoch, through) => {
                let head = self.journal.streams()[usize::from(class.number())];
                if epoch == self.journal.epoch() && through <= head {
                    let mark = &mut self.marks[usize::from(class.number())];
                    mark.1 = mark.1.max(through);
                    self.marked_at.get_or_insert_with(Instant::now);
                } else {
                    self.parts.metrics.count("receipt_refused_total");
                }
                Ok(())
            }
            // Photographs come by the thousand behind a backlog: their receipts ride along.
            Work::PhotoReceipted(sha256) => {
                self.photo_marks.push(sha256);
                self.marked_at.get_or_insert_with(Instant::now);
                Ok(())
            }
            work @ (Work::Append(..)
            | Work::WentBack(..)
            | Work::Peer(..)
            | Work::PeerPage(..)
            | Work::ReleaseUses(..)
            | Work::PeerTold(_)
            | Work::PeerHello(_))
                if self.closed.is_none() =>
            {
                self.outside_now(work, now, pending)
            }
            Work::Append(..)
            | Work::WentBack(..)
            | Work::Peer(..)
            | Work::PeerPage(..)
            | Work::ReleaseUses(..)
            | Work::PeerTold(_)
            | Work::PeerHello(_)
            | Work::Input(..)
            | Work::Remote(..)
            | Work::Report(..)
            | Work::Stop => Ok(()),
        }
    }

    fn outside_now(&mut self, work: Work, now: &Now, pending: &mut Pending) -> rusqlite::Result<()> {
        self.journal.begin()?;
        match work {
            Work::Append(events, reply) => self.append_all(&events, reply, now, pending),
            Work::WentBack(class, epoch, through) => self.went_back(class, epoch, through),
            Work::Peer(from, used, reply) => {
                self.heard_uses = self.heard_uses.saturating_add(1);
                if self.journal.peer(&from, &used, now)? {
                    // The event says which; whoever tells many conflicts must not fill the log.
                    self.parts.metrics.count("peer_conflict_total");
                    log::debug!("pass {} was used here and at {from}", used.pass);
                }
                pending.stored.push((reply, self.journal.head().0));
                Ok(())
            }
            Work::PeerPage(from, page, reply) => {
                let uses = u32::try_from(page.uses.len()).unwrap_or(u32::MAX);
                self.heard_uses = self.heard_uses.saturating_add(uses);
                let taken = self.journal.peer_page(&from, &page, now)?;
                let next = match taken {
                    Some((conflicts, next)) => {
                        self.parts.metrics.add("peer_conflict_total", conflicts);
                        self.look_who_waits(pending)?;
                        Some(Onward(next))
                    }
                    None => None,
                };
                pending.pages.push((reply, next));
                Ok(())
            }
            Work::ReleaseUses(event, reply) => {
                asked::release(self.journal.connection())?;
                self.look_who_waits(pending)?;
                self.append_all(&[event], Some(reply), now, pending)
            }
            Work::PeerTold(pass) => peers::told(self.journal.connection(), &pass),
            Work::PeerHello(reply) => {
                peers::hello(self.journal.connection(), now.wall_ms.unwrap_or(0))?;
                pending.stored.push((reply, self.journal.head().0));
                Ok(())
            }
            Work::Input(..)
            | Work::Remote(..)
            | Work::Report(..)
            | Work::Acked(..)
            | Work::Receipted(..)
            | Work::PhotoReceipted(_)
            | Work::Stop => Ok(()),
        }
    }

    /// What the central side has no more is not delivered, and no photograph that came after it.
    fn went_back(&mut self, class: Class, epoch: u64, through: u64) -> rusqlite::Result<()> {
        if epoch != self.journal.epoch() {
            self.parts.metrics.count("receipt_refused_total");
            return Ok(());
        }
        let mark = &mut self.marks[usize::from(class.number())];
        *mark = (mark.0.min(through), mark.1.min(through));
        if class == Class::Verdict {
            // Their receipts are older than the word; where one is not, its photograph is offered once more.
            self.photo_marks.clear();
        }
        self.journal.go_back(class, through)
    }

    /// The first question to the other gateways of the site, where enrolment has named them, and to the central side,
    /// where this box has taken the place of another and can reach it.
    pub(super) fn ask_others(&mut self) -> Result<(), Trouble> {
        let ask = |engine: &mut Self| -> rusqlite::Result<()> {
            if let Some(others) = &engine.parts.others {
                let journal = engine.journal.connection();
                let central = others.replaces && *engine.parts.upstream.borrow() != "off";
                let gateways = others.gateways.iter().cloned().map(Asked::Gateway);
                let all: Vec<Asked> = gateways.chain(central.then_some(Asked::Central)).collect();
                asked::begin(journal, others.enrolled, &all, others.replaces)?;
            }
            engine.waits_for = asked::waits_for(engine.journal.connection())?;
            Ok(())
        };
        ask(self).map_err(Trouble::Sqlite)?;
        if !self.waits_for.is_empty() {
            let names: Vec<&str> = self.waits_for.iter().map(|g| g.as_str()).collect();
            log::warn!(
                "single-use passes are held until it is known which were used; this is still to be told by: {}",
                names.join(", ")
            );
        }
        Ok(())
    }

    fn look_who_waits(&mut self, pending: &mut Pending) -> rusqlite::Result<()> {
        let now = asked::waits_for(self.journal.connection())?;
        if now.is_empty() && !self.waits_for.is_empty() {
            log::info!("single-use passes are no longer held for other gateways");
        }
        self.waits_for = now;
        pending.lanes.extend(self.screens.keys().cloned());
        Ok(())
    }

    fn append_all(
        &mut self,
        events: &[NewEvent],
        reply: Option<oneshot::Sender<u64>>,
        now: &Now,
        pending: &mut Pending,
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
