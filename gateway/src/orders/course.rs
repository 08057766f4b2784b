//! The course of commands, from the word to its end: no clock, no book, no signature. Each is carried out once, on
//! record, within its time, and not before the time of this gateway is confirmed: one of yesterday must not open a
//! barrier today.

use super::commands::Outcome;
use super::jobs::{self, Job};
use super::truncate;
use kakou_core::time::Now;
use kakou_wire::order::{Command, Judged, State};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Commands that wait for the clock; one that finds no room comes again with the next connection.
const FOR_CLOCK: usize = 64;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A word has come, with the id of its topic.
    Came(String, Vec<u8>),
    /// Somebody looks: words that wait may go on.
    Tick,
    /// The answer to [`Output::Look`].
    Word(Box<ReceivedOrder>),
    /// The answer to [`Output::Room`].
    Room(bool),
    /// The answer to [`Output::Begin`]: whether it is on record.
    Recorded(bool),
    /// The answer to [`Output::CarryOut`].
    Done(Outcome),
    /// The book cannot be read or written: what was still to be done for this word is not done.
    NoBook,
}

/// A word as it was looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedOrder {
    /// The id of its topic.
    pub id: String,
    /// As it came.
    pub bytes: Vec<u8>,
    /// What it is.
    pub found: OrderCheck,
}

/// What a word is.
#[derive(Debug, Clone, PartialEq)]
pub enum OrderCheck {
    /// The book has this under its id.
    Known(Job),
    /// A command, and who signed it.
    New(Command, String),
    /// None, and why.
    Bad(String),
}

/// What is to be done, in this order; before the rest is done, what follows from an answer is.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Look it up in the book, and whether it is signed.
    Look(String, Vec<u8>),
    /// Say whether the book has room for this one.
    Room(String),
    /// Write this into the book.
    Keep(Job),
    /// Tell upstream how far it is.
    Tell(Job),
    /// Put on record that it begins.
    Begin(Value),
    /// Do it.
    CarryOut(Command, String),
    /// Put on record that it has ended.
    End(Value),
    /// Count the refusal, and put on record what was refused.
    Refuse(Value),
    /// Count this.
    Count(&'static str),
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Rest,
    /// Until it is known whether the book has room.
    Room { job: Job, command: Command, issuer: String, in_time: bool },
    /// Until it is on record.
    Begins { job: Job, command: Command, issuer: String },
    /// Until it is done.
    Works(Job),
}

/// The commands of a gateway.
#[derive(Debug)]
pub struct Course {
    /// The boot of this run.
    boot: String,
    for_clock: BTreeMap<String, Vec<u8>>,
    stage: Stage,
}

impl Course {
    /// Nothing has come.
    pub fn new(boot: String) -> Self {
        Self { boot, for_clock: BTreeMap::new(), stage: Stage::Rest }
    }

    /// Something happened: adds what is to be done.
    pub fn handle(&mut self, now: &Now, input: Input, out: &mut Vec<Output>) {
        match input {
            // The broker has forgotten one that is over.
            Input::Came(_, bytes) if bytes.is_empty() => {}
            Input::Came(id, bytes) => out.push(Output::Look(id, bytes)),
            Input::Tick => {
                if confirmed_s(now).is_some() {
                    let waited = std::mem::take(&mut self.for_clock).into_iter();
                    out.extend(waited.map(|(id, bytes)| Output::Look(id, bytes)));
                }
            }
            Input::Word(word) => self.word(now, *word, out),
            Input::Room(room) => self.room(now, room, out),
            Input::Recorded(recorded) => self.recorded(now, recorded, out),
            Input::Done(outcome) => self.done(now, outcome, out),
            Input::NoBook => self.stage = Stage::Rest,
        }
    }

