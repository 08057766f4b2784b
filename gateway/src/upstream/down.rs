//! The connection on which the central side speaks: orders, feeds, what other gateways share.
//!
//! The broker keeps a session for it, and keeps orders and feeds as retained messages, so that
//! whatever was said while the gateway was away comes with the next connection.
//!
//! Other gateways of the site speak on it as well, and one of them may be in bad hands: what they say is small,
//! and of each so much in a minute ([`super::budget`]); what waits to be stored holds up no order.

use super::budget::{self, Budget, PeerMessageKind};
use super::exchange::Exchange;
use super::peers;
use super::{bulk, moment, plugged, unplugged};
use crate::engine::{Work, WorkSender};
use crate::feeds::{FeedInput, FeedRequest, Get, is_signed, keep_heard, share_folder, words_in};
use crate::hospital::share;
use crate::metrics::Metrics;
use crate::orders::{Answer, Order};
use crate::store::journal::slots;
use crate::store::kept::KeptReader;
use kakou_core::ids::{GatewayId, SiteId};
use kakou_core::pass::trust::TrustList;
use kakou_core::register::Slot;
use kakou_link::backoff::Backoff;
use kakou_link::broker::Upstream;
use kakou_link::clock::Clock;
use kakou_link::mqtt::{self, Client, Mark, Message, MqttEvent};
use kakou_link::outage::Outage;
use kakou_wire::feed::head_topic;
use kakou_wire::peers::{ToldPatient, ToldSlot, Used};
use kakou_wire::topic::topic;
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Requests that the client may hold.
const CAPACITY: usize = 256;
/// Messages in memory at once, at [`mqtt::MAX_PACKET`] each: what the broker has kept for this gateway comes in
/// such pieces, and so much of what others tell is stored together.
const INCOMING: u16 = 32;
/// The shares of the other gateways begin anew after this.
const MINUTE: Duration = Duration::from_secs(60);
/// A gateway that missed uses asks the others to tell them again, and not sooner than after this.
const ASK_AGAIN: Duration = Duration::from_secs(3600);
/// A new connection after this, where something could not be stored: commands come until then.
const AGAIN: Duration = Duration::from_secs(30);

