//! Forms of what a gateway says of itself, as JSON Schema: for both documents of the contract, AsyncAPI and OpenAPI.
//!
//! What is a type in Rust brings its form itself. What is put together freely is described in the file beside this one;
//! tests hold what a running gateway says against it.

use kakou_core::contract;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What is said of what everybody says: health and the status page have these properties.
const COMMON: &str = "common";
/// Of these, what gateways of version 0.1.0 do not say.
const NEWER: [&str; 3] = ["packs", "subject_key", "uses"];
const FILE: &str = include_str!("contract/about.json");
/// Where a document has its schemas.
pub const PLACE: &str = "#/components/schemas/";

/// Every schema by its name, those of the data of events as well.
pub fn schemas() -> Map<String, Value> {
    let mut file: Map<String, Value> = serde_json::from_str(FILE).expect("a test reads the file");
    let mut part = |name: &str| match file.remove(name) {
        Some(Value::Object(part)) => part,
        Some(_) | None => unreachable!("the file has `{name}`"),
    };
    // In one order, whatever order a build of the JSON library keeps.
    let common: BTreeMap<String, Value> = part(COMMON).into_iter().collect();
    let mut all = part("schemas");
    for name in ["Health", "Status"] {
        let schema = all.get_mut(name).expect("the file has it");
        for (property, form) in &common {
            schema["properties"][property] = form.clone();
            if !NEWER.contains(&property.as_str()) {
                schema["required"].as_array_mut().expect("it is one").push(json!(property));
            }
        }
    }
    all.extend(contract::schemas());
    all
}

/// The names of the schemas that a value refers to.
pub fn names_in(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(all) => {
            let name = all.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix(PLACE));
            found.extend(name.map(str::to_owned));
            all.values().for_each(|value| names_in(value, found));
        }
        Value::Array(all) => all.iter().for_each(|value| names_in(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A reference to a schema.
pub fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{PLACE}{name}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::State;

    #[test]
    fn words_of_the_contract_are_those_of_the_code() {
        let states = [
            State::Queued,
            State::InProgress,
            State::Succeeded,
            State::Failed,
            State::Rejected,
            State::TimedOut,
        ];
        assert_eq!(schemas()["CommandState"]["enum"], json!(states));
        assert_eq!(schemas()["Status"]["properties"]["clock"], schemas()["Health"]["properties"]["clock"]);
    }
}
