//! Whose staff badge signs on at a lane.
//!
//! A badge is a code that can be copied: alone it gives no more than the configuration says, by the role of its officer.

use crate::lane::action::{Officer, Role};
use crate::pass::id;
use std::collections::{BTreeMap, BTreeSet};

/// Badges that sign on, by the subject of the pass.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Badges {
    officers: BTreeMap<String, Officer>,
    roles: BTreeSet<Role>,
    idle_ms: u64,
}

impl Badges {
    /// From who has which badge (the id on it), the roles that act by badge alone, and how long a sign-on lasts without a
    /// code, in milliseconds. An administrator decides nothing in a lane.
    pub fn new(
        officers: impl IntoIterator<Item = (String, Officer)>,
        roles: impl IntoIterator<Item = Role>,
        idle_ms: u64,
    ) -> Self {
        let officers = officers.into_iter().map(|(badge, officer)| (id::normal(&badge), officer)).collect();
        let roles = roles.into_iter().filter(|role| *role != Role::Admin).collect();
        Self { officers, roles, idle_ms }
    }

    /// Whether anybody signs on by badge here.
    pub fn none(&self) -> bool {
        self.officers.is_empty()
    }

    /// Whose badge it is.
    pub fn of(&self, subject: &str) -> Option<&Officer> {
        self.officers.get(&id::normal(subject))
    }

    /// Whether a role acts by badge alone.
    pub fn may(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }

    /// How long a sign-on lasts without a code, in milliseconds.
    pub const fn idle_ms(&self) -> u64 {
        self.idle_ms
    }
}
