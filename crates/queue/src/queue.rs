//! The queue: policy over a store.

use std::sync::Arc;

use faasflow_http::now_ms;

use crate::call::{Accepted, Call, NewCall};
use crate::error::QueueError;
use crate::letter::{self, DeadLetter, DeadLetterSummary, Selection};
use crate::policy::options::QueueOptions;
use crate::stats::{QueueStats, QueuedCall};
use crate::store::Store;

pub(crate) mod run;

/// A queue over a [`Store`]. Cloning is cheap and yields the same queue.
#[derive(Clone, Debug)]
pub struct Queue {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) options: Arc<QueueOptions>,
}

impl Queue {
    /// A queue over this store. Options that the store has to know, such as the window of duplicates, it was opened with.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, options: QueueOptions) -> Queue {
        Queue { store, options: Arc::new(options) }
    }

    /// Opens the queue in the file at `path`, creating it if it is not there, and takes up what it holds.
    ///
    /// # Errors
    ///
    /// If the file is damaged, of another program or of a newer version, is held by another process, or cannot be
    /// written. Nothing is deleted or replaced in any of these cases.
    #[cfg(feature = "redb")]
    pub fn open(path: &std::path::Path, options: QueueOptions) -> Result<Queue, QueueError> {
        let store = crate::redb::RedbStore::open(path, options.clone())?;
        Ok(Queue::new(Arc::new(store), options))
    }

    /// Accepts a call. When this returns, the store has it: the one in a file has it on disk.
    ///
    /// # Errors
    ///
    /// If the body is too large, or the call cannot be written. It is then not in the queue, in part or whole.
    pub async fn enqueue(&self, call: NewCall) -> Result<Accepted, QueueError> {
        let limit = self.options.max_body;
        if call.body.len() > limit {
            return Err(QueueError::TooLarge { size: call.body.len(), limit });
        }
        self.store.accept(Arc::new(Call::new(call))).await
    }

    /// How it stands.
    ///
    /// # Errors
    ///
    /// If the store cannot be asked now.
    pub async fn stats(&self) -> Result<QueueStats, QueueError> {
        self.store.stats().await
    }

    /// The records that cannot be read: their numbers and what is wrong. They stay in the store.
    ///
    /// # Errors
    ///
    /// If the store cannot be asked now.
    pub async fn unreadable(&self) -> Result<Vec<(u64, String)>, QueueError> {
        self.store.unreadable().await
    }

    /// The first `limit` calls and callbacks in it, in the order of acceptance.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn list(&self, limit: usize) -> Result<Vec<QueuedCall>, QueueError> {
        self.store.list(limit).await
    }

    /// The newest `limit` dead letters, newest first.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetterSummary>, QueueError> {
        let ids = self.store.letters().await?;
        let mut letters = Vec::new();
        for id in ids.into_iter().rev().take(limit) {
            if let Some(letter) = self.store.letter(id).await? {
                letters.push(letter::summary(id, &letter));
            }
        }
        Ok(letters)
    }

    /// One dead letter, whole; `None` if there is none of this number.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn dead_letter(&self, id: u64) -> Result<Option<DeadLetter>, QueueError> {
        Ok(self.store.letter(id).await?.map(|letter| letter::whole(id, &letter)))
    }

    /// Puts dead letters back into the queue, `per_second` of them each second, or all at once. Returns how many.
    /// Each is in the store as the one or the other at every moment.
    ///
    /// # Errors
    ///
    /// If the store cannot be read or written; those already moved are in the queue.
    pub async fn redrive(&self, which: &Selection, per_second: Option<u32>) -> Result<u64, QueueError> {
        let mut count = 0u64;
        for id in self.selected(which).await? {
            let wait = per_second.map_or(0, |rate| count * 1000 / u64::from(rate.max(1)));
            let due_ms = if wait == 0 { 0 } else { now_ms() + wait };
            if self.store.revive(id, due_ms).await? {
                count += 1;
            }
        }
        Ok(count)
    }

    /// Removes dead letters for good. Returns how many.
    ///
    /// # Errors
    ///
    /// If the store cannot be read or written.
    pub async fn discard(&self, which: &Selection) -> Result<u64, QueueError> {
        let selected = self.selected(which).await?;
        self.store.discard(selected).await
    }

    /// The numbers of the dead letters that are selected, oldest first.
    async fn selected(&self, which: &Selection) -> Result<Vec<u64>, QueueError> {
        let mut selected = self.store.letters().await?;
        selected.retain(|id| which.ids.as_ref().is_none_or(|ids| ids.contains(id)));
        if which.function.is_none() {
            return Ok(selected);
        }
        let mut of_function = Vec::new();
        for id in selected {
            if self.store.letter(id).await?.is_some_and(|letter| which.is_of(&letter)) {
                of_function.push(id);
            }
        }
        Ok(of_function)
    }

    /// Has the store put away what is pending, and closes it. Calls that arrive later are refused.
    pub async fn close(self) {
        self.store.close().await;
    }
}
