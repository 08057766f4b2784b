//! What gateways tell each other of uses, seals, registers and entries from codes, kept for a box that takes the place of another: it
//! may be alone at its site, and what the box before has used is known to nobody else.
//!
//! The central side is one more gateway of each site, in this alone: it hears what they tell, asks each of them once for
//! everything that it knows, and answers in the same pages. It says of which gateways it does not know everything, and from
//! when on it has heard whoever asks. A site is what the broker says in the topic; nothing is told from one to another.
//!
//! **A database that was set back must not say that it knows everything.** It counts what it has heard, and the broker
//! keeps the last number. Where that one is larger, or gone, or the broker has not kept what was said meanwhile, it doubts
//! all that it knows, and asks everybody again. Whoever is gone cannot answer: of that gateway it does not know all.

mod store;

use store::Brought;
pub use store::PeerStore;

use super::From;
use super::listen::{Listen, Tally, again, speak};
use super::refusal_log::ThrottledByGateway;
use kakou_core::ids::{GatewayId, SiteId};
use kakou_core::register::Slot;
use kakou_gateway::upstream::budget::{self, LARGEST};
use kakou_link::minutely::Throttle;
use kakou_link::mqtt::{self, Client, Mark, Message, MqttEvent};
use kakou_link::outage::Outage;
use kakou_wire::peers::{Ask, KnownUse, Page, ToldSlot, Used, WAITS};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// How this side is called by gateways.
const OWN: &str = "central";
/// Messages that may wait for the store.
const WAITING: usize = 256;
/// The same that the broker may send unacknowledged.
const INCOMING: u16 = 100;
/// Requests that the client may hold.
const CAPACITY: usize = 4_096;
/// Between two connections.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two looks at who is to be asked.
const LOOK: Duration = Duration::from_millis(500);
/// The broker says within this what it has kept.
const CHECK: Duration = Duration::from_secs(15);
/// Whoever has not answered is asked again after this, and less and less often.
const AGAIN: Duration = Duration::from_secs(10);
/// And no less often than this.
const AGAIN_MAX: Duration = Duration::from_secs(15 * 60);
/// Whoever waits itself is asked again after this.
const WAITS_AGAIN: Duration = Duration::from_secs(20);
/// Questions that go out at a look.
const AT_ONCE: usize = 64;
/// Gateways that are asked, at most.
const GATEWAYS: usize = 16_384;
/// Questions of one gateway in a minute: a page has some thirty uses, and a gateway takes 12,000 in a minute.
const ASKS: u32 = 600;
/// The shares of gateways begin anew after this.
const MINUTE: Duration = Duration::from_secs(60);
/// Answers and questions are worth nothing after this.
const KEEP_S: u32 = 30;
/// The shortest text of a signed entry: its signature alone has so many letters.
const SHORTEST_ENTRY: usize = 86;

/// The number that the broker keeps.
#[derive(Debug, Serialize, Deserialize)]
struct Number {
    mark: u64,
}

/// Where it lies: a database has an id of its own.
fn mark_topic(id: &str) -> String {
    format!("kakou/central/{id}")
}

/// What is subscribed to.
pub fn filters(listen: &Listen) -> Vec<String> {
    let share = listen.group.as_ref().map_or(String::new(), |g| format!("$share/{g}/"));
    let of = |share: &str, rest: &str| format!("{share}kakou/v1/{}/{rest}", listen.site);
    vec![
        of(&share, "peer/+/redemption"),
        of(&share, "peer/+/entry"),
        of(&share, "peer/+/slot"),
        of(&share, "+/tell"),
        of(&share, "+/ask"),
        of("", "+/state"),
    ]
}

/// What one message says.
#[derive(Debug, PartialEq)]
enum PeerMessage {
    Use(KnownUse),
    Slot(Box<Slot>),
    Entry(String),
    Tell(Page),
    Ask(String),
    State { online: bool, epoch: u64 },
}

#[derive(Deserialize)]
struct State {
    #[serde(default)]
    online: bool,
    #[serde(default)]
    epoch: u64,
}

/// Whether a text has the form of a signed entry. Who has signed it those know who have the keys.
fn is_entry(text: &str) -> bool {
    let peer_message = text.strip_prefix("KE1:").unwrap_or_default();
    let good = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    text.len() >= SHORTEST_ENTRY
        && peer_message.split('.').filter(|p| !p.is_empty()).count() == 3
        && peer_message.bytes().all(good)
}

