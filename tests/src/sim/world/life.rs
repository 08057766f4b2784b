//! Steps of the box, and its power.

use super::{Cut, What, World};
use crate::sim::model::{Asked, Recorded, Said};
use crate::sim::planted::Planted;
use crate::sim::watch::Event;
use kakou_core::reading::{Command, Report, Request};
use kakou_gateway::engine::{Effects, Job, Moment};
use kakou_gateway::store::outbox;
use std::time::{Duration, UNIX_EPOCH};

/// Places for a cut, one after another: more than a visit writes and syncs.
const SWEEP: u64 = 48;

impl World {
    /// The box does something: jobs in one transaction, what follows from it, and what it owes to its clock and store.
    pub(super) fn step(&mut self, said: Said, jobs: Vec<Job>) -> Result<(), String> {
        if self.gateway.engine().is_none() {
            return Ok(());
        }
        let now = self.now();
        let effects = self.gateway.handle(&now, jobs);
        if self.is_cut()? {
            let early = self.planted == Some(Planted::ActBeforeCommit);
            return self.dies(said, if early { asked(&effects) } else { Vec::new() });
        }
        self.carry_out(said, effects)?;
        let files_at = UNIX_EPOCH + Duration::from_millis(self.moment().wall_ms.unsigned_abs());
        let effects = self.gateway.upkeep(&Moment { now, claimed_ms: now.wall_ms, files_at });
        if self.is_cut()? {
            return self.dies(Said::Nothing, Vec::new());
        }
        self.watch.purges(&self.disk, &self.central)?;
        self.carry_out(Said::Nothing, effects)
    }

    fn is_cut(&self) -> Result<bool, String> {
        self.disk.is_cut().map_err(|e| e.to_string())
    }

    /// What came on record counts, then what follows is done.
    fn carry_out(&mut self, said: Said, effects: Effects) -> Result<(), String> {
        if let Some(exit) = effects.exit {
            return Err(format!("the daemon ends: {exit:?}"));
        }
        let came = self.look()?;
        let asked = asked(&effects);
        if !asked.is_empty() && self.disk.is_unsynced() {
            return Err(format!("{asked:?}, and what says so is not durable"));
        }
        self.last_opening = asked.iter().copied().find(|a| matches!(a, Asked::Open(_))).or(self.last_opening);
        let recorded: Vec<Recorded> = came.into_iter().map(|e| e.recorded).collect();
        self.model.step(self.moment(), said, &recorded, &asked)?;
        self.seen(&recorded);
        self.follow_effects(effects)
    }

    fn look(&mut self) -> Result<Vec<Event>, String> {
        let came = self.watch.look(&self.disk)?;
        for Event { seq, class, stream_seq, recorded, hash } in &came {
            let data = &recorded.data;
            let what = [&data["outcome"], &data["codes"], &data["state"], &data["reason"]];
            let what: Vec<String> = what.iter().filter(|v| !v.is_null()).map(ToString::to_string).collect();
            let visit = recorded.visit.map(|v| format!(" visit {v}")).unwrap_or_default();
            let (kind, what, hash) = (&recorded.kind, what.join(" "), &hash.hex()[..8]);
            self.course
                .says(&format!("  #{seq} {} {stream_seq} {kind}{visit} {what} {hash}", class.as_str()));
        }
        Ok(came)
    }

    fn follow_effects(&mut self, effects: Effects) -> Result<(), String> {
        for line in effects.lines.iter().filter(|line| line.level <= log::Level::Warn) {
            self.course.says(&format!("  says: {}", line.text));
        }
        for (Request { device, ticket, command }, _) in effects.commands {
            self.course.says(&format!("  {device} is asked: {command:?}"));
            match command {
                Command::Measure => self.measure(ticket),
                Command::Pulse { .. } => self.pulse(ticket),
                Command::Stop
                | Command::Capture { .. }
                | Command::Print { .. }
                | Command::Read { .. }
                | Command::Signal { .. } => {}
            }
        }
        let Some(streams) = effects.streams else { return Ok(()) };
        let follows = self.uplink.stored(self.delivery_now(), streams);
        self.follow(follows)
    }

    /// The power goes: at once, or in the middle of what is written next.
    pub(super) fn power_off(&mut self) -> Result<(), String> {
        if self.course.ended_at().is_some() {
            return Ok(());
        }
        if self.gateway.engine().is_none() {
            self.course.later(60_000, What::PowerOff);
            return Ok(());
        }
        self.off_is_due = false;
        let place = match &mut self.sweep {
            Some(place) => {
                *place = *place % SWEEP + 1;
                Some(*place)
            }
            None if self.power.per_mille(250) => None,
            None => Some(self.power.between(1, 20)),
        };
        self.disk.cut_before(place);
        if place.is_some() {
            return Ok(());
        }
        self.disk.cut().map_err(|e| e.to_string())?;
        self.dies(Said::Nothing, Vec::new())
    }

