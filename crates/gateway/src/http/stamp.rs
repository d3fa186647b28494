//! The headers that the gateway adds to requests and answers: the id of the call, and the time.

use std::time::{SystemTime, UNIX_EPOCH};

use faasflow_core::headers;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

use crate::proxy::START_TIME;

const SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

/// Gives a call an id if it has none. Returns the id, and whether it was made here.
pub(super) fn identify(headers: &mut HeaderMap) -> (HeaderValue, bool) {
    // An empty id counts as none.
    let given = headers.get(headers::CALL_ID).filter(|id| !id.as_bytes().trim_ascii().is_empty());
    if let Some(id) = given {
        return (id.clone(), false);
    }
    // `Uuid::new_v4` would ask the operating system every time.
    let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let mut text = Uuid::encode_buffer();
    let id = HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).expect("it is hexadecimal");
    headers.insert(headers::CALL_ID, id.clone());
    (id, true)
}

/// Adds the time at which the request came, and the name of this gateway.
pub(super) fn stamp(headers: &mut HeaderMap) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    headers.insert(START_TIME, HeaderValue::from(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)));
    headers.insert(SERVED_BY, HeaderValue::from_static("faasflow"));
}
