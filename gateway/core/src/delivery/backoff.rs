//! Pauses between attempts: doubled, with full jitter, so that a fleet does not come back at once.

use std::time::Duration;

/// The first pause at most.
pub const MIN: Duration = Duration::from_millis(200);
/// The longest.
pub const MAX: Duration = Duration::from_secs(30);
/// A connection that held so long was a good one.
pub const GOOD: Duration = Duration::from_secs(10);

/// The state of the pauses.
#[derive(Debug)]
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(MIN)
    }
}

impl Backoff {
    /// The next pause: a random part of what it may be, at least a tenth. `up` is how long the lost connection had been
    /// up, if it had come up; `random` is any number.
    pub fn pause(&mut self, up: Option<Duration>, random: u16) -> Duration {
        if up.is_some_and(|up| up >= GOOD) {
            self.0 = MIN;
        }
        let pause = self.0.mul_f64(0.1 + 0.9 * f64::from(random) / f64::from(u16::MAX));
        self.0 = (self.0 * 2).min(MAX);
        pause
    }
}

/// Numbers that a seed gives, for what need not be secret.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number (`SplitMix64`, Steele, Lea, Flood 2014).
    pub fn draw(&mut self) -> u16 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        u16::try_from((z ^ (z >> 31)) >> 48).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_cap_and_begin_anew_after_a_good_connection() {
        for random in [0, 30_000, u16::MAX] {
            let mut backoff = Backoff::default();
            let pauses: Vec<Duration> = (0..12).map(|_| backoff.pause(None, random)).collect();
            assert!(pauses[0] <= MIN && pauses.iter().all(|p| *p >= MIN / 10 && *p <= MAX));
            assert!(pauses[11] >= MAX / 10);
            assert!(
                backoff.pause(Some(Duration::from_secs(2)), random) > MIN,
                "a short connection is no good one"
            );
            assert!(backoff.pause(Some(GOOD), random) <= MIN);
        }
    }

    #[test]
    fn a_seed_gives_the_same_numbers_again_and_they_are_spread() {
        let all = |seed| {
            let mut random = Random::new(seed);
            std::iter::from_fn(move || Some(random.draw())).take(1_000).collect::<Vec<_>>()
        };
        assert_eq!(all(7), all(7));
        assert_ne!(all(7), all(8));
        let low = all(7).iter().filter(|n| **n < u16::MAX / 2).count();
        assert!((400..600).contains(&low), "{low}");
    }
}
