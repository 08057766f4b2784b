//! Plays the acts of a file, one after another.

use super::expect::{self, Observed};
use super::file::{Mistake, Scenario, moment, resolved};
use super::registers::OF_VISITS;
use super::serve::{Seen, somebody};
use super::shown::Shown;
use super::store::{PeerUse, Store};
use super::verb::{self, Act, Correction, ListChange, Override, PeerTold, Verb};
use super::when;
use super::words;
use super::world::{GATEWAY, Stopped, World};
use super::{Failure, Profiles};
use crate::core::Input;
use crate::event::{Class, NewEvent};
use crate::ids::{GatewayId, LaneId, OfficerId, VisitId};
use crate::lane::action::{Action, Officer, Role};
use crate::lane::visit::Origin;
use crate::profile::{DeviceKind, Profile, StepKind};
use crate::reading::{NoData, Report};
use crate::records::{Redemption, Write, seal_use};
use serde_json::{Value as Json, json};

/// A gateway beside that of the play.
const PEER: &str = "gw-2";

/// Plays a scenario on a store: `None` if everything is as it must be. `trace` hears of each act and of what follows.
pub fn play(
    scenario: &Scenario,
    profiles: Profiles<'_>,
    store: &mut dyn Store,
    trace: &mut dyn FnMut(&str),
) -> Result<Option<Failure>, Mistake> {
    if let Some(what) = &scenario.not_built {
        return Ok(Some(Failure::not_built(what)));
    }
    let mut world = World::new(scenario, profiles, store, trace)?;
    run(&mut world, scenario)
}

