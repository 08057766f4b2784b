//! The duty console in a play: what officers ask there, and what is found.

use super::file::moment;
use super::form::ConsoleForm;
use super::verb::Act as Played;
use super::world::{Stopped, World};
use crate::console::{self, Act, Asked, Query};
use crate::core::Input;
use crate::event::NewEvent;
use crate::hl7::Span;
use crate::hl7::word::Word;
use crate::ids::{LaneId, OfficerId, VisitId};
use crate::lane::action::{Officer, Role};
use crate::pass::id::normal;
use crate::profile::StepKind;
use crate::time::WallMs;
use serde_json::{Map, Value as Json, json};
use toml::Value;

/// Where a search begins that does not say it.
const FROM: &str = "-24h";

/// A verdict of the play, for whoever asks later.
#[derive(Debug)]
pub(super) struct Verdict {
    at_ms: WallMs,
    lane: Option<LaneId>,
    visit: Option<VisitId>,
    data: Json,
}

impl Verdict {
    pub fn of(event: &NewEvent, at_ms: WallMs) -> Option<Self> {
        let NewEvent { kind, lane, visit, data, .. } = event;
        (kind == "transaction").then(|| Self { at_ms, lane: lane.clone(), visit: *visit, data: data.clone() })
    }
}

/// An act, as the file says it.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub act: Act,
    pub purpose: String,
    pub lane: Option<LaneId>,
    pub from: Option<Value>,
    pub to: Option<Value>,
    pub subject: Option<String>,
    pub key: Option<String>,
    pub note: String,
    pub approve: bool,
}

impl Said {
    /// Reads one, with what is wrong with it.
    pub fn read(form: ConsoleForm, clock_ms: WallMs) -> Result<Self, String> {
        let ConsoleForm { act, purpose, lane, from, to, subject, key, note, refuse } = form;
        let known = || Act::ALL.map(Act::as_str).join(", ");
        let act = Act::parse(&act)
            .ok_or_else(|| format!("the console has no act `{act}`; allowed: {}", known()))?;
        let lane = lane.map(LaneId::new).transpose().map_err(|e| e.to_string())?;
        if act != Act::Handover {
            for (name, at) in [("from", &from), ("to", &to)] {
                moment(at.as_ref(), "-0s", clock_ms).map_err(|e| format!("`{name}`: {e}"))?;
            }
        }
        if act == Act::Revoke && key.is_none() && subject.is_none() {
            return Err("`revoke` needs the `key`: a person, a plate, or a pass as `@NAME`".into());
        }
        let (purpose, note) = (purpose.unwrap_or_default(), note.unwrap_or_default());
        Ok(Self { act, purpose, lane, from, to, subject, key, note, approve: !refuse })
    }
}

/// Whether a row is as it is expected to be, in all that is said of it.
fn fits(row: &Map<String, Json>, wanted: &Map<String, Json>) -> bool {
    wanted.iter().all(|(name, value)| row.get(name) == Some(value))
}

/// What the rows of an answer must be.
#[derive(Debug, Clone)]
pub(super) enum Rows {
    /// So many.
    Count(usize),
    /// These, in any order.
    Each(Vec<Map<String, Json>>),
}

impl Rows {
    /// Reads what an `expect` says.
    pub fn read(value: &Value) -> Result<Self, String> {
        let wrong =
            || format!("`rows = {value}`: write how many, or a list of tables with what is known of each");
        match value {
            Value::Integer(count) => usize::try_from(*count).map(Self::Count).map_err(|_| wrong()),
            Value::Array(all) => {
                let one = |row: &Value| row.as_table().map(super::file::entry).ok_or_else(wrong);
                all.iter().map(one).collect::<Result<_, _>>().map(Self::Each)
            }
            Value::String(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Table(_) => {
                Err(wrong())
            }
        }
    }

    /// What is not as it must be: wanted and found.
    pub fn differs(&self, rows: &[Map<String, Json>]) -> Option<(String, String)> {
        let found = || json!(rows).to_string();
        match self {
            Self::Count(count) => (rows.len() != *count).then(|| (count.to_string(), rows.len().to_string())),
            Self::Each(wanted) => {
                let mut left: Vec<&Map<String, Json>> = rows.iter().collect();
                let mut each = wanted.iter();
                let missing = each.any(|wanted| {
                    let place = left.iter().position(|row| fits(row, wanted));
                    place.map(|at| left.remove(at)).is_none()
                });
                (missing || !left.is_empty()).then(|| (json!(wanted).to_string(), found()))
            }
        }
    }
}

impl World<'_> {
    /// Does what is asked; the rows of the answer, where it has some.
    pub(super) fn console(&mut self, act: &Played, said: &Said) -> Result<(), Stopped> {
        let officer = match &act.by {
            Some(by) => by.clone(),
            None => self.who_may(act, said)?,
        };
        console::may(&officer, said.act, &said.purpose)
            .map_err(|why| Stopped::Rejected(why.code, why.text.en))?;
        let mut found = None;
        let asked = match said.act {
            Act::Trace | Act::Export => {
                let (query, rows) = self.search(said)?;
                let count = rows.len();
                found = Some(rows);
                if said.act == Act::Trace {
                    Asked::Trace { query, rows: count }
                } else {
                    Asked::Export { query, rows: count }
                }
            }
            Act::Review => {
                let (lane, visit) = self.reviewed(act, said)?;
                Asked::Review { lane, visit, approve: said.approve, note: said.note.clone() }
            }
            Act::Revoke => self.revoke(said)?,
            Act::Handover => {
                let to = said.to.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
                Asked::Handover { to, note: said.note.clone() }
            }
        };
        self.rows = found;
        let purpose = said.purpose.clone();
        self.input(Input::Console { officer, purpose, asked }).map(drop)
    }

