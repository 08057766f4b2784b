//! One lane: repetition, the visits under way, and the visits before them.
//!
//! A lane is a small state machine: one visit is in front, its step waits for a device, for staff or for time; others
//! wait for staff beside it ([`open`]). The state serialises; what comes back after a crash goes on where it was,
//! asking its devices again.

pub mod action;
pub mod aside;
mod barrier;
pub mod call;
mod correct;
mod day;
mod deadlines;
mod desk;
pub mod door;
mod edition;
pub mod event;
pub mod open;
mod override_act;
pub mod party;
pub mod record;
pub mod remote;
mod report;
mod resume;
mod scan;
pub mod sheet;
pub mod start;
pub mod step;
pub mod training;
pub mod view;
pub mod visit;

use crate::codes::Outcome;
use crate::core::Keep;
use crate::event::{Class, NewEvent, OWN};
use crate::evidence::{GatewayKey, SubjectKeys};
use crate::ids::{DeviceId, LaneId, OfficerId, VisitId};
use crate::pass::trust::TrustList;
use crate::profile::Profile;
use crate::reading::{Command, Request, Ticket};
use crate::records::{Records, RecordsFault, Write};
use crate::time::{MonoMs, Now};
use action::Rejection;
pub use deadlines::Due;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use step::{Cx, Flow, StepInput, StepKind, Waits};
use visit::{Stage, Visit};

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
    /// Whether the lane is practised on.
    pub training: bool,
    /// Whose staff badge signs on at the reader of the lane.
    pub badges: Arc<sheet::badges::Badges>,
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
        let (kind, class, data) = training::told(kind, class, setup, data);
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
    /// The record that staff have taken to the desk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desk: Option<VisitId>,
    /// People who are added to a visit that is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guests: Option<party::Guests>,
    /// The profiles of visits that can wait for long, by what tells them from others: the file and its text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    texts: BTreeMap<String, (String, String)>,
    /// Pulses under way beside the step of the visit at the front.
    #[serde(default, rename = "openings", skip_serializing_if = "Vec::is_empty")]
    opening: Vec<barrier::Opening>,
    /// What is known of the door.
    #[serde(skip)]
    door: door::Door,
    /// Whether the visit that is acted on stands in for the one in front.
    #[serde(skip)]
    apart: bool,
    /// A code that was shown while another visit stands at a device.
    #[serde(skip)]
    pub other: Option<scan::Other>,
    /// Whoever is called in from outside.
    #[serde(skip)]
    pub call: Option<call::Call>,
    /// Who was called last.
    #[serde(skip)]
    called: Option<VisitId>,
    /// Who acts by the command sheet, and what they have gathered.
    #[serde(skip)]
    pub sheet: sheet::Sheet,
    #[serde(skip)]
    day_look: Option<MonoMs>,
    /// When what is not kept yet must be.
    #[serde(skip)]
    pub(crate) keep_at: Option<MonoMs>,
    /// A message of central ops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<remote::Notice>,
    /// Whether its visits were practised.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub training: bool,
    /// The latest visit of this lane.
    pub last_visit: u64,
    profile_hash: String,
    /// The last visit of the profile before: it and what came before it are not taken up.
    #[serde(default)]
    before: u64,
}

