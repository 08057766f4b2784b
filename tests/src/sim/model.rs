//! What the lane must do, from what people are told that it does. It knows nothing of the product: it hears what devices
//! have said, what came on record and what devices were asked, and says what of that must not be.
//!
//! A power cut takes what was not on record. Where it cannot be known what of a visit was, both is allowed; what was on
//! record is never forgotten.

mod measuring;
mod verdict;

use super::people::{Gate, Person};
use measuring::Measuring;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use verdict::verdict;

/// The same code again within this is one read.
const SAME_READ_MS: u64 = 3_000;
/// Within this it is a repetition: the earlier result is shown, and nothing opens.
const SAME_RESULT_MS: u64 = 60_000;
/// That somebody has come is kept a fifth of a second later, if not before; here is some time for it.
const KEPT_MS: u64 = 500;
/// A visit takes no longer than three measurements, the pauses between them and a barrier that does not answer.
const VISIT_MS: u64 = 70_000;
/// A barrier that does not answer is given up after this.
const BARRIER_MS: u64 = 5_000;
/// What comes on record at a lane without staff.
const KINDS: [&str; 9] =
    ["started", "clock", "device", "temperature", "transaction", "arrival", "fever", "pass_used", "repeat"];

/// The moment.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Milliseconds since the beginning of the run.
    pub at: u64,
    /// UTC milliseconds.
    pub wall_ms: i64,
    /// Whether the box has a clock that was confirmed.
    pub clock_known: bool,
}

/// What a device said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The scanner has read somebody's code.
    Scan(u32),
    /// The thermometer has sent a frame.
    Frame(u64, i32),
    /// The thermometer is broken.
    Broken(u64),
    /// The barrier has moved.
    Moved(u64),
    /// The barrier has not moved.
    Stuck(u64),
    /// Nothing: time has passed.
    Nothing,
}

/// What came on record.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its kind.
    pub kind: String,
    /// The lane, if it is of one.
    pub lane: Option<String>,
    /// The visit, if it is of one.
    pub visit: Option<u64>,
    /// What it says.
    pub data: Value,
}

/// What a device was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To measure.
    Measure(u64),
    /// To open.
    Open(u64),
}

/// What a scan may lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    New,
    Repeat,
    Ignored,
}

/// A code that was read.
#[derive(Debug, Clone)]
struct Read {
    seen: u64,
    began: u64,
    /// The outcome, once there is one.
    outcome: Option<String>,
    /// Whether it is on record that it was read.
    on_record: bool,
    /// The box was off since.
    before_cut: bool,
}

/// How far a visit is.
#[derive(Debug, Clone)]
enum Stage {
    Measuring(Measuring),
    /// The barrier was asked: by this ticket, then.
    Opening(u64, u64),
}

/// The visit in front.
#[derive(Debug, Clone)]
struct Visit {
    person: u32,
    id: Option<u64>,
    /// Since when it is in front, in this life of the box.
    since: u64,
    /// When its thermometer was asked last.
    asked: u64,
    stage: Stage,
    on_record: bool,
}

/// The model of one lane.
pub struct Model {
    gate: Gate,
    people: Vec<Person>,
    /// When each list that the lane looks into was issued.
    lists: Vec<i64>,
    visit: Option<Visit>,
    reads: BTreeMap<u32, Read>,
    /// Passes that are used.
    used: BTreeSet<u32>,
    /// Who was in front when the power went, if it cannot be known whether that was kept.
    perhaps: Option<u32>,
    /// Numbers of visits that had a verdict or were given up.
    ended: BTreeSet<u64>,
    /// The visit in front is over, with what came on record together with its verdict.
    is_over: bool,
    /// When the power went last.
    cut_at: u64,
    /// Admissions on record.
    pub admitted: u64,
    /// Openings.
    pub opened: u64,
    /// Verdicts of each outcome.
    pub verdicts: BTreeMap<String, u64>,
}

impl Model {
    /// A lane to which nobody has come.
    pub fn new(gate: Gate, people: Vec<Person>, lists: Vec<i64>) -> Self {
        Self {
            gate,
            people,
            lists,
            visit: None,
            reads: BTreeMap::new(),
            used: BTreeSet::new(),
            perhaps: None,
            ended: BTreeSet::new(),
            is_over: false,
            cut_at: 0,
            admitted: 0,
            opened: 0,
            verdicts: BTreeMap::new(),
        }
    }

    fn person(&self, number: u32) -> Result<&Person, String> {
        self.people.iter().find(|p| p.number == number).ok_or_else(|| format!("nobody is number {number}"))
    }

