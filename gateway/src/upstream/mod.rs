//! The link to the central side: the journal's streams out, receipts in. What happens when is decided by
//! [`kakou_core::delivery`]; here are its clock, its client and its journal.

pub mod asking;
mod bulk;
pub mod down;
mod exchange;
mod home_assistant;
mod patients;
pub mod peers;
mod photo_upload;
pub mod photos;
mod refusals;
mod session;
pub mod sparkplug;

pub use kakou_core::delivery::budget;

use crate::engine::{Work, WorkSender};
use crate::metrics::Metrics;
use crate::store::outbox;
use kakou_core::delivery::{Delivery, PROGRESS_LIMIT, Positions, Settings};
use kakou_core::event::Class;
use kakou_core::ids::{GatewayId, LaneId, SiteId};
use kakou_link::backoff;
use kakou_link::broker::Upstream;
use kakou_link::clock::Clock;
use kakou_link::outage::Outage;
use kakou_wire::receipt::PhotoReceipt;
use rusqlite::Connection;
use serde_json::json;
use session::Session;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

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
    pub engine: WorkSender,
    /// Wakes when more is durable.
    pub stored: watch::Receiver<Positions>,
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

/// Keeps the link until cancelled.
pub async fn run(link: Link, cancel: CancellationToken) {
    if let Some(delivery) = load(&link, &cancel).await {
        Session::new(link, delivery).run(cancel).await;
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

/// Waits for a change; for ever, where nobody makes one.
async fn changed<T>(news: &mut watch::Receiver<T>) {
    if news.changed().await.is_err() {
        std::future::pending().await
    }
}

/// Waits until then; for ever without a moment.
async fn moment(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Reads how far the streams are; tries until it can.
async fn load(link: &Link, cancel: &CancellationToken) -> Option<Delivery<outbox::Reader>> {
    let Upstream { batch, inflight, receipts, backlog_per_s, home_assistant, .. } = link.settings;
    let settings =
        Settings { epoch: link.epoch, batch, inflight, receipts, backlog_per_s, discovery: home_assistant };
    loop {
        let reader = crate::store::journal::reader(&link.data).map_err(|e| e.to_string());
        let read =
            reader.and_then(|reader| Ok((outbox::positions(&reader).map_err(|e| e.to_string())?, reader)));
        match read {
            Ok((positions, reader)) => {
                link.positions.send_modify(|p| p.take_up(&positions));
                let positions = *link.positions.borrow();
                return Some(Delivery::new(settings, positions, outbox::Reader(reader), backoff::seed()));
            }
            Err(e) => log::error!("the journal cannot be read yet, nothing is sent: {e}"),
        }
        tokio::select! { () = cancel.cancelled() => return None, () = tokio::time::sleep(Duration::from_secs(1)) => {} }
    }
}

/// Acknowledgements never block the link; one that is dropped is made good by the next.
fn send(engine: &WorkSender, work: Work, metrics: &Metrics) {
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
            json!({ "class": class.as_str(), "unpublished": stream.unpublished(),
                "unreceipted": stream.unreceipted(), "oldest_age_s": age })
        })
        .collect()
}
