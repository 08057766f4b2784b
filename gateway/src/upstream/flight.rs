//! What is under way: which events were handed to the client, under which packet id, and up to
//! where each stream is acknowledged without a gap.
//!
//! Publishes go out in the order in which they were handed over, so a queue tells which one a
//! packet id belongs to. Streams take turns by weight: the more important more often, none never.

use crate::store::outbox;
use kakou_core::event::Class;
use rusqlite::Connection;
use std::collections::{BTreeMap, VecDeque};

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
    /// The first event.
    pub first: u64,
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
    class: Class,
    first: u64,
    last: u64,
    count: u64,
}

#[derive(Debug, Default)]
struct Stream {
    /// Acknowledged without a gap up to here.
    acked: u64,
    /// Acknowledged beyond a gap: first → last.
    beyond: BTreeMap<u64, u64>,
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
    queue: VecDeque<Option<Sent>>,
    under_way: BTreeMap<u16, Option<Sent>>,
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
            streams[usize::from(class.number())] = Stream { acked, receipted, read: acked, ..Stream::default() };
        }
        Ok(Self {
            reader,
            batch,
            window,
            streams,
            queue: VecDeque::new(),
            under_way: BTreeMap::new(),
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
            stream.beyond.clear();
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
        let (mut last, mut count) = (first, 0);
        while let Some(row) = stream.rows.front() {
            let full = count as usize >= limit || (count > 0 && body.len() + row.body.len() + 2 > max);
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
        Ok(Some(Batch { class, first, last, count, body, single }))
    }

    /// A message was handed to the client.
    pub fn sent(&mut self, batch: Batch) {
        let Batch { class, first, last, count, .. } = batch;
        self.queue.push_back(Some(Sent { class, first, last, count }));
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
        let Sent { class, first, last, count } = self.under_way.remove(&pkid)??;
        let oldest = self.oldest(class);
        let stream = &mut self.streams[usize::from(class.number())];
        stream.beyond.insert(first, last);
        // Everything before the oldest message still under way is acknowledged.
        while let Some(entry) = stream.beyond.first_entry() {
            if oldest.is_some_and(|o| o < *entry.key()) {
                break;
            }
            stream.acked = stream.acked.max(entry.remove());
        }
        Some((class, count))
    }

    fn oldest(&self, class: Class) -> Option<u64> {
        let all = self.under_way.values().chain(&self.queue).flatten();
        all.filter(|s| s.class == class).map(|s| s.first).min()
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
