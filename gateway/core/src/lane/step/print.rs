//! Prints a slip, a label or a sticker. Nobody in the lane is held up by a printer, and what was printed is kept: the
//! same comes again when somebody asks for it.

use super::super::visit::{PrintState, Slip, Visit};
use super::super::{Outbound, Setup};
use super::input::Input;
use super::kind::{About, Kind, Look, Progress};
use super::{Cx, Flow, StepInput, StepKind};
use crate::codes::Outcome;
use crate::event::Class;
use crate::lane::action::Rejection;
use crate::profile::facts;
use crate::profile::source::StepContext;
use crate::profile::{DeviceKind, ProfileError, SLIP_STEP_MS, Step};
use crate::reading::{Command, Report, Request, Ticket};
use crate::records::RecordsFault;
use crate::rules::Expression;
use crate::time::{Now, local};
use serde::Deserialize;
use serde_json::{Value, json};

/// The most copies of a slip.
const MOST_COPIES: u32 = 5;
/// The most lines of a slip, and the most characters of a line as it is filled in.
const MOST_LINES: usize = 40;
const LONGEST_LINE: usize = 200;

/// Prints a slip.
#[derive(Debug)]
pub struct Print {
    /// The lines.
    pub lines: Vec<Vec<Piece>>,
    /// With which outcomes it comes.
    pub on: Vec<Outcome>,
    /// How often.
    pub copies: u32,
    /// Whether a number that stands for a person may be on it: it is not kept on the disk then.
    pub names: bool,
}

/// A part of a line.
#[derive(Debug)]
pub enum Piece {
    /// Words of the profile.
    Text(String),
    /// The masked name.
    Name,
    /// The outcome, with what it means.
    Outcome,
    /// The number of the visit.
    Visit,
    /// The time at the site.
    Time,
    /// The day at the site.
    Day,
    /// A fact.
    Fact(Expression),
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    #[serde(default)]
    lines: Vec<String>,
    #[serde(default)]
    on: Vec<String>,
    #[serde(default = "copies")]
    copies: u32,
}

const fn copies() -> u32 {
    1
}

impl Kind for Print {
    const ABOUT: About = About {
        device: Some(DeviceKind::Printer),
        after_verdict: true,
        // The label of something that has no code yet.
        before_verdict: true,
        timeout_s: Some(SLIP_STEP_MS / 1_000),
        least_ms: SLIP_STEP_MS,
        ..About::new("print", ("打印", "Print"), ("请取单", "Please take your slip"))
    };
    type Form = Form;
    /// What an earlier version kept of a slip under way.
    type Waits = Ticket;

    fn read(Form { lines, on, copies }: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        place.between("copies", copies, 1, MOST_COPIES.into())?;
        if lines.len() > MOST_LINES {
            return Err(place.error(format!("`lines` is {}; allowed: 0 to {MOST_LINES}", lines.len())));
        }
        let on = on.iter().map(|word| place.source.outcome(place.at, word)).collect::<Result<Vec<_>, _>>()?;
        let on = if on.is_empty() { Outcome::ALL.to_vec() } else { on };
        let lines = lines.iter().map(|line| pieces(line, place)).collect::<Result<Vec<_>, _>>()?;
        let names = lines.iter().flatten().any(Piece::names_somebody);
        Ok(Self { lines, on, copies, names })
    }

    /// Prints the slip and waits for it.
    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        if !self.asked(cx) {
            return Ok(Flow::Next);
        }
        cx.allow(cx.step.timeout_ms);
        Ok(Flow::Wait)
    }

    /// Waits for the printer to answer.
    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        let place = cx.visit.step;
        let slip = cx.visit.prints.iter_mut().find(|slip| slip.step == place);
        let Some(slip) = slip else { return Ok(Flow::Next) };
        let done = match what {
            StepInput::Report(Report::Done { ticket }) if slip.tickets.contains(ticket) => {
                slip.tickets.retain(|asked| asked != ticket);
                // Every copy has its own answer.
                if !slip.tickets.is_empty() {
                    return Ok(Flow::Wait);
                }
                true
            }
            StepInput::Report(Report::NoData { ticket, .. }) if slip.tickets.contains(ticket) => false,
            StepInput::Deadline => false,
            StepInput::Report(_) => return Ok(Flow::Wait),
            StepInput::Action(..) => return Ok(Flow::Reject(Rejection::not_now())),
        };
        slip.tickets.clear();
        slip.state = if done { PrintState::Done } else { PrintState::Failed };
        if !done {
            cx.device_failed();
        }
        Ok(Flow::Next)
    }

    fn progress(&self, look: Look<'_>) -> Option<Progress> {
        let slip = look.visit.prints.iter().find(|slip| slip.step == look.place)?;
        Some(match slip.state {
            PrintState::Asked => Progress::Current,
            PrintState::Done => Progress::Done,
            PrintState::Failed => Progress::Failed,
        })
    }
}