    /// Whether somebody is in front.
    pub const fn is_busy(&self) -> bool {
        self.visit.is_some()
    }

    /// A step that the box has survived.
    pub fn step(
        &mut self,
        now: Moment,
        said: Said,
        came: &[Recorded],
        asked: &[Asked],
    ) -> Result<(), String> {
        self.hear(now, said, came, asked, false)?;
        if let Some(visit) = &self.visit
            && now.at - visit.since > VISIT_MS
        {
            return Err(format!("the visit of {} takes longer than {VISIT_MS} ms", visit.person));
        }
        Ok(())
    }

    /// A step in which the power went: of what came of it all is on record, or nothing. `asked` is what devices were
    /// asked before it went.
    pub fn cut(&mut self, now: Moment, said: Said, came: &[Recorded], asked: &[Asked]) -> Result<(), String> {
        self.cut_at = now.at;
        if !came.is_empty() || !asked.is_empty() {
            return self.hear(now, said, came, asked, true);
        }
        if let Said::Scan(person) = said {
            self.perhaps = Some(person);
        }
        Ok(())
    }

    /// The box is on again, and has done this.
    pub fn restarted(&mut self, now: Moment, came: &[Recorded], asked: &[Asked]) -> Result<(), String> {
        let kept = self.cut_at.saturating_sub(KEPT_MS);
        for read in self.reads.values_mut() {
            read.before_cut = true;
            read.on_record |= read.began < kept;
        }
        if let Some(visit) = &mut self.visit {
            visit.on_record |= visit.since < kept;
        }
        let perhaps = self.perhaps.take();
        for event in came {
            match event.kind.as_str() {
                "visit_abandoned" => self.abandoned(event)?,
                "started" | "clock" | "device" => {}
                other => return Err(format!("`{other}` comes on record at a start")),
            }
        }
        let given_up = came.iter().any(|e| e.kind == "visit_abandoned");
        let measures = asked.iter().find_map(|a| if let Asked::Measure(t) = a { Some(*t) } else { None });
        if asked.iter().any(|a| matches!(a, Asked::Open(_))) {
            return Err("the barrier is opened by a start".into());
        }
        let visit = self.visit.take();
        let Some(ticket) = measures else {
            // Whoever was in front shows the card again; but not when it is on record that they were there.
            return match visit {
                Some(Visit { person, on_record: true, stage: Stage::Measuring(_), .. }) if !given_up => {
                    Err(format!("the visit of {person} was on record and is gone"))
                }
                Some(_) | None => Ok(()),
            };
        };
        let running = visit.as_ref().filter(|v| matches!(v.stage, Stage::Measuring(_)));
        let Some(person) = running.map(|v| v.person).or(perhaps) else {
            return Err("somebody is measured whose visit was over".into());
        };
        let mut visit = visit.filter(|v| v.person == person).unwrap_or_else(|| Visit::new(person, now));
        if now.at - visit.asked >= SAME_RESULT_MS {
            return Err(format!("whoever stands there now is measured in the place of {person}"));
        }
        if let Stage::Measuring(measuring) = &mut visit.stage {
            measuring.ask(ticket);
        }
        (visit.since, visit.asked) = (now.at, now.at);
        self.reads.entry(person).or_insert_with(|| Read::new(now.at)).before_cut = true;
        self.visit = Some(visit);
        Ok(())
    }

    fn hear(
        &mut self,
        now: Moment,
        said: Said,
        came: &[Recorded],
        asked: &[Asked],
        dead: bool,
    ) -> Result<(), String> {
        self.take(now, said, came, asked)?;
        let mut admitted = None;
        for event in came {
            if !KINDS.contains(&event.kind.as_str()) {
                return Err(format!("nobody expects `{}` on record", event.kind));
            }
            self.note(event)?;
            match event.kind.as_str() {
                "temperature" => self.measured(event)?,
                "transaction" => admitted = self.judged(now, event, came)?,
                "device" => self.failed(event),
                "repeat" if !matches!(said, Said::Scan(_)) => {
                    return Err("a repetition of a card that nobody has shown".into());
                }
                _ => {}
            }
        }
        if std::mem::take(&mut self.is_over) {
            self.visit = None;
        }
        for ask in asked {
            match ask {
                Asked::Measure(ticket) => self.measures(now, *ticket)?,
                Asked::Open(ticket) => {
                    let Some(person) = admitted.take() else {
                        return Err("the barrier opens and no admission came on record with it".into());
                    };
                    self.opened += 1;
                    if let Some(visit) = self.visit.as_mut().filter(|v| v.person == person) {
                        visit.stage = Stage::Opening(*ticket, now.at);
                    }
                }
            }
        }
        match admitted {
            Some(person) if !dead => Err(format!("{person} is admitted and the barrier stays closed")),
            Some(_) | None => self.at_rest(came),
        }
    }

