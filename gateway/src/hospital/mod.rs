//! The ear for a hospital's system: HL7 v2 ADT messages over MLLP (HL7 v2 "Minimal Lower Layer Protocol", release 1).
//!
//! Only hosts that the configuration names are heard, with TLS where it says so. Each message is stored before it is
//! answered ([`crate::store::told`]), so that what was acknowledged counts at the next code that is read, behind a
//! power cut too; what is wrong with one is said in its answer ([`kakou_core::hl7`]). Nothing of a person is logged.

mod connection;
mod frame;
mod hosts;
pub mod share;

use crate::config::Hospital;
use crate::http;
use crate::http::seats::{ConnectionLimits, Seats};
use crate::metrics::Metrics;
use connection::Ear;
use hosts::Hosts;
use kakou_core::ids::{GatewayId, SiteId};
use kakou_link::clock::Clock;
use kakou_link::minutely::Throttle;
use kakou_link::tls::{self, TlsError};
use serde_json::json;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How long the end may wait for messages that are being stored.
const END: Duration = Duration::from_secs(2);
/// The pause after the system gave no connection.
const PAUSE: Duration = Duration::from_millis(200);

/// What the ear needs.
pub struct HospitalSettings {
    /// How it is configured.
    pub hospital: Hospital,
    /// This gateway.
    pub gateway: GatewayId,
    /// The site, where the other gateways of it are told.
    pub shares: Option<SiteId>,
    /// The offset of the site's clock from UTC.
    pub utc_offset_ms: i64,
    /// The data folder.
    pub data: PathBuf,
    /// The clock.
    pub clock: Clock,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Raised whenever there is something for the other gateways of the site.
    pub told: watch::Sender<u64>,
}

/// An open address, and who serves it.
pub struct Listening {
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    /// Where it is.
    pub address: SocketAddr,
}

/// Why the address is not open.
#[derive(Debug, thiserror::Error)]
pub enum HospitalError {
    /// The address.
    #[error("cannot listen for HL7 on {0}: {1}; is another program there?")]
    Listen(SocketAddr, std::io::Error),
    /// The certificate.
    #[error("[hl7]: {0}")]
    Tls(#[from] Box<TlsError>),
}

/// Opens the address.
pub fn open(hospital: &Hospital) -> Result<Listening, HospitalError> {
    let acceptor = match &hospital.tls {
        None => None,
        Some((cert, key, clients)) => {
            let config = tls::plain_server(cert, key, clients.as_deref()).map_err(Box::new)?;
            Some(TlsAcceptor::from(Arc::new(config)))
        }
    };
    let at = crate::config::Http { listen: hospital.listen, tls: None };
    let (listener, address) = http::bind(&at).map_err(|e| HospitalError::Listen(hospital.listen, e))?;
    Ok(Listening { listener, acceptor, address })
}

/// Hears whoever may speak until cancelled.
pub async fn run(listening: Listening, settings: HospitalSettings, cancel: CancellationToken) {
    let Listening { listener, acceptor, address } = listening;
    let Hospital { hosts, charset, id_type, .. } = settings.hospital;
    let metrics = settings.metrics.clone();
    let hosts = Arc::new(Hosts::new(hosts));
    let ear = Arc::new(Ear {
        charset,
        id_type,
        shares: settings.shares.map(|site| (site, settings.gateway.clone())),
        gateway: settings.gateway,
        utc_offset_ms: settings.utc_offset_ms,
        data: settings.data,
        clock: settings.clock,
        metrics: settings.metrics,
        told: settings.told,
        answers: AtomicU64::new(0),
        refused: Mutex::default(),
        cancel: cancel.clone(),
    });
    log::info!("listening for HL7 on {address}");
    let seats = Seats::new(ConnectionLimits::HOSPITAL);
    let (mut strangers, mut connections) = (Throttle::default(), JoinSet::new());
    let mut troubled = false;
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                if !std::mem::replace(&mut troubled, true) {
                    log::error!("no connection for HL7 can be accepted: {e}");
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        troubled = false;
        let from = peer.ip().to_canonical();
        if !hosts.may_speak(from).await {
            metrics.count("hospital_host_refused_total");
            strangers.note(json!({ "from": from }), 1);
            if let Some(told) = strangers.due(Instant::now()) {
                log::warn!("HL7: a host that `hosts` of [hl7] does not name was turned away: {told}");
            }
            continue;
        }
        let (seat, crowd) = seats.take(from);
        if crowd.is_some() {
            metrics.count("hospital_connection_refused_total");
        }
        if let Some(seat) = seat {
            connections.spawn(connection::serve(stream, acceptor.clone(), seat, ear.clone()));
        }
    }
    drop(listener);
    let rest = async { while connections.join_next().await.is_some() {} };
    drop(timeout(END, rest).await);
}

#[cfg(test)]
mod tests;
