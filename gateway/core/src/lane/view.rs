//! What the screens show of a lane. The public screen shows a verdict, an instruction, a masked
//! name and counters: never an id, a test or a reason.

mod lamps;
mod visit;

use super::action::{NOTE_MAX, OVERRIDE_REASONS};
use super::step::actuate::opens;
use super::step::question::MAX_TEXT;
use super::visit::{Actuation, PhotoState, Stage, Visit};
use super::{Lane, RECENT};
use crate::codes::{Code, Outcome, Rank};
use crate::ids::DeviceId;
use crate::profile::{Choice, Input, Step, StepKind};
use crate::text::Text;
use crate::time::{Now, WallMs, rfc3339};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
pub use visit::last_visit;
use visit::{is_overridable, visit_view, who};

/// Whether and why a lane takes no visits.
pub type Closed = Option<Code>;

/// What a lane's screens show beside the lane itself.
pub struct Around<'a> {
    /// Whether and why it takes no visits.
    pub closed: Closed,
    /// The state of the link upstream.
    pub upstream: &'a str,
    /// Whether the other gateways of the site have yet to say what was used and who is held.
    pub waits: bool,
    /// Which devices are there and answer.
    pub links: &'a BTreeMap<DeviceId, bool>,
    /// When the issuer made the list in use.
    pub issued: &'a dyn Fn(&str) -> Option<WallMs>,
}

fn counters(lane: &Lane) -> Value {
    let of = |o: Outcome| lane.state.counters.get(&o).copied().unwrap_or(0);
    Outcome::ALL.iter().map(|&o| (o.word().to_owned(), json!(of(o)))).collect()
}

/// An admission is shown when the barrier has opened for it, where there is one to open.
fn shown(lane: &Lane, now: &Now) -> bool {
    lane.state.visit.as_ref().is_some_and(|v| {
        let until = v.shown_until.is_some_and(|until| until > now.mono_ms);
        until
            && match v.outcome() {
                Some(Outcome::Admit) => v.admitted && !v.repeated && has_opened(lane, v),
                Some(Outcome::Refer | Outcome::Hold | Outcome::Deny) => v.stage != Stage::Running,
                None => false,
            }
    })
}

fn has_opened(lane: &Lane, v: &Visit) -> bool {
    match v.actuation {
        Actuation::Asked | Actuation::Failed | Actuation::ByHand => false,
        Actuation::Done => true,
        Actuation::None => v.stage != Stage::Running || !opens(&lane.setup, v.step),
    }
}

/// A code that has admitted somebody, shown again.
fn repeats<'a>(lane: &'a Lane, now: &Now) -> Option<&'a Visit> {
    lane.state.visit.as_ref().filter(|v| {
        let until = v.shown_until.is_some_and(|until| until > now.mono_ms);
        v.repeated && until && v.outcome() == Some(Outcome::Admit) && v.stage != Stage::Running
    })
}

/// The visit at the front, if it waits for a barrier that has not opened.
fn unopened(lane: &Lane) -> Option<&Visit> {
    let asked = |v: &Visit| lane.state.opening.as_ref().is_some_and(|o| o.visit == v.id);
    lane.state.visit.as_ref().filter(|v| v.stage != Stage::Running && (v.unopened() || asked(v)))
}