/// Who says what; the error says why it is not taken.
fn read(topic: &str, payload: &[u8]) -> Result<(From, PeerMessage), (Option<From>, &'static str)> {
    let parts: Vec<&str> = topic.strip_prefix("kakou/v1/").unwrap_or_default().split('/').collect();
    let (site, gateway, kind) = match parts.as_slice() {
        [site, "peer", gateway, kind @ ("redemption" | "entry" | "slot")] => (*site, *gateway, *kind),
        [site, gateway, kind @ ("tell" | "ask" | "state")] => (*site, *gateway, *kind),
        _ => return Err((None, "not a topic of ours")),
    };
    let (Ok(site), Ok(gateway)) = (SiteId::new(site), GatewayId::new(gateway)) else {
        return Err((None, "not a topic of ours"));
    };
    let from = From { site, gateway };
    if payload.len() > LARGEST && kind != "state" {
        return Err((Some(from), "it is too large"));
    }
    let peer_message = match kind {
        "redemption" => serde_json::from_slice::<Used>(payload).ok().filter(Used::is_good).map(|used| {
            let Used { pass, lane, visit, at_ms } = used;
            PeerMessage::Use(KnownUse {
                pass,
                gateway: from.gateway.clone(),
                lane,
                visit,
                at_ms,
                teller: None,
            })
        }),
        "slot" => serde_json::from_slice::<ToldSlot>(payload)
            .ok()
            .filter(ToldSlot::is_good)
            .map(|told| PeerMessage::Slot(Box::new(told.slot))),
        "entry" => std::str::from_utf8(payload)
            .ok()
            .filter(|t| is_entry(t))
            .map(|t| PeerMessage::Entry(t.to_owned())),
        "tell" => serde_json::from_slice::<Page>(payload)
            .ok()
            .filter(|page| page.asker.as_str() == OWN && page.is_good())
            .map(PeerMessage::Tell),
        "ask" => serde_json::from_slice::<Ask>(payload)
            .ok()
            .filter(Ask::is_good)
            .map(|ask| PeerMessage::Ask(ask.after)),
        // A state that nobody keeps any more is of a gateway that is gone.
        _ if payload.is_empty() => Some(PeerMessage::State { online: false, epoch: 0 }),
        _ => serde_json::from_slice::<State>(payload)
            .ok()
            .map(|State { online, epoch }| PeerMessage::State { online, epoch }),
    };
    match peer_message {
        Some(peer_message) => Ok((from, peer_message)),
        None => Err((Some(from), "it is not of the form that gateways tell")),
    }
}

/// What one gateway has said in this minute.
#[derive(Debug, Default)]
struct MinuteUse {
    uses: u32,
    entries: u32,
    pages: u32,
    asks: u32,
}

/// How much each gateway may say in a minute: what is beyond it is not taken.
#[derive(Debug)]
struct Shares {
    by: BTreeMap<From, MinuteUse>,
    begun: Instant,
}

impl Shares {
    fn new() -> Self {
        Self { by: BTreeMap::new(), begun: Instant::now() }
    }

    fn allows(&mut self, from: &From, peer_message: &PeerMessage) -> bool {
        let said = self.by.entry(from.clone()).or_default();
        let more = |count: &mut u32, more: usize, most: u32| {
            let raised = count.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
            let allowed = raised <= most;
            if allowed {
                *count = raised;
            }
            allowed
        };
        match peer_message {
            PeerMessage::Use(_) | PeerMessage::Slot(_) => more(&mut said.uses, 1, budget::USES),
            PeerMessage::Entry(_) => more(&mut said.entries, 1, budget::ENTRIES),
            PeerMessage::Tell(page) => {
                more(&mut said.pages, 1, budget::EXCHANGES)
                    && more(&mut said.entries, page.entries.len(), budget::ENTRIES)
                    && more(&mut said.uses, page.uses.len() + page.slots.len(), budget::USES)
            }
            PeerMessage::Ask(_) => more(&mut said.asks, 1, ASKS),
            PeerMessage::State { .. } => true,
        }
    }

