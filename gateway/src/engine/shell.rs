//! The loop around the engine: the way in, the clock, devices, whoever waits for answers, and whoever watches.
//!
//! The tasks of the devices run on the same thread: between the last byte of a code, the commit and the frame to the
//! barrier nobody has to be woken. While the disk writes, the kernel keeps what devices send.

use super::batch::{Batch, Waiting};
use super::openings::Openings;
use super::{ArrivedNs, ClockChange, Effects, Engine, EngineViews, Job, LaneView, Line, Moment, Parts, Work};
use crate::metrics::Metrics;
use crate::notify;
use crate::pack::told::Packs;
use crate::store::StoreError;
use kakou_core::codes::Code;
use kakou_core::core::Input;
use kakou_core::delivery::Positions;
use kakou_core::evidence::SubjectKeys;
use kakou_core::ids::{DeviceId, LaneId};
use kakou_core::pass::trust::TrustList;
use kakou_core::reading::{Command, NoData, Report, Request};
use kakou_core::time::{Now, Quality};
use kakou_drivers::DeviceCommand;
use kakou_link::clock::Clock;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{mpsc, watch};

/// Between two words to the watchdog.
const ALIVE: Duration = Duration::from_secs(3);

/// What the loop is connected to.
pub struct Wiring {
    /// The keys of passes, as the feeds change them.
    pub trust: watch::Receiver<Arc<TrustList>>,
    /// What makes subject keys, as rotations change it.
    pub subjects: watch::Receiver<Arc<SubjectKeys>>,
    /// The state of the link upstream, for desks.
    pub upstream: watch::Receiver<&'static str>,
    /// Which pack waits for its time, for desks.
    pub packs: watch::Receiver<Packs>,
    /// The clock.
    pub clock: Clock,
    /// Commands to devices.
    pub devices: BTreeMap<DeviceId, mpsc::Sender<DeviceCommand>>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// The loop.
pub struct Shell {
    engine: Engine,
    wiring: Wiring,
    screens: BTreeMap<LaneId, watch::Sender<LaneView>>,
    positions: watch::Sender<Positions>,
    uses: watch::Sender<u64>,
    closed: watch::Sender<Option<Code>>,
    /// What the engine was told of the link upstream.
    upstream: &'static str,
    /// What devices could not be asked: handled before anything else.
    requeue: VecDeque<Input>,
    openings: Openings,
    /// The arrival of reports is counted from here.
    begun: Instant,
    alive: Option<Instant>,
}

impl Shell {
    /// Opens the engine and takes up the lanes.
    pub fn open(parts: Parts, wiring: Wiring) -> Result<(Self, EngineViews), StoreError> {
        let upstream = parts.upstream;
        let mut engine = Engine::open(parts)?;
        if let Some(floor_ms) = engine.floor_ms() {
            wiring.clock.not_before(floor_ms);
        }
        let begun = Instant::now();
        let first = engine.start(&wiring.clock.now());
        let mut screens = BTreeMap::new();
        let mut lanes = BTreeMap::new();
        for lane in engine.core().lanes() {
            let (tx, rx) = watch::channel(LaneView::default());
            screens.insert(lane.setup.lane.clone(), tx);
            lanes.insert(lane.setup.lane.clone(), rx);
        }
        let positions = watch::Sender::new(engine.positions());
        let (uses, uses_rx) = watch::channel(0);
        let (closed, closed_rx) = watch::channel(None);
        let views = EngineViews {
            lanes,
            positions: positions.clone(),
            uses: uses_rx,
            closed: closed_rx,
            epoch: engine.journal().epoch(),
        };
        let mut shell = Self {
            engine,
            wiring,
            screens,
            positions,
            uses,
            closed,
            upstream,
            requeue: VecDeque::new(),
            openings: Openings::default(),
            begun,
            alive: None,
        };
        shell.act(first);
        Ok((shell, views))
    }

    /// Runs until told to stop.
    pub async fn run(mut self, mut work: mpsc::Receiver<Work>) {
        loop {
            let patience = self.patience();
            let first = match self.requeue.pop_front() {
                Some(input) => Some(Work::Input(input, None)),
                None => tokio::select! {
                    biased;
                    waited = tokio::time::timeout(patience, work.recv()) => {
                        waited.ok().map(|work| work.unwrap_or(Work::Stop))
                    }
                    // The desks hear at once that the link upstream is gone, or back. However often that is,
                    // what is owed to the clock, the watchdog and the store is done each time.
                    Ok(()) = self.wiring.upstream.changed() => None,
                    Ok(()) = self.wiring.packs.changed() => {
                        self.show_packs();
                        None
                    }
                },
            };
            let handled = Instant::now();
            let (mut effects, waiting) = self.handle(first, &mut work);
            self.ask(std::mem::take(&mut effects.commands), handled);
            // The barrier before the screens.
            tokio::task::yield_now().await;
            let stop = effects.stop;
            self.tell(effects, waiting);
            let owed = self.engine.upkeep(&self.moment());
            self.act(owed);
            self.alive();
            if stop {
                return log(self.engine.finish().lines);
            }
        }
    }

