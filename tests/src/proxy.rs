//! A link with faults between two programs: delay, stalls as lost segments make them, a peer that
//! stops reading, cuts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// What the link does now.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Weather {
    /// One way.
    pub delay: Duration,
    /// One in so many pieces waits for a retransmission; 0 means none.
    pub loss: u64,
    /// Nothing is read from the gateway any more, and nothing is closed.
    pub deaf: bool,
    /// Connections end, new ones are refused.
    pub cut: bool,
}

/// How long a lost segment is missed: the smallest retransmission time-out of Linux.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// A proxy on a port of its own.
pub struct Proxy {
    /// Its port.
    pub port: u16,
    weather: watch::Sender<Weather>,
    pieces: Arc<AtomicU64>,
}

impl Proxy {
    /// Forwards to a port of this machine.
    pub async fn start(to: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (weather, now) = watch::channel(Weather::default());
        let pieces = Arc::new(AtomicU64::new(0));
        let count = pieces.clone();
        tokio::spawn(async move {
            while let Ok((inner, _)) = listener.accept().await {
                if now.borrow().cut {
                    continue;
                }
                let (now, count) = (now.clone(), count.clone());
                tokio::spawn(async move {
                    let address = SocketAddr::from(([127, 0, 0, 1], to));
                    let Ok(outer) = TcpStream::connect(address).await else { return };
                    drop((inner.set_nodelay(true), outer.set_nodelay(true)));
                    let (from_inner, to_inner) = inner.into_split();
                    let (from_outer, to_outer) = outer.into_split();
                    let up = carry(from_inner, to_outer, now.clone(), count.clone(), true);
                    let down = carry(from_outer, to_inner, now.clone(), count, false);
                    let mut end = now;
                    tokio::select! { () = up => {}, () = down => {}, _ = end.wait_for(|w| w.cut) => {} }
                });
            }
        });
        Ok(Self { port, weather, pieces })
    }

    /// Changes the weather.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Pieces that went through.
    pub fn pieces(&self) -> u64 {
        self.pieces.load(Ordering::Relaxed)
    }
}

/// Carries one direction. Order is kept, as TCP keeps it: a piece that is late holds up those behind.
async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    count: Arc<AtomicU64>,
    up: bool,
) {
    let (tx, mut line) = mpsc::channel::<(Instant, Vec<u8>)>(64);
    let reading = async move {
        let mut bytes = vec![0; 16 << 10];
        let mut last = Instant::now();
        loop {
            if up && weather.wait_for(|w| !w.deaf).await.is_err() {
                return;
            }
            let n = match from.read(&mut bytes).await {
                Ok(0) | Err(_) => return,
                Ok(n) => n,
            };
            let now = *weather.borrow();
            let piece = count.fetch_add(1, Ordering::Relaxed);
            let lost = now.loss > 0
                && piece.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 < u64::from(u32::MAX) / now.loss;
            let due = Instant::now()
                + now.delay
                + if lost { RETRANSMISSION + 2 * now.delay } else { Duration::ZERO };
            last = last.max(due);
            if tx.send((last, bytes[..n].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let writing = async move {
        while let Some((due, bytes)) = line.recv().await {
            tokio::time::sleep_until(due.into()).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = reading => {}, () = writing => {} }
}
