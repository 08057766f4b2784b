//! The drivers by name. A new device is one file and one line here.

use crate::SavePhoto;
use crate::blocking::Blocking;
use crate::camera::files::Files;
use crate::camera::v4l2::{Purpose, V4l2};
use crate::camera::{Camera, FrameSource, Preview, thermal};
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
use crate::line_scanner::{LineScanner, Lines};
use crate::mlx90640_i2c::Mlx90640;
use crate::modbus_ir::{self, ModbusIr};
use crate::modbus_relay::{self, ModbusRelay};
use crate::newland::Newland;
use crate::options::Options;
use crate::scale::Scale;
use crate::scan_text::{Framing, MAX_BEFORE};
use crate::ssi::Ssi;
use crate::thermometer::{Module, Thermometer};
use crate::wedge::Wedge;
use kakou_core::profile::DeviceKind;

/// A pause inside a code may be set to so many milliseconds.
const PAUSES: std::ops::RangeInclusive<u64> = 20..=10_000;
/// Words for "nothing read".
const MAX_WORDS: usize = 32;

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
    /// What its port can say beside what every port of its [kind](Driver::settings) can.
    own: &'static [&'static str],
    /// How it is made.
    pub make: Make,
}

const SCANNER: &[DeviceKind] = &[DeviceKind::Scanner];
const THERMOMETER: &[DeviceKind] = &[DeviceKind::Thermometer];
const RELAY: &[DeviceKind] = &[DeviceKind::Relay];
const CAMERA: &[DeviceKind] = &[DeviceKind::Camera, DeviceKind::Scanner];
const SIGNAL: &[DeviceKind] = &[DeviceKind::Signal];

/// What every serial port can say beside its path.
const OF_SERIAL: &[&str] = &["baud", "usb", "record"];
/// What the port of a reader of text can say.
const OF_TEXT: &[&str] = &["terminator", "pause_ms", "aim", "code_id", "before", "no_read"];
/// The same where reading can wait for a word.
const OF_ENGINE: &[&str] = &["terminator", "pause_ms", "aim", "code_id", "before", "no_read", "trigger"];
const OF_GPIO: &[&str] = &["lines", "active_low"];

const fn driver(
    name: &'static str,
    kinds: &'static [DeviceKind],
    own: &'static [&'static str],
    make: Make,
) -> Driver {
    Driver { name, kinds, own, make }
}

/// Every driver.
pub const DRIVERS: [Driver; 25] = [
    driver("line-scanner", SCANNER, OF_TEXT, Make::Serial(|o| codec(LineScanner::new(lines(o)?)))),
    driver(
        "gm65",
        SCANNER,
        OF_ENGINE,
        Make::Serial(|o| codec(EngineScanner::new(Gm65::new(o.trigger), lines(o)?))),
    ),
    driver(
        "honeywell",
        SCANNER,
        OF_ENGINE,
        Make::Serial(|o| match o.trigger {
            Trigger::Continuous => codec(EngineScanner::new(Honeywell, lines(o)?)),
            Trigger::Sensing | Trigger::Command => Err("`trigger` of a honeywell is `continuous`".into()),
        }),
    ),
    driver(
        "newland",
        SCANNER,
        OF_ENGINE,
        Make::Serial(|o| {
            codec(EngineScanner::new(Newland { told: o.trigger == Trigger::Command }, lines(o)?))
        }),
    ),
    driver(
        "zebra-ssi",
        &[DeviceKind::Scanner, DeviceKind::Signal],
        &["aim", "code_id", "before", "no_read"],
        Make::Serial(|o| codec(Ssi::new(lines(o)?.framing))),
    ),
    driver("keyboard-wedge", SCANNER, OF_TEXT, Make::Blocking(|o, _| device(Wedge::new(&o.path, lines(o)?)))),
    driver("id-card", SCANNER, &[], Make::Serial(|_| codec(IdCard::default()))),
    driver(
        "gy-mcu90614",
        THERMOMETER,
        &["body_grade"],
        Make::Serial(|o| thermometer(GyMcu90614 { body_grade: o.body_grade })),
    ),
    driver(
        "gy-mcu90640",
        THERMOMETER,
        &["black_body"],
        Make::Serial(|o| thermometer(GyMcu90640 { black_body: o.black_body })),
    ),
    driver(
        "haiman-peak",
        THERMOMETER,
        &["body_grade"],
        Make::Serial(|o| thermometer(HaimanPeak { body_grade: o.body_grade })),
    ),
    driver(
        "haiman-32x32",
        THERMOMETER,
        &["black_body"],
        Make::Serial(|o| thermometer(Haiman32 { black_body: o.black_body })),
    ),
    driver(
        "modbus-ir",
        THERMOMETER,
        &["dialect", "address", "body_grade"],
        Make::Shared(|o| {
            let profiles = modbus_ir::PROFILES.map(|p| (p.name, p));
            thermometer(ModbusIr::new(dialect(o, &profiles)?, o.address, o.body_grade))
        }),
    ),
    driver(
        "mlx90614-iio",
        THERMOMETER,
        &["body_grade"],
        Make::Blocking(|o, _| device(Iio::new(&o.path, o.body_grade))),
    ),
    driver(
        "mlx90640-i2c",
        THERMOMETER,
        &["black_body"],
        Make::Blocking(|o, _| device(Mlx90640::new(&o.path, o.black_body))),
    ),
    driver(
        "lepton",
        THERMOMETER,
        &["black_body", "size"],
        Make::Blocking(|o, s| thermal_camera(o, s, thermal::lepton)),
    ),
    driver(
        "amg88xx",
        THERMOMETER,
        &["black_body", "size"],
        Make::Blocking(|o, s| thermal_camera(o, s, thermal::amg88xx)),
    ),
    driver(
        "modbus-relay",
        RELAY,
        &["dialect", "address", "channel"],
        Make::Shared(|o| {
            codec(ModbusRelay::new(dialect(o, &modbus_relay::Dialect::NAMES)?, o.address, o.channel))
        }),
    ),
    driver("gpio-relay", RELAY, OF_GPIO, Make::Blocking(|o, _| gpio(o, Use::Relay, 1..=1))),
    driver("gpio-signal", SIGNAL, OF_GPIO, Make::Blocking(|o, _| gpio(o, Use::Signal, 3..=4))),
    driver("gpio-input", &[DeviceKind::Input], OF_GPIO, Make::Blocking(|o, _| gpio(o, Use::Input, 1..=1))),
    driver(
        "still-camera",
        CAMERA,
        &["read_codes"],
        Make::Blocking(|o, s| camera(o, s, Box::new(Files::new(&o.path)))),
    ),
    driver(
        "v4l2-camera",
        CAMERA,
        &["read_codes", "size"],
        Make::Blocking(|o, s| camera(o, s, Box::new(V4l2::new(&o.path, size(o)?, Purpose::Camera)))),
    ),
    driver("escpos", &[DeviceKind::Printer], &[], Make::Serial(|_| codec(EscPos::default()))),
    driver(
        "light-tower",
        SIGNAL,
        &["dialect"],
        Make::Serial(|o| codec(LightTower::new(dialect(o, &light_tower::Dialect::NAMES)?))),
    ),
    driver("scale", &[DeviceKind::Scale], &[], Make::Serial(|_| codec(Scale::default()))),
];

