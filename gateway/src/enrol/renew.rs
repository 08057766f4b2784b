//! The certificate of an enrolled gateway is renewed before two thirds of its time are over, and after
//! its end as well.

use super::{Origin, client, folder};
use crate::keys;
use crate::orders::commands::finish_change;
use kakou_link::backoff::Backoff;
use kakou_link::clock::Clock;
use kakou_link::{durable, tls};
use kakou_provisioning::{certificate, identity};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(600);

/// What the task needs.
pub struct Renewal {
    /// The data folder.
    pub data: PathBuf,
    /// Certificate and key.
    pub identity: (PathBuf, PathBuf),
    /// The settings of the broker: roots and clock.
    pub settings: kakou_link::broker::Upstream,
    /// Raised when connections must begin anew.
    pub renewed: watch::Sender<u64>,
}

/// Whether it is time: behind six tenths of the lifetime, and up to one fifteenth later, by the certificate,
/// so that a fleet does not come at once.
pub fn is_due((begins, ends): (u64, u64), now_s: u64, name: &str) -> bool {
    let life = ends.saturating_sub(begins);
    let share = u64::from(name.bytes().fold(7_u8, |h, b| h.wrapping_mul(31).wrapping_add(b)));
    now_s >= begins + life * 6 / 10 + life / 15 * share / 255
}

/// Renews until cancelled.
pub async fn run(renewal: Renewal, cancel: CancellationToken) {
    let mut backoff = Backoff::default();
    let mut pause = Duration::from_secs(5);
    loop {
        tokio::select! { () = cancel.cancelled() => return, () = tokio::time::sleep(pause) => {} }
        pause = LOOK;
        let Some(origin) = origin(&renewal.data) else { continue };
        if !renewal.due() {
            continue;
        }
        match renewal.once(&origin).await {
            Ok(()) => log::info!("the certificate was renewed"),
            Err(why) => {
                pause = backoff.pause(None).max(Duration::from_secs(30));
                log::warn!("the certificate is not renewed yet: {why}");
            }
        }
    }
}

/// When the code of this box was made, UTC milliseconds: no clock is right before it.
pub fn enrolled_ms(data: &Path) -> Option<i64> {
    origin(data).map(|o| o.issued * 1000)
}

fn origin(data: &Path) -> Option<Origin> {
    serde_json::from_slice(&std::fs::read(folder(data).join("origin.json")).ok()?).ok()
}

impl Renewal {
    fn due(&self) -> bool {
        let clock: &Clock = &self.settings.clock;
        let chain = tls::certificates(&self.identity.0).unwrap_or_default();
        let validity = chain.first().and_then(|c| certificate::validity(c).ok());
        let now = clock.now().wall_s().and_then(|s| u64::try_from(s).ok());
        let name = chain.first().map(|c| c.iter().map(|b| char::from(b & 0x7f)).collect::<String>());
        validity.zip(now).is_some_and(|(validity, now)| is_due(validity, now, &name.unwrap_or_default()))
    }

    async fn once(&self, origin: &Origin) -> Result<(), String> {
        let (cert, key) = &self.identity;
        let text =
            |path: &Path| std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()));
        let next = identity::request("renewal").map_err(|e| e.to_string())?;
        let roots = tls::roots(&self.settings).map_err(|e| e.to_string())?;
        let reader = keys::reader_key(&self.data).map_err(|e| e.to_string())?.reader();
        let pem = client::renew(&roots, &origin.url, (text(cert)?, &text(key)?), &next.csr_pem, reader)
            .await
            .map_err(|e| e.to_string())?;
        let keys = self.data.join("keys");
        std::fs::create_dir_all(&keys).map_err(|e| e.to_string())?;
        let (next_key, next_cert) = (keys.join("next.key"), keys.join("next.pem"));
        let wrong = |e: std::io::Error| e.to_string();
        durable::write_secret(&next_key, next.key_pem.as_bytes()).map_err(wrong)?;
        durable::write(&next_cert, pem.as_bytes()).map_err(wrong)?;
        tls::fits(&next_cert, &next_key).map_err(|e| e.to_string())?;
        tls::of_fleet(&self.settings, &next_cert).map_err(|e| e.to_string())?;
        // The key first; should the power go now, the next start does the rest.
        std::fs::copy(key, durable::old(key)).map_err(wrong)?;
        durable::write_secret(key, next.key_pem.as_bytes()).map_err(wrong)?;
        finish_change(&self.data, (cert, key));
        drop(std::fs::remove_file(next_key));
        self.renewed.send_modify(|n| *n += 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_due_before_two_thirds_and_after_the_end_as_well() {
        let life = (1_000_000, 1_000_000 + 90 * 86_400);
        let at = |thousandths: u64| 1_000_000 + 90 * 86_400 * thousandths / 1000;
        for name in ["a", "b", "/var/lib/kakou"] {
            assert!(
                !is_due(life, at(590), name) && is_due(life, at(667), name) && is_due(life, at(2000), name)
            );
        }
        assert!(is_due((5, 5), 6, "x"), "no lifetime at all");
    }
}
