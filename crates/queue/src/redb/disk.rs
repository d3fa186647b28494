//! The file of the queue: opens and migrates it, and reads and writes it as a redb database.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, Durability, ReadTransaction, ReadableDatabase as _};

use crate::error::{QueueError, QueueFileError, is_full};
use crate::redb::change::{Change, FORMAT, apply, make_tables};
use crate::redb::locked::{DatabaseFileError, LockedDatabase, reopen};
use crate::redb::migrate::{OLDER, migrate};

/// An open and locked file.
#[derive(Debug)]
pub(crate) struct Disk {
    opened: RwLock<OpenFile>,
}

struct OpenFile {
    /// `None` while the database is being opened again, and after it was closed.
    database: Option<Database>,
    /// Stays open and locked until the disk is closed.
    file: Option<Arc<File>>,
    /// Why it could not be opened again.
    fault: Option<QueueError>,
}

impl std::fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("file", &self.file).field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl Disk {
    /// Opens the file, creates it if it does not exist, and migrates it if it has an older format.
    pub(crate) fn open(path: &Path) -> Result<Disk, QueueError> {
        let knows = |format| format == FORMAT || OLDER.contains(&format);
        let opened = LockedDatabase::open(path, make_tables, knows).map_err(QueueFileError::from);
        let opened = opened.and_then(|LockedDatabase { database, file, format }| {
            if format != FORMAT {
                tracing::info!("the queue file has an older format and is converted to the current one");
                // redb may also panic while it converts a damaged file.
                let migrated = catch_unwind(AssertUnwindSafe(|| migrate(&database, format)));
                migrated.map_err(|_| QueueFileError::Damaged(None))?.map_err(explain)?;
            }
            Ok(OpenFile { database: Some(database), file: Some(file), fault: None })
        });
        let opened = opened.map_err(|source| QueueError::Unusable { path: path.to_owned(), source })?;
        Ok(Disk { opened: RwLock::new(opened) })
    }

    fn opened(&self) -> RwLockReadGuard<'_, OpenFile> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A view of the file as it is now.
    pub(crate) fn read(&self) -> Result<ReadTransaction, QueueError> {
        Ok(self.opened().database()?.begin_read()?)
    }

    /// Writes all changes in one transaction, on disk when this returns.
    pub(crate) fn commit<'a>(&self, changes: impl Iterator<Item = &'a Change>) -> Result<(), QueueError> {
        let opened = self.opened();
        let mut write = opened.database()?.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        apply(&write, changes)?;
        write.commit()?;
        Ok(())
    }

    /// Whether the file is open, so that changes can be tried.
    pub(crate) fn is_open(&self) -> bool {
        self.opened().database.is_some()
    }

    /// Waits for readers, closes the file, and releases its lock.
    pub(crate) fn close(&self) {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        opened.database = None;
        opened.file = None;
    }

    /// Opens the database again. After an error of the disk, redb refuses to write until that is done.
    pub(crate) fn reopen(&self) -> Result<(), QueueError> {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        opened.database = None;
        opened.fault = None;
        let Some(file) = opened.file.clone() else { return Err(QueueError::Closed) };
        match reopen(&file) {
            Ok(database) => opened.database = Some(database),
            Err(error) => {
                let fault = match error {
                    redb::Error::Io(source) if is_full(&source) => QueueError::full(source),
                    error => QueueError::storage(explain(error)),
                };
                opened.fault = Some(fault.clone());
                return Err(fault);
            }
        }
        Ok(())
    }
}

impl OpenFile {
    fn database(&self) -> Result<&Database, QueueError> {
        if self.file.is_none() {
            return Err(QueueError::Closed);
        }
        let unopened = || QueueError::storage("the file could not be opened again".to_owned());
        self.database.as_ref().ok_or_else(|| self.fault.clone().unwrap_or_else(unopened))
    }
}

fn access(error: io::Error) -> QueueFileError {
    QueueFileError::Access(Arc::new(error))
}

impl From<DatabaseFileError> for QueueFileError {
    fn from(error: DatabaseFileError) -> QueueFileError {
        match error {
            DatabaseFileError::InUse => QueueFileError::InUse,
            DatabaseFileError::NotCreated(error) => QueueFileError::NotCreated(Arc::new(error)),
            DatabaseFileError::Access(error) if error.kind() == io::ErrorKind::IsADirectory => QueueFileError::Folder,
            DatabaseFileError::Access(error) => access(error),
            DatabaseFileError::Empty => QueueFileError::Empty,
            DatabaseFileError::Refused(error) => explain(error),
            DatabaseFileError::Panicked => QueueFileError::Damaged(None),
            DatabaseFileError::Format(found) => QueueFileError::Version { found, known: FORMAT },
        }
    }
}

fn explain(error: redb::Error) -> QueueFileError {
    match error {
        redb::Error::UpgradeRequired(version) => QueueFileError::DatabaseVersion(version),
        redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            QueueFileError::OtherFile(Arc::new(error))
        }
        redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => QueueFileError::CutShort,
        redb::Error::Io(error) => access(error),
        error => QueueFileError::Damaged(Some(Arc::new(error))),
    }
}

impl From<redb::Error> for QueueError {
    fn from(error: redb::Error) -> QueueError {
        match error {
            redb::Error::Io(source) if is_full(&source) => QueueError::full(source),
            error => QueueError::storage(error),
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
