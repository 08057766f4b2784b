//! What devices see: as the file says it, and as they do by themselves where the next act does not say it. Staff steps
//! have no default: the visit waits there.

use super::verb::{Act, NoReading, Quality, Verb};
use super::world::{Stopped, World};
use crate::core::Input;
use crate::evidence::Hash;
use crate::ids::{LaneId, OfficerId};
use crate::lane::action::{Action, Officer, Role};
use crate::lane::visit::{PhotoState, Visit};
use crate::profile::{Choice, StepKind};
use crate::reading::{NoData, Photo, Report, Temperature, Ticket};
use crate::screening::Screening;

/// What a thermometer reads by itself.
const USUAL_MDEG: i32 = 36_600;
/// Frames with which a measurement has certainly settled, if it can.
const FRAMES_MOST: usize = 60;

/// What a thermometer sees.
pub(super) enum Seen<'a> {
    /// These values, one at each try; the last one at every further try.
    Values(&'a [i32]),
    Nothing(NoReading),
}

impl Seen<'_> {
    /// Whether the file says no more than what was seen already.
    fn is_over(&self, tries: usize) -> bool {
        match self {
            Seen::Values(values) => tries >= values.len(),
            Seen::Nothing(_) => true,
        }
    }
}

/// Who acts where the file names nobody.
pub(super) fn somebody(role: Role) -> Officer {
    let id = OfficerId::new(role.as_str()).expect("the word of a role is a name");
    Officer { id, role }
}

/// The measurement under way.
fn measured(visit: &Visit) -> Option<Ticket> {
    visit.waits.temperature.as_ref().and_then(|m| m.ticket)
}

/// Whether an act is for the device step at which a lane waits, or for whoever stands there.
fn serves(verb: &Verb, kind: &StepKind, role: Option<&str>) -> bool {
    match verb {
        Verb::Measure(_) | Verb::NoReading(_) | Verb::Recheck(_) | Verb::Aside => {
            matches!(kind, StepKind::Temperature(_))
        }
        Verb::Photo { .. } => matches!(kind, StepKind::Photo(_)),
        Verb::Weigh(_) => matches!(kind, StepKind::Weigh(_)),
        Verb::DeviceLost(lost) | Verb::DeviceBack(lost) | Verb::PrintFails(lost) => {
            role == Some(lost.as_str())
        }
        Verb::Restart(_) | Verb::Cancel(_) => true,
        Verb::Scan { .. }
        | Verb::ScanPass { .. }
        | Verb::Enter { .. }
        | Verb::Start { .. }
        | Verb::Plate(_)
        | Verb::Input { .. }
        | Verb::Party(_)
        | Verb::Complete(_)
        | Verb::Answer(_)
        | Verb::Confirm(_)
        | Verb::Approve { .. }
        | Verb::Seal { .. }
        | Verb::SealCheck(_)
        | Verb::Tally(_)
        | Verb::Override(_)
        | Verb::Reprint { .. }
        | Verb::Correct(_)
        | Verb::List(_)
        | Verb::Hl7(_)
        | Verb::Peer(_)
        | Verb::Wait(_)
        | Verb::WaitUntil(_)
        | Verb::Console(_)
        | Verb::Expect(_)
        | Verb::NotBuilt(_) => false,
    }
}

