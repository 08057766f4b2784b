use super::stream::MAX_ACK_RANGES;
use super::*;
use crate::delivery::Rows;
use crate::evidence::Hash;
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: Moment = Moment { mono: Duration::ZERO, wall_ms: 1_000_000_000 };

/// A journal with these verdicts: age in milliseconds, and whether the body was shed.
fn journal(events: &[(i64, bool)]) -> Rows {
    let verdicts: Vec<_> = events.iter().map(|(age, shed)| (Class::Verdict, *age, *shed)).collect();
    journal_of(&verdicts)
}

/// The same of any streams.
fn journal_of(events: &[(Class, i64, bool)]) -> Rows {
    let rows = Rows::default();
    for (class, age, shed) in events {
        let number = rows.push(*class, NOW.wall_ms - age, |n| format!("{{{n}}}").into_bytes());
        if *shed {
            rows.shed(*class, number);
        }
    }
    rows
}

fn heads(events: usize) -> [u64; 4] {
    [events as u64, 0, 0, 0]
}

/// The events in a message.
fn numbers(batch: &Batch) -> Vec<u64> {
    let text = String::from_utf8(batch.body.clone()).unwrap();
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
}

#[test]
fn what_happens_now_goes_before_the_backlog_and_the_backlog_is_late() {
    let mut events = vec![(3_600_000, false); 40];
    events.extend([(1_000, false); 3]);
    let mut flight = Flight::new(journal(&events), &Positions::default(), 10, 100, false);
    flight.begin(100, &heads(43), NOW.wall_ms).unwrap();
    let mut seen = Vec::new();
    while let Some(batch) = flight.next(&heads(43), 10_000, NOW).unwrap() {
        seen.push((batch.late, numbers(&batch)));
        flight.sent(&batch, NOW.mono);
    }
    assert_eq!(seen[0], (false, vec![41, 42, 43]));
    assert!(seen[1..].iter().all(|(late, _)| *late));
    let late: Vec<u64> = seen[1..].iter().flat_map(|(_, n)| n.clone()).collect();
    assert_eq!(late, (1..=40).collect::<Vec<u64>>());
    // Acknowledged out of order: the end moves only over what has no gap.
    for (i, pkid) in (1..).zip(0..5_u16) {
        flight.departed(pkid);
        assert_eq!(i, pkid + 1);
    }
    flight.acked(0, NOW.mono);
    assert_eq!(flight.acked_through(Class::Verdict), 0);
    for pkid in [2, 1, 3, 4] {
        flight.acked(pkid, NOW.mono);
    }
    assert_eq!(flight.acked_through(Class::Verdict), 43);
}

#[test]
fn the_backlogs_of_all_streams_take_turns_and_a_gap_that_one_still_fills_misses_no_receipt() {
    let old = |class| std::iter::repeat_n((class, 3_600_000, false), 400);
    let mut events: Vec<_> = old(Class::Verdict).chain(old(Class::Health)).collect();
    events.push((Class::Health, 10, false));
    let heads = [400, 0, 0, 401].map(|n: u64| n);
    let (verdict, health) = (usize::from(Class::Verdict.number()), usize::from(Class::Health.number()));
    assert_eq!((verdict, health), (0, 3));
    let mut flight = Flight::new(journal_of(&events), &Positions::default(), 10, 100, true);
    flight.begin(100, &heads, NOW.wall_ms).unwrap();
    let next = |flight: &mut Flight<Rows>, pkid: u16| {
        let batch = flight.next(&heads, 10_000, NOW).unwrap().unwrap();
        flight.sent(&batch, NOW.mono);
        flight.departed(pkid);
        flight.acked(pkid, NOW.mono);
        (batch.class, batch.late)
    };
    assert_eq!(next(&mut flight, 1), (Class::Health, false));
    // What is live is acknowledged and cannot be receipted: what lies before it was not sent.
    assert_eq!(flight.unreceipted(), [false; 4]);
    let turns: Vec<_> = (2..20).map(|pkid| next(&mut flight, pkid).0).collect();
    assert_eq!(turns.iter().filter(|c| **c == Class::Health).count(), 2, "{turns:?}");
    assert_eq!(flight.unreceipted(), [true, false, false, true]);
}

