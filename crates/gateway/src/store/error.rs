use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use faasflow_core::code::{self, Code};

use crate::queue::is_full;

/// Why the store of the gateway did not do something.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The value is larger than the store takes.
    #[error("the value has {}, and the store takes values up to {limit} bytes", sized(*.size))]
    TooLarge {
        /// The size of the value in bytes, if it is known.
        size: Option<u64>,
        /// The limit in bytes.
        limit: u64,
    },
    /// The file cannot be used. Nothing in it was changed.
    #[error("the store {} cannot be used", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: StoreFileError,
    },
    /// The disk is full.
    #[error("the disk of the store is full")]
    Full(#[source] Arc<dyn Error + Send + Sync>),
    /// The store cannot be written or read now.
    #[error("the store cannot be written or read")]
    Storage(#[source] Arc<dyn Error + Send + Sync>),
    /// The store is closed.
    #[error("the store is closed: the gateway is stopping")]
    Closed,
}

fn sized(size: Option<u64>) -> String {
    size.map_or_else(|| "more bytes than that".to_owned(), |size| format!("{size} bytes"))
}

/// What is wrong with the file of a store.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFileError {
    /// Another process uses it.
    #[error("another process has it open")]
    InUse,
    /// It, or the folder of large values beside it, cannot be created, opened, read or written.
    #[error("it cannot be created, opened, read or written")]
    Access(#[source] Arc<io::Error>),
    /// What is in it contradicts itself, or is missing, or it is another kind of file.
    #[error("it is damaged, or is not the file of a store")]
    Damaged(#[source] Option<Arc<dyn Error + Send + Sync>>),
    /// Another version of faasflow wrote it.
    #[error("its format is {}, and this version of faasflow reads format {known}", shown(*found))]
    Version {
        /// Its format, if it has one.
        found: Option<u64>,
        /// The format that this version reads.
        known: u64,
    },
}

fn shown(format: Option<u64>) -> String {
    format.map_or_else(|| "missing".to_owned(), |format| format.to_string())
}

impl StoreFileError {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            StoreFileError::InUse => {
                "stop the other gateway, which is most likely another `faasflow up` for the same stack file, or give this one \
                 another folder"
            }
            StoreFileError::Access(_) => {
                "check that the folder exists, has space and can be written, or choose another"
            }
            StoreFileError::Version { .. } => {
                "use the version of faasflow that wrote the file, or move the file aside to start with an empty store"
            }
            StoreFileError::Damaged(_) => {
                "nothing in it was deleted or changed: move the file aside to start with an empty store; requests in flight \
                 that branched cannot go on without it"
            }
        }
    }
}

impl StoreError {
    pub(crate) fn storage(error: impl Into<Box<dyn Error + Send + Sync>>) -> StoreError {
        StoreError::Storage(Arc::from(error.into()))
    }

    pub(crate) fn io(error: io::Error) -> StoreError {
        if is_full(&error) { StoreError::Full(Arc::new(error)) } else { StoreError::Storage(Arc::new(error)) }
    }

    /// What to do about it, if that is known.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        match self {
            StoreError::Unusable { source, .. } => Some(source.help()),
            _ => None,
        }
    }

    /// The code of the error.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            StoreError::TooLarge { .. } => code::VALUE_TOO_LARGE,
            StoreError::Unusable { .. } => code::STORE_UNUSABLE,
            StoreError::Full(_) => code::STORE_FULL,
            StoreError::Storage(_) => code::STORE_STORAGE,
            StoreError::Closed => code::STORE_CLOSED,
        }
    }
}

impl From<redb::Error> for StoreError {
    fn from(error: redb::Error) -> StoreError {
        match error {
            redb::Error::Io(error) => StoreError::io(error),
            error => StoreError::storage(error),
        }
    }
}

macro_rules! from_redb {
    ($($kind:ident),*) => {
        $(impl From<redb::$kind> for StoreError {
            fn from(error: redb::$kind) -> StoreError {
                redb::Error::from(error).into()
            }
        })*
    };
}

from_redb!(StorageError, TableError, TransactionError, CommitError, SetDurabilityError);
