//! What OpenFaaS's parts do to a request, and how flows handle that.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use faasflow::Flow;
use faasflow_testkit::{Fake, TestKit};
use futures_util::stream;

use super::stand::Stand;
use crate::recorder::ReceivedRequest;
use crate::suite::{Suite, expect};

pub(super) const PATIENCE: Duration = Duration::from_secs(40);

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    suite.check("a flow of one phase answers, also as NAME.openfaas-fn", one_phase(stand.clone())).await;
    suite.check("a flow of three phases goes through the queue to its end", three_phases(stand.clone())).await;
    suite.check("invoked asynchronously, and as NAME.openfaas-fn, it does as well", asynchronous(stand.clone())).await;
    suite.check("header and query of the caller reach the last phase", propagation(stand.clone())).await;
    suite.check("bodies arrive whole, with a length and in chunks", chunked(stand.clone())).await;
    suite.check("X-Start-Time may come twice", start_time(stand.clone())).await;
    suite.check("X-Callback-Url gets what the first phase answered, once", callback_url(stand.clone())).await;
    suite.check("X-Faasflow-Callback-Url gets the end", report(stand.clone())).await;
    suite.check("an envelope over the queue's limit fails clearly", too_large(stand.clone())).await;
    suite.check("with a state manager it passes", stored(stand.clone())).await;
    suite.check("forged and unsigned envelopes are refused, and logged", forged(stand.clone())).await;
    suite.check("a call that fails is no delivery to repeat", failure(stand.clone())).await;
    suite.check("the table: a body over the queue's limit", over_the_limit(stand.clone())).await;
    suite.check("the table: a call id that comes twice", duplicate(stand.clone())).await;
    suite.check("the table: a queued call that is answered with 503", unavailable(stand.clone())).await;
    suite.check("a call of an unknown function is answered with its name", unknown(stand.clone())).await;
}

async fn one_phase(stand: Arc<Stand>) -> Result<(), String> {
    for name in ["direct", "direct.openfaas-fn"] {
        stand.recorder.clear();
        let answer = stand.invoke("function", name, &[], "to the byte\n\n").await?.expect(200)?;
        expect(answer.body == "to the byte\n\n", || format!("it answered {:?}", answer.text()))?;
        let calls = (stand.recorder.seen("one").len(), stand.recorder.seen("two").len());
        expect(calls == (1, 1), || format!("its functions were called {calls:?} times"))?;
    }
    Ok(())
}

/// Waits for the end of a flow `relay`: the call of its last function.
async fn relayed(stand: &Stand, body: &str) -> Result<ReceivedRequest, String> {
    let seen = stand.recorder.until("three", 1, PATIENCE).await?;
    let last = seen[0].clone();
    expect(last.body == body, || format!("`three` was sent {:?}", String::from_utf8_lossy(&last.body)))?;
    Ok(last)
}

async fn three_phases(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    let answer =
        stand.invoke("function", "relay", &[("content-type", "text/x-e2e")], "three phases").await?.expect(202)?;
    expect(answer.body.is_empty(), || format!("the answer has a body: {}", answer.text()))?;
    expect(answer.header("x-faasflow-request-id").is_some(), || "it names no request".to_owned())?;
    let last = relayed(&stand, "three phases").await?;
    expect(last.header("content-type") == Some("text/x-e2e"), || "the content type got lost".to_owned())?;
    for name in ["one", "two", "three"] {
        let calls = stand.recorder.seen(name).len();
        expect(calls == 1, || format!("`{name}` was called {calls} times"))?;
    }
    Ok(())
}

async fn asynchronous(stand: Arc<Stand>) -> Result<(), String> {
    for name in ["relay", "relay.openfaas-fn"] {
        stand.recorder.clear();
        let answer = stand.invoke("async-function", name, &[], name).await?.expect(202)?;
        let id = answer.header("x-call-id").ok_or("the 202 names no call")?.to_owned();
        let last = relayed(&stand, name).await?;
        let request = last.header("x-faasflow-request-id").unwrap_or_default();
        expect(request == id, || format!("the call is {id}, and the request {request}"))?;
    }
    Ok(())
}

