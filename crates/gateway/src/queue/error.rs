use std::path::PathBuf;

/// A queue that cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
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
        matches!(self, QueueError::Storage(_) | QueueError::Closed)
    }
}

impl From<redb::Error> for QueueError {
    fn from(error: redb::Error) -> QueueError {
        QueueError::Storage(error.to_string())
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
