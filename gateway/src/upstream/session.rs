//! One connection of the link: events out, receipts in, birth and health beside them.

use super::flight::{Batch, Flight, TooLarge};
use super::home_assistant;
use super::refusals::Refusals;
use super::{Link, Lost, MAX_BODY, PROGRESS_LIMIT, send, unplugged};
use crate::engine::Work;
use kakou_core::delivery::Positions;
use kakou_core::event::Class;
use kakou_link::mqtt::{self, Client, Events, Heard, Mark, NotTaken, Will};
use kakou_wire::receipt::{PhotoReceipt, Receipt};
use kakou_wire::topic::{self, topic};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Requests that the client may hold.
const CAPACITY: usize = 1024;
/// So many acknowledged events are noted at once.
const MARK_EVERY: u64 = 256;
/// Between two looks at what is gone from the streams.
const FLOOR_EVERY: Duration = Duration::from_secs(10);
/// Between two looks whether the backlog may go on.
const LATE_EVERY: Duration = Duration::from_millis(10);

struct Session {
    client: Client,
    up: bool,
    server_max: usize,
    progress: Instant,
    /// Since when each stream waits for a receipt.
    receipts: [Instant; 4],
    /// The status says that receipts stay away.
    unreceipted: bool,
    /// What the central side has refused.
    refusals: Refusals,
    /// Whether the broker has taken anything, and what is said of a connection that is good.
    good: bool,
    said: Option<String>,
    /// Live and late topics of each class.
    topics: [[String; 2]; 4],
    health: Option<Arc<str>>,
    /// Events acknowledged since the last mark.
    unmarked: u64,
    /// What was said of the streams, and when it was looked at last.
    floor: ([u64; 4], Instant),
    /// The central side lacks what it had before: it must hear at once what is gone from here.
    say_floor: bool,
}

/// Runs one connection; ends well only when cancelled.
pub(super) async fn connection(
    link: &mut Link,
    flight: &mut Flight,
    will_kept: bool,
    cancel: &CancellationToken,
) -> Result<(), Lost> {
    let (site, gateway) = (link.site.clone(), link.gateway.clone());
    let offline = json!({ "online": false, "epoch": link.epoch }).to_string();
    let (client, mut events) = mqtt::open(mqtt::Options {
        broker: &link.settings,
        client_id: format!("{site}-{gateway}-up"),
        clean: true,
        will: Some(Will { topic: topic(&site, &gateway, "state"), body: offline.into(), retain: will_kept }),
        inflight: link.settings.inflight,
        incoming: link.settings.inflight,
        capacity: CAPACITY,
        manual_acks: false,
    })?;
    let topics = Class::ALL
        .map(|c| ["evt", "late"].map(|kind| topic(&site, &gateway, &format!("{kind}/{}", c.word()))));
    let mut session = Session {
        client,
        up: false,
        server_max: MAX_BODY,
        progress: Instant::now(),
        receipts: [Instant::now(); 4],
        unreceipted: false,
        refusals: Refusals::default(),
        good: false,
        said: None,
        topics,
        health: None,
        unmarked: 0,
        floor: ([0; 4], Instant::now()),
        say_floor: false,
    };
    let mut look = tokio::time::interval(Duration::from_secs(1));
    let mut late = tokio::time::interval(LATE_EVERY);
    late.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        if session.up {
            session.fill(link, flight)?;
        }
        tokio::select! {
            () = cancel.cancelled() => return session.farewell(link, &mut events).await,
            heard = events.poll() => session.on(heard?, link, flight)?,
            changed = link.streams.changed(), if session.up => {
                // The engine has ended: so does the link, in order.
                if changed.is_err() { return session.farewell(link, &mut events).await; }
            }
            _ = look.tick() => session.look(link, flight)?,
            // The backlog goes on by the clock.
            _ = late.tick(), if session.up && flight.late_waits() => {}
            () = unplugged(&mut link.plug) => return Err(Lost::Unplugged),
            () = renewed(&mut link.renewed) => return Err(Lost::Renewed),
        }
    }
}

