//! Who signs for others: the certificate authority of a fleet, the issuer of passes and of words to boxes, and its cards on
//! paper. No box has it.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod authority;
pub mod issuer;
pub mod sheet;
