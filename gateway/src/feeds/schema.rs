//! What the facts of each list look like, for whoever makes a list: a gateway takes what it does not know,
//! and makes nothing of it.

use serde_json::{Map, Value};

/// What a fact is.
enum Is {
    Text,
    Flag,
    Texts,
    /// A number from 0.
    Number,
    /// A moment, UTC milliseconds.
    Moment,
    /// One of these.
    Word(&'static [&'static str]),
}
use Is::{Flag, Moment, Number, Text, Texts, Word};

const COLOURS: Is = Word(&["green", "yellow", "red"]);
const RESULTS: Is = Word(&["negative", "positive", "pending"]);
const CATEGORIES: Is = Word(&["emergency-supplies", "emergency-bulk", "resident-car", "transit"]);
const ROLES: Is = Word(&["staff", "inpatient", "companion", "worker", "resident"]);

/// List, fact and what it is.
const FIELDS: &[(&str, &str, Is)] = &[
    ("status", "name", Text),
    ("status", "group", Text),
    ("status", "colour", COLOURS),
    ("status", "test_result", RESULTS),
    ("status", "sampled_at_ms", Moment),
    ("status", "reported_at_ms", Moment),
    ("status", "risk_area", Flag),
    ("status", "out_of_city", Flag),
    ("pass", "nbf_ms", Moment),
    ("pass", "exp_ms", Moment),
    ("pass", "plate", Text),
    ("pass", "category", CATEGORIES),
    ("pass", "from", Text),
    ("pass", "to", Text),
    ("pass", "patient", Text),
    ("pass", "ward", Text),
    ("pass", "role", Text),
    ("pass", "company", Text),
    ("pass", "crew", Number),
    ("pass", "uses", Number),
    ("pass", "approvals", Texts),
    ("hold", "until_ms", Moment),
    ("roster", "name", Text),
    ("roster", "ward", Text),
    ("roster", "patient", Text),
    ("roster", "room", Text),
    ("roster", "company", Text),
    ("roster", "shift", Text),
    ("roster", "role", ROLES),
    ("roster", "beds", Number),
    ("roster", "until_ms", Moment),
    ("release", "from_ms", Moment),
    ("release", "to", Text),
    ("release", "by", Text),
    ("policy", "toml", Text),
];

/// Before 1973 a moment in milliseconds is one in seconds.
const LEAST_MS: i64 = 100_000_000_000;

/// What is wrong with the facts of an entry, and what is allowed.
pub fn check(list: &str, facts: &Map<String, Value>) -> Result<(), String> {
    let fields = || FIELDS.iter().filter(|(of, ..)| *of == list);
    for (name, value) in facts {
        match fields().find(|(_, field, _)| field == name) {
            Some((_, _, is)) => right(name, value, is)?,
            None => {
                if let Some((_, meant, _)) = fields().find(|(_, field, _)| near(name, field)) {
                    return Err(format!("`{name}` is no fact of the list `{list}`: is `{meant}` meant?"));
                }
            }
        }
    }
    if list == "policy" && !facts.contains_key("toml") {
        return Err("a profile needs `toml`, its text".into());
    }
    Ok(())
}

fn right(name: &str, value: &Value, is: &Is) -> Result<(), String> {
    let wrong = |allowed: String| Err(format!("`{name}` is {allowed}, not {value}"));
    match is {
        Text if value.is_string() => Ok(()),
        Text => wrong("a text".into()),
        Flag if value.is_boolean() => Ok(()),
        Flag => wrong("true or false".into()),
        Texts if value.as_array().is_some_and(|all| all.iter().all(Value::is_string)) => Ok(()),
        Texts => wrong("an array of texts".into()),
        Number if name == "uses" && value.as_u64().is_none_or(|n| n > 1) => {
            wrong("0 (any number of times) or 1 (once)".into())
        }
        Number if value.as_u64().is_some() => Ok(()),
        Number => wrong("a whole number from 0".into()),
        Moment if value.as_i64().is_some_and(|ms| ms >= LEAST_MS) => Ok(()),
        Moment => wrong("a time in UTC milliseconds, e.g. 1795271400000".into()),
        Word(words) if value.as_str().is_some_and(|word| words.contains(&word)) => Ok(()),
        Word(words) => wrong(format!("one of {}", words.join(", "))),
    }
}

/// Whether one name is likely to stand for another: written in other letters, without its unit, or with a slip
/// or two.
fn near(name: &str, field: &str) -> bool {
    let plain = |text: &str| text.replace(['_', '-', ' '], "").to_lowercase();
    let (name, field) = (plain(name), plain(field));
    let short = |text: &str| text.strip_suffix("ms").unwrap_or(text).to_owned();
    name == field || short(&name) == short(&field) || (field.len() > 4 && distance(&name, &field) <= 2)
}

/// How many letters must be changed, added or left out.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checked(list: &str, facts: Value) -> Result<(), String> {
        check(list, facts.as_object().unwrap())
    }

    #[test]
    fn facts_that_no_lane_understands_are_refused_with_what_is_allowed() {
        for (list, facts, wanted) in [
            ("status", json!({ "colour": "grean" }), "green, yellow, red"),
            ("status", json!({ "color": "green" }), "`colour`"),
            ("status", json!({ "sampled_at": 1_795_271_400_000_i64 }), "`sampled_at_ms`"),
            ("status", json!({ "sampledAtMs": 1_795_271_400_000_i64 }), "`sampled_at_ms`"),
            ("status", json!({ "sampled_at_ms": 1_795_271_400 }), "milliseconds"),
            ("status", json!({ "risk_area": "yes" }), "true or false"),
            ("hold", json!({ "until": 1_795_271_400_000_i64 }), "`until_ms`"),
            ("hold", json!({ "until_ms": "tomorrow" }), "milliseconds"),
            ("pass", json!({ "uses": 2 }), "1 (once)"),
            ("pass", json!({ "approvals": "GX" }), "array of texts"),
            ("policy", json!({}), "toml"),
        ] {
            let why = checked(list, facts.clone()).unwrap_err();
            assert!(why.contains(wanted), "{list} {facts}: {why}");
        }
    }

    #[test]
    fn facts_of_a_site_s_own_are_taken() {
        for (list, facts) in [
            ("status", json!({ "name": "张三", "colour": "red", "test_result": "pending", "school": 3 })),
            ("hold", json!({ "until_ms": 1_795_271_400_000_i64, "note": "ask", "code": "x" })),
            ("pass", json!({ "plate": "辽P12345", "uses": 0, "crew": 2, "approvals": [] })),
            ("revocation", json!({ "why": "lost" })),
        ] {
            checked(list, facts).unwrap();
        }
    }
}
