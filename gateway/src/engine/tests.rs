//! The engine on a folder of its own, without devices.

use super::shell::{Shell, Wiring};
use super::*;
use crate::keys;
use crate::metrics::Metrics;
use crate::pack::told::Packs;
use crate::store::edition::{self, Order};
use crate::store::retention::Delivered;
use crate::store::trace;
use crate::subjects;
use kakou_authority::issuer::Issuer;
use kakou_core::ids::{DeviceId, SiteId};
use kakou_core::pass::kp1::{Draft, kind_of};
use kakou_core::pass::trust::{TrustFile, Usage};
use kakou_core::profile;
use kakou_core::reading::Report;
use kakou_link::clock::Clock;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{mpsc, oneshot, watch};

const PROFILE: &str = "id = \"gate\"\ntitle = { zh = \"试\", en = \"Test\" }\ndirection = \"in\"\nfail_mode = \"HOLD\"\n\
    same_read_s = 0\nsame_result_s = 0\n[[step]]\nkind = \"scan\"\naccepts = [\"resident-card\", \"companion-card\", \"opaque\"]\n\
    [[step]]\nkind = \"verify\"\nlists = [\"status\", \"hold\"]\n[[step]]\nkind = \"decide\"\n";

/// An engine that runs until it is dropped or told to stop.
struct Bench {
    inlet: WorkSender,
    thread: Option<std::thread::JoinHandle<()>>,
}

pub(super) fn parts(data: &Path, trust: TrustList) -> Parts {
    let key = Arc::new(keys::gateway_key(data).unwrap());
    let scanner = DeviceId::new("scanner").unwrap();
    let signs = key.clone();
    let setups: Setups = Box::new(move |trust, subjects| {
        vec![Setup {
            lane: LaneId::new("lane-1").unwrap(),
            profile: profile::read("gate.toml", PROFILE).unwrap().into(),
            devices: BTreeMap::from([("scanner".to_owned(), scanner.clone())]),
            region: String::new(),
            place: kakou_core::lane::PLACE.into(),
            gateway: "gw-1".into(),
            members: BTreeMap::new(),
            profile_hash: "hash".into(),
            utc_offset_ms: 0,
            trust: trust.clone(),
            subjects: subjects.clone(),
            key: signs.clone(),
            training: false,
            badges: std::sync::Arc::default(),
            private: None,
        }]
    });
    Parts {
        data: data.to_path_buf(),
        author: Author {
            site: SiteId::new("test").unwrap(),
            gateway: GatewayId::new("gw-1").unwrap(),
            boot: "boot".into(),
        },
        setups,
        trust: Arc::new(trust),
        subjects: Arc::new(subjects::for_lanes(&subjects::load(data).unwrap())),
        upstream: "off",
        source: TimeSource::System,
        key,
        photos: Photos::open(data).unwrap(),
        retention: Retention {
            max_bytes: u64::MAX,
            keep_days: 14,
            delivered: Delivered::Receipted,
            photo_bytes: u64::MAX,
            photo_days: 30,
            reserve_bytes: 0,
        },
        others: None,
    }
}

/// The engine alone, with its lanes taken up.
pub(super) fn engine(data: &Path, change: impl FnOnce(&mut Parts)) -> Engine {
    let mut parts = parts(data, TrustList::default());
    change(&mut parts);
    let mut engine = Engine::open(parts).unwrap();
    engine.start(&moment().now);
    engine
}

pub(super) fn moment() -> Moment {
    Moment { now: Clock::system().now(), claimed_ms: None, files_at: SystemTime::now() }
}

pub(super) fn event(kind: &str) -> NewEvent {
    NewEvent {
        kind: kind.into(),
        class: Class::Verdict,
        lane: None,
        visit: None,
        audience: Vec::new(),
        data: json!({ "filling": "x".repeat(600) }),
    }
}

/// From now on the disk refuses a commit that holds such a change.
pub(super) fn refuse_commits_after(engine: &Engine, change: &str) {
    let refuse = format!(
        "PRAGMA foreign_keys = ON; CREATE TABLE parent (id INTEGER PRIMARY KEY);
         CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER refuse AFTER {change} BEGIN INSERT INTO child VALUES (1); END"
    );
    engine.journal.connection().execute_batch(&refuse).unwrap();
}

