//! A visit as the desk shows it: whole, and as a row of the latest ones.

use super::open;
use super::shapes::{
    AnswerView, CodeView, Compared, EarlierView, LastVisit, OverrideView, PassFact, PassView, PhotoView,
    ReadingView, Repeated, SealView, VerdictView, VisitView,
};
use crate::codes::Code;
use crate::lane::Lane;
use crate::lane::event::personal;
use crate::lane::step::form::GIVEN;
use crate::lane::step::input::Input;
use crate::lane::visit::{Actuation, Earlier, Measurement, Overridden, PhotoSlot, Seal, Stage, Visit};
use crate::pass::kp1;
use crate::profile::{Asked, Choice, StepKind};
use crate::screening::State;
use crate::text::Text;
use crate::time::rfc3339;
use serde_json::Value;

/// Everything that the desk shows of a visit.
pub(super) fn visit_view(lane: &Lane, v: &Visit) -> VisitView {
    let lane = &*lane.as_of(v);
    VisitView {
        id: v.id,
        started: v.started_ms.map(rfc3339),
        origin: v.origin.as_str(),
        direction: v.direction.clone(),
        parent: v.parent,
        party: open::party(lane, v.id),
        name: v.name.clone(),
        by: v.by.clone(),
        slip: v.slip().as_str(),
        repeated: v.repeated.then(|| Repeated {
            first: v.started_ms.map(rfc3339),
            outcome: v.stands(),
            measured: measures(lane),
            showing: v.shown_until,
        }),
        pass: v.pass.as_ref().map(|p| PassView {
            format: p.format.as_str(),
            kind: p.kind.clone(),
            verified: v.refused.is_none() && !p.kid.is_empty(),
            facts: pass_facts(lane, v),
        }),
        compared: compared(lane, v),
        readings: v.readings.iter().enumerate().map(reading_view).collect(),
        answers: v.answers.iter().map(|(q, a)| answer_view(lane, v, q, a)).collect(),
        seals: v.seals.iter().map(|s| seal_view(lane, s)).collect(),
        photos: v.photos.iter().map(|(role, slot)| photo_view(lane, role, slot)).collect(),
        verdict: v.verdict.as_ref().map(|verdict| VerdictView {
            outcome: verdict.outcome,
            codes: codes_text(&verdict.codes),
            overridden: v.overridden.as_ref().map(override_view),
            r#final: v.stands(),
        }),
        history: history(v),
        second_sign: needs_second(v),
        overridable: is_overridable(v),
    }
}

