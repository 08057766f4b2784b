//! The core: all lanes of a gateway behind one function.
//!
//! `handle(now, input)` gives a [`Step`]: events, writes and requests that belong together. The
//! owner stores the first two in one transaction and, only when that is durable, carries out the
//! rest. If the store fails, the owner drops the core and makes a new one from the stored state.

use crate::codes::Outcome;
use crate::event::{Class, NewEvent};
use crate::ids::{DeviceId, LaneId, VisitId};
use crate::lane::action::{Action, Officer, Rejection};
use crate::lane::remote::{Opened, Remote, Sender};
use crate::lane::visit::Origin;
use crate::lane::{Due, Lane, LaneState, Outbound, Setup};
use crate::reading::{Command, Report, Request};
use crate::records::{Records, RecordsFault, Write};
use crate::time::{MonoMs, Now, WallMs};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

mod alarms;
mod console;

/// What happens to the core.
#[derive(Debug, Clone)]
pub enum Input {
    /// A device reports.
    Device {
        /// Which.
        device: DeviceId,
        /// What.
        report: Report,
    },
    /// An officer acts at a lane's desk.
    Desk {
        /// Where.
        lane: LaneId,
        /// Who.
        officer: Officer,
        /// Of which visit; without it, of the one in front if its step takes the act, else of the newest open one
        /// whose step does.
        visit: Option<VisitId>,
        /// What.
        action: Action,
    },
    /// A visit begins without any code.
    Start {
        /// Where.
        lane: LaneId,
        /// How: by the button of the lane, or at the desk.
        origin: Origin,
    },
    /// Central ops command a lane.
    Remote {
        /// Where.
        lane: LaneId,
        /// Who.
        sender: Sender,
        /// What.
        what: Remote,
    },
    /// An officer signed in or out, or failed to: on record for whoever asks later.
    Audit {
        /// What happened, without secrets.
        what: serde_json::Value,
    },
    /// An officer acts at the duty console.
    Console {
        /// Who.
        officer: Officer,
        /// For which purpose.
        purpose: String,
        /// What.
        asked: crate::console::Asked,
    },
    /// A deadline has come.
    Tick,
}

impl Input {
    /// Whether somebody hears what became of it: that is said when it is durable, and not before.
    pub const fn is_answered(&self) -> bool {
        match self {
            Self::Desk { .. } | Self::Start { .. } | Self::Remote { .. } | Self::Console { .. } => true,
            Self::Device { .. } | Self::Audit { .. } | Self::Tick => false,
        }
    }
}

/// That something is kept lasts at most so long, in milliseconds, where nothing waits for it.
pub const KEEP_WITHIN_MS: u64 = 200;

/// How soon the state of a lane is kept, where nothing that follows must wait for that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keep {
    /// With the next thing that is.
    #[default]
    Later,
    /// Within [`KEEP_WITHIN_MS`]: a loss of power must not make it undone.
    Soon,
    /// Now: its time is over.
    Now,
}

/// What follows from one input.
#[derive(Debug, Default)]
pub struct Step {
    /// Events, in order.
    pub events: Vec<NewEvent>,
    /// Changes of the state.
    pub writes: Vec<Write>,
    /// Commands to devices, to be sent after the commit.
    pub requests: Vec<Request>,
    /// What barriers have said to commands.
    pub opened: Vec<Opened>,
    /// Lanes whose state changed.
    pub lanes: BTreeSet<LaneId>,
    /// Counters to raise.
    pub counters: Vec<&'static str>,
    /// Verdicts given.
    pub outcomes: Vec<(LaneId, Outcome)>,
    /// For the log.
    pub notes: Vec<String>,
    /// The answer to an act.
    pub reply: Option<Result<(), Rejection>>,
    /// How soon all this is kept, if nothing else asks for it.
    pub keep: Keep,
}

impl Step {
    /// Whether it is kept before anything follows from it. That somebody is being measured need not be: it is kept
    /// soon, and without a verdict waiting for it.
    pub fn must_be_kept(&self, answered: bool) -> bool {
        let acts = self.requests.iter().any(|r| !matches!(r.command, Command::Measure | Command::Stop));
        let due = self.keep == Keep::Now;
        answered || acts || due || !self.events.is_empty() || !self.writes.is_empty()
    }

    fn take(&mut self, lane: &LaneId, training: bool, mut out: Outbound) {
        if training {
            out.practise();
        }
        self.events.extend(out.events);
        self.writes.extend(out.writes);
        self.requests.extend(out.requests);
        self.opened.extend(out.opened);
        self.counters.extend(out.counters);
        self.outcomes.extend(out.outcomes.into_iter().map(|outcome| (lane.clone(), outcome)));
        self.notes.extend(out.notes);
        self.keep = self.keep.max(out.keep);
        self.lanes.insert(lane.clone());
    }
}

