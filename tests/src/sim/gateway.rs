//! The gateway of a run: the engine of the product on a simulated disk.

use super::disk::Disk;
use super::site::{OFFSET_MS, Site, gateway_key};
use kakou_core::event::Author;
use kakou_core::evidence::Hash;
use kakou_core::ids::{DeviceId, GatewayId, LaneId, SiteId};
use kakou_core::lane::Setup;
use kakou_core::profile;
use kakou_core::time::Now;
use kakou_gateway::engine::{Effects, Engine, Job, Moment, Parts, Setups};
use kakou_gateway::store::photos::Photos;
use kakou_gateway::store::retention::{Delivered, Retention};
use kakou_link::clock::TimeSource;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The site.
pub const SITE: &str = "simulated";
/// The gateway.
pub const GATEWAY: &str = "gw-1";
/// The devices of the lane, by role.
pub const DEVICES: [&str; 3] = ["scanner", "thermometer", "barrier"];

/// A name that is one.
fn id<T, E: std::fmt::Display>(made: Result<T, E>) -> Result<T, String> {
    made.map_err(|e| e.to_string())
}

/// The gateway, on or off.
pub struct Gateway {
    engine: Option<Engine>,
}

impl Gateway {
    /// One that is off.
    pub const fn off() -> Self {
        Self { engine: None }
    }

    /// Switches it on.
    pub fn switch_on(&mut self, site: &Site, disk: &Disk, boot: u64, now: &Now) -> Result<Effects, String> {
        let mut engine = id(Engine::open(parts(site, disk, boot)?))?;
        // The clock of this world never stands before what was kept of it.
        if engine.floor_ms().zip(now.wall_ms).is_some_and(|(floor, wall)| floor > wall) {
            return Err("the journal has kept a time that was not yet".into());
        }
        let effects = engine.start(now);
        self.engine = Some(engine);
        Ok(effects)
    }

    /// It loses its power: nothing is said, nothing is finished.
    pub fn dies(&mut self) {
        self.engine = None;
    }

    /// The engine, if it is on.
    pub const fn engine(&self) -> Option<&Engine> {
        self.engine.as_ref()
    }

    /// Hands jobs over; none are a quiet moment.
    pub fn handle(&mut self, now: &Now, jobs: Vec<Job>) -> Effects {
        let Some(engine) = &mut self.engine else { return Effects::default() };
        engine.handle(now, &mut jobs.into_iter().map(|job| (*now, job)))
    }

    /// What is owed to clock and store.
    pub fn upkeep(&mut self, at: &Moment) -> Effects {
        self.engine.as_mut().map_or_else(Effects::default, |engine| engine.upkeep(at))
    }
}

fn parts(site: &Site, disk: &Disk, boot: u64) -> Result<Parts, String> {
    let (name, text) = site.profile();
    id(profile::read(name, text))?;
    let lane = id(LaneId::new("lane-1"))?;
    let mut devices = BTreeMap::new();
    for role in DEVICES {
        devices.insert(role.to_owned(), id(DeviceId::new(role))?);
    }
    let key = gateway_key();
    let signs = key.clone();
    let setups: Setups = Box::new(move |trust, subjects| {
        vec![Setup {
            lane: lane.clone(),
            profile: Arc::new(profile::read(name, text).expect("it was read before")),
            devices: devices.clone(),
            region: String::new(),
            place: kakou_core::lane::PLACE.into(),
            gateway: GATEWAY.into(),
            members: BTreeMap::new(),
            profile_hash: Hash::of(text.as_bytes()).hex(),
            utc_offset_ms: OFFSET_MS,
            trust: trust.clone(),
            subjects: subjects.clone(),
            key: signs.clone(),
            training: false,
            badges: std::sync::Arc::default(),
            private: None,
        }]
    });
    let author = Author {
        site: id(SiteId::new(SITE))?,
        gateway: id(GatewayId::new(GATEWAY))?,
        boot: format!("boot-{boot}"),
    };
    Ok(Parts {
        data: disk.folder().to_path_buf(),
        author,
        setups,
        trust: site.trust.clone(),
        subjects: site.subjects.clone(),
        upstream: "offline",
        source: TimeSource::Ntp,
        key,
        photos: id(Photos::open(disk.folder()))?,
        retention: Retention {
            max_bytes: u64::MAX,
            // What is receipted is purged at once: nothing else may be.
            keep_days: 0,
            delivered: Delivered::Receipted,
            photo_bytes: u64::MAX,
            photo_days: 30,
            reserve_bytes: 0,
        },
        others: None,
    })
}
