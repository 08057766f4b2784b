//! The contact of the door: it opens without having been opened, or stays open too long.

use super::{Due, Lane, Outbound};
use crate::event::Class;
use crate::ids::DeviceId;
use crate::reading::Command;
use crate::time::{MonoMs, Now};
use serde_json::json;

/// The role of the contact.
pub const DOOR: &str = "door";
/// The same where the lock of the door has that name in a lane.
pub const DOOR_CONTACT: &str = "door-contact";

/// A door may stand open so long behind an opening, in milliseconds.
pub const HELD_MS: u64 = 30_000;

/// What is known of the door.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Door {
    /// When something was opened last.
    opened: Option<MonoMs>,
    /// When it counts as held, while it stands open.
    held_at: Option<MonoMs>,
}

/// The name of a contact: where it has to share its role with a lock, it has another one in the configuration.
pub(super) fn named(role: &str) -> &str {
    if role == DOOR_CONTACT { DOOR } else { role }
}

impl Lane {
    /// When the door has stood open for too long.
    pub(super) fn door_due(&self) -> Option<(MonoMs, Due)> {
        self.state.door.held_at.map(|at| (at, Due::Door))
    }

    /// Whatever opens the door makes what its contact says expected.
    pub(super) fn watch_door(&mut self, now: &Now, out: &Outbound) {
        if out.requests.iter().any(|request| matches!(request.command, Command::Pulse { .. })) {
            self.state.door.opened = Some(now.mono_ms);
            if let Some(held_at) = &mut self.state.door.held_at {
                *held_at = now.mono_ms + HELD_MS;
            }
        }
    }

    /// The contact of the door has changed.
    pub(super) fn door(&mut self, now: &Now, device: &DeviceId, active: bool, out: &mut Outbound) {
        self.state.door.held_at = None;
        if !active {
            return;
        }
        let until = self.state.door.opened.map(|at| at + HELD_MS).filter(|until| *until > now.mono_ms);
        match until {
            Some(until) => self.state.door.held_at = Some(until),
            None => out.event("door_forced", Class::Verdict, &self.setup, None, json!({ "device": device })),
        }
    }

    /// The door still stands open.
    pub(super) fn door_held(&mut self, out: &mut Outbound) {
        if self.state.door.held_at.take().is_some() {
            let data = json!({ "seconds": HELD_MS / 1_000 });
            out.event("door_held", Class::Verdict, &self.setup, None, data);
        }
    }
}
