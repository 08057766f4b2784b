//! The one loop that owns the core and writes the journal.
//!
//! Inputs that wait are handled together in one transaction, so that all lanes share one fsync.
//! The tasks of the devices run on the same thread: between the last byte of a code, the commit and
//! the frame to the barrier nobody has to be woken. While the disk writes, the kernel keeps what
//! devices send.
//! Only when it is durable are devices asked, acts answered and screens changed. If the store
//! fails, everything of the batch is forgotten, the core is made anew from the journal, and the
//! lanes stay closed with `X_STORAGE` until a write succeeds again.

mod commit;
mod openings;
mod outside;
mod records;
mod screens;
mod time;
mod trouble;
mod upkeep;
mod work;

use openings::Openings;
use records::StoreRecords;
pub use screens::LaneView;
use screens::Screens;
use trouble::Trouble;
pub use upkeep::free_bytes;
use upkeep::make_reserve;
pub use work::{Inlet, Onward, Outlook, Reply, Work};

use crate::enrol::Others;
use crate::metrics::Metrics;
use crate::store::journal::{self, Journal};
use crate::store::lists::Lists;
use crate::store::retention::Retention;
use crate::store::{StoreError, photos::Photos, set_aside};
use kakou_core::codes::Code;
use kakou_core::core::{Core, Input, Step};
use kakou_core::event::{Author, Class, NewEvent};
use kakou_core::evidence::{GatewayKey, SubjectKeys};
use kakou_core::ids::{DeviceId, GatewayId, LaneId};
use kakou_core::lane::Setup;
use kakou_core::lane::action::Rejection;
use kakou_core::pass::trust::TrustList;
use kakou_core::reading::{Command, NoData, Report, Request};
use kakou_core::records::Write;
use kakou_core::time::Now;
use kakou_drivers::Errand;
use kakou_link::clock::Clock;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// Inputs that may wait; beyond it a scanner's report is dropped and counted.
pub const QUEUE: usize = 4_096;
/// Inputs in one transaction.
const BATCH: usize = 256;
/// How long acknowledgements may wait for a transaction to ride on.
const LAZY: Duration = Duration::from_millis(200);
/// Without work for this long the moment is quiet.
const QUIET: Duration = Duration::from_millis(2);
/// Between two attempts to write after the store failed.
const PROBE: Duration = Duration::from_secs(1);
/// Between two looks at retention.
const TEND: Duration = Duration::from_secs(10);

/// Makes the lanes' surroundings from the keys.
pub type Setups = Box<dyn Fn(&Arc<TrustList>) -> Vec<Setup> + Send>;

/// Everything that the engine needs.
pub struct Parts {
    /// The data folder.
    pub data: PathBuf,
    /// Who writes.
    pub author: Author,
    /// Lanes to run, made anew after a fault.
    pub setups: Setups,
    /// The keys, as the feeds change them.
    pub trust: watch::Receiver<Arc<TrustList>>,
    /// What makes subject keys, as rotations change it.
    pub subjects: watch::Receiver<Arc<SubjectKeys>>,
    /// The clock.
    pub clock: Clock,
    /// Signs heads.
    pub key: Arc<GatewayKey>,
    /// Commands to devices.
    pub devices: BTreeMap<DeviceId, mpsc::Sender<Errand>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The state of the link upstream, for desks.
    pub upstream: watch::Receiver<&'static str>,
    /// Photographs.
    pub photos: Photos,
    /// Limits.
    pub retention: Retention,
    /// The other gateways of the site, as enrolment has named them.
    pub others: Option<Others>,
}

/// What waits for the commit.
#[derive(Default)]
struct Pending {
    requests: Vec<(Request, Instant)>,
    // When that arrived which is handled now.
    arrived: Option<Instant>,
    replies: Vec<(Reply, Result<(), Rejection>)>,
    stored: Vec<(oneshot::Sender<u64>, u64)>,
    pages: Vec<(oneshot::Sender<Option<Onward>>, Option<Onward>)>,
    lanes: BTreeSet<LaneId>,
    steps: Vec<Step>,
}

