//! Every rule of a profile with facts that make it true, and the verdict that follows from them.
//!
//! Facts are tried that lie around what the rule itself names: its texts, its numbers and their neighbours, the answers
//! that a question offers. What the rule does not name is as if nothing had made it.

use crate::codes::{Code, Finding, Outcome, weigh};
use crate::lane::step::decide::Rule;
use crate::lane::step::question::Input;
use crate::profile::facts::{self, ANSWERS, Type};
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
    base.insert("lane".into(), json!({ "id": "lane-1", "region": "211400" }));
    let day = local_day(SHOWN_MS, 0).unwrap_or_default();
    let visit =
        json!({ "id": 1, "now_ms": SHOWN_MS, "direction": profile.direction, "day": day, "origin": "scan" });
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
        for tried in combinations(&asked(profile, &rule.when), &best) {
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
    for facts in combinations(&asked(profile, &rule.when), quiet) {
        let best = match rule.when.ask(&facts) {
            Ok(true) => &mut holds,
            Ok(false) => &mut fails,
            Err(_) => continue,
        };
        let (others, _) = noise(rules, &facts);
        let tried = Tried { changed: changed(&facts, base), facts };
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
    let mut out = BTreeMap::new();
    for (group, fields) in facts {
        for (field, value) in fields.as_object().into_iter().flatten() {
            if base.get(group).and_then(|of| of.get(field)) != Some(value) {
                out.insert(format!("{group}.{field}"), value.clone());
            }
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
                facts.entry(fact.group.clone()).or_insert_with(|| json!({}))[&fact.field] = value.clone();
                facts
            })
        };
        all = all.into_iter().flat_map(with).take(TRIED_MOST).collect();
    }
    all
}

/// A fact that a rule names, and what it is tried with.
struct TrialFact {
    group: String,
    field: String,
    values: Vec<Json>,
}

fn asked(profile: &Profile, when: &Expression) -> Vec<TrialFact> {
    let named = when.named();
    let questions = profile.steps.iter().filter_map(|step| {
        let StepKind::Question(question) = &step.kind else { return None };
        Some((step.id.as_str(), (&question.input, step.kind.answer()?)))
    });
    let answers: BTreeMap<&str, (&Input, Type)> = questions.collect();
    let mut out = Vec::new();
    for path in &named.facts {
        let [group, field] = path.as_slice() else { continue };
        // Where the lane is does not change, nor which way it leads.
        if group == "lane" || group == facts::VISIT && matches!(field.as_str(), "id" | "direction") {
            continue;
        }
        let answer = answers.get(field.as_str()).copied().filter(|_| group == ANSWERS);
        let (of, empty) = match answer {
            Some((_, of)) => (of, of.empty()),
            None => match facts::find(group, field) {
                Some(fact) => (fact.of, fact.left_out()),
                None => continue,
            },
        };
        let input = answer.map(|(input, _)| input);
        let mut values = vec![empty];
        values.extend(match input {
            Some(Input::Choice(options)) => options.iter().map(|o| json!(o.value)).collect(),
            Some(Input::Number { min, max }) => (*min..=*max).take(20).map(|n| json!(n)).collect(),
            Some(Input::Plate | Input::Text) | None => tried_with(&named, of),
        });
        let mut seen = BTreeSet::new();
        values.retain(|value| seen.insert(value.to_string()));
        out.push(TrialFact { group: group.clone(), field: field.clone(), values });
    }
    out
}

/// What a fact of a type is tried with.
#[expect(clippy::cast_possible_truncation, reason = "numbers of a rule, and their neighbours")]
fn tried_with(named: &Named, of: Type) -> Vec<Json> {
    match of {
        Type::Bool => vec![json!(true), json!(false)],
        Type::Number => {
            let around = |n: &f64| [n - 1.0, *n, n + 1.0].map(|n| json!(n as i64));
            named.numbers.iter().flat_map(around).chain([json!(1), json!(2), json!(3)]).collect()
        }
        Type::Decimal => {
            let around = |n: &f64| [n - 0.1, *n, n + 0.1].map(|n| json!(n));
            named.numbers.iter().flat_map(around).chain([json!(0.0)]).collect()
        }
        Type::Text => {
            named.texts.iter().map(String::as_str).chain(["211400", "other"]).map(Json::from).collect()
        }
        Type::Texts => named.texts.iter().map(|text| json!([text])).chain([json!(["other"])]).collect(),
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
                let (facts, verdict) = (row.facts.expect(&row.when), row.verdict.expect(&row.when));
                let alone = (row.outcome, vec![row.code]);
                assert_eq!(verdict, alone, "{name}: {} with {facts:?}", row.when);
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
}
