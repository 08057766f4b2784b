//! The clock of the box, as the product's is, without that of a machine: true or stepped, confirmed or not, and never
//! before what is known to be past.

use kakou_core::time::{Now, Quality};
use kakou_gateway::engine::ClockChange;
use std::cell::Cell;
use std::time::Duration;

/// The monotonic clock of a box when its daemon begins: less than a result is shown again.
const BOOTED_MS: u64 = 30_000;
/// How far the time may lie behind what is known to be past before that counts instead.
const SLACK_MS: i64 = 120_000;

/// The clock. Moments are milliseconds since the run began.
pub struct BoxClock {
    begins_ms: i64,
    on_at: u64,
    confirmed: bool,
    /// How far it is from the truth.
    off_ms: i64,
    /// What is known to be past, less the monotonic time.
    floor: Option<i64>,
    /// Since when it was neither stepped nor worth less or more.
    pub settled_at: u64,
    latest_ms: Cell<i64>,
}

impl BoxClock {
    /// One of a box that is off; the run begins at this moment.
    pub const fn new(begins_ms: i64) -> Self {
        Self {
            begins_ms,
            on_at: 0,
            confirmed: false,
            off_ms: 0,
            floor: None,
            settled_at: 0,
            latest_ms: Cell::new(begins_ms),
        }
    }

    /// The box is on.
    pub const fn begins(&mut self, at: u64, confirmed: bool) {
        (self.on_at, self.confirmed, self.floor, self.settled_at) = (at, confirmed, None, at);
    }

    /// A time source confirms it.
    pub const fn is_confirmed(&mut self, at: u64) {
        (self.confirmed, self.settled_at) = (true, at);
    }

    /// From now on it is so far from the truth.
    pub const fn is_off(&mut self, at: u64, ms: i64) {
        (self.off_ms, self.settled_at) = (ms, at);
    }

    /// The time of the box.
    pub fn now(&self, at: u64) -> Now {
        let mono_ms = BOOTED_MS + at - self.on_at;
        let own_ms = self.own_ms(at);
        let floor = self.floor.map(|floor| floor + mono_ms.cast_signed());
        let (wall_ms, quality) = match floor.filter(|floor| own_ms < floor - SLACK_MS) {
            Some(floor) => (floor, Quality::Floor),
            None if self.confirmed => (own_ms, Quality::Synced),
            None => (own_ms, Quality::Unsynced),
        };
        self.latest_ms.set(self.latest_ms.get().max(wall_ms));
        Now { mono_ms, wall_ms: Some(wall_ms), quality }
    }

    /// The same for delivery.
    pub fn delivery_now(&self, at: u64) -> kakou_core::delivery::Moment {
        let now = self.now(at);
        let mono = Duration::from_millis(now.mono_ms);
        kakou_core::delivery::Moment { mono, wall_ms: now.wall_ms.unwrap_or(0) }
    }

    const fn own_ms(&self, at: u64) -> i64 {
        self.begins_ms + at.cast_signed() + self.off_ms
    }

    /// Its own time, where a source stands for it.
    pub fn claimed_ms(&self, at: u64) -> Option<i64> {
        self.confirmed.then(|| self.own_ms(at))
    }

    /// The latest time that it has ever shown.
    pub const fn latest_ms(&self) -> i64 {
        self.latest_ms.get()
    }

    /// Whether a time source has confirmed it.
    pub const fn confirmed(&self) -> bool {
        self.confirmed
    }

    /// A moment of its monotonic time, in that of the run.
    pub const fn of_box(&self, mono_ms: u64) -> u64 {
        self.on_at + mono_ms.saturating_sub(BOOTED_MS)
    }

    /// The same of delivery, whose time is finer.
    pub fn of_delivery(&self, mono: Duration) -> u64 {
        self.of_box(u64::try_from(mono.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }

    /// This time is past.
    pub fn not_before(&mut self, at: u64, wall_ms: i64) {
        let floor = wall_ms - (BOOTED_MS + at - self.on_at).cast_signed();
        self.floor = Some(self.floor.map_or(floor, |before| before.max(floor)));
    }

    /// The engine says something of it.
    pub fn hears(&mut self, at: u64, change: ClockChange) {
        match change {
            ClockChange::NotBefore(wall_ms) => self.not_before(at, wall_ms),
            ClockChange::Believe(wall_ms) => {
                self.floor = None;
                self.not_before(at, wall_ms);
                self.settled_at = at;
            }
        }
    }
}
