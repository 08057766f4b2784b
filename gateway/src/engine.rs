//! The engine owns the core, the journal and the lists. It is a state machine: jobs and the time come in, [`Effects`]
//! come out, and there is no clock, channel, task or device in it. [`shell`] is the loop around it.
//!
//! The jobs of a batch are handled together in one transaction, so that all lanes share one fsync. What follows from
//! them exists when it is durable, and not before: only then are devices asked, acts answered and screens changed. If
//! the store fails, everything of the batch is forgotten, the core is made anew from the journal, and the lanes stay
//! closed with `X_STORAGE` until a write succeeds again.

mod batch;
mod commit;
mod effects;
mod fault;
mod openings;
mod outside;
mod records;
pub mod shell;
mod time;
mod trouble;
mod upkeep;
mod views;
mod work;

pub use effects::{ArrivedNs, ClockChange, Effects, Exit, Job, Line, Moment, Onward, ReplyTo};
use records::StoreRecords;
use trouble::BatchError;
pub use views::LaneView;
pub use work::{EngineViews, QUEUE, Reply, Work, WorkSender};

use crate::enrol::Others;
use crate::store::journal::{self, Journal, JournalFound};
use crate::store::lists::Lists;
use crate::store::retention::Retention;
use crate::store::{StoreError, at, disk, outbox, photos::Photos, quarantine, time as stored_time};
use kakou_core::codes::Code;
use kakou_core::core::{Core, Input, Step};
use kakou_core::delivery::Positions;
use kakou_core::event::{Author, Class, NewEvent};
use kakou_core::evidence::{GatewayKey, SubjectKeys};
use kakou_core::ids::{GatewayId, LaneId};
use kakou_core::lane::Setup;
use kakou_core::lane::action::Rejection;
use kakou_core::pass::trust::TrustList;
use kakou_core::time::{MonoMs, Now, WallMs};
use kakou_link::clock::TimeSource;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use views::Rows;

/// How long acknowledgements may wait for a transaction to ride on.
const LAZY_MS: u64 = 200;
/// Without work for this long the moment is quiet.
const QUIET_MS: u64 = 2;
/// Between two attempts to write after the store failed.
const PROBE_MS: u64 = 1_000;
/// Between two looks at retention.
const TEND_MS: u64 = 10_000;

/// Makes the lanes' surroundings from the keys of passes, and from what makes subject keys.
pub type Setups = Box<dyn Fn(&Arc<TrustList>, &Arc<SubjectKeys>) -> Vec<Setup> + Send>;

/// Everything that the engine needs.
pub struct Parts {
    /// The data folder.
    pub data: PathBuf,
    /// Who writes.
    pub author: Author,
    /// Lanes to run, made anew after a fault.
    pub setups: Setups,
    /// The keys of passes.
    pub trust: Arc<TrustList>,
    /// What makes subject keys.
    pub subjects: Arc<SubjectKeys>,
    /// The state of the link upstream, for desks.
    pub upstream: &'static str,
    /// Where the time comes from.
    pub source: TimeSource,
    /// Signs heads.
    pub key: Arc<GatewayKey>,
    /// Photographs.
    pub photos: Photos,
    /// Limits.
    pub retention: Retention,
    /// The other gateways of the site, as enrolment has named them.
    pub others: Option<Others>,
}

/// The state machine.
pub struct Engine {
    parts: Parts,
    journal: Journal,
    lists: Lists,
    core: Core,
    /// What is durable and not handed out yet.
    out: Effects,
    closed: Option<Code>,
    exit: Option<Exit>,
    /// The rows of each lane's latest visits, as they were written last.
    rows: BTreeMap<LaneId, Rows>,
    /// How far each stream is; what is marked is written with the next transaction.
    positions: Positions,
    marked: [bool; 4],
    photo_marks: Vec<String>,
    /// Of the photographs: looked at last for those that nothing names.
    shard: u8,
    marked_ms: Option<MonoMs>,
    signed_seq: u64,
    /// The first event that a signed head must cover in the transaction after its own.
    sign_from: Option<u64>,
    /// The last one.
    sign_through: u64,
    watch: time::ClockWatch,
    /// When the last batch was handled, and whether there was nothing in it.
    handled_ms: MonoMs,
    quiet: bool,
    probed_ms: MonoMs,
    tended_ms: MonoMs,
    /// Uses of passes that others have told since uses were forgotten last, and when that was.
    heard_uses: u32,
    forgotten_ms: Option<MonoMs>,
    /// When no visit was left to be closed.
    closed_visits_ms: Option<MonoMs>,
    /// What the central side has no more: known from when it is heard until that is durable.
    going_back: Vec<outside::GoingBack>,
    /// Gateways whose uses of passes are not known yet, as the journal has it.
    waits_for: Vec<GatewayId>,
    /// How the journal was found.
    found: JournalFound,
}