/// Whether the slip of a step has come, or is under way, since the latest verdict; what comes before the verdict comes
/// once.
fn has_come(cx: &Cx<'_>, place: usize) -> bool {
    let slip = cx.visit.prints.iter().find(|slip| slip.step == place && slip.state != PrintState::Failed);
    slip.is_some_and(|slip| slip.verdict >= cx.visit.verdicts || place < behind_verdict(cx.setup))
}

/// The first step behind the one that gives the verdict.
fn behind_verdict(setup: &Setup) -> usize {
    let last = |step: &Step| matches!(&step.kind, StepKind::Decide(decide) if decide.last);
    setup.profile.steps.iter().position(last).map_or(0, |at| at + 1)
}

impl Print {
    /// Asks the printer for the slip of the step at which the visit is. One that has come with the verdict does not come
    /// again with an override. Says whether there is one to wait for; it comes whether or not anybody waits.
    pub fn asked(&self, cx: &mut Cx<'_>) -> bool {
        let place = cx.visit.step;
        if has_come(cx, place) {
            return false;
        }
        if !self.comes_with(cx.visit) {
            cx.visit.skipped.push(place);
            return false;
        }
        let step = cx.step;
        self.print(cx, step, place)
    }

    fn comes_with(&self, visit: &Visit) -> bool {
        match visit.outcome() {
            Some(outcome) => self.on.contains(&outcome),
            None => self.on.len() == Outcome::ALL.len(),
        }
    }

    /// Asks the printer, if the lane has it.
    fn print(&self, cx: &mut Cx<'_>, step: &Step, place: usize) -> bool {
        let device = step.device.as_ref().and_then(|role| cx.setup.devices.get(role)).cloned();
        let Some(device) = device else { return false };
        let lines: Vec<String> = self.lines.iter().map(|line| filled(cx, line)).collect();
        let tickets: Vec<Ticket> = (0..self.copies).map(|n| Ticket(*cx.next_ticket + u64::from(n))).collect();
        *cx.next_ticket += u64::from(self.copies);
        for ticket in &tickets {
            let command = Command::Print { lines: lines.clone() };
            cx.out.requests.push(Request { device: device.clone(), ticket: *ticket, command });
        }
        let personal =
            |piece: &Piece| matches!(piece, Piece::Fact(fact) if cx.setup.profile.is_personal(fact));
        let names = self.names || self.lines.iter().flatten().any(personal);
        let (kept, shown) = if names { (Vec::new(), lines) } else { (lines, Vec::new()) };
        let verdict = cx.visit.verdicts;
        cx.visit.prints.retain(|slip| slip.step != place);
        let state = PrintState::Asked;
        cx.visit.prints.push(Slip { step: place, state, tickets, verdict, lines: kept, unkept: shown });
        true
    }
}

impl Piece {
    fn names_somebody(&self) -> bool {
        let Self::Fact(fact) = self else { return false };
        let whose = |path: &Vec<String>| matches!(path.as_slice(), [group, name] if group == facts::PASS && ["subject", "id"].contains(&name.as_str()));
        fact.named().facts.iter().any(whose)
    }
}

