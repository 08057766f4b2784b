//! A photograph by HTTPS, where the central side has said where to put it.
//!
//! The address carries its own right. The body is sent only while no verdict waits, at the rate that
//! photographs may take. An attempt that was cut is taken up where it ended: an empty `PUT` with
//! `Content-Range: bytes */SIZE` asks how much is there (308 with `Range`). A store that knows no
//! such question gets the whole again.

use futures_util::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper::{Method, StatusCode};
use kakou_core::delivery::bucket::Bucket;
use kakou_link::backoff::Backoff;
use kakou_link::https::{self, Endpoint, HttpsError};
use kakou_wire::photo::CHUNK;
use rustls::ClientConfig;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::bytes::Bytes;

/// Attempts at one photograph.
const TRIES: u32 = 6;
/// A transfer as a whole.
const LIMIT: Duration = Duration::from_secs(600);
/// The longest answer.
const ANSWER: usize = 16 << 10;

/// How the body may flow.
#[derive(Clone)]
pub struct Flow {
    /// Whether verdicts wait.
    pub busy: watch::Receiver<bool>,
    /// The bytes that photographs may take.
    pub bucket: Arc<Mutex<Bucket>>,
    /// The bucket's clock begins here.
    pub begun: Instant,
}

/// Puts the bytes there.
pub async fn put(tls: &Arc<ClientConfig>, url: &str, bytes: Bytes, flow: &Flow) -> Result<(), HttpsError> {
    let place = Endpoint::read(url)?;
    let (mut from, mut tried, mut pauses) = (0, 0, Backoff::default());
    loop {
        tried += 1;
        let sent =
            tokio::time::timeout(LIMIT, send(tls, &place, bytes.slice(from..), from, bytes.len(), flow));
        match sent.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(e @ (HttpsError::Status(..) | HttpsError::Address(_)))) => return Err(e),
            Ok(Err(e)) if tried >= TRIES => return Err(e),
            Err(_) if tried >= TRIES => return Err(HttpsError::Silent(place.shown())),
            Ok(Err(_)) | Err(_) => {
                // All boxes of a fleet may come at once.
                tokio::time::sleep(pauses.pause(None)).await;
                from = there(tls, &place, bytes.len()).await.unwrap_or(0);
            }
        }
    }
}

/// How much of it is there; none if the store does not say.
async fn there(tls: &Arc<ClientConfig>, place: &Endpoint, size: usize) -> Option<usize> {
    let headers = [("content-range", format!("bytes */{size}")), ("content-length", "0".to_owned())];
    let answer = https::ask(tls, place, Method::PUT, &headers, Bytes::new()).await.ok()?;
    if answer.status() != StatusCode::PERMANENT_REDIRECT {
        return None;
    }
    let range = answer.headers().get("range")?.to_str().ok()?;
    let last: usize = range.strip_prefix("bytes=0-")?.parse().ok()?;
    (last < size).then_some(last + 1)
}

async fn send(
    tls: &Arc<ClientConfig>,
    place: &Endpoint,
    rest: Bytes,
    from: usize,
    size: usize,
    flow: &Flow,
) -> Result<(), HttpsError> {
    let mut headers = vec![("content-length", rest.len().to_string()), ("content-type", "image/jpeg".into())];
    if from > 0 {
        headers.push(("content-range", format!("bytes {from}-{}/{size}", size - 1)));
    }
    let body = stream::unfold((rest, flow.clone()), |(mut rest, mut flow)| async move {
        if rest.is_empty() {
            return None;
        }
        let piece = rest.split_to(rest.len().min(CHUNK));
        flow.wait(piece.len()).await;
        Some((Ok::<_, Infallible>(Frame::data(piece)), (rest, flow)))
    });
    let answer = https::send(tls, place, Method::PUT, &headers, Box::pin(StreamBody::new(body))).await?;
    https::whole(place, answer, ANSWER).await.map(drop)
}

impl Flow {
    /// Waits until no verdict waits and the bytes may go.
    async fn wait(&mut self, bytes: usize) {
        loop {
            if self.busy.wait_for(|busy| !*busy).await.is_err() {
                return;
            }
            let now = self.begun.elapsed();
            if self.bucket.lock().unwrap_or_else(PoisonError::into_inner).take(bytes, now) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
