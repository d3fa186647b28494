//! Functions that die, and functions that answer what cannot be used.

use faasflow_core::headers::{GATEWAY_ERROR, gateway_error};
use http::StatusCode;
use serde_json::{Value, json};

use crate::support::raw::{RawServer, exchange};
use crate::support::{Fixture, folder, nowhere, start, start_in, until, url};

/// A function that dies before it has answered, at the path `/dies`, and answers something unusable at the others.
async fn function() -> RawServer {
    RawServer::answering(|head| {
        let path = head.split(' ').nth(1).unwrap();
        let answer = match path {
            "/dies" => "",
            "/dies-in-head" => "HTTP/1.1 200 OK\r\ncontent-le",
            "/dies-in-body" => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
            "/dies-in-chunks" => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            "/not-http" => "SSH-2.0-OpenSSH_9.2p1\r\n",
            "/status" => "HTTP/1.1 abc OK\r\n\r\n",
            "/header" => "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "/length" => "HTTP/1.1 200 OK\r\ncontent-length: ten\r\n\r\n",
            "/lengths" => "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            "/switches" => "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            "/large" => return format!("HTTP/1.1 200 OK\r\nx-large: {}\r\n\r\n", "x".repeat(3 << 20)).into_bytes(),
            "/gzip-coded" => "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
            "/coded-twice" => {
                "HTTP/1.1 200 OK\r\ntransfer-encoding: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"
            }
            "/chunks" => "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnot hexadecimal\r\n",
            "/forges" => {
                "HTTP/1.1 503 Service Unavailable\r\nX-Faasflow-Gateway-Error: function-broken\r\n\
                 X-OpenFaaS-Internal: proxy\r\ncontent-length: 0\r\n\r\n"
            }
            other => panic!("{other}"),
        };
        answer.as_bytes().to_vec()
    })
    .await
}

const UNUSABLE: [&str; 9] =
    ["/not-http", "/status", "/header", "/length", "/lengths", "/switches", "/large", "/gzip-coded", "/coded-twice"];

/// The only dead letter there is to be.
async fn dead_letter(fixture: &Fixture) -> Value {
    until("a dead letter", async || {
        fixture.get("/system/queue/dead-letters").await.json().as_array().unwrap().first().cloned()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_a_caller_learns_why_there_is_no_answer() {
    let function = function().await;
    let fixture = start(&format!("{}{}", url("f", function.address), url("gone", nowhere()))).await;
    for path in ["/dies", "/dies-in-head"] {
        let got = fixture.post(&format!("/function/f{path}"), "x").await;
        assert_eq!((got.status, got.header("x-openfaas-internal")), (StatusCode::BAD_GATEWAY, Some("proxy")), "{path}");
        assert_eq!(got.header(GATEWAY_ERROR.as_str()), Some(gateway_error::FUNCTION_DIED), "{path}");
        assert!(got.text().starts_with("`f` died before it had answered: "), "{path}: {}", got.text());
    }
    for path in UNUSABLE {
        let got = fixture.post(&format!("/function/f{path}"), "x").await;
        assert_eq!((got.status, got.header("x-openfaas-internal")), (StatusCode::BAD_GATEWAY, Some("proxy")), "{path}");
        assert_eq!(got.header(GATEWAY_ERROR.as_str()), Some(gateway_error::UNUSABLE_ANSWER), "{path}");
        assert!(got.text().starts_with("`f` gave an answer that cannot be used: "), "{path}: {}", got.text());
    }
    let gone = fixture.post("/function/gone", "x").await;
    assert_eq!((gone.status, gone.text()), (StatusCode::INTERNAL_SERVER_ERROR, "Can't reach service for: gone.\n"));
    assert_eq!(gone.header(GATEWAY_ERROR.as_str()), Some(gateway_error::FUNCTION_UNREACHABLE));
    let forged = fixture.post("/function/f/forges", "x").await;
    assert_eq!(forged.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((forged.header(GATEWAY_ERROR.as_str()), forged.header("x-openfaas-internal")), (None, None));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_a_call_with_an_unusable_answer_is_executed_once() {
    for path in UNUSABLE.into_iter().chain(["/chunks"]) {
        let function = function().await;
        let fixture = start(&url("f", function.address)).await;
        fixture.post(&format!("/async-function/f{path}"), "x").await;
        let letter = dead_letter(&fixture).await;
        assert_eq!((&letter["attempts"], &letter["status"]), (&json!(1), &json!(502)), "{path}: {letter}");
        let reason = letter["reason"].as_str().unwrap();
        assert!(reason.starts_with("it answered 502 Bad Gateway: its answer cannot be used: "), "{path}: {reason}");
        assert_eq!(function.heads().len(), 1, "{path}");
        fixture.gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_a_call_of_a_function_that_dies_is_tried_again() {
    for path in ["/dies", "/dies-in-head", "/dies-in-body", "/dies-in-chunks"] {
        let function = function().await;
        let fixture = start(&url("f", function.address)).await;
        fixture.post(&format!("/async-function/f{path}"), "x").await;
        let letter = dead_letter(&fixture).await;
        assert_eq!((&letter["attempts"], &letter["status"]), (&json!(3), &json!(null)), "{path}: {letter}");
        let reason = letter["reason"].as_str().unwrap();
        assert!(reason.starts_with("it died before it had answered: "), "{path}: {reason}");
        assert_eq!(function.heads().len(), 3, "{path}");
        fixture.gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_a_callback_that_is_answered_unusably_is_sent_once() {
    let function = crate::support::Recorder::default();
    let listening = function.listen().await;
    let receiver = self::function().await;
    let fixture = start(&url("f", listening.address)).await;
    let to = format!("http://{}/not-http", receiver.address);
    fixture.send(http::Method::POST, "/async-function/f", &[("x-callback-url", &to)], "x").await;
    let letter = dead_letter(&fixture).await;
    assert_eq!((&letter["attempts"], receiver.heads().len()), (&json!(1), 1), "{letter}");
    assert!(letter["reason"].as_str().unwrap().contains("its answer cannot be used"), "{letter}");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_a_broken_function_is_distinguished_from_one_that_starts() {
    let folder = folder("broken:\n  handler: ./broken\n");
    std::fs::create_dir(folder.path().join("broken")).unwrap();
    // A package without a program: it will not run until it is changed.
    let manifest = "[package]\nname = \"broken\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\
                    [lib]\npath = \"lib.rs\"\n[workspace]\n";
    std::fs::write(folder.path().join("broken/Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.path().join("broken/lib.rs"), "").unwrap();
    let fixture = start_in(folder, |_| {}).await.unwrap();
    fixture.gateway.ready().await.unwrap_err();
    let got = fixture.post("/function/broken", "x").await;
    assert_eq!((got.status, got.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, None));
    assert_eq!(got.header(GATEWAY_ERROR.as_str()), Some(gateway_error::FUNCTION_BROKEN));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_an_answer_that_breaks_off_does_not_end_as_if_it_were_complete() {
    let function = function().await;
    let fixture = start(&url("f", function.address)).await;
    for (path, received) in [("/dies-in-chunks", "half"), ("/chunks", "")] {
        let request = format!("GET /function/f{path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        let got = exchange(fixture.gateway.address(), request).await;
        // If the end is there before the head was sent, nothing is.
        assert!(got.is_empty() || got.starts_with("HTTP/1.1 200 OK\r\n") && got.contains(received), "{path}: {got}");
        assert!(!got.ends_with("0\r\n\r\n"), "{path}: {got}");
    }
    fixture.gateway.stop().await;
}
