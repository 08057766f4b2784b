//! One lane: repetition, the visits under way, and the visits before them.
//!
//! A lane is a small state machine: one visit is in front, its step waits for a device, for staff or for time; others
//! wait for staff beside it ([`open`]). The state serialises; what comes back after a crash goes on where it was,
//! asking its devices again.

pub mod action;
pub mod aside;
mod barrier;
mod correct;
mod day;
mod desk;
pub mod door;
mod edition;
pub mod event;
pub mod open;
mod override_act;
pub mod party;
pub mod record;
pub mod remote;
mod scan;
pub mod start;
pub mod step;
pub mod view;
pub mod visit;

use crate::codes::Outcome;
use crate::core::Keep;
use crate::event::{Class, NewEvent, OWN};
use crate::evidence::{GatewayKey, SubjectKeys};
use crate::ids::{DeviceId, LaneId, OfficerId, VisitId};
use crate::pass::trust::TrustList;
use crate::profile::{DeviceKind, Profile};
use crate::reading::{Command, Report, Request, Ticket};
use crate::records::{Records, RecordsFault, Write};
use crate::time::{MonoMs, Now};
use action::Rejection;
use scan::Scanned;
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
}

/// What a lane is woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// The step has had its time.
    Step,
    /// That of an open visit has.
    Open(VisitId),
    /// A record is still open.
    Record(VisitId),
    /// Nobody else is added to a visit that is over.
    Guests,
    /// The door stands open.
    Door,
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
    /// The visit at the front, those that are open, and those before, the latest first.
    pub fn visits(&self) -> impl Iterator<Item = &Visit> {
        self.visit.iter().chain(self.open.iter().rev()).chain(self.recent.iter().map(Arc::as_ref))
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
    /// Takes up the state of an earlier run: a visit that was under way asks its devices again.
    pub fn resume(&mut self, now: &Now, records: &dyn Records) -> Result<Outbound, RecordsFault> {
        let mut out = Outbound::default();
        self.start_day(now);
        self.leave_behind(&mut out)?;
        self.resume_records(now);
        self.state.guests = None;
        // Whether the barrier has moved since it was asked, nobody knows: staff look.
        self.openings_ended(now, MonoMs::MAX, &mut out);
        // The monotonic clock may have begun anew. How old a result is, the other one tells; one that is
        // too old, or of unknown age, is not shown as that of whoever scans now.
        let counts = i64::try_from(self.setup.profile.same_result_ms).unwrap_or(i64::MAX - 1);
        let running = self.state.visit.iter().chain(&self.state.open).filter(|v| v.stage == Stage::Running);
        let running: Vec<VisitId> = running.map(|v| v.id).collect();
        self.state.reads.retain_mut(|read| {
            let age =
                now.wall_ms.zip(read.at_ms).map(|(now, at)| now - at).filter(|a| (0..=counts).contains(a));
            // A visit under way knows its code however long that is.
            let Some(age) = age.or_else(|| running.contains(&read.visit).then_some(counts + 1)) else {
                return false;
            };
            // When it was seen last, nobody knows any more: it counts as seen when its visit began.
            let begun = scan::moment(now).saturating_sub(age);
            (read.seen, read.result) = (begun, begun);
            true
        });
        self.state.notice = None;
        // Nor is a verdict of before that of whoever stands here: who comes back shows the code again.
        if let Some(visit) = &mut self.state.visit {
            visit.shown_until = None;
            visit.guests_until = None;
            // Whether a slip has come that was under way, nobody knows either: its step or an override prints it.
            visit.prints.iter_mut().for_each(Slip::give_up);
        }
        self.state.open.iter_mut().for_each(|visit| visit.prints.iter_mut().for_each(Slip::give_up));
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
        let open: Vec<VisitId> = self.state.open.iter().map(|v| v.id).collect();
        for id in open {
            let Some(at) = self.open_place(id) else { continue };
            if self.state.open[at].aside {
                self.state.open[at].deadline = Some(now.mono_ms + aside::ASIDE_MS);
            } else if !self.state.open[at].queued {
                self.advance_apart(at, now, records, &mut out)?;
            }
        }
        self.next_in_front(now, records, &mut out)?;
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

    /// Visits whose profile is gone are kept as they stand: nobody can go on with them, or act on them any more.
    fn leave_behind(&mut self, out: &mut Outbound) -> Result<(), RecordsFault> {
        if self.state.visit.as_ref().is_some_and(|v| !self.is_known(v)) {
            if self.is_running() {
                self.abandon_at(None, None, "profile", out);
            } else {
                self.archive(out);
                self.state.recent.retain(|v| v.id.0 > self.state.before);
            }
        }
        let gone = self.state.open.iter().filter(|v| !self.is_known(v)).map(|v| v.id);
        for id in gone.collect::<Vec<_>>() {
            let Some(at) = self.open_place(id) else { continue };
            self.apart(at, out, |lane, out| {
                lane.abandon_at(None, None, "profile", out);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// When the lane must be woken.
    pub fn deadline(&self) -> Option<(MonoMs, Due)> {
        self.deadlines().min()
    }

    fn deadlines(&self) -> impl Iterator<Item = (MonoMs, Due)> {
        let state = &self.state;
        let visit = state.visit.as_ref().and_then(|visit| match visit.stage {
            // A visit whose record is written later leaves the front when its verdict has been shown.
            Stage::Running if visit.record.is_some() => visit.shown_until.map(|at| (at, Due::Screen)),
            Stage::Running => visit.deadline.map(|at| (at, Due::Step)),
            Stage::Parked { .. } | Stage::Done | Stage::Abandoned => {
                visit.shown_until.map(|at| (at, Due::Screen))
            }
        });
        let notice = state.notice.as_ref().map(|n| (n.until, Due::Notice));
        let other = state.other.as_ref().map(|o| (o.until, Due::Other));
        let opening = state.opening.iter().map(|o| (o.until, Due::Opening)).min();
        let open = state.open.iter().filter_map(|v| Some((v.deadline?, Due::Open(v.id))));
        let records = self.records_due().map(|(at, id)| (at, Due::Record(id)));
        let guests = state.guests.as_ref().map(|g| (g.until, Due::Guests));
        let day = state.day_look.map(|at| (at, Due::Day));
        let keep = state.keep_at.map(|at| (at, Due::Keep));
        let one = [visit, notice, other, opening, day, keep, guests, self.door_due()];
        one.into_iter().flatten().chain(open).chain(records)
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
        self.heard(now, (device, report), next_visit, records, out)?;
        self.next_in_front(now, records, out)?;
        self.watch_door(now, out);
        Ok(())
    }

    fn heard(
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
            _ => None,
        };
        if let Some((bytes, origin)) = coded {
            let taken = running && self.current_step().is_some_and(|s| s.kind.takes_codes());
            if !taken || origin == Origin::Plate {
                let setup = self.setup.clone();
                let on = setup.devices.iter().find(|(_, d)| *d == device).map(|(role, _)| role.as_str());
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
    fn input(
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

    /// Does what is due, each thing once.
    pub fn wake(&mut self, now: &Now, records: &dyn Records, out: &mut Outbound) -> Result<(), RecordsFault> {
        let mut due: Vec<_> = self.deadlines().filter(|(at, _)| *at <= now.mono_ms).collect();
        due.sort_unstable();
        for (_, what) in due {
            match what {
                Due::Step => self.stimulate(now, &StepInput::Deadline, records, out).map(drop)?,
                Due::Screen => self.clear_front(out),
                Due::Open(id) => self.open_overdue(now, id, records, out)?,
                Due::Record(id) => self.record_overdue(id, out),
                Due::Guests => self.state.guests = None,
                Due::Door => self.door_held(out),
                Due::Notice => self.state.notice = None,
                Due::Other => self.state.other = None,
                Due::Opening => self.openings_ended(now, now.mono_ms, out),
                Due::Day => self.start_day(now),
                Due::Keep => out.keep = Keep::Now,
                Due::Register => {}
            }
        }
        self.next_in_front(now, records, out)?;
        self.watch_door(now, out);
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

    /// The step of an open visit has had its time.
    fn open_overdue(
        &mut self,
        now: &Now,
        id: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<(), RecordsFault> {
        let Some(at) = self.open_place(id) else { return Ok(()) };
        self.apart(at, out, |lane, out| {
            if lane.state.visit.as_ref().is_some_and(|v| v.aside) {
                return lane.stayed_away(now, records, out);
            }
            lane.stimulate(now, &StepInput::Deadline, records, out).map(drop)
        })
    }

    /// What follows every input of the lane: the day, its counters, and whose turn it is.
    pub fn count(&mut self, now: &Now) {
        self.start_day(now);
        self.state.tally();
        self.keep_texts(false);
        if !self.is_at_device() {
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
}
