//! The world of a run: what is there, and what becomes of what happens.

mod lane;
mod life;

use super::broker::{Later, Net};
use super::central::Central;
use super::clock::BoxClock;
use super::course::{self, Course};
use super::disk::{self, Disk};
use super::draw::{Draw, Stream};
use super::gateway::{GATEWAY, Gateway, SITE};
use super::model::{Asked, Model, Moment, Said};
use super::planted::Planted;
use super::site::{BEGINS_MS, Site};
use super::uplink::{Follows, Uplink};
use super::watch::Watch;
use super::{Figures, Plan};
use kakou_core::core::Input;
use kakou_core::ids::{DeviceId, GatewayId, SiteId};
use kakou_core::reading::Report;
use kakou_core::time::Now;
use kakou_gateway::engine::Job;
use lane::Lane;

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
    course: Course<What>,
    site: Site,
    disk: Disk,
    gateway: Gateway,
    uplink: Uplink,
    central: Central,
    model: Model,
    watch: Watch,
    lane: Lane,
    power: Draw,
    clock: BoxClock,
    /// How often the box was switched on.
    life: u64,
    /// In which step the power went, until it is known what is left of it.
    cut: Option<Cut>,
    planted: Option<Planted>,
    /// Whether it is known when the power goes next.
    off_is_due: bool,
    /// What the barrier was asked last.
    last_opening: Option<Asked>,
    /// The next place for a cut, where they come one after another.
    sweep: Option<u64>,
    epoch: u64,
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
            course: Course::new(seed, STEPS_AT_ONCE, plan.print),
            lane: Lane::new(seed, &site)?,
            site,
            disk,
            gateway: Gateway::off(),
            uplink: Uplink::new(seed),
            central: Central::new(at_site, gateway),
            model,
            watch: Watch::default(),
            power: Draw::new(seed, Stream::Power),
            clock: BoxClock::new(BEGINS_MS),
            life: 0,
            cut: None,
            planted: plan.planted,
            off_is_due: true,
            last_opening: None,
            sweep: plan.sweep.then_some(0),
            epoch: EPOCH + 1,
        };
        match plan.planted {
            Some(Planted::AckBeforeStore) => world.central.loses(),
            Some(Planted::AckIsReceipt) => world.uplink.takes_acks = true,
            Some(_) | None => {}
        }
        world.course.later(0, What::PowerOn);
        world.course.later(2_000, What::Come);
        world.course.later(plan.lasts_ms(), What::End);
        let first = world.power.between(5_000, 120_000);
        world.course.later(first, What::PowerOff);
        Ok(world)
    }

    fn nets(&mut self, later: Later) {
        for (ms, net) in later {
            self.course.later(ms, What::Net(net));
        }
    }

    fn moment(&self) -> Moment {
        let at = self.course.at();
        Moment { at, wall_ms: BEGINS_MS + at.cast_signed(), clock_known: self.clock.confirmed() }
    }

    fn now(&self) -> Now {
        self.clock.now(self.course.at())
    }

    fn delivery_now(&self) -> kakou_core::delivery::Moment {
        self.clock.delivery_now(self.course.at())
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

    /// What the run was.
    pub(super) fn figures(self) -> Figures {
        let disk: disk::Counts = self.disk.counts();
        Figures {
            seed: self.course.seed(),
            simulated_ms: self.course.at(),
            steps: self.course.steps(),
            disk,
            net: self.uplink.broker.counts,
            verdicts: self.model.verdicts.clone(),
            admitted: self.model.admitted,
            opened: self.model.opened,
            events: self.watch.events.len() as u64,
            duplicates: self.central.duplicates,
            purged: self.watch.purged_events,
            lives: self.life,
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
        let engine = self.gateway.engine().map(|engine| self.clock.of_box(engine.deadline()));
        (engine, self.uplink.deadline().map(|mono| self.clock.of_delivery(mono)))
    }

    fn engine_is_due(&mut self) -> Result<(), String> {
        self.step(Said::Nothing, Vec::new())
    }

    fn uplink_is_due(&mut self) -> Result<(), String> {
        let follows = self.uplink.wake(self.delivery_now());
        self.follow(follows)
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
                self.course.says("the clock is confirmed");
                self.clock.is_confirmed(self.course.at());
                self.step(Said::Nothing, Vec::new())
            }
            What::Net(net) => {
                let now = self.delivery_now();
                let follows = self.uplink.comes(self.course.at(), now, net, &mut self.central)?;
                self.follow(follows)
            }
            What::PowerOff => self.power_off(),
            What::PowerOn => self.power_on(),
            What::End => {
                self.course.says("nobody comes any more, and nothing goes wrong");
                self.course.end();
                self.disk.cut_before(None);
                self.uplink.broker.end_faults();
                Ok(())
            }
            What::Device(..) | What::ClockKnown(_) => Ok(()),
        }
    }

    /// Nobody is in front, everything is delivered, everything is the same on both sides.
    fn is_at_rest(&mut self) -> Result<bool, String> {
        let Some(engine) = self.gateway.engine() else { return Ok(false) };
        let drained = self.uplink.receipted() == Some(engine.streams());
        if !drained || self.model.is_busy() {
            if self.course.is_overdue(DRAIN_MS) {
                let last = self.course.next_at();
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
}