/// The loop around it, and the link upstream as it stands.
fn shell(data: &Path, trust: TrustList, upstream: watch::Receiver<&'static str>) -> Shell {
    let parts = parts(data, trust);
    let wiring = Wiring {
        trust: watch::channel(parts.trust.clone()).1,
        subjects: watch::channel(parts.subjects.clone()).1,
        upstream,
        packs: watch::channel(Packs::default()).1,
        clock: Clock::system(),
        devices: BTreeMap::new(),
        metrics: Arc::new(Metrics::default()),
    };
    Shell::open(parts, wiring).unwrap().0
}

fn run(data: &Path) -> Bench {
    run_with(data, TrustList::default())
}

fn run_with(data: &Path, trust: TrustList) -> Bench {
    let shell = shell(data, trust, watch::channel("off").1);
    let (inlet, work) = mpsc::channel(QUEUE);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(shell.run(work));
    });
    Bench { inlet, thread: Some(thread) }
}

impl Bench {
    /// Appends an event; gives its number when it is durable, and with it all that was sent before.
    fn append(&self, kind: &str) -> u64 {
        let event = NewEvent {
            kind: kind.into(),
            class: Class::Verdict,
            lane: None,
            visit: None,
            audience: Vec::new(),
            data: json!({}),
        };
        let (tx, rx) = oneshot::channel();
        self.inlet.blocking_send(Work::Append(vec![event], Some(tx))).unwrap();
        rx.blocking_recv().unwrap()
    }

    fn scan(&self, code: &str) {
        let report = Report::Scan { bytes: code.as_bytes().to_vec() };
        let device = DeviceId::new("scanner").unwrap();
        self.inlet.blocking_send(Work::Report(device, report, Instant::now())).unwrap();
        self.append("audit");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        drop(self.inlet.blocking_send(Work::Stop));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Frames of the journal's log, as its index says.
fn frames(data: &Path) -> u64 {
    let index = std::fs::read(data.join("journal.db-shm")).unwrap();
    u64::from(u32::from_ne_bytes(index[16..20].try_into().unwrap()))
}

#[test]
fn a_verdict_writes_its_event_and_its_visits_and_no_more_pages_than_those() {
    const VISITS: u64 = 100;
    let folder = tempfile::tempdir().unwrap();
    let engine = run(folder.path());
    engine.append("audit");
    let before = frames(folder.path());
    for n in 0..VISITS {
        let report = Report::Scan { bytes: format!("A-{n}").into_bytes() };
        let device = DeviceId::new("scanner").unwrap();
        engine.inlet.blocking_send(Work::Report(device, report, Instant::now())).unwrap();
        // A question that writes nothing: it is answered when the verdict is durable.
        let (tx, rx) = oneshot::channel();
        engine.inlet.blocking_send(Work::Append(Vec::new(), Some(tx))).unwrap();
        rx.blocking_recv().unwrap();
    }
    let pages = frames(folder.path()) - before;
    drop(engine);
    assert_eq!(visits(folder.path()).len() as u64, VISITS);
    // The end of the events, of their order in the stream, of the visits that are over, and the lane; and where a page
    // is full, the one that comes behind it, the one above it, and the first one.
    assert!(pages < 6 * VISITS, "{pages} pages for {VISITS} verdicts");
}

#[test]
fn the_log_keeps_its_size_where_somebody_comes_every_few_milliseconds() {
    let folder = tempfile::tempdir().unwrap();
    let engine = run(folder.path());
    let log = folder.path().join("journal.db-wal");
    let size = || std::fs::metadata(&log).unwrap().len();
    let before = size();
    for _ in 0..300 {
        let event = NewEvent {
            kind: "audit".into(),
            class: Class::Verdict,
            lane: None,
            visit: None,
            audience: Vec::new(),
            data: json!({ "filling": "x".repeat(1_500) }),
        };
        let (tx, rx) = oneshot::channel();
        engine.inlet.blocking_send(Work::Append(vec![event; 20], Some(tx))).unwrap();
        rx.blocking_recv().unwrap();
        // The rhythm of the gate.
        std::thread::park_timeout(Duration::from_millis(6));
    }
    assert_eq!(size(), before, "each commit would change the inode as well");
}

#[test]
fn verdicts_are_found_before_they_are_indexed_and_indexed_when_nobody_comes() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut engine = engine(data, |_| {});
    let found = || {
        let reader = journal::reader(data).unwrap();
        let indexed = reader.query_row("SELECT count(*) FROM place", [], |r| r.get::<_, i64>(0)).unwrap();
        (indexed, trace::find(&reader, trace::Of::Lane("lane-1"), 0, i64::MAX).unwrap().0.len())
    };
    let scan = |engine: &mut Engine, code: &str| {
        let report = Report::Scan { bytes: code.as_bytes().to_vec() };
        let job = Job::Report(DeviceId::new("scanner").unwrap(), report, ArrivedNs(0));
        let now = moment().now;
        assert_eq!(engine.handle(&now, &mut std::iter::once((now, job))).outcomes.len(), 1);
    };
    scan(&mut engine, "A-1");
    assert_eq!(found(), (0, 1));
    assert_eq!(engine.handle(&moment().now, &mut std::iter::empty()).closed, None);
    assert_eq!(found(), (1, 1));
    // The power goes before the next one is indexed.
    scan(&mut engine, "A-2");
    assert_eq!(found(), (1, 2));
    drop(engine);
    let engine = Engine::open(parts(data, TrustList::default())).unwrap();
    assert_eq!(found(), (2, 2));
    drop(engine);
}

#[test]
fn evidence_is_covered_by_a_signed_head_in_the_next_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let engine = run(folder.path());
    let covered = || {
        let reader = journal::reader(folder.path()).unwrap();
        let last: Option<i64> =
            reader.query_row("SELECT max(seq) FROM checkpoint", [], |r| r.get(0)).unwrap();
        last.unwrap_or(0).cast_unsigned()
    };
    for _ in 0..3 {
        let evidence = engine.append("evidence");
        let covered_by_itself = engine.append("evidence");
        assert!(covered() >= evidence, "a head is signed up to {}", covered());
        engine.append("audit");
        assert!(covered() >= covered_by_itself, "a head is signed up to {}", covered());
        let evidence = engine.append("evidence");
        engine.append("audit");
        // The power may go now.
        assert!(
            covered() >= evidence,
            "evidence {evidence} can be changed, a head is signed up to {}",
            covered()
        );
    }
}

