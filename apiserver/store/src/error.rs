//! Why a store operation failed.
//!
//! Callers act on the variant: [`Error::Compacted`] is "list again", [`Error::Ambiguous`] is "read again before you
//! write again", [`Error::Unavailable`] is "later", [`Error::Invalid`] is the caller's own fault. A transaction whose
//! compares did not hold is not an error, see [`crate::TxnOutcome::Conflict`].

use std::path::PathBuf;

use crate::Revision;

/// A result of a store operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a store operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The revision asked for is no longer in the history: list again and watch from there.
    #[error("revision {requested} has been compacted, the oldest one kept is {oldest}")]
    Compacted {
        /// What was asked for.
        requested: Revision,
        /// The oldest revision that can still be read, and watched from. Zero when the store does not say (etcd tells
        /// it to watchers only).
        oldest: Revision,
    },
    /// The revision asked for has not happened yet.
    #[error("revision {requested} is in the future, the store is at {current}")]
    Future {
        /// What was asked for.
        requested: Revision,
        /// Where the store is. Zero when the store does not say (etcd does not).
        current: Revision,
    },
    /// A watcher read so slowly that the history it had not seen yet is gone. Everything up to `delivered` was
    /// delivered; list again and watch from there.
    #[error("the watcher is too slow: it has read up to revision {delivered}, but history now begins at {oldest}")]
    SlowWatcher {
        /// The last revision it was given everything up to.
        delivered: Revision,
        /// The oldest revision that can still be watched from.
        oldest: Revision,
    },
    /// The request itself is wrong and was not tried.
    #[error("{0}")]
    Invalid(String),
    /// Nobody knows whether the transaction was applied: the connection broke after it was sent. Read the keys before
    /// trying again.
    #[error("it is unknown whether the transaction was applied: the connection to the store was lost")]
    Ambiguous {
        /// What broke.
        #[source]
        source: Source,
    },
    /// The store can't be reached, or is closing. Nothing was changed.
    #[error("the store is unavailable: {message}")]
    Unavailable {
        /// What was tried.
        message: String,
        /// What broke, if something did.
        #[source]
        source: Option<Source>,
    },
    /// The store can be read but takes no writes: its disk is full. Nothing was changed. It tries again by itself and
    /// recovers when there is space.
    #[error("the store's disk is full, it takes no writes until there is space")]
    ReadOnly {
        /// What the disk said.
        #[source]
        source: Option<Source>,
    },
    /// A disk operation failed and the store has stopped: what is on disk can't be trusted to be what was written. It is
    /// never retried; restart the process, which reads back what is truly there.
    #[error("the store has stopped after a failed disk operation: {message}")]
    Failed {
        /// What failed.
        message: String,
    },
    /// The store's directory is used by another process.
    #[error("{} is in use by another process", .path.display())]
    Locked {
        /// The store's directory.
        path: PathBuf,
    },
    /// What is on disk is not what was written. Nothing was changed or repaired; restore from an export or a copy.
    #[error("the store in {} is damaged: {message}", .path.display())]
    Damaged {
        /// The store's directory, or the file in it.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The store could not be opened.
    #[error("cannot open the store in {}", .path.display())]
    Open {
        /// The store's directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: Source,
    },
    /// The store answered something that makes no sense to us.
    #[error("the store answered with an error: {message}")]
    Protocol {
        /// What it said.
        message: String,
    },
}

impl Error {
    /// Trying the same request again later may help, and can do no harm.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::ReadOnly { .. })
    }

    /// The history no longer reaches back to where the caller was: list again, then watch from that list's revision.
    #[must_use]
    pub fn needs_list(&self) -> bool {
        matches!(self, Self::Compacted { .. } | Self::SlowWatcher { .. })
    }
}
