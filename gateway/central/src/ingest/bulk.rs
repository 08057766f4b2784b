//! Bulk by HTTPS: photographs in, bodies of feeds out.
//!
//! A gateway gets an address that carries its own right: for one photograph, so many bytes, until a
//! moment. What was cut is kept, and taken up where it ended. Feeds are plain files, which any web
//! server can give as well: their hash is in the signed head.

use super::requests;
use axum::extract::{Path as At, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use futures_util::StreamExt;
use kakou_core::pass::{hex, unhex};
use kakou_gateway::http::connections::BodyTime;
use kakou_gateway::store::photos::Photos;
use kakou_gateway::store::{StoreError, io_at};
use ring::hmac;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tower_http::services::ServeFile;

use kakou_wire::photo::MAX_BYTES;

/// How long a right counts.
const RIGHT_S: i64 = 3_600;
/// Between two looks for what nobody goes on with.
const SWEEP: Duration = Duration::from_secs(600);
/// A photograph may come slowly, for as long as its right counts; a link that has gone sends nothing.
pub const BODY: BodyTime =
    BodyTime { silence: Duration::from_secs(30), whole: Duration::from_secs(RIGHT_S.unsigned_abs()) };

/// Makes addresses, and knows its own.
#[derive(Clone)]
pub struct Rights {
    key: Arc<hmac::Key>,
    base: String,
}

impl Rights {
    /// With a secret that everybody shares who makes or takes addresses at this base.
    pub fn new(secret: &[u8], base: &str) -> Self {
        let key = Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret));
        Self { key, base: base.trim_end_matches('/').to_owned() }
    }

    /// An address for a photograph.
    pub fn photo(&self, sha256: &str, bytes: usize, now_s: i64) -> String {
        let until = now_s + RIGHT_S;
        let sig = hex(hmac::sign(&self.key, word(sha256, bytes, until).as_bytes()).as_ref());
        format!("{}/photo/{sha256}?bytes={bytes}&until={until}&sig={sig}", self.base)
    }

    fn good(&self, sha256: &str, right: &Right, now_s: i64) -> bool {
        let word = word(sha256, right.bytes, right.until);
        let Some(sig) = unhex(&right.sig) else { return false };
        now_s <= right.until && hmac::verify(&self.key, word.as_bytes(), &sig).is_ok()
    }
}

fn word(sha256: &str, bytes: usize, until: i64) -> String {
    format!("PUT /photo/{sha256} {bytes} {until}")
}

#[derive(Deserialize)]
struct Right {
    bytes: usize,
    until: i64,
    sig: String,
}

struct Uploads {
    rights: Rights,
    photos: Photos,
    incoming: PathBuf,
    // Photographs that come just now.
    open: Mutex<BTreeSet<String>>,
    // When it was looked last for what nobody goes on with.
    swept: Mutex<Instant>,
}

impl Uploads {
    /// Removes what was begun and not ended while its right counted. Whoever has a new right begins anew.
    fn sweep(&self, now: Instant) {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(*swept) < SWEEP {
            return;
        }
        *swept = now;
        drop(swept);
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for file in std::fs::read_dir(&self.incoming).into_iter().flatten().flatten() {
            let age = file.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
            let coming = file.file_name().to_str().is_some_and(|name| open.contains(name));
            if !coming && age.is_some_and(|age| age.as_secs() > RIGHT_S.unsigned_abs()) {
                drop(std::fs::remove_file(file.path()));
            }
        }
    }
}

/// The routes: photographs go into a folder, feeds come out of one.
pub fn router(rights: Rights, photos: &Path, feeds: Option<&Path>) -> Result<axum::Router, StoreError> {
    let incoming = photos.join("incoming");
    std::fs::create_dir_all(&incoming).map_err(io_at(&incoming))?;
    let swept = Mutex::new(Instant::now());
    let uploads = Uploads { rights, photos: Photos::open(photos)?, incoming, open: Mutex::default(), swept };
    let mut router = axum::Router::new().route("/photo/{sha256}", put(take));
    if let Some(feeds) = feeds {
        let folder = Arc::new(feeds.to_path_buf());
        router = router.route(
            "/feed/{*path}",
            get(move |At(path): At<String>, request: Request| give(folder.clone(), path, request)),
        );
    }
    let log: Arc<requests::Log> = Arc::default();
    Ok(router.with_state(Arc::new(uploads)).layer(middleware::from_fn_with_state(log, requests::told)))
}

