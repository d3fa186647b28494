//! The headers that tell a function where its request came from.

use std::sync::Arc;

use faasflow_core::headers::PASSES;
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

/// How many times one request may go to the URL of a function. Functions that call each other through the gateway stay far
/// below.
pub(crate) const MOST_PASSES: u32 = 10;

/// Counts the times that a request goes from this gateway to the URL of a function. A URL that leads back to the gateway would
/// otherwise keep a request going round, and each round would hold one more connection.
///
/// The count is in the header [`PASSES`] under a random id, so that callers cannot set it. Entries of other gateways stay,
/// because a request may go round through several.
#[derive(Clone, Debug)]
pub(crate) struct PassCounter {
    id: Arc<str>,
}

/// A request that has gone round the most times that it may.
#[derive(Debug)]
pub(crate) struct RequestLoop;

impl PassCounter {
    pub(crate) fn new() -> PassCounter {
        PassCounter { id: format!("{:016x}", rand::random::<u64>()).into() }
    }

    /// Counts that a request goes to the URL of a function.
    ///
    /// # Errors
    ///
    /// If it has gone to one [`MOST_PASSES`] times.
    pub(crate) fn count(&self, headers: &mut HeaderMap) -> Result<(), RequestLoop> {
        let (mut own, mut entries) = (0, Vec::new());
        let values = headers.get_all(PASSES).iter().filter_map(|value| value.to_str().ok());
        for (id, number) in values.flat_map(|value| value.split(',')).filter_map(parse_pass) {
            if *id == *self.id {
                own = own.max(number);
            } else {
                entries.push(format!("{id}={number}"));
            }
        }
        if own >= MOST_PASSES {
            return Err(RequestLoop);
        }
        entries.push(format!("{}={}", self.id, own + 1));
        let value = HeaderValue::try_from(entries.join(",")).expect("an entry has only digits, letters and `=`");
        headers.insert(PASSES, value);
        Ok(())
    }
}

/// An entry of [`PASSES`]: the id of a gateway, and its count.
fn parse_pass(entry: &str) -> Option<(&str, u32)> {
    let (id, number) = entry.trim().split_once('=')?;
    (id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some((id, number.parse().ok()?))
}

/// The server that a request is for. It is in the target, as in HTTP/2 and in requests to a proxy, or else in `Host` (RFC 9112,
/// 3.2.2).
pub(crate) fn host(parts: &request::Parts) -> Option<HeaderValue> {
    match parts.uri.authority() {
        Some(target) => HeaderValue::from_str(target.as_str()).ok(),
        None => parts.headers.get(header::HOST).cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_gateway_s_own_passes_count() {
        let (first, second) = (PassCounter::new(), PassCounter::new());
        let mut headers = HeaderMap::new();
        headers.append(PASSES, HeaderValue::from_static("10"));
        headers.append(PASSES, HeaderValue::from_static("0123456789abcdef=10, x=10"));
        first.count(&mut headers).unwrap();
        assert_eq!(headers[PASSES], *format!("0123456789abcdef=10,{}=1", first.id));
        // A loop through two gateways is found, too.
        for _ in 1..MOST_PASSES {
            second.count(&mut headers).unwrap();
            first.count(&mut headers).unwrap();
        }
        second.count(&mut headers).unwrap();
        assert!(first.count(&mut headers).is_err() && second.count(&mut headers).is_err());
        assert_eq!(headers.get_all(PASSES).iter().count(), 1);
    }
}
