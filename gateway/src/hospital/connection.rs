//! One connection: messages come one after another, and each is answered before the next one is taken.

use super::frame::{FrameFault, Frames, framed};
use super::share::{self, ShareError, Teller};
use crate::http::seats::Seat;
use crate::metrics::Metrics;
use crate::store::told::{self, Taken};
use kakou_core::hl7::answer::{self, From};
use kakou_core::hl7::{self, Charset, Condition, Message, Reading, Refusal};
use kakou_core::ids::{GatewayId, SiteId};
use kakou_link::clock::Clock;
use kakou_link::minutely::Throttle;
use rustix::net::sockopt;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a message may take from its first byte to its last.
const WHOLE: Duration = Duration::from_secs(10);
/// How long whoever has sent it may leave the answer unread.
const UNREAD: Duration = Duration::from_secs(30);
/// Senders keep their connections for days. Whether the other end is still there is asked after so much silence.
const ALIVE: Duration = Duration::from_secs(60);

/// What all connections share.
pub struct Ear {
    pub charset: Charset,
    pub id_type: String,
    pub gateway: GatewayId,
    pub utc_offset_ms: i64,
    pub data: PathBuf,
    /// In whose name the other gateways of the site are told; nothing where there is no broker.
    pub shares: Option<(SiteId, GatewayId)>,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub told: watch::Sender<u64>,
    pub answers: AtomicU64,
    pub refused: Mutex<Throttle>,
    pub cancel: CancellationToken,
}

/// Serves a connection to its end.
pub async fn serve(stream: TcpStream, acceptor: Option<TlsAcceptor>, seat: Seat, ear: Arc<Ear>) {
    let unread = u32::try_from(UNREAD.as_millis()).unwrap_or(u32::MAX);
    let set = || {
        sockopt::set_tcp_user_timeout(&stream, unread)?;
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, ALIVE)?;
        Ok(sockopt::set_tcp_keepintvl(&stream, ALIVE / 4)?)
    };
    if let Err(e) = stream.set_nodelay(true).and_then(|()| set()) {
        return log::debug!("a connection for HL7 ended before it began: {e}");
    }
    let gone = seat.gone.clone();
    let served = async {
        let Some(acceptor) = acceptor else { return ear.messages(stream, &seat).await };
        match timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => ear.messages(stream, &seat).await,
            Ok(Err(e)) => {
                ear.metrics.count("hospital_tls_refused_total");
                log::debug!("HL7: no TLS: {e}");
            }
            Err(_) => ear.metrics.count("hospital_tls_refused_total"),
        }
    };
    tokio::select! { () = gone.cancelled() => {}, () = served => {} }
}

impl Ear {
    async fn messages(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin, seat: &Seat) {
        let (mut frames, mut piece) = (Frames::default(), vec![0; 8 * 1024]);
        let mut begun: Option<Instant> = None;
        loop {
            match frames.next() {
                Ok(Some(message)) => {
                    begun = None;
                    seat.asked();
                    let answer = framed(&self.answer(&message).await);
                    if stream.write_all(&answer).await.is_err() || stream.flush().await.is_err() {
                        return;
                    }
                    continue;
                }
                Ok(None) => {}
                Err(fault) => {
                    self.metrics.count("hospital_frame_total");
                    let why = match fault {
                        FrameFault::Outside => "a message stands between the bytes 0x0B and 0x1C 0x0D (MLLP)",
                        FrameFault::Endless => "the message has no end (0x1C 0x0D), or is too long",
                    };
                    let refusal = refusal(Box::default(), Condition::Segments, why);
                    let answer = framed(&answer::refused(&refusal, self.from(&self.number())));
                    if stream.write_all(&answer).await.is_ok() {
                        drop(stream.shutdown().await);
                    }
                    return;
                }
            }
            let read = async {
                if !frames.has_begun() {
                    return stream.read(&mut piece).await.ok();
                }
                let left = WHOLE.saturating_sub(begun.get_or_insert_with(Instant::now).elapsed());
                timeout(left, stream.read(&mut piece)).await.ok()?.ok()
            };
            let read = tokio::select! { () = self.cancel.cancelled() => return, read = read => read };
            match read {
                Some(bytes) if bytes > 0 => frames.push(&piece[..bytes]),
                Some(_) | None => {
                    if frames.has_begun() {
                        self.metrics.count("hospital_frame_total");
                    }
                    return;
                }
            }
        }
    }

