//! The other stores, each configured to be durable as its manual says.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use redb::ReadableDatabase as _;

use crate::Failure;

/// A change to write.
pub(crate) enum Change {
    Put(u64, Vec<u8>),
    Remove(u64),
}

/// A store for a queue.
pub(crate) trait Store: Send {
    /// Writes all changes together. They are on disk when this returns.
    fn commit(&mut self, changes: &[Change]) -> Result<(), Failure>;
    fn read(&self, id: u64) -> Result<Option<Vec<u8>>, Failure>;
}

pub(crate) const NAMES: [&str; 4] = ["redb", "fjall", "SQLite", "append log"];

/// Opens a store in an empty folder.
pub(crate) fn open(name: &str, folder: &Path) -> Result<Box<dyn Store>, Failure> {
    Ok(match name {
        "redb" => Box::new(Redb::open(folder)?),
        "fjall" => Box::new(Fjall::open(folder)?),
        "SQLite" => Box::new(Sqlite::open(folder)?),
        _ => Box::new(Log::open(folder)?),
    })
}

const CALLS: redb::TableDefinition<'_, u64, &[u8]> = redb::TableDefinition::new("calls");

struct Redb(redb::Database);

impl Redb {
    fn open(folder: &Path) -> Result<Redb, Failure> {
        let database = redb::Builder::new().set_cache_size(32 << 20).create(folder.join("queue.redb"))?;
        let write = database.begin_write()?;
        write.open_table(CALLS)?;
        write.commit()?;
        Ok(Redb(database))
    }
}

impl Store for Redb {
    fn commit(&mut self, changes: &[Change]) -> Result<(), Failure> {
        let mut write = self.0.begin_write()?;
        write.set_durability(redb::Durability::Immediate)?;
        {
            let mut calls = write.open_table(CALLS)?;
            for change in changes {
                match change {
                    Change::Put(id, body) => drop(calls.insert(id, body.as_slice())?),
                    Change::Remove(id) => drop(calls.remove(id)?),
                }
            }
        }
        Ok(write.commit()?)
    }

    fn read(&self, id: u64) -> Result<Option<Vec<u8>>, Failure> {
        let calls = self.0.begin_read()?.open_table(CALLS)?;
        Ok(calls.get(id)?.map(|body| body.value().to_vec()))
    }
}

struct Fjall {
    database: fjall::Database,
    calls: fjall::Keyspace,
}

impl Fjall {
    fn open(folder: &Path) -> Result<Fjall, Failure> {
        let database = fjall::Database::builder(folder).cache_size(32 << 20).open()?;
        let calls = database.keyspace("calls", fjall::KeyspaceCreateOptions::default)?;
        Ok(Fjall { database, calls })
    }
}

impl Store for Fjall {
    fn commit(&mut self, changes: &[Change]) -> Result<(), Failure> {
        let mut batch = self.database.batch().durability(Some(fjall::PersistMode::SyncData));
        for change in changes {
            match change {
                Change::Put(id, body) => batch.insert(&self.calls, id.to_be_bytes(), body.as_slice()),
                Change::Remove(id) => batch.remove(&self.calls, id.to_be_bytes()),
            }
        }
        Ok(batch.commit()?)
    }

    fn read(&self, id: u64) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.calls.get(id.to_be_bytes())?.map(|body| body.to_vec()))
    }
}

struct Sqlite(rusqlite::Connection);

impl Sqlite {
    fn open(folder: &Path) -> Result<Sqlite, Failure> {
        let connection = rusqlite::Connection::open(folder.join("queue.sqlite"))?;
        // With WAL and FULL, a transaction is on disk when it is committed.
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute("CREATE TABLE calls (id INTEGER PRIMARY KEY, body BLOB NOT NULL)", [])?;
        Ok(Sqlite(connection))
    }
}

impl Store for Sqlite {
    fn commit(&mut self, changes: &[Change]) -> Result<(), Failure> {
        let transaction = self.0.transaction()?;
        for change in changes {
            match change {
                Change::Put(id, body) => transaction
                    .prepare_cached("INSERT INTO calls (id, body) VALUES (?1, ?2)")?
                    .execute((id.cast_signed(), body))?,
                Change::Remove(id) => {
                    transaction.prepare_cached("DELETE FROM calls WHERE id = ?1")?.execute((id.cast_signed(),))?
                }
            };
        }
        Ok(transaction.commit()?)
    }

