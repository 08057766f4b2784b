//! One lane: repetition, the visit under way, and the visits before it.
//!
//! A lane is a small state machine: at most one visit is under way, its step waits for a device,
//! for staff or for time. The state serialises; what comes back after a crash goes on where it
//! was, asking its devices again.

pub mod action;
mod barrier;
mod correct;
mod day;
mod desk;
pub mod event;
mod override_act;
pub mod remote;
mod scan;
mod start;
pub mod step;
pub mod view;
pub mod visit;

use crate::codes::Outcome;
use crate::core::Keep;
use crate::event::{Class, NewEvent, OWN};
use crate::evidence::{GatewayKey, SubjectKey, SubjectKeys};
use crate::ids::{DeviceId, LaneId, OfficerId, VisitId};
use crate::pass::trust::TrustList;
use crate::profile::{DeviceKind, Profile};
use crate::reading::{Command, Report, Request, Ticket};
use crate::records::{Records, RecordsFault, Write};
use crate::text::Text;
use crate::time::{MonoMs, Now};
use action::Rejection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use step::{Cx, Flow, StepInput, StepKind, Waits};
use visit::{Actuation, Origin, Slip, Stage, Visit};

/// The role of the input that tells of a vehicle before the barrier.
pub const LOOP: &str = "loop";
/// The place of a lane of which nothing is said.
pub const PLACE: &str = "main";
/// How many ended visits a lane remembers for its desk.
pub const RECENT: usize = 20;

/// The surroundings of a lane: constant for a run, but for the trust list.
#[derive(Clone)]
pub struct Setup {
    /// Its id.
    pub lane: LaneId,
    /// Its profile.
    pub profile: Arc<Profile>,
    /// The profiles of members of a party, by the names that its steps give them.
    pub members: BTreeMap<String, Arc<Profile>>,
    /// Its devices by role.
    pub devices: BTreeMap<String, DeviceId>,
    /// The region of the site.
    pub region: String,
    /// What it guards, alone or with other lanes: a ward, a zone, a works. [`PLACE`] where nothing is said.
    pub place: String,
    /// The gateway, as evidence names it.
    pub gateway: String,
    /// What tells one version of the profile from another.
    pub profile_hash: String,
    /// The offset of the site's civil day from UTC.
    pub utc_offset_ms: i64,
    /// The keys.
    pub trust: Arc<TrustList>,
    /// Makes subject keys.
    pub subjects: Arc<SubjectKeys>,
    /// Signs evidence.
    pub key: Arc<GatewayKey>,
    /// Seals what was answered in private, where the key of the central side is known.
    pub private: Option<Arc<dyn event::AnswerSealer>>,
}

/// What leaves the core after one input.
#[derive(Debug, Default)]
pub struct Outbound {
    /// Events, in order.
    pub events: Vec<NewEvent>,
    /// Changes of the state.
    pub writes: Vec<Write>,
    /// Commands to devices, to be sent after the commit.
    pub requests: Vec<Request>,
    /// What barriers have said to commands.
    pub opened: Vec<remote::Opened>,
    /// Counters to raise.
    pub counters: Vec<&'static str>,
    /// Verdicts to count.
    pub outcomes: Vec<Outcome>,
    /// For the log; no person's data.
    pub notes: Vec<String>,
    /// How soon this is kept.
    pub keep: Keep,
    /// The store could not answer: nothing of this holds.
    pub fault: Option<RecordsFault>,
}

impl Outbound {
    /// Adds an event.
    pub fn event(&mut self, kind: &str, class: Class, setup: &Setup, visit: Option<VisitId>, data: Value) {
        debug_assert!(OWN.contains(&kind), "`{kind}` is not in the list of own kinds of events");
        self.push(kind, class, setup, visit, data);
    }
    /// Adds an extra event of a profile.
    pub fn extra(&mut self, kind: &str, class: Class, setup: &Setup, visit: Option<VisitId>, data: Value) {
        debug_assert!(!OWN.contains(&kind), "`{kind}` is an own kind of event");
        self.push(kind, class, setup, visit, data);
    }
    fn push(&mut self, kind: &str, class: Class, setup: &Setup, visit: Option<VisitId>, data: Value) {
        self.events.push(NewEvent {
            kind: kind.to_owned(),
            class,
            lane: Some(setup.lane.clone()),
            visit,
            audience: setup.profile.audience.clone(),
            data,
        });
    }
    /// Adds what leaves beside it.
    fn add(&mut self, other: Self) {
        self.events.extend(other.events);
        self.counters.extend(other.counters);
    }
    /// Raises a counter.
    pub fn count(&mut self, name: &'static str) {
        self.counters.push(name);
    }
    /// What has changed is kept soon, whether or not anything else comes.
    pub fn keep_soon(&mut self) {
        self.keep = self.keep.max(Keep::Soon);
    }
    /// Counts a verdict.
    pub fn outcome(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }
}

