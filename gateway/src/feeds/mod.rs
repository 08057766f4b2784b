//! Feeds: lists that the central side makes, from wherever they come.
//!
//! One thread takes heads from the broker, from the folder of lists, from a USB drive and
//! single entries from QR codes; fetches bodies; builds editions; and hands new keys to the lanes.
//! A feed that is wrong, older or not signed by a key of this fleet is refused with an error and a
//! counter, and what was in use stays in use. A gateway without fleet keys takes unsigned files from
//! its folder, and says that nobody signed them.

mod entries;
pub mod fetch;
mod folder;
pub mod plan;
mod policy;
mod trust;

use crate::engine::{Work, WorkSender};
use crate::metrics::Metrics;
use crate::pack::told::{Follower, Packs};
use crate::store::edition::{self, Order};
use crate::store::floors;
use crate::store::lists::{self, InUse, Lists};
use crate::store::seen::Seen;
pub use entries::{ActiveEntries, is_signed, keep_heard, share_folder, words_in};
use fetch::Fetch;
use kakou_core::event::{Class, NewEvent};
use kakou_core::pass::trust::TrustList;
use kakou_core::records::LISTS;
use kakou_core::signed;
use kakou_core::time::rfc3339;
use kakou_link::clock::Clock;
use kakou_link::minutely::Throttle;
use kakou_wire::feed::{self, HEAD, Head, Part};
use plan::{Edition, Input, Output, PATIENCE, Plan};
pub use policy::{POLICY, staged};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
pub use trust::first_trust;

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// News that may wait; a chunk beyond it is asked for again.
pub const NEWS: usize = 256;
/// A head names its feed and some parts.
const HEAD_MAX: u64 = 1 << 20;
/// A trust list that is larger is none.
const TRUST_MAX: u64 = 64 << 20;
/// The niceness of the thread: building an edition is work that can wait.
const NICE: i32 = 10;

/// What comes to the feeds.
pub enum FeedInput {
    /// A signed head, from the broker.
    Head(Vec<u8>),
    /// A chunk of a body: its hash, its number.
    Chunk(String, u32, Vec<u8>),
    /// A body cannot be had by HTTPS: its hash.
    Unfetched(String),
    /// The broker can be asked.
    Connected,
    /// The text of a QR code with a signed entry.
    Entry(Vec<u8>),
    /// Another gateway of the site has read such entries: they lie in their folder, see [`keep_heard`]. The answer, if
    /// anybody asks for it, is whether they count now.
    Heard(Option<oneshot::Sender<bool>>),
    /// The daemon ends.
    End,
}

/// What the feeds ask of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedRequest {
    /// Subscribe to a group of chunks.
    Subscribe(String),
    /// No more of it.
    Unsubscribe(String),
    /// Fetch a body by HTTPS, from a chunk on.
    Get(Get),
    /// Tell the other gateways of the site what lies in the folder `share`.
    Share,
}

/// A body by HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Get {
    /// Where.
    pub url: String,
    /// Its hash.
    pub sha256: String,
    /// Chunks that are there.
    pub from: u32,
}

/// What is on its way: feed, chunks there, of how many; and while it is built, lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Loading {
    /// Which feed.
    pub feed: String,
    /// Which edition.
    pub version: u64,
    /// Chunks that are there.
    pub have: u32,
    /// Of how many.
    pub of: u32,
    /// Lines that were built.
    pub lines: u64,
}

/// What the thread works with.
pub struct Feeds {
    /// The data folder.
    pub data: PathBuf,
    /// The folder of lists.
    pub folder: PathBuf,
    /// Where a USB drive appears; only what is signed counts there.
    pub usb_drive: PathBuf,
    /// Who may sign; without it, nobody has to.
    pub keys: Option<Arc<TrustList>>,
    /// The region of the gateway, for canaries of the trust list.
    pub region: String,
    /// The configuration in use: its file and text.
    pub config: (PathBuf, String),
    /// The lanes that take their profiles from the feed `policy`.
    pub followers: Vec<Follower>,
    /// Asks the daemon to start anew.
    pub restart: Option<mpsc::Sender<()>>,
    /// The clock.
    pub clock: Clock,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Where new keys and events go.
    pub engine: WorkSender,
    /// The keys in use.
    pub trust: watch::Sender<Arc<TrustList>>,
    /// What the connection is asked for.
    pub wishes: mpsc::Sender<FeedRequest>,
    /// What is on its way.
    pub loading: watch::Sender<Option<Loading>>,
    /// Which pack is in use, and which one waits.
    pub packs: watch::Sender<Packs>,
    /// Set when what lay in the folder at the start has been looked at.
    pub looked: watch::Sender<bool>,
    /// Cancelled when the daemon ends: what is being built is left for its next start.
    pub end: CancellationToken,
    /// Entries that cannot be stored now.
    pub waiting: Mutex<Throttle>,
}

