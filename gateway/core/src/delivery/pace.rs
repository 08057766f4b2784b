//! How much of the backlog may be under way at once, so that it fills the link and no queue.
//!
//! The product of delivery rate and shortest round trip is what the link itself holds; twice that
//! keeps it busy while acknowledgements come in bunches. More would only wait somewhere between here
//! and the broker, and what happens now would wait behind it. The estimate is that of BBR
//! (Cardwell et al., "BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016), without
//! its probing for bandwidth: acknowledgements here are of messages, not of segments.

use std::time::Duration;

/// Never less: a few messages.
pub const LEAST: usize = 32 << 10;
/// Never more: memory is bounded.
pub const MOST: usize = 2 << 20;
/// The shortest round trip is measured anew after this.
const MEMORY: Duration = Duration::from_secs(10);
/// What a rate keeps of itself with each acknowledgement that was slower.
const FADE: f64 = 0.98;

/// A message when it left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Left {
    at: Duration,
    bytes: usize,
    delivered: u64,
    /// Whether it met an empty queue, so that its round trip is that of the link.
    alone: bool,
}

/// The estimate.
#[derive(Debug)]
pub struct Pace {
    under_way: usize,
    delivered: u64,
    /// Bytes a second.
    rate: f64,
    trip: Option<(Duration, Duration)>,
    /// The round trip is old: one message leaves alone, to measure it anew without a queue of ours.
    probing: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { under_way: 0, delivered: 0, rate: 0.0, trip: None, probing: false }
    }
}

impl Pace {
    /// Bytes that may be under way.
    pub fn limit(&self) -> usize {
        let held = self.trip.map_or(0.0, |(trip, _)| 2.0 * self.rate * trip.as_secs_f64());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped right after")]
        let held = held.min(MOST as f64) as usize;
        held.clamp(LEAST, MOST)
    }
    /// Whether another message may leave.
    pub fn room(&self) -> bool {
        if self.probing { self.under_way == 0 } else { self.under_way < self.limit() }
    }
    /// A message leaves.
    pub fn leaves(&mut self, bytes: usize, now: Duration) -> Left {
        let alone = self.under_way == 0;
        self.under_way += bytes;
        Left { at: now, bytes, delivered: self.delivered, alone }
    }
    /// It was acknowledged.
    pub fn arrived(&mut self, left: Left, now: Duration) {
        self.under_way = self.under_way.saturating_sub(left.bytes);
        self.delivered += left.bytes as u64;
        let trip = now.saturating_sub(left.at).max(Duration::from_micros(50));
        match self.trip {
            Some((least, _)) if trip > least && !(self.probing && left.alone) => {}
            Some(_) | None => {
                self.trip = Some((trip, now));
                self.probing = false;
            }
        }
        self.probing |= self.trip.is_some_and(|(_, since)| now.saturating_sub(since) > MEMORY);
        let sample = (self.delivered - left.delivered) as f64 / trip.as_secs_f64();
        self.rate = sample.max(self.rate * FADE);
    }
    /// The connection is gone with everything under way; the next one may be another link.
    pub fn restart(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// A link of some bytes a second and a round trip, for messages of 10 kB: the most that waited
    /// in its queue behind the first second, and the share of the link that was used.
    fn drain(bytes_per_s: f64, trip: Duration) -> (f64, f64) {
        let (mut pace, begun) = (Pace::default(), Duration::ZERO);
        let mut now = begun;
        let mut free = begun;
        let mut way: VecDeque<(Duration, Left)> = VecDeque::new();
        let (mut waited, mut sent) = (0.0_f64, 0.0);
        while now < begun + Duration::from_secs(20) {
            while pace.room() {
                let start = free.max(now);
                free = start + Duration::from_secs_f64(10_000.0 / bytes_per_s);
                if now > begun + Duration::from_secs(1) {
                    waited = waited.max(start.saturating_sub(now).as_secs_f64());
                }
                way.push_back((free + trip, pace.leaves(10_000, now)));
                sent += 10_000.0;
            }
            let Some((at, left)) = way.pop_front() else { break };
            now = at;
            pace.arrived(left, now);
        }
        (waited, sent / bytes_per_s / 20.0)
    }

    #[test]
    fn a_backlog_fills_the_link_and_builds_no_queue_that_matters() {
        for (rate, trip_ms) in [(12_500_000.0, 50), (1_250_000.0, 300), (32_000.0, 100)] {
            let (waited, used) = drain(rate, Duration::from_millis(trip_ms));
            let least = LEAST as f64 / rate;
            let bound = 2.0 * trip_ms as f64 / 1000.0 + least + 0.02;
            assert!(
                waited <= bound,
                "{rate} B/s, {trip_ms} ms: {waited:.3} s in the queue, bound {bound:.3}"
            );
            assert!(used > 0.9, "{rate} B/s, {trip_ms} ms: {used:.2} of the link");
        }
    }
}
