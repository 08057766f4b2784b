mod sums;

use super::*;
use crate::store::journal::tests::author;
use crate::store::journal::{JournalFound, path};
use kakou_core::ids::{LaneId, VisitId};
use kakou_core::records::{Redemption, Write};
use kakou_core::register::{Change, Ended, Put, Stamp};
use kakou_core::time::Quality;
use std::fs::{File, remove_file};
use std::os::unix::fs::FileExt;
use std::path::Path;

const NOW_MS: i64 = 1_795_000_000_000;
const SLOTS: u64 = 300;

fn open(data: &Path) -> (Journal, JournalFound) {
    let (journal, found, _) = Journal::open(data, author()).unwrap();
    (journal, found)
}

fn now() -> Now {
    Now { mono_ms: 1, wall_ms: Some(NOW_MS), quality: Quality::Synced }
}

fn put(alone: bool) -> Change {
    Change::Put(Box::new(Put {
        at: Stamp::default(),
        lane: LaneId::new("lane-1").unwrap(),
        since_ms: None,
        until_ms: None,
        expires: false,
        amount: 0,
        counted: false,
        from: None,
        data: json!({ "note": "x".repeat(200) }).as_object().unwrap().clone(),
        alone,
        alarm: None,
    }))
}

fn change(
    register: &str,
    (key, holder): (u64, u64),
    (visit, at_ms): (u64, i64),
    change: Change,
) -> SlotWrite {
    SlotWrite {
        register: register.into(),
        key: format!("{key:032}"),
        holder: format!("{holder:032}"),
        part: String::new(),
        keep_ms: 1_000,
        shared: true,
        by: Redemption { lane: LaneId::new("lane-1").unwrap(), visit: VisitId(visit), at_ms: Some(at_ms) },
        change,
    }
}

/// A journal with slots, every third of which was given back.
fn filled(data: &Path) {
    let (mut journal, _) = open(data);
    for n in 0..SLOTS {
        journal.begin().unwrap();
        let write =
            |what, after| Write::Slot(Box::new(change("room", (n, n), (n + 1, NOW_MS + after), what)));
        journal.write(&write(put(true), 0), &now()).unwrap();
        if n % 3 == 0 {
            journal.write(&write(Change::End(Ended::GivenBack, None), 1), &now()).unwrap();
        }
        journal.commit().unwrap();
    }
    journal.wal_checkpoint().unwrap();
}

fn damage(data: &Path, pages: impl Fn(u64) -> bool) {
    let path = path(data);
    let file = File::options().write(true).open(&path).unwrap();
    let count = file.metadata().unwrap().len() / 4096;
    for page in (0..count).filter(|page| pages(*page)) {
        file.write_all_at(&[0x55; 4096], page * 4096).unwrap();
    }
    for end in ["-wal", "-shm"] {
        drop(remove_file(format!("{}{end}", path.display())));
    }
}

/// How many slots are known as they were.
fn known(journal: &Journal) -> usize {
    let held = |n: &u64| {
        let slots = of_keys(journal.connection(), "room", &[format!("{n:032}")]).unwrap();
        slots.first().is_some_and(|slot| {
            slot.is_open() != n.is_multiple_of(3) && slot.is_past() == n.is_multiple_of(3)
        })
    };
    (0..SLOTS).filter(held).count()
}

#[test]
fn slots_survive_a_damaged_journal() {
    type Pages = fn(u64) -> bool;
    let cases: [(&str, Pages); 2] = [("all of it", |_| true), ("each fourth page", |n| n % 4 == 3)];
    for (what, pages) in cases {
        let data = tempfile::tempdir().unwrap();
        filled(data.path());
        damage(data.path(), pages);
        let (journal, found) = open(data.path());
        assert!(matches!(found, JournalFound::Quarantined(_)), "{what}: {found:?}");
        assert_eq!(known(&journal), usize::try_from(SLOTS).unwrap(), "{what}");
        assert_eq!(
            untold(journal.connection(), 1_000).unwrap().len(),
            300,
            "{what}: the others hear of them again"
        );
        drop(journal);
        let (journal, found) = open(data.path());
        assert!(!matches!(found, JournalFound::Fresh), "{found:?}");
        assert_eq!(known(&journal), usize::try_from(SLOTS).unwrap(), "{what}: at the next start");
    }
}

