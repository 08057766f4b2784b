//! What the data of each kind of event is, as JSON Schema: for whoever reads events elsewhere.
//!
//! The file beside this one describes what the code writes; tests of the lanes and of the whole product hold every
//! event against it. Later versions may add fields, and take none away: whoever reads leaves alone what it does not
//! know.

use crate::codes::{Code, Outcome};
use crate::event::Class;
use crate::lane::action::Role;
use crate::pass::Format;
use crate::screening::State;
use crate::time::Quality;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const FILE: &str = include_str!("contract/events.json");

/// One kind of event.
#[derive(Debug, Clone, Deserialize)]
pub struct Kind {
    /// Its stream; none, where it may be any.
    pub stream: Option<Class>,
    /// When there is such an event.
    pub about: String,
    /// The schema of its data.
    data: Map<String, Value>,
}

#[derive(Deserialize)]
struct Contract {
    parts: Map<String, Value>,
    kinds: BTreeMap<String, Kind>,
    extra: Kind,
}

fn contract() -> Contract {
    serde_json::from_str(FILE).expect("a test reads the file")
}

/// The kinds that gateways themselves make, by name.
pub fn kinds() -> BTreeMap<String, Kind> {
    contract().kinds
}

/// An event that a profile asks for under a name of its own.
pub fn extra() -> Kind {
    contract().extra
}

/// The name of the schema of the data of a kind; without one, of what a profile asks for.
pub fn data_of(kind: Option<&str>) -> String {
    let word = |word: &str| {
        let (first, rest) = word.split_at(1.min(word.len()));
        format!("{}{rest}", first.to_uppercase())
    };
    let words = kind.unwrap_or("extra").split('_');
    format!("{}Data", words.map(word).collect::<String>())
}

/// Every schema by its name. They refer to each other as `#/components/schemas/NAME`, which is where AsyncAPI and
/// OpenAPI documents have them.
pub fn schemas() -> Map<String, Value> {
    let Contract { parts, kinds, extra } = contract();
    let words = [
        ("Code", json!(Code::ALL)),
        ("Outcome", json!(Outcome::ALL)),
        ("Stream", json!(Class::ALL)),
        ("Role", json!(Role::ALL)),
        ("PassFormat", json!([Format::Kp1, Format::Hcert, Format::Opaque])),
        (
            "TemperatureState",
            json!([State::Normal, State::High, State::Low, State::Fault, State::Env, State::None]),
        ),
        ("ClockQuality", json!([Quality::Synced, Quality::Unsynced, Quality::Floor].map(Quality::as_str))),
    ];
    let words = words.map(|(name, words)| (name.to_owned(), json!({ "type": "string", "enum": words })));
    let kinds = kinds.into_iter().map(|(name, kind)| (Some(name), kind));
    let data = kinds.chain([(None, extra)]).map(|(name, Kind { mut data, about, .. })| {
        data.entry("type").or_insert(json!("object"));
        data.insert("description".into(), json!(about));
        (data_of(name.as_deref()), Value::Object(data))
    });
    parts.into_iter().chain(words).chain(data).collect()
}

/// For whoever checks the contract itself: readers leave alone what they do not know, but a field that is written and
/// not named is a fault of it. What is put together of several schemas (`allOf`) is closed as a whole.
pub fn strict(schemas: &mut Value) {
    let mut parts = BTreeSet::new();
    parts_of(schemas, &mut parts);
    let named = schemas.as_object_mut().into_iter().flatten();
    named.for_each(|(name, schema)| close(schema, parts.contains(name)));
}

/// Collects the names of schemas that others are put together of.
fn parts_of(schema: &Value, parts: &mut BTreeSet<String>) {
    let inner: Vec<&Value> = match schema {
        Value::Object(all) => all.values().collect(),
        Value::Array(all) => all.iter().collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return,
    };
    inner.into_iter().for_each(|one| parts_of(one, parts));
    let all_of = schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
    let references = all_of.filter_map(|part| part["$ref"].as_str()?.rsplit('/').next());
    parts.extend(references.map(str::to_owned));
}

/// Refuses fields that a schema does not name; one that is a part of another leaves that to the whole.
fn close(schema: &mut Value, part: bool) {
    match schema {
        Value::Object(all) => {
            let whole = all.contains_key("allOf");
            if !part && (whole || all.contains_key("properties")) {
                let word = if whole { "unevaluatedProperties" } else { "additionalProperties" };
                all.entry(word).or_insert(json!(false));
            }
            for (key, inner) in all {
                match inner {
                    Value::Array(parts) if key == "allOf" => {
                        parts.iter_mut().for_each(|one| close(one, true))
                    }
                    inner @ (Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Array(_)
                    | Value::Object(_)) => close(inner, false),
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|one| close(one, false)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::OWN;

    #[test]
    fn every_kind_of_event_that_a_gateway_makes_has_a_schema() {
        let kinds = kinds();
        let known: BTreeSet<&str> = kinds.keys().map(String::as_str).collect();
        // What goes out in the place of an event that is too large is never in a journal.
        let own: BTreeSet<&str> = OWN.into_iter().chain(["event_too_large"]).collect();
        assert_eq!(known, own);
        let schemas = schemas();
        for kind in kinds.keys() {
            assert!(
                schemas[&data_of(Some(kind))]["description"].as_str().is_some_and(|about| !about.is_empty())
            );
        }
        assert_eq!(data_of(Some("event_too_large")), "EventTooLargeData");
    }

    #[test]
    fn what_is_put_together_of_schemas_is_closed_as_a_whole_and_its_parts_are_not() {
        let mut schemas = json!({
            "Part": { "properties": { "a": { "properties": {} } } },
            "Whole": { "allOf": [{ "$ref": "#/components/schemas/Part" }, { "properties": { "b": {} } }] },
            "Alone": { "properties": { "c": {} } },
        });
        strict(&mut schemas);
        assert_eq!(
            schemas,
            json!({
                "Part": { "properties": { "a": { "properties": {}, "additionalProperties": false } } },
                "Whole": { "allOf": [{ "$ref": "#/components/schemas/Part" }, { "properties": { "b": {} } }],
                    "unevaluatedProperties": false },
                "Alone": { "properties": { "c": {} }, "additionalProperties": false },
            })
        );
    }
}
