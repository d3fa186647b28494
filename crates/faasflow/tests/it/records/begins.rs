//! How requests begin: ids that are used again, starts that are interrupted, and callers that wait.

use std::sync::Mutex;

use faasflow::bytes::Bytes;
use faasflow::{BoxFuture, Scope, StateError, StateManager as _};

use super::*;
use crate::support::store::{Behaviour, Store};

#[tokio::test]
async fn an_id_whose_record_has_expired_cannot_be_used_again() {
    let kit = remembering(chain()).setting("keep_records", "5s").start().await;
    let start = || kit.request("x").header("x-faasflow-request-id", "order-17");
    start().answer().await;
    assert_eq!(waited(&kit, "/_/requests/order-17/result").await.text(), "x");
    until(async || get(&kit, "/_/requests/order-17").await.status == 410).await;
    // Directly, from a caller that waits, and twice from a queue.
    let queued = || start().header("x-call-id", "c").header("x-callback-url", "http://localhost/done");
    for again in [start(), start().header("prefer", "wait=5"), queued(), queued()] {
        let answer = again.answer().await;
        assert_eq!((answer.status.as_u16(), answer.header("x-faasflow-error-code")), (410, Some("FF0417")));
        assert_quoted(code::REQUEST_EXPIRED, answer.json::<Value>()["reason"].as_str().unwrap());
        contract::check(&kit, "POST", "/", &answer).await;
    }
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [1, 1, 1]);
    assert_eq!(get(&kit, "/_/requests/order-17").await.status, 410);
    assert_eq!(get(&kit, "/_/requests/order-17/result").await.status, 410);
}

/// Two processes of a flow with the same store. The first step fails in one of them for a passing reason. Its calls are held.
async fn two_processes(store: &Polled) -> (Running, Running) {
    let of = |first: Fake, store: Polled| {
        // A delivery that waits for the end of another one would wait for longer than the test does.
        let kit = remembering(phases(&["one", "two"]).state(Store(store))).setting("write_timeout", "300s");
        kit.function("one", first)
    };
    let fails = Fake::answer(Reply::new("").status(503).header("retry-after", "3600"));
    let apart = Polled { memory: store.memory.clone(), ..Polled::default() };
    let both = (of(fails, apart).start().await, of(Fake::echo(), store.clone()).start().await);
    both.0.hold_function("one");
    both
}

/// A store that counts how often a process reads several values, as one does that waits for another.
#[derive(Clone, Default)]
struct Polled {
    memory: Memory,
    reads: Arc<AtomicUsize>,
}

impl Behaviour for Polled {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn supports_records(&self) -> bool {
        true
    }

    fn get_many<'a>(
        &'a self,
        scope: &'a Scope,
        keys: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        self.reads.fetch_add(1, SeqCst);
        self.memory.get_many(scope, keys)
    }
}

async fn start(kit: &Running, headers: &[(&str, &str)]) -> Answer {
    let request = kit.request("x").header("x-faasflow-request-id", "b");
    headers.iter().fold(request, |request, (name, value)| request.header(name, value)).answer().await
}

#[tokio::test]
async fn a_delivery_that_is_given_up_leaves_the_request_to_the_one_that_has_taken_over() {
    let (first, second) = two_processes(&Polled::default()).await;
    second.hold_function("one");
    let taken_over = async {
        first.until_called("one", 1).await;
        start(&second, &[("x-call-id", "c")]).await
    };
    let given_up = async {
        second.until_called("one", 1).await;
        first.release_function("one");
    };
    let given_up = async {
        let (given_up, ()) = tokio::join!(start(&first, &[("x-call-id", "c")]), given_up);
        second.release_function("one");
        given_up
    };
    let (given_up, taken_over) = tokio::join!(given_up, taken_over);
    assert_eq!((given_up.status.as_u16(), taken_over.status.as_u16()), (503, 202));
    assert_eq!(waited(&second, "/_/requests/b/result").await.text(), "x");
    assert_eq!(status(&second, "b").await["status"], "success");
    assert_eq!(["one", "two"].map(|name| second.calls(name).len()), [1, 1]);
}

