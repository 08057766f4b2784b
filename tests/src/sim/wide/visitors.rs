//! Whoever comes to a lane, and its devices.

use super::Fault;
use super::folk::Card;
use super::staff::{Act, officer};
use super::steps::Cause;
use super::world::{What, World};
use kakou_core::core::Input;
use kakou_core::lane::action::{Action, Role};
use kakou_core::lane::view::ask::{Answer, Ask};
use kakou_core::lane::view::shapes::Desk;
use kakou_core::lane::visit::Origin;
use kakou_core::profile::DeviceKind;
use kakou_core::reading::{Command, NoData, Photo, Report, Request, Temperature};
use kakou_gateway::engine::{Job, ReplyTo};
use kakou_gateway::store::photos::Photos;

impl World {
    fn device_of(
        &self,
        lane: usize,
        kind: DeviceKind,
        role: Option<&str>,
    ) -> Option<kakou_core::ids::DeviceId> {
        let mut of = self.places[lane].devices.values().filter(|d| d.kind == kind);
        of.find(|d| role.is_none_or(|role| d.role == role)).map(|d| d.id.clone())
    }

    /// The next one comes to the front of a lane.
    pub(super) fn comes(&mut self, lane: usize, desk: &Desk) -> Result<(), String> {
        let member = matches!(desk.ask, Ask::Party { count: Some(_), .. });
        let queue = &self.lanes[lane];
        let pool = if member && !queue.members.is_empty() { &queue.members } else { &queue.people };
        // Somebody tries the code of whoever was here before, now and then.
        let back = queue.last.filter(|_| !member && self.people.per_mille(50));
        let number = back.unwrap_or(*self.people.one_of(pool));
        let queue = &mut self.lanes[lane];
        if !member {
            queue.waiting -= 1;
            queue.last = Some(number);
        }
        let place = &self.places[lane];
        let starts = place.starts.clone();
        let (subject, plate, card) = {
            let guest = &self.guests[&number];
            (guest.subject.clone(), guest.plate.clone(), guest.card)
        };
        let draw = &mut self.people;
        let (by_desk, by_plate, by_input) = (draw.per_mille(80), draw.per_mille(400), draw.per_mille(25));
        let typed = draw.per_mille(if card == Card::Bare { 150 } else { 30 });
        let cause = Cause::Guest(lane, number);
        let begin = |action| Act { officer: officer(Role::Guard, false), visit: None, action };
        if !member {
            if by_plate
                && starts.contains(&Origin::Plate)
                && let Some(device) = self.device_of(lane, DeviceKind::Camera, None)
            {
                self.course.says(&format!("lane {}: {number} drives up", lane + 1));
                return self.told(cause, device, Report::Plate { text: plate });
            }
            if starts.contains(&Origin::Button) && (by_plate || !starts.contains(&Origin::Desk)) {
                self.course.says(&format!("lane {}: {number} presses the button", lane + 1));
                let input = Input::Start { lane: place.lane.clone(), origin: Origin::Button };
                return self.step(cause, vec![Job::Input(input, Some(ReplyTo(lane)))]);
            }
            if by_input
                && starts.contains(&Origin::Input)
                && let Some(role) = place.inputs.first().cloned()
                && let Some(device) = self.device_of(lane, DeviceKind::Input, Some(&role))
            {
                self.course.says(&format!("lane {}: {role} is active", lane + 1));
                self.course
                    .later(2_000, What::Device(self.life, device.clone(), Report::Input { active: false }));
                return self.told(cause, device, Report::Input { active: true });
            }
            if starts.contains(&Origin::Desk) && (by_desk || !starts.contains(&Origin::Scan)) {
                return self.acts_for(lane, begin(Action::Start { on: None }), Some(number));
            }
        } else if by_desk {
            return self.acts_for(lane, begin(Action::Start { on: None }), Some(number));
        }
        if typed {
            return self.acts_for(lane, begin(Action::Enter { text: subject, on: None }), Some(number));
        }
        let again = self.people.per_mille(80).then(|| self.people.between(200, 4_000));
        let other = self.people.per_mille(40).then(|| self.people.between(500, 9_000));
        let out = self.lanes[lane].inside.contains(&number) != self.people.per_mille(50);
        if !self.lanes[lane].inside.remove(&number) {
            self.lanes[lane].inside.insert(number);
        }
        if let Some(again) = again {
            self.course.later(again, What::Scan(lane, number, out));
        }
        if let Some(other) = other {
            let whose = *self.people.one_of(&self.lanes[lane].people);
            self.course.later(other, What::Scan(lane, whose, false));
        }
        self.scans(lane, number, out)
    }

