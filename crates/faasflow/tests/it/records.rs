//! Requests that are remembered: what has become of them, waiting, and what can be done about them from outside.

mod again;
mod ahead;
mod begins;
mod callers;
mod calling;
mod generations;
mod heads;
mod items;
mod labels;
mod lists;
mod over_http;
mod pauses;
mod payloads;
mod places;
mod recoveries;
mod redrives;
mod search;
mod secrets;
mod steps;
mod stops;
mod stuck;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant, SystemTime};

use faasflow::code;
use faasflow::{Call, Complete, Context, Failure, Flow, FlowBuilder, ForEach, Graph, Memory, Outcome};
use faasflow_core::signature::api_request;
use faasflow_testkit::{Answer, Fake, Reply, Running, TestKit};
use futures_util::FutureExt as _;
use http::Method;
use serde_json::{Value, json};

use crate::errors_page::assert_quoted;
use crate::support::{PATIENCE, contract, phases, until};

fn chain() -> FlowBuilder {
    phases(&["one", "two", "three"]).state(Memory::new())
}

fn remembering(flow: FlowBuilder) -> TestKit {
    let kit = TestKit::new(flow.build().unwrap()).setting("records", "on");
    ["one", "two", "three"].into_iter().fold(kit, |kit, name| kit.function(name, Fake::echo()))
}

async fn get(kit: &Running, path: &str) -> Answer {
    let answer = kit.request("").method(Method::GET).path(path).answer().await;
    contract::check(kit, "GET", path, &answer).await;
    answer
}

/// The answer when the request has ended. It is asked for again if the request took longer than the flow waits.
pub(crate) async fn waited(kit: &Running, path: &str) -> Answer {
    let limit = Instant::now() + PATIENCE;
    loop {
        let answer = kit.request("").method(Method::GET).path(path).header("prefer", "wait=50").answer().await;
        contract::check(kit, "GET", path, &answer).await;
        let goes_on = match path.ends_with("/result") {
            true => answer.status == 202,
            false => answer.status == 200 && answer.json::<Value>()["ended_ms"].is_null(),
        };
        if !goes_on || Instant::now() >= limit {
            return answer;
        }
    }
}

/// Whether a request is listed with this status. For one that has ended, that is so when everything that happens at its end is done.
pub(crate) async fn is_listed(kit: &Running, id: &str, status: &str) -> bool {
    let listed: Value = asked(kit, Method::GET, &format!("/_/requests?limit=1000&status={status}")).await.json();
    listed["requests"].as_array().unwrap().iter().any(|request| request["id"] == id)
}

fn now_ms() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis().try_into().unwrap()
}

/// A request to the API that is signed.
pub(crate) async fn asked(kit: &Running, method: Method, target: &str) -> Answer {
    let at = now_ms();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs: Vec<_> =
        query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap()).collect();
    let mut signed = path.to_owned();
    if !pairs.is_empty() {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        signed.extend(["?", &query]);
    }
    let (name, signature) = kit.sign(api_request("flow", method.as_str(), &signed, at).as_bytes());
    let mut request = kit.request("").method(method.clone()).path(path);
    for (key, value) in pairs {
        request = request.query(key, value);
    }
    let signature = signature.to_str().unwrap().to_owned();
    let answer = request.header("x-faasflow-signed-at", at.to_string()).header(name, signature).answer().await;
    contract::check(kit, method.as_str(), target, &answer).await;
    answer
}

pub(crate) async fn did(kit: &Running, target: &str) -> Value {
    let answer = asked(kit, Method::POST, target).await;
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    answer.json()
}