/// Ends when the certificate is new; never, where nobody renews it.
async fn renewed(news: &mut tokio::sync::watch::Receiver<u64>) {
    if news.changed().await.is_err() {
        std::future::pending().await
    }
}

impl Session {
    /// Hands events to the client while the window has room.
    fn fill(&mut self, link: &Link, flight: &mut Flight) -> Result<(), Lost> {
        let heads = *link.streams.borrow();
        let now_ms = link.clock.now().wall_ms.unwrap_or(0);
        while let Some(batch) = flight.next(&heads, self.server_max, now_ms).map_err(Lost::Journal)? {
            let Batch { class, body, single, late, .. } = &batch;
            if body.len() > self.server_max {
                // Not even the word that stands for an event fits.
                return Err(Lost::TooLarge(body.len()));
            }
            if let Some(TooLarge { id, bytes }) = &batch.too_large {
                link.metrics.count("event_too_large_total");
                let why = format!(
                    "event {id} of {bytes} bytes is larger than the broker takes ({}): what went out says so in its \
                     place, and it stays in the journal. Raise max_packet_size of the broker",
                    self.server_max
                );
                log::error!("upstream: {why}");
                self.said = Some(why.clone());
                link.state.send_modify(|s| s.detail = why);
            }
            let name = &self.topics[usize::from(class.number())][usize::from(*late)];
            if flight.idle() {
                self.progress = Instant::now();
            }
            let mark = Mark {
                content_type: Some(if *single { topic::EVENT } else { topic::BATCH }),
                ..Mark::default()
            };
            match self.client.publish(name, body.clone(), mark) {
                Ok(()) => {
                    flight.sent(&batch, Instant::now());
                    quietly(link, |p| p.send(batch.class, batch.last));
                }
                Err(NotTaken::Full) => {
                    flight.put_back(batch);
                    break;
                }
                Err(NotTaken::Ended) => return Err(Lost::Client),
            }
        }
        let busy = !flight.caught_up(&heads);
        link.busy.send_if_modified(|b| std::mem::replace(b, busy) != busy);
        if self.health.as_ref() != Some(&*link.health.borrow()) {
            let health = link.health.borrow().clone();
            if !health.is_empty() {
                let name = topic(&link.site, &link.gateway, "health");
                let mark = Mark { unsure: true, ..Mark::default() };
                // Lost health is not worth a connection: the next comes in a minute.
                if self.client.publish(&name, health.as_bytes().to_vec(), mark).is_err() {
                    link.metrics.count("health_dropped_total");
                }
            }
            self.health = Some(health);
        }
        Ok(())
    }

    fn on(&mut self, heard: Heard, link: &mut Link, flight: &mut Flight) -> Result<(), Lost> {
        match heard {
            Heard::Connected { max_packet, receive_max, retains, .. } => {
                self.connected(max_packet, receive_max, link, flight)?;
                if let Some(line) = link.outage.up(Instant::now()) {
                    log::info!("{line}");
                }
                if !retains {
                    let why = "the broker keeps no retained messages: who looks later does not see this gateway, and \
                               orders reach it while it is connected alone. Set retain_available in the broker";
                    log::warn!("upstream: {why}");
                    self.said = Some(why.to_owned());
                }
                Ok(())
            }
            Heard::Subscribed(answer) => answer.map_err(|why| Lost::Refused("the receipts", why)),
            Heard::Acked(pkid, answer) => {
                self.progress = Instant::now();
                if let Err(why) = answer {
                    link.metrics.count("puback_refused_total");
                    return Err(Lost::Refused("events", why));
                }
                // The broker takes what comes: whatever was wrong before is over.
                if !std::mem::replace(&mut self.good, true) {
                    let said = self.said.clone().unwrap_or_default();
                    link.state.send_modify(|s| s.detail = said);
                }
                if let Some((_, count)) = flight.acked(pkid, Instant::now()) {
                    self.unmarked += count;
                    if self.unmarked >= MARK_EVERY || flight.idle() {
                        self.mark(link, flight);
                    }
                }
                Ok(())
            }
            Heard::Message(message) => {
                self.receipt(&message.payload, link, flight);
                Ok(())
            }
            Heard::Departed(pkid) => {
                flight.departed(pkid);
                Ok(())
            }
            Heard::Other => Ok(()),
        }
    }

