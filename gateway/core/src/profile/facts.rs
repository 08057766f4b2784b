//! The facts that expressions may ask: one table with their types, and what they are while nothing has made
//! them. An expression then never fails at the gate for want of a fact.

use serde_json::{Map, Value, json};

/// The type of a fact or of a part of an expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// True or false.
    Bool,
    /// A whole number.
    Number,
    /// A number with a fraction.
    Decimal,
    /// Text.
    Text,
    /// A list of texts.
    Texts,
}

impl Type {
    /// As errors name it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bool => "true or false",
            Self::Number => "a whole number",
            Self::Decimal => "a number",
            Self::Text => "a text",
            Self::Texts => "a list of texts",
        }
    }
    /// The value while nothing has made the fact.
    pub fn empty(self) -> Value {
        match self {
            Self::Bool => json!(false),
            Self::Number => json!(0),
            Self::Decimal => json!(0.0),
            Self::Text => json!(""),
            Self::Texts => json!([]),
        }
    }
}

/// Whose fields depend on the questions of the profile.
pub const ANSWERS: &str = "answers";

/// The groups of facts.
pub const ROOTS: [&str; 8] = ["pass", "health", "temp", ANSWERS, "seal", "photos", "lane", "visit"];

use Type::{Bool, Decimal, Number, Text, Texts};

/// Every fact by group and name.
const FACTS: &[(&str, &str, Type)] = &[
    ("lane", "id", Text),
    ("lane", "region", Text),
    ("visit", "id", Number),
    ("pass", "id", Text),
    ("pass", "format", Text),
    ("pass", "kind", Text),
    ("pass", "plate", Text),
    ("pass", "category", Text),
    ("pass", "from", Text),
    ("pass", "to", Text),
    ("pass", "crew", Number),
    ("pass", "uses", Number),
    ("pass", "approvals", Texts),
    ("pass", "driver", Text),
    ("pass", "patient", Text),
    ("pass", "ward", Text),
    ("pass", "role", Text),
    ("pass", "roster", Text),
    ("pass", "seals", Texts),
    ("pass", "class", Text),
    ("pass", "company", Text),
    ("pass", "gates", Texts),
    ("pass", "certificate", Text),
    ("pass", "country", Text),
    ("pass", "test_result", Text),
    ("pass", "sampled_at_ms", Number),
    ("pass", "dose", Number),
    ("pass", "doses", Number),
    ("pass", "vaccinated_at_ms", Number),
    ("pass", "from_ms", Number),
    ("pass", "until_ms", Number),
    ("health", "known", Bool),
    ("health", "colour", Text),
    ("health", "test_result", Text),
    ("health", "test_age_h", Decimal),
    ("health", "risk_area", Bool),
    ("health", "out_of_city", Bool),
    ("temp", "state", Text),
    ("temp", "mdeg", Number),
    ("seal", "count", Number),
    ("seal", "number", Text),
    ("photos", "accepted", Number),
];

/// Facts whose value, while nothing has made them, is not that of their type.
fn empty(root: &str, field: &str, of: Type) -> Value {
    match (root, field) {
        ("health", "colour") => json!("unknown"),
        // Older than any limit.
        ("health", "test_age_h") => json!(1e9),
        ("temp", "state") => json!("none"),
        _ => of.empty(),
    }
}

/// The fields of a group with their types; of answers there are none here.
pub fn fields(root: &str) -> impl Iterator<Item = (&'static str, Type)> {
    FACTS.iter().filter(move |(r, ..)| *r == root).map(|(_, field, of)| (*field, *of))
}

/// A group while nothing has made it.
pub fn unmade(root: &str) -> Map<String, Value> {
    fields(root).map(|(field, of)| (field.to_owned(), empty(root, field, of))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::kp1;

    #[test]
    fn every_field_of_a_pass_of_ours_is_a_fact() {
        for kind in kp1::kind_words().filter_map(kp1::kind_of) {
            // Names and pictures of persons are for screens, keys and addresses for the gateway itself.
            let own = ["name", "photo", "key", "url"];
            for field in kp1::field_help(kind).split(", ").map(|f| f.trim_end_matches('?')) {
                assert!(own.contains(&field) || fields("pass").any(|(name, _)| name == field), "{field}");
            }
        }
    }
}
