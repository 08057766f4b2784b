//! The store in memory that scenarios are played on.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod suite;

use kakou_core::scenario::{gateway, store::Memory};

store_suite!(Memory::new(gateway()));