    /// The box is dead. What it was told last may be on record, or not.
    fn dies(&mut self, said: Said, asked: Vec<Asked>) -> Result<(), String> {
        self.course.says(&format!("the power goes ({said:?})"));
        let now = self.moment();
        self.cut.get_or_insert(Cut { now, said, asked });
        self.watch.close();
        self.uplink.dies();
        self.gateway.dies();
        self.disk.power_on().map_err(|e| e.to_string())?;
        if let Some(planted) = self.planted {
            planted.takes(self.disk.folder()).map_err(|e| e.to_string())?;
        }
        let long = self.power.per_mille(250);
        let off = if long { self.power.between(50_000, 200_000) } else { self.power.between(1_000, 25_000) };
        self.course.later(off, What::PowerOn);
        let next = self.power.between(10_000, 240_000);
        if !std::mem::replace(&mut self.off_is_due, true) {
            self.course.later(off + next, What::PowerOff);
        }
        Ok(())
    }

    /// The box is on again.
    pub(super) fn power_on(&mut self) -> Result<(), String> {
        self.life += 1;
        let clock_known = self.course.ended_at().is_some() || self.power.per_mille(700);
        self.clock.begins(self.course.at(), clock_known);
        if !clock_known {
            let known = self.power.between(2_000, 60_000);
            self.course.later(known, What::ClockKnown(self.life));
        }
        self.course.says(&format!("the power is on, life {}, clock known: {clock_known}", self.life));
        if self.planted == Some(Planted::CommitWithoutSync) {
            self.disk.lies();
        }
        // Seldom it goes again before the box is up.
        if self.course.ended_at().is_none() && self.power.per_mille(150) {
            let place = self.power.between(1, 60);
            self.disk.cut_before(Some(place));
        }
        let now = self.now();
        let effects = self.gateway.switch_on(&self.site, &self.disk, self.life, &now)?;
        if self.is_cut()? {
            return self.dies(Said::Nothing, Vec::new());
        }
        self.epoch = self.gateway.engine().map_or(self.epoch, |engine| engine.epoch());
        self.watch.open(self.disk.folder(), self.epoch, false)?;
        self.watch.verify(self.disk.folder(), crate::sim::site::gateway_key().public())?;
        let came: Vec<Recorded> = self.look()?.into_iter().map(|e| e.recorded).collect();
        let begins = came.iter().position(|e| e.kind == "started").ok_or("a start is not on record")?;
        let (before, start) = came.split_at(begins);
        match self.cut.take() {
            Some(Cut { now, said, asked }) => self.model.cut(now, said, before, &asked)?,
            None if before.is_empty() => {}
            None => return Err("something came on record while the box was off".into()),
        }
        let mut asked = asked(&effects);
        if self.planted == Some(Planted::OpensAgain) {
            asked.extend(self.last_opening.take());
        }
        if !asked.is_empty() && self.disk.is_unsynced() {
            return Err(format!("{asked:?} at a start, and what says so is not durable"));
        }
        self.model.restarted(self.moment(), start, &asked)?;
        self.seen(&came);
        let Some(engine) = self.gateway.engine() else { return Err("the box is not on".into()) };
        let positions = outbox::positions(engine.journal().connection()).map_err(|e| e.to_string())?;
        self.uplink.begin(self.disk.folder(), self.epoch, positions, self.course.seed() ^ self.life)?;
        self.follow_effects(effects)?;
        let follows = self.uplink.wake(self.delivery_now());
        self.follow(follows)?;
        for device in crate::sim::gateway::DEVICES {
            self.course
                .later(0, What::Device(self.life, device, Report::Link { ready: true }, Said::Nothing));
        }
        Ok(())
    }
}

/// What devices are asked that the model knows of.
fn asked(effects: &Effects) -> Vec<Asked> {
    let one = |(request, _): &(Request, _)| match request.command {
        Command::Measure => Some(Asked::Measure(request.ticket.0)),
        Command::Pulse { .. } => Some(Asked::Open(request.ticket.0)),
        Command::Stop
        | Command::Capture { .. }
        | Command::Print { .. }
        | Command::Read { .. }
        | Command::Signal { .. } => None,
    };
    effects.commands.iter().filter_map(one).collect()
}
