//! The link against a broker and a central side that are made of a seed: connections, sessions and acknowledgements are
//! lost, receipts come late, twice and in any order.

use super::*;
use crate::delivery::{MAX_BODY, RECEIPT_PATIENCE, Rows};
use proptest::prelude::*;
use std::collections::{BTreeSet, VecDeque};

const SETTINGS: Settings =
    Settings { epoch: 1, batch: 7, inflight: 16, receipts: true, backlog_per_s: 100_000, discovery: false };
const WALL_MS: i64 = 1_600_000_000_000;

/// What the other end of a connection knows of a message.
#[derive(Debug)]
enum Packet {
    Birth,
    Event(Batch),
}

/// Everything beside the link: time, journal, broker, central side.
struct World {
    link: Delivery<Rows>,
    rows: Rows,
    now: Duration,
    random: Random,
    /// Handed to the client and without a packet id, then with one.
    queue: VecDeque<Packet>,
    under_way: Vec<(u16, Packet)>,
    pkid: u16,
    open: bool,
    up: bool,
    window: u16,
    /// What the broker has acknowledged and not given to the central side yet.
    forwarding: VecDeque<Batch>,
    /// What the central side has of each stream; receipts that are under way.
    central: [BTreeSet<u64>; 4],
    receipts: VecDeque<Receipt>,
    /// As the journal was told.
    journal: Positions,
    /// The last events that went out in this connection, of each stream, live and as backlog.
    last: [[u64; 2]; 4],
    /// Everything that was put out, without events.
    seen: Vec<Output>,
    /// Whether receipts have stayed away: then events go again.
    again: bool,
    lost: u64,
    sent: u64,
}

impl World {
    fn new(settings: Settings, seed: u64) -> Self {
        let rows = Rows::default();
        Self {
            link: Delivery::new(settings, Positions::default(), rows.clone(), seed),
            rows,
            now: Duration::from_secs(1),
            random: Random::new(seed ^ 1),
            queue: VecDeque::new(),
            under_way: Vec::new(),
            pkid: 0,
            open: false,
            up: false,
            window: 16,
            forwarding: VecDeque::new(),
            central: Default::default(),
            receipts: VecDeque::new(),
            journal: Positions::default(),
            last: [[0; 2]; 4],
            seen: Vec::new(),
            again: false,
            lost: 0,
            sent: 0,
        }
    }

    fn wall_ms(&self) -> i64 {
        WALL_MS + i64::try_from(self.now.as_millis()).unwrap()
    }

    fn store(&mut self, class: Class, events: u64) {
        let at = self.wall_ms();
        for _ in 0..events {
            self.rows.push(class, at, |n| format!("{{\"n\":{n}}}").into_bytes());
        }
        self.tell(Input::Stored(self.rows.heads()));
    }

    /// Tells the link, and does what it says.
    fn tell(&mut self, input: Input) {
        let (now, mut out) = (Moment { mono: self.now, wall_ms: self.wall_ms() }, Vec::new());
        self.link.handle(now, input, &mut out);
        for output in out {
            self.carry_out(output);
        }
        if let Some(deadline) = self.link.deadline() {
            assert!(deadline > self.now, "it wants to be asked again at once");
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Open { .. } => {
                assert!(!self.open, "one connection at a time");
                self.open = true;
            }
            Output::Drop => {
                assert!(self.open);
                (self.open, self.up) = (false, false);
                self.lost += 1;
                self.queue.clear();
                self.under_way.clear();
                self.last = [[0; 2]; 4];
            }
            Output::Birth { .. } | Output::Discovery => self.queue.push_back(Packet::Birth),
            Output::Event(batch) => {
                assert!(self.up, "nothing goes out before the connection is up");
                assert!(self.queue.len() + self.under_way.len() < usize::from(self.window) + 1);
                let last = &mut self.last[usize::from(batch.class.number())][usize::from(batch.backlog)];
                assert!(self.again || batch.first > *last, "{batch:?} behind {last}: order within a stream");
                *last = batch.last;
                self.sent += batch.count;
                self.queue.push_back(Packet::Event(batch));
            }
            Output::Acknowledged(class, through) => assert!(self.journal.acknowledge(class, through)),
            Output::Receipted(class, through) => {
                assert!((1..=through).all(|n| self.has(class, n)), "{through} of {class:?} is not there");
                self.journal.receipt(class, through);
                // What is receipted may go at any moment.
                self.rows.purge(class, self.journal.stream(class).receipted);
            }
            Output::WentBack(class, through) => self.journal.go_back(class, through),
            Output::Count("receipt_gap_total") => {
                self.again = true;
                self.seen.push(output);
            }
            Output::Up
            | Output::Subscribe
            | Output::Health(_)
            | Output::Farewell
            | Output::Busy(_)
            | Output::Lost(_)
            | Output::Status
            | Output::Count(_)
            | Output::Say(..) => self.seen.push(output),
        }
    }

