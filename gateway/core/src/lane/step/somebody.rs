//! Codes of people at a step that waits for the code of a thing.
//!
//! A form with a code among its fields, a tally and a seal take whatever is read. Whoever comes next and shows a card
//! meanwhile has answered nothing: it is not taken, the desk says why, and the visit goes on waiting.

use super::{Cx, Flow};
use crate::lists::{Keys, LISTS};
use crate::pass::{Format, id, numbers, plate};
use crate::records::RecordsFault;
use crate::text::{Text, trimmed_bytes};
use crate::time::MonoMs;

/// How long the desk says so.
const SHOWN_MS: u64 = 5_000;

/// A code that was not taken at the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotTaken {
    /// When it was first shown: one tone for each.
    pub since: MonoMs,
    /// Until when the desk says so.
    pub until: MonoMs,
}

/// Whether a code is somebody's: signed by whoever gives out passes, the number of an identity card, or one by which a
/// list knows people or what they carry. What a list of things knows is a thing, and a plate is a vehicle's.
pub(super) fn is_somebodys(cx: &mut Cx<'_>, text: &str) -> Result<bool, RecordsFault> {
    if Format::of(trimmed_bytes(text.as_bytes())) != Format::Opaque {
        return Ok(true);
    }
    let code = id::normal(text);
    if code.is_empty() || plate::normal(&code).is_some() || is_known(cx, Keys::Things, &code)? {
        return Ok(false);
    }
    Ok(numbers::person(&code).is_some() || is_known(cx, Keys::People, &code)?)
}

/// Whether a list of the kind has a code. One that cannot be read says neither yes nor no.
fn is_known(cx: &mut Cx<'_>, keys: Keys, code: &str) -> Result<bool, RecordsFault> {
    for list in LISTS.iter().filter(|list| list.keys == keys) {
        match cx.records.listed(list.name, code) {
            Ok(false) => {}
            Ok(true) => return Ok(true),
            Err(RecordsFault::List { list, why }) => {
                cx.out.count("list_unreadable_total");
                cx.out.notes.push(format!("list {list}: {why}"));
            }
            Err(fault @ RecordsFault::Store(_)) => return Err(fault),
        }
    }
    Ok(false)
}

/// Somebody's card was read: the step goes on waiting. A reader sees what is held before it again and again: that is
/// one card.
pub(super) fn not_taken(cx: &mut Cx<'_>) -> Flow {
    let now = cx.now.mono_ms;
    let shown = cx.visit.not_taken.filter(|shown| shown.until > now);
    if shown.is_none() {
        cx.out.count("card_as_answer_total");
    }
    cx.visit.not_taken =
        Some(NotTaken { since: shown.map_or(now, |shown| shown.since), until: now + SHOWN_MS });
    Flow::Wait
}

/// What the desk says of it.
pub fn why() -> Text {
    Text::new(
        "这是人员证件的码，本步骤不收；请扫本步骤要的码",
        "That is somebody's card: this step waits for another code",
    )
}
