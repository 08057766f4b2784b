//! What this gateway asks others and is asked by them, and when whoever has not answered is asked again: no clock, no
//! connection, no store.

use crate::store::catch_up::Respondent;
use kakou_wire::peers::{ENTRIES, WAITS};
use std::collections::VecDeque;
use std::time::Duration;

/// Whoever has not answered is asked again after this.
pub const AGAIN: Duration = Duration::from_secs(10);
/// The same of gateways that have told all they know and wait for others themselves, at most.
pub const AGAIN_MOST: Duration = Duration::from_secs(120);
/// Questions that wait, ours and those of others; what finds no room is asked again.
pub const WAITING: usize = 64;

/// Whom a question is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// Every gateway of the site.
    All,
    /// One alone.
    One(Respondent),
}

/// What waits to be said.
#[derive(Debug, Default)]
pub struct Asking {
    /// What is to be asked.
    asks: VecDeque<(To, String)>,
    /// What others have asked: who, and behind what.
    asked: VecDeque<(Respondent, String)>,
    /// When whoever has not answered is asked again.
    again: Option<Duration>,
    /// After what pause.
    pause: Duration,
}

impl Asking {
    /// Asks, where there is room for it.
    pub fn ask(&mut self, to: To, after: String) {
        if self.asks.len() < WAITING {
            self.asks.push_back((to, after));
        }
    }

    /// The broker knew nothing of this gateway: entries may have been read meanwhile.
    pub fn ask_for_entries(&mut self) {
        self.ask(To::All, ENTRIES.to_owned());
    }

    /// Asks whoever has not told everything yet, from where it is. None where it cannot be read who that is: it is looked
    /// at again.
    pub fn unanswered(&mut self, now: Duration, unanswered: Option<Vec<(Respondent, String)>>) {
        let again = unanswered.as_ref().is_none_or(|all| !all.is_empty());
        // Whoever waits itself may do so for days: it is asked less and less often whether it still does.
        let waiting = unanswered.as_ref().is_some_and(|all| all.iter().all(|(_, after)| after == WAITS));
        self.pause = if waiting { (2 * self.pause).clamp(AGAIN, AGAIN_MOST) } else { AGAIN };
        self.again = again.then(|| now + self.pause);
        for (who, after) in unanswered.unwrap_or_default() {
            self.ask(To::One(who), after);
        }
    }

    /// When it is to be looked who has not answered: [`Asking::unanswered`].
    pub fn deadline(&self) -> Option<Duration> {
        self.again
    }

    /// The next question.
    pub fn next_ask(&mut self) -> Option<(To, String)> {
        self.asks.pop_front()
    }

    /// Somebody asks; whether there is room for it.
    pub fn is_asked_by(&mut self, who: Respondent, after: String) -> bool {
        let room = self.asked.len() < WAITING;
        if room {
            self.asked.push_back((who, after));
        }
        room
    }

    /// Whether somebody waits for a page.
    pub fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Who has waited longest for a page, and behind what.
    pub fn next_asked(&mut self) -> Option<(Respondent, String)> {
        self.asked.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_core::ids::GatewayId;

    fn gateway(n: usize) -> Respondent {
        Respondent::Gateway(GatewayId::new(format!("gw-{n}")).unwrap())
    }

    #[test]
    fn who_waits_itself_is_asked_less_and_less_often_and_who_has_more_to_tell_soon() {
        let (mut asking, mut now) = (Asking::default(), Duration::ZERO);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            asking.unanswered(now, Some(vec![(gateway(1), WAITS.to_owned())]));
            assert_eq!(asking.next_ask(), Some((To::One(gateway(1)), WAITS.to_owned())));
            pauses.push((asking.deadline().unwrap() - now).as_secs());
            now = asking.deadline().unwrap();
        }
        assert_eq!(pauses, [10, 20, 40, 80, 120, 120]);
        let both = vec![(gateway(1), WAITS.to_owned()), (gateway(2), "place".to_owned())];
        asking.unanswered(now, Some(both));
        assert_eq!(asking.deadline(), Some(now + AGAIN));
        asking.unanswered(now, None);
        assert_eq!(asking.deadline(), Some(now + AGAIN), "what cannot be read is looked at again");
        asking.unanswered(now, Some(Vec::new()));
        assert_eq!(asking.deadline(), None, "everybody has answered");
    }

    #[test]
    fn questions_beyond_the_room_are_dropped_and_asked_again() {
        let mut asking = Asking::default();
        let all: Vec<_> = (0..WAITING + 9).map(|n| (gateway(n), String::new())).collect();
        asking.unanswered(Duration::ZERO, Some(all));
        assert_eq!(std::iter::from_fn(|| asking.next_ask()).count(), WAITING);
        assert!(asking.deadline().is_some());
        let taken = (0..WAITING + 9).filter(|n| asking.is_asked_by(gateway(*n), String::new())).count();
        assert_eq!(taken, WAITING);
        assert_eq!(asking.next_asked(), Some((gateway(0), String::new())));
        assert!(asking.is_asked_by(gateway(0), String::new()), "there is room again");
    }
}
