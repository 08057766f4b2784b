//! Officers sign in with a PIN; wrong ones cost time, more with each.

use crate::config::OfficerEntry;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use axum::http::{HeaderMap, header};
use kakou_core::ids::OfficerId;
use kakou_core::lane::action::Officer;
use kakou_core::pass::hex;
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The name of the cookie.
pub const COOKIE: &str = "kakou_session";
/// A session ends after this long without use.
pub const IDLE: Duration = Duration::from_secs(12 * 3600);
/// Sessions at the same time; the oldest ends first.
pub const MAX_SESSIONS: usize = 64;
/// Wrong PINs before an officer has to wait.
const FREE_TRIES: u32 = 5;
/// The first wait; doubled with each further wrong PIN.
const WAIT: Duration = Duration::from_secs(10);
/// The longest wait.
const MAX_WAIT: Duration = Duration::from_secs(900);

struct Session {
    officer: OfficerId,
    used: Instant,
}

#[derive(Default)]
struct Tries {
    wrong: u32,
    until: Option<Instant>,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// No such officer or not this PIN.
    WrongPin,
    /// Too many wrong PINs; wait so many seconds.
    Wait(u64),
}

/// Officers and their sessions.
pub struct Officers {
    entries: Vec<OfficerEntry>,
    sessions: Mutex<BTreeMap<String, Session>>,
    tries: Mutex<BTreeMap<OfficerId, Tries>>,
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
        Self { entries, sessions: Mutex::default(), tries: Mutex::default() }
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
    pub fn check(&self, id: &OfficerId, pin: &str) -> Result<Officer, Denied> {
        let entry = self.find(id).ok_or(Denied::WrongPin)?;
        self.count_try(id)?;
        let good = PasswordHash::new(&entry.pin)
            .is_ok_and(|hash| hasher().verify_password(pin.as_bytes(), &hash).is_ok());
        if !good {
            return Err(Denied::WrongPin);
        }
        self.tries.lock().expect("no panic inside").remove(id);
        Ok(Officer { id: id.clone(), role: entry.role })
    }

    /// A try counts as wrong until it turns out right: many at the same time are no way round the wait.
    fn count_try(&self, id: &OfficerId) -> Result<(), Denied> {
        let now = Instant::now();
        let mut tries = self.tries.lock().expect("no panic inside");
        let t = tries.entry(id.clone()).or_default();
        if let Some(until) = t.until.filter(|until| *until > now) {
            return Err(Denied::Wait((until - now).as_secs() + 1));
        }
        t.wrong += 1;
        if t.wrong >= FREE_TRIES {
            let wait = WAIT.saturating_mul(1 << (t.wrong - FREE_TRIES).min(8)).min(MAX_WAIT);
            t.until = Some(now + wait);
        }
        Ok(())
    }

    /// Begins a session; the result goes into the cookie.
    pub fn begin(&self, officer: &OfficerId) -> Result<String, String> {
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).map_err(|_| "no random numbers".to_owned())?;
        let token = hex(&random);
        let mut sessions = self.sessions.lock().expect("no panic inside");
        sessions.retain(|_, s| s.used.elapsed() < IDLE);
        if sessions.len() >= MAX_SESSIONS
            && let Some(oldest) = sessions.iter().min_by_key(|(_, s)| s.used).map(|(t, _)| t.clone())
        {
            sessions.remove(&oldest);
        }
        sessions.insert(token.clone(), Session { officer: officer.clone(), used: Instant::now() });
        Ok(token)
    }

    /// Ends a session.
    pub fn end(&self, headers: &HeaderMap) -> Option<OfficerId> {
        let token = token(headers)?;
        self.sessions.lock().expect("no panic inside").remove(token).map(|s| s.officer)
    }

    /// Who is signed in.
    pub fn who(&self, headers: &HeaderMap) -> Option<(Officer, String)> {
        let token = token(headers)?;
        let mut sessions = self.sessions.lock().expect("no panic inside");
        let session = sessions.get_mut(token).filter(|s| s.used.elapsed() < IDLE)?;
        session.used = Instant::now();
        let entry = self.entries.iter().find(|o| o.id == session.officer)?;
        Some((Officer { id: entry.id.clone(), role: entry.role }, entry.name.clone()))
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

    fn one() -> (OfficerId, Officers) {
        let id = OfficerId::new("li").unwrap();
        let pin = hash_pin("2468").unwrap();
        let entry = OfficerEntry { id: id.clone(), name: "李".into(), role: Role::Guard, pin };
        (id, Officers::new(vec![entry]))
    }

    #[test]
    fn many_tries_at_once_are_no_way_round_the_wait() {
        let (id, officers) = one();
        let tries: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..24).map(|_| scope.spawn(|| officers.check(&id, "1111"))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let looked_at = tries.iter().filter(|t| **t == Err(Denied::WrongPin)).count();
        assert_eq!(looked_at, usize::try_from(FREE_TRIES).unwrap());
        assert!(matches!(officers.check(&id, "2468"), Err(Denied::Wait(_))));
        let other = OfficerId::new("nobody").unwrap();
        assert_eq!(officers.check(&other, "1111"), Err(Denied::WrongPin));
    }

    #[test]
    fn the_right_pin_makes_earlier_tries_forgotten() {
        let (id, officers) = one();
        for _ in 0..3 {
            for _ in 1..FREE_TRIES {
                assert_eq!(officers.check(&id, "1111"), Err(Denied::WrongPin));
            }
            assert!(officers.check(&id, "2468").is_ok());
        }
    }
}
