//! The OpenFaaS API that `faas-cli` asks, and the queue's own.

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::functions::logs::LogLine;
use crate::functions::{Function, NAMESPACE, Upstream};
use crate::proxy::plain;
use crate::queue::{QueueError, Selection};
use crate::routes::App;
use crate::stack::Kind;

pub(crate) fn routes() -> Router<App> {
    let later = "this gateway takes its functions from stack.yml: edit it and start `faasflow up` again";
    let unavailable = move || async move { plain(StatusCode::NOT_IMPLEMENTED, later.to_owned()) };
    Router::new()
        .route("/system/functions", get(functions).post(unavailable).put(unavailable).delete(unavailable))
        .route("/system/function/{name}", get(function))
        .route("/system/scale-function/{name}", post(scale))
        .route("/system/info", get(info))
        .route("/system/namespaces", get(|| async { Json([NAMESPACE]) }))
        .route("/system/secrets", get(secrets))
        .route("/system/logs", get(logs))
        .route("/system/queue", get(queue))
        .route("/system/queue/calls", get(calls))
        .route("/system/queue/dead-letters", get(dead_letters).delete(discard))
        .route("/system/queue/dead-letters/{id}", get(dead_letter))
        .route("/system/queue/redrive", post(redrive))
        .route("/metrics", get(metrics))
}

async fn functions(State(app): State<App>) -> Json<Vec<Value>> {
    Json(app.functions.iter().map(|function| status(&app, function)).collect())
}

async fn function(State(app): State<App>, Path(name): Path<String>) -> Response {
    match app.functions.find(&name) {
        Some(function) => Json(status(&app, function)).into_response(),
        None => no_function(&name),
    }
}

async fn scale(State(app): State<App>, Path(name): Path<String>) -> Response {
    match app.functions.find(&name) {
        // One process serves all requests here.
        Some(_) => StatusCode::ACCEPTED.into_response(),
        None => no_function(&name),
    }
}

fn no_function(name: &str) -> Response {
    plain(StatusCode::NOT_FOUND, format!("there is no function `{name}` here"))
}

/// A function as OpenFaaS's providers report one.
fn status(app: &App, function: &Function) -> Value {
    let spec = &function.spec;
    let available = match &*function.upstream.borrow() {
        Upstream::Http(..) | Upstream::Command(_) => 1,
        Upstream::Pending(_) | Upstream::Broken(_) => 0,
    };
    let process = match &spec.kind {
        Kind::Command(words) => words.join(" "),
        _ => String::new(),
    };
    json!({
        "name": spec.name,
        "namespace": NAMESPACE,
        "image": spec.image.clone().unwrap_or_default(),
        "envProcess": process,
        "labels": spec.labels,
        "annotations": spec.annotations,
        "secrets": spec.secrets,
        "replicas": 1,
        "availableReplicas": available,
        "invocationCount": app.metrics.invocations(&spec.name),
    })
}

async fn info() -> Json<Value> {
    Json(json!({
        "arch": std::env::consts::ARCH,
        "provider": { "provider": "faasflow", "orchestration": "processes",
                      "version": { "release": env!("CARGO_PKG_VERSION"), "sha": "" } },
        "version": { "release": env!("CARGO_PKG_VERSION"), "sha": "", "commit_message": "" },
    }))
}

async fn secrets(State(app): State<App>) -> Response {
    match crate::secrets::names(&app.secrets) {
        Ok(names) => {
            let names: Vec<Value> =
                names.into_iter().map(|name| json!({ "name": name, "namespace": NAMESPACE })).collect();
            Json(names).into_response()
        }
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("the secrets cannot be listed: {error}")),
    }
}

#[derive(Deserialize)]
struct LogQuery {
    name: String,
    tail: Option<i64>,
    #[serde(default)]
    follow: bool,
}

async fn logs(State(app): State<App>, Query(query): Query<LogQuery>) -> Response {
    let Some(function) = app.functions.find(&query.name) else { return no_function(&query.name) };
    let tail = query.tail.and_then(|tail| usize::try_from(tail).ok()).filter(|&tail| tail > 0).unwrap_or(usize::MAX);
    let (past, live) = function.logs.follow(tail);
    let past = stream::iter(past.into_iter().map(|line| Ok::<_, std::convert::Infallible>(ndjson(&line))));
    let body = if query.follow {
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
    let seconds = line.timestamp_ms / 1000;
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    let record = json!({
        "name": line.function,
        "namespace": NAMESPACE,
        "instance": line.function,
        "timestamp": rfc3339(time, line.timestamp_ms % 1000),
        "text": line.text,
    });
    Bytes::from(format!("{record}\n"))
}

/// Days to a date by the algorithm of H. Hinnant ("chrono-compatible low-level date algorithms").
fn rfc3339(time: std::time::SystemTime, millis: u64) -> String {
    let seconds = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
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

async fn redrive(State(app): State<App>, Json(redrive): Json<Redrive>) -> Response {
    let count = app.queue.redrive(&redrive.which, redrive.per_second).await;
    answer(count.map(|count| json!({ "redriven": count })))
}

async fn discard(State(app): State<App>, Json(which): Json<Selection>) -> Response {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        let at = |seconds| std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        assert_eq!(rfc3339(at(0), 5), "1970-01-01T00:00:00.005Z");
        assert_eq!(rfc3339(at(951_827_696), 0), "2000-02-29T12:34:56.000Z");
        assert_eq!(rfc3339(at(1_798_761_599), 999), "2026-12-31T23:59:59.999Z");
    }
}
