//! Results of phases that are executed in one invocation, and are written together.
//!
//! While its caller waits, an asynchronous flow is like one with synchronous calls, whose results are not recorded either before
//! all of them are there. So results are not written one by one, but all at once: before the request ends or goes on in the
//! queue, and after [`WRITE_AFTER`] at the latest. If the process dies before, the phases of this time are executed again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use faasflow_core::state::{Key, Scope, StateError, StateManager as _};
use tokio::time::Instant;

use crate::retrying_state::{PAUSE, RetryingState, UNKNOWN_IN_A_ROW};

/// How long a result may wait until it is written, and how long one relies on what was read about the request.
pub(crate) const WRITE_AFTER: Duration = Duration::from_millis(20);

/// Results that are not written yet, in the order of their phases.
#[derive(Debug, Default)]
pub(crate) struct Unwritten(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    results: Vec<(Key, Bytes)>,
    /// When it was last seen that nobody else has done anything about the request.
    alone_at: Option<Instant>,
}

/// Why results are not written.
#[derive(Debug)]
pub(crate) enum NotWritten {
    /// Another delivery has written another value under this key.
    Taken(Key, Bytes),
    /// The store cannot be used.
    Store(StateError),
}

impl Unwritten {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.contents().results.is_empty()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Bytes> {
        let contents = self.contents();
        contents.results.iter().find(|(of, _)| of == key).map(|(_, value)| value.clone())
    }

    /// Adds a value, which is written after the others.
    pub(crate) fn push(&self, key: Key, value: Bytes) {
        self.contents().results.push((key, value));
    }

    /// Notes what was just read about the request: whether there was nothing.
    pub(crate) fn looked(&self, is_alone: bool) {
        self.contents().alone_at = is_alone.then(Instant::now);
    }

    /// Whether the next phase may begin without reading about the request again.
    pub(crate) fn is_alone(&self) -> bool {
        let contents = self.contents();
        !contents.results.is_empty() && contents.alone_at.is_some_and(|at| at.elapsed() < WRITE_AFTER)
    }

    fn written(&self, count: usize) {
        self.contents().results.drain(..count);
    }

    /// Writes all of them in their order. If one cannot be written because of another value, it and those after it are given up.
    pub(crate) async fn write(&self, manager: &RetryingState, scope: &Scope) -> Result<(), NotWritten> {
        let mut unknown = 0;
        loop {
            let results = self.contents().results.clone();
            let Some((first, _)) = results.first() else { return Ok(()) };
            let values: Vec<_> = results.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
            let created = match manager.create_in_order(scope, &values).await {
                Ok(created) => {
                    self.written(created);
                    created
                }
                Err(error) if !error.is_temporary() || unknown + 1 >= UNKNOWN_IN_A_ROW => {
                    return Err(NotWritten::Store(error));
                }
                Err(_) => {
                    tokio::time::sleep(PAUSE).await;
                    0
                }
            };
            let Some((key, value)) = results.get(created) else { return Ok(()) };
            unknown = if key == first { unknown + 1 } else { 1 };
            match manager.get(scope, key.as_str()).await.map_err(NotWritten::Store)? {
                // An attempt without an answer has written it.
                Some(found) if found == *value => self.written(1),
                Some(found) => {
                    let key = key.clone();
                    self.contents().results.clear();
                    return Err(NotWritten::Taken(key, found));
                }
                None if unknown >= UNKNOWN_IN_A_ROW => {
                    let detail = format!("it refuses to create `{key}`, but does not show what is there");
                    return Err(NotWritten::Store(StateError::temporary(detail)));
                }
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use faasflow_core::graph::Place;
    use faasflow_core::handler::BoxFuture;
    use faasflow_core::machine::forked::result_key;
    use faasflow_core::state::StateManager;

    use super::*;
    use crate::testing::Shelf;

    fn scope() -> Scope {
        Scope { flow: "flow".to_owned(), request: "r".to_owned() }
    }

    fn key(phase: usize) -> Key {
        result_key(&Place::from(phase))
    }

    fn unwritten(phases: std::ops::Range<usize>) -> Unwritten {
        let unwritten = Unwritten::default();
        phases.for_each(|phase| unwritten.push(key(phase), phase.to_string().into()));
        unwritten
    }

    /// A store whose writes have no answer this often.
    #[derive(Default)]
    struct Unanswered(Shelf, AtomicUsize);

    impl StateManager for Unanswered {
        fn name(&self) -> &str {
            "unanswered"
        }

        fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
            self.0.get(scope, key)
        }

        fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
            self.0.set(scope, key, value)
        }

        fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
            self.0.remove(scope, key)
        }

        fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
            self.0.remove_request(scope)
        }

        fn create_in_order<'a>(
            &'a self,
            scope: &'a Scope,
            values: &'a [(&'a str, Bytes)],
        ) -> BoxFuture<'a, Result<usize, StateError>> {
            Box::pin(async move {
                let fails = self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
                if !fails {
                    return self.0.create_in_order(scope, values).await;
                }
                // Only the first was written.
                self.0.create_in_order(scope, &values[..1]).await?;
                Err(StateError::temporary("the connection was lost"))
            })
        }
    }

    async fn write(manager: Arc<dyn StateManager>, unwritten: &Unwritten) -> Result<(), NotWritten> {
        let manager = RetryingState::new(manager, Instant::now() + Duration::from_secs(60));
        unwritten.write(&manager, &scope()).await
    }

    #[tokio::test(start_paused = true)]
    async fn all_are_written() {
        let shelf = Shelf::default();
        let unwritten = unwritten(1..4);
        write(Arc::new(shelf.clone()), &unwritten).await.unwrap();
        assert!(unwritten.is_empty());
        for phase in 1..4 {
            assert_eq!(shelf.get(&scope(), key(phase).as_str()).await.unwrap().unwrap(), phase.to_string());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_a_value_of_another_delivery_is_not_written() {
        let shelf = Shelf::default();
        shelf.set(&scope(), key(2).as_str(), Bytes::from("other")).await.unwrap();
        let unwritten = unwritten(1..4);
        let Err(NotWritten::Taken(taken, found)) = write(Arc::new(shelf.clone()), &unwritten).await else { panic!() };
        assert_eq!((taken, found), (key(2), Bytes::from("other")));
        assert!(unwritten.is_empty());
        let there = shelf.get_many(&scope(), &[key(1).as_str(), key(3).as_str()]).await.unwrap();
        assert_eq!(there, [Some(Bytes::from("1")), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn writes_without_an_answer_are_read_back() {
        let manager = Arc::new(Unanswered(Shelf::default(), AtomicUsize::new(2)));
        let unwritten = unwritten(1..4);
        write(manager.clone(), &unwritten).await.unwrap();
        let there = manager.0.get_many(&scope(), &[key(1).as_str(), key(3).as_str()]).await.unwrap();
        assert_eq!(there, [Some(Bytes::from("1")), Some(Bytes::from("3"))]);

        let manager = Arc::new(Unanswered(Shelf::default(), AtomicUsize::new(usize::MAX)));
        assert!(matches!(write(manager, &self::unwritten(1..9)).await, Err(NotWritten::Store(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_read_is_relied_on_for_a_short_time() {
        let unwritten = unwritten(1..2);
        assert!(!unwritten.is_alone());
        unwritten.looked(true);
        assert!(unwritten.is_alone());
        tokio::time::advance(WRITE_AFTER).await;
        assert!(!unwritten.is_alone());
        unwritten.looked(true);
        unwritten.looked(false);
        assert!(!unwritten.is_alone());
    }
}
