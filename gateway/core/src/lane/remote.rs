//! What central ops may do in a lane: open it, and show a message. Both are on record before they
//! happen, under the name of who sent them. Whether the barrier moved is told when it has answered.

use super::Lane;
use super::action::Rejection;
use crate::event::Class;
use crate::lane::Outbound;
use crate::profile::StepKind;
use crate::reading::{Command, NoData, Report, Request, Ticket};
use crate::time::{MonoMs, Now};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The longest message, in characters: what a screen shows large.
pub const MESSAGE_MAX: usize = 80;

/// A command for a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// Opens the barrier once.
    Open,
    /// Shows a message; an empty one takes it away.
    Message {
        /// The words.
        text: String,
        /// For how long.
        for_ms: u64,
    },
}

/// Who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// The command's id.
    pub command: String,
    /// The person.
    pub by: String,
    /// The holder of the key that signed it.
    pub issuer: String,
    /// Why.
    pub reason: String,
}

/// A command whose barrier has not answered yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    ticket: Ticket,
    command: String,
}

/// What the barrier said to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The command's id.
    pub command: String,
    /// Whether it moved, or why it did not.
    pub done: Result<(), NoData>,
}

/// Commands whose barrier may be silent; of more, the first are no longer waited for.
const SILENT: usize = 8;

/// A message on the screens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The words.
    pub text: String,
    /// Who wrote it.
    pub by: String,
    /// Shown until then.
    pub until: MonoMs,
}

impl Lane {
    /// Carries out a command of central ops.
    pub fn remote(
        &mut self,
        now: &Now,
        sender: &Sender,
        what: &Remote,
        out: &mut Outbound,
    ) -> Result<(), Rejection> {
        let who = json!({ "command": sender.command, "by": sender.by, "issuer": sender.issuer, "reason": sender.reason });
        match what {
            Remote::Open => {
                let barrier = self.setup.profile.steps.iter().find_map(|step| {
                    let StepKind::Actuate(actuate) = &step.kind else { return None };
                    Some((step.device.as_ref()?, actuate.pulse_ms))
                });
                let device = barrier.and_then(|(role, ms)| Some((self.setup.devices.get(role)?.clone(), ms)));
                let Some((device, ms)) = device else {
                    return Err(Rejection::new("no_barrier", "此通道没有道闸", "This lane has no barrier"));
                };
                if self.is_locked() {
                    return Err(super::barrier::locked());
                }
                out.event("remote_open", Class::Verdict, &self.setup, None, who);
                let ticket = Ticket(self.state.next_ticket);
                self.state.next_ticket += 1;
                if self.state.remote.len() >= SILENT {
                    self.state.remote.remove(0);
                }
                self.state.remote.push(Waits { ticket, command: sender.command.clone() });
                out.requests.push(Request { device, ticket, command: Command::Pulse { ms } });
            }
            Remote::Message { text, for_ms } => {
                if text.chars().count() > MESSAGE_MAX {
                    return Err(Rejection::new("too_long", "消息太长", "The message is too long"));
                }
                let notice = (!text.is_empty()).then(|| Notice {
                    text: text.clone(),
                    by: sender.by.clone(),
                    until: now.mono_ms + for_ms,
                });
                let mut data = who;
                data["text"] = json!(text);
                out.event("remote_message", Class::Scan, &self.setup, None, data);
                self.state.notice = notice;
            }
        }
        Ok(())
    }

    /// Whether a report answers the opening that a command has asked for; it is taken then.
    pub(super) fn remote_heard(&mut self, report: &Report, out: &mut Outbound) -> bool {
        let (ticket, done) = match report {
            Report::Done { ticket } => (*ticket, Ok(())),
            Report::NoData { ticket, why } => (*ticket, Err(*why)),
            Report::Scan { .. }
            | Report::Plate { .. }
            | Report::Temperature { .. }
            | Report::Photo { .. }
            | Report::Input { .. }
            | Report::Weight { .. }
            | Report::Link { .. } => return false,
        };
        let Some(place) = self.state.remote.iter().position(|w| w.ticket == ticket) else { return false };
        out.opened.push(Opened { command: self.state.remote.remove(place).command, done });
        true
    }

    /// The message that is shown now.
    pub fn notice(&self, now: &Now) -> Option<&Notice> {
        self.state.notice.as_ref().filter(|n| n.until > now.mono_ms)
    }
}
