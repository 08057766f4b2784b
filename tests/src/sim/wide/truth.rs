//! What is true of the world, whatever the lanes say: who was admitted, which pass was used, what was opened for whom,
//! which visits there are. Written from what people are told that lanes do.

use crate::sim::model::Recorded;
use kakou_core::ids::VisitId;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A visit that was there for longer than this is kept, whatever the power does.
const KEPT_MS: u64 = 500;

/// Stands for a visit at another gateway.
const ELSEWHERE: u64 = 0;

/// A verdict on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The outcome.
    pub outcome: String,
    /// Its codes.
    pub codes: Vec<String>,
}

/// A visit.
#[derive(Debug, Clone, Default)]
pub struct Visit {
    /// At which lane.
    pub lane: usize,
    /// Whose.
    pub guest: Option<u32>,
    /// When it was seen first.
    pub since: u64,
    /// The verdicts on it, in order.
    pub verdicts: Vec<Verdict>,
    /// What officers decided beside it.
    pub overrides: Vec<String>,
    /// As it stands: the latest of both.
    pub stands: Option<String>,
    /// It was given up.
    pub abandoned: bool,
    /// Openings that are on record and were not done yet.
    pub permits: u32,
}

impl Visit {
    fn was_admitted(&self) -> bool {
        self.verdicts.iter().any(|v| v.outcome == "ADMIT") || self.overrides.iter().any(|o| o == "ADMIT")
    }
}

/// The truth of one gateway.
#[derive(Default)]
pub struct Truth {
    /// Every visit.
    pub visits: BTreeMap<u64, Visit>,
    /// Those that were under way when their lane was looked at last, by lane.
    running: BTreeMap<usize, BTreeSet<u64>>,
    /// Commands of central ops whose opening was not done yet, by lane.
    remote: BTreeMap<usize, u32>,
    /// Passes for one use that have admitted, with the visit.
    used: BTreeMap<String, u64>,
    /// Those of them that have admitted here.
    admitted: BTreeSet<String>,
    /// Passes of which it is on record that they were used twice.
    conflicts: BTreeSet<String>,
    /// Verdicts by profile and outcome.
    pub outcomes: BTreeMap<String, u64>,
    /// Events by kind.
    pub kinds: BTreeMap<String, u64>,
    /// Openings.
    pub opened: u64,
}

impl Truth {
    /// An event of a lane has come on record.
    pub fn hears(
        &mut self,
        at: u64,
        lane: Option<usize>,
        event: &Recorded,
        once: &dyn Fn(&str) -> bool,
    ) -> Result<(), String> {
        *self.kinds.entry(event.kind.clone()).or_default() += 1;
        if event.kind == "peer_conflict" {
            let pass = event.data["pass"].as_str().and_then(|pass| pass.split_once(':'));
            self.conflicts.extend(pass.map(|(_, id)| id.to_owned()));
        }
        let Some(lane) = lane else { return Ok(()) };
        if event.kind == "remote_open" {
            *self.remote.entry(lane).or_default() += 1;
            return Ok(());
        }
        let Some(id) = event.visit.filter(|_| event.kind != "repeat") else { return Ok(()) };
        let visit = self.visits.entry(id).or_insert_with(|| Visit { lane, since: at, ..Visit::default() });
        if visit.lane != lane {
            return Err(format!("visit {id} of lane {} has an event at lane {lane}", visit.lane));
        }
        let data = &event.data;
        let outcome = data["outcome"].as_str().unwrap_or_default().to_owned();
        match event.kind.as_str() {
            "transaction" => {
                if visit.abandoned {
                    return Err(format!("visit {id} was given up and has a verdict"));
                }
                let number = data["verdict_no"].as_u64().unwrap_or(0);
                if number != visit.verdicts.len() as u64 + 1 {
                    return Err(format!("verdict {number} of visit {id} follows {}", visit.verdicts.len()));
                }
                let codes = texts(&data["codes"]);
                visit.stands = Some(outcome.clone());
                if codes.is_empty() || (outcome == "ADMIT") != (codes[0] == "OK") {
                    return Err(format!("visit {id} is {outcome} with {codes:?}"));
                }
                visit.permits = u32::from(outcome == "ADMIT");
                let used =
                    data["pass"]["id"].as_str().filter(|_| outcome == "ADMIT").filter(|pass| once(pass));
                if let Some(pass) = used {
                    // Where somebody has decided otherwise, that is on record.
                    if visit.overrides.is_empty() {
                        self.admitted.insert(pass.to_owned());
                    }
                    let said = codes.iter().any(|c| c == "D_USED");
                    match self.used.insert(pass.to_owned(), id) {
                        Some(before) if before != id && !said && visit.overrides.is_empty() => {
                            return Err(format!(
                                "the pass of visit {before} admits once more, in visit {id}"
                            ));
                        }
                        Some(_) | None => {}
                    }
                }
                visit.verdicts.push(Verdict { outcome, codes });
            }
            "override" => {
                if data["officer"].as_str().is_none_or(str::is_empty)
                    || data["reason"].as_str().is_none_or(str::is_empty)
                {
                    return Err(format!("an override of visit {id} names nobody or no reason"));
                }
                let to = data["to"].as_str().unwrap_or_default().to_owned();
                if data["from"].as_str() != visit.stands.as_deref() {
                    return Err(format!(
                        "an override of visit {id} is from {}, it was {:?}",
                        data["from"], visit.stands
                    ));
                }
                visit.permits = u32::from(to == "ADMIT");
                visit.stands = Some(to.clone());
                visit.overrides.push(to);
            }
            // Which of two pulses was whose is not known: there are as many as are on record.
            "barrier_again" => visit.permits += 1,
            "visit_abandoned" => visit.abandoned = true,
            _ => {}
        }
        Ok(())
    }

