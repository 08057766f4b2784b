//! A feed's body by HTTPS, from where an earlier attempt ended.

use super::tls;
use crate::config::Upstream;
use crate::feeds::word::CHUNK;
use crate::feeds::{Get, News};
use crate::https::{self, HttpsError, Place};
use http_body_util::BodyExt;
use hyper::{Method, StatusCode};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;
use tokio_util::bytes::{Bytes, BytesMut};

/// Nothing for this long ends the attempt.
const SILENCE: Duration = Duration::from_secs(20);

/// Why it was given up.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotFetched {
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    #[error(transparent)]
    Https(#[from] HttpsError),
}

/// Fetches a body; its chunks go to the feeds as those of the broker do.
pub(super) async fn get(settings: &Upstream, get: &Get, news: &SyncSender<News>) -> Result<(), NotFetched> {
    let tls = tls::fleet(settings)?;
    let place = Place::read(&get.url)?;
    let first = u64::from(get.from) * CHUNK as u64;
    let headers = [("range", format!("bytes={first}-"))];
    let answer = https::ask(&tls, &place, Method::GET, &headers, Bytes::new()).await?;
    let status = answer.status();
    if !status.is_success() {
        return Err(HttpsError::Status(place.shown(), status, "the feed is not there".into()).into());
    }
    // A server that knows no ranges sends all of it.
    let mut skip = if status == StatusCode::PARTIAL_CONTENT { 0 } else { first };
    let mut body = answer.into_body();
    let (mut n, mut held) = (get.from, BytesMut::new());
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
            hand_on(news, News::Chunk(get.sha256.clone(), n, chunk)).await;
            n += 1;
        }
    }
    if !held.is_empty() {
        hand_on(news, News::Chunk(get.sha256.clone(), n, held.to_vec())).await;
    }
    Ok(())
}

/// Waits for room: the thread of the feeds writes to the disk.
pub(super) async fn hand_on(news: &SyncSender<News>, mut what: News) {
    while let Err(TrySendError::Full(back)) = news.try_send(what) {
        what = back;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
