//! The flow of the chaos run, and the function that the flow calls. The run kills both. The variable `E2E_ROLE` selects
//! one.

use std::fs::File;
use std::future::ready;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use faasflow::{Call, Error, Flow, ForEach, Graph, Json, Result};
use faasflow_http::{ServerOptions, now_ms, read_body, serve};
use http::{HeaderMap, Response};

/// The number of phases of the flow.
const PHASES: usize = 6;
/// The branches of the graph that make one call.
const SIMPLE_BRANCHES: u64 = 7;
/// The items of the for-each in another branch.
const ITEMS: u64 = 20;

fn main() -> Result<()> {
    match own("E2E_ROLE").as_str() {
        "flow" => faasflow::serve(flow()?),
        "graph" => faasflow::serve(graph()?),
        "function" => function(),
        role => Err(Error::msg(format!("E2E_ROLE is `{role}`, which is neither `flow` nor `graph` nor `function`"))),
    }
}

fn own(variable: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "a program chooses its role here, which is no setting of Faasflow's")]
    std::env::var(variable).unwrap_or_default()
}

/// Calls the function in each phase, and appends the number of the phase to the payload, so that the result shows
/// whether a phase was left out or its result used twice.
fn flow() -> Result<Flow> {
    let mut builder = Flow::builder();
    for phase in 1..=PHASES {
        builder = builder.apply(call(&phase.to_string())).modify(move |text: String| ready(format!("{text}{phase}")));
    }
    Ok(builder.build()?)
}

/// Forks into branches, each of which makes a call and changes its input, a number. Another branch has a for-each. The result has the
/// outputs of all branches and items, in order.
fn graph() -> Result<Flow> {
    let mut graph = Graph::new();
    for branch in 1..=SIMPLE_BRANCHES {
        let change = move |Json(number): Json<u64>| ready(Json(number * 10 + branch));
        graph = graph.branch(format!("branch-{branch}"), Flow::builder().apply(call("branch")).modify(change));
    }
    let numbers = |Json(number): Json<u64>| ready(Json((0..ITEMS).map(|item| number + item).collect::<Vec<u64>>()));
    let double = |Json(number): Json<u64>| ready(Json(2 * number));
    let item = Flow::builder().apply(call("item")).modify(double);
    let items = Flow::builder().modify(numbers).for_each(ForEach::new(item).at_most(4)).apply(call(JOINED));
    Ok(Flow::builder().graph(graph.branch("items", items)).apply(call(JOINED)).build()?)
}

/// The step that follows a join.
const JOINED: &str = "joined";

fn call(step: &str) -> Call {
    Call::new("chaos-function").query("step", step)
}

/// Records the `Idempotency-Key` of each call, its step, a hash of its body and the time, then echoes the request. The kernel has the line before the answer
/// begins, so a kill cannot lose it.
fn function() -> Result<()> {
    let keys = File::options().create(true).append(true).open(own("E2E_KEYS"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let port: u16 = own("port").parse().map_err(|_| Error::msg("`port` is not a number"))?;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        let router = Router::new().fallback(record).with_state(Arc::new(keys));
        Ok(serve(listener, router, ServerOptions::default(), std::future::pending()).await?)
    })
}

async fn record(State(keys): State<Arc<File>>, request: axum::extract::Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = read_body(body, 1 << 20, std::time::Duration::from_secs(60)).await.unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let step = parts.uri.query().and_then(|query| query.strip_prefix("step=")).unwrap_or("none");
    let line = format!("{} {step} {:x} {}\n", key(&parts.headers), hasher.finish(), now_ms());
    // A single write, so that lines of two calls do not mix.
    let written = (&*keys).write_all(line.as_bytes());
    let mut response = Response::new(Body::from(body));
    if written.is_err() {
        *response.status_mut() = http::StatusCode::INSUFFICIENT_STORAGE;
    }
    response
}

fn key(headers: &HeaderMap) -> String {
    headers.get("idempotency-key").and_then(|value| value.to_str().ok()).unwrap_or("none").to_owned()
}
