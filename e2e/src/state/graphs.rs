//! Flows with branches, whose joins are in the backend.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use faasflow::state::{Condition, Scope, StateError, StateManager, Version};
use faasflow::{BoxFuture, Complete, Flow, ForEach, Graph, Json, Outcome};
use faasflow_core::headers;
use faasflow_testkit::{End, Fake, Running, TestKit};
use tokio::sync::Notify;

use super::backend::{Backend, Manager};
use super::flows::FORGETS;
use crate::suite::{Suite, expect};

/// The items of the for-each.
const ITEMS: u64 = 4;

/// A fork into a call and a for-each, and a call after the join.
fn flow(state: impl StateManager) -> Flow {
    let numbers = async |Json(number): Json<u64>| Json((number..number + ITEMS).collect::<Vec<u64>>());
    let items = ForEach::new(Flow::builder().apply("item")).at_most(2);
    let graph = Graph::new()
        .branch("call", Flow::builder().apply("one"))
        .branch("items", Flow::builder().modify(numbers).for_each(items));
    Flow::builder().state(state).graph(graph).apply("three").build().expect("the flow is well defined")
}

async fn kit(flow: Flow, settings: &[(&str, &str)]) -> Running {
    let mut kit = TestKit::new(flow);
    for name in ["one", "item", "three"] {
        kit = kit.function(name, Fake::echo());
    }
    for (name, value) in settings {
        kit = kit.setting(*name, *value);
    }
    kit.start().await
}

/// Checks the result of a request, and that the join has fired once.
fn joined(kit: &Running, end: &End, sent: u64) -> Result<(), String> {
    joined_with(kit, end.outcome() == Some(Outcome::Success), &end.text(), sent)
}

