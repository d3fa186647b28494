//! The gateway's own metrics, and those of flows, which serve them on ports that the gateway has chosen.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use faasflow_http::Budget;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use super::absent::absent;
use super::namespace::Namespace;
use crate::answer::plain;
use crate::disk;
use crate::functions::Functions;
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::queue::Queue;

/// How long a function may take to tell its metrics, and how many bytes of them are taken on.
const PATIENCE: Duration = Duration::from_secs(10);
const LARGEST: u64 = 16 << 20;

/// What the gateway's own metrics are taken from.
pub(crate) struct Gauges {
    pub(crate) functions: Functions,
    pub(crate) queue: Queue,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) budget: Budget,
}

pub(super) async fn of_gateway(State(gauges): State<Arc<Gauges>>) -> Response {
    let stats = match gauges.queue.stats().await {
        Ok(stats) => stats,
        Err(error) => return disk::queue_answer(&error, ""),
    };
    let text = gauges.metrics.text(&gauges.functions, &stats, &gauges.budget);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    name: String,
}

/// What a function serves on its `metrics_port`.
pub(super) async fn of_function(
    State(functions): State<Functions>,
    State(proxy): State<Proxy>,
    Query(Which { name }): Query<Which>,
    Query(namespace): Query<Namespace>,
) -> Response {
    if name.is_empty() {
        return plain(StatusCode::BAD_REQUEST, "name the function: /system/metrics?name=NAME".to_owned());
    }
    if let Err(why) = namespace.check() {
        return plain(StatusCode::NOT_FOUND, why);
    }
    let Some(function) = functions.find(&name) else { return absent(&name) };
    // One that is replaced goes on until the next takes requests.
    let (function, taken) = function.route(Duration::ZERO).await;
    let port = function.metrics_port.load(Ordering::Relaxed);
    if port == 0 {
        let why = format!("`{name}` has no metrics: the gateway runs no process of it that would serve them");
        return plain(StatusCode::NOT_FOUND, why);
    }
    let url = format!("http://127.0.0.1:{port}/metrics");
    let told = proxy.ask(&url, LARGEST, PATIENCE).await;
    // Until then its process is not replaced.
    drop(taken);
    match told {
        Ok(answer) => {
            let kind = answer.headers().get(CONTENT_TYPE).cloned();
            let mut response = (answer.status(), answer.into_body()).into_response();
            if let Some(kind) = kind {
                response.headers_mut().insert(CONTENT_TYPE, kind);
            }
            response
        }
        Err(why) => plain(
            StatusCode::NOT_FOUND,
            format!("`{name}` serves no metrics at {url}, as flows do where the variable `metrics_port` says: {why}"),
        ),
    }
}
