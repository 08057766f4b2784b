//! `kakou fleet serve`: the fleet page, and the figures of the fleet.

use super::{Broker, Sources, issuer, watched};
use crate::enrol::subjects::Readers;
use crate::fleet::access::Door;
use crate::fleet::figures;
use crate::fleet::page::{self, Page};
use crate::fleet::watch::now_ms;
use crate::metrics::At;
use kakou_gateway::http::connections::{self, BodyTime};
use kakou_gateway::http::seats::ConnectionLimits;
use kakou_gateway::metrics::Figures;
use kakou_gateway::println;
use kakou_gateway::store::photos::Photos;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// Serves until Ctrl-C.
pub(super) async fn serve(
    broker: &Broker,
    (listen, at): (SocketAddr, At),
    photos: Option<&Path>,
    (sign_key, readers): (Option<&Path>, Option<&Path>),
    door: Door,
    (sources, site): (&Sources, String),
) -> Result<(), String> {
    if !listen.ip().is_loopback() {
        return Err(format!(
            "{listen} is not loopback: put a reverse proxy with your sign-in before the page"
        ));
    }
    kakou_link::logging::start(log::LevelFilter::Info);
    let photos = photos.map(Photos::open).transpose().map_err(|e| e.to_string())?;
    let issuer = sign_key.map(issuer).transpose()?.map(Arc::new);
    let (fleet, out, cancel) = watched(broker, &site, "page")?;
    sources.follow(&site, &fleet, &cancel)?;
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(|e| format!("{listen}: {e}"))?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    println!("the fleet page is at http://{address}/");
    let shown = fleet.clone();
    let routes = page::router(Page {
        fleet,
        photos,
        issuer,
        readers: readers.map(Readers::at),
        door: Arc::new(door),
        database: sources.database.clone(),
        out,
    });
    let read = move |f: &mut Figures| figures::show(&shown.lock(), now_ms(), f);
    let (routes, happened) = at.around(routes, read, cancel.clone()).await?;
    let end = cancel.clone();
    tokio::spawn(async move {
        drop(tokio::signal::ctrl_c().await);
        end.cancel();
    });
    // All who look come from the proxy's address.
    let rules = (ConnectionLimits::FLEET, BodyTime::SHORT);
    connections::serve(listener, None, routes, rules, happened, cancel).await;
    Ok(())
}
