//! The queue: a store, and the policy of deliveries.

use std::sync::Arc;

use faasflow_http::now_ms;

use crate::call::{Accepted, Call, NewCall};
use crate::error::QueueError;
use crate::letter::{self, DeadLetter, DeadLetterSummary, Letter, LetterFilter, Selection};
use crate::policy::options::QueueOptions;
use crate::stats::{QueueStats, QueuedCall};
use crate::store::Store;
use addressees::Addressees;

mod addressees;
pub(crate) mod run;

/// A queue over a [`Store`]. Cloning is cheap and yields the same queue.
#[derive(Clone, Debug)]
pub struct Queue {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) options: Arc<QueueOptions>,
    addressees: Arc<Addressees>,
}

impl Queue {
    /// Makes a queue over this store. Options of the store, such as the window of duplicates, were set when it was opened.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, options: QueueOptions) -> Queue {
        Queue { store, options: Arc::new(options), addressees: Arc::default() }
    }

    /// Opens the queue in the file at `path`. Creates the file if it does not exist.
    ///
    /// # Errors
    ///
    /// If the file is damaged, belongs to another program or a newer version, is open in another process, or cannot be written. In
    /// none of these cases is anything deleted or replaced.
    #[cfg(feature = "redb")]
    pub fn open(path: &std::path::Path, options: QueueOptions) -> Result<Queue, QueueError> {
        let store = crate::redb::RedbStore::open(path, options.clone())?;
        Ok(Queue::new(Arc::new(store), options))
    }

    /// Accepts a call. When this returns, the call is in the store; with a store in a file, it is on disk.
    ///
    /// # Errors
    ///
    /// If the body is too large, or the call cannot be written. Nothing of it is in the queue then.
    pub async fn enqueue(&self, call: NewCall) -> Result<Accepted, QueueError> {
        let limit = self.options.max_body;
        if call.body.len() > limit {
            return Err(QueueError::TooLarge { size: call.body.len(), limit });
        }
        self.store.accept(Arc::new(Call::new(call))).await
    }

    /// The state of the queue.
    ///
    /// # Errors
    ///
    /// If the store cannot be asked now.
    pub async fn stats(&self) -> Result<QueueStats, QueueError> {
        self.store.stats().await
    }

    /// The records that cannot be read, with their numbers and what is wrong with them. They stay in the store.
    ///
    /// # Errors
    ///
    /// If the store cannot be asked now.
    pub async fn unreadable(&self) -> Result<Vec<(u64, String)>, QueueError> {
        self.store.unreadable().await
    }

    /// The first `limit` calls and callbacks, in the order of acceptance.
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
        self.find_dead_letters(&LetterFilter::default(), limit).await
    }

    /// The newest `limit` of the dead letters that a filter includes, newest first. A letter that was read before, and that the filter
    /// does not include, is not read again.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn find_dead_letters(
        &self,
        filter: &LetterFilter,
        limit: usize,
    ) -> Result<Vec<DeadLetterSummary>, QueueError> {
        let mut letters = Vec::new();
        for id in self.letters_for(filter).await?.into_iter().rev() {
            if letters.len() >= limit {
                break;
            }
            let letter = self.read_letter(id).await?.map(|letter| letter::summary(id, &letter));
            letters.extend(letter.filter(|letter| filter.includes(&letter.function, letter.request.as_deref())));
        }
        Ok(letters)
    }

    /// One dead letter in full; `None` if there is none with this number.
    ///
    /// # Errors
    ///
    /// If the store cannot be read.
    pub async fn dead_letter(&self, id: u64) -> Result<Option<DeadLetter>, QueueError> {
        Ok(self.store.letter(id).await?.map(|letter| letter::whole(id, &letter)))
    }

    /// Puts dead letters back into the queue, `per_second` of them each second, or all at once. Returns how many. At every moment,
    /// each of them is either a dead letter or a call in the store.
    ///
    /// # Errors
    ///
    /// If the store cannot be read or written. Letters that were already moved stay in the queue.
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
        let filter = LetterFilter { function: which.function.clone(), request: None };
        let mut selected = self.letters_for(&filter).await?;
        selected.retain(|id| which.ids.as_ref().is_none_or(|ids| ids.contains(id)));
        if which.function.is_none() {
            return Ok(selected);
        }
        let mut of_function = Vec::new();
        for id in selected {
            if self.read_letter(id).await?.is_some_and(|letter| filter.includes(letter.call.function(), None)) {
                of_function.push(id);
            }
        }
        Ok(of_function)
    }

    /// The numbers of the dead letters, oldest first, without those that are known to be for another function or request.
    async fn letters_for(&self, filter: &LetterFilter) -> Result<Vec<u64>, QueueError> {
        let mut ids = self.store.letters().await?;
        self.addressees.keep(&ids);
        ids.retain(|&id| !self.addressees.exclude(id, filter));
        Ok(ids)
    }

    /// Reads a dead letter, and notes what it is for.
    async fn read_letter(&self, id: u64) -> Result<Option<Letter>, QueueError> {
        let letter = self.store.letter(id).await?;
        if let Some(letter) = &letter {
            self.addressees.note(id, letter);
        }
        Ok(letter)
    }

    /// Writes what is pending and closes the store. Later calls are refused.
    pub async fn close(self) {
        self.store.close().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;
    use crate::call::NewCall;
    use crate::memory::MemoryStore;
    use crate::policy::options::QueueOptions;
    use crate::store::Conclusion;

    async fn found(queue: &Queue, function: Option<&str>, request: Option<&str>) -> Vec<String> {
        let filter = LetterFilter { function: function.map(str::to_owned), request: request.map(str::to_owned) };
        let letters = queue.find_dead_letters(&filter, 9).await.unwrap();
        letters.into_iter().map(|letter| letter.call_id).collect()
    }

    /// Adds a dead letter, and returns its number.
    async fn kill(queue: &Queue, call_id: &str, function: &str) -> u64 {
        let (path, query, headers) = (String::new(), None, HeaderMap::new());
        let (call_id, function) = (call_id.to_owned(), function.to_owned());
        let call = NewCall { call_id, function, path, query, headers, body: Bytes::new(), callback_url: None };
        queue.enqueue(call).await.unwrap();
        let claim = queue.store.claim(&|_| 9).await.unwrap();
        let call = queue.store.fetch(&claim).await.unwrap().unwrap();
        let letter = Box::new(Letter::new((*call).clone(), String::new(), 1, None));
        let id = claim.id;
        queue.store.conclude(claim, Conclusion::Dead { letter, callback: None }).await.unwrap();
        id
    }

    #[tokio::test]
    async fn letters_that_are_known_to_be_for_others_are_not_read_again() {
        let options = QueueOptions::default();
        let queue = Queue::new(Arc::new(MemoryStore::new(options.clone())), options);
        kill(&queue, "a", "f").await;
        let other = kill(&queue, "b", "g").await;
        for _ in 0..2 {
            assert_eq!(found(&queue, Some("f.openfaas-fn"), None).await, ["a"]);
            assert_eq!(found(&queue, Some("g"), Some("b")).await, ["b"]);
            assert_eq!(found(&queue, None, Some("a")).await, ["a"]);
            assert_eq!(found(&queue, Some("g"), Some("a")).await, [""; 0]);
        }
        kill(&queue, "c", "f.openfaas-fn").await;
        assert_eq!(found(&queue, Some("f"), None).await, ["c", "a"], "a new one is found as well");

        // If this were read again, it would be found.
        queue.addressees.known().get_mut(&other).unwrap().function = "f".into();
        assert_eq!(found(&queue, Some("g"), None).await, [""; 0]);
        assert_eq!(found(&queue, Some("f"), None).await, ["c", "a"], "what is listed is read");
        assert_eq!(found(&queue, Some("g"), None).await, ["b"], "and noted");

        let ids = Some(vec![other]);
        assert_eq!(queue.discard(&Selection { ids, function: Some("g".to_owned()) }).await.unwrap(), 1);
        assert_eq!(found(&queue, None, None).await, ["c", "a"]);
        assert_eq!(queue.addressees.known().len(), 2, "those that are gone are forgotten");
    }
}
