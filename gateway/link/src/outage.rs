//! Log messages about a link that is down: the first failure is logged at once, repetitions rarely, so that a broker
//! that is unreachable for a night does not fill the log.

use std::time::{Duration, Instant};

/// The same reason is logged again after this time.
const RARELY: Duration = Duration::from_secs(600);
/// Another reason is logged after this time.
const ANOTHER: Duration = Duration::from_secs(60);
/// A link that was up for this long has recovered: the next failure is a new outage.
const STEADY: Duration = Duration::from_secs(60);

/// One link, and what was logged about it.
#[derive(Debug)]
pub struct Outage {
    link: String,
    /// When the outage began, and the number of attempts since.
    since: Option<Instant>,
    tries: u64,
    up: Option<Instant>,
    told: Option<(Instant, String)>,
    told_up: Option<Instant>,
}

impl Outage {
    /// Of a link that has not been tried: which one, and to where.
    pub fn new(link: &str, broker: &str) -> Self {
        let link = format!("{link} by {broker}");
        Self { link, since: None, tries: 0, up: None, told: None, told_up: None }
    }

    /// The link is up; returns the message to log, if any.
    pub fn up(&mut self, now: Instant) -> Option<String> {
        self.up = Some(now);
        let away = now.saturating_duration_since(self.since?);
        let due = self.told_up.is_none_or(|at| now.saturating_duration_since(at) >= RARELY);
        due.then(|| {
            self.told_up = Some(now);
            format!("{}: there again after {} s", self.link, away.as_secs())
        })
    }

    /// The link was lost or did not come up; returns the message to log, if any.
    pub fn lost(&mut self, why: &str, now: Instant) -> Option<String> {
        if self.up.take().is_some_and(|at| now.saturating_duration_since(at) >= STEADY) {
            (self.since, self.tries, self.told, self.told_up) = (None, 0, None, None);
        }
        let since = *self.since.get_or_insert(now);
        self.tries += 1;
        let due = self.told.as_ref().is_none_or(|(at, said)| {
            now.saturating_duration_since(*at) >= if said == why { RARELY } else { ANOTHER }
        });
        due.then(|| {
            let first = self.told.replace((now, why.to_owned())).is_none();
            let link = &self.link;
            if first {
                format!(
                    "{link}: {why}; it is tried again, and this is said every {} min",
                    RARELY.as_secs() / 60
                )
            } else {
                let away = now.saturating_duration_since(since).as_secs();
                format!("{link}: {why}; for {away} s, {} tries", self.tries)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_is_away_is_said_once_and_then_rarely_and_the_link_is_named() {
        let (mut link, begun) = (Outage::new("events", "mqtt://m:1883"), Instant::now());
        let at = |s: u64| begun + Duration::from_secs(s);
        assert_eq!(link.up(begun), None, "nothing was wrong");
        let first = link.lost("connection refused", at(61)).unwrap();
        assert!(first.starts_with("events by mqtt://m:1883: connection refused"), "{first}");
        // A night of tries, two a minute.
        let said = (1..1_200).filter_map(|n| link.lost("connection refused", at(61 + 30 * n))).count();
        assert_eq!(said, 59, "every ten minutes");
        assert!(link.up(at(40_000)).unwrap().contains("there again after 39939 s"));
        // It comes up and falls at once, again and again.
        let said =
            (0..600).filter_map(|n| link.lost("not authorised", at(40_001 + n)).or(link.up(at(40_001 + n))));
        assert!(said.count() <= 3);
        assert!(
            link.lost("not authorised", at(50_000)).unwrap().contains("events by"),
            "after a steady hour"
        );
    }

    #[test]
    fn another_reason_is_said_sooner() {
        let (mut link, begun) = (Outage::new("photographs", "mqtt://m:1883"), Instant::now());
        assert!(link.lost("no route", begun).is_some());
        assert!(link.lost("refused", begun + Duration::from_secs(5)).is_none());
        let later = link.lost("refused", begun + Duration::from_secs(65)).unwrap();
        assert!(later.ends_with("refused; for 65 s, 3 tries"), "{later}");
    }
}
