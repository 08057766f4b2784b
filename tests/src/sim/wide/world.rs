//! The world of a run: what is there, and what becomes of what happens.

use super::changes::{Change, Changes};
use super::folk::{self, BEGINS_MS, Guest};
use super::pair::{self, Told};
use super::places::{Place, SITE};
use super::secrets::Secrets;
use super::steps::Cause;
use super::truth::Truth;
use super::{Fault, Figures, Plan};
use crate::sim::broker::{Later, Net};
use crate::sim::central::Central;
use crate::sim::clock::BoxClock;
use crate::sim::course::{self, Course};
use crate::sim::disk::Disk;
use crate::sim::draw::{Draw, Stream};
use crate::sim::uplink::Uplink;
use crate::sim::watch::Watch;
use kakou_core::ids::{DeviceId, GatewayId, SiteId};
use kakou_core::reading::Report;
use kakou_core::time::Now;
use kakou_gateway::engine::Engine;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The epoch of a journal before the first.
const EPOCH: u64 = 41;
/// When nothing goes wrong any more, everything is done and delivered within this.
const DRAIN_MS: u64 = 90 * 60_000;
/// Steps within one moment; more of them are a box that does not come to rest.
const STEPS_AT_ONCE: u64 = 3_000;

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
    /// The other gateway is told what it does not know.
    Tell,
    /// It tells something.
    Told(Told),
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
    pub course: Course<What>,
    /// Which gateway it is.
    pub gateway: &'static str,
    /// What the other one is told, and what that is told when it is stored what it has said.
    pub told: Vec<Told>,
    pub answer: Option<Told>,
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
    pub acts: BTreeMap<String, u64>,
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
    pub epoch: u64,
    between_ms: u64,
    pub without: BTreeSet<Fault>,
}

impl World {
    /// Makes everything ready.
    pub(super) fn new(
        seed: u64,
        plan: &Plan,
        folder: &std::path::Path,
        gateway: &'static str,
    ) -> Result<Self, String> {
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
        // The same people and lanes; all the rest is each gateway's own.
        let course = Course::new(seed, STEPS_AT_ONCE, plan.print);
        let seed = if gateway == pair::GATEWAYS[0] {
            seed
        } else {
            people = Draw::new(!seed, Stream::People);
            !seed
        };
        let disk = Disk::new(folder, Draw::new(seed, Stream::Disk)).map_err(text)?;
        std::fs::write(folder.join("epoch"), format!("{EPOCH}\n")).map_err(text)?;
        let name = |e: kakou_core::ids::BadId| e.to_string();
        let mut central =
            Central::new(SiteId::new(SITE).map_err(name)?, GatewayId::new(gateway).map_err(name)?);
        central.messages = Some(Vec::new());
        let mut world = Self {
            course,
            gateway,
            told: Vec::new(),
            answer: None,
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
            acts: BTreeMap::new(),
            life: 0,
            clock: BoxClock::new(BEGINS_MS),
            changes: Changes::new(seed),
            cut_at: 0,
            off_is_due: true,
            corrected: false,
            pulses: BTreeMap::new(),
            moved: BTreeSet::new(),
            photos: 0,
            epoch: EPOCH + 1,
            between_ms: 3_600_000 / plan.visits_per_hour.max(1),
            without: plan.without.clone(),
            places: Arc::new(places),
        };
        let mut ages = Draw::new(seed ^ u64::MAX, Stream::Lanes);
        world.write_lists(folder, &mut ages)?;
        world.course.later(0, What::PowerOn);
        for lane in 0..world.places.len() {
            world.course.later(2_000 + 100 * lane as u64, What::Come(lane));
            world.course.later(3_000, What::Look(lane, false));
        }
        let lasts = Duration::try_from_secs_f64(plan.hours * 3_600.0).unwrap_or_default();
        world.course.later(u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX), What::End);
        let (off, ops) = (world.power.between(30_000, 400_000), world.ops.between(20_000, 120_000));
        if world.goes_wrong(Fault::Power) {
            world.course.later(off, What::PowerOff);
        }
        if world.goes_wrong(Fault::Ops) {
            world.course.later(ops, What::Ops);
        }
        world.begin_changes();
        if !world.goes_wrong(Fault::Link) {
            world.uplink.broker.end_faults();
        }
        let profiles: Vec<&str> = world.places.iter().map(|p| p.profile.as_str()).collect();
        let said = format!("lanes: {}", profiles.join(", "));
        world.course.says(&said);
        Ok(world)
    }

    pub(super) fn nets(&mut self, later: Later) {
        for (ms, net) in later {
            self.course.later(ms, What::Net(net));
        }
    }

    /// Whether something goes wrong now.
    pub(super) fn goes_wrong(&self, fault: Fault) -> bool {
        self.course.ended_at().is_none() && !self.without.contains(&fault)
    }

    /// The time of the box.
    pub(super) fn now(&self) -> Now {
        self.clock.now(self.course.at())
    }

    pub(super) fn delivery_now(&self) -> kakou_core::delivery::Moment {
        self.clock.delivery_now(self.course.at())
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
        if jobs.is_empty() { Ok(()) } else { self.step(Cause::Time, jobs) }
    }

    /// Staff look at their desk soon, if they do not already.
    pub(super) fn look_soon(&mut self, lane: usize, least: u64, most: u64) {
        if std::mem::replace(&mut self.lanes[lane].look, true) {
            return;
        }
        let ms = self.staff.between(least, most);
        self.course.later(ms, What::Look(lane, true));
    }

    /// What the run was.
    pub(super) fn figures(self) -> Figures {
        Figures {
            seed: self.course.seed(),
            profiles: self.places.iter().map(|p| p.profile.clone()).collect(),
            simulated_ms: self.course.at(),
            steps: self.course.steps(),
            visits: self.truth.visits.len() as u64,
            outcomes: self.truth.outcomes,
            kinds: self.truth.kinds,
            opened: self.truth.opened,
            lives: self.life,
            searched: self.searched,
            acts: self.acts,
            hash: self.course.hash(),
        }
    }
}

