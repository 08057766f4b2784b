//! What changes for the visits of scenarios when one pack follows another.

use super::Pack;
use kakou_core::scenario;
use kakou_core::scenario::outcomes::{Outcomes, outcomes};
use kakou_core::scenario::store::Memory;
use std::collections::BTreeMap;

/// A scenario that comes out otherwise.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// The scenario file.
    pub file: String,
    /// What it shows.
    pub title: String,
    /// What the pack before decides.
    pub before: Outcomes,
    /// What the new one decides.
    pub after: Outcomes,
}

/// How two packs differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Diff {
    /// Profiles that only the new one has.
    pub added: Vec<String>,
    /// Profiles that only the one before has.
    pub removed: Vec<String>,
    /// Profiles whose text differs.
    pub changed: Vec<String>,
    /// Scenarios that come out otherwise.
    pub outcomes: Vec<Change>,
    /// Scenarios that come out alike.
    pub alike: usize,
    /// Scenarios that neither can play, and why.
    pub unplayed: Vec<(String, String)>,
}

/// The scenarios of two packs, those of the new one first.
pub fn scenarios(before: &Pack, after: &Pack) -> BTreeMap<String, String> {
    let mut all = before.scenarios.clone();
    all.extend(after.scenarios.clone());
    all
}

/// Compares two packs by what they decide for scenarios, by file name.
pub fn diff(before: &Pack, after: &Pack, scenarios: &BTreeMap<String, String>) -> Diff {
    let mut diff = Diff::default();
    for (id, (_, text)) in &after.profiles {
        match before.profiles.get(id) {
            None => diff.added.push(id.clone()),
            Some((_, other)) if other != text => diff.changed.push(id.clone()),
            Some(_) => {}
        }
    }
    let gone = before.profiles.keys().filter(|id| !after.profiles.contains_key(*id));
    diff.removed = gone.cloned().collect();
    for (file, text) in scenarios {
        let scenario = match scenario::read(file, text) {
            Ok(scenario) => scenario,
            Err(mistake) => {
                diff.unplayed.push((file.clone(), mistake.to_string()));
                continue;
            }
        };
        let of = |pack: &Pack| {
            let mut store = Memory::new(scenario::gateway());
            outcomes(&scenario, &|id| pack.find(id), &mut store)
        };
        match (of(before), of(after)) {
            (Err(_), Err(mistake)) => diff.unplayed.push((file.clone(), mistake.to_string())),
            (one, other) => {
                let told = |of: Result<Outcomes, scenario::Mistake>| {
                    of.unwrap_or_else(|mistake| Outcomes {
                        decided: Vec::new(),
                        stopped: Some(mistake.to_string()),
                    })
                };
                let (before, after) = (told(one), told(other));
                if before == after {
                    diff.alike += 1;
                } else {
                    let (file, title) = (file.clone(), scenario.title.clone());
                    diff.outcomes.push(Change { file, title, before, after });
                }
            }
        }
    }
    diff
}