#[test]
fn what_can_still_be_read_of_a_damaged_journal_is_known_where_nothing_is_kept_beside_it() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path());
    remove_file(data.path().join("kept.log")).unwrap();
    damage(data.path(), |page| page == 40);
    let (journal, _) = open(data.path());
    assert!(known(&journal) > usize::try_from(SLOTS).unwrap() / 2, "{}", known(&journal));
}

#[test]
fn slots_survive_a_lost_copy_of_what_is_kept() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path());
    remove_file(data.path().join("kept.log")).unwrap();
    let (journal, _) = open(data.path());
    assert_eq!(known(&journal), usize::try_from(SLOTS).unwrap());
    drop(journal);
    damage(data.path(), |_| true);
    assert_eq!(known(&open(data.path()).0), usize::try_from(SLOTS).unwrap(), "the copy was made again");
}

#[test]
fn a_journal_of_format_2_gets_room_for_slots_and_keeps_what_it_has() {
    let data = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(data.path());
    journal.begin().unwrap();
    let by = Redemption { lane: LaneId::new("lane-1").unwrap(), visit: VisitId(7), at_ms: Some(NOW_MS) };
    journal.write(&Write::Seal { number: "LN0045678".into(), by }, &now()).unwrap();
    journal.commit().unwrap();
    journal.connection().execute_batch("DROP TABLE slot; PRAGMA user_version = 2;").unwrap();
    drop(journal);
    let (mut journal, found) = open(data.path());
    assert_eq!(found, JournalFound::Good);
    assert!(journal.seal_used("LN0045678").unwrap());
    journal.begin().unwrap();
    journal.write(&Write::Slot(Box::new(change("room", (1, 1), (8, NOW_MS), put(true)))), &now()).unwrap();
    journal.commit().unwrap();
    assert_eq!(of_keys(journal.connection(), "room", &[format!("{:032}", 1)]).unwrap().len(), 1);
}

#[test]
fn where_the_tables_stand_fits_the_first_page_of_the_file() {
    const LEAF: u8 = 0x0d;
    let data = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(data.path());
    journal.wal_checkpoint().unwrap();
    drop(journal);
    let first = std::fs::read(path(data.path())).unwrap();
    assert_eq!(first[100], LEAF, "damage to another page would cost all tables");
}

#[test]
fn what_was_over_for_long_enough_is_forgotten_and_what_is_held_never() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path());
    let (journal, _) = open(data.path());
    assert_eq!(forget(journal.connection(), NOW_MS + 1_000).unwrap(), 0);
    assert_eq!(forget(journal.connection(), NOW_MS + 1_002).unwrap(), SLOTS / 3);
    assert_eq!(forget(journal.connection(), i64::MAX).unwrap(), 0);
    let held: i64 =
        journal.connection().query_row("SELECT count(*) FROM slot WHERE held = 1", [], |r| r.get(0)).unwrap();
    assert_eq!(held.cast_unsigned(), SLOTS - SLOTS / 3);
}

#[test]
fn a_count_is_read_from_its_index_alone() {
    let data = tempfile::tempdir().unwrap();
    let (journal, _) = open(data.path());
    let sql =
        "EXPLAIN QUERY PLAN SELECT count(*) FROM slot WHERE register = 'a' AND key IN ('b') AND held = 1";
    let plan: String = journal.connection().query_row(sql, [], |r| r.get(3)).unwrap();
    assert!(plan.contains("COVERING INDEX slot_key"), "{plan}");
}

/// A gateway of the site, as far as registers go, and what has come to it and was not taken yet.
struct Gateway {
    id: GatewayId,
    store: Connection,
    inbox: Vec<Slot>,
    skew_ms: i64,
    /// The slots that lost as it has put on record, each by its name and the place of its put.
    lost: Vec<(SlotName, Option<Stamp>)>,
}

