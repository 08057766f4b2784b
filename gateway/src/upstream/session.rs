//! The link of the events: the clock, the client and the journal for [`Delivery`], which decides what happens.

use super::home_assistant;
use super::refusals::Refusals;
use super::{Link, changed, send};
use crate::engine::Work;
use crate::store::outbox;
use kakou_core::delivery::{Batch, Delivery, Input, LinkError, Moment, Output, Severity};
use kakou_core::event::Class;
use kakou_link::mqtt::{self, Client, Events, Mark, Message, MqttEvent, Will};
use kakou_wire::receipt::{PhotoReceipt, Receipt};
use kakou_wire::topic::{self, topic};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// Requests that the client may hold: more than the largest window, so that its queue is never full.
const CAPACITY: usize = 1024;

/// What the task holds.
pub(super) struct Session {
    link: Link,
    delivery: Delivery<outbox::Reader>,
    /// The monotonic clock of [`Delivery`] begins here.
    begun: Instant,
    connection: Option<(Client, Events)>,
    /// Live and late topics of each class.
    topics: [[String; 2]; 4],
    /// What the central side has refused.
    refusals: Refusals,
}

impl Session {
    pub(super) fn new(link: Link, delivery: Delivery<outbox::Reader>) -> Self {
        let topics = Class::ALL.map(|c| {
            ["evt", "late"].map(|kind| topic(&link.site, &link.gateway, &format!("{kind}/{}", c.as_str())))
        });
        let begun = Instant::now();
        Self { link, delivery, begun, connection: None, topics, refusals: Refusals::default() }
    }

