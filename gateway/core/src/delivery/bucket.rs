//! How fast something may go.

use std::time::Duration;

/// Bytes that may go now: a bucket that fills at the rate.
#[derive(Debug)]
pub struct Bucket {
    rate: Option<u64>,
    /// What goes at once at most, however slow the rate is.
    largest: usize,
    level: f64,
    filled: Duration,
}

impl Bucket {
    /// Empty, from now on; without a rate everything may go.
    pub fn new(rate: Option<u64>, largest: usize, now: Duration) -> Self {
        Self { rate, largest, level: 0.0, filled: now }
    }

    /// Takes out so much, if it is there.
    pub fn take(&mut self, bytes: usize, now: Duration) -> bool {
        let Some(rate) = self.rate else { return true };
        let rate = rate as f64;
        let most = rate.max(self.largest as f64);
        self.level = (self.level + now.saturating_sub(self.filled).as_secs_f64() * rate).min(most);
        self.filled = now;
        if self.level < bytes as f64 {
            return false;
        }
        self.level -= bytes as f64;
        true
    }
}
