//! The connection on which the central side speaks: orders, feeds, what other gateways share.
//!
//! The broker keeps a session for it, and keeps orders and feeds as retained messages, so that
//! whatever was said while the gateway was away comes with the next connection.

use super::backoff::Backoff;
use super::{plugged, topic, unplugged};
use crate::config::Upstream;
use crate::feeds::word::head_topic;
use crate::feeds::{News, Wish};
use crate::metrics::Metrics;
use crate::mqtt::{self, Client, Heard, Mark, Message};
use crate::orders::{Answer, Order};
use kakou_core::ids::{GatewayId, SiteId};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Requests that the client may hold.
const CAPACITY: usize = 256;

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
        self.renewed.mark_unchanged();
        loop {
            tokio::select! {
                () = cancel.cancelled() => {
                    client.farewell(&mut events).await;
                    return Ok(());
                }
                heard = events.poll() => match heard? {
                    Heard::Connected { .. } => {
                        self.subscribe(&client)?;
                        answering = true;
                        self.order(Order::Connected);
                        self.tell(News::Connected);
                    }
                    Heard::Subscribed(answer) => answer.map_err(|why| Lost::Refused("a subscription", why))?,
                    Heard::Message(message) => {
                        self.message(&message);
                        client.ack(&message)?;
                    }
                    Heard::Acked(_, answer) => answer.map_err(|why| Lost::Refused("an answer", why))?,
                    Heard::Departed(_) | Heard::Other => {}
                },
                wish = self.wishes.recv() => match wish {
                    Some(Wish::Subscribe(filter)) => client.subscribe(&filter)?,
                    Some(Wish::Unsubscribe(filter)) => client.unsubscribe(&filter)?,
                    None => return Ok(()),
                },
                answer = self.answers.recv(), if answering => match answer {
                    Some(answer) => {
                        let mark = Mark { retain: answer.retain, ..Mark::default() };
                        client.publish(&answer.topic, answer.body, mark)?;
                    }
                    None => return Ok(()),
                },
                () = unplugged(&mut self.plug) => return Err(Lost::Unplugged),
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
        Ok(())
    }

    fn message(&self, message: &Message) {
        let body = message.payload.to_vec();
        let rest = message.topic.strip_prefix("kakou/v1/").unwrap_or_default();
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.as_slice() {
            ["feed", _, "head"] if !body.is_empty() => self.tell(News::Head(body)),
            ["feed", _, "body", sha256, _, n] => {
                if let Ok(n) = n.parse() {
                    self.tell(News::Chunk((*sha256).to_owned(), n, body));
                }
            }
            [_, _, "cmd", id] => self.order(Order::Command((*id).to_owned(), body)),
            [_, _, "cfg", "desired"] => self.order(Order::Desired(body)),
            [_, "trace", "req"] => self.order(Order::Question(body)),
            _ => {}
        }
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
