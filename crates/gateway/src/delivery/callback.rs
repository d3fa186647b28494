//! Sends the answer of a function to its callback URL.

use axum::body::Body;
use axum::response::Response;
use faasflow_http::HttpClient;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION};
use http::{Method, Request, StatusCode, Uri};
use iri_string::format::ToDedicatedString as _;
use iri_string::types::{UriAbsoluteStr, UriReferenceStr};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

use crate::functions::NoAnswer;
use crate::queue::Call;

/// The most redirects of a callback, as in Go's `net/http`.
const REDIRECTS: usize = 10;

/// Characters that occur in `Location` but not in URLs. The percent sign is not one of them, because it may belong to an encoding.
const OUTSIDE_URLS: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'{').add(b'|').add(b'}');

/// Sends a callback and follows redirects.
///
/// After 301, 302, 307 and 308 the callback is sent again with its body, because it would mean nothing without. (Go sends a GET after
/// 301 and 302.) 303 means that the callback was accepted, and a GET fetches the result. If a redirect cannot be followed, it is the
/// answer.
pub(crate) async fn send(client: &HttpClient, url: &Uri, call: &Call) -> Result<Response, NoAnswer> {
    let (mut url, mut headers) = (url.clone(), call.headers.clone());
    let (mut method, mut payload) = (Method::POST, call.body.clone());
    for redirected in 0.. {
        let mut request = Request::new(Body::from(payload.clone()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = url.clone();
        *request.headers_mut() = headers.clone();
        let answer = client.send(request).await?;
        let target = match answer.status().as_u16() {
            301 | 302 | 303 | 307 | 308 if redirected < REDIRECTS => target(&url, answer.headers()),
            _ => None,
        };
        let Some(target) = target else { return Ok(answer.map(Body::new)) };
        if answer.status() == StatusCode::SEE_OTHER {
            (method, payload) = (Method::GET, bytes::Bytes::new());
            headers.remove(CONTENT_TYPE);
            headers.remove(CONTENT_LENGTH);
        }
        if origin(&target) != origin(&url) {
            headers.remove(AUTHORIZATION);
        }
        url = target;
    }
    unreachable!("the last redirection is not followed")
}

/// The origin of a URL. The scheme is part of it, because credentials for TLS must not be sent without TLS.
fn origin(url: &Uri) -> (Option<&str>, Option<&str>, u16) {
    let usual = if url.scheme_str() == Some("https") { 443 } else { 80 };
    (url.scheme_str(), url.host(), url.port_u16().unwrap_or(usual))
}

/// The URL that an answer redirects to, if it can be used.
fn target(from: &Uri, headers: &HeaderMap) -> Option<Uri> {
    // Some servers send spaces and non-ASCII letters, which are not allowed in URLs.
    let location = percent_encode(headers.get(LOCATION)?.as_bytes(), OUTSIDE_URLS).to_string();
    let (location, from) = (UriReferenceStr::new(&location).ok()?, from.to_string());
    let target = location.resolve_against(UriAbsoluteStr::new(&from).ok()?).to_dedicated_string();
    let without_fragment = target.as_str().split('#').next()?;
    // Another scheme would be read as the name of a host.
    let is_http = matches!(target.scheme_str(), "http" | "https");
    is_http.then(|| faasflow_core::parse_callback_url(without_fragment).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h12_credentials_stay_with_the_origin_that_they_are_for() {
        let same =
            |one: &'static str, other: &'static str| origin(&Uri::from_static(one)) == origin(&Uri::from_static(other));
        assert!(same("http://h/a", "http://h:80/b"));
        assert!(same("https://h/a", "https://h:443/b"));
        assert!(!same("https://h/a", "http://h/a"));
        assert!(!same("https://h/a", "https://h:8443/a"));
        assert!(!same("http://h/a", "http://other/a"));
    }

    #[test]
    fn h13_locations_are_relative_to_where_they_come_from() {
        let from = Uri::from_static("http://u:p@host:1/a/b?c");
        for (location, expected) in [
            ("/x?y", Some("http://u:p@host:1/x?y")),
            ("x", Some("http://u:p@host:1/a/x")),
            ("//other/x", Some("http://other/x")),
            ("https://other/x#fragment", Some("https://other/x")),
            ("../x y/é?a=b%20c", Some("http://u:p@host:1/x%20y/%C3%A9?a=b%20c")),
            ("", Some("http://u:p@host:1/a/b?c")),
            ("ftp://other/x", None),
            ("mailto:a@b", None),
            ("http://", None),
            ("http://other:99999/", None),
        ] {
            let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
            assert_eq!(target(&from, &headers).map(|uri| uri.to_string()).as_deref(), expected, "{location}");
        }
        assert_eq!(target(&from, &HeaderMap::new()), None);
    }
}
