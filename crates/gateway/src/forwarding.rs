//! The headers that tell a function where its request came from.

use faasflow_http::Peer;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, request};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Appends the address of the client to the addresses of earlier proxies, and joins them in one header. Host and protocol are those
/// that the first proxy saw.
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

/// How often a request has gone from this gateway to the URL of a function. A URL that leads back to the gateway would
/// otherwise keep a request going round, and each round would hold one more connection.
const PASSES: HeaderName = HeaderName::from_static("x-faasflow-passes");
/// How often that may be. Functions that call each other through the gateway stay far below.
pub(crate) const MOST_PASSES: u32 = 10;

/// A request that has gone round as often as it may.
#[derive(Debug)]
pub(crate) struct Looped;

/// Counts that a request goes to the URL of a function.
///
/// # Errors
///
/// If it has gone to one [`MOST_PASSES`] times.
pub(crate) fn count_pass(headers: &mut HeaderMap) -> Result<(), Looped> {
    let before = headers.get(PASSES).and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0);
    if before >= MOST_PASSES {
        return Err(Looped);
    }
    headers.insert(PASSES, HeaderValue::from(before + 1));
    Ok(())
}

/// The server that a request is for. It is in the target, as in HTTP/2 and in requests to a proxy, or else in `Host` (RFC 9112,
/// 3.2.2).
pub(crate) fn host(parts: &request::Parts) -> Option<HeaderValue> {
    match parts.uri.authority() {
        Some(target) => HeaderValue::from_str(target.as_str()).ok(),
        None => parts.headers.get(header::HOST).cloned(),
    }
}
