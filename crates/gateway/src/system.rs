//! The OpenFaaS API that `faas-cli` asks, and the queue's own.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use faasflow_core::duration;
use http::StatusCode;
use http::header::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::answer::plain;
use crate::disk;
use crate::forwarding::FORWARDED_HOST;
use crate::namespace::{NAMESPACE, check_namespace};
use crate::queue::{QueueError, Selection};
use crate::routes::App;

mod body;
mod functions;
pub(crate) mod guard;
pub(crate) mod logs;
mod metrics;
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
        .route("/system/logs", get(logs::logs))
        .route("/system/metrics", get(metrics::of_function))
        .route("/system/queue", get(queue))
        .route("/system/queue/calls", get(calls))
        .route("/system/queue/dead-letters", get(dead_letters).delete(discard))
        .route("/system/queue/dead-letters/{id}", get(dead_letter))
        .route("/system/queue/redrive", post(redrive))
        .route_layer(from_fn_with_state(app.clone(), guard::check))
        .route("/metrics", get(metrics::of_gateway))
}

/// What this is, and what it takes. OpenFaaS's gateway tells of its provider under `provider`; a provider is asked by
/// that gateway, which says so by `X-Forwarded-Host`, and tells of itself.
async fn info(State(app): State<App>, headers: HeaderMap) -> Json<Value> {
    let (name, orchestration) = ("faasflow", "processes");
    let version = json!({ "release": env!("CARGO_PKG_VERSION"), "sha": app.commit, "commit_message": "" });
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

async fn queue(State(app): State<App>) -> Response {
    answer(app.queue.stats().await)
}

/// How many of a list are asked for: 100 if the query does not say. It is read as text, so that the error can say what to
/// write.
#[derive(Deserialize)]
struct Limit {
    limit: Option<String>,
}

impl Limit {
    fn read(&self) -> Result<usize, String> {
        let Some(text) = &self.limit else { return Ok(100) };
        text.parse().map_err(|_| format!("`limit` is `{text}`: write how many to list, such as 100"))
    }
}

async fn calls(State(app): State<App>, Query(limit): Query<Limit>) -> Response {
    match limit.read() {
        Ok(limit) => answer(app.queue.list(limit).await),
        Err(why) => plain(StatusCode::BAD_REQUEST, why),
    }
}

async fn dead_letters(State(app): State<App>, Query(limit): Query<Limit>) -> Response {
    match limit.read() {
        Ok(limit) => answer(app.queue.dead_letters(limit).await),
        Err(why) => plain(StatusCode::BAD_REQUEST, why),
    }
}

async fn dead_letter(State(app): State<App>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse() else {
        let why = format!("`{id}` is not the number of a dead letter: /system/queue/dead-letters lists them");
        return plain(StatusCode::BAD_REQUEST, why);
    };
    match app.queue.dead_letter(id).await {
        Ok(Some(letter)) => Json(letter).into_response(),
        Ok(None) => plain(StatusCode::NOT_FOUND, format!("there is no dead letter {id}")),
        Err(error) => answer::<()>(Err(error)),
    }
}

/// What is asked of a redrive.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redrive {
    /// Those of these numbers; all, where absent.
    #[serde(default)]
    pub ids: Option<Vec<u64>>,
    /// Those of this function; of every, where absent.
    #[serde(default)]
    pub function: Option<String>,
    /// How many each second; all at once, where absent.
    #[serde(default)]
    pub per_second: Option<u32>,
}

async fn redrive(State(app): State<App>, body: Body) -> Response {
    let redrive: Redrive = match body::read(body).await {
        Ok(redrive) => redrive,
        Err(response) => return *response,
    };
    let Redrive { ids, function, per_second } = redrive;
    let count = app.queue.redrive(&Selection { ids, function }, per_second).await;
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
        Err(error) => disk::answer(disk::queue_status(&error), error.to_string()),
    }
}
