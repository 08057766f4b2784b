//! The call of the next: whoever was told to wait because no place was free (`Q_FULL`) is called in on the public screen,
//! by the name that stood beside the verdict. It opens nothing: whoever comes in shows the code again.

use super::action::{Officer, Rejection};
use super::view::last_visits;
use super::view::shapes::Turn;
use super::visit::{Stage, Visit};
use super::{Lane, Outbound};
use crate::codes::{Code, Outcome};
use crate::event::Class;
use crate::text::Text;
use crate::time::{MonoMs, Now};
use serde_json::json;

/// How long the screens call somebody, in milliseconds.
const CALL_MS: u64 = 60_000;

/// Who is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The latest visit when they were called.
    after: u64,
    name: Option<String>,
    since: MonoMs,
    /// How long the screens say so.
    pub until: MonoMs,
}

/// Whether a visit ended with somebody waiting outside for a place.
fn waits(visit: &Visit) -> bool {
    let full = |visit: &Visit| visit.verdict.as_ref().is_some_and(|v| v.codes.contains(&Code::Q_FULL));
    visit.stage != Stage::Running && visit.stands() == Some(Outcome::Hold) && full(visit)
}

/// Those who wait outside, the first of them first: nobody of whom a later visit knows more.
fn waiting(lane: &Lane) -> Vec<&Visit> {
    let all: Vec<&Visit> = lane.state.visit.iter().chain(last_visits(lane).map(|visit| &**visit)).collect();
    let later = |one: &Visit| {
        all.iter().any(|other| other.id > one.id && !one.subject.is_empty() && other.subject == one.subject)
    };
    let mut found: Vec<&Visit> = all.iter().copied().filter(|visit| waits(visit) && !later(visit)).collect();
    found.sort_by_key(|visit| visit.id);
    found.dedup_by_key(|visit| visit.id);
    found
}

/// Whether anybody can be called.
pub(super) fn is_possible(lane: &Lane) -> bool {
    !waiting(lane).is_empty()
}

/// Who is called now, for the screens.
pub(super) fn turn(lane: &Lane, now: &Now) -> Option<Turn> {
    let call = lane.state.call.as_ref().filter(|call| call.until > now.mono_ms)?;
    let text = match &call.name {
        Some(name) => Text::new(format!("请 {name} 进"), format!("{name}, please come in")),
        None => Text::new("请下一位进", "The next one, please come in"),
    };
    let shown_for_ms = call.until.saturating_sub(now.mono_ms);
    Some(Turn { since: call.since, text, shown_for_ms, calls: true })
}

impl Lane {
    /// Calls the first of those who wait, or the one after whom was called last.
    pub(super) fn call(&mut self, now: &Now, officer: &Officer, out: &mut Outbound) -> Result<(), Rejection> {
        let all = waiting(self);
        let after = all.iter().find(|visit| Some(visit.id) > self.state.called);
        let Some(next) = after.or(all.first()) else {
            return Err(Rejection::new("nobody_waits", "没有人在等候空位", "Nobody waits for a place"));
        };
        let (id, name) = (next.id, next.name.clone());
        out.event(
            "audit",
            Class::Scan,
            &self.setup,
            Some(id),
            json!({ "officer": officer.id, "act": "call" }),
        );
        self.state.called = Some(id);
        self.state.call = Some(Call {
            after: self.state.last_visit,
            name,
            since: now.mono_ms,
            until: now.mono_ms + CALL_MS,
        });
        Ok(())
    }

    /// Whoever is called has come, or somebody else has.
    pub(super) fn end_call(&mut self) {
        if self.state.call.as_ref().is_some_and(|call| self.state.last_visit > call.after) {
            self.state.call = None;
        }
    }
}
