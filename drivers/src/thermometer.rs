//! A thermometer module on a serial line that sends frames: one codec for all of them.
//!
//! What differs between makers is in [`Module`]. A frame counts only while a measurement runs, and
//! only if all of it was sent after the measurement began. Where a frame has no more than one byte of sum, it counts
//! only if the next frame or a pause follows: a frame that breaks off and a garbled one behind it have a right sum
//! together once in 256 times, and end in the middle of the second.

use crate::codec::{Codec, Ms, Out};
use kakou_core::reading::{Command, NoData, Report, Temperature, Ticket};

/// Without a valid frame for this long the request fails.
pub const SILENCE_MS: Ms = 1_000;
/// A module that is asked and has not answered by then is asked again: the longest answer takes 200 ms.
const AGAIN_MS: Ms = 300;
/// Behind the last byte of a frame nothing comes for this long, if it was its end: adapters hold bytes back for 16 ms.
pub const PAUSE_MS: Ms = 30;
/// So many bytes tell whether a frame follows.
const WITNESS: usize = 2;

/// What lies at the front of what arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Front {
    /// The beginning of a frame.
    Short,
    /// No frame begins here.
    Noise,
    /// A frame whose checksum is wrong.
    Broken,
    /// A frame.
    Frame {
        /// Its length.
        length: usize,
        /// What it says.
        reading: Temperature,
    },
}

/// One maker's frames.
pub trait Module: Send + Sync {
    /// Starts the frames.
    fn start(&self) -> &[u8];
    /// Ends them; empty where they end by themselves.
    fn stop(&self) -> &[u8];
    /// For a module that answers each question with one frame: the pause between two questions.
    fn ask_every(&self) -> Option<Ms> {
        None
    }
    /// Whether no more than one byte guards a frame.
    fn weak(&self) -> bool {
        false
    }
    /// Looks at the front of what arrived; it is never empty.
    fn front(&self, bytes: &[u8]) -> Front;
}

/// The frame at the front, if `head` begins it and all of its `length` bytes are there.
pub fn framed<'a>(bytes: &'a [u8], head: &[u8], length: usize) -> Result<&'a [u8], Front> {
    let known = bytes.len().min(head.len());
    if bytes[..known] != head[..known] {
        return Err(Front::Noise);
    }
    bytes.get(..length).ok_or(Front::Short)
}

/// The codec.
#[derive(Debug)]
pub struct Thermometer<M> {
    module: M,
    buffer: Vec<u8>,
    measuring: Option<(Ticket, Ms)>,
    /// When the next question is due, for a module that is asked; none while an answer is on its way.
    ask_at: Option<Ms>,
    /// When a question without an answer is asked once more.
    again_at: Option<Ms>,
    /// When the frame at the front of the buffer is believed, if nothing follows.
    pause_at: Option<Ms>,
}

impl<M: Module> Thermometer<M> {
    /// For a module.
    pub const fn new(module: M) -> Self {
        Self { module, buffer: Vec::new(), measuring: None, ask_at: None, again_at: None, pause_at: None }
    }
}

impl<M: Module> Thermometer<M> {
    /// Starts the frames, or asks for one.
    fn ask(&mut self, now: Ms, out: &mut Vec<Out>) {
        self.buffer.clear();
        self.pause_at = None;
        self.ask_at = None;
        self.again_at = self.module.ask_every().map(|_| now + AGAIN_MS);
        out.push(Out::Write(self.module.start().to_vec()));
    }

