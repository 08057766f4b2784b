//! The published form of a list: a JSON Schema for the facts of an entry, made from the table.
//!
//! What a list is made from is checked against the same table, so that nothing that fits the form is refused for its form.
//! A site may add facts of its own: no lane reads them.

use super::{List, LookUp};
use crate::entry::{Fact, Is};
use serde_json::{Map, Value, json};

/// Before 1973 a moment in milliseconds is one in seconds.
pub const LEAST_MS: i64 = 100_000_000_000;

/// The form of the facts of one entry.
pub fn of(list: &List) -> Value {
    let properties: Map<String, Value> =
        list.fields.iter().map(|fact| (fact.name.to_owned(), field(fact))).collect();
    let required: Vec<&str> = list.fields.iter().filter(|fact| fact.required).map(|fact| fact.name).collect();
    let by = match list.by {
        LookUp::Fact(fact) => format!("Looked up by `{fact}` where a profile does not say otherwise."),
        LookUp::Pass => "Looked up by `KID:ID` of a signed pass.".into(),
        LookUp::Said => "Looked up by what the profile says.".into(),
        LookUp::Nobody => "For the gateway itself: no lane looks into it.".into(),
    };
    let stops = if list.stops { " Whoever is on it is stopped." } else { "" };
    let mut form = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("kakou list `{}`: the facts of an entry", list.name),
        "description": format!("{by}{stops} Too old after {} h.", list.stale_h),
        "type": "object",
        "properties": properties,
        "additionalProperties": true,
    });
    if !required.is_empty() {
        form["required"] = json!(required);
    }
    form
}

fn field(fact: &Fact) -> Value {
    let texts = |pattern: Value| json!({ "type": "array", "items": pattern });
    match fact.is {
        Is::Flag => json!({ "type": "boolean" }),
        Is::Text => json!({ "type": "string" }),
        Is::Texts => texts(json!({ "type": "string" })),
        Is::Number => json!({ "type": "integer", "minimum": 0 }),
        Is::Level(most) => json!({ "type": "integer", "minimum": 0, "maximum": most }),
        Is::Uses => json!({ "enum": [0, 1], "description": "1 for once, 0 for any number of times" }),
        Is::Moment => {
            json!({ "type": "integer", "minimum": LEAST_MS, "description": "from when, UTC milliseconds" })
        }
        Is::End => {
            json!({ "type": "integer", "minimum": LEAST_MS, "description": "until when, UTC milliseconds" })
        }
        Is::Word(words) => json!({ "enum": words }),
        Is::Days => texts(json!({ "type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$" })),
        Is::Hours => texts(json!({
            "type": "string",
            "pattern": r"^(\*|[1-7](-[1-7])?(,[1-7](-[1-7])?)*) \d{2}:\d{2}-\d{2}:\d{2}$",
            "description": "days of the week (1 is Monday) and times of day: `1-5 08:00-17:30`, `6,7 22:00-06:00`, `* 00:00-24:00`"
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::{self, LISTS};

    fn fits(list: &str, facts: &Value) -> bool {
        jsonschema::validator_for(&of(lists::find(list).unwrap())).unwrap().is_valid(facts)
    }

    #[test]
    fn every_list_has_a_form_that_is_a_json_schema() {
        for list in LISTS {
            jsonschema::meta::validate(&of(list)).unwrap();
        }
    }

    #[test]
    fn the_form_says_of_facts_what_whoever_makes_a_list_is_told() {
        let day = 1_795_271_400_000_i64;
        for (list, facts, good) in [
            ("status", json!({ "colour": "green", "sampled_at_ms": day, "of_our_own": 3 }), true),
            ("status", json!({ "colour": "grean" }), false),
            ("status", json!({ "sampled_at_ms": day / 1000 }), false),
            ("status", json!({ "risk_area": "yes" }), false),
            ("bookings", json!({ "from_ms": day, "to_ms": day + 1 }), true),
            ("bookings", json!({ "from_ms": day }), false),
            ("stages", json!({ "stage": 6 }), true),
            ("stages", json!({ "stage": 7 }), false),
            ("pass", json!({ "uses": 2 }), false),
            ("schedule", json!({ "open": ["1-5 08:00-17:30", "6,7 22:00-06:00", "* 00:00-24:00"] }), true),
            ("schedule", json!({ "open": ["Mon-Fri 8:00-17:00"] }), false),
            ("schedule", json!({ "closed": ["1 May"] }), false),
        ] {
            assert_eq!(fits(list, &facts), good, "{list} {facts}");
        }
    }
}
