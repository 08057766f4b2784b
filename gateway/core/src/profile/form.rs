//! The TOML form of a profile, but for what belongs to one kind of step alone.

use super::ProfileError;
use super::source::Source;
use super::start::StartFile;
use crate::event::Class;
use crate::ids::ProfileId;
use crate::register::RegisterFile;
use crate::text::Text;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

/// Fields that had another name before: the earlier name is read in this version for the last time.
const RENAMED: [(&str, &str); 1] = [("on_doubt", "fail_mode")];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileFile {
    pub id: ProfileId,
    pub title: Text,
    pub direction: Spanned<String>,
    pub by: Option<Spanned<String>>,
    /// Whether it is no lane: the duty console, with acts and without steps.
    #[serde(default)]
    pub console: bool,
    pub start: Option<StartFile>,
    #[serde(default)]
    pub audience: Vec<String>,
    #[serde(alias = "on_doubt")]
    pub fail_mode: Spanned<String>,
    #[serde(default)]
    pub fail_when: Vec<Spanned<FailWhenFile>>,
    #[serde(default = "nothing")]
    pub one_signature: Spanned<Vec<String>>,
    #[serde(default = "yes")]
    pub uses_pass: bool,
    #[serde(default = "day_h")]
    pub stale_after_h: Spanned<i64>,
    #[serde(default = "same_read_s")]
    pub same_read_s: u64,
    #[serde(default = "same_result_s")]
    pub same_result_s: u64,
    #[serde(default = "show_verdict_s")]
    pub show_verdict_s: u64,
    #[serde(default)]
    pub verdicts: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub verdicts_out: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub instructions: BTreeMap<String, Spanned<Text>>,
    #[serde(default)]
    pub emit: Vec<Spanned<EmitFile>>,
    #[serde(default)]
    pub register: Vec<RegisterFile>,
    /// The earlier names of fields that it has, each with the name of today.
    #[serde(skip)]
    pub renamed: Vec<(&'static str, &'static str)>,
    /// Each is read by its kind: see [`steps`].
    #[serde(default)]
    pub step: Vec<Spanned<IgnoredAny>>,
}

fn nothing() -> Spanned<Vec<String>> {
    Spanned::new(0..0, Vec::new())
}
const fn yes() -> bool {
    true
}
fn day_h() -> Spanned<i64> {
    Spanned::new(0..0, 24)
}
const fn same_read_s() -> u64 {
    3
}
const fn same_result_s() -> u64 {
    60
}
const fn show_verdict_s() -> u64 {
    8
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EmitFile {
    pub kind: String,
    pub class: Option<Class>,
    #[serde(default)]
    pub outcomes: Vec<String>,
    #[serde(default)]
    pub codes: Vec<String>,
    pub when: Option<Spanned<String>>,
    #[serde(default)]
    pub data: BTreeMap<String, Spanned<EmitDataFile>>,
}

/// What an extra event says: an expression, or one whose value stands for a person.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum EmitDataFile {
    Value(String),
    Key(KeyFile),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyFile {
    pub key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FailWhenFile {
    pub when: String,
    pub outcome: String,
}

/// The fields that a step of any kind takes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StepFile {
    pub kind: String,
    pub id: Option<String>,
    pub title: Option<Text>,
    pub prompt: Option<Text>,
    pub when: Option<String>,
    /// Where a device must answer, at least as long as it may take to.
    pub timeout_s: Option<u64>,
    #[serde(default)]
    pub optional: bool,
    pub device: Option<String>,
}

/// Their names; what else stands in a step belongs to its kind.
pub(super) const OF_EVERY_STEP: [&str; 8] =
    ["kind", "id", "title", "prompt", "when", "timeout_s", "optional", "device"];

/// A step: where it stands, what every step has, and what belongs to its kind.
pub(super) struct RawStep<'i> {
    pub at: usize,
    pub file: StepFile,
    pub own: Spanned<DeValue<'i>>,
}

/// Reads everything but what belongs to a kind of step.
pub(super) fn read<'i>(
    source: &Source<'_>,
    text: &'i str,
) -> Result<(ProfileFile, Vec<RawStep<'i>>), ProfileError> {
    let unreadable = |e: toml::de::Error| source.unreadable(&e, 0);
    let document = DeTable::parse(text).map_err(unreadable)?;
    let mut file =
        ProfileFile::deserialize(toml::de::Deserializer::from(document.clone())).map_err(unreadable)?;
    file.renamed =
        RENAMED.into_iter().filter(|(earlier, _)| document.get_ref().contains_key(*earlier)).collect();
    if file.console {
        if !file.step.is_empty() || file.start.is_some() {
            let what = "a console is no lane: leave out `step` and `[start]`, or `console`";
            return Err(source.error(0, what));
        }
        return Ok((file, Vec::new()));
    }
    let found = document.into_inner().remove("step").map(Spanned::into_inner);
    let Some(found) = found else {
        return Err(source.error(0, "missing field `step`"));
    };
    let DeValue::Array(found) = found else {
        return Err(source.error(0, "`step` is a list of tables"));
    };
    let steps = file.step.iter().zip(found.iter()).map(|(spanned, step)| split(source, spanned, step));
    let steps = steps.collect::<Result<_, _>>()?;
    Ok((file, steps))
}

/// Takes what every step has out of a step.
fn split<'i>(
    source: &Source<'_>,
    spanned: &Spanned<IgnoredAny>,
    step: &Spanned<DeValue<'i>>,
) -> Result<RawStep<'i>, ProfileError> {
    let at = spanned.span().start;
    let Some(mut own) = step.get_ref().as_table().cloned() else {
        return Err(source.error(at, "a step is a table: [[step]]"));
    };
    let mut of_every_step = DeTable::new();
    for name in OF_EVERY_STEP {
        if let Some((key, value)) = own.remove_entry(name) {
            of_every_step.insert(key, value);
        }
    }
    let table = |table| Spanned::new(step.span(), DeValue::Table(table));
    let file = StepFile::deserialize(ValueDeserializer::from(table(of_every_step)))
        .map_err(|e| source.unreadable(&e, at))?;
    Ok(RawStep { at, file, own: table(own) })
}
