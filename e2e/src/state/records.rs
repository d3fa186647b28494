//! Requests that are remembered in the backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime};

use faasflow::{Complete, Flow, FlowBuilder, ForEach, Outcome};
use faasflow_core::headers;
use faasflow_core::signature::api_request;
use faasflow_testkit::{Answer, Fake, Reply, Running, TestKit};
use futures_util::future::try_join_all;
use http::Method;
use serde_json::{Value, json};

use super::backend::Backend;
use crate::suite::{Suite, expect};

const FUNCTIONS: [&str; 3] = ["one", "two", "three"];
/// How long to wait for something that must happen.
const LIMIT: Duration = Duration::from_secs(120);
/// How long to wait for calls that must not come.
const QUIET: Duration = Duration::from_millis(500);

pub(super) async fn run(suite: &Suite, backend: &Arc<Backend>) {
    suite.check("records: status, result and the list by status", told(backend.clone())).await;
    suite.check("records: 50 starts under one id are one execution", started_once(backend.clone())).await;
    suite.check("records: a for-each begins no item during a pause", paused(backend.clone())).await;
    suite.check("records: a request that is stopped executes nothing more", stopped(backend.clone())).await;
    suite.check("records: a redrive of a for-each calls only the item that failed", redriven(backend.clone())).await;
    suite.check("records: 50 requests that the queue has lost are recovered", recovered(backend.clone())).await;
    suite.check("records: they expire, and nothing is listed", expired(backend.clone())).await;
    suite.check("records: requests of all outcomes leave nothing that never expires", left(backend.clone())).await;
    let restarted_name = "records: killed and started again in the middle of 20 requests: none is executed twice";
    suite.check(restarted_name, restarted(backend.clone())).await;
    if !backend.is_minio() {
        let name = "records: all data is lost in the middle of requests: they end rightly or not at all, and new ones are served";
        suite.check(name, emptied(backend.clone())).await;
    }
}

/// A flow of three phases. Its functions echo.
fn chain(backend: &Backend) -> FlowBuilder {
    FUNCTIONS.into_iter().fold(Flow::builder().state(backend.manager()), |flow, name| flow.apply(name))
}

/// A for-each, and a call after its join.
fn each(backend: &Backend, at_most: u32) -> FlowBuilder {
    let items = ForEach::new(Flow::builder().apply("one")).at_most(at_most).complete(Complete::All);
    Flow::builder().state(backend.manager()).for_each(items).apply("two")
}

/// A kit whose flow has a name of its own, because all kits share the list of requests in the backend.
fn kit(flow: FlowBuilder, name: &str) -> TestKit {
    let kit = TestKit::new(flow.build().expect("the flow is well defined")).setting("workflow_name", name);
    FUNCTIONS.into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo()))
}

async fn get(kit: &Running, path: &str) -> Answer {
    kit.request("").method(Method::GET).path(path).answer().await
}

/// Sends a signed request to the API.
async fn asked(kit: &Running, method: Method, target: &str) -> Answer {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    let at = u64::try_from(now).unwrap_or(u64::MAX);
    let described: Value = get(kit, "/_/flow").await.json();
    let flow = described["name"].as_str().unwrap_or_default();
    let (name, signature) = kit.sign(api_request(flow, method.as_str(), target, at).as_bytes());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut request = kit.request("").method(method).path(path);
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        request = request.query(key, value);
    }
    let signature = signature.to_str().unwrap_or_default().to_owned();
    request.header(headers::SIGNED_AT, at.to_string()).header(name, signature).answer().await
}

async fn did(kit: &Running, target: &str) -> Result<Value, String> {
    let answer = asked(kit, Method::POST, target).await;
    expect(answer.status == 200, || format!("{target} was answered with {}: {}", answer.status, answer.text()))?;
    Ok(answer.json())
}

/// The ids on the list.
async fn listed(kit: &Running, query: &str) -> Result<Vec<String>, String> {
    let answer = asked(kit, Method::GET, &format!("/_/requests{query}")).await;
    expect(answer.status == 200, || format!("the list was answered with {}: {}", answer.status, answer.text()))?;
    let list: Value = answer.json();
    let lines = list["requests"].as_array().cloned().unwrap_or_default();
    Ok(lines.iter().filter_map(|line| Some(line["id"].as_str()?.to_owned())).collect())
}

