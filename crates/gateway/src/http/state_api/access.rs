//! Checks who calls and about which request, and lets a limited number of operations run at once.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use faasflow_admin::state as api;
use faasflow_core::code;
use faasflow_http::drain;
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::watches::Watches;
use crate::answer::{busy, refusal};
use crate::store::{Scope, Store};
use crate::tokens::Tokens;

/// How long the parts of a body may take to arrive, and how long a request waits for its turn.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// The store, and who may use it.
pub(crate) struct StateAccess {
    pub(crate) store: Store,
    pub(crate) tokens: Tokens,
    pub(crate) watches: Watches,
    /// Cancelled when the gateway stops and all functions have ended.
    pub(crate) silent: CancellationToken,
}

/// The function that asks.
#[derive(Clone)]
pub(super) struct Caller(pub(super) String);

/// Refuses requests without the token of a function.
pub(super) async fn admit(State(access): State<Arc<StateAccess>>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = given.and_then(|given| given.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let Some(function) = token.and_then(|token| access.tokens.function(token)).map(str::to_owned) else {
        let (parts, body) = request.into_parts();
        drain(&parts.headers, body).await;
        let text = "the store is only for functions of this gateway, which get a token in `state_gateway_token`";
        let mut response = refusal(StatusCode::UNAUTHORIZED, code::STORE_DENIED, text);
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"faasflow\""));
        return response;
    };
    request.extensions_mut().insert(Caller(function));
    next.run(request).await
}

/// The request that an operation is about.
#[derive(Deserialize)]
pub(super) struct Named {
    flow: String,
    request: String,
}

impl Named {
    pub(super) fn new(flow: String, request: String) -> Named {
        Named { flow, request }
    }

    pub(super) fn scope(self, Caller(function): Caller) -> Result<Scope, Box<Response>> {
        short(api::FLOW_PARAMETER, &self.flow)?;
        short(api::REQUEST_PARAMETER, &self.request)?;
        Ok(Scope { function, flow: self.flow, request: self.request })
    }
}

/// Refuses a text that is too long.
pub(super) fn short(what: &str, text: &str) -> Result<(), Box<Response>> {
    if text.len() <= api::LONGEST_KEY {
        return Ok(());
    }
    let text = format!("`{what}` has {} bytes, and the store takes up to {}", text.len(), api::LONGEST_KEY);
    Err(Box::new(refusal(StatusCode::BAD_REQUEST, code::BAD_API_PARAMETER, text)))
}

pub(super) fn bad_parameter(text: impl Into<String>) -> Box<Response> {
    Box::new(refusal(StatusCode::BAD_REQUEST, code::BAD_API_PARAMETER, text))
}

/// Reads a parameter that is a number.
pub(super) fn number(what: &str, text: &str) -> Result<u64, Box<Response>> {
    text.parse().map_err(|_| bad_parameter(format!("`{what}` is a number of milliseconds")))
}

/// Reads the limit of a listing.
pub(super) fn limit(text: Option<&str>, default: usize, most: usize) -> Result<usize, Box<Response>> {
    match text.map(str::parse) {
        None => Ok(default),
        Some(Ok(limit)) if (1..=most).contains(&limit) => Ok(limit),
        Some(_) => Err(bad_parameter(format!("`{}` is a number from 1 to {most}", api::LIMIT_PARAMETER))),
    }
}

/// Waits for the turn of a request, or refuses it.
pub(super) async fn turn(store: &Store) -> Result<tokio::sync::SemaphorePermit<'_>, Box<Response>> {
    let late = |_| Box::new(busy("the store has too many requests under way: try again later".to_owned()));
    tokio::time::timeout(PATIENCE, store.permit()).await.map_err(late)
}

/// The outcome of a handler as its answer.
pub(super) fn answer(outcome: Result<Response, Box<Response>>) -> Response {
    outcome.unwrap_or_else(|refusal| *refusal)
}
