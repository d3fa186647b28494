//! The gateway's own answers: refusals, in a line of text with an error code.

use axum::body::Body;
use axum::response::Response;
use faasflow_core::code::{self, Code};
use faasflow_core::headers;
pub(crate) use faasflow_http::refusal;
use faasflow_http::{NoRoom, drain};
use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

/// Marks answers that come from the gateway instead of the function, as OpenFaaS's gateway and providers mark theirs.
pub(crate) const INTERNAL: HeaderName = HeaderName::from_static("x-openfaas-internal");

/// A refusal of a call, marked with [`INTERNAL`].
pub(crate) fn internal(status: StatusCode, code: Code, text: impl Into<String>) -> Response {
    let mut response = refusal(status, code, text);
    response.headers_mut().insert(INTERNAL, HeaderValue::from_static("proxy"));
    response
}

/// Reads the body of a refused request, so that the client gets the answer, and returns the answer.
pub(crate) async fn after_body(request: &HeaderMap, body: Body, answer: Response) -> Response {
    drain(request, body).await;
    answer
}

/// The answer to a request for which there is no room. Nothing was executed.
pub(crate) fn no_room(why: NoRoom) -> Response {
    let text = format!("{why}; {}", why.help());
    if why.is_temporary() { busy(text) } else { internal(StatusCode::PAYLOAD_TOO_LARGE, why.code(), text) }
}

/// The answer to a request that should be sent again later. Nothing was executed.
pub(crate) fn busy(why: String) -> Response {
    let mut response = internal(StatusCode::SERVICE_UNAVAILABLE, code::NO_ROOM, why);
    // The wait is random, so that requests refused together do not return together.
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(rand::random_range(1..=5)));
    response.headers_mut().insert(headers::BUSY, HeaderValue::from_static("true"));
    response
}