async fn status(kit: &Running, id: &str) -> Result<Value, String> {
    let answer = get(kit, &format!("/_/requests/{id}")).await;
    expect(answer.status == 200, || format!("{id}: {}: {}", answer.status, answer.text()))?;
    Ok(answer.json())
}

/// How long something that must happen takes.
struct Patience {
    what: String,
    begun: Instant,
}

impl Patience {
    fn until(what: impl Into<String>) -> Patience {
        Patience { what: what.into(), begun: Instant::now() }
    }

    /// Waits for a moment, unless it has taken too long already.
    async fn wait(&self) -> Result<(), String> {
        expect(self.begun.elapsed() < LIMIT, || format!("{}: not within {LIMIT:?}", self.what))?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(())
    }
}

/// Waits for the end of a request, which must have this status.
async fn ended(kit: &Running, id: &str, expected: &str) -> Result<Value, String> {
    let patience = Patience::until(format!("the end of {id}"));
    loop {
        let now = status(kit, id).await?;
        if now["ended_ms"].is_null() {
            patience.wait().await?;
            continue;
        }
        expect(now["status"] == expected, || format!("{id} has not ended as {expected}: {now}"))?;
        return Ok(now);
    }
}

/// Waits for the success of a request, whose result must be this.
async fn succeeded(kit: &Running, id: &str, result: &str) -> Result<(), String> {
    ended(kit, id, "success").await?;
    let answer = get(kit, &format!("/_/requests/{id}/result")).await;
    let is_right =
        answer.status == 200 && answer.outcome() == Some(Outcome::Success) && answer.body == result.as_bytes();
    expect(is_right, || format!("the result of {id} is {}: {}", answer.status, answer.text()))
}

async fn start(kit: &Running, id: &str, body: &str) -> Result<(), String> {
    let answer = kit.request(body.to_owned()).header(headers::REQUEST_ID, id).answer().await;
    expect(answer.status == 202, || format!("{id} was answered with {}: {}", answer.status, answer.text()))
}

/// How often each function was called.
fn calls(kit: &Running) -> [usize; 3] {
    FUNCTIONS.map(|name| kit.calls(name).len())
}

fn called(kit: &Running, expected: [usize; 3]) -> Result<(), String> {
    let calls = calls(kit);
    expect(calls == expected, || format!("the functions were called {calls:?} times, not {expected:?}"))
}

async fn told(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(chain(&backend), "told").start().await;
    let unknown = get(&kit, "/_/requests/unknown").await.status;
    expect(unknown == 404, || format!("an unknown request is answered with {unknown}"))?;
    start(&kit, "done", "photo").await?;
    succeeded(&kit, "done", "photo").await?;
    kit.hold_queue();
    start(&kit, "open", "photo").await?;
    let running = status(&kit, "open").await?;
    let places = json!([running["places"][0]["status"], running["places"][1]["status"]]);
    let is_right = running["status"] == "running" && places == json!(["done", "running"]);
    expect(is_right, || format!("a request in its second phase has the status {running}"))?;
    let early = get(&kit, "/_/requests/open/result").await.status;
    expect(early == 202, || format!("the result of a request in progress is answered with {early}"))?;

    let lists =
        (listed(&kit, "").await?, listed(&kit, "?status=success").await?, listed(&kit, "?status=running").await?);
    expect(lists.0 == ["open", "done"], || format!("not all from the newest to the oldest: {lists:?}"))?;
    expect((lists.1.as_slice(), lists.2.as_slice()) == (&["done".to_owned()], &["open".to_owned()]), || {
        format!("not those of the status: {lists:?}")
    })?;
    kit.release_queue();
    succeeded(&kit, "open", "photo").await?;
    let patience = Patience::until("nothing runs on the list");
    while !listed(&kit, "?status=running").await?.is_empty() {
        patience.wait().await?;
    }
    called(&kit, [2, 2, 2])
}

async fn started_once(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(chain(&backend), "once").start().await;
    let starts = (0..50).map(|_| {
        let kit = &kit;
        async move { start(kit, "order", "same").await }
    });
    try_join_all(starts).await?;
    succeeded(&kit, "order", "same").await?;
    let other = kit.request("other").header(headers::REQUEST_ID, "order").answer().await;
    expect(other.status == 409, || format!("another body was answered with {}", other.status))?;
    called(&kit, [1, 1, 1])
}

