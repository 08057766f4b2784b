//! What a play has shown of its profiles: decisions, events and acts of staff, whatever the file expects of them. Whoever
//! asks which scenario shows a thing finds it here.

use super::file::{Mistake, Scenario};
use super::store::{Entries, Store};
use super::world::World;
use super::{Failure, Profiles, acts};
use crate::codes::Outcome;
use crate::console::{Act, Asked};
use crate::core::Input;
use crate::event::NewEvent;
use crate::ids::{LaneId, VisitId};
use crate::lane::action::{Action, Officer};
use crate::lane::visit::{Origin, PhotoSlot, PhotoState, Visit};
use crate::profile::{Step, StepKind};
use crate::reading::Report;
use crate::time::WallMs;
use serde_json::Value;

/// Something that a play has shown, in its order; profiles and steps by their names.
#[derive(Debug, Clone)]
pub enum Shown {
    /// A verdict.
    Decided {
        /// Where.
        lane: LaneId,
        /// Of which visit.
        visit: VisitId,
        /// The profile of the visit.
        profile: String,
        /// How the visit has begun.
        origin: Origin,
        /// The outcome.
        outcome: Outcome,
        /// The reasons, by their names.
        codes: Vec<String>,
    },
    /// An event of a visit.
    Event {
        /// The profile of the visit.
        profile: String,
        /// Which.
        kind: String,
    },
    /// An act of staff.
    Act {
        /// Where.
        lane: LaneId,
        /// By whom.
        officer: Officer,
        /// What they did.
        action: Action,
        /// The profile of the visit, or of the lane.
        profile: String,
        /// The name of the act.
        act: &'static str,
        /// The step that took it, or the register; empty where there is none.
        step: String,
        /// The word with which it was rejected.
        rejected: Option<&'static str>,
    },
    /// What a device has said unasked, or has seen when it was asked.
    Device {
        /// Where.
        lane: LaneId,
        /// Which.
        role: String,
        /// What.
        report: Report,
    },
    /// A list has an edition.
    Edition {
        /// Which.
        list: String,
        /// When it was issued.
        issued_ms: WallMs,
        /// Its entries.
        entries: Entries,
    },
    /// Time has passed, in milliseconds.
    Waited(i64),
    /// Something was asked at the duty console.
    Asked(Act),
    /// Something that is neither of a device nor of staff: a restart, another gateway, a slot of before.
    Beyond(&'static str),
}

/// Plays a file: how it came out, and what it has shown.
pub fn shown(
    scenario: &Scenario,
    profiles: Profiles<'_>,
    store: &mut dyn Store,
) -> Result<(Option<Failure>, Vec<Shown>), Mistake> {
    if let Some(what) = &scenario.not_built {
        return Ok((Some(Failure::not_built(what)), Vec::new()));
    }
    let mut silent = |_: &str| {};
    let mut world = World::new(scenario, profiles, store, &mut silent)?;
    let failed = acts::run(&mut world, scenario)?;
    Ok((failed, world.shown))
}

/// The name of an act, and the kinds of steps that take it.
fn of(action: &Action) -> (&'static str, fn(&StepKind) -> bool) {
    const NONE: fn(&StepKind) -> bool = |_| false;
    match action {
        Action::Enter { .. } => ("enter", NONE),
        Action::Start { .. } => ("start", NONE),
        Action::Recheck => ("recheck", NONE),
        Action::Aside => ("aside", |kind| matches!(kind, StepKind::Temperature(_))),
        Action::Party(_) => ("party", |kind| matches!(kind, StepKind::Party(_))),
        Action::Complete(_) => ("complete", NONE),
        Action::Answer { .. } | Action::Form(_) => {
            ("answer", |kind| matches!(kind, StepKind::Question(_) | StepKind::Form(_)))
        }
        Action::SealCheck(_) => ("check seals", |kind| matches!(kind, StepKind::Seal(_))),
        Action::Tally(_) => ("count", |kind| matches!(kind, StepKind::Tally(_))),
        Action::TallyDone => ("counted", |kind| matches!(kind, StepKind::Tally(_))),
        Action::Approve { approve: true, .. } => ("approve", |kind| matches!(kind, StepKind::Confirm(_))),
        Action::Approve { approve: false, .. } => ("refuse", |kind| matches!(kind, StepKind::Confirm(_))),
        Action::Confirm(_) => ("confirm", |kind| matches!(kind, StepKind::Confirm(_))),
        Action::Seal { .. } => ("seal", |kind| matches!(kind, StepKind::Seal(_))),
        Action::Capture(_) => ("capture", |kind| matches!(kind, StepKind::Photo(_))),
        Action::Retake(_) => ("retake", |kind| matches!(kind, StepKind::Photo(_))),
        Action::Accept(_) => ("accept", |kind| matches!(kind, StepKind::Photo(_))),
        Action::Cancel { .. } => ("cancel", NONE),
        Action::Override { second: None, .. } => ("override", NONE),
        Action::Override { second: Some(_), .. } => ("override by two", NONE),
        Action::Correct { .. } => ("correct", NONE),
        Action::Reprint { .. } => ("reprint", NONE),
        Action::Code(_) => ("code", NONE),
        Action::Call => ("call", NONE),
        Action::OpenAgain(_) => ("open again", NONE),
        Action::OpenedByHand(_) => ("opened by hand", NONE),
    }
}

impl World<'_> {
    /// What is put in, before it is done; the answer to an act is not known yet.
    pub(super) fn given(&self, input: &Input) -> Shown {
        match input {
            Input::Desk { lane, officer, action, .. } => self.begun(lane, officer, action),
            Input::Device { device, report } => {
                let of = self.devices.get(device).map(|d| (d.lane.clone(), d.role.clone()));
                let Some((lane, role)) = of else { return Shown::Beyond("device") };
                Shown::Device { lane, role, report: report.clone() }
            }
            Input::Console { asked, .. } => Shown::Asked(match asked {
                Asked::Trace { .. } => Act::Trace,
                Asked::Review { .. } => Act::Review,
                Asked::Revoke { .. } => Act::Revoke,
                Asked::Handover { .. } => Act::Handover,
                Asked::Export { .. } => Act::Export,
            }),
            Input::Start { .. } => Shown::Beyond("button"),
            Input::Tick => Shown::Waited(0),
            Input::Remote { .. } | Input::Audit { .. } => Shown::Beyond("gateway"),
        }
    }

