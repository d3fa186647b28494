//! Bodies go through as they come, in both directions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{PATIENCE, listen, start, until, url};
use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

/// A body whose parts are sent as they are given.
fn given() -> (mpsc::UnboundedSender<&'static str>, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let parts = stream::unfold(receiver, |mut receiver: mpsc::UnboundedReceiver<&'static str>| async move {
        let part = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(Bytes::from(part)), receiver))
    });
    (sender, Body::from_stream(parts))
}

/// The next part of a body, `None` at its end.
async fn part(body: &mut hyper::body::Incoming) -> Option<Bytes> {
    let frame = tokio::time::timeout(PATIENCE, body.frame()).await.expect("a part comes");
    frame.map(|frame| frame.unwrap().into_data().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_begins_while_the_request_is_still_sent() {
    let echo = listen(Router::new().fallback(any(|request: Request<Body>| async move {
        Body::from_stream(request.into_body().into_data_stream())
    })))
    .await;
    let fixture = start(&url("echo", echo.address)).await;
    let (sender, body) = given();
    sender.send("one").unwrap();
    // Each part must come back before the next one is sent: nothing on the way may wait for the whole.
    let mut answer = fixture.open(fixture.request(Method::POST, "/function/echo", &[], body)).await.into_body();
    assert_eq!(part(&mut answer).await.unwrap(), "one");
    for text in ["two", "three"] {
        sender.send(text).unwrap();
        assert_eq!(part(&mut answer).await.unwrap(), text);
    }
    drop(sender);
    assert_eq!(part(&mut answer).await, None);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_byte_arrives_before_the_last_is_made() {
    let go_on = Arc::new(tokio::sync::Notify::new());
    let function = listen(Router::new().fallback(any({
        let go_on = go_on.clone();
        move || {
            let go_on = go_on.clone();
            let rest = stream::once(async move {
                go_on.notified().await;
                Ok::<_, std::io::Error>(Bytes::from("last"))
            });
            async move { Body::from_stream(stream::iter([Ok(Bytes::from("first"))]).chain(rest)) }
        }
    })))
    .await;
    let fixture = start(&url("f", function.address)).await;
    let mut answer = fixture.open(fixture.request(Method::GET, "/function/f", &[], Body::empty())).await.into_body();
    assert_eq!(part(&mut answer).await.unwrap(), "first");
    go_on.notify_one();
    assert_eq!(part(&mut answer).await.unwrap(), "last");
    assert_eq!(part(&mut answer).await, None);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_download_is_not_kept() {
    const PART: usize = 1 << 20;
    const PARTS: usize = 512;
    let made = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let function = listen(Router::new().fallback(any({
        let made = made.clone();
        move || {
            let made = made.clone();
            let parts = stream::iter(0..PARTS).map(move |_| {
                made.fetch_add(1, Ordering::SeqCst);
                Ok::<_, std::io::Error>(Bytes::from(vec![7; PART]))
            });
            async move { Body::from_stream(parts) }
        }
    })))
    .await;
    let fixture = start(&url("f", function.address)).await;
    let mut answer = fixture.open(fixture.request(Method::GET, "/function/f", &[], Body::empty())).await.into_body();
    let mut read = part(&mut answer).await.unwrap().len();
    // Nobody reads on. The function is held up once the sockets' buffers are full, or else all of it was taken in.
    let mut before = usize::MAX;
    until("the function is held up", async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = made.load(Ordering::SeqCst);
        (std::mem::replace(&mut before, now) == now).then_some(())
    })
    .await;
    let ahead = made.load(Ordering::SeqCst);
    assert!(ahead < PARTS / 2, "{ahead} of {PARTS} MiB were made while one was read");
    while let Some(bytes) = part(&mut answer).await {
        read += bytes.len();
    }
    assert_eq!(read, PART * PARTS);
    fixture.gateway.stop().await;
}

/// Notices that it is dropped.
struct DropFlag(Arc<AtomicBool>);

impl Drop for DropFlag {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_takes_its_request_along() {
    let (begun, gone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let function = listen(Router::new().fallback(any({
        let (begun, gone) = (begun.clone(), gone.clone());
        move || {
            let (begun, gone) = (begun.clone(), DropFlag(gone.clone()));
            async move {
                let _gone = gone;
                begun.store(true, Ordering::SeqCst);
                std::future::pending::<()>().await;
            }
        }
    })))
    .await;
    let fixture = start(&url("f", function.address)).await;
    let mut stream = tokio::net::TcpStream::connect(fixture.gateway.address()).await.unwrap();
    stream.write_all(b"GET /function/f HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    until("the function is called", async || begun.load(Ordering::SeqCst).then_some(())).await;
    drop(stream);
    until("the function is told", async || gone.load(Ordering::SeqCst).then_some(())).await;
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_is_seen_to_break_off() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // It breaks off once its head has arrived: before that, there would be no answer at all.
    let (arrived, has_arrived) = tokio::sync::oneshot::channel::<()>();
    let function = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
        has_arrived.await.unwrap();
    });
    let fixture = start(&url("f", address)).await;
    let answer = fixture.open(fixture.request(Method::GET, "/function/f", &[], Body::empty())).await;
    assert_eq!(answer.status(), StatusCode::OK);
    arrived.send(()).unwrap();
    assert!(answer.into_body().collect().await.is_err(), "half an answer is no answer");
    function.await.unwrap();
    fixture.gateway.stop().await;
}
