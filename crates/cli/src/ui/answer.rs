//! What the pages are answered: what the gateway answered, as far as it is for a browser, or why there is nothing.

use axum::body::Body;
use axum::response::Response;
use faasflow_core::code;
use faasflow_http::refusal;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use hyper::body::Incoming;

use crate::error::Failure;

/// The headers of an answer that a page may need, besides those of Faasflow. The others stay here, such as cookies of the
/// gateway.
const HEADERS: [HeaderName; 5] = [CONTENT_TYPE, CONTENT_LENGTH, ETAG, CACHE_CONTROL, RETRY_AFTER];
/// How the names of Faasflow's own headers begin.
const OWN: &str = "x-faasflow-";

/// Passes an answer on.
pub(super) fn passed_on(answer: http::Response<Incoming>) -> Response {
    let (mut parts, body) = answer.into_parts();
    parts.headers = headers(&parts.headers);
    Response::from_parts(parts, Body::new(body))
}

fn headers(answered: &HeaderMap) -> HeaderMap {
    let is_for_pages = |name: &HeaderName| HEADERS.contains(name) || name.as_str().starts_with(OWN);
    let kept = answered.iter().filter(|(name, _)| is_for_pages(name));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The answer if the gateway cannot be asked, or did not answer as a gateway. The pages show it until the gateway answers
/// again.
pub(super) fn trouble(failure: &Failure) -> Response {
    let code = failure.code().unwrap_or(code::NO_GATEWAY);
    let is_denied = code == code::ACCESS_DENIED;
    let remedy = if is_denied { "; start `faasflow ui` again with the right ones in the URL" } else { "" };
    refusal(StatusCode::BAD_GATEWAY, code, format!("{failure}{remedy}"))
}

/// The answer if this gateway does not have what a page shows. The text is a sentence for the page.
pub(super) fn absent(text: &str) -> Response {
    refusal(StatusCode::NOT_IMPLEMENTED, code::NOT_AT_THIS_GATEWAY, text)
}

pub(super) fn not_a_flow(function: &str) -> Response {
    let text = format!("the function `{function}` is not a flow: it does not answer about requests");
    refusal(StatusCode::NOT_FOUND, code::NOT_A_FLOW, text)
}