async fn propagation(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    let headers = [("x-user", "ada"), ("accept", "text/plain")];
    stand.invoke("function", "relay?name=Ada%20L&other=1", &headers, "propagate").await?.expect(202)?;
    let last = relayed(&stand, "propagate").await?;
    expect(last.query == "name=Ada+L" || last.query == "name=Ada%20L", || format!("the query is {}", last.query))?;
    expect(last.header("x-user") == Some("ada"), || "the caller's header got lost".to_owned())?;
    let first = &stand.recorder.seen("one")[0];
    expect(first.header("x-step") == Some("first"), || "the call's own header got lost".to_owned())?;
    let note = &first.query;
    expect(note == "note=a+b%26c" || note == "note=a%20b%26c", || format!("the call's query is {note}"))?;
    expect(first.method == "POST" && first.path == "/", || format!("it is a {} of {}", first.method, first.path))
}

async fn chunked(stand: Arc<Stand>) -> Result<(), String> {
    let body: Bytes = (0..200_000u32).map(|at| (at % 251) as u8).collect::<Vec<_>>().into();
    for whole in [true, false] {
        stand.recorder.clear();
        let sent = if whole {
            Body::from(body.clone())
        } else {
            let chunks: Vec<_> =
                body.chunks(7001).map(|chunk| Ok::<_, std::io::Error>(Bytes::copy_from_slice(chunk))).collect();
            Body::from_stream(stream::iter(chunks))
        };
        let answer = stand.invoke("function", "direct", &[], sent).await?.expect(200)?;
        expect(answer.body == body, || format!("{} bytes came back", answer.body.len()))?;
        // The called function sees how the gateway changes a request.
        let through = stand.invoke("function", "callee", &[], body.clone()).await?.expect(200)?;
        expect(through.body == body, || "a plain function got something else".to_owned())?;
        let seen = stand.recorder.seen("callee").pop().ok_or("`callee` was not called")?;
        let with_length = seen.header("content-length").is_some();
        expect(with_length != stand.real, || {
            format!("the function's request has a length: {with_length}; docs/reference/openfaas.md says otherwise")
        })?;
    }
    Ok(())
}

async fn start_time(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    stand.invoke("async-function", "callee/some/path?q=1", &[("x-user", "ada")], "queued").await?.expect(202)?;
    let seen = stand.recorder.until("callee", 1, PATIENCE).await?.remove(0);
    let times = seen.headers.get_all("x-start-time").iter().count();
    let documented = if stand.real { 2 } else { 1 };
    expect(times == documented, || {
        format!("X-Start-Time came {times} times; docs/reference/openfaas.md says {documented}")
    })?;
    expect(seen.path == "/some/path" && seen.query == "q=1", || {
        format!("it was sent to {}?{}", seen.path, seen.query)
    })?;
    expect(seen.header("x-user") == Some("ada"), || "the caller's header got lost".to_owned())
}

async fn callback_url(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    let callback = stand.recorder.url("callback");
    stand.invoke("async-function", "callee", &[("x-callback-url", &callback)], "plain").await?.expect(202)?;
    let heard = stand.recorder.until("callback", 1, PATIENCE).await?.remove(0);
    expect(heard.body == "plain", || format!("the callback has {:?}", heard.body))?;
    for (name, value) in [("x-function-status", "200"), ("x-function-name", "callee")] {
        expect(heard.header(name) == Some(value), || format!("{name} is {:?}", heard.header(name)))?;
    }
    for name in ["x-call-id", "x-duration-seconds"] {
        expect(heard.header(name).is_some(), || format!("the callback has no {name}"))?;
    }

    stand.recorder.clear();
    stand.invoke("async-function", "relay", &[("x-callback-url", &callback)], "flow").await?.expect(202)?;
    relayed(&stand, "flow").await?;
    stand.recorder.until("callback", 1, PATIENCE).await?;
    drained(&stand).await?;
    let heard = stand.recorder.seen("callback");
    let first = &heard[0];
    expect(heard.len() == 1, || format!("it was called {} times", heard.len()))?;
    expect(first.body.is_empty(), || format!("it got {:?}", first.body))?;
    expect(first.header("x-function-status") == Some("202"), || {
        format!("status {:?}", first.header("x-function-status"))
    })
}

