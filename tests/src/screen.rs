//! What the public screen of a lane says meanwhile, as a browser hears it.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A page that hears nothing for longer says that the gateway is gone: two beats and some.
const SILENT: Duration = Duration::from_secs(12);
/// What a page says that has no answer.
pub const LOST: &str = "网关连接不上 / Gateway not reachable";

type Said = Arc<Mutex<Vec<(Instant, String)>>>;

/// Somebody before the screen of a lane.
pub struct Watcher {
    said: Said,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Looks at the screen of a lane, whose gateway has this address, until it is dropped.
    pub fn begin(address: &str, lane: &str) -> Self {
        let (said, stop) = (Said::default(), Arc::new(AtomicBool::new(false)));
        let (address, path) =
            (address.trim_start_matches("http://").trim_end_matches('/').to_owned(), lane.to_owned());
        let (to, end) = (said.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Acquire) {
                // Whether it was never heard or is no longer heard is the same to whoever stands there.
                drop(follow(&address, &path, &to, &end));
                if !end.load(Ordering::Acquire) {
                    say(&to, LOST.to_owned());
                    std::thread::park_timeout(Duration::from_secs(1));
                }
            }
        });
        Self { said, stop, thread: Some(thread) }
    }

    /// What it said between two moments, how often, and what stood there at the first.
    pub fn between(&self, from: Instant, to: Instant) -> BTreeMap<String, usize> {
        let all = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = BTreeMap::new();
        let before = all.iter().rev().find(|(at, _)| *at < from);
        for (_, words) in before.into_iter().chain(all.iter().filter(|(at, _)| (from..to).contains(at))) {
            *out.entry(words.clone()).or_default() += 1;
        }
        out
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

fn say(said: &Said, words: String) {
    let mut all = said.lock().unwrap_or_else(PoisonError::into_inner);
    if all.last().is_none_or(|(_, last)| *last != words) {
        all.push((Instant::now(), words));
    }
}

fn follow(address: &str, lane: &str, said: &Said, stop: &AtomicBool) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    let ask = format!(
        "GET /api/v1/lanes/{lane}/screen HTTP/1.1\r\nHost: {address}\r\nAccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(ask.as_bytes())?;
    let (mut lines, mut line, mut heard) = (BufReader::new(stream), Vec::new(), Instant::now());
    while !stop.load(Ordering::Acquire) && heard.elapsed() < SILENT {
        match lines.read_until(b'\n', &mut line) {
            Ok(0) => break,
            Ok(_) => {
                heard = Instant::now();
                let data =
                    line.strip_prefix(b"data: ").and_then(|json| serde_json::from_slice::<Value>(json).ok());
                if let Some(words) = data.as_ref().and_then(words) {
                    say(said, words);
                }
                line.clear();
            }
            Err(e) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&e.kind()) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// What stands there large; a beat says nothing.
fn words(screen: &Value) -> Option<String> {
    let prompt = || {
        let text = |language: &str| screen["prompt"][language].as_str().unwrap_or_default();
        format!("{} / {}", text("zh"), text("en"))
    };
    Some(match screen["mode"].as_str()? {
        "verdict" => screen["verdict"]["outcome"].as_str()?.to_owned(),
        "closed" => prompt(),
        "idle" if screen["ready"] == false => prompt(),
        "idle" => "next".to_owned(),
        mode => mode.to_owned(),
    })
}
