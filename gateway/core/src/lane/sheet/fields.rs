//! What is typed key by key, as the answer that its field takes.

use crate::lane::view::ask::{Answer, Opt};

/// The options of an answer that is chosen; none where it is typed.
pub(super) fn options(answer: &Answer) -> Option<&[Opt]> {
    match answer {
        Answer::Choice { options } | Answer::Choices { options } => Some(options),
        Answer::Number { .. }
        | Answer::Date
        | Answer::Phone
        | Answer::Id
        | Answer::Container
        | Answer::Scan
        | Answer::Plate { .. }
        | Answer::Text { .. } => None,
    }
}

/// One of them by its value.
pub(super) fn find<'o>(options: &'o [Opt], value: &str) -> Option<&'o Opt> {
    options.iter().find(|option| option.value == value)
}

/// What was typed; nothing if that is nothing. A day may be eight digits.
pub(super) fn typed(answer: &Answer, typed: &str) -> Option<String> {
    if typed.is_empty() {
        return None;
    }
    let digits = typed.len() == 8 && typed.bytes().all(|b| b.is_ascii_digit());
    if matches!(answer, Answer::Date) && digits {
        return Some(format!("{}-{}-{}", &typed[..4], &typed[4..6], &typed[6..]));
    }
    Some(typed.to_owned())
}
