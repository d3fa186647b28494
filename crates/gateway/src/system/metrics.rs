//! The gateway's own metrics, and those of flows, which serve them on ports that the gateway has chosen.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use faasflow_core::chain;
use faasflow_runtime::http::read_body;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode};
use serde::Deserialize;

use super::{Namespace, functions};
use crate::proxy::plain;
use crate::routes::App;

/// How long a function may take to tell its metrics, and how many bytes of them are taken on.
const PATIENCE: Duration = Duration::from_secs(10);
const LARGEST: u64 = 16 << 20;

pub(super) async fn of_gateway(State(app): State<App>) -> Response {
    let text = app.metrics.text(&app.functions.all(), &app.queue.stats());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    name: String,
}

/// What a function serves on its `metrics_port`.
pub(super) async fn of_function(
    State(app): State<App>,
    Query(Which { name }): Query<Which>,
    Query(namespace): Query<Namespace>,
) -> Response {
    if name.is_empty() {
        return plain(StatusCode::BAD_REQUEST, "name the function: /system/metrics?name=NAME".to_owned());
    }
    if let Err(why) = namespace.check() {
        return plain(StatusCode::NOT_FOUND, why);
    }
    let Some(function) = app.functions.find(&name) else { return functions::absent(&name) };
    // One that is replaced goes on until the next takes requests.
    let (function, taken) = function.take(Duration::ZERO).await;
    let port = function.metrics_port.load(Ordering::Relaxed);
    if port == 0 {
        let why = format!("`{name}` has no metrics: the gateway runs no process of it that would serve them");
        return plain(StatusCode::NOT_FOUND, why);
    }
    let url = format!("http://127.0.0.1:{port}/metrics");
    let request = Request::get(&url).body(Body::empty()).expect("an address is a URL");
    let exchange = async {
        let answer = app.proxy.client.send(request).await.map_err(|error| chain(&error))?;
        let (parts, body) = answer.into_parts();
        let body = read_body(body, LARGEST, PATIENCE).await.map_err(|error| chain(&error))?;
        Ok::<_, String>((parts.status, parts.headers, body))
    };
    let late = || Err(format!("it took longer than {PATIENCE:?}"));
    let told = tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| late());
    // Until then its process is not replaced.
    drop(taken);
    match told {
        Ok((status, headers, body)) => {
            let mut response = (status, body).into_response();
            if let Some(kind) = headers.get(CONTENT_TYPE) {
                response.headers_mut().insert(CONTENT_TYPE, kind.clone());
            }
            response
        }
        Err(why) => plain(
            StatusCode::NOT_FOUND,
            format!("`{name}` serves no metrics at {url}, as flows do where the variable `metrics_port` says: {why}"),
        ),
    }
}