/// What a lane must remember.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LaneState {
    /// Commands whose barrier has not answered: a run that begins anew does not wait for it.
    #[serde(skip)]
    pub remote: Vec<remote::Waits>,
    /// The visit under way or on the screen.
    pub visit: Option<Visit>,
    /// Visits under way that are not in front: at a step of staff, set aside, with open records, in the order in which they
    /// left it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<Visit>,
    /// Ended visits, the latest first. The store keeps them apart, each once, so that the state that
    /// every step writes stays small.
    #[serde(skip)]
    pub recent: VecDeque<Arc<Visit>>,
    /// Visits since the day began, each by the outcome that stands.
    pub counters: BTreeMap<Outcome, u64>,
    /// That day, counted from 1970.
    pub day: i64,
    /// Which inputs are active, by role, as far as they have said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, bool>,
    reads: VecDeque<scan::Read>,
    next_ticket: u64,
    /// A pulse under way beside the step of the visit at the front.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opening: Option<barrier::Opening>,
    /// A code that was shown while another visit runs.
    #[serde(skip)]
    pub other: Option<scan::Other>,
    #[serde(skip)]
    day_look: Option<MonoMs>,
    /// When what is not kept yet must be.
    #[serde(skip)]
    pub(crate) keep_at: Option<MonoMs>,
    /// A message of central ops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<remote::Notice>,
    /// The latest visit of this lane.
    pub last_visit: u64,
    profile_hash: String,
    /// The last visit of the profile before: it and what came before it are not taken up.
    #[serde(default)]
    before: u64,
    /// Whether the visit at the front is of the profile before.
    #[serde(skip)]
    outdated: bool,
}

/// What a lane is woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// The step has had its time.
    Step,
    /// The verdict has been shown for long enough.
    Screen,
    /// So has the message of central ops.
    Notice,
    /// So has the word that another code was shown.
    Other,
    /// The barrier has not confirmed.
    Opening,
    /// The civil day may be over.
    Day,
    /// What has changed is not kept yet.
    Keep,
    /// A slot of a register has been held for too long.
    Register,
}

impl LaneState {
    /// The visit at the front and those before it, the latest first.
    pub fn visits(&self) -> impl Iterator<Item = &Visit> {
        self.visit.iter().chain(self.recent.iter().map(Arc::as_ref))
    }
    /// Changes a visit at hand, whether it is at the front or has left the screen.
    fn change(&mut self, id: VisitId, with: impl FnOnce(&mut Visit)) {
        // Of those before, the one that is meant alone is copied.
        let recent = self.recent.iter_mut().find(|v| v.id == id).map(Arc::make_mut);
        if let Some(visit) = self.visit.as_mut().filter(|v| v.id == id).or(recent) {
            with(visit);
        }
    }
    /// Visits of another version of the profile cannot be taken up: their steps are not its steps. The one
    /// at the front is kept with what was done for it when the lane resumes.
    pub fn fit(&mut self, setup: &Setup) {
        if self.profile_hash != setup.profile_hash {
            self.profile_hash.clone_from(&setup.profile_hash);
            self.before = self.last_visit;
            self.outdated = self.visit.is_some();
            self.opening = None;
            self.reads.clear();
        }
        self.recent.retain(|visit| visit.id.0 > self.before);
        // An earlier version has kept codes and names in clear.
        if let Some(visit) = &mut self.visit {
            visit.forget_names();
            visit.take_over();
        }
        self.recent.iter_mut().for_each(|visit| Arc::make_mut(visit).take_over());
        let visit = self.visit.iter_mut().map(|visit| &mut visit.key);
        for key in visit.chain(self.reads.iter_mut().map(|read| &mut read.key)) {
            if !SubjectKey::is_one(key) {
                *key = setup.subjects.of(key);
            }
        }
    }
}

