//! The log of what is asked of the bulk service: one line a request, when it is over: who, for what, what came of it, how
//! many bytes came and went, how long it took. Nobody fills the log: beyond [`LINES`] a minute those of an address are
//! counted.

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt;
use kakou_gateway::http::Peer;
use kakou_link::shown;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The longest path of a request in the log.
const LONGEST_PATH: usize = 120;
/// Lines of one address a minute.
const LINES: u64 = 120;
/// Addresses that are told apart within a minute.
const ADDRESSES: usize = 4_096;
const MINUTE: Duration = Duration::from_secs(60);

/// What was told within this minute.
#[derive(Default)]
pub struct Log(Mutex<Minute>);

#[derive(Default)]
struct Minute {
    since: Option<Instant>,
    by: BTreeMap<Option<IpAddr>, u64>,
}

impl Log {
    fn tell(&self, peer: Option<IpAddr>, line: &str) {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for line in minute.lines(Instant::now(), peer, line) {
            log::info!("{line}");
        }
    }
}

impl Minute {
    /// What is to be told when a request of an address is over.
    fn lines(&mut self, now: Instant, peer: Option<IpAddr>, line: &str) -> Vec<String> {
        let mut lines = Vec::new();
        if self.since.is_none_or(|at| now.saturating_duration_since(at) >= MINUTE) {
            let over = |(peer, n): (&Option<IpAddr>, &u64)| {
                (*n > LINES)
                    .then(|| format!("{}: {} more requests within that minute", who(*peer), n - LINES))
            };
            lines.extend(self.by.iter().filter_map(over));
            (self.since, self.by) = (Some(now), BTreeMap::new());
        }
        let known = self.by.len() < ADDRESSES || self.by.contains_key(&peer);
        let count = self.by.entry(peer.filter(|_| known)).or_default();
        *count = count.saturating_add(1);
        if *count <= LINES {
            lines.push(line.to_owned());
        } else if *count == LINES + 1 {
            let more =
                format!("{}: more than {LINES} requests within a minute, the others are counted", who(peer));
            lines.push(more);
        }
        lines
    }
}

/// A request, told when it is dropped: at its end, or when its other end has gone.
struct RequestLog {
    log: Arc<Log>,
    begun: Instant,
    peer: Option<IpAddr>,
    method: Method,
    path: String,
    status: StatusCode,
    came: Arc<AtomicU64>,
    given: u64,
    /// What was to be given.
    whole: Option<u64>,
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        self.log.tell(self.peer, &self.line(self.begun.elapsed()));
    }
}

fn who(peer: Option<IpAddr>) -> String {
    peer.map_or_else(|| "somebody".to_owned(), |ip| ip.to_string())
}

impl RequestLog {
    /// Without the part of the address that carries the right: whoever reads a log must not be able to use it.
    fn line(&self, took: Duration) -> String {
        let path: String = self.path.chars().take(LONGEST_PATH).collect();
        let (peer, path) = (who(self.peer), shown::line(&path));
        let ms = took.as_millis();
        let what = match self.status.as_u16() {
            200 if self.method == Method::PUT => "was there already",
            200 | 206 if self.whole.is_some_and(|whole| self.given < whole) => {
                "given in part, then it was gone"
            }
            200 | 206 => "given",
            201 => "stored",
            308 => "a part is there",
            403 => "refused: the address is not for that, or not any more",
            404 => "there is no such file",
            408 => "gone before it was answered",
            409 => "it is coming already",
            422 => "refused: the bytes have another hash",
            400..=499 => "refused",
            _ => "failed",
        };
        let bytes = match (self.came.load(Ordering::Relaxed), self.given) {
            (0, 0) => String::new(),
            (0, given) => format!("{given} bytes, "),
            (came, _) => format!("{came} bytes came, "),
        };
        format!("{peer} {} {path}: {what} ({}, {bytes}{ms} ms)", self.method, self.status.as_u16())
    }
}

/// Tells of each request.
pub async fn told(State(log): State<Arc<Log>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ConnectInfo<Peer>>().map(|peer| peer.0.ip());
    let came = Arc::new(AtomicU64::new(0));
    let mut asked = RequestLog {
        log,
        begun: Instant::now(),
        peer,
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        // Until there is an answer: its other end has gone before.
        status: StatusCode::REQUEST_TIMEOUT,
        came: came.clone(),
        given: 0,
        whole: None,
    };
    let counted = request.map(|body| {
        Body::from_stream(body.into_data_stream().inspect(move |piece| {
            let bytes = piece.as_ref().map_or(0, |piece| piece.len() as u64);
            came.fetch_add(bytes, Ordering::Relaxed);
        }))
    });
    let (head, body) = next.run(counted).await.into_parts();
    asked.status = head.status;
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse().ok());
    asked.whole = length.filter(|_| asked.method == Method::GET);
    let body = body.into_data_stream().inspect(move |piece| {
        // The whole of it lives as long as the body.
        let asked = &mut asked;
        asked.given += piece.as_ref().map_or(0, |piece| piece.len() as u64);
    });
    Response::from_parts(head, Body::from_stream(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(peer: Option<IpAddr>, method: Method, path: &str, status: u16) -> RequestLog {
        let (log, came, status) = (Arc::default(), Arc::default(), StatusCode::from_u16(status).unwrap());
        let path = path.to_owned();
        RequestLog { log, begun: Instant::now(), peer, method, path, status, came, given: 0, whole: None }
    }

    #[test]
    fn a_request_is_told_with_who_what_bytes_and_how_long_and_without_its_right() {
        let (peer, took) = (Some(IpAddr::from([10, 0, 0, 7])), Duration::from_millis(40));
        let put = asked(peer, Method::PUT, "/photo/ab12", 201);
        put.came.store(300_000, Ordering::Relaxed);
        assert_eq!(put.line(took), "10.0.0.7 PUT /photo/ab12: stored (201, 300000 bytes came, 40 ms)");
        let part = asked(peer, Method::PUT, "/photo/ab12", 308);
        assert_eq!(part.line(took), "10.0.0.7 PUT /photo/ab12: a part is there (308, 40 ms)");
        let mut get = asked(peer, Method::GET, "/feed/status-7.jsonl", 200);
        (get.given, get.whole) = (812, Some(812));
        assert_eq!(get.line(took), "10.0.0.7 GET /feed/status-7.jsonl: given (200, 812 bytes, 40 ms)");
        get.given = 600;
        assert!(
            get.line(took).contains("given in part, then it was gone (200, 600 bytes"),
            "{}",
            get.line(took)
        );
        let long = asked(None, Method::GET, &"/\u{1b}[2J".repeat(900), 404).line(took);
        assert!(long.len() < 250 && long.contains("no such file") && !long.contains('\u{1b}'), "{long}");
    }

    #[test]
    fn nobody_fills_the_log_and_others_are_told_all_the_same() {
        let (mut minute, now) = (Minute::default(), Instant::now());
        let address = |n: u8| Some(IpAddr::from([10, 0, 0, n]));
        let told: usize = (0..10_000).map(|_| minute.lines(now, address(1), "x").len()).sum();
        assert_eq!(told as u64, LINES + 1, "and that there were more");
        assert_eq!(minute.lines(now, address(2), "y"), ["y"]);
        let later = minute.lines(now + MINUTE, address(2), "z");
        assert_eq!(
            later,
            [format!("10.0.0.1: {} more requests within that minute", 10_000 - LINES), "z".into()]
        );
    }
}
