//! What was asked of the lanes just now: an act whose answer was lost may be asked again, and is done once.
//!
//! Whoever acts may give the act an id. Asked again under the same id by the same officer at the same lane, it is
//! not done again: its answer is given again, also one that comes only now. This lives as long as the daemon.

use kakou_core::ids::{LaneId, OfficerId};
use kakou_core::lane::action::{Action, Rejection};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Acts that are remembered; the oldest is forgotten first.
const ACTS: usize = 512;
/// For how long they are.
const KEPT: Duration = Duration::from_secs(600);
/// Characters of an id.
const MAX_ID: usize = 64;

/// What became of an act; none while nobody knows.
pub type Outcome = Option<Result<(), Rejection>>;

/// Who asks, where, and under which id.
pub type Key = (LaneId, OfficerId, String);

struct RecentAct {
    key: Key,
    action: Action,
    at: Instant,
    outcome: watch::Receiver<Outcome>,
}

/// What there is to do about an act.
pub enum ActSlot {
    /// It is to be done, and its outcome told here.
    New(watch::Sender<Outcome>),
    /// It was asked before: this is its outcome.
    Again(watch::Receiver<Outcome>),
    /// Another act has this id.
    Other,
}

/// The acts of the last minutes.
#[derive(Default)]
pub struct Acts(Mutex<VecDeque<RecentAct>>);

/// Whether a text may be the id of an act.
pub fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

impl Acts {
    /// Looks whether an act was asked before; if not, it is remembered from now on.
    pub fn ask(&self, key: &Key, action: &Action) -> ActSlot {
        self.ask_at(key, action, Instant::now())
    }

    /// What became of an act that was asked before; none if it was not, or if another act has this id.
    pub fn again(&self, key: &Key, action: &Action) -> Option<watch::Receiver<Outcome>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.iter().find(|a| a.key == *key && a.at.elapsed() < KEPT)?;
        (before.action == *action).then(|| before.outcome.clone())
    }

    fn ask_at(&self, key: &Key, action: &Action, now: Instant) -> ActSlot {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|a| now.saturating_duration_since(a.at) < KEPT);
        if let Some(before) = all.iter().find(|a| a.key == *key) {
            let same = before.action == *action;
            return if same { ActSlot::Again(before.outcome.clone()) } else { ActSlot::Other };
        }
        if all.len() >= ACTS {
            all.pop_front();
        }
        let (told, outcome) = watch::channel(None);
        all.push_back(RecentAct { key: key.clone(), action: action.clone(), at: now, outcome });
        ActSlot::New(told)
    }

    /// An act that was not done may be asked anew under its id.
    pub fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|a| a.key != *key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_is_new_once_in_its_time_and_the_book_stays_small() {
        let (acts, begun) = (Acts::default(), Instant::now());
        let key = |id: &str| (LaneId::new("lane-1").unwrap(), OfficerId::new("li").unwrap(), id.to_owned());
        let of_zhao = (LaneId::new("lane-1").unwrap(), OfficerId::new("zhao").unwrap(), "1".to_owned());
        let ActSlot::New(told) = acts.ask_at(&key("1"), &Action::Recheck, begun) else { panic!("it is new") };
        let ActSlot::Again(seen) = acts.ask_at(&key("1"), &Action::Recheck, begun) else {
            panic!("it is not")
        };
        assert!(seen.borrow().is_none());
        told.send_replace(Some(Ok(())));
        assert!(matches!(*seen.borrow(), Some(Ok(()))));
        assert!(matches!(acts.ask_at(&key("1"), &Action::Capture("x".into()), begun), ActSlot::Other));
        assert!(matches!(acts.ask_at(&of_zhao, &Action::Recheck, begun), ActSlot::New(_)));
        acts.forget(&key("1"));
        assert!(matches!(acts.ask_at(&key("1"), &Action::Recheck, begun), ActSlot::New(_)));
        assert!(matches!(acts.ask_at(&key("1"), &Action::Recheck, begun + KEPT), ActSlot::New(_)));
        for n in 0..2 * ACTS {
            assert!(matches!(acts.ask_at(&key(&format!("n-{n}")), &Action::Recheck, begun), ActSlot::New(_)));
        }
        assert_eq!(acts.0.lock().unwrap().len(), ACTS);
        for bad in ["", "a b", "号", &"x".repeat(MAX_ID + 1)] {
            assert!(!is_id(bad), "{bad}");
        }
    }
}
