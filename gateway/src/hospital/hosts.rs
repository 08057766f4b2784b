//! Who may speak: addresses, and names that are looked up when somebody comes whom no address lets in.

use crate::config::Host;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::lookup_host;
use tokio::time::timeout;

/// What a name stands for is looked up again after this.
const FRESH: Duration = Duration::from_secs(60);
/// A name that nobody resolves in this time lets nobody in.
const LOOK: Duration = Duration::from_secs(2);

/// The hosts that may speak.
pub struct Hosts {
    addresses: Vec<IpAddr>,
    names: Vec<String>,
    known: Mutex<Option<(Instant, Vec<IpAddr>)>>,
}

impl Hosts {
    /// As they are configured.
    pub fn new(hosts: Vec<Host>) -> Self {
        let (mut addresses, mut names) = (Vec::new(), Vec::new());
        for host in hosts {
            match host {
                Host::Address(address) => addresses.push(address),
                Host::Name(name) => names.push(name),
            }
        }
        Self { addresses, names, known: Mutex::default() }
    }

    /// Whether somebody at this address may speak.
    pub async fn may_speak(&self, from: IpAddr) -> bool {
        self.addresses.contains(&from) || !self.names.is_empty() && self.named().await.contains(&from)
    }

    async fn named(&self) -> Vec<IpAddr> {
        if let Some((at, known)) = &*self.known.lock().unwrap_or_else(PoisonError::into_inner)
            && at.elapsed() < FRESH
        {
            return known.clone();
        }
        let mut found = Vec::new();
        for name in &self.names {
            match timeout(LOOK, lookup_host((name.as_str(), 0))).await {
                Ok(Ok(all)) => found.extend(all.map(|at| at.ip().to_canonical())),
                Ok(Err(e)) => log::warn!("HL7: the host `{name}` has no address: {e}"),
                Err(_) => log::warn!("HL7: nobody says which address the host `{name}` has"),
            }
        }
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), found.clone()));
        found
    }
}
