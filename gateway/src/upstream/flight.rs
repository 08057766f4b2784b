//! What is under way: which events were handed to the client, under which packet id, and up to
//! where each stream is acknowledged.
//!
//! Each stream has two cursors. *Live* begins at what was stored within [`LATE_MS`] before the
//! connection came up; *late* is the backlog before it. They take turns, live first, so that seven
//! days of backlog do not hide what happens now. Publishes go out in the order in which they were
//! handed over, so a queue tells which one a packet id belongs to.

use super::pace::{Left, Pace};
use crate::store::outbox;
use kakou_core::event::Class;
use rusqlite::Connection;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Instant;

/// An event that leaves so long after it was stored is late, in milliseconds: it tells what was and
/// must set off no alarm.
pub const LATE_MS: i64 = 60_000;
/// How many live batches of each stream in one round.
const WEIGHTS: [usize; 4] = [8, 4, 2, 1];
/// So many live batches for one of the backlog.
const LIVE_TURNS: usize = 4;
/// Late events that may be beyond the last receipt: a broker keeps few for a slow consumer, and
/// drops what is more; and what a consumer has to do at once is what others wait for.
const LATE_AHEAD: u64 = 2_000;
/// Rows read from the journal at once.
const READ_ROWS: usize = 512;
/// Bytes read from the journal at once.
const READ_BYTES: usize = 1 << 20;
/// Acknowledged ranges beyond a gap that are remembered; what is more is sent again.
const ISLANDS: usize = 64;

/// Events of one stream in one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The stream.
    pub class: Class,
    /// The first event, or the first of those that were shed before it.
    pub first: u64,
    /// The last event.
    pub last: u64,
    /// How many: events that were shed leave gaps.
    pub count: u64,
    /// The message.
    pub body: Vec<u8>,
    /// One event as it is, or an array of them.
    pub single: bool,
    /// Whether it tells what was, not what is.
    pub late: bool,
    /// Whether the backlog's cursor gave it.
    backlog: bool,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    class: Class,
    first: u64,
    last: u64,
    count: u64,
    backlog: Option<Left>,
}

#[derive(Debug, Default)]
struct Cursor {
    /// Handed over up to here.
    given: u64,
    /// Read from the journal up to here.
    read: u64,
    rows: VecDeque<outbox::Row>,
}

impl Cursor {
    fn at(seq: u64) -> Self {
        Self { given: seq, read: seq, rows: VecDeque::new() }
    }
}

#[derive(Debug, Default)]
struct Stream {
    /// Acknowledged without a gap up to here.
    acked: u64,
    /// Acknowledged beyond it: first to last.
    islands: BTreeMap<u64, u64>,
    /// Receipted up to here.
    receipted: u64,
    /// The last event of the backlog.
    split: u64,
    late: Cursor,
    live: Cursor,
}

impl Stream {
    fn acknowledge(&mut self, first: u64, last: u64) {
        if last > self.acked {
            self.islands.insert(first, last);
        }
        while let Some((&first, &last)) = self.islands.first_key_value() {
            if first > self.acked + 1 {
                break;
            }
            self.acked = self.acked.max(last);
            self.islands.pop_first();
        }
        while self.islands.len() > ISLANDS {
            self.islands.pop_last();
        }
    }
    /// The end of the island that holds an event.
    fn island(&self, seq: u64) -> Option<u64> {
        self.islands.range(..=seq).next_back().map(|(_, last)| *last).filter(|last| *last >= seq)
    }
}

/// The window of one connection, and the state of the streams beyond it.
#[derive(Debug)]
pub struct Flight {
    reader: Connection,
    batch: usize,
    window: usize,
    receipts: bool,
    streams: [Stream; 4],
    /// Handed to the client, without a packet id yet.
    queue: VecDeque<Option<Sent>>,
    under_way: HashMap<u16, Option<Sent>>,
    put_back: Option<Batch>,
    pace: Pace,
    turn: usize,
    left: usize,
    late_turn: usize,
    live_in_a_row: usize,
}

