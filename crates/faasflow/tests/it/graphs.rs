//! Flows whose branches have asynchronous calls: they fork, go through the queue, and come together.

use std::time::Duration;

use faasflow::bytes::Bytes;
use faasflow::{
    Branches, Call, Choice, Complete, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Items, Json, Outcome,
};
use faasflow_testkit::{Fake, Reply, TestKit};

fn call(function: &str) -> FlowBuilder {
    Flow::builder().apply(function)
}

/// A function that answers `[input]`.
fn brackets() -> Fake {
    Fake::with(|call| format!("[{}]", call.text()))
}

#[tokio::test]
async fn two_branches_fork_and_join() {
    let flow = Flow::builder().parallel([("a", call("f")), ("b", call("g").apply("f"))]).build().unwrap();
    let kit = TestKit::new(flow).function("f", brackets()).function("g", Fake::echo()).start().await;
    let end = kit.request("1").send().await;
    assert_eq!((end.outcome(), end.text()), (Some(Outcome::Success), r#"{"a":[1],"b":[1]}"#.to_owned()));
    assert_eq!((kit.calls("f").len(), kit.calls("g").len()), (2, 1));
}
