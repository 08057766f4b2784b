//! The run itself: what happens next, until the time is over and everything has come to rest.

mod lane;
mod life;

use super::broker::{Later, Net};
use super::central::Central;
use super::disk::{self, Disk};
use super::draw::{Draw, Stream};
use super::gateway::{GATEWAY, Gateway, SITE};
use super::model::{Asked, Model, Moment, Said};
use super::planted::Planted;
use super::site::{BEGINS_MS, Site};
use super::trace::Trace;
use super::uplink::{Follows, Uplink};
use super::watch::Watch;
use super::{Failure, Figures, Plan};
use kakou_core::core::Input;
use kakou_core::ids::{DeviceId, GatewayId, SiteId};
use kakou_core::reading::Report;
use kakou_core::time::{Now, Quality};
use kakou_gateway::engine::Job;
use lane::Lane;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// The monotonic clock of a box when its daemon begins: less than a result is shown again.
const BOOTED_MS: u64 = 30_000;
/// The epoch of a journal before the first: the product would take that of the machine's clock.
const EPOCH: u64 = 41;
/// When nothing goes wrong any more, everything is delivered within this.
const DRAIN_MS: u64 = 40 * 60_000;
/// Steps within one moment; more of them are a box that does not come to rest.
const STEPS_AT_ONCE: u64 = 2_000;

/// What happens at a moment.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// A card is held before the scanner: whose, and as which visitor.
    Scan(u32, u64),
    /// The next one comes.
    Come,
    /// A device says something, in that life of the box.
    Device(u64, &'static str, Report, Said),
    /// A time source confirms the clock.
    ClockKnown(u64),
    /// Something on the link.
    Net(Net),
    /// The power goes, or is about to.
    PowerOff,
    /// The power is back.
    PowerOn,
    /// Nothing goes wrong any more, and nobody comes.
    End,
}

/// A step in which the power went.
#[derive(Debug, Clone)]
struct Cut {
    now: Moment,
    said: Said,
    /// What devices were asked before.
    asked: Vec<Asked>,
}

/// A run.
pub(super) struct World {
    site: Site,
    disk: Disk,
    gateway: Gateway,
    uplink: Uplink,
    central: Central,
    model: Model,
    watch: Watch,
    lane: Lane,
    power: Draw,
    trace: Trace,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    what: std::collections::BTreeMap<u64, What>,
    order: u64,
    at: u64,
    steps: u64,
    at_once: u64,
    /// How often the box was switched on, and when it was last.
    life: u64,
    on_at: u64,
    clock_known: bool,
    /// In which step the power went, until it is known what is left of it.
    cut: Option<Cut>,
    planted: Option<Planted>,
    /// Whether it is known when the power goes next.
    off_is_due: bool,
    /// What the barrier was asked last.
    last_opening: Option<Asked>,
    /// The next place for a cut, where they come one after another.
    sweep: Option<u64>,
    /// Since when nothing goes wrong.
    ended_at: Option<u64>,
    epoch: u64,
    seed: u64,
}

