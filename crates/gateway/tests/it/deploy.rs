//! Functions that are deployed, replaced and removed while the gateway runs, with the requests that `faas-cli` sends.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::server::{self, is_running};
use crate::support::{Fixture, Got, Recorder, folder, start, start_in, until, url};
use axum::body::Body;
use faasflow_gateway::Stack;
use http::{Method, StatusCode};
use serde_json::{Value, json};

const OWN: &str = "own:\n  fprocess: cat\n";

async fn ask(fixture: &Fixture, method: Method, body: &Value) -> Got {
    fixture.send(method, "/system/functions", &[], body.to_string()).await
}

async fn accepted(fixture: &Fixture, method: Method, body: &Value) {
    let got = ask(fixture, method, body).await;
    assert_eq!(got.status, StatusCode::ACCEPTED, "{body}: {}", got.text());
}

async fn remove(fixture: &Fixture, name: &str) -> Got {
    ask(fixture, Method::DELETE, &json!({ "functionName": name, "namespace": "openfaas-fn" })).await
}

fn command(name: &str, command: &str) -> Value {
    json!({ "service": name, "image": "i:1", "namespace": "openfaas-fn", "envProcess": command })
}

/// The program for the tests, which answers with its version.
fn program(name: &str, version: &str) -> Value {
    let variables = json!({ "mode": "http", "version": version, "upstream_url": "http://127.0.0.1:3000" });
    json!({ "service": name, "image": "i:1", "envProcess": "./server --a 'b c'", "envVars": variables })
}

