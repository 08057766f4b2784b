//! How photographs travel.

/// Bytes of a chunk: small enough that one never holds up a verdict for long.
pub const CHUNK: usize = 16 << 10;
/// A photograph that is larger was not made by a gateway.
pub const MAX_BYTES: usize = 64 << 20;
