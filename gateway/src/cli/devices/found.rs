//! What is attached.

use kakou_core::profile::DeviceKind;
use kakou_drivers::ports::Node;
use kakou_drivers::registry;

/// Something attached, and what is known of it.
pub struct AttachedDevice {
    /// Its node.
    pub node: Node,
    /// What people call it.
    pub name: String,
    /// The driver for it.
    pub driver: Option<&'static str>,
    /// Its speed, where a question was answered at another than the usual.
    pub baud: Option<u32>,
    /// Why it cannot be used as it is.
    pub trouble: Option<String>,
    /// What is worth knowing of it.
    pub note: Option<&'static str>,
}

/// Which kind a driver's device is first of all.
pub fn kind(driver: &str) -> Option<DeviceKind> {
    registry::find(driver).and_then(|d| d.kinds.first().copied())
}