impl Gateway {
    fn new(n: i64) -> Self {
        let store = Connection::open_in_memory().unwrap();
        store.execute_batch(SCHEMA).unwrap();
        Self {
            id: GatewayId::new(format!("gw-{n}")).unwrap(),
            store,
            inbox: Vec::new(),
            skew_ms: 3 * n,
            lost: Vec::new(),
        }
    }

    fn act(&mut self, register: &str, name: (u64, u64), visit: u64, at_ms: i64, takes: bool) {
        let (key, holder) = (vec![format!("{:032}", name.0)], vec![format!("{:032}", name.1)]);
        let seen = seen(&self.store, register, (&key, &holder), Asks::ALL, Some(at_ms)).unwrap();
        let mine = seen.mine.as_ref().is_some_and(Slot::is_open);
        let alone = register == "companion";
        if !takes && alone && seen.held > 0 && !mine {
            return;
        }
        let what = if takes { Change::End(Ended::GivenBack, None) } else { put(alone) };
        super::change(&self.store, &self.id, &change(register, name, (visit, at_ms + self.skew_ms), what))
            .unwrap();
    }
}

/// Everybody hears what nobody has told yet.
fn send(all: &mut [Gateway]) -> usize {
    let mut sent = 0;
    for from in 0..all.len() {
        for slot in untold(&all[from].store, 100).unwrap() {
            told(&all[from].store, &slot).unwrap();
            for (_, to) in all.iter_mut().enumerate().filter(|(at, _)| *at != from) {
                to.inbox.push(slot.clone());
                sent += 1;
            }
        }
    }
    sent
}

/// Takes what has come, and puts on record what lost by it.
fn hear(gateway: &mut Gateway, slots: Vec<Slot>) {
    let teller = GatewayId::new("gw-9").unwrap();
    for slot in &slots {
        let (_, lost) = take(&gateway.store, (&gateway.id, &teller), slot).unwrap();
        gateway.lost.extend(lost.iter().map(|(late, _)| (late.name(), late.put_at().cloned())));
    }
}

#[test]
fn gateways_that_hear_of_each_other_late_twice_or_in_any_order_come_to_the_same_registers() {
    let mut seed = 20_220_524_u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let (mut conflicts, mut again) = (0, 0);
    for schedule in 0..1_000 {
        let mut all: Vec<Gateway> = (1..4).map(Gateway::new).collect();
        for step in 0..14 {
            let at = random(3);
            let register = ["companion", "inside"][random(2)];
            let name = (random(2) as u64, random(4) as u64);
            let takes = random(3) == 0;
            all[at].act(register, name, step + 1, NOW_MS + 10 * step.cast_signed(), takes);
            if random(3) == 0 {
                send(&mut all);
            }
            let to = random(3);
            let count = all[to].inbox.len();
            if count > 0 && random(2) == 0 {
                // One of them, now and then not for the last time.
                let slot = all[to].inbox[random(count)].clone();
                if random(4) != 0 {
                    let at = all[to].inbox.iter().position(|s| *s == slot).unwrap();
                    all[to].inbox.remove(at);
                }
                hear(&mut all[to], vec![slot]);
            }
        }
        let mut rounds = 0;
        while send(&mut all) > 0 || all.iter().any(|gateway| !gateway.inbox.is_empty()) {
            for gateway in &mut all {
                let slots = std::mem::take(&mut gateway.inbox);
                hear(gateway, slots);
            }
            rounds += 1;
            assert!(rounds < 50, "schedule {schedule}: they never have done");
        }
        let known = |gateway: &Gateway| some(&gateway.store, "ORDER BY register, key, holder", &[]).unwrap();
        for gateway in &all[1..] {
            assert_eq!(known(gateway), known(&all[0]), "schedule {schedule}: {}", gateway.id);
        }
        for key in 0..2 {
            let keys = [format!("{key:032}")];
            let slots = of_keys(&all[0].store, "companion", &keys).unwrap();
            let held = slots.iter().filter(|slot| slot.is_open()).count();
            assert!(held <= 1, "schedule {schedule}: {held} have one key");
            // Whoever has put one of two that were in conflict has it on record; twice only where the one that counts
            // changed meanwhile.
            for gateway in &all {
                for (late, _) in heard_conflicts(&[], &slots, gateway.id.as_str()) {
                    let name = (late.name(), late.put_at().cloned());
                    let times = gateway.lost.iter().filter(|lost| **lost == name).count();
                    assert!(times > 0, "schedule {schedule}: {} has not heard of {late:?}", gateway.id);
                    conflicts += 1;
                    again += times - 1;
                }
            }
            for register in ["companion", "inside"] {
                let count =
                    seen(&all[0].store, register, (&keys, &[String::new()]), Asks::ALL, None).unwrap().held;
                let slots = of_keys(&all[0].store, register, &keys).unwrap();
                let sum = slots.iter().filter(|slot| slot.is_open()).count();
                assert_eq!(usize::try_from(count).unwrap(), sum, "schedule {schedule}: the count is the sum");
            }
        }
    }
    assert!(conflicts > 100 && again < conflicts / 50, "{conflicts}, {again} of them again");
}