#[test]
fn a_link_that_is_slower_than_the_lanes_does_not_put_old_before_new() {
    let events: Vec<(i64, bool)> = (0..30).map(|i| (if i < 20 { 50_000 } else { 0 }, false)).collect();
    let mut flight = Flight::new(journal(&events), &Positions::default(), 2, 100, false);
    flight.begin(100, &heads(20), NOW.wall_ms).unwrap();
    let first = flight.next(&heads(20), 10_000, NOW).unwrap().unwrap();
    assert_eq!((first.late, numbers(&first)), (false, vec![1, 2]));
    flight.sent(&first, NOW.mono);
    // A minute later these have become old: one more goes out, then what is new.
    let later = Moment { wall_ms: NOW.wall_ms + 30_000, ..NOW };
    let second = flight.next(&heads(30), 10_000, later).unwrap().unwrap();
    assert_eq!((second.late, numbers(&second)), (true, vec![3, 4]));
    flight.sent(&second, NOW.mono);
    let third = flight.next(&heads(30), 10_000, later).unwrap().unwrap();
    assert_eq!((third.late, numbers(&third)), (false, vec![21, 22]));
}

proptest! {
    /// Whatever is acknowledged, lost and begun anew in whatever order: every event that has a
    /// body goes out, nothing that was acknowledged goes out again, and the end never passes an
    /// event that was not acknowledged.
    #[test]
    fn everything_goes_out_and_nothing_acknowledged_goes_twice(
        shed in prop::collection::vec(any::<bool>(), 1..60),
        split in 0_usize..60,
        batch in 1_usize..7,
        moves in prop::collection::vec((0_u8..4, any::<u8>()), 0..200),
    ) {
        let events: Vec<(i64, bool)> =
            shed.iter().enumerate().map(|(i, s)| (if i < split { 3_600_000 } else { 10 }, *s)).collect();
        let heads = heads(events.len());
        let mut flight = Flight::new(journal(&events), &Positions::default(), batch, 8, false);
        flight.begin(8, &heads, NOW.wall_ms).unwrap();
        let mut acked = std::collections::BTreeSet::new();
        let mut way: Vec<(u16, Vec<u64>)> = Vec::new();
        let mut pkid = 0_u16;
        let finish = std::iter::repeat_n([(0_u8, 0_u8), (1, 0)], 200).flatten();
        for (what, which) in moves.into_iter().chain(finish) {
            match what {
                0 => if let Some(batch) = flight.next(&heads, 10_000, NOW).unwrap() {
                    let inside = numbers(&batch);
                    for n in &inside {
                        prop_assert!(!acked.contains(n), "{n} again");
                    }
                    flight.sent(&batch, NOW.mono);
                    pkid += 1;
                    flight.departed(pkid);
                    way.push((pkid, inside));
                },
                1 | 2 if !way.is_empty() => {
                    let (pkid, inside) = way.remove(usize::from(which) % way.len());
                    flight.acked(pkid, NOW.mono);
                    acked.extend(inside);
                }
                3 => {
                    way.clear();
                    flight.begin(8, &heads, NOW.wall_ms).unwrap();
                }
                _ => {}
            }
            let through = flight.acked_through(Class::Verdict);
            for (n, gone) in (1_u64..).zip(&shed) {
                prop_assert!(n > through || *gone || acked.contains(&n), "{n} passed by {through}");
            }
        }
        let bodies = shed.iter().filter(|s| !**s).count();
        prop_assert_eq!(acked.len(), bodies);
        prop_assert_eq!(flight.acked_through(Class::Verdict), shed.len() as u64);
    }
}

