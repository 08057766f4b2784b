//! Server-sent events: the current state at once, each change, and a beat every five seconds.

use axum::response::sse::{Event, Sse};
use futures_util::{Stream, stream};
use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Between two beats: a page that hears nothing for longer knows that the gateway is gone.
pub const BEAT: Duration = Duration::from_secs(5);

/// A stream of events that ends with the daemon.
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
    end: CancellationToken,
) -> Events {
    let mut beats = ticker(BEAT);
    beats.reset();
    let state = (watched, beats, true, text, end);
    let events = stream::unfold(state, move |(mut watched, mut beats, first, text, end)| async move {
        if !first {
            tokio::select! {
                () = end.cancelled() => return None,
                changed = watched.changed() => changed.ok()?,
                _ = beats.tick() => {
                    let beat = Event::default().event("beat").data("{}");
                    return Some((Ok(beat), (watched, beats, false, text, end)));
                }
            }
        }
        let data = text(&watched.borrow_and_update());
        Some((Ok(Event::default().event(name).data(data)), (watched, beats, false, text, end)))
    });
    Sse::new(Box::pin(events))
}

/// Repeats what a function says.
pub fn repeat(
    name: &'static str,
    every: Duration,
    text: impl Fn() -> String + Send + 'static,
    end: CancellationToken,
) -> Events {
    let state = (ticker(every), text, end);
    let events = stream::unfold(state, move |(mut ticks, text, end)| async move {
        tokio::select! {
            () = end.cancelled() => return None,
            _ = ticks.tick() => {}
        }
        let event = Event::default().event(name).data(text());
        Some((Ok(event), (ticks, text, end)))
    });
    Sse::new(Box::pin(events))
}