    /// Tells the engine and the status page how far the streams are acknowledged.
    fn mark(&mut self, link: &Link, flight: &Flight) {
        let published = std::mem::take(&mut self.unmarked);
        let through = Class::ALL.map(|c| flight.acked_through(c));
        for (class, through) in Class::ALL.into_iter().zip(through) {
            if quietly(link, |p| p.acknowledge(class, through)) {
                send(&link.engine, Work::Acked(class, through), &link.metrics);
            }
        }
        link.state.send_if_modified(|s| {
            s.published += published;
            false
        });
    }

    fn connected(
        &mut self,
        max_packet: Option<u32>,
        receive_max: u16,
        link: &mut Link,
        flight: &mut Flight,
    ) -> Result<(), Lost> {
        if let Some(max) = max_packet {
            // Room for the topic and the properties.
            self.server_max = usize::try_from(max).unwrap_or(MAX_BODY).saturating_sub(256).min(MAX_BODY);
        }
        let heads = *link.streams.borrow();
        let now_ms = link.clock.now().wall_ms.unwrap_or(0);
        let window = usize::from(receive_max.min(link.settings.inflight));
        flight.begin(window, &heads, now_ms).map_err(Lost::Journal)?;
        let down = topic(&link.site, &link.gateway, "rcpt");
        self.client.subscribe(&down).map_err(|_| Lost::Client)?;
        self.floor = (flight.floors(&heads).map_err(Lost::Journal)?.0, Instant::now());
        self.birth(link, flight)?;
        self.up = true;
        self.progress = Instant::now();
        self.receipts = [Instant::now(); 4];
        link.word.send_if_modified(|word| std::mem::replace(word, "online") != "online");
        link.state.send_modify(|s| {
            s.online = true;
            s.since = Instant::now();
        });
        Ok(())
    }

    /// Says that the gateway is there, and which events can still come from it.
    fn birth(&self, link: &Link, flight: &mut Flight) -> Result<(), Lost> {
        let heads = *link.streams.borrow();
        let lanes: Vec<Value> =
            link.lanes.iter().map(|(id, profile)| json!({ "id": id, "profile": profile })).collect();
        let body = json!({ "online": true, "version": env!("CARGO_PKG_VERSION"), "epoch": link.epoch,
            "heads": by_class(&heads), "floor": by_class(&self.floor.0), "lanes": lanes });
        let state = topic(&link.site, &link.gateway, "state");
        let mark = Mark { retain: true, ..Mark::default() };
        self.client.publish(&state, body.to_string().into_bytes(), mark).map_err(|_| Lost::Client)?;
        flight.other();
        if link.settings.home_assistant {
            let name = home_assistant::discovery_topic(&link.site, &link.gateway);
            let body = home_assistant::discovery(&link.site, &link.gateway, &link.lanes);
            self.client.publish(&name, body.to_string().into_bytes(), mark).map_err(|_| Lost::Client)?;
            flight.other();
        }
        Ok(())
    }

    fn receipt(&mut self, payload: &[u8], link: &Link, flight: &mut Flight) {
        if let Ok(photo) = serde_json::from_slice::<PhotoReceipt>(payload) {
            // One that finds no room is asked for again.
            if link.photo_receipts.try_send(photo).is_err() {
                link.metrics.count("photo_receipt_dropped_total");
            }
            return;
        }
        match serde_json::from_slice::<Receipt>(payload) {
            Ok(r) if r.epoch == link.epoch && !r.refused.is_empty() => {
                link.metrics.add("event_refused_total", r.refused.len() as u64);
                self.refusals.note(r.stream, &r.refused);
                self.refusals.tell(link);
            }
            Ok(r)
                if r.epoch == link.epoch
                    && r.through_seq <= link.streams.borrow()[usize::from(r.stream.number())] =>
            {
                if r.all && self.went_back(&r, link, flight) {
                    return;
                }
                // One that says the same again is none: what it waits for may be lost.
                if flight.receipted(r.stream, r.through_seq) {
                    self.receipts[usize::from(r.stream.number())] = Instant::now();
                }
                if std::mem::take(&mut self.unreceipted) {
                    link.state.send_if_modified(|s| {
                        s.detail.clear();
                        false
                    });
                }
                quietly(link, |p| p.receipt(r.stream, r.through_seq));
                send(&link.engine, Work::Receipted(r.stream, r.epoch, r.through_seq), &link.metrics);
            }
            Ok(_) => link.metrics.count("receipt_refused_total"),
            Err(_) => link.metrics.count("receipt_unreadable_total"),
        }
    }