    /// Keeps the link until cancelled.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let plugged = *self.link.plug.borrow_and_update();
        let heads = self.link.stored.borrow_and_update().stored();
        let health = self.link.health.borrow_and_update().clone();
        let mut inputs = VecDeque::from([Input::Plug(plugged), Input::Stored(heads), Input::Health(health)]);
        let mut outputs = Vec::new();
        loop {
            while let Some(input) = inputs.pop_front() {
                let end = input == Input::Close;
                self.delivery.handle(self.now(), input, &mut outputs);
                let news = outputs.contains(&Output::Status);
                for output in outputs.drain(..) {
                    if end && output == Output::Farewell {
                        self.farewell().await;
                    } else if let Err(why) = self.carry_out(output) {
                        inputs.push_back(Input::Lost(why));
                    }
                }
                self.show(news);
                if end {
                    return;
                }
            }
            let deadline = self.delivery.deadline().map(|mono| (self.begun + mono).into());
            let heard = tokio::select! {
                () = cancel.cancelled() => Some(Input::Close),
                heard = heard(&mut self.connection) => match heard {
                    Ok(heard) => self.understand(heard),
                    Err(why) => Some(Input::Lost(lost(&why))),
                },
                () = changed(&mut self.link.stored) => {
                    Some(Input::Stored(self.link.stored.borrow_and_update().stored()))
                }
                // The engine has ended: so does the link, in order, behind what was stored last.
                () = self.link.engine.closed() => Some(match self.link.stored.has_changed() {
                    Ok(true) => Input::Stored(self.link.stored.borrow_and_update().stored()),
                    Ok(false) | Err(_) => Input::Close,
                }),
                () = changed(&mut self.link.health) => {
                    Some(Input::Health(self.link.health.borrow_and_update().clone()))
                }
                () = changed(&mut self.link.plug) => Some(Input::Plug(*self.link.plug.borrow_and_update())),
                () = changed(&mut self.link.renewed) => Some(Input::Renewed),
                () = super::moment(deadline) => Some(Input::Tick),
            };
            inputs.extend(heard);
        }
    }

    fn now(&self) -> Moment {
        Moment { mono: self.begun.elapsed(), wall_ms: self.link.clock.now().wall_ms.unwrap_or(0) }
    }

    /// What the broker and the central side say.
    fn understand(&mut self, heard: MqttEvent) -> Option<Input> {
        Some(match heard {
            MqttEvent::Connected { max_packet, receive_max, retains, .. } => {
                Input::Connected { max_packet, receive_max, retains }
            }
            MqttEvent::Subscribed(answer) => Input::Subscribed(answer),
            MqttEvent::Departed(pkid) => Input::Departed(pkid),
            MqttEvent::Acked(pkid, answer) => Input::Acknowledged(pkid, answer),
            MqttEvent::Message(message) => return self.receipt(&message),
            MqttEvent::Other => return None,
        })
    }

    fn receipt(&mut self, message: &Message) -> Option<Input> {
        let link = &self.link;
        if let Ok(photo) = serde_json::from_slice::<PhotoReceipt>(&message.payload) {
            // One that finds no room is asked for again.
            if link.photo_receipts.try_send(photo).is_err() {
                link.metrics.count("photo_receipt_dropped_total");
            }
            return None;
        }
        let Ok(receipt) = serde_json::from_slice::<Receipt>(&message.payload) else {
            link.metrics.count("receipt_unreadable_total");
            return None;
        };
        let Receipt { stream: class, epoch, through_seq: through, refused, all } = receipt;
        if epoch == link.epoch && !refused.is_empty() {
            link.metrics.add("event_refused_total", refused.len() as u64);
            self.refusals.note(class, &refused);
            self.refusals.tell(link);
            return None;
        }
        Some(Input::Receipt(kakou_core::delivery::Receipt { class, epoch, through, all }))
    }

    fn carry_out(&mut self, output: Output) -> Result<(), LinkError> {
        let link = &self.link;
        match output {
            Output::Open { will_retained } => self.connection = Some(open(link, will_retained)?),
            Output::Drop | Output::Farewell => self.connection = None,
            Output::Subscribe
            | Output::Birth { .. }
            | Output::Discovery
            | Output::Event(_)
            | Output::Health(_) => return self.publish(output),
            Output::Acknowledged(class, through) => {
                send(&link.engine, Work::Acked(class, through), &link.metrics);
            }
            Output::Receipted(class, through) => {
                send(&link.engine, Work::Receipted(class, link.epoch, through), &link.metrics);
            }
            Output::WentBack(class, through) => {
                send(&link.engine, Work::WentBack(class, link.epoch, through), &link.metrics);
            }
            Output::Busy(busy) => drop(link.busy.send_replace(busy)),
            Output::Up => {
                link.word.send_if_modified(|word| std::mem::replace(word, "online") != "online");
                if let Some(line) = self.link.outage.up(Instant::now()) {
                    log::info!("{line}");
                }
            }
            Output::Lost(why) => {
                link.word.send_if_modified(|word| std::mem::replace(word, "offline") != "offline");
                if let Some(line) = self.link.outage.lost(&why.to_string(), Instant::now()) {
                    log::warn!("{line}");
                }
            }
            Output::Status => self.refusals.tell(link),
            Output::Count(counter) => link.metrics.count(counter),
            Output::Say(Severity::Warn, line) => log::warn!("upstream: {line}"),
            Output::Say(Severity::Error, line) => log::error!("upstream: {line}"),
        }
        Ok(())
    }

    /// Hands something to the client, if there is one.
    fn publish(&self, output: Output) -> Result<(), LinkError> {
        let (link, Some((client, _))) = (&self.link, &self.connection) else { return Ok(()) };
        let own = |rest: &str| topic(&link.site, &link.gateway, rest);
        let retained = Mark { retain: true, ..Mark::default() };
        let taken = match output {
            Output::Subscribe => client.subscribe(&own("rcpt")),
            Output::Birth { stored, floor } => {
                let lanes: Vec<Value> =
                    link.lanes.iter().map(|(id, profile)| json!({ "id": id, "profile": profile })).collect();
                let body = json!({ "online": true, "version": env!("CARGO_PKG_VERSION"), "epoch": link.epoch,
                    "heads": by_class(&stored), "floor": by_class(&floor), "lanes": lanes });
                client.publish(&own("state"), body.to_string().into_bytes(), retained)
            }
            Output::Discovery => {
                let name = home_assistant::discovery_topic(&link.site, &link.gateway);
                let body = home_assistant::discovery(&link.site, &link.gateway, &link.lanes);
                client.publish(&name, body.to_string().into_bytes(), retained)
            }
            Output::Event(Batch { class, body, single, late, .. }) => {
                let content_type = Some(if single { topic::EVENT } else { topic::BATCH });
                let name = &self.topics[usize::from(class.number())][usize::from(late)];
                client.publish(name, body, Mark { content_type, ..Mark::default() })
            }
            Output::Health(text) => {
                let mark = Mark { unsure: true, ..Mark::default() };
                // Lost health is not worth a connection: the next comes in a minute.
                if client.publish(&own("health"), text.as_bytes().to_vec(), mark).is_err() {
                    link.metrics.count("health_dropped_total");
                }
                Ok(())
            }
            Output::Open { .. }
            | Output::Drop
            | Output::Farewell
            | Output::Acknowledged(..)
            | Output::Receipted(..)
            | Output::WentBack(..)
            | Output::Busy(_)
            | Output::Up
            | Output::Lost(_)
            | Output::Status
            | Output::Count(_)
            | Output::Say(..) => Ok(()),
        };
        taken.map_err(|_| LinkError::Client("the client has stopped".into()))
    }

    /// Shows how far the streams are and how the link is; whoever waits for news is woken if there are any.
    fn show(&self, news: bool) {
        self.link.positions.send_if_modified(|positions| {
            positions.deliver(self.delivery.positions());
            false
        });
        let status = self.delivery.status();
        self.link.state.send_if_modified(|shown| {
            (shown.online, shown.published) = (status.online, status.published);
            shown.since = self.begun + status.since;
            if shown.detail != status.detail {
                shown.detail.clone_from(&status.detail);
            }
            news
        });
    }

    /// Says goodbye: no will, a bounded wait for what is under way.
    async fn farewell(&mut self) {
        let Some((client, mut events)) = self.connection.take() else { return };
        let state = topic(&self.link.site, &self.link.gateway, "state");
        let offline = json!({ "online": false, "clean": true, "epoch": self.link.epoch }).to_string();
        let mark = Mark { retain: true, ..Mark::default() };
        if client.publish(&state, offline.into_bytes(), mark).is_ok() {
            client.farewell(&mut events).await;
        }
    }
}

