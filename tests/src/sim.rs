//! A gateway in a simulated world: one thread, one seed, one trace.
//!
//! Programs that kill real processes are true, slow, and cannot be repeated exactly. This is the other half.

pub mod disk;
pub mod draw;