impl Flight {
    /// Begins behind what the journal knows to be acknowledged.
    pub fn load(reader: Connection, batch: usize, window: usize, receipts: bool) -> rusqlite::Result<Self> {
        let mut streams: [Stream; 4] = std::array::from_fn(|_| Stream::default());
        for class in Class::ALL {
            let (acked, receipted) = outbox::progress(&reader, class)?;
            // What was not receipted before a restart is sent again where receipts are expected.
            let acked = if receipts { receipted } else { acked.max(receipted) };
            streams[usize::from(class.number())] = Stream { acked, receipted, ..Stream::default() };
        }
        Ok(Self {
            reader,
            batch,
            window,
            receipts,
            streams,
            queue: VecDeque::new(),
            under_way: HashMap::new(),
            put_back: None,
            pace: Pace::default(),
            turn: 0,
            left: WEIGHTS[0],
            late_turn: 0,
            live_in_a_row: 0,
        })
    }

    /// A connection is up: what is older than [`LATE_MS`] becomes backlog. The broker allows so many
    /// unacknowledged messages.
    pub fn begin(&mut self, window: usize, heads: &[u64; 4], now_ms: i64) -> rusqlite::Result<()> {
        self.rewind();
        self.window = window.max(1);
        for class in Class::ALL {
            let i = usize::from(class.number());
            let acked = self.streams[i].acked;
            self.streams[i].live = Cursor::at(acked);
            self.streams[i].split = acked;
            self.streams[i].late = Cursor::at(acked);
            self.split(class, heads, now_ms)?;
        }
        Ok(())
    }

    /// Hands what has become old from the live cursor to the late one, if that has nothing to do.
    fn split(&mut self, class: Class, heads: &[u64; 4], now_ms: i64) -> rusqlite::Result<()> {
        let i = usize::from(class.number());
        let stream = &mut self.streams[i];
        if stream.late.given < stream.split {
            return Ok(());
        }
        let (given, before) = (stream.live.given, now_ms.saturating_sub(LATE_MS));
        stream.split = outbox::stored_before(&self.reader, class, given, heads[i], before)?;
        stream.late = Cursor::at(given);
        stream.live = Cursor::at(stream.split);
        Ok(())
    }

    /// Whether nothing is under way.
    pub fn idle(&self) -> bool {
        self.queue.is_empty() && self.under_way.is_empty()
    }

    /// Whether everything live was handed over.
    pub fn caught_up(&self, heads: &[u64; 4]) -> bool {
        let verdict = usize::from(Class::Verdict.number());
        self.put_back.is_none() && self.streams[verdict].live.given >= heads[verdict]
    }

    /// The connection is gone: everything unacknowledged is read again.
    pub fn rewind(&mut self) {
        self.queue.clear();
        self.under_way.clear();
        self.put_back = None;
        self.pace.restart();
        for stream in &mut self.streams {
            stream.late = Cursor::at(stream.acked);
            stream.live = Cursor::at(stream.split);
        }
    }

    /// Whether anything was acknowledged and not receipted.
    pub fn unreceipted(&self) -> bool {
        self.streams.iter().any(|s| s.receipted < s.acked || !s.islands.is_empty())
    }

    /// What was acknowledged but not receipted counts as not sent. The connection must end after
    /// this: packet ids of the old one mean nothing any more.
    pub fn forget_acknowledgements(&mut self) {
        for stream in &mut self.streams {
            stream.acked = stream.receipted;
            stream.islands.clear();
        }
    }

    /// The next message, if the window has room and there is anything to send.
    pub fn next(&mut self, heads: &[u64; 4], max: usize, now_ms: i64) -> rusqlite::Result<Option<Batch>> {
        if self.queue.len() + self.under_way.len() >= self.window {
            return Ok(None);
        }
        if let Some(batch) = self.put_back.take() {
            return Ok(Some(batch));
        }
        if self.live_in_a_row < LIVE_TURNS
            && let Some(batch) = self.live(heads, max, now_ms)?
        {
            self.live_in_a_row += 1;
            return Ok(Some(batch));
        }
        self.live_in_a_row = 0;
        if let Some(batch) = self.late(max)? {
            return Ok(Some(batch));
        }
        self.live(heads, max, now_ms)
    }

