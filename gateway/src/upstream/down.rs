//! The connection on which the central side speaks: orders, feeds, what other gateways share.
//!
//! The broker keeps a session for it, and keeps orders and feeds as retained messages, so that
//! whatever was said while the gateway was away comes with the next connection.

use super::backoff::Backoff;
use super::peers::{self, Used};
use super::{bulk, plugged, topic, unplugged};
use crate::config::Upstream;
use crate::engine::{Inlet, Work};
use crate::feeds::word::{ENTRY_MAX, ENTRY_PREFIX, head_topic};
use crate::feeds::{Get, News, Wish, keep_heard, share_folder, words_in};
use crate::metrics::Metrics;
use crate::mqtt::{self, Client, Heard, Mark, Message};
use crate::orders::{Answer, Order};
use crate::store::journal;
use kakou_core::ids::{GatewayId, SiteId};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Requests that the client may hold.
const CAPACITY: usize = 256;
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
    pub news: SyncSender<News>,
    /// What the feeds ask for.
    pub wishes: mpsc::Receiver<Wish>,
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
    /// The data folder, to read what the other gateways are to be told.
    pub data: PathBuf,
    /// Where what they tell goes.
    pub engine: Inlet,
    /// Changes whenever something was stored.
    pub streams: watch::Receiver<[u64; 4]>,
    /// The body that comes by HTTPS.
    pub getting: Option<tokio::task::JoinHandle<()>>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error(transparent)]
    Mqtt(#[from] mqtt::Lost),
    #[error("the broker refuses `{0}`: {1}")]
    Refused(&'static str, String),
    #[error("the client has stopped: {0}")]
    Client(#[from] mqtt::NotTaken),
    #[error("unplugged")]
    Unplugged,
    #[error("the certificate is new")]
    Renewed,
    #[error("what another gateway told could not be stored; the broker is to send it again")]
    NotStored,
}

/// Listens until cancelled.
pub async fn run(mut down: Down, cancel: CancellationToken) {
    let mut backoff = Backoff::default();
    loop {
        if !plugged(&mut down.plug, &cancel).await {
            return;
        }
        let begun = Instant::now();
        let Err(why) = down.connection(&cancel).await else { return };
        down.metrics.count("down_link_lost_total");
        log::warn!("orders and feeds: {why}");
        let pause = backoff.pause(Some(begun.elapsed()));
        tokio::select! { () = cancel.cancelled() => return, () = tokio::time::sleep(pause) => {} }
    }
}

/// What was said to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    /// That a pass was used.
    Use(String),
    /// An entry, from this file.
    Entry(PathBuf),
    /// Something that nobody waits for.
    Other,
}

/// What is told of at once: the client has room for more.
const PORTION: usize = 150;
/// Between two portions.
const NEXT_PORTION: Duration = Duration::from_secs(1);

/// What the other gateways were told and have not acknowledged.
#[derive(Default)]
struct Told {
    /// Handed to the client.
    queue: VecDeque<Said>,
    under_way: HashMap<u16, Said>,
    /// Whether there may be something to tell.
    look: bool,
    /// When the next portion goes out, if there is more.
    more: Option<tokio::time::Instant>,
}

impl Told {
    fn departed(&mut self, pkid: u16) {
        if let Some(said) = self.queue.pop_front() {
            self.under_way.insert(pkid, said);
        }
    }
    fn acked(&mut self, pkid: u16) -> Option<Said> {
        self.under_way.remove(&pkid)
    }
    /// Somebody is new who has not heard what is under way: it is told again.
    fn again(&mut self) {
        let uses = self.queue.iter_mut().chain(self.under_way.values_mut());
        uses.filter(|s| matches!(s, Said::Use(_))).for_each(|said| *said = Said::Other);
        self.look = true;
    }
    fn under_way(&self, said: &Said) -> bool {
        self.queue.iter().chain(self.under_way.values()).any(|s| s == said)
    }
}

impl Down {
    async fn connection(&mut self, cancel: &CancellationToken) -> Result<(), Lost> {
        let (client, mut events) = mqtt::open(mqtt::Options {
            broker: &self.settings,
            client_id: format!("{}-{}-down", self.site, self.gateway),
            clean: false,
            will: None,
            inflight: self.settings.inflight,
            capacity: CAPACITY,
            manual_acks: true,
        })?;
        let mut answering = false;
        let mut told = Told { look: true, ..Told::default() };
        let mut again: Option<tokio::time::Instant> = None;
        self.renewed.mark_unchanged();
        loop {
            if answering && std::mem::take(&mut told.look) {
                self.tell_peers(&client, &mut told).await?;
            }
            tokio::select! {
                () = cancel.cancelled() => {
                    client.farewell(&mut events).await;
                    return Ok(());
                }
                heard = events.poll() => match heard? {
                    Heard::Connected { session, .. } => {
                        self.subscribe(&client)?;
                        if !session {
                            let hello = peers::topic(&self.site, self.gateway.as_str(), "hello");
                            client.publish(&hello, b"{}".to_vec(), Mark::default())?;
                            told.queue.push_back(Said::Other);
                        }
                        answering = true;
                        self.order(Order::Connected);
                        self.tell(News::Connected);
                    }
                    Heard::Subscribed(answer) => answer.map_err(|why| Lost::Refused("a subscription", why))?,
                    Heard::Message(message) => {
                        // What a gateway of the site tells is acknowledged when it is durable here.
                        if self.message(&message).await {
                            client.ack(&message)?;
                        } else {
                            again.get_or_insert_with(|| tokio::time::Instant::now() + AGAIN);
                        }
                        if message.topic.ends_with("/hello") {
                            told.again();
                        }
                    }
                    Heard::Departed(pkid) => told.departed(pkid),
                    Heard::Acked(pkid, answer) => {
                        answer.map_err(|why| Lost::Refused("an answer", why))?;
                        match told.acked(pkid) {
                            Some(Said::Use(pass)) => drop(self.engine.send(Work::PeerTold(pass)).await),
                            Some(Said::Entry(file)) => drop(tokio::fs::remove_file(file).await),
                            Some(Said::Other) | None => {}
                        }
                    }
                    Heard::Other => {}
                },
                changed = self.streams.changed(), if answering => {
                    if changed.is_err() { return Ok(()); }
                    told.look = true;
                }
                wish = self.wishes.recv() => match wish {
                    Some(Wish::Subscribe(filter)) => client.subscribe(&filter)?,
                    Some(Wish::Unsubscribe(filter)) => client.unsubscribe(&filter)?,
                    Some(Wish::Get(get)) => self.get(get),
                    Some(Wish::Share) => told.look = true,
                    None => return Ok(()),
                },
                answer = self.answers.recv(), if answering => match answer {
                    Some(answer) => {
                        let mark = Mark { retain: answer.retain, ..Mark::default() };
                        client.publish(&answer.topic, answer.body, mark)?;
                        told.queue.push_back(Said::Other);
                    }
                    None => return Ok(()),
                },
                () = moment(told.more) => (told.more, told.look) = (None, true),
                () = unplugged(&mut self.plug) => return Err(Lost::Unplugged),
                // A broker sends what was not acknowledged when a connection begins, and not before.
                () = moment(again) => return Err(Lost::NotStored),
                changed = self.renewed.changed() => {
                    if changed.is_err() { return Ok(()); }
                    // What was answered goes out first.
                    let rest = async { while events.poll().await.is_ok() {} };
                    drop(tokio::time::timeout(Duration::from_millis(500), rest).await);
                    return Err(Lost::Renewed);
                }
            }
        }
    }

    fn subscribe(&self, client: &Client) -> Result<(), Lost> {
        let own = |rest: &str| topic(&self.site, &self.gateway, rest);
        client.subscribe(&own("cmd/+"))?;
        client.subscribe(&own("cfg/desired"))?;
        client.subscribe(&format!("kakou/v1/{}/trace/req", self.site))?;
        client.subscribe(&head_topic("+"))?;
        client.subscribe(&peers::topic(&self.site, "+", "+"))?;
        Ok(())
    }

    /// Tells the other gateways of the site which passes were used here, and what entries were read.
    async fn tell_peers(&self, client: &Client, told: &mut Told) -> Result<(), Lost> {
        let (data, folder) = (self.data.clone(), share_folder(&self.data));
        let look = move || peers::untold(&journal::reader(&data).ok()?).ok();
        let uses = tokio::task::spawn_blocking(look).await.ok().flatten().unwrap_or_default();
        let mut more = uses.len() == peers::AT_ONCE;
        for used in uses {
            let said = Said::Use(used.pass.clone());
            if told.under_way(&said) {
                continue;
            }
            let body = serde_json::to_vec(&used).expect("a use is strings and numbers");
            client.publish(
                &peers::topic(&self.site, self.gateway.as_str(), "redemption"),
                body,
                Mark::default(),
            )?;
            told.queue.push_back(said);
        }
        for (file, text) in tokio::task::spawn_blocking(move || words_in(&folder)).await.unwrap_or_default() {
            if told.queue.len() >= PORTION {
                more = true;
                break;
            }
            let said = Said::Entry(file);
            if !told.under_way(&said) {
                let topic = peers::topic(&self.site, self.gateway.as_str(), "entry");
                client.publish(&topic, text, Mark::default())?;
                told.queue.push_back(said);
            }
        }
        told.more = more.then(|| tokio::time::Instant::now() + NEXT_PORTION);
        Ok(())
    }

    /// Another gateway of the site tells of a use; true when it is durable here, or no use at all.
    async fn peer(&self, from: &str, body: &[u8]) -> bool {
        let (Ok(from), Ok(used)) = (GatewayId::new(from), serde_json::from_slice::<Used>(body)) else {
            self.metrics.count("peer_unreadable_total");
            return true;
        };
        if from == self.gateway {
            return true;
        }
        let (tx, stored) = oneshot::channel();
        self.engine.send(Work::Peer(from, used, tx)).await.is_ok() && stored.await.is_ok()
    }

    /// Hands a message on; false if the broker is to keep it.
    async fn message(&self, message: &Message) -> bool {
        let body = message.payload.to_vec();
        let rest = message.topic.strip_prefix("kakou/v1/").unwrap_or_default();
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.as_slice() {
            ["feed", _, "head"] if !body.is_empty() => {
                self.tell(News::Head(body));
            }
            ["feed", _, "body", sha256, _, n] => {
                if let Ok(n) = n.parse() {
                    self.tell(News::Chunk((*sha256).to_owned(), n, body));
                }
            }
            [_, _, "cmd", id] => self.order(Order::Command((*id).to_owned(), body)),
            [_, _, "cfg", "desired"] => self.order(Order::Desired(body)),
            [_, "trace", "req"] => self.order(Order::Question(body)),
            [_, "peer", from, "redemption"] => return self.peer(from, &body).await,
            [_, "peer", from, "entry"] if *from != self.gateway.as_str() => {
                if !body.starts_with(ENTRY_PREFIX) || body.len() as u64 > ENTRY_MAX {
                    self.metrics.count("peer_unreadable_total");
                    return true;
                }
                let data = self.data.clone();
                let kept = tokio::task::spawn_blocking(move || keep_heard(&data, &body)).await;
                // Where the feeds have much to do, they look themselves.
                self.tell(News::Heard);
                return kept.unwrap_or(false);
            }
            [_, "peer", from, "hello"] if *from != self.gateway.as_str() => {
                let (tx, stored) = oneshot::channel();
                return self.engine.send(Work::PeerHello(tx)).await.is_ok() && stored.await.is_ok();
            }
            _ => {}
        }
        true
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
                bulk::hand_on(&news, News::Unfetched(get.sha256)).await;
            }
        }));
    }

    fn order(&self, order: Order) {
        if self.orders.try_send(order).is_err() {
            self.metrics.count("order_dropped_total");
        }
    }

    fn tell(&self, news: News) {
        if self.news.try_send(news).is_err() {
            self.metrics.count("feed_news_dropped_total");
        }
    }
}

/// Waits until then; for ever without a moment.
async fn moment(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
