//! What every part of the daemon is given.

use super::StartError;
use crate::config::Settings;
use crate::engine::WorkSender;
use crate::enrol;
use crate::metrics::Metrics;
use crate::store::photos::Photos;
use kakou_core::event::Author;
use kakou_core::ids::{GatewayId, SiteId};
use kakou_link::clock::{Clock, boot_id};
use kakou_link::durable;
use std::path::PathBuf;
use std::sync::Arc;

/// Who this gateway is, where it keeps what it has, and the way to its core.
pub struct Common {
    /// The site.
    pub site: SiteId,
    /// This gateway.
    pub gateway: GatewayId,
    /// The data folder.
    pub data: PathBuf,
    /// The clock.
    pub clock: Clock,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// The way to the core.
    pub engine: WorkSender,
    /// Photographs.
    pub photos: Photos,
}

impl Common {
    /// Makes the data folder, and tidies what an earlier run has left half done.
    pub fn make(settings: &Settings, engine: WorkSender) -> Result<Self, StartError> {
        let (site, gateway) = (settings.site.clone(), settings.gateway.clone());
        let data = settings.data.clone();
        durable::own_folder(&data).map_err(|e| StartError::Data(data.clone(), e))?;
        let photos = Photos::open(&data)?;
        photos.tidy()?;
        if let Some(enrolled) = enrol::renew::enrolled_ms(&data) {
            settings.clock.signed_at(enrolled);
        }
        let metrics = Arc::new(Metrics::of(site.as_str(), gateway.as_str()));
        Ok(Self { site, gateway, data, clock: settings.clock.clone(), metrics, engine, photos })
    }

    /// Who writes the journal.
    pub fn author(&self) -> Author {
        Author { site: self.site.clone(), gateway: self.gateway.clone(), boot: boot_id() }
    }
}
