//! How far one stream is: what was acknowledged, with and without a gap before it, and where its cursors stand.

use crate::delivery::outbox::Row;
use std::collections::{BTreeMap, VecDeque};

/// Acknowledged ranges beyond a gap that are remembered: more than the largest window makes, since a gap is a message
/// under way. One more is refused, and sent again.
pub(super) const MAX_ACK_RANGES: usize = 512;
/// A probe is at most so many batches: its answer tells enough to go on.
pub(super) const PROBE_MOST: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// Handed over up to here.
    pub(super) given: u64,
    /// Read from the journal up to here.
    pub(super) read: u64,
    pub(super) rows: VecDeque<Row>,
}

impl Cursor {
    pub(super) fn at(seq: u64) -> Self {
        Self { given: seq, read: seq, rows: VecDeque::new() }
    }
}

#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Acknowledged without a gap up to here.
    pub(super) acked: u64,
    /// Acknowledged beyond it: first to last; no two of them touch.
    pub(super) ack_ranges: BTreeMap<u64, u64>,
    /// Acknowledged ranges for which there was no room: from the first to the last of them.
    pub(super) refused: Option<(u64, u64)>,
    /// Receipted up to here.
    pub(super) receipted: u64,
    /// What is sent again because no receipt came for it.
    pub(super) probe: Option<Probe>,
    /// The last event of the backlog.
    pub(super) split: u64,
    pub(super) late: Cursor,
    pub(super) live: Cursor,
    /// Over the range that was refused, up to an end.
    pub(super) again: (Cursor, u64),
    /// Over the probe.
    pub(super) probing: Cursor,
    /// How often in a row receipts stayed away.
    pub(super) gaps: u32,
}

/// Events that the broker has acknowledged and the central side has not receipted: the oldest are sent again,
/// and more of them with each receipt that comes for it. Where the central side is slow, it gets no more to do by
/// that; where something was lost, everything comes in the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Probe {
    /// To be sent again up to here, before a receipt comes.
    pub(super) end: u64,
    /// What was acknowledged when the receipts stayed away.
    pub(super) whole: u64,
    /// Batches in the last portion.
    pub(super) batches: usize,
}

/// Which cursor gives a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    /// What happens now.
    Live,
    /// The backlog.
    Late,
    /// Whose acknowledgement found no room.
    Refused,
    /// What is sent again for want of a receipt.
    Probe,
}

impl Stream {
    /// Notes a range as acknowledged, as one with those that it touches.
    pub(super) fn acknowledge(&mut self, mut first: u64, mut last: u64) {
        if last <= self.acked {
            return;
        }
        let touching = |ack_ranges: &BTreeMap<u64, u64>, first: u64, last: u64| {
            let (&a, &b) = ack_ranges.range(..=last.saturating_add(1)).next_back()?;
            (b.saturating_add(1) >= first).then_some((a, b))
        };
        while let Some((a, b)) = touching(&self.ack_ranges, first, last) {
            self.ack_ranges.remove(&a);
            (first, last) = (first.min(a), last.max(b));
        }
        if first <= self.acked + 1 {
            self.acked = last;
        } else if self.ack_ranges.len() < MAX_ACK_RANGES {
            self.ack_ranges.insert(first, last);
        } else {
            // What is known is never forgotten for it.
            let (a, b) = self.refused.unwrap_or((first, last));
            self.refused = Some((a.min(first), b.max(last)));
        }
    }
    /// What was refused goes out again, once there is room to note its acknowledgement; what fills the gap behind
    /// which everything waits needs none.
    pub(super) fn take_up_refused(&mut self) {
        let Some((first, last)) = self.refused.filter(|_| self.again.0.given >= self.again.1) else { return };
        let room = self.ack_ranges.len() < MAX_ACK_RANGES;
        if !room && first > self.acked + 1 {
            return;
        }
        let first = first.max(self.acked + 1);
        let ack_range = self.ack_ranges.first_key_value().map(|(ack_range, _)| *ack_range - 1);
        let end = if room { last } else { ack_range.map_or(last, |ack_range| last.min(ack_range)) };
        self.again = (Cursor::at(first - 1), end);
        self.refused = (end < last).then_some((end + 1, last));
    }
    /// Whether something waits to go out once more.
    pub(super) fn goes_again(&self) -> bool {
        let probing = self.probe.is_some_and(|p| self.probing.given < p.end);
        probing || self.refused.is_some() || self.again.0.given < self.again.1
    }
    pub(super) fn cursor(&mut self, which: Which) -> &mut Cursor {
        match which {
            Which::Live => &mut self.live,
            Which::Late => &mut self.late,
            Which::Refused => &mut self.again.0,
            Which::Probe => &mut self.probing,
        }
    }
    /// The last event that was acknowledged, with or without a gap before it.
    pub(super) fn acked_last(&self) -> u64 {
        self.ack_ranges.last_key_value().map_or(self.acked, |(_, last)| *last)
    }
    /// The next portion of a probe.
    pub(super) fn probe_from(&mut self, from: u64, batches: usize, batch: usize, whole: u64) {
        let end = from.saturating_add((batches * batch) as u64).min(whole);
        self.probing = Cursor::at(from);
        self.probe = Some(Probe { end, whole, batches });
    }
    /// The end of the range that holds an event.
    pub(super) fn ack_range(&self, seq: u64) -> Option<u64> {
        self.ack_ranges.range(..=seq).next_back().map(|(_, last)| *last).filter(|last| *last >= seq)
    }
}
