//! The routes.

use axum::Router;
use axum::extract::{FromRef, Request};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse as _, Redirect};
use axum::routing::{any, get};
use faasflow_containers::Bridge;
use faasflow_core::code;
use faasflow_http::Peer;
use http::header::ACCEPT;
use http::{Method, StatusCode};

use super::method::{list_methods, wrong_method};
use super::state::AppState;
use super::{enqueue, invoke, state_api, system};
use crate::answer::refusal;

/// All routes of the gateway.
pub(crate) fn router(state: &AppState) -> Router {
    let store = state_api::routes(&FromRef::from_ref(state), Some(FromRef::from_ref(state)));
    finish(invocations().merge(system::routes(state)).merge(store).merge(pages(state)), state, true)
}

/// The dashboard. The rules of access are those of the admin API.
fn pages(state: &AppState) -> Router<AppState> {
    faasflow_dashboard::router().route_layer(from_fn_with_state(state.clone(), system::guard::check))
}

/// The routes for functions in containers only. The store is among them, since it asks for a token. The admin API is not, because a function could use it to run
/// programs outside its container.
pub(crate) fn router_for_containers(state: &AppState, bridge: Bridge) -> Router {
    let for_containers = move |request: Request, next: Next| async move {
        match request.extensions().get::<Peer>() {
            Some(Peer(peer)) if bridge.contains(peer.ip()) => next.run(request).await,
            _ => refusal(
                StatusCode::FORBIDDEN,
                code::CONTAINERS_ONLY,
                "this address is only for containers on this machine",
            ),
        }
    };
    let store = state_api::routes(&FromRef::from_ref(state), None);
    finish(invocations().merge(store), state, false).layer(from_fn(for_containers))
}

fn invocations() -> Router<AppState> {
    Router::new()
        .route("/function/{*target}", any(invoke::synchronous))
        .route("/async-function/{*target}", any(enqueue::asynchronous))
        .route("/healthz", get(|| async { "OK" }))
}

/// Whether a browser asks for a page to show.
fn is_for_people(request: &Request) -> bool {
    let accepted = request.headers().get(ACCEPT).and_then(|accepted| accepted.to_str().ok());
    request.method() == Method::GET && accepted.is_some_and(|accepted| accepted.contains("text/html"))
}

fn finish(router: Router<AppState>, state: &AppState, has_pages: bool) -> Router {
    let router = router
        .fallback(move |request: Request| async move {
            let path = request.uri().path();
            if has_pages && path == "/" && is_for_people(&request) {
                return Redirect::temporary(faasflow_dashboard::PATH).into_response();
            }
            let text =
                format!("nothing is served at `{path}`: functions are at /function/NAME and /async-function/NAME");
            refusal(StatusCode::NOT_FOUND, code::NO_ROUTE, text)
        })
        .method_not_allowed_fallback(wrong_method)
        .with_state(state.clone());
    // axum adds `Allow` to the answers of the whole router only, so this layer is outside of it.
    Router::new().fallback_service(router).layer(map_response(list_methods))
}