impl World {
    /// Makes everything ready.
    pub(super) fn new(seed: u64, plan: &Plan, folder: &std::path::Path) -> Result<Self, String> {
        let text = |e: std::io::Error| e.to_string();
        let site = Site::new(seed);
        let disk = Disk::new(folder, Draw::new(seed, Stream::Disk)).map_err(text)?;
        std::fs::write(folder.join("epoch"), format!("{EPOCH}\n")).map_err(text)?;
        site.write_lists(folder)?;
        let lists = site.lists.iter().map(|(_, issued)| *issued).collect();
        let model = Model::new(site.gate, site.people.clone(), lists);
        let name = |e: kakou_core::ids::BadId| e.to_string();
        let (at_site, gateway) = (SiteId::new(SITE).map_err(name)?, GatewayId::new(GATEWAY).map_err(name)?);
        let mut world = Self {
            lane: Lane::new(seed, &site)?,
            site,
            disk,
            gateway: Gateway::off(),
            uplink: Uplink::new(seed),
            central: Central::new(at_site, gateway),
            model,
            watch: Watch::default(),
            power: Draw::new(seed, Stream::Power),
            trace: Trace::new(plan.print),
            queue: BinaryHeap::new(),
            what: std::collections::BTreeMap::new(),
            order: 0,
            at: 0,
            steps: 0,
            at_once: 0,
            life: 0,
            on_at: 0,
            clock_known: false,
            cut: None,
            planted: plan.planted,
            off_is_due: true,
            last_opening: None,
            sweep: plan.sweep.then_some(0),
            ended_at: None,
            epoch: EPOCH + 1,
            seed,
        };
        match plan.planted {
            Some(Planted::AckBeforeStore) => world.central.loses(),
            Some(Planted::AckIsReceipt) => world.uplink.takes_acks = true,
            Some(_) | None => {}
        }
        world.later(0, What::PowerOn);
        world.later(2_000, What::Come);
        world.later(plan.lasts_ms(), What::End);
        let first = world.power.between(5_000, 120_000);
        world.later(first, What::PowerOff);
        Ok(world)
    }

    /// Something happens in so many milliseconds.
    fn later(&mut self, ms: u64, what: What) {
        self.order += 1;
        self.queue.push(Reverse((self.at + ms, self.order)));
        self.what.insert(self.order, what);
    }

    fn nets(&mut self, later: Later) {
        for (ms, net) in later {
            self.later(ms, What::Net(net));
        }
    }

    fn moment(&self) -> Moment {
        let wall_ms = BEGINS_MS + self.at.cast_signed();
        Moment { at: self.at, wall_ms, clock_known: self.clock_known }
    }

    fn now(&self) -> Now {
        let quality = if self.clock_known { Quality::Synced } else { Quality::Unsynced };
        let mono_ms = BOOTED_MS + self.at - self.on_at;
        Now { mono_ms, wall_ms: Some(BEGINS_MS + self.at.cast_signed()), quality }
    }

    fn delivery_now(&self) -> kakou_core::delivery::Moment {
        let now = self.now();
        let mono = Duration::from_millis(now.mono_ms);
        kakou_core::delivery::Moment { mono, wall_ms: now.wall_ms.unwrap_or(0) }
    }

    /// A moment of the box's clock, in that of the run.
    fn of_box(&self, mono_ms: u64) -> u64 {
        self.on_at + mono_ms.saturating_sub(BOOTED_MS)
    }

    /// Runs to its end, or to a step.
    pub(super) fn run(mut self, until: Option<u64>) -> Result<Figures, Failure> {
        loop {
            match self.next(until) {
                Ok(true) => {}
                Ok(false) => return Ok(self.figures()),
                Err(why) => {
                    let (hash, last) = (self.trace.hash(), self.trace.last());
                    return Err(Failure {
                        seed: self.seed,
                        step: self.steps,
                        at_ms: self.at,
                        why,
                        hash,
                        last,
                    });
                }
            }
        }
    }

    /// What happens next; whether there is more.
    fn next(&mut self, until: Option<u64>) -> Result<bool, String> {
        if until.is_some_and(|step| self.steps >= step) || (self.ended_at.is_some() && self.is_at_rest()?) {
            return Ok(false);
        }
        let world = self.queue.peek().map(|Reverse((at, _))| *at);
        let engine = self.gateway.engine().map(|engine| self.of_box(engine.deadline()));
        let uplink = self
            .uplink
            .deadline()
            .map(|mono| self.of_box(u64::try_from(mono.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)));
        let next = [world, uplink, engine].into_iter().flatten().min().ok_or("nothing happens any more")?;
        self.at_once = if next > self.at { 0 } else { self.at_once + 1 };
        if self.at_once > STEPS_AT_ONCE {
            return Err("the box does not come to rest".into());
        }
        self.at = self.at.max(next);
        self.steps += 1;
        // What lanes are due first: a card that is shown then finds them so.
        if engine.is_some_and(|at| at <= self.at) {
            self.step(Said::Nothing, Vec::new())?;
        } else if world.is_some_and(|at| at <= self.at)
            && let Some(Reverse((_, order))) = self.queue.pop()
        {
            let what = self.what.remove(&order).ok_or("what happens is known")?;
            self.happens(what)?;
        } else {
            let follows = self.uplink.wake(self.delivery_now());
            self.follow(follows)?;
        }
        Ok(true)
    }

