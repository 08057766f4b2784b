//! The drivers by name. A new device is one file and one line here.

use crate::SavePhoto;
use crate::blocking::Blocking;
use crate::camera::files::Files;
use crate::camera::v4l2::{Purpose, V4l2};
use crate::camera::{Camera, Preview, Source, thermal};
use crate::codec::Codec;
use crate::engine_scanner::EngineScanner;
use crate::escpos::EscPos;
use crate::gm65::{Gm65, Trigger};
use crate::gpio::{Gpio, Use};
use crate::gy_mcu90614::GyMcu90614;
use crate::gy_mcu90640::GyMcu90640;
use crate::haiman::{Haiman32, HaimanPeak};
use crate::honeywell::Honeywell;
use crate::id_card::IdCard;
use crate::iio::Iio;
use crate::light_tower::{self, LightTower};
use crate::line_scanner::{LineScanner, Terminator};
use crate::mlx90640_i2c::Mlx90640;
use crate::modbus_ir::{self, ModbusIr};
use crate::modbus_relay::{self, ModbusRelay};
use crate::newland::Newland;
use crate::scale::Scale;
use crate::ssi::Ssi;
use crate::thermometer::{Module, Thermometer};
use crate::wedge::Wedge;
use kakou_core::profile::DeviceKind;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The settings of a device, as configuration writes them. Each driver takes what it needs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The port, the node of a camera or chip, or the file or folder of a still camera.
    pub path: PathBuf,
    /// Speed of a serial port.
    #[serde(default = "baud")]
    pub baud: u32,
    /// How a scanner ends a code.
    #[serde(default)]
    pub terminator: Terminator,
    /// How a scanner begins to read.
    #[serde(default)]
    pub trigger: Trigger,
    /// Modbus address.
    #[serde(default = "address")]
    pub address: u8,
    /// Relay, counted from 0.
    #[serde(default)]
    pub channel: u8,
    /// How boards, towers and thermometers of one kind are spoken to; the driver's first one if absent.
    #[serde(default)]
    pub dialect: Option<String>,
    /// Whether a thermometer is specified for the body.
    #[serde(default)]
    pub body_grade: bool,
    /// Column and row of a black body in the view of a thermal camera.
    #[serde(default)]
    pub black_body: Option<[usize; 2]>,
    /// Whether a camera looks for codes.
    #[serde(default)]
    pub read_codes: bool,
    /// The size of a camera's pictures, as `1280x720`.
    #[serde(default)]
    pub size: Option<String>,
    /// GPIO lines of the chip.
    #[serde(default)]
    pub lines: Vec<u32>,
    /// Whether those are active when they are low.
    #[serde(default)]
    pub active_low: bool,
    /// The USB identity that must be behind the port, as `vid:pid` or `vid:pid:serial`.
    #[serde(default)]
    pub usb: Option<String>,
    /// Everything that goes over the port is recorded to this file.
    #[serde(default)]
    pub record: Option<PathBuf>,
}

impl Options {
    /// At a path, everything else as it is when nothing is said.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            baud: baud(),
            terminator: Terminator::default(),
            trigger: Trigger::default(),
            address: address(),
            channel: 0,
            dialect: None,
            body_grade: false,
            black_body: None,
            read_codes: false,
            size: None,
            lines: Vec::new(),
            active_low: false,
            usb: None,
            record: None,
        }
    }
}

const fn baud() -> u32 {
    9600
}
const fn address() -> u8 {
    1
}

/// What a device gets from the gateway when it is made.
pub struct Supplies {
    /// Makes pictures durable.
    pub save: SavePhoto,
    /// Where the desk looks.
    pub preview: Preview,
}

/// A serial driver, or why its settings are wrong.
pub type MakeSerial = fn(&Options) -> Result<Box<dyn Codec>, String>;
/// Another one.
pub type MakeBlocking = fn(&Options, Supplies) -> Result<Box<dyn Blocking>, String>;

