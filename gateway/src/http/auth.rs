//! Officers sign in with a PIN; wrong ones cost time, more with each, whoever tries and from wherever.
//!
//! What strangers try keeps nobody from signing who is at work: what comes from a browser at which somebody is signed
//! in is counted apart, by that session's officer.

use super::network::network;
use crate::config::OfficerEntry;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use axum::http::{HeaderMap, header};
use kakou_core::ids::OfficerId;
use kakou_core::lane::action::Officer;
use kakou_core::pass::hex;
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The name of the cookie.
pub const COOKIE: &str = "kakou_session";
/// A session ends after this long without use.
pub const IDLE: Duration = Duration::from_secs(12 * 3600);
/// Sessions of one officer at the same time; a further one takes the place of the oldest.
pub const SESSIONS: usize = 4;
/// The first wait; doubled with each further wrong PIN.
const WAIT: Duration = Duration::from_secs(10);
/// Addresses whose tries are remembered.
const ADDRESSES: usize = 256;

/// What wrong PINs cost. Time alone forgives them: the right PIN of the owner must not give a guesser new tries.
struct Price {
    /// Wrong PINs before a wait.
    free: u32,
    /// After this long one wrong PIN is forgotten.
    forget: Duration,
    /// The longest wait.
    longest: Duration,
}

/// For the PIN of one officer.
const OF_OFFICER: Price =
    Price { free: 5, forget: Duration::from_secs(900), longest: Duration::from_secs(900) };
/// For all that comes from one place: the desk that several officers share must not be closed soon.
const OF_PLACE: Price =
    Price { free: 20, forget: Duration::from_secs(300), longest: Duration::from_secs(300) };

struct Session {
    officer: OfficerId,
    used: Instant,
    ended: CancellationToken,
}

/// Wrong PINs that are not forgotten yet.
#[derive(Clone, Copy)]
struct Tries {
    wrong: u32,
    // From here on the next one is forgotten.
    since: Instant,
    last: Instant,
}

impl Tries {
    fn none(now: Instant) -> Self {
        Self { wrong: 0, since: now, last: now }
    }

    fn forget(&mut self, price: &Price, now: Instant) {
        while self.wrong > 0 && now.saturating_duration_since(self.since) >= price.forget {
            self.wrong -= 1;
            self.since += price.forget;
        }
    }

    /// Seconds until the next try is looked at; 0 where it is at once.
    fn wait_s(&self, price: &Price, now: Instant) -> u64 {
        let Some(more) = self.wrong.checked_sub(price.free) else { return 0 };
        let wait = WAIT.saturating_mul(1 << more.min(8)).min(price.longest);
        (self.last + wait)
            .checked_duration_since(now)
            .map_or(0, |left| u64::try_from(left.as_millis().div_ceil(1000)).unwrap_or(u64::MAX))
    }

    fn count(&mut self, now: Instant) {
        if self.wrong == 0 {
            self.since = now;
        }
        (self.wrong, self.last) = (self.wrong + 1, now);
    }

    /// The try of this moment was right: it costs nothing, and makes nobody wait.
    fn take_back(&mut self, of: Instant, before: Self) {
        self.wrong = self.wrong.saturating_sub(1);
        if self.last == of {
            self.last = before.last;
        }
    }
}

/// Where a PIN is typed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignInPlace {
    /// At a browser at which this officer is signed in.
    Desk(OfficerId),
    /// Anywhere at this address, where nobody is.
    Address(IpAddr),
}

impl SignInPlace {
    /// A network of version 6 is one place.
    pub fn of(peer: IpAddr, signed_in: Option<&OfficerId>) -> Self {
        signed_in.map_or_else(|| Self::Address(network(peer)), |id| Self::Desk(id.clone()))
    }

    fn desk(&self) -> Option<&OfficerId> {
        match self {
            Self::Desk(id) => Some(id),
            Self::Address(_) => None,
        }
    }
}

#[derive(Default)]
struct Book {
    /// Of each officer: what all strangers tried, and what was tried at the desks of each officer.
    officers: BTreeMap<(OfficerId, Option<OfficerId>), Tries>,
    places: BTreeMap<SignInPlace, Tries>,
}