/// Puts a list into a data folder.
pub(super) fn list(data: &Path, name: &str, entries: &[(&str, Value)]) {
    let mut entries = entries.to_vec();
    entries.sort_by_key(|(id, _)| *id);
    let lines: String =
        entries.iter().map(|(id, facts)| json!({ "id": id, "facts": facts }).to_string() + "\n").collect();
    let issued_ms = Clock::system().now().wall_ms.unwrap();
    let order = Order {
        data,
        name,
        version: 1,
        issued_ms,
        base: None,
        sha256: None,
        signer: "",
        canary: &[],
        check: None,
    };
    edition::build(&order, lines.as_bytes(), &mut |_| true).unwrap();
}

/// Files below a folder in which a text stands, byte by byte.
fn files_with(folder: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|w| w == text.as_bytes()) {
            found.push(path);
        }
    }
    found
}

#[test]
fn nothing_but_the_lists_tells_who_was_here_in_clear_also_while_an_override_can_let_them_in() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let issuer = Issuer::from_pkcs8(&Issuer::generate().unwrap()).unwrap();
    let keys = vec![issuer.entry("test", &[Usage::ResidentCard, Usage::CompanionCard])];
    let trust = TrustFile { name: "trust".into(), version: 1, issued: 0, keys };
    let trust = TrustList::from_json(&serde_json::to_vec(&trust).unwrap()).unwrap();
    let now_s = Clock::system().now().wall_s().unwrap();
    let card = |kind: &str, facts: Value, exp: i64| {
        let cti = Issuer::pass_id().unwrap();
        let (kind, facts) = (kind_of(kind).unwrap(), facts.as_object().unwrap().clone());
        issuer.issue(&Draft { kind, cti, nbf: now_s - 7_200, exp: now_s + exp, facts }).unwrap()
    };
    list(data, "hold", &[]);
    list(data, "status", &[("ID-OPAQUE-0815", json!({ "name": "司徒美堂", "colour": "green" }))]);
    let resident = card("resident-card", json!({ "id": "ID-RESIDENT-4711", "name": "欧阳震华" }), 3_600);
    let expired = card("resident-card", json!({ "id": "ID-EXPIRED-2718", "name": "诸葛孔明" }), -3_600);
    let companion = json!({ "id": "ID-COMPANION-1618", "name": "慕容云海", "patient": "ID-PATIENT-3141" });
    let companion = card("companion-card", companion, 3_600);
    let engine = run_with(data, trust);
    for code in [&resident, "ID-OPAQUE-0815", &expired, &companion, &resident, "?"] {
        engine.scan(code);
    }
    drop(engine);
    let outcomes: Vec<String> = {
        let reader = journal::reader(data).unwrap();
        let sql = "SELECT CAST(body AS TEXT) ->> '$.data.outcome' FROM event
                   WHERE CAST(body AS TEXT) ->> '$.type' = 'kakou.transaction.v1' ORDER BY seq";
        let mut select = reader.prepare(sql).unwrap();
        let rows = select.query_map([], |r| r.get(0)).unwrap();
        rows.map(Result::unwrap).collect()
    };
    assert_eq!(outcomes, ["ADMIT", "ADMIT", "DENY", "ADMIT", "ADMIT", "HOLD"]);
    let told = |told: &str| {
        let mut found = files_with(data, told);
        found.retain(|path| !path.starts_with(data.join("editions")));
        found
    };
    let ids = ["ID-RESIDENT", "ID-OPAQUE", "ID-COMPANION", "ID-PATIENT"];
    for text in ["欧阳震华", "司徒美堂", "诸葛孔明", "慕容云海"].into_iter().chain(ids) {
        assert_eq!(told(text), Vec::<PathBuf>::new(), "{text}");
    }
    // The one that was refused can be taken up again by an override: for so long it is known, and sealed.
    assert_eq!(told("ID-EXPIRED"), Vec::<PathBuf>::new());
    let kept = || {
        let (mut journal, _, lanes) = Journal::open(data, parts(data, TrustList::default()).author).unwrap();
        journal.begin().unwrap();
        journal.close_visits(Clock::system().now().wall_ms.unwrap() + 2 * 86_400_000).unwrap();
        journal.commit().unwrap();
        journal.empty_log().unwrap();
        lanes
            .values()
            .flat_map(|lane| lane.visits())
            .any(|visit| visit.pass.as_ref().is_some_and(|pass| pass.subject == "ID-EXPIRED-2718"))
    };
    assert!(kept(), "an override can let in whom it was");
    assert!(!kept(), "a day later");
    assert_eq!(told("ID-EXPIRED"), Vec::<PathBuf>::new());
}

