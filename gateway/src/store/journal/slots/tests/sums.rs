//! Sums over random schedules: acts, folds, messages that come late, twice, in any order or not at all, and boxes that
//! take the place of others. Whatever happens, all gateways come to the sum of all acts.

use super::*;
use kakou_core::time::WallMs;

const DAY_MS: i64 = 86_400_000;
const KEEP_MS: i64 = 7 * DAY_MS;
/// A count is heard by everybody within so many days: see [`kakou_core::register::fold`].
const HEARD_MS: i64 = 5 * DAY_MS;
const SCHEDULES: usize = 1_000;
const STEPS: usize = 14;

/// An act, as somebody wrote it down beside the gateways.
struct Entry {
    at: Stamp,
    amount: i64,
    counted: bool,
}

/// What lies there: the latest count, and what was added since.
fn truth(entries: &[Entry]) -> i64 {
    let mut all: Vec<&Entry> = entries.iter().collect();
    all.sort_by(|a, b| a.at.cmp(&b.at));
    let from = all.iter().rposition(|entry| entry.counted).unwrap_or(0);
    all[from..].iter().map(|entry| entry.amount).sum()
}

fn key() -> [String; 1] {
    [format!("{:032}", 1)]
}

fn sum(gateway: &Gateway) -> i64 {
    let slots = of_keys(&gateway.store, "stock", &key()).unwrap();
    summed(slots).iter().filter_map(|slot| Some(slot.put.as_ref()?.amount)).sum()
}

fn rows(gateway: &Gateway) -> Vec<Slot> {
    some(&gateway.store, "ORDER BY register, key, holder, part", &[]).unwrap()
}

impl Gateway {
    /// An act on the sum; what was written down of it.
    fn add(&mut self, visit: u64, at_ms: WallMs, amount: i64, counted: bool) -> Entry {
        let Change::Put(what) = put(false) else { unreachable!("a put is a put") };
        let what = Change::Put(Box::new(Put { amount, counted, data: serde_json::Map::new(), ..*what }));
        let part = format!("{}/{visit}/4/{at_ms}", self.id);
        let write = SlotWrite { part, ..change("stock", (1, 1), (visit, at_ms), what) };
        let slot = super::super::change(&self.store, &self.id, &write).unwrap();
        Entry { at: slot.put.unwrap().at, amount, counted }
    }
}

/// Everybody hears everything that was said and not heard yet, until nobody says anything new.
fn settle(all: &mut [Gateway], schedule: usize) {
    let mut rounds = 0;
    while send(all) > 0 || all.iter().any(|gateway| !gateway.inbox.is_empty()) {
        for gateway in &mut *all {
            let slots = std::mem::take(&mut gateway.inbox);
            hear(gateway, slots);
        }
        rounds += 1;
        assert!(rounds < 50, "schedule {schedule}: they never have done");
    }
}

#[test]
fn a_sum_stays_what_it_is_whatever_is_folded_told_twice_late_or_lost_and_whichever_box_is_replaced() {
    let mut seed = 20_261_201_u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    let (mut folded, mut replaced, mut lost) = (0, 0, 0);
    for schedule in 0..SCHEDULES {
        let mut all: Vec<Gateway> = (1..4).map(Gateway::new).collect();
        let mut visits = [0_u64; 3];
        let (mut entries, mut now_ms) = (Vec::new(), NOW_MS);
        for _ in 0..STEPS {
            now_ms += i64::try_from(random(97)).unwrap() * DAY_MS / 24;
            // A count that is about to be old is heard.
            for gateway in &mut all {
                let due = |slot: &Slot| {
                    slot.put.as_ref().is_some_and(|put| put.counted && put.at.ms < now_ms - HEARD_MS)
                };
                let (heard, rest) = std::mem::take(&mut gateway.inbox).into_iter().partition(due);
                gateway.inbox = rest;
                hear(gateway, heard);
            }
            let at = random(3);
            visits[at] += 1;
            // Now and then a clock is behind: what is done is done behind what was folded.
            let clock_ms = if random(10) == 0 { now_ms - 9 * DAY_MS } else { now_ms };
            let amount = i64::try_from(random(100)).unwrap() - 40;
            let counted = clock_ms == now_ms && random(8) == 0;
            entries.push(all[at].add(visits[at], clock_ms, amount, counted));
            // A count is said at once.
            if counted || random(3) == 0 {
                send(&mut all);
            }
            let to = random(3);
            for _ in 0..random(3) {
                let count = all[to].inbox.len();
                if count == 0 {
                    break;
                }
                let which = random(count);
                let slot = all[to].inbox[which].clone();
                let counted = slot.put.as_ref().is_some_and(|put| put.counted);
                match random(6) {
                    0 => {}
                    // Lost: it is said again when its gateway says hello.
                    1 if !counted => {
                        all[to].inbox.remove(which);
                        lost += 1;
                        continue;
                    }
                    _ => drop(all[to].inbox.remove(which)),
                }
                hear(&mut all[to], vec![slot]);
            }
            if random(4) == 0 {
                let at = random(3);
                folded += fold_sums(&all[at].store, &all[at].id, now_ms - KEEP_MS).unwrap().1;
            }
            if random(30) == 0 {
                // A box takes the place of another: it hears everything before it folds anything.
                for gateway in &all {
                    hello(&gateway.store, &gateway.id).unwrap();
                }
                settle(&mut all, schedule);
                let at = random(3);
                let mut fresh = Gateway::new(i64::try_from(at).unwrap() + 1);
                let mut known = rows(&all[(at + 1) % 3]);
                known.extend(rows(&all[(at + 2) % 3]));
                while !known.is_empty() {
                    let slot = known.remove(random(known.len()));
                    hear(&mut fresh, vec![slot]);
                }
                visits[at] = 0;
                all[at] = fresh;
                replaced += 1;
            }
        }
        for gateway in &all {
            hello(&gateway.store, &gateway.id).unwrap();
        }
        settle(&mut all, schedule);
        let wanted = truth(&entries);
        for gateway in &all {
            assert_eq!(sum(gateway), wanted, "schedule {schedule}: {}", gateway.id);
            assert_eq!(rows(gateway), rows(&all[0]), "schedule {schedule}: {}", gateway.id);
        }
        // When all of it is old, a row of each gateway is left.
        for gateway in &all {
            fold_sums(&gateway.store, &gateway.id, now_ms + DAY_MS).unwrap();
        }
        settle(&mut all, schedule);
        for gateway in &all {
            assert_eq!(sum(gateway), wanted, "schedule {schedule}: {} when all is folded", gateway.id);
            assert!(rows(gateway).len() <= 3, "schedule {schedule}: {} rows", rows(gateway).len());
        }
    }
    assert!(folded > 500 && replaced > 200 && lost > 200, "{folded} {replaced} {lost}");
}

