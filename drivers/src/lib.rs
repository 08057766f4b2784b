//! Device drivers of the Kakou checkpoint gateway.
//!
//! A driver is one file and one line in [`registry::DRIVERS`]. A device on a serial port is a pure [`codec::Codec`]
//! (bytes in, reports and bytes out), driven by the task in [`serial`] that owns the port; a device behind a blocking
//! interface is a [`blocking::Blocking`] with a thread of its own. [`sim`] has simulated devices that speak the same
//! bytes at the other end of a pty.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod blocking;
pub mod bus;
pub mod camera;
pub mod codec;
pub mod engine_scanner;
pub mod escpos;
pub mod gm65;
pub mod gpio;
pub mod gy_mcu90614;
pub mod gy_mcu90640;
pub mod haiman;
pub mod health;
pub mod honeywell;
pub mod hotplug;
pub mod id_card;
pub mod iio;
pub mod jpeg;
pub mod known;
pub mod light_tower;
pub mod line_scanner;
pub mod mlx90640;
pub mod mlx90640_i2c;
pub mod modbus_ir;
pub mod modbus_relay;
pub mod newland;
pub mod options;
pub mod ports;
pub mod qr;
pub mod record;
pub mod registry;
mod retry;
pub mod scale;
pub mod scan_text;
pub mod serial;
pub mod sim;
pub mod ssi;
pub mod thermometer;
pub mod wedge;

use kakou_core::codes::Outcome;
use kakou_core::ids::DeviceId;
use kakou_core::reading::{Command, Report, Ticket};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A command on its way to a device.
#[derive(Debug, Clone)]
pub struct DeviceCommand {
    /// To whom.
    pub device: DeviceId,
    /// Marks the answer.
    pub ticket: Ticket,
    /// What to do.
    pub command: Command,
    /// When the last byte arrived that led to it.
    pub since: Instant,
    /// When it was sent, which is when whoever waits for its answer began to wait.
    pub sent: Instant,
}

/// A command that opens, prints or shows green waits so long at most, in milliseconds, before its driver has it: behind
/// a port that is slow to open it would be carried out when everybody has given it up, and maybe for somebody else.
pub const HELD_MS: u64 = 1_000;

/// What is said of one that waited longer.
pub(crate) const TOO_LATE: &str = "a command waited too long for its port: it is not carried out";

impl DeviceCommand {
    /// Whether it waited too long to be carried out.
    pub fn is_late(&self) -> bool {
        let fleeting = match &self.command {
            Command::Pulse { .. } | Command::Print { .. } => true,
            Command::Signal { outcome, .. } => *outcome == Outcome::Admit,
            Command::Measure | Command::Stop | Command::Capture { .. } | Command::Read { .. } => false,
        };
        fleeting && self.sent.elapsed() > Duration::from_millis(HELD_MS)
    }
}

/// The gateway, as drivers see it. Nothing here blocks.
pub trait Gateway: Send + Sync {
    /// Takes a report whose last byte arrived then; `false` means that the queue was full and the
    /// report is lost.
    fn report(&self, device: &DeviceId, report: Report, arrived: Instant) -> bool;
    /// A pulse was written to its board so long after the last byte that led to it.
    fn pulsed(&self, after: Duration);
}

/// Makes a photograph durable and gives the hash that names it.
pub type SavePhoto = Arc<dyn Fn(&[u8]) -> std::io::Result<String> + Send + Sync>;
