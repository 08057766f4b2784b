//! The facts of an entry of a list: which there are, and what each is.
//!
//! Lists come from many hands. A fact of another type than a lane reads would count as absent: a pass whose end is a
//! text would never end. An entry with such a fact that a verdict hangs on cannot be read, and whoever is looked up in it
//! waits for staff. Whoever makes a list is told before, of every fact.

use serde_json::{Map, Value};

/// What a fact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// True or false.
    Flag,
    /// A text.
    Text,
    /// Texts.
    Texts,
    /// A whole number from 0.
    Number,
    /// 1 for once, 0 for any number of times.
    Uses,
    /// A moment from which on something is, UTC milliseconds.
    Moment,
    /// A moment until which something is, UTC milliseconds.
    End,
    /// One of these.
    Word(&'static [&'static str]),
}
use Is::{End, Flag, Moment, Number, Text, Texts, Uses, Word};

/// A fact of the entries of a list.
#[derive(Debug, Clone, Copy)]
pub struct Fact {
    /// Of which list.
    pub list: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// What it is.
    pub is: Is,
    /// Whether a verdict hangs on it: an entry is not used without it where it is there and cannot be read.
    decides: bool,
}

const fn fact(list: &'static str, name: &'static str, is: Is) -> Fact {
    Fact { list, name, is, decides: false }
}
const fn decides(list: &'static str, name: &'static str, is: Is) -> Fact {
    Fact { list, name, is, decides: true }
}

const COLOURS: Is = Word(&["green", "yellow", "red"]);
const RESULTS: Is = Word(&["negative", "positive", "pending"]);
const CATEGORIES: Is = Word(&["emergency-supplies", "emergency-bulk", "resident-car", "transit"]);
const ROLES: Is = Word(&["staff", "inpatient", "companion", "worker", "resident"]);

/// Every fact that a lane or its staff make something of.
pub const FACTS: &[Fact] = &[
    fact("status", "name", Text),
    fact("status", "group", Text),
    decides("status", "colour", COLOURS),
    decides("status", "test_result", RESULTS),
    decides("status", "sampled_at_ms", Moment),
    decides("status", "reported_at_ms", Moment),
    decides("status", "risk_area", Flag),
    decides("status", "out_of_city", Flag),
    decides("pass", "nbf_ms", Moment),
    decides("pass", "exp_ms", End),
    fact("pass", "plate", Text),
    fact("pass", "category", CATEGORIES),
    fact("pass", "from", Text),
    fact("pass", "to", Text),
    fact("pass", "patient", Text),
    fact("pass", "ward", Text),
    fact("pass", "role", Text),
    fact("pass", "company", Text),
    fact("pass", "crew", Number),
    decides("pass", "uses", Uses),
    fact("pass", "approvals", Texts),
    fact("hold", "until_ms", End),
    fact("roster", "name", Text),
    fact("roster", "ward", Text),
    fact("roster", "patient", Text),
    fact("roster", "room", Text),
    fact("roster", "company", Text),
    fact("roster", "shift", Text),
    fact("roster", "role", ROLES),
    fact("roster", "beds", Number),
    fact("roster", "until_ms", End),
    fact("release", "from_ms", Moment),
    fact("release", "to", Text),
    fact("release", "by", Text),
    fact("policy", "toml", Text),
];

/// The facts of a list.
pub fn facts(list: &str) -> impl Iterator<Item = &'static Fact> {
    FACTS.iter().filter(move |fact| fact.list == list)
}

/// A whole number. Programs for tables write one as `1.0` where its column has gaps.
pub fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64()?.to_string().parse().ok())
}

/// The facts as a lane reads them; one that is null is not there. An error says what is wrong, and quotes nothing. A
/// word that no lane knows is a text all the same: it is for the rules to say what follows from it.
pub fn read(list: &str, mut entry: Map<String, Value>) -> Result<Map<String, Value>, String> {
    for Fact { name, is, .. } in facts(list).filter(|fact| fact.decides) {
        let Some(value) = entry.get_mut(*name) else { continue };
        if value.is_null() {
            entry.remove(*name);
            continue;
        }
        let number = whole(value);
        let allowed = match is {
            Flag => (!value.is_boolean()).then_some("true or false"),
            Text | Word(_) => (!value.is_string()).then_some("a text"),
            Texts => (!value.is_array()).then_some("an array of texts"),
            Number | Moment | End => number.is_none().then_some("a whole number"),
            Uses => (!matches!(number, Some(0 | 1))).then_some("0 (any number of times) or 1 (once)"),
        };
        if let Some(allowed) = allowed {
            return Err(format!("`{name}` of an entry is not {allowed}"));
        }
        if let Some(number) = number {
            *value = number.into();
        }
    }
    Ok(entry)
}
