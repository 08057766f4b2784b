//! Who may be connected: few, in all and from one address.
//!
//! Where there is no room, the one that has waited longest without ever asking for anything gives way, and where all
//! have asked, the youngest of those who are most: who has been there long is a screen. Some seats are for whoever is
//! signed in, and for this machine itself: nobody else gets them.

use super::network::network;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// The least number of connections, however few files there are.
const LEAST: usize = 32;
/// Of all seats, one in so many is for whoever is signed in and for this machine itself.
const OWN: usize = 4;

/// How many connections a server has.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// In all; fewer where the process may have few files.
    most: usize,
    /// Of these, from one address.
    share: usize,
    /// Of these, from one network of version 6, in which a machine has as many addresses as it likes.
    network: usize,
    /// Files that stay free for the rest of the process, whatever comes.
    files: u64,
}

impl ConnectionLimits {
    /// The screens of one box: a few people look, and devices, journal and lists need files.
    pub const BOX: Self = Self { most: 256, share: 32, network: 128, files: 512 };
    /// A server of a fleet: a thousand boxes come at the same moment, perhaps all from behind one address.
    pub const FLEET: Self = Self { most: 4_096, share: 2_048, network: 2_048, files: 128 };

    /// Senders of a hospital: an interface engine or two, each with a connection for its feeds.
    pub const HOSPITAL: Self = Self { most: 16, share: 8, network: 8, files: 512 };

    /// As many as leave enough files to the rest of the process.
    pub fn with_files(self) -> Self {
        // As many again may be on their way out.
        let wanted = self.files + 2 * self.most as u64;
        let limit = getrlimit(Resource::Nofile);
        let mut files = limit.current.unwrap_or(u64::MAX);
        // What whoever started the process has left to it is taken, as far as it is needed.
        let raised = limit.maximum.map_or(wanted, |most| most.min(wanted));
        if raised > files {
            match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum }) {
                Ok(()) => files = raised,
                Err(e) => log::warn!("the limit of open files stays at {files}: {e}"),
            }
        }
        let free = usize::try_from(files.saturating_sub(self.files) / 2).unwrap_or(usize::MAX);
        Self { most: free.clamp(LEAST, self.most), ..self }
    }
}

/// Room for connections.
#[derive(Clone)]
pub struct Seats(Arc<Mutex<Occupancy>>);

struct Occupancy {
    limits: ConnectionLimits,
    next: u64,
    // Connections that are not gone yet, those among them that were sent away as well.
    there: usize,
    // By age.
    by: BTreeMap<u64, Guest>,
}

struct Guest {
    peer: IpAddr,
    asked: bool,
    /// On one of the seats that nobody else gets.
    own: bool,
    gone: CancellationToken,
}

/// The seat of one connection, free again when dropped.
pub struct Seat {
    seats: Seats,
    number: u64,
    /// Another one takes it.
    pub gone: CancellationToken,
}

/// A seat, for whoever knows more of the one who has it.
#[derive(Clone)]
pub struct Sitting {
    seats: Seats,
    number: u64,
}

/// What it cost somebody that there are more connections than seats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowd {
    /// One that had asked for something was sent away.
    Displaced,
    /// The next one was.
    Refused,
}

impl Crowd {
    /// What counts it.
    pub fn counter(self) -> &'static str {
        match self {
            Self::Displaced => "http_connection_displaced_total",
            Self::Refused => "http_connection_refused_total",
        }
    }
}

/// The machine itself: its own screen comes from there.
fn is_own(peer: IpAddr) -> bool {
    peer == IpAddr::V4(Ipv4Addr::LOCALHOST) || peer == IpAddr::V6(Ipv6Addr::LOCALHOST)
}

