//! Staff fill in a form: one answer for all of its fields, taken whole or not at all.
//!
//! What is private stays in the memory of the visit: rules, events and the disk know that it was given, and no more.
//! A form whose private answers were lost with the power is asked again as long as something needs them.

mod field;

use super::input::{self, Input, Why};
use super::kind::{About, Answers, Kind, Look};
use super::{Cx, Flow, StepInput, StepKind, scan, somebody};
use crate::lane::Setup;
use crate::lane::action::{Action, Rejection};
use crate::lane::event::key_of;
use crate::lane::view::ask::{Ask, DependsOn, FieldAsk};
use crate::lane::visit::Visit;
use crate::pass::{FORM, Format, Pass, id};
use crate::profile::facts::{ANSWERS, PASS};
use crate::profile::source::StepContext;
use crate::profile::{Profile, ProfileError};
use crate::reading::Report;
use crate::records::RecordsFault;
use crate::rules::Expression;
use crate::text::{Text, masked};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub use field::Field;
use field::{FieldForm, OF_CODE, is_name};

/// The most fields of a form.
const MOST_FIELDS: usize = 20;
/// The field that names whoever stands there.
const NAME: &str = "name";
/// The field and the question that a plate which began the visit answers.
pub(super) const PLATE: &str = "plate";

/// Staff fill in a form.
#[derive(Debug)]
pub struct Form {
    /// Its fields, in order.
    pub fields: Vec<Field>,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormForm {
    #[serde(default)]
    fields: Vec<FieldForm>,
}

/// What a form keeps while it waits. All of it is made again when the form is shown again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filling {
    /// What is filled in already.
    #[serde(skip)]
    pub filled: BTreeMap<String, Value>,
    /// What can be chosen.
    #[serde(skip)]
    pub options: BTreeMap<String, Vec<String>>,
    /// Fields that are not asked, whatever is answered.
    #[serde(skip)]
    pub left_out: BTreeSet<String>,
}

impl Kind for Form {
    const ABOUT: About = About {
        by_staff: true,
        timeout_s: Some(180),
        ..About::new("form", ("登记", "Form"), ("请向工作人员登记", "Please register with staff"))
    };
    type Form = FormForm;
    type Waits = Filling;

    fn read(FormForm { fields }: FormForm, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        if !(1..=MOST_FIELDS).contains(&fields.len()) {
            return Err(place.error(format!("`fields` is {}; allowed: 1 to {MOST_FIELDS}", fields.len())));
        }
        // A field may depend on the answer to an earlier one.
        let mut known = place.known.clone();
        let mut read: Vec<Field> = Vec::new();
        for form in fields {
            if known.answers.keys().any(|path| path.split('.').next() == Some(form.id.as_str())) {
                return Err(place.error(format!("`{}` is asked twice in a visit", form.id)));
            }
            if !is_name(&form.id) {
                let what = format!("`{}` is no name of a field: a-z, 0-9 and _, as in `id_number`", form.id);
                return Err(place.error(what));
            }
            let here = StepContext { known: &known, ..*place };
            let field = form.read(&here)?;
            known.answers.extend(field.facts());
            read.push(field);
        }
        if read.iter().filter(|f| f.subject).count() > 1 {
            return Err(place.error("one field of a form is its `subject`"));
        }
        Ok(Self { fields: read })
    }

    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        let filling = self.filling(cx);
        // Nothing is left to ask.
        if self.fields.iter().all(|field| filling.left_out.contains(&field.id)) {
            let place = cx.visit.step;
            cx.visit.skipped.push(place);
            return Ok(back(cx));
        }
        cx.visit.waits.form = Some(filling);
        cx.allow(cx.step.timeout_ms);
        Ok(Flow::Wait)
    }

    /// Takes the answers. A code that is read is the answer to the first field that waits for one.
    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        Ok(match what {
            StepInput::Deadline => cx.time_out(),
            StepInput::Report(Report::Scan { bytes }) => self.scanned(cx, bytes)?,
            StepInput::Report(_) => Flow::Wait,
            StepInput::Action(_, Action::Form(given)) => self.take(cx, given)?,
            // A form with one field is a question.
            StepInput::Action(_, Action::Answer { question, value }) if matches!(self.fields.as_slice(), [only] if only.id == *question) => {
                self.take(cx, &BTreeMap::from([(question.clone(), json!(value))]))?
            }
            StepInput::Action(..) => Flow::Reject(Rejection::not_now()),
        })
    }

    fn ask(&self, look: Look<'_>) -> Ask {
        let empty = Filling::default();
        let filling = look.visit.waits.form.as_ref().unwrap_or(&empty);
        let asked = self.fields.iter().filter(|field| !filling.left_out.contains(&field.id));
        Ask::Form {
            id: look.step.id.clone(),
            prompt: look.step.prompt.clone(),
            fields: asked.map(|field| self.field_ask(field, filling, look.visit)).collect(),
        }
    }

    fn answers(&self, _id: &str) -> Answers {
        self.fields.iter().flat_map(Field::facts).collect()
    }

    fn takes_codes(&self) -> bool {
        self.fields.iter().any(|field| field.input == Input::Scan)
    }
}

