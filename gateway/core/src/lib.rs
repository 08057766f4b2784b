//! The pure part of the Kakou checkpoint gateway.
//!
//! Inputs and a moment go in; events, state changes and effects come out. Nothing here reads a
//! clock, opens a file or sleeps: see [`lane`] for the engine, [`pass`] for what a code must prove,
//! [`profile`] for how a lane is described, [`delivery`] for how events reach the central side.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test fails by panicking"))]

pub mod codes;
pub mod console;
pub mod contract;
pub mod core;
pub mod delivery;
pub mod entry;
pub mod event;
pub mod evidence;
mod hex;
pub mod hl7;
pub mod ids;
pub mod lane;
pub mod lists;
pub mod pass;
pub mod profile;
pub mod reading;
pub mod records;
pub mod register;
pub mod rules;
pub mod scenario;
pub mod schedule;
pub mod screening;
pub mod signed;
pub mod text;
pub mod time;
