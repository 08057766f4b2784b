//! Issuer keys, trust lists and what becomes of certificates in them.

#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod authority;
pub mod certificate;
pub mod code;
pub mod envelope;
pub mod identity;
pub mod issuer;
pub mod sheet;
pub mod subjects;
