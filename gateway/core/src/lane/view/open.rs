//! The visits of a lane that are open beside the one in front, and those that come together.

use super::shapes::{Member, OpenVisit, PartyView, Reader};
use super::visit::{is_overridable, visit_view, who};
use crate::ids::VisitId;
use crate::lane::Lane;
use crate::lane::step::Look;
use crate::lane::view::ask::Ask;
use crate::lane::visit::{Stage, Visit};
use crate::profile::start::By;
use crate::text::Text;
use crate::time::{Now, rfc3339};

/// Those that are open, the latest first.
pub(super) fn open(lane: &Lane, now: &Now) -> Vec<OpenVisit> {
    let mut open: Vec<&Visit> = lane.state.open.iter().collect();
    open.sort_by_key(|visit| std::cmp::Reverse(visit.id));
    open.into_iter().map(|visit| open_visit(lane, now, visit)).collect()
}

fn open_visit(lane: &Lane, now: &Now, visit: &Visit) -> OpenVisit {
    let running = visit.stage == Stage::Running;
    let step = lane.profile_of(visit).steps.get(visit.step).filter(|_| running);
    let why = match &visit.waits.party {
        _ if visit.record.is_some() => "later",
        Some(party) if party.count.is_some() => "party",
        Some(_) | None if visit.aside => "aside",
        Some(_) | None if visit.queued => "device",
        Some(_) | None => "staff",
    };
    let may = [
        ("recheck", visit.aside),
        ("override", is_overridable(visit)),
        ("complete", visit.record.is_some()),
        ("cancel", running),
    ];
    let due = visit.record.as_ref().and_then(|record| record.due_ms);
    OpenVisit {
        id: visit.id,
        at: visit.started_ms.map(rfc3339),
        who: who(visit),
        title: lane.profile_of(visit).title.clone(),
        direction: visit.direction.clone(),
        why,
        ask: step
            .filter(|_| !visit.aside && !visit.queued)
            .map(|step| ask(lane, Look { now, step, place: visit.step, visit })),
        due: due.map(rfc3339),
        overdue: visit.record.as_ref().is_some_and(|record| record.told),
        actions: may.into_iter().filter(|(_, may)| *may).map(|(word, _)| word).collect(),
        detail: visit_view(lane, visit),
    }
}

/// What a step asks; of a party with those who have come.
pub(super) fn ask(lane: &Lane, look: Look<'_>) -> Ask {
    let mut ask = look.step.kind.ask(look);
    if let Ask::Party { members, .. } = &mut ask {
        *members = party(lane, look.visit.id).map(|party| party.members).unwrap_or_default();
    }
    ask
}

/// Who comes along with a visit; nothing where nobody does.
pub(super) fn party(lane: &Lane, id: VisitId) -> Option<PartyView> {
    let along = |visit: &&Visit| visit.parent == Some(id);
    let mut members: Vec<&Visit> = lane.state.visits().filter(along).collect();
    members.sort_by_key(|visit| visit.id);
    members.dedup_by_key(|visit| visit.id);
    let member = |visit: &Visit| Member {
        id: visit.id,
        who: who(visit),
        outcome: visit.stands(),
        running: visit.stage == Stage::Running,
    };
    let parent = lane.state.visits().find(|visit| visit.id == id);
    let asked = parent.and_then(|visit| visit.waits.party.as_ref()?.count);
    let someone = !members.is_empty() || asked.is_some();
    someone.then(|| PartyView { asked, members: members.into_iter().map(member).collect() })
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
    visit.waits.temperature.as_ref().is_some_and(|measuring| measuring.round > 0)
}
