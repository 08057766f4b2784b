//! The link to the broker, the broker, and the way from there to the central side and back: connections are refused and
//! lost, with and without what is under way; messages come twice; the broker forgets what it has acknowledged; receipts do
//! not arrive.

use super::central::Central;
use super::draw::{Draw, Stream};
use kakou_wire::receipt::Receipt;
use std::collections::VecDeque;

/// What comes in a while.
#[derive(Debug, Clone)]
pub enum Net {
    /// The broker answers to a connection.
    Answer(u64),
    /// The broker has taken the subscriptions.
    Subscribed(u64),
    /// A packet leaves under a number.
    Departs(u64, u16),
    /// It is at the broker.
    Arrives(u64, u16),
    /// Its acknowledgement is back.
    Acknowledged(u64, u16),
    /// The connection breaks.
    Breaks(u64),
    /// The central side takes what waits at the broker.
    Central,
    /// A receipt is at the gateway.
    Receipt(u64, Receipt),
}

/// What the gateway hears of it.
#[derive(Debug, Clone)]
pub enum Heard {
    /// A connection is up.
    Connected,
    /// There is none, or no more.
    Lost(&'static str),
    /// Subscriptions are taken.
    Subscribed,
    /// A packet has left under this number.
    Departed(u16),
    /// It is acknowledged.
    Acknowledged(u16),
    /// The central side has something.
    Receipt(Receipt),
}

/// What a packet carries: events, and whether they tell what was.
type Payload = Option<(Vec<u8>, bool)>;

/// How often something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that came up.
    pub connections: u64,
    /// Those that broke.
    pub broken: u64,
    /// Messages that the broker has acknowledged and forgotten.
    pub forgotten: u64,
    /// Messages that came twice.
    pub doubled: u64,
    /// Receipts that did not arrive.
    pub receipts_lost: u64,
}

/// Link and broker.
pub struct Broker {
    draw: Draw,
    /// Whether anything goes wrong.
    faults: bool,
    session: u64,
    is_up: bool,
    /// No connection comes up before this moment.
    closed_until: u64,
    next_packet: u16,
    under_way: VecDeque<Payload>,
    /// What the central side has not taken yet.
    stored: VecDeque<(Vec<u8>, bool)>,
    /// What happened.
    pub counts: Counts,
}

/// What follows: in so many milliseconds.
pub type Later = Vec<(u64, Net)>;

impl Broker {
    /// A broker to which nobody is connected.
    pub fn new(seed: u64) -> Self {
        Self {
            draw: Draw::new(seed, Stream::Broker),
            faults: true,
            session: 0,
            is_up: false,
            closed_until: 0,
            next_packet: 0,
            under_way: VecDeque::new(),
            stored: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// From now on all goes well.
    pub fn end_faults(&mut self) {
        (self.faults, self.closed_until) = (false, 0);
    }

    /// The gateway wants a connection.
    pub fn open(&mut self) -> Later {
        self.drop_link();
        vec![(self.draw.between(10, 300), Net::Answer(self.session))]
    }

    /// The gateway throws its connection away, or is off: what is under way arrives or not.
    pub fn drop_link(&mut self) {
        self.is_up = false;
        self.session += 1;
        let arrive = self.draw.below(self.under_way.len() as u64 + 1);
        for payload in
            std::mem::take(&mut self.under_way).into_iter().take(usize::try_from(arrive).unwrap_or(0))
        {
            self.stored.extend(payload);
        }
    }

    /// The gateway subscribes.
    pub fn subscribe(&mut self) -> Later {
        vec![(self.draw.between(5, 100), Net::Subscribed(self.session))]
    }

    /// The gateway sends a packet.
    pub fn send(&mut self, payload: Payload) -> Later {
        self.next_packet = self.next_packet % 60_000 + 1;
        self.under_way.push_back(payload);
        let (session, packet) = (self.session, self.next_packet);
        vec![(0, Net::Departs(session, packet)), (20, Net::Arrives(session, packet))]
    }

    /// Something comes.
    pub fn comes(&mut self, at: u64, net: Net, central: &mut Central) -> Result<(Vec<Heard>, Later), String> {
        let session = self.session;
        let now = |of: u64, up: bool| of == session && up;
        Ok(match net {
            Net::Answer(of) if of == session => self.answer(at),
            Net::Subscribed(of) if now(of, self.is_up) => (vec![Heard::Subscribed], Vec::new()),
            Net::Departs(of, packet) if now(of, self.is_up) => (vec![Heard::Departed(packet)], Vec::new()),
            Net::Arrives(of, packet) if now(of, self.is_up) => (Vec::new(), self.arrives(packet)),
            Net::Acknowledged(of, packet) if now(of, self.is_up) => {
                (vec![Heard::Acknowledged(packet)], Vec::new())
            }
            Net::Breaks(of) if now(of, self.is_up) && self.faults => (self.breaks(at), Vec::new()),
            Net::Receipt(of, receipt) if now(of, self.is_up) => (vec![Heard::Receipt(receipt)], Vec::new()),
            Net::Central => (Vec::new(), self.passes_on(central)?),
            // Of a session that is gone: nobody hears it.
            Net::Answer(_)
            | Net::Subscribed(_)
            | Net::Departs(..)
            | Net::Arrives(..)
            | Net::Acknowledged(..)
            | Net::Breaks(_)
            | Net::Receipt(..) => (Vec::new(), Vec::new()),
        })
    }

    fn answer(&mut self, at: u64) -> (Vec<Heard>, Later) {
        if at < self.closed_until {
            return (vec![Heard::Lost("connection refused")], Vec::new());
        }
        self.is_up = true;
        self.counts.connections += 1;
        let breaks = (self.draw.between(5_000, 240_000), Net::Breaks(self.session));
        // What waited for the central side goes on, whoever sends more.
        (vec![Heard::Connected], vec![breaks, (50, Net::Central)])
    }

    fn arrives(&mut self, packet: u16) -> Later {
        let Some(payload) = self.under_way.pop_front() else { return Vec::new() };
        let mut later = Vec::new();
        if let Some(message) = payload {
            if self.faults && self.draw.per_mille(40) {
                self.counts.doubled += 1;
                self.stored.push_back(message.clone());
            }
            self.stored.push_back(message);
            later.push((self.draw.between(10, 400), Net::Central));
        }
        later.push((self.draw.between(5, 120), Net::Acknowledged(self.session, packet)));
        later
    }

    fn breaks(&mut self, at: u64) -> Vec<Heard> {
        self.counts.broken += 1;
        self.closed_until = at + self.draw.between(100, 90_000);
        self.drop_link();
        if self.draw.per_mille(150) {
            self.counts.forgotten += self.stored.len() as u64;
            self.stored.clear();
        }
        vec![Heard::Lost("connection reset")]
    }

    /// The central side takes what there is, and says what it has.
    fn passes_on(&mut self, central: &mut Central) -> Result<Later, String> {
        let mut later = Vec::new();
        for (body, late) in std::mem::take(&mut self.stored) {
            for receipt in central.take(&body, late)? {
                if self.faults && self.draw.per_mille(60) {
                    self.counts.receipts_lost += 1;
                } else {
                    later.push((self.draw.between(10, 200), Net::Receipt(self.session, receipt)));
                }
            }
        }
        Ok(later)
    }
}