/// The loop.
pub struct Engine {
    parts: Parts,
    journal: Journal,
    lists: Lists,
    core: Core,
    closed: Option<Code>,
    screens: BTreeMap<LaneId, Screens>,
    streams: watch::Sender<[u64; 4]>,
    uses: watch::Sender<u64>,
    closed_view: watch::Sender<Option<Code>>,
    marks: [(u64, u64); 4],
    photo_marks: Vec<String>,
    /// Of the photographs: looked at last for those that nothing names.
    shelf: u8,
    marked_at: Option<Instant>,
    signed_seq: u64,
    /// The first event that a signed head must cover in the transaction after its own.
    sign_from: Option<u64>,
    /// The last one.
    sign_through: u64,
    requeue: VecDeque<Input>,
    watch: time::Watch,
    openings: Openings,
    /// Uses of passes that others have told since uses were forgotten last, and when that was.
    heard_uses: u32,
    forgotten_at: Option<Instant>,
    /// When no visit was left to be closed.
    closed_visits_at: Option<Instant>,
    /// Gateways whose uses of passes are not known yet, as the journal has it.
    waits_for: Vec<GatewayId>,
}

impl Engine {
    /// Opens the store and takes up the lanes.
    pub fn open(mut parts: Parts) -> Result<(Self, Outlook), StoreError> {
        let open = || {
            let opened = Journal::open(&parts.data, parts.author.clone())?;
            Ok((opened, Lists::open(&parts.data)?))
        };
        let ((journal, found, states), lists) = open().or_else(|e: StoreError| {
            // A disk that was full when the daemon ended.
            if !upkeep::give_up_reserve(&parts.data) {
                return Err(e);
            }
            log::error!("{e}; the reserve was given up, and it is tried once more");
            open()
        })?;
        make_reserve(&parts);
        let trust = parts.trust.borrow_and_update().clone();
        let mut core = Core::new((parts.setups)(&trust), states);
        let forgotten = journal.forgotten_visits().map_err(crate::store::at(&parts.data))?;
        core.given(forgotten.unwrap_or(0));
        let (streams, streams_rx) = watch::channel(journal.streams());
        let (uses, uses_rx) = watch::channel(0);
        let (closed_view, closed_rx) = watch::channel(None);
        let mut screens = BTreeMap::new();
        let mut lanes = BTreeMap::new();
        for lane in core.lanes() {
            let (tx, rx) = watch::channel(LaneView::default());
            screens.insert(lane.setup.lane.clone(), Screens::new(tx));
            lanes.insert(lane.setup.lane.clone(), rx);
        }
        let outlook =
            Outlook { lanes, streams: streams_rx, uses: uses_rx, closed: closed_rx, epoch: journal.epoch() };
        let mut engine = Self {
            parts,
            journal,
            lists,
            core,
            closed: None,
            screens,
            streams,
            uses,
            closed_view,
            marks: [(0, 0); 4],
            photo_marks: Vec::new(),
            shelf: 0,
            marked_at: None,
            signed_seq: 0,
            sign_from: Some(1),
            sign_through: 0,
            requeue: VecDeque::new(),
            watch: time::Watch::default(),
            openings: Openings::default(),
            heard_uses: 0,
            forgotten_at: None,
            closed_visits_at: None,
            waits_for: Vec::new(),
        };
        engine.recall_time();
        engine.start(&found);
        Ok((engine, outlook))
    }