    /// One who may; an approval is that of somebody who signs where it waits.
    fn who_may(&self, act: &Played, said: &Said) -> Result<Officer, Stopped> {
        let mut role = said.act.roles().first().copied().unwrap_or(Role::Supervisor);
        if said.act == Act::Review
            && let Ok((lane, _)) = self.reviewed(act, said)
        {
            let mut signers = self.under_way(&lane).filter_map(|(visit, step)| {
                let StepKind::Confirm(confirm) = &step.kind else { return None };
                confirm.next(visit.waits.confirm.as_deref().unwrap_or_default())
            });
            let may = signers.next().unwrap_or_default();
            let signs = |role: &&Role| may.is_empty() || may.iter().any(|word| word == role.as_str());
            role = said.act.roles().iter().find(signs).copied().unwrap_or(role);
        }
        let id = OfficerId::new(role.as_str()).map_err(|e| Stopped::Failed(e.to_string()))?;
        Ok(Officer { id, role })
    }

    /// The lane where an approval waits: the one that is named, else the first one that has one.
    fn reviewed(&self, act: &Played, said: &Said) -> Result<(LaneId, Option<VisitId>), Stopped> {
        if let Some(lane) = said.lane.as_ref().or(act.lane.as_ref()) {
            return Ok((lane.clone(), None));
        }
        let waits = |lane: &LaneId| {
            let mut all = self.under_way(lane);
            all.find(|(_, step)| matches!(&step.kind, StepKind::Confirm(_))).map(|(visit, _)| visit.id)
        };
        let mut lanes = self.core.lanes().map(|lane| lane.setup.lane.clone());
        let found = lanes.find_map(|lane| waits(&lane).map(|visit| (lane, Some(visit))));
        found.ok_or_else(|| Stopped::Rejected("not_now", "Nothing waits for an approval".into()))
    }

    /// An entry above a list, until its next edition. `@NAME`, the name of a pass of the file, and what is written as
    /// kid:id, is a pass.
    fn revoke(&mut self, said: &Said) -> Result<Asked, Stopped> {
        let mut named = said.key.as_ref().or(said.subject.as_ref()).cloned().unwrap_or_default();
        if self.passes.contains_key(&named) {
            named.insert(0, '@');
        }
        let list = if named.starts_with('@') || named.contains(':') { "revocation" } else { "hold" };
        let id = self.entry_key(list, &named);
        let at_ms = self.wall_ms();
        let word = Word { span: Span { at_ms, end_ms: at_ms }, tie: 0, said: Map::new() };
        self.store.tell(list, &id, &word)?;
        let key = if list == "hold" { self.subjects.of(&normal(&named)) } else { id };
        Ok(Asked::Revoke { list: list.to_owned(), key, note: said.note.clone() })
    }

    /// The verdicts that are asked for, the latest first.
    fn search(&self, said: &Said) -> Result<(Query, Vec<Map<String, Json>>), Stopped> {
        let at = |value: &Option<Value>, absent| moment(value.as_ref(), absent, self.wall_ms());
        let from_ms = at(&said.from, FROM).map_err(Stopped::Failed)?;
        let to_ms = at(&said.to, "-0s").map_err(Stopped::Failed)?;
        let who = said.subject.as_ref().map(|subject| {
            let named = self.named(subject);
            (self.subjects.all(&normal(&named)), self.subjects.of(&normal(&named)), subject.clone())
        });
        let fits = |verdict: &&Verdict| {
            let of = verdict.data["subject"].as_str().unwrap_or_default();
            let of_lane = said.lane.as_ref().is_none_or(|lane| verdict.lane.as_ref() == Some(lane));
            let of_subject = who.as_ref().is_none_or(|(keys, ..)| keys.iter().any(|key| key == of));
            of_lane && of_subject && (from_ms..=to_ms).contains(&verdict.at_ms)
        };
        let row = |verdict: &Verdict| {
            let number = self.visits.iter().position(|(_, id)| Some(*id) == verdict.visit).map(|at| at + 1);
            let data = &verdict.data;
            let mut row = json!({ "lane": verdict.lane, "visit": number, "outcome": data["outcome"], "codes": data["codes"] });
            if let Some((.., subject)) = &who {
                row["subject"] = json!(subject);
            }
            row.as_object().cloned().unwrap_or_default()
        };
        let rows = self.verdicts.iter().rev().filter(fits).map(row).collect();
        let subject = who.map(|(_, key, _)| key);
        Ok((Query { lane: said.lane.clone(), subject, from_ms, to_ms, near_ms: None }, rows))
    }
}
