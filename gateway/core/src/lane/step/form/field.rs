//! One field of a form, as a profile has it.

use super::super::input::{Bound, Input, InputForm, Limits};
use super::super::kind::{Answers, Kind};
use super::super::verify::Verify;
use crate::profile::facts::Type;
use crate::profile::source::StepContext;
use crate::profile::{Choice, ProfileError};
use crate::rules::Expression;
use crate::text::Text;
use serde::Deserialize;
use serde_json::{Value, json};

/// One field.
#[derive(Debug)]
pub struct Field {
    /// Its name, unique in the profile.
    pub id: String,
    /// For people.
    pub text: Text,
    /// The form of its answer.
    pub input: Input,
    /// Whether it must be answered when it is asked.
    pub required: bool,
    /// It is asked only when all of these hold.
    pub when: Vec<Expression>,
    /// Whether its answer stays in memory.
    pub private: bool,
    /// Whether its answer names somebody, though rules may read it.
    pub personal: bool,
    /// Whether its answer is taken for the code of the visit.
    pub subject: bool,
    /// What fills it in.
    pub from: Option<Expression>,
    /// What can be chosen, where that is known only when somebody stands there.
    pub options_from: Option<Expression>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldForm {
    pub id: String,
    #[serde(rename = "type")]
    of: InputForm,
    zh: String,
    en: String,
    #[serde(default)]
    required: Required,
    when: Option<String>,
    #[serde(default)]
    private: bool,
    #[serde(default)]
    personal: bool,
    #[serde(default)]
    subject: bool,
    from: Option<String>,
    #[serde(default)]
    options: Vec<Choice>,
    options_from: Option<String>,
    min: Option<Bound>,
    max: Option<Bound>,
    #[serde(default)]
    decimals: u8,
}

/// `true`, `false`, or the condition under which it is asked and required.
#[derive(Deserialize)]
#[serde(untagged)]
enum Required {
    Always(bool),
    When(String),
}

impl Default for Required {
    fn default() -> Self {
        Self::Always(false)
    }
}

/// Names of fields stand in expressions.
pub(super) fn is_name(id: &str) -> bool {
    id.starts_with(|c: char| c.is_ascii_lowercase())
        && id.len() <= 40
        && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

impl FieldForm {
    pub(super) fn read(self, place: &StepContext<'_>) -> Result<Field, ProfileError> {
        let Self {
            id,
            of,
            zh,
            en,
            required,
            when,
            private,
            personal,
            subject,
            from,
            options,
            options_from,
            min,
            max,
            decimals,
        } = self;
        let input =
            Input::read(of, Limits { options, later: options_from.is_some(), min, max, decimals }, place)?;
        if subject && input.fact() != Type::Text {
            return Err(place.error(format!("`{id}` is the subject: its answer is a text")));
        }
        let mut conditions = Vec::from_iter(when);
        let required = match required {
            Required::Always(required) => required,
            Required::When(condition) => {
                conditions.push(condition);
                true
            }
        };
        Ok(Field {
            text: Text::new(zh, en),
            required,
            when: conditions.iter().map(|text| place.condition(text)).collect::<Result<_, _>>()?,
            // Whose number it is stays in memory like everything else that names a person.
            private: private || subject,
            personal,
            subject,
            from: from.map(|text| from_code(place, &text, input.fact())).transpose()?,
            options_from: options_from.map(|text| place.texts(&text)).transpose()?,
            input,
            id,
        })
    }
}

impl Field {
    /// The facts that it makes, each by its path below `answers`.
    pub(super) fn facts(&self) -> Answers {
        if self.private {
            vec![(given_path(&self.id), Type::Bool)]
        } else {
            vec![(self.id.clone(), self.input.fact())]
        }
    }

    /// What stands in its place as long as nothing was answered.
    pub(super) fn unmade(&self) -> Value {
        if self.private { json!({ "given": false }) } else { self.input.fact().empty() }
    }
}

/// The path below `answers` of whether a private answer was given.
fn given_path(id: &str) -> String {
    format!("{id}.given")
}

/// What a field is filled from: facts, and what the code itself says also before a `verify` has looked it up.
fn from_code(place: &StepContext<'_>, text: &str, of: Type) -> Result<Expression, ProfileError> {
    let mut known = place.known.clone();
    if text.trim().starts_with(OF_CODE) {
        known.made_by.insert(Verify::ABOUT.name);
    }
    place.source.value(place.at, text, &known, &[of])
}

/// The group of what a code says.
pub(super) const OF_CODE: &str = "pass.";
