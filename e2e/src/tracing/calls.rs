//! Calls that are retried or fail, and data that no trace may contain.

use std::sync::Arc;

use http::StatusCode;

use super::stand::{SECRET, Stand};
use super::trace::Trace;
use super::tree::{Tree, call, callback, forwarded, phase, request};
use crate::server::free_port;
use crate::suite::{Suite, expect};

const FLOW: &str = "guarded";

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    suite.check("a call that is answered with 503 once: its attempts are events", retried(stand.clone())).await;
    suite.check("a function that fails: the step, the request, and its kind of error", failed(stand.clone())).await;
    suite.check("a caller's URL that cannot be reached is no secret told", unreachable(stand.clone())).await;
    suite.check("over HTTP it is the same as over gRPC", over_http(stand.clone())).await;
}

/// Sends a request with the secret in its query, a header and its payload. Returns its id and trace id.
async fn send(stand: &Stand, status: u16) -> Result<(String, String, usize), String> {
    let (id, trace) = stand.id();
    let headers = [("x-faasflow-request-id", id.as_str()), ("authorization", SECRET), ("x-other", SECRET)];
    let payload = format!("a payload with the {SECRET} in it");
    let bytes = payload.len();
    stand.invoke("function", &format!("{FLOW}?token={SECRET}"), &headers, payload).await?.expect(status)?;
    Ok((id, trace, bytes))
}

/// Searches everything that Jaeger has about a trace for the secret.
fn expect_no_secret(trace: &Trace) -> Result<(), String> {
    let at = trace.raw.find(SECRET);
    expect(at.is_none(), || {
        let around = &trace.raw.as_bytes()[at.unwrap_or_default().saturating_sub(120)..];
        format!("the secret is in the trace: …{:.200}", String::from_utf8_lossy(around))
    })
}

async fn compare(stand: &Stand, trace: &str, tree: &Tree) -> Result<(), String> {
    let trace = stand.jaeger.until(trace, tree.spans()).await?;
    expect_no_secret(&trace)?;
    trace.expect(tree)?;
    trace.expect_times()?;
    trace.expect_service(FLOW)
}

/// The first step, which sends the secret in its query.
fn first(stand: &Stand, id: &str, bytes: usize) -> Tree {
    let url = format!("{}/function/one?token=REDACTED", stand.url);
    call(id, 1, &stand.url, "one", (bytes, bytes)).with("url.full", url)
}

async fn retried(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    stand.recorder.answer_once("two", StatusCode::SERVICE_UNAVAILABLE);
    let (id, trace, bytes) = send(&stand, 200).await?;
    let asked = stand.recorder.seen("two").len();
    expect(asked == 2, || format!("the function was asked {asked} times"))?;
    let only = phase(FLOW, &id, 1, 200).with("faasflow.outcome", "success");
    let again = call(&id, 2, &stand.url, "two", (bytes, bytes)).with("faasflow.attempts", 2);
    let only = only
        .child(first(&stand, &id, bytes))
        .child(again.event("attempt", &[("faasflow.attempt", "1"), ("http.response.status_code", "503")]))
        .child(callback(&id, 3, stand.recorder.url("").trim_end_matches('/'), (bytes, bytes)));
    compare(&stand, &trace, &request(FLOW, &id, 1, "success").child(only)).await?;

    // Each got the span of its step, and both attempts got the same.
    let found = stand.jaeger.until(&trace, 5).await?;
    let hook = found.children(found.children(found.request()?)[0])[2].name.clone();
    for (function, name) in [("one", "call one"), ("two", "call two"), ("hook", hook.as_str())] {
        let expected = format!("00-{trace}-{}-01", found.span(name)?.id);
        for seen in stand.recorder.seen(function) {
            let parent = seen.header("traceparent");
            expect(parent == Some(&expected), || format!("`{function}` was told {parent:?}, not {expected}"))?;
        }
    }
    Ok(())
}

async fn failed(stand: Arc<Stand>) -> Result<(), String> {
    // Its answer is the payload, which contains the secret.
    stand.recorder.answer_once("one", StatusCode::INTERNAL_SERVER_ERROR);
    let (id, trace, bytes) = send(&stand, 500).await?;
    let found = stand.jaeger.until(&trace, 3).await?;
    let reason = found.request()?.error.clone().unwrap_or_default();
    expect(reason.contains("500"), || format!("the request's reason is `{reason}`"))?;
    let logged = format!("step 1 (function `one`) failed: {reason}");
    let step = first(&stand, &id, bytes).with("http.response.status_code", 500).failed("response", &reason);
    let step = step.event("attempt", &[("faasflow.attempt", "1"), ("http.response.status_code", "500")]);
    let only = phase(FLOW, &id, 1, 500).with("faasflow.outcome", "failure").failed("response", &reason);
    let only = only.exception("response", &logged).child(step.exception("response", &logged));
    let tree = request(FLOW, &id, 1, "failure").failed("response", &reason).child(only);
    compare(&stand, &trace, &tree).await
}

async fn unreachable(stand: Arc<Stand>) -> Result<(), String> {
    let (id, trace) = stand.id();
    let report = format!("http://127.0.0.1:{}/{SECRET}?token={SECRET}", free_port()?);
    let headers = [("x-faasflow-request-id", id.as_str()), ("x-faasflow-callback-url", report.as_str())];
    // The request has not ended. The delivery tries the URL until its time is up.
    stand.invoke("function", FLOW, &headers, SECRET).await?.expect(503)?;
    let trace = stand.jaeger.until(&trace, 5).await?;
    expect_no_secret(&trace)?;
    let phase = trace.span("phase 1")?;
    let report_event = phase.events.iter().find(|event| event.name == "report");
    expect(report_event.is_some(), || format!("the phase does not say what came of the report:\n{trace}"))
}

async fn over_http(stand: Arc<Stand>) -> Result<(), String> {
    let flow = "relay-http";
    let (id, trace) = stand.id();
    stand.invoke("function", flow, &[("x-faasflow-request-id", &id)], "over HTTP").await?.expect(202)?;
    let one = |number, name: &str| call(&id, number, &stand.url, name, (9, 9));
    let noted = format!("{}/function/one?note=REDACTED", stand.url);
    let tree = request(flow, &id, 3, "success")
        .child(forwarded(phase(flow, &id, 1, 202), "2").child(one(1, "one").with("url.full", noted)))
        .child(forwarded(phase(flow, &id, 2, 200), "3").child(one(2, "two")))
        .child(phase(flow, &id, 3, 200).with("faasflow.outcome", "success").child(one(3, "three")));
    let trace = stand.jaeger.until(&trace, tree.spans()).await?;
    trace.expect(&tree)?;
    trace.expect_times()?;
    trace.expect_service(flow)
}