/// Plays it in a world that was made for it.
pub(super) fn run(world: &mut World<'_>, scenario: &Scenario) -> Result<Option<Failure>, Mistake> {
    let mistake = |line, what| Mistake { file: scenario.file.clone(), line, what };
    for act in &scenario.acts {
        let lane = world.lane_of(act);
        check(world, &lane, act).map_err(|what| mistake(act.line, what))?;
    }
    if let Err(stopped) = begin(world, scenario) {
        return Ok(Some(failure(world, 1, stopped, None)));
    }
    let mut rejected: Option<(usize, &'static str, String)> = None;
    // A photograph that was rejected is taken again: an expect that names the rejection looks at that moment.
    let mut photographed = false;
    for (number, act) in scenario.acts.iter().enumerate() {
        (world.trace)(&format!("{}: {}", act.line, act.said));
        if let Verb::NotBuilt(what) = &act.verb {
            return Ok(Some(Failure::not_built(what)));
        }
        let last = rejected.take();
        let named = matches!(&act.verb, Verb::Expect(expect) if expect.refused.is_some());
        world.steps_aside =
            scenario.acts.get(number + 1).is_some_and(|next| matches!(next.verb, Verb::Aside));
        if let Some((line, code, text)) = last.as_ref().filter(|_| !named) {
            let stopped = Stopped::Rejected(code, text.clone());
            return Ok(Some(failure(world, *line, stopped, None)));
        }
        let refused = last.map(|(_, code, _)| code);
        let stays = named && photographed;
        photographed = matches!(act.verb, Verb::Photo { .. });
        let served = if stays { Ok(()) } else { world.serve_before(act) };
        let done = served.and_then(|()| world.act(act, refused));
        match done {
            Ok(None) => {}
            Ok(Some(failed)) => return Ok(Some(failed)),
            Err(Stopped::Rejected(code, text)) => {
                (world.trace)(&format!("    rejected: {code} ({text})"));
                rejected = Some((act.line, code, text));
            }
            Err(stopped @ Stopped::Failed(_)) => {
                return Ok(Some(failure(world, act.line, stopped, refused)));
            }
        }
        let lane = world.lane_of(act);
        if let Some((visit, step)) = world.waiting(&lane) {
            let at = format!("    visit {} waits at {}", visit.id, step.id);
            (world.trace)(&at);
        }
    }
    Ok(rejected.map(|(line, code, text)| failure(world, line, Stopped::Rejected(code, text), None)))
}

fn failure(world: &World<'_>, line: usize, stopped: Stopped, refused: Option<&'static str>) -> Failure {
    let (why, refused) = match stopped {
        Stopped::Rejected(code, text) => {
            (format!("rejected with `{code}` ({text}), and no expect names it"), Some(code))
        }
        Stopped::Failed(why) => (why, refused),
    };
    let mut found = Observed::default();
    if let Some((lane, _)) = world.visits.last() {
        found.look(world, lane, None);
    }
    found.refused = refused.map(str::to_owned);
    Failure { line, why, found: Box::new(found) }
}

/// What an act names must be there, before anything is played.
fn check(world: &World<'_>, lane: &LaneId, act: &Act) -> Result<(), String> {
    let profile = world.profile(lane);
    let steps = |of: &dyn Fn(&StepKind) -> bool| -> Vec<&str> {
        profile.steps.iter().filter(|s| of(&s.kind)).map(|s| s.id.as_str()).collect()
    };
    let devices: Vec<&str> = profile.devices().map(|(role, ..)| role).collect();
    match &act.verb {
        Verb::Scan { on, .. } | Verb::ScanPass { on, .. } => reader(profile, on.as_deref()).map(drop),
        // Staff type in a lane without a reader as well.
        Verb::Enter { on: Some(on), .. } | Verb::Start { on: Some(on), .. } => {
            reader(profile, Some(on)).map(drop)
        }
        Verb::Enter { on: None, .. } => Ok(()),
        Verb::Reprint { step, .. } => {
            verb::known("step that prints", step, &steps(&|k| matches!(k, StepKind::Print(_))))
        }
        Verb::DeviceLost(role) | Verb::DeviceBack(role) | Verb::PrintFails(role) => {
            verb::known("device", role, &devices)
        }
        Verb::Expect(expect) => {
            if let Some(at) = expect.at.as_ref().filter(|at| !at.is_empty()) {
                let members = world.lane(lane).setup.members.values().flat_map(|m| &m.steps);
                let mut all = steps(&|_| true);
                all.extend(members.map(|s| s.id.as_str()));
                verb::known("step", at, &all)?;
            }
            expect.register.keys().try_for_each(|name| world.register_is_known(lane, name))?;
            let profiles = || world.core.lanes().map(|l| &*l.setup.profile);
            let mut kinds = expect.events.iter().chain(&expect.no_events);
            kinds.try_for_each(|kind| verb::known_event(words::event(kind, profiles()), kind))
        }
        Verb::Peer(told) => world.register_is_known(lane, &told.register),
        Verb::Correct(what) => world.register_is_known(lane, &what.register),
        // What no step of the lane asks for is rejected when it comes.
        Verb::Measure(_)
        | Verb::NoReading(_)
        | Verb::Recheck(_)
        | Verb::Aside
        | Verb::Start { .. }
        | Verb::Plate(_)
        | Verb::Input { .. }
        | Verb::Party(_)
        | Verb::Complete(_)
        | Verb::Answer(_)
        | Verb::Photo { .. }
        | Verb::Weigh(_)
        | Verb::Confirm(_)
        | Verb::Approve { .. }
        | Verb::Seal { .. }
        | Verb::SealCheck(_)
        | Verb::Tally(_)
        | Verb::Override(_)
        | Verb::Cancel(_)
        | Verb::List(_)
        | Verb::Hl7(_)
        | Verb::Wait(_)
        | Verb::WaitUntil(_)
        | Verb::Restart(_)
        | Verb::NotBuilt(_) => Ok(()),
        Verb::Console(said) => match &said.lane {
            Some(lane) if world.core.lane(lane).is_none() => {
                let lanes: Vec<&str> = world.core.lanes().map(|l| l.setup.lane.as_str()).collect();
                Err(format!("there is no lane `{lane}`; there are: {}", lanes.join(", ")))
            }
            Some(_) | None => Ok(()),
        },
    }
}

/// The role of the reader of a scan. A lane with one reader has that one as its way in.
fn reader<'a>(profile: &'a Profile, on: Option<&str>) -> Result<&'a str, String> {
    let readers: Vec<&str> = profile
        .devices()
        .filter(|(_, kind, _)| *kind == DeviceKind::Scanner)
        .map(|(role, ..)| role)
        .collect();
    let wanted = on.unwrap_or("reader-in");
    match (readers.iter().find(|role| **role == wanted), readers.as_slice()) {
        (Some(role), _) => Ok(role),
        (None, [only]) if wanted == "reader-in" => Ok(only),
        (None, _) => verb::known("reader", wanted, &readers).map(|()| ""),
    }
}

