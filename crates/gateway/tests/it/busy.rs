//! Functions that take only so many requests at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Fixture, PATIENCE, Recorder, folder, listen, start, start_in, start_with, until, url};
use axum::Router;
use axum::body::Body;
use axum::routing::any;
use faasflow_gateway::Stack;
use faasflow_http::read_body;
use http::{Method, StatusCode};
use serde_json::json;
use tokio::sync::Semaphore;

// `$$` is one `$` in a stack file.
const WAITS: &str = "sh -c 'touch begun.$$$$; until [ -e go ]; do sleep 0.02; done; echo work'";

fn begun(fixture: &Fixture) -> usize {
    let names = std::fs::read_dir(fixture.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("begun.")).count()
}

/// Sends requests, and answers with what they are answered.
fn send(fixture: &Fixture, path: &str, count: usize) -> Vec<tokio::task::JoinHandle<StatusCode>> {
    let request = || {
        let request = fixture.request(Method::POST, path, &[], Body::from("x"));
        let client = fixture.client.clone();
        tokio::spawn(async move {
            let answer = client.send(request).await.unwrap();
            let status = answer.status();
            read_body(answer.into_body(), 1 << 20, PATIENCE).await.unwrap();
            status
        })
    };
    (0..count).map(|_| request()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn h7_one_command_does_not_starve_another() {
    let stack = format!("slow:\n  fprocess: {}\nquick:\n  fprocess: cat\n", json!(WAITS));
    let fixture = start(&stack).await;
    // More than may run at once. These wait, and are not refused.
    let slow = send(&fixture, "/function/slow", 70);
    until("as many run as may", async || (begun(&fixture) == 64).then_some(())).await;
    assert_eq!(fixture.post("/function/quick", "at once").await.text(), "at once");
    assert_eq!(begun(&fixture), 64);
    std::fs::write(fixture.folder.path().join("go"), "").unwrap();
    for answer in slow {
        assert_eq!(answer.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(begun(&fixture), 70);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h7_the_limit_of_a_command_may_be_larger() {
    let stack = format!("slow:\n  fprocess: {}\n  environment: {{max_inflight: 66}}\n", json!(WAITS));
    let fixture = start(&stack).await;
    let slow = send(&fixture, "/function/slow", 66);
    until("all of them run", async || (begun(&fixture) == 66).then_some(())).await;
    assert_eq!(fixture.post("/function/slow", "x").await.status, StatusCode::TOO_MANY_REQUESTS);
    std::fs::write(fixture.folder.path().join("go"), "").unwrap();
    for answer in slow {
        assert_eq!(answer.await.unwrap(), StatusCode::OK);
    }
    fixture.gateway.stop().await;
}

/// An HTTP function that waits, and how many it has.
async fn waiting(permits: Arc<Semaphore>, now: Arc<AtomicUsize>, most: Arc<AtomicUsize>) -> crate::support::TestServer {
    listen(Router::new().fallback(any(move || {
        let (permits, now, most) = (permits.clone(), now.clone(), most.clone());
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            permits.acquire().await.unwrap().forget();
            now.fetch_sub(1, Ordering::SeqCst);
            "answer"
        }
    })))
    .await
}

fn limited(name: &str, most: usize, rest: &str) -> String {
    format!("{}  environment: {{max_inflight: {most}}}\n", rest.replace("NAME", name))
}

#[tokio::test(flavor = "multi_thread")]
async fn h8_a_command_at_its_limit_is_429() {
    let rest = format!("NAME:\n  fprocess: {}\n", json!(WAITS));
    let fixture = start(&limited("f", 1, &rest)).await;
    let first = send(&fixture, "/function/f", 1);
    until("the first runs", async || (begun(&fixture) == 1).then_some(())).await;
    // Also where the body is large, and with the namespace in the name.
    for (path, size) in [("/function/f", 1), ("/function/f.openfaas-fn", 10_000_000)] {
        let got = fixture.post(path, vec![b'x'; size]).await;
        assert_eq!(got.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(got.header("retry-after"), Some("1"));
        assert_eq!(got.header("x-openfaas-internal"), Some("proxy"));
        assert!(got.text().contains("it handles 1 request, as many as its `max_inflight` allows"), "{}", got.text());
    }
    assert_eq!(begun(&fixture), 1);
    std::fs::write(fixture.folder.path().join("go"), "").unwrap();
    for answer in first {
        assert_eq!(answer.await.unwrap(), StatusCode::OK);
    }
    // One after the other, each as soon as the one before is answered, they all have a place.
    for _ in 0..20 {
        assert_eq!(fixture.post("/function/f", "x").await.status, StatusCode::OK);
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h8_an_http_function_at_its_limit_is_429() {
    let (permits, now, most) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default(), Arc::default());
    let function = waiting(permits.clone(), now.clone(), most).await;
    let fixture = start(&limited("f", 2, &url("f", function.address))).await;
    let first = send(&fixture, "/function/f", 2);
    until("two are there", async || (now.load(Ordering::SeqCst) == 2).then_some(())).await;
    let got = fixture.post("/function/f", "x").await;
    assert_eq!((got.status, got.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, Some("1")));
    permits.add_permits(1000);
    for answer in first {
        assert_eq!(answer.await.unwrap(), StatusCode::OK);
    }
    for _ in 0..200 {
        assert_eq!(fixture.post("/function/f", "x").await.status, StatusCode::OK);
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h8_a_caller_that_leaves_an_http_function_frees_its_place() {
    let (permits, now, most) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default(), Arc::default());
    let function = waiting(permits.clone(), now.clone(), most).await;
    let fixture = start(&limited("f", 1, &url("f", function.address))).await;
    let first = send(&fixture, "/function/f", 1);
    until("it is there", async || (now.load(Ordering::SeqCst) == 1).then_some(())).await;
    for asking in first {
        asking.abort();
        let _ = asking.await;
    }
    permits.add_permits(1000);
    until("there is a place", async || (fixture.post("/function/f", "x").await.status == StatusCode::OK).then_some(()))
        .await;
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h8_the_queue_delivers_all_and_no_more_than_the_limit_at_once() {
    // It makes a folder while it runs, which only one at a time can.
    let process = "sh -c 'mkdir lock || exit 9; sleep 0.01; rmdir lock; echo x >> ran'";
    let (permits, most) = (Arc::new(Semaphore::new(0)), Arc::<AtomicUsize>::default());
    let function = waiting(permits.clone(), Arc::default(), most.clone()).await;
    let rest = format!("NAME:\n  fprocess: {}\n", json!(process));
    let fixture =
        start(&(limited("command", 1, &rest) + &limited("server", 2, &url("server", function.address)))).await;
    for id in 0..40 {
        for name in ["command", "command.openfaas-fn", "server"] {
            let headers = [("x-call-id", format!("{name}-{id}"))];
            let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
            let got = fixture.send(Method::POST, &format!("/async-function/{name}"), &headers, "x").await;
            assert_eq!(got.status, StatusCode::ACCEPTED);
        }
    }
    permits.add_permits(1000);
    until("all are delivered", async || (fixture.gateway.queue().stats().await.unwrap().depth == 0).then_some(()))
        .await;
    let stats = fixture.gateway.queue().stats().await.unwrap();
    assert_eq!((stats.dead_letters, stats.totals.delivered, stats.totals.retried), (0, 120, 0), "{stats:?}");
    let ran = std::fs::read_to_string(fixture.folder.path().join("ran")).unwrap();
    assert_eq!(ran.lines().count(), 80);
    assert_eq!(most.load(Ordering::SeqCst), 2);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h8_the_queue_waits_while_a_caller_has_the_place() {
    let rest = format!("NAME:\n  fprocess: {}\n", json!(WAITS));
    let fixture = start_with(&limited("f", 1, &rest), |options| options.queue.max_attempts = 1).await;
    let first = send(&fixture, "/function/f", 1);
    until("the first runs", async || (begun(&fixture) == 1).then_some(())).await;
    fixture.post("/async-function/f", "x").await;
    until("it was put off", async || {
        (fixture.gateway.queue().stats().await.unwrap().totals.retried >= 2).then_some(())
    })
    .await;
    let queued = fixture.get("/system/queue/calls").await.json();
    assert_eq!(queued[0]["attempt"], json!(1), "{queued}");
    std::fs::write(fixture.folder.path().join("go"), "").unwrap();
    until("it is delivered", async || {
        (fixture.gateway.queue().stats().await.unwrap().totals.delivered == 1).then_some(())
    })
    .await;
    assert_eq!(fixture.gateway.queue().stats().await.unwrap().dead_letters, 0);
    for answer in first {
        assert_eq!(answer.await.unwrap(), StatusCode::OK);
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h8_a_429_of_the_function_itself_is_retried_later() {
    let recorder = Recorder::default();
    recorder.answers("/", &[[429; 8].as_slice(), &[200]].concat());
    let function = recorder.listen().await;
    let fixture = start(&url("f", function.address)).await;
    fixture.post("/async-function/f", "x").await;
    recorder.until(9).await;
    until("it is delivered", async || {
        (fixture.gateway.queue().stats().await.unwrap().totals.delivered == 1).then_some(())
    })
    .await;
    assert_eq!(fixture.gateway.queue().stats().await.unwrap().dead_letters, 0);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h8_a_limit_that_is_not_a_number_is_an_error_at_the_start() {
    let folder = folder("f:\n  fprocess: cat\n  environment: {max_inflight: some}\n");
    let fault = Stack::read(folder.path()).unwrap_err().to_string();
    assert!(fault.contains("function `f`: `environment`: `max_inflight` (stack.yml) is `some`"), "{fault}");
    let folder = crate::support::folder("f:\n  fprocess: cat\n");
    let fixture = start_in(folder, |_| {}).await.unwrap();
    let deployment = json!({ "service": "g", "envProcess": "cat", "envVars": { "max_inflight": "some" } });
    let headers = [("content-type", "application/json")];
    let got = fixture.send(Method::POST, "/system/functions", &headers, deployment.to_string()).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert!(got.text().contains("`max_inflight` is `some`"), "{}", got.text());
    fixture.gateway.stop().await;
}
