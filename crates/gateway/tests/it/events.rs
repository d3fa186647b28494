//! What happens at the gateway, as events and as figures of the last hour.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::routing::any;
use faasflow_admin::{GatewayEvent, MINUTES, MOST_EVENT_STREAMS, RequestStatus};
use faasflow_core::code;
use faasflow_core::state::{Scope, StateManager as _, Status};
use faasflow_http::{HttpClient, read_body};
use faasflow_state::GatewayStore;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use crate::support::{Fixture, PATIENCE, Recorder, TestServer, listen, start, start_with, until, url};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// An event as it was sent.
#[derive(Debug)]
struct Sent {
    id: String,
    name: String,
    event: GatewayEvent,
}

/// The answer with events.
struct Events {
    body: hyper::body::Incoming,
    text: String,
}

impl Events {
    async fn open(fixture: &Fixture, headers: &[(&str, &str)]) -> Events {
        let answer = fixture.open(fixture.request(Method::GET, "/system/events", headers, Body::empty())).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        Events { body: answer.into_body(), text: String::new() }
    }

    /// The next event; `None` at the end of the answer.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    line.map(str::to_owned)
                };
                // Others are comments, and how long to wait before connecting again.
                let (Some(id), Some(name), Some(data)) = (field("id"), field("event"), field("data")) else { continue };
                return Some(Sent { id, name, event: serde_json::from_str(&data).unwrap() });
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("something comes");
            let data = frame?.ok()?.into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The first event of which something can be told.
    async fn find<T>(&mut self, what: &str, mut tell: impl FnMut(&GatewayEvent) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        while let Some(Sent { event, .. }) = self.next().await {
            if let Some(told) = tell(&event) {
                return told;
            }
            assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        }
        panic!("{what}: the events ended before")
    }
}

fn flow(name: &str, server: &TestServer) -> String {
    format!("{}  secrets: [faasflow-hmac-secret]\n", url(name, server.address))
}

