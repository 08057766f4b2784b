//! The contract as others read it: whatever a gateway says is held against the documents that it hands out.

use jsonschema::Validator;
use kakou_core::contract::strict;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The schemas of a document, each to be asked by itself.
pub struct Contract {
    all: Value,
    /// Those that were asked.
    made: Mutex<BTreeMap<String, Arc<Validator>>>,
}

impl Contract {
    fn of(document: &str) -> Self {
        let document: Value = serde_json::from_str(document).expect("a document is JSON");
        let mut all = document["components"]["schemas"].clone();
        strict(&mut all);
        // What an event holds is judged by its type.
        if let Some(data) = all["Event"]["properties"].get_mut("data") {
            *data = json!({ "type": "object" });
        }
        Self { all, made: Mutex::default() }
    }

    fn schema(&self, name: &str) -> Option<Arc<Validator>> {
        self.all.get(name)?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let schema = made.entry(name.to_owned()).or_insert_with(|| {
            let schemas = json!({ "schemas": self.all });
            let alone = json!({ "$ref": format!("#/components/schemas/{name}"), "components": schemas });
            Arc::new(jsonschema::draft202012::new(&alone).expect("the contract is made of schemas"))
        });
        Some(schema.clone())
    }

    /// What goes over MQTT.
    pub fn mqtt() -> &'static Self {
        static CONTRACT: OnceLock<Contract> = OnceLock::new();
        CONTRACT.get_or_init(|| Self::of(&kakou_wire::asyncapi::document()))
    }

    /// What the screens and the API are answered.
    pub fn api() -> &'static Self {
        static CONTRACT: OnceLock<Contract> = OnceLock::new();
        CONTRACT.get_or_init(|| Self::of(&kakou_gateway::http::openapi()))
    }

    /// Where a value is not what a schema says.
    pub fn faults(&self, name: &str, value: &Value) -> Vec<String> {
        let Some(schema) = self.schema(name) else { return vec![format!("there is no schema `{name}`")] };
        let said = |e: jsonschema::ValidationError<'_>| format!("{name}{}: {e}", e.instance_path());
        schema.iter_errors(value).map(said).collect()
    }

    /// Fails where a value is not what a schema says.
    pub fn hold(&self, name: &str, value: &Value) {
        let faults = self.faults(name, value);
        assert!(faults.is_empty(), "{faults:#?}\n{value:#}");
    }

    /// Where an event is not what the contract says.
    pub fn event_faults(&self, event: &Value) -> Vec<String> {
        let kind = event["type"].as_str().and_then(|t| t.strip_prefix("kakou.")?.strip_suffix(".v1"));
        let Some(kind) = kind else { return vec!["it has no type of ours".into()] };
        static KINDS: OnceLock<BTreeMap<String, kakou_core::contract::Kind>> = OnceLock::new();
        let known = KINDS.get_or_init(kakou_core::contract::kinds).get(kind);
        let mut faults = self.faults("Event", event);
        faults.extend(self.faults(&kakou_core::contract::data_of(known.map(|_| kind)), &event["data"]));
        if known.and_then(|k| k.stream).is_some_and(|s| event["stream"] != s.as_str()) {
            faults.push(format!("`{kind}` in the stream {}", event["stream"]));
        }
        faults
    }
}
