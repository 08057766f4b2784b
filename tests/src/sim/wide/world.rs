//! The run itself: what happens next, until the time is over and everything has come to rest.

use super::changes::{Change, Changes};
use super::clock::BoxClock;
use super::folk::{self, BEGINS_MS, Guest};
use super::places::{Place, SITE};
use super::secrets::Secrets;
use super::truth::Truth;
use super::{Fault, Figures, Plan};
use crate::sim::Failure;
use crate::sim::broker::{Later, Net};
use crate::sim::central::Central;
use crate::sim::disk::Disk;
use crate::sim::draw::{Draw, Stream};
use crate::sim::trace::Trace;
use crate::sim::uplink::Uplink;
use crate::sim::watch::Watch;
use kakou_core::ids::{DeviceId, GatewayId, SiteId};
use kakou_core::reading::Report;
use kakou_core::time::Now;
use kakou_gateway::engine::Engine;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

/// The epoch of a journal before the first.
const EPOCH: u64 = 41;
/// When nothing goes wrong any more, everything is done and delivered within this.
const DRAIN_MS: u64 = 90 * 60_000;
/// Steps within one moment; more of them are a box that does not come to rest.
const STEPS_AT_ONCE: u64 = 3_000;
/// The gateway.
pub(super) const GATEWAY: &str = "gw-1";

/// What happens at a moment.
#[derive(Debug, Clone)]
pub(super) enum What {
    /// Somebody comes to a lane.
    Come(usize),
    /// Staff of a lane look at their desk; whether that was because something changed.
    Look(usize, bool),
    /// A code is held before a reader once more.
    Scan(usize, u32, bool),
    /// A device says something, in that life of the box.
    Device(u64, DeviceId, Report),
    /// A device is lost, or comes back.
    Lost(DeviceId, bool),
    /// Central ops do something.
    Ops,
    /// Something around the lanes changes.
    Change(Change),
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

/// Somebody's lane, as it is known outside the box.
#[derive(Default)]
pub(super) struct Queue {
    /// How many wait.
    pub waiting: u32,
    /// The people of the lane, and those who come along.
    pub people: Vec<u32>,
    pub members: Vec<u32>,
    /// Who is inside, where there are two ways.
    pub inside: BTreeSet<u32>,
    /// Who was here last.
    pub last: Option<u32>,
    /// Whether a look is due.
    pub look: bool,
}

/// A run.
pub(super) struct World {
    pub places: Arc<Vec<Place>>,
    pub lanes: Vec<Queue>,
    pub guests: BTreeMap<u32, Guest>,
    pub lost: BTreeSet<DeviceId>,
    pub disk: Disk,
    pub engine: Option<Engine>,
    pub uplink: Uplink,
    pub central: Central,
    pub watch: Watch,
    pub truth: Truth,
    pub secrets: Secrets,
    pub searched: u64,
    pub people: Draw,
    pub staff: Draw,
    pub devices: Draw,
    pub power: Draw,
    pub ops: Draw,
    pub trace: Trace,
    pub acts: BTreeMap<String, u64>,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    what: BTreeMap<u64, What>,
    order: u64,
    pub at: u64,
    pub steps: u64,
    at_once: u64,
    pub life: u64,
    pub clock: BoxClock,
    pub changes: Changes,
    /// When the power went last.
    pub cut_at: u64,
    pub off_is_due: bool,
    pub corrected: bool,
    /// Pulses that central ops have asked for, by the device and its ticket, and commands whose barrier has moved.
    pub pulses: BTreeMap<(DeviceId, u64), String>,
    pub moved: BTreeSet<String>,
    pub photos: u64,
    pub ended_at: Option<u64>,
    pub epoch: u64,
    pub seed: u64,
    between_ms: u64,
    pub without: BTreeSet<Fault>,
}

impl World {
    /// Makes everything ready.
    pub(super) fn new(seed: u64, plan: &Plan, folder: &std::path::Path) -> Result<Self, String> {
        let text = |e: std::io::Error| e.to_string();
        let mut lanes = Draw::new(seed, Stream::Lanes);
        let places = Place::draw(&mut lanes, plan.lanes, plan.profile.as_deref())?;
        let mut people = Draw::new(seed, Stream::People);
        let (mut guests, mut queues) = (BTreeMap::new(), Vec::new());
        for place in &places {
            let mut queue = Queue::default();
            for member in [false, true] {
                if member && place.member_accepts.is_empty() {
                    continue;
                }
                let first = u32::try_from(guests.len()).unwrap_or(0) + 1;
                let new = folk::people(&mut people, first, place, member)?;
                let numbers = new.iter().map(|g| g.number);
                if member {
                    queue.members.extend(numbers)
                } else {
                    queue.people.extend(numbers)
                }
                guests.extend(new.into_iter().map(|g| (g.number, g)));
            }
            queues.push(queue);
        }
        let disk = Disk::new(folder, Draw::new(seed, Stream::Disk)).map_err(text)?;
        std::fs::write(folder.join("epoch"), format!("{EPOCH}\n")).map_err(text)?;
        let name = |e: kakou_core::ids::BadId| e.to_string();
        let mut central =
            Central::new(SiteId::new(SITE).map_err(name)?, GatewayId::new(GATEWAY).map_err(name)?);
        central.messages = Some(Vec::new());
        let mut world = Self {
            lanes: queues,
            secrets: Secrets::new(folk::secrets(guests.values())),
            searched: 0,
            guests,
            lost: BTreeSet::new(),
            disk,
            engine: None,
            uplink: Uplink::new(seed),
            central,
            watch: Watch::default(),
            truth: Truth::default(),
            people,
            staff: Draw::new(seed, Stream::Staff),
            devices: Draw::new(seed, Stream::Devices),
            power: Draw::new(seed, Stream::Power),
            ops: Draw::new(seed, Stream::Ops),
            trace: Trace::new(plan.print),
            acts: BTreeMap::new(),
            queue: BinaryHeap::new(),
            what: BTreeMap::new(),
            order: 0,
            at: 0,
            steps: 0,
            at_once: 0,
            life: 0,
            clock: BoxClock::new(BEGINS_MS),
            changes: Changes::new(seed),
            cut_at: 0,
            off_is_due: true,
            corrected: false,
            pulses: BTreeMap::new(),
            moved: BTreeSet::new(),
            photos: 0,
            ended_at: None,
            epoch: EPOCH + 1,
            seed,
            between_ms: 3_600_000 / plan.visits_per_hour.max(1),
            without: plan.without.clone(),
            places: Arc::new(places),
        };
        let mut ages = Draw::new(seed ^ u64::MAX, Stream::Lanes);
        world.write_lists(folder, &mut ages)?;
        world.later(0, What::PowerOn);
        for lane in 0..world.places.len() {
            world.later(2_000 + 100 * lane as u64, What::Come(lane));
            world.later(3_000, What::Look(lane, false));
        }
        let lasts = Duration::try_from_secs_f64(plan.hours * 3_600.0).unwrap_or_default();
        world.later(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX), What::End);
        let (off, ops) = (world.power.between(30_000, 400_000), world.ops.between(20_000, 120_000));
        if world.goes_wrong(Fault::Power) {
            world.later(off, What::PowerOff);
        }
        if world.goes_wrong(Fault::Ops) {
            world.later(ops, What::Ops);
        }
        world.begin_changes();
        if !world.goes_wrong(Fault::Link) {
            world.uplink.broker.end_faults();
        }
        let profiles: Vec<&str> = world.places.iter().map(|p| p.profile.as_str()).collect();
        let said = format!("lanes: {}", profiles.join(", "));
        world.trace.line(0, &said);
        Ok(world)
    }