    fn profile_of(&self, lane: &LaneId, visit: &Visit) -> String {
        self.lane(lane).profile_of(visit).id.to_string()
    }

    /// What an act is of: the visit in front whose step takes it comes first.
    fn begun(&self, lane: &LaneId, officer: &Officer, action: &Action) -> Shown {
        let (mut act, takes) = of(action);
        let asks = matches!(action, Action::Answer { .. } | Action::Form(_));
        let at: Option<(&Visit, &Step)> = if asks {
            self.questioned(lane)
        } else {
            self.under_way(lane).find(|(_, step)| takes(&step.kind))
        };
        // A photograph that is there already is taken once more.
        let taken = |slot: &PhotoSlot| matches!(slot.state, PhotoState::Review | PhotoState::Retake);
        if let (Action::Capture(role), Some((visit, _))) = (action, at)
            && visit.photos.get(role).is_some_and(taken)
        {
            act = "retake";
        }
        let mut visit = at.map(|(visit, _)| visit);
        let mut step = at.map(|(_, step)| step.id.clone()).unwrap_or_default();
        if let Action::Complete(id) | Action::Override { visit: id, .. } | Action::Reprint { visit: id, .. } =
            action
        {
            visit = self.lane(lane).state.visits().find(|v| v.id == *id);
        }
        if let Action::Recheck | Action::Cancel { .. } = action {
            visit = self.meant(lane);
        }
        if let Action::Correct { register, .. } | Action::Reprint { step: Some(register), .. } = action {
            step.clone_from(register);
        }
        let of_lane = || self.profile(lane).id.to_string();
        let profile = visit.map_or_else(of_lane, |visit| self.profile_of(lane, visit));
        let (lane, officer, action) = (lane.clone(), officer.clone(), action.clone());
        Shown::Act { lane, officer, action, profile, act, step, rejected: None }
    }

    /// Keeps what an event shows.
    pub(super) fn show(&mut self, event: &NewEvent) {
        let (Some(lane), Some(id)) = (&event.lane, event.visit) else { return };
        let Some(visit) = self.core.lane(lane).and_then(|lane| lane.state.visits().find(|v| v.id == id))
        else {
            return;
        };
        let (profile, origin) = (self.profile_of(lane, visit), visit.origin);
        let outcome = event.data.get("outcome").and_then(Value::as_str).and_then(Outcome::parse);
        if let Some(outcome) = outcome.filter(|_| event.kind == "transaction") {
            let codes = event.data.get("codes").and_then(Value::as_array).into_iter().flatten();
            let codes = codes.filter_map(Value::as_str).map(str::to_owned).collect();
            self.shown.push(Shown::Decided {
                lane: lane.clone(),
                visit: id,
                profile: profile.clone(),
                origin,
                outcome,
                codes,
            });
        }
        self.shown.push(Shown::Event { profile, kind: event.kind.clone() });
    }
}
