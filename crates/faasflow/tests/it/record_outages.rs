//! What requests that are remembered ask of their store, and stores that go away while one begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use faasflow::bytes::Bytes;
use faasflow::{BoxFuture, Flow, Memory, Outcome, Scope, StateError, StateManager as _};
use faasflow_core::state::{Condition, Version};
use faasflow_testkit::{Fake, Running, TestKit};

use super::support::store::{Behaviour, Store};

/// What happens to the writes that begin a request.
#[derive(Clone, Copy)]
enum Fault {
    /// They are lost.
    Lost,
    /// They are done, but their answers are lost.
    Unanswered,
}

/// A store that fails this often when a request begins.
#[derive(Clone)]
struct Unsteady {
    memory: Memory,
    fault: Fault,
    left: Arc<AtomicUsize>,
}

impl Unsteady {
    fn new(fault: Fault, times: usize) -> Unsteady {
        Unsteady { memory: Memory::new(), fault, left: Arc::new(AtomicUsize::new(times)) }
    }
}

impl Behaviour for Unsteady {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn supports_records(&self) -> bool {
        true
    }

    fn begin_request<'a>(
        &'a self,
        scope: &'a Scope,
        started_ms: u64,
        key: &'a str,
        value: Bytes,
    ) -> BoxFuture<'a, Result<bool, StateError>> {
        Box::pin(async move {
            let fails = self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
            if !fails {
                return self.memory.begin_request(scope, started_ms, key, value).await;
            }
            if let Fault::Unanswered = self.fault {
                self.memory.begin_request(scope, started_ms, key, value).await?;
            }
            Err(StateError::temporary("the connection was lost"))
        })
    }
}

async fn start(state: Unsteady) -> Running {
    let flow = Flow::builder().state(Store(state)).apply("one").apply("two").build().unwrap();
    let kit = TestKit::new(flow).setting("records", "on");
    kit.function("one", Fake::echo()).function("two", Fake::echo()).start().await
}

#[tokio::test]
async fn a_store_that_is_away_for_a_moment_does_not_keep_a_request_from_beginning() {
    for fault in [Fault::Lost, Fault::Unanswered] {
        let kit = start(Unsteady::new(fault, 2)).await;
        let answer = kit.request("x").header("prefer", "wait=20").answer().await;
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "x"));
        assert_eq!(["one", "two"].map(|name| kit.calls(name).len()), [1, 1]);
    }
}

#[tokio::test]
async fn a_store_that_never_begins_a_request_is_given_up() {
    let kit = start(Unsteady::new(Fault::Lost, usize::MAX)).await;
    let answer = kit.request("x").answer().await;
    assert_eq!((answer.status.as_u16(), answer.header("x-faasflow-error-code")), (503, Some("FF0501")));
    assert!(kit.calls("one").is_empty());
}

/// A store that counts the operations that a flow waits for.
#[derive(Clone, Default)]
struct Counted {
    memory: Memory,
    reads: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
}

impl Behaviour for Counted {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn supports_records(&self) -> bool {
        true
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        self.reads.fetch_add(1, SeqCst);
        self.memory.get(scope, key)
    }

    fn get_many<'a>(
        &'a self,
        scope: &'a Scope,
        keys: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        self.reads.fetch_add(1, SeqCst);
        self.memory.get_many(scope, keys)
    }

    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        value: Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        self.writes.fetch_add(1, SeqCst);
        self.memory.set_if(scope, key, value, condition)
    }
}

/// The reads and writes of a request of this many phases, in which nothing goes wrong.
async fn operations(phases: usize) -> (usize, usize) {
    let store = Counted::default();
    let flow = (0..phases).fold(Flow::builder().state(Store(store.clone())), |flow, _| flow.apply("one"));
    let kit = TestKit::new(flow.build().unwrap()).function("one", Fake::echo()).start().await;
    kit.request("x").send().await;
    kit.until_delivered(phases - 1).await;
    (store.reads.load(SeqCst), store.writes.load(SeqCst))
}

#[tokio::test]
async fn each_further_phase_reads_once_and_writes_once() {
    let (few, many) = (operations(3).await, operations(10).await);
    assert_eq!((many.0 - few.0, many.1 - few.1), (7, 7));
}

/// A store whose next read gets no answer once a test says so.
#[derive(Clone, Default)]
struct Stalling {
    memory: Memory,
    stalls: Arc<AtomicBool>,
}

impl Behaviour for Stalling {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn supports_records(&self) -> bool {
        true
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        Box::pin(async move {
            if self.stalls.swap(false, SeqCst) {
                std::future::pending::<()>().await;
            }
            self.memory.get(scope, key).await
        })
    }
}

/// The store takes half of the time of a delivery. What is left is too little for a function that would be quick enough
/// otherwise. The request must not fail for that.
#[tokio::test]
async fn time_that_an_outage_of_the_store_takes_does_not_fail_a_step() {
    for settings in
        [[("records", "on"), ("keep_state", "false")], [("records", "off"), ("intermediate_storage", "true")]]
    {
        let store = Stalling::default();
        let flow = Flow::builder().state(Store(store.clone())).apply("one").apply("two").build().unwrap();
        let kit = TestKit::new(flow).setting("write_timeout", "4s").setting(settings[0].0, settings[0].1);
        let kit = kit.setting(settings[1].0, settings[1].1).function("one", Fake::echo());
        let kit = kit.function("two", Fake::echo().slow(Duration::from_millis(2200))).start().await;
        kit.hold_queue();
        let (end, ()) = tokio::join!(kit.request("x").send(), async {
            kit.until_queued(1).await;
            store.stalls.store(true, SeqCst);
            kit.release_queue();
        });
        assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Success), "x"), "{settings:?}");
        assert_eq!(kit.calls("two").len(), 2, "{settings:?}: the first delivery was cut off");
    }
}
