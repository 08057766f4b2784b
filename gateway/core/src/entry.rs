//! The facts of an entry of a list that a verdict hangs on.
//!
//! Lists come from many hands. A fact of another type than a lane reads would count as absent: a pass whose end is a
//! text would never end. An entry with such a fact cannot be read, and whoever is looked up in it waits for staff.

use serde_json::{Map, Value};

/// What a fact is.
#[derive(Clone, Copy)]
enum Is {
    /// True or false.
    Flag,
    Text,
    /// A whole number.
    Whole,
    /// 1 for once, 0 for any number of times.
    Uses,
}
use Is::{Flag, Text, Uses, Whole};

/// List, fact and what it is.
const FACTS: &[(&str, &str, Is)] = &[
    ("pass", "nbf_ms", Whole),
    ("pass", "exp_ms", Whole),
    ("pass", "uses", Uses),
    ("status", "colour", Text),
    ("status", "test_result", Text),
    ("status", "sampled_at_ms", Whole),
    ("status", "reported_at_ms", Whole),
    ("status", "risk_area", Flag),
    ("status", "out_of_city", Flag),
];

/// A whole number. Programs for tables write one as `1.0` where its column has gaps.
pub fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64()?.to_string().parse().ok())
}

/// The facts as a lane reads them; one that is null is not there. An error says what is wrong, and quotes nothing.
pub fn read(list: &str, mut facts: Map<String, Value>) -> Result<Map<String, Value>, String> {
    for (_, name, is) in FACTS.iter().filter(|(of, ..)| *of == list) {
        let Some(value) = facts.get_mut(*name) else { continue };
        if value.is_null() {
            facts.remove(*name);
            continue;
        }
        let number = whole(value);
        let allowed = match is {
            Flag => (!value.is_boolean()).then_some("true or false"),
            Text => (!value.is_string()).then_some("a text"),
            Whole => number.is_none().then_some("a whole number"),
            Uses => (!matches!(number, Some(0 | 1))).then_some("0 (any number of times) or 1 (once)"),
        };
        if let Some(allowed) = allowed {
            return Err(format!("`{name}` of an entry is not {allowed}"));
        }
        if let Some(number) = number {
            *value = number.into();
        }
    }
    Ok(facts)
}
