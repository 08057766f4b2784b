//! What anybody may cause as often as they like, and what must be known all the same: the first of it at once, then
//! once a minute how often it was. Neither the journal nor the log fills with it.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Between two records.
pub const EVERY: Duration = Duration::from_secs(60);

/// What has not been told yet.
#[derive(Debug, Default)]
pub struct Minutely {
    count: u64,
    last: Value,
    told: Option<Instant>,
}

impl Minutely {
    /// It has happened: `last` is an object that says what.
    pub fn note(&mut self, last: Value, times: u64) {
        self.count = self.count.saturating_add(times);
        self.last = last;
    }

    /// Whether nothing waits, and nothing was told for so long that the next is told at once.
    pub fn is_over(&self, now: Instant) -> bool {
        self.count == 0 && self.told.is_none_or(|at| now.saturating_duration_since(at) >= EVERY)
    }

    /// What is to be told now, if it is time: the last of it, and as `count` how often it was.
    pub fn due(&mut self, now: Instant) -> Option<Value> {
        if self.count == 0 || self.told.is_some_and(|at| now.saturating_duration_since(at) < EVERY) {
            return None;
        }
        self.told = Some(now);
        let mut data = std::mem::take(&mut self.last);
        data["count"] = json!(std::mem::take(&mut self.count));
        Some(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_then_one_a_minute_with_a_count() {
        let (mut told, begun) = (Minutely::default(), Instant::now());
        assert_eq!(told.due(begun), None);
        told.note(json!({ "why": "a" }), 1);
        assert_eq!(told.due(begun), Some(json!({ "why": "a", "count": 1 })));
        for n in 0..10_000 {
            told.note(json!({ "why": n }), 1);
            assert_eq!(told.due(begun + Duration::from_secs(59)), None);
        }
        assert_eq!(told.due(begun + EVERY), Some(json!({ "why": 9_999, "count": 10_000 })));
        assert_eq!(told.due(begun + 2 * EVERY), None, "nothing more has happened");
    }
}