#[tokio::test]
async fn a_start_begins_anew_if_the_one_before_it_is_given_up() {
    let store = Polled::default();
    let (first, second) = two_processes(&store).await;
    let again = async {
        first.until_called("one", 1).await;
        let before = store.reads.load(SeqCst);
        let waits = async {
            until(async || store.reads.load(SeqCst) >= before + 4).await;
            first.release_function("one");
        };
        tokio::join!(start(&second, &[]), waits).0
    };
    let (given_up, again) = tokio::join!(start(&first, &[]), again);
    assert_eq!((given_up.status.as_u16(), again.status.as_u16()), (503, 202));
    assert_eq!(waited(&second, "/_/requests/b/result").await.text(), "x");
    assert_eq!(["one", "two"].map(|name| second.calls(name).len()), [1, 1]);
}

/// A store that notes the keys that are set.
#[derive(Clone, Default)]
struct Noting {
    memory: Memory,
    keys: Arc<Mutex<Vec<String>>>,
}

impl Behaviour for Noting {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn supports_records(&self) -> bool {
        true
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        self.keys.lock().unwrap().push(key.to_owned());
        self.memory.set(scope, key, value)
    }
}

#[tokio::test]
async fn a_request_whose_id_is_taken_stores_nothing() {
    let store = Noting::default();
    let kit = remembering(Flow::builder().state(Store(store.clone())).apply("one").apply("two")).start().await;
    let start = |body: String| kit.request(body).header("x-faasflow-request-id", "l").answer();
    assert_eq!(start("a".repeat(200_000)).await.status, 202);
    assert_eq!(waited(&kit, "/_/requests/l/result").await.status, 200);
    let before = store.keys.lock().unwrap().clone();
    assert!(!before.is_empty(), "the body is too small to be stored by itself");
    assert_eq!(start("b".repeat(200_000)).await.status, 409);
    assert_eq!(*store.keys.lock().unwrap(), before);
}

#[tokio::test]
async fn a_caller_whose_request_is_stopped_does_not_wait_any_longer() {
    // The caller would wait for longer than the test does.
    let kit = remembering(chain()).function("two", Fake::hanging()).setting("write_timeout", "400s").start().await;
    let (answer, ()) = tokio::join!(
        kit.request("x").header("x-faasflow-request-id", "s").header("prefer", "wait=300").answer(),
        async {
            kit.until_called("two", 1).await;
            assert_eq!(did(&kit, "/_/requests/s/stop").await["status"], "stopped");
        }
    );
    assert_eq!((answer.status.as_u16(), answer.outcome()), (409, Some(Outcome::Stopped)), "{}", answer.text());
    assert_eq!(answer.header("x-faasflow-request-id"), Some("s"));
    contract::check(&kit, "POST", "/", &answer).await;
}

#[tokio::test]
async fn callers_that_only_wait_keep_no_envelope_out() {
    const WAITERS: usize = 8;
    let branches = ["one", "two"].map(|name| (name, Flow::builder().apply(name)));
    let flow = Flow::builder().state(Memory::new()).parallel(branches);
    let kit = remembering(flow).setting("max_inflight_requests", "3").start().await;
    kit.hold_queue();
    let waits = (0..WAITERS).map(|number| {
        let kit = &kit;
        async move {
            // Each begins when the one before it only waits.
            until(async || kit.queued().len() == 2 * number).await;
            let id = format!("w{number}");
            kit.request("1").header("x-faasflow-request-id", id).header("prefer", "wait=50").answer().await
        }
    });
    let (answers, ()) = tokio::join!(futures_util::future::join_all(waits), async {
        kit.until_queued(2 * WAITERS).await;
        kit.release_queue();
    });
    for answer in answers {
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, r#"{"one":1,"two":1}"#));
    }
}
