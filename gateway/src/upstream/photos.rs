//! Photographs upstream, on a connection of their own.
//!
//! A photograph goes in chunks of [`CHUNK`] bytes under its SHA-256: `init` says how many there are,
//! the central side answers on the receipt topic how many it has from the first, and the rest
//! follows. Where it says so, the whole goes by HTTPS instead. The answer that it has all, with the right hash, is the receipt. A connection that ends
//! costs what was under way; what was half there begins anew after a break of minutes. While verdicts wait, photographs do.

use super::photo_upload::{self, Flow};
use super::{PROGRESS_LIMIT, plugged, unplugged};
use crate::engine::{Work, WorkSender};
use crate::metrics::Metrics;
use crate::store::kept::KeptReader;
use crate::store::outbox;
use crate::store::photos::Photos;
use kakou_core::delivery::bucket::Bucket;
use kakou_core::delivery::pace::{Left, Pace};
use kakou_core::ids::{GatewayId, SiteId};
use kakou_link::backoff::Backoff;
use kakou_link::broker::Upstream;
use kakou_link::https::HttpsError;
use kakou_link::mqtt::{self, Client, Mark, MqttEvent, SendError};
use kakou_link::outage::Outage;
use kakou_link::tls;
use kakou_wire::photo::CHUNK;
use kakou_wire::receipt::PhotoReceipt;
use kakou_wire::topic::topic;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

