//! What a flow function takes on at once.

use std::time::Duration;

use crate::support::raw::Raw;
use faasflow::{Flow, Retry};
use faasflow_testkit::{Answer, Fake, Running, TestKit};

async fn kit(fake: Fake, settings: &[(&str, &str)]) -> Running {
    let kit = TestKit::new(Flow::builder().apply("f").build().unwrap()).function("f", fake);
    settings.iter().fold(kit, |kit, (name, value)| kit.setting(*name, *value)).start().await
}

/// Refused, and told when to come again.
fn refused(answer: &Answer) {
    assert_eq!(answer.status, 503, "{answer:?}");
    let seconds: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=5).contains(&seconds), "{seconds}");
    assert_eq!(answer.headers["x-faasflow-busy"], "true");
}

#[tokio::test]
async fn r7_requests_beyond_the_limit_are_refused_and_health_is_not() {
    let kit = kit(Fake::hanging(), &[("max_inflight_requests", "2")]).await;
    let both = async { tokio::join!(kit.request("1").answer(), kit.request("2").answer()) };
    let third = async {
        kit.until_called("f", 2).await;
        refused(&kit.request("3").answer().await);
        // One that a queue delivers is refused as well, before it is looked at.
        let envelope = kit.request("3").header("content-type", "application/vnd.faasflow.envelope");
        refused(&envelope.answer().await);
        for path in ["/_/health", "/_/ready", "/_/flow"] {
            let mut client = Raw::connect(&kit).await;
            client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
            assert!(client.rest().await.starts_with("HTTP/1.1 200 "), "{path}");
        }
    };
    tokio::select! {
        _ = both => panic!("the function hangs"),
        () = third => {}
    }
    assert_eq!(kit.calls("f").len(), 2, "nothing was executed");
}

#[tokio::test]
async fn r7_bytes_beyond_the_limit_are_refused_before_they_are_read() {
    let kit = kit(Fake::hanging(), &[("max_inflight_bytes", "4MiB")]).await;
    let first = async { kit.request(vec![7; 3 << 20]).answer().await };
    let others = async {
        kit.until_called("f", 1).await;
        refused(&kit.request(vec![7; 1 << 20]).answer().await);
        let head = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
        // One that asks before it sends is told at once.
        let mut asking = Raw::connect(&kit).await;
        asking.send(format!("{head}expect: 100-continue\r\ncontent-length: 1000000\r\n\r\n")).await;
        let answer = asking.rest().await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: "), "{answer}");
        // What comes in chunks counts as it comes.
        let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
        let (_, answer) = Raw::connect(&kit).await.stream(&chunked, 1 << 20, true).await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: "), "{answer}");
        // It would never fit.
        let never = kit.request(vec![7; 5 << 20]).answer().await;
        assert_eq!(never.status, 413);
        let text = String::from_utf8_lossy(&never.body).into_owned();
        assert!(text.contains("4194304 bytes") && text.contains("max_inflight_bytes"), "{text}");
    };
    tokio::select! {
        _ = first => panic!("the function hangs"),
        () = others => {}
    }
}

#[tokio::test]
async fn r7_answers_wait_for_room_and_all_come_through() {
    let large = Fake::answer(vec![7; 3 << 20]).slow(Duration::from_millis(20));
    let kit = kit(large, &[("max_inflight_bytes", "4MiB")]).await;
    let answers = futures_util::future::join_all((0..8).map(|_| kit.request("x").answer())).await;
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 3 << 20));
    }
}

/// Each holds what it sent, for its retries, and waits for room for what comes: one gives way, and is told so.
#[tokio::test]
async fn r7_requests_that_wait_for_each_other_do_not_wait_for_ever() {
    let step = || faasflow::Call::new("f").retry(Retry::attempts(2)).sync();
    let flow = Flow::builder().apply(step()).apply(step()).build().unwrap();
    let kit = TestKit::new(flow).function("f", Fake::answer(vec![7; 3 << 20]));
    let kit = kit.setting("max_inflight_bytes", "7MiB").setting("write_timeout", "12s").start().await;
    let answers = futures_util::future::join_all((0..4).map(|_| kit.request("x").answer())).await;
    assert!(
        answers.iter().any(|answer| answer.status == 200),
        "{:?}",
        answers.iter().map(|a| a.status).collect::<Vec<_>>()
    );
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(answer.status, 503);
        assert!(answer.headers.contains_key("retry-after"));
    }
    assert_eq!(kit.request("x").answer().await.status, 200, "nothing is held any more");
}
