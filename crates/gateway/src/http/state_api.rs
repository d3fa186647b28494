//! The API of the store, for functions with `state_manager: gateway`.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use faasflow_admin::state as api;

use super::method::wrong_method;
use super::state::AppState;
use super::system::guard::Guard;

pub(crate) mod access;
mod many;
mod new;
mod records;
mod request;
mod value;
mod watch;
mod watches;

use access::{StateAccess, admit};

/// The routes. `guard` is `None` on the listener for containers, which names the gateway by a name of its own; web pages do not reach it.
pub(super) fn routes(access: &Arc<StateAccess>, guard: Option<Arc<Guard>>) -> Router<AppState> {
    let routes = Router::new()
        .route(api::STORE, get(request::store))
        .route(api::VALUE, get(value::read).put(value::write).post(value::write_if).delete(value::remove))
        .route(api::VALUES, post(many::read))
        .route(api::NEW_VALUES, post(new::create))
        .route(api::KEYS, get(request::keys))
        .route(api::REQUEST, post(value::begin).put(records::list).delete(request::end))
        .route(api::REQUESTS, get(records::lines))
        .route(api::ACROSS, post(many::read_across))
        .route(api::WATCH, get(watch::watch))
        .method_not_allowed_fallback(wrong_method)
        .route_layer(from_fn_with_state(access.clone(), admit));
    match guard {
        Some(guard) => routes.route_layer(from_fn_with_state(guard, pass_pages)),
        None => routes,
    }
}

async fn pass_pages(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.pass_pages(request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => *refusal,
    }
}
