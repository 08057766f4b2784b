//! The acts of a scenario file: one verb in each `[[do]]`, read and checked as far as that needs no profile.

use super::console::{Rows, Said};
use super::file::{Mistake, NotBuilt, Source, entry, moment, resolved};
use super::form::{
    ActForm, CorrectForm, ExpectForm, Hl7Form, ListForm, OverrideForm, PeerForm, Readings, SealCheckForm,
};
use super::when;
use super::words::{self, Term};
use crate::codes::{Code, Outcome};
use crate::hl7;
use crate::ids::{LaneId, OfficerId};
use crate::lane::action::{Officer, SealRead};
use crate::lane::visit::Origin;
use crate::time::WallMs;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use toml::Value;

/// One `[[do]]`.
#[derive(Debug, Clone)]
pub(super) struct Act {
    pub line: usize,
    /// As the file says it, for people.
    pub said: String,
    pub lane: Option<LaneId>,
    pub by: Option<Officer>,
    pub verb: Verb,
}

/// Why a thermometer gives no reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoReading {
    Timeout,
    Fault,
    Unsteady,
}

/// How a photograph has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quality {
    Good,
    Dark,
    Bright,
    Blurred,
    Lost,
}

/// What is done.
#[derive(Debug, Clone)]
pub(super) enum Verb {
    Scan { text: String, on: Option<String> },
    ScanPass { name: String, on: Option<String> },
    Enter { text: String, on: Option<String> },
    Measure(Vec<i32>),
    NoReading(NoReading),
    Recheck(Vec<i32>),
    Aside,
    Start { origin: Origin, on: Option<String> },
    Plate(String),
    Input { role: String, active: bool },
    Party(u32),
    Complete(usize),
    Answer(Vec<(String, Json)>),
    Confirm(Vec<String>),
    Approve { yes: bool, note: String },
    Seal { number: String, again: String, kind: String, door: String },
    SealCheck(Vec<SealRead>),
    Photo { role: String, quality: Quality },
    Tally(Vec<String>),
    Weigh(i64),
    Override(Override),
    Cancel(String),
    Correct(Correction),
    Reprint { step: String, reason: String },
    List(ListChange),
    Hl7(Hl7Said),
    Peer(PeerTold),
    Wait(i64),
    WaitUntil(String),
    Restart(i64),
    DeviceLost(String),
    DeviceBack(String),
    PrintFails(String),
    Console(Box<Said>),
    Expect(Box<Expect>),
    NotBuilt(NotBuilt),
}

