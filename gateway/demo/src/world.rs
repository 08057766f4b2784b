//! The demo's surroundings: simulated devices, the folder of the daemon, and the controls of the
//! demo page.

use crate::cards::{Card, Deck, deal};
use crate::run::DemoError;
use kakou_central::qr;
use kakou_drivers::sim::printer::PrinterSim;
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_drivers::sim::thermometer::ThermometerSim;
use kakou_gateway::http::auth::hash_pin;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The lanes of the demo: id, profile, devices by role.
const LANES: [(&str, &str, &[&str]); 11] = [
    ("school-1", "school-gate", &["scanner", "thermometer", "barrier"]),
    ("truck-1", "truck-supplies", &["scanner", "thermometer", "barrier", "camera"]),
    ("triage-1", "pre-triage", &["scanner", "thermometer"]),
    ("ward-1", "ward-door", &["reader-in", "reader-out", "door"]),
    ("shop-1", "pharmacy", &["scanner", "thermometer"]),
    ("site-1", "site-onboarding", &["scanner", "barrier"]),
    ("site-in-1", "site-daily", &["scanner", "thermometer", "printer", "barrier"]),
    ("site-out-1", "site-exit", &["scanner", "barrier"]),
    ("seal-1", "seal-check", &["scanner", "camera", "barrier"]),
    ("er-1", "emergency", &["door"]),
    ("car-1", "resident-car", &["scanner", "thermometer", "barrier"]),
];

/// Officers: id, name, role, PIN.
pub const OFFICERS: [(&str, &str, &str, &str); 5] = [
    ("li", "李敏", "guard", "2468"),
    ("chen", "陈护士", "nurse", "2468"),
    ("zhao", "赵运管", "transport", "2468"),
    ("wang", "王主管", "supervisor", "1357"),
    ("he", "何收运", "collector", "2468"),
];

/// The pictures that a camera of the demo can see.
const PICTURES: [(&str, &[u8]); 5] = [
    ("plate", include_bytes!("../photos/plate.jpg")),
    ("closeup", include_bytes!("../photos/closeup.jpg")),
    ("overall", include_bytes!("../photos/overall.jpg")),
    ("dark", include_bytes!("../photos/dark.jpg")),
    ("blurred", include_bytes!("../photos/blurred.jpg")),
];

/// What a normal forehead shows.
pub const NORMAL_MDEG: i32 = 36_600;

struct LaneSims {
    /// By their roles: a door has one on each side.
    scanners: BTreeMap<&'static str, Mutex<ScannerSim>>,
    thermometer: Option<(ThermometerSim, AtomicI32)>,
    camera: bool,
    _relays: Vec<RelaySim>,
    _printers: Vec<PrinterSim>,
}

/// Everything around the daemon.
pub struct World {
    cards: Vec<Card>,
    lanes: BTreeMap<&'static str, LaneSims>,
    cameras: PathBuf,
    seen: Mutex<String>,
    plug: watch::Sender<bool>,
}

impl World {
    /// Makes devices, lists and configuration in a folder.
    pub fn make(folder: &Path, broker: u16, port: u16, plug: watch::Sender<bool>) -> Result<Self, DemoError> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed());
        let Deck { cards, lists } = deal(now_s).map_err(DemoError::Cards)?;
        let list_folder = folder.join("data/lists");
        fs::create_dir_all(&list_folder)?;
        for (name, list) in lists {
            fs::write(list_folder.join(name), list.to_string())?;
        }
        let ports = folder.join("ports");
        let cameras = folder.join("camera");
        fs::create_dir_all(&ports)?;
        fs::create_dir_all(&cameras)?;
        let mut lanes = BTreeMap::new();
        for (id, _, devices) in LANES {
            let port = |role: &str| ports.join(format!("{id}-{role}"));
            let mut sims = LaneSims {
                scanners: BTreeMap::new(),
                thermometer: None,
                camera: false,
                _relays: Vec::new(),
                _printers: Vec::new(),
            };
            for &role in devices {
                match driver(role) {
                    "line-scanner" => {
                        let scanner = ScannerSim::new(&port(role), Faults::default(), 1)?;
                        sims.scanners.insert(role, Mutex::new(scanner));
                    }
                    "gy-mcu90614" => {
                        let every = Duration::from_millis(60);
                        let thermometer = ThermometerSim::new(&port(role), NORMAL_MDEG, every)?;
                        sims.thermometer = Some((thermometer, AtomicI32::new(NORMAL_MDEG)));
                    }
                    "escpos" => sims._printers.push(PrinterSim::new(&port(role))?),
                    "modbus-relay" => sims._relays.push(RelaySim::new(&port(role), drop)?),
                    _ => sims.camera = true,
                }
            }
            lanes.insert(id, sims);
        }
        let world = Self { cards, lanes, cameras, seen: Mutex::new("good".into()), plug };
        world.look("good")?;
        fs::write(folder.join("kakou.toml"), configuration(broker, port)?)?;
        Ok(world)
    }

    /// What every camera sees from now on.
    fn look(&self, look: &str) -> std::io::Result<()> {
        for role in ["plate", "closeup", "overall"] {
            let name = if look == "good" { role } else { look };
            let (_, bytes) = PICTURES.iter().find(|(n, _)| *n == name).unwrap_or(&PICTURES[0]);
            let fresh = self.cameras.join("new");
            fs::write(&fresh, bytes)?;
            fs::rename(&fresh, self.cameras.join(format!("{role}.jpg")))?;
        }
        Ok(())
    }

    fn sims(&self, lane: &str) -> Result<&LaneSims, String> {
        self.lanes.get(lane).ok_or_else(|| format!("there is no lane `{lane}` in the demo"))
    }
}