    fn live(&mut self, heads: &[u64; 4], max: usize, now_ms: i64) -> rusqlite::Result<Option<Batch>> {
        for _ in 0..=Class::ALL.len() {
            let class = Class::ALL[self.turn];
            if self.left > 0
                && let Some(mut batch) = self.take(class, heads[usize::from(class.number())], max, false)?
            {
                self.left -= 1;
                // The link is slower than the lanes: what waited too long is no longer news.
                if is_late(batch.oldest_ms, now_ms) {
                    batch.late = true;
                    self.split(class, heads, now_ms)?;
                }
                return Ok(Some(batch.message()));
            }
            self.turn = (self.turn + 1) % Class::ALL.len();
            self.left = WEIGHTS[self.turn];
        }
        Ok(None)
    }

    fn late(&mut self, max: usize) -> rusqlite::Result<Option<Batch>> {
        // A broker that takes few messages at once keeps half of its room for what happens now.
        let share = (self.window / 2).max(1);
        let backlog = |s: &Option<Sent>| s.is_some_and(|s| s.backlog.is_some());
        let busy = self.queue.iter().filter(|s| backlog(s)).count()
            + self.under_way.values().filter(|s| backlog(s)).count();
        if busy >= share || !self.pace.room() {
            return Ok(None);
        }
        for _ in 0..Class::ALL.len() {
            let class = Class::ALL[self.late_turn];
            let stream = &self.streams[usize::from(class.number())];
            let ahead = self.receipts && stream.late.given > stream.receipted + LATE_AHEAD;
            let (open, end) = (!ahead && stream.late.given < stream.split, stream.split);
            if open && let Some(mut batch) = self.take(class, end, max, true)? {
                batch.late = true;
                return Ok(Some(batch.message()));
            }
            self.late_turn = (self.late_turn + 1) % Class::ALL.len();
        }
        Ok(None)
    }

    fn take(&mut self, class: Class, end: u64, max: usize, backlog: bool) -> rusqlite::Result<Option<Taken>> {
        let (limit, stream) = (self.batch, &mut self.streams[usize::from(class.number())]);
        // What was acknowledged before a loss of the connection is not sent again.
        loop {
            let cursor = if backlog { &mut stream.late } else { &mut stream.live };
            let next = cursor.given + 1;
            if next > end {
                return Ok(None);
            }
            let known = if next <= stream.acked { Some(stream.acked) } else { stream.island(next) };
            let cursor = if backlog { &mut stream.late } else { &mut stream.live };
            let Some(known) = known else { break };
            cursor.given = known;
            cursor.read = cursor.read.max(known);
            while cursor.rows.front().is_some_and(|r| r.stream_seq <= known) {
                cursor.rows.pop_front();
            }
        }
        let stop =
            stream.islands.range(stream_next(stream, backlog)..).next().map_or(end, |(first, _)| first - 1);
        let stop = stop.min(end);
        let cursor = if backlog { &mut stream.late } else { &mut stream.live };
        if cursor.rows.is_empty() {
            let rows = outbox::after(&self.reader, class, cursor.read, stop, READ_ROWS, READ_BYTES)?;
            // Shed events are skipped; the stream goes on behind them.
            cursor.read = rows.last().map_or(stop, |r| r.stream_seq);
            if rows.is_empty() {
                let first = cursor.given + 1;
                cursor.given = stop;
                stream.acknowledge(first, stop);
                return Ok(None);
            }
            cursor.rows = rows.into();
        }
        let first = cursor.given + 1;
        let mut taken = Taken {
            class,
            first,
            last: first,
            body: Vec::new(),
            count: 0,
            oldest_ms: 0,
            late: backlog,
            backlog,
        };
        while let Some(row) = cursor.rows.front() {
            let full =
                taken.count >= limit || (taken.count > 0 && taken.body.len() + row.body.len() + 2 > max);
            if full || row.stream_seq > stop {
                break;
            }
            if taken.count == 0 {
                taken.oldest_ms = row.at_ms;
            }
            taken.body.push(if taken.count == 0 { b'[' } else { b',' });
            taken.body.extend_from_slice(&row.body);
            taken.last = row.stream_seq;
            taken.count += 1;
            cursor.rows.pop_front();
        }
        cursor.given = taken.last;
        Ok(Some(taken))
    }

