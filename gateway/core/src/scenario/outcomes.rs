//! What becomes of the visits of a scenario, whatever the file expects: two versions of a profile are compared by it.

use super::file::{Mistake, Scenario};
use super::store::Store;
use super::verb::{Expect, Verb};
use super::world::World;
use super::{Profiles, acts};

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Decided {
    /// The number of the visit in the file, from 1; 0 for what belongs to none.
    pub visit: usize,
    /// The outcome.
    pub outcome: String,
    /// Its codes.
    pub codes: Vec<String>,
}

/// What has become of the visits of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Outcomes {
    /// Every decision, in order.
    pub decided: Vec<Decided>,
    /// Where the play could not go on, and why: an act that the profile does not take.
    pub stopped: Option<String>,
}

/// Plays a file and tells what was decided. What its `expect`s say is not compared, but for words that an act is rejected
/// with.
pub fn outcomes(
    scenario: &Scenario,
    profiles: Profiles<'_>,
    store: &mut dyn Store,
) -> Result<Outcomes, Mistake> {
    let mut scenario = scenario.clone();
    for act in &mut scenario.acts {
        if let Verb::Expect(expect) = &mut act.verb {
            let (visit, refused) = (expect.visit, expect.refused.take());
            **expect = Expect { visit, refused, ..Expect::default() };
        }
    }
    let mut silent = |_: &str| {};
    let mut world = World::new(&scenario, profiles, store, &mut silent)?;
    let failed = acts::run(&mut world, &scenario)?;
    let number = |id| world.visits.iter().position(|(_, visit)| *visit == id).map_or(0, |at| at + 1);
    let decided = world.decided.iter().map(|(visit, outcome, codes)| Decided {
        visit: visit.map_or(0, number),
        outcome: outcome.clone(),
        codes: codes.clone(),
    });
    let stopped = failed.map(|failure| format!("line {}: {}", failure.line, failure.why));
    Ok(Outcomes { decided: decided.collect(), stopped })
}
