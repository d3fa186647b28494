//! Runs the public conformance suite on the state manager in memory. The others need a server: `cargo xtask e2e state`.

use faasflow_state::Memory;
use faasflow_testkit::conformance;

#[tokio::test(flavor = "multi_thread")]
async fn memory_conforms() {
    let memory = Memory::new();
    let report = conformance::check(memory.clone()).await;
    report.assert();
    assert!(report.supports_conditions());
    assert_eq!(memory.request_count(), 0, "the checks remove what they write");
}
