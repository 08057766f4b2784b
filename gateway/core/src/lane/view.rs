//! What the screens show of a lane. The public screen shows a verdict, an instruction, a masked
//! name and counters: never an id, a test or a reason.

pub mod ask;
mod lamps;
mod open;
pub mod shapes;
pub(in crate::lane) mod sheet;
mod visit;

use super::action::{NOTE_MAX, OVERRIDE_REASONS};
use super::aside::can_be_measured_again;
use super::call;
use super::step::actuate::opens;
use super::step::{Look, Progress, somebody};
use super::visit::{Actuation, Origin, Stage, Visit};
use super::{Lane, RECENT};
use crate::codes::{Code, Outcome};
use crate::ids::DeviceId;
use crate::profile::{Step, start};
use crate::text::Text;
use crate::time::{MonoMs, Now, WallMs, rfc3339};
use ask::Ask;
use shapes::{
    Barrier, Counters, Desk, LaneStatus, Mode, NoticeView, OverrideReason, Screen, ShownRepeat, ShownVerdict,
    StepRow, Turn,
};
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

fn counters(lane: &Lane) -> Counters {
    Outcome::ALL.iter().map(|o| (o.as_str(), lane.state.counters.get(o).copied().unwrap_or(0))).collect()
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
        Actuation::None => {
            v.stage != Stage::Running || v.record.is_some() || !opens(&lane.setup_of(v), v.step)
        }
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
    let asked = |v: &Visit| lane.state.opening.iter().any(|o| o.visit == v.id);
    lane.state.visit.as_ref().filter(|v| v.stage != Stage::Running && (v.unopened() || asked(v)))
}

/// What the lane is at.
pub fn mode(lane: &Lane, now: &Now, closed: Closed) -> Mode {
    match &lane.state.visit {
        _ if closed.is_some() => Mode::Closed,
        _ if unopened(lane).is_some() => Mode::Working,
        _ if repeats(lane, now).is_some() => Mode::Repeat,
        _ if shown(lane, now) => Mode::Verdict,
        Some(v) if v.stage == Stage::Running => Mode::Working,
        Some(_) | None => Mode::Idle,
    }
}

/// The step of a visit.
fn look<'a>(lane: &'a Lane, now: &'a Now, visit: &'a Visit) -> Option<Look<'a>> {
    Some(Look { now, step: lane.profile_of(visit).steps.get(visit.step)?, place: visit.step, visit })
}

fn current<'a>(lane: &'a Lane, now: &'a Now) -> Option<Look<'a>> {
    let visit = lane.state.visit.as_ref().filter(|v| v.stage == Stage::Running)?;
    look(lane, now, visit)
}

/// The public screen.
pub fn screen(lane: &Lane, now: &Now, around: &Around<'_>, seq: u64) -> Screen {
    let closed = around.closed;
    let mode = mode(lane, now, closed);
    let shown_for_ms = |until: Option<u64>| until.map_or(0, |until| until.saturating_sub(now.mono_ms));
    let front = lane.state.visit.as_ref();
    let verdict = front.filter(|_| mode == Mode::Verdict).and_then(|v| {
        let outcome = v.outcome()?;
        Some(ShownVerdict {
            outcome,
            instruction: lane.profile_of(v).instruction(outcome),
            name: v.name.clone(),
            visit: v.id,
            overridden: v.overridden.is_some(),
            repeated: v.repeated,
            showing: v.shown_until,
            shown_for_ms: shown_for_ms(v.shown_until),
        })
    });
    let repeat = repeats(lane, now).filter(|_| mode == Mode::Repeat).map(|v| ShownRepeat {
        visit: v.id,
        name: v.name.clone(),
        first: v.started_ms.map(rfc3339),
        showing: v.shown_until,
        shown_for_ms: shown_for_ms(v.shown_until),
    });
    let waits = around.waits && asks_the_site(lane);
    let ready = lamps::is_ready(lane, around) && !waits;
    let prompt = match closed {
        Some(code) => closed_text(code),
        None if mode == Mode::Idle && waits => Text::new(
            "正在与本站其他闸口核对，请稍候",
            "Checking with the other gates of this site: please wait",
        ),
        None if mode == Mode::Idle && !ready => {
            Text::new("请稍候，请找工作人员", "Please wait and speak to the staff")
        }
        None => public_prompt(lane, now),
    };
    let step = current(lane, now).map(|look| look.step.kind.as_str()).or(unopened(lane).map(|_| "actuate"));
    Screen {
        lane: lane.setup.lane.clone(),
        training: lane.setup.training,
        title: lane.setup.profile.title.clone(),
        mode,
        step,
        prompt,
        ready,
        person: front.filter(|_| mode == Mode::Working).and_then(|v| v.name.clone()),
        verdict,
        repeat,
        other: other(lane, now)
            .or_else(|| card_at_step(lane, now))
            .or_else(|| sheet::nobody(lane, now))
            .or_else(|| call::turn(lane, now)),
        notice: lane.notice(now).map(|n| n.text.clone()),
        counters: counters(lane),
        seq,
        direction: front.filter(|_| mode != Mode::Idle).and_then(|v| direction(lane, v)),
    }
}

