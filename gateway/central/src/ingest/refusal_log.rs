//! What the log says of a gateway that sends what cannot be taken: the first of it at once, then once a minute the last
//! of it and how often it was. Each is named, and none fills the log.

use super::From;
use kakou_link::minutely::{EVERY, Throttle};
use kakou_link::shown;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Instant;

/// The longest reason, in characters: much of it is what the gateway has written.
pub const LONGEST_WHY: usize = 300;
/// Gateways that are told apart; more of them are told together.
const GATEWAYS: usize = 16_384;

/// A reason as it stands in a log, a table and a receipt.
pub fn brief(why: impl Display) -> String {
    let why = why.to_string();
    let mut short: String = why.chars().take(LONGEST_WHY).collect();
    if short.len() < why.len() {
        short.push('…');
    }
    shown::line(&short)
}

/// What has not been told yet, by gateway; without one where the topic names none.
#[derive(Default)]
pub struct ThrottledByGateway {
    by: BTreeMap<Option<From>, Throttle>,
    looked: Option<Instant>,
}

impl ThrottledByGateway {
    /// Something of a gateway is not taken.
    pub fn note(&mut self, from: Option<&From>, what: &str, why: impl Display) {
        if let Some(line) = self.note_at(Instant::now(), from, what, why) {
            log::warn!("{line}");
        }
    }

    /// Tells the rest of what was noted, where a minute is over.
    pub fn rest(&mut self) {
        self.rest_at(Instant::now()).iter().for_each(|line| log::warn!("{line}"));
    }

    fn note_at(
        &mut self,
        now: Instant,
        from: Option<&From>,
        what: &str,
        why: impl Display,
    ) -> Option<String> {
        let mut key = from.cloned();
        if self.by.len() >= GATEWAYS && !self.by.contains_key(&key) {
            key = None;
        }
        let of = self.by.entry(key).or_default();
        of.note(json!({ "what": brief(what), "why": brief(why) }), 1);
        line(from, of, now)
    }

    fn rest_at(&mut self, now: Instant) -> Vec<String> {
        if self.looked.is_some_and(|at| now.saturating_duration_since(at) < EVERY / 4) {
            return Vec::new();
        }
        self.looked = Some(now);
        let lines = self.by.iter_mut().filter_map(|(from, of)| line(from.as_ref(), of, now)).collect();
        self.by.retain(|_, of| !of.is_over(now));
        lines
    }
}

fn line(from: Option<&From>, of: &mut Throttle, now: Instant) -> Option<String> {
    let data = of.due(now)?;
    let who = from.map_or_else(|| "somebody".to_owned(), |f| format!("{}/{}", f.site, f.gateway));
    let text = |name: &str| data[name].as_str().unwrap_or_default().to_owned();
    let (what, why) = (text("what"), text("why"));
    Some(match data["count"].as_u64() {
        Some(1) | None => format!("{who}: {what} is not taken: {why}"),
        Some(count) => format!("{who}: {count} times something is not taken, the last time {what}: {why}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_core::ids::{GatewayId, SiteId};
    use std::time::Duration;

    #[test]
    fn what_is_not_taken_is_one_short_line_a_minute_for_each_gateway() {
        let from =
            |name: &str| From { site: SiteId::new("s").unwrap(), gateway: GatewayId::new(name).unwrap() };
        let (mut told, now) = (ThrottledByGateway::default(), Instant::now());
        let first = told.note_at(now, Some(&from("bad")), "evt/\u{1b}[2J", "x\ny").unwrap();
        assert_eq!(first, "s/bad: evt/\u{fffd}[2J is not taken: x\u{fffd}y");
        for n in 0..10_000 {
            let more =
                told.note_at(now, Some(&from("bad")), "evt/scan", format!("{n} {}", "z".repeat(9_999)));
            assert_eq!(more, None);
        }
        assert!(told.note_at(now, Some(&from("other")), "health", "x").is_some(), "another is told apart");
        assert!(told.note_at(now, None, "x/y", "not a topic of ours").is_some());
        assert!(told.rest_at(now).is_empty());
        let later = told.rest_at(now + EVERY);
        assert_eq!(later.len(), 1);
        assert!(
            later[0].starts_with("s/bad: 10000 times something is not taken, the last time evt/scan: 9999 z")
        );
        assert!(later[0].chars().count() < LONGEST_WHY + 100);
        told.rest_at(now + EVERY * 3 + Duration::from_secs(1));
        assert!(told.by.is_empty(), "what is over is forgotten");
    }
}
