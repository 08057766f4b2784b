//! What the screens show of a lane. The public screen shows a verdict, an instruction, a masked
//! name and counters: never an id, a test or a reason.

use super::action::OVERRIDE_REASONS;
use super::visit::{Actuation, PhotoState, Seal, Stage, Visit};
use super::{Lane, RECENT};
use crate::codes::{Code, Outcome, Rank};
use crate::pass::kp1;
use crate::profile::{Choice, Input, Step, StepKind};
use crate::screening::State;
use crate::text::Text;
use crate::time::{Now, rfc3339};
use serde_json::{Value, json};

/// Whether and why a lane takes no visits.
pub type Closed = Option<Code>;

fn counters(lane: &Lane) -> Value {
    let of = |o: Outcome| lane.state.counters.get(&o).copied().unwrap_or(0);
    Outcome::ALL.iter().map(|&o| (o.word().to_owned(), json!(of(o)))).collect()
}

fn shown(lane: &Lane, now: &Now) -> bool {
    lane.state.visit.as_ref().is_some_and(|v| {
        v.outcome().is_some_and(|o| o != Outcome::Admit || v.admitted)
            && v.shown_until.is_some_and(|until| until > now.mono_ms)
            && (v.stage != Stage::Running || v.admitted)
    })
}

/// `idle`, `working`, `verdict` or `closed`.
pub fn mode(lane: &Lane, now: &Now, closed: Closed) -> &'static str {
    match &lane.state.visit {
        _ if closed.is_some() => "closed",
        _ if shown(lane, now) => "verdict",
        Some(v) if v.stage == Stage::Running => "working",
        Some(_) | None => "idle",
    }
}

fn current(lane: &Lane) -> Option<(&Visit, &Step)> {
    let visit = lane.state.visit.as_ref().filter(|v| v.stage == Stage::Running)?;
    Some((visit, lane.setup.profile.steps.get(visit.step)?))
}

/// The public screen.
pub fn screen(lane: &Lane, now: &Now, closed: Closed, seq: u64) -> Value {
    let verdict = lane.state.visit.as_ref().filter(|_| shown(lane, now) && closed.is_none()).and_then(|v| {
        let outcome = v.outcome()?;
        Some(json!({
            "outcome": outcome,
            "instruction": lane.setup.profile.instruction(outcome),
            "name": v.name,
            "visit": v.id,
            "overridden": v.overridden.is_some(),
            "showing": v.shown_until,
            "shown_for_ms": v.shown_until.map_or(0, |until| until.saturating_sub(now.mono_ms)),
        }))
    });
    json!({
        "lane": lane.setup.lane,
        "title": lane.setup.profile.title,
        "mode": mode(lane, now, closed),
        "step": current(lane).map(|(_, s)| s.kind.word()),
        "prompt": closed.map_or_else(|| public_prompt(lane), closed_text),
        "verdict": verdict,
        "notice": lane.notice(now).map(|n| &n.text),
        "counters": counters(lane),
        "seq": seq,
    })
}

/// What staff are asked is not for the public.
fn public_prompt(lane: &Lane) -> Text {
    match current(lane).map(|(_, s)| &s.kind) {
        Some(StepKind::Confirm { .. } | StepKind::Question { .. }) => Text::new("请稍候", "Please wait"),
        Some(StepKind::Seal { .. }) => {
            Text::new("请稍候，正在贴封条", "Please wait, the seal is being applied")
        }
        Some(StepKind::Photo { .. }) => {
            Text::new("请稍候，正在拍照", "Please wait, photographs are being taken")
        }
        Some(_) | None => lane.prompt(),
    }
}

fn closed_text(code: Code) -> Text {
    let why = code.text();
    Text::new(format!("通道暂停：{}", why.zh), format!("Lane closed: {}", why.en))
}

/// One line of the status page.
pub fn status(lane: &Lane, now: &Now, closed: Closed) -> Value {
    json!({
        "id": lane.setup.lane, "title": lane.setup.profile.title, "profile": lane.setup.profile.id,
        "mode": mode(lane, now, closed), "step": current(lane).map(|(_, s)| s.id.clone()),
        "counters": counters(lane),
    })
}

