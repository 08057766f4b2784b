//! Several devices on one serial line, as on RS-485: one request on the line at a time.
//!
//! The device with the open request has the line until its answer has come or its time is over; requests and
//! deadlines of the others wait. After a time-out the line is idle for [`QUARANTINE_MS`] and received bytes are
//! discarded, so that a late answer is never taken for the answer to another request. A line with one device is
//! passed through unchanged.

use crate::codec::{Codec, Ms, Out};
use crate::modbus_relay::LINE_MS;
use kakou_core::reading::{Command, NoData, Report, Ticket};
use std::collections::VecDeque;

/// After a time-out nobody asks for so long.
pub const QUARANTINE_MS: Ms = 100;
/// Between two frames the line is silent for three and a half characters, 4 ms at 9600 baud: else a device takes both
/// for one (Modbus over Serial Line 1.02, 2.5.1.1).
pub const SILENCE_MS: Ms = 5;
/// Requests that may wait for the line.
pub const WAITING: usize = 32;

/// The devices of a line.
pub struct Bus {
    members: Vec<Box<dyn Codec>>,
    owner: Option<usize>,
    waiting: VecDeque<Wait>,
    quiet_until: Ms,
    /// Whose turn it is to have its deadline looked at first: nobody starves.
    turn: usize,
}

/// What waits for the line.
enum Wait {
    /// A device is to begin.
    Open(usize),
    /// A lane asks a device, since then.
    Ask(usize, Ticket, Command, Ms),
}

impl Bus {
    /// Of these devices.
    pub fn new(members: Vec<Box<dyn Codec>>) -> Self {
        Self { members, owner: None, waiting: VecDeque::new(), quiet_until: 0, turn: 0 }
    }

    fn shared(&self) -> bool {
        self.members.len() > 1
    }

    fn free(&self, now: Ms) -> bool {
        !self.shared() || (self.owner.is_none() && now >= self.quiet_until)
    }

    /// Lets one device act, and sees who has the line afterwards.
    fn with(
        &mut self,
        who: usize,
        out: &mut Vec<(usize, Out)>,
        act: impl FnOnce(&mut dyn Codec, &mut Vec<Out>),
    ) {
        let mut own = Vec::new();
        act(self.members[who].as_mut(), &mut own);
        out.extend(own.into_iter().map(|o| (who, o)));
        self.owner = (self.shared() && self.members[who].awaits_answer()).then_some(who);
    }

    /// Whoever waits for the line gets it, one after another.
    fn go_on(&mut self, now: Ms, out: &mut Vec<(usize, Out)>) {
        while self.free(now)
            && let Some(wait) = self.waiting.pop_front()
        {
            match wait {
                Wait::Open(who) => self.with(who, out, |c, out| c.opened(now, out)),
                // Nobody waits for the barrier any more.
                Wait::Ask(who, ticket, Command::Pulse { .. }, since) if now > since + LINE_MS => {
                    out.push((who, Out::Error("a pulse waited too long for the line: it is not sent")));
                    out.push((who, Out::Report(Report::NoData { ticket, why: NoData::Timeout })));
                }
                Wait::Ask(who, ticket, command, _) => {
                    self.with(who, out, |c, out| c.command(now, ticket, &command, out));
                }
            }
        }
    }

    /// The port was opened.
    pub fn opened(&mut self, now: Ms, out: &mut Vec<(usize, Out)>) {
        (self.owner, self.quiet_until) = (None, 0);
        self.waiting = (0..self.members.len()).map(Wait::Open).collect();
        self.go_on(now, out);
    }

    /// Bytes arrived.
    pub fn bytes(&mut self, now: Ms, bytes: &[u8], out: &mut Vec<(usize, Out)>) {
        let who = if self.shared() { self.owner } else { Some(0) };
        match who {
            Some(who) => {
                self.with(who, out, |c, out| c.bytes(now, bytes, out));
                if self.shared() && self.owner.is_none() {
                    self.quiet_until = self.quiet_until.max(now + SILENCE_MS);
                }
            }
            None => out.push((0, Out::Error("bytes on the line that nobody asked for"))),
        }
    }

    /// A lane asks a device for something.
    pub fn command(
        &mut self,
        now: Ms,
        who: usize,
        ticket: Ticket,
        command: &Command,
        out: &mut Vec<(usize, Out)>,
    ) {
        // Who has the line may be told to stop.
        let had = self.owner == Some(who);
        if self.free(now) || (had && matches!(command, Command::Stop)) {
            self.with(who, out, |c, out| c.command(now, ticket, command, out));
            if had && self.owner.is_none() {
                // Its answer is still on the way, and is nobody's any more.
                out.push((who, Out::Flush));
                self.quiet_until = now + QUARANTINE_MS;
            }
        } else if self.waiting.len() < WAITING {
            self.waiting.push_back(Wait::Ask(who, ticket, command.clone(), now));
        } else {
            out.push((who, Out::Report(Report::NoData { ticket, why: NoData::Timeout })));
        }
    }

    /// When [`Bus::wake`] must be called.
    pub fn deadline(&self) -> Option<Ms> {
        if !self.shared() {
            return self.members[0].deadline();
        }
        match self.owner {
            Some(who) => self.members[who].deadline(),
            None if !self.waiting.is_empty() => Some(self.quiet_until),
            None => self.members.iter().filter_map(|m| m.deadline()).min().map(|at| at.max(self.quiet_until)),
        }
    }