async fn answers(fixture: &Fixture, path: &str, expected: &str) {
    until(expected, async || (fixture.get(path).await.text() == expected).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_deployed_replaced_and_removed() {
    let fixture = start(OWN).await;
    // The requests of faas-cli: PUT, and then POST if there is no such function.
    let absent = ask(&fixture, Method::PUT, &command("f", "cat")).await;
    assert_eq!((absent.status, absent.text()), (StatusCode::NOT_FOUND, "the function `f` is not deployed\n"));
    accepted(&fixture, Method::POST, &command("f", "cat")).await;
    assert_eq!(fixture.post("/function/f.openfaas-fn", "body").await.text(), "body");
    let again = ask(&fixture, Method::POST, &command("f", "cat")).await;
    assert_eq!(
        (again.status, again.text()),
        (StatusCode::CONFLICT, "the function `f` exists already: PUT replaces it\n")
    );
    accepted(&fixture, Method::PUT, &command("f", "tr a-z A-Z")).await;
    assert_eq!(fixture.post("/function/f", "body").await.text(), "BODY");

    let deployed = remove(&fixture, "f").await;
    assert_eq!((deployed.status, deployed.text()), (StatusCode::ACCEPTED, ""));
    assert_eq!(fixture.post("/function/f", "body").await.status, StatusCode::NOT_FOUND);
    assert_eq!(fixture.get("/system/function/f").await.status, StatusCode::NOT_FOUND);
    let metrics = fixture.get("/metrics").await;
    assert!(!metrics.text().contains("f.openfaas-fn"), "{}", metrics.text());
    let gone = remove(&fixture, "f").await;
    assert_eq!((gone.status, gone.text()), (StatusCode::NOT_FOUND, "the function `f` is not deployed\n"));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_reports_a_deployment_as_it_was_sent() {
    let fixture = start(OWN).await;
    let deployment = json!({
        "service": "f", "image": "i:1", "namespace": "", "envProcess": "sh -c 'env'", "envVars": { "A": "1" },
        "labels": { "l": "1" }, "annotations": { "a": "2" }, "secrets": null, "limits": { "memory": "1Mi" },
        "requests": { "cpu": "1m" }, "constraints": ["c"], "readOnlyRootFilesystem": true, "unknown": {},
    });
    accepted(&fixture, Method::POST, &deployment).await;
    let status = fixture.get("/system/function/f").await.json();
    for key in ["image", "envProcess", "envVars", "annotations", "limits", "requests", "constraints"] {
        assert_eq!(status[key], deployment[key], "{key}");
    }
    // As on Kubernetes.
    assert_eq!(status["labels"], json!({ "l": "1", "faas_function": "f" }));
    assert_eq!((&status["readOnlyRootFilesystem"], &status["secrets"]), (&json!(true), &json!(null)));
    assert_eq!((&status["name"], &status["namespace"]), (&json!("f"), &json!("openfaas-fn")));
    assert_eq!((&status["replicas"], &status["availableReplicas"]), (&json!(1), &json!(1)));
    assert!(status["createdAt"].as_str().unwrap().starts_with("20"));
    let all = fixture.get("/system/functions").await.json();
    assert_eq!(all[0], status);
    assert_eq!((all[1]["name"].as_str(), all[1]["envProcess"].as_str()), (Some("own"), Some("cat")));
    let environment = fixture.post("/function/f", "").await.text().to_owned();
    let secrets = fixture.folder.path().join(".faasflow/secrets");
    for line in ["A=1", "OPENFAAS_NAME=f", &format!("secret_mount_path={}", secrets.display())] {
        assert!(environment.lines().any(|found| found == line), "{line}\n{environment}");
    }
    let gateway = format!("gateway={}", fixture.gateway.address());
    assert!(environment.lines().any(|found| found == gateway), "{environment}");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_deployment_is_refused_with_the_reason() {
    let fixture = start(OWN).await;
    let with = |key: &str, value: Value| {
        let mut body = command("f", "cat");
        body[key] = value;
        body
    };
    for (body, reason) in [
        (json!({}), "is not a valid name; use at most 63 letters"),
        (command("a b", "cat"), "is not a valid name; use at most 63 letters"),
        (command("../f", "cat"), "is not a valid name; use at most 63 letters"),
        (command("a.b", "cat"), "is not a valid name; use at most 63 letters"),
        (command(&"a".repeat(64), "cat"), "use at most 63 letters"),
        (with("namespace", json!("other")), "the namespace `other` does not exist: the only one is `openfaas-fn`"),
        (
            with("envProcess", json!("")),
            "because there is no container engine; start Docker or Podman, or set `envProcess`",
        ),
        (with("envProcess", json!("sh -c 'x")), "a quote that is not closed"),
        (with("envProcess", json!("cat a\0b")), "`envProcess` contains a NUL byte"),
        (with("envVars", json!({ "mode": "static" })), "its `mode` is `static`; write `http`"),
        (with("envVars", json!({ "A=B": "x" })), "`envVars`: `A=B` cannot be the name of a variable"),
        (with("envVars", json!({ "A": "\0" })), "`envVars`: `A` has a NUL byte in its value"),
        (
            with("annotations", json!({ "faasflow.url": "ftp://x" })),
            "`faasflow.url` is `ftp://x`: its URL has the scheme `ftp`",
        ),
        (
            with("secrets", json!(["one", "basic-auth-password"])),
            "secrets are missing: `one`, `basic-auth-password`; create each, for example with `faas-cli secret create one",
        ),
        (with("envVars", json!("text")), "the body cannot be used: `envVars`: invalid type: string"),
    ] {
        let got = ask(&fixture, Method::POST, &body).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{body}: {}", got.text());
        assert!(got.text().contains(reason), "{body}: {}", got.text());
    }
    for method in [Method::POST, Method::PUT, Method::DELETE] {
        let got = fixture.send(method.clone(), "/system/functions", &[], "{").await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{method}");
        let got = fixture.send(method.clone(), "/system/functions", &[], vec![b' '; (1 << 20) + 1]).await;
        assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE, "{method}");
        // Also if the body has no declared length.
        let parts = futures_util::stream::iter((0..8).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1 << 18])));
        let got = fixture.send(method.clone(), "/system/functions", &[], Body::from_stream(parts)).await;
        assert_eq!(got.status, StatusCode::PAYLOAD_TOO_LARGE, "{method}");
    }
    let other = json!({ "functionName": "f", "namespace": "other" });
    assert_eq!(ask(&fixture, Method::DELETE, &other).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(fixture.gateway.function_names(), ["own"]);
    let stored = std::fs::read_dir(fixture.folder.path().join(".faasflow/functions")).unwrap().count();
    assert_eq!(stored, 0, "what is refused is not kept");
    fixture.gateway.stop().await;
}

/// Values that are refused in a stack file are refused in a deployment.
#[tokio::test(flavor = "multi_thread")]
async fn y4_values_that_cannot_be_used_are_refused_by_the_api() {
    let fixture = start(OWN).await;
    let with = |key: &str, value: Value| {
        let mut body = command("f", "cat");
        body[key] = value;
        body
    };
    for (body, reason) in [
        (
            with("envVars", json!({ "exec_timeout": "abc" })),
            "function `f`: `envVars`: `exec_timeout` is `abc`; write a duration",
        ),
        (with("envVars", json!({ "write_timeout": "-1s" })), "`envVars`: `write_timeout` is `-1s`; write a duration"),
        (with("envVars", json!({ "max_inflight": "many" })), "`envVars`: `max_inflight` is `many`; write how many"),
        (
            with("envVars", json!({ "combine_output": "yes" })),
            "`envVars`: `combine_output` is `yes`; write `true` or `false`",
        ),
        (with("envVars", json!({ "content_type": "a\nb" })), "`envVars`: `content_type` is"),
        (with("envVars", json!({ "": "x" })), "`envVars`: `` cannot be the name of a variable"),
        (
            with("envVars", json!({ "a": 1 })),
            "the body cannot be used: `envVars.a`: invalid type: integer `1`, expected a string",
        ),
        (
            with("secrets", json!(["../two"])),
            "`secrets`: `../two` is not the name of a secret; use at most 253 lower-case letters",
        ),
        (
            with("secrets", json!([7])),
            "the body cannot be used: `secrets[0]`: invalid type: integer `7`, expected a string",
        ),
        (with("labels", json!({ "a": "\0" })), "`labels`: `a` is empty, or it or its value contains a NUL byte"),
        (with("limits", json!(5)), "`limits` must be an object with texts"),
        (with("requests", json!({ "cpu": 1 })), "`requests` must be an object with texts"),
        (
            json!({ "service": "f", "image": "i:1", "envVars": { "fprocess": "cat" } }),
            "its environment has `fprocess` (`cat`), which only the watchdog of an image reads; write it as `envProcess`",
        ),
        (json!("text"), "expected an object, such as"),
    ] {
        for method in [Method::POST, Method::PUT] {
            let got = ask(&fixture, method, &body).await;
            assert_eq!(got.status, StatusCode::BAD_REQUEST, "{body}: {}", got.text());
            assert!(got.text().contains(reason), "{body}: {}", got.text());
            assert!(!got.text().contains("struct") && !got.text().contains("its deployment"), "{}", got.text());
        }
    }
    let got = fixture.send(Method::POST, "/system/functions", &[], "{\"service\": \"f\"} x").await;
    assert_eq!(
        (got.status, got.text().starts_with("the body cannot be used: trailing")),
        (StatusCode::BAD_REQUEST, true)
    );
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_cannot_change_functions_of_the_stack() {
    let fixture = start(OWN).await;
    for got in [
        ask(&fixture, Method::PUT, &command("own", "tr a b")).await,
        ask(&fixture, Method::POST, &command("own", "tr a b")).await,
        remove(&fixture, "own").await,
    ] {
        assert_eq!(got.status, StatusCode::CONFLICT);
        let reason = "`own` comes from the stack file that this gateway was started with: change it there";
        assert!(got.text().starts_with(reason), "{}", got.text());
    }
    assert_eq!(fixture.post("/function/own", "a").await.text(), "a");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_started_given_its_port_and_restarted() {
    let folder = folder(OWN);
    server::put_into(folder.path());
    let fixture = start_in(folder, |_| {}).await.unwrap();
    accepted(&fixture, Method::POST, &program("f", "one")).await;
    // A request waits until it is ready.
    assert_eq!(fixture.get("/function/f").await.text(), "one");
    assert_eq!(fixture.get("/function/f/args").await.text(), "--a b c");
    let environment = fixture.get("/function/f/env").await.text().to_owned();
    let port = environment.lines().find_map(|line| line.strip_prefix("port=")).unwrap();
    for line in [format!("PORT={port}"), format!("upstream_url=http://127.0.0.1:{port}"), "mode=http".to_owned()] {
        assert!(environment.lines().any(|found| found == line), "{line}\n{environment}");
    }
    let usage = fixture.get("/system/function/f?usage=1").await.json();
    assert!(usage["usage"]["totalMemoryBytes"].as_u64().unwrap() > 0, "{usage}");
    let first = fixture.get("/function/f/pid").await.text().to_owned();
    fixture.get("/function/f/die").await;
    let second = until("it is started again", async || {
        let got = fixture.get("/function/f/pid").await;
        (got.status == StatusCode::OK && got.text() != first).then(|| got.text().to_owned())
    })
    .await;
    fixture.gateway.stop().await;
    assert!(!is_running(&second), "it ends with the gateway");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_the_stack_runs_like_one_that_was_deployed() {
    let stack = "f:\n  fprocess: ./server x\n  environment:\n    mode: http\n    version: of the stack\n";
    let folder = folder(stack);
    server::put_into(folder.path());
    let fixture = start_in(folder, |_| {}).await.unwrap();
    fixture.gateway.ready().await.unwrap();
    assert_eq!(fixture.get("/function/f").await.text(), "of the stack");
    assert_eq!(fixture.get("/function/f/args").await.text(), "x");
    assert_eq!(fixture.get("/system/function/f").await.json()["envProcess"], "./server x");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_given_the_store_unless_it_names_another() {
    let mut stack = "f:\n  fprocess: ./server x\n  environment:\n    mode: http\n".to_owned();
    stack += &stack.replace("f:\n", "g:\n");
    stack += "    state_gateway_url: http://elsewhere:8080\n";
    let folder = folder(&stack);
    server::put_into(folder.path());
    let fixture = start_in(folder, |_| {}).await.unwrap();
    fixture.gateway.ready().await.unwrap();
    let has = async |function: &str, variable: &str| {
        fixture.get(&format!("/function/{function}/env")).await.text().lines().any(|line| line == variable)
    };
    let url = format!("state_gateway_url={}", fixture.gateway.url());
    let token = format!("state_gateway_token={}", fixture.gateway.state_token("f"));
    for variable in [url.as_str(), &token, "faasflow_default_store=gateway"] {
        assert!(has("f", variable).await && !has("g", variable).await, "{variable}");
    }
    assert!(has("g", "state_gateway_url=http://elsewhere:8080").await);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_loses_no_request() {
    let folder = folder(OWN);
    server::put_into(folder.path());
    let fixture = Arc::new(start_in(folder, |_| {}).await.unwrap());
    accepted(&fixture, Method::POST, &program("f", "one")).await;
    let first = fixture.get("/function/f/pid").await.text().to_owned();
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..6)
        .map(|_| {
            let (fixture, done) = (fixture.clone(), done.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                while !done.load(Ordering::SeqCst) {
                    let got = fixture.get("/function/f/slow").await;
                    answers.push((got.status.as_u16(), got.text().to_owned()));
                }
                answers
            })
        })
        .collect();
    accepted(&fixture, Method::PUT, &program("f", "two")).await;
    answers(&fixture, "/function/f", "two").await;
    until("the first is gone", async || (!is_running(&first)).then_some(())).await;

    // A replacement that never starts leaves its predecessor in service, even if it is replaced itself.
    accepted(&fixture, Method::PUT, &program("f", "broken")).await;
    until("it fails", async || {
        let events = fixture.events.lock().unwrap();
        let failed =
            |event: &_| matches!(event, faasflow_gateway::Event::Exited { how, .. } if how.contains("exit status: 3"));
        events.iter().any(failed).then_some(())
    })
    .await;
    assert_eq!(fixture.get("/function/f").await.text(), "two");
    assert_eq!(fixture.get("/system/function/f").await.json()["availableReplicas"], 1);
    accepted(&fixture, Method::PUT, &program("f", "broken")).await;
    assert_eq!(fixture.get("/function/f").await.text(), "two");
    accepted(&fixture, Method::PUT, &program("f", "three")).await;
    answers(&fixture, "/function/f", "three").await;
    // From one kind to another, and back.
    accepted(&fixture, Method::PUT, &command("f", "echo -n four")).await;
    answers(&fixture, "/function/f", "four").await;
    accepted(&fixture, Method::PUT, &program("f", "five")).await;
    answers(&fixture, "/function/f", "five").await;
    let last = fixture.get("/function/f/pid").await.text().to_owned();

    done.store(true, Ordering::SeqCst);
    for caller in callers {
        for (status, text) in caller.await.unwrap() {
            assert!(status == 200 && ["one", "two", "three", "four", "five"].contains(&&*text), "{status} {text}");
        }
    }
    Arc::into_inner(fixture).unwrap().gateway.stop().await;
    assert!(!is_running(&last));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_function_finishes_its_requests() {
    let folder = folder(OWN);
    server::put_into(folder.path());
    let fixture = start_in(folder, |_| {}).await.unwrap();
    accepted(&fixture, Method::POST, &program("f", "one")).await;
    let pid = fixture.get("/function/f/pid").await.text().to_owned();
    let pending = fixture.request(Method::GET, "/function/f/hold", &[], Body::empty());
    let pending = tokio::spawn({
        let client = fixture.client.clone();
        async move { client.send(pending).await.unwrap().status() }
    });
    let path = |name: &str| fixture.folder.path().join(name);
    until("it is held", async || path("held").exists().then_some(())).await;
    assert_eq!(remove(&fixture, "f.openfaas-fn").await.status, StatusCode::ACCEPTED);
    let metrics = fixture.get("/metrics").await;
    assert!(!metrics.text().contains("f.openfaas-fn"), "{}", metrics.text());
    assert_eq!(fixture.get("/function/f").await.status, StatusCode::NOT_FOUND);
    assert!(is_running(&pid) && !pending.is_finished());
    std::fs::write(path("go"), "").unwrap();
    assert_eq!(pending.await.unwrap(), StatusCode::OK);
    let metrics = fixture.get("/metrics").await;
    assert!(!metrics.text().contains("f.openfaas-fn"), "what is gone is not counted: {}", metrics.text());
    until("it ends then", async || (!is_running(&pid)).then_some(())).await;
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_call_for_a_removed_function_becomes_a_dead_letter() {
    let recorder = Recorder::default();
    recorder.answers("/", &[503]);
    let function = recorder.listen().await;
    let fixture = crate::support::start_with(OWN, |options| {
        options.queue.initial_delay = std::time::Duration::from_secs(6);
        options.queue.max_attempts = 2;
    })
    .await;
    let there = json!({ "service": "f", "annotations": { "faasflow.url": format!("http://{}", function.address) } });
    accepted(&fixture, Method::POST, &there).await;
    assert_eq!(fixture.post("/async-function/f", "x").await.status, StatusCode::ACCEPTED);
    recorder.until(1).await;
    assert_eq!(remove(&fixture, "f").await.status, StatusCode::ACCEPTED);
    assert_eq!(fixture.post("/async-function/f", "x").await.status, StatusCode::NOT_FOUND);
    let letters = until("the dead letter", async || {
        let letters = fixture.get("/system/queue/dead-letters").await.json();
        (letters.as_array()?.len() == 1).then_some(letters)
    })
    .await;
    assert!(letters[0]["reason"].as_str().unwrap().contains("the function `f` is not deployed"), "{letters}");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_survive_a_restart_of_the_gateway() {
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    let folder = folder(OWN);
    server::put_into(folder.path());
    let fixture = start_in(folder, |_| {}).await.unwrap();
    accepted(&fixture, Method::POST, &command("cat", "cat")).await;
    accepted(&fixture, Method::POST, &program("program", "one")).await;
    accepted(&fixture, Method::PUT, &program("program", "two")).await;
    accepted(&fixture, Method::POST, &command("gone", "cat")).await;
    assert_eq!(remove(&fixture, "gone").await.status, StatusCode::ACCEPTED);
    let there = json!({ "service": "url", "annotations": { "faasflow.url": format!("http://{}", function.address) } });
    accepted(&fixture, Method::POST, &there).await;
    let before = fixture.get("/system/functions").await.json();
    let path = fixture.folder.path().join(".faasflow/functions");
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("cat.json"))), (0o700, 0o600));
    let folder = fixture.folder;
    fixture.gateway.stop().await;

    // As after a kill in the middle of a write.
    std::fs::write(path.join(".new-1-2"), "{").unwrap();
    let fixture = start_in(folder, |_| {}).await.unwrap();
    fixture.gateway.ready().await.unwrap();
    let strip = |mut all: Value| {
        for one in all.as_array_mut().unwrap() {
            let one = one.as_object_mut().unwrap();
            if one["name"] == "own" {
                one.remove("createdAt");
            }
            one.remove("availableReplicas");
        }
        all
    };
    assert_eq!(strip(fixture.get("/system/functions").await.json()), strip(before));
    assert_eq!(fixture.post("/function/cat", "body").await.text(), "body");
    assert_eq!(fixture.get("/function/program").await.text(), "two");
    assert_eq!(fixture.get("/function/url").await.text(), "answer");
    assert!(!path.join(".new-1-2").exists());
    let folder = fixture.folder;
    fixture.gateway.stop().await;

    // The stack wins, and the file stays for the time when the stack no longer names the function.
    crate::support::write_stack(&folder, "cat:\n  fprocess: tr a-z A-Z\n");
    let fixture = start_in(folder, |_| {}).await.unwrap();
    assert_eq!(fixture.post("/function/cat", "body").await.text(), "BODY");
    assert_eq!(remove(&fixture, "cat").await.status, StatusCode::CONFLICT);
    let folder = fixture.folder;
    fixture.gateway.stop().await;

    for (text, reason) in [
        ("{", "EOF while parsing"),
        ("{\"version\": 2}", "it has version 2, and this program reads versions up to 1"),
        ("{\"version\": 1, \"created_ms\": 1, \"deployment\": {\"service\": \"other\"}}", "it holds `other`"),
    ] {
        std::fs::write(path.join("bad.json"), text).unwrap();
        let mut options = crate::support::options(&folder);
        options.watch = false;
        let refused = options.start(tokio::sync::mpsc::unbounded_channel().0).await.unwrap_err();
        assert_eq!(refused.help().as_deref(), Some("correct the file, or remove it and deploy the function again"));
        let refused = faasflow_core::chain(&refused);
        let file = path.join("bad.json").display().to_string();
        assert!(refused.contains(&file) && refused.contains(reason), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_can_be_deployed_to_a_gateway_without_a_stack() {
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    let folder = folder(&url("unused", function.address));
    let path = folder.path().to_owned();
    let fixture = start_in(folder, |options| options.stack = Stack::empty(&path)).await.unwrap();
    fixture.gateway.ready().await.unwrap();
    assert_eq!(fixture.get("/system/functions").await.json(), json!([]));
    let none = fixture.get("/function/f").await;
    assert_eq!(none.text(), "the function `f` is not deployed; no function is\n");
    accepted(&fixture, Method::POST, &command("f", "cat")).await;
    assert_eq!(fixture.post("/function/f", "x").await.text(), "x");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_never_starts_ends_with_the_next() {
    let folder = folder(OWN);
    server::put_into(folder.path());
    let fixture = start_in(folder, |_| {}).await.unwrap();
    accepted(&fixture, Method::POST, &program("f", "one")).await;
    assert_eq!(fixture.get("/function/f").await.text(), "one");
    let mut hanging = program("f", "");
    hanging["envProcess"] = json!("sh -c 'echo $$ >> hanging; exec sleep 1000'");
    let mut pids = Vec::new();
    for count in 1..=4 {
        accepted(&fixture, Method::PUT, &hanging).await;
        pids = until("it is started", async || {
            let text = std::fs::read_to_string(fixture.folder.path().join("hanging")).ok()?;
            let pids: Vec<String> = text.lines().map(str::to_owned).collect();
            (text.ends_with('\n') && pids.len() == count).then_some(pids)
        })
        .await;
    }
    let last = pids.pop().unwrap();
    let ended = until("the others end", async || (!pids.iter().any(|pid| is_running(pid))).then_some(()));
    // Before they would end because they do not listen.
    tokio::time::timeout(std::time::Duration::from_secs(20), ended).await.unwrap();
    assert!(is_running(&last));

    // The good one still serves. When it ends, requests wait until it runs again.
    fixture.get("/function/f/die").await;
    until("it ends", async || {
        let events = fixture.events.lock().unwrap();
        let died =
            |event: &_| matches!(event, faasflow_gateway::Event::Exited { how, .. } if how.contains("exit status: 7"));
        events.iter().any(died).then_some(())
    })
    .await;
    let got = fixture.get("/function/f").await;
    assert_eq!((got.status, got.text()), (StatusCode::OK, "one"));
    fixture.gateway.stop().await;
    assert!(!is_running(&last));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_sends_its_body_first_learns_of_a_refusal() {
    let fixture = crate::support::start_with(OWN, |options| options.basic_auth = true).await;
    let address = fixture.gateway.address();
    for (header, status) in [("Origin: http://page", "403"), ("X-Own: 1", "401")] {
        // More than the buffers of the system hold.
        let length = 15 << 20;
        let status_line = tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address)?;
            write!(
                stream,
                "POST /system/functions HTTP/1.1\r\nHost: x\r\n{header}\r\nContent-Length: {length}\r\n\r\n"
            )?;
            stream.write_all(&vec![b' '; length])?;
            let mut status_line = [0; 12];
            stream.read_exact(&mut status_line)?;
            std::io::Result::Ok(String::from_utf8_lossy(&status_line).into_owned())
        });
        assert_eq!(status_line.await.unwrap().unwrap(), format!("HTTP/1.1 {status}"));
        // A caller that sends `Expect` gets the refusal at once.
        let status_line = tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(address)?;
            write!(
                stream,
                "POST /system/functions HTTP/1.1\r\nHost: x\r\n{header}\r\nExpect: 100-continue\r\nContent-Length: \
                 {length}\r\n\r\n"
            )?;
            let mut status_line = [0; 12];
            stream.read_exact(&mut status_line)?;
            std::io::Result::Ok(String::from_utf8_lossy(&status_line).into_owned())
        });
        assert_eq!(status_line.await.unwrap().unwrap(), format!("HTTP/1.1 {status}"));
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_deployment_is_no_larger_than_the_request() {
    let fixture = start(OWN).await;
    let mut deployment = command("f", "cat");
    deployment["constraints"] = json!(vec!["a"; 1000]);
    accepted(&fixture, Method::POST, &deployment).await;
    let stored = std::fs::metadata(fixture.folder.path().join(".faasflow/functions/f.json")).unwrap().len() as usize;
    let sent = deployment.to_string().len();
    assert!(stored < sent + 300, "{stored} of {sent}");
    fixture.gateway.stop().await;
}