    fn patience(&self) -> Duration {
        let now_ms = self.wiring.clock.now().mono_ms;
        Duration::from_millis(self.engine.deadline().saturating_sub(now_ms).max(1))
    }

    fn moment(&self) -> Moment {
        let now = self.wiring.clock.now();
        let claimed_ms = (now.quality == Quality::Floor).then(|| self.wiring.clock.claimed()).flatten();
        Moment { now, claimed_ms, files_at: SystemTime::now() }
    }

    /// Hands over what waits, and before it what has changed around the lanes: a key that was taken back counts for
    /// nobody who comes after that, however much waits here.
    fn handle(&mut self, first: Option<Work>, work: &mut mpsc::Receiver<Work>) -> (Effects, Waiting) {
        let mut changed = Vec::new();
        if self.wiring.trust.has_changed().unwrap_or(false) {
            changed.push(Job::Trust(self.wiring.trust.borrow_and_update().clone()));
        }
        if self.wiring.subjects.has_changed().unwrap_or(false) {
            changed.push(Job::Subjects(self.wiring.subjects.borrow_and_update().clone()));
        }
        let upstream = *self.wiring.upstream.borrow_and_update();
        if std::mem::replace(&mut self.upstream, upstream) != upstream {
            changed.push(Job::Upstream(upstream));
        }
        let now = self.wiring.clock.now();
        let clock = &self.wiring.clock;
        let mut batch = Batch::new(changed, first, work, &mut self.openings, (clock, now), self.begun);
        let effects = self.engine.handle(&now, &mut batch);
        (effects, batch.into_waiting())
    }

    /// Carries out what nobody waits for.
    fn act(&mut self, mut effects: Effects) {
        self.ask(std::mem::take(&mut effects.commands), Instant::now());
        self.tell(effects, Waiting::default());
    }

    fn ask(&mut self, commands: Vec<(Request, Option<ArrivedNs>)>, handled: Instant) {
        for (request, arrived) in commands {
            let since = arrived.map_or(handled, |ArrivedNs(ns)| self.begun + Duration::from_nanos(ns));
            let Request { device, ticket, command } = request;
            let stops = matches!(command, Command::Stop);
            let device_command =
                DeviceCommand { device: device.clone(), ticket, command, since, sent: Instant::now() };
            let sent = self.wiring.devices.get(&device).is_some_and(|tx| tx.try_send(device_command).is_ok());
            if !sent && !stops {
                self.wiring.metrics.count("device_request_dropped_total");
                let report = Report::NoData { ticket, why: NoData::NotPresent };
                self.requeue.push_back(Input::Device { device, report });
            }
        }
    }

    fn tell(&mut self, effects: Effects, mut waiting: Waiting) {
        if let Some(exit) = effects.exit {
            log(effects.lines);
            std::process::exit(exit.status());
        }
        let metrics = &self.wiring.metrics;
        let mut unread = waiting.answer(effects.answers, effects.stored, effects.pages);
        if let Some(stored) = effects.streams {
            self.positions.send_modify(|positions| positions.store(stored));
        }
        if effects.uses {
            self.uses.send_modify(|n| *n += 1);
        }
        unread += effects.opened.iter().map(|opened| u64::from(self.openings.heard(opened))).sum::<u64>();
        metrics.add("answer_unread_total", unread);
        effects.counters.iter().for_each(|(name, by)| metrics.add(name, *by));
        effects.outcomes.iter().for_each(|(lane, outcome)| metrics.outcome(lane, *outcome));
        match effects.clock {
            Some(ClockChange::NotBefore(wall_ms)) => self.wiring.clock.not_before(wall_ms),
            Some(ClockChange::Believe(wall_ms)) => self.wiring.clock.believe(wall_ms),
            None => {}
        }
        log(effects.lines);
        if !effects.screens.is_empty() {
            let now = self.wiring.clock.now();
            effects.screens.iter().for_each(|id| self.show(id, &now));
        }
        // Who sees that the store is closed finds the lanes closed as well.
        if let Some(code) = effects.closed {
            self.closed.send_replace(code);
        }
    }

    fn show(&self, id: &LaneId, now: &Now) {
        let waiting = self.wiring.packs.borrow().waiting.clone().filter(|pack| pack.concerns(id));
        if let Some((screen, view)) = self.screens.get(id).zip(self.engine.view(id, now, waiting)) {
            screen.send_replace(view);
        }
    }

    /// The desks say which pack waits, or that none does any more.
    fn show_packs(&self) {
        let now = self.wiring.clock.now();
        self.screens.keys().for_each(|id| self.show(id, &now));
    }

    /// The watchdog of systemd is fed by this loop alone: when lanes hang, the daemon is started anew.
    fn alive(&mut self) {
        if self.alive.is_none_or(|at| at.elapsed() >= ALIVE) {
            self.alive = Some(Instant::now());
            notify::tell(&[notify::WATCHDOG]);
        }
    }
}

fn log(lines: Vec<Line>) {
    for Line { level, text } in lines {
        log::log!(level, "{text}");
    }
}
