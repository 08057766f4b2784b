//! Steps of the box, its power, and what must be true of each step.

use super::pair::Told;
use super::staff::Act;
use super::world::{What, World};
use super::{Fault, foretold, places};
use crate::sim::disk::Full;
use crate::sim::watch::Event;
use kakou_core::codes::Outcome;
use kakou_core::core::Input;
use kakou_core::lane::action::{Action, Rejection};
use kakou_core::lane::remote::{Remote, Sender};
use kakou_core::reading::{Command, Report};
use kakou_core::time::Quality;
use kakou_gateway::engine::{Effects, Engine, Job, Moment, ReplyTo};
use kakou_gateway::store::outbox;
use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

/// Why the box does something.
#[derive(Debug, Clone)]
pub(super) enum Cause {
    /// Its time has come, or a device has said something.
    Time,
    /// Somebody has come to a lane.
    Guest(usize, u32),
    /// Staff act; perhaps for somebody who comes.
    Desk(usize, Box<Act>, Option<u32>),
    /// Central ops open a lane, by this command.
    Open(usize, String),
}

impl World {
    /// Staff act.
    pub(super) fn acts(&mut self, lane: usize, act: Act) -> Result<(), String> {
        self.acts_for(lane, act, None)
    }

    pub(super) fn acts_for(&mut self, lane: usize, act: Act, guest: Option<u32>) -> Result<(), String> {
        if self.engine.is_none() {
            return Ok(());
        }
        let who = guest.map(|g| format!(" for {g}")).unwrap_or_default();
        let visit = act.visit.map(|v| format!(" of visit {}", v.0)).unwrap_or_default();
        self.course.says(&format!(
            "lane {}: {}{who} does {}{visit}",
            lane + 1,
            act.officer.id,
            name(&act.action)
        ));
        let input = Input::Desk {
            lane: self.places[lane].lane.clone(),
            officer: act.officer.clone(),
            visit: act.visit,
            action: act.action.clone(),
        };
        self.step(Cause::Desk(lane, Box::new(act), guest), vec![Job::Input(input, Some(ReplyTo(lane)))])
    }

    /// Central ops do something.
    pub(super) fn ops(&mut self) -> Result<(), String> {
        if self.course.ended_at().is_some() {
            return Ok(());
        }
        let next = self.ops.between(20_000, 180_000);
        self.course.later(next, What::Ops);
        let lane = usize::try_from(self.ops.below(self.places.len() as u64)).unwrap_or(0);
        if self.ops.per_mille(500) {
            let of: Vec<_> = self.places[lane].devices.values().map(|d| d.id.clone()).collect();
            if !of.is_empty() {
                let device = self.ops.one_of(&of).clone();
                if !self.lost.contains(&device) {
                    return self.loses(device, true);
                }
            }
            return Ok(());
        }
        if self.engine.is_none() {
            return Ok(());
        }
        let command = format!("C-{}", self.course.steps());
        let sender = Sender {
            command: command.clone(),
            by: "ops".into(),
            issuer: "centre".into(),
            reason: "test".into(),
        };
        let opens = self.ops.per_mille(700);
        let message = Remote::Message { text: "note".into(), for_ms: 60_000 };
        let what = if opens { Remote::Open } else { message };
        self.course.says(&format!("lane {}: central ops, command {command}, opens: {opens}", lane + 1));
        let input = Input::Remote { lane: self.places[lane].lane.clone(), sender, what };
        let cause = if opens { Cause::Open(lane, command) } else { Cause::Time };
        self.step(cause, vec![Job::Input(input, Some(ReplyTo(lane)))])
    }

    /// The box does something: jobs in one transaction, what follows from it, and what it owes to its clock and store.
    pub(super) fn step(&mut self, cause: Cause, jobs: Vec<Job>) -> Result<(), String> {
        let now = self.now();
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let effects = engine.handle(&now, &mut jobs.into_iter().map(|job| (now, job)));
        if self.is_cut()? {
            return self.dies();
        }
        self.carry_out(cause, effects)?;
        let files_at = UNIX_EPOCH + Duration::from_millis(now.wall_ms.unwrap_or(0).unsigned_abs());
        let Some(engine) = &mut self.engine else { return Ok(()) };
        let claimed_ms = self.clock.claimed_ms(self.course.at()).filter(|_| now.quality == Quality::Floor);
        let effects = engine.upkeep(&Moment { now, claimed_ms, files_at });
        if self.is_cut()? {
            return self.dies();
        }
        self.watch.purges(&self.disk, &self.central)?;
        self.carry_out(Cause::Time, effects)
    }

