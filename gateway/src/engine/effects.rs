//! What the engine is given to do and what follows from it, as data.

use crate::store::catch_up::Respondent;
use kakou_core::codes::{Code, Outcome};
use kakou_core::core::{Input, Step};
use kakou_core::event::{Class, NewEvent};
use kakou_core::evidence::SubjectKeys;
use kakou_core::ids::{DeviceId, GatewayId, LaneId};
use kakou_core::lane::action::Rejection;
use kakou_core::lane::remote::Opened;
use kakou_core::pass::trust::TrustList;
use kakou_core::reading::{Report, Request};
use kakou_core::records::Write;
use kakou_core::register::Slot;
use kakou_core::time::{Now, WallMs};
use kakou_wire::peers::{Page, Used};
use log::Level;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

/// A moment of upkeep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time.
    pub now: Now,
    /// The box's own time where its source stands for it, even if it lies before the floor.
    pub claimed_ms: Option<WallMs>,
    /// The time as the file system stamps files.
    pub files_at: SystemTime,
}

/// Whom an answer is for: chosen by the caller, good for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplyTo(pub usize);

/// When the last byte of a report arrived, in nanoseconds of a clock of the caller: the engine hands it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArrivedNs(pub u64);

/// The place at which an answer goes on; none is its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onward(pub Option<String>);

/// What the engine is to do.
#[derive(Clone)]
pub enum Job {
    /// An input of the core; an act is answered when it is durable.
    Input(Input, Option<ReplyTo>),
    /// A device's report.
    Report(DeviceId, Report, ArrivedNs),
    /// Events of others in the gateway, stored as they are; the answer is the last sequence.
    Append(Vec<NewEvent>, Option<ReplyTo>),
    /// The broker has acknowledged a stream up to here.
    Acked(Class, u64),
    /// The central side has receipted a stream of an epoch up to here.
    Receipted(Class, u64, u64),
    /// The central side has a stream of an epoch up to here alone, though it has receipted more: its store is another.
    WentBack(Class, u64, u64),
    /// The central side has this photograph.
    PhotoReceipted(String),
    /// Another gateway tells of the use of a pass.
    Peer(GatewayId, Used, ReplyTo),
    /// The other gateways know of the use of a pass.
    PeerTold(String),
    /// Another gateway tells of a slot of a register.
    PeerSlot(GatewayId, Box<Slot>, ReplyTo),
    /// The other gateways know of a slot as it was then.
    SlotTold(Box<Slot>),
    /// Somebody tells what this gateway has asked for; the answer says where it goes on, if the page was the next one.
    PeerPage(Respondent, Page, ReplyTo),
    /// A supervisor takes the risk that single-use passes were used: the lanes wait for no other gateway. The event
    /// says who and why.
    ReleaseUses(NewEvent, ReplyTo),
    /// Another gateway must be told everything again.
    PeerHello(ReplyTo),
    /// The keys of passes are these from now on.
    Trust(Arc<TrustList>),
    /// Subject keys are made of this from now on.
    Subjects(Arc<SubjectKeys>),
    /// The state of the link upstream, for desks.
    Upstream(&'static str),
    /// Store, answer, end.
    Stop,
}

impl Job {
    /// Whether it tells of the surroundings, and asks for nothing.
    pub(super) const fn is_surroundings(&self) -> bool {
        matches!(self, Self::Trust(_) | Self::Subjects(_) | Self::Upstream(_))
    }
}

/// What the clock is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockChange {
    /// A confirmed time was kept: it is past.
    NotBefore(WallMs),
    /// The source of the time has stood for an earlier time for long enough: it is believed.
    Believe(WallMs),
}

/// Why the process must end; a new one begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The journal is damaged: the next start quarantines it.
    Damaged,
    /// The journal cannot be read, or cannot go back to its last commit.
    Unreadable,
}

