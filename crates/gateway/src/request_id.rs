//! The id of the request that a call belongs to.

use faasflow_core::RequestId;
use faasflow_core::headers::{CALL_ID, REQUEST_ID};
use http::header::{HeaderMap, HeaderValue};

/// The id that the caller gave the request, if it is valid.
pub(crate) fn given(headers: &HeaderMap) -> Option<RequestId> {
    parse(headers.get(REQUEST_ID)?)
}

/// The same, or else the id of the call. A flow chooses the id of a request in the same way.
pub(crate) fn from_headers(headers: &HeaderMap) -> Option<RequestId> {
    given(headers).or_else(|| parse(headers.get(CALL_ID)?))
}

/// The id in a header, if it is valid.
pub(crate) fn parse(value: &HeaderValue) -> Option<RequestId> {
    RequestId::parse(value.to_str().ok()?)
}

/// Adds the id to an answer or a callback that has none. Only flows answer with one.
pub(crate) fn put(id: Option<&RequestId>, headers: &mut HeaderMap) {
    if let Some(value) = id.and_then(|id| HeaderValue::from_str(id.as_str()).ok()) {
        headers.entry(REQUEST_ID).or_insert(value);
    }
}
