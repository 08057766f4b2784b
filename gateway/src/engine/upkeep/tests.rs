use super::super::tests::parts;
use super::*;
use crate::metrics::Metrics;
use kakou_core::ids::{GatewayId, LaneId, VisitId};
use kakou_core::lane::visit::{Stage, Visit};
use kakou_core::pass::trust::TrustList;
use kakou_core::records::Write;
use kakou_core::time::Quality;
use kakou_wire::peers::Used;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

const DAY_MS: i64 = 86_400_000;

fn engine(data: &Path, change: impl FnOnce(&mut Parts)) -> Engine {
    let mut parts = parts(data, &Arc::default(), TrustList::default());
    change(&mut parts);
    Engine::open(parts).unwrap().0
}

fn event(kind: &str) -> NewEvent {
    NewEvent {
        kind: kind.into(),
        class: Class::Verdict,
        lane: None,
        visit: None,
        audience: Vec::new(),
        data: json!({ "filling": "x".repeat(600) }),
    }
}

#[test]
fn a_full_disk_is_relieved_by_a_few_folders_at_a_time_and_by_all_of_them_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(folder.path(), |_| {});
    let long_ago = SystemTime::now() - 2 * UNNAMED;
    for shelf in 0..=u8::MAX {
        let path = engine.parts.photos.path(&format!("{shelf:02x}{}", "0".repeat(62))).unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(path).unwrap().set_modified(long_ago).unwrap();
    }
    let (mut all, mut rounds) = (0, 0);
    while all < 256 {
        let taken = engine.relieve(false).unwrap();
        assert!((1..=SHELVES as u64).contains(&taken), "{taken} in one round");
        (all, rounds) = (all + taken, rounds + 1);
    }
    assert_eq!(rounds, 256 / SHELVES);
}

#[test]
fn what_is_kept_beside_the_journal_stays_as_small_as_what_counts() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(folder.path(), |_| {});
    let (from, lane) = (GatewayId::new("gw-2").unwrap(), LaneId::new("lane-1").unwrap());
    let now = engine.parts.clock.now();
    for earlier in 0..12_000 {
        engine.journal.begin().unwrap();
        // A gateway that tells an earlier use each time needs no more rows.
        let pass = format!("kid:pass-{}", earlier % 10);
        let used = Used { pass, lane: lane.clone(), visit: 1, at_ms: Some(1_000_000_000 - earlier) };
        engine.journal.peer(&from, &used, &now).unwrap();
        if earlier % 1_000 == 999 {
            engine.journal.commit().unwrap();
            engine.tend();
        }
    }
    (0..4).for_each(|_| engine.tend());
    drop(engine);
    let kept = std::fs::read_to_string(folder.path().join("kept.log")).unwrap();
    let lines = kept.lines().count();
    assert!(lines < 5_000, "{lines} lines for ten passes");
    for pass in 0..10 {
        let last = format!("\"at_ms\":{}", 1_000_000_000 - (12_000 - 10 + pass));
        assert!(kept.contains(&last), "pass {pass} is not kept as it was told last");
    }
}

#[test]
fn a_purge_does_not_let_the_log_grow() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(folder.path(), |parts| parts.retention.max_bytes = 0);
    let now = engine.parts.clock.now();
    for _ in 0..24 {
        engine.append(&vec![event("audit"); 1_000], &now).unwrap();
        for (class, head) in Class::ALL.into_iter().zip(engine.journal.streams()) {
            engine.journal.advance(class, None, Some(head)).unwrap();
        }
        engine.commit().unwrap();
        engine.journal.fold().unwrap();
    }
    for _ in 0..11 {
        engine.tend();
        engine.fold(true);
    }
    let left: i64 =
        engine.journal.connection().query_row("SELECT count(*) FROM event", [], |r| r.get(0)).unwrap();
    assert!(left < 5_000, "{left} events are left");
    let log = std::fs::metadata(folder.path().join("journal.db-wal")).unwrap().len();
    assert!(log < 12 << 20, "the log has {log} bytes");
}

#[test]
fn evidence_before_a_full_disk_is_covered_when_the_disk_has_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(folder.path(), |_| {});
    let now = engine.parts.clock.now();
    engine.append(&[event("evidence")], &now).unwrap();
    engine.commit().unwrap();
    let evidence = engine.journal.head().0;
    // A disk that refuses the commit itself, once the reserve is given up.
    let refuse = "PRAGMA foreign_keys = ON; CREATE TABLE parent (id INTEGER PRIMARY KEY);
        CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER refuse AFTER INSERT ON checkpoint BEGIN INSERT INTO child VALUES (1); END";
    engine.journal.connection().execute_batch(refuse).unwrap();
    std::fs::write(folder.path().join(RESERVE), "reserve").unwrap();
    engine.closed = Some(Code::X_STORAGE);
    engine.parts.retention.reserve_bytes = 1 << 60;
    engine.probe();
    assert!(engine.closed.is_some() && !folder.path().join(RESERVE).exists());
    assert_eq!(engine.journal.head().0, evidence, "that could not be written");
    engine.journal.connection().execute_batch("DROP TRIGGER refuse").unwrap();
    engine.parts.retention.reserve_bytes = 0;
    engine.probe();
    assert!(engine.closed.is_none());
    engine.append(&[event("audit")], &now).unwrap();
    engine.commit().unwrap();
    let covered = "SELECT max(seq) FROM checkpoint";
    let covered: Option<i64> = engine.journal.connection().query_row(covered, [], |r| r.get(0)).unwrap();
    let covered = covered.unwrap_or(0).cast_unsigned();
    assert!(covered >= evidence, "evidence {evidence} can be changed, a head is signed up to {covered}");
}

