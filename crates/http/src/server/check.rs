//! Refuses requests that no application may receive.

use faasflow_core::code::{self, Code};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{Request, StatusCode, Version};

use crate::MOST_HEADERS;

/// Why a request is refused: the status, the code, and the text for the client.
pub(super) type Refusal = (StatusCode, Code, &'static str);

/// Checks for what a server must refuse but hyper does not.
///
/// If two servers read the same bytes differently, a request can be smuggled past the first one. So everything
/// ambiguous is refused. hyper itself answers 400 to two different lengths, to a length that is not a number, to a
/// `Transfer-Encoding` whose last coding is not `chunked`, and to a `Transfer-Encoding` in HTTP/1.0. If there is a
/// length beside `chunked`, hyper removes the length and closes the connection afterwards (RFC 9112, 6.3).
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Refusal> {
    count(request)?;
    host(request)?;
    encoding(request)
}

/// hyper counts the headers of HTTP/1, but only the bytes of HTTP/2 headers. 1 MiB can contain tens of thousands of
/// them, as many as a `HeaderMap` can hold. Adding one more would panic.
fn count<B>(request: &Request<B>) -> Result<(), Refusal> {
    if request.headers().len() <= MOST_HEADERS {
        return Ok(());
    }
    Err((
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        code::HEAD_TOO_LARGE,
        "the head of the request has more than 2000 headers",
    ))
}

/// RFC 9112, 3.2, and RFC 9113, 8.3.1.
fn host<B>(request: &Request<B>) -> Result<(), Refusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => Err((StatusCode::BAD_REQUEST, code::BAD_HEAD, "the request has more than one `Host`")),
        (None, _) if request.version() == Version::HTTP_11 => {
            Err((StatusCode::BAD_REQUEST, code::BAD_HEAD, "the request has no `Host`, which HTTP/1.1 requires"))
        }
        // It may be empty if the target has no host.
        (Some(host), _) if host.is_empty() => Ok(()),
        (Some(host), _) => match host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) {
            // A non-empty port is a number below 65536.
            Some(host) if !host.as_str().contains('@') && has_usable_port(&host) => Ok(()),
            _ => Err((StatusCode::BAD_REQUEST, code::BAD_HEAD, "`Host` is not the name or the address of a server")),
        },
        (None, _) => Ok(()),
    }
}

fn has_usable_port(host: &Authority) -> bool {
    matches!(host.as_str().strip_prefix(host.host()), Some("" | ":")) || host.port_u16().is_some()
}

/// Only `chunked` is supported (RFC 9112, 6.1 and 7). Any other coding would have to be decoded before the body is
/// passed on.
fn encoding<B>(request: &Request<B>) -> Result<(), Refusal> {
    let mut encodings = request.headers().get_all(TRANSFER_ENCODING).iter();
    match (encodings.next(), encodings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err((
            StatusCode::NOT_IMPLEMENTED,
            code::BAD_HEAD,
            "the only `Transfer-Encoding` that is supported is `chunked`, once",
        )),
    }
}

/// Removes `Content-Length` if there is a `Transfer-Encoding`, because hyper has read the body in chunks.
pub(super) fn settle_length<B>(request: &mut Request<B>) {
    if request.headers().contains_key(TRANSFER_ENCODING) {
        request.headers_mut().remove(CONTENT_LENGTH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(version: Version, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().version(version).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap()).map_or_else(|(status, ..)| status.as_u16(), |()| 200)
    }

    #[test]
    fn h11_one_valid_host_is_required() {
        for host in ["x", "localhost:8080", "LOCALHOST", "[::1]:8080", "127.0.0.1", "a.b.", "xn--bcher-kva.example", ""]
        {
            assert_eq!(status(Version::HTTP_11, &[("host", host)]), 200, "{host}");
        }
        for host in
            ["a b", "a/b", "u:p@host", "http://host", "a:b:c", "a?b", "localhost:abc", "localhost:99999", "[::1]:x"]
        {
            assert_eq!(status(Version::HTTP_11, &[("host", host)]), 400, "{host}");
        }
        assert_eq!(status(Version::HTTP_11, &[]), 400);
        assert_eq!(status(Version::HTTP_10, &[]), 200);
        assert_eq!(status(Version::HTTP_2, &[]), 200);
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert_eq!(status(version, &[("host", "a"), ("host", "a")]), 400);
        }
    }

    #[test]
    fn h2_only_chunked_is_supported() {
        let encoded = |encodings: &[&str]| {
            let mut headers = vec![("host", "x")];
            headers.extend(encodings.iter().map(|&encoding| ("transfer-encoding", encoding)));
            status(Version::HTTP_11, &headers)
        };
        assert_eq!(encoded(&["chunked"]), 200);
        assert_eq!(encoded(&["Chunked "]), 200);
        for other in [&["gzip, chunked"][..], &["chunked, chunked"], &["chunked", "chunked"], &["gzip", "chunked"]] {
            assert_eq!(encoded(other), 501, "{other:?}");
        }
    }
}
