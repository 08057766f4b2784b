//! The facts of somebody's health: of the list `status`, and of the newest test that anything knows of.

use super::{AgeFrom, Cx, Found, HOUR_MS, NEVER_H};
use crate::profile::facts::PASS;
use crate::time::local_day;
use serde_json::{Map, Value, json};

/// A test, as a list or a certificate tells of it.
struct Test<'a> {
    result: &'a str,
    sampled_ms: Option<i64>,
    reported_ms: Option<i64>,
}

impl<'a> Test<'a> {
    fn of(entry: Option<&'a Map<String, Value>>) -> Option<Self> {
        let entry = entry?;
        let at = |key: &str| entry.get(key).and_then(Value::as_i64).filter(|at_ms| *at_ms != 0);
        let result = entry.get("test_result").and_then(Value::as_str).unwrap_or_default();
        let sampled_ms = at("sampled_at_ms");
        let test = Self { result, sampled_ms, reported_ms: at("reported_at_ms") };
        (!result.is_empty() || sampled_ms.is_some()).then_some(test)
    }
}

/// The facts. Of several tests the one that was sampled last counts; of two that were sampled together, that of the pass,
/// then that of `results`.
pub(super) fn facts(cx: &Cx<'_>, found: &Found, from: AgeFrom) -> Map<String, Value> {
    let status = found.get("status");
    let text = |key: &str| status.and_then(|s| s.get(key)).and_then(Value::as_str).unwrap_or_default();
    let flag = |key: &str| status.and_then(|s| s.get(key)).and_then(Value::as_bool).unwrap_or(false);
    let pass = cx.visit.facts.get(PASS).and_then(Value::as_object);
    // A certificate says when it was sampled, and not when the laboratory has told of it.
    let own = Test::of(pass).filter(|test| !test.result.is_empty());
    let own = own.map(|test| Test { reported_ms: test.sampled_ms, ..test });
    let known = status.is_some() || own.is_some();
    let tests = [Test::of(status), Test::of(found.get("results")), own];
    let newest = tests.into_iter().flatten().max_by_key(|test| test.sampled_ms);
    let sampled_ms = newest.as_ref().and_then(|test| test.sampled_ms);
    let at_ms = match from {
        AgeFrom::Sampling => sampled_ms,
        AgeFrom::Report => newest.as_ref().and_then(|test| test.reported_ms),
    };
    let age_h = match (at_ms, cx.now.wall_ms) {
        // A sample from the future is no fresh test.
        (Some(at), Some(now)) if at <= now + 10 * 60_000 => (now - at) as f64 / HOUR_MS as f64,
        (Some(_), Some(_)) | (None, _) | (_, None) => NEVER_H,
    };
    let result = match newest.map_or("", |test| test.result) {
        // Of a certificate that says neither yes nor no.
        "unknown" => "pending",
        result => result,
    };
    let sampled_day = sampled_ms.and_then(|at_ms| local_day(at_ms, cx.setup.utc_offset_ms));
    let mut out = Map::new();
    out.insert("known".into(), json!(known));
    out.insert("colour".into(), json!(if status.is_some() { text("colour") } else { "unknown" }));
    out.insert("test_result".into(), json!(result));
    out.insert("test_age_h".into(), json!(age_h));
    out.insert("sampled_day".into(), json!(sampled_day.unwrap_or_default()));
    out.insert("risk_area".into(), json!(flag("risk_area")));
    out.insert("out_of_city".into(), json!(flag("out_of_city")));
    out
}
