//! A flow function that is killed in the middle of a phase: the queue delivers again, and the request ends.

use crate::support::{Recorder, Up, makeuserid, post, signal, stack, until, url};
use faasflow_http::HttpClient;
use http::StatusCode;

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_killed_in_the_middle_of_a_phase_goes_on() {
    let recorder = Recorder::listen().await;
    let functions = ["titleize", "to-xml", "format-xml"].map(|name| url(name, recorder.address)).concat();
    let folder = stack(&(functions + &makeuserid()));
    let up = Up::start(folder.path(), &folder.path().join("state"));
    let client = HttpClient::new(crate::support::PATIENCE);
    let results = format!("http://{}/results", recorder.address);
    let headers = [("content-type", "application/json"), ("x-faasflow-callback-url", results.as_str())];
    let user = r#"{"name":"Ada","email":"a@b.c"}"#.to_owned();
    let accepted = post(&client, format!("{}/async-function/makeuserid", up.url), &headers, user).await;
    assert_eq!(accepted.0, StatusCode::ACCEPTED);

    // In each of its phases: the function is called and has not answered when the flow is killed.
    for function in ["/titleize", "/to-xml", "/format-xml"] {
        until("the function is called", async || (recorder.arrived(function) == 1).then_some(())).await;
        signal("-KILL", up.process("makeuserid"));
        until("it is called again", async || (recorder.arrived(function) >= 2).then_some(())).await;
        recorder.allow(1);
    }
    // The result, and whatever calls the killed processes may have left behind.
    recorder.allow(100);
    let results = until("the request ends", async || {
        let seen = recorder.seen();
        let results: Vec<_> = seen.into_iter().filter(|seen| seen.path == "/results").collect();
        (!results.is_empty()).then_some(results)
    })
    .await;
    let result = &results[0];
    assert_eq!(result.header("x-faasflow-request-id"), Some(accepted.1.as_str()));
    assert_eq!(result.header("x-faasflow-outcome"), Some("success"));
    assert_eq!(result.body, r#"{"id":"ada","name":"Ada","email":"a@b.c"}"#);
    let printed = up.printed().join("\n");
    assert!(printed.contains("makeuserid: it ended with signal: 9 (SIGKILL)"), "{printed}");
    assert_eq!(up.stop(), Some(0));
}
