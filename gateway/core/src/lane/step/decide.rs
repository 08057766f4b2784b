//! Weighs everything and gives the verdict.

use super::super::event;
use super::super::visit::Visit;
use super::kind::{About, Kind};
use super::{Cx, Flow};
use crate::codes::{Code, Outcome, Rank};
use crate::event::Class;
use crate::pass::Pass;
use crate::profile::source::StepContext;
use crate::profile::start::BOTH;
use crate::profile::{Emit, EmitData, ProfileError};
use crate::records::{RecordsFault, Redemption, Write};
use crate::rules::Expression;
use serde::Deserialize;
use serde_json::{Value, json};
use toml::Spanned;

/// What stands before the key of a pass without a signer: no signer has such a name.
const LISTED: &str = "~list:";

/// Weighs everything that was found.
#[derive(Debug)]
pub struct Decide {
    /// The rules in the order of the file.
    pub rules: Vec<Rule>,
    /// Whether an ADMIT here is the verdict; if not, the visit goes on.
    pub last: bool,
}

/// One rule: when it is true, its code is found.
#[derive(Debug)]
pub struct Rule {
    /// The code.
    pub code: Code,
    /// The condition.
    pub when: Expression,
    /// The verdict, where it differs.
    pub outcome: Option<Outcome>,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    #[serde(default)]
    rules: Vec<Spanned<RuleForm>>,
    #[serde(default = "last")]
    last: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleForm {
    code: String,
    when: String,
    outcome: Option<String>,
}

const fn last() -> bool {
    true
}

impl Kind for Decide {
    const ABOUT: About = About::new("decide", ("判定", "Decide"), ("正在判定", "Deciding"));
    type Form = Form;
    type Waits = ();

    fn read(form: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        let source = place.source;
        let rule = |spanned: Spanned<RuleForm>| {
            let at = spanned.span().start;
            let RuleForm { code, when, outcome } = spanned.into_inner();
            Ok(Rule {
                code: source.code(at, &code)?,
                when: source.expression(at, &when, place.known)?,
                outcome: outcome.map(|o| source.outcome(at, &o)).transpose()?,
            })
        };
        let rules = form.rules.into_iter().map(rule).collect::<Result<_, _>>()?;
        Ok(Self { rules, last: form.last })
    }

    /// Evaluates the rules; then the verdict, or on to the next step.
    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        // A pass that is refused needs no rule: its facts may be missing. After an override the rules are
        // evaluated all the same; those about the pass only if there is one.
        let refused = super::scan::refused(cx);
        let settled = refused.is_some_and(|code| !cx.visit.overridden_codes.contains(&code));
        if !settled {
            let unknown = cx.visit.pass.is_none() && refused.is_some();
            let ask =
                |rule: &&Rule| !(unknown && matches!(rule.code.rank(), Rank::Credential | Rank::Vehicle));
            evaluate(cx, self.rules.iter().filter(ask));
        }
        check_again(cx)?;
        let (outcome, _) = cx.weigh();
        if outcome == Outcome::Admit && !self.last {
            return Ok(Flow::Next);
        }
        record_verdict(cx);
        if outcome == Outcome::Admit {
            admit(cx);
            return Ok(Flow::Next);
        }
        // Of the steps behind a verdict that stops a visit, those that print are still done.
        super::print::print_slips(cx, cx.visit.step);
        // Behind an override the rules that were not asked are.
        let next = if settled { cx.visit.step } else { cx.visit.step + 1 };
        Ok(Flow::Park(cx.visit.left_out_from.unwrap_or(next)))
    }
}