/// How a driver reaches its device.
#[derive(Clone, Copy)]
pub enum Make {
    /// Over a serial port.
    Serial(MakeSerial),
    /// Over a serial line that several such devices share.
    Shared(MakeSerial),
    /// By a thread of its own.
    Blocking(MakeBlocking),
}

/// One driver.
pub struct Driver {
    /// Its name in configuration.
    pub name: &'static str,
    /// What its device can be in a lane.
    pub kinds: &'static [DeviceKind],
    /// How it is made.
    pub make: Make,
}

const SCANNER: &[DeviceKind] = &[DeviceKind::Scanner];
const THERMOMETER: &[DeviceKind] = &[DeviceKind::Thermometer];
const RELAY: &[DeviceKind] = &[DeviceKind::Relay];
const CAMERA: &[DeviceKind] = &[DeviceKind::Camera, DeviceKind::Scanner];
const SIGNAL: &[DeviceKind] = &[DeviceKind::Signal];

const fn serial(name: &'static str, kinds: &'static [DeviceKind], make: MakeSerial) -> Driver {
    Driver { name, kinds, make: Make::Serial(make) }
}
const fn shared(name: &'static str, kinds: &'static [DeviceKind], make: MakeSerial) -> Driver {
    Driver { name, kinds, make: Make::Shared(make) }
}
const fn blocking(name: &'static str, kinds: &'static [DeviceKind], make: MakeBlocking) -> Driver {
    Driver { name, kinds, make: Make::Blocking(make) }
}

/// Every driver.
pub const DRIVERS: [Driver; 25] = [
    serial("line-scanner", SCANNER, |o| codec(LineScanner::new(o.terminator))),
    serial("gm65", SCANNER, |o| codec(EngineScanner::new(Gm65::new(o.trigger), o.terminator))),
    serial("honeywell", SCANNER, |o| match o.trigger {
        Trigger::Continuous => codec(EngineScanner::new(Honeywell, o.terminator)),
        Trigger::Sensing | Trigger::Command => Err("`trigger` of a honeywell is `continuous`".into()),
    }),
    serial("newland", SCANNER, |o| {
        codec(EngineScanner::new(Newland { told: o.trigger == Trigger::Command }, o.terminator))
    }),
    serial("zebra-ssi", &[DeviceKind::Scanner, DeviceKind::Signal], |_| codec(Ssi::default())),
    blocking("keyboard-wedge", SCANNER, |o, _| device(Wedge::new(&o.path, o.terminator))),
    serial("id-card", SCANNER, |_| codec(IdCard::default())),
    serial("gy-mcu90614", THERMOMETER, |o| thermometer(GyMcu90614 { body_grade: o.body_grade })),
    serial("gy-mcu90640", THERMOMETER, |o| thermometer(GyMcu90640 { black_body: o.black_body })),
    serial("haiman-peak", THERMOMETER, |o| thermometer(HaimanPeak { body_grade: o.body_grade })),
    serial("haiman-32x32", THERMOMETER, |o| thermometer(Haiman32 { black_body: o.black_body })),
    shared("modbus-ir", THERMOMETER, |o| {
        let profiles = modbus_ir::PROFILES.map(|p| (p.name, p));
        thermometer(ModbusIr::new(dialect(o, &profiles)?, o.address, o.body_grade))
    }),
    blocking("mlx90614-iio", THERMOMETER, |o, _| device(Iio::new(&o.path, o.body_grade))),
    blocking("mlx90640-i2c", THERMOMETER, |o, _| device(Mlx90640::new(&o.path, o.black_body))),
    blocking("lepton", THERMOMETER, |o, s| thermal_camera(o, s, thermal::lepton)),
    blocking("amg88xx", THERMOMETER, |o, s| thermal_camera(o, s, thermal::amg88xx)),
    shared("modbus-relay", RELAY, |o| {
        codec(ModbusRelay::new(dialect(o, &modbus_relay::Dialect::NAMES)?, o.address, o.channel))
    }),
    blocking("gpio-relay", RELAY, |o, _| gpio(o, Use::Relay, 1..=1)),
    blocking("gpio-signal", SIGNAL, |o, _| gpio(o, Use::Signal, 3..=4)),
    blocking("gpio-input", &[DeviceKind::Input], |o, _| gpio(o, Use::Input, 1..=1)),
    blocking("still-camera", CAMERA, |o, s| camera(o, s, Box::new(Files::new(&o.path)))),
    blocking("v4l2-camera", CAMERA, |o, s| {
        camera(o, s, Box::new(V4l2::new(&o.path, size(o)?, Purpose::Camera)))
    }),
    serial("escpos", &[DeviceKind::Printer], |_| codec(EscPos::default())),
    serial("light-tower", SIGNAL, |o| codec(LightTower::new(dialect(o, &light_tower::Dialect::NAMES)?))),
    serial("scale", &[DeviceKind::Scale], |_| codec(Scale::default())),
];

