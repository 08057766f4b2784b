//! Starts a task for each device and keeps their health.

use crate::config::DeviceEntry;
use kakou_core::ids::DeviceId;
use kakou_core::profile::DeviceKind;
use kakou_drivers::blocking::{self, DeviceLink};
use kakou_drivers::bus::Bus;
use kakou_drivers::camera::{Preview, preview};
use kakou_drivers::codec::Codec;
use kakou_drivers::health::{Health, Monitor};
use kakou_drivers::hotplug::{self, HotplugSignal, Ringer};
use kakou_drivers::registry::{Make, Supplies};
use kakou_drivers::serial::{self, Member, Port};
use kakou_drivers::{DeviceCommand, Gateway, SavePhoto};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Commands that may wait at one device; beyond it a request fails at once.
pub const COMMANDS: usize = 32;

/// Senders of commands, one a device.
pub type Commands = BTreeMap<DeviceId, mpsc::Sender<DeviceCommand>>;

/// Devices before their task runs: one, or several on one line.
pub struct Waiting {
    devices: Vec<(DeviceEntry, Monitor, Preview)>,
    commands: mpsc::Receiver<DeviceCommand>,
}

/// A device as the status page knows it.
#[derive(Clone)]
pub struct DeviceInfo {
    /// Its id.
    pub id: DeviceId,
    /// Its driver.
    pub driver: &'static str,
    /// Its port.
    pub port: String,
    /// Its health.
    pub health: watch::Receiver<Health>,
    /// Whether it is a camera.
    pub camera: bool,
    /// Whether it is there to read codes.
    pub reads_codes: bool,
    /// What it sees, if it is one.
    pub preview: Preview,
}

/// What is known of each device, as JSON.
pub fn health(known: &[DeviceInfo]) -> Vec<Value> {
    let one = |d: &DeviceInfo| {
        let h = d.health.borrow();
        json!({ "id": d.id, "driver": d.driver, "port": d.port, "state": h.state,
            "since_s": h.since.elapsed().as_secs(), "last_seen_s": h.last_seen.map(|t| t.elapsed().as_secs()),
            "errors": h.errors, "detail": h.detail, "firmware": h.firmware,
            "latency_ms": h.latency.map(|l| l.as_secs_f64() * 1e3) })
    };
    known.iter().map(one).collect()
}

/// Prepares all devices: the ways in, and what the status page reads.
pub fn prepare(entries: Vec<DeviceEntry>) -> (Vec<Waiting>, Commands, Vec<DeviceInfo>) {
    let (mut waiting, mut senders, mut known): (Vec<Waiting>, Commands, Vec<DeviceInfo>) = Default::default();
    for entry in entries {
        let (monitor, health) = Monitor::new();
        let seen = preview();
        let (id, driver) = (entry.id.clone(), entry.driver.name);
        let port = entry.options.path.display().to_string();
        let camera = entry.driver.kinds.contains(&DeviceKind::Camera);
        let reads_codes = entry.options.read_codes;
        known.push(DeviceInfo {
            id: id.clone(),
            driver,
            port,
            health,
            camera,
            reads_codes,
            preview: seen.clone(),
        });
        let shares = |w: &Waiting| {
            let (first, ..) = &w.devices[0];
            matches!(first.driver.make, Make::Shared(_)) && first.options.path == entry.options.path
        };
        // Devices on one line share its task, and the way to it.
        let line = waiting.iter().position(|w| matches!(entry.driver.make, Make::Shared(_)) && shares(w));
        match line {
            Some(line) => {
                let (first, ..) = &waiting[line].devices[0];
                let sender = senders[&first.id].clone();
                senders.insert(id, sender);
                waiting[line].devices.push((entry, monitor, seen));
            }
            None => {
                let (tx, commands) = mpsc::channel(COMMANDS);
                senders.insert(id, tx);
                waiting.push(Waiting { devices: vec![(entry, monitor, seen)], commands });
            }
        }
    }
    (waiting, senders, known)
}

/// What every task of a device gets.
pub struct Surroundings {
    /// Where reports go.
    pub gateway: Arc<dyn Gateway>,
    /// Makes pictures durable.
    pub save: SavePhoto,
    /// Ends all.
    pub cancel: CancellationToken,
}

/// Starts the tasks on the thread of the engine.
pub fn start(waiting: Vec<Waiting>, with: &Surroundings, on: &Handle) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (ringer, bell) = Ringer::new();
    tasks.spawn_on(hotplug::run(ringer, with.cancel.clone()), on);
    for line in waiting {
        let names: Vec<String> = line.devices.iter().map(|(e, ..)| e.id.to_string()).collect();
        if let Err(why) = start_one(line, with, &bell, &mut tasks, on) {
            // The configuration was checked with the same settings.
            log::error!(device = names.join(",").as_str(); "cannot be started: {why}");
        }
    }
    tasks
}

fn start_one(
    line: Waiting,
    with: &Surroundings,
    bell: &HotplugSignal,
    tasks: &mut JoinSet<()>,
    on: &Handle,
) -> Result<(), String> {
    let Waiting { devices, commands } = line;
    let (gateway, cancel) = (with.gateway.clone(), with.cancel.clone());
    let mut codecs: Vec<Box<dyn Codec>> = Vec::new();
    let mut members = Vec::new();
    let mut options = None;
    for (entry, monitor, preview) in devices {
        match entry.driver.make {
            Make::Serial(make) | Make::Shared(make) => {
                codecs.push(make(&entry.options)?);
                members.push(Member { device: entry.id, monitor });
                options.get_or_insert(entry.options);
            }
            Make::Blocking(make) => {
                let work = make(&entry.options, Supplies { save: with.save.clone(), preview })?;
                let hands = DeviceLink::new(entry.id, gateway, monitor);
                tasks.spawn_on(blocking::run(work, hands, commands, bell.clone(), cancel), on);
                return Ok(());
            }
        }
    }
    let Some(options) = options else { return Ok(()) };
    let port = Port { options, members, bus: Bus::new(codecs), commands, gateway, bell: bell.clone() };
    tasks.spawn_on(serial::run(port, cancel), on);
    Ok(())
}
