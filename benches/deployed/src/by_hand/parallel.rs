//! The same calls side by side, with `join_all`. The answer is a JSON object of their answers by name.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use faasflow_http::{HttpClient, read_body};
use futures_util::future::join_all;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode, Uri};

use super::{CALL_TIMEOUT, ChainError, MAX_BODY, OCTETS, READ_TIMEOUT, REQUEST_ID, call, new_id, serve_router};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

#[derive(Clone)]
struct Branches {
    client: HttpClient,
    /// The name and the URL of each call.
    calls: Vec<(String, Uri)>,
}

/// Serves parallel calls of these URLs, given by name.
///
/// # Errors
///
/// If the address cannot be bound.
pub async fn serve(address: SocketAddr, calls: Vec<(String, Uri)>) -> std::io::Result<()> {
    let branches = Branches { client: HttpClient::new(Duration::from_secs(5)), calls };
    serve_router(address, Router::new().fallback(run).with_state(branches)).await
}

async fn run(State(branches): State<Branches>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let id = parts.headers.get(REQUEST_ID).cloned().unwrap_or_else(new_id);
    let Ok(payload) = read_body(body, MAX_BODY, READ_TIMEOUT).await else {
        return (StatusCode::BAD_REQUEST, "the body was cut off or is too large").into_response();
    };
    let content_type = parts.headers.get(CONTENT_TYPE).cloned().unwrap_or(OCTETS);
    let calls = branches.calls.iter().map(|(_, url)| {
        let calling = call(&branches.client, url, &id, content_type.clone(), payload.clone());
        tokio::time::timeout(CALL_TIMEOUT, calling)
    });
    let mut outputs = Vec::with_capacity(branches.calls.len());
    for answer in join_all(calls).await {
        match answer {
            Ok(Ok((_, output))) => outputs.push(output),
            Ok(Err(error)) => return error.response(),
            Err(_) => return ChainError::TooSlow.response(),
        }
    }
    let Some(object) = object(branches.calls.iter().map(|(name, _)| name.as_str()), &outputs) else {
        return (StatusCode::BAD_GATEWAY, "an answer is not JSON").into_response();
    };
    let mut response = Response::new(Body::from(object));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// A JSON object of outputs that are JSON. They are checked and copied, not built again.
fn object<'a>(names: impl Iterator<Item = &'a str>, outputs: &[Bytes]) -> Option<String> {
    let mut object = String::with_capacity(outputs.iter().map(|output| output.len() + 16).sum());
    for (name, output) in names.zip(outputs) {
        let output = std::str::from_utf8(output).ok()?;
        serde_json::from_str::<serde::de::IgnoredAny>(output).ok()?;
        object.push(if object.is_empty() { '{' } else { ',' });
        object.push_str(&serde_json::to_string(name).ok()?);
        object.push(':');
        object.push_str(output);
    }
    object.push('}');
    Some(object)
}
