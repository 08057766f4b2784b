//! Bugs that are planted into a run: what a gateway, a disk or a central side does that is not the product's. A check that
//! finds none of them checks nothing.

use clap::ValueEnum;
use std::path::Path;

/// A bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Planted {
    /// Devices are asked before the commit.
    ActBeforeCommit,
    /// A commit is not synced.
    CommitWithoutSync,
    /// The central side receipts what it has not stored.
    AckBeforeStore,
    /// What the broker has acknowledged counts as receipted.
    AckIsReceipt,
    /// A power cut loses which passes were used.
    UsesForgotten,
    /// A power cut loses the visit in front.
    VisitForgotten,
    /// A start opens once more for whoever was admitted last.
    OpensAgain,
}

impl Planted {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::ActBeforeCommit,
        Self::CommitWithoutSync,
        Self::AckBeforeStore,
        Self::AckIsReceipt,
        Self::UsesForgotten,
        Self::VisitForgotten,
        Self::OpensAgain,
    ];

    /// What a power cut takes that it must not take.
    pub(super) fn takes(self, data: &Path) -> rusqlite::Result<()> {
        let sql = match self {
            Self::UsesForgotten => "DELETE FROM redemption",
            Self::VisitForgotten => "DELETE FROM lane",
            Self::ActBeforeCommit
            | Self::CommitWithoutSync
            | Self::AckBeforeStore
            | Self::AckIsReceipt
            | Self::OpensAgain => return Ok(()),
        };
        if self == Self::UsesForgotten {
            // Neither does the file beside the journal know of them.
            drop(std::fs::remove_file(data.join("kept.log")));
        }
        let journal = rusqlite::Connection::open(kakou_gateway::store::journal::path(data))?;
        // A journal that the power has not let come into being has nothing to lose.
        if journal.prepare(sql).is_ok() { journal.execute_batch(sql) } else { Ok(()) }
    }
}
