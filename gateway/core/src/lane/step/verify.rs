//! Checks the pass against what this gateway knows: lists, their age, revocation, holds, the
//! clock. Makes the facts `pass`, `health` and `entry`.

mod health;
#[cfg(test)]
mod tests;

use super::kind::{About, Kind};
use super::{Cx, Flow, StepKind};
use crate::codes::{Code, Outcome};
use crate::entry;
use crate::lane::visit::Visit;
use crate::lists::{self, Keys, List, LookUp};
use crate::pass::{FORM, Format, Pass, id, plate};
use crate::profile::facts::{self, ENTRY, Fact, FactScope, PASS, Type};
use crate::profile::source::StepContext;
use crate::profile::{ProfileError, Step};
use crate::records::RecordsFault;
use crate::register::{self, SEALS};
use crate::rules::Expression;
use crate::schedule;
use crate::text::masked;
use crate::time::WallMs;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use toml::Spanned;

/// Milliseconds in an hour.
const HOUR_MS: i64 = 3_600_000;
/// The list of those who are held.
const HOLD: &str = "hold";
/// The list of passes, which says what an opaque code is for.
const PASSES: &str = "pass";
/// The list of the people of a place.
const ROSTER: &str = "roster";
/// Lists that facts of other groups are made of: what a further `verify` makes is made of all of them.
const KEPT: [&str; 4] = [PASSES, ROSTER, "status", "results"];
/// What a list is looked up by where that is the code itself, or the plate that it or staff have named.
const BY_CODE: [[&str; 2]; 4] = [[PASS, "subject"], [PASS, "id"], [PASS, "plate"], ["answers", "plate"]];

/// What the pass says, and what lists say of its holder.
const FACTS: &[Fact] = &[
    Fact::new("pass.plate", Type::Text),
    Fact::new("pass.category", Type::Text),
    Fact::new("pass.from", Type::Text),
    Fact::new("pass.to", Type::Text),
    Fact::new("pass.crew", Type::Number),
    Fact::new("pass.uses", Type::Number),
    Fact::new("pass.approvals", Type::Texts),
    Fact::new("pass.driver", Type::Text),
    Fact::new("pass.patient", Type::Text),
    Fact::new("pass.ward", Type::Text),
    Fact::new("pass.role", Type::Text),
    Fact::new("pass.roster", Type::Text),
    Fact::new("pass.seals", Type::Texts),
    Fact::new("pass.class", Type::Text),
    Fact::new("pass.company", Type::Text),
    Fact::new("pass.gates", Type::Texts),
    Fact::new("pass.certificate", Type::Text),
    Fact::new("pass.country", Type::Text),
    Fact::new("pass.test_result", Type::Text),
    Fact::new("pass.sampled_at_ms", Type::Number),
    Fact::new("pass.dose", Type::Number),
    Fact::new("pass.doses", Type::Number),
    Fact::new("pass.vaccinated_at_ms", Type::Number),
    Fact::new("pass.from_ms", Type::Number),
    Fact::new("pass.until_ms", Type::Number),
    Fact::new("health.known", Type::Bool),
    Fact::word("health.colour", "unknown"),
    Fact::new("health.test_result", Type::Text),
    // Older than any limit.
    Fact::decimal("health.test_age_h", NEVER_H),
    Fact::new("health.sampled_day", Type::Text),
    Fact::new("health.risk_area", Type::Bool),
    Fact::new("health.out_of_city", Type::Bool),
];

/// The age of a test that was never made, in hours.
const NEVER_H: f64 = 1e9;

/// Checks the pass against trust, lists and holds.
#[derive(Debug)]
pub struct Verify {
    /// The lists to consult beside trust, in their order.
    pub lists: Vec<LookInto>,
    /// From when the age of a test counts.
    pub test_age_from: AgeFrom,
}

/// A list that a step looks into.
#[derive(Debug)]
pub struct LookInto {
    /// Which.
    pub list: &'static List,
    /// What it is looked up by, beside the code itself where it is the list of holds.
    key: Key,
    /// Whether an entry there says that a code is known.
    by_code: bool,
}

/// What a list is looked up by.
#[derive(Debug)]
enum Key {
    /// By the pass.
    Pass,
    /// By what an expression gives.
    Gives(Expression),
}

/// What lists have said of a visit, each by its name: of those that more facts are made of, all; of others, that there
/// is something.
pub type Found = BTreeMap<String, Map<String, Value>>;

/// From when the age of a test counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgeFrom {
    /// From when the sample was taken.
    #[default]
    Sampling,
    /// From when the result was reported.
    Report,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    #[serde(default)]
    lists: Vec<String>,
    #[serde(default)]
    keys: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    test_age_from: AgeFrom,
}

