//! Compares what an `expect` says with what is so.

use super::Failure;
use super::registers::OF_VISITS;
use super::verb::Expect;
use super::world::{Stopped, World};
use crate::codes::Outcome;
use crate::ids::{LaneId, VisitId};
use crate::lane::visit::Visit;
use crate::records::seal_use;
use crate::register::SEAL;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// What is so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Observed {
    /// The number of the visit in the file.
    pub visit: Option<usize>,
    /// The outcome that stands; `none` without one.
    pub outcome: String,
    /// The codes of the latest verdict.
    pub codes: Vec<String>,
    /// The step at which the visit waits; empty if it waits at none.
    pub at: String,
    /// The direction of the visit.
    pub direction: String,
    /// What is known of those who come along.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub party: BTreeMap<String, i64>,
    /// Whether something opened since it was looked at.
    pub opened: bool,
    /// Events since then, in order.
    pub events: Vec<String>,
    /// Slips since then.
    pub printed: Vec<String>,
    /// Holders of the keys that were asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub register: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// The rows of the latest answer of the console, where the `expect` asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<Vec<serde_json::Map<String, Value>>>,
    /// The word with which the last act was rejected.
    pub refused: Option<String>,
}

impl Observed {
    /// Looks at a visit: the one that is named by its number in the file, else the one in front, else the latest.
    pub(super) fn look(&mut self, world: &World<'_>, lane: &LaneId, number: Option<usize>) {
        let named = number.and_then(|n| world.visits.get(n - 1));
        let lane = named.map_or(lane, |(lane, _)| lane);
        let state = &world.lane(lane).state;
        let visit: Option<&Visit> = match named {
            Some((_, id)) => state.visits().find(|v| v.id == *id),
            None => world.meant(lane),
        };
        self.outcome = visit.and_then(Visit::outcome).map_or("none", Outcome::as_str).to_owned();
        self.direction.clone_from(&world.profile(lane).direction);
        let Some(visit) = visit else { return };
        self.visit = world.visits.iter().position(|(_, id)| *id == visit.id).map(|at| at + 1);
        let codes = visit.verdict.iter().flat_map(|v| &v.codes);
        self.codes = codes.map(|c| c.as_str().to_owned()).collect();
        let waiting = world.under_way(lane).find(|(v, _)| v.id == visit.id);
        self.at = waiting.map(|(_, step)| step.id.clone()).unwrap_or_default();
        if !visit.direction.is_empty() {
            self.direction.clone_from(&visit.direction);
        }
        let counting = visit.waits.party.as_ref();
        if let Some(facts) = visit.facts.get("party").and_then(Value::as_object) {
            self.party = facts.iter().filter_map(|(name, n)| Some((name.clone(), n.as_i64()?))).collect();
        }
        // Of people who were added behind the verdict nothing is a fact: they are counted here.
        let added: Vec<&Visit> = state.visits().filter(|v| v.parent == Some(visit.id)).collect();
        if self.party.get("count").is_none_or(|count| *count == 0) && !added.is_empty() {
            let of = |outcome: Outcome| added.iter().filter(|v| v.outcome() == Some(outcome)).count();
            let counts = [
                ("count", added.len()),
                ("admitted", of(Outcome::Admit)),
                ("refer", of(Outcome::Refer)),
                ("hold", of(Outcome::Hold)),
                ("deny", of(Outcome::Deny)),
            ];
            let counts = counts.into_iter().map(|(name, n)| (name.to_owned(), i64::try_from(n).unwrap_or(0)));
            self.party.extend(counts);
        }
        if let Some(count) = counting.and_then(|c| c.count) {
            self.party.insert("count".into(), i64::from(count));
        }
    }
}

/// The number in the name of a holder: `visit:7`, `v7` and `7` are visit 7.
pub(super) fn number(holder: &str) -> Option<u64> {
    holder.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().ok()
}

/// Whether two names of holders mean the same.
fn same_holder(one: &str, other: &str) -> bool {
    one == other || number(one).is_some() && number(one) == number(other)
}

/// A failure, if something is not as it must be.
pub(super) fn check(
    world: &mut World<'_>,
    lane: &LaneId,
    line: usize,
    expect: &Expect,
    refused: Option<&'static str>,
) -> Result<Option<Failure>, Stopped> {
    if let Some(number) = expect.visit.filter(|number| *number > world.visits.len()) {
        let have = world.visits.len();
        return Err(Stopped::Failed(format!("there is no visit {number}: {have} have begun")));
    }
    let came = world.came(lane);
    let mut found = Observed { refused: refused.map(str::to_owned), ..Observed::default() };
    found.look(world, lane, expect.visit);
    found.opened = came.opened;
    found.events = came.events;
    found.printed = came.slips;
    found.rows = expect.rows.as_ref().and(world.rows.clone());
    for (register, keys) in &expect.register {
        for (key, wanted) in keys {
            let holders = if OF_VISITS.contains(&register.as_str()) {
                holders(world, register, key)?
            } else {
                world.holders_of(lane, register, key, wanted)?
            };
            found.register.entry(register.clone()).or_default().insert(key.clone(), holders);
        }
    }
    let why = differs(expect, &found);
    Ok(why.map(|why| Failure { line, why, found: Box::new(found) }))
}

