//! What Kakou's programs say to each other: a shape is here as soon as two programs share it.
//!
//! Envelopes and their topics, receipts, lists, orders, enrolment, what gateways of a site tell each other, and the
//! [AsyncAPI document](asyncapi) that is made of them. Pure: whoever sends and hears is elsewhere.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod asyncapi;
pub mod contract;
pub mod enrol;
pub mod feed;
pub mod order;
pub mod peers;
pub mod photo;
pub mod receipt;
pub mod topic;
pub mod trace;
