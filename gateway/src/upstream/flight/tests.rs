use super::*;
use proptest::prelude::*;

const NOW: i64 = 1_000_000_000;

/// A journal with these verdicts: age in milliseconds, and whether the body was shed.
fn journal(events: &[(i64, bool)]) -> Connection {
    let verdicts: Vec<_> = events.iter().map(|(age, shed)| (Class::Verdict, *age, *shed)).collect();
    journal_of(&verdicts)
}

/// The same of any streams.
fn journal_of(events: &[(Class, i64, bool)]) -> Connection {
    let c = Connection::open_in_memory().unwrap();
    c.execute_batch(
        "CREATE TABLE event (seq INTEGER PRIMARY KEY, class INTEGER, stream_seq INTEGER, at_ms INTEGER,
           shed INTEGER, hash BLOB, body BLOB);
         CREATE UNIQUE INDEX event_stream ON event (class, stream_seq);
         CREATE TABLE stream (class INTEGER PRIMARY KEY, acked INTEGER, receipted INTEGER);",
    )
    .unwrap();
    let mut heads = [0_i64; 4];
    for (seq, (class, age, shed)) in (1_i64..).zip(events) {
        let head = &mut heads[usize::from(class.number())];
        *head += 1;
        c.execute(
            "INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, x'', ?6)",
            rusqlite::params![
                seq,
                class.number(),
                *head,
                NOW - age,
                shed,
                format!("{{{head}}}").into_bytes()
            ],
        )
        .unwrap();
    }
    c
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
    let mut flight = Flight::load(journal(&events), 10, 100, false).unwrap();
    flight.begin(100, &heads(43), NOW).unwrap();
    let mut seen = Vec::new();
    while let Some(batch) = flight.next(&heads(43), 10_000, NOW).unwrap() {
        seen.push((batch.late, numbers(&batch)));
        flight.sent(&batch, Instant::now());
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
    flight.acked(0, Instant::now());
    assert_eq!(flight.acked_through(Class::Verdict), 0);
    for pkid in [2, 1, 3, 4] {
        flight.acked(pkid, Instant::now());
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
    let mut flight = Flight::load(journal_of(&events), 10, 100, true).unwrap();
    flight.begin(100, &heads, NOW).unwrap();
    let next = |flight: &mut Flight, pkid: u16| {
        let batch = flight.next(&heads, 10_000, NOW).unwrap().unwrap();
        flight.sent(&batch, Instant::now());
        flight.departed(pkid);
        flight.acked(pkid, Instant::now());
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
    let mut flight = Flight::load(journal(&events), 2, 100, false).unwrap();
    flight.begin(100, &heads(20), NOW).unwrap();
    let first = flight.next(&heads(20), 10_000, NOW).unwrap().unwrap();
    assert_eq!((first.late, numbers(&first)), (false, vec![1, 2]));
    flight.sent(&first, Instant::now());
    // A minute later these have become old: one more goes out, then what is new.
    let later = NOW + 30_000;
    let second = flight.next(&heads(30), 10_000, later).unwrap().unwrap();
    assert_eq!((second.late, numbers(&second)), (true, vec![3, 4]));
    flight.sent(&second, Instant::now());
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
        let mut flight = Flight::load(journal(&events), batch, 8, false).unwrap();
        flight.begin(8, &heads, NOW).unwrap();
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
                    flight.sent(&batch, Instant::now());
                    pkid += 1;
                    flight.departed(pkid);
                    way.push((pkid, inside));
                },
                1 | 2 if !way.is_empty() => {
                    let (pkid, inside) = way.remove(usize::from(which) % way.len());
                    flight.acked(pkid, Instant::now());
                    acked.extend(inside);
                }
                3 => {
                    way.clear();
                    flight.begin(8, &heads, NOW).unwrap();
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
