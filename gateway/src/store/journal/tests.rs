use super::*;
use crate::store::{number, time};
use crate::upstream::peers;
use kakou_core::ids::{GatewayId, SiteId, VisitId};
use kakou_core::lane::visit::{Stage, Visit};
use kakou_core::records::Redemption;
use kakou_core::time::Quality;
use kakou_wire::peers::Used;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const PASSES: u64 = 400;
const FLOOR_MS: i64 = 1_795_000_000_000;

/// Who writes the journals of tests.
pub(in crate::store) fn author() -> Author {
    Author {
        site: SiteId::new("test").unwrap(),
        gateway: GatewayId::new("gw-1").unwrap(),
        boot: "boot".into(),
    }
}

fn open(data: &Path) -> (Journal, JournalFound) {
    let (journal, found, _) = Journal::open(data, author()).unwrap();
    (journal, found)
}

fn now() -> Now {
    Now { mono_ms: 1, wall_ms: Some(FLOOR_MS), quality: Quality::Synced }
}

fn event(kind: &str, class: Class) -> NewEvent {
    NewEvent {
        kind: kind.into(),
        class,
        lane: None,
        visit: None,
        audience: Vec::new(),
        data: serde_json::json!({ "filling": "x".repeat(200) }),
    }
}

/// A journal in which passes and seals were used up, by several transactions.
fn used(data: &Path) {
    let (mut journal, _) = open(data);
    let lane = LaneId::new("lane-1").unwrap();
    for n in 0..PASSES {
        journal.begin().unwrap();
        let by = Redemption { lane: lane.clone(), visit: VisitId(n), at_ms: Some(FLOOR_MS) };
        let pass_id = format!("kid:pass-{n:04}");
        journal
            .write(&Write::Redeem { pass_id, shared: None, by: by.clone(), ends_ms: None }, &now())
            .unwrap();
        journal.write(&Write::Seal { number: format!("LN{n:07}"), by }, &now()).unwrap();
        journal.append(&event("transaction", Class::Verdict), &now()).unwrap();
        if n % 50 == 0 {
            journal.keep_floor(FLOOR_MS + n.cast_signed()).unwrap();
        }
        journal.commit().unwrap();
        if n == PASSES / 2 {
            journal.wal_checkpoint().unwrap();
        }
    }
    let from = GatewayId::new("gw-2").unwrap();
    let told = Used { pass: "kid:theirs".into(), lane, visit: 1, at_ms: Some(FLOOR_MS) };
    journal.begin().unwrap();
    journal.peer(&from, &told, &now()).unwrap();
    journal.commit().unwrap();
}

/// Overwrites pages of the journal with what a bad card gives back.
fn damage(data: &Path, pages: impl Fn(u64) -> bool) {
    let path = path(data);
    let file = File::options().write(true).open(&path).unwrap();
    let count = file.metadata().unwrap().len() / 4096;
    assert!(count > 30, "{count} pages");
    for page in (0..count).filter(|page| pages(*page)) {
        file.write_all_at(&[0x55; 4096], page * 4096).unwrap();
    }
}

#[test]
fn used_passes_and_seals_and_the_floor_of_time_survive_a_damaged_journal() {
    type Pages = fn(u64) -> bool;
    let cases: [(&str, Pages); 4] = [
        ("all of it", |_| true),
        ("the head", |page| page == 0),
        ("every third page", |page| page % 3 == 1),
        ("all but the head", |page| page > 0),
    ];
    for (what, pages) in cases {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        used(data);
        damage(data, pages);
        let (journal, found) = open(data);
        assert!(matches!(found, JournalFound::Quarantined(_)), "{what}: {found:?}");
        for n in 0..PASSES {
            let pass = format!("kid:pass-{n:04}");
            let by = journal.redeemed(&pass).unwrap();
            assert_eq!(by.map(|by| by.visit), Some(VisitId(n)), "{what}: {pass} is good again");
            assert!(journal.seal_used(&format!("LN{n:07}")).unwrap(), "{what}: seal {n} is good again");
        }
        assert!(journal.redeemed("kid:theirs").unwrap().is_some(), "{what}: the use at another gateway");
        let floor = time::floor(journal.connection()).unwrap();
        assert_eq!(floor, Some(FLOOR_MS + 350), "{what}");
        assert!(journal.redeemed("kid:other").unwrap().is_none());
        // And once more: what was saved is saved again.
        drop(journal);
        std::fs::write(path(data), [0x55; 8192]).unwrap();
        drop(std::fs::remove_file(data.join("journal.db-wal")));
        let (journal, _) = open(data);
        assert!(journal.redeemed("kid:pass-0007").unwrap().is_some(), "{what}: the second time");
    }
}

