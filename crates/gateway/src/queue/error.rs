use std::path::PathBuf;

use crate::disk::is_full;

/// A queue that cannot do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The body is larger than the queue takes.
    #[error("the body is {size} bytes, the queue takes {limit}")]
    TooLarge {
        /// The size of the body in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The file cannot be used. Nothing in it was changed.
    #[error("the queue file {} cannot be used: {what}. Nothing was deleted or changed; {remedy}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Its disk has no room.
    #[error("the disk of the queue is full: {0}")]
    Full(String),
    /// It cannot be written now, or not be read.
    #[error("the queue file cannot be written or read: {0}")]
    Storage(String),
    /// The queue is closed.
    #[error("the queue is closed: the gateway is stopping")]
    Closed,
}

impl QueueError {
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, QueueError::Full(_) | QueueError::Storage(_) | QueueError::Closed)
    }
}

impl From<redb::Error> for QueueError {
    fn from(error: redb::Error) -> QueueError {
        match &error {
            redb::Error::Io(source) if is_full(source) => QueueError::Full(source.to_string()),
            _ => QueueError::Storage(error.to_string()),
        }
    }
}

macro_rules! from_redb {
    ($($kind:ident),*) => {
        $(impl From<redb::$kind> for QueueError {
            fn from(error: redb::$kind) -> QueueError {
                redb::Error::from(error).into()
            }
        })*
    };
}

from_redb!(StorageError, TableError, TransactionError, CommitError, SetDurabilityError);
