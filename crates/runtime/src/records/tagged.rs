//! What has become of a request as an answer, with a tag by which a client can tell whether it has changed.

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use faasflow_admin as api;
use http::StatusCode;
use http::header::{ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, RETRY_AFTER};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The status as JSON, with its tag. A client that has it already is told so.
pub(super) fn tagged(status: StatusCode, told: &api::FlowRequest, asked: &HeaderMap) -> Response {
    let mut response = with_tag(status, told, asked);
    if !told.status.is_end() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// The same for something else.
pub(super) fn with_tag(status: StatusCode, told: &impl Serialize, asked: &HeaderMap) -> Response {
    let body = serde_json::to_vec(told).expect("an answer is plain data");
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&body)[..12]));
    let known = asked.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known.is_some_and(|known| {
        known.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
    });
    let mut response = match is_known {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => (status, [("content-type", "application/json")], Bytes::from(body)).into_response(),
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}