/// The visits that verdicts are about, in order.
fn visits(data: &Path) -> Vec<String> {
    let reader = journal::reader(data).unwrap();
    let sql = "SELECT CAST(body AS TEXT) ->> '$.subject' FROM event
               WHERE CAST(body AS TEXT) ->> '$.type' = 'kakou.transaction.v1' ORDER BY seq";
    let mut select = reader.prepare(sql).unwrap();
    let rows = select.query_map([], |r| r.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn a_visit_number_is_not_given_twice_when_the_state_of_its_lane_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let engine = run(folder.path());
    engine.scan("A-1");
    engine.scan("A-2");
    drop(engine);
    let file = rusqlite::Connection::open(journal::path(folder.path())).unwrap();
    file.execute("UPDATE lane SET state = X'7B'", []).unwrap();
    drop(file);
    let engine = run(folder.path());
    engine.scan("A-3");
    drop(engine);
    let mut all = visits(folder.path());
    assert_eq!(all.len(), 3);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 3, "{all:?}");
}

#[test]
fn a_visit_number_is_not_given_twice_when_the_journal_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let engine = run(folder.path());
    engine.scan("A-1");
    drop(engine);
    let before = visits(folder.path());
    std::fs::write(journal::path(folder.path()), [0x55; 8192]).unwrap();
    let engine = run(folder.path());
    engine.scan("A-2");
    drop(engine);
    let after = visits(folder.path());
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before, after);
}

/// Set for the process in which the engine runs, so that it has a service manager of its own.
const CHILD: &str = "KAKOU_TEST_WATCHDOG";

#[test]
fn the_watchdog_is_told_while_the_link_changes_on_and_on() {
    const NAME: &str = "engine::tests::the_watchdog_is_told_while_the_link_changes_on_and_on";
    let folder = tempfile::tempdir().unwrap();
    if std::env::var_os(CHILD).is_some() {
        let (link, upstream) = watch::channel("off");
        let shell = shell(folder.path(), TrustList::default(), upstream);
        std::thread::spawn(move || {
            loop {
                for word in ["on", "off"] {
                    link.send_replace(word);
                }
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (_inlet, work) = mpsc::channel(QUEUE);
        return runtime.block_on(shell.run(work));
    }
    let place = folder.path().join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&place).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([NAME, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .env("NOTIFY_SOCKET", &place)
        .spawn()
        .unwrap();
    // The second word comes seconds after the first: the loop goes on.
    let heard: Vec<_> = (0..2)
        .map(|_| {
            let mut word = [0; 64];
            manager.recv(&mut word).map(|n| String::from_utf8_lossy(&word[..n]).into_owned())
        })
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    for word in heard {
        assert_eq!(word.unwrap(), "WATCHDOG=1");
    }
}