/// Who holds a key.
fn holders(world: &World<'_>, register: &str, key: &str) -> Result<Vec<String>, Stopped> {
    let names = if register == "seal" {
        vec![seal_use(&crate::pass::id::normal(key))]
    } else {
        let (name, shared) = world.use_of(key)?;
        [name].into_iter().chain(shared).collect()
    };
    if register == SEAL && world.seal_removed(key)? {
        return Ok(Vec::new());
    }
    for name in names {
        if let Some(used) = world.store.redeemed(&name)? {
            let named = world.before.get(&used.visit).cloned();
            let VisitId(visit) = used.visit;
            return Ok(vec![named.unwrap_or_else(|| format!("visit:{visit}"))]);
        }
    }
    Ok(Vec::new())
}

/// The first thing that is not as it must be.
fn differs(expect: &Expect, found: &Observed) -> Option<String> {
    let told = |what: &str, wanted: &str, is: &str| Some(format!("expected {what} {wanted}, found {is}"));
    if expect.refused.as_deref() != found.refused.as_deref() {
        let word = |word: &Option<String>| word.clone().unwrap_or_else(|| "none".into());
        return told("the rejection", &word(&expect.refused), &word(&found.refused));
    }
    if let Some(outcome) = expect.outcome {
        let wanted = outcome.map_or("none", Outcome::as_str);
        if wanted != found.outcome {
            return told("outcome", wanted, &format!("{} {}", found.outcome, found.codes.join(" ")));
        }
    }
    if let Some(codes) = &expect.codes {
        let wanted: Vec<&str> = codes.iter().map(|c| c.as_str()).collect();
        if found.codes.len() < wanted.len() || found.codes.iter().zip(&wanted).any(|(is, want)| is != want) {
            return told("codes", &wanted.join(" "), &found.codes.join(" "));
        }
    }
    if let Some(opened) = expect.opened.filter(|opened| *opened != found.opened) {
        return told("opened", &opened.to_string(), &found.opened.to_string());
    }
    let mut kinds = found.events.iter();
    if let Some(absent) = expect.events.iter().find(|wanted| !kinds.any(|kind| kind == *wanted)) {
        return told(
            "events",
            &format!("{} (`{absent}` at its place)", expect.events.join(", ")),
            &found.events.join(", "),
        );
    }
    if let Some(there) = expect.no_events.iter().find(|kind| found.events.contains(kind)) {
        return told("no event", there, &found.events.join(", "));
    }
    if let Some(printed) = &expect.printed {
        let good = if printed.is_empty() {
            found.printed.is_empty()
        } else {
            found.printed.iter().any(|slip| slip.contains(printed.as_str()))
        };
        if !good {
            return told("a slip with", &format!("`{printed}`"), &format!("{:?}", found.printed));
        }
    }
    if let Some(at) = expect.at.as_ref().filter(|at| **at != found.at) {
        return told("the visit at", at, if found.at.is_empty() { "no step" } else { &found.at });
    }
    if let Some(direction) = expect.direction.as_ref().filter(|d| **d != found.direction) {
        return told("direction", direction, &found.direction);
    }
    if let Some(rows) = &expect.rows {
        let found = found.rows.as_deref().unwrap_or_default();
        if let Some((wanted, is)) = rows.differs(found) {
            return told("rows", &wanted, &is);
        }
    }
    for (name, wanted) in &expect.party {
        let is = found.party.get(name).copied().unwrap_or(0);
        if is != *wanted {
            return told(&format!("party.{name}"), &wanted.to_string(), &is.to_string());
        }
    }
    for (register, keys) in &expect.register {
        for (key, wanted) in keys {
            let is = found.register.get(register).and_then(|of| of.get(key)).cloned().unwrap_or_default();
            let visits = OF_VISITS.contains(&register.as_str());
            let same = |one: &String, other: &String| one == other || visits && same_holder(one, other);
            let all = |some: &[String], of: &[String]| some.iter().all(|one| of.iter().any(|o| same(one, o)));
            if is.len() != wanted.len() || !all(&is, wanted) || !all(wanted, &is) {
                return told(
                    &format!("{register} `{key}` held by"),
                    &format!("{wanted:?}"),
                    &format!("{is:?}"),
                );
            }
        }
    }
    None
}
