//! What delivery reads of a journal.

use crate::event::Class;

/// One event to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its order in the journal.
    pub seq: u64,
    /// Its order in its stream.
    pub stream_seq: u64,
    /// When it was stored.
    pub at_ms: i64,
    /// The CloudEvents JSON.
    pub body: Vec<u8>,
}

/// The journal cannot be read now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

/// The journal, as delivery reads it. There is no table of what waits: the journal is the outbox, and two numbers a
/// stream say how far it was acknowledged and receipted.
pub trait Outbox {
    /// Events of a stream after `after` and up to `last` that have a body, at most `limit` and at most `bytes` (but at
    /// least one).
    fn after(
        &self,
        class: Class,
        after: u64,
        last: u64,
        limit: usize,
        bytes: usize,
    ) -> Result<Vec<Row>, Unreadable>;

    /// The last event of a stream, between `after` and `head`, that was stored before a moment; `after` if there is
    /// none.
    fn stored_before(&self, class: Class, after: u64, head: u64, before_ms: i64) -> Result<u64, Unreadable>;

    /// Up to where a stream is gone: purged, or its oldest bodies shed.
    fn floor(&self, class: Class, head: u64) -> Result<u64, Unreadable>;
}
