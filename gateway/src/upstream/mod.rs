//! The link to the central side: the journal's streams out, receipts in.
//!
//! The journal is the only truth; everything here can be thrown away. After each connection the
//! events behind the last acknowledgement are read again. An acknowledgement of the broker is not
//! durability: the journal is purged up to the receipt of the central side, and what was not
//! receipted for [`RECEIPT_PATIENCE`] is sent again.

mod flight;
pub mod tls;

use crate::config::Upstream;
use crate::devices::{self, Known};
use crate::engine::{Inlet, Work};
use crate::metrics::Metrics;
use crate::store::outbox;
use flight::{Batch, Flight};
use kakou_core::event::Class;
use kakou_core::ids::{GatewayId, SiteId};
use rumqttc::{
    AsyncClient, Event, EventLoop, LastWill, MqttOptions, NetworkOptions, Outgoing, Packet, PubAckReason,
    PublishOptions, PublishProperties, QoS, TlsConfiguration, Transport,
};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Between two words about the health of the devices.
const HEALTH_EVERY: Duration = Duration::from_secs(60);
/// The first pause before a new connection; doubled with full jitter.
pub const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// The longest.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// In flight and no acknowledgement for this long: the peer has stopped reading.
pub const PROGRESS_LIMIT: Duration = Duration::from_secs(20);
/// Acknowledged but not receipted for this long: sent again.
pub const RECEIPT_PATIENCE: Duration = Duration::from_secs(30);
/// So many acknowledged events are noted at once.
const MARK_EVERY: u64 = 256;
/// The largest message body.
pub const MAX_BODY: usize = 200 * 1024;
/// Requests that the client may hold.
const CAPACITY: usize = 1024;

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
    /// What the status page shows.
    pub state: watch::Sender<LinkState>,
    /// What desks show.
    pub word: watch::Sender<&'static str>,
    /// Whose health is told.
    pub devices: Vec<Known>,
    /// Whether the network may be used; the demo pulls the plug here.
    pub plug: watch::Receiver<bool>,
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
    /// Up to where each stream is acknowledged.
    pub acked: [u64; 4],
    /// Up to where each stream is receipted.
    pub receipted: [u64; 4],
}

impl Default for LinkState {
    fn default() -> Self {
        Self {
            online: false,
            since: Instant::now(),
            detail: String::new(),
            published: 0,
            acked: [0; 4],
            receipted: [0; 4],
        }
    }
}

/// A receipt of the central side: everything of a stream up to `through_seq` is durable there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The stream.
    pub stream: Class,
    /// The journal's epoch.
    pub epoch: u64,
    /// The last event of the stream.
    pub through_seq: u64,
}

/// The prefix of a gateway's topics.
pub fn topic(site: &SiteId, gateway: &GatewayId, rest: &str) -> String {
    format!("kakou/v1/{site}/{gateway}/{rest}")
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("{0}")]
    Connection(Box<rumqttc::ConnectionError>),
    #[error("no acknowledgement for {} s", PROGRESS_LIMIT.as_secs())]
    Stuck,
    #[error("the broker refuses events: {0:?}")]
    Refused(PubAckReason),
    #[error("the client has stopped")]
    Client,
    #[error("the journal cannot be read: {0}")]
    Journal(rusqlite::Error),
    #[error("the broker takes no message of {0} bytes")]
    TooLarge(usize),
    #[error("no receipts for {} s: events are sent again", RECEIPT_PATIENCE.as_secs())]
    NoReceipts,
    #[error("unplugged")]
    Unplugged,
}

/// Keeps the link until cancelled.
pub async fn run(mut link: Link, cancel: CancellationToken) {
    let Some(reader) = open_reader(&link, &cancel).await else { return };
    let mut flight = match Flight::load(
        reader,
        link.settings.batch,
        usize::from(link.settings.inflight),
        link.settings.receipts,
    ) {
        Ok(flight) => flight,
        Err(e) => return log::error!("the journal cannot be read, nothing is sent: {e}"),
    };
    let mut backoff = BACKOFF_MIN;
    while !cancel.is_cancelled() {
        let begun = Instant::now();
        if !*link.plug.borrow() {
            tokio::select! { () = cancel.cancelled() => return, r = link.plug.changed() => if r.is_err() { return } }
            continue;
        }
        let lost = match tls::client(&link.settings) {
            Err(e) => Err(e),
            Ok(tls) => match connection(&mut link, &mut flight, tls, &cancel).await {
                Ok(()) => return,
                Err(lost) => Ok(lost),
            },
        };
        let why = match lost {
            Ok(lost) => lost.to_string(),
            Err(e) => e.to_string(),
        };
        flight.rewind();
        link.metrics.count("upstream_lost_total");
        link.word.send_replace("offline");
        link.state.send_modify(|s| {
            if s.online {
                s.since = Instant::now();
            }
            s.online = false;
            s.detail.clone_from(&why);
        });
        log::warn!("upstream: {why}");
        if begun.elapsed() > Duration::from_secs(30) {
            backoff = BACKOFF_MIN;
        }
        let pause = jitter(backoff);
        backoff = (backoff * 2).min(BACKOFF_MAX);
        tokio::select! { () = cancel.cancelled() => return, () = tokio::time::sleep(pause) => {} }
    }
}