#[derive(Debug, Clone)]
pub(super) struct Override {
    pub outcome: Outcome,
    pub reason: String,
    pub note: String,
    pub second: Option<Officer>,
    pub visit: Option<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct ListChange {
    pub name: String,
    pub key: Option<String>,
    /// None takes it away.
    pub entry: Option<Map<String, Json>>,
    pub stale: bool,
}

/// A message of a hospital's system.
#[derive(Debug, Clone)]
pub(super) enum Hl7Said {
    /// In parts; `at` is a moment beside that of the act.
    Parts {
        event: String,
        patient: String,
        name: Option<String>,
        ward: Option<String>,
        room: Option<String>,
        at: Option<Value>,
    },
    /// As it is.
    Text(String),
}

#[derive(Debug, Clone)]
pub(super) struct Correction {
    pub register: String,
    pub key: String,
    pub holder: String,
    pub act: String,
    pub reason: String,
}

#[derive(Debug, Clone)]
pub(super) struct PeerTold {
    pub register: String,
    pub key: String,
    pub holder: String,
    pub at: Option<Value>,
}

/// What must be so.
#[derive(Debug, Clone, Default)]
pub(super) struct Expect {
    /// `none` is no outcome.
    pub outcome: Option<Option<Outcome>>,
    pub codes: Option<Vec<Code>>,
    pub opened: Option<bool>,
    pub events: Vec<String>,
    pub no_events: Vec<String>,
    pub printed: Option<String>,
    pub register: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    pub at: Option<String>,
    pub direction: Option<String>,
    pub party: BTreeMap<String, i64>,
    pub visit: Option<usize>,
    pub refused: Option<String>,
    pub rows: Option<Rows>,
}

impl Act {
    /// What of it may name a pass, as `@NAME`.
    pub fn passes(&self) -> Vec<&str> {
        match &self.verb {
            Verb::ScanPass { name, .. } => vec![name.as_str()],
            Verb::Peer(told) => vec![told.key.as_str(), told.holder.as_str()],
            Verb::Correct(what) => vec![what.key.as_str(), what.holder.as_str()],
            Verb::List(change) if change.name == "revocation" => change.key.as_deref().into_iter().collect(),
            Verb::Console(said) => said.key.iter().chain(&said.subject).map(String::as_str).collect(),
            Verb::Expect(expect) => {
                expect.register.values().flat_map(|of| of.keys().map(String::as_str)).collect()
            }
            Verb::Scan { .. }
            | Verb::Enter { .. }
            | Verb::Measure(_)
            | Verb::NoReading(_)
            | Verb::Recheck(_)
            | Verb::Aside
            | Verb::Start { .. }
            | Verb::Plate(_)
            | Verb::Input { .. }
            | Verb::Party(_)
            | Verb::Complete(_)
            | Verb::Answer(_)
            | Verb::Confirm(_)
            | Verb::Approve { .. }
            | Verb::Seal { .. }
            | Verb::SealCheck(_)
            | Verb::Tally(_)
            | Verb::Photo { .. }
            | Verb::Weigh(_)
            | Verb::Override(_)
            | Verb::Cancel(_)
            | Verb::Reprint { .. }
            | Verb::List(_)
            | Verb::Hl7(_)
            | Verb::Wait(_)
            | Verb::WaitUntil(_)
            | Verb::Restart(_)
            | Verb::DeviceLost(_)
            | Verb::DeviceBack(_)
            | Verb::PrintFails(_)
            | Verb::NotBuilt(_) => Vec::new(),
        }
    }
}

const VERBS: &str = "scan, scan_pass, enter, plate, start, input, temperature, readings, no_reading, aside, \
    recheck, answer, confirm, approve, refuse, seal, seal_check, photo, tally, weigh, party, complete, override, \
    cancel, correct, reprint, list, hl7, hl7_text, peer, wait, wait_until, restart, device_lost, device_back, print_fails, \
    console, expect";

/// Reads one act.
pub(super) fn read(
    source: &mut Source<'_>,
    line: usize,
    form: ActForm,
    clock_ms: WallMs,
) -> Result<Act, Mistake> {
    let lane =
        form.lane.as_ref().map(LaneId::new).transpose().map_err(|e| source.mistake(line, e.to_string()))?;
    let by = form.by.as_deref().map(|who| officer(source, line, who)).transpose()?.flatten();
    let takes_reader =
        form.scan.is_some() || form.scan_pass.is_some() || form.enter.is_some() || form.start.is_some();
    if form.on.is_some() && !takes_reader {
        return Err(source.mistake(
            line,
            "`on` names the reader of a scan: it belongs to `scan`, `scan_pass`, `enter` and `start`",
        ));
    }
    let mut found: Vec<Verb> = Vec::new();
    verbs(source, line, form, clock_ms, &mut found)?;
    let verb = match (found.pop(), found.is_empty()) {
        (Some(verb), true) => verb,
        (None, _) => return Err(source.mistake(line, format!("a [[do]] has one verb; there are: {VERBS}"))),
        (Some(_), false) => {
            return Err(
                source.mistake(line, "a [[do]] has one verb, here are several: write a [[do]] for each")
            );
        }
    };
    let verb = source.postponed().map_or(verb, Verb::NotBuilt);
    Ok(Act { line, said: String::new(), lane, by, verb })
}

fn verbs(
    source: &mut Source<'_>,
    line: usize,
    form: ActForm,
    clock_ms: WallMs,
    found: &mut Vec<Verb>,
) -> Result<(), Mistake> {
    let wrong = |source: &Source<'_>, e: String| source.mistake(line, e);
    let on = form.on;
    found.extend(form.scan.map(|text| Verb::Scan { text, on: on.clone() }));
    found.extend(form.scan_pass.map(|name| {
        let name = if name.starts_with('@') { name } else { format!("@{name}") };
        Verb::ScanPass { name, on: on.clone() }
    }));
    found.extend(form.enter.map(|text| Verb::Enter { text, on: on.clone() }));
    if let Some(origin) = form.start {
        let parsed = Origin::parse(&origin).filter(|o| matches!(o, Origin::Desk | Origin::Button));
        let what = || format!("a visit begins without a code by desk or button, not by `{origin}`");
        found.push(Verb::Start {
            origin: parsed.ok_or_else(|| source.mistake(line, what()))?,
            on: on.clone(),
        });
    }
    found.extend(form.plate.map(Verb::Plate));
    found.extend(form.input.map(|input| Verb::Input { role: input.role, active: input.active }));
    match form.aside {
        Some(true) => found.push(Verb::Aside),
        Some(false) => return Err(source.mistake(line, "`aside = true`: the one in front steps aside")),
        None => {}
    }
    found.extend(form.party.map(Verb::Party));
    if let Some(visit) = counted(source, line, form.complete)? {
        found.push(Verb::Complete(visit));
    }
    let one = form.temperature.map(|celsius| vec![celsius]);
    for celsius in [one, form.readings].into_iter().flatten() {
        found.push(Verb::Measure(mdeg(&celsius).map_err(|e| wrong(source, e))?));
    }
    if let Some(why) = form.no_reading {
        let why = match why.as_str() {
            "timeout" => NoReading::Timeout,
            "fault" => NoReading::Fault,
            "unsteady" => NoReading::Unsteady,
            other => {
                let what =
                    format!("`{other}` is no reason for no reading; allowed: timeout, fault, unsteady");
                return Err(source.mistake(line, what));
            }
        };
        found.push(Verb::NoReading(why));
    }
    if let Some(readings) = form.recheck {
        let celsius = match readings {
            Readings::One(celsius) => vec![celsius],
            Readings::Several(celsius) => celsius,
        };
        found.push(Verb::Recheck(mdeg(&celsius).map_err(|e| wrong(source, e))?));
    }
    if let Some(answers) = form.answer {
        // A form of which nothing is required may be left empty.
        found.push(Verb::Answer(entry(&answers).into_iter().collect()));
    }
    found.extend(form.confirm.map(Verb::Confirm));
    found.extend(form.approve.map(|note| Verb::Approve { yes: true, note }));
    found.extend(form.refuse.map(|note| Verb::Approve { yes: false, note }));
    found.extend(form.seal.map(|seal| Verb::Seal {
        again: seal.again.unwrap_or_else(|| seal.number.clone()),
        number: seal.number,
        kind: seal.kind,
        door: seal.door,
    }));
    found.extend(form.seal_check.map(|all| {
        let read = |s: SealCheckForm| SealRead { number: s.number, door: s.door, condition: s.condition };
        Verb::SealCheck(all.into_iter().map(read).collect())
    }));
    found.extend(form.tally.map(Verb::Tally));
    if let Some(photo) = form.photo {
        let quality = match photo.quality.as_deref().unwrap_or("good") {
            "good" => Quality::Good,
            "dark" => Quality::Dark,
            "bright" => Quality::Bright,
            "blurred" => Quality::Blurred,
            "lost" => Quality::Lost,
            other => {
                let allowed = "good, dark, bright, blurred, lost";
                return Err(source.mistake(line, format!("`{other}` is no quality; allowed: {allowed}")));
            }
        };
        found.push(Verb::Photo { role: photo.role, quality });
    }
    found.extend(form.weigh.map(Verb::Weigh));
    if let Some(otherwise) = form.otherwise {
        found.push(Verb::Override(read_override(source, line, otherwise)?));
    }
    found.extend(form.cancel.map(Verb::Cancel));
    found.extend(form.correct.map(|form| {
        let CorrectForm { register, key, holder, act, reason } = form;
        Verb::Correct(Correction { register, key, holder, act, reason })
    }));
    found.extend(form.reprint.map(|again| Verb::Reprint { step: again.step, reason: again.reason }));
    if let Some(list) = form.list {
        found.push(Verb::List(read_list(source, line, list, clock_ms)?));
    }
    if let Some(message) = form.hl7 {
        found.push(Verb::Hl7(read_hl7(source, line, message, clock_ms)?));
    }
    found.extend(form.hl7_text.map(|text| Verb::Hl7(Hl7Said::Text(text))));
    if let Some(peer) = form.peer {
        found.push(Verb::Peer(read_peer(source, line, peer, clock_ms)?));
    }
    if let Some(text) = form.wait {
        found.push(Verb::Wait(when::duration(&text).map_err(|e| wrong(source, e))?));
    }
    if let Some(text) = form.wait_until {
        let is_one = when::until_time_of_day(&text, 0, 0).map(drop);
        is_one.or_else(|e| when::moment(&text, 0).map(drop).map_err(|_| e)).map_err(|e| wrong(source, e))?;
        found.push(Verb::WaitUntil(text));
    }
    if let Some(text) = form.restart {
        found.push(Verb::Restart(when::duration(&text).map_err(|e| wrong(source, e))?));
    }
    found.extend(form.device_lost.map(Verb::DeviceLost));
    found.extend(form.device_back.map(Verb::DeviceBack));
    found.extend(form.print_fails.map(Verb::PrintFails));
    if let Some(console) = form.console {
        let said = Said::read(console, clock_ms).map_err(|e| wrong(source, e))?;
        found.push(Verb::Console(Box::new(said)));
    }
    if let Some(expect) = form.expect {
        found.push(Verb::Expect(Box::new(read_expect(source, line, expect)?)));
    }
    Ok(())
}

/// `nurse`, or `nurse:chen`. A role that is to come is nobody yet.
fn officer(source: &mut Source<'_>, line: usize, text: &str) -> Result<Option<Officer>, Mistake> {
    let (role, name) = text.split_once(':').unwrap_or((text, text));
    let role = match words::role(role) {
        Ok(role) => role,
        Err(term) => {
            source.term(line, "role", role, term)?;
            return Ok(None);
        }
    };
    let id = OfficerId::new(name).map_err(|e| source.mistake(line, e.to_string()))?;
    Ok(Some(Officer { id, role }))
}

/// Thousandths of a degree.
#[expect(clippy::cast_possible_truncation, reason = "its range is checked before")]
fn mdeg(celsius: &[f64]) -> Result<Vec<i32>, String> {
    if celsius.is_empty() {
        return Err("write at least one reading, in °C".into());
    }
    match celsius.iter().find(|c| !(-40.0..=125.0).contains(*c)) {
        Some(c) => Err(format!("{c} is no reading in °C; write it as in `36.6`")),
        None => Ok(celsius.iter().map(|c| (c * 1_000.0).round() as i32).collect()),
    }
}

fn outcome(source: &Source<'_>, line: usize, term: &str, none: bool) -> Result<Option<Outcome>, Mistake> {
    if none && term == "none" {
        return Ok(None);
    }
    let found = Outcome::parse(term);
    let allowed = if none { "ADMIT, REFER, HOLD, DENY, none" } else { "ADMIT, REFER, HOLD, DENY" };
    let wrong = || source.mistake(line, format!("`{term}` is no outcome; allowed: {allowed}"));
    found.map(Some).ok_or_else(wrong)
}

fn read_override(source: &mut Source<'_>, line: usize, form: OverrideForm) -> Result<Override, Mistake> {
    let second = form.second.as_deref().map(|who| officer(source, line, who)).transpose()?.flatten();
    let outcome = outcome(source, line, &form.outcome, false)?.unwrap_or(Outcome::Hold);
    let visit = counted(source, line, form.visit)?;
    Ok(Override { outcome, reason: form.reason, note: form.note, second, visit })
}

/// Visits of a file are counted from 1.
fn counted(source: &Source<'_>, line: usize, visit: Option<usize>) -> Result<Option<usize>, Mistake> {
    match visit {
        Some(0) => Err(source.mistake(line, "visits are counted from 1, in the order in which they begin")),
        other => Ok(other),
    }
}

fn read_list(
    source: &mut Source<'_>,
    line: usize,
    form: ListForm,
    clock_ms: WallMs,
) -> Result<ListChange, Mistake> {
    source.term(line, "list", &form.name, words::list(&form.name))?;
    if let Some(why) = words::no_entries(&form.name).filter(|_| form.key.is_some()) {
        return Err(source.mistake(line, why));
    }
    let facts = match &form.entry {
        None => None,
        Some(Value::Table(facts)) => Some(entry(facts)),
        Some(other) => {
            return Err(
                source.mistake(line, format!("`entry = {other}`: an entry is a table, as in `{{ }}`"))
            );
        }
    };
    if let Some(facts) = &facts {
        resolved(facts, clock_ms).map_err(|e| source.mistake(line, e))?;
    }
    let wrong = |what: &str| Err(source.mistake(line, what));
    match (&form.key, &facts, form.remove, form.stale) {
        (Some(_), Some(_), true, _) => {
            return wrong("`list` puts an `entry` or takes it away with `remove`, not both");
        }
        (None, Some(_), _, _) | (None, None, true, _) => return wrong("`list` needs the `key` of the entry"),
        (Some(_), Some(_), false, _) | (Some(_), None, true, _) | (None, None, false, _) => {}
        (Some(_), None, false, _) => {
            return wrong("`list` with a `key` needs `entry = { … }` or `remove = true`");
        }
    }
    Ok(ListChange { name: form.name, key: form.key, entry: facts, stale: form.stale })
}

fn read_hl7(source: &Source<'_>, line: usize, form: Hl7Form, clock_ms: WallMs) -> Result<Hl7Said, Mistake> {
    let Hl7Form { event, patient, name, ward, room, at } = form;
    if hl7::Event::parse(&event).is_none() {
        let allowed = hl7::Event::ALL.map(hl7::Event::code).join(", ");
        return Err(source.mistake(line, format!("`{event}` is no event of ADT; allowed: {allowed}")));
    }
    moment(at.as_ref(), "-0s", clock_ms).map_err(|e| source.mistake(line, e))?;
    Ok(Hl7Said::Parts { event, patient, name, ward, room, at })
}

fn read_peer(
    source: &Source<'_>,
    line: usize,
    form: PeerForm,
    clock_ms: WallMs,
) -> Result<PeerTold, Mistake> {
    moment(form.at.as_ref(), "-0s", clock_ms).map_err(|e| source.mistake(line, e))?;
    Ok(PeerTold {
        register: form.register,
        key: form.key,
        holder: form.holder.unwrap_or_default(),
        at: form.at,
    })
}

fn read_expect(source: &mut Source<'_>, line: usize, form: ExpectForm) -> Result<Expect, Mistake> {
    let rows = form.rows.as_ref().map(Rows::read).transpose().map_err(|e| source.mistake(line, e))?;
    let mut codes = form.codes.as_ref().map(|_| Vec::new());
    for name in form.codes.iter().flatten() {
        match words::code(name) {
            Ok(code) => codes.get_or_insert_default().push(code),
            Err(term) => source.term(line, "reason code", name, term)?,
        }
    }
    if let Some(direction) = &form.direction
        && !["in", "out", "through"].contains(&direction.as_str())
    {
        let what = format!("`{direction}` is no direction; allowed: in, out, through");
        return Err(source.mistake(line, what));
    }
    const PARTY: [&str; 5] = ["count", "admitted", "refer", "hold", "deny"];
    if let Some(bad) = form.party.iter().flat_map(BTreeMap::keys).find(|name| !PARTY.contains(&name.as_str()))
    {
        let what = format!("a party has no `{bad}`; allowed: {}", PARTY.join(", "));
        return Err(source.mistake(line, what));
    }
    if let Some(term) = &form.refused {
        source.term(line, "rejection", term, words::refusal(term))?;
    }
    let expected = form.outcome.as_deref().map(|term| outcome(source, line, term, true)).transpose()?;
    Ok(Expect {
        outcome: expected,
        codes,
        opened: form.opened,
        events: form.events.unwrap_or_default(),
        no_events: form.no_events.unwrap_or_default(),
        printed: form.printed,
        register: form.register.unwrap_or_default(),
        at: form.at,
        direction: form.direction,
        party: form.party.unwrap_or_default(),
        visit: counted(source, line, form.visit)?,
        refused: form.refused,
        rows,
    })
}

/// What a profile must know: used when the profile is at hand.
pub(super) fn known(what: &str, name: &str, all: &[&str]) -> Result<(), String> {
    if all.contains(&name) {
        return Ok(());
    }
    let there = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
    Err(format!("this lane has no {what} `{name}`; there are: {there}"))
}

/// An event that a profile or the gateway makes, or one that is to come.
pub(super) fn known_event(term: Term, name: &str) -> Result<(), String> {
    match term {
        Term::Known | Term::ToCome => Ok(()),
        Term::Mistake(allowed) => Err(format!("there is no event `{name}`; allowed: {allowed}")),
    }
}