    fn happens(&mut self, what: What) -> Result<(), String> {
        match what {
            What::Scan(person, visitor) => self.scan(person, visitor),
            What::Come => {
                self.comes();
                Ok(())
            }
            What::Device(life, device, report, said) if life == self.life => {
                self.report(device, report, said)
            }
            What::ClockKnown(life) if life == self.life => {
                self.trace.line(self.at, "the clock is confirmed");
                self.clock_known = true;
                self.step(Said::Nothing, Vec::new())
            }
            What::Net(net) => {
                let now = self.delivery_now();
                let follows = self.uplink.comes(self.at, now, net, &mut self.central)?;
                self.follow(follows)
            }
            What::PowerOff => self.power_off(),
            What::PowerOn => self.power_on(),
            What::End => {
                self.trace.line(self.at, "nobody comes any more, and nothing goes wrong");
                self.ended_at = Some(self.at);
                self.disk.cut_before(None);
                self.uplink.broker.end_faults();
                Ok(())
            }
            What::Device(..) | What::ClockKnown(_) => Ok(()),
        }
    }

    /// A device says something.
    fn report(&mut self, device: &'static str, report: Report, said: Said) -> Result<(), String> {
        if self.gateway.engine().is_none() {
            return Ok(());
        }
        let device = DeviceId::new(device).map_err(|e| e.to_string())?;
        self.step(said, vec![Job::Input(Input::Device { device, report }, None)])
    }

    fn follow(&mut self, follows: Follows) -> Result<(), String> {
        let Follows { jobs, later } = follows;
        self.nets(later);
        if jobs.is_empty() { Ok(()) } else { self.step(Said::Nothing, jobs) }
    }

    /// Whether all is over: nobody in front, everything delivered, everything the same on both sides.
    fn is_at_rest(&mut self) -> Result<bool, String> {
        let Some(engine) = self.gateway.engine() else { return Ok(false) };
        let drained = self.uplink.receipted() == Some(engine.streams());
        if !drained || self.model.is_busy() {
            let last = self.queue.iter().map(|Reverse((at, _))| *at).min();
            let overdue = self.ended_at.is_some_and(|at| self.at > at + DRAIN_MS);
            if overdue {
                let (stored, receipted) = (engine.streams(), self.uplink.receipted());
                return Err(format!("stored is {stored:?}, receipted {receipted:?}, next comes {last:?}"));
            }
            return Ok(false);
        }
        self.watch.verify(self.disk.folder(), super::site::gateway_key().public())?;
        self.watch.same_as(&self.central)?;
        if self.model.opened > self.model.admitted {
            return Err("the barrier opened more often than somebody was admitted".into());
        }
        Ok(true)
    }

    fn figures(self) -> Figures {
        let disk: disk::Counts = self.disk.counts();
        Figures {
            seed: self.seed,
            simulated_ms: self.at,
            steps: self.steps,
            disk,
            net: self.uplink.broker.counts,
            verdicts: self.model.verdicts.clone(),
            admitted: self.model.admitted,
            opened: self.model.opened,
            events: self.watch.events.len() as u64,
            duplicates: self.central.duplicates,
            purged: self.watch.purged_events,
            lives: self.life,
            hash: self.trace.hash(),
        }
    }
}