fn no_lane() -> Rejection {
    Rejection::new("no_lane", "没有这个通道", "There is no such lane")
}

/// All lanes.
pub struct Core {
    lanes: BTreeMap<LaneId, Lane>,
    of_device: BTreeMap<DeviceId, LaneId>,
    links: BTreeMap<DeviceId, bool>,
    last_visit: u64,
    /// When slots of registers may have to be told of.
    alarm_at: Option<MonoMs>,
}

impl Core {
    /// Makes the core from its setup and what the store kept of each lane.
    pub fn new(setups: Vec<Setup>, mut states: BTreeMap<LaneId, LaneState>) -> Self {
        let mut core = Self {
            lanes: BTreeMap::new(),
            of_device: BTreeMap::new(),
            links: BTreeMap::new(),
            last_visit: 0,
            alarm_at: None,
        };
        core.last_visit = states.values().map(|s| s.last_visit).max().unwrap_or(0);
        for setup in setups {
            let id = setup.lane.clone();
            for device in setup.devices.values() {
                let other = core.of_device.insert(device.clone(), id.clone());
                assert!(other.is_none_or(|o| o == id), "configuration gives a device to one lane only");
            }
            let state = states.remove(&id).unwrap_or_default();
            core.lanes.insert(id, Lane::new(setup, state));
        }
        core
    }

    /// Numbers up to this one were given to visits that nobody remembers: they are not given again.
    pub fn given(&mut self, visits: u64) {
        self.last_visit = self.last_visit.max(visits);
    }

    /// Forgets ended visits that began before a moment: on a quiet lane nothing else pushes them out.
    pub fn forget_before(&mut self, wall_ms: WallMs) {
        for lane in self.lanes.values_mut() {
            lane.state.recent.retain(|visit| visit.started_ms.is_none_or(|at_ms| at_ms >= wall_ms));
        }
    }

    /// Takes up what was under way.
    pub fn resume(&mut self, now: &Now, records: &dyn Records) -> Result<Step, RecordsFault> {
        let mut step = Step::default();
        for (id, lane) in &mut self.lanes {
            let out = lane.resume(now, records)?;
            lane.count(now);
            step.take(id, lane.setup.training, out);
        }
        self.set_alarm(now, records)?;
        self.note_alarms(now, &step);
        Ok(step)
    }

    /// Which devices are there and answer, as far as they have said.
    pub const fn links(&self) -> &BTreeMap<DeviceId, bool> {
        &self.links
    }

    /// Goes on with what the devices have said to a core before this one: they say it once.
    pub fn keep_links(&mut self, before: &Self) {
        self.links.clone_from(&before.links);
    }