    /// When a minute is over: who has told of uses or entries in it.
    fn turn(&mut self, now: Instant) -> Vec<From> {
        if now.saturating_duration_since(self.begun) < MINUTE {
            return Vec::new();
        }
        self.begun = now;
        let all = std::mem::take(&mut self.by);
        all.into_iter().filter(|(_, s)| s.uses > 0 || s.entries > 0).map(|(from, _)| from).collect()
    }
}

/// A gateway that has not told everything.
#[derive(Debug, PartialEq)]
struct Asking {
    epoch: u64,
    after: String,
    at: Instant,
    pause: Duration,
}

/// Who is asked, and how far each of them is.
#[derive(Debug, Default)]
struct Round {
    asking: BTreeMap<From, Asking>,
    /// Of whom everything is known.
    whole: BTreeSet<From>,
}

impl Round {
    /// A gateway has come, or gone.
    fn state(&mut self, from: &From, online: bool, epoch: u64, now: Instant) {
        if !online {
            self.asking.remove(from);
        } else if !self.whole.contains(from)
            && (self.asking.len() < GATEWAYS || self.asking.contains_key(from))
        {
            let fresh = || Asking { epoch, after: String::new(), at: now, pause: AGAIN };
            let asking = self.asking.entry(from.clone()).or_insert_with(fresh);
            // Places are those of its journal: another box has another one.
            if asking.epoch != epoch {
                *asking = fresh();
            }
        }
    }

    /// Not everything of it was taken.
    fn missed(&mut self, from: &From, now: Instant) {
        if self.whole.remove(from) && self.asking.len() < GATEWAYS {
            let asking = Asking { epoch: 0, after: String::new(), at: now + MINUTE, pause: AGAIN };
            self.asking.insert(from.clone(), asking);
        }
    }

    /// Whether a page is the next one of a gateway's answer.
    fn is_next(&self, from: &From, page: &Page) -> bool {
        self.asking.get(from).is_some_and(|asking| asking.after == page.after)
    }

    /// A page is stored; whether it was the last one of a gateway that knows everything of itself.
    fn stored(&mut self, from: &From, page: &Page, now: Instant) -> bool {
        let Some(asking) = self.asking.get_mut(from) else { return false };
        (asking.at, asking.pause) = (now, AGAIN);
        match &page.next {
            Some(next) => asking.after.clone_from(next),
            // It has taken the place of another, and does not know what that one has used.
            None if !page.waits_for.is_empty() => {
                (asking.after, asking.at) = (WAITS.to_owned(), now + WAITS_AGAIN);
            }
            None if page.after == WAITS => asking.after = String::new(),
            None => {
                self.asking.remove(from);
                self.whole.insert(from.clone());
                return true;
            }
        }
        false
    }

    /// Who is asked now, and behind what.
    fn due(&mut self, now: Instant) -> Vec<(From, String)> {
        let due = self.asking.iter_mut().filter(|(_, asking)| asking.at <= now).take(AT_ONCE);
        due.map(|(from, asking)| {
            asking.at = now + asking.pause;
            asking.pause = asking.pause.saturating_mul(2).min(AGAIN_MAX);
            (from.clone(), asking.after.clone())
        })
        .collect()
    }
}

/// Listens until cancelled; reconnects by itself.
pub async fn run(
    listen: Listen,
    mut known: PeerStore,
    tally: watch::Sender<Tally>,
    cancel: CancellationToken,
) {
    let (mut told, mut unstored) = (ThrottledByGateway::default(), Throttle::default());
    let mut outage = Outage::new(&listen.client_id, &listen.broker.address());
    while !cancel.is_cancelled() {
        let done = tokio::select! {
            () = cancel.cancelled() => return,
            checked = check(&listen, &mut known) => match checked {
                Ok(()) => connection(&listen, &mut known, (&tally, &mut told, &mut outage), &cancel).await,
                Err(e) => Err(e),
            }
        };
        tally.send_modify(|t| t.subscribed = false);
        if let Err(e) = done
            && let Some(times) = again(&mut unstored, &e)
        {
            log::error!(
                "what gateways tell each other is not heard, the connection is begun anew: {e}{times}"
            );
        }
        tokio::select! { () = cancel.cancelled() => return, () = tokio::time::sleep(PAUSE) => {} }
    }
}