impl Form {
    /// What is filled in, what can be chosen, and what is not asked at this moment.
    fn filling(&self, cx: &mut Cx<'_>) -> Filling {
        let mut filling = Filling::default();
        for field in &self.fields {
            let own = |e: &Expression| self.fields.iter().any(|f| reads_answer(e, &f.id));
            let apart: Vec<&Expression> = field.when.iter().filter(|e| !own(e)).collect();
            if !apart.into_iter().all(|when| holds(cx, when)) {
                filling.left_out.insert(field.id.clone());
                continue;
            }
            if let Some(from) = &field.options_from {
                let values = text_values(&value_of(cx, from));
                filling.options.insert(field.id.clone(), values);
            }
            let before = cx.visit.facts.get(ANSWERS).and_then(|all| all.get(&field.id)).cloned();
            let plate = cx.visit.plate.clone().filter(|_| field.id == PLATE).map(Value::from);
            let from = field.from.as_ref().map(|from| filled_from(cx, from));
            let kept = cx.visit.private.get(&field.id).cloned();
            let before = before.filter(|v| !field.private && *v != field.unmade());
            if let Some(value) = kept.or(before).or(plate).or(from).filter(|v| !input::is_empty(v)) {
                filling.filled.insert(field.id.clone(), value);
            }
        }
        filling
    }

    /// Takes all answers, or says of each field what is wrong.
    fn take(&self, cx: &mut Cx<'_>, given: &BTreeMap<String, Value>) -> Result<Flow, RecordsFault> {
        let filling = cx.visit.waits.form.clone().unwrap_or_default();
        let mut errors: Vec<(&str, Text, Why)> = Vec::new();
        for id in given.keys().filter(|id| !self.fields.iter().any(|f| f.id == **id)) {
            errors.push((id, Text::new(id, id), Text::new("没有此项", "There is no such field")));
        }
        let before = cx.visit.facts.get(ANSWERS).cloned();
        let (mut answers, mut private) = (Vec::new(), Vec::new());
        for field in &self.fields {
            let value = given.get(&field.id).or_else(|| filling.filled.get(&field.id));
            let value = value.filter(|v| !input::is_empty(v));
            // Facts of earlier fields are those that were just answered.
            let asked = field.when.iter().all(|when| holds(cx, when));
            let input = match filling.options.get(&field.id) {
                Some(values) => &field.input.with_options(values),
                None => &field.input,
            };
            let taken = value.filter(|_| asked).map(|value| input.take(value));
            let fact = match taken {
                Some(Ok(fact)) if is_refused(cx, field, &fact)? => {
                    errors.push((&field.id, field.text.clone(), somebody::why()));
                    None
                }
                Some(Ok(fact)) => Some(fact),
                Some(Err(wrong)) => {
                    errors.push((&field.id, field.text.clone(), wrong));
                    None
                }
                None if asked && field.required => {
                    let missing = Text::new("请填写", "This must be answered");
                    errors.push((&field.id, field.text.clone(), missing));
                    None
                }
                None => None,
            };
            let shown = match &fact {
                Some(_) if field.private => json!({ "given": true }),
                Some(fact) => fact.clone(),
                None => field.unmade(),
            };
            insert_answer(cx.visit, &field.id, shown);
            match fact {
                Some(fact) if field.private => private.push((field, fact)),
                Some(fact) => answers.push((field.id.clone(), recorded(cx.setup, &field.id, &fact))),
                None => {}
            }
        }
        if !errors.is_empty() {
            if let Some(before) = before {
                cx.visit.facts.insert(ANSWERS.into(), before);
            }
            return Ok(Flow::Reject(rejection(&errors)));
        }
        for field in &self.fields {
            cx.visit.answers.remove(&field.id);
            cx.visit.private.remove(&field.id);
        }
        cx.visit.answers.extend(answers);
        for (field, fact) in private {
            cx.visit.answers.insert(field.id.clone(), GIVEN.into());
            if field.subject {
                identify(cx, &Input::words(&fact));
            }
            cx.visit.private.insert(field.id.clone(), fact);
        }
        let name = cx.visit.private.get(NAME).and_then(Value::as_str).map(masked);
        if let Some(name) = name.filter(|_| self.fields.iter().any(|f| f.id == NAME)) {
            cx.visit.name = Some(name);
        }
        Ok(finish(cx))
    }