/// What may have changed since it was verified: a visit can take long, and a restart lies between.
fn check_again(cx: &mut Cx<'_>) -> Result<(), RecordsFault> {
    let single_use = single_use(cx);
    if single_use && used_elsewhere(cx)? {
        cx.find(Code::D_USED);
    }
    for number in cx.visit.seals.iter().map(|s| s.number.clone()).collect::<Vec<_>>() {
        if !cx.visit.admitted && cx.records.seal_used(&number)? {
            cx.find(Code::S_NUMBER);
        }
    }
    super::register::look_again(cx, None)?;
    super::verify::look_again(cx)?;
    if let Some(pass) = &cx.visit.pass {
        let own = pass.exp.zip(cx.now.wall_s()).is_some_and(|(exp, now_s)| now_s > exp);
        // A pass of a list has its window there.
        let listed = cx.visit.facts.get("pass").and_then(Value::as_object);
        if own || listed.is_some_and(|entry| super::verify::is_outside(entry, cx.now.wall_ms)) {
            cx.find(Code::C_EXPIRED);
        }
    }
    let looks_for_holds = super::verify::looks_for_holds(cx);
    // What the other gateways of the site know decides in the end whether this is an admission.
    let shared = looks_for_holds && cx.visit.pass.is_some() || !cx.visit.seals.is_empty();
    let needed = if single_use { !used(cx) } else { shared && cx.weigh().0 == Outcome::Admit };
    if needed && !cx.visit.admitted && !cx.records.uses_known()? {
        cx.find(Code::X_USES);
    }
    Ok(())
}

