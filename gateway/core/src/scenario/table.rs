//! Every rule of a profile with facts that make it true, and the verdict that follows from them.
//!
//! Facts are tried that lie around what the rule itself names: its texts, its numbers and their neighbours, the answers
//! that a question offers. What the rule does not name is as if nothing had made it.

use crate::codes::{Code, Finding, Outcome, weigh};
use crate::lane::PLACE;
use crate::lane::step::decide::Rule;
use crate::lane::step::input::Input;
use crate::profile::facts::{self, ANSWERS, Type};
use crate::profile::start::BOTH;
use crate::profile::{Profile, StepKind};
use crate::rules::Expression;
use crate::rules::named::Named;
use crate::time::local_day;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Combinations of facts that are tried for one rule.
const TRIED_MOST: usize = 5_000;
/// The moment at which rules are asked, 2022-05-24 in UTC milliseconds.
const SHOWN_MS: i64 = 1_653_350_400_000;

/// One rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The step that asks it.
    pub step: String,
    /// What it finds.
    pub code: Code,
    /// Its condition.
    pub when: String,
    /// The outcome that it asks for.
    pub outcome: Outcome,
    /// Facts that make it true, as few as were found; none if no such facts were found.
    pub facts: Option<BTreeMap<String, Json>>,
    /// Facts that make it false.
    pub otherwise: Option<BTreeMap<String, Json>>,
    /// The verdict of the whole step with the first ones.
    pub verdict: Option<(Outcome, Vec<Code>)>,
}

/// The rules of a profile in their order.
pub fn table(profile: &Profile) -> Vec<Row> {
    let mut base = profile.unmade_facts().clone();
    base.insert("lane".into(), json!({ "id": "lane-1", "region": "211400", "place": PLACE }));
    let day = local_day(SHOWN_MS, 0).unwrap_or_default();
    let direction = if profile.direction == BOTH { "in" } else { &profile.direction };
    let visit = json!({ "id": 1, "now_ms": SHOWN_MS, "direction": direction, "day": day, "origin": "scan" });
    base.insert(facts::VISIT.into(), visit);
    let mut rows = Vec::new();
    for step in &profile.steps {
        let StepKind::Decide(decide) = &step.kind else { continue };
        let rules = &decide.rules;
        let quiet = quiet(profile, rules, &base);
        rows.extend(rules.iter().map(|rule| row(profile, &step.id, rules, rule, (&base, &quiet))));
    }
    rows
}

/// How many rules are true, and how late the first of them stands: the less, the quieter.
fn noise(rules: &[Rule], facts: &Map<String, Json>) -> (usize, Reverse<usize>) {
    let mut holding = rules.iter().enumerate().filter(|(_, rule)| rule.when.ask(facts) == Ok(true));
    let first = holding.next().map(|(at, _)| at);
    (usize::from(first.is_some()) + holding.count(), Reverse(first.unwrap_or(rules.len())))
}

/// Facts with which as few rules are true as can be: one rule after another is made false, also where a later one
/// becomes true by it, which is made false in its turn.
fn quiet(profile: &Profile, rules: &[Rule], base: &Map<String, Json>) -> Map<String, Json> {
    let mut best = base.clone();
    let mut left = noise(rules, &best);
    for rule in rules.iter().cycle().take(2 * rules.len()) {
        if left.0 == 0 {
            break;
        }
        for tried in combinations(&asked(profile, &rule.when, base), &best) {
            let noise = noise(rules, &tried);
            if noise < left {
                (best, left) = (tried, noise);
            }
        }
    }
    best
}