impl Engine {
    /// Opens the store. The lanes are taken up by [`Engine::start`].
    pub fn open(parts: Parts) -> Result<Self, StoreError> {
        let mut out = Effects::default();
        let open = || {
            let opened = Journal::open(&parts.data, parts.author.clone())?;
            Ok((opened, Lists::open(&parts.data)?))
        };
        let ((journal, found, states), lists) = open().or_else(|e: StoreError| {
            // A disk that was full when the daemon ended.
            if !disk::give_up_reserve(&parts.data) {
                return Err(e);
            }
            out.error(format!("{e}; the reserve was given up, and it is tried once more"));
            open()
        })?;
        let mut core = Core::new((parts.setups)(&parts.trust, &parts.subjects), states);
        let forgotten = journal.forgotten_visits().map_err(at(&parts.data))?;
        core.given(forgotten.unwrap_or(0));
        let positions = outbox::positions(journal.connection()).map_err(at(&parts.data))?;
        let rows = core.lanes().map(|lane| (lane.setup.lane.clone(), Rows::default())).collect();
        let mut engine = Self {
            parts,
            journal,
            lists,
            core,
            out,
            closed: None,
            exit: None,
            rows,
            positions,
            marked: [false; 4],
            photo_marks: Vec::new(),
            shard: 0,
            marked_ms: None,
            signed_seq: 0,
            sign_from: Some(1),
            sign_through: 0,
            watch: time::ClockWatch::default(),
            handled_ms: 0,
            quiet: false,
            probed_ms: 0,
            tended_ms: 0,
            heard_uses: 0,
            forgotten_ms: None,
            closed_visits_ms: None,
            waits_for: Vec::new(),
            going_back: Vec::new(),
            found,
        };
        engine.make_reserve();
        Ok(engine)
    }

    /// What the journal has kept as floor of the time: the clock is told before the lanes are taken up.
    pub fn floor_ms(&mut self) -> Option<WallMs> {
        if self.parts.source == TimeSource::Fixed {
            return None;
        }
        stored_time::floor(self.journal.connection()).unwrap_or_else(|e| {
            self.out.warn(format!("the floor of the time cannot be read: {e}"));
            None
        })
    }

    /// The first events of a run, and what was under way.
    pub fn start(&mut self, now: &Now) -> Effects {
        (self.handled_ms, self.probed_ms, self.tended_ms) = (now.mono_ms, now.mono_ms, now.mono_ms);
        if let JournalFound::Quarantined(folder) = &self.found {
            let folder = folder.display();
            self.out
                .error(format!("the journal was damaged; it was set aside in {folder} and a new one begun"));
            self.out.count("journal_set_aside_total");
        }
        let data = json!({ "version": env!("CARGO_PKG_VERSION"), "epoch": self.journal.epoch(),
            "journal": self.found.as_str() });
        let event = NewEvent {
            kind: "started".into(),
            class: Class::Health,
            lane: None,
            visit: None,
            audience: vec!["ops".into()],
            data,
        };
        let mut pending = Effects::default();
        let done = self.append(&[event], now).and_then(|()| self.ask_others());
        let done = done.and_then(|()| self.resume(now, &mut pending));
        match done.and_then(|()| self.commit()) {
            Ok(()) => {
                quarantine::taken_over(&self.parts.data);
                self.out.join(pending);
            }
            Err(e) => self.fail(&e, pending),
        }
        self.show_all();
        self.hand_out()
    }

    fn resume(&mut self, now: &Now, pending: &mut Effects) -> Result<(), BatchError> {
        let uses_known = self.waits_for.is_empty();
        let records = StoreRecords { journal: &self.journal, lists: &self.lists, uses_known };
        let step = self.core.resume(now, &records).map_err(BatchError::Records)?;
        self.keep(step, true, None, now, pending)
    }

