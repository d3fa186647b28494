//! The API of the store, for functions with `state_manager: gateway`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use faasflow_admin::state::{self as api, StateKey, StateKeys, StateListing, StateStore};
use faasflow_core::{chain, code};
use faasflow_http::{drain, read_body};
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use serde::Deserialize;

use super::method::wrong_method;
use super::state::AppState;
use super::system::extract::Parameters;
use super::system::guard::Guard;
use crate::answer::{busy, refusal};
use crate::disk::store_answer as failed;
use crate::store::{Scope, Store};
use crate::tokens::Tokens;

mod many;
mod value;

/// How long the parts of a body may take to arrive, and how long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest body with keys, in bytes.
const KEYS_BODY: u64 = 8 << 20;
/// The most keys in one listing, and how many there are by default.
const MOST_LISTED: usize = 1_000;
const LISTED: usize = 100;

/// The store, and who may use it.
pub(crate) struct StateAccess {
    pub(crate) store: Store,
    pub(crate) tokens: Tokens,
}

/// The routes. `guard` is `None` on the listener for containers, which names the gateway by a name of its own; web pages do not reach it.
pub(super) fn routes(access: &Arc<StateAccess>, guard: Option<Arc<Guard>>) -> Router<AppState> {
    let routes = Router::new()
        .route(api::STORE, get(store))
        .route(api::VALUE, get(value::read).put(value::write).post(value::write_if).delete(value::remove))
        .route(api::VALUES, post(many::read))
        .route(api::KEYS, get(keys))
        .route(api::REQUEST, delete(end))
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

/// The function that asks.
#[derive(Clone)]
struct Caller(String);

/// Refuses requests without the token of a function.
async fn admit(State(access): State<Arc<StateAccess>>, mut request: Request, next: Next) -> Response {
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
struct Named {
    flow: String,
    request: String,
}

impl Named {
    fn scope(self, Caller(function): Caller) -> Result<Scope, Box<Response>> {
        short(api::FLOW_PARAMETER, &self.flow)?;
        short(api::REQUEST_PARAMETER, &self.request)?;
        Ok(Scope { function, flow: self.flow, request: self.request })
    }
}

/// Refuses a text that is too long.
fn short(what: &str, text: &str) -> Result<(), Box<Response>> {
    if text.len() <= api::LONGEST_KEY {
        return Ok(());
    }
    let text = format!("`{what}` has {} bytes, and the store takes up to {}", text.len(), api::LONGEST_KEY);
    Err(Box::new(refusal(StatusCode::BAD_REQUEST, code::BAD_API_PARAMETER, text)))
}

fn bad_parameter(text: impl Into<String>) -> Box<Response> {
    Box::new(refusal(StatusCode::BAD_REQUEST, code::BAD_API_PARAMETER, text))
}

/// Waits for the turn of a request, or refuses it.
async fn turn(store: &Store) -> Result<tokio::sync::SemaphorePermit<'_>, Box<Response>> {
    let late = |_| Box::new(busy("the store has too many requests under way: try again later".to_owned()));
    tokio::time::timeout(PATIENCE, store.permit()).await.map_err(late)
}

/// The outcome of a handler as its answer.
fn answer(outcome: Result<Response, Box<Response>>) -> Response {
    outcome.unwrap_or_else(|refusal| *refusal)
}

async fn store(State(access): State<Arc<StateAccess>>) -> Response {
    let limits = access.store.limits();
    let mut told = StateStore::default();
    told.max_value = limits.max_value;
    told.max_key = api::LONGEST_KEY as u64;
    told.max_keys = api::MOST_KEYS as u64;
    told.time_to_live_ms = u64::try_from(limits.time_to_live.as_millis()).unwrap_or(u64::MAX);
    Json(told).into_response()
}

#[derive(Deserialize)]
struct Listing {
    #[serde(flatten)]
    named: Named,
    after: Option<String>,
    limit: Option<String>,
}

async fn keys(
    State(access): State<Arc<StateAccess>>,
    axum::Extension(caller): axum::Extension<Caller>,
    Parameters(listing): Parameters<Listing>,
) -> Response {
    let list = async {
        let limit = match listing.limit.as_deref().map(str::parse) {
            None => LISTED,
            Some(Ok(limit)) if (1..=MOST_LISTED).contains(&limit) => limit,
            Some(_) => return Err(bad_parameter(format!("`limit` is a number from 1 to {MOST_LISTED}"))),
        };
        let scope = listing.named.scope(caller)?;
        let _turn = turn(&access.store).await?;
        let mut found = access.store.keys(scope, listing.after, limit + 1).await.map_err(|error| failed(&error))?;
        let mut told = StateListing::default();
        told.more = found.len() > limit;
        found.truncate(limit);
        let tell = |(key, version, bytes): (String, u64, u64)| {
            let mut told = StateKey::default();
            (told.key, told.version, told.bytes) = (key, version.to_string(), bytes);
            told
        };
        told.keys = found.into_iter().map(tell).collect();
        Ok(Json(told).into_response())
    };
    answer(list.await)
}

#[derive(Deserialize)]
struct Ending {
    #[serde(flatten)]
    named: Named,
    keep_ms: Option<String>,
}

async fn end(
    State(access): State<Arc<StateAccess>>,
    axum::Extension(caller): axum::Extension<Caller>,
    Parameters(ending): Parameters<Ending>,
) -> Response {
    let end = async {
        let keep_for = match ending.keep_ms.as_deref().map(str::parse) {
            None => None,
            Some(Ok(ms)) => Some(Duration::from_millis(ms)),
            Some(Err(_)) => return Err(bad_parameter("`keep_ms` is a number of milliseconds")),
        };
        let scope = ending.named.scope(caller)?;
        let _turn = turn(&access.store).await?;
        access.store.end(scope, keep_for).await.map_err(|error| failed(&error))?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answer(end.await)
}

/// Reads the keys of the values to read.
async fn read_keys(headers: &HeaderMap, mut body: Body) -> Result<Vec<String>, Box<Response>> {
    let bad = |text: String| Box::new(refusal(StatusCode::BAD_REQUEST, code::BAD_API_BODY, text));
    let read = match read_body(&mut body, KEYS_BODY, PATIENCE).await {
        Ok(read) => read,
        Err(error) => {
            drain(headers, body).await;
            return Err(bad(format!("the body cannot be read: {}", chain(&error))));
        }
    };
    let StateKeys { keys } =
        serde_json::from_slice(&read).map_err(|error| bad(format!("the body is not a list of keys: {error}")))?;
    if keys.len() > api::MOST_KEYS {
        return Err(bad(format!("the body has {} keys, and at most {} are read at once", keys.len(), api::MOST_KEYS)));
    }
    keys.iter().try_for_each(|key| short(api::KEY_PARAMETER, key))?;
    Ok(keys)
}
