use super::super::tests::{engine, event, moment};
use super::*;
use kakou_core::ids::{GatewayId, LaneId, VisitId};
use kakou_core::lane::visit::{Stage, Visit};
use kakou_core::records::Write;
use kakou_core::time::Quality;
use kakou_wire::peers::Used;
use std::sync::Arc;

const DAY_MS: i64 = 86_400_000;

#[test]
fn what_is_kept_beside_the_journal_stays_as_small_as_what_counts() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(folder.path(), |_| {});
    let (from, lane) = (GatewayId::new("gw-2").unwrap(), LaneId::new("lane-1").unwrap());
    let now = moment().now;
    for earlier in 0..12_000 {
        engine.journal.begin().unwrap();
        // A gateway that tells an earlier use each time needs no more rows.
        let pass = format!("kid:pass-{}", earlier % 10);
        let used = Used { pass, lane: lane.clone(), visit: 1, at_ms: Some(1_000_000_000 - earlier) };
        engine.journal.peer(&from, &used, &now).unwrap();
        if earlier % 1_000 == 999 {
            engine.journal.commit().unwrap();
            engine.tend(&moment());
        }
    }
    (0..4).for_each(|_| engine.tend(&moment()));
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
    let now = moment().now;
    for _ in 0..24 {
        engine.append(&vec![event("audit"); 1_000], &now).unwrap();
        for (class, head) in Class::ALL.into_iter().zip(engine.journal.streams()) {
            engine.journal.advance(class, None, Some(head)).unwrap();
        }
        engine.commit().unwrap();
        engine.journal.wal_checkpoint().unwrap();
    }
    for _ in 0..11 {
        engine.tend(&moment());
        engine.quiet = true;
        engine.wal_checkpoint();
    }
    let left: i64 =
        engine.journal.connection().query_row("SELECT count(*) FROM event", [], |r| r.get(0)).unwrap();
    assert!(left < 5_000, "{left} events are left");
    let log = std::fs::metadata(folder.path().join("journal.db-wal")).unwrap().len();
    assert!(log < 12 << 20, "the log has {log} bytes");
}

#[test]
fn an_unconfirmed_clock_forgets_no_visit() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(folder.path(), |_| {});
    let now = moment().now;
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
    let ahead = |quality| Moment { now: Now { wall_ms: a_year_ahead, quality, ..now }, ..moment() };
    for quality in [Quality::Unsynced, Quality::Floor] {
        engine.keep_limits(&ahead(quality)).unwrap();
        assert_eq!(kept(&engine), before, "{quality:?}");
    }
    engine.keep_limits(&ahead(Quality::Synced)).unwrap();
    assert_eq!(kept(&engine), (0, 0));
}

#[test]
fn a_round_of_forgetting_is_bounded_whoever_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(folder.path(), |_| {});
    let (now, lane) = (moment().now, LaneId::new("lane-1").unwrap());
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
