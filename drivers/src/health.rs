//! The health of a device as the status page shows it.

use serde::Serialize;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Where a device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Being opened.
    Opening,
    /// It is there.
    Ready,
    /// It is not there.
    Absent,
    /// It is there and does not work.
    Fault,
}

/// The health of one device.
#[derive(Debug, Clone)]
pub struct Health {
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// When the last valid frame arrived.
    pub last_seen: Option<Instant>,
    /// Garbled frames, overflows, time-outs, losses.
    pub errors: u64,
    /// The latest error in words.
    pub detail: String,
    /// What the device says of itself: model, firmware, format.
    pub firmware: String,
    /// How long the latest request waited for its answer.
    pub latency: Option<Duration>,
}

/// The writing end, owned by the driver's task.
pub struct Monitor(watch::Sender<Health>);

impl Monitor {
    /// A device that is being opened, and where to read of it.
    pub fn new() -> (Self, watch::Receiver<Health>) {
        let health = Health {
            state: State::Opening,
            since: Instant::now(),
            last_seen: None,
            errors: 0,
            detail: String::new(),
            firmware: String::new(),
            latency: None,
        };
        let (tx, rx) = watch::channel(health);
        (Self(tx), rx)
    }
    /// Sets the state; whether it is another than before.
    pub fn state(&self, state: State, detail: impl Into<String>) -> bool {
        let detail = detail.into();
        self.0.send_if_modified(|h| {
            let changed = h.state != state;
            if changed {
                h.since = Instant::now();
            }
            h.state = state;
            h.detail = detail;
            changed
        })
    }
    /// What the device says of itself.
    pub fn firmware(&self, firmware: &str) {
        self.0.send_if_modified(|h| {
            firmware.clone_into(&mut h.firmware);
            false
        });
    }
    /// A request was answered so long after it was made.
    pub fn answered(&self, latency: Duration) {
        self.0.send_if_modified(|h| {
            h.latency = Some(latency);
            false
        });
    }
    /// A valid frame arrived.
    pub fn seen(&self) {
        self.0.send_if_modified(|h| {
            h.last_seen = Some(Instant::now());
            false
        });
    }
    /// Counts an error.
    pub fn error(&self, what: &str) {
        self.0.send_if_modified(|h| {
            h.errors += 1;
            what.clone_into(&mut h.detail);
            false
        });
    }
}