    /// A code is held before a reader.
    pub(super) fn scans(&mut self, lane: usize, number: u32, out: bool) -> Result<(), String> {
        if self.course.ended_at().is_some() || self.engine.is_none() {
            return Ok(());
        }
        // Somebody else's card before a reader that waits for the code of a thing would be taken for one.
        let ask = self.desk(lane).map(|desk| desk.ask);
        let things = ask.is_some_and(|ask| match ask {
            Ask::Form { fields, .. } => fields.iter().any(|f| matches!(f.answer, Answer::Scan)),
            Ask::Question { answer, .. } => matches!(answer, Answer::Scan),
            Ask::Tally { .. } | Ask::Seal { .. } | Ask::SealCheck { .. } => true,
            Ask::Scan { .. }
            | Ask::Temperature { .. }
            | Ask::Weigh { .. }
            | Ask::Photo { .. }
            | Ask::Approve { .. }
            | Ask::Confirm { .. }
            | Ask::Party { .. }
            | Ask::Wait { .. } => false,
        });
        if things && self.lanes[lane].last != Some(number) {
            return Ok(());
        }
        let role = if out { "reader-out" } else { "reader-in" };
        let device = self.device_of(lane, DeviceKind::Scanner, Some(role));
        let Some(device) = device.or_else(|| self.device_of(lane, DeviceKind::Scanner, None)) else {
            return Ok(());
        };
        if self.lost.contains(&device) {
            return Ok(());
        }
        let bytes = self.guests[&number].code.clone();
        self.course.says(&format!("lane {}: {number} shows a code at {device}", lane + 1));
        self.told(Cause::Guest(lane, number), device, Report::Scan { bytes })
    }

    fn told(
        &mut self,
        cause: Cause,
        device: kakou_core::ids::DeviceId,
        report: Report,
    ) -> Result<(), String> {
        self.step(cause, vec![Job::Input(Input::Device { device, report }, None)])
    }

    /// A device says something.
    pub(super) fn reports(
        &mut self,
        device: kakou_core::ids::DeviceId,
        report: Report,
    ) -> Result<(), String> {
        if self.engine.is_none() {
            return Ok(());
        }
        if self.lost.contains(&device) && !matches!(report, Report::Link { .. } | Report::NoData { .. }) {
            return Ok(());
        }
        if let Report::Done { ticket } = report
            && let Some(command) = self.pulses.remove(&(device.clone(), ticket.0))
        {
            self.moved.insert(command);
        }
        self.told(Cause::Time, device, report)
    }

    /// A device is lost, or is back.
    pub(super) fn loses(&mut self, device: kakou_core::ids::DeviceId, lost: bool) -> Result<(), String> {
        if self.course.ended_at().is_some() {
            return Ok(());
        }
        self.course.says(&format!("{device} is {}", if lost { "lost" } else { "back" }));
        if lost {
            self.lost.insert(device.clone());
            let back = self.devices.between(5_000, 120_000);
            self.course.later(back, What::Lost(device.clone(), false));
        } else {
            self.lost.remove(&device);
        }
        self.reports(device, Report::Link { ready: !lost })
    }

