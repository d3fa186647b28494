//! Runs the public conformance suite on the state manager in memory. The others need a server: `cargo xtask e2e state`.

use std::time::Duration;

use bytes::Bytes;
use faasflow_core::state::{Scope, StateManager as _};
use faasflow_state::Memory;
use faasflow_testkit::conformance;

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    let memory = Memory::new();
    let report = conformance::check(memory.clone()).await;
    report.assert();
    assert!(report.supports_conditions() && report.supports_end_request());
    assert!(report.supports_records() && report.supports_watches());
    assert_eq!(memory.request_count(), 0, "the checks remove what they write");
}

#[tokio::test]
async fn what_outlives_a_request_is_removed_after_its_time() {
    let memory = Memory::new();
    let scope = |request: &str| Scope { flow: "f".into(), request: request.into() };
    for request in ["short", "long", "again"] {
        memory.set(&scope(request), "over@0", Bytes::from("x")).await.unwrap();
        memory.set(&scope(request), "result/1", Bytes::from("x")).await.unwrap();
        memory.end_request(&scope(request), Duration::from_secs(1)).await.unwrap();
    }
    memory.end_request(&scope("long"), Duration::MAX).await.unwrap();
    memory.end_request(&scope("again"), Duration::from_secs(3600)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(memory.request_count(), 2);
    assert_eq!(memory.get(&scope("short"), "over@0").await.unwrap(), None);
    assert!(memory.get(&scope("again"), "over@0").await.unwrap().is_some());
}