fn options<'a>(listen: &'a Listen, client_id: String, clean: bool) -> mqtt::Options<'a> {
    mqtt::Options {
        broker: &listen.broker,
        client_id,
        clean,
        will: None,
        inflight: 500,
        incoming: INCOMING,
        capacity: CAPACITY,
        manual_acks: !clean,
    }
}

/// Doubts everything, where the broker remembers more than the database, or nothing. On a connection of its own: on the
/// other one the number would stand behind all that was said meanwhile.
async fn check(listen: &Listen, known: &mut PeerStore) -> io::Result<()> {
    let (id, mark) = known.hearing().await?;
    let topic = mark_topic(&id);
    let kept = tokio::time::timeout(CHECK, kept(listen, &topic));
    let kept = kept.await.map_err(|_| io::Error::other("the broker does not say what it has kept"))?;
    match kept.map_err(io::Error::other)? {
        Some(kept) if kept <= mark => Ok(()),
        None if mark == 0 => Ok(()),
        kept => {
            let why = match kept {
                Some(_) => "the database knows less than it did: was it set back?",
                None => "the broker has forgotten how much the database knew",
            };
            log::warn!("{why} All gateways are asked what they know");
            known.doubt(kept.unwrap_or(mark)).await
        }
    }
}

/// The number that the broker has kept: what is said on its topic after it was subscribed to comes behind it.
async fn kept(listen: &Listen, topic: &str) -> Result<Option<u64>, mqtt::MqttError> {
    let full = |e: mqtt::SendError| mqtt::MqttError::Options(e.to_string());
    let (client, mut events) = mqtt::open(options(listen, format!("{}-check", listen.client_id), true))?;
    loop {
        match events.poll().await? {
            MqttEvent::Connected { .. } => client.subscribe(topic).map_err(full)?,
            MqttEvent::Subscribed(Ok(())) => {
                client.publish(topic, b"{}".to_vec(), Mark::default()).map_err(full)?
            }
            MqttEvent::Subscribed(Err(why)) | MqttEvent::Acked(_, Err(why)) => {
                return Err(mqtt::MqttError::Options(format!(
                    "the broker refuses `{topic}`: {why}; is its access list of this version?"
                )));
            }
            MqttEvent::Message(message) => {
                client.farewell(&mut events).await;
                return Ok(serde_json::from_slice::<Number>(&message.payload).ok().map(|n| n.mark));
            }
            MqttEvent::Departed(_) | MqttEvent::Acked(_, Ok(())) | MqttEvent::Other => {}
        }
    }
}

async fn connection(
    listen: &Listen,
    known: &mut PeerStore,
    (tally, told, outage): (&watch::Sender<Tally>, &mut ThrottledByGateway, &mut Outage),
    cancel: &CancellationToken,
) -> io::Result<()> {
    let opened = mqtt::open(options(listen, listen.client_id.clone(), false)).map_err(io::Error::other)?;
    let (client, events) = opened;
    let (inbox, messages) = mpsc::channel(WAITING);
    let end = CancellationToken::new();
    let (id, _) = known.hearing().await?;
    let round = Round { asking: BTreeMap::new(), whole: known.whole().await? };
    let ear =
        Ear { client: client.clone(), topic: mark_topic(&id), round, shares: Shares::new(), told, tally };
    let speaking = speak((client, events, outage), filters(listen), inbox, tally, cancel, end.clone());
    let (spoken, heard) = tokio::join!(speaking, ear.run(messages, known, end));
    if let Err(e) = spoken
        && let Some(line) = outage.lost(&e.to_string(), Instant::now())
    {
        log::warn!("{line}");
    }
    heard
}

struct Ear<'a> {
    client: Client,
    topic: String,
    round: Round,
    shares: Shares,
    told: &'a mut ThrottledByGateway,
    tally: &'a watch::Sender<Tally>,
}