    /// The first events of a run, and what was under way.
    fn start(&mut self, found: &journal::Found) {
        let now = self.parts.clock.now();
        if let journal::Found::SetAside(folder) = found {
            log::error!(
                "the journal was damaged; it was set aside in {} and a new one begun",
                folder.display()
            );
            self.parts.metrics.count("journal_set_aside_total");
        }
        let data = json!({ "version": env!("CARGO_PKG_VERSION"), "epoch": self.journal.epoch(),
            "journal": found.word() });
        let event = NewEvent {
            kind: "started".into(),
            class: Class::Health,
            lane: None,
            visit: None,
            audience: vec!["ops".into()],
            data,
        };
        let mut pending = Pending::default();
        let done = self.append(&[event], &now).and_then(|()| self.ask_others());
        let done = done.and_then(|()| self.resume(&now, &mut pending));
        match done.and_then(|()| self.commit()) {
            Ok(()) => {
                set_aside::taken_over(&self.parts.data);
                self.act(pending, &now);
            }
            Err(e) => self.fail(&e, pending),
        }
        self.show_all(&now);
    }

    fn resume(&mut self, now: &Now, pending: &mut Pending) -> Result<(), Trouble> {
        let uses_known = self.waits_for.is_empty();
        let records = StoreRecords { journal: &self.journal, lists: &self.lists, uses_known };
        let step = self.core.resume(now, &records).map_err(Trouble::Records)?;
        self.keep(step, true, now, pending)
    }

    /// Runs until told to stop.
    pub async fn run(mut self, mut work: mpsc::Receiver<Work>) {
        let mut tended = Instant::now();
        let mut probed = Instant::now();
        loop {
            let now = self.parts.clock.now();
            let (first, quiet) = match self.requeue.pop_front() {
                Some(input) => (Some(Work::Input(input, None)), false),
                None => tokio::select! {
                    biased;
                    waited = tokio::time::timeout(self.patience(&now), work.recv()) => match waited {
                        Ok(work) => (Some(work.unwrap_or(Work::Stop)), false),
                        Err(_) => (None, true),
                    },
                    // The desks hear at once that the link upstream is gone, or back. However often that is,
                    // what this loop owes the clock, the watchdog and the store is done each time.
                    Ok(()) = self.parts.upstream.changed() => {
                        self.show_all(&now);
                        (None, false)
                    }
                },
            };
            // A key that was taken back counts for nobody who comes after that, however much waits here.
            if self.parts.trust.has_changed().unwrap_or(false) {
                let trust = self.parts.trust.borrow_and_update().clone();
                self.core.set_trust(&trust);
            }
            if self.parts.subjects.has_changed().unwrap_or(false) {
                let subjects = self.parts.subjects.borrow_and_update().clone();
                self.core.set_subjects(&subjects);
            }
            let mut pending = Pending::default();
            let (done, stop) = self.batch(first, &mut work, &mut pending);
            match done {
                Ok(()) => {
                    self.ask(&mut pending);
                    // The barrier before the screens.
                    tokio::task::yield_now().await;
                    self.tell(pending, &self.parts.clock.now());
                }
                Err(trouble) => self.fail(&trouble, pending),
            }
            self.watch_clock();
            self.alive();
            self.fold(quiet);
            if self.closed.is_some() && probed.elapsed() >= PROBE {
                probed = Instant::now();
                self.probe();
            }
            if tended.elapsed() >= TEND {
                tended = Instant::now();
                self.tend();
                self.keep_time();
            }
            if stop {
                return self.finish();
            }
        }
    }

    fn patience(&self, now: &Now) -> Duration {
        // While nothing can be recorded no step ends: what is overdue waits for the store.
        let due = self.core.next_deadline().filter(|_| self.closed.is_none());
        let core = due.map(|(at, _)| Duration::from_millis(at.saturating_sub(now.mono_ms)));
        let lazy =
            self.marked_at.filter(|_| self.closed.is_none()).map(|at| LAZY.saturating_sub(at.elapsed()));
        let probe = self.closed.map(|_| PROBE);
        let behind = self.sign_from.is_some() || self.journal.indexes_are_behind();
        let sign = (behind && self.closed.is_none()).then_some(LAZY);
        let fold = (self.journal.log_frames() > journal::WAL_FRAMES).then_some(QUIET);
        [core, lazy, probe, sign, fold]
            .into_iter()
            .flatten()
            // However far the next deadline of a lane is: the store and the clock are looked at in between.
            .fold(TEND, Duration::min)
            .max(Duration::from_millis(1))
    }

