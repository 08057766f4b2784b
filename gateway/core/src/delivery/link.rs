//! The link as a whole: connections begin, end, and begin again after a pause.

use super::backoff::{Backoff, Random};
use super::flight::{Batch, Flight};
use super::outbox::{Outbox, Unreadable};
use super::positions::Positions;
use super::session::Session;
use super::{Moment, PROGRESS_LIMIT};
use crate::event::Class;
use std::sync::Arc;
use std::time::Duration;

/// How much may go.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The journal's epoch.
    pub epoch: u64,
    /// Events in a message at most.
    pub batch: usize,
    /// Messages without acknowledgement at most.
    pub inflight: u16,
    /// Whether a central side receipts what it has stored.
    pub receipts: bool,
    /// Late events a second at most.
    pub backlog_per_s: u32,
    /// Whether a second message is to follow each birth: what there is, for whoever discovers devices.
    pub discovery: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The moment of the deadline is there, or something looks.
    Tick,
    /// The network may be used, or not. Without a word it may.
    Plug(bool),
    /// The certificate is new: connections begin anew.
    Renewed,
    /// Events of each stream are durable up to here.
    Stored([u64; 4]),
    /// What is to be told about health; nothing is told of an empty text.
    Health(Arc<str>),
    /// The broker has taken the client.
    Connected {
        /// The largest packet that it takes.
        max_packet: Option<u32>,
        /// Unacknowledged messages that it takes.
        receive_max: u16,
        /// Whether it keeps messages for later subscribers.
        retains: bool,
    },
    /// The broker has answered the subscription; the text says why it refused.
    Subscribed(Result<(), String>),
    /// The oldest message without one has got this packet id.
    Departed(u16),
    /// A message was acknowledged; the text says why the broker refused it.
    Acknowledged(u16, Result<(), String>),
    /// The central side has stored something.
    Receipt(Receipt),
    /// The connection is gone, or has not come up.
    Lost(LinkError),
    /// The daemon ends: this is the last input.
    Close,
}

/// What the central side has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The stream.
    pub class: Class,
    /// The journal's epoch.
    pub epoch: u64,
    /// Everything up to here.
    pub through: u64,
    /// And nothing behind it, whatever it has said before.
    pub all: bool,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Begin a connection.
    Open {
        /// Whether the broker is asked to keep the will.
        will_retained: bool,
    },
    /// Throw the connection away: nothing more may be told of it.
    Drop,
    /// Say goodbye on the connection, and that the gateway is away; then throw it away.
    Farewell,
    /// Subscribe to receipts.
    Subscribe,
    /// Say that the gateway is there, and which events can still come from it. Takes a packet id.
    Birth {
        /// The last durable event of each stream.
        stored: [u64; 4],
        /// Up to where each stream is gone from the journal.
        floor: [u64; 4],
    },
    /// Say what there is. Takes a packet id.
    Discovery,
    /// Send these events. Takes a packet id.
    Event(Batch),
    /// Send health, without acknowledgement and without a packet id.
    Health(Arc<str>),
    /// For the journal: the broker has acknowledged a stream up to here.
    Acknowledged(Class, u64),
    /// For the journal: the central side has receipted a stream up to here.
    Receipted(Class, u64),
    /// For the journal: the central side has a stream up to here alone.
    WentBack(Class, u64),
    /// Whether verdicts wait: photographs hold back while they do.
    Busy(bool),
    /// The connection is up.
    Up,
    /// It is gone.
    Lost(LinkError),
    /// Whoever looks at the status should look now.
    Status,
    /// Count this.
    Count(&'static str),
    /// For the log.
    Say(Severity, String),
}