impl Exit {
    /// The status of the process.
    pub const fn status(self) -> i32 {
        match self {
            Self::Damaged => 70,
            Self::Unreadable => 74,
        }
    }
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// How much it matters.
    pub level: Level,
    /// What it says.
    pub text: String,
}

/// What follows. Commands, answers, verdicts, uses and positions are about what is durable; from a batch that could not
/// be stored follow refusals and closed lanes alone.
#[derive(Debug, Default, PartialEq)]
pub struct Effects {
    /// Commands to devices, to be sent before anything else, and when that arrived which led to each.
    pub commands: Vec<(Request, Option<ArrivedNs>)>,
    /// Answers to acts.
    pub answers: Vec<(ReplyTo, Result<(), Rejection>)>,
    /// Answers for what is stored: the last sequence. Who gets none asks again.
    pub stored: Vec<(ReplyTo, u64)>,
    /// Answers to whoever told a page: where it goes on, if the page was the next one.
    pub pages: Vec<(ReplyTo, Option<Onward>)>,
    /// What barriers have said to commands of central ops.
    pub opened: Vec<Opened>,
    /// Lanes to show anew.
    pub screens: BTreeSet<LaneId>,
    /// The last durable event of each stream, if that has changed.
    pub streams: Option<[u64; 4]>,
    /// The use of a pass is durable.
    pub uses: bool,
    /// Why lanes are closed, if that has changed.
    pub closed: Option<Option<Code>>,
    /// Counters to raise.
    pub counters: Vec<(&'static str, u64)>,
    /// Verdicts given.
    pub outcomes: Vec<(LaneId, Outcome)>,
    /// For the log.
    pub lines: Vec<Line>,
    /// For the clock.
    pub clock: Option<ClockChange>,
    /// [`Job::Stop`] was handled.
    pub stop: bool,
    /// The engine does nothing any more.
    pub exit: Option<Exit>,
}

impl Effects {
    pub(super) fn count(&mut self, name: &'static str) {
        self.add(name, 1);
    }

    pub(super) fn add(&mut self, name: &'static str, by: u64) {
        if by > 0 {
            self.counters.push((name, by));
        }
    }

    pub(super) fn error(&mut self, text: String) {
        self.lines.push(Line { level: Level::Error, text });
    }

    pub(super) fn warn(&mut self, text: String) {
        self.lines.push(Line { level: Level::Warn, text });
    }

    pub(super) fn info(&mut self, text: String) {
        self.lines.push(Line { level: Level::Info, text });
    }

    pub(super) fn debug(&mut self, text: String) {
        self.lines.push(Line { level: Level::Debug, text });
    }

    /// What follows from a step of the core.
    pub(super) fn follow(&mut self, step: Step, arrived: Option<ArrivedNs>) {
        self.uses |= step
            .writes
            .iter()
            .any(|w| matches!(w, Write::Redeem { .. } | Write::Seal { .. } | Write::Slot(_)));
        self.commands.extend(step.requests.into_iter().map(|request| (request, arrived)));
        self.opened.extend(step.opened);
        self.screens.extend(step.lanes);
        self.counters.extend(step.counters.into_iter().map(|name| (name, 1)));
        self.outcomes.extend(step.outcomes);
        step.notes.into_iter().for_each(|note| self.warn(note));
    }

    /// What follows later.
    pub(super) fn join(&mut self, later: Self) {
        let Self { commands, answers, stored, pages, opened, mut screens, streams, uses, closed, .. } = later;
        self.commands.extend(commands);
        self.answers.extend(answers);
        self.stored.extend(stored);
        self.pages.extend(pages);
        self.opened.extend(opened);
        self.screens.append(&mut screens);
        self.streams = streams.or(self.streams);
        self.uses |= uses;
        self.closed = closed.or(self.closed);
        self.counters.extend(later.counters);
        self.outcomes.extend(later.outcomes);
        self.lines.extend(later.lines);
        self.clock = later.clock.or(self.clock);
        self.stop |= later.stop;
        self.exit = self.exit.or(later.exit);
    }
}
