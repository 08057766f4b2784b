//! The central side on a broker: events in, receipts out.
//!
//! One task speaks with the broker, another stores: what arrives while the store commits is stored
//! together. A message is acknowledged when what it brought is durable.

use super::photos::PhotoIntake;
use super::receipt_tracker::ReceiptTracker;
use super::refusal_log::ThrottledByGateway;
use super::{About, Complete, From, Ingested, ReceivedEvent, Refusal, StateMessage, Store, read};
use kakou_core::event::Class;
use kakou_link::broker::Upstream;
use kakou_link::minutely::Throttle;
use kakou_link::mqtt::{self, Client, Events, Mark, Message, MqttEvent, SendError};
use kakou_link::outage::Outage;
use kakou_wire::receipt::{Receipt, RefusedEvent};
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// At most one receipt a stream in this time: a backlog would else send as many as messages.
const RECEIPT_EVERY: Duration = Duration::from_millis(50);
/// Messages that are stored together at most.
const TOGETHER: usize = 256;
/// The same of backlogs, whose messages are full: a small transaction holds up nobody.
const TOGETHER_LATE: usize = 8;
/// Events that are stored together at most: messages may be full of small ones.
const EVENTS: usize = 16_384;
/// Messages that the broker may send unacknowledged: so many of the largest are in memory at once.
const INCOMING: u16 = 100;
/// Messages that may wait for the store, those among them that need no acknowledgement. When it is full the broker is not
/// listened to.
const WAITING: usize = 256;
/// Words of a gateway about itself that are looked at of those that are stored together: the last ones.
const WORDS: usize = 8;
/// Refused events that a gateway is told of in one message.
const TOLD: usize = 64;
/// Requests that the client may hold.
const CAPACITY: usize = 4_096;
/// Between two connections.
const PAUSE: Duration = Duration::from_millis(500);

/// What a consumer listens to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Everything, on one connection.
    All,
    /// What happens now.
    Live,
    /// Backlogs: on a connection of their own, so that they hold up nothing.
    Late,
}

/// Where and how a consumer listens.
#[derive(Clone)]
pub struct Listen {
    /// The broker.
    pub broker: Upstream,
    /// The name of this consumer at the broker; it keeps its session.
    pub client_id: String,
    /// The site, or `+` for all.
    pub site: String,
    /// Consumers of one group share the messages (MQTT 5, or a broker that knows `$share`).
    pub group: Option<String>,
    /// What to listen to.
    pub part: Part,
}

/// Figures of a consumer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Events, each counted once.
    pub events: u64,
    /// Repetitions.
    pub duplicates: u64,
    /// Events that came under the number of another.
    pub conflicts: u64,
    /// Messages that were no events, and events that were quarantined.
    pub refused: u64,
    /// Events held beyond a gap.
    pub gaps: u64,
    /// Receipts sent.
    pub receipts: u64,
    /// Photographs that are complete.
    pub photos: u64,
    /// Whether the broker has taken the subscriptions.
    pub subscribed: bool,
    /// Whether the broker had kept what was said while this consumer was away.
    pub session: bool,
}

/// The kinds of messages.
enum Kind {
    Events { late: bool },
    State,
    Health,
    Photo { sha256: String, part: String },
}

fn kind(rest: &str) -> Option<Kind> {
    let mut parts = rest.splitn(3, '/');
    match (parts.next()?, parts.next(), parts.next()) {
        ("evt", Some(_), None) => Some(Kind::Events { late: false }),
        ("late", Some(_), None) => Some(Kind::Events { late: true }),
        ("state", None, None) => Some(Kind::State),
        ("health", None, None) => Some(Kind::Health),
        ("photo", Some(sha256), Some(part)) => {
            Some(Kind::Photo { sha256: sha256.to_owned(), part: part.to_owned() })
        }
        _ => None,
    }
}

/// Keeps the last words of a gateway about its state, or about its health.
fn keep_last(words: &mut BTreeMap<(From, bool), VecDeque<About>>, from: From, about: About) {
    let health = matches!(about, About::Health(_));
    let kept = words.entry((from, health)).or_default();
    kept.push_back(about);
    // Health is told as a whole each time; states add to each other.
    if kept.len() > if health { 1 } else { WORDS } {
        kept.pop_front();
    }
}

fn text(message: &Message) -> String {
    String::from_utf8_lossy(&message.payload).into_owned()
}

