//! A visit begins: what is known of it from the start, by a code or without one, at the desk, by the button of the lane,
//! or by a contact.

use super::action::{Officer, Rejection};
use super::edition::hash_of;
use super::open::Answer;
use super::party::Awaited;
use super::visit::{Origin, Visit};
use super::{Lane, Outbound, Setup, step};
use crate::event::Class;
use crate::ids::VisitId;
use crate::profile::facts::{PASS, VISIT};
use crate::profile::start::{BOTH, By};
use crate::records::{Records, RecordsFault};
use crate::register::{self, Asks};
use crate::time::{Now, local_day};
use serde_json::{Value, json};
use std::sync::Arc;

/// The reader of the way out, where a lane has two.
pub const READER_OUT: &str = "reader-out";

const IN: &str = "in";
const OUT: &str = "out";
const THROUGH: &str = "through";

/// What is known of a beginning beside the code.
pub(super) struct Way<'a> {
    pub setup: &'a Arc<Setup>,
    /// The role of the reader, where one has read it or is named.
    pub on: Option<&'a str>,
    /// The party that it belongs to.
    pub parent: Option<VisitId>,
}

impl Lane {
    /// The surroundings of the next visit: those of the lane, or of a member of the party that is waited for.
    pub(super) fn setup_for(&self, awaited: Option<&Awaited>) -> Arc<Setup> {
        let member =
            awaited.and_then(|a| Some((a, self.setup.members.values().find(|m| hash_of(m) == a.profile)?)));
        match member {
            None => self.setup.clone(),
            Some((awaited, profile)) => Arc::new(Setup {
                profile: profile.clone(),
                profile_hash: awaited.profile.clone(),
                ..(*self.setup).clone()
            }),
        }
    }

    /// A visit begins without any code: at the desk, or by the button.
    pub fn start(
        &mut self,
        now: &Now,
        origin: Origin,
        next_visit: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        let role = if origin == Origin::Button { Origin::Button.as_str() } else { "" };
        let done = self.begin_without(now, origin, (role, None), next_visit, records, out)?;
        self.next_in_front(now, records, out)?;
        self.watch_door(now, out);
        Ok(done)
    }

    /// An officer begins a visit at the desk.
    pub(super) fn start_at_desk(
        &mut self,
        now: &Now,
        officer: &Officer,
        on: Option<&str>,
        next_visit: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        let data = json!({ "officer": officer.id, "act": "start" });
        let before = out.events.len();
        // Where a lane has a button alone, the desk has one as well.
        let start = &self.setup_for(self.awaited().as_ref()).profile.start;
        let button = !start.takes(Origin::Desk) && start.takes(Origin::Button);
        let (origin, role) = if button { (Origin::Button, "button") } else { (Origin::Desk, "") };
        let done = self.begin_without(now, origin, (role, on), next_visit, records, out)?;
        if done.is_ok() {
            out.event("audit", Class::Scan, &self.setup, Some(next_visit), data);
            // Who began it stands before what followed.
            out.events[before..].rotate_right(1);
        }
        Ok(done)
    }

    /// A visit begins without any code. Nothing is a repetition: each press of a button is a visit of its own.
    pub(super) fn begin_without(
        &mut self,
        now: &Now,
        origin: Origin,
        (input, on): (&str, Option<&str>),
        next_visit: VisitId,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        let by_contact = matches!(origin, Origin::Button | Origin::Input);
        let awaited = self.awaited().filter(|_| !by_contact);
        let setup = self.setup_for(awaited.as_ref());
        let start = &setup.profile.start;
        if !start.takes(origin) || (start.only_in_party && awaited.is_none()) {
            out.count("start_not_taken_total");
            return Ok(Err(Rejection::new("not_now", "此通道不这样开始", "This lane does not begin so")));
        }
        if !by_contact && !self.may_take_front() {
            return Ok(Err(Rejection::new("busy", "请先完成当前流程", "Finish the current visit first")));
        }
        let number = start.number.as_ref().filter(|_| origin == Origin::Desk);
        let number = number.map(|before| format!("{before}-{next_visit}"));
        let name = number.clone().unwrap_or_else(|| format!("visit:{next_visit}"));
        let mut visit = Visit::begin(next_visit, setup.subjects.of(&name), now);
        visit.number = number;
        visit.subject = setup.subjects.of(&name);
        visit.subject_key = Some(setup.subjects.number());
        visit.origin = origin;
        visit.input = input.to_owned();
        let way = Way { setup: &setup, on, parent: awaited.as_ref().map(|a| a.parent) };
        self.begin_facts(now, &way, &mut visit, records, out)?;
        // What a contact asks for waits for nobody: beside whoever stands at a device, it begins at once.
        if by_contact && !self.may_take_front() {
            self.state.last_visit = next_visit.0;
            self.state.open.push(visit);
            out.keep_soon();
            self.advance_apart(self.state.open.len() - 1, now, records, out)?;
            return Ok(Ok(()));
        }
        self.clear_front(out);
        self.begin(now, visit, records, out)?;
        Ok(Ok(()))
    }

