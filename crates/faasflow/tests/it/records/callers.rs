//! Callers who leave, call again, or wait while a request ends.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use faasflow::bytes::Bytes;
use faasflow::{BoxFuture, Scope, StateError, StateManager as _};

use super::*;
use crate::support::store::{Behaviour, Store};

/// Sends a request and leaves when this function is called.
async fn leave(kit: &Running, id: &str, function: &str) {
    kit.hold_function(function);
    let request = kit.request("x").header("x-faasflow-request-id", id).header("prefer", "wait=20");
    tokio::select! {
        _ = request.answer() => panic!("the function has not answered"),
        _ = kit.until_called(function, 1) => {}
    }
}

#[tokio::test]
async fn a_request_goes_on_if_its_caller_leaves() {
    let kit = remembering(chain()).start().await;
    leave(&kit, "w", "two").await;
    kit.release_function("two");
    let result = waited(&kit, "/_/requests/w/result").await;
    assert_eq!((result.status.as_u16(), result.text().as_str()), (200, "x"));
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [1, 1, 1]);
}

/// The connection is cut after the request has begun and before it is answered.
#[tokio::test]
async fn a_start_whose_answer_was_lost_can_be_repeated() {
    let kit = remembering(chain()).start().await;
    leave(&kit, "w", "one").await;
    kit.release_function("one");
    for prefer in ["wait=20", "wait=0"] {
        let request = kit.request("x").header("x-faasflow-request-id", "w").header("prefer", prefer);
        let answer = request.answer().await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "x"));
    }
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [1, 1, 1]);
}

#[tokio::test]
async fn nobody_misses_the_end_who_begins_to_wait_at_that_moment() {
    // Who misses the end waits for longer than the test does.
    let kit = remembering(chain()).function("three", Fake::echo().slow(Duration::from_millis(10)));
    let kit = kit.setting("write_timeout", "400s").start().await;
    let waits = (0..200u64).map(|number| {
        let kit = &kit;
        async move {
            let id = format!("w{number}");
            kit.request("x").header("x-faasflow-request-id", &id).answer().await;
            tokio::time::sleep(Duration::from_millis(number % 40)).await;
            let request = kit.request("").method(Method::GET).path(format!("/_/requests/{id}/result"));
            let answer = request.header("prefer", "wait=300").answer().await;
            assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "x"));
        }
    });
    futures_util::future::join_all(waits).await;
}

/// A store that does not show at first how a request has ended.
#[derive(Clone, Default)]
struct Late {
    memory: Memory,
    ended: Arc<Mutex<HashMap<String, Instant>>>,
    /// How often it was asked whether a request has ended.
    asked: Arc<AtomicUsize>,
}

impl Late {
    const BY: Duration = Duration::from_millis(500);
}

impl Behaviour for Late {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn supports_records(&self) -> bool {
        true
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        Box::pin(async move {
            let value = self.memory.get(scope, key).await?;
            if !key.starts_with("over@") {
                return Ok(value);
            }
            self.asked.fetch_add(1, SeqCst);
            if value.is_none() {
                return Ok(value);
            }
            let ended = *self.ended.lock().unwrap().entry(scope.request.clone()).or_insert_with(Instant::now);
            Ok(value.filter(|_| ended.elapsed() >= Late::BY))
        })
    }
}

#[tokio::test]
async fn a_caller_gets_the_result_from_a_store_that_shows_the_end_late() {
    let store = Late::default();
    let kit = remembering(phases(&["one", "two"]).state(Store(store.clone()))).start().await;
    kit.hold_queue();
    kit.request("x").header("x-faasflow-request-id", "w").answer().await;
    let before = store.asked.load(SeqCst);
    let (answer, ()) = tokio::join!(waited(&kit, "/_/requests/w/result"), async {
        // Once for the caller, and then by the task that waits.
        until(async || store.asked.load(SeqCst) >= before + 2).await;
        kit.release_queue();
    });
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "x"));
    assert_eq!(kit.calls("two").len(), 1);
}