    /// Takes frames out of the buffer. Before a `pause` a weak one at its end must wait for what follows.
    fn sort(&mut self, now: Ms, pause: bool, out: &mut Vec<Out>) {
        self.pause_at = None;
        let mut at = 0;
        while at < self.buffer.len() {
            match self.module.front(&self.buffer[at..]) {
                Front::Short => break,
                Front::Noise => at += 1,
                Front::Broken => {
                    out.push(Out::Error("bad checksum"));
                    at += 1;
                }
                Front::Frame { length, reading } => {
                    let behind = &self.buffer[at + length..];
                    if self.module.weak() && self.measuring.is_some() {
                        if !behind.is_empty() && self.module.front(behind) == Front::Noise {
                            out.push(Out::Error("a frame that ends in another"));
                            at += 1;
                            continue;
                        }
                        if behind.len() < WITNESS && !pause {
                            self.pause_at = Some(now + PAUSE_MS);
                            break;
                        }
                    }
                    at += length;
                    out.push(Out::Seen);
                    if let Some((ticket, until)) = &mut self.measuring {
                        *until = now + SILENCE_MS;
                        self.ask_at = self.module.ask_every().map(|pause| now + pause);
                        self.again_at = None;
                        out.push(Out::Report(Report::Temperature { ticket: *ticket, frame: reading }));
                    }
                }
            }
        }
        self.buffer.drain(..at);
    }

    fn stop(&self, out: &mut Vec<Out>) {
        if !self.module.stop().is_empty() {
            out.push(Out::Write(self.module.stop().to_vec()));
        }
    }
}

impl<M: Module> Codec for Thermometer<M> {
    fn opened(&mut self, _: Ms, out: &mut Vec<Out>) {
        self.buffer.clear();
        self.measuring = None;
        self.ask_at = None;
        self.again_at = None;
        self.pause_at = None;
        out.push(Out::Flush);
        self.stop(out);
        out.push(Out::Report(Report::Link { ready: true }));
    }

    fn bytes(&mut self, now: Ms, bytes: &[u8], out: &mut Vec<Out>) {
        self.buffer.extend_from_slice(bytes);
        self.sort(now, false, out);
    }

    fn command(&mut self, now: Ms, ticket: Ticket, command: &Command, out: &mut Vec<Out>) {
        match command {
            Command::Measure => {
                // What was sent before the request is not this person's.
                self.buffer.clear();
                self.measuring = Some((ticket, now + SILENCE_MS));
                out.push(Out::Flush);
                self.ask(now, out);
            }
            Command::Stop => {
                self.measuring = None;
                self.ask_at = None;
                self.again_at = None;
                self.pause_at = None;
                self.stop(out);
            }
            Command::Pulse { .. }
            | Command::Capture { .. }
            | Command::Print { .. }
            | Command::Read { .. }
            | Command::Signal { .. } => {
                out.push(Out::Report(Report::NoData { ticket, why: NoData::Fault }));
            }
        }
    }

    fn awaits_answer(&self) -> bool {
        self.module.ask_every().is_some() && self.measuring.is_some() && self.ask_at.is_none()
    }

    fn deadline(&self) -> Option<Ms> {
        let (_, until) = self.measuring?;
        [Some(until), self.ask_at, self.again_at, self.pause_at].into_iter().flatten().min()
    }

    fn wake(&mut self, now: Ms, out: &mut Vec<Out>) {
        if self.pause_at.is_some_and(|at| at <= now) {
            self.sort(now, true, out);
        }
        let Some((ticket, until)) = self.measuring else { return };
        if self.ask_at.is_some_and(|at| at <= now) {
            self.measuring = Some((ticket, now + SILENCE_MS));
            self.ask(now, out);
        } else if until <= now {
            self.measuring = None;
            self.again_at = None;
            out.push(Out::Error("no answer"));
            out.push(Out::Report(Report::NoData { ticket, why: NoData::Timeout }));
        } else if self.again_at.is_some_and(|at| at <= now) {
            out.push(Out::Error("an answer was lost"));
            self.ask(now, out);
        }
    }

    fn lost(&mut self) -> Option<Ticket> {
        self.buffer.clear();
        self.ask_at = None;
        self.again_at = None;
        self.pause_at = None;
        self.measuring.take().map(|(ticket, _)| ticket)
    }
}