impl Listen {
    /// The filters that it subscribes to.
    pub fn filters(&self, photos: bool) -> Vec<String> {
        let share = self.group.as_ref().map_or(String::new(), |g| format!("$share/{g}/"));
        let of = |share: &str, rest: &str| format!("{share}kakou/v1/{}/+/{rest}", self.site);
        let mut filters = Vec::new();
        if self.part != Part::Late {
            // Each consumer hears who comes; a share would tell one alone.
            filters.extend([of(&share, "evt/+"), of("", "state"), of(&share, "health")]);
        }
        if self.part != Part::Live {
            filters.push(of(&share, "late/+"));
        }
        if photos {
            filters.push(of("", "photo/+/+"));
        }
        filters
    }
}

/// Listens until cancelled; reconnects by itself. With a desk it takes photographs as well.
pub async fn run<S: Store>(
    listen: Listen,
    mut store: S,
    mut photos: Option<PhotoIntake>,
    tally: watch::Sender<Tally>,
    cancel: CancellationToken,
) {
    let mut told = ThrottledByGateway::default();
    let mut unstored = Throttle::default();
    let mut outage = Outage::new(&listen.client_id, &listen.broker.address());
    while !cancel.is_cancelled() {
        let opened = mqtt::open(mqtt::Options {
            broker: &listen.broker,
            client_id: listen.client_id.clone(),
            clean: false,
            will: None,
            inflight: 500,
            incoming: INCOMING,
            capacity: CAPACITY,
            manual_acks: true,
        });
        let (client, events) = match opened {
            Ok(opened) => opened,
            Err(e) => return log::error!("central: {e}"),
        };
        let (inbox, messages) = mpsc::channel(WAITING);
        let end = CancellationToken::new();
        let together = if listen.part == Part::Late { TOGETHER_LATE } else { TOGETHER };
        let keeper = Keeper {
            client: client.clone(),
            due: BTreeMap::new(),
            standing: ReceiptTracker::default(),
            tally: &tally,
            told: &mut told,
            together,
        };
        let filters = listen.filters(photos.is_some());
        let speaking = speak((client, events, &mut outage), filters, inbox, &tally, &cancel, end.clone());
        let storing = keeper.run(messages, &mut store, photos.as_mut(), end);
        let (spoken, stored) = tokio::join!(speaking, storing);
        tally.send_modify(|t| t.subscribed = false);
        if let Err(e) = stored {
            // Nothing is acknowledged that is not stored: the broker sends it again.
            if let Some(times) = again(&mut unstored, &e) {
                log::error!("events cannot be stored, the connection is begun anew: {e}{times}");
            }
        }
        if let Err(e) = spoken
            && let Some(line) = outage.lost(&e.to_string(), Instant::now())
        {
            log::warn!("{line}");
        }
        tokio::select! { () = cancel.cancelled() => return, () = tokio::time::sleep(PAUSE) => {} }
    }
}

/// A fault that comes at each try is told at once and then once a minute: how often it was, where it is to be told.
pub(super) fn again(faults: &mut Throttle, fault: &dyn std::fmt::Display) -> Option<String> {
    faults.note(json!({ "fault": fault.to_string() }), 1);
    let count = faults.due(Instant::now())?["count"].as_u64().unwrap_or(1);
    Some(if count > 1 { format!(" ({count} times within a minute)") } else { String::new() })
}

