//! The work that waits for the engine, one piece after another without the channels of its answers, and those channels.

use super::openings::Openings;
use super::work::{Reply, Work};
use super::{ArrivedNs, Job, Onward, ReplyTo};
use kakou_core::core::Input;
use kakou_core::lane::action::Rejection;
use kakou_core::time::Now;
use kakou_link::clock::Clock;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// Inputs in one transaction.
const BATCH: usize = 256;

/// Whoever waits for the answers of a batch.
#[derive(Default)]
pub(super) struct Waiting {
    acts: Vec<Option<Reply>>,
    stored: Vec<Option<oneshot::Sender<u64>>>,
    pages: Vec<Option<oneshot::Sender<Option<Onward>>>>,
}

fn wait<T>(all: &mut Vec<Option<T>>, one: T) -> ReplyTo {
    all.push(Some(one));
    ReplyTo(all.len() - 1)
}

/// Sends answers; how many of them nobody has read.
fn send<T>(all: &mut [Option<oneshot::Sender<T>>], answers: Vec<(ReplyTo, T)>) -> u64 {
    let mut unread = 0;
    for (ReplyTo(n), answer) in answers {
        let waits = all.get_mut(n).and_then(Option::take);
        unread += u64::from(waits.is_none_or(|waits| waits.send(answer).is_err()));
    }
    unread
}

impl Waiting {
    /// Whoever gets no answer hears that it comes no more. Gives how many of those that count nobody has read: who has
    /// acted may have gone.
    pub(super) fn answer(
        &mut self,
        acts: Vec<(ReplyTo, Result<(), Rejection>)>,
        stored: Vec<(ReplyTo, u64)>,
        pages: Vec<(ReplyTo, Option<Onward>)>,
    ) -> u64 {
        send(&mut self.acts, acts);
        send(&mut self.stored, stored) + send(&mut self.pages, pages)
    }
}

/// What waits now, and what comes while it is handled.
pub(super) struct Batch<'a> {
    changed: std::vec::IntoIter<Job>,
    first: Option<Work>,
    work: &'a mut mpsc::Receiver<Work>,
    openings: &'a mut Openings,
    clock: &'a Clock,
    now: Now,
    begun: Instant,
    taken: usize,
    waiting: Waiting,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        changed: Vec<Job>,
        first: Option<Work>,
        work: &'a mut mpsc::Receiver<Work>,
        openings: &'a mut Openings,
        (clock, now): (&'a Clock, Now),
        begun: Instant,
    ) -> Self {
        let (changed, waiting) = (changed.into_iter(), Waiting::default());
        Self { changed, first, work, openings, clock, now, begun, taken: 0, waiting }
    }

    pub(super) fn into_waiting(self) -> Waiting {
        self.waiting
    }

    fn job(&mut self, work: Work) -> Job {
        let Waiting { acts, stored, pages } = &mut self.waiting;
        match work {
            Work::Input(input, reply) => Job::Input(input, reply.map(|reply| wait(acts, reply))),
            Work::Remote(input, reply, moved) => {
                if let Input::Remote { sender, .. } = &input {
                    self.openings.wait(&sender.command, moved);
                }
                Job::Input(input, Some(wait(acts, reply)))
            }
            Work::Report(device, report, arrived) => {
                let since = arrived.saturating_duration_since(self.begun).as_nanos();
                Job::Report(device, report, ArrivedNs(u64::try_from(since).unwrap_or(u64::MAX)))
            }
            Work::Append(events, reply) => Job::Append(events, reply.map(|reply| wait(stored, reply))),
            Work::Acked(class, through) => Job::Acked(class, through),
            Work::Receipted(class, epoch, through) => Job::Receipted(class, epoch, through),
            Work::WentBack(class, epoch, through) => Job::WentBack(class, epoch, through),
            Work::PhotoReceipted(sha256) => Job::PhotoReceipted(sha256),
            Work::Peer(from, used, reply) => Job::Peer(from, used, wait(stored, reply)),
            Work::PeerTold(pass) => Job::PeerTold(pass),
            Work::PeerSlot(from, slot, reply) => Job::PeerSlot(from, slot, wait(stored, reply)),
            Work::SlotTold(slot) => Job::SlotTold(slot),
            Work::PeerPage(from, page, reply) => Job::PeerPage(from, page, wait(pages, reply)),
            Work::ReleaseUses(event, reply) => Job::ReleaseUses(event, wait(stored, reply)),
            Work::PeerHello(reply) => Job::PeerHello(wait(stored, reply)),
            Work::Stop => Job::Stop,
        }
    }
}

impl Iterator for Batch<'_> {
    type Item = (Now, Job);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(job) = self.changed.next() {
            return Some((self.now, job));
        }
        if self.taken == BATCH {
            return None;
        }
        let work = match self.first.take() {
            Some(work) => work,
            None => {
                let work = self.work.try_recv().ok()?;
                self.now = self.clock.now();
                work
            }
        };
        self.taken += 1;
        Some((self.now, self.job(work)))
    }
}
