//! Who waits for what a barrier says to a command of central ops.

use kakou_core::lane::remote::Opened;
use kakou_core::reading::NoData;
use std::collections::BTreeMap;
use tokio::sync::oneshot;

/// Where the answer of a barrier goes.
pub type Moved = oneshot::Sender<Result<(), NoData>>;

/// By the id of the command.
#[derive(Default)]
pub(super) struct Openings(BTreeMap<String, Moved>);

impl Openings {
    /// Somebody waits. Who has given up is not kept.
    pub(super) fn wait(&mut self, command: &str, moved: Moved) {
        self.0.retain(|_, waits| !waits.is_closed());
        self.0.insert(command.to_owned(), moved);
    }

    /// A barrier has answered; says whether nobody wants to know any more.
    pub(super) fn heard(&mut self, opened: &Opened) -> bool {
        self.0.remove(&opened.command).is_none_or(|waits| waits.send(opened.done).is_err())
    }
}
