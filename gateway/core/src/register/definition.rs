//! What a profile says of a register: `[[register]]`.

use crate::codes::Code;
use crate::event::{LONGEST_NAME, OWN, is_kind, type_of};
use crate::profile::ProfileError;
use crate::profile::facts::{FactScope, Type};
use crate::profile::source::Source;
use crate::rules::Expression;
use crate::time::duration;
use serde::Deserialize;
use std::collections::BTreeSet;
use toml::{Spanned, Value};

/// The register of the seal numbers that were applied, and of those whose seal was removed.
pub const SEAL: &str = "seal";
/// The register of seal records, by plate.
pub const SEALS: &str = "seals";
/// Registers that every gateway has; no profile says what they are.
pub const BUILT_IN: [&str; 3] = ["pass-used", SEAL, SEALS];
/// How long a slot that was given back is kept where the profile does not say.
const KEEP: &str = "30d";
/// The longest time that one is kept, in days.
const KEEP_MOST_D: i64 = 3_660;
const DAY_MS: i64 = 86_400_000;
/// The longest name.
const NAME_MOST: usize = 40;

/// Whose slots a register has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Those of one lane.
    Lane,
    /// Those of all lanes of the gateway.
    Gateway,
    /// Those of all gateways of the site.
    #[default]
    Site,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Lane, Self::Gateway, Self::Site];
    /// The word in profiles.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lane => "lane",
            Self::Gateway => "gateway",
            Self::Site => "site",
        }
    }
}

/// How many slots a key has.
#[derive(Debug)]
pub enum Limit {
    /// So many.
    Number(i64),
    /// As many as the facts say; 0 is no limit.
    Of(Expression),
}

/// When a slot that is still held is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmWhen {
    /// So many milliseconds after it was put.
    After(i64),
    /// When its time is over.
    Until,
}

/// A register as a profile has it.
#[derive(Debug)]
pub struct Register {
    /// Its name.
    pub name: String,
    /// What is held.
    pub key: Expression,
    /// By whom.
    pub holder: Expression,
    /// How many slots a key has.
    pub limit: Option<Limit>,
    /// What is found when a key is full of others.
    pub over: Option<Code>,
    /// Whose slots there are.
    pub scope: Scope,
    /// How long a slot that was given back is kept, in milliseconds.
    pub keep_ms: i64,
    /// Whether amounts add up.
    pub sum: bool,
    /// Whether a slot is given back when its time is over.
    pub expires: bool,
    /// When a slot that is still held is told of, and by which event.
    pub alarm: Option<(AlarmWhen, String)>,
}

impl Register {
    /// Whether two profiles of a gateway can share it: what stands in its slots is the same. Who holds what, and how
    /// many, each lane says for itself.
    pub fn differs(&self, other: &Self) -> Option<&'static str> {
        let same = [
            ("scope", self.scope == other.scope),
            ("keep", self.keep_ms == other.keep_ms),
            ("sum", self.sum == other.sum),
            ("expires", self.expires == other.expires),
        ];
        same.into_iter().find(|(_, same)| !same).map(|(name, _)| name)
    }
}

/// As the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterFile {
    pub name: Spanned<String>,
    key: Spanned<String>,
    holder: Spanned<String>,
    limit: Option<Spanned<Value>>,
    over: Option<Spanned<String>>,
    scope: Option<Spanned<String>>,
    keep: Option<Spanned<String>>,
    #[serde(default)]
    sum: bool,
    #[serde(default)]
    expires: bool,
    alarm: Option<Spanned<AlarmFile>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AlarmFile {
    after: Option<String>,
    until: Option<bool>,
    event: String,
}

pub(super) fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=NAME_MOST).contains(&name.len())
        && name.bytes().all(plain)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
}

/// The names that a profile declares, each once.
pub(crate) fn names(source: &Source<'_>, files: &[RegisterFile]) -> Result<BTreeSet<String>, ProfileError> {
    let mut all = BTreeSet::new();
    for file in files {
        let (at, name) = (file.name.span().start, file.name.get_ref());
        if BUILT_IN.contains(&name.as_str()) {
            let what = format!("register `{name}` is built in: choose another name");
            return Err(source.error(at, what));
        }
        if !is_name(name) {
            let what = format!(
                "`{name}` is no name of a register: 1 to {NAME_MOST} of a-z 0-9 _, beginning with a letter"
            );
            return Err(source.error(at, what));
        }
        if !all.insert(name.clone()) {
            return Err(source.error(at, format!("two registers are called `{name}`")));
        }
    }
    Ok(all)
}

