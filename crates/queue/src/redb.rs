//! A store in one file, for one machine. A call is on disk before it is accepted.
//!
//! One writer thread commits everything that is pending in one transaction with one flush (group commit), and only then answers
//! the callers. Conclusions wait until there is more to write, because losing one only costs another delivery. The memory that the
//! store needs is bounded, however many calls wait: see `window.rs`.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use faasflow_core::handler::BoxFuture;
use faasflow_http::now_ms;
use tokio::sync::Notify;

use crate::call::{Accepted, Call};
use crate::error::QueueError;
use crate::letter::Letter;
use crate::memory::wait;
use crate::policy::options::QueueOptions;
use crate::policy::schedule::{Entry, Next};
use crate::redb::change::{CallKey, Change};
use crate::redb::disk::Disk;
use crate::redb::ids::{FORGET, Ids, hash};
use crate::redb::window::{DUE_AT_ONCE, NextRead, WINDOW, Window};
use crate::redb::writer::{Work, Writer};
use crate::stats::{QueueStats, QueuedCall};
use crate::store::{Claim, Conclusion, Store};

mod change;
mod conclude;
mod disk;
mod file;
mod ids;
mod locked;
mod migrate;
#[cfg(windows)]
mod positioned;
mod read;
mod record;
mod window;
mod writer;

#[cfg(test)]
mod tests;

pub use locked::{DatabaseFileError, LockedDatabase, META, reopen};

/// How long to wait after the file could not be read.
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// A store in one file. One process at a time can use it, and holds a lock on the file.
#[derive(Debug)]
pub struct RedbStore {
    shared: Arc<Shared>,
    writer: Writer,
    next_id: Arc<AtomicU64>,
    path: PathBuf,
}

/// What accepting and delivering tasks share with the writer.
#[derive(Debug)]
struct Shared {
    options: QueueOptions,
    disk: Arc<Disk>,
    window: Mutex<Window>,
    changed: Notify,
    /// Locked by the task that reads calls into memory.
    reading: tokio::sync::Mutex<()>,
    /// Locked while dead letters are moved or removed. Two tasks that moved the same letter would deliver it twice.
    letters: tokio::sync::Mutex<()>,
}

impl Shared {
    /// Every operation leaves the window consistent, so a poisoned lock can be ignored.
    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes `accept`.
    fn settle(&self, id: Option<u64>, hash: u128, call: Arc<Call>) {
        let mut window = self.window();
        window.ids.writing.remove(&hash);
        if let Some(id) = id {
            window.ids.insert(id, hash);
            window.totals.accepted += 1;
            window.accepted(id, call);
            drop(window);
            self.changed.notify_one();
        }
    }
}

impl RedbStore {
    /// Opens the file at `path`. Creates it if it does not exist. The whole file is read and every checksum is compared. A file of an
    /// older format is migrated.
    ///
    /// # Errors
    ///
    /// If the file is damaged, belongs to another program or a newer version, is open in another process, or cannot be written. In
    /// none of these cases is anything deleted or replaced.
    pub fn open(path: &Path, options: QueueOptions) -> Result<RedbStore, QueueError> {
        let disk = Arc::new(Disk::open(path)?);
        let mut ids = Ids::new();
        let oldest_ms = now_ms().saturating_sub(options.duplicate_window_ms());
        let contents = read::contents(&disk, &mut |(id, hash, accepted_ms)| {
            ids.are_up_to(id);
            if accepted_ms >= oldest_ms {
                ids.insert(id, hash);
            }
        })?;
        let next_id = Arc::new(AtomicU64::new(contents.next_id));
        let window = Mutex::new(Window::new(options.kept_bodies, ids, contents));
        let writer = Writer::start(disk.clone(), next_id.clone())?;
        let (changed, reading, letters) = (Notify::new(), tokio::sync::Mutex::default(), tokio::sync::Mutex::default());
        let shared = Arc::new(Shared { options, disk, window, changed, reading, letters });
        let store = RedbStore { shared, writer, next_id, path: path.to_owned() };
        store.read_first()?;
        Ok(store)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the first calls of every lane, so that unreadable ones are found at once.
    fn read_first(&self) -> Result<(), QueueError> {
        let lanes = self.shared.window().hungry();
        for lane in lanes {
            let read = read::of_lane(&self.shared.disk, &lane, 0, WINDOW)?;
            self.take_lane(&lane, 0, read);
        }
        Ok(())
    }

    fn take_lane(&self, lane: &Arc<str>, after: u64, read: read::OfLane) {
        let aside = self.shared.window().take_lane(lane, after, read);
        self.writer.lazy(aside.into_iter().map(|id| Change::PutAside { id, lane: lane.clone() }).collect());
    }

    /// Reads from the file on a thread that may block.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Disk) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, QueueError> {
        let disk = self.shared.disk.clone();
        let read = tokio::task::spawn_blocking(move || read(&disk)).await;
        read.unwrap_or_else(|error| Err(QueueError::storage(format!("reading ended: {error}"))))
    }