impl Book {
    /// Makes room for an address, by what is worth least. Desks are as few as officers, and stay.
    fn room(&mut self, now: Instant) {
        let addresses =
            |places: &BTreeMap<SignInPlace, Tries>| places.keys().filter(|p| p.desk().is_none()).count();
        if addresses(&self.places) < ADDRESSES {
            return;
        }
        self.places.values_mut().for_each(|t| t.forget(&OF_PLACE, now));
        self.places.retain(|_, t| t.wrong > 0);
        if addresses(&self.places) >= ADDRESSES {
            let all = self.places.iter().filter(|(p, _)| p.desk().is_none());
            let least = all.min_by_key(|(_, t)| (t.wrong, t.last)).map(|(p, _)| p.clone());
            least.and_then(|place| self.places.remove(&place));
        }
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No such officer or not this PIN.
    WrongPin {
        /// Tries before a wait.
        left: u32,
        /// Seconds to wait before the next.
        wait_s: u64,
    },
    /// Too many wrong PINs; wait so many seconds. The PIN was not looked at.
    Wait(u64),
}

/// Officers and their sessions.
pub struct Officers {
    entries: Vec<OfficerEntry>,
    idle: Duration,
    sessions: Mutex<BTreeMap<String, Session>>,
    book: Mutex<Book>,
}

fn hasher() -> Argon2<'static> {
    // 4 MiB and three passes: a gateway has little memory, and PINs are guarded by waiting.
    let params = Params::new(4096, 3, 1, None).expect("the parameters are within bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The hash of a PIN for the configuration.
pub fn hash_pin(pin: &str) -> Result<String, String> {
    let mut salt = [0; 16];
    SystemRandom::new().fill(&mut salt).map_err(|_| "no random numbers".to_owned())?;
    hasher().hash_password_with_salt(pin.as_bytes(), &salt).map(|h| h.to_string()).map_err(|e| e.to_string())
}

impl Officers {
    /// From the configuration.
    pub fn new(entries: Vec<OfficerEntry>) -> Self {
        Self { entries, idle: IDLE, sessions: Mutex::default(), book: Mutex::default() }
    }

    /// For the sign-in list.
    pub fn entries(&self) -> &[OfficerEntry] {
        &self.entries
    }

    /// An officer by id.
    pub fn find(&self, id: &OfficerId) -> Option<&OfficerEntry> {
        self.entries.iter().find(|o| o.id == *id)
    }

    /// Checks a PIN; takes some 10 ms of a processor, so not on an async thread.
    pub fn check(&self, id: &OfficerId, pin: &str, place: &SignInPlace) -> Result<Officer, Denied> {
        self.check_at(id, pin, place, Instant::now())
    }

    fn check_at(
        &self,
        id: &OfficerId,
        pin: &str,
        place: &SignInPlace,
        now: Instant,
    ) -> Result<Officer, Denied> {
        let entry = self.find(id);
        let before = self.count_try(entry.map(|e| &e.id), place, now)?;
        let good = entry.filter(|e| {
            PasswordHash::new(&e.pin)
                .is_ok_and(|hash| hasher().verify_password(pin.as_bytes(), &hash).is_ok())
        });
        let mut book = self.book.lock().expect("no panic inside");
        let Book { officers, places } = &mut *book;
        let of_officer = officers.get_mut(&(id.clone(), place.desk().cloned()));
        let tries = [(of_officer, &OF_OFFICER), (places.get_mut(place), &OF_PLACE)];
        let mut denied = (u32::MAX, 0);
        for ((tries, price), before) in tries.into_iter().zip(before) {
            let Some(tries) = tries else { continue };
            if good.is_some() {
                tries.take_back(now, before);
            }
            denied.0 = denied.0.min(price.free.saturating_sub(tries.wrong));
            denied.1 = denied.1.max(tries.wait_s(price, now));
        }
        let (left, wait_s) = denied;
        good.map(|e| Officer { id: id.clone(), role: e.role }).ok_or(Denied::WrongPin { left, wait_s })
    }

    /// A try counts as wrong until it turns out right: many at the same time are no way round the wait. Gives what
    /// was before it, of the officer and of the place.
    fn count_try(
        &self,
        officer: Option<&OfficerId>,
        place: &SignInPlace,
        now: Instant,
    ) -> Result<[Tries; 2], Denied> {
        let mut book = self.book.lock().expect("no panic inside");
        if !book.places.contains_key(place) {
            book.room(now);
        }
        let Book { officers, places } = &mut *book;
        let mut nobody = Tries::none(now);
        let of_officer =
            officer.map(|id| officers.entry((id.clone(), place.desk().cloned())).or_insert(Tries::none(now)));
        let of_officer = of_officer.unwrap_or(&mut nobody);
        let of_place = places.entry(place.clone()).or_insert(Tries::none(now));
        of_officer.forget(&OF_OFFICER, now);
        of_place.forget(&OF_PLACE, now);
        let wait_s = of_officer.wait_s(&OF_OFFICER, now).max(of_place.wait_s(&OF_PLACE, now));
        if wait_s > 0 {
            return Err(Denied::Wait(wait_s));
        }
        let before = [*of_officer, *of_place];
        of_officer.count(now);
        of_place.count(now);
        Ok(before)
    }

    /// Begins a session in place of the one that this browser had; the result goes into the cookie. Whoever is
    /// signed in there already goes on as before: their other pages notice nothing.
    pub fn begin(&self, officer: &OfficerId, headers: &HeaderMap) -> Result<String, String> {
        if let Some((same, _)) = self.who(headers)
            && same.id == *officer
            && let Some(token) = token(headers)
        {
            return Ok(token.to_owned());
        }
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).map_err(|_| "no random numbers".to_owned())?;
        self.end(headers);
        let new = hex(&random);
        let mut sessions = self.sessions.lock().expect("no panic inside");
        sessions.retain(|_, s| s.used.elapsed() < self.idle);
        let own = || sessions.iter().filter(|(_, s)| s.officer == *officer);
        if own().count() >= SESSIONS
            && let Some(oldest) = own().min_by_key(|(_, s)| s.used).map(|(t, _)| t.clone())
        {
            sessions.remove(&oldest);
        }
        let session =
            Session { officer: officer.clone(), used: Instant::now(), ended: CancellationToken::new() };
        sessions.insert(new.clone(), session);
        Ok(new)
    }

    /// Ends a session.
    pub fn end(&self, headers: &HeaderMap) -> Option<OfficerId> {
        let token = token(headers)?;
        self.sessions.lock().expect("no panic inside").remove(token).map(|s| s.officer.clone())
    }

    /// Whether somebody is signed in; to look is no use of the session.
    pub fn knows(&self, headers: &HeaderMap) -> bool {
        let sessions = self.sessions.lock().expect("no panic inside");
        token(headers).and_then(|t| sessions.get(t)).is_some_and(|s| s.used.elapsed() < self.idle)
    }

    /// Who is signed in.
    pub fn who(&self, headers: &HeaderMap) -> Option<(Officer, String)> {
        let token = token(headers)?;
        let mut sessions = self.sessions.lock().expect("no panic inside");
        let session = sessions.get_mut(token).filter(|s| s.used.elapsed() < self.idle)?;
        session.used = Instant::now();
        let entry = self.entries.iter().find(|o| o.id == session.officer)?;
        Some((Officer { id: entry.id.clone(), role: entry.role }, entry.name.clone()))
    }

    /// Waits for the end of a session: signed out, replaced, or not used for too long.
    pub async fn ended(&self, headers: &HeaderMap) {
        let Some(token) = token(headers) else { return };
        loop {
            let (ended, rest) = {
                let sessions = self.sessions.lock().expect("no panic inside");
                let Some(session) = sessions.get(token) else { return };
                let Some(rest) = self.idle.checked_sub(session.used.elapsed()) else { return };
                (session.ended.clone(), rest)
            };
            tokio::select! { () = ended.cancelled() => return, () = tokio::time::sleep(rest) => {} }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|v| v.to_str().ok());
    cookies.flat_map(|c| c.split(';')).find_map(|c| c.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_core::lane::action::Role;

    const DESK: SignInPlace = SignInPlace::Address(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

    fn some() -> (OfficerId, Officers) {
        let pin = hash_pin("2468").unwrap();
        let one = |id: &str| OfficerEntry {
            id: OfficerId::new(id).unwrap(),
            name: id.into(),
            role: Role::Guard,
            pin: pin.clone(),
            badge: None,
        };
        let all = ["li", "wang", "zhao", "chen", "sun", "zhou"].map(one);
        (all[0].id.clone(), Officers::new(all.into()))
    }

    fn with(token: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::COOKIE, format!("{COOKIE}={token}").parse().unwrap())])
    }

    #[test]
    fn many_tries_at_once_are_no_way_round_the_wait() {
        let (id, officers) = some();
        let tries: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..24).map(|_| scope.spawn(|| officers.check(&id, "1111", &DESK))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let looked_at = tries.iter().filter(|t| matches!(t, Err(Denied::WrongPin { .. }))).count();
        assert_eq!(looked_at, usize::try_from(OF_OFFICER.free).unwrap());
        assert!(matches!(officers.check(&id, "2468", &DESK), Err(Denied::Wait(_))));
        let other = OfficerId::new("nobody").unwrap();
        assert!(matches!(officers.check(&other, "1111", &DESK), Err(Denied::WrongPin { .. })));
    }

    #[test]
    fn the_right_pin_gives_a_guesser_no_new_tries_and_the_owner_no_wait() {
        let (id, officers) = some();
        let begun = Instant::now();
        let check = |pin: &str, s: u64| officers.check_at(&id, pin, &DESK, begun + Duration::from_secs(s));
        for left in [4, 3, 2, 1] {
            assert_eq!(check("1111", 0), Err(Denied::WrongPin { left, wait_s: 0 }));
            assert!(check("2468", 0).is_ok() && check("2468", 1).is_ok());
        }
        assert_eq!(check("1111", 1), Err(Denied::WrongPin { left: 0, wait_s: 10 }));
        assert_eq!(check("2468", 2), Err(Denied::Wait(9)), "the owner too");
        // After the wait the owner signs in, and signs an override at once.
        assert!(check("2468", 11).is_ok() && check("2468", 11).is_ok());
        assert_eq!(check("1111", 12), Err(Denied::WrongPin { left: 0, wait_s: 20 }));
        // Time alone forgives: one in a quarter of an hour.
        assert_eq!(check("1111", 901), Err(Denied::WrongPin { left: 0, wait_s: 20 }));
        assert_eq!(check("1111", 8 * 900), Err(Denied::WrongPin { left: 4, wait_s: 0 }));
        let guesses =
            (0..86_400).filter(|s| matches!(check("1111", 100_000 + s), Err(Denied::WrongPin { .. })));
        assert!(guesses.count() < 110, "a day of guesses");
    }

    #[test]
    fn an_address_that_tries_one_officer_after_the_other_waits_and_others_do_not() {
        let (_, officers) = some();
        let now = Instant::now();
        let all: Vec<_> = officers.entries().iter().map(|o| o.id.clone()).collect();
        let bad = SignInPlace::of("192.0.2.1".parse().unwrap(), None);
        let wrong =
            |id: &OfficerId| matches!(officers.check_at(id, "1", &bad, now), Err(Denied::WrongPin { .. }));
        let looked_at: usize = all.iter().map(|id| (0..4).filter(|_| wrong(id)).count()).sum();
        assert_eq!(looked_at, usize::try_from(OF_PLACE.free).unwrap());
        assert!(matches!(officers.check_at(&all[5], "2468", &bad, now), Err(Denied::Wait(10))));
        assert!(officers.check_at(&all[5], "2468", &DESK, now).is_ok());
        // Many addresses do not make the book large.
        for n in 0..1_000_u32 {
            let place = SignInPlace::Address(IpAddr::V4(n.into()));
            drop(officers.check_at(&OfficerId::new("nobody").unwrap(), "1", &place, now));
        }
        assert!(officers.book.lock().unwrap().places.len() <= ADDRESSES);
    }

    #[test]
    fn a_fifth_session_takes_the_place_of_the_same_officers_oldest() {
        let (li, officers) = some();
        let wang = OfficerId::new("wang").unwrap();
        let of_wang = with(&officers.begin(&wang, &HeaderMap::new()).unwrap());
        let of_li: Vec<_> =
            (0..=SESSIONS).map(|_| with(&officers.begin(&li, &HeaderMap::new()).unwrap())).collect();
        assert!(officers.who(&of_li[0]).is_none());
        assert!(of_li[1..].iter().all(|one| officers.who(one).is_some()));
        assert!(officers.who(&of_wang).is_some(), "nobody else's ends");
        // Who signs in at the same browser again leaves no session behind.
        let again = with(&officers.begin(&wang, &of_li[1]).unwrap());
        assert!(officers.who(&of_li[1]).is_none() && officers.who(&again).is_some());
        assert!(officers.who(&of_wang).is_some());
    }

    #[test]
    fn guesses_of_a_stranger_do_not_keep_an_officer_from_signing_at_their_own_desk() {
        let (li, officers) = some();
        let begun = Instant::now();
        let wang = OfficerId::new("wang").unwrap();
        let own = SignInPlace::Desk(li.clone());
        // Whenever the wait of each officer ends, a stranger is there first, for hours.
        for s in 0..240 {
            let now = begun + Duration::from_secs(60 * s);
            for id in [&li, &wang] {
                assert!(officers.check_at(id, "1111", &DESK, now).is_err());
            }
            if s % 60 != 59 {
                continue;
            }
            let locked = officers.check_at(&li, "2468", &DESK, now);
            assert!(matches!(locked, Err(Denied::Wait(_))), "who is not signed in cannot come in");
            assert!(officers.check_at(&li, "2468", &own, now).is_ok(), "they unlock and sign");
            assert!(officers.check_at(&wang, "2468", &own, now).is_ok(), "and a second one signs there");
        }
        // Whoever guesses at a desk that stands open waits as well, whosever PIN it is.
        let now = begun + Duration::from_secs(86_400);
        let all: Vec<_> = officers.entries().iter().map(|o| o.id.clone()).collect();
        let wrong =
            |id: &OfficerId| matches!(officers.check_at(id, "1", &own, now), Err(Denied::WrongPin { .. }));
        let of_one = (0..10).filter(|_| wrong(&wang)).count();
        assert_eq!(of_one, usize::try_from(OF_OFFICER.free).unwrap());
        let of_all: usize = all.iter().map(|id| (0..5).filter(|_| wrong(id)).count()).sum();
        assert_eq!(of_one + of_all, usize::try_from(OF_PLACE.free).unwrap());
        assert!(officers.check_at(&wang, "2468", &SignInPlace::Desk(wang.clone()), now).is_ok());
    }

    #[test]
    fn who_signs_in_again_at_the_same_browser_keeps_the_session_and_its_streams() {
        let (li, officers) = some();
        let one = officers.begin(&li, &HeaderMap::new()).unwrap();
        assert_eq!(officers.begin(&li, &with(&one)).unwrap(), one);
        let wang = OfficerId::new("wang").unwrap();
        assert_ne!(officers.begin(&wang, &with(&one)).unwrap(), one);
        assert!(officers.who(&with(&one)).is_none());
        // One that has ended is not taken up again.
        assert_ne!(officers.begin(&li, &with(&one)).unwrap(), one);
    }

    #[tokio::test]
    async fn the_end_of_a_session_is_told_when_it_is_signed_out_replaced_or_not_used() {
        let (li, mut officers) = some();
        let told = async |officers: &Officers, of: &HeaderMap| {
            tokio::time::timeout(Duration::from_secs(30), officers.ended(of)).await.is_ok()
        };
        let one = with(&officers.begin(&li, &HeaderMap::new()).unwrap());
        let (end, _) = tokio::join!(told(&officers, &one), async { officers.end(&one) });
        assert!(end);
        let one = with(&officers.begin(&li, &HeaderMap::new()).unwrap());
        let wang = OfficerId::new("wang").unwrap();
        let (end, _) = tokio::join!(told(&officers, &one), async { officers.begin(&wang, &one) });
        assert!(end);
        officers.idle = Duration::from_millis(40);
        let one = with(&officers.begin(&li, &HeaderMap::new()).unwrap());
        assert!(told(&officers, &one).await && officers.who(&one).is_none());
    }
}