/// A random part of a pause, at least a tenth, so that a fleet does not come back at once.
fn jitter(pause: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    let random = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut byte).is_ok();
    let part = if random { f64::from(byte[0]) / 255.0 } else { 0.5 };
    pause.mul_f64(0.1 + 0.9 * part)
}

async fn open_reader(link: &Link, cancel: &CancellationToken) -> Option<Connection> {
    loop {
        match crate::store::journal::reader(&link.data) {
            Ok(reader) => return Some(reader),
            Err(e) => log::error!("the journal cannot be read yet: {e}"),
        }
        tokio::select! { () = cancel.cancelled() => return None, () = tokio::time::sleep(Duration::from_secs(1)) => {} }
    }
}

fn client(link: &Link, tls: Option<Arc<rustls::ClientConfig>>) -> Result<(AsyncClient, EventLoop), Lost> {
    let s = &link.settings;
    let mut o = MqttOptions::new(format!("{}-{}-up", link.site, link.gateway), (s.host.as_str(), s.port));
    o.set_clean_start(true)
        .set_keep_alive(15)
        .set_connect_timeout(Duration::from_secs(8))
        .set_request_channel_capacity(CAPACITY)
        .set_max_request_batch(256)
        .set_read_batch_size(128)
        .set_outgoing_inflight_upper_limit(s.inflight)
        .set_max_packet_size(Some(256 * 1024));
    let state = topic(&link.site, &link.gateway, "state");
    let offline = json!({ "online": false }).to_string();
    o.set_last_will(LastWill::new(state, offline, QoS::AtLeastOnce, true, None));
    let mut n = NetworkOptions::new();
    n.set_tcp_nodelay(true);
    o.set_network_options(n);
    if let (Some(user), Some(file)) = (&s.username, &s.password_file) {
        let password = std::fs::read_to_string(file).unwrap_or_default();
        o.set_credentials(user.clone(), password.trim().to_owned());
    }
    if let Some(tls) = tls {
        o.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
    }
    AsyncClient::builder(o).try_build().map_err(|_| Lost::Client)
}

fn birth(link: &Link) -> String {
    json!({ "online": true, "version": env!("CARGO_PKG_VERSION"), "epoch": link.epoch,
        "streams": Class::ALL.map(|c| (c.word(), link.streams.borrow()[usize::from(c.number())])) })
    .to_string()
}

async fn connection(
    link: &mut Link,
    flight: &mut Flight,
    tls: Option<Arc<rustls::ClientConfig>>,
    cancel: &CancellationToken,
) -> Result<(), Lost> {
    let (client, mut events) = client(link, tls)?;
    let topics = Class::ALL.map(|c| topic(&link.site, &link.gateway, &format!("evt/{}", c.word())));
    let (progress, receipts) = (Instant::now(), Instant::now());
    let mut session = Session {
        client,
        up: false,
        server_max: MAX_BODY,
        progress,
        receipts,
        topics,
        told: None,
        unmarked: 0,
    };
    let mut look = tokio::time::interval(Duration::from_secs(1));
    loop {
        if session.up {
            session.fill(link, flight)?;
        }
        tokio::select! {
            () = cancel.cancelled() => return session.farewell(link, &mut events).await,
            event = events.poll() => {
                let event = event.map_err(|e| Lost::Connection(Box::new(e)))?;
                session.on(event, link, flight)?;
            }
            changed = link.streams.changed(), if session.up && flight.idle() => {
                // The engine has ended: so does the link, in order.
                if changed.is_err() { return session.farewell(link, &mut events).await; }
            }
            _ = look.tick() => session.look(link, flight)?,
            () = unplugged(&mut link.plug) => return Err(Lost::Unplugged),
        }
    }
}

