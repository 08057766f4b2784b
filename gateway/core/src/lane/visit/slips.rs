//! What was printed in a visit: one state for each step that prints.

use super::Actuation;
use crate::reading::Ticket;
use serde::{Deserialize, Serialize};

/// What became of a slip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrintState {
    /// The printer was asked.
    Asked,
    /// It came.
    Done,
    /// It did not.
    Failed,
}

/// The slip of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slip {
    /// The step.
    pub step: usize,
    /// What became of it.
    pub state: PrintState,
    /// Copies that the printer has not answered for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tickets: Vec<Ticket>,
    /// With which verdict of the visit it came: with a later one it comes anew.
    pub verdict: u32,
    /// What is on it: it comes again as it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// The same, where it names somebody by number: that is not stored.
    #[serde(skip)]
    pub unkept: Vec<String>,
}

impl Slip {
    /// What is on it; nothing if it was lost with the power.
    pub fn text(&self) -> &[String] {
        if self.lines.is_empty() { &self.unkept } else { &self.lines }
    }
    /// Whether it came is not known any more: nobody waits for it.
    pub fn give_up(&mut self) {
        if self.state == PrintState::Asked {
            self.state = PrintState::Failed;
            self.tickets.clear();
        }
    }
}

/// The state of all slips in one word: what is under way, else what failed.
pub fn slips(all: &[Slip]) -> Actuation {
    let any = |state| all.iter().any(|slip| slip.state == state);
    if any(PrintState::Asked) {
        Actuation::Asked
    } else if any(PrintState::Failed) {
        Actuation::Failed
    } else if any(PrintState::Done) {
        Actuation::Done
    } else {
        Actuation::None
    }
}