    fn read(&self, id: u64) -> Result<Option<Vec<u8>>, Failure> {
        let mut select = self.0.prepare_cached("SELECT body FROM calls WHERE id = ?1")?;
        match select.query_row((id.cast_signed(),), |row| row.get(0)) {
            Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
            body => Ok(Some(body?)),
        }
    }
}

/// Appends records: length, checksum, kind, id, body. The live records are known in memory. When most of the file is
/// dead, the live records move to a new file.
struct Log {
    folder: PathBuf,
    file: File,
    end: u64,
    /// Where the body of each live call is.
    live: HashMap<u64, (u64, usize)>,
    live_bytes: u64,
}

const LOG_HEAD: usize = 4 + 4 + 1 + 8;
/// Smaller logs are not worth rewriting.
const LOG_REWRITE: u64 = 16 << 20;

impl Log {
    fn open(folder: &Path) -> Result<Log, Failure> {
        let file = File::options().create_new(true).read(true).write(true).open(folder.join("queue.log"))?;
        file.sync_all()?;
        File::open(folder)?.sync_all()?;
        Ok(Log { folder: folder.to_owned(), file, end: 0, live: HashMap::new(), live_bytes: 0 })
    }

    fn record(out: &mut Vec<u8>, kind: u8, id: u64, body: &[u8]) {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&[kind]);
        sum.update(&id.to_le_bytes());
        sum.update(body);
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(&sum.finalize().to_le_bytes());
        out.push(kind);
        out.extend_from_slice(&id.to_le_bytes());
        out.extend_from_slice(body);
    }

    fn rewrite(&mut self) -> Result<(), Failure> {
        let mut out = Vec::new();
        let mut live = HashMap::new();
        for &id in self.live.keys() {
            let body = self.read(id)?.unwrap_or_default();
            live.insert(id, ((out.len() + LOG_HEAD) as u64, body.len()));
            Log::record(&mut out, 1, id, &body);
        }
        let new = self.folder.join("queue.log.new");
        let mut file = File::options().create(true).truncate(true).read(true).write(true).open(&new)?;
        file.write_all(&out)?;
        file.sync_all()?;
        std::fs::rename(&new, self.folder.join("queue.log"))?;
        File::open(&self.folder)?.sync_all()?;
        self.end = out.len() as u64;
        (self.file, self.live) = (file, live);
        Ok(())
    }
}

impl Store for Log {
    fn commit(&mut self, changes: &[Change]) -> Result<(), Failure> {
        let mut out = Vec::new();
        for change in changes {
            match change {
                Change::Put(id, body) => {
                    self.live.insert(*id, (self.end + (out.len() + LOG_HEAD) as u64, body.len()));
                    self.live_bytes += body.len() as u64;
                    Log::record(&mut out, 1, *id, body);
                }
                Change::Remove(id) => {
                    let gone = self.live.remove(id).map_or(0, |(_, length)| length);
                    self.live_bytes -= gone as u64;
                    Log::record(&mut out, 2, *id, &[]);
                }
            }
        }
        self.file.write_all_at(&out, self.end)?;
        self.file.sync_data()?;
        self.end += out.len() as u64;
        if self.end > LOG_REWRITE && self.live_bytes < self.end / 2 {
            self.rewrite()?;
        }
        Ok(())
    }

    fn read(&self, id: u64) -> Result<Option<Vec<u8>>, Failure> {
        let Some(&(at, length)) = self.live.get(&id) else { return Ok(None) };
        let mut body = vec![0; length];
        self.file.read_exact_at(&mut body, at)?;
        Ok(Some(body))
    }
}

/// The size of the files in a folder on disk, in bytes.
pub(crate) fn on_disk(folder: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // A file may disappear in the meantime.
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => sum += on_disk(&entry.path()).unwrap_or(0),
            Ok(metadata) => sum += metadata.blocks() * 512,
            Err(_) => {}
        }
    }
    Ok(sum)
}