/// What stands before the first act.
fn begin(world: &mut World<'_>, scenario: &Scenario) -> Result<(), Stopped> {
    for name in crate::records::LISTS {
        let of = scenario.lists.get(name);
        let issued_ms = world.issued(name, of.is_some_and(|list| list.stale));
        let mut entries = super::store::Entries::new();
        for (_, id, facts) in of.iter().flat_map(|list| &list.entries) {
            let facts = resolved(facts, scenario.clock_ms).map_err(Stopped::Failed)?;
            entries.insert(world.entry_key(name, id), facts);
        }
        world.edition(name, issued_ms, entries)?;
    }
    for (number, slot) in scenario.slots.iter().enumerate() {
        world.shown.push(Shown::Beyond("slot"));
        let lane = slot.lane.clone().unwrap_or_else(|| scenario.lanes[0].id.clone());
        if !OF_VISITS.contains(&slot.register.as_str()) {
            world.slot_before(number, slot, &lane)?;
            continue;
        }
        let visit = world.holder_before(&slot.holder);
        let by = Redemption { lane, visit, at_ms: Some(slot.since_ms) };
        let write = if slot.register == "seal" {
            Write::Seal { number: crate::pass::id::normal(&slot.key), by }
        } else {
            let (pass_id, shared) = world.use_of(&slot.key)?;
            Write::Redeem { pass_id, shared, by, ends_ms: None }
        };
        let now = world.now;
        world.store.write(&[write], &now)?;
    }
    Ok(world.core.set_alarm(&world.now, &*world.store)?)
}