    /// The deadline has come.
    pub fn wake(&mut self, now: Ms, out: &mut Vec<(usize, Out)>) {
        if !self.shared() {
            return self.with(0, out, |c, out| c.wake(now, out));
        }
        if let Some(who) = self.owner {
            let due = self.members[who].deadline().is_some_and(|at| at <= now);
            self.with(who, out, |c, out| c.wake(now, out));
            if due {
                // Its time is over, whether it asks again or not: what comes now is late.
                out.push((who, Out::Flush));
                self.quiet_until = if self.owner.is_none() { now + QUARANTINE_MS } else { self.quiet_until };
            }
            return;
        }
        self.go_on(now, out);
        for n in 0..self.members.len() {
            let who = (self.turn + n) % self.members.len();
            if !self.free(now) {
                return;
            }
            if self.members[who].deadline().is_some_and(|at| at <= now) {
                self.turn = who + 1;
                self.with(who, out, |c, out| c.wake(now, out));
            }
        }
    }

    /// The requests that the port's loss leaves without an answer.
    pub fn lost(&mut self) -> Vec<(usize, Ticket)> {
        self.owner = None;
        let ticket = |wait| match wait {
            Wait::Open(_) => None,
            Wait::Ask(who, ticket, ..) => Some((who, ticket)),
        };
        let waiting: Vec<_> = self.waiting.drain(..).filter_map(ticket).collect();
        let asked = self.members.iter_mut().enumerate().filter_map(|(who, m)| Some((who, m.lost()?)));
        asked.chain(waiting).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modbus_relay::{CONFIRM_MS, Dialect, ModbusRelay, framed};

    fn bus() -> Bus {
        let relay = |address| Box::new(ModbusRelay::new(Dialect::Waveshare, address, 0)) as Box<dyn Codec>;
        let mut bus = Bus::new(vec![relay(1), relay(2)]);
        let mut out = Vec::new();
        bus.opened(0, &mut out);
        for (now, address) in [(1, 1), (10, 2)] {
            bus.wake(now, &mut out);
            bus.bytes(now, &framed(&[address, 1, 1, 0]), &mut out);
        }
        assert_eq!(out.iter().filter(|(_, o)| *o == Out::Report(Report::Link { ready: true })).count(), 2);
        bus
    }

    fn writes(out: &[(usize, Out)]) -> Vec<Vec<u8>> {
        out.iter().filter_map(|(_, o)| if let Out::Write(w) = o { Some(w.clone()) } else { None }).collect()
    }

    #[test]
    fn one_question_is_on_the_line_at_a_time() {
        let (mut bus, mut out) = (bus(), Vec::new());
        bus.command(20, 0, Ticket(1), &Command::Pulse { ms: 700 }, &mut out);
        bus.command(20, 1, Ticket(2), &Command::Pulse { ms: 700 }, &mut out);
        assert_eq!(writes(&out), [framed(&[1, 5, 2, 0, 0, 7])]);
        bus.bytes(30, &framed(&[1, 5, 2, 0, 0, 7]), &mut out);
        assert_eq!(writes(&out).len(), 1, "the line is silent between two frames");
        assert_eq!(bus.deadline(), Some(30 + SILENCE_MS));
        bus.wake(30 + SILENCE_MS, &mut out);
        assert_eq!(writes(&out).last(), Some(&framed(&[2, 5, 2, 0, 0, 7])));
        bus.bytes(40, &framed(&[2, 5, 2, 0, 0, 7]), &mut out);
        for ticket in [Ticket(1), Ticket(2)] {
            assert!(out.iter().any(|(_, o)| *o == Out::Report(Report::Done { ticket })));
        }
    }

    #[test]
    fn a_late_answer_of_one_never_answers_the_other() {
        let (mut bus, mut out) = (bus(), Vec::new());
        bus.command(20, 0, Ticket(1), &Command::Pulse { ms: 700 }, &mut out);
        bus.command(20, 1, Ticket(2), &Command::Pulse { ms: 700 }, &mut out);
        bus.wake(20 + CONFIRM_MS, &mut out);
        let asked = writes(&out).len();
        // The line rests: the first board's answer comes now and is nobody's.
        bus.bytes(30 + CONFIRM_MS, &framed(&[1, 5, 2, 0, 0, 7]), &mut out);
        assert_eq!(writes(&out).len(), asked);
        assert!(!out.iter().any(|(_, o)| matches!(o, Out::Report(Report::Done { .. }))));
        let again = bus.deadline().unwrap();
        assert!(again >= 20 + CONFIRM_MS + QUARANTINE_MS);
        bus.wake(again, &mut out);
        bus.bytes(again + 5, &framed(&[2, 5, 2, 0, 0, 7]), &mut out);
        assert!(out.iter().any(|(w, o)| *w == 1 && *o == Out::Report(Report::Done { ticket: Ticket(2) })));
    }

    #[test]
    fn a_pulse_that_waited_too_long_for_the_line_is_not_sent() {
        let (mut bus, mut out) = (bus(), Vec::new());
        bus.command(20, 0, Ticket(1), &Command::Pulse { ms: 700 }, &mut out);
        bus.command(20, 1, Ticket(2), &Command::Pulse { ms: 700 }, &mut out);
        out.clear();
        // The thread of this line was held up.
        bus.bytes(20 + LINE_MS, &framed(&[1, 5, 2, 0, 0, 7]), &mut out);
        bus.wake(30 + LINE_MS, &mut out);
        assert!(writes(&out).is_empty());
        let not_sent = Out::Report(Report::NoData { ticket: Ticket(2), why: NoData::Timeout });
        assert!(out.contains(&(1, not_sent)));
    }

    #[test]
    fn a_lost_line_leaves_no_request_behind() {
        let (mut bus, mut out) = (bus(), Vec::new());
        bus.command(20, 0, Ticket(1), &Command::Pulse { ms: 700 }, &mut out);
        bus.command(20, 1, Ticket(2), &Command::Pulse { ms: 700 }, &mut out);
        assert_eq!(bus.lost(), [(0, Ticket(1)), (1, Ticket(2))]);
    }
}