#[test]
fn an_event_that_is_larger_than_the_broker_takes_stops_no_stream_and_is_named_in_its_place() {
    let c = journal(&[(10, false); 5]);
    let large = json!({ "id": "gw-1/1/3", "type": "kakou.evidence.v1", "source": "/kakou/s/gw-1", "stream": "verdict",
        "streamseq": 3, "data": { "text": "x".repeat(5_000) } });
    c.replace(Class::Verdict, 3, large.to_string().into_bytes());
    let mut flight = Flight::new(c, &Positions::default(), 10, 100, false);
    flight.begin(100, &heads(5), NOW.wall_ms).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = flight.next(&heads(5), 1_000, NOW).unwrap() {
        assert!(batch.body.len() <= 1_000);
        flight.sent(&batch, NOW.mono);
        batches.push(batch);
    }
    let ranges: Vec<_> = batches.iter().map(|b| (b.first, b.last, b.too_large.is_some())).collect();
    assert_eq!(ranges, [(1, 2, false), (3, 3, true), (4, 5, false)]);
    let told: Value = serde_json::from_slice(&batches[1].body).unwrap();
    assert_eq!((told["id"].as_str(), told["streamseq"].as_u64()), (Some("gw-1/1/3"), Some(3)));
    assert_eq!(told["type"], "kakou.event_too_large.v1");
    assert_eq!(told["data"]["type"], "kakou.evidence.v1");
    assert_eq!(told["data"]["sha256"], Hash::of(large.to_string().as_bytes()).hex());
    for pkid in 1..=3 {
        flight.departed(pkid);
        flight.acked(pkid, NOW.mono);
    }
    assert_eq!(flight.acked_through(Class::Verdict), 5);
}

/// Sends everything that goes out now, and has it acknowledged; gives the events.
fn drain(flight: &mut Flight<Rows>, heads: &[u64; 4], pkid: &mut u16) -> Vec<u64> {
    let mut seen = Vec::new();
    while let Some(batch) = flight.next(heads, 10_000, NOW).unwrap() {
        seen.extend(numbers(&batch));
        flight.sent(&batch, NOW.mono);
        *pkid = pkid.wrapping_add(1).max(1);
        flight.departed(*pkid);
        flight.acked(*pkid, NOW.mono);
    }
    seen
}

#[test]
fn a_central_side_that_is_slow_gets_one_batch_again_and_is_waited_for_longer_each_time() {
    let events = vec![(10, false); 1_000];
    let heads = heads(1_000);
    let mut flight = Flight::new(journal(&events), &Positions::default(), 10, 100, true);
    flight.begin(100, &heads, NOW.wall_ms).unwrap();
    let mut pkid = 0;
    assert_eq!(drain(&mut flight, &heads, &mut pkid).len(), 1_000);
    let mut patience = flight.patience(Class::Verdict);
    assert_eq!(patience, RECEIPT_PATIENCE);
    for _ in 0..4 {
        flight.probe(Class::Verdict);
        assert_eq!(drain(&mut flight, &heads, &mut pkid), (1..=10).collect::<Vec<u64>>());
        assert_eq!(flight.patience(Class::Verdict), 2 * patience);
        patience = flight.patience(Class::Verdict);
    }
    (0..40).for_each(|_| flight.probe(Class::Verdict));
    assert_eq!(flight.patience(Class::Verdict), RECEIPT_PATIENCE_MAX);
    assert_eq!(flight.acked_through(Class::Verdict), 1_000, "nothing is forgotten");
    // It was only slow: everything is receipted, and nothing is sent again.
    flight.receipted(Class::Verdict, 1_000);
    assert_eq!(drain(&mut flight, &heads, &mut pkid), Vec::<u64>::new());
    assert_eq!((flight.patience(Class::Verdict), flight.unreceipted()), (RECEIPT_PATIENCE, [false; 4]));
}

