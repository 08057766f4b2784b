//! The seal number, twice, unused and of the issued stock.

use super::super::visit::Seal;
use super::{Cx, Flow, Stimulus};
use crate::lane::action::{Action, Rejection};
use crate::pass::id;
use crate::profile::Choice;
use crate::reading::Report;
use crate::records::RecordsFault;
use serde_json::json;

/// Waits for the number.
pub fn enter(cx: &mut Cx<'_>) -> Flow {
    cx.allow(cx.step.timeout_ms);
    Flow::Wait
}

/// A seal number in its normal form.
fn normal(text: &str) -> Option<String> {
    let number = id::normal(text);
    let fits = (4..=20).contains(&number.len())
        && number.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-');
    fits.then_some(number)
}

/// Takes the number; a scanned code counts as one of the two.
pub fn on(
    cx: &mut Cx<'_>,
    what: &Stimulus<'_>,
    doors: &[Choice],
    kinds: &[Choice],
    stock: &[String],
) -> Result<Flow, RecordsFault> {
    let (officer, first, second, kind, door) = match what {
        Stimulus::Deadline => {
            cx.visit.seal_scanned = None;
            return Ok(cx.time_out());
        }
        Stimulus::Report(Report::Scan { bytes }) => {
            let number = std::str::from_utf8(bytes).ok().and_then(normal);
            // Whatever else was held before the reader is no seal.
            let issued = |n: &String| stock.is_empty() || stock.iter().any(|s| n.starts_with(s.as_str()));
            if let Some(number) = number.filter(issued) {
                cx.visit.seal_scanned = Some(number);
            }
            return Ok(Flow::Wait);
        }
        Stimulus::Report(_) => return Ok(Flow::Wait),
        Stimulus::Action(officer, Action::Seal { first, second, kind, door }) => {
            (officer, first, second, kind, door)
        }
        Stimulus::Action(..) => return Ok(Flow::Reject(Rejection::not_now())),
    };
    let reject = |code, zh: &str, en: &str| Ok(Flow::Reject(Rejection::new(code, zh, en)));
    let (Some(number), Some(again)) = (normal(first), normal(second)) else {
        return reject(
            "seal_form",
            "封条号应为4到20位字母和数字",
            "A seal number has 4 to 20 letters and digits",
        );
    };
    let scanned = cx.visit.seal_scanned.as_ref();
    if number != again || scanned.is_some_and(|s| *s != number) {
        return reject("seal_differs", "两次封条号不一致，请重新核对", "The two numbers differ: look again");
    }
    if !kinds.iter().any(|c| c.value == *kind) || !doors.iter().any(|c| c.value == *door) {
        return reject("seal_place", "请选择封条类型和位置", "Choose the kind of seal and its place");
    }
    if !stock.is_empty() && !stock.iter().any(|s| number.starts_with(s.as_str())) {
        return reject(
            "seal_stock",
            "该封条号不在本站领用范围",
            "This number is not of the stock issued here",
        );
    }
    if cx.records.seal_used(&number)? || cx.visit.seals.iter().any(|s| s.number == number) {
        return reject("seal_used", "该封条号已用过", "This seal number was used before");
    }
    // The next seal has a number of its own.
    let scanned = cx.visit.seal_scanned.take();
    let read_method = if scanned.is_some() { "scanned-and-typed" } else { "typed-twice" };
    cx.visit.seals.push(Seal {
        number: number.clone(),
        kind: kind.clone(),
        door: door.clone(),
        read_method: read_method.into(),
        officer: officer.id.clone(),
    });
    cx.visit.facts.insert("seal".into(), json!({ "count": cx.visit.seals.len(), "number": number }));
    Ok(Flow::Next)
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn a_seal_number_has_one_form_however_it_is_typed() {
        for text in ["LN123456", "ln123456 ", "ＬＮ１２３４５６", "\u{feff}LN123456\n"] {
            assert_eq!(normal(text).as_deref(), Some("LN123456"), "{text:?}");
        }
    }
}
