//! What the gateway refuses: each refusal has one line that says why, and a code.

use faasflow_core::code::{self, Code};
use http::{Method, StatusCode};
use serde_json::json;

use crate::support::raw::exchange;
use crate::support::{Fixture, Got, folder, free_port, start, start_with, until};

const STACK: &str = "f:\n  fprocess: cat\n";

/// The code of a refusal. Its text is one line, which is not empty.
fn code(got: &Got) -> Option<Code> {
    let text = got.text();
    assert!(text.ends_with('\n') && text.trim().lines().count() == 1, "{got:?}");
    got.header("x-faasflow-error-code").and_then(Code::find)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_of_the_gateway_has_a_code() {
    let fixture = start_with(STACK, |options| options.queue.max_body = 10).await;
    let stack = json!({ "service": "f", "envProcess": "cat" });
    let bad = json!({ "service": "no good", "envProcess": "cat" });
    let absent = json!({ "service": "g", "envProcess": "cat" });
    let secret = json!({ "service": "g", "envProcess": "cat", "secrets": ["gone"] });
    let namespace = json!({ "functionName": "f", "namespace": "other" });
    let new = json!({ "name": "new", "value": "v" });
    let nameless = json!({ "name": "No", "value": "v" });
    fixture.send(Method::POST, "/system/secrets", &[], new.to_string()).await;
    let (get, post, put, delete) = (Method::GET, Method::POST, Method::PUT, Method::DELETE);
    for (method, path, body, status, expected) in [
        (&get, "/nowhere", String::new(), 404, code::NO_ROUTE),
        (&Method::PATCH, "/system/functions", String::new(), 405, code::WRONG_METHOD),
        (&post, "/healthz", String::new(), 405, code::WRONG_METHOD),
        (&get, "/async-function/f", String::new(), 405, code::WRONG_METHOD),
        (&post, "/async-function/f", "x".repeat(11), 413, code::CALL_TOO_LARGE),
        (&post, "/function/absent", String::new(), 404, code::UNKNOWN_FUNCTION),
        (&post, "/function/a%20b", String::new(), 400, code::BAD_NAME_IN_PATH),
        (&get, "/system/function/absent", String::new(), 404, code::UNKNOWN_FUNCTION),
        (&get, "/system/function/%ff", String::new(), 400, code::BAD_API_PARAMETER),
        (&get, "/system/function/f?namespace=other", String::new(), 404, code::UNKNOWN_NAMESPACE),
        (&get, "/system/functions?usage=1&usage=1", String::new(), 400, code::BAD_API_PARAMETER),
        (&post, "/system/functions", "[]".to_owned(), 400, code::BAD_API_BODY),
        (&post, "/system/functions", "{".to_owned(), 400, code::BAD_API_BODY),
        (&post, "/system/functions", "x".repeat(2 << 20), 413, code::BODY_TOO_LARGE),
        (&post, "/system/functions", bad.to_string(), 400, code::BAD_DEPLOYMENT),
        (&post, "/system/functions", stack.to_string(), 409, code::FUNCTION_OF_STACK),
        (&post, "/system/functions", secret.to_string(), 400, code::SECRETS_MISSING),
        (&put, "/system/functions", absent.to_string(), 404, code::UNKNOWN_FUNCTION),
        (&delete, "/system/functions", namespace.to_string(), 400, code::UNKNOWN_NAMESPACE),
        (&get, "/system/logs", String::new(), 400, code::BAD_API_PARAMETER),
        (&get, "/system/logs?name=f&tail=1&tail=2", String::new(), 400, code::BAD_API_PARAMETER),
        (&get, "/system/metrics", String::new(), 400, code::BAD_API_PARAMETER),
        (&get, "/system/metrics?name=f", String::new(), 404, code::NO_METRICS),
        (&get, "/system/flows/f/requests", String::new(), 404, code::NOT_A_FLOW),
        (&get, "/system/flows/absent/requests/a", String::new(), 404, code::UNKNOWN_FUNCTION),
        (&post, "/system/flows", String::new(), 405, code::WRONG_METHOD),
        (&get, "/system/queue/calls?limit=x", String::new(), 400, code::BAD_API_PARAMETER),
        (&get, "/system/queue/dead-letters/x", String::new(), 400, code::BAD_API_PARAMETER),
        (&get, "/system/queue/dead-letters/9", String::new(), 404, code::NO_DEAD_LETTER),
        (&post, "/system/queue/redrive", "{\"per_second\":0}".to_owned(), 400, code::BAD_API_BODY),
        (&post, "/system/secrets", nameless.to_string(), 400, code::BAD_SECRET),
        (&post, "/system/secrets", json!({ "name": "value" }).to_string(), 400, code::BAD_SECRET),
        (&post, "/system/secrets", new.to_string(), 409, code::SECRET_EXISTS),
        (&delete, "/system/secrets", json!({ "name": "gone" }).to_string(), 404, code::UNKNOWN_SECRET),
    ] {
        let got = fixture.send(method.clone(), path, &[], body).await;
        assert_eq!((got.status.as_u16(), code(&got)), (status, Some(expected)), "{method} {path}: {}", got.text());
    }
    let deployed = fixture.send(post.clone(), "/system/functions", &[], absent.to_string()).await;
    assert_eq!(deployed.status, StatusCode::ACCEPTED, "{}", deployed.text());
    let again = fixture.send(post.clone(), "/system/functions", &[], absent.to_string()).await;
    assert_eq!((again.status.as_u16(), code(&again)), (409, Some(code::FUNCTION_EXISTS)));
    for (headers, path, status, expected) in [
        (&[("origin", "http://evil.example")][..], "/system/functions", 403, code::FROM_WEB_PAGE),
        (&[("host", "evil.example")], "/system/functions", 403, code::FOREIGN_HOST),
        (&[("connection", "upgrade"), ("upgrade", "websocket")], "/function/f", 501, code::UNSUPPORTED_UPGRADE),
        (&[("connection", "upgrade"), ("upgrade", "websocket")], "/async-function/f", 501, code::UNSUPPORTED_UPGRADE),
        (&[("x-callback-url", "ftp://x")], "/async-function/f", 400, code::BAD_CALLBACK_URL),
    ] {
        let got = fixture.send(post.clone(), path, headers, "x").await;
        assert_eq!((got.status.as_u16(), code(&got)), (status, Some(expected)), "{headers:?}: {}", got.text());
    }
    let odd = b"POST /async-function/f HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-call-id: \xe9\r\ncontent-length: 0\r\n\r\n";
    let answer = exchange(fixture.gateway.address(), odd).await;
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("x-faasflow-error-code: FF0716\r\n"), "{answer}");
    // The body is read first. Otherwise the client would only see a reset.
    for path in ["/function/absent", "/async-function/absent"] {
        let got = fixture.post(path, "x".repeat(8 << 20)).await;
        assert_eq!((got.status.as_u16(), code(&got)), (404, Some(code::UNKNOWN_FUNCTION)), "{path}");
    }
    fixture.gateway.stop().await;

    let guarded = start_with(STACK, |options| options.basic_auth = true).await;
    for method in [Method::GET, Method::PATCH] {
        let got = guarded.send(method, "/system/functions", &[], "").await;
        assert_eq!((got.status.as_u16(), code(&got)), (401, Some(code::ACCESS_DENIED)), "{}", got.text());
    }
    guarded.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_or_a_method_that_cannot_be_used_is_named() {
    let fixture = start(STACK).await;
    let ask = async |fixture: &Fixture, method: Method, path: &str| {
        let got = fixture.send(method, path, &[], "").await;
        (got.text().to_owned(), got.header("allow").map(str::to_owned))
    };
    let (text, _) = ask(&fixture, Method::GET, "/system/logs?name=f&tail=1&tail=2").await;
    assert_eq!(text, "`tail` is in the query twice: give it once\n");
    let (text, _) = ask(&fixture, Method::GET, "/system/function/%ff").await;
    assert_eq!(text, "the path `/system/function/%ff` cannot be used: it is not UTF-8\n");
    let (text, allow) = ask(&fixture, Method::PATCH, "/system/functions").await;
    let allow = allow.unwrap();
    let named = allow.replace(',', ", ");
    let (first, last) = named.rsplit_once(", ").unwrap();
    assert_eq!(text, format!("`PATCH` cannot be used at `/system/functions`: use {first} or {last}\n"));
    let allowed: std::collections::BTreeSet<&str> = allow.split(',').map(str::trim).collect();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "POST", "PUT"].into());
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_too_large_names_the_option_only_if_its_name_was_given() {
    for (option, expected) in [
        (None, "the queue takes bodies up to 10 bytes: send less\n"),
        (Some("`--limit`"), "the queue takes bodies up to 10 bytes: send less, or raise the limit with `--limit`\n"),
    ] {
        let fixture = start_with(STACK, |options| {
            options.queue.max_body = 10;
            options.max_body_option = option.map(str::to_owned);
        })
        .await;
        assert_eq!(fixture.post("/async-function/f", "x".repeat(11)).await.text(), expected);
        fixture.gateway.stop().await;
    }
}

