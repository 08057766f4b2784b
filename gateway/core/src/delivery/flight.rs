//! What is under way: which events were handed to the client, under which packet id, and up to
//! where each stream is acknowledged.
//!
//! Each stream has two cursors. *Live* begins at what was stored within [`LATE_MS`] before the
//! connection came up; *late* is the backlog before it. They take turns, live first, so that seven
//! days of backlog do not hide what happens now. Publishes go out in the order in which they were
//! handed over, so a queue tells which one a packet id belongs to.

mod batch;
mod stream;

use super::outbox::{Outbox, Unreadable};
use super::pace::{Left, Pace};
use super::{Moment, Position, Positions, RECEIPT_PATIENCE, RECEIPT_PATIENCE_MAX};
use crate::event::Class;
pub use batch::{Batch, TooLarge};
use batch::{PendingBatch, stand_in};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use stream::{Cursor, PROBE_MOST, Stream, Which};

/// An event that leaves so long after it was stored is late, in milliseconds: it tells what was and
/// must set off no alarm.
pub const LATE_MS: i64 = 60_000;
/// Late events in one message: whoever stores it, or carries it, is soon free for what happens now.
const LATE_BATCH: usize = 20;
/// How many batches of each stream in one round, of what is live and of the backlog.
const WEIGHTS: [usize; 4] = [8, 4, 2, 1];
/// So many live batches for one of the backlog.
const LIVE_TURNS: usize = 4;
/// Late events that may be beyond the last receipt: a broker keeps few for a slow consumer, and
/// drops what is more; and what a consumer has to do at once is what others wait for.
const LATE_AHEAD: u64 = 2_000;
/// Between two looks whether the backlog may go on.
const LATE_EVERY: Duration = Duration::from_millis(10);
/// Rows read from the journal at once.
const READ_ROWS: usize = 512;
/// Bytes read from the journal at once.
const READ_BYTES: usize = 1 << 20;

/// A batch that was handed over.
#[derive(Debug, Clone, Copy)]
struct Sent {
    class: Class,
    first: u64,
    last: u64,
    count: u64,
    backlog: Option<Left>,
}

/// The window of one connection, and the state of the streams beyond it.
#[derive(Debug)]
pub struct Flight<O> {
    outbox: O,
    batch: usize,
    window: usize,
    receipts: bool,
    streams: [Stream; 4],
    /// Handed to the client, without a packet id yet.
    queue: VecDeque<Option<Sent>>,
    under_way: HashMap<u16, Option<Sent>>,
    pace: Pace,
    /// Late events a second at most, how many may go now, and since when that counts.
    late_rate: f64,
    late_level: f64,
    late_filled: Duration,
    /// The last look found that the rate lets none go.
    late_dry: bool,
    turn: usize,
    left: usize,
    late_turn: usize,
    late_left: usize,
    live_in_a_row: usize,
}

impl<O: Outbox> Flight<O> {
    /// Begins behind what is known to be acknowledged.
    pub fn new(outbox: O, positions: &Positions, batch: usize, window: usize, receipts: bool) -> Self {
        let streams = Class::ALL.map(|class| {
            let Position { acknowledged, receipted, .. } = positions.stream(class);
            // What was not receipted before a restart is sent again where receipts are expected.
            let acked = if receipts { receipted } else { acknowledged.max(receipted) };
            Stream { acked, receipted, ..Stream::default() }
        });
        Self {
            outbox,
            batch,
            window,
            receipts,
            streams,
            queue: VecDeque::new(),
            under_way: HashMap::new(),
            pace: Pace::default(),
            late_rate: f64::INFINITY,
            late_level: 0.0,
            late_filled: Duration::ZERO,
            late_dry: false,
            turn: 0,
            left: WEIGHTS[0],
            late_turn: 0,
            late_left: WEIGHTS[0],
            live_in_a_row: 0,
        }
    }

