//! Scripts of scenarios at the real daemon: readers read, thermometers measure, officers act at their desks, and the
//! verdicts of the play on the core come.

use super::batch::{Batch, Company, USUAL_MDEG, lane_id};
use super::cells::Proof;
use super::files::Played;
use super::script::{Doing, Script};
use super::table::Row;
use crate::desk::PIN;
use crate::figures::{Missing, say};
use crate::wait;
use kakou_core::codes::Outcome;
use kakou_core::ids::{LaneId, VisitId};
use kakou_core::lane::action::Action;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// An act is taken within this time, and a verdict comes: three measurements with their pauses lie between.
const LIMIT: Duration = Duration::from_secs(30);
/// A code that was not taken is read again after this time.
const AGAIN: Duration = Duration::from_millis(1_500);
/// So many scripts are played at once.
const AT_ONCE: usize = 6;
/// A cell is tried with so many scenarios.
const CANDIDATES: usize = 4;

/// What the daemon has shown.
#[derive(Default)]
pub struct Real {
    /// The scenario that has shown an outcome of a profile.
    pub by: BTreeMap<(String, Outcome), String>,
    /// Outcomes that were not shown, with the reason of the last try.
    pub open: Vec<String>,
    /// Decisions in milliseconds, by profile.
    pub took_ms: BTreeMap<String, Vec<f64>>,
    /// Daemons.
    pub daemons: usize,
    /// Verdicts.
    pub verdicts: usize,
}

/// How a script came out: how long the decisions of which profile took, or why it did not.
type CameOut = Result<Vec<(String, f64)>, String>;

struct Wanted<'a> {
    profile: String,
    outcome: Outcome,
    candidates: VecDeque<&'a Played>,
    why: String,
}

/// The text of a scenario as of now, with codes of its own.
fn as_of_now(text: &str, number: usize) -> String {
    let now = kakou_core::time::rfc3339(crate::passes::now_s() * 1_000);
    let mut out = String::with_capacity(text.len());
    for line in text.lines() {
        match line.strip_prefix("clock") {
            Some(rest) if rest.trim_start().starts_with('=') => {
                // The same offset of the site, another moment.
                out.push_str(&format!("clock = \"{}\"\n", now.replace('Z', "+00:00")));
            }
            _ => {
                out.push_str(&own_codes(line, number));
                out.push('\n');
            }
        }
    }
    out
}

/// Codes as `P-0001` have a number behind them, so that scenarios at one gateway name nobody twice.
fn own_codes(line: &str, number: usize) -> String {
    let is_code = |word: &str| {
        let (letters, digits) = word.split_once('-').unwrap_or_default();
        (1..=3).contains(&letters.len())
            && letters.bytes().all(|b| b.is_ascii_uppercase())
            && !digits.is_empty()
            && digits.bytes().all(|b| b.is_ascii_digit())
    };
    let words =
        line.split('"').map(|word| if is_code(word) { format!("{word}-{number}") } else { word.to_owned() });
    words.collect::<Vec<_>>().join("\"")
}

