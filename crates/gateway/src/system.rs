//! The OpenFaaS API that `faas-cli` asks, and the queue's own.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use faasflow_core::duration;
use futures_util::stream::{self, StreamExt as _};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::functions::NAMESPACE;
use crate::functions::deployment::check_namespace;
use crate::functions::logs::LogLine;
use crate::proxy::{FORWARDED_HOST, plain};
use crate::queue::{QueueError, Selection};
use crate::rfc3339;
use crate::routes::App;

mod body;
mod functions;
pub(crate) mod guard;
mod secrets;

pub(crate) fn routes(app: &App) -> Router<App> {
    Router::new()
        .route(
            "/system/functions",
            get(functions::list).post(functions::deploy).put(functions::replace).delete(functions::remove),
        )
        .route("/system/function/{name}", get(functions::one))
        .route("/system/scale-function/{name}", post(functions::scale))
        .route("/system/info", get(info))
        .route("/system/namespaces", get(|| async { Json([NAMESPACE]) }))
        .route(
            "/system/secrets",
            get(secrets::list).post(secrets::create).put(secrets::replace).delete(secrets::remove),
        )
        .route("/system/logs", get(logs))
        .route("/system/queue", get(queue))
        .route("/system/queue/calls", get(calls))
        .route("/system/queue/dead-letters", get(dead_letters).delete(discard))
        .route("/system/queue/dead-letters/{id}", get(dead_letter))
        .route("/system/queue/redrive", post(redrive))
        .route_layer(from_fn_with_state(app.clone(), guard::check))
        .route("/metrics", get(metrics))
}

/// What this is, and what it takes. OpenFaaS's gateway tells of its provider under `provider`; a provider is asked by
/// that gateway, which says so by `X-Forwarded-Host`, and tells of itself.
async fn info(State(app): State<App>, headers: HeaderMap) -> Json<Value> {
    let (name, orchestration) = ("faasflow", "processes");
    let version = json!({ "release": env!("CARGO_PKG_VERSION"), "sha": "", "commit_message": "" });
    let limits = json!({ "asyncBody": app.max_async_body, "upstreamTimeout": seconds(app.proxy.timeout) });
    Json(if headers.contains_key(FORWARDED_HOST) {
        json!({ "provider": name, "orchestration": orchestration, "version": version, "limits": limits })
    } else {
        json!({
            "arch": std::env::consts::ARCH,
            "provider": { "provider": name, "orchestration": orchestration, "version": version },
            "version": version,
            "limits": limits,
        })
    })
}

/// Whole seconds as such, which is how timeouts of OpenFaaS are written.
fn seconds(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 { format!("{}s", duration.as_secs()) } else { duration::format(duration) }
}

/// The namespace that is asked for.
#[derive(Deserialize)]
struct Namespace {
    namespace: Option<String>,
}

impl Namespace {
    /// Why there is nothing in it: it is not the one that there is.
    fn check(&self) -> Result<(), String> {
        check_namespace(self.namespace.as_deref())
    }

    /// What there is, if it is in this namespace. A list of another one is empty rather than an error, as on
    /// Kubernetes: programs that go through all namespaces that they know then do not stop here.
    fn only<T: Default>(&self, all: impl FnOnce() -> T) -> T {
        if self.check().is_ok() { all() } else { T::default() }
    }
}

/// As text, so that what cannot be read is answered in our words.
#[derive(Default, Deserialize)]
#[serde(default)]
struct LogQuery {
    name: String,
    tail: String,
    since: String,
    follow: String,
}

/// What is told of a log.
struct Told {
    tail: usize,
    since_ms: u64,
    follow: bool,
}