    fn is_cut(&self) -> Result<bool, String> {
        self.disk.is_cut().map_err(|e| e.to_string())
    }

    /// What came on record counts, then what follows is done.
    fn carry_out(&mut self, cause: Cause, effects: Effects) -> Result<(), String> {
        if let Some(exit) = effects.exit {
            return Err(format!("the daemon ends: {exit:?}"));
        }
        if let Some(change) = effects.clock {
            self.clock.hears(self.course.at(), change);
        }
        let came = self.look()?;
        if let Some(heard) = self.answer.take().filter(|_| !effects.stored.is_empty()) {
            if let Told::HeardUse(pass) = &heard {
                self.truth.hears_of(pass.split_once(':').map_or("", |(_, id)| id));
            }
            self.told.push(heard);
        }
        // Nothing of what was done last has happened: the lanes are as they are on record.
        if let Some(Some(code)) = effects.closed {
            self.course.says(&format!("  the lanes are closed: {}", code.as_str()));
            for lane in 0..self.places.len() {
                let running = self.running(lane);
                self.truth.starts(self.course.at(), lane, &running)?;
            }
        }
        let acts = |c: &Command| !matches!(c, Command::Measure | Command::Stop | Command::Read { .. });
        if effects.commands.iter().any(|(r, _)| acts(&r.command)) && self.disk.is_unsynced() {
            return Err("a device is asked to act, and what says so is not durable".into());
        }
        self.opens(&effects)?;
        self.answers(&cause, &effects, &came)?;
        let mut new = BTreeSet::new();
        for lane in 0..self.places.len() {
            if effects.screens.contains(&self.places[lane].lane) {
                new.extend(self.looks_at_screens(lane)?);
                self.look_soon(lane, 400, 2_500);
            }
        }
        self.belong(&cause, &new, &came);
        self.judges(&came)?;
        for line in &effects.lines {
            self.secrets.none_in("the log", line.text.as_bytes())?;
            if line.level <= log::Level::Warn {
                // The folder is another one in each run.
                let text = line.text.replace(&*self.disk.folder().to_string_lossy(), "DATA");
                self.course.says(&format!("  says: {text}"));
            }
        }
        for (request, _) in effects.commands {
            self.asked(request)?;
        }
        let Some(streams) = effects.streams else { return Ok(()) };
        let follows = self.uplink.stored(self.delivery_now(), streams);
        self.follow(follows)
    }

    /// Nothing opens or turns green of which nothing is on record.
    fn opens(&mut self, effects: &Effects) -> Result<(), String> {
        for (request, _) in &effects.commands {
            let lane = self.places.iter().position(|p| p.devices.values().any(|d| d.id == request.device));
            let lane = lane.ok_or_else(|| format!("{} is of no lane", request.device))?;
            match &request.command {
                Command::Pulse { .. } => self.truth.opens(lane)?,
                Command::Signal { outcome: Outcome::Admit, .. } => {
                    let admitted = self.truth.visits.values().rev().filter(|v| v.lane == lane);
                    if !admitted.take(40).any(|v| v.stands.as_deref() == Some("ADMIT")) {
                        return Err(format!("lane {} turns green for nobody", lane + 1));
                    }
                }
                Command::Measure
                | Command::Stop
                | Command::Capture { .. }
                | Command::Print { .. }
                | Command::Read { .. }
                | Command::Signal { .. } => {}
            }
        }
        for opened in effects.opened.iter().filter(|o| o.done.is_ok()) {
            self.course.says(&format!("  command {} is done", opened.command));
            if !self.moved.remove(&opened.command) {
                return Err(format!(
                    "command {} is said to be done, and no barrier has moved for it",
                    opened.command
                ));
            }
        }
        Ok(())
    }

