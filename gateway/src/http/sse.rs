//! Server-sent events: the current state at once, each change, and a beat every five seconds.

use axum::response::sse::{Event, Sse};
use futures_util::{Stream, stream};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Between two beats: a page that hears nothing for longer knows that the gateway is gone.
pub const BEAT: Duration = Duration::from_secs(5);

/// A stream of events that ends with the daemon, or with the right to see them.
pub type Events = Sse<Pin<Box<dyn Stream<Item = Result<Event, Infallible>> + Send>>>;

fn ticker(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Follows a value that is watched.
pub fn follow<T: Clone + Send + Sync + 'static>(
    name: &'static str,
    watched: watch::Receiver<T>,
    text: impl Fn(&T) -> String + Send + 'static,
    end: impl Future<Output = ()> + Send + 'static,
) -> Events {
    let mut beats = ticker(BEAT);
    beats.reset();
    let state = (watched, beats, true, text, Box::pin(end));
    let events = stream::unfold(state, move |(mut watched, mut beats, first, text, mut end)| async move {
        if !first {
            tokio::select! {
                // What changes at the same moment is not told any more.
                biased;
                () = &mut end => return None,
                changed = watched.changed() => changed.ok()?,
                _ = beats.tick() => {
                    let beat = Event::default().event("beat").data("{}");
                    return Some((Ok(beat), (watched, beats, false, text, end)));
                }
            }
        }
        // Whoever hands out the next value waits for nobody who still writes this one down.
        let value = watched.borrow_and_update().clone();
        let data = text(&value);
        Some((Ok(Event::default().event(name).data(data)), (watched, beats, false, text, end)))
    });
    Sse::new(Box::pin(events))
}

/// Repeats what a function says.
pub fn repeat<S: Future<Output = Option<Arc<str>>> + Send>(
    name: &'static str,
    every: Duration,
    says: impl Fn() -> S + Send + 'static,
    end: impl Future<Output = ()> + Send + 'static,
) -> Events {
    let state = (ticker(every), says, Box::pin(end));
    let events = stream::unfold(state, move |(mut ticks, says, mut end)| async move {
        tokio::select! {
            biased;
            () = &mut end => return None,
            _ = ticks.tick() => {}
        }
        let said = says().await?;
        Some((Ok(Event::default().event(name).data(said)), (ticks, says, end)))
    });
    Sse::new(Box::pin(events))
}
