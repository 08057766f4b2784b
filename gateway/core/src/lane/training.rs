//! A lane that is practised on: it opens nothing, prints nothing and lights nothing, uses nothing up, and counts nowhere.
//!
//! Everything else is as at any lane: its steps, rules, lists and screens. Its devices that do something in the world are
//! not there for it; what it would write about passes, seals and registers is left out; its events are of one kind,
//! `training`, with the kind that they would have inside, so that no verdict of it is ever taken for one. What is practised
//! never becomes real: when the mode changes, every visit of before is left behind.

use super::step::actuate::SIGNAL;
use super::visit::Stage;
use super::{Lane, Outbound, Setup};
use crate::event::Class;
use crate::profile::DeviceKind;
use crate::records::{RecordsFault, Write};
use serde_json::{Value, json};
use std::sync::Arc;

/// The kind of all its events.
pub const TRAINING: &str = "training";

impl Setup {
    /// Takes away what acts in the world.
    pub(super) fn practise(&mut self) {
        let acts = |kind: DeviceKind| match kind {
            DeviceKind::Relay | DeviceKind::Printer | DeviceKind::Signal => true,
            DeviceKind::Scanner
            | DeviceKind::Thermometer
            | DeviceKind::Camera
            | DeviceKind::Scale
            | DeviceKind::Input => false,
        };
        let profiles: Vec<_> = std::iter::once(&self.profile).chain(self.members.values()).cloned().collect();
        for profile in profiles {
            for (role, ..) in profile.devices().filter(|(_, kind, _)| acts(*kind)) {
                self.devices.remove(role);
            }
        }
        self.devices.remove(SIGNAL);
    }
}

/// An event as it is told: its kind, its class and its data.
pub(super) fn told<'k>(kind: &'k str, class: Class, setup: &Setup, data: Value) -> (&'k str, Class, Value) {
    if !setup.training {
        return (kind, class, data);
    }
    (TRAINING, Class::Scan, json!({ "kind": kind, "data": data }))
}

impl Outbound {
    /// Of what is practised nothing is used up, and nothing counts.
    pub(crate) fn practise(&mut self) {
        self.writes.retain(|write| matches!(write, Write::Archive { .. }));
        self.outcomes.clear();
    }
}

impl Lane {
    /// The mode has changed: what was practised is not taken up, and what was real is not practised on.
    pub(super) fn change_mode(&mut self, out: &mut Outbound) -> Result<(), RecordsFault> {
        if self.state.training == self.setup.training {
            return Ok(());
        }
        // What is said of visits of before is said as it was then.
        let setup = self.setup.clone();
        self.setup = Arc::new(Setup { training: self.state.training, ..(*setup).clone() });
        let open: Vec<_> = self.state.open.iter().map(|v| v.id).collect();
        for id in open {
            let Some(at) = self.open_place(id) else { continue };
            self.apart(at, out, |lane, out| {
                lane.abandon_at(None, None, TRAINING, out);
                Ok(())
            })?;
        }
        match self.state.visit.as_ref().map(|v| v.stage) {
            Some(Stage::Running) => self.abandon_at(None, None, TRAINING, out),
            Some(Stage::Parked { .. } | Stage::Done | Stage::Abandoned) => self.archive(out),
            None => {}
        }
        self.setup = setup;
        let state = &mut self.state;
        state.recent.clear();
        state.reads.clear();
        state.counters.clear();
        state.opening.clear();
        (state.guests, state.desk) = (None, None);
        (state.before, state.training) = (state.last_visit, self.setup.training);
        Ok(())
    }
}
