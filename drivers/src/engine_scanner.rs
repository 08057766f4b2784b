//! A scan engine that sends codes as plain text and answers commands on the same line: configured first, then read.
//!
//! What differs between makers is in [`Engine`]: the commands, and the form of their answers.
//! An engine that does not answer its commands is reported as faulty and they are sent again; the codes
//! that it reads are accepted all the same.

use crate::codec::{Codec, Ms, Out};
use crate::line_scanner::{LineScanner, Lines};
use kakou_core::reading::{Command, Report, Ticket};

/// An answer comes within this time.
pub const ANSWER_MS: Ms = 500;
/// A question is asked this often.
const TRIES: u32 = 3;
/// After an engine did not answer it is set up again.
const AGAIN_MS: Ms = 5_000;
/// A reader that waits to be told ends after about five seconds by itself: it is told again before.
const TOLD_AGAIN_MS: Ms = 4_000;
/// Some engines lose a command that comes too soon after another.
const BETWEEN_MS: Ms = 50;

/// What the front of the line is, to an engine that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// The beginning of an answer; more must come.
    Short,
    /// Text of a code.
    Text,
    /// An answer of so many bytes.
    Answer {
        /// Its length.
        length: usize,
        /// Whether it is the one that was waited for, and says yes.
        good: bool,
    },
    /// So many bytes of an answer that is not whole. Whether what follows is the rest of it or a code, nobody knows.
    Broken(usize),
}

/// One maker's commands.
pub trait Engine: Send + Sync {
    /// The command of a step of the set-up; none when it is done.
    fn command(&mut self, step: usize) -> Option<Vec<u8>>;
    /// Looks at the front of what arrived while the answer of a step, or of [`TOLD`], is waited for.
    fn front(&mut self, step: usize, bytes: &[u8]) -> Front;
    /// The command that begins or ends reading, for a reader that waits to be told.
    fn read(&self, on: bool) -> Option<Vec<u8>>;
}

/// What is said of an answer that is not whole, and of what follows it.
const BROKEN: &str = "an answer that is not whole";
/// Answers begin with a control character where they cannot be text; no code begins so.
const CONTROLS: std::ops::Range<u8> = 0..0x20;

/// Stands for the command of [`Engine::read`] among the steps.
pub const TOLD: usize = usize::MAX;

enum Stage {
    /// Nothing is asked.
    Reading,
    /// The next command goes out then.
    Pause { step: usize, until: Ms },
    /// An answer is waited for.
    Asked { step: usize, tries: u32, until: Ms },
    /// It was told to read or to stop; its answer is not a code.
    Told { until: Ms },
}

/// The codec.
pub struct EngineScanner<E> {
    engine: E,
    text: LineScanner,
    stage: Stage,
    held: Vec<u8>,
    ready: Option<bool>,
    /// When it is told to read, as long as it is to: readers end by themselves after a code or a while.
    told_at: Option<Ms>,
}

impl<E: Engine> EngineScanner<E> {
    /// For an engine whose codes come so.
    pub fn new(engine: E, lines: impl Into<Lines>) -> Self {
        let text = LineScanner::new(lines);
        Self { engine, text, stage: Stage::Reading, held: Vec::new(), ready: None, told_at: None }
    }

    fn ask(&mut self, now: Ms, step: usize, tries: u32, out: &mut Vec<Out>) {
        match self.engine.command(step) {
            Some(command) => {
                out.push(Out::Write(command));
                self.stage = Stage::Asked { step, tries, until: now + ANSWER_MS };
            }
            None => {
                self.stage = Stage::Reading;
                self.link(true, out);
            }
        }
    }

    /// Tells it to read, if it is time to and nothing else is asked.
    fn tell(&mut self, now: Ms, out: &mut Vec<Out>) {
        let due = matches!(self.stage, Stage::Reading) && self.told_at.is_some_and(|at| at <= now);
        if let (true, Some(bytes)) = (due, self.engine.read(true)) {
            out.push(Out::Write(bytes));
            self.stage = Stage::Told { until: now + ANSWER_MS };
            self.told_at = Some(now + TOLD_AGAIN_MS);
        }
    }

    /// The beginning of an answer never came to its end: it is text after all, if it can be.
    fn give_up(&mut self, now: Ms, out: &mut Vec<Out>) {
        let held = std::mem::take(&mut self.held);
        match held.first() {
            Some(first) if CONTROLS.contains(first) => out.push(Out::Error(BROKEN)),
            Some(_) => self.text.bytes(now, &held, out),
            None => {}
        }
    }

    fn link(&mut self, ready: bool, out: &mut Vec<Out>) {
        if self.ready.replace(ready) != Some(ready) {
            out.push(Out::Report(Report::Link { ready }));
        }
    }