fn codec(codec: impl Codec + 'static) -> Result<Box<dyn Codec>, String> {
    Ok(Box::new(codec))
}

fn thermometer(module: impl Module + 'static) -> Result<Box<dyn Codec>, String> {
    codec(Thermometer::new(module))
}

fn device(device: impl Blocking + 'static) -> Result<Box<dyn Blocking>, String> {
    Ok(Box::new(device))
}

fn camera(o: &Options, supplies: Supplies, source: Box<dyn Source>) -> Result<Box<dyn Blocking>, String> {
    device(Camera::new(source, o.read_codes, supplies.save, supplies.preview))
}

fn thermal_camera(
    o: &Options,
    supplies: Supplies,
    of: crate::camera::Thermal,
) -> Result<Box<dyn Blocking>, String> {
    let source = Box::new(V4l2::new(&o.path, size(o)?, Purpose::Thermal));
    device(Camera::new(source, false, supplies.save, supplies.preview).thermal(of, o.black_body))
}

fn gpio(
    o: &Options,
    purpose: Use,
    lines: std::ops::RangeInclusive<usize>,
) -> Result<Box<dyn Blocking>, String> {
    if lines.contains(&o.lines.len()) {
        return device(Gpio::new(&o.path, &o.lines, o.active_low, purpose));
    }
    Err(match purpose {
        Use::Signal => "`lines` are those of red, yellow, green and, if there is one, the buzzer".into(),
        Use::Relay | Use::Input => "`lines` is one line of the chip, as `lines = [17]`".into(),
    })
}

/// The dialect by its name, the first one without.
fn dialect<T: Copy>(o: &Options, names: &[(&str, T)]) -> Result<T, String> {
    let Some(wanted) = &o.dialect else { return Ok(names[0].1) };
    names.iter().find(|(name, _)| name == wanted).map(|(_, dialect)| *dialect).ok_or_else(|| {
        let allowed: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
        format!("`dialect` is `{wanted}`; allowed: {}", allowed.join(", "))
    })
}

/// The size of a camera's pictures.
fn size(o: &Options) -> Result<Option<(u32, u32)>, String> {
    let Some(text) = &o.size else { return Ok(None) };
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    let inside = |v: &u32| (16..=8192).contains(v);
    sides
        .filter(|(w, h)| inside(w) && inside(h))
        .map(Some)
        .ok_or_else(|| format!("`size` is `{text}`; write it as `1280x720`, up to 8192"))
}

/// A driver by its name.
pub fn find(name: &str) -> Option<&'static Driver> {
    DRIVERS.iter().find(|d| d.name == name)
}

impl Driver {
    /// Whether the settings fit.
    pub fn check(&self, o: &Options) -> Result<(), String> {
        match self.make {
            Make::Serial(make) | Make::Shared(make) => make(o).map(drop),
            Make::Blocking(_) if o.usb.is_some() || o.record.is_some() => {
                Err("`usb` and `record` are for serial ports; a name from /dev/v4l/by-id or /dev/input/by-id binds a \
                     device of this kind"
                    .into())
            }
            Make::Blocking(make) => {
                let save: SavePhoto = std::sync::Arc::new(|_| Err(std::io::ErrorKind::Unsupported.into()));
                make(o, Supplies { save, preview: crate::camera::preview() }).map(drop)
            }
        }
    }
}
