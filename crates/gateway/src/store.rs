//! The store of the gateway: values of requests, for the state manager `gateway` of flows.
//!
//! Values are in a database file, large ones in files of their own. What was answered is on disk. Each function has its own values,
//! which no other function sees.
//!
//! A limited number of operations is under way at once. A read or write of one value holds at most [`INLINE`] bytes of it and the
//! part that arrives or leaves, and a read of several values holds a few such parts. An answer that is still being sent is not
//! under way: it holds one part, and clients that read slowly keep no others waiting.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::state::{ListQuery, Listed, Status};
use prometheus::proto::MetricFamily;
use redb::{ReadableTable as _, ReadableTableMetadata as _};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

mod change;
mod counts;
mod disk;
mod ends;
mod error;
mod files;
mod lines;
mod news;
mod numbers;
mod reader;
mod rows;
mod tables;
mod writer;

#[cfg(all(test, unix))]
mod tests;

pub(crate) use change::Condition;
pub(crate) use ends::{End, Ends};
pub use error::{StoreError, StoreFileError};
pub(crate) use news::RequestNews;
pub(crate) use tables::{Content, Scope};

use change::{Change, NewRecord, Outcome};
use counts::{Counts, Held};
use disk::Disk;
use ends::Ended;
use files::{Files, Upload};
use news::Told;
use numbers::Numbers;
use reader::Reader;
use tables::{FILES, GARBAGE, SCOPES, Stored};
use writer::Writer;

/// The largest value that is kept in the database, in bytes. A larger one is in a file of its own.
pub(crate) const INLINE: usize = 64 << 10;
/// How many operations may be under way at once.
const AT_ONCE: usize = 256;
/// How often the store looks for what has expired.
const COLLECTED_EVERY: Duration = Duration::from_secs(5);
/// How long it pauses between two steps of the removal, so that others get their turn.
const BETWEEN_STEPS: Duration = Duration::from_millis(10);

/// The limits of a store.
#[derive(Clone, Debug)]
pub(crate) struct StoreLimits {
    /// The largest value in bytes.
    pub(crate) max_value: u64,
    /// How long the values of a request are kept after its last write.
    pub(crate) time_to_live: Duration,
}

/// The store of a gateway. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Store(Arc<Shared>);

struct Shared {
    disk: Arc<Disk>,
    writer: Writer,
    files: Files,
    numbers: Arc<Numbers>,
    limits: StoreLimits,
    permits: Semaphore,
    /// Notified when a request has ended, so that its values are removed soon.
    ended: Notify,
    told: Ended,
    news: Told,
    counts: Arc<Counts>,
}

impl Store {
    /// Opens the store in this folder, and creates it if it does not exist. The whole file is read and every checksum is compared.
    ///
    /// # Errors
    ///
    /// If it is damaged, belongs to another version, is open in another process, or cannot be written. In none of these cases is
    /// anything deleted or replaced.
    pub(crate) fn open(folder: &Path, limits: StoreLimits) -> Result<Store, StoreError> {
        let path = folder.join("state.redb");
        let (disk, first) = Disk::open(&path)?;
        let access =
            |source| StoreError::Unusable { path: path.clone(), source: StoreFileError::Access(Arc::new(source)) };
        let files = Files::open(&folder.join("state-values")).map_err(access)?;
        let referred = disk.read(|read| {
            let mut numbers = HashSet::new();
            for entry in read.open_table(FILES)?.iter()? {
                numbers.insert(entry?.0.value());
            }
            Ok(numbers)
        })?;
        files.keep_only(&referred).map_err(access)?;
        let (disk, numbers) = (Arc::new(disk), Arc::new(Numbers::from(first)));
        let ttl_ms = millis(limits.time_to_live);
        let counts = Arc::new(Counts::default());
        let writer = Writer::start(disk.clone(), files.clone(), numbers.clone(), counts.clone(), ttl_ms)?;
        let (permits, ended) = (Semaphore::new(AT_ONCE), Notify::new());
        Ok(Store(Arc::new(Shared {
            disk,
            writer,
            files,
            numbers,
            limits,
            permits,
            ended,
            told: Ended::default(),
            news: Told::default(),
            counts,
        })))
    }

    pub(crate) fn limits(&self) -> &StoreLimits {
        &self.0.limits
    }

