//! What the central side has quarantined of this gateway's events. Receipts are not signed, so that whoever poses as
//! the broker may say it as often as it likes: one record a minute says how often it was.

use super::{Link, send};
use crate::engine::Work;
use kakou_core::event::{Class, NewEvent};
use kakou_link::minutely::Throttle;
use kakou_link::shown;
use kakou_wire::receipt::RefusedEvent;
use serde_json::json;
use std::time::Instant;

/// The longest reason of the central side in a record, in characters.
const LONGEST_WHY: usize = 200;

/// What has not been told yet.
#[derive(Default)]
pub(super) struct Refusals(Throttle);

impl Refusals {
    /// The central side says so.
    pub(super) fn note(&mut self, stream: Class, refused: &[RefusedEvent]) {
        if let Some(RefusedEvent { seq, why }) = refused.last() {
            let why: String = shown::line(why).chars().take(LONGEST_WHY).collect();
            let last = json!({ "stream": stream.as_str(), "seq": seq, "why": why });
            self.0.note(last, refused.len() as u64);
        }
    }

    /// Puts it on record, if it is time.
    pub(super) fn tell(&mut self, link: &Link) {
        let Some(data) = self.0.due(Instant::now()) else { return };
        log::error!("the central side keeps events aside that it cannot take: {data}");
        let event = NewEvent {
            kind: "events_refused".into(),
            class: Class::Scan,
            lane: None,
            visit: None,
            audience: vec!["ops".into()],
            data,
        };
        send(&link.engine, Work::Append(vec![event], None), &link.metrics);
    }
}