/// A rule beside facts with which no other one is true, as far as there are such.
fn row(
    profile: &Profile,
    step: &str,
    rules: &[Rule],
    rule: &Rule,
    (base, quiet): (&Map<String, Json>, &Map<String, Json>),
) -> Row {
    let (mut holds, mut fails) = (None::<(usize, Tried)>, None::<(usize, Tried)>);
    for facts in combinations(&asked(profile, &rule.when, base), quiet) {
        // As few rules as can be true: the rule itself, or none.
        let (best, least) = match rule.when.ask(&facts) {
            Ok(true) => (&mut holds, 1),
            Ok(false) => (&mut fails, 0),
            Err(_) => continue,
        };
        let tried = Tried { changed: changed(&facts, base), facts };
        let known = best.as_ref().filter(|(others, _)| *others == least);
        if known.is_some_and(|(_, of)| tried.changed.len() >= of.changed.len()) {
            continue;
        }
        let (others, _) = noise(rules, &tried.facts);
        let better =
            |(count, of): &(usize, Tried)| (others, tried.changed.len()) < (*count, of.changed.len());
        if best.as_ref().is_none_or(better) {
            *best = Some((others, tried));
        }
    }
    let (holds, fails) = (holds.map(|(_, tried)| tried), fails.map(|(_, tried)| tried));
    let verdict = holds.as_ref().map(|tried| {
        let mut found: Vec<Finding> = Vec::new();
        for rule in rules.iter().filter(|rule| rule.when.ask(&tried.facts) == Ok(true)) {
            if !found.iter().any(|f| f.code == rule.code) {
                found.push(Finding { code: rule.code, outcome: of(profile, rule) });
            }
        }
        weigh(&found)
    });
    Row {
        step: step.to_owned(),
        code: rule.code,
        when: rule.when.source().to_owned(),
        outcome: of(profile, rule),
        facts: holds.map(|tried| tried.changed),
        otherwise: fails.map(|tried| tried.changed),
        verdict,
    }
}

fn of(profile: &Profile, rule: &Rule) -> Outcome {
    rule.outcome.unwrap_or_else(|| profile.outcome(rule.code))
}

/// A combination of facts.
struct Tried {
    facts: Map<String, Json>,
    /// Those that are not as if nothing had made them.
    changed: BTreeMap<String, Json>,
}

/// Facts that are not as if nothing had made them.
fn changed(facts: &Map<String, Json>, base: &Map<String, Json>) -> BTreeMap<String, Json> {
    fn into(all: &mut BTreeMap<String, Json>, path: &str, facts: &Map<String, Json>, base: Option<&Json>) {
        for (name, value) in facts {
            let (path, base) = (format!("{path}.{name}"), base.and_then(|base| base.get(name)));
            if let Json::Object(part) = value {
                into(all, &path, part, base);
            } else if base != Some(value) {
                all.insert(path, value.clone());
            }
        }
    }
    let mut out = BTreeMap::new();
    for (group, fields) in facts {
        if let Some(fields) = fields.as_object() {
            into(&mut out, group, fields, base.get(group));
        }
    }
    out
}

/// All combinations of the facts that a rule names, the rest as it is.
fn combinations(asked: &[TrialFact], rest: &Map<String, Json>) -> Vec<Map<String, Json>> {
    let mut all = vec![rest.clone()];
    for fact in asked {
        let with = |facts: Map<String, Json>| {
            fact.values.iter().map(move |value| {
                let mut facts = facts.clone();
                put(&mut facts, &fact.path, value.clone());
                facts
            })
        };
        all = all.into_iter().flat_map(with).take(TRIED_MOST).collect();
    }
    all
}

fn put(facts: &mut Map<String, Json>, path: &[String], value: Json) {
    let Some((name, groups)) = path.split_last() else { return };
    let mut at = facts;
    for group in groups {
        let inner = at.entry(group.clone()).or_insert_with(|| json!({})).as_object_mut();
        let Some(inner) = inner else { return };
        at = inner;
    }
    at.insert(name.clone(), value);
}

/// A fact by its path.
fn get<'a>(facts: &'a Map<String, Json>, path: &[String]) -> Option<&'a Json> {
    let (group, names) = path.split_first()?;
    names.iter().try_fold(facts.get(group)?, |at, name| at.get(name))
}

/// A fact that a rule names, and what it is tried with.
struct TrialFact {
    path: Vec<String>,
    values: Vec<Json>,
}

