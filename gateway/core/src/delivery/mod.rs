//! Delivery to the central side, without a clock, a socket or a file.

mod positions;

pub use positions::{Position, Positions};
