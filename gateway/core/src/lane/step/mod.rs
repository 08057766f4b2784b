//! The kinds of steps: one file each, with its fields in a profile, what it needs and makes, `enter` when the visit
//! comes to it and `on` for what happens while it waits. [`KINDS`] lists them.

pub mod actuate;
pub mod confirm;
pub mod decide;
pub mod form;
pub mod input;
mod kind;
pub mod later;
pub mod party;
pub mod photo;
pub mod print;
pub mod question;
pub mod register;
pub mod scan;
pub mod seal;
mod seal_check;
pub mod somebody;
pub mod tally;
pub mod temperature;
pub mod verify;
pub mod weigh;

use super::action::{Action, Officer, Rejection};
use super::visit::Visit;
use super::{Outbound, Setup, Stage};
use crate::codes::{Code, Outcome, weigh};
use crate::event::Class;
use crate::profile::{Profile, Step, facts};
use crate::reading::{Command, Report, Ticket};
use crate::records::{Records, RecordsFault};
use crate::rules::Expression;
use crate::time::Now;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub use kind::{About, KINDS, Look, Progress, StepKind, Waits};

/// What happens while a step waits.
pub enum StepInput<'a> {
    /// Its device reports.
    Report(&'a Report),
    /// An officer acts.
    Action(&'a Officer, &'a Action),
    /// The time is over.
    Deadline,
}

/// What becomes of the visit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// It stays at this step.
    Wait,
    /// It goes on to the next step.
    Next,
    /// It goes on at another step.
    Jump(usize),
    /// It has a verdict other than ADMIT and rests; an override goes on at this step.
    Park(usize),
    /// The act is refused; nothing changes.
    Reject(Rejection),
}

/// Everything that a step may see and change.
pub struct Cx<'a> {
    /// The moment.
    pub now: Now,
    /// The lane's surroundings.
    pub setup: &'a Setup,
    /// The step.
    pub step: &'a Step,
    /// The visit.
    pub visit: &'a mut Visit,
    /// The store.
    pub records: &'a dyn Records,
    /// Which inputs of the lane are active, by role.
    pub inputs: &'a BTreeMap<String, bool>,
    /// What leaves the core.
    pub out: &'a mut Outbound,
    /// The next free ticket.
    pub next_ticket: &'a mut u64,
}