    /// Reads some of the calls that should be in memory.
    async fn read_wanted(&self) -> Result<(), QueueError> {
        let _alone = self.shared.reading.lock().await;
        let wanted = self.shared.window().wanted();
        match wanted {
            None => {}
            Some(NextRead::Lane { lane, after, most }) => {
                let of = lane.clone();
                let read = self.read(move |disk| read::of_lane(disk, &of, after, most)).await?;
                self.take_lane(&lane, after, read);
            }
            Some(NextRead::Due { lane, from }) => {
                self.shared.window().begin_due(&lane);
                self.writer.barrier().await?;
                let of = lane.clone();
                let read = self.read(move |disk| read::due(disk, &of, from, DUE_AT_ONCE)).await?;
                let aside = self.shared.window().take_due(&lane, from, read);
                let put_aside = |id| Change::PutAside { id, lane: lane.clone() };
                self.writer.lazy(aside.into_iter().map(put_aside).collect());
            }
        }
        Ok(())
    }

    async fn accept_call(&self, call: Arc<Call>) -> Result<Accepted, QueueError> {
        let hash = hash(&call.duplicate_key());
        let oldest_ms = call.accepted_ms.saturating_sub(self.shared.options.duplicate_window_ms());
        loop {
            let wants = self.shared.window().ids.wants_oldest();
            if let Some(range) = wants {
                let read = self.read(move |disk| read::ids(disk, range, FORGET)).await?;
                self.shared.window().ids.take_oldest(range, read);
            }
            let known = {
                let mut window = self.shared.window();
                if window.closed {
                    return Err(QueueError::Closed);
                }
                let forgotten = window.ids.forget(oldest_ms);
                if !forgotten.is_empty() {
                    self.writer.lazy(forgotten.into_iter().map(Change::RemoveId).collect());
                }
                let writing = window.ids.writing.contains(&hash);
                let known = window.ids.find(hash);
                if !writing && known.is_none() {
                    window.ids.writing.insert(hash);
                    break;
                }
                known
            };
            match known {
                // The first call with this id is being written: wait for it, then look again.
                None => self.writer.barrier().await?,
                Some(number) => {
                    let whole = self.read(move |disk| read::id(disk, number)).await?;
                    let mut window = self.shared.window();
                    if whole.is_some_and(|(known, accepted_ms)| known == hash && accepted_ms >= oldest_ms) {
                        window.totals.duplicates += 1;
                        return Ok(Accepted::Duplicate);
                    }
                    window.ids.remove(number, hash);
                }
            }
        }
        let put = Change::put_call(0, &call);
        let accepted_ms = call.accepted_ms;
        let work = Work::Numbered(Box::new(move |id| numbered(put, id, hash, accepted_ms)));
        let shared = self.shared.clone();
        // The writer does this, not the waiting task: if a client goes away, its call must still be accepted.
        self.writer.urgent(work, move |id| shared.settle(id, hash, call)).await?;
        Ok(Accepted::New)
    }

    async fn claim_call(&self, most: &(dyn Fn(&str) -> usize + Send + Sync)) -> Result<Claim, QueueError> {
        loop {
            let changed = self.shared.changed.notified();
            let wanted = {
                let window = self.shared.window();
                if window.closed {
                    return Err(QueueError::Closed);
                }
                window.wanted().is_some()
            };
            if wanted && let Err(error) = self.read_wanted().await {
                tracing::error!(%error, "the queue file cannot be read");
                tokio::time::sleep(AFTER_ERROR).await;
            }
            let due_ms = {
                let mut window = self.shared.window();
                match window.next(most) {
                    Next::Deliver(entry) => return Ok((*entry).into()),
                    Next::Wait(_) if window.wanted().is_some() => continue,
                    Next::Wait(due_ms) => due_ms,
                }
            };
            wait(changed, due_ms).await;
        }
    }

    async fn fetch_call(&self, claim: &Claim) -> Result<Option<Arc<Call>>, QueueError> {
        if let Some(call) = &claim.call {
            return Ok(Some(call.clone()));
        }
        let read = async || {
            let id = claim.id;
            self.read(move |disk| read::call(disk, id)).await
        };
        if let Some(call) = read().await? {
            return Ok(Some(Arc::new(call)));
        }
        // A callback may still wait to be written.
        self.writer.barrier().await?;
        Ok(read().await?.map(Arc::new))
    }

    async fn revive_letter(&self, id: u64, due_ms: u64) -> Result<bool, QueueError> {
        let _alone = self.shared.letters.lock().await;
        self.writer.barrier().await?;
        let Some(letter) = self.read(move |disk| read::letter(disk, id)).await? else { return Ok(false) };
        let undo_letter = Change::put_letter(id, &letter);
        let call = Arc::new(letter.call);
        let place = CallKey::new(&call);
        let due = Change::PutDue { id, lane: place.lane.clone(), attempts: 0, due_ms };
        let changes = vec![Change::RemoveLetter(id), Change::put_call(id, &call), due];
        let undo = vec![Change::RemoveCall { id, place }, undo_letter];
        let shared = self.shared.clone();
        let settle = move |written: Option<u64>| {
            if written.is_some() {
                let mut window = shared.window();
                window.dead.retain(|&(dead, _)| dead != id);
                window.count(call.function());
                window.due(Entry::new(id, call, 1, due_ms));
                drop(window);
                shared.changed.notify_one();
            }
        };
        self.writer.urgent(Work::Fixed((changes, undo)), settle).await?;
        Ok(true)
    }