fn asked(profile: &Profile, when: &Expression, base: &Map<String, Json>) -> Vec<TrialFact> {
    let named = when.named();
    let asked = profile.inputs().filter(|asked| !asked.private);
    let answers: BTreeMap<&str, &Input> = asked.map(|asked| (asked.id, asked.input)).collect();
    let mut out = Vec::new();
    for path in &named.facts {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        // Which lane it is does not change, nor which way it leads.
        let stays = matches!(parts[..], ["lane", "id" | "region"] | [facts::VISIT, "id"])
            || parts[..] == [facts::VISIT, "direction"] && profile.direction != BOTH;
        let Some(empty) = get(base, path).filter(|_| !stays) else { continue };
        let input = match parts[..] {
            [ANSWERS, id] => answers.get(id).copied(),
            _ => None,
        };
        let mut values = vec![empty.clone()];
        values.extend(match input {
            Some(Input::Choice(options)) => options.iter().map(|o| json!(o.value)).collect(),
            Some(Input::Number { min, max }) => (*min..=*max).take(20).map(|n| json!(n)).collect(),
            Some(
                Input::Choices(_)
                | Input::Decimal { .. }
                | Input::Date
                | Input::Phone
                | Input::Id
                | Input::Plate
                | Input::Container
                | Input::Scan
                | Input::Text,
            )
            | None => tried_with(&named, &parts, type_of(empty)),
        });
        let mut seen = BTreeSet::new();
        values.retain(|value| seen.insert(value.to_string()));
        out.push(TrialFact { path: path.clone(), values });
    }
    out
}

/// The type of a fact, by the value that it has while nothing has made it.
fn type_of(value: &Json) -> Type {
    match value {
        Json::Bool(_) => Type::Bool,
        Json::Number(n) if n.is_f64() => Type::Decimal,
        Json::Number(_) => Type::Number,
        Json::Array(_) => Type::Texts,
        Json::String(_) | Json::Null | Json::Object(_) => Type::Text,
    }
}

/// What a fact of a type is tried with.
#[expect(clippy::cast_possible_truncation, reason = "numbers of a rule, and their neighbours")]
fn tried_with(named: &Named, path: &[&str], of: Type) -> Vec<Json> {
    match of {
        Type::Bool => vec![json!(true), json!(false)],
        Type::Number => {
            let around = |n: &f64| [n - 1.0, *n, n + 1.0].map(|n| json!(n as i64));
            let all = named.numbers.iter().flat_map(around).chain([json!(1), json!(2), json!(3)]);
            // Nothing that a lane counts is below zero.
            all.filter(|n| n.as_i64().is_some_and(|n| n >= 0)).collect()
        }
        Type::Decimal => {
            let around = |n: &f64| [n - 0.1, *n, n + 0.1].map(|n| json!(n));
            named.numbers.iter().flat_map(around).chain([json!(0.0)]).collect()
        }
        Type::Text => {
            let (named, words) = (named.texts.iter().map(String::as_str), words_of(path));
            let of_others =
                |text: &&str| DIRECTIONS.contains(text) || crate::pass::kp1::kind_of(text).is_some();
            let named = named.filter(|text| words.closed.contains(text) || words.open && !of_others(text));
            named.chain(words.closed.iter().copied()).map(Json::from).collect()
        }
        Type::Texts => named.texts.iter().map(|text| json!([text])).chain([json!(["other"])]).collect(),
    }
}

/// Which way a visit goes.
const DIRECTIONS: [&str; 3] = ["in", "out", "through"];

/// What a text can be.
struct Words {
    /// Some that it is tried with, in any case.
    closed: &'static [&'static str],
    /// Whether what the rules name is tried as well.
    open: bool,
}

