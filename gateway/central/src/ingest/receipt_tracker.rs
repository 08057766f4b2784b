//! Which gateways must hear what the central side has, and no more.
//!
//! A receipt says how far a stream is complete. After the store was replaced by another or an older one that is
//! less than gateways were told before, and they would wait for ever with what they still have. So each hears how
//! far its streams are when it comes, and when later events come and those that follow do not. Whoever has had more
//! receipted goes back to there; to all others it says nothing new.
//!
//! Several consumers store at once: a word may be overtaken by a receipt for what came after it. Nothing is lost by
//! that, events come twice. It is rare, because a word waits for [`SETTLE`] and is then asked for anew.

use super::{Complete, From};
use kakou_core::event::Class;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What is under way or on its way into the store has so long to arrive.
const SETTLE: Duration = Duration::from_secs(3);
/// Of a gap that stays, it is said again after this, and twice as long each time.
const AGAIN: Duration = Duration::from_secs(10);
/// And no longer than this.
const AGAIN_MAX: Duration = Duration::from_secs(15 * 60);
/// Streams that are asked for at once: a fleet comes within a second or two, and holds up no event.
const AT_ONCE: usize = 256;

/// A stream of a gateway, and its epoch.
type Key = (From, u64, Class);

/// What is to be said of one stream.
#[derive(Debug)]
struct Watch {
    epoch: u64,
    /// When it is due; none while nothing has happened since it was said.
    at: Option<Instant>,
    /// The gateway has come and must hear it; else it is said while the gap stays where it is.
    asked: bool,
    /// Later events have come.
    gap: bool,
    through: u64,
    /// Not before this, for a gap.
    quiet: Instant,
    wait: Duration,
}

/// What is to be said to whom. A gateway has a watch for each class at most, of the epoch that it spoke of last.
#[derive(Debug, Default)]
pub struct ReceiptTracker {
    watches: BTreeMap<(From, Class), Watch>,
}

impl ReceiptTracker {
    /// A gateway has come.
    pub fn asked(&mut self, from: &From, epoch: u64, stream: Class) {
        let now = Instant::now();
        let watch = self.watch(from, epoch, stream, 0, now);
        (watch.asked, watch.at) = (true, Some(now + SETTLE));
    }

    /// Streams were touched, and in some of them something is missing.
    pub fn seen(&mut self, complete: &[Complete], behind: &[Complete]) {
        let now = Instant::now();
        for c in complete.iter().filter(|c| !behind.contains(c)) {
            let key = (c.from.clone(), c.stream);
            if let Some(watch) = self.watches.get_mut(&key).filter(|w| w.epoch == c.epoch) {
                watch.gap = false;
                if !watch.asked {
                    self.watches.remove(&key);
                }
            }
        }
        for c in behind {
            let watch = self.watch(&c.from, c.epoch, c.stream, c.through, now);
            watch.gap = true;
            if watch.at.is_none() {
                watch.at = Some((now + SETTLE).max(watch.quiet));
            }
        }
    }

    fn watch(&mut self, from: &From, epoch: u64, stream: Class, through: u64, now: Instant) -> &mut Watch {
        let fresh = || Watch { epoch, at: None, asked: false, gap: false, through, quiet: now, wait: AGAIN };
        let watch = self.watches.entry((from.clone(), stream)).or_insert_with(fresh);
        if watch.epoch != epoch {
            *watch = fresh();
        }
        watch
    }

    /// Of which streams it is to be found out how far they are.
    pub fn due(&self, now: Instant) -> Vec<Key> {
        let due = self.watches.iter().filter(|(_, w)| w.at.is_some_and(|at| at <= now));
        due.map(|((from, stream), w)| (from.clone(), w.epoch, *stream)).take(AT_ONCE).collect()
    }

    /// A stream is complete up to here: whether its gateway must hear it.
    pub fn tells(&mut self, from: &From, stream: Class, through: u64, now: Instant) -> bool {
        let key = (from.clone(), stream);
        let Some(watch) = self.watches.get_mut(&key) else { return false };
        if !watch.asked && through != watch.through {
            // The gap is being filled.
            (watch.through, watch.at, watch.wait) = (through, Some(now + SETTLE), AGAIN);
            return false;
        }
        if !watch.gap {
            self.watches.remove(&key);
            return true;
        }
        (watch.asked, watch.through, watch.at) = (false, through, None);
        watch.quiet = now + watch.wait;
        watch.wait = watch.wait.saturating_mul(2).min(AGAIN_MAX);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_core::ids::{GatewayId, SiteId};

    fn from() -> From {
        From { site: SiteId::new("s").unwrap(), gateway: GatewayId::new("gw-1").unwrap() }
    }

    fn place(epoch: u64, through: u64) -> Complete {
        Complete { from: from(), epoch, stream: Class::Verdict, through }
    }

    /// Looks as often as a consumer does; how often something was said until then.
    fn said(standing: &mut ReceiptTracker, through: u64, from_s: u64, to_s: u64, start: Instant) -> usize {
        (from_s..to_s)
            .filter(|s| {
                let now = start + Duration::from_secs(*s);
                let due = standing.due(now);
                let told: Vec<bool> =
                    due.iter().map(|(f, _, c)| standing.tells(f, *c, through, now)).collect();
                told.contains(&true)
            })
            .count()
    }

    #[test]
    fn a_gateway_that_comes_hears_once_what_is_there() {
        let mut standing = ReceiptTracker::default();
        standing.asked(&from(), 7, Class::Verdict);
        let start = Instant::now();
        assert_eq!(said(&mut standing, 0, 0, 3_600, start), 1);
        assert!(standing.watches.is_empty(), "nothing is kept of it");
    }

    #[test]
    fn a_gap_is_said_when_it_stays_and_not_while_it_is_filled_nor_to_one_who_is_silent() {
        let mut standing = ReceiptTracker::default();
        let start = Instant::now();
        standing.seen(&[place(7, 5)], &[place(7, 5)]);
        assert_eq!(said(&mut standing, 5, 0, 3_600, start), 1, "once, as nothing more has come");
        // Events come each second, and none of them is the one that is missing.
        let mut standing = ReceiptTracker::default();
        let mut count = 0;
        for s in 0..7_200 {
            standing.seen(&[place(7, 5)], &[place(7, 5)]);
            count += said(&mut standing, 5, s, s + 1, start);
        }
        assert!((5..20).contains(&count), "less and less often: {count}");
        // The backlog fills it.
        let mut standing = ReceiptTracker::default();
        standing.seen(&[place(7, 5)], &[place(7, 5)]);
        let filled: usize = (0..600).map(|s| said(&mut standing, 6 + s, s, s + 1, start)).sum();
        assert_eq!(filled, 0);
        standing.seen(&[place(7, 900)], &[]);
        assert!(standing.watches.is_empty());
    }

    #[test]
    fn only_the_epoch_that_a_gateway_spoke_of_last_is_kept() {
        let mut standing = ReceiptTracker::default();
        for epoch in 1..1_000 {
            standing.seen(&[place(epoch, 0)], &[place(epoch, 0)]);
        }
        assert_eq!(standing.watches.len(), 1);
        assert_eq!(standing.due(Instant::now() + SETTLE)[0].1, 999);
    }
}
