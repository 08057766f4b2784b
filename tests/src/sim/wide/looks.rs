//! What screens show, against what is on record; and what lies on the disk.

use super::world::World;
use super::{registers, staff};
use kakou_core::codes::Code;
use kakou_core::ids::VisitId;
use kakou_core::lane::open::OPEN_MOST;
use kakou_core::lane::view::shapes::{Desk, VisitView};
use kakou_core::lane::view::{self, Around};
use kakou_core::lane::visit::Stage;
use kakou_core::lane::{Lane, RECENT};
use std::collections::BTreeSet;

/// The journal of a gateway whose events are delivered stays below this, in bytes.
const JOURNAL_MOST: u64 = 64 << 20;

impl World {
    fn lane(&self, lane: usize) -> Option<&Lane> {
        self.engine.as_ref()?.core().lane(&self.places.get(lane)?.lane)
    }

    fn around<T>(&self, with: impl FnOnce(&Around<'_>) -> T) -> Option<T> {
        let engine = self.engine.as_ref()?;
        Some(with(&Around {
            closed: None,
            upstream: "online",
            waits: false,
            links: engine.core().links(),
            issued: &|_| Some(super::folk::BEGINS_MS),
        }))
    }

    /// What the desk of a lane shows.
    pub(super) fn desk(&self, lane: usize) -> Option<Desk> {
        let (of, now) = (self.lane(lane)?, self.now());
        self.around(|around| view::desk(of, &now, around))
    }

    /// The visits of a lane that are under way.
    pub(super) fn running(&self, lane: usize) -> BTreeSet<u64> {
        let visits = self.lane(lane).into_iter().flat_map(|lane| lane.state.visits());
        visits.filter(|v| v.stage == Stage::Running).map(|v| v.id.0).collect()
    }

    /// What is under way, in words.
    pub(super) fn under_way(&self) -> String {
        let one = |lane: usize| {
            let of = self.lane(lane)?;
            let visits = of.state.visits().filter(|v| v.stage == Stage::Running);
            let at = |v: &kakou_core::lane::visit::Visit| format!("{} at step {}", v.id.0, v.step);
            let all: Vec<String> = visits.map(at).collect();
            Some(format!("{} [{}]", self.places[lane].profile, all.join(", ")))
        };
        let all: Vec<String> = (0..self.places.len()).filter_map(one).collect();
        all.join("; ")
    }

    /// For staff: the latest visit, and one that an officer may decide otherwise.
    pub(super) fn latest(&self, lane: usize) -> (Option<VisitId>, Option<(VisitId, bool)>) {
        let Some(of) = self.lane(lane) else { return (None, None) };
        let mut recent = of.state.recent.iter();
        let latest = of.state.recent.front().map(|v| v.id);
        let refused = recent.find(|v| v.overridden.is_none() && matches!(v.stage, Stage::Parked { .. }));
        let refused = refused.map(|v| (v.id, view::last_visit(of, v).detail.second_sign));
        (latest, refused)
    }

    /// Screens of a lane are shown anew: what they say is what is on record.
    pub(super) fn looks_at_screens(&mut self, lane: usize) -> Result<Vec<u64>, String> {
        let running = self.running(lane);
        let new = self.truth.looks(self.course.at(), lane, &running)?;
        let Some(of) = self.lane(lane) else { return Ok(new) };
        if of.state.open.len() > OPEN_MOST + 1 || of.state.recent.len() > RECENT {
            return Err(format!(
                "lane {} has {} open visits, remembers {}",
                lane + 1,
                of.state.open.len(),
                of.state.recent.len()
            ));
        }
        let mut once = BTreeSet::new();
        if let Some(twice) = of.state.visits().find(|v| !once.insert(v.id)) {
            return Err(format!("visit {} is at two places of lane {}", twice.id.0, lane + 1));
        }
        let now = self.now();
        let screen = self.around(|around| view::screen(of, &now, around, 0));
        if let Some(verdict) = screen.and_then(|screen| screen.verdict) {
            self.truth.shows(verdict.visit, verdict.outcome.as_str())?;
        }
        // The desk has more to say, and takes longer.
        if self.course.steps().is_multiple_of(7)
            && let Some(desk) = self.desk(lane)
        {
            let open = desk.open.iter().map(|open| &open.detail);
            for visit in desk.visit.iter().chain(open) {
                self.says(visit)?;
            }
            let lane = self.lane(lane);
            if let Some((lane, visit)) = lane.and_then(|lane| Some((lane, lane.state.recent.front()?))) {
                self.says(&view::last_visit(lane, visit).detail)?;
            }
        }
        Ok(new)
    }

    fn says(&self, visit: &VisitView) -> Result<(), String> {
        let Some(verdict) = &visit.verdict else { return Ok(()) };
        let word = |code: &view::shapes::CodeView| Code::as_str(code.code);
        let codes: Vec<&str> = verdict.codes.iter().map(word).collect();
        let earlier: Vec<&str> = visit.history.iter().map(|e| e.outcome.as_str()).collect();
        self.truth.says(visit.id, verdict.outcome.as_str(), &codes, &earlier)
    }

    /// What lies in the store.
    pub(super) fn looks_at_store(&mut self) -> Result<(), String> {
        let Some(engine) = &self.engine else { return Ok(()) };
        registers::look(engine.journal().connection(), self.gateway, &self.truth, self.corrected)?;
        let data = self.disk.folder();
        let size = std::fs::metadata(kakou_gateway::store::journal::path(data)).map_or(0, |m| m.len());
        if size > JOURNAL_MOST {
            return Err(format!("the journal has {size} bytes"));
        }
        self.searched += self.secrets.none_below(data)?;
        Ok(())
    }

    /// Staff of a lane look at their desk.
    pub(super) fn looks_at_desk(&mut self, lane: usize, due: bool) -> Result<(), String> {
        if due {
            self.lanes[lane].look = false;
        } else {
            let again = self.staff.between(8_000, 20_000);
            self.course.later(again, super::world::What::Look(lane, false));
        }
        let Some(desk) = self.desk(lane) else { return Ok(()) };
        let (latest, overridable) = self.latest(lane);
        let mut draw = self.staff.clone();
        let of = |id: VisitId| self.guests.get(&self.truth.visits.get(&id.0)?.guest?);
        let around = staff::Around {
            of: &of,
            closes: self.course.ended_at().is_some(),
            idle: !due,
            overridable,
            latest,
        };
        let act = staff::looks(&mut draw, &desk, &around);
        self.staff = draw;
        if let Some(act) = act {
            self.look_soon(lane, 300, 2_500);
            return self.acts(lane, act);
        }
        let takes = desk.actions.contains(&"enter") || desk.actions.contains(&"start");
        if takes && self.lanes[lane].waiting > 0 && self.course.ended_at().is_none() {
            return self.comes(lane, &desk);
        }
        Ok(())
    }
}
