//! What the facts of each list look like, for whoever makes a list: a gateway takes what it does not know,
//! and makes nothing of it.

use kakou_core::entry::{Fact, Is, facts};
use kakou_core::schedule;
use serde_json::{Map, Value};

pub use kakou_core::lists::form::LEAST_MS;

/// What is wrong with the facts of an entry, and what is allowed.
pub fn check(list: &str, entry: &Map<String, Value>) -> Result<(), String> {
    for (name, value) in entry {
        match facts(list).find(|fact| fact.name == name) {
            Some(fact) => right(fact, value)?,
            None => meant(list, name)?,
        }
    }
    if list == "policy" && !entry.contains_key("toml") && !entry.contains_key("file") {
        return Err("a profile needs `toml`, its text; another file of a pack needs `file`".into());
    }
    if let Some(missing) = facts(list).find(|fact| fact.required && !entry.contains_key(fact.name)) {
        return Err(format!("`{}` is missing: no entry of the list `{list}` is without it", missing.name));
    }
    Ok(())
}

/// Whether no lane makes anything of a fact of this name.
pub fn is_own(list: &str, name: &str) -> bool {
    facts(list).all(|fact| fact.name != name)
}

/// That a name which no lane knows is not a slip for one that it does know.
pub fn meant(list: &str, name: &str) -> Result<(), String> {
    match facts(list).find(|fact| near(name, fact.name)) {
        Some(meant) => Err(format!("`{name}` is no fact of the list `{list}`: is `{}` meant?", meant.name)),
        None => Ok(()),
    }
}

fn right(Fact { name, is, .. }: &Fact, value: &Value) -> Result<(), String> {
    let wrong = |allowed: String| Err(format!("`{name}` is {allowed}, not {value}"));
    let texts = |fits: &dyn Fn(&str) -> bool| {
        value.as_array().is_some_and(|all| all.iter().all(|text| text.as_str().is_some_and(fits)))
    };
    match is {
        Is::Text if value.is_string() => Ok(()),
        Is::Text => wrong("a text".into()),
        Is::Flag if value.is_boolean() => Ok(()),
        Is::Flag => wrong("true or false".into()),
        Is::Texts if value.as_array().is_some_and(|all| all.iter().all(Value::is_string)) => Ok(()),
        Is::Texts => wrong("an array of texts".into()),
        Is::Uses if value.as_u64().is_some_and(|n| n <= 1) => Ok(()),
        Is::Uses => wrong("0 (any number of times) or 1 (once)".into()),
        Is::Number if value.as_u64().is_some() => Ok(()),
        Is::Number => wrong("a whole number from 0".into()),
        Is::Level(most) if value.as_i64().is_some_and(|n| (0..=*most).contains(&n)) => Ok(()),
        Is::Level(most) => wrong(format!("a whole number from 0 to {most}")),
        Is::Days if texts(&schedule::is_day) => Ok(()),
        Is::Days => wrong("an array of days, as in 2022-05-24".into()),
        Is::Hours if texts(&|text| schedule::Open::read(text).is_some()) => Ok(()),
        Is::Hours => wrong(
            "an array of opening hours, as in `1-5 08:00-17:30`, `6,7 22:00-06:00` or `* 00:00-24:00`".into(),
        ),
        Is::Moment | Is::End if value.as_i64().is_some_and(|ms| ms >= LEAST_MS) => Ok(()),
        Is::Moment | Is::End => wrong("a time in UTC milliseconds, e.g. 1795271400000".into()),
        Is::Word(words) if value.as_str().is_some_and(|word| words.contains(&word)) => Ok(()),
        Is::Word(words) => wrong(format!("one of {}", words.join(", "))),
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
            ("bookings", json!({ "from_ms": 1_795_271_400_000_i64 }), "`to_ms` is missing"),
            ("patients", json!({ "state": "at home" }), "admitted, discharged, cancelled"),
            ("patients", json!({ "restricton": "none" }), "`restriction`"),
            ("schedule", json!({ "open": ["Mon-Fri 8:00-17:00"] }), "`1-5 08:00-17:30`"),
            ("schedule", json!({ "closed": ["1 May"] }), "2022-05-24"),
            ("stages", json!({ "stage": 7 }), "from 0 to 6"),
            ("deliveries", json!({ "tubes": "T-1, T-2" }), "array of texts"),
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
            ("schedule", json!({ "open": ["1-5 08:00-17:30", "6,7 22:00-06:00"], "closed": ["2022-05-01"] })),
        ] {
            checked(list, facts).unwrap();
        }
    }
}
