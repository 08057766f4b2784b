//! The text of a profile while it is read, for the line and the allowed values in each error.

use super::facts::{FactScope, Type};
use super::{Choice, ProfileError};
use crate::codes::{Code, Outcome};
use crate::rules::Expression;
use crate::text::line_at;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// The text that is read, and the facts that its expressions ask.
pub struct Source<'a> {
    file: &'a str,
    text: &'a str,
    asked: RefCell<BTreeSet<Vec<String>>>,
}

impl<'a> Source<'a> {
    pub(super) const fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, asked: RefCell::new(BTreeSet::new()) }
    }

    /// What was asked so far: each fact by its path.
    pub(super) fn asked(&self) -> BTreeSet<Vec<String>> {
        self.asked.borrow().clone()
    }

    /// Notes that a fact is asked.
    pub(super) fn ask(&self, path: Vec<String>) {
        self.asked.borrow_mut().insert(path);
    }

    pub(crate) fn error(&self, offset: usize, what: impl Into<String>) -> ProfileError {
        let line = line_at(self.text.as_bytes(), offset);
        ProfileError { file: self.file.to_owned(), line, what: what.into() }
    }

    /// What the TOML reader says, at the place that it names.
    pub(super) fn unreadable(&self, e: &toml::de::Error, or_at: usize) -> ProfileError {
        self.error(e.span().map_or(or_at, |span| span.start), e.message())
    }

    pub(crate) fn outcome(&self, at: usize, word: &str) -> Result<Outcome, ProfileError> {
        Outcome::parse(word).ok_or_else(|| {
            self.error(at, format!("`{word}` is not a verdict; allowed: ADMIT, REFER, HOLD, DENY"))
        })
    }

    pub(crate) fn code(&self, at: usize, word: &str) -> Result<Code, ProfileError> {
        Code::parse(word).ok_or_else(|| {
            let family = word.split('_').next().unwrap_or_default();
            let near: Vec<&str> = Code::ALL
                .iter()
                .map(|c| c.as_str())
                .filter(|c| c.split('_').next() == Some(family))
                .collect();
            let all: Vec<&str> = Code::ALL.iter().map(|c| c.as_str()).collect();
            let allowed = if near.is_empty() { all } else { near };
            self.error(at, format!("`{word}` is not a reason code; allowed: {}", allowed.join(", ")))
        })
    }

    pub(crate) fn expression(
        &self,
        at: usize,
        text: &str,
        known: &FactScope,
    ) -> Result<Expression, ProfileError> {
        self.value(at, text, known, &[Type::Bool])
    }

    pub(crate) fn value(
        &self,
        at: usize,
        text: &str,
        known: &FactScope,
        of: &[Type],
    ) -> Result<Expression, ProfileError> {
        let read = Expression::one_of(text, known, of);
        let read = read.map_err(|e| self.error(at, format!("`{text}`: {e}")))?;
        read.named().facts.into_iter().for_each(|path| self.ask(path));
        Ok(read)
    }
}

/// A step that is read: where it stands, and what earlier ones have made.
pub struct StepContext<'a> {
    pub(crate) source: &'a Source<'a>,
    pub(crate) at: usize,
    pub(crate) known: &'a FactScope,
}

impl StepContext<'_> {
    pub(crate) fn error(&self, what: impl Into<String>) -> ProfileError {
        self.source.error(self.at, what)
    }

    /// An expression over what earlier steps have made, to a whole number.
    pub(crate) fn number(&self, text: &str) -> Result<Expression, ProfileError> {
        self.value(text, &[Type::Number])
    }

    /// One to a text.
    pub(crate) fn text(&self, text: &str) -> Result<Expression, ProfileError> {
        self.value(text, &[Type::Text])
    }

    /// One to a list of texts.
    pub(crate) fn texts(&self, text: &str) -> Result<Expression, ProfileError> {
        self.value(text, &[Type::Texts])
    }

    /// One to true or false.
    pub(crate) fn condition(&self, text: &str) -> Result<Expression, ProfileError> {
        self.value(text, &[Type::Bool])
    }

    /// One to a value of these types; of any, if none is named.
    pub(crate) fn value(&self, text: &str, of: &[Type]) -> Result<Expression, ProfileError> {
        self.source.value(self.at, text, self.known, of)
    }

    /// A fact by its path, as in `answers.tube`: what stands in braces in a line of a slip, for instance.
    pub(crate) fn fact(&self, path: &str) -> Result<Expression, ProfileError> {
        let read = self.value(path, &[])?;
        if read.path().is_none() {
            return Err(self.error(format!("`{path}` is no fact, but something that is computed")));
        }
        Ok(read)
    }

    pub(crate) fn between(
        &self,
        name: &str,
        value: impl Into<i64>,
        low: i64,
        high: i64,
    ) -> Result<(), ProfileError> {
        let value = value.into();
        if (low..=high).contains(&value) {
            return Ok(());
        }
        Err(self.error(format!("`{name}` is {value}; allowed: {low} to {high}")))
    }

    /// A field that holds so many choices, of which no two have one value: those could not be told apart.
    pub(crate) fn choices(
        &self,
        field: &str,
        choices: &[Choice],
        least: usize,
        most: usize,
    ) -> Result<(), ProfileError> {
        if !(least..=most).contains(&choices.len()) {
            let n = choices.len();
            return Err(self.error(format!("`{field}` is {n}; allowed: {least} to {most}")));
        }
        let mut seen = BTreeSet::new();
        match choices.iter().find(|c| !seen.insert(c.value.as_str())) {
            Some(twice) => Err(self.error(format!("`{field}` has the value `{}` twice", twice.value))),
            None => Ok(()),
        }
    }
}
