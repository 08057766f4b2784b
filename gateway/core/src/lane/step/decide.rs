//! Weighs everything and gives the verdict.

use super::super::event::{self, Weight};
use super::{Cx, Flow};
use crate::codes::{Code, Outcome, Rank};
use crate::profile::Rule;
use crate::records::{Redemption, RecordsFault, Write};
use serde_json::{Value, json};

/// Evaluates the rules; then the verdict, or on to the next step.
pub fn enter(cx: &mut Cx<'_>, rules: &[Rule], last: bool) -> Result<Flow, RecordsFault> {
    // What cannot be judged, or is refused for its pass, needs no rule: its facts may be missing.
    let settled = cx.visit.findings.iter().any(|f| {
        f.outcome != Outcome::Admit && f.code.rank() <= Rank::Credential && !cx.visit.forgiven.contains(&f.code)
    });
    if !settled {
        evaluate(cx, rules);
    }
    if last && single_use(cx) && used_elsewhere(cx)? {
        cx.find(Code::D_USED);
    }
    let (outcome, _) = cx.weigh();
    if outcome == Outcome::Admit && !last {
        return Ok(Flow::Next);
    }
    Ok(give_verdict(cx))
}

fn evaluate(cx: &mut Cx<'_>, rules: &[Rule]) {
    for rule in rules {
        match rule.when.ask(&cx.visit.facts) {
            Ok(true) => {
                let outcome = rule.outcome.unwrap_or_else(|| cx.setup.profile.outcome(rule.code));
                cx.visit.find(rule.code, outcome);
            }
            Ok(false) => {}
            Err(why) => {
                cx.out.count("rule_failed_total");
                cx.out.notes.push(format!("rule {} `{}` failed: {why}", rule.code.word(), rule.when.source()));
                cx.find(Code::X_RULE);
            }
        }
    }
}

fn single_use(cx: &Cx<'_>) -> bool {
    cx.visit.pass.is_some() && cx.visit.facts.get("pass").and_then(|p| p.get("uses")) == Some(&json!(1))
}

fn used_elsewhere(cx: &Cx<'_>) -> Result<bool, RecordsFault> {
    let Some(pass) = &cx.visit.pass else { return Ok(false) };
    let used = cx.records.redeemed(&redemption_key(&pass.kid, &pass.id))?;
    Ok(used.is_some_and(|by| by.visit != cx.visit.id))
}

fn redemption_key(kid: &str, id: &str) -> String {
    format!("{kid}:{id}")
}

/// Records the verdict of everything found so far: an ADMIT goes on, anything else rests.
pub fn give_verdict(cx: &mut Cx<'_>) -> Flow {
    let (outcome, codes) = cx.weigh();
    cx.visit.verdicts += 1;
    cx.visit.verdict = Some(super::super::visit::Verdict { outcome, codes });
    cx.out.outcome(outcome);
    let data = event::transaction(cx.visit, &cx.setup.profile);
    cx.out.event("transaction", Weight::Verdict, cx.setup, Some(cx.visit.id), data);
    extra_events(cx, outcome);
    cx.visit.shown_until = Some(cx.now.mono_ms + cx.setup.profile.show_verdict_ms);
    if outcome == Outcome::Admit {
        admit(cx);
        Flow::Next
    } else {
        Flow::Park
    }
}

fn extra_events(cx: &mut Cx<'_>, outcome: Outcome) {
    let codes = cx.visit.verdict.as_ref().map(|v| v.codes.clone()).unwrap_or_default();
    let setup = cx.setup;
    for emit in &setup.profile.emits {
        let outcome_fits = emit.outcomes.is_empty() || emit.outcomes.contains(&outcome);
        let code_fits = emit.codes.is_empty() || emit.codes.iter().any(|c| codes.contains(c));
        if outcome_fits && code_fits {
            let data = event::extra(cx.visit, outcome);
            cx.out.event(&emit.kind, Weight::Class(emit.class), setup, Some(cx.visit.id), data);
        }
    }
}

/// What an admission writes, once, whether by verdict or by override: the use of the pass and the
/// evidence of the seal, in the same transaction and before anything opens.
pub fn admit(cx: &mut Cx<'_>) {
    if cx.visit.admitted {
        return;
    }
    cx.visit.admitted = true;
    if single_use(cx)
        && let Some(pass) = &cx.visit.pass
    {
        let by = Redemption { lane: cx.setup.lane.clone(), visit: cx.visit.id, at_ms: cx.now.wall_ms };
        let pass_id = redemption_key(&pass.kid, &pass.id);
        let data = json!({ "pass": event::pass_ref(cx.visit, pass), "lane": cx.setup.lane });
        cx.out.writes.push(Write::Redeem { pass_id, by });
        cx.out.event("pass_used", Weight::Verdict, cx.setup, Some(cx.visit.id), data);
    }
    if cx.visit.seals.is_empty() {
        return;
    }
    for seal in &cx.visit.seals {
        cx.out.writes.push(Write::Seal { number: seal.number.clone(), visit: cx.visit.id });
    }
    let record = event::seal_record(cx.visit, &cx.now);
    cx.out.event("seal_applied", Weight::Verdict, cx.setup, Some(cx.visit.id), record.clone());
    let manifest = serde_json::to_string(&record).expect("a record of strings and numbers is always JSON");
    let signature = cx.setup.key.sign(manifest.as_bytes());
    let data = json!({ "manifest": Value::String(manifest), "signature": signature, "alg": "Ed25519" });
    cx.out.event("evidence", Weight::Verdict, cx.setup, Some(cx.visit.id), data);
}