    /// An answer that says that something was done is about something that happened.
    fn answers(&mut self, cause: &Cause, effects: &Effects, came: &[Event]) -> Result<(), String> {
        for (_, answer) in &effects.answers {
            let word = match answer {
                Ok(()) => "taken",
                Err(Rejection { code, .. }) => code,
            };
            let what = match cause {
                Cause::Desk(_, act, _) => name(&act.action),
                Cause::Open(..) => "Open",
                Cause::Guest(..) => "Begin",
                Cause::Time => "Other",
            };
            self.course.says(&format!("  answer: {word}"));
            *self.acts.entry(format!("{what}: {word}")).or_default() += 1;
            if answer.is_err() {
                continue;
            }
            let recorded = |kind: &str| came.iter().any(|e| e.recorded.kind == kind);
            let must = match cause {
                Cause::Open(lane, command) => {
                    let mut pulses = effects.commands.iter().map(|(request, _)| request);
                    let Some(pulse) = pulses.find(|r| matches!(r.command, Command::Pulse { .. })) else {
                        return Err(format!("lane {} says that it opens, and asks no barrier", lane + 1));
                    };
                    self.pulses.insert((pulse.device.clone(), pulse.ticket.0), command.clone());
                    Some("remote_open")
                }
                Cause::Desk(_, act, _) => match &act.action {
                    Action::Override { .. } => Some("override"),
                    Action::Cancel { .. } => Some("visit_abandoned"),
                    Action::Reprint { .. } => Some("reprint"),
                    Action::Correct { .. } => Some("register_corrected"),
                    Action::OpenAgain(_) => Some("barrier_again"),
                    Action::OpenedByHand(_) => Some("barrier_by_hand"),
                    Action::Approve { .. } => Some("approval"),
                    Action::Enter { .. }
                    | Action::Start { .. }
                    | Action::Recheck
                    | Action::Aside
                    | Action::Call
                    | Action::Party(_)
                    | Action::Complete(_)
                    | Action::Code(_)
                    | Action::Answer { .. }
                    | Action::Form(_)
                    | Action::SealCheck(_)
                    | Action::Tally(_)
                    | Action::TallyDone
                    | Action::Seal { .. }
                    | Action::Capture(_)
                    | Action::Retake(_)
                    | Action::Accept(_)
                    | Action::Confirm(_) => None,
                },
                Cause::Time | Cause::Guest(..) => None,
            };
            if let Some(kind) = must.filter(|kind| !recorded(kind)) {
                return Err(format!("{what} is answered as done, and no `{kind}` is on record"));
            }
        }
        Ok(())
    }

    /// A visit that has begun is of whoever came.
    fn belong(&mut self, cause: &Cause, new: &BTreeSet<u64>, came: &[Event]) {
        let (lane, guest) = match cause {
            Cause::Guest(lane, guest) | Cause::Desk(lane, _, Some(guest)) => (*lane, *guest),
            Cause::Time | Cause::Open(..) | Cause::Desk(_, _, None) => return,
        };
        let judged =
            came.iter().filter(|e| e.recorded.kind == "transaction").filter_map(|e| e.recorded.visit);
        for id in new.iter().copied().chain(judged).collect::<Vec<_>>() {
            if let Some(visit) =
                self.truth.visits.get_mut(&id).filter(|v| v.lane == lane && v.guest.is_none())
            {
                visit.guest = Some(guest);
            }
        }
    }