    /// A code was read while the form is open. Somebody's card answers only what asks for one.
    fn scanned(&self, cx: &mut Cx<'_>, bytes: &[u8]) -> Result<Flow, RecordsFault> {
        // Whoever still holds the code of the visit before the reader answers nothing with it.
        if scan::is_own_code(cx, bytes) {
            return Ok(Flow::Wait);
        }
        let Some(text) = std::str::from_utf8(bytes).ok() else { return Ok(Flow::Wait) };
        let card = somebody::is_somebodys(cx, text)?;
        let filling = cx.visit.waits.form.clone().unwrap_or_default();
        let open = |f: &&Field| f.input == Input::Scan && !filling.left_out.contains(&f.id);
        let profile = &cx.setup.profile;
        let fields = self.fields.iter().filter(open).filter(|f| !card || profile.names_somebody(&f.id));
        let mut fields = fields.collect::<Vec<_>>().into_iter();
        let first =
            fields.clone().find(|f| !filling.filled.contains_key(&f.id)).or_else(|| fields.next_back());
        let Some(field) = first else {
            return Ok(if card { somebody::not_taken(cx) } else { Flow::Wait });
        };
        let Ok(code) = field.input.take(&json!(text)) else { return Ok(Flow::Wait) };
        if let [only] = self.fields.as_slice() {
            return self.take(cx, &BTreeMap::from([(only.id.clone(), code)]));
        }
        if let Some(waits) = &mut cx.visit.waits.form {
            waits.filled.insert(field.id.clone(), code);
        }
        Ok(Flow::Wait)
    }

    fn field_ask(&self, field: &Field, filling: &Filling, visit: &Visit) -> FieldAsk {
        let input = match filling.options.get(&field.id) {
            Some(values) => &field.input.with_options(values),
            None => &field.input,
        };
        let depends = |e: &Expression| {
            let on = self.fields.iter().find(|f| reads_answer(e, &f.id))?;
            let named = e.named();
            let simple = |is: &str| {
                let [value] = named.texts.as_slice() else { return None };
                let says = format!("answers.{} {is} \"{value}\"", on.id);
                (e.source().trim() == says).then(|| value.clone())
            };
            Some(DependsOn { field: on.id.clone(), value: simple("=="), unless: simple("!=") })
        };
        FieldAsk {
            id: field.id.clone(),
            text: field.text.clone(),
            required: field.required,
            depends_on: field.when.iter().find_map(depends),
            private: field.private,
            subject: field.subject,
            value: filling.filled.get(&field.id).cloned(),
            answer: input.answer(visit),
        }
    }
}

/// Whether an answer is somebody's card, in a field that waits for the code of a thing.
fn is_refused(cx: &mut Cx<'_>, field: &Field, fact: &Value) -> Result<bool, RecordsFault> {
    let waits = field.input == Input::Scan && !cx.setup.profile.names_somebody(&field.id);
    let Some(code) = fact.as_str().filter(|_| waits) else { return Ok(false) };
    somebody::is_somebodys(cx, code)
}

/// What stands for a private answer where it is not.
pub const GIVEN: &str = "given";