impl LaneState {
    /// The visit at the front, those that are open, and those before, the latest first.
    pub fn visits(&self) -> impl Iterator<Item = &Visit> {
        self.visit.iter().chain(self.open.iter().rev()).chain(self.recent.iter().map(Arc::as_ref))
    }
    /// Whether a visit is in front, or open beside it.
    pub fn goes_on(&self, id: VisitId) -> bool {
        self.visit.iter().chain(&self.open).any(|v| v.id == id)
    }
    /// Changes a visit at hand, whether it is at the front or has left the screen.
    fn change(&mut self, id: VisitId, with: impl FnOnce(&mut Visit)) {
        // Of those before, the one that is meant alone is copied.
        let recent = self.recent.iter_mut().find(|v| v.id == id).map(Arc::make_mut);
        let open = self.open.iter_mut().find(|v| v.id == id);
        if let Some(visit) = self.visit.as_mut().filter(|v| v.id == id).or(open).or(recent) {
            with(visit);
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
    /// The profiles of visits that have another one than the lane.
    editions: edition::Editions,
}

impl Lane {
    fn stop_devices(&mut self, out: &mut Outbound) {
        let measures =
            |s: &crate::profile::Step| s.kind.about().measures || matches!(s.kind, StepKind::Weigh(_));
        // One that stands aside has no device.
        if !self.state.apart
            && self.current_step().is_some_and(measures)
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
        (visit.record, visit.aside, visit.queued) = (None, false, false);
        visit.waits = Waits::default();
        let mut data = json!({ "officer": officer, "reason": reason, "subject": visit.subject,
            "subject_key": visit.subject_key, "step": step });
        if !visit.seals.is_empty() {
            data["seals"] = json!(visit.seals);
            data["photos"] = json!(event::accepted(visit));
        }
        let id = visit.id;
        out.event("visit_abandoned", Class::Scan, &self.setup, Some(id), data);
        self.forget_read(id);
        self.archive(out);
    }

    fn current_step(&self) -> Option<&crate::profile::Step> {
        self.state.visit.as_ref().and_then(|v| self.profile_of(v).steps.get(v.step))
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
        if let Some(visit) = self.state.visit.take() {
            self.put_away(visit, out);
        }
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

    /// Enters steps until one waits; behind the one in front, until one needs the front.
    fn advance(&mut self, now: &Now, records: &dyn Records, out: &mut Outbound) -> Result<(), RecordsFault> {
        loop {
            let Some(visit) = &self.state.visit else { return Ok(()) };
            if visit.stage != Stage::Running {
                break;
            }
            if visit.step >= self.profile_of(visit).steps.len() {
                self.record_done(out);
                if let Some(visit) = &mut self.state.visit {
                    visit.stage = Stage::Done;
                    visit.deadline = None;
                }
                break;
            }
            if self.state.apart && self.stops_apart(now, records, out)? {
                return Ok(());
            }
            if self.state.visit.as_ref().is_some_and(|v| v.step >= self.profile_of(v).steps.len()) {
                continue;
            }
            let flow = self.with_step(now, records, out, step::enter)?;
            if flow == Flow::Wait {
                self.leave_for_record(out);
                return Ok(());
            }
            self.apply(flow);
        }
        Ok(())
    }

    /// A visit whose record is written later leaves the front, once its verdict is not shown any more.
    fn leave_for_record(&mut self, out: &mut Outbound) {
        let leaves = |v: &Visit| v.record.is_some() && v.shown_until.is_none();
        if !self.state.apart && self.state.visit.as_ref().is_some_and(leaves) {
            self.clear_front(out);
        }
    }

    /// What follows every input of the lane: the day, its counters, and whose turn it is.
    pub fn count(&mut self, now: &Now) {
        self.start_day(now);
        self.state.tally();
        self.keep_texts(false);
        if !self.is_at_device() {
            self.state.other = None;
        }
        self.end_call();
    }

    /// Acts on the visit at the front, whatever its step.
    fn with_visit(
        &mut self,
        now: &Now,
        records: &dyn Records,
        out: &mut Outbound,
        act: impl FnOnce(&mut Cx<'_>) -> Result<Flow, RecordsFault>,
    ) -> Result<Flow, RecordsFault> {
        let setup = self.front_setup();
        let visit = self.state.visit.as_mut().expect("there is a visit at the front");
        let steps = &setup.profile.steps;
        let step = &steps[visit.step.min(steps.len() - 1)];
        let (next_ticket, inputs) = (&mut self.state.next_ticket, &self.state.inputs);
        let flow = act(&mut Cx { now: *now, setup: &setup, step, visit, records, inputs, out, next_ticket });
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
        assert!(at.is_some_and(|at| at < self.profile().steps.len()), "a step belongs to a visit");
        self.with_visit(now, records, out, act)
    }

    fn apply(&mut self, flow: Flow) {
        let visit = self.state.visit.as_mut().expect("a flow belongs to a visit");
        // What the step kept while it waited is its own.
        if !matches!(flow, Flow::Wait | Flow::Reject(_)) {
            (visit.waits, visit.not_taken) = (Waits::default(), None);
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
}