/// Ends when the plug is pulled; never, where nobody holds it.
async fn unplugged(plug: &mut watch::Receiver<bool>) {
    while plug.changed().await.is_ok() {
        if !*plug.borrow() {
            return;
        }
    }
    std::future::pending().await
}

struct Session {
    client: AsyncClient,
    up: bool,
    server_max: usize,
    progress: Instant,
    receipts: Instant,
    topics: [String; 4],
    /// When the health of the devices was told last.
    told: Option<Instant>,
    /// Events acknowledged since the last mark.
    unmarked: u64,
}

impl Session {
    /// Hands events to the client while the window has room.
    fn fill(&mut self, link: &Link, flight: &mut Flight) -> Result<(), Lost> {
        let heads = *link.streams.borrow();
        while let Some(batch) = flight.next(&heads, self.server_max).map_err(Lost::Journal)? {
            let Batch { class, body, single, .. } = &batch;
            if body.len() > self.server_max {
                return Err(Lost::TooLarge(body.len()));
            }
            let name = self.topics[usize::from(class.number())].clone();
            let mut options = PublishOptions::new(QoS::AtLeastOnce);
            // One event is the rule and needs no mark; a batch says so.
            if !*single {
                let content_type = Some("application/cloudevents-batch+json".into());
                options =
                    options.properties(PublishProperties { content_type, ..PublishProperties::default() });
            }
            if flight.idle() {
                self.progress = Instant::now();
            }
            match self.client.try_publish(name, body.clone(), options) {
                Ok(()) => flight.sent(&batch),
                Err(rumqttc::ClientError::RequestChannelFull(_)) => {
                    flight.put_back(batch);
                    return Ok(());
                }
                Err(_) => return Err(Lost::Client),
            }
        }
        Ok(())
    }

    fn on(&mut self, event: Event, link: &mut Link, flight: &mut Flight) -> Result<(), Lost> {
        match event {
            Event::Incoming(Packet::ConnAck(ack)) => self.connected(&ack, link, flight),
            Event::Incoming(Packet::PubAck(ack)) => {
                self.progress = Instant::now();
                if !matches!(ack.reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers) {
                    link.metrics.count("puback_refused_total");
                    return Err(Lost::Refused(ack.reason));
                }
                if let Some((_, count)) = flight.acked(ack.pkid) {
                    self.unmarked += count;
                    if self.unmarked >= MARK_EVERY || flight.idle() {
                        self.mark(link, flight);
                    }
                }
                Ok(())
            }
            Event::Incoming(Packet::Publish(message)) => {
                self.receipt(&message.payload, link, flight);
                Ok(())
            }
            Event::Outgoing(Outgoing::Publish(pkid)) if pkid != 0 => {
                flight.departed(pkid);
                Ok(())
            }
            Event::Incoming(_) | Event::Outgoing(_) | Event::Auth(_) => Ok(()),
        }
    }

    /// Tells the engine and the status page how far the streams are acknowledged.
    fn mark(&mut self, link: &Link, flight: &Flight) {
        let published = std::mem::take(&mut self.unmarked);
        let through = Class::ALL.map(|c| flight.acked_through(c));
        let before = link.state.borrow().acked;
        for class in Class::ALL {
            let i = usize::from(class.number());
            if through[i] > before[i] {
                send(&link.engine, Work::Acked(class, through[i]), &link.metrics);
            }
        }
        link.state.send_if_modified(|s| {
            s.published += published;
            s.acked = through;
            false
        });
    }

    fn connected(
        &mut self,
        ack: &rumqttc::ConnAck,
        link: &mut Link,
        flight: &mut Flight,
    ) -> Result<(), Lost> {
        let properties = ack.properties.as_ref();
        if let Some(max) = properties.and_then(|p| p.max_packet_size) {
            // Room for the topic and the properties.
            self.server_max = usize::try_from(max).unwrap_or(MAX_BODY).saturating_sub(256).min(MAX_BODY);
        }
        let receive = properties.and_then(|p| p.receive_max).unwrap_or(u16::MAX);
        flight.window(usize::from(receive.min(link.settings.inflight)));
        let down = topic(&link.site, &link.gateway, "rcpt");
        self.client.try_subscribe(down, QoS::AtLeastOnce).map_err(|_| Lost::Client)?;
        let options = PublishOptions::new(QoS::AtLeastOnce).retain(true);
        let state = topic(&link.site, &link.gateway, "state");
        self.client.try_publish(state, birth(link), options).map_err(|_| Lost::Client)?;
        flight.other();
        self.up = true;
        self.progress = Instant::now();
        self.receipts = Instant::now();
        link.word.send_replace("online");
        link.state.send_modify(|s| {
            s.online = true;
            s.since = Instant::now();
            s.detail.clear();
        });
        Ok(())
    }

