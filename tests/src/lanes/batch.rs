//! One daemon with many lanes, each for the script of a scenario, with simulated devices at pseudo-terminals.

use super::script::{LaneOf, Script};
use crate::daemon::{Gateway, Plan};
use crate::desk::{DeskClient, PIN};
use crate::figures::Missing;
use crate::{passes, wait};
use kakou_core::ids::{LaneId, OfficerId};
use kakou_core::lane::action::Role;
use kakou_core::profile::{self, DeviceKind, shipped};
use kakou_core::records::LISTS;
use kakou_core::time::WallMs;
use kakou_drivers::sim::engine::AnswerSim;
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scale::ScaleSim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_drivers::sim::thermometer::ThermometerSim;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// What a thermometer shows of whom nothing is said.
pub const USUAL_MDEG: i32 = 36_600;
/// How often a thermometer and a scale say something.
const PERIOD: Duration = Duration::from_millis(20);
/// At the region and the place where the scenarios are.
const UTC_OFFSET_MINUTES: i64 = 480;

/// The devices of a lane.
#[derive(Default)]
pub struct Devices {
    /// Readers by role.
    pub readers: BTreeMap<String, Mutex<ScannerSim>>,
    /// Thermometers.
    pub thermometers: Vec<ThermometerSim>,
    /// Scales.
    pub scales: Vec<ScaleSim>,
    /// Barriers, doors and printers.
    pub others: (Vec<RelaySim>, Vec<AnswerSim>),
}

/// The daemon, and what is at its ports.
pub struct Batch {
    /// The daemon.
    pub gateway: Gateway,
    /// Devices by script and lane.
    pub devices: BTreeMap<String, Devices>,
    /// Officers, signed in.
    pub desks: BTreeMap<OfficerId, DeskClient>,
}

/// Which scripts can share a daemon.
#[derive(Default)]
pub struct Company {
    /// They, by their places.
    pub members: Vec<usize>,
    names: BTreeSet<String>,
    profiles: BTreeSet<String>,
    officers: BTreeMap<OfficerId, Role>,
    stale: BTreeMap<String, WallMs>,
    region: String,
}

impl Company {
    /// Takes a script in, if it disturbs none of the others: nobody is named twice, and no profile has two lanes, which
    /// would share what they count.
    pub fn take(&mut self, place: usize, script: &Script) -> bool {
        let names = script.names();
        let profiles: BTreeSet<String> = script.lanes.iter().map(|lane| lane.profile.clone()).collect();
        let stale: BTreeSet<&str> = script.stale().into_keys().collect();
        let others = |id: &OfficerId, role: &Role| self.officers.get(id).is_some_and(|known| known != role);
        let fits = self.members.is_empty()
            || (self.names.is_disjoint(&names)
                && self.profiles.is_disjoint(&profiles)
                && stale == self.stale.keys().map(String::as_str).collect()
                && self.region == script.region
                && !script.officers.iter().any(|(id, role)| others(id, role)));
        if fits {
            self.stale.extend(script.stale().into_iter().map(|(name, issued)| (name.to_owned(), issued)));
            self.members.push(place);
            self.names.extend(names);
            self.profiles.extend(profiles);
            self.officers.extend(script.officers.clone());
            self.region.clone_from(&script.region);
        }
        fits
    }
}

/// The id that a lane of a script has in the daemon.
pub fn lane_id(place: usize, lane: &LaneId) -> String {
    format!("s{place}-{lane}")
}

fn pin_hash() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| kakou_gateway::http::auth::hash_pin(PIN).expect("a hash"))
}

/// What a camera sees, whatever it is asked for.
fn pictures(folder: &Path, roles: impl Iterator<Item = String>) -> Result<(), Missing> {
    let photos = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace is above")
        .join("gateway/demo/photos");
    std::fs::create_dir_all(folder)?;
    for role in roles {
        let own = photos.join(format!("{role}.jpg"));
        let from = if own.exists() { own } else { photos.join("overall.jpg") };
        std::fs::copy(from, folder.join(format!("{role}.jpg")))?;
    }
    Ok(())
}

