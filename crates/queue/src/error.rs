use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use faasflow_core::code::{self, Code};

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
    #[error("the queue file {} cannot be used: {what}. Nothing was deleted or changed", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Its disk has no room.
    #[error("the disk of the queue is full")]
    Full(#[source] Arc<dyn Error + Send + Sync>),
    /// It cannot be written now, or not be read.
    #[error("the queue file cannot be written or read")]
    Storage(#[source] Arc<dyn Error + Send + Sync>),
    /// The queue is closed.
    #[error("the queue is closed: the gateway is stopping")]
    Closed,
}

impl QueueError {
    /// The disk is full; `error` is the source.
    pub fn full(error: impl Into<Box<dyn Error + Send + Sync>>) -> QueueError {
        QueueError::Full(Arc::from(error.into()))
    }

    /// The file cannot be written or read now; `error` is the source.
    pub fn storage(error: impl Into<Box<dyn Error + Send + Sync>>) -> QueueError {
        QueueError::Storage(Arc::from(error.into()))
    }

    /// What to do about it, if that is known.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        match self {
            QueueError::Unusable { remedy, .. } => Some(remedy),
            _ => None,
        }
    }

    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            QueueError::TooLarge { .. } => code::CALL_TOO_LARGE,
            QueueError::Unusable { .. } => code::QUEUE_UNUSABLE,
            QueueError::Full(_) => code::QUEUE_FULL,
            QueueError::Storage(_) => code::QUEUE_STORAGE,
            QueueError::Closed => code::QUEUE_CLOSED,
        }
    }

    /// Whether trying again later may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, QueueError::Full(_) | QueueError::Storage(_) | QueueError::Closed)
    }
}

/// Whether an error says that there is no room: on the disk, in the user's share of it, or for a file of this size.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