/// `idle`, `working`, `verdict`, `repeat` or `closed`.
pub fn mode(lane: &Lane, now: &Now, closed: Closed) -> &'static str {
    match &lane.state.visit {
        _ if closed.is_some() => "closed",
        _ if unopened(lane).is_some() => "working",
        _ if repeats(lane, now).is_some() => "repeat",
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
pub fn screen(lane: &Lane, now: &Now, around: &Around<'_>, seq: u64) -> Value {
    let closed = around.closed;
    let mode = mode(lane, now, closed);
    let shown_for_ms = |until: Option<u64>| until.map_or(0, |until| until.saturating_sub(now.mono_ms));
    let front = lane.state.visit.as_ref();
    let verdict = front.filter(|_| mode == "verdict").and_then(|v| {
        let outcome = v.outcome()?;
        Some(json!({
            "outcome": outcome,
            "instruction": lane.setup.profile.instruction(outcome),
            "name": v.name,
            "visit": v.id,
            "overridden": v.overridden.is_some(),
            "repeated": v.repeated,
            "showing": v.shown_until,
            "shown_for_ms": shown_for_ms(v.shown_until),
        }))
    });
    let repeat = repeats(lane, now).filter(|_| mode == "repeat").map(|v| {
        json!({ "visit": v.id, "name": v.name, "first": v.started_ms.map(rfc3339), "showing": v.shown_until,
            "shown_for_ms": shown_for_ms(v.shown_until) })
    });
    let waits = around.waits && asks_the_site(lane);
    let ready = lamps::is_ready(lane, around) && !waits;
    let prompt = match closed {
        Some(code) => closed_text(code),
        None if mode == "idle" && waits => Text::new(
            "正在与本站其他闸口核对，请稍候",
            "Checking with the other gates of this site: please wait",
        ),
        None if mode == "idle" && !ready => {
            Text::new("请稍候，请找工作人员", "Please wait and speak to the staff")
        }
        None => public_prompt(lane),
    };
    let step = current(lane).map(|(_, s)| s.kind.word()).or(unopened(lane).map(|_| "actuate"));
    json!({
        "lane": lane.setup.lane,
        "title": lane.setup.profile.title,
        "mode": mode,
        "step": step,
        "prompt": prompt,
        "ready": ready,
        "person": front.filter(|_| mode == "working").and_then(|v| v.name.clone()),
        "verdict": verdict,
        "repeat": repeat,
        "other": other(lane, now),
        "notice": lane.notice(now).map(|n| &n.text),
        "counters": counters(lane),
        "seq": seq,
    })
}

/// Whether this lane looks into a list that an entry from a code may change, or that names passes for one use.
fn asks_the_site(lane: &Lane) -> bool {
    lane.setup.profile.lists().any(|list| matches!(list, "hold" | "pass"))
}

/// What staff are asked is not for the public.
fn public_prompt(lane: &Lane) -> Text {
    let wait = || Text::new("请稍候", "Please wait");
    if unopened(lane).is_some() {
        return wait();
    }
    match current(lane).map(|(v, s)| (v, &s.kind)) {
        Some((
            _,
            StepKind::Confirm { .. }
            | StepKind::Question { .. }
            | StepKind::Actuate { .. }
            | StepKind::Print { .. }
            | StepKind::Verify { .. }
            | StepKind::Decide { .. },
        )) => wait(),
        Some((_, StepKind::Seal { .. })) => {
            Text::new("请稍候，正在贴封条", "Please wait, the seal is being applied")
        }
        Some((_, StepKind::Photo { .. })) => {
            Text::new("请稍候，正在拍照", "Please wait, photographs are being taken")
        }
        Some((v, StepKind::Temperature { .. })) if v.measuring.ticket.is_none() => {
            Text::new("请稍候，马上再测一次", "Please wait, one more measurement")
        }
        Some((_, StepKind::Temperature { .. } | StepKind::Scan { .. })) | None => lane.prompt(),
    }
}

/// Another code was shown: who is in front, for whoever shows it.
fn other(lane: &Lane, now: &Now) -> Option<Value> {
    let other = lane.state.other.as_ref().filter(|o| o.until > now.mono_ms)?;
    let (visit, step) = current(lane)?;
    let measures = matches!(step.kind, StepKind::Temperature { .. });
    let text = match (&visit.name, measures) {
        (Some(name), true) => {
            Text::new(format!("请稍候，正在为 {name} 测温"), format!("Please wait: {name} is being measured"))
        }
        (None, true) => {
            Text::new("请稍候，正在为前一位测温", "Please wait: the person in front is being measured")
        }
        (Some(name), false) => {
            Text::new(format!("请稍候，正在办理 {name}"), format!("Please wait: it is the turn of {name}"))
        }
        (None, false) => Text::new("请稍候，正在办理前一位", "Please wait for the one in front"),
    };
    Some(json!({ "since": other.since, "text": text,
        "shown_for_ms": other.until.saturating_sub(now.mono_ms) }))
}

/// A barrier that did not open, until an officer says what became of it; the latest visit first.
fn barrier(lane: &Lane) -> Option<Value> {
    let state = &lane.state;
    let asked = |v: &Visit| state.opening.as_ref().is_some_and(|o| o.visit == v.id);
    let visit = state.visits().find(|v| asked(v)).or_else(|| state.visits().find(|v| v.unopened()))?;
    Some(json!({ "visit": visit.id, "who": who(visit), "at": visit.started_ms.map(rfc3339),
        "tries": visit.pulses, "state": if asked(visit) { "asked" } else { "failed" } }))
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

/// The desk screen, but for its rows of the latest visits.
pub fn desk(lane: &Lane, now: &Now, around: &Around<'_>) -> Value {
    let closed = around.closed;
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
        "note_max": NOTE_MAX,
        "counters": counters(lane),
        "lists_stale": stale,
        "barrier": barrier(lane),
        "other": other(lane, now),
        "ready": lamps::is_ready(lane, around),
        "lamps": lamps::lamps(lane, now, around),
        "notice": lane.notice(now).map(|n| json!({ "text": n.text, "by": n.by })),
        "upstream": around.upstream,
        "utc_offset_minutes": lane.setup.utc_offset_ms / 60_000,
    })
}

/// The latest visits, the last one first.
pub fn last_visits(lane: &Lane) -> impl Iterator<Item = &Arc<Visit>> {
    lane.state.recent.iter().take(RECENT)
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
                        Actuation::Failed | Actuation::ByHand => "failed",
                    }
                }
                Some(v) if v.skipped.contains(&i) => "skipped",
                Some(v) if v.unopened() && matches!(s.kind, StepKind::Actuate { .. }) => "failed",
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
    if lane.state.visits().any(is_overridable) {
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
                Input::Plate => json!({ "input": "plate", "photo": pictured(visit) }),
                Input::Text => json!({ "input": "text", "max": MAX_TEXT }),
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

/// The photograph that a plate is read from.
fn pictured(visit: &Visit) -> Option<Value> {
    let accepted = || visit.photos.iter().filter(|(_, s)| s.state == PhotoState::Accepted);
    let (role, slot) = accepted().find(|(role, _)| *role == "plate").or_else(|| accepted().next())?;
    Some(json!({ "role": role, "sha256": slot.photo.as_ref().map(|p| &p.sha256) }))
}