    /// The answer to a message. What it says is stored when this returns.
    async fn answer(&self, bytes: &[u8]) -> Vec<u8> {
        let now = self.clock.now();
        let with = Reading {
            charset: self.charset,
            utc_offset_ms: self.utc_offset_ms,
            id_type: &self.id_type,
            now_ms: now.wall_ms.filter(|_| now.synced()),
        };
        let number = self.number();
        let from = self.from(&number);
        let stored = match hl7::read(bytes, &with) {
            Ok(message) => self.store(message, now.wall_ms).await,
            Err(refusal) => Err(refusal),
        };
        match stored {
            Ok(message) => answer::accepted(&message.header, from),
            Err(refusal) => {
                self.metrics.count(refusal.condition.counter());
                let mut told = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
                told.note(json!({ "last": refusal.to_string() }), 1);
                if let Some(told) = told.due(Instant::now()) {
                    log::warn!("HL7: messages were not taken: {told}");
                }
                answer::refused(&refusal, from)
            }
        }
    }

    async fn store(&self, message: Message, now_ms: Option<i64>) -> Result<Message, Refusal> {
        let header = Box::new(message.header.clone());
        let Some(received_ms) = now_ms.or(message.time.map(|time| time.at_ms)) else {
            let why = "neither the message nor this gateway knows what time it is: send it again later";
            return Err(refusal(header, Condition::Internal, why));
        };
        let data = self.data.clone();
        let teller = self.shares.clone();
        let stored = tokio::task::spawn_blocking(move || {
            let taken = take(&data, teller.as_ref(), &message, received_ms);
            (message, taken)
        });
        let Ok((message, taken)) = stored.await else {
            return Err(refusal(header, Condition::Internal, "it could not be stored: send it again later"));
        };
        match taken {
            Ok(Taken::Words(_)) => {
                self.metrics.count("hospital_message_total");
                self.told.send_modify(|told| *told += 1);
            }
            Ok(Taken::Late) => self.metrics.count("hospital_late_total"),
            Ok(Taken::NoList) => {
                let why = "this gateway has no list `patients` yet, above which it could stand: send it again later";
                return Err(refusal(header, Condition::Internal, why));
            }
            Err(e) => {
                log::error!("HL7: a message could not be stored, and its sender was told so: {e}");
                return Err(refusal(
                    header,
                    Condition::Internal,
                    "it could not be stored: send it again later",
                ));
            }
        }
        Ok(message)
    }

    fn number(&self) -> String {
        let count = self.answers.fetch_add(1, Ordering::Relaxed);
        format!("{}-{count}", self.clock.now().wall_ms.unwrap_or(0) / 1_000)
    }

    fn from<'a>(&'a self, number: &'a str) -> From<'a> {
        From {
            gateway: self.gateway.as_str(),
            number,
            now_ms: self.clock.now().wall_ms.unwrap_or(0),
            utc_offset_ms: self.utc_offset_ms,
        }
    }
}

/// Stores a message, and what the other gateways of the site must hear of it.
fn take(
    data: &Path,
    teller: Option<&(SiteId, GatewayId)>,
    message: &Message,
    received_ms: i64,
) -> Result<Taken, ShareError> {
    let taken = told::take(data, message, received_ms)?;
    if let (Taken::Words(words), Some((site, gateway))) = (&taken, teller) {
        let teller = Teller { site: site.as_str(), gateway: gateway.as_str() };
        share::keep(data, teller, &message.patient, words)?;
    }
    Ok(taken)
}

fn refusal(header: Box<hl7::Header>, condition: Condition, why: &str) -> Refusal {
    Refusal { header, condition, place: None, why: why.to_owned() }
}
