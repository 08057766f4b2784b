//! Starts a task for each device and keeps their health.

use crate::config::DeviceEntry;
use kakou_core::ids::DeviceId;
use kakou_drivers::health::{Health, Monitor};
use kakou_drivers::registry::Make;
use kakou_drivers::{Errand, Gateway, SavePhoto, camera, serial};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Commands that may wait at one device; beyond it a request fails at once.
pub const COMMANDS: usize = 32;

/// Senders of commands, one a device.
pub type Commands = BTreeMap<DeviceId, mpsc::Sender<Errand>>;

/// A device before its task runs.
pub struct Waiting {
    entry: DeviceEntry,
    commands: mpsc::Receiver<Errand>,
    monitor: Monitor,
}

/// A device as the status page knows it.
#[derive(Clone)]
pub struct Known {
    /// Its id.
    pub id: DeviceId,
    /// Its driver.
    pub driver: &'static str,
    /// Its port.
    pub port: String,
    /// Its health.
    pub health: watch::Receiver<Health>,
}

/// Prepares all devices: the ways in, and what the status page reads.
pub fn prepare(entries: Vec<DeviceEntry>) -> (Vec<Waiting>, Commands, Vec<Known>) {
    let (mut waiting, mut senders, mut known) = (Vec::new(), BTreeMap::new(), Vec::new());
    for entry in entries {
        let (tx, commands) = mpsc::channel(COMMANDS);
        let (monitor, health) = Monitor::new();
        senders.insert(entry.id.clone(), tx);
        known.push(Known {
            id: entry.id.clone(),
            driver: entry.driver.name,
            port: entry.options.path.display().to_string(),
            health,
        });
        waiting.push(Waiting { entry, commands, monitor });
    }
    (waiting, senders, known)
}

/// Starts the tasks on the thread of the engine.
pub fn start(
    waiting: Vec<Waiting>,
    gateway: &Arc<dyn Gateway>,
    save: &SavePhoto,
    cancel: &CancellationToken,
    on: &Handle,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for Waiting { entry, commands, monitor } in waiting {
        let (device, gateway, cancel) = (entry.id, gateway.clone(), cancel.clone());
        match entry.driver.make {
            Make::Serial(make) => {
                let codec = make(&entry.options);
                let port = serial::Port { device, options: entry.options, codec, commands, gateway, monitor };
                tasks.spawn_on(serial::run(port, cancel), on);
            }
            Make::Stills => {
                let save = save.clone();
                let stills =
                    camera::Stills { device, path: entry.options.path, commands, gateway, save, monitor };
                tasks.spawn_on(camera::run(stills, cancel), on);
            }
        }
    }
    tasks
}
