//! A stop lets requests in flight finish, even if they need the gateway for that, as flows do.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{PATIENCE, Recorder, listen, start, start_with, until, url};
use axum::Router;
use axum::body::Body;
use axum::routing::any;
use faasflow_http::{HttpClient, read_body};
use http::{Method, Request, StatusCode};
use tokio::sync::Notify;

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_still_reach_their_functions() {
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let gateway = Arc::new(std::sync::Mutex::new(String::new()));
    let outer = listen(Router::new().fallback(any({
        let (begun, go_on, gateway) = (begun.clone(), go_on.clone(), gateway.clone());
        move || {
            let (begun, go_on, gateway) = (begun.clone(), go_on.clone(), gateway.clone());
            async move {
                begun.notify_one();
                go_on.notified().await;
                let url = gateway.lock().unwrap().clone();
                let request = Request::post(format!("{url}/function/inner"));
                let answer = HttpClient::new(PATIENCE).send(request.body(Body::empty()).unwrap()).await;
                let body = match answer {
                    Ok(answer) => read_body(answer.into_body(), 1 << 20, PATIENCE).await.unwrap(),
                    Err(error) => error.to_string().into(),
                };
                Body::from(body)
            }
        }
    })))
    .await;
    let (functions, callbacks) = (Recorder::default(), Recorder::default());
    let (inner, callback) = (functions.listen().await, callbacks.listen().await);
    for route in ["function", "async-function"] {
        let fixture = start(&format!("{}{}", url("outer", outer.address), url("inner", inner.address))).await;
        *gateway.lock().unwrap() = fixture.gateway.url();
        let back = format!("http://{}/", callback.address);
        let headers = [("x-callback-url", back.as_str())];
        let request = fixture.request(Method::POST, &format!("/{route}/outer"), &headers, Body::empty());
        let asking = tokio::spawn({
            let client = fixture.client.clone();
            async move {
                let answer = client.send(request).await.unwrap();
                let status = answer.status();
                (status, read_body(answer.into_body(), 1 << 20, PATIENCE).await.unwrap())
            }
        });
        tokio::time::timeout(PATIENCE, begun.notified()).await.unwrap();
        let folder = fixture.folder;
        // The stop begins first, and then the function goes on.
        tokio::join!(biased; fixture.gateway.stop(), async { go_on.notify_one() });
        let answer = asking.await.unwrap();
        if route == "function" {
            assert_eq!(answer, (StatusCode::OK, "answer".into()));
        } else {
            assert_eq!(answer, (StatusCode::ACCEPTED, "".into()));
            // Its callback is delivered at the next start, unless it was delivered before the stop.
            let fixture = crate::support::start_in(folder, |_| {}).await.unwrap();
            assert_eq!(callbacks.until(1).await[0].body, "answer");
            fixture.gateway.stop().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_exceed_the_grace_period_are_delivered_at_the_next_start() {
    let called = Arc::new(Notify::new());
    let hangs = listen(Router::new().fallback(any({
        let called = called.clone();
        move || {
            called.notify_one();
            std::future::pending::<()>()
        }
    })))
    .await;
    let fixture = start_with(&url("f", hangs.address), |options| options.grace = Duration::from_millis(100)).await;
    assert_eq!(fixture.post("/async-function/f", "kept").await.status, StatusCode::ACCEPTED);
    tokio::time::timeout(PATIENCE, called.notified()).await.unwrap();
    let folder = fixture.folder;
    fixture.gateway.stop().await;
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    crate::support::write_stack(&folder, &url("f", function.address));
    let fixture = crate::support::start_in(folder, |_| {}).await.unwrap();
    assert_eq!(recorder.until(1).await[0].body, "kept");
    until("it is out of the queue", async || (fixture.gateway.queue().stats().await.unwrap().depth == 0).then_some(()))
        .await;
    fixture.gateway.stop().await;
}
