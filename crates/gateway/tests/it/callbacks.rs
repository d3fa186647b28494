//! Where callbacks go: credentials and redirections.

use http::Method;
use serde_json::{Value, json};

use crate::support::raw::RawServer;
use crate::support::{Fixture, Recorder, start, until, url};

async fn call(fixture: &Fixture, callback: &str) {
    let headers = [("x-callback-url", callback), ("x-faasflow-callback-url", callback)];
    let accepted = fixture.send(Method::POST, "/async-function/f", &headers, "x").await;
    assert_eq!(accepted.status, 202, "{}", accepted.text());
}

async fn dead_letter(fixture: &Fixture) -> Value {
    let id = until("a dead letter", async || {
        let letters = fixture.get("/system/queue/dead-letters").await.json();
        letters.as_array().unwrap().first().map(|letter| letter["id"].clone())
    })
    .await;
    fixture.get(&format!("/system/queue/dead-letters/{id}")).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn h12_credentials_of_a_callback_url_are_sent_and_shown_nowhere() {
    let function = Recorder::default();
    let listening = function.listen().await;
    let receiver = Recorder::default();
    receiver.answers("/taken", &[200]);
    receiver.answers("/refused", &[400]);
    let receiving = receiver.listen().await;
    let fixture = start(&url("f", listening.address)).await;
    for (path, count) in [("taken", 1), ("refused", 2)] {
        call(&fixture, &format!("http://me:s3%63ret%40@{}/{path}", receiving.address)).await;
        let got = receiver.until(count).await.pop().unwrap();
        // `me:s3cret@`
        assert_eq!(
            (got.target.as_str(), got.header("authorization")),
            (&*format!("/{path}"), Some("Basic bWU6czNjcmV0QA=="))
        );
        let seen = function.until(count).await.pop().unwrap();
        assert_eq!(seen.header("x-callback-url"), Some(&*format!("http://{}/{path}", receiving.address)));
    }
    let letter = dead_letter(&fixture).await.to_string();
    assert!(letter.contains("/refused") && !letter.contains("s3%63") && !letter.contains("bWU6"), "{letter}");

    // A call that fails keeps what was asked for with it.
    function.answers("/", &[500]);
    let fixture = start(&url("f", listening.address)).await;
    call(&fixture, &format!("http://me:s3%63ret%40@{}/taken", receiving.address)).await;
    let letter = dead_letter(&fixture).await.to_string();
    assert!(letter.contains("/taken") && !letter.contains("s3%63"), "{letter}");
    let events = format!("{:?}", fixture.events.lock().unwrap());
    assert!(!events.contains("s3%63"), "{events}");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h13_a_callback_follows_redirections_with_its_payload() {
    let function = Recorder::default();
    let listening = function.listen().await;
    let receiver = Recorder::default();
    let receiving = receiver.listen().await;
    let to = format!("http://{}/there", receiving.address);
    let redirecting = RawServer::answering(move |head| {
        let status = head.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
        let to = if status == "loop" { "/loop" } else { &to };
        let status = if status == "loop" { "302".to_owned() } else { status };
        format!("HTTP/1.1 {status} x\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").into_bytes()
    })
    .await;
    let fixture = start(&url("f", listening.address)).await;
    for (count, status) in [301, 302, 307, 308, 303].into_iter().enumerate() {
        call(&fixture, &format!("http://u:p@{}/{status}", redirecting.address)).await;
        let got = receiver.until(count + 1).await.pop().unwrap();
        let expected = if status == 303 { (Method::GET, "") } else { (Method::POST, "answer") };
        assert_eq!((got.method.clone(), std::str::from_utf8(&got.body).unwrap()), expected, "{status}");
        assert_eq!((got.target.as_str(), got.header("x-function-status")), ("/there", Some("200")), "{status}");
        assert_eq!(got.header("authorization"), None, "{status}: they are for the first host");
    }
    until("all are delivered", async || (fixture.gateway.queue().stats().await.unwrap().depth == 0).then_some(()))
        .await;
    assert_eq!(fixture.gateway.queue().stats().await.unwrap().dead_letters, 0);
    let before = redirecting.heads().len();
    call(&fixture, &format!("http://{}/loop", redirecting.address)).await;
    let letter = dead_letter(&fixture).await;
    assert_eq!((&letter["status"], &letter["attempts"]), (&json!(302), &json!(1)));
    assert!(letter["reason"].as_str().unwrap().contains("it redirects"), "{letter}");
    assert_eq!(redirecting.heads().len(), before + 11);
    fixture.gateway.stop().await;
}