    /// Handles what waits as one transaction. Says whether to stop.
    fn batch(
        &mut self,
        first: Option<Work>,
        work: &mut mpsc::Receiver<Work>,
        pending: &mut Pending,
    ) -> (Result<(), Trouble>, bool) {
        let mut now = self.parts.clock.now();
        let (mut stop, mut next, mut taken) = (false, first, 0);
        // What is wrong with the lists is no matter of the journal: who is looked up in them hears of it.
        if let Err(e) = self.lists.enter() {
            log::error!("the lists: {e}");
        }
        let mut result = Ok(());
        while let (Ok(()), Some(item)) = (&result, next.take()) {
            taken += 1;
            stop = matches!(item, Work::Stop);
            result = self.take(item, &now, pending);
            if result.is_err() || stop || taken >= BATCH {
                break;
            }
            next = work.try_recv().ok();
            if next.is_some() {
                now = self.parts.clock.now();
            }
        }
        for _ in 0..self.screens.len() {
            let due = self.core.next_deadline().is_some_and(|(at, _)| at <= now.mono_ms);
            if result.is_ok() && due {
                result = self.take(Work::Input(Input::Tick, None), &now, pending);
            }
        }
        if let Err(e) = self.lists.leave() {
            log::error!("the lists: {e}");
        }
        let lazy = self.marked_at.is_some_and(|at| at.elapsed() >= LAZY || stop);
        let idle = taken == 0 && (self.sign_from.is_some() || self.journal.indexes_are_behind());
        if result.is_ok() && self.closed.is_none() && (lazy || idle) {
            result = self.journal.begin().map_err(Trouble::Sqlite);
        }
        if result.is_ok() && taken == 0 && self.journal.is_open() {
            result = self.journal.catch_up().map_err(Trouble::Sqlite);
        }
        (result.and_then(|()| self.commit()), stop)
    }

    fn take(&mut self, work: Work, now: &Now, pending: &mut Pending) -> Result<(), Trouble> {
        match work {
            Work::Input(input, reply) => {
                pending.arrived = None;
                self.input(input, reply, now, pending)
            }
            Work::Remote(input, reply, opened) => {
                pending.arrived = None;
                if let Input::Remote { sender, .. } = &input {
                    self.openings.wait(&sender.command, opened);
                }
                self.input(input, Some(reply), now, pending)
            }
            Work::Report(device, report, arrived) => {
                pending.arrived = Some(arrived);
                self.input(Input::Device { device, report }, None, now, pending)
            }
            Work::Append(..)
            | Work::Acked(..)
            | Work::Receipted(..)
            | Work::WentBack(..)
            | Work::PhotoReceipted(_)
            | Work::Peer(..)
            | Work::PeerPage(..)
            | Work::ReleaseUses(..)
            | Work::PeerTold(_)
            | Work::PeerHello(_) => self.outside(work, now, pending).map_err(Trouble::Sqlite),
            Work::Stop => Ok(()),
        }
    }

    fn input(
        &mut self,
        input: Input,
        reply: Option<Reply>,
        now: &Now,
        pending: &mut Pending,
    ) -> Result<(), Trouble> {
        if let Some(code) = self.closed {
            // Nothing can be recorded, so nothing is decided.
            self.parts.metrics.count("input_while_closed_total");
            if let Some(reply) = reply {
                let text = code.text();
                drop(reply.send(Err(Rejection { code: "storage", text })));
            }
            return Ok(());
        }
        let durable = input.is_answered();
        let uses_known = self.waits_for.is_empty();
        let records = StoreRecords { journal: &self.journal, lists: &self.lists, uses_known };
        let mut step = self.core.handle(now, input, &records).map_err(Trouble::Records)?;
        if let (Some(sender), Some(answer)) = (reply, step.reply.take()) {
            pending.replies.push((sender, answer));
        }
        self.keep(step, durable, now, pending)
    }