impl LogQuery {
    fn read(&self) -> Result<Told, String> {
        if self.name.is_empty() {
            return Err("name the function: /system/logs?name=NAME".to_owned());
        }
        let tail = match self.tail.as_str() {
            "" => 0,
            text => text.parse::<i64>().map_err(|_| format!("`tail` is `{text}`: write how many lines"))?,
        };
        let since_ms = match self.since.as_str() {
            "" => 0,
            text => rfc3339::read(text).ok_or_else(|| {
                format!(
                    "`since` is `{text}`: write a time such as 2026-08-01T12:00:00Z, or 2026-08-01T12:00:00%2B02:00"
                )
            })?,
        };
        // 0 is all, as at OpenFaaS.
        let tail = usize::try_from(tail).ok().filter(|&tail| tail > 0).unwrap_or(usize::MAX);
        let follow = ["1", "t", "T", "true", "True", "TRUE"].contains(&self.follow.as_str());
        Ok(Told { tail, since_ms, follow })
    }
}

async fn logs(State(app): State<App>, Query(query): Query<LogQuery>, Query(namespace): Query<Namespace>) -> Response {
    let told = match query.read() {
        Ok(told) => told,
        Err(why) => return plain(StatusCode::BAD_REQUEST, why),
    };
    if let Err(why) = namespace.check() {
        return plain(StatusCode::NOT_FOUND, why);
    }
    let Some(function) = app.functions.find(&query.name) else { return functions::absent(&query.name) };
    let (past, live) = function.logs.follow(told.tail, told.since_ms);
    let past = stream::iter(past.into_iter().map(|line| Ok::<_, std::convert::Infallible>(ndjson(&line))));
    let body = if told.follow {
        let live = stream::unfold(live, |mut live| async move {
            loop {
                match live.recv().await {
                    Ok(line) => return Some((Ok(ndjson(&line)), live)),
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        // A gateway that stops does not wait for those who only listen.
        Body::from_stream(past.chain(live).take_until(app.stopping.clone().cancelled_owned()))
    } else {
        Body::from_stream(past)
    };
    ([(CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

/// A line as OpenFaaS's log providers write one.
fn ndjson(line: &LogLine) -> Bytes {
    let record = json!({
        "name": line.function,
        "namespace": NAMESPACE,
        "instance": line.function,
        "timestamp": rfc3339::written(line.timestamp_ms),
        "text": line.text,
    });
    Bytes::from(format!("{record}\n"))
}

async fn queue(State(app): State<App>) -> Response {
    Json(app.queue.stats()).into_response()
}

#[derive(Deserialize)]
struct Limit {
    limit: Option<usize>,
}

async fn calls(State(app): State<App>, Query(Limit { limit }): Query<Limit>) -> Response {
    Json(app.queue.list(limit.unwrap_or(100))).into_response()
}

async fn dead_letters(State(app): State<App>, Query(Limit { limit }): Query<Limit>) -> Response {
    answer(app.queue.dead_letters(limit.unwrap_or(100)).await)
}

async fn dead_letter(State(app): State<App>, Path(id): Path<u64>) -> Response {
    match app.queue.dead_letter(id).await {
        Ok(Some(letter)) => Json(letter).into_response(),
        Ok(None) => plain(StatusCode::NOT_FOUND, format!("there is no dead letter {id}")),
        Err(error) => answer::<()>(Err(error)),
    }
}

/// What is asked of a redrive.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Redrive {
    /// Which dead letters.
    #[serde(flatten)]
    pub which: Selection,
    /// How many each second; all at once, where absent.
    #[serde(default)]
    pub per_second: Option<u32>,
}

async fn redrive(State(app): State<App>, body: Body) -> Response {
    let redrive: Redrive = match body::read(body).await {
        Ok(redrive) => redrive,
        Err(response) => return *response,
    };
    let count = app.queue.redrive(&redrive.which, redrive.per_second).await;
    answer(count.map(|count| json!({ "redriven": count })))
}

async fn discard(State(app): State<App>, body: Body) -> Response {
    let which: Selection = match body::read(body).await {
        Ok(which) => which,
        Err(response) => return *response,
    };
    answer(app.queue.discard(&which).await.map(|count| json!({ "discarded": count })))
}

fn answer<T: Serialize>(outcome: Result<T, QueueError>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

async fn metrics(State(app): State<App>) -> Response {
    let text = app.metrics.text(&app.functions.names(), &app.queue.stats());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}
