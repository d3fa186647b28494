//! OpenFaaS's API, which `faas-cli` uses, and the APIs of the queue and of the requests of flows.

use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use faasflow_admin::paths;
use faasflow_http::without_scripts;

use super::method::wrong_method;
use super::state::AppState;
use crate::namespace::NAMESPACE;

mod absent;
pub(crate) mod activity;
mod body;
mod drawing;
pub(crate) mod events;
pub(crate) mod extract;
mod flows;
pub(crate) mod functions;
pub(crate) mod guard;
pub(crate) mod info;
pub(crate) mod logs;
mod masked;
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
        .route(paths::PAGE_TOKEN, get(guard::tell_page_token))
        .route(paths::EVENTS, get(events::events))
        .route(paths::ACTIVITY, get(activity::of_gateway))
        .route(paths::NAMESPACES, get(|| async { Json([NAMESPACE]) }))
        .route(paths::SECRETS, get(secrets::list).post(secrets::create).put(secrets::replace).delete(secrets::remove))
        .route(paths::LOGS, get(logs::logs))
        .route(paths::FUNCTION_METRICS, get(metrics::of_function))
        .route(paths::QUEUE, get(queue::stats))
        .route(paths::CALLS, get(queue::calls))
        .route(paths::DEAD_LETTERS, get(queue::dead_letters).delete(queue::discard))
        .route(paths::DEAD_LETTER, get(queue::dead_letter))
        .route(paths::REDRIVE, post(queue::redrive))
        .route(paths::FLOWS, get(flows::list))
        .route(paths::DRAWING, get(drawing::draw))
        .route(paths::FLOW_ACTIVITY, get(activity::of_flow))
        .route(paths::REQUESTS, any(flows::forward))
        .route("/system/flows/{flow}/requests/{*rest}", any(flows::forward))
        .route(paths::RECOVER, any(flows::forward))
        .method_not_allowed_fallback(wrong_method)
        .route_layer(from_fn_with_state(state.clone(), guard::check))
        .route(paths::METRICS, get(metrics::of_gateway))
        .route_layer(map_response(without_scripts))
}