/// Begins a connection.
fn open(link: &Link, will_retained: bool) -> Result<(Client, Events), LinkError> {
    let offline = json!({ "online": false, "epoch": link.epoch }).to_string();
    let topic = topic(&link.site, &link.gateway, "state");
    mqtt::open(mqtt::Options {
        broker: &link.settings,
        client_id: format!("{}-{}-up", link.site, link.gateway),
        clean: true,
        will: Some(Will { topic, body: offline.into(), retain: will_retained }),
        inflight: link.settings.inflight,
        incoming: link.settings.inflight,
        capacity: CAPACITY,
        manual_acks: false,
    })
    .map_err(|why| lost(&why))
}

fn lost(why: &mqtt::MqttError) -> LinkError {
    match why {
        mqtt::MqttError::NoRetain => LinkError::NoRetain,
        mqtt::MqttError::Tls(_)
        | mqtt::MqttError::Password(..)
        | mqtt::MqttError::Options(_)
        | mqtt::MqttError::Connection(_) => LinkError::Client(why.to_string()),
    }
}

/// What the connection says; nothing, where there is none.
async fn heard(connection: &mut Option<(Client, Events)>) -> Result<MqttEvent, mqtt::MqttError> {
    match connection {
        Some((_, events)) => events.poll().await,
        None => std::future::pending().await,
    }
}

fn by_class(numbers: &[u64; 4]) -> Map<String, Value> {
    Class::ALL.iter().map(|c| (c.as_str().to_owned(), json!(numbers[usize::from(c.number())]))).collect()
}