async fn paused(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(each(&backend, 4), "paused").start().await;
    kit.hold_function("one");
    start(&kit, "p", &json!((0..40).collect::<Vec<_>>()).to_string()).await?;
    kit.until_called("one", 4).await;
    let told = did(&kit, "/_/requests/p/pause").await?;
    expect(told["status"] == "paused", || format!("the pause was answered with {told}"))?;
    // The calls that are in progress end.
    kit.release_function("one");
    kit.until_idle().await;
    called(&kit, [4, 0, 0])?;
    expect(status(&kit, "p").await?["status"] == "paused", || "it is not paused".to_owned())?;
    let paused = listed(&kit, "?status=paused").await?;
    expect(paused == ["p"], || format!("the list of paused requests is {paused:?}"))?;
    did(&kit, "/_/requests/p/resume").await?;
    ended(&kit, "p", "success").await?;
    called(&kit, [40, 1, 0])
}

async fn stopped(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(chain(&backend), "stopped").start().await;
    kit.hold_queue();
    start(&kit, "s", "x").await?;
    for _ in 0..2 {
        let told = did(&kit, "/_/requests/s/stop").await?;
        expect(told["status"] == "stopped", || format!("the stop was answered with {told}"))?;
    }
    kit.release_queue();
    kit.until_delivered(1).await;
    ended(&kit, "s", "stopped").await?;
    let result = get(&kit, "/_/requests/s/result").await;
    let is_stopped = result.status == 409 && result.outcome() == Some(Outcome::Stopped);
    expect(is_stopped, || format!("the result was answered with {}: {}", result.status, result.text()))?;
    called(&kit, [1, 0, 0])
}

async fn redriven(backend: Arc<Backend>) -> Result<(), String> {
    let mended = Arc::new(AtomicBool::new(false));
    let is_mended = mended.clone();
    let fails = Fake::with(move |call| match call.text() == "3" && !is_mended.load(SeqCst) {
        true => Reply::new("").status(400),
        false => Reply::new(call.text()),
    });
    let kit = kit(each(&backend, 2), "redriven").function("one", fails).start().await;
    let list = json!((1..=10).collect::<Vec<_>>()).to_string();
    start(&kit, "r", &list).await?;
    ended(&kit, "r", "failure").await?;
    // It is listed so when everything that happens at its end is done.
    let patience = Patience::until("it is listed as failed");
    while listed(&kit, "?status=failure").await?.is_empty() {
        patience.wait().await?;
    }
    let before = kit.calls("one").len();
    mended.store(true, SeqCst);
    did(&kit, "/_/requests/r/redrive").await?;
    succeeded(&kit, "r", &list).await?;
    for item in 1..=10 {
        let calls = kit.calls("one").iter().filter(|call| call.text() == item.to_string()).count();
        let expected = if item == 3 { 2 } else { 1 };
        expect(calls == expected, || {
            format!("item {item} was called {calls} times, {before} items before the redrive")
        })?;
    }
    called(&kit, [11, 1, 0])
}

async fn recovered(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(chain(&backend), "recovered").start().await;
    kit.hold_queue();
    let starts = (0..50).map(|number| {
        let kit = &kit;
        async move { start(kit, &format!("lost-{number}"), "x").await }
    });
    try_join_all(starts).await?;
    kit.lose_queue();
    kit.release_queue();
    let told = did(&kit, "/_/recover?older=0s&force=true").await?;
    let count = told["recovered"].as_array().map_or(0, Vec::len);
    expect(count == 50, || format!("{count} of 50 requests go on: {told}"))?;
    for number in 0..50 {
        succeeded(&kit, &format!("lost-{number}"), "x").await?;
    }
    called(&kit, [50, 50, 50])
}

async fn expired(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(chain(&backend), "expired").setting("keep_records", "1s").start().await;
    start(&kit, "e", "x").await?;
    let patience = Patience::until("the record has expired");
    while get(&kit, "/_/requests/e").await.status != 410 {
        patience.wait().await?;
    }
    let result = get(&kit, "/_/requests/e/result").await.status;
    expect(result == 410, || format!("its result was answered with {result}"))?;
    // S3 does not remove what has expired by itself.
    did(&kit, "/_/recover").await?;
    let status = get(&kit, "/_/requests/e").await.status;
    expect(status == 410, || format!("after `recover`, it was answered with {status}"))?;
    let left = listed(&kit, "").await?;
    expect(left.is_empty(), || format!("still on the list: {left:?}"))?;
    called(&kit, [1, 1, 1])
}