/// Reads the registers of a profile. `known` are all facts that its steps make.
pub(crate) fn read(
    source: &Source<'_>,
    files: Vec<RegisterFile>,
    known: &FactScope,
) -> Result<Vec<Register>, ProfileError> {
    files.into_iter().map(|file| one(source, file, known)).collect()
}

fn one(source: &Source<'_>, file: RegisterFile, known: &FactScope) -> Result<Register, ProfileError> {
    let texts = [Type::Text, Type::Texts];
    let expression =
        |text: &Spanned<String>, of: &[Type]| source.value(text.span().start, text.get_ref(), known, of);
    let limit = file.limit.map(|limit| {
        let at = limit.span().start;
        match limit.into_inner() {
            Value::Integer(most) if most >= 1 => Ok(Limit::Number(most)),
            Value::String(text) => source.value(at, &text, known, &[Type::Number]).map(Limit::Of),
            other @ (Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_)) => {
                let what =
                    format!("`limit` is {other}; allowed: a number from 1, or an expression that gives one");
                Err(source.error(at, what))
            }
        }
    });
    let (limit, over) = (limit.transpose()?, file.over);
    let over = over.map(|code| source.code(code.span().start, code.get_ref())).transpose()?;
    let name = file.name.get_ref().clone();
    if over.is_some() && limit.is_none() {
        let what = format!("register `{name}` has a code `over` and no `limit` that it could be over");
        return Err(source.error(file.name.span().start, what));
    }
    let scope = match file.scope {
        None => Scope::default(),
        Some(word) => Scope::ALL.into_iter().find(|s| s.as_str() == word.get_ref()).ok_or_else(|| {
            let what = format!("`{}` is no scope; allowed: lane, gateway, site", word.get_ref());
            source.error(word.span().start, what)
        })?,
    };
    let keep_ms = match file.keep {
        None => span(source, 0, "keep", KEEP)?,
        Some(keep) => span(source, keep.span().start, "keep", keep.get_ref())?,
    };
    if file.sum && (limit.is_some() || file.expires || file.alarm.is_some()) {
        let what =
            format!("register `{name}` sums up: it has no `limit`, does not expire, and has no `alarm`");
        return Err(source.error(file.name.span().start, what));
    }
    let alarm = file.alarm.map(|alarm| alarm_of(source, &alarm)).transpose()?;
    Ok(Register {
        key: expression(&file.key, &texts)?,
        holder: expression(&file.holder, &[Type::Text])?,
        name,
        limit,
        over,
        scope,
        keep_ms,
        sum: file.sum,
        expires: file.expires,
        alarm,
    })
}

fn span(source: &Source<'_>, at: usize, name: &str, text: &str) -> Result<i64, ProfileError> {
    let bad = |why: String| source.error(at, format!("`{name}`: {why}"));
    let ms = duration(text).map_err(bad)?;
    if (1..=KEEP_MOST_D * DAY_MS).contains(&ms) {
        return Ok(ms);
    }
    Err(bad(format!("`{text}` is too short or too long; allowed: up to {KEEP_MOST_D}d")))
}

fn alarm_of(source: &Source<'_>, alarm: &Spanned<AlarmFile>) -> Result<(AlarmWhen, String), ProfileError> {
    let (at, alarm) = (alarm.span().start, alarm.get_ref());
    let when = match (&alarm.after, alarm.until) {
        (Some(after), None) => AlarmWhen::After(span(source, at, "after", after)?),
        (None, Some(true)) => AlarmWhen::Until,
        (_, _) => {
            let what = "an alarm comes after a time or at the end of it: `{ after = \"2d\", event = \"…\" }` or \
                        `{ until = true, event = \"…\" }`";
            return Err(source.error(at, what));
        }
    };
    if !is_kind(&alarm.event) {
        let most = LONGEST_NAME - type_of("").len();
        let what = format!("`{}` is no kind of event: 1 to {most} of a-z A-Z 0-9 . _ - : +", alarm.event);
        return Err(source.error(at, what));
    }
    if OWN.contains(&alarm.event.as_str()) {
        let what = format!(
            "`{}` is a kind of event that the gateway itself makes: choose another name",
            alarm.event
        );
        return Err(source.error(at, what));
    }
    Ok((when, alarm.event.clone()))
}
