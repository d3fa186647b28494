//! Phases that are executed one after the other while the caller of a request waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use faasflow::bytes::Bytes;
use faasflow::{BoxFuture, Memory, Scope, StateError, StateManager};
use faasflow_core::state::{Condition, Version};
use faasflow_testkit::{Fake, RecordedCall, Running, TestKit};
use http::Method;
use serde_json::Value;

use super::support::store::{Behaviour, Store};
use super::support::{phases, until};

async fn start(state: impl StateManager, two: Fake) -> Running {
    let flow = phases(&["one", "two", "three"]).state(state);
    let kit = TestKit::new(flow.build().unwrap()).setting("records", "on");
    kit.function("one", Fake::echo()).function("two", two).function("three", Fake::echo()).start().await
}

#[tokio::test]
async fn results_are_written_while_a_slow_call_runs() {
    let kit = start(Memory::new(), Fake::echo()).await;
    kit.hold_function("two");
    let asking = kit.request("x").header("x-faasflow-request-id", "slow").header("prefer", "wait=50").answer();
    let looking = async {
        let is_written = async || {
            let answer = kit.request("").method(Method::GET).path("/_/requests/slow").answer().await;
            let status = serde_json::from_str::<Value>(&answer.text()).unwrap_or_default();
            status["places"][0]["status"] == "done"
        };
        until(is_written).await;
        kit.release_function("two");
    };
    let (answer, ()) = tokio::join!(asking, looking);
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "x"));
    assert!(kit.until_delivered(0).await.is_empty(), "nothing went through the queue");
}

/// A store in which another delivery writes another result of the second phase.
#[derive(Clone, Default)]
struct Contested {
    memory: Memory,
    was_written: Arc<AtomicBool>,
}

impl Behaviour for Contested {
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
            if key == "result/2" && !self.was_written.swap(true, SeqCst) {
                let other = [&value[..value.len() - 1], b"y"].concat();
                self.memory.set_if(scope, key, other.into(), condition.clone()).await?;
            }
            self.memory.set_if(scope, key, value, condition).await
        })
    }
}

#[tokio::test]
async fn a_result_that_another_delivery_has_recorded_stands() {
    let kit = start(Store(Contested::default()), Fake::echo()).await;
    let answer = kit.request("x").header("prefer", "wait=20").answer().await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "y"));
    let called = |name| kit.calls(name).iter().map(RecordedCall::text).collect::<Vec<_>>();
    assert_eq!(called("three").last().map(String::as_str), Some("y"));
}
