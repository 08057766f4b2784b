//! The fields of an entry of a list: what each is, and what becomes of one that is something else.
//!
//! Lists come from many hands. A field of another type than a lane reads would count as absent: a pass whose end is a
//! text would never end. An entry with such a field cannot be read, and whoever is looked up in it waits for staff. Whoever
//! makes a list is told before, of every field. [`crate::lists`] has the table.

use crate::lists::{self, LISTS};
use crate::pass::plate;
use crate::profile::facts::Type;
use crate::schedule;
use crate::text::masked;
use serde_json::{Map, Value, json};

/// What a field is.
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
    /// A whole number from 0 to this one.
    Level(i64),
    /// 1 for once, 0 for any number of times.
    Uses,
    /// A moment from which on something is, UTC milliseconds.
    Moment,
    /// A moment until which something is, UTC milliseconds.
    End,
    /// One of these.
    Word(&'static [&'static str]),
    /// Days of the site, as `2022-05-24`.
    Days,
    /// Days of the week and times of day, as `1-5 08:00-17:30`.
    Hours,
}
use Is::{Days, End, Flag, Hours, Level, Moment, Number, Text, Texts, Uses, Word};

/// A field of the entries of a list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fact {
    /// Of which list.
    pub list: &'static str,
    /// What it is called.
    pub name: &'static str,
    /// What it is.
    pub is: Is,
    /// Whether no entry is without it.
    pub required: bool,
    /// Whether no verdict hangs on it: one that cannot be read is as if it were not there.
    shown: bool,
    /// Whether it names somebody: a lane keeps no more of it than a screen shows.
    masked: bool,
}

impl Fact {
    /// One that may be left out, and that a verdict may hang on.
    pub(crate) const fn new(list: &'static str, name: &'static str, is: Is) -> Self {
        Self { list, name, is, required: false, shown: false, masked: false }
    }
    pub(crate) const fn required(self) -> Self {
        Self { required: true, ..self }
    }
    pub(crate) const fn shown(self) -> Self {
        Self { shown: true, ..self }
    }
    pub(crate) const fn of_a_person(self) -> Self {
        Self { masked: true, ..self.shown() }
    }

    /// Its type in expressions.
    pub const fn of(&self) -> Type {
        match self.is {
            Flag => Type::Bool,
            Text | Word(_) => Type::Text,
            Texts | Days | Hours => Type::Texts,
            Number | Level(_) | Uses | Moment | End => Type::Number,
        }
    }

    /// Its value as a fact, in an entry that was read; what it says without one.
    pub fn value(&self, entry: Option<&Map<String, Value>>) -> Value {
        let value = entry.and_then(|entry| entry.get(self.name)).filter(|value| self.of().holds(value));
        match value {
            Some(Value::String(text)) if self.masked => json!(masked(text)),
            // However a list writes a plate, lanes compare it in its one form.
            Some(Value::String(text)) if self.name == "plate" => {
                json!(plate::normal(text).unwrap_or_else(|| text.clone()))
            }
            Some(Value::Array(all)) if self.masked => {
                all.iter().map(|text| json!(masked(text.as_str().unwrap_or_default()))).collect()
            }
            Some(value) => value.clone(),
            None => self.of().empty(),
        }
    }

    /// What it must be, if it is something else. A word that no lane knows is a text all the same: it is for the rules to
    /// say what follows from it.
    fn must_be(&self, value: &Value) -> Option<&'static str> {
        let texts = || value.as_array().is_some_and(|all| all.iter().all(Value::is_string));
        let all = |fits: &dyn Fn(&str) -> bool| {
            value.as_array().is_some_and(|all| all.iter().all(|text| text.as_str().is_some_and(fits)))
        };
        let wrong = |good: bool, allowed| (!good).then_some(allowed);
        match self.is {
            Flag => wrong(value.is_boolean(), "true or false"),
            Text | Word(_) => wrong(value.is_string(), "a text"),
            Texts => wrong(texts(), "an array of texts"),
            Number | Level(_) | Moment | End => wrong(whole(value).is_some(), "a whole number"),
            Uses => wrong(matches!(whole(value), Some(0 | 1)), "0 (any number of times) or 1 (once)"),
            Days => wrong(all(&schedule::is_day), "an array of days, as in 2022-05-24"),
            Hours => wrong(
                all(&|text| schedule::Open::read(text).is_some()),
                "an array of opening hours, as in `1-5 08:00-17:30`",
            ),
        }
    }
}

