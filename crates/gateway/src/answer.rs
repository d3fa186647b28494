//! Answers of the gateway's own.

use axum::body::Body;
use axum::response::Response;
use faasflow_core::code::{self, Code};
use faasflow_core::headers;
use faasflow_http::NoRoom;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};

/// Marks them, as OpenFaaS's gateway and providers do.
pub(crate) const INTERNAL: HeaderName = HeaderName::from_static("x-openfaas-internal");

/// A short text of the gateway's own, marked as OpenFaaS marks it.
pub(crate) fn internal(status: StatusCode, text: String) -> Response {
    let mut response = plain(status, text);
    response.headers_mut().insert(INTERNAL, HeaderValue::from_static("proxy"));
    response
}

/// The same answer, with the code of the error that it tells of.
pub(crate) fn coded(mut response: Response, code: Code) -> Response {
    response.headers_mut().insert(headers::ERROR_CODE, HeaderValue::from_static(code.as_str()));
    response
}

/// A short text as an answer.
pub(crate) fn plain(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text + "\n"));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The answer to a request for which there is no room: nothing was executed.
pub(crate) fn no_room(why: NoRoom) -> Response {
    if !why.is_temporary() {
        let text = format!("{why}; `--max-inflight-bytes` allows more");
        return coded(internal(StatusCode::PAYLOAD_TOO_LARGE, text), why.code());
    }
    busy(why.to_string())
}

/// The answer to a request that is to come again later: nothing was executed.
pub(crate) fn busy(why: String) -> Response {
    let mut response = coded(internal(StatusCode::SERVICE_UNAVAILABLE, why), code::NO_ROOM);
    // Not all that were refused together come again together.
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(rand::random_range(1..=5)));
    response.headers_mut().insert(headers::BUSY, HeaderValue::from_static("true"));
    response
}