/// Which way a visit goes, where a lane has both.
fn direction(lane: &Lane, visit: &Visit) -> Option<String> {
    let way = ["in", "out"].contains(&visit.direction.as_str());
    (way && lane.profile_of(visit).direction == start::BOTH).then(|| visit.direction.clone())
}

/// Whether this lane looks into a list that an entry from a code may change, or that names passes for one use.
fn asks_the_site(lane: &Lane) -> bool {
    lane.setup.profile.lists().any(|list| matches!(list, "hold" | "pass"))
}

/// What staff are asked is not for the public.
fn public_prompt(lane: &Lane, now: &Now) -> Text {
    if unopened(lane).is_some() {
        return Text::new("请稍候", "Please wait");
    }
    current(lane, now).map_or_else(|| lane.prompt(), |look| look.step.kind.public(look))
}

/// Another code was shown, and is not taken: who is in front, for whoever shows it.
fn other(lane: &Lane, now: &Now) -> Option<Turn> {
    let other = lane.state.other.as_ref().filter(|o| o.until > now.mono_ms)?;
    Some(turn(current(lane, now)?, now, (other.since, other.until)))
}

/// Whose turn it is.
fn turn(Look { visit, step, .. }: Look<'_>, now: &Now, (since, until): (MonoMs, MonoMs)) -> Turn {
    let measures = step.kind.about().measures;
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
    Turn { since, text, shown_for_ms: until.saturating_sub(now.mono_ms), calls: false }
}

/// Whoever has shown a card that is no answer waits for their turn.
fn card_at_step(lane: &Lane, now: &Now) -> Option<Turn> {
    let look = current(lane, now)?;
    let shown = look.visit.not_taken.filter(|shown| shown.until > now.mono_ms)?;
    Some(turn(look, now, (shown.since, shown.until)))
}

/// Why the desk sees that a card was not taken: its step waits for another code.
fn not_taken(lane: &Lane, now: &Now) -> Option<Turn> {
    let shown = lane.state.visit.as_ref()?.not_taken.filter(|shown| shown.until > now.mono_ms)?;
    let shown_for_ms = shown.until.saturating_sub(now.mono_ms);
    Some(Turn { since: shown.since, text: somebody::why(), shown_for_ms, calls: false })
}

/// A barrier that did not open, until an officer says what became of it; the latest visit first.
fn barrier(lane: &Lane) -> Option<Barrier> {
    let state = &lane.state;
    let asked = |v: &Visit| state.opening.iter().any(|o| o.visit == v.id);
    let visit = state.visits().find(|v| asked(v)).or_else(|| state.visits().find(|v| v.unopened()))?;
    Some(Barrier {
        visit: visit.id,
        who: who(visit),
        at: visit.started_ms.map(rfc3339),
        tries: visit.pulses,
        state: if asked(visit) { "asked" } else { "failed" },
    })
}

fn closed_text(code: Code) -> Text {
    let why = code.text();
    Text::new(format!("通道暂停：{}", why.zh), format!("Lane closed: {}", why.en))
}

/// One line of the status page.
pub fn status(lane: &Lane, now: &Now, closed: Closed) -> LaneStatus {
    LaneStatus {
        id: lane.setup.lane.clone(),
        training: lane.setup.training,
        title: lane.setup.profile.title.clone(),
        profile: lane.setup.profile.id.clone(),
        mode: mode(lane, now, closed),
        step: current(lane, now).map(|look| look.step.id.clone()),
        counters: counters(lane),
    }
}