    /// A device is asked for something.
    pub(super) fn asked(&mut self, request: Request) -> Result<(), String> {
        let Request { device, ticket, command } = request;
        self.course.says(&format!("  {device} is asked: {}", word(&command)));
        let life = self.life;
        let lane = self.places.iter().position(|p| p.devices.values().any(|d| d.id == device)).unwrap_or(0);
        let kind = self.places[lane].devices.values().find(|d| d.id == device).map(|d| d.kind);
        let answers = !matches!(command, Command::Stop | Command::Read { .. } | Command::Signal { .. });
        if self.lost.contains(&device) {
            if answers {
                let report = Report::NoData { ticket, why: NoData::NotPresent };
                self.course.later(0, What::Device(life, device, report));
            }
            return Ok(());
        }
        let (faults, draw) = (self.goes_wrong(Fault::Devices), &mut self.devices);
        // One answers late, says that it cannot, or nothing at all.
        let late = if faults && draw.per_mille(20) { draw.between(3_000, 30_000) } else { 0 };
        let fault = faults && draw.per_mille(25);
        if faults && answers && draw.per_mille(15) {
            return Ok(());
        }
        if fault && answers {
            let why = *draw.one_of(&[NoData::Fault, NoData::Timeout, NoData::Garbled]);
            let in_ms = draw.between(30, 2_000);
            self.course.later(in_ms, What::Device(life, device, Report::NoData { ticket, why }));
            return Ok(());
        }
        match command {
            Command::Measure if kind == Some(DeviceKind::Scale) => {
                let grams = i64::try_from(draw.between(900, 1_500)).unwrap_or(0);
                let in_ms = draw.between(500, 3_000);
                self.course.later(
                    in_ms + late,
                    What::Device(life, device, Report::Weight { ticket: Some(ticket), grams }),
                );
            }
            Command::Measure => {
                let begins = draw.between(100, 1_500) + late;
                let mdeg = match draw.below(100) {
                    0..4 => draw.between(37_300, 39_500),
                    4..7 => draw.between(33_000, 34_999),
                    7..9 => return Ok(()),
                    _ => draw.between(35_900, 37_000),
                };
                for n in 0..5 {
                    let noise = self.devices.below(100);
                    let object_mdeg = i32::try_from(mdeg + noise).unwrap_or(0) - 50;
                    let frame = Temperature {
                        object_mdeg,
                        ambient_mdeg: Some(22_000),
                        reference_mdeg: None,
                        body_grade: true,
                    };
                    self.course.later(
                        begins + 120 * n,
                        What::Device(life, device.clone(), Report::Temperature { ticket, frame }),
                    );
                }
            }
            Command::Pulse { .. } => {
                let in_ms = draw.between(30, 300) + late;
                let twice = faults && draw.per_mille(30);
                self.course.later(in_ms, What::Device(life, device.clone(), Report::Done { ticket }));
                if twice {
                    self.course.later(in_ms + 50, What::Device(life, device, Report::Done { ticket }));
                }
            }
            Command::Print { .. } => {
                let in_ms = draw.between(500, 3_000) + late;
                self.course.later(in_ms, What::Device(life, device, Report::Done { ticket }));
            }
            Command::Capture { .. } => {
                let in_ms = draw.between(200, 1_500) + late;
                let luma = *draw.one_of(&[100, 110, 120, 130, 5, 250]);
                let sharpness = *draw.one_of(&[5_000, 5_000, 5_000, 5_000, 5]);
                self.photos += 1;
                let bytes = format!("photo {} of seed {}", self.photos, self.course.seed()).into_bytes();
                let photos = Photos::open(self.disk.folder()).map_err(|e| e.to_string())?;
                let sha256 = photos.save(&bytes).map_err(|e| e.to_string())?;
                let photo =
                    Photo { sha256, bytes: bytes.len() as u64, width: 1_280, height: 960, sharpness, luma };
                self.course.later(in_ms, What::Device(life, device, Report::Photo { ticket, photo }));
            }
            Command::Stop | Command::Read { .. } | Command::Signal { .. } => {}
        }
        Ok(())
    }
}

fn word(command: &Command) -> String {
    match command {
        Command::Print { lines } => format!("Print {} lines", lines.len()),
        Command::Measure
        | Command::Stop
        | Command::Pulse { .. }
        | Command::Capture { .. }
        | Command::Read { .. }
        | Command::Signal { .. } => format!("{command:?}"),
    }
}