pub(crate) async fn status(kit: &Running, id: &str) -> Value {
    let answer = get(kit, &format!("/_/requests/{id}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test]
async fn status_and_result_of_a_request_that_succeeds() {
    let kit = remembering(chain()).start().await;
    kit.hold_queue();
    let accepted = kit
        .request("photo")
        .header("x-faasflow-request-id", "order-1")
        .header("content-type", "text/plain")
        .answer()
        .await;
    assert_eq!(accepted.status, 202);
    assert_eq!(accepted.header("location"), Some("/function/flow/_/requests/order-1"));
    let running = status(&kit, "order-1").await;
    assert_eq!(running["status"], "running");
    assert_eq!(running["places"][0]["status"], "done");
    assert_eq!(running["places"][1]["status"], "running");
    let result = get(&kit, "/_/requests/order-1/result").await;
    assert_eq!((result.status.as_u16(), result.header("location")), (202, Some("/function/flow/_/requests/order-1")));

    kit.release_queue();
    let ended: Value = waited(&kit, "/_/requests/order-1").await.json();
    assert_eq!(ended["status"], "success");
    assert_eq!(ended["places"].as_array().unwrap().len(), 3);
    assert!(ended["ended_ms"].as_u64() >= ended["started_ms"].as_u64());
    assert_eq!(ended["places"][2]["output"], json!({ "bytes": 5, "content_type": "text/plain" }));
    let result = get(&kit, "/_/requests/order-1/result").await;
    assert_eq!(
        (result.status.as_u16(), result.text().as_str(), result.outcome()),
        (200, "photo", Some(Outcome::Success))
    );
    assert_eq!(result.header("content-type"), Some("text/plain"));

    let listed: Value = asked(&kit, Method::GET, "/_/requests?status=success&limit=1").await.json();
    assert_eq!(listed["requests"][0]["id"], "order-1");
    assert_eq!(listed["requests"][0]["status"], "success");
}

#[tokio::test]
async fn a_caller_that_waits_gets_the_result_without_the_queue() {
    let kit = remembering(chain()).start().await;
    let answer = kit.request("x").header("prefer", "wait=20").answer().await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "x"));
    assert_eq!((answer.outcome(), answer.header("preference-applied")), (Some(Outcome::Success), Some("wait=20")));
    contract::check(&kit, "POST", "/", &answer).await;
    assert!(kit.until_delivered(0).await.is_empty(), "nothing went through the queue");
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [1, 1, 1]);
}

#[tokio::test]
async fn a_preference_does_not_make_an_envelope_a_fresh_request() {
    let kit = remembering(chain()).start().await;
    kit.hold_queue();
    kit.request("x").header("x-faasflow-request-id", "e").answer().await;
    let (headers, body) = kit.queued().remove(0);
    let answer = kit.request(body).headers(headers).header("prefer", "wait=5").answer().await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, ""));
    assert_eq!(["one", "two"].map(|name| kit.calls(name).len()), [1, 1]);
}

/// No queue has such a request. The process that takes the place of the one that died looks for it.
#[tokio::test]
async fn a_request_goes_on_whose_process_dies_while_its_caller_waits() {
    let kit = remembering(chain()).setting("write_timeout", "2s").start().await;
    kit.crash_at("two");
    let request = kit.request("x").header("x-faasflow-request-id", "w").header("prefer", "wait=20");
    assert!(AssertUnwindSafe(request.answer()).catch_unwind().await.is_err(), "the connection should be lost");
    until(async || status(&kit, "w").await["status"] == "success").await;
    assert_eq!(get(&kit, "/_/requests/w/result").await.text(), "x");
    let [one, two, three] = ["one", "two", "three"].map(|name| kit.calls(name).len());
    // The result of the first phase may not have been written yet.
    assert!((1..=2).contains(&one) && (two, three) == (2, 1), "{one} {two} {three}");
}

#[tokio::test]
async fn a_slow_call_outlasts_the_patience_of_its_caller() {
    let kit = remembering(chain()).start().await;
    kit.hold_function("two");
    let answer = kit.request("x").header("x-faasflow-request-id", "slow").header("prefer", "wait=1").answer().await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (202, Some("/function/flow/_/requests/slow")));
    assert_eq!(answer.header("preference-applied"), Some("wait=1"));
    contract::check(&kit, "POST", "/", &answer).await;
    kit.release_function("two");
    let result = waited(&kit, "/_/requests/slow/result").await;
    assert_eq!((result.status.as_u16(), result.text().as_str()), (200, "x"));
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [1, 1, 1]);
}

