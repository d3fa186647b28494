//! URLs of the gateway, and headers that all requests share.

use faasflow_core::{TraceContext, headers};
use http::{HeaderValue, Uri};

/// The content type of a payload that has none.
pub(crate) const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// The URL of a function at the gateway.
pub(crate) fn gateway_url(gateway: &Uri, route: &str, function: &str, query: Option<&str>) -> Result<Uri, http::Error> {
    let path = match query {
        Some(query) => format!("/{route}/{function}?{query}"),
        None => format!("/{route}/{function}"),
    };
    let mut parts = gateway.clone().into_parts();
    parts.path_and_query = Some(path.parse()?);
    Ok(Uri::from_parts(parts)?)
}

/// The trace context as headers. A value that is not valid in a header is left out.
pub(crate) fn trace_headers(trace: &TraceContext) -> impl Iterator<Item = (http::HeaderName, HeaderValue)> {
    let parent = trace.parent.as_ref().map(|text| (headers::TRACEPARENT, text));
    let state = trace.state.as_ref().map(|text| (headers::TRACESTATE, text));
    parent.into_iter().chain(state).filter_map(|(name, text)| Some((name, HeaderValue::from_str(text).ok()?)))
}