/// Speaks with the broker until cancelled, lost, or the store has ended.
pub(super) async fn speak(
    (client, mut events, outage): (Client, Events, &mut Outage),
    filters: Vec<String>,
    inbox: mpsc::Sender<Message>,
    tally: &watch::Sender<Tally>,
    cancel: &CancellationToken,
    stored: CancellationToken,
) -> Result<(), mqtt::MqttError> {
    let mut answers = 0;
    loop {
        let heard = tokio::select! {
            () = cancel.cancelled() => {
                drop(inbox);
                // What was taken is stored and receipted first; the receipts go with the goodbye.
                let rest = async { while !stored.is_cancelled() {
                    tokio::select! { () = stored.cancelled() => {}, h = events.poll() => if h.is_err() { return } }
                } };
                drop(tokio::time::timeout(Duration::from_secs(5), rest).await);
                client.farewell(&mut events).await;
                return Ok(());
            }
            () = stored.cancelled() => return Ok(()),
            heard = events.poll() => heard?,
        };
        match heard {
            MqttEvent::Connected { session, .. } => {
                tally.send_modify(|t| t.session = session);
                if let Some(line) = outage.up(Instant::now()) {
                    log::info!("{line}");
                }
                for filter in &filters {
                    client.subscribe(filter).map_err(|e| mqtt::MqttError::Options(e.to_string()))?;
                }
            }
            MqttEvent::Subscribed(Ok(())) => {
                answers += 1;
                tally.send_modify(|t| t.subscribed = answers >= filters.len());
            }
            MqttEvent::Subscribed(Err(why)) => {
                log::error!("central: the broker refuses a subscription: {why}")
            }
            // What needs no acknowledgement may come without end: it waits at the broker, or is dropped there, until
            // there is room, and takes the connection from nobody.
            MqttEvent::Message(message) => tokio::select! {
                () = cancel.cancelled() => {}
                sent = inbox.send(message) => if sent.is_err() { return Ok(()) },
            },
            MqttEvent::Departed(_) | MqttEvent::Acked(..) | MqttEvent::Other => {}
        }
    }
}

struct Keeper<'a> {
    client: Client,
    due: BTreeMap<(From, u64, Class), u64>,
    standing: ReceiptTracker,
    tally: &'a watch::Sender<Tally>,
    told: &'a mut ThrottledByGateway,
    together: usize,
}