    /// Handles a batch as one transaction, each job at its own moment, and what the lanes owe to the time. An empty
    /// batch is a quiet moment. No more jobs are taken behind [`Job::Stop`], or when the store fails.
    pub fn handle(&mut self, now: &Now, jobs: &mut dyn Iterator<Item = (Now, Job)>) -> Effects {
        if self.exit.is_none() {
            self.handled_ms = now.mono_ms;
            let mut pending = Effects::default();
            match self.batch(*now, jobs, &mut pending) {
                Ok(()) => self.out.join(pending),
                Err(trouble) => self.fail(&trouble, pending),
            }
        }
        self.hand_out()
    }

    /// What is owed to the clock and the store, as far as it is due: behind what follows from a batch.
    pub fn upkeep(&mut self, at: &Moment) -> Effects {
        let now_ms = at.now.mono_ms;
        self.handled_ms = now_ms;
        self.alive(|engine| engine.watch_clock(&at.now));
        self.alive(Self::wal_checkpoint);
        if self.closed.is_some() && now_ms.saturating_sub(self.probed_ms) >= PROBE_MS {
            self.probed_ms = now_ms;
            self.alive(|engine| engine.probe(at));
        }
        if now_ms.saturating_sub(self.tended_ms) >= TEND_MS {
            self.tended_ms = now_ms;
            self.alive(|engine| engine.tend(at));
            self.alive(|engine| engine.keep_time(at));
        }
        self.hand_out()
    }

    /// One that must end does nothing any more.
    fn alive(&mut self, work: impl FnOnce(&mut Self)) {
        if self.exit.is_none() {
            work(self);
        }
    }

    /// When [`Engine::handle`] and [`Engine::upkeep`] must be called at the latest.
    pub fn deadline(&self) -> MonoMs {
        let open = self.closed.is_none();
        // While nothing can be recorded no step ends: what is overdue waits for the store.
        let core = self.core.next_deadline().filter(|_| open).map(|(at, _)| at);
        let lazy = self.marked_ms.filter(|_| open).map(|at| at + LAZY_MS);
        let probe = (!open).then_some(self.probed_ms + PROBE_MS);
        let behind = self.sign_from.is_some() || self.journal.indexes_are_behind();
        let sign = (behind && open).then_some(self.handled_ms + LAZY_MS);
        let checkpoint =
            (self.journal.log_frames() > journal::WAL_FRAMES).then_some(self.handled_ms + QUIET_MS);
        // However far the next deadline of a lane is: the store and the clock are looked at in between.
        [core, lazy, probe, sign, checkpoint]
            .into_iter()
            .flatten()
            .fold(self.tended_ms + TEND_MS, MonoMs::min)
    }

    /// The end: what is still to be kept soon is kept, the last head is signed, and the log of the journal emptied.
    pub fn finish(mut self) -> Effects {
        self.core.close(self.handled_ms);
        self.sign_from = Some(self.journal.durable_head().0);
        let last = |engine: &mut Self| -> rusqlite::Result<()> {
            engine.journal.begin()?;
            for id in &engine.core.unkept().lanes {
                if let Some(lane) = engine.core.lane(id) {
                    engine.journal.keep_lane(id, &lane.state)?;
                }
            }
            engine.journal.catch_up()
        };
        if let Err(e) = last(&mut self).map_err(BatchError::Sqlite).and_then(|()| self.commit()) {
            self.out.error(format!("the last head of the chain was not signed: {e}"));
        }
        if let Err(e) = self.journal.empty_log() {
            self.out.debug(format!("the log of the journal was not emptied: {e}"));
        }
        self.hand_out()
    }

    /// The epoch of the journal.
    pub fn epoch(&self) -> u64 {
        self.journal.epoch()
    }

    /// The journal, to look at.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The last event of each stream.
    pub fn streams(&self) -> [u64; 4] {
        self.journal.streams()
    }

    /// How far each stream is, but for what was sent since the start.
    pub fn positions(&self) -> Positions {
        self.positions
    }

    /// The core, to look at.
    pub fn core(&self) -> &Core {
        &self.core
    }

    fn hand_out(&mut self) -> Effects {
        let stored = self.journal.streams();
        if self.positions.stored() != stored {
            self.positions.store(stored);
            self.out.streams = Some(stored);
        }
        self.out.exit = self.exit;
        std::mem::take(&mut self.out)
    }

