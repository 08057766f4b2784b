//! Waits until a condition holds, with a deadline: tests have no fixed sleeps.

use std::time::{Duration, Instant};

/// Looks until `what` gives a value; panics with the name of what was awaited.
pub fn until<T>(name: &str, limit: Duration, mut what: impl FnMut() -> Option<T>) -> T {
    try_until(limit, &mut what).unwrap_or_else(|| panic!("{name} did not happen within {limit:?}"))
}

/// Does something, and again every ten seconds, until `what` gives a value or the time is over.
pub fn asking<T>(limit: Duration, mut ask: impl FnMut(), mut what: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        ask();
        let left = end.saturating_duration_since(Instant::now());
        match try_until(left.min(Duration::from_secs(10)), &mut what) {
            None if Instant::now() < end => {}
            found => return found,
        }
    }
}

/// Looks until `what` gives a value or the time is over.
pub fn try_until<T>(limit: Duration, mut what: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = what() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        // Slower than a gateway's limit of requests: what is awaited is often asked for over HTTP.
        std::thread::sleep(Duration::from_millis(15));
    }
}
