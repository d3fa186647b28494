//! The file of a redb database: creates, opens, locks and checks it. The local gateway's store uses this too.

use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redb::{Builder, Database, ReadableDatabase as _, TableDefinition, TableError};

use super::file::DatabaseFile;

/// How much of a file redb keeps in memory, in bytes.
const CACHE: usize = 32 << 20;

/// The table whose entry `format` is the version of the format.
pub const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Why the file of a database cannot be used. Nothing in it was changed.
#[derive(Debug)]
pub enum DatabaseFileError {
    /// Another process has it open.
    InUse,
    /// It cannot be created.
    NotCreated(io::Error),
    /// It cannot be opened, read or written.
    Access(io::Error),
    /// It has no bytes.
    Empty,
    /// redb refuses it.
    Refused(redb::Error),
    /// redb panicked, because it trusts its files.
    Panicked,
    /// It has another format, or none.
    Format(Option<u64>),
}

/// A database in a file that is open and locked.
#[derive(Debug)]
pub struct LockedDatabase {
    /// The database.
    pub database: Database,
    /// Its file, which stays locked until this is dropped. Open the database again with [`reopen`].
    pub file: Arc<File>,
    /// The version of its format.
    pub format: u64,
}

impl LockedDatabase {
    /// Opens the file, and creates it if it does not exist. `make_tables` gives a new file its tables. The whole file is read and every
    /// checksum is compared.
    ///
    /// # Errors
    ///
    /// If the file cannot be used, or `knows` is false for its format.
    pub fn open(
        path: &Path,
        make_tables: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
        knows: impl FnOnce(u64) -> bool,
    ) -> Result<LockedDatabase, DatabaseFileError> {
        let file = Arc::new(open_file(path, make_tables)?);
        let checked = catch_unwind(AssertUnwindSafe(|| check(&file, knows)));
        let (database, format) = checked.unwrap_or(Err(DatabaseFileError::Panicked))?;
        Ok(LockedDatabase { database, file, format })
    }
}

/// Opens the database in a file again. After an error of the disk, redb refuses to write until that is done.
///
/// # Errors
///
/// If the file is damaged or cannot be read.
pub fn reopen(file: &Arc<File>) -> Result<Database, redb::Error> {
    if file.metadata()?.len() == 0 {
        return Err(redb::Error::Corrupted("it is empty".to_owned()));
    }
    let file = DatabaseFile::real(file.clone());
    let opened = catch_unwind(AssertUnwindSafe(|| Builder::new().set_cache_size(CACHE).create_with_backend(file)));
    Ok(opened.map_err(|_| redb::Error::Corrupted("it contradicts itself".to_owned()))??)
}

/// Opens and locks the file.
fn open_file(
    path: &Path,
    make_tables: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
) -> Result<File, DatabaseFileError> {
    let mut options = File::options();
    options.read(true).write(true);
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_file(path, make_tables)?;
            options.open(path)
        }
        opened => opened,
    };
    let file = file.map_err(DatabaseFileError::Access)?;
    match lock(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(DatabaseFileError::InUse),
        Err(TryLockError::Error(error)) => return Err(DatabaseFileError::Access(error)),
    }
    // redb would initialise an empty file. It cannot be new, because a new file gets its name only when it is complete.
    if file.metadata().map_err(DatabaseFileError::Access)?.len() == 0 {
        return Err(DatabaseFileError::Empty);
    }
    Ok(file)
}

/// Locks the file, which must not be in use.
///
/// A process that is just being started shares, for a moment, all open files of the process that starts it, including a lock that
/// was released in the meantime. So the lock is tried for two seconds.
fn lock(file: &File) -> Result<(), TryLockError> {
    for _ in 0..200 {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
            locked => return locked,
        }
    }
    file.try_lock()
}

/// Creates the file of an empty database. It gets its name only when it is complete and on disk.
fn create_file(
    path: &Path,
    make_tables: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), DatabaseFileError> {
    let fault = DatabaseFileError::NotCreated;
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
        let file = Arc::new(options.open(&new).map_err(fault)?);
        initialise(&file, make_tables).map_err(DatabaseFileError::Refused)?;
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

fn initialise(
    file: &Arc<File>,
    make_tables: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), redb::Error> {
    let database = Builder::new().create_with_backend(DatabaseFile::real(file.clone()))?;
    let write = database.begin_write()?;
    make_tables(&write)?;
    write.commit()?;
    Ok(database.close()?)
}

/// Reads the whole file and compares every checksum, without changing it. If all is well, the file is adopted. Returns its format too.
fn check(file: &Arc<File>, knows: impl FnOnce(u64) -> bool) -> Result<(Database, u64), DatabaseFileError> {
    let trial = DatabaseFile::on_trial(file.clone()).map_err(DatabaseFileError::Access)?;
    let opened = Builder::new()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(true)
        .create_with_backend(trial.clone())
        .map_err(redb::Error::from);
    let database = opened.map_err(DatabaseFileError::Refused)?;
    let found = format(&database).map_err(DatabaseFileError::Refused)?;
    let Some(format) = found.filter(|format| knows(*format)) else { return Err(DatabaseFileError::Format(found)) };
    trial.adopt().map_err(DatabaseFileError::Access)?;
    Ok((database, format))
}

fn format(database: &Database) -> Result<Option<u64>, redb::Error> {
    let meta = match database.begin_read()?.open_table(META) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        meta => meta?,
    };
    Ok(meta.get("format")?.map(|value| value.value()))
}