/// Whether the pass or a seal of this visit has been used by another since: an override must not
/// admit what the officer could not see.
pub fn used_meanwhile(cx: &mut Cx<'_>) -> Result<bool, RecordsFault> {
    let seen = cx.visit.verdict.as_ref().map(|v| v.codes.clone()).unwrap_or_default();
    if single_use(cx) && !seen.contains(&Code::D_USED) && used_elsewhere(cx)? {
        return Ok(true);
    }
    for seal in &cx.visit.seals {
        if !cx.visit.admitted && !seen.contains(&Code::S_NUMBER) && cx.records.seal_used(&seal.number)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn evaluate<'a>(cx: &mut Cx<'_>, rules: impl Iterator<Item = &'a Rule>) {
    for rule in rules {
        match cx.ask(&rule.when) {
            Ok(true) => {
                let outcome = rule.outcome.unwrap_or_else(|| cx.outcome(rule.code));
                // An override admits what it saw, and this it did not see: it is found anew.
                if cx.visit.overridden_codes.contains(&rule.code) {
                    cx.visit.overridden_codes.retain(|code| *code != rule.code);
                    cx.visit.findings.retain(|found| found.code != rule.code);
                }
                cx.visit.find(rule.code, outcome);
            }
            Ok(false) => {}
            Err(_) => {
                cx.failed(&format!("rule {}", rule.code.as_str()), &rule.when);
                cx.find(Code::X_RULE);
            }
        }
    }
}

/// Whether the pass is for one use, and this visit is one.
fn single_use(cx: &Cx<'_>) -> bool {
    let profile = &cx.setup.profile;
    let uses = profile.uses_pass && (profile.direction != BOTH || cx.visit.direction == "in");
    uses && cx.visit.pass.is_some()
        && cx.visit.facts.get("pass").and_then(|p| p.get("uses")) == Some(&json!(1))
}

fn used(cx: &Cx<'_>) -> bool {
    cx.visit.findings.iter().any(|f| f.code == Code::D_USED)
}

fn used_elsewhere(cx: &Cx<'_>) -> Result<bool, RecordsFault> {
    let Some(pass) = &cx.visit.pass else { return Ok(false) };
    if cx.visit.admitted {
        return Ok(false);
    }
    // An earlier version of this program recorded uses by key id, and gateways of it still tell them so.
    let of_before = pass.kids(&cx.setup.trust).into_iter().map(|kid| format!("{kid}:{}", pass.id));
    let names = [redemption_key(cx.visit, pass)].into_iter().chain(of_before).chain(shared_keys(cx, pass));
    for name in names {
        if cx.records.redeemed(&name)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the use of a pass goes by at this gateway.
fn redemption_key(visit: &Visit, pass: &Pass) -> String {
    pass.used_as(["nbf_ms", "exp_ms"].map(|key| visit.facts.get("pass").and_then(|p| p.get(key)?.as_i64())))
}

/// What the use of a pass without a signer goes by at all gateways of the site, and what it may have gone by before. Its
/// id is a plate, or the number of a person: only whoever has the key of the site can say whose use it was.
fn shared_keys(cx: &Cx<'_>, pass: &Pass) -> Vec<String> {
    if !pass.kid.is_empty() {
        return Vec::new();
    }
    let keys = cx.setup.subjects.all(&of_site(&redemption_key(cx.visit, pass)));
    keys.iter().map(|key| shared(key)).collect()
}

/// The name at all gateways of a use by its subject key.
pub(crate) fn shared(key: &str) -> String {
    format!("{LISTED}{key}")
}

/// What a subject key of a use is made of.
pub(crate) fn of_site(pass_id: &str) -> String {
    format!("used:{pass_id}")
}

/// When a pass ends: by its own word, or by that of the list that it stands on.
fn ends_ms(visit: &Visit, pass: &Pass) -> Option<i64> {
    let listed = || visit.facts.get("pass").and_then(|p| p.get("exp_ms")?.as_i64());
    pass.exp.and_then(|s| s.checked_mul(1000)).or_else(listed)
}

/// Records the verdict of everything found so far.
pub fn record_verdict(cx: &mut Cx<'_>) {
    let (outcome, codes) = cx.weigh();
    cx.visit.verdicts += 1;
    // An earlier override was of an earlier verdict: both are kept beside this one.
    if cx.visit.overridden.is_none() {
        cx.visit.emitted.clear();
    }
    cx.visit.keep_earlier();
    cx.visit.repeated = false;
    cx.visit.verdict = Some(super::super::visit::Verdict { outcome, codes });
    cx.out.outcome(outcome);
    let data = event::transaction(cx.visit, cx.setup);
    cx.out.event("transaction", Class::Verdict, cx.setup, Some(cx.visit.id), data);
    extra_events(cx, outcome);
    super::actuate::announce(cx, outcome, cx.visit.step);
    cx.visit.shown_until = Some(cx.now.mono_ms + cx.setup.profile.show_verdict_ms);
}

/// The extra events that the profile asks for with an outcome; after an override those that the verdict
/// has not brought already.
pub fn extra_events(cx: &mut Cx<'_>, outcome: Outcome) {
    let codes = cx.visit.verdict.as_ref().map(|v| v.codes.clone()).unwrap_or_default();
    let setup = cx.setup;
    for emit in &setup.profile.emits {
        let outcome_fits = emit.outcomes.is_empty() || emit.outcomes.contains(&outcome);
        let code_fits = emit.codes.is_empty() || emit.codes.iter().any(|c| codes.contains(c));
        if outcome_fits && code_fits && !cx.visit.emitted.contains(&emit.kind) && holds(cx, emit) {
            cx.visit.emitted.push(emit.kind.clone());
            let mut data = event::extra(cx.visit, setup, outcome);
            for (name, said) in &emit.data {
                data[name.as_str()] = value(cx, said);
            }
            cx.out.extra(&emit.kind, emit.class, setup, Some(cx.visit.id), data);
        }
    }
}

/// Whether the condition of an extra event holds: one that cannot be evaluated does not, and is counted.
fn holds(cx: &mut Cx<'_>, emit: &Emit) -> bool {
    let Some(when) = &emit.when else { return true };
    cx.ask(when).unwrap_or_else(|_| {
        cx.failed(&format!("event {}", emit.kind), when);
        false
    })
}

/// What an extra event says. Whoever it stands for is named by key.
fn value(cx: &mut Cx<'_>, said: &EmitData) -> Value {
    let Ok(value) = cx.value(&said.value) else {
        cx.failed("data", &said.value);
        return Value::Null;
    };
    let key = |text: &str| if text.is_empty() { String::new() } else { event::key_of(text, cx.setup) };
    if !said.key && !cx.setup.profile.is_personal(&said.value) {
        return value;
    }
    match value {
        Value::String(text) => json!(key(&text)),
        Value::Array(all) => all.iter().filter_map(Value::as_str).map(key).collect(),
        value @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => value,
    }
}

/// What an admission writes, once, whether by verdict or by override: the use of the pass and the
/// evidence of the seal, in the same transaction and before anything opens.
pub fn admit(cx: &mut Cx<'_>) {
    if cx.visit.admitted {
        return;
    }
    cx.visit.admitted = true;
    if let Err(fault) = crate::register::write(cx, None) {
        cx.out.fault = Some(fault);
    }
    let by = Redemption { lane: cx.setup.lane.clone(), visit: cx.visit.id, at_ms: cx.now.wall_ms };
    if single_use(cx)
        && let Some(pass) = &cx.visit.pass
    {
        let pass_id = redemption_key(cx.visit, pass);
        // Under the key in use alone: those before are for what was told with them.
        let shared = pass.kid.is_empty().then(|| shared(&cx.setup.subjects.of(&of_site(&pass_id))));
        let data = json!({ "pass": event::pass_ref(cx.visit, pass), "lane": cx.setup.lane });
        let ends_ms = ends_ms(cx.visit, pass);
        cx.out.writes.push(Write::Redeem { pass_id, shared, by: by.clone(), ends_ms });
        cx.out.event("pass_used", Class::Verdict, cx.setup, Some(cx.visit.id), data);
    }
    if cx.visit.seals.is_empty() {
        return;
    }
    for seal in &cx.visit.seals {
        cx.out.writes.push(Write::Seal { number: seal.number.clone(), by: by.clone() });
    }
    let record = event::seal_record(cx.visit, cx.setup, &cx.now);
    cx.out.event("seal_applied", Class::Verdict, cx.setup, Some(cx.visit.id), record.clone());
    keep_seals(cx, &record);
    let manifest = serde_json::to_string(&record).expect("a record of strings and numbers is always JSON");
    let signature = cx.setup.key.sign(manifest.as_bytes());
    let data = json!({ "manifest": Value::String(manifest), "signature": signature, "alg": "Ed25519" });
    cx.out.event("evidence", Class::Verdict, cx.setup, Some(cx.visit.id), data);
}

/// The seals that were applied, as an entry of the list `seals`: what another lane of the site checks them by.
fn keep_seals(cx: &mut Cx<'_>, record: &Value) {
    let answered = cx.visit.facts.get("answers").and_then(|a| a.get("plate")).and_then(Value::as_str);
    let plate = answered.or(record["plate"].as_str()).filter(|plate| !plate.is_empty()).map(str::to_owned);
    let Some(plate) = plate else { return };
    let answer = |name: &str| cx.visit.facts.get("answers").and_then(|a| a.get(name)).cloned();
    let until = cx.visit.acts.iter().filter_map(|act| act.until_ms).max();
    let seals: Vec<&str> = cx.visit.seals.iter().map(|seal| seal.number.as_str()).collect();
    let entry = [
        ("seals", Some(json!(seals))),
        ("exit", answer("exit")),
        ("pass", cx.visit.pass.as_ref().filter(|pass| !pass.kid.is_empty()).map(|pass| json!(pass.id))),
        ("category", Some(record["category"].clone())),
        ("from", Some(record["from"].clone())),
        ("to", Some(record["to"].clone())),
        ("crew", answer("crew")),
        ("sealed_at_ms", cx.now.wall_ms.map(|at| json!(at))),
        ("deadline_ms", until.map(|at| json!(at))),
    ];
    let said = entry
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|v| !v.is_null())?)));
    let entry = said.collect();
    crate::register::keep_seals(cx, &plate, entry);
}