/// A file of the feeds, or a part of it. No link is followed: what it names may lie anywhere.
async fn give(folder: Arc<PathBuf>, path: String, request: Request) -> Response {
    let opened = tokio::task::spawn_blocking(move || open_below(&folder, &path)).await;
    let Ok(Ok(file)) = opened else { return StatusCode::NOT_FOUND.into_response() };
    // By its number it is the file that was opened, whatever lies under its name by now.
    let answer = ServeFile::new(format!("/proc/self/fd/{}", file.as_raw_fd())).try_call(request).await;
    drop(file);
    answer.map_or_else(|_| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
}

/// Opens a regular file below a folder, through folders alone.
fn open_below(folder: &Path, path: &str) -> rustix::io::Result<OwnedFd> {
    let all = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mut at = rustix::fs::open(folder, all | OFlags::DIRECTORY, Mode::empty())?;
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        if matches!(name, "" | "." | "..") {
            return Err(Errno::NOENT);
        }
        let folder = if names.peek().is_some() { OFlags::DIRECTORY } else { OFlags::empty() };
        at = rustix::fs::openat(&at, name, all | OFlags::NOFOLLOW | folder, Mode::empty())?;
    }
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&at)?.st_mode);
    if kind == FileType::RegularFile { Ok(at) } else { Err(Errno::NOENT) }
}

/// One at a time: marks a photograph as coming until dropped.
struct Coming(Arc<Uploads>, String);

