//! The seals of a load, compared with those that it should have: each number as it is read, where it sits, and how.

use super::form::text_values;
use super::kind::Look;
use super::seal::{Seal, make, normal};
use super::{Cx, Flow, StepInput, somebody};
use crate::codes::Code;
use crate::lane::action::{Action, Officer, Rejection, SealRead};
use crate::lane::view::ask::{Ask, Opt, options};
use crate::lane::visit::{CheckedSeal, SealCheck, SealCondition};
use crate::reading::Report;
use crate::records::RecordsFault;
use crate::rules::Expression;
use serde_json::json;

/// The most seals of a load.
const MOST: usize = 20;

/// What should be there, as it is known at this moment.
pub(super) fn begin(cx: &mut Cx<'_>, expected: &Expression) {
    let numbers = cx.value(expected).unwrap_or_else(|_| {
        cx.out.count("rule_failed_total");
        cx.out.notes.push(format!("`{}` could not be evaluated", expected.source()));
        cx.find(Code::X_RULE);
        json!([])
    });
    let mut numbers: Vec<String> = text_values(&numbers).iter().map(|n| crate::pass::id::normal(n)).collect();
    numbers.retain(|n| !n.is_empty());
    numbers.sort_unstable();
    numbers.dedup();
    cx.visit.seal_check = Some(SealCheck { expected: numbers, read: Vec::new() });
}

/// Takes the whole check, or what was scanned for it.
pub(super) fn on(seal: &Seal, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
    let expected = cx.visit.seal_check.as_ref().map(|check| check.expected.clone()).unwrap_or_default();
    Ok(match what {
        StepInput::Deadline => cx.time_out(),
        StepInput::Report(Report::Scan { bytes }) => {
            let of_record = |text| Some(crate::pass::id::normal(text)).filter(|n| expected.contains(n));
            let number = |text| of_record(text).or_else(|| normal(text));
            let Some(number) = std::str::from_utf8(bytes).ok().and_then(number) else {
                return Ok(Flow::Wait);
            };
            if !expected.contains(&number) && somebody::is_somebodys(cx, &number)? {
                return Ok(somebody::not_taken(cx));
            }
            cx.visit.waits.seal = Some(number);
            cx.out.keep_soon();
            Flow::Wait
        }
        StepInput::Report(_) => Flow::Wait,
        StepInput::Action(officer, Action::SealCheck(all)) => {
            let read =
                all.iter().map(|one| read(seal, one, officer, &expected)).collect::<Result<Vec<_>, _>>();
            let read = match read {
                Ok(read) => read,
                Err(why) => return Ok(Flow::Reject(why)),
            };
            for seal in read.iter().filter(|seal| !expected.contains(&seal.number)) {
                if somebody::is_somebodys(cx, &seal.number)? {
                    return Ok(Flow::Reject(Rejection::of("seal_form", somebody::why())));
                }
            }
            take(cx, read)
        }
        StepInput::Action(..) => Flow::Reject(Rejection::not_now()),
    })
}

/// One seal, as staff have read it. A number of the record is one, whatever form whoever made it gave it.
fn read(
    seal: &Seal,
    one: &SealRead,
    officer: &Officer,
    expected: &[String],
) -> Result<CheckedSeal, Rejection> {
    let of_record = Some(crate::pass::id::normal(&one.number)).filter(|number| expected.contains(number));
    let Some(number) = of_record.or_else(|| normal(&one.number)) else {
        let (zh, en) = ("封条号应为4到20位字母和数字", "A seal number has 4 to 20 letters and digits");
        return Err(Rejection::new("seal_form", zh, en));
    };
    let Some(condition) = SealCondition::parse(&one.condition) else {
        return Err(Rejection::new("bad_answer", "请选择封条状态", "Say in which condition the seal is"));
    };
    // Where a seal is missing, there may be no door to name.
    let nowhere = condition == SealCondition::Missing && one.door.is_empty();
    if !nowhere && !seal.doors.iter().any(|c| c.value == one.door) {
        return Err(Rejection::new("seal_place", "请选择封条位置", "Choose the place of the seal"));
    }
    Ok(CheckedSeal { number, door: one.door.clone(), condition, officer: officer.id.clone() })
}

fn take(cx: &mut Cx<'_>, read: Vec<CheckedSeal>) -> Flow {
    let twice = |(at, one): (usize, &CheckedSeal)| read[..at].iter().any(|other| other.number == one.number);
    if read.len() > MOST || read.iter().enumerate().any(twice) {
        let (zh, en) = ("每个封条只填一次，最多20个", "Each seal once, at most 20");
        return Flow::Reject(Rejection::new("seal_form", zh, en));
    }
    let expected = cx.visit.seal_check.take().map(|check| check.expected).unwrap_or_default();
    let is_expected = |seal: &&CheckedSeal| expected.is_empty() || expected.contains(&seal.number);
    let of = |condition: &[SealCondition]| {
        read.iter().filter(is_expected).filter(|seal| condition.contains(&seal.condition)).count()
    };
    let unnamed = expected.iter().filter(|number| read.iter().all(|seal| seal.number != **number)).count();
    let facts = json!({
        "expected": expected.len(),
        "intact": of(&[SealCondition::Intact]),
        "tampered": of(&[SealCondition::Broken, SealCondition::Loose]),
        "missing": of(&[SealCondition::Missing]) + unnamed,
        "wrong": read.iter().filter(|seal| !is_expected(seal)).count(),
        "read": read.iter().map(|seal| &seal.number).collect::<Vec<_>>(),
    });
    cx.visit.seal_check = Some(SealCheck { expected, read });
    make(cx, facts);
    Flow::Next
}

pub(super) fn ask(seal: &Seal, look: Look<'_>) -> Ask {
    let condition = |c: SealCondition| Opt { value: c.as_str().into(), text: c.text() };
    Ask::SealCheck {
        prompt: look.step.prompt.clone(),
        expected: look.visit.seal_check.as_ref().map(|check| check.expected.clone()).unwrap_or_default(),
        doors: options(&seal.doors),
        conditions: SealCondition::ALL.map(condition).to_vec(),
        scanned: look.visit.waits.seal.clone(),
    }
}
