//! The bytes of each answer of the admin API, as programs read them that this repository does not know of.

use faasflow_admin::{ROUTES, paths};
use http::{Method, StatusCode};
use serde_json::json;

use crate::support::{Fixture, Got, folder, nowhere, start_in, start_with, until, url};

/// A command that fails, one that is described in full, and a function that cannot be reached.
const STACK: &str = "fails:
  fprocess: sh -c 'echo nothing works >&2; exit 3'
full:
  fprocess: cat
  image: i:1
  labels:
    b: 2
    a: 1
  annotations:
    c: 1
  environment:
    key: value
  secrets: [s]
  limits:
    memory: 128Mi
    cpu: 100m
  requests:
    memory: 64Mi
  readonly_root_filesystem: true
";

/// An answer as text, with `…` for what differs from run to run.
fn shown(got: &Got) -> String {
    let mut text = got.text().to_owned();
    let values = [
        "\"accepted_ms\":",
        "\"died_ms\":",
        "\"due_ms\":",
        "\"oldest_seconds\":",
        "\"createdAt\":",
        "\"timestamp\":",
        "\"totalMemoryBytes\":",
        "\"arch\":",
        "\"faasflow.url\":",
        "\"release\":",
        "[\"x-start-time\",",
        "[\"x-forwarded-host\",",
    ];
    for before in values {
        let mut from = 0;
        while let Some(at) = text[from..].find(before) {
            let start = from + at + before.len();
            let end = start + text[start..].find([',', '}', ']']).unwrap();
            text.replace_range(start..end, "…");
            from = start;
        }
    }
    let kind = got.header("content-type").unwrap_or("no content type").to_owned();
    format!("{} {kind}\n{text}\n", got.status.as_u16())
}

async fn fixture() -> Fixture {
    let folder = folder(&format!("{STACK}{}", url("gone", nowhere())));
    std::fs::create_dir_all(folder.path().join(".faasflow/secrets")).unwrap();
    std::fs::write(folder.path().join(".faasflow/secrets/s"), "x").unwrap();
    start_in(folder, |options| {
        options.commit = "0123456".to_owned();
        // The second attempt comes when the test is over.
        options.queue.initial_delay = std::time::Duration::from_secs(3600);
        options.queue.max_delay = std::time::Duration::from_secs(3600);
    })
    .await
    .unwrap()
}