#[tokio::test]
async fn fifty_starts_under_one_id_are_one_request() {
    let kit = remembering(Flow::builder().state(Memory::new()).apply(Call::new("one").sync())).start().await;
    let starts = (0..50).map(|_| kit.request("same").header("x-faasflow-request-id", "order-2").answer());
    let answers = futures_util::future::join_all(starts).await;
    for answer in &answers {
        assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "same"));
    }
    assert_eq!(kit.calls("one").len(), 1);
    let other = kit.request("other").header("x-faasflow-request-id", "order-2").answer().await;
    assert_eq!((other.status.as_u16(), other.header("x-faasflow-error-code")), (409, Some("FF0415")));
    contract::check(&kit, "POST", "/", &other).await;

    let kit = remembering(chain()).start().await;
    let starts = (0..50).map(|_| kit.request("same").header("x-faasflow-request-id", "order-3").answer());
    for answer in futures_util::future::join_all(starts).await {
        assert_eq!(answer.status, 202);
    }
    assert_eq!(waited(&kit, "/_/requests/order-3/result").await.text(), "same");
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [1, 1, 1]);
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_clearly() {
    let kit = remembering(chain()).start().await;
    for (path, status, code) in [
        ("/_/requests/unknown", 404, "FF0416"),
        ("/_/requests/unknown/result", 404, "FF0416"),
        ("/_/requests/two%20words", 400, "FF0418"),
        ("/_/requests", 401, "FF0407"),
    ] {
        let answer = waited(&kit, path).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-faasflow-error-code")), (status, Some(code)), "{path}");
    }
    for (target, code) in [
        ("/_/requests?limit=0", "FF0418"),
        ("/_/requests?status=done", "FF0418"),
        ("/_/requests?cursor=forged", "FF0418"),
        ("/_/requests?nope=1", "FF0418"),
    ] {
        let answer = asked(&kit, Method::GET, target).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-faasflow-error-code")), (400, Some(code)), "{target}");
    }
    let old = now_ms() - 6 * 60 * 1000;
    let (name, signature) = kit.sign(api_request("flow", "POST", "/_/recover", old).as_bytes());
    let request = kit.request("").path("/_/recover").header("x-faasflow-signed-at", old.to_string());
    let answer = request.header(name, signature.to_str().unwrap()).answer().await;
    assert_eq!((answer.status.as_u16(), answer.header("x-faasflow-error-code")), (401, Some("FF0423")));
    contract::check(&kit, "POST", "/_/recover", &answer).await;

    let kit = remembering(chain()).setting("records", "off").start().await;
    let answer = get(&kit, "/_/requests/any").await;
    assert_eq!((answer.status.as_u16(), answer.header("x-faasflow-error-code")), (501, Some("FF0420")));
}

#[tokio::test]
async fn an_id_that_is_not_valid_is_refused_before_anything_is_executed() {
    let kit = remembering(chain()).start().await;
    for id in [".", "..", "", "two words", "a/b", "%2e%2e", &"9".repeat(129)] {
        let answer = kit.request("x").header("x-faasflow-request-id", id).answer().await;
        assert_eq!((answer.status.as_u16(), answer.header("x-faasflow-error-code")), (400, Some("FF0424")), "{id:?}");
        assert_quoted(code::BAD_REQUEST_ID, answer.json::<Value>()["reason"].as_str().unwrap());
        contract::check(&kit, "POST", "/", &answer).await;
    }
    assert!(kit.calls("one").is_empty());
    for id in ["...", ".hidden", "a..b"] {
        let accepted = kit.request("x").header("x-faasflow-request-id", id).answer().await;
        let location = accepted.header("location").unwrap().strip_prefix("/function/flow").unwrap().to_owned();
        assert_eq!(waited(&kit, &location).await.json::<Value>()["id"], id);
    }
}

#[tokio::test]
async fn a_paused_request_begins_nothing_until_it_is_resumed() {
    let items = ForEach::new(Flow::builder().apply("one")).at_most(4);
    let flow = Flow::builder().state(Memory::new()).for_each(items).apply("two");
    let kit = remembering(flow).start().await;
    kit.hold_function("one");
    let list = json!((0..100).collect::<Vec<_>>()).to_string();
    kit.request(list).header("x-faasflow-request-id", "p").answer().await;
    kit.until_called("one", 4).await;
    assert_eq!(did(&kit, "/_/requests/p/pause").await["status"], "paused");
    kit.release_function("one");
    kit.until_idle().await;
    assert_eq!((kit.calls("one").len(), kit.calls("two").len()), (4, 0), "items begin during the pause");
    assert_eq!(status(&kit, "p").await["status"], "paused");

    assert_eq!(did(&kit, "/_/requests/p/resume").await["status"], "running");
    let ended: Value = waited(&kit, "/_/requests/p").await.json();
    assert_eq!(ended["status"], "success", "{ended}");
    assert_eq!((kit.calls("one").len(), kit.calls("two").len()), (100, 1));
}

