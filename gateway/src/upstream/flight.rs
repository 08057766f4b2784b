//! What is under way: which events were handed to the client, under which packet id, and up to
//! where each stream is acknowledged without a gap.
//!
//! Publishes go out in the order in which they were handed over, so a queue tells which one a
//! packet id belongs to. Streams take turns by weight: the more important more often, none never.

use crate::store::outbox;
use kakou_core::event::Class;
use rusqlite::Connection;
use std::collections::{HashMap, VecDeque};

/// How many batches of each stream in one round.
const WEIGHTS: [usize; 4] = [8, 4, 2, 1];
/// Rows read from the journal at once.
const READ_ROWS: usize = 512;
/// Bytes read from the journal at once.
const READ_BYTES: usize = 1 << 20;

/// Events of one stream in one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The stream.
    pub class: Class,
    /// The last event.
    pub last: u64,
    /// How many: events that were shed leave gaps.
    pub count: u64,
    /// The message.
    pub body: Vec<u8>,
    /// One event as it is, or an array of them.
    pub single: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    last: u64,
    count: u64,
    acked: bool,
}

#[derive(Debug, Default)]
struct Stream {
    /// Acknowledged without a gap up to here.
    acked: u64,
    /// Messages under way, in order.
    sent: VecDeque<Sent>,
    /// How many messages were under way before the first of `sent`.
    before: u64,
    /// Receipted up to here.
    receipted: u64,
    /// Read from the journal up to here.
    read: u64,
    rows: VecDeque<outbox::Row>,
}

/// The window of one connection, and the state of the streams beyond it.
#[derive(Debug)]
pub struct Flight {
    reader: Connection,
    batch: usize,
    window: usize,
    streams: [Stream; 4],
    /// Handed to the client, without a packet id yet: the stream and its n-th message.
    queue: VecDeque<Option<(Class, u64)>>,
    under_way: HashMap<u16, Option<(Class, u64)>>,
    put_back: Option<Batch>,
    turn: usize,
    left: usize,
}

impl Flight {
    /// Begins behind what the journal knows to be acknowledged.
    pub fn load(reader: Connection, batch: usize, window: usize, receipts: bool) -> rusqlite::Result<Self> {
        let mut streams: [Stream; 4] = std::array::from_fn(|_| Stream::default());
        for class in Class::ALL {
            let (acked, receipted) = outbox::progress(&reader, class)?;
            // What was not receipted before a restart is sent again where receipts are expected.
            let acked = if receipts { receipted } else { acked.max(receipted) };
            streams[usize::from(class.number())] =
                Stream { acked, receipted, read: acked, ..Stream::default() };
        }
        Ok(Self {
            reader,
            batch,
            window,
            streams,
            queue: VecDeque::new(),
            under_way: HashMap::new(),
            put_back: None,
            turn: 0,
            left: WEIGHTS[0],
        })
    }

    /// The broker allows so many unacknowledged messages.
    pub fn window(&mut self, window: usize) {
        self.window = window.max(1);
    }

    /// Whether nothing is under way.
    pub fn idle(&self) -> bool {
        self.queue.is_empty() && self.under_way.is_empty()
    }

    /// The connection is gone: everything unacknowledged is read again.
    pub fn rewind(&mut self) {
        self.queue.clear();
        self.under_way.clear();
        self.put_back = None;
        for stream in &mut self.streams {
            stream.rows.clear();
            stream.before += stream.sent.len() as u64;
            stream.sent.clear();
            stream.read = stream.acked;
        }
    }

    /// Whether anything was acknowledged and not receipted.
    pub fn unreceipted(&self) -> bool {
        self.streams.iter().any(|s| s.receipted < s.acked)
    }

    /// What was acknowledged but not receipted counts as not sent. The connection must end after
    /// this: packet ids of the old one mean nothing any more.
    pub fn forget_acknowledgements(&mut self) {
        for stream in &mut self.streams {
            stream.acked = stream.receipted;
        }
    }

    /// The next message, if the window has room and there is anything to send.
    pub fn next(&mut self, heads: &[u64; 4], max: usize) -> rusqlite::Result<Option<Batch>> {
        if self.queue.len() + self.under_way.len() >= self.window {
            return Ok(None);
        }
        if let Some(batch) = self.put_back.take() {
            return Ok(Some(batch));
        }
        for _ in 0..=Class::ALL.len() {
            if self.left > 0
                && let Some(batch) = self.take(Class::ALL[self.turn], heads, max)?
            {
                self.left -= 1;
                return Ok(Some(batch));
            }
            self.turn = (self.turn + 1) % Class::ALL.len();
            self.left = WEIGHTS[self.turn];
        }
        Ok(None)
    }

    fn take(&mut self, class: Class, heads: &[u64; 4], max: usize) -> rusqlite::Result<Option<Batch>> {
        let i = usize::from(class.number());
        let (limit, stream) = (self.batch, &mut self.streams[i]);
        if stream.rows.is_empty() && stream.read < heads[i] {
            let rows = outbox::after(&self.reader, class, stream.read, READ_ROWS, READ_BYTES)?;
            // Shed events are skipped; the stream goes on behind them.
            stream.read = rows.last().map_or(heads[i], |r| r.stream_seq);
            if rows.is_empty() {
                stream.acked = stream.acked.max(heads[i]);
            }
            stream.rows = rows.into();
        }
        let Some(first) = stream.rows.front().map(|r| r.stream_seq) else { return Ok(None) };
        let mut body = Vec::new();
        let (mut last, mut count) = (first, 0_usize);
        while let Some(row) = stream.rows.front() {
            let full = count >= limit || (count > 0 && body.len() + row.body.len() + 2 > max);
            if full {
                break;
            }
            body.push(if count == 0 { b'[' } else { b',' });
            body.extend_from_slice(&row.body);
            last = row.stream_seq;
            count += 1;
            stream.rows.pop_front();
        }
        let single = count == 1;
        if single {
            body.remove(0);
        } else {
            body.push(b']');
        }
        Ok(Some(Batch { class, last, count: count as u64, body, single }))
    }

    /// A message was handed to the client.
    pub fn sent(&mut self, batch: &Batch) {
        let stream = &mut self.streams[usize::from(batch.class.number())];
        let nth = stream.before + stream.sent.len() as u64;
        stream.sent.push_back(Sent { last: batch.last, count: batch.count, acked: false });
        self.queue.push_back(Some((batch.class, nth)));
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
    pub fn acked(&mut self, pkid: u16) -> Option<(Class, u64)> {
        let (class, nth) = self.under_way.remove(&pkid)??;
        let stream = &mut self.streams[usize::from(class.number())];
        let at = usize::try_from(nth.checked_sub(stream.before)?).ok()?;
        let sent = stream.sent.get_mut(at)?;
        sent.acked = true;
        let count = sent.count;
        // Everything before the oldest message still under way is acknowledged.
        while let Some(first) = stream.sent.front().filter(|s| s.acked) {
            stream.acked = stream.acked.max(first.last);
            stream.before += 1;
            stream.sent.pop_front();
        }
        Some((class, count))
    }

    /// Up to where a stream is acknowledged without a gap.
    pub fn acked_through(&self, class: Class) -> u64 {
        self.streams[usize::from(class.number())].acked
    }

    /// The central side has a stream up to here.
    pub fn receipted(&mut self, class: Class, through: u64) {
        let stream = &mut self.streams[usize::from(class.number())];
        stream.receipted = stream.receipted.max(through);
    }
}