/// A lane. A copy is cheap, and shows what the lane was at when it was made.
#[derive(Clone)]
pub struct Lane {
    /// Its surroundings.
    pub setup: Arc<Setup>,
    /// What it remembers.
    pub state: LaneState,
}

impl Lane {
    /// Takes up the state of an earlier run: a visit that was under way asks its devices again.
    pub fn resume(&mut self, now: &Now, records: &dyn Records) -> Result<Outbound, RecordsFault> {
        let mut out = Outbound::default();
        self.start_day(now);
        if self.state.outdated {
            self.leave_behind(&mut out);
        }
        // Whether the barrier has moved since it was asked, nobody knows: staff look.
        self.opening_ended(now, false, &mut out);
        // The monotonic clock may have begun anew. How old a result is, the other one tells; one that is
        // too old, or of unknown age, is not shown as that of whoever scans now.
        let counts = i64::try_from(self.setup.profile.same_result_ms).unwrap_or(i64::MAX);
        self.state.reads.retain_mut(|read| {
            let age =
                now.wall_ms.zip(read.at_ms).map(|(now, at)| now - at).filter(|a| (0..=counts).contains(a));
            let Some(age) = age else { return false };
            // When it was seen last, nobody knows any more: it counts as seen when its visit began.
            let begun = scan::moment(now).saturating_sub(age);
            (read.seen, read.result) = (begun, begun);
            true
        });
        self.state.notice = None;
        // Nor is a verdict of before that of whoever stands here: who comes back shows the code again.
        if let Some(visit) = &mut self.state.visit {
            visit.shown_until = None;
            // Whether a slip has come that was under way, nobody knows either: its step or an override prints it.
            visit.prints.iter_mut().for_each(Slip::give_up);
        }
        for visit in self.state.recent.iter_mut().filter(|v| v.slip() == Actuation::Asked) {
            Arc::make_mut(visit).prints.iter_mut().for_each(Slip::give_up);
        }
        if self.is_running() {
            if self.gone(now, counts) {
                self.abandon(None, "restart", &mut out);
            } else {
                self.advance(now, records, &mut out)?;
            }
        }
        let front = self.state.visit.as_ref().filter(|v| v.stage != Stage::Running);
        if front.is_some_and(|v| v.shown_until.is_none() || v.unopened()) {
            self.archive(&mut out);
        }
        Ok(out)
    }

    /// Whether the one who was to be measured may have left while the box was off: nobody else is measured in
    /// their place. Other steps have staff, who see whose visit it is.
    fn gone(&self, now: &Now, counts_ms: i64) -> bool {
        let measures = self.current_step().is_some_and(|s| s.kind.about().measures);
        let visit = self.state.visit.as_ref().filter(|_| measures);
        let since = visit.map(|v| v.waits.temperature.as_ref().and_then(|m| m.asked_ms));
        since.is_some_and(|at| {
            // A clock that nobody has confirmed may stand where it stood when the power went.
            let wall = now.wall_ms.filter(|_| now.synced());
            let away = wall.zip(at).map(|(now, at)| now - at);
            !away.is_some_and(|ms| (0..counts_ms).contains(&ms))
        })
    }

    fn stop_devices(&mut self, out: &mut Outbound) {
        let measures =
            |s: &crate::profile::Step| s.kind.about().measures || matches!(s.kind, StepKind::Weigh(_));
        if self.current_step().is_some_and(measures)
            && let Some(device) = self.step_device().cloned()
        {
            let ticket = Ticket(self.state.next_ticket);
            self.state.next_ticket += 1;
            out.requests.push(Request { device, ticket, command: Command::Stop });
        }
    }

    /// Ends the visit under way without a verdict; its code can be scanned anew.
    fn abandon(&mut self, officer: Option<&OfficerId>, reason: &str, out: &mut Outbound) {
        self.stop_devices(out);
        let step = self.current_step().map(|s| s.id.clone());
        self.abandon_at(step, officer, reason, out);
    }

    /// What was done for it stays on record: a seal is on the truck whatever becomes of the visit.
    fn abandon_at(
        &mut self,
        step: Option<String>,
        officer: Option<&OfficerId>,
        reason: &str,
        out: &mut Outbound,
    ) {
        out.writes.extend(self.withdraw());
        let Some(visit) = &mut self.state.visit else { return };
        visit.stage = Stage::Abandoned;
        visit.deadline = None;
        visit.waits = Waits::default();
        let mut data = json!({ "officer": officer, "reason": reason, "subject": visit.subject,
            "subject_key": visit.subject_key, "step": step });
        if !visit.seals.is_empty() {
            data["seals"] = json!(visit.seals);
            data["photos"] = json!(event::accepted(visit));
        }
        let id = visit.id;
        out.event("visit_abandoned", Class::Scan, &self.setup, Some(id), data);
        self.state.reads.retain(|r| r.visit != id);
        self.archive(out);
    }