    /// When all that had to be measured is measured, the verdict is there.
    fn at_rest(&mut self, came: &[Recorded]) -> Result<(), String> {
        let Some(visit) = &self.visit else { return Ok(()) };
        match &visit.stage {
            Stage::Measuring(m) if m.result().is_some() && !came.iter().any(|e| e.kind == "transaction") => {
                Err(format!("{} was measured and has no verdict", visit.person))
            }
            Stage::Measuring(_) | Stage::Opening(..) => Ok(()),
        }
    }

    /// What a device has said.
    fn take(&mut self, now: Moment, said: Said, came: &[Recorded], asked: &[Asked]) -> Result<(), String> {
        match said {
            Said::Scan(person) => {
                let may = self.may(now, person)?;
                let repeat = came.iter().find(|e| e.kind == "repeat");
                let measures = asked.iter().any(|a| matches!(a, Asked::Measure(_)));
                let begins = measures || came.iter().any(|e| e.kind == "transaction");
                let taken = match (repeat, begins) {
                    (Some(_), _) => Taken::Repeat,
                    (None, true) => Taken::New,
                    (None, false) => Taken::Ignored,
                };
                if !may.contains(&taken) {
                    return Err(format!("the card of {person} is {taken:?}, allowed: {may:?}"));
                }
                if taken == Taken::New {
                    self.visit = Some(Visit::new(person, now));
                    self.reads.insert(person, Read::new(now.at));
                } else if let Some(read) = self.reads.get_mut(&person) {
                    read.seen = now.at;
                    let shown = repeat.map(|e| e.data["outcome"].as_str().unwrap_or_default().to_owned());
                    if shown.is_some() && read.outcome.is_some() && shown != read.outcome {
                        return Err(format!("{person} was {:?} and is shown {shown:?}", read.outcome));
                    }
                }
            }
            Said::Frame(ticket, mdeg) => self.measuring(|m| m.frame(ticket, mdeg)),
            Said::Broken(ticket) => self.measuring(|m| m.broken(ticket)),
            Said::Moved(ticket) | Said::Stuck(ticket) => {
                self.visit.take_if(|v| matches!(v.stage, Stage::Opening(t, _) if t == ticket));
            }
            Said::Nothing => {}
        }
        Ok(())
    }

    fn measuring(&mut self, with: impl FnOnce(&mut Measuring)) {
        if let Some(Visit { stage: Stage::Measuring(measuring), .. }) = &mut self.visit {
            with(measuring);
        }
    }

    /// What may become of a card that is shown now.
    fn may(&self, now: Moment, person: u32) -> Result<Vec<Taken>, String> {
        self.person(person)?;
        let mut may = Vec::new();
        if let Some(visit) = &self.visit {
            match visit.stage {
                Stage::Opening(_, asked) if now.at - asked >= BARRIER_MS => {}
                Stage::Measuring(_) | Stage::Opening(..) => return Ok(vec![Taken::Ignored]),
            }
        }
        let Some(read) = self.reads.get(&person) else { return Ok(vec![Taken::New]) };
        let (unseen, age) = (now.at - read.seen, now.at - read.began);
        if !read.before_cut {
            may.push(match (unseen < SAME_READ_MS, age <= SAME_RESULT_MS && read.outcome.is_some()) {
                (true, _) => Taken::Ignored,
                (false, true) => Taken::Repeat,
                (false, false) => Taken::New,
            });
            return Ok(may);
        }
        // The box does not know when it saw the card last, but since when its result counts.
        let known = age <= SAME_RESULT_MS;
        if known && unseen < SAME_READ_MS {
            may.push(Taken::Ignored);
        }
        if known && read.outcome.is_some() {
            may.push(Taken::Repeat);
        }
        if !known || read.outcome.is_none() || !read.on_record {
            may.push(Taken::New);
        }
        Ok(may)
    }

