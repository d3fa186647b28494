//! The file of the queue: opens, checks and migrates it, and reads and writes it as a redb database.

use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use redb::{Builder, Database, Durability, ReadTransaction, ReadableDatabase as _, TableError};

use crate::error::{QueueError, QueueFileError, is_full};
use crate::redb::change::{Change, FORMAT, META, apply, make_tables};
use crate::redb::file::QueueFile;
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
        let unusable = |source| QueueError::Unusable { path: path.to_owned(), source };
        let file = Arc::new(open_file(path).map_err(unusable)?);
        // redb trusts its files, and may panic if one is damaged.
        let checked = catch_unwind(AssertUnwindSafe(|| check(&file)));
        let database = checked.unwrap_or(Err(QueueFileError::Damaged(None))).map_err(unusable)?;
        let opened = OpenFile { database: Some(database), file: Some(file), fault: None };
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
        match for_real(&file) {
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

/// How much of the file redb keeps in memory, in bytes. The waiting calls in memory are not part of it.
const CACHE: usize = 32 << 20;

fn access(error: io::Error) -> QueueFileError {
    QueueFileError::Access(Arc::new(error))
}

/// Locks the file, which must not be in use.
///
/// A process that is just being started shares, for a moment, all open files of the process that starts it, including a lock that
/// was released in the meantime. So the lock is tried for half a second.
fn lock(file: &File) -> Result<(), TryLockError> {
    for _ in 0..50 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            locked => return locked,
        }
    }
    file.try_lock()
}

/// Opens and locks the file.
fn open_file(path: &Path) -> Result<File, QueueFileError> {
    let fault = |error: io::Error| match error.kind() {
        io::ErrorKind::IsADirectory => QueueFileError::Folder,
        _ => access(error),
    };
    let mut options = File::options();
    options.read(true).write(true);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_file(path)?;
            options.open(path)
        }
        opened => opened,
    };
    let file = file.map_err(fault)?;
    match lock(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(QueueFileError::InUse),
        Err(TryLockError::Error(error)) => return Err(fault(error)),
    }
    // redb would initialise an empty file. It cannot be new, because a new file gets its name only when it is complete.
    if file.metadata().map_err(fault)?.len() == 0 {
        return Err(QueueFileError::Empty);
    }
    Ok(file)
}

/// Creates the file of an empty queue. It gets its name only when it is complete and on disk.
fn create_file(path: &Path) -> Result<(), QueueFileError> {
    let fault = |error: io::Error| QueueFileError::NotCreated(Arc::new(error));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(fault)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = path.with_file_name(name);
    let made = (|| {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        // It contains payloads and the headers of callers.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&new).map_err(fault)?;
        let file = Arc::new(file);
        let database =
            Builder::new().create_with_backend(QueueFile::real(file.clone())).map_err(|e| explain(e.into()))?;
        initialise(&database).map_err(explain)?;
        database.close().map_err(|error| explain(error.into()))?;
        file.sync_all().map_err(fault)?;
        // Unlike a rename, a link does not replace a file that another process has created in the meantime.
        match std::fs::hard_link(&new, path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(fault(error)),
            _ => Ok(()),
        }
    })();
    let _ = std::fs::remove_file(&new);
    made?;
    // Windows does not open folders as files.
    if cfg!(unix) { File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault) } else { Ok(()) }
}

fn initialise(database: &Database) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    make_tables(&write)?;
    write.commit()?;
    Ok(())
}

/// Reads the whole file and compares every checksum, without changing it. If all is well, the file is adopted, and migrated if it
/// has an older format.
fn check(file: &Arc<File>) -> Result<Database, QueueFileError> {
    let trial = QueueFile::on_trial(file.clone()).map_err(access)?;
    let database = Builder::new()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(true)
        .create_with_backend(trial.clone())
        .map_err(|error| explain(error.into()))?;
    let format = {
        let read = database.begin_read().map_err(|error| explain(error.into()))?;
        format(&read).map_err(explain)?
    };
    let older = format.filter(|format| OLDER.contains(format));
    if format != Some(FORMAT) && older.is_none() {
        return Err(QueueFileError::Version { found: format, known: FORMAT });
    }
    trial.adopt().map_err(access)?;
    if let Some(format) = older {
        tracing::info!("the queue file has an older format and is converted to the current one");
        migrate(&database, format).map_err(explain)?;
    }
    Ok(database)
}

fn for_real(file: &Arc<File>) -> Result<Database, redb::Error> {
    if file.metadata()?.len() == 0 {
        return Err(redb::Error::Corrupted("it is empty".to_owned()));
    }
    Ok(Builder::new().set_cache_size(CACHE).create_with_backend(QueueFile::real(file.clone()))?)
}

fn format(read: &ReadTransaction) -> Result<Option<u64>, redb::Error> {
    let meta = match read.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        meta => meta?,
    };
    Ok(meta.get("format")?.map(|value| value.value()))
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
