//! What the devices of a lane report: a code, a contact, an answer to what its step has asked.

use super::door;
use super::scan::Scanned;
use super::step::{self, StepInput, StepKind};
use super::visit::Origin;
use super::{LOOP, Lane, Outbound};
use crate::event::Class;
use crate::ids::{DeviceId, VisitId};
use crate::profile::DeviceKind;
use crate::reading::{Command, Report, Request, Ticket};
use crate::records::{Records, RecordsFault};
use crate::time::Now;
use serde_json::json;

impl Lane {
    /// A device of this lane reports.
    pub fn report(
        &mut self,
        now: &Now,
        device: &DeviceId,
        report: &Report,
        next_visit: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<(), RecordsFault> {
        self.heard(now, (device, report), next_visit, records, out)?;
        self.next_in_front(now, records, out)?;
        self.watch_door(now, out);
        Ok(())
    }

    pub(super) fn heard(
        &mut self,
        now: &Now,
        (device, report): (&DeviceId, &Report),
        next_visit: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<(), RecordsFault> {
        let running = self.is_running();
        let coded = match report {
            Report::Scan { bytes } => Some((bytes.as_slice(), Origin::Scan)),
            Report::Plate { text } => Some((text.trim().as_bytes(), Origin::Plate)),
            Report::Temperature { .. }
            | Report::Photo { .. }
            | Report::Done { .. }
            | Report::NoData { .. }
            | Report::Input { .. }
            | Report::Weight { .. }
            | Report::Link { .. } => None,
        };
        if let Some((bytes, origin)) = coded {
            let setup = self.setup.clone();
            let on = setup.devices.iter().find(|(_, d)| *d == device).map(|(role, _)| role.as_str());
            if origin == Origin::Scan && self.staff_code(now, (bytes, on), next_visit, records, out)? {
                return Ok(());
            }
            let taken = running && self.current_step().is_some_and(|s| s.kind.takes_codes());
            if !taken || origin == Origin::Plate {
                return self.scan(now, Scanned { bytes, origin, on }, next_visit, records, out).map(drop);
            }
        }
        if self.opening_heard(now, report, out) {
            return Ok(());
        }
        match report {
            Report::Input { active } => {
                self.input(now, (device, *active), next_visit, records, out)?;
                let locked = |s: &crate::profile::Step| matches!(&s.kind, StepKind::Actuate(a) if a.interlock.is_some());
                if running && self.is_running() && self.current_step().is_some_and(locked) {
                    self.stimulate(now, &StepInput::Report(report), records, out).map(drop)?;
                }
                return Ok(());
            }
            Report::Weight { grams, .. } => {
                let data = json!({ "device": device, "grams": grams });
                out.event(
                    "weight",
                    Class::Sample,
                    &self.setup,
                    self.state.visit.as_ref().map(|v| v.id),
                    data,
                );
            }
            Report::Scan { .. }
            | Report::Plate { .. }
            | Report::Temperature { .. }
            | Report::Photo { .. }
            | Report::Done { .. }
            | Report::NoData { .. }
            | Report::Link { .. } => {}
        }
        if self.remote_heard(report, out) {
            return Ok(());
        }
        if let Report::Done { ticket } | Report::NoData { ticket, .. } = report {
            let at_step = self.state.visit.as_ref().filter(|_| running);
            let waits = at_step
                .is_some_and(|v| v.prints.iter().any(|s| s.step == v.step && s.tickets.contains(ticket)));
            let slip = self.state.visits().find(|v| v.awaits_slip(*ticket)).map(|v| v.id);
            if let Some(id) = slip.filter(|_| !waits) {
                let (setup, mut told) = (self.setup.clone(), Outbound::default());
                self.amend(id, out, |v| step::print::slip_answer(v, *ticket, report, &setup, &mut told));
                out.add(told);
                return Ok(());
            }
        }
        if !running {
            return Ok(());
        }
        // A link report concerns the step only if it is about the step's own device.
        if matches!(report, Report::Link { .. }) && self.step_device() != Some(device) {
            return Ok(());
        }
        self.stimulate(now, &StepInput::Report(report), records, out).map(drop)
    }

    /// An input of the lane changed. A vehicle on the loop wakes the scanners that wait for one; others begin a visit.
    pub(super) fn input(
        &mut self,
        now: &Now,
        (device, active): (&DeviceId, bool),
        next_visit: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<(), RecordsFault> {
        let setup = self.setup.clone();
        let Some((role, _)) = setup.devices.iter().find(|(_, d)| *d == device) else { return Ok(()) };
        let role = door::named(role);
        self.state.inputs.insert(role.to_owned(), active);
        let data = json!({ "role": role, "device": device, "active": active });
        out.event("input", Class::Health, &self.setup, self.state.visit.as_ref().map(|v| v.id), data);
        if role == LOOP {
            let scanners = self.setup.profile.devices().filter(|(_, kind, _)| *kind == DeviceKind::Scanner);
            for scanner in scanners.filter_map(|(role, _, _)| self.setup.devices.get(role)) {
                let (device, command) = (scanner.clone(), Command::Read { on: active });
                out.requests.push(Request { device, ticket: Ticket::NOBODY, command });
            }
        }
        if role == door::DOOR {
            self.door(now, device, active, out);
        }
        if let Some(origin) = setup.profile.start.input(role).filter(|_| active) {
            self.begin_without(now, origin, (role, None), next_visit, records, out)?.ok();
        }
        Ok(())
    }
}
