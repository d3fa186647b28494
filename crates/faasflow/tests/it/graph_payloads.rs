//! The payloads of requests with asynchronous branches, in the state manager and in memory.

use std::sync::{Arc, Mutex};

use faasflow::bytes::Bytes;
use faasflow::{BoxFuture, Flow, FlowBuilder, Memory, Outcome, Scope, StateError, StateManager as _};
use faasflow_testkit::{Fake, Reply, TestKit};
use tokio::sync::Notify;

use super::support::store::{Behaviour, Store};

/// Remembers which payloads are read.
#[derive(Clone, Default)]
struct Watched {
    memory: Memory,
    read: Arc<Mutex<Vec<String>>>,
}

impl Behaviour for Watched {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        if key.starts_with("payload/") {
            self.read.lock().unwrap().push(key.to_owned());
        }
        self.memory.get(scope, key)
    }
}

const MIB: usize = 1 << 20;

/// A function that returns a text of this size.
fn large(size: usize) -> Fake {
    Fake::with(move |_| Reply::new(format!("\"{}\"", "x".repeat(size))))
}

fn two_branches() -> FlowBuilder {
    let branch = |function: &str| Flow::builder().apply(function);
    Flow::builder().parallel([("a", branch("a")), ("b", branch("b"))])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_request_ends_with_is_fetched_only_for_a_report() {
    for reported in [false, true] {
        let watched = Watched::default();
        let kit = TestKit::new(two_branches().apply("c").state(Store(watched.clone())).build().unwrap());
        let kit = ["a", "b", "c"].into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo()));
        let kit = kit.setting("intermediate_storage", "true").start().await;
        match reported {
            true => assert_eq!(kit.request("1").send().await.outcome(), Some(Outcome::Success)),
            false => assert_eq!(kit.request("1").answer().await.status, 202),
        }
        // Two branches, and the phase after them, which is also the join.
        kit.until_delivered(3).await;
        let read = watched.read.lock().unwrap().clone();
        // The input of each branch, their outputs, and the output of the last phase.
        assert_eq!(read.len(), if reported { 5 } else { 4 }, "reported: {reported}, {read:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_that_are_gathered_count_as_bytes_in_flight() {
    let flow = || two_branches().flow("all", Flow::builder().modify(async |_: ()| "joined").apply("c"));
    for (limit, fits) in [("16MiB", true), ("3MiB", false)] {
        let kit = TestKit::new(flow().state(Memory::new()).build().unwrap());
        let kit = kit.function("a", large(2 * MIB)).function("b", large(2 * MIB)).function("c", Fake::echo());
        let kit = kit.setting("max_inflight_bytes", limit).start().await;
        let end = kit.request("1").send().await;
        match fits {
            true => assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Success), "joined")),
            false => {
                assert_eq!(end.outcome(), Some(Outcome::Failure), "{}", end.text());
                assert!(end.text().contains("`max_inflight_bytes`"), "{}", end.text());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_without_room_for_its_outputs_comes_again() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enters, released) = (entered.clone(), release.clone());
    let flow = Flow::builder().modify(move |payload: Bytes| {
        let (enters, released) = (enters.clone(), released.clone());
        async move {
            if payload.len() > MIB {
                enters.notify_one();
                released.notified().await;
                drop(payload);
            }
            "small"
        }
    });
    let flow = flow.parallel([("a", Flow::builder().apply("a")), ("b", Flow::builder().apply("a"))]);
    let flow = flow.modify(async |_: ()| "joined").state(Memory::new());
    let kit = TestKit::new(flow.build().unwrap()).function("a", large(2 * MIB));
    let kit = kit.setting("max_inflight_bytes", "8MiB").start().await;
    let holds = kit.request(vec![b'x'; 5 * MIB]).answer();
    let waits = async {
        // The branches are delivered, and the join for the first time.
        let statuses = kit.until_delivered(3).await;
        assert!(statuses.iter().any(|status| status.as_u16() == 503), "{statuses:?}");
        release.notify_one();
    };
    let sends = async {
        entered.notified().await;
        kit.request("1").send().await
    };
    let (_, end, ()) = tokio::join!(holds, sends, waits);
    assert_eq!((end.outcome(), end.text().as_str()), (Some(Outcome::Success), "joined"));
}
