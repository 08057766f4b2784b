//! A feed's body by HTTPS, from where an earlier attempt ended.
//!
//! The head of a feed reaches every gateway of a fleet at the same moment, so that the service may have no room
//! just then: an attempt that fails is made again after a pause of its own. The broker is the last way.

use crate::feeds::{FeedInput, Get};
use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use kakou_link::backoff::Backoff;
use kakou_link::broker::Upstream;
use kakou_link::https::{self, Endpoint, HttpsError};
use kakou_link::tls;
use kakou_wire::feed::CHUNK;
use rustls::ClientConfig;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;
use tokio_util::bytes::{Bytes, BytesMut};

/// Nothing for this long ends the attempt.
const SILENCE: Duration = Duration::from_secs(20);
/// Attempts in a row that bring nothing; with their pauses they last up to half a minute.
const TRIES: u32 = 8;

/// Why it was given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotFetched {
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error(transparent)]
    Https(#[from] HttpsError),
}

/// Whether the next attempt may go better: a service that says that it does not have the body has no better answer.
fn may_pass(why: &HttpsError) -> bool {
    match why {
        HttpsError::Address(_) => false,
        HttpsError::Status(_, status, _) => {
            status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
        }
        HttpsError::Connect(..) | HttpsError::Silent(_) | HttpsError::Http(..) | HttpsError::Body(..) => true,
    }
}

/// Fetches a body; its chunks go to the feeds as those of the broker do.
pub(super) async fn get(
    settings: &Upstream,
    get: &Get,
    news: &SyncSender<FeedInput>,
) -> Result<(), NotFetched> {
    let tls = tls::fleet(settings)?;
    let place = Endpoint::read(&get.url)?;
    let (mut from, mut tried, mut pauses) = (get.from, 0, Backoff::default());
    loop {
        let before = from;
        let Err(why) = once(&tls, &place, &get.sha256, &mut from, news).await else { return Ok(()) };
        tried = if from > before { 1 } else { tried + 1 };
        if tried >= TRIES || !may_pass(&why) {
            return Err(why.into());
        }
        log::info!("a feed is asked for again by HTTPS: {why}");
        tokio::time::sleep(pauses.pause(None)).await;
    }
}

/// One attempt; `n` is the next chunk that is wanted.
async fn once(
    tls: &Arc<ClientConfig>,
    place: &Endpoint,
    sha256: &str,
    n: &mut u32,
    news: &SyncSender<FeedInput>,
) -> Result<(), HttpsError> {
    let first = u64::from(*n) * CHUNK as u64;
    let headers = [("range", format!("bytes={first}-"))];
    let answer = https::ask(tls, place, Method::GET, &headers, Bytes::new()).await?;
    let status = answer.status();
    if !status.is_success() {
        return Err(HttpsError::Status(place.shown(), status, "the feed is not there".into()));
    }
    // A server that knows no ranges sends all of it.
    let mut skip = if status == StatusCode::PARTIAL_CONTENT { 0 } else { first };
    let mut body = answer.into_body();
    let mut held = BytesMut::new();
    let cut = |e: String| HttpsError::Body(place.shown(), e);
    loop {
        let frame = tokio::time::timeout(SILENCE, body.frame());
        let Some(frame) = frame.await.map_err(|_| HttpsError::Silent(place.shown()))? else { break };
        let Ok(data) = frame.map_err(|e| cut(e.to_string()))?.into_data() else { continue };
        let over = usize::try_from(skip.min(data.len() as u64)).unwrap_or(0);
        skip -= over as u64;
        held.extend_from_slice(&data[over..]);
        while held.len() >= CHUNK {
            let chunk = held.split_to(CHUNK).to_vec();
            hand_on(news, FeedInput::Chunk(sha256.to_owned(), *n, chunk)).await;
            *n += 1;
        }
    }
    if !held.is_empty() {
        hand_on(news, FeedInput::Chunk(sha256.to_owned(), *n, held.to_vec())).await;
    }
    Ok(())
}

/// Waits for room: the thread of the feeds writes to the disk.
pub(super) async fn hand_on(news: &SyncSender<FeedInput>, mut what: FeedInput) {
    while let Err(TrySendError::Full(back)) = news.try_send(what) {
        what = back;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