#[tokio::test]
async fn a_stopped_request_ends_once() {
    let finals = Arc::new(AtomicUsize::new(0));
    let counting = finals.clone();
    let flow = chain().finally(move |_: Context, outcome: Outcome| {
        counting.fetch_add(usize::from(outcome == Outcome::Stopped), SeqCst);
        async { faasflow::Result::Ok(()) }
    });
    let kit = remembering(flow).callback("end", Fake::echo()).start().await;
    kit.hold_queue();
    let url = kit.callback_url("end");
    kit.request("x").header("x-faasflow-request-id", "s").header("x-faasflow-callback-url", url).answer().await;
    for _ in 0..2 {
        assert_eq!(did(&kit, "/_/requests/s/stop").await["status"], "stopped");
    }
    kit.release_queue();
    kit.until_delivered(1).await;
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [1, 0, 0]);
    assert_eq!((finals.load(SeqCst), kit.calls("callback/end").len()), (1, 1));
    assert_eq!(kit.calls("callback/end")[0].header("x-faasflow-outcome"), Some("stopped"));
    let result = get(&kit, "/_/requests/s/result").await;
    assert_eq!((result.status.as_u16(), result.outcome()), (409, Some(Outcome::Stopped)));
    let refused = asked(&kit, Method::POST, "/_/requests/s/pause").await;
    assert_eq!((refused.status.as_u16(), refused.json::<Value>()["status"].clone()), (409, json!("stopped")));
}

#[tokio::test]
async fn what_a_queue_has_lost_is_recovered() {
    let kit = remembering(chain()).start().await;
    kit.hold_queue();
    for number in 0..20 {
        kit.request(number.to_string()).header("x-faasflow-request-id", format!("r{number}")).answer().await;
    }
    kit.lose_queue();
    kit.release_queue();
    let told = did(&kit, "/_/recover?older=0s").await;
    assert_eq!((told["recovered"].as_array().unwrap().len(), told["older_ms"].as_u64()), (0, Some(65_000)), "{told}");
    let told = did(&kit, "/_/recover?older=0s&force=true").await;
    assert_eq!((told["recovered"].as_array().unwrap().len(), told["older_ms"].as_u64()), (20, Some(0)), "{told}");
    for number in 0..20 {
        let result = waited(&kit, &format!("/_/requests/r{number}/result")).await;
        assert_eq!((result.status.as_u16(), result.text()), (200, number.to_string()));
    }
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [20, 20, 20]);
    let told = did(&kit, "/_/recover?older=0s").await;
    assert_eq!((told["looked_at"].as_u64(), told["recovered"].as_array().unwrap().len()), (Some(0), 0));
}

#[tokio::test]
async fn a_phase_in_progress_is_not_recovered() {
    let kit = remembering(chain()).start().await;
    kit.hold_function("two");
    kit.request("x").header("x-faasflow-request-id", "long").answer().await;
    kit.until_called("two", 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let told = did(&kit, "/_/recover?older=500ms").await;
    assert_eq!((told["looked_at"].as_u64(), told["recovered"].as_array().unwrap().len()), (Some(1), 0), "{told}");
    kit.release_function("two");
    assert_eq!(waited(&kit, "/_/requests/long/result").await.text(), "x");
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [1, 1, 1]);
    let refused = asked(&kit, Method::POST, "/_/recover?force=maybe").await;
    assert_eq!((refused.status.as_u16(), refused.header("x-faasflow-error-code")), (400, Some("FF0418")));
}

/// The process of an attempt that was killed can leave no note. The queue says how many there were.
#[tokio::test]
async fn attempts_that_were_killed_are_counted_if_the_queue_counts_them() {
    let kit = remembering(chain()).start().await;
    kit.hold_queue();
    kit.request("x").header("x-faasflow-request-id", "a").answer().await;
    let (headers, body) = kit.queued().remove(0);
    let attempt = |number: u32| {
        kit.request(body.clone()).headers(headers.clone()).header("x-faasflow-attempt", number.to_string()).answer()
    };
    attempt(3).await;
    assert_eq!(status(&kit, "a").await["places"][1]["attempts"], 3);
    attempt(4).await;
    let told = status(&kit, "a").await;
    assert_eq!((&told["places"][1]["attempts"], &told["places"][1]["status"]), (&json!(3), &json!("done")), "{told}");
    assert_eq!(told["places"][0]["attempts"], 1);
    assert_eq!(kit.calls("two").len(), 1);
}

