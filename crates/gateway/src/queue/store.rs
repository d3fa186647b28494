//! The file: a redb database with a table for each kind of record.

use std::fs::{File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redb::{
    Builder, Database, Durability, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition,
    TableError,
};

use crate::disk::is_full;
use crate::queue::error::QueueError;
use crate::queue::file::QueueFile;
use crate::queue::record::{Call, Letter};

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Calls to deliver, by id, which rises in the order of acceptance.
const CALLS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("calls");
/// The attempts that a call has had, and when the next is due, in milliseconds since the Unix epoch. Apart from
/// the call, so that a retry does not write its body again.
const ATTEMPTS: TableDefinition<'_, u64, (u32, u64)> = TableDefinition::new("attempts");
const DEAD: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("dead-letters");
/// When the call of each invocation id was accepted.
const SEEN: TableDefinition<'_, &str, u64> = TableDefinition::new("seen");

const FORMAT: u64 = 1;

/// One thing to write. A batch of them is written whole or not at all.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    PutCall(u64, Vec<u8>),
    RemoveCall(u64),
    PutAttempts(u64, u32, u64),
    PutDead(u64, Vec<u8>),
    RemoveDead(u64),
    PutSeen(String, u64),
    RemoveSeen(String),
}

/// What a file held when it was opened, besides its calls.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Ids of dead letters and when they died, oldest first.
    pub(crate) dead: Vec<(u64, u64)>,
    pub(crate) seen: Vec<(String, u64)>,
    /// Records that cannot be read, which stay in the file: id and what is wrong.
    pub(crate) unreadable: Vec<(u64, String)>,
    pub(crate) next_id: u64,
}

/// A call to deliver.
#[derive(Debug)]
pub(crate) struct HeldCall {
    pub(crate) id: u64,
    pub(crate) call: Call,
    pub(crate) attempts: u32,
    pub(crate) due_ms: u64,
}

pub(crate) struct Store {
    /// `None` only while it is being opened again.
    database: Option<Database>,
    /// Held open, and locked, as long as the store lives.
    file: Arc<File>,
    /// Why it could not be opened again.
    fault: Option<QueueError>,
}

impl Store {
    /// Opens the file, creating it if there is none. Each call in it is handed on as it is read, in the order of
    /// acceptance, so that a long backlog is never in memory whole.
    pub(crate) fn open(path: &Path, each: &mut dyn FnMut(HeldCall)) -> Result<(Store, Held), QueueError> {
        let unusable = |(what, remedy)| QueueError::Unusable { path: path.to_owned(), what, remedy };
        let file = Arc::new(open_file(path).map_err(unusable)?);
        // redb trusts a file of its own, and may panic over one that was damaged.
        let tried = catch_unwind(AssertUnwindSafe(|| on_trial(&file, each)));
        let held = tried.unwrap_or_else(|_| Err(damaged("it makes no sense"))).map_err(unusable)?;
        let database = Some(for_real(&file).map_err(|error| unusable(explain(error)))?);
        Ok((Store { database, file, fault: None }, held))
    }

    fn database(&self) -> Result<&Database, QueueError> {
        let closed = || QueueError::Storage("the file could not be opened again".to_owned());
        self.database.as_ref().ok_or_else(|| self.fault.clone().unwrap_or_else(closed))
    }

    pub(crate) fn call(&self, id: u64) -> Result<Option<Call>, QueueError> {
        let read = self.database()?.begin_read()?;
        let record = read.open_table(CALLS)?.get(id)?;
        let unreadable = |fault| QueueError::Storage(format!("call {id} cannot be read: {fault}"));
        record.map(|record| Call::decode(record.value()).map_err(unreadable)).transpose()
    }

    pub(crate) fn letter(&self, id: u64) -> Result<Option<Letter>, QueueError> {
        let read = self.database()?.begin_read()?;
        let record = read.open_table(DEAD)?.get(id)?;
        let unreadable = |fault| QueueError::Storage(format!("dead letter {id} cannot be read: {fault}"));
        record.map(|record| Letter::decode(record.value()).map_err(unreadable)).transpose()
    }

