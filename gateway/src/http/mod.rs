//! Screens and API: loopback, or TLS. Nothing changes without a signed-in officer.

pub mod act;
pub mod acts;
pub mod api;
pub mod auth;
pub mod connections;
pub mod console;
mod document;
pub mod error;
mod guard;
mod network;
pub mod notices;
pub mod pages;
pub mod registers;
pub mod report;
pub mod seats;
mod sse;
pub mod today;

use crate::config::{Http, Settings};
use crate::engine::WorkSender;
use crate::overview::Overview;
use crate::store::photos::Photos;
use auth::Officers;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use connections::BodyTime;
pub use guard::Rate;
pub use guard::{HEADERS, is_foreign};
use kakou_core::ids::LaneId;
use kakou_core::text::Text;
use kakou_link::tls;
use rustix::net::sockopt;
use seats::ConnectionLimits;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The largest body of a request.
const MAX_BODY: usize = 16 * 1024;
/// Connections that may wait to be accepted; as many as tokio lets wait.
const BACKLOG: u32 = 1024;

/// What the routes share.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// The contents of [`App`].
pub struct Shared {
    /// What there is to look at.
    pub overview: Arc<Overview>,
    /// The way to the core.
    pub engine: WorkSender,
    /// Lanes with profile and title.
    pub lanes: Vec<(LaneId, String, Text)>,
    /// Photographs.
    pub photos: Photos,
    /// Who may sign in.
    pub officers: Officers,
    /// Whether only this machine is served.
    pub loopback: bool,
    /// Whether it is served by TLS.
    pub tls: bool,
    /// The limit on the rate.
    pub rate: Rate,
    /// What was asked of the lanes just now.
    pub acts: acts::Acts,
    /// Raised when there is something for the other gateways of the site; none where they do not speak with each other.
    pub told: Option<watch::Sender<u64>>,
    /// Ends all streams.
    pub end: CancellationToken,
}

impl App {
    /// From its contents.
    pub fn new(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl std::ops::Deref for App {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Kakou gateway", description = "Lanes, desks and status of one checkpoint gateway"),
    servers((url = "/", description = "The gateway that has handed out this document: by HTTPS, or on its own machine"))
)]
struct Description;

fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(api::lanes))
        .routes(routes!(api::screen))
        .routes(routes!(notices::notices))
        .routes(routes!(api::status))
        .routes(routes!(api::status_events))
        .routes(routes!(api::officers))
        .routes(routes!(api::session_begin, api::session_get, api::session_end))
        .routes(routes!(api::desk))
        .routes(routes!(act::act))
        .routes(routes!(api::codes))
        .routes(routes!(api::release_uses))
        .routes(routes!(api::search))
        .routes(routes!(registers::register))
        .routes(routes!(today::today))
        .routes(routes!(report::report))
        .routes(routes!(console::console, console::act))
        .routes(routes!(api::photo))
        .routes(routes!(api::preview))
}

/// The OpenAPI document.
pub fn openapi() -> String {
    let (_, document) = documented().split_for_parts();
    let document =
        document::complete(serde_json::to_value(document).expect("the document is made of strings"));
    format!("{document:#}")
}

/// All routes, with those that the caller has.
pub fn router(app: App, more: axum::Router) -> axum::Router {
    let (router, _) = documented().split_for_parts();
    router
        .route("/api/v1/openapi.json", get(|| async { ([("content-type", "application/json")], openapi()) }))
        .route("/metrics", get(api::metrics))
        .route("/", get(pages::index))
        .route("/lane/{lane}", get(pages::lane))
        .route("/desk/{lane}", get(pages::desk))
        .route("/status", get(pages::status))
        .route("/console", get(pages::console))
        .route("/report", get(pages::report))
        .route("/assets/{name}", get(pages::asset))
        .merge(more.with_state(()))
        .fallback(|| async { error::ApiError::not_found() })
        .method_not_allowed_fallback(|| async {
            error::ApiError::new(
                axum::http::StatusCode::METHOD_NOT_ALLOWED,
                "method",
                "方法不对",
                "Method not allowed",
            )
        })
        .layer(axum::middleware::from_fn_with_state(app.clone(), guard::guard))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(app)
}

/// What is to be said where there are desks, and nobody can sign in at them.
pub fn nobody_signs_in(settings: &Settings) -> Option<&'static str> {
    let nobody = settings.http.is_some() && settings.officers.is_empty();
    nobody
        .then_some("nobody can sign in at a desk: there is no [[officer]]; `kakou officer pin` makes the PIN")
}

/// Opens the address, also one that this machine does not have yet: its network may come up later than the
/// lanes. Says which one if the port was left open.
pub fn bind(http: &Http) -> std::io::Result<(TcpListener, SocketAddr)> {
    let socket = match http.listen {
        SocketAddr::V4(_) => {
            let socket = TcpSocket::new_v4()?;
            sockopt::set_ip_freebind(&socket, true)?;
            socket
        }
        SocketAddr::V6(_) => {
            let socket = TcpSocket::new_v6()?;
            sockopt::set_ipv6_freebind(&socket, true)?;
            socket
        }
    };
    socket.set_reuseaddr(true)?;
    socket.bind(http.listen)?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until cancelled.
pub async fn serve(
    http: Http,
    listener: TcpListener,
    app: App,
    more: axum::Router,
    cancel: CancellationToken,
) -> Result<(), String> {
    let config = match &http.tls {
        None => None,
        Some((cert, key)) => Some(tls::server(cert, key).map_err(|e| e.to_string())?),
    };
    let metrics = app.overview.metrics.clone();
    let rules = (ConnectionLimits::BOX, BodyTime::SHORT);
    connections::serve(listener, config, router(app, more), rules, metrics, cancel).await;
    Ok(())
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer(SocketAddr);

impl Peer {
    /// Its address.
    pub fn ip(self) -> IpAddr {
        self.0.ip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_comes_later_stops_no_lane() {
        for listen in ["192.0.2.7:0", "[2001:db8::7]:0", "127.0.0.1:0"] {
            let (_held, bound) = bind(&Http { listen: listen.parse().unwrap(), tls: None }).unwrap();
            assert_ne!(bound.port(), 0);
            let taken = bind(&Http { listen: bound, tls: None }).unwrap_err();
            assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
        }
    }
}