    /// An event of a visit is of the one in front, whose number is its own.
    fn note(&mut self, event: &Recorded) -> Result<(), String> {
        let Some(id) = event.visit.filter(|_| event.kind != "repeat" && event.kind != "device") else {
            return Ok(());
        };
        let Some(visit) = &mut self.visit else {
            return Err(format!("`{}` of visit {id}, and nobody is in front", event.kind));
        };
        if self.ended.contains(&id) && visit.id != Some(id) {
            return Err(format!("visit {id} was over"));
        }
        if *visit.id.get_or_insert(id) != id {
            return Err(format!("`{}` of visit {id}, in front is {:?}", event.kind, visit.id));
        }
        visit.on_record = true;
        if let Some(read) = self.reads.get_mut(&visit.person) {
            read.on_record = true;
        }
        Ok(())
    }

    fn measures(&mut self, now: Moment, ticket: u64) -> Result<(), String> {
        match &mut self.visit {
            Some(Visit { stage: Stage::Measuring(measuring), asked, .. }) => {
                *asked = now.at;
                measuring.ask(ticket);
                Ok(())
            }
            Some(_) | None => Err("the thermometer is asked for nobody".into()),
        }
    }

    fn measured(&mut self, event: &Recorded) -> Result<(), String> {
        match &mut self.visit {
            Some(Visit { stage: Stage::Measuring(measuring), person, .. }) => {
                measuring.closes(&event.data).map_err(|why| format!("{person}: {why}"))
            }
            Some(_) | None => Err("a temperature of nobody".into()),
        }
    }

    fn failed(&mut self, event: &Recorded) {
        if event.data["code"] == "X_DEVICE" {
            self.visit.take_if(|v| matches!(v.stage, Stage::Opening(..)));
        }
    }

    fn abandoned(&mut self, event: &Recorded) -> Result<(), String> {
        let Some(visit) = self.visit.take() else { return Ok(()) };
        if event.data["reason"] != "restart" {
            return Err(format!("the visit of {} is given up for {}", visit.person, event.data["reason"]));
        }
        self.ended.extend(event.visit);
        self.reads.remove(&visit.person);
        Ok(())
    }

    /// A verdict: who is admitted by it.
    fn judged(&mut self, now: Moment, event: &Recorded, came: &[Recorded]) -> Result<Option<u32>, String> {
        let Some(visit) = &self.visit else { return Err("a verdict on nobody".into()) };
        let (number, person) = (visit.person, self.person(visit.person)?);
        let Stage::Measuring(measuring) = &visit.stage else {
            return Err(format!("a second verdict on {number}"));
        };
        let used = self.used.contains(&number);
        let stale = self.lists.iter().any(|issued| now.wall_ms - issued > 24 * 3_600_000);
        let must = verdict(self.gate, person, measuring, (now.wall_ms, now.clock_known), stale, used)?;
        let outcome = event.data["outcome"].as_str().unwrap_or_default().to_owned();
        let codes: Vec<&str> =
            event.data["codes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if (outcome.as_str(), codes.as_slice()) != (must.0, must.1.as_slice()) {
            return Err(format!("{person:?} is {outcome} {codes:?}, must be {} {:?}", must.0, must.1));
        }
        let with = |kind: &str| came.iter().any(|e| e.kind == kind);
        let admitted = outcome == "ADMIT";
        let (arrives, uses) = (self.gate == Gate::School && admitted, person.once && admitted);
        let fever = self.gate == Gate::School && codes.contains(&"T_HIGH");
        for (kind, must) in [("arrival", arrives), ("pass_used", uses), ("fever", fever)] {
            if with(kind) != must {
                return Err(format!("{number} is {outcome} {codes:?}, `{kind}` on record: {}", with(kind)));
            }
        }
        *self.verdicts.entry(outcome.clone()).or_default() += 1;
        self.ended.extend(event.visit);
        if let Some(read) = self.reads.get_mut(&number) {
            read.outcome = Some(outcome);
        }
        if !admitted {
            self.is_over = true;
            return Ok(None);
        }
        self.admitted += 1;
        if uses && !self.used.insert(number) {
            return Err(format!("the pass of {number} admits a second time"));
        }
        if let Some(visit) = &mut self.visit {
            visit.stage = Stage::Opening(0, now.at);
        }
        Ok(Some(number))
    }
}

impl Visit {
    fn new(person: u32, now: Moment) -> Self {
        let stage = Stage::Measuring(Measuring::default());
        Self { person, id: None, since: now.at, asked: now.at, stage, on_record: false }
    }
}

impl Read {
    fn new(at: u64) -> Self {
        Self { seen: at, began: at, outcome: None, on_record: false, before_cut: false }
    }
}