/// The desk screen.
pub fn desk(lane: &Lane, now: &Now, closed: Closed, upstream: &str) -> Value {
    let visit = lane.state.visit.as_ref();
    let stale = visit.is_some_and(|v| v.findings.iter().any(|f| f.code == Code::X_STALE));
    json!({
        "lane": lane.setup.lane,
        "title": lane.setup.profile.title,
        "profile": lane.setup.profile.id,
        "mode": mode(lane, now, closed),
        "steps": steps(lane),
        // On a closed lane no earlier verdict stands as if it were for whoever is there.
        "visit": visit.filter(|v| closed.is_none() || v.stage == Stage::Running).map(|v| visit_view(lane, v)),
        "ask": closed.map_or_else(|| ask(lane, now), |c| json!({ "kind": "wait", "prompt": closed_text(c) })),
        "actions": actions(lane),
        "override_reasons": OVERRIDE_REASONS.iter().map(|(id, zh, en, note)|
            json!({ "id": id, "text": Text::new(*zh, *en), "needs_note": note })).collect::<Vec<_>>(),
        "second_sign": visit.and_then(|v| v.verdict.as_ref())
            .is_some_and(|v| v.codes.iter().any(|c| c.needs_second_sign())),
        "last_visits": lane.state.recent.iter().take(RECENT).map(|v| last_visit(v)).collect::<Vec<_>>(),
        "counters": counters(lane),
        "lists_stale": stale,
        "notice": lane.notice(now).map(|n| json!({ "text": n.text, "by": n.by })),
        "upstream": upstream,
        "utc_offset_minutes": lane.setup.utc_offset_ms / 60_000,
    })
}

fn steps(lane: &Lane) -> Vec<Value> {
    let at = lane.state.visit.as_ref();
    lane.setup
        .profile
        .steps
        .iter()
        .enumerate()
        .map(|(i, s)| {
            let state = match at {
                None => "todo",
                // A device that the lane does not have has done nothing.
                Some(v) if lacks(lane, s) && (v.stage == Stage::Done || i < v.step) => "skipped",
                Some(v) if matches!(s.kind, StepKind::Print { .. }) && v.slip != Actuation::None => {
                    match v.slip {
                        Actuation::None | Actuation::Asked => "current",
                        Actuation::Done => "done",
                        Actuation::Failed => "failed",
                    }
                }
                Some(v) if v.skipped.contains(&i) => "skipped",
                Some(v) if v.stage == Stage::Done || i < v.step => "done",
                Some(v) if i == v.step && v.stage == Stage::Running => "current",
                Some(v) if i == v.step => "done",
                Some(_) => "todo",
            };
            json!({ "id": s.id, "kind": s.kind.word(), "title": s.title, "state": state })
        })
        .collect()
}

fn lacks(lane: &Lane, step: &Step) -> bool {
    step.device.as_ref().is_some_and(|role| !lane.setup.devices.contains_key(role))
}

fn codes_text(codes: &[Code]) -> Vec<Value> {
    codes.iter().map(|c| json!({ "code": c, "text": c.text(), "advice": c.advice() })).collect()
}

fn visit_view(lane: &Lane, v: &Visit) -> Value {
    let choice = |role: &str| role_label(lane, role);
    json!({
        "id": v.id,
        "started": v.started_ms.map(rfc3339),
        "name": v.name,
        "by": v.by,
        "slip": v.slip.word(),
        "pass": v.pass.as_ref().map(|p| json!({
            "format": p.format.word(), "kind": p.kind, "verified": v.refused.is_none() && !p.kid.is_empty(),
            "facts": pass_facts(v),
        })),
        "readings": v.readings.iter().enumerate().map(|(i, r)| json!({
            "mdeg": r.mdeg, "state": if r.state == State::Env || r.state == State::None { "fault" } else { r.state.word() },
            "at": r.at_ms.map(rfc3339), "device": r.device, "try": i + 1 })).collect::<Vec<_>>(),
        "answers": v.answers.iter().map(|(q, a)| json!({
            "question": q, "label": step_title(lane, q), "value": a, "text": answer_text(lane, q, a) })).collect::<Vec<_>>(),
        "seals": v.seals.iter().map(|s| seal_view(lane, s)).collect::<Vec<_>>(),
        "photos": v.photos.iter().map(|(role, slot)| json!({
            "role": role, "label": choice(role), "state": slot.state,
            "sha256": slot.photo.as_ref().map(|p| &p.sha256),
            "sharpness": slot.photo.as_ref().map(|p| p.sharpness),
            "exposure": slot.photo.as_ref().map(|_| slot.reason.as_deref().filter(|r| *r != "blurred").unwrap_or("ok")),
            "reason": slot.reason.as_deref().map(photo_reason) })).collect::<Vec<_>>(),
        "verdict": v.verdict.as_ref().map(|verdict| json!({
            "outcome": verdict.outcome, "codes": codes_text(&verdict.codes),
            "overridden": v.overridden.as_ref().map(|o| json!({
                "outcome": o.outcome, "officer": o.officer, "reason": o.reason })),
            "final": v.stands() })),
    })
}