/// Plays every outcome of every profile.
pub fn run(begun: Instant, rows: &[Row], all: &[Played]) -> Result<Real, Missing> {
    let mut real = Real::default();
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    for row in rows {
        let Proof::Decides(outcome) = row.cell.proof else { continue };
        let profile = row.cell.profile.clone();
        let mut candidates: Vec<(i64, usize, &Played)> = all
            .iter()
            .filter_map(|of| {
                Script::of(&of.scenario, &of.shown, (&profile, outcome)).map(|script| (script, of))
            })
            .map(|(script, of)| (script.lasts_ms, script.doings.len(), of))
            .collect();
        candidates.sort_by_key(|(lasts, doings, of)| (*lasts, *doings, of.name.clone()));
        let candidates = candidates.into_iter().map(|(.., of)| of).take(CANDIDATES).collect();
        let why = "no scenario of it is one that devices and desks alone can do".to_owned();
        wanted.push(Wanted { profile, outcome, candidates, why });
    }
    let mut number = 0;
    while !wanted.is_empty() {
        let mut tried = Vec::new();
        let (mut scripts, mut of) = (Vec::new(), Vec::new());
        for mut one in std::mem::take(&mut wanted) {
            let Some(candidate) = one.candidates.pop_front() else {
                real.open.push(format!("{} · {}: {}", one.profile, one.outcome.as_str(), one.why));
                continue;
            };
            number += 1;
            match candidate.as_of(&as_of_now(&candidate.text, number), (&one.profile, one.outcome)) {
                Ok(script) => {
                    scripts.push(script);
                    of.push(one);
                }
                Err(why) => {
                    one.why = format!("{}: {why}", candidate.name);
                    tried.push(one);
                }
            }
        }
        let mut companies: Vec<Company> = Vec::new();
        for (place, script) in scripts.iter().enumerate() {
            if !companies.iter_mut().any(|company| company.take(place, script)) {
                let mut company = Company::default();
                company.take(place, script);
                companies.push(company);
            }
        }
        say(begun, &format!("{} scripts at {} daemons", scripts.len(), companies.len()));
        real.daemons += companies.len();
        let mut played: BTreeMap<usize, CameOut> = BTreeMap::new();
        for company in &companies {
            let folder = tempfile::tempdir()?;
            let batch = Batch::start(folder.path(), company, &scripts)?;
            played.extend(batch.play(company, &scripts));
            let good =
                company.members.iter().filter(|place| played.get(place).is_some_and(Result::is_ok)).count();
            say(begun, &format!("{good} of {} scripts at this daemon came out", company.members.len()));
        }
        for (place, mut one) in of.into_iter().enumerate() {
            match played.remove(&place).unwrap_or_else(|| Err("it was not played".into())) {
                Ok(took) => {
                    real.verdicts += took.len();
                    for (profile, ms) in took {
                        real.took_ms.entry(profile).or_default().push(ms);
                    }
                    real.by.insert((one.profile, one.outcome), scripts[place].name.clone());
                }
                Err(why) => {
                    say(begun, &format!("{}: {why}", scripts[place].name));
                    one.why = format!("{}: {why}", scripts[place].name);
                    tried.push(one);
                }
            }
        }
        wanted = tried;
    }
    Ok(real)
}

impl Batch {
    /// Plays the scripts of a company, some at once: how long the decisions took, or why it did not come out as it must.
    fn play(&self, company: &Company, scripts: &[Script]) -> Vec<(usize, CameOut)> {
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|threads| {
            for _ in 0..AT_ONCE {
                threads.spawn(|| {
                    while let Some(place) = company.members.get(next.fetch_add(1, Ordering::SeqCst)) {
                        let mut hand = Hand {
                            batch: self,
                            place: *place,
                            journal: self.gateway.journal(),
                            seq: 0,
                            came: BTreeMap::new(),
                            visits: BTreeMap::new(),
                            took: Vec::new(),
                        };
                        let played = hand.play(&scripts[*place]).map(|()| hand.took);
                        if let Ok(mut done) = done.lock() {
                            done.push((*place, played));
                        }
                    }
                });
            }
        });
        done.into_inner().unwrap_or_default()
    }
}

/// Whoever plays a script.
struct Hand<'a> {
    batch: &'a Batch,
    place: usize,
    journal: Connection,
    seq: i64,
    /// Verdicts that came and were not awaited yet, by lane: visit and data.
    came: BTreeMap<String, VecDeque<(u64, Value)>>,
    /// Visits of the daemon by those of the play.
    visits: BTreeMap<VisitId, u64>,
    took: Vec<(String, f64)>,
}