    /// Writes a step into the open transaction; what follows from it waits for the commit.
    fn keep(&mut self, step: Step, durable: bool, now: &Now, pending: &mut Pending) -> Result<(), Trouble> {
        if step.must_be_kept(durable) {
            self.append(&step.events, now)?;
            for write in &step.writes {
                self.journal.write(write, now).map_err(Trouble::Sqlite)?;
            }
            for id in &step.lanes {
                if let Some(lane) = self.core.lane(id) {
                    self.journal.keep_lane(id, &lane.state).map_err(Trouble::Sqlite)?;
                }
            }
        }
        let since = pending.arrived.unwrap_or_else(Instant::now);
        pending.requests.extend(step.requests.iter().cloned().map(|r| (r, since)));
        pending.lanes.extend(step.lanes.iter().cloned());
        pending.steps.push(step);
        Ok(())
    }

    /// The transaction is durable: now devices are asked, acts answered, screens changed.
    fn act(&mut self, mut pending: Pending, now: &Now) {
        self.ask(&mut pending);
        self.tell(pending, now);
    }

    fn ask(&mut self, pending: &mut Pending) {
        for (request, since) in pending.requests.drain(..) {
            let Request { device, ticket, command } = request.clone();
            let errand = Errand { device, ticket, command, since, sent: Instant::now() };
            let sent = self.parts.devices.get(&request.device).is_some_and(|tx| tx.try_send(errand).is_ok());
            if !sent && !matches!(request.command, Command::Stop) {
                self.parts.metrics.count("device_request_dropped_total");
                let report = Report::NoData { ticket: request.ticket, why: NoData::NotPresent };
                self.requeue.push_back(Input::Device { device: request.device, report });
            }
        }
    }

    fn tell(&mut self, pending: Pending, now: &Now) {
        for (sender, answer) in pending.replies {
            drop(sender.send(answer));
        }
        for (sender, seq) in pending.stored {
            if sender.send(seq).is_err() {
                self.parts.metrics.count("answer_unread_total");
            }
        }
        for (sender, next) in pending.pages {
            if sender.send(next).is_err() {
                self.parts.metrics.count("answer_unread_total");
            }
        }
        self.streams
            .send_if_modified(|s| std::mem::replace(s, self.journal.streams()) != self.journal.streams());
        let redeems =
            |step: &Step| step.writes.iter().any(|w| matches!(w, Write::Redeem { .. } | Write::Seal { .. }));
        if pending.steps.iter().any(redeems) {
            self.uses.send_modify(|n| *n += 1);
        }
        for opened in pending.steps.iter().flat_map(|step| &step.opened) {
            if self.openings.heard(opened) {
                self.parts.metrics.count("answer_unread_total");
            }
        }
        for step in &pending.steps {
            step.counters.iter().for_each(|name| self.parts.metrics.count(name));
            step.outcomes.iter().for_each(|(lane, o)| self.parts.metrics.outcome(lane, *o));
            step.notes.iter().for_each(|note| log::warn!("{note}"));
        }
        for id in &pending.lanes {
            self.show(id, now);
        }
    }

    fn close(&mut self, code: Option<Code>) {
        self.closed = code;
        self.closed_view.send_replace(code);
    }

    fn finish(mut self) {
        self.sign_from = Some(self.journal.durable_head().0);
        let done = self.journal.begin().and_then(|()| self.journal.catch_up()).map_err(Trouble::Sqlite);
        let done = done.and_then(|()| self.commit());
        if let Err(e) = done {
            log::error!("the last head of the chain was not signed: {e}");
        }
        if let Err(e) = self.journal.empty_log() {
            log::debug!("the log of the journal was not emptied: {e}");
        }
    }
}

/// The photographs of a data folder, for the drivers.
pub fn photo_saver(photos: Photos) -> kakou_drivers::SavePhoto {
    Arc::new(move |bytes| photos.save(bytes))
}

#[cfg(test)]
mod plays;
#[cfg(test)]
mod tests;