fn reading_view((i, r): (usize, &Measurement)) -> ReadingView {
    let fault = matches!(r.state, State::Env | State::None);
    let state = if fault { State::Fault.as_str() } else { r.state.as_str() };
    ReadingView { mdeg: r.mdeg, state, at: r.at_ms.map(rfc3339), device: r.device.clone(), r#try: i + 1 }
}

fn answer_view(lane: &Lane, v: &Visit, question: &str, answer: &str) -> AnswerView {
    let asked = lane.setup.profile.inputs().find(|asked| asked.id == question);
    let shown = shown_answer(lane, v, question, answer);
    let private = shown.is_none() || asked.is_some_and(|asked| asked.private);
    let value = shown.unwrap_or_else(|| GIVEN.to_owned());
    AnswerView {
        question: question.to_owned(),
        label: asked.map_or_else(|| Text::new(question, question), |asked| asked.text.clone()),
        text: asked.and_then(|asked| answer_text(asked.input, &value)),
        value,
        private,
    }
}

/// An answer as staff gave it. One that names somebody is shown as long as the visit has it.
fn shown_answer(lane: &Lane, v: &Visit, question: &str, answer: &str) -> Option<String> {
    if !lane.setup.profile.names_somebody(question) || answer == GIVEN {
        return Some(answer.to_owned());
    }
    personal(v, question).map(Input::words)
}

fn photo_view(lane: &Lane, role: &str, slot: &PhotoSlot) -> PhotoView {
    let exposure = || slot.reason.as_deref().filter(|r| *r != "blurred").unwrap_or("ok").to_owned();
    PhotoView {
        role: role.to_owned(),
        label: role_label(lane, role),
        state: slot.state,
        sha256: slot.photo.as_ref().map(|p| p.sha256.clone()),
        sharpness: slot.photo.as_ref().map(|p| p.sharpness),
        exposure: slot.photo.as_ref().map(|_| exposure()),
        reason: slot.reason.as_deref().map(photo_reason),
    }
}

/// What runs is finished first, what was cancelled is begun anew, and without a verdict there is nothing to
/// override.
pub(super) fn is_overridable(v: &Visit) -> bool {
    v.verdict.is_some() && matches!(v.stage, Stage::Parked { .. } | Stage::Done)
}

fn override_view(o: &Overridden) -> OverrideView {
    OverrideView {
        outcome: o.outcome,
        officer: o.officer.clone(),
        second: o.second.clone(),
        reason: o.reason.clone(),
    }
}

/// The verdicts before the one that counts, and what officers decided beside them.
fn history(v: &Visit) -> Vec<EarlierView> {
    let one = |e: &Earlier| EarlierView {
        outcome: e.verdict.outcome,
        codes: codes_text(&e.verdict.codes),
        overridden: e.overridden.as_ref().map(override_view),
    };
    v.history.iter().map(one).collect()
}

/// Whether an override of it needs a supervisor as well.
fn needs_second(v: &Visit) -> bool {
    v.verdict.as_ref().is_some_and(|verdict| verdict.codes.iter().any(|c| c.needs_second_sign()))
}

fn measures(lane: &Lane) -> bool {
    lane.setup.profile.steps.iter().any(|s| s.kind.about().measures)
}

/// A question that is still to be asked hides what the pass says about it: it is read from the vehicle, and
/// not copied.
fn is_hidden(lane: &Lane, v: &Visit, name: &str) -> bool {
    let asks = |asked: Asked<'_>| asked.id == name && asked.place >= v.step;
    v.stage == Stage::Running && lane.setup.profile.inputs().any(asks)
}

/// What staff have read themselves, beside what the pass says of it.
fn compared(lane: &Lane, v: &Visit) -> Vec<Compared> {
    let mut all = Vec::new();
    for (place, step) in lane.setup.profile.steps.iter().enumerate() {
        let weighed =
            v.weighed.as_ref().filter(|w| w.reference > 0 && matches!(step.kind, StepKind::Weigh(_)));
        if let Some(weighed) = weighed {
            let [pass, lane] = [weighed.reference, weighed.grams].map(|grams| format!("{grams} g"));
            let (id, label) = (step.id.clone(), step.title.clone());
            all.push(Compared { id, label, pass, lane, same: !weighed.gap });
        }
        let asked = lane.setup.profile.inputs().filter(|asked| asked.place == place && !asked.private);
        all.extend(asked.filter_map(|asked| compare(lane, v, asked)));
    }
    all
}

/// An answer beside what the pass says of the same.
fn compare(lane: &Lane, v: &Visit, asked: Asked<'_>) -> Option<Compared> {
    let (answer, said) = (v.answers.get(asked.id)?, fact(v, asked.id)?);
    let answer = shown_answer(lane, v, asked.id, answer)?;
    let same = match asked.input {
        // Fewer people than the pass names may be on board.
        Input::Number { .. } => answer.parse::<i64>().ok()? <= said.parse::<i64>().ok()?,
        Input::Choice(_)
        | Input::Choices(_)
        | Input::Decimal { .. }
        | Input::Date
        | Input::Phone
        | Input::Id
        | Input::Plate
        | Input::Container
        | Input::Scan
        | Input::Text => answer == said,
    };
    let (id, label) = (asked.id.to_owned(), asked.text.clone());
    Some(Compared { id, label, pass: said, lane: answer, same })
}

fn codes_text(codes: &[Code]) -> Vec<CodeView> {
    codes.iter().map(|&code| CodeView { code, text: code.text(), advice: code.advice() }).collect()
}

/// What staff compare with the vehicle or the card in their hand.
fn pass_facts(lane: &Lane, v: &Visit) -> Vec<PassFact> {
    const SHOWN: [(&str, &str, &str); 7] = [
        ("plate", "车牌", "Plate"),
        ("category", "类别", "Category"),
        ("from", "出发地", "From"),
        ("to", "目的地", "To"),
        ("crew", "人数", "Crew"),
        ("role", "岗位", "Role"),
        ("ward", "病区", "Ward"),
    ];
    SHOWN
        .iter()
        .filter(|(name, ..)| !is_hidden(lane, v, name))
        .filter_map(|(name, zh, en)| {
            let value = fact(v, name)?;
            let text = kp1::category_text(&value);
            Some(PassFact { label: Text::new(*zh, *en), value, text })
        })
        .collect()
}

/// What the pass says, as a text; nothing where it says nothing.
pub(super) fn fact(v: &Visit, name: &str) -> Option<String> {
    let verified = v.facts.get("pass").and_then(|p| p.get(name));
    verified.or_else(|| v.pass.as_ref().and_then(|p| p.facts.get(name))).and_then(|f| match f {
        Value::String(s) if !s.is_empty() => Some(s.clone()),
        Value::Number(n) if n.as_i64() != Some(0) => Some(n.to_string()),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    })
}

/// An answer as it was offered.
fn answer_text(input: &Input, answer: &str) -> Option<Text> {
    let (Input::Choice(choices) | Input::Choices(choices)) = input else { return None };
    let all: Option<Vec<Text>> = answer.split(", ").map(|value| chosen(choices, value)).collect();
    let all = all.filter(|all| !all.is_empty())?;
    let join = |of: fn(&Text) -> &str, by: &str| all.iter().map(of).collect::<Vec<_>>().join(by);
    Some(Text::new(join(|t| &t.zh, "、"), join(|t| &t.en, ", ")))
}

/// The words of a choice.
pub(super) fn chosen(choices: &[Choice], value: &str) -> Option<Text> {
    choices.iter().find(|c| c.value == value).map(Choice::text)
}

/// A seal with the words for its place and kind.
fn seal_view(lane: &Lane, seal: &Seal) -> SealView {
    let mut steps = lane.setup.profile.steps.iter().rev();
    let asked = steps.find_map(|s| if let StepKind::Seal(asked) = &s.kind { Some(asked) } else { None });
    SealView {
        seal: seal.clone(),
        door_text: asked.and_then(|asked| chosen(&asked.doors, &seal.door)),
        kind_text: asked.and_then(|asked| chosen(&asked.kinds, &seal.kind)),
    }
}

fn photo_reason(reason: &str) -> Text {
    match reason {
        "dark" => Text::new("太暗，请打开补光灯重拍", "Too dark: switch on the light and take it again"),
        "bright" => Text::new("过曝，请遮光重拍", "Too bright: shade the lens and take it again"),
        "blurred" => Text::new("模糊，请拿稳重拍", "Blurred: hold still and take it again"),
        _ => Text::new("相机无响应，请重试", "The camera did not answer: try again"),
    }
}

fn role_label(lane: &Lane, role: &str) -> Text {
    for step in &lane.setup.profile.steps {
        if let StepKind::Photo(photo) = &step.kind
            && let Some(choice) = photo.roles.iter().find(|c| c.value == role)
        {
            return choice.text();
        }
    }
    Text::new(role, role)
}

/// A row of the latest visits, with everything that is shown of it when it is chosen. It says the same as long as
/// the visit and the profile stay the same.
pub fn last_visit(lane: &Lane, v: &Visit) -> LastVisit {
    let lane = &*lane.as_of(v);
    let notice = match (v.actuation, v.repeated) {
        (Actuation::Failed, _) => Some(Text::new("道闸未确认开启", "The barrier did not confirm")),
        (Actuation::ByHand, _) => Some(Text::new("已手动打开道闸", "The barrier was opened by hand")),
        (_, true) => Some(Code::D_REPEAT.text()),
        (Actuation::None | Actuation::Asked | Actuation::Done, false) => None,
    };
    LastVisit {
        id: v.id,
        at: v.started_ms.map(rfc3339),
        name: v.name.clone(),
        outcome: v.verdict.as_ref().map(|x| x.outcome),
        r#final: v.stands(),
        codes: v.verdict.as_ref().map(|x| x.codes.clone()),
        notice,
        slip: v.slip().as_str(),
        why: v.verdict.iter().flat_map(|x| &x.codes).map(|c| c.text()).collect(),
        who: who(v),
        overridden: v.overridden.as_ref().map(override_view),
        history: history(v),
        overridable: is_overridable(v),
        detail: visit_view(lane, v),
    }
}

/// Whose visit it is: a masked name, or the plate.
pub(super) fn who(v: &Visit) -> Option<String> {
    v.name.clone().or_else(|| fact(v, "plate"))
}
