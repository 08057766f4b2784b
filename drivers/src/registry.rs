//! The drivers by name. A new device is one file and one line here.

use crate::codec::Codec;
use crate::engine_scanner::EngineScanner;
use crate::gm65::{Gm65, Trigger};
use crate::gy_mcu90614::GyMcu90614;
use crate::gy_mcu90640::GyMcu90640;
use crate::honeywell::Honeywell;
use crate::line_scanner::{LineScanner, Terminator};
use crate::modbus_relay::ModbusRelay;
use crate::newland::Newland;
use crate::ssi::Ssi;
use crate::thermometer::Thermometer;
use kakou_core::profile::DeviceKind;
use serde::Deserialize;
use std::path::PathBuf;

/// The settings of a device, as configuration writes them. Each driver takes what it needs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The port, or the file or folder of a still camera.
    pub path: PathBuf,
    /// Speed of a serial port.
    #[serde(default = "baud")]
    pub baud: u32,
    /// How a scanner ends a code.
    #[serde(default)]
    pub terminator: Terminator,
    /// How a scanner of the GM65 family begins to read.
    #[serde(default)]
    pub trigger: Trigger,
    /// Modbus address.
    #[serde(default = "address")]
    pub address: u8,
    /// Relay, counted from 0.
    #[serde(default)]
    pub channel: u8,
    /// Whether a thermometer is specified for the body.
    #[serde(default)]
    pub body_grade: bool,
    /// The USB identity that must be behind the port, as `vid:pid` or `vid:pid:serial`.
    #[serde(default)]
    pub usb: Option<String>,
}

const fn baud() -> u32 {
    9600
}
const fn address() -> u8 {
    1
}

/// How a driver reaches its device.
pub enum Make {
    /// Over a serial port.
    Serial(fn(&Options) -> Box<dyn Codec>),
    /// From files.
    Stills,
}

/// One driver.
pub struct Driver {
    /// Its name in configuration.
    pub name: &'static str,
    /// The kind of device.
    pub kind: DeviceKind,
    /// How it is made.
    pub make: Make,
}

/// Every driver.
pub const DRIVERS: [Driver; 9] = [
    Driver {
        name: "line-scanner",
        kind: DeviceKind::Scanner,
        make: Make::Serial(|o| Box::new(LineScanner::new(o.terminator))),
    },
    Driver {
        name: "gm65",
        kind: DeviceKind::Scanner,
        make: Make::Serial(|o| Box::new(EngineScanner::new(Gm65::new(o.trigger), o.terminator))),
    },
    Driver {
        name: "honeywell",
        kind: DeviceKind::Scanner,
        make: Make::Serial(|o| Box::new(EngineScanner::new(Honeywell, o.terminator))),
    },
    Driver {
        name: "newland",
        kind: DeviceKind::Scanner,
        make: Make::Serial(|o| Box::new(EngineScanner::new(Newland, o.terminator))),
    },
    Driver { name: "zebra-ssi", kind: DeviceKind::Scanner, make: Make::Serial(|_| Box::new(Ssi::default())) },
    Driver {
        name: "gy-mcu90614",
        kind: DeviceKind::Thermometer,
        make: Make::Serial(|o| Box::new(Thermometer::new(GyMcu90614 { body_grade: o.body_grade }))),
    },
    Driver {
        name: "gy-mcu90640",
        kind: DeviceKind::Thermometer,
        make: Make::Serial(|_| Box::new(Thermometer::new(GyMcu90640))),
    },
    Driver {
        name: "modbus-relay",
        kind: DeviceKind::Relay,
        make: Make::Serial(|o| Box::new(ModbusRelay::new(o.address, o.channel))),
    },
    Driver { name: "still-camera", kind: DeviceKind::Camera, make: Make::Stills },
];

/// A driver by its name.
pub fn find(name: &str) -> Option<&'static Driver> {
    DRIVERS.iter().find(|d| d.name == name)
}