impl Ear<'_> {
    async fn run(
        mut self,
        mut messages: mpsc::Receiver<Message>,
        known: &mut PeerStore,
        end: CancellationToken,
    ) -> io::Result<()> {
        let _guard = end.drop_guard();
        let mut clock = tokio::time::interval(LOOK);
        let (mut batch, mut sure) = (Vec::new(), false);
        loop {
            tokio::select! {
                count = messages.recv_many(&mut batch, WAITING) => {
                    if count == 0 {
                        return Ok(());
                    }
                    // What was said while nobody kept it is known to nobody here.
                    if !std::mem::replace(&mut sure, true) && !self.tally.borrow().session {
                        let (_, mark) = known.hearing().await?;
                        known.doubt(mark).await?;
                        self.round.whole.clear();
                    }
                    let taken: Vec<Message> = std::mem::take(&mut batch);
                    self.take(&taken, known).await?;
                    for message in &taken {
                        self.client.ack(message).map_err(io::Error::other)?;
                    }
                }
                _ = clock.tick() => {
                    self.told.rest();
                    for from in self.shares.turn(Instant::now()) {
                        known.limit(&from).await?;
                    }
                }
            }
            self.ask();
        }
    }

    async fn take(&mut self, messages: &[Message], known: &mut PeerStore) -> io::Result<()> {
        let (mut brought, mut asks, mut pages) = (Brought::default(), Vec::new(), Vec::new());
        for message in messages {
            let (from, peer_message) = match read(&message.topic, &message.payload) {
                Ok(read) => read,
                Err((from, why)) => {
                    self.refuse(from.as_ref(), &message.topic, why);
                    continue;
                }
            };
            if !self.shares.allows(&from, &peer_message) {
                if matches!(peer_message, PeerMessage::Use(_) | PeerMessage::Slot(_) | PeerMessage::Entry(_))
                {
                    self.round.missed(&from, Instant::now());
                    brought.missed.insert(from.clone());
                }
                self.refuse(
                    Some(&from),
                    &message.topic,
                    "it says more in a minute than any gateway has to say",
                );
                continue;
            }
            match peer_message {
                PeerMessage::Use(used) => brought.uses.push((from.clone(), used)),
                PeerMessage::Slot(slot) => brought.slots.push((from.clone(), *slot)),
                PeerMessage::Entry(text) => brought.entries.push((from.clone(), text)),
                PeerMessage::Tell(page) if self.round.is_next(&from, &page) => {
                    let uses = page.uses.iter().map(|used| (from.clone(), used.clone()));
                    brought.uses.extend(uses);
                    let slots = page.slots.iter().map(|told| (from.clone(), told.slot.clone()));
                    brought.slots.extend(slots);
                    let entries = page.entries.iter().filter(|text| is_entry(text));
                    brought.entries.extend(entries.map(|text| (from.clone(), text.clone())));
                    if self.round.stored(&from, &page, Instant::now()) {
                        pages.push(from.clone());
                    }
                }
                PeerMessage::Tell(_) => {}
                PeerMessage::Ask(after) => asks.push((from.clone(), after)),
                PeerMessage::State { online, epoch } => {
                    self.round.state(&from, online, epoch, Instant::now());
                    if !online {
                        continue;
                    }
                }
            }
            brought.heard.insert(from);
        }
        // Whoever has told everything and then too much has not told everything.
        brought.whole = pages.into_iter().filter(|from| !brought.missed.contains(from)).collect();
        if let Some(mark) = known.hear(brought).await? {
            let body = serde_json::to_vec(&Number { mark }).expect("a number");
            let kept = Mark { retain: true, ..Mark::default() };
            // Before what it counts is acknowledged: what the broker keeps is never less than what it may forget.
            self.client.publish(&self.topic, body, kept).map_err(io::Error::other)?;
        }
        for (from, after) in asks {
            let page = known.page(&from, after).await?;
            self.say(&from, "told", &page);
        }
        Ok(())
    }

    /// Asks whoever is to be asked.
    fn ask(&mut self) {
        for (from, after) in self.round.due(Instant::now()) {
            self.say(&from, "asked", &Ask { to: None, after });
        }
    }

    /// What finds no room is asked again.
    fn say(&self, from: &From, kind: &str, peer_message: &impl Serialize) {
        let body = serde_json::to_vec(peer_message).expect("strings and numbers");
        let soon = Mark { keep_s: Some(KEEP_S), ..Mark::default() };
        if let Err(e) = self.client.publish(&from.topic(kind), body, soon) {
            log::debug!("{}/{}: {kind} waits: {e}", from.site, from.gateway);
        }
    }

    fn refuse(&mut self, from: Option<&From>, what: &str, why: &str) {
        self.told.note(from, what, why);
        self.tally.send_modify(|t| t.refused += 1);
    }
}

#[cfg(test)]
mod tests;