impl Seats {
    /// All are free.
    pub fn new(limits: ConnectionLimits) -> Self {
        Self(Arc::new(Mutex::new(Occupancy { limits, next: 0, there: 0, by: BTreeMap::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Occupancy> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat for a connection from this address, if need be that of another one.
    pub fn take(&self, peer: IpAddr) -> (Option<Seat>, Option<Crowd>) {
        let peer = peer.to_canonical();
        let mut taken = self.lock();
        if taken.there >= 2 * taken.limits.most {
            return (None, Some(Crowd::Refused));
        }
        // The other half of these seats is left to whoever signs in.
        let own = is_own(peer) && taken.count(|g| g.own) < taken.own_seats() / 2;
        let mut crowd = None;
        if !own && let Some(full) = taken.full_for(peer) {
            let leaves = taken.gives_way(&full).and_then(|number| taken.by.remove(&number));
            let Some(leaves) = leaves else { return (None, Some(Crowd::Refused)) };
            leaves.gone.cancel();
            crowd = leaves.asked.then_some(Crowd::Displaced);
        }
        let (number, gone) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.there += 1;
        taken.by.insert(number, Guest { peer, asked: false, own, gone: gone.clone() });
        (Some(Seat { seats: self.clone(), number, gone }), crowd)
    }
}

/// Whose seats are all taken.
enum Full {
    Address(IpAddr),
    Network(IpAddr),
    House,
}

impl Full {
    fn holds(&self, peer: IpAddr) -> bool {
        match self {
            Self::Address(of) => peer == *of,
            Self::Network(of) => network(peer) == *of,
            Self::House => true,
        }
    }
}

impl Occupancy {
    fn count(&self, good: impl Fn(&Guest) -> bool) -> usize {
        self.by.values().filter(|g| good(g)).count()
    }

    fn own_seats(&self) -> usize {
        self.limits.most / OWN
    }

    fn full_for(&self, peer: IpAddr) -> Option<Full> {
        let others = |good: &dyn Fn(&Guest) -> bool| self.count(|g| !g.own && good(g));
        if others(&|g| g.peer == peer) >= self.limits.share {
            return Some(Full::Address(peer));
        }
        if others(&|g| network(g.peer) == network(peer)) >= self.limits.network {
            return Some(Full::Network(network(peer)));
        }
        (others(&|_| true) >= self.limits.most - self.own_seats()).then_some(Full::House)
    }

    /// Who leaves: of those who never asked for anything, the one that has waited longest; otherwise the one that
    /// came last. Both times one of the address that has most of them.
    fn gives_way(&self, full: &Full) -> Option<u64> {
        let among = |silent: bool| {
            let may = |g: &Guest| !g.own && full.holds(g.peer) && (!silent || !g.asked);
            let all: Vec<_> = self.by.iter().filter(|(_, g)| may(g)).collect();
            let mut crowds: BTreeMap<IpAddr, usize> = BTreeMap::new();
            all.iter().for_each(|(_, g)| *crowds.entry(g.peer).or_default() += 1);
            all.into_iter().map(|(n, g)| (crowds[&g.peer], *n)).collect::<Vec<_>>()
        };
        let waits = among(true).into_iter().max_by_key(|(crowd, number)| (*crowd, Reverse(*number)));
        waits.or_else(|| among(false).into_iter().max()).map(|(_, number)| number)
    }
}

impl Seat {
    /// One that asks for something is not the first to give way.
    pub fn asked(&self) {
        if let Some(guest) = self.seats.lock().by.get_mut(&self.number) {
            guest.asked = true;
        }
    }

    /// For whoever knows more of the one who sits there.
    pub fn sitting(&self) -> Sitting {
        Sitting { seats: self.seats.clone(), number: self.number }
    }
}

impl Sitting {
    /// Whoever is signed in has a seat that nobody else gets, as long as there is one.
    pub fn signed_in(&self, signed_in: bool) {
        let mut taken = self.seats.lock();
        let Some(guest) = taken.by.get(&self.number) else { return };
        let own = match (signed_in, guest.own) {
            (true, true) => return,
            // Every request asks this: the seats are counted for whoever has none yet.
            (true, false) => taken.count(|g| g.own) < taken.own_seats(),
            (false, own) => own && is_own(guest.peer),
        };
        if let Some(guest) = taken.by.get_mut(&self.number) {
            guest.own = own;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.there -= 1;
        taken.by.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: ConnectionLimits = ConnectionLimits::BOX;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    impl Seats {
        fn sit(&self, peer: IpAddr) -> Seat {
            self.take(peer).0.unwrap()
        }
    }

    #[test]
    fn one_address_takes_its_share_and_its_own_oldest_silent_one_gives_way() {
        let seats = Seats::new(BOX);
        let one = at("192.0.2.1");
        let asking = seats.sit(one);
        asking.asked();
        let silent: Vec<_> = (1..BOX.share).map(|_| seats.sit(one)).collect();
        let other = seats.sit(at("192.0.2.2"));
        let (next, crowd) = seats.take(one);
        let next = next.unwrap();
        assert_eq!(crowd, None, "nobody lost anything");
        assert!(silent[0].gone.is_cancelled() && !silent[1].gone.is_cancelled());
        assert!(!asking.gone.is_cancelled() && !other.gone.is_cancelled() && !next.gone.is_cancelled());
        // Where all have asked, the youngest of the same address goes: who has been there longest is a screen.
        silent.iter().chain([&next]).for_each(Seat::asked);
        let (last, crowd) = seats.take(at("::ffff:192.0.2.1"));
        assert_eq!(crowd, Some(Crowd::Displaced));
        assert!(next.gone.is_cancelled() && !silent[1].gone.is_cancelled() && !asking.gone.is_cancelled());
        assert!(!other.gone.is_cancelled() && !last.unwrap().gone.is_cancelled());
    }

    #[test]
    fn a_full_house_takes_from_the_largest_crowd() {
        let seats = Seats::new(BOX);
        let few: Vec<_> = (0..20).map(|n| seats.sit(at(&format!("192.0.2.{n}")))).collect();
        let crowds: Vec<_> = (0..172).map(|n| seats.sit(at(&format!("198.51.100.{}", n % 8)))).collect();
        assert_eq!(seats.lock().by.len(), BOX.most / OWN * (OWN - 1));
        let next = seats.sit(at("203.0.113.1"));
        assert!(!next.gone.is_cancelled() && few.iter().all(|s| !s.gone.is_cancelled()));
        assert_eq!(crowds.iter().filter(|s| s.gone.is_cancelled()).count(), 1);
        // Those that were sent away count until they are gone, so that files stay free.
        let more: Vec<_> =
            (0..1_000).map_while(|n| seats.take(at(&format!("203.0.113.{}", n % 200))).0).collect();
        assert_eq!(few.len() + crowds.len() + 1 + more.len(), 2 * BOX.most);
        assert_eq!(seats.take(at("192.0.2.99")).1, Some(Crowd::Refused));
    }

    #[test]
    fn who_asks_without_end_keeps_neither_the_signed_in_nor_this_machine_nor_the_next_one_out() {
        let seats = Seats::new(BOX);
        let desks: Vec<_> = (0..6).map(|_| seats.sit(at("192.0.2.7"))).collect();
        for desk in &desks {
            desk.asked();
            desk.sitting().signed_in(true);
        }
        let screen = seats.sit(at("192.0.2.8"));
        screen.asked();
        // Each address of the crowd has fewer than the desk.
        let mut crowd = Vec::new();
        for n in 0..400 {
            let Some(seat) = seats.take(at(&format!("198.51.100.{}", n % 200))).0 else { break };
            seat.asked();
            crowd.push(seat);
            crowd.retain(|s| !s.gone.is_cancelled());
        }
        assert!(desks.iter().chain([&screen]).all(|s| !s.gone.is_cancelled()));
        let itself: Vec<_> = (0..BOX.most / OWN / 4).map(|_| seats.sit(at("127.0.0.1"))).collect();
        itself.iter().for_each(Seat::asked);
        for n in 0..60 {
            let next = seats.sit(at(&format!("203.0.113.{n}")));
            assert!(!next.gone.is_cancelled());
        }
        assert!(desks.iter().chain(&itself).chain([&screen]).all(|s| !s.gone.is_cancelled()));
        // Who has signed out has a seat like everybody else's.
        desks[0].sitting().signed_in(false);
        assert!(!seats.lock().by[&desks[0].number].own && seats.lock().by[&desks[1].number].own);
    }

    #[test]
    fn the_signed_in_have_a_part_of_the_seats_and_not_all() {
        let seats = Seats::new(BOX);
        let all: Vec<_> = (0..BOX.share * 4).map(|n| seats.sit(at(&format!("192.0.2.{n}")))).collect();
        all.iter().for_each(|s| s.sitting().signed_in(true));
        assert_eq!(seats.lock().count(|g| g.own), BOX.most / OWN);
    }

    #[test]
    fn a_network_of_version_6_has_a_share_and_each_of_its_addresses_too() {
        let seats = Seats::new(BOX);
        let all: Vec<_> = (0..=BOX.network).map(|n| seats.sit(at(&format!("2001:db8::{n:x}")))).collect();
        assert_eq!(all.iter().filter(|s| s.gone.is_cancelled()).count(), 1);
        let of_one: Vec<_> = (0..=BOX.share).map(|_| seats.sit(at("2001:db8:0:1::1"))).collect();
        assert_eq!(of_one.iter().filter(|s| s.gone.is_cancelled()).count(), 1);
    }

    #[test]
    fn a_site_behind_one_address_comes_to_a_server_of_a_fleet_as_a_whole() {
        let seats = Seats::new(ConnectionLimits::FLEET);
        let all: Vec<_> = (0..1_000).map(|_| seats.sit(at("192.0.2.1"))).collect();
        all.iter().for_each(Seat::asked);
        assert!(all.iter().all(|s| !s.gone.is_cancelled()));
    }
}
