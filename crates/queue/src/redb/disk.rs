//! The file: opened, checked, brought into the present format, and read and written as a redb database.

use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use redb::{Builder, Database, Durability, ReadTransaction, ReadableDatabase as _, TableError};

use crate::error::{QueueError, is_full};
use crate::redb::change::{Change, FORMAT, META, apply, make_tables};
use crate::redb::file::QueueFile;
use crate::redb::migrate::{OLDER, migrate};

/// A file that is open and locked.
#[derive(Debug)]
pub(crate) struct Disk {
    opened: RwLock<Opened>,
}

struct Opened {
    /// `None` while it is being opened again, and once it is closed.
    database: Option<Database>,
    /// Held open, and locked, until the disk is closed.
    file: Option<Arc<File>>,
    /// Why it could not be opened again.
    fault: Option<QueueError>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("file", &self.file).field("fault", &self.fault).finish_non_exhaustive()
    }
}

impl Disk {
    /// Opens the file, creating it if there is none, and brings it into the present format.
    pub(crate) fn open(path: &Path) -> Result<Disk, QueueError> {
        let unusable = |(what, remedy)| QueueError::Unusable { path: path.to_owned(), what, remedy };
        let file = Arc::new(open_file(path).map_err(unusable)?);
        // redb trusts a file of its own, and may panic over one that was damaged.
        let checked = catch_unwind(AssertUnwindSafe(|| check(&file)));
        let database = checked.unwrap_or_else(|_| Err(damaged("it makes no sense"))).map_err(unusable)?;
        let opened = Opened { database: Some(database), file: Some(file), fault: None };
        Ok(Disk { opened: RwLock::new(opened) })
    }

    fn opened(&self) -> RwLockReadGuard<'_, Opened> {
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

    /// Whether changes can be tried at all.
    pub(crate) fn is_open(&self) -> bool {
        self.opened().database.is_some()
    }

    /// Closes the file and gives up its lock, once those who read are through.
    pub(crate) fn close(&self) {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        opened.database = None;
        opened.file = None;
    }

    /// After an error of the disk, redb wants to be opened anew before it writes again.
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
                    error => QueueError::storage(explain(error).0),
                };
                opened.fault = Some(fault.clone());
                return Err(fault);
            }
        }
        Ok(())
    }
}

impl Opened {
    fn database(&self) -> Result<&Database, QueueError> {
        if self.file.is_none() {
            return Err(QueueError::Closed);
        }
        let unopened = || QueueError::storage("the file could not be opened again".to_owned());
        self.database.as_ref().ok_or_else(|| self.fault.clone().unwrap_or_else(unopened))
    }
}

/// What is wrong with a file, and what to do.
type Fault = (String, &'static str);

const ASIDE: &str = "move the file aside to start with an empty queue, and keep it: what it holds was accepted";
const ACCESS: &str = "see that the folder exists, has space and may be written, or choose another";
const OTHER_VERSION: &str =
    "use the version of faasflow that wrote it, or move the file aside to start with an empty queue";

/// How much of the file redb keeps in memory, in bytes. Waiting calls are kept apart from it.
const CACHE: usize = 32 << 20;

fn damaged(what: impl std::fmt::Display) -> Fault {
    (format!("it is damaged: {what}"), ASIDE)
}

/// Locks the file, which must not be in use. A process that is being started has, for the blink of an eye, whatever is
/// open in the one that starts it, also a lock that was given up meanwhile. So a second look decides.
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
fn open_file(path: &Path) -> Result<File, Fault> {
    let fault = |error: io::Error| match error.kind() {
        io::ErrorKind::IsADirectory => ("it is a folder".to_owned(), "remove the folder, or choose another place"),
        _ => (error.to_string(), ACCESS),
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
        Err(TryLockError::WouldBlock) => {
            return Err((
                "another process has it open".to_owned(),
                "stop the other gateway, which is most likely another `faasflow up` for the same stack file, or give this one \
                 another folder",
            ));
        }
        Err(TryLockError::Error(error)) => return Err(fault(error)),
    }
    // redb would take it for a new one. It never is: a new one is made whole before it gets its name.
    if file.metadata().map_err(fault)?.len() == 0 {
        return Err(damaged("it is empty"));
    }
    Ok(file)
}

/// Makes a file for an empty queue, which has its name only when it is whole and on disk.
fn create_file(path: &Path) -> Result<(), Fault> {
    let fault = |error: io::Error| (format!("it cannot be created: {error}"), ACCESS);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(fault)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = path.with_file_name(name);
    let made = (|| {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        // What waits in it are payloads and the headers of callers.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&new).map_err(fault)?;
        let file = Arc::new(file);
        let database =
            Builder::new().create_with_backend(QueueFile::real(file.clone())).map_err(|e| explain(e.into()))?;
        initialise(&database).map_err(explain)?;
        database.close().map_err(|error| explain(error.into()))?;
        file.sync_all().map_err(fault)?;
        // Unlike a renaming, this takes no file's place that came meanwhile.
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

/// Reads the file from end to end, every checksum compared, without a change to it. Then it is adopted, and migrated if it
/// is of an older format.
fn check(file: &Arc<File>) -> Result<Database, Fault> {
    let trial = QueueFile::on_trial(file.clone()).map_err(|error| (error.to_string(), ACCESS))?;
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
        let found = format.map_or("not given".to_owned(), |format| format.to_string());
        return Err((format!("its format is {found}, this version knows {FORMAT}"), OTHER_VERSION));
    }
    trial.adopt().map_err(|error| (error.to_string(), ACCESS))?;
    if let Some(format) = older {
        tracing::info!("the queue file is of an older version, and is brought into the present format");
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

fn explain(error: redb::Error) -> Fault {
    match error {
        redb::Error::UpgradeRequired(version) => (format!("it is of the file format {version}"), OTHER_VERSION),
        redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
            (format!("it is no queue file ({error})"), ASIDE)
        }
        redb::Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => damaged("it is cut short"),
        redb::Error::Io(error) => (error.to_string(), ACCESS),
        redb::Error::Corrupted(what) => damaged(what),
        error => damaged(error),
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