    /// The gateway has heard that a pass was used at another one.
    pub fn hears_of(&mut self, pass: &str) {
        self.used.entry(pass.to_owned()).or_insert(ELSEWHERE);
    }

    /// Passes for one use that have admitted here.
    pub fn admitted_passes(&self) -> impl Iterator<Item = &String> {
        self.admitted.iter()
    }

    /// Whether one has.
    pub fn has_admitted(&self, pass: &str) -> bool {
        self.admitted.contains(pass)
    }

    /// Whether it is on record that a pass was used at two gateways.
    pub fn knows_conflict(&self, pass: &str) -> bool {
        self.conflicts.contains(pass)
    }

    /// A barrier of a lane is asked to open.
    pub fn opens(&mut self, lane: usize) -> Result<(), String> {
        self.opened += 1;
        if let Some(n) = self.remote.get_mut(&lane).filter(|n| **n > 0) {
            *n -= 1;
            return Ok(());
        }
        // The latest first: it is the one in front.
        let permitted = self.visits.values_mut().rev().find(|v| v.lane == lane && v.permits > 0);
        let Some(visit) = permitted else {
            return Err(format!("the barrier of lane {} opens and nothing on record says so", lane + 1));
        };
        visit.permits -= 1;
        Ok(())
    }

    /// Visits that are under way at a lane now, and what is new of them. None goes without an end on record.
    pub fn looks(&mut self, at: u64, lane: usize, now: &BTreeSet<u64>) -> Result<Vec<u64>, String> {
        let before = self.running.insert(lane, now.clone()).unwrap_or_default();
        for id in before.difference(now) {
            self.has_ended(*id)?;
        }
        let new: Vec<u64> = now.iter().copied().filter(|id| !before.contains(id)).collect();
        for id in &new {
            let visit =
                self.visits.entry(*id).or_insert_with(|| Visit { lane, since: at, ..Visit::default() });
            if visit.abandoned {
                return Err(format!("visit {id} was given up and is under way"));
            }
        }
        Ok(new)
    }

    fn has_ended(&self, id: u64) -> Result<(), String> {
        let visit = self.visits.get(&id).ok_or("a visit of which nothing is known")?;
        if visit.verdicts.is_empty() && !visit.abandoned {
            return Err(format!("visit {id} of lane {} is gone without a verdict", visit.lane + 1));
        }
        Ok(())
    }

    /// After a start: what was on record, or there for long enough, is still there.
    pub fn starts(&mut self, cut_at: u64, lane: usize, now: &BTreeSet<u64>) -> Result<(), String> {
        let before = self.running.remove(&lane).unwrap_or_default();
        for id in before.difference(now) {
            let visit = &self.visits[id];
            let fresh = visit.since + KEPT_MS > cut_at;
            if visit.verdicts.is_empty() && !visit.abandoned && !fresh {
                return Err(format!("visit {id} of lane {} was under way and is gone", lane + 1));
            }
            // Nothing of it is on record: its number may be given again.
            if visit.verdicts.is_empty() && !visit.abandoned {
                self.visits.remove(id);
            }
        }
        self.running.insert(lane, now.clone());
        Ok(())
    }

    /// The journal is lost, and with it what was under way at a lane. What was admitted stays so.
    pub fn loses(&mut self, lane: usize, now: &BTreeSet<u64>) {
        self.running.insert(lane, now.clone());
    }

    /// A verdict that is shown is the one on record.
    pub fn shows(&self, id: VisitId, outcome: &str) -> Result<(), String> {
        let stands = self.visits.get(&id.0).and_then(|v| v.stands.as_deref());
        if stands != Some(outcome) {
            return Err(format!("visit {id} is shown as {outcome}, on record is {stands:?}"));
        }
        Ok(())
    }

    /// The desk says of a visit what is on record: its verdict, and those before it.
    pub fn says(&self, id: VisitId, outcome: &str, codes: &[&str], earlier: &[&str]) -> Result<(), String> {
        let Some(visit) = self.visits.get(&id.0) else { return Err(format!("nobody knows visit {id}")) };
        let Some((last, before)) = visit.verdicts.split_last() else {
            return Err(format!("visit {id} is shown as {outcome}, and nothing is on record"));
        };
        if last.outcome != outcome || last.codes != codes {
            return Err(format!("visit {id} was {last:?}, the desk says {outcome} {codes:?}"));
        }
        // An override of an override repeats the verdict between them.
        let mut left = earlier.iter();
        let in_order = before.iter().all(|v| left.any(|e| *e == v.outcome));
        if !in_order || earlier.len() > before.len() + visit.overrides.len() {
            return Err(format!("visit {id} was {before:?} before, the desk says {earlier:?}"));
        }
        Ok(())
    }

    /// Whether something was admitted in a visit, or it is under way still.
    pub fn may_hold(&self, id: u64) -> bool {
        self.visits.get(&id).is_none_or(|v| v.was_admitted() || (v.verdicts.is_empty() && !v.abandoned))
    }

    /// Whether somebody has decided otherwise in a visit, or in another one of whoever it is of, who holds a slot since
    /// then; or it is not known whose it is.
    pub fn is_overridden(&self, id: u64) -> bool {
        let Some(visit) = self.visits.get(&id) else { return false };
        !visit.overrides.is_empty()
            || visit.guest.is_none()
            || self.visits.values().any(|other| other.guest == visit.guest && !other.overrides.is_empty())
    }

    /// Visits under way.
    pub fn under_way(&self) -> usize {
        self.running.values().map(BTreeSet::len).sum()
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|v| Some(v.as_str()?.to_owned())).collect()
}