/// What the task needs.
pub struct Down {
    /// The broker.
    pub settings: Upstream,
    /// The site.
    pub site: SiteId,
    /// This gateway.
    pub gateway: GatewayId,
    /// Feeds that come.
    pub news: SyncSender<FeedInput>,
    /// What the feeds ask for.
    pub wishes: mpsc::Receiver<FeedRequest>,
    /// Orders that come.
    pub orders: mpsc::Sender<Order>,
    /// What goes back.
    pub answers: mpsc::Receiver<Answer>,
    /// Whether the network may be used.
    pub plug: watch::Receiver<bool>,
    /// Raised when connections must begin anew.
    pub renewed: watch::Receiver<u64>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The data folder: entries that other gateways have read, and are to be told.
    pub data: PathBuf,
    /// To read which uses the other gateways are to be told.
    pub reader: KeptReader,
    /// Who may sign entries.
    pub keys: Arc<TrustList>,
    /// The clock.
    pub clock: Clock,
    /// Where what they tell goes.
    pub engine: WorkSender,
    /// Changes whenever the use of a pass was stored.
    pub uses: watch::Receiver<u64>,
    /// Changes whenever a hospital has told something.
    pub words: watch::Sender<u64>,
    /// The clock of what is asked again begins here.
    pub begun: Instant,
    /// The body that comes by HTTPS.
    pub getting: Option<tokio::task::JoinHandle<()>>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownlinkError {
    #[error(transparent)]
    Mqtt(#[from] mqtt::MqttError),
    #[error("the broker refuses `{0}`: {1}")]
    Refused(&'static str, String),
    #[error("the client has stopped: {0}")]
    Client(#[from] mqtt::SendError),
    #[error("unplugged")]
    Unplugged,
    #[error("the certificate is new")]
    Renewed,
    #[error("what another gateway told could not be stored; the broker is to send it again")]
    NotStored,
}

/// Listens until cancelled.
pub async fn run(mut down: Down, cancel: CancellationToken) {
    let (mut backoff, mut ears) = (Backoff::default(), Ears::new());
    let mut outage = Outage::new("orders and lists", &down.settings.address());
    loop {
        if !plugged(&mut down.plug, &cancel).await {
            return;
        }
        let begun = Instant::now();
        let Err(why) = down.connection(&mut ears, &mut outage, &cancel).await else { return };
        down.metrics.count("down_link_lost_total");
        if let Some(line) = outage.lost(&why.to_string(), Instant::now()) {
            log::warn!("{line}");
        }
        let pause = backoff.pause(Some(begun.elapsed()));
        tokio::select! { () = cancel.cancelled() => return, () = tokio::time::sleep(pause) => {} }
    }
}

/// What the other gateways have said lately, over all connections.
struct Ears {
    budget: Budget,
    minute: tokio::time::Interval,
    /// Uses were not taken that may have been good.
    missed: bool,
    /// When the others were asked to tell everything again.
    asked: Option<Instant>,
}

impl Ears {
    fn new() -> Self {
        let mut minute = tokio::time::interval_at(tokio::time::Instant::now() + MINUTE, MINUTE);
        minute.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self { budget: Budget::default(), minute, missed: false, asked: None }
    }
}

/// What becomes of a message.
enum Disposition {
    /// It needs nothing more: the broker may forget it.
    Done,
    /// It is being stored; true when the broker may forget it.
    Stored(oneshot::Receiver<bool>),
}

/// What was said to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PeerPublish {
    /// That a pass was used.
    Use(String),
    /// A slot of a register, as it was then.
    Slot(Box<Slot>),
    /// An entry, from this file.
    Entry(PathBuf),
    /// A question to the central side, or an answer: an access list of an earlier version lets nobody say it.
    ToCentral,
    /// Something that nobody waits for.
    Other,
}

/// Subscriptions of a connection, in this order: its own first, then those to what the central side asks and tells.
const OWN: usize = 5;
const CENTRAL: [&str; 2] = ["asked", "told"];

/// What is told of at once: the client has room for more.
pub(super) const PORTION: usize = 150;
/// Between two portions.
const NEXT_PORTION: Duration = Duration::from_secs(1);

/// What the other gateways were told and have not acknowledged.
#[derive(Default)]
pub(super) struct PeerOutbox {
    /// Handed to the client.
    pub queue: VecDeque<PeerPublish>,
    under_way: HashMap<u16, PeerPublish>,
    /// Whether there may be something to tell.
    look: bool,
    /// When the next portion goes out, if there is more.
    more: Option<tokio::time::Instant>,
}

impl PeerOutbox {
    fn departed(&mut self, pkid: u16) {
        if let Some(said) = self.queue.pop_front() {
            self.under_way.insert(pkid, said);
        }
    }
    fn acked(&mut self, pkid: u16) -> Option<PeerPublish> {
        self.under_way.remove(&pkid)
    }
    /// Somebody is new who has not heard what is under way: it is told again.
    fn again(&mut self) {
        let uses = self.queue.iter_mut().chain(self.under_way.values_mut());
        uses.filter(|s| matches!(s, PeerPublish::Use(_))).for_each(|said| *said = PeerPublish::Other);
        self.look = true;
    }
    fn under_way(&self, said: &PeerPublish) -> bool {
        self.queue.iter().chain(self.under_way.values()).any(|s| s == said)
    }
}

impl Down {
    async fn connection(
        &mut self,
        ears: &mut Ears,
        outage: &mut Outage,
        cancel: &CancellationToken,
    ) -> Result<(), DownlinkError> {
        let (client, mut events) = mqtt::open(mqtt::Options {
            broker: &self.settings,
            client_id: format!("{}-{}-down", self.site, self.gateway),
            clean: false,
            will: None,
            inflight: self.settings.inflight,
            incoming: INCOMING,
            capacity: CAPACITY,
            manual_acks: true,
        })?;
        let (mut answering, mut answered, mut is_new) = (false, 0, false);
        let mut words = self.words.subscribe();
        let mut told = PeerOutbox { look: true, ..PeerOutbox::default() };
        let mut again: Option<tokio::time::Instant> = None;
        // Dropped with the connection: what was not acknowledged on it comes with the next one.
        let mut storing: JoinSet<(Message, bool)> = JoinSet::new();
        let mut exchange = Exchange::default();
        self.renewed.mark_unchanged();
        loop {
            if answering && std::mem::take(&mut told.look) {
                self.tell_peers(&client, &mut told).await?;
            }
            if answering {
                self.speak(&client, &mut told, &mut exchange).await?;
            }
            tokio::select! {
                () = cancel.cancelled() => {
                    client.farewell(&mut events).await;
                    return Ok(());
                }
                heard = events.poll(), if storing.len() < usize::from(INCOMING) => match heard? {
                    MqttEvent::Connected { session, .. } => {
                        self.subscribe(&client)?;
                        is_new = !session;
                        if let Some(line) = outage.up(Instant::now()) {
                            log::info!("{line}");
                        }
                        self.order(Order::Connected);
                        self.tell(FeedInput::Connected);
                    }
                    MqttEvent::Subscribed(answer) => {
                        answered += 1;
                        match answer {
                            // The access list is of an earlier version: all else goes on.
                            Err(why) if OWN < answered && answered <= OWN + CENTRAL.len() => self.not_allowed(&why),
                            answer => answer.map_err(|why| DownlinkError::Refused("a subscription", why))?,
                        }
                        // The client sends subscriptions by one way and messages by another: a call that overtook its
                        // subscription would be answered before anybody here can hear it.
                        if answered == OWN + CENTRAL.len() {
                            if is_new {
                                self.hello(&client, &mut told)?;
                                exchange.asking.ask_for_entries();
                            }
                            self.ask_unanswered(&mut exchange).await;
                            answering = true;
                        }
                    }
                    MqttEvent::Message(message) => {
                        self.exchange(&message, &mut ears.budget, &mut exchange);
                        // What a gateway of the site tells is acknowledged when it is durable here.
                        match self.message(&message, &mut ears.budget) {
                            Disposition::Done => client.ack(&message)?,
                            Disposition::Stored(stored) => {
                                // From here on an acknowledgement of what is under way says nothing of whoever has
                                // called. A call beyond its budget is owed until the minute is over.
                                if message.topic.ends_with("/hello") {
                                    told.again();
                                }
                                storing.spawn(async move { (message, stored.await.unwrap_or(false)) });
                            }
                        }
                    }
                    MqttEvent::Departed(pkid) => told.departed(pkid),
                    MqttEvent::Acked(pkid, answer) => {
                        let said = told.acked(pkid);
                        match answer {
                            Err(why) if said == Some(PeerPublish::ToCentral) => self.not_allowed(&why),
                            answer => answer.map_err(|why| DownlinkError::Refused("an answer", why))?,
                        }
                        match said {
                            Some(PeerPublish::Use(pass)) => drop(self.engine.send(Work::PeerTold(pass)).await),
                            Some(PeerPublish::Slot(slot)) => drop(self.engine.send(Work::SlotTold(slot)).await),
                            Some(PeerPublish::Entry(file)) => drop(tokio::fs::remove_file(file).await),
                            Some(PeerPublish::ToCentral | PeerPublish::Other) | None => {}
                        }
                    }
                    MqttEvent::Other => {}
                },
                Some(Ok((message, stored))) = storing.join_next() => {
                    if stored {
                        client.ack(&message)?;
                    } else {
                        again.get_or_insert_with(|| tokio::time::Instant::now() + AGAIN);
                    }
                    if message.topic.ends_with("/hello") {
                        told.again();
                        self.share_again();
                    }
                }
                Some(done) = exchange.storing.join_next() => {
                    done.ok().flatten().into_iter().for_each(|(to, after)| exchange.asking.ask(to, after));
                }
                // It is said above; what has come has its turn as well.
                () = std::future::ready(()), if answering && exchange.asking.is_asked() && told.queue.len() < PORTION => {}
                () = moment(exchange.asking.deadline().map(|at| (self.begun + at).into())) => self.ask_unanswered(&mut exchange).await,
                _ = ears.minute.tick() => {
                    let minute = ears.budget.turn();
                    minute.lines.iter().for_each(|line| log::error!("{line}"));
                    if minute.hello_owed && self.tell_again().await {
                        told.again();
                        self.share_again();
                    }
                    ears.missed |= minute.uses_missed;
                    let may_ask = ears.asked.is_none_or(|at| at.elapsed() >= ASK_AGAIN);
                    if answering && ears.missed && !minute.uses_missed && may_ask {
                        (ears.missed, ears.asked) = (false, Some(Instant::now()));
                        self.hello(&client, &mut told)?;
                    }
                }
                changed = self.uses.changed(), if answering => {
                    if changed.is_err() { return Ok(()); }
                    told.look = true;
                }
                Ok(()) = words.changed(), if answering => told.look = true,
                wish = self.wishes.recv(), if answering => match wish {
                    Some(FeedRequest::Subscribe(filter)) => client.subscribe(&filter)?,
                    Some(FeedRequest::Unsubscribe(filter)) => client.unsubscribe(&filter)?,
                    Some(FeedRequest::Get(get)) => self.get(get),
                    Some(FeedRequest::Share) => told.look = true,
                    None => return Ok(()),
                },
                answer = self.answers.recv(), if answering => match answer {
                    Some(answer) => {
                        let mark = Mark { retain: answer.retain, ..Mark::default() };
                        client.publish(&answer.topic, answer.body, mark)?;
                        told.queue.push_back(PeerPublish::Other);
                    }
                    None => return Ok(()),
                },
                () = moment(told.more) => (told.more, told.look) = (None, true),
                () = unplugged(&mut self.plug) => return Err(DownlinkError::Unplugged),
                // A broker sends what was not acknowledged when a connection begins, and not before.
                () = moment(again) => return Err(DownlinkError::NotStored),
                changed = self.renewed.changed() => {
                    if changed.is_err() { return Ok(()); }
                    // What was answered goes out first.
                    let rest = async { while events.poll().await.is_ok() {} };
                    drop(tokio::time::timeout(Duration::from_millis(500), rest).await);
                    return Err(DownlinkError::Renewed);
                }
            }
        }
    }

    fn subscribe(&self, client: &Client) -> Result<(), DownlinkError> {
        let own = |rest: &str| topic(&self.site, &self.gateway, rest);
        client.subscribe(&own("cmd/+"))?;
        client.subscribe(&own("cfg/desired"))?;
        client.subscribe(&format!("kakou/v1/{}/trace/req", self.site))?;
        client.subscribe(&head_topic("+"))?;
        client.subscribe(&kakou_wire::peers::topic(&self.site, "+", "+"))?;
        CENTRAL.iter().try_for_each(|kind| client.subscribe(&own(kind)))?;
        Ok(())
    }

    /// What the gateway and the central side tell each other of uses is not allowed at this broker.
    fn not_allowed(&self, why: &str) {
        self.metrics.count("central_ask_refused_total");
        log::debug!(
            "the broker does not let this gateway and the central side tell each other of uses: {why}"
        );
    }

    /// Asks the other gateways of the site to tell everything again.
    fn hello(&self, client: &Client, told: &mut PeerOutbox) -> Result<(), DownlinkError> {
        let hello = kakou_wire::peers::topic(&self.site, self.gateway.as_str(), "hello");
        client.publish(&hello, b"{}".to_vec(), Mark::default())?;
        told.queue.push_back(PeerPublish::Other);
        Ok(())
    }

    /// Everything is to be told again; whether that is on record.
    async fn tell_again(&self) -> bool {
        let (tx, stored) = oneshot::channel();
        self.engine.send(Work::PeerHello(tx)).await.is_ok() && stored.await.is_ok()
    }

    /// Tells the other gateways of the site which passes were used here, and what entries were read.
    async fn tell_peers(&self, client: &Client, told: &mut PeerOutbox) -> Result<(), DownlinkError> {
        let folders = [(share_folder(&self.data), "entry"), (share::folder(&self.data), "patient")];
        let uses = self.reader.look(peers::untold).await.unwrap_or_default();
        let mut more = uses.len() == peers::AT_ONCE;
        for used in uses {
            // The client has room for a portion: however often everything is to be told again, the rest goes with the
            // next one.
            if told.queue.len() >= PORTION {
                more = true;
                break;
            }
            let said = PeerPublish::Use(used.pass.clone());
            if told.under_way(&said) {
                continue;
            }
            let body = serde_json::to_vec(&used).expect("a use is strings and numbers");
            client.publish(
                &kakou_wire::peers::topic(&self.site, self.gateway.as_str(), "redemption"),
                body,
                Mark::default(),
            )?;
            told.queue.push_back(said);
        }
        let slots = self.reader.look(|c| slots::untold(c, peers::AT_ONCE)).await.unwrap_or_default();
        more |= slots.len() == peers::AT_ONCE;
        for slot in slots {
            if told.queue.len() >= PORTION {
                more = true;
                break;
            }
            let said = PeerPublish::Slot(Box::new(slot.clone()));
            if told.under_way(&said) {
                continue;
            }
            let body = serde_json::to_vec(&ToldSlot::from(slot)).expect("a slot has only string keys");
            let topic = kakou_wire::peers::topic(&self.site, self.gateway.as_str(), "slot");
            client.publish(&topic, body, Mark::default())?;
            told.queue.push_back(said);
        }
        for (folder, kind) in folders {
            let topic = kakou_wire::peers::topic(&self.site, self.gateway.as_str(), kind);
            let words = tokio::task::spawn_blocking(move || words_in(&folder));
            for (file, text) in words.await.unwrap_or_default() {
                if told.queue.len() >= PORTION {
                    more = true;
                    break;
                }
                let said = PeerPublish::Entry(file);
                if !told.under_way(&said) {
                    client.publish(&topic, text, Mark::default())?;
                    told.queue.push_back(said);
                }
            }
        }
        told.more = more.then(|| tokio::time::Instant::now() + NEXT_PORTION);
        Ok(())
    }

    /// Another gateway of the site says something.
    fn peer(&self, from: &str, kind: &str, payload: &[u8], budget: &mut Budget) -> Disposition {
        if from == self.gateway.as_str() {
            return Disposition::Done;
        }
        let refused = |counter| {
            self.metrics.count(counter);
            Disposition::Done
        };
        let word = match kind {
            "redemption" | "slot" | "patient" => PeerMessageKind::Use,
            "entry" => PeerMessageKind::Entry,
            "hello" => PeerMessageKind::Hello,
            // Questions and answers need no acknowledgement: see [`Down::exchange`].
            _ => return Disposition::Done,
        };
        let Ok(from) = GatewayId::new(from) else { return refused("peer_unreadable_total") };
        if payload.len() > budget::LARGEST {
            budget.junk(&from);
            return refused("peer_large_total");
        }
        if !budget.allows(&from, word) {
            return refused("peer_over_budget_total");
        }
        let (tx, stored) = oneshot::channel();
        match word {
            PeerMessageKind::Use if kind == "slot" => match serde_json::from_slice::<ToldSlot>(payload) {
                Ok(told) if told.is_good() => {
                    self.store(tx, |done| Work::PeerSlot(from, Box::new(told.slot), done));
                }
                Ok(_) | Err(_) => {
                    budget.junk(&from);
                    return refused("peer_unreadable_total");
                }
            },
            PeerMessageKind::Use if kind == "patient" => match serde_json::from_slice::<ToldPatient>(payload)
            {
                Ok(told) if told.is_good() => self.hear(from, told, tx),
                Ok(_) | Err(_) => {
                    budget.junk(&from);
                    return refused("peer_unreadable_total");
                }
            },
            PeerMessageKind::Use => match serde_json::from_slice::<Used>(payload) {
                Ok(used) if used.is_good() => self.store(tx, |done| Work::Peer(from, used, done)),
                Ok(_) | Err(_) => {
                    budget.junk(&from);
                    return refused("peer_unreadable_total");
                }
            },
            PeerMessageKind::Entry => {
                let now_s = self.clock.now();
                let now_s = now_s.wall_s().filter(|_| now_s.synced());
                if !is_signed(payload, &self.keys, now_s) {
                    budget.junk(&from);
                    return refused("peer_unreadable_total");
                }
                let (data, entry, news) = (self.data.clone(), payload.to_vec(), self.news.clone());
                tokio::task::spawn_blocking(move || {
                    let kept = keep_heard(&data, &entry);
                    // Where the feeds have much to do, they look themselves.
                    drop(news.try_send(FeedInput::Heard(None)));
                    answer(tx, kept);
                });
            }
            PeerMessageKind::Hello => self.store(tx, Work::PeerHello),
            PeerMessageKind::Exchange => return Disposition::Done,
        }
        Disposition::Stored(stored)
    }

    /// Hands work to the engine; the answer is true when it is durable.
    fn store(&self, done: oneshot::Sender<bool>, work: impl FnOnce(oneshot::Sender<u64>) -> Work) {
        let (tx, stored) = oneshot::channel();
        let (engine, work) = (self.engine.clone(), work(tx));
        tokio::spawn(async move {
            let durable = engine.send(work).await.is_ok() && stored.await.is_ok();
            answer(done, durable);
        });
    }

    /// Hands a message on.
    fn message(&self, message: &Message, budget: &mut Budget) -> Disposition {
        let rest = message.topic.strip_prefix("kakou/v1/").unwrap_or_default();
        let parts: Vec<&str> = rest.split('/').collect();
        let body = || message.payload.to_vec();
        match parts.as_slice() {
            ["feed", _, "head"] if !message.payload.is_empty() => self.tell(FeedInput::Head(body())),
            ["feed", _, "body", sha256, _, n] => {
                if let Ok(n) = n.parse() {
                    self.tell(FeedInput::Chunk((*sha256).to_owned(), n, body()));
                }
            }
            [_, _, "cmd", id] => self.order(Order::Command((*id).to_owned(), body())),
            [_, _, "cfg", "desired"] => self.order(Order::Desired(body())),
            [_, "trace", "req"] => self.order(Order::Question(body())),
            [_, "peer", from, kind] => return self.peer(from, kind, &message.payload, budget),
            _ => {}
        }
        Disposition::Done
    }

    /// Fetches a body by HTTPS, in the place of the one before.
    fn get(&mut self, get: Get) {
        if let Some(before) = self.getting.take() {
            before.abort();
        }
        let (news, settings) = (self.news.clone(), self.settings.clone());
        self.getting = Some(tokio::spawn(async move {
            if let Err(why) = bulk::get(&settings, &get, &news).await {
                log::warn!("a feed comes by the broker, because HTTPS did not work: {why}");
                bulk::hand_on(&news, FeedInput::Unfetched(get.sha256)).await;
            }
        }));
    }

    fn order(&self, order: Order) {
        if self.orders.try_send(order).is_err() {
            self.metrics.count("order_dropped_total");
        }
    }

    fn tell(&self, news: FeedInput) {
        if self.news.try_send(news).is_err() {
            self.metrics.count("feed_news_dropped_total");
        }
    }
}

/// Where the connection has ended nobody waits for it any more: the broker sends the message again.
pub(super) fn answer(done: oneshot::Sender<bool>, durable: bool) {
    if done.send(durable).is_err() {
        log::debug!("what another gateway told comes once more");
    }
}
