//! The visits of a lane that are open beside the one in front, and those that come together.

use super::shapes::{Member, OpenVisit, PartyView, Reader};
use super::visit::{is_overridable, visit_view, who};
use crate::ids::VisitId;
use crate::lane::step::Look;
use crate::lane::visit::{Stage, Visit};
use crate::lane::{Lane, step};
use crate::profile::start::By;
use crate::text::Text;
use crate::time::{Now, rfc3339};

/// The kinds of steps by which a visit is told apart from those that wait for staff.
const PARTY: &str = "party";
const LATER: &str = "later";

/// Those that are open, the latest first.
pub(super) fn open(lane: &Lane, now: &Now) -> Vec<OpenVisit> {
    lane.state.open.iter().rev().map(|visit| open_visit(lane, now, visit)).collect()
}

fn open_visit(lane: &Lane, now: &Now, visit: &Visit) -> OpenVisit {
    let steps = &lane.setup.profile.steps;
    let running = visit.stage == Stage::Running;
    let step = steps.get(visit.step).filter(|_| running);
    let measures = step.is_some_and(|step| step.kind.about().measures);
    let is_record = running && steps.iter().take(visit.step + 1).any(|step| step.kind.as_str() == LATER);
    let why = match step.map(|step| step.kind.as_str()) {
        _ if is_record => LATER,
        Some(PARTY) => PARTY,
        Some(_) if measures => "aside",
        Some(_) | None => "staff",
    };
    let may = [
        ("recheck", measures),
        ("override", is_overridable(visit)),
        ("complete", is_record),
        ("cancel", running),
    ];
    OpenVisit {
        id: visit.id,
        at: visit.started_ms.map(rfc3339),
        who: who(visit),
        title: lane.setup.profile.title.clone(),
        direction: visit.direction.clone(),
        why,
        ask: step.map(|step| step.kind.ask(Look { now, step, place: visit.step, visit })),
        due: None,
        overdue: visit.deadline.is_some_and(|at| at <= now.mono_ms),
        actions: may.into_iter().filter(|(_, may)| *may).map(|(word, _)| word).collect(),
        detail: visit_view(lane, visit),
    }
}

/// Who comes along with a visit; nothing where nobody does.
pub(super) fn party(lane: &Lane, id: VisitId) -> Option<PartyView> {
    let along = |visit: &&Visit| visit.parent == Some(id);
    let mut members: Vec<&Visit> = lane.state.visits().chain(&lane.state.open).filter(along).collect();
    members.sort_by_key(|visit| visit.id);
    members.dedup_by_key(|visit| visit.id);
    let member = |visit: &Visit| Member {
        id: visit.id,
        who: who(visit),
        outcome: visit.stands(),
        running: visit.stage == Stage::Running,
    };
    (!members.is_empty())
        .then(|| PartyView { asked: None, members: members.into_iter().map(member).collect() })
}

/// The readers of a door that has one on each side.
pub(super) fn readers(lane: &Lane) -> Vec<Reader> {
    let sides = [
        ("reader-in", "in", Text::new("进口", "Way in")),
        ("reader-out", "out", Text::new("出口", "Way out")),
    ];
    if lane.setup.profile.by != Some(By::Reader) {
        return Vec::new();
    }
    sides.into_iter().map(|(role, direction, title)| Reader { role, direction, title }).collect()
}

/// Whether somebody stands there whose measurement is not normal yet.
pub(super) fn may_step_aside(visit: &Visit) -> bool {
    visit.readings.last().is_some_and(|reading| reading.state != crate::screening::State::Normal)
}

/// Whether codes begin visits here.
pub(super) fn takes_codes(lane: &Lane) -> bool {
    lane.setup.profile.steps.iter().any(|step| matches!(step.kind, step::StepKind::Scan(_)))
}