    /// Takes answers out of what arrived; the rest is text.
    fn sort(&mut self, now: Ms, out: &mut Vec<Out>) {
        let mut text = Vec::new();
        let mut at = 0;
        let told = self.engine.read(true).is_some();
        while at < self.held.len() {
            let step = match self.stage {
                Stage::Asked { step, .. } => step,
                Stage::Told { .. } => TOLD,
                // It may answer late, or twice when it was told to read and then to stop.
                Stage::Reading | Stage::Pause { .. } if told => TOLD,
                Stage::Reading | Stage::Pause { .. } => break,
            };
            match self.engine.front(step, &self.held[at..]) {
                Front::Short => {
                    if matches!(self.stage, Stage::Reading) {
                        self.stage = Stage::Told { until: now + ANSWER_MS };
                    }
                    break;
                }
                Front::Text => {
                    text.push(self.held[at]);
                    at += 1;
                }
                Front::Broken(length) => {
                    self.text.bytes(now, &std::mem::take(&mut text), out);
                    self.text.spoil(now, BROKEN);
                    at += length.clamp(1, self.held.len() - at);
                }
                Front::Answer { length, good } => {
                    at += length.clamp(1, self.held.len() - at);
                    out.push(Out::Seen);
                    if !good {
                        out.push(Out::Error("the reader refused a setting"));
                    }
                    self.stage = match self.stage {
                        Stage::Asked { step, .. } => Stage::Pause { step: step + 1, until: now + BETWEEN_MS },
                        Stage::Told { .. } | Stage::Reading => Stage::Reading,
                        Stage::Pause { step, until } => Stage::Pause { step, until },
                    };
                }
            }
        }
        if !told && matches!(self.stage, Stage::Reading | Stage::Pause { .. }) {
            text.extend_from_slice(&self.held[at..]);
            at = self.held.len();
        }
        self.held.drain(..at);
        if !text.is_empty() {
            let before = out.len();
            self.text.bytes(now, &text, out);
            let read = out[before..].iter().any(|o| matches!(o, Out::Report(Report::Scan { .. })));
            if read && self.told_at.is_some() {
                self.told_at = Some(now + BETWEEN_MS);
            }
        }
        self.tell(now, out);
    }
}

impl<E: Engine> Codec for EngineScanner<E> {
    fn opened(&mut self, now: Ms, out: &mut Vec<Out>) {
        self.held.clear();
        let mut text = Vec::new();
        self.text.opened(now, &mut text);
        out.push(Out::Flush);
        self.ready = None;
        self.ask(now, 0, 1, out);
    }

    fn bytes(&mut self, now: Ms, bytes: &[u8], out: &mut Vec<Out>) {
        self.held.extend_from_slice(bytes);
        self.sort(now, out);
    }

    fn command(&mut self, now: Ms, ticket: Ticket, command: &Command, out: &mut Vec<Out>) {
        let Command::Read { on } = command else { return self.text.command(now, ticket, command, out) };
        if self.engine.read(true).is_none() {
            return;
        }
        self.told_at = on.then_some(now);
        self.tell(now, out);
        let free = matches!(self.stage, Stage::Reading | Stage::Told { .. });
        if let (false, true, Some(bytes)) = (on, free, self.engine.read(false)) {
            out.push(Out::Write(bytes));
            self.stage = Stage::Told { until: now + ANSWER_MS };
        }
    }

    fn deadline(&self) -> Option<Ms> {
        let own = match &self.stage {
            Stage::Reading => self.told_at,
            Stage::Pause { until, .. } | Stage::Asked { until, .. } | Stage::Told { until } => Some(*until),
        };
        [own, self.text.deadline()].into_iter().flatten().min()
    }

    fn wake(&mut self, now: Ms, out: &mut Vec<Out>) {
        match self.stage {
            Stage::Pause { step, until } if until <= now => self.ask(now, step, 1, out),
            Stage::Asked { step, tries, until } if until <= now => {
                self.give_up(now, out);
                if tries < TRIES {
                    self.ask(now, step, tries + 1, out);
                } else {
                    out.push(Out::Error("no answer to a setting"));
                    self.link(false, out);
                    self.stage = Stage::Pause { step: 0, until: now + AGAIN_MS };
                }
            }
            Stage::Told { until } if until <= now => {
                self.give_up(now, out);
                self.stage = Stage::Reading;
            }
            Stage::Reading | Stage::Pause { .. } | Stage::Asked { .. } | Stage::Told { .. } => {}
        }
        self.text.wake(now, out);
        self.tell(now, out);
    }

    fn lost(&mut self) -> Option<Ticket> {
        self.held.clear();
        self.text.lost()
    }
}