#[test]
fn numbers_of_a_stream_are_not_given_twice_when_its_tail_was_shed_and_purged() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    journal.begin().unwrap();
    for _ in 0..3 {
        journal.append(&event("device", Class::Health), &now()).unwrap();
    }
    crate::store::retention::shed(journal.connection()).unwrap();
    journal.append(&event("transaction", Class::Verdict), &now()).unwrap();
    journal.advance(Class::Verdict, Some(1), Some(1)).unwrap();
    let delivered = crate::store::retention::Delivered::Receipted;
    assert_eq!(crate::store::retention::purge(journal.connection(), delivered, i64::MAX).unwrap(), 4);
    journal.commit().unwrap();
    drop(journal);
    let (mut journal, found) = open(folder.path());
    assert_eq!(found, JournalFound::Good);
    journal.begin().unwrap();
    assert_eq!(journal.append(&event("device", Class::Health), &now()).unwrap().stream_seq, 4);
}

const DAY: i64 = 86_400_000;

/// A visit of a card without a signature that was held.
fn visit(id: u64, stage: Stage) -> Visit {
    let mut visit = Visit::begin(VisitId(id), "key".into(), &now());
    visit.stage = stage;
    let pass = serde_json::json!({ "format": "opaque", "kind": "opaque", "kid": "", "id": "ID-4711",
        "subject": "ID-4711", "name": null, "exp": null, "facts": { "id": "ID-4711", "plate": "辽P12345" } });
    visit.pass = Some(serde_json::from_value(pass).unwrap());
    visit.facts.insert(
        "pass".into(),
        serde_json::json!({ "id": "ID-4711", "name": "欧阳震华", "plate": "辽P12345" }),
    );
    visit
}

/// What is kept of visits, as the gateway reads it.
fn recent(data: &Path) -> Vec<String> {
    let (file, key) = (reader(data).unwrap(), RowKey::of(data).unwrap());
    let mut select = file.prepare("SELECT visit FROM recent ORDER BY id").unwrap();
    let rows = select.query_map([], |r| r.get::<_, Vec<u8>>(0)).unwrap();
    let text = |row: Vec<u8>| key.read::<serde_json::Value>(RowOf::Visit, &row).unwrap().to_string();
    rows.map(|row| text(row.unwrap())).collect()
}

#[test]
fn who_it_was_is_forgotten_when_a_visit_cannot_go_on_and_the_visit_after_two_weeks() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    let lane = LaneId::new("lane-1").unwrap();
    let in_transaction = |journal: &mut Journal, work: &mut dyn FnMut(&mut Journal)| {
        journal.begin().unwrap();
        work(journal);
        journal.commit().unwrap();
    };
    in_transaction(&mut journal, &mut |journal| {
        for (id, stage) in [(1, Stage::Done), (2, Stage::Parked { resume: 3 }), (3, Stage::Abandoned)] {
            let visit = Arc::new(visit(id, stage));
            journal.write(&Write::Archive { lane: lane.clone(), visit }, &now()).unwrap();
        }
    });
    let holds = |text: &str| recent(folder.path()).iter().map(|v| v.contains(text)).collect::<Vec<_>>();
    assert_eq!(holds("ID-4711"), [false, true, false], "an override can take up the one that is held");
    let files = ["journal.db", "journal.db-wal"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
    let clear = |text: &str| files.iter().any(|file| file.windows(text.len()).any(|w| w == text.as_bytes()));
    assert!(!clear("ID-4711") && clear("key"), "whose it is lies nowhere in clear");
    assert_eq!(holds("辽P12345"), [true, true, true], "staff see what was on the barrier");
    let mut later = |ms: i64| {
        in_transaction(&mut journal, &mut |j| {
            j.close_visits(FLOOR_MS + ms).unwrap();
        })
    };
    later(DAY - 1);
    assert_eq!(holds("ID-4711"), [false, true, false]);
    later(DAY + 1);
    assert_eq!(holds("ID-4711"), [false, false, false]);
    later(14 * DAY - 1);
    assert_eq!(recent(folder.path()).len(), 3);
    later(14 * DAY + 1);
    assert_eq!(recent(folder.path()).len(), 0);
}