    fn word(&mut self, now: &Now, word: ReceivedOrder, out: &mut Vec<Output>) {
        let ReceivedOrder { id, bytes, found } = word;
        let mut job = Job {
            id,
            what: String::new(),
            state: State::Queued,
            detail: Value::Null,
            at_ms: None,
            boot: self.boot.clone(),
            expires_s: i64::MAX,
        };
        let (command, issuer) = match found {
            OrderCheck::New(command, issuer) => (command, issuer),
            // It has had its turn: how far it is, is told once more.
            OrderCheck::Known(job) => return out.push(Output::Tell(job)),
            OrderCheck::Bad(why) => return reject(now, job, why, out),
        };
        let judged = command.judge(confirmed_s(now));
        if let Judged::Rejected(why) = judged {
            return reject(now, job, why, out);
        }
        job.what = command.what.as_str().to_owned();
        job.expires_s = command.expires;
        if judged == Judged::Waits {
            // Not in the book: it counts or not by the time of then.
            job.detail = json!("the clock of this gateway is not confirmed: it waits until it is");
            job.at_ms = now.wall_ms;
            let id = job.id.clone();
            out.push(Output::Tell(job));
            if self.for_clock.len() < FOR_CLOCK || self.for_clock.contains_key(&id) {
                self.for_clock.insert(id, bytes);
            } else {
                out.push(Output::Count("order_dropped_total"));
            }
            return;
        }
        let id = job.id.clone();
        self.stage = Stage::Room { job, command, issuer, in_time: judged == Judged::Now };
        out.push(Output::Room(id));
    }

    fn room(&mut self, now: &Now, room: bool, out: &mut Vec<Output>) {
        let Stage::Room { mut job, command, issuer, in_time } = std::mem::take(&mut self.stage) else {
            return;
        };
        if !room {
            let why = format!(
                "{} commands that still count are in the book: wait until some have ended",
                jobs::MOST
            );
            return reject(now, job, why, out);
        }
        if !in_time {
            return step(now, &mut job, State::TimedOut, json!("it came after its time"), out);
        }
        step(now, &mut job, State::Queued, Value::Null, out);
        out.push(Output::Begin(
            json!({ "command": job.id, "what": job.what, "by": command.by, "issuer": issuer,
            "reason": command.reason }),
        ));
        self.stage = Stage::Begins { job, command, issuer };
    }

    fn recorded(&mut self, now: &Now, recorded: bool, out: &mut Vec<Output>) {
        let Stage::Begins { mut job, command, issuer } = std::mem::take(&mut self.stage) else { return };
        if !recorded {
            return step(now, &mut job, State::Failed, json!("it cannot be recorded"), out);
        }
        step(now, &mut job, State::InProgress, Value::Null, out);
        out.push(Output::CarryOut(command, issuer));
        self.stage = Stage::Works(job);
    }

    fn done(&mut self, now: &Now, outcome: Outcome, out: &mut Vec<Output>) {
        let Stage::Works(mut job) = std::mem::take(&mut self.stage) else { return };
        match outcome {
            Outcome::Done(detail) => step(now, &mut job, State::Succeeded, detail, out),
            Outcome::Not(why) => step(now, &mut job, State::Failed, json!(why), out),
            // The next run tells that it is done.
            Outcome::Later => {}
        }
        out.push(Output::End(json!({ "command": job.id, "what": job.what, "state": job.state })));
    }
}

/// The time, where a time service has confirmed it.
fn confirmed_s(now: &Now) -> Option<i64> {
    now.wall_s().filter(|_| now.synced())
}

/// It is in the book before anybody hears of it.
fn step(now: &Now, job: &mut Job, state: State, detail: Value, out: &mut Vec<Output>) {
    (job.state, job.detail, job.at_ms) = (state, detail, now.wall_ms);
    out.extend([Output::Keep(job.clone()), Output::Tell(job.clone())]);
}

/// It is answered, and not kept: nobody may fill the book with what was never signed.
fn reject(now: &Now, mut job: Job, mut why: String, out: &mut Vec<Output>) {
    truncate(&mut why);
    out.push(Output::Refuse(json!({ "command": job.id, "why": why })));
    (job.state, job.detail, job.at_ms) = (State::Rejected, json!(why), now.wall_ms);
    out.push(Output::Tell(job));
}

#[cfg(test)]
mod tests;
