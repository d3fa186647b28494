//! The OpenFaaS API that `faas-cli` asks, and the queue's own.

use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Json, Router};

use super::state::AppState;
use crate::namespace::NAMESPACE;

mod absent;
mod body;
pub(crate) mod functions;
pub(crate) mod guard;
pub(crate) mod info;
pub(crate) mod logs;
pub(crate) mod metrics;
mod namespace;
mod queue;
pub(crate) mod secrets;

pub use queue::Redrive;

pub(crate) fn routes(state: &AppState) -> Router<AppState> {
    Router::new()
        .route(
            "/system/functions",
            get(functions::list).post(functions::deploy).put(functions::replace).delete(functions::remove),
        )
        .route("/system/function/{name}", get(functions::one))
        .route("/system/scale-function/{name}", post(functions::scale))
        .route("/system/info", get(info::info))
        .route("/system/namespaces", get(|| async { Json([NAMESPACE]) }))
        .route(
            "/system/secrets",
            get(secrets::list).post(secrets::create).put(secrets::replace).delete(secrets::remove),
        )
        .route("/system/logs", get(logs::logs))
        .route("/system/metrics", get(metrics::of_function))
        .route("/system/queue", get(queue::stats))
        .route("/system/queue/calls", get(queue::calls))
        .route("/system/queue/dead-letters", get(queue::dead_letters).delete(queue::discard))
        .route("/system/queue/dead-letters/{id}", get(queue::dead_letter))
        .route("/system/queue/redrive", post(queue::redrive))
        .route_layer(from_fn_with_state(state.clone(), guard::check))
        .route("/metrics", get(metrics::of_gateway))
}
