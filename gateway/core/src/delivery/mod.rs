//! Delivery to the central side, without a clock, a socket or a file: what goes out when, what an acknowledgement and a
//! receipt mean, when something goes again, when a connection is given up and when the next one begins.
//!
//! The journal is the only truth; everything here can be thrown away. After each connection the events behind the last
//! acknowledgement are read again. An acknowledgement of the broker is not durability: the journal is purged up to the
//! receipt of the central side, and what was not receipted for [`RECEIPT_PATIENCE`] is sent again, a little at first: a
//! central side that is slow must not get more to do by being slow.
//!
//! [`Delivery`] is told what happened and when ([`Delivery::handle`]), says what is to be done ([`Output`]) and when it
//! wants to be asked again ([`Delivery::deadline`]). Whoever drives it has the clock, the client and the journal.

pub mod backoff;
pub mod bucket;
pub mod budget;
mod flight;
mod link;
mod outbox;
pub mod pace;
mod positions;
mod rows;
mod session;

pub use flight::{Batch, LATE_MS, TooLarge};
pub use link::{Delivery, Input, LinkError, Output, Receipt, Settings, Severity, Status};
pub use outbox::{Outbox, Row, Unreadable};
pub use positions::{Position, Positions};
pub use rows::Rows;

use crate::time::WallMs;
use std::time::Duration;

/// In flight and no acknowledgement for this long: the peer has stopped reading.
pub const PROGRESS_LIMIT: Duration = Duration::from_secs(20);
/// Acknowledged but not receipted for this long: the oldest events are sent again. Twice as long each time.
pub const RECEIPT_PATIENCE: Duration = Duration::from_secs(30);
/// And no longer than this.
pub const RECEIPT_PATIENCE_MAX: Duration = Duration::from_secs(15 * 60);
/// The largest message body.
pub const MAX_BODY: usize = 200 * 1024;

/// The moment of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The monotonic clock, since a start that the driver chooses. Round trips on a local network take less than a
    /// millisecond, so this has more than that.
    pub mono: Duration,
    /// The wall clock; 0 where it is not known.
    pub wall_ms: WallMs,
}
