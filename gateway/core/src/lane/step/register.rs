//! Looks into a register, and keeps what is to be done to it with the admission: see [`crate::register`].

use super::kind::{About, Kind};
use super::{Cx, Flow, form};
use crate::codes::Code;
use crate::lane::Lane;
use crate::profile::ProfileError;
use crate::profile::facts::{self, Type};
use crate::profile::source::StepContext;
use crate::records::RecordsFault;
use crate::register::{self, Act, Asks, DATA_MOST, Intent, Place, SEAL, hashed};
use crate::rules::{Expression, RegisterAsked};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const HOUR_MS: f64 = 3_600_000.0;
const DAY_MS: i64 = 86_400_000;

/// What can be known of a slot: it is kept in words, and read as a text.
const DATA: [Type; 5] = [Type::Text, Type::Texts, Type::Number, Type::Decimal, Type::Bool];

/// Looks into a register, and does something to it.
#[derive(Debug)]
pub struct Register {
    /// Which.
    pub register: String,
    /// What is done.
    pub act: Act,
    /// Whether it is done at once; else with the admission.
    pub now: bool,
    until: Until,
    amount: Option<Expression>,
    data: BTreeMap<String, Expression>,
}

/// Until when a slot is held.
#[derive(Debug)]
enum Until {
    Open,
    Hours(Expression),
    At(Expression),
    EndOfDay,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    register: String,
    act: String,
    #[serde(default = "at")]
    at: String,
    until_h: Option<String>,
    until_ms: Option<String>,
    until: Option<String>,
    amount: Option<String>,
    #[serde(default)]
    data: BTreeMap<String, String>,
}

fn at() -> String {
    "admit".into()
}

impl Kind for Register {
    const ABOUT: About =
        About::new("register", ("登记", "Register"), ("正在核对登记", "Checking the register"));
    type Form = Form;
    type Waits = ();

    fn read(form: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        let act = Act::parse(&form.act).ok_or_else(|| {
            place.error(format!("`{}` is no act; allowed: put, take, look, swap", form.act))
        })?;
        let now = match form.at.as_str() {
            "admit" => false,
            "now" => true,
            other => return Err(place.error(format!("`at` is `{other}`; allowed: admit, now"))),
        };
        let built_in = form.register == SEAL && act == Act::Take;
        if !built_in && !place.known.registers.contains(&form.register) {
            let known: Vec<&str> = place.known.registers.iter().map(String::as_str).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            let what = format!("no [[register]] declares `{}`; declared: {known}", form.register);
            return Err(place.error(what));
        }
        let puts = matches!(act, Act::Put | Act::Swap);
        let until = match (&form.until_h, &form.until_ms, form.until.as_deref()) {
            (None, None, None) => Until::Open,
            (Some(hours), None, None) => Until::Hours(place.value(hours, &[Type::Number, Type::Decimal])?),
            (None, Some(at), None) => Until::At(place.number(at)?),
            (None, None, Some("end-of-day")) => Until::EndOfDay,
            (None, None, Some(other)) => {
                return Err(place.error(format!("`until` is `{other}`; allowed: end-of-day")));
            }
            (_, _, _) => {
                return Err(place.error("a slot has one end: `until_h`, `until_ms` or `until`"));
            }
        };
        if !puts && (!matches!(until, Until::Open) || !form.data.is_empty()) {
            return Err(place.error("only `put` and `swap` say until when, and take `data`"));
        }
        let amount = form.amount.map(|text| place.number(&text)).transpose()?;
        let data = form.data.into_iter();
        let data = data.map(|(name, text)| Ok((name, place.value(&text, &DATA)?)));
        let data = data.collect::<Result<_, ProfileError>>()?;
        Ok(Self { register: form.register, act, now, until, amount, data })
    }

    /// Whoever puts finds out whether there is room; what is done is kept until the visit is admitted.
    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        let step = cx.visit.step;
        // Once more after a recheck or an override.
        cx.visit.acts.retain(|act| act.step != step || act.written);
        if self.act == Act::Look || cx.visit.acts.iter().any(|act| act.step == step) {
            return Ok(Flow::Next);
        }
        match self.intent(cx) {
            Ok(intent) => cx.visit.acts.push(intent),
            Err(_) => {
                cx.out.count("rule_failed_total");
                cx.out.notes.push(format!("register `{}` could not be asked", self.register));
                cx.find(Code::X_RULE);
                return Ok(Flow::Next);
            }
        }
        // What finds no room is reserved for nobody: staff may put it beyond the limit with the admission.
        let full = look_again(cx, Some(step))?;
        if self.now && !full {
            register::write(cx, Some(step))?;
        }
        Ok(Flow::Next)
    }
}

