//! A gateway that goes away under a flow.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use faasflow::{Failure, Flow, Outcome};
use faasflow_testkit::{Fake, TestKit};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

/// The connection breaks before the answer: what the function did is unknown, and the gateway's restart no failure of
/// the flow. So a queue is told to deliver again, and no handler decides anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_breaks_off_is_a_passing_trouble() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let breaking = tokio::spawn({
        let asked = asked.clone();
        async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 1000]).await;
                asked.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let ended = Arc::new(AtomicUsize::new(0));
    let end = {
        let ended = ended.clone();
        move |_, _: Outcome| {
            ended.fetch_add(1, Ordering::SeqCst);
            async {}
        }
    };
    let flow = Flow::builder()
        .apply("f")
        .on_failure(async |_, failure: Failure| failure.recover("the handler is not asked"))
        .finally(end)
        .build()
        .unwrap();
    let kit = TestKit::new(flow).setting("gateway", address.to_string()).start().await;
    let answer = kit.request("x").answer().await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, Some("5")), "{}", answer.text());
    assert_eq!((asked.load(Ordering::SeqCst), ended.load(Ordering::SeqCst)), (1, 0), "asked once, and it goes on");
    breaking.abort();
}

/// Nobody listens for a moment, as in a restart: nothing was seen of the call, so it is made when it can be.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_started_again_meanwhile_is_waited_for() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let flow = Flow::builder().apply("f").build().unwrap();
    let elsewhere = TestKit::new(Flow::builder().apply("f").build().unwrap()).function("f", Fake::answer("back"));
    let elsewhere = elsewhere.start().await;
    let kit = TestKit::new(flow).setting("gateway", address.to_string()).start().await;
    let forwarding = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        let listener = TcpListener::bind(address).await.unwrap();
        let (mut from, _) = listener.accept().await.unwrap();
        let target = elsewhere.gateway_url().trim_start_matches("http://").to_owned();
        let mut to = tokio::net::TcpStream::connect(target).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
    });
    let answer = kit.request("x").answer().await;
    forwarding.abort();
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "back"));
}
