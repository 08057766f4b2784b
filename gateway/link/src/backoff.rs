//! Pauses between connections, with chance from the system.

use kakou_core::delivery::backoff as pure;
use std::time::Duration;

pub use pure::{MAX, MIN};

/// The state of the pauses.
#[derive(Debug, Default)]
pub struct Backoff(pure::Backoff);

impl Backoff {
    /// The next pause; `up` is how long the lost connection had been up, if it had come up.
    pub fn pause(&mut self, up: Option<Duration>) -> Duration {
        self.0.pause(up, u16::from_le_bytes(random().unwrap_or([0x00, 0x80])))
    }
}

/// A seed for [`pure::Random`].
pub fn seed() -> u64 {
    random().map_or(0, u64::from_le_bytes)
}

/// None where the system has no chance to give.
fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).ok()?;
    Some(bytes)
}
