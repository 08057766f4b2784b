//! Scenario files: visits played against a profile, with the real core, a store, and a clock that the file sets. No
//! device, no daemon, no sleeping: what the file does not say of a device, the device does by itself.
//!
//! [`read`] reads a file, [`play`] plays it. A mistake of the file has its line and what is allowed; a [`Failure`] has the
//! line of the act, and what was found there. A word that is known and cannot be played yet is a failure that
//! names it.

mod acts;
mod console;
mod expect;
mod file;
mod form;
mod hospital;
pub mod outcomes;
mod passes;
mod registers;
mod serve;
pub mod shown;
pub mod store;
pub mod table;
mod verb;
mod when;
mod words;
mod world;

pub use acts::{found, gateway, play};
pub use expect::Observed;
pub use file::{Mistake, Scenario, read};
pub(crate) use when::duration;

/// Finds a profile by what a file calls it, a shipped id or a path: its name for errors, and its text.
pub type Profiles<'a> = &'a dyn Fn(&str) -> Result<(String, String), String>;

/// Why a file did not come out as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The line of the act.
    pub line: usize,
    /// What is not as it must be.
    pub why: String,
    /// What was found.
    pub found: Box<Observed>,
}

impl Failure {
    fn not_built(what: &file::NotBuilt) -> Self {
        Self { line: what.line, why: format!("not built yet: {}", what.what), found: Box::default() }
    }
}

/// The shipped profiles by their ids.
pub fn shipped(name: &str) -> Result<(String, String), String> {
    let found = crate::profile::shipped::find(name);
    found.map(|(file, text)| (file.to_owned(), text.to_owned())).ok_or_else(|| {
        let ids: Vec<&str> = crate::profile::shipped::ids().collect();
        format!("profile `{name}` is not shipped; shipped are: {}", ids.join(", "))
    })
}

#[cfg(test)]
mod tests;