    /// The central side says that it has a stream up to here alone; whether it has receipted more before.
    fn went_back(&mut self, receipt: &Receipt, link: &Link, flight: &mut Flight) -> bool {
        let (class, through) = (receipt.stream, receipt.through_seq);
        let Some(before) = flight.went_back(class, through) else { return false };
        link.metrics.count("central_went_back_total");
        log::warn!(
            "upstream: the central side has {} up to {through} and had it up to {before}: its store is another or an \
             older one. What is still here is sent again from there on",
            class.word()
        );
        self.receipts[usize::from(class.number())] = Instant::now();
        self.say_floor = true;
        quietly(link, |p| p.go_back(class, through));
        send(&link.engine, Work::WentBack(class, receipt.epoch, through), &link.metrics);
        true
    }

    /// Once a second: is there progress, are receipts missing, was anything shed?
    fn look(&mut self, link: &Link, flight: &mut Flight) -> Result<(), Lost> {
        if self.up && !flight.idle() && self.progress.elapsed() > PROGRESS_LIMIT {
            return Err(Lost::Stuck);
        }
        for (since, waits) in self.receipts.iter_mut().zip(flight.unreceipted()) {
            if !link.settings.receipts || !waits {
                *since = Instant::now();
            }
        }
        for class in Class::ALL.into_iter().filter(|_| self.up) {
            let (since, patience) = (&mut self.receipts[usize::from(class.number())], flight.patience(class));
            if since.elapsed() <= patience {
                continue;
            }
            *since = Instant::now();
            link.metrics.count("receipt_gap_total");
            flight.probe(class);
            let why = format!(
                "no receipts of {} for {} s: the oldest events are sent again; does the central side run?",
                class.word(),
                patience.as_secs()
            );
            log::warn!("upstream: {why}");
            link.state.send_modify(|s| s.detail = why);
            self.unreceipted = true;
        }
        if self.up && (self.say_floor || self.floor.1.elapsed() > FLOOR_EVERY) {
            let heads = *link.streams.borrow();
            let (floor, lost) = flight.floors(&heads).map_err(Lost::Journal)?;
            let asked = std::mem::take(&mut self.say_floor);
            let news = lost && (asked || floor != self.floor.0);
            self.floor = (floor, Instant::now());
            if news {
                self.birth(link, flight)?;
            }
        }
        self.refusals.tell(link);
        // Watchers of the state are told at most once a second.
        link.state.send_modify(|_| {});
        Ok(())
    }

    /// Says goodbye: no will, a bounded wait for what is under way.
    async fn farewell(self, link: &Link, events: &mut Events) -> Result<(), Lost> {
        let state = topic(&link.site, &link.gateway, "state");
        let offline = json!({ "online": false, "clean": true, "epoch": link.epoch }).to_string();
        let mark = Mark { retain: true, ..Mark::default() };
        if self.up && self.client.publish(&state, offline.into_bytes(), mark).is_ok() {
            self.client.farewell(events).await;
        }
        Ok(())
    }
}

/// Changes the positions of the streams; nobody is woken for it.
fn quietly<T>(link: &Link, change: impl FnOnce(&mut Positions) -> T) -> T {
    let mut done = None;
    link.positions.send_if_modified(|positions| {
        done = Some(change(positions));
        false
    });
    done.expect("a change is made at once")
}

fn by_class(numbers: &[u64; 4]) -> Map<String, Value> {
    Class::ALL.iter().map(|c| (c.word().to_owned(), json!(numbers[usize::from(c.number())]))).collect()
}
