//! What signs: the certificate authority of a fleet, the issuer of passes and of messages to gateways, and printed cards.
//! No box has it installed.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod authority;
pub mod issuer;
pub mod sheet;