/// How the codes of a reader come.
fn lines(o: &Options) -> Result<Lines, String> {
    if o.pause_ms.is_some_and(|ms| !PAUSES.contains(&ms)) {
        return Err(format!("`pause_ms` is {} to {}", PAUSES.start(), PAUSES.end()));
    }
    let usual = Framing::default();
    let no_read = o.no_read.clone().unwrap_or(usual.no_read);
    if no_read.len() > MAX_WORDS || no_read.iter().any(|word| word.trim().is_empty()) {
        return Err(format!("`no_read` is a list of up to {MAX_WORDS} words, none of them empty"));
    }
    let no_read = no_read.iter().map(|word| word.trim().to_owned()).collect();
    let good =
        |text: &String| (1..=MAX_BEFORE).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if o.before.len() > MAX_WORDS || !o.before.iter().all(good) {
        return Err(format!(
            "`before` is a list of up to {MAX_WORDS} texts of 1 to {MAX_BEFORE} plain characters, as the reader puts them before codes"
        ));
    }
    let framing = Framing { aim: o.aim, code_id: o.code_id, before: o.before.clone(), no_read };
    Ok(Lines { terminator: o.terminator, pause_ms: o.pause_ms, framing })
}

fn codec(codec: impl Codec + 'static) -> Result<Box<dyn Codec>, String> {
    Ok(Box::new(codec))
}

fn thermometer(module: impl Module + 'static) -> Result<Box<dyn Codec>, String> {
    codec(Thermometer::new(module))
}

fn device(device: impl Blocking + 'static) -> Result<Box<dyn Blocking>, String> {
    Ok(Box::new(device))
}

fn camera(
    o: &Options,
    supplies: Supplies,
    source: Box<dyn FrameSource>,
) -> Result<Box<dyn Blocking>, String> {
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
    /// What the port of such a device can say.
    pub fn settings(&self) -> Vec<&'static str> {
        let of_kind = match self.make {
            Make::Serial(_) | Make::Shared(_) => OF_SERIAL,
            Make::Blocking(_) => &[],
        };
        ["path"].iter().chain(of_kind).chain(self.own).copied().collect()
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_setting_belongs_to_a_driver_and_every_driver_knows_its_own() {
        let serde_list =
            serde_json::from_str::<Options>(r#"{"path": "p", "slave": 1}"#).unwrap_err().to_string();
        for driver in &DRIVERS {
            for setting in driver.settings() {
                assert!(serde_list.contains(&format!("`{setting}`")), "{}: {setting}", driver.name);
            }
        }
        let all: Vec<&str> = DRIVERS.iter().flat_map(Driver::settings).collect();
        let listed = serde_list.split("expected one of").nth(1).unwrap();
        let known: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
        assert!(known.len() > 10 && known.iter().all(|k| all.contains(k)), "{known:?}");
    }

    #[test]
    fn settings_of_text_are_checked() {
        let with = |change: fn(&mut Options)| {
            let mut o = Options::at(Path::new("p"));
            change(&mut o);
            find("line-scanner").map(|d| d.check(&o)).unwrap()
        };
        assert!(with(|o| o.pause_ms = Some(80)).is_ok() && with(|o| o.no_read = Some(Vec::new())).is_ok());
        assert!(with(|o| o.pause_ms = Some(5)).unwrap_err().contains("20 to 10000"));
        assert!(with(|o| o.no_read = Some(vec![" ".into()])).unwrap_err().contains("none of them empty"));
    }
}
