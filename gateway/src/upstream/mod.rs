//! The link to the central side: the journal's streams out, receipts in.
//!
//! The journal is the only truth; everything here can be thrown away. After each connection the
//! events behind the last acknowledgement are read again. An acknowledgement of the broker is not
//! durability: the journal is purged up to the receipt of the central side, and what was not
//! receipted for [`RECEIPT_PATIENCE`] is sent again, a little at first: a central side that is slow must not get
//! more to do by being slow.

mod bucket;
pub mod budget;
mod bulk;
pub mod down;
mod exchange;
mod flight;
mod home_assistant;
mod pace;
pub mod peers;
pub mod photos;
mod put;
mod refusals;
mod session;
pub mod sparkplug;

use crate::engine::{Inlet, Work};
use crate::metrics::Metrics;
use crate::store::outbox;
use flight::Flight;
use kakou_core::delivery::Positions;
use kakou_core::event::Class;
use kakou_core::ids::{GatewayId, LaneId, SiteId};
use kakou_link::backoff::Backoff;
use kakou_link::broker::Upstream;
use kakou_link::clock::Clock;
use kakou_link::mqtt;
use kakou_link::outage::Outage;
use kakou_wire::receipt::PhotoReceipt;
use rusqlite::Connection;
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// In flight and no acknowledgement for this long: the peer has stopped reading.
pub const PROGRESS_LIMIT: Duration = Duration::from_secs(20);
/// Acknowledged but not receipted for this long: the oldest events are sent again. Twice as long each time.
pub const RECEIPT_PATIENCE: Duration = Duration::from_secs(30);
/// And no longer than this.
pub const RECEIPT_PATIENCE_MAX: Duration = Duration::from_secs(15 * 60);
/// The largest message body.
pub const MAX_BODY: usize = 200 * 1024;

/// Between two words about health upstream.
pub const HEALTH_EVERY: Duration = Duration::from_secs(60);

/// What the link needs.
pub struct Link {
    /// The broker.
    pub settings: Upstream,
    /// The site.
    pub site: SiteId,
    /// This gateway.
    pub gateway: GatewayId,
    /// The journal's epoch.
    pub epoch: u64,
    /// The data folder, to read the journal.
    pub data: PathBuf,
    /// Where acknowledgements and receipts go.
    pub engine: Inlet,
    /// The last durable event of each stream.
    pub streams: watch::Receiver<[u64; 4]>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// How far each stream is.
    pub positions: watch::Sender<Positions>,
    /// What the status page shows.
    pub state: watch::Sender<LinkState>,
    /// What desks show.
    pub word: watch::Sender<&'static str>,
    /// What is told once a minute.
    pub health: watch::Receiver<Arc<str>>,
    /// Lanes with their profiles.
    pub lanes: Vec<(LaneId, String)>,
    /// The clock.
    pub clock: Clock,
    /// Whether verdicts wait: photographs hold back while they do.
    pub busy: watch::Sender<bool>,
    /// Receipts of photographs.
    pub photo_receipts: tokio::sync::mpsc::Sender<PhotoReceipt>,
    /// Whether the network may be used; the demo pulls the plug here.
    pub plug: watch::Receiver<bool>,
    /// Raised when the connection must begin anew with another certificate.
    pub renewed: watch::Receiver<u64>,
    /// What was said of the link.
    pub outage: Outage,
}

/// The state of the link.
#[derive(Debug, Clone)]
pub struct LinkState {
    /// Whether connected.
    pub online: bool,
    /// Since when.
    pub since: Instant,
    /// The last error.
    pub detail: String,
    /// Events acknowledged by the broker since start.
    pub published: u64,
}