impl Batch {
    /// Makes it in a folder, starts it, and signs everybody in.
    pub fn start(folder: &Path, company: &Company, scripts: &[Script]) -> Result<Self, Missing> {
        let members = || company.members.iter().map(|place| (*place, &scripts[*place]));
        let mut tables = String::new();
        for (id, role) in &company.officers {
            let (role, hash) = (role.as_str(), pin_hash());
            tables.push_str(&format!(
                "[[officer]]\nid = \"{id}\"\nname = \"{id}\"\nrole = \"{role}\"\npin = '{hash}'\n"
            ));
        }
        let mut devices = BTreeMap::new();
        std::fs::create_dir_all(folder.join("ports"))?;
        for (place, script) in members() {
            for lane in &script.lanes {
                let own = attach(folder, &lane_id(place, &lane.id), lane, script, &mut tables)?;
                devices.insert(lane_id(place, &lane.id), own);
            }
        }
        let head = format!("region = {:?}\nutc_offset_minutes = {UTC_OFFSET_MINUTES}", company.region);
        let plan = Plan { http: true, gateway: head, tables, ..Plan::default() };
        let mut gateway = Gateway::prepare(folder, plan);
        let mut keys = Vec::new();
        let mut lists: BTreeMap<&str, Map<String, Value>> =
            LISTS.into_iter().filter(|name| *name != "policy").map(|name| (name, Map::new())).collect();
        for (_, script) in members() {
            keys.clone_from(&script.trust.keys);
            for (name, (_, entries)) in &script.lists {
                if let Some(all) = lists.get_mut(name.as_str()) {
                    all.extend(entries.iter().map(|(id, facts)| (id.clone(), Value::Object(facts.clone()))));
                }
            }
        }
        passes::trust(&gateway.lists(), keys);
        for (name, entries) in lists {
            match company.stale.get(name) {
                None => passes::list(&gateway.lists(), name, entries),
                Some(issued) => passes::issued(&gateway.lists(), name, 1, issued.div_euclid(1_000), entries),
            }
        }
        gateway.start();
        let mut desks = BTreeMap::new();
        for id in company.officers.keys() {
            let mut desk = DeskClient::new(&gateway.url(""));
            let (status, answer) = desk.sign_in(id.as_str(), PIN)?;
            if status != 200 {
                return Err(Missing(format!("{id} cannot sign in: {answer}")));
            }
            desks.insert(id.clone(), desk);
        }
        let batch = Self { gateway, devices, desks };
        batch.ready()?;
        Ok(batch)
    }

    /// A page as JSON.
    pub fn get(&self, path: &str) -> Option<Value> {
        let desk = self.desks.values().next()?;
        serde_json::from_str(&desk.get(path).ok()?.1).ok()
    }

    /// Waits until every device answers.
    fn ready(&self) -> Result<(), Missing> {
        let mut last = Value::Null;
        let all = wait::try_until(Duration::from_secs(30), || {
            let status = self.get("/api/v1/status")?;
            let ready = status["devices"].as_array()?.iter().all(|device| device["state"] == "ready");
            last = status["devices"].clone();
            ready.then_some(())
        });
        all.ok_or_else(|| Missing(format!("not every device is ready: {last}\n{}", self.gateway.log())))
    }
}

/// The devices of a lane, and their tables.
fn attach(
    folder: &Path,
    id: &str,
    lane: &LaneOf,
    script: &Script,
    tables: &mut String,
) -> Result<Devices, Missing> {
    let read = |id: &str| {
        let (file, text) = shipped::find(id).ok_or_else(|| Missing(format!("{id} is not shipped")))?;
        Ok::<_, Missing>(profile::read(file, text)?)
    };
    let own = read(&lane.profile)?;
    let mut needs: BTreeMap<String, (DeviceKind, bool)> = BTreeMap::new();
    let mut roles = BTreeSet::new();
    let members = own.members().map(read).collect::<Result<Vec<_>, _>>()?;
    for profile in std::iter::once(&own).chain(&members) {
        needs.extend(profile.devices().map(|(role, kind, optional)| (role.to_owned(), (kind, optional))));
        for step in &profile.steps {
            if let profile::StepKind::Photo(photo) = &step.kind {
                roles.extend(photo.roles.iter().map(|role| role.value.clone()));
            }
        }
    }
    let weighs = script.doings.iter().any(|doing| matches!(doing, super::script::Doing::Load(..)));
    let (mut devices, mut named) = (Devices::default(), Vec::new());
    for (role, (kind, optional)) in needs {
        let port = format!("ports/{id}-{role}");
        let at = folder.join(&port);
        let (driver, more) = match kind {
            DeviceKind::Scanner => {
                devices.readers.insert(role.clone(), Mutex::new(ScannerSim::new(&at, Faults::default(), 1)?));
                ("line-scanner", "")
            }
            DeviceKind::Thermometer => {
                devices.thermometers.push(ThermometerSim::new(&at, USUAL_MDEG, PERIOD)?);
                ("gy-mcu90614", ", body_grade = true")
            }
            DeviceKind::Relay => {
                devices.others.0.push(RelaySim::new(&at, drop)?);
                ("modbus-relay", "")
            }
            DeviceKind::Printer => {
                devices.others.1.push(AnswerSim::printer(&at, 9_600, |_| {})?);
                ("escpos", "")
            }
            DeviceKind::Camera => {
                pictures(&at, roles.iter().cloned())?;
                ("still-camera", "")
            }
            DeviceKind::Scale if weighs || !optional => {
                devices.scales.push(ScaleSim::new(&at, 0, PERIOD)?);
                ("scale", "")
            }
            DeviceKind::Scale | DeviceKind::Input | DeviceKind::Signal => continue,
        };
        tables.push_str(&format!(
            "[[device]]\nid = \"{id}-{role}\"\ndriver = \"{driver}\"\nport = {{ path = \"{port}\"{more} }}\n"
        ));
        named.push(format!("{role} = \"{id}-{role}\""));
    }
    let (profile, place, named) = (&lane.profile, &lane.place, named.join(", "));
    tables.push_str(&format!(
        "[[lane]]\nid = \"{id}\"\nprofile = \"{profile}\"\nplace = {place:?}\ndevices = {{ {named} }}\n"
    ));
    Ok(devices)
}
