use axum::body::Body;
use axum::response::Response;
use faasflow_core::code::Code;
use faasflow_core::headers;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};

use crate::harmless::forbid_scripts;

/// The answer to a request that a server refuses: one line of text, and the code of the error in a header. It may quote what others have
/// sent, so browsers must not execute it.
pub fn refusal(status: StatusCode, code: Code, text: impl Into<String>) -> Response {
    let mut response = Response::new(Body::from(text.into() + "\n"));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(headers::ERROR_CODE, HeaderValue::from_static(code.as_str()));
    forbid_scripts(headers);
    response
}
