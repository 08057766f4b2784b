//! What was gathered by command codes, for the desk: who has signed on, what stands in the form already, and what became
//! of the latest code.

use super::ask::{Ask, Check};
use super::shapes::{GatheredView, SaidView, SheetView, Turn};
use crate::lane::Lane;
use crate::lane::sheet::signed_on;
use crate::text::Text;
use crate::time::Now;
use serde_json::Value;

/// The desk's view of it; none as long as nobody uses the sheet.
pub(super) fn sheet(lane: &Lane, now: &Now, ask: &Ask) -> Option<SheetView> {
    let sheet = &lane.state.sheet;
    let said = sheet.said.as_ref().filter(|said| said.until > now.mono_ms);
    if sheet.on.is_none() && sheet.entry.is_none() && said.is_none() {
        return None;
    }
    let entry = sheet.entry.as_ref();
    Some(SheetView {
        officer: signed_on(sheet).cloned(),
        visit: entry.and_then(|entry| entry.visit),
        by: entry.map(|entry| entry.by.clone()),
        gathered: entry.map(|entry| entry.gathered(ask)).unwrap_or_default(),
        next: entry.and_then(|entry| entry.next(ask)),
        typed: entry.map(|entry| entry.typed.clone()).unwrap_or_default(),
        said: said.map(|said| SaidView { text: said.text.clone(), taken: said.taken, since: said.since }),
    })
}

/// A command code was shown where nobody has signed on: whoever stands there is told.
pub(super) fn nobody(lane: &Lane, now: &Now) -> Option<Turn> {
    let said = lane.state.sheet.said.as_ref().filter(|said| said.nobody && said.until > now.mono_ms)?;
    Some(Turn {
        since: said.since,
        text: said.text.clone(),
        shown_for_ms: said.until.saturating_sub(now.mono_ms),
        calls: false,
    })
}

/// What was gathered for a form stands in it.
pub(super) fn filled(lane: &Lane, mut ask: Ask) -> Ask {
    let front = lane.state.visit.as_ref().map(|visit| visit.id);
    let entry = lane.state.sheet.entry.as_ref().filter(|entry| entry.visit.is_some() && entry.visit == front);
    if let (Some(entry), Ask::Form { fields, .. }) = (entry, &mut ask) {
        for field in fields {
            if let Some(value) = entry.values.get(&field.id) {
                field.value = Some(value.clone());
            }
        }
    }
    ask
}

/// A row for one thing.
pub(crate) fn row(label: Text, value: &Value, words: Option<Text>) -> GatheredView {
    let one = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let value = match value.as_array() {
        Some(all) => all.iter().map(one).collect::<Vec<_>>().join(", "),
        None => one(value),
    };
    GatheredView { label, value, text: words }
}

/// A check that was ticked.
pub(crate) fn ticked(check: &Check) -> GatheredView {
    GatheredView { label: check.text.clone(), value: "✓".into(), text: None }
}