    /// First verdicts on those of whom it is known who they are.
    fn judges(&self, came: &[Event]) -> Result<(), String> {
        for event in came.iter().map(|e| &e.recorded).filter(|e| e.kind == "transaction") {
            if event.data["verdict_no"] != 1 {
                continue;
            }
            let visit = event.visit.and_then(|id| self.truth.visits.get(&id));
            let Some((visit, guest)) = visit.and_then(|v| Some((v, self.guests.get(&v.guest?)?))) else {
                continue;
            };
            let profile = self.places[visit.lane].profile.as_str();
            // Of whom something was said anew meanwhile, it is not known what was seen.
            if self.said_since(guest.number) >= visit.since {
                continue;
            }
            let (stale, fresh) = self.ages(visit.lane, visit.since);
            let clock = self.now().synced() && self.clock.settled_at <= visit.since;
            foretold::judge(profile, guest, &event.data, foretold::Moment { clock, stale, fresh })?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<Vec<Event>, String> {
        let came = self.watch.look(&self.disk)?;
        for Event { seq, class, stream_seq, recorded, hash } in &came {
            let data = &recorded.data;
            let what = [&data["outcome"], &data["codes"], &data["state"], &data["reason"], &data["register"]];
            let what: Vec<String> = what.iter().filter(|v| !v.is_null()).map(ToString::to_string).collect();
            let visit = recorded.visit.map(|v| format!(" visit {v}")).unwrap_or_default();
            // Of a full disk it is said how much room there is: on that of this machine.
            let hash = if recorded.kind == "storage" { String::new() } else { hash.hex()[..8].to_owned() };
            let (kind, what) = (&recorded.kind, what.join(" "));
            let line = format!("  #{seq} {} {stream_seq} {kind}{visit} {what} {hash}", class.as_str());
            self.course.says(&line);
            let lane = recorded
                .lane
                .as_ref()
                .and_then(|of| self.places.iter().position(|p| p.lane.to_string() == *of));
            // What is found is said of the truth as it was.
            let mut truth = std::mem::take(&mut self.truth);
            let once = |pass: &str| self.is_once(pass, lane);
            let heard = truth.hears(self.course.at(), lane, recorded, &once);
            self.truth = truth;
            heard?;
            self.corrected |= recorded.kind == "register_corrected";
            if recorded.kind == "transaction" {
                let profile = lane.map_or("", |lane| self.places[lane].profile.as_str());
                let outcome = data["outcome"].as_str().unwrap_or_default();
                *self.truth.outcomes.entry(format!("{profile} {outcome}")).or_default() += 1;
            }
        }
        Ok(came)
    }

    /// Whether a pass admits once at a lane: not where it is only looked at, and not on the way out of a lane with two.
    fn is_once(&self, pass: &str, lane: Option<usize>) -> bool {
        use base64::Engine as _;
        let Ok(cti) = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(pass) else { return false };
        let profile = lane.map_or("", |lane| self.places[lane].profile.as_str());
        let one_way = ["truck-supplies", "truck-bulk", "resident-car", "transit-truck"].contains(&profile);
        one_way && self.guests.values().any(|g| g.cti == cti && g.once)
    }

    /// The power goes: at once, or in the middle of what is written next; or the daemon ends as it should.
    pub(super) fn power_off(&mut self) -> Result<(), String> {
        if self.course.ended_at().is_some() {
            return Ok(());
        }
        if self.engine.is_none() {
            self.course.later(60_000, What::PowerOff);
            return Ok(());
        }
        self.off_is_due = false;
        if self.power.per_mille(250) {
            return self.ends();
        }
        let place = (!self.power.per_mille(250)).then(|| self.power.between(1, 20));
        self.disk.cut_before(place);
        if place.is_some() {
            return Ok(());
        }
        self.disk.cut().map_err(|e| e.to_string())?;
        self.dies()
    }

    /// The daemon is told to end.
    fn ends(&mut self) -> Result<(), String> {
        self.course.says("the daemon ends");
        let Some(engine) = self.engine.take() else { return Ok(()) };
        let _last = engine.finish();
        self.changes_policy();
        self.goes_off()
    }

    /// The box is dead. What it was told last may be on record, or not.
    fn dies(&mut self) -> Result<(), String> {
        self.course.says("the power goes");
        self.engine = None;
        self.watch.close();
        self.uplink.dies();
        self.disk.power_on().map_err(|e| e.to_string())?;
        self.goes_off()
    }

    fn goes_off(&mut self) -> Result<(), String> {
        self.cut_at = self.course.at();
        self.answer = None;
        self.watch.close();
        self.uplink.dies();
        let long = self.power.per_mille(250);
        let off = if long { self.power.between(50_000, 200_000) } else { self.power.between(1_000, 25_000) };
        self.course.later(off, What::PowerOn);
        let next = self.power.between(30_000, 600_000);
        if !std::mem::replace(&mut self.off_is_due, true) {
            self.course.later(off + next, What::PowerOff);
        }
        Ok(())
    }

    /// The box is on again.
    pub(super) fn power_on(&mut self) -> Result<(), String> {
        let harmed = self.harms_journal()?;
        self.disk.is_full(Full::No);
        self.life += 1;
        self.moved.clear();
        self.pulses.clear();
        let clock_known = !self.goes_wrong(Fault::Power) || self.power.per_mille(700);
        self.clock.begins(self.course.at(), clock_known);
        if !clock_known {
            let known = self.power.between(2_000, 60_000);
            self.course.later(known, What::ClockKnown(self.life));
        }
        self.course.says(&format!("the power is on, life {}, clock known: {clock_known}", self.life));
        let parts = places::parts(&self.places, self.gateway, self.disk.folder(), self.life)?;
        let mut engine = Engine::open(parts).map_err(|e| e.to_string())?;
        if let Some(floor_ms) = engine.floor_ms() {
            if floor_ms > self.clock.latest_ms() {
                return Err("the journal has kept a time that was not yet".into());
            }
            self.clock.not_before(self.course.at(), floor_ms);
        }
        let effects = engine.start(&self.now());
        self.engine = Some(engine);
        if self.is_cut()? {
            return self.dies();
        }
        self.epoch = self.engine.as_ref().map_or(self.epoch, Engine::epoch);
        self.watch.open(self.disk.folder(), self.epoch, harmed)?;
        self.watch.verify(self.disk.folder(), crate::sim::site::gateway_key().public())?;
        let came = self.look()?;
        if !came.iter().any(|e| e.recorded.kind == "started") {
            return Err("a start is not on record".into());
        }
        for lane in 0..self.places.len() {
            let running = self.running(lane);
            if harmed {
                self.truth.loses(lane, &running);
            } else {
                self.truth.starts(self.cut_at, lane, &running)?;
            }
        }
        self.looks_at_store()?;
        let Some(engine) = &self.engine else { return Err("the box is not on".into()) };
        let positions = outbox::positions(engine.journal().connection()).map_err(|e| e.to_string())?;
        self.uplink.begin(self.disk.folder(), self.epoch, positions, self.course.seed() ^ self.life)?;
        self.carry_out(Cause::Time, effects)?;
        let follows = self.uplink.wake(self.delivery_now());
        self.follow(follows)?;
        let devices: Vec<_> =
            self.places.iter().flat_map(|p| p.devices.values().map(|d| d.id.clone())).collect();
        for device in devices {
            let ready = !self.lost.contains(&device);
            self.course.later(0, What::Device(self.life, device, Report::Link { ready }));
        }
        Ok(())
    }
}

/// An act without what is said in it.
fn name(action: &Action) -> &'static str {
    match action {
        Action::Enter { .. } => "Enter",
        Action::Start { .. } => "Start",
        Action::Recheck => "Recheck",
        Action::Aside => "Aside",
        Action::Call => "Call",
        Action::Party(_) => "Party",
        Action::Complete(_) => "Complete",
        Action::Answer { .. } => "Answer",
        Action::Form(_) => "Form",
        Action::SealCheck(_) => "SealCheck",
        Action::Tally(_) => "Tally",
        Action::TallyDone => "TallyDone",
        Action::Approve { .. } => "Approve",
        Action::Seal { .. } => "Seal",
        Action::Capture(_) => "Capture",
        Action::Retake(_) => "Retake",
        Action::Accept(_) => "Accept",
        Action::Confirm(_) => "Confirm",
        Action::Cancel { .. } => "Cancel",
        Action::Override { .. } => "Override",
        Action::Correct { .. } => "Correct",
        Action::Reprint { .. } => "Reprint",
        Action::OpenAgain(_) => "OpenAgain",
        Action::OpenedByHand(_) => "OpenedByHand",
        Action::Code(_) => "Code",
    }
}