/// The desk screen, but for its rows of the latest visits.
pub fn desk(lane: &Lane, now: &Now, around: &Around<'_>) -> Desk {
    let closed = around.closed;
    let visit = lane.state.visit.as_ref();
    let reasons = OVERRIDE_REASONS.iter().map(|(id, zh, en, note)| OverrideReason {
        id,
        text: Text::new(*zh, *en),
        needs_note: *note,
    });
    let asked = closed.map_or_else(|| ask(lane, now), |c| Ask::Wait { prompt: closed_text(c) });
    let sheet = sheet::sheet(lane, now, &asked);
    Desk {
        training: lane.setup.training,
        sheet,
        lane: lane.setup.lane.clone(),
        place: lane.setup.place.clone(),
        title: lane.setup.profile.title.clone(),
        profile: lane.setup.profile.id.clone(),
        mode: mode(lane, now, closed),
        steps: steps(lane, now),
        // On a closed lane no earlier verdict stands as if it were for whoever is there.
        visit: visit.filter(|v| closed.is_none() || v.stage == Stage::Running).map(|v| visit_view(lane, v)),
        ask: sheet::filled(lane, asked),
        actions: actions(lane, now),
        override_reasons: reasons.collect(),
        note_max: NOTE_MAX,
        counters: counters(lane),
        lists_stale: visit.is_some_and(|v| v.findings.iter().any(|f| f.code == Code::X_STALE)),
        barrier: barrier(lane),
        other: other(lane, now).or_else(|| call::turn(lane, now)),
        not_taken: not_taken(lane, now),
        ready: lamps::is_ready(lane, around),
        lamps: lamps::lamps(lane, now, around),
        notice: lane.notice(now).map(|n| NoticeView { text: n.text.clone(), by: n.by.clone() }),
        upstream: around.upstream.to_owned(),
        utc_offset_minutes: lane.setup.utc_offset_ms / 60_000,
        open: open::open(lane, now),
        readers: open::readers(lane),
        registers: lane.setup.profile.registers.iter().map(|register| register.name.clone()).collect(),
    }
}

/// The latest visits, the last one first.
pub fn last_visits(lane: &Lane) -> impl Iterator<Item = &Arc<Visit>> {
    lane.state.recent.iter().take(RECENT)
}

fn steps(lane: &Lane, now: &Now) -> Vec<StepRow> {
    steps_of(lane, now, lane.state.visit.as_ref())
}

/// The steps of a visit, and how far each has come.
fn steps_of(lane: &Lane, now: &Now, at: Option<&Visit>) -> Vec<StepRow> {
    let profile = at.map_or(&lane.setup.profile, |visit| lane.profile_of(visit));
    let state = |place: usize, step: &Step| {
        let Some(visit) = at else { return Progress::Todo };
        let done = visit.stage == Stage::Done || place < visit.step;
        // A device that the lane does not have has done nothing.
        if lacks(lane, step) && done {
            return Progress::Skipped;
        }
        match step.kind.progress(Look { now, step, place, visit }) {
            Some(progress) => progress,
            None if visit.skipped.contains(&place) => Progress::Skipped,
            None if done => Progress::Done,
            None if place == visit.step && visit.stage == Stage::Running => Progress::Current,
            None if place == visit.step => Progress::Done,
            None => Progress::Todo,
        }
    };
    let steps = profile.steps.iter().enumerate();
    let row = |(place, s): (usize, &Step)| StepRow {
        id: s.id.clone(),
        kind: s.kind.as_str(),
        title: s.title.clone(),
        state: state(place, s),
    };
    steps.map(row).collect()
}

fn lacks(lane: &Lane, step: &Step) -> bool {
    step.device.as_ref().is_some_and(|role| !lane.setup.devices.contains_key(role))
}

fn actions(lane: &Lane, now: &Now) -> Vec<&'static str> {
    let mut out = Vec::new();
    let visit = lane.state.visit.as_ref();
    let running = visit.is_some_and(|v| v.stage == Stage::Running);
    let measuring = running && current(lane, now).is_some_and(|look| look.step.kind.about().measures);
    let hot = lane.state.visits().any(|v| can_be_measured_again(lane.profile_of(v), v));
    if measuring || hot || lane.state.open.iter().any(|v| v.aside) {
        out.push("recheck");
    }
    if measuring && visit.is_some_and(open::may_step_aside) {
        out.push("aside");
    }
    if call::is_possible(lane) {
        out.push("call");
    }
    if lane.state.visits().any(is_overridable) {
        out.push("override");
    }
    if running {
        out.push("cancel");
    }
    if !lane.setup.profile.registers.is_empty() {
        out.push("correct");
    }
    let start = &lane.setup_for(lane.awaited().as_ref()).profile.start;
    if lane.may_take_front() && start.takes(Origin::Scan) {
        out.extend(["enter", "search"]);
    }
    if lane.may_take_front() && (start.takes(Origin::Desk) || start.takes(Origin::Button)) {
        out.push("start");
    }
    let invites = |v: &Visit| v.guests_until.is_some_and(|until| until > now.mono_ms);
    if lane.state.visits().any(invites) {
        out.push("party");
    }
    if lane.setup.devices.contains_key("printer") {
        out.push("reprint");
    }
    out
}

fn ask(lane: &Lane, now: &Now) -> Ask {
    let scan = || Ask::Scan { prompt: lane.prompt() };
    current(lane, now).map_or_else(scan, |look| open::ask(lane, look))
}

/// What the step of a visit asks.
pub(super) fn ask_of(lane: &Lane, look: Look<'_>) -> Ask {
    open::ask(lane, look)
}