/// What the thread remembers.
#[derive(Default)]
struct Memory {
    seen: Seen,
    /// What is fetched when, and the body that is on its way.
    plan: Plan,
    fetch: Option<Fetch>,
    /// The signed heads of editions that count from a time, by edition, while their bodies come.
    later: BTreeMap<u64, Vec<u8>>,
    /// When a damaged list was asked for last.
    asked: BTreeMap<&'static str, Instant>,
    /// The lists of an earlier program that have no keys yet, and why; nothing before they were looked at.
    unkeyed: Option<Vec<String>>,
}

impl Feeds {
    /// Runs until the daemon ends. No other thread may build lists meanwhile: editions have one file each. Lanes
    /// are open already, with what was in use: a list of a million entries takes its time.
    pub fn run(self, news: &Receiver<FeedInput>) {
        if let Err(e) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
            log::debug!("the thread of the feeds keeps its priority: {e}");
        }
        let mut memory = Memory::default();
        self.tell_pack_in_use();
        self.look(&mut memory);
        self.looked.send_replace(true);
        log::info!("the folder of lists has been looked at");
        while !self.end.is_cancelled() {
            match news.recv_timeout(LOOK) {
                Ok(FeedInput::Head(envelope)) => self.head(&envelope, &mut memory),
                Ok(FeedInput::Chunk(sha256, n, bytes)) => self.chunk(&sha256, n, &bytes, &mut memory),
                Ok(FeedInput::Connected) => self.plan(Input::Connected, &mut memory),
                Ok(FeedInput::Unfetched(sha256)) => self.plan(Input::Unfetched(sha256), &mut memory),
                Ok(FeedInput::Entry(text)) => match self.entry(&text, true) {
                    Ok(()) => {}
                    // A list that is damaged now takes it when it was built anew.
                    Err(e) => {
                        self.waits(entries::WHAT, &e.to_string());
                        self.tell_waiting(Instant::now());
                        if !keep_heard(&self.data, &text) {
                            self.metrics.count("list_refused_total");
                        }
                    }
                },
                Ok(FeedInput::Heard(asks)) => {
                    let counts = self.take_heard();
                    if asks.is_some_and(|asks| asks.send(counts).is_err()) {
                        log::debug!("nobody waits for the entries of another gateway any more");
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.plan(Input::Tick, &mut memory);
                    if !self.take_heard() {
                        log::debug!("entries of other gateways wait");
                    }
                    self.look(&mut memory);
                }
                Ok(FeedInput::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn now_s(&self) -> Option<i64> {
        let now = self.clock.now();
        now.wall_s().filter(|_| now.synced())
    }

    fn in_use(&self, feed: &str) -> Option<u64> {
        if feed == "trust" {
            return Some(self.trust.borrow().version).filter(|v| *v > 0);
        }
        Lists::open(&self.data).ok()?.in_use(feed).map(|l| l.version)
    }

    fn wish(&self, wish: FeedRequest) {
        // A wish that finds no room is made again with the next connection.
        if self.wishes.try_send(wish).is_err() {
            self.metrics.count("feed_wish_dropped_total");
        }
    }

    fn refuse(&self, what: &str, why: &str) {
        if self.end.is_cancelled() {
            // It was given up; whether it is good shows at the next start.
            log::info!("{what}: {why}; the daemon ends");
            return;
        }
        self.metrics.count("list_refused_total");
        log::error!("{what}: the list is refused, the one in use stays: {why}");
    }

    /// Opens a head; says so if it is refused.
    fn open(&self, what: &str, envelope: &[u8]) -> Option<(Head, String)> {
        let Some(keys) = &self.keys else {
            self.refuse(what, "this gateway has no fleet keys: set `fleet_keys` in [gateway]");
            return None;
        };
        // Whose key it must be depends on the feed, which only the signed text tells.
        let opened = signed::open(envelope, HEAD, keys, feed::usage(""), self.now_s())
            .or_else(|_| signed::open(envelope, HEAD, keys, feed::usage("trust"), self.now_s()));
        let opened = match opened {
            Ok(opened) => opened,
            Err(e) => {
                self.refuse(what, &e.to_string());
                return None;
            }
        };
        let head = match serde_json::from_slice::<Head>(&opened.payload) {
            Ok(head) => head,
            Err(e) => {
                self.refuse(what, &e.to_string());
                return None;
            }
        };
        if let Err(e) = signed::open(envelope, HEAD, keys, feed::usage(&head.feed), self.now_s()) {
            self.refuse(what, &e.to_string());
            return None;
        }
        if let Some(fault) = head.fault() {
            self.refuse(what, &fault);
            return None;
        }
        self.clock.signed_at(head.issued * 1000);
        Some((head, opened.issuer))
    }

    /// Whether a head is news. An older one is refused, the one in use is not news. Where the one in use was
    /// lost, it is news once more.
    fn is_news(&self, what: &str, head: &Head) -> bool {
        let newest = match floors::version(&self.data, &head.feed) {
            Ok(newest) => newest,
            Err(e) => {
                self.refuse(what, &e.to_string());
                return false;
            }
        };
        match plan::judge(head.version, self.in_use(&head.feed), newest) {
            Edition::News => !self.is_staged(head),
            Edition::InUse => false,
            Edition::OlderThan(newest) => {
                self.refuse(what, &format!("version {} is older than version {newest}", head.version));
                false
            }
        }
    }

    /// A damaged list is asked for again, wherever it came from.
    fn ask_for_damaged(&self, memory: &mut Memory) {
        for name in LISTS {
            let due = memory.asked.get(name).is_none_or(|at| at.elapsed() >= PATIENCE);
            if !due || !lists::is_damaged(&self.data, name) {
                continue;
            }
            memory.asked.insert(name, Instant::now());
            self.metrics.count("list_damaged_total");
            for place in [&self.folder, &self.usb_drive] {
                memory.seen.forget(&place.join(format!("{name}.feed")));
            }
            memory.seen.forget(&self.folder.join(format!("{name}.json")));
            // The broker sends the head that it keeps to whoever subscribes.
            self.wish(FeedRequest::Subscribe(feed::head_topic(name)));
        }
    }

    fn head(&self, envelope: &[u8], memory: &mut Memory) {
        let what = "a feed of the broker";
        let Some((head, signer)) = self.open(what, envelope) else { return };
        if self.is_news(what, &head) {
            if head.from.is_some() {
                memory.later.insert(head.version, envelope.to_vec());
            }
            self.plan(Input::Head(head, signer), memory);
        }
    }

    /// Tells the plan what happened, and does what it says.
    fn plan(&self, input: Input, memory: &mut Memory) {
        let (mut inputs, mut outputs) = (VecDeque::from([input]), Vec::new());
        while let Some(input) = inputs.pop_front() {
            let now = Duration::from_millis(self.clock.now().mono_ms);
            memory.plan.handle(now, input, &mut outputs);
            for output in outputs.drain(..) {
                inputs.extend(self.carry_out(output, memory));
            }
        }
    }

    fn carry_out(&self, output: Output, memory: &mut Memory) -> Option<Input> {
        match output {
            Output::Begin(head, signer) => {
                memory.fetch = self.begin(head, signer);
                let begun = memory.fetch.as_ref().map(|f| (f.part.clone(), f.progress().0));
                return Some(Input::Begun(begun));
            }
            Output::Apply => {
                if let Some(fetch) = memory.fetch.take() {
                    let word = memory.later.remove(&fetch.head.version);
                    memory.later.retain(|version, _| *version > fetch.head.version);
                    self.apply_fetched(fetch, word.as_deref());
                }
                return Some(Input::Applied);
            }
            Output::Progress(_) => memory.fetch.iter().for_each(|fetch| self.show(fetch, 0)),
            Output::Wish(wish) => self.wish(wish),
            Output::Leave => memory.fetch = None,
            Output::Rest => drop(self.loading.send_replace(None)),
            Output::Count(counter) => self.metrics.count(counter),
        }
        None
    }

    /// Takes up the body that leads from the edition in use to this one.
    fn begin(&self, head: Head, signer: String) -> Option<Fetch> {
        let Some(part) = head.part_from(self.in_use(&head.feed)).cloned() else {
            self.refuse(&head.feed, "no part leads to it from the edition in use");
            return None;
        };
        Fetch::begin(&self.data.join("feeds"), head, signer, part)
            .inspect_err(|e| self.refuse("feeds", &e.to_string()))
            .ok()
    }

    fn show(&self, fetch: &Fetch, lines: u64) {
        let (have, of) = fetch.progress();
        let (feed, version) = (fetch.head.feed.clone(), fetch.head.version);
        self.loading.send_replace(Some(Loading { feed, version, have, of, lines }));
    }

    fn chunk(&self, sha256: &str, n: u32, bytes: &[u8], memory: &mut Memory) {
        let Some(fetch) = &mut memory.fetch else { return };
        if let Err(e) = fetch.chunk(sha256, n, bytes) {
            self.refuse(sha256, &format!("a chunk cannot be kept: {e}"));
        }
        let there = fetch.progress().0;
        self.plan(Input::Chunk(sha256.to_owned(), there), memory);
    }

    fn apply_fetched(&self, fetch: Fetch, word: Option<&[u8]>) {
        let path = fetch.path().to_path_buf();
        let source = File::open(&path).map(BufReader::new);
        match (source, word) {
            (Ok(source), word) if self.is_for_later(&fetch.head) => match word {
                Some(word) => self.stage((&fetch.head, &fetch.signer), word, &fetch.part, source),
                None => {
                    self.refuse(&fetch.head.feed, "its head is gone; it comes again with the next connection")
                }
            },
            (Ok(source), _) => self.apply(&fetch.head, &fetch.signer, &fetch.part, source, &mut |lines| {
                self.show(&fetch, lines);
            }),
            (Err(e), _) => self.refuse(&fetch.head.feed, &e.to_string()),
        }
        if self.end.is_cancelled() {
            return;
        }
        // Good or bad, it is not needed again: a bad body is fetched anew.
        if let Err(e) = std::fs::remove_file(&path) {
            log::warn!("{}: {e}", path.display());
        }
        self.loading.send_replace(None);
    }

    /// Builds an edition and puts it in use.
    fn apply(
        &self,
        head: &Head,
        signer: &str,
        part: &Part,
        mut source: impl BufRead,
        progress: &mut dyn FnMut(u64),
    ) {
        if head.feed == "trust" {
            let mut body = Vec::new();
            let limit = part.bytes.min(TRUST_MAX);
            if let Err(e) = (&mut source).take(limit).read_to_end(&mut body) {
                return self.refuse("trust", &e.to_string());
            }
            if kakou_core::evidence::Hash::of(&body).hex() != part.sha256 {
                return self.refuse("trust", "its hash is not what was signed");
            }
            return self.trust(&body, Some(head.version), &head.canary, signer);
        }
        let check = |edition: &Connection| self.policy_fits(edition);
        let order = Order {
            data: &self.data,
            name: &head.feed,
            version: head.version,
            issued_ms: head.issued * 1000,
            base: part.base,
            sha256: Some(&part.sha256),
            signer,
            canary: &head.canary,
            check: if head.feed == POLICY { Some(&check) } else { None },
        };
        let mut go_on = |lines| {
            progress(lines);
            !self.end.is_cancelled()
        };
        match edition::build(&order, source, &mut go_on) {
            Ok(list) => self.taken(&list),
            Err(e) => self.refuse(&head.feed, &e.to_string()),
        }
    }

    fn taken(&self, list: &InUse) {
        log::info!("list {} version {} with {} entries is in use", list.name, list.version, list.entries);
        self.record(json!({ "feed": list.name, "version": list.version, "entries": list.entries,
            "issued": rfc3339(list.issued_ms), "signer": list.signer }));
        self.take_known(list);
        if list.name == POLICY {
            self.follow_policy();
        }
    }

    fn record(&self, data: Value) {
        let event = NewEvent {
            kind: "list".into(),
            class: Class::Health,
            lane: None,
            visit: None,
            audience: vec!["ops".into()],
            data,
        };
        if self.engine.try_send(Work::Append(vec![event], None)).is_err() {
            self.metrics.count("audit_dropped_total");
        }
    }
}

#[cfg(test)]
mod tests;
