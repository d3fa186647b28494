//! What a function is told of where its request came from.

use faasflow_http::Peer;
use http::header::{self, HeaderName, HeaderValue};
use http::request;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Says once whom the request comes from, behind the addresses that it passed before, in however many headers these are.
/// Host and protocol are those that the first proxy saw.
pub(crate) fn forward(parts: &mut request::Parts) {
    let Some(Peer(peer)) = parts.extensions.remove::<Peer>() else { return };
    let (peer, host) = (peer.ip().to_string(), host(parts));
    let headers = &mut parts.headers;
    let mut addresses: Vec<&str> = Vec::new();
    addresses.extend(headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).map(str::trim));
    addresses.retain(|address| !address.is_empty());
    addresses.push(&peer);
    if let Ok(value) = HeaderValue::from_str(&addresses.join(", ")) {
        headers.insert(FORWARDED_FOR, value);
    }
    if let Some(host) = host {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
}

/// The server that a request is for: that of its target, where it names one, as in HTTP/2 and in requests to a proxy, and else
/// that of `Host` (RFC 9112, 3.2.2).
pub(crate) fn host(parts: &request::Parts) -> Option<HeaderValue> {
    match parts.uri.authority() {
        Some(target) => HeaderValue::from_str(target.as_str()).ok(),
        None => parts.headers.get(header::HOST).cloned(),
    }
}