/// A line and what is filled in.
fn pieces(line: &str, place: &StepContext<'_>) -> Result<Vec<Piece>, ProfileError> {
    let (mut pieces, mut rest) = (Vec::new(), line);
    while let Some((before, after)) = rest.split_once('{') {
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        let (name, after) = after.split_once('}').ok_or_else(|| unknown(line, after, place))?;
        pieces.push(match name {
            "name" => Piece::Name,
            "outcome" => Piece::Outcome,
            "visit" => Piece::Visit,
            "time" => Piece::Time,
            "day" => Piece::Day,
            path => {
                let fact = place.fact(path);
                Piece::Fact(fact.map_err(|_| unknown(line, &format!("{name}}}"), place))?)
            }
        });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

fn unknown(line: &str, what: &str, place: &StepContext<'_>) -> ProfileError {
    place.error(format!(
        "`{{{what}` in `{line}` is filled in by nothing; allowed: {{name}}, {{outcome}}, {{visit}}, {{time}}, {{day}}, \
         and every fact that an earlier step makes, as in {{pass.plate}}"
    ))
}

fn filled(cx: &mut Cx<'_>, line: &[Piece]) -> String {
    let mut text = String::new();
    for piece in line {
        match piece {
            Piece::Text(words) => text.push_str(words),
            Piece::Name => text.push_str(cx.visit.name.as_deref().unwrap_or("")),
            Piece::Outcome => {
                let instruction = cx.visit.outcome().map(|o| cx.setup.profile.instruction(o).zh);
                let words = outcome_words(cx.visit);
                text.push_str(&format!("{words} · {}", instruction.unwrap_or_default()));
            }
            Piece::Visit => text.push_str(&cx.visit.id.to_string()),
            Piece::Time => text.push_str(&time_words(&cx.now, cx.setup)),
            Piece::Day => {
                let day = cx.visit.facts.get(facts::VISIT).and_then(|v| v.get("day"));
                text.push_str(day.and_then(Value::as_str).unwrap_or_default());
            }
            Piece::Fact(fact) => match cx.value(fact) {
                Ok(value) => text.push_str(&Input::words(&value)),
                Err(_) => {
                    cx.out.count("rule_failed_total");
                    cx.out.notes.push(format!("`{{{}}}` could not be filled in", fact.source()));
                }
            },
        }
    }
    text.chars().take(LONGEST_LINE).collect()
}

/// Prints the slips of the steps from one on, behind the verdict, that come with the outcome that stands, and waits for
/// none: behind a verdict that ends the visit, whoever is referred needs one most.
pub fn print_slips(cx: &mut Cx<'_>, from: usize) {
    let setup = cx.setup;
    let from = from.max(behind_verdict(setup));
    for (place, step) in setup.profile.steps.iter().enumerate().skip(from) {
        let StepKind::Print(print) = &step.kind else { continue };
        if has_come(cx, place) || !print.comes_with(cx.visit) {
            continue;
        }
        let wanted = match &step.when {
            Some(when) => cx.ask(when).unwrap_or_else(|_| {
                cx.out.count("rule_failed_total");
                cx.out.notes.push(format!("condition `{}` could not be evaluated", when.source()));
                false
            }),
            None => true,
        };
        if wanted {
            print.print(cx, step, place);
        }
    }
}

/// The outcome that counts, in both languages.
pub fn outcome_words(visit: &Visit) -> String {
    visit.outcome().map(Outcome::text).map(|t| format!("{} {}", t.zh, t.en)).unwrap_or_default()
}

/// The time as the clocks of the site show it.
pub fn time_words(now: &Now, setup: &Setup) -> String {
    now.wall_ms.map(|ms| local(ms, setup.utc_offset_ms)).unwrap_or_default()
}

/// The printer answers for a slip that nobody waits for, or that was printed again.
pub fn slip_answer(visit: &mut Visit, ticket: Ticket, report: &Report, setup: &Setup, out: &mut Outbound) {
    let Some(slip) = visit.prints.iter_mut().find(|slip| slip.tickets.contains(&ticket)) else { return };
    slip.tickets.retain(|asked| *asked != ticket);
    if matches!(report, Report::Done { .. }) {
        if slip.tickets.is_empty() && slip.state == PrintState::Asked {
            slip.state = PrintState::Done;
        }
        return;
    }
    slip.tickets.clear();
    slip.state = PrintState::Failed;
    let step = setup.profile.steps.get(slip.step);
    let data = json!({ "step": step.map(|s| &s.id), "device": step.and_then(|s| s.device.as_ref()), "code": "X_DEVICE" });
    out.event("device", Class::Health, setup, Some(visit.id), data);
    out.count("device_request_failed_total");
}

/// The slip of a visit that is to come again: of a step, or the latest one.
pub fn kept<'a>(visit: &'a Visit, setup: &Setup, step: Option<&str>) -> Option<&'a Slip> {
    let named = |slip: &&Slip| {
        step.is_none_or(|id| setup.profile.steps.get(slip.step).is_some_and(|step| step.id == id))
    };
    visit.prints.iter().rev().find(|slip| named(slip) && !slip.text().is_empty())
}