/// Photographs on their way at once.
const AT_ONCE: usize = 8;
/// Photographs that go by HTTPS at once.
const PUTS: usize = 2;
/// Without an answer for this long, `init` is said again.
const PATIENCE: Duration = Duration::from_secs(20);
/// What goes at once at most: a chunk with its packet.
const LARGEST: usize = CHUNK + 1024;
/// Between two looks for new photographs.
const LOOK: Duration = Duration::from_millis(500);
/// What the task needs.
pub struct Carrier {
    /// The broker.
    pub settings: Upstream,
    /// The site.
    pub site: SiteId,
    /// This gateway.
    pub gateway: GatewayId,
    /// To look which photographs wait.
    pub reader: KeptReader,
    /// The files.
    pub photos: Photos,
    /// Where receipts go.
    pub engine: WorkSender,
    /// Receipts, from the connection of the events.
    pub receipts: mpsc::Receiver<PhotoReceipt>,
    /// Whether verdicts wait.
    pub busy: watch::Receiver<bool>,
    /// Whether the network may be used.
    pub plug: watch::Receiver<bool>,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

/// A photograph on its way.
struct PhotoInFlight {
    bytes: Bytes,
    /// Chunks that were handed over.
    given: u32,
    of: u32,
    /// Whether the central side has said what it has.
    answered: bool,
    heard: Instant,
    put: Put,
}

/// Whether it goes by HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Put {
    /// The central side has not said so.
    No,
    /// Here.
    To(String),
    /// It is on its way.
    Going,
    /// That did not work: it goes in chunks.
    Failed,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum PhotoLinkError {
    #[error(transparent)]
    Mqtt(#[from] mqtt::MqttError),
    #[error("no acknowledgement for {} s", PROGRESS_LIMIT.as_secs())]
    Stuck,
    #[error("the broker refuses photographs: {0}")]
    Refused(String),
    #[error("the client has stopped")]
    Client,
    #[error("unplugged")]
    Unplugged,
}

/// Carries until cancelled.
pub async fn run(mut carrier: Carrier, cancel: CancellationToken) {
    let mut backoff = Backoff::default();
    let mut outage = Outage::new("photographs", &carrier.settings.address());
    loop {
        // A connection is made when there is something to carry.
        if !plugged(&mut carrier.plug, &cancel).await || !carrier.waits(&cancel).await {
            return;
        }
        let begun = Instant::now();
        let Err(why) = connection(&mut carrier, &mut outage, &cancel).await else { return };
        carrier.metrics.count("photo_link_lost_total");
        if let Some(line) = outage.lost(&why.to_string(), Instant::now()) {
            log::warn!("{line}");
        }
        let pause = backoff.pause(Some(begun.elapsed()));
        tokio::select! { () = cancel.cancelled() => return, () = tokio::time::sleep(pause) => {} }
    }
}

impl Carrier {
    /// Waits for a photograph to carry; false when the daemon ends first.
    async fn waits(&mut self, cancel: &CancellationToken) -> bool {
        loop {
            if !self.waiting(1).await.is_empty() {
                return true;
            }
            tokio::select! {
                () = cancel.cancelled() => return false,
                () = tokio::time::sleep(LOOK) => {}
                receipt = self.receipts.recv() => match receipt {
                    Some(_) => {}
                    None => return false,
                },
            }
        }
    }

    /// The oldest photographs that wait.
    async fn waiting(&self, limit: usize) -> Vec<String> {
        self.reader.look(move |reader| outbox::photos_oldest(reader, limit)).await.unwrap_or_default()
    }
}

struct Session {
    client: Client,
    ways: BTreeMap<String, PhotoInFlight>,
    /// Not to be taken up again in this connection: delivered a moment ago, or missing.
    done: BTreeSet<String>,
    queue: VecDeque<Left>,
    under_way: HashMap<u16, Left>,
    pace: Pace,
    /// The clock of pace and bucket begins here.
    begun: Instant,
    bucket: Arc<Mutex<Bucket>>,
    puts: JoinSet<(String, Result<(), HttpsError>)>,
    progress: Instant,
}

async fn connection(
    carrier: &mut Carrier,
    outage: &mut Outage,
    cancel: &CancellationToken,
) -> Result<(), PhotoLinkError> {
    let (client, mut events) = mqtt::open(mqtt::Options {
        broker: &carrier.settings,
        client_id: format!("{}-{}-photo", carrier.site, carrier.gateway),
        clean: true,
        will: None,
        inflight: carrier.settings.inflight,
        incoming: carrier.settings.inflight,
        capacity: 256,
        manual_acks: false,
    })?;
    let now = Instant::now();
    let bucket = Bucket::new(carrier.settings.photo_rate, LARGEST, Duration::ZERO);
    let bucket = Arc::new(Mutex::new(bucket));
    let mut session = Session {
        client,
        ways: BTreeMap::new(),
        done: BTreeSet::new(),
        queue: VecDeque::new(),
        under_way: HashMap::new(),
        pace: Pace::default(),
        begun: now,
        bucket,
        puts: JoinSet::new(),
        progress: now,
    };
    let (mut up, mut look) = (false, tokio::time::interval(LOOK));
    loop {
        if up && !*carrier.busy.borrow() {
            session.fill(carrier)?;
        }
        tokio::select! {
            () = cancel.cancelled() => {
                session.client.farewell(&mut events).await;
                return Ok(());
            }
            heard = events.poll() => match heard? {
                MqttEvent::Connected { .. } => {
                    if let Some(line) = outage.up(Instant::now()) {
                        log::info!("{line}");
                    }
                    up = true;
                    session.look(carrier).await?;
                }
                MqttEvent::Departed(pkid) => {
                    if let Some(left) = session.queue.pop_front() {
                        session.under_way.insert(pkid, left);
                    }
                }
                MqttEvent::Acked(pkid, answer) => {
                    answer.map_err(PhotoLinkError::Refused)?;
                    session.progress = Instant::now();
                    if let Some(left) = session.under_way.remove(&pkid) {
                        session.pace.arrived(left, session.begun.elapsed());
                    }
                }
                MqttEvent::Subscribed(_) | MqttEvent::Message(_) | MqttEvent::Other => {}
            },
            receipt = carrier.receipts.recv() => match receipt {
                Some(receipt) => session.receipt(&receipt, carrier).await?,
                None => return Ok(()),
            },
            Some(done) = session.puts.join_next(), if !session.puts.is_empty() => {
                if let Ok((sha256, done)) = done {
                    session.put_done(carrier, &sha256, done)?;
                }
            }
            _ = carrier.busy.changed() => {}
            _ = look.tick() => if up { session.look(carrier).await? },
            () = unplugged(&mut carrier.plug) => return Err(PhotoLinkError::Unplugged),
        }
    }
}

impl Session {
    /// Takes up new photographs, and asks again about those that got no answer.
    async fn look(&mut self, carrier: &Carrier) -> Result<(), PhotoLinkError> {
        let idle = self.queue.is_empty() && self.under_way.is_empty();
        if !idle && self.progress.elapsed() > PROGRESS_LIMIT {
            return Err(PhotoLinkError::Stuck);
        }
        if idle {
            self.progress = Instant::now();
        }
        if self.ways.len() < AT_ONCE {
            let waiting = carrier.waiting(AT_ONCE + self.ways.len() + self.done.len()).await;
            self.done.retain(|sha256| waiting.contains(sha256));
            for sha256 in waiting {
                if self.ways.len() >= AT_ONCE {
                    break;
                }
                if self.ways.contains_key(&sha256) || self.done.contains(&sha256) {
                    continue;
                }
                let (photos, name) = (carrier.photos.clone(), sha256.clone());
                let read = tokio::task::spawn_blocking(move || photos.read(&name)).await.ok().flatten();
                let Some(bytes) = read else {
                    carrier.metrics.count("photo_missing_total");
                    log::error!("photograph {sha256} is named by an event and missing");
                    self.done.insert(sha256);
                    continue;
                };
                let of = u32::try_from(bytes.len().div_ceil(CHUNK)).unwrap_or(u32::MAX);
                let way = PhotoInFlight {
                    bytes: bytes.into(),
                    given: 0,
                    of,
                    answered: false,
                    heard: Instant::now(),
                    put: Put::No,
                };
                self.init(carrier, &sha256, way.bytes.len(), of)?;
                self.ways.insert(sha256, way);
            }
        }
        let silent: Vec<String> = self
            .ways
            .iter()
            .filter(|(_, w)| w.put != Put::Going && (w.given == w.of || !w.answered))
            .filter(|(_, w)| w.heard.elapsed() > PATIENCE)
            .map(|(sha256, _)| sha256.clone())
            .collect();
        for sha256 in silent {
            if let Some(way) = self.ways.get_mut(&sha256) {
                (way.answered, way.heard) = (false, Instant::now());
            }
            let (bytes, of) = self.ways.get(&sha256).map_or((0, 0), |w| (w.bytes.len(), w.of));
            self.init(carrier, &sha256, bytes, of)?;
        }
        Ok(())
    }

    fn init(&mut self, carrier: &Carrier, sha256: &str, bytes: usize, of: u32) -> Result<(), PhotoLinkError> {
        let name = topic(&carrier.site, &carrier.gateway, &format!("photo/{sha256}/init"));
        let body = json!({ "bytes": bytes, "chunks": of, "chunk_bytes": CHUNK });
        self.publish(&name, body.to_string().into_bytes()).map(drop)
    }

    /// Hands a message over; false if the client has no room.
    fn publish(&mut self, name: &str, body: Vec<u8>) -> Result<bool, PhotoLinkError> {
        let bytes = body.len();
        match self.client.publish(name, body, Mark::default()) {
            Ok(()) => {
                if self.queue.is_empty() && self.under_way.is_empty() {
                    self.progress = Instant::now();
                }
                let left = self.pace.leaves(bytes, self.begun.elapsed());
                self.queue.push_back(left);
                Ok(true)
            }
            Err(SendError::Full) => Ok(false),
            Err(SendError::Ended) => Err(PhotoLinkError::Client),
        }
    }

    /// Hands chunks over while there is room, oldest photograph first.
    fn fill(&mut self, carrier: &Carrier) -> Result<(), PhotoLinkError> {
        self.put_next(carrier);
        while self.pace.room() {
            let next = self
                .ways
                .iter()
                .find(|(_, w)| w.answered && w.given < w.of && matches!(w.put, Put::No | Put::Failed));
            let Some((sha256, way)) = next else { return Ok(()) };
            let (sha256, n) = (sha256.clone(), way.given);
            let chunk: Vec<u8> = way.bytes.chunks(CHUNK).nth(n as usize).unwrap_or_default().to_vec();
            let now = self.begun.elapsed();
            if !self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(chunk.len(), now) {
                return Ok(());
            }
            let name = topic(&carrier.site, &carrier.gateway, &format!("photo/{sha256}/{n}"));
            if !self.publish(&name, chunk)? {
                return Ok(());
            }
            if let Some(way) = self.ways.get_mut(&sha256) {
                way.given += 1;
                way.heard = Instant::now();
            }
        }
        Ok(())
    }

    /// Begins the next transfer by HTTPS.
    fn put_next(&mut self, carrier: &Carrier) {
        while self.puts.len() < PUTS {
            let next = self.ways.iter_mut().find_map(|(sha256, way)| match &way.put {
                Put::To(url) => Some((sha256.clone(), url.clone(), way)),
                Put::No | Put::Going | Put::Failed => None,
            });
            let Some((sha256, url, way)) = next else { return };
            way.put = Put::Going;
            let tls = match tls::fleet(&carrier.settings) {
                Ok(tls) => tls,
                Err(e) => {
                    log::warn!("photographs by HTTPS: {e}");
                    way.put = Put::Failed;
                    continue;
                }
            };
            let flow = Flow { busy: carrier.busy.clone(), bucket: self.bucket.clone(), begun: self.begun };
            let bytes = way.bytes.clone();
            self.puts.spawn(async move {
                let done = photo_upload::put(&tls, &url, bytes, &flow).await;
                (sha256, done)
            });
        }
    }

    /// A transfer by HTTPS has ended: the central side is asked whether it has all.
    fn put_done(
        &mut self,
        carrier: &Carrier,
        sha256: &str,
        done: Result<(), HttpsError>,
    ) -> Result<(), PhotoLinkError> {
        let Some(way) = self.ways.get_mut(sha256) else { return Ok(()) };
        way.put = Put::Failed;
        way.heard = Instant::now();
        match done {
            Ok(()) => {
                carrier.metrics.count("photo_put_total");
                let (bytes, of) = (way.bytes.len(), way.of);
                way.answered = false;
                self.init(carrier, sha256, bytes, of)
            }
            Err(e) => {
                carrier.metrics.count("photo_put_failed_total");
                log::warn!("a photograph goes in chunks, because HTTPS did not work: {e}");
                Ok(())
            }
        }
    }

    async fn receipt(&mut self, receipt: &PhotoReceipt, carrier: &Carrier) -> Result<(), PhotoLinkError> {
        let Some(way) = self.ways.get_mut(&receipt.photo) else { return Ok(()) };
        if receipt.of != way.of {
            carrier.metrics.count("photo_receipt_refused_total");
            return Ok(());
        }
        way.heard = Instant::now();
        if receipt.have >= way.of {
            self.ways.remove(&receipt.photo);
            self.done.insert(receipt.photo.clone());
            carrier.metrics.count("photo_delivered_total");
            // A receipt that finds no room comes again: the photograph is offered again.
            drop(carrier.engine.send(Work::PhotoReceipted(receipt.photo.clone())).await);
            return self.look(carrier).await;
        }
        if let (Put::No, Some(url)) = (&way.put, &receipt.put) {
            way.put = Put::To(url.clone());
        }
        if !way.answered || receipt.have == 0 {
            way.given = receipt.have;
            way.answered = true;
        }
        Ok(())
    }
}
