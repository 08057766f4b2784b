//! Why a batch of the engine was lost.

use kakou_core::records::RecordsFault;

/// Why a batch was lost.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    #[error("the journal cannot be written: {0}")]
    Sqlite(rusqlite::Error),
    #[error(transparent)]
    Records(RecordsFault),
}
