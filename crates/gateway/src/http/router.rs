//! What is served where.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::{any, get};
use faasflow_containers::Bridge;
use faasflow_http::Peer;
use http::StatusCode;

use super::state::AppState;
use super::{enqueue, invoke, system};
use crate::answer::plain;

/// Everything that the gateway serves.
pub(crate) fn router(state: &AppState) -> Router {
    finish(invocations().merge(system::routes(state)), state)
}

/// What functions in containers reach. It is for them alone, and without the API, by which a function could have
/// programs run outside of its container.
pub(crate) fn router_for_containers(state: &AppState, bridge: Bridge) -> Router {
    let for_containers = move |request: Request, next: Next| async move {
        match request.extensions().get::<Peer>() {
            Some(Peer(peer)) if bridge.contains(peer.ip()) => next.run(request).await,
            _ => plain(StatusCode::FORBIDDEN, "this address is for containers of this machine".to_owned()),
        }
    };
    finish(invocations(), state).layer(from_fn(for_containers))
}

fn invocations() -> Router<AppState> {
    Router::new()
        .route("/function/{*target}", any(invoke::synchronous))
        .route("/async-function/{*target}", any(enqueue::asynchronous))
        .route("/healthz", get(|| async { "OK" }))
}

fn finish(router: Router<AppState>, state: &AppState) -> Router {
    router
        .fallback(|request: Request| async move {
            plain(
                StatusCode::NOT_FOUND,
                format!(
                    "nothing is served at {}: functions are at /function/NAME and /async-function/NAME",
                    request.uri().path()
                ),
            )
        })
        .with_state(state.clone())
}
