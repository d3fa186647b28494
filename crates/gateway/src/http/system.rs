//! OpenFaaS's API, which `faas-cli` uses, and the API of the queue.

use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Json, Router};
use faasflow_admin::paths;

use super::method::wrong_method;
use super::state::AppState;
use crate::namespace::NAMESPACE;

mod absent;
mod body;
pub(crate) mod extract;
pub(crate) mod functions;
pub(crate) mod guard;
pub(crate) mod info;
pub(crate) mod logs;
pub(crate) mod metrics;
mod namespace;
mod queue;
pub(crate) mod secrets;

pub(crate) fn routes(state: &AppState) -> Router<AppState> {
    Router::new()
        .route(
            paths::FUNCTIONS,
            get(functions::list).post(functions::deploy).put(functions::replace).delete(functions::remove),
        )
        .route(paths::FUNCTION, get(functions::one))
        .route(paths::SCALE, post(functions::scale))
        .route(paths::INFO, get(info::info))
        .route(paths::NAMESPACES, get(|| async { Json([NAMESPACE]) }))
        .route(paths::SECRETS, get(secrets::list).post(secrets::create).put(secrets::replace).delete(secrets::remove))
        .route(paths::LOGS, get(logs::logs))
        .route(paths::FUNCTION_METRICS, get(metrics::of_function))
        .route(paths::QUEUE, get(queue::stats))
        .route(paths::CALLS, get(queue::calls))
        .route(paths::DEAD_LETTERS, get(queue::dead_letters).delete(queue::discard))
        .route(paths::DEAD_LETTER, get(queue::dead_letter))
        .route(paths::REDRIVE, post(queue::redrive))
        .method_not_allowed_fallback(wrong_method)
        .route_layer(from_fn_with_state(state.clone(), guard::check))
        .route(paths::METRICS, get(metrics::of_gateway))
}