impl Coming {
    fn begin(uploads: &Arc<Uploads>, sha256: &str) -> Option<Self> {
        let new = uploads.open.lock().unwrap_or_else(PoisonError::into_inner).insert(sha256.to_owned());
        new.then(|| Self(uploads.clone(), sha256.to_owned()))
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

async fn take(
    State(uploads): State<Arc<Uploads>>,
    At(sha256): At<String>,
    Query(right): Query<Right>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let now_s = kakou_link::clock::Clock::system().now().wall_s().unwrap_or(0);
    let Some(path) = uploads.photos.path(&sha256) else {
        return (StatusCode::BAD_REQUEST, "not a SHA-256").into_response();
    };
    if right.bytes > MAX_BYTES || !uploads.rights.good(&sha256, &right, now_s) {
        return (StatusCode::FORBIDDEN, "this address is not for that, or not any more").into_response();
    }
    if path.exists() {
        return StatusCode::OK.into_response();
    }
    let Some(coming) = Coming::begin(&uploads, &sha256) else {
        return (StatusCode::CONFLICT, "it is coming already").into_response();
    };
    let sweeper = uploads.clone();
    drop(tokio::task::spawn_blocking(move || sweeper.sweep(Instant::now())).await);
    let file = uploads.incoming.join(&sha256);
    let there = std::fs::metadata(&file).map_or(0, |m| m.len());
    let there = usize::try_from(there).unwrap_or(usize::MAX);
    let from = match wanted(&headers, right.bytes) {
        Some(Wanted::Ask) => return held(there),
        Some(Wanted::From(from)) if from <= there => from,
        Some(Wanted::From(_)) => return held(there),
        None => return (StatusCode::BAD_REQUEST, "the range does not fit").into_response(),
    };
    match receive(request, &file, from, right.bytes).await {
        Ok(true) => {}
        Ok(false) => return held(from),
        Err(e) => return (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    }
    let (photos, name) = (uploads.photos.clone(), sha256.clone());
    let saved = tokio::task::spawn_blocking(move || {
        let fits = photos.adopt(&name, &file)?;
        if !fits {
            std::fs::remove_file(&file)?;
        }
        Ok::<_, std::io::Error>(fits)
    });
    let answer = match saved.await {
        Ok(Ok(true)) => StatusCode::CREATED.into_response(),
        Ok(Ok(false)) => (StatusCode::UNPROCESSABLE_ENTITY, "the bytes have another hash").into_response(),
        Ok(Err(e)) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
        Err(e) => (StatusCode::INTERNAL_SERVER_ERROR, e.to_string()).into_response(),
    };
    drop(coming);
    answer
}

enum Wanted {
    Ask,
    From(usize),
}

/// What a request is about; none if it does not fit the size.
fn wanted(headers: &HeaderMap, size: usize) -> Option<Wanted> {
    let Some(range) = headers.get(header::CONTENT_RANGE) else { return Some(Wanted::From(0)) };
    let (range, of) = range.to_str().ok()?.strip_prefix("bytes ")?.split_once('/')?;
    if of.parse() != Ok(size) {
        return None;
    }
    if range == "*" {
        return Some(Wanted::Ask);
    }
    let (from, last) = range.split_once('-')?;
    let (from, last): (usize, usize) = (from.parse().ok()?, last.parse().ok()?);
    (from <= last && last + 1 == size).then_some(Wanted::From(from))
}

/// How much is there.
fn held(bytes: usize) -> Response {
    if bytes == 0 {
        return StatusCode::PERMANENT_REDIRECT.into_response();
    }
    (StatusCode::PERMANENT_REDIRECT, [(header::RANGE, format!("bytes=0-{}", bytes - 1))]).into_response()
}

/// Appends what comes; true when all is there. What comes before a cut is kept.
async fn receive(request: Request, file: &Path, from: usize, size: usize) -> std::io::Result<bool> {
    let mut out = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(file)?;
    out.set_len(from as u64)?;
    std::io::Seek::seek(&mut out, std::io::SeekFrom::End(0))?;
    let mut have = from;
    let mut body = request.into_body().into_data_stream();
    while let Some(piece) = body.next().await {
        let Ok(piece) = piece else { return Ok(false) };
        have += piece.len();
        if have > size {
            return Err(std::io::Error::other("more bytes than were announced"));
        }
        out.write_all(&piece)?;
    }
    Ok(have == size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_for_one_photograph_of_one_size_until_a_moment() {
        let rights = Rights::new(b"secret", "https://central.example:8443/");
        let sha256 = "ab".repeat(32);
        let url = rights.photo(&sha256, 1000, 50);
        let query = url.split_once('?').unwrap().1;
        assert!(url.starts_with(&format!("https://central.example:8443/photo/{sha256}?")), "{url}");
        let part = |name: &str| query.split('&').find_map(|p| p.strip_prefix(name)).unwrap().to_owned();
        let right = |bytes: usize, sig: &str| Right {
            bytes,
            until: part("until=").parse().unwrap(),
            sig: sig.into(),
        };
        let sig = part("sig=");
        assert!(rights.good(&sha256, &right(1000, &sig), 50));
        assert!(!rights.good(&sha256, &right(1000, &sig), 50 + RIGHT_S + 1), "too late");
        assert!(!rights.good(&sha256, &right(1001, &sig), 50), "another size");
        assert!(!rights.good(&"cd".repeat(32), &right(1000, &sig), 50), "another photograph");
        assert!(!Rights::new(b"other", "x").good(&sha256, &right(1000, &sig), 50), "another secret");
        for bad in ["", "zz", "äb", "abc"] {
            assert!(!rights.good(&sha256, &right(1000, bad), 50), "{bad}");
        }
    }

    #[test]
    fn ranges_must_fit_the_announced_size() {
        let of = |range: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, range.parse().unwrap());
            match wanted(&headers, 100) {
                Some(Wanted::Ask) => -1,
                Some(Wanted::From(from)) => i64::try_from(from).unwrap(),
                None => -2,
            }
        };
        assert_eq!(of("bytes */100"), -1);
        assert_eq!(of("bytes 40-99/100"), 40);
        for bad in [
            "bytes */99",
            "bytes 40-98/100",
            "bytes 99-40/100",
            "bytes x-99/100",
            "40-99/100",
            "bytes 40/100",
        ] {
            assert_eq!(of(bad), -2, "{bad}");
        }
    }

    #[test]
    fn what_was_begun_and_never_ended_does_not_lie_there_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let incoming = folder.path().join("incoming");
        std::fs::create_dir(&incoming).unwrap();
        let now = Instant::now();
        let uploads = Uploads {
            rights: Rights::new(b"secret", "x"),
            photos: Photos::open(folder.path()).unwrap(),
            incoming: incoming.clone(),
            open: Mutex::new(BTreeSet::from(["coming".to_owned()])),
            swept: Mutex::new(now),
        };
        let old = std::time::SystemTime::now() - Duration::from_secs(RIGHT_S.unsigned_abs() + 60);
        for (name, age) in [("old", Some(old)), ("coming", Some(old)), ("young", None)] {
            let file = std::fs::File::create(incoming.join(name)).unwrap();
            if let Some(at) = age {
                file.set_modified(at).unwrap();
            }
        }
        let names = || {
            let all =
                std::fs::read_dir(&incoming).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap());
            all.collect::<BTreeSet<String>>()
        };
        uploads.sweep(now);
        assert_eq!(names().len(), 3, "not at each photograph");
        uploads.sweep(now + SWEEP);
        assert_eq!(names(), ["coming", "young"].map(str::to_owned).into());
    }
}