impl Kind for Verify {
    const ABOUT: About =
        About { facts: FACTS, ..About::new("verify", ("核验", "Verify"), ("正在核验", "Checking")) };
    type Form = Form;
    type Waits = ();

    fn read(
        Form { lists: names, mut keys, test_age_from }: Form,
        place: &StepContext<'_>,
    ) -> Result<Self, ProfileError> {
        let mut known = place.known.clone();
        known.made_by.insert(Self::ABOUT.name);
        let mut lists = Vec::<LookInto>::new();
        for name in names {
            let Some(list) = lists::looked_into().find(|list| list.name == name) else {
                let allowed: Vec<&str> = lists::looked_into().map(|list| list.name).collect();
                return Err(place.error(format!("`{name}` is not a list; allowed: {}", allowed.join(", "))));
            };
            if lists.iter().any(|look| look.list == list) {
                return Err(place.error(format!("the list `{name}` stands twice in `lists`")));
            }
            let key = read_key(list, keys.remove(list.name), place, &known)?;
            let code = |path: &Vec<String>| BY_CODE.iter().any(|of| path == of);
            let by_code = !list.stops
                && match &key {
                    Key::Pass => true,
                    Key::Gives(key) => {
                        let facts = key.named().facts;
                        !facts.is_empty() && facts.iter().all(code)
                    }
                };
            lists.push(LookInto { list, key, by_code });
            known.lists.insert(name);
        }
        if let Some((name, key)) = keys.first_key_value() {
            let all: Vec<&str> = lists.iter().map(|look| look.list.name).collect();
            let what = format!("`keys` names `{name}`, which is not among `lists`: {}", all.join(", "));
            return Err(place.source.error(key.span().start, what));
        }
        Ok(Self { lists, test_age_from })
    }

    /// Looks everything up; takes no time.
    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        if !cx.now.synced() || cx.now.wall_ms.is_none() {
            cx.find(Code::X_CLOCK);
        }
        // What an earlier step has found in other lists stays.
        let mut found = std::mem::take(&mut cx.visit.found);
        found.retain(|name, _| !self.lists.iter().any(|look| look.list.name == name));
        make_pass(cx, &found);
        for look in &self.lists {
            let list = look.list;
            let stale = is_stale(cx, list)?;
            if stale {
                cx.find(Code::X_STALE);
            }
            let entry = look.up(cx)?;
            tell(cx, list, stale, entry.as_ref());
            let Some(entry) = entry else { continue };
            let opaque = cx.visit.pass.as_ref().is_some_and(|pass| pass.format == Format::Opaque);
            if list.name == PASSES && opaque && is_outside(&entry, cx.now.wall_ms) {
                cx.find(Code::C_EXPIRED);
            }
            found.insert(list.name.to_owned(), entry);
            if [PASSES, ROSTER].contains(&list.name) {
                make_pass(cx, &found);
            }
        }
        if is_unknown(cx, &found) {
            cx.find(Code::C_UNKNOWN);
        }
        let named = |list: &str| found.get(list).and_then(|e| e.get("name")).and_then(Value::as_str);
        if let Some(name) = named("status").or_else(|| named(ROSTER)) {
            cx.visit.name = Some(masked(name));
        }
        let health = health::facts(cx, &found, self.test_age_from);
        cx.make("health", Value::Object(health));
        keep(cx, found);
        Ok(Flow::Next)
    }
}

impl Verify {
    /// What lists of people are looked up by, beside the pass.
    pub(crate) fn people_by(&self) -> impl Iterator<Item = &Expression> {
        self.lists.iter().filter(|look| look.list.keys == Keys::People).filter_map(|look| match &look.key {
            Key::Gives(key) => Some(key),
            Key::Pass => None,
        })
    }
}

/// What a list is looked up by, proved; by what it is where the profile does not say.
fn read_key(
    list: &List,
    said: Option<Spanned<String>>,
    place: &StepContext<'_>,
    known: &FactScope,
) -> Result<Key, ProfileError> {
    let name = list.name;
    let text = |at: usize, text: &str| place.source.value(at, text, known, &[Type::Text]);
    match (said, list.by) {
        (Some(said), LookUp::Pass | LookUp::Nobody) => {
            let what = format!("the list `{name}` is looked up by the pass: it takes no key");
            Err(place.source.error(said.span().start, what))
        }
        (None, LookUp::Pass | LookUp::Nobody) => Ok(Key::Pass),
        (Some(said), LookUp::Fact(_) | LookUp::Said) => {
            Ok(Key::Gives(text(said.span().start, said.get_ref())?))
        }
        (None, LookUp::Fact("pass.subject")) => Ok(Key::Pass),
        (None, LookUp::Fact(path)) => text(place.at, path).map(Key::Gives).map_err(|_| {
            place.error(format!(
                "the list `{name}` is looked up by `{path}`, which no earlier step makes: ask for it before, or say \
                 keys = {{ {name} = \"…\" }}"
            ))
        }),
        (None, LookUp::Said) => Err(place.error(format!(
            "what the list `{name}` is looked up by is for the profile to say: keys = {{ {name} = \"…\" }}"
        ))),
    }
}