/// The driver of a role.
fn driver(role: &str) -> &'static str {
    match role {
        "scanner" | "reader-in" | "reader-out" => "line-scanner",
        "thermometer" => "gy-mcu90614",
        "barrier" | "door" => "modbus-relay",
        "printer" => "escpos",
        _ => "still-camera",
    }
}

fn configuration(broker: u16, port: u16) -> Result<String, DemoError> {
    let mut out = format!(
        "[gateway]\nsite = \"demo\"\nid = \"gw-1\"\nregion = \"211400\"\nutc_offset_minutes = 480\ndata = \"data\"\n\n\
         [clock]\nsource = \"system\"\n\n[http]\nlisten = \"127.0.0.1:{port}\"\n\n\
         [upstream]\nbroker = \"mqtt://127.0.0.1:{broker}\"\n\n[retention]\nmax_mb = 256\nreserve_mb = 1\n"
    );
    for (id, name, role, pin) in OFFICERS {
        let hash = hash_pin(pin).map_err(DemoError::Cards)?;
        out.push_str(&format!(
            "\n[[officer]]\nid = \"{id}\"\nname = \"{name}\"\nrole = \"{role}\"\npin = '{hash}'\n"
        ));
    }
    for (lane, profile, devices) in LANES {
        let mut roles = Vec::new();
        for role in devices {
            let driver = driver(role);
            let path =
                if driver == "still-camera" { "camera".to_owned() } else { format!("ports/{lane}-{role}") };
            let grade = if *role == "thermometer" { ", body_grade = true" } else { "" };
            out.push_str(&format!(
                "\n[[device]]\nid = \"{lane}-{role}\"\ndriver = \"{driver}\"\nport = {{ path = \"{path}\"{grade} }}\n"
            ));
            roles.push(format!("{role} = \"{lane}-{role}\""));
        }
        let roles = roles.join(", ");
        out.push_str(&format!(
            "\n[[lane]]\nid = \"{lane}\"\nprofile = \"{profile}\"\ndevices = {{ {roles} }}\n"
        ));
    }
    Ok(out)
}

impl World {
    /// What the page shows.
    pub fn describe(&self) -> Value {
        let cards = self.cards.iter().map(|c| {
            json!({ "id": c.id, "lane": c.lane, "title": c.title, "hint": c.hint, "text": c.text, "qr_svg": qr::svg(&c.text, &[]).unwrap_or_default() })
        });
        let officers =
            OFFICERS.iter().map(|(id, _, role, pin)| json!({ "id": id, "pin": pin, "role": role }));
        let mut warm = BTreeMap::new();
        for (id, lane) in &self.lanes {
            warm.extend(lane.thermometer.iter().map(|(_, mdeg)| (*id, mdeg.load(Ordering::Acquire))));
        }
        let seen = self.seen.lock().map(|s| s.clone()).unwrap_or_default();
        let cameras = self.lanes.iter().filter(|(_, lane)| lane.camera);
        let looks: BTreeMap<&str, &str> = cameras.map(|(id, _)| (*id, seen.as_str())).collect();
        json!({
            "cards": cards.collect::<Vec<_>>(), "lanes": LANES.map(|(id, ..)| id), "network": *self.plug.borrow(),
            "temperatures": warm, "looks": looks, "officers": officers.collect::<Vec<_>>(),
        })
    }

    /// Presents a card to a lane's scanner.
    pub fn present(&self, lane: &str, card: &str) -> Result<(), String> {
        let known = self.cards.iter().find(|c| c.id == card);
        let card = known.ok_or_else(|| format!("there is no card `{card}`"))?;
        let scanners = &self.sims(lane)?.scanners;
        let scanner = card.on.and_then(|role| scanners.get(role)).or_else(|| scanners.values().next());
        let scanner = scanner.ok_or_else(|| format!("the lane `{lane}` reads no codes"))?;
        scanner.lock().map_err(|e| e.to_string())?.scan(&card.text).map_err(|e| e.to_string())
    }

    /// Sets what stands before a lane's thermometer.
    pub fn temperature(&self, lane: &str, mdeg: i32) -> Result<(), String> {
        if !(10_000..=60_000).contains(&mdeg) {
            return Err("between 10000 and 60000 thousandths of a degree".into());
        }
        let measures = self.sims(lane)?.thermometer.as_ref();
        let (thermometer, shown) = measures.ok_or_else(|| format!("the lane `{lane}` measures nobody"))?;
        shown.store(mdeg, Ordering::Release);
        thermometer.set(mdeg);
        Ok(())
    }

    /// Pulls or plugs the network.
    pub fn network(&self, up: bool) {
        self.plug.send_replace(up);
    }

    /// Sets what a lane's camera sees.
    pub fn camera(&self, lane: &str, look: &str) -> Result<(), String> {
        self.sims(lane)?;
        if !["good", "dark", "blurred"].contains(&look) {
            return Err("`look` is good, dark or blurred".into());
        }
        self.look(look).map_err(|e| e.to_string())?;
        look.clone_into(&mut *self.seen.lock().map_err(|e| e.to_string())?);
        Ok(())
    }
}