    /// A message was handed to the client.
    pub fn sent(&mut self, batch: &Batch, now: Instant) {
        let backlog = batch.backlog.then(|| self.pace.leaves(batch.body.len(), now));
        let Batch { class, first, last, count, .. } = *batch;
        self.queue.push_back(Some(Sent { class, first, last, count, backlog }));
    }

    /// A message found no room in the client.
    pub fn put_back(&mut self, batch: Batch) {
        self.put_back = Some(batch);
    }

    /// Something that is no event was handed to the client, and takes a packet id as well.
    pub fn other(&mut self) {
        self.queue.push_back(None);
    }

    /// The client has given the oldest message this packet id.
    pub fn departed(&mut self, pkid: u16) {
        if let Some(sent) = self.queue.pop_front() {
            self.under_way.insert(pkid, sent);
        }
    }

    /// A message was acknowledged: its stream and how many events it held.
    pub fn acked(&mut self, pkid: u16, now: Instant) -> Option<(Class, u64)> {
        let sent = self.under_way.remove(&pkid)??;
        if let Some(left) = sent.backlog {
            self.pace.arrived(left, now);
        }
        self.streams[usize::from(sent.class.number())].acknowledge(sent.first, sent.last);
        Some((sent.class, sent.count))
    }

    /// Up to where a stream is acknowledged without a gap.
    pub fn acked_through(&self, class: Class) -> u64 {
        self.streams[usize::from(class.number())].acked
    }

    /// Up to where each stream is gone from the journal, and whether anything went that the central
    /// side has not receipted.
    pub fn floors(&self, heads: &[u64; 4]) -> rusqlite::Result<([u64; 4], bool)> {
        let (mut floors, mut lost) = ([0; 4], false);
        for class in Class::ALL {
            let i = usize::from(class.number());
            floors[i] = outbox::floor(&self.reader, class, heads[i])?;
            lost |= floors[i] > self.streams[i].receipted;
        }
        Ok((floors, lost))
    }

    /// The central side has a stream up to here.
    pub fn receipted(&mut self, class: Class, through: u64) {
        let stream = &mut self.streams[usize::from(class.number())];
        stream.receipted = stream.receipted.max(through);
        if through > stream.acked {
            // The acknowledgement of the broker was lost, the receipt was not.
            stream.acknowledge(stream.acked + 1, through);
        }
    }
}

fn stream_next(stream: &Stream, backlog: bool) -> u64 {
    1 + if backlog { stream.late.given } else { stream.live.given }
}

fn is_late(stored_ms: i64, now_ms: i64) -> bool {
    stored_ms.abs_diff(now_ms) > LATE_MS.unsigned_abs()
}

/// A batch while it is put together.
struct Taken {
    class: Class,
    first: u64,
    last: u64,
    body: Vec<u8>,
    count: usize,
    oldest_ms: i64,
    late: bool,
    backlog: bool,
}

impl Taken {
    fn message(self) -> Batch {
        let Self { class, first, last, mut body, count, late, backlog, .. } = self;
        let single = count == 1;
        if single {
            body.remove(0);
        } else {
            body.push(b']');
        }
        Batch { class, first, last, count: count as u64, body, single, late, backlog }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_000_000_000;

    /// A journal with these verdicts: age in milliseconds, and whether the body was shed.
    fn journal(events: &[(i64, bool)]) -> Connection {
        let c = Connection::open_in_memory().unwrap();
        c.execute_batch(
            "CREATE TABLE event (seq INTEGER PRIMARY KEY, class INTEGER, stream_seq INTEGER, at_ms INTEGER,
               shed INTEGER, hash BLOB, body BLOB);
             CREATE UNIQUE INDEX event_stream ON event (class, stream_seq);
             CREATE TABLE stream (class INTEGER PRIMARY KEY, acked INTEGER, receipted INTEGER);",
        )
        .unwrap();
        for (i, (age, shed)) in events.iter().enumerate() {
            let seq = i64::try_from(i).unwrap() + 1;
            c.execute(
                "INSERT INTO event VALUES (?1, 0, ?1, ?2, ?3, x'', ?4)",
                rusqlite::params![seq, NOW - age, shed, format!("{{{seq}}}").into_bytes()],
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
}
