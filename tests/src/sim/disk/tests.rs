use super::*;
use crate::sim::draw::Stream;
use rusqlite::Connection;

fn open(disk: &Disk) -> Connection {
    let db = Connection::open(disk.folder().join("journal.db")).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0;
                      CREATE TABLE IF NOT EXISTS n (n INTEGER PRIMARY KEY, filling BLOB)",
    )
    .unwrap();
    db
}

fn numbers(db: &Connection) -> (i64, i64) {
    db.query_row("SELECT count(*), coalesce(max(n), 0) FROM n", [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap()
}

/// Commits until the power goes; how many were durable for certain.
fn fill(db: &Connection, disk: &Disk) -> i64 {
    let (mut last, _) = numbers(db);
    loop {
        db.execute("INSERT INTO n (n, filling) VALUES (?1, randomblob(3000))", [last + 1]).unwrap();
        if disk.is_cut().unwrap() {
            return last;
        }
        last += 1;
        if last % 7 == 0 {
            db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        }
    }
}

#[test]
fn whenever_the_power_goes_what_was_committed_is_there_and_the_rest_whole_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path(), Draw::new(1, Stream::Disk)).unwrap();
    let mut lost_last = 0;
    for cut in 1..120 {
        let db = open(&disk);
        disk.cut_before(Some(cut));
        let durable = fill(&db, &disk);
        drop(db);
        disk.power_on().unwrap();
        let db = open(&disk);
        let (count, most) = numbers(&db);
        assert_eq!(count, most, "nothing is missing in between");
        assert!(
            most == durable || most == durable + 1,
            "cut {cut}: {durable} were durable, {most} are there"
        );
        lost_last += i64::from(most == durable);
        let sound: String = db.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
        assert_eq!(sound, "ok");
    }
    let counts = disk.counts();
    assert_eq!(counts.cuts, 119);
    assert!(counts.cuts_in_between > 60 && lost_last > 10 && lost_last < 119, "{counts:?}, {lost_last}");
}

#[test]
fn a_second_connection_sees_what_the_first_has_committed_and_waits_its_turn() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path(), Draw::new(1, Stream::Disk)).unwrap();
    let (one, two) = (open(&disk), open(&disk));
    one.execute("INSERT INTO n (n) VALUES (1)", []).unwrap();
    assert_eq!(numbers(&two), (1, 1));
    one.execute_batch("BEGIN IMMEDIATE; INSERT INTO n (n) VALUES (2)").unwrap();
    assert_eq!(numbers(&two), (1, 1));
    two.busy_timeout(std::time::Duration::ZERO).unwrap();
    two.execute("INSERT INTO n (n) VALUES (3)", []).unwrap_err();
    one.execute_batch("COMMIT").unwrap();
    two.execute("INSERT INTO n (n) VALUES (3)", []).unwrap();
    assert_eq!(numbers(&one), (3, 3));
}

#[test]
fn files_beside_the_journal_are_as_they_were_when_the_power_went() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path(), Draw::new(1, Stream::Disk)).unwrap();
    let there = |name: &str| std::fs::read_to_string(folder.path().join(name)).ok();
    std::fs::write(folder.path().join("epoch"), "1").unwrap();
    disk.cut().unwrap();
    std::fs::write(folder.path().join("epoch"), "2").unwrap();
    std::fs::write(folder.path().join("kept.log"), "new").unwrap();
    disk.power_on().unwrap();
    assert_eq!((there("epoch"), there("kept.log")), (Some("1".to_owned()), None));
}