    /// A visit takes the front and goes on to its first step.
    pub(super) fn begin(
        &mut self,
        now: &Now,
        visit: Visit,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<(), RecordsFault> {
        self.state.last_visit = visit.id.0;
        if let Some(parent) = visit.parent {
            self.joins(now, parent, visit.id);
        }
        self.state.visit = Some(visit);
        self.state.other = None;
        // Whoever is measured when the power fails goes on, or is told of.
        out.keep_soon();
        self.advance(now, records, out)
    }

    /// What rules may ask before any step has made something.
    pub(super) fn begin_facts(
        &mut self,
        now: &Now,
        way: &Way<'_>,
        visit: &mut Visit,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<(), RecordsFault> {
        let Setup { lane, region, place, profile, profile_hash, utc_offset_ms, .. } = &**way.setup;
        visit.facts = profile.unmade_facts().clone();
        visit.profile.clone_from(profile_hash);
        visit.parent = way.parent;
        let day = now.wall_ms.and_then(|at_ms| local_day(at_ms, *utc_offset_ms)).unwrap_or_default();
        let of_code = step::verify::of_code(visit);
        if let Some(pass) = visit.facts.get_mut(PASS).and_then(Value::as_object_mut) {
            pass.extend(of_code);
        }
        visit.facts.insert("lane".into(), json!({ "id": lane, "region": region, "place": place }));
        let mut of_visit = json!({ "id": visit.id, "now_ms": now.wall_ms.unwrap_or_default(),
            "direction": THROUGH, "day": day, "origin": visit.origin, "input": visit.input,
            "parent": visit.parent.map_or(0, |parent| parent.0) });
        visit.facts.insert(VISIT.into(), of_visit.clone());
        visit.direction = self.direction(now, way, visit, records, out)?;
        of_visit["direction"] = json!(visit.direction);
        visit.facts.insert(VISIT.into(), of_visit);
        Ok(())
    }

    /// In which direction a visit goes: as its profile says, by its reader, or by a register in which its key is held.
    fn direction(
        &self,
        now: &Now,
        way: &Way<'_>,
        visit: &Visit,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<String, RecordsFault> {
        let profile = &way.setup.profile;
        if profile.direction != BOTH {
            return Ok(profile.direction.clone());
        }
        if matches!(visit.origin, Origin::Input | Origin::Button) {
            return Ok(THROUGH.to_owned());
        }
        Ok(match &profile.by {
            Some(By::Register(name)) => {
                if is_held(now, way.setup, visit, name, records, out)? {
                    OUT
                } else {
                    IN
                }
            }
            Some(By::Reader) | None if way.on == Some(READER_OUT) => OUT,
            Some(By::Reader) | None => IN,
        }
        .to_owned())
    }
}

/// Whether the key of a visit is held in a register.
fn is_held(
    now: &Now,
    setup: &Setup,
    visit: &Visit,
    register: &str,
    records: &dyn Records,
    out: &mut Outbound,
) -> Result<bool, RecordsFault> {
    let Some(register) = setup.profile.registers.iter().find(|r| r.name == register) else {
        return Ok(false);
    };
    let Ok(place) = register::place(setup, &visit.facts, register) else {
        out.count("rule_failed_total");
        out.notes.push(format!("the key of register `{}` could not be evaluated", register.name));
        return Ok(false);
    };
    let seen = register::look(records, register, &place, Asks::default(), now.wall_ms)?;
    Ok(seen.iter().any(|key| key.held > 0))
}