impl Default for LinkState {
    fn default() -> Self {
        Self { online: false, since: Instant::now(), detail: String::new(), published: 0 }
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Mqtt(#[from] mqtt::Lost),
    #[error("no acknowledgement for {} s", PROGRESS_LIMIT.as_secs())]
    Stuck,
    #[error("the broker refuses {0}: {1}")]
    Refused(&'static str, String),
    #[error("the client has stopped")]
    Client,
    #[error("the journal cannot be read: {0}")]
    Journal(rusqlite::Error),
    #[error("the broker takes no message of {0} bytes")]
    TooLarge(usize),
    #[error("unplugged")]
    Unplugged,
    #[error("the certificate is new")]
    Renewed,
}

/// Keeps the link until cancelled.
pub async fn run(mut link: Link, cancel: CancellationToken) {
    let Some(mut flight) = load(&link, &cancel).await else { return };
    flight.late_rate(link.settings.backlog_per_s);
    let (mut backoff, mut will_kept) = (Backoff::default(), true);
    while !cancel.is_cancelled() {
        if !plugged(&mut link.plug, &cancel).await {
            return;
        }
        let Err(why) = session::connection(&mut link, &mut flight, will_kept, &cancel).await else { return };
        flight.rewind();
        // It is taken without.
        will_kept &= !matches!(why, Lost::Mqtt(mqtt::Lost::NoRetain));
        link.metrics.count("upstream_lost_total");
        link.word.send_if_modified(|word| std::mem::replace(word, "offline") != "offline");
        link.busy.send_replace(false);
        let up = link.state.borrow().online.then(|| link.state.borrow().since.elapsed());
        let why = why.to_string();
        link.state.send_modify(|s| {
            if s.online {
                s.since = Instant::now();
            }
            s.online = false;
            s.detail.clone_from(&why);
        });
        if let Some(line) = link.outage.lost(&why, Instant::now()) {
            log::warn!("{line}");
        }
        let pause = backoff.pause(up);
        tokio::select! { () = cancel.cancelled() => return, () = tokio::time::sleep(pause) => {} }
    }
}

/// Waits until the network may be used; false when the daemon ends first.
pub async fn plugged(plug: &mut watch::Receiver<bool>, cancel: &CancellationToken) -> bool {
    tokio::select! {
        () = cancel.cancelled() => false,
        there = plug.wait_for(|there| *there) => there.is_ok(),
    }
}

/// Ends when the plug is pulled; never, where nobody holds it.
pub async fn unplugged(plug: &mut watch::Receiver<bool>) {
    if plug.wait_for(|there| !*there).await.is_err() {
        std::future::pending().await
    }
}

/// Reads how far the streams are; tries until it can.
async fn load(link: &Link, cancel: &CancellationToken) -> Option<Flight> {
    let Upstream { batch, inflight, receipts, .. } = link.settings;
    loop {
        let reader = crate::store::journal::reader(&link.data).map_err(|e| e.to_string());
        let read =
            reader.and_then(|reader| Ok((outbox::positions(&reader).map_err(|e| e.to_string())?, reader)));
        match read {
            Ok((positions, reader)) => {
                link.positions.send_modify(|p| p.take_up(&positions));
                let positions = *link.positions.borrow();
                return Some(Flight::new(reader, &positions, batch, usize::from(inflight), receipts));
            }
            Err(e) => log::error!("the journal cannot be read yet, nothing is sent: {e}"),
        }
        tokio::select! { () = cancel.cancelled() => return None, () = tokio::time::sleep(Duration::from_secs(1)) => {} }
    }
}

/// Acknowledgements never block the link; one that is dropped is made good by the next.
fn send(engine: &Inlet, work: Work, metrics: &Metrics) {
    if engine.try_send(work).is_err() {
        metrics.count("mark_dropped_total");
    }
}

/// Depth and age of each stream, for the status page.
pub fn depths(reader: &Connection, positions: &Positions, now_ms: Option<i64>) -> Vec<serde_json::Value> {
    Class::ALL
        .iter()
        .map(|&class| {
            let stream = positions.stream(class);
            let oldest = outbox::oldest_ms(reader, class, stream.acknowledged).ok().flatten();
            let age = oldest.zip(now_ms).map(|(then, now)| ((now - then) / 1000).max(0));
            json!({ "class": class.word(), "unpublished": stream.unpublished(),
                "unreceipted": stream.unreceipted(), "oldest_age_s": age })
        })
        .collect()
}