    /// Waits until an operation may begin. It ends when the permit is dropped.
    pub(crate) async fn permit(&self) -> SemaphorePermit<'_> {
        self.0.permits.acquire().await.expect("the semaphore is never closed")
    }

    /// Reads from the file on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&redb::ReadTransaction) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let disk = self.0.disk.clone();
        let read = tokio::task::spawn_blocking(move || disk.read(read)).await;
        read.unwrap_or_else(|error| Err(StoreError::storage(error)))
    }

    async fn find(&self, scope: Scope, key: String) -> Result<Option<Stored>, StoreError> {
        self.read(move |read| Reader::new(read, &scope)?.value(&key)).await
    }

    /// The metrics of the store.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub(crate) async fn metrics(&self) -> Result<Vec<MetricFamily>, StoreError> {
        let held = self.read(|read| {
            let (requests, removals) = (read.open_table(SCOPES)?.len()?, read.open_table(GARBAGE)?.len()?);
            Ok(Held { requests, removals })
        });
        Ok(self.0.counts.gather(held.await?))
    }

    /// Reads a value. If it is in a file, the file is open, and can be read to its end even if the value is replaced.
    pub(crate) async fn get(&self, scope: &Scope, key: &str) -> Result<Option<Value>, StoreError> {
        let mut missing = None;
        loop {
            let Some(Stored { version, content }) = self.find(scope.clone(), key.to_owned()).await? else {
                self.0.counts.read(None);
                return Ok(None);
            };
            let (number, length) = match content {
                Content::Inline(bytes) => {
                    self.0.counts.read(Some(bytes.len() as u64));
                    return Ok(Some(Value { version, bytes: ValueBytes::Inline(bytes) }));
                }
                Content::File { number, length } => (number, length),
            };
            if let Some(file) = self.0.files.read(number).await? {
                self.0.counts.read(Some(length));
                return Ok(Some(Value { version, bytes: ValueBytes::File { file, length } }));
            }
            // A value that was replaced in the meantime has another file now.
            if missing.replace(number) == Some(number) {
                return Err(StoreError::storage(format!("the file {number}.value of a value is missing")));
            }
        }
    }

    /// Looks up values, each by its request and its key, in this order. Stops after `most` bytes, but looks up at least one. Values in files do
    /// not count.
    pub(crate) async fn get_some(
        &self,
        wanted: Vec<(Arc<Scope>, Arc<str>)>,
        most: usize,
    ) -> Result<Vec<Option<Content>>, StoreError> {
        let counts = self.0.counts.clone();
        let read = move |read: &redb::ReadTransaction| {
            let (mut values, mut bytes) = (Vec::new(), 0);
            let mut reader: Option<(&Scope, Reader)> = None;
            for (scope, key) in &wanted {
                let reader = match reader.take_if(|(of, _)| *of == &**scope) {
                    Some(same) => reader.insert(same),
                    None => reader.insert((scope, Reader::new(read, scope)?)),
                };
                let value = reader.1.value(key)?.map(|stored| stored.content);
                match &value {
                    Some(Content::Inline(value)) => {
                        bytes += value.len();
                        counts.read(Some(value.len() as u64));
                    }
                    // A value in a file is counted when the file is read.
                    Some(Content::File { .. }) => {}
                    None => counts.read(None),
                }
                values.push(value);
                if bytes >= most {
                    break;
                }
            }
            Ok(values)
        };
        self.read(read).await
    }

    /// Lists at most `limit` keys of a request after `after`, each with its version and the size of its value in bytes.
    pub(crate) async fn keys(
        &self,
        scope: Scope,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<(String, u64, u64)>, StoreError> {
        self.read(move |read| Reader::new(read, &scope)?.keys(after.as_deref(), limit)).await
    }

    /// Reads lines of the list of a function's flow, from the newest to the oldest.
    pub(crate) async fn lines(
        &self,
        function: String,
        flow: String,
        query: ListQuery,
    ) -> Result<Vec<Listed>, StoreError> {
        self.read(move |read| lines::read(read, &function, &flow, &query)).await
    }

    /// Lists a request, or changes its status.
    pub(crate) async fn list(&self, scope: Scope, started_ms: u64, status: Status) -> Result<(), StoreError> {
        let listed = self.0.writer.change(Change::List { scope: scope.clone(), started_ms, status }).await?;
        self.0.news.changed(&scope, listed, status);
        Ok(())
    }

    /// Ends a request that is remembered. Its values and its line stay for `keep_for`, and those that outlive it for `known_for` after
    /// that.
    pub(crate) async fn retire(
        &self,
        scope: Scope,
        started_ms: u64,
        status: Status,
        keep_for: Duration,
        known_for: Duration,
    ) -> Result<(), StoreError> {
        let (keep_ms, known_ms) = (millis(keep_for), millis(known_for));
        let retire = Change::Retire { scope: scope.clone(), started_ms, status, keep_ms, known_ms };
        let retired = self.0.writer.change(retire).await?;
        self.0.news.ended(&scope, retired, status);
        self.0.ended.notify_one();
        self.0.told.tell(scope);
        Ok(())
    }

    /// Calls `hear` from now on when a request is listed for the first time, and when its status has changed. It must not block.
    /// Only the first caller is told.
    pub(crate) fn tell(&self, hear: impl Fn(&Scope, RequestNews) + Send + Sync + 'static) {
        self.0.news.to(hear);
    }

    /// Tells from now on which requests are retired.
    pub(crate) fn ends(&self) -> Ends {
        self.0.told.read()
    }

    /// Begins a value of any length.
    pub(crate) fn begin(&self) -> NewValue<'_> {
        NewValue { store: self, inline: Vec::new(), file: None, length: 0 }
    }

    /// Creates small values in their order, until the key of one exists. Returns how many were created.
    pub(crate) async fn create(&self, scope: Scope, values: Vec<(String, Bytes)>) -> Result<usize, StoreError> {
        let lengths: Vec<usize> = values.iter().map(|(_, value)| value.len()).collect();
        let record = |(key, value)| {
            let (version, content) = (self.0.numbers.next(), Content::Inline(value));
            NewRecord { key, version, content }
        };
        let values = values.into_iter().map(record).collect();
        match self.0.writer.change(Change::Create { scope, values }).await? {
            Outcome::Created(created) => {
                lengths[..created].iter().for_each(|length| self.0.counts.written(*length as u64));
                Ok(created)
            }
            _ => Ok(0),
        }
    }

    /// Removes a value. It is not an error if there is none.
    pub(crate) async fn remove(&self, scope: Scope, key: String) -> Result<(), StoreError> {
        self.0.writer.change(Change::Remove { scope, key }).await.map(drop)
    }

    /// Removes the line and the values of a request. Those that outlive it stay for `keep_for`; `None` removes them too.
    pub(crate) async fn end(&self, scope: Scope, keep_for: Option<Duration>) -> Result<(), StoreError> {
        let keep_ms = keep_for.filter(|keep_for| !keep_for.is_zero()).map(millis);
        self.0.writer.change(Change::End { scope, keep_ms }).await?;
        self.0.ended.notify_one();
        Ok(())
    }

    /// Removes what has expired and what ended requests have left, in small steps, until `stop` is cancelled.
    pub(crate) async fn collect(&self, stop: CancellationToken) {
        loop {
            // An idle store does not write.
            let pause = match self.read(tables::is_due).await {
                Ok(false) => COLLECTED_EVERY,
                _ => match self.0.writer.change(Change::Collect).await {
                    Ok(Outcome::More) => BETWEEN_STEPS,
                    _ => COLLECTED_EVERY,
                },
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = self.0.ended.notified(), if pause == COLLECTED_EVERY => {}
            }
        }
    }

    /// Waits until everything that was begun is on disk, and closes the file.
    pub(crate) async fn close(&self) {
        self.0.writer.close().await;
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("limits", &self.0.limits).finish_non_exhaustive()
    }
}