    fn has(&self, class: Class, n: u64) -> bool {
        self.central[usize::from(class.number())].contains(&n)
    }

    fn roll(&mut self, sides: u16) -> u16 {
        self.random.draw() % sides
    }

    fn connect(&mut self) {
        self.up = true;
        self.tell(Input::Connected { max_packet: None, receive_max: self.window, retains: true });
    }

    fn depart(&mut self) {
        let Some(packet) = self.queue.pop_front() else { return };
        self.pkid = self.pkid.wrapping_add(1).max(1);
        self.under_way.push((self.pkid, packet));
        self.tell(Input::Departed(self.pkid));
    }

    /// The broker acknowledges one of those under way; it may have lost it.
    fn acknowledge(&mut self, which: usize, kept: bool) {
        if self.under_way.is_empty() {
            return;
        }
        let which = which % self.under_way.len();
        let (pkid, packet) = self.under_way.remove(which);
        if let Packet::Event(batch) = packet
            && kept
        {
            self.forwarding.push_back(batch);
        }
        self.tell(Input::Acknowledged(pkid, Ok(())));
    }

    /// The central side stores what the broker has for it, and receipts it.
    fn store_centrally(&mut self) {
        let Some(batch) = self.forwarding.pop_front() else { return };
        let class = batch.class;
        let have = &mut self.central[usize::from(class.number())];
        // The stand-in of the test has no holes: nothing is shed here.
        have.extend(batch.first..=batch.last);
        let through = (1..).take_while(|n| have.contains(n)).last().unwrap_or(0);
        self.receipts.push_back(Receipt { class, epoch: 1, through, all: false });
    }

    fn lose(&mut self) {
        if self.open {
            self.tell(Input::Lost(LinkError::Client("connection reset".into())));
        }
    }

    /// One thing happens.
    fn step(&mut self) {
        match self.roll(20) {
            0 => {
                let class = Class::ALL[usize::from(self.roll(4))];
                let events = u64::from(self.roll(40));
                self.store(class, events);
            }
            1..=4 => self.depart(),
            5..=8 => {
                let which = usize::from(self.roll(16));
                self.acknowledge(which, true);
            }
            9 if self.roll(8) == 0 => self.acknowledge(0, false),
            10..=12 => self.store_centrally(),
            // Late, twice, in any order.
            13 | 14 if !self.receipts.is_empty() => {
                let which = usize::from(self.roll(64)) % self.receipts.len();
                let receipt = self.receipts[which];
                if self.roll(3) > 0 {
                    self.receipts.remove(which);
                }
                if self.up {
                    self.tell(Input::Receipt(receipt));
                }
            }
            15 if self.roll(6) == 0 => self.lose(),
            16 if self.roll(10) == 0 => {
                self.tell(Input::Plug(false));
                self.tell(Input::Plug(true));
            }
            17 if self.roll(10) == 0 => self.tell(Input::Renewed),
            18 => self.wait(),
            _ if self.open && !self.up => self.connect(),
            _ => {}
        }
    }

    /// Until the link wants to be asked, or a moment.
    fn wait(&mut self) {
        let rest = if self.roll(16) == 0 { 4_000 } else { 0 };
        let moment = self.now + Duration::from_millis(20 + rest + u64::from(self.roll(200)));
        let deadline = self.link.deadline().unwrap_or(moment);
        self.now = deadline.min(moment).max(self.now);
        self.tell(Input::Tick);
    }

