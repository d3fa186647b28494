//! The file of the store: opens and checks it, and reads and writes it as a redb database.

use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use redb::{
    Builder, Database, Durability, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableError,
    WriteTransaction,
};

use super::error::{StoreError, StoreFileError};
use super::tables::{FORMAT, META, make_tables};
use crate::queue::DatabaseFile;

/// How much of the file is kept in memory, in bytes.
const CACHE: usize = 32 << 20;
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
        let unusable = |source| StoreError::Unusable { path: path.to_owned(), source };
        let file = Arc::new(open_file(path).map_err(unusable)?);
        // redb trusts its files, and may panic if one is damaged.
        let checked = catch_unwind(AssertUnwindSafe(|| check(&file)));
        let database = checked.unwrap_or(Err(StoreFileError::Damaged(None))).map_err(unusable)?;
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
        opened.database = Some(for_real(&file)?);
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

fn access(error: io::Error) -> StoreFileError {
    StoreFileError::Access(Arc::new(error))
}

fn damaged(error: impl Into<redb::Error>) -> StoreFileError {
    match error.into() {
        redb::Error::Io(error)
            if !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            access(error)
        }
        error => StoreFileError::Damaged(Some(Arc::new(error))),
    }
}

/// Opens and locks the file.
fn open_file(path: &Path) -> Result<File, StoreFileError> {
    let mut options = File::options();
    options.read(true).write(true);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_file(path)?;
            options.open(path)
        }
        opened => opened,
    };
    let file = file.map_err(access)?;
    lock(&file)?;
    // A new file gets its name only when it is complete, so this one has lost its content.
    if file.metadata().map_err(access)?.len() == 0 {
        return Err(StoreFileError::Damaged(None));
    }
    Ok(file)
}

/// Locks the file, which must not be in use.
///
/// A process that is just being started shares, for a moment, the open files of the process that starts it, also a lock that was
/// released in the meantime. So the lock is tried for half a second.
fn lock(file: &File) -> Result<(), StoreFileError> {
    for _ in 0..50 {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::Error(error)) => return Err(access(error)),
        }
    }
    Err(StoreFileError::InUse)
}

/// Creates the file of an empty store. It gets its name only when it is complete and on disk.
fn create_file(path: &Path) -> Result<(), StoreFileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = path.with_file_name(name);
    let made = (|| {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        // It contains payloads of callers.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = Arc::new(options.open(&new).map_err(access)?);
        let database = Builder::new().create_with_backend(DatabaseFile::real(file.clone())).map_err(damaged)?;
        let write = database.begin_write().map_err(damaged)?;
        make_tables(&write).map_err(damaged)?;
        write.commit().map_err(damaged)?;
        database.close().map_err(damaged)?;
        file.sync_all().map_err(access)?;
        // Unlike a rename, a link does not replace a file that another process has created in the meantime.
        match std::fs::hard_link(&new, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(access(error)),
            _ => Ok(()),
        }
    })();
    let _ = std::fs::remove_file(&new);
    made?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Windows does not open folders as files.
    if cfg!(unix) { File::open(folder).and_then(|folder| folder.sync_all()).map_err(access) } else { Ok(()) }
}

/// Reads the whole file and compares every checksum, without changing it. If all is well, the file is adopted.
fn check(file: &Arc<File>) -> Result<Database, StoreFileError> {
    let trial = DatabaseFile::on_trial(file.clone()).map_err(access)?;
    let database = Builder::new()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(true)
        .create_with_backend(trial.clone())
        .map_err(damaged)?;
    let found = {
        let read = database.begin_read().map_err(damaged)?;
        match read.open_table(META) {
            Err(TableError::TableDoesNotExist(_)) => None,
            meta => meta.map_err(damaged)?.get("format").map_err(damaged)?.map(|value| value.value()),
        }
    };
    if found != Some(FORMAT) {
        return Err(StoreFileError::Version { found, known: FORMAT });
    }
    trial.adopt().map_err(access)?;
    Ok(database)
}

fn for_real(file: &Arc<File>) -> Result<Database, StoreError> {
    let opening = || Builder::new().set_cache_size(CACHE).create_with_backend(DatabaseFile::real(file.clone()));
    catch_unwind(AssertUnwindSafe(opening))
        .unwrap_or_else(|_| {
            Err(redb::DatabaseError::Storage(redb::StorageError::Corrupted("it is damaged".to_owned())))
        })
        .map_err(|error| redb::Error::from(error).into())
}

/// Reserves the numbers for this opening, and returns the first. 0 is never one.
fn reserve(database: &Database) -> Result<u64, StoreError> {
    let write = database.begin_write()?;
    let next = {
        let mut meta = write.open_table(META)?;
        let next = meta.get("next")?.map_or(1, |next| next.value());
        meta.insert("next", next.saturating_add(NUMBERS))?;
        next
    };
    write.commit()?;
    Ok(next)
}