impl LookInto {
    /// The entry, as far as there is one: of a list that stops whoever is on it, one without fields.
    fn up(&self, cx: &mut Cx<'_>) -> Result<Option<Map<String, Value>>, RecordsFault> {
        if self.list.by == LookUp::Pass {
            let Some(pass) = cx.visit.pass.clone().filter(|pass| !pass.kid.is_empty()) else {
                return Ok(None);
            };
            let revoked = revoked(cx, &pass)?;
            if revoked {
                cx.find(Code::C_REVOKED);
            }
            return Ok(revoked.then(Map::new));
        }
        if self.list.name == HOLD {
            let held = self.look_for_hold(cx)?;
            if held {
                cx.find(Code::L_HOLD);
            }
            return Ok(held.then(Map::new));
        }
        let id = match &self.key {
            Key::Pass => cx.visit.pass.as_ref().map(|pass| pass.subject.clone()),
            Key::Gives(key) => key_of(cx, key),
        };
        let Some(id) = id.filter(|id| !id.is_empty()) else { return Ok(None) };
        let entry = look_up(cx, self.list.name, &id)?;
        if self.list.name != SEALS {
            return Ok(entry);
        }
        let own = own_seals(cx, &id)?;
        let sealed_ms = |of: &Map<String, Value>| of.get("sealed_at_ms").and_then(Value::as_i64);
        Ok([entry, own].into_iter().flatten().max_by_key(sealed_ms))
    }

    /// Whether the bearer of a pass is held, or the plate that it, its entry or staff have named.
    fn look_for_hold(&self, cx: &mut Cx<'_>) -> Result<bool, RecordsFault> {
        let subject = cx.visit.pass.as_ref().map(|pass| pass.subject.clone());
        let plate = cx.visit.facts.get(PASS).and_then(|pass| pass.get("plate")).and_then(Value::as_str);
        let plate = plate.map(str::to_owned);
        let also = match &self.key {
            Key::Pass => None,
            Key::Gives(key) => key_of(cx, key),
        };
        let mut asked = Vec::new();
        for id in [subject, plate, also].into_iter().flatten().map(|id| id::normal(&id)) {
            if id.is_empty() || asked.contains(&id) {
                continue;
            }
            if held(cx, &id)? {
                return Ok(true);
            }
            asked.push(id);
        }
        Ok(false)
    }
}

/// The latest seals that lanes of this site have put on the vehicle with a plate.
fn own_seals(cx: &Cx<'_>, plate: &str) -> Result<Option<Map<String, Value>>, RecordsFault> {
    let keys = register::hashed(&cx.setup.subjects, SEALS, None, plate);
    let puts = cx.records.slots(SEALS, &keys)?.into_iter().filter_map(|slot| slot.put);
    let latest = puts.max_by(|a, b| a.at.cmp(&b.at));
    // Of a gateway of another version it may say something else.
    Ok(latest.and_then(|put| entry::read(SEALS, put.data).ok()))
}

/// What an expression gives a list to be looked up by. Where it fails, nobody is let in for want of an entry.
fn key_of(cx: &mut Cx<'_>, key: &Expression) -> Option<String> {
    match cx.value(key) {
        Ok(value) => value.as_str().map(str::to_owned),
        Err(_) => {
            cx.failed("key", key);
            cx.find(Code::X_RULE);
            None
        }
    }
}

/// Puts the facts that expressions of the profile ask of an entry.
fn tell(cx: &mut Cx<'_>, list: &List, stale: bool, entry: Option<&Map<String, Value>>) {
    let setup = cx.setup;
    let asked = setup.profile.unmade_facts().get(ENTRY).and_then(|all| all.get(list.name)?.as_object());
    let Some(asked) = asked else { return };
    let fact = |name: &str| match name {
        facts::KNOWN => json!(entry.is_some()),
        facts::STALE => json!(stale),
        facts::OPEN_NOW => json!(entry.is_none_or(|entry| {
            cx.now.wall_ms.is_some_and(|now| schedule::open_at(entry, now, setup.utc_offset_ms))
        })),
        field => list.field(field).map(|field| field.value(entry)).unwrap_or_default(),
    };
    let told: Map<String, Value> = asked.keys().map(|name| (name.clone(), fact(name))).collect();
    let all = cx.visit.facts.entry(ENTRY).or_insert_with(|| json!({}));
    if let Some(all) = all.as_object_mut() {
        all.insert(list.name.to_owned(), Value::Object(told));
    }
}

