//! Several people who come together: each is a visit of its own on the same lane, one after another, and the visit of
//! the party waits for them or is over when they are added.

use super::action::{Officer, Rejection};
use super::edition::hash_of;
use super::open::Answer;
use super::step::party::{AskFor, Counting, Party};
use super::step::{Flow, StepKind};
use super::visit::{Stage, Visit};
use super::{Lane, Outbound};
use crate::codes::Outcome;
use crate::event::Class;
use crate::ids::VisitId;
use crate::records::{Records, RecordsFault};
use crate::time::{MonoMs, Now};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// For so long after its verdict people may be added to a visit, and each of them is waited for, in milliseconds.
pub const GUESTS_MS: u64 = 60_000;

/// People who are added to a visit that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guests {
    /// To which.
    pub parent: VisitId,
    /// Their profile, by what tells it from others.
    pub profile: String,
    /// How many have still to come.
    pub left: u32,
    /// How long the next one is waited for.
    #[serde(skip)]
    pub until: MonoMs,
}

/// Whom the next code or beginning at the desk is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// The visit of the party.
    pub parent: VisitId,
    /// The profile of its members, by what tells it from others.
    pub profile: String,
}

/// The members of a party so far: each with the outcome that stands, none while it is under way.
pub type Members = BTreeMap<VisitId, Option<Outcome>>;

impl Lane {
    fn party_of<'a>(&'a self, visit: &'a Visit) -> Option<&'a Party> {
        let at = visit.step.min(self.profile_of(visit).steps.len().saturating_sub(1));
        let step = self.profile_of(visit).steps.get(at)?;
        if let StepKind::Party(party) = &step.kind { Some(party) } else { None }
    }

    /// What tells the profile of a party's members from others.
    fn members_profile(&self, party: &Party) -> Option<String> {
        self.setup.members.get(&party.profile).map(|profile| hash_of(profile))
    }

    /// The party whose next member is waited for: of several the oldest.
    pub fn awaited(&self) -> Option<Awaited> {
        let front = self.state.visit.as_ref().map(|v| v.id);
        let waits = |v: &&Visit| {
            let at_party = v.stage == Stage::Running && self.party_of(v).is_some();
            // Whoever shows a code before staff have said how many there are is one of them.
            let more = |w: &Counting| match w.count {
                Some(n) => w.members.len() < n as usize,
                None => Some(v.id) == front || !w.members.is_empty(),
            };
            at_party && v.waits.party.as_ref().is_some_and(more)
        };
        let parent = self.state.open.iter().chain(&self.state.visit).filter(waits).min_by_key(|v| v.id);
        if let Some(parent) = parent {
            let profile = self.members_profile(self.party_of(parent)?)?;
            return Some(Awaited { parent: parent.id, profile });
        }
        let guests = self.state.guests.as_ref().filter(|g| g.left > 0)?;
        Some(Awaited { parent: guests.parent, profile: guests.profile.clone() })
    }

    /// A member has begun.
    pub(super) fn joins(&mut self, now: &Now, parent: VisitId, member: VisitId) {
        let of = self.state.open.iter_mut().chain(&mut self.state.visit).find(|v| v.id == parent);
        if let Some(counting) = of.and_then(|v| v.waits.party.as_mut()) {
            counting.members.insert(member, None);
        } else if let Some(guests) = self.state.guests.as_mut().filter(|g| g.parent == parent) {
            guests.left = guests.left.saturating_sub(1);
            guests.until = now.mono_ms + GUESTS_MS;
        }
    }