#[tokio::test]
async fn a_failed_request_starts_again_where_it_failed() {
    let mends = Arc::new(AtomicUsize::new(0));
    let mended = mends.clone();
    let items = ForEach::new(Flow::builder().apply("one")).at_most(2).complete(Complete::All);
    let flow = Flow::builder().state(Memory::new()).for_each(items).apply("two");
    let fails = Fake::with(move |call| match call.text() == "3" && mended.load(SeqCst) == 0 {
        true => Reply::new("").status(400),
        false => Reply::new(call.text()),
    });
    let kit = remembering(flow).function("one", fails).start().await;
    let list = json!((1..=10).collect::<Vec<_>>()).to_string();
    kit.request(list.clone()).header("x-faasflow-request-id", "k").answer().await;
    let failed: Value = waited(&kit, "/_/requests/k").await.json();
    assert_eq!(failed["status"], "failure", "{failed}");
    until(async || get(&kit, "/_/requests/k/result").await.status == 500).await;
    let before: Vec<String> = kit.calls("one").iter().map(|call| call.text().to_owned()).collect();

    mends.fetch_add(1, SeqCst);
    until(async || asked(&kit, Method::POST, "/_/requests/k/redrive").await.status == 200).await;
    let ended: Value = waited(&kit, "/_/requests/k").await.json();
    assert_eq!((ended["status"].as_str(), ended["generation"].as_u64()), (Some("success"), Some(1)), "{ended}");
    assert_eq!(get(&kit, "/_/requests/k/result").await.text(), list);
    for number in 1..=10 {
        let number = number.to_string();
        let calls = kit.calls("one").iter().filter(|call| call.text() == number).count();
        let expected = if number == "3" { 2 } else { 1 };
        assert_eq!(calls, expected, "item {number}; before the redrive: {before:?}");
    }
    assert_eq!(kit.calls("two").len(), 1);
    let again = asked(&kit, Method::POST, "/_/requests/k/redrive").await;
    assert_eq!((again.status.as_u16(), again.json::<Value>()["status"].clone()), (409, json!("success")));
}

#[tokio::test]
async fn a_redelivered_phase_whose_result_is_recorded_is_not_executed_again() {
    let kit = remembering(chain()).start().await;
    kit.deliver_twice();
    kit.request("x").header("x-faasflow-request-id", "d").answer().await;
    assert_eq!(waited(&kit, "/_/requests/d/result").await.text(), "x");
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [1, 1, 1]);
}

#[tokio::test]
async fn a_definition_that_changes_ahead_parks_the_request() {
    let kit = remembering(chain()).start().await;
    kit.hold_queue();
    kit.request("x").header("x-faasflow-request-id", "m").answer().await;
    kit.deploy(phases(&["one", "two"]).build().unwrap()).await;
    kit.release_queue();
    until(async || status(&kit, "m").await["status"] == "parked").await;
    assert!(kit.calls("two").is_empty());
    let parked = status(&kit, "m").await;
    assert_eq!(parked["reason"]["code"], "FF0404", "{parked}");

    let refused = asked(&kit, Method::POST, "/_/requests/m/resume").await;
    assert_eq!((refused.status.as_u16(), refused.json::<Value>()["status"].clone()), (409, json!("parked")));

    kit.deploy(phases(&["one", "two", "three"]).build().unwrap()).await;
    assert_eq!(did(&kit, "/_/requests/m/resume").await["status"], "running");
    assert_eq!(waited(&kit, "/_/requests/m/result").await.text(), "x");
    assert_eq!(["one", "two", "three"].map(|name| kit.calls(name).len()), [1, 1, 1]);
}

#[tokio::test]
async fn records_expire() {
    let kit = remembering(chain()).setting("keep_records", "5s").start().await;
    kit.request("x").header("x-faasflow-request-id", "e").answer().await;
    assert_eq!(waited(&kit, "/_/requests/e/result").await.text(), "x");
    until(async || get(&kit, "/_/requests/e").await.status == 410).await;
    assert_eq!(get(&kit, "/_/requests/e/result").await.status, 410);
    let listed: Value = asked(&kit, Method::GET, "/_/requests").await.json();
    assert_eq!(listed["requests"], json!([]));
}