fn joined_with(kit: &Running, is_success: bool, text: &str, sent: u64) -> Result<(), String> {
    let items: Vec<u64> = (sent..sent + ITEMS).collect();
    let result = format!(r#"{{"call":{sent},"items":{}}}"#, serde_json::json!(items));
    expect(is_success && text == result, || format!("success {is_success}: {text:.200}"))?;
    let after = kit.calls("three");
    let keys: BTreeSet<&str> = after.iter().filter_map(|call| call.header("idempotency-key")).collect();
    expect(keys.len() == 1, || format!("the call after the join has the keys {keys:?}"))?;
    expect(after.iter().all(|call| call.text() == result), || "the join has fired with two different sets".to_owned())
}

pub(super) async fn run(suite: &Suite, backend: &Arc<Backend>) {
    suite.check("a graph forks and joins, and leaves only the note that it has ended", ends(backend.clone())).await;
    suite.check("a for-each of 60 items joins in order", wide(backend.clone())).await;
    suite.check("every envelope is delivered twice: the join fires once", twice(backend.clone())).await;
    suite.check("killed in a branch and in an item: delivered again, and joined", killed(backend.clone())).await;
    suite.check("a branch that is delivered after the end executes nothing", late(backend.clone())).await;
    suite
        .check("the server goes away between a result and its claim: joined when it is back", cut(backend.clone()))
        .await;
}

async fn ends(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(flow(backend.manager()), &[FORGETS]).await;
    let end = kit.request("7").send().await;
    joined(&kit, &end, 7)?;
    let scope = Scope { flow: "flow".to_owned(), request: end.request_id().to_owned() };
    let is_there = async |key: &str| {
        let found = backend.manager().get(&scope, key).await;
        found.map(|found| found.is_some()).map_err(|error| format!("{:#}", faasflow::Error::from(error)))
    };
    // The last delivery removes the rest only after it has reported the end.
    for _ in 0..1200 {
        if !is_there("result/0").await? {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for key in ["result/0", "member/0/0", "member/0/1", "entry/0/0", "entry/0/1", "decided/0"] {
        expect(!is_there(key).await?, || format!("{key} is still there"))?;
    }
    expect(is_there("over@0").await?, || "`over@0` is not there for deliveries that come late".to_owned())
}

async fn wide(backend: Arc<Backend>) -> Result<(), String> {
    let each = ForEach::new(Flow::builder().apply("item")).at_most(16).complete(Complete::All);
    let flow = Flow::builder().state(backend.manager()).for_each(each).build().expect("the flow is well defined");
    let kit = kit(flow, &[]).await;
    let items = serde_json::json!((0..60).collect::<Vec<u64>>()).to_string();
    let end = kit.request(items.clone()).send().await;
    let success = end.outcome() == Some(Outcome::Success) && end.text() == items;
    expect(success, || format!("{} {:?}: {:.200}", end.status, end.outcome(), end.text()))
}

async fn twice(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(flow(backend.manager()), &[]).await;
    kit.deliver_twice();
    let end = kit.request("8").send().await;
    joined(&kit, &end, 8)
}

async fn killed(backend: Arc<Backend>) -> Result<(), String> {
    for (function, sent) in [("one", 9), ("item", 10), ("three", 11)] {
        let kit = kit(flow(backend.manager()), &[]).await;
        // A crash before the caller is answered would cut its connection.
        kit.hold_queue();
        kit.crash_at(function);
        let url = kit.callback_url("end");
        let answer = kit.request(sent.to_string()).header(headers::CALLBACK_URL, url).answer().await;
        expect(answer.status == 202, || format!("it was answered with {}: {}", answer.status, answer.text()))?;
        kit.release_queue();
        let end = kit.until_called("callback/end", 1).await.remove(0);
        let is_success = end.header(headers::OUTCOME.as_str()) == Some("success");
        joined_with(&kit, is_success, &end.text(), sent).map_err(|why| format!("killed in `{function}`: {why}"))?;
        let times = kit.calls(function).len();
        expect(times >= 2, || format!("`{function}` was called {times} times"))?;
    }
    Ok(())
}

async fn late(backend: Arc<Backend>) -> Result<(), String> {
    let kit = kit(flow(backend.manager()), &[]).await;
    kit.hold_queue();
    let (end, queued) = tokio::join!(kit.request("12").send(), async {
        kit.until_queued(2).await;
        let queued = kit.queued();
        kit.release_queue();
        queued
    });
    joined(&kit, &end, 12)?;
    let calls = ["one", "item", "three"].map(|name| kit.calls(name).len());
    for (headers, body) in queued {
        let answer = kit.request(body).headers(headers).answer().await;
        expect(answer.status.is_success(), || format!("it was answered with {}: {}", answer.status, answer.text()))?;
    }
    let after = ["one", "item", "three"].map(|name| kit.calls(name).len());
    expect(after == calls, || format!("the functions were called {calls:?} times, and then {after:?} times"))
}

async fn cut(backend: Arc<Backend>) -> Result<(), String> {
    let cutting = Cutting(Arc::new(Cut {
        manager: backend.manager(),
        backend: backend.clone(),
        is_cut: AtomicBool::new(false),
        done: Notify::new(),
    }));
    let kit = kit(flow(cutting.clone()), &[("write_timeout", "4s")]).await;
    let (end, power) = tokio::join!(kit.request("13").send(), async {
        let cut = tokio::time::timeout(Duration::from_secs(60), cutting.0.done.notified()).await;
        // The phase runs out of time, so it is given up and delivered again.
        tokio::time::sleep(Duration::from_secs(6)).await;
        backend.again().await?;
        cut.map_err(|_| "nothing claimed an entry".to_owned())
    });
    power?;
    joined(&kit, &end, 13)
}

/// A state manager whose server is killed when the first entry of a join is to be written.
#[derive(Clone)]
struct Cutting(Arc<Cut>);

struct Cut {
    manager: Manager,
    backend: Arc<Backend>,
    is_cut: AtomicBool,
    done: Notify,
}

impl StateManager for Cutting {
    fn name(&self) -> &str {
        self.0.manager.name()
    }

    fn supports_branches(&self) -> bool {
        self.0.manager.supports_branches()
    }

    fn probe(&self) -> BoxFuture<'_, Result<(), StateError>> {
        self.0.manager.probe()
    }

    fn get<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, StateError>> {
        self.0.manager.get(scope, key)
    }

    fn set<'a>(&'a self, scope: &'a Scope, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StateError>> {
        self.0.manager.set(scope, key, value)
    }

    fn remove<'a>(&'a self, scope: &'a Scope, key: &'a str) -> BoxFuture<'a, Result<(), StateError>> {
        self.0.manager.remove(scope, key)
    }

    fn remove_request<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<(), StateError>> {
        self.0.manager.remove_request(scope)
    }

    fn get_many<'a>(
        &'a self,
        scope: &'a Scope,
        keys: &'a [&'a str],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StateError>> {
        self.0.manager.get_many(scope, keys)
    }

    fn end_request<'a>(&'a self, scope: &'a Scope, keep_for: Duration) -> BoxFuture<'a, Result<(), StateError>> {
        self.0.manager.end_request(scope, keep_for)
    }

    fn get_versioned<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<(Bytes, Version)>, StateError>> {
        self.0.manager.get_versioned(scope, key)
    }

    fn set_if<'a>(
        &'a self,
        scope: &'a Scope,
        key: &'a str,
        value: Bytes,
        condition: Condition,
    ) -> BoxFuture<'a, Result<Option<Version>, StateError>> {
        Box::pin(async move {
            if key.starts_with("entry/") && !self.0.is_cut.swap(true, Ordering::SeqCst) {
                let killed = self.0.backend.kill().await;
                killed.map_err(StateError::permanent)?;
                self.0.done.notify_one();
            }
            self.0.manager.set_if(scope, key, value, condition).await
        })
    }
}
