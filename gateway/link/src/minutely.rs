//! A throttle for reports of things that an outsider can trigger without limit: the first one is reported at once,
//! the rest once a minute with their count, so that neither the journal nor the log fills up.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Between two records.
pub const EVERY: Duration = Duration::from_secs(60);

/// Occurrences that have not been reported yet.
#[derive(Debug, Default)]
pub struct Throttle {
    count: u64,
    last: Value,
    told: Option<Instant>,
}

impl Throttle {
    /// It has happened: `last` is an object that says what.
    pub fn note(&mut self, last: Value, times: u64) {
        self.count = self.count.saturating_add(times);
        self.last = last;
    }

    /// Whether nothing is waiting and the last report is a minute old, so that the next one is reported at once.
    pub fn is_over(&self, now: Instant) -> bool {
        self.count == 0 && self.told.is_none_or(|at| now.saturating_duration_since(at) >= EVERY)
    }

    /// The report that is due now, if any: the latest occurrence, with the number of them as `count`.
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
        let (mut told, begun) = (Throttle::default(), Instant::now());
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
