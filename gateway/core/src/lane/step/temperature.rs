//! Measures skin temperature: a steady median, and a second and third look when it is not normal.

use super::super::event::{self, Weight};
use super::super::visit::{Measuring, Taken};
use super::{Cx, Flow, Stimulus};
use crate::codes::Code;
use crate::lane::action::{Action, Rejection};
use crate::reading::{Command, NoData, Report};
use crate::screening::{Reference, Screening, State};
use serde_json::json;

/// The most frames that one measurement keeps.
const MAX_FRAMES: usize = 200;

/// The settings of the step.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// How frames become a result.
    pub screening: &'a Screening,
    /// Measurements at most.
    pub tries: usize,
    /// Pause before the next.
    pub wait_ms: u64,
}

/// Measures. After a restart what this round has already measured counts.
pub fn enter(cx: &mut Cx<'_>) -> Flow {
    measure(cx)
}

fn measure(cx: &mut Cx<'_>) -> Flow {
    cx.visit.measuring.frames.clear();
    cx.visit.measuring.asked_ms = cx.now.wall_ms;
    cx.visit.measuring.ticket = cx.request(Command::Measure);
    if cx.visit.measuring.ticket.is_none() {
        return finish(cx, State::None);
    }
    cx.allow(cx.step.timeout_ms);
    Flow::Wait
}

/// Takes frames until they settle; a recheck by staff measures at once.
pub fn on(cx: &mut Cx<'_>, what: &Stimulus<'_>, limits: &Limits<'_>) -> Flow {
    let screening = limits.screening;
    let waiting = cx.visit.measuring.ticket.is_none();
    match what {
        Stimulus::Action(_, Action::Recheck) => measure(cx),
        Stimulus::Action(..) => Flow::Reject(Rejection::not_now()),
        Stimulus::Deadline if waiting => measure(cx),
        Stimulus::Deadline => {
            let state = if cx.visit.measuring.frames.is_empty() { State::None } else { State::Env };
            taken(cx, None, state, limits)
        }
        Stimulus::Report(Report::Temperature { ticket, frame })
            if Some(*ticket) == cx.visit.measuring.ticket =>
        {
            if cx.visit.measuring.frames.len() >= MAX_FRAMES {
                cx.visit.measuring.frames.remove(0);
            }
            cx.visit.measuring.frames.push(frame.clone());
            let Some((mdeg, state)) = screening.settle(&cx.visit.measuring.frames) else { return Flow::Wait };
            let drift_mdeg = match screening.reference(frame) {
                Reference::Good => return taken(cx, Some(mdeg), state, limits),
                Reference::Drifted(mdeg) => Some(mdeg),
                Reference::Unseen => None,
            };
            // What a sensor reads that is wrong where the truth is known counts nowhere.
            let data = json!({ "step": cx.step.id, "device": cx.step.device, "code": Code::X_DEVICE,
                "drift_mdeg": drift_mdeg });
            cx.out.event("device", Weight::Health, cx.setup, Some(cx.visit.id), data);
            cx.out.count("thermometer_drift_total");
            taken(cx, None, State::Fault, limits)
        }
        Stimulus::Report(Report::NoData { ticket, why }) if Some(*ticket) == cx.visit.measuring.ticket => {
            let state = match why {
                NoData::Timeout => State::None,
                NoData::NotPresent | NoData::Fault | NoData::Garbled => State::Fault,
            };
            taken(cx, None, state, &Limits { tries: 1, ..*limits })
        }
        // It was asked before it was there, or the word that it had gone was lost: it is asked again, within the time
        // that is left.
        Stimulus::Report(Report::Link { ready: true }) if !waiting => {
            cx.visit.measuring.ticket = cx.request(Command::Measure);
            Flow::Wait
        }
        Stimulus::Report(_) => Flow::Wait,
    }
}

/// One measurement is over: done, or pause and measure again.
fn taken(cx: &mut Cx<'_>, mdeg: Option<i32>, state: State, limits: &Limits<'_>) -> Flow {
    let stop = cx.visit.measuring.ticket.take();
    if stop.is_some() {
        cx.request(Command::Stop);
    }
    let role = cx.step.device.as_deref().unwrap_or_default();
    let Some(device) = cx.setup.devices.get(role).cloned() else { return finish(cx, state) };
    let data = event::sample(cx.visit, &device, mdeg, state, limits.screening.correction.as_ref());
    cx.out.event("temperature", Weight::Sample, cx.setup, Some(cx.visit.id), data);
    cx.visit.readings.push(Taken { mdeg, state, at_ms: cx.now.wall_ms, device });
    cx.visit.measuring.round += 1;
    let round = cx.visit.measuring.round;
    let this: Vec<State> =
        cx.visit.readings[cx.visit.readings.len() - round..].iter().map(|t| t.state).collect();
    let normal = this.iter().filter(|s| **s == State::Normal).count();
    if (this == [State::Normal] && !cx.visit.measuring.recheck) || normal >= 2 {
        return finish(cx, State::Normal);
    }
    if round >= limits.tries || matches!(state, State::Fault) {
        return finish(cx, worst(&this));
    }
    cx.allow(Some(limits.wait_ms));
    Flow::Wait
}

/// What counts when the measurements do not agree: a fever is not lost to a failing sensor.
fn worst(states: &[State]) -> State {
    [State::High, State::Low, State::Fault, State::Env, State::None]
        .into_iter()
        .find(|s| states.contains(s))
        .unwrap_or(State::Normal)
}

fn finish(cx: &mut Cx<'_>, state: State) -> Flow {
    let body_grade = cx.visit.measuring.frames.iter().all(|f| f.body_grade);
    let mdeg = cx.visit.readings.last().and_then(|r| r.mdeg).unwrap_or_default();
    cx.visit.facts.insert("temp".into(), json!({ "state": state.word(), "mdeg": mdeg }));
    cx.visit.measuring = Measuring::default();
    match state {
        // A sensor that is not specified for the body can only refer.
        State::Normal if !body_grade => cx.find(Code::T_ENV),
        State::Normal => {}
        State::High => cx.find(Code::T_HIGH),
        State::Low => cx.find(Code::T_LOW),
        State::Fault => cx.find(Code::T_FAULT),
        State::Env => cx.find(Code::T_ENV),
        State::None => cx.find(Code::T_NONE),
    }
    Flow::Next
}
