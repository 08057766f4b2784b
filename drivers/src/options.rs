//! The settings of a device, as configuration writes them: what a port is opened with and what a driver is made of.

use crate::gm65::Trigger;
use crate::line_scanner::Terminator;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The settings of a device, as configuration writes them. Each driver takes what it needs; what its port can say is
/// in [`Driver::settings`](crate::registry::Driver::settings).
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
    /// The longest pause inside a code, in milliseconds; by `terminator` if absent.
    #[serde(default)]
    pub pause_ms: Option<u64>,
    /// Whether a scanner puts an AIM identifier before each code.
    #[serde(default)]
    pub aim: bool,
    /// Whether it puts a letter for the kind of code there.
    #[serde(default)]
    pub code_id: bool,
    /// Other texts for the kind of code that it puts there.
    #[serde(default)]
    pub before: Vec<String>,
    /// What it sends when it has read nothing; the usual words if absent.
    #[serde(default)]
    pub no_read: Option<Vec<String>>,
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
            pause_ms: None,
            aim: false,
            code_id: false,
            before: Vec::new(),
            no_read: None,
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
