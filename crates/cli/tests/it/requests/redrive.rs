//! `faasflow requests redrive`.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{FakeGateway, answer, json as json_answer, problem, status, unknown};
use crate::support::{faasflow, signal, until};

/// A gateway with failed requests of one flow, `f0` and so on, and one that was stopped. What a redrive answers depends on the
/// id, and on how often it came before.
async fn failed(count: usize, redrive: fn(&str, usize) -> axum::response::Response) -> FakeGateway {
    FakeGateway::listen(move |what, times| {
        if what == "GET /system/flows" {
            return json_answer(r#"["upload"]"#);
        }
        if let Some(query) = what.strip_prefix("GET /system/flows/upload/requests?") {
            let listed: Vec<_> = match query.contains("status=failure") {
                true => (0..count)
                    .map(|n| json!({ "id": format!("f{n}"), "status": "failure", "started_ms": 1000 + n }))
                    .rev()
                    .collect(),
                false => vec![json!({ "id": "s0", "status": "stopped", "started_ms": 500 })],
            };
            return json_answer(&json!({ "version": 1, "requests": listed }).to_string());
        }
        match what.strip_prefix("POST /system/flows/upload/requests/").and_then(|rest| rest.split_once("/redrive")) {
            Some((id, _)) => redrive(id, times),
            None => json_answer(&status(what.rsplit('/').next().unwrap(), "failure")),
        }
    })
    .await
}

fn starts(id: &str, _: usize) -> axum::response::Response {
    json_answer(&format!(r#"{{"version":1,"id":"{id}","status":"running","generation":1}}"#))
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_requests_are_listed_and_each_is_started_once_oldest_first() {
    let gateway = failed(3, starts).await;
    let ran = gateway.run(&["requests", "redrive", "--failed", "--since", "1h", "--yes"]);
    assert_eq!((ran.code(), ran.stderr()), (0, ""), "{ran:?}");
    assert!(ran.stdout().starts_with("ID  FLOW    STATUS   STARTED\nf0  upload  failure  "), "{ran:?}");
    assert!(ran.stdout().ends_with("\nStarted 3 of 3 requests\n"), "{ran:?}");
    let path = |id: &str| format!("POST /system/flows/upload/requests/{id}/redrive?from=failed");
    assert_eq!(gateway.sent("POST"), ["f0", "f1", "f2"].map(path));
    assert_eq!(gateway.sent("GET")[1], "GET /system/flows/upload/requests?status=failure&since=1h&limit=1000");
    let ran = gateway.run(&["requests", "redrive", "--failed", "--stopped", "--from", "2", "--yes", "--json"]);
    let started: Vec<_> = ran.json()["started"].as_array().unwrap().iter().map(|one| one["id"].clone()).collect();
    assert_eq!(started, ["s0", "f0", "f1", "f2"], "{ran:?}");
    assert_eq!(ran.json()["started"][0], json!({ "flow": "upload", "id": "s0", "generation": 1 }));
    assert_eq!(gateway.sent("POST")[3], "POST /system/flows/upload/requests/s0/redrive?from=2");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_started_without_a_yes_or_in_a_dry_run() {
    let gateway = failed(2, starts).await;
    let ran = gateway.run(&["requests", "redrive", "--failed"]);
    let says = "error[FF0931]: 2 requests would be redriven, and nobody can be asked\n";
    assert!(ran.code() == 4 && ran.stderr().starts_with(says) && ran.stderr().contains("`--yes`"), "{ran:?}");
    assert_eq!(ran.stdout().lines().count(), 3);
    gateway.run(&["requests", "redrive", "--failed", "--dry-run", "--reason", "FF0310", "--search", "a b"]);
    let target = "GET /system/flows/upload/requests?status=failure&search=a+b&reason=FF0310&details=true&limit=1000";
    assert!(gateway.sent("GET").iter().any(|sent| sent == target), "{:?}", gateway.sent("GET"));
    let ran = gateway.run(&["requests", "redrive", "--failed", "--dry-run"]);
    assert_eq!((ran.code(), ran.stdout().lines().count()), (0, 3));
    assert_eq!(ran.stderr(), "2 requests would be redriven. Nothing was changed.\n");
    let ran = gateway.run(&["requests", "redrive", "--failed", "--dry-run", "--json"]);
    assert_eq!(ran.json()["would_redrive"][1]["id"], "f1");
    assert_eq!(gateway.sent("POST"), [""; 0]);
    for wrong in [
        &["redrive"][..],
        &["redrive", "--flow", "upload"],
        &["redrive", "a", "--failed"],
        &["redrive", "a", "--from", "0"],
        &["redrive", "a", "--rate", "0"],
    ] {
        assert_eq!(gateway.run(&[&["requests"], wrong].concat()).code(), 2, "{wrong:?}");
    }
    let none = failed(0, starts).await;
    let ran = none.run(&["requests", "redrive", "--failed"]);
    assert_eq!((ran.code(), ran.stdout()), (0, "Started 0 of 0 requests\n"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_named_are_started_without_a_question() {
    let gateway = failed(0, starts).await;
    let ran = gateway.run(&["requests", "redrive", "b", "a"]);
    assert_eq!((ran.code(), ran.stdout(), ran.stderr()), (0, "Started 2 of 2 requests\n", ""));
    let path = |id: &str| format!("POST /system/flows/upload/requests/{id}/redrive?from=failed");
    assert_eq!(gateway.sent("POST"), ["b", "a"].map(path));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_summed_up_with_their_reasons_and_busy_flows_are_asked_again() {
    let gateway = failed(9, |id, times| match (id, times) {
        ("f0", 0) => answer(503, &[("retry-after", "0")], r#"{"reason":"its store is away"}"#),
        ("f1" | "f2", _) => answer(409, &[], r#"{"reason":"it runs","status":"running"}"#),
        ("f3", _) => problem(410, "its records have expired"),
        _ => starts(id, times),
    })
    .await;
    let ran = gateway.run(&["requests", "redrive", "--failed", "--yes", "--rate", "1000"]);
    assert_eq!(ran.code(), 1);
    assert!(ran.stdout().ends_with("\nStarted 6 of 9 requests, 3 refused\n"), "{ran:?}");
    let says = "\
error[FF0930]: 3 of 9 requests could not be redriven
  cause: f1, f2: it runs (its status is running)
  cause: f3: its records have expired (FF0328)
  help: look at one with `faasflow requests show ID`
";
    assert_eq!((ran.stderr(), gateway.sent("POST").len()), (says, 10));
}

/// The first attempt has started it, although it was answered with 503.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_an_attempt_without_an_answer_has_started_counts_as_started() {
    let gateway = FakeGateway::listen(|what, times| match (what, times) {
        ("GET /system/flows/upload/requests/a", 0) => json_answer(&status("a", "failure")),
        ("GET /system/flows/upload/requests/a", _) => {
            json_answer(&status("a", "running").replace("\"generation\":0", "\"generation\":1"))
        }
        (_, 0) => answer(503, &[("retry-after", "0")], r#"{"reason":"the queue is away"}"#),
        _ => answer(409, &[], r#"{"reason":"it has not ended; stop it first","status":"running"}"#),
    })
    .await;
    let ran = gateway.run(&["requests", "redrive", "a", "--flow", "upload", "--json"]);
    let started = json!([{ "flow": "upload", "id": "a", "generation": 1 }]);
    assert_eq!((ran.code(), &ran.json()["started"], &ran.json()["refused"]), (0, &started, &json!([])), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_request_does_not_keep_the_others_from_being_started() {
    let gateway = FakeGateway::listen(|what, times| match what {
        "GET /system/flows" => json_answer(r#"["upload"]"#),
        _ if what.contains("/nope") => unknown(),
        _ if what.starts_with("GET ") => json_answer(&status(what.rsplit('/').next().unwrap(), "failure")),
        _ => starts("a", times),
    })
    .await;
    let ran = gateway.run(&["requests", "redrive", "nope", "a", "b"]);
    assert_eq!((ran.code(), ran.stdout()), (1, "Started 2 of 2 requests\n"), "{ran:?}");
    assert!(ran.stderr().starts_with("error[FF0927]: no flow knows the request `nope`\n"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_request_needs_a_phase_to_start_from() {
    let gateway = failed(0, |_, _| answer(409, &[], r#"{"reason":"it has not failed","status":"parked"}"#)).await;
    let ran = gateway.run(&["requests", "redrive", "a"]);
    assert!(ran.stderr().contains("  help: name the phase to start from with `--from N`\n"), "{ran:?}");
    let ran = gateway.run(&["requests", "redrive", "a", "--from", "2"]);
    assert!(ran.code() == 1 && !ran.stderr().contains("--from"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_without_records_is_named_once() {
    let gateway = FakeGateway::listen(|what, _| match what {
        "GET /system/flows" => json_answer(r#"["off"]"#),
        _ => answer(501, &[], r#"{"reason":"records are off"}"#),
    })
    .await;
    let ran = gateway.run(&["requests", "redrive", "--failed", "--stopped"]);
    assert_eq!(ran.stderr(), "The flow `off` does not remember its requests.\n", "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_started_no_faster_than_the_rate() {
    let gateway = failed(5, starts).await;
    let started = Instant::now();
    let ran = gateway.run(&["requests", "redrive", "--failed", "--yes", "--rate", "5"]);
    assert!(ran.code() == 0 && started.elapsed() >= Duration::from_millis(800), "{:?}", started.elapsed());
}

/// A wrong password or key is the same for every request.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_signature_ends_the_redrive() {
    let gateway = failed(5, |_, _| problem(401, "the signature does not match")).await;
    let ran = gateway.run(&["requests", "redrive", "--failed", "--yes"]);
    assert_eq!((ran.code(), gateway.sent("POST").len()), (1, 1));
    assert!(ran.stdout().ends_with("\nStarted 0 of 5 requests, 5 not tried\n"), "{ran:?}");
    assert!(
        ran.stderr().contains("cannot redrive the request `f0`\n  cause: the signature does not match\n"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_a_redrive_and_the_summary_says_how_far_it_came() {
    let gateway = failed(50, starts).await;
    let mut command = faasflow();
    command.args(["requests", "redrive", "--failed", "--yes", "--rate", "2", "--gateway", &gateway.url]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("two requests", async || Some(()).filter(|()| gateway.sent("POST").len() >= 2)).await;
    signal("-INT", child.id());
    let output = tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let count = gateway.sent("POST").len();
    let says = format!("\nStarted {count} of 50 requests, {} not tried\n", 50 - count);
    assert!(stdout.ends_with(&says), "{stdout}");
    assert!(
        stderr.starts_with("error[FF0912]: the command was interrupted before it had redriven all requests\n"),
        "{stderr}"
    );
}
