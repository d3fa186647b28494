//! Requests that are remembered, on a queue that loses what it has.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use faasflow_core::signature::api_request;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::Method;
use serde_json::Value;

use super::stand::Stand;
use crate::client::Answer;
use crate::suite::{Suite, expect};

const FLOW: &str = "six-stored";
const PHASES: usize = 6;
const REQUESTS: usize = 200;
/// How long it may take until all requests have ended.
const PATIENCE: Duration = Duration::from_secs(240);
/// The queue has nothing left to deliver if no function is called for this long.
const QUIET: Duration = Duration::from_secs(4);

pub(super) async fn run(suite: &Suite, stand: &Arc<Stand>) {
    if stand.real {
        let name =
            "the broker loses its queue with 200 requests in progress: they are recovered, and no call is repeated";
        suite.check_within(2 * PATIENCE, name, recovered(stand.clone())).await;
    } else {
        suite.not_done("a queue that is lost", "the queue of the local gateway is on disk");
    }
}

/// Sends a signed request to the API of the flow.
async fn asked(stand: &Stand, method: Method, target: &str) -> Result<Value, String> {
    let at = faasflow_http::now_ms();
    let signature = stand.sign(&api_request(FLOW, method.as_str(), target, at))?;
    let headers = [("x-faasflow-signed-at", at.to_string()), ("x-hub-signature", signature)];
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let url = format!("{}/function/{FLOW}{target}", stand.url);
    let answer = stand.client.send(method, &url, &headers, Body::empty()).await?.expect(200)?;
    serde_json::from_slice(&answer.body).map_err(|error| format!("{target}: {error}: {}", answer.text()))
}

/// How many requests have this status.
async fn count(stand: &Stand, status: &str) -> Result<usize, String> {
    let list = asked(stand, Method::GET, &format!("/_/requests?status={status}&limit=1000")).await?;
    Ok(list["requests"].as_array().map_or(0, Vec::len))
}

fn id(number: usize) -> String {
    format!("lost-{number}")
}

async fn start(stand: &Stand, number: usize) -> Result<Answer, String> {
    let id = id(number);
    stand.invoke("function", FLOW, &[("x-faasflow-request-id", &id)], id.clone()).await?.expect(202)
}

/// Waits until the queue delivers nothing.
async fn quiet(stand: &Stand) {
    let mut calls = stand.recorder.seen("callee").len();
    let mut changed = Instant::now();
    while changed.elapsed() < QUIET {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = stand.recorder.seen("callee").len();
        if now != calls {
            (calls, changed) = (now, Instant::now());
        }
    }
}

async fn recovered(stand: Arc<Stand>) -> Result<(), String> {
    stand.recorder.clear();
    let starts = stream::iter((0..REQUESTS).map(|number| {
        let stand = stand.clone();
        async move { start(&stand, number).await }
    }));
    starts.buffer_unordered(16).try_collect::<Vec<Answer>>().await?;
    // The first phases are executed by now, and some of the others.
    stand.recorder.until("callee", REQUESTS * 5 / 2, PATIENCE).await?;
    stand.kill_broker().await?;
    stand.lose_queue()?;
    stand.start_broker().await?;
    let calls_before = stand.recorder.seen("callee").len();
    let open_before = count(&stand, "running").await?;

    let begun = Instant::now();
    let (mut times, mut posted) = (0, 0);
    loop {
        quiet(&stand).await;
        let open = count(&stand, "running").await?;
        if open == 0 {
            break;
        }
        expect(begun.elapsed() < PATIENCE, || format!("{open} requests are open after {PATIENCE:?}"))?;
        let told = asked(&stand, Method::POST, "/_/recover?older=0s&force=true").await?;
        times += 1;
        posted += told["recovered"].as_array().map_or(0, Vec::len);
    }
    println!(
        "          ({calls_before} of {} calls were made and {open_before} requests open when the queue was lost; {posted} \
         requests were recovered, in {times} calls of `/_/recover`)",
        REQUESTS * PHASES
    );
    expect(posted > 0, || "nothing was lost".to_owned())?;
    for number in 0..REQUESTS {
        let url = format!("{}/function/{FLOW}/_/requests/{}/result", stand.url, id(number));
        let result = stand.get(&url).await?.expect(200)?;
        expect(result.body == id(number), || format!("the result of {} is {}", id(number), result.text()))?;
    }
    let successes = count(&stand, "success").await?;
    expect(successes == REQUESTS, || format!("the list has {successes} successes"))?;
    let mut keys: HashMap<String, usize> = HashMap::new();
    for seen in stand.recorder.seen("callee") {
        *keys.entry(seen.header("idempotency-key").unwrap_or_default().to_owned()).or_default() += 1;
    }
    let repeated = keys.values().filter(|times| **times > 1).count();
    println!("          ({} idempotency keys, {repeated} of them twice or more)", keys.len());
    expect((keys.len(), repeated) == (REQUESTS * PHASES, 0), || {
        format!("there are {} keys, and {repeated} of them came more than once", keys.len())
    })
}