/// How much a line of the log matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Something may be wrong.
    Warn,
    /// Somebody must act.
    Error,
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The client says so.
    #[error("{0}")]
    Client(String),
    /// The next connection asks for no will that is kept.
    #[error("the broker keeps no retained messages, and refuses a client that wants its will kept")]
    NoRetain,
    /// Nothing is acknowledged any more.
    #[error("no acknowledgement for {} s", PROGRESS_LIMIT.as_secs())]
    Stuck,
    /// The broker refuses something.
    #[error("the broker refuses {0}: {1}")]
    Refused(&'static str, String),
    /// The journal.
    #[error("the journal cannot be read: {0}")]
    Journal(#[from] Unreadable),
    /// Not even the word that stands for an event fits.
    #[error("the broker takes no message of {0} bytes")]
    TooLarge(usize),
    /// The network may not be used.
    #[error("unplugged")]
    Unplugged,
    /// The next connection shows the new certificate.
    #[error("the certificate is new")]
    Renewed,
}

/// What there is to see of the link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether connected.
    pub online: bool,
    /// Since when.
    pub since: Duration,
    /// The last error.
    pub detail: String,
    /// Events acknowledged by the broker since start.
    pub published: u64,
}

#[derive(Debug)]
enum State {
    /// The network may not be used.
    Unplugged,
    /// Until the next attempt.
    Pause {
        until: Duration,
    },
    /// The client comes up, or says why not.
    Opening,
    Up(Session),
    Ended,
}

/// The link of the events.
#[derive(Debug)]
pub struct Delivery<O> {
    pub(super) settings: Settings,
    pub(super) flight: Flight<O>,
    pub(super) positions: Positions,
    pub(super) status: Status,
    pub(super) health: Arc<str>,
    plugged: bool,
    will_retained: bool,
    busy: bool,
    backoff: Backoff,
    random: Random,
    state: State,
}

impl<O: Outbox> Delivery<O> {
    /// Begins behind what is known to be acknowledged. The first connection is due at once.
    pub fn new(settings: Settings, positions: Positions, outbox: O, seed: u64) -> Self {
        let Settings { batch, inflight, receipts, backlog_per_s, .. } = settings;
        let mut flight = Flight::new(outbox, &positions, batch, usize::from(inflight), receipts);
        flight.late_rate(backlog_per_s);
        Self {
            settings,
            flight,
            positions,
            status: Status::default(),
            health: Arc::from(""),
            plugged: true,
            will_retained: true,
            busy: false,
            backoff: Backoff::default(),
            random: Random::new(seed),
            state: State::Pause { until: Duration::ZERO },
        }
    }

    /// How far each stream is.
    pub fn positions(&self) -> &Positions {
        &self.positions
    }