/// What the text of a fact can be: whoever reads the table looks for words that a lane has.
fn words_of(path: &[&str]) -> Words {
    let closed = |closed| Words { closed, open: false };
    let open = |closed| Words { closed, open: true };
    match *path {
        [facts::VISIT, "direction"] => closed(&DIRECTIONS),
        [facts::VISIT, "origin"] => closed(&["scan", "typed", "plate", "desk", "button", "input"]),
        ["health", "colour"] => closed(&["green", "yellow", "red", "unknown"]),
        ["health", "test_result"] => closed(&["negative", "positive", "pending"]),
        ["pass", "kind"] => closed(&[
            "opaque",
            "resident-card",
            "staff-badge",
            "companion-card",
            "vehicle-pass",
            "release-slip",
        ]),
        [.., "plate"] => closed(&["辽P12345", "辽P54321"]),
        [.., "container" | "container_in" | "container_out"] => closed(&["CSQU3054383"]),
        [.., "from" | "to"] => closed(&["211400", "210100"]),
        _ => open(&["other"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{read, shipped};

    #[test]
    fn every_rule_of_a_shipped_profile_has_facts_that_make_it_true_and_others_that_do_not() {
        for (name, text) in shipped::PROFILES {
            for row in table(&read(name, text).unwrap()) {
                let what = format!("{name}: {}", row.when);
                let (facts, (_, codes)) = (row.facts.expect(&what), row.verdict.expect(&what));
                // Of some rules another is true whenever they are.
                assert!(codes.contains(&row.code), "{what} with {facts:?}: {codes:?}");
                assert!(row.otherwise.is_some(), "{name}: {} is always true", row.when);
            }
        }
    }

    #[test]
    fn the_table_of_the_truck_lane_shows_what_stops_it() {
        let (name, text) = shipped::find("truck-supplies").unwrap();
        let rows = table(&read(name, text).unwrap());
        let codes: Vec<&str> = rows.iter().map(|row| row.code.as_str()).collect();
        assert_eq!(codes, ["V_CATEGORY", "V_PLATE", "V_ROUTE", "V_CREW", "S_MISSING", "S_PHOTO"]);
        let crew = rows[3].facts.clone().unwrap();
        assert!(crew["answers.crew"].as_i64() > crew["pass.crew"].as_i64(), "{crew:?}");
        assert!(rows.iter().all(|row| row.outcome == Outcome::Hold));
    }

    #[test]
    fn the_table_speaks_in_words_that_a_lane_has() {
        for (name, text) in shipped::PROFILES {
            for row in table(&read(name, text).unwrap()) {
                for (fact, value) in row.facts.iter().chain(&row.otherwise).flatten() {
                    let said = format!("{name} {}: {fact} = {value}", row.code.as_str());
                    assert!(value.as_i64().is_none_or(|n| n >= 0), "{said}");
                    let Some(value) = value.as_str() else { continue };
                    let good = match fact.as_str() {
                        "visit.direction" => DIRECTIONS.contains(&value),
                        fact if fact.ends_with(".plate") => crate::pass::plate::normal(value).is_some(),
                        _ => {
                            !DIRECTIONS.contains(&value) && value != "vehicle-pass"
                                || fact == "pass.kind"
                                || fact.starts_with("answers.")
                        }
                    };
                    assert!(good, "{said}");
                }
            }
        }
    }

    #[test]
    fn facts_of_lists_and_both_directions_are_tried() {
        let text = r#"
id = "own"
title = { zh = "甲", en = "own" }
direction = "both"
by = "reader"
fail_mode = "HOLD"
[[step]]
kind = "scan"
accepts = ["opaque"]
[[step]]
kind = "verify"
lists = ["roster", "schedule"]
keys = { schedule = "entry.roster.shift" }
[[step]]
kind = "decide"
rules = [
  { code = "Q_NOT_LISTED", when = '!entry.roster.known' },
  { code = "Q_FULL", when = 'entry.roster.role == "worker" && entry.roster.beds > 2' },
  { code = "Q_HOURS", when = 'visit.direction == "out" && !entry.schedule.open_now' },
]
"#;
        let rows = table(&read("own.toml", text).unwrap());
        for (row, fact, value) in [
            (&rows[0], "entry.roster.known", None),
            (&rows[1], "entry.roster.beds", Some(json!(3))),
            (&rows[2], "visit.direction", Some(json!("out"))),
        ] {
            let facts = row.facts.as_ref().expect(&row.when);
            assert_eq!(facts.get(fact), value.as_ref(), "{}: {facts:?}", row.when);
            assert!(row.otherwise.is_some(), "{} is always true", row.when);
            assert_eq!(row.verdict, Some((Outcome::Hold, vec![row.code])));
        }
    }
}