#[test]
fn a_receipt_that_is_no_news_makes_no_probe_come_sooner() {
    let events = vec![(10, false); 1_000];
    let heads = heads(1_000);
    let mut flight = Flight::new(journal(&events), &Positions::default(), 10, 100, true);
    flight.begin(100, &heads, NOW.wall_ms).unwrap();
    let mut pkid = 0;
    drain(&mut flight, &heads, &mut pkid);
    assert!(flight.receipted(Class::Verdict, 7));
    let mut patience = flight.patience(Class::Verdict);
    for _ in 0..4 {
        flight.probe(Class::Verdict);
        drain(&mut flight, &heads, &mut pkid);
        // It answers each time, and never has more.
        assert!(!flight.receipted(Class::Verdict, 7));
        assert_eq!(flight.patience(Class::Verdict), 2 * patience);
        patience = flight.patience(Class::Verdict);
    }
    assert!(flight.receipted(Class::Verdict, 8));
    assert_eq!(flight.patience(Class::Verdict), RECEIPT_PATIENCE, "news is news");
}

#[test]
fn what_a_broker_acknowledged_and_lost_comes_again_with_the_receipts_of_the_probe() {
    let events = vec![(10, false); 2_000];
    let heads = heads(2_000);
    let mut flight = Flight::new(journal(&events), &Positions::default(), 10, 100, true);
    flight.begin(100, &heads, NOW.wall_ms).unwrap();
    let mut pkid = 0;
    drain(&mut flight, &heads, &mut pkid);
    flight.probe(Class::Verdict);
    let (mut through, mut answers) = (0, 0);
    while through < 2_000 {
        let again = drain(&mut flight, &heads, &mut pkid);
        assert_eq!(again.first(), Some(&(through + 1)), "behind the receipt");
        through = *again.last().unwrap();
        answers += 1;
        assert!(flight.receipted(Class::Verdict, through));
    }
    assert!(answers < 15, "{answers} portions: they grow");
    assert_eq!(flight.unreceipted(), [false; 4]);
}

#[test]
fn acknowledgements_in_any_order_are_all_remembered_or_asked_for_again() {
    const EVENTS: usize = 4_000;
    let events = vec![(10, false); EVENTS];
    let heads = heads(EVENTS);
    // Where the broker's word is the proof, nothing else repairs what is forgotten.
    let mut flight = Flight::new(journal(&events), &Positions::default(), 1, 512, false);
    flight.begin(512, &heads, NOW.wall_ms).unwrap();
    let mut pkid = 0_u16;
    while flight.acked_through(Class::Verdict) < EVENTS as u64 {
        let mut way = Vec::new();
        while let Some(batch) = flight.next(&heads, 10_000, NOW).unwrap() {
            flight.sent(&batch, NOW.mono);
            pkid += 1;
            flight.departed(pkid);
            way.push(pkid);
        }
        assert!(!way.is_empty(), "stuck at {}", flight.acked_through(Class::Verdict));
        // Every other one from the far end, then those between.
        let (even, odd): (Vec<u16>, Vec<u16>) = way.iter().rev().partition(|p| *p % 2 == 0);
        for pkid in even.into_iter().chain(odd) {
            flight.acked(pkid, NOW.mono);
        }
    }
}