#[test]
fn acts_that_were_folded_do_not_come_back_with_a_damaged_journal_or_from_a_gateway_that_was_away() {
    let data = tempfile::tempdir().unwrap();
    let told = {
        let (mut journal, _) = open(data.path());
        let mut told = Vec::new();
        for (visit, amount) in (1..).zip([40, -5, 7]) {
            let Change::Put(what) = put(false) else { unreachable!("a put is a put") };
            let part = format!("gw-1/{visit}/4/{NOW_MS}");
            let what = Change::Put(Box::new(Put { amount, ..*what }));
            let write = SlotWrite { part, ..change("stock", (1, 1), (visit, NOW_MS), what) };
            journal.begin().unwrap();
            journal.write(&Write::Slot(Box::new(write)), &now()).unwrap();
            journal.commit().unwrap();
            told.extend(untold(journal.connection(), 10).unwrap());
        }
        journal.begin().unwrap();
        assert_eq!(journal.fold_sums(NOW_MS + 1).unwrap(), 3);
        journal.commit().unwrap();
        told
    };
    let left = |journal: &Journal| of_keys(journal.connection(), "stock", &key()).unwrap();
    damage(data.path(), |_| true);
    let (mut journal, found) = open(data.path());
    assert!(matches!(found, JournalFound::Quarantined(_)), "{found:?}");
    let two = GatewayId::new("gw-2").unwrap();
    for slot in &told {
        journal.begin().unwrap();
        assert!(!journal.peer_slot(&two, slot, &now()).unwrap());
        journal.commit().unwrap();
    }
    let slots = left(&journal);
    assert_eq!(slots.len(), 1, "{slots:?}");
    assert_eq!((slots[0].part.as_str(), slots[0].put.as_ref().unwrap().amount), ("gw-1/fold", 42));
    let untold = untold(journal.connection(), 10).unwrap();
    assert_eq!(untold.len(), 1, "the others hear of the fold");
}

#[test]
fn staff_who_end_a_sum_begin_it_anew_also_when_its_acts_were_folded() {
    let mut gateway = Gateway::new(1);
    for visit in 1..4 {
        gateway.add(visit, NOW_MS, 10, false);
    }
    fold_sums(&gateway.store, &gateway.id, NOW_MS + 1).unwrap();
    let fold = rows(&gateway).swap_remove(0);
    let end = Change::End(Ended::Corrected, None);
    let write = SlotWrite { part: fold.part, ..change("stock", (1, 1), (0, NOW_MS + DAY_MS), end) };
    super::super::change(&gateway.store, &gateway.id, &write).unwrap();
    assert_eq!(sum(&gateway), 0);
    for visit in 5..7 {
        gateway.add(visit, NOW_MS + 2 * DAY_MS, 1, false);
    }
    for before in [1, 3] {
        fold_sums(&gateway.store, &gateway.id, NOW_MS + before * DAY_MS).unwrap();
        assert_eq!(sum(&gateway), 2, "{before}");
    }
    assert_eq!(rows(&gateway).len(), 1);
}
