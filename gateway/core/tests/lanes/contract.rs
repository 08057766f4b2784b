//! Whatever a lane puts on record is held against the schema of its kind, as others read it.

use jsonschema::Validator;
use kakou_core::contract::{self, Kind, data_of, schemas, strict};
use kakou_core::event::{NewEvent, OWN};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Fails where an event is not what the contract says.
pub fn hold(event: &NewEvent) {
    static KINDS: OnceLock<BTreeMap<String, Validator>> = OnceLock::new();
    let kinds = KINDS.get_or_init(|| {
        let mut all = Value::Object(schemas());
        strict(&mut all);
        let of = |name: &String| {
            let document =
                json!({ "$ref": format!("#/components/schemas/{name}"), "components": { "schemas": all } });
            (name.clone(), jsonschema::draft202012::new(&document).expect("the contract is made of schemas"))
        };
        all.as_object().unwrap().keys().filter(|name| name.ends_with("Data")).map(of).collect()
    });
    let own = OWN.contains(&event.kind.as_str());
    let name = data_of(own.then_some(event.kind.as_str()));
    let faults: Vec<String> =
        kinds[&name].iter_errors(&event.data).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(
        faults.is_empty(),
        "an event `{}` is not as {name} says: {faults:#?}\n{:#}",
        event.kind,
        event.data
    );
    static STREAMS: OnceLock<BTreeMap<String, Kind>> = OnceLock::new();
    if let Some(kind) = STREAMS.get_or_init(contract::kinds).get(&event.kind) {
        assert_eq!(kind.stream, Some(event.class), "the stream of `{}`", event.kind);
    }
}
