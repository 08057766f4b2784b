use super::super::tests::{engine, event, moment, parts, refuse_commits_after};
use super::super::upkeep::UNNAMED;
use super::super::{Job, ReplyTo};
use super::*;
use crate::enrol::Others;
use kakou_core::ids::{GatewayId, LaneId, VisitId};
use kakou_core::pass::trust::TrustList;
use kakou_core::records::Write;
use std::time::SystemTime;

#[test]
fn a_full_disk_is_relieved_by_a_few_folders_at_a_time_and_by_all_of_them_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(folder.path(), |_| {});
    let long_ago = SystemTime::now() - 2 * UNNAMED;
    for shard in 0..=u8::MAX {
        let path = engine.parts.photos.path(&format!("{shard:02x}{}", "0".repeat(62))).unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(path).unwrap().set_modified(long_ago).unwrap();
    }
    let (mut all, mut rounds) = (0, 0);
    while all < 256 {
        let taken = engine.relieve(false, &moment()).unwrap();
        assert!((1..=SHELVES as u64).contains(&taken), "{taken} in one round");
        (all, rounds) = (all + taken, rounds + 1);
    }
    assert_eq!(rounds, 256 / SHELVES);
}

#[test]
fn evidence_before_a_full_disk_is_covered_when_the_disk_has_room() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = engine(folder.path(), |_| {});
    let now = moment().now;
    engine.append(&[event("evidence")], &now).unwrap();
    engine.commit().unwrap();
    let evidence = engine.journal.head().0;
    // A disk that refuses the commit itself, once the reserve is given up.
    refuse_commits_after(&engine, "INSERT ON checkpoint");
    std::fs::write(folder.path().join(disk::RESERVE), "reserve").unwrap();
    engine.closed = Some(Code::X_STORAGE);
    engine.parts.retention.reserve_bytes = 1 << 60;
    engine.probe(&moment());
    assert!(engine.closed.is_some() && !folder.path().join(disk::RESERVE).exists());
    assert_eq!(engine.journal.head().0, evidence, "that could not be written");
    engine.journal.connection().execute_batch("DROP TRIGGER refuse").unwrap();
    engine.parts.retention.reserve_bytes = 0;
    engine.probe(&moment());
    assert!(engine.closed.is_none());
    engine.append(&[event("audit")], &now).unwrap();
    engine.commit().unwrap();
    let covered = "SELECT max(seq) FROM checkpoint";
    let covered: Option<i64> = engine.journal.connection().query_row(covered, [], |r| r.get(0)).unwrap();
    let covered = covered.unwrap_or(0).cast_unsigned();
    assert!(covered >= evidence, "evidence {evidence} can be changed, a head is signed up to {covered}");
}

#[test]
fn a_damaged_journal_is_salvaged_by_the_start_that_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    let mut first = engine(data, |_| {});
    let now = moment().now;
    let lane = LaneId::new("lane-1").unwrap();
    let by = kakou_core::records::Redemption { lane, visit: VisitId(7), at_ms: now.wall_ms };
    first.journal.begin().unwrap();
    let used = Write::Redeem { pass_id: "kid:used".into(), shared: None, by, ends_ms: None };
    first.journal.write(&used, &now).unwrap();
    first.commit().unwrap();
    drop(first);
    std::fs::remove_file(data.join("kept.log")).unwrap();
    quarantine::condemn(data);
    // Nothing can be written in the place of the file with the epoch.
    std::fs::create_dir(data.join("epoch.new")).unwrap();
    let start = || Engine::open(parts(data, TrustList::default()));
    assert!(start().is_err());
    std::fs::remove_dir(data.join("epoch.new")).unwrap();
    for (said, counted) in [("SetAside", true), ("Good", false)] {
        let mut engine = start().unwrap();
        let counters = engine.start(&now).counters;
        assert!(engine.journal.redeemed("kid:used").unwrap().is_some());
        let sql = "SELECT CAST(body AS TEXT) ->> '$.data.journal' FROM event ORDER BY seq DESC LIMIT 1";
        let found: String = engine.journal.connection().query_row(sql, [], |r| r.get(0)).unwrap();
        assert_eq!(found, said);
        assert_eq!(counters.contains(&("journal_set_aside_total", 1)), counted, "{said}");
    }
}

#[test]
fn lanes_wait_for_other_gateways_as_the_journal_says_where_a_release_could_not_be_stored() {
    let folder = tempfile::tempdir().unwrap();
    let other = GatewayId::new("gw-2").unwrap();
    let others = Others { enrolled: 1, replaces: true, gateways: vec![other.clone()] };
    let mut engine = engine(folder.path(), |parts| parts.others = Some(others));
    assert_eq!(engine.waits_for, std::slice::from_ref(&other));
    refuse_commits_after(&engine, "UPDATE ON asked");
    let now = moment().now;
    let job = Job::ReleaseUses(event("audit"), ReplyTo(0));
    let lost = engine.handle(&now, &mut std::iter::once((now, job)));
    assert_eq!((lost.stored, lost.closed), (Vec::new(), Some(Some(Code::X_STORAGE))));
    assert_eq!(engine.waits_for, [other]);
}
