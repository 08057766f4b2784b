//! A configuration on a USB drive: for a gateway that central ops do not reach.

use super::OrderSettings;
use crate::store::seen::Seen;
use kakou_core::ids::{GatewayId, SiteId};
use kakou_link::durable;

/// A signed configuration is a text file for people, in base64.
const MAX: u64 = 4 << 20;

/// The file of one gateway's configuration: one USB drive serves a whole site.
pub fn file_name(site: &SiteId, gateway: &GatewayId) -> String {
    format!("{site}.{gateway}.config")
}

impl OrderSettings {
    /// Looks at the USB drive.
    pub(super) async fn look_at_usb_drive(&self, seen: &mut Seen) {
        let path = self.usb_drive.join(file_name(&self.site, &self.gateway));
        if !seen.changed(&path) {
            return;
        }
        match durable::read_small(&path, MAX) {
            Ok(envelope) => {
                log::info!("a configuration on a USB drive: {}", path.display());
                // Where there is no link, none can prove that the configuration works.
                let linked = self.overview.link.borrow().online;
                self.configure(&envelope, linked).await;
            }
            Err(e) => {
                self.metrics.count("configuration_refused_total");
                log::warn!("{}: {e}", path.display());
            }
        }
    }
}