    /// Handles jobs as one transaction.
    fn batch(
        &mut self,
        mut now: Now,
        jobs: &mut dyn Iterator<Item = (Now, Job)>,
        pending: &mut Effects,
    ) -> Result<(), BatchError> {
        let (mut stop, mut idle) = (false, true);
        self.quiet = true;
        // What is wrong with the lists is no matter of the journal: who is looked up in them hears of it.
        if let Err(e) = self.lists.enter(now.mono_ms) {
            self.out.error(format!("the lists: {e}"));
        }
        let mut result = Ok(());
        while result.is_ok() && !stop {
            let Some((at, job)) = jobs.next() else { break };
            (now, self.quiet) = (at, false);
            idle &= job.is_surroundings();
            stop = matches!(job, Job::Stop);
            result = self.take(job, &now, pending);
        }
        self.out.stop |= stop;
        for _ in 0..self.rows.len() {
            let due = self.core.next_deadline().is_some_and(|(at, _)| at <= now.mono_ms);
            if result.is_ok() && due {
                result = self.input(Input::Tick, None, None, &now, pending);
            }
        }
        if let Err(e) = self.lists.leave() {
            self.out.error(format!("the lists: {e}"));
        }
        result?;
        let lazy = self.marked_ms.is_some_and(|at| now.mono_ms.saturating_sub(at) >= LAZY_MS || stop);
        let behind = idle && (self.sign_from.is_some() || self.journal.indexes_are_behind());
        if self.closed.is_none() && (lazy || behind) {
            self.journal.begin().map_err(BatchError::Sqlite)?;
        }
        if idle && self.journal.is_open() {
            self.journal.catch_up().map_err(BatchError::Sqlite)?;
        }
        self.commit()
    }

    fn take(&mut self, job: Job, now: &Now, pending: &mut Effects) -> Result<(), BatchError> {
        match job {
            Job::Input(input, reply) => self.input(input, reply, None, now, pending),
            Job::Report(device, report, arrived) => {
                self.input(Input::Device { device, report }, None, Some(arrived), now, pending)
            }
            // A key that was taken back counts for nobody who comes after that.
            Job::Trust(trust) => {
                self.core.set_trust(&trust);
                self.parts.trust = trust;
                Ok(())
            }
            Job::Subjects(subjects) => {
                self.core.set_subjects(&subjects);
                self.parts.subjects = subjects;
                Ok(())
            }
            Job::Upstream(state) => {
                self.parts.upstream = state;
                self.show_all();
                Ok(())
            }
            Job::Append(..)
            | Job::Acked(..)
            | Job::Receipted(..)
            | Job::WentBack(..)
            | Job::PhotoReceipted(_)
            | Job::Peer(..)
            | Job::PeerPage(..)
            | Job::ReleaseUses(..)
            | Job::PeerTold(_)
            | Job::PeerSlot(..)
            | Job::SlotTold(_)
            | Job::PeerHello(_) => self.outside(job, now, pending).map_err(BatchError::Sqlite),
            Job::Stop => Ok(()),
        }
    }

    fn input(
        &mut self,
        input: Input,
        reply: Option<ReplyTo>,
        arrived: Option<ArrivedNs>,
        now: &Now,
        pending: &mut Effects,
    ) -> Result<(), BatchError> {
        if let Some(code) = self.closed {
            // Nothing can be recorded, so nothing is decided.
            pending.count("input_while_closed_total");
            let refusal = Rejection::of("storage", code.text());
            pending.answers.extend(reply.map(|reply| (reply, Err(refusal))));
            return Ok(());
        }
        let durable = input.is_answered();
        let uses_known = self.waits_for.is_empty();
        let records = StoreRecords { journal: &self.journal, lists: &self.lists, uses_known };
        let mut step = self.core.handle(now, input, &records).map_err(BatchError::Records)?;
        pending.answers.extend(reply.zip(step.reply.take()));
        self.keep(step, durable, arrived, now, pending)
    }

    /// Writes a step into the open transaction; what follows from it waits for the commit.
    fn keep(
        &mut self,
        step: Step,
        durable: bool,
        arrived: Option<ArrivedNs>,
        now: &Now,
        pending: &mut Effects,
    ) -> Result<(), BatchError> {
        if step.must_be_kept(durable) {
            self.append(&step.events, now)?;
            for write in &step.writes {
                self.journal.write(write, now).map_err(BatchError::Sqlite)?;
            }
            for id in &step.lanes {
                if let Some(lane) = self.core.lane(id) {
                    self.journal.keep_lane(id, &lane.state).map_err(BatchError::Sqlite)?;
                }
            }
        }
        pending.follow(step, arrived);
        Ok(())
    }

    fn close(&mut self, code: Option<Code>) {
        self.closed = code;
        self.out.closed = Some(code);
    }
}

#[cfg(test)]
mod scenario_store;
#[cfg(test)]
mod stepped;
#[cfg(test)]
mod tests;