    async fn discard_letters(&self, ids: Vec<u64>) -> Result<u64, QueueError> {
        let _alone = self.shared.letters.lock().await;
        let there: Vec<u64> = {
            let window = self.shared.window();
            window.dead.iter().map(|&(id, _)| id).filter(|id| ids.contains(id)).collect()
        };
        let count = there.len() as u64;
        let changes = there.iter().map(|&id| Change::RemoveLetter(id)).collect();
        let shared = self.shared.clone();
        let settle = move |written: Option<u64>| {
            if written.is_some() {
                shared.window().dead.retain(|(id, _)| !there.contains(id));
            }
        };
        self.writer.urgent(Work::Fixed((changes, Vec::new())), settle).await?;
        Ok(count)
    }

    async fn stand(&self) -> Result<QueueStats, QueueError> {
        let is_empty = self.shared.window().depth == 0;
        let oldest = if is_empty { None } else { self.read(read::oldest).await.unwrap_or_default() };
        let age = oldest.map_or(0, |oldest| now_ms().saturating_sub(oldest));
        let window = self.shared.window();
        Ok(QueueStats {
            depth: window.depth,
            functions: window.functions.clone(),
            in_flight: window.schedule.in_flight(),
            oldest_seconds: if window.depth == 0 { 0.0 } else { Duration::from_millis(age).as_secs_f64() },
            dead_letters: window.dead.len(),
            unreadable: window.unreadable.len(),
            totals: window.totals,
        })
    }

    async fn list_calls(&self, limit: usize) -> Result<Vec<QueuedCall>, QueueError> {
        self.writer.barrier().await?;
        let mut listed = self.read(move |disk| read::list(disk, limit)).await?;
        let window = self.shared.window();
        for call in &mut listed {
            call.in_flight = window.schedule.is_in_flight(call.id);
        }
        Ok(listed)
    }
}

/// The changes that accept a call under this number, and those that undo it.
fn numbered(put: Change, number: u64, hash: u128, accepted_ms: u64) -> writer::Changes {
    let mut changes = vec![put, Change::PutId { id: number, hash, accepted_ms }];
    let mut undo = vec![Change::RemoveId(number)];
    if let Change::PutCall { id, place, .. } = &mut changes[0] {
        *id = number;
        undo.push(Change::RemoveCall { id: number, place: place.clone() });
    }
    (changes, undo)
}

impl Store for RedbStore {
    fn accept(&self, call: Arc<Call>) -> BoxFuture<'_, Result<Accepted, QueueError>> {
        Box::pin(self.accept_call(call))
    }

    fn claim<'a>(
        &'a self,
        most: &'a (dyn Fn(&str) -> usize + Send + Sync),
    ) -> BoxFuture<'a, Result<Claim, QueueError>> {
        Box::pin(self.claim_call(most))
    }

    fn fetch<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Option<Arc<Call>>, QueueError>> {
        Box::pin(self.fetch_call(claim))
    }

    fn conclude(&self, claim: Claim, conclusion: Conclusion) -> BoxFuture<'_, Result<(), QueueError>> {
        self.conclude_call(&claim, conclusion);
        Box::pin(std::future::ready(Ok(())))
    }

    fn stats(&self) -> BoxFuture<'_, Result<QueueStats, QueueError>> {
        Box::pin(self.stand())
    }

    fn list(&self, limit: usize) -> BoxFuture<'_, Result<Vec<QueuedCall>, QueueError>> {
        Box::pin(self.list_calls(limit))
    }

    fn unreadable(&self) -> BoxFuture<'_, Result<Vec<(u64, String)>, QueueError>> {
        Box::pin(async move { Ok(self.shared.window().unreadable.clone()) })
    }

    fn letters(&self) -> BoxFuture<'_, Result<Vec<u64>, QueueError>> {
        Box::pin(async move { Ok(self.shared.window().dead.iter().map(|&(id, _)| id).collect()) })
    }

    fn letter(&self, id: u64) -> BoxFuture<'_, Result<Option<Letter>, QueueError>> {
        Box::pin(async move {
            // A recent dead letter may still wait to be written.
            self.writer.barrier().await?;
            self.read(move |disk| read::letter(disk, id)).await
        })
    }

    fn revive(&self, id: u64, due_ms: u64) -> BoxFuture<'_, Result<bool, QueueError>> {
        Box::pin(self.revive_letter(id, due_ms))
    }

    fn discard(&self, ids: Vec<u64>) -> BoxFuture<'_, Result<u64, QueueError>> {
        Box::pin(self.discard_letters(ids))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.shared.window().closed = true;
            self.shared.changed.notify_waiters();
            // Also wakes a task that has just looked and is about to wait.
            self.shared.changed.notify_one();
            self.writer.close().await;
        })
    }
}