    /// What there is to see.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// When it wants to be asked next, if nothing happens before: [`Input::Tick`]. None while it waits for an input.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Unplugged | State::Opening | State::Ended => None,
            State::Pause { until } => Some(*until),
            State::Up(session) => {
                Some(self.flight.late_due().map_or(session.next_look(), |due| due.min(session.next_look())))
            }
        }
    }

    /// Something happened: adds what is to be done.
    pub fn handle(&mut self, now: Moment, input: Input, out: &mut Vec<Output>) {
        if let Err(why) = self.take(now, input, out).and_then(|()| self.go_on(now, out)) {
            self.lost(now, why, out);
        }
    }

    fn take(&mut self, now: Moment, input: Input, out: &mut Vec<Output>) -> Result<(), LinkError> {
        let connected = matches!(self.state, State::Opening | State::Up(_));
        match input {
            Input::Tick => {}
            Input::Plug(plugged) => {
                self.plugged = plugged;
                if connected && !plugged {
                    return Err(LinkError::Unplugged);
                }
            }
            Input::Renewed if connected => return Err(LinkError::Renewed),
            Input::Lost(why) if connected => return Err(why),
            // There is no connection that this could be about.
            Input::Renewed | Input::Lost(_) => {}
            Input::Stored(heads) => self.positions.store(heads),
            Input::Health(text) => {
                self.health = text;
                if let State::Up(session) = &mut self.state {
                    session.health_due = true;
                }
            }
            Input::Connected { max_packet, receive_max, retains } => {
                if matches!(self.state, State::Opening) {
                    self.connected(now, (max_packet, receive_max, retains), out)?;
                }
            }
            Input::Subscribed(_) | Input::Departed(_) | Input::Acknowledged(..) | Input::Receipt(_) => {
                self.in_session(|link, session| session.take(link, now, input, out))?;
            }
            Input::Close => self.close(out),
        }
        Ok(())
    }

    /// What is due by now.
    fn go_on(&mut self, now: Moment, out: &mut Vec<Output>) -> Result<(), LinkError> {
        match &self.state {
            State::Pause { until } if now.mono < *until => {}
            State::Unplugged | State::Pause { .. } if !self.plugged => self.state = State::Unplugged,
            State::Unplugged | State::Pause { .. } => {
                self.state = State::Opening;
                out.push(Output::Open { will_retained: self.will_retained });
            }
            State::Up(_) => {
                self.in_session(|link, session| session.go_on(link, now, out))?;
                let busy = !self.flight.caught_up(&self.positions.stored());
                self.set_busy(busy, out);
            }
            State::Opening | State::Ended => {}
        }
        Ok(())
    }

    /// With the session, if there is one.
    fn in_session(
        &mut self,
        with: impl FnOnce(&mut Self, &mut Session) -> Result<(), LinkError>,
    ) -> Result<(), LinkError> {
        match std::mem::replace(&mut self.state, State::Opening) {
            State::Up(mut session) => {
                let done = with(self, &mut session);
                self.state = State::Up(session);
                done
            }
            other @ (State::Unplugged | State::Pause { .. } | State::Opening | State::Ended) => {
                self.state = other;
                Ok(())
            }
        }
    }

    fn connected(
        &mut self,
        now: Moment,
        (max_packet, receive_max, retains): (Option<u32>, u16, bool),
        out: &mut Vec<Output>,
    ) -> Result<(), LinkError> {
        let heads = self.positions.stored();
        let window = usize::from(receive_max.min(self.settings.inflight));
        self.flight.begin(window, &heads, now.wall_ms)?;
        out.push(Output::Subscribe);
        let mut session = Session::begin(max_packet, self.flight.floors(&heads)?.0, now.mono);
        session.birth(self, out);
        (self.status.online, self.status.since) = (true, now.mono);
        out.extend([Output::Up, Output::Status]);
        if !retains {
            let why = "the broker keeps no retained messages: who looks later does not see this gateway, and \
                       orders reach it while it is connected alone. Set retain_available in the broker";
            out.push(Output::Say(Severity::Warn, why.to_owned()));
            session.said(why.to_owned());
        }
        self.state = State::Up(session);
        Ok(())
    }

    /// The connection is gone: everything unacknowledged is read again by the next one.
    fn lost(&mut self, now: Moment, why: LinkError, out: &mut Vec<Output>) {
        if let State::Up(session) = &mut self.state {
            let published = session.unmarked();
            self.mark(published, out);
        }
        self.flight.rewind();
        self.will_retained &= why != LinkError::NoRetain;
        let up = self.status.online.then(|| now.mono.saturating_sub(self.status.since));
        if std::mem::take(&mut self.status.online) {
            self.status.since = now.mono;
        }
        self.status.detail = why.to_string();
        out.extend([Output::Drop, Output::Count("upstream_lost_total")]);
        self.set_busy(false, out);
        out.extend([Output::Lost(why), Output::Status]);
        let until = now.mono + self.backoff.pause(up, self.random.draw());
        self.state = State::Pause { until };
    }

    fn close(&mut self, out: &mut Vec<Output>) {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Up(mut session) => {
                self.mark(session.unmarked(), out);
                out.push(Output::Farewell);
            }
            State::Opening => out.push(Output::Drop),
            State::Unplugged | State::Pause { .. } | State::Ended => {}
        }
    }

    /// Tells the journal how far the streams are acknowledged.
    pub(super) fn mark(&mut self, published: u64, out: &mut Vec<Output>) {
        self.status.published += published;
        for class in Class::ALL {
            let through = self.flight.acked_through(class);
            if self.positions.acknowledge(class, through) {
                out.push(Output::Acknowledged(class, through));
            }
        }
    }

    fn set_busy(&mut self, busy: bool, out: &mut Vec<Output>) {
        if std::mem::replace(&mut self.busy, busy) != busy {
            out.push(Output::Busy(busy));
        }
    }
}

#[cfg(test)]
mod tests;
