//! The flow, run to its end.

use faasflow_testkit::TestKit;

#[tokio::test]
async fn it_greets() {
    // Functions that the flow calls are faked here: `.function("shout", Fake::echo())`.
    let kit = TestKit::new(flow::define().unwrap()).start().await;
    let end = kit.request("Ada").send().await;
    assert_eq!(end.text(), "Hello, Ada!");
}
