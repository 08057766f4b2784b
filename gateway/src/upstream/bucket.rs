//! How fast photographs may go.

use kakou_wire::photo::CHUNK;
use std::time::Instant;

/// Bytes that may go now: a bucket that fills at the rate.
pub(super) struct Bucket {
    rate: Option<u64>,
    level: f64,
    filled: Instant,
}

impl Bucket {
    /// Empty, from now on; without a rate everything may go.
    pub(super) fn new(rate: Option<u64>, now: Instant) -> Self {
        Self { rate, level: 0.0, filled: now }
    }

    /// Takes out so much, if it is there.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> bool {
        let Some(rate) = self.rate else { return true };
        let rate = rate as f64;
        let most = rate.max(CHUNK as f64 + 1024.0);
        self.level = (self.level + now.duration_since(self.filled).as_secs_f64() * rate).min(most);
        self.filled = now;
        if self.level < bytes as f64 {
            return false;
        }
        self.level -= bytes as f64;
        true
    }
}