#[test]
fn an_unconfirmed_clock_forgets_no_visit() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(folder.path(), |_| {});
    let now = engine.parts.clock.now();
    let mut visit = Visit::begin(VisitId(1), "key".into(), &now);
    visit.stage = Stage::Parked { resume: 0 };
    let lane = LaneId::new("lane-1").unwrap();
    engine.journal.begin().unwrap();
    engine.journal.write(&Write::Archive { lane, visit: Arc::new(visit) }, &now).unwrap();
    engine.append(&[event("audit")], &now).unwrap();
    for (class, head) in Class::ALL.into_iter().zip(engine.journal.streams()) {
        engine.journal.advance(class, None, Some(head)).unwrap();
    }
    engine.commit().unwrap();
    let kept = |engine: &Engine| -> (i64, i64) {
        let sql = "SELECT (SELECT count(*) FROM recent WHERE open = 1), (SELECT count(*) FROM event)";
        engine.journal.connection().query_row(sql, [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap()
    };
    let before = kept(&engine);
    assert_eq!(before.0, 1);
    let a_year_ahead = now.wall_ms.map(|ms| ms + 365 * DAY_MS);
    for quality in [Quality::Unsynced, Quality::Floor] {
        engine.keep_limits(&Now { wall_ms: a_year_ahead, quality, ..now }).unwrap();
        assert_eq!(kept(&engine), before, "{quality:?}");
    }
    engine.keep_limits(&Now { wall_ms: a_year_ahead, quality: Quality::Synced, ..now }).unwrap();
    assert_eq!(kept(&engine), (0, 0));
}

#[test]
fn a_damaged_journal_is_salvaged_by_the_start_that_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut first = engine(data, |_| {});
    let now = first.parts.clock.now();
    let lane = LaneId::new("lane-1").unwrap();
    let by = kakou_core::records::Redemption { lane, visit: VisitId(7), at_ms: now.wall_ms };
    first.journal.begin().unwrap();
    let used = Write::Redeem { pass_id: "kid:used".into(), shared: None, by, ends_ms: None };
    first.journal.write(&used, &now).unwrap();
    first.commit().unwrap();
    drop(first);
    std::fs::remove_file(data.join("kept.log")).unwrap();
    set_aside::condemn(data);
    // Nothing can be written in the place of the file with the epoch.
    std::fs::create_dir(data.join("epoch.new")).unwrap();
    let start = |metrics: &Arc<Metrics>| Engine::open(parts(data, metrics, TrustList::default()));
    assert!(start(&Arc::default()).is_err());
    std::fs::remove_dir(data.join("epoch.new")).unwrap();
    for (said, count) in [("SetAside", 1), ("Good", 0)] {
        let metrics = Arc::default();
        let (engine, _) = start(&metrics).unwrap();
        assert!(engine.journal.redeemed("kid:used").unwrap().is_some());
        let sql = "SELECT CAST(body AS TEXT) ->> '$.data.journal' FROM event ORDER BY seq DESC LIMIT 1";
        let found: String = engine.journal.connection().query_row(sql, [], |r| r.get(0)).unwrap();
        assert_eq!(found, said);
        assert_eq!(metrics.plain().get("journal_set_aside_total").copied().unwrap_or(0), count, "{said}");
    }
}

#[test]
fn a_round_of_forgetting_is_bounded_whoever_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(folder.path(), |_| {});
    let (now, lane) = (engine.parts.clock.now(), LaneId::new("lane-1").unwrap());
    engine.journal.begin().unwrap();
    for gateway in 0..5 {
        let from = GatewayId::new(format!("gw-{gateway}")).unwrap();
        for pass in 0..1_000 {
            let pass = format!("kid:{gateway}-{pass}");
            let used = Used { pass, lane: lane.clone(), visit: 1, at_ms: now.wall_ms };
            engine.journal.peer(&from, &used, &now).unwrap();
        }
    }
    engine.journal.commit().unwrap();
    let later = now.wall_ms.unwrap() + 1_000 * DAY_MS;
    let rounds = std::iter::from_fn(|| {
        let forgotten = peers::forget(engine.journal.connection(), later).unwrap();
        (forgotten > 0).then_some(forgotten)
    });
    assert_eq!(rounds.collect::<Vec<u64>>(), [2_000, 2_000, 1_000]);
}
