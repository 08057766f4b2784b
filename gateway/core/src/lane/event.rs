//! The bodies of lane events.
//!
//! A subject is a key, never an id or a name; `subject_key` is the number of the secret that made it. Readings are as they were taken.

use super::Setup;
use super::step::input::is_empty;
use super::visit::{PhotoState, Visit};
use crate::codes::Outcome;
use crate::ids::DeviceId;
use crate::pass::{Format, Pass, id};
use crate::profile::facts::ANSWERS;
use crate::reading::Temperature;
use crate::screening::{Correction, State};
use crate::time::{Now, rfc3339};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Seals private answers for the central side: nobody on the way reads them, this gateway itself no more.
pub trait AnswerSealer: Send + Sync {
    /// The envelope; `context` is the lane and the visit, LANE/VISIT. Null where there is none.
    fn seal(&self, answers: &Value, context: &str) -> Value;
}

/// A pass as events name it. A token id is random; an opaque id or a certificate identifier stands
/// for a person and is replaced by the subject key.
pub fn pass_ref(visit: &Visit, pass: &Pass) -> Value {
    if pass.format == Format::Kp1 {
        return json!({ "format": pass.format, "kind": pass.kind, "kid": pass.kid, "id": pass.id });
    }
    json!({ "format": pass.format, "kind": pass.kind, "kid": pass.kid, "id": visit.subject,
        "subject_key": visit.subject_key })
}

/// The photographs that belong to a visit: role and hash.
pub fn accepted(visit: &Visit) -> BTreeMap<&str, &str> {
    let accepted = visit.photos.iter().filter(|(_, p)| p.state == PhotoState::Accepted);
    accepted.filter_map(|(role, p)| Some((role.as_str(), p.photo.as_ref()?.sha256.as_str()))).collect()
}

/// A verdict with what led to it.
pub fn transaction(visit: &Visit, setup: &Setup) -> Value {
    let profile = &setup.profile;
    let verdict = visit.verdict.as_ref();
    let pass = visit.pass.as_ref().map(|p| pass_ref(visit, p));
    let refused = visit.refused.as_ref().map(|r| json!({ "format": r.format, "kid": r.kid, "code": r.code }));
    let mut data = json!({
        "profile": profile.id,
        "direction": if visit.direction.is_empty() { &profile.direction } else { &visit.direction },
        "verdict_no": visit.verdicts,
        "outcome": verdict.map(|v| v.outcome),
        "codes": verdict.map(|v| &v.codes),
        "overridden": visit.overridden.as_ref().map(|o| o.outcome),
        "subject": visit.subject,
        "subject_key": visit.subject_key,
        "pass": pass,
        "refused": refused,
        "readings": visit.readings,
        "answers": visit.answers,
        "approvals": visit.approvals,
        "photos": accepted(visit),
        "started": visit.started_ms.map(rfc3339),
    });
    if let Some(officer) = &visit.by {
        data["officer"] = json!(officer);
    }
    with_private(data, visit, setup)
}

/// The subject key of whomever a text names: every spelling of an id is one.
pub fn key_of(text: &str, setup: &Setup) -> String {
    setup.subjects.of(&id::normal(text))
}

/// Adds what was answered in private or names somebody, sealed for the central side, where this gateway has its key.
pub(super) fn with_private(mut data: Value, visit: &Visit, setup: &Setup) -> Value {
    let Some(sealer) = &setup.private else { return data };
    let mut clear = visit.private.in_clear();
    for answer in setup.profile.personal() {
        if let Some(fact) = personal(visit, answer) {
            clear.insert(answer.to_owned(), fact.clone());
        }
    }
    if !clear.is_empty() {
        let context = format!("{}/{}", setup.lane, visit.id);
        data["private"] = sealer.seal(&Value::Object(clear), &context);
    }
    data
}

/// What was answered to something that names somebody and is not private, as long as the visit has it.
pub(super) fn personal<'a>(visit: &'a Visit, answer: &str) -> Option<&'a Value> {
    let fact = visit.facts.get(ANSWERS)?.get(answer)?;
    (fact.is_string() || fact.is_array()).then_some(fact).filter(|fact| !is_empty(fact))
}

/// An extra event that a profile asks for.
pub fn extra(visit: &Visit, setup: &Setup, outcome: Outcome) -> Value {
    let data = json!({
        "outcome": outcome,
        "codes": visit.verdict.as_ref().map(|v| &v.codes),
        "subject": visit.subject,
        "subject_key": visit.subject_key,
        "readings": visit.readings,
        "answers": visit.answers,
    });
    with_private(data, visit, setup)
}

/// One measurement with its raw frames, and what was added to their median.
pub fn sample(
    frames: &[Temperature],
    device: &DeviceId,
    mdeg: Option<i32>,
    state: State,
    correction: Option<&Correction>,
) -> Value {
    json!({
        "device": device,
        "median_mdeg": mdeg,
        "state": state,
        "raw_mdeg": frames.iter().map(|f| f.object_mdeg).collect::<Vec<_>>(),
        "ambient_mdeg": frames.last().and_then(|f| f.ambient_mdeg),
        "corrections": correction.filter(|_| mdeg.is_some()).into_iter().collect::<Vec<_>>(),
        "reference_mdeg": frames.last().and_then(|f| f.reference_mdeg),
        "body_grade": frames.last().map(|f| f.body_grade),
    })
}

/// The record of a sealed load: what the evidence signature covers.
pub fn seal_record(visit: &Visit, setup: &Setup, now: &Now) -> Value {
    let fact = |name: &str| visit.facts.get("pass").and_then(|p| p.get(name)).cloned();
    json!({
        "gateway": setup.gateway,
        "lane": setup.lane,
        "visit": visit.id,
        "pass": visit.pass.as_ref().map(|p| pass_ref(visit, p)),
        "category": fact("category"),
        "plate": fact("plate"),
        "from": fact("from"),
        "to": fact("to"),
        "crew": visit.answers.get("crew"),
        "sealed_at": { "utc": now.wall_ms.map(rfc3339), "synced": now.synced() },
        "seals": visit.seals,
        "photos": visit.photos.iter().filter(|(_, s)| s.state == PhotoState::Accepted).filter_map(|(role, slot)| {
            let p = slot.photo.as_ref()?;
            Some(json!({ "role": role, "sha256": p.sha256, "bytes": p.bytes, "width": p.width, "height": p.height,
                "sharpness": p.sharpness, "luma": p.luma, "taken_at": slot.at_ms.map(rfc3339) }))
        }).collect::<Vec<_>>(),
        "checks": visit.approvals,
    })
}