    /// Something happens in so many milliseconds.
    pub(super) fn later(&mut self, ms: u64, what: What) {
        self.order += 1;
        self.queue.push(Reverse((self.at + ms, self.order)));
        self.what.insert(self.order, what);
    }

    pub(super) fn nets(&mut self, later: Later) {
        for (ms, net) in later {
            self.later(ms, What::Net(net));
        }
    }

    /// Whether something goes wrong now.
    pub(super) fn goes_wrong(&self, fault: Fault) -> bool {
        self.ended_at.is_none() && !self.without.contains(&fault)
    }

    /// The time of the box.
    pub(super) fn now(&self) -> Now {
        self.clock.now(self.at)
    }

    pub(super) fn delivery_now(&self) -> kakou_core::delivery::Moment {
        let now = self.now();
        let mono = Duration::from_millis(now.mono_ms);
        kakou_core::delivery::Moment { mono, wall_ms: now.wall_ms.unwrap_or(0) }
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

    fn next(&mut self, until: Option<u64>) -> Result<bool, String> {
        if until.is_some_and(|step| self.steps >= step) || (self.ended_at.is_some() && self.is_at_rest()?) {
            return Ok(false);
        }
        let world = self.queue.peek().map(|Reverse((at, _))| *at);
        let engine = self.engine.as_ref().map(|engine| self.clock.of_box(engine.deadline()));
        let ms = |mono: Duration| u64::try_from(mono.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        let uplink = self.uplink.deadline().map(|mono| self.clock.of_box(ms(mono)));
        let next = [world, uplink, engine].into_iter().flatten().min().ok_or("nothing happens any more")?;
        self.at_once = if next > self.at { 0 } else { self.at_once + 1 };
        if self.at_once > STEPS_AT_ONCE {
            return Err("the box does not come to rest".into());
        }
        self.at = self.at.max(next);
        self.steps += 1;
        if engine.is_some_and(|at| at <= self.at) {
            self.step(super::steps::Cause::Time, Vec::new())?;
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
            What::Come(lane) => {
                if self.ended_at.is_none() {
                    self.lanes[lane].waiting = (self.lanes[lane].waiting + 1).min(12);
                    let next = self.people.between(self.between_ms / 5, self.between_ms * 9 / 5);
                    self.later(next, What::Come(lane));
                    self.look_soon(lane, 200, 1_500);
                }
                Ok(())
            }
            What::Look(lane, due) => self.looks_at_desk(lane, due),
            What::Scan(lane, guest, out) => self.scans(lane, guest, out),
            What::Device(life, device, report) if life == self.life => self.reports(device, report),
            What::Lost(device, lost) => self.loses(device, lost),
            What::Ops => self.ops(),
            What::Change(change) => self.changes(change),
            What::ClockKnown(life) if life == self.life => {
                self.trace.line(self.at, "the clock is confirmed");
                self.clock.is_confirmed(self.at);
                self.step(super::steps::Cause::Time, Vec::new())
            }
            What::Net(net) => {
                let now = self.delivery_now();
                let follows = self.uplink.comes(self.at, now, net, &mut self.central)?;
                self.search_messages()?;
                self.follow(follows)
            }
            What::PowerOff => self.power_off(),
            What::PowerOn => self.power_on(),
            What::End => {
                self.trace.line(self.at, "nobody comes any more, and nothing goes wrong");
                self.ended_at = Some(self.at);
                self.disk.cut_before(None);
                self.end_changes();
                self.uplink.broker.end_faults();
                for device in std::mem::take(&mut self.lost) {
                    self.later(10, What::Device(self.life, device, Report::Link { ready: true }));
                }
                Ok(())
            }
            What::Device(..) | What::ClockKnown(_) => Ok(()),
        }
    }

    fn search_messages(&mut self) -> Result<(), String> {
        let Some(messages) = &mut self.central.messages else { return Ok(()) };
        for message in std::mem::take(messages) {
            self.searched += message.len() as u64;
            self.secrets.none_in("a message", &message)?;
        }
        Ok(())
    }

    pub(super) fn follow(&mut self, follows: crate::sim::uplink::Follows) -> Result<(), String> {
        let crate::sim::uplink::Follows { jobs, later } = follows;
        self.nets(later);
        if jobs.is_empty() { Ok(()) } else { self.step(super::steps::Cause::Time, jobs) }
    }

    /// Staff look at their desk soon, if they do not already.
    pub(super) fn look_soon(&mut self, lane: usize, least: u64, most: u64) {
        if std::mem::replace(&mut self.lanes[lane].look, true) {
            return;
        }
        let ms = self.staff.between(least, most);
        self.later(ms, What::Look(lane, true));
    }

    /// Whether all is over: no visit under way, everything delivered, everything the same on both sides.
    fn is_at_rest(&mut self) -> Result<bool, String> {
        let Some(engine) = &self.engine else { return Ok(false) };
        let drained = self.uplink.receipted() == Some(engine.streams());
        if !drained || self.truth.under_way() > 0 {
            if self.ended_at.is_some_and(|at| self.at > at + DRAIN_MS) {
                let (stored, receipted) = (engine.streams(), self.uplink.receipted());
                let open = self.under_way();
                return Err(format!("stored is {stored:?}, receipted {receipted:?}, under way: {open}"));
            }
            return Ok(false);
        }
        self.watch.verify(self.disk.folder(), crate::sim::site::gateway_key().public())?;
        self.watch.same_as(&self.central)?;
        self.looks_at_store()?;
        Ok(true)
    }

    fn figures(self) -> Figures {
        Figures {
            seed: self.seed,
            profiles: self.places.iter().map(|p| p.profile.clone()).collect(),
            simulated_ms: self.at,
            steps: self.steps,
            visits: self.truth.visits.len() as u64,
            outcomes: self.truth.outcomes,
            kinds: self.truth.kinds,
            opened: self.truth.opened,
            lives: self.life,
            searched: self.searched,
            acts: self.acts,
            hash: self.trace.hash(),
        }
    }
}