    /// A connection is up: what is older than [`LATE_MS`] becomes backlog. The broker allows so many
    /// unacknowledged messages.
    pub fn begin(&mut self, window: usize, heads: &[u64; 4], now_ms: i64) -> Result<(), Unreadable> {
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
    fn split(&mut self, class: Class, heads: &[u64; 4], now_ms: i64) -> Result<(), Unreadable> {
        let i = usize::from(class.number());
        let stream = &mut self.streams[i];
        if stream.late.given < stream.split {
            return Ok(());
        }
        let (given, before) = (stream.live.given, now_ms.saturating_sub(LATE_MS));
        stream.split = self.outbox.stored_before(class, given, heads[i], before)?;
        stream.late = Cursor::at(given);
        stream.live = Cursor::at(stream.split);
        Ok(())
    }

    /// Late events leave at most at this rate: a fleet that comes back must not drown the central
    /// side, nor the lanes beside it.
    pub fn late_rate(&mut self, per_s: u32) {
        self.late_rate = f64::from(per_s);
    }

    /// When late events may go on, where it was their rate that held them back.
    pub fn late_due(&self) -> Option<Duration> {
        let waits = || self.streams.iter().any(|s| s.late.given < s.split || s.goes_again());
        let short = (-self.late_level).max(0.0) / self.late_rate.max(1.0);
        (self.late_dry && waits()).then(|| self.late_filled + LATE_EVERY.max(Duration::from_secs_f64(short)))
    }

    /// Whether the rate lets late events go.
    fn late_allowed(&mut self, now: Duration) -> bool {
        if self.late_rate.is_infinite() {
            return true;
        }
        let since = now.saturating_sub(self.late_filled).as_secs_f64();
        self.late_filled = now;
        self.late_level = (self.late_level + since * self.late_rate).min(LATE_BATCH as f64);
        self.late_dry = self.late_level <= 0.0;
        !self.late_dry
    }

    /// Whether nothing is under way.
    pub fn idle(&self) -> bool {
        self.queue.is_empty() && self.under_way.is_empty()
    }

    /// Whether everything live was handed over.
    pub fn caught_up(&self, heads: &[u64; 4]) -> bool {
        let verdict = usize::from(Class::Verdict.number());
        self.streams[verdict].live.given >= heads[verdict]
    }

    /// The connection is gone: everything unacknowledged is read again.
    pub fn rewind(&mut self) {
        self.queue.clear();
        self.under_way.clear();
        self.pace.restart();
        for stream in &mut self.streams {
            stream.late = Cursor::at(stream.acked);
            stream.live = Cursor::at(stream.split);
            stream.again = (Cursor::default(), 0);
            (stream.refused, stream.probe) = (None, None);
        }
    }

    /// Of which streams anything was acknowledged and not receipted. What lies behind a gap cannot be, for as
    /// long as the backlog still fills it.
    pub fn unreceipted(&self) -> [bool; 4] {
        std::array::from_fn(|n| {
            let stream = &self.streams[n];
            let filled = stream.late.given >= stream.split;
            stream.receipted < stream.acked || (filled && !stream.ack_ranges.is_empty())
        })
    }

    /// How long receipts of a stream are waited for: twice as long each time that they have stayed away.
    pub fn patience(&self, class: Class) -> Duration {
        let gaps = self.streams[usize::from(class.number())].gaps.min(16);
        RECEIPT_PATIENCE.saturating_mul(1 << gaps).min(RECEIPT_PATIENCE_MAX)
    }

    /// No receipt has come: the oldest batch that is not receipted is sent again, and no more.
    pub fn probe(&mut self, class: Class) {
        let batch = self.batch;
        let stream = &mut self.streams[usize::from(class.number())];
        stream.gaps = stream.gaps.saturating_add(1);
        stream.probe_from(stream.receipted, 1, batch, stream.acked_last());
    }

    /// The next message, if the window has room and there is anything to send.
    pub fn next(&mut self, heads: &[u64; 4], max: usize, now: Moment) -> Result<Option<Batch>, Unreadable> {
        self.late_dry = false;
        if self.queue.len() + self.under_way.len() >= self.window {
            return Ok(None);
        }
        if self.live_in_a_row < LIVE_TURNS
            && let Some(batch) = self.live(heads, max, now)?
        {
            self.live_in_a_row += 1;
            return Ok(Some(batch));
        }
        self.live_in_a_row = 0;
        if let Some(batch) = self.late(max, now)? {
            return Ok(Some(batch));
        }
        self.live(heads, max, now)
    }

    /// What must go out once more.
    fn again(&mut self, max: usize, now: Moment) -> Result<Option<Batch>, Unreadable> {
        for class in Class::ALL {
            let stream = &mut self.streams[usize::from(class.number())];
            stream.take_up_refused();
            let (refused, probe) = (stream.again.1, stream.probe.map_or(0, |p| p.end));
            for (which, end) in [(Which::Probe, probe), (Which::Refused, refused)] {
                if let Some(mut batch) = self.take(class, end, max, which)? {
                    batch.late = is_late(batch.oldest_ms, now.wall_ms);
                    return Ok(Some(batch.message()));
                }
            }
        }
        Ok(None)
    }

    fn live(&mut self, heads: &[u64; 4], max: usize, now: Moment) -> Result<Option<Batch>, Unreadable> {
        for _ in 0..=Class::ALL.len() {
            let class = Class::ALL[self.turn];
            if self.left > 0
                && let Some(mut batch) =
                    self.take(class, heads[usize::from(class.number())], max, Which::Live)?
            {
                self.left -= 1;
                // The link is slower than the lanes: what waited too long is no longer news.
                if is_late(batch.oldest_ms, now.wall_ms) {
                    batch.late = true;
                    self.split(class, heads, now.wall_ms)?;
                }
                return Ok(Some(batch.message()));
            }
            self.turn = (self.turn + 1) % Class::ALL.len();
            self.left = WEIGHTS[self.turn];
        }
        Ok(None)
    }

    fn late(&mut self, max: usize, now: Moment) -> Result<Option<Batch>, Unreadable> {
        // A broker that takes few messages at once keeps half of its room for what happens now.
        let share = (self.window / 2).max(1);
        let backlog = |s: &Option<Sent>| s.is_some_and(|s| s.backlog.is_some());
        let busy = self.queue.iter().filter(|s| backlog(s)).count()
            + self.under_way.values().filter(|s| backlog(s)).count();
        if busy >= share || !self.pace.room() || !self.late_allowed(now.mono) {
            return Ok(None);
        }
        if let Some(batch) = self.again(max, now)? {
            self.late_level -= batch.count as f64;
            return Ok(Some(batch));
        }
        for _ in 0..=Class::ALL.len() {
            let class = Class::ALL[self.late_turn];
            let stream = &self.streams[usize::from(class.number())];
            let ahead = self.receipts && stream.late.given > stream.receipted + LATE_AHEAD;
            let (open, end) = (!ahead && stream.late.given < stream.split, stream.split);
            if self.late_left > 0
                && open
                && let Some(mut batch) = self.take(class, end, max, Which::Late)?
            {
                batch.late = true;
                self.late_left -= 1;
                self.late_level -= batch.count as f64;
                return Ok(Some(batch.message()));
            }
            self.late_turn = (self.late_turn + 1) % Class::ALL.len();
            self.late_left = WEIGHTS[self.late_turn];
        }
        Ok(None)
    }

    fn take(
        &mut self,
        class: Class,
        end: u64,
        max: usize,
        which: Which,
    ) -> Result<Option<PendingBatch>, Unreadable> {
        // What is not of now goes beside it, in its turn.
        let backlog = which != Which::Live;
        let limit = if backlog { self.batch.min(LATE_BATCH) } else { self.batch };
        let stream = &mut self.streams[usize::from(class.number())];
        // What was acknowledged is not sent again, but for a probe.
        loop {
            let next = stream.cursor(which).given + 1;
            if next > end {
                return Ok(None);
            }
            let known = if next <= stream.acked { Some(stream.acked) } else { stream.ack_range(next) };
            let cursor = stream.cursor(which);
            let Some(known) = known.filter(|_| which != Which::Probe) else { break };
            cursor.given = known;
            cursor.read = cursor.read.max(known);
            while cursor.rows.front().is_some_and(|r| r.stream_seq <= known) {
                cursor.rows.pop_front();
            }
        }
        let next = stream.cursor(which).given + 1;
        let ack_range = stream.ack_ranges.range(next..).next().filter(|_| which != Which::Probe);
        let stop = ack_range.map_or(end, |(first, _)| first - 1).min(end);
        let cursor = stream.cursor(which);
        if cursor.rows.is_empty() {
            let rows = self.outbox.after(class, cursor.read, stop, READ_ROWS, READ_BYTES)?;
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
        let mut taken = PendingBatch {
            class,
            first,
            last: first,
            body: Vec::new(),
            count: 0,
            oldest_ms: 0,
            late: backlog,
            too_large: None,
            backlog,
        };
        while let Some(row) = cursor.rows.front() {
            let full =
                taken.count >= limit || (taken.count > 0 && taken.body.len() + row.body.len() + 2 > max);
            let alone = row.body.len() > max;
            if full || row.stream_seq > stop || (alone && taken.count > 0) {
                break;
            }
            if taken.count == 0 {
                taken.oldest_ms = row.at_ms;
            }
            taken.body.push(if taken.count == 0 { b'[' } else { b',' });
            if alone {
                let (body, too_large) = stand_in(&row.body, max);
                taken.body.extend_from_slice(&body);
                taken.too_large = Some(too_large);
            } else {
                taken.body.extend_from_slice(&row.body);
            }
            taken.last = row.stream_seq;
            taken.count += 1;
            cursor.rows.pop_front();
            if alone {
                break;
            }
        }
        cursor.given = taken.last;
        Ok(Some(taken))
    }

    /// A message was handed to the client.
    pub fn sent(&mut self, batch: &Batch, now: Duration) {
        let backlog = batch.backlog.then(|| self.pace.leaves(batch.body.len(), now));
        let Batch { class, first, last, count, .. } = *batch;
        self.queue.push_back(Some(Sent { class, first, last, count, backlog }));
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
    pub fn acked(&mut self, pkid: u16, now: Duration) -> Option<(Class, u64)> {
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
    pub fn floors(&self, heads: &[u64; 4]) -> Result<([u64; 4], bool), Unreadable> {
        let (mut floors, mut lost) = ([0; 4], false);
        for class in Class::ALL {
            let i = usize::from(class.number());
            floors[i] = self.outbox.floor(class, heads[i])?;
            lost |= floors[i] > self.streams[i].receipted;
        }
        Ok((floors, lost))
    }

    /// The central side has a stream up to here; says whether that is news.
    pub fn receipted(&mut self, class: Class, through: u64) -> bool {
        let stream = &mut self.streams[usize::from(class.number())];
        let news = through > stream.receipted;
        stream.receipted = stream.receipted.max(through);
        // Whoever has more of it is there; who says the same again each time has not even what it was sent again.
        if news {
            stream.gaps = 0;
        }
        if let Some(probe) = stream.probe.filter(|p| stream.receipted >= p.end) {
            if stream.receipted < probe.whole {
                let batches = (2 * probe.batches).min(PROBE_MOST);
                stream.probe_from(stream.receipted, batches, self.batch, probe.whole);
            } else {
                stream.probe = None;
            }
        }
        if through > stream.acked {
            // The acknowledgement of the broker was lost, the receipt was not.
            stream.acknowledge(stream.acked + 1, through);
        }
        news
    }

    /// The central side has a stream up to here alone, and has receipted more of it before: what follows is backlog
    /// once more, at the pace of one. Gives up to where it was receipted, if that is so.
    pub fn went_back(&mut self, class: Class, through: u64) -> Option<u64> {
        let stream = &mut self.streams[usize::from(class.number())];
        let before = stream.receipted;
        if through >= before {
            return None;
        }
        (stream.receipted, stream.acked, stream.gaps) = (through, through, 0);
        stream.ack_ranges.clear();
        (stream.refused, stream.probe, stream.again) = (None, None, (Cursor::default(), 0));
        stream.split = stream.live.given;
        stream.late = Cursor::at(through);
        Some(before)
    }
}

fn is_late(stored_ms: i64, now_ms: i64) -> bool {
    stored_ms.abs_diff(now_ms) > LATE_MS.unsigned_abs()
}

#[cfg(test)]
mod tests;