#[test]
fn a_gateway_that_tells_too_many_slots_loses_its_own_words_and_what_it_gave_back_first() {
    let store = Connection::open_in_memory().unwrap();
    store.execute_batch(SCHEMA).unwrap();
    let rows = |teller: &str, from: i64, count: i64, gone: &str| {
        format!(
            "WITH RECURSIVE n (i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {from} + {count} - 1)
             INSERT INTO slot (register, key, holder, part, held, told, body, teller, gone_ms)
               SELECT 'room', i, i, '', 1, 1, '', {teller}, {gone} FROM n;"
        )
    };
    let sql = rows("'gw-2'", 0, MOST, "NULL")
        + &rows("'gw-2'", MOST, 10, "5000 + i")
        + &rows("NULL", 2 * MOST, 20, "NULL")
        + &rows("'gw-3'", 3 * MOST, 20, "4000");
    store.execute_batch(&sql).unwrap();
    assert_eq!(forget(&store, 1).unwrap(), 10);
    let count = |which: &str| -> i64 {
        store.query_row(&format!("SELECT count(*) FROM slot WHERE {which}"), [], |r| r.get(0)).unwrap()
    };
    assert_eq!(count("teller = 'gw-2' AND gone_ms IS NULL"), MOST, "what is held stays");
    assert_eq!((count("teller = 'gw-3'"), count("teller IS NULL")), (20, 20));
}

#[test]
fn a_journal_of_this_format_that_does_not_know_who_has_told_of_a_slot_learns_it() {
    let store = Connection::open_in_memory().unwrap();
    let before =
        SCHEMA.replace(" teller,", "").replace("(gone_ms, teller)", "(gone_ms) WHERE gone_ms NOTNULL");
    assert!(!before.contains("teller"));
    store.execute_batch(&before).unwrap();
    prepare(&store).unwrap();
    prepare(&store).unwrap();
    let slot = Slot::after(None, &change("room", (1, 1), (1, NOW_MS), put(false)), "gw-2");
    let [one, two] = ["gw-1", "gw-2"].map(|id| GatewayId::new(id).unwrap());
    take(&store, (&one, &two), &slot).unwrap();
    // Told again, or changed here: it stays whose word it was.
    take(&store, (&one, &GatewayId::new("gw-3").unwrap()), &slot).unwrap();
    let end = change("room", (1, 1), (2, NOW_MS + 1), Change::End(Ended::GivenBack, None));
    super::change(&store, &GatewayId::new("gw-1").unwrap(), &end).unwrap();
    let teller: String = store.query_row("SELECT teller FROM slot", [], |r| r.get(0)).unwrap();
    assert_eq!(teller, "gw-2");
}