/// What staff compare with the vehicle or the card in their hand.
fn pass_facts(v: &Visit) -> Vec<Value> {
    const SHOWN: [(&str, &str, &str); 7] = [
        ("plate", "车牌", "Plate"),
        ("category", "类别", "Category"),
        ("from", "出发地", "From"),
        ("to", "目的地", "To"),
        ("crew", "人数", "Crew"),
        ("role", "岗位", "Role"),
        ("ward", "病区", "Ward"),
    ];
    let pass = v.pass.as_ref();
    let fact = |name: &str| {
        let verified = v.facts.get("pass").and_then(|p| p.get(name));
        verified.or_else(|| pass.and_then(|p| p.facts.get(name))).and_then(|f| match f {
            Value::String(s) if !s.is_empty() => Some(s.clone()),
            Value::Number(n) if n.as_i64() != Some(0) => Some(n.to_string()),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => None,
        })
    };
    SHOWN
        .iter()
        .filter_map(|(name, zh, en)| {
            let value = fact(name)?;
            let text = kp1::category_text(&value);
            Some(json!({ "label": Text::new(*zh, *en), "value": value, "text": text }))
        })
        .collect()
}

/// An answer as the question offered it.
fn answer_text(lane: &Lane, question: &str, answer: &str) -> Option<Text> {
    let step = lane.setup.profile.steps.iter().find(|s| s.id == question)?;
    match &step.kind {
        StepKind::Question { input: Input::Choice(choices) } => chosen(choices, answer),
        StepKind::Question { .. }
        | StepKind::Scan { .. }
        | StepKind::Temperature { .. }
        | StepKind::Verify { .. }
        | StepKind::Decide { .. }
        | StepKind::Actuate { .. }
        | StepKind::Seal { .. }
        | StepKind::Photo { .. }
        | StepKind::Confirm { .. }
        | StepKind::Print { .. } => None,
    }
}

fn chosen(choices: &[Choice], value: &str) -> Option<Text> {
    choices.iter().find(|c| c.value == value).map(Choice::text)
}

/// A seal with the words for its place and kind.
fn seal_view(lane: &Lane, seal: &Seal) -> Value {
    let mut out = json!(seal);
    for step in &lane.setup.profile.steps {
        if let StepKind::Seal { doors, kinds, .. } = &step.kind {
            out["door_text"] = json!(chosen(doors, &seal.door));
            out["kind_text"] = json!(chosen(kinds, &seal.kind));
        }
    }
    out
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
        if let StepKind::Photo { roles, .. } = &step.kind
            && let Some(choice) = roles.iter().find(|c| c.value == role)
        {
            return choice.text();
        }
    }
    Text::new(role, role)
}

fn step_title(lane: &Lane, id: &str) -> Text {
    let step = lane.setup.profile.steps.iter().find(|s| s.id == id);
    step.map_or_else(|| Text::new(id, id), |s| s.title.clone())
}

