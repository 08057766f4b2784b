//! The moment, with its quality.

use kakou_core::time::Now;
use rustix::time::{ClockId, clock_gettime};
use serde::Deserialize;

/// Where the wall time comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The system clock counts as known once the time service has said so.
    #[default]
    Ntp,
    /// The system clock is taken as it is: a box with a trusted clock of its own.
    System,
    /// Time stands still at a given moment: for conformance runs only.
    Fixed,
}

/// systemd-timesyncd makes this file when it has set the clock.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";

/// The clock of the box.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    source: Source,
    fixed_ms: i64,
}

impl Clock {
    /// With a source; `fixed_ms` matters for [`Source::Fixed`] only.
    pub const fn new(source: Source, fixed_ms: i64) -> Self {
        Self { source, fixed_ms }
    }

    /// Now. The monotonic time counts from boot and goes on while the box sleeps.
    pub fn now(&self) -> Now {
        let mono = clock_gettime(ClockId::Boottime);
        let mono_ms = u64::try_from(mono.tv_sec * 1000 + mono.tv_nsec / 1_000_000).unwrap_or(0);
        let wall = clock_gettime(ClockId::Realtime);
        let wall_ms = wall.tv_sec * 1000 + wall.tv_nsec / 1_000_000;
        match self.source {
            Source::Fixed => Now { mono_ms, wall_ms: Some(self.fixed_ms), synced: true },
            Source::System => Now { mono_ms, wall_ms: Some(wall_ms), synced: true },
            Source::Ntp => {
                let synced = std::path::Path::new(SYNCHRONISED).exists();
                Now { mono_ms, wall_ms: Some(wall_ms), synced }
            }
        }
    }
}

/// The id of this boot of the machine.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".into(), |s| s.trim().into())
}
