//! How long a device that is gone is left alone before it is opened again: the pause doubles from one to the other.

use std::time::Duration;

/// The first pause before a device is opened again.
pub const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest.
pub const RETRY_MAX: Duration = Duration::from_secs(3);