    /// Staff say how many people there are, or add some to a visit that is over.
    pub(super) fn party(
        &mut self,
        now: &Now,
        officer: &Officer,
        (of, count): (Option<VisitId>, u32),
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Answer {
        let asks = |v: &&Visit| {
            v.stage == Stage::Running && self.party_of(v).is_some_and(|p| p.ask == AskFor::Count)
        };
        let running = self.state.visit.iter().chain(self.state.open.iter().rev());
        let asked = running.filter(asks).find(|v| of.is_none_or(|id| v.id == id)).map(|v| v.id);
        if let Some(id) = asked {
            let action = super::action::Action::Party(count);
            let done = self.act_at_step(now, officer, (Some(id), &action), records, out)?;
            // The front is for the members.
            if done.is_ok()
                && self.state.visit.as_ref().is_some_and(|v| v.id == id && v.stage == Stage::Running)
            {
                self.clear_front(out);
            }
            return Ok(done);
        }
        let invites = |v: &&Visit| v.guests_until.is_some_and(|until| until > now.mono_ms);
        let found = self.state.visits().filter(invites).find(|v| of.is_none_or(|id| v.id == id));
        let Some(visit) = found else { return Ok(Err(Rejection::not_now())) };
        let profile = self.profile_of(visit).clone();
        let later = profile.steps.iter().find_map(|s| {
            let StepKind::Party(party) = &s.kind else { return None };
            (party.ask == AskFor::Later).then_some(party)
        });
        let Some((party, hash)) = later.and_then(|p| Some((p, self.members_profile(p)?))) else {
            return Ok(Err(Rejection::not_now()));
        };
        if !party.takes(count) {
            return Ok(Err(party.not_so_many()));
        }
        let id = visit.id;
        let data = json!({ "officer": officer.id, "act": "party", "count": count });
        out.event("audit", Class::Scan, &self.setup, Some(id), data);
        self.state.guests =
            Some(Guests { parent: id, profile: hash, left: count, until: now.mono_ms + GUESTS_MS });
        Ok(Ok(()))
    }

    /// Nobody is waited for any more who was to be added to a visit. Says whether somebody was.
    pub(super) fn end_guests(&mut self, parent: VisitId) -> bool {
        let of = self.state.guests.as_ref().is_some_and(|g| g.parent == parent);
        of && self.state.guests.take().is_some_and(|g| g.left > 0)
    }

    /// Looks at how far the members of parties have come: with the last one the party goes on.
    pub(super) fn gather(
        &mut self,
        now: &Now,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<(), RecordsFault> {
        let front = self.state.visit.iter().filter(|v| v.waits.party.is_some()).map(|v| v.id);
        let parents: Vec<VisitId> =
            front.chain(self.state.open.iter().filter(|v| v.waits.party.is_some()).map(|v| v.id)).collect();
        for id in parents {
            self.look_at_members(id);
            let done = |v: &&Visit| {
                let all = |w: &Counting| {
                    w.count.is_some_and(|n| {
                        w.members.len() >= n as usize && w.members.values().all(Option::is_some)
                    })
                };
                v.id == id && v.stage == Stage::Running && v.waits.party.as_ref().is_some_and(all)
            };
            if !self.state.visit.iter().chain(&self.state.open).any(|v| done(&v)) {
                continue;
            }
            match self.open_place(id) {
                Some(at) if self.is_running() => {
                    self.apart(at, out, |lane, out| lane.party_goes_on(now, records, out))?;
                }
                Some(at) => {
                    self.bring_front(at, out);
                    self.party_goes_on(now, records, out)?;
                }
                None => self.party_goes_on(now, records, out)?,
            }
        }
        Ok(())
    }

    fn party_goes_on(
        &mut self,
        now: &Now,
        records: &dyn Records,
        out: &mut Outbound,
    ) -> Result<(), RecordsFault> {
        self.with_step(now, records, out, |cx| {
            super::step::party::all_there(cx);
            Ok(Flow::Next)
        })?;
        self.apply(Flow::Next);
        self.advance(now, records, out)
    }

    /// Takes over the outcomes of the members that are at hand: an override counts as it stands. One that was cancelled is
    /// none.
    fn look_at_members(&mut self, parent: VisitId) {
        let find = |v: &&Visit| v.id == parent;
        let Some(visit) = self.state.visit.iter().chain(&self.state.open).find(find) else { return };
        let Some(counting) = &visit.waits.party else { return };
        let mut members = counting.members.clone();
        for id in counting.members.keys() {
            let Some(member) = self.state.visits().find(|v| v.id == *id) else { continue };
            match member.stage {
                Stage::Abandoned => drop(members.remove(id)),
                Stage::Running => {}
                Stage::Parked { .. } | Stage::Done => drop(members.insert(*id, member.outcome())),
            }
        }
        let of = self.state.visit.iter_mut().chain(&mut self.state.open).find(|v| v.id == parent);
        if let Some(counting) = of.and_then(|v| v.waits.party.as_mut()) {
            counting.members = members;
        }
    }
}
