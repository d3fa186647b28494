//! For which functions and requests the dead letters are, so that a search does not read all of them again.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Queue;
use crate::call::bare_name;
use crate::error::QueueError;
use crate::letter::{self, Letter, LetterFilter};

/// The addressees of letters that have been read, by their numbers. A number always stands for the same call.
#[derive(Debug, Default)]
pub(crate) struct Addressees(Mutex<HashMap<u64, Addressee>>);

/// For which function and request a letter is.
#[derive(Debug)]
struct Addressee {
    function: Box<str>,
    request: Option<Box<str>>,
}

impl Addressees {
    /// Every operation leaves them consistent, so a poisoned lock can be ignored.
    fn known(&self) -> MutexGuard<'_, HashMap<u64, Addressee>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, id: u64, letter: &Letter) {
        let function = bare_name(letter.call.function()).into();
        let request = letter::request(&letter.call).map(|request| request.as_str().into());
        self.known().insert(id, Addressee { function, request });
    }

    /// Whether a letter is known to be for another function or request than those that are looked for.
    fn exclude(&self, id: u64, filter: &LetterFilter) -> bool {
        let is_for = |known: &Addressee| {
            filter.function.as_ref().is_none_or(|function| bare_name(function) == &*known.function)
                && (filter.request.is_none() || filter.request.as_deref() == known.request.as_deref())
        };
        self.known().get(&id).is_some_and(|known| !is_for(known))
    }
}

impl Queue {
    /// The numbers of the dead letters, oldest first, without those that are known to be for another function or request.
    pub(super) async fn letters_for(&self, filter: &LetterFilter) -> Result<Vec<u64>, QueueError> {
        let mut ids = self.store.letters().await?;
        let there: HashSet<u64> = ids.iter().copied().collect();
        self.addressees.known().retain(|id, _| there.contains(id));
        ids.retain(|&id| !self.addressees.exclude(id, filter));
        Ok(ids)
    }

    /// Reads a dead letter, and notes for whom it is.
    pub(super) async fn read_letter(&self, id: u64) -> Result<Option<Letter>, QueueError> {
        let letter = self.store.letter(id).await?;
        if let Some(letter) = &letter {
            self.addressees.note(id, letter);
        }
        Ok(letter)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;
    use crate::call::NewCall;
    use crate::letter::Selection;
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