async fn golden(fixture: &Fixture, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let got = fixture.send(method.clone(), path, headers, body.to_owned()).await;
    let body = if body.is_empty() { String::new() } else { format!(" {body}") };
    format!("## {method} {path}{body}\n{}\n", shown(&got))
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_functions_have_these_bytes() {
    let fixture = fixture().await;
    let mut answers = String::new();
    let deployed = json!({
        "service": "deployed", "envProcess": "cat", "image": "j:2", "namespace": "openfaas-fn",
        "envVars": { "b": "2", "a": "1" }, "labels": { "l": "1" }, "annotations": { "n": "1" }, "secrets": ["s"],
        "limits": { "memory": "1Gi", "cpu": null, "other": "2" }, "requests": {}, "constraints": ["c"],
        "readOnlyRootFilesystem": true,
    });
    for (method, path, body) in [
        (Method::POST, "/system/functions", deployed.to_string()),
        (Method::POST, "/system/functions", json!({ "service": "bare", "envProcess": "cat" }).to_string()),
        (Method::GET, "/system/functions", String::new()),
        (Method::GET, "/system/functions?namespace=other", String::new()),
        (Method::GET, "/system/function/full?usage=1", String::new()),
        (Method::GET, "/system/function/absent", String::new()),
        (Method::POST, "/system/functions", deployed.to_string()),
        (Method::PUT, "/system/functions", json!({ "service": "bare", "envProcess": "cat -n" }).to_string()),
        (Method::PUT, "/system/functions", json!({ "service": "absent", "envProcess": "cat" }).to_string()),
        (Method::POST, "/system/scale-function/full", json!({ "replicas": 2 }).to_string()),
        (Method::POST, "/system/scale-function/absent", json!({ "replicas": 2 }).to_string()),
        (Method::DELETE, "/system/functions", json!({ "functionName": "bare" }).to_string()),
        (Method::DELETE, "/system/functions", json!({ "functionName": "full" }).to_string()),
        (Method::DELETE, "/system/functions", json!({ "name": "bare" }).to_string()),
        (Method::GET, "/system/namespaces", String::new()),
        (Method::GET, "/system/info", String::new()),
        (Method::GET, "/system/secrets", String::new()),
        (Method::GET, "/system/secrets?namespace=other", String::new()),
        (Method::POST, "/system/secrets", json!({ "name": "new", "value": "v" }).to_string()),
        (Method::PUT, "/system/secrets", json!({ "name": "new", "rawValue": "dg==" }).to_string()),
        (Method::DELETE, "/system/secrets", json!({ "name": "new" }).to_string()),
        (Method::DELETE, "/system/secrets", json!({ "name": "new" }).to_string()),
    ] {
        answers += &golden(&fixture, method, path, &[], &body).await;
    }
    let behind = [("x-forwarded-host", "gateway:8080")];
    answers += &golden(&fixture, Method::GET, "/system/info", &behind, "").await;
    insta::assert_snapshot!("functions", answers);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_about_the_queue_have_these_bytes() {
    let fixture = fixture().await;
    for (path, id) in [("fails/deep?q=1", "call-1"), ("gone", "call-2")] {
        let headers = [("x-call-id", id), ("x-faasflow-request-id", "request-1")];
        fixture.send(Method::POST, &format!("/async-function/{path}"), &headers, "the body").await;
    }
    until("a dead letter and a call that waits", async || {
        let stats = fixture.get("/system/queue").await.json();
        (stats["dead_letters"] == 1 && stats["retried"] == 1 && stats["in_flight"] == 0).then_some(())
    })
    .await;
    let mut answers = String::new();
    let letters = fixture.get("/system/queue/dead-letters").await.json();
    let letter = format!("/system/queue/dead-letters/{}", letters[0]["id"]);
    for (method, path, body) in [
        (Method::GET, "/system/queue", ""),
        (Method::GET, "/system/queue/calls", ""),
        (Method::GET, "/system/queue/calls?limit=0", ""),
        (Method::GET, "/system/queue/calls?limit=x", ""),
        (Method::GET, "/system/queue/dead-letters", ""),
        (Method::GET, &letter, ""),
        (Method::GET, "/system/queue/dead-letters/99", ""),
        (Method::GET, "/system/queue/dead-letters/x", ""),
        (Method::GET, "/system/logs?request=request-1", ""),
        (Method::GET, "/system/logs", ""),
        (Method::GET, "/system/logs?name=absent", ""),
        (Method::POST, "/system/queue/redrive", "{\"id\":[99]}"),
        (Method::POST, "/system/queue/redrive", "{\"ids\":[99],\"per_second\":5}"),
        (Method::DELETE, "/system/queue/dead-letters", "{\"ids\":[\"1\"]}"),
        (Method::DELETE, "/system/queue/dead-letters", "{\"function\":\"fails\",\"per_second\":1}"),
        (Method::DELETE, "/system/queue/dead-letters", "{\"function\":\"fails\"}"),
    ] {
        answers += &golden(&fixture, method, path, &[], body).await;
    }
    insta::assert_snapshot!("queue", answers);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_list_is_served_and_asks_for_the_password() {
    let open = fixture().await;
    let guarded = start_with("f:\n  fprocess: cat\n", |options| options.basic_auth = true).await;
    for route in ROUTES {
        let method: Method = route.method.parse().unwrap();
        let path = route.path.replace("{name}", "full").replace("{id}", "1").replace("{flow}", "full");
        let got = match route.path {
            // Its answer does not end.
            paths::EVENTS => {
                let answer = open.open(open.request(method.clone(), &path, &[], "".into())).await;
                Got { status: answer.status(), headers: answer.headers().clone(), body: "".into() }
            }
            _ => open.send(method.clone(), &path, &[], "").await,
        };
        assert_ne!(got.status, StatusCode::METHOD_NOT_ALLOWED, "{route:?}");
        assert!(!got.text().starts_with("nothing is served at"), "{route:?}: {}", got.text());
        let expected = if route.path == paths::METRICS { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!(guarded.send(method, &path, &[], "").await.status, expected, "{route:?}");
    }
    open.gateway.stop().await;
    guarded.gateway.stop().await;
}
