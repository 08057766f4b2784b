//! Accepts connections and serves them, with TLS or without: screens, enrolment and bulk alike.
//!
//! Whoever only connects, or begins and does not go on, takes nothing from others. Connections are
//! few, in all and from one address; where there is no room, the one that has waited longest
//! without ever asking for anything gives way. Heads and bodies come within a time, or the
//! connection ends; so does one whose other end takes nothing any more. Only the answer itself may
//! last: a stream of events goes on for as long as somebody listens.

use super::Peer;
use super::guard::network;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use rustix::process::{Resource, getrlimit};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
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

/// Connections at the same time.
const CONNECTIONS: usize = 256;
/// Of these, from one address.
const SHARE: usize = 32;
/// Of these, from one network of version 6, in which a machine has as many addresses as it likes.
const NETWORK: usize = 128;
/// Files that stay free for devices, journal and lists, whatever comes.
const FILES: u64 = 512;
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
    body: BodyTime,
    cancel: CancellationToken,
) {
    let seats = Seats::new(room());
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
                if let Some(seat) = seats.take(peer.ip()) {
                    connections.spawn(connection(stream, peer, seat, shop.clone()));
                }
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

/// Connections that leave enough files to the rest of the process.
fn room() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // As many again may be on their way out.
    let free = usize::try_from(files.saturating_sub(FILES) / 2).unwrap_or(usize::MAX);
    free.clamp(SHARE, CONNECTIONS)
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

/// Room for connections.
#[derive(Clone)]
struct Seats(Arc<Mutex<Taken>>);

struct Taken {
    most: usize,
    next: u64,
    // Connections that are not gone yet, those among them that were sent away as well.
    there: usize,
    // By age.
    by: BTreeMap<u64, Guest>,
}

struct Guest {
    peer: IpAddr,
    asked: bool,
    gone: CancellationToken,
}

/// The seat of one connection, free again when dropped.
struct Seat {
    seats: Seats,
    number: u64,
    /// Another one takes it.
    gone: CancellationToken,
}

impl Seats {
    fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Taken { most, next: 0, there: 0, by: BTreeMap::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat for a connection from this address, if need be that of one which never asked for anything.
    fn take(&self, peer: IpAddr) -> Option<Seat> {
        let peer = peer.to_canonical();
        let mut taken = self.lock();
        if taken.there >= 2 * taken.most {
            return None;
        }
        if let Some(full) = taken.full_for(peer) {
            let leaves = taken.longest_waiting(&full)?;
            taken.by.remove(&leaves)?.gone.cancel();
        }
        let (number, gone) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.there += 1;
        taken.by.insert(number, Guest { peer, asked: false, gone: gone.clone() });
        Some(Seat { seats: self.clone(), number, gone })
    }
}

/// Whose seats are all taken.
enum Full {
    Address(IpAddr),
    Network(IpAddr),
    House,
}

impl Taken {
    fn full_for(&self, peer: IpAddr) -> Option<Full> {
        let of = |good: &dyn Fn(&Guest) -> bool| self.by.values().filter(|g| good(g)).count();
        if of(&|g| g.peer == peer) >= SHARE {
            return Some(Full::Address(peer));
        }
        if of(&|g| network(g.peer) == network(peer)) >= NETWORK {
            return Some(Full::Network(network(peer)));
        }
        (self.by.len() >= self.most).then_some(Full::House)
    }

    /// Who leaves: of all, one of the address that has most who wait.
    fn longest_waiting(&self, full: &Full) -> Option<u64> {
        let waiting = || self.by.iter().filter(|(_, g)| !g.asked);
        let first = |good: &dyn Fn(IpAddr) -> bool| waiting().find(|(_, g)| good(g.peer)).map(|(n, _)| *n);
        match full {
            Full::Address(peer) => first(&|p| p == *peer),
            Full::Network(of) => first(&|p| network(p) == *of),
            Full::House => {
                let mut crowds: BTreeMap<IpAddr, usize> = BTreeMap::new();
                waiting().for_each(|(_, g)| *crowds.entry(g.peer).or_default() += 1);
                let most = crowds.into_iter().max_by_key(|(_, count)| *count)?.0;
                first(&|p| p == most)
            }
        }
    }
}

impl Seat {
    /// Whoever asks for something keeps the seat.
    fn asked(&self) {
        if let Some(guest) = self.seats.lock().by.get_mut(&self.number) {
            guest.asked = true;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.there -= 1;
        taken.by.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_takes_its_share_and_its_own_oldest_silent_one_gives_way() {
        let seats = Seats::new(CONNECTIONS);
        let one = at("192.0.2.1");
        let asking = seats.take(one).unwrap();
        asking.asked();
        let silent: Vec<_> = (1..SHARE).map(|_| seats.take(one).unwrap()).collect();
        let other = seats.take(at("192.0.2.2")).unwrap();
        let next = seats.take(one).unwrap();
        assert!(silent[0].gone.is_cancelled() && !silent[1].gone.is_cancelled());
        assert!(!asking.gone.is_cancelled() && !other.gone.is_cancelled() && !next.gone.is_cancelled());
        // Where all have asked, nobody is sent away: the next one is.
        silent.iter().chain([&next]).for_each(Seat::asked);
        assert!(seats.take(one).is_none() && seats.take(at("::ffff:192.0.2.1")).is_none());
        assert!(seats.take(at("192.0.2.3")).is_some());
        drop(next);
        assert!(seats.take(one).is_some(), "a seat is free again when its connection has ended");
    }

    #[test]
    fn a_full_house_takes_from_the_largest_crowd() {
        let seats = Seats::new(CONNECTIONS);
        let few: Vec<_> = (0..20).map(|n| seats.take(at(&format!("192.0.2.{n}"))).unwrap()).collect();
        let crowds = (0..236).map(|n| seats.take(at(&format!("198.51.100.{}", n % 8))).unwrap());
        let crowds: Vec<_> = crowds.collect();
        assert_eq!(seats.lock().by.len(), CONNECTIONS);
        let next = seats.take(at("203.0.113.1")).unwrap();
        assert!(!next.gone.is_cancelled() && few.iter().all(|s| !s.gone.is_cancelled()));
        assert_eq!(crowds.iter().filter(|s| s.gone.is_cancelled()).count(), 1);
        // Those that were sent away count until they are gone, so that files stay free.
        let more: Vec<_> =
            (0..1_000).map_while(|n| seats.take(at(&format!("203.0.113.{}", n % 200)))).collect();
        assert_eq!(few.len() + crowds.len() + 1 + more.len(), 2 * CONNECTIONS);
    }

    #[test]
    fn a_network_of_version_6_has_a_share_and_each_of_its_addresses_too() {
        let seats = Seats::new(CONNECTIONS);
        let all: Vec<_> =
            (0..=NETWORK).map(|n| seats.take(at(&format!("2001:db8::{n:x}"))).unwrap()).collect();
        assert_eq!(all.iter().filter(|s| s.gone.is_cancelled()).count(), 1);
        let of_one: Vec<_> = (0..=SHARE).map(|_| seats.take(at("2001:db8:0:1::1")).unwrap()).collect();
        assert_eq!(of_one.iter().filter(|s| s.gone.is_cancelled()).count(), 1);
    }
}
