//! Commands, with a process for each request: their variables, their failures, and callers that disconnect.

use std::time::Duration;

use crate::support::{Fixture, PATIENCE, Recorder, start, start_with, until, url};
use axum::body::Body;
use futures_util::stream;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

/// Prints its variables, and then its input.
const SHOW: &str =
    "show:\n  environment:\n    OWN: value\n    Http_X_Mode: own\n  fprocess: sh -c 'env; echo BODY=$(cat)'\n";

async fn shown(fixture: &Fixture, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Vec<String> {
    let got = fixture.send(Method::POST, path, headers, body).await;
    assert_eq!(got.status, StatusCode::OK, "{got:?}");
    String::from_utf8_lossy(&got.body).lines().map(str::to_owned).collect()
}

fn assert_lines(lines: &[String], expected: &[&str]) {
    for line in expected {
        assert!(lines.iter().any(|found| found == line), "{line}\n{lines:#?}");
    }
}

/// The log of a function.
async fn log(fixture: &Fixture, name: &str) -> String {
    fixture.get(&format!("/system/logs?name={name}")).await.text().to_owned()
}

async fn letter(fixture: &Fixture) -> Value {
    let letters = until("a dead letter", async || {
        let letters = fixture.get("/system/queue/dead-letters").await.json();
        (letters.as_array().unwrap().len() == 1).then_some(letters)
    })
    .await;
    fixture.get(&format!("/system/queue/dead-letters/{}", letters[0]["id"])).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_the_proxy_header_reaches_no_function() {
    let recorder = Recorder::default();
    let function = recorder.listen().await;
    let fixture = start(&format!("{SHOW}{}", url("server", function.address))).await;
    for spelling in ["Proxy", "PROXY", "proxy", "pRoXY"] {
        // Several headers, to test that not only the first is removed.
        let headers = [(spelling, "http://127.0.0.1:9/"), (spelling, "http://127.0.0.1:9/"), ("X-Proxy", "own")];
        let lines = shown(&fixture, "/function/show", &headers, "").await;
        assert!(!lines.iter().any(|line| line.contains("127.0.0.1:9")), "{spelling}: {lines:#?}");
        assert_lines(&lines, &["Http_X_Proxy=own"]);
        for route in ["function", "async-function"] {
            fixture.send(Method::POST, &format!("/{route}/server"), &headers, "").await;
        }
    }
    for seen in recorder.until(8).await {
        assert_eq!((seen.header("proxy"), seen.header("x-proxy")), (None, Some("own")));
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h1_a_header_replaces_no_variable() {
    let fixture = start(SHOW).await;
    let headers = [
        ("method", "forged"),
        ("path", "forged"),
        ("query", "forged"),
        ("contentlength", "forged"),
        ("x-mode", "forged"),
        ("x_forwarded_for", "forged"),
    ];
    let lines = shown(&fixture, "/function/show/p", &headers, "12345").await;
    assert!(!lines.iter().any(|line| line.contains("forged")), "{lines:#?}");
    assert_lines(&lines, &["Http_Method=POST", "Http_Path=/p", "Http_ContentLength=5", "Http_X_Mode=own"]);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h5_a_command_sees_the_variables_of_both_watchdogs() {
    let fixture = start(SHOW).await;
    let headers = [
        ("cookie", "a=1"),
        ("x-many", "first"),
        ("cookie", "b=2"),
        ("x-many", "second"),
        ("x-forwarded-for", "192.0.2.1"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
    ];
    let parts = ["the ", "body"].map(|part| Ok::<_, std::io::Error>(bytes::Bytes::from(part)));
    let chunked = Body::from_stream(stream::iter(parts));
    let lines = shown(&fixture, "/function/show/a%20b/caf%C3%A9?q=a%20b", &headers, chunked).await;
    let host = fixture.gateway.address().to_string();
    assert_lines(
        &lines,
        &[
            "Http_Path=/a b/café",
            "Http_Query=q=a%20b",
            "Http_Cookie=a=1; b=2",
            "Http_X_Many=first",
            "Http_Content_Length=8",
            "Http_ContentLength=8",
            "Http_Transfer_Encoding=chunked",
            "Http_X_Forwarded_For=192.0.2.1, 127.0.0.1",
            &format!("Http_X_Forwarded_Host={host}"),
            &format!("Http_Host={host}"),
            "BODY=the body",
        ],
    );
    let named = |name: &str| lines.iter().any(|line| line.starts_with(name));
    assert!(named("Http_X_Call_Id=") && named("Http_X_Start_Time="), "{lines:#?}");
    assert!(!named("Http_Connection=") && !named("Http_X_Hop="), "{lines:#?}");

    let lines = shown(&fixture, "/function/show", &[("content-type", "text/x")], "whole").await;
    assert_lines(&lines, &["Http_Content_Length=5", "Http_ContentLength=5", "Http_Content_Type=text/x"]);
    assert!(!lines.iter().any(|line| line.starts_with("Http_Transfer_Encoding")), "{lines:#?}");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h5_a_path_that_cannot_be_a_variable_is_refused() {
    let fixture = start(SHOW).await;
    let got = fixture.post("/function/show/a%00b", "").await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    assert!(got.text().contains("%00"), "{}", got.text());
    // The system limits a variable to 128 KiB. The gateway's limit for a head is higher.
    let long = "x".repeat(140 * 1024);
    let got = fixture.send(Method::POST, "/function/show", &[("x-long", &long)], "").await;
    assert_eq!(got.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "{}", got.text());
    assert!(got.text().contains("cannot be started"), "{}", got.text());
    fixture.post("/async-function/show/a%00b", "").await;
    let letter = letter(&fixture).await;
    assert_eq!((&letter["status"], &letter["attempts"]), (&json!(400), &json!(1)));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h6_a_failure_includes_the_output_of_the_command() {
    let fixture = start(
        "out:\n  fprocess: sh -c 'echo \"row 17 has no price\"; exit 3'\n\
         both:\n  fprocess: sh -c 'echo partial; echo \"no price\" >&2; exit 4'\n\
         apart:\n  fprocess: sh -c 'echo partial; echo \"no price\" >&2; exit 4'\n  environment: {combine_output: false}\n\
         killed:\n  fprocess: sh -c 'echo until then; kill -9 $$$$'\n\
         late:\n  fprocess: sh -c 'echo begun; sleep 600'\n  environment: {exec_timeout: 1s}\n\
         bytes:\n  fprocess: sh -c \"printf 'a\\377b'; exit 1\"\n\
         silent:\n  fprocess: sh -c 'exit 1'\n\
         absent:\n  fprocess: ./no/such/program\n\
         folder:\n  fprocess: ./\n",
    )
    .await;
    for (name, status, text, logged) in [
        ("out", 500, "exit status 3\nrow 17 has no price\n", &["row 17 has no price", "gateway: exit status 3"][..]),
        ("both", 500, "exit status 4\nno price\npartial\n", &["no price", "partial", "gateway: exit status 4"]),
        ("apart", 500, "exit status 4\npartial\n", &["no price", "partial", "gateway: exit status 4"]),
        ("killed", 502, "signal: 9 (SIGKILL)\nuntil then\n", &["until then", "gateway: signal: 9 (SIGKILL)"]),
        ("late", 408, "killed: the function took longer than exec_timeout, 1s\nbegun\n", &["begun", "gateway: killed"]),
        ("bytes", 500, "exit status 1\na\u{fffd}b\n", &["a\u{fffd}b"]),
        ("silent", 500, "exit status 1\n", &["gateway: exit status 1"]),
        (
            "absent",
            500,
            "`./no/such/program` cannot be started: No such file or directory (os error 2)\n",
            &["No such"],
        ),
        ("folder", 500, "`./` cannot be started: Permission denied (os error 13)\n", &["Permission denied"]),
    ] {
        let got = fixture.post(&format!("/function/{name}"), "x").await;
        assert_eq!((got.status.as_u16(), got.text()), (status, text), "{name}");
        assert_eq!(got.header("content-type"), Some("text/plain; charset=utf-8"));
        let log = log(&fixture, name).await;
        for line in logged {
            assert!(log.contains(line), "{name}: {line}\n{log}");
        }
        // One line for each. A program that is missing is also reported before the first call.
        let absent = matches!(name, "absent" | "folder");
        assert_eq!(log.contains("gateway: the program `./"), absent, "{name}: {log}");
        assert_eq!(log.matches("gateway: ").count(), 1 + usize::from(absent), "{name}: {log}");
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h6_a_dead_letter_has_the_cause_and_the_output() {
    for (process, cause, body) in [
        ("sh -c 'echo \"row 17 has no price\"; exit 3'", "exit status 3: row 17 has no price", "row 17 has no price"),
        (
            "sh -c 'echo out; echo Traceback >&2; echo \"KeyError: 17\" >&2; exit 1'",
            "exit status 1: KeyError: 17",
            "out",
        ),
        ("./absent", "`./absent` cannot be started: No such file or directory (os error 2)", "No such file"),
    ] {
        let fixture = start(&format!("f:\n  fprocess: {}\n", json!(process))).await;
        fixture.post("/async-function/f", "x").await;
        let letter = letter(&fixture).await;
        assert_eq!(letter["reason"], json!(format!("it answered 500 Internal Server Error: {cause}")));
        assert_eq!((&letter["status"], &letter["attempts"]), (&json!(500), &json!(1)));
        assert!(letter["answer_body"].as_str().unwrap().contains(body), "{letter}");
        fixture.gateway.stop().await;
    }
}

/// The function repeats credentials of the call. They are masked in the list, in the letter and in the gateway's log.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_shown_without_credentials() {
    let process = "sh -c 'cat; echo \"not for $Http_Authorization\"; exit 3'";
    let fixture = start(&format!("f:\n  fprocess: {}\n", json!(process))).await;
    let headers = [("authorization", "Bearer t0ken-5678"), ("x-own", "of t0ken-5678")];
    fixture.send(Method::POST, "/async-function/f?a=t0ken-5678", &headers, "by t0ken-5678,").await;
    let masked = letter(&fixture).await;
    assert!(!masked.to_string().contains("t0ken"), "{masked}");
    assert_eq!((&masked["masked"], &masked["target"]), (&json!(true), &json!("?a=[secret]")));
    assert_eq!(
        (&masked["body"], &masked["answer_body"]),
        (&json!("by [secret],"), &json!("exit status 3\nby [secret],not for [secret]\n"))
    );
    let has =
        |letter: &Value, name: &str, value: &str| letter["headers"].as_array().unwrap().contains(&json!([name, value]));
    assert!(has(&masked, "authorization", "[secret]") && has(&masked, "x-own", "of [secret]"), "{masked}");
    let list = fixture.get("/system/queue/dead-letters").await.text().to_owned();
    assert!(list.contains("exit status 3: ") && !list.contains("t0ken"), "{list}");

    let path = format!("/system/queue/dead-letters/{}?masked=", masked["id"]);
    let whole = fixture.get(&format!("{path}false")).await.json();
    assert_eq!((&whole["masked"], &whole["body"]), (&json!(false), &json!("by t0ken-5678,")));
    assert!(has(&whole, "authorization", "Bearer t0ken-5678"), "{whole}");
    assert_eq!(whole["answer_body"], json!("exit status 3\nby t0ken-5678,not for Bearer t0ken-5678\n"));
    let refused = fixture.get(&format!("{path}no")).await;
    let why = "`masked` is `no`: write `false` to see credentials, or `true`\n";
    assert_eq!((refused.status, refused.text()), (StatusCode::BAD_REQUEST, why));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h6_endless_output_is_cut_off() {
    let fixture = start_with(
        "out:\n  fprocess: sh -c 'echo first; yes'\n\
         err:\n  fprocess: sh -c 'echo first >&2; head -c 100000000 /dev/zero | tr \"\\0\" x >&2; echo >&2; echo last >&2; exit 1'\n\
         combined:\n  fprocess: sh -c 'head -c 100000000 /dev/zero | tr \"\\0\" x >&2'\n  environment: {combine_output: true}\n",
        // A machine under load takes long for so much.
        |options| options.upstream_timeout = 2 * PATIENCE,
    )
    .await;
    let got = fixture.post("/function/out", "").await;
    assert_eq!(got.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(got.text().starts_with("killed: its output is larger than 67108864 bytes\nfirst\n"), "{:.200}", got.text());
    assert!(got.body.len() < 40_000 && got.text().contains(" bytes left out]\n"), "{}", got.body.len());
    let got = fixture.post("/function/err", "").await;
    assert!(
        got.text().starts_with("exit status 1\nfirst\n") && got.text().ends_with("\nlast\n"),
        "{:.200}",
        got.text()
    );
    assert!(got.body.len() < 40_000, "{}", got.body.len());
    let got = fixture.post("/function/combined", "").await;
    assert!(got.text().starts_with("killed: its output is larger than"), "{:.200}", got.text());
    fixture.gateway.stop().await;
}

/// A command that begins, waits for permission to go on, and records that it has ended.
const SLOW: &str =
    "slow:\n  fprocess: sh -c 'touch begun; until [ -e go ]; do sleep 0.02; done; echo work; touch done'\n";

impl Fixture {
    async fn until_there(&self, file: &str) {
        until(file, async || self.folder.path().join(file).exists().then_some(())).await;
    }

    fn touch(&self, file: &str) {
        std::fs::write(self.folder.path().join(file), "").unwrap();
    }
}

/// Sends a request and disconnects before the answer.
async fn leave(fixture: &Fixture, request: Request<Body>) {
    let asking = tokio::spawn({
        let client = fixture.client.clone();
        async move { client.send(request).await.map(drop) }
    });
    fixture.until_there("begun").await;
    asking.abort();
    let _ = asking.await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h9_a_command_whose_caller_left_finishes_its_work() {
    let fixture = start(SLOW).await;
    let headers = [("x-call-id", "left")];
    leave(&fixture, fixture.request(Method::POST, "/function/slow", &headers, Body::from("x"))).await;
    until("it is logged", async || log(&fixture, "slow").await.contains("the caller is gone").then_some(())).await;
    assert!(!fixture.folder.path().join("done").exists());
    fixture.touch("go");
    fixture.until_there("done").await;
    let logged = until("its end is logged", async || {
        let log = fixture.get("/system/logs?request=left").await.text().to_owned();
        log.contains("after its caller had left").then_some(log)
    })
    .await;
    assert!(logged.contains("exit status 0") && logged.contains("5 bytes of output"), "{logged}");
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h9_a_command_whose_caller_left_keeps_its_limits() {
    let environment = "  environment: {exec_timeout: 1s, max_inflight: 1}\n";
    let fixture = start(&format!("{SLOW}{environment}")).await;
    leave(&fixture, fixture.request(Method::POST, "/function/slow", &[], Body::from("x"))).await;
    until("its end is logged", async || log(&fixture, "slow").await.contains("exec_timeout, 1s").then_some(())).await;
    assert!(!fixture.folder.path().join("done").exists());
    // It holds its place while it runs, and then frees it.
    fixture.touch("go");
    until("there is a place", async || {
        (fixture.post("/function/slow", "x").await.status == StatusCode::OK).then_some(())
    })
    .await;
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h9_a_stop_waits_for_abandoned_commands_and_then_kills_them() {
    for finishes in [true, false] {
        let grace = if finishes { Duration::from_secs(60) } else { Duration::from_millis(100) };
        let fixture = start_with(SLOW, |options| options.grace = grace).await;
        leave(&fixture, fixture.request(Method::POST, "/function/slow", &[], Body::from("x"))).await;
        until("it is logged", async || log(&fixture, "slow").await.contains("the caller is gone").then_some(())).await;
        let Fixture { gateway, folder, .. } = fixture;
        let go = folder.path().join("go");
        tokio::join!(biased; gateway.stop(), async {
            if finishes {
                std::fs::write(&go, "").unwrap();
            }
        });
        // A killed command does nothing more.
        std::fs::write(&go, "").unwrap();
        if !finishes {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert_eq!(folder.path().join("done").exists(), finishes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn h9_a_caller_that_leaves_before_the_start_starts_nothing() {
    let fixture = start(&format!("{SLOW}  environment: {{max_inflight: 1}}\n")).await;
    fixture.touch("go");
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<&'static str>();
    let parts = stream::unfold(receiver, |mut receiver| async move {
        let part = receiver.recv().await?;
        Some((Ok::<_, std::io::Error>(bytes::Bytes::from(part)), receiver))
    });
    sender.send("half").unwrap();
    let request = fixture.request(Method::POST, "/function/slow", &[], Body::from_stream(parts));
    let client = fixture.client.clone();
    let asking = tokio::spawn(async move { client.send(request).await.map(drop) });
    let counted = async |line: &str| {
        let metrics = fixture.get("/metrics").await.text().to_owned();
        metrics.lines().any(|found| found == line).then_some(())
    };
    let started = "gateway_function_invocation_started{function_name=\"slow.openfaas-fn\"} 1";
    until("it is under way", async || counted(started).await).await;
    asking.abort();
    let _ = asking.await;
    let ended = async || {
        let metrics = fixture.get("/metrics").await.text().to_owned();
        let ended = |line: &str| line.starts_with("gateway_function_invocation_total") && line.ends_with(" 1");
        metrics.lines().any(ended).then_some(())
    };
    until("it has ended", ended).await;
    assert!(!fixture.folder.path().join("begun").exists());
    assert!(!log(&fixture, "slow").await.contains("the caller is gone"));
    // Its place is free again.
    assert_eq!(fixture.post("/function/slow", "x").await.status, StatusCode::OK);
    fixture.gateway.stop().await;
}
