//! The central side of Kakou: what takes the events of a fleet, shows the fleet, enrols its boxes, signs for it, and makes
//! its passes and lists.
//!
//! [`ingest`] stores events and says what is stored; [`fleet`] is the page of a fleet; [`enrol`] the enrolment server with
//! the register of the authority; [`feeds`] reads the tables of offices for lists. A box is made of nothing of it.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod cli;
pub mod enrol;
pub mod feeds;
pub mod fleet;
pub mod ingest;
pub mod metrics;
pub mod qr;