    /// Writes all changes in one transaction, on disk when this returns.
    pub(crate) fn commit<'a>(&self, changes: impl Iterator<Item = &'a Change>) -> Result<(), QueueError> {
        let mut write = self.database()?.begin_write()?;
        write.set_durability(Durability::Immediate)?;
        {
            let mut calls = write.open_table(CALLS)?;
            let mut attempts = write.open_table(ATTEMPTS)?;
            let mut dead = write.open_table(DEAD)?;
            let mut seen = write.open_table(SEEN)?;
            for change in changes {
                match change {
                    Change::PutCall(id, record) => {
                        calls.insert(id, record.as_slice())?;
                    }
                    Change::RemoveCall(id) => {
                        calls.remove(id)?;
                        attempts.remove(id)?;
                    }
                    Change::PutAttempts(id, count, due_ms) => {
                        attempts.insert(id, (*count, *due_ms))?;
                    }
                    Change::PutDead(id, record) => {
                        dead.insert(id, record.as_slice())?;
                    }
                    Change::RemoveDead(id) => {
                        dead.remove(id)?;
                    }
                    Change::PutSeen(call_id, accepted_ms) => {
                        seen.insert(call_id.as_str(), accepted_ms)?;
                    }
                    Change::RemoveSeen(call_id) => {
                        seen.remove(call_id.as_str())?;
                    }
                }
            }
        }
        write.commit()?;
        Ok(())
    }

    /// Whether changes can be tried at all.
    pub(crate) fn is_open(&self) -> bool {
        self.database.is_some()
    }

    /// Whether a batch with these changes may be in the file, although writing it failed: an error can come after
    /// the last byte.
    pub(crate) fn may_hold(&self, changes: &[Change]) -> bool {
        changes.iter().any(|change| match change {
            Change::PutCall(id, _) => !matches!(self.call(*id), Ok(None)),
            _ => false,
        })
    }

    /// After an error of the disk, redb wants to be opened anew before it writes again.
    pub(crate) fn reopen(&mut self) -> Result<(), QueueError> {
        self.database = None;
        self.fault = None;
        match for_real(&self.file) {
            Ok(database) => self.database = Some(database),
            Err(error) => {
                let fault = match &error {
                    redb::Error::Io(source) if is_full(source) => QueueError::Full(source.to_string()),
                    _ => QueueError::Storage(explain(error).0),
                };
                self.fault = Some(fault.clone());
                return Err(fault);
            }
        }
        Ok(())
    }
}

/// What is wrong with a file, and what to do.
type Fault = (String, &'static str);

const ASIDE: &str = "move the file aside to start with an empty queue, and keep it: what it holds was accepted";
const ACCESS: &str = "see that the folder exists, has space and may be written, or choose another with `--state-dir`";
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
                 another folder with `--state-dir`",
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
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault)
}

fn initialise(database: &Database) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    write.open_table(META)?.insert("format", FORMAT)?;
    write.open_table(CALLS)?;
    write.open_table(ATTEMPTS)?;
    write.open_table(DEAD)?;
    write.open_table(SEEN)?;
    write.commit()?;
    Ok(())
}

/// Reads the file from end to end, every checksum compared, without a change to it.
fn on_trial(file: &Arc<File>, each: &mut dyn FnMut(HeldCall)) -> Result<Held, Fault> {
    let trial = QueueFile::on_trial(file.clone()).map_err(|error| (error.to_string(), ACCESS))?;
    let database = Builder::new()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(true)
        .create_with_backend(trial)
        .map_err(|error| explain(error.into()))?;
    let read = database.begin_read().map_err(|error| explain(error.into()))?;
    let format = format(&read).map_err(explain)?;
    if format != Some(FORMAT) {
        let found = format.map_or("not given".to_owned(), |format| format.to_string());
        return Err((format!("its format is {found}, this version knows {FORMAT}"), OTHER_VERSION));
    }
    load(&read, each).map_err(explain)
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

fn load(read: &ReadTransaction, each: &mut dyn FnMut(HeldCall)) -> Result<Held, redb::Error> {
    let mut held = Held::default();
    let attempts = read.open_table(ATTEMPTS)?;
    for entry in read.open_table(CALLS)?.iter()? {
        let (key, record) = entry?;
        let id = key.value();
        held.next_id = held.next_id.max(id.saturating_add(1));
        match Call::decode(record.value()) {
            Ok(call) => {
                let (attempts, due_ms) = attempts.get(id)?.map_or((0, 0), |value| value.value());
                each(HeldCall { id, call, attempts, due_ms });
            }
            Err(fault) => held.unreadable.push((id, fault)),
        }
    }
    for entry in read.open_table(DEAD)?.iter()? {
        let (key, record) = entry?;
        let id = key.value();
        held.next_id = held.next_id.max(id.saturating_add(1));
        match Letter::decode(record.value()) {
            Ok(letter) => held.dead.push((id, letter.died_ms)),
            Err(fault) => held.unreadable.push((id, fault)),
        }
    }
    held.dead.sort_by_key(|&(_, died)| died);
    for entry in read.open_table(SEEN)?.iter()? {
        let (key, accepted) = entry?;
        held.seen.push((key.value().to_owned(), accepted.value()));
    }
    held.seen.sort_by_key(|&(_, accepted)| accepted);
    Ok(held)
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
