use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use faasflow_core::code::{self, Code};

/// Why a queue did not do something.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The body is larger than the queue accepts.
    #[error("the body has {size} bytes, and the queue accepts {limit}")]
    TooLarge {
        /// The size of the body in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The file cannot be used. Nothing in it was changed.
    #[error("the queue file {} cannot be used", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: QueueFileError,
    },
    /// The disk is full.
    #[error("the disk of the queue is full")]
    Full(#[source] Arc<dyn Error + Send + Sync>),
    /// The file cannot be written or read now.
    #[error("the queue file cannot be written or read")]
    Storage(#[source] Arc<dyn Error + Send + Sync>),
    /// The queue is closed.
    #[error("the queue is closed: the gateway is stopping")]
    Closed,
}

/// What is wrong with the file of a queue. Nothing in it was deleted or changed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueueFileError {
    /// Another process uses it.
    #[error("another process has it open")]
    InUse,
    /// There is a folder in its place.
    #[error("it is a folder")]
    Folder,
    /// It cannot be created.
    #[error("it cannot be created")]
    NotCreated(#[source] Arc<io::Error>),
    /// It cannot be opened, read or written.
    #[error("it cannot be opened, read or written")]
    Access(#[source] Arc<io::Error>),
    /// It has no bytes.
    #[error("it is damaged: it is empty")]
    Empty,
    /// Its end is missing.
    #[error("it is damaged: it is cut short")]
    CutShort,
    /// What is in it contradicts itself.
    #[error("it is damaged: it contradicts itself")]
    Damaged(#[source] Option<Arc<dyn Error + Send + Sync>>),
    /// It is some other file.
    #[error("it is not a queue file")]
    OtherFile(#[source] Arc<io::Error>),
    /// A version of the database with another file format wrote it.
    #[error("it has version {0} of the database format, which this version of faasflow does not read")]
    DatabaseVersion(u8),
    /// Another version of faasflow wrote it.
    #[error("its format is {}, and this version of faasflow reads formats up to {known}", shown(*found))]
    Version {
        /// Its format, if it has one.
        found: Option<u64>,
        /// The newest format that this version reads.
        known: u64,
    },
}

fn shown(format: Option<u64>) -> String {
    format.map_or_else(|| "missing".to_owned(), |format| format.to_string())
}

impl QueueFileError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            QueueFileError::InUse => {
                "stop the other gateway, which is most likely another `faasflow up` for the same stack file, or give this one \
                 another folder"
            }
            QueueFileError::Folder => "remove the folder, or choose another place",
            QueueFileError::NotCreated(_) | QueueFileError::Access(_) => {
                "check that the folder exists, has space and can be written, or choose another"
            }
            QueueFileError::DatabaseVersion(_) | QueueFileError::Version { .. } => {
                "use the version of faasflow that wrote the file, or move the file aside to start with an empty queue"
            }
            QueueFileError::Empty
            | QueueFileError::CutShort
            | QueueFileError::Damaged(_)
            | QueueFileError::OtherFile(_) => {
                "nothing in it was deleted or changed: move the file aside to start with an empty queue, and keep it, because it \
                 may hold calls that were accepted"
            }
        }
    }
}

impl QueueError {
    /// Makes the error for a full disk; `error` is its source.
    pub fn full(error: impl Into<Box<dyn Error + Send + Sync>>) -> QueueError {
        QueueError::Full(Arc::from(error.into()))
    }

    /// Makes the error for a file that cannot be written or read now; `error` is its source.
    pub fn storage(error: impl Into<Box<dyn Error + Send + Sync>>) -> QueueError {
        QueueError::Storage(Arc::from(error.into()))
    }

    /// What to do about it, if that is known.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        match self {
            QueueError::Unusable { source, .. } => Some(source.help()),
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

/// Whether an error means that there is no room: the disk is full, a quota is used up, or the file has its largest size.
#[must_use]
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}