impl Hand<'_> {
    fn play(&mut self, script: &Script) -> Result<(), String> {
        let mut last = Instant::now();
        let end = script.doings.len();
        for (at, doing) in script.doings.iter().enumerate() {
            let rest = script.doings.get(at + 1..).unwrap_or_default();
            match doing {
                Doing::Scan(lane, role, text) => {
                    self.prepare(lane, rest);
                    last = self.scan(lane, role, text)?;
                }
                Doing::Act(lane, officer, action) => {
                    self.prepare(lane, rest);
                    let desk = self.batch.desks.get(officer).ok_or("nobody is signed in")?;
                    let body = self.act(action)?;
                    let mut said = Value::Null;
                    let taken = wait::try_until(LIMIT, || {
                        last = Instant::now();
                        let (status, answer) = desk.act(&lane_id(self.place, lane), &body).ok()?;
                        said = answer;
                        (status == 200).then_some(())
                    });
                    taken.ok_or_else(|| format!("{body} was not taken: {said}"))?;
                }
                Doing::Warm(..) | Doing::Load(..) => {}
                Doing::Pause(time) => std::thread::park_timeout(*time),
                Doing::Verdict(lane, visit, outcome, codes) => {
                    let (own, data) = self.verdict(&lane_id(self.place, lane))?;
                    self.visits.insert(*visit, own);
                    let wanted = json!({ "outcome": outcome, "codes": codes });
                    let is = json!({ "outcome": data["outcome"], "codes": data["codes"] });
                    if is != wanted {
                        return Err(format!("expected {wanted}, found {is}"));
                    }
                    if at + 1 == end && script.prompt {
                        let profile =
                            script.lanes.iter().find(|of| of.id == *lane).map(|of| of.profile.clone());
                        self.took.push((profile.unwrap_or_default(), last.elapsed().as_secs_f64() * 1e3));
                    }
                    self.load(lane, 0);
                }
            }
        }
        Ok(())
    }

    /// What stands at the thermometer and lies on the scale until the next thing is done in this lane.
    fn prepare(&self, lane: &LaneId, rest: &[Doing]) {
        let mut mdeg = USUAL_MDEG;
        for doing in rest.iter().take_while(|doing| !doing.begins_in(lane)) {
            match doing {
                Doing::Warm(of, seen) if of == lane => mdeg = *seen,
                Doing::Load(of, grams) if of == lane => self.load(lane, *grams),
                Doing::Warm(..)
                | Doing::Load(..)
                | Doing::Scan(..)
                | Doing::Act(..)
                | Doing::Pause(_)
                | Doing::Verdict(..) => {}
            }
        }
        let devices = self.batch.devices.get(&lane_id(self.place, lane));
        devices.iter().flat_map(|d| &d.thermometers).for_each(|thermometer| thermometer.set(mdeg));
    }

    fn load(&self, lane: &LaneId, grams: i64) {
        let devices = self.batch.devices.get(&lane_id(self.place, lane));
        devices.iter().flat_map(|d| &d.scales).for_each(|scale| scale.set(grams));
    }

    /// The visit in front, as the desk shows it.
    fn front(&self, lane: &str) -> Value {
        self.batch
            .get(&format!("/api/v1/lanes/{lane}/desk"))
            .map(|desk| desk["visit"]["id"].clone())
            .unwrap_or_default()
    }

    /// A code is read until the lane has taken it; gives when it was read.
    fn scan(&mut self, lane: &LaneId, role: &str, text: &str) -> Result<Instant, String> {
        let id = lane_id(self.place, lane);
        let reader = self
            .batch
            .devices
            .get(&id)
            .and_then(|devices| devices.readers.get(role))
            .ok_or("no such reader")?;
        let before = self.front(&id);
        let end = Instant::now() + LIMIT;
        while Instant::now() < end {
            let at = Instant::now();
            reader.lock().map_err(|e| e.to_string())?.scan(text).map_err(|e| e.to_string())?;
            let taken = wait::try_until(AGAIN, || {
                self.look();
                let decided = self.came.get(&id).is_some_and(|came| !came.is_empty());
                let front = if decided { Value::Null } else { self.front(&id) };
                (decided || !front.is_null() && front != before).then_some(())
            });
            if taken.is_some() {
                return Ok(at);
            }
        }
        Err(format!("`{text}` was not taken"))
    }

    /// Takes in what the journal has new.
    fn look(&mut self) {
        let sql = "SELECT seq, CAST(body AS TEXT) FROM event WHERE shed = 0 AND seq > ?1 ORDER BY seq";
        let Ok(mut select) = self.journal.prepare_cached(sql) else { return };
        let rows = select.query_map([self.seq], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, String>(1)?)));
        for (seq, body) in rows.into_iter().flatten().flatten() {
            self.seq = seq;
            if !body.contains("kakou.transaction.v1") {
                continue;
            }
            let Ok(mut event) = serde_json::from_str::<Value>(&body) else { continue };
            let subject = event["subject"].as_str().unwrap_or_default().to_owned();
            if let Some((lane, visit)) = subject.split_once('/') {
                let came = (visit.parse().unwrap_or(0), event["data"].take());
                self.came.entry(lane.to_owned()).or_default().push_back(came);
            }
        }
    }

    fn verdict(&mut self, lane: &str) -> Result<(u64, Value), String> {
        let end = Instant::now() + LIMIT;
        loop {
            self.look();
            if let Some(came) = self.came.get_mut(lane).and_then(VecDeque::pop_front) {
                return Ok(came);
            }
            if Instant::now() >= end {
                return Err("no verdict came".into());
            }
            std::thread::park_timeout(Duration::from_millis(4));
        }
    }

    /// An act as the desk sends it.
    fn act(&self, action: &Action) -> Result<Value, String> {
        let of =
            |visit: &VisitId| self.visits.get(visit).ok_or("a visit without a verdict is not known here");
        Ok(match action {
            Action::Enter { text, on } => json!({ "action": "enter", "text": text, "on": on }),
            Action::Start { on } => json!({ "action": "start", "on": on }),
            Action::Recheck => json!({ "action": "recheck" }),
            Action::Aside => json!({ "action": "aside" }),
            Action::Party(count) => json!({ "action": "party", "count": count }),
            Action::Complete(visit) => json!({ "action": "complete", "visit": of(visit)? }),
            Action::Answer { question, value } => {
                json!({ "action": "answer", "question": question, "value": value })
            }
            Action::Form(answers) => json!({ "action": "form", "answers": answers }),
            Action::SealCheck(seals) => json!({ "action": "seal_check", "seals": seals }),
            Action::Tally(code) => json!({ "action": "tally", "code": code }),
            Action::TallyDone => json!({ "action": "tally_done" }),
            Action::Approve { approve, note, .. } => {
                json!({ "action": "approve", "approve": approve, "note": note })
            }
            Action::Seal { first, second, kind, door } => {
                json!({ "action": "seal", "first": first, "second": second, "kind": kind, "door": door })
            }
            Action::Capture(role) => json!({ "action": "capture", "role": role }),
            Action::Retake(role) => json!({ "action": "retake", "role": role }),
            Action::Accept(role) => json!({ "action": "accept", "role": role }),
            Action::Confirm(checks) => json!({ "action": "confirm", "checks": checks }),
            Action::Cancel { reason, visit } => {
                let visit = visit.as_ref().map(of).transpose()?;
                json!({ "action": "cancel", "reason": reason, "visit": visit })
            }
            Action::Override { visit, outcome, reason, note, second } => {
                let second = second.as_ref().map(|by| json!({ "officer": by.id, "pin": PIN }));
                json!({ "action": "override", "visit": of(visit)?, "outcome": outcome, "reason": reason, "note": note,
                    "pin": PIN, "second": second })
            }
            Action::Correct { register, key, holder, act, reason } => {
                json!({ "action": "correct", "register": register, "key": key, "holder": holder, "act": act, "reason": reason })
            }
            Action::Reprint { visit, step, reason } => {
                json!({ "action": "reprint", "visit": of(visit)?, "step": step, "reason": reason })
            }
            Action::Code(code) => json!({ "action": "code", "code": code }),
            Action::Call => json!({ "action": "call" }),
            Action::OpenAgain(visit) => json!({ "action": "again", "visit": of(visit)? }),
            Action::OpenedByHand(visit) => json!({ "action": "byhand", "visit": of(visit)? }),
        })
    }
}