async fn report(stand: Arc<Stand>) -> Result<(), String> {
    for route in ["function", "async-function"] {
        stand.recorder.clear();
        let callback = stand.recorder.url("report");
        stand.invoke(route, "relay", &[("x-faasflow-callback-url", &callback)], "reported").await?.expect(202)?;
        let heard = stand.recorder.until("report", 1, PATIENCE).await?.remove(0);
        expect(heard.body == "reported", || format!("the report has {:?}", heard.body))?;
        let outcome = heard.header("x-faasflow-outcome");
        expect(outcome == Some("success"), || format!("the outcome is {outcome:?}"))?;
    }
    Ok(())
}

async fn too_large(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    let answer = stand.invoke("function", "relay", &[], vec![b'x'; 300_000]).await?.expect(500)?;
    let text = answer.text();
    expect(text.contains("envelope"), || format!("it does not say why: {text}"))?;
    let logs = stand.logs("relay").await?;
    expect(logs.contains("envelope_limit"), || format!("the log does not say what to do: {logs}"))?;
    drained(&stand).await?;
    expect(stand.recorder.seen("two").is_empty(), || "the flow went on".to_owned())
}

async fn stored(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    let sent = vec![b'y'; 3_000_000];
    stand.invoke("function", "relay-stored", &[], sent.clone()).await?.expect(202)?;
    let last = stand.recorder.until("three", 1, PATIENCE).await?.remove(0);
    expect(last.body == sent, || format!("`three` got {} bytes", last.body.len()))
}

/// An envelope of a flow `relay` after its first phase, from a queue of the test kit. Its signature, by the test kit's
/// key, is dropped.
async fn envelope(payload: &'static str) -> Result<Bytes, String> {
    let builder = Flow::builder().apply("one").apply("two").apply("three");
    let mut kit = TestKit::new(builder.build().map_err(|error| error.to_string())?).setting("workflow_name", "relay");
    for name in ["one", "two", "three"] {
        kit = kit.function(name, Fake::echo());
    }
    let kit = kit.start().await;
    kit.hold_queue();
    let request = kit.request(payload);
    let (_, envelope) = tokio::join!(request.send(), async {
        kit.until_queued(1).await;
        let envelope = kit.queued().pop();
        kit.release_queue();
        envelope
    });
    Ok(envelope.ok_or("no envelope was queued")?.1)
}