/// How many calls of a function have ended and failed, if the event says so.
fn counts(event: &GatewayEvent, function: &str) -> Option<(u64, u64)> {
    let counts = event.calls.iter().find(|counts| counts.function == function)?;
    Some((counts.calls, counts.failures))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_comes_first_and_counts_are_exact_however_many_calls_there_are() {
    let recorder = Recorder::default();
    let server = recorder.listen().await;
    recorder.answers("/broken", &[500]);
    let fixture = start(&url("f", server.address)).await;
    fixture.post("/function/f", "before").await;
    let mut events = Events::open(&fixture, &[]).await;
    let Sent { name, event, .. } = events.next().await.unwrap();
    assert_eq!((name.as_str(), counts(&event, "f")), ("snapshot", Some((1, 0))));
    assert!(event.queue.is_some() && event.ended.is_empty());
    let functions = event.functions.unwrap();
    assert_eq!((functions[0].name.as_str(), functions[0].replicas, functions[0].available), ("f", 1, 1));

    const MANY: usize = 400;
    for _ in 0..MANY / 20 {
        futures_util::future::join_all((0..20).map(|_| fixture.post("/function/f", "x"))).await;
    }
    fixture.post("/function/f/broken", "x").await;
    let (mut seen, mut failure) = (0, false);
    let told = events.find("all calls", |event| {
        assert!(event.ended.len() <= 20, "{event:?}");
        seen += event.ended.len() as u64 + event.left_out;
        failure |= event.ended.iter().any(|call| call.status == 500 && call.function == "f" && call.duration_ms > 0.0);
        counts(event, "f").filter(|(calls, _)| *calls == MANY as u64 + 2)
    });
    assert_eq!(told.await.1, 1);
    // The sample of the last call may be in the event after its count.
    while seen < MANY as u64 + 1 {
        let event = events.next().await.unwrap().event;
        seen += event.ended.len() as u64 + event.left_out;
        failure |= event.ended.iter().any(|call| call.status == 500);
    }
    assert_eq!((seen, failure), (MANY as u64 + 1, true));
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_few_however_many_calls_there_are() {
    let server = Recorder::default().listen().await;
    let fixture = start(&url("f", server.address)).await;
    let mut events = Events::open(&fixture, &[]).await;
    let begun = Instant::now();
    let calling = async {
        while begun.elapsed() < Duration::from_secs(2) {
            futures_util::future::join_all((0..10).map(|_| fixture.post("/function/f", "x"))).await;
        }
    };
    let ((), number) = tokio::join!(calling, async {
        let mut number = 0;
        while begun.elapsed() < Duration::from_secs(2) {
            events.next().await.unwrap();
            number += 1;
        }
        number
    });
    let most = begun.elapsed().as_millis() / 250 + 2;
    assert!(number as u128 <= most && number > 1, "{number} events in {:?}", begun.elapsed());
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_goes_on_where_it_was() {
    let server = Recorder::default().listen().await;
    let fixture = start(&url("f", server.address)).await;
    let mut events = Events::open(&fixture, &[]).await;
    assert_eq!(events.next().await.unwrap().name, "snapshot");
    fixture.post("/function/f", "x").await;
    let last = loop {
        let sent = events.next().await.unwrap();
        assert_eq!(sent.name, "change");
        if counts(&sent.event, "f").is_some_and(|(calls, _)| calls == 1) {
            break sent.id;
        }
    };
    drop(events);
    fixture.post("/function/f", "while it is away").await;
    let after = format!("/system/events?after={last}");
    for by_header in [true, false] {
        // An id in the header is newer than the one in the URL.
        let headers = [("last-event-id", last.as_str())];
        let (path, headers) =
            if by_header { ("/system/events?after=x", &headers[..]) } else { (after.as_str(), &[][..]) };
        let answer = fixture.open(fixture.request(Method::GET, path, headers, Body::empty())).await;
        let mut events = Events { body: answer.into_body(), text: String::new() };
        let mut calls = 1;
        while calls < 2 {
            let sent = events.next().await.unwrap();
            assert_eq!(sent.name, "change", "{sent:?}");
            assert!(sent.event.ended.len() <= 1);
            calls = counts(&sent.event, "f").map_or(calls, |(calls, _)| calls);
        }
        assert_eq!(calls, 2);
    }
    for unknown in ["", "x", "00000000-1", "\u{e9}"] {
        let mut events = Events::open(&fixture, &[("last-event-id", unknown)]).await;
        let first = events.next().await.unwrap();
        assert_eq!((first.name.as_str(), counts(&first.event, "f")), ("snapshot", Some((2, 0))), "{unknown}");
    }
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_number_of_clients_gets_events() {
    let fixture = start("own:\n  fprocess: cat\n").await;
    let mut open = Vec::new();
    for _ in 0..MOST_EVENT_STREAMS {
        open.push(Events::open(&fixture, &[]).await);
    }
    let refused = fixture.get("/system/events").await;
    assert_eq!(refused.header("x-faasflow-error-code"), Some(code::NO_ROOM.as_str()), "{}", refused.text());
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (StatusCode::SERVICE_UNAVAILABLE, true));
    assert_eq!(open.last_mut().unwrap().next().await.unwrap().name, "snapshot");
    open.pop();
    until("a client that goes makes room", async || {
        let answer = fixture.open(fixture.request(Method::GET, "/system/events", &[], Body::empty())).await;
        (answer.status() == StatusCode::OK).then_some(())
    })
    .await;
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_for_those_who_may_read_the_api_and_not_for_other_sites() {
    let guarded = start_with("own:\n  fprocess: cat\n", |options| options.basic_auth = true).await;
    assert_eq!(guarded.get("/system/events").await.status, StatusCode::UNAUTHORIZED);
    guarded.gateway.stop().await;
    let fixture = start("own:\n  fprocess: cat\n").await;
    let refusals = [
        ("host", "evil.example", code::FOREIGN_HOST),
        ("sec-fetch-site", "cross-site", code::FROM_WEB_PAGE),
        ("sec-fetch-site", "same-site", code::FROM_WEB_PAGE),
    ];
    for (name, value, code) in refusals {
        let got = fixture.send(Method::GET, "/system/events", &[(name, value)], "").await;
        assert_eq!(got.status, StatusCode::FORBIDDEN, "{name}: {value}");
        assert_eq!(got.header("x-faasflow-error-code"), Some(code.as_str()), "{name}: {value}");
    }
    for site in ["same-origin", "none"] {
        assert_eq!(Events::open(&fixture, &[("sec-fetch-site", site)]).await.next().await.unwrap().name, "snapshot");
    }
    assert_eq!(fixture.post("/system/events", "").await.status, StatusCode::METHOD_NOT_ALLOWED);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_end_with_the_gateway_and_do_not_delay_it() {
    let fixture = start("own:\n  fprocess: cat\n").await;
    let mut events = Events::open(&fixture, &[]).await;
    assert_eq!(events.next().await.unwrap().name, "snapshot");
    let begun = Instant::now();
    fixture.gateway.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    while events.next().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_come_and_go_and_calls_in_the_queue_are_told() {
    let server = listen(axum::Router::new().fallback(any(std::future::pending::<()>))).await;
    let fixture = start_with(&url("hangs", server.address), |options| options.grace = Duration::from_millis(100)).await;
    let mut events = Events::open(&fixture, &[]).await;
    fixture.post("/async-function/hangs", "x").await;
    let queue = events.find("the call in the queue", |event| event.queue.clone().filter(|queue| queue.in_flight == 1));
    let queue = queue.await;
    assert_eq!((queue.depth, queue.functions["hangs"]), (1, 1));
    let names = |event: &GatewayEvent| {
        let names = event.functions.as_ref()?.iter().map(|function| function.name.clone());
        Some(names.collect::<Vec<_>>())
    };
    let deployment = json!({ "service": "new", "envProcess": "cat" }).to_string();
    assert_eq!(fixture.post("/system/functions", deployment).await.status, StatusCode::ACCEPTED);
    events.find("the new function", |event| names(event).filter(|names| *names == ["hangs", "new"])).await;
    fixture.post("/function/new", "x").await;
    events.find("its call", |event| counts(event, "new")).await;
    let removal = json!({ "functionName": "new" }).to_string();
    assert_eq!(fixture.send(Method::DELETE, "/system/functions", &[], removal).await.status, StatusCode::ACCEPTED);
    events.find("its removal", |event| names(event).filter(|names| *names == ["hangs"])).await;
    let activity = fixture.get("/system/activity").await.json();
    let functions: Vec<&str> =
        activity["functions"].as_array().unwrap().iter().flat_map(|one| one["name"].as_str()).collect();
    assert_eq!(functions, ["hangs"]);
    fixture.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_once_however_often_they_are_recorded() {
    let server = Recorder::default().listen().await;
    let fixture = start(&flow("orders", &server)).await;
    let store = GatewayStore::builder(fixture.gateway.url(), fixture.gateway.state_token("orders")).build().unwrap();
    let mut events = Events::open(&fixture, &[]).await;
    for number in 0..3 {
        let scope = Scope { flow: "orders".into(), request: format!("r-{number}") };
        for _ in 0..2 {
            store.begin_request(&scope, 7, "begun@0", "x".into()).await.unwrap();
        }
        let end = if number == 0 { Status::Failure } else { Status::Success };
        for status in [Status::Paused, Status::Paused, Status::Running] {
            store.list_request(&scope, 7, status).await.unwrap();
        }
        for _ in 0..2 {
            store.retire_request(&scope, 7, end, DAY, DAY).await.unwrap();
        }
    }
    let mut statuses = std::collections::BTreeMap::new();
    let counted = events.find("the ends", |event| {
        statuses.extend(event.changed.iter().map(|changed| (changed.id.clone(), changed.status)));
        event.requests.iter().find(|counts| counts.flow == "orders" && counts.ended == 3).cloned()
    });
    let counted = counted.await;
    assert_eq!((counted.begun, counted.ended, counted.failed), (3, 3, 1));
    while statuses.len() < 3 || statuses.values().any(|status| *status == Some(RequestStatus::Running)) {
        let event = events.next().await.unwrap().event;
        statuses.extend(event.changed.iter().map(|changed| (changed.id.clone(), changed.status)));
    }
    let (success, failure) = (Some(RequestStatus::Success), Some(RequestStatus::Failure));
    assert_eq!(statuses.into_values().collect::<Vec<_>>(), [failure, success, success]);
    let figures =
        |of: &Value, name: &str| of[name].as_array().unwrap().iter().map(|one| one.as_u64().unwrap()).sum::<u64>();
    for path in ["/system/activity", "/system/flows/orders/activity"] {
        let activity = fixture.get(path).await.json();
        assert_eq!((figures(&activity, "begun"), figures(&activity, "failed")), (3, 1), "{path}");
        assert_eq!(activity["begun"].as_array().unwrap().len(), MINUTES);
    }
    let absent = fixture.get("/system/flows/absent/activity").await;
    assert_eq!(absent.header("x-faasflow-error-code"), Some(code::UNKNOWN_FUNCTION.as_str()));
    fixture.gateway.stop().await;
}

/// A flow that calls `inner` twice for each request, as two steps; the second fails.
async fn caller() -> (TestServer, Arc<Mutex<String>>) {
    let gateway = Arc::new(Mutex::new(String::new()));
    let server = listen(axum::Router::new().fallback(any({
        let gateway = gateway.clone();
        move |request: axum::extract::Request| {
            let url = gateway.lock().unwrap().clone();
            async move {
                let id = request.headers()["x-faasflow-request-id"].to_str().unwrap().to_owned();
                for (step, path) in [(1, ""), (12, "/broken")] {
                    let call = Request::post(format!("{url}/function/inner{path}"))
                        .header("x-faasflow-request-id", &id)
                        .header("idempotency-key", format!("{id}-1.0/2-{step}"));
                    let answer = HttpClient::new(PATIENCE).send(call.body(Body::empty()).unwrap()).await.unwrap();
                    read_body(answer.into_body(), 1 << 20, PATIENCE).await.unwrap();
                }
            }
        }
    })))
    .await;
    (server, gateway)
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_measured_by_the_step_that_made_them() {
    let recorder = Recorder::default();
    recorder.answers("/broken", &[503]);
    let inner = recorder.listen().await;
    let (outer, gateway) = caller().await;
    let fixture = start(&format!("{}{}", flow("outer", &outer), url("inner", inner.address))).await;
    *gateway.lock().unwrap() = fixture.gateway.url();
    let mut events = Events::open(&fixture, &[]).await;
    for id in ["order-1", "order-2"] {
        let got = fixture.send(Method::POST, "/function/outer", &[("x-faasflow-request-id", id)], "").await;
        assert_eq!(got.status, StatusCode::OK);
    }
    // No invocation of a flow with this id is in progress.
    let invented = [("x-faasflow-request-id", "order-1"), ("idempotency-key", "order-1-1-1")];
    fixture.send(Method::POST, "/function/inner", &invented, "").await;
    let mut steps = Vec::new();
    while steps.len() < 5 {
        let event = events.next().await.unwrap().event;
        let inner = event.ended.into_iter().filter(|call| call.function == "inner");
        steps.extend(inner.map(|call| (call.flow, call.step, call.request, call.status)));
    }
    steps.sort();
    let step = |step, id: &str, status| (Some("outer".to_owned()), Some(step), Some(id.to_owned()), status);
    let alone = (None, None, Some("order-1".to_owned()), 200);
    let made = [step(1, "order-1", 200), step(1, "order-2", 200), step(12, "order-1", 503), step(12, "order-2", 503)];
    assert_eq!(steps, [vec![alone], made.to_vec()].concat());

    let activity = fixture.get("/system/flows/outer/activity").await.json();
    let [first, last] = &activity["steps"].as_array().unwrap()[..] else { panic!("{activity}") };
    assert_eq!((&first["step"], &first["function"], &first["calls"]), (&json!(1), &json!("inner"), &json!(2)));
    assert_eq!((&first["failures"], &first["in_progress"]), (&json!(0), &json!(0)));
    assert!(first["p50_ms"].as_f64().unwrap() > 0.0 && first["latest_failures"] == json!([]), "{first}");
    assert_eq!((&last["step"], &last["calls"], &last["failures"]), (&json!(12), &json!(2), &json!(2)));
    let failures = last["latest_failures"].as_array().unwrap();
    let failures: Vec<_> =
        failures.iter().map(|one| (one["request"].as_str().unwrap(), one["status"].as_u64().unwrap())).collect();
    assert_eq!(failures, [("order-2", 503), ("order-1", 503)]);
    let all = fixture.get("/system/activity").await.json();
    let inner = all["functions"].as_array().unwrap().iter().find(|one| one["name"] == "inner").unwrap();
    assert_eq!((&inner["calls"], &inner["failures"]), (&json!(5), &json!(2)));
    fixture.gateway.stop().await;
}