    /// The lanes.
    pub fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.values()
    }

    /// One lane.
    pub fn lane(&self, id: &LaneId) -> Option<&Lane> {
        self.lanes.get(id)
    }

    /// Replaces the keys of every lane.
    pub fn set_trust(&mut self, trust: &Arc<crate::pass::trust::TrustList>) {
        for lane in self.lanes.values_mut() {
            Arc::make_mut(&mut lane.setup).trust = trust.clone();
        }
    }

    /// Replaces the secrets of every lane that make subject keys.
    pub fn set_subjects(&mut self, subjects: &Arc<crate::evidence::SubjectKeys>) {
        for lane in self.lanes.values_mut() {
            Arc::make_mut(&mut lane.setup).subjects = subjects.clone();
        }
    }

    /// When the core must be woken, and why.
    pub fn next_deadline(&self) -> Option<(MonoMs, Due)> {
        let alarm = self.alarm_at.map(|at| (at, Due::Register));
        self.lanes.values().filter_map(Lane::deadline).chain(alarm).min()
    }

    /// One input.
    pub fn handle(&mut self, now: &Now, input: Input, records: &dyn Records) -> Result<Step, RecordsFault> {
        let answered = input.is_answered();
        let step = self.handled(now, input, records)?;
        self.note_alarms(now, &step);
        for id in &step.lanes {
            let Some(lane) = self.lanes.get_mut(id) else { continue };
            if step.must_be_kept(answered) {
                lane.state.keep_at = None;
            } else if step.keep == Keep::Soon {
                lane.state.keep_at.get_or_insert(now.mono_ms + KEEP_WITHIN_MS);
            }
        }
        Ok(step)
    }

    /// The run ends: what a visit needs to go on behind a change of the configuration is kept with its lane.
    pub fn close(&mut self, now_ms: MonoMs) {
        self.lanes.values_mut().for_each(|lane| lane.close(now_ms));
    }

    /// Lanes of which something is still to be kept soon, as a step that is kept now.
    pub fn unkept(&self) -> Step {
        let open = self.lanes.iter().filter(|(_, lane)| lane.state.keep_at.is_some());
        Step { lanes: open.map(|(id, _)| id.clone()).collect(), keep: Keep::Now, ..Step::default() }
    }

    fn handled(&mut self, now: &Now, input: Input, records: &dyn Records) -> Result<Step, RecordsFault> {
        let mut step = Step::default();
        match input {
            Input::Device { device, report } => self.device(now, &device, &report, records, &mut step)?,
            Input::Desk { lane: id, officer, visit, action } => {
                let next = VisitId(self.last_visit + 1);
                let Some(lane) = self.lanes.get_mut(&id) else {
                    step.reply = Some(Err(no_lane()));
                    return Ok(step);
                };
                let mut out = Outbound::default();
                let reply = lane.act(now, &officer, (visit, &action), next, records, &mut out)?;
                self.last_visit = self.last_visit.max(lane.state.last_visit);
                if let Err(why) = &reply {
                    out.counters.push("action_rejected_total");
                    out.notes.push(format!("{} refused: {}", officer.id, why.code));
                }
                lane.count(now);
                step.reply = Some(reply);
                step.take(&id, lane.setup.training, out);
            }
            Input::Start { lane: id, origin } => {
                let next = VisitId(self.last_visit + 1);
                let Some(lane) = self.lanes.get_mut(&id) else {
                    step.reply = Some(Err(no_lane()));
                    return Ok(step);
                };
                let mut out = Outbound::default();
                let reply = lane.start(now, origin, next, records, &mut out)?;
                self.last_visit = self.last_visit.max(lane.state.last_visit);
                lane.count(now);
                step.reply = Some(reply);
                step.take(&id, lane.setup.training, out);
            }
            Input::Remote { lane: id, sender, what } => {
                let Some(lane) = self.lanes.get_mut(&id) else {
                    step.reply = Some(Err(no_lane()));
                    return Ok(step);
                };
                let mut out = Outbound::default();
                step.reply = Some(lane.remote(now, &sender, &what, &mut out));
                step.take(&id, lane.setup.training, out);
            }
            Input::Console { officer, purpose, asked } => {
                self.console(now, (&officer, &purpose, &asked), records, &mut step)?;
            }
            Input::Audit { what } => step.events.push(NewEvent {
                kind: "audit".into(),
                class: Class::Scan,
                lane: None,
                visit: None,
                audience: Vec::new(),
                data: what,
            }),
            Input::Tick if self.alarm_at.is_some_and(|at| at <= now.mono_ms) => {
                self.tell_alarms(now, records, &mut step)?;
            }
            Input::Tick => {
                // One lane a step: what it writes must be seen by the next.
                let due = self
                    .lanes
                    .iter_mut()
                    .filter(|(_, l)| l.deadline().is_some_and(|(at, _)| at <= now.mono_ms));
                if let Some((id, lane)) = due.min_by_key(|(_, l)| l.deadline()) {
                    let mut out = Outbound::default();
                    lane.wake(now, records, &mut out)?;
                    lane.count(now);
                    step.take(id, lane.setup.training, out);
                }
            }
        }
        Ok(step)
    }

    fn device(
        &mut self,
        now: &Now,
        device: &DeviceId,
        report: &Report,
        records: &dyn Records,
        step: &mut Step,
    ) -> Result<(), RecordsFault> {
        if let Report::Link { ready } = report {
            let before = self.links.insert(device.clone(), *ready);
            if before != Some(*ready) {
                step.events.push(NewEvent {
                    kind: "device".into(),
                    class: Class::Health,
                    lane: None,
                    visit: None,
                    audience: vec!["ops".into()],
                    data: json!({ "device": device, "ready": ready }),
                });
            }
        }
        let next = VisitId(self.last_visit + 1);
        let Some((id, lane)) = self.of_device.get(device).and_then(|id| Some((id, self.lanes.get_mut(id)?)))
        else {
            step.counters.push("report_without_lane_total");
            return Ok(());
        };
        let mut out = Outbound::default();
        lane.report(now, device, report, next, records, &mut out)?;
        lane.count(now);
        self.last_visit = self.last_visit.max(lane.state.last_visit);
        step.take(id, lane.setup.training, out);
        Ok(())
    }
}