async fn forged(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    let envelope = envelope("forged").await?;
    let content_type = ("content-type", faasflow_core::envelope::CONTENT_TYPE);
    let forged = format!("sha256={}", "0".repeat(64));
    for (what, signature) in [("unsigned", None), ("forged", Some(forged.as_str()))] {
        let mut headers = vec![content_type];
        headers.extend(signature.map(|signature| ("x-hub-signature", signature)));
        let answer = stand.invoke("function", "relay", &headers, envelope.clone()).await?;
        expect(answer.status == 401, || format!("{what}: {} {}", answer.status, answer.text()))?;
        let callback = stand.recorder.url("refused");
        headers.push(("x-callback-url", &callback));
        stand.invoke("async-function", "relay", &headers, envelope.clone()).await?.expect(202)?;
    }
    let refused = stand.recorder.until("refused", 2, PATIENCE).await?;
    for seen in refused {
        expect(seen.header("x-function-status") == Some("401"), || format!("{:?}", seen.header("x-function-status")))?;
    }
    for name in ["one", "two", "three"] {
        expect(stand.recorder.seen(name).is_empty(), || format!("`{name}` was called"))?;
    }
    // A line can come a moment after the answer.
    let mut logs = String::new();
    let mut refusals = 0;
    for _ in 0..50 {
        logs = stand.logs("relay").await?;
        refusals = logs.lines().filter(|line| line.contains("Refused with 401")).count();
        if refusals >= 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    expect(refusals >= 4, || format!("the log says {refusals} times, not four, that an envelope was refused: {logs}"))
}

async fn failure(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    let callback = stand.recorder.url("report");
    stand.recorder.answer("two", http::StatusCode::INTERNAL_SERVER_ERROR);
    let reported = async {
        stand.invoke("function", "relay", &[("x-faasflow-callback-url", &callback)], "fails").await?.expect(202)?;
        stand.recorder.until("report", 1, PATIENCE).await
    };
    let reported = reported.await;
    stand.recorder.answer("two", http::StatusCode::OK);
    let reported = reported?.remove(0);
    let outcome = reported.header("x-faasflow-outcome");
    expect(outcome == Some("failure"), || format!("the outcome is {outcome:?}"))?;
    expect(stand.recorder.seen("three").is_empty(), || "the flow went on".to_owned())?;
    let calls = stand.recorder.seen("two").len();
    expect(calls == 1, || format!("`two` was called {calls} times"))
}

async fn over_the_limit(stand: Arc<Stand>) -> Result<(), String> {
    stand.invoke("async-function", "callee", &[], vec![b'x'; 256_001]).await?.expect(if stand.real {
        500
    } else {
        413
    })?;
    stand.invoke("async-function", "callee", &[], vec![b'x'; 256_000]).await?.expect(202).map(drop)
}

/// Sends one more call after those under test, because the queue of OpenFaaS delivers in order.
async fn drained(stand: &Stand) -> Result<(), String> {
    stand.invoke("async-function", "one", &[], "drained").await?.expect(202)?;
    stand.recorder.until_sent("one", "drained", 1, PATIENCE).await.map(drop)
}

async fn duplicate(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    let id = format!("twice-{}", stand.real);
    for _ in 0..2 {
        stand.invoke("async-function", "callee", &[("x-call-id", &id)], "twice").await?.expect(202)?;
    }
    let documented = if stand.real { 2 } else { 1 };
    stand.recorder.until_sent("callee", "twice", documented, PATIENCE).await?;
    drained(&stand).await?;
    let calls = stand.recorder.seen("callee").iter().filter(|seen| seen.body == "twice").count();
    expect(calls == documented, || {
        format!("it was delivered {calls} times; docs/reference/openfaas.md says {documented}")
    })
}

async fn unavailable(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    stand.recorder.answer("callee", http::StatusCode::SERVICE_UNAVAILABLE);
    let asked = async {
        stand.invoke("async-function", "callee", &[], "busy").await?.expect(202)?;
        stand.recorder.until_sent("callee", "busy", if stand.real { 1 } else { 2 }, PATIENCE).await
    };
    let asked = asked.await;
    stand.recorder.answer("callee", http::StatusCode::OK);
    asked?;
    if stand.real {
        drained(&stand).await?;
        let calls = stand.recorder.seen("callee").iter().filter(|seen| seen.body == "busy").count();
        expect(calls == 1, || format!("it was delivered {calls} times; docs/reference/openfaas.md says once"))?;
    }
    Ok(())
}

async fn unknown(stand: Arc<Stand>) -> Result<(), String> {
    let answer = stand.invoke("function", "absent", &[], "").await?;
    expect(answer.status.is_client_error() || answer.status.is_server_error(), || format!("{}", answer.status))?;
    expect(answer.text().contains("absent"), || format!("it does not name it: {}", answer.text()))
}
