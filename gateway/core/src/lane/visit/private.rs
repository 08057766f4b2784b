//! What was answered in private: in memory alone, never among what is stored, told or logged in clear.

use crate::pass::{FORM, Pass};
use crate::profile::facts::PASS;
use serde::Serializer;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// Private answers by field. Whoever writes them out sees which there are, and none of them.
#[derive(Clone, Default, PartialEq)]
pub struct Private(BTreeMap<String, Value>);

impl fmt::Debug for Private {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Private {
    /// One of them.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }
    /// Whether it is there.
    pub fn contains_key(&self, field: &str) -> bool {
        self.0.contains_key(field)
    }
    /// Keeps one.
    pub fn insert(&mut self, field: String, answer: Value) {
        self.0.insert(field, answer);
    }
    /// Forgets one.
    pub fn remove(&mut self, field: &str) {
        self.0.remove(field);
    }
    /// All of them, to be sealed for the central side.
    pub(in crate::lane) fn in_clear(&self) -> Map<String, Value> {
        self.0.iter().map(|(field, answer)| (field.clone(), answer.clone())).collect()
    }
}

/// A number that staff have typed into a form stands for a person: it is asked again rather than stored.
pub(super) fn is_not_stored(pass: &Option<Pass>) -> bool {
    pass.as_ref().is_none_or(|pass| pass.kind == FORM)
}

/// Facts as they are stored: without the number from a form.
pub(super) fn stored_facts<S: Serializer>(facts: &Map<String, Value>, to: S) -> Result<S::Ok, S::Error> {
    let of_form = |pass: &Value| pass.get("kind").and_then(Value::as_str) == Some(FORM);
    if !facts.get(PASS).is_some_and(of_form) {
        return serde::Serialize::serialize(facts, to);
    }
    let mut stored = facts.clone();
    if let Some(Value::Object(pass)) = stored.get_mut(PASS) {
        for name in ["id", "subject"] {
            pass.insert(name.to_owned(), json!(""));
        }
    }
    serde::Serialize::serialize(&stored, to)
}