    /// The visit at the front is of the profile before, whose steps are gone: it is kept as it stands.
    fn leave_behind(&mut self, out: &mut Outbound) {
        self.state.outdated = false;
        if self.is_running() {
            self.abandon_at(None, None, "profile", out);
        } else {
            self.archive(out);
            // Its steps are not those of this profile: nobody acts on it any more.
            self.state.recent.retain(|v| v.id.0 > self.state.before);
        }
    }

    /// When the lane must be woken.
    pub fn deadline(&self) -> Option<(MonoMs, Due)> {
        self.deadlines().min()
    }

    fn deadlines(&self) -> impl Iterator<Item = (MonoMs, Due)> {
        let state = &self.state;
        let visit = state.visit.as_ref().and_then(|visit| match visit.stage {
            Stage::Running => visit.deadline.map(|at| (at, Due::Step)),
            Stage::Parked { .. } | Stage::Done | Stage::Abandoned => {
                visit.shown_until.map(|at| (at, Due::Screen))
            }
        });
        let notice = state.notice.as_ref().map(|n| (n.until, Due::Notice));
        let other = state.other.as_ref().map(|o| (o.until, Due::Other));
        let opening = state.opening.as_ref().map(|o| (o.until, Due::Opening));
        let day = state.day_look.map(|at| (at, Due::Day));
        let keep = state.keep_at.map(|at| (at, Due::Keep));
        [visit, notice, other, opening, day, keep].into_iter().flatten()
    }

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
        let running = self.is_running();
        if let Report::Scan { bytes } = report {
            let taken = running && self.current_step().is_some_and(|s| s.kind.takes_codes());
            if !taken {
                return self.scan(now, (bytes, Origin::Scan), next_visit, records, out);
            }
        }
        if self.opening_heard(now, report, out) {
            return Ok(());
        }
        match report {
            Report::Input { active } => {
                self.input(device, *active, out);
                let locked = |s: &crate::profile::Step| matches!(&s.kind, StepKind::Actuate(a) if a.interlock.is_some());
                if running && self.current_step().is_some_and(locked) {
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

    /// An input of the lane changed. A vehicle on the loop wakes the scanners that wait for one.
    fn input(&mut self, device: &DeviceId, active: bool, out: &mut Outbound) {
        let Some((role, _)) = self.setup.devices.iter().find(|(_, d)| *d == device) else { return };
        self.state.inputs.insert(role.clone(), active);
        let data = json!({ "role": role, "device": device, "active": active });
        out.event("input", Class::Health, &self.setup, self.state.visit.as_ref().map(|v| v.id), data);
        if role == LOOP {
            let scanners = self.setup.profile.devices().filter(|(_, kind, _)| *kind == DeviceKind::Scanner);
            for scanner in scanners.filter_map(|(role, _, _)| self.setup.devices.get(role)) {
                let (device, command) = (scanner.clone(), Command::Read { on: active });
                out.requests.push(Request { device, ticket: Ticket::NOBODY, command });
            }
        }
    }

    fn current_step(&self) -> Option<&crate::profile::Step> {
        self.state.visit.as_ref().and_then(|v| self.setup.profile.steps.get(v.step))
    }

    fn step_device(&self) -> Option<&DeviceId> {
        self.setup.devices.get(self.current_step()?.device.as_ref()?)
    }

    /// Moves a recent visit back to the front.
    fn archive_around(&mut self, place: usize, out: &mut Outbound) {
        let back = self.state.recent.remove(place);
        self.archive(out);
        self.state.visit = back.map(Arc::unwrap_or_clone);
    }

    fn archive(&mut self, out: &mut Outbound) {
        if let Some(mut visit) = self.state.visit.take() {
            visit.shown_until = None;
            let lane = self.setup.lane.clone();
            let visit = Arc::new(visit);
            out.writes.push(Write::Archive { lane, visit: visit.clone() });
            self.state.recent.push_front(visit);
            self.state.recent.truncate(RECENT);
        }
    }

    /// Does what is due, each thing once.
    pub fn wake(&mut self, now: &Now, records: &dyn Records, out: &mut Outbound) -> Result<(), RecordsFault> {
        let mut due: Vec<_> = self.deadlines().filter(|(at, _)| *at <= now.mono_ms).collect();
        due.sort_unstable();
        for (_, what) in due {
            match what {
                Due::Step => self.stimulate(now, &StepInput::Deadline, records, out).map(drop)?,
                Due::Screen => self.archive(out),
                Due::Notice => self.state.notice = None,
                Due::Other => self.state.other = None,
                Due::Opening => self.opening_ended(now, false, out),
                Due::Day => self.start_day(now),
                Due::Keep => out.keep = Keep::Now,
                Due::Register => {}
            }
        }
        Ok(())
    }

    /// Gives the current step something to react to.
    fn stimulate(
        &mut self,
        now: &Now,
        what: &StepInput<'_>,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<Result<(), Rejection>, RecordsFault> {
        let flow = self.with_step(now, records, out, |cx| step::on(cx, what))?;
        match flow {
            Flow::Reject(why) => return Ok(Err(why)),
            Flow::Wait => {}
            flow @ (Flow::Next | Flow::Jump(_) | Flow::Park(_)) => {
                self.apply(flow);
                self.advance(now, records, out)?;
            }
        }
        Ok(Ok(()))
    }

    /// Enters steps until one waits.
    fn advance(&mut self, now: &Now, records: &dyn Records, out: &mut Outbound) -> Result<(), RecordsFault> {
        loop {
            let Some(visit) = &mut self.state.visit else { return Ok(()) };
            if visit.stage != Stage::Running {
                break;
            }
            if visit.step >= self.setup.profile.steps.len() {
                visit.stage = Stage::Done;
                visit.deadline = None;
                break;
            }
            let flow = self.with_step(now, records, out, step::enter)?;
            if flow == Flow::Wait {
                return Ok(());
            }
            self.apply(flow);
        }
        Ok(())
    }

    /// What follows every input of the lane: the day, its counters, and whose turn it is.
    pub fn count(&mut self, now: &Now) {
        self.start_day(now);
        self.state.tally();
        if !self.is_running() {
            self.state.other = None;
        }
    }

    /// Acts on the visit at the front, whatever its step.
    fn with_visit(
        &mut self,
        now: &Now,
        records: &dyn Records,
        out: &mut Outbound,
        act: impl FnOnce(&mut Cx<'_>) -> Result<Flow, RecordsFault>,
    ) -> Result<Flow, RecordsFault> {
        let visit = self.state.visit.as_mut().expect("there is a visit at the front");
        let steps = &self.setup.profile.steps;
        let step = &steps[visit.step.min(steps.len() - 1)];
        let (next_ticket, inputs) = (&mut self.state.next_ticket, &self.state.inputs);
        let flow =
            act(&mut Cx { now: *now, setup: &self.setup, step, visit, records, inputs, out, next_ticket });
        match out.fault.take() {
            Some(fault) => Err(fault),
            None => flow,
        }
    }

    /// Acts on the visit at its step, which must be one.
    fn with_step(
        &mut self,
        now: &Now,
        records: &dyn Records,
        out: &mut Outbound,
        act: impl FnOnce(&mut Cx<'_>) -> Result<Flow, RecordsFault>,
    ) -> Result<Flow, RecordsFault> {
        let at = self.state.visit.as_ref().map(|v| v.step);
        assert!(at.is_some_and(|at| at < self.setup.profile.steps.len()), "a step belongs to a visit");
        self.with_visit(now, records, out, act)
    }

    fn apply(&mut self, flow: Flow) {
        let visit = self.state.visit.as_mut().expect("a flow belongs to a visit");
        // What the step kept while it waited is its own.
        if !matches!(flow, Flow::Wait | Flow::Reject(_)) {
            visit.waits = Waits::default();
        }
        match flow {
            Flow::Next => visit.step += 1,
            Flow::Jump(to) => visit.step = to,
            Flow::Park(resume) => {
                visit.stage = Stage::Parked { resume };
                visit.deadline = None;
            }
            Flow::Wait | Flow::Reject(_) => {}
        }
    }

    /// What the lane asks for while no visit runs.
    pub fn prompt(&self) -> Text {
        self.setup.profile.steps.first().map(|s| s.prompt.clone()).unwrap_or_default()
    }
}