fn last_visit(v: &Visit) -> Value {
    let notice = match (v.actuation, v.repeated) {
        (Actuation::Failed, _) => Some(Text::new("道闸未确认开启", "The barrier did not confirm")),
        (_, true) => Some(Code::D_REPEAT.text()),
        (Actuation::None | Actuation::Asked | Actuation::Done, false) => None,
    };
    json!({
        "id": v.id, "at": v.started_ms.map(rfc3339), "name": v.name,
        "outcome": v.verdict.as_ref().map(|x| x.outcome), "final": v.stands(),
        "codes": v.verdict.as_ref().map(|x| &x.codes), "notice": notice, "slip": v.slip.word(),
        "why": v.verdict.iter().flat_map(|x| &x.codes).map(|c| c.text()).collect::<Vec<_>>(),
    })
}

fn actions(lane: &Lane) -> Vec<&'static str> {
    let mut out = Vec::new();
    let visit = lane.state.visit.as_ref();
    let running = visit.is_some_and(|v| v.stage == Stage::Running);
    let measuring = running && current(lane).is_some_and(|(_, s)| s.kind.word() == "temperature");
    let hot = visit.is_some_and(|v| {
        let decided =
            v.verdict.as_ref().and_then(|x| x.codes.first()).is_some_and(|c| c.rank() == Rank::Temperature);
        matches!(v.stage, Stage::Parked { .. }) && decided && v.overridden.is_none()
    });
    if measuring || hot {
        out.push("recheck");
    }
    if !running && lane.state.visits().any(|v| v.verdict.is_some()) {
        out.push("override");
    }
    if running {
        out.push("cancel");
    } else {
        out.extend(["enter", "search"]);
    }
    if lane.setup.devices.contains_key("printer") {
        out.push("reprint");
    }
    out
}

fn options(choices: &[Choice]) -> Vec<Value> {
    choices.iter().map(|c| json!({ "value": c.value, "text": c.text() })).collect()
}

fn ask(lane: &Lane, now: &Now) -> Value {
    let first = &lane.setup.profile.steps[0];
    let Some((visit, step)) = current(lane) else {
        return json!({ "kind": "scan", "prompt": first.prompt });
    };
    let prompt = &step.prompt;
    match &step.kind {
        StepKind::Scan { .. } => json!({ "kind": "scan", "prompt": prompt }),
        StepKind::Temperature { tries, .. } => {
            let waiting = visit.measuring.ticket.is_none();
            let wait_ms = visit.deadline.filter(|_| waiting).map_or(0, |d| d.saturating_sub(now.mono_ms));
            json!({ "kind": "temperature", "prompt": prompt, "try": visit.measuring.round + 1, "tries": tries,
                "wait_s": wait_ms.div_ceil(1000) })
        }
        StepKind::Question { input } => {
            let mut ask = json!({ "kind": "question", "id": step.id, "prompt": prompt });
            let form = match input {
                Input::Choice(choices) => json!({ "input": "choice", "options": options(choices) }),
                Input::Number { min, max } => json!({ "input": "number", "min": min, "max": max }),
                Input::Plate => json!({ "input": "plate" }),
                Input::Text => json!({ "input": "text" }),
            };
            if let (Some(ask), Value::Object(form)) = (ask.as_object_mut(), form) {
                ask.extend(form);
            }
            ask
        }
        StepKind::Seal { doors, kinds, .. } => {
            json!({ "kind": "seal", "prompt": prompt, "doors": options(doors), "kinds": options(kinds),
                "scanned": visit.seal_scanned })
        }
        StepKind::Photo { roles, .. } => {
            let open =
                |r: &&Choice| visit.photos.get(&r.value).is_none_or(|s| s.state != PhotoState::Accepted);
            let role = roles.iter().find(open).or(roles.first());
            json!({ "kind": "photo", "role": role.map(|r| &r.value), "prompt": role.map(Choice::text) })
        }
        StepKind::Confirm { approve: true, roles, .. } => {
            json!({ "kind": "approve", "prompt": prompt, "roles": roles })
        }
        StepKind::Confirm { checks, .. } => {
            let checks: Vec<Value> =
                checks.iter().map(|c| json!({ "id": c.value, "text": c.text() })).collect();
            json!({ "kind": "confirm", "prompt": prompt, "checks": checks })
        }
        StepKind::Verify { .. }
        | StepKind::Decide { .. }
        | StepKind::Actuate { .. }
        | StepKind::Print { .. } => {
            json!({ "kind": "wait", "prompt": prompt })
        }
    }
}