impl course::World for World {
    type What = What;

    fn course(&mut self) -> &mut Course<What> {
        &mut self.course
    }

    fn deadlines(&self) -> (Option<u64>, Option<u64>) {
        let engine = self.engine.as_ref().map(|engine| self.clock.of_box(engine.deadline()));
        (engine, self.uplink.deadline().map(|mono| self.clock.of_delivery(mono)))
    }

    fn engine_is_due(&mut self) -> Result<(), String> {
        self.step(Cause::Time, Vec::new())
    }

    fn uplink_is_due(&mut self) -> Result<(), String> {
        let follows = self.uplink.wake(self.delivery_now());
        self.follow(follows)
    }

    fn happens(&mut self, what: What) -> Result<(), String> {
        match what {
            What::Come(lane) => {
                if self.course.ended_at().is_none() {
                    self.lanes[lane].waiting = (self.lanes[lane].waiting + 1).min(12);
                    let next = self.people.between(self.between_ms / 5, self.between_ms * 9 / 5);
                    self.course.later(next, What::Come(lane));
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
            What::Tell => self.tells(),
            What::Told(told) => self.hears(told),
            What::ClockKnown(life) if life == self.life => {
                self.course.says("the clock is confirmed");
                self.clock.is_confirmed(self.course.at());
                self.step(Cause::Time, Vec::new())
            }
            What::Net(net) => {
                let now = self.delivery_now();
                let follows = self.uplink.comes(self.course.at(), now, net, &mut self.central)?;
                self.search_messages()?;
                self.follow(follows)
            }
            What::PowerOff => self.power_off(),
            What::PowerOn => self.power_on(),
            What::End => {
                self.course.says("nobody comes any more, and nothing goes wrong");
                self.course.end();
                self.disk.cut_before(None);
                self.end_changes();
                self.uplink.broker.end_faults();
                for device in std::mem::take(&mut self.lost) {
                    self.course.later(10, What::Device(self.life, device, Report::Link { ready: true }));
                }
                Ok(())
            }
            What::Device(..) | What::ClockKnown(_) => Ok(()),
        }
    }

    /// No visit is under way, everything is delivered, everything is the same on both sides.
    fn is_at_rest(&mut self) -> Result<bool, String> {
        let Some(engine) = &self.engine else { return Ok(false) };
        let drained = self.uplink.receipted() == Some(engine.streams());
        if !drained || self.truth.under_way() > 0 {
            if self.course.is_overdue(DRAIN_MS) {
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
}
