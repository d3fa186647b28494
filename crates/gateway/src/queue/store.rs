//! The file: a redb database with a table for each kind of record.

use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, Durability, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use crate::queue::error::QueueError;
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

/// What a file held when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Calls to deliver, in the order of acceptance: id, the call without its body kept in memory, size,
    /// attempts, due time.
    pub(crate) calls: Vec<HeldCall>,
    /// Ids of dead letters and when they died, oldest first.
    pub(crate) dead: Vec<(u64, u64)>,
    pub(crate) seen: Vec<(String, u64)>,
    /// Records that cannot be read, which stay in the file: id and what is wrong.
    pub(crate) unreadable: Vec<(u64, String)>,
    pub(crate) next_id: u64,
}

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
    path: PathBuf,
}

impl Store {
    pub(crate) fn open(path: &Path) -> Result<Store, QueueError> {
        let database = Some(open_database(path)?);
        let store = Store { database, path: path.to_owned() };
        store.check_format()?;
        Ok(store)
    }

    fn database(&self) -> Result<&Database, QueueError> {
        self.database.as_ref().ok_or_else(|| QueueError::Storage("the file could not be opened again".to_owned()))
    }

    fn check_format(&self) -> Result<(), QueueError> {
        let unusable = |what: String, remedy| QueueError::Unusable { path: self.path.clone(), what, remedy };
        let write = self.database()?.begin_write()?;
        let format = {
            let mut meta = write.open_table(META)?;
            let format = meta.get("format")?.map(|value| value.value());
            if format.is_none() {
                meta.insert("format", FORMAT)?;
            }
            format.unwrap_or(FORMAT)
        };
        if format != FORMAT {
            write.abort()?;
            return Err(unusable(
                format!("its format is {format}, this version knows {FORMAT}"),
                "use the version of faasflow that wrote it, or move the file aside to start with an empty queue",
            ));
        }
        write.open_table(CALLS)?;
        write.open_table(ATTEMPTS)?;
        write.open_table(DEAD)?;
        write.open_table(SEEN)?;
        write.commit()?;
        Ok(())
    }

    pub(crate) fn load(&self) -> Result<Held, QueueError> {
        let read = self.database()?.begin_read()?;
        let mut held = Held::default();
        let attempts = read.open_table(ATTEMPTS)?;
        for entry in read.open_table(CALLS)?.iter()? {
            let (key, record) = entry?;
            let id = key.value();
            held.next_id = held.next_id.max(id + 1);
            match Call::decode(record.value()) {
                Ok(call) => {
                    let (attempts, due_ms) = attempts.get(id)?.map_or((0, 0), |value| value.value());
                    held.calls.push(HeldCall { id, call, attempts, due_ms });
                }
                Err(fault) => held.unreadable.push((id, fault)),
            }
        }
        for entry in read.open_table(DEAD)?.iter()? {
            let (key, record) = entry?;
            let id = key.value();
            held.next_id = held.next_id.max(id + 1);
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

    /// After an error of the disk, redb wants to be opened anew before it writes again.
    pub(crate) fn reopen(&mut self) -> Result<(), QueueError> {
        self.database = None;
        self.database = Some(open_database(&self.path)?);
        Ok(())
    }
}

fn open_database(path: &Path) -> Result<Database, QueueError> {
    let unusable = |what: String, remedy| QueueError::Unusable { path: path.to_owned(), what, remedy };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| {
            unusable(format!("its folder cannot be created: {error}"), "create the folder or choose another")
        })?;
    }
    // An empty file is what a crash right after creation leaves; redb would take it for a new one as well.
    const ASIDE: &str = "move the file aside to start with an empty queue, and keep it: what it holds was accepted";
    Database::create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => unusable(
            "another process has it open".to_owned(),
            "stop the other gateway, or give this one another folder with `--state-dir`",
        ),
        DatabaseError::UpgradeRequired(version) => {
            unusable(format!("it is of the older file format {version}"), "use the version of faasflow that wrote it")
        }
        DatabaseError::Storage(redb::StorageError::Io(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            unusable(format!("it is no queue file ({error})"), ASIDE)
        }
        DatabaseError::Storage(redb::StorageError::Io(error)) => {
            unusable(error.to_string(), "see that the folder exists, has space and may be written")
        }
        DatabaseError::Storage(redb::StorageError::Corrupted(what)) => {
            unusable(format!("it is damaged: {what}"), ASIDE)
        }
        error => unusable(error.to_string(), ASIDE),
    })
}