impl Keeper<'_> {
    async fn run<S: Store>(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        store: &mut S,
        mut photos: Option<&mut PhotoIntake>,
        end: CancellationToken,
    ) -> io::Result<()> {
        let _guard = end.drop_guard();
        let mut clock = tokio::time::interval(RECEIPT_EVERY);
        let mut batch = Vec::new();
        loop {
            tokio::select! {
                count = messages.recv_many(&mut batch, self.together) => {
                    if count == 0 {
                        self.receipts();
                        return Ok(());
                    }
                    let taken: Vec<Message> = std::mem::take(&mut batch);
                    self.take(&taken, store, photos.as_deref_mut()).await?;
                    for message in &taken {
                        self.client.ack(message).map_err(io::Error::other)?;
                    }
                }
                _ = clock.tick() => {
                    self.receipts();
                    self.told.rest();
                    self.tell_standing(store).await?;
                }
            }
        }
    }

    async fn take<S: Store>(
        &mut self,
        messages: &[Message],
        store: &mut S,
        mut photos: Option<&mut PhotoIntake>,
    ) -> io::Result<()> {
        let mut events: Vec<ReceivedEvent> = Vec::new();
        // The last ones count, and whoever says much of itself holds up nobody's events.
        let mut words: BTreeMap<(From, bool), VecDeque<About>> = BTreeMap::new();
        for message in messages {
            let topic = &message.topic;
            let Some((from, rest)) = From::of_topic(topic) else {
                self.refuse(None, topic, "not a topic of ours");
                continue;
            };
            let own = Some(&from);
            let Some(kind) = kind(rest) else {
                self.refuse(own, rest, "not a topic of ours");
                continue;
            };
            let about = matches!(kind, Kind::State | Kind::Health);
            if about && super::depth(&String::from_utf8_lossy(&message.payload)) > super::DEPTH {
                self.refuse(own, rest, "it is too deep");
                continue;
            }
            match kind {
                Kind::Events { late } => match read(&from, late, &message.payload) {
                    Ok(found) => {
                        events.extend(found.events);
                        found.faults.iter().for_each(|e| self.refuse(own, rest, e));
                    }
                    Err(e) => self.refuse(own, rest, e),
                },
                Kind::State if message.payload.is_empty() => {}
                Kind::State => {
                    keep_last(&mut words, from, About::State(text(message)));
                }
                Kind::Health => {
                    match serde_json::from_slice::<&serde_json::value::RawValue>(&message.payload) {
                        Ok(health) => {
                            let health = About::Health(health.get().to_owned());
                            keep_last(&mut words, from, health);
                        }
                        Err(e) => self.refuse(own, rest, e),
                    }
                }
                Kind::Photo { sha256, part } => {
                    let Some(desk) = photos.as_deref_mut() else { continue };
                    let answer = desk.take(&from, &sha256, &part, &message.payload).await;
                    match answer {
                        Ok(Some(receipt)) => {
                            let whole = receipt.have == receipt.of;
                            // One that finds no room is asked for again.
                            if let Err(e) = self.publish(&from, &receipt) {
                                log::debug!("a receipt of a photograph waits: {e}");
                            }
                            self.tally.send_modify(|t| t.photos += u64::from(whole));
                        }
                        Ok(None) => {}
                        Err(e) => self.refuse(own, "a photograph", e),
                    }
                }
            }
        }
        for ((from, _), last) in words {
            for about in last {
                self.keep_state(&from, about, store).await?;
            }
        }
        while !events.is_empty() {
            let rest = events.split_off(events.len().min(EVENTS));
            let taken = store.take(std::mem::replace(&mut events, rest)).await?;
            self.count(taken);
        }
        Ok(())
    }

    /// A gateway speaks of itself.
    async fn keep_state<S: Store>(&mut self, from: &From, about: About, store: &mut S) -> io::Result<()> {
        if let About::State(state) = &about {
            match serde_json::from_str::<StateMessage>(state) {
                Ok(word) => {
                    let taken = store.keep_state(from, &word).await?;
                    self.count(taken);
                    if word.online {
                        word.floor.keys().for_each(|stream| self.standing.asked(from, word.epoch, *stream));
                    }
                }
                Err(e) => {
                    self.refuse(Some(from), "state", e);
                    return Ok(());
                }
            }
        }
        store.about(from, about).await
    }

    fn count(&mut self, taken: Ingested) {
        let mut refused: BTreeMap<(From, u64, Class), Vec<RefusedEvent>> = BTreeMap::new();
        for (from, Refusal { epoch, stream, stream_seq, why }) in taken.refused {
            let what = format!("event {stream_seq} of {}, which is kept aside,", stream.as_str());
            self.refuse(Some(&from), &what, &why);
            refused.entry((from, epoch, stream)).or_default().push(RefusedEvent { seq: stream_seq, why });
        }
        for ((from, epoch, stream), all) in refused {
            // Beside the receipt, which a gateway of an earlier version takes as well. One that finds no room is
            // on record here all the same.
            for some in all.chunks(TOLD) {
                let receipt = Receipt { stream, epoch, through_seq: 0, refused: some.to_vec(), all: false };
                if let Err(e) = self.publish(&from, &receipt) {
                    log::debug!("a gateway is not told that its events were refused: {e}");
                }
            }
        }
        self.standing.seen(&taken.complete, &taken.behind);
        for Complete { from, epoch, stream, through } in taken.complete {
            let due = self.due.entry((from, epoch, stream)).or_default();
            *due = through.max(*due);
        }
        self.tally.send_modify(|t| {
            t.events += taken.new;
            t.duplicates += taken.duplicates;
            t.conflicts += taken.conflicts;
            t.gaps = taken.gaps;
        });
    }

    fn refuse(&mut self, from: Option<&From>, what: &str, why: impl std::fmt::Display) {
        self.told.note(from, what, why);
        self.tally.send_modify(|t| t.refused += 1);
    }

    fn receipts(&mut self) {
        for ((from, epoch, stream), through_seq) in std::mem::take(&mut self.due) {
            let receipt = Receipt { stream, epoch, through_seq, refused: Vec::new(), all: false };
            if self.publish(&from, &receipt).is_ok() {
                self.tally.send_modify(|t| t.receipts += 1);
            } else {
                self.due.insert((from, epoch, stream), through_seq);
            }
        }
    }

    fn publish(&self, from: &From, receipt: &impl Serialize) -> Result<(), SendError> {
        let body = serde_json::to_vec(receipt).expect("a receipt is numbers and words");
        self.client.publish(&from.topic("rcpt"), body, Mark::default())
    }

    /// Tells gateways what this side has and no more, where that is due: asked for at this moment, since what is
    /// said must not be older than a receipt.
    async fn tell_standing<S: Store>(&mut self, store: &mut S) -> io::Result<()> {
        let now = Instant::now();
        let streams = self.standing.due(now);
        if streams.is_empty() {
            return Ok(());
        }
        let through = store.through(&streams).await?;
        for ((from, epoch, stream), through_seq) in streams.into_iter().zip(through) {
            if self.standing.tells(&from, stream, through_seq, now) {
                let receipt = Receipt { stream, epoch, through_seq, refused: Vec::new(), all: true };
                if self.publish(&from, &receipt).is_err() {
                    self.standing.asked(&from, epoch, stream);
                }
            }
        }
        Ok(())
    }
}