/// Before, each round held another connection, until there were no more files or places.
#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_leads_back_to_the_gateway_ends_with_an_error_that_says_so() {
    let port = free_port();
    let stack = format!("f:\n  annotations:\n    faasflow.url: http://127.0.0.1:{port}/function/f\n");
    let fixture = start_with(&stack, |options| {
        options.listen.set_port(port);
        options.max_inflight_requests = Some(100);
    })
    .await;
    // What a caller claims does not count.
    let got = fixture.send(Method::POST, "/function/f", &[("x-faasflow-passes", "10")], "x").await;
    assert_eq!((got.status, code(&got)), (StatusCode::LOOP_DETECTED, Some(code::REQUEST_LOOP)), "{}", got.text());
    assert!(got.text().starts_with("the URL of the function `f` leads back to this gateway"), "{}", got.text());
    let metrics = fixture.get("/metrics").await;
    let started = "gateway_function_invocation_started{function_name=\"f.openfaas-fn\"} 11";
    assert!(metrics.text().lines().any(|line| line == started), "{}", metrics.text());

    fixture.post("/async-function/f", "x").await;
    let letters = until("a dead letter", async || {
        Some(fixture.get("/system/queue/dead-letters").await.json()).filter(|letters| letters[0].is_object())
    })
    .await;
    assert_eq!(letters[0]["reason"], "it answered 508 Loop Detected");
    let letter = fixture.get(&format!("/system/queue/dead-letters/{}", letters[0]["id"])).await.json();
    assert!(letter["answer_body"].as_str().unwrap().contains("leads back to this gateway"), "{letter}");
    assert_eq!(fixture.get("/system/queue").await.json()["depth"], 0);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_negative_max_inflight_is_refused() {
    let folder = folder("f:\n  fprocess: cat\n  environment: {max_inflight: -1}\n");
    let fault = faasflow_core::chain(&faasflow_gateway::Stack::read(folder.path()).unwrap_err());
    assert!(fault.contains("`max_inflight` (stack.yml) is `-1`"), "{fault}");
    let fixture = start(STACK).await;
    let deployment = json!({ "service": "g", "envProcess": "cat", "envVars": { "max_inflight": "-1" } });
    let got = fixture.post("/system/functions", deployment.to_string()).await;
    assert_eq!((got.status.as_u16(), code(&got)), (400, Some(code::BAD_DEPLOYMENT)));
    assert!(got.text().contains("`max_inflight` is `-1`"), "{}", got.text());
    fixture.gateway.stop().await;
}
