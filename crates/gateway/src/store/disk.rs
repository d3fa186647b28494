//! The file of the store: opens it, and reads and writes it as a redb database.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use faasflow_queue::database::{DatabaseFileError, LockedDatabase, META, reopen};
use redb::{Database, Durability, ReadTransaction, ReadableDatabase as _, ReadableTable as _, WriteTransaction};

use super::error::{StoreError, StoreFileError};
use super::tables::{FORMAT, OLDER, make_tables};

/// How many numbers each opening of the file reserves for versions, groups and files.
const NUMBERS: u64 = 1 << 32;

/// An open and locked file.
pub(super) struct Disk {
    opened: RwLock<Opened>,
}

struct Opened {
    /// `None` after it could not be opened again, and after it was closed.
    database: Option<Database>,
    /// Stays open and locked until the disk is closed.
    file: Option<Arc<File>>,
}

impl Disk {
    /// Opens the file, and creates it if it does not exist. Returns it with the first number that was never used.
    pub(super) fn open(path: &Path) -> Result<(Disk, u64), StoreError> {
        let opened = LockedDatabase::open(path, make_tables, |format| format == FORMAT || OLDER.contains(&format));
        let LockedDatabase { database, file, .. } =
            opened.map_err(|error| StoreError::Unusable { path: path.to_owned(), source: error.into() })?;
        let next = reserve(&database)?;
        let opened = Opened { database: Some(database), file: Some(file) };
        Ok((Disk { opened: RwLock::new(opened) }, next))
    }

    fn opened(&self) -> RwLockReadGuard<'_, Opened> {
        self.opened.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from the file as it is now.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // The lock is held until reading ends, so that the file is not opened again meanwhile.
        let opened = self.opened();
        read(&opened.database()?.begin_read()?)
    }

    /// Makes changes in one transaction, which is on disk when this returns. `change` also returns whether anything has changed; if not,
    /// nothing is written.
    pub(super) fn commit<T>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<(T, bool), StoreError>,
    ) -> Result<T, StoreError> {
        let opened = self.opened();
        let mut write = opened.database()?.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        let (outcome, changed) = change(&write)?;
        if changed {
            write.commit()?;
        } else {
            write.abort()?;
        }
        Ok(outcome)
    }

    /// Opens the database again. After an error of the disk, redb refuses to write until that is done.
    pub(super) fn reopen(&self) -> Result<(), StoreError> {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        opened.database = None;
        let file = opened.file.clone().ok_or(StoreError::Closed)?;
        opened.database = Some(reopen(&file)?);
        Ok(())
    }

    /// Waits for readers, closes the file, and releases its lock.
    pub(super) fn close(&self) {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        opened.database = None;
        opened.file = None;
    }
}

impl Opened {
    fn database(&self) -> Result<&Database, StoreError> {
        if self.file.is_none() {
            return Err(StoreError::Closed);
        }
        self.database.as_ref().ok_or_else(|| StoreError::storage("the file could not be opened again"))
    }
}

impl From<DatabaseFileError> for StoreFileError {
    fn from(error: DatabaseFileError) -> StoreFileError {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        match error {
            DatabaseFileError::InUse => StoreFileError::InUse,
            DatabaseFileError::NotCreated(error) | DatabaseFileError::Access(error) => {
                StoreFileError::Access(Arc::new(error))
            }
            DatabaseFileError::Refused(redb::Error::Io(error))
                if !matches!(error.kind(), InvalidData | UnexpectedEof) =>
            {
                StoreFileError::Access(Arc::new(error))
            }
            DatabaseFileError::Refused(error) => StoreFileError::Damaged(Some(Arc::new(error))),
            DatabaseFileError::Empty | DatabaseFileError::Panicked => StoreFileError::Damaged(None),
            DatabaseFileError::Format(found) => StoreFileError::Version { found, known: FORMAT },
        }
    }
}

/// Reserves the numbers for this opening, and returns the first. 0 is never one. A file of an older format becomes one of this format.
fn reserve(database: &Database) -> Result<u64, StoreError> {
    let write = database.begin_write()?;
    make_tables(&write)?;
    let next = {
        let mut meta = write.open_table(META)?;
        let next = meta.get("next")?.map_or(1, |next| next.value());
        meta.insert("next", next.saturating_add(NUMBERS))?;
        next
    };
    write.commit()?;
    Ok(next)
}
