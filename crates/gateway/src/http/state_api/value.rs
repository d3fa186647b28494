//! One value: reads, writes and removes it.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use faasflow_admin::state::{KEY_PARAMETER, STARTED_PARAMETER};
use faasflow_core::{chain, code};
use faasflow_http::drain;
use futures_util::StreamExt as _;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use super::access::{Caller, Named, PATIENCE, StateAccess, answer, bad_parameter, number, short, turn};
use crate::answer::refusal;
use crate::disk::store_answer as failed;
use crate::http::system::extract::Parameters;
use crate::store::{Condition, INLINE, NewValue, Scope, Store, StoreError, Value, ValueBytes};

/// The value that an operation is about.
#[derive(Deserialize)]
pub(super) struct NamedValue {
    #[serde(flatten)]
    named: Named,
    key: String,
}

impl NamedValue {
    fn split(self, caller: Caller) -> Result<(Scope, String), Box<Response>> {
        short(KEY_PARAMETER, &self.key)?;
        Ok((self.named.scope(caller)?, self.key))
    }
}

/// The value with which a request begins.
#[derive(Deserialize)]
pub(super) struct Beginning {
    #[serde(flatten)]
    value: NamedValue,
    started_ms: String,
}

/// Answers with the value and its version, or 204 if there is none.
pub(super) async fn read(
    State(access): State<Arc<StateAccess>>,
    Extension(caller): Extension<Caller>,
    Parameters(named): Parameters<NamedValue>,
) -> Response {
    let read = async {
        let (scope, key) = named.split(caller)?;
        let _turn = turn(&access.store).await?;
        Ok(found(&access.store, &scope, &key).await.unwrap_or_else(|error| failed(&error)))
    };
    answer(read.await)
}

async fn found(store: &Store, scope: &Scope, key: &str) -> Result<Response, StoreError> {
    let Some(Value { version, bytes }) = store.get(scope, key).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let (length, body) = match bytes {
        ValueBytes::Inline(bytes) => (bytes.len() as u64, Body::from(bytes)),
        ValueBytes::File { file, length } => (length, Body::from_stream(ReaderStream::with_capacity(file, INLINE))),
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(ETAG, tag(version));
    Ok(response)
}

/// A version as an entity tag (RFC 9110, 8.8.3).
fn tag(version: u64) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).expect("digits and quotes are a header")
}

/// Writes a value, and replaces an existing one.
pub(super) async fn write(
    State(access): State<Arc<StateAccess>>,
    Extension(caller): Extension<Caller>,
    Parameters(named): Parameters<NamedValue>,
    request: Request,
) -> Response {
    answer(write_value(&access.store, caller, named, request, |_| Ok((Condition::Always, None))).await)
}

/// Writes a value if the condition in the headers holds. It is a POST, because clients and proxies may repeat a PUT whose answer
/// was lost, and the second time the condition would not hold.
pub(super) async fn write_if(
    State(access): State<Arc<StateAccess>>,
    Extension(caller): Extension<Caller>,
    Parameters(named): Parameters<NamedValue>,
    request: Request,
) -> Response {
    answer(write_value(&access.store, caller, named, request, |headers| Ok((condition(headers)?, None))).await)
}

/// Writes a value if there is none, and lists the request as running.
pub(super) async fn begin(
    State(access): State<Arc<StateAccess>>,
    Extension(caller): Extension<Caller>,
    Parameters(beginning): Parameters<Beginning>,
    request: Request,
) -> Response {
    let absent = |_: &HeaderMap| Ok((Condition::Absent, Some(number(STARTED_PARAMETER, &beginning.started_ms)?)));
    answer(write_value(&access.store, caller, beginning.value, request, absent).await)
}

/// Removes a value. It is not an error if there is none.
pub(super) async fn remove(
    State(access): State<Arc<StateAccess>>,
    Extension(caller): Extension<Caller>,
    Parameters(named): Parameters<NamedValue>,
) -> Response {
    let remove = async {
        let (scope, key) = named.split(caller)?;
        let _turn = turn(&access.store).await?;
        access.store.remove(scope, key).await.map_err(|error| failed(&error))?;
        Ok(StatusCode::NO_CONTENT.into_response())
    };
    answer(remove.await)
}

fn condition(headers: &HeaderMap) -> Result<Condition, Box<Response>> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or_default());
    match (text(IF_NONE_MATCH), text(IF_MATCH)) {
        (Some("*"), None) => Ok(Condition::Absent),
        // A version that this store never gives is one that no value has.
        (None, Some(tag)) => Ok(Condition::Version(tag.trim_matches('"').parse().unwrap_or(0))),
        _ => Err(bad_parameter("a POST needs a condition: `If-None-Match: *` or `If-Match: \"VERSION\"`")),
    }
}

async fn write_value(
    store: &Store,
    caller: Caller,
    named: NamedValue,
    request: Request,
    condition: impl FnOnce(&HeaderMap) -> Result<(Condition, Option<u64>), Box<Response>>,
) -> Result<Response, Box<Response>> {
    let (parts, mut body) = request.into_parts();
    let written = async {
        let (scope, key) = named.split(caller)?;
        let (condition, started_ms) = condition(&parts.headers)?;
        let limit = store.limits().max_value;
        if let Some(size) = announced(&parts.headers).filter(|size| *size > limit) {
            return Err(Box::new(failed(&StoreError::TooLarge { size: Some(size), limit })));
        }
        let _turn = turn(store).await?;
        let mut value = store.begin();
        receive(&mut body, &mut value).await?;
        value.write(scope, key, condition, started_ms).await.map_err(|error| Box::new(failed(&error)))
    };
    match written.await {
        Ok(Some(version)) => {
            let mut response = StatusCode::NO_CONTENT.into_response();
            response.headers_mut().insert(ETAG, tag(version));
            Ok(response)
        }
        Ok(None) => {
            let text = "the value was not written, because the condition does not hold";
            Err(Box::new(refusal(StatusCode::PRECONDITION_FAILED, code::CONDITION_FAILED, text)))
        }
        Err(refusal) => {
            drain(&parts.headers, body).await;
            Err(refusal)
        }
    }
}

/// The size of the body, if the request announces it.
fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Receives a value.
async fn receive(body: &mut Body, value: &mut NewValue<'_>) -> Result<(), Box<Response>> {
    let mut parts = body.into_data_stream();
    loop {
        let part = match tokio::time::timeout(PATIENCE, parts.next()).await {
            Ok(None) => return Ok(()),
            Ok(Some(Ok(part))) => part,
            Ok(Some(Err(error))) => {
                let text = format!("the body was cut off: {}", chain(&error));
                return Err(Box::new(refusal(StatusCode::BAD_REQUEST, code::BODY_INTERRUPTED, text)));
            }
            Err(_) => {
                let text = format!("no part of the body arrived for {} seconds", PATIENCE.as_secs());
                return Err(Box::new(refusal(StatusCode::REQUEST_TIMEOUT, code::BODY_TOO_SLOW, text)));
            }
        };
        value.append(&part).await.map_err(|error| failed(&error))?;
    }
}