/// Whether nobody knows an opaque code: no list that was looked up by it or by a plate has it, in this step or an
/// earlier one. Whoever is written down in a form needs no list.
fn is_unknown(cx: &Cx<'_>, found: &Found) -> bool {
    let pass = cx.visit.pass.as_ref().filter(|pass| pass.format == Format::Opaque && pass.kind != FORM);
    let steps = &cx.setup.profile.steps[..=cx.visit.step];
    let mut lists = steps.iter().filter_map(of_step).flat_map(|verify| &verify.lists);
    pass.is_some() && !lists.any(|look| look.by_code && found.contains_key(look.list.name))
}

/// What a further `verify` of the profile makes more of.
fn keep(cx: &mut Cx<'_>, mut found: Found) {
    let verifies = cx.setup.profile.steps.iter().filter_map(of_step).count();
    if verifies > 1 {
        for (name, entry) in &mut found {
            if KEPT.contains(&name.as_str()) {
                entry.remove("name");
            } else {
                entry.clear();
            }
        }
        cx.visit.found = found;
    }
}

/// The settings of a step, if it is one of this kind.
fn of_step(step: &Step) -> Option<&Verify> {
    if let StepKind::Verify(verify) = &step.kind { Some(verify) } else { None }
}

/// The lists that the visit has come by: those of steps that were left out were not asked.
fn lists_so_far<'a>(cx: &Cx<'a>) -> impl Iterator<Item = &'a LookInto> + use<'a> {
    let (setup, skipped) = (cx.setup, cx.visit.skipped.clone());
    let steps = setup.profile.steps.iter().enumerate().take(cx.visit.step);
    let done = steps.filter(move |(at, _)| !skipped.contains(at));
    done.filter_map(|(_, step)| of_step(step)).flat_map(|verify| &verify.lists)
}

/// What the pass says: of itself, else of its entry in the list of passes, which an opaque code alone goes by, else of
/// the entry of its holder in the roster.
fn make_pass(cx: &mut Cx<'_>, found: &Found) {
    let mut facts = facts::unmade(PASS);
    if let Some(pass) = &cx.visit.pass {
        // What a certificate does not say stays as if nothing had made it. A dash is how issuers say nothing where
        // something must stand.
        let said = pass.facts.iter().filter(|(_, fact)| !fact.is_null() && **fact != json!("-"));
        facts.extend(said.map(|(name, fact)| (name.clone(), fact.clone())));
        if pass.kind == "companion-card" {
            facts.insert("role".into(), json!("companion"));
        }
        if pass.format == Format::Opaque
            && let Some(entry) = found.get(PASSES)
        {
            let known = entry::facts(PASSES).filter_map(|fact| entry.get_key_value(fact.name));
            facts.extend(known.map(|(name, fact)| (name.clone(), fact.clone())));
        }
        if let Some(entry) = found.get(ROSTER) {
            for fact in entry::facts(ROSTER) {
                let empty = facts.get(fact.name).and_then(Value::as_str).is_some_and(str::is_empty);
                if empty && let Some(value) = entry.get(fact.name).filter(|value| value.is_string()) {
                    facts.insert(fact.name.to_owned(), value.clone());
                }
            }
        }
    }
    // Rules and screens need no full name.
    facts.remove("name");
    // What was known from the start stays, whatever a field of the pass or of an entry is called.
    facts.extend(of_code(cx.visit));
    if let Some(text) = facts.get("plate").and_then(Value::as_str).and_then(plate::normal) {
        facts.insert("plate".into(), json!(text));
    }
    if let Some(text) = facts.get("patient").and_then(Value::as_str).map(id::normal) {
        facts.insert("patient".into(), json!(text));
    }
    cx.visit.facts.insert(PASS.into(), Value::Object(facts));
}