#[test]
fn visits_that_an_earlier_version_has_kept_are_cleaned_when_the_journal_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let file = Connection::open(path(folder.path())).unwrap();
    let sql = "ALTER TABLE recent DROP COLUMN at_ms; ALTER TABLE recent DROP COLUMN open;
               DROP TABLE stream_head; DROP TABLE undated";
    file.execute_batch(sql).unwrap();
    for (id, stage) in [(1, Stage::Done), (2, Stage::Parked { resume: 3 })] {
        let state = serde_json::to_vec(&visit(id, stage)).unwrap();
        let sql = "INSERT INTO recent (lane, id, visit) VALUES ('lane-1', ?1, ?2)";
        file.execute(sql, params![id.cast_signed(), state]).unwrap();
    }
    drop(file);
    let (_, found) = open(folder.path());
    assert_eq!(found, JournalFound::Good);
    let kept = recent(folder.path());
    assert_eq!(kept.len(), 2);
    for told in ["ID-4711", "欧阳震华"] {
        assert!(kept.iter().all(|v| !v.contains(told)), "{told}: {kept:?}");
    }
}

#[test]
fn what_can_still_be_read_of_a_damaged_journal_is_not_good_again_where_nothing_is_kept_beside_it() {
    let saved = |pages: &dyn Fn(u64) -> bool| {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path();
        used(data);
        std::fs::remove_file(data.join("kept.log")).unwrap();
        damage(data, pages);
        let (journal, found) = open(data);
        assert!(matches!(found, JournalFound::Quarantined(_)), "{found:?}");
        let passes = (0..PASSES).filter(|n| journal.redeemed(&format!("kid:pass-{n:04}")).unwrap().is_some());
        let seals = (0..PASSES).filter(|n| journal.seal_used(&format!("LN{n:07}")).unwrap());
        passes.count() + seals.count()
    };
    let all = 2 * usize::try_from(PASSES).unwrap();
    let known: Vec<usize> = (1..5).map(|rest| saved(&|page| page % 5 == rest)).collect();
    assert!(known.iter().all(|some| *some > all / 4), "{known:?} of {all} are known");
    assert!(known.iter().any(|some| *some < all), "the damage has cost nothing: {known:?}");
    assert_eq!(saved(&|page| page > 0), 0, "nothing is left to be read");
}

#[test]
fn a_copy_that_cannot_be_read_keeps_no_journal_from_opening() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    used(data);
    let copy = data.join("kept.log");
    std::fs::remove_file(&copy).unwrap();
    // What the kernel gives for it is an error, as from a bad sector.
    std::fs::create_dir(&copy).unwrap();
    let (journal, found) = open(data);
    assert_eq!(found, JournalFound::Good);
    drop(journal);
    // And it is there again.
    damage(data, |_| true);
    let (journal, found) = open(data);
    assert!(matches!(found, JournalFound::Quarantined(_)), "{found:?}");
    assert!(journal.redeemed("kid:pass-0399").unwrap().is_some());
    assert!(journal.seal_used("LN0000399").unwrap());
    assert_eq!(time::floor(journal.connection()).unwrap(), Some(FLOOR_MS + 350));
}

#[test]
fn a_pass_used_before_ids_had_one_form_stays_used() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path();
    drop(open(data));
    let file = Connection::open(path(data)).unwrap();
    let sql = "INSERT INTO redemption (pass_id, lane, visit, at_ms) VALUES (?1, 'lane-1', 1, 5)";
    for typed in [":t-0042@1-2", ":t-0043", "kid:t-0044"] {
        file.execute(sql, [typed]).unwrap();
    }
    drop(file);
    for damaged in [false, true] {
        if damaged {
            std::fs::write(path(data), [0x55; 8192]).unwrap();
        }
        let (journal, _) = open(data);
        for (asked, used) in
            [(":T-0042@1-2", true), (":T-0043", true), ("kid:t-0044", true), ("kid:T-0044", false)]
        {
            assert_eq!(journal.redeemed(asked).unwrap().is_some(), used, "{asked}, damaged: {damaged}");
        }
    }
}

