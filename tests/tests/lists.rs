//! Lists that are not what they should be, with the real daemon: who is listed stays listed, one list does not
//! close the lanes of others, and lanes do not wait for lists.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_authority::issuer::Issuer;
use kakou_core::evidence::Hash;
use kakou_core::pass::id::key;
use kakou_core::pass::trust::{TrustFile, TrustList, Usage};
use kakou_core::pass::{self, Check};
use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_tests::daemon::{Gateway, Plan};
use kakou_tests::desk::DeskClient;
use kakou_tests::{passes, profiles, wait};
use kakou_wire::feed::{HEAD, Head, Part};
use rusqlite::{Connection, params};
use serde_json::{Map, Value, json};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// A gateway with lanes that scan, look into lists and open a barrier.
struct Site {
    gateway: Gateway,
    issuer: Issuer,
    lanes: Vec<(ScannerSim, RelaySim)>,
    pulses: Arc<AtomicUsize>,
    _folder: tempfile::TempDir,
}

fn site(lanes: &[&[&str]]) -> Site {
    site_with(lanes, tempfile::tempdir().unwrap(), String::new())
}

/// The same with a line of its own in `[gateway]`.
fn site_with(lanes: &[&[&str]], folder: tempfile::TempDir, gateway: String) -> Site {
    let mut plan = Plan { http: true, gateway, ..Plan::default() };
    for (n, lists) in lanes.iter().enumerate() {
        let file = format!("lane-{n}.toml");
        let profile = profiles::lane(&format!("p-{n}"), &["resident-card"], lists, "", true);
        std::fs::write(folder.path().join(&file), profile).unwrap();
        plan = plan.lane(&format!("lane-{n}"), &file, &["scanner", "barrier"]);
    }
    let gateway = Gateway::prepare(folder.path(), plan);
    let issuer = passes::issuer();
    passes::trust(&gateway.lists(), vec![passes::entry(&issuer)]);
    let pulses = Arc::new(AtomicUsize::new(0));
    let devices = |n: usize| {
        let count = pulses.clone();
        let relay = RelaySim::new(&gateway.device(&format!("lane-{n}"), "barrier"), move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let scanner = gateway.device(&format!("lane-{n}"), "scanner");
        (ScannerSim::new(&scanner, Faults::default(), 1).unwrap(), relay.unwrap())
    };
    let lanes = (0..lanes.len()).map(devices).collect();
    Site { gateway, issuer, lanes, pulses, _folder: folder }
}

impl Site {
    /// The verdict of the lane about a card.
    fn scan(&mut self, lane: usize, card: &str) -> Value {
        let before = self.gateway.events("transaction").len();
        let scanner = &mut self.lanes[lane].0;
        self.gateway.await_verdict(before + 1, || scanner.scan(card).unwrap())
    }

    fn card(&self, id: &str) -> String {
        passes::pass(&self.issuer, "resident-card", json!({ "id": id }))
    }

    fn status(&self) -> Value {
        let (code, body) = DeskClient::new(&self.gateway.url("")).get("/api/v1/status").unwrap();
        assert_eq!(code, 200);
        serde_json::from_str(&body).unwrap()
    }

    fn list(&self, name: &str) -> Value {
        let lists = self.status()["lists"].as_array().unwrap().clone();
        lists.into_iter().find(|l| l["name"] == name).unwrap()
    }

    fn barrier_moved(&self) -> usize {
        self.pulses.load(Ordering::SeqCst)
    }
}

/// Puts an edition into a data folder; gives its file.
fn edition(data: &Path, name: &str, ids: &[String]) -> PathBuf {
    let mut ids = ids.to_vec();
    ids.sort();
    let lines: String = ids.iter().map(|id| json!({ "id": id, "facts": {} }).to_string() + "\n").collect();
    passes::put_into_use(data, name, (1, passes::now_s() * 1000), &lines).unwrap()
}

#[test]
fn a_hold_or_a_revocation_whose_facts_cannot_be_read_lets_nobody_in() {
    let mut s = site(&[&["revocation", "hold"]]);
    let deep = format!("{{\"note\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let unreadable = ["{\"note\":\"\\ud83d\"}", "{\"until_ms\":1e999}", &deep];
    let trust = std::fs::read(s.gateway.lists().join("trust.json")).unwrap();
    let trust = TrustList::from_json(&trust).unwrap();
    let held: Vec<_> = (0..unreadable.len()).map(|n| format!("H-{n}")).collect();
    let revoked: Vec<(String, String)> = (0..unreadable.len())
        .map(|n| {
            let card = s.card(&format!("R-{n}"));
            let with = Check { trust: &trust, now_s: Some(passes::now_s()), region: "" };
            let pass = pass::check(card.as_bytes(), with).unwrap();
            (card, format!("{}:{}", pass.kid, pass.id))
        })
        .collect();
    // As an edition of an earlier version of this program may hold them.
    let data = s.gateway.data();
    std::fs::create_dir_all(&data).unwrap();
    let keys: Vec<String> = revoked.iter().map(|(_, key)| key.clone()).collect();
    for (name, ids) in [("hold", &held), ("revocation", &keys)] {
        let file = Connection::open(edition(&data, name, ids)).unwrap();
        for (id, facts) in ids.iter().zip(unreadable) {
            let sql = "UPDATE entry SET facts = ?2 WHERE id = ?1";
            assert_eq!(file.execute(sql, params![key(name, id), facts.as_bytes()]).unwrap(), 1);
        }
    }
    s.gateway.start();
    for (n, id) in held.iter().enumerate() {
        let verdict = s.scan(0, &s.card(id));
        assert_eq!(
            (&verdict["outcome"], &verdict["codes"][0]),
            (&json!("HOLD"), &json!("L_HOLD")),
            "hold {n}"
        );
    }
    for (n, (card, _)) in revoked.iter().enumerate() {
        let verdict = s.scan(0, card);
        let wanted = (&json!("DENY"), &json!("C_REVOKED"));
        assert_eq!((&verdict["outcome"], &verdict["codes"][0]), wanted, "revocation {n}");
    }
    assert_eq!(s.barrier_moved(), 0, "the barrier opened");
    let verdict = s.scan(0, &s.card("somebody-else"));
    assert_eq!(verdict["outcome"], "ADMIT", "{verdict}");
    wait::until("the barrier", LIMIT, || (s.barrier_moved() == 1).then_some(()));
}

/// Signs an edition of `hold` with these lines, as a folder of lists or a USB drive carries it.
fn signed_hold(issuer: &Issuer, lists: &Path, version: u64, body: &str) {
    let sha256 = Hash::of(body.as_bytes()).hex();
    std::fs::create_dir_all(lists.join("parts")).unwrap();
    std::fs::write(lists.join("parts").join(&sha256), body).unwrap();
    let part = Part { base: None, sha256, bytes: body.len() as u64 };
    let (issued, parts) = (passes::now_s(), vec![part]);
    let head = Head { feed: "hold".into(), version, issued, parts, at: None, from: None, canary: Vec::new() };
    let envelope = issuer.sign_message(&serde_json::to_vec(&head).unwrap(), HEAD).unwrap();
    // There whole or not at all.
    std::fs::write(lists.join("fresh"), envelope).unwrap();
    std::fs::rename(lists.join("fresh"), lists.join("hold.feed")).unwrap();
}

#[test]
fn a_signed_list_that_cannot_be_read_is_refused_and_the_one_before_goes_on_holding() {
    let folder = tempfile::tempdir().unwrap();
    let (fleet, central) = (folder.path().join("fleet.json"), passes::issuer());
    let keys = vec![central.entry("central", &[Usage::Feed])];
    let file = TrustFile { name: "fleet".into(), version: 1, issued: passes::now_s(), keys };
    std::fs::write(&fleet, serde_json::to_vec(&file).unwrap()).unwrap();
    let mut s = site_with(&[&["hold"]], folder, format!("fleet_keys = \"{}\"", fleet.display()));
    let (data, lists) = (s.gateway.data(), s.gateway.lists());
    std::fs::create_dir_all(&data).unwrap();
    // As it came with the enrolment.
    std::fs::rename(lists.join("trust.json"), data.join("trust.json")).unwrap();
    signed_hold(&central, &lists, 1, "{\"id\":\"P-0001\",\"facts\":{}}\n");
    s.gateway.start();
    let verdict = |s: &mut Site| s.scan(0, &s.card("P-0001"))["codes"][0].clone();
    assert_eq!(verdict(&mut s), "L_HOLD");
    let deep = format!("{{\"note\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    let unreadable = ["{\"note\":\"\\ud83d\"}", "{\"until_ms\":1e999}", &deep];
    for (n, facts) in unreadable.iter().enumerate() {
        let version = 2 + n as u64;
        signed_hold(&central, &lists, version, &format!("{{\"id\":\"P-0001\",\"facts\":{facts}}}\n"));
        wait::until("the refusal", LIMIT, || {
            let refused = s.status()["counters"]["list_refused_total"].as_u64();
            refused.filter(|refused| *refused > n as u64)
        });
        assert_eq!(verdict(&mut s), "L_HOLD", "{facts}");
        assert_eq!(s.list("hold")["version"], 1);
    }
    assert_eq!(s.barrier_moved(), 0, "the barrier opened");
    signed_hold(&central, &lists, 9, "{\"id\":\"P-0002\",\"facts\":{}}\n");
    wait::until("the next list", LIMIT, || (s.list("hold")["version"] == 9).then_some(()));
    assert_eq!(verdict(&mut s), "OK");
}

#[test]
fn a_damaged_page_of_a_list_holds_whom_it_concerns_and_the_list_comes_again() {
    let mut s = site(&[&["hold"], &[]]);
    let data = s.gateway.data();
    std::fs::create_dir_all(&data).unwrap();
    let ids: Vec<_> = (0..3_000).map(|n| format!("H-{n:04}")).collect();
    let file = edition(&data, "hold", &ids);
    let (page, size) = {
        let connection = Connection::open(&file).unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'entry'";
        let page: u32 = connection.query_row(root, [], |r| r.get(0)).unwrap();
        let size: u32 = connection.pragma_query_value(None, "page_size", |r| r.get(0)).unwrap();
        (page, size)
    };
    let damaged = std::fs::File::options().write(true).open(&file).unwrap();
    damaged.write_all_at(&vec![0x55; size as usize], u64::from((page - 1) * size)).unwrap();
    drop(damaged);
    s.gateway.start();
    let verdict = s.scan(0, &s.card("somebody"));
    assert_eq!((&verdict["outcome"], &verdict["codes"][0]), (&json!("HOLD"), &json!("X_STALE")));
    let verdict = s.scan(1, &s.card("somebody-else"));
    assert_eq!(verdict["outcome"], "ADMIT", "a lane that does not look into the list");
    let status = s.status();
    assert_eq!(status["counters"]["store_failed_total"].as_u64(), None, "{}", s.gateway.log());
    assert_eq!(s.list("hold")["damaged"], true, "{}", s.gateway.log());
    // The same edition, from where it came.
    let entries: Map<String, Value> = ids.iter().map(|id| (id.clone(), json!({}))).collect();
    passes::list(&s.gateway.lists(), "hold", entries);
    wait::until("the list", LIMIT, || (s.list("hold")["damaged"] == false).then_some(()));
    // A lane takes it up a moment later; until then it goes on holding.
    let mut ids = ids.iter();
    let verdict = wait::until("the list at the lane", LIMIT, || {
        let verdict = s.scan(0, &s.card(ids.next()?));
        assert_eq!(verdict["outcome"], "HOLD", "{verdict}");
        (verdict["codes"][0] != "X_STALE").then_some(verdict)
    });
    assert_eq!(verdict["codes"][0], "L_HOLD", "{verdict}");
    assert_eq!(s.scan(0, &s.card("nobody"))["outcome"], "ADMIT");
}

#[test]
fn lanes_open_while_a_list_is_still_being_read() {
    let mut s = site(&[&[]]);
    // A file whose end never comes: of all that takes long, it takes longest.
    let made = Command::new("mkfifo").arg(s.gateway.lists().join("hold.json")).status().unwrap();
    assert!(made.success());
    s.gateway.open();
    assert_eq!(s.scan(0, &s.card("somebody"))["outcome"], "ADMIT");
}

#[test]
fn nobody_else_on_the_machine_can_read_what_the_daemon_keeps() {
    let mut s = site(&[&["hold"]]);
    passes::list(&s.gateway.lists(), "hold", Map::new());
    s.gateway.start();
    assert_eq!(s.scan(0, &s.card("somebody"))["outcome"], "ADMIT");
    let data = s.gateway.data();
    let open = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o077;
    assert_eq!(open(&data), 0, "the folder");
    let editions = std::fs::read_dir(data.join("editions")).unwrap().flatten().map(|f| f.path());
    let lists: Vec<_> = editions.filter(|f| f.to_string_lossy().contains(".db")).collect();
    assert!(!lists.is_empty());
    let files = ["journal.db", "journal.db-wal", "journal.db-shm", "keys/gateway.pk8", "keys/subjects.json"];
    for file in files.iter().map(|name| data.join(name)).chain(lists) {
        assert_eq!(open(&file), 0, "{}", file.display());
    }
}

#[test]
fn a_list_of_an_earlier_program_holds_as_soon_as_its_ids_have_their_form() {
    let mut s = site(&[&["hold"]]);
    let data = s.gateway.data();
    std::fs::create_dir_all(&data).unwrap();
    let file = Connection::open(edition(&data, "hold", &["H-1X".to_owned()])).unwrap();
    file.execute_batch("UPDATE entry SET id = 'h-1x'; PRAGMA user_version = 0").unwrap();
    drop(file);
    s.gateway.start();
    // A lane takes it up a moment after its ids have their form; until then everybody is held.
    let mut strangers = 1..;
    let admitted = wait::until("the list at the lane", LIMIT, || {
        let verdict = s.scan(0, &s.card(&format!("H-2X-{}", strangers.next()?)));
        (verdict["codes"][0] != "X_STALE").then_some(verdict)
    });
    assert_eq!(admitted["outcome"], "ADMIT", "{}", s.gateway.log());
    assert_eq!(s.scan(0, &s.card("H-1X"))["codes"][0], "L_HOLD", "{}", s.gateway.log());
}
