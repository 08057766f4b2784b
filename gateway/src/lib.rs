//! The Kakou gateway: the daemon, what it keeps, what it shows and what it sends.
//!
//! [`daemon`] puts the parts together; [`engine`] owns the core and the journal.
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test fails by panicking"))]

// First: the macros of it are seen by what follows.
#[macro_use]
pub mod printed;

pub mod answers;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod devices;
pub mod doctor;
pub mod engine;
pub mod enrol;
pub mod evidence;
pub mod feeds;
pub mod hospital;
pub mod http;
pub mod keys;
pub mod metrics;
pub mod notify;
pub mod orders;
pub mod overview;
pub mod pack;
pub mod start_pages;
pub mod store;
pub mod subjects;
pub mod upstream;

/// One allocator for the daemon, the command and whatever measures them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The option `purge_delay` of the allocator, which its bindings do not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// From now on pages that are free go back to the system at once, and not a second later: what a start or a busy
/// moment has used is not kept by a daemon that runs for months. No verdict waits for it.
pub fn give_memory_back() {
    #[expect(unsafe_code, reason = "the bindings have no other way to it")]
    // SAFETY: the allocator keeps a number under an option that it knows.
    unsafe {
        libmimalloc_sys::mi_option_set(PURGE_DELAY, 0);
    }
}
