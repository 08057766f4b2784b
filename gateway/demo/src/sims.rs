//! The simulated devices of one lane.

use crate::lanes::DemoLane;
use kakou_drivers::sim::printer::PrinterSim;
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scale::ScaleSim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_drivers::sim::thermometer::ThermometerSim;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};
use std::time::Duration;

/// What a normal forehead shows.
pub const NORMAL_MDEG: i32 = 36_600;
/// What lies on a scale before anybody says otherwise.
const LOAD_G: i64 = 1_500;

/// The devices; they are gone with it.
pub struct LaneSims {
    /// By their roles: a door has one on each side.
    scanners: BTreeMap<&'static str, Mutex<ScannerSim>>,
    thermometer: Option<(ThermometerSim, AtomicI32)>,
    scale: Option<(ScaleSim, AtomicI64)>,
    /// Whether it has a camera, which is a folder of pictures for all lanes.
    pub camera: bool,
    _relays: Vec<RelaySim>,
    _printers: Vec<PrinterSim>,
}

/// The driver of a role.
pub fn driver(role: &str) -> &'static str {
    match role {
        "scanner" | "reader-in" | "reader-out" => "line-scanner",
        "thermometer" => "gy-mcu90614",
        "barrier" | "door" => "modbus-relay",
        "printer" => "escpos",
        "scale" => "scale",
        _ => "still-camera",
    }
}

impl LaneSims {
    /// Makes those of a lane, at `LANE-ROLE` in a folder of ports.
    pub fn make(lane: &DemoLane, ports: &Path) -> io::Result<Self> {
        let mut sims = Self {
            scanners: BTreeMap::new(),
            thermometer: None,
            scale: None,
            camera: false,
            _relays: Vec::new(),
            _printers: Vec::new(),
        };
        for &role in lane.devices {
            let port = ports.join(format!("{}-{role}", lane.id));
            match driver(role) {
                "line-scanner" => {
                    let scanner = ScannerSim::new(&port, Faults::default(), 1)?;
                    sims.scanners.insert(role, Mutex::new(scanner));
                }
                "gy-mcu90614" => {
                    let thermometer = ThermometerSim::new(&port, NORMAL_MDEG, Duration::from_millis(60))?;
                    sims.thermometer = Some((thermometer, AtomicI32::new(NORMAL_MDEG)));
                }
                "scale" => {
                    let scale = ScaleSim::new(&port, LOAD_G, Duration::from_millis(200))?;
                    sims.scale = Some((scale, AtomicI64::new(LOAD_G)));
                }
                "escpos" => sims._printers.push(PrinterSim::new(&port)?),
                "modbus-relay" => sims._relays.push(RelaySim::new(&port, drop)?),
                _ => sims.camera = true,
            }
        }
        Ok(sims)
    }

    /// A scanner reads a code; the one of a role, where the lane has several.
    pub fn scan(&self, role: Option<&str>, text: &str) -> Result<(), String> {
        let scanner = role.and_then(|role| self.scanners.get(role)).or_else(|| self.scanners.values().next());
        let scanner = scanner.ok_or("this lane reads no codes")?;
        scanner.lock().map_err(|e| e.to_string())?.scan(text).map_err(|e| e.to_string())
    }

    /// What stands before the thermometer, in thousandths of a degree; none without one.
    pub fn mdeg(&self) -> Option<i32> {
        self.thermometer.as_ref().map(|(_, mdeg)| mdeg.load(Ordering::Acquire))
    }

    /// Sets it.
    pub fn set_mdeg(&self, mdeg: i32) -> Result<(), String> {
        let (thermometer, shown) = self.thermometer.as_ref().ok_or("this lane measures nobody")?;
        shown.store(mdeg, Ordering::Release);
        thermometer.set(mdeg);
        Ok(())
    }

    /// What lies on the scale, in grams; none without one.
    pub fn grams(&self) -> Option<i64> {
        self.scale.as_ref().map(|(_, grams)| grams.load(Ordering::Acquire))
    }

    /// Sets it.
    pub fn set_grams(&self, grams: i64) -> Result<(), String> {
        let (scale, shown) = self.scale.as_ref().ok_or("this lane weighs nothing")?;
        shown.store(grams, Ordering::Release);
        scale.set(grams);
        Ok(())
    }
}