/// Every field that a lane or its staff make something of.
pub fn all() -> impl Iterator<Item = &'static Fact> {
    LISTS.iter().flat_map(|list| list.fields)
}

/// The fields of a list.
pub fn facts(list: &str) -> impl Iterator<Item = &'static Fact> + use<> {
    lists::find(list).into_iter().flat_map(|list| list.fields)
}

/// A whole number. Programs for tables write one as `1.0` where its column has gaps.
pub fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_f64()?.to_string().parse().ok())
}

/// The entry as a lane reads it; a field that is null is not there. An error says what is wrong, and quotes nothing.
pub fn read(list: &str, mut entry: Map<String, Value>) -> Result<Map<String, Value>, String> {
    for fact in facts(list) {
        let Some(value) = entry.get_mut(fact.name) else { continue };
        let fault = fact.must_be(value);
        if value.is_null() || fault.is_some() && fact.shown {
            entry.remove(fact.name);
            continue;
        }
        if let Some(allowed) = fault {
            return Err(format!("`{}` of an entry is not {allowed}", fact.name));
        }
        if fact.of() == Type::Number
            && let Some(number) = whole(value)
        {
            *value = number.into();
        }
    }
    Ok(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(json: Value) -> Map<String, Value> {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn a_field_of_another_type_cannot_be_read_unless_it_is_only_shown() {
        for (list, field, wrong) in [
            ("pass", "exp_ms", json!("2022-05-24")),
            ("pass", "crew", json!("2")),
            ("pass", "uses", json!(2)),
            ("pass", "approvals", json!(["a", 1])),
            ("status", "colour", json!(3)),
            ("bookings", "reentry", json!("yes")),
            ("schedule", "open", json!(["always"])),
            ("schedule", "closed", json!(["1 May"])),
            ("deliveries", "tubes", json!("T-1")),
        ] {
            let why = read(list, entry(json!({ field: wrong }))).unwrap_err();
            assert!(why.starts_with(&format!("`{field}` of an entry is not ")), "{why}");
        }
        for (list, field, wrong) in
            [("status", "name", json!(7)), ("status", "group", json!([])), ("children", "note", json!(true))]
        {
            assert_eq!(read(list, entry(json!({ field: wrong, "x": 1 }))).unwrap(), entry(json!({ "x": 1 })));
        }
    }

    #[test]
    fn a_field_that_is_null_is_not_there_and_a_whole_number_may_have_a_point() {
        let read = read("pass", entry(json!({ "crew": 2.0, "plate": null, "own": null }))).unwrap();
        assert_eq!(read, entry(json!({ "crew": 2, "own": null })));
    }

    #[test]
    fn every_field_has_a_value_of_its_type_with_and_without_an_entry() {
        for fact in all() {
            assert!(fact.of().holds(&fact.value(None)), "{}.{}", fact.list, fact.name);
        }
        let child =
            read("children", entry(json!({ "names": ["王小明", "李华"], "note": "父亲不可接" }))).unwrap();
        let value = |name: &str| facts("children").find(|f| f.name == name).unwrap().value(Some(&child));
        assert_eq!(value("names"), json!(["王*", "李*"]));
        assert_eq!(value("note"), json!("父*"), "that there is one, and no more");
        assert_eq!(value("children"), json!([]));
    }

    #[test]
    fn a_plate_has_one_form_however_a_list_writes_it() {
        let booking = read("bookings", entry(json!({ "plate": "辽p·12345" }))).unwrap();
        let plate = facts("bookings").find(|fact| fact.name == "plate").unwrap();
        assert_eq!(plate.value(Some(&booking)), json!("辽P12345"));
    }
}