impl Cx<'_> {
    /// Sends a command to the step's device, if the lane has one.
    pub fn request(&mut self, command: Command) -> Option<Ticket> {
        let role = self.step.device.as_ref()?;
        let device = self.setup.devices.get(role)?.clone();
        let ticket = Ticket(*self.next_ticket);
        *self.next_ticket += 1;
        self.out.requests.push(crate::reading::Request { device, ticket, command });
        Some(ticket)
    }

    /// Whether an expression holds, at this moment.
    pub fn ask(&mut self, when: &Expression) -> Result<bool, String> {
        self.at_this_moment(when);
        when.ask(&self.visit.facts)
    }

    /// The number that an expression gives, at this moment.
    pub fn number(&mut self, of: &Expression) -> Result<i64, String> {
        self.at_this_moment(of);
        of.number(&self.visit.facts)
    }

    /// The value that an expression gives, at this moment, of the type that it was read for.
    pub fn value(&mut self, of: &Expression) -> Result<Value, String> {
        self.at_this_moment(of);
        of.value(&self.visit.facts)
    }

    fn at_this_moment(&mut self, asks: &Expression) {
        if asks.reads(facts::VISIT)
            && let Some(visit) = self.visit.facts.get_mut(facts::VISIT).and_then(Value::as_object_mut)
        {
            visit.insert("now_ms".into(), json!(self.now.wall_ms.unwrap_or_default()));
        }
        for (name, asked) in asks.registers() {
            register::ask(self, name, asked);
        }
    }

    /// Puts a group of facts, each of the type that the table names.
    pub fn make(&mut self, group: &'static str, facts: Value) {
        debug_assert_eq!(facts.as_object().and_then(|all| facts::misfit(group, all)), None, "in {facts}");
        self.visit.facts.insert(group.to_owned(), facts);
    }

    /// The device of the step did not do what it was asked.
    pub fn device_failed(&mut self) {
        let data = json!({ "step": self.step.id, "device": self.step.device, "code": Code::X_DEVICE });
        self.out.event("device", Class::Health, self.setup, Some(self.visit.id), data);
        self.out.count("device_request_failed_total");
    }

    /// Gives the step its time.
    pub fn allow(&mut self, ms: Option<u64>) {
        // Staff write a record when there is time.
        let untimed = self.visit.record.is_some() && self.step.kind.about().by_staff;
        self.visit.deadline = ms.filter(|_| !untimed).map(|ms| self.now.mono_ms + ms);
    }

    /// The verdict that a code leads to in this profile, for this visit.
    pub fn outcome(&mut self, code: Code) -> Outcome {
        let profile = &self.setup.profile;
        let mut fail_mode = profile.fail_mode;
        if Profile::is_doubt(code) {
            for fail in &profile.fail_when {
                match self.ask(&fail.when) {
                    Ok(true) => {
                        fail_mode = fail.outcome;
                        break;
                    }
                    Ok(false) => {}
                    Err(_) => self.failed("condition", &fail.when),
                }
            }
        }
        profile.outcome_for(code, self.visit.direction == "out", fail_mode)
    }

    /// Adds a finding with the verdict of this profile.
    pub fn find(&mut self, code: Code) {
        let outcome = self.outcome(code);
        self.visit.find(code, outcome);
    }

    /// An expression could not be evaluated. The error may quote values of the visit: it is not logged.
    pub fn failed(&mut self, what: &str, of: &Expression) {
        self.out.count("rule_failed_total");
        self.out.notes.push(format!("{what} `{}` could not be evaluated", of.source()));
    }

    /// Findings that no officer has overridden, weighed.
    pub fn weigh(&self) -> (crate::codes::Outcome, Vec<Code>) {
        let open: Vec<_> = self
            .visit
            .findings
            .iter()
            .filter(|f| !self.visit.overridden_codes.contains(&f.code))
            .cloned()
            .collect();
        weigh(&open)
    }

    /// Ends the step with a finding that stops the visit, whatever was overridden before. After an
    /// override the visit goes on at `resume`.
    pub fn stop(&mut self, code: Code, resume: usize) -> Flow {
        let outcome = match self.outcome(code) {
            Outcome::Admit => Outcome::Hold,
            other @ (Outcome::Refer | Outcome::Hold | Outcome::Deny) => other,
        };
        self.visit.overridden_codes.retain(|c| *c != code);
        self.visit.findings.retain(|f| f.code != code);
        self.visit.find(code, outcome);
        decide::record_verdict(self);
        Flow::Park(self.visit.left_out_from.unwrap_or(resume))
    }

    /// A step that staff did not finish in time: it begins anew after an override.
    pub fn time_out(&mut self) -> Flow {
        let step = self.visit.step;
        self.stop(Code::X_TIMEOUT, step)
    }
}

/// Begins a step.
pub fn enter(cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
    if let Some(flow) = left_out(cx)? {
        return Ok(flow);
    }
    let kind = &cx.step.kind;
    kind.enter(cx)
}

/// What becomes of a visit at a step that it does not do: its condition does not hold, or staff have finished it.
pub fn left_out(cx: &mut Cx<'_>) -> Result<Option<Flow>, RecordsFault> {
    cx.visit.deadline = None;
    let index = cx.visit.step;
    // What was answered in private went with the power: it is asked again before anything asks for it.
    if let Some(at) = form::lost(cx.visit, &cx.setup.profile) {
        return Ok(Some(form::ask_again(cx.visit, &cx.setup.profile, at)));
    }
    // Left out in an earlier round, it may be done in this one.
    cx.visit.skipped.retain(|skipped| *skipped != index);
    let step = cx.step;
    if let Some(when) = &step.when {
        match cx.ask(when) {
            Ok(true) => {}
            Ok(false) => {
                cx.visit.skipped.push(index);
                return Ok(Some(Flow::Next));
            }
            Err(_) => {
                cx.failed("condition", when);
                return Ok(Some(cx.stop(Code::X_RULE, index + 1)));
            }
        }
    }
    // Measured again after a verdict: what staff have answered, sealed and confirmed stays.
    let finished = cx.visit.finished.contains(&index) && !form::is_lost(cx.visit, &step.kind);
    Ok(finished.then_some(Flow::Next))
}

/// Goes on with a step that waits. What staff finish is finished for the visit.
pub fn on(cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
    assert_eq!(cx.visit.stage, Stage::Running, "only a running visit is at a step");
    let kind = &cx.step.kind;
    let flow = kind.on(cx, what)?;
    let by_staff = matches!(what, StepInput::Action(..)) && kind.about().by_staff;
    if by_staff && flow == Flow::Next {
        finished(cx);
    }
    Ok(flow)
}

/// What was done stays done when the visit is measured again.
fn finished(cx: &mut Cx<'_>) -> Flow {
    let place = cx.visit.step;
    if !cx.visit.finished.contains(&place) {
        cx.visit.finished.push(place);
    }
    Flow::Next
}
