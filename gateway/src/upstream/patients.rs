//! What a hospital's system has told one gateway of a site, and what was taken back at its duty console, at the others ([`crate::hospital::share`]).

use super::down::{Down, answer};
use crate::hospital::share::{self, ShareError, Teller};
use kakou_core::ids::GatewayId;
use kakou_wire::peers::ToldPatient;
use tokio::sync::oneshot;

impl Down {
    /// What a hospital has told another gateway counts here as well. What cannot be read is no reason to send it again.
    pub(super) fn hear(&self, from: GatewayId, told: ToldPatient, done: oneshot::Sender<bool>) {
        let (data, site, metrics) = (self.data.clone(), self.site.clone(), self.metrics.clone());
        let now = self.clock.now();
        let now_ms = now.wall_ms.filter(|_| now.synced());
        tokio::task::spawn_blocking(move || {
            let teller = Teller { site: site.as_str(), gateway: from.as_str() };
            let heard = match share::hear(&data, teller, &told, now_ms) {
                Ok(news) => {
                    metrics.add("hospital_heard_total", u64::from(news));
                    true
                }
                Err(ShareError::Unreadable) => {
                    metrics.count("peer_unreadable_total");
                    true
                }
                Err(e @ (ShareError::Key(_) | ShareError::Store(_) | ShareError::Io(..))) => {
                    log::error!("what another gateway tells of an entry could not be stored: {e}");
                    false
                }
            };
            answer(done, heard);
        });
    }

    /// Somebody has called for everything: what a hospital has told goes out once more.
    pub(super) fn share_again(&self) {
        let (data, site, gateway) = (self.data.clone(), self.site.clone(), self.gateway.clone());
        let words = self.words.clone();
        tokio::task::spawn_blocking(move || {
            let teller = Teller { site: site.as_str(), gateway: gateway.as_str() };
            match share::keep_all(&data, teller) {
                Ok(()) => words.send_modify(|told| *told += 1),
                Err(e) => log::error!("a gateway that is new does not hear what the hospital has told: {e}"),
            }
        });
    }
}