/// An answer as records have it: of one that names somebody the subject key of each.
pub(super) fn recorded(setup: &Setup, field: &str, fact: &Value) -> String {
    let keyed = setup.profile.names_somebody(field);
    match fact {
        Value::String(text) if keyed && !text.is_empty() => key_of(text, setup),
        Value::Array(all) if keyed => {
            let keys = all.iter().filter_map(Value::as_str).map(|text| key_of(text, setup));
            keys.collect::<Vec<_>>().join(", ")
        }
        Value::String(_)
        | Value::Array(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Object(_) => Input::words(fact),
    }
}

/// Puts an answer among the facts.
pub(super) fn insert_answer(visit: &mut Visit, id: &str, fact: Value) {
    let all = visit.facts.entry(ANSWERS).or_insert_with(|| Value::Object(Map::new()));
    if let Some(all) = all.as_object_mut() {
        all.insert(id.to_owned(), fact);
    }
}

fn reads_answer(e: &Expression, id: &str) -> bool {
    e.named()
        .facts
        .iter()
        .any(|path| matches!(path.as_slice(), [group, of, ..] if group == ANSWERS && of == id))
}

/// A condition that cannot be evaluated holds: what is asked needlessly stops nobody.
fn holds(cx: &mut Cx<'_>, when: &Expression) -> bool {
    cx.ask(when).unwrap_or_else(|_| {
        cx.out.count("rule_failed_total");
        cx.out.notes.push(format!("condition `{}` could not be evaluated", when.source()));
        true
    })
}

/// The value with which a field is filled. A code that is refused says nothing.
fn filled_from(cx: &mut Cx<'_>, from: &Expression) -> Value {
    let value = value_of(cx, from);
    if !input::is_empty(&value) {
        return value;
    }
    let name = from.source().trim().strip_prefix(OF_CODE);
    let pass = cx.visit.pass.as_ref().filter(|_| cx.visit.refused.is_none());
    name.and_then(|name| pass?.facts.get(name).cloned()).unwrap_or(Value::Null)
}

/// What cannot be evaluated fills nothing in.
fn value_of(cx: &mut Cx<'_>, of: &Expression) -> Value {
    cx.value(of).unwrap_or_else(|_| {
        cx.out.count("rule_failed_total");
        cx.out.notes.push(format!("`{}` could not be evaluated", of.source()));
        Value::Null
    })
}

/// The texts of a list.
pub(super) fn text_values(list: &Value) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// The answers of a form that are wrong, by field.
fn rejection(errors: &[(&str, Text, Why)]) -> Rejection {
    let all = |of: fn(&Text) -> &str| {
        let one = |(_, field, why): &(&str, Text, Why)| format!("{}: {}", of(field), of(why));
        errors.iter().map(one).collect::<Vec<_>>().join("; ")
    };
    let mut rejection = Rejection::new("bad_answer", &all(|t| t.zh.as_str()), &all(|t| t.en.as_str()));
    rejection.fields = errors.iter().map(|(id, _, why)| ((*id).to_owned(), why.clone())).collect();
    rejection
}

/// The text stands for the code of the visit: the next `verify` looks it up.
fn identify(cx: &mut Cx<'_>, text: &str) {
    let number = id::normal(text);
    let name = cx.visit.name.take();
    let pass = Pass {
        format: Format::Opaque,
        kind: FORM.into(),
        kid: String::new(),
        signer: String::new(),
        id: number.clone(),
        subject: number,
        name: None,
        exp: None,
        facts: Map::new(),
    };
    cx.visit.take(pass, &cx.setup.subjects);
    cx.visit.name = name;
    let known = super::verify::of_code(cx.visit);
    if let Some(pass) = cx.visit.facts.get_mut(PASS).and_then(Value::as_object_mut) {
        pass.extend(known);
    }
}

/// The form whose private answers were lost with the power, if something ahead of the visit needs them.
pub(super) fn lost(visit: &Visit, profile: &Profile) -> Option<usize> {
    let ahead = profile.steps.get(visit.step..).unwrap_or_default();
    if ahead.iter().all(|step| step.kind.about().after_verdict) {
        return None;
    }
    let mut earlier = profile.steps.iter().enumerate().take(visit.step);
    earlier.find(|(_, step)| is_lost(visit, &step.kind)).map(|(at, _)| at)
}

/// Whether a form was answered and its private answers are not there any more.
pub(super) fn is_lost(visit: &Visit, kind: &StepKind) -> bool {
    let StepKind::Form(form) = kind else { return false };
    let answers = visit.facts.get(ANSWERS);
    let given =
        |field: &Field| answers.and_then(|all| all.get(&field.id)?.get("given")?.as_bool()) == Some(true);
    form.fields.iter().any(|field| field.private && given(field) && !visit.private.contains_key(&field.id))
}

/// Asks a form again: the visit comes back to the step at which it was, or to the `verify` behind the form that looks
/// up what it answers.
pub(super) fn ask_again(visit: &mut Visit, profile: &Profile, at: usize) -> Flow {
    let StepKind::Form(form) = &profile.steps[at].kind else { return Flow::Next };
    let here = visit.step;
    let subject = form.fields.iter().any(|f| f.subject);
    let verify = profile.steps.iter().skip(at).position(|s| matches!(s.kind, StepKind::Verify(_)));
    let verify = verify.map(|n| at + n).filter(|_| subject);
    let to = verify.map_or(here, |verify| verify.min(here));
    visit.back_to = Some(visit.back_to.map_or(to, |before| before.min(to)));
    visit.finished.retain(|step| *step != at);
    for field in form.fields.iter().filter(|f| f.private) {
        insert_answer(visit, &field.id, field.unmade());
    }
    Flow::Jump(at)
}

/// What was answered stays answered when the visit is measured again, also where a code was the answer.
pub(super) fn finish(cx: &mut Cx<'_>) -> Flow {
    super::finished(cx);
    back(cx)
}

/// On from a form: to the next step, or back to where the visit was when the power went.
fn back(cx: &mut Cx<'_>) -> Flow {
    cx.visit.back_to.take().filter(|to| *to > cx.visit.step).map_or(Flow::Next, Flow::Jump)
}
