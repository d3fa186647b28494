//! Runs the flow from beginning to end.

use faasflow_testkit::TestKit;

#[tokio::test]
async fn it_greets() {
    // Replace the functions that the flow calls with fakes: `.function("shout", Fake::echo())`.
    let kit = TestKit::new(flow::define().unwrap()).start().await;
    let end = kit.request("Ada").send().await;
    assert_eq!(end.text(), "Hello, Ada!");
}