#[tokio::test]
async fn a_graph_is_described_by_its_branches() {
    let graph = Graph::new().branch("thumb", Flow::builder().apply("one")).branch("tags", Flow::builder().apply("two"));
    let kit = remembering(Flow::builder().state(Memory::new()).graph(graph).apply("three")).start().await;
    kit.request("1").header("x-faasflow-request-id", "g").answer().await;
    let ended: Value = waited(&kit, "/_/requests/g").await.json();
    let paths: Vec<&str> =
        ended["places"].as_array().unwrap().iter().filter_map(|place| place["path"][0].as_str()).collect();
    assert_eq!(paths, ["thumb", "tags"], "{ended}");
    assert_eq!(
        ended["places"][0]["members"],
        json!({ "all": 2, "waiting": 0, "running": 0, "done": 2, "failed": 0, "stopped": 0 })
    );
}

/// A flow passes the id of its request on to the functions that it calls.
#[tokio::test]
async fn calls_of_one_flow_are_requests_of_their_own() {
    let kit = remembering(Flow::builder().state(Memory::new()).apply(Call::new("one").sync())).start().await;
    let call = async |key: &str, body: &str| {
        let request = kit.request(body.to_owned()).header("x-faasflow-request-id", "outer");
        request.header("idempotency-key", key).answer().await
    };
    let (first, second) = (call("outer-1-1", "a").await, call("outer-1-2", "b").await);
    assert_eq!((first.text().as_str(), second.text().as_str()), ("a", "b"));
    assert_ne!(first.request_id(), second.request_id());
    let again = call("outer-1-1", "a").await;
    assert_eq!((again.request_id(), again.text().as_str()), (first.request_id(), "a"));
    assert_eq!(kit.calls("one").len(), 2, "a call that is repeated is not executed again");
}

#[tokio::test]
async fn a_for_each_can_start_again_twice() {
    let failures = Arc::new(AtomicUsize::new(2));
    let left = failures.clone();
    let items = ForEach::new(Flow::builder().apply("one"));
    let flow = Flow::builder().state(Memory::new()).for_each(items);
    let fails = Fake::with(move |call| {
        let fails = call.text() == "2" && left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        if fails { Reply::new("").status(400) } else { Reply::new(call.text()) }
    });
    let kit = remembering(flow).function("one", fails).start().await;
    kit.request("[1,2,3]").header("x-faasflow-request-id", "t").answer().await;
    for generation in 1..=2 {
        let failed: Value = waited(&kit, "/_/requests/t").await.json();
        assert_eq!(failed["status"], "failure", "{failed}");
        until(async || asked(&kit, Method::POST, "/_/requests/t/redrive").await.status == 200).await;
        assert_eq!(status(&kit, "t").await["generation"], generation);
    }
    let result = waited(&kit, "/_/requests/t/result").await;
    assert_eq!((result.status.as_u16(), result.text().as_str()), (200, "[1,2,3]"));
}

#[tokio::test]
async fn one_of_several_who_start_a_request_again_succeeds() {
    let kit = TestKit::new(chain().build().unwrap()).setting("records", "on");
    let kit = kit.function("one", Fake::failing(400)).start().await;
    kit.request("x").header("x-faasflow-request-id", "c").answer().await;
    until(async || is_listed(&kit, "c", "failure").await).await;
    // Otherwise the request might fail again before the last of them asks.
    kit.hold_queue();
    let redrives = (0..4).map(|_| asked(&kit, Method::POST, "/_/requests/c/redrive"));
    let answers = futures_util::future::join_all(redrives).await;
    let told: Vec<String> = answers.iter().map(|answer| format!("{} {}", answer.status, answer.text())).collect();
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1, "{told:#?}");
    assert!(answers.iter().all(|answer| [200, 409].contains(&answer.status.as_u16())));
}

#[tokio::test]
async fn an_unknown_path_of_the_api_starts_nothing() {
    let kit = remembering(chain()).start().await;
    for path in ["/_/requests/", "/_/requests/x/bogus", "/_/requests/x/stop/", "/_/nothing"] {
        assert_eq!(kit.request("x").path(path).answer().await.status, 404, "{path}");
    }
    assert!(kit.calls("one").is_empty());
}
