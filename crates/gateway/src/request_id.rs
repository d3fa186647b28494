//! What the request is known by that an invocation is part of.

use faasflow_core::RequestId;
use faasflow_core::headers::{CALL_ID, REQUEST_ID};
use http::header::{HeaderMap, HeaderValue};

/// The id that the caller gave the request, if it is one.
pub(crate) fn given(headers: &HeaderMap) -> Option<RequestId> {
    parse(headers.get(REQUEST_ID)?)
}

/// The same, or the id of the call: what a flow would take for the request's.
pub(crate) fn of(headers: &HeaderMap) -> Option<RequestId> {
    given(headers).or_else(|| parse(headers.get(CALL_ID)?))
}

/// The id that a header holds, if it is one.
pub(crate) fn parse(value: &HeaderValue) -> Option<RequestId> {
    RequestId::parse(value.to_str().ok()?)
}

/// Has an answer or a callback say the id where it says none. Only flows answer with one.
pub(crate) fn put(id: Option<&RequestId>, headers: &mut HeaderMap) {
    if let Some(value) = id.and_then(|id| HeaderValue::from_str(id.as_str()).ok()) {
        headers.entry(REQUEST_ID).or_insert(value);
    }
}