/// 40 requests end in all ways, and the lists shrink when they have expired.
async fn left(backend: Arc<Backend>) -> Result<(), String> {
    let name = "left";
    let flow = chain(&backend).on_failure(async |_: faasflow::Context, failure: faasflow::Failure| {
        if failure.payload().bytes() == "recovered" { failure.recover("better") } else { failure.decline() }
    });
    let fails = Fake::with(|call| match call.text().as_str() {
        "recovered" | "failure" => Reply::new("").status(400),
        other => Reply::new(other.to_owned()),
    });
    let kit = kit(flow, name).function("two", fails).setting("keep_records", "15s").start().await;
    kit.hold_queue();
    let outcomes = ["success", "recovered", "failure", "stopped"];
    for number in 0..40 {
        let (id, outcome) = (format!("left-{number}"), outcomes[number % 4]);
        start(&kit, &id, outcome).await?;
        if outcome == "stopped" {
            did(&kit, &format!("/_/requests/{id}/stop")).await?;
        }
    }
    kit.release_queue();
    let patience = Patience::until("all have ended");
    while !listed(&kit, "?status=running").await?.is_empty() {
        patience.wait().await?;
    }
    let immortal = backend.immortal(name).await?;
    expect(immortal == 0, || format!("{immortal} values of requests that have ended have no time to live"))?;
    let entries = backend.entries(name).await?;
    expect(entries > 0, || "the lists are looked for in the wrong place".to_owned())?;
    let patience = Patience::until("the lists are empty");
    while backend.entries(name).await? > 0 {
        did(&kit, "/_/recover").await?;
        patience.wait().await?;
    }
    let expired = get(&kit, "/_/requests/left-0").await.status;
    expect(expired == 410, || format!("the record of a request was answered with {expired}"))
}

async fn restarted(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(chain(&backend), "restarted").setting("write_timeout", "25s").start().await;
    let requests = (0..20u64).map(|number| {
        let kit = &kit;
        async move {
            // Requests follow each other, so that the fault hits every phase of some request.
            tokio::time::sleep(Duration::from_millis(number * 10)).await;
            start(kit, &format!("killed-{number}"), "x").await
        }
    });
    let (started, power) = tokio::join!(try_join_all(requests), async {
        kit.until_called("two", 3).await;
        backend.kill().await?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        backend.again().await
    });
    power?;
    started?;
    for number in 0..20 {
        succeeded(&kit, &format!("killed-{number}"), "x").await?;
    }
    called(&kit, [20, 20, 20])
}

/// Redis that has started again without its data looks like this.
async fn emptied(backend: Arc<Backend>) -> Result<(), String> {
    let (chained, list) = (kit(chain(&backend), "emptied").start().await, json!([1, 2, 3, 4, 5]).to_string());
    let joined = kit(each(&backend, 2), "emptied-each").start().await;
    for kit in [&chained, &joined] {
        kit.hold_queue();
    }
    for number in 0..10 {
        start(&chained, &format!("chain-{number}"), "x").await?;
        start(&joined, &format!("each-{number}"), &list).await?;
    }
    backend.command("FLUSHALL").await?;
    for kit in [&chained, &joined] {
        kit.release_queue();
        let patience = Patience::until("the queue is empty");
        while !kit.queued().is_empty() {
            patience.wait().await?;
        }
    }
    // What is in an envelope goes on.
    chained.until_called("three", 10).await;
    tokio::time::sleep(QUIET).await;
    for (kit, request, right) in [(&chained, "chain", "x"), (&joined, "each", list.as_str())] {
        for number in 0..10 {
            let id = format!("{request}-{number}");
            let result = get(kit, &format!("/_/requests/{id}/result")).await;
            let is_right = result.status == 200 && result.body == right.as_bytes();
            let is_told = [202, 404, 410, 503].contains(&result.status.as_u16());
            expect(is_right || is_told, || format!("{id} is answered with {}: {}", result.status, result.text()))?;
        }
    }
    called(&chained, [10, 10, 10])?;
    // A join never fires with a part of its items.
    let other = joined.calls("two").into_iter().map(|call| call.text()).find(|text| *text != list);
    expect(other.is_none(), || format!("the join has fired with {other:?}"))?;
    start(&chained, "after", "x").await?;
    succeeded(&chained, "after", "x").await?;
    start(&joined, "after-each", &list).await?;
    succeeded(&joined, "after-each", &list).await
}