    /// Nothing fails any more: everything arrives, within minutes.
    fn settle(&mut self) {
        let until = self.now + Duration::from_secs(3_600);
        while (0..4).any(|i| self.journal.receipted()[i] < self.rows.heads()[i]) {
            assert!(self.now < until, "still {:?} of {:?}", self.journal, self.rows.heads());
            if self.open && !self.up {
                self.connect();
            }
            while !self.queue.is_empty() {
                self.depart();
            }
            while !self.under_way.is_empty() {
                self.acknowledge(0, true);
                self.depart();
            }
            while !self.forwarding.is_empty() {
                self.store_centrally();
            }
            self.wait();
            while let Some(receipt) = self.receipts.pop_front().filter(|_| self.up) {
                self.tell(Input::Receipt(receipt));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is lost on the way: every event arrives, what a stream sends in one connection is in order, and what may
    /// be purged is at the central side.
    #[test]
    fn everything_arrives_at_least_once_whatever_is_lost_between(
        seed in any::<u64>(),
        window in 1_u16..17,
        batch in 1_usize..12,
        discovery in any::<bool>(),
    ) {
        let mut world = World::new(Settings { batch, discovery, ..SETTINGS }, seed);
        world.window = window;
        world.tell(Input::Tick);
        for _ in 0..2_000 {
            world.step();
        }
        world.settle();
        for class in Class::ALL {
            let head = world.rows.heads()[usize::from(class.number())];
            prop_assert!((1..=head).all(|n| world.has(class, n)));
            prop_assert_eq!(world.link.positions().stream(class).receipted, head);
        }
        // Nothing is sent for ever.
        let sent = world.sent;
        for _ in 0..2_000 {
            world.wait();
        }
        prop_assert_eq!(world.sent, sent);
    }

    /// The same seed makes the same outputs.
    #[test]
    fn a_run_can_be_repeated(seed in any::<u64>()) {
        let run = || {
            let mut world = World::new(SETTINGS, seed);
            world.tell(Input::Tick);
            (0..300).for_each(|_| world.step());
            (world.now, world.sent, world.seen)
        };
        prop_assert_eq!(run(), run());
    }
}

fn began() -> World {
    let mut world = World::new(SETTINGS, 7);
    world.tell(Input::Tick);
    world.connect();
    world
}

#[test]
fn a_link_that_is_lost_waits_longer_each_time_and_a_plug_that_is_pulled_makes_it_wait_for_the_network() {
    let mut world = World::new(SETTINGS, 3);
    world.tell(Input::Tick);
    let mut waits = Vec::new();
    for _ in 0..12 {
        world.lose();
        let until = world.link.deadline().unwrap();
        waits.push(until - world.now);
        world.now = until;
        world.tell(Input::Tick);
        assert!(world.open);
    }
    assert!(waits[..2].iter().sum::<Duration>() < Duration::from_secs(1), "{waits:?}");
    assert!(waits.iter().all(|w| *w <= Duration::from_secs(30)));
    assert!(waits[9..].iter().max() > Some(&Duration::from_secs(5)), "{waits:?}");
    world.tell(Input::Plug(false));
    assert!(!world.open && world.seen.contains(&Output::Lost(LinkError::Unplugged)));
    world.now = world.link.deadline().unwrap();
    world.tell(Input::Tick);
    assert_eq!((world.open, world.link.deadline()), (false, None), "only the network counts now");
    world.tell(Input::Plug(true));
    assert!(world.open);
}

#[test]
fn a_peer_that_stops_reading_is_given_up_and_what_it_had_goes_again() {
    let mut world = began();
    world.store(Class::Verdict, 3);
    world.depart();
    world.acknowledge(0, true);
    world.depart();
    let begun = world.now;
    while world.open {
        world.now = world.link.deadline().unwrap();
        world.tell(Input::Tick);
    }
    let after = world.now - begun;
    assert!(after > PROGRESS_LIMIT && after < PROGRESS_LIMIT + Duration::from_secs(3), "{after:?}");
    assert!(world.seen.contains(&Output::Lost(LinkError::Stuck)));
    world.settle();
}

#[test]
fn receipts_that_stay_away_make_the_oldest_go_again_and_the_status_says_so_until_one_comes() {
    let mut world = began();
    world.store(Class::Verdict, 40);
    while !world.queue.is_empty() {
        world.depart();
        world.acknowledge(0, true);
    }
    assert_eq!(world.link.positions().acknowledged(), [40, 0, 0, 0]);
    assert_eq!(world.journal.acknowledged(), [40, 0, 0, 0], "the journal is told once nothing is under way");
    let (sent, begun) = (world.sent, world.now);
    while world.sent == sent {
        world.now = world.link.deadline().unwrap();
        world.tell(Input::Tick);
    }
    assert!(world.now - begun > RECEIPT_PATIENCE && world.now - begun < RECEIPT_PATIENCE * 2);
    assert_eq!(world.sent - sent, 7, "one batch");
    assert!(world.link.status().detail.contains("no receipts of verdict"));
    world.tell(Input::Receipt(Receipt { class: Class::Verdict, epoch: 2, through: 40, all: false }));
    world.tell(Input::Receipt(Receipt { class: Class::Verdict, epoch: 1, through: 41, all: false }));
    assert_eq!(world.link.positions().receipted(), [0; 4], "of another journal, of what is not there");
    assert_eq!(world.seen.iter().filter(|o| **o == Output::Count("receipt_refused_total")).count(), 2);
    world.settle();
    assert_eq!(world.link.status().detail, "");
}

#[test]
fn a_central_side_that_lost_its_store_gets_everything_again_and_hears_what_is_gone() {
    let mut world = began();
    world.store(Class::Verdict, 30);
    world.settle();
    assert_eq!(world.journal.receipted(), [30, 0, 0, 0]);
    world.store(Class::Verdict, 5);
    world.settle();
    // The rows up to the receipt are purged; the central side begins anew, and has nothing.
    world.central = Default::default();
    world.tell(Input::Receipt(Receipt { class: Class::Verdict, epoch: 1, through: 0, all: true }));
    assert_eq!((world.journal.receipted(), world.journal.acknowledged()), ([0; 4], [0; 4]));
    let births = |world: &World| world.queue.iter().filter(|p| matches!(p, Packet::Birth)).count();
    let before = births(&world);
    world.now = world.link.deadline().unwrap();
    world.tell(Input::Tick);
    assert_eq!(births(&world), before + 1);
}

#[test]
fn a_broker_that_keeps_nothing_and_one_that_refuses_are_told_apart() {
    let mut world = World::new(SETTINGS, 9);
    world.tell(Input::Tick);
    world.tell(Input::Lost(LinkError::NoRetain));
    let mut out = Vec::new();
    world.now = world.link.deadline().unwrap();
    let now = Moment { mono: world.now, wall_ms: world.wall_ms() };
    world.link.handle(now, Input::Tick, &mut out);
    assert_eq!(out, [Output::Open { will_retained: false }]);
    (world.open, world.up) = (true, true);
    world.tell(Input::Connected { max_packet: Some(1_000), receive_max: 3, retains: false });
    assert!(world.seen.iter().any(|o| matches!(o, Output::Say(Severity::Warn, _))));
    world.depart();
    world.acknowledge(0, true);
    assert!(world.link.status().detail.contains("retain_available"), "{:?}", world.link.status());
    world.store(Class::Scan, 1);
    world.depart();
    let (pkid, _) = world.under_way[0];
    world.tell(Input::Acknowledged(pkid, Err("not authorised".into())));
    assert!(!world.open && world.link.status().detail.contains("refuses events: not authorised"));
    assert!(world.seen.contains(&Output::Count("puback_refused_total")));
}

#[test]
fn health_goes_once_a_connection_and_whenever_it_is_new_and_an_empty_one_never() {
    let mut world = began();
    let told = |world: &World| world.seen.iter().filter(|o| matches!(o, Output::Health(_))).count();
    assert_eq!(told(&world), 0);
    world.tell(Input::Health("{}".into()));
    world.tell(Input::Tick);
    assert_eq!(told(&world), 1);
    world.lose();
    world.now = world.link.deadline().unwrap();
    world.tell(Input::Tick);
    world.connect();
    assert_eq!(told(&world), 2);
}

#[test]
fn a_journal_that_cannot_be_read_costs_a_connection_and_no_event() {
    let mut world = began();
    world.rows.fail(true);
    world.store(Class::Verdict, 3);
    assert!(!world.open && world.link.status().detail.contains("the journal cannot be read"));
    world.rows.fail(false);
    world.settle();
    assert!(world.has(Class::Verdict, 3));
}

#[test]
fn the_end_says_goodbye_where_somebody_listens_and_nothing_is_done_after_it() {
    let mut world = began();
    world.tell(Input::Close);
    assert_eq!(world.seen.last(), Some(&Output::Farewell));
    let seen = world.seen.len();
    world.tell(Input::Tick);
    world.store(Class::Verdict, 1);
    assert_eq!((world.seen.len(), world.link.deadline()), (seen, None));
    let mut world = World::new(SETTINGS, 1);
    world.tell(Input::Tick);
    world.tell(Input::Close);
    assert!(!world.open, "one that has not come up is thrown away");
}

#[test]
fn an_event_that_the_broker_takes_in_no_form_ends_the_connection_and_says_why() {
    let mut world = World::new(SETTINGS, 5);
    world.tell(Input::Tick);
    world.up = true;
    world.tell(Input::Connected { max_packet: Some(300), receive_max: 3, retains: true });
    world.rows.push(Class::Verdict, WALL_MS, |_| vec![b'x'; MAX_BODY + 1]);
    world.tell(Input::Stored(world.rows.heads()));
    assert!(matches!(
        world.seen.iter().find(|o| matches!(o, Output::Lost(_))),
        Some(Output::Lost(LinkError::TooLarge(_)))
    ));
}
