//! An outbox in memory, for tests and simulations. Clones share the rows.

use super::outbox::{Outbox, Row, Unreadable};
use crate::event::Class;
use std::cell::RefCell;
use std::rc::Rc;

#[derive(Debug, Default)]
struct Kept {
    seq: u64,
    heads: [u64; 4],
    /// Rows of each stream in order; without a body where it was shed.
    streams: [Vec<(Row, bool)>; 4],
    fails: bool,
}

/// The rows.
#[derive(Debug, Clone, Default)]
pub struct Rows(Rc<RefCell<Kept>>);

impl Rows {
    /// Stores an event, whose body is made of its number in the stream; gives that number.
    pub fn push(&self, class: Class, at_ms: i64, body: impl FnOnce(u64) -> Vec<u8>) -> u64 {
        let mut kept = self.0.borrow_mut();
        let i = usize::from(class.number());
        kept.seq += 1;
        kept.heads[i] += 1;
        let (seq, stream_seq) = (kept.seq, kept.heads[i]);
        kept.streams[i].push((Row { seq, stream_seq, at_ms, body: body(stream_seq) }, false));
        stream_seq
    }

    /// The last event of each stream.
    pub fn heads(&self) -> [u64; 4] {
        self.0.borrow().heads
    }

    /// Takes the body of an event away.
    pub fn shed(&self, class: Class, stream_seq: u64) {
        self.change(class, stream_seq, |(_, shed)| *shed = true);
    }

    /// Gives an event another body.
    pub fn replace(&self, class: Class, stream_seq: u64, body: Vec<u8>) {
        self.change(class, stream_seq, |(row, _)| row.body = body);
    }

    /// Deletes what a stream has up to here.
    pub fn purge(&self, class: Class, through: u64) {
        let stream = &mut self.0.borrow_mut().streams[usize::from(class.number())];
        stream.retain(|(row, _)| row.stream_seq > through);
    }

    /// From now on nothing can be read, or again.
    pub fn fail(&self, fails: bool) {
        self.0.borrow_mut().fails = fails;
    }

    fn change(&self, class: Class, stream_seq: u64, change: impl FnOnce(&mut (Row, bool))) {
        let stream = &mut self.0.borrow_mut().streams[usize::from(class.number())];
        if let Some(row) = stream.iter_mut().find(|(row, _)| row.stream_seq == stream_seq) {
            change(row);
        }
    }

    /// Looks at the rows of a stream, each with whether it was shed.
    fn look<T>(&self, class: Class, with: impl FnOnce(&[(Row, bool)]) -> T) -> Result<T, Unreadable> {
        let kept = self.0.borrow();
        if kept.fails {
            return Err(Unreadable("the disk does not answer".into()));
        }
        Ok(with(&kept.streams[usize::from(class.number())]))
    }
}

impl Outbox for Rows {
    fn after(
        &self,
        class: Class,
        after: u64,
        last: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Row>, Unreadable> {
        self.look(class, |rows| {
            let (mut out, mut size) = (Vec::new(), 0);
            let there = rows.iter().filter(|(_, shed)| !shed).map(|(row, _)| row);
            for row in there.filter(|row| row.stream_seq > after && row.stream_seq <= last).take(limit) {
                size += row.body.len();
                if size > bytes && !out.is_empty() {
                    break;
                }
                out.push(row.clone());
            }
            out
        })
    }

    fn stored_before(&self, class: Class, after: u64, head: u64, before_ms: i64) -> Result<u64, Unreadable> {
        self.look(class, |rows| {
            let between =
                rows.iter().rev().filter(|(row, _)| row.stream_seq > after && row.stream_seq <= head);
            between.map(|(row, _)| row).find(|row| row.at_ms < before_ms).map_or(after, |row| row.stream_seq)
        })
    }

    fn floor(&self, class: Class, head: u64) -> Result<u64, Unreadable> {
        self.look(class, |rows| {
            rows.iter().find(|(_, shed)| !shed).map_or(head, |(row, _)| row.stream_seq - 1)
        })
    }
}
