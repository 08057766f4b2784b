//! Accepts connections and serves them, with TLS or without: screens, enrolment and bulk alike.
//!
//! Whoever only connects, or begins and does not go on, takes nothing from others: seats are few and given anew
//! ([`super::seats`]), heads and bodies come within a time, or the connection ends; so does one whose other end takes
//! nothing any more. Only the answer itself may last: a stream of events goes on for as long as somebody listens and
//! nobody else needs the seat.

use super::Peer;
use super::seats::{ConnectionLimits, Crowd, Seat, Seats};
use crate::metrics::Metrics;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use kakou_link::minutely::Throttle;
use rustix::net::sockopt;
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::bytes::Bytes;
use tokio_util::sync::CancellationToken;

/// How long a head may take, and how long a connection waits for the first or the next one.
const HEAD: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take from its first byte.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// What is read ahead of one connection; a longer head is refused.
const BUFFER: usize = 32 * 1024;
/// How long the other end may leave what was sent unacknowledged, or its window closed.
const UNREAD: Duration = Duration::from_secs(30);
/// How long the end of a server may wait for answers that are on their way.
const END: Duration = Duration::from_secs(2);
/// The pause after the system gave no connection.
const PAUSE: Duration = Duration::from_millis(200);

/// How long the body of a request may take.
#[derive(Debug, Clone, Copy)]
pub struct BodyTime {
    /// Between two pieces.
    pub silence: Duration,
    /// In all.
    pub whole: Duration,
}

impl BodyTime {
    /// A few words.
    pub const SHORT: Self = Self { silence: Duration::from_secs(10), whole: Duration::from_secs(10) };
}

/// Serves routes until cancelled, with TLS or without.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    router: axum::Router,
    (limits, body): (ConnectionLimits, BodyTime),
    metrics: Arc<Metrics>,
    cancel: CancellationToken,
) {
    let seats = Seats::new(limits.with_files());
    let mut crowded = Crowded { metrics, told: Throttle::default() };
    let shop = Arc::new(Shop { tls: tls.map(TlsAcceptor::from), router, body, cancel: cancel.clone() });
    let mut connections = JoinSet::new();
    let mut troubled = false;
    loop {
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                troubled = false;
                // One that finds no seat is closed at once.
                let (seat, crowd) = seats.take(peer.ip());
                if let Some(seat) = seat {
                    connections.spawn(connection(stream, peer, seat, shop.clone()));
                }
                crowded.tell(crowd, peer.ip());
            }
            Err(e) => {
                if !std::mem::replace(&mut troubled, true) {
                    log::error!("no connection can be accepted: {e}");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    // A client that stays is not waited for.
    let rest = async { while connections.join_next().await.is_some() {} };
    drop(timeout(END, rest).await);
}

/// What the crowd cost somebody: counted, and a line of the log a minute.
struct Crowded {
    metrics: Arc<Metrics>,
    told: Throttle,
}

impl Crowded {
    fn tell(&mut self, crowd: Option<Crowd>, from: IpAddr) {
        if let Some(crowd) = crowd {
            self.metrics.count(crowd.counter());
            self.told.note(json!({ "what": crowd.counter(), "from": from.to_canonical() }), 1);
        }
        if let Some(told) = self.told.due(std::time::Instant::now()) {
            log::warn!("more connections than there are seats: {told}");
        }
    }
}

/// What all connections of a server share.
struct Shop {
    tls: Option<TlsAcceptor>,
    router: axum::Router,
    body: BodyTime,
    cancel: CancellationToken,
}

async fn connection(stream: TcpStream, peer: SocketAddr, seat: Seat, shop: Arc<Shop>) {
    let unread = u32::try_from(UNREAD.as_millis()).unwrap_or(u32::MAX);
    let set = || Ok(sockopt::set_tcp_user_timeout(&stream, unread)?);
    if let Err(e) = stream.set_nodelay(true).and_then(|()| set()) {
        return log::debug!("a connection ended before it began: {e}");
    }
    let gone = seat.gone.clone();
    let served = async {
        let Some(acceptor) = &shop.tls else { return requests(stream, peer, &seat, &shop).await };
        let secured =
            tokio::select! { () = shop.cancel.cancelled() => None, s = secure(stream, acceptor) => s };
        if let Some(stream) = secured {
            requests(stream, peer, &seat, &shop).await;
        }
    };
    tokio::select! { () = gone.cancelled() => {}, () = served => {} }
}

/// The handshake, if it comes in time. Nothing is made ready for a client that says nothing.
async fn secure(stream: TcpStream, acceptor: &TlsAcceptor) -> Option<TlsStream<TcpStream>> {
    timeout(HEAD, stream.peek(&mut [0])).await.ok()?.ok()?;
    timeout(HANDSHAKE, acceptor.accept(stream)).await.ok()?.ok()
}

async fn requests<S>(stream: S, peer: SocketAddr, seat: &Seat, shop: &Shop)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let routes = TowerToHyperService::new(shop.router.clone());
    let service = service_fn(|request: Request<Incoming>| {
        seat.asked();
        let mut request = request.map(|body| in_time(body, shop.body));
        request.extensions_mut().insert(ConnectInfo(Peer(peer)));
        request.extensions_mut().insert(seat.sitting());
        routes.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shop.cancel.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(e) = ended {
        log::debug!("a connection ended: {e}");
    }
}

fn in_time(body: Incoming, time: BodyTime) -> Body {
    if body.is_end_stream() {
        return Body::new(body);
    }
    Body::new(InTime { body, time, piece: Box::pin(sleep(time.silence)), whole: Box::pin(sleep(time.whole)) })
}

/// A body that fails when it does not come in time.
struct InTime {
    body: Incoming,
    time: BodyTime,
    piece: Pin<Box<Sleep>>,
    whole: Pin<Box<Sleep>>,
}

impl hyper::body::Body for InTime {
    type Data = Bytes;
    type Error = axum::Error;
    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let late = this.whole.as_mut().poll(context).is_ready();
        let frame = if late { Poll::Pending } else { Pin::new(&mut this.body).poll_frame(context) };
        if let Poll::Ready(frame) = frame {
            this.piece.as_mut().reset(Instant::now() + this.time.silence);
            return Poll::Ready(frame.map(|f| f.map_err(axum::Error::new)));
        }
        if late || this.piece.as_mut().poll(context).is_ready() {
            let late = std::io::Error::new(std::io::ErrorKind::TimedOut, "the body does not come in time");
            return Poll::Ready(Some(Err(axum::Error::new(late))));
        }
        Poll::Pending
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
