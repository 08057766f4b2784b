//! The extra events of a profile: when they come, and what they say.

use super::facts::{FactScope, Type};
use super::form::{EmitDataFile, EmitFile, KeyFile};
use super::source::Source;
use super::{Emit, EmitData, ProfileError};
use crate::event::{self, Class};
use toml::Spanned;

/// What every extra event says.
const OF_EVERY: [&str; 6] = ["outcome", "codes", "subject", "subject_key", "readings", "answers"];

/// The most that one says beside that.
const DATA_MOST: usize = 20;

/// Reads one. It comes with a verdict: it may ask what all steps have made.
pub(super) fn read(
    source: &Source<'_>,
    emit: &Spanned<EmitFile>,
    known: &FactScope,
) -> Result<Emit, ProfileError> {
    let (at, emit) = (emit.span().start, emit.get_ref());
    if !event::is_kind(&emit.kind) {
        let most = event::LONGEST_NAME - event::type_of("").len();
        let what = format!("`{}` is no kind of event: 1 to {most} of a-z A-Z 0-9 . _ - : +", emit.kind);
        return Err(source.error(at, what));
    }
    if event::OWN.contains(&emit.kind.as_str()) {
        let what =
            format!("`{}` is a kind of event that the gateway itself makes: choose another name", emit.kind);
        return Err(source.error(at, what));
    }
    if emit.data.len() > DATA_MOST {
        let what = format!("`data` of `{}` has {} names; allowed: {DATA_MOST}", emit.kind, emit.data.len());
        return Err(source.error(at, what));
    }
    let data = |(name, data): (&String, &Spanned<EmitDataFile>)| {
        let at = data.span().start;
        if OF_EVERY.contains(&name.as_str()) || !is_name(name) {
            let what = format!(
                "`{name}` is no name in `data`; allowed: a-z 0-9 _, but for {}, which every extra event has",
                OF_EVERY.join(", ")
            );
            return Err(source.error(at, what));
        }
        let (text, key, of): (_, _, &[Type]) = match data.get_ref() {
            EmitDataFile::Value(text) => (text, false, &[]),
            EmitDataFile::Key(KeyFile { key }) => (key, true, &[Type::Text, Type::Texts]),
        };
        Ok((name.clone(), EmitData { value: source.value(at, text, known, of)?, key }))
    };
    let when = emit.when.as_ref();
    Ok(Emit {
        kind: emit.kind.clone(),
        class: emit.class.unwrap_or(Class::Scan),
        outcomes: emit.outcomes.iter().map(|o| source.outcome(at, o)).collect::<Result<_, _>>()?,
        codes: emit.codes.iter().map(|c| source.code(at, c)).collect::<Result<_, _>>()?,
        when: when.map(|w| source.expression(w.span().start, w.get_ref(), known)).transpose()?,
        data: emit.data.iter().map(data).collect::<Result<_, _>>()?,
    })
}

fn is_name(text: &str) -> bool {
    let letters = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    letters && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.len() <= event::LONGEST_NAME
}
