//! Pauses between connections: doubled, with full jitter, so that a fleet does not come back at once.

use std::time::Duration;

/// The first pause at most.
pub const MIN: Duration = Duration::from_millis(200);
/// The longest.
pub const MAX: Duration = Duration::from_secs(30);
/// A connection that held so long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// The state of the pauses.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(MIN)
    }
}

impl Backoff {
    /// The next pause; `up` is how long the lost connection had been up, if it had come up.
    pub fn pause(&mut self, up: Option<Duration>) -> Duration {
        if up.is_some_and(|up| up >= GOOD) {
            self.0 = MIN;
        }
        let pause = jitter(self.0);
        self.0 = (self.0 * 2).min(MAX);
        pause
    }
}

/// A random part of a pause, at least a tenth.
fn jitter(pause: Duration) -> Duration {
    let mut bytes = [0_u8; 2];
    let random = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes).is_ok();
    let part = if random { f64::from(u16::from_le_bytes(bytes)) / 65_535.0 } else { 0.5 };
    pause.mul_f64(0.1 + 0.9 * part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_cap_and_begin_anew_after_a_good_connection() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..12).map(|_| backoff.pause(None)).collect();
        assert!(pauses[0] <= MIN && pauses.iter().all(|p| *p >= MIN / 10 && *p <= MAX));
        assert!(pauses[11] > 10 * MIN);
        assert!(backoff.pause(Some(Duration::from_secs(2))) > MIN, "a short connection is no good one");
        assert!(backoff.pause(Some(GOOD)) <= MIN);
    }
}