impl World<'_> {
    /// Device steps that the next act does not serve are served by themselves, in every lane.
    pub fn serve_before(&mut self, act: &Act) -> Result<(), Stopped> {
        let lanes: Vec<LaneId> = self.core.lanes().map(|l| l.setup.lane.clone()).collect();
        let everywhere = matches!(act.verb, Verb::Restart(_));
        for lane in lanes {
            let own = everywhere || lane == self.lane_of(act);
            while let Some((visit, step)) = self.waiting(&lane) {
                if own && serves(&act.verb, &step.kind, step.device.as_deref()) {
                    break;
                }
                let before = (visit.id, visit.step);
                match &step.kind {
                    StepKind::Temperature(_) => self.measure(&lane, &Seen::Values(&[USUAL_MDEG]))?,
                    StepKind::Photo(photo) => {
                        let roles = photo.roles.clone();
                        self.photograph(&lane, &roles)?;
                    }
                    // A scale that a lane can go without gives nothing; at another the visit waits.
                    StepKind::Weigh(_) if step.optional => {
                        let ticket = visit.waits.weigh.as_ref().and_then(|w| w.ticket);
                        let (role, Some(ticket)) = (step.device.clone().unwrap_or_default(), ticket) else {
                            break;
                        };
                        self.report(&lane, &role, Report::NoData { ticket, why: NoData::Timeout })?;
                    }
                    StepKind::Weigh(_)
                    | StepKind::Scan(_)
                    | StepKind::Verify(_)
                    | StepKind::Decide(_)
                    | StepKind::Actuate(_)
                    | StepKind::Question(_)
                    | StepKind::Form(_)
                    | StepKind::Tally(_)
                    | StepKind::Seal(_)
                    | StepKind::Confirm(_)
                    | StepKind::Register(_)
                    | StepKind::Print(_)
                    | StepKind::Party(_)
                    | StepKind::Later(_) => break,
                }
                if self.waiting(&lane).is_some_and(|(visit, _)| (visit.id, visit.step) == before) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The temperature step of a lane, to its end: pauses between measurements pass by themselves.
    pub fn measure(&mut self, lane: &LaneId, seen: &Seen<'_>) -> Result<(), Stopped> {
        let mut tries = 0;
        let whose = self.waiting(lane).map(|(visit, _)| visit.id);
        while let Some((visit, step)) = self.waiting(lane).filter(|(visit, _)| Some(visit.id) == whose) {
            let StepKind::Temperature(temperature) = &step.kind else { break };
            let (role, deadline) = (step.device.clone().unwrap_or_default(), visit.deadline);
            match (measured(visit), deadline) {
                (Some(ticket), deadline) => {
                    let screening = temperature.screening.clone();
                    self.look(lane, &role, ticket, &screening, seen, tries)?;
                    tries += 1;
                    // What does not settle has had its time.
                    let same = self.waiting(lane).is_some_and(|(v, _)| measured(v) == Some(ticket));
                    match deadline.filter(|_| same) {
                        Some(at) => self.wait(i64::try_from(at - self.now.mono_ms).unwrap_or(0))?,
                        None if same => {
                            return Err(Stopped::Failed(
                                "this measurement has no end: its step has no timeout_s".into(),
                            ));
                        }
                        None => {}
                    }
                }
                // Whoever steps aside does so when what the file says was seen.
                (None, Some(_)) if self.steps_aside && seen.is_over(tries) => break,
                (None, Some(at)) => {
                    self.wait(i64::try_from(at.saturating_sub(self.now.mono_ms)).unwrap_or(0))?
                }
                (None, None) => break,
            }
        }
        Ok(())
    }

    /// One measurement.
    fn look(
        &mut self,
        lane: &LaneId,
        role: &str,
        ticket: Ticket,
        screening: &Screening,
        seen: &Seen<'_>,
        tries: usize,
    ) -> Result<(), Stopped> {
        let frame = |object_mdeg| Report::Temperature {
            ticket,
            frame: Temperature {
                object_mdeg,
                ambient_mdeg: Some(21_000),
                reference_mdeg: screening.black_body.map(|body| body.mdeg),
                body_grade: true,
            },
        };
        let values = match seen {
            Seen::Values(values) => values,
            Seen::Nothing(NoReading::Unsteady) => {
                // Somebody who sways before the sensor: the frames lie further apart than they may.
                for swing in [0, screening.spread_mdeg + 1_000].into_iter().cycle().take(screening.frames + 1)
                {
                    self.report(lane, role, frame(35_500 + swing))?;
                }
                return Ok(());
            }
            Seen::Nothing(why @ (NoReading::Timeout | NoReading::Fault)) => {
                let why = if *why == NoReading::Timeout { NoData::Timeout } else { NoData::Fault };
                self.report(lane, role, Report::NoData { ticket, why })?;
                return Ok(());
            }
        };
        let mdeg = values.get(tries).or(values.last()).copied().unwrap_or(USUAL_MDEG);
        for _ in 0..screening.frames.min(FRAMES_MOST) {
            self.report(lane, role, frame(mdeg))?;
        }
        Ok(())
    }

    /// Every photograph of a step that is missing, good and accepted.
    fn photograph(&mut self, lane: &LaneId, roles: &[Choice]) -> Result<(), Stopped> {
        for role in roles {
            let here = self.waiting(lane).and_then(|(visit, _)| visit.photos.get(&role.value));
            let lost = self
                .devices
                .values()
                .any(|d| d.lane == *lane && d.lost && d.kind == crate::profile::DeviceKind::Camera);
            if !lost && here.is_some_and(|slot| slot.state != PhotoState::Accepted) {
                self.photo(lane, &somebody(Role::Guard), &role.value, Quality::Good)?;
            }
        }
        Ok(())
    }

    /// One photograph: taken, or taken anew, and accepted as evidence.
    pub fn photo(
        &mut self,
        lane: &LaneId,
        by: &Officer,
        role: &str,
        quality: Quality,
    ) -> Result<(), Stopped> {
        let act = |action| Input::Desk { lane: lane.clone(), officer: by.clone(), visit: None, action };
        let state = |world: &Self| {
            let (visit, step) = world.waiting(lane)?;
            let StepKind::Photo(photo) = &step.kind else { return None };
            let here = photo.roles.iter().any(|r| r.value == role);
            let slot = visit.photos.get(role).filter(|_| here)?;
            Some((
                slot.ticket,
                (photo.min_sharpness, photo.min_luma, photo.max_luma),
                step.device.clone().unwrap_or_default(),
            ))
        };
        if state(self).is_none_or(|(ticket, ..)| ticket.is_none()) {
            self.input(act(Action::Capture(role.to_owned())))?;
        }
        if let Some((Some(ticket), (min_sharpness, min_luma, max_luma), device)) = state(self) {
            let (sharp, clear) = (min_sharpness.saturating_add(100), min_luma.midpoint(max_luma));
            let (sharpness, luma) = match quality {
                Quality::Good | Quality::Lost => (sharp, clear),
                Quality::Dark => (sharp, min_luma.saturating_sub(1)),
                Quality::Bright => (sharp, max_luma.saturating_add(1)),
                Quality::Blurred => (min_sharpness.saturating_sub(1), clear),
            };
            let sha256 =
                Hash::of(format!("{lane} {role} {} {}", ticket.0, self.now.mono_ms).as_bytes()).hex();
            let photo = Photo { sha256, bytes: 200_000, width: 1_280, height: 960, sharpness, luma };
            let report = match quality {
                Quality::Lost => Report::NoData { ticket, why: NoData::Timeout },
                Quality::Good | Quality::Dark | Quality::Bright | Quality::Blurred => {
                    Report::Photo { ticket, photo }
                }
            };
            self.report(lane, &device, report)?;
        }
        self.input(act(Action::Accept(role.to_owned()))).map(drop)
    }
}
