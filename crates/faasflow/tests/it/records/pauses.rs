//! Requests that are paused for longer than something may take.

use std::sync::atomic::AtomicBool;

use faasflow::bytes::Bytes;
use faasflow::{BoxFuture, Scope, StateError};
use faasflow_core::machine::forked::Control;
use faasflow_core::state::{Condition, StateManager as _, Version};

use super::*;
use crate::support::store::{Behaviour, Store};

/// How long an item may take.
const WITHIN: Duration = Duration::from_secs(4);

/// A for-each of two phases whose second one is paused for longer than an item may take.
async fn paused(kit: TestKit) -> Running {
    let kit = kit.start().await;
    kit.hold_function("one");
    kit.request("[1]").header("x-faasflow-request-id", "p").answer().await;
    kit.until_called("one", 1).await;
    assert_eq!(did(&kit, "/_/requests/p/pause").await["status"], "paused");
    kit.release_function("one");
    kit.until_idle().await;
    tokio::time::sleep(WITHIN).await;
    assert!(kit.calls("two").is_empty());
    assert_eq!(did(&kit, "/_/requests/p/resume").await["status"], "running");
    kit
}

fn two_phases() -> TestKit {
    let items = ForEach::new(Flow::builder().apply("one").apply("two")).within(WITHIN);
    remembering(Flow::builder().state(Memory::new()).for_each(items))
}

#[tokio::test]
async fn the_time_limit_of_an_item_stands_still_during_a_pause() {
    let kit = paused(two_phases()).await;
    let result = waited(&kit, "/_/requests/p/result").await;
    assert_eq!((result.status.as_u16(), result.text().as_str()), (200, "[1]"));
}

/// An item that was posted again had no time limit any more.
#[tokio::test]
async fn an_item_has_a_time_limit_after_a_pause() {
    let kit = paused(two_phases().function("two", Fake::hanging())).await;
    let result = waited(&kit, "/_/requests/p/result").await;
    assert_eq!(result.status, 500, "{}", result.text());
    assert_eq!(result.json::<Value>()["reason"], "item 1 failed: no answer within 4s");
}

#[tokio::test]
async fn a_caller_does_not_wait_longer_because_of_a_pause() {
    let kit = remembering(chain()).start().await;
    kit.hold_queue();
    kit.request("x").header("x-faasflow-request-id", "p").answer().await;
    did(&kit, "/_/requests/p/pause").await;
    let begun = std::time::Instant::now();
    let request = kit.request("").method(Method::GET).path("/_/requests/p/result").header("prefer", "wait=1");
    let answer = request.answer().await;
    assert_eq!((answer.status.as_u16(), &answer.json::<Value>()["status"]), (202, &json!("paused")));
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
}

/// The records of a request are kept for a time after its end, not after its start.
#[tokio::test]
async fn a_request_that_is_paused_does_not_expire() {
    let kit = remembering(chain()).setting("keep_records", "5s").start().await;
    kit.hold_queue();
    kit.request("x").header("x-faasflow-request-id", "p").answer().await;
    did(&kit, "/_/requests/p/pause").await;
    tokio::time::sleep(Duration::from_millis(5500)).await;
    did(&kit, "/_/recover?older=0s").await;
    assert_eq!(status(&kit, "p").await["status"], "paused");
    kit.release_queue();
    did(&kit, "/_/requests/p/resume").await;
    assert_eq!(waited(&kit, "/_/requests/p/result").await.text(), "x");
    until(async || get(&kit, "/_/requests/p").await.status == 410).await;
}

/// It made the phases in progress run a second time.
#[tokio::test]
async fn resuming_a_request_that_is_not_paused_does_nothing() {
    let kit = remembering(chain()).start().await;
    kit.hold_function("two");
    kit.request("x").header("x-faasflow-request-id", "p").answer().await;
    kit.until_called("two", 1).await;
    kit.hold_queue();
    let before = kit.queued().len();
    for _ in 0..3 {
        assert_eq!(did(&kit, "/_/requests/p/resume").await["status"], "running");
    }
    assert_eq!(kit.queued().len(), before, "nothing is posted again");
    kit.release_function("two");
    kit.release_queue();
    assert_eq!(waited(&kit, "/_/requests/p/result").await.text(), "x");
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [1, 1, 1]);
}

/// Only what has met the pause is posted again. What was in progress all the time is not.
#[tokio::test]
async fn a_short_pause_makes_nothing_run_twice() {
    let branches = [("a", Flow::builder().apply("one").apply("three")), ("b", Flow::builder().apply("two"))];
    let kit = remembering(Flow::builder().state(Memory::new()).parallel(branches)).start().await;
    kit.hold_function("one");
    kit.hold_function("two");
    kit.request("1").header("x-faasflow-request-id", "p").answer().await;
    kit.until_called("one", 1).await;
    kit.until_called("two", 1).await;
    did(&kit, "/_/requests/p/pause").await;
    did(&kit, "/_/requests/p/resume").await;
    did(&kit, "/_/requests/p/pause").await;
    // The first branch meets this pause.
    kit.release_function("one");
    kit.until_delivered(2).await;
    assert!(kit.calls("three").is_empty());
    kit.hold_queue();
    let before = kit.queued().len();
    did(&kit, "/_/requests/p/resume").await;
    assert_eq!(kit.queued().len(), before + 1);
    did(&kit, "/_/requests/p/pause").await;
    did(&kit, "/_/requests/p/resume").await;
    assert_eq!(kit.queued().len(), before + 1, "nothing has met this pause");
    kit.release_function("two");
    kit.release_queue();
    let result = waited(&kit, "/_/requests/p/result").await;
    assert_eq!((result.status.as_u16(), result.text().as_str()), (200, r#"{"a":1,"b":1}"#));
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [1, 1, 1]);
}

/// Another process pauses the request again as soon as it is resumed, once.
#[derive(Default)]
struct PausedAgain {
    memory: Memory,
    was: AtomicBool,
}

impl Behaviour for PausedAgain {
    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn supports_records(&self) -> bool {
        true
    }

    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        value: Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        Box::pin(async move {
            let written = self.memory.set_if(scope, key, value.clone(), condition).await?;
            if key == Control::key().as_str() {
                let control = Control::decode(Some(&value)).unwrap();
                if !control.paused && !self.was.swap(true, SeqCst) {
                    self.memory.set(scope, key, control.pausing().encode()).await?;
                }
            }
            Ok(written)
        })
    }
}

/// What had met the first pause was not posted by either resume.
#[tokio::test]
async fn a_pause_during_a_resume_loses_nothing() {
    let kit = remembering(phases(&["one", "two"]).state(Store(PausedAgain::default()))).start().await;
    kit.hold_queue();
    kit.request("x").header("x-faasflow-request-id", "p").answer().await;
    did(&kit, "/_/requests/p/pause").await;
    kit.release_queue();
    kit.until_idle().await;
    assert_eq!(did(&kit, "/_/requests/p/resume").await["status"], "paused");
    assert_eq!(did(&kit, "/_/requests/p/resume").await["status"], "running");
    assert_eq!(waited(&kit, "/_/requests/p/result").await.text(), "x");
    assert_eq!(kit.calls("two").len(), 1);
}
