//! Measures skin temperature: a steady median, and a second and third look when it is not normal.

use super::super::event;
use super::super::visit::Measurement;
use super::kind::{About, Kind, Look};
use super::{Cx, Flow, StepInput};
use crate::codes::Code;
use crate::event::Class;
use crate::lane::action::{Action, Rejection};
use crate::lane::view::ask::Ask;
use crate::profile::facts::{Fact, Type};
use crate::profile::source::StepContext;
use crate::profile::{DeviceKind, ProfileError};
use crate::reading::{Command, NoData, Report, Temperature as Frame, Ticket};
use crate::records::RecordsFault;
use crate::screening::{BlackBody, Correction, Reference, Screening, State};
use crate::text::Text;
use crate::time::WallMs;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// The most frames that one measurement keeps.
const MAX_FRAMES: usize = 200;

/// Measures skin temperature.
#[derive(Debug)]
pub struct Temperature {
    /// How frames become a result.
    pub screening: Screening,
    /// Measurements at most.
    pub tries: usize,
    /// Pause before the next.
    pub wait_ms: u64,
    /// Whether somebody who is to be measured again steps aside by itself when the next code is shown.
    pub aside_by_itself: bool,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    #[serde(default = "high_mdeg")]
    high_mdeg: i32,
    #[serde(default = "low_mdeg")]
    low_mdeg: i32,
    #[serde(default = "frames")]
    frames: u32,
    #[serde(default = "spread_mdeg")]
    spread_mdeg: i32,
    correction: Option<Correction>,
    black_body: Option<BlackBody>,
    #[serde(default = "tries")]
    tries: u32,
    #[serde(default = "wait_s")]
    wait_s: f64,
    #[serde(default)]
    aside: AsideBy,
}

/// Who lets somebody step aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AsideBy {
    /// An officer.
    #[default]
    Officer,
    /// An officer, or whoever shows the next code.
    Auto,
}

const fn high_mdeg() -> i32 {
    37_300
}
const fn low_mdeg() -> i32 {
    35_000
}
const fn frames() -> u32 {
    5
}
const fn spread_mdeg() -> i32 {
    300
}
const fn tries() -> u32 {
    3
}
const fn wait_s() -> f64 {
    5.0
}

/// A measurement under way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measuring {
    /// Frames of the current measurement.
    pub frames: Vec<Frame>,
    /// The request under way; none in the pause before the next.
    pub ticket: Option<Ticket>,
    /// Measurements of this round; a recheck by staff begins a new round.
    pub round: usize,
    /// A recheck after a verdict: one normal reading is not enough.
    pub recheck: bool,
    /// When the device was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_ms: Option<WallMs>,
}

impl Kind for Temperature {
    const ABOUT: About = About {
        device: Some(DeviceKind::Thermometer),
        measures: true,
        timeout_s: Some(15),
        facts: &[Fact::word("temp.state", "none"), Fact::new("temp.mdeg", Type::Number)],
        ..About::new(
            "temperature",
            ("测温", "Temperature"),
            ("请靠近测温仪", "Please come close to the thermometer"),
        )
    };
    type Form = Form;
    type Waits = Measuring;

    fn read(form: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        let Form { high_mdeg, low_mdeg, frames, spread_mdeg, correction, black_body, tries, wait_s, aside } =
            form;
        if let Some(c) = &correction {
            place.between("offset_mdeg", c.offset_mdeg, -1_000, 1_000)?;
        }
        if let Some(b) = &black_body {
            place.between("black_body.mdeg", b.mdeg, 30_000, 45_000)?;
            place.between("max_drift_mdeg", b.max_drift_mdeg, 50, 2_000)?;
        }
        place.between("high_mdeg", high_mdeg, 36_000, 40_000)?;
        place.between("low_mdeg", low_mdeg, 30_000, 36_000)?;
        if low_mdeg >= high_mdeg {
            let what =
                format!("nobody is normal from {low_mdeg} (`low_mdeg`) to below {high_mdeg} (`high_mdeg`)");
            return Err(place.error(what));
        }
        place.between("spread_mdeg", spread_mdeg, 0, 2_000)?;
        place.between("frames", frames, 1, 50)?;
        place.between("tries", tries, 1, 5)?;
        if !(0.0..=60.0).contains(&wait_s) {
            return Err(place.error(format!("`wait_s` is {wait_s}; allowed: 0 to 60")));
        }
        let frames = frames as usize;
        let screening = Screening { high_mdeg, low_mdeg, frames, spread_mdeg, correction, black_body };
        let wait_ms = u64::try_from(Duration::from_secs_f64(wait_s).as_millis()).unwrap_or(60_000);
        let aside_by_itself = aside == AsideBy::Auto;
        Ok(Self { screening, tries: tries as usize, wait_ms, aside_by_itself })
    }

    /// Measures. After a restart what this round has already measured counts.
    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        Ok(measure(cx))
    }

    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        Ok(self.react(cx, what))
    }

    fn ask(&self, look: Look<'_>) -> Ask {
        let measuring = look.visit.waits.temperature.as_ref();
        let pause = look.visit.deadline.filter(|_| measuring.is_none_or(|m| m.ticket.is_none()));
        let wait_ms = pause.map_or(0, |until| until.saturating_sub(look.now.mono_ms));
        Ask::Temperature {
            prompt: look.step.prompt.clone(),
            r#try: measuring.map_or(0, |m| m.round) + 1,
            tries: self.tries,
            wait_s: wait_ms.div_ceil(1000),
        }
    }

    fn public(&self, look: Look<'_>) -> Text {
        if look.visit.waits.temperature.as_ref().is_none_or(|m| m.ticket.is_none()) {
            return Text::new("请稍候，马上再测一次", "Please wait, one more measurement");
        }
        look.step.prompt.clone()
    }
}