impl Register {
    fn intent(&self, cx: &mut Cx<'_>) -> Result<Intent, String> {
        let setup = cx.setup;
        let place = match setup.profile.register(&self.register) {
            Some(register) => register::place(setup, &cx.visit.facts, register)?,
            None => Place {
                keys: seal_numbers(cx).iter().map(|n| hashed(&setup.subjects, SEAL, None, n)).collect(),
                ..Place::default()
            },
        };
        let until_ms = match &self.until {
            Until::Open => None,
            Until::EndOfDay => cx.now.wall_ms.map(|now| {
                let local = now + setup.utc_offset_ms;
                now + DAY_MS - local.rem_euclid(DAY_MS)
            }),
            Until::Hours(hours) => {
                let hours = cx.value(hours)?.as_f64().unwrap_or_default();
                cx.now.wall_ms.map(|now| now.saturating_add(whole(hours * HOUR_MS)))
            }
            Until::At(at) => Some(cx.number(at)?).filter(|at| *at > 0),
        };
        let amount = match &self.amount {
            Some(amount) => cx.number(amount)?,
            None => 0,
        };
        let mut data = Map::new();
        for (name, of) in &self.data {
            let (path, value) = (of.path(), cx.value(of)?);
            let answer = if let Some([facts::ANSWERS, id]) = path.as_deref() { id } else { "" };
            data.insert(name.clone(), json!(form::recorded(setup, answer, &value)));
        }
        if Value::Object(data.clone()).to_string().len() > DATA_MOST {
            return Err("the data of a slot is too long".into());
        }
        Ok(Intent {
            step: cx.visit.step,
            register: self.register.clone(),
            act: self.act,
            keys: place.keys,
            holder: place.holder,
            limit: place.limit,
            until_ms,
            amount,
            data,
            written: false,
            put: Vec::new(),
        })
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a conversion that saturates")]
fn whole(ms: f64) -> i64 {
    ms as i64
}

/// Fills in what an expression asks of a register, as it is now. What the visit itself has done is not counted: from then
/// on it is told what was so before.
pub(super) fn ask(cx: &mut Cx<'_>, name: &str, asked: &RegisterAsked) {
    let setup = cx.setup;
    let Some(register) = setup.profile.register(name) else { return };
    let done = cx.visit.acts.iter().any(|act| act.register == name && act.written);
    let facts = if done { None } else { Some(now(cx, register, asked)) };
    let data = asked.data.iter().map(String::as_str);
    register::fill(&mut cx.visit.facts, name, facts, data);
}

fn now(cx: &mut Cx<'_>, register: &register::Register, asked: &RegisterAsked) -> Map<String, Value> {
    let asks = Asks {
        latest: asked.fields.contains("last_other"),
        was_held: asked.fields.contains("was_held"),
        ..Asks::default()
    };
    // An expression that gives no value gives no key, and no holder.
    let place = register::place(cx.setup, &cx.visit.facts, register).unwrap_or_default();
    match register::facts(cx.records, register, &place, asks, cx.now.wall_ms) {
        Ok(facts) => facts,
        Err(fault) => {
            cx.out.fault = Some(fault);
            register::unmade()
        }
    }
}

/// The seals that a visit takes off: every expected one and every one that was read.
fn seal_numbers(cx: &Cx<'_>) -> Vec<String> {
    let check = cx.visit.seal_check.iter();
    let read = check.clone().flat_map(|check| check.read.iter().map(|seal| &seal.number));
    let mut all: Vec<String> = check.flat_map(|check| &check.expected).chain(read).cloned().collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Finds which keys are full of others, of what this visit is going to put at one step or, before the verdict, when that
/// may have changed, at all. Says whether any is.
pub(super) fn look_again(cx: &mut Cx<'_>, step: Option<usize>) -> Result<bool, RecordsFault> {
    let mut full = false;
    let setup = cx.setup;
    let now_ms = cx.now.wall_ms;
    let open: Vec<Intent> = cx
        .visit
        .acts
        .iter()
        .filter(|act| !act.written && act.act == Act::Put && step.is_none_or(|step| act.step == step))
        .cloned()
        .collect();
    for intent in open {
        let Some(register) = setup.profile.register(&intent.register) else { continue };
        let Some(over) = register.over.filter(|_| !intent.holder.is_empty()) else { continue };
        let place = Place { keys: intent.keys, holder: intent.holder, limit: intent.limit };
        let seen = register::look(cx.records, register, &place, Asks::default(), now_ms)?;
        if seen.iter().any(|key| register::is_full(key, place.limit, now_ms)) {
            cx.find(over);
            full = true;
        }
    }
    Ok(full)
}

impl Lane {
    /// What a visit that ends without a verdict has reserved is free again.
    pub(in crate::lane) fn withdraw(&self) -> Vec<crate::records::Write> {
        self.state.visit.iter().flat_map(|visit| register::withdraw(&self.setup_of(visit), visit)).collect()
    }
}
