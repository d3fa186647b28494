//! The metrics of the gateway, and those of flows, which serve them on ports that the gateway chose.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use faasflow_core::code;
use faasflow_http::Budget;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use super::absent::absent;
use super::extract::Parameters;
use super::namespace::Namespace;
use crate::answer::refusal;
use crate::disk;
use crate::functions::Functions;
use crate::metrics::Metrics;
use crate::proxy::Proxy;
use crate::queue::Queue;
use crate::store::Store;

/// How long a function may take to send its metrics, and how large they may be, in bytes.
const PATIENCE: Duration = Duration::from_secs(10);
const LARGEST: u64 = 16 << 20;

/// The sources of the gateway's metrics.
pub(crate) struct Gauges {
    pub(crate) functions: Functions,
    pub(crate) queue: Queue,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) budget: Budget,
    pub(crate) store: Store,
}

pub(super) async fn of_gateway(State(gauges): State<Arc<Gauges>>) -> Response {
    let stats = match gauges.queue.stats().await {
        Ok(stats) => stats,
        Err(error) => return disk::queue_answer(&error, ""),
    };
    // The other metrics are worth having even if the file of the store cannot be read.
    let store = gauges.store.metrics().await.unwrap_or_default();
    let text = gauges.metrics.text(&gauges.functions, &stats, &gauges.budget, store);
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    name: String,
}

/// The metrics that a function serves on its `metrics_port`.
pub(super) async fn of_function(
    State(functions): State<Functions>,
    State(proxy): State<Proxy>,
    Parameters(Which { name }): Parameters<Which>,
    Parameters(namespace): Parameters<Namespace>,
) -> Response {
    if name.is_empty() {
        let text = "name the function: /system/metrics?name=NAME";
        return refusal(StatusCode::BAD_REQUEST, code::BAD_API_PARAMETER, text);
    }
    if let Some(refusal) = namespace.refuse_others() {
        return refusal;
    }
    let Some(function) = functions.find(&name) else { return absent(&name) };
    // A process that is being replaced goes on until the next one accepts requests.
    let (function, taken) = function.route(Duration::ZERO).await;
    let port = function.metrics_port.load(Ordering::Relaxed);
    if port == 0 {
        let text =
            format!("the function `{name}` has no metrics: the gateway runs no process of it that could serve them");
        return refusal(StatusCode::NOT_FOUND, code::NO_METRICS, text);
    }
    let url = format!("http://127.0.0.1:{port}/metrics");
    let asked = proxy.ask(&url, LARGEST, PATIENCE).await;
    // Holding it has kept the process from being replaced.
    drop(taken);
    match asked {
        Ok(answer) => {
            let kind = answer.headers().get(CONTENT_TYPE).cloned();
            let mut response = (answer.status(), answer.into_body()).into_response();
            if let Some(kind) = kind {
                response.headers_mut().insert(CONTENT_TYPE, kind);
            }
            response
        }
        Err(why) => {
            let text = format!(
                "the function `{name}` serves no metrics at {url}, the port in its variable `metrics_port`: {why}"
            );
            refusal(StatusCode::NOT_FOUND, code::NO_METRICS, text)
        }
    }
}