#[test]
fn verdicts_of_before_are_dated_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(folder.path());
    let lane = Some(LaneId::new("lane-1").unwrap());
    journal.begin().unwrap();
    for (mono_ms, quality) in [(5_000, Quality::Unsynced), (6_000, Quality::Synced)] {
        let now = Now { mono_ms, wall_ms: Some(1_000), quality };
        let verdict = NewEvent { lane: lane.clone(), ..event("transaction", Class::Verdict) };
        journal.append(&verdict, &now).unwrap();
    }
    journal.commit().unwrap();
    drop(journal);
    let file = Connection::open(path(folder.path())).unwrap();
    file.execute_batch("DROP TABLE undated").unwrap();
    drop(file);
    let (mut journal, _) = open(folder.path());
    time::keep_offset(journal.connection(), "boot", FLOOR_MS).unwrap();
    for _ in 0..3 {
        journal.begin().unwrap();
        time::date(journal.connection()).unwrap();
        journal.commit().unwrap();
    }
    let mut select = journal.connection().prepare("SELECT at_ms FROM place ORDER BY seq").unwrap();
    let times = select.query_map([], |r| r.get(0)).unwrap();
    assert_eq!(times.map(Result::unwrap).collect::<Vec<i64>>(), [FLOOR_MS + 5_000, 1_000]);
}

#[test]
fn a_seal_that_was_used_at_a_peer_is_used_here_and_the_peer_hears_of_those_used_here() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ((mut one, _), (mut two, _)) = (open(one.path()), open(two.path()));
    let lane = LaneId::new("lane-1").unwrap();
    let by = Redemption { lane: lane.clone(), visit: VisitId(7), at_ms: Some(FLOOR_MS) };
    one.begin().unwrap();
    one.write(&Write::Seal { number: "LN0045678".into(), by }, &now()).unwrap();
    one.commit().unwrap();
    let told = peers::untold(one.connection()).unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(!two.seal_used("LN0045678").unwrap());
    two.begin().unwrap();
    for used in &told {
        assert!(!two.peer(&GatewayId::new("gw-1").unwrap(), used, &now()).unwrap());
    }
    two.commit().unwrap();
    assert!(two.seal_used("LN0045678").unwrap() && !two.seal_used("LN0045679").unwrap());
    // Apart, both have used another one: each records it once.
    let by = Redemption { lane, visit: VisitId(8), at_ms: Some(FLOOR_MS + 1) };
    for journal in [&mut one, &mut two] {
        journal.begin().unwrap();
        journal.write(&Write::Seal { number: "LN0045680".into(), by: by.clone() }, &now()).unwrap();
        journal.commit().unwrap();
    }
    let used = peers::untold(one.connection()).unwrap().into_iter().find(|u| u.pass.ends_with("80")).unwrap();
    two.begin().unwrap();
    let mut told = || two.peer(&GatewayId::new("gw-9").unwrap(), &used, &now()).unwrap();
    assert_eq!([told(), told()], [true, false]);
}

#[test]
fn indexes_that_are_up_to_date_are_not_written_at_a_start() {
    let data = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(data.path());
    journal.begin().unwrap();
    journal.append(&event("transaction", Class::Verdict), &now()).unwrap();
    journal.commit().unwrap();
    drop(journal);
    let reach = || number(&reader(data.path()).unwrap(), "indexed").unwrap();
    assert_ne!(reach(), Some(1), "the power went before the indexes were written");
    // What a power cut has left is indexed by the first start behind it, and by no other.
    let (mut journal, _) = open(data.path());
    assert_eq!(reach(), Some(1));
    let before = journal.connection.total_changes();
    journal.open_indexes().unwrap();
    assert_eq!(journal.connection.total_changes(), before);
}

#[test]
fn a_statement_is_made_once_whatever_is_bound_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(folder.path());
    let reads = reader(folder.path()).unwrap();
    for connection in [journal.connection(), &reads] {
        let sql = "SELECT seq FROM event WHERE class = ?1 AND stream_seq > ?2 AND shed = 0
                   ORDER BY stream_seq LIMIT ?3";
        let mut select = connection.prepare(sql).unwrap();
        for n in 0..4 {
            assert!(select.query([n, n, n]).unwrap().next().unwrap().is_none());
        }
        assert_eq!(select.get_status(rusqlite::StatementStatus::RePrepare), 0);
    }
}
