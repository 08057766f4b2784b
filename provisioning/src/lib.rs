//! What a box needs to become and to stay a gateway: its identity, codes and envelopes, keys of persons, and what becomes
//! of certificates in trust lists. Whoever signs for others is in `kakou-authority`.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod certificate;
pub mod code;
pub mod envelope;
pub mod identity;
pub mod subjects;