/// The measurement under way.
fn measuring<'a>(cx: &'a mut Cx<'_>) -> &'a mut Measuring {
    cx.visit.waits.temperature.get_or_insert_default()
}

fn measure(cx: &mut Cx<'_>) -> Flow {
    let ticket = cx.request(Command::Measure);
    let asked_ms = cx.now.wall_ms;
    let m = measuring(cx);
    m.frames.clear();
    (m.asked_ms, m.ticket) = (asked_ms, ticket);
    if ticket.is_none() {
        return finish(cx, State::None);
    }
    cx.allow(cx.step.timeout_ms);
    Flow::Wait
}

impl Temperature {
    /// Takes frames until they settle; a recheck by staff measures at once.
    fn react(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Flow {
        let asked = measuring(cx).ticket;
        match what {
            StepInput::Action(_, Action::Recheck) => measure(cx),
            StepInput::Action(..) => Flow::Reject(Rejection::not_now()),
            StepInput::Deadline if asked.is_none() => measure(cx),
            StepInput::Deadline => {
                let state = if measuring(cx).frames.is_empty() { State::None } else { State::Env };
                self.taken(cx, None, state, self.tries)
            }
            StepInput::Report(Report::Temperature { ticket, frame }) if Some(*ticket) == asked => {
                let frames = &mut measuring(cx).frames;
                if frames.len() >= MAX_FRAMES {
                    frames.remove(0);
                }
                frames.push(frame.clone());
                let Some((mdeg, state)) = self.screening.settle(frames) else { return Flow::Wait };
                let drift_mdeg = match self.screening.reference(frame) {
                    Reference::Good => return self.taken(cx, Some(mdeg), state, self.tries),
                    Reference::Drifted(mdeg) => Some(mdeg),
                    Reference::Unseen => None,
                };
                // What a sensor reads that is wrong where the truth is known counts nowhere.
                let data = json!({ "step": cx.step.id, "device": cx.step.device, "code": Code::X_DEVICE,
                    "drift_mdeg": drift_mdeg });
                cx.out.event("device", Class::Health, cx.setup, Some(cx.visit.id), data);
                cx.out.count("thermometer_drift_total");
                self.taken(cx, None, State::Fault, self.tries)
            }
            StepInput::Report(Report::NoData { ticket, why }) if Some(*ticket) == asked => {
                let state = match why {
                    NoData::Timeout => State::None,
                    NoData::NotPresent | NoData::Fault | NoData::Garbled => State::Fault,
                };
                self.taken(cx, None, state, 1)
            }
            // It was asked before it was there, or the word that it had gone was lost: it is asked again, within the
            // time that is left.
            StepInput::Report(Report::Link { ready: true }) if asked.is_some() => {
                let ticket = cx.request(Command::Measure);
                measuring(cx).ticket = ticket;
                Flow::Wait
            }
            StepInput::Report(_) => Flow::Wait,
        }
    }

    /// One measurement is over: done, or pause and measure again.
    fn taken(&self, cx: &mut Cx<'_>, mdeg: Option<i32>, state: State, tries: usize) -> Flow {
        let stop = measuring(cx).ticket.take();
        if stop.is_some() {
            cx.request(Command::Stop);
        }
        let role = cx.step.device.as_deref().unwrap_or_default();
        let Some(device) = cx.setup.devices.get(role).cloned() else { return finish(cx, state) };
        let frames = std::mem::take(&mut measuring(cx).frames);
        let data = event::sample(&frames, &device, mdeg, state, self.screening.correction.as_ref());
        cx.out.event("temperature", Class::Sample, cx.setup, Some(cx.visit.id), data);
        cx.visit.readings.push(Measurement { mdeg, state, at_ms: cx.now.wall_ms, device });
        let m = measuring(cx);
        m.frames = frames;
        m.round += 1;
        let (round, recheck) = (m.round, m.recheck);
        let this: Vec<State> =
            cx.visit.readings[cx.visit.readings.len() - round..].iter().map(|t| t.state).collect();
        let normal = this.iter().filter(|s| **s == State::Normal).count();
        if (this == [State::Normal] && !recheck) || normal >= 2 {
            return finish(cx, State::Normal);
        }
        if round >= tries || matches!(state, State::Fault) {
            return finish(cx, worst(&this));
        }
        cx.allow(Some(self.wait_ms));
        Flow::Wait
    }
}

/// What counts when the measurements do not agree: a fever is not lost to a failing sensor.
fn worst(states: &[State]) -> State {
    [State::High, State::Low, State::Fault, State::Env, State::None]
        .into_iter()
        .find(|s| states.contains(s))
        .unwrap_or(State::Normal)
}

fn finish(cx: &mut Cx<'_>, state: State) -> Flow {
    let body_grade = measuring(cx).frames.iter().all(|f| f.body_grade);
    let mdeg = cx.visit.readings.last().and_then(|r| r.mdeg).unwrap_or_default();
    cx.make("temp", json!({ "state": state.as_str(), "mdeg": mdeg }));
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