impl World<'_> {
    /// One act; a failure is one of an `expect`.
    fn act(&mut self, act: &Act, refused: Option<&'static str>) -> Result<Option<Failure>, Stopped> {
        let lane = self.lane_of(act);
        let refused = refused.or(std::mem::take(&mut self.not_taken).then_some("not_now").filter(
            |word| matches!(&act.verb, Verb::Expect(expect) if expect.refused.as_deref() == Some(*word)),
        ));
        match &act.verb {
            Verb::Scan { text, on } => self.scan(&lane, on.as_deref(), text.clone())?,
            Verb::ScanPass { name, on } => {
                let made = self.passes.get(name.trim_start_matches('@')).map(|made| made.text.clone());
                self.scan(&lane, on.as_deref(), made.unwrap_or_default())?;
            }
            Verb::Enter { text, on } => {
                let action = Action::Enter { text: text.clone(), on: on.clone() };
                self.desk(act, &lane, action)?;
            }
            Verb::Measure(mdeg) => {
                self.at_thermometer(&lane)?;
                self.measure(&lane, &Seen::Values(mdeg))?;
            }
            Verb::NoReading(why) => {
                self.at_thermometer(&lane)?;
                self.measure(&lane, &Seen::Nothing(*why))?;
            }
            Verb::Recheck(mdeg) => {
                self.desk(act, &lane, Action::Recheck)?;
                self.measure(&lane, &Seen::Values(mdeg))?;
            }
            Verb::Aside => self.desk(act, &lane, Action::Aside)?,
            Verb::Start { origin: Origin::Button, .. } => {
                self.input(Input::Start { lane, origin: Origin::Button }).map(drop)?;
            }
            Verb::Start { on, .. } => self.desk(act, &lane, Action::Start { on: on.clone() })?,
            Verb::Plate(text) => {
                let device = self.plate_camera(&lane)?;
                let counters =
                    self.input(Input::Device { device, report: Report::Plate { text: text.clone() } })?;
                self.turned_away(&counters)?;
            }
            Verb::Input { role, active } => {
                let device = self.contact(&lane, role)?;
                self.input(Input::Device { device, report: Report::Input { active: *active } }).map(drop)?;
            }
            Verb::Party(count) => self.desk(act, &lane, Action::Party(*count))?,
            Verb::Complete(number) => {
                let (lane, visit) = self.visits.get(*number - 1).cloned().ok_or_else(|| {
                    Stopped::Failed(format!("there is no visit {number}: {} have begun", self.visits.len()))
                })?;
                self.desk(act, &lane, Action::Complete(visit))?;
            }
            Verb::Answer(answers) => self.answers(act, &lane, answers)?,
            Verb::Confirm(checks) => self.desk(act, &lane, Action::Confirm(checks.clone()))?,
            Verb::Approve { yes, note } => {
                let action = Action::Approve { approve: *yes, note: note.clone(), desk: None };
                self.desk(act, &lane, action)?;
            }
            Verb::Seal { number, again, kind, door } => {
                let (first, second) = (number.clone(), again.clone());
                let action = Action::Seal { first, second, kind: kind.clone(), door: door.clone() };
                self.desk(act, &lane, action)?;
            }
            Verb::SealCheck(all) => self.desk(act, &lane, Action::SealCheck(all.clone()))?,
            Verb::Tally(codes) => {
                for code in codes {
                    self.desk(act, &lane, Action::Tally(code.clone()))?;
                }
                self.desk(act, &lane, Action::TallyDone)?;
            }
            Verb::Photo { role, quality } => {
                let by = self.who(act, &lane);
                self.photo(&lane, &by, role, *quality)?;
            }
            Verb::Weigh(grams) => self.weigh(&lane, *grams)?,
            Verb::Override(otherwise) => self.decide_otherwise(act, &lane, otherwise)?,
            Verb::Cancel(reason) => {
                self.desk(act, &lane, Action::Cancel { reason: reason.clone(), visit: None })?;
            }
            Verb::Correct(what) => {
                let Correction { register, key, holder, act: done, reason } = what.clone();
                let holder = self.holder_named(&lane, &register, &key, &holder)?;
                let key = self.key_named(&key);
                self.desk(act, &lane, Action::Correct { register, key, holder, act: done, reason })?;
            }
            Verb::Reprint { step, reason } => {
                let visit = self.meant(&lane).map_or(VisitId(0), |v| v.id);
                let (step, reason) = (Some(step.clone()), reason.clone());
                self.desk(act, &lane, Action::Reprint { visit, step, reason })?;
            }
            Verb::List(change) => self.new_edition(change)?,
            Verb::Hl7(said) => {
                self.shown.push(Shown::Beyond("hl7"));
                self.message(said)?;
            }
            Verb::Peer(told) => {
                self.shown.push(Shown::Beyond("peer"));
                self.told(&lane, told)?;
            }
            Verb::Wait(ms) => self.wait(*ms)?,
            Verb::WaitUntil(text) => {
                let of_day = when::until_time_of_day(text, self.wall_ms(), self.utc_offset_ms);
                let ms = of_day.or_else(|_| when::moment(text, self.wall_ms()).map(|at| at - self.wall_ms()));
                self.wait(ms.map_err(Stopped::Failed)?)?;
            }
            Verb::Restart(ms) => self.restart(*ms)?,
            Verb::DeviceLost(role) => self.lost(&lane, role)?,
            Verb::DeviceBack(role) => {
                let id = self.device(&lane, role)?;
                let device = self.devices.get_mut(&id).filter(|d| d.lost);
                let was_lost = device.is_some_and(|d| std::mem::take(&mut d.lost));
                if let Some(device) = self.devices.get_mut(&id) {
                    device.prints = true;
                }
                if was_lost {
                    self.input(Input::Device { device: id, report: Report::Link { ready: true } })?;
                }
            }
            Verb::PrintFails(role) => {
                self.shown.push(Shown::Beyond("printer"));
                let id = self.device(&lane, role)?;
                if let Some(device) = self.devices.get_mut(&id) {
                    device.prints = false;
                }
            }
            Verb::Console(said) => self.console(act, said)?,
            Verb::Expect(expect) => return expect::check(self, &lane, act.line, expect, refused),
            Verb::NotBuilt(what) => return Ok(Some(Failure::not_built(what))),
        }
        Ok(None)
    }

    /// Who acts: as the file says, or one who may.
    fn who(&self, act: &Act, lane: &LaneId) -> Officer {
        if let Some(by) = &act.by {
            return by.clone();
        }
        let signs = matches!(act.verb, Verb::Confirm(_) | Verb::Approve { .. });
        let mut all = self.under_way(lane).filter(|_| signs).filter_map(|(visit, step)| {
            let StepKind::Confirm(confirm) = &step.kind else { return None };
            Some((visit, confirm))
        });
        let Some((visit, confirm)) = all.next() else { return somebody(Role::Guard) };
        let signed = visit.waits.confirm.as_deref().unwrap_or_default();
        let roles = confirm.next(signed).unwrap_or_default();
        let may = somebody(roles.iter().find_map(|word| Role::parse(word)).unwrap_or(Role::Guard));
        // Signatures of one role are of different people.
        let has_signed = |who: &Officer| signed.iter().any(|s| s.by.id == who.id);
        let others = (2..).map(|n| format!("{}-{n}", may.role.as_str()));
        let others =
            others.filter_map(|name| OfficerId::new(name).ok()).map(|id| Officer { id, role: may.role });
        std::iter::once(may.clone()).chain(others).find(|who| !has_signed(who)).unwrap_or(may)
    }

    fn desk(&mut self, act: &Act, lane: &LaneId, action: Action) -> Result<(), Stopped> {
        let officer = self.who(act, lane);
        let counters = self.input(Input::Desk { lane: lane.clone(), officer, visit: None, action })?;
        self.turned_away(&counters)
    }

    fn scan(&mut self, lane: &LaneId, on: Option<&str>, text: String) -> Result<(), Stopped> {
        let role = reader(self.profile(lane), on).map_err(Stopped::Failed)?.to_owned();
        let device = self.device(lane, &role)?;
        if self.devices.get(&device).is_some_and(|d| d.lost) {
            return Err(Stopped::Failed(format!(
                "`{role}` is lost: it reads nothing; type the code with `enter`"
            )));
        }
        let counters = self.report(lane, &role, Report::Scan { bytes: text.into_bytes() })?;
        self.turned_away(&counters)
    }

    /// What is put on the scale, when it lies still.
    fn weigh(&mut self, lane: &LaneId, grams: i64) -> Result<(), Stopped> {
        let waits = self
            .waiting(lane)
            .and_then(|(v, step)| Some((v.waits.weigh.as_ref()?.ticket?, step.device.clone()?)));
        let Some((ticket, role)) = waits else {
            return Err(Stopped::Rejected("not_now", "No scale is waiting for anything".into()));
        };
        self.report(lane, &role, Report::Weight { ticket: Some(ticket), grams }).map(drop)
    }

    fn at_thermometer(&self, lane: &LaneId) -> Result<(), Stopped> {
        let here = self.waiting(lane).is_some_and(|(_, s)| matches!(s.kind, StepKind::Temperature(_)));
        let not_now = || Stopped::Rejected("not_now", "No thermometer is waiting for anybody".into());
        if here { Ok(()) } else { Err(not_now()) }
    }

    /// One question after another, as the desk asks them; a form takes all that is left at once.
    fn answers(&mut self, act: &Act, lane: &LaneId, answers: &[(String, Json)]) -> Result<(), Stopped> {
        let mut left: Vec<&(String, Json)> = answers.iter().collect();
        if left.is_empty() {
            return self.desk(act, lane, Action::Form([].into()));
        }
        while !left.is_empty() {
            let waiting = self.questioned(lane).map(|(_, step)| (step.id.clone(), &step.kind));
            if let Some((_, StepKind::Form(_))) = waiting {
                let all = left.drain(..).cloned().collect();
                return self.desk(act, lane, Action::Form(all));
            }
            let asked = waiting.map(|(id, _)| id);
            let place = left.iter().position(|(id, _)| asked.as_ref() == Some(id)).unwrap_or(0);
            let one = left.remove(place).clone();
            self.desk(act, lane, Action::Form([one].into()))?;
        }
        Ok(())
    }

    fn decide_otherwise(&mut self, act: &Act, lane: &LaneId, what: &Override) -> Result<(), Stopped> {
        let (lane, visit) = match what.visit {
            Some(number) => self.visits.get(number - 1).cloned().ok_or_else(|| {
                Stopped::Failed(format!("there is no visit {number}: {} have begun", self.visits.len()))
            })?,
            None => {
                let latest = self.visits.iter().rev().find(|(of, _)| of == lane).cloned();
                latest
                    .ok_or_else(|| Stopped::Rejected("not_now", "No visit has begun in this lane".into()))?
            }
        };
        let action = Action::Override {
            visit,
            outcome: what.outcome,
            reason: what.reason.clone(),
            note: what.note.clone(),
            second: what.second.clone(),
        };
        self.desk(act, &lane, action)
    }

    fn new_edition(&mut self, change: &ListChange) -> Result<(), Stopped> {
        let (_, mut entries) = self.lists.get(&change.name).cloned().unwrap_or_default();
        if let Some(id) = &change.key {
            let id = self.entry_key(&change.name, id);
            match &change.entry {
                Some(facts) => {
                    let facts = resolved(facts, self.wall_ms()).map_err(Stopped::Failed)?;
                    entries.insert(id, facts);
                }
                None => drop(entries.remove(&id)),
            }
        }
        let issued_ms = self.issued(&change.name, change.stale);
        self.edition(&change.name.clone(), issued_ms, entries)
    }

    fn told(&mut self, lane: &LaneId, told: &PeerTold) -> Result<(), Stopped> {
        let at_ms = moment(told.at.as_ref(), "-0s", self.wall_ms()).map_err(Stopped::Failed)?;
        let from = GatewayId::new(PEER).map_err(|e| Stopped::Failed(e.to_string()))?;
        if !OF_VISITS.contains(&told.register.as_str()) {
            if self.slot_told(lane, told, at_ms, &from)? {
                self.note(&[conflict()]);
            }
            return Ok(());
        }
        let name = if told.register == "seal" {
            seal_use(&crate::pass::id::normal(&told.key))
        } else {
            let (name, shared) = self.use_of(&told.key)?;
            shared.unwrap_or(name)
        };
        let bad = |e: crate::ids::BadId| Stopped::Failed(e.to_string());
        let visit = self.holder_before(&told.holder);
        let by = Redemption { lane: LaneId::new("lane-1").map_err(bad)?, visit, at_ms: Some(at_ms) };
        let told = PeerUse { gateway: from, name, by };
        let now = self.now;
        if self.store.peer(&told, &now)? {
            self.note(&[conflict()]);
        }
        Ok(())
    }

    /// A code that was not taken because somebody else is in front. One that begins nothing here is no mistake of a
    /// file: it may say so or not.
    fn turned_away(&mut self, counters: &[&'static str]) -> Result<(), Stopped> {
        self.not_taken = counters.contains(&"start_not_taken_total");
        let busy = || Stopped::Rejected("busy", "Somebody else is in front".into());
        if counters.contains(&"scan_while_busy_total") { Err(busy()) } else { Ok(()) }
    }

    /// A device is gone: what it was asked has no answer.
    fn lost(&mut self, lane: &LaneId, role: &str) -> Result<(), Stopped> {
        let id = self.device(lane, role)?;
        let Some(device) = self.devices.get_mut(&id) else { return Ok(()) };
        if std::mem::replace(&mut device.lost, true) {
            return Ok(());
        }
        let asked = self.waiting(lane).is_some_and(|(_, step)| step.device.as_deref() == Some(role));
        let tickets = if asked { self.open_tickets(lane) } else { Default::default() };
        self.input(Input::Device { device: id.clone(), report: Report::Link { ready: false } })?;
        for ticket in tickets {
            let report = Report::NoData { ticket, why: NoData::NotPresent };
            self.input(Input::Device { device: id.clone(), report })?;
        }
        Ok(())
    }
}

/// The event that two gateways have given the same away.
fn conflict() -> NewEvent {
    NewEvent {
        kind: "peer_conflict".into(),
        class: Class::Verdict,
        lane: None,
        visit: None,
        audience: Vec::new(),
        data: json!({}),
    }
}

/// The gateway of a play, for its store.
pub fn gateway() -> GatewayId {
    GatewayId::new(GATEWAY).expect("it is a name")
}

/// What was found, as JSON.
pub fn found(failure: &Failure) -> serde_json::Value {
    let mut all = json!(failure.found);
    all["why"] = json!(failure.why);
    all
}
