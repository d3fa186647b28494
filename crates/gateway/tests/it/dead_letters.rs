//! Calls that were given up: listed, looked into, redriven at a rate, discarded, over HTTP.

use std::time::Duration;

use crate::support::{Fixture, Recorder, nowhere, start, start_with, until, url};
use http::{Method, StatusCode};
use serde_json::json;

async fn letters(fixture: &Fixture, count: usize) -> Vec<serde_json::Value> {
    until("dead letters", async || {
        let letters = fixture.get("/system/queue/dead-letters").await.json().as_array().unwrap().clone();
        (letters.len() == count).then_some(letters)
    })
    .await
}

async fn redrive(fixture: &Fixture, what: serde_json::Value) -> serde_json::Value {
    let headers = [("content-type", "application/json")];
    let got = fixture.send(Method::POST, "/system/queue/redrive", &headers, what.to_string()).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text());
    got.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_keeps_its_last_answer() {
    let recorder = Recorder::default();
    recorder.answers("/bad", &[500]);
    recorder.answers("/busy", &[503]);
    let function = recorder.listen().await;
    let fixture = start(&format!("{}{}", url("f", function.address), url("gone", nowhere()))).await;
    for (path, id) in [("f/bad?x=1", "bad"), ("f/busy", "busy"), ("gone", "gone")] {
        let headers = [("x-call-id", id), ("x-mine", "1")];
        fixture.send(Method::POST, &format!("/async-function/{path}"), &headers, "the body").await;
    }
    let letters = letters(&fixture, 3).await;
    let of = |id: &str| letters.iter().find(|letter| letter["call_id"] == id).unwrap().clone();
    let (bad, busy, gone) = (of("bad"), of("busy"), of("gone"));
    assert_eq!((&bad["status"], &bad["attempts"], &bad["function"]), (&json!(500), &json!(1), &json!("f")));
    assert_eq!((&busy["status"], &busy["attempts"]), (&json!(503), &json!(3)));
    assert_eq!((&gone["status"], &gone["attempts"]), (&json!(null), &json!(3)));
    assert!(gone["reason"].as_str().unwrap().starts_with("it could not be reached: could not connect"), "{gone}");

    let seen = recorder.seen();
    let attempts = seen.iter().filter(|seen| seen.target == "/busy").map(|seen| seen.header("x-faasflow-attempt"));
    assert_eq!(attempts.collect::<Vec<_>>(), [Some("1"), Some("2"), Some("3")]);

    let whole = fixture.get(&format!("/system/queue/dead-letters/{}", bad["id"])).await.json();
    assert_eq!((&whole["target"], &whole["body"]), (&json!("/bad?x=1"), &json!("the body")));
    assert_eq!(whole["answer_body"], json!("answer"));
    assert!(whole["headers"].as_array().unwrap().contains(&json!(["x-mine", "1"])), "{whole}");
    assert!(whole["answer_headers"].as_array().unwrap().contains(&json!(["x-own", "1"])), "{whole}");
    assert_eq!(fixture.get("/system/queue/dead-letters/999").await.status, StatusCode::NOT_FOUND);
    for (path, why) in [
        ("dead-letters/x", "`x` is not the number of a dead letter: /system/queue/dead-letters lists them\n"),
        ("dead-letters?limit=-1", "`limit` is `-1`: write how many to list, such as 100\n"),
        ("calls?limit=many", "`limit` is `many`: write how many to list, such as 100\n"),
    ] {
        let got = fixture.get(&format!("/system/queue/{path}")).await;
        assert_eq!((got.status, got.text()), (StatusCode::BAD_REQUEST, why), "{path}");
    }
    assert_eq!(fixture.get("/system/queue").await.json()["dead_letters"], json!(3));

    // They outlive the gateway.
    let folder = fixture.folder;
    fixture.gateway.stop().await;
    let fixture = crate::support::start_in(folder, |_| {}).await.unwrap();
    assert_eq!(fixture.get("/system/queue").await.json()["dead_letters"], json!(3));
    let headers = [("content-type", "application/json")];
    let only = json!({ "ids": [bad["id"]] }).to_string();
    let got = fixture.send(Method::DELETE, "/system/queue/dead-letters", &headers, only).await;
    assert_eq!(got.json(), json!({ "discarded": 1, "version": 1 }));
    assert_eq!(redrive(&fixture, json!({ "ids": [bad["id"]] })).await, json!({ "redriven": 0, "version": 1 }));
    recorder.answers("/busy", &[200]);
    assert_eq!(redrive(&fixture, json!({ "function": "f" })).await, json!({ "redriven": 1, "version": 1 }));
    assert_eq!(self::letters(&fixture, 1).await[0]["call_id"], json!("gone"));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_found_by_function_and_request() {
    let recorder = Recorder::default();
    recorder.answers("/", &[500]);
    let function = recorder.listen().await;
    let fixture = start(&format!("{}{}", url("f", function.address), url("g", function.address))).await;
    for (function, call, request) in [
        ("f", "c1", Some("order-1")),
        ("f.openfaas-fn", "c2", Some("order-1")),
        // A flow gives a request the call id if its caller chose no id, or none that is valid.
        ("f", "c3", None),
        ("f", "c4", Some("not an id")),
        ("f", "not/an/id", None),
        ("g", "c5", Some("order-1")),
    ] {
        let mut headers = vec![("x-call-id", call)];
        headers.extend(request.map(|id| ("x-faasflow-request-id", id)));
        let got = fixture.send(Method::POST, &format!("/async-function/{function}"), &headers, "x").await;
        assert_eq!(got.status, StatusCode::ACCEPTED, "{}", got.text());
    }
    letters(&fixture, 6).await;
    let found = async |query: &str| {
        let got = fixture.get(&format!("/system/queue/dead-letters?{query}")).await.json();
        let told = |letter: &serde_json::Value| json!([letter["call_id"], letter["request"]]);
        let mut found: Vec<_> = got.as_array().unwrap().iter().map(told).collect();
        found.sort_by_key(serde_json::Value::to_string);
        json!(found)
    };
    let of_f = json!([["c1", "order-1"], ["c2", "order-1"], ["c3", "c3"], ["c4", "c4"], ["not/an/id", null]]);
    assert_eq!(found("function=f").await, of_f);
    assert_eq!(found("function=f&request=order-1").await, json!([["c1", "order-1"], ["c2", "order-1"]]));
    assert_eq!(found("request=c3").await, json!([["c3", "c3"]]));
    assert_eq!(found("request=order-2").await, json!([]));
    // The limit is one of those that are found.
    let of_g = fixture.get("/system/queue/dead-letters?function=g&limit=1").await.json();
    assert_eq!(of_g[0]["call_id"], json!("c5"), "{of_g}");
    let of_f = fixture.get("/system/queue/dead-letters?function=f&limit=2").await.json();
    assert_eq!(of_f.as_array().unwrap().len(), 2, "{of_f}");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_keeps_to_its_rate() {
    let recorder = Recorder::default();
    recorder.answers("/", &[500]);
    let function = recorder.listen().await;
    let fixture = start(&url("f", function.address)).await;
    for id in 0..10 {
        fixture.send(Method::POST, "/async-function/f", &[("x-call-id", &format!("c{id}"))], "x").await;
    }
    letters(&fixture, 10).await;
    recorder.answers("/", &[200]);
    let begun = std::time::Instant::now();
    assert_eq!(redrive(&fixture, json!({ "per_second": 20 })).await, json!({ "redriven": 10, "version": 1 }));
    recorder.until(20).await;
    // The tenth is due 450 ms after the first; a machine under load may only be later.
    assert!(begun.elapsed() >= Duration::from_millis(450), "{:?}", begun.elapsed());
    until("the queue is empty", async || (fixture.gateway.queue().stats().await.unwrap().depth == 0).then_some(()))
        .await;
    assert_eq!(fixture.gateway.queue().stats().await.unwrap().dead_letters, 0);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_bounded_and_the_oldest_are_removed_first() {
    let recorder = Recorder::default();
    recorder.answers("/", &[500]);
    let function = recorder.listen().await;
    let fixture = start_with(&url("f", function.address), |options| {
        options.queue.dead_letter_count = 3;
        options.queue.workers = 1;
    })
    .await;
    for id in 0..8 {
        fixture.send(Method::POST, "/async-function/f", &[("x-call-id", &format!("c{id}"))], "x").await;
    }
    until("all are dead", async || (fixture.gateway.queue().stats().await.unwrap().totals.dead == 8).then_some(()))
        .await;
    let letters = letters(&fixture, 3).await;
    let ids: Vec<_> = letters.iter().map(|letter| letter["call_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["c7", "c6", "c5"]);
    let stats = fixture.get("/system/queue").await.json();
    assert_eq!((&stats["dead_letters"], &stats["dead_letters_removed"]), (&json!(3), &json!(5)), "{stats}");
    fixture.gateway.stop().await;
}

/// Otherwise, calls that fail again would be redriven again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_of_all_calls_ends_if_all_of_them_fail_again() {
    const CALLS: usize = 51;
    let recorder = Recorder::default();
    recorder.answers("/", &[503]);
    let function = recorder.listen().await;
    let fixture = start(&url("f", function.address)).await;
    for id in 0..CALLS {
        fixture.send(Method::POST, "/async-function/f", &[("x-call-id", &format!("c{id}"))], "x").await;
    }
    letters(&fixture, CALLS).await;
    // Each was tried three times.
    assert_eq!(recorder.seen().len(), 3 * CALLS);
    for round in 2..=3 {
        assert_eq!(redrive(&fixture, json!({})).await, json!({ "redriven": CALLS, "version": 1 }));
        recorder.until(round * 3 * CALLS).await;
        letters(&fixture, CALLS).await;
        let is_empty = async || (fixture.gateway.queue().stats().await.unwrap().depth == 0).then_some(());
        until("the queue is empty", is_empty).await;
        assert_eq!(recorder.seen().len(), round * 3 * CALLS, "nothing is redriven by itself");
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_selection_selects_nothing_and_a_namespace_is_no_other_function() {
    let fixture = start("fail:\n  fprocess: 'false'\n").await;
    fixture.post("/async-function/fail.openfaas-fn", "x").await;
    let letters = async || fixture.get("/system/queue/dead-letters").await.json().as_array().unwrap().len();
    until("a dead letter", async || (letters().await == 1).then_some(())).await;
    for (method, path) in [(Method::DELETE, "/system/queue/dead-letters"), (Method::POST, "/system/queue/redrive")] {
        let got = fixture.send(method, path, &[], json!({ "idz": [1] }).to_string()).await;
        assert_eq!(got.status, 400, "{path}: {}", got.text());
        assert!(got.text().contains("idz"), "{path}: {}", got.text());
    }
    assert_eq!(letters().await, 1);
    let got =
        fixture.send(Method::DELETE, "/system/queue/dead-letters", &[], json!({ "function": "fail" }).to_string());
    assert_eq!(got.await.status, 200);
    assert_eq!(letters().await, 0);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_call_id_is_ignored_and_one_that_is_not_text_is_refused() {
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    let fixture = start(&url("f", function.address)).await;
    for _ in 0..2 {
        let got = fixture.send(Method::POST, "/async-function/f", &[("x-call-id", "")], "x").await;
        assert_eq!((got.status.as_u16(), got.header("x-faasflow-duplicate")), (202, None));
    }
    let seen = recorder.until(2).await;
    assert!(seen.iter().all(|seen| !seen.header("x-call-id").unwrap().is_empty()));
    let mut request = fixture.request(Method::POST, "/async-function/f", &[], axum::body::Body::empty());
    request.headers_mut().insert("x-call-id", http::HeaderValue::from_bytes(b"caf\xe9").unwrap());
    assert_eq!(fixture.client.send(request).await.unwrap().status(), 400);
    fixture.gateway.stop().await;
}

/// serde fills a struct from a list too, and an empty list would select all.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_selects_nothing() {
    let fixture = start_with(&url("gone", nowhere()), |options| options.queue.max_attempts = 1).await;
    fixture.send(Method::POST, "/async-function/gone", &[], "").await;
    letters(&fixture, 1).await;
    for (method, path, body) in [
        (Method::DELETE, "/system/queue/dead-letters", "[]"),
        (Method::DELETE, "/system/queue/dead-letters", " [[1]]"),
        (Method::POST, "/system/queue/redrive", "[]"),
        (Method::POST, "/system/functions", r#"["a","","","cat"]"#),
        (Method::DELETE, "/system/functions", r#"["gone",""]"#),
        (Method::POST, "/system/secrets", r#"["a",null,"v"]"#),
    ] {
        let got = fixture.send(method.clone(), path, &[], body).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{method} {path} {body}: {}", got.text());
        assert!(got.text().contains("it is a list, and must be a JSON object"), "{}", got.text());
    }
    let got = fixture.send(Method::POST, "/system/queue/redrive", &[], r#"{"per_second":0}"#).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert!(got.text().contains("write a number above 0"), "{}", got.text());
    letters(&fixture, 1).await;
}
