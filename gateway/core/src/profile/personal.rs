//! Which answers of a profile name somebody, though rules may read them: a child that is collected, a patient who is
//! visited. In memory they are as they were given; in records they stand as subject keys, and for the central side
//! alone in clear.
//!
//! A field says so itself (`personal = true`), or it follows from what the profile does with the answer: it is chosen
//! from an entry of people, or filled in from the pass as its holder; a list of people is looked up by it; an event
//! names it by key; it holds slots of a register.

use super::facts::{ANSWERS, ENTRY, PASS};
use super::{Emit, Step, StepKind};
use crate::lane::step::form::Field;
use crate::lane::step::input::Input;
use crate::lane::step::verify::Verify;
use crate::lists::{self, Keys};
use crate::register::Register;
use crate::rules::Expression;
use std::collections::{BTreeMap, BTreeSet};

/// Facts of a pass that are somebody.
const OF_HOLDER: [&str; 3] = ["subject", "id", "patient"];

/// The answers that name somebody, each by its id.
pub(super) fn answers(steps: &[Step], registers: &[Register], emits: &[Emit]) -> BTreeSet<String> {
    let mut inputs: BTreeMap<&str, &Input> = BTreeMap::new();
    let mut named = BTreeSet::new();
    for step in steps {
        if let StepKind::Form(form) = &step.kind {
            inputs.extend(form.fields.iter().map(|field| (field.id.as_str(), &field.input)));
            named.extend(form.fields.iter().filter(|f| says_so(f)).map(|field| field.id.clone()));
        }
        if let StepKind::Question(question) = &step.kind {
            inputs.insert(&step.id, &question.input);
        }
    }
    let numbers = inputs.iter().filter(|(_, input)| matches!(input, Input::Id | Input::Phone));
    named.extend(numbers.map(|(id, _)| (*id).to_owned()));
    let verifies = steps.iter().filter_map(|step| {
        let StepKind::Verify(verify) = &step.kind else { return None };
        Some(verify)
    });
    let looked_up = verifies.flat_map(Verify::people_by);
    let by_key = emits.iter().flat_map(|emit| &emit.data).filter(|(_, data)| data.key);
    let by_key = by_key.map(|(_, data)| &data.value);
    let holders = registers.iter().map(|register| &register.holder);
    let used = looked_up.chain(by_key).chain(holders);
    named.extend(used.flat_map(answers_in).filter(|id| inputs.get(id.as_str()).is_some_and(|i| may_name(i))));
    named
}

/// Whether a field says so, or what it is filled in from.
fn says_so(field: &Field) -> bool {
    let chosen = field.options_from.as_ref().is_some_and(|from| reads(from, of_people));
    let filled = field.from.as_ref().is_some_and(|from| reads(from, of_holder));
    field.private || field.personal || (chosen || filled) && may_name(&field.input)
}

/// A plate names a vehicle, and a number nobody.
fn may_name(input: &Input) -> bool {
    match input {
        Input::Choice(_) | Input::Choices(_) | Input::Phone | Input::Id | Input::Scan | Input::Text => true,
        Input::Number { .. } | Input::Decimal { .. } | Input::Date | Input::Plate | Input::Container => false,
    }
}

fn reads(of: &Expression, which: fn(&[String]) -> bool) -> bool {
    of.named().facts.iter().any(|path| which(path))
}

fn of_people(path: &[String]) -> bool {
    let [group, list, ..] = path else { return false };
    group == ENTRY && lists::find(list).is_some_and(|list| list.keys == Keys::People)
}

fn of_holder(path: &[String]) -> bool {
    let [group, name] = path else { return false };
    group == PASS && OF_HOLDER.contains(&name.as_str())
}

/// The answers that an expression reads.
fn answers_in(of: &Expression) -> Vec<String> {
    let facts = of.named().facts;
    let answers = facts.into_iter().filter(|path| path.first().is_some_and(|group| group == ANSWERS));
    answers.filter_map(|path| path.into_iter().nth(1)).collect()
}
