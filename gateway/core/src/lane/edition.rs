//! The profile of a visit: it keeps the one that it began with, whatever the lane goes by later.

use super::visit::{Stage, Visit};
use super::{Lane, LaneState, Setup};
use crate::evidence::{Hash, SubjectKey};
use crate::profile::{self, Profile};
use crate::text::Text;
use crate::time::MonoMs;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Profiles beside that of the lane: of members of a party, and earlier ones with which a visit is under way.
pub type Editions = BTreeMap<String, Arc<Profile>>;

/// What tells a profile from others.
pub(super) fn hash_of(profile: &Profile) -> String {
    Hash::of(profile.file.1.as_bytes()).hex()
}

/// The surroundings of a visit: those of its lane, with its own profile.
pub(super) fn setup_of(setup: &Arc<Setup>, editions: &Editions, visit: &Visit) -> Arc<Setup> {
    match editions.get(&visit.profile).filter(|_| visit.profile != setup.profile_hash) {
        None => setup.clone(),
        Some(profile) => Arc::new(Setup {
            profile: profile.clone(),
            profile_hash: visit.profile.clone(),
            ..(**setup).clone()
        }),
    }
}

impl Lane {
    /// A lane with what it remembers. A visit of a profile that is not here any more cannot be taken up: it is kept with
    /// what was done for it when the lane resumes.
    pub fn new(mut setup: Setup, mut state: LaneState) -> Self {
        if setup.training {
            setup.practise();
        }
        let mut editions: Editions =
            setup.members.values().map(|member| (hash_of(member), member.clone())).collect();
        for (hash, (file, text)) in &state.texts {
            // It was read before; one that a later version refuses is as good as gone.
            if let Ok(profile) = profile::read(file, text) {
                editions.insert(hash.clone(), Arc::new(profile));
            }
        }
        state.fit(&setup, &editions);
        Self { setup: Arc::new(setup), state, editions }
    }

    /// The profile of a visit.
    pub fn profile_of(&self, visit: &Visit) -> &Arc<Profile> {
        let other = self.editions.get(&visit.profile).filter(|_| visit.profile != self.setup.profile_hash);
        other.unwrap_or(&self.setup.profile)
    }

    /// The profile of the visit in front; without one, that of the lane.
    pub fn profile(&self) -> &Arc<Profile> {
        self.state.visit.as_ref().map_or(&self.setup.profile, |visit| self.profile_of(visit))
    }

    /// The surroundings of a visit.
    pub(super) fn setup_of(&self, visit: &Visit) -> Arc<Setup> {
        setup_of(&self.setup, &self.editions, visit)
    }

    /// The surroundings of the visit in front; without one, those of the lane.
    pub(super) fn front_setup(&self) -> Arc<Setup> {
        self.state.visit.as_ref().map_or_else(|| self.setup.clone(), |visit| self.setup_of(visit))
    }

    /// The lane as it is for a visit: with its profile.
    pub(super) fn as_of(&self, visit: &Visit) -> Cow<'_, Self> {
        let setup = self.setup_of(visit);
        if Arc::ptr_eq(&setup, &self.setup) {
            return Cow::Borrowed(self);
        }
        Cow::Owned(Self { setup, ..self.clone() })
    }

    /// Whether the profile of a visit is here.
    pub(super) fn is_known(&self, visit: &Visit) -> bool {
        visit.profile == self.setup.profile_hash || self.editions.contains_key(&visit.profile)
    }

    /// Keeps the texts of the profiles that visits need behind a change of the configuration: of those that can wait
    /// for long always, of the one in front when the run ends.
    pub(super) fn keep_texts(&mut self, ends: bool) {
        let LaneState { visit, open, texts, .. } = &mut self.state;
        let (hash, editions, own) = (&self.setup.profile_hash, &self.editions, &self.setup.profile);
        let front = visit.iter().filter(|v| v.stage == Stage::Running && (ends || v.profile != *hash));
        let needed: Vec<&Visit> = front.chain(open.iter()).collect();
        texts.retain(|hash, _| needed.iter().any(|v| v.profile == *hash));
        for visit in needed {
            if texts.contains_key(&visit.profile) {
                continue;
            }
            let profile = if visit.profile == *hash { Some(own) } else { editions.get(&visit.profile) };
            if let Some(profile) = profile {
                texts.insert(visit.profile.clone(), profile.file.clone());
            }
        }
    }

    /// The run ends: whatever a visit that is under way needs to go on is kept.
    pub(crate) fn close(&mut self, now_ms: MonoMs) {
        let before = self.state.texts.len();
        self.keep_texts(true);
        if self.state.texts.len() != before {
            self.state.keep_at.get_or_insert(now_ms);
        }
    }

    /// What the lane asks for while no visit runs. One that begins with no word to anybody, as an emergency does, says
    /// what it is.
    pub fn prompt(&self) -> Text {
        let profile = self.awaited().map_or(&self.setup.profile, |member| {
            self.editions.get(&member.profile).unwrap_or(&self.setup.profile)
        });
        let asks = |step: &&profile::Step| {
            let about = step.kind.about();
            about.by_staff || about.takes_codes || about.measures || step.prompt != about.prompt()
        };
        profile.steps.first().filter(asks).map_or_else(|| profile.title.clone(), |step| step.prompt.clone())
    }
}

impl LaneState {
    /// Visits that ended by another version of the profile cannot be taken up: their steps are not its steps.
    fn fit(&mut self, setup: &Setup, editions: &Editions) {
        let before = std::mem::replace(&mut self.profile_hash, setup.profile_hash.clone());
        for visit in self.visit.iter_mut().chain(&mut self.open) {
            if visit.profile.is_empty() {
                visit.profile.clone_from(&before);
            }
        }
        if before != setup.profile_hash {
            self.before = self.last_visit;
            self.opening.clear();
            let goes_on = |v: &Visit| v.stage == Stage::Running && editions.contains_key(&v.profile);
            let going: Vec<_> =
                self.visit.iter().chain(&self.open).filter(|v| goes_on(v)).map(|v| v.id).collect();
            self.reads.retain(|read| going.contains(&read.visit));
        }
        self.recent.retain(|visit| visit.id.0 > self.before);
        // An earlier version has kept codes and names in clear.
        if let Some(visit) = &mut self.visit {
            visit.forget_names();
            visit.take_over();
        }
        self.recent.iter_mut().for_each(|visit| Arc::make_mut(visit).take_over());
        let visits = self.visit.iter_mut().chain(&mut self.open).map(|visit| &mut visit.key);
        for key in visits.chain(self.reads.iter_mut().map(|read| &mut read.key)) {
            if !SubjectKey::is_one(key) {
                *key = setup.subjects.of(key);
            }
        }
    }
}