/// What is known of a code as soon as it is read. One whose signature was not verified gives its format alone.
pub(in crate::lane) fn of_code(visit: &Visit) -> Map<String, Value> {
    let (format, [kind, id, subject]) = match (&visit.pass, &visit.refused) {
        (Some(pass), _) => {
            let said = [&pass.kind, &pass.id, &pass.subject];
            (pass.format.as_str(), said.map(Clone::clone))
        }
        (None, Some(refused)) => (refused.format.as_str(), [const { String::new() }; 3]),
        // Nobody has shown anything.
        (None, None) => {
            let subject = visit.number.clone().unwrap_or_else(|| format!("visit:{}", visit.id));
            ("", [String::new(), String::new(), subject])
        }
    };
    let all =
        [("format", json!(format)), ("kind", json!(kind)), ("id", json!(id)), ("subject", json!(subject))];
    all.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

/// Whether a list is absent or too old for this lane.
fn is_stale(cx: &Cx<'_>, list: &List) -> Result<bool, RecordsFault> {
    let limit_ms = list.stale_after(cx.setup.profile.stale_after_h) * HOUR_MS;
    Ok(match (cx.records.issued_ms(list.name)?, cx.now.wall_ms) {
        (Some(issued), Some(now)) => now - issued > limit_ms,
        (None, _) | (_, None) => true,
    })
}

/// Whether it is not yet, or no longer, within the window that a list gives an opaque pass.
pub(super) fn is_outside(entry: &Map<String, Value>, now_ms: Option<WallMs>) -> bool {
    let at = |key: &str| entry.get(key).and_then(Value::as_i64);
    let Some(now) = now_ms else { return false };
    at("nbf_ms").is_some_and(|nbf| now < nbf) || at("exp_ms").is_some_and(|exp| now > exp)
}

/// What is asked of a list. One that cannot answer says neither yes nor no: whoever is looked up waits for
/// staff, also in a lane that lets people pass where lists are merely old. One that no step of the lane looks into
/// keeps nobody waiting.
fn ask<T: Default>(cx: &mut Cx<'_>, answer: Result<T, RecordsFault>) -> Result<T, RecordsFault> {
    match answer {
        Err(RecordsFault::List { list, why }) => {
            cx.out.count("list_unreadable_total");
            cx.out.notes.push(format!("list {list}: {why}"));
            if !cx.setup.profile.looks_into(&list) {
                return Ok(T::default());
            }
            let outcome = match cx.outcome(Code::X_STALE) {
                Outcome::Admit | Outcome::Refer => Outcome::Hold,
                other @ (Outcome::Hold | Outcome::Deny) => other,
            };
            cx.visit.findings.retain(|f| f.code != Code::X_STALE);
            cx.visit.find(Code::X_STALE, outcome);
            Ok(T::default())
        }
        answer => answer,
    }
}

fn look_up(cx: &mut Cx<'_>, list: &str, id: &str) -> Result<Option<Map<String, Value>>, RecordsFault> {
    let read =
        |facts| entry::read(list, facts).map_err(|why| RecordsFault::List { list: list.to_owned(), why });
    let answer = cx.records.entry(list, id).and_then(|found| found.map(read).transpose());
    ask(cx, answer)
}

/// Whether a signed pass was taken back, under whatever id of its key: the issuer names the one that it knows,
/// the pass may name another.
pub(super) fn revoked(cx: &mut Cx<'_>, pass: &Pass) -> Result<bool, RecordsFault> {
    for kid in pass.kids(&cx.setup.trust) {
        let answer = cx.records.revoked(&kid, &pass.id);
        if ask(cx, answer)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether this visit has come by a list of those who are held.
pub(super) fn looks_for_holds(cx: &Cx<'_>) -> bool {
    lists_so_far(cx).any(|look| look.list.name == HOLD)
}

/// Looks again for what may have changed since: holds, and passes that were taken back.
pub(super) fn look_again(cx: &mut Cx<'_>) -> Result<(), RecordsFault> {
    for look in lists_so_far(cx) {
        let clock = cx.now.wall_s().is_some();
        if look.list.name == HOLD && !cx.visit.admitted || look.list.by == LookUp::Pass && clock {
            look.up(cx)?;
        }
    }
    Ok(())
}

fn held(cx: &mut Cx<'_>, subject: &str) -> Result<bool, RecordsFault> {
    let listed = cx.records.listed(HOLD, subject);
    if !ask(cx, listed)? {
        return Ok(false);
    }
    let until = match cx.records.entry(HOLD, subject) {
        Ok(hold) => hold.and_then(|hold| hold.get("until_ms").and_then(entry::whole)),
        // Facts that cannot be read name no end.
        Err(RecordsFault::List { .. }) => None,
        Err(fault @ RecordsFault::Store(_)) => return Err(fault),
    };
    Ok(match (until, cx.now.wall_ms) {
        (Some(until), Some(now)) => now <= until,
        (None, _) | (_, None) => true,
    })
}
