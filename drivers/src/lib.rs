//! Device drivers of the Kakou checkpoint gateway.
//!
//! A driver is a pure [`codec::Codec`] in one file and one line in [`registry::DRIVERS`]; the task
//! in [`serial`] owns the port, and nothing else does. [`sim`] speaks the same bytes from the
//! other side of a pty.

pub mod camera;
pub mod codec;
pub mod gy_mcu90614;
pub mod health;
pub mod line_scanner;
pub mod modbus_relay;
pub mod registry;
pub mod serial;
pub mod sim;

use kakou_core::ids::DeviceId;
use kakou_core::reading::Report;
use std::sync::Arc;

/// Where reports go. It never blocks; `false` means that the queue was full and the report is lost.
pub type Sink = Arc<dyn Fn(&DeviceId, Report) -> bool + Send + Sync>;

/// Makes a photograph durable and gives the hash that names it.
pub type SavePhoto = Arc<dyn Fn(&[u8]) -> std::io::Result<String> + Send + Sync>;