/// A value that was read.
pub(crate) struct Value {
    pub(crate) version: u64,
    pub(crate) bytes: ValueBytes,
}

/// The bytes of a value that was read.
pub(crate) enum ValueBytes {
    Inline(Bytes),
    /// In a file of this length in bytes.
    File {
        file: tokio::fs::File,
        length: u64,
    },
}

/// A value that arrives in parts. At most [`INLINE`] bytes of it are in memory. If it is dropped, nothing is written.
pub(crate) struct NewValue<'a> {
    store: &'a Store,
    inline: Vec<u8>,
    file: Option<(u64, Upload)>,
    length: u64,
}

impl NewValue<'_> {
    /// Adds a part.
    ///
    /// # Errors
    ///
    /// If the value becomes larger than the store takes, or the disk fails.
    pub(crate) async fn append(&mut self, part: &[u8]) -> Result<(), StoreError> {
        self.length += part.len() as u64;
        let limit = self.store.0.limits.max_value;
        if self.length > limit {
            return Err(StoreError::TooLarge { size: None, limit });
        }
        if self.file.is_none() {
            if self.inline.len() + part.len() <= INLINE {
                self.inline.extend_from_slice(part);
                return Ok(());
            }
            let number = self.store.0.numbers.next();
            let upload = self.store.0.files.create(number).await?;
            self.file = Some((number, upload));
        }
        if let Some((_, upload)) = &mut self.file {
            upload.append(&std::mem::take(&mut self.inline)).await?;
            upload.append(part).await?;
        }
        Ok(())
    }

    /// Writes the value if the condition holds. Returns its version when it is on disk; `None` if the condition does not hold. If a request
    /// begins with the value, at the time `started_ms`, it is listed as running in the same transaction.
    ///
    /// # Errors
    ///
    /// If the disk fails. The value may or may not have been written then.
    pub(crate) async fn write(
        self,
        scope: Scope,
        key: String,
        condition: Condition,
        started_ms: Option<u64>,
    ) -> Result<Option<u64>, StoreError> {
        let Shared { writer, files, numbers, counts, .. } = &*self.store.0;
        let content = match self.file {
            None => Content::Inline(Bytes::from(self.inline)),
            Some((number, upload)) => Content::File { number, length: upload.finish(files).await? },
        };
        let version = numbers.next();
        let begun = started_ms.map(|_| scope.clone());
        let written = writer.change(Change::Write { scope, key, version, content, condition, started_ms }).await?;
        if written == Outcome::NotWritten {
            return Ok(None);
        }
        if let Some(scope) = begun {
            self.store.0.news.begun(&scope);
        }
        counts.written(self.length);
        Ok(Some(version))
    }
}

/// A duration in milliseconds, at most a hundred years.
fn millis(duration: Duration) -> u64 {
    const LONGEST: u64 = 100 * 365 * 24 * 3600 * 1000;
    u64::try_from(duration.as_millis()).unwrap_or(LONGEST).min(LONGEST)
}