proptest! {
    // Each case is thousands of steps, all of whose ranges are compared.
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Thousands of acknowledgements in any order: what is known stays known, nothing is known that was not
    /// acknowledged, ranges that touch are one, and what found no room is named to be sent again.
    #[test]
    fn no_acknowledgement_is_forgotten_and_none_is_made_up(seed in any::<u64>(), events in 1_000_u64..6_000) {
        let mut order: Vec<u64> = (1..=events).collect();
        let mut random = seed | 1;
        for i in (1..order.len()).rev() {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            order.swap(i, usize::try_from(random >> 33).unwrap() % (i + 1));
        }
        let mut stream = Stream::default();
        let mut told = vec![false; usize::try_from(events).unwrap() + 2];
        let mut rounds = 0;
        while stream.acked < events {
            for n in order.drain(..) {
                let before = (stream.acked, stream.ack_ranges.clone());
                stream.acknowledge(n, n);
                told[usize::try_from(n).unwrap()] = true;
                prop_assert!(stream.acked >= before.0);
                for (a, b) in before.1 {
                    prop_assert!(b <= stream.acked || stream.ack_range(a).is_some_and(|end| end >= b), "{a} to {b} is forgotten");
                }
                prop_assert!(stream.ack_ranges.len() <= MAX_ACK_RANGES);
                let known = n <= stream.acked || stream.ack_range(n).is_some();
                let named = stream.refused.is_some_and(|(a, b)| (a..=b).contains(&n));
                prop_assert!(known || named, "{n} is neither known nor sent again");
            }
            for n in 1..=stream.acked {
                prop_assert!(told[usize::try_from(n).unwrap()]);
            }
            let mut end = stream.acked;
            for (a, b) in &stream.ack_ranges {
                prop_assert!(*a > end + 1 && b >= a, "{a} touches {end}");
                end = *b;
            }
            // What was refused is sent again, and acknowledged again.
            if let Some((a, b)) = stream.refused.take() {
                order.extend((a..=b).filter(|n| *n > stream.acked && stream.ack_range(*n).is_none()));
            }
            rounds += 1;
            prop_assert!(rounds < 10_000);
        }
    }
}

/// Hands over and acknowledges all that goes out; gives the numbers of it, those that are late apart.
fn hand_over(flight: &mut Flight<Rows>, heads: &[u64; 4]) -> (Vec<u64>, Vec<u64>) {
    let (mut live, mut late) = (Vec::new(), Vec::new());
    for pkid in 1.. {
        let Some(batch) = flight.next(heads, 10_000, NOW).unwrap() else { break };
        if batch.late { &mut late } else { &mut live }.extend(numbers(&batch));
        flight.sent(&batch, NOW.mono);
        flight.departed(pkid);
        flight.acked(pkid, NOW.mono);
    }
    (live, late)
}

#[test]
fn where_the_central_side_lacks_what_it_receipted_all_of_it_goes_once_more_as_backlog_and_only_once() {
    let events: Vec<(i64, bool)> = (0..60).map(|i| (10, i < 20)).collect();
    let mut flight = Flight::new(journal(&events), &Positions::default(), 10, 100, true);
    flight.begin(100, &heads(50), NOW.wall_ms).unwrap();
    hand_over(&mut flight, &heads(50));
    flight.receipted(Class::Verdict, 50);
    // What is no less than was receipted is no news, whoever says it.
    for through in [50, 60] {
        assert_eq!(flight.went_back(Class::Verdict, through), None);
    }
    assert_eq!(flight.went_back(Class::Verdict, 5), Some(50));
    assert_eq!(flight.went_back(Class::Verdict, 5), None, "said once more");
    let (live, late) = hand_over(&mut flight, &heads(60));
    assert_eq!(live, (51..=60).collect::<Vec<_>>(), "what happens now goes on beside it");
    assert_eq!(late, (21..=50).collect::<Vec<_>>(), "but for what was shed");
    assert_eq!(
        flight.floors(&heads(60)).unwrap(),
        ([20, 0, 0, 0], true),
        "which is a loss that must be told"
    );
    assert_eq!(flight.unreceipted(), [true, false, false, false]);
    flight.receipted(Class::Verdict, 60);
    assert_eq!(hand_over(&mut flight, &heads(60)), (Vec::new(), Vec::new()));
    // A connection that ends in the middle of it begins where the central side is.
    assert_eq!(flight.went_back(Class::Verdict, 30), Some(60));
    flight.begin(100, &heads(60), NOW.wall_ms).unwrap();
    let (live, late) = hand_over(&mut flight, &heads(60));
    assert_eq!(live.len() + late.len(), 30);
}
