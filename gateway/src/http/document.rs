//! The API as an OpenAPI document: what each route says of itself, and what holds for all of them.

use super::auth::COOKIE;
use kakou_wire::contract;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// The name of the sign-in in the document; routes that need one name it.
pub(super) const SESSION: &str = "session";

/// What a refusal means, where the route does not say it.
fn refusal(status: &str) -> &'static str {
    match status {
        "400" => "The request is not of the right form",
        "401" => "Nobody is signed in, or a PIN is wrong",
        "403" => "Whoever is signed in may not do this",
        "404" => "There is no such thing",
        "409" => "Not as things are now, or somebody else is signed in",
        "429" => "Too many tries: `retry-after` says for how many seconds to wait",
        "503" => "The gateway is busy, or its store takes nothing",
        _ => "Not done",
    }
}

/// The forms of what screens are told. The types are those of the lanes ([`kakou_core::lane::view::shapes`]); a test holds
/// what they write against these.
fn views() -> Map<String, Value> {
    serde_json::from_str(include_str!("views.json")).expect("a test reads the file")
}

/// Completes what the routes say.
pub(super) fn complete(mut document: Value) -> Value {
    let operations = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in operations.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        let Some(responses) = operation["responses"].as_object_mut() else { continue };
        // What every request can meet: a foreign origin, too many of them, a body that is too long.
        responses.insert("default".into(), json!({ "description": "Not done" }));
        for (status, response) in responses {
            if status.starts_with('2') {
                continue;
            }
            if response["description"].as_str().is_none_or(str::is_empty) {
                response["description"] = json!(refusal(status));
            }
            response["content"] = json!({ "application/json": { "schema": contract::reference("Error") } });
        }
    }
    let (mut more, mut known) = (BTreeSet::new(), contract::schemas());
    known.extend(views());
    contract::names_in(&document["paths"], &mut more);
    let schemas = &mut document["components"]["schemas"];
    while let Some(name) = more.pop_first() {
        if let Some(schema) = known.remove(&name) {
            contract::names_in(&schema, &mut more);
            schemas[&name] = schema;
        }
    }
    document["components"]["securitySchemes"][SESSION] = json!({ "type": "apiKey", "in": "cookie", "name": COOKIE,
        "description": "Given by `POST /api/v1/session` for an officer and a PIN. Each request must be of the same origin" });
    document
}

#[cfg(test)]
mod tests {
    use super::super::openapi;
    use super::*;

    fn document() -> Value {
        serde_json::from_str(&openapi()).unwrap()
    }

    fn operations(document: &Value) -> Vec<(String, &Value)> {
        let paths = document["paths"].as_object().unwrap().iter();
        let of = |(path, all): (&String, &'_ Value)| (path.clone(), all.clone());
        let paths: Vec<_> = paths.map(of).collect();
        let mut found = Vec::new();
        for (path, all) in &paths {
            for method in all.as_object().unwrap().keys() {
                found.push((format!("{method} {path}"), &document["paths"][path][method]));
            }
        }
        found
    }

    #[test]
    fn every_response_of_the_api_has_a_description_and_every_answer_in_json_a_form() {
        let document = document();
        for (name, operation) in operations(&document) {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let about = response["description"].as_str().unwrap_or_default();
                assert!(!about.is_empty(), "{name} {status}");
                let content = response["content"].as_object();
                assert!(content.is_some() || status == "204", "{name} {status} has no content");
                let json = content.and_then(|c| c.get("application/json"));
                assert!(json.is_none_or(|json| json["schema"].is_object()), "{name} {status} has no form");
            }
        }
    }

    /// OpenAPI 3.1, Operation Object: clients that are generated take the id for the name of a function.
    #[test]
    fn every_operation_of_the_api_has_an_id_of_its_own() {
        let document = document();
        let mut seen = BTreeSet::new();
        for (name, operation) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap_or_default();
            assert!(!id.is_empty() && seen.insert(id), "{name}: {id:?}");
        }
    }

    #[test]
    fn every_reference_of_the_api_leads_somewhere() {
        let document = document();
        let mut found = BTreeSet::new();
        contract::names_in(&document, &mut found);
        assert!(
            ["Status", "Device", "Screen", "Desk", "Visit"].iter().all(|name| found.contains(*name)),
            "{found:?}"
        );
        for name in found {
            assert!(document["components"]["schemas"][&name].is_object(), "{name}");
        }
    }

    #[test]
    fn who_must_sign_in_for_what_is_in_the_document() {
        let document = document();
        assert_eq!(document["components"]["securitySchemes"][SESSION]["name"], COOKIE);
        for (name, operation) in operations(&document) {
            // To sign in, nobody is signed in yet.
            let asks = operation["responses"]["401"].is_object() && name != "post /api/v1/session";
            assert_eq!(operation["security"].is_array(), asks, "{name}");
        }
    }
}