    fn receipt(&mut self, payload: &[u8], link: &Link, flight: &mut Flight) {
        match serde_json::from_slice::<Receipt>(payload) {
            Ok(r)
                if r.epoch == link.epoch
                    && r.through_seq <= link.streams.borrow()[usize::from(r.stream.number())] =>
            {
                self.receipts = Instant::now();
                flight.receipted(r.stream, r.through_seq);
                link.state.send_if_modified(|s| {
                    let at = &mut s.receipted[usize::from(r.stream.number())];
                    *at = (*at).max(r.through_seq);
                    false
                });
                send(&link.engine, Work::Receipted(r.stream, r.epoch, r.through_seq), &link.metrics);
            }
            Ok(_) => link.metrics.count("receipt_refused_total"),
            Err(_) => link.metrics.count("receipt_unreadable_total"),
        }
    }

    /// Once a second: is there progress, are receipts missing?
    fn look(&mut self, link: &Link, flight: &mut Flight) -> Result<(), Lost> {
        if self.up && !flight.idle() && self.progress.elapsed() > PROGRESS_LIMIT {
            return Err(Lost::Stuck);
        }
        if !link.settings.receipts || !flight.unreceipted() {
            self.receipts = Instant::now();
        }
        if self.up && self.receipts.elapsed() > RECEIPT_PATIENCE {
            link.metrics.count("receipt_gap_total");
            flight.forget_acknowledgements();
            return Err(Lost::NoReceipts);
        }
        if self.up && self.told.is_none_or(|at| at.elapsed() >= HEALTH_EVERY) {
            self.told = Some(Instant::now());
            let name = topic(&link.site, &link.gateway, "health");
            let body = json!({ "devices": devices::health(&link.devices) }).to_string();
            self.client
                .try_publish(name, body, PublishOptions::new(QoS::AtMostOnce))
                .map_err(|_| Lost::Client)?;
        }
        // Watchers of the state are told at most once a second.
        link.state.send_modify(|_| {});
        Ok(())
    }

    /// Says goodbye: no will, a bounded wait for what is under way.
    async fn farewell(self, link: &Link, events: &mut EventLoop) -> Result<(), Lost> {
        let options = PublishOptions::new(QoS::AtLeastOnce).retain(true);
        let state = topic(&link.site, &link.gateway, "state");
        let offline = json!({ "online": false, "clean": true }).to_string();
        if self.up && self.client.try_publish(state, offline, options).is_ok() {
            let end = async {
                if self.client.disconnect_with_timeout(Duration::from_secs(1)).await.is_err() {
                    return;
                }
                while events.poll().await.is_ok() {}
            };
            drop(tokio::time::timeout(Duration::from_secs(2), end).await);
        }
        Ok(())
    }
}

/// Acknowledgements never block the link; one that is dropped is made good by the next.
fn send(engine: &Inlet, work: Work, metrics: &Metrics) {
    if engine.try_send(work).is_err() {
        metrics.count("mark_dropped_total");
    }
}

/// Depth and age of each stream, for the status page.
pub fn depths(
    reader: &Connection,
    heads: &[u64; 4],
    state: &LinkState,
    now_ms: Option<i64>,
) -> Vec<serde_json::Value> {
    Class::ALL
        .iter()
        .map(|&class| {
            let i = usize::from(class.number());
            let (acked, receipted) = outbox::progress(reader, class).unwrap_or((0, 0));
            let (acked, receipted) = (acked.max(state.acked[i]), receipted.max(state.receipted[i]));
            let oldest = outbox::oldest_ms(reader, class, acked).ok().flatten();
            let age = oldest.zip(now_ms).map(|(then, now)| ((now - then) / 1000).max(0));
            json!({ "class": class.word(), "unpublished": heads[i].saturating_sub(acked),
                "unreceipted": heads[i].saturating_sub(receipted), "oldest_age_s": age })
        })
        .collect()
}
